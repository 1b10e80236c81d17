//! How an upstream ends in mid-answer is how the client sees it end: a cut body never looks whole.

use tollgate::ledger::Outcome;

use crate::support::frames::{chunk, converse_stream};
use crate::support::{BEDROCK, Door, End, Gate, Going, RawClient, RawUpstream, shown};

fn request(door: Door) -> String {
    let target = door.target(BEDROCK, "/model/us.amazon.nova-lite-v1%3A0/converse");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}")
}

async fn ask(upstream: &RawUpstream, client: &mut RawClient, door: Door) -> RawClient {
    client.send(request(door)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
}

/// The beginnings of responses whose end never comes.
const UNFINISHED: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n",
];

#[tokio::test]
async fn a_body_that_is_cut_stays_cut_and_is_recorded_as_cut() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in [Door::Connect, Door::Forward, Door::RouteInTls] {
        for going in Going::ALL {
            for response in UNFINISHED {
                let mut client = door.open(&gate, BEDROCK).await;
                let mut served = ask(&upstream, &mut client, door).await;
                served.send(response).await;
                client.expect(response).await;
                going.go(served).await;
                let (rest, end) = client.rest().await;
                assert!(
                    rest.is_empty(),
                    "{going:?}, {}: {}",
                    shown(response),
                    shown(&rest)
                );
                if door != Door::Forward {
                    assert_eq!(
                        end,
                        End::Cut,
                        "an orderly end of TLS after {}",
                        shown(response)
                    );
                }
                let record = gate.records().pop().unwrap();
                let body =
                    response.len() - memchr::memmem::find(response, b"\r\n\r\n").unwrap() - 4;
                assert_eq!(
                    (record.status, record.outcome),
                    (Some(200), Outcome::UpstreamAborted)
                );
                assert_eq!(record.response_bytes, body as u64);
            }
        }
    }
}

#[tokio::test]
async fn a_body_delimited_by_its_end_is_not_whole_when_that_end_was_no_orderly_one() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in [Door::Connect, Door::Forward] {
        for going in [Going::Cutting, Going::Resetting] {
            let mut client = door.open(&gate, BEDROCK).await;
            let mut served = ask(&upstream, &mut client, door).await;
            served.send("HTTP/1.1 200 OK\r\n\r\nhalf of").await;
            client.expect(b"HTTP/1.1 200 OK\r\n\r\nhalf of").await;
            going.go(served).await;
            let end = client.end().await;
            assert_ne!(
                end,
                End::Closed,
                "{door:?}, {going:?}: half of a body looks like all of it"
            );
            assert_eq!(
                gate.records().pop().unwrap().outcome,
                Outcome::UpstreamAborted
            );
        }
    }
}

#[tokio::test]
async fn a_chunk_that_is_malformed_in_mid_body_cuts_the_response_before_it() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for bad in [
        "x\r\n",
        "5\n",
        "-1\r\n",
        "0x5\r\n",
        "fffffffffffffffff\r\n",
        "5;\0\r\n",
        "0\r\nContent-Length: 1\r\n\r\n",
    ] {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let mut served = ask(&upstream, &mut client, Door::Connect).await;
        let good = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        served.send(good).await;
        client.expect(good.as_bytes()).await;
        served.send(bad).await;
        let (rest, end) = client.rest().await;
        assert!(!rest.ends_with(b"\r\n\r\n"), "{bad:?}: {}", shown(&rest));
        assert_eq!(end, End::Cut);
        assert_eq!(
            gate.records().pop().unwrap().outcome,
            Outcome::UpstreamAborted
        );
        served.end().await;
    }
}

#[tokio::test]
async fn tokens_told_before_a_stream_was_cut_are_kept_as_partial() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served = ask(&upstream, &mut client, Door::Connect).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n";
    served.send(head).await;
    for event in converse_stream().iter().take(3) {
        served.send(chunk(event)).await;
    }
    let sent: Vec<u8> = converse_stream()
        .iter()
        .take(3)
        .flat_map(|event| chunk(event))
        .collect();
    client.expect(head.as_bytes()).await;
    client.expect(&sent).await;
    served.cut();
    assert_eq!(client.end().await, End::Cut);
    let record = gate.records().pop().unwrap();
    assert_eq!(
        (record.outcome, record.stream),
        (Outcome::UpstreamAborted, true)
    );
    assert_eq!(record.usage.input_tokens, None, "a count that nobody told");
}
