//! Every family's shapes, by hand-written documents: body, stream, and what looks like a count but is none.

use crate::aws::operation::Operation;
use crate::usage::family::{AGENT_FAMILIES, FAMILIES, SERVICE_FAMILIES};
use crate::usage::paths::Paths;
use crate::usage::test_support::{
    EVENTS, JSON, SSE, chunks, event, head, observe, observe_in, server_sent,
};
use crate::usage::{Observation, TokenUsage, UsageSource};

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

#[test]
fn bodies_tell_their_counts() {
    for (document, wanted, reason) in [
        (
            r#"{"type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_creation_input_tokens":40,"cache_read_input_tokens":500,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30},"output_tokens":60,"output_tokens_details":{"thinking_tokens":20}}}"#,
            [
                Some(3),
                Some(60),
                Some(500),
                Some(40),
                Some(30),
                Some(20),
                Some(603),
            ],
            Some("end_turn"),
        ),
        (
            r#"{"output":{"message":{"content":[{"text":"x"}],"role":"assistant"}},"stopReason":"max_tokens","usage":{"inputTokens":8,"outputTokens":2,"totalTokens":16,"cacheReadInputTokenCount":6,"cacheWriteInputTokenCount":0}}"#,
            [Some(8), Some(2), Some(6), Some(0), None, None, Some(16)],
            Some("max_tokens"),
        ),
        (
            r#"{"inputTextTokenCount":7,"results":[{"tokenCount":6,"outputText":"a","completionReason":"FINISH"},{"tokenCount":4,"outputText":"b","completionReason":"LENGTH"}]}"#,
            plain(7, 10),
            Some("LENGTH"),
        ),
        (
            r#"{"embedding":[0.5,-1e-7],"inputTextTokenCount":9}"#,
            plain(9, 0),
            None,
        ),
        (
            r#"{"embeddingsByType":{"float":[1]},"inputTextTokenCount":9}"#,
            plain(9, 0),
            None,
        ),
        (
            r#"{"generation":"x","prompt_token_count":11,"generation_token_count":12,"stop_reason":"length"}"#,
            plain(11, 12),
            Some("length"),
        ),
        (
            r#"{"generation":"x","prompt_token_count":null,"generation_token_count":null,"stop_reason":"stop"}"#,
            NOTHING,
            Some("stop"),
        ),
        (
            r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":50,"completion_tokens":30,"total_tokens":80,"prompt_tokens_details":{"cached_tokens":16},"completion_tokens_details":{"reasoning_tokens":12}}}"#,
            [Some(34), Some(30), Some(16), None, None, Some(12), Some(80)],
            Some("tool_calls"),
        ),
        (
            r#"{"id":"j","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11},"meta":{"requestDurationMillis":3}}"#,
            plain(5, 6),
            Some("stop"),
        ),
        (
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6,"prompt_tokens_details":null}}"#,
            plain(5, 6),
            None,
        ),
    ] {
        let seen = body(document);
        assert_eq!(counts(&seen.usage), wanted, "{document}");
        assert_eq!(seen.finish_reason.as_deref(), reason, "{document}");
        let source = (wanted != NOTHING).then_some(UsageSource::Body);
        assert_eq!(seen.usage.source, source, "{document}");
        assert_eq!(seen.error_type, None);
        assert!(!seen.stream);
    }
}

#[test]
fn bodies_without_counts_leave_them_to_the_headers() {
    for (document, reason) in [
        (
            r#"{"completion":"x","stop_reason":"stop_sequence","stop":"\n\nHuman:"}"#,
            Some("stop_sequence"),
        ),
        (
            r#"{"outputs":[{"text":"x","stop_reason":"length"}]}"#,
            Some("length"),
        ),
        (
            r#"{"choices":[{"index":0,"message":{"content":"x"},"stop_reason":"stop"}]}"#,
            Some("stop"),
        ),
        (
            r#"{"choices":[{"text":"x","stop_reason":"stop"}]}"#,
            Some("stop"),
        ),
        (
            r#"{"generations":[{"id":"g","text":"x","finish_reason":"COMPLETE"}],"id":"i","prompt":"p"}"#,
            Some("COMPLETE"),
        ),
        (
            r#"{"response_id":"r","text":"x","chat_history":[],"finish_reason":"MAX_TOKENS"}"#,
            Some("MAX_TOKENS"),
        ),
        (
            r#"{"id":1,"prompt":{"text":"p","tokens":[{"generatedToken":{}}]},"completions":[{"data":{"text":"x","tokens":[]},"finishReason":{"reason":"endoftext"}}]}"#,
            Some("endoftext"),
        ),
        (r#"{"message":"x","finishReason":"stop"}"#, Some("stop")),
    ] {
        let seen = with_headers(document);
        assert_eq!(counts(&seen.usage), plain(31, 5), "{document}");
        assert_eq!(seen.usage.source, Some(UsageSource::Headers), "{document}");
        assert_eq!(seen.finish_reason.as_deref(), reason, "{document}");
    }
}

#[test]
fn an_embedding_generates_no_tokens() {
    let head = head(200, &[("X-Amzn-Bedrock-Input-Token-Count", "6")]);
    let operation = Some(Operation::InvokeModel);
    for document in [
        r#"{"embeddings":[[0.1,0.2]],"id":"x","texts":["y"]}"#,
        r#"{"embeddings":[{"embeddingType":"TEXT","embedding":[0.1]}]}"#,
        r#"{"embeddings":{"float":[[0.1]]},"response_type":"embeddings_by_type"}"#,
        r#"{"data":[{"embedding":[0.1],"startSec":0}]}"#,
    ] {
        let seen = observe_in(operation, &head, document.as_bytes(), 7, true);
        assert_eq!(counts(&seen.usage), plain(6, 0), "{document}");
        assert_eq!(seen.usage.source, Some(UsageSource::Headers));
    }
    let seen = observe_in(operation, &head, br#"{"completion":"x"}"#, 7, true);
    assert_eq!(seen.usage.output_tokens, None, "not an embedding");
}

#[test]
fn streams_tell_their_counts() {
    let metrics = format!("{{{METRICS}}}");
    let cohere_end = format!(
        r#"{{"is_finished":true,"event_type":"stream-end","response":{{"finish_reason":"COMPLETE","text":"x"}},{METRICS}}}"#
    );
    let mistral_end = format!(r#"{{"outputs":[{{"text":"","stop_reason":"stop"}}],{METRICS}}}"#);
    for (documents, wanted, reason) in [
        (
            vec![
                r#"{"type":"message_start","message":{"stop_reason":null,"usage":{"input_tokens":3,"cache_read_input_tokens":9,"cache_creation_input_tokens":0,"output_tokens":1}}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":44}}"#,
                r#"{"type":"message_stop"}"#,
            ],
            [Some(3), Some(44), Some(9), Some(0), None, None, Some(56)],
            Some("tool_use"),
        ),
        (
            vec![
                r#"{"messageStart":{"role":"assistant"}}"#,
                r#"{"contentBlockDelta":{"delta":{"text":"x"},"contentBlockIndex":0}}"#,
                r#"{"messageStop":{"stopReason":"end_turn"}}"#,
                r#"{"metadata":{"usage":{"inputTokens":4,"outputTokens":5,"totalTokens":9},"metrics":{},"trace":{}}}"#,
            ],
            plain(4, 5),
            Some("end_turn"),
        ),
        (
            vec![
                r#"{"outputText":"a","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null}"#,
                r#"{"outputText":"b","index":0,"totalOutputTextTokenCount":33,"completionReason":"FINISH","inputTextTokenCount":22}"#,
            ],
            plain(22, 33),
            Some("FINISH"),
        ),
        (
            vec![
                r#"{"generation":"a","prompt_token_count":21,"generation_token_count":1,"stop_reason":null}"#,
                r#"{"generation":"b","prompt_token_count":null,"generation_token_count":2,"stop_reason":"stop"}"#,
            ],
            plain(21, 2),
            Some("stop"),
        ),
        (
            vec![
                r#"{"object":"chat.completion.chunk","choices":[{"delta":{"content":"x"},"finish_reason":null}]}"#,
                r#"{"object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            ],
            [Some(6), Some(2), Some(4), None, None, None, Some(12)],
            Some("stop"),
        ),
        (
            vec![r#"{"completion":"x","stop_reason":null}"#, &metrics],
            plain(57, 46),
            None,
        ),
        (
            vec![
                r#"{"event_type":"text-generation","text":"x"}"#,
                &cohere_end,
            ],
            plain(57, 46),
            Some("COMPLETE"),
        ),
        (vec![&mistral_end], plain(57, 46), Some("stop")),
    ] {
        let seen = stream(&documents);
        assert_eq!(counts(&seen.usage), wanted, "{documents:?}");
        assert_eq!(
            seen.usage.source,
            Some(UsageSource::Stream),
            "{documents:?}"
        );
        assert_eq!(seen.finish_reason.as_deref(), reason, "{documents:?}");
        assert!(seen.stream);
    }
}

#[test]
fn a_sessions_running_totals_are_not_added() {
    let seen = stream(&[
        r#"{"event":{"usageEvent":{"totalInputTokens":5,"totalOutputTokens":1,"totalTokens":6,"details":{"delta":{"input":{"speechTokens":5}}}}}}"#,
        r#"{"event":{"usageEvent":{"totalInputTokens":9,"totalOutputTokens":4,"totalTokens":13}}}"#,
    ]);
    assert_eq!(counts(&seen.usage), plain(9, 4));
}

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
