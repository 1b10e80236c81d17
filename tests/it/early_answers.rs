//! An answer that comes before the request is complete goes to the client at once; `100 Continue` is never made up.

use tollgate::ledger::Outcome;

use crate::support::{BEDROCK, Door, End, Gate, RawClient, RawUpstream};

const DOORS: [Door; 3] = [Door::Connect, Door::Forward, Door::RouteInTls];
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
const REFUSAL: &[u8] = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}";

fn head(door: Door, lines: &str) -> String {
    let target = door.target(BEDROCK, "/model/m/invoke");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n{lines}\r\n\r\n")
}

async fn begin(upstream: &RawUpstream, client: &mut RawClient, head: &str) -> RawClient {
    client.send(head).await;
    let mut served = upstream.accept().await;
    let arrived = served.head().await;
    assert!(arrived.ends_with(b"\r\n\r\n"));
    served
}

#[tokio::test]
async fn a_final_answer_before_the_body_is_complete_reaches_the_client_at_once() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
            let mut client = door.open(&gate, BEDROCK).await;
            let mut served = begin(&upstream, &mut client, &head(door, framing)).await;
            served.send(REFUSAL).await;
            client.expect(REFUSAL).await;
            // The rest of the body cannot be told from a request: neither connection carries another one.
            assert_eq!(client.end().await, End::Closed);
            served.end().await;
            let record = gate.records().pop().unwrap();
            assert_eq!(
                (record.status, record.outcome),
                (Some(413), Outcome::Complete)
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_on_sending_after_an_early_answer_still_reads_all_of_it() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        let mut client = door.open(&gate, BEDROCK).await;
        let mut served = begin(
            &upstream,
            &mut client,
            &head(door, "Content-Length: 10000000"),
        )
        .await;
        client.send(vec![b'x'; 1000]).await;
        served.exactly(1000).await;
        served.send(REFUSAL).await;
        served.close().await;
        // It has not looked at its socket yet. A reset would take the answer away.
        client.send(vec![b'x'; 4_000_000]).await;
        client.expect(REFUSAL).await;
        assert_eq!(client.end().await, End::Closed);
        assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Complete);
    }
}

#[tokio::test]
async fn an_upstream_that_answers_and_resets_under_a_large_upload_is_still_heard() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for _ in 0..5 {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let mut served = begin(
            &upstream,
            &mut client,
            &head(Door::Connect, "Content-Length: 10000000"),
        )
        .await;
        served.send(REFUSAL).await;
        // Closing with unread bytes in its buffer resets the connection.
        client.try_send(vec![b'x'; 100_000]).await.ok();
        served.cut();
        client.expect(REFUSAL).await;
    }
}

#[tokio::test]
async fn an_early_answer_that_streams_is_passed_on_while_the_body_goes_up() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served = begin(
        &upstream,
        &mut client,
        &head(Door::Connect, "Content-Length: 3"),
    )
    .await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
        .await;
    client
        .expect(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
        .await;
    for _ in 0..3 {
        client.send("x").await;
        served.expect(b"x").await;
    }
    served.send("bc").await;
    client.expect(b"bc").await;
    // Both are complete: both connections go on.
    client.send(head(Door::Connect, "Content-Length: 0")).await;
    served.request().await;
    served.send(OK).await;
    client.expect(OK).await;
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn expect_100_continue_is_relayed_and_the_100_is_the_upstreams() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        for framing in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
            let mut client = door.open(&gate, BEDROCK).await;
            let lines = format!("{framing}\r\nExpect: 100-continue");
            let mut served = begin(&upstream, &mut client, &head(door, &lines)).await;
            // The upstream has the head, the client has not sent the body: nobody invented a 100.
            let interim = b"HTTP/1.1 100 Go on, please\r\nX-From: upstream\r\n\r\n";
            served.send(interim).await;
            client.expect(interim).await;
            let body = if framing.starts_with('C') {
                "body"
            } else {
                "4\r\nbody\r\n0\r\n\r\n"
            };
            client.send(body).await;
            served.expect(body.as_bytes()).await;
            served.send(OK).await;
            client.expect(OK).await;
            assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Complete);
            served.close().await;
        }
    }
}

#[tokio::test]
async fn an_expectation_that_is_refused_is_refused_by_the_upstream() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        let mut client = door.open(&gate, BEDROCK).await;
        let lines = "Content-Length: 4\r\nExpect: 100-continue";
        let mut served = begin(&upstream, &mut client, &head(door, lines)).await;
        let refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno";
        served.send(refusal).await;
        client.expect(refusal).await;
        assert_eq!(client.end().await, End::Closed);
        assert_eq!(gate.records().pop().unwrap().status, Some(417));
    }
}

#[tokio::test]
async fn a_100_that_nobody_asked_for_passes_and_changes_nothing() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served = begin(
        &upstream,
        &mut client,
        &head(Door::Connect, "Content-Length: 4"),
    )
    .await;
    served.send(CONTINUE).await;
    client.expect(CONTINUE).await;
    client.send("body").await;
    served.expect(b"body").await;
    served.send([CONTINUE, OK].concat()).await;
    client.expect(&[CONTINUE, OK].concat()).await;
}
