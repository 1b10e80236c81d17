//! Reads messages off a connection, on either side of the gate, with eyes that are not the gate's.
//!
//! Heads are parsed by `httparse`, bodies by the few lines below (RFC 9112 §6 and §7). What matters is not only the
//! message but how it ended: whether a client holds a whole answer is what the whole soak is about.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How the other side stopped sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: FIN, after `close_notify` where there is TLS.
    Closed,
    /// FIN in the middle of TLS.
    Cut,
    /// RST.
    Reset,
    /// Anything else: what came is not what may come.
    Bad(String),
}

impl End {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Cut,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            _ => Self::Bad(error.to_string()),
        }
    }
}

/// How fast to read or write: so many octets, then a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) piece: usize,
    pub(crate) pause: Duration,
}

impl Pace {
    /// As fast as can be.
    pub(crate) const FULL: Self = Self {
        piece: 64 * 1024,
        pause: Duration::ZERO,
    };

    pub(crate) async fn rest(self) {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The head of a request or a response.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// As it came, with its empty line.
    pub(crate) raw: Bytes,
    /// Of a request.
    pub(crate) target: String,
    /// Of a response.
    pub(crate) status: u16,
    /// Names in lower case, in the order they came.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    fn framing(&self, otherwise: Framing) -> Result<Framing, End> {
        if self.field("transfer-encoding").is_some() {
            return Ok(Framing::Chunked);
        }
        self.field("content-length").map_or(Ok(otherwise), |text| {
            let length = text.parse();
            length
                .map(Framing::Length)
                .map_err(|_| End::Bad(format!("content-length: {text}")))
        })
    }

    /// How the body of this request is delimited.
    pub(crate) fn request_framing(&self) -> Result<Framing, End> {
        self.framing(Framing::Length(0))
    }

    /// How the body of this response to a request that was not HEAD is delimited.
    pub(crate) fn response_framing(&self) -> Result<Framing, End> {
        match self.status {
            204 | 304 => Ok(Framing::Length(0)),
            _ => self.framing(Framing::UntilClose),
        }
    }
}

/// A body, or as much of it as came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// Transfer coding removed.
    pub(crate) content: Vec<u8>,
    /// Octets on the wire.
    pub(crate) wire_bytes: u64,
}

/// Reads from a stream, keeping what was read ahead of need.
#[derive(Debug)]
pub(crate) struct Reading<R> {
    pub(crate) stream: R,
    pub(crate) buffer: BytesMut,
    pub(crate) pace: Pace,
}

/// Longest head and longest line of the chunked coding.
const HEAD_LIMIT: usize = 64 * 1024;

impl<R: AsyncRead + Unpin> Reading<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            pace: Pace::FULL,
        }
    }

    /// The next request head; `None` when the connection ends before one begins.
    pub(crate) async fn request_head(&mut self) -> Result<Option<Head>, End> {
        let Some(raw) = self.raw_head().await? else {
            return Ok(None);
        };
        let mut lines = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Request::new(&mut lines);
        let whole = parsed.parse(&raw).is_ok_and(|status| status.is_complete());
        let (true, Some(target)) = (whole, parsed.path) else {
            return Err(End::Bad(format!("no request: {}", raw.escape_ascii())));
        };
        Ok(Some(Head {
            target: target.to_owned(),
            status: 0,
            fields: fields(parsed.headers),
            raw,
        }))
    }

    /// The next response head; `None` when the connection ends before one begins.
    pub(crate) async fn response_head(&mut self) -> Result<Option<Head>, End> {
        let Some(raw) = self.raw_head().await? else {
            return Ok(None);
        };
        let mut lines = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Response::new(&mut lines);
        let whole = parsed.parse(&raw).is_ok_and(|status| status.is_complete());
        let (true, Some(status)) = (whole, parsed.code) else {
            return Err(End::Bad(format!("no response: {}", raw.escape_ascii())));
        };
        Ok(Some(Head {
            target: String::new(),
            status,
            fields: fields(parsed.headers),
            raw,
        }))
    }

    async fn raw_head(&mut self) -> Result<Option<Bytes>, End> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                return Ok(Some(self.buffer.split_to(at + 4).freeze()));
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(End::Bad("a head without end".to_owned()));
            }
            match self.fill().await {
                Ok(()) => {}
                Err(End::Closed) if self.buffer.is_empty() => return Ok(None),
                Err(end) => return Err(end),
            }
        }
    }

    /// Reads a body; what came of it stands in `body` whether or not it came to its end.
    pub(crate) async fn body(&mut self, framing: Framing, body: &mut Body) -> Result<(), End> {
        match framing {
            Framing::Length(length) => self.exactly(length, body).await,
            Framing::Chunked => self.chunks(body).await,
            Framing::UntilClose => loop {
                self.take(u64::MAX, body);
                match self.fill().await {
                    Ok(()) => {}
                    Err(End::Closed) => return Ok(()),
                    Err(end) => return Err(end),
                }
            },
        }
    }

    async fn exactly(&mut self, length: u64, body: &mut Body) -> Result<(), End> {
        let mut left = length;
        loop {
            left -= self.take(left, body);
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Takes what has been read of the content, at most `most`.
    fn take(&mut self, most: u64, body: &mut Body) -> u64 {
        let ready = self
            .buffer
            .len()
            .min(usize::try_from(most).unwrap_or(usize::MAX));
        body.content.extend_from_slice(&self.buffer.split_to(ready));
        let taken = u64::try_from(ready).unwrap_or(u64::MAX);
        body.wire_bytes += taken;
        taken
    }

    async fn chunks(&mut self, body: &mut Body) -> Result<(), End> {
        loop {
            let line = self.line(body).await?;
            let digits = line.split(|octet| !octet.is_ascii_hexdigit()).next();
            let size = digits
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .ok_or_else(|| End::Bad(format!("chunk size: {}", line.escape_ascii())))?;
            if size == 0 {
                break;
            }
            self.exactly(size, body).await?;
            if !self.line(body).await?.is_empty() {
                return Err(End::Bad("a chunk longer than its size".to_owned()));
            }
        }
        while !self.line(body).await?.is_empty() {}
        Ok(())
    }

    /// A line without its CRLF.
    async fn line(&mut self, body: &mut Body) -> Result<Bytes, End> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(at).freeze();
                bytes::Buf::advance(&mut self.buffer, 2);
                body.wire_bytes += u64::try_from(at + 2).unwrap_or(u64::MAX);
                return Ok(line);
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(End::Bad("a line without end".to_owned()));
            }
            self.fill().await?;
        }
    }

    /// Reads on until the end, for nobody.
    pub(crate) async fn drain(&mut self) -> End {
        loop {
            self.buffer.clear();
            if let Err(end) = self.fill().await {
                return end;
            }
        }
    }

    async fn fill(&mut self) -> Result<(), End> {
        self.pace.rest().await;
        self.buffer.reserve(self.pace.piece);
        let room = u64::try_from(self.pace.piece).unwrap_or(u64::MAX);
        let mut limited = (&mut self.stream).take(room);
        match limited.read_buf(&mut self.buffer).await {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(End::of(&error)),
        }
    }
}

fn fields(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let text = |field: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_ascii_lowercase(), value)
    };
    headers.iter().map(text).collect()
}
