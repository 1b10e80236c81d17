//! How long a message body is, and which bytes belong to it. RFC 9112 §6.3.
//!
//! The table is followed in its order and every freedom it leaves is used to refuse: both Transfer-Encoding and
//! Content-Length, repeated or malformed lengths, any coding but a single `chunked`. A message that two readers could
//! measure differently is never passed on.

use std::ops::Range;

use super::chunked::ChunkedDecoder;
use super::ending::Ending;
use super::fields::FieldLines;
use super::head::{RequestHead, ResponseHead, Version};

/// How the end of a message body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFraming {
    /// No body.
    Empty,
    /// As many octets as Content-Length says.
    ContentLength(u64),
    /// The chunked transfer coding.
    Chunked,
    /// A response that ends when its connection does.
    UntilClose,
}

/// Why a message cannot be delimited with certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// RFC 9112 §6.1: the classic of request smuggling.
    #[error("both Transfer-Encoding and Content-Length are present")]
    LengthAndCoding,
    /// Anything but a single `chunked`.
    #[error("Transfer-Encoding is something other than a single `chunked`")]
    TransferCoding,
    /// Chunked in a message of HTTP/1.0.
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    CodingInHttp10,
    /// Not a plain decimal number of at most 63 bits.
    #[error("Content-Length is not a plain decimal number, or is too large")]
    ContentLength,
    /// A name that becomes one of the two where an underscore stands for a dash.
    #[error("a field-line is called Content_Length or Transfer_Encoding")]
    Disguised,
    /// More than one.
    #[error("more than one Content-Length")]
    RepeatedContentLength,
    /// A malformed or overlong chunk size.
    #[error("a chunk size is malformed or too large")]
    ChunkSize,
    /// Chunk extensions that do not follow the grammar, or too many octets of them.
    #[error("a chunk extension is malformed or too long")]
    ChunkExtension,
    /// Chunk data not followed by CRLF.
    #[error("a chunk does not end in CRLF")]
    ChunkEnd,
    /// A malformed or forbidden trailer line.
    #[error("a trailer field-line is malformed or not allowed there")]
    Trailer,
    /// A trailer section beyond its limit.
    #[error("the trailer section is too long")]
    TrailerTooLong,
}

impl MessageFraming {
    /// The framing of a request.
    ///
    /// # Errors
    /// [`FramingError`] when its length is ambiguous.
    pub fn of_request(head: &RequestHead) -> Result<Self, FramingError> {
        if DISGUISES
            .iter()
            .any(|name| head.fields().first(name).is_some())
        {
            return Err(FramingError::Disguised);
        }
        Ok(declared(head.fields(), head.version())?.unwrap_or(Self::Empty))
    }

    /// The framing of a response to a request with `method`.
    ///
    /// # Errors
    /// [`FramingError`] when its length is ambiguous.
    pub fn of_response(head: &ResponseHead, method: &str) -> Result<Self, FramingError> {
        let declared = declared(head.fields(), head.version())?;
        if method == "HEAD" || matches!(head.status(), 100..=199 | 204 | 304) {
            return Ok(Self::Empty);
        }
        Ok(declared.unwrap_or(Self::UntilClose))
    }

    /// Whether not an octet follows the head.
    #[must_use]
    pub fn is_bodiless(self) -> bool {
        matches!(self, Self::Empty | Self::ContentLength(0))
    }

    /// A decoder for one body framed like this.
    #[must_use]
    pub fn decoder(self) -> BodyDecoder {
        match self {
            Self::Empty => BodyDecoder::Length(0),
            Self::ContentLength(length) => BodyDecoder::Length(length),
            Self::Chunked => BodyDecoder::Chunked(ChunkedDecoder::default()),
            Self::UntilClose => BodyDecoder::UntilClose,
        }
    }
}

fn declared(fields: &FieldLines, version: Version) -> Result<Option<MessageFraming>, FramingError> {
    let mut codings = fields.all("transfer-encoding");
    let mut lengths = fields.all("content-length");
    match (codings.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(FramingError::LengthAndCoding),
        (Some(_), None) if version == Version::Http10 => Err(FramingError::CodingInHttp10),
        (Some(coding), None) => {
            if codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked") {
                Ok(Some(MessageFraming::Chunked))
            } else {
                Err(FramingError::TransferCoding)
            }
        }
        (None, Some(length)) => {
            if lengths.next().is_some() {
                return Err(FramingError::RepeatedContentLength);
            }
            parse_length(length).map(|length| Some(MessageFraming::ContentLength(length)))
        }
        (None, None) => Ok(None),
    }
}

/// Gateways to CGI, WSGI and the like make one variable of both spellings (RFC 3875 §4.1.18), so a server behind one may
/// take either for the length.
const DISGUISES: [&str; 2] = ["content_length", "transfer_encoding"];

fn parse_length(value: &[u8]) -> Result<u64, FramingError> {
    let is_plain = !value.is_empty()
        && value.len() <= MAX_LENGTH_DIGITS
        && value.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(value).ok().filter(|_| is_plain);
    digits
        .and_then(|digits| digits.parse().ok())
        .filter(|&length| length <= MAX_LENGTH)
        .ok_or(FramingError::ContentLength)
}

/// The greatest length of a body or chunk: readers that keep lengths with a sign see anything above as negative.
pub(super) const MAX_LENGTH: u64 = i64::MAX.unsigned_abs();
/// As many digits as [`MAX_LENGTH`] has; leading zeros count.
const MAX_LENGTH_DIGITS: usize = 19;

/// Tells which bytes belong to one message body. Slices in, facts out.
#[derive(Debug)]
pub enum BodyDecoder {
    /// Octets still to come.
    Length(u64),
    /// Chunked coding.
    Chunked(ChunkedDecoder),
    /// Everything until the connection ends.
    UntilClose,
}

impl BodyDecoder {
    /// Whether the whole body has been taken. Never true for [`BodyDecoder::UntilClose`].
    #[must_use]
    pub fn ended(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.ended(),
            Self::UntilClose => false,
        }
    }

    /// How the body can be ended behind what was taken.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::Length(_) => Ending::Never,
            Self::Chunked(chunked) => chunked.ending(),
            Self::UntilClose => Ending::Bare,
        }
    }

    /// Takes what belongs to this body off the front of `input` and returns how much that is; ranges of content
    /// (transfer coding removed) are appended to `content`.
    ///
    /// # Errors
    /// [`FramingError`] at the first octet that does not follow the grammar.
    pub fn push(
        &mut self,
        input: &[u8],
        content: &mut Vec<Range<usize>>,
    ) -> Result<usize, FramingError> {
        match self {
            Self::Length(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= take as u64;
                if take > 0 {
                    content.push(0..take);
                }
                Ok(take)
            }
            Self::Chunked(chunked) => chunked.push(input, content),
            Self::UntilClose => {
                content.push(0..input.len());
                Ok(input.len())
            }
        }
    }
}
