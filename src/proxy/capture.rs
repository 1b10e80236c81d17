//! What is kept of an exchange for the ledger while it runs: its heads, and its bodies up to a limit each.
//!
//! All exchanges together keep no more than `--max-payload-memory`, so that a crowd of long bodies costs the ledger some of
//! their text and nobody the machine's memory. Short bodies are always kept: how many there can be is limited by
//! connections. What the heads and bodies must not hold is left to `redact`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ledger::Payload;

/// A note: the bodies of this exchange are not kept as far as they might be, because there were too many others.
pub(super) const SHORT_OF_MEMORY: &str = "payload-memory";

/// What is kept of a body whatever else is kept, in bytes.
const ALWAYS: usize = 32 * 1024;

/// What a long body gets of memory at once. It is only touched where something is kept.
const AT_ONCE: usize = 1024 * 1024;

/// Room for the bodies of all exchanges.
#[derive(Debug)]
pub struct CaptureRoom {
    limit: usize,
    taken: AtomicUsize,
}

/// What is kept of one exchange.
pub(super) struct Capture {
    /// Most bytes of a body.
    limit: usize,
    payload: Payload,
    share: Share,
    short: bool,
}

/// A part of the room, until this is dropped.
pub(super) struct Share {
    room: Arc<CaptureRoom>,
    bytes: usize,
}

impl CaptureRoom {
    /// Room for `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: AtomicUsize::new(0),
        }
    }
}

impl Capture {
    /// Keeps `request_head` and, of each body, at most `limit` bytes.
    pub(super) fn new(request_head: Vec<u8>, limit: usize, room: &Arc<CaptureRoom>) -> Self {
        Self {
            limit,
            payload: Payload {
                request_head,
                ..Payload::default()
            },
            share: Share {
                room: Arc::clone(room),
                bytes: 0,
            },
            short: false,
        }
    }

    /// The head of the final response.
    pub(super) fn response_head(&mut self, head: Vec<u8>) {
        self.payload.response_head = head;
    }

    /// More of the request's body.
    pub(super) fn request_content(&mut self, content: &[u8]) {
        let Payload {
            request_body,
            request_truncated,
            ..
        } = &mut self.payload;
        self.short |= self
            .share
            .keep(request_body, request_truncated, self.limit, content);
    }

    /// More of the response's body.
    pub(super) fn response_content(&mut self, content: &[u8]) {
        let Payload {
            response_body,
            response_truncated,
            ..
        } = &mut self.payload;
        self.short |= self
            .share
            .keep(response_body, response_truncated, self.limit, content);
    }

    /// Whether something was not kept for want of room.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    /// What was kept, and the room that it takes as long as it is in memory.
    pub(super) fn finish(self) -> (Payload, Share) {
        (self.payload, self.share)
    }
}

impl Share {
    /// Appends what there is room for; whether there was too little. Once a body was cut, nothing is appended to it.
    fn keep(
        &mut self,
        kept: &mut Vec<u8>,
        truncated: &mut bool,
        limit: usize,
        content: &[u8],
    ) -> bool {
        if *truncated {
            return false;
        }
        let wanted = limit.saturating_sub(kept.len()).min(content.len());
        let free = ALWAYS.saturating_sub(kept.len()).min(wanted);
        let got = free + self.take(wanted - free);
        if kept.len() + got > kept.capacity().max(ALWAYS) {
            // What grows bit by bit is moved about, and leaves holes behind that nothing else fits into.
            kept.reserve_exact((limit - kept.len()).min(AT_ONCE));
        }
        kept.extend_from_slice(content.get(..got).unwrap_or_default());
        *truncated = got < content.len();
        got < wanted
    }

    /// As many of `bytes` as there is room for.
    fn take(&mut self, bytes: usize) -> usize {
        if bytes == 0 {
            return 0;
        }
        let mut got = 0;
        let limit = self.room.limit;
        self.room
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                got = bytes.min(limit.saturating_sub(taken));
                Some(taken + got)
            })
            .ok();
        self.bytes += got;
        got
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn capture(room: &Arc<CaptureRoom>) -> Capture {
        Capture::new(b"GET / HTTP/1.1".to_vec(), MIB, room)
    }

    #[test]
    fn a_body_is_kept_up_to_its_limit_in_whichever_pieces_it_comes() {
        let body: Vec<u8> = (0..MIB + 1).map(|at| at.to_le_bytes()[0]).collect();
        for size in [1000, 16 * 1024, MIB, MIB + 1] {
            let room = Arc::new(CaptureRoom::new(4 * MIB));
            let mut capture = capture(&room);
            body.chunks(size).for_each(|piece| {
                capture.request_content(piece);
                capture.response_content(piece);
            });
            assert!(!capture.is_short());
            let (payload, share) = capture.finish();
            for (kept, truncated) in [
                (&payload.request_body, payload.request_truncated),
                (&payload.response_body, payload.response_truncated),
            ] {
                assert!(kept[..] == body[..MIB] && truncated);
            }
            assert_eq!(room.taken.load(Ordering::Relaxed), 2 * (MIB - ALWAYS));
            drop(share);
            assert_eq!(room.taken.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_body_of_the_limit_is_whole() {
        let room = Arc::new(CaptureRoom::new(4 * MIB));
        let mut capture = capture(&room);
        capture.response_content(&vec![b'x'; MIB]);
        capture.response_content(b"");
        assert!(!capture.finish().0.response_truncated);
    }

    #[test]
    fn all_together_keep_no_more_than_there_is_room_for_and_short_bodies_are_always_kept() {
        let room = Arc::new(CaptureRoom::new(3 * MIB));
        let long = vec![b'x'; MIB];
        let mut many: Vec<Capture> = (0..8).map(|_| capture(&room)).collect();
        for capture in &mut many {
            for piece in long.chunks(10_000) {
                capture.response_content(piece);
            }
        }
        let short: Vec<bool> = many.iter().map(Capture::is_short).collect();
        assert_eq!(short.iter().filter(|short| **short).count(), 5, "{short:?}");
        let kept: usize = many
            .iter()
            .map(|capture| capture.payload.response_body.len())
            .sum();
        assert_eq!(kept, 3 * MIB + 8 * ALWAYS);
        let mut late = capture(&room);
        late.request_content(&long[..ALWAYS]);
        assert!(!late.is_short() && !late.payload.request_truncated);
        // Nothing is appended behind what is missing.
        drop(many);
        late.request_content(b"next");
        assert!(!late.is_short());
        let mut cut = capture(&Arc::new(CaptureRoom::new(0)));
        cut.request_content(&long);
        assert!(cut.is_short());
        cut.request_content(b"next");
        assert_eq!(cut.payload.request_body.len(), ALWAYS);
    }
}
