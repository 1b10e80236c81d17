//! What bodies, headers and chunk streams of the families tell.

use super::*;
use crate::usage::UsageSource;

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
