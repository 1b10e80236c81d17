//! Ending a stream whose budget has run out in it, where the rule wants that.
//!
//! The client is given every whole message that came until then, after the last of them an exception as AWS sends it when
//! it throttles a stream, and the framing's proper end. Where the framing leaves no room for that (Content-Length, a
//! content coding) or the stream is of another kind, it goes on to its end and the record says so. What was used is
//! settled as for every stream that broke off.

use std::ops::Range;

use bytes::BytesMut;

use crate::spend::budget::Refusal;
use crate::wire::frames::{self, Frames};
use crate::wire::http1::{BodyDecoder, FramingError, MessageFraming, ResponseHead};

/// Watches over one stream.
pub(super) struct Cutter {
    /// Where its messages end; `None` for a stream that cannot be cut.
    frames: Option<Frames>,
    /// Why it is to end.
    due: Option<Refusal>,
}

/// What is taken of a stream that is to end.
pub(super) struct Taken {
    /// So many bytes of it are passed on.
    pub(super) bytes: usize,
    /// And these behind them are the end, if there can be one here.
    pub(super) end: Option<Vec<u8>>,
}

/// A chunk that has announced more than this is waited for rather than filled.
const MAX_FILL: u64 = 64 * 1024;

/// What AWS calls it in a stream.
pub(super) const EXCEPTION: &str = "throttlingException";

impl Cutter {
    /// For a response with this head.
    pub(super) fn new(head: &ResponseHead, framing: MessageFraming) -> Self {
        let fields = head.fields();
        let media_type = fields.text_of("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let is_open = matches!(
            framing,
            MessageFraming::Chunked | MessageFraming::UntilClose
        );
        let can_cut = media_type.eq_ignore_ascii_case("application/vnd.amazon.eventstream")
            && fields.first("content-encoding").is_none()
            && is_open;
        Self {
            frames: can_cut.then(Frames::default),
            due: None,
        }
    }

    /// Whether the stream can be ended before its own end.
    pub(super) fn can_cut(&self) -> bool {
        self.frames.is_some()
    }

    /// A piece has been passed on: its content lies in `wire`.
    pub(super) fn passed(&mut self, wire: &[u8], content: &[Range<usize>]) {
        if let Some(frames) = &mut self.frames {
            for content in content.iter().filter_map(|range| wire.get(range.clone())) {
                frames.passed(content);
            }
        }
    }

    /// The stream is to end as soon as it can.
    pub(super) fn end(&mut self, why: Refusal) {
        self.due = Some(why);
    }

    /// Why it is to end, if it is.
    pub(super) fn due(&self) -> Option<&Refusal> {
        self.due.as_ref()
    }

    /// Takes what still belongs to the client off the front of `buffer`, up to where the stream can be ended.
    pub(super) fn take(
        &mut self,
        decoder: &mut BodyDecoder,
        buffer: &BytesMut,
        ranges: &mut Vec<Range<usize>>,
    ) -> Result<Taken, FramingError> {
        ranges.clear();
        let mut bytes = 0;
        let mut content = Vec::new();
        let (Some(frames), Some(due)) = (&mut self.frames, &self.due) else {
            return Ok(Taken { bytes, end: None });
        };
        loop {
            if frames.is_between() {
                let ending = decoder.ending();
                if let Some(least) = ending.least().filter(|least| *least <= MAX_FILL) {
                    let least = usize::try_from(least).unwrap_or(usize::MAX);
                    let exception = frames::exception(EXCEPTION, &due.message, least);
                    let end = Some(ending.with(&exception));
                    return Ok(Taken { bytes, end });
                }
            }
            let rest = buffer.get(bytes..).unwrap_or_default();
            // Framing between two chunks may be passed octet by octet; it is short.
            let step = if decoder.ending().least().is_some() {
                frames.step()
            } else {
                1
            };
            let Some(piece) = rest
                .get(..step.min(rest.len()))
                .filter(|piece| !piece.is_empty())
            else {
                return Ok(Taken { bytes, end: None });
            };
            content.clear();
            let taken = decoder.push(piece, &mut content)?;
            for range in &content {
                frames.passed(piece.get(range.clone()).unwrap_or_default());
                ranges.push(range.start + bytes..range.end + bytes);
            }
            bytes += taken;
            if decoder.ended() {
                return Ok(Taken { bytes, end: None });
            }
        }
    }
}
