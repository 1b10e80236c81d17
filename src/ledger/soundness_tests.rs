//! A ledger that is damaged is refused, with what was found and what to do, and left exactly as it is; what only looks
//! odd is opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::error::{LedgerError, QueryError};
use super::query::{Query, Reader};
use super::record::Payload;
use super::sample;
use super::soundness::examine;
use super::writer::{Committed, Ledger};

const PAGE: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger with 64 records and payloads, as a gate leaves it that was stopped.
async fn stopped() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = Ledger::open(&path).unwrap();
    commit(&ledger, 64).await;
    assert_eq!(ledger.close().await, 0);
    (directory, path)
}

/// The same, as a gate leaves it that was killed: with 8 more records in a WAL.
async fn killed() -> (TempDir, PathBuf) {
    let (directory, path) = stopped().await;
    let alive = Ledger::open(&path).unwrap();
    // Few enough for none of them to be in the file already.
    commit(&alive, 8).await;
    let copy = directory.path().join("killed.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(beside(&path, "-wal"), beside(&copy, "-wal")).unwrap();
    assert_eq!(alive.close().await, 0);
    (directory, copy)
}

async fn commit(ledger: &Ledger, records: usize) {
    for _ in 0..records {
        let payload = Payload {
            response_body: vec![b'x'; 2000],
            ..sample::payload()
        };
        let stored = ledger.commit(sample::full(), Some(payload)).await;
        assert_eq!(stored, Committed::Stored);
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!(
        "{}{suffix}",
        path.file_name().unwrap().to_str().unwrap()
    ))
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Every file of the ledger and what is in it. What SQLite makes to share a WAL among processes holds no data.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let all = [path.to_owned(), beside(path, "-wal")];
    let there = all.into_iter().filter_map(|path| {
        let bytes = fs::read(&path).ok().filter(|bytes| !bytes.is_empty());
        Some((path, bytes?))
    });
    there.collect()
}

/// The error with which the ledger is refused, while nothing of it is changed.
fn refused(path: &Path) -> LedgerError {
    let before = files(path);
    let error = Ledger::open(path).unwrap_err();
    for (before, after) in before.iter().zip(files(path)) {
        let at = before.1.iter().zip(&after.1).position(|(a, b)| a != b);
        assert_eq!(
            at,
            None,
            "{} of {} octets: {error}",
            before.1.len(),
            after.1.len()
        );
    }
    assert!(files(path) == before, "the ledger was changed: {error}");
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    let QueryError::Open(told) = examine(path, PATIENCE).unwrap_err() else {
        panic!("the doctor says something else");
    };
    assert_eq!(told.to_string(), error.to_string());
    error
}

fn records(path: &Path) -> usize {
    let reader = Reader::open(path).unwrap();
    reader.records(&Query::default()).unwrap().count()
}

#[tokio::test]
async fn a_sound_one_is_opened_stopped_or_killed() {
    for ((_directory, path), expected) in [(stopped().await, 64), (killed().await, 72)] {
        examine(&path, PATIENCE).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(records(&path), expected);
        assert_eq!(ledger.close().await, 0);
        assert_eq!(records(&path), expected);
    }
}

#[tokio::test]
async fn what_is_no_database_any_more() {
    let (_directory, path) = stopped().await;
    change(&path, |bytes| {
        bytes[..16].copy_from_slice(b"garbage garbage ");
    });
    let error = refused(&path);
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(".recover"), "{error}");
}

#[tokio::test]
async fn garbage_in_any_page() {
    let (_directory, path) = stopped().await;
    let sound = fs::read(&path).unwrap();
    let pages = sound.len() / PAGE;
    assert!(pages > 40, "{pages}");
    for page in 0..pages {
        fs::write(&path, &sound).unwrap();
        change(&path, |bytes| {
            let noise = (0..PAGE).map(|at| {
                ((at * 167 + page * 31 + 255) % 256)
                    .try_into()
                    .unwrap_or(0_u8)
            });
            bytes.splice(page * PAGE..(page + 1) * PAGE, noise);
        });
        let error = refused(&path);
        assert!(matches!(error, LedgerError::Damaged { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_cut_short() {
    let (_directory, path) = stopped().await;
    let sound = fs::read(&path).unwrap();
    for keep in [sound.len() - PAGE, sound.len() / 2, PAGE, 512, 100, 16] {
        fs::write(&path, &sound[..keep]).unwrap();
        let error = refused(&path);
        assert!(
            matches!(error, LedgerError::Damaged { .. }),
            "{keep}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_cut_short_under_its_wal() {
    let (_directory, path) = killed().await;
    change(&path, |bytes| bytes.truncate(PAGE * 10));
    assert!(matches!(refused(&path), LedgerError::Damaged { .. }));
}

#[tokio::test]
async fn a_missing_or_empty_file_beside_a_wal_that_still_holds_records() {
    for missing in [true, false] {
        let (_directory, path) = killed().await;
        if missing {
            fs::remove_file(&path).unwrap();
        } else {
            fs::write(&path, b"").unwrap();
        }
        let error = refused(&path);
        assert!(matches!(error, LedgerError::Orphan { .. }), "{error:?}");
        assert_eq!(path.exists(), !missing);
        // What it says to do is enough.
        fs::rename(beside(&path, "-wal"), path.with_extension("elsewhere")).unwrap();
        Ledger::open(&path).unwrap();
    }
}

#[tokio::test]
async fn a_wal_whose_beginning_is_garbage() {
    let (_directory, path) = killed().await;
    let wal = beside(&path, "-wal");
    let sound = fs::read(&wal).unwrap();
    for at in 0..32 {
        fs::write(&wal, &sound).unwrap();
        change(&wal, |bytes| bytes[at] ^= 0x40);
        let error = refused(&path);
        assert!(
            matches!(error, LedgerError::DamagedWal { .. }),
            "{at}: {error:?}"
        );
    }
    change(&wal, |bytes| bytes.fill(0));
    assert!(matches!(refused(&path), LedgerError::DamagedWal { .. }));
    // What it says to do loses the records that were in it and no others.
    fs::rename(&wal, path.with_extension("elsewhere")).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(records(&path), 64);
    assert_eq!(ledger.close().await, 0);
}

#[tokio::test]
async fn a_wal_that_ends_in_the_middle_of_a_record_is_read_up_to_there() {
    let (_directory, path) = killed().await;
    let wal = beside(&path, "-wal");
    change(&wal, |bytes| bytes.truncate(bytes.len() - 100));
    let ledger = Ledger::open(&path).unwrap();
    assert_eq!(records(&path), 71);
    commit(&ledger, 1).await;
    assert_eq!(records(&path), 72);
}

#[tokio::test]
async fn shared_memory_that_is_missing_or_garbage_is_made_anew() {
    for garbage in [None, Some(vec![0xa5; 32 * 1024]), Some(vec![1; 7])] {
        let (_directory, path) = killed().await;
        if let Some(garbage) = garbage {
            fs::write(beside(&path, "-shm"), garbage).unwrap();
        }
        let ledger = Ledger::open(&path).unwrap();
        commit(&ledger, 1).await;
        assert_eq!(records(&path), 73);
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_ledger() {
    let (_directory, path) = stopped().await;
    fs::write(&path, b"").unwrap();
    let ledger = Ledger::open(&path).unwrap();
    commit(&ledger, 1).await;
    assert_eq!(records(&path), 1);
}

#[tokio::test]
async fn a_directory_in_the_place_of_any_of_its_files() {
    for (suffix, words) in [
        ("", "a directory stands in its place"),
        ("-wal", "those beside it"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        fs::create_dir(beside(&path, suffix)).unwrap();
        let error = Ledger::open(&path).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(beside(&path, suffix).is_dir());
    }
}

#[tokio::test]
async fn tables_that_are_gone() {
    for table in ["exchange", "payload"] {
        let (_directory, path) = stopped().await;
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "DROP TABLE {table}; PRAGMA wal_checkpoint(TRUNCATE)"
            ))
            .unwrap();
        drop(connection);
        let before = files(&path);
        let error = Ledger::open(&path).unwrap_err();
        assert!(matches!(&error, LedgerError::Damaged { found, .. } if found.contains(table)));
        assert!(files(&path) == before);
    }
}

#[tokio::test]
async fn a_database_of_somebody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE accounts (x); INSERT INTO accounts VALUES (1)")
        .unwrap();
    drop(connection);
    let before = files(&path);
    let error = Ledger::open(&path).unwrap_err();
    assert!(matches!(error, LedgerError::Foreign { .. }), "{error:?}");
    assert!(files(&path) == before);
}

#[tokio::test]
async fn one_that_another_process_keeps_to_itself() {
    let (_directory, path) = stopped().await;
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    assert_eq!(records(&path), 64);
    Ledger::open(&path).unwrap();
}

#[tokio::test]
async fn the_check_takes_no_longer_than_it_may() {
    let (_directory, path) = stopped().await;
    // What no time is left for is not found, and is no reason to refuse.
    examine(&path, Duration::ZERO).unwrap();
}

#[tokio::test]
async fn a_writer_that_is_gone_is_a_ledger_that_fails() {
    let (_directory, path) = stopped().await;
    let ledger = Ledger::open(&path).unwrap();
    let gone = ledger.clone();
    gone.on_writer_without_answer(|_| panic!("on purpose"));
    while ledger.commit(sample::full(), None).await != Committed::Lost {}
    let lost = ledger.losses();
    assert!(lost > 0 && ledger.is_failing());
    assert_eq!(ledger.commit(sample::full(), None).await, Committed::Lost);
    assert_eq!(ledger.losses(), lost + 1);
}
