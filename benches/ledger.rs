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
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;
use tollgate::cli::{export, log, show, stats};
use tollgate::ledger::{
    Committed, Entry, FILE_NAME, Identity, Ledger, Outcome, Payload, UsageRecord,
};
use tollgate::spend::{Cost, CostStatus, Usd};
use tollgate::usage::{TokenUsage, UsageSource};

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

/// How many records are in flight while the ledger is made.
const COMMITTERS: u64 = 512;

/// The records are spread over so many days.
const DAYS: u64 = 30;

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

async fn fill(home: &Path, records: u64, now: OffsetDateTime) -> Result<(), Failure> {
    let ledger = Ledger::open(&home.join(FILE_NAME))?;
    run(&ledger, COMMITTERS, records, now).await?;
    if ledger.close().await > 0 {
        return Err("the ledger could not be written".into());
    }
    Ok(())
}

async fn run(
    ledger: &Ledger,
    committers: u64,
    records: u64,
    now: OffsetDateTime,
) -> Result<Vec<Duration>, Failure> {
    let mut tasks: JoinSet<Result<Vec<Duration>, Failure>> = JoinSet::new();
    for first in 0..committers {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut waits = Vec::new();
            let mut n = first;
            while n < records {
                let record = record(n, records, now)?;
                let payload = (n % 100 == 0).then(payload);
                let begun = Instant::now();
                if ledger.commit(record, payload).await != Committed::Stored {
                    return Err("a record was not stored".into());
                }
                waits.push(begun.elapsed());
                n += committers;
            }
            Ok(waits)
        });
    }
    let mut all = Vec::new();
    while let Some(waits) = tasks.join_next().await {
        all.extend(waits??);
    }
    Ok(all)
}

/// The `n`th of so many records: as wide as real ones are, and as varied.
fn record(n: u64, records: u64, now: OffsetDateTime) -> Result<UsageRecord, Failure> {
    // Some mixing, so that neighbours differ; Knuth's multiplier.
    let mixed = n.wrapping_mul(6_364_136_223_846_793_005) >> 33;
    let of = |kinds: u64| mixed % kinds;
    let span_ms = DAYS * 24 * 60 * 60 * 1000;
    let age_ms = (records - n).saturating_mul(span_ms) / records.max(1);
    let time = now - Duration::from_millis(age_ms);
    let failed = of(50) == 0;
    let priced = of(20) != 1;
    let count = |most: u64| (!failed).then(|| mixed % most);
    Ok(UsageRecord {
        id: uuid::Uuid::now_v7().to_string(),
        time: time.format(&Rfc3339)?,
        entry: Entry::Connect,
        client: format!("127.0.0.1:{}", 1024 + of(60_000)),
        identity: Identity {
            access_key_id: Some(format!("AKIABENCH{:011}", of(200))),
            account_id: Some(format!("{:012}", of(20))),
            session: Some(false),
            verified: !failed,
            name: (of(3) == 0).then(|| format!("team {}", of(40))),
            sdk: Some("Boto3/1.43.11".to_owned()),
            ..Identity::default()
        },
        route: None,
        host: Some("bedrock-runtime.us-east-1.amazonaws.com".to_owned()),
        region: Some("us-east-1".to_owned()),
        operation: Some("ConverseStream".to_owned()),
        model: Some(format!("anthropic.model-{}", of(30))),
        model_name: None,
        response_model: None,
        service_tier: Some("default".to_owned()),
        performance_latency: None,
        stream: true,
        status: Some(if failed { 503 } else { 200 }),
        error_type: failed.then(|| "ServiceUnavailableException".to_owned()),
        aws_request_id: Some(uuid::Uuid::now_v7().to_string()),
        usage: TokenUsage {
            input_tokens: count(100_000),
            output_tokens: count(4_000),
            cache_read_tokens: count(50_000),
            cache_write_tokens: count(10_000),
            source: (!failed).then_some(UsageSource::Stream),
            ..TokenUsage::default()
        },
        units: std::collections::BTreeMap::new(),
        cost: Cost {
            usd: priced.then(|| Usd::from_picos(mixed)),
            price_key: priced.then(|| "anthropic.model".to_owned()),
            price_as_of: priced.then(|| "2026-11-01".to_owned()),
            status: if priced {
                CostStatus::Exact
            } else {
                CostStatus::Unpriced
            },
        },
        finish_reason: Some("end_turn".to_owned()),
        outcome: Outcome::Complete,
        request_bytes: of(100_000),
        response_bytes: of(10_000),
        duration_ms: Duration::from_micros(of(20_000_000)).as_secs_f64() * 1000.0,
        first_byte_ms: Some(120.5),
        first_token_ms: Some(250.25),
        tags: if of(4) == 0 {
            [("team".to_owned(), format!("t{}", of(12)))].into()
        } else {
            std::collections::BTreeMap::new()
        },
        invocation_id: Some(uuid::Uuid::now_v7().to_string()),
        attempt: Some(1),
        notes: Vec::new(),
    })
}

fn payload() -> Payload {
    Payload {
        request_head: b"POST /model/m/converse HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"
            .to_vec(),
        request_body: vec![b'a'; 15_000],
        response_head: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec(),
        response_body: vec![b'b'; 5_000],
        ..Payload::default()
    }
}

/// In millions, to a tenth.
fn millions(count: u64) -> f64 {
    let tenths = u32::try_from(count / 100_000).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}
