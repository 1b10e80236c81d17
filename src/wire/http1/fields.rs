//! The field-lines of a head: where each lies in the bytes that were received, and how one is looked up.
//!
//! Finding and checking the lines is left to `head`. RFC 9110 §5, RFC 9112 §5.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::head::{EMPTY_LINE, HeadError, HeadLimits};

/// The field-lines of a head, in the order and with the bytes they came.
#[derive(Clone)]
pub struct FieldLines {
    bytes: Bytes,
    /// Offset of the first field-line, just past the start-line's CRLF.
    start: usize,
    lines: Vec<Line>,
    lengths: Lengths,
}

/// How long the names of a head are: most of what is asked for is not there, and this tells so at once.
#[derive(Clone, Copy, Default)]
struct Lengths(u64);

#[derive(Clone)]
struct Line {
    /// The whole line with its CRLF.
    whole: Range<usize>,
    name: Range<usize>,
    value: Range<usize>,
}

/// One field-line, borrowed from its head.
#[derive(Clone, Copy)]
pub struct FieldLine<'a> {
    /// The name as sent, any case.
    pub name: &'a [u8],
    /// The value without surrounding whitespace.
    pub value: &'a [u8],
    /// The line as received, CRLF included.
    pub raw: &'a [u8],
}

impl FieldLines {
    pub(super) fn locate(
        bytes: &Bytes,
        parsed: &[httparse::Header<'_>],
        limits: &HeadLimits,
    ) -> Result<Self, HeadError> {
        if parsed.len() > limits.field_lines {
            return Err(HeadError::TooManyFields {
                limit: limits.field_lines,
            });
        }
        let end = bytes.len() - EMPTY_LINE;
        let start = parsed
            .first()
            .map_or(end, |first| range_in(bytes, first.name.as_bytes()).start);
        let mut lines = Vec::with_capacity(parsed.len());
        let mut lengths = Lengths::default();
        let mut rest = parsed.iter().peekable();
        while let Some(field) = rest.next() {
            let name = range_in(bytes, field.name.as_bytes());
            let stop = rest
                .peek()
                .map_or(end, |next| range_in(bytes, next.name.as_bytes()).start);
            let value = if field.value.is_empty() {
                name.end + 1..name.end + 1
            } else {
                range_in(bytes, field.value)
            };
            lengths.add(name.len());
            lines.push(Line {
                whole: name.start..stop,
                name,
                value,
            });
        }
        Ok(Self {
            bytes: bytes.clone(),
            start,
            lines,
            lengths,
        })
    }

    /// The whole head: start-line, field-lines and the empty line.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The start-line with its CRLF.
    #[must_use]
    pub fn start_line(&self) -> &[u8] {
        self.slice(&(0..self.start))
    }

    /// Every field-line, in order.
    pub fn iter(&self) -> impl Iterator<Item = FieldLine<'_>> {
        self.lines.iter().map(|line| FieldLine {
            name: self.slice(&line.name),
            value: self.slice(&line.value),
            raw: self.slice(&line.whole),
        })
    }

    /// The values of every field-line called `name` (compared without case), in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let lines: &[Line] = if self.lengths.has(name.len()) {
            &self.lines
        } else {
            &[]
        };
        lines
            .iter()
            .filter(move |line| line.is(&self.bytes, name))
            .map(|line| self.slice(&line.value))
    }

    /// The first value of `name`.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        if !self.lengths.has(name.len()) {
            return None;
        }
        let mut lines = self.lines.iter();
        let line = lines.find(|line| line.is(&self.bytes, name))?;
        Some(self.slice(&line.value))
    }

    /// The first value of `name` if it is UTF-8.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.first(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether any line of `name` lists `token` (RFC 9110 §5.6.1 list, compared without case).
    #[must_use]
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|&octet| octet == b','))
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    #[inline]
    pub(super) fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(self.slice(range)).unwrap_or_default()
    }
}

impl Line {
    /// Whether its name in `head` is `name`. Their lengths tell most names apart.
    #[inline]
    fn is(&self, head: &[u8], name: &str) -> bool {
        self.name.end - self.name.start == name.len()
            && head
                .get(self.name.clone())
                .is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
    }
}

impl Lengths {
    fn add(&mut self, length: usize) {
        self.0 |= Self::bit(length);
    }

    fn has(self, length: usize) -> bool {
        self.0 & Self::bit(length) != 0
    }

    /// Longer ones share the bits of shorter ones.
    fn bit(length: usize) -> u64 {
        1 << (length % 64)
    }
}

impl FieldLine<'_> {
    /// Whether this line's name is `name`, compared without case.
    #[must_use]
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        self.name.len() == name.len() && self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Heads hold credentials: their `Debug` names the fields and hides every value.
impl fmt::Debug for FieldLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.iter()
                    .map(|line| String::from_utf8_lossy(line.name).into_owned()),
            )
            .finish()
    }
}

/// Where `part` lies in `whole`; httparse hands out sub-slices of its input.
pub(super) fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}
