//! Who answers and in what form: the operation and the response's head decide how a body is read.

use crate::aws::operation::Operation;
use crate::usage::family::Count;
use crate::usage::response::BodyKind;
use crate::usage::tally::Tally;
use crate::wire::http1::FieldLines;

/// Who answers, which says whose shapes to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A model.
    Model,
    /// An agent, whose traces tell of its models.
    Agent,
    /// Nobody who generates: there are no tokens to be told.
    Service,
}

impl Answer {
    /// By the operation.
    pub(crate) fn of(operation: Option<Operation>) -> Self {
        match operation {
            Some(Operation::InvokeAgent | Operation::InvokeInlineAgent) => Self::Agent,
            Some(
                Operation::CountTokens
                | Operation::MessagesCountTokens
                | Operation::ApplyGuardrail
                | Operation::InvokeGuardrailChecks
                | Operation::StartAsyncInvoke
                | Operation::GetAsyncInvoke
                | Operation::ListAsyncInvokes
                | Operation::ListModels
                | Operation::RetrieveAndGenerate
                | Operation::RetrieveAndGenerateStream
                | Operation::Retrieve
                | Operation::Rerank
                | Operation::InvokeFlow
                | Operation::OptimizePrompt
                | Operation::GenerateQuery,
            ) => Self::Service,
            // An operation that is not known may well be a model's: its shapes decide.
            _ => Self::Model,
        }
    }
}

/// What the head calls the body.
pub(crate) fn body_kind(answer: Answer, fields: &FieldLines) -> BodyKind {
    let content_type = fields.text_of("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/vnd.amazon.eventstream") {
        BodyKind::EventStream {
            chunks_are_documents: answer == Answer::Model,
        }
    } else if media_type.eq_ignore_ascii_case("text/event-stream") {
        BodyKind::ServerSentEvents
    } else {
        BodyKind::Document
    }
}

/// InvokeModel's counts, which are without cache tokens.
const COUNT_HEADERS: [(&str, Count); 4] = [
    ("x-amzn-bedrock-input-token-count", Count::Input),
    ("x-amzn-bedrock-output-token-count", Count::Output),
    (
        "x-amzn-bedrock-cache-read-input-token-count",
        Count::CacheRead,
    ),
    (
        "x-amzn-bedrock-cache-write-input-token-count",
        Count::CacheWrite,
    ),
];

/// Reads the counts that the head tells.
pub(crate) fn read_count_headers(fields: &FieldLines, tally: &mut Tally) {
    for (name, count) in COUNT_HEADERS {
        if let Some(tokens) = fields.text_of(name).and_then(|value| value.parse().ok()) {
            tally.told_by_header(count, tokens);
        }
    }
}
