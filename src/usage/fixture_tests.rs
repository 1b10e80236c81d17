//! Every recorded exchange, whole, cut at every byte, and under every content coding, against what is expected of it.

use std::io::Write;
use std::path::PathBuf;

use bytes::BytesMut;
use flate2::Compression;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::Value;

use crate::aws::operation::Operation;
use crate::usage::test_support::head;
use crate::usage::{ExchangeObserver, Observation, UsageSource, estimate};
use crate::wire::http1::{HeadLimits, ResponseHead};

const CASES: [(&str, Operation); 12] = [
    ("01-converse-basic", Operation::Converse),
    ("02-converse-cache", Operation::Converse),
    ("03-converse-stream", Operation::ConverseStream),
    ("04-invoke-anthropic", Operation::InvokeModel),
    (
        "05-invoke-anthropic-stream",
        Operation::InvokeModelWithResponseStream,
    ),
    ("06-invoke-titan-text", Operation::InvokeModel),
    (
        "07-invoke-llama-stream",
        Operation::InvokeModelWithResponseStream,
    ),
    ("08-invoke-cohere-embed", Operation::InvokeModel),
    ("09-chat-completions-sse", Operation::ChatCompletions),
    ("10-apply-guardrail", Operation::ApplyGuardrail),
    ("11-error-throttling", Operation::Converse),
    ("12-converse-stream-exception", Operation::ConverseStream),
];

struct Case {
    name: &'static str,
    operation: Operation,
    request: Vec<u8>,
    head: ResponseHead,
    body: Vec<u8>,
    expect: Value,
}

impl Case {
    fn all() -> Vec<Self> {
        let expected = json(&fixtures().join("expected.json"));
        assert_eq!(expected.as_object().expect("an object").len(), CASES.len());
        CASES
            .iter()
            .map(|(name, operation)| {
                let folder = fixtures().join(name);
                let raw = read(&folder.join("response.raw"));
                let mut raw = BytesMut::from(raw.as_slice());
                let head = ResponseHead::take(&mut raw, &HeadLimits::default());
                Self {
                    name,
                    operation: *operation,
                    request: read(&folder.join("request-body.bin")),
                    head: head.expect("a good head").expect("a whole head"),
                    body: read(&folder.join("body.bin")),
                    expect: expected[*name].clone(),
                }
            })
            .collect()
    }

    fn observe(&self, head: &ResponseHead, pieces: &[&[u8]]) -> (Observation, bool) {
        let mut observer = ExchangeObserver::new(Some(self.operation));
        observer.request_content(&self.request);
        observer.response_head(head);
        for piece in pieces {
            observer.response_content(piece);
        }
        let first_token_seen = observer.first_token_seen();
        (observer.finish(true), first_token_seen)
    }

    fn check(&self, seen: &Observation) {
        let (usage, wanted) = (&seen.usage, &self.expect["usage"]);
        for (field, count) in [
            ("input_tokens", usage.input_tokens),
            ("output_tokens", usage.output_tokens),
            ("total_tokens", usage.total_tokens),
        ] {
            assert_eq!(count, wanted[field].as_u64(), "{}: {field}", self.name);
        }
        for (field, count) in [
            ("cache_read_tokens", usage.cache_read_tokens),
            ("cache_write_tokens", usage.cache_write_tokens),
        ] {
            // The fixtures write 0 where nothing was said; the record keeps that apart.
            let wanted = wanted[field].as_u64().unwrap_or(0);
            assert_eq!(count.unwrap_or(0), wanted, "{}: {field}", self.name);
        }
        if let Some(wanted) = wanted.get("cache_write_1h_tokens") {
            assert_eq!(
                usage.cache_write_1h_tokens,
                wanted.as_u64(),
                "{}",
                self.name
            );
        }
        let source = wanted["source"].as_str().expect("a source");
        let source = match source.split('.').next() {
            Some("body") => Some(UsageSource::Body),
            Some("headers") => Some(UsageSource::Headers),
            Some("stream" | "sse") => Some(UsageSource::Stream),
            _ => None,
        };
        assert_eq!(usage.source, source, "{}", self.name);
        if let Some(reason) = self.expect["stop_reason"].as_str() {
            assert_eq!(seen.finish_reason.as_deref(), Some(reason), "{}", self.name);
        }
        let error = self.expect["error"]["type"].as_str();
        assert_eq!(seen.error_type.as_deref(), error, "{}", self.name);
        let id = Some("7f1c2a34-5b6d-4e8f-9a0b-1c2d3e4f5a6b");
        assert_eq!(seen.aws_request_id.as_deref(), id, "{}", self.name);
        assert_eq!(seen.model.as_deref(), self.expect["model"].as_str());
    }

    fn is_stream(&self) -> bool {
        self.name.contains("stream") || self.name.contains("sse")
    }
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bedrock")
}

fn read(path: &PathBuf) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &PathBuf) -> Value {
    serde_json::from_slice(&read(path)).expect("JSON")
}

#[test]
fn every_exchange_tells_what_is_expected() {
    for case in Case::all() {
        let (seen, first_token_seen) = case.observe(&case.head, &[&case.body]);
        case.check(&seen);
        assert_eq!(seen.stream, case.is_stream(), "{}", case.name);
        assert_eq!(first_token_seen, case.is_stream(), "{}", case.name);
    }
}

#[test]
fn every_exchange_tells_the_same_in_every_cut() {
    for case in Case::all() {
        let whole = case.observe(&case.head, &[&case.body]);
        for at in 0..=case.body.len() {
            let (before, after) = case.body.split_at(at);
            let cut = case.observe(&case.head, &[before, after]);
            assert_eq!(cut, whole, "{} cut at {at}", case.name);
        }
        let octets: Vec<&[u8]> = case.body.chunks(1).collect();
        assert_eq!(case.observe(&case.head, &octets), whole, "{}", case.name);
    }
}

#[test]
fn a_stream_that_was_cut_never_claims_to_be_whole_nor_more_than_it_told() {
    for case in Case::all() {
        if !case.is_stream() {
            continue;
        }
        let (whole, _) = case.observe(&case.head, &[&case.body]);
        for at in 0..case.body.len() {
            let mut observer = ExchangeObserver::new(Some(case.operation));
            observer.request_content(&case.request);
            observer.response_head(&case.head);
            observer.response_content(&case.body[..at]);
            let seen = observer.finish(false);
            match seen.usage.source {
                None => assert_eq!(seen.usage.total_tokens, None),
                Some(UsageSource::Partial) => {
                    let (told, whole) = (&seen.usage, &whole.usage);
                    assert_eq!(told.input_tokens, whole.input_tokens);
                    assert_eq!(told.cache_read_tokens, whole.cache_read_tokens);
                    assert_eq!(told.cache_write_tokens, whole.cache_write_tokens);
                    assert!(told.output_tokens <= whole.output_tokens);
                    assert!(told.total_tokens <= whole.total_tokens);
                }
                // Past the last count a cut loses nothing.
                Some(source) => {
                    assert_eq!(source, UsageSource::Stream);
                    assert_eq!(seen.usage, whole.usage, "{} cut at {at}", case.name);
                    assert_eq!(seen.untold, None);
                }
            }
            if let Some(untold) = &seen.untold {
                let mut usage = seen.usage.clone();
                estimate(&mut usage, untold);
                assert_eq!(usage.source, Some(UsageSource::Estimated));
                // "Paris – voilà." is the longest of these answers.
                assert!(
                    usage.output_tokens.unwrap_or(0) <= 6,
                    "{} cut at {at}",
                    case.name
                );
                assert!(usage.input_tokens.is_some(), "{} cut at {at}", case.name);
            }
        }
    }
}

#[test]
fn the_known_absent_counts_stay_absent() {
    let cases = Case::all();
    for (name, cache_read, cache_write) in [
        ("01-converse-basic", None, None),
        ("03-converse-stream", Some(0), Some(0)),
        ("06-invoke-titan-text", None, None),
        ("08-invoke-cohere-embed", None, None),
        ("09-chat-completions-sse", Some(64), None),
    ] {
        let case = cases.iter().find(|case| case.name == name).expect("a case");
        let (seen, _) = case.observe(&case.head, &[&case.body]);
        assert_eq!(seen.usage.cache_read_tokens, cache_read, "{name}");
        assert_eq!(seen.usage.cache_write_tokens, cache_write, "{name}");
    }
}

/// The name of a coding and what it makes of a body.
type Encoder = (&'static str, fn(&[u8]) -> Vec<u8>);

const ENCODERS: [Encoder; 6] = [
    ("gzip", gzip),
    ("deflate", zlib),
    ("deflate", deflate),
    ("br", brotli),
    ("zstd", zstd),
    ("zstd, gzip", |body| gzip(&zstd(body))),
];

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut encoder = brotli::CompressorWriter::new(&mut encoded, 4096, 5, 22);
    encoder.write_all(body).expect("memory");
    drop(encoder);
    encoded
}

fn zstd(body: &[u8]) -> Vec<u8> {
    compress_to_vec(body, CompressionLevel::Fastest)
}

#[test]
fn every_exchange_tells_the_same_under_every_content_coding() {
    for case in Case::all() {
        let (plain, _) = case.observe(&case.head, &[&case.body]);
        for (name, encode) in ENCODERS {
            let encoded = encode(&case.body);
            let mut fields: Vec<(&str, &str)> = case
                .head
                .fields()
                .iter()
                .map(|line| {
                    let text = |octets| std::str::from_utf8(octets).expect("ASCII");
                    (text(line.name), text(line.value))
                })
                .collect();
            fields.push(("Content-Encoding", name));
            let head = head(case.head.status(), &fields);
            let step = (encoded.len() / 100).max(1);
            for at in (0..=encoded.len()).step_by(step) {
                let (before, after) = encoded.split_at(at);
                let (seen, _) = case.observe(&head, &[before, after]);
                assert_eq!(seen, plain, "{} under {name} cut at {at}", case.name);
            }
            let octets: Vec<&[u8]> = encoded.chunks(1).collect();
            let (seen, first_token_seen) = case.observe(&head, &octets);
            assert_eq!(seen, plain, "{} under {name}", case.name);
            let shows = case.is_stream() && !name.contains("zstd");
            assert_eq!(first_token_seen, shows, "{} under {name}", case.name);
        }
    }
}
