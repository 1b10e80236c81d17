//! What an observer tells besides counts: errors, models, the first token; and that nothing upsets it.

use bytes::BytesMut;
use proptest::prelude::*;

use crate::aws::operation::Operation;
use crate::usage::test_support::{
    EVENTS, JSON, SSE, chunks, event, head, message, observe, observe_in, server_sent,
};
use crate::usage::{ExchangeObserver, TokenUsage, UsageSource};
use crate::wire::http1::{HeadLimits, RequestHead};

#[test]
fn an_error_is_named_by_header_then_by_body() {
    let aws = "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/";
    for (header, body, wanted) in [
        (Some(aws), r#"{"message":"x"}"#, Some("ThrottlingException")),
        (
            Some("ValidationException"),
            r#"{"__type":"Other"}"#,
            Some("ValidationException"),
        ),
        (
            Some("com.amazon#AccessDenied:http://x"),
            "",
            Some("AccessDenied"),
        ),
        (Some(""), r#"{"__type":"A"}"#, Some("A")),
        (
            None,
            r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException"}"#,
            Some("UnrecognizedClientException"),
        ),
        (None, r#"{"code":"B","__type":"A"}"#, Some("A")),
        (None, r#"{"code":"B","error":{"type":"C"}}"#, Some("B")),
        (
            None,
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"model_not_found"}}"#,
            Some("invalid_request_error"),
        ),
        (
            None,
            r#"{"error":{"message":"m","type":null,"code":"model_not_found"}}"#,
            Some("model_not_found"),
        ),
        (
            None,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
            Some("overloaded_error"),
        ),
        (None, r#"{"error":{"code":400}}"#, None),
        (None, "<html>busy</html>", None),
        (None, "", None),
    ] {
        let mut fields = vec![("Content-Type", JSON)];
        fields.extend(header.map(|value| ("x-amzn-ErrorType", value)));
        let head = head(400, &fields);
        for size in [1, usize::MAX] {
            let operation = Some(Operation::Converse);
            let seen = observe_in(operation, &head, body.as_bytes(), size, true);
            assert_eq!(seen.error_type.as_deref(), wanted, "{header:?} {body}");
            assert_eq!(seen.usage, TokenUsage::default());
        }
    }
}

#[test]
fn a_good_answer_has_no_error_type() {
    let head = head(200, &[("x-amzn-errortype", "Odd")]);
    let body = br#"{"code":"x","__type":"y","error":null,"usage":{"inputTokens":1}}"#;
    let seen = observe_in(Some(Operation::Converse), &head, body, 3, true);
    assert_eq!(seen.error_type, None);
    assert_eq!(seen.usage.source, Some(UsageSource::Body));
}

#[test]
fn an_exception_or_error_in_a_stream_is_told_and_the_counts_stay() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#;
    let exception = [
        (":message-type", "exception"),
        (":exception-type", "throttlingException"),
    ];
    let error = [
        (":message-type", "error"),
        (":error-code", "InternalFailure"),
    ];
    for (frame, wanted) in [
        (
            message(&exception, r#"{"message":"x"}"#),
            "throttlingException",
        ),
        (message(&error, ""), "InternalFailure"),
        (message(&[(":message-type", "exception")], ""), "exception"),
    ] {
        let body = [chunks(&[start]), frame].concat();
        let seen = observe(Operation::InvokeModelWithResponseStream, EVENTS, &body);
        assert_eq!(seen.error_type.as_deref(), Some(wanted));
        assert_eq!(seen.usage.input_tokens, Some(5));
        assert_eq!(seen.usage.source, Some(UsageSource::Partial));
    }
}

#[test]
fn an_error_among_server_sent_events_is_told() {
    for (name, data, wanted) in [
        (
            "error",
            r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
            "overloaded_error",
        ),
        (
            "error",
            r#"{"type":"error","code":"server_error","message":"m"}"#,
            "server_error",
        ),
        ("error", "not JSON", "error"),
        (
            "",
            r#"{"error":{"message":"m","type":"server_error","code":null}}"#,
            "server_error",
        ),
        (
            "response.failed",
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"m"}}}"#,
            "rate_limit_exceeded",
        ),
    ] {
        let seen = observe(Operation::Responses, SSE, &server_sent(&[(name, data)]));
        assert_eq!(seen.error_type.as_deref(), Some(wanted), "{name} {data}");
    }
}

#[test]
fn a_cut_stream_is_partial_until_its_last_count() {
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    let before = server_sent(&[("", usage)]);
    let after = server_sent(&[("", usage), ("", "[DONE]")]);
    let operation = Some(Operation::ChatCompletions);
    let head = head(200, &[("Content-Type", SSE)]);
    for (body, complete, wanted) in [
        (&before, false, UsageSource::Partial),
        (&before, true, UsageSource::Stream),
        (&after, false, UsageSource::Stream),
        (&after, true, UsageSource::Stream),
    ] {
        for size in [1, 5, usize::MAX] {
            let seen = observe_in(operation, &head, body, size, complete);
            assert_eq!(seen.usage.source, Some(wanted));
            assert_eq!(seen.usage.total_tokens, Some(9));
        }
    }
}

#[test]
fn an_event_stream_that_ends_inside_a_message_is_partial_even_if_its_framing_ended() {
    let mut body = chunks(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"message_delta","usage":{"output_tokens":9}}"#,
    ]);
    body.pop();
    let seen = observe(Operation::InvokeModelWithResponseStream, EVENTS, &body);
    assert_eq!(seen.usage.output_tokens, Some(1));
    assert_eq!(seen.usage.source, Some(UsageSource::Partial));
}

#[test]
fn a_damaged_event_stream_tells_what_came_before_the_damage() {
    let mut body = chunks(&[
        r#"{"prompt_token_count":3}"#,
        r#"{"generation_token_count":9}"#,
    ]);
    let last = body.len() - 1;
    body[last] ^= 1;
    let seen = observe(Operation::InvokeModelWithResponseStream, EVENTS, &body);
    assert_eq!(seen.usage.input_tokens, Some(3));
    assert_eq!(seen.usage.output_tokens, None);
    assert_eq!(seen.usage.source, Some(UsageSource::Partial));
}

#[test]
fn the_first_generated_text_or_tool_input_is_noticed() {
    let deltas = [
        r#"{"generation":"x"}"#,
        r#"{"outputs":[{"text":"x"}]}"#,
        r#"{"outputText":"x"}"#,
        r#"{"completion":"x"}"#,
        r#"{"text":"x"}"#,
        r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"x"}}"#,
        r#"{"contentBlockDelta":{"delta":{"toolUse":{"input":"{"}}}}"#,
        r#"{"choices":[{"delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"x"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"text":"x"}]}"#,
    ];
    let silent = [
        r#"{"generation":""}"#,
        r#"{"type":"message_start","message":{"content":[]}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"delta":{"content":null}}]}"#,
    ];
    let head = head(200, &[("Content-Type", EVENTS)]);
    for delta in deltas {
        let mut observer = ExchangeObserver::new(None);
        observer.response_head(&head);
        for document in silent {
            observer.response_content(&chunks(&[document]));
        }
        assert!(!observer.first_token_seen(), "before {delta}");
        observer.response_content(&chunks(&[delta]));
        assert!(observer.first_token_seen(), "after {delta}");
    }
    for (kind, payload) in [
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":"x"}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"delta":{"toolUse":{"input":"{"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"delta":{"reasoningContent":{"text":"x"}}}"#,
        ),
    ] {
        let mut observer = ExchangeObserver::new(Some(Operation::ConverseStream));
        observer.response_head(&head);
        observer.response_content(&event("messageStart", r#"{"role":"assistant","p":"abc"}"#));
        assert!(!observer.first_token_seen());
        observer.response_content(&event(kind, payload));
        assert!(observer.first_token_seen(), "{payload}");
    }
}

#[test]
fn an_agents_first_token_is_its_first_chunk() {
    let mut observer = ExchangeObserver::new(Some(Operation::InvokeAgent));
    observer.response_head(&head(200, &[("Content-Type", EVENTS)]));
    observer.response_content(&event("trace", r#"{"trace":{}}"#));
    assert!(!observer.first_token_seen());
    observer.response_content(&chunks(&["Paris"]));
    assert!(observer.first_token_seen());
}

#[test]
fn a_document_has_no_first_token() {
    let mut observer = ExchangeObserver::new(Some(Operation::InvokeModel));
    observer.response_head(&head(200, &[("Content-Type", JSON)]));
    observer.response_content(br#"{"generation":"x"}"#);
    assert!(!observer.first_token_seen());
}

#[test]
fn the_model_is_read_from_bodies_that_name_it() {
    for (operation, body, wanted) in [
        (
            Operation::ChatCompletions,
            r#"{"messages":[{"model":"no"}],"model":"openai.gpt-oss-20b-1:0"}"#,
            Some("openai.gpt-oss-20b-1:0"),
        ),
        (
            Operation::Responses,
            r#"{"model":"m","input":"x"}"#,
            Some("m"),
        ),
        (
            Operation::Messages,
            r#"{"model":"anthropic.claude","metadata":{"model":"no"}}"#,
            Some("anthropic.claude"),
        ),
        (
            Operation::StartAsyncInvoke,
            r#"{"modelId":"amazon.nova-reel-v1:0","modelInput":{"modelId":"no"}}"#,
            Some("amazon.nova-reel-v1:0"),
        ),
        (
            Operation::RetrieveAndGenerate,
            r#"{"input":{"text":"x"},"retrieveAndGenerateConfiguration":{"type":"KNOWLEDGE_BASE","knowledgeBaseConfiguration":{"knowledgeBaseId":"K","modelArn":"arn:m"}}}"#,
            Some("arn:m"),
        ),
        (Operation::InvokeModel, r#"{"model":"m"}"#, None),
        (Operation::Converse, r#"{"model":"m"}"#, None),
        (Operation::ChatCompletions, r#"{"model":7}"#, None),
        (Operation::ChatCompletions, "model=m", None),
    ] {
        for size in [1, usize::MAX] {
            let mut observer = ExchangeObserver::new(Some(operation));
            for piece in body.as_bytes().chunks(size) {
                observer.request_content(piece);
            }
            let seen = observer.finish(false);
            assert_eq!(seen.model.as_deref(), wanted, "{body}");
        }
    }
}

#[test]
fn usage_behind_thirty_megabytes_is_found() {
    let usage = r#""usage":{"prompt_tokens":5,"completion_tokens":6}}"#;
    for (operation, content_type, begin, end) in [
        (
            Operation::Converse,
            JSON,
            r#"{"output":{"message":{"content":[{"image":{"source":{"bytes":""#,
            r#""}}}]}},"usage":{"inputTokens":5,"outputTokens":6}}"#,
        ),
        (
            Operation::InvokeModel,
            JSON,
            r#"{"generation":""#,
            r#"","prompt_token_count":5,"generation_token_count":6}"#,
        ),
        (
            Operation::ChatCompletions,
            SSE,
            "data: {\"choices\":[{\"delta\":{\"content\":\"",
            &format!("\"}}}}],{usage}\n\ndata: [DONE]\n\n"),
        ),
    ] {
        let mut observer = ExchangeObserver::new(Some(operation));
        observer.response_head(&head(200, &[("Content-Type", content_type)]));
        observer.response_content(begin.as_bytes());
        let piece = vec![b'A'; 64 * 1024];
        for _ in 0..30 * 16 {
            observer.response_content(&piece);
        }
        observer.response_content(end.as_bytes());
        let seen = observer.finish(true);
        assert_eq!(seen.usage.total_tokens, Some(11), "{operation:?}");
        assert_eq!(seen.untold, None);
    }
}

#[test]
fn without_a_response_there_is_nothing_to_tell() {
    let mut observer = ExchangeObserver::new(None);
    observer.request_content(b"x");
    observer.response_content(b"{}");
    assert!(!observer.first_token_seen());
    assert_eq!(observer.finish(true), crate::usage::Observation::default());
}

#[test]
fn an_observer_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<ExchangeObserver>();
}

proptest! {
    #[test]
    fn arbitrary_bodies_tell_the_same_in_any_cut(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "(event: error\n|data: |\\{\"usage\":\\{\"prompt_tokens\":7\\}\\}|\n\n|\\[DONE\\]|x){0,12}".prop_map(String::into_bytes),
        ],
        kind in prop::sample::select(vec![JSON, EVENTS, SSE]),
        coding in prop::sample::select(vec!["identity", "gzip", "deflate", "br", "zstd", "br, gzip", "x"]),
        status in prop::sample::select(vec![200_u16, 500]),
        size in 1_usize..40,
        complete in any::<bool>(),
    ) {
        let head = head(status, &[("Content-Type", kind), ("Content-Encoding", coding)]);
        let whole = observe_in(None, &head, &body, usize::MAX, complete);
        let cut = observe_in(None, &head, &body, size, complete);
        prop_assert_eq!(whole, cut);
    }
}

#[test]
fn what_is_looked_up_again_is_not_counted_again() {
    let document = br#"{"object":"response","model":"m","status":"completed","usage":{"input_tokens":88,"output_tokens":14}}"#;
    for (method, counted) in [("GET", None), ("HEAD", None), ("POST", Some(88))] {
        let text = format!("{method} /openai/v1/responses/resp_1 HTTP/1.1\r\nHost: h\r\n\r\n");
        let request = RequestHead::take(&mut BytesMut::from(&*text), &HeadLimits::default());
        let mut observer = ExchangeObserver::new(None);
        observer.request_head(&request.unwrap().unwrap());
        observer.response_head(&head(200, &[("Content-Type", JSON)]));
        observer.response_content(document);
        assert_eq!(
            observer.finish(true).usage.input_tokens,
            counted,
            "{method}"
        );
    }
}

#[test]
fn only_a_good_stream_of_chat_completions_often_ends_uncounted() {
    for (operation, status, kind, wanted) in [
        (Operation::ChatCompletions, 200, SSE, true),
        (Operation::ChatCompletions, 200, JSON, false),
        (Operation::ChatCompletions, 429, SSE, false),
        (Operation::ConverseStream, 200, EVENTS, false),
    ] {
        let mut observer = ExchangeObserver::new(Some(operation));
        assert!(!observer.may_end_uncounted());
        observer.response_head(&head(status, &[("Content-Type", kind)]));
        assert_eq!(observer.may_end_uncounted(), wanted, "{operation:?} {kind}");
    }
}
