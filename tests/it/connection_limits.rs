//! A connection too many is told so and costs next to nothing; those that are served notice nothing of it.

use tollgate::proxy::load::Figures;

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, End, Gate, Log, RawClient, RawUpstream, until};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";

fn post(door: Door) -> String {
    let target = door.target(BEDROCK, "/model/m/invoke");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}")
}

async fn gate(upstream: &RawUpstream, all: u32, each: u32) -> Gate {
    let plan = Plan::new().before(upstream);
    let plan = plan.with(|settings| {
        settings.limits.connections = Some(all);
        settings.limits.connections_per_client = Some(each);
    });
    plan.start().await
}

/// An exchange whose answer has begun.
async fn running(gate: &Gate, upstream: &RawUpstream) -> (RawClient, RawClient) {
    let mut client = Door::Connect.open(gate, BEDROCK).await;
    client.send(post(Door::Connect)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(BEGUN).await;
    client.expect(BEGUN).await;
    (client, served)
}

/// One more octet of the answer gets through.
async fn goes_on((client, served): &mut (RawClient, RawClient)) {
    served.send("x").await;
    client.expect(b"x").await;
}

async fn is_served(gate: &Gate, upstream: &RawUpstream) {
    let mut exchange = running(gate, upstream).await;
    for _ in 0..4 {
        goes_on(&mut exchange).await;
    }
}

#[tokio::test]
async fn one_too_many_is_a_503_by_every_door_and_its_end_makes_room() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, 1, 1).await;
    let mut exchange = running(&gate, &upstream).await;

    // The proxy hop: plain text, and the connection ends.
    for mut client in [gate.plain().await, gate.tls("localhost").await] {
        client
            .send(format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n"))
            .await;
        let answer = client.answer().await;
        assert_eq!(
            answer.start_line(),
            "HTTP/1.1 503 Service Unavailable",
            "{}",
            answer.text()
        );
        assert_eq!(answer.field("x-tollgate-error").unwrap(), "overloaded");
        assert_eq!(answer.field("retry-after").unwrap(), "1");
        assert_eq!(answer.field("connection").unwrap(), "close");
        assert!(answer.text().contains("--max-connections"));
        assert_eq!(client.end().await, End::Closed);
    }
    // Where an SDK listens: its own typed error.
    for door in [
        Door::Forward,
        Door::ForwardInTls,
        Door::Route,
        Door::RouteInTls,
        Door::Transparent,
        Door::TransparentPlain,
    ] {
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(post(door)).await;
        let answer = client.answer().await;
        answer.assert_typed(503, "ServiceUnavailableException", "overloaded");
        assert_eq!(answer.field("retry-after").unwrap(), "1", "{door:?}");
        assert_eq!(answer.field("connection").unwrap(), "close", "{door:?}");
        assert_eq!(client.end().await, End::Closed, "{door:?}");
    }
    assert_eq!(upstream.connections(), 1);
    let Figures {
        connections,
        refused,
        ..
    } = gate.figures();
    assert_eq!((connections, refused), (1, 8));

    goes_on(&mut exchange).await;
    drop(exchange);
    until("room", || gate.figures().connections == 0).await;
    is_served(&gate, &upstream).await;
    // Nothing was read of the others, so nothing is recorded.
    assert_eq!(gate.stop().await.records().len(), 2);
}

#[tokio::test]
async fn a_crowd_is_refused_in_bounded_number_and_one_line_while_the_others_are_served() {
    let upstream = RawUpstream::tls().await;
    let log = Log::default();
    let _listening = log.listen();
    let gate = gate(&upstream, 2, 2).await;
    let mut exchanges = [
        running(&gate, &upstream).await,
        running(&gate, &upstream).await,
    ];
    // They say nothing, so each waits to be told; more than may wait are closed without a word.
    let mut crowd = Vec::new();
    for _ in 0..80 {
        crowd.push(gate.plain().await);
    }
    until("the last of them", || gate.figures().refused == 80).await;
    assert_eq!(gate.figures().unanswered, 16);
    for exchange in &mut exchanges {
        goes_on(exchange).await;
    }
    for client in crowd.drain(..) {
        client.reset();
    }
    // There is room to answer again.
    let mut round = 80;
    loop {
        let mut client = gate.plain().await;
        client.try_send(post(Door::Route)).await.ok();
        round += 1;
        let (answer, _) = client.rest().await;
        if answer.starts_with(b"HTTP/1.1 503 ") {
            break;
        }
    }
    assert_eq!(gate.figures().refused, round);
    for _ in 0..300 {
        let mut client = gate.plain().await;
        client.try_send(post(Door::Route)).await.ok();
        client.rest().await;
    }
    for exchange in &mut exchanges {
        goes_on(exchange).await;
    }
    let text = log.text();
    let lines = text.matches("connections were refused").count();
    // One at once, and one each time that ten seconds are over.
    assert!((1..=3).contains(&lines), "{lines} lines:\n{text}");
}

#[tokio::test]
async fn tls_with_one_too_many_is_opened_for_a_few_and_costs_the_rest_an_alert() {
    const INTERNAL_ERROR: &[u8] = b"\x15\x03\x03\x00\x02\x02\x50";
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, 1, 1).await;
    let mut exchange = running(&gate, &upstream).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..7 {
        let mut client = gate.plain().await;
        client.send(b"\x16").await;
        waiting.spawn(async move { client.rest().await.0 });
    }
    // Four handshakes begin, and are given up before long: their clients say no more.
    let said = waiting.join_all().await;
    let alerts = said.iter().filter(|said| *said == INTERNAL_ERROR).count();
    let silent = said.iter().filter(|said| said.is_empty()).count();
    assert_eq!((alerts, silent), (3, 4), "{said:?}");
    goes_on(&mut exchange).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_client_cannot_take_the_place_of_another() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, 10, 2).await;
    let greedy = [127, 0, 0, 2];
    let (_first, _second) = (gate.plain_from(greedy).await, gate.plain_from(greedy).await);
    until("both", || gate.figures().connections == 2).await;
    let mut third = gate.plain_from(greedy).await;
    third.send(post(Door::Route)).await;
    let answer = third.answer().await;
    answer.assert_typed(503, "ServiceUnavailableException", "overloaded");
    assert!(answer.text().contains("--max-connections-per-client"));
    is_served(&gate, &upstream).await;
    let figures = gate.figures();
    assert_eq!((figures.refused, figures.refused_clients), (0, 1));
}

#[tokio::test]
async fn idle_upstream_connections_are_bounded_for_all_hosts_together() {
    let upstream = RawUpstream::tls().await;
    // A quarter as many as there may be of clients.
    let gate = gate(&upstream, 8, 8).await;
    let mut exchanges = Vec::new();
    for _ in 0..4 {
        exchanges.push(running(&gate, &upstream).await);
    }
    let mut idle = Vec::new();
    for (mut client, mut served) in exchanges {
        served.send("done").await;
        client.expect(b"done").await;
        idle.push((client, served));
    }
    until("their return", || gate.figures().idle_upstreams == 2).await;
    // Those that have idled longest were closed.
    for (_, served) in &mut idle[..2] {
        served.end().await;
    }
    // The others are used again, the newest first.
    for (client, served) in idle[2..].iter_mut().rev() {
        client.send(post(Door::Connect)).await;
        served.request().await;
    }
    for (client, served) in &mut idle[2..] {
        served.send(OK).await;
        client.expect(OK).await;
    }
    assert_eq!(upstream.connections(), 4);
}

#[tokio::test]
async fn one_too_many_who_says_nothing_is_let_go_long_before_any_other() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream, 1, 1).await;
    let _exchange = running(&gate, &upstream).await;
    // Five seconds; whoever is served has thirty for a first word, which is more than a test waits.
    gate.plain().await.end().await;
}
