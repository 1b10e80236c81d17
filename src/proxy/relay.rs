//! The two directions of one exchange: read, ask the framing what belongs to the message, write those very bytes, and
//! only then show the content to the meter.
//!
//! The one exception is the last piece of a response: its record is committed to the ledger before it is written, so
//! that whoever holds a whole answer can be sure that it was counted. What an ending means for the connections is
//! decided in `exchange`.

use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Services;
use super::cutting::{Cutter, Taken};
use super::drain::Drain;
use super::meter::Meter;
pub use super::pieces::ClientReader;
use super::pieces::{PIECE, Silence, read_piece, take, write_joined};
use crate::ledger::Outcome;
use crate::net::stream::BoxDuplex;
use crate::wire::http1::forward;
use crate::wire::http1::{
    BodyDecoder, FramingError, HeadError, MessageFraming, ResponseHead, Version,
};

/// What both directions share.
pub struct Relay<'a> {
    /// Ledger and log.
    pub services: &'a Services,
    /// The account of this exchange.
    pub meter: &'a Meter<'a>,
    /// The request's method: it frames the response.
    pub method: &'a str,
    /// The request's version: HTTP/1.0 clients know no interim responses.
    pub version: Version,
    /// The client ended its sending side, and ours towards the upstream ends with it: that connection carries no
    /// further request.
    pub half_closed: AtomicBool,
    /// When the upstream had the whole request: a response is owed from then on.
    pub owed: OnceLock<Instant>,
    /// The response's end is the connection's end: where it is cut, only a reset can tell.
    pub undelimited: AtomicBool,
    /// What happens to the response once its client is gone.
    pub drain: Drain<'a>,
    /// A response that came whole is on its way to the ledger.
    pub settling: Settling,
}

/// The time between a response's last piece and its record's commit: nobody but the response direction has the record
/// then, so that direction must not be given up.
#[derive(Debug, Default)]
pub struct Settling {
    running: AtomicBool,
    over: Notify,
}

impl Settling {
    /// Whether a record would be lost with the response direction.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Resolves once when the record is where it belongs.
    pub async fn over(&self) {
        self.over.notified().await;
    }

    fn begin(&self) {
        self.running.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.running.store(false, Ordering::Relaxed);
        self.over.notify_one();
    }
}

/// How the request direction ended.
#[derive(Debug)]
pub enum RequestEnd {
    /// The client is gone, or has cut its own request short.
    ClientGone,
    /// The client sent its whole request and will send no more, but may still be reading; the upstream was told.
    HalfClosed,
    /// The body does not follow its framing.
    Malformed(FramingError),
    /// The upstream takes no more bytes; what it has to say may still come.
    UpstreamGone,
}

/// How the response direction ended.
#[derive(Debug)]
pub enum ResponseEnd {
    /// A whole response was passed on.
    Complete {
        /// The upstream connection may carry another exchange.
        upstream_reusable: bool,
        /// The client can tell where the response ended without the connection's end.
        delimited: bool,
    },
    /// No final response head could be had.
    None(NoResponse),
    /// The response broke off after its head was passed on.
    Cut,
    /// The client takes no more bytes.
    ClientGone,
}

/// Why no final response head could be had.
#[derive(Debug, thiserror::Error)]
pub enum NoResponse {
    /// The upstream closed or reset the connection.
    #[error("the upstream closed the connection before it answered: {0}")]
    Closed(io::Error),
    /// Longer than `--response-timeout`.
    #[error("the upstream gave no answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// Not a response head.
    #[error("the upstream's answer is not HTTP: {0}")]
    Head(HeadError),
    /// Ambiguous length.
    #[error("the upstream's answer has no certain length: {0}")]
    Framing(FramingError),
    /// A head that may not be passed on.
    #[error("the upstream's answer cannot be passed on: {0}")]
    Refused(String),
}

/// Most interim responses to one request, and most octets of them together: more than any server has reason to send.
const MAX_INTERIM: usize = 64;
const MAX_INTERIM_OCTETS: usize = 64 * 1024;

impl Relay<'_> {
    /// Sends `head` and the body behind it, then watches for the client's end.
    pub async fn send_request(
        &self,
        client: &mut ClientReader,
        upstream: &mut WriteHalf<BoxDuplex>,
        head: Vec<u8>,
        framing: MessageFraming,
    ) -> RequestEnd {
        let limit = self.services.settings.timeouts.body;
        let mut decoder = framing.decoder();
        let mut ranges = Vec::new();
        let mut pending = head;
        let mut silence = Silence::new(limit);
        loop {
            // What was held back may be much, and every write has a time limit of its own.
            let next = client.buffer.get(..PIECE).unwrap_or(&client.buffer);
            let taken = match take(&mut decoder, next, &mut ranges) {
                Ok(taken) => taken,
                Err(error) => return RequestEnd::Malformed(error),
            };
            let piece = client.buffer.split_to(taken);
            if write_joined(upstream, &mut pending, &piece, limit)
                .await
                .is_err()
            {
                return RequestEnd::UpstreamGone;
            }
            if taken > 0 {
                self.meter.request_piece(&piece, &ranges);
            }
            drop(piece);
            if decoder.ended() {
                break;
            }
            if !client.buffer.is_empty() {
                continue;
            }
            let next = read_piece(&mut client.reader, &mut client.buffer);
            match silence.broken_by(next).await {
                Ok(Ok(1..)) => {}
                _ => return RequestEnd::ClientGone,
            }
        }
        self.meter.request_complete();
        // Set once: a request has one end.
        _ = self.owed.set(Instant::now());
        self.watch(client, upstream).await
    }

    /// Waits for the client's end while the response is on its way.
    async fn watch(
        &self,
        client: &mut ClientReader,
        upstream: &mut WriteHalf<BoxDuplex>,
    ) -> RequestEnd {
        match client.end().await {
            // It may only have closed its sending side. The upstream sees what we saw, as it would without us.
            Ok(()) if !client.secured => {
                self.half_closed.store(true, Ordering::Relaxed);
                self.drain.half_closed().await;
                match upstream.shutdown().await {
                    Ok(()) => RequestEnd::HalfClosed,
                    Err(_) => RequestEnd::UpstreamGone,
                }
            }
            _ => RequestEnd::ClientGone,
        }
    }

    /// Passes interim responses and the final one on.
    pub async fn pass_response(
        &self,
        upstream: &mut ReadHalf<BoxDuplex>,
        buffer: &mut BytesMut,
        client: &mut WriteHalf<BoxDuplex>,
    ) -> ResponseEnd {
        let head = match self.final_head(upstream, buffer, client).await {
            Ok(head) => head,
            Err(end) => return end,
        };
        let framing = match MessageFraming::of_response(&head, self.method) {
            Ok(framing) => framing,
            Err(error) => return ResponseEnd::None(NoResponse::Framing(error)),
        };
        let mut pending = Vec::new();
        if let Err(error) = forward::response_head(&head, &mut pending) {
            return ResponseEnd::None(NoResponse::Refused(error.to_string()));
        }
        let undelimited = framing == MessageFraming::UntilClose;
        self.undelimited.store(undelimited, Ordering::Relaxed);
        self.meter.response_head(&head);
        let persistent =
            head.version() == Version::Http11 && !head.fields().lists("connection", "close");
        let cutter = self.meter.may_exceed().then(|| Cutter::new(&head, framing));
        let body = Body {
            decoder: framing.decoder(),
            pending,
            cutter,
        };
        match self.pass_body(body, upstream, buffer, client).await {
            Ok(passed) => ResponseEnd::Complete {
                upstream_reusable: persistent
                    && passed == Passed::Whole
                    && framing != MessageFraming::UntilClose
                    && buffer.is_empty(),
                delimited: framing != MessageFraming::UntilClose,
            },
            Err(end) => end,
        }
    }

    async fn final_head(
        &self,
        upstream: &mut ReadHalf<BoxDuplex>,
        buffer: &mut BytesMut,
        client: &mut WriteHalf<BoxDuplex>,
    ) -> Result<ResponseHead, ResponseEnd> {
        let (mut interim_heads, mut interim_octets) = (0, 0);
        let refused = |why: String| ResponseEnd::None(NoResponse::Refused(why));
        loop {
            let head = self
                .read_head(upstream, buffer)
                .await
                .map_err(ResponseEnd::None)?;
            match head.status() {
                200.. => return Ok(head),
                101 => {
                    let why = "it switches protocols, which nobody asked for";
                    return Err(refused(why.to_owned()));
                }
                _ => {}
            }
            interim_heads += 1;
            interim_octets += head.fields().bytes().len();
            if interim_heads > MAX_INTERIM || interim_octets > MAX_INTERIM_OCTETS {
                return Err(refused("too many interim responses".to_owned()));
            }
            // It has no body, but what it says about one must not contradict itself.
            MessageFraming::of_response(&head, self.method)
                .map_err(|error| ResponseEnd::None(NoResponse::Framing(error)))?;
            if self.version == Version::Http10 {
                continue;
            }
            let mut interim = Vec::new();
            forward::response_head(&head, &mut interim)
                .map_err(|error| refused(error.to_string()))?;
            self.give(client, &mut interim, &[]).await?;
        }
    }

    async fn read_head(
        &self,
        upstream: &mut ReadHalf<BoxDuplex>,
        buffer: &mut BytesMut,
    ) -> Result<ResponseHead, NoResponse> {
        let settings = &self.services.settings;
        let limit = settings.timeouts.response;
        let mut deadline = Instant::now() + limit;
        loop {
            let head = ResponseHead::take(buffer, &settings.limits.head);
            if let Some(head) = head.map_err(NoResponse::Head)? {
                return Ok(head);
            }
            match timeout_at(deadline, read_piece(upstream, buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) => return Err(NoResponse::Closed(io::ErrorKind::UnexpectedEof.into())),
                Ok(Err(error)) => return Err(NoResponse::Closed(error)),
                // Whoever is still being asked owes no answer yet; `body` watches over the asking.
                Err(_) => match self.owed.get() {
                    None => deadline = Instant::now() + limit,
                    Some(owed) if *owed + limit > deadline => deadline = *owed + limit,
                    Some(_) => return Err(NoResponse::Silent(limit)),
                },
            }
        }
    }

    async fn pass_body(
        &self,
        mut body: Body,
        upstream: &mut ReadHalf<BoxDuplex>,
        buffer: &mut BytesMut,
        client: &mut WriteHalf<BoxDuplex>,
    ) -> Result<Passed, ResponseEnd> {
        let mut silence = Silence::new(self.services.settings.timeouts.stream);
        let mut ranges = Vec::new();
        loop {
            let taken = match body.take(buffer, &mut ranges) {
                Ok(taken) => taken,
                // As long as the head waits, the client has been sent nothing and can still be given an answer.
                Err(error) if !body.pending.is_empty() => {
                    return Err(ResponseEnd::None(NoResponse::Framing(error)));
                }
                Err(error) => return Err(cut(&error)),
            };
            let piece = buffer.split_to(taken.bytes);
            if let Some(end) = taken.end {
                self.meter.response_piece(&piece, &ranges);
                self.end_early(&body, &end).await;
                let last = [&piece[..], &end].concat();
                self.give(client, &mut body.pending, &last).await?;
                return Ok(Passed::Cut);
            }
            if body.decoder.ended() {
                self.meter.response_piece(&piece, &ranges);
                self.settle().await;
                self.give(client, &mut body.pending, &piece).await?;
                return Ok(Passed::Whole);
            }
            self.give(client, &mut body.pending, &piece).await?;
            self.meter.response_piece(&piece, &ranges);
            if self.runs_out(&mut body, &piece, &ranges) {
                continue;
            }
            drop(piece);
            match silence.broken_by(read_piece(upstream, buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) if matches!(body.decoder, BodyDecoder::UntilClose) => {
                    self.settle().await;
                    return Ok(Passed::Whole);
                }
                Ok(Ok(0)) => return Err(cut(&"the connection ended inside the message")),
                Ok(Err(error)) => return Err(cut(&error)),
                Err(_) => return Err(cut(&"the upstream went silent")),
            }
        }
    }

    /// Whether the budget of a stream has run out with this piece, so that it is to be ended now.
    fn runs_out(&self, body: &mut Body, wire: &[u8], content: &[Range<usize>]) -> bool {
        let Some(cutter) = &mut body.cutter else {
            return false;
        };
        if cutter.due().is_some() {
            return false;
        }
        cutter.passed(wire, content);
        // Whoever is gone is read on for the sake of the count.
        if self.drain.is_running() {
            return false;
        }
        let Some(refusal) = self.meter.exceeded() else {
            return false;
        };
        if cutter.can_cut() {
            cutter.end(refusal);
            return true;
        }
        self.meter.not_cut(&refusal);
        body.cutter = None;
        false
    }

    /// A stream is ended by us with `end`.
    async fn end_early(&self, body: &Body, end: &[u8]) {
        let why = body.cutter.as_ref().and_then(Cutter::due);
        self.settling.begin();
        let settled = self.meter.settle_cut(why, end);
        self.services.record(settled).await;
        self.settling.end();
    }

    /// A whole response has come.
    async fn settle(&self) {
        let outcome = if self.drain.is_running() {
            Outcome::ClientAborted
        } else {
            Outcome::Complete
        };
        self.settling.begin();
        self.services.record(self.meter.settle(outcome, true)).await;
        self.settling.end();
    }

    /// Gives the client a head that waits, if one does, and `piece` behind it; or nobody, if it is gone and its answer
    /// is drained.
    async fn give(
        &self,
        client: &mut WriteHalf<BoxDuplex>,
        pending: &mut Vec<u8>,
        piece: &[u8],
    ) -> Result<(), ResponseEnd> {
        let limit = self.services.settings.timeouts.body;
        let gone =
            self.drain.is_running() || write_joined(client, pending, piece, limit).await.is_err();
        if !gone {
            return Ok(());
        }
        *pending = Vec::new();
        if self.drain.begin() && self.drain.take(piece.len()) {
            Ok(())
        } else {
            Err(ResponseEnd::ClientGone)
        }
    }
}

/// A response's body on its way.
struct Body {
    decoder: BodyDecoder,
    /// The head, while it waits for the first bytes behind it.
    pending: Vec<u8>,
    /// Who ends it early, if anybody may.
    cutter: Option<Cutter>,
}

/// How much of a response was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    Whole,
    /// The client was given an end of ours.
    Cut,
}

impl Body {
    fn take(
        &mut self,
        buffer: &BytesMut,
        ranges: &mut Vec<Range<usize>>,
    ) -> Result<Taken, FramingError> {
        match &mut self.cutter {
            Some(cutter) if cutter.due().is_some() => {
                cutter.take(&mut self.decoder, buffer, ranges)
            }
            _ => take(&mut self.decoder, buffer, ranges).map(|bytes| Taken { bytes, end: None }),
        }
    }
}

fn cut(why: &dyn std::fmt::Display) -> ResponseEnd {
    tracing::debug!(%why, "the response broke off");
    ResponseEnd::Cut
}
