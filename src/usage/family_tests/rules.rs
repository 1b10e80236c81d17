//! Which source is believed, what adds up and what does not, and what looks like a count but is none.

use super::*;
use crate::usage::UsageSource;
use crate::usage::test_support::{SSE, event, server_sent};

#[test]
fn the_shape_is_believed_before_the_metrics_and_these_before_the_headers() {
    let head = head(
        200,
        &[
            ("Content-Type", EVENTS),
            ("X-Amzn-Bedrock-Input-Token-Count", "1"),
            ("X-Amzn-Bedrock-Output-Token-Count", "1"),
            ("X-Amzn-Bedrock-Cache-Read-Input-Token-Count", "1"),
            ("X-Amzn-Bedrock-Cache-Write-Input-Token-Count", "4"),
        ],
    );
    let body = chunks(&[
        r#"{"amazon-bedrock-invocationMetrics":{"inputTokenCount":2,"outputTokenCount":2,"cacheReadInputTokenCount":2}}"#,
        r#"{"prompt_token_count":3}"#,
        r#"{"amazon-bedrock-invocationMetrics":{"inputTokenCount":2,"outputTokenCount":2}}"#,
    ]);
    let operation = Some(Operation::InvokeModelWithResponseStream);
    let seen = observe_in(operation, &head, &body, 10, true);
    let wanted = [Some(3), Some(2), Some(2), Some(4), None, None, Some(11)];
    assert_eq!(counts(&seen.usage), wanted);
}

#[test]
fn cache_tokens_from_elsewhere_are_taken_off_an_input_that_includes_them() {
    let head = head(
        200,
        &[
            ("Content-Type", JSON),
            ("X-Amzn-Bedrock-Input-Token-Count", "8"),
            ("X-Amzn-Bedrock-Cache-Read-Input-Token-Count", "64"),
        ],
    );
    let document = br#"{"choices":[],"usage":{"prompt_tokens":72,"completion_tokens":20}}"#;
    let seen = observe_in(Some(Operation::InvokeModel), &head, document, 9, true);
    let wanted = [Some(8), Some(20), Some(64), None, None, None, Some(92)];
    assert_eq!(counts(&seen.usage), wanted);
}

#[test]
fn more_cached_than_input_does_not_wrap() {
    let seen = body(
        r#"{"usage":{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}}"#,
    );
    assert_eq!(seen.usage.input_tokens, Some(0));
}

#[test]
fn converse_pairs_lifetimes_whatever_the_order_of_members() {
    for (details, one_hour) in [
        (
            r#"[{"ttl":"1h","inputTokens":7},{"inputTokens":3,"ttl":"5m"}]"#,
            Some(7),
        ),
        (
            r#"[{"inputTokens":3,"ttl":"5m"},{"inputTokens":7,"ttl":"1h"}]"#,
            Some(7),
        ),
        (
            r#"[{"inputTokens":3,"ttl":"1h"},{"inputTokens":7,"ttl":"1h"}]"#,
            Some(10),
        ),
        (r#"[{"inputTokens":10,"ttl":"5m"}]"#, Some(0)),
        (r#"[{"ttl":"1h"},{"inputTokens":10}]"#, None),
        ("[]", None),
        ("null", None),
    ] {
        let document = format!(
            r#"{{"usage":{{"cacheDetails":{details},"cacheWriteInputTokens":10,"inputTokens":1,"outputTokens":1}}}}"#
        );
        let seen = observe(Operation::Converse, JSON, document.as_bytes());
        assert_eq!(seen.usage.cache_write_1h_tokens, one_hour, "{details}");
        assert_eq!(seen.usage.total_tokens, Some(12));
    }
}

#[test]
fn the_documented_cache_counts_outrank_their_doubles_in_either_order() {
    for usage in [
        r#"{"cacheReadInputTokens":5,"cacheReadInputTokenCount":0,"inputTokens":1}"#,
        r#"{"cacheReadInputTokenCount":0,"cacheReadInputTokens":5,"inputTokens":1}"#,
    ] {
        let document = format!(r#"{{"usage":{usage}}}"#);
        let seen = observe(Operation::Converse, JSON, document.as_bytes());
        assert_eq!(seen.usage.cache_read_tokens, Some(5));
        assert_eq!(seen.usage.total_tokens, Some(6));
    }
}

#[test]
fn responses_count_their_cache_within_the_input() {
    let usage = r#"{"input_tokens":88,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":86},"output_tokens":14,"output_tokens_details":{"reasoning_tokens":9},"total_tokens":102}"#;
    let wanted = [
        Some(2),
        Some(14),
        Some(0),
        Some(86),
        None,
        Some(9),
        Some(102),
    ];
    let document = format!(
        r#"{{"object":"response","status":"completed","error":null,"incomplete_details":null,"usage":{usage}}}"#
    );
    let seen = observe(Operation::Responses, JSON, document.as_bytes());
    assert_eq!(counts(&seen.usage), wanted);
    assert_eq!(seen.finish_reason.as_deref(), Some("completed"));
    assert_eq!(seen.error_type, None);

    let body = server_sent(&[
        (
            "response.created",
            r#"{"type":"response.created","response":{"status":"in_progress","usage":null}}"#,
        ),
        (
            "response.output_text.delta",
            r#"{"type":"response.output_text.delta","delta":"x"}"#,
        ),
        (
            "response.incomplete",
            &format!(
                r#"{{"type":"response.incomplete","response":{{"status":"incomplete","incomplete_details":{{"reason":"max_output_tokens"}},"output":[{{"content":[{{"text":"\"usage\":{{"}}]}}],"usage":{usage}}}}}"#
            ),
        ),
    ]);
    let seen = observe(Operation::Responses, SSE, &body);
    assert_eq!(counts(&seen.usage), wanted);
    assert_eq!(seen.usage.source, Some(UsageSource::Stream));
    assert_eq!(seen.finish_reason.as_deref(), Some("max_output_tokens"));
}

#[test]
fn messages_over_server_sent_events_tell_their_counts() {
    let body = server_sent(&[
        (
            "message_start",
            r#"{"type":"message_start","message":{"usage":{"input_tokens":14,"cache_creation_input_tokens":2,"cache_read_input_tokens":900,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":2},"output_tokens":1}}}"#,
        ),
        (
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
        ),
        (
            "message_delta",
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":6,"output_tokens_details":{"thinking_tokens":3}}}"#,
        ),
        ("message_stop", r#"{"type":"message_stop"}"#),
    ]);
    let seen = observe(Operation::Messages, SSE, &body);
    let wanted = [
        Some(14),
        Some(6),
        Some(900),
        Some(2),
        Some(2),
        Some(3),
        Some(922),
    ];
    assert_eq!(counts(&seen.usage), wanted);
    assert_eq!(seen.finish_reason.as_deref(), Some("end_turn"));
}

#[test]
fn an_agents_traces_add_up_and_its_text_is_not_looked_into() {
    let trace = |kind: &str, input: u64, output: u64| {
        let payload = format!(
            r#"{{"agentId":"A","trace":{{"{kind}":{{"modelInvocationOutput":{{"metadata":{{"usage":{{"inputTokens":{input},"outputTokens":{output}}}}}}}}}}}}}"#
        );
        event("trace", &payload)
    };
    let body = [
        trace("preProcessingTrace", 10, 1),
        trace("orchestrationTrace", 20, 2),
        chunks(&[r#"{"usage":{"inputTokens":1000,"outputTokens":1000}}"#]),
        trace("orchestrationTrace", 30, 3),
    ]
    .concat();
    let seen = observe(Operation::InvokeAgent, EVENTS, &body);
    assert_eq!(counts(&seen.usage), plain(60, 6));
}

#[test]
fn look_alikes_are_not_counts() {
    for document in [
        r#"{"output":{"message":{"content":[{"text":"{\"usage\":{\"inputTokens\":999,\"outputTokens\":999}}"}]}}}"#,
        r#"{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":999}},"usage":{"input_tokens":999}}]}"#,
        r#"{"choices":[{"message":{"content":"x","usage":{"prompt_tokens":999}},"usage":{"prompt_tokens":999}}]}"#,
        r#"{"trace":{"guardrail":{"inputAssessment":{"g":{"invocationMetrics":{"usage":{"topicPolicyUnits":9}}}}},"usage":{"inputTokens":999}}}"#,
        r#"{"usage":{"usage":{"inputTokens":999},"x":{"inputTokens":999,"prompt_tokens":999}}}"#,
        r#"[{"usage":{"inputTokens":999}}]"#,
        r#"{"inputTokens":999,"outputTokens":999,"input_tokens":999,"inputTokenCount":999}"#,
        r#"{"usage":[{"inputTokens":999}],"message":{"x":{"usage":{"input_tokens":999}}}}"#,
        r#"{"usage":{"inputTokens":"999","outputTokens":true,"input_tokens":-1,"output_tokens":0.5}}"#,
        r#"{"metadata":{"metadata":{"usage":{"inputTokens":999}}},"generation":"\"prompt_token_count\":999"}"#,
        "data: {\"usage\":{\"prompt_tokens\":999}}",
        "\"usage\"",
        "",
    ] {
        let seen = body(document);
        assert_eq!(seen.usage, TokenUsage::default(), "{document}");
        let seen = stream(&[document]);
        assert_eq!(seen.usage, TokenUsage::default(), "in a chunk: {document}");
    }
}

#[test]
fn operations_without_tokens_tell_none() {
    let head = head(
        200,
        &[
            ("Content-Type", JSON),
            ("X-Amzn-Bedrock-Input-Token-Count", "5"),
        ],
    );
    let document = br#"{"inputTokens":18,"input_tokens":18,"usage":{"inputTokens":18}}"#;
    for operation in [
        Operation::CountTokens,
        Operation::MessagesCountTokens,
        Operation::ApplyGuardrail,
        Operation::Rerank,
    ] {
        let seen = observe_in(Some(operation), &head, document, 5, true);
        assert_eq!(seen.usage, TokenUsage::default());
    }
}

#[test]
fn zero_is_not_unknown() {
    let seen =
        body(r#"{"usage":{"input_tokens":0,"output_tokens":0,"cache_read_input_tokens":0}}"#);
    let wanted = [Some(0), Some(0), Some(0), None, None, None, Some(0)];
    assert_eq!(counts(&seen.usage), wanted);
}

#[test]
fn headers_are_believed_whatever_the_body_is() {
    let fields = [
        ("X-Amzn-Bedrock-Input-Token-Count", "31"),
        ("X-Amzn-Bedrock-Output-Token-Count", "5"),
    ];
    for (body_is, body) in [
        (("Content-Type", SSE), &b""[..]),
        (("Content-Type", SSE), b"data: [DONE]\n\n"),
        (("Content-Type", SSE), b"data: not JSON\n\ndata: {}\n\n"),
        (
            ("Content-Type", SSE),
            b"data: {\"usage\":{\"input_tokens\":7",
        ),
        (("Content-Type", EVENTS), &event("chunk", "{")),
        (
            ("Content-Type", EVENTS),
            b"no message, but long enough to be judged",
        ),
        (("Content-Type", JSON), b"{\"usage\":"),
        (("Content-Encoding", "snappy"), b"?"),
    ] {
        let seen = observe_in(
            Some(Operation::InvokeModel),
            &head(200, &[body_is, fields[0], fields[1]]),
            body,
            3,
            true,
        );
        let name = String::from_utf8_lossy(body);
        assert_eq!(counts(&seen.usage), plain(31, 5), "{body_is:?} {name}");
        assert_eq!(seen.usage.source, Some(UsageSource::Headers), "{name}");
    }
    let coded = [
        ("Content-Type", SSE),
        ("Content-Encoding", "snappy"),
        fields[0],
        fields[1],
    ];
    let seen = observe_in(
        Some(Operation::InvokeModel),
        &head(200, &coded),
        b"?",
        1,
        true,
    );
    assert_eq!(counts(&seen.usage), plain(31, 5));
}

#[test]
fn cache_writes_told_by_lifetime_alone_are_cache_writes() {
    for (operation, usage, all, one_hour) in [
        (
            Operation::Converse,
            r#"{"cacheDetails":[{"ttl":"1h","inputTokens":7},{"ttl":"5m","inputTokens":3}],"inputTokens":1,"outputTokens":1}"#,
            10,
            7,
        ),
        (
            Operation::Converse,
            r#"{"cacheDetails":[{"ttl":"5m","inputTokens":3}],"inputTokens":1,"outputTokens":1}"#,
            3,
            0,
        ),
        (
            Operation::Messages,
            r#"{"cache_creation":{"ephemeral_1h_input_tokens":7},"input_tokens":1,"output_tokens":1}"#,
            7,
            7,
        ),
    ] {
        let seen = observe(
            operation,
            JSON,
            format!(r#"{{"usage":{usage}}}"#).as_bytes(),
        );
        assert_eq!(seen.usage.cache_write_tokens, Some(all), "{usage}");
        assert_eq!(seen.usage.cache_write_1h_tokens, Some(one_hour), "{usage}");
        assert_eq!(seen.usage.total_tokens, Some(2 + all), "{usage}");
    }
}

#[test]
fn a_lower_bound_is_never_passed_off_as_the_count() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":25,"output_tokens":1}}}"#;
    for events in [
        &[("message_start", start)][..],
        &[
            ("message_start", start),
            ("message_stop", r#"{"type":"message_stop"}"#),
        ],
    ] {
        let seen = observe(Operation::Messages, SSE, &server_sent(events));
        assert_eq!(counts(&seen.usage), plain(25, 1));
        assert_eq!(seen.usage.source, Some(UsageSource::Partial));
    }
}
