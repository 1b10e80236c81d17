//! Reads heads and bodies off a connection: the simulator's and the sample client's own, sharing nothing with the proxy.
//!
//! A body is kept twice where it matters: its content, and the octets it had on the wire, so that a test can tell
//! whether a relay changed the framing. Every wait is bounded and so is everything that is kept. RFC 9112 §6 and §7.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// As many octets as `Content-Length` says.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the connection ends; responses only.
    UntilClose,
}

/// A body that came to its proper end.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    /// The content, transfer coding removed.
    pub(super) content: Bytes,
    /// The octets that carried it.
    pub(super) on_wire: Bytes,
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer ended the connection inside a message.
    #[error("the connection ended inside a message")]
    Cut,
    /// The peer sent nothing for too long.
    #[error("nothing came for {0:?}")]
    Silent(Duration),
    /// The peer sent more than is read.
    #[error("the message is longer than the limit of {0} bytes")]
    TooLong(usize),
    /// A line of the head does not end in CRLF, or the chunked coding is malformed.
    #[error("malformed message: {0}")]
    Malformed(&'static str),
    /// The transport failed.
    #[error("reading or writing failed")]
    Io(#[from] std::io::Error),
}

/// A stream with what was read ahead of need.
pub(super) struct Reader<S> {
    pub(super) stream: S,
    buffer: BytesMut,
    patience: Duration,
}

/// Longest line of the chunked coding: a size, extensions, or a trailer field.
const LINE_LIMIT: usize = 4096;

/// How long a peer may take to end its side.
const LINGER: Duration = Duration::from_secs(1);

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<S> {
    /// Reads from `stream`, waiting at most `patience` for the next octets and for room to write.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            patience,
        }
    }

    /// The stream, once a message has ended and nothing was read beyond it.
    pub(super) fn into_stream(self) -> Result<S, ReadError> {
        if self.buffer.is_empty() {
            Ok(self.stream)
        } else {
            Err(ReadError::Malformed("octets follow where none may"))
        }
    }

    /// Writes all of `octets` and sends them on their way.
    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), ReadError> {
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.patience, write).await {
            Ok(outcome) => Ok(outcome?),
            Err(_elapsed) => Err(ReadError::Silent(self.patience)),
        }
    }

    /// Ends our side, and gives the peer a moment to end its own.
    ///
    /// Closing while octets are unread would reset the connection and could take the last answer with it
    /// (RFC 9112 §9.6).
    pub(super) async fn close(&mut self) {
        let close = async {
            self.stream.shutdown().await?;
            while self.stream.read_buf(&mut self.buffer).await? > 0 {
                self.buffer.clear();
            }
            Ok::<(), std::io::Error>(())
        };
        // The peer may be gone already; there is nobody left to tell.
        drop(tokio::time::timeout(LINGER, close).await);
    }

    /// The next head with its empty line; `None` if the connection ends before it begins.
    pub(super) async fn head(&mut self, limit: usize) -> Result<Option<Bytes>, ReadError> {
        let mut searched = 0;
        loop {
            if let Some(end) = head_end(&self.buffer, searched)? {
                if end > limit {
                    return Err(ReadError::TooLong(limit));
                }
                return Ok(Some(self.buffer.split_to(end).freeze()));
            }
            if self.buffer.len() >= limit {
                return Err(ReadError::TooLong(limit));
            }
            searched = self.buffer.len();
            if !self.fill().await? {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(ReadError::Cut)
                };
            }
        }
    }

    /// The body that follows a head.
    pub(super) async fn body(&mut self, framing: Framing, limit: usize) -> Result<Body, ReadError> {
        match framing {
            Framing::Empty => Ok(Body::default()),
            Framing::Length(length) => {
                let length = usize::try_from(length).map_err(|_| ReadError::TooLong(limit))?;
                if length > limit {
                    return Err(ReadError::TooLong(limit));
                }
                let content = self.exactly(length).await?;
                Ok(Body {
                    on_wire: content.clone(),
                    content,
                })
            }
            Framing::Chunked => self.chunked(limit).await,
            Framing::UntilClose => {
                while self.fill().await? {
                    if self.buffer.len() > limit {
                        return Err(ReadError::TooLong(limit));
                    }
                }
                let content = self.buffer.split().freeze();
                Ok(Body {
                    on_wire: content.clone(),
                    content,
                })
            }
        }
    }

    async fn chunked(&mut self, limit: usize) -> Result<Body, ReadError> {
        let mut content = BytesMut::new();
        let mut on_wire = BytesMut::new();
        loop {
            let line = self.line().await?;
            on_wire.extend_from_slice(&line);
            let size = chunk_size(&line)?;
            if size == 0 {
                break;
            }
            if size > limit.saturating_sub(content.len()) || on_wire.len() > limit.saturating_mul(2)
            {
                return Err(ReadError::TooLong(limit));
            }
            let chunk = self.exactly(size).await?;
            content.extend_from_slice(&chunk);
            on_wire.extend_from_slice(&chunk);
            let end = self.exactly(2).await?;
            if end.as_ref() != b"\r\n" {
                return Err(ReadError::Malformed("a chunk does not end in CRLF"));
            }
            on_wire.extend_from_slice(&end);
        }
        loop {
            let line = self.line().await?;
            on_wire.extend_from_slice(&line);
            if line.as_ref() == b"\r\n" {
                break;
            }
            if on_wire.len() > limit.saturating_mul(2) {
                return Err(ReadError::TooLong(limit));
            }
        }
        Ok(Body {
            content: content.freeze(),
            on_wire: on_wire.freeze(),
        })
    }

    async fn exactly(&mut self, length: usize) -> Result<Bytes, ReadError> {
        while self.buffer.len() < length {
            if !self.fill().await? {
                return Err(ReadError::Cut);
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn line(&mut self) -> Result<Bytes, ReadError> {
        loop {
            if let Some(lf) = memchr::memchr(b'\n', &self.buffer) {
                let line = self.buffer.split_to(lf + 1).freeze();
                if !line.ends_with(b"\r\n") {
                    return Err(ReadError::Malformed(
                        "a line of the chunked coding ends in a bare LF",
                    ));
                }
                return Ok(line);
            }
            if self.buffer.len() >= LINE_LIMIT {
                return Err(ReadError::TooLong(LINE_LIMIT));
            }
            if !self.fill().await? {
                return Err(ReadError::Cut);
            }
        }
    }

    /// Reads some more; `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool, ReadError> {
        self.buffer.reserve(16 * 1024);
        match tokio::time::timeout(self.patience, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(count)) => Ok(count > 0),
            // A peer that goes without close_notify has ended the stream all the same.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(ReadError::Silent(self.patience)),
        }
    }
}

/// The offset past the empty line. `searched` octets are known not to complete it.
fn head_end(buffer: &[u8], searched: usize) -> Result<Option<usize>, ReadError> {
    let from = searched.saturating_sub(3);
    for lf in memchr::memchr_iter(b'\n', buffer.get(from..).unwrap_or_default()) {
        let end = from + lf + 1;
        let head = buffer.get(..end).unwrap_or_default();
        if !head.ends_with(b"\r\n") {
            return Err(ReadError::Malformed("a line of the head ends in a bare LF"));
        }
        if head.ends_with(b"\r\n\r\n") || head == b"\r\n" {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

fn chunk_size(line: &[u8]) -> Result<usize, ReadError> {
    let digits = line
        .split(|octet| matches!(octet, b';' | b' ' | b'\t' | b'\r'))
        .next()
        .unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .filter(|digits| {
            (1..=8).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_hexdigit())
        })
        .and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .ok_or(ReadError::Malformed(
            "a chunk size is not a hexadecimal number",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(wire: &[u8]) -> Reader<tokio::io::DuplexStream> {
        let (mut near, far) = tokio::io::duplex(wire.len().max(1));
        let wire = wire.to_vec();
        tokio::spawn(async move { near.write_all(&wire).await });
        Reader::new(far, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn chunked_content_and_wire_are_both_kept() {
        let wire = b"4;ext=1\r\nab\r\n\r\n2\r\ncd\r\n0\r\nTrailer: x\r\n\r\nNEXT";
        let mut reader = reader(wire);
        let body = reader.body(Framing::Chunked, 100).await.unwrap();
        assert_eq!(body.content.as_ref(), b"ab\r\ncd");
        assert_eq!(body.on_wire.as_ref(), &wire[..wire.len() - 4]);
        assert_eq!(
            reader
                .body(Framing::Length(4), 100)
                .await
                .unwrap()
                .content
                .as_ref(),
            b"NEXT"
        );
    }

    #[tokio::test]
    async fn limits_and_cuts_are_told() {
        assert!(matches!(reader(b"").head(10).await, Ok(None)));
        assert!(matches!(
            reader(b"GET / HT").head(100).await,
            Err(ReadError::Cut)
        ));
        assert!(matches!(
            reader(b"GET / HTTP/1.1\r\n\r\n").head(10).await,
            Err(ReadError::TooLong(10))
        ));
        assert!(matches!(
            reader(b"GET / HTTP/1.1\n\r\n").head(100).await,
            Err(ReadError::Malformed(_))
        ));
        assert!(matches!(
            reader(b"abc").body(Framing::Length(4), 10).await,
            Err(ReadError::Cut)
        ));
        assert!(matches!(
            reader(b"").body(Framing::Length(11), 10).await,
            Err(ReadError::TooLong(10))
        ));
        assert!(matches!(
            reader(b"ff\r\n").body(Framing::Chunked, 10).await,
            Err(ReadError::TooLong(10))
        ));
        assert!(matches!(
            reader(b"zz\r\n").body(Framing::Chunked, 10).await,
            Err(ReadError::Malformed(_))
        ));
        assert!(matches!(
            reader(b"1\r\nabc").body(Framing::Chunked, 10).await,
            Err(ReadError::Malformed(_))
        ));
    }

    #[test]
    fn a_head_is_found_however_it_is_cut() {
        let wire = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        for cut in 0..wire.len() {
            assert_eq!(head_end(&wire[..cut], 0).unwrap(), None, "{cut}");
            assert_eq!(head_end(wire, cut).unwrap(), Some(wire.len()), "{cut}");
        }
    }
}
