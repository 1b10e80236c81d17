//! How long the ledger's commands take on many records.
//!
//! `cargo bench --bench ledger` makes a ledger of a million synthetic records through the writer itself and times what
//! people and scripts ask for; `cargo bench --bench ledger -- 100000` makes a smaller one. Each query runs on a reader
//! of its own, twice, and the second time is told: the file is in the page cache by then. Numbers: docs/ledger.md.

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use time::OffsetDateTime;
use tollgate::app::budgets::replay;
use tollgate::cli::{export, log, show, stats};
use tollgate::config::{Options, Settings};
use tollgate::ledger::{FILE_NAME, Ledger, UsageRecord};
use tollgate::spend::budget::Budgets;

mod records;

use records::{fill, run};

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
struct Log {
    #[command(flatten)]
    args: log::LogArgs,
}

#[derive(Parser)]
struct Stats {
    #[command(flatten)]
    args: stats::StatsArgs,
}

#[derive(Parser)]
struct Export {
    #[command(flatten)]
    args: export::ExportArgs,
}

/// How many commits are timed.
const TIMED: u64 = 20_000;

fn main() -> Result<(), Failure> {
    // Cargo adds `--bench`.
    let given = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let records: u64 = given.unwrap_or(1_000_000);
    let home = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let now = OffsetDateTime::now_utc();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{records} records, every 100th with a payload of 20 kB"
    )?;
    runtime.block_on(commits(&mut out, home.path(), now))?;
    let begun = Instant::now();
    runtime.block_on(fill(home.path(), records, now))?;
    tell(&mut out, "made", begun.elapsed())?;
    let size = std::fs::metadata(home.path().join(FILE_NAME))?.len();
    writeln!(out, "{:<44} {:>9.1} MB", "size", millions(size))?;
    logs(&mut out, home.path(), now)?;
    sums(&mut out, home.path(), now)?;
    budgets(&mut out, home.path(), now)?;
    exports(&mut out, home.path(), now)
}

fn logs(out: &mut impl Write, home: &Path, now: OffsetDateTime) -> Result<(), Failure> {
    for args in [
        &["log"][..],
        &["log", "--model", "anthropic.model-3"],
        &["log", "--identity", "AKIABENCH00000000007"],
        &[
            "log",
            "--identity",
            "team 3",
            "--model",
            "anthropic.model-3",
        ],
        &["log", "--model", "*model-3"],
        &["log", "--since", "1h", "-n", "all"],
        &["log", "--status", "5xx"],
        &["log", "--tag", "team=nobody"],
    ] {
        let parsed = Log::try_parse_from(args)?.args;
        timed(out, &args.join(" "), || {
            let mut wait = || ControlFlow::Break(());
            log::print(&parsed, home, now, &mut io::sink(), &mut wait)
        })?;
    }
    let mut newest = Vec::new();
    let args = Log::try_parse_from(["log", "--json", "-n1"])?.args;
    log::print(
        &args,
        home,
        now,
        &mut newest,
        &mut || ControlFlow::Break(()),
    )?;
    let newest: UsageRecord = serde_json::from_slice(&newest)?;
    let end: String = newest.id.chars().skip(newest.id.len() - 8).collect();
    for (name, id) in [("show, whole id", newest.id), ("show, end of the id", end)] {
        let args = show::ShowArgs { id, json: false };
        timed(out, name, || show::print(&args, home, &mut io::sink()))?;
    }
    Ok(())
}

fn sums(out: &mut impl Write, home: &Path, now: OffsetDateTime) -> Result<(), Failure> {
    for args in [
        &["stats", "--by", "model"][..],
        &["stats", "--by", "identity"],
        &["stats", "--by", "day"],
        &["stats", "--by", "tag:team"],
        &["stats", "--by", "model", "--since", "24h"],
        &["stats", "--by", "identity", "--since", "24h"],
        &["stats", "--by", "hour", "--since", "24h"],
        &["stats", "--by", "day", "--model", "anthropic.model-3"],
    ] {
        let parsed = Stats::try_parse_from(args)?.args;
        timed(out, &args.join(" "), || {
            stats::print(&parsed, home, now, &mut io::sink())
        })?;
    }
    Ok(())
}

/// What a start takes longer for budgets.
fn budgets(out: &mut impl Write, home: &Path, now: OffsetDateTime) -> Result<(), Failure> {
    for (name, rules) in [
        ("budgets, one of a day", &[("day", "access_key")][..]),
        ("budgets, one of 30 days", &[("30d", "access_key")]),
        (
            "budgets, three of 30 days, one by tag",
            &[("30d", "access_key"), ("30d", "tag:team"), ("30d", "model")],
        ),
    ] {
        let tables: String = rules
            .iter()
            .map(|(window, per)| {
                format!(
                    "[[budget]]\nname = \"{per}\"\nusd = \"1000\"\nwindow = \"{window}\"\nper = [\"{per}\"]\n"
                )
            })
            .collect();
        let options: Options = toml::from_str(&tables)?;
        let rules = Settings::from_options(options, home.to_owned(), None)?
            .policy
            .budgets;
        timed(out, name, || {
            let budgets = Budgets::new(rules.clone());
            replay(&budgets, &home.join(FILE_NAME), now).map(|_| ())
        })?;
    }
    Ok(())
}

fn exports(out: &mut impl Write, home: &Path, now: OffsetDateTime) -> Result<(), Failure> {
    for args in [
        &["export", "--format", "jsonl"][..],
        &["export", "--format", "csv"],
        &[
            "export",
            "--format",
            "jsonl",
            "--since",
            "24h",
            "--payloads",
        ],
        &["export", "--format", "har", "--since", "24h"],
    ] {
        let parsed = Export::try_parse_from(args)?.args;
        timed(out, &args.join(" "), || {
            export::print(&parsed, home, now, &mut io::sink(), &mut || ())
        })?;
    }
    Ok(())
}

fn timed<E: Error + Send + Sync + 'static>(
    out: &mut impl Write,
    name: &str,
    run: impl Fn() -> Result<(), E>,
) -> Result<(), Failure> {
    run()?;
    let begun = Instant::now();
    run()?;
    Ok(tell(out, name, begun.elapsed())?)
}

fn tell(out: &mut impl Write, name: &str, took: Duration) -> io::Result<()> {
    writeln!(out, "{name:<44} {:>9.1} ms", took.as_secs_f64() * 1000.0)?;
    out.flush()
}

/// Records a second, and how long one commit takes, with so many who commit at the same time.
async fn commits(out: &mut impl Write, home: &Path, now: OffsetDateTime) -> Result<(), Failure> {
    for committers in [1, 16, 256] {
        let path = home.join(format!("commits-{committers}.db"));
        let ledger = Ledger::open(&path)?;
        let begun = Instant::now();
        let mut longest = run(&ledger, committers, TIMED, now).await?;
        let took = begun.elapsed();
        longest.sort_unstable();
        let rank = |percent: usize| longest.get(longest.len() * percent / 100);
        let [median, late] = [50, 99].map(|percent| rank(percent).copied().unwrap_or_default());
        let rate = 1_000_000_000 * u128::from(TIMED) / took.as_nanos().max(1);
        writeln!(
            out,
            "{:<44} {rate:>9} records/s, p50 {:.2} ms, p99 {:.2} ms, {} transactions",
            format!("commit, {committers} at a time"),
            median.as_secs_f64() * 1000.0,
            late.as_secs_f64() * 1000.0,
            ledger.transactions(),
        )?;
        ledger.close().await;
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// In millions, to a tenth.
fn millions(count: u64) -> f64 {
    let tenths = u32::try_from(count / 100_000).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}
