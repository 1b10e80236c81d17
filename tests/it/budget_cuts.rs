//! A budget that runs out in a stream ends it with an exception that every reader of such streams believes, and nothing that
//! was used is lost; where the stream cannot be ended it goes on and the record says so.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use serde_json::json;
use tollgate::ledger::{Outcome, UsageRecord};
use tollgate::usage::UsageSource;

use crate::support::budgets::{Call, plan};
use crate::support::frames::{chat_stream, chunk, converse_stream, event};
use crate::support::{BEDROCK, Door, End, Gate, RawClient, RawUpstream};

const TYPE: &str = "Content-Type: application/vnd.amazon.eventstream\r\n";

/// A limit that the reservation fits in and the answer does not.
fn rules(on_exceeded: &str) -> String {
    format!(
        "[[budget]]\nname = \"short\"\noutput_tokens = 20\nwindow = \"24h\"\non_exceeded = \"{on_exceeded}\"\n"
    )
}

fn delta(text: &str) -> Vec<u8> {
    event(
        "contentBlockDelta",
        &json!({"contentBlockIndex": 0, "delta": {"text": text}}),
    )
}

/// Forty bytes of text a message: ten tokens.
fn long() -> Vec<Vec<u8>> {
    let begin = event("messageStart", &json!({"role": "assistant"}));
    let rest = (0..8).map(|_| delta("four score and seven years ago and more."));
    std::iter::once(begin).chain(rest).collect()
}

async fn ask(gate: &Gate, upstream: &RawUpstream) -> (RawClient, RawClient) {
    let mut client = Door::Connect.open(gate, BEDROCK).await;
    let call = Call::default().action("converse-stream");
    client.send(call.through(Door::Connect)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    (client, served)
}

/// The messages of a body, all of which must be whole.
fn messages(mut content: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while !content.is_empty() {
        messages.push(read_message_from(&mut content).unwrap());
    }
    messages
}

fn header<'m>(message: &'m Message, name: &str) -> Option<&'m str> {
    let found = message
        .headers()
        .iter()
        .find(|header| header.name().as_str() == name)?;
    Some(found.value().as_string().unwrap().as_str())
}

/// Fails unless `content` is the first messages of `events` and the exception.
fn assert_cut(content: &[u8], events: &[Vec<u8>], what: &str) -> usize {
    let messages = messages(content);
    let (last, before) = messages.split_last().unwrap();
    assert_eq!(header(last, ":message-type"), Some("exception"), "{what}");
    assert_eq!(
        header(last, ":exception-type"),
        Some("throttlingException"),
        "{what}"
    );
    assert_eq!(
        header(last, ":content-type"),
        Some("application/json"),
        "{what}"
    );
    let said: serde_json::Value = serde_json::from_slice(last.payload()).unwrap();
    let said = said["message"].as_str().unwrap();
    assert!(said.contains("short"), "{said}");
    let passed = events[..before.len()].concat();
    assert!(content.starts_with(&passed), "{what}");
    before.len()
}

fn assert_record(record: &UsageRecord, passed: usize, what: &str) {
    assert_eq!(record.outcome, Outcome::Complete, "{what}");
    assert_eq!(record.status, Some(200));
    assert_eq!(
        record.error_type.as_deref(),
        Some("throttlingException"),
        "{what}"
    );
    assert_eq!(
        record.tags.get("tollgate-rule").map(String::as_str),
        Some("short")
    );
    assert!(
        record.notes.contains(&"budget-cut".to_owned()),
        "{what}: {:?}",
        record.notes
    );
    assert_eq!(record.usage.source, Some(UsageSource::Estimated));
    assert!(record.usage.input_tokens.is_some_and(|tokens| tokens > 0));
    let output = record.usage.output_tokens.unwrap();
    let texts = u64::try_from(passed).unwrap() - 1;
    assert!(
        output >= texts * 8,
        "{what}: {output} tokens of {texts} texts"
    );
}

#[tokio::test]
async fn a_stream_is_ended_behind_a_whole_message_however_it_is_chunked() {
    let events = long();
    let stream = events.concat();
    for size in [1, 7, 50, 100, 181, 400, 1000, stream.len()] {
        let upstream = RawUpstream::tls().await;
        let gate = plan(&rules("cut"), &upstream).start().await;
        let (mut client, mut served) = ask(&gate, &upstream).await;
        served
            .send(format!(
                "HTTP/1.1 200 OK\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\n"
            ))
            .await;
        for piece in stream.chunks(size) {
            // The gate may be gone by then.
            served.try_send(chunk(piece)).await.ok();
        }
        let answer = client.answer().await;
        let what = format!("chunks of {size}");
        let passed = assert_cut(&answer.content, &events, &what);
        // A stream that is wholly there when it is looked at has nothing left to be cut off but its end.
        assert!(passed >= 3, "{what}: {passed}");
        served.end().await;
        // The framing is right: the connection carries the next request.
        client.send(Call::default().through(Door::Connect)).await;
        let refused = client.answer().await;
        refused.assert_typed(403, "AccessDeniedException", "budget-spent");
        let records = gate.stop().await.records();
        assert_record(&records[0], passed, &what);
        assert_eq!(
            records[0].response_bytes,
            answer.wire.len() as u64,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_comes_message_by_message_ends_with_the_one_that_was_too_much() {
    let events = long();
    let upstream = RawUpstream::tls().await;
    let gate = plan(&rules("cut"), &upstream).start().await;
    let (mut client, mut served) = ask(&gate, &upstream).await;
    let opening = format!("HTTP/1.1 200 OK\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\n");
    served.send(&opening).await;
    client.expect(opening.as_bytes()).await;
    // 10 and 20 tokens are within the budget, 30 are not.
    let mut content = Vec::new();
    for event in &events[..4] {
        served.send(chunk(event)).await;
        client.expect(&chunk(event)).await;
        content.extend_from_slice(event);
    }
    let rest = client.body_behind(opening.into_bytes()).await;
    content.extend_from_slice(&rest.content);
    assert_eq!(assert_cut(&content, &events, "message by message"), 4);
    served.end().await;
    assert_record(&gate.stop().await.record(), 4, "message by message");
}

#[tokio::test]
async fn a_stream_until_the_connections_end_is_ended_by_it() {
    let events = long();
    let upstream = RawUpstream::tls().await;
    let gate = plan(&rules("cut"), &upstream).start().await;
    let (mut client, mut served) = ask(&gate, &upstream).await;
    served.send(format!("HTTP/1.1 200 OK\r\n{TYPE}\r\n")).await;
    for piece in events.concat().chunks(100) {
        served.try_send(piece).await.ok();
    }
    let head = client.head().await;
    let (content, end) = client.rest().await;
    assert!(head.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(end, End::Closed);
    let passed = assert_cut(&content, &events, "until close");
    assert_record(&gate.stop().await.record(), passed, "until close");
}

#[tokio::test]
async fn a_stream_that_cannot_be_ended_goes_on_and_its_record_says_so() {
    let mut events = long();
    events.extend(converse_stream().into_iter().skip(3));
    let stream = events.concat();
    let length = format!("{TYPE}Content-Length: {}\r\n", stream.len());
    let coded = format!("{TYPE}Content-Encoding: identity\r\nTransfer-Encoding: chunked\r\n");
    let wire = [&chunk(&stream)[..], b"0\r\n\r\n"].concat();
    for (fields, wire, on_exceeded, noted) in [
        (&length, &stream, "cut", true),
        (&coded, &wire, "cut", true),
        (&length, &stream, "finish", false),
    ] {
        let upstream = RawUpstream::tls().await;
        let gate = plan(&rules(on_exceeded), &upstream).start().await;
        let (mut client, mut served) = ask(&gate, &upstream).await;
        served
            .send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
            .await;
        // The last message apart: a budget runs out before the end, not with it.
        let (begin, end) = wire.split_at(wire.len() - 40);
        served.send(begin).await;
        client.head().await;
        served.send(end).await;
        client.expect(wire).await;
        let record = gate.stop().await.record();
        assert_eq!(record.outcome, Outcome::Complete);
        assert_eq!(record.error_type, None);
        assert_eq!(record.usage.source, Some(UsageSource::Stream));
        let note = record.notes.contains(&"budget-not-cut".to_owned());
        assert_eq!(note, noted, "{fields} {on_exceeded}");
        assert_eq!(record.tags.contains_key("tollgate-rule"), noted);
    }
}

#[tokio::test]
async fn server_sent_events_go_on_to_their_end() {
    let rules = rules("cut").replace("output_tokens = 20", "output_tokens = 1");
    let upstream = RawUpstream::tls().await;
    let gate = plan(&rules, &upstream).start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let body = r#"{"model":"openai.gpt-oss-20b","stream":true,"max_tokens":1,"messages":[]}"#;
    client
        .send(format!(
            "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    let opening =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    served.send(opening).await;
    client.expect(opening.as_bytes()).await;
    for event in chat_stream() {
        served.send(chunk(&event)).await;
        client.expect(&chunk(&event)).await;
    }
    served.send("0\r\n\r\n").await;
    client.expect(b"0\r\n\r\n").await;
    let record = gate.stop().await.record();
    assert_eq!(record.outcome, Outcome::Complete);
    assert_eq!(record.usage.output_tokens, Some(2));
    assert!(record.notes.contains(&"budget-not-cut".to_owned()));
}
