//! Counts follow from the request, in every place where a family tells them.
//!
//! One row for each family: body, headers, and the metrics in the last chunk of a stream must tell the same. Cache
//! counts are checked in both shapes that have checkpoints.

use serde_json::{Value, json};

use super::super::PromptCache;
use super::{ask, chunks, field, hello, hello_tokens, whole};

#[test]
fn checkpoints_are_written_first_and_read_later_in_every_shape() {
    let cache = PromptCache::default();
    let system = "s".repeat(400);
    let converse = json!({
        "system": [{"text": system}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
    });
    let path = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse";
    let first = whole(&ask(&cache, path, &converse))["usage"].clone();
    assert_eq!(
        (&first["inputTokens"], &first["cacheWriteInputTokens"]),
        (&json!(2), &json!(100))
    );
    assert_eq!(
        first["cacheDetails"],
        json!([{"inputTokens": 100, "ttl": "1h"}])
    );
    let second = whole(&ask(&cache, path, &converse))["usage"].clone();
    assert_eq!(
        (
            &second["cacheReadInputTokens"],
            &second["cacheWriteInputTokens"]
        ),
        (&json!(100), &json!(0))
    );
    assert_eq!(first["totalTokens"], second["totalTokens"]);
    assert!(second.get("cacheDetails").is_none());

    // The same prefix in the other shape of the same model is the same prefix.
    let invoke = json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "system": [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hello"}],
    });
    let reply = ask(&cache, &path.replace("converse", "invoke"), &invoke);
    assert_eq!(whole(&reply)["usage"]["cache_read_input_tokens"], 100);
    assert_eq!(
        field(&reply, "X-Amzn-Bedrock-Cache-Read-Input-Token-Count"),
        Some("100")
    );
    assert_eq!(field(&reply, "X-Amzn-Bedrock-Input-Token-Count"), Some("2"));
    let reply = ask(
        &PromptCache::default(),
        &path.replace("converse", "invoke"),
        &invoke,
    );
    let written = json!({"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 0});
    assert_eq!(whole(&reply)["usage"]["cache_creation"], written);
    assert_eq!(
        field(&reply, "X-Amzn-Bedrock-Cache-Write-Input-Token-Count"),
        Some("100")
    );
}

/// A family's way of telling counts: where they are in the body, and whether headers tell them.
struct Row {
    model: &'static str,
    body: Value,
    places: Option<(&'static str, &'static str)>,
    headers: bool,
}

fn rows() -> Vec<Row> {
    let prompt = json!({"prompt": "hello"});
    let chat = json!([{"role": "user", "content": "hello"}]);
    let anthropic = json!({"anthropic_version": "x", "max_tokens": 999, "messages": chat});
    let titan = ("/inputTextTokenCount", "/results/0/tokenCount");
    let openai = ("/usage/prompt_tokens", "/usage/completion_tokens");
    let row = |model, body, places, headers| Row {
        model,
        body,
        places,
        headers,
    };
    vec![
        row(
            "anthropic.claude-3-haiku-20240307-v1:0",
            anthropic,
            Some(("/usage/input_tokens", "/usage/output_tokens")),
            true,
        ),
        row(
            "amazon.titan-text-lite-v1",
            json!({"inputText": "hello"}),
            Some(titan),
            true,
        ),
        row(
            "meta.llama3-8b-instruct-v1:0",
            prompt.clone(),
            Some(("/prompt_token_count", "/generation_token_count")),
            false,
        ),
        row("mistral.mistral-7b-instruct-v0:2", prompt, None, true),
        row(
            "amazon.nova-lite-v1:0",
            json!({"messages": hello()}),
            Some(("/usage/inputTokens", "/usage/outputTokens")),
            false,
        ),
        row(
            "openai.gpt-oss-20b-1:0",
            json!({"messages": chat}),
            Some(openai),
            false,
        ),
    ]
}

#[test]
fn every_family_tells_its_counts_where_it_should() {
    for Row {
        model,
        body,
        places,
        headers,
    } in rows()
    {
        let reply = ask(
            &PromptCache::default(),
            &format!("/model/{model}/invoke"),
            &body,
        );
        let answer = whole(&reply);
        assert_eq!(reply.status, 200, "{model}: {answer}");
        if let Some((input, output)) = places {
            assert_eq!(answer.pointer(input), Some(&json!(2)), "{model}");
            assert_eq!(
                answer.pointer(output),
                Some(&json!(hello_tokens())),
                "{model}"
            );
        }
        for (count, side) in [(2, "Input"), (hello_tokens(), "Output")] {
            let told = field(&reply, &format!("X-Amzn-Bedrock-{side}-Token-Count"));
            assert_eq!(
                told,
                headers.then(|| count.to_string()).as_deref(),
                "{model}"
            );
        }
        assert_eq!(
            field(&reply, "X-Amzn-Bedrock-Service-Tier"),
            Some("flex"),
            "{model}"
        );
    }
}

#[test]
fn every_family_tells_its_counts_in_the_last_chunk_of_a_stream() {
    for Row { model, body, .. } in rows() {
        let path = format!("/model/{model}/invoke-with-response-stream");
        let reply = ask(&PromptCache::default(), &path, &body);
        let chunks = chunks(&reply);
        assert!(
            field(&reply, "X-Amzn-Bedrock-Input-Token-Count").is_none(),
            "{model}"
        );
        let (last, before) = chunks.split_last().unwrap();
        let name = "amazon-bedrock-invocationMetrics";
        assert!(
            before.iter().all(|chunk| chunk.get(name).is_none()),
            "{model}"
        );
        assert_eq!(last[name]["inputTokenCount"], 2, "{model}");
        assert_eq!(last[name]["outputTokenCount"], hello_tokens(), "{model}");
    }
}

#[test]
fn a_llama_stream_tells_the_prompt_once_and_the_generation_running() {
    let path = "/model/meta.llama3-8b-instruct-v1:0/invoke-with-response-stream";
    for limit in [0, 500] {
        let body = json!({"prompt": "hello", "max_gen_len": limit});
        let chunks = chunks(&ask(&PromptCache::default(), path, &body));
        assert_eq!(
            chunks
                .iter()
                .filter(|chunk| chunk["prompt_token_count"] == 2)
                .count(),
            1
        );
        assert_eq!(chunks[0]["prompt_token_count"], 2);
        let running: Vec<u64> = chunks
            .iter()
            .map(|chunk| chunk["generation_token_count"].as_u64().unwrap())
            .collect();
        assert!(running.is_sorted());
        assert_eq!(running.last(), Some(&hello_tokens().min(limit)));
    }
}

#[test]
fn embeddings_tell_their_input_and_do_not_stream() {
    let rows = [
        (
            "cohere.embed-english-v3",
            json!({"texts": ["hello", "you"]}),
            "3",
        ),
        (
            "amazon.titan-embed-text-v2:0",
            json!({"inputText": "hello"}),
            "2",
        ),
    ];
    for (model, body, count) in rows {
        let reply = ask(
            &PromptCache::default(),
            &format!("/model/{model}/invoke"),
            &body,
        );
        assert_eq!(
            field(&reply, "X-Amzn-Bedrock-Input-Token-Count"),
            Some(count),
            "{model}"
        );
        assert_eq!(
            field(&reply, "X-Amzn-Bedrock-Output-Token-Count"),
            None,
            "{model}"
        );
        let reply = ask(
            &PromptCache::default(),
            &format!("/model/{model}/invoke-with-response-stream"),
            &body,
        );
        assert_eq!(reply.status, 400, "{model}");
    }
}
