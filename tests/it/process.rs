//! The program itself: what it counted survives its death, a stop is orderly, its memory is bounded, and what it prints
//! is what it keeps.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tollgate::ledger::{Entry, FILE_NAME, Outcome, Query, Reader, UsageRecord};

use crate::support::process::{Process, said, tollgate_alone};
use crate::support::{BEDROCK, Door, End, RawClient, RawUpstream};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn home() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    (parent, home)
}

fn post(door: Door, number: usize) -> String {
    let target = door.target(BEDROCK, &format!("/model/m{number}/invoke"));
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}")
}

async fn ask(
    process: &Process,
    upstream: &RawUpstream,
    door: Door,
    number: usize,
) -> (RawClient, RawClient) {
    let mut client = door.open(process, BEDROCK).await;
    client.send(post(door, number)).await;
    let mut served = upstream.accept().await;
    served.expect(post(Door::Connect, number).as_bytes()).await;
    (client, served)
}

fn records(home: &std::path::Path) -> Vec<UsageRecord> {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    reader
        .records(&Query::default())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn an_answer_that_a_client_holds_is_counted_even_if_the_gate_is_killed_at_that_instant() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    for (number, door) in [Door::Connect, Door::Forward, Door::RouteInTls]
        .into_iter()
        .enumerate()
    {
        let mut process = Process::start(&home, &upstream).await;
        let (mut client, mut served) = ask(&process, &upstream, door, number).await;
        served.send(OK).await;
        client.expect(OK).await;
        process.kill();
        let records = records(&home);
        assert_eq!(records.len(), number + 1);
        assert_eq!(records[number].model, Some(format!("m{number}")));
        assert_eq!(
            (records[number].status, records[number].outcome),
            (Some(200), Outcome::Complete)
        );
    }
}

#[test]
fn what_cannot_be_used_is_said_before_anybody_is_listened_to() {
    let (parent, home) = home();
    let file = parent.path().join("file");
    for (option, text, said) in [
        (
            "--prices-file",
            r#"{"acme.big": {"litellm_provider": "bedrock", "input_cost_per_token": "x"}}"#,
            "acme.big",
        ),
        ("--config", "[[price]]\nmodel = \"a.b\"", "[[price]] 1"),
        (
            "--config",
            "[[usage_pattern]]\nmodel = \"a\"",
            "names no count",
        ),
        ("--upstream-ca", "nothing", "no certificate"),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut serve = tollgate_alone(&home);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"]);
        let output = serve.arg(option).arg(&file).output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option}: {why}");
        assert!(why.contains(said), "{option}: {why}");
        assert!(output.stdout.is_empty(), "{option}");
        assert!(!home.join(FILE_NAME).exists(), "{option}");
    }
}

#[tokio::test]
async fn a_gate_that_is_told_to_stop_finishes_what_runs_and_leaves_with_status_0() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let process = Process::start(&home, &upstream).await;
    let address = process.address;
    let (mut client, mut served) = ask(&process, &upstream, Door::Connect, 1).await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
        .await;
    client
        .expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
        .await;
    process.terminate();
    // The sign that it has heard: nobody new is let in.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    served.send("}").await;
    client.expect(b"}").await;
    let (status, _) = process.ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(records(&home)[0].outcome, Outcome::Complete);
}

#[tokio::test]
async fn a_line_as_it_happens_is_the_line_of_the_log_is_the_record() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let process = Process::start(&home, &upstream).await;
    let (mut client, mut served) = ask(&process, &upstream, Door::Connect, 1).await;
    served.send(OK).await;
    client.expect(OK).await;
    let mut refused = process.plain().await;
    refused.send("NONSENSE\r\n\r\n").await;
    refused.answer().await;
    let logged = process.say(&["log", "--json"]);
    let id = records(&home)[0].id.clone();
    let shown: Value = serde_json::from_str(&process.say(&["show", &id, "--json"])).unwrap();
    process.terminate();
    let (_, printed) = process.ended().await;
    let kept: Vec<Value> = records(&home)
        .iter()
        .map(|record| serde_json::to_value(record).unwrap())
        .collect();
    assert_eq!(lines(&logged), kept);
    assert_eq!(lines(&printed), kept);
    assert_eq!(shown["model"], "m1");
    assert!(said(&home, &["show", &id]).contains("POST /model/m1/invoke HTTP/1.1"));
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_what_passes_through() {
    const MIB: usize = 1024 * 1024;
    const SIZE: usize = 64 * MIB;
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let process = Process::start(&home, &upstream).await;
    let (mut client, mut served) = ask(&process, &upstream, Door::Connect, 1).await;
    served.send(OK).await;
    client.expect(OK).await;
    let before = process.peak_memory();

    let head = format!(
        "POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    client.send(&head).await;
    served.expect(head.as_bytes()).await;
    pour(&mut client, &mut served, SIZE / MIB).await;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    served.send(&head).await;
    client.expect(head.as_bytes()).await;
    pour(&mut served, &mut client, SIZE / MIB).await;

    let grown = process.peak_memory() - before;
    assert!(
        grown < 16 * MIB as u64,
        "{grown} bytes more for 128 MiB of bodies"
    );
    assert_eq!(records(&home).len(), 2);
}

/// Sends so many mebibytes and reads them at the other side.
#[cfg(target_os = "linux")]
async fn pour(from: &mut RawClient, to: &mut RawClient, mebibytes: usize) {
    let piece = vec![b'{'; 1024 * 1024];
    let sending = async {
        for _ in 0..mebibytes {
            from.send(&piece).await;
        }
    };
    let receiving = async {
        for _ in 0..mebibytes {
            to.exactly(piece.len()).await;
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn an_exchange_that_a_second_signal_cuts_is_counted_as_far_as_it_came() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let process = Process::start(&home, &upstream).await;
    let address = process.address;
    let (mut client, mut served) = ask(&process, &upstream, Door::Connect, 1).await;
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{";
    served.send(begun).await;
    client.expect(begun.as_bytes()).await;
    let mut tunnel = process.plain().await;
    tunnel
        .send(format!("CONNECT {} HTTP/1.1\r\n\r\n", upstream.address))
        .await;
    tunnel.head().await;
    process.terminate();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    process.terminate();
    assert_eq!(client.end().await, End::Cut);
    process.ended().await;
    let mut kept = records(&home);
    kept.sort_by_key(|record| record.entry.as_str());
    assert_eq!(kept.len(), 2, "{kept:#?}");
    assert_eq!((kept[0].status, kept[0].response_bytes), (Some(200), 1));
    assert_ne!(kept[0].outcome, Outcome::Complete);
    assert_eq!(kept[1].entry, Entry::Tunnel);
}
