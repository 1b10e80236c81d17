//! A tunnel to a host that is not opened is a pipe: every byte, both ways, each way for as long as its sender wants.

use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{End, Gate, RawClient, RawUpstream};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

async fn gate_and_upstream() -> (Gate, RawUpstream) {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new().connect_to(ELSEWHERE, &upstream).start().await;
    (gate, upstream)
}

fn connect() -> String {
    format!("CONNECT {ELSEWHERE}:443 HTTP/1.1\r\nHost: {ELSEWHERE}:443\r\n\r\n")
}

#[tokio::test]
async fn any_bytes_pass_both_ways_and_are_only_counted() {
    let (gate, upstream) = gate_and_upstream().await;
    for mut client in [gate.plain().await, gate.tls("localhost").await] {
        client.send(connect()).await;
        let mut served = upstream.accept().await;
        client.expect(ESTABLISHED).await;
        // Neither TLS nor HTTP, and what would be refused if it were looked at.
        client.send(b"\x16\x03\x01\0\0 POST / HTTP/1.1\n\0").await;
        served.expect(b"\x16\x03\x01\0\0 POST / HTTP/1.1\n\0").await;
        served.send(b"\r\n\r\n\xff").await;
        client.expect(b"\r\n\r\n\xff").await;
        client.close().await;
        assert_eq!(served.end().await, End::Closed);
    }
    let left = gate.stop().await;
    for record in left.records() {
        assert_eq!(
            (record.entry, record.outcome),
            (Entry::Tunnel, Outcome::Complete)
        );
        assert_eq!(record.host.as_deref(), Some(ELSEWHERE));
        assert_eq!(
            (record.status, record.request_bytes, record.response_bytes),
            (Some(200), 23, 5)
        );
        assert_eq!(left.find(&record.id).payload, None);
    }
    assert_eq!(left.records().len(), 2);
}

#[tokio::test]
async fn bytes_in_the_segment_of_the_connect_are_not_lost() {
    let (gate, upstream) = gate_and_upstream().await;
    let mut client = gate.plain().await;
    client.send(format!("{}early", connect())).await;
    let mut served = upstream.accept().await;
    served.expect(b"early").await;
    client.expect(ESTABLISHED).await;
    client.send("late").await;
    served.expect(b"late").await;
    drop((client, served));
    assert_eq!(gate.stop().await.record().request_bytes, 9);
}

#[tokio::test]
async fn a_side_that_stops_sending_still_hears_the_other() {
    let (gate, upstream) = gate_and_upstream().await;
    for client_first in [true, false] {
        for mut client in [gate.plain().await, gate.tls("localhost").await] {
            client.send(connect()).await;
            let mut served = upstream.accept().await;
            client.expect(ESTABLISHED).await;
            if client_first {
                finish_before(&mut client, &mut served).await;
            } else {
                finish_before(&mut served, &mut client).await;
            }
        }
    }
    for record in gate.stop().await.records() {
        assert_eq!(record.outcome, Outcome::Complete);
        assert_eq!(record.request_bytes + record.response_bytes, 24);
    }
}

/// `first` says its last, hears the other out, and only then it is over.
async fn finish_before(first: &mut RawClient, second: &mut RawClient) {
    first.send("my last word").await;
    first.half_close().await;
    second.expect(b"my last word").await;
    assert_eq!(second.end().await, End::Closed);
    second.send("I go on, ").await;
    first.expect(b"I go on, ").await;
    second.send("end").await;
    second.half_close().await;
    first.expect(b"end").await;
    assert_eq!(first.end().await, End::Closed);
}

#[tokio::test]
async fn a_host_that_cannot_be_dialled_is_an_answer_and_not_a_tunnel() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let gate = Plan::new().start().await;
    for (mut client, host) in [
        (gate.plain().await, "127.0.0.1"),
        (
            gate.tls("localhost").await,
            "name.that.does.not.exist.invalid",
        ),
    ] {
        client
            .send(format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n"))
            .await;
        client
            .answer()
            .await
            .assert_plain(503, "upstream-unreachable");
        assert_eq!(client.end().await, End::Closed);
        let record = gate.records().pop().unwrap();
        assert_eq!(
            (record.entry, record.outcome, record.status),
            (Entry::Tunnel, Outcome::Failed, Some(503))
        );
        assert_eq!(record.host.as_deref(), Some(host));
    }
}

#[tokio::test]
async fn a_reset_on_either_side_ends_the_other_and_says_whose_it_was() {
    let (gate, upstream) = gate_and_upstream().await;
    let mut client = gate.plain().await;
    client.send(connect()).await;
    let mut served = upstream.accept().await;
    client.expect(ESTABLISHED).await;
    served.send("some").await;
    client.expect(b"some").await;
    client.reset();
    served.end().await;
    assert_eq!(gate.stop().await.record().outcome, Outcome::ClientAborted);

    let (gate, upstream) = gate_and_upstream().await;
    let mut client = gate.plain().await;
    client.send(connect()).await;
    let served = upstream.accept().await;
    client.expect(ESTABLISHED).await;
    served.reset();
    client.end().await;
    assert_eq!(gate.stop().await.record().outcome, Outcome::UpstreamAborted);
}

#[tokio::test]
async fn a_megabyte_each_way_at_once_comes_through_whole() {
    let (gate, upstream) = gate_and_upstream().await;
    let mut client = gate.plain().await;
    client.send(connect()).await;
    let mut served = upstream.accept().await;
    client.expect(ESTABLISHED).await;
    let mut up: Vec<u8> = (0..1_000_000_u32)
        .flat_map(|number| number.to_be_bytes())
        .collect();
    let down: Vec<u8> = up.iter().rev().copied().collect();
    up.truncate(1_000_003);
    let sender = async {
        client.send(&up).await;
        client.half_close().await;
        client.rest().await
    };
    let receiver = async {
        served.send(&down).await;
        served.half_close().await;
        served.rest().await
    };
    let (from_upstream, from_client) = tokio::join!(sender, receiver);
    assert!(
        from_upstream == (down.clone(), End::Closed),
        "towards the client"
    );
    assert!(
        from_client == (up.clone(), End::Closed),
        "towards the upstream"
    );
    let record = gate.stop().await.record();
    assert_eq!(
        (record.request_bytes, record.response_bytes),
        (up.len() as u64, down.len() as u64)
    );
}
