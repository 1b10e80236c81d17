//! Synthetic records for benchmarks: as wide and as varied as real ones, spread over a month.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;
use tollgate::ledger::{
    Committed, Entry, FILE_NAME, Identity, Ledger, Outcome, Payload, UsageRecord,
};
use tollgate::spend::{Cost, CostStatus, Usd};
use tollgate::usage::{TokenUsage, UsageSource};

type Failure = Box<dyn Error + Send + Sync>;

/// How many records are in flight while the ledger is made.
const COMMITTERS: u64 = 512;

/// The records are spread over so many days.
const DAYS: u64 = 30;

/// Fills the ledger of `home` with so many records, through the writer itself.
pub(crate) async fn fill(home: &Path, records: u64, now: OffsetDateTime) -> Result<(), Failure> {
    let ledger = Ledger::open(&home.join(FILE_NAME))?;
    run(&ledger, COMMITTERS, records, now).await?;
    if ledger.close().await > 0 {
        return Err("the ledger could not be written".into());
    }
    Ok(())
}

/// Commits so many records, so many at a time, and tells how long each commit took.
pub(crate) async fn run(
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
pub(crate) fn record(n: u64, records: u64, now: OffsetDateTime) -> Result<UsageRecord, Failure> {
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
