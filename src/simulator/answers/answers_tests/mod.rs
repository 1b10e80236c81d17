//! The answers, asked for without a socket.
//!
//! Here stand the question and the readers of the answer, with a decoder that is not ours; the tests are in the files
//! beside.

mod counts;
mod failures;
mod operations;

use std::time::SystemTime;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use serde_json::{Value, json};

use super::super::received::Received;
use super::super::reply::{Reply, ReplyBody};
use super::{PromptCache, answer};

fn ask(cache: &PromptCache, path: &str, body: &Value) -> Reply {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nX-Amzn-Bedrock-Service-Tier: flex\r\n\r\n");
    let request = Received::parse(head.as_bytes()).unwrap();
    answer(
        &request,
        body.to_string().as_bytes(),
        cache,
        SystemTime::UNIX_EPOCH,
    )
}

fn whole(reply: &Reply) -> Value {
    let ReplyBody::Whole(body) = &reply.body else {
        panic!("a stream: {reply:?}");
    };
    serde_json::from_slice(body).unwrap()
}

fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let found = reply
        .fields
        .iter()
        .find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

fn octets(reply: &Reply) -> Vec<u8> {
    let ReplyBody::Stream { events, .. } = &reply.body else {
        panic!("not a stream: {reply:?}");
    };
    events.concat()
}

/// The messages of an event stream, as an independent decoder reads them.
fn messages(reply: &Reply) -> Vec<(String, Value)> {
    let mut buffer = BytesMut::from(octets(reply).as_slice());
    let mut decoder = MessageFrameDecoder::new();
    let mut decoded = Vec::new();
    while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut buffer).unwrap() {
        decoded.push(read(&message));
    }
    assert!(buffer.is_empty());
    decoded
}

fn read(message: &Message) -> (String, Value) {
    let names: Vec<&str> = message
        .headers()
        .iter()
        .map(|header| header.name().as_str())
        .collect();
    assert_eq!(names[1..], [":content-type", ":message-type"]);
    assert_eq!(
        names[0],
        format!(
            ":{}-type",
            message.headers()[2].value().as_string().unwrap().as_str()
        )
    );
    let kind = message.headers()[0]
        .value()
        .as_string()
        .unwrap()
        .as_str()
        .to_owned();
    (kind, serde_json::from_slice(message.payload()).unwrap())
}

/// The objects inside an InvokeModel stream.
fn chunks(reply: &Reply) -> Vec<Value> {
    assert_eq!(
        field(reply, "X-Amzn-Bedrock-Content-Type"),
        Some("application/json")
    );
    let decode = |(kind, payload): (String, Value)| {
        assert_eq!(kind, "chunk");
        assert!(payload["p"].is_string());
        serde_json::from_slice(&STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap())
            .unwrap()
    };
    messages(reply).into_iter().map(decode).collect()
}

fn sent_events(reply: &Reply) -> Vec<String> {
    let text = String::from_utf8(octets(reply)).unwrap();
    text.split_terminator("\n\n").map(str::to_owned).collect()
}

/// What the simulator writes for `hello`, a prompt of five octets and two tokens.
const HELLO: &str = "You sent 2 tokens – voilà, the end of them again: “hello”. That is all the simulator has to say.";

fn hello_tokens() -> u64 {
    u64::try_from(HELLO.len().div_ceil(4)).unwrap()
}

fn hello() -> Value {
    json!([{"role": "user", "content": [{"text": "hello"}]}])
}
