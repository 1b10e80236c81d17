//! One end of a connection with the gate, client's or upstream's, that says and hears literal bytes.
//!
//! It knows how a connection can end: in order, without a word of TLS, or by a reset; and it can end its own in each of
//! these ways.

use std::io;
use std::net::TcpStream as Socket;
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::message::{Framing, Message, request_framing, response_framing};
use super::{shown, until, within};

/// Plain or TLS, and TLS in either.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub(crate) type BoxedStream = Box<dyn Stream>;

/// One end of a connection.
pub(crate) struct Peer {
    stream: BoxedStream,
    /// The socket below all layers.
    socket: Socket,
    /// Read and not yet taken.
    buffer: BytesMut,
}

/// A client of the gate.
pub(crate) type RawClient = Peer;

/// How the other end stopped sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By FIN, after `close_notify` where there is TLS.
    Closed,
    /// By FIN in the middle of TLS: what came may not be all.
    Cut,
    /// By RST.
    Reset,
}

/// A way to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    /// In order.
    Closing,
    /// By FIN, without a word of TLS.
    Cutting,
    /// By RST.
    Resetting,
}

impl Going {
    pub(crate) const ALL: [Self; 3] = [Self::Closing, Self::Cutting, Self::Resetting];

    /// Goes.
    pub(crate) async fn go(self, peer: Peer) {
        match self {
            Self::Closing => peer.close().await,
            Self::Cutting => peer.cut(),
            Self::Resetting => peer.reset(),
        }
    }
}

/// Splits a fresh socket into the stream and a second handle to it.
pub(crate) fn with_handle(stream: TcpStream) -> (TcpStream, Socket) {
    stream.set_nodelay(true).unwrap();
    let socket = stream.into_std().unwrap();
    let handle = socket.try_clone().unwrap();
    (TcpStream::from_std(socket).unwrap(), handle)
}

impl Peer {
    pub(crate) fn new(stream: BoxedStream, socket: Socket) -> Self {
        Self {
            stream,
            socket,
            buffer: BytesMut::new(),
        }
    }

    /// Stream and socket, with nothing left in between.
    pub(crate) fn into_parts(self) -> (BoxedStream, Socket) {
        assert!(
            self.buffer.is_empty(),
            "more came than was asked for: {}",
            shown(&self.buffer)
        );
        (self.stream, self.socket)
    }

    /// Sends `bytes`.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.try_send(bytes)
            .await
            .unwrap_or_else(|error| panic!("{error} while sending {}", shown(bytes)));
    }

    /// Sends `bytes` if the other end still takes them.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let send = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        within("sending", send).await
    }

    /// Sends each piece on its own, letting the gate run in between.
    pub(crate) async fn send_pieces<P: AsRef<[u8]>>(
        &mut self,
        pieces: impl IntoIterator<Item = P>,
    ) {
        for piece in pieces {
            self.send(piece).await;
            tokio::task::yield_now().await;
        }
    }

    /// Reads a whole head, octet for octet.
    pub(crate) async fn head(&mut self) -> Vec<u8> {
        let head = self.try_head().await;
        self.expected("a head", head)
    }

    async fn try_head(&mut self) -> Result<Vec<u8>, End> {
        let end = self
            .fill_until(|bytes| memchr::memmem::find(bytes, b"\r\n\r\n"))
            .await?;
        Ok(self.buffer.split_to(end + 4).to_vec())
    }

    async fn try_line(&mut self) -> Result<Vec<u8>, End> {
        let end = self
            .fill_until(|bytes| memchr::memmem::find(bytes, b"\r\n"))
            .await?;
        Ok(self.buffer.split_to(end + 2).to_vec())
    }

    /// Reads exactly `length` octets.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        let octets = self.try_exactly(length).await;
        self.expected("more octets", octets)
    }

    async fn try_exactly(&mut self, length: usize) -> Result<Vec<u8>, End> {
        self.fill_until(|bytes| (bytes.len() >= length).then_some(0))
            .await?;
        Ok(self.buffer.split_to(length).to_vec())
    }

    fn expected<T>(&self, what: &str, found: Result<T, End>) -> T {
        found
            .unwrap_or_else(|end| panic!("{end:?} instead of {what} after {}", shown(&self.buffer)))
    }

    /// Fails unless the next octets are these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &[u8]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let mut found = Vec::new();
            while found.len() < expected.len() {
                if self.buffer.is_empty()
                    && let Err(end) = self.fill().await
                {
                    panic!(
                        "{place}: {end:?} after {} of {}",
                        shown(&found),
                        shown(expected)
                    );
                }
                let take = self.buffer.len().min(expected.len() - found.len());
                found.extend_from_slice(&self.buffer.split_to(take));
                assert!(
                    expected.starts_with(&found),
                    "{place}: octets other than expected\n   found: {}\nexpected: {}",
                    shown(&found),
                    shown(expected)
                );
            }
        }
    }

    /// Reads one request.
    pub(crate) async fn request(&mut self) -> Message {
        let request = self.try_request().await;
        self.expected("a request", request)
    }

    /// Reads one request, if there is a whole one before the end.
    pub(crate) async fn try_request(&mut self) -> Result<Message, End> {
        let head = self.try_head().await?;
        let framing = request_framing(&head);
        self.body(head, framing).await
    }

    /// Reads one final response to a request that was not HEAD.
    pub(crate) async fn answer(&mut self) -> Message {
        self.answer_to("POST").await
    }

    /// Reads one final response to a request with `method`.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Message {
        let answer = self.try_answer_to(method).await;
        self.expected("an answer", answer)
    }

    /// Reads one final response, if there is a whole one before the end.
    pub(crate) async fn try_answer(&mut self) -> Result<Message, End> {
        self.try_answer_to("POST").await
    }

    async fn try_answer_to(&mut self, method: &str) -> Result<Message, End> {
        let head = self.try_head().await?;
        let framing = response_framing(&head, method);
        self.body(head, framing).await
    }

    /// Reads the rest of a response whose head has been read.
    pub(crate) async fn body_behind(&mut self, head: Vec<u8>) -> Message {
        let framing = response_framing(&head, "POST");
        let answer = self.body(head, framing).await;
        self.expected("the rest of an answer", answer)
    }

    async fn body(&mut self, head: Vec<u8>, framing: Framing) -> Result<Message, End> {
        let mut message = Message {
            head,
            wire: Vec::new(),
            content: Vec::new(),
        };
        match framing {
            Framing::Length(length) => {
                message.wire = self.try_exactly(length).await?;
                message.content.clone_from(&message.wire);
            }
            Framing::Chunked => self.chunks(&mut message).await?,
            Framing::UntilClose => match self.rest().await {
                (rest, End::Closed) => {
                    message.wire = rest;
                    message.content.clone_from(&message.wire);
                }
                (_, end) => return Err(end),
            },
        }
        Ok(message)
    }

    async fn chunks(&mut self, message: &mut Message) -> Result<(), End> {
        loop {
            let line = self.try_line().await?;
            let digits: Vec<u8> = line
                .iter()
                .copied()
                .take_while(u8::is_ascii_hexdigit)
                .collect();
            let size = usize::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16);
            let size = size.unwrap_or_else(|_| panic!("no chunk size in {}", shown(&line)));
            message.wire.extend_from_slice(&line);
            if size == 0 {
                break;
            }
            let data = self.try_exactly(size + 2).await?;
            assert!(data.ends_with(b"\r\n"), "a chunk without its CRLF");
            message.wire.extend_from_slice(&data);
            message.content.extend_from_slice(&data[..size]);
        }
        loop {
            let line = self.try_line().await?;
            message.wire.extend_from_slice(&line);
            if line == b"\r\n" {
                return Ok(());
            }
        }
    }

    /// Everything that still comes, and how it ends.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill().await {
                return (self.buffer.split().to_vec(), end);
            }
        }
    }

    /// How the other end stops sending; fails if it says anything more.
    pub(crate) async fn end(&mut self) -> End {
        let (rest, end) = self.rest().await;
        assert!(
            rest.is_empty(),
            "something came before the end: {}",
            shown(&rest)
        );
        end
    }

    /// Ends the sending side in order and goes on reading.
    pub(crate) async fn half_close(&mut self) {
        self.try_half_close().await.unwrap();
    }

    /// The same if the other end is still there.
    pub(crate) async fn try_half_close(&mut self) -> io::Result<()> {
        within("half-closing", self.stream.shutdown()).await
    }

    /// Waits until something has arrived, and leaves it where it is.
    pub(crate) async fn arrived(&self) {
        until("something arrives", || self.socket.peek(&mut [0]).is_ok()).await;
    }

    /// Closes in order.
    pub(crate) async fn close(mut self) {
        self.half_close().await;
    }

    /// Closes by FIN alone, without a word of TLS.
    pub(crate) fn cut(self) {
        drop(self);
    }

    /// Closes by RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    async fn fill_until(&mut self, find: impl Fn(&[u8]) -> Option<usize>) -> Result<usize, End> {
        loop {
            if let Some(at) = find(&self.buffer) {
                return Ok(at);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), End> {
        let so_far = self.buffer.len();
        let what = format!("reading on after {so_far} octets");
        within(&what, self.more()).await.map(|_| ())
    }

    /// Waits for more, however long, and shows everything that was not taken yet.
    pub(crate) async fn more(&mut self) -> Result<&mut BytesMut, End> {
        self.buffer.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(&mut self.buffer),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(End::Cut),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) => panic!("{error} while reading"),
        }
    }
}
