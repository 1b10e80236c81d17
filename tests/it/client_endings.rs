//! A client that hangs up is passed on as a hang-up, at once; one that only stops sending gets its answer.

use tollgate::ledger::Outcome;

use crate::support::frames::{chunk, converse_stream};
use crate::support::{
    BEDROCK, Door, End, Gate, Going, RawClient, RawUpstream, assert_bytes, shown,
};

fn head(door: Door, framing: &str) -> String {
    let target = door.target(BEDROCK, "/model/us.amazon.nova-lite-v1%3A0/converse-stream");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n{framing}\r\n\r\n")
}

#[tokio::test]
async fn one_that_vanishes_in_mid_request_leaves_half_a_request_and_no_more() {
    let halves = [
        ("Content-Length: 10", "12345"),
        ("Transfer-Encoding: chunked", ""),
        ("Transfer-Encoding: chunked", "5\r\nhel"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
    ];
    for door in [Door::Connect, Door::Forward] {
        for going in Going::ALL {
            for (framing, half) in halves {
                let upstream = RawUpstream::tls().await;
                let gate = Gate::before(&upstream).await;
                let mut client = door.open(&gate, BEDROCK).await;
                client.send(format!("{}{half}", head(door, framing))).await;
                let mut served = upstream.accept().await;
                served.head().await;
                served.expect(half.as_bytes()).await;
                going.go(client).await;
                let (rest, end) = served.rest().await;
                assert!(rest.is_empty(), "{door:?}, {going:?}: {}", shown(&rest));
                assert_ne!(
                    end,
                    End::Closed,
                    "half a request looks like a whole one that was cut in order"
                );
                let record = gate.stop().await.record();
                assert_eq!(
                    record.outcome,
                    Outcome::ClientAborted,
                    "{door:?}, {going:?}"
                );
                assert_eq!(
                    (record.status, record.request_bytes),
                    (None, half.len() as u64)
                );
            }
        }
    }
}

#[tokio::test]
async fn one_that_vanishes_while_it_waits_takes_the_upstream_connection_along() {
    for door in [Door::Connect, Door::ConnectInTls, Door::Forward] {
        for going in Going::ALL {
            let upstream = RawUpstream::tls().await;
            let gate = Gate::before(&upstream).await;
            let mut client = door.open(&gate, BEDROCK).await;
            client
                .send(format!("{}{{}}", head(door, "Content-Length: 2")))
                .await;
            let mut served = upstream.accept().await;
            served.request().await;
            going.go(client).await;
            served.end().await;
            // Over plain TCP nobody can tell a client that left from one that only stopped sending, until it is told.
            served
                .try_send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                .await
                .ok();
            for _ in 0..100 {
                if served.try_send(vec![b'x'; 10_000]).await.is_err() {
                    break;
                }
            }
            drop(served);
            let outcome = gate.stop().await.record().outcome;
            if door == Door::Forward && going != Going::Resetting {
                assert!(
                    matches!(outcome, Outcome::ClientAborted | Outcome::Complete),
                    "{outcome:?}"
                );
            } else {
                assert_eq!(outcome, Outcome::ClientAborted, "{door:?}, {going:?}");
            }
        }
    }
}

#[tokio::test]
async fn one_that_vanishes_in_mid_stream_is_noticed_without_another_event() {
    for door in [
        Door::Connect,
        Door::ConnectInTls,
        Door::Transparent,
        Door::Forward,
    ] {
        for going in Going::ALL {
            let upstream = RawUpstream::tls().await;
            let gate = Gate::before(&upstream).await;
            let mut client = door.open(&gate, BEDROCK).await;
            client
                .send(format!("{}{{}}", head(door, "Content-Length: 2")))
                .await;
            let mut served = upstream.accept().await;
            served.request().await;
            let opening = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                           Transfer-Encoding: chunked\r\n\r\n";
            let event = chunk(&converse_stream()[0]);
            served.send([opening.as_bytes(), &event].concat()).await;
            client.expect(opening.as_bytes()).await;
            client.expect(&event).await;
            going.go(client).await;
            served.end().await;
            drop(served);
            let record = gate.stop().await.record();
            if door == Door::Forward && going != Going::Resetting {
                assert!(matches!(
                    record.outcome,
                    Outcome::ClientAborted | Outcome::UpstreamAborted
                ));
            } else {
                assert_eq!(
                    record.outcome,
                    Outcome::ClientAborted,
                    "{door:?}, {going:?}"
                );
            }
            assert_eq!((record.status, record.stream), (Some(200), true));
            assert_eq!(record.response_bytes, event.len() as u64);
        }
    }
}

#[tokio::test]
async fn a_plain_client_whose_end_is_answered_by_an_end_is_the_one_who_left() {
    for door in [Door::Forward, Door::Route, Door::TransparentPlain] {
        let upstream = RawUpstream::tls().await;
        let gate = Gate::before(&upstream).await;
        let mut client = door.open(&gate, BEDROCK).await;
        client
            .send(format!("{}{{}}", head(door, "Content-Length: 2")))
            .await;
        client.half_close().await;
        let mut served = upstream.accept().await;
        served.request().await;
        assert_eq!(served.end().await, End::Closed);
        served.close().await;
        client.end().await;
        assert_eq!(gate.stop().await.record().outcome, Outcome::ClientAborted);
    }
}

#[tokio::test]
async fn a_plain_client_that_only_stops_sending_gets_its_whole_answer() {
    for door in [Door::Forward, Door::Route, Door::TransparentPlain] {
        let upstream = RawUpstream::tls().await;
        let gate = Gate::before(&upstream).await;
        let mut client = door.open(&gate, BEDROCK).await;
        client
            .send(format!("{}{{}}", head(door, "Content-Length: 2")))
            .await;
        client.half_close().await;
        let mut served = upstream.accept().await;
        served.request().await;
        // What the client did is what the upstream sees.
        assert_eq!(served.end().await, End::Closed);
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        served.send(answer).await;
        client.expect(answer).await;
        for _ in 0..3 {
            served.send(chunk(b"still here")).await;
            client.expect(&chunk(b"still here")).await;
        }
        served.send("0\r\n\r\n").await;
        client.expect(b"0\r\n\r\n").await;
        assert_eq!(client.end().await, End::Closed);
        assert_eq!(gate.stop().await.record().outcome, Outcome::Complete);
    }
}

#[tokio::test]
async fn one_that_leaves_after_its_answer_leaves_a_warm_connection_behind() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut served: Option<RawClient> = None;
    for going in Going::ALL {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client
            .send(format!("{}{{}}", head(Door::Connect, "Content-Length: 2")))
            .await;
        let line = match &mut served {
            Some(served) => served,
            none => none.insert(upstream.accept().await),
        };
        line.request().await;
        line.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        assert_bytes(&client.answer().await.content, b"{}", "at the client");
        going.go(client).await;
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn one_that_stops_reading_holds_the_upstream_back_and_costs_no_memory() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(format!("{}{{}}", head(Door::Connect, "Content-Length: 2")))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    let total = 512 * 1024 * 1024_u64;
    served
        .send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"
        ))
        .await;
    // With everybody's buffers full, a further piece waits; the gate has taken no more than they hold.
    let piece = vec![b'x'; 64 * 1024];
    let mut taken = 0_u64;
    while let Ok(sent) = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        served.try_send(&piece),
    )
    .await
    {
        sent.unwrap();
        taken += piece.len() as u64;
        assert!(taken < 64 * 1024 * 1024, "nothing holds the upstream back");
    }
    client.head().await;
    client.reset();
    served.end().await;
    assert_eq!(gate.stop().await.record().outcome, Outcome::ClientAborted);
}

#[tokio::test]
async fn one_that_vanishes_before_the_upstream_is_connected_costs_nothing() {
    for going in Going::ALL {
        // Accepts, and never answers the handshake.
        let upstream = RawUpstream::plain().await;
        let gate = Gate::before(&upstream).await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client
            .send(format!("{}{{}}", head(Door::Connect, "Content-Length: 2")))
            .await;
        let mut served = upstream.accept().await;
        assert_eq!(served.exactly(1).await, [0x16]);
        going.go(client).await;
        served.rest().await;
        let record = gate.stop().await.record();
        assert_eq!(
            (record.status, record.outcome),
            (None, Outcome::ClientAborted),
            "{going:?}"
        );
    }
}
