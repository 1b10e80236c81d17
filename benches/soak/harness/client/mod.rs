//! The clients of the gate: many at a time, each with an address and dice of its own, doing everything that clients do.

pub(crate) mod call;
pub(crate) mod exchange;
pub(crate) mod line;
mod oddities;
mod tokens;
mod visits;

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::line::{Door, Line, Port};
use super::acts::Going;
use super::book::Book;
use super::dice::Dice;

type Failure = Box<dyn Error + Send + Sync>;

/// Hosts by what is behind them.
pub(crate) mod hosts {
    /// Bedrock that never breaks what it has not been asked to break.
    pub(crate) const STEADY: &str = "bedrock-runtime.us-east-1.amazonaws.com";
    /// Bedrock that hangs up when it likes.
    pub(crate) const MOODY: &str = "bedrock-runtime.us-west-2.amazonaws.com";
    /// Bedrock in bad weather: refused connections, bad certificates, noise.
    pub(crate) const WEATHER: &str = "bedrock-runtime.eu-west-1.amazonaws.com";
    /// The end of tunnels.
    pub(crate) const ECHO: &str = "echo.soak.example";
    /// Denied by the gate's rules.
    pub(crate) const DENIED: &str = "denied.soak.example";
    /// Where nobody listens.
    pub(crate) const CLOSED: &str = "closed.soak.example";
}

/// One client.
pub(crate) struct Client {
    port: Arc<Port>,
    pub(crate) book: Arc<Book>,
    source: Ipv4Addr,
    stop: watch::Receiver<bool>,
    dice: Dice,
    pause: Duration,
}

/// A connection, and the gate that it was opened to.
pub(crate) struct Opened {
    pub(crate) line: Line,
    pub(crate) generation: u32,
}

/// Far more than any visit takes, even where much else runs.
const VISIT: Duration = Duration::from_secs(170);
/// A client whose gate is away tries again.
const AGAIN: Duration = Duration::from_millis(50);

impl Client {
    /// The `n`th client.
    pub(crate) fn new(
        port: Arc<Port>,
        book: Arc<Book>,
        n: u8,
        stop: watch::Receiver<bool>,
        dice: &Dice,
        pause: Duration,
    ) -> Self {
        Self {
            port,
            book,
            // All of 127/8 is this machine: every client is known by its address.
            source: Ipv4Addr::new(127, 0, 1, n),
            stop,
            dice: dice.apart(u64::from(n) + 1),
            pause,
        }
    }

    /// Visits until it is told to stop.
    async fn run(mut self) {
        while !self.has_to_stop() {
            let visit = visits::Visit::any(&mut self.dice);
            self.book.visit(visit.name());
            let made = timeout(VISIT, Box::pin(self.visit(visit))).await;
            if made.is_err() {
                let name = visit.name();
                self.book
                    .find(format!("a visit hung: {name} from {}", self.source));
            }
            if !self.pause.is_zero() {
                let most = u64::try_from(2 * self.pause.as_micros()).unwrap_or(u64::MAX);
                let pause = Duration::from_micros(self.dice.between(0, most));
                self.rest(pause).await;
            }
        }
    }

    pub(crate) fn has_to_stop(&self) -> bool {
        *self.stop.borrow()
    }

    /// Rests, but not longer than the load lasts.
    async fn rest(&self, pause: Duration) {
        let mut stop = self.stop.clone();
        let stopped = async {
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        timeout(pause, stopped).await.ok();
    }

    /// A connection through `door` for `host`; `None` when there is none, which is noted unless the gate is away.
    pub(crate) async fn open(&self, door: Door, host: &str) -> Option<Opened> {
        let generation = self.book.generation();
        match self.port.open(self.source, door, host).await {
            Ok(line) => Some(Opened { line, generation }),
            Err(error) => {
                self.missed(
                    generation,
                    &format!("{door:?} for {host}"),
                    &error.to_string(),
                )
                .await;
                None
            }
        }
    }

    /// A connection to the port itself.
    async fn plain(&self) -> Option<Opened> {
        let generation = self.book.generation();
        match self.port.plain(self.source).await {
            Ok(line) => Some(Opened { line, generation }),
            Err(error) => {
                self.missed(generation, "the port", &error.to_string())
                    .await;
                None
            }
        }
    }

    async fn missed(&self, generation: u32, what: &str, why: &str) {
        if self.book.is_overtaken(generation) {
            sleep(AGAIN).await;
        } else {
            self.book.find(format!("{what} did not open: {why}"));
        }
    }

    fn going(&mut self) -> Going {
        *self.dice.pick(&Going::Close, &Going::ALL)
    }

    fn door(&mut self) -> Door {
        *self.dice.pick(&Door::Connect, &Door::ALL)
    }
}

/// Many clients at once, until they are stopped.
pub(crate) struct Crowd {
    clients: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Crowd {
    /// Lets `count` clients loose.
    pub(crate) fn gather(
        count: u8,
        port: &Arc<Port>,
        book: &Arc<Book>,
        dice: &Dice,
        pause: Duration,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for n in 1..=count {
            let client = Client::new(
                Arc::clone(port),
                Arc::clone(book),
                n,
                stopped.clone(),
                dice,
                pause,
            );
            clients.spawn(client.run());
        }
        Self { clients, stop }
    }

    /// Tells everybody to stop, and waits until they have finished what they were at.
    pub(crate) async fn disperse(mut self) -> Result<(), Failure> {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended?;
        }
        Ok(())
    }
}
