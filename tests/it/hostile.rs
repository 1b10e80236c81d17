//! Whatever strangers do to the port, the next client is served.

use std::sync::Arc;
use std::time::Duration;

use tollgate::ledger::Outcome;

use crate::support::gate::{Plan, simulator};
use crate::support::signing::Call;
use crate::support::{BEDROCK, Door, Gate, RawUpstream, within};

/// Pseudo-random octets: the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn octets(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// Fails unless a client with a signed call is served as ever.
async fn assert_alive(gate: &Gate) {
    for door in Door::ALL {
        let mut client = door.open(gate, BEDROCK).await;
        client
            .send(Call::converse("still there?").sign().through(door))
            .await;
        assert_eq!(client.answer().await.status(), 200, "{door:?}");
    }
}

#[tokio::test]
async fn noise_is_answered_or_dropped_and_harms_nobody() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    let mut noise = Noise(0x7011_6a7e);
    for round in 0..200 {
        let length = usize::try_from(noise.next() % 3000).unwrap() + 1;
        let mut octets = noise.octets(length);
        let opening: &[u8] = match round % 5 {
            0 => b"\x16\x03\x01\x02\x00\x01",
            1 => b"POST /service/standard/x HTTP/1.1\r\n",
            2 => b"CONNECT ",
            3 => b"PRI * HTTP/2.0\r\n\r\n",
            _ => b"",
        };
        octets.splice(..0, opening.iter().copied());
        let mut client = gate.plain().await;
        client.try_send(&octets).await.ok();
        // Whatever it was, there is no more of it.
        client.half_close().await;
        client.rest().await;
    }
    assert_alive(&gate).await;
    assert_eq!(
        simulator.stats().refused,
        0,
        "some of the noise was passed on"
    );
}

#[tokio::test]
async fn noise_inside_every_layer_harms_nobody() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    let mut noise = Noise(0xb0d3);
    for round in 0..40 {
        for door in [Door::Connect, Door::ConnectInTls, Door::Transparent] {
            let mut client = door.open(&gate, BEDROCK).await;
            let octets = noise.octets(100 * (round + 1));
            client.try_send(&octets).await.ok();
            client.half_close().await;
            client.rest().await;
        }
    }
    assert_alive(&gate).await;
    assert_eq!(
        simulator.stats().refused,
        0,
        "some of the noise was passed on"
    );
}

#[tokio::test]
async fn connections_that_end_before_they_begin_leave_nothing_behind() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    for round in 0..100 {
        let mut client = gate.plain().await;
        match round % 4 {
            0 => client.close().await,
            1 => client.reset(),
            2 => {
                client.send(b"\x16").await;
                client.reset();
            }
            _ => {
                client
                    .send(format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n"))
                    .await;
                client.cut();
            }
        }
    }
    assert_alive(&gate).await;
    let left = gate.stop().await;
    assert_eq!(
        left.records().len(),
        Door::ALL.len(),
        "{:#?}",
        left.records()
    );
}

#[tokio::test]
async fn a_head_that_drips_for_ever_is_cut_off_in_time() {
    let simulator = simulator().await;
    let gate = Plan::new()
        .before_simulator(&simulator)
        .with(|settings| {
            settings.timeouts.head = Duration::from_millis(150);
            settings.timeouts.handshake = Duration::from_millis(150);
        })
        .start()
        .await;
    for opening in [
        &b"POST /service/standard/x HTTP/1.1\r\n"[..],
        b"\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PRI *",
    ] {
        let mut client = gate.plain().await;
        client.send(opening).await;
        let drip = async {
            while client
                .try_send(if opening.starts_with(b"\r") {
                    "\r\n"
                } else {
                    "x"
                })
                .await
                .is_ok()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("the end of a dripping head", drip).await;
    }
    assert_alive(&gate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_at_once_are_all_served() {
    let simulator = simulator().await;
    let gate = Arc::new(Plan::new().before_simulator(&simulator).start().await);
    let clients: Vec<_> = (0..200)
        .map(|number| {
            let gate = Arc::clone(&gate);
            let door = Door::ALL[number % Door::ALL.len()];
            tokio::spawn(async move {
                let mut client = door.open(&gate, BEDROCK).await;
                client
                    .send(Call::converse("everybody at once").sign().through(door))
                    .await;
                client.answer().await.status()
            })
        })
        .collect();
    for client in clients {
        assert_eq!(within("one of many", client).await.unwrap(), 200);
    }
    assert_eq!(
        (simulator.stats().accepted, simulator.stats().refused),
        (200, 0)
    );
    let records = gate.records();
    let ids: std::collections::BTreeSet<_> = records.iter().map(|record| &record.id).collect();
    assert_eq!((records.len(), ids.len()), (200, 200));
    assert!(
        records.iter().all(
            |record| record.outcome == Outcome::Complete && record.usage.input_tokens > Some(0)
        )
    );
}

#[tokio::test]
async fn a_client_that_sends_requests_and_reads_no_answers_is_held_back() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let request =
        format!("POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n\r\n");
    client.send(&request).await;
    let mut served = upstream.accept().await;
    served.request().await;
    // The first is not answered yet: what comes behind it must not pile up in the gate.
    let many = request.repeat(1000);
    let mut sent = 0;
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(200), client.try_send(&many)).await
    {
        result.unwrap();
        sent += many.len();
        assert!(sent < 64 * 1024 * 1024, "nothing holds the client back");
    }
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.answer().await.text(), "{}");
    served.expect(request.as_bytes()).await;
}
