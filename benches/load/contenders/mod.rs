//! What is measured: nothing at all, the byte pump, tollgate in several modes, and other proxies where they are installed.
//!
//! Each runs as a process of its own, is reached as its users reach it, and goes to the same upstream. Peers that cannot
//! open a CONNECT tunnel get TLS for the AWS name on their own port, as tollgate does in its `transparent` contenders.

pub(crate) mod peers;
pub(crate) mod pump;
pub(crate) mod tollgate;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::identities::Identities;
use crate::intake::Intake;
use crate::ledger::Books;
use crate::machine::Cores;
use crate::messages::Request;
use crate::process::Process;
use crate::target::{Target, Way};

/// Who it is.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// Load generator and upstream, with nothing in between.
    Direct,
    /// This program as a byte pump.
    Pump,
    /// A tollgate, with these options besides the usual ones.
    Tollgate {
        /// The executable.
        program: PathBuf,
        /// Options of `serve`.
        options: Vec<String>,
    },
    /// TLS on both sides, mode http.
    Haproxy,
    /// TLS on both sides, HTTP proxy.
    Nginx,
    /// As `mitmdump`.
    Mitmproxy(PathBuf),
    /// The small program in `peers/hudsucker`.
    Hudsucker(PathBuf),
}

/// A program and the way in.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// In the report and on the command line.
    pub name: String,
    /// What runs.
    pub program: Program,
    /// How clients reach it.
    pub way: Way,
}

/// What a contender is started with.
pub(crate) struct Stand<'a> {
    /// Certificates of this run.
    pub identities: &'a Identities,
    /// A directory of its own.
    pub directory: PathBuf,
    /// The upstream's port on loopback.
    pub upstream: u16,
    /// Where it may run.
    pub cores: &'a Cores,
    /// What stands in front of its command line, as a profiler would.
    pub wrap: &'a [String],
    /// For tollgate: the home, if it is not to be a new one.
    pub home: Option<PathBuf>,
}

/// A contender that accepts connections.
pub(crate) struct Running {
    /// Its process; direct has none.
    pub process: Option<Process>,
    /// Where clients go.
    pub port: u16,
    /// How they get through.
    pub way: Way,
    /// What they must trust.
    pub roots: PathBuf,
    /// What it has written down.
    pub books: Option<Books>,
    /// From its start to the first accepted connection.
    pub start: Duration,
}

impl Contender {
    /// Starts it and waits until it accepts connections.
    pub(crate) fn start(&self, stand: &Stand<'_>) -> Result<Running, Failure> {
        std::fs::create_dir_all(&stand.directory)?;
        let ours = stand.identities.ca.clone();
        let (mut running, patience) = match &self.program {
            Program::Direct => {
                return Ok(Running {
                    process: None,
                    port: stand.upstream,
                    way: Way::Tls,
                    roots: ours,
                    books: None,
                    start: Duration::ZERO,
                });
            }
            Program::Pump => (pump::start(stand)?, SOON),
            Program::Tollgate { program, options } => {
                (tollgate::start(stand, program, options)?, SOON)
            }
            Program::Haproxy => (peers::haproxy(stand)?, SOON),
            Program::Nginx => (peers::nginx(stand)?, SOON),
            Program::Mitmproxy(program) => (peers::mitmproxy(stand, program)?, LATE),
            Program::Hudsucker(program) => (peers::hudsucker(stand, program)?, SOON),
        };
        running.way = self.way;
        if let Some(process) = &mut running.process {
            running.start = process.accepts(running.port, patience).map_err(|error| {
                let log = stand.directory.join(LOG).with_extension("err");
                let log = std::fs::read_to_string(log).unwrap_or_default();
                format!("{}: {error}\n{log}", self.name)
            })?;
        }
        Ok(running)
    }

    /// A failure of it is a failure of the benchmark, and not of somebody else's program.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(
            self.program,
            Program::Direct | Program::Pump | Program::Tollgate { .. }
        )
    }
}

impl Running {
    /// Sends one request over a connection whose certificate is verified. Returns how many requests that were.
    pub(crate) async fn greet(&self, request: Request) -> Result<u64, Failure> {
        use tokio::io::AsyncWriteExt;
        let target = Target::verified(self.port, self.way, &self.roots)?;
        let mut stream = target.open().await?;
        stream.write_all(&request.render(0)).await?;
        stream.flush().await?;
        let mut intake = Intake::new(64 * 1024);
        if let Request::ConverseStream(_) = request {
            crate::intake::stream(&mut stream, &mut Vec::new(), |_| ()).await?;
        } else {
            intake.message(&mut stream).await?;
            if !intake.is_success() {
                return Err(
                    format!("the first request was answered with {}", intake.last_head()).into(),
                );
            }
        }
        stream.shutdown().await?;
        Ok(1)
    }
}

/// A process that will listen on `port`.
fn listening(process: Process, port: u16, roots: &Path) -> Running {
    Running {
        process: Some(process),
        port,
        way: Way::Tls,
        roots: roots.to_owned(),
        books: None,
        start: Duration::ZERO,
    }
}

/// The command, behind whatever is to stand in front of it.
fn command(stand: &Stand<'_>, program: &Path) -> std::process::Command {
    let Some((first, rest)) = stand.wrap.split_first() else {
        return std::process::Command::new(program);
    };
    let mut command = std::process::Command::new(first);
    command.args(rest).arg(program);
    command
}

/// What a contender says goes to files of this name.
const LOG: &str = "log";
/// How long a native program may take to listen.
const SOON: Duration = Duration::from_secs(10);
/// The same for Python.
const LATE: Duration = Duration::from_secs(60);
