//! Event streams as Bedrock sends them, made by an encoder that is not ours.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// One event.
pub(crate) fn event(kind: &str, payload: &Value) -> Vec<u8> {
    let text = |value: &str| HeaderValue::String(value.to_owned().into());
    let message = Message::new(payload.to_string())
        .add_header(Header::new(":event-type", text(kind)))
        .add_header(Header::new(":content-type", text("application/json")))
        .add_header(Header::new(":message-type", text("event")));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

/// ConverseStream with two deltas: 7 input and 2 output tokens.
pub(crate) fn converse_stream() -> Vec<Vec<u8>> {
    let delta = |text: &str| {
        event(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"text": text}}),
        )
    };
    vec![
        event("messageStart", &json!({"role": "assistant"})),
        delta("Hello"),
        delta(" there"),
        event("contentBlockStop", &json!({"contentBlockIndex": 0})),
        event("messageStop", &json!({"stopReason": "end_turn"})),
        event(
            "metadata",
            &json!({"usage": {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}, "metrics": {"latencyMs": 1}}),
        ),
    ]
}

/// InvokeModelWithResponseStream of a Claude with one delta: 7 input and 2 output tokens.
pub(crate) fn invoke_stream() -> Vec<Vec<u8>> {
    let chunk = |value: Value| {
        event(
            "chunk",
            &json!({"bytes": STANDARD.encode(value.to_string())}),
        )
    };
    vec![
        chunk(
            json!({"type": "message_start", "message": {"role": "assistant", "usage": {"input_tokens": 7, "output_tokens": 1}}}),
        ),
        chunk(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        ),
        chunk(
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        ),
        chunk(json!({
            "type": "message_stop",
            "amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 2},
        })),
    ]
}

/// Chat completions as server-sent events: 7 input and 2 output tokens.
pub(crate) fn chat_stream() -> Vec<Vec<u8>> {
    let data = |value: Value| format!("data: {value}\n\n").into_bytes();
    let choice = |delta: Value| {
        data(json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}))
    };
    vec![
        choice(json!({"role": "assistant"})),
        choice(json!({"content": "Hello"})),
        data(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        data(
            json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}),
        ),
        b"data: [DONE]\n\n".to_vec(),
    ]
}

/// One chunk of the chunked coding.
pub(crate) fn chunk(content: &[u8]) -> Vec<u8> {
    [
        format!("{:x}\r\n", content.len()).as_bytes(),
        content,
        b"\r\n",
    ]
    .concat()
}
