//! Agents: the traces of InvokeAgent and InvokeInlineAgent, one usage object per model call of the agent.
//!
//! Here counts add, for each trace tells of another call. The text of an agent's answer is never looked into.

use super::{Count, Family, Meaning, Moment};
use crate::usage::tally::Tally;

pub(super) static FAMILY: Family = Family {
    paths: &[],
    usage_at: &["trace.*.modelInvocationOutput.metadata.usage"],
    usage: &[
        ("inputTokens", Meaning::Hook(input)),
        ("outputTokens", Meaning::Hook(output)),
    ],
};

fn input(tally: &mut Tally, moment: Moment<'_>) {
    add(tally, Count::Input, moment);
}

fn output(tally: &mut Tally, moment: Moment<'_>) {
    add(tally, Count::Output, moment);
}

fn add(tally: &mut Tally, count: Count, moment: Moment<'_>) {
    if let Moment::Scalar(value) = moment
        && let Some(tokens) = value.as_count()
    {
        let before = tally.so_far(count).unwrap_or(0);
        tally.told(count, before.saturating_add(tokens));
    }
}
