//! A connection too many: it is told so with a 503 and closed, in bounded number and time, while the others are served.
//!
//! The answer has to wait for the client's first byte, which tells HTTP from TLS. A TLS client gets its 503 inside TLS as
//! long as only a few are being told; past that it gets an alert, which costs nothing. There is no record, for no request
//! was read; the log counts.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::Services;
use super::closing::{answer_and_linger_on, shut_down};
use super::layer::{HTTP2_ONLY, Layer};
use super::load::Excess;
use super::reply::{Kind, Reply};
use crate::wire::http2;
use crate::wire::sniff::Opening;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A fatal `internal_error` in the clear (RFC 8446 §6): there is no alert for being busy, and this one no client takes for
/// a fault of its own.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// Says no.
pub(super) async fn turn_away(
    services: &Services,
    socket: TcpStream,
    client: SocketAddr,
    excess: Excess,
) {
    if timeout(PATIENCE, answer(services, socket, excess))
        .await
        .is_err()
    {
        tracing::trace!(%client, "a refused client did not take its answer in time");
    }
}

async fn answer(services: &Services, socket: TcpStream, excess: Excess) {
    let mut layer = Layer::of_port(Box::new(socket));
    let mut opening = layer.sniff(services).await;
    if opening == Some(Opening::Tls) {
        let Some(_room) = services.load.handshake() else {
            if layer.stream.write_all(&ALERT).await.is_ok() {
                shut_down(&mut layer.stream).await;
            }
            return;
        };
        let Ok(secured) = layer.handshake(services).await else {
            return;
        };
        layer = secured;
        opening = layer.sniff(services).await;
    }
    let reply = excess.reply();
    let bytes = match opening {
        None => return,
        Some(Opening::Http2Preface) => http2::http_1_1_required(HTTP2_ONLY),
        Some(Opening::Http1 | Opening::Tls) if layer.buffer.starts_with(b"CONNECT ") => {
            reply.plain("CONNECT", true)
        }
        Some(Opening::Http1 | Opening::Tls) => reply.typed("", &Uuid::now_v7().to_string(), true),
    };
    answer_and_linger_on(&mut layer.stream, &bytes).await;
}

impl Excess {
    fn reply(self) -> Reply {
        let why = match self {
            Self::All(limit) => format!(
                "tollgate serves {limit} connections already, as many as it may (--max-connections); try again"
            ),
            Self::Client(limit) => format!(
                "tollgate serves {limit} connections from this address already, as many as it may \
                 (--max-connections-per-client); use fewer, or try again"
            ),
        };
        Reply::new(Kind::Overloaded, why)
    }
}
