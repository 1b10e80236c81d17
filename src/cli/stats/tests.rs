//! What is summed is what the records say, to the last picodollar.

use std::collections::BTreeMap;

use clap::Parser;
use tempfile::TempDir;
use time::macros::datetime;

use super::*;
use crate::cli::log::{self, LogArgs};
use crate::ledger::{Committed, Ledger, Outcome, UsageRecord, sample};
use crate::spend::{Cost, CostStatus, Usd};
use crate::usage::{TokenUsage, UsageSource};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Parser)]
struct LogCommand {
    #[command(flatten)]
    log: LogArgs,
}

const NOW: OffsetDateTime = datetime!(2026-11-30 0:00 UTC);

fn parse(args: &[&str]) -> Result<StatsArgs, clap::Error> {
    let args = std::iter::once("stats").chain(args.iter().copied());
    Command::try_parse_from(args).map(|command| command.stats)
}

async fn home_with(records: &[UsageRecord]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&home.path().join(FILE_NAME)).unwrap();
    for record in records {
        let stored = ledger.commit(record.clone(), None).await;
        assert_eq!(stored, Committed::Stored);
    }
    assert_eq!(ledger.close().await, 0);
    home
}

fn printed(args: &[&str], home: &Path) -> String {
    let mut out = Vec::new();
    print(&parse(args).unwrap(), home, NOW, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn objects(args: &[&str], home: &Path) -> Vec<Value> {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let lines = printed(&args, home);
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// Two hundred records of a few models, callers, days, statuses and costs.
fn many() -> Vec<UsageRecord> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        // xorshift64: the same numbers every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).unwrap()
    };
    let mut records = Vec::new();
    for _ in 0..200 {
        let day = 20 + below(4);
        let mut record = sample::at(&format!("2026-11-{day}T{:02}:59:59.999Z", below(24)));
        record.model = [None, Some("a"), Some("b"), Some("b\u{1b}")][below(4)].map(Into::into);
        record.identity.access_key_id =
            [None, Some("AKIA1"), Some("AKIA2")][below(3)].map(Into::into);
        record.status = [None, Some(200), Some(429)][below(3)];
        record.operation = [None, Some("Converse"), Some("CountTokens")][below(3)].map(Into::into);
        record.outcome = Outcome::ALL[below(5)];
        if below(2) == 0 {
            record.tags.insert("team".into(), format!("t{}", below(3)));
        }
        let mut count = || (below(3) > 0).then(|| below(1_000_000) as u64);
        record.usage = TokenUsage {
            input_tokens: count(),
            output_tokens: count(),
            cache_read_tokens: count(),
            cache_write_tokens: count(),
            total_tokens: count(),
            source: [None, Some(UsageSource::Body), Some(UsageSource::Estimated)][below(3)],
            ..TokenUsage::default()
        };
        record.cost = Cost {
            usd: (below(4) > 0).then(|| Usd::from_picos(below(1_000_000_000_000_000) as u64)),
            status: [CostStatus::Exact, CostStatus::Partial, CostStatus::Unpriced][below(3)],
            ..Cost::unpriced()
        };
        record.duration_ms = 100.0;
        records.push(record);
    }
    records
}

/// The same sums, from what `log --json` prints.
fn summed(lines: &str, key: impl Fn(&UsageRecord) -> Value) -> BTreeMap<String, Vec<Value>> {
    let mut groups: BTreeMap<String, Vec<UsageRecord>> = BTreeMap::new();
    for line in lines.lines() {
        let record: UsageRecord = serde_json::from_str(line).unwrap();
        groups
            .entry(key(&record).to_string())
            .or_default()
            .push(record);
    }
    let tokens = |records: &[UsageRecord], count: fn(&TokenUsage) -> Option<u64>| {
        let known: Vec<u64> = records
            .iter()
            .filter_map(|record| count(&record.usage))
            .collect();
        if known.is_empty() {
            Value::Null
        } else {
            known.iter().sum::<u64>().into()
        }
    };
    let count = |records: &[UsageRecord], which: fn(&UsageRecord) -> bool| {
        Value::from(records.iter().filter(|record| which(record)).count())
    };
    let sums = |records: Vec<UsageRecord>| {
        let costs: Vec<u128> = records
            .iter()
            .filter_map(|record| record.cost.usd.map(|usd| usd.picos().into()))
            .collect();
        vec![
            Value::from(records.len()),
            count(&records, |r| {
                r.status.is_some_and(|s| s >= 400) || r.outcome != Outcome::Complete
            }),
            tokens(&records, |u| u.input_tokens),
            tokens(&records, |u| u.output_tokens),
            tokens(&records, |u| u.cache_read_tokens),
            tokens(&records, |u| u.cache_write_tokens),
            if costs.is_empty() {
                Value::Null
            } else {
                Dollars(costs.iter().sum()).to_string().into()
            },
            count(&records, |r| {
                let answered = r.status.is_none_or(|status| (200..300).contains(&status));
                let known =
                    r.usage.total_tokens.is_some() || r.operation.as_deref() == Some("Converse");
                r.cost.status == CostStatus::Unpriced && answered && known
            }),
            count(&records, |r| {
                r.cost.status == CostStatus::Partial
                    || matches!(
                        r.usage.source,
                        Some(UsageSource::Estimated | UsageSource::Partial)
                    )
            }),
        ]
    };
    groups
        .into_iter()
        .map(|(key, records)| (key, sums(records)))
        .collect()
}

#[tokio::test]
async fn sums_are_those_of_the_records_that_log_prints() {
    let home = home_with(&many()).await;
    type Name = fn(&UsageRecord) -> Value;
    let dimensions: [(&str, Name); 7] = [
        ("model", |r| r.model.clone().into()),
        ("identity", |r| r.identity.access_key_id.clone().into()),
        ("status", |r| r.status.into()),
        ("outcome", |r| r.outcome.as_str().into()),
        ("day", |r| r.time.get(..10).into()),
        ("hour", |r| {
            format!("{}:00Z", r.time.get(..13).unwrap()).into()
        }),
        ("tag:team", |r| r.tags.get("team").cloned().into()),
    ];
    for filter in [
        &[][..],
        &["--since", "2026-11-21"],
        &["--model", "b*", "--status", "!200"],
        &["--identity", "AKIA1", "--until", "2026-11-23"],
        &["--tag", "team=t1"],
    ] {
        let args = std::iter::once("log").chain(filter.iter().copied());
        let args = LogCommand::try_parse_from(args.chain(["--json"]))
            .unwrap()
            .log;
        let mut lines = Vec::new();
        log::print(&args, home.path(), NOW, &mut lines, &mut || {
            std::ops::ControlFlow::Break(())
        })
        .unwrap();
        let lines = String::from_utf8(lines).unwrap();
        assert!(!lines.is_empty());
        for (name, key) in dimensions {
            let args: Vec<&str> = ["--by", name].iter().chain(filter).copied().collect();
            let found: BTreeMap<String, Vec<Value>> = objects(&args, home.path())
                .into_iter()
                .map(|mut group| {
                    let group = group.as_object_mut().unwrap();
                    let key = group.shift_remove(name).unwrap().to_string();
                    assert!(
                        group["p50_ms"]
                            .as_f64()
                            .is_some_and(|ms| (ms - 100.0).abs() < 1.0)
                    );
                    (key, group.values().take(9).cloned().collect())
                })
                .collect();
            assert_eq!(found, summed(&lines, key), "{args:?}");
        }
    }
}

#[tokio::test]
async fn money_and_tokens_beyond_64_bits_are_summed_exactly() {
    let mut record = sample::full();
    record.cost.usd = Some(Usd::from_picos(u64::MAX));
    record.usage.input_tokens = Some(i64::MAX as u64);
    let records: Vec<_> = (0..3)
        .map(|_| UsageRecord {
            id: uuid::Uuid::now_v7().to_string(),
            ..record.clone()
        })
        .collect();
    let home = home_with(&records).await;
    let sums = &objects(&[], home.path())[0];
    assert_eq!(sums["cost_usd"], "27670116.110564327421");
    assert_eq!(sums["input_tokens"], "27670116110564327421");
    assert_eq!(sums["output_tokens"], 15);
}

#[tokio::test]
async fn the_table_is_aligned_sorted_by_cost_and_has_a_total() {
    let mut cheap = sample::full();
    cheap.model_name = Some("=cheap\u{1b}".to_owned());
    cheap.cost.usd = Some(Usd::from_picos(1_000_000_000));
    let mut dear = sample::full();
    dear.cost.usd = Some(Usd::from_picos(2_500_000_000_000));
    let home = home_with(&[cheap, dear, sample::bare()]).await;
    let table = printed(&[], home.path());
    let expected = "\
MODEL         CALLS  FAILED  IN  OUT  CACHE R  CACHE W    USD  UNPRICED  ESTIMATED  P50 MS  P95 MS
nova              1       0  11    5     4096     1500   2.50         0          0     514     514
=cheap\\u{1b}      1       0  11    5     4096     1500  0.001         0          0     514     514
-                 1       1   -    -        -        -      -         0          0       0       0
total             3       1  22   10     8192     3000  2.501         0          0     514     514
";
    // 512.25 ms lie in the bucket around 514.
    assert_eq!(table, expected);
    let csv = printed(&["--csv", "--by", "model,day"], home.path());
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(
        lines[0].starts_with("model,day,calls,failed,input_tokens,"),
        "{csv}"
    );
    assert!(
        lines[1].starts_with("nova,2026-11-22,1,0,11,5,4096,1500,2.5,0,0,"),
        "{csv}"
    );
    assert!(
        lines[2].starts_with("'=cheap\\u{1b},2026-11-22,1,"),
        "{csv}"
    );
    assert!(
        lines[3].starts_with(",2026-11-22,1,1,,,,,,0,0,0,0"),
        "{csv}"
    );
}

#[tokio::test]
async fn time_runs_forward_and_unknown_is_null() {
    let mut records = vec![
        sample::at("2026-11-22T23:00:00-02:00"),
        sample::at("2026-11-22T00:00:00Z"),
        sample::at("2026-11-21T23:59:59.999Z"),
    ];
    records[0].cost.usd = Some(Usd::from_picos(1));
    let home = home_with(&records).await;
    let days: Vec<Value> = objects(&["--by", "day,model"], home.path());
    let days: Vec<_> = days
        .iter()
        .map(|group| (&group["day"], &group["model"]))
        .collect();
    let day = |text: &str| Value::from(text);
    assert_eq!(
        days,
        [
            (&day("2026-11-21"), &Value::Null),
            (&day("2026-11-22"), &Value::Null),
            (&day("2026-11-23"), &Value::Null)
        ]
    );
    let hours = objects(&["--by", "hour"], home.path());
    assert_eq!(hours[2]["hour"], "2026-11-23T01:00Z");
}

#[tokio::test]
async fn nothing_sums_to_nothing() {
    let home = home_with(&[]).await;
    assert_eq!(printed(&["--json"], home.path()), "");
    assert_eq!(printed(&["--csv"], home.path()).lines().count(), 1);
    let table = printed(&[], home.path());
    assert!(
        table
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("total      0       0   -"),
        "{table}"
    );
}

#[test]
fn nonsense_is_wrong_usage() {
    for args in [
        &["--by", "colour"][..],
        &["--by", "tag:"],
        &["--csv", "--json"],
    ] {
        assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
    }
    let error = parse(&["--by", "colour"]).unwrap_err().to_string();
    assert!(
        error.contains("model, identity") && error.contains("tag:KEY"),
        "{error}"
    );
}
