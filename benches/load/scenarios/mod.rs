//! What is measured: one scenario for each row of the table in docs/performance.md.

mod idle;
mod load;
mod peak;
mod start;

use std::time::Duration;

use crate::Failure;
use crate::contenders::Contender;
use crate::figures::Figures;
use crate::lab::{Lab, Placement};
use crate::messages::{Answer, Request, Script};
use crate::traffic::Kind;
use crate::upstream::Behaviour;
use load::Shape;

/// One scenario.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// On the command line and in the report.
    pub name: String,
    /// What it is, for the report.
    pub title: String,
    /// Who takes part if the command line does not say.
    pub contenders: &'static [&'static str],
    /// How often each of them runs, next to the usual number.
    pub rounds: Rounds,
    what: What,
}

/// How often a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounds {
    /// As often as the command line says.
    Usual,
    /// Once: memory does not vary, or the run is long.
    Once,
}

#[derive(Clone, Debug)]
enum What {
    KeepAlive {
        connections: usize,
        placement: Placement,
        /// Rows in the ledger before the run.
        rows: u64,
    },
    Tunnels {
        resumes: bool,
    },
    Streams {
        deltas: usize,
        connections: usize,
        pause: Option<Duration>,
    },
    Bodies {
        up: usize,
        down: usize,
    },
    Peak {
        bytes: usize,
    },
    Idle {
        tunnels: usize,
    },
    Start,
}

const ALL: &[&str] = &[
    "direct",
    "pump",
    "tollgate",
    "tollgate-none",
    "tollgate-transparent",
    "tollgate-none-transparent",
    "haproxy",
    "nginx",
    "hudsucker",
    "mitmproxy",
];
const NATIVE: &[&str] = &[
    "pump",
    "tollgate",
    "tollgate-none",
    "haproxy",
    "nginx",
    "hudsucker",
];
const OURS: &[&str] = &["pump", "tollgate", "tollgate-none"];
const GATES: &[&str] = &["tollgate", "tollgate-none"];

/// The others set aside two files for every tunnel, which is more than many systems permit.
const MANY: &[&str] = &["tollgate", "tollgate-none", "nginx", "hudsucker"];

/// A request of 1 KiB, head included.
const REQUEST: Request = Request::Converse(1024);
const ANSWER: usize = 2048;

/// How large the scenarios are. Their names tell the usual sizes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of a large body.
    large: usize,
    /// What numbers of connections and tunnels are divided by.
    fraction: usize,
    /// Messages of a stream that has no pauses.
    burst: usize,
    /// Rows of a ledger that is not empty.
    rows: u64,
}

impl Sizes {
    /// What is measured.
    pub(crate) const USUAL: Self = Self {
        large: 16 * 1024 * 1024,
        fraction: 1,
        burst: 1000,
        rows: 100_000,
    };
    /// Just enough to see that everything works.
    pub(crate) const SMOKE: Self = Self {
        large: 128 * 1024,
        fraction: 100,
        burst: 20,
        rows: 1000,
    };

    const fn of(self, usual: usize) -> usize {
        usual.div_ceil(self.fraction)
    }
}

/// All scenarios; `rows`: a ledger of so many rows is to be measured as well.
pub(crate) fn all(sizes: Sizes, rows: Option<u64>) -> Vec<Scenario> {
    [
        requests(),
        streams(sizes),
        bodies(sizes),
        standing(sizes),
        scaling(sizes, rows),
    ]
    .concat()
}

fn requests() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "keepalive",
            "Keep-alive, 32 connections, 1 KiB requests, 2 KiB answers",
            ALL,
            What::keep_alive(32, Placement::Free),
        ),
        Scenario::new(
            "latency",
            "The same on 1 connection, everything on one core",
            ALL,
            What::keep_alive(1, Placement::One),
        ),
        Scenario::new(
            "tunnel",
            "A new connection for every request, 16 at a time, full handshakes",
            ALL,
            What::Tunnels { resumes: false },
        ),
        Scenario::new(
            "tunnel-resumed",
            "The same with resumed TLS sessions",
            NATIVE,
            What::Tunnels { resumes: true },
        ),
    ]
}

fn streams(sizes: Sizes) -> Vec<Scenario> {
    vec![
        Scenario::new(
            "stream",
            "Event streams, 16 at a time, a message every 10 ms",
            ALL,
            What::Streams {
                deltas: 25,
                connections: 16,
                pause: Some(Duration::from_millis(10)),
            },
        ),
        Scenario::new(
            "stream-burst",
            "Event streams, 8 at a time, 1,000 messages back to back",
            ALL,
            What::Streams {
                deltas: sizes.burst,
                connections: 8,
                pause: None,
            },
        ),
    ]
}

fn bodies(sizes: Sizes) -> Vec<Scenario> {
    let bodies = |up, down| What::Bodies { up, down };
    vec![
        Scenario::new(
            "body-down",
            "Answers of 16 MiB, 4 at a time",
            NATIVE,
            bodies(512, sizes.large),
        ),
        Scenario::new(
            "body-up",
            "Requests of 16 MiB, 4 at a time",
            NATIVE,
            bodies(sizes.large, 512),
        ),
        Scenario::new(
            "peak",
            "32 requests of 16 MiB with answers of 16 MiB, all at once",
            NATIVE,
            What::Peak { bytes: sizes.large },
        )
        .once(),
    ]
}

fn standing(sizes: Sizes) -> Vec<Scenario> {
    let idle = |tunnels| What::Idle {
        tunnels: sizes.of(tunnels),
    };
    vec![
        Scenario::new(
            "idle-1000",
            "1,000 idle tunnels with TLS open",
            NATIVE,
            idle(1000),
        )
        .once(),
        Scenario::new(
            "idle-10000",
            "10,000 idle tunnels with TLS open",
            MANY,
            idle(10_000),
        )
        .once(),
        Scenario::new(
            "start",
            "From the start to the first accepted connection",
            NATIVE,
            What::Start,
        ),
    ]
}

fn scaling(sizes: Sizes, rows: Option<u64>) -> Vec<Scenario> {
    let connections = [1, 8, 128, 1000].map(|connections| {
        Scenario::new(
            &format!("scale-{connections}"),
            &format!("Keep-alive, {connections} connections"),
            OURS,
            What::keep_alive(sizes.of(connections), Placement::Free),
        )
    });
    let cores = Scenario::new(
        "one-core",
        "Keep-alive, 32 connections, the contender on one core and the load on the others",
        OURS,
        What::keep_alive(32, Placement::Apart),
    );
    let ledgers = [Some(sizes.rows), rows].into_iter().flatten().map(|rows| {
        Scenario::new(
            &format!("ledger-{rows}"),
            &format!("Keep-alive, 32 connections, {rows} rows in the ledger"),
            GATES,
            What::KeepAlive {
                connections: 32,
                placement: Placement::Free,
                rows,
            },
        )
    });
    connections
        .into_iter()
        .chain([cores])
        .chain(ledgers)
        .collect()
}

impl What {
    const fn keep_alive(connections: usize, placement: Placement) -> Self {
        Self::KeepAlive {
            connections,
            placement,
            rows: 0,
        }
    }
}

impl Scenario {
    fn new(name: &str, title: &str, contenders: &'static [&'static str], what: What) -> Self {
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            contenders,
            rounds: Rounds::Usual,
            what,
        }
    }

    /// The same, run once.
    fn once(mut self) -> Self {
        self.rounds = Rounds::Once;
        self
    }

    /// Runs it once with this contender.
    pub(crate) fn run(&self, lab: &Lab, contender: &Contender) -> Result<Figures, Failure> {
        match &self.what {
            What::KeepAlive {
                connections,
                placement,
                rows,
            } => {
                let shape = Shape::new(Kind::KeepAlive, REQUEST, *connections, answer())
                    .on(*placement)
                    .with_rows(*rows);
                load::run(lab, contender, &shape)
            }
            What::Tunnels { resumes } => {
                let shape = Shape::new(Kind::Tunnels, REQUEST, 16, answer()).resuming(*resumes);
                load::run(lab, contender, &shape)
            }
            What::Streams {
                deltas,
                connections,
                pause,
            } => {
                let behaviour = Behaviour::Stream {
                    script: Script::new(*deltas),
                    pause: *pause,
                };
                let request = Request::ConverseStream(1024);
                let shape = Shape::new(Kind::Streams, request, *connections, behaviour);
                load::run(lab, contender, &shape)
            }
            What::Bodies { up, down } => {
                let behaviour = Behaviour::Answer(Answer::image(*down));
                let shape = Shape::new(Kind::KeepAlive, Request::Invoke(*up), 4, behaviour);
                load::run(lab, contender, &shape)
            }
            What::Peak { bytes } => peak::run(lab, contender, *bytes),
            What::Idle { tunnels } => idle::run(lab, contender, *tunnels),
            What::Start => start::run(lab, contender),
        }
    }
}

fn answer() -> Behaviour {
    Behaviour::Answer(Answer::converse(ANSWER))
}
