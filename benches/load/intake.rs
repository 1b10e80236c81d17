//! Reading HTTP/1.1 messages with as little work as the benchmark's own traffic allows.
//!
//! Heads repeat, so a head that is byte for byte the one before is not read again. Only `Content-Length` is understood here;
//! streams have a reader of their own.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::messages::{STAMP_DIGITS, STAMP_MARK};

/// One side's reader of messages.
pub(crate) struct Intake {
    buffer: Vec<u8>,
    /// Read and not yet taken.
    filled: usize,
    head: Vec<u8>,
    body: usize,
}

impl Intake {
    /// A reader that takes up to `bytes` bytes at once.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            buffer: vec![0; bytes],
            filled: 0,
            head: Vec::new(),
            body: 0,
        }
    }

    /// Reads one message and returns the length of its body; `None` at the peer's end.
    pub(crate) async fn message<S>(&mut self, stream: &mut S) -> io::Result<Option<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let head = loop {
            if let Some(head) = self.head() {
                break head;
            }
            let room = self
                .buffer
                .get_mut(self.filled..)
                .filter(|room| !room.is_empty())
                .ok_or_else(|| invalid("a head is larger than the buffer"))?;
            match stream.read(room).await? {
                0 if self.filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.filled += read,
            }
        };
        let here = (self.filled - head).min(self.body);
        self.buffer.copy_within(head + here..self.filled, 0);
        self.filled -= head + here;
        let mut missing = self.body - here;
        while missing > 0 {
            let most = missing.min(self.buffer.len());
            let room = self.buffer.get_mut(..most).unwrap_or_default();
            match stream.read(room).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => missing -= read,
            }
        }
        Ok(Some(self.body))
    }

    /// The length of the head at the front, if it is whole.
    fn head(&mut self) -> Option<usize> {
        let filled = self.buffer.get(..self.filled)?;
        if !self.head.is_empty() && filled.starts_with(&self.head) {
            return Some(self.head.len());
        }
        let end = memchr::memmem::find(filled, b"\r\n\r\n")? + 4;
        let head = filled.get(..end)?;
        self.body = content_length(head).unwrap_or(0);
        self.head = head.to_vec();
        Some(end)
    }

    /// The start line of the last message was that of a success.
    pub(crate) fn is_success(&self) -> bool {
        self.head.starts_with(b"HTTP/1.1 200")
    }

    /// The last head, for messages to people.
    pub(crate) fn last_head(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())
            .flatten()
    })
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What was seen of one stream.
#[derive(Debug)]
pub(crate) struct Streamed {
    /// When its first byte came.
    pub first_byte: Instant,
}

/// Reads one chunked response to its end. `stamped` is told of every stamp, in nanoseconds, when it has been read.
pub(crate) async fn stream<S>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    mut stamped: impl FnMut(u64),
) -> io::Result<Streamed>
where
    S: AsyncRead + Unpin,
{
    buffer.clear();
    let mut first_byte = None;
    loop {
        let read = stream.read_buf(buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first_byte.is_none() && buffer.len() >= 12 && !buffer.starts_with(b"HTTP/1.1 200") {
            return Err(invalid("a stream was not answered with 200"));
        }
        let first_byte = *first_byte.get_or_insert_with(Instant::now);
        let ended = buffer.ends_with(b"\r\n0\r\n\r\n");
        let taken = stamps(buffer, &mut stamped);
        if ended {
            return Ok(Streamed { first_byte });
        }
        buffer.drain(..taken);
    }
}

/// Tells every whole stamp and returns how many bytes are done with.
fn stamps(buffer: &[u8], stamped: &mut impl FnMut(u64)) -> usize {
    let mut from = 0;
    while let Some(found) = buffer
        .get(from..)
        .and_then(|rest| memchr::memmem::find(rest, STAMP_MARK))
    {
        let digits = from + found + STAMP_MARK.len();
        let Some(stamp) = buffer.get(digits..digits + STAMP_DIGITS) else {
            return from + found;
        };
        let value = stamp
            .iter()
            .fold(0, |value, digit| value * 10 + u64::from(digit & 0x0f));
        stamped(value);
        from = digits + STAMP_DIGITS;
    }
    // A mark, or the end of the response, may be cut here.
    from.max(buffer.len().saturating_sub(STAMP_MARK.len().max(8) - 1))
}
