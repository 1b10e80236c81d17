//! The usage that an answer tells, read by other means than the gate's: whole documents by `serde_json`, event streams
//! by `aws-smithy-eventstream`.

use std::io::Read;

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::book::Tokens;
use super::super::reading::Head;

/// What the answer with `head` and `content` tells; an error when it is not what it says it is.
pub(crate) fn told(head: &Head, content: &[u8]) -> Result<Tokens, String> {
    if head.status != 200 {
        return Ok(Tokens::None);
    }
    let content = decoded(head, content)?;
    let kind = head.field("content-type").unwrap_or_default();
    match kind {
        "application/vnd.amazon.eventstream" => of_events(&content),
        "text/event-stream" => of_server_sent_events(&content),
        _ => of_document(head, &content),
    }
}

fn decoded(head: &Head, content: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let read = match head.field("content-encoding") {
        None => return Ok(content.to_vec()),
        Some("gzip") => flate2::read::GzDecoder::new(content).read_to_end(&mut plain),
        Some("deflate") => flate2::read::ZlibDecoder::new(content).read_to_end(&mut plain),
        Some("br") => brotli::Decompressor::new(content, 4096).read_to_end(&mut plain),
        Some("zstd") => ruzstd::decoding::StreamingDecoder::new(content)
            .map_err(|error| error.to_string())?
            .read_to_end(&mut plain),
        Some(other) => return Err(format!("content coding {other}")),
    };
    read.map_err(|error| format!("content coding: {error}"))?;
    Ok(plain)
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn of_document(head: &Head, content: &[u8]) -> Result<Tokens, String> {
    let document: Value = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    let header = |name: &str| {
        let name = format!("x-amzn-bedrock-{name}-token-count");
        head.field(&name).and_then(|text| text.parse().ok())
    };
    let first = |pointers: &[&str]| {
        let mut found = pointers
            .iter()
            .filter_map(|pointer| number(&document, pointer));
        found.next()
    };
    let embeds = document.get("embeddings").is_some().then_some(0);
    Ok(Tokens::Told {
        input: first(&[
            "/usage/inputTokens",
            "/usage/input_tokens",
            "/prompt_token_count",
        ])
        .or_else(|| header("input")),
        output: first(&[
            "/usage/outputTokens",
            "/usage/output_tokens",
            "/generation_token_count",
        ])
        .or_else(|| header("output"))
        .or(embeds),
        cache_read: first(&[
            "/usage/cacheReadInputTokens",
            "/usage/cache_read_input_tokens",
        ]),
        cache_write: first(&[
            "/usage/cacheWriteInputTokens",
            "/usage/cache_creation_input_tokens",
        ]),
    })
}

fn of_events(content: &[u8]) -> Result<Tokens, String> {
    let mut rest = content;
    let mut tokens = Tokens::Untold;
    while !rest.is_empty() {
        let message = read_message_from(&mut rest).map_err(|error| error.to_string())?;
        let name = |header: &str| text_of(&message, header);
        match name(":event-type").as_deref() {
            Some("metadata") => {
                let event = parsed(message.payload())?;
                tokens = Tokens::Told {
                    input: number(&event, "/usage/inputTokens"),
                    output: number(&event, "/usage/outputTokens"),
                    cache_read: number(&event, "/usage/cacheReadInputTokens"),
                    cache_write: number(&event, "/usage/cacheWriteInputTokens"),
                };
            }
            Some("chunk") => {
                let event = parsed(message.payload())?;
                let octets = event
                    .get("bytes")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let octets = STANDARD.decode(octets).map_err(|error| error.to_string())?;
                let event = parsed(&octets)?;
                if let Some(metrics) = event.get("amazon-bedrock-invocationMetrics") {
                    let at = |name: &str| metrics.get(name).and_then(Value::as_u64);
                    tokens = Tokens::Told {
                        input: at("inputTokenCount"),
                        output: at("outputTokenCount"),
                        cache_read: at("cacheReadInputTokenCount"),
                        cache_write: at("cacheWriteInputTokenCount"),
                    };
                }
            }
            _ => {}
        }
    }
    Ok(tokens)
}

fn text_of(message: &Message, name: &str) -> Option<String> {
    let headers = message.headers().iter();
    let mut found = headers.filter(|header| header.name().as_str() == name);
    let value = found.next()?.value().as_string().ok()?;
    Some(value.as_str().to_owned())
}

fn parsed(octets: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(octets).map_err(|error| error.to_string())
}

fn of_server_sent_events(content: &[u8]) -> Result<Tokens, String> {
    let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
    let mut tokens = Tokens::Untold;
    let mut start = Value::Null;
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            continue;
        }
        let event = parsed(data.as_bytes())?;
        match event.get("type").and_then(Value::as_str) {
            Some("message_start") => start.clone_from(&event),
            Some("message_delta") => {
                tokens = Tokens::Told {
                    input: number(&start, "/message/usage/input_tokens"),
                    output: number(&event, "/usage/output_tokens"),
                    cache_read: number(&start, "/message/usage/cache_read_input_tokens"),
                    cache_write: number(&start, "/message/usage/cache_creation_input_tokens"),
                };
            }
            _ => {}
        }
        if let Some(prompt) = number(&event, "/usage/prompt_tokens") {
            let cached = number(&event, "/usage/prompt_tokens_details/cached_tokens");
            tokens = Tokens::Told {
                input: Some(prompt.saturating_sub(cached.unwrap_or_default())),
                output: number(&event, "/usage/completion_tokens"),
                cache_read: cached,
                cache_write: None,
            };
        }
    }
    Ok(tokens)
}
