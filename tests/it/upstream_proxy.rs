//! Behind a proxy that the network demands: everything leaves by it, it alone sees its credentials, and what it does
//! instead of its work is told to the client.

use std::time::Duration;

use tollgate::app::StartError;
use tollgate::config::{Options, PrivateDestinations, UpstreamProxy};
use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{
    BEDROCK, Door, End, Gate, Log, Peer, RawClient, RawUpstream, assert_bytes, within,
};

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
        let left = gate.stop().await;
        for record in left.records() {
            assert_eq!(record.host.as_deref(), Some(BEDROCK));
            assert_eq!(record.outcome, Outcome::Complete);
        }
    }
}

#[tokio::test]
async fn the_proxy_alone_sees_its_credentials() {
    let log = Log::default();
    let listening = log.listen();
    let upstream = RawUpstream::tls().await;
    let proxy = RawUpstream::tls_for("localhost").await;
    let gate = gate("me:c4n4ry%40@localhost", &proxy, &upstream).await;
    let clients = "Proxy-Authorization: Basic dGVhbS1hOnMzY3JldA==\r\n";
    // An exchange, a relayed request, a tunnel.
    let mut client = Door::open_as(&gate, BEDROCK, clients).await;
    client.send(request(Door::Connect)).await;
    let basic = "Proxy-Authorization: Basic bWU6YzRuNHJ5QA==\r\n";
    let wanted =
        |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{basic}\r\n");
    assert_eq!(
        lead(&proxy, &upstream).await,
        wanted(&format!("{BEDROCK}:443"))
    );
    let mut served = upstream.accept().await;
    assert!(
        !served
            .request()
            .await
            .raw()
            .windows(5)
            .any(|five| five == b"Proxy")
    );
    served.send(OK).await;
    assert_bytes(&client.answer().await.raw(), OK, "at the client");

    let mut relayed = gate.plain().await;
    relayed
        .send(format!(
            "GET https://{ELSEWHERE}/ HTTP/1.1\r\nHost: {ELSEWHERE}\r\n{clients}\r\n"
        ))
        .await;
    assert_eq!(
        lead(&proxy, &upstream).await,
        wanted(&format!("{ELSEWHERE}:443"))
    );
    let mut served = upstream.accept().await;
    let plain = format!("GET / HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n");
    assert_bytes(&served.request().await.raw(), plain.as_bytes(), "relayed");
    served.send(OK).await;
    assert_bytes(&relayed.answer().await.raw(), OK, "at the client");

    let mut tunnelled = gate.plain().await;
    tunnelled
        .send(format!(
            "CONNECT {ELSEWHERE}:8443 HTTP/1.1\r\n{clients}\r\n"
        ))
        .await;
    let mut onwards = proxy.accept().await;
    assert_eq!(
        onwards.head().await,
        wanted(&format!("{ELSEWHERE}:8443")).as_bytes()
    );
    onwards.send("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"c4n4ry\"\r\nContent-Length: 6\r\n\r\nc4n4ry").await;
    let answer = tunnelled.answer().await;
    answer.assert_plain(503, "upstream-unreachable");
    let message = answer.text();
    assert!(
        message.contains("407") && message.contains("does not accept"),
        "{message}"
    );
    assert!(
        message.contains(&format!("https://localhost:{}", proxy.address.port())),
        "{message}"
    );
    assert!(!message.contains("c4n4ry"), "{message}");

    let left = gate.stop().await;
    let users: Vec<_> = left
        .records()
        .into_iter()
        .map(|record| record.identity.proxy_user)
        .collect();
    assert!(users.contains(&Some("team-a".to_owned())), "{users:?}");
    let ledger = std::fs::read(left.home().path().join(tollgate::ledger::FILE_NAME)).unwrap();
    drop(listening);
    for (what, text) in [
        ("ledger", String::from_utf8_lossy(&ledger).into_owned()),
        ("log", log.text()),
    ] {
        for secret in ["c4n4ry", "bWU6YzRuNHJ5QA", "me:"] {
            assert!(!text.contains(secret), "{secret} in the {what}");
        }
    }
    assert!(
        log.text().contains("upstreams are reached through a proxy"),
        "{}",
        log.text()
    );
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
            settings.upstream_proxy = proxied(&url, &["listed.invalid", "127.0.0.0/8"])
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

#[tokio::test]
async fn an_address_that_may_not_be_reached_is_not_asked_of_the_proxy_either() {
    let proxy = RawUpstream::plain().await;
    let url = format!("http://{}", proxy.address);
    let plan = Plan::new().with(|settings| {
        settings.upstream_proxy = proxied(&url, &[]);
        settings.private_destinations = PrivateDestinations::Deny;
    });
    let gate = plan.start().await;
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[fd00:ec2::254]",
        "169.254.170.2",
    ] {
        for request in [
            format!("CONNECT {host}:80 HTTP/1.1\r\n\r\n"),
            format!("GET http://{host}/latest/meta-data/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ] {
            let mut client = gate.plain().await;
            client.send(&request).await;
            let answer = client.answer().await;
            answer.assert_plain(403, "host-denied");
            assert!(answer.text().contains("NO_PROXY"), "{}", answer.text());
        }
    }
    for host in ["10.0.0.1", "[::ffff:10.0.0.1]", "127.0.0.1", "10.1"] {
        let mut client = gate.plain().await;
        client
            .send(format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n"))
            .await;
        let answer = client.answer().await;
        answer.assert_plain(403, "host-denied");
        assert!(
            answer.text().contains("--private-destinations"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(proxy.connections(), 0);
}

/// What a client of a gate behind `proxy` is told when the proxy is sent a CONNECT and `behave` is what it does.
async fn told(
    gate: &Gate,
    proxy: &RawUpstream,
    behave: impl AsyncFnOnce(&mut RawClient),
) -> String {
    let mut client = Door::Connect.open(gate, BEDROCK).await;
    client.send(request(Door::Connect)).await;
    let mut onwards = proxy.accept().await;
    onwards.head().await;
    behave(&mut onwards).await;
    let answer = client.answer().await;
    answer.assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    let name = format!(
        "the upstream proxy http://127.0.0.1:{} ",
        proxy.address.port()
    );
    assert!(message.starts_with(&name), "{message}");
    assert!(!message.contains("c4n4ry"), "{message}");
    message
}

#[tokio::test]
async fn what_the_proxy_does_instead_is_told() {
    let upstream = RawUpstream::plain().await;
    let proxy = RawUpstream::plain().await;
    let gate = gate("127.0.0.1", &proxy, &upstream).await;
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    let many = "HTTP/1.1 103 Early\r\n\r\n".repeat(99);
    let rows = [
        ("HTTP/1.1 407 Who\r\n\r\n", "USER:PASSWORD@"),
        (
            "HTTP/1.1 407 Who\r\nProxy-Authenticate: NTLM c4n4ry\r\n\r\n",
            "speaks NTLM",
        ),
        (
            "HTTP/1.1 403 c4n4ry\r\nX: c4n4ry\r\n\r\nc4n4ry",
            "403 Forbidden to CONNECT bedrock-runtime",
        ),
        ("HTTP/1.1 502 \r\n\r\n", "502 Bad Gateway"),
        ("HTTP/1.1 599 \r\n\r\n", "answered 599 to"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "answered 101"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n",
            "302 Found",
        ),
        ("SSH-2.0-c4n4ry\r\n\r\n", "with HTTP"),
        ("HTTP/1.1 200 OK\n\n", "with HTTP"),
        (&long, "longer than 16384 bytes"),
        (&many, "interim"),
    ];
    for (answer, wanted) in rows {
        let message = told(&gate, &proxy, async |onwards| {
            onwards.try_send(answer).await.ok();
        })
        .await;
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
    for beginning in ["", "HTTP/1.1 200 Con"] {
        let message = told(&gate, &proxy, async |onwards| {
            onwards.send(beginning).await;
            onwards.half_close().await;
        })
        .await;
        assert!(message.contains("closed the connection"), "{message}");
    }
    // Nothing of it is remembered: the next call asks again.
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(request(Door::Connect)).await;
    let mut onwards = proxy.accept().await;
    let wanted = format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n");
    assert!(onwards.head().await.starts_with(wanted.as_bytes()));
}

#[tokio::test]
async fn a_proxy_that_cannot_be_had_is_a_typed_503_that_names_it() {
    let upstream = RawUpstream::plain().await;
    let silent = RawUpstream::plain().await;
    let stranger = RawUpstream::tls_for("localhost").await;
    let closed = RawUpstream::plain().await.address;
    let url = |scheme: &str, port: u16| format!("{scheme}://me:c4n4ry@localhost:{port}");
    let rows = [
        (url("http", closed.port()), "cannot be reached"),
        (
            "http://me:c4n4ry@proxy.invalid:3128".to_owned(),
            "cannot be resolved",
        ),
        (url("https", stranger.address.port()), "cannot be verified"),
        (url("http", silent.address.port()), "within 0.2 s"),
    ];
    for (url, wanted) in rows {
        let plan = Plan::new().with(|settings| {
            settings.upstream_proxy = proxied(&url, &[]);
            settings.timeouts.connect = Duration::from_millis(100);
        });
        let gate = plan.start().await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(request(Door::Connect)).await;
        let dribbling = async {
            if url.contains(&silent.address.port().to_string()) {
                let mut onwards = silent.accept().await;
                onwards.head().await;
                // One more field at every turn, and never the end of the head.
                onwards.send("HTTP/1.1 200 OK\r\n").await;
                while onwards.try_send("X: y\r\n").await.is_ok() {
                    tokio::task::yield_now().await;
                }
            }
        };
        let (answer, ()) = within("an answer and the proxy's end", async {
            tokio::join!(client.answer(), dribbling)
        })
        .await;
        answer.assert_typed(503, "ServiceUnavailableException", "upstream-unreachable");
        let message = answer.text();
        assert!(message.contains(wanted), "{wanted}: {message}");
        assert!(
            !message.contains("c4n4ry") && !message.contains("me:"),
            "{message}"
        );
        assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Failed);
    }
    drop(upstream);
}

#[tokio::test]
async fn a_gate_is_not_its_own_upstream_proxy() {
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        let plan = Plan::new().with(|settings| {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            settings.listen = free.local_addr().unwrap();
            let port = settings.listen.port();
            settings.upstream_proxy = proxied(&format!("http://me:c4n4ry@{host}:{port}"), &[]);
        });
        let Err(error) = tollgate::app::Gate::start(plan.settings.clone()).await else {
            panic!("{host}: the gate started");
        };
        assert!(matches!(error, StartError::Loop { .. }), "{host}: {error}");
        assert!(error.is_configuration());
        let message = error.to_string();
        assert!(
            message.contains("upstream-proxy") && message.contains("this gate itself"),
            "{message}"
        );
        assert!(!message.contains("c4n4ry"), "{message}");
    }
}
