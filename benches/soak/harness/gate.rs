//! The gate under test: `tollgate serve` as its own process, what it says, and the signals it gets.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::client::hosts;
use super::upstream::Upstream;

type Failure = Box<dyn Error + Send + Sync>;

/// A running gate. Killed when dropped.
pub(crate) struct Gate {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) said: Arc<Said>,
    listeners: Vec<JoinHandle<()>>,
}

/// What a gate said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Lines on standard output: one for each record.
    pub(crate) lines: AtomicU64,
    /// How often the ledger took longer than a second: answers then go out before their records are committed, as
    /// documented, and a kill may cost records.
    pub(crate) stalls: AtomicU64,
    /// Diagnostics that mean that someone must act.
    grave: Mutex<Vec<String>>,
}

/// What every gate of a run has in common.
pub(crate) struct Place {
    pub(crate) program: PathBuf,
    pub(crate) home: PathBuf,
    /// Where diagnostics are kept.
    pub(crate) log: PathBuf,
}

/// How long a gate may take to start, and to end once it was told to.
const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(120);
/// How much of a body is kept: soaks are long and disks are not.
const PAYLOAD_LIMIT: &str = "65536";

impl Place {
    /// A command of the program about the same home, in an environment that says nothing about gates.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TOLLGATE_") {
                command.env_remove(name);
            }
        }
        command
            .env("TOLLGATE_HOME", &self.home)
            .env_remove("AISERVICE_API_BASE");
        if let Some(parent) = self.home.parent() {
            command.current_dir(parent);
        }
        command
    }

    /// What such a command prints.
    pub(crate) fn say(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.command().args(arguments).output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("tollgate {}: {why}", arguments.join(" ")).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Gate {
    /// Starts a gate at `listen` in front of `upstream`, and waits until it says where it listens.
    pub(crate) async fn start(
        place: &Place,
        listen: SocketAddr,
        upstream: &Upstream,
    ) -> Result<Self, Failure> {
        let ca = place.home.with_extension("upstream.pem");
        std::fs::write(&ca, upstream.ca_pem())?;
        let mut command = place.command();
        command
            .arg("serve")
            .args(["--listen", &listen.to_string()])
            .args(["--log-format", "json"])
            .args(["--payload-limit", PAYLOAD_LIMIT])
            .args(["--tunnel-port", "*", "--deny", hosts::DENIED]);
        for (host, port, address) in [
            (hosts::WEATHER, "443", upstream.weather),
            (hosts::ECHO, "7", upstream.echo),
            (hosts::CLOSED, "9", SocketAddr::from(([127, 0, 0, 1], 1))),
            // Whatever else is opened is Bedrock.
            ("", "443", upstream.steady),
        ] {
            command.args(["--connect-to", &format!("{host}:{port}:{address}")]);
        }
        let mut child = command
            .arg("--upstream-ca")
            .arg(ca)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = Arc::new(Said::default());
        let mut listeners = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            let said = Arc::clone(&said);
            listeners.push(thread::spawn(move || count_lines(stdout, &said)));
        }
        let (found, address) = oneshot::channel();
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            let log = File::options().create(true).append(true).open(&place.log)?;
            listeners.push(thread::spawn(move || {
                listen_to(stderr, log, found, &said);
            }));
        }
        let mut gate = Self {
            child,
            address: listen,
            said,
            listeners,
        };
        gate.address = timeout(START, address)
            .await?
            .map_err(|_| format!("the gate did not start; see {}", place.log.display()))?;
        Ok(gate)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, without a chance to do anything more.
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        self.hear_out();
        Ok(())
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id())?;
        let pid = Pid::from_raw(pid).ok_or("a process without an id")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Result<ExitStatus, Failure> {
        let deadline = tokio::time::Instant::now() + END;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.hear_out();
                return Ok(status);
            }
            if tokio::time::Instant::now() > deadline {
                return Err("the gate did not end after SIGTERM".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its last words; it has ended.
    fn hear_out(&mut self) {
        for listener in self.listeners.drain(..) {
            // One that failed has nothing more to say.
            listener.join().ok();
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Said {
    /// The diagnostics that mean that someone must act.
    pub(crate) fn grave(&self) -> Vec<String> {
        self.grave
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn count_lines(mut stdout: impl Read, said: &Said) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stdout.read(&mut buffer) {
        let lines = memchr::memchr_iter(b'\n', buffer.get(..read).unwrap_or_default()).count();
        let lines = u64::try_from(lines).unwrap_or_default();
        said.lines.fetch_add(lines, Ordering::Relaxed);
    }
}

/// What a gate says whose disk is slow.
const STALL: &str = "the ledger takes longer than it may";
/// Most grave lines that are kept.
const MOST_GRAVE: usize = 100;

/// Reads to the end, so that the gate never waits for us.
fn listen_to(stderr: impl Read, mut log: File, found: oneshot::Sender<SocketAddr>, said: &Said) {
    let mut found = Some(found);
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else {
            return;
        };
        let address = line
            .split_once("listens on ")
            .and_then(|(_, rest)| rest.split([',', ' ']).next())
            .and_then(|address| address.parse().ok());
        if let (Some(address), Some(found)) = (address, found.take_if(|_| address.is_some())) {
            // Whoever waits for it may have given up.
            found.send(address).ok();
        }
        if line.contains(STALL) {
            said.stalls.fetch_add(1, Ordering::Relaxed);
        } else if line.contains("ERROR") || line.contains("panicked") {
            let mut grave = said.grave.lock().unwrap_or_else(PoisonError::into_inner);
            if grave.len() < MOST_GRAVE {
                grave.push(line.clone());
            }
        }
        // A log that cannot be kept is no reason to stop reading.
        writeln!(log, "{line}").ok();
    }
}

/// The home below `parent`.
pub(crate) fn place(program: &Path, parent: &Path) -> Place {
    Place {
        program: program.to_owned(),
        home: parent.join("home"),
        log: parent.join("gate.log"),
    }
}
