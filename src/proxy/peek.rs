//! A look at a request's body before it is sent on.
//!
//! What is read stays where it was read to, and is relayed from there as if nobody had looked: the framing is followed
//! without consuming anything. How much is looked at is bounded; what is made of it is left to whoever asks.

use std::time::Duration;

use tokio::time::timeout;

use super::pieces::{ClientReader, read_piece};
use crate::wire::http1::{FramingError, MessageFraming};

/// Most bytes of a body that are held back before it is sent on.
const MAX_PEEK: usize = 1024 * 1024;

/// Why there is no body to look at.
#[derive(Debug)]
pub(super) enum NoPeek {
    /// The client is gone, has cut its request short, or sends nothing for too long.
    ClientGone,
    /// The body does not follow its framing.
    Malformed(FramingError),
}

/// Reads the body framed like this into the client's buffer and shows its content: all of it, or the first
/// [`MAX_PEEK`] bytes and a little. `silence`: how long the client may take for the next bytes.
pub(super) async fn peek(
    client: &mut ClientReader,
    framing: MessageFraming,
    silence: Duration,
    show: &mut impl FnMut(&[u8]),
) -> Result<(), NoPeek> {
    let mut decoder = framing.decoder();
    let mut ranges = Vec::new();
    let mut seen = 0;
    loop {
        let piece = client.buffer.get(seen..).unwrap_or_default();
        if !piece.is_empty() {
            ranges.clear();
            seen += decoder
                .push(piece, &mut ranges)
                .map_err(NoPeek::Malformed)?;
            for content in ranges.iter().filter_map(|range| piece.get(range.clone())) {
                show(content);
            }
        }
        if decoder.ended() || seen >= MAX_PEEK {
            return Ok(());
        }
        match timeout(silence, read_piece(&mut client.reader, &mut client.buffer)).await {
            Ok(Ok(1..)) => {}
            _ => return Err(NoPeek::ClientGone),
        }
    }
}
