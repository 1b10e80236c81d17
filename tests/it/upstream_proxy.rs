//! Behind a proxy that the network demands: everything leaves by it, it alone sees its credentials, and what it does
//! instead of its work is told to the client.

mod failures;

use tollgate::config::{Options, UpstreamProxy};
use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, End, Gate, Log, Peer, RawUpstream, assert_bytes};

const ESTABLISHED: &str =
    "HTTP/1.0 200 Connection established\r\nVia: 1.1 corp\r\nContent-Length: 5\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

fn proxied(url: &str, no_proxy: &[&str]) -> Option<UpstreamProxy> {
    let options = Options {
        upstream_proxy: Some(url.to_owned().into()),
        upstream_no_proxy: no_proxy.iter().map(|&entry| entry.to_owned()).collect(),
        ..Options::default()
    };
    UpstreamProxy::from_options(&options, |_| None).unwrap()
}

/// A gate that leaves by `proxy`, at `name`, and trusts it and `upstream`.
async fn gate(name: &str, proxy: &RawUpstream, upstream: &RawUpstream) -> Gate {
    let scheme = if proxy.ca_pem.is_some() {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{name}:{}", proxy.address.port());
    let mut plan = Plan::new().with(|settings| settings.upstream_proxy = proxied(&url, &[]));
    for (file, peer) in [("proxy.pem", proxy), ("upstream.pem", upstream)] {
        if let Some(pem) = &peer.ca_pem {
            let path = plan.settings.home.join(file);
            std::fs::write(&path, pem).unwrap();
            plan.settings.upstream_ca.push(path);
        }
    }
    plan.start().await
}

/// Takes a CONNECT from the gate and leads it to `upstream`. Returns the head.
async fn lead(proxy: &RawUpstream, upstream: &RawUpstream) -> String {
    let mut gate = proxy.accept().await;
    let head = gate.head().await;
    gate.send(ESTABLISHED).await;
    let (mut gate, _) = gate.into_parts();
    let mut onwards = tokio::net::TcpStream::connect(upstream.address)
        .await
        .unwrap();
    tokio::spawn(async move {
        tokio::io::copy_bidirectional(&mut gate, &mut onwards)
            .await
            .ok();
    });
    String::from_utf8(head).unwrap()
}

fn request(door: Door) -> String {
    let target = door.target(BEDROCK, "/model/m/converse");
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}")
}

#[tokio::test]
async fn every_door_leaves_by_the_proxy_and_a_warm_connection_stays_one() {
    let upstream = RawUpstream::tls().await;
    for proxy in [
        RawUpstream::plain().await,
        RawUpstream::tls_for("localhost").await,
    ] {
        let gate = gate("localhost", &proxy, &upstream).await;
        let mut served: Option<Peer> = None;
        for door in Door::ALL {
            let mut client = door.open(&gate, BEDROCK).await;
            client.send(request(door)).await;
            let mut peer = match served.take() {
                Some(warm) => warm,
                None => {
                    let head = lead(&proxy, &upstream).await;
                    let wanted =
                        format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost: {BEDROCK}:443\r\n\r\n");
                    assert_eq!(head, wanted);
                    upstream.accept().await
                }
            };
            let wanted = format!(
                "POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            assert_bytes(
                &peer.request().await.raw(),
                wanted.as_bytes(),
                "at the upstream",
            );
            peer.send(OK).await;
            assert_bytes(&client.answer().await.raw(), OK, "at the client");
            served = Some(peer);
        }
        assert_eq!(proxy.connections(), 1);
        // The proxy goes on leading as long as somebody is there.
        drop(served);
        let left = gate.stop().await;
        for record in left.records() {
            assert_eq!(record.host.as_deref(), Some(BEDROCK));
            assert_eq!(record.outcome, Outcome::Complete);
        }
    }
}

/// What clients show the gate.
const CLIENTS: &str = "Proxy-Authorization: Basic dGVhbS1hOnMzY3JldA==\r\n";
/// What the gate shows its proxy.
const BASIC: &str = "Proxy-Authorization: Basic bWU6YzRuNHJ5QA==\r\n";

fn wanted(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{BASIC}\r\n")
}

/// An exchange and a relayed request, both led to where they want to go.
async fn calls(gate: &Gate, proxy: &RawUpstream, upstream: &RawUpstream) {
    let mut client = Door::open_as(gate, BEDROCK, CLIENTS).await;
    client.send(request(Door::Connect)).await;
    assert_eq!(
        lead(proxy, upstream).await,
        wanted(&format!("{BEDROCK}:443"))
    );
    let mut served = upstream.accept().await;
    let sent = served.request().await;
    assert!(sent.field("proxy-authorization").is_none());
    served.send(OK).await;
    assert_bytes(&client.answer().await.raw(), OK, "at the client");

    let mut relayed = gate.plain().await;
    let head = format!("GET https://{ELSEWHERE}/ HTTP/1.1\r\nHost: {ELSEWHERE}\r\n");
    relayed.send(format!("{head}{CLIENTS}\r\n")).await;
    assert_eq!(
        lead(proxy, upstream).await,
        wanted(&format!("{ELSEWHERE}:443"))
    );
    let mut served = upstream.accept().await;
    let plain = format!("GET / HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n");
    assert_bytes(&served.request().await.raw(), plain.as_bytes(), "relayed");
    served.send(OK).await;
    assert_bytes(&relayed.answer().await.raw(), OK, "at the client");
}

/// A tunnel that the proxy does not grant. Returns what the client is told.
async fn refused_tunnel(gate: &Gate, proxy: &RawUpstream) -> String {
    let mut client = gate.plain().await;
    let head = format!("CONNECT {ELSEWHERE}:8443 HTTP/1.1\r\n");
    client.send(format!("{head}{CLIENTS}\r\n")).await;
    let mut onwards = proxy.accept().await;
    let asked = onwards.head().await;
    assert_bytes(
        &asked,
        wanted(&format!("{ELSEWHERE}:8443")).as_bytes(),
        "at the proxy",
    );
    onwards
        .send(
            "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"c4n4ry\"\r\nContent-Length: 6\r\n\r\nc4n4ry",
        )
        .await;
    let answer = client.answer().await;
    answer.assert_plain(503, "upstream-unreachable");
    answer.text()
}

#[tokio::test]
async fn the_proxy_alone_sees_its_credentials() {
    let log = Log::default();
    let listening = log.listen();
    let upstream = RawUpstream::tls().await;
    let proxy = RawUpstream::tls_for("localhost").await;
    let gate = gate("me:c4n4ry%40@localhost", &proxy, &upstream).await;
    calls(&gate, &proxy, &upstream).await;
    let message = refused_tunnel(&gate, &proxy).await;
    let name = format!("https://localhost:{} ", proxy.address.port());
    for wanted in ["407", "does not accept", &name] {
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
    let left = gate.stop().await;
    let users = left.records().into_iter();
    let users: Vec<_> = users.map(|record| record.identity.proxy_user).collect();
    assert!(users.contains(&Some("team-a".to_owned())), "{users:?}");
    let ledger = std::fs::read(left.home().path().join(tollgate::ledger::FILE_NAME)).unwrap();
    drop(listening);
    let log = log.text();
    assert!(
        log.contains("upstreams are reached through a proxy"),
        "{log}"
    );
    let ledger = String::from_utf8_lossy(&ledger);
    for text in [&message, &log, ledger.as_ref()] {
        for secret in ["c4n4ry", "bWU6YzRuNHJ5QA"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn tunnels_and_plain_http_leave_by_the_proxy_too() {
    let upstream = RawUpstream::plain().await;
    let proxy = RawUpstream::plain().await;
    let gate = gate("127.0.0.1", &proxy, &upstream).await;
    let mut client = gate.plain().await;
    client
        .send(format!("CONNECT {ELSEWHERE}:22 HTTP/1.1\r\n\r\nhello"))
        .await;
    let mut onwards = proxy.accept().await;
    onwards
        .expect(
            format!("CONNECT {ELSEWHERE}:22 HTTP/1.1\r\nHost: {ELSEWHERE}:22\r\n\r\n").as_bytes(),
        )
        .await;
    // The host speaks first, in the segment of the proxy's consent, which comes in pieces and after an interim answer.
    onwards
        .send_pieces([
            "HTTP/1.1 100 Continue\r\n",
            "\r\nHTTP/1.1 299 ",
            "\r\n\r\nSSH-2.0-x\r\n",
        ])
        .await;
    client
        .expect(b"HTTP/1.1 200 Connection established\r\n\r\nSSH-2.0-x\r\n")
        .await;
    onwards.expect(b"hello").await;
    client.close().await;
    assert_eq!(onwards.end().await, End::Closed);
    drop(onwards);

    let mut client = gate.plain().await;
    client
        .send(format!(
            "GET http://{ELSEWHERE}/a?b HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n"
        ))
        .await;
    assert!(
        lead(&proxy, &upstream)
            .await
            .starts_with(&format!("CONNECT {ELSEWHERE}:80 "))
    );
    let mut served = upstream.accept().await;
    served
        .expect(format!("GET /a?b HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n").as_bytes())
        .await;
    served.send(OK).await;
    client.expect(OK).await;
    drop((client, served));

    let mut client = gate.plain().await;
    client.send("CONNECT [2600::1]:443 HTTP/1.1\r\n\r\n").await;
    let mut onwards = proxy.accept().await;
    onwards
        .expect(b"CONNECT [2600::1]:443 HTTP/1.1\r\nHost: [2600::1]:443\r\n\r\n")
        .await;
    drop((onwards, client));
    assert_eq!(gate.stop().await.records()[0].entry, Entry::Tunnel);
}

#[tokio::test]
async fn what_needs_no_proxy_is_dialled() {
    let upstream = RawUpstream::tls().await;
    let proxy = RawUpstream::plain().await;
    let url = format!("http://{}", proxy.address);
    let plans = [
        Plan::new().connect_to(BEDROCK, &upstream),
        Plan::new().before(&upstream),
    ];
    for plan in plans {
        let plan = plan.with(|settings| settings.upstream_proxy = proxied(&url, &[]));
        let gate = plan.start().await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(request(Door::Connect)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(OK).await;
        client.expect(OK).await;
    }
    // This machine, and what the list says, in whatever spelling.
    let direct = RawUpstream::plain().await;
    let port = direct.address.port();
    let gate = Plan::new()
        .with(|settings| {
            settings.upstream_proxy = proxied(&url, &["listed.invalid", "127.0.0.0/8"]);
        })
        .start()
        .await;
    for host in ["localhost", "127.0.0.1", "127.1", "2130706433"] {
        let mut client = gate.plain().await;
        client
            .send(format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n"))
            .await;
        let mut served = direct.accept().await;
        client.head().await;
        client.send("x").await;
        served.expect(b"x").await;
    }
    let mut client = gate.plain().await;
    client
        .send("CONNECT a.listed.invalid:443 HTTP/1.1\r\n\r\n")
        .await;
    let answer = client.answer().await;
    answer.assert_plain(503, "upstream-unreachable");
    assert!(
        answer.text().contains("cannot be resolved"),
        "{}",
        answer.text()
    );
    assert_eq!(proxy.connections(), 0);
}
