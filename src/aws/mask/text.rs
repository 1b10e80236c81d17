//! Where secrets lie in a line of text: parameters of a URL, the userinfo of an authority, keys that are known by their
//! form.
//!
//! A text is looked at as it was sent and with every layer of percent-escapes removed, since a URL may be a parameter of
//! another. What a field is called, and so whether all of it is secret, is `mask`'s business; bodies are read in `body`.
//! RFC 3986 §2.1, §3.2.1, §3.4.

use std::borrow::Cow;
use std::iter::{Flatten, Peekable};
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::Memchr3;

use super::MASK;
use crate::aws::{percent, sigv4};

/// Names whose parameter carries a secret, in lower case; longer names that end so count as well.
static ENDINGS: LazyLock<Endings> = LazyLock::new(|| Endings::new(SECRET_ENDINGS));

const SECRET_ENDINGS: &[&[u8]] = &[
    b"signature",
    b"security-token",
    b"securitytoken",
    b"session-token",
    b"session_token",
    b"sessiontoken",
    b"identitytoken",
    b"identity_token",
    b"access-token",
    b"access_token",
    b"accesstoken",
    b"refresh_token",
    b"refreshtoken",
    b"id_token",
    b"auth_token",
    b"authtoken",
    b"bearer_token",
    b"samlassertion",
    b"assertion",
    b"authorization",
    b"api-key",
    b"api_key",
    b"apikey",
    b"subscription-key",
    b"accesskey",
    b"access-key",
    b"access_key",
    b"secretkey",
    b"secret-key",
    b"secret_key",
    b"secret",
    b"password",
    b"passwd",
    b"passphrase",
];

/// Names that are so short that they count only when they stand alone.
static WHOLE: LazyLock<Endings> =
    LazyLock::new(|| Endings::new(&[b"token", b"key", b"sig", b"auth", b"jwt", b"pwd", b"bearer"]));

/// How our own messages say where a user and a password belong.
const PLACEHOLDER: &[u8] = b"USER:PASSWORD";

/// Keys and tokens of AWS that are known by how they begin: what follows is of the base64 alphabet, and this long at least.
pub(super) const FORMS: &[(&[u8], usize)] = &[
    // A long-term Bedrock API key, and a short-term one.
    (b"ABSK", 36),
    (b"bedrock-api-key-", 16),
    // Session tokens, as STS has issued them for years.
    (b"IQoJb3JpZ2lu", 20),
    (b"FwoGZXIvYXdz", 20),
];

/// Writes `bytes` with the secrets in it masked.
pub(super) fn write_masked(bytes: &[u8], out: &mut Vec<u8>) {
    write_without(bytes, secrets_of(bytes), out);
}

/// Where something stands in a text of many lines that may be part of a secret; found in one pass, for most have nothing.
pub(super) struct Signs<'a> {
    marks: Peekable<Memchr3<'a>>,
    keys: Peekable<Starts<'a>>,
}

impl<'a> Signs<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self {
            marks: memchr::memchr3_iter(b'=', b'%', b'@', bytes).peekable(),
            keys: starts(bytes).peekable(),
        }
    }

    /// Whether there is any before `end` that was not asked for before.
    pub(super) fn any_before(&mut self, end: usize) -> bool {
        let mut any = false;
        while self.marks.next_if(|at| *at < end).is_some() {
            any = true;
        }
        while self.keys.next_if(|key| key.start() < end).is_some() {
            any = true;
        }
        any
    }
}

/// The length of the shortest key that is known by its form.
const SHORTEST_KEY: usize = 32;

/// Where the secrets of `bytes` lie, in any order.
pub(super) fn secrets_of(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    forms(bytes, |range| secrets.push(range));
    if memchr::memchr3(b'=', b'%', b'@', bytes).is_none() || escapes_colons_only(bytes) {
        return secrets;
    }
    Octets::as_sent(bytes).find(bytes, &mut secrets);
    if memchr::memchr(b'%', bytes).is_some() {
        let decoded = Octets::decoded(bytes);
        decoded.find(bytes, &mut secrets);
        forms(&decoded.values, |range| {
            secrets.push(decoded.offset(range.start)..decoded.offset(range.end));
        });
    }
    secrets
}

/// Whether every escape in `bytes` is a colon, as in the target of nearly every call, and none of them can lead to a
/// secret: there is neither a parameter nor a userinfo, and no key begins behind one.
fn escapes_colons_only(bytes: &[u8]) -> bool {
    memchr::memchr2(b'=', b'@', bytes).is_none()
        && memchr::memchr_iter(b'%', bytes).all(|at| match bytes.get(at + 1..) {
            Some([b'3', b'A' | b'a', rest @ ..]) => {
                !FORMS.iter().any(|(start, _)| rest.starts_with(start))
            }
            _ => false,
        })
}

/// The userinfo of an authority that `bytes` begin with.
pub(super) fn leading_userinfo(bytes: &[u8]) -> Option<Range<usize>> {
    Octets::as_sent(bytes).userinfo(0)
}

/// `bytes` with [`MASK`] in the place of each secret.
pub(super) fn without(bytes: &[u8], secrets: Vec<Range<usize>>) -> Vec<u8> {
    let mut masked = Vec::with_capacity(bytes.len());
    write_without(bytes, secrets, &mut masked);
    masked
}

/// Writes `bytes` with [`MASK`] in the place of each secret.
pub(super) fn write_without(bytes: &[u8], mut secrets: Vec<Range<usize>>, masked: &mut Vec<u8>) {
    secrets.sort_unstable_by_key(|secret| secret.start);
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
}

type Starts<'a> = Flatten<std::option::IntoIter<aho_corasick::FindIter<'static, 'a>>>;

/// Where keys may begin that are known by their form.
fn starts(bytes: &[u8]) -> Starts<'_> {
    // One pass for all of them; none begins within another. `None` only if the list is no list of words.
    static STARTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let starts = FORMS.iter().map(|(start, _)| start);
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostFirst);
        builder.build(starts).ok()
    });
    let found = STARTS.as_ref().map(|finder| finder.find_iter(bytes));
    found.into_iter().flatten()
}

/// Shows `found` where a key lies that is known by its form. One that begins in the middle of a word is none.
fn forms(bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
    // Most values are shorter than any key.
    if bytes.len() < SHORTEST_KEY {
        return;
    }
    let mut read = 0..0;
    for start in starts(bytes) {
        let Some(&(_, least)) = FORMS.get(start.pattern().as_usize()) else {
            continue;
        };
        let length = start.end() - start.start();
        if let Some(end) = form_at(bytes, start.start(), length, least, &mut read) {
            found(start.start()..end);
        }
    }
}

/// The end of a key that begins at `at` with `prefix` octets and goes on for `least` at least. In a path it may take what
/// follows it along: a slash is a letter of base64 as well. `read` is for [`read_once`].
pub(super) fn form_at(
    bytes: &[u8],
    at: usize,
    prefix: usize,
    least: usize,
    read: &mut Range<usize>,
) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    if before.is_some_and(|octet| is_key_octet(*octet) && !b"=/".contains(octet)) {
        return None;
    }
    let start = at + prefix;
    let rest = bytes.get(start..)?;
    let end = read_once(read, start, || {
        let length = rest.iter().position(|octet| !is_key_octet(*octet));
        start + length.unwrap_or(rest.len())
    });
    (end - start >= least).then_some(end)
}

/// Where what begins at `start` ends, as `end` finds it, unless `start` lies in what was `read` last and so ends where that
/// does: a secret may be full of beginnings of others.
pub(super) fn read_once(
    read: &mut Range<usize>,
    start: usize,
    end: impl FnOnce() -> usize,
) -> usize {
    if !read.contains(&start) {
        *read = start..end();
    }
    read.end
}

/// Base64 in either alphabet.
fn is_key_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"+/=_-".contains(&octet)
}

/// A text, each octet of which knows where it came from.
struct Octets<'a> {
    values: Cow<'a, [u8]>,
    /// For each value, the offset just past the bytes it was read from; the next one starts there. `None`: each was read
    /// from itself.
    ends: Option<Vec<usize>>,
}

impl<'a> Octets<'a> {
    fn as_sent(bytes: &'a [u8]) -> Self {
        Self {
            values: Cow::Borrowed(bytes),
            ends: None,
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
        Self {
            values: Cow::Owned(values),
            ends: Some(ends),
        }
    }

    /// Adds where secrets lie in `bytes`, which this was made from.
    fn find(&self, bytes: &[u8], secrets: &mut Vec<Range<usize>>) {
        self.parameters(bytes, secrets);
        if memchr::memchr(b'@', &self.values).is_none() {
            return;
        }
        let network_path = self.values.starts_with(b"//").then_some(2);
        let authorities = memchr::memmem::find_iter(&self.values, b"://").map(|at| at + 3);
        let starts = network_path.into_iter().chain(authorities);
        secrets.extend(starts.filter_map(|start| self.userinfo(start)));
        self.pairs(secrets);
    }

    /// Where the values of secret parameters lie in `bytes`, each up to the next `&`.
    fn parameters(&self, bytes: &[u8], secrets: &mut Vec<Range<usize>>) {
        let mut end = 0;
        for at in memchr::memchr_iter(b'=', &self.values) {
            let start = self.offset(at + 1);
            // One value may repeat a name many times; it is looked at once.
            if start < end {
                continue;
            }
            let name = self.values.get(..at).unwrap_or_default();
            let rest = bytes.get(start..).unwrap_or_default();
            let length = memchr::memchr(b'&', rest).unwrap_or(rest.len());
            let value = rest.get(..length).unwrap_or_default();
            if is_secret_name(name) || (ends_with(name, b"x-amz-credential") && !is_scope(value)) {
                end = start + length;
                secrets.push(start..end);
            }
        }
    }

    /// Where the userinfo of an authority that starts at `start` lies, without its `@` (RFC 3986 §3.2.1).
    fn userinfo(&self, start: usize) -> Option<Range<usize>> {
        let rest = self.values.get(start..)?;
        let length = rest
            .iter()
            .position(|octet| ends_authority(*octet))
            .unwrap_or(rest.len());
        let at = memchr::memrchr(b'@', rest.get(..length)?)?;
        let is_ours = rest.get(..at)?.ends_with(PLACEHOLDER);
        (!is_ours).then(|| self.offset(start)..self.offset(start + at))
    }

    /// `user:password@` where no authority was announced: in front of each `@`, the word with a colon in it.
    fn pairs(&self, secrets: &mut Vec<Range<usize>>) {
        let mut word = 0;
        let mut colon = false;
        for (at, &octet) in self.values.iter().enumerate() {
            match octet {
                b'@' if colon
                    && !self
                        .values
                        .get(..at)
                        .is_some_and(|before| before.ends_with(PLACEHOLDER)) =>
                {
                    secrets.push(self.offset(word)..self.offset(at));
                }
                b':' => colon = true,
                b'&' => (word, colon) = (at + 1, false),
                _ if ends_authority(octet) => (word, colon) = (at + 1, false),
                _ => {}
            }
        }
    }

    /// Where the octet with this index starts in the text.
    fn offset(&self, index: usize) -> usize {
        let Some(ends) = &self.ends else {
            return index;
        };
        index
            .checked_sub(1)
            .and_then(|before| ends.get(before))
            .copied()
            .unwrap_or_default()
    }
}

fn ends_authority(octet: u8) -> bool {
    matches!(
        octet,
        b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | b' ' | b'\t'
    )
}

/// Whether the value of `X-Amz-Credential` is a key's id with its scope, and not the key.
fn is_scope(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|value| sigv4::is_scope(&percent::decode(value)))
}

/// Whether the name that `text` ends with is that of a secret parameter.
fn is_secret_name(text: &[u8]) -> bool {
    let stands_alone = |name: &[u8]| {
        text.len()
            .checked_sub(name.len() + 1)
            .and_then(|before| text.get(before))
            .is_none_or(|octet| !octet.is_ascii_alphanumeric() && !b"-_".contains(octet))
    };
    ENDINGS.of(text).next().is_some() || WHOLE.of(text).any(stands_alone)
}

/// Names that a text may end with, in lower case, by their last letter: most texts end with another.
pub(super) struct Endings([Vec<&'static [u8]>; 32]);

impl Endings {
    pub(super) fn new(names: &[&'static [u8]]) -> Self {
        let mut endings = Self(Default::default());
        for name in names {
            if let Some(same) = name.last().and_then(|last| endings.0.get_mut(index(*last))) {
                same.push(name);
            }
        }
        endings
    }

    /// Those that `text` ends with, whatever the case.
    pub(super) fn of(&self, text: &[u8]) -> impl Iterator<Item = &'static [u8]> {
        let same = text.last().and_then(|last| self.0.get(index(*last)));
        let same = same.map(Vec::as_slice).unwrap_or_default();
        same.iter().copied().filter(|name| ends_with(text, name))
    }
}

/// The same for both cases of a letter.
fn index(octet: u8) -> usize {
    usize::from(octet & 0x1f)
}

/// Whether `text` ends with `ending`, whatever the case.
pub(super) fn ends_with(text: &[u8], ending: &[u8]) -> bool {
    text.len()
        .checked_sub(ending.len())
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(ending))
}
