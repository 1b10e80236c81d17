//! A stop is orderly: nobody new is let in, what runs may finish or is cut in time, everything is written down, and the
//! status is 0. What is no call does not hold it up. Other signals do no harm.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tollgate::ledger::{Entry, FILE_NAME, Outcome, Query, Reader, UsageRecord};

use crate::support::frames::{chunk, converse_stream};
use crate::support::process::Process;
use crate::support::{BEDROCK, Door, End, RawClient, RawUpstream, until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";
/// What the gate says when it had to cut something.
const CUTS: &str = "they are cut";
/// What it says when something held it up even then.
const LEFT_OPEN: &str = "connections were still open";

fn home() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    (parent, home)
}

fn records(home: &Path) -> Vec<UsageRecord> {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    let records = reader.records(&Query::default()).unwrap();
    records.map(Result::unwrap).collect()
}

async fn ask(process: &Process, upstream: &RawUpstream, door: Door) -> (RawClient, RawClient) {
    let mut client = door.open(process, BEDROCK).await;
    let target = door.target(BEDROCK, "/model/us.amazon.nova-lite-v1%3A0/converse-stream");
    client
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    (client, served)
}

/// A tunnel to `to`, and its other end.
async fn tunnel(process: &Process, to: &RawUpstream) -> (RawClient, RawClient) {
    let mut client = process.plain().await;
    client
        .send(format!("CONNECT {} HTTP/1.1\r\n\r\n", to.address))
        .await;
    let served = to.accept().await;
    client.head().await;
    (client, served)
}

/// Ends `process`, which must have waited for nobody.
async fn ends_well(process: Process) -> String {
    let (status, _, said) = process.ended_saying().await;
    assert!(status.success(), "{status}");
    assert!(!said.contains(LEFT_OPEN), "{said}");
    said
}

#[tokio::test]
async fn calls_streams_and_tunnels_that_run_may_finish_and_whoever_only_keeps_a_connection_is_let_go()
 {
    for signal in [Signal::TERM, Signal::INT] {
        let upstream = RawUpstream::tls().await;
        let elsewhere = RawUpstream::plain().await;
        let (_parent, home) = home();
        let process = Process::start(&home, &upstream).await;
        let mut idle = Vec::new();
        for door in Door::ALL {
            idle.push(door.open(&process, BEDROCK).await);
        }
        let (mut waiting, mut asked) = ask(&process, &upstream, Door::Forward).await;
        let (mut reading, mut streaming) = ask(&process, &upstream, Door::Connect).await;
        let events = converse_stream();
        let begun = [STREAM.as_bytes(), &chunk(&events[0])].concat();
        streaming.send(&begun).await;
        reading.expect(&begun).await;
        let (mut used, mut kept) = ask(&process, &upstream, Door::Connect).await;
        kept.send(OK).await;
        used.expect(OK).await;
        idle.push(used);
        let (mut talking, mut hearing) = tunnel(&process, &elsewhere).await;
        talking.send("a question").await;
        hearing.expect(b"a question").await;

        process.signal(signal);
        for mut client in idle {
            assert_eq!(client.end().await, End::Closed);
        }
        until("nobody new is let in", || {
            std::net::TcpStream::connect(process.address).is_err()
        })
        .await;
        asked.send(OK).await;
        waiting.expect(OK).await;
        assert_eq!(waiting.end().await, End::Closed);
        for event in &events[1..] {
            streaming.send(chunk(event)).await;
            reading.expect(&chunk(event)).await;
        }
        streaming.send("0\r\n\r\n").await;
        reading.expect(b"0\r\n\r\n").await;
        assert_eq!(reading.end().await, End::Closed);
        hearing.send("an answer").await;
        talking.expect(b"an answer").await;
        // It keeps its connection for later, which is no reason to wait.
        assert_eq!(talking.end().await, End::Closed);
        assert_eq!(hearing.end().await, End::Closed);
        let said = ends_well(process).await;
        assert!(!said.contains(CUTS), "{said}");
        let records = records(&home);
        assert_eq!(records.len(), 4);
        for record in records {
            assert_eq!(record.outcome, Outcome::Complete, "{record:#?}");
        }
    }
}

/// Whoever is at the door when the gate stops: silent, in the middle of its first bytes, of a handshake, of a head.
async fn at_the_door(process: &Process) -> Vec<(&'static str, RawClient)> {
    let mut half_sniffed = process.plain().await;
    half_sniffed.send("PRI * HT").await;
    let mut half_handshake = process.plain().await;
    half_handshake.send(b"\x16\x03\x01\x02\x00\x01").await;
    let mut tunnelled = process.plain().await;
    tunnelled
        .send(format!(
            "CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n\x16\x03\x01\x02"
        ))
        .await;
    tunnelled.head().await;
    let mut half_head = process.tls("localhost").await;
    half_head
        .send("POST /service/standard/m HTTP/1.1\r\nHo")
        .await;
    vec![
        ("silent", process.plain().await),
        ("silent in TLS", process.tls("localhost").await),
        ("half sniffed", half_sniffed),
        ("half a handshake", half_handshake),
        ("half a handshake in a tunnel", tunnelled),
        ("half a head", half_head),
    ]
}

#[tokio::test]
async fn nobody_holds_a_stop_up_who_is_not_in_yet() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    // So that no limit ends what the stop should.
    let patient = ["--tls-timeout", "1h", "--head-timeout", "1h"];
    let process = Process::start_within(&home, &upstream, &patient, None).await;
    let at_the_door = at_the_door(&process).await;
    process.terminate();
    for (what, client) in at_the_door {
        let mut client = client;
        let (said, end) = client.rest().await;
        assert!(said.is_empty(), "{what}: {said:?}, {end:?}");
    }
    let said = ends_well(process).await;
    assert!(!said.contains(CUTS), "{said}");
    assert!(records(&home).is_empty());
}

#[tokio::test]
async fn a_request_behind_the_one_that_runs_is_a_new_one() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let process = Process::start(&home, &upstream).await;
    let (mut client, mut served) = ask(&process, &upstream, Door::Connect).await;
    client
        .send(format!(
            "POST /model/m2/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    process.stop_accepting().await;
    served.send(OK).await;
    client.expect(OK).await;
    assert_eq!(client.end().await, End::Closed);
    served.end().await;
    ends_well(process).await;
    assert_eq!(records(&home).len(), 1);
}

#[tokio::test]
async fn what_does_not_come_to_its_end_in_time_is_cut_and_recorded_as_far_as_it_came() {
    let upstream = RawUpstream::tls().await;
    let elsewhere = RawUpstream::plain().await;
    let (_parent, home) = home();
    let process = Process::start_with(&home, &upstream, |command| {
        command.args(["--stop-timeout", "1s"]);
    })
    .await;
    let (mut waiting, asked) = ask(&process, &upstream, Door::Connect).await;
    let (mut reading, mut streaming) = ask(&process, &upstream, Door::Connect).await;
    let event = chunk(&converse_stream()[0]);
    let begun = [STREAM.as_bytes(), &event].concat();
    streaming.send(&begun).await;
    reading.expect(&begun).await;
    let (mut talking, mut hearing) = tunnel(&process, &elsewhere).await;
    talking.send("a question").await;
    hearing.expect(b"a question").await;
    process.terminate();
    waiting
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "stopping");
    assert_eq!(reading.end().await, End::Cut);
    talking.end().await;
    hearing.end().await;
    streaming.end().await;
    drop(asked);
    let said = ends_well(process).await;
    assert!(said.contains(CUTS), "{said}");
    let mut records = records(&home);
    records.sort_by_key(|record| (record.entry.as_str(), record.status));
    let ends: Vec<_> = records
        .iter()
        .map(|record| (record.entry, record.status, record.outcome))
        .collect();
    let expected = [
        (Entry::Connect, Some(200), Outcome::UpstreamAborted),
        (Entry::Connect, Some(503), Outcome::Failed),
        (Entry::Tunnel, Some(200), Outcome::UpstreamAborted),
    ];
    assert_eq!(ends, expected);
    assert_eq!(records[0].response_bytes, event.len() as u64);
    assert_eq!(records[2].request_bytes, 10);
}

#[tokio::test]
async fn a_second_signal_ends_it_whoever_is_connected_and_what_is_known_is_written_down() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::TERM, Signal::INT),
        (Signal::INT, Signal::TERM),
    ] {
        let upstream = RawUpstream::tls().await;
        let elsewhere = RawUpstream::plain().await;
        let (_parent, home) = home();
        let process = Process::start(&home, &upstream).await;
        let (mut waiting, _asked) = ask(&process, &upstream, Door::Connect).await;
        let (mut talking, _hearing) = tunnel(&process, &elsewhere).await;
        talking.send("a question").await;
        // Refused, and goes on sending: it is listened to for a while so that it can read why.
        let mut refused = process.plain().await;
        refused.send("NONSENSE\r\n\r\n").await;
        refused.answer().await;
        // Asks for more than its buffers hold and reads none of it.
        let (mut deaf, mut flooding) = ask(&process, &upstream, Door::Forward).await;
        flooding
            .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            .await;
        deaf.head().await;
        let flood =
            tokio::spawn(
                async move { while flooding.try_send(vec![b'x'; 65536]).await.is_ok() {} },
            );
        process.signal(first);
        until("nobody new is let in", || {
            std::net::TcpStream::connect(process.address).is_err()
        })
        .await;
        let moving = tokio::spawn(async move {
            while refused.try_send("more of it ").await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        process.signal(second);
        waiting
            .answer()
            .await
            .assert_typed(503, "ServiceUnavailableException", "stopping");
        ends_well(process).await;
        flood.await.unwrap();
        moving.await.unwrap();
        let mut outcomes: Vec<_> = records(&home)
            .iter()
            .map(|record| record.outcome.as_str())
            .collect();
        outcomes.sort_unstable();
        assert_eq!(
            outcomes,
            ["failed", "refused", "upstream_aborted", "upstream_aborted"]
        );
        drop(deaf);
    }
}

#[tokio::test]
async fn signals_that_ask_for_nothing_do_no_harm() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let process = Process::start(&home, &upstream).await;
    let (mut client, mut served) = ask(&process, &upstream, Door::Connect).await;
    for signal in [Signal::HUP, Signal::PIPE, Signal::XFSZ, Signal::HUP] {
        process.signal(signal);
    }
    served.send(OK).await;
    client.expect(OK).await;
    // Whoever answers another call after them has survived them.
    for signal in [Signal::HUP, Signal::PIPE, Signal::XFSZ] {
        process.signal(signal);
        client
            .send(format!(
                "POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
            ))
            .await;
        served.request().await;
        served.send(OK).await;
        client.expect(OK).await;
    }
    process.terminate();
    ends_well(process).await;
    assert_eq!(records(&home).len(), 4);
}

#[tokio::test]
async fn a_gate_whose_outputs_nobody_reads_any_more_goes_on_and_ends_well() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home();
    let process = Process::start_unheard(&home, &upstream).await;
    let mut client = Door::Connect.open(&process, BEDROCK).await;
    let mut served: Option<RawClient> = None;
    for number in 0..20 {
        client
            .send(format!(
                "POST /model/m{number}/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
            ))
            .await;
        let served = match &mut served {
            Some(served) => served,
            none => none.insert(upstream.accept().await),
        };
        served.request().await;
        served.send(OK).await;
        client.expect(OK).await;
    }
    // Each of these is worth a line on standard error.
    let mut refused = process.plain().await;
    refused.send("NONSENSE\r\n\r\n").await;
    refused.answer().await;
    process.terminate();
    let (status, _) = process.ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(records(&home).len(), 21);
}
