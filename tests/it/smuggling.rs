//! A message that two readers could read differently is refused before anybody else reads it, and its connection with
//! it; every other message goes on as exactly one, octet for octet.
//!
//! The messages are the rows of `tests/fixtures/http1/requests.txt`. Behind each of them other clients are served as ever:
//! nothing of it stands before their requests, and nobody gets an answer that is not theirs.

use tokio::net::TcpListener;
use tollgate::ledger::{self, UsageRecord};

use crate::support::recorder::{Seen, expect_answer};
use crate::support::reference::{self, Reading};
use crate::support::rows::{self, Outcome, Row};
use crate::support::walk::{self, Step};
use crate::support::{
    BEDROCK, Door, End, Gate, RawClient, RawUpstream, Recorder, assert_bytes, shown,
};

const DOORS: [Door; 4] = [
    Door::Connect,
    Door::Forward,
    Door::RouteInTls,
    Door::TransparentPlain,
];

/// A request that nothing is wrong with, told from others by its number.
fn good(door: Door, number: usize) -> Vec<u8> {
    let target = door.target(BEDROCK, &format!("/model/good/{number}"));
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 5\r\n\r\nhello")
        .into_bytes()
}

fn method_of(request: &[u8]) -> String {
    let method = request.split(|&octet| octet == b' ').next().unwrap();
    String::from_utf8(method.to_vec()).unwrap()
}

/// Places to cut `octets` at: all of them, or some where they are many.
fn cuts(octets: &[u8]) -> impl Iterator<Item = usize> {
    let step = 1 + octets.len() / 1500;
    let tail = octets.len().saturating_sub(8)..octets.len();
    (0..octets.len()).step_by(step * step).chain(tail)
}

#[test]
fn the_parsers_alone_say_the_same_of_every_request_however_it_is_cut() {
    let scope = walk::tunnel();
    let rows = rows::requests();
    let rows = rows.iter().filter(|row| row.is_for(Door::Connect));
    let wrong: Vec<String> = rows
        .filter_map(|row| {
            let octets = row.incoming(Door::Connect);
            let check = |cut: &str, steps: &[Step]| {
                let fits = is_as_told(&row.outcomes(), steps);
                (!fits).then(|| format!("{}, {cut}: {steps:?}", row.why))
            };
            let whole = check("whole", &walk::requests(&scope, [octets.as_slice()]));
            let pieces = octets.chunks(1 + octets.len() / 1500);
            let bit_by_bit = || check("octet by octet", &walk::requests(&scope, pieces));
            whole.or_else(bit_by_bit).or_else(|| {
                cuts(&octets).find_map(|cut| {
                    let pieces = [&octets[..cut], &octets[cut..]];
                    check(&format!("cut at {cut}"), &walk::requests(&scope, pieces))
                })
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn is_as_told(outcomes: &[Outcome], steps: &[Step]) -> bool {
    let mut found = steps.iter();
    for outcome in outcomes {
        let fits = match outcome {
            Outcome::Once => true,
            // What is read after this one depends on the connection, which is not here.
            Outcome::Closed => return true,
            Outcome::Passes(octets) => {
                matches!(found.next(), Some(Step::Passed(passed)) if passed == octets)
            }
            Outcome::Refused(status, _) => found.next() == Some(&Step::Refused(*status)),
            Outcome::Broken => matches!(found.next(), Some(Step::Broken(_))),
            Outcome::Answered(..) | Outcome::Cut => false,
        };
        if !fits {
            return false;
        }
    }
    found.next().is_none()
}

/// A gate, the upstream behind it, and another client that is there all the time.
struct Scene {
    recorder: Recorder,
    bystander: RawClient,
    /// Requests that the upstream has seen.
    seen: usize,
    /// What the upstream may have seen the beginnings of.
    broken: Vec<Vec<u8>>,
}

impl Scene {
    async fn begin() -> Self {
        let recorder = Recorder::start().await;
        let bystander = Door::Connect.open(&recorder.gate, BEDROCK).await;
        Self {
            recorder,
            bystander,
            seen: 0,
            broken: Vec::new(),
        }
    }

    /// The next whole request at the upstream: its octets, and by which connection they came.
    async fn request(&mut self, why: &str) -> (Vec<u8>, usize) {
        loop {
            match self.recorder.next(why).await {
                Seen::Request {
                    connection,
                    number,
                    octets,
                } => {
                    self.seen += 1;
                    assert_eq!(number, self.seen, "{why}");
                    return (octets, connection);
                }
                Seen::Rest(rest) => {
                    let known = self.broken.iter().any(|broken| broken.starts_with(&rest));
                    assert!(known, "{why}: the upstream saw {}", shown(&rest));
                }
            }
        }
    }

    /// Fails unless the next that the upstream sees are these octets, as one request. Returns its connection.
    async fn expect(&mut self, octets: &[u8], why: &str) -> usize {
        let (found, connection) = self.request(why).await;
        assert_bytes(&found, octets, why);
        connection
    }

    /// Walks `row` by `door`, with its octets in `pieces`.
    async fn walk(&mut self, row: &Row, door: Door, pieces: &[&[u8]]) {
        let why = format!("{} ({door:?}, in {} pieces)", row.why, pieces.len());
        let mut client = door.open(&self.recorder.gate, BEDROCK).await;
        for piece in pieces {
            // A gate that has refused takes no more, and may say so.
            if client.try_send(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let mut open = true;
        let mut once = None;
        let mut passed = None;
        for outcome in row.outcomes() {
            match outcome {
                Outcome::Passes(octets) => {
                    passed = Some(self.expect(&octets, &why).await);
                    expect_answer(&mut client, self.seen, &method_of(&octets), &why).await;
                }
                Outcome::Once => once = passed,
                Outcome::Closed => {
                    assert_eq!(client.end().await, End::Closed, "{why}");
                    open = false;
                }
                Outcome::Refused(status, code) => {
                    self.refused(&mut client, status, &code, &why).await;
                    open = false;
                }
                Outcome::Broken => {
                    let incoming = row.incoming(Door::Connect);
                    self.broken.push(incoming);
                    self.refused(&mut client, 400, "malformed-request", &why)
                        .await;
                    open = false;
                }
                other => panic!("{why}: {other:?} is for responses"),
            }
        }
        let next = self.ask_beside(&why).await;
        if let Some(once) = once {
            assert_ne!(next, once, "{why}: the upstream connection is used again");
        }
        if open {
            client.send(good(door, self.seen)).await;
            let number = self.seen;
            self.expect(&good(Door::Connect, number), &why).await;
            expect_answer(&mut client, self.seen, "POST", &why).await;
        }
    }

    async fn refused(&self, client: &mut RawClient, status: u16, code: &str, why: &str) {
        println!("{why}");
        let answer = client.answer().await;
        answer.assert_typed(status, "ValidationException", code);
        assert_eq!(
            answer.field("connection").as_deref(),
            Some("close"),
            "{why}"
        );
        assert_eq!(client.end().await, End::Closed, "{why}");
    }

    /// Somebody else is served as ever. Returns the upstream connection.
    async fn ask_beside(&mut self, why: &str) -> usize {
        let number = self.seen;
        self.bystander.send(good(Door::Connect, number)).await;
        let connection = self.expect(&good(Door::Connect, number), why).await;
        expect_answer(&mut self.bystander, self.seen, "POST", why).await;
        connection
    }
}

#[tokio::test]
async fn every_request_is_refused_or_goes_on_as_one_by_every_door() {
    for door in DOORS {
        let mut scene = Scene::begin().await;
        for row in rows::requests().iter().filter(|row| row.is_for(door)) {
            scene.walk(row, door, &[&row.incoming(door)]).await;
        }
    }
}

#[tokio::test]
async fn every_request_is_the_same_when_it_comes_in_two_segments() {
    for door in [Door::Connect, Door::Forward] {
        let mut scene = Scene::begin().await;
        for row in rows::requests().iter().filter(|row| row.is_for(door)) {
            let octets = row.incoming(door);
            let head = memchr::memmem::find(&octets, b"\r\n\r\n").unwrap_or(octets.len() / 2);
            let cuts = match door {
                Door::Connect => [head + 1, octets.len() - 1],
                _ => [1, head + 4],
            };
            for cut in cuts {
                let cut = cut.min(octets.len());
                scene
                    .walk(row, door, &[&octets[..cut], &octets[cut..]])
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn every_request_is_the_same_when_it_comes_octet_by_octet() {
    let mut scene = Scene::begin().await;
    for row in rows::requests()
        .iter()
        .filter(|row| row.is_for(Door::Forward))
    {
        let octets = row.incoming(Door::Forward);
        let pieces: Vec<&[u8]> = octets.chunks(1 + octets.len() / 1000).collect();
        scene.walk(row, Door::Forward, &pieces).await;
    }
}

#[tokio::test]
async fn every_request_that_is_refused_is_refused_as_the_second_of_its_connection() {
    for door in DOORS {
        let mut scene = Scene::begin().await;
        let mut refused = 0;
        for row in rows::requests().iter().filter(|row| row.is_for(door)) {
            let outcomes = row.outcomes();
            let [Outcome::Refused(status, code)] = outcomes.as_slice() else {
                continue;
            };
            let mut client = door.open(&scene.recorder.gate, BEDROCK).await;
            let number = scene.seen;
            client
                .send([good(door, number), row.incoming(door)].concat())
                .await;
            scene.expect(&good(Door::Connect, number), &row.why).await;
            expect_answer(&mut client, scene.seen, "POST", &row.why).await;
            scene.refused(&mut client, *status, code, &row.why).await;
            scene.ask_beside(&row.why).await;
            refused += 1;
        }
        let records = scene.recorder.gate.records();
        let is_refused = |record: &&UsageRecord| record.outcome == ledger::Outcome::Refused;
        // One record each: nothing behind what was refused was taken for a request.
        assert_eq!(records.iter().filter(is_refused).count(), refused);
        assert_eq!(records.len(), refused + scene.seen);
    }
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_none_leaves_half_a_request_that_shows_it() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for row in rows::requests() {
        if row.outcomes() != [Outcome::Broken] {
            continue;
        }
        for door in [Door::Connect, Door::Forward] {
            println!("{}", row.why);
            let octets = row.incoming(door);
            let head = memchr::memmem::find(&octets, b"\r\n\r\n").unwrap() + 4;
            let seen = row.incoming(Door::Connect);
            let seen_head = memchr::memmem::find(&seen, b"\r\n\r\n").unwrap() + 4;
            let mut client = door.open(&gate, BEDROCK).await;
            client.send(&octets[..head]).await;
            let mut served = upstream.accept().await;
            served.expect(&seen[..seen_head]).await;
            client.try_send(&octets[head..]).await.ok();
            client
                .answer()
                .await
                .assert_typed(400, "ValidationException", "malformed-request");
            assert_eq!(client.end().await, End::Closed);
            let (rest, end) = served.rest().await;
            let whole = [&seen[..seen_head], &rest].concat();
            assert!(seen.starts_with(&whole), "{}: {}", row.why, shown(&whole));
            assert!(
                !matches!(reference::request(&whole), Reading::Whole(_)),
                "{}",
                row.why
            );
            assert_ne!(
                end,
                End::Closed,
                "{}: half a request ends in order",
                row.why
            );
        }
    }
}

#[tokio::test]
async fn a_second_connect_inside_a_tunnel_is_refused() {
    let scene = Scene::begin().await;
    for target in [format!("{BEDROCK}:443"), "127.0.0.1:22".to_owned()] {
        for door in [Door::Connect, Door::ConnectInTls] {
            let mut client = door.open(&scene.recorder.gate, BEDROCK).await;
            let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n");
            client.send(request).await;
            scene
                .refused(&mut client, 400, "malformed-request", "a second CONNECT")
                .await;
        }
    }
}

#[tokio::test]
async fn nothing_behind_a_connect_that_is_refused_is_read_as_a_request() {
    let mut scene = Scene::begin().await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = deaf.local_addr().unwrap();
    drop(deaf);
    let behind = String::from_utf8(good(Door::Forward, 0)).unwrap();
    let length = behind.len();
    for connect in [
        format!("CONNECT {BEDROCK} HTTP/1.1\r\n\r\n"),
        format!("CONNECT {BEDROCK}:0 HTTP/1.1\r\n\r\n"),
        format!("CONNECT user@{BEDROCK}:443 HTTP/1.1\r\n\r\n"),
        format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"),
        format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("CONNECT {nobody} HTTP/1.1\r\n\r\n"),
        "CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n".to_owned(),
        "CONNECT / HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let mut client = scene.recorder.gate.plain().await;
        client.send([connect.as_str(), &behind].concat()).await;
        let answer = client.answer().await;
        assert!(answer.status() >= 400, "{connect}");
        assert_eq!(client.end().await, End::Closed, "{connect}");
        scene.ask_beside(&connect).await;
    }
}

#[tokio::test]
async fn what_follows_a_connect_at_once_belongs_to_its_host_and_to_nobody_else() {
    let mut scene = Scene::begin().await;
    let connect = format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n");
    // Plain HTTP where TLS was announced by the port: it may only be for that host, and not for one of its own choice.
    let elsewhere = "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    let mut client = scene.recorder.gate.plain().await;
    client.send([&connect, elsewhere].concat()).await;
    let established = client.head().await;
    assert!(
        established.starts_with(b"HTTP/1.1 200 "),
        "{}",
        shown(&established)
    );
    scene
        .refused(
            &mut client,
            400,
            "misdirected",
            "another host inside a tunnel",
        )
        .await;
    scene.ask_beside("another host inside a tunnel").await;
}
