//! Models that fail on purpose: every id that begins with `simulate.` brings about one failure.
//!
//! Some fail at once with a typed error, some answer and then go wrong: an exception inside a stream, a connection that
//! drops, a model that is slow. Types and statuses follow the service model.

use serde_json::{Value, json};

use super::super::fault::Fault;
use super::super::reply::{Reply, ReplyBody};
use super::frames;

/// The error of a model that fails at once.
pub(super) fn at_once(model: &str) -> Result<(), Fault> {
    let (status, name, message) = match model {
        "simulate.throttling" => (
            429,
            "ThrottlingException",
            "Too many requests, please wait before trying again.",
        ),
        "simulate.validation" => (
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
        ),
        "simulate.access-denied" => (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
        ),
        "simulate.timeout" => (
            408,
            "ModelTimeoutException",
            "Model has timed out in processing the request. Try your request again.",
        ),
        "simulate.model-error" => {
            let fault = Fault::service(
                424,
                "ModelErrorException",
                "The system encountered an unexpected error.",
            );
            return Err(fault
                .with("originalStatusCode", Value::from(500))
                .with("resourceName", Value::from(model)));
        }
        "simulate.internal" => (
            500,
            "InternalServerException",
            "The system encountered an unexpected error during processing. Try your request again.",
        ),
        "simulate.unavailable" => (
            503,
            "ServiceUnavailableException",
            "Bedrock is unable to process your request.",
        ),
        _ => return Ok(()),
    };
    Err(Fault::service(status, name, message))
}

/// Makes an answer go wrong if the model is one that does. `vendor` tells whose words a stream's error is in.
pub(super) fn on_the_way(model: &str, mut reply: Reply, vendor: Vendor) -> Result<Reply, Fault> {
    match model {
        "simulate.slow" => reply.slow = true,
        "simulate.stream-exception" => {
            let ReplyBody::Stream { events, .. } = &mut reply.body else {
                return Err(Fault::service(424, "ModelErrorException", MODEL_STOPPED));
            };
            beginning(events);
            events.push(stream_error(vendor));
        }
        "simulate.stream-cut" => {
            reply.body = match reply.body {
                ReplyBody::Stream { mut events, .. } => {
                    beginning(&mut events);
                    ReplyBody::Stream { events, cut: true }
                }
                ReplyBody::Whole(body) | ReplyBody::Short(body) => ReplyBody::Short(body),
            };
        }
        _ => {}
    }
    Ok(reply)
}

/// Whose shape errors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    Aws,
    OpenAi,
    Anthropic,
}

impl Vendor {
    /// An error answer in this shape. What Bedrock sends on the vendors' paths is not documented; these are the shapes
    /// of the vendors' own services, with AWS's fields beside them.
    pub(super) fn fault(self, fault: &Fault) -> Reply {
        match self {
            Self::Aws => Reply::fault(fault),
            Self::OpenAi => {
                let error = json!({"message": fault.message, "type": fault.name, "code": fault.status, "param": null});
                Reply::fault_with_body(fault, &json!({"error": error}))
            }
            Self::Anthropic => {
                let error = json!({"type": anthropic_type(fault.status), "message": fault.message});
                Reply::fault_with_body(fault, &json!({"type": "error", "error": error}))
            }
        }
    }
}

const MODEL_STOPPED: &str = "The model stopped.";

/// Keeps the first events, never the last one, which may tell the usage.
fn beginning(events: &mut Vec<Vec<u8>>) {
    events.truncate(events.len().saturating_sub(1).min(3));
}

fn stream_error(vendor: Vendor) -> Vec<u8> {
    match vendor {
        Vendor::Aws => frames::exception(
            "modelStreamErrorException",
            &json!({
                "message": MODEL_STOPPED,
                "originalMessage": "upstream reset",
                "originalStatusCode": 500,
            }),
        ),
        Vendor::OpenAi => {
            let error = json!({"message": MODEL_STOPPED, "type": "server_error", "code": 500, "param": null});
            frames::data(&json!({"error": error}).to_string())
        }
        Vendor::Anthropic => {
            let error = json!({"type": "api_error", "message": MODEL_STOPPED});
            frames::named("error", &json!({"type": "error", "error": error}))
        }
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        400 => "invalid_request_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        _ => "api_error",
    }
}
