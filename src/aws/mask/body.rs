//! Bodies without the credentials in them.
//!
//! A body is what the caller wrote and the model answered, and is kept as it passed, with one exception: what AWS or an
//! HTTP server would take for a credential. It turns up there more often than one would think: AWS repeats the canonical
//! string of a request that it refuses, session token included, and tools hand on what a program's environment holds.
//! So names are looked for, in JSON, forms, XML, headers and shell alike, with a value of some length behind them; keys
//! that are known by their form; and private keys in PEM. What stands in base64 or is cut into several events is not seen.
//! Frames of an event stream stay frames: the octets are overwritten and the checksum is made anew.

use std::ops::Range;
use std::sync::LazyLock;

use super::SCHEMES;
use super::text::{FORMS, form_at, read_once, without};
use super::words::Words;
use crate::aws::percent;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// A name with the secret as its value, whatever stands between the two.
    Name,
    /// A name whose value is a secret where `=` leads to it. With a colon it is what a model signs its thoughts with.
    Assigned,
    /// `Authorization`: a scheme may come before the secret.
    Authorization,
    /// The header of a signed event: a type, a length, the signature.
    EventHeader,
    /// The beginning of a known key, and how much of the alphabet follows at least.
    Form(&'static [u8], usize),
    /// The end of the line that opens a private key.
    PrivateKey,
    /// What an authority follows, and a user with a password may begin.
    Url,
}

const NAMES: &[&str] = &[
    "secretaccesskey",
    "secret_access_key",
    "secret-access-key",
    "sessiontoken",
    "session_token",
    "session-token",
    "securitytoken",
    "security_token",
    "security-token",
    "x-amz-signature",
    "x-api-key",
    "bearer_token_bedrock",
    "samlassertion",
    "webidentitytoken",
    "access_token",
    "accesstoken",
    "refresh_token",
    "refreshtoken",
    "client_secret",
    "clientsecret",
];

/// A value that is shorter says `null`, `none` or `string`, or shows how something is written.
const LEAST: usize = 16;

/// Quotes, escapes and blanks between a name, its colon and its value.
const MOST_BETWEEN: usize = 12;

/// `None` only if the lists are no lists of words.
pub(super) static MARKS: LazyLock<Option<Words<Mark>>> =
    LazyLock::new(|| Words::new(marks(), RARE));

/// Each word that is looked for, and what it is.
fn marks() -> Vec<(&'static [u8], Mark)> {
    let mut words: Vec<(&[u8], Mark)> = vec![
        (b"signature", Mark::Assigned),
        (b"authorization", Mark::Authorization),
        (b":chunk-signature\x06", Mark::EventHeader),
        (b"private key-----", Mark::PrivateKey),
        (b"://", Mark::Url),
        // As some write it in JSON.
        (b":\\/\\/", Mark::Url),
    ];
    words.extend(NAMES.iter().map(|name| (name.as_bytes(), Mark::Name)));
    words.extend(
        FORMS
            .iter()
            .map(|&(start, least)| (start, Mark::Form(start, least))),
    );
    words
}

/// A part of each word that hardly any text holds: three letters say whether it is looked at closely, those behind them
/// whether it is one. They are in an order in which those that Teddy looks for together (each with the eighth behind it)
/// let little else through. Chosen by counting over answers of models, event streams, base64, JSON, HTML and English.
pub(super) const RARE: &[&[u8]] = &[
    b"ecret",
    b"i-key",
    b"qojb",
    b"_bedrock",
    b"://",
    b"mlass",
    b"xdz",
    b"bsk",
    b"efresh",
    b"bident",
    b"access_t",
    b"sion_t",
    b"zation",
    b"gnature",
    b"ecurity_t",
    b"ey-----",
    b"\\/\\/",
    b"accesst",
    b"siont",
    b"sion-t",
    b"ecurityt",
    b"ecurity-t",
];

/// The words that are looked for.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn sought_words() -> Vec<&'static [u8]> {
    marks().into_iter().map(|(word, _)| word).collect()
}

/// Where they stand in `bytes`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn words_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if let Some(marks) = &*MARKS {
        marks.find(bytes, |_, range| found.push(range));
    }
    found
}

/// The body with its credentials masked; `None` when there are none in it.
#[must_use]
pub fn body(bytes: &[u8]) -> Option<Vec<u8>> {
    let secrets = secrets_of(bytes);
    if secrets.is_empty() {
        return None;
    }
    Some(if frame_at(bytes, 0).is_some() {
        overwritten(bytes, &secrets)
    } else {
        without(bytes, secrets)
    })
}

pub(super) fn secrets_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    if let Some(marks) = &*MARKS {
        let mut read = Read::default();
        marks.find(bytes, |mark, found| {
            secrets.extend(mark.secret(bytes, found, &mut read));
        });
    }
    secrets
}

/// What was read last of each kind, for [`read_once`].
#[derive(Default)]
pub(super) struct Read {
    value: Range<usize>,
    form: Range<usize>,
    private_key: Range<usize>,
}

impl Mark {
    /// Where the secret of the mark that lies at `found` lies.
    pub(super) fn secret(
        self,
        bytes: &[u8],
        found: Range<usize>,
        read: &mut Read,
    ) -> Option<Range<usize>> {
        let mut value = |start| value(bytes, start, &mut read.value);
        match self {
            Self::Name => value(after_separator(bytes, found.end, b":=>")?),
            Self::Assigned => value(after_separator(bytes, found.end, b"=")?),
            Self::Authorization => {
                let start = after_separator(bytes, found.end, b":=>")?;
                value(after_scheme(bytes, start))
            }
            Self::EventHeader => {
                let [high, low, ..] = bytes.get(found.end..)? else {
                    return None;
                };
                let start = found.end + 2;
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                Some(start..bytes.len().min(start + length))
            }
            Self::Form(prefix, least) => {
                let exact = bytes.get(found.clone()) == Some(prefix);
                let read = &mut read.form;
                let end = form_at(bytes, found.start, prefix.len(), least, read);
                Some(found.start..end.filter(|_| exact)?)
            }
            Self::PrivateKey => {
                let before = bytes.get(..found.start)?;
                let line = before.get(before.len().saturating_sub(LONGEST_LABEL)..)?;
                memchr::memmem::rfind(line, b"-----BEGIN ")?;
                let rest = bytes.get(found.end..)?;
                let end = read_once(&mut read.private_key, found.end, || {
                    let length = memchr::memmem::find(rest, b"-----END");
                    found.end + length.unwrap_or(rest.len())
                });
                Some(found.end..end)
            }
            Self::Url => {
                let rest = bytes.get(found.end..)?;
                let rest = rest.get(..LONGEST_USERINFO).unwrap_or(rest);
                let ends = |octet: &u8| {
                    matches!(
                        octet,
                        b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\'
                    ) || *octet <= b' '
                };
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                let userinfo = rest.get(..memchr::memrchr(b'@', rest.get(..length)?)?)?;
                // A user alone is a name, and `{user}` a placeholder.
                let password = userinfo.get(memchr::memchr(b':', userinfo)? + 1..)?;
                let is_one = !password.is_empty() && !password.contains(&b'{');
                is_one.then_some(found.end..found.end + userinfo.len())
            }
        }
    }
}

/// More than a user and a password are in any URL.
const LONGEST_USERINFO: usize = 512;

/// `-----BEGIN ENCRYPTED `, and room.
const LONGEST_LABEL: usize = 32;

/// Where the value begins of a name that ends at `end`; `None` when none of `separators` follows it.
fn after_separator(bytes: &[u8], end: usize, separators: &[u8]) -> Option<usize> {
    let separator = skip(bytes, end, b"");
    let rest = bytes.get(separator..)?;
    let length = match rest {
        [octet, ..] if separators.contains(octet) => 1,
        [b'%', high, low, ..] => {
            let octet = percent::octet_of(*high, *low)?;
            separators.contains(&octet).then_some(3)?
        }
        _ => return None,
    };
    // `=>` leads to a value, too, and so does an array of one.
    Some(skip(bytes, separator + length, b">["))
}

/// Past quotes, escapes and blanks, as they are and percent-encoded, and past `others`.
fn skip(bytes: &[u8], from: usize, others: &[u8]) -> usize {
    let mut at = from;
    while at < from + MOST_BETWEEN {
        let rest = bytes.get(at..).unwrap_or_default();
        at += match rest {
            [b'%', b'2', b'0' | b'2' | b'7', ..] => 3,
            // A slash that is escaped belongs to the value.
            [b'\\', b'/' | b'u', ..] => break,
            [b'"' | b'\'' | b'\\' | b' ' | b'\t' | b'`', ..] => 1,
            [octet, ..] if others.contains(octet) => 1,
            _ => break,
        };
    }
    at
}

/// Past the name of an authentication scheme.
fn after_scheme(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let length = rest
        .iter()
        .position(|octet| !octet.is_ascii_alphanumeric() && *octet != b'-')
        .unwrap_or(rest.len());
    let word = rest.get(..length).unwrap_or_default();
    if SCHEMES
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes()))
    {
        skip(bytes, start + length, b"")
    } else {
        start
    }
}

/// The value that begins at `start`, if it is long enough for a secret.
fn value(bytes: &[u8], start: usize, read: &mut Range<usize>) -> Option<Range<usize>> {
    // One that begins in the middle of an escape of another ends where that ends, too: all behind the backslash may be
    // in a value.
    let end = read_once(read, start, || end_of_value(bytes, start));
    (end - start >= LEAST).then_some(start..end)
}

fn end_of_value(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    loop {
        end += match bytes.get(end..).unwrap_or_default() {
            [octet, ..] if is_value_octet(*octet) => 1,
            [b'\\', b'/', ..] => 2,
            // JSON's way to write `+`, `/` and `=`.
            [b'\\', b'u', b'0', b'0', high, low, ..]
                if percent::octet_of(*high, *low).is_some_and(is_value_octet) =>
            {
                6
            }
            _ => return end,
        };
    }
}

/// Base64 in either alphabet, hexadecimal, and both percent-encoded.
fn is_value_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"+/=_.~%-".contains(&octet)
}

/// The end of the event-stream frame that begins at `start`.
fn frame_at(bytes: &[u8], start: usize) -> Option<usize> {
    let prelude = bytes.get(start..start.checked_add(PRELUDE)?)?;
    let (lengths, crc) = prelude.split_at_checked(8)?;
    let total = u32::from_be_bytes(lengths.get(..4)?.try_into().ok()?);
    let total = usize::try_from(total).ok()?;
    let sound = crc == crc32fast::hash(lengths).to_be_bytes() && total >= PRELUDE + CRC;
    sound.then_some(start.checked_add(total)?)
}

/// Two lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end of a frame.
const CRC: usize = 4;

/// The frames with their secrets overwritten and their checksums made anew.
fn overwritten(bytes: &[u8], secrets: &[Range<usize>]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for secret in secrets {
        if let Some(secret) = bytes.get_mut(secret.clone()) {
            secret.fill(b'*');
        }
    }
    let mut start = 0;
    while let Some(end) = frame_at(&bytes, start) {
        let Some((content, crc)) = bytes
            .get_mut(start..end)
            .and_then(|frame| frame.split_at_mut_checked(end - start - CRC))
        else {
            // The last frame was not kept whole.
            break;
        };
        crc.copy_from_slice(&crc32fast::hash(content).to_be_bytes());
        start = end;
    }
    bytes
}
