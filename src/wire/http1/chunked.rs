//! The chunked transfer coding, told apart but never rewritten. RFC 9112 §7.1.
//!
//! The decoder says which bytes belong to the message and which of them are content; forwarding them unchanged is the
//! relay's business. It is stricter than most: a bare LF, whitespace after a chunk size, a sign, an overflow or a
//! framing field in the trailer section is refused, because two readers could disagree on it.

use std::ops::Range;

use super::framing::FramingError;

/// Push decoder of one chunked message body.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Octets of chunk extensions seen, over all chunks.
    extension_octets: usize,
    /// The trailer line being read.
    line: Vec<u8>,
    trailer_octets: usize,
}

/// Named after the grammar of §7.1; each state is what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ChunkSize { size: u64, digits: u8 },
    ChunkExt { size: u64 },
    BwsBeforeExt { size: u64 },
    ChunkLf { size: u64 },
    ChunkData { left: u64 },
    DataCr,
    DataLf,
    TrailerLine,
    TrailerLf,
    Ended,
}

/// Most octets of chunk extensions in one message.
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
                if digits >= MAX_SIZE_DIGITS {
                    return Err(FramingError::ChunkSize);
                }
                let digit = char::from(octet).to_digit(16).unwrap_or_default();
                State::ChunkSize {
                    size: size << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (State::ChunkSize { digits: 0, .. }, _) => return Err(FramingError::ChunkSize),
            (State::ChunkSize { size, .. } | State::ChunkExt { size }, b'\r') => {
                State::ChunkLf { size }
            }
            (State::ChunkSize { size, .. } | State::BwsBeforeExt { size }, b';') => {
                State::ChunkExt { size }
            }
            (State::ChunkSize { size, .. } | State::BwsBeforeExt { size }, b' ' | b'\t') => {
                self.count_extension()?;
                State::BwsBeforeExt { size }
            }
            (State::ChunkSize { .. } | State::BwsBeforeExt { .. }, _) => {
                return Err(FramingError::ChunkSize);
            }
            (State::ChunkExt { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count_extension()?;
                State::ChunkExt { size }
            }
            (State::ChunkExt { .. }, _) => return Err(FramingError::ChunkExtension),
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

    fn count_extension(&mut self) -> Result<(), FramingError> {
        self.extension_octets += 1;
        if self.extension_octets > MAX_EXTENSION_OCTETS {
            Err(FramingError::ChunkExtension)
        } else {
            Ok(())
        }
    }
}

/// A trailer line is a field-line; those that frame or route have no place there (RFC 9110 §6.5.1).
fn check_trailer(line: &[u8]) -> Result<(), FramingError> {
    let colon = memchr::memchr(b':', line).ok_or(FramingError::Trailer)?;
    let name = line.get(..colon).unwrap_or_default();
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    if name.is_empty() || !name.iter().all(is_token) {
        return Err(FramingError::Trailer);
    }
    let forbidden = [
        "transfer-encoding",
        "content-length",
        "host",
        "authorization",
        "connection",
        "content-encoding",
    ];
    if forbidden
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
    {
        return Err(FramingError::Trailer);
    }
    Ok(())
}
