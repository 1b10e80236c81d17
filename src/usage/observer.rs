//! Is shown an exchange as it passes by and tells in the end what it consumed.
//!
//! It sees copies, after they were passed on: whatever it meets, malformed or hostile, changes nothing for the caller.
//! Memory is bounded whatever comes. The response's head decides how its body is read; the operation only says whether
//! there are tokens in it at all. Which sources there are and which is believed stands in `tally`.

use crate::aws::operation::Operation;
use crate::usage::coding::{ContentDecoder, codings};
use crate::usage::family::Count;
use crate::usage::paths::{AGENT_PATHS, ERROR_PATHS, MODEL_PATHS};
use crate::usage::request::RequestReader;
use crate::usage::response::{BodyKind, ResponseReader};
use crate::usage::tally::{Tally, error_name};
use crate::usage::tokens::{TokenUsage, UsageSource};
use crate::wire::http1::{FieldLines, ResponseHead};

/// The observer of one exchange.
pub struct ExchangeObserver {
    operation: Option<Operation>,
    request: Option<RequestReader>,
    response: Option<Response>,
}

/// What the response's head said, and the reader of its body.
struct Response {
    is_stream: bool,
    error_type: Option<String>,
    aws_request_id: Option<String>,
    body: ContentDecoder<ResponseReader>,
}

/// What an exchange told about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Token counts.
    pub usage: TokenUsage,
    /// The model named in the request body, for operations that name it there.
    pub model: Option<String>,
    /// The response was a stream.
    pub stream: bool,
    /// `x-amzn-errortype` without its namespace, or the exception in the stream.
    pub error_type: Option<String>,
    /// `x-amzn-requestid`.
    pub aws_request_id: Option<String>,
    /// The stop reason as the model gave it.
    pub finish_reason: Option<String>,
    /// `requestMetadata` of the request's body; the header of that name is read by
    /// [`tags_from_header`](crate::usage::tags_from_header).
    pub tags: Vec<(String, String)>,
}

/// Who answers, which says whose shapes to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Model,
    Agent,
    /// Nobody who generates: there are no tokens to be told.
    Service,
}

impl ExchangeObserver {
    /// An observer for one exchange.
    #[must_use]
    pub fn new(operation: Option<Operation>) -> Self {
        Self {
            operation,
            request: operation.and_then(RequestReader::new),
            response: None,
        }
    }

    /// Shows a piece of the request body, transfer coding removed.
    pub fn request_content(&mut self, content: &[u8]) {
        if let Some(request) = &mut self.request {
            request.content(content);
        }
    }

    /// Shows the final response head.
    pub fn response_head(&mut self, head: &ResponseHead) {
        self.response = Some(Response::new(Answer::of(self.operation), head));
    }

    /// Shows a piece of the response body, transfer coding removed.
    pub fn response_content(&mut self, content: &[u8]) {
        let Some(response) = &mut self.response else {
            return;
        };
        if response.body.push(content).is_err() {
            response.body.sink_mut().give_up();
        }
    }

    /// Whether a stream has shown its first generated token yet. Never true where a coding holds text back, for then
    /// nobody knows when it came.
    #[must_use]
    pub fn first_token_seen(&self) -> bool {
        self.response.as_ref().is_some_and(|response| {
            !response.body.holds_back() && response.body.sink().tally().text_seen()
        })
    }

    /// What was told. `complete`: the response came to its proper end.
    #[must_use]
    pub fn finish(self, complete: bool) -> Observation {
        let (model, tags) = self
            .request
            .map_or_else(Default::default, RequestReader::finish);
        let told = self
            .response
            .map(|response| response.finish(self.operation, complete));
        Observation {
            model,
            tags,
            ..told.unwrap_or_default()
        }
    }
}

impl Response {
    fn new(answer: Answer, head: &ResponseHead) -> Self {
        let fields = head.fields();
        let is_failure = head.status() >= 400;
        let kind = body_kind(answer, fields);
        let mut tally = Tally::new(match answer {
            Answer::Model => &MODEL_PATHS,
            Answer::Agent => &AGENT_PATHS,
            Answer::Service => &ERROR_PATHS,
        });
        if answer == Answer::Model {
            read_count_headers(fields, &mut tally);
        }
        let mut reader = ResponseReader::new(kind, tally, is_failure);
        let codings = codings(fields).unwrap_or_else(|_unknown| {
            reader.give_up();
            Vec::new()
        });
        Self {
            is_stream: kind != BodyKind::Document,
            error_type: fields
                .text_of("x-amzn-errortype")
                .filter(|_| is_failure)
                .map(error_name)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            aws_request_id: fields.text_of("x-amzn-requestid").map(str::to_owned),
            body: ContentDecoder::new(&codings, reader),
        }
    }

    fn finish(mut self, operation: Option<Operation>, complete: bool) -> Observation {
        let decoded = self.body.finish().is_ok();
        let reader = self.body.sink_mut();
        let ended = reader.finish() && decoded && complete;
        let tally = reader.tally();
        let whole = tally.is_final() || (ended && tally.error_type().is_none());
        let source = match (self.is_stream, whole) {
            (false, _) => UsageSource::Body,
            (true, true) => UsageSource::Stream,
            (true, false) => UsageSource::Partial,
        };
        Observation {
            usage: tally.settle(source),
            model: None,
            stream: self.is_stream,
            error_type: self
                .error_type
                .or_else(|| tally.error_type().map(str::to_owned)),
            aws_request_id: self.aws_request_id,
            finish_reason: finish_reason(operation, tally),
            tags: Vec::new(),
        }
    }
}

impl Answer {
    fn of(operation: Option<Operation>) -> Self {
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

fn body_kind(answer: Answer, fields: &FieldLines) -> BodyKind {
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

fn read_count_headers(fields: &FieldLines, tally: &mut Tally) {
    for (name, count) in COUNT_HEADERS {
        if let Some(tokens) = fields.text_of(name).and_then(|value| value.parse().ok()) {
            tally.told_by_header(count, tokens);
        }
    }
}

/// The Responses shape has no stop reason of its own: its status says how it ended.
fn finish_reason(operation: Option<Operation>, tally: &Tally) -> Option<String> {
    let status = tally.status().filter(|status| {
        operation == Some(Operation::Responses) && !matches!(*status, "in_progress" | "queued")
    });
    tally.finish_reason().or(status).map(str::to_owned)
}
