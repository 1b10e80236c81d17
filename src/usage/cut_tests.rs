//! A stream that is cut, at every byte and between any two frames, plain and coded: what it yields is what the whole one
//! tells, or says that it is not, and never more than was told.

use std::io::Write;

use crate::aws::operation::Operation;
use crate::usage::test_support::{EVENTS, JSON, SSE, chunks, event, head, server_sent};
use crate::usage::{ExchangeObserver, Observation, TokenUsage, UsageSource, estimate};

/// A stream by its frames.
struct Stream {
    name: &'static str,
    operation: Operation,
    content_type: &'static str,
    frames: Vec<Vec<u8>>,
}

impl Stream {
    fn chunked(name: &'static str, documents: &[&str]) -> Self {
        Self {
            name,
            operation: Operation::InvokeModelWithResponseStream,
            content_type: EVENTS,
            frames: documents
                .iter()
                .map(|document| chunks(&[document]))
                .collect(),
        }
    }

    fn sse(name: &'static str, operation: Operation, events: &[(&str, &str)]) -> Self {
        Self {
            name,
            operation,
            content_type: SSE,
            frames: events.iter().map(|event| server_sent(&[*event])).collect(),
        }
    }

    fn body(&self) -> Vec<u8> {
        self.frames.concat()
    }

    fn observe(&self, coding: &str, content: &[u8], complete: bool) -> Observation {
        let mut observer = ExchangeObserver::new(Some(self.operation));
        observer.request_content(PROMPT.as_bytes());
        let fields = [
            ("Content-Type", self.content_type),
            ("Content-Encoding", coding),
        ];
        observer.response_head(&head(200, &fields));
        observer.response_content(content);
        observer.finish(complete)
    }
}

const PROMPT: &str = r#"{"prompt":"Name the capital of France, please.","max_tokens":64}"#;
const METRICS: &str = r#""amazon-bedrock-invocationMetrics":{"inputTokenCount":57,"outputTokenCount":46,"cacheReadInputTokenCount":3}"#;

const CHAT: [(&str, &str); 4] = [
    (
        "",
        r#"{"model":"m","choices":[{"delta":{"role":"assistant","content":"Paris"}}]}"#,
    ),
    (
        "",
        r#"{"model":"m","choices":[{"delta":{"content":", of course."},"finish_reason":"stop"}]}"#,
    ),
    (
        "",
        r#"{"choices":[],"usage":{"prompt_tokens":72,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":64}}}"#,
    ),
    ("", "[DONE]"),
];

const MESSAGES: [&str; 6] = [
    r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":14,"cache_creation_input_tokens":2,"cache_read_input_tokens":900,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":2},"output_tokens":1}}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"An easy one."}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Paris"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":", of course."}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":46}}"#,
    r#"{"type":"message_stop"}"#,
];

fn streams() -> Vec<Stream> {
    let mut streams = chunked_streams();
    streams.extend(event_streams());
    streams
}

fn chunked_streams() -> Vec<Stream> {
    let with_metrics =
        |document: &str| format!("{},{METRICS}}}", document.strip_suffix('}').unwrap());
    let llama =
        with_metrics(r#"{"generation":"","prompt_token_count":null,"generation_token_count":46}"#);
    let mistral = with_metrics(r#"{"outputs":[{"text":"","stop_reason":"stop"}]}"#);
    let cohere =
        with_metrics(r#"{"event_type":"stream-end","response":{"text":"Paris, of course."}}"#);
    let chat = with_metrics(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#);
    let titan = with_metrics(
        r#"{"outputText":".","totalOutputTextTokenCount":46,"inputTextTokenCount":57}"#,
    );
    let legacy = with_metrics(r#"{"completion":".","stop_reason":"stop_sequence"}"#);
    let nova = r#"{"metadata":{"usage":{"inputTokens":57,"outputTokens":46,"cacheReadInputTokenCount":3}}}"#;
    vec![
        Stream::chunked("Anthropic messages", &MESSAGES),
        Stream::chunked(
            "Anthropic completions",
            &[r#"{"completion":"Paris, of course"}"#, &legacy],
        ),
        Stream::chunked(
            "Nova",
            &[
                r#"{"messageStart":{}}"#,
                r#"{"contentBlockDelta":{"delta":{"text":"Paris, of course."}}}"#,
                nova,
            ],
        ),
        Stream::chunked(
            "Titan",
            &[
                r#"{"outputText":"Paris","totalOutputTextTokenCount":null,"inputTextTokenCount":null}"#,
                &titan,
            ],
        ),
        Stream::chunked(
            "Llama",
            &[
                r#"{"generation":"Paris","prompt_token_count":57,"generation_token_count":1}"#,
                r#"{"generation":", of course.","prompt_token_count":null,"generation_token_count":4}"#,
                &llama,
            ],
        ),
        Stream::chunked("Mistral", &[r#"{"outputs":[{"text":"Paris"}]}"#, &mistral]),
        Stream::chunked(
            "Cohere",
            &[
                r#"{"event_type":"text-generation","text":"Paris"}"#,
                &cohere,
            ],
        ),
        Stream::chunked(
            "OpenAI chunks",
            &[r#"{"choices":[{"delta":{"content":"Paris"}}]}"#, &chat],
        ),
    ]
}

fn event_streams() -> Vec<Stream> {
    let responses = r#"{"type":"response.completed","response":{"status":"completed","output":[{"content":[{"text":"Paris, of course."}]}],"usage":{"input_tokens":88,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":86},"output_tokens":14}}}"#;
    let named: Vec<(&str, &str)> = MESSAGES
        .iter()
        .map(|document| ("message", *document))
        .collect();
    vec![
        Stream {
            name: "ConverseStream",
            operation: Operation::ConverseStream,
            content_type: EVENTS,
            frames: vec![
                event("messageStart", r#"{"role":"assistant","p":"abc"}"#),
                event(
                    "contentBlockDelta",
                    r#"{"delta":{"reasoningContent":{"text":"An easy one."}}}"#,
                ),
                event(
                    "contentBlockDelta",
                    r#"{"delta":{"text":"Paris, of course."}}"#,
                ),
                event("messageStop", r#"{"stopReason":"end_turn"}"#),
                event(
                    "metadata",
                    r#"{"usage":{"inputTokens":11,"outputTokens":46,"totalTokens":64,"cacheReadInputTokens":3,"cacheWriteInputTokens":4,"cacheDetails":[{"ttl":"1h","inputTokens":4}]}}"#,
                ),
            ],
        },
        Stream::sse("chat completions", Operation::ChatCompletions, &CHAT),
        Stream::sse(
            "Responses",
            Operation::Responses,
            &[
                (
                    "response.created",
                    r#"{"type":"response.created","response":{"status":"in_progress","usage":null}}"#,
                ),
                (
                    "response.output_text.delta",
                    r#"{"type":"response.output_text.delta","delta":"Paris, "}"#,
                ),
                (
                    "response.output_text.delta",
                    r#"{"type":"response.output_text.delta","delta":"of course."}"#,
                ),
                (
                    "response.output_text.done",
                    r#"{"text":"Paris, of course.","type":"response.output_text.done"}"#,
                ),
                ("response.completed", responses),
            ],
        ),
        Stream::sse("messages", Operation::Messages, &named),
    ]
}

fn parts(usage: &TokenUsage) -> [Option<u64>; 7] {
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

/// Judges what a stream told that was cut, against the whole one.
fn check(what: &str, cut: &Observation, whole: &TokenUsage) {
    let told = &cut.usage;
    match told.source {
        Some(UsageSource::Stream) => {
            assert_eq!(told, whole, "{what}");
            assert_eq!(cut.untold, None, "{what}");
        }
        Some(source) => assert_eq!(source, UsageSource::Partial, "{what}"),
        None => assert_eq!(parts(told), [None; 7], "{what}"),
    }
    for (told, whole) in parts(told).iter().zip(parts(whole)) {
        assert!(
            told.is_none() || *told <= whole,
            "{what}: {told:?} of {whole:?}"
        );
    }
    let Some(untold) = &cut.untold else {
        return;
    };
    let mut guessed = told.clone();
    estimate(&mut guessed, untold);
    assert_eq!(guessed.source, Some(UsageSource::Estimated), "{what}");
    assert_eq!(guessed.total_tokens, guessed.total(), "{what}");
    if told.input_tokens.is_some() {
        assert_eq!(guessed.input_tokens, told.input_tokens, "{what}");
    }
    // "An easy one.Paris, of course." has 8 tokens.
    assert!(
        guessed.output_tokens.unwrap_or(0) <= 9,
        "{what}: {guessed:?}"
    );
    assert!(guessed.output_tokens >= told.output_tokens, "{what}");
    assert_eq!(guessed.cache_read_tokens, told.cache_read_tokens, "{what}");
}

#[test]
fn a_whole_stream_leaves_nothing_untold() {
    for stream in streams() {
        let seen = stream.observe("identity", &stream.body(), true);
        assert_eq!(seen.untold, None, "{}", stream.name);
        assert_eq!(seen.usage.source, Some(UsageSource::Stream));
        let [input, output, ..] = parts(&seen.usage);
        assert!(input.is_some() && output.is_some(), "{}", stream.name);
    }
}

#[test]
fn a_stream_cut_at_every_byte_is_right_or_says_so() {
    for stream in streams() {
        let body = stream.body();
        let whole = stream.observe("identity", &body, true).usage;
        let mut sources = Vec::new();
        let mut before = Observation::default();
        for at in 0..body.len() {
            let cut = stream.observe("identity", &body[..at], false);
            sources.push(cut.usage.source);
            // What a byte does not change need not be judged again.
            if (&cut.usage, &cut.untold) != (&before.usage, &before.untold) {
                check(&format!("{} cut at {at}", stream.name), &cut, &whole);
                before = cut;
            }
        }
        assert!(sources.contains(&None) || sources.contains(&Some(UsageSource::Partial)));
    }
}

#[test]
fn a_stream_cut_between_frames_has_its_text_estimated() {
    for stream in streams() {
        let whole = stream.observe("identity", &stream.body(), true).usage;
        for frames in 0..stream.frames.len() {
            let body = stream.frames[..frames].concat();
            for complete in [false, true] {
                let cut = stream.observe("identity", &body, complete);
                let what = format!("{} after {frames} frames", stream.name);
                if !complete {
                    check(&what, &cut, &whole);
                }
                let mut usage = cut.usage.clone();
                if let Some(untold) = &cut.untold {
                    estimate(&mut usage, untold);
                }
                assert!(usage.input_tokens.is_some(), "{what}: the model was asked");
            }
        }
    }
}

type Encoder = fn(&[u8]) -> Vec<u8>;

const CODINGS: [(&str, Encoder); 4] = [
    ("gzip", |body| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }),
    ("deflate", |body| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }),
    ("br", |body| {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
        encoder.write_all(body).unwrap();
        encoder.into_inner()
    }),
    ("zstd", |body| {
        ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
    }),
];

#[test]
fn a_coded_stream_cut_anywhere_is_right_or_says_so() {
    for stream in streams() {
        let whole = stream.observe("identity", &stream.body(), true).usage;
        for (coding, encode) in CODINGS {
            let body = encode(&stream.body());
            let seen = stream.observe(coding, &body, true);
            assert_eq!(seen.usage, whole, "{} in {coding}", stream.name);
            for at in (0..body.len()).step_by(13) {
                let cut = stream.observe(coding, &body[..at], false);
                check(
                    &format!("{} in {coding} cut at {at}", stream.name),
                    &cut,
                    &whole,
                );
            }
        }
    }
}

#[test]
fn a_document_cut_anywhere_is_right_or_says_so() {
    let document = br#"{"id":"m","type":"message","content":[{"type":"text","text":"Paris, of course."}],"usage":{"input_tokens":14,"cache_read_input_tokens":900,"cache_creation_input_tokens":2,"output_tokens":46},"model":"m"}"#;
    let headed = [
        ("Content-Type", JSON),
        ("X-Amzn-Bedrock-Input-Token-Count", "14"),
        ("X-Amzn-Bedrock-Output-Token-Count", "46"),
    ];
    let observe = |fields: &[(&str, &str)], at: usize| {
        let mut observer = ExchangeObserver::new(Some(Operation::InvokeModel));
        observer.request_content(PROMPT.as_bytes());
        observer.response_head(&head(200, fields));
        observer.response_content(&document[..at]);
        observer.finish(at == document.len())
    };
    let whole = observe(&headed, document.len()).usage;
    assert_eq!(whole.source, Some(UsageSource::Body));
    for at in 0..document.len() {
        let cut = observe(&headed[..1], at);
        assert_ne!(cut.usage.source, Some(UsageSource::Body), "cut at {at}");
        check(&format!("cut at {at}"), &cut, &whole);
        let cut = observe(&headed, at);
        assert_eq!(cut.untold, None, "the headers told");
        assert_eq!(cut.usage.input_tokens, Some(14));
        assert_eq!(cut.usage.output_tokens, Some(46));
    }
}
