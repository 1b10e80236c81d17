//! Steady traffic: what it costs a contender, how much gets through, and how long each request takes.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::contenders::{Contender, Program, Running};
use crate::figures::{Figures, float, percentile_us};
use crate::lab::{Lab, Placement};
use crate::ledger::{self, Expected};
use crate::messages::{Request, TOKENS, Tokens};
use crate::target::Target;
use crate::traffic::{Kind, Seen, Traffic};
use crate::upstream::Behaviour;

/// One kind of steady traffic.
#[derive(Clone)]
pub(crate) struct Shape {
    kind: Kind,
    request: Request,
    connections: usize,
    behaviour: Behaviour,
    placement: Placement,
    resumes: bool,
    rows: u64,
}

impl Shape {
    /// Traffic on any core, with full handshakes, into an empty ledger.
    pub(crate) const fn new(
        kind: Kind,
        request: Request,
        connections: usize,
        behaviour: Behaviour,
    ) -> Self {
        Self {
            kind,
            request,
            connections,
            behaviour,
            placement: Placement::Free,
            resumes: false,
            rows: 0,
        }
    }

    /// The same on other cores.
    pub(crate) const fn on(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// The same with TLS sessions resumed, or not.
    pub(crate) const fn resuming(mut self, resumes: bool) -> Self {
        self.resumes = resumes;
        self
    }

    /// The same into a ledger that holds so many rows.
    pub(crate) const fn with_rows(mut self, rows: u64) -> Self {
        self.rows = rows;
        self
    }
}

/// Runs the traffic through the contender and checks what it wrote down.
pub(crate) fn run(lab: &Lab, contender: &Contender, shape: &Shape) -> Result<Figures, Failure> {
    let home = (shape.rows > 0)
        .then(|| ledger::filled(lab.ledgers(shape.rows), shape.rows))
        .transpose()?;
    let upstream = lab.upstream(shape.behaviour.clone(), shape.placement)?;
    let cores = shape.placement.contender();
    let (mut running, _cleanup) = lab.start(contender, &upstream, &cores, home)?;
    let greetings = greet(&running, shape.request)?;
    let target = Target::new(running.port, running.way, shape.resumes)?;
    let traffic = Traffic {
        kind: shape.kind,
        request: shape.request,
        connections: shape.connections,
        answer: match &shape.behaviour {
            Behaviour::Answer(answer) => Some(answer.body),
            Behaviour::Stream { .. } => None,
        },
        epoch: lab.epoch,
    };

    let flowing = traffic.start(target, &shape.placement.load())?;
    flowing.ready()?;
    wait(&flowing, lab.warm_up);
    let (mut cpu, mut done, begun) = (cpu(&running), flowing.done(), Instant::now());
    flowing.measure();
    wait(&flowing, lab.measured);
    // Whoever is slow is measured for longer, and not by luck.
    let patient = begun + PATIENCE;
    while flowing.done() == done && !flowing.is_over() && Instant::now() < patient {
        wait(&flowing, SHORT);
    }
    done = flowing.done() - done;
    let seconds = begun.elapsed().as_secs_f64();
    cpu = self::cpu(&running).saturating_sub(cpu);
    let (calls, seen) = flowing.stop()?;

    let mut figures = rates(shape, done, seconds, cpu, running.process.is_some())?;
    delays(&mut figures, seen);
    if let Some(process) = &running.process {
        figures.insert("peak_mib", float(process.memory().peak) / 1024.0);
    }
    if let Some(books) = &running.books {
        books.check(
            Expected {
                calls: calls + greetings,
                each: tokens(shape),
                model: shape.request.model(),
            },
            patience(contender),
        )?;
    }
    if let Some(process) = &mut running.process {
        process.stop();
    }
    Ok(figures)
}

/// One request over a connection that is verified.
pub(crate) fn greet(running: &Running, request: Request) -> Result<u64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(running.greet(request))
}

/// How long a record may come after its answer: `relaxed` promises a tenth of a second.
pub(crate) fn patience(contender: &Contender) -> Duration {
    match &contender.program {
        Program::Tollgate { options, .. } if options.iter().any(|option| option == "relaxed") => {
            Duration::from_secs(1)
        }
        _ => Duration::ZERO,
    }
}

fn tokens(shape: &Shape) -> Tokens {
    match &shape.behaviour {
        Behaviour::Answer(answer) => answer.tokens,
        Behaviour::Stream { .. } => TOKENS,
    }
}

fn wait(flowing: &crate::traffic::Running, time: Duration) {
    let begun = Instant::now();
    // In small steps, so that a failure shows at once.
    while begun.elapsed() < time && !flowing.is_over() {
        std::thread::sleep((time.saturating_sub(begun.elapsed())).min(STEP));
    }
}

const STEP: Duration = Duration::from_millis(100);
/// How long the first answer of a run may take.
const PATIENCE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(1);

fn cpu(running: &Running) -> Duration {
    running
        .process
        .as_ref()
        .map_or(Duration::ZERO, crate::process::Process::cpu)
}

fn rates(
    shape: &Shape,
    done: u64,
    seconds: f64,
    cpu: Duration,
    measured: bool,
) -> Result<Figures, Failure> {
    if done == 0 {
        return Err("not one request was answered in time".into());
    }
    let done = float(done);
    let mut figures = Figures::from([("requests_per_s", done / seconds)]);
    let cpu_us = cpu.as_secs_f64() * 1e6;
    if measured {
        figures.insert("cpu_us_per_request", cpu_us / done);
        figures.insert("cpu_share", cpu.as_secs_f64() / seconds);
    }
    match &shape.behaviour {
        Behaviour::Stream { script, .. } => {
            let messages = done * float(script.messages() as u64);
            figures.insert("messages_per_s", messages / seconds);
            if measured {
                figures.insert("cpu_us_per_message", cpu_us / messages);
            }
        }
        Behaviour::Answer(answer) if answer.tokens == Tokens::default() => {
            let Request::Invoke(up) = shape.request else {
                return Ok(figures);
            };
            let megabytes = done * float((up + answer.body) as u64) / 1e6;
            figures.insert("mb_per_s", megabytes / seconds);
            if measured {
                figures.insert("cpu_us_per_mb", cpu_us / megabytes);
            }
        }
        Behaviour::Answer(_) => {}
    }
    Ok(figures)
}

fn delays(figures: &mut Figures, mut seen: Seen) {
    for (values, middle, late) in [
        (&mut seen.whole, "p50_us", "p99_us"),
        (
            &mut seen.first_byte,
            "first_byte_p50_us",
            "first_byte_p99_us",
        ),
        (&mut seen.message, "message_p50_us", "message_p99_us"),
    ] {
        if let (Some(median), Some(most)) =
            (percentile_us(values, 50.0), percentile_us(values, 99.0))
        {
            figures.insert(middle, median);
            figures.insert(late, most);
        }
    }
}
