//! The client port's loop: accepts, counts, and hands each connection to a task of its own. It ends with the gate and not
//! before, whatever accept(2) says.
//!
//! Errors are of three kinds. A connection that was gone before it was accepted is no trouble of ours. A lack of
//! descriptors leaves the others waiting in the kernel's queue: unused upstream connections are given up for them, and the
//! next try comes after a pause. Anything else is tried again after the same pause.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Services, connection, overload};
use crate::net::descriptors;

/// The pause after an accept that failed for want of something: twenty tries a second cost nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// What a failed accept means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// That connection is gone; the next is as good as any.
    Gone,
    /// No descriptor is free.
    Shortage,
    /// Nothing that is known here.
    Other,
}

/// Accepts for ever. Each task holds a clone of `running` while it lasts.
pub async fn run(listener: &TcpListener, services: &Arc<Services>, running: &mpsc::Sender<()>) {
    loop {
        match listener.accept().await {
            Ok((socket, client)) => begin(services, running, socket, client),
            Err(error) => match kind(&error) {
                Failure::Gone => tracing::debug!(%error, "a connection was gone before it began"),
                failure => {
                    services.load.note_failure(&error);
                    if failure == Failure::Shortage {
                        services.pool.give_up_idle();
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

fn begin(
    services: &Arc<Services>,
    running: &mpsc::Sender<()>,
    socket: TcpStream,
    client: SocketAddr,
) {
    let (services, running) = (Arc::clone(services), running.clone());
    match services.load.admit(client.ip()) {
        Ok(admitted) => {
            tokio::spawn(async move {
                Box::pin(connection::serve(services, socket, client)).await;
                drop((admitted, running));
            });
        }
        Err(excess) => {
            // Without room to say so, the socket is closed here.
            if let Some(room) = services.load.refuse(excess) {
                tokio::spawn(async move {
                    Box::pin(overload::turn_away(&services, socket, client, excess)).await;
                    drop((room, running));
                });
            }
        }
    }
}

/// accept(2): on Linux it also passes on what the network already held against the new connection.
fn kind(error: &io::Error) -> Failure {
    if descriptors::is_shortage(error) {
        return Failure::Shortage;
    }
    let Some(code) = error.raw_os_error() else {
        return Failure::Other;
    };
    match Errno::from_raw_os_error(code) {
        Errno::CONNABORTED
        | Errno::CONNRESET
        | Errno::INTR
        | Errno::AGAIN
        | Errno::PROTO
        | Errno::PERM
        | Errno::NOPROTOOPT
        | Errno::OPNOTSUPP
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::TIMEDOUT => Failure::Gone,
        _ => Failure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_something_makes_the_loop_wait() {
        for (code, expected) in [
            (Errno::CONNABORTED, Failure::Gone),
            (Errno::PROTO, Failure::Gone),
            (Errno::PERM, Failure::Gone),
            (Errno::HOSTUNREACH, Failure::Gone),
            (Errno::MFILE, Failure::Shortage),
            (Errno::NFILE, Failure::Shortage),
            (Errno::NOBUFS, Failure::Shortage),
            (Errno::NOMEM, Failure::Shortage),
            (Errno::INVAL, Failure::Other),
            (Errno::BADF, Failure::Other),
        ] {
            assert_eq!(kind(&io::Error::from(code)), expected, "{code:?}");
        }
        assert_eq!(kind(&io::Error::other("x")), Failure::Other);
    }
}
