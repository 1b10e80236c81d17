//! What passes by without its secrets: what may be written to a ledger, a log or a screen.
//!
//! Signatures, session tokens, keys and cookies become `***`; everything else stays as received, so that a masked head
//! still shows what was sent and which headers were signed. Where a value does not have the expected form, the whole
//! of it goes: hiding too much costs a look, showing too much costs an account. Heads are masked here, by the names of
//! their fields; what is a secret in any text is told in `text`, in a body in `body`.

mod body;
#[cfg(test)]
mod body_tests;
mod text;
mod words;
#[cfg(test)]
mod words_tests;

pub use body::body;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use body::{sought_words, words_of};

use std::borrow::Cow;
use std::sync::LazyLock;

use self::text::{
    Endings, Signs, leading_userinfo, secrets_of, without, write_masked, write_without,
};
use super::sigv4;
use super::split::split_octets;
use crate::wire::http1::{FieldLine, FieldLines, RequestHead, ResponseHead};

/// The bytes of a request head, with its secrets masked.
#[must_use]
pub fn request_head(head: &RequestHead) -> Vec<u8> {
    let line = head.fields().start_line();
    let start = head.method().len() + 1;
    let end = start + head.target().len();
    let mut out = Vec::with_capacity(head.fields().bytes().len());
    write_masked(line.get(..start).unwrap_or_default(), &mut out);
    out.extend_from_slice(masked_target(head.target()).as_bytes());
    out.extend_from_slice(line.get(end..).unwrap_or_default());
    fields(head.fields(), &mut out);
    out
}

/// The bytes of a response head, with its secrets masked.
#[must_use]
pub fn response_head(head: &ResponseHead) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.fields().bytes().len());
    let line = head.fields().start_line();
    let (status, line_end) = line.split_at(line.trim_ascii_end().len());
    write_masked(status, &mut out);
    out.extend_from_slice(line_end);
    fields(head.fields(), &mut out);
    out
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
    masked_target(target).into_owned()
}

fn masked_target(target: &str) -> Cow<'_, str> {
    let bytes = target.as_bytes();
    let mut secrets = secrets_of(bytes);
    // Authority-form has no `//` before its userinfo.
    if !target.starts_with('/') && !target.contains("://") {
        secrets.extend(leading_userinfo(bytes));
    }
    if secrets.is_empty() {
        return Cow::Borrowed(target);
    }
    Cow::Owned(String::from_utf8_lossy(&without(bytes, secrets)).into_owned())
}

/// A word that a peer chose, as a column of the ledger or a field of the log may hold it.
#[must_use]
pub fn word(word: &str) -> Cow<'_, str> {
    let secrets = secrets_of(word.as_bytes());
    if secrets.is_empty() {
        return Cow::Borrowed(word);
    }
    let bytes = without(word.as_bytes(), secrets);
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// A value that a peer gave a name: nothing of it is left when the name is that of a secret.
///
/// ```
/// use tollgate::aws::mask;
///
/// assert_eq!(mask::named("team", "search"), "search");
/// assert_eq!(mask::named("x-api-key", "0a1b"), "***");
/// ```
#[must_use]
pub fn named<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let name = name.as_bytes();
    if !value.is_empty() && (is_secret(name) || is_authorization(name)) {
        return Cow::Borrowed("***");
    }
    word(value)
}

/// Bytes of unknown origin as one harmless line of at most 256 characters.
///
/// Control characters, line separators and direction overrides are written as `\u{…}`; what is cut off is shown by `…`.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    // Nearly everything that is ever shown.
    let is_plain = |all, octet: &u8| all & matches!(octet, b' '..=b'~');
    if bytes.len() <= MAX_PRINTABLE && bytes.iter().fold(true, is_plain) {
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

/// Most characters of such a line.
pub const MAX_PRINTABLE: usize = 256;

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

fn fields(lines: &FieldLines, out: &mut Vec<u8>) {
    let mut signs = Signs::of(lines.bytes());
    let mut end = lines.start_line().len();
    signs.any_before(end);
    for line in lines.iter() {
        end += line.raw.len();
        // Nearly every line.
        if !signs.any_before(end) && !is_announced(&line) {
            out.extend_from_slice(line.raw);
        } else {
            field(&line, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether the name of a line tells that its value is looked at more closely, or the value that it is a document.
fn is_announced(line: &FieldLine<'_>) -> bool {
    is_authorization(line.name) || is_secret(line.name) || line.value.starts_with(b"{")
}

fn field(line: &FieldLine<'_>, out: &mut Vec<u8>) {
    let colon = line.name.len() + 1;
    let blank = line.raw.get(colon..).unwrap_or_default();
    let start = colon + blank.iter().take_while(|&&octet| is_blank(octet)).count();
    let end = start + line.value.len();
    write_masked(line.raw.get(..start).unwrap_or_default(), out);
    value(line, out);
    out.extend_from_slice(line.raw.get(end..).unwrap_or_default());
}

fn value(line: &FieldLine<'_>, out: &mut Vec<u8>) {
    if line.value.is_empty() {
        return;
    }
    if is_authorization(line.name) {
        authorization(line.value, out);
    } else if is_secret(line.name) {
        out.extend_from_slice(MASK);
    } else if holds_authority(line.name) {
        let mut secrets = secrets_of(line.value);
        secrets.extend(leading_userinfo(line.value));
        write_without(line.value, secrets, out);
    } else if line.value.starts_with(b"{") {
        let value = body(line.value);
        write_masked(value.as_deref().unwrap_or(line.value), out);
    } else {
        write_masked(line.value, out);
    }
}

fn is_authorization(name: &[u8]) -> bool {
    text::ends_with(name, b"authorization")
}

/// `Host` and its relatives, in which nothing announces an authority.
fn holds_authority(name: &[u8]) -> bool {
    text::ends_with(name, b"host")
}

/// Broader than the list of known secrets, because the next one will be named after the same pattern.
fn is_secret(name: &[u8]) -> bool {
    // The key of server-side encryption, of its copy source, and the digest of either.
    const CUSTOMER_KEY: &[u8] = b"customer-key";
    // Where its dash is.
    const DASH: usize = 8;
    let is_customer_key =
        |part: &[u8]| part.get(DASH) == Some(&b'-') && part.eq_ignore_ascii_case(CUSTOMER_KEY);
    SECRET_ENDINGS.of(name).next().is_some()
        || name.windows(CUSTOMER_KEY.len()).any(is_customer_key)
}

static SECRET_ENDINGS: LazyLock<Endings> = LazyLock::new(|| {
    Endings::new(&[
        b"token",
        b"key",
        b"secret",
        b"password",
        b"passwd",
        b"passphrase",
        b"signature",
        b"cookie",
        b"cookie2",
        b"credential",
        b"credentials",
        b"assertion",
        b"jwt",
        b"-auth",
        b"dpop",
        b"authentication-info",
        // What a load balancer says of whom it let in: a token as well, and base64 of more.
        b"oidc-data",
        b"client-principal",
        // Browsers have no other place for a token of a WebSocket.
        b"websocket-protocol",
    ])
});

/// `Authorization` and its relatives: the scheme stays, and of SigV4 the credential scope and the signed headers.
fn authorization(value: &[u8], masked: &mut Vec<u8>) {
    let end = value
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if !SCHEMES
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
    {
        masked.extend_from_slice(MASK);
        return;
    }
    masked.extend_from_slice(scheme);
    let signed = scheme
        .get(..SIGNED.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SIGNED));
    if !signed && !rest.is_empty() {
        masked.push(b' ');
        masked.extend_from_slice(MASK);
        return;
    }
    for (index, parameter) in split_octets(rest, b',').enumerate() {
        if index > 0 {
            masked.push(b',');
        }
        sigv4_parameter(parameter, masked);
    }
}

/// How the schemes begin whose value tells more than a secret.
const SIGNED: &[u8] = b"AWS4-";

/// Keeps the two parameters that are no secret, and those only in their own alphabet.
fn sigv4_parameter(parameter: &[u8], masked: &mut Vec<u8>) {
    let bare = parameter.trim_ascii_start();
    masked.extend_from_slice(parameter.strip_suffix(bare).unwrap_or_default());
    let (name, value) = bare.split_at(memchr::memchr(b'=', bare).unwrap_or(bare.len()));
    let value = value.strip_prefix(b"=").unwrap_or_default();
    let value = value.trim_ascii_end();
    let is_credential = name.eq_ignore_ascii_case(b"Credential");
    let is_list = name.eq_ignore_ascii_case(b"SignedHeaders");
    let is_public = match (is_credential, is_list) {
        (true, _) => is_scope(value),
        (_, true) => value
            .iter()
            .fold(true, |all, octet| all & is_list_octet(*octet)),
        _ => bare.is_empty(),
    };
    if is_public {
        masked.extend_from_slice(bare);
        return;
    }
    if is_credential || is_list || name.eq_ignore_ascii_case(b"Signature") {
        masked.extend_from_slice(name);
        masked.push(b'=');
    }
    masked.extend_from_slice(MASK);
}

/// Whether this is a credential scope and nothing else. Whoever mistakes the secret key for its id writes it here.
fn is_scope(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(sigv4::is_scope)
}

/// What lists of header names are made of.
fn is_list_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b';' | b':' | b'.')
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
