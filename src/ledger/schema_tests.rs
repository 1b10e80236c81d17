//! The file: its columns, its mode, its versions, and how an old one becomes a new one.

use std::fs;

use rusqlite::Connection;

use super::error::{LedgerError, QueryError};
use super::query::{Query, Reader};
use super::row::COLUMNS;
use super::sample;
use super::schema::*;
use super::writer::{Committed, Ledger};
use crate::ledger::Dimension;
use crate::spend::Usd;

#[test]
fn table_has_a_column_for_every_field() {
    let directory = tempfile::tempdir().unwrap();
    let connection = open_for_writing(&directory.path().join("ledger.db")).unwrap();
    let statement = connection.prepare("SELECT * FROM exchange").unwrap();
    let names: Vec<&str> = statement.column_names().skip(1).collect();
    assert_eq!(names, COLUMNS);
    let view = connection.prepare("SELECT * FROM calls").unwrap();
    assert!(view.column_names().any(|name| name == "caller"));
}

#[cfg(unix)]
#[test]
fn all_files_are_private_even_when_the_ledger_was_not() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let _connection = open_for_writing(&path).unwrap();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let mode = fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn newer_ledger_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let error = open_for_writing(&path).unwrap_err();
    assert!(
        matches!(
            error,
            LedgerError::Newer {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("newer tollgate"), "{error}");
    let error = open_for_reading(&path).unwrap_err();
    assert!(matches!(error, QueryError::Open(LedgerError::Newer { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn opening_again_migrates_nothing_and_keeps_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    for _ in 0..2 {
        let connection = open_for_writing(&path).unwrap();
        assert_eq!(version(&connection).unwrap(), 3);
    }
}

#[test]
fn a_file_that_somebody_is_writing_to_can_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    drop(open_for_writing(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    open_for_writing(&path).unwrap();
}

#[test]
fn a_file_that_is_no_database_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    fs::write(&path, vec![b'x'; 4096]).unwrap();
    let error = open_for_writing(&path).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
}

#[test]
fn reading_wants_a_ledger_that_serve_has_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let error = open_for_reading(&path).unwrap_err();
    assert!(error.to_string().contains("tollgate serve"), "{error}");
    assert!(error.to_string().contains("ledger.db"), "{error}");
    fs::write(&path, b"").unwrap();
    let error = open_for_reading(&path).unwrap_err();
    assert!(
        matches!(error, QueryError::Older { found: 0, .. }),
        "{error}"
    );
}

/// A file as the first version left it, with three rows and a payload.
fn version_1(path: &std::path::Path) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; {V1} PRAGMA user_version = 1;
             INSERT INTO exchange (id, time, time_ms, entry, client, access_key_id, model, stream, status, input_tokens,
                 output_tokens, usage_source, cost_usd, cost_status, outcome, request_bytes, response_bytes, duration_ms, tags)
             VALUES
             ('01930000-0000-7000-8000-000000000001', '2026-11-20T00:00:00Z', 1795132800000, 'connect', '127.0.0.1:1',
                 'AKIA1', 'm', 1, 200, 7, 3, 'stream', '1.000000000001', 'exact', 'complete', 10, 20, 1.5, '{{\"team\":\"a\"}}'),
             ('01930000-0000-7000-8000-000000000002', '2026-11-21T00:00:00Z', 1795219200000, 'route', '127.0.0.1:1',
                 NULL, 'm', 0, 200, NULL, NULL, NULL, '12', 'exact', 'complete', 0, 0, 0, '{{}}'),
             ('01930000-0000-7000-8000-000000000003', '2026-11-22T00:00:00Z', 1795305600000, 'tunnel', '127.0.0.1:1',
                 NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, 'unpriced', 'failed', 0, 0, 0, '{{}}');
             INSERT INTO payload VALUES ('01930000-0000-7000-8000-000000000001', X'00', X'78', 0, X'01', X'79', 1);"
        ))
        .unwrap();
}

#[tokio::test]
async fn a_file_of_the_first_version_is_migrated_and_read_back_right() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    version_1(&path);
    let error = Reader::open(&path).unwrap_err();
    assert!(
        matches!(error, QueryError::Older { found: 1, .. }),
        "{error}"
    );
    let ledger = Ledger::open(&path).unwrap();
    let reader = Reader::open(&path).unwrap();
    let records = reader.records(&Query::default()).unwrap();
    let records: Vec<_> = records.map(Result::unwrap).collect();
    assert_eq!(records.len(), 3);
    let usd: Vec<Option<Usd>> = records.iter().map(|record| record.cost.usd).collect();
    let picos = [Some(1_000_000_000_001), Some(12_000_000_000_000), None];
    assert_eq!(usd, picos.map(|picos| picos.map(Usd::from_picos)));
    let first = reader.find("01930000-0000-7000-8000-000000000001").unwrap();
    assert_eq!(first.record, records[0]);
    assert_eq!(first.record.usage.input_tokens, Some(7));
    assert_eq!(first.record.tags["team"], "a");
    assert_eq!(
        first.record.identity.access_key_id.as_deref(),
        Some("AKIA1")
    );
    assert!(!first.record.identity.verified && first.record.notes.is_empty());
    assert_eq!(first.payload.unwrap().response_body, b"y");
    let sums = reader
        .sums(&Query::default(), &[Dimension::Model], &mut || ())
        .unwrap();
    assert_eq!(sums.total.cost_picousd, Some(13_000_000_000_001));
    // And it goes on as any other.
    let record = sample::full();
    assert_eq!(
        ledger.commit(record.clone(), Some(sample::payload())).await,
        Committed::Stored
    );
    assert_eq!(reader.find(&record.id).unwrap().record, record);
    drop(reader);
    assert_eq!(ledger.close().await, 0);
    // It has what a new file has.
    let new = directory.path().join("new.db");
    let objects = |path: &std::path::Path| -> Vec<(String, String)> {
        let connection = open_for_writing(path).unwrap();
        let mut statement = connection
            .prepare("SELECT type, name FROM sqlite_master ORDER BY 1, 2")
            .unwrap();
        let objects = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        objects.map(Result::unwrap).collect()
    };
    assert_eq!(objects(&path), objects(&new));
}
