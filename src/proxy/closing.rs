//! How a client's connection ends once everything was said. RFC 9112 §9.6.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::exchange::Afterwards;
use crate::net::stream::BoxDuplex;

/// How long a client that has its answer may be silent, how long it may go on sending, and how much.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_TOTAL: Duration = Duration::from_secs(60);
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Writes and flushes a short message.
///
/// # Errors
/// When the client takes nothing for [`LINGER`].
pub(super) async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let sent = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    timeout(LINGER, sent)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What follows an answer after which the connection is to end.
pub(super) fn after_answer(sent: io::Result<()>) -> Afterwards {
    if sent.is_ok() {
        Afterwards::Linger
    } else {
        Afterwards::Drop
    }
}

/// Sends a last answer on a stream that is in one piece, and lingers.
pub(super) async fn answer_and_linger(mut stream: BoxDuplex, bytes: &[u8]) {
    answer_and_linger_on(&mut stream, bytes).await;
}

/// [`answer_and_linger`] for a stream that is needed afterwards.
pub(super) async fn answer_and_linger_on(stream: &mut BoxDuplex, bytes: &[u8]) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    if send(&mut writer, bytes).await.is_ok() {
        linger(&mut reader, &mut writer).await;
    }
}

/// Ends our sending side.
pub(super) async fn shut_down(writer: &mut (impl AsyncWrite + Unpin)) {
    if !matches!(timeout(LINGER, writer.shutdown()).await, Ok(Ok(()))) {
        tracing::trace!("the client was gone before its connection was closed");
    }
}

/// Closes the sending side and reads on for a while: closing with unread bytes would reset the connection and could
/// take our answer with it (RFC 9112 §9.6).
pub(super) async fn linger(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) {
    shut_down(writer).await;
    let discard = async {
        let mut scratch = vec![0_u8; 16 * 1024];
        let mut left = LINGER_BYTES;
        // A client that is still moving is let finish; one that is silent is not waited for.
        while let Ok(Ok(read @ 1..)) = timeout(LINGER, reader.read(&mut scratch)).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    if timeout(LINGER_TOTAL, discard).await.is_err() {
        tracing::trace!("a refused client kept its connection open");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_not_waited_for() {
        let (mut ours, _theirs) = tokio::io::duplex(1);
        let sent = timeout(10 * LINGER, send(&mut ours, b"more than one octet")).await;
        assert_eq!(sent.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let (ours, _theirs) = tokio::io::duplex(1);
        let (mut reader, mut writer) = tokio::io::split(ours);
        let lingered = timeout(10 * LINGER, linger(&mut reader, &mut writer)).await;
        assert!(lingered.is_ok());
    }
}
