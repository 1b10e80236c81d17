//! Cohere Embed: the count stands in a header and nowhere else.
//!
//! The vectors are made from a hash of the text: equal texts have equal vectors, and they mean nothing. Cohere's other
//! models are not simulated.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::canonical::sha256_hex;
use super::super::fault::Fault;
use super::invoke::{Headers, Invoked};
use super::prompt::{missing, parse};
use super::tokens::{self, InputTokens};

/// Answers an Embed request.
pub(super) fn embed(body: &[u8]) -> Result<Invoked, Fault> {
    let request = parse(body)?;
    let texts: Vec<&str> = request
        .get("texts")
        .and_then(Value::as_array)
        .filter(|texts| !texts.is_empty())
        .and_then(|texts| texts.iter().map(Value::as_str).collect())
        .ok_or_else(|| missing("texts"))?;
    let vectors = Value::from(
        texts
            .iter()
            .map(|text| Value::from(vector(text)))
            .collect::<Vec<_>>(),
    );
    let (embeddings, response_type) = match request.get("embedding_types").and_then(Value::as_array)
    {
        Some(types) => {
            let named = types.iter().filter_map(Value::as_str);
            let by_type: Map<String, Value> = named
                .map(|name| (name.to_owned(), vectors.clone()))
                .collect();
            (Value::Object(by_type), "embeddings_by_type")
        }
        None => (vectors, "embeddings_floats"),
    };
    let id: String = sha256_hex(body).chars().take(32).collect();
    let input = tokens::of_prompt(texts.iter().map(|text| text.len()).sum());
    Ok(Invoked {
        body: json!({"embeddings": embeddings, "id": id, "response_type": response_type, "texts": texts}),
        chunks: Vec::new(),
        input: InputTokens::plain(input),
        output: None,
        headers: Headers::Counts,
        caches: false,
    })
}

/// A vector for a text: eight numbers between -1 and 1, the same for the same text.
pub(super) fn vector(text: &str) -> Vec<f64> {
    let hash: [u8; 32] = Sha256::digest(text).into();
    hash.iter()
        .take(8)
        .map(|&octet| (f64::from(octet) - 127.5) / 128.0)
        .collect()
}
