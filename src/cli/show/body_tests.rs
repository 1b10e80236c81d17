//! Bodies as a person sees them.

use std::io::Write;

use super::body::write;
use super::coding::decode;
use crate::cli::terminal::is_harmful;

fn shown(head: &str, body: &[u8], truncated: bool) -> String {
    let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
    let mut out = Vec::new();
    write(&mut out, head.as_bytes(), body, truncated).unwrap();
    String::from_utf8(out).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bedrock/");
    std::fs::read(format!("{root}{name}/body.bin")).unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn json_is_indented_and_keeps_its_tokens() {
    let body = b"{ \"a\":[1.10,1e400,{} , [ ]],\"a\":\"x\\\"{,\xc2\x9b\",\"b\":{\"c\":null}}\n";
    let expected = r#"{
  "a": [
    1.10,
    1e400,
    {},
    []
  ],
  "a": "x\"{,\u009b",
  "b": {
    "c": null
  }
}
"#;
    assert_eq!(
        shown("Content-Type: application/json", body, false),
        expected
    );
}

#[test]
fn indented_json_is_the_same_value() {
    for name in [
        "01-converse-basic",
        "02-converse-cache",
        "04-invoke-anthropic",
        "11-error-throttling",
    ] {
        let body = fixture(name);
        let text = shown("content-type: application/json", &body, false);
        let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        assert_eq!(value(text.as_bytes()), value(&body), "{name}");
    }
}

#[test]
fn json_that_was_cut_is_text() {
    let text = shown("Content-Type: application/json", b"{\"a\":\"\xc3", true);
    assert_eq!(
        text,
        "{\"a\":\"\n(only the beginning of this body was kept: 7 bytes)\n"
    );
}

#[test]
fn converse_stream_is_a_line_an_event() {
    let text = shown(
        "Content-Type: application/vnd.amazon.eventstream",
        &fixture("03-converse-stream"),
        false,
    );
    let kinds: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(kinds.first(), Some(&"messageStart"), "{text}");
    assert_eq!(kinds.last(), Some(&"metadata"), "{text}");
    assert!(text.contains("\"inputTokens\":11"), "{text}");
}

#[test]
fn chunks_of_an_invoke_stream_are_decoded() {
    let body = fixture("05-invoke-anthropic-stream");
    let head = "content-type: application/vnd.amazon.eventstream";
    let text = shown(head, &body, false);
    assert!(
        text.lines()
            .all(|line| line.starts_with("chunk  {\"type\":\"")),
        "{text}"
    );
    assert!(text.contains("amazon-bedrock-invocationMetrics"), "{text}");
    let cut = body.get(..body.len() - 5).unwrap();
    let cut = shown(head, cut, true);
    assert!(
        cut.contains("of an event that was not kept whole)"),
        "{cut}"
    );
    assert_eq!(cut.lines().count(), text.lines().count() + 1, "{cut}");
}

#[test]
fn exceptions_and_broken_frames_are_told() {
    let head = "content-type: application/vnd.amazon.eventstream";
    let mut body = fixture("12-converse-stream-exception");
    let text = shown(head, &body, false);
    assert!(text.contains("\nexception "), "{text}");
    body.extend([0xff; 100]);
    let text = shown(head, &body, false);
    assert!(text.contains("(no event stream from byte"), "{text}");
    assert!(
        text.contains("(100 bytes that are no text, of which the first 64 are)"),
        "{text}"
    );
}

#[test]
fn server_sent_events_are_shown_as_they_are() {
    let body = fixture("09-chat-completions-sse");
    let text = shown("Content-Type: text/event-stream", &body, false);
    assert_eq!(text, String::from_utf8(body).unwrap().replace("\r\n", "\n"));
}

#[test]
fn nothing_a_peer_sends_drives_the_terminal() {
    let nasty = b"\x1b]0;x\x07 \x08\r\x7f \xc2\x9b31m \xe2\x80\xae".as_slice();
    let json = [b"{\"a\":\"".as_slice(), b"\x7f\xc2\x9b\xe2\x80\xae", b"\"}"].concat();
    let binary = [nasty, &[0xff]].concat();
    for head in [
        "Content-Type: text/plain",
        "Content-Type: application/vnd.amazon.eventstream",
        "Content-Encoding: \u{1b}[31m",
        "Content-Encoding: gzip",
    ] {
        for body in [nasty, &json, &binary] {
            let text = shown(head, body, true);
            assert!(
                !text.chars().any(|c| c != '\n' && is_harmful(c)),
                "{text:?}"
            );
        }
    }
}

#[test]
fn binary_is_a_summary() {
    let text = shown("Content-Type: image/png", b"\x89PNG\r\n\x1a\n", false);
    assert_eq!(
        text,
        "(8 bytes that are no text)\n00000000  89 50 4e 47 0d 0a 1a 0a                          .PNG....\n"
    );
}

#[test]
fn content_codings_are_undone() {
    let plain = b"{\"a\":1}".as_slice();
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let brotli = {
        let mut out = Vec::new();
        brotli::CompressorWriter::new(&mut out, 4096, 5, 20)
            .write_all(plain)
            .unwrap();
        out
    };
    let zstd =
        ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest);
    for (coding, body) in [
        ("gzip", gzip(plain)),
        ("X-GZIP", gzip(plain)),
        ("deflate", zlib.clone()),
        ("deflate", deflate),
        ("br", brotli),
        ("zstd", zstd),
        ("deflate, identity, gzip", gzip(&zlib)),
    ] {
        let decoded = decode(coding, &body);
        assert_eq!(decoded.content.as_ref(), plain, "{coding}");
        assert!(
            decoded
                .note
                .is_some_and(|note| note.contains("decoded to 7")),
            "{coding}"
        );
        let text = shown(&format!("content-encoding: {coding}"), &body, false);
        assert!(text.ends_with("\n{\n  \"a\": 1\n}\n"), "{coding}: {text}");
    }
}

#[test]
fn a_coding_that_cannot_be_undone_is_told() {
    let whole = gzip(&b"hello world ".repeat(1000));
    let cut = whole.get(..whole.len() / 2).unwrap();
    let decoded = decode("gzip", cut);
    assert!(decoded.content.starts_with(b"hello") || decoded.content.is_empty());
    assert!(decoded.note.unwrap().contains("then: "));
    assert!(decode("snappy", b"x").note.unwrap().contains("not known"));
    assert!(
        decode("gzip,gzip,gzip,gzip,gzip", b"x")
            .note
            .unwrap()
            .contains("not decoded")
    );
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let decoded = decode(coding, b"\x00nonsense that is no coding");
        assert!(decoded.note.unwrap().contains("then: "), "{coding}");
    }
    assert!(decode("", b"x").note.is_none());
}

#[test]
fn a_small_body_cannot_become_a_huge_one() {
    let bomb = gzip(&vec![0; 40 * 1024 * 1024]);
    assert!(bomb.len() < 1024 * 1024);
    let decoded = decode("gzip", &bomb);
    assert_eq!(decoded.content.len(), 8 * 1024 * 1024);
    assert!(decoded.note.unwrap().contains("decoded up to"));
}
