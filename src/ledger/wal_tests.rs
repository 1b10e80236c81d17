//! What is committed gets from the WAL into the file, and when.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::record::Payload;
use super::sample;
use super::writer::{Committed, Ledger};

fn home() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (directory, path)
}

#[tokio::test]
async fn the_wal_is_checkpointed_as_it_grows() {
    const MIB: u64 = 1024 * 1024;
    let (directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    let payload = Payload {
        response_body: vec![1; 1024 * 1024],
        ..Payload::default()
    };
    for _ in 0..400 {
        let stored = ledger.commit(sample::full(), Some(payload.clone())).await;
        assert_eq!(stored, Committed::Stored);
    }
    ledger.flush().await;
    // Without a checkpoint all 400 MiB would be in the WAL and nothing in the file.
    let length = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
    assert!(length("ledger.db") > 100 * MIB, "{}", length("ledger.db"));
    // Twice what it begins anew at, and a mebibyte or two for every time that the checkpoint was waited for in vain.
    assert!(
        length("ledger.db-wal") < 280 * MIB,
        "{}",
        length("ledger.db-wal")
    );
}

#[tokio::test]
async fn what_is_committed_is_in_the_file_itself_soon_though_nothing_follows() {
    let (_directory, path) = home();
    let ledger = Ledger::open(&path).unwrap();
    ledger.commit(sample::full(), None).await;
    let apart = tempfile::tempdir().unwrap();
    let copy = apart.path().join("ledger.db");
    // Without the WAL: what a machine is sure to have on its disk. The tables are there before any record.
    let records = || {
        fs::copy(&path, &copy).unwrap();
        let connection = Connection::open(&copy).unwrap();
        let count = "SELECT count(*) FROM exchange";
        let count = connection.query_row(count, [], |row| row.get::<_, i64>(0));
        count.unwrap_or_default()
    };
    let begun = Instant::now();
    while records() == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "still in the WAL"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(ledger);
}
