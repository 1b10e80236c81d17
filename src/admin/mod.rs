//! The admin port: health, readiness, metrics and budgets, for orchestrators, scrapers and our own commands. It only tells,
//! and changes nothing.
//!
//! A listener of its own, which nothing that came by the client port can reach (`net::dial` sees to that). Its HTTP is
//! hyper's: nobody's bytes have to be preserved here. Every connection carries one request and has a deadline, their number
//! is bounded, and so is a head. What the answers are made of is handed in by `app`; which requests get one is in
//! `answer`. RFC 9110, RFC 9112.

mod answer;
mod host;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::config::AdminPort;

/// Whether the gate should be sent new calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It serves.
    Ready,
    /// It was told to stop: what runs may finish, nothing new is taken.
    Draining,
    /// Nothing can be recorded, and the operator wants nothing served that is not.
    LedgerFailing,
}

/// What the answers are made of.
pub struct Sources {
    /// Whether the gate should be sent new calls, now.
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// The metrics as text, now.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// What is spent of each budget, as JSON, now.
    pub budgets: Box<dyn Fn() -> String + Send + Sync>,
}

/// An admin port that is bound.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    hosts: Vec<String>,
}

/// Most connections at the same time. Further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// How long a whole connection may take: one request and its answer.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long a head may take.
const HEAD: Duration = Duration::from_secs(5);
/// Most bytes of a head, and most field-lines of it.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;
/// Pause after a failed accept: most often no descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Admin {
    /// Binds the port at `address`, to be asked by the names of `port`.
    ///
    /// # Errors
    /// When the operating system does not give it.
    pub async fn bind(address: SocketAddr, port: &AdminPort) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            hosts: port.hosts.clone(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is dropped.
    pub async fn serve(self, sources: Sources) {
        let Self {
            listener, hosts, ..
        } = self;
        let shared = Arc::new((sources, hosts));
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((socket, client)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let (sources, hosts) = &*shared;
                        converse(socket, client, sources, hosts).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the admin port could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One request and its answer.
async fn converse(socket: TcpStream, client: SocketAddr, sources: &Sources, hosts: &[String]) {
    let service = service_fn(|request| {
        let answer = answer::answer(&request, sources, hosts);
        tracing::debug!(%client, status = answer.status().as_u16(), "the admin port was asked");
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    match timeout(CONNECTION, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%client, %error, "a connection to the admin port broke"),
        Err(_) => tracing::debug!(%client, "a connection to the admin port took too long"),
    }
}
