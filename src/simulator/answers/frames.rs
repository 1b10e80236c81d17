//! Messages of an event stream, encoded by `aws-smithy-eventstream`, and server-sent events.
//!
//! Header order and the padding member `p` follow what Bedrock sends; the padding's length varies with the payload.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Content type of an event stream.
pub(super) const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
/// Content type of server-sent events.
pub(super) const SERVER_SENT_EVENTS: &str = "text/event-stream";

const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// An event message with its padding.
pub(super) fn event(event_type: &'static str, mut payload: Value) -> Vec<u8> {
    let length = 1 + payload.to_string().len() * 37 % PADDING.len();
    if let (Some(members), Some(padding)) = (payload.as_object_mut(), PADDING.get(..length)) {
        members.insert("p".to_owned(), Value::from(padding));
    }
    message(":event-type", event_type, "event", &payload)
}

/// An event message that carries one object of a model's own stream.
pub(super) fn chunk(object: &Value) -> Vec<u8> {
    event(
        "chunk",
        json!({"bytes": STANDARD.encode(object.to_string())}),
    )
}

/// An exception message.
pub(super) fn exception(exception_type: &'static str, payload: &Value) -> Vec<u8> {
    message(":exception-type", exception_type, "exception", payload)
}

/// A server-sent event without a name.
pub(super) fn data(data: &str) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

/// A server-sent event with a name.
pub(super) fn named(name: &str, data: &Value) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

fn message(
    type_header: &'static str,
    type_name: &'static str,
    message_type: &'static str,
    payload: &Value,
) -> Vec<u8> {
    let text = |value: &'static str| HeaderValue::String(value.into());
    let message = Message::new(payload.to_string())
        .add_header(Header::new(type_header, text(type_name)))
        .add_header(Header::new(":content-type", text("application/json")))
        .add_header(Header::new(":message-type", text(message_type)));
    let mut encoded = Vec::new();
    if let Err(error) = write_message_to(&message, &mut encoded) {
        // Only a payload beyond 4 GiB or an overlong header gets here, and neither fits into a request.
        tracing::error!(%error, "a message of the simulator could not be encoded");
    }
    encoded
}
