//! Is shown an exchange as it passes by and tells in the end what it consumed.
//!
//! It sees copies, after they were passed on: whatever it meets, malformed or hostile, changes nothing for the caller.
//! Memory is bounded whatever comes. The response's head decides how its body is read; the operation only says whether
//! there are tokens in it at all. Which sources there are and which is believed stands in `counts`, what is left to be
//! estimated in `untold`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::ModelId;
use crate::aws::operation::Operation;
use crate::usage::answer::{Answer, body_kind, read_count_headers};
use crate::usage::coding::{ContentDecoder, codings};
use crate::usage::estimate::Untold;
use crate::usage::family::Word;
use crate::usage::paths::{AGENT_PATHS, SERVICE_PATHS};
use crate::usage::patterns::{Applicable, Patterns};
use crate::usage::request::{Asked, RequestReader, asked_word, operation_generates};
use crate::usage::response::{BodyKind, ResponseReader};
use crate::usage::sample::Sample;
use crate::usage::tally::Tally;
use crate::usage::tokens::{TokenUsage, UsageSource};
use crate::usage::untold::untold;
use crate::usage::words::error_name;
use crate::wire::http1::{RequestHead, ResponseHead};

/// The observer of one exchange.
pub struct ExchangeObserver {
    operation: Option<Operation>,
    taught: Applicable,
    asked: Asked,
    request: Option<RequestReader>,
    /// The request only looks something up (RFC 9110 §9.2.1): what it is told was consumed before.
    is_lookup: bool,
    response: Option<Response>,
}

/// What the response's head said, and the reader of its body.
struct Response {
    status: u16,
    is_stream: bool,
    error_type: Option<String>,
    aws_request_id: Option<String>,
    service_tier: Option<String>,
    performance_latency: Option<String>,
    body: ContentDecoder<ResponseReader>,
}

/// What an exchange told about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Token counts, as far as they were told.
    pub usage: TokenUsage,
    /// What was not told and can be estimated; see [`estimate`](crate::usage::estimate()).
    pub untold: Option<Untold>,
    /// What is counted in other units than tokens: images, guardrail text units, …
    pub units: BTreeMap<String, u64>,
    /// The model named in the request body, for operations that name it there.
    pub model: Option<String>,
    /// The model that the response names.
    pub response_model: Option<String>,
    /// The service tier that the request asks for.
    pub asked_tier: Option<String>,
    /// The service tier that the response names.
    pub service_tier: Option<String>,
    /// The latency configuration that the request asks for.
    pub asked_latency: Option<String>,
    /// The latency configuration that the response names.
    pub performance_latency: Option<String>,
    /// The response was a stream.
    pub stream: bool,
    /// `x-amzn-errortype` without its namespace, or the exception in the stream.
    pub error_type: Option<String>,
    /// `x-amzn-requestid`.
    pub aws_request_id: Option<String>,
    /// The stop reason as the model gave it.
    pub finish_reason: Option<String>,
    /// What the header and the body of the request say in `requestMetadata`, the body's word last.
    pub tags: Vec<(String, String)>,
    /// What an auditor should know about the numbers, one short code each.
    pub notes: Vec<&'static str>,
}

/// A note: the input count of this stream seems to include cache tokens that its total adds again. The numbers are as
/// they were told.
pub const CACHE_COUNTED_TWICE: &str = "cache-counted-twice";

/// A note: more cache tokens were told than the input count that includes them; the input is recorded as 0.
pub const CACHE_EXCEEDS_INPUT: &str = "cache-exceeds-input";

impl ExchangeObserver {
    /// An observer for one exchange.
    #[must_use]
    pub fn new(operation: Option<Operation>) -> Self {
        Self {
            operation,
            taught: Applicable::default(),
            asked: Asked::default(),
            request: operation.and_then(RequestReader::new),
            is_lookup: false,
            response: None,
        }
    }

    /// An observer that also reads what the operator taught for this host, route and model. `model` is the one in the
    /// request's path; where it names none, the one in its body is believed.
    #[must_use]
    pub fn for_call(
        operation: Option<Operation>,
        patterns: &Arc<Patterns>,
        host: &str,
        route: Option<&str>,
        model: Option<&str>,
    ) -> Self {
        Self {
            taught: patterns.for_exchange(host, route, model),
            ..Self::new(operation)
        }
    }

    /// Shows the request head: what it asks for, and its tags.
    pub fn request_head(&mut self, head: &RequestHead) {
        self.is_lookup = matches!(head.method(), "GET" | "HEAD" | "OPTIONS");
        self.asked = Asked::of_head(head);
    }

    /// Shows a piece of the request body, transfer coding removed.
    pub fn request_content(&mut self, content: &[u8]) {
        if let Some(request) = &mut self.request {
            request.content(content);
        }
    }

    /// Shows the final response head.
    pub fn response_head(&mut self, head: &ResponseHead) {
        let model = self.request.as_ref().and_then(RequestReader::model);
        let answer = if self.is_lookup {
            Answer::Service
        } else {
            Answer::of(self.operation)
        };
        let paths = match answer {
            Answer::Model => self.taught.paths(model),
            Answer::Agent => Arc::clone(&AGENT_PATHS),
            Answer::Service => Arc::clone(&SERVICE_PATHS),
        };
        self.response = Some(Response::new(answer, Tally::new(paths), head));
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
            response.is_stream
                && !response.body.holds_back()
                && response.body.sink().tally().generation_seen()
        })
    }

    /// Whether the answer is of a kind that often ends without counts: chat completions stream them only when asked to.
    #[must_use]
    pub fn may_end_uncounted(&self) -> bool {
        let Some(response) = &self.response else {
            return false;
        };
        let is_good = (200..300).contains(&response.status);
        is_good && response.is_stream && self.operation == Some(Operation::ChatCompletions)
    }

    /// Whether the answer is a stream, and no error.
    #[must_use]
    pub fn is_good_stream(&self) -> bool {
        self.response
            .as_ref()
            .is_some_and(|response| (200..300).contains(&response.status) && response.is_stream)
    }

    /// What was consumed until now: as it was told, else about as much as the text that was seen, a token for four bytes.
    /// Never more exact than what [`finish`](Self::finish) tells in the end.
    #[must_use]
    pub fn so_far(&self) -> TokenUsage {
        let mut usage = TokenUsage::default();
        let about = |bytes: u64| bytes.div_ceil(BYTES_OF_A_TOKEN);
        if let Some(response) = &self.response {
            let tally = response.body.sink().tally();
            usage = tally
                .counts()
                .settle(tally.is_embedding(), UsageSource::Partial);
            if !tally.counts().has_output() {
                let seen = about(tally.text().bytes());
                usage.output_tokens = Some(usage.output_tokens.unwrap_or(0).max(seen));
            }
        }
        if let Some(request) = &self.request
            && usage.input_tokens.is_none()
        {
            usage.input_tokens = Some(about(request.text_bytes()));
        }
        usage.total_tokens = usage.total();
        usage
    }

    /// What was told. `complete`: the response came to its proper end.
    #[must_use]
    pub fn finish(self, complete: bool) -> Observation {
        let mut asked = self.asked;
        if let Some(body) = self.request.map(RequestReader::finish) {
            asked.add_body(body);
        }
        let model = self.taught.model().or(asked.model.as_deref());
        let told = self
            .response
            .map(|response| response.finish(self.operation, model, asked.prompt.take(), complete));
        Observation {
            model: asked.model,
            tags: asked.tags,
            asked_tier: asked.tier,
            asked_latency: asked.latency,
            ..told.unwrap_or_default()
        }
    }
}

/// Of text, as tokenizers see it on the average.
const BYTES_OF_A_TOKEN: u64 = 4;

impl Response {
    fn new(answer: Answer, mut tally: Tally, head: &ResponseHead) -> Self {
        let fields = head.fields();
        let is_failure = head.status() >= 400;
        let kind = body_kind(answer, fields);
        if answer == Answer::Model {
            read_count_headers(fields, &mut tally);
        }
        let mut reader = ResponseReader::new(kind, tally, is_failure);
        let codings = codings(fields).unwrap_or_else(|_unknown| {
            reader.give_up();
            Vec::new()
        });
        let word = |name| fields.text_of(name).and_then(asked_word);
        Self {
            status: head.status(),
            is_stream: kind != BodyKind::Document,
            error_type: fields
                .text_of("x-amzn-errortype")
                .filter(|_| is_failure)
                .map(error_name)
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            aws_request_id: fields.text_of("x-amzn-requestid").map(str::to_owned),
            service_tier: word("x-amzn-bedrock-service-tier"),
            performance_latency: word("x-amzn-bedrock-performanceconfig-latency"),
            body: ContentDecoder::new(&codings, reader),
        }
    }

    fn finish(
        mut self,
        operation: Option<Operation>,
        model: Option<&str>,
        prompt: Option<Sample>,
        complete: bool,
    ) -> Observation {
        let decoded = self.body.finish().is_ok();
        let reader = self.body.sink_mut();
        let ended = reader.finish() && decoded && complete;
        let tally = reader.tally();
        let source = match (self.is_stream, ended) {
            _ if tally.counts().has_floor_only() => UsageSource::Partial,
            (false, true) => UsageSource::Body,
            (true, true) if tally.error_type().is_none() => UsageSource::Stream,
            (true, _) if tally.is_final() => UsageSource::Stream,
            _ => UsageSource::Partial,
        };
        let is_good = (200..300).contains(&self.status);
        let generates = operation.is_some_and(operation_generates);
        let word = |word| tally.words().get(word).map(str::to_owned);
        Observation {
            usage: tally.counts().settle(tally.is_embedding(), source),
            untold: (is_good && generates)
                .then(|| untold(tally, self.is_stream, prompt))
                .flatten(),
            units: tally
                .units()
                .iter()
                .map(|(unit, count)| ((*unit).to_owned(), *count))
                .collect(),
            stream: self.is_stream,
            error_type: self
                .error_type
                .or_else(|| tally.error_type().map(str::to_owned)),
            aws_request_id: self.aws_request_id,
            response_model: word(Word::Model),
            service_tier: self.service_tier.or_else(|| word(Word::ServiceTier)),
            performance_latency: self
                .performance_latency
                .or_else(|| word(Word::PerformanceLatency)),
            finish_reason: finish_reason(operation, tally),
            notes: notes(operation, model, tally),
            ..Observation::default()
        }
    }
}

/// The Responses shape has no stop reason of its own: its status says how it ended.
fn finish_reason(operation: Option<Operation>, tally: &Tally) -> Option<String> {
    let words = tally.words();
    let status = words.get(Word::Status).filter(|status| {
        operation == Some(Operation::Responses) && !matches!(*status, "in_progress" | "queued")
    });
    words.get(Word::FinishReason).or(status).map(str::to_owned)
}

/// What is odd about the counts.
fn notes(operation: Option<Operation>, model: Option<&str>, tally: &Tally) -> Vec<&'static str> {
    let mut notes = Vec::new();
    // Seen with these models on this operation only; elsewhere such numbers are as they should be.
    let is_suspect = operation == Some(Operation::ConverseStream)
        && model.is_some_and(|model| ModelId::parse(model).provider() == Some("openai"));
    if is_suspect && tally.counts().cache_may_count_twice() {
        notes.push(CACHE_COUNTED_TWICE);
    }
    if tally.counts().cache_exceeds_input() {
        notes.push(CACHE_EXCEEDS_INPUT);
    }
    notes
}
