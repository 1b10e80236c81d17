//! What a request may come to at most: its text, its data, its longest answer, and who and what it names.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

use super::*;
use crate::wire::http1::HeadLimits;

fn head(fields: &str) -> RequestHead {
    let bytes = format!("POST /model/m/converse HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let mut buffer = bytes::BytesMut::from(bytes.as_bytes());
    RequestHead::take(&mut buffer, &HeadLimits::default())
        .unwrap()
        .unwrap()
}

fn outlook_of(operation: Operation, fields: &str, body: &[u8], whole: Option<u64>) -> Outlook {
    let read = |size: usize| {
        let mut reader = OutlookReader::new(operation, &head(fields));
        for piece in body.chunks(size.max(1)) {
            reader.content(piece);
        }
        reader.finish(whole)
    };
    let outlook = read(body.len());
    for size in [1, 2, 3, 7, 100] {
        assert_eq!(read(size), outlook, "{size}");
    }
    outlook
}

fn outlook(body: &str) -> Outlook {
    let whole = Some(body.len() as u64);
    outlook_of(Operation::InvokeModel, "", body.as_bytes(), whole)
}

#[test]
fn every_family_names_its_longest_answer() {
    for (body, expected) in [
        (r#"{"inferenceConfig": {"maxTokens": 7}}"#, Some(7)),
        (r#"{"inferenceConfig": {"max_new_tokens": 7}}"#, Some(7)),
        (
            r#"{"anthropic_version": "x", "max_tokens": 7, "messages": []}"#,
            Some(7),
        ),
        (r#"{"prompt": "p", "max_tokens_to_sample": 7}"#, Some(7)),
        (r#"{"prompt": "p", "max_gen_len": 7}"#, Some(7)),
        (
            r#"{"inputText": "t", "textGenerationConfig": {"maxTokenCount": 7}}"#,
            Some(7),
        ),
        (
            r#"{"prompt": "p", "maxTokens": 7, "numResults": 3}"#,
            Some(21),
        ),
        (
            r#"{"max_tokens": 5, "max_completion_tokens": 7, "n": 2}"#,
            Some(14),
        ),
        (r#"{"input": "p", "max_output_tokens": 7}"#, Some(7)),
        (
            r#"{"prompt": "p", "max_tokens": 7, "num_generations": 1}"#,
            Some(7),
        ),
        (
            r#"{"inputs": "p", "parameters": {"max_new_tokens": 7}}"#,
            Some(7),
        ),
        (
            r#"{"messages": [{"content": [{"text": "max_tokens"}]}]}"#,
            None,
        ),
        // Inside of a tool's schema and of what was said it is a word like others.
        (r#"{"tools": [{"input_schema": {"max_tokens": 7}}]}"#, None),
        (r#"{"messages": [{"max_tokens": 7}]}"#, None),
        (r#"{"max_tokens": "7"}"#, None),
        (r#"{"max_tokens": -7}"#, None),
        ("max_tokens: 7", None),
        ("", None),
    ] {
        assert_eq!(outlook(body).max_output_tokens, expected, "{body}");
    }
}

#[test]
fn three_bytes_of_text_are_a_token_whatever_they_are() {
    let body = format!(r#"{{"messages": [{{"content": "{}"}}]}}"#, "x".repeat(2970));
    assert_eq!(outlook(&body).input_tokens, (body.len() as u64).div_ceil(3));
    assert_eq!(outlook("not JSON").input_tokens, 3);
    assert_eq!(outlook("").input_tokens, 0);
}

#[test]
fn data_counts_by_what_it_is() {
    let picture = |magic: &[u8]| {
        let mut bytes = magic.to_vec();
        bytes.resize(300_000, 0);
        STANDARD_NO_PAD.encode(bytes)
    };
    let tokens = |body: String| outlook(&body).input_tokens;
    let png = picture(b"\x89PNG\r\n\x1a\n");
    for image in [
        format!(r#"{{"image": {{"format": "png", "source": {{"bytes": "{png}"}}}}}}"#),
        format!(r#"{{"source": {{"type": "base64", "data": "{png}"}}}}"#),
        format!(r#"{{"image_url": {{"url": "data:image/png;base64,{png}"}}}}"#),
        format!(r#"{{"images": ["data:image/png;base64,{png}"]}}"#),
    ] {
        let tokens = tokens(image.clone());
        assert!((1600..1640).contains(&tokens), "{tokens} {image:.60}");
    }
    let pdf = picture(b"%PDF-1.7\n");
    let document = tokens(format!(
        r#"{{"document": {{"source": {{"bytes": "{pdf}"}}}}}}"#
    ));
    assert!((18_750..18_800).contains(&document), "{document}");
    let words = STANDARD_NO_PAD.encode("some words, ".repeat(1000));
    let document = tokens(format!(
        r#"{{"document": {{"source": {{"bytes": "{words}"}}}}}}"#
    ));
    assert!((4000..4030).contains(&document), "{document}");
    // What stands where text stands is read as text, however it looks.
    let text = tokens(format!(
        r#"{{"messages": [{{"content": [{{"text": "{png}"}}]}}]}}"#
    ));
    assert!(text >= png.len() as u64 / 3, "{text}");
}

#[test]
fn what_was_not_looked_at_counts_by_what_it_is_part_of() {
    let mut bytes = b"\xff\xd8\xff\xe0".to_vec();
    bytes.resize(3000, 0);
    let begin = format!(
        r#"{{"image": {{"source": {{"bytes": "{}"#,
        STANDARD_NO_PAD.encode(&bytes)
    );
    let of = |body: &str| {
        outlook_of(Operation::Converse, "", body.as_bytes(), Some(10_000_000)).input_tokens
    };
    assert!((1600..1620).contains(&of(&begin)));
    let tokens = of(r#"{"messages": [{"content": [{"text": "and so on"#);
    assert!((908_900..909_100).contains(&tokens), "{tokens}");
    let unseen = |whole| outlook_of(Operation::Converse, "", b"", whole);
    assert_eq!(unseen(Some(3000)).input_tokens, 1000);
    assert_eq!(unseen(None).input_tokens, UNKNOWN);
    assert_eq!(unseen(None).max_output_tokens, None);
}

#[test]
fn a_coded_body_is_read_and_one_that_cannot_be_counts_for_more() {
    let body = format!(
        r#"{{"max_tokens": 9, "prompt": "{}"}}"#,
        "word ".repeat(2000)
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes()).unwrap();
    let coded = gzip.finish().unwrap();
    let whole = Some(coded.len() as u64);
    let of = |coding: &str| {
        let field = format!("Content-Encoding: {coding}\r\n");
        outlook_of(Operation::InvokeModel, &field, &coded, whole)
    };
    let read = of("gzip");
    assert_eq!(read.max_output_tokens, Some(9));
    assert_eq!(read.input_tokens, (body.len() as u64).div_ceil(3));
    let opaque = of("zip");
    assert_eq!(opaque.max_output_tokens, None);
    assert_eq!(opaque.input_tokens, (coded.len() as u64 * 4).div_ceil(3));
}

#[test]
fn names_are_told_as_the_record_will_have_them() {
    let fields = "X-Amzn-Bedrock-Request-Metadata: {\"team\":\"a\",\"env\":\"x\"}\r\n\
                  X-Amzn-Bedrock-Service-Tier: flex\r\n";
    let body = br#"{"requestMetadata": {"env": "prod"}, "messages": []}"#;
    let found = outlook_of(Operation::Converse, fields, body, None);
    let tags = [("team", "a"), ("env", "x"), ("env", "prod")];
    assert_eq!(found.tags, tags.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!(found.tier.as_deref(), Some("flex"));
    let body = br#"{"model": "openai.gpt-oss-20b", "max_tokens": 3}"#;
    let found = outlook_of(Operation::ChatCompletions, "", body, None);
    assert_eq!(found.model.as_deref(), Some("openai.gpt-oss-20b"));
    assert_eq!(found.max_output_tokens, Some(3));
}

#[test]
fn an_operation_that_tells_no_tokens_asks_for_none() {
    let found = outlook_of(Operation::ApplyGuardrail, "", br#"{"content": []}"#, None);
    assert_eq!((found.input_tokens, found.max_output_tokens), (0, Some(0)));
}
