//! Converse and ConverseStream: one shape for every model, as the Bedrock Runtime API reference describes it.
//!
//! The members of a stream's events stand at the top of their documents just as those of a Converse body do. The usage
//! object carries undocumented doubles of the cache counts; they never add. The trace has `usage` objects of its own,
//! counted in text units, at other paths: see `guardrail`.

use super::{Count, Family, Meaning, Moment, Word};
use crate::usage::tally::Tally;
use crate::wire::json::Scalar;

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("stopReason", Meaning::Word(Word::FinishReason)),
        ("delta.text", Meaning::Text),
        ("delta.toolUse.input", Meaning::Text),
        ("delta.reasoningContent.text", Meaning::Text),
        ("output.message.content[].text", Meaning::Text),
        ("output.message.content[].toolUse.input.**", Meaning::Text),
        (
            "output.message.content[].reasoningContent.reasoningText.text",
            Meaning::Text,
        ),
        (
            "output.message.content[].citationsContent.content[].text",
            Meaning::Text,
        ),
        ("serviceTier.type", Meaning::Word(Word::ServiceTier)),
        (
            "performanceConfig.latency",
            Meaning::Word(Word::PerformanceLatency),
        ),
        (
            "trace.promptRouter.invokedModelId",
            Meaning::Word(Word::Model),
        ),
    ],
    // Nova's own stream wraps the same object in the event's name.
    usage_at: &["usage", "metadata.usage"],
    usage: &[
        ("inputTokens", Meaning::Count(Count::Input)),
        ("outputTokens", Meaning::Count(Count::Output)),
        ("totalTokens", Meaning::Count(Count::Total)),
        ("cacheReadInputTokens", Meaning::Count(Count::CacheRead)),
        ("cacheWriteInputTokens", Meaning::Count(Count::CacheWrite)),
        ("cacheReadInputTokenCount", Meaning::Alias(Count::CacheRead)),
        (
            "cacheWriteInputTokenCount",
            Meaning::Alias(Count::CacheWrite),
        ),
        ("cacheDetails", Meaning::Hook(all_details)),
        ("cacheDetails[]", Meaning::Hook(one_detail)),
        ("cacheDetails[].ttl", Meaning::Hook(lifetime)),
        ("cacheDetails[].inputTokens", Meaning::Hook(written)),
    ],
};

fn lifetime(tally: &mut Tally, moment: Moment<'_>) {
    if let Moment::Scalar(Scalar::String(ttl)) = moment {
        tally.scratch.is_1h = Some(ttl == b"1h");
    }
}

fn written(tally: &mut Tally, moment: Moment<'_>) {
    if let Moment::Scalar(value) = moment {
        tally.scratch.tokens = value.as_count();
    }
}

/// A lifetime and its tokens come in either order, so they are paired when their object ends.
fn one_detail(tally: &mut Tally, moment: Moment<'_>) {
    let Moment::End = moment else {
        return;
    };
    let lifetime = tally.scratch.is_1h.take();
    let tokens = tally.scratch.tokens.take();
    if let (Some(is_1h), Some(tokens)) = (lifetime, tokens) {
        let (five_minutes, one_hour) = tally.scratch.writes.get_or_insert((0, 0));
        let sum = if is_1h { one_hour } else { five_minutes };
        *sum = sum.saturating_add(tokens);
    }
}

fn all_details(tally: &mut Tally, moment: Moment<'_>) {
    if let Moment::End = moment
        && let Some((five_minutes, one_hour)) = tally.scratch.writes.take()
    {
        tally.told(Count::CacheWrite5m, five_minutes);
        tally.told(Count::CacheWrite1h, one_hour);
    }
}
