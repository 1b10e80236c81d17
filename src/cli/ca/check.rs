//! `tollgate ca check -- COMMAND`: does that runtime, here and now, trust the gate's certificates?
//!
//! A port on loopback shows the certificate that a gate would show for a Bedrock host, and the runtime is asked to
//! connect to it. Its environment stays as it is, since that is what is asked about, except that proxies are taken out:
//! the probe goes to that port and nowhere else. How each runtime is asked is in `probe`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::{ServerConfig, ServerConnection, Stream};

use super::probe::{self, Family, KNOWN, Verdict};
use super::{Opened, Source};
use crate::cli::terminal::{Line, to_stdout, write_json};
use crate::cli::{Failure, serve as gate};
use crate::net::ca::CaError;
use crate::net::ca_home::CA_PEM;
use crate::net::certificate_store::CertificateStore;
use crate::net::private_file;
use crate::net::tls_server::ServerConfigs;
use crate::net::trust::BUNDLE_PEM;

/// Arguments of `check`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// One JSON object for each library
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
    /// The runtime, as it is started: python3, node, java, curl, openssl, or what starts one of them
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Why it cannot be told, or what was found.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Not one of those we can ask.
    #[error(
        "cannot ask `{command}` whom it trusts; known are {KNOWN}, also with a version or after what starts them, as in `uv run python`"
    )]
    Unknown {
        /// What was given.
        command: String,
    },
    /// The command cannot be started, or says nothing we understand.
    #[error("`{command}` could not be asked: {why}")]
    Silent {
        /// What was run.
        command: String,
        /// What went wrong.
        why: String,
    },
    /// Some of it does not trust us.
    #[error(
        "{untrusting} of {all} would refuse the gate's certificates; the lines above mend that"
    )]
    Untrusted {
        /// How many do not.
        untrusting: usize,
        /// How many were asked.
        all: usize,
    },
    /// No certificate to show.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// No port, or no temporary file.
    #[error("the probe cannot be set up")]
    SetUp(#[from] io::Error),
}

impl CheckError {
    /// Whether what was asked for is wrong, rather than something that went wrong.
    #[must_use]
    pub fn is_wrong_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// The name whose certificate is shown.
const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
/// How long a runtime may take, a Java compiler included.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often its end is looked for.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a client of the probe's port may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// More than any probe says.
const MAX_OUTPUT: u64 = 64 * 1024;

/// Proxies would take the probe elsewhere.
const PROXIES: [&str; 7] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NODE_USE_ENV_PROXY",
];

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let (family, command) = recognise(&args.command)?;
    let Opened {
        settings,
        authority,
    } = args.source.open()?;
    let none = std::collections::HashMap::new();
    let store = CertificateStore::new(authority, None, none, &settings.limits)?;
    let verdicts = ask(family, &command, store)?;
    let (ca, bundle) = (settings.home.join(CA_PEM), settings.home.join(BUNDLE_PEM));
    to_stdout(|out| {
        for verdict in &verdicts {
            if args.json {
                write_json(out, verdict)?;
            } else {
                print(verdict, &ca, &bundle, out)?;
            }
        }
        Ok(())
    })?;
    let untrusting = verdicts.iter().filter(|verdict| !verdict.trusted).count();
    if untrusting > 0 {
        let all = verdicts.len();
        return Err(CheckError::Untrusted { untrusting, all }.into());
    }
    Ok(())
}

fn print(verdict: &Verdict, ca: &Path, bundle: &Path, out: &mut impl Write) -> io::Result<()> {
    let library = Line(&verdict.library);
    if verdict.trusted {
        return writeln!(out, "{library}: trusted");
    }
    let detail = verdict.detail.as_deref().unwrap_or("no reason given");
    writeln!(out, "{library}: not trusted ({})", Line(detail))?;
    writeln!(
        out,
        "  {}",
        Line(&probe::mend(&verdict.library, ca, bundle))
    )
}

/// The family, and the command up to its program: what follows is the user's own business, except what a JVM is to be.
fn recognise(command: &[String]) -> Result<(Family, Vec<String>), CheckError> {
    let found = command
        .iter()
        .enumerate()
        .find_map(|(at, word)| Family::of(word).map(|family| (at, family)));
    let (at, family) = found.ok_or_else(|| CheckError::Unknown {
        command: command.join(" "),
    })?;
    let (program, rest) = command.split_at_checked(at + 1).unwrap_or((command, &[]));
    let options = rest
        .iter()
        .take_while(|word| family == Family::Java && word.starts_with("-D"));
    Ok((family, program.iter().chain(options).cloned().collect()))
}

/// Runs the command against a port that shows the certificate of [`HOST`].
fn ask(
    family: Family,
    command: &[String],
    store: CertificateStore,
) -> Result<Vec<Verdict>, CheckError> {
    let configs = ServerConfigs::new(Arc::new(store), Arc::new(|_: &str| true))?;
    let config = gate::runtime()?.block_on(configs.tunnel(HOST, SystemTime::now()))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    // Ends with the process.
    std::thread::spawn(move || serve(&listener, &config));

    let directory = private_file::temporary_dir("tollgate-check-")?;
    let mut program = None;
    if let Some((name, text)) = family.program() {
        let path = directory.path().join(name);
        fs::write(&path, text)?;
        program = Some(path);
    }
    let arguments = family.arguments(program.as_deref(), HOST, port);
    let ended = end_of(command, &arguments, directory.path())?;
    let verdicts = family.verdicts(ended.status.success(), &ended.stdout, &ended.stderr);
    if verdicts.is_empty() {
        let said = ended.stderr.lines().rfind(|line| !line.trim().is_empty());
        let why = said.map_or_else(|| ended.status.to_string(), |line| line.trim().to_owned());
        let command = command.join(" ");
        return Err(CheckError::Silent { command, why });
    }
    Ok(verdicts)
}

struct Ended {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Files take what the command says, so that it can neither fill a pipe nor outlive our patience.
fn end_of(
    command: &[String],
    arguments: &[std::ffi::OsString],
    directory: &Path,
) -> Result<Ended, CheckError> {
    let silent = |why: String| CheckError::Silent {
        command: command.join(" "),
        why,
    };
    let Some((program, words)) = command.split_first() else {
        return Err(silent("there is none".to_owned()));
    };
    let (stdout, stderr) = (directory.join("stdout"), directory.join("stderr"));
    let mut started = Command::new(program);
    started.args(words).args(arguments);
    for variable in PROXIES {
        started.env_remove(variable);
    }
    let mut child = started
        .stdin(Stdio::null())
        .stdout(File::create(&stdout)?)
        .stderr(File::create(&stderr)?)
        .spawn()
        .map_err(|error| silent(error.to_string()))?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(silent(format!("no end within {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(PAUSE);
    };
    Ok(Ended {
        status,
        stdout: text(&stdout)?,
        stderr: text(&stderr)?,
    })
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_OUTPUT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Answers every connection, one after the other: probes have one at a time.
fn serve(listener: &TcpListener, config: &Arc<ServerConfig>) {
    for socket in listener.incoming().flatten() {
        if let Err(error) = answer(socket, config) {
            tracing::debug!(%error, "the probe's connection ended");
        }
    }
}

fn answer(mut socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    socket.set_read_timeout(Some(SILENCE))?;
    socket.set_write_timeout(Some(SILENCE))?;
    let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = Stream::new(&mut session, &mut socket);
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            read => head.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")?;
    session.send_close_notify();
    session.complete_io(&mut socket)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_cut_after_the_runtime() {
        let rows: [(&str, &str); 5] = [
            ("python3", "python3"),
            ("python3 -m app --x", "python3"),
            ("uv run python app.py", "uv run python"),
            ("java -Da=b -jar x.jar", "java -Da=b"),
            ("/usr/bin/node app.js", "/usr/bin/node"),
        ];
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (given, run) in rows {
            let (_, command) = recognise(&words(given)).unwrap();
            assert_eq!(command, words(run), "{given}");
        }
        let error = recognise(&words("ruby app.rb")).unwrap_err();
        assert!(error.is_wrong_usage());
        assert!(error.to_string().contains(KNOWN), "{error}");
    }
}
