//! An upstream may send what it likes: the client gets one response, or an answer of the gate in its place, and what is
//! left over goes to nobody.
//!
//! The messages are the rows of `tests/fixtures/http1/responses.txt`. Behind each of them another client asks the same
//! upstream and gets the answer to its own request.

use crate::support::reference::{self, Reading};
use crate::support::rows::{self, Outcome, Row};
use crate::support::walk::{self, Step};
use crate::support::{BEDROCK, Door, End, Gate, Peer, RawClient, RawUpstream, assert_bytes, shown};

const DOORS: [Door; 4] = [
    Door::Connect,
    Door::Forward,
    Door::RouteInTls,
    Door::TransparentPlain,
];

fn ask(door: Door, method: &str, number: usize) -> Vec<u8> {
    let target = door.target(BEDROCK, &format!("/model/{number}"));
    format!("{method} {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n\r\n")
        .into_bytes()
}

fn answer(number: usize) -> Vec<u8> {
    let body = format!("answer {number}");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn the_parsers_alone_say_the_same_of_every_response_however_it_is_cut() {
    let rows = rows::responses();
    // Which interim responses may pass, and how many, is not for the parsers to say.
    let is_final = |row: &&Row| !row.incoming(Door::Connect).starts_with(b"HTTP/1.1 1");
    let wrong: Vec<String> = rows
        .iter()
        .filter(is_final)
        .filter_map(|row| {
            let octets = row.incoming(Door::Connect);
            let check = |cut: &str, steps: &[Step]| {
                let fits = is_as_told(row, &steps[0]);
                (!fits).then(|| format!("{}, {cut}: {steps:?}", row.why))
            };
            let step = 1 + octets.len() / 1500;
            let method = &row.method;
            let whole = check("whole", &walk::responses(method, [octets.as_slice()]));
            let pieces = octets.chunks(step);
            let bit_by_bit = || check("octet by octet", &walk::responses(method, pieces));
            whole.or_else(bit_by_bit).or_else(|| {
                (0..octets.len()).step_by(step * step).find_map(|cut| {
                    let pieces = [&octets[..cut], &octets[cut..]];
                    check(&format!("cut at {cut}"), &walk::responses(method, pieces))
                })
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn is_as_told(row: &Row, step: &Step) -> bool {
    let outcomes = row.outcomes();
    match (&outcomes[0], step) {
        (Outcome::Passes(octets), Step::Passed(passed)) => octets == passed,
        (Outcome::Passes(octets), Step::Unfinished(passed)) => {
            outcomes.contains(&Outcome::Closed) && octets == passed
        }
        (Outcome::Answered(..), Step::Refused(503)) => true,
        (Outcome::Cut, Step::Unfinished(_)) => row.closes,
        (Outcome::Cut, Step::Broken(_)) => !row.closes,
        _ => false,
    }
}

/// A gate, the upstream behind it, the client that gets the responses, and another one.
struct Scene {
    gate: Gate,
    upstream: RawUpstream,
    door: Door,
    client: Option<RawClient>,
    bystander: RawClient,
    /// The upstream's end of the connection that the gate may use again.
    served: Option<Peer>,
    asked: usize,
}

impl Scene {
    async fn begin(door: Door) -> Self {
        let upstream = RawUpstream::tls().await;
        let gate = Gate::before(&upstream).await;
        let bystander = Door::Connect.open(&gate, BEDROCK).await;
        Self {
            gate,
            upstream,
            door,
            client: None,
            bystander,
            served: None,
            asked: 0,
        }
    }

    /// The upstream's end, once `request` has come by it and nothing else.
    async fn serve(&mut self, request: &[u8]) -> Peer {
        let mut served = match self.served.take() {
            Some(served) => served,
            None => self.upstream.accept().await,
        };
        served.expect(request).await;
        served
    }

    /// Somebody else asks, and is answered.
    async fn ask_beside(&mut self, why: &str) {
        self.asked += 1;
        let number = self.asked;
        self.bystander
            .send(ask(Door::Connect, "POST", number))
            .await;
        let mut served = self.serve(&ask(Door::Connect, "POST", number)).await;
        served.send(answer(number)).await;
        let found = self.bystander.answer().await;
        assert_bytes(&found.raw(), &answer(number), why);
        self.served = Some(served);
    }

    /// Has the upstream send `row` in pieces that end at `cuts`.
    async fn walk(&mut self, row: &Row, cuts: &[usize]) {
        let octets = row.incoming(self.door);
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut from = 0;
        for &cut in cuts.iter().chain([&octets.len()]) {
            let cut = cut.clamp(from, octets.len());
            pieces.push(&octets[from..cut]);
            from = cut;
        }
        let why = format!("{} ({:?}, cut at {cuts:?})", row.why, self.door);
        println!("{why}");
        self.asked += 1;
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.door.open(&self.gate, BEDROCK).await,
        };
        client.send(ask(self.door, &row.method, self.asked)).await;
        let request = ask(Door::Connect, &row.method, self.asked);
        let mut served = self.serve(&request).await;
        for piece in pieces {
            // A gate that has seen enough takes no more.
            if served.try_send(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if row.closes {
            served.try_half_close().await.ok();
        }
        let given_up = self.heard(row, client, served, &why).await;
        self.ask_beside(&why).await;
        if let Some(mut given_up) = given_up {
            let (rest, _) = given_up.rest().await;
            assert!(rest.is_empty(), "{why}: {} was sent on it", shown(&rest));
        }
    }

    /// What the client hears, and what becomes of both connections. Returns the upstream's if it carries nothing more.
    async fn heard(
        &mut self,
        row: &Row,
        mut client: RawClient,
        served: Peer,
        why: &str,
    ) -> Option<Peer> {
        let outcomes = row.outcomes();
        let mut reusable = !row.closes;
        let mut open = true;
        for outcome in &outcomes {
            match outcome {
                Outcome::Passes(octets) => client.expect(octets).await,
                Outcome::Once => reusable = false,
                Outcome::Closed => {
                    assert_eq!(client.end().await, End::Closed, "{why}");
                    open = false;
                    reusable = false;
                }
                Outcome::Answered(status, code) => {
                    let answer = client.answer_to(&row.method).await;
                    assert_eq!(answer.status(), *status, "{why}");
                    assert_eq!(
                        answer.field("x-tollgate-error").as_ref(),
                        Some(code),
                        "{why}"
                    );
                    reusable = false;
                }
                Outcome::Cut => {
                    open = self.cut(row, &mut client, why).await;
                    reusable = false;
                }
                other => panic!("{why}: {other:?} is for requests"),
            }
        }
        if open {
            self.client = Some(client);
        }
        if reusable {
            self.served = Some(served);
            return None;
        }
        Some(served)
    }

    /// Whether the client may go on: it has an answer, and nothing of the response.
    async fn cut(&self, row: &Row, client: &mut RawClient, why: &str) -> bool {
        let octets = row.incoming(self.door);
        let head = client.head().await;
        if head.starts_with(b"HTTP/1.1 503 ") {
            let answer = client.body_behind(head).await;
            let code = answer.field("x-tollgate-error");
            assert_eq!(code.as_deref(), Some("upstream-protocol"), "{why}");
            return true;
        }
        let (rest, end) = client.rest().await;
        let heard = [head, rest].concat();
        assert!(octets.starts_with(&heard), "{why}: {}", shown(&heard));
        let reading = reference::response(&heard, &row.method);
        assert!(
            !matches!(reading, Reading::Whole(_)),
            "{why}: {}",
            shown(&heard)
        );
        assert!(
            end != End::Closed || self.door == Door::Forward || self.door == Door::TransparentPlain,
            "{why}"
        );
        false
    }
}

#[tokio::test]
async fn every_response_passes_as_one_or_not_at_all_by_every_door() {
    for door in DOORS {
        let mut scene = Scene::begin(door).await;
        for row in rows::responses() {
            scene.walk(&row, &[]).await;
        }
    }
}

#[tokio::test]
async fn every_response_is_the_same_when_it_comes_in_pieces() {
    let mut scene = Scene::begin(Door::Connect).await;
    for row in rows::responses() {
        let octets = row.incoming(Door::Connect);
        let head = memchr::memmem::find(&octets, b"\r\n\r\n").unwrap_or(octets.len() / 2);
        for cut in [1, head + 1, head + 4, octets.len() - 1] {
            scene.walk(&row, &[cut]).await;
        }
        let step = 1 + octets.len() / 500;
        let every: Vec<usize> = (1..octets.len()).step_by(step).collect();
        scene.walk(&row, &every).await;
    }
}

#[tokio::test]
async fn what_comes_while_a_connection_idles_is_nobodys_answer() {
    let mut scene = Scene::begin(Door::Connect).await;
    for stray in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"[..],
        b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"\r\n",
        b"x",
    ] {
        scene.ask_beside("before").await;
        let mut served = scene.served.take().unwrap();
        served.send(stray).await;
        scene.ask_beside(&shown(stray)).await;
        served.end().await;
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_first_answers_once_at_most() {
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut scene = Scene::begin(Door::Connect).await;
        // The request is not complete: what comes now cannot be the answer to all of it.
        let mut client = Door::Connect.open(&scene.gate, BEDROCK).await;
        let head = format!("POST /x HTTP/1.1\r\nHost: {BEDROCK}\r\n{framing}\r\n\r\n");
        client.send(&head).await;
        let mut served = scene.upstream.accept().await;
        served.send([answer(0), answer(0)].concat()).await;
        assert_bytes(&client.answer().await.raw(), &answer(0), framing);
        assert_eq!(client.end().await, End::Closed);
        scene.ask_beside(framing).await;
        // It may have seen the head by then, and nothing more.
        let (rest, _) = served.rest().await;
        assert!(head.as_bytes().starts_with(&rest), "{}", shown(&rest));
    }
}
