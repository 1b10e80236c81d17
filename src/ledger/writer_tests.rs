//! The writer: what is committed is there, whatever happens to the file or the process.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::options::{Durability, LedgerOptions};
use super::query::{Query, Reader};
use super::queue::QueueLimits;
use super::record::Outcome;
use super::record::{Payload, UsageRecord};
use super::sample;
use super::writer::{Committed, Ledger};

fn home() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (directory, path)
}

fn all(path: &Path) -> Vec<UsageRecord> {
    let reader = Reader::open(path).unwrap();
    let records = reader.records(&Query::default()).unwrap();
    records.map(Result::unwrap).collect()
}

fn other(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

#[tokio::test]
async fn record_comes_back_as_it_went_in() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    for (record, payload) in [
        (sample::full(), Some(sample::payload())),
        (sample::full(), Some(Payload::default())),
        (sample::bare(), None),
    ] {
        let stored = ledger.commit(record.clone(), payload.clone()).await;
        assert_eq!(stored, Committed::Stored);
        let found = Reader::open(&path).unwrap().find(&record.id).unwrap();
        assert_eq!(found.record, record);
        assert_eq!(found.payload, payload);
    }
    assert_eq!(ledger.close().await, 0);
}

#[tokio::test]
async fn absent_knowledge_is_null_in_the_file() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    ledger.commit(sample::bare(), None).await;
    let nulls: i64 = other(&path)
        .query_row(
            "SELECT count(*) FROM exchange WHERE input_tokens IS NULL AND total_tokens IS NULL
             AND cost_usd IS NULL AND status IS NULL AND model IS NULL AND session IS NULL
             AND usage_source IS NULL AND first_byte_ms IS NULL AND tags = '{}'
             AND cost_status = 'unpriced' AND stream = 0 AND time_ms = 1795316645000",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(nulls, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_concurrent_commits_are_all_there_once() {
    const TASKS: usize = 100;
    const EACH: usize = 100;
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..EACH {
                let record = sample::full();
                ids.push(record.id.clone());
                assert_eq!(ledger.commit(record, None).await, Committed::Stored);
            }
            ids
        });
    }
    let ids: HashSet<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(ids.len(), TASKS * EACH);
    let records = all(&path);
    assert_eq!(records.len(), TASKS * EACH);
    let found: HashSet<String> = records.into_iter().map(|record| record.id).collect();
    assert_eq!(found, ids);
    assert!(ledger.transactions() < 10_000, "{}", ledger.transactions());
    assert_eq!(ledger.losses(), 0);
    assert_eq!(ledger.close().await, 0);
}

#[tokio::test]
async fn another_connection_reads_while_the_ledger_writes() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    ledger.commit(sample::full(), None).await;
    let reader = other(&path);
    // A read transaction that stays open sees its own moment and holds up nobody.
    reader.execute_batch("BEGIN").unwrap();
    let count = |sql: &str| -> i64 { reader.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM exchange"), 1);
    for _ in 0..50 {
        let stored = ledger.commit(sample::full(), Some(sample::payload())).await;
        assert_eq!(stored, Committed::Stored);
    }
    assert_eq!(count("SELECT count(*) FROM exchange"), 1);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count("SELECT count(*) FROM calls"), 51);
    assert_eq!(count("SELECT count(*) FROM payload"), 50);
}

#[tokio::test]
async fn committed_rows_survive_the_process() {
    let (directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    let record = sample::full();
    let stored = ledger.commit(record.clone(), Some(sample::payload())).await;
    assert_eq!(stored, Committed::Stored);
    // What a process that is killed now leaves behind: the files, without the shared memory and without a goodbye.
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(
        directory.path().join("ledger.db-wal"),
        directory.path().join("copy.db-wal"),
    )
    .unwrap();
    assert_eq!(all(&copy), std::slice::from_ref(&record));
    // And the next process goes on from there.
    let next = Ledger::open(&copy).unwrap();
    let second = sample::full();
    assert_eq!(next.commit(second.clone(), None).await, Committed::Stored);
    assert_eq!(all(&copy), [record, second]);
}

#[tokio::test]
async fn locked_ledger_lets_traffic_go_on_and_loses_nothing() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    ledger.commit(sample::full(), None).await;
    let other = other(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..20 {
        let queued = ledger.commit(sample::full(), Some(sample::payload())).await;
        assert_eq!(queued, Committed::Queued);
    }
    assert!(ledger.is_failing());
    assert_eq!(ledger.flush().await, 20);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ledger.flush().await, 0);
    assert!(!ledger.is_failing());
    assert_eq!(all(&path).len(), 21);
    let stored = ledger.commit(sample::full(), None).await;
    assert_eq!(stored, Committed::Stored);
    assert_eq!(ledger.losses(), 0);
    assert_eq!(ledger.payload_losses(), 0);
}

/// Makes SQLite fail as on a full disk; `None` makes room again.
async fn fill_disk(ledger: &Ledger, full: bool) {
    ledger
        .on_writer(move |connection| {
            let pages: i64 = connection
                .query_row("PRAGMA page_count", [], |row| row.get(0))
                .unwrap();
            let limit = if full { pages + 4 } else { 1_000_000 };
            connection
                .query_row(&format!("PRAGMA max_page_count = {limit}"), [], |row| {
                    row.get::<_, i64>(0)
                })
                .unwrap();
        })
        .await;
}

#[tokio::test]
async fn full_disk_in_the_middle_of_a_transaction_keeps_the_whole_batch() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    fill_disk(&ledger, true).await;
    // One batch of small rows that fit and a large one that does not.
    let big = Payload {
        response_body: vec![7; 100_000],
        ..Payload::default()
    };
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..10 {
        let ledger = ledger.clone();
        let payload = (n == 5).then(|| big.clone());
        tasks.spawn(async move { ledger.commit(sample::full(), payload).await });
    }
    let answers = tasks.join_all().await;
    assert!(answers.contains(&Committed::Queued), "{answers:?}");
    assert!(!answers.contains(&Committed::Lost), "{answers:?}");
    assert!(ledger.flush().await > 0);
    fill_disk(&ledger, false).await;
    assert_eq!(ledger.flush().await, 0);
    let records = all(&path);
    assert_eq!(records.len(), 10);
    let payloads: i64 = other(&path)
        .query_row("SELECT length(response_body) FROM payload", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(payloads, 100_000);
    assert_eq!(ledger.losses(), 0);
}

#[tokio::test]
async fn read_only_connection_is_replaced() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    ledger
        .on_writer(|connection| connection.pragma_update(None, "query_only", true).unwrap())
        .await;
    assert_eq!(ledger.commit(sample::full(), None).await, Committed::Queued);
    assert_eq!(ledger.flush().await, 0);
    assert_eq!(all(&path).len(), 1);
}

#[tokio::test]
async fn full_queue_loses_payloads_first_then_records_and_counts_them() {
    let (_directory, path) = home();
    let limits = QueueLimits {
        slots: 3,
        payload_bytes: 250,
        wait: Duration::from_millis(1),
    };
    let ledger = Ledger::open_within(&path, &LedgerOptions::default(), limits).unwrap();
    let other = other(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let payload = sample::payload();
    assert!(payload.len() <= 250 && payload.len() * 2 > 250);
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(ledger.commit(sample::full(), Some(payload.clone())).await);
    }
    use Committed::{Lost, Queued};
    assert_eq!(answers, [Queued, Queued, Queued, Lost, Lost]);
    assert_eq!(ledger.losses(), 2);
    assert_eq!(ledger.payload_losses(), 4);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ledger.flush().await, 0);
    assert_eq!(all(&path).len(), 3);
    let stored = ledger.commit(sample::full(), Some(payload)).await;
    assert_eq!(stored, Committed::Stored);
}

#[tokio::test]
async fn refusals_leave_half_of_a_failing_ledgers_queue_to_calls_that_cost_something() {
    let (_directory, path) = home();
    let limits = QueueLimits {
        slots: 8,
        payload_bytes: 10_000,
        wait: Duration::from_millis(1),
    };
    let ledger = Ledger::open_within(&path, &LedgerOptions::default(), limits).unwrap();
    let other = other(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..100 {
        let mut refused = sample::full();
        refused.outcome = Outcome::Refused;
        ledger.commit(refused, None).await;
    }
    assert_eq!(ledger.losses(), 96);
    let mut paid = Vec::new();
    for _ in 0..4 {
        let record = sample::full();
        paid.push(record.id.clone());
        assert_eq!(ledger.commit(record, None).await, Committed::Queued);
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ledger.flush().await, 0);
    let kept: Vec<String> = all(&path).into_iter().map(|record| record.id).collect();
    assert!(paid.iter().all(|id| kept.contains(id)));
    assert_eq!(kept.len(), 8);
}

#[tokio::test]
async fn payload_beyond_the_whole_queue_goes_without_waiting() {
    let (_directory, path) = home();
    let limits = QueueLimits {
        slots: 3,
        payload_bytes: 10,
        wait: Duration::from_secs(3600),
    };
    let ledger = Ledger::open_within(&path, &LedgerOptions::default(), limits).unwrap();
    let mut record = sample::full();
    // More text than there are slots: it takes all of them and is kept.
    record.tags.insert("long".to_owned(), "x".repeat(50_000));
    let stored = ledger.commit(record.clone(), Some(sample::payload())).await;
    assert_eq!(stored, Committed::Stored);
    assert_eq!(ledger.payload_losses(), 1);
    assert_eq!(all(&path), [record]);
}

#[tokio::test]
async fn a_row_that_sqlite_refuses_does_not_hold_up_the_others() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    let record = sample::full();
    assert_eq!(ledger.commit(record.clone(), None).await, Committed::Stored);
    // The same id again, and a duration that is no number (stored as NULL, which the column refuses).
    assert_eq!(ledger.commit(record.clone(), None).await, Committed::Lost);
    let mut timeless = sample::full();
    timeless.duration_ms = f64::NAN;
    assert_eq!(ledger.commit(timeless, None).await, Committed::Lost);
    assert_eq!(ledger.losses(), 2);
    assert!(!ledger.is_failing());
    assert_eq!(all(&path), [record]);
}

#[tokio::test]
async fn close_writes_what_is_queued_and_leaves_one_file() {
    let (directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    let clone = ledger.clone();
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.commit(sample::full(), None).await }
    });
    assert_eq!(waiting.await.unwrap(), Committed::Stored);
    assert_eq!(ledger.close().await, 0);
    let names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["ledger.db"]);
    assert_eq!(clone.commit(sample::full(), None).await, Committed::Lost);
    assert_eq!(clone.losses(), 1);
    assert_eq!(clone.flush().await, 0);
    assert_eq!(all(&path).len(), 1);
}

#[tokio::test]
async fn a_commit_given_up_while_waiting_for_room_is_counted() {
    let (_directory, path) = home();
    let limits = QueueLimits {
        slots: 1,
        payload_bytes: 1,
        wait: Duration::from_secs(3600),
    };
    let ledger = Ledger::open_within(&path, &LedgerOptions::default(), limits).unwrap();
    let other = other(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = ledger.commit(sample::full(), None);
    tokio::pin!(first);
    // One poll each: the first takes the only slot, the second has to wait and is dropped.
    assert!(
        std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending()))
            .await
    );
    let mut second = Box::pin(ledger.commit(sample::full(), None));
    assert!(
        std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context).is_pending()))
            .await
    );
    drop(second);
    assert_eq!(ledger.losses(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert_ne!(first.await, Committed::Lost);
    assert_eq!(ledger.flush().await, 0);
    assert_eq!(all(&path).len(), 1);
}

#[tokio::test]
async fn a_writer_that_hangs_holds_up_a_call_once_and_loses_nothing() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let hanging = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.on_writer(move |_| released.recv().unwrap()).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(ledger.commit(sample::full(), None).await, Committed::Queued);
    assert!(ledger.is_failing());
    // At once: nobody waits for a writer that is known to hang.
    let mut second = Box::pin(ledger.commit(sample::full(), None));
    let poll = std::future::poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await;
    assert_eq!(poll, Poll::Ready(Committed::Queued));
    release.send(()).unwrap();
    hanging.await.unwrap();
    assert_eq!(ledger.flush().await, 0);
    assert_eq!(all(&path).len(), 2);
    assert_eq!(ledger.commit(sample::full(), None).await, Committed::Stored);
    assert!(!ledger.is_failing());
}

#[tokio::test]
async fn relaxed_commits_wait_for_nobody_and_share_a_transaction() {
    let (_directory, path) = home();
    let options = LedgerOptions {
        durability: Durability::Relaxed,
        ..LedgerOptions::default()
    };
    let ledger = Ledger::open_with(&path, &options).unwrap();
    for _ in 0..50 {
        let mut commit = Box::pin(ledger.commit(sample::full(), None));
        let poll = std::future::poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await;
        assert_eq!(poll, Poll::Ready(Committed::Queued));
    }
    assert_eq!(ledger.flush().await, 0);
    assert_eq!(all(&path).len(), 50);
    assert!(ledger.transactions() < 50, "{}", ledger.transactions());
    // Without anybody asking they are written as well: closing is not what does it.
    ledger.commit(sample::full(), None).await;
    let reader = Reader::open(&path).unwrap();
    while reader.last_seq().unwrap() < 51 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ledger.close().await, 0);
    assert_eq!(all(&path).len(), 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_list_while_the_ledger_writes() {
    const BEFORE: usize = 600;
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    for _ in 0..BEFORE {
        ledger.commit(sample::full(), None).await;
    }
    let writing = tokio::spawn({
        let ledger = ledger.clone();
        async move {
            for _ in 0..BEFORE {
                let stored = ledger.commit(sample::full(), Some(sample::payload())).await;
                assert_eq!(stored, Committed::Stored);
            }
        }
    });
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let path = path.clone();
        readers.spawn_blocking(move || {
            let ids: Vec<String> = all(&path).into_iter().map(|record| record.id).collect();
            let distinct: HashSet<&String> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len());
            ids.len()
        });
    }
    for found in readers.join_all().await {
        assert!((BEFORE..=2 * BEFORE).contains(&found), "{found}");
    }
    writing.await.unwrap();
    assert_eq!(all(&path).len(), 2 * BEFORE);
}
