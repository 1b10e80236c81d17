//! Every family's shapes, by hand-written documents: body, stream, and what looks like a count but is none.

mod guardrails;
mod media;
mod rows;
mod rules;
mod shapes;

use crate::aws::operation::Operation;
use crate::usage::family::{AGENT_FAMILIES, FAMILIES, SERVICE_FAMILIES};
use crate::usage::paths::Paths;
use crate::usage::test_support::{EVENTS, JSON, chunks, head, observe, observe_in};
use crate::usage::{Observation, TokenUsage};

/// Input, output, cache read, cache write, of that for an hour, reasoning, total.
type Counts = [Option<u64>; 7];

fn counts(usage: &TokenUsage) -> Counts {
    [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.total_tokens,
    ]
}

/// Input and output alone.
fn plain(input: u64, output: u64) -> Counts {
    let total = Some(input + output);
    [Some(input), Some(output), None, None, None, None, total]
}

const NOTHING: Counts = [None; 7];

fn body(document: &str) -> Observation {
    observe(Operation::InvokeModel, JSON, document.as_bytes())
}

fn stream(documents: &[&str]) -> Observation {
    let operation = Operation::InvokeModelWithResponseStream;
    observe(operation, EVENTS, &chunks(documents))
}

/// A body that tells nothing, with the count headers of InvokeModel.
fn with_headers(document: &str) -> Observation {
    let head = head(
        200,
        &[
            ("Content-Type", JSON),
            ("X-Amzn-Bedrock-Input-Token-Count", "31"),
            ("X-Amzn-Bedrock-Output-Token-Count", "5"),
        ],
    );
    let operation = Some(Operation::InvokeModel);
    observe_in(operation, &head, document.as_bytes(), usize::MAX, true)
}

const METRICS: &str = r#""amazon-bedrock-invocationMetrics":{"inputTokenCount":57,"outputTokenCount":46,"invocationLatency":1590,"firstByteLatency":602}"#;

#[test]
fn families_that_share_a_path_mean_the_same_by_it() {
    // Building the trees asserts it.
    for families in [FAMILIES, AGENT_FAMILIES, SERVICE_FAMILIES] {
        assert!(Paths::of(families, &[]).is_some());
    }
}
