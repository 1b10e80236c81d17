//! When something is estimated, and from what.

use crate::aws::operation::Operation;
use crate::usage::test_support::{EVENTS, JSON, SSE, chunks, event, head, message, server_sent};
use crate::usage::{ExchangeObserver, Observation, TokenUsage, UsageSource, estimate};

fn exchange(
    operation: Operation,
    request: &str,
    status: u16,
    content_type: &str,
    body: &[u8],
    complete: bool,
) -> Observation {
    let mut observer = ExchangeObserver::new(Some(operation));
    observer.request_content(request.as_bytes());
    observer.response_head(&head(status, &[("Content-Type", content_type)]));
    observer.response_content(body);
    observer.finish(complete)
}

fn estimated(seen: &Observation) -> TokenUsage {
    let mut usage = seen.usage.clone();
    if let Some(untold) = &seen.untold {
        estimate(&mut usage, untold);
    }
    usage
}

const CONVERSE: &str =
    r#"{"messages":[{"role":"user","content":[{"text":"Name the capital of France."}]}]}"#;

#[test]
fn a_cut_converse_stream_is_estimated() {
    let body = [
        event("messageStart", r#"{"role":"assistant"}"#),
        event("contentBlockDelta", r#"{"delta":{"text":"Paris is"}}"#),
    ]
    .concat();
    let seen = exchange(
        Operation::ConverseStream,
        CONVERSE,
        200,
        EVENTS,
        &body,
        false,
    );
    assert_eq!(seen.usage, TokenUsage::default());
    let usage = estimated(&seen);
    assert_eq!(usage.input_tokens, Some(6));
    assert_eq!(usage.output_tokens, Some(2));
    assert_eq!(usage.total_tokens, Some(8));
    assert_eq!(usage.source, Some(UsageSource::Estimated));
    let nothing = exchange(Operation::ConverseStream, CONVERSE, 200, EVENTS, b"", false);
    let usage = estimated(&nothing);
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(6), None));
}

#[test]
fn an_output_that_had_only_begun_is_a_floor() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":3}}}"#;
    let delta = |text: &str| {
        format!(
            r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":"{text}"}}}}"#
        )
    };
    let operation = Operation::InvokeModelWithResponseStream;
    for (text, wanted) in [("Paris", 3), ("Paris is the capital of France", 6)] {
        let body = chunks(&[start, &delta(text)]);
        let usage = estimated(&exchange(operation, CONVERSE, 200, EVENTS, &body, false));
        assert_eq!(usage.output_tokens, Some(wanted), "{text}");
        assert_eq!(usage.input_tokens, Some(5));
        assert_eq!(usage.total_tokens, Some(5 + wanted));
        assert_eq!(usage.source, Some(UsageSource::Estimated));
    }
    let seen = exchange(operation, CONVERSE, 200, EVENTS, &chunks(&[start]), false);
    assert_eq!(seen.untold, None, "no text came");
    assert_eq!(seen.usage.source, Some(UsageSource::Partial));
}

#[test]
fn a_running_total_is_a_report() {
    let chunk = r#"{"generation":"Paris is the capital","prompt_token_count":21,"generation_token_count":2}"#;
    let operation = Operation::InvokeModelWithResponseStream;
    let seen = exchange(operation, CONVERSE, 200, EVENTS, &chunks(&[chunk]), false);
    assert_eq!(seen.untold, None);
    assert_eq!(seen.usage.output_tokens, Some(2));
    assert_eq!(seen.usage.source, Some(UsageSource::Partial));
}

#[test]
fn a_whole_answer_that_told_nothing_is_estimated() {
    let chat = r#"{"messages":[{"role":"user","content":"Name the capital of France."}],"stream":true,"model":"m"}"#;
    let told = |text: &str| format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#);
    let sse = server_sent(&[("", &told("Par")), ("", &told("is.")), ("", "[DONE]")]);
    let prompt = r#"{"prompt":"Name the capital of France.","temperature":0.5}"#;
    for (operation, request, kind, body) in [
        (Operation::ChatCompletions, chat, SSE, sse.as_slice()),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"outputs":[{"text":"Paris.","stop_reason":"stop"}]}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"completion":"Paris."}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"generations":[{"text":"Paris."}]}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"text":"Paris.","finish_reason":"COMPLETE"}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"completions":[{"data":{"text":"Paris.","tokens":[]}}]}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"choices":[{"text":"Paris."}]}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"choices":[{"message":{"content":"Paris."}}]}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"generation":"Paris.","prompt_token_count":null}"#,
        ),
        (
            Operation::InvokeModel,
            prompt,
            JSON,
            br#"{"results":[{"outputText":"Paris."}]}"#,
        ),
        (
            Operation::Messages,
            chat,
            JSON,
            br#"{"content":[{"type":"tool_use","input":{"city":["Paris","."]}}]}"#,
        ),
        (
            Operation::Converse,
            CONVERSE,
            JSON,
            br#"{"output":{"message":{"content":[{"text":"Paris."}]}}}"#,
        ),
    ] {
        let usage = estimated(&exchange(operation, request, 200, kind, body, true));
        let told = String::from_utf8_lossy(body);
        assert_eq!(usage.input_tokens, Some(6), "{told}");
        assert_eq!(usage.output_tokens, Some(2), "{told}");
        assert_eq!(usage.source, Some(UsageSource::Estimated));
    }
}

#[test]
fn an_embedding_has_its_input_estimated_and_no_output() {
    let request = r#"{"texts":["Name the capital of France."],"input_type":"search_query"}"#;
    let body = br#"{"embeddings":[[0.1]],"texts":["name"]}"#;
    let usage = estimated(&exchange(
        Operation::InvokeModel,
        request,
        200,
        JSON,
        body,
        true,
    ));
    assert_eq!(
        (usage.input_tokens, usage.output_tokens),
        (Some(6), Some(0))
    );
    assert_eq!(usage.source, Some(UsageSource::Estimated));
}

#[test]
fn nothing_is_estimated_where_nothing_was_generated() {
    let text = br#"{"outputs":[{"text":"Paris."}]}"#.as_slice();
    let exception = message(
        &[
            (":message-type", "exception"),
            (":exception-type", "throttlingException"),
        ],
        "{}",
    );
    for (operation, status, kind, body) in [
        (Operation::InvokeModel, 400, JSON, text),
        (Operation::InvokeModel, 301, JSON, text),
        (Operation::ConverseStream, 500, EVENTS, b""),
        (Operation::InvokeModel, 200, JSON, b""),
        (Operation::InvokeModel, 200, JSON, br#"{"unknown":"shape"}"#),
        (
            Operation::InvokeModel,
            200,
            "text/html",
            b"<html>busy</html>",
        ),
        (
            Operation::InvokeModel,
            200,
            JSON,
            br#"{"error":{"type":"busy"}}"#,
        ),
        (Operation::ConverseStream, 200, EVENTS, &exception),
        (Operation::ApplyGuardrail, 200, JSON, text),
        (Operation::Retrieve, 200, JSON, text),
        (Operation::InvokeAgent, 200, EVENTS, b""),
    ] {
        let seen = exchange(operation, CONVERSE, status, kind, body, true);
        assert_eq!(seen.untold, None, "{operation:?} {status} {kind}");
    }
    let mut observer = ExchangeObserver::new(Some(Operation::ConverseStream));
    observer.request_content(CONVERSE.as_bytes());
    assert_eq!(observer.finish(false).untold, None, "no head came");
    let mut observer = ExchangeObserver::new(None);
    observer.response_head(&head(200, &[("Content-Type", JSON)]));
    observer.response_content(text);
    assert_eq!(
        observer.finish(true).untold,
        None,
        "nobody knows what was asked"
    );
}

#[test]
fn what_the_service_itself_broke_off_is_not_estimated() {
    let body = [
        event("contentBlockDelta", r#"{"delta":{"text":"Paris is"}}"#),
        message(
            &[
                (":message-type", "exception"),
                (":exception-type", "modelStreamErrorException"),
            ],
            "{}",
        ),
    ]
    .concat();
    let seen = exchange(
        Operation::ConverseStream,
        CONVERSE,
        200,
        EVENTS,
        &body,
        true,
    );
    assert_eq!(
        seen.error_type.as_deref(),
        Some("modelStreamErrorException")
    );
    assert_eq!(seen.untold, None);
    assert_eq!(seen.usage, TokenUsage::default());
}

#[test]
fn only_text_of_a_request_is_sampled_and_a_picture_costs_no_memory() {
    let mut observer = ExchangeObserver::new(Some(Operation::Converse));
    observer.request_content(br#"{"modelId":"m","system":[{"text":"You"}],"messages":[{"role":"user","content":[{"text":"see"},{"image":{"format":"png","source":{"bytes":""#);
    for _ in 0..400 {
        observer.request_content(&[b'A'; 65536]);
    }
    observer.request_content(br#""}}},{"document":{"format":"txt","name":"notes","source":{"text":"inside"}}},{"toolResult":{"toolUseId":"tooluse_x","content":[{"json":{"city":"Paris"}}],"status":"success"}},{"guardContent":{"text":{"text":"guarded"}}}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"weather","inputSchema":{"json":{"type":"object","properties":{"url":{"type":"string"}}}}}}],"toolChoice":{"auto":{}}},"serviceTier":{"type":"flex"},"performanceConfig":{"latency":"optimized"},"inferenceConfig":{"stopSequences":["never"]},"requestMetadata":{"team":"search"}}"#);
    observer.response_head(&head(200, &[("Content-Type", EVENTS)]));
    let seen = observer.finish(false);
    let prompt = seen.untold.clone().and_then(|untold| untold.input).unwrap();
    let text = String::from_utf8(prompt.kept().to_vec()).unwrap();
    let wanted = "You\nsee\nnotes\ninside\nParis\nguarded\nweather\njson\ntype\nobject\nproperties\nurl\ntype\nstring";
    assert_eq!(text, wanted);
    assert_eq!(seen.asked_tier.as_deref(), Some("flex"));
    assert_eq!(seen.asked_latency.as_deref(), Some("optimized"));
    assert_eq!(seen.tags, [("team".to_owned(), "search".to_owned())]);
}
