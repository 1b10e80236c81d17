//! What the tests of this room share: heads from text, streams from documents, and one call to observe an exchange.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;

use crate::aws::operation::Operation;
use crate::usage::{ExchangeObserver, Observation};
use crate::wire::http1::{HeadLimits, ResponseHead};

pub(super) const JSON: &str = "application/json";
pub(super) const EVENTS: &str = "application/vnd.amazon.eventstream";
pub(super) const SSE: &str = "text/event-stream; charset=utf-8";

/// A head with this status and these field-lines.
pub(super) fn head(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut text = format!("HTTP/1.1 {status} X\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut buffer = BytesMut::from(text.as_bytes());
    ResponseHead::take(&mut buffer, &HeadLimits::default())
        .expect("a good head")
        .expect("a whole head")
}

/// Shows a response to an observer in pieces of `size` and asks what it saw.
pub(super) fn observe_in(
    operation: Option<Operation>,
    head: &ResponseHead,
    body: &[u8],
    size: usize,
    complete: bool,
) -> Observation {
    let mut observer = ExchangeObserver::new(operation);
    observer.response_head(head);
    for piece in body.chunks(size) {
        observer.response_content(piece);
    }
    observer.finish(complete)
}

/// Shows a good and complete response of this type.
pub(super) fn observe(operation: Operation, content_type: &str, body: &[u8]) -> Observation {
    let head = head(200, &[("Content-Type", content_type)]);
    observe_in(Some(operation), &head, body, usize::MAX, true)
}

/// One message with these string headers.
pub(super) fn message(headers: &[(&'static str, &str)], payload: &str) -> Vec<u8> {
    let message = headers.iter().fold(
        Message::new(payload.as_bytes().to_vec()),
        |message, (name, value)| {
            let value = HeaderValue::String((*value).to_owned().into());
            message.add_header(Header::new(*name, value))
        },
    );
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("a message within the limits");
    bytes
}

/// An event of this type.
pub(super) fn event(event_type: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":event-type", event_type),
        (":content-type", JSON),
        (":message-type", "event"),
    ];
    message(&headers, payload)
}

/// A stream of InvokeModel chunks that hold these documents.
pub(super) fn chunks(documents: &[&str]) -> Vec<u8> {
    documents
        .iter()
        .flat_map(|document| {
            let bytes = STANDARD.encode(document);
            event("chunk", &format!(r#"{{"bytes":"{bytes}","p":"abcdef"}}"#))
        })
        .collect()
}

/// Server-sent events with these data, named where a name is given.
pub(super) fn server_sent(events: &[(&str, &str)]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|(name, data)| match *name {
            "" => format!("data: {data}\n\n").into_bytes(),
            name => format!("event: {name}\ndata: {data}\n\n").into_bytes(),
        })
        .collect()
}
