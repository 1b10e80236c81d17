//! Everything behind the gate: Bedrock as the simulator plays it with faults on top, an upstream in bad weather, and
//! the far end of blind tunnels.
//!
//! TLS ends here, so that faults can fall anywhere in a message; the simulator judges signatures and writes the answers
//! over a pipe. What is seen of every request goes into the book.

mod connection;
pub(crate) mod echo;
pub(crate) mod script;
mod tls;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tollgate::simulator::{Simulator, SimulatorOptions};

pub(crate) use self::connection::crc;
use self::tls::{Authority, Flaw};
use super::book::Book;
use super::dice::Dice;

type Failure = Box<dyn Error + Send + Sync>;

/// The upstreams of one run. They stop when dropped.
pub(crate) struct Upstream {
    /// Where Bedrock is.
    pub(crate) steady: SocketAddr,
    /// Where it is in bad weather.
    pub(crate) weather: SocketAddr,
    /// Where tunnels lead.
    pub(crate) echo: SocketAddr,
    shared: Arc<Shared>,
    loops: Vec<JoinHandle<()>>,
}

/// What all connections share.
struct Shared {
    simulator: Simulator,
    authority: Authority,
    book: Arc<Book>,
    dice: Mutex<Dice>,
    /// Counts the calls to hang up whatever is idle.
    hang_up: watch::Sender<u64>,
    connections: AtomicU64,
    spoiled: AtomicU64,
}

/// How long an upstream in bad weather listens, and how long it then does not.
const FAIR: Duration = Duration::from_secs(4);
const OUTAGE: Duration = Duration::from_millis(250);

impl Upstream {
    pub(crate) async fn start(book: Arc<Book>, dice: Dice) -> Result<Self, Failure> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut options = SimulatorOptions::new(loopback);
        // Who hangs up and when is decided here.
        options.idle_timeout = Duration::from_secs(24 * 60 * 60);
        let shared = Arc::new(Shared {
            simulator: Simulator::start(options).await?,
            authority: Authority::new()?,
            book,
            dice: Mutex::new(dice),
            hang_up: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
        });
        let steady = listen(loopback)?;
        let weather = listen(loopback)?;
        let echo = listen(loopback)?;
        let (steady_at, weather_at) = (steady.local_addr()?, weather.local_addr()?);
        let echo_at = echo.local_addr()?;
        let loops = vec![
            tokio::spawn(serve_steadily(Arc::clone(&shared), steady)),
            tokio::spawn(serve_in_bad_weather(
                Arc::clone(&shared),
                weather,
                weather_at,
            )),
            tokio::spawn(echo::serve(echo)),
        ];
        Ok(Self {
            steady: steady_at,
            weather: weather_at,
            echo: echo_at,
            shared,
            loops,
        })
    }

    /// The certificate that the gate must trust, PEM.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.shared.authority.pem
    }

    /// Closes every connection on which nothing runs.
    pub(crate) fn hang_up_idle(&self) {
        self.shared.hang_up.send_modify(|count| *count += 1);
    }

    /// Connections accepted, and how many of them were spoiled by the weather.
    pub(crate) fn connections(&self) -> (u64, u64) {
        (
            self.shared.connections.load(Ordering::Relaxed),
            self.shared.spoiled.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        for running in &self.loops {
            running.abort();
        }
    }
}

/// Listens even where connections of an earlier listener linger.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn serve_steadily(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => accepted(&shared, stream, Flaw::None),
            Err(error) => {
                shared
                    .book
                    .find(format!("the upstream cannot accept: {error}"));
                sleep(OUTAGE).await;
            }
        }
    }
}

fn accepted(shared: &Arc<Shared>, stream: TcpStream, flaw: Flaw) {
    shared.connections.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(connection::serve(Arc::clone(shared), stream, flaw));
}

/// Listens for a while, then refuses connections for a moment, and so on.
async fn serve_in_bad_weather(shared: Arc<Shared>, first: TcpListener, address: SocketAddr) {
    let mut listener = Some(first);
    loop {
        let Some(open) = listener.take().or_else(|| listen(address).ok()) else {
            sleep(OUTAGE).await;
            continue;
        };
        let serve = async {
            loop {
                if let Ok((stream, _)) = open.accept().await {
                    let weather = shared.weather();
                    weather.meet(&shared, stream);
                }
            }
        };
        timeout(FAIR, serve).await.unwrap_or(());
        drop(open);
        sleep(OUTAGE).await;
    }
}

/// What a connection to an upstream in bad weather meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    Reset,
    Closed,
    /// Octets that are no TLS.
    Noise,
    /// Silence, then the end.
    Silence,
    Certificate(Flaw),
}

impl Shared {
    fn weather(&self) -> Weather {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        dice.weighted(
            &[
                (50, Weather::Fair),
                (8, Weather::Reset),
                (8, Weather::Closed),
                (8, Weather::Noise),
                (6, Weather::Silence),
                (7, Weather::Certificate(Flaw::Name)),
                (7, Weather::Certificate(Flaw::Expired)),
                (6, Weather::Certificate(Flaw::Stranger)),
            ],
            Weather::Fair,
        )
    }
}

impl Weather {
    fn meet(self, shared: &Arc<Shared>, mut stream: TcpStream) {
        if self != Self::Fair {
            shared.spoiled.fetch_add(1, Ordering::Relaxed);
        }
        match self {
            Self::Fair => accepted(shared, stream, Flaw::None),
            Self::Certificate(flaw) => accepted(shared, stream, flaw),
            Self::Closed => drop(stream),
            Self::Reset => reset(&stream),
            Self::Noise => {
                tokio::spawn(async move {
                    // The gate may be gone by then.
                    stream.write_all(b"SSH-2.0-soak\r\n").await.ok();
                });
            }
            Self::Silence => {
                tokio::spawn(async move {
                    sleep(OUTAGE).await;
                    drop(stream);
                });
            }
        }
    }
}

/// Makes the end of this connection a reset.
fn reset(stream: &TcpStream) {
    // A socket that is gone needs no reset.
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
}
