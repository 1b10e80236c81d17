//! Request and response heads, frozen as they were received.
//!
//! A head keeps its bytes and remembers where each *field-line* lies in them, so that the next hop can be given those
//! same bytes and everybody else can look a field up without parsing again. `httparse` finds the lines; the checks on
//! top of it are the ones a gateway needs and a browser does not (bare LF, obs-fold, NUL, leading junk).
//! What a head *means* (framing, target, signature) is left to the modules beside it. RFC 9112 §2 to §5.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Buf, BytesMut};
use httparse::Status;

use super::fields::{FieldLines, range_in};

/// A request head: request-line and field-lines, up to and including the empty line.
#[derive(Clone)]
pub struct RequestHead {
    fields: FieldLines,
    method: Range<usize>,
    target: Range<usize>,
    version: Version,
}

/// A response head: status-line and field-lines, up to and including the empty line.
#[derive(Clone)]
pub struct ResponseHead {
    fields: FieldLines,
    status: u16,
    version: Version,
}

/// The two versions this wire speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no persistence unless asked for.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// Why bytes are not a head we pass on. Always 400 (431 for the two limits) and the connection closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A line ended in LF without CR (RFC 9112 §2.2 lets us refuse).
    #[error("a line of the head ends in a bare LF at byte {at}")]
    BareLf {
        /// Offset of the LF.
        at: usize,
    },
    /// A CR that is not followed by LF.
    #[error("a bare CR in the head at byte {at}")]
    BareCr {
        /// Offset of the CR.
        at: usize,
    },
    /// A field-line that starts with whitespace (obs-fold, RFC 9112 §5.2).
    #[error("a folded field-line (obs-fold) at byte {at}")]
    ObsFold {
        /// Offset of the line.
        at: usize,
    },
    /// Whitespace between field name and colon (RFC 9112 §5.1).
    #[error("whitespace before the colon of a field-line at byte {at}")]
    SpaceBeforeColon {
        /// Offset of the line.
        at: usize,
    },
    /// NUL or another control octet.
    #[error("a control octet 0x{octet:02x} in the head at byte {at}")]
    Control {
        /// The octet.
        octet: u8,
        /// Offset of it.
        at: usize,
    },
    /// The start-line or a field-line does not follow the grammar.
    #[error("malformed head: {0}")]
    Grammar(&'static str),
    /// A protocol version other than 1.0 and 1.1.
    #[error("the HTTP version is neither 1.0 nor 1.1")]
    Version,
    /// The head is longer than the limit, in bytes.
    #[error("the head is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More field-lines than the limit.
    #[error("the head has more than {limit} field-lines")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
}

/// What a head may measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Longest head in bytes, empty line included.
    pub bytes: usize,
    /// Most field-lines; never above [`MAX_FIELD_LINES`].
    pub field_lines: usize,
}

/// The parser's own ceiling on field-lines.
pub const MAX_FIELD_LINES: usize = 256;

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            field_lines: 128,
        }
    }
}

impl HeadError {
    /// The status to answer with: 431 when a limit was passed, else 400.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLong { .. } | Self::TooManyFields { .. } => 431,
            _ => 400,
        }
    }
}

impl RequestHead {
    /// Takes a complete head off the front of `buffer`; `None` while it is incomplete.
    ///
    /// Empty lines before the request-line are dropped (RFC 9112 §2.2) and are not part of the head.
    ///
    /// # Errors
    /// [`HeadError`] as soon as the bytes can no longer become a head that we pass on.
    pub fn take(buffer: &mut BytesMut, limits: &HeadLimits) -> Result<Option<Self>, HeadError> {
        drop_empty_lines(buffer);
        if buffer.first().is_some_and(|&octet| !is_token_octet(octet)) && buffer.as_ref() != b"\r" {
            return Err(HeadError::Grammar("a request starts with a method"));
        }
        let start_line = |line: &[u8]| httparse::Request::new(&mut []).parse(line);
        let Some(end) = find_end(buffer, limits, start_line)? else {
            return Ok(None);
        };
        let bytes = buffer.split_to(end).freeze();
        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELD_LINES];
        let mut parsed = httparse::Request::new(&mut []);
        let complete = parsed
            .parse_with_uninit_headers(&bytes, &mut lines)
            .map_err(|error| grammar(error, limits))?;
        let (Status::Complete(_), Some(method), Some(target), Some(version)) =
            (complete, parsed.method, parsed.path, parsed.version)
        else {
            return Err(HeadError::Grammar("the head ends before its empty line"));
        };
        let method = range_in(&bytes, method.as_bytes());
        let target = range_in(&bytes, target.as_bytes());
        let version = Version::from_minor(version);
        let fields = FieldLines::locate(&bytes, parsed.headers, limits)?;
        Ok(Some(Self {
            fields,
            method,
            target,
            version,
        }))
    }

    /// The method, as sent.
    #[must_use]
    pub fn method(&self) -> &str {
        self.fields.text(&self.method)
    }

    /// The request-target, as sent.
    #[must_use]
    pub fn target(&self) -> &str {
        self.fields.text(&self.target)
    }

    /// The version of the request-line.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The field-lines.
    #[must_use]
    pub fn fields(&self) -> &FieldLines {
        &self.fields
    }
}

impl ResponseHead {
    /// Takes a complete head off the front of `buffer`; `None` while it is incomplete.
    ///
    /// # Errors
    /// [`HeadError`] as soon as the bytes can no longer become a head that we pass on.
    pub fn take(buffer: &mut BytesMut, limits: &HeadLimits) -> Result<Option<Self>, HeadError> {
        let start_line = |line: &[u8]| httparse::Response::new(&mut []).parse(line);
        let Some(end) = find_end(buffer, limits, start_line)? else {
            return Ok(None);
        };
        let bytes = buffer.split_to(end).freeze();
        let mut lines = [const { MaybeUninit::uninit() }; MAX_FIELD_LINES];
        let mut parsed = httparse::Response::new(&mut []);
        let complete = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut parsed, &bytes, &mut lines)
            .map_err(|error| grammar(error, limits))?;
        let (Status::Complete(_), Some(status), Some(version)) =
            (complete, parsed.code, parsed.version)
        else {
            return Err(HeadError::Grammar("the head ends before its empty line"));
        };
        if !(100..=599).contains(&status) {
            return Err(HeadError::Grammar(
                "the status code is not between 100 and 599",
            ));
        }
        let fields = FieldLines::locate(&bytes, parsed.headers, limits)?;
        Ok(Some(Self {
            fields,
            status,
            version: Version::from_minor(version),
        }))
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The version of the status-line.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The field-lines.
    #[must_use]
    pub fn fields(&self) -> &FieldLines {
        &self.fields
    }
}

impl Version {
    fn from_minor(minor: u8) -> Self {
        if minor == 0 {
            Self::Http10
        } else {
            Self::Http11
        }
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method())
            .field("fields", &self.fields)
            .finish()
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("fields", &self.fields)
            .finish()
    }
}

/// CRLF that ends a head.
pub(super) const EMPTY_LINE: usize = 2;

fn drop_empty_lines(buffer: &mut BytesMut) {
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
}

/// The offset just past the empty line, after refusing what httparse would let through. The start-line is judged as
/// soon as it is there: who speaks HTTP/0.9 sends nothing else.
///
/// What is refused, and why, does not depend on how much of it has come: each line is judged before the next, and
/// length before content.
fn find_end(
    bytes: &[u8],
    limits: &HeadLimits,
    start_line: impl Fn(&[u8]) -> httparse::Result<usize>,
) -> Result<Option<usize>, HeadError> {
    let too_long = HeadError::TooLong {
        limit: limits.bytes,
    };
    let mut line = 0;
    for lf in memchr::memchr_iter(b'\n', bytes) {
        if lf + 1 > limits.bytes {
            return Err(too_long);
        }
        if lf == 0 || bytes.get(lf - 1) != Some(&b'\r') {
            return Err(HeadError::BareLf { at: lf });
        }
        let content = bytes.get(line..lf - 1).unwrap_or_default();
        check_line(content, line)?;
        if line == 0 {
            start_line(bytes.get(..=lf).unwrap_or_default())
                .map_err(|error| grammar(error, limits))?;
        }
        if content.is_empty() {
            return Ok(Some(lf + 1));
        }
        line = lf + 1;
    }
    if bytes.len() >= limits.bytes {
        return Err(too_long);
    }
    Ok(None)
}

fn check_line(content: &[u8], start: usize) -> Result<(), HeadError> {
    // Without an early exit the compiler looks at many octets at a time: who drips a head has all of it read again with
    // every drop.
    let is_clean = !content
        .iter()
        .fold(false, |any, &octet| any | is_control(octet));
    let control = || content.iter().position(|&octet| is_control(octet));
    if !is_clean && let Some(at) = control() {
        let octet = content.get(at).copied().unwrap_or_default();
        let at = start + at;
        return Err(if octet == b'\r' {
            HeadError::BareCr { at }
        } else {
            HeadError::Control { octet, at }
        });
    }
    if start == 0 {
        return Ok(());
    }
    if matches!(content.first(), Some(b' ' | b'\t')) {
        return Err(HeadError::ObsFold { at: start });
    }
    let name_end = memchr::memchr(b':', content).unwrap_or(content.len());
    if name_end > 0 && matches!(content.get(name_end - 1), Some(b' ' | b'\t')) {
        return Err(HeadError::SpaceBeforeColon { at: start });
    }
    Ok(())
}

/// A control octet other than HTAB.
fn is_control(octet: u8) -> bool {
    (octet < 0x20 && octet != b'\t') || octet == 0x7f
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

fn grammar(error: httparse::Error, limits: &HeadLimits) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields {
            limit: limits.field_lines,
        },
        httparse::Error::Version => HeadError::Version,
        httparse::Error::HeaderName => {
            HeadError::Grammar("a field name holds an octet that no token may hold")
        }
        httparse::Error::HeaderValue => HeadError::Grammar("a field value holds a forbidden octet"),
        httparse::Error::Status => HeadError::Grammar("the status-line is malformed"),
        httparse::Error::NewLine => HeadError::Grammar("a line end is malformed"),
        httparse::Error::Token => HeadError::Grammar("the start-line is malformed"),
    }
}
