//! What an exchange tells about itself besides counts: models, tiers, latencies, tags, and notes about odd numbers.

use std::sync::Arc;

use bytes::BytesMut;

use crate::aws::operation::Operation;
use crate::usage::test_support::{
    EVENTS, JSON, SSE, chunks, event, head, observe, observe_in, server_sent,
};
use crate::usage::{
    CACHE_COUNTED_TWICE, CACHE_EXCEEDS_INPUT, ExchangeObserver, Observation, tags_from_header,
};
use crate::wire::http1::{HeadLimits, RequestHead};

fn facts(seen: &Observation) -> [Option<&str>; 3] {
    [
        &seen.response_model,
        &seen.service_tier,
        &seen.performance_latency,
    ]
    .map(Option::as_deref)
}

#[test]
fn an_answer_names_its_model_tier_and_latency() {
    let converse = r#"{"usage":{"inputTokens":1},"serviceTier":{"type":"priority"},"performanceConfig":{"latency":"optimized"},"trace":{"promptRouter":{"invokedModelId":"arn:m"}}}"#;
    let message = r#"{"type":"message","model":"claude","usage":{"input_tokens":1,"service_tier":"standard"}}"#;
    let chat = r#"{"model":"gpt","service_tier":"flex","choices":[]}"#;
    let response =
        r#"{"type":"response.completed","response":{"model":"gpt","service_tier":"default"}}"#;
    let start = format!(r#"{{"type":"message_start","message":{message}}}"#);
    for (seen, wanted) in [
        (
            observe(Operation::Converse, JSON, converse.as_bytes()),
            [Some("arn:m"), Some("priority"), Some("optimized")],
        ),
        (
            observe(
                Operation::ConverseStream,
                EVENTS,
                &event("metadata", converse),
            ),
            [Some("arn:m"), Some("priority"), Some("optimized")],
        ),
        (
            observe(Operation::Messages, JSON, message.as_bytes()),
            [Some("claude"), Some("standard"), None],
        ),
        (
            observe(
                Operation::InvokeModelWithResponseStream,
                EVENTS,
                &chunks(&[&start]),
            ),
            [Some("claude"), Some("standard"), None],
        ),
        (
            observe(
                Operation::ChatCompletions,
                SSE,
                &server_sent(&[("", chat), ("", r#"{"model":null}"#)]),
            ),
            [Some("gpt"), Some("flex"), None],
        ),
        (
            observe(Operation::Responses, SSE, &server_sent(&[("", response)])),
            [Some("gpt"), Some("default"), None],
        ),
        (
            observe(Operation::InvokeModel, JSON, br#"{"generation":"x"}"#),
            [None; 3],
        ),
    ] {
        assert_eq!(facts(&seen), wanted);
    }
}

#[test]
fn bedrocks_own_headers_say_more_than_the_vendors_members() {
    let fields = [
        ("Content-Type", JSON),
        ("X-Amzn-Bedrock-Service-Tier", "reserved"),
        ("X-Amzn-Bedrock-PerformanceConfig-Latency", "optimized"),
    ];
    let body = br#"{"model":"claude","usage":{"service_tier":"standard"}}"#;
    let seen = observe_in(
        Some(Operation::InvokeModel),
        &head(200, &fields),
        body,
        4,
        true,
    );
    assert_eq!(
        facts(&seen),
        [Some("claude"), Some("reserved"), Some("optimized")]
    );
}

fn request(lines: &str) -> RequestHead {
    let text = format!("POST /model/m/invoke HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    RequestHead::take(&mut BytesMut::from(text.as_bytes()), &HeadLimits::default())
        .unwrap()
        .unwrap()
}

#[test]
fn what_was_asked_for_is_told_by_head_and_body() {
    let both = "X-Amzn-Bedrock-Service-Tier: flex\r\nX-Amzn-Bedrock-PerformanceConfig-Latency: optimized\r\n";
    let tagged = "X-Amzn-Bedrock-Request-Metadata: {\"team\":\"search\"}\r\n";
    for (operation, lines, body, tier, latency) in [
        (
            Operation::InvokeModel,
            both,
            "{}",
            Some("flex"),
            Some("optimized"),
        ),
        (
            Operation::InvokeModel,
            both,
            r#"{"service_tier":"auto"}"#,
            Some("flex"),
            Some("optimized"),
        ),
        (
            Operation::InvokeModel,
            tagged,
            r#"{"service_tier":"auto"}"#,
            Some("auto"),
            None,
        ),
        (
            Operation::ChatCompletions,
            "",
            r#"{"model":"m","service_tier":"priority"}"#,
            Some("priority"),
            None,
        ),
        (
            Operation::Converse,
            "",
            r#"{"serviceTier":{"type":"priority","x":"y"},"performanceConfig":{"latency":"standard"}}"#,
            Some("priority"),
            Some("standard"),
        ),
        (
            Operation::Converse,
            "",
            r#"{"messages":[{"serviceTier":{"type":"no"},"service_tier":"no"}],"serviceTier":"no"}"#,
            None,
            None,
        ),
        (
            Operation::ApplyGuardrail,
            "",
            r#"{"service_tier":"no"}"#,
            None,
            None,
        ),
    ] {
        let mut observer = ExchangeObserver::new(Some(operation));
        observer.request_head(&request(lines));
        for piece in body.as_bytes().chunks(3) {
            observer.request_content(piece);
        }
        let seen = observer.finish(true);
        assert_eq!(seen.asked_tier.as_deref(), tier, "{lines}{body}");
        assert_eq!(seen.asked_latency.as_deref(), latency, "{lines}{body}");
        let tags = seen
            .tags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        assert_eq!(tags.eq([("team", "search")]), lines == tagged);
    }
}

#[test]
fn a_cache_write_that_seems_counted_twice_is_flagged_and_not_touched() {
    let usage = |input: u64, write: u64, total: u64| {
        event(
            "metadata",
            &format!(
                r#"{{"usage":{{"inputTokens":{input},"outputTokens":10,"totalTokens":{total},"cacheReadInputTokens":0,"cacheWriteInputTokens":{write}}}}}"#
            ),
        )
    };
    let gpt = Some("openai.gpt-oss-120b-1:0");
    for (operation, model, input, write, total, flagged) in [
        (Operation::ConverseStream, gpt, 100, 80, 190, true),
        (
            Operation::ConverseStream,
            Some("us.openai.gpt-x-v1:0"),
            100,
            80,
            190,
            true,
        ),
        (Operation::ConverseStream, gpt, 20, 80, 110, false),
        (Operation::ConverseStream, gpt, 100, 80, 110, false),
        (Operation::ConverseStream, gpt, 100, 0, 110, false),
        (
            Operation::ConverseStream,
            Some("anthropic.claude-v1:0"),
            100,
            80,
            190,
            false,
        ),
        (Operation::ConverseStream, None, 100, 80, 190, false),
        (
            Operation::InvokeModelWithResponseStream,
            gpt,
            100,
            80,
            190,
            false,
        ),
    ] {
        let mut observer =
            ExchangeObserver::for_call(Some(operation), &Arc::default(), "h", None, model);
        observer.response_head(&head(200, &[("Content-Type", EVENTS)]));
        observer.response_content(&usage(input, write, total));
        let seen = observer.finish(true);
        let wanted: &[_] = if flagged { &[CACHE_COUNTED_TWICE] } else { &[] };
        assert_eq!(
            seen.notes, wanted,
            "{operation:?} {model:?} {input} {write} {total}"
        );
        assert_eq!(seen.usage.input_tokens, Some(input));
        assert_eq!(seen.usage.cache_write_tokens, Some(write));
    }
}

#[test]
fn more_cached_than_input_is_flagged() {
    let usage = |cached: u64| {
        let body = format!(
            r#"{{"usage":{{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{{"cached_tokens":{cached}}}}}}}"#
        );
        observe(Operation::ChatCompletions, JSON, body.as_bytes())
    };
    assert_eq!(usage(9).notes, [CACHE_EXCEEDS_INPUT]);
    assert!(usage(5).notes.is_empty());
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn tags_are_read_from_converse_bodies_and_from_the_header() {
    let tags = r#"{"team":"search","n":5,"x":{"a":"b"},"project":"a\u0062","team":"ads"}"#;
    let wanted = pairs(&[("project", "ab"), ("team", "ads")]);
    let body = format!(
        r#"{{"messages":[{{"requestMetadata":{{"no":"no"}}}}],"requestMetadata":{tags},"system":[]}}"#
    );
    let mut observer = ExchangeObserver::new(Some(Operation::ConverseStream));
    for piece in body.as_bytes().chunks(3) {
        observer.request_content(piece);
    }
    assert_eq!(observer.finish(true).tags, wanted);
    assert_eq!(tags_from_header(tags.as_bytes()), wanted);
    for bad in ["", "x", "[]", r#"["a"]"#, r#"{"a":"b""#, r#""a""#] {
        assert_eq!(tags_from_header(bad.as_bytes()), [], "{bad}");
    }
}

#[test]
fn no_more_tags_are_kept_than_the_api_allows() {
    let many: Vec<String> = (0..40).map(|n| format!(r#""k{n}":"v""#)).collect();
    let found = tags_from_header(format!("{{{}}}", many.join(",")).as_bytes());
    assert_eq!(found.len(), 16);
    let longest = "é".repeat(256);
    let found = tags_from_header(
        format!(r#"{{"a":"{longest}","b":"{longest}x","{longest}":"c","{longest}x":"d"}}"#)
            .as_bytes(),
    );
    assert_eq!(found, pairs(&[("a", &longest), (&longest, "c")]));
}
