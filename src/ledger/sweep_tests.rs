//! Retention: what goes, what stays, and that nobody who commits meanwhile notices.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;
use tempfile::TempDir;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::options::{LedgerOptions, Retention};
use super::query::{Query, Reader};
use super::record::{Payload, UsageRecord};
use super::row::unix_ms;
use super::sample;
use super::sweep::{Removed, used_bytes};
use super::writer::{Committed, Ledger};

const MIB: u64 = 1024 * 1024;

fn now_ms() -> i64 {
    unix_ms(datetime!(2026-11-22 12:00 UTC))
}

fn open(path: &Path, retain: &str) -> Ledger {
    let retention: Retention = retain.parse().unwrap();
    let options = LedgerOptions {
        retention,
        ..LedgerOptions::default()
    };
    Ledger::open_with(path, &options).unwrap()
}

fn home() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (directory, path)
}

fn of_size(bytes: u64) -> Option<Payload> {
    Some(Payload {
        response_body: vec![7; usize::try_from(bytes).unwrap()],
        ..Payload::default()
    })
}

async fn commit(ledger: &Ledger, time: &str, payload: Option<Payload>) -> String {
    let record = sample::at(time);
    let id = record.id.clone();
    assert_eq!(ledger.commit(record, payload).await, Committed::Stored);
    id
}

fn all(path: &Path) -> Vec<UsageRecord> {
    let reader = Reader::open(path).unwrap();
    let records = reader.records(&Query::default()).unwrap();
    records.map(Result::unwrap).collect()
}

fn payloads(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT id FROM payload ORDER BY rowid")
        .unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.map(Result::unwrap).collect()
}

/// So far in the future that the thread's own clock removes nothing: the tests say what time it is.
const LONG: &str = "9000w";

#[tokio::test]
async fn what_is_older_goes_with_its_payload_and_the_rest_stays() {
    let (_directory, path) = home();
    // The clock of the tests is far ahead of the one the thread has.
    let ledger = open(&path, LONG);
    let now = now_ms() + i64::try_from(Duration::weeks(9000).whole_milliseconds()).unwrap();
    for n in 0..200 {
        commit(
            &ledger,
            "2026-11-22T11:59:59.999Z",
            (n % 2 == 0).then(sample::payload),
        )
        .await;
    }
    let exactly = commit(&ledger, "2026-11-22T12:00:00Z", of_size(10)).await;
    let newer = commit(&ledger, "2026-11-23T00:00:00Z", of_size(10)).await;
    let removed = ledger.sweep(now).await;
    assert_eq!((removed.exchanges, removed.payloads), (200, 100));
    let left: Vec<String> = all(&path).into_iter().map(|record| record.id).collect();
    assert_eq!(left, [exactly.clone(), newer.clone()]);
    assert_eq!(payloads(&path), [exactly, newer]);
    assert!(ledger.sweep(now).await.is_nothing());
}

/// Numbers of the spans that are told of, and of those that values are told of.
fn spans(path: &Path) -> [Vec<i64>; 2] {
    let connection = Connection::open(path).unwrap();
    ["span", "span_value"].map(|table| {
        let sql = format!("SELECT DISTINCT n FROM {table} ORDER BY n");
        let mut statement = connection.prepare(&sql).unwrap();
        let numbers = statement.query_map([], |row| row.get(0)).unwrap();
        numbers.map(Result::unwrap).collect()
    })
}

#[tokio::test]
async fn what_is_told_of_rows_goes_with_the_last_of_them() {
    let (_directory, path) = home();
    let ledger = open(&path, LONG);
    let at_noon = i64::try_from(Duration::weeks(9000).whole_milliseconds()).unwrap() + now_ms();
    let times = [
        (1_500, "2026-11-22T11:00:00Z"),
        (1_700, "2026-11-22T13:00:00Z"),
    ];
    for (rows, time) in times {
        for _ in 0..rows {
            let mut record = sample::at(time);
            record.identity.access_key_id = Some("AKIAEXAMPLE000000001".to_owned());
            assert_eq!(ledger.commit(record, None).await, Committed::Stored);
        }
    }
    assert_eq!(ledger.flush().await, 0);
    // Rows 1 to 1023, 1024 to 2047, 2048 to 3071; behind them none is full.
    assert_eq!(spans(&path), [vec![0, 1, 2], vec![0, 1, 2]]);
    // The second has rows of both hours.
    assert_eq!(ledger.sweep(at_noon).await.exchanges, 1_500);
    assert_eq!(spans(&path), [vec![1, 2], vec![1, 2]]);
    assert_eq!(ledger.sweep(i64::MAX).await.exchanges, 1_699);
    assert_eq!(spans(&path), [const { Vec::<i64>::new() }; 2]);
    // The next rows are told of anew, and found.
    let newest = commit(&ledger, "2026-11-22T13:00:00Z", None).await;
    let left: Vec<String> = all(&path).into_iter().map(|record| record.id).collect();
    assert_eq!((left.len(), left.contains(&newest)), (2, true));
}

#[tokio::test]
async fn the_row_committed_last_stays_so_that_no_number_is_given_twice() {
    let (_directory, path) = home();
    let ledger = open(&path, LONG);
    commit(&ledger, "2026-11-22T00:00:00Z", of_size(10)).await;
    let last = commit(&ledger, "2026-11-21T00:00:00Z", of_size(10)).await;
    let reader = Reader::open(&path).unwrap();
    let seen = reader.last_seq().unwrap();
    let removed = ledger.sweep(i64::MAX).await;
    assert_eq!((removed.exchanges, removed.payloads), (1, 2));
    assert_eq!(all(&path).len(), 1);
    assert!(payloads(&path).is_empty());
    let next = commit(&ledger, "2026-11-21T00:00:00Z", None).await;
    let tail: Vec<String> = reader
        .tail(&Query::default(), seen)
        .unwrap()
        .map(|record| record.unwrap().id)
        .collect();
    assert_eq!(tail, std::slice::from_ref(&next));
    assert_eq!(ledger.sweep(i64::MAX).await.exchanges, 1);
    assert_ne!(last, next);
}

#[tokio::test]
async fn by_size_the_oldest_payloads_go_first_and_space_is_given_back() {
    let (_directory, path) = home();
    let ledger = open(&path, LONG);
    let mut ids = Vec::new();
    for _ in 0..24 {
        ids.push(commit(&ledger, "2026-11-22T00:00:00Z", of_size(MIB)).await);
    }
    assert_eq!(ledger.close().await, 0);
    let before = fs::metadata(&path).unwrap().len();
    assert!(before > 24 * MIB);
    let ledger = open(&path, "8MiB");
    ledger.sweep(0).await;
    assert_eq!(ledger.close().await, 0);
    let left = payloads(&path);
    assert_eq!(left.len(), 7, "{}", left.len());
    assert_eq!(left, ids[ids.len() - left.len()..]);
    assert_eq!(all(&path).len(), 24);
    let after = fs::metadata(&path).unwrap().len();
    // The limit, and the reserve of 4 MiB for what comes next.
    assert!(after <= 12 * MIB + 64 * 1024, "{after}");
}

#[tokio::test]
async fn by_size_exchanges_go_when_no_payload_is_left() {
    let (_directory, path) = home();
    let ledger = open(&path, LONG);
    let mut text = sample::bare();
    text.tags.insert("long".to_owned(), "x".repeat(20_000));
    let mut ids = Vec::new();
    for n in 0..200 {
        let record = UsageRecord {
            id: uuid::Uuid::now_v7().to_string(),
            time: format!("2026-11-22T00:{:02}:{:02}Z", n / 60, n % 60),
            ..text.clone()
        };
        ids.push(record.id.clone());
        ledger.commit(record, of_size(10)).await;
    }
    assert_eq!(ledger.close().await, 0);
    let ledger = open(&path, "1MB");
    ledger.sweep(0).await;
    let used = ledger
        .on_writer(|connection| used_bytes(connection).unwrap())
        .await;
    assert!(used <= 1_000_000, "{used}");
    let left: Vec<String> = all(&path).into_iter().map(|record| record.id).collect();
    assert!(left.len() > 20 && left.len() < 60, "{}", left.len());
    assert_eq!(left, ids[ids.len() - left.len()..]);
    assert!(payloads(&path).is_empty());
}

#[tokio::test]
async fn an_older_file_reuses_what_it_cannot_give_back() {
    let (_directory, path) = home();
    let old = Connection::open(&path).unwrap();
    old.execute_batch("PRAGMA auto_vacuum = NONE; CREATE TABLE t (x); DROP TABLE t;")
        .unwrap();
    drop(old);
    let ledger = open(&path, LONG);
    for _ in 0..16 {
        commit(&ledger, "2026-11-22T00:00:00Z", of_size(MIB)).await;
    }
    assert_eq!(ledger.close().await, 0);
    let before = fs::metadata(&path).unwrap().len();
    let ledger = open(&path, "4MiB");
    assert_eq!(ledger.sweep(0).await.pages, 0);
    for _ in 0..8 {
        commit(&ledger, "2026-11-22T00:00:00Z", of_size(MIB)).await;
    }
    assert_eq!(ledger.close().await, 0);
    assert!(fs::metadata(&path).unwrap().len() <= before + 64 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_while_committing_removes_the_old_and_nothing_else() {
    const EACH: usize = 150;
    let (_directory, path) = home();
    let ledger = open(&path, LONG);
    let now = now_ms() + i64::try_from(Duration::weeks(9000).whole_milliseconds()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut kept = Vec::new();
            for n in 0..EACH {
                let old = n % 3 != 0;
                let time = if old {
                    "2026-11-22T00:00:00Z"
                } else {
                    "2026-11-22T13:00:00Z"
                };
                let id = commit(&ledger, time, Some(sample::payload())).await;
                if !old {
                    kept.push(id);
                }
            }
            kept
        });
    }
    let mut removed = Removed::default();
    let mut kept = Vec::new();
    while let Some(done) = {
        removed.add(ledger.sweep(now).await);
        tasks.join_next().await
    } {
        kept.extend(done.unwrap());
    }
    kept.push(commit(&ledger, "2026-11-22T13:00:00Z", None).await);
    removed.add(ledger.sweep(now).await);
    assert_eq!(removed.exchanges, u64::try_from(4 * EACH * 2 / 3).unwrap());
    let mut left: Vec<String> = all(&path).into_iter().map(|record| record.id).collect();
    let last = kept.pop();
    let mut with_payload = payloads(&path);
    for ids in [&mut left, &mut kept, &mut with_payload] {
        ids.sort();
    }
    assert_eq!(with_payload, kept);
    kept.extend(last);
    kept.sort();
    assert_eq!(left, kept);
    assert_eq!(ledger.losses(), 0);
}

#[tokio::test]
async fn it_happens_by_itself() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    for _ in 0..100 {
        commit(&ledger, "1999-12-31T00:00:00Z", of_size(10_000)).await;
    }
    let young = commit(&ledger, "2999-12-31T00:00:00Z", None).await;
    assert_eq!(ledger.close().await, 0);
    let ledger = open(&path, "3650d");
    ledger.vouch(OffsetDateTime::now_utc(), Instant::now());
    until_left(&path, &[young]);
}

/// Waits until these are all that is left.
fn until_left(path: &Path, ids: &[String]) {
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let left: Vec<String> = all(path).into_iter().map(|record| record.id).collect();
        if left == ids {
            return;
        }
        assert!(Instant::now() < deadline, "{} left", left.len());
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_of_what_upstreams_say_makes_nothing_old() {
    let (_directory, path) = home();
    let ledger = open(&path, "30d");
    commit(&ledger, "1999-11-01T00:00:00Z", of_size(10)).await;
    let mut kept = Vec::new();
    for time in ["1999-12-02T00:00:00Z", "1999-12-31T00:00:00Z"] {
        kept.push(commit(&ledger, time, of_size(10)).await);
    }
    // By our own clock all of it is old enough to go; by theirs, only the first.
    ledger.vouch(datetime!(1999-12-31 12:00 UTC), Instant::now());
    until_left(&path, &kept);
    assert!(
        ledger
            .sweep(unix_ms(datetime!(1999-12-31 12:00 UTC)))
            .await
            .is_nothing()
    );
    assert_eq!(payloads(&path), kept);
}

#[tokio::test]
async fn nothing_is_old_before_anybody_has_said_what_time_it_is_and_size_is_size() {
    let (_directory, path) = home();
    let ledger = open(&path, LONG);
    for _ in 0..6 {
        commit(&ledger, "1999-11-01T00:00:00Z", of_size(MIB)).await;
    }
    assert_eq!(ledger.close().await, 0);
    let ledger = open(&path, "30d,4MiB");
    let removed = ledger.sweep(None).await;
    assert_eq!(removed.exchanges, 0);
    assert!(removed.payloads >= 2, "{removed:?}");
    // The row committed last always stays.
    let last = all(&path)[5].id.clone();
    ledger.vouch(OffsetDateTime::now_utc(), Instant::now());
    until_left(&path, &[last]);
}
