//! The counts of one exchange as they come in, and the rules by which they become one usage.
//!
//! Counts merge and never add: for each of them the last word of the best source stands. The shape's own members are
//! better than a second name for the same, these better than Bedrock's metrics, and these better than response headers.
//! What stands where in a document is told by the paths; a [`Tally`] is the sink a scanner shows the document to.

use crate::usage::family::{Count, Meaning, Moment};
use crate::usage::paths::{Paths, ROOT};
use crate::usage::tokens::{TokenUsage, UsageSource};
use crate::wire::json::{JsonScanner, JsonSink, Place, Scalar, Want};

/// What an exchange has told so far.
#[derive(Debug)]
pub(crate) struct Tally {
    paths: &'static Paths,
    text: Text,
    counts: Counts,
    /// The shape's input count includes its cache tokens.
    includes_cache: bool,
    /// The answer is an embedding.
    is_embedding: bool,
    is_final: bool,
    finish_reason: Option<String>,
    status: Option<String>,
    error_type: Option<String>,
    failure: Failure,
    /// What the hooks of the document under way have to remember.
    pub(crate) scratch: Scratch,
}

/// Whether generated text has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    /// Nobody asked.
    Ignored,
    /// Not yet.
    Awaited,
    /// Yes.
    Seen,
}

/// A hook's memory, empty at the start of every document.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A sum under way.
    pub(crate) sum: Option<u64>,
    /// The tokens of the element under way.
    pub(crate) tokens: Option<u64>,
    /// Whether the element under way lives for an hour.
    pub(crate) is_1h: Option<bool>,
}

#[derive(Debug, Default)]
struct Counts {
    input: Told,
    output: Told,
    cache_read: Told,
    cache_write: Told,
    cache_write_5m: Told,
    cache_write_1h: Told,
    reasoning: Told,
}

/// A count and how good its source is.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    tokens: Option<u64>,
    by: Source,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    #[default]
    Header,
    Metric,
    Alias,
    Shape,
}

/// What the document under way says of an error.
#[derive(Debug, Default)]
struct Failure {
    aws_type: Option<String>,
    aws_code: Option<String>,
    kind: Option<String>,
    code: Option<String>,
}

/// The longest finish reason or error type that is kept, in characters.
const MAX_WORD: usize = 256;

/// Kinds of events after which no count follows.
const LAST_EVENTS: [&[u8]; 4] = [
    b"message_stop",
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
];

impl Tally {
    /// A tally that reads documents by `paths`.
    pub(crate) fn new(paths: &'static Paths) -> Self {
        Self {
            paths,
            text: Text::Ignored,
            counts: Counts::default(),
            includes_cache: false,
            is_embedding: false,
            is_final: false,
            finish_reason: None,
            status: None,
            error_type: None,
            failure: Failure::default(),
            scratch: Scratch::default(),
        }
    }

    /// A scanner for the documents of this tally.
    pub(crate) fn scanner() -> JsonScanner {
        JsonScanner::new(Want::Take(ROOT))
    }

    /// Looks for generated text from now on.
    pub(crate) fn look_for_text(&mut self) {
        self.text = Text::Awaited;
    }

    /// Generated text came, outside of any document.
    pub(crate) fn text_came(&mut self) {
        self.text = Text::Seen;
    }

    /// A count that a response header told.
    pub(crate) fn told_by_header(&mut self, count: Count, tokens: u64) {
        self.record(count, tokens, Source::Header);
    }

    /// A count that the shape itself told.
    pub(crate) fn told(&mut self, count: Count, tokens: u64) {
        self.record(count, tokens, Source::Shape);
    }

    /// What was told of a count until now.
    pub(crate) fn so_far(&mut self, count: Count) -> Option<u64> {
        self.counts.of(count).tokens
    }

    /// No further counts follow: a cut behind this point loses nothing.
    pub(crate) fn counts_are_final(&mut self) {
        self.is_final = true;
    }

    /// An error that something other than a document told.
    pub(crate) fn failed(&mut self, error_type: &str) {
        self.error_type = word(error_type);
    }

    /// The document ended, or what there is of it. `is_failure`: it is known to be about an error.
    pub(crate) fn end_document(&mut self, is_failure: bool) {
        self.scratch = Scratch::default();
        let Failure {
            aws_type,
            aws_code,
            kind,
            code,
        } = std::mem::take(&mut self.failure);
        let aws = aws_type.or(aws_code).filter(|_| is_failure);
        if let Some(error_type) = aws.or(kind).or(code) {
            self.error_type = Some(error_type);
        }
    }

    /// Whether generated text has come since it was looked for.
    pub(crate) fn text_seen(&self) -> bool {
        self.text == Text::Seen
    }

    /// Whether no count will follow.
    pub(crate) fn is_final(&self) -> bool {
        self.is_final
    }

    /// Why generation ended.
    pub(crate) fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_deref()
    }

    /// The state of the response, in the Responses shape.
    pub(crate) fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// The type of the error that was told.
    pub(crate) fn error_type(&self) -> Option<&str> {
        self.error_type.as_deref()
    }

    /// The counts by the record's rules; `body` is the source of what headers did not tell.
    pub(crate) fn settle(&self, body: UsageSource) -> TokenUsage {
        let counts = &self.counts;
        let cache_read_tokens = counts.cache_read.tokens;
        let cache_write_1h_tokens = counts.cache_write_1h.tokens;
        let cache_write_tokens = counts.cache_write.tokens.or_else(|| {
            let five_minutes = counts.cache_write_5m.tokens?;
            Some(five_minutes.saturating_add(cache_write_1h_tokens.unwrap_or(0)))
        });
        let mut input_tokens = counts.input.tokens;
        if self.includes_cache && counts.input.by == Source::Shape {
            input_tokens = input_tokens.map(|input| {
                input
                    .saturating_sub(cache_read_tokens.unwrap_or(0))
                    .saturating_sub(cache_write_tokens.unwrap_or(0))
            });
        }
        let mut output_tokens = counts.output.tokens;
        if self.is_embedding && input_tokens.is_some() {
            output_tokens = output_tokens.or(Some(0));
        }
        let known = input_tokens.is_some() || output_tokens.is_some();
        let total_tokens = known.then(|| {
            [
                input_tokens,
                output_tokens,
                cache_read_tokens,
                cache_write_tokens,
            ]
            .into_iter()
            .flatten()
            .fold(0, u64::saturating_add)
        });
        TokenUsage {
            input_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            cache_write_1h_tokens,
            reasoning_tokens: counts.reasoning.tokens,
            total_tokens,
            source: self.source(body),
        }
    }

    fn source(&self, body: UsageSource) -> Option<UsageSource> {
        let best = self
            .counts
            .all()
            .into_iter()
            .filter(|told| told.tokens.is_some())
            .map(|told| told.by)
            .max()?;
        Some(if best == Source::Header {
            UsageSource::Headers
        } else {
            body
        })
    }

    fn record(&mut self, count: Count, tokens: u64, by: Source) {
        self.includes_cache |= matches!(
            count,
            Count::InputWithCache | Count::CacheReadWithin | Count::CacheWriteWithin
        );
        self.is_final |= by == Source::Metric;
        let told = self.counts.of(count);
        if told.tokens.is_none() || told.by <= by {
            *told = Told {
                tokens: Some(tokens),
                by,
            };
        }
    }

    fn read(&mut self, meaning: Meaning, value: Scalar<'_>) {
        match meaning {
            Meaning::Count(count) => self.read_count(count, value, Source::Shape),
            Meaning::Alias(count) => self.read_count(count, value, Source::Alias),
            Meaning::Metric(count) => self.read_count(count, value, Source::Metric),
            Meaning::Kind => {
                if let Scalar::String(kind) = value {
                    self.is_final |= LAST_EVENTS.contains(&kind);
                }
            }
            Meaning::Hook(hook) => hook(self, Moment::Scalar(value)),
            Meaning::Text | Meaning::Embedding => {}
            Meaning::FinishReason => keep(&mut self.finish_reason, value),
            Meaning::Status => keep(&mut self.status, value),
            Meaning::ErrorType => keep(&mut self.failure.kind, value),
            Meaning::ErrorCode => keep(&mut self.failure.code, value),
            Meaning::FailureType => keep_aws(&mut self.failure.aws_type, value),
            Meaning::FailureCode => keep_aws(&mut self.failure.aws_code, value),
        }
    }

    fn read_count(&mut self, count: Count, value: Scalar<'_>, by: Source) {
        if let Some(tokens) = value.as_count() {
            self.record(count, tokens, by);
        }
    }

    fn want(&mut self, place: Option<Place>) -> Want {
        let Some(place) = place else {
            return Want::Skip;
        };
        match self.paths.meaning(place) {
            Some(Meaning::Text) if self.text == Text::Awaited => Want::Stream(place),
            Some(Meaning::Text) if self.paths.is_leaf(place) => Want::Skip,
            Some(Meaning::Embedding) => {
                self.is_embedding = true;
                Want::Skip
            }
            _ => Want::Take(place),
        }
    }
}

impl JsonSink for Tally {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        let place = self.paths.member(object, key);
        self.want(place)
    }

    fn element(&mut self, array: Place, _index: u32) -> Want {
        let place = self.paths.element(array);
        self.want(place)
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>) {
        if let Some(meaning) = self.paths.meaning(place) {
            self.read(meaning, value);
        }
    }

    fn text(&mut self, _place: Place, _piece: &[u8]) {
        self.text_came();
    }

    fn end(&mut self, place: Place) {
        if let Some(Meaning::Hook(hook)) = self.paths.meaning(place) {
            hook(self, Moment::End);
        }
    }
}

impl Counts {
    fn of(&mut self, count: Count) -> &mut Told {
        match count {
            Count::Input | Count::InputWithCache => &mut self.input,
            Count::Output => &mut self.output,
            Count::CacheRead | Count::CacheReadWithin => &mut self.cache_read,
            Count::CacheWrite | Count::CacheWriteWithin => &mut self.cache_write,
            Count::CacheWrite5m => &mut self.cache_write_5m,
            Count::CacheWrite1h => &mut self.cache_write_1h,
            Count::Reasoning => &mut self.reasoning,
        }
    }

    fn all(&self) -> [Told; 7] {
        [
            self.input,
            self.output,
            self.cache_read,
            self.cache_write,
            self.cache_write_5m,
            self.cache_write_1h,
            self.reasoning,
        ]
    }
}

/// The name in an AWS error type: `com.amazon.service#Name:http://…` says `Name`.
pub(crate) fn error_name(written: &str) -> &str {
    let name = written.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

fn keep(kept: &mut Option<String>, value: Scalar<'_>) {
    if let Some(word) = value.as_text().as_deref().and_then(word) {
        *kept = Some(word);
    }
}

fn keep_aws(kept: &mut Option<String>, value: Scalar<'_>) {
    let text = value.as_text();
    if let Some(word) = text.as_deref().map(error_name).and_then(word) {
        *kept = Some(word);
    }
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take(MAX_WORD).collect();
    (!word.is_empty()).then_some(word)
}
