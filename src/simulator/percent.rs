//! Percent-coding as SigV4 uses it: everything but the unreserved octets of RFC 3986 §2.3 is encoded, in upper case.
//!
//! `+` in a query is read as a space, as the signers of the AWS SDKs do.

/// The `name=value` pairs of a query, still encoded; a pair without `=` has an empty value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes a part of a query.
pub(super) fn decode(text: &str) -> Vec<u8> {
    octets(text, true)
}

/// Decodes a path segment, where `+` stands for itself; `None` if the result is not text.
pub(super) fn decode_segment(text: &str) -> Option<String> {
    String::from_utf8(octets(text, false)).ok()
}

fn octets(text: &str, plus_is_space: bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        match (octet, after) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                decoded.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (b'+', _) if plus_is_space => decoded.push(b' '),
            _ => decoded.push(octet),
        }
    }
    decoded
}

fn digit(octet: u8) -> u8 {
    match octet {
        b'0'..=b'9' => octet - b'0',
        b'a'..=b'f' => octet - b'a' + 10,
        _ => octet.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// Encodes everything but unreserved octets and those in `kept`.
pub(super) fn encode(octets: &[u8], kept: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(octets.len());
    for &octet in octets {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) || kept.contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            encoded.push('%');
            for nibble in [octet >> 4, octet & 0x0f] {
                encoded.extend(
                    DIGITS
                        .get(usize::from(nibble))
                        .map(|&digit| char::from(digit)),
                );
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_the_round_trip() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(octets(&encode(&all, b""), true), all);
    }

    #[test]
    fn what_is_not_an_escape_stands_for_itself() {
        assert_eq!(decode("%zz%4%"), b"%zz%4%");
        assert_eq!(decode("a+b%2B"), b"a b+");
        assert_eq!(decode_segment("a+b%3a1").as_deref(), Some("a+b:1"));
        assert_eq!(decode_segment("%ff"), None);
        assert_eq!(encode(b"a:/b%3A", b"/"), "a%3A/b%253A");
    }
}
