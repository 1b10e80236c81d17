//! Reading and writing piece by piece: what both directions of a relay, and a look ahead, have in common.

use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::net::stream::BoxDuplex;
use crate::wire::http1::{BodyDecoder, FramingError};

/// Bytes read at once: a TLS record's worth.
pub(super) const PIECE: usize = 16 * 1024;

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
            if read_piece(&mut self.reader, &mut self.buffer).await? == 0 {
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
    let write = async {
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
    };
    timeout(limit, write)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
