//! A push decoder of `application/vnd.amazon.eventstream`: bytes in, in any cut; verified messages out.
//!
//! A message that lies whole in the input is borrowed from it; only one that was cut is put together in a buffer. The
//! prelude's CRC is checked before its lengths are believed, the message's before anything of it is shown. Headers are
//! parsed when they are asked for. What a message means is left to others.
//! Framing as the AWS SDKs' event stream encoding describes it: prelude, headers, payload, CRC-32.

use std::iter::FusedIterator;

/// The decoder of one stream. After an error it stays failed: behind a broken frame there is no knowing where the next
/// begins.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What came of a message that was cut.
    cut: Vec<u8>,
    failed: Option<DecodeError>,
}

/// One verified message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its headers.
    pub headers: Headers<'a>,
    /// Its payload.
    pub payload: &'a [u8],
}

/// The headers of a message, parsed as they are walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

/// The value of a header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeaderValue<'a> {
    /// Types 0 and 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Int16(i16),
    /// Type 4.
    Int32(i32),
    /// Type 5.
    Int64(i64),
    /// Type 6.
    Bytes(&'a [u8]),
    /// Type 7.
    String(&'a str),
    /// Type 8: milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// Why bytes are not an event stream that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The CRC over the two lengths does not match.
    #[error("the prelude's CRC is {found:08x} where its bytes give {computed:08x}")]
    PreludeCrc {
        /// What the message says.
        found: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The CRC over the message does not match.
    #[error("the message's CRC is {found:08x} where its bytes give {computed:08x}")]
    MessageCrc {
        /// What the message says.
        found: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The two lengths contradict each other.
    #[error("a message of {total} bytes cannot hold {headers} bytes of headers")]
    Lengths {
        /// The message's length.
        total: u32,
        /// The headers' length.
        headers: u32,
    },
    /// The message is longer than [`MAX_MESSAGE`].
    #[error("a message of {total} bytes is longer than the {MAX_MESSAGE} that are read")]
    TooLong {
        /// The message's length.
        total: u32,
    },
    /// A header does not follow the grammar.
    #[error("a malformed header {left} bytes before the end of the headers")]
    Header {
        /// How many bytes of headers were left.
        left: usize,
    },
}

/// The longest message that is read: botocore takes 128 KiB of headers and 24 MiB of payload, so a longer one would
/// not be understood by the client either.
pub const MAX_MESSAGE: usize = (24 * 1024 + 128) * 1024 + OVERHEAD;

/// Lengths and their CRC.
pub(super) const PRELUDE: usize = 12;
/// The CRC at the end.
const TRAILER: usize = 4;
const OVERHEAD: usize = PRELUDE + TRAILER;
/// A buffer that had to grow beyond this is given back once its message was shown.
const KEEP_BUFFER: usize = 64 * 1024;

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes the next bytes and shows `sink` each message that they complete.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not an event stream; the messages before the fault have been shown.
    pub fn push(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(Message<'_>),
    ) -> Result<(), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.decode(input, &mut sink);
        if let Err(error) = result {
            self.failed = Some(error);
            self.cut = Vec::new();
        }
        result
    }

    /// Whether the last byte seen was the last of a message.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.cut.is_empty() && self.failed.is_none()
    }

    fn decode(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(Message<'_>),
    ) -> Result<(), DecodeError> {
        let mut rest = input;
        if !self.cut.is_empty() {
            let Some(after) = self.complete_cut(rest)? else {
                return Ok(());
            };
            if let Some((message, _)) = whole_message(&self.cut)? {
                sink(message);
            }
            self.cut.clear();
            self.cut.shrink_to(KEEP_BUFFER);
            rest = after;
        }
        while let Some((message, after)) = whole_message(rest)? {
            sink(message);
            rest = after;
        }
        self.cut.extend_from_slice(rest);
        Ok(())
    }

    /// Moves what the cut message still needs from the input; `None` when the input does not suffice.
    fn complete_cut<'i>(&mut self, input: &'i [u8]) -> Result<Option<&'i [u8]>, DecodeError> {
        let Some(rest) = self.fill(PRELUDE, input) else {
            return Ok(None);
        };
        let Some(length) = message_length(&self.cut)? else {
            return Ok(None);
        };
        Ok(self.fill(length, rest))
    }

    fn fill<'i>(&mut self, length: usize, input: &'i [u8]) -> Option<&'i [u8]> {
        let missing = length.saturating_sub(self.cut.len());
        let Some((part, rest)) = input.split_at_checked(missing) else {
            self.cut.extend_from_slice(input);
            return None;
        };
        self.cut.extend_from_slice(part);
        Some(rest)
    }
}

/// The whole length of the message that begins here; `None` while its prelude is incomplete.
pub(super) fn message_length(bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((total, headers, found)) = read_prelude(bytes) else {
        return Ok(None);
    };
    let computed = crc32fast::hash(bytes.get(..PRELUDE - 4).unwrap_or_default());
    if computed != found {
        return Err(DecodeError::PreludeCrc { found, computed });
    }
    let length = size(total);
    if length < OVERHEAD || size(headers) > length - OVERHEAD {
        return Err(DecodeError::Lengths { total, headers });
    }
    if length > MAX_MESSAGE {
        return Err(DecodeError::TooLong { total });
    }
    Ok(Some(length))
}

fn read_prelude(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let (total, rest) = bytes.split_first_chunk()?;
    let (headers, rest) = rest.split_first_chunk()?;
    let (crc, _) = rest.split_first_chunk()?;
    Some((
        u32::from_be_bytes(*total),
        u32::from_be_bytes(*headers),
        u32::from_be_bytes(*crc),
    ))
}

/// The message at the front of `bytes` and what follows it; `None` while it is incomplete.
fn whole_message(bytes: &[u8]) -> Result<Option<(Message<'_>, &[u8])>, DecodeError> {
    let Some(length) = message_length(bytes)? else {
        return Ok(None);
    };
    let Some((message, after)) = bytes.split_at_checked(length) else {
        return Ok(None);
    };
    let (Some((content, trailer)), Some((_, headers, _))) =
        (message.split_last_chunk::<TRAILER>(), read_prelude(message))
    else {
        return Ok(None);
    };
    let (found, computed) = (u32::from_be_bytes(*trailer), crc32fast::hash(content));
    if computed != found {
        return Err(DecodeError::MessageCrc { found, computed });
    }
    let body = content.get(PRELUDE..).unwrap_or_default();
    let (headers, payload) = body.split_at_checked(size(headers)).unwrap_or((body, &[]));
    let headers = Headers(headers);
    Ok(Some((Message { headers, payload }, after)))
}

fn size(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl<'a> Message<'a> {
    /// The value of the string header `name`, such as `:event-type`, `:message-type`, `:exception-type`, `:error-code`.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<&'a str> {
        self.headers
            .flatten()
            .find_map(|(found, value)| match value {
                HeaderValue::String(value) if found == name => Some(value),
                _ => None,
            })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a str, HeaderValue<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let left = self.0.len();
        let Some((name, value, rest)) = read_header(self.0) else {
            self.0 = &[];
            return Some(Err(DecodeError::Header { left }));
        };
        self.0 = rest;
        Some(Ok((name, value)))
    }
}

impl FusedIterator for Headers<'_> {}

fn read_header(bytes: &[u8]) -> Option<(&str, HeaderValue<'_>, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    if name.is_empty() {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    let (&kind, rest) = rest.split_first()?;
    let (value, rest) = match kind {
        0 => (HeaderValue::Bool(true), rest),
        1 => (HeaderValue::Bool(false), rest),
        2 => read_array(rest, |octets| HeaderValue::Byte(i8::from_be_bytes(octets)))?,
        3 => read_array(rest, |octets| {
            HeaderValue::Int16(i16::from_be_bytes(octets))
        })?,
        4 => read_array(rest, |octets| {
            HeaderValue::Int32(i32::from_be_bytes(octets))
        })?,
        5 => read_array(rest, |octets| {
            HeaderValue::Int64(i64::from_be_bytes(octets))
        })?,
        6 => {
            let (value, rest) = read_sized(rest)?;
            (HeaderValue::Bytes(value), rest)
        }
        7 => {
            let (value, rest) = read_sized(rest)?;
            (HeaderValue::String(std::str::from_utf8(value).ok()?), rest)
        }
        8 => read_array(rest, |octets| {
            HeaderValue::Timestamp(i64::from_be_bytes(octets))
        })?,
        9 => read_array(rest, HeaderValue::Uuid)?,
        _ => return None,
    };
    Some((name, value, rest))
}

fn read_array<const N: usize>(
    bytes: &[u8],
    make: impl FnOnce([u8; N]) -> HeaderValue<'static>,
) -> Option<(HeaderValue<'static>, &[u8])> {
    let (octets, rest) = bytes.split_first_chunk()?;
    Some((make(*octets), rest))
}

fn read_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
#[path = "eventstream_tests.rs"]
mod tests;
