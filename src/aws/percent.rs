//! Percent-decoding for reading: path segments, query names and values.
//!
//! What is decoded here is only looked at; the bytes that go to the next hop are always the received ones. An escape
//! that is none stays as it was sent, so that decoding never fails. RFC 3986 §2.1.

use std::borrow::Cow;

/// `text` with its escapes decoded once; as sent when that is not UTF-8.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    String::from_utf8(decode_octets(text)).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The octets of `text` with its escapes decoded once.
pub(crate) fn decode_octets(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (plain, escape) = rest.split_at(at);
        decoded.extend_from_slice(plain);
        let value = match escape {
            [_, high, low, ..] => octet_of(*high, *low),
            _ => None,
        };
        let (octet, length) = value.map_or((b'%', 1), |value| (value, 3));
        decoded.push(octet);
        rest = escape.get(length..).unwrap_or_default();
    }
    decoded.extend_from_slice(rest);
    decoded
}

/// The octet that two hexadecimal digits stand for.
pub(super) fn octet_of(high: u8, low: u8) -> Option<u8> {
    Some(nibble(high)? << 4 | nibble(low)?)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escapes_decode_once_and_bad_ones_stay() {
        for (sent, read) in [
            ("", ""),
            ("plain", "plain"),
            ("v1%3A0", "v1:0"),
            ("v1%3a0", "v1:0"),
            ("%253A", "%3A"),
            ("%", "%"),
            ("a%4", "a%4"),
            ("a%zz%3A", "a%zz:"),
            ("%%3A", "%:"),
            ("%C3%BC", "ü"),
            ("%FF%3A", "%FF%3A"),
            ("ü%20ß", "ü ß"),
        ] {
            assert_eq!(decode(sent), read, "{sent}");
        }
    }
}
