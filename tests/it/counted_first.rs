//! Whoever holds a whole answer can be sure that it was counted: the record is committed before the last byte leaves.

use std::time::Duration;

use rusqlite::Connection;
use tokio::net::TcpListener;
use tollgate::config::LedgerFailure;
use tollgate::ledger::{FILE_NAME, Outcome};

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, End, Gate, Going, RawClient, RawUpstream, within};

/// A response as a part before its last piece, and that piece. An empty piece stands for the connection's end.
const RESPONSES: &[(&[u8], &[u8])] = &[
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", b"c"),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r",
        b"\n",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n",
        b"\r\n",
    ),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", b"\n"),
    (b"HTTP/1.1 204 No Content\r\n\r", b"\n"),
    (b"HTTP/1.1 200 OK\r\n\r\nabc", b""),
];

async fn ask(upstream: &RawUpstream, client: &mut RawClient, door: Door) -> RawClient {
    let target = door.target(BEDROCK, "/model/m/converse");
    client
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
}

/// What of `before` is passed on while the last piece is missing: nothing of a head that is not complete.
fn passed_before_the_last(before: &[u8]) -> &[u8] {
    if memchr::memmem::find(before, b"\r\n\r\n").is_some() {
        before
    } else {
        &[]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_record_before_the_last_piece_and_there_is_one_once_the_client_has_it() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut expected = 0;
    for door in [Door::Connect, Door::Route] {
        for (before, last) in RESPONSES.iter().cycle().take(24) {
            let mut client = door.open(&gate, BEDROCK).await;
            let mut served = ask(&upstream, &mut client, door).await;
            served.send(before).await;
            let passed = passed_before_the_last(before);
            client.expect(passed).await;
            assert_eq!(gate.records().len(), expected);
            served.send(last).await;
            if last.is_empty() {
                served.close().await;
                assert_eq!(client.end().await, End::Closed);
            } else {
                client
                    .expect(&[&before[passed.len()..], last].concat())
                    .await;
            }
            expected += 1;
            let records = gate.records();
            assert_eq!(records.len(), expected);
            assert_eq!(records[expected - 1].outcome, Outcome::Complete);
        }
    }
}

#[tokio::test]
async fn no_answer_of_ours_is_told_before_its_record_is_committed() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let ledger = Connection::open(gate.home().join(FILE_NAME)).unwrap();
    let refused = [
        "NONSENSE\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT no-port.example HTTP/1.1\r\n\r\n",
    ];
    for request in refused.into_iter().map(Some).chain([None]) {
        let mut client = gate.plain().await;
        let served = match request {
            Some(_) => None,
            None => Some(ask(&upstream, &mut client, Door::Forward).await),
        };
        ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
        match (request, served) {
            (Some(request), _) => client.send(request).await,
            // An upstream that ends before its answer is a failure.
            (None, served) => served.unwrap().close().await,
        }
        let early = tokio::time::timeout(Duration::from_millis(100), client.exactly(1)).await;
        assert!(early.is_err(), "{request:?}: told before it was recorded");
        ledger.execute_batch("ROLLBACK").unwrap();
        let status = client.answer().await.status();
        let record = gate.records().pop().unwrap();
        assert_eq!(record.status, Some(status), "{request:?}");
    }
}

#[tokio::test]
async fn the_last_piece_waits_for_the_commit() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let ledger = Connection::open(gate.home().join(FILE_NAME)).unwrap();
    for (before, last) in RESPONSES.iter().filter(|(_, last)| !last.is_empty()) {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let mut served = ask(&upstream, &mut client, Door::Connect).await;
        ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
        served.send(before).await;
        let passed = passed_before_the_last(before);
        client.expect(passed).await;
        served.send(last).await;
        let early = tokio::time::timeout(Duration::from_millis(100), client.exactly(1)).await;
        assert!(
            early.is_err(),
            "the end came although its record could not be committed"
        );
        ledger.execute_batch("ROLLBACK").unwrap();
        client
            .expect(&[&before[passed.len()..], last].concat())
            .await;
        assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Complete);
    }
}

#[tokio::test]
async fn a_ledger_that_hangs_holds_an_answer_up_but_does_not_keep_it() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let ledger = Connection::open(gate.home().join(FILE_NAME)).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served = ask(&upstream, &mut client, Door::Connect).await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!(client.answer().await.text(), "abc");
    assert!(gate.records().is_empty());
    ledger.execute_batch("ROLLBACK").unwrap();
    client.close().await;
    assert_eq!(gate.stop().await.record().outcome, Outcome::Complete);
}

#[tokio::test]
async fn a_strict_operator_serves_nothing_while_nothing_can_be_recorded() {
    let upstream = RawUpstream::tls().await;
    let plan = Plan::new().before(&upstream);
    let gate = plan
        .with(|settings| settings.accounting.on_ledger_failure = LedgerFailure::Refuse)
        .start()
        .await;
    let ledger = Connection::open(gate.home().join(FILE_NAME)).unwrap();
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The call that meets the failure has been paid for: its answer is passed on.
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served = ask(&upstream, &mut client, Door::Connect).await;
    served
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!(client.answer().await.text(), "abc");
    let call = "POST /model/m/converse HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n\
                Content-Length: 2\r\n\r\n{}";
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(call).await;
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "ledger-failing");
    assert_eq!(upstream.connections(), 1);
    ledger.execute_batch("ROLLBACK").unwrap();
    // It is tried again within seconds; until then calls are refused, afterwards they are served.
    let served = tokio::spawn(async move {
        let mut served = upstream.accept().await;
        served.request().await;
        served
            .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
            .await;
        served
    });
    let recovered = async {
        loop {
            let mut client = Door::Connect.open(&gate, BEDROCK).await;
            client.send(call).await;
            if client.answer().await.status() == 200 {
                return;
            }
        }
    };
    within("the ledger's recovery", recovered).await;
    within("the upstream", served).await.unwrap();
    let outcomes: Vec<_> = gate
        .stop()
        .await
        .records()
        .iter()
        .map(|record| record.outcome)
        .collect();
    assert_eq!(outcomes.first(), Some(&Outcome::Complete));
    assert_eq!(outcomes.get(1), Some(&Outcome::Refused));
    assert_eq!(outcomes.last(), Some(&Outcome::Complete));
}

#[tokio::test]
async fn refusals_and_failures_are_counted_before_they_are_told() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = gate.plain().await;
    client.send("NONSENSE\r\n\r\n").await;
    client.answer().await;
    assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Refused);

    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    ask(&upstream, &mut client, Door::Connect)
        .await
        .close()
        .await;
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
    assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_answer_is_estimated_takes_no_record_along() {
    // A model that reports no tokens, and text enough for an estimate to take a while.
    let body = format!(r#"{{"prompt":"{}"}}"#, "a word or two ".repeat(4000));
    let answer = r#"{"outputs":[{"text":"Paris.","stop_reason":"stop"}]}"#;
    for going in Going::ALL {
        let upstream = RawUpstream::tls().await;
        let gate = Gate::before(&upstream).await;
        let mut calls = Vec::new();
        for _ in 0..8 {
            let mut client = Door::Connect.open(&gate, BEDROCK).await;
            client
                .send(format!(
                    "POST /model/mistral.mistral-7b-instruct-v0%3A2/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                ))
                .await;
            let mut served = upstream.accept().await;
            served.request().await;
            calls.push((client, served));
        }
        for (_, served) in &mut calls {
            served
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
                    answer.len()
                ))
                .await;
        }
        for (client, served) in calls {
            going.go(client).await;
            drop(served);
        }
        assert_eq!(gate.stop().await.records().len(), 8, "{going:?}");
    }
}

#[tokio::test]
async fn a_gate_that_is_stopped_at_once_records_what_was_still_being_dialled() {
    // It accepts, and never says a word of TLS.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let plan = Plan::new().with(|settings| settings.dial_intercepted = Some(address));
    let gate = plan.start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(format!(
            "POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let dialled = within("the gate's dialling", silent.accept()).await;
    let stopped = tokio::spawn(gate.stop_at_once());
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "stopping");
    client.close().await;
    let record = within("the stop", stopped).await.unwrap().record();
    assert_eq!(record.outcome, Outcome::Failed);
    drop(dialled);
}
