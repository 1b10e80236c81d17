//! Reading and writing piece by piece: what both directions of a relay, and a look ahead, have in common.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::net::stream::BoxDuplex;
use crate::wire::http1::{BodyDecoder, FramingError};

/// Bytes read at once: a TLS record's worth.
pub(super) const PIECE: usize = 16 * 1024;

/// Bytes read at once of what a client sends before it has its answer.
const AHEAD: usize = 1024;

/// The client's side of a connection, for reading.
pub struct ClientReader {
    /// From the client.
    pub reader: ReadHalf<BoxDuplex>,
    /// Read and not yet taken.
    pub buffer: BytesMut,
    /// TLS tells a lost peer from one that only stopped sending; TCP alone does not.
    pub secured: bool,
    /// Bytes of following requests taken in while an exchange runs.
    pub room: usize,
}

impl ClientReader {
    /// Resolves at the client's end; what it sends until then is kept for later, as far as there is room.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        loop {
            if self.buffer.len() >= self.room {
                std::future::pending::<()>().await;
            }
            // Nearly always nothing comes until the exchange is over.
            self.buffer.reserve(AHEAD);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Resolves when the client is certainly gone; without TLS it may only have closed its sending side.
    pub async fn gone(&mut self) {
        if self.end().await.is_ok() && !self.secured {
            std::future::pending::<()>().await;
        }
    }
}

/// Takes what belongs to the message off the front of `buffer`.
pub(super) fn take(
    decoder: &mut BodyDecoder,
    buffer: &[u8],
    ranges: &mut Vec<Range<usize>>,
) -> Result<usize, FramingError> {
    ranges.clear();
    if buffer.is_empty() {
        Ok(0)
    } else {
        decoder.push(buffer, ranges)
    }
}

/// Reads once, at most [`PIECE`] bytes; 0 at the end.
pub(super) async fn read_piece(
    reader: &mut ReadHalf<BoxDuplex>,
    buffer: &mut BytesMut,
) -> io::Result<usize> {
    buffer.reserve(PIECE);
    reader.read_buf(buffer).await
}

/// Writes a head that waits, if one does, and `piece` behind it, as one; then flushes.
pub(super) async fn write_joined(
    writer: &mut WriteHalf<BoxDuplex>,
    pending: &mut Vec<u8>,
    piece: &[u8],
    limit: Duration,
) -> io::Result<()> {
    let write = pin!(async {
        if pending.is_empty() {
            if piece.is_empty() {
                return Ok(());
            }
            writer.write_all(piece).await?;
        } else {
            pending.extend_from_slice(piece);
            writer.write_all(pending).await?;
            *pending = Vec::new();
        }
        writer.flush().await
    });
    within(limit, write)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// `future`, which may take no longer than `limit`. No timer is made for one that is ready, as most are.
async fn within<F: Future>(limit: Duration, mut future: Pin<&mut F>) -> Result<F::Output, Elapsed> {
    if let Some(output) = ready(future.as_mut()).await {
        return Ok(output);
    }
    timeout(limit, future).await
}

/// What `future` resolves to, if it does so now.
async fn ready<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// How long a peer may be silent between two pieces. One timer serves all of them: it is set for the first, and looked
/// after when it fires, not with every piece.
pub(super) struct Silence {
    limit: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// It was silent for too long.
pub(super) struct TooLong;

impl Silence {
    /// A peer that is silent for `limit` is silent for too long.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, alarm: None }
    }

    /// What `piece` resolves to, unless that takes too long.
    pub(super) async fn broken_by<F: Future>(&mut self, piece: F) -> Result<F::Output, TooLong> {
        let mut piece = pin!(piece);
        if let Some(output) = ready(piece.as_mut()).await {
            return Ok(output);
        }
        let due = Instant::now() + self.limit;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            tokio::select! {
                biased;
                output = &mut piece => return Ok(output),
                () = &mut *alarm => {
                    if Instant::now() >= due {
                        return Err(TooLong);
                    }
                    alarm.as_mut().reset(due);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Comes after so many seconds.
    async fn piece(seconds: u64) -> u64 {
        sleep(Duration::from_secs(seconds)).await;
        seconds
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_may_be_silent_for_its_limit_after_each_piece_and_no_longer() {
        let mut silence = Silence::new(LIMIT);
        // Together far more than the limit, so that the first alarm fires in between.
        for seconds in [59, 1, 59, 30, 30, 59, 0] {
            assert_eq!(silence.broken_by(piece(seconds)).await.ok(), Some(seconds));
        }
        let last = Instant::now();
        assert!(silence.broken_by(pending::<()>()).await.is_err());
        assert_eq!(last.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn no_timer_is_made_for_what_is_there() {
        let mut silence = Silence::new(LIMIT);
        assert!(silence.broken_by(ready(())).await.is_ok());
        assert!(silence.alarm.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_does_not_end_is_given_up_at_its_limit() {
        let begun = Instant::now();
        assert!(within(LIMIT, pin!(pending::<()>())).await.is_err());
        assert_eq!(begun.elapsed(), LIMIT);
        assert_eq!(within(LIMIT, pin!(piece(59))).await.ok(), Some(59));
    }
}
