//! `amazon-bedrock-invocationMetrics`: what Bedrock adds to the last chunk of an InvokeModel stream, whatever the family.
//!
//! The input count is without cache tokens. It agrees with the shape's own counts and fills in where they are silent.

use super::{Count, Family, Meaning};

pub(super) static FAMILY: Family = Family {
    paths: &[],
    usage_at: &["amazon-bedrock-invocationMetrics"],
    usage: &[
        ("inputTokenCount", Meaning::Metric(Count::Input)),
        ("outputTokenCount", Meaning::Metric(Count::Output)),
        (
            "cacheReadInputTokenCount",
            Meaning::Metric(Count::CacheRead),
        ),
        (
            "cacheWriteInputTokenCount",
            Meaning::Metric(Count::CacheWrite),
        ),
    ],
};
