//! With `on_client_abort = "drain"` an answer whose client is gone is read on for its count, within limits.

use std::time::Duration;

use serde_json::json;
use tollgate::config::{ClientAbort, DrainLimits};
use tollgate::ledger::{Outcome, UsageRecord};
use tollgate::usage::UsageSource;

use crate::support::frames::{chunk, converse_stream, event};
use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, Gate, Going, RawClient, RawUpstream};

const GENEROUS: DrainLimits = DrainLimits {
    time: Duration::from_secs(600),
    bytes: 1 << 26,
    concurrent: 8,
};

const OPENING: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                       Transfer-Encoding: chunked\r\n\r\n";

async fn gate(upstream: &RawUpstream, limits: DrainLimits) -> Gate {
    Plan::new()
        .before(upstream)
        .with(|settings| settings.accounting.on_client_abort = ClientAbort::Drain(limits))
        .start()
        .await
}

/// Asks, and lets the upstream begin to answer if it is to.
async fn ask(
    gate: &Gate,
    upstream: &RawUpstream,
    door: Door,
    begin: bool,
) -> (RawClient, RawClient) {
    let target = door.target(BEDROCK, "/model/us.amazon.nova-lite-v1%3A0/converse-stream");
    let mut client = door.open(gate, BEDROCK).await;
    client
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    if begin {
        let first = [OPENING.as_bytes(), &chunk(&converse_stream()[0])].concat();
        served.send(&first).await;
        client.expect(&first).await;
    }
    (client, served)
}

fn assert_drained(record: &UsageRecord, what: &str) {
    assert_eq!(record.outcome, Outcome::ClientAborted, "{what}");
    let usage = &record.usage;
    assert_eq!(
        (usage.input_tokens, usage.output_tokens),
        (Some(7), Some(2)),
        "{what}"
    );
    assert_eq!(usage.source, Some(UsageSource::Stream), "{what}");
}

#[tokio::test]
async fn the_rest_is_read_for_its_count_wherever_the_client_left() {
    for door in [Door::Connect, Door::ConnectInTls, Door::Forward] {
        for going in Going::ALL {
            for begin in [true, false] {
                let what = format!("{door:?}, {going:?}, {begin}");
                let upstream = RawUpstream::tls().await;
                let gate = gate(&upstream, GENEROUS).await;
                let (client, mut served) = ask(&gate, &upstream, door, begin).await;
                going.go(client).await;
                if !begin {
                    served.send(OPENING).await;
                    served.send(chunk(&converse_stream()[0])).await;
                }
                // More than any socket holds for a client that does not read: the gate cannot but notice.
                let text = json!({"contentBlockIndex": 0, "delta": {"text": "x".repeat(1 << 20)}});
                for _ in 0..3 {
                    served.send(chunk(&event("contentBlockDelta", &text))).await;
                }
                for event in &converse_stream()[1..] {
                    served.send(chunk(event)).await;
                }
                served.send("0\r\n\r\n").await;
                assert_drained(&gate.stop().await.record(), &what);
            }
        }
    }
}

#[tokio::test]
async fn a_limit_that_is_reached_lets_the_upstream_see_the_hang_up() {
    let limits = [
        (
            "bytes",
            DrainLimits {
                bytes: 10,
                ..GENEROUS
            },
        ),
        (
            "concurrent",
            DrainLimits {
                concurrent: 0,
                ..GENEROUS
            },
        ),
        (
            "time",
            DrainLimits {
                time: Duration::ZERO,
                ..GENEROUS
            },
        ),
    ];
    for (what, limits) in limits {
        let upstream = RawUpstream::tls().await;
        let gate = gate(&upstream, limits).await;
        let (client, mut served) = ask(&gate, &upstream, Door::Connect, true).await;
        Going::Resetting.go(client).await;
        if what == "bytes" {
            for event in &converse_stream()[1..3] {
                // The second one may find the connection closed already.
                served.try_send(chunk(event)).await.ok();
            }
        }
        served.end().await;
        drop(served);
        let record = gate.stop().await.record();
        assert_eq!(record.outcome, Outcome::ClientAborted, "{what}");
        assert_ne!(record.usage.source, Some(UsageSource::Stream), "{what}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_while_it_is_drained_is_the_clients_hang_up() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, GENEROUS).await;
    let (client, mut served) = ask(&gate, &upstream, Door::Connect, true).await;
    Going::Resetting.go(client).await;
    let text = json!({"contentBlockIndex": 0, "delta": {"text": "x".repeat(1 << 20)}});
    for _ in 0..3 {
        served.send(chunk(&event("contentBlockDelta", &text))).await;
    }
    drop(served);
    let record = gate.stop().await.record();
    assert_eq!(record.outcome, Outcome::ClientAborted);
    assert_ne!(record.usage.source, Some(UsageSource::Stream));
}

#[tokio::test]
async fn a_client_that_may_only_have_stopped_sending_counts_as_a_drain() {
    let none = DrainLimits {
        concurrent: 0,
        ..GENEROUS
    };
    let no_time = DrainLimits {
        time: Duration::ZERO,
        ..GENEROUS
    };
    for (what, limits) in [("concurrent", none), ("time", no_time)] {
        let upstream = RawUpstream::tls().await;
        let gate = gate(&upstream, limits).await;
        let (mut client, mut served) = ask(&gate, &upstream, Door::Forward, false).await;
        client.half_close().await;
        // As without us, and without harm to a client that goes on reading.
        served.end().await;
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        served.send(answer).await;
        assert_eq!(client.answer().await.text(), "{}", "{what}");
        let record = gate.stop().await.record();
        assert_eq!(record.outcome, Outcome::Complete, "{what}");
    }
}

#[tokio::test]
async fn clients_that_stopped_sending_take_the_places_of_drains() {
    let one = DrainLimits {
        concurrent: 1,
        ..GENEROUS
    };
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, one).await;
    let (mut first, mut served_first) = ask(&gate, &upstream, Door::Forward, false).await;
    first.half_close().await;
    let (mut second, mut served_second) = ask(&gate, &upstream, Door::Forward, false).await;
    second.half_close().await;
    // One of them is waited for, the other one's end is passed on.
    let ended = async {
        tokio::select! {
            _ = served_first.end() => {}
            _ = served_second.end() => {}
        }
    };
    crate::support::within("one hang-up", ended).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    served_first.send(answer).await;
    served_second.send(answer).await;
    assert_eq!(first.answer().await.text(), "{}");
    assert_eq!(second.answer().await.text(), "{}");
    assert_eq!(gate.stop().await.records().len(), 2);
}
