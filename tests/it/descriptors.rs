//! Descriptors are finite: the gate takes what it may have, works out from it how many it can serve, and outlives a lack of
//! them.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tollgate::ledger::{FILE_NAME, Outcome, Query, Reader};

use crate::support::process::{Descriptors, Process};
use crate::support::run::Place;
use crate::support::{BEDROCK, Door, RawClient, RawUpstream};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn home() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    (parent, home)
}

fn post(door: Door) -> String {
    let target = door.target(BEDROCK, "/model/m/invoke");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}")
}

async fn asked(upstream: &RawUpstream, client: &mut RawClient, door: Door) -> RawClient {
    client.send(post(door)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
}

#[tokio::test]
async fn without_a_free_descriptor_what_runs_goes_on_and_what_comes_waits() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let few = Descriptors { soft: 64, hard: 64 };
    let arguments = ["--max-connections", "1000"];
    let process = Process::start_within(&home, &upstream, &arguments, Some(few)).await;
    // It was said at the start that this would not do.
    let said = process.says("1000 connections can take").await;
    assert!(said.contains("LimitNOFILE=2378"), "{said}");

    let mut client = Door::Connect.open(&process, BEDROCK).await;
    let mut served = asked(&upstream, &mut client, Door::Connect).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(process.plain().await);
    }
    process.says("connections wait to be accepted").await;

    // One that was accepted, but has no descriptor left for its upstream.
    let mut without = crowd.remove(0);
    without.send(post(Door::Route)).await;
    let answer = without.answer().await;
    answer.assert_typed(503, "ServiceUnavailableException", "no-descriptor");
    assert_eq!(answer.field("retry-after").unwrap(), "1");

    // The loop does not spin, and does not fill the log, while there is nothing to be had.
    let before = process.ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = process.ticks() - before;
    assert!(spent < 25, "{spent} hundredths of a second of one");
    let lines = process
        .said()
        .matches("connections wait to be accepted")
        .count();
    assert!(lines <= 2, "{lines} lines");

    served.send(OK).await;
    client.expect(OK).await;
    // An upstream connection that nobody uses is not kept while others wait.
    served.end().await;

    // The last of the crowd is taken up when the others have gone.
    let mut last = crowd.pop().unwrap();
    drop(crowd);
    drop(without);
    let mut served = asked(&upstream, &mut last, Door::Route).await;
    served.send(OK).await;
    last.expect(OK).await;

    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    let records: Vec<_> = reader.records(&Query::default()).unwrap().collect();
    let count = |outcome| {
        let of = |record: &Result<tollgate::ledger::UsageRecord, _>| {
            record
                .as_ref()
                .is_ok_and(|record| record.outcome == outcome)
        };
        records.iter().filter(|record| of(record)).count()
    };
    assert_eq!((count(Outcome::Complete), count(Outcome::Failed)), (2, 1));
}

#[tokio::test]
async fn an_unused_upstream_connection_gives_its_descriptor_to_one_that_is_needed() {
    for tunnelled in [false, true] {
        give_way(tunnelled).await;
    }
}

/// Clients that take all descriptors but one. With none left, the accept loop would want the idle one for itself.
async fn all_but_one(process: &Process, limit: u32) -> Vec<RawClient> {
    let mut crowd = Vec::new();
    while process.descriptors(limit) < limit - 1 {
        let mut one = process.plain().await;
        // Granted at once, and nothing is dialled for it.
        one.send(format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n"))
            .await;
        one.head().await;
        crowd.push(one);
    }
    crowd
}

/// The one that is needed leads to an upstream that is opened, or to one that is `tunnelled`.
async fn give_way(tunnelled: bool) {
    const LIMIT: u32 = 64;
    const SECOND: &str = "models.example.test";
    const THIRD: &str = "bedrock-runtime.eu-west-1.amazonaws.com";
    const FOURTH: &str = "tunnelled.example.test";
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let few = Descriptors {
        soft: LIMIT,
        hard: LIMIT,
    };
    let [second, third, fourth] =
        [SECOND, THIRD, FOURTH].map(|host| format!("{host}:443:{}", upstream.address));
    let mut arguments = vec!["--max-connections", "1000", "--intercept", SECOND];
    for place in [&second, &third, &fourth] {
        arguments.extend(["--connect-to", place.as_str()]);
    }
    let process = Process::start_within(&home, &upstream, &arguments, Some(few)).await;
    let mut other = process.plain().await;
    let mut client = process.plain().await;
    let mut idle = asked(&upstream, &mut client, Door::Route).await;
    idle.send(OK).await;
    client.expect(OK).await;
    let _crowd = all_but_one(&process, LIMIT).await;
    other.send(post(Door::Route).replace(BEDROCK, SECOND)).await;
    let mut last = upstream.accept().await;
    last.request().await;
    assert_eq!(process.descriptors(LIMIT), LIMIT);
    if tunnelled {
        let connect = format!("CONNECT {FOURTH}:443 HTTP/1.1\r\n\r\n");
        client.send(connect).await;
        let head = String::from_utf8(client.head().await).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    } else {
        client.send(post(Door::Route).replace(BEDROCK, THIRD)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(OK).await;
        client.expect(OK).await;
    }
    idle.end().await;
}

#[tokio::test]
async fn a_gate_takes_the_descriptors_it_may_have_and_serves_as_many_as_they_suffice_for() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let usual = Descriptors {
        soft: 256,
        hard: 1024,
    };
    let process = Process::start_within(&home, &upstream, &[], Some(usual)).await;
    let said = process.says("most connections that are served").await;
    assert!(said.contains("connections=398 per_client=398"), "{said}");
    let limits = process.proc("limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let numbers: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["1024", "1024"]);
}

#[test]
fn a_command_that_is_run_keeps_the_limit_it_would_have_without_us() {
    let place = Place::new();
    let usual = Descriptors {
        soft: 256,
        hard: 1024,
    };
    let run = place.run(&["--quiet", "--", "sh", "-c", "ulimit -Sn"]);
    let output = usual.of(&run).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "256\n");
}
