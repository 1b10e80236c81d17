//! What the simulator answers to a request whose signature is good.
//!
//! A path becomes an operation, the operation reads the body and writes an answer in the shape of its model family.
//! Everything is computed from the request: equal requests to a new simulator get equal answers. Signatures and the wire
//! are left to others.

mod chat;
mod cohere;
mod converse;
mod failures;
mod frames;
mod invoke;
mod llama;
mod messages;
mod mistral;
mod model;
mod nova;
mod plain;
mod prompt;
mod text;
mod titan;
mod tokens;

#[cfg(test)]
mod answers_tests;

use std::time::SystemTime;

use serde_json::Value;

use super::fault::Fault;
use super::percent;
use super::received::Received;
use super::reply::Reply;
use failures::Vendor;
pub(super) use tokens::PromptCache;

/// An operation, with the model its path names.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    Converse(String),
    ConverseStream(String),
    InvokeModel(String),
    InvokeModelWithResponseStream(String),
    CountTokens(String),
    ApplyGuardrail,
    ListAsyncInvokes,
    ChatCompletions,
    AnthropicMessages,
}

/// Answers a request.
pub(super) fn answer(
    request: &Received,
    body: &[u8],
    cache: &PromptCache,
    now: SystemTime,
) -> Reply {
    let Some(operation) = Operation::of(&request.method, request.path()) else {
        return Reply::fault(&Fault::service(
            404,
            "UnknownOperationException",
            "Unknown operation",
        ));
    };
    let vendor = operation.vendor();
    operation
        .answer(request, body, cache, now)
        .unwrap_or_else(|fault| vendor.fault(&fault))
}

impl Operation {
    /// The operation behind a method and a raw path. A segment is decoded only after the path was split.
    fn of(method: &str, path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match (method, segments.as_slice()) {
            ("POST", ["model", model, verb]) => {
                let model = percent::decode_segment(model).filter(|model| !model.is_empty())?;
                match *verb {
                    "converse" => Some(Self::Converse(model)),
                    "converse-stream" => Some(Self::ConverseStream(model)),
                    "invoke" => Some(Self::InvokeModel(model)),
                    "invoke-with-response-stream" => {
                        Some(Self::InvokeModelWithResponseStream(model))
                    }
                    "count-tokens" => Some(Self::CountTokens(model)),
                    _ => None,
                }
            }
            ("POST", ["guardrail", _, "version", _, "apply"]) => Some(Self::ApplyGuardrail),
            ("GET", ["async-invoke"]) => Some(Self::ListAsyncInvokes),
            ("POST", ["openai", "v1", "chat", "completions"] | ["v1", "chat", "completions"]) => {
                Some(Self::ChatCompletions)
            }
            ("POST", ["anthropic", "v1", "messages"]) => Some(Self::AnthropicMessages),
            _ => None,
        }
    }

    fn vendor(&self) -> Vendor {
        match self {
            Self::ChatCompletions => Vendor::OpenAi,
            Self::AnthropicMessages => Vendor::Anthropic,
            _ => Vendor::Aws,
        }
    }

    fn answer(
        &self,
        request: &Received,
        body: &[u8],
        cache: &PromptCache,
        now: SystemTime,
    ) -> Result<Reply, Fault> {
        let model = self.model(body)?;
        failures::at_once(&model)?;
        let reply = match self {
            Self::Converse(_) => converse::whole(&model, body, cache),
            Self::ConverseStream(_) => converse::stream(&model, body, cache),
            Self::InvokeModel(_) => invoke::whole(&model, request, body, cache, now),
            Self::InvokeModelWithResponseStream(_) => {
                invoke::stream(&model, request, body, cache, now)
            }
            Self::CountTokens(_) => plain::count_tokens(&model, body),
            Self::ApplyGuardrail => plain::apply_guardrail(body),
            Self::ListAsyncInvokes => Ok(plain::list_async_invokes()),
            Self::ChatCompletions => chat::direct(&model, &prompt::parse(body)?, body, cache, now),
            Self::AnthropicMessages => messages::direct(&model, &prompt::parse(body)?, body, cache),
        }?;
        failures::on_the_way(&model, reply, self.vendor())
    }

    /// The model, from the path or from the body.
    fn model(&self, body: &[u8]) -> Result<String, Fault> {
        match self {
            Self::Converse(model)
            | Self::ConverseStream(model)
            | Self::InvokeModel(model)
            | Self::InvokeModelWithResponseStream(model)
            | Self::CountTokens(model) => Ok(model.clone()),
            Self::ChatCompletions | Self::AnthropicMessages => {
                let request = prompt::parse(body)?;
                let model = request.get("model").and_then(Value::as_str);
                Ok(model.ok_or_else(|| prompt::missing("model"))?.to_owned())
            }
            Self::ApplyGuardrail | Self::ListAsyncInvokes => Ok(String::new()),
        }
    }
}
