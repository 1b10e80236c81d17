//! The run, phase by phase: warm up, load, quiet, kill and start again, drain, and the audit.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::acts::Acts;
use super::audit::{self, audit};
use super::book::Book;
use super::client::call::{Call, Kind};
use super::client::exchange::{Manner, converse};
use super::client::line::{Door, Port};
use super::client::{Client, Crowd, Opened, hosts};
use super::dice::Dice;
use super::gate::{Gate, Place, place};
use super::report::{Drained, Phase, Report};
use super::rows::Rows;
use super::upstream::Upstream;
use super::watch::{Sample, Watch};
use super::{Failure, Plan};

/// Longer than anything takes to end by itself: a pooled connection (30 s), a client that is let finish (60 s).
const SETTLE: Duration = Duration::from_secs(150);
/// How often something is looked at that takes its time.
const LOOK: Duration = Duration::from_millis(250);
/// How long memory is looked at once everything else has ended.
const REST: Duration = Duration::from_secs(5);
/// How often the ledger is audited while the load lasts.
const CHECKPOINTS: u32 = 4;
/// Streams that run while the gate is told to stop, and connections that idle.
const DRAINING: u8 = 24;
const IDLING: u8 = 8;
/// The octets and the pauses of those streams: a few seconds each.
const DRIP: (usize, u64) = (400, 40);
/// Runs whose load is shorter leave it to the upstream to end idle connections, and judge no memory.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Everything that a run consists of.
struct Soak<'a> {
    plan: &'a Plan,
    place: Place,
    book: Arc<Book>,
    upstream: Upstream,
    dice: Dice,
    rows: Rows,
    report: Report,
}

/// Soaks the gate as `plan` says.
///
/// # Errors
/// What kept the soak itself from going on; what is wrong with the gate stands in the report.
pub(crate) async fn run(plan: &Plan) -> Result<Report, Failure> {
    std::fs::create_dir_all(&plan.directory)?;
    let place = place(&plan.gate, &plan.directory);
    let book = Arc::new(Book::default());
    let dice = Dice::new(plan.seed);
    let upstream = Upstream::start(Arc::clone(&book), dice.apart(0)).await?;
    let rows = Rows::of(&place.home.join("ledger.db"));
    let report = Report::new(plan, &place)?;
    let mut soak = Soak {
        plan,
        place,
        book,
        upstream,
        dice,
        rows,
        report,
    };
    soak.run().await?;
    Ok(soak.report)
}

impl Soak<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut gate = Gate::start(&self.place, any, &self.upstream).await?;
        let port = Arc::new(Port::new(gate.address, &self.place.home)?);
        let watch = Watch::begin(gate.pid(), &self.place.home);
        let fresh = watch.look()?;
        self.report.fresh = fresh.clone();
        self.warm_up(&port).await?;
        let load = self.load(&port, &watch, self.plan.load).await?;
        self.report.load = load;
        let hanging = if self.plan.load < LONG {
            Hanging::Up
        } else {
            Hanging::On
        };
        self.report.quiet = self.quiet(&watch, hanging, &fresh).await?;
        self.report.samples = watch.samples();
        drop(watch);
        self.report.survived = gate.is_alive();

        if !self.plan.around_kill.is_zero() {
            gate = self.kill_and_restart(gate, &port).await?;
        }
        let drained = self.drain(gate, &port).await?;
        self.report.drained = drained;
        self.conclude()
    }

    /// Every door and every kind of call once, and what makes the gate read its tokenizer.
    async fn warm_up(&mut self, port: &Arc<Port>) -> Result<(), Failure> {
        let (_stop, stopped) = watch::channel(false);
        let client = self.client(port, 251, stopped);
        let mut dice = self.dice.apart(251);
        for (n, kind) in Kind::GOOD.iter().chain([&Kind::CONVERSE]).enumerate() {
            let door = Door::ALL
                .get(n % Door::ALL.len())
                .copied()
                .unwrap_or(Door::Connect);
            let call = Call::new(*kind, hosts::STEADY, &mut dice);
            let cut = call.clone().acts(Acts {
                cut: Some((900, super::acts::Going::Close)),
                ..Acts::default()
            });
            for call in [call, cut] {
                let Some(mut opened) = client.open(door, hosts::STEADY).await else {
                    continue;
                };
                let request = call.request(door, opened.line.local, &mut dice)?;
                let Opened { line, generation } = &mut opened;
                converse(&self.book, *generation, line, &[request], Manner::BRISK).await;
            }
        }
        Ok(())
    }

    fn client(&self, port: &Arc<Port>, n: u8, stop: watch::Receiver<bool>) -> Client {
        Client::new(
            Arc::clone(port),
            Arc::clone(&self.book),
            n,
            stop,
            &self.dice,
            Duration::ZERO,
        )
    }

    /// Waits until the gate holds nothing that `before` did not, then for a moment more.
    async fn quiet(
        &self,
        watch: &Watch,
        hanging: Hanging,
        before: &Sample,
    ) -> Result<Sample, Failure> {
        let deadline = Instant::now() + SETTLE;
        loop {
            if hanging == Hanging::Up {
                self.upstream.hang_up_idle();
            }
            let now = watch.look()?;
            let settled = now.connected() == 0
                && now.all_descriptors() <= before.all_descriptors()
                && now.threads <= before.threads;
            if settled || Instant::now() > deadline {
                break;
            }
            sleep(LOOK).await;
        }
        sleep(REST.min(self.plan.load / 2)).await;
        Ok(watch.look()?)
    }

    /// The load, with a look into the ledger now and then.
    async fn load(
        &mut self,
        port: &Arc<Port>,
        watch: &Watch,
        lasting: Duration,
    ) -> Result<Phase, Failure> {
        let from = watch.now();
        let begun = self.book.begun();
        let pause = self.plan.pause;
        let crowd = Crowd::gather(self.plan.clients, port, &self.book, &self.dice, pause);
        for _ in 0..CHECKPOINTS {
            sleep(lasting / CHECKPOINTS).await;
            self.checkpoint().await?;
        }
        let until = watch.now();
        crowd.disperse().await?;
        Ok(Phase {
            from,
            until,
            exchanges: self.book.begun() - begun,
        })
    }

    /// Whoever holds a whole answer finds it in the ledger. A disk may be slow, so it is looked for some time.
    async fn checkpoint(&mut self) -> Result<(), Failure> {
        let held = audit::held(&self.book.pages());
        let deadline = Instant::now() + SETTLE;
        loop {
            self.rows.read_on()?;
            let missing = audit::missing(&held, &self.rows.rows);
            if missing == 0 {
                break;
            }
            self.report.late_records += missing;
            if Instant::now() > deadline {
                let of = held.len();
                self.book.find(format!(
                    "{missing} of {of} answers that clients hold are not recorded"
                ));
                break;
            }
            sleep(LOOK).await;
        }
        self.report.checkpoints.push(held.len());
        Ok(())
    }

    /// Kills the gate under load, looks whether it owes anything, and starts another one in its place.
    async fn kill_and_restart(&mut self, gate: Gate, port: &Arc<Port>) -> Result<Gate, Failure> {
        let address = gate.address;
        let said = Arc::clone(&gate.said);
        let begun = self.book.begun();
        let dice = self.dice.apart(1000);
        let pause = self.plan.pause;
        let crowd = Crowd::gather(self.plan.clients, port, &self.book, &dice, pause);
        sleep(self.plan.around_kill).await;
        self.book.next_generation();
        gate.kill()?;
        self.report.heard(&said);
        self.report.stalled_before_kill = said.stalls.load(Ordering::Relaxed) > 0;
        let held = audit::held(&self.book.pages());
        self.rows.read_on()?;
        let missing = audit::missing(&held, &self.rows.rows);
        if missing > 0 && !self.report.stalled_before_kill {
            let of = held.len();
            self.book.find(format!(
                "the kill cost {missing} records of {of} answers that clients hold"
            ));
        }
        self.report.records_before = self.rows.rows.len();
        let again = Gate::start(&self.place, address, &self.upstream).await?;
        self.book.next_generation();
        sleep(self.plan.around_kill).await;
        crowd.disperse().await?;
        self.report.around_kill = self.book.begun() - begun;
        Ok(again)
    }

    /// SIGTERM while streams run: they come to their ends, and the gate to its own, with status 0.
    async fn drain(&mut self, gate: Gate, port: &Arc<Port>) -> Result<Drained, Failure> {
        let (_stop, stopped) = watch::channel(false);
        let mut streams = JoinSet::new();
        let before = self.book.begun();
        for n in 1..=DRAINING {
            let client = self.client(port, n, stopped.clone());
            let mut dice = self.dice.apart(2000 + u64::from(n));
            streams.spawn(async move { drip(&client, &mut dice, n).await });
        }
        let mut idle = Vec::new();
        for n in 1..=IDLING {
            let client = self.client(port, n, stopped.clone());
            let door = Door::ALL.get(usize::from(n) % Door::ALL.len()).copied();
            idle.push(
                client
                    .open(door.unwrap_or(Door::Connect), hosts::STEADY)
                    .await,
            );
        }
        self.wait_until_answered(before + usize::from(DRAINING))
            .await;
        let running = self.running();
        gate.terminate()?;
        let refused = is_refused(gate.address).await;
        let said = Arc::clone(&gate.said);
        let mut whole = 0;
        while let Some(ended) = streams.join_next().await {
            whole += usize::from(ended?);
        }
        let mut closed = 0;
        for opened in idle.iter_mut().flatten() {
            // The listener may end them in any way that is an end.
            opened.line.reading.drain().await;
            closed += 1;
        }
        let status = gate.ended().await?;
        self.report.heard(&said);
        self.report.lines = said.lines.load(Ordering::Relaxed);
        Ok(Drained {
            running,
            whole,
            of: usize::from(DRAINING),
            idle_closed: closed,
            refuses_new: refused,
            exit: status.code(),
        })
    }

    /// Streams of which the upstream has seen the head and the client not yet the end.
    fn running(&self) -> usize {
        let pages = self.book.pages();
        let running = pages.exchanges.values();
        running
            .filter(|exchange| exchange.told.is_none() && exchange.upstream.heads > 0)
            .count()
    }

    async fn wait_until_answered(&self, begun: usize) {
        let deadline = Instant::now() + SETTLE;
        while Instant::now() < deadline {
            let all = self.book.begun() >= begun;
            let waiting = {
                let pages = self.book.pages();
                let mut exchanges = pages.exchanges.values();
                exchanges.any(|exchange| exchange.told.is_none() && exchange.upstream.heads == 0)
            };
            if all && !waiting {
                return;
            }
            sleep(LOOK / 10).await;
        }
        self.book
            .find("the streams to be drained did not begin".to_owned());
    }

    /// The last audit, and the ledger as the program's own commands tell it.
    fn conclude(&mut self) -> Result<(), Failure> {
        self.rows.read_on()?;
        self.report.integrity = self.rows.integrity()?;
        let pages = self.book.pages();
        let audited = audit(&pages, &self.rows.rows, self.report.stalled_before_kill);
        self.report.records = self.rows.rows.len();
        let printed = self.report.records - self.report.records_before;
        if self.report.lines != u64::try_from(printed)? {
            let lines = self.report.lines;
            let why = format!("the last gate printed {lines} lines for {printed} records");
            self.report.findings.push(why);
        }
        self.report.exchanges = pages.exchanges.len();
        self.report.findings.extend(pages.findings.iter().cloned());
        self.report.visits = pages
            .visits
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect();
        drop(pages);
        self.report.audited(audited);
        (self.report.connections, self.report.spoiled) = self.upstream.connections();
        self.report.read_back(&self.place, &self.rows.rows)
    }
}

/// Whether idle connections of the pool are left to themselves, or ended by the upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hanging {
    On,
    Up,
}

/// One long stream; whether all of it came.
async fn drip(client: &Client, dice: &mut Dice, n: u8) -> bool {
    let door = Door::ALL.get(usize::from(n) % Door::ALL.len()).copied();
    let door = door.unwrap_or(Door::Connect);
    let Some(mut opened) = client.open(door, hosts::STEADY).await else {
        return false;
    };
    let call = Call::new(Kind::CONVERSE_STREAM, hosts::STEADY, dice).acts(Acts {
        pad: 24 * 1024,
        pace: Some(DRIP),
        ..Acts::default()
    });
    let Ok(request) = call.request(door, opened.line.local, dice) else {
        return false;
    };
    let marker = request.marker;
    let Opened { line, generation } = &mut opened;
    converse(&client.book, *generation, line, &[request], Manner::BRISK).await;
    let pages = client.book.pages();
    pages.exchanges.get(&marker).is_some_and(|exchange| {
        let told = exchange.told.as_ref();
        told.is_some_and(|told| matches!(told.heard, super::book::Heard::Whole(_)))
    })
}

/// Whether the port comes to refuse connections.
async fn is_refused(address: SocketAddr) -> bool {
    let deadline = Instant::now() + SETTLE;
    while Instant::now() < deadline {
        if tokio::net::TcpStream::connect(address).await.is_err() {
            return true;
        }
        sleep(LOOK / 10).await;
    }
    false
}
