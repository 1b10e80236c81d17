//! Amazon Titan: text and embeddings.
//!
//! A body has one count per result, which add up. In streams counts may be null before the last chunk.

use super::{Count, Family, Meaning, Moment, Word};
use crate::usage::tally::Tally;

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("inputTextTokenCount", Meaning::Count(Count::Input)),
        ("totalOutputTextTokenCount", Meaning::Count(Count::Output)),
        ("results", Meaning::Hook(all_results)),
        ("results[].tokenCount", Meaning::Hook(one_result)),
        (
            "results[].completionReason",
            Meaning::Word(Word::FinishReason),
        ),
        ("completionReason", Meaning::Word(Word::FinishReason)),
        ("results[].outputText", Meaning::Text),
        ("outputText", Meaning::Text),
        ("embedding", Meaning::Embedding),
        ("embeddingsByType", Meaning::Embedding),
    ],
    usage_at: &[],
    usage: &[],
};

fn one_result(tally: &mut Tally, moment: Moment<'_>) {
    if let Moment::Scalar(value) = moment
        && let Some(tokens) = value.as_count()
    {
        let sum = tally.scratch.sum.get_or_insert(0);
        *sum = sum.saturating_add(tokens);
    }
}

fn all_results(tally: &mut Tally, moment: Moment<'_>) {
    if let Moment::End = moment
        && let Some(sum) = tally.scratch.sum.take()
    {
        tally.told(Count::Output, sum);
    }
}
