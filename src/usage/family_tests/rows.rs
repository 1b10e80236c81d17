//! One row for each shape that Bedrock is known to answer with: what is told by its body alone, with the count headers
//! beside it, and by its stream. The numbers were counted by hand.

use super::*;
use crate::usage::UsageSource;

/// A shape, by two answers of one model.
struct Row {
    name: &'static str,
    body: &'static str,
    /// What the body tells without headers.
    told: Counts,
    /// What it tells with headers that say 31 and 5.
    with_headers: Counts,
}

const HEADERS: Counts = [Some(31), Some(5), None, None, None, None, Some(36)];

const fn io(input: u64, output: u64) -> Counts {
    let total = Some(input + output);
    [Some(input), Some(output), None, None, None, None, total]
}

/// A shape whose body tells no counts.
const fn silent(name: &'static str, body: &'static str) -> Row {
    Row {
        name,
        body,
        told: NOTHING,
        with_headers: HEADERS,
    }
}

/// A shape whose body tells both counts, so that headers are not needed.
const fn tells(name: &'static str, body: &'static str, told: Counts) -> Row {
    Row {
        name,
        body,
        told,
        with_headers: told,
    }
}

const ROWS: [Row; 31] = [
    tells(
        "Anthropic messages",
        r#"{"type":"message","model":"m","content":[{"type":"thinking","thinking":"t"},{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_creation_input_tokens":40,"cache_read_input_tokens":500,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":30},"output_tokens":60,"output_tokens_details":{"thinking_tokens":20},"service_tier":"standard"}}"#,
        [
            Some(3),
            Some(60),
            Some(500),
            Some(40),
            Some(30),
            Some(20),
            Some(603),
        ],
    ),
    silent(
        "Anthropic text completions",
        r#"{"completion":" Paris.","stop_reason":"stop_sequence","stop":"\n\nHuman:"}"#,
    ),
    tells(
        "Nova understanding",
        r#"{"output":{"message":{"content":[{"text":"x"}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":8,"outputTokens":2,"totalTokens":16,"cacheReadInputTokenCount":6,"cacheWriteInputTokenCount":0}}"#,
        [Some(8), Some(2), Some(6), Some(0), None, None, Some(16)],
    ),
    Row {
        name: "Nova multimodal embeddings",
        body: r#"{"embeddings":[{"embeddingType":"TEXT","embedding":[0.1]}]}"#,
        told: NOTHING,
        with_headers: HEADERS,
    },
    silent(
        "Nova Canvas, Titan Image",
        r#"{"images":["iVBORw0K"],"error":null}"#,
    ),
    tells(
        "Titan Text",
        r#"{"inputTextTokenCount":7,"results":[{"tokenCount":6,"outputText":"a","completionReason":"FINISH"},{"tokenCount":4,"outputText":"b","completionReason":"LENGTH"}]}"#,
        io(7, 10),
    ),
    Row {
        name: "Titan Embeddings v1",
        body: r#"{"embedding":[0.5,-1e-7],"inputTextTokenCount":9}"#,
        told: io(9, 0),
        with_headers: io(9, 5),
    },
    Row {
        name: "Titan Embeddings v2",
        body: r#"{"embedding":[0.5],"embeddingsByType":{"float":[0.5],"binary":[1]},"inputTextTokenCount":9}"#,
        told: io(9, 0),
        with_headers: io(9, 5),
    },
    Row {
        name: "Titan Multimodal Embeddings",
        body: r#"{"embedding":[0.5],"inputTextTokenCount":0,"message":null}"#,
        told: io(0, 0),
        with_headers: io(0, 5),
    },
    tells(
        "Llama",
        r#"{"generation":"x","prompt_token_count":11,"generation_token_count":12,"stop_reason":"length"}"#,
        io(11, 12),
    ),
    silent(
        "a Llama that was imported",
        r#"{"generation":"x","prompt_token_count":null,"generation_token_count":null,"stop_reason":"stop"}"#,
    ),
    silent(
        "Mistral text",
        r#"{"outputs":[{"text":"x","stop_reason":"length"}]}"#,
    ),
    silent(
        "Mistral chat",
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"stop_reason":"stop"}]}"#,
    ),
    tells(
        "Pixtral Large",
        r#"{"id":"p","object":"chat.completion","model":"pixtral","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1200,"completion_tokens":7,"total_tokens":1207}}"#,
        io(1200, 7),
    ),
    silent(
        "Cohere Command",
        r#"{"generations":[{"id":"g","text":"x","finish_reason":"COMPLETE"}],"id":"i","prompt":"p"}"#,
    ),
    silent(
        "Cohere Command R",
        r#"{"response_id":"r","generation_id":"g","text":"x","chat_history":[{"role":"USER","message":"m"}],"finish_reason":"COMPLETE"}"#,
    ),
    silent(
        "Cohere Embed v3",
        r#"{"embeddings":[[0.1,0.2]],"id":"x","response_type":"embeddings_floats","texts":["y"]}"#,
    ),
    silent(
        "Cohere Embed v4",
        r#"{"embeddings":{"float":[[0.1]],"int8":[[1]]},"id":"x","response_type":"embeddings_by_type"}"#,
    ),
    silent(
        "Cohere and Amazon Rerank",
        r#"{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}"#,
    ),
    silent(
        "Jurassic-2",
        r#"{"id":1,"prompt":{"text":"p","tokens":[{"generatedToken":{}}]},"completions":[{"data":{"text":"x","tokens":[{}]},"finishReason":{"reason":"endoftext"}}]}"#,
    ),
    tells(
        "Jamba",
        r#"{"id":"j","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11},"meta":{"requestDurationMillis":3}}"#,
        io(5, 6),
    ),
    silent(
        "DeepSeek R1",
        r#"{"choices":[{"text":"x","stop_reason":"stop"}]}"#,
    ),
    tells(
        "DeepSeek V3, Qwen, Kimi, GLM, MiniMax, Nemotron, Gemma",
        r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x","reasoning_content":"r"},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":50,"completion_tokens":30,"total_tokens":80,"prompt_tokens_details":{"cached_tokens":16},"completion_tokens_details":{"reasoning_tokens":12}}}"#,
        [Some(34), Some(30), Some(16), None, None, Some(12), Some(80)],
    ),
    tells(
        "gpt-oss",
        r#"{"id":"c","object":"chat.completion","model":"openai.gpt-oss-120b-1:0","service_tier":"default","choices":[{"index":0,"message":{"role":"assistant","content":"<reasoning>r</reasoning>x","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":72,"completion_tokens":20,"total_tokens":92}}"#,
        io(72, 20),
    ),
    tells(
        "Writer Palmyra",
        r#"{"id":"w","object":"chat.completion","created":1,"model":"palmyra-x5","choices":[{"index":0,"finish_reason":"stop","message":{"content":"x","role":"assistant","tool_calls":[],"reasoning_content":null}}],"usage":{"completion_tokens":4,"prompt_tokens":9,"total_tokens":13,"prompt_tokens_details":null}}"#,
        io(9, 4),
    ),
    silent(
        "Stable Image, SD3",
        r#"{"seeds":[7],"finish_reasons":[null],"images":["iVBORw0K"]}"#,
    ),
    silent(
        "Stability SDXL 1.0",
        r#"{"result":"success","artifacts":[{"seed":1,"base64":"iVBORw0K","finishReason":"SUCCESS"}]}"#,
    ),
    silent(
        "TwelveLabs Pegasus",
        r#"{"message":"A dog runs.","finishReason":"stop"}"#,
    ),
    silent(
        "TwelveLabs Marengo",
        r#"{"data":[{"embedding":[0.1],"embeddingOption":"visual-text","startSec":0,"endSec":6}]}"#,
    ),
    tells(
        "chat completions without details",
        r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6,"prompt_tokens_details":null}}"#,
        io(5, 6),
    ),
    tells(
        "Responses, of which 86 written to the cache",
        r#"{"object":"response","status":"completed","usage":{"input_tokens":88,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":86},"output_tokens":14,"output_tokens_details":{"reasoning_tokens":9},"total_tokens":102}}"#,
        [
            Some(2),
            Some(14),
            Some(0),
            Some(86),
            None,
            Some(9),
            Some(102),
        ],
    ),
];

#[test]
fn every_body_tells_what_it_has_and_headers_fill_in() {
    for Row {
        name,
        body,
        told,
        with_headers: headed,
    } in ROWS
    {
        let alone = super::body(body);
        assert_eq!(counts(&alone.usage), told, "{name}");
        let source = (told != NOTHING).then_some(UsageSource::Body);
        assert_eq!(alone.usage.source, source, "{name}");
        let both = with_headers(body);
        assert_eq!(counts(&both.usage), headed, "{name} with headers");
        let source = if told == NOTHING {
            UsageSource::Headers
        } else {
            UsageSource::Body
        };
        assert_eq!(both.usage.source, Some(source), "{name} with headers");
        assert_eq!(alone.error_type, None, "{name}");
    }
}

/// The last chunk of a stream, with the metrics that Bedrock adds: 57 in, 46 out.
fn last(document: &str) -> String {
    let open = document.strip_suffix('}').unwrap();
    let comma = if open.len() > 1 { "," } else { "" };
    format!("{open}{comma}{METRICS}}}")
}

/// What the metrics of a last chunk tell.
const METERED: Counts = io(57, 46);

/// The shape's name, its chunks, the last one without its metrics, and what all of them tell.
type StreamRow = (&'static str, &'static [&'static str], &'static str, Counts);

const STREAMS: [StreamRow; 14] = [
    (
        "Anthropic messages",
        &[
            r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":57,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":46}}"#,
        ],
        r#"{"type":"message_stop"}"#,
        [Some(57), Some(46), Some(0), Some(0), None, None, Some(103)],
    ),
    (
        "Anthropic messages whose delta told no count",
        &[
            r#"{"type":"message_start","message":{"usage":{"input_tokens":57,"output_tokens":1}}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
        ],
        r#"{"type":"message_stop"}"#,
        METERED,
    ),
    (
        "Anthropic text completions",
        &[r#"{"completion":"x","stop_reason":null}"#],
        r#"{"completion":"","stop_reason":"stop_sequence","stop":"\n\nHuman:"}"#,
        METERED,
    ),
    (
        "Nova",
        &[
            r#"{"messageStart":{"role":"assistant"}}"#,
            r#"{"contentBlockDelta":{"delta":{"text":"x"},"contentBlockIndex":0}}"#,
            r#"{"messageStop":{"stopReason":"end_turn"}}"#,
        ],
        r#"{"metadata":{"usage":{"inputTokens":57,"outputTokens":46,"totalTokens":113,"cacheReadInputTokenCount":10,"cacheWriteInputTokenCount":0},"metrics":{},"trace":{}}}"#,
        [Some(57), Some(46), Some(10), Some(0), None, None, Some(113)],
    ),
    (
        "Titan Text, counts null before the last",
        &[
            r#"{"outputText":"a","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null}"#,
        ],
        r#"{"outputText":"b","index":0,"totalOutputTextTokenCount":46,"completionReason":"FINISH","inputTextTokenCount":57}"#,
        METERED,
    ),
    (
        "Llama, a running total",
        &[
            r#"{"generation":"a","prompt_token_count":57,"generation_token_count":1,"stop_reason":null}"#,
            r#"{"generation":"b","prompt_token_count":null,"generation_token_count":2,"stop_reason":null}"#,
        ],
        r#"{"generation":"","prompt_token_count":null,"generation_token_count":46,"stop_reason":"stop"}"#,
        METERED,
    ),
    (
        "Mistral text",
        &[r#"{"outputs":[{"text":"x","stop_reason":null}]}"#],
        r#"{"outputs":[{"text":"","stop_reason":"stop"}]}"#,
        METERED,
    ),
    (
        "Mistral chat",
        &[
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"stop_reason":null}]}"#,
        ],
        r#"{"choices":[{"index":0,"message":{"content":""},"stop_reason":"stop"}]}"#,
        METERED,
    ),
    (
        "Cohere Command",
        &[r#"{"text":"x","is_finished":false}"#],
        r#"{"is_finished":true,"finish_reason":"COMPLETE"}"#,
        METERED,
    ),
    (
        "Cohere Command R",
        &[r#"{"event_type":"text-generation","text":"x"}"#],
        r#"{"is_finished":true,"event_type":"stream-end","response":{"finish_reason":"COMPLETE","text":"x"}}"#,
        METERED,
    ),
    (
        "DeepSeek R1",
        &[r#"{"choices":[{"text":"x","stop_reason":null}]}"#],
        r#"{"choices":[{"text":"","stop_reason":"stop"}]}"#,
        METERED,
    ),
    (
        "gpt-oss, Qwen, Writer, Jamba without usage of their own",
        &[
            r#"{"object":"chat.completion.chunk","choices":[{"delta":{"content":"x"},"finish_reason":null}]}"#,
        ],
        r#"{"object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        METERED,
    ),
    (
        "chat completion chunks with usage, part of it cached",
        &[r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}"#],
        r#"{"choices":[],"usage":{"prompt_tokens":67,"completion_tokens":46,"prompt_tokens_details":{"cached_tokens":10}}}"#,
        [Some(57), Some(46), Some(10), None, None, None, Some(113)],
    ),
    ("anything with nothing but the metrics", &[], "{}", METERED),
];

#[test]
fn every_stream_tells_its_counts_by_its_last_chunk() {
    for (name, chunks, end, wanted) in STREAMS {
        let end = last(end);
        let mut documents = chunks.to_vec();
        documents.push(&end);
        let seen = stream(&documents);
        assert_eq!(counts(&seen.usage), wanted, "{name}");
        assert_eq!(seen.usage.source, Some(UsageSource::Stream), "{name}");
        assert_eq!(seen.untold, None, "{name}");
    }
}

#[test]
fn asynchronous_calls_tell_nothing() {
    for (operation, body) in [
        (
            Operation::StartAsyncInvoke,
            r#"{"invocationArn":"arn:aws:bedrock:…"}"#,
        ),
        (
            Operation::GetAsyncInvoke,
            r#"{"status":"Completed","modelArn":"m","outputDataConfig":{}}"#,
        ),
        (
            Operation::ListAsyncInvokes,
            r#"{"asyncInvokeSummaries":[]}"#,
        ),
    ] {
        let mut observer = crate::usage::ExchangeObserver::new(Some(operation));
        observer.request_content(
            br#"{"modelId":"amazon.nova-reel-v1:1","modelInput":{"textToVideoParams":{"text":"a dog"}}}"#,
        );
        observer.response_head(&head(200, &[("Content-Type", JSON)]));
        observer.response_content(body.as_bytes());
        let seen = observer.finish(true);
        assert_eq!(seen.usage, TokenUsage::default(), "{operation:?}");
        assert_eq!(seen.untold, None);
        assert!(seen.units.is_empty());
    }
}
