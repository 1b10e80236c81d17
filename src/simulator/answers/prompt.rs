//! The prompt of a request, whatever shape it came in: pieces of text with cache checkpoints, and a limit on the answer.
//!
//! Blocks that are not text count with their JSON. Validation goes as far as a test could miss it: what is needed to
//! answer must be there.

use serde_json::Value;

use super::super::fault::Fault;

/// What a model is asked.
#[derive(Debug)]
pub(super) struct Prompt {
    /// Tools, system and messages, in the order the cache sees them.
    pub(super) pieces: Vec<Piece>,
    /// The last text of the last message.
    pub(super) last_text: String,
    /// Most tokens of the answer.
    pub(super) max_tokens: Option<u64>,
}

/// A piece of a prompt.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    /// The prompt up to and including this piece is to be cached.
    pub(super) checkpoint: Option<Lifetime>,
}

/// How long a checkpoint lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    FiveMinutes,
    OneHour,
}

impl Lifetime {
    fn of(marker: &Value) -> Self {
        if marker.get("ttl").and_then(Value::as_str) == Some("1h") {
            Self::OneHour
        } else {
            Self::FiveMinutes
        }
    }
}

impl Prompt {
    /// A prompt that is one text.
    pub(super) fn of_text(
        body: &Value,
        member: &str,
        max_tokens: Option<u64>,
    ) -> Result<Self, Fault> {
        let text = body
            .get(member)
            .and_then(Value::as_str)
            .ok_or_else(|| missing(member))?;
        Ok(Self {
            pieces: vec![Piece {
                text: text.to_owned(),
                checkpoint: None,
            }],
            last_text: text.to_owned(),
            max_tokens,
        })
    }

    /// The Converse shape, which Nova's own is a variant of.
    pub(super) fn of_converse(body: &Value) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        for blocks in [body.pointer("/toolConfig/tools"), body.get("system")] {
            gather(blocks.unwrap_or(&Value::Null), &mut pieces);
        }
        let messages = list(body, "messages")?;
        for message in messages {
            gather(message.get("content").unwrap_or(&Value::Null), &mut pieces);
        }
        let limits = [
            "/inferenceConfig/maxTokens",
            "/inferenceConfig/max_new_tokens",
        ];
        Ok(Self {
            pieces,
            last_text: last_text(messages),
            max_tokens: limits
                .iter()
                .find_map(|limit| body.pointer(limit)?.as_u64()),
        })
    }

    /// The Anthropic Messages shape.
    pub(super) fn of_messages(body: &Value) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        for blocks in [body.get("tools"), body.get("system")] {
            gather(blocks.unwrap_or(&Value::Null), &mut pieces);
        }
        let messages = list(body, "messages")?;
        for message in messages {
            gather(message.get("content").unwrap_or(&Value::Null), &mut pieces);
        }
        let max_tokens = body.get("max_tokens").and_then(Value::as_u64);
        Ok(Self {
            pieces,
            last_text: last_text(messages),
            max_tokens: Some(max_tokens.ok_or_else(|| missing("max_tokens"))?),
        })
    }

    /// The chat completions shape. Everything but the last message is cached without being asked to.
    pub(super) fn of_chat(body: &Value) -> Result<Self, Fault> {
        let messages = list(body, "messages")?;
        let mut pieces = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            gather(message.get("content").unwrap_or(&Value::Null), &mut pieces);
            if index + 2 == messages.len() {
                mark(&mut pieces, Lifetime::FiveMinutes);
            }
        }
        let limits = ["max_completion_tokens", "max_tokens"];
        Ok(Self {
            pieces,
            last_text: last_text(messages),
            max_tokens: limits.iter().find_map(|limit| body.get(limit)?.as_u64()),
        })
    }

    /// All octets of the prompt.
    pub(super) fn octets(&self) -> usize {
        self.pieces.iter().map(|piece| piece.text.len()).sum()
    }
}

/// A JSON body, or the answer to one that is not.
pub(super) fn parse(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| {
            Fault::validation("Malformed input request, please reformat your input and try again.")
        })
}

/// The fault for a member that is not there.
pub(super) fn missing(member: &str) -> Fault {
    Fault::validation(format!(
        "Malformed input request: required key [{member}] not found"
    ))
}

fn list<'a>(body: &'a Value, member: &str) -> Result<&'a Vec<Value>, Fault> {
    body.get(member)
        .and_then(Value::as_array)
        .filter(|members| !members.is_empty())
        .ok_or_else(|| missing(member))
}

/// Adds the blocks of a string or an array, with their checkpoints.
fn gather(blocks: &Value, pieces: &mut Vec<Piece>) {
    match blocks {
        Value::String(text) => pieces.push(Piece {
            text: text.clone(),
            checkpoint: None,
        }),
        Value::Array(blocks) => {
            for block in blocks {
                if let Some(point) = block.get("cachePoint") {
                    mark(pieces, Lifetime::of(point));
                    continue;
                }
                pieces.push(Piece {
                    text: text_of(block).map_or_else(|| block.to_string(), str::to_owned),
                    checkpoint: block.get("cache_control").map(Lifetime::of),
                });
            }
        }
        _ => {}
    }
}

fn mark(pieces: &mut [Piece], lifetime: Lifetime) {
    if let Some(last) = pieces.last_mut() {
        last.checkpoint = Some(lifetime);
    }
}

fn text_of(block: &Value) -> Option<&str> {
    block.get("text").and_then(Value::as_str)
}

fn last_text(messages: &[Value]) -> String {
    let content = messages.last().and_then(|message| message.get("content"));
    let text = match content {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(Value::Array(blocks)) => blocks.iter().rev().find_map(text_of),
        _ => None,
    };
    text.unwrap_or_default().to_owned()
}
