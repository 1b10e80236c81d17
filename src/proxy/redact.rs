//! What a record and its payload must not hold, taken out before anybody sees either.
//!
//! Heads were masked when they came (`aws::mask`). Here it is the words that a peer chose and the bodies, once, when the
//! exchange is over. A body under a content coding is looked into as well; if there is a credential in it, it is given up
//! as a whole, since it cannot be changed without being coded anew.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::aws::mask;
use crate::ledger::{Payload, UsageRecord};
use crate::usage::coding::{CodingError, ContentDecoder, codings_of};

/// A note: a body was coded, held a credential, and was not kept.
pub(super) const BODY_WITHHELD: &str = "body-withheld";

/// Most octets that a coded body is decoded to in search of credentials.
const MAX_DECODED: usize = 8 * 1024 * 1024;

/// Masks the words of `record` that came from a peer.
pub(super) fn record(record: &mut UsageRecord) {
    let identity = &mut record.identity;
    let words = [
        &mut identity.access_key_id,
        &mut identity.proxy_user,
        &mut identity.role,
        &mut identity.sdk,
        &mut identity.app_id,
        &mut record.host,
        &mut record.region,
        &mut record.model,
        &mut record.response_model,
        &mut record.service_tier,
        &mut record.performance_latency,
        &mut record.error_type,
        &mut record.aws_request_id,
        &mut record.finish_reason,
        &mut record.invocation_id,
    ];
    for word in words.into_iter().flatten() {
        replace(word, mask::word);
    }
    for (name, value) in &mut record.tags {
        replace(value, |value| mask::named(name, value));
    }
    if record.tags.keys().any(|name| *mask::word(name) != **name) {
        let tags = std::mem::take(&mut record.tags);
        let masked = |(name, value): (String, String)| (mask::word(&name).into_owned(), value);
        record.tags = tags.into_iter().map(masked).collect();
    }
}

fn replace(word: &mut String, mask: impl FnOnce(&str) -> Cow<'_, str>) {
    let masked = mask(word);
    if *masked != **word {
        *word = masked.into_owned();
    }
}

/// Masks the bodies of `payload`; tells whether one had to be given up.
pub(super) async fn payload(mut payload: Payload) -> (Payload, bool) {
    if payload.len() <= AT_ONCE {
        let given_up = bodies(&mut payload);
        return (payload, given_up);
    }
    // A long body takes milliseconds, which others on this thread need.
    let heads = Payload {
        request_head: payload.request_head.clone(),
        request_truncated: true,
        response_head: payload.response_head.clone(),
        response_truncated: true,
        ..Payload::default()
    };
    let masked = tokio::task::spawn_blocking(move || {
        let given_up = bodies(&mut payload);
        (payload, given_up)
    });
    masked.await.unwrap_or((heads, true))
}

/// Bodies that are short enough to be looked through in between.
const AT_ONCE: usize = 256 * 1024;

fn bodies(payload: &mut Payload) -> bool {
    let request = body(
        &payload.request_head,
        &mut payload.request_body,
        &mut payload.request_truncated,
    );
    let response = body(
        &payload.response_head,
        &mut payload.response_body,
        &mut payload.response_truncated,
    );
    request || response
}

fn body(head: &[u8], body: &mut Vec<u8>, truncated: &mut bool) -> bool {
    // First as it came: what is short may stand in its coding as it is, and masked it could not be decoded any more.
    if is_coded(head) && holds_credentials(head, body) {
        *body = Vec::new();
        *truncated = true;
        return true;
    }
    if let Some(masked) = mask::body(body) {
        *body = masked;
    }
    false
}

/// Whether a content coding may stand between us and the body.
fn is_coded(head: &[u8]) -> bool {
    field_values(head, b"content-encoding").next().is_some()
}

fn holds_credentials(head: &[u8], body: &[u8]) -> bool {
    let codings = match codings_of(field_values(head, b"content-encoding")) {
        Ok(codings) => codings,
        // What nobody here can decode says nothing to whoever reads the ledger with us.
        Err(CodingError::Unknown) => return false,
        Err(_) => return true,
    };
    let mut decoder = ContentDecoder::new(&codings, Bounded::default());
    // A body that was cut, or is not what it says, is looked at as far as it can be decoded.
    decoder.push(body).and_then(|()| decoder.finish()).ok();
    mask::body(&decoder.sink().0).is_some()
}

/// The values of a field in a head as it is stored.
fn field_values<'a>(head: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    // The line feed at the end of each line but the last.
    memchr::memchr_iter(b'\n', head).filter_map(move |end| {
        let line = head.get(end + 1..)?;
        let (found, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        if !found.eq_ignore_ascii_case(name) {
            return None;
        }
        let value =
            memchr::memchr(b'\n', value).map_or(value, |end| value.get(..end).unwrap_or(value));
        Some(value.trim_ascii())
    })
}

/// Keeps the beginning of what is written to it.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_DECODED.saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.0.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::ledger::sample;

    const SECRET: &str = "c4n4ry/K7MDENG+bPxRfiCYEXAMPLEKEY0123456";

    fn stored(coding: &str, body: Vec<u8>) -> Payload {
        Payload {
            request_head: format!("POST / HTTP/1.1\r\n{coding}\r\n").into_bytes(),
            request_body: body,
            ..Payload::default()
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut coder = GzEncoder::new(Vec::new(), Compression::default());
        coder.write_all(text.as_bytes()).unwrap();
        coder.finish().unwrap()
    }

    #[tokio::test]
    async fn a_coded_body_with_a_credential_is_given_up_and_another_is_kept() {
        let secret = format!(r#"{{"SessionToken":"{SECRET}"}}"#);
        let plain = r#"{"text":"hello"}"#;
        let gzip_line = "Content-Encoding: gzip\r\n";
        let twice = "content-encoding: gzip\r\nContent-Encoding:gzip\r\n";
        let stacked = "Content-Encoding: gzip, gzip, gzip\r\n";
        let in_two = {
            let mut coder = GzEncoder::new(Vec::new(), Compression::default());
            coder.write_all(&gzip(&secret)).unwrap();
            coder.finish().unwrap()
        };
        let cut = gzip(&format!("{secret}{}", "x".repeat(9999)));
        let rows = [
            (gzip_line, gzip(&secret), true),
            (gzip_line, cut[..cut.len() - 9].to_vec(), true),
            (twice, in_two, true),
            (stacked, b"anything".to_vec(), true),
            (gzip_line, gzip(plain), false),
            (gzip_line, plain.as_bytes().to_vec(), false),
            (
                "Content-Encoding: odd\r\n",
                plain.as_bytes().to_vec(),
                false,
            ),
            ("", plain.as_bytes().to_vec(), false),
        ];
        for (row, (coding, body, given_up)) in rows.into_iter().enumerate() {
            let before = body.clone();
            let (after, found) = payload(stored(coding, body)).await;
            assert_eq!(found, given_up, "{row}: {coding}");
            assert_eq!(after.request_truncated, given_up, "{row}: {coding}");
            let kept = if given_up { Vec::new() } else { before };
            assert_eq!(after.request_body, kept, "{row}: {coding}");
        }
        // What says that it is coded and is not, is masked like any other.
        let (after, found) = payload(stored(gzip_line, secret.into_bytes())).await;
        assert_eq!(after.request_body, br#"{"SessionToken":"***"}"#);
        assert!(!found);
    }

    #[tokio::test]
    async fn a_long_body_is_masked_as_well() {
        let text = format!("{}\"SessionToken\":\"{SECRET}\"", " ".repeat(2 * AT_ONCE));
        let (after, found) = payload(stored("", text.into_bytes())).await;
        assert!(!found && after.request_body.ends_with(b":\"***\""));
    }

    #[test]
    fn every_word_of_a_peer_is_masked() {
        let mut full = sample::full();
        let secret = || Some(format!("https://h/?X-Amz-Signature={SECRET}"));
        full.identity.access_key_id = secret();
        full.identity.proxy_user = secret();
        full.identity.role = secret();
        full.identity.sdk = secret();
        full.identity.app_id = secret();
        full.host = secret();
        full.region = secret();
        full.model = secret();
        full.response_model = secret();
        full.service_tier = secret();
        full.performance_latency = secret();
        full.error_type = secret();
        full.aws_request_id = secret();
        full.finish_reason = secret();
        full.invocation_id = secret();
        let tags = [
            ("x-api-key", SECRET.to_owned()),
            ("link", "https://u:c4n4ry@h/".to_owned()),
            ("team", "search".to_owned()),
            (&format!("bedrock-api-key-{SECRET}"), "x".to_owned()),
        ];
        full.tags = tags.map(|(name, value)| (name.to_owned(), value)).into();
        record(&mut full);
        let shown = serde_json::to_string(&full).unwrap();
        assert!(!shown.contains("c4n4ry"), "{shown}");
        assert_eq!(full.tags["team"], "search");
        assert_eq!(full.tags["x-api-key"], "***");
    }

    #[test]
    fn no_body_is_decoded_to_more_than_its_bound() {
        let mut sink = Bounded::default();
        sink.write_all(&vec![b' '; MAX_DECODED - 1]).unwrap();
        assert!(sink.write_all(b"abc").is_err());
        assert_eq!(sink.0.len(), MAX_DECODED);
    }
}
