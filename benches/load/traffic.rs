//! The load generator: a thread that sends one kind of traffic until it is told to stop.
//!
//! Traffic warms up first, then it is measured for a while. What began within that while counts for the delays, what ended
//! within it counts for the rate.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Failure;
use crate::intake::{self, Intake};
use crate::machine::{self, Cores};
use crate::messages::Request;
use crate::target::{Connection, Target};

/// What is sent, over and over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Requests on connections that stay open.
    KeepAlive,
    /// A connection for every request.
    Tunnels,
    /// Streams on connections that stay open.
    Streams,
    /// One request on each connection, all at once, and nothing more.
    AllAtOnce,
}

/// One kind of traffic.
#[derive(Clone)]
pub(crate) struct Traffic {
    /// Which.
    pub kind: Kind,
    /// The request.
    pub request: Request,
    /// How many connections work at the same time.
    pub connections: usize,
    /// The length of the body that every answer must have; unknown for streams.
    pub answer: Option<usize>,
    /// Stamps in streams count from here.
    pub epoch: Instant,
}

/// What the generator and whoever measures tell each other.
#[derive(Default)]
struct Signals {
    /// Clients that have their connection.
    ready: AtomicUsize,
    stop: AtomicBool,
    measuring: AtomicBool,
    done: AtomicU64,
}

/// Delays that were seen, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// From the first byte of a request to the last of its answer.
    pub whole: Vec<u64>,
    /// From the first byte of a request to the first of its answer; only of streams.
    pub first_byte: Vec<u64>,
    /// From a message's being written to its being read; only of streams.
    pub message: Vec<u64>,
}

/// Traffic that runs.
pub(crate) struct Running {
    clients: usize,
    signals: Arc<Signals>,
    thread: JoinHandle<Result<Seen, Failure>>,
}

impl Traffic {
    /// Starts sending.
    pub(crate) fn start(self, target: Target, cores: &Cores) -> Result<Running, Failure> {
        let signals = Arc::new(Signals::default());
        let shared = Arc::clone(&signals);
        let clients = self.connections;
        let cores = cores.clone();
        let thread = std::thread::Builder::new()
            .name("generator".to_owned())
            .spawn(move || {
                machine::pin(&cores);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(self.run(target, shared))
            })?;
        Ok(Running {
            clients,
            signals,
            thread,
        })
    }

    async fn run(self, target: Target, signals: Arc<Signals>) -> Result<Seen, Failure> {
        let mut clients = JoinSet::new();
        let barrier = Arc::new(Barrier::new(self.connections));
        for number in 0..self.connections {
            let client = Client {
                target: target.clone(),
                request: self.request.render(number % KEYS),
                answer: self.answer,
                epoch: self.epoch,
                signals: Arc::clone(&signals),
                intake: Intake::new(INTAKE),
                buffer: Vec::new(),
                seen: Seen::default(),
            };
            let barrier = Arc::clone(&barrier);
            clients.spawn(async move {
                match self.kind {
                    Kind::KeepAlive => client.keep_alive().await,
                    Kind::Tunnels => client.tunnels().await,
                    Kind::Streams => client.streams().await,
                    Kind::AllAtOnce => client.once(&barrier).await,
                }
            });
        }
        let mut all = Seen::default();
        while let Some(ended) = clients.join_next().await {
            let seen = ended?.map_err(|error| format!("the load generator: {error}"))?;
            all.whole.extend(seen.whole);
            all.first_byte.extend(seen.first_byte);
            all.message.extend(seen.message);
        }
        Ok(all)
    }
}

impl Running {
    /// Waits until every client has its connection, or the traffic has failed.
    pub(crate) fn ready(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        while !self.is_over() && self.signals.ready.load(Ordering::Relaxed) < self.clients {
            if begun.elapsed() > PATIENCE {
                return Err(format!("connections are not opened within {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// From here on delays are noted.
    pub(crate) fn measure(&self) {
        self.signals.measuring.store(true, Ordering::Relaxed);
    }

    /// How many requests have been answered.
    pub(crate) fn done(&self) -> u64 {
        self.signals.done.load(Ordering::Relaxed)
    }

    /// The thread has ended, which before [`Running::stop`] means that something failed.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets every client finish its request. Returns how many were answered in all, and the delays.
    pub(crate) fn stop(self) -> Result<(u64, Seen), Failure> {
        self.signals.measuring.store(false, Ordering::Relaxed);
        self.signals.stop.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits for traffic that ends by itself.
    pub(crate) fn wait(self) -> Result<(u64, Seen), Failure> {
        let begun = Instant::now();
        while !self.thread.is_finished() {
            if begun.elapsed() > PATIENCE {
                // The thread ends when the contender does.
                return Err(format!("requests are not answered within {PATIENCE:?}").into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let seen = self
            .thread
            .join()
            .map_err(|_| "the load generator panicked")??;
        Ok((self.signals.done.load(Ordering::Relaxed), seen))
    }
}

struct Client {
    target: Target,
    request: Vec<u8>,
    answer: Option<usize>,
    epoch: Instant,
    signals: Arc<Signals>,
    intake: Intake,
    buffer: Vec<u8>,
    seen: Seen,
}

impl Client {
    async fn keep_alive(mut self) -> Result<Seen, Failure> {
        let mut stream = self.open().await?;
        while !self.signals.stop.load(Ordering::Relaxed) {
            self.call(&mut stream).await?;
        }
        stream.shutdown().await?;
        Ok(self.seen)
    }

    /// Opens the only connection of this client.
    async fn open(&self) -> io::Result<Connection> {
        let stream = self.target.open().await?;
        self.signals.ready.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    async fn tunnels(mut self) -> Result<Seen, Failure> {
        self.signals.ready.fetch_add(1, Ordering::Relaxed);
        while !self.signals.stop.load(Ordering::Relaxed) {
            let measured = self.signals.measuring.load(Ordering::Relaxed);
            let begun = Instant::now();
            let mut stream = self.target.open().await?;
            self.ask(&mut stream).await?;
            if measured {
                self.seen.whole.push(nanoseconds(begun.elapsed()));
            }
            self.signals.done.fetch_add(1, Ordering::Relaxed);
            stream.shutdown().await?;
        }
        Ok(self.seen)
    }

    async fn once(mut self, barrier: &Barrier) -> Result<Seen, Failure> {
        let mut stream = self.target.open().await?;
        barrier.wait().await;
        self.call(&mut stream).await?;
        stream.shutdown().await?;
        Ok(self.seen)
    }

    async fn call(&mut self, stream: &mut Connection) -> Result<(), Failure> {
        let measured = self.signals.measuring.load(Ordering::Relaxed);
        let begun = Instant::now();
        self.ask(stream).await?;
        if measured {
            self.seen.whole.push(nanoseconds(begun.elapsed()));
        }
        self.signals.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn ask(&mut self, stream: &mut Connection) -> Result<(), Failure> {
        stream.write_all(&self.request).await?;
        stream.flush().await?;
        let body = self.intake.message(stream).await?;
        if self.intake.is_success() && body == self.answer {
            return Ok(());
        }
        let head = self.intake.last_head();
        Err(format!(
            "a body of {body:?} bytes came instead of {:?}: {head}",
            self.answer
        )
        .into())
    }

    async fn streams(mut self) -> Result<Seen, Failure> {
        let mut stream = self.open().await?;
        while !self.signals.stop.load(Ordering::Relaxed) {
            let measured = self.signals.measuring.load(Ordering::Relaxed);
            let begun = Instant::now();
            stream.write_all(&self.request).await?;
            stream.flush().await?;
            let Self {
                seen,
                epoch,
                buffer,
                ..
            } = &mut self;
            let streamed = intake::stream(&mut stream, buffer, |sent| {
                if measured {
                    seen.message
                        .push(nanoseconds(epoch.elapsed()).saturating_sub(sent));
                }
            });
            let streamed = streamed.await?;
            if measured {
                self.seen.whole.push(nanoseconds(begun.elapsed()));
                self.seen
                    .first_byte
                    .push(nanoseconds(streamed.first_byte - begun));
            }
            self.signals.done.fetch_add(1, Ordering::Relaxed);
        }
        stream.shutdown().await?;
        Ok(self.seen)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long requests may take that are on their way when everything is said.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many access keys call.
const KEYS: usize = 8;
/// Room for an answer, and for a piece of a large one.
const INTAKE: usize = 64 * 1024;
