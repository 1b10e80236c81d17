//! What a request asks for: the operation and the model it addresses, told from method, path and service.
//!
//! The raw path is split on `/` before any segment is decoded, because an ARN carries its own slashes as `%2F`. The
//! result is for records and routing only; nobody builds a path from it. Paths follow the service models of Bedrock
//! Runtime and Agents for Amazon Bedrock Runtime, and the OpenAI- and Anthropic-compatible ones beside them.
//! Models that are named in a body are read by whoever reads the body.

use std::borrow::Cow;

use super::endpoint::Service;
use super::percent;
use super::split::{split, split_once};

/// An operation of the Bedrock data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /model/{modelId}/converse`.
    Converse,
    /// `POST /model/{modelId}/converse-stream`.
    ConverseStream,
    /// `POST /model/{modelId}/invoke`.
    InvokeModel,
    /// `POST /model/{modelId}/invoke-with-response-stream`.
    InvokeModelWithResponseStream,
    /// `POST /model/{modelId}/invoke-with-bidirectional-stream`; HTTP/2 only.
    InvokeModelWithBidirectionalStream,
    /// `POST /model/{modelId}/count-tokens`.
    CountTokens,
    /// `POST /guardrail/{guardrailIdentifier}/version/{guardrailVersion}/apply`.
    ApplyGuardrail,
    /// `POST /guardrail-checks/invoke`.
    InvokeGuardrailChecks,
    /// `POST /async-invoke`.
    StartAsyncInvoke,
    /// `GET /async-invoke/{invocationArn}`.
    GetAsyncInvoke,
    /// `GET /async-invoke`.
    ListAsyncInvokes,
    /// `POST …/v1/chat/completions`, OpenAI-compatible.
    ChatCompletions,
    /// `POST …/v1/responses`, OpenAI-compatible.
    Responses,
    /// `POST …/v1/messages`, Anthropic-compatible.
    Messages,
    /// `POST …/v1/messages/count_tokens`, Anthropic-compatible.
    MessagesCountTokens,
    /// `GET …/v1/models`.
    ListModels,
    /// `POST /agents/{agentId}/agentAliases/{agentAliasId}/sessions/{sessionId}/text`.
    InvokeAgent,
    /// `POST /agents/{sessionId}`.
    InvokeInlineAgent,
    /// `POST /retrieveAndGenerate`.
    RetrieveAndGenerate,
    /// `POST /retrieveAndGenerateStream`.
    RetrieveAndGenerateStream,
    /// `POST /knowledgebases/{knowledgeBaseId}/retrieve`.
    Retrieve,
    /// `POST /rerank`.
    Rerank,
    /// `POST /flows/{flowIdentifier}/aliases/{flowAliasIdentifier}`.
    InvokeFlow,
    /// `POST /optimize-prompt`.
    OptimizePrompt,
    /// `POST /generateQuery`.
    GenerateQuery,
}

/// An operation and what it addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// The model id or ARN of the path, percent-decoded; `None` where the path names no model.
    pub model: Option<String>,
}

/// Recognises a call from the method and the origin-form of its target; `None` for every other path.
///
/// ```
/// use tollgate::aws::{Operation, Service, operation::recognise};
///
/// let call = recognise(Service::Runtime, "POST", "/model/amazon.nova-lite-v1%3A0/converse").unwrap();
/// assert_eq!(call.operation, Operation::Converse);
/// assert_eq!(call.model.as_deref(), Some("amazon.nova-lite-v1:0"));
/// ```
#[must_use]
pub fn recognise(service: Service, method: &str, path_and_query: &str) -> Option<Call> {
    let path = split_once(path_and_query, b'?').map_or(path_and_query, |(path, _)| path);
    // Empty segments do not count: SigV4 folds repeated slashes, so `//model/…` may well be served.
    // The longest path has seven segments; an eighth tells that it is none of ours.
    let mut decoded: [Cow<'_, str>; MAX_SEGMENTS + 1] = Default::default();
    let sent = split(path.strip_prefix('/')?, b'/').filter(|segment| !segment.is_empty());
    let mut count = 0;
    for (place, segment) in decoded.iter_mut().zip(sent) {
        *place = percent::decode(segment);
        count += 1;
    }
    let segments = decoded.each_ref().map(AsRef::as_ref);
    let segments = segments.get(..count).unwrap_or_default();
    match service {
        Service::Runtime => runtime(method, segments).or_else(|| compatible(method, segments)),
        Service::Mantle => compatible(method, segments),
        Service::AgentRuntime => agent_runtime(method, segments),
    }
}

impl Operation {
    /// Every one there is.
    pub const ALL: [Self; 25] = [
        Self::Converse,
        Self::ConverseStream,
        Self::InvokeModel,
        Self::InvokeModelWithResponseStream,
        Self::InvokeModelWithBidirectionalStream,
        Self::CountTokens,
        Self::ApplyGuardrail,
        Self::InvokeGuardrailChecks,
        Self::StartAsyncInvoke,
        Self::GetAsyncInvoke,
        Self::ListAsyncInvokes,
        Self::ChatCompletions,
        Self::Responses,
        Self::Messages,
        Self::MessagesCountTokens,
        Self::ListModels,
        Self::InvokeAgent,
        Self::InvokeInlineAgent,
        Self::RetrieveAndGenerate,
        Self::RetrieveAndGenerateStream,
        Self::Retrieve,
        Self::Rerank,
        Self::InvokeFlow,
        Self::OptimizePrompt,
        Self::GenerateQuery,
    ];

    /// Those that AWS does not charge for.
    pub const FREE: [Self; 5] = [
        Self::CountTokens,
        Self::MessagesCountTokens,
        Self::ListModels,
        Self::GetAsyncInvoke,
        Self::ListAsyncInvokes,
    ];

    /// The operation of this [name](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }

    /// The name that AWS gives the operation; for the compatible paths, ours.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
            Self::InvokeModel => "InvokeModel",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::InvokeModelWithBidirectionalStream => "InvokeModelWithBidirectionalStream",
            Self::CountTokens => "CountTokens",
            Self::ApplyGuardrail => "ApplyGuardrail",
            Self::InvokeGuardrailChecks => "InvokeGuardrailChecks",
            Self::StartAsyncInvoke => "StartAsyncInvoke",
            Self::GetAsyncInvoke => "GetAsyncInvoke",
            Self::ListAsyncInvokes => "ListAsyncInvokes",
            Self::ChatCompletions => "ChatCompletions",
            Self::Responses => "Responses",
            Self::Messages => "Messages",
            Self::MessagesCountTokens => "MessagesCountTokens",
            Self::ListModels => "ListModels",
            Self::InvokeAgent => "InvokeAgent",
            Self::InvokeInlineAgent => "InvokeInlineAgent",
            Self::RetrieveAndGenerate => "RetrieveAndGenerate",
            Self::RetrieveAndGenerateStream => "RetrieveAndGenerateStream",
            Self::Retrieve => "Retrieve",
            Self::Rerank => "Rerank",
            Self::InvokeFlow => "InvokeFlow",
            Self::OptimizePrompt => "OptimizePrompt",
            Self::GenerateQuery => "GenerateQuery",
        }
    }

    /// Whether the request body, and not the path, names the model that will be invoked.
    ///
    /// The member is `model` on the compatible paths, `modelId` for `StartAsyncInvoke`, `foundationModel` for
    /// `InvokeInlineAgent`, and a `modelArn` further down for `RetrieveAndGenerate`, its stream and `Rerank`.
    #[must_use]
    pub fn names_model_in_body(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Responses
                | Self::Messages
                | Self::MessagesCountTokens
                | Self::StartAsyncInvoke
                | Self::InvokeInlineAgent
                | Self::RetrieveAndGenerate
                | Self::RetrieveAndGenerateStream
                | Self::Rerank
        )
    }
}

const MAX_SEGMENTS: usize = 7;

/// What the service model allows; a longer id cannot be one and is not worth keeping.
const MAX_MODEL_ID: usize = 2048;

fn runtime(method: &str, segments: &[&str]) -> Option<Call> {
    let operation = match (method, segments) {
        ("POST", ["model", model, action]) => {
            return Some(Call {
                operation: on_model(action)?,
                model: (model.len() <= MAX_MODEL_ID).then(|| (*model).to_owned()),
            });
        }
        ("POST", ["guardrail", _, "version", _, "apply"]) => Operation::ApplyGuardrail,
        ("POST", ["guardrail-checks", "invoke"]) => Operation::InvokeGuardrailChecks,
        ("POST", ["async-invoke"]) => Operation::StartAsyncInvoke,
        ("GET", ["async-invoke"]) => Operation::ListAsyncInvokes,
        ("GET", ["async-invoke", _]) => Operation::GetAsyncInvoke,
        _ => return None,
    };
    Some(operation.into())
}

fn on_model(action: &str) -> Option<Operation> {
    Some(match action {
        "converse" => Operation::Converse,
        "converse-stream" => Operation::ConverseStream,
        "invoke" => Operation::InvokeModel,
        "invoke-with-response-stream" => Operation::InvokeModelWithResponseStream,
        "invoke-with-bidirectional-stream" => Operation::InvokeModelWithBidirectionalStream,
        "count-tokens" => Operation::CountTokens,
        _ => return None,
    })
}

/// The vendor prefix is optional: both spellings are documented, and which host serves which has moved before.
fn compatible(method: &str, segments: &[&str]) -> Option<Call> {
    let (vendor, rest) = match segments {
        [vendor @ ("openai" | "anthropic"), rest @ ..] => (Some(*vendor), rest),
        rest => (None, rest),
    };
    let operation = match (method, rest) {
        ("POST", ["v1", "chat", "completions"]) => Operation::ChatCompletions,
        ("POST", ["v1", "responses"]) => Operation::Responses,
        ("POST", ["v1", "messages"]) => Operation::Messages,
        ("POST", ["v1", "messages", "count_tokens"]) => Operation::MessagesCountTokens,
        ("GET", ["v1", "models"]) => Operation::ListModels,
        _ => return None,
    };
    let belongs = match operation {
        Operation::ChatCompletions | Operation::Responses => vendor != Some("anthropic"),
        Operation::Messages | Operation::MessagesCountTokens => vendor != Some("openai"),
        _ => true,
    };
    belongs.then(|| operation.into())
}

fn agent_runtime(method: &str, segments: &[&str]) -> Option<Call> {
    if method != "POST" {
        return None;
    }
    let operation = match segments {
        ["agents", _, "agentAliases", _, "sessions", _, "text"] => Operation::InvokeAgent,
        ["agents", _] => Operation::InvokeInlineAgent,
        ["retrieveAndGenerate"] => Operation::RetrieveAndGenerate,
        ["retrieveAndGenerateStream"] => Operation::RetrieveAndGenerateStream,
        ["knowledgebases", _, "retrieve"] => Operation::Retrieve,
        ["rerank"] => Operation::Rerank,
        ["flows", _, "aliases", _] => Operation::InvokeFlow,
        ["optimize-prompt"] => Operation::OptimizePrompt,
        ["generateQuery"] => Operation::GenerateQuery,
        _ => return None,
    };
    Some(operation.into())
}

impl From<Operation> for Call {
    /// A call whose path names no model.
    fn from(operation: Operation) -> Self {
        Self {
            operation,
            model: None,
        }
    }
}
