//! Connections are kept and used again, never for two things at once, and never for a second try.

use std::pin::pin;
use std::time::Duration;

use tollgate::ledger::Outcome;

use crate::support::gate::Plan;
use crate::support::traces::nothing_more;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, End, Gate, Going, RawClient, RawUpstream};

const OK_WITHOUT_BODY: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn post(door: Door, number: usize) -> String {
    let target = door.target(BEDROCK, &format!("/model/m{number}/invoke"));
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}")
}

#[tokio::test]
async fn calls_in_a_row_share_one_upstream_connection_whoever_makes_them() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut served: Option<RawClient> = None;
    for door in Door::ALL {
        let mut client = door.open(&gate, BEDROCK).await;
        for number in 0..3 {
            client.send(post(door, number)).await;
            let served = match &mut served {
                Some(served) => served,
                none => none.insert(upstream.accept().await),
            };
            served.expect(post(Door::Connect, number).as_bytes()).await;
            served.send(OK).await;
            client.expect(OK).await;
        }
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(gate.records().len(), 3 * Door::ALL.len());
}

#[tokio::test]
async fn three_requests_in_one_segment_get_three_answers_in_order() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in [Door::Connect, Door::Forward, Door::RouteInTls] {
        let mut client = door.open(&gate, BEDROCK).await;
        client
            .send([post(door, 1), post(door, 2), post(door, 3)].concat())
            .await;
        let mut served = upstream.accept().await;
        for number in 1..=3 {
            served.expect(post(Door::Connect, number).as_bytes()).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            served.send(&answer).await;
            client.expect(answer.as_bytes()).await;
        }
        served.close().await;
    }
    let models: Vec<_> = gate
        .records()
        .iter()
        .map(|record| record.model.clone().unwrap())
        .collect();
    assert_eq!(models, ["m1", "m2", "m3"].repeat(3));
}

#[tokio::test]
async fn a_request_waits_until_the_one_before_it_is_answered() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send([post(Door::Connect, 1), post(Door::Connect, 2)].concat())
        .await;
    let mut served = upstream.accept().await;
    served.expect(post(Door::Connect, 1).as_bytes()).await;
    served
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .await;
    client
        .expect(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .await;
    let early = tokio::time::timeout(Duration::from_millis(50), served.exactly(1)).await;
    assert!(
        early.is_err() && upstream.connections() == 1,
        "the second request overtook the first answer"
    );
    served.send("0\r\n\r\n").await;
    client.expect(b"0\r\n\r\n").await;
    served.expect(post(Door::Connect, 2).as_bytes()).await;
}

#[tokio::test]
async fn requests_at_the_same_time_have_connections_of_their_own() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut first = Door::Connect.open(&gate, BEDROCK).await;
    let mut second = Door::Connect.open(&gate, BEDROCK).await;
    first.send(post(Door::Connect, 1)).await;
    let mut served_first = upstream.accept().await;
    second.send(post(Door::Connect, 2)).await;
    let mut served_second = upstream.accept().await;
    served_second
        .expect(post(Door::Connect, 2).as_bytes())
        .await;
    served_second.send(OK).await;
    second.expect(OK).await;
    served_first.expect(post(Door::Connect, 1).as_bytes()).await;
    served_first.send(OK).await;
    first.expect(OK).await;
}

#[tokio::test]
async fn one_client_connection_may_lead_to_several_hosts_and_each_gets_its_own() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = gate.plain().await;
    let mut connections = Vec::new();
    let hosts = [BEDROCK, "bedrock-runtime.eu-west-1.amazonaws.com"];
    for round in 0..2 {
        for (number, host) in hosts.iter().enumerate() {
            let tail = format!("HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
            client
                .send(format!("POST https://{host}/{round} {tail}"))
                .await;
            if round == 0 {
                connections.push(upstream.accept().await);
            }
            let served: &mut RawClient = &mut connections[number];
            served
                .expect(format!("POST /{round} {tail}").as_bytes())
                .await;
            served.send(OK).await;
            client.expect(OK).await;
        }
    }
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn the_scheme_is_part_of_where_a_connection_leads() {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new().connect_to(ELSEWHERE, &upstream).start().await;
    let mut client = gate.plain().await;
    client
        .send(format!(
            "GET http://{ELSEWHERE}:443/ HTTP/1.1\r\nHost: {ELSEWHERE}:443\r\n\r\n"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(OK).await;
    client.expect(OK).await;
    // The warm connection is in the clear and must not carry what was meant for TLS.
    client
        .send(format!(
            "GET https://{ELSEWHERE}/ HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n"
        ))
        .await;
    let mut second = upstream.accept().await;
    assert_eq!(second.exactly(1).await, [0x16]);
}

#[tokio::test]
async fn a_warm_connection_that_the_upstream_has_closed_is_not_used() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for number in 0..6 {
        client.send(post(Door::Connect, number)).await;
        let mut served = upstream.accept().await;
        served.expect(post(Door::Connect, number).as_bytes()).await;
        served.send(OK).await;
        client.expect(OK).await;
        match number % 3 {
            0 => served.close().await,
            1 => served.cut(),
            _ => served.reset(),
        }
        assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Complete);
    }
    assert_eq!(upstream.connections(), 6);
}

#[tokio::test]
async fn a_warm_connection_that_breaks_under_a_request_costs_a_503_and_never_a_second_try() {
    for (number, beginning) in ["", "HTTP/1.1 100 Continue\r\n\r\n"]
        .into_iter()
        .enumerate()
    {
        let upstream = RawUpstream::tls().await;
        let gate = Gate::before(&upstream).await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(post(Door::Connect, 1)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(OK).await;
        client.expect(OK).await;

        client.send(post(Door::Connect, 2)).await;
        served.expect(post(Door::Connect, 2).as_bytes()).await;
        served.send(beginning).await;
        client.expect(beginning.as_bytes()).await;
        if number == 0 {
            served.close().await;
        } else {
            served.reset();
        }
        client.answer().await.assert_typed(
            503,
            "ServiceUnavailableException",
            "upstream-unreachable",
        );
        assert_eq!(upstream.connections(), 1, "the call was made again");
        // The client's connection goes on, on a new upstream connection.
        client.send(post(Door::Connect, 3)).await;
        let mut served = upstream.accept().await;
        served.expect(post(Door::Connect, 3).as_bytes()).await;
        served.send(OK).await;
        client.expect(OK).await;
        assert_eq!(upstream.connections(), 2);
    }
}

#[tokio::test]
async fn a_warm_connection_that_is_closed_exactly_as_a_request_is_sent_costs_a_503_too() {
    for going in Going::ALL {
        let upstream = RawUpstream::tls().await;
        let gate = Gate::before(&upstream).await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(post(Door::Connect, 1)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(OK).await;
        client.expect(OK).await;
        let rest = gate.traces(&upstream);
        client.send(post(Door::Connect, 2)).await;
        // It is on its way, and nobody will ever look at it. Nobody here can know that.
        served.arrived().await;
        going.go(served).await;
        let answer = client.answer().await;
        answer.assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
        assert!(
            answer.text().contains("not sent a second time"),
            "{}",
            answer.text()
        );
        assert_eq!(
            upstream.connections(),
            1,
            "{going:?}: the call was made again"
        );
        nothing_more("a warm connection that broke", rest, || {
            gate.traces(&upstream)
        })
        .await;
        let records = gate.stop().await.records();
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].outcome, Outcome::Failed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_the_end_of_a_warm_connection_and_a_request_cross_the_request_arrives_once_or_never()
 {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let (mut answered, mut failed) = (0, 0);
    for round in 0..60 {
        client.send(post(Door::Connect, 2 * round)).await;
        let mut served = upstream.accept().await;
        served
            .expect(post(Door::Connect, 2 * round).as_bytes())
            .await;
        served.send(OK).await;
        client.expect(OK).await;
        let connections = upstream.connections();
        // Both at once; who is first is nobody's choice.
        let going = Going::ALL[round % 3];
        let closing = tokio::spawn(going.go(served));
        client.send(post(Door::Connect, 2 * round + 1)).await;
        closing.await.unwrap();
        let arrival = async {
            let mut fresh = upstream.accept().await;
            fresh
                .expect(post(Door::Connect, 2 * round + 1).as_bytes())
                .await;
            fresh.send(OK).await;
            fresh.close().await;
        };
        let answer = {
            let mut answer = pin!(client.answer());
            tokio::select! {
                answer = &mut answer => answer,
                () = arrival => answer.await,
            }
        };
        match answer.status() {
            200 => {
                answered += 1;
                assert_eq!(upstream.connections(), connections + 1);
            }
            503 => {
                failed += 1;
                assert_eq!(upstream.connections(), connections, "it was made again");
                if answer.field("connection").as_deref() == Some("close") {
                    client = Door::Connect.open(&gate, BEDROCK).await;
                }
            }
            other => panic!("{other}"),
        }
    }
    println!("{answered} found the connection closed, {failed} were under way");
    assert_eq!(gate.stop().await.records().len(), 120);
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_upload_is_not_tried_again() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(post(Door::Connect, 1)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(OK).await;
    client.expect(OK).await;
    let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 100000\r\n\r\n");
    client.send(format!("POST /model/m/invoke {tail}")).await;
    served.head().await;
    served.reset();
    client.try_send(vec![b'x'; 100_000]).await.ok();
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn bytes_after_the_end_of_a_response_poison_their_connection() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let stray = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for response in [
        [OK, stray].concat(),
        [OK, b"\r\n"].concat(),
        [b"HTTP/1.1 204 No Content\r\n\r\n", &stray[..]].concat(),
        [
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
            &b"body"[..],
        ]
        .concat(),
        [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
            b"x",
        ]
        .concat(),
    ] {
        client.send(post(Door::Connect, 1)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(&response).await;
        let answer = client.answer().await.raw();
        assert!(response.starts_with(&answer) && answer.len() < response.len());
        served.end().await;
    }
    // The same when they come while the connection idles.
    client.send(post(Door::Connect, 1)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(OK).await;
    client.expect(OK).await;
    served.send(stray).await;
    client.send(post(Door::Connect, 2)).await;
    let mut fresh = upstream.accept().await;
    fresh.expect(post(Door::Connect, 2).as_bytes()).await;
    fresh.send(OK).await;
    client.expect(OK).await;
    served.end().await;
}

#[tokio::test]
async fn a_connection_in_which_a_body_may_lie_unread_carries_nothing_else() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for method in [
        "GET", "HEAD", "DELETE", "OPTIONS", "ODD", "POST", "PUT", "PATCH",
    ] {
        for (line, body) in [
            ("Content-Length: 2\r\n", "{}"),
            ("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
            ("Content-Length: 0\r\n", ""),
            ("", ""),
        ] {
            let request = format!("{method} /x HTTP/1.1\r\nHost: {BEDROCK}\r\n{line}\r\n{body}");
            client.send(&request).await;
            let mut served = upstream.accept().await;
            served.expect(request.as_bytes()).await;
            served.send(OK_WITHOUT_BODY).await;
            client.expect(OK_WITHOUT_BODY).await;
            // Whoever knows what to do with a body has read it; a server of which that is not sure is not asked again.
            if body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
                client.send(post(Door::Connect, 1)).await;
                served.expect(post(Door::Connect, 1).as_bytes()).await;
                served.send([OK, b"x"].concat()).await;
                client.expect(OK).await;
            }
            served.end().await;
        }
    }
}

#[tokio::test]
async fn an_upstream_of_http_1_0_is_asked_once() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for number in 0..2 {
        client.send(post(Door::Connect, number)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        served.send(answer).await;
        client.expect(answer).await;
        served.end().await;
    }
}

#[tokio::test]
async fn a_client_that_asks_for_the_end_gets_it_after_its_answer() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in [Door::Connect, Door::Forward, Door::RouteInTls] {
        for ask in [
            "Connection: close",
            "connection: x, CLOSE",
            "Proxy-Connection: close",
        ] {
            let mut client = door.open(&gate, BEDROCK).await;
            client
                .send(post(door, 1).replace("Content-Length", &format!("{ask}\r\nContent-Length")))
                .await;
            let mut served = upstream.accept().await;
            served.expect(post(Door::Connect, 1).as_bytes()).await;
            served.send(OK).await;
            client.expect(OK).await;
            assert_eq!(client.end().await, End::Closed);
            served.close().await;
        }
    }
}

#[tokio::test]
async fn an_idle_client_and_an_idle_upstream_are_let_go_in_time() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.timeouts.idle = Duration::from_millis(50);
            settings.timeouts.head = Duration::from_millis(50);
            settings.timeouts.pool_idle = Duration::ZERO;
        })
        .start()
        .await;
    let mut silent = gate.plain().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for number in 0..2 {
        client.send(post(Door::Connect, number)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(OK).await;
        client.expect(OK).await;
    }
    assert_eq!(client.end().await, End::Closed);
    silent.end().await;
    let mut half = gate.plain().await;
    half.send("POST /service/standard/x HTTP/1.1\r\nHo").await;
    half.end().await;
    assert_eq!(gate.records().len(), 2);
}

#[tokio::test]
async fn an_upstream_connection_that_nobody_uses_is_closed_without_being_asked_for() {
    let upstream = RawUpstream::tls().await;
    let plan = Plan::new().before(&upstream);
    let gate = plan.with(|settings| settings.timeouts.pool_idle = Duration::from_millis(50));
    let gate = gate.start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(post(Door::Connect, 1)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(OK).await;
    client.expect(OK).await;
    served.end().await;
    assert_eq!(gate.figures().idle_upstreams, 0);
}

#[tokio::test]
async fn each_silence_of_a_client_has_a_limit_of_its_own() {
    let upstream = RawUpstream::tls().await;
    let short = Duration::from_millis(50);
    let gate = Plan::new().with(|settings| settings.timeouts.head = short);
    let gate = gate.start().await;
    gate.plain().await.end().await;
    let mut half = gate.plain().await;
    half.send("POST /service/standard/x HTTP/1.1\r\nHo").await;
    half.end().await;
    gate.stop().await;

    let gate = Plan::new().with(|settings| settings.timeouts.handshake = short);
    let gate = gate.start().await;
    let mut half = gate.plain().await;
    // The beginning of a record with a hello in it.
    half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .await;
    half.end().await;
    gate.stop().await;

    let plan = Plan::new().before(&upstream);
    let gate = plan.with(|settings| settings.timeouts.idle = short);
    let gate = gate.start().await;
    Door::Connect.open(&gate, BEDROCK).await.end().await;
    let mut client = gate.plain().await;
    client.send(post(Door::Forward, 1)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(OK).await;
    client.expect(OK).await;
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn a_gate_that_stops_lets_a_running_exchange_finish() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let address = gate.address;
    let mut idle = Door::Connect.open(&gate, BEDROCK).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(post(Door::Connect, 1)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    let stopping = tokio::spawn(gate.stop());
    assert_eq!(idle.end().await, End::Closed);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    served.send(OK).await;
    client.expect(OK).await;
    assert_eq!(client.end().await, End::Closed);
    let left = stopping.await.unwrap();
    assert_eq!(left.record().outcome, Outcome::Complete);
}

#[tokio::test]
async fn empty_lines_between_requests_are_dropped_and_never_forwarded() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let many = [
        "\r\n",
        &post(Door::Connect, 1),
        "\r\n",
        &post(Door::Connect, 2),
        "\r\n\r\n",
        &post(Door::Connect, 3),
        "\r",
    ];
    client.send(many.concat()).await;
    let mut served = upstream.accept().await;
    for number in 1..=3 {
        served.expect(post(Door::Connect, number).as_bytes()).await;
        served.send(OK).await;
        client.expect(OK).await;
    }
    client.send(format!("\n{}", post(Door::Connect, 4))).await;
    served.expect(post(Door::Connect, 4).as_bytes()).await;
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn requests_that_were_sent_before_a_plain_client_stopped_sending_are_all_answered() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = gate.plain().await;
    let door = Door::Route;
    client
        .send([post(door, 1), post(door, 2), post(door, 3)].concat())
        .await;
    client.half_close().await;
    for number in 1..=3 {
        // Each connection is told that there is no more to come, so none carries two.
        let mut served = upstream.accept().await;
        served.expect(post(Door::Connect, number).as_bytes()).await;
        served.send(OK).await;
        client.expect(OK).await;
    }
    assert_eq!(client.end().await, End::Closed);
    let left = gate.stop().await;
    assert!(
        left.records()
            .iter()
            .all(|record| record.outcome == Outcome::Complete)
    );
    assert_eq!(left.records().len(), 3);
}
