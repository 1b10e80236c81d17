//! The table, the JSON lines, and following.

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::ledger::{Committed, Ledger, sample};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    log: LogArgs,
}

fn parse(args: &[&str]) -> Result<LogArgs, clap::Error> {
    let args = std::iter::once("log").chain(args.iter().copied());
    Command::try_parse_from(args).map(|command| command.log)
}

async fn home_with(records: &[UsageRecord]) -> (TempDir, Ledger) {
    let home = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&home.path().join(FILE_NAME)).unwrap();
    for record in records {
        let stored = ledger.commit(record.clone(), None).await;
        assert_eq!(stored, Committed::Stored);
    }
    (home, ledger)
}

fn printed(args: &[&str], home: &Path) -> String {
    let mut out = Vec::new();
    let args = parse(args).unwrap();
    print(
        &args,
        home,
        OffsetDateTime::now_utc(),
        &mut out,
        &mut || ControlFlow::Break(()),
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn json_is_the_record() {
    let records = [sample::bare(), sample::full()];
    let (home, _ledger) = home_with(&records).await;
    let lines = printed(&["--json"], home.path());
    for (line, record) in lines.lines().zip(&records) {
        assert_eq!(line, serde_json::to_string(record).unwrap());
    }
    assert_eq!(lines.lines().count(), 2);
}

#[tokio::test]
async fn table_is_aligned_and_harmless() {
    let mut nasty = sample::full();
    nasty.model = Some("m\u{1b}]0;x\u{7}\n".to_owned());
    nasty.model_name = None;
    nasty.error_type = None;
    nasty.id = "01930000-0000-7000-8000-00000badc0de".to_owned();
    let (home, _ledger) = home_with(&[sample::bare(), nasty]).await;
    let table = printed(&[], home.path());
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    for name in ["OPERATION", "IDENTITY"] {
        let at = lines[0].find(name).unwrap();
        for line in &lines[1..] {
            assert_eq!(line.get(at - 2..at), Some("  "), "{table}");
        }
    }
    assert!(
        lines[1].starts_with("2026-11-22T03:04:05Z  tunnel   - failed  -"),
        "{table}"
    );
    assert!(lines[2].contains("m\\u{1b}]0;x\\u{7}\\n"), "{table}");
    assert!(
        lines[2].ends_with("4096     1500  0.0001235  512  search team  0badc0de"),
        "{table}"
    );
}

#[tokio::test]
async fn people_get_a_screenful_and_scripts_everything() {
    let records: Vec<_> = (0..60).map(|_| sample::bare()).collect();
    let (home, _ledger) = home_with(&records).await;
    let count = |args: &[&str]| printed(args, home.path()).lines().count();
    assert_eq!(count(&[]), 51);
    assert_eq!(count(&["-n", "all"]), 61);
    assert_eq!(count(&["--limit=3"]), 4);
    assert_eq!(count(&["-n0"]), 0);
    assert_eq!(count(&["--json"]), 60);
    assert_eq!(count(&["--json", "-n", "7"]), 7);
    assert_eq!(count(&["--json", "--since", "1s"]), 0);
    assert_eq!(count(&["--json", "--model", "x"]), 0);
}

#[tokio::test]
async fn names_and_doubtful_costs_are_shown_as_such() {
    let mut record = sample::full();
    record.cost.status = CostStatus::Partial;
    let (home, _ledger) = home_with(&[record]).await;
    let table = printed(&[], home.path());
    assert!(table.contains("  nova  "), "{table}");
    assert!(table.contains("  ~0.0001235  "), "{table}");
}

/// Arguments, and how many of the three records of the next test they leave.
const FILTERED: [(&[&str], usize); 32] = [
    (&["--until", "2026-11-22"], 1),
    (&["--since", "2026-11-22", "--until", "2026-11-23"], 1),
    (&["--model", "nova"], 1),
    (&["--model", "us.amazon.nova-lite-v1:0"], 1),
    (&["--model", "*nova*"], 1),
    (&["--identity", "search team"], 1),
    (&["--identity", "*role/search/*"], 1),
    (&["--identity", "search team", "--model", "nova"], 1),
    (&["--identity", "search team", "--model", "nope"], 0),
    (&["--account", "123456789012"], 1),
    (&["--account", "1234*"], 1),
    (&["--region", "us-east-1"], 1),
    (&["--region", "us-*"], 1),
    (&["--operation", "conversestream"], 1),
    (&["--host", "*.amazonaws.com"], 1),
    (&["--route", "/service/standard/"], 1),
    (&["--status", "200"], 1),
    (&["--status", "4xx"], 1),
    (&["--status", "!2xx"], 2),
    (&["--status", "200,4xx"], 2),
    (&["--status", "!2xx,!4xx"], 1),
    (&["--outcome", "failed"], 1),
    (&["--error", "*"], 1),
    (&["--error", "ThrottlingException"], 1),
    (&["--error", "Validation*"], 0),
    (&["--tag", "team"], 1),
    (&["--tag", "team=search"], 1),
    (&["--tag", "team=other"], 0),
    (&["--tag", "odd\"key=a=b", "--tag", "team"], 1),
    (&["--min-cost", "0.0001"], 1),
    (&["--min-cost", "0.0002"], 0),
    (&["--unpriced"], 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_finds_what_it_says_also_when_following() {
    let mut first = sample::full();
    let tag = ("odd\"key".to_owned(), "a=b".to_owned());
    first.tags.extend([tag]);
    first.time = "2026-11-23T00:00:00Z".to_owned();
    let mut second = sample::at("2026-11-21T23:59:59.999Z");
    second.status = Some(429);
    second.outcome = Outcome::Complete;
    second.operation = Some("InvokeModel".to_owned());
    let mut third = sample::at("2026-11-22T00:00:00Z");
    third.usage.total_tokens = Some(1);
    let (home, ledger) = home_with(&[]).await;
    let records = [first, second, third];
    for (filter, expected) in FILTERED {
        let mut pending = records.to_vec();
        for record in &mut pending {
            record.id = uuid::Uuid::now_v7().to_string();
        }
        let args: Vec<&str> = ["--json", "-f"].iter().chain(filter).copied().collect();
        let args = parse(&args).unwrap();
        let before = printed(&[&["--json"], filter].concat(), home.path())
            .lines()
            .count();
        let mut out = Vec::new();
        let mut looks = 0;
        tokio::task::block_in_place(|| {
            print(
                &args,
                home.path(),
                OffsetDateTime::now_utc(),
                &mut out,
                &mut || {
                    looks += 1;
                    for record in pending.drain(..) {
                        tokio::runtime::Handle::current().block_on(ledger.commit(record, None));
                    }
                    if looks > 1 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            )
        })
        .unwrap();
        let lines = String::from_utf8(out).unwrap().lines().count();
        assert_eq!(lines - before, expected, "{filter:?}");
        let after = printed(&[&["--json"], filter].concat(), home.path());
        assert_eq!(after.lines().count(), before + expected, "{filter:?}");
        let newest = printed(&[&["--json", "-n1"], filter].concat(), home.path());
        assert_eq!(
            newest.lines().count(),
            usize::from(expected > 0),
            "{filter:?}"
        );
    }
}

#[test]
fn nonsense_is_wrong_usage() {
    for args in [
        ["-n", "x"],
        ["-n", "-1"],
        ["--since", "soon"],
        ["--until", "soon"],
        ["--status", "2"],
        ["--outcome", "well"],
        ["--tag", "=x"],
        ["--min-cost", "-1"],
    ] {
        let error = parse(&args).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follow_prints_what_is_committed_later_once_and_in_order() {
    let first = sample::full();
    let (home, ledger) = home_with(std::slice::from_ref(&first)).await;
    let mut later: Vec<_> = (0..5).map(|_| sample::full()).collect();
    later[2].identity.proxy_user = Some("bob".to_owned());
    let mut expected = vec![first.id];
    expected.extend(later.iter().map(|record| record.id.clone()));
    expected.remove(3);
    let args = parse(&["-f", "--json", "--identity", "alice"]).unwrap();
    let runtime = tokio::runtime::Handle::current();
    let out = tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        let mut later = later.into_iter();
        let mut idle = 0;
        let mut wait = || {
            // One at a time, then a look in vain, then the end.
            if let Some(record) = later.next() {
                runtime.block_on(ledger.commit(record, None));
                return ControlFlow::Continue(());
            }
            idle += 1;
            if idle > 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        print(
            &args,
            home.path(),
            OffsetDateTime::now_utc(),
            &mut out,
            &mut wait,
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    });
    let ids: Vec<String> = out
        .await
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<UsageRecord>(line).unwrap().id)
        .collect();
    assert_eq!(ids, expected);
}

#[test]
fn missing_ledger_says_what_makes_one() {
    let home = tempfile::tempdir().unwrap();
    let error = run(&LogArgs::default(), home.path()).unwrap_err();
    assert!(error.to_string().contains("tollgate serve"), "{error}");
}
