//! Undoes content codings for display: gzip, deflate, br, zstd (RFC 9110 §8.4, RFC 9659 for zstd's window).
//!
//! A stored body may be cut, so what could be decoded before the end counts; and a small body may decode to a huge one,
//! so what is decoded is limited.

use std::borrow::Cow;
use std::io::Read;

use ruzstd::decoding::StreamingDecoder;

/// How much of a decoded body is kept.
const LIMIT: u64 = 8 * 1024 * 1024;

/// How many codings one after the other are undone: nobody has a use for more.
const LAYERS: usize = 4;

/// The window a zstd decoder for HTTP has to support, and the largest this one allocates.
const ZSTD_WINDOW: u64 = 8 * 1024 * 1024;

/// A body without its codings.
pub(in crate::cli) struct Decoded<'a> {
    pub(in crate::cli) content: Cow<'a, [u8]>,
    /// What was done, if anything was, and how far it got.
    pub(in crate::cli) note: Option<String>,
}

/// Decodes `body`, to which the codings listed in `codings` were applied in this order.
pub(in crate::cli) fn decode<'a>(codings: &str, body: &'a [u8]) -> Decoded<'a> {
    let mut decoded = Decoded {
        content: Cow::Borrowed(body),
        note: None,
    };
    let codings: Vec<&str> = codings
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .collect();
    if codings.is_empty() || body.is_empty() {
        return decoded;
    }
    if codings.len() > LAYERS {
        decoded.note = Some(format!("{} content codings, not decoded", codings.len()));
        return decoded;
    }
    let mut notes = Vec::new();
    for coding in codings.into_iter().rev() {
        let Some((content, end)) = undo(coding, &decoded.content) else {
            notes.push(format!("{coding} is not known, not decoded"));
            break;
        };
        let from = decoded.content.len();
        let to = content.len();
        notes.push(match end {
            End::Whole => format!("{coding}: {from} bytes decoded to {to}"),
            End::Limit => format!("{coding}: {from} bytes, decoded up to {to}"),
            End::Broken(why) => format!("{coding}: {from} bytes decoded to {to}, then: {why}"),
        });
        decoded.content = Cow::Owned(content);
    }
    decoded.note = Some(notes.join("; "));
    decoded
}

/// How decoding ended.
enum End {
    Whole,
    Limit,
    Broken(String),
}

fn undo(coding: &str, body: &[u8]) -> Option<(Vec<u8>, End)> {
    Some(match coding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => read(flate2::read::MultiGzDecoder::new(body)),
        "deflate" if has_zlib_header(body) => read(flate2::read::ZlibDecoder::new(body)),
        // Some send the bare format under this name, and every browser takes it.
        "deflate" => read(flate2::read::DeflateDecoder::new(body)),
        "br" => read(brotli::Decompressor::new(body, 4096)),
        "zstd" => match StreamingDecoder::new_with_max_window_size(body, ZSTD_WINDOW) {
            Ok(decoder) => read(decoder),
            Err(error) => (Vec::new(), End::Broken(error.to_string())),
        },
        _ => return None,
    })
}

/// RFC 1950 §2.2: method 8, and the two octets are a multiple of 31.
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, [cmf, flg, ..]
        if cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flg]).is_multiple_of(31))
}

fn read(decoder: impl Read) -> (Vec<u8>, End) {
    let mut content = Vec::new();
    let mut decoder = decoder.take(LIMIT + 1);
    let result = decoder.read_to_end(&mut content);
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let end = match result {
        _ if content.len() > limit => {
            content.truncate(limit);
            End::Limit
        }
        Ok(_) => End::Whole,
        Err(error) => End::Broken(error.to_string()),
    };
    (content, end)
}
