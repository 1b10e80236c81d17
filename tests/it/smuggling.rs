//! A message that two readers could read differently is refused before anybody else reads it, and its connection with
//! it: whatever follows could be the part that was smuggled.

mod messages;

use messages::{BODIES, Malformed, Misdirected, REQUESTS, TooLarge, Verdict};

use crate::support::{BEDROCK, Door, End, Gate, RawClient, RawUpstream, shown};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn rows(door: Door) -> Vec<(Verdict, Vec<u8>)> {
    let target = door.target(BEDROCK, "/model/m/invoke");
    let fill = |text: &str| {
        text.replace("{target}", &target)
            .replace("{host}", BEDROCK)
            .into_bytes()
    };
    let mut rows: Vec<_> = REQUESTS
        .iter()
        .map(|(verdict, text)| (*verdict, fill(text)))
        .collect();
    let head = format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n");
    rows.push((
        TooLarge,
        format!("{head}X: {}\r\n\r\n", "y".repeat(66_000)).into_bytes(),
    ));
    rows.push((
        TooLarge,
        format!("{head}X: {}", "y".repeat(70_000)).into_bytes(),
    ));
    rows.push((
        TooLarge,
        format!("POST /{} HTTP/1.1\r\n", "y".repeat(70_000)).into_bytes(),
    ));
    rows.push((
        TooLarge,
        format!("{head}{}\r\n", "X: y\r\n".repeat(128)).into_bytes(),
    ));
    rows
}

async fn assert_refused(client: &mut RawClient, verdict: Verdict, request: &[u8]) {
    println!("{}", shown(&request[..request.len().min(300)]));
    client.send(request).await;
    let answer = client.answer().await;
    match verdict {
        Malformed => answer.assert_typed(400, "ValidationException", "malformed-request"),
        Misdirected => answer.assert_typed(400, "ValidationException", "misdirected"),
        TooLarge => answer.assert_typed(431, "ValidationException", "head-too-large"),
    }
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert_eq!(client.end().await, End::Closed);
}

const DOORS: [Door; 4] = [
    Door::Connect,
    Door::Forward,
    Door::RouteInTls,
    Door::TransparentPlain,
];

#[tokio::test]
async fn every_ambiguous_request_is_refused_and_nothing_is_forwarded() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        for (verdict, request) in rows(door) {
            let mut client = door.open(&gate, BEDROCK).await;
            assert_refused(&mut client, verdict, &request).await;
        }
    }
    // A connection may have been opened before the head was found unfit, but none carried anything.
    for _ in 0..upstream.connections() {
        let mut served = upstream.accept().await;
        served.end().await;
    }
}

#[tokio::test]
async fn every_ambiguous_request_is_refused_as_the_second_of_its_connection() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut served: Option<RawClient> = None;
    for door in DOORS {
        let good = |door: Door| {
            let target = door.target(BEDROCK, "/model/m/invoke");
            format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 5\r\n\r\nhello")
                .into_bytes()
        };
        for (verdict, request) in rows(door) {
            let mut client = door.open(&gate, BEDROCK).await;
            client.send(good(door)).await;
            let served = match &mut served {
                Some(served) => served,
                none => none.insert(upstream.accept().await),
            };
            // Nothing of the request refused last stands before this one.
            served.expect(&good(Door::Connect)).await;
            served.send(OK).await;
            client.expect(OK).await;
            assert_refused(&mut client, verdict, &request).await;
        }
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_second_connect_inside_a_tunnel_is_refused() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for target in [format!("{BEDROCK}:443"), "127.0.0.1:22".to_owned()] {
        for door in [Door::Connect, Door::ConnectInTls] {
            let mut client = door.open(&gate, BEDROCK).await;
            let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n");
            assert_refused(&mut client, Malformed, request.as_bytes()).await;
        }
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_chunk_that_is_malformed_ends_the_request_before_it() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "y".repeat(20_000));
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(8_000));
    let bodies = BODIES.iter().copied().chain([long.as_str(), &trailers]);
    for body in bodies {
        for (door, good) in [(Door::Connect, ""), (Door::Forward, "5\r\nhello\r\n")] {
            println!("{}", shown(&body.as_bytes()[..body.len().min(80)]));
            let mut client = door.open(&gate, BEDROCK).await;
            let target = door.target(BEDROCK, "/model/m/invoke");
            let tail =
                format!("HTTP/1.1\r\nHost: {BEDROCK}\r\nTransfer-Encoding: chunked\r\n\r\n{good}");
            client.send(format!("POST {target} {tail}")).await;
            let mut served = upstream.accept().await;
            served
                .expect(format!("POST /model/m/invoke {tail}").as_bytes())
                .await;
            client.send(body).await;
            client
                .answer()
                .await
                .assert_typed(400, "ValidationException", "malformed-request");
            assert_eq!(client.end().await, End::Closed);
            let (rest, end) = served.rest().await;
            assert!(
                !rest.ends_with(b"0\r\n\r\n"),
                "the upstream was told a whole request: {}",
                shown(&rest)
            );
            assert_ne!(
                end,
                End::Closed,
                "half a request looks like a whole one that was cut in order"
            );
        }
    }
}

#[tokio::test]
async fn what_a_refused_body_holds_is_not_read_as_a_request() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        let mut client = door.open(&gate, BEDROCK).await;
        let target = door.target(BEDROCK, "/model/m/invoke");
        let inner =
            format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n\r\n");
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: {0}\r\nContent-Length: {0}\r\n\r\n{inner}",
            inner.len()
        );
        assert_refused(&mut client, Malformed, request.as_bytes()).await;
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(gate.records().len(), DOORS.len());
}
