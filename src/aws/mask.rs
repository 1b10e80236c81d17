//! Heads without their secrets: what may be written to a ledger, a log or a screen.
//!
//! Signatures, session tokens, keys and cookies become `***`; everything else stays as received, so that a masked head
//! still shows what was sent and which headers were signed. Where a value does not have the expected form, the whole
//! of it goes: hiding too much costs a look, showing too much costs an account. Bodies are left to others.

use std::ops::Range;

use super::percent;
use crate::wire::http1::{FieldLine, FieldLines, RequestHead, ResponseHead};

/// The bytes of a request head, with its secrets masked.
#[must_use]
pub fn request_head(head: &RequestHead) -> Vec<u8> {
    let line = head.fields().start_line();
    let start = head.method().len() + 1;
    let end = start + head.target().len();
    let mut masked = Vec::with_capacity(head.fields().bytes().len());
    masked.extend_from_slice(line.get(..start).unwrap_or_default());
    masked.extend_from_slice(target(head.target()).as_bytes());
    masked.extend_from_slice(line.get(end..).unwrap_or_default());
    fields(head.fields(), &mut masked);
    masked
}

/// The bytes of a response head, with its secrets masked.
#[must_use]
pub fn response_head(head: &ResponseHead) -> Vec<u8> {
    let mut masked = Vec::with_capacity(head.fields().bytes().len());
    let line = head.fields().start_line();
    let (status, line_end) = line.split_at(line.trim_ascii_end().len());
    masked.extend_from_slice(&text(status));
    masked.extend_from_slice(line_end);
    fields(head.fields(), &mut masked);
    masked
}

/// A request-target in any of its four forms, with its secrets masked.
///
/// ```
/// use tollgate::aws::mask;
///
/// assert_eq!(mask::target("/m?X-Amz-Signature=0a1b&v=1"), "/m?X-Amz-Signature=***&v=1");
/// assert_eq!(mask::target("https://me:pass@host/"), "https://***@host/");
/// ```
#[must_use]
pub fn target(target: &str) -> String {
    let bytes = target.as_bytes();
    let mut secrets = secrets_of(bytes);
    // Authority-form has no `//` before its userinfo.
    if !target.starts_with('/') && !target.contains("://") {
        secrets.extend(Octets::as_sent(bytes).userinfo(0));
    }
    String::from_utf8_lossy(&without(bytes, secrets)).into_owned()
}

/// Bytes of unknown origin as one harmless line of at most 256 characters.
///
/// Control characters, line separators and direction overrides are written as `\u{…}`; what is cut off is shown by `…`.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    // Nearly everything that is ever shown.
    if bytes.len() <= MAX_PRINTABLE && bytes.iter().all(|octet| matches!(octet, b' '..=b'~')) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    // A character takes four bytes at most, so this many hold one more than is shown.
    let window = bytes.get(..4 * (MAX_PRINTABLE + 1)).unwrap_or(bytes);
    let mut shown = String::new();
    let mut count = 0;
    // The end of `shown` that still leaves room for the ellipsis.
    let mut end = 0;
    for character in String::from_utf8_lossy(window).chars() {
        let piece = if is_harmless(character) {
            character.to_string()
        } else {
            character.escape_unicode().to_string()
        };
        count += piece.chars().count();
        if count > MAX_PRINTABLE {
            shown.truncate(end);
            shown.push('…');
            return shown;
        }
        shown.push_str(&piece);
        if count < MAX_PRINTABLE {
            end = shown.len();
        }
    }
    shown
}

const MAX_PRINTABLE: usize = 256;

const MASK: &[u8] = b"***";

/// Authentication schemes whose name is worth keeping. A first word that is none of them may itself be the secret.
const SCHEMES: &[&str] = &[
    "AWS4-HMAC-SHA256",
    "AWS4-ECDSA-P256-SHA256",
    "AWS",
    "ApiKey",
    "Basic",
    "Bearer",
    "Digest",
    "DPoP",
    "Key",
    "Negotiate",
    "NTLM",
    "OAuth",
    "Token",
];

/// Query parameters that carry a secret, in lower case, each with its `=`; longer names that end so count as well.
const SECRET_PARAMETERS: &[&[u8]] = &[
    b"signature=",
    b"security-token=",
    b"session-token=",
    b"identitytoken=",
    b"samlassertion=",
    b"access_token=",
    b"api-key=",
    b"api_key=",
];

fn fields(lines: &FieldLines, masked: &mut Vec<u8>) {
    for line in lines.iter() {
        let colon = line.name.len() + 1;
        let blank = line.raw.get(colon..).unwrap_or_default();
        let start = colon + blank.iter().take_while(|&&octet| is_blank(octet)).count();
        let end = start + line.value.len();
        masked.extend_from_slice(line.raw.get(..start).unwrap_or_default());
        masked.extend_from_slice(&value(&line));
        masked.extend_from_slice(line.raw.get(end..).unwrap_or_default());
    }
    masked.extend_from_slice(b"\r\n");
}

fn value(line: &FieldLine<'_>) -> Vec<u8> {
    let name = line.name.to_ascii_lowercase();
    if line.value.is_empty() {
        Vec::new()
    } else if name.ends_with(b"authorization") {
        authorization(line.value)
    } else if is_secret(&name) {
        MASK.to_vec()
    } else {
        text(line.value)
    }
}

/// Broader than the list of known secrets, because the next one will be named after the same pattern.
fn is_secret(name: &[u8]) -> bool {
    const ENDINGS: &[&[u8]] = &[
        b"token",
        b"api-key",
        b"api_key",
        b"apikey",
        b"access-key",
        b"secret",
        b"password",
        b"signature",
        b"cookie",
        b"cookie2",
    ];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
        // The key of server-side encryption, of its copy source, and the digest of either.
        || memchr::memmem::find(name, b"customer-key").is_some()
}

/// `Authorization` and its relatives: the scheme stays, and of SigV4 the credential scope and the signed headers.
fn authorization(value: &[u8]) -> Vec<u8> {
    let end = value
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if !SCHEMES
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
    {
        return MASK.to_vec();
    }
    let mut masked = scheme.to_vec();
    let signed = scheme.to_ascii_uppercase().starts_with(b"AWS4-");
    if !signed && !rest.is_empty() {
        masked.push(b' ');
        masked.extend_from_slice(MASK);
        return masked;
    }
    for (index, parameter) in rest.split(|&octet| octet == b',').enumerate() {
        if index > 0 {
            masked.push(b',');
        }
        sigv4_parameter(parameter, &mut masked);
    }
    masked
}

/// Keeps the two parameters that are no secret, and those only in their own alphabet.
fn sigv4_parameter(parameter: &[u8], masked: &mut Vec<u8>) {
    let bare = parameter.trim_ascii_start();
    masked.extend_from_slice(parameter.strip_suffix(bare).unwrap_or_default());
    let (name, value) = bare.split_at(memchr::memchr(b'=', bare).unwrap_or(bare.len()));
    let value = value.strip_prefix(b"=").unwrap_or_default();
    let public = [&b"Credential"[..], b"SignedHeaders"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    if bare.is_empty() || (public && value.trim_ascii_end().iter().all(is_scope_octet)) {
        masked.extend_from_slice(bare);
        return;
    }
    if public || name.eq_ignore_ascii_case(b"Signature") {
        masked.extend_from_slice(name);
        masked.push(b'=');
    }
    masked.extend_from_slice(MASK);
}

/// What credential scopes and lists of header names are made of.
fn is_scope_octet(octet: &u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_/;:.".contains(octet)
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

fn is_harmless(character: char) -> bool {
    // Direction marks and overrides, line separators, and what has no width.
    !(character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        )
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'))
}

/// Any other text: query parameters and userinfo are masked wherever a URL may stand.
fn text(bytes: &[u8]) -> Vec<u8> {
    if memchr::memchr3(b'=', b'%', b'@', bytes).is_none() {
        return bytes.to_vec();
    }
    without(bytes, secrets_of(bytes))
}

fn secrets_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    // As sent, and with every layer of escapes removed: a URL may be a parameter of another.
    for octets in [Octets::as_sent(bytes), Octets::decoded(bytes)] {
        octets.parameters(bytes, &mut secrets);
        let network_path = octets.values.starts_with(b"//").then_some(2);
        let authorities = memchr::memmem::find_iter(&octets.values, b"://").map(|at| at + 3);
        secrets.extend(
            network_path
                .into_iter()
                .chain(authorities)
                .filter_map(|start| octets.userinfo(start)),
        );
    }
    secrets
}

fn without(bytes: &[u8], mut secrets: Vec<Range<usize>>) -> Vec<u8> {
    secrets.sort_unstable_by_key(|secret| secret.start);
    let mut masked = Vec::with_capacity(bytes.len());
    let mut shown = 0;
    for secret in secrets {
        // Empty ones, and those that lie in or reach out of the one before.
        if secret.end <= shown || secret.is_empty() {
            continue;
        }
        if secret.start >= shown {
            masked.extend_from_slice(bytes.get(shown..secret.start).unwrap_or_default());
            masked.extend_from_slice(MASK);
        }
        shown = secret.end;
    }
    masked.extend_from_slice(bytes.get(shown..).unwrap_or_default());
    masked
}

/// A text in lower case, each octet of which knows where it came from.
struct Octets {
    values: Vec<u8>,
    /// For each value, the offset just past the bytes it was read from; the next one starts there.
    ends: Vec<usize>,
}

impl Octets {
    fn as_sent(bytes: &[u8]) -> Self {
        Self {
            values: bytes.to_ascii_lowercase(),
            ends: (1..=bytes.len()).collect(),
        }
    }

    /// Decodes until no escape is left, in one pass: an escape is complete when its last digit, decoded or not, arrives.
    fn decoded(bytes: &[u8]) -> Self {
        let (mut values, mut ends) = (Vec::with_capacity(bytes.len()), Vec::new());
        for (at, &octet) in bytes.iter().enumerate() {
            let mut octet = octet;
            while let [.., b'%', high] = values.as_slice()
                && let Some(value) = percent::octet_of(*high, octet)
            {
                let escape = values.len() - 2;
                values.truncate(escape);
                ends.truncate(escape);
                octet = value;
            }
            values.push(octet);
            ends.push(at + 1);
        }
        values.make_ascii_lowercase();
        Self { values, ends }
    }

    /// Where the values of secret parameters lie in `bytes`, each up to the next `&`.
    fn parameters(&self, bytes: &[u8], secrets: &mut Vec<Range<usize>>) {
        for name in SECRET_PARAMETERS {
            let mut end = 0;
            for at in memchr::memmem::find_iter(&self.values, name) {
                let start = self.offset(at + name.len());
                // One value may repeat the name many times; it is looked at once.
                if start >= end {
                    let rest = bytes.get(start..).unwrap_or_default();
                    end = start + memchr::memchr(b'&', rest).unwrap_or(rest.len());
                    secrets.push(start..end);
                }
            }
        }
    }

    /// Where the userinfo of an authority that starts at `start` lies, without its `@` (RFC 3986 §3.2.1).
    fn userinfo(&self, start: usize) -> Option<Range<usize>> {
        let rest = self.values.get(start..)?;
        let length = rest
            .iter()
            .position(|octet| {
                matches!(
                    octet,
                    b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | b' ' | b'\t'
                )
            })
            .unwrap_or(rest.len());
        let at = memchr::memrchr(b'@', rest.get(..length)?)?;
        Some(self.offset(start)..self.offset(start + at))
    }

    /// Where the octet with this index starts in the text.
    fn offset(&self, index: usize) -> usize {
        index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or_default()
    }
}
