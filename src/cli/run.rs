//! `tollgate run`: a command with everything it needs to be counted, and at its end what it came to.
//!
//! Uses the gate that serves the home, or, where there is none or it asks clients who they are, starts one of its own on a
//! free port of loopback for as long as the command runs. The terminal, the signals, the output and the exit status are the command's (`child`); all we say is on standard
//! error. Which variables it gets is in `cli::environment`, what is summed up in `summary`.

mod child;
mod java;
mod node_hook;
mod summary;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::summary::Summary;
use super::environment::{Gets, Values, plan};
use super::{Failure, dumps, env, roots, say_to, serve};
use crate::app::Gate;
use crate::config::{self, HomeOption, Options, Settings};
use crate::ledger::{Condition, FILE_NAME, Query, Reader};
use crate::net::ca_home::CA_PEM;
use crate::net::descriptors;
use crate::net::private_file::{self, FileError};
use crate::net::trust::BUNDLE_PEM;
use crate::proxy::settle::RUN_TAG;
use crate::running;
use crate::telemetry;

/// What `tollgate run` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Lead the AWS SDK for JavaScript v3 through the gate, too: its default handler heeds no proxy setting
    #[arg(long)]
    pub node_hook: bool,
    /// Lead Java through the gate, too: it heeds no variables for proxies, and has roots of its own
    #[arg(long)]
    pub java: bool,
    /// Print no summary
    #[arg(long)]
    pub quiet: bool,
    /// The command and its arguments [default: your shell]
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// What the command's calls pass through.
struct Way {
    home: PathBuf,
    address: SocketAddr,
    own: Option<OwnGate>,
    /// Whether calls leave by another proxy.
    goes_on: bool,
}

/// A gate that runs as long as the command.
struct OwnGate {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// How long the end may take before we say why.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the command to its end.
///
/// # Errors
/// A configuration that cannot be used, a gate that does not start, or files that cannot be written. That the command
/// itself cannot be started is an exit status.
pub fn run(args: &RunArgs, home: &HomeOption) -> Result<ExitCode, Failure> {
    let mut options = Options::from_environment()?;
    // Nobody else is to find this gate, and nothing may stand in its way.
    options.listen = Some("127.0.0.1:0".to_owned());
    options.admin = Some("off".to_owned());
    let settings = config::load(&options, home)?;
    let _flush = telemetry::install_beside_a_command()?;
    dumps::refuse_for_ourselves();
    serve::to_the_end(attend(args, home, settings))
}

async fn attend(
    args: &RunArgs,
    home: &HomeOption,
    settings: Settings,
) -> Result<ExitCode, Failure> {
    let began = OffsetDateTime::now_utc();
    let name = name_of_a_run();
    // Java does not tell a proxy who it is unless it is asked.
    let way = Way::find(settings, &name, args.java).await?;
    // Gone with everything in it when the command has ended.
    let files = private_file::temporary_dir("tollgate-run-")?;
    let mut command = command_line(&args.command);
    way.prepare(&mut command, args, &name, files.path())?;
    if args.command.is_empty() {
        note_to_user("a shell whose Bedrock calls are counted; `exit` ends it and sums up");
    }
    let status = match child::Child::start(&mut command) {
        Ok(child) => {
            // The command has the limits it would have without us.
            descriptors::raise();
            Ok(child.end().await?)
        }
        Err(error) => Err(error),
    };
    let query = query(&name, began);
    let more = way.log_line(&name, home);
    if way.is_gone() {
        let address = way.address;
        note_to_user(format!(
            "the gate at {address} ended before the command did: calls after that have failed"
        ));
    }
    let home = way.end().await;
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let name = command.get_program().to_string_lossy().into_owned();
            note_to_user(format!("cannot run `{name}`: {error}"));
            return Ok(ExitCode::from(child::status_of_start(&error)));
        }
    };
    // The status is the command's, whatever becomes of the summary.
    if !args.quiet
        && let Err(error) = sum_up(&home, &query, &more)
    {
        note_to_user(format!("the calls cannot be summed up: {error}"));
    }
    Ok(ExitCode::from(status))
}

fn sum_up(home: &Path, query: &Query, more: &str) -> Result<(), Failure> {
    let reader = Reader::open(&home.join(FILE_NAME))?;
    Summary::collect(&reader, query)?.print_to_stderr(more)?;
    Ok(())
}

impl Way {
    async fn find(mut settings: Settings, name: &str, alone: bool) -> Result<Self, Failure> {
        let home = settings.home.clone();
        let goes_on = settings.upstream_proxy.is_some();
        // One that asks who its clients are is no place for a command that cannot say so.
        let asks = settings.policy.users.is_some() || settings.client_ca.is_some();
        let running = running::find(&home)?.filter(|running| !(alone || asks || running.asks));
        if let Some(running) = running {
            return Ok(Self {
                home,
                address: running.listen,
                own: None,
                goes_on,
            });
        }
        settings.run = Some(name.to_owned());
        let gate = Gate::start(settings).await?;
        let address = gate.address()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(gate.run(
            async move {
                // Dropped or used: both mean that the command has ended.
                stopped.await.ok();
            },
            child::interrupted(),
        ));
        Ok(Self {
            home,
            address,
            own: Some(OwnGate { stop, serving }),
            goes_on,
        })
    }

    /// Gives the command what it needs. What the user trusts besides the platform is joined to our files.
    fn prepare(
        &self,
        command: &mut Command,
        args: &RunArgs,
        name: &str,
        files: &Path,
    ) -> Result<(), FileError> {
        let user = |name: &str| std::env::var_os(name);
        let bundle = self.with_own_roots(BUNDLE_PEM, Gets::Bundle, files)?;
        let root = self.with_own_roots(CA_PEM, Gets::Root, files)?;
        // Where others pass as well, our calls are known by a name.
        let name = self.own.is_none().then_some(name);
        let values = Values {
            proxy: &env::proxy_url(self.address, name),
            bundle: &bundle,
            root: &root,
            goes_on: self.goes_on,
        };
        let plan = plan(values, user);
        for setting in &plan.settings {
            match &setting.value {
                Some(value) => command.env(setting.name, value),
                None => command.env_remove(setting.name),
            };
        }
        if args.node_hook {
            let options = node_hook::install(files, user("NODE_OPTIONS"))?;
            command.env("NODE_OPTIONS", options);
        }
        if args.java {
            let exceptions = plan.value("NO_PROXY").unwrap_or_default().to_string_lossy();
            let given = user(java::OPTIONS);
            let options = java::install(files, &bundle, self.address, &exceptions, given)?;
            command.env(java::OPTIONS, options);
        }
        for note in &plan.notes {
            note_to_user(note);
        }
        Ok(())
    }

    /// Whether somebody else's gate has ended, or given its place to another.
    fn is_gone(&self) -> bool {
        let serves = |gate: running::Running| gate.listen == self.address;
        self.own.is_none()
            && running::find(&self.home).is_ok_and(|found| !found.is_some_and(serves))
    }

    /// The command that lists what the summary sums up.
    fn log_line(&self, name: &str, home: &HomeOption) -> String {
        let mut line = "tollgate log".to_owned();
        if home.home.is_some() || home.config.is_some() {
            line.push_str(" --home ");
            line.push_str(&super::quoting::sh(&self.home.to_string_lossy()));
        }
        line.push_str(&format!(" --tag {RUN_TAG}={name}"));
        line
    }

    fn with_own_roots(&self, name: &str, gets: Gets, files: &Path) -> Result<PathBuf, FileError> {
        let ours = self.home.join(name);
        let missing = roots::missing(&ours, gets, |name| std::env::var_os(name));
        for (variable, path, why) in &missing.unreadable {
            let path = path.display();
            note_to_user(format!(
                "{variable} names {path}, which cannot be read: {why}"
            ));
        }
        if missing.pem.is_empty() {
            return Ok(ours);
        }
        let mut joined = private_file::read(&ours)?;
        joined.extend_from_slice(missing.pem.as_bytes());
        let path = files.join(name);
        private_file::write_if_different(&path, &joined)?;
        Ok(path)
    }

    /// Ends a gate of our own: everything it saw is in the ledger then. Gives the home.
    async fn end(self) -> PathBuf {
        if let Some(OwnGate { stop, mut serving }) = self.own {
            drop(stop);
            let ended = match tokio::time::timeout(PATIENCE, &mut serving).await {
                Ok(ended) => ended,
                Err(_) => {
                    note_to_user("calls are still running; an interrupt cuts them");
                    serving.await
                }
            };
            if let Err(error) = ended {
                let why = telemetry::panics::ended(&error);
                tracing::error!(why, "the gate did not end well");
            }
        }
        self.home
    }
}

/// What finds the run's records.
fn query(name: &str, began: OffsetDateTime) -> Query {
    Query {
        since_ms: Some(milliseconds(began)),
        conditions: vec![Condition::Tag {
            name: RUN_TAG.to_owned(),
            value: Some(name.to_owned()),
        }],
        ..Query::default()
    }
}

/// The command, or the user's shell.
fn command_line(words: &[OsString]) -> Command {
    match words {
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        [] => {
            let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
            Command::new(shell.unwrap_or_else(|| "/bin/sh".into()))
        }
    }
}

/// What tells a run's records from others: six digits that no other run of the day has.
fn name_of_a_run() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let random: String = id.chars().skip(id.len() - 6).collect();
    format!("run-{random}")
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// One line for the person who started us. The command writes there as well, so it says who speaks.
fn note_to_user(what: impl std::fmt::Display) {
    say_to(&mut io::stderr().lock(), &format!("tollgate: {what}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_line_finds_what_was_summed_up() {
        let way = Way {
            home: "/my home".into(),
            address: "127.0.0.1:5380".parse().unwrap(),
            own: None,
            goes_on: false,
        };
        let given = HomeOption {
            home: Some(way.home.clone()),
            config: None,
        };
        for (home, line) in [
            (
                &HomeOption::default(),
                "tollgate log --tag tollgate-run=run-0a1b2c",
            ),
            (
                &given,
                "tollgate log --home '/my home' --tag tollgate-run=run-0a1b2c",
            ),
        ] {
            assert_eq!(way.log_line("run-0a1b2c", home), line);
        }
        let began = time::macros::datetime!(2026-11-22 08:01:02.345678 UTC);
        let query = query("run-0a1b2c", began);
        assert_eq!(query.since_ms, Some(1_795_334_462_345));
    }

    #[test]
    fn runs_have_names_of_their_own() {
        let names = [(); 64].map(|()| name_of_a_run());
        assert!(
            names
                .iter()
                .all(|name| name.len() == 10 && name.starts_with("run-"))
        );
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert!(different.len() > 60);
    }
}
