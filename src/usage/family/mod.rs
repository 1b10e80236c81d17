//! How each family of shapes tells what was consumed: a table of paths and what stands there.
//!
//! Adding a family is one file with a [`Family`] and one line in [`FAMILIES`]. The tables are told apart by the members
//! of a document, never by the model's name: an application inference profile does not say what model is behind it. So
//! two families may share a path only if they mean the same by it; a test holds them to that.
//! What a table cannot say (a sum, a pairing) is a [`Hook`] of the family's own file.

use crate::usage::counts::Taught;
use crate::usage::tally::Tally;
use crate::wire::json::Scalar;

mod agent;
mod ai21;
mod anthropic;
mod cohere;
mod converse;
mod counting;
mod errors;
mod guardrail;
mod image;
mod llama;
mod metrics;
mod mistral;
mod nova;
mod openai;
mod rerank;
mod titan;
mod twelvelabs;

/// One family's way of telling.
#[derive(Debug)]
pub(crate) struct Family {
    /// Paths from the top of a document.
    pub(crate) paths: &'static [(&'static str, Meaning)],
    /// Where the family's `usage` object stands.
    pub(crate) usage_at: &'static [&'static str],
    /// Paths inside that object.
    pub(crate) usage: &'static [(&'static str, Meaning)],
}

/// The families whose documents a model answers with, one line each.
pub(crate) static FAMILIES: &[&Family] = &[
    &ai21::FAMILY,
    &anthropic::FAMILY,
    &cohere::FAMILY,
    &converse::FAMILY,
    &errors::FAMILY,
    &guardrail::TRACE,
    &image::FAMILY,
    &llama::FAMILY,
    &metrics::FAMILY,
    &mistral::FAMILY,
    &nova::FAMILY,
    &openai::FAMILY,
    &rerank::FAMILY,
    &titan::FAMILY,
    &twelvelabs::FAMILY,
];

/// The traces of agents, which are not a model's answers.
pub(crate) static AGENT_FAMILIES: &[&Family] = &[&agent::FAMILY, &errors::FAMILY];

/// What can be told in an answer that tells no tokens.
pub(crate) static SERVICE_FAMILIES: &[&Family] = &[
    &counting::FAMILY,
    &errors::FAMILY,
    &guardrail::FAMILY,
    &guardrail::CHECKS,
    &rerank::FAMILY,
];

/// What a value means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    /// A count of tokens, told by the shape itself.
    Count(Count),
    /// The same count under a second name: believed while the first has not been told.
    Alias(Count),
    /// The same count in the metrics that Bedrock adds: believed where the shape itself is silent.
    Metric(Count),
    /// A count where one of the operator's tables says that it stands; several in one document add up.
    Taught(Count, Taught),
    /// A count of something else than tokens; several in one document add up.
    Unit(&'static str),
    /// A word about the answer.
    Word(Word),
    /// Generated text, a piece of it in streams.
    Text,
    /// Generated sound, as text.
    Speech,
    /// A picture, as text.
    Image,
    /// A vector: this answer generates no tokens.
    Embedding,
    /// A score: the answer to one query that was ranked.
    Query,
    /// What only an answer has that is not counted in tokens.
    NoTokens,
    /// The kind of an event.
    Kind,
    /// What went wrong.
    Error(Clue),
    /// What the family's own function makes of it.
    Hook(Hook),
}

/// The words that an answer says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Why generation ended.
    FinishReason,
    /// The state of a response, which tells why it ended when nothing else does.
    Status,
    /// The model that answered.
    Model,
    /// The tier it was served at.
    ServiceTier,
    /// The latency it was served with.
    PerformanceLatency,
}

/// The members that name an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clue {
    /// AWS's own member, which is read in error answers only.
    AwsType,
    /// The member AWS names second.
    AwsCode,
    /// The type of an error, told so.
    Type,
    /// Another name for it, believed while none is told.
    Code,
}

/// The counts a shape can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Input tokens. Without cache tokens, unless one of the `…Within` counts is told beside it.
    Input,
    /// Input tokens that include those read from and written to the cache.
    InputWithCache,
    /// Generated tokens, reasoning included.
    Output,
    /// How many were generated when the answer began: no report, for more were to come.
    OutputFloor,
    /// Cache reads beside the input count.
    CacheRead,
    /// Cache reads within the input count.
    CacheReadWithin,
    /// Cache writes beside the input count.
    CacheWrite,
    /// Cache writes within the input count.
    CacheWriteWithin,
    /// The part of the cache writes that lives for five minutes.
    CacheWrite5m,
    /// The part of the cache writes that lives for an hour.
    CacheWrite1h,
    /// The part of the output spent on reasoning.
    Reasoning,
    /// The shape's own total, which is compared and never recorded.
    Total,
}

/// What a family makes of a value that a table cannot explain.
pub(crate) type Hook = fn(&mut Tally, Moment<'_>);

/// When a hook is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment<'a> {
    /// With the scalar at its path.
    Scalar(Scalar<'a>),
    /// At the end of the container at its path.
    End,
}

impl Meaning {
    /// Whether two families may give one path these meanings.
    pub(crate) fn agrees_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Count(one), Self::Count(two))
            | (Self::Alias(one), Self::Alias(two))
            | (Self::Metric(one), Self::Metric(two)) => one == two,
            (Self::Unit(one), Self::Unit(two)) => one == two,
            (Self::Word(one), Self::Word(two)) => one == two,
            (Self::Error(one), Self::Error(two)) => one == two,
            (Self::Hook(_), _) | (_, Self::Hook(_)) => false,
            _ => std::mem::discriminant(&self) == std::mem::discriminant(&other),
        }
    }
}
