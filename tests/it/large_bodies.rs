//! A body of any size passes whole, while no more of it is kept than the limit says.

use tollgate::ledger::Outcome;

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, RawClient, RawUpstream};

const MIB: usize = 1024 * 1024;
const SIZE: usize = 64 * MIB;
const LIMIT: usize = MIB;

/// A body of which no two mebibytes are the same, and which is made in no time.
struct Body {
    noise: Vec<u8>,
    chunked: bool,
}

impl Body {
    fn new(chunked: bool) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = Vec::with_capacity(2 * MIB);
        while noise.len() < 2 * MIB {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend_from_slice(&state.to_le_bytes());
        }
        Self { noise, chunked }
    }

    fn mebibyte(&self, number: usize) -> &[u8] {
        let start = number * 997;
        &self.noise[start..start + MIB]
    }

    /// Sends all of it, in chunks of a mebibyte if it is to be chunked.
    async fn send(&self, to: &mut RawClient) {
        for number in 0..SIZE / MIB {
            if self.chunked {
                to.send(format!("{MIB:x}\r\n")).await;
            }
            to.send(self.mebibyte(number)).await;
            if self.chunked {
                to.send("\r\n").await;
            }
        }
        if self.chunked {
            to.send("0\r\n\r\n").await;
        }
    }

    /// Fails unless what comes is all of it.
    async fn receive(&self, from: &mut RawClient) {
        for number in 0..SIZE / MIB {
            if self.chunked {
                from.expect(format!("{MIB:x}\r\n").as_bytes()).await;
            }
            let octets = from.exactly(MIB).await;
            let same = octets == self.mebibyte(number);
            assert!(same, "mebibyte {number} is another");
            if self.chunked {
                from.expect(b"\r\n").await;
            }
        }
        if self.chunked {
            from.expect(b"0\r\n\r\n").await;
        }
    }
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
        let body = Body::new(chunked);
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
        tokio::join!(body.send(&mut client), body.receive(&mut served));
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n{framing}\r\n\r\n"
        );
        served.send(&head).await;
        client.expect(head.as_bytes()).await;
        tokio::join!(body.send(&mut served), body.receive(&mut client));
        served.close().await;
    }
    let left = gate.stop().await;
    assert_eq!(left.records().len(), 2);
    for record in left.records() {
        assert_eq!(record.outcome, Outcome::Complete);
        assert!(
            record.request_bytes >= SIZE as u64 && record.response_bytes == record.request_bytes
        );
        let payload = left.find(&record.id).payload.unwrap();
        assert!(payload.request_truncated && payload.response_truncated);
        let first = Body::new(false).mebibyte(0).to_vec();
        assert!(payload.request_body == first && payload.response_body == first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_find_no_room_in_memory_are_counted_and_passed_on_and_room_comes_back() {
    const ALWAYS: usize = 32 * 1024;
    const ROOM: usize = 64 * 1024;
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| settings.limits.payload_memory = ROOM)
        .start()
        .await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served = None;
    for length in [MIB, ALWAYS, MIB] {
        let body = "x".repeat(length);
        let head = format!(
            "POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let sending = client.send(format!("{head}{body}"));
        let receiving = async {
            let mut at = match served.take() {
                Some(at) => at,
                None => upstream.accept().await,
            };
            at.head().await;
            assert!(at.exactly(length).await == body.as_bytes());
            at
        };
        let mut at = tokio::join!(sending, receiving).1;
        tokio::join!(at.send(format!("{answer}{body}")), async {
            client.expect(answer.as_bytes()).await;
            assert!(client.exactly(length).await == body.as_bytes());
        });
        served = Some(at);
    }
    drop((client, served));
    let left = gate.stop().await;
    assert_eq!(left.records().len(), 3);
    for (record, length) in left.records().iter().zip([MIB, ALWAYS, MIB]) {
        assert_eq!(
            (record.request_bytes, record.response_bytes),
            (length as u64, length as u64)
        );
        let is_long = length > ALWAYS;
        let payload = left.find(&record.id).payload.unwrap();
        let room = if is_long { ROOM } else { 0 };
        assert_eq!(payload.request_body.len(), ALWAYS + room);
        assert_eq!(payload.response_body.len(), ALWAYS);
        assert_eq!(
            (payload.request_truncated, payload.response_truncated),
            (is_long, is_long)
        );
        let notes: &[&str] = if is_long { &["payload-memory"] } else { &[] };
        assert_eq!(record.notes, notes);
    }
}
