//! `tollgate budgets`: what is spent, reserved and left under each rule, and when that resets.
//!
//! The gate that runs on this home is asked by its admin port: it alone knows what running calls have reserved. Where none
//! runs, the ledger is replayed under the rules of the configuration. What is spent is the ledger's sum either way.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use super::Failure;
use super::table::{Align, Table, text, unknown};
use super::terminal::{ReportError, to_stdout, write_json};
use crate::app::budgets::{Told, replay};
use crate::config::{self, HomeOption, Options, Settings};
use crate::ledger::{FILE_NAME, QueryError};
use crate::running;
use crate::spend::budget::{Budgets, Report};

/// What `tollgate budgets` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct BudgetsArgs {
    /// One JSON object for each rule and key, one a line
    #[arg(long)]
    pub json: bool,
}

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// The gate that runs.
    Gate,
    /// The ledger alone.
    Ledger,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    source: Source,
    #[serde(flatten)]
    report: &'a Report,
}

/// How long the gate may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any gate has to say.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// Prints the budgets of the gate or the configuration.
///
/// # Errors
/// A configuration that cannot be used, a ledger that cannot be read, or an output that cannot be written.
pub fn run(args: &BudgetsArgs, home: &HomeOption) -> Result<(), Failure> {
    let settings = config::load(&Options::from_environment()?, home)?;
    let (reports, source, note) = match of_gate(&settings) {
        Ok(told) => (told.budgets, Source::Gate, None),
        Err(why) => {
            let note = format!(
                "{why}: this is the ledger under the rules of the configuration, and what running calls have reserved is \
                 not in it"
            );
            (of_ledger(&settings)?, Source::Ledger, Some(note))
        }
    };
    to_stdout(|out| print(args, &reports, source, note.as_deref(), out)).map_err(Into::into)
}

fn print(
    args: &BudgetsArgs,
    reports: &[Report],
    source: Source,
    note: Option<&str>,
    out: &mut impl Write,
) -> Result<(), ReportError> {
    if args.json {
        for report in reports {
            write_json(out, &Line { source, report })?;
        }
        return Ok(());
    }
    if reports.is_empty() {
        writeln!(
            out,
            "there are no budgets; a [[budget]] table of tollgate.toml makes one"
        )?;
    } else {
        print_table(reports, out)?;
    }
    if let Some(note) = note {
        writeln!(out, "\n{note}")?;
    }
    Ok(())
}

fn print_table(reports: &[Report], out: &mut impl Write) -> Result<(), ReportError> {
    let columns = [
        ("BUDGET", Align::Left),
        ("FOR", Align::Left),
        ("COUNTS", Align::Left),
        ("SPENT", Align::Right),
        ("RESERVED", Align::Right),
        ("LIMIT", Align::Right),
        ("%", Align::Right),
        ("FORECAST", Align::Right),
        ("WINDOW", Align::Left),
        ("RESETS", Align::Left),
        ("MODE", Align::Left),
    ];
    let rows: Vec<[String; 11]> = reports.iter().map(row).collect();
    Ok(Table::new(columns).print_block(&rows, out)?)
}

fn row(report: &Report) -> [String; 11] {
    let or_unknown = |value: &Option<String>| value.as_deref().map_or_else(unknown, str::to_owned);
    let whose = match &report.key {
        None => "nobody yet".to_owned(),
        Some(key) if key.is_empty() => "all".to_owned(),
        Some(key) => {
            let values = key.values().map(|value| text(value.as_deref()));
            values.collect::<Vec<_>>().join(", ")
        }
    };
    [
        text(Some(&report.rule)),
        whose,
        report.counts.clone(),
        report.spent.clone(),
        report.reserved.clone(),
        report.limit.clone(),
        report.percent.to_string(),
        or_unknown(&report.forecast),
        or_unknown(&report.window),
        or_unknown(&report.resets_at),
        report.mode.clone(),
    ]
}

/// What the ledger says.
fn of_ledger(settings: &Settings) -> Result<Vec<Report>, QueryError> {
    let now = OffsetDateTime::now_utc();
    let budgets = Budgets::new(settings.policy.budgets.clone());
    match replay(&budgets, &settings.home.join(FILE_NAME), now) {
        // Nothing was ever spent.
        Ok(_) | Err(QueryError::Missing { .. }) => Ok(budgets.report(now)),
        Err(error) => Err(error),
    }
}

/// What the gate says that runs on this home, or why it says nothing.
fn of_gate(settings: &Settings) -> Result<Told, String> {
    let running = running::find(&settings.home)
        .map_err(|error| format!("whether a gate runs cannot be told ({error})"))?;
    let running = running.ok_or("no gate runs on this home")?;
    let admin = running
        .admin
        .ok_or("the gate that runs on this home has no admin port")?;
    ask(admin).map_err(|error| format!("the gate's admin port {admin} does not answer ({error})"))
}

/// One request of HTTP/1.0, whose answer ends with the connection.
fn ask(admin: SocketAddr) -> io::Result<Told> {
    let mut stream = TcpStream::connect_timeout(&reachable(admin), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /budgets HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let unexpected = || io::Error::other("it is no tollgate, or another version of it");
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or_else(unexpected)?;
    let (head, body) = answer.split_at(end);
    let status = head.split(|byte| *byte == b' ').nth(1);
    if status != Some(b"200") {
        return Err(unexpected());
    }
    serde_json::from_slice(body).map_err(|_| unexpected())
}

/// An address to ask for where the gate listens on all of them.
fn reachable(admin: SocketAddr) -> SocketAddr {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, admin.port())
}
