//! What a tunnel costs that is open and says nothing: before its first request, and after one.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Failure;
use crate::contenders::{Contender, Running};
use crate::figures::{Figures, float};
use crate::intake::Intake;
use crate::lab::{Lab, Placement};
use crate::ledger::Expected;
use crate::messages::{Answer, TOKENS};
use crate::target::{Connection, Target};
use crate::upstream::Behaviour;

use super::load::{greet, patience};
use super::{ANSWER, REQUEST};

/// So many are opened, and asked, at the same time.
const AT_ONCE: usize = 32;
/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long memory may take to settle.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the idle contender's processor time is watched.
const WATCH: Duration = Duration::from_secs(1);

/// Opens so many tunnels and looks at the contender's memory.
pub(crate) fn run(lab: &Lab, contender: &Contender, tunnels: usize) -> Result<Figures, Failure> {
    let upstream = lab.upstream(Behaviour::Answer(Answer::converse(ANSWER)), Placement::Free)?;
    let (running, _cleanup) =
        lab.start(contender, &upstream, &Placement::Free.contender(), None)?;
    let greetings = greet(&running, REQUEST)?;
    let Some(process) = &running.process else {
        return Ok(Figures::new());
    };
    std::thread::sleep(SETTLE);
    let empty = process.memory().resident;
    let per_tunnel = |resident: u64| float(resident.saturating_sub(empty)) / float(tunnels as u64);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let target = Target::new(running.port, running.way, true)?;
    let open = runtime.block_on(batches((0..tunnels).map(|_| open(target.clone()))))?;
    std::thread::sleep(SETTLE);
    let opened = process.memory().resident;

    let request = REQUEST.render(0);
    let used = runtime.block_on(batches(
        open.into_iter().map(|tunnel| ask(tunnel, request.clone())),
    ))?;
    std::thread::sleep(SETTLE);
    let (cpu, begun) = (process.cpu(), Instant::now());
    std::thread::sleep(WATCH);
    let busy = process.cpu().saturating_sub(cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    let asked = process.memory().resident;
    check(contender, &running, tunnels as u64 + greetings)?;
    runtime.block_on(close(used));
    Ok(Figures::from([
        ("kib_per_tunnel_opened", per_tunnel(opened)),
        ("kib_per_tunnel_used", per_tunnel(asked)),
        ("resident_mib", float(asked) / 1024.0),
        ("cpu_share", busy),
    ]))
}

fn check(contender: &Contender, running: &Running, calls: u64) -> Result<(), Failure> {
    let Some(books) = &running.books else {
        return Ok(());
    };
    let expected = Expected {
        calls,
        each: TOKENS,
        model: REQUEST.model(),
    };
    books.check(expected, patience(contender))
}

async fn open(target: Target) -> Result<Connection, Failure> {
    Ok(timeout(PATIENCE, target.open()).await??)
}

async fn ask(mut tunnel: Connection, request: Vec<u8>) -> Result<Connection, Failure> {
    tunnel.write_all(&request).await?;
    tunnel.flush().await?;
    let mut intake = Intake::new(4096);
    let body = timeout(PATIENCE, intake.message(&mut tunnel)).await??;
    if body != Some(ANSWER) || !intake.is_success() {
        return Err(format!("a tunnel was answered with {}", intake.last_head()).into());
    }
    Ok(tunnel)
}

/// Runs all of them, a few at a time.
async fn batches<F>(work: impl Iterator<Item = F>) -> Result<Vec<Connection>, Failure>
where
    F: Future<Output = Result<Connection, Failure>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut done = Vec::new();
    for next in work {
        if running.len() >= AT_ONCE
            && let Some(ended) = running.join_next().await
        {
            done.push(ended??);
        }
        running.spawn(next);
    }
    while let Some(ended) = running.join_next().await {
        done.push(ended??);
    }
    Ok(done)
}

/// Ends every tunnel as a client would; what the contender does about it is no part of this.
async fn close(tunnels: Vec<Connection>) {
    for mut tunnel in tunnels {
        drop(tunnel.shutdown().await);
    }
}
