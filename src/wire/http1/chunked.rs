//! The chunked transfer coding, told apart but never rewritten. RFC 9112 §7.1.
//!
//! The decoder says which bytes belong to the message and which of them are content; forwarding them unchanged is the
//! relay's business. It is stricter than most: a bare LF, whitespace after a chunk size, a sign, an overflow, an extension
//! that does not follow the grammar or a framing field in the trailer section is refused, because two readers could
//! disagree on it.

use std::ops::Range;

use super::ending::Ending;
use super::framing::{FramingError, MAX_LENGTH};
use super::head::is_token_octet;

/// Push decoder of one chunked message body.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Octets of chunk extensions seen, over all chunks, beyond those of content.
    extension_octets: usize,
    /// The trailer line being read.
    line: Vec<u8>,
    trailer_octets: usize,
}

/// Named after the grammar of §7.1; each state is what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ChunkSize { size: u64, digits: u8 },
    ChunkExt { size: u64, next: Ext },
    ChunkLf { size: u64 },
    ChunkData { left: u64 },
    DataCr,
    DataLf,
    TrailerLine,
    TrailerLf,
    Ended,
}

/// Where in `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ext {
    /// In whitespace that only a semicolon may follow.
    Semicolon,
    /// Before a name.
    Name,
    InName,
    /// In whitespace behind a name.
    Equals,
    /// Before a value.
    Value,
    InToken,
    InQuoted,
    /// Behind a backslash.
    QuotedPair,
    QuoteClosed,
}

impl Ext {
    /// What follows `octet` here; the CR that ends the line is not for this.
    fn after(self, octet: u8) -> Result<Self, FramingError> {
        let is_text = matches!(octet, b'\t' | b' '..=b'~' | 0x80..);
        Ok(match (self, octet) {
            (Self::InQuoted, b'"') => Self::QuoteClosed,
            (Self::InQuoted, b'\\') => Self::QuotedPair,
            (Self::InQuoted | Self::QuotedPair, _) if is_text => Self::InQuoted,
            (Self::Semicolon | Self::Name | Self::Equals | Self::Value, b' ' | b'\t') => self,
            (Self::InName, b' ' | b'\t') => Self::Equals,
            (Self::InToken | Self::QuoteClosed, b' ' | b'\t') => Self::Semicolon,
            (
                Self::Semicolon | Self::InName | Self::Equals | Self::InToken | Self::QuoteClosed,
                b';',
            ) => Self::Name,
            (Self::InName | Self::Equals, b'=') => Self::Value,
            (Self::Value, b'"') => Self::InQuoted,
            (Self::Name | Self::InName, _) if is_token_octet(octet) => Self::InName,
            (Self::Value | Self::InToken, _) if is_token_octet(octet) => Self::InToken,
            _ => return Err(FramingError::ChunkExtension),
        })
    }

    /// Whether the line may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::InName | Self::InToken | Self::QuoteClosed)
    }
}

/// Most octets of chunk extensions in one message beyond those of its content.
const MAX_EXTENSION_OCTETS: usize = 16 * 1024;
/// Most octets of trailer section in one message.
const MAX_TRAILER_OCTETS: usize = 16 * 1024;
/// Hex digits of the largest size we take; leading zeros count.
const MAX_SIZE_DIGITS: u8 = 16;

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self {
            state: State::ChunkSize { size: 0, digits: 0 },
            extension_octets: 0,
            line: Vec::new(),
            trailer_octets: 0,
        }
    }
}

impl ChunkedDecoder {
    /// Whether the empty line after the trailer section has been seen.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// How the body can be ended behind what was taken.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self.state {
            State::ChunkSize { digits: 0, .. } => Ending::Chunk(""),
            State::DataCr => Ending::Chunk("\r\n"),
            State::DataLf => Ending::Chunk("\n"),
            State::ChunkData { left } => Ending::InChunk(left),
            State::ChunkSize { .. } | State::ChunkExt { .. } | State::ChunkLf { .. } => {
                Ending::Later
            }
            State::TrailerLine | State::TrailerLf | State::Ended => Ending::Never,
        }
    }

    /// Takes what belongs to this message off the front of `input`; ranges of content are appended to `content`.
    ///
    /// # Errors
    /// [`FramingError`] at the first octet that does not follow the grammar.
    pub fn push(
        &mut self,
        input: &[u8],
        content: &mut Vec<Range<usize>>,
    ) -> Result<usize, FramingError> {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            if let State::ChunkData { left } = self.state {
                let take = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(input.len() - at);
                content.push(at..at + take);
                at += take;
                // An extension on every chunk of a long stream is as legal as one; what is bounded is what adds nothing.
                self.extension_octets = self.extension_octets.saturating_sub(take);
                let left = left - take as u64;
                self.state = if left == 0 {
                    State::DataCr
                } else {
                    State::ChunkData { left }
                };
                continue;
            }
            if self.state == State::Ended {
                break;
            }
            self.step(octet)?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, octet: u8) -> Result<(), FramingError> {
        self.state = match (self.state, octet) {
            (State::ChunkSize { size, digits }, _) if octet.is_ascii_hexdigit() => {
                let digit = char::from(octet).to_digit(16).unwrap_or_default();
                let size = size << 4 | u64::from(digit);
                if digits >= MAX_SIZE_DIGITS || size > MAX_LENGTH {
                    return Err(FramingError::ChunkSize);
                }
                State::ChunkSize {
                    size,
                    digits: digits + 1,
                }
            }
            (State::ChunkSize { digits: 0, .. }, _) => return Err(FramingError::ChunkSize),
            (State::ChunkSize { size, .. }, b'\r') => State::ChunkLf { size },
            (State::ChunkSize { size, .. }, b' ' | b'\t' | b';') => {
                self.extension(size, Ext::Semicolon, octet)?
            }
            (State::ChunkSize { .. }, _) => return Err(FramingError::ChunkSize),
            (State::ChunkExt { size, next }, b'\r') if next.may_end() => State::ChunkLf { size },
            (State::ChunkExt { size, next }, _) => self.extension(size, next, octet)?,
            (State::ChunkLf { size: 0 }, b'\n') => State::TrailerLine,
            (State::ChunkLf { size }, b'\n') => State::ChunkData { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::ChunkSize { size: 0, digits: 0 },
            (State::ChunkLf { .. } | State::DataCr | State::DataLf, _) => {
                return Err(FramingError::ChunkEnd);
            }
            (State::TrailerLine, b'\r') => State::TrailerLf,
            (State::TrailerLine, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trailer_octets += 1;
                if self.trailer_octets > MAX_TRAILER_OCTETS {
                    return Err(FramingError::TrailerTooLong);
                }
                self.line.push(octet);
                State::TrailerLine
            }
            (State::TrailerLf, b'\n') if self.line.is_empty() => State::Ended,
            (State::TrailerLf, b'\n') => {
                check_trailer(&self.line)?;
                self.line.clear();
                State::TrailerLine
            }
            (State::TrailerLine | State::TrailerLf, _) => return Err(FramingError::Trailer),
            (state @ (State::ChunkData { .. } | State::Ended), _) => state,
        };
        Ok(())
    }

    fn extension(&mut self, size: u64, next: Ext, octet: u8) -> Result<State, FramingError> {
        self.extension_octets += 1;
        if self.extension_octets > MAX_EXTENSION_OCTETS {
            return Err(FramingError::ChunkExtension);
        }
        let next = next.after(octet)?;
        Ok(State::ChunkExt { size, next })
    }
}

/// What frames, routes, authenticates, controls the request or says what the content is has no place in a trailer
/// section (RFC 9110 §6.5.1), where a reader that merges it into the head would act on it after the fact. Nor has what
/// ends at a proxy.
const NOT_IN_TRAILERS: &[&str] = &[
    "transfer-encoding",
    "content-length",
    "trailer",
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "upgrade",
    "host",
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-authentication-info",
    "cookie",
    "set-cookie",
    "expect",
    "range",
    "max-forwards",
    "content-type",
    "content-encoding",
    "content-range",
];

/// A trailer line is a field-line, but not any.
fn check_trailer(line: &[u8]) -> Result<(), FramingError> {
    let colon = memchr::memchr(b':', line).ok_or(FramingError::Trailer)?;
    let name = line.get(..colon).unwrap_or_default();
    if name.is_empty() || !name.iter().all(|&octet| is_token_octet(octet)) {
        return Err(FramingError::Trailer);
    }
    let forbidden = |forbidden: &&str| is_same_variable(name, forbidden.as_bytes());
    if NOT_IN_TRAILERS.iter().any(forbidden) {
        return Err(FramingError::Trailer);
    }
    Ok(())
}

/// Whether two names are one where an underscore stands for a dash.
fn is_same_variable(a: &[u8], b: &[u8]) -> bool {
    let dashed = |octet: &u8| match octet {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    };
    a.iter().map(dashed).eq(b.iter().map(dashed))
}
