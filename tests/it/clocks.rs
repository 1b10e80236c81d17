//! Clocks that step, backwards and far ahead, under a gate that runs: calls go on, no two records are one, nothing is
//! removed that only looks old, and certificates are right again as soon as the clock is.
#![cfg(target_os = "linux")]

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::format_description;
use tollgate::ledger::{FILE_NAME, Query, Reader, UsageRecord};

use crate::support::process::Process;
use crate::support::{BEDROCK, Door, RawClient, RawUpstream, until};

/// A clock that a test can set, for processes that are started on it.
struct Clock {
    directory: TempDir,
}

impl Clock {
    /// Shows the right time. `None` where there is no C compiler to make it.
    fn make() -> Option<Self> {
        let clock = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/clock.c");
        let made = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .arg(clock.library())
            .arg(source)
            .output();
        match made {
            Ok(output) if output.status.success() => {
                clock.set(0);
                Some(clock)
            }
            other => {
                println!("skipped: no clock can be made here: {other:?}");
                None
            }
        }
    }

    fn library(&self) -> std::path::PathBuf {
        self.directory.path().join("clock.so")
    }

    fn time(&self) -> std::path::PathBuf {
        self.directory.path().join("time")
    }

    /// Sets it so many days ahead.
    fn set(&self, days: i64) {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.time())
            .unwrap();
        // In one write, into the page that the process looks at.
        file.write_all(&(days * 86_400).to_ne_bytes()).unwrap();
    }

    fn rules(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.library())
            .env("TEST_CLOCK", self.time());
    }
}

fn records(home: &Path) -> Vec<UsageRecord> {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    let records = reader.tail(&Query::default(), 0).unwrap();
    records.map(Result::unwrap).collect()
}

/// The time as this test and its upstream know it, as HTTP writes it.
fn date() -> String {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    OffsetDateTime::now_utc().format(format).unwrap()
}

/// Answers the next call, on a connection that is not kept.
async fn answer(upstream: &RawUpstream) {
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send(format!(
            "HTTP/1.1 200 OK\r\nDate: {}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}",
            date()
        ))
        .await;
    served.end().await;
}

async fn call(client: &mut RawClient, upstream: &RawUpstream, door: Door, model: &str) {
    let target = door.target(BEDROCK, &format!("/model/{model}/converse"));
    client
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let (answer, ()) = tokio::join!(client.answer(), answer(upstream));
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

/// Whether a client whose clock is right accepts what the gate shows.
async fn is_believed(process: &Process) -> bool {
    let config = process.client_config(&[b"http/1.1"]);
    process.handshake(config, BEDROCK).await.is_ok()
}

#[tokio::test]
async fn calls_go_on_ids_stay_apart_and_certificates_come_right_however_the_clock_steps() {
    let Some(clock) = Clock::make() else { return };
    let upstream = RawUpstream::tls().await;
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    let process = Process::start_with(&home, &upstream, |command| clock.rules(command)).await;
    let mut client = process.plain().await;
    let mut made = 0;
    assert!(is_believed(&process).await);
    // A day on is within the life of a leaf; beyond its life, before its beginning and before the authority's is not.
    for days in [
        1, 0, 59, 0, 400, 0, -1, 0, -400, 0, -9000, 0, 3000, 0, 20_000, 0,
    ] {
        clock.set(days);
        for _ in 0..5 {
            made += 1;
            call(&mut client, &upstream, Door::Forward, &format!("m{made}")).await;
        }
        if days == 0 {
            assert!(is_believed(&process).await, "after {made} calls");
        } else {
            // Whether or not: the gate survives having been asked.
            is_believed(&process).await;
        }
    }
    let records = records(&home);
    assert_eq!(records.len(), made);
    let ids: HashSet<&String> = records.iter().map(|record| &record.id).collect();
    assert_eq!(ids.len(), made, "two records share an id");
    let in_order = records.is_sorted_by_key(|record| &record.id);
    assert!(in_order, "ids do not sort in the order of their calls");
    assert!(
        records
            .iter()
            .all(|record| (0.0..60_000.0).contains(&record.duration_ms))
    );
    process.terminate();
    let (status, _) = process.ended().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn retention_removes_what_is_old_and_not_what_only_looks_old() {
    let Some(clock) = Clock::make() else { return };
    let upstream = RawUpstream::tls().await;
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    for (days, model, retain) in [
        (-60, "old", "90d"),
        (0, "young", "90d"),
        (400, "late", "30d"),
    ] {
        clock.set(days);
        let process = Process::start_with(&home, &upstream, |command| {
            clock.rules(command);
            command.args(["--retain", retain]);
        })
        .await;
        let mut client = process.plain().await;
        for _ in 0..3 {
            call(&mut client, &upstream, Door::Route, model).await;
        }
        if model == "late" {
            let is_old = |record: &UsageRecord| record.model.as_deref() == Some("old");
            until("what is old is removed", || {
                !records(&home).iter().any(is_old)
            })
            .await;
            process.says("clock is ahead of an upstream's").await;
        }
        process.terminate();
        process.ended().await;
    }
    let mut left: Vec<String> = records(&home)
        .into_iter()
        .filter_map(|record| record.model)
        .collect();
    left.sort();
    assert_eq!(left, ["late", "late", "late", "young", "young", "young"]);
}
