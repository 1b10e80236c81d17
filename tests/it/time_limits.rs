//! Whoever is waited for, is waited for so long and no longer; and what takes its time without being late is left alone.

use std::time::Duration;

use tollgate::config::Timeouts;
use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, End, Gate, RawClient, RawUpstream};

fn head(door: Door, length: usize) -> String {
    let target = door.target(BEDROCK, "/model/m/invoke");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: {length}\r\n\r\n")
}

async fn gate(upstream: &RawUpstream, change: impl FnOnce(&mut Timeouts)) -> Gate {
    let plan = Plan::new().before(upstream);
    plan.with(|settings| change(&mut settings.timeouts))
        .start()
        .await
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up_and_its_upstream_sees_it_cut() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, |limits| limits.body = Duration::from_millis(100)).await;
    for door in [Door::Connect, Door::ConnectInTls, Door::Forward] {
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(format!("{}12345", head(door, 10))).await;
        let mut served = upstream.accept().await;
        served.head().await;
        served.expect(b"12345").await;
        assert_ne!(served.end().await, End::Closed, "{door:?}");
        client.end().await;
        let record = gate.records().pop().unwrap();
        assert_eq!(
            (record.outcome, record.request_bytes),
            (Outcome::ClientAborted, 5),
            "{door:?}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_its_upstream_back_and_is_given_up() {
    const ANNOUNCED: usize = 1 << 30;
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, |limits| limits.body = Duration::from_millis(500)).await;
    for door in [Door::Connect, Door::Forward] {
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(head(door, 0)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {ANNOUNCED}\r\n\r\n"
            ))
            .await;
        // Each send waits until the gate takes it. If the gate took everything, this would go on to the end.
        let (piece, mut sent) = (vec![0; 1 << 16], 0);
        while sent < ANNOUNCED && served.try_send(&piece).await.is_ok() {
            sent += piece.len();
        }
        // The kernel's buffers, and what the gate holds of one exchange.
        assert!(sent < ANNOUNCED / 8, "{door:?}: {sent} bytes were taken");
        drop(served);
        let (taken, _) = client.rest().await;
        assert!(taken.len() < ANNOUNCED, "{door:?}");
        let record = gate.records().pop().unwrap();
        assert_eq!(record.outcome, Outcome::ClientAborted, "{door:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_is_given_up() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, |limits| limits.body = Duration::from_millis(500)).await;
    const ANNOUNCED: usize = 1 << 30;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(head(Door::Connect, ANNOUNCED)).await;
    let mut served = upstream.accept().await;
    served.head().await;
    let (piece, mut sent) = (vec![0; 1 << 16], 0);
    while sent < ANNOUNCED && client.try_send(&piece).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < ANNOUNCED / 8, "{sent} bytes were taken");
    drop(served);
    let record = gate.stop().await.record();
    assert_eq!(
        (record.status, record.outcome),
        (Some(503), Outcome::Failed)
    );
}

#[tokio::test]
async fn an_answer_is_owed_once_the_request_is_whole_and_no_sooner() {
    const LIMIT: Duration = Duration::from_secs(1);
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, |limits| limits.response = LIMIT).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(head(Door::Connect, 4)).await;
    let mut served = upstream.accept().await;
    served.head().await;
    for octet in ["a", "b", "c", "d"] {
        // A slow upload takes longer than an answer may.
        tokio::time::sleep(LIMIT * 2 / 5).await;
        client.send(octet).await;
        served.expect(octet.as_bytes()).await;
    }
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    served.send(ok).await;
    client.expect(ok).await;
    // The next one is whole at once, and never answered.
    client.send(head(Door::Connect, 0)).await;
    served.request().await;
    let answer = client.answer().await;
    answer.assert_typed(408, "ModelTimeoutException", "upstream-silent");
}

#[tokio::test]
async fn a_response_head_that_drips_is_not_waited_for_for_ever() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, |limits| {
        limits.response = Duration::from_millis(300);
    })
    .await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(head(Door::Connect, 0)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    let drip = tokio::spawn(async move {
        served.send("HTTP/1.1 200 OK\r\nX: ").await;
        while served.try_send("x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let answer = client.answer().await;
    answer.assert_typed(408, "ModelTimeoutException", "upstream-silent");
    drip.await.unwrap();
}

#[tokio::test]
async fn a_gate_that_is_told_to_stop_waits_as_long_as_it_is_told_to() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, |limits| limits.stop = Duration::from_millis(200)).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(head(Door::Connect, 0)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
    served.send(begun).await;
    client.expect(begun).await;
    // Nothing ends this exchange but the limit.
    let record = gate.stop().await.record();
    assert_eq!(record.outcome, Outcome::UpstreamAborted);
    assert_eq!(client.end().await, End::Cut);
}

async fn tunnel(gate: &Gate, upstream: &RawUpstream) -> (RawClient, RawClient) {
    let mut client = gate.plain().await;
    client
        .send(format!("CONNECT {ELSEWHERE}:443 HTTP/1.1\r\n\r\n"))
        .await;
    let served = upstream.accept().await;
    client.head().await;
    (client, served)
}

#[tokio::test]
async fn a_tunnel_in_which_nobody_speaks_is_closed_and_one_in_which_one_side_speaks_is_not() {
    const LIMIT: Duration = Duration::from_secs(2);
    let upstream = RawUpstream::plain().await;
    let plan = Plan::new().connect_to(ELSEWHERE, &upstream);
    let plan = plan.with(|settings| settings.timeouts.tunnel = LIMIT);
    let gate = plan.start().await;
    let (mut client, mut served) = tunnel(&gate, &upstream).await;
    let (mut busy_client, mut busy_served) = tunnel(&gate, &upstream).await;
    let silence = async {
        client.end().await;
        served.end().await;
    };
    let mut silence = std::pin::pin!(silence);
    let mut closed = false;
    // Until the silent one was closed, and for as long again.
    let mut left = 0;
    while !closed || left > 0 {
        busy_served.send("x").await;
        busy_client.expect(b"x").await;
        tokio::select! {
            () = &mut silence, if !closed => {
                closed = true;
                left = 40;
            }
            () = tokio::time::sleep(LIMIT / 40) => left = usize::saturating_sub(left, 1),
        }
    }
    let record = gate.records().pop().unwrap();
    assert_eq!(record.entry, Entry::Tunnel);
    assert_eq!(gate.records().len(), 1);
}
