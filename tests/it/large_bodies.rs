//! A body of any size passes whole, while no more of it is kept than the limit says.

use sha2::{Digest, Sha256};
use tollgate::ledger::Outcome;

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, RawClient, RawUpstream};

const MIB: usize = 1024 * 1024;
const SIZE: usize = 64 * MIB;
const LIMIT: usize = MIB;

/// The nth mebibyte of a body: octets that repeat only after a long while.
fn mebibyte(number: usize) -> Vec<u8> {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut octets = Vec::with_capacity(MIB);
    while octets.len() < MIB {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets
}

/// Sends the whole body, in chunks of a mebibyte if it is to be chunked.
async fn send(to: &mut RawClient, chunked: bool) -> Vec<u8> {
    let mut hash = Sha256::new();
    for number in 0..SIZE / MIB {
        let octets = mebibyte(number);
        hash.update(&octets);
        if chunked {
            to.send(format!("{MIB:x}\r\n")).await;
        }
        to.send(octets).await;
        if chunked {
            to.send("\r\n").await;
        }
    }
    if chunked {
        to.send("0\r\n\r\n").await;
    }
    hash.finalize().to_vec()
}

async fn receive(from: &mut RawClient, chunked: bool) -> Vec<u8> {
    let mut hash = Sha256::new();
    for _ in 0..SIZE / MIB {
        if chunked {
            from.expect(format!("{MIB:x}\r\n").as_bytes()).await;
        }
        hash.update(from.exactly(MIB).await);
        if chunked {
            from.expect(b"\r\n").await;
        }
    }
    if chunked {
        from.expect(b"0\r\n\r\n").await;
    }
    hash.finalize().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_each_way_are_the_same_octets_and_one_mebibyte_is_kept() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| settings.payload_limit = LIMIT)
        .start()
        .await;
    for (door, chunked) in [(Door::Connect, false), (Door::Route, true)] {
        let mut client = door.open(&gate, BEDROCK).await;
        let target = door.target(BEDROCK, "/model/m/invoke");
        let framing = if chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {SIZE}")
        };
        client
            .send(format!(
                "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n{framing}\r\n\r\n"
            ))
            .await;
        let mut served = upstream.accept().await;
        served.head().await;
        let (sent, received) =
            tokio::join!(send(&mut client, chunked), receive(&mut served, chunked));
        assert!(sent == received, "another request arrived than was sent");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{framing}\r\n\r\n"
        );
        served.send(&head).await;
        client.expect(head.as_bytes()).await;
        let (sent, received) =
            tokio::join!(send(&mut served, chunked), receive(&mut client, chunked));
        assert!(sent == received, "another response arrived than was sent");
        served.close().await;
    }
    let left = gate.stop().await;
    for record in left.records() {
        assert_eq!(record.outcome, Outcome::Complete);
        assert!(
            record.request_bytes >= SIZE as u64 && record.response_bytes == record.request_bytes
        );
        let payload = left.find(&record.id).payload.unwrap();
        assert!(payload.request_truncated && payload.response_truncated);
        assert!(payload.request_body == mebibyte(0) && payload.response_body == mebibyte(0));
    }
}
