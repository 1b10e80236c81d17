//! Where no answer can be had, the client is told so in the words its SDK knows, and nobody is asked twice.

use std::time::Duration;

use rustls::RootCertStore;
use tollgate::config::HostPattern;
use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::traces::nothing_more;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, End, Gate, Going, RawClient, RawUpstream, shown};

fn request(door: Door) -> String {
    let target = door.target(BEDROCK, "/model/us.amazon.nova-lite-v1%3A0/converse");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}")
}

async fn ask(upstream: &RawUpstream, client: &mut RawClient, door: Door) -> RawClient {
    client.send(request(door)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
}

#[tokio::test]
async fn no_answer_at_all_is_a_typed_503_and_the_call_is_not_made_again() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut expected = 0;
    for door in [Door::Connect, Door::Forward, Door::Route, Door::Transparent] {
        for going in Going::ALL {
            for beginning in [
                "",
                "HTTP/1.1 200 OK\r\nContent-Le",
                "HTTP/1.1 100 Continue\r\n\r\n",
            ] {
                let mut client = door.open(&gate, BEDROCK).await;
                let mut served = ask(&upstream, &mut client, door).await;
                served.send(beginning).await;
                if beginning.ends_with("\r\n\r\n") {
                    client.expect(beginning.as_bytes()).await;
                }
                going.go(served).await;
                let answer = client.answer().await;
                answer.assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
                expected += 1;
                assert_eq!(upstream.connections(), expected, "somebody asked twice");
                let record = gate.records().pop().unwrap();
                assert_eq!(
                    (record.status, record.outcome),
                    (Some(503), Outcome::Failed)
                );
                assert_eq!(
                    record.error_type.as_deref(),
                    Some("ServiceUnavailableException")
                );
                assert_eq!(answer.field("x-amzn-requestid").unwrap(), record.id);
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_typed_503_and_nothing_of_it_gets_through() {
    let many_interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(65);
    let long_head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(70_000));
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(129));
    let garbage: &[&[u8]] = &[
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/1.1 20 Short\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 0\r\n\r\n",
        long_head.as_bytes(),
        many_fields.as_bytes(),
        many_interim.as_bytes(),
    ];
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for response in garbage {
        let mut served = ask(&upstream, &mut client, Door::Connect).await;
        served.try_send(response).await.ok();
        if *response == many_interim.as_bytes() {
            client.expect(&response[..64 * response.len() / 65]).await;
        }
        let answer = client.answer().await;
        println!("{}", shown(&response[..response.len().min(99)]));
        answer.assert_typed(503, "ServiceUnavailableException", "upstream-protocol");
        // The client's connection is not to blame, the upstream's is.
        served.end().await;
        assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Failed);
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_typed_503() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gate = Plan::new()
        .with(|settings| settings.dial_intercepted = Some(address))
        .start()
        .await;
    for door in Door::ALL {
        let mut client = door.open(&gate, BEDROCK).await;
        // The body that follows the refusal must not be read as a request.
        client.send(request(door)).await;
        client.answer().await.assert_typed(
            503,
            "ServiceUnavailableException",
            "upstream-unreachable",
        );
        client.end().await;
        let record = gate.records().pop().unwrap();
        assert_eq!(
            (record.entry, record.outcome),
            (door.entry(), Outcome::Failed)
        );
        assert_eq!(record.model.as_deref(), Some("us.amazon.nova-lite-v1:0"));
    }
    let mut client = gate.plain().await;
    client
        .send(format!(
            "GET http://127.0.0.1:{0}/ HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\n",
            address.port()
        ))
        .await;
    client
        .answer()
        .await
        .assert_plain(503, "upstream-unreachable");
}

#[tokio::test]
async fn an_upstream_that_cannot_be_verified_is_a_typed_503_and_is_told_nothing() {
    let upstream = RawUpstream::tls().await;
    let address = upstream.address;
    let stranger = Plan::new()
        .with(|settings| settings.dial_intercepted = Some(address))
        .start()
        .await;
    // Trusted, but a certificate for other names.
    let misnamed = Plan::new().before(&upstream).start().await;
    let other = "bedrock-runtime.ap-south-1.amazonaws.com";
    for (gate, host) in [(&stranger, BEDROCK), (&misnamed, other)] {
        for door in [Door::Connect, Door::Forward, Door::Route] {
            let mut client = door.open(gate, host).await;
            client.send(request(door).replace(BEDROCK, host)).await;
            let answer = client.answer().await;
            answer.assert_typed(503, "ServiceUnavailableException", "upstream-tls");
            assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Failed);
        }
    }
    let plain = RawUpstream::plain().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| settings.dial_intercepted = Some(plain.address))
        .start()
        .await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(request(Door::Connect)).await;
    let mut served = plain.accept().await;
    assert_eq!(served.exactly(1).await, [0x16]);
    served.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "upstream-tls");
}

#[tokio::test]
async fn our_own_authority_is_not_believed_upstream() {
    // Another gate of the same home stands where the upstream should: its certificates are of our own authority.
    let other = Plan::new().start().await;
    let address = other.address;
    let roots: &RootCertStore = &other.roots;
    assert_eq!(roots.len(), 1);
    let home = other.home().to_owned();
    let gate = Plan::new()
        .with(|settings| {
            settings.home.clone_from(&home);
            settings.dial_intercepted = Some(address);
        })
        .start_in(&home)
        .await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(request(Door::Connect)).await;
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "upstream-tls");
}

#[tokio::test]
async fn an_upstream_that_is_not_opened_fails_in_plain_words() {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new().connect_to(ELSEWHERE, &upstream).start().await;
    let mut client = gate.plain().await;
    client
        .send(format!(
            "GET http://{ELSEWHERE}/ HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send("garbage\r\n\r\n").await;
    client.answer().await.assert_plain(503, "upstream-protocol");
    assert_eq!(gate.records()[0].entry, Entry::Forward);
}

#[tokio::test]
async fn an_answer_of_ours_to_head_has_no_body_that_could_be_read_as_the_next_answer() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(format!(
            "HEAD /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.close().await;
    let answer = client.answer_to("HEAD").await;
    assert_eq!(answer.status(), 503);
    if answer.field("connection").as_deref() == Some("close") {
        assert_eq!(client.end().await, End::Closed);
        return;
    }
    let mut served = ask(&upstream, &mut client, Door::Connect).await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    client
        .expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
}

#[tokio::test]
async fn an_upstream_that_never_finishes_its_handshake_is_a_typed_503() {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| settings.timeouts.handshake = Duration::from_millis(200))
        .start()
        .await;
    let mut client = Door::Route.open(&gate, BEDROCK).await;
    client.send(request(Door::Route)).await;
    let mut served = upstream.accept().await;
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "upstream-tls");
    served.rest().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_is_told_that_nobody_will_say_it() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gate = Plan::new()
        .with(|settings| settings.dial_intercepted = Some(address))
        .start()
        .await;
    for door in [Door::Connect, Door::Forward] {
        let mut client = door.open(&gate, BEDROCK).await;
        let whole =
            request(door).replace("Content-Length", "Expect: 100-continue\r\nContent-Length");
        client.send(whole.strip_suffix("{}").unwrap()).await;
        client.answer().await.assert_typed(
            503,
            "ServiceUnavailableException",
            "upstream-unreachable",
        );
        // What comes next could be the body: the connection carries nothing more.
        assert_eq!(client.end().await, End::Closed);
    }
}

#[tokio::test]
async fn silence_past_the_limit_is_a_typed_408_before_the_answer_and_a_cut_inside_it() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.timeouts.response = Duration::from_millis(80);
            settings.timeouts.stream = Duration::from_millis(80);
        })
        .start()
        .await;
    for beginning in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 O"] {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let mut served = ask(&upstream, &mut client, Door::Connect).await;
        served.send(beginning).await;
        if beginning.ends_with("\r\n\r\n") {
            client.expect(beginning.as_bytes()).await;
        }
        client
            .answer()
            .await
            .assert_typed(408, "ModelTimeoutException", "upstream-silent");
        served.end().await;
        let record = gate.records().pop().unwrap();
        assert_eq!(
            (record.status, record.outcome),
            (Some(408), Outcome::Failed)
        );
    }
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served = ask(&upstream, &mut client, Door::Connect).await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx")
        .await;
    client
        .expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx")
        .await;
    assert_eq!(client.end().await, End::Cut);
    served.end().await;
    assert_eq!(
        gate.records().pop().unwrap().outcome,
        Outcome::UpstreamAborted
    );
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_of_a_request_is_a_typed_503() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| settings.timeouts.body = Duration::from_millis(100))
        .start()
        .await;
    let rest = gate.rest(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(format!(
            "POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 1000000000\r\n\r\n"
        ))
        .await;
    let served = upstream.accept().await;
    // More than all buffers on the way hold, less than is listened to once it is over.
    client.send(vec![b'x'; 32 << 20]).await;
    client
        .answer()
        .await
        .assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
    drop((client, served));
    nothing_more("an upload that stuck", rest, || gate.traces(&upstream)).await;
    assert_eq!(gate.stop().await.record().outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_typed_503() {
    let host = "models.nowhere.invalid";
    let gate = Plan::new()
        .with(|settings| {
            let pattern = HostPattern::parse(host).unwrap();
            settings.policy.hosts.intercept.push(pattern);
        })
        .start()
        .await;
    for door in [Door::Connect, Door::Forward, Door::Transparent] {
        let mut client = door.open(&gate, host).await;
        let target = door.target(host, "/model/m/converse");
        client
            .send(format!(
                "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}"
            ))
            .await;
        let answer = client.answer().await;
        answer.assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
        assert!(
            answer
                .text()
                .contains("models.nowhere.invalid cannot be resolved"),
            "{}",
            answer.text()
        );
        let record = gate.records().pop().unwrap();
        assert_eq!(record.outcome, Outcome::Failed);
    }
}

/// A port that takes no more connections and does not say so, and what keeps it that way.
#[cfg(target_os = "linux")]
fn black_hole() -> (std::net::SocketAddr, Vec<socket2::Socket>) {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![listener];
    // Nobody accepts, so the queue is full after one or two, and the kernel no longer answers.
    loop {
        assert!(held.len() < 100, "the queue never fills");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if socket
            .connect_timeout(&address.into(), Duration::from_millis(200))
            .is_err()
        {
            return (address, held);
        }
        held.push(socket);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_upstream_that_never_answers_a_connect_is_a_typed_503() {
    let (address, _held) = black_hole();
    let gate = Plan::new()
        .with(|settings| {
            settings.dial_intercepted = Some(address);
            settings.timeouts.connect = Duration::from_millis(200);
        })
        .start()
        .await;
    for door in [Door::Connect, Door::Route] {
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(request(door)).await;
        client.answer().await.assert_typed(
            503,
            "ServiceUnavailableException",
            "upstream-unreachable",
        );
        assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Failed);
    }
    // Whoever goes meanwhile is not waited for.
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(request(Door::Connect)).await;
    client.reset();
    let left = gate.stop().await;
    let outcomes: Vec<_> = left.records().iter().map(|record| record.outcome).collect();
    assert!(
        outcomes == [Outcome::Failed, Outcome::Failed, Outcome::ClientAborted]
            || outcomes == [Outcome::Failed; 2],
        "{outcomes:?}"
    );
}
