//! Guardrails: what they are billed by, which is text units and images and never tokens.
//!
//! ApplyGuardrail tells one set of units for the call, which its assessments break down; a trace of Converse tells one
//! set per assessment, which add up. InvokeGuardrailChecks has counts of its own.

use super::{Family, Meaning};

const UNITS: &[(&str, Meaning)] = &[
    ("topicPolicyUnits", Meaning::Unit("topic_policy_units")),
    ("contentPolicyUnits", Meaning::Unit("content_policy_units")),
    (
        "contentPolicyImageUnits",
        Meaning::Unit("content_policy_image_units"),
    ),
    ("wordPolicyUnits", Meaning::Unit("word_policy_units")),
    (
        "sensitiveInformationPolicyUnits",
        Meaning::Unit("sensitive_information_policy_units"),
    ),
    (
        "sensitiveInformationPolicyFreeUnits",
        Meaning::Unit("sensitive_information_policy_free_units"),
    ),
    (
        "contextualGroundingPolicyUnits",
        Meaning::Unit("contextual_grounding_policy_units"),
    ),
    (
        "automatedReasoningPolicyUnits",
        Meaning::Unit("automated_reasoning_policy_units"),
    ),
    (
        "automatedReasoningPolicies",
        Meaning::Unit("automated_reasoning_policies"),
    ),
];

/// ApplyGuardrail.
pub(super) static FAMILY: Family = Family {
    paths: &[],
    usage_at: &["usage"],
    usage: UNITS,
};

/// A guardrail inside Converse, where the trace is on.
pub(super) static TRACE: Family = Family {
    paths: &[],
    usage_at: &[
        "trace.guardrail.inputAssessment.*.invocationMetrics.usage",
        "trace.guardrail.outputAssessments.*[].invocationMetrics.usage",
    ],
    usage: UNITS,
};

/// InvokeGuardrailChecks.
pub(super) static CHECKS: Family = Family {
    paths: &[],
    usage_at: &["usage"],
    usage: &[
        (
            "contentFilter.textUnits",
            Meaning::Unit("content_filter_text_units"),
        ),
        (
            "promptAttack.textUnits",
            Meaning::Unit("prompt_attack_text_units"),
        ),
        (
            "sensitiveInformation.textUnits",
            Meaning::Unit("sensitive_information_text_units"),
        ),
    ],
};
