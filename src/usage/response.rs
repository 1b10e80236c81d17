//! Takes a response body apart: a JSON document, an event stream, or server-sent events, by what its head calls it.
//!
//! Each document in it is scanned into the tally as its bytes arrive. Nothing is kept but the message or number that was
//! cut. The content coding has been undone before; what the documents mean is the tally's business.
//! The documents that InvokeModel streams wrap in chunks are unwrapped by `chunk`.

use std::io;

use crate::usage::chunk::ChunkReader;
use crate::usage::tally::Tally;
use crate::wire::eventstream::{Decoder, HeaderValue, Message};
use crate::wire::json::JsonScanner;
use crate::wire::sse::{SseDecoder, SseSink};

/// The reader of one response body.
#[derive(Debug)]
pub(crate) struct ResponseReader {
    body: Body,
    tally: Tally,
    /// The answer is an error by its status.
    is_failure: bool,
}

/// What a body is made of.
#[derive(Debug)]
enum Body {
    Json(JsonScanner),
    EventStream(EventStream),
    ServerSentEvents(ServerSentEvents),
    /// Nothing that we could read, or no longer.
    Unread,
}

#[derive(Debug)]
struct EventStream {
    decoder: Decoder,
    /// Of a message's payload.
    payload: JsonScanner,
    /// Of the document inside a chunk, where chunks hold documents.
    chunk: Option<ChunkReader>,
}

#[derive(Debug)]
struct ServerSentEvents {
    decoder: SseDecoder,
    scanner: JsonScanner,
    marker: EndMarker,
}

/// What a response's head calls its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// `application/vnd.amazon.eventstream`.
    EventStream {
        /// Whether its chunks hold documents. An agent's hold generated text, which must not be looked into.
        chunks_are_documents: bool,
    },
    /// `text/event-stream`.
    ServerSentEvents,
    /// Anything else is JSON if it turns out to be.
    Document,
}

impl ResponseReader {
    /// A reader for a body of this kind.
    pub(crate) fn new(kind: BodyKind, tally: Tally, is_failure: bool) -> Self {
        let body = match kind {
            BodyKind::Document => Body::Json(Tally::scanner()),
            BodyKind::ServerSentEvents => Body::ServerSentEvents(ServerSentEvents {
                decoder: SseDecoder::new(),
                scanner: Tally::scanner(),
                marker: EndMarker::default(),
            }),
            BodyKind::EventStream {
                chunks_are_documents,
            } => Body::EventStream(EventStream {
                decoder: Decoder::new(),
                payload: Tally::scanner(),
                chunk: chunks_are_documents.then(ChunkReader::new),
            }),
        };
        Self {
            body,
            tally,
            is_failure,
        }
    }

    /// Reads the next bytes.
    pub(crate) fn content(&mut self, content: &[u8]) {
        let readable = match &mut self.body {
            Body::Json(scanner) => scanner.push(content, &mut self.tally).is_ok(),
            Body::EventStream(stream) => stream.push(content, &mut self.tally),
            Body::ServerSentEvents(events) => {
                events.push(content, &mut self.tally);
                true
            }
            Body::Unread => return,
        };
        if !readable {
            self.give_up();
        }
    }

    /// Stops reading: what was told so far is all there will be.
    pub(crate) fn give_up(&mut self) {
        let stands = match &self.body {
            Body::ServerSentEvents(events) => events.scanner.is_complete(),
            _ => true,
        };
        self.tally.end_document(stands, self.is_failure);
        self.body = Body::Unread;
    }

    /// No more bytes follow. Returns whether the body ended where one may end.
    pub(crate) fn finish(&mut self) -> bool {
        let ended = match &mut self.body {
            Body::Json(scanner) => scanner.finish(&mut self.tally).is_ok(),
            Body::EventStream(stream) => stream.decoder.is_between_messages(),
            Body::ServerSentEvents(events) => events.decoder.is_between_events(),
            Body::Unread => false,
        };
        self.give_up();
        ended
    }

    /// What was told.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// The end of the content codings' chain.
impl io::Write for ResponseReader {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.content(content);
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl EventStream {
    fn push(&mut self, content: &[u8], tally: &mut Tally) -> bool {
        let Self {
            decoder,
            payload,
            chunk,
        } = self;
        decoder
            .push(content, |message| {
                read_message(&message, payload, chunk.as_mut(), tally);
            })
            .is_ok()
    }
}

fn read_message(
    message: &Message<'_>,
    payload: &mut JsonScanner,
    chunk: Option<&mut ChunkReader>,
    tally: &mut Tally,
) {
    let kind = MessageKind::of(message);
    match kind {
        MessageKind::Event("chunk") => {
            let Some(chunk) = chunk else {
                tally.generation_came();
                return;
            };
            let is_whole = chunk.read(message.payload, payload, tally);
            tally.end_document(is_whole, false);
        }
        MessageKind::Event(event) => {
            payload.reset();
            // A payload that is not JSON tells nothing, and the next message stands for itself.
            payload.push(message.payload, tally).ok();
            tally.end_document(payload.is_complete(), false);
            if event == "metadata" {
                tally.counts_are_final();
            }
        }
        MessageKind::Failure(error_type) => tally.failed(error_type),
        MessageKind::Other => {}
    }
}

/// What a message is, by its `:message-type`.
#[derive(Clone, Copy, Debug)]
enum MessageKind<'a> {
    Event(&'a str),
    /// An exception by its type, an error by its code.
    Failure(&'a str),
    Other,
}

impl<'a> MessageKind<'a> {
    fn of(message: &Message<'a>) -> Self {
        let (mut kind, mut event, mut exception, mut error) = ("", "", None, None);
        for (name, value) in message.headers.flatten() {
            let HeaderValue::String(value) = value else {
                continue;
            };
            match name {
                ":message-type" => kind = value,
                ":event-type" => event = value,
                ":exception-type" => exception = Some(value),
                ":error-code" => error = Some(value),
                _ => {}
            }
        }
        match kind {
            "event" => Self::Event(event),
            "exception" => Self::Failure(exception.unwrap_or(kind)),
            "error" => Self::Failure(error.unwrap_or(kind)),
            _ => Self::Other,
        }
    }
}

impl ServerSentEvents {
    fn push(&mut self, content: &[u8], tally: &mut Tally) {
        let Self {
            decoder,
            scanner,
            marker,
        } = self;
        decoder.push(
            content,
            &mut EventReader {
                scanner,
                marker,
                tally,
            },
        );
    }
}

struct EventReader<'a> {
    scanner: &'a mut JsonScanner,
    marker: &'a mut EndMarker,
    tally: &'a mut Tally,
}

impl SseSink for EventReader<'_> {
    fn data(&mut self, piece: &[u8]) {
        self.marker.push(piece);
        // What is not JSON tells nothing; the scanner remembers that it failed.
        self.scanner.push(piece, self.tally).ok();
    }

    fn event(&mut self, name: &[u8]) {
        let is_failure = name == b"error";
        if is_failure {
            self.tally.failed("error");
        }
        if self.marker.is_whole() {
            self.tally.counts_are_final();
        }
        self.tally
            .end_document(self.scanner.is_complete(), is_failure);
        self.scanner.reset();
        *self.marker = EndMarker::default();
    }
}

/// Watches for the data `[DONE]`, with which OpenAI's streams end.
#[derive(Debug, Default)]
struct EndMarker {
    matched: usize,
    differs: bool,
}

const DONE: &[u8] = b"[DONE]";

impl EndMarker {
    fn push(&mut self, piece: &[u8]) {
        if self.differs {
            return;
        }
        let end = self.matched + piece.len();
        self.differs = DONE.get(self.matched..end) != Some(piece);
        self.matched = end;
    }

    fn is_whole(&self) -> bool {
        !self.differs && self.matched == DONE.len()
    }
}
