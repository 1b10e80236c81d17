//! The far end of blind tunnels: says back what it hears, until the end or until it breaks off.
//!
//! The first octet says which; the client that sent it knows what to expect.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Echo to the end.
pub(crate) const ECHO: u8 = b'e';
/// Echo, then reset after [`ENOUGH`] octets.
pub(crate) const RESET: u8 = b'r';
/// Echo, then end in order after [`ENOUGH`] octets.
pub(crate) const CLOSE: u8 = b'c';
/// After so many octets those who break off do.
pub(crate) const ENOUGH: usize = 4096;

pub(super) async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(echo(stream));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    let mut said = 0;
    let mut kind = None;
    loop {
        let Ok(read @ 1..) = stream.read(&mut buffer).await else {
            // Both ends of a tunnel may stop in any way.
            stream.shutdown().await.ok();
            return;
        };
        let heard = buffer.get(..read).unwrap_or_default();
        let first = heard.first().copied().unwrap_or(ECHO);
        let kind = *kind.get_or_insert(first);
        if stream.write_all(heard).await.is_err() {
            return;
        }
        said += read;
        if said >= ENOUGH && kind != ECHO {
            if kind == RESET {
                super::reset(&stream);
            } else {
                stream.shutdown().await.ok();
            }
            return;
        }
    }
}
