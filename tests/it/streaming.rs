//! A stream flows: every event is with the client before the next one exists, and its times are those of the wire.

use std::time::Instant;

use tollgate::ledger::Outcome;
use tollgate::usage::UsageSource;

use crate::support::frames::{chat_stream, chunk, converse_stream, invoke_stream};
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

struct Stream {
    path: &'static str,
    content_type: &'static str,
    events: Vec<Vec<u8>>,
    /// Which of them holds the first token.
    first_token: usize,
}

fn streams() -> Vec<Stream> {
    let stream = |path, content_type, events| Stream {
        path,
        content_type,
        events,
        first_token: 1,
    };
    vec![
        stream(
            "/model/us.amazon.nova-lite-v1%3A0/converse-stream",
            EVENT_STREAM,
            converse_stream(),
        ),
        stream(
            "/model/anthropic.claude-x/invoke-with-response-stream",
            EVENT_STREAM,
            invoke_stream(),
        ),
        stream(
            "/openai/v1/chat/completions",
            "text/event-stream",
            chat_stream(),
        ),
    ]
}

async fn begin(
    upstream: &RawUpstream,
    client: &mut RawClient,
    door: Door,
    stream: &Stream,
) -> RawClient {
    let target = door.target(BEDROCK, stream.path);
    client
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
}

fn head(stream: &Stream, framing: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\n{framing}\r\n\r\n",
        stream.content_type
    )
    .into_bytes()
}

#[tokio::test]
async fn each_event_is_passed_on_before_the_next_is_sent() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in Door::ALL {
        for stream in streams() {
            let mut client = door.open(&gate, BEDROCK).await;
            let mut served = begin(&upstream, &mut client, door, &stream).await;
            let head = head(&stream, "Transfer-Encoding: chunked");
            served.send(&head).await;
            client.expect(&head).await;
            for event in &stream.events {
                served.send(chunk(event)).await;
                client.expect(&chunk(event)).await;
            }
            served.send("0\r\n\r\n").await;
            client.expect(b"0\r\n\r\n").await;
            assert_counted(&gate, &stream);
            served.close().await;
        }
    }
}

#[track_caller]
fn assert_counted(gate: &Gate, stream: &Stream) {
    let record = gate.records().pop().unwrap();
    assert!(record.stream, "{}", stream.path);
    assert_eq!(
        (record.usage.input_tokens, record.usage.output_tokens),
        (Some(7), Some(2)),
        "{record:#?}"
    );
    assert_eq!(
        (record.outcome, record.usage.source),
        (Outcome::Complete, Some(UsageSource::Stream))
    );
}

#[tokio::test]
async fn an_event_is_passed_on_in_the_pieces_it_comes_in() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for stream in streams() {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let mut served = begin(&upstream, &mut client, Door::Connect, &stream).await;
        let bytes = [
            head(&stream, "Transfer-Encoding: chunked"),
            // Chunks and events need not begin or end together.
            stream.events.concat().chunks(100).flat_map(chunk).collect(),
            b"0\r\n\r\n".to_vec(),
        ]
        .concat();
        let head_length = head(&stream, "Transfer-Encoding: chunked").len();
        let (head, body) = bytes.split_at(head_length);
        served.send(head).await;
        client.expect(head).await;
        for piece in body.chunks(13) {
            served.send(piece).await;
            client.expect(piece).await;
        }
        assert_counted(&gate, &stream);
        served.close().await;
    }
}

#[tokio::test]
async fn a_stream_without_chunks_flows_as_well() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for stream in streams() {
        let length: usize = stream.events.iter().map(Vec::len).sum();
        for framing in [
            "X-No: length".to_owned(),
            format!("Content-Length: {length}"),
        ] {
            let mut client = Door::Connect.open(&gate, BEDROCK).await;
            let mut served = begin(&upstream, &mut client, Door::Connect, &stream).await;
            served.send(head(&stream, &framing)).await;
            client.expect(&head(&stream, &framing)).await;
            for event in &stream.events {
                served.send(event).await;
                client.expect(event).await;
            }
            served.close().await;
            if framing.starts_with("X-No") {
                client.end().await;
            }
            assert_counted(&gate, &stream);
        }
    }
}

#[tokio::test]
async fn first_byte_and_first_token_are_timed_when_they_pass() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for stream in streams() {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let before_request = Instant::now();
        let mut served = begin(&upstream, &mut client, Door::Connect, &stream).await;
        let request_arrived = Instant::now();
        let head = head(&stream, "Transfer-Encoding: chunked");
        served.send(&head).await;
        client.expect(&head).await;
        let head_at_client = before_request.elapsed();
        let mut token_sent = None;
        let mut token_at_client = None;
        for (number, event) in stream.events.iter().enumerate() {
            if number == stream.first_token {
                token_sent = Some(request_arrived.elapsed());
            }
            served.send(chunk(event)).await;
            client.expect(&chunk(event)).await;
            if number == stream.first_token + 1 {
                token_at_client = Some(before_request.elapsed());
            }
        }
        served.send("0\r\n\r\n").await;
        client.expect(b"0\r\n\r\n").await;
        let whole = before_request.elapsed();
        served.close().await;

        let record = gate.records().pop().unwrap();
        let first_byte = record.first_byte_ms.unwrap();
        let first_token = record.first_token_ms.unwrap();
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
        assert!(
            first_byte > 0.0 && first_byte <= ms(head_at_client),
            "{first_byte} in {head_at_client:?}"
        );
        assert!(
            first_token >= ms(token_sent.unwrap()) - 0.001,
            "{first_token} after {token_sent:?}"
        );
        assert!(
            first_token <= ms(token_at_client.unwrap()),
            "{first_token} before {token_at_client:?}"
        );
        assert!(
            record.duration_ms >= first_token && record.duration_ms <= ms(whole),
            "{}",
            record.duration_ms
        );
    }
}

#[tokio::test]
async fn a_large_request_and_a_large_response_flow_at_the_same_time() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let head = format!(
        "POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    client.send(&head).await;
    let mut served = upstream.accept().await;
    served.expect(head.as_bytes()).await;
    // The answer begins while the question is still being asked, and each piece waits for one of the other side.
    served
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client
        .expect(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let piece = chunk(&[b'x'; 40_000]);
    for _ in 0..20 {
        client.send(&piece).await;
        served.expect(&piece).await;
        served.send(&piece).await;
        client.expect(&piece).await;
    }
    client.send("0\r\n\r\n").await;
    served.expect(b"0\r\n\r\n").await;
    served.send("0\r\n\r\n").await;
    client.expect(b"0\r\n\r\n").await;
    let record = gate.records().pop().unwrap();
    assert_eq!(record.request_bytes, record.response_bytes);
    assert_eq!(record.request_bytes, 20 * piece.len() as u64 + 5);
    // The connection is as good as new.
    client.send(&head).await;
    served.expect(head.as_bytes()).await;
}
