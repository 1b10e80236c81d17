//! What the proxy does instead of its work, what it is not asked, and what is no proxy at all.

use std::time::Duration;

use tollgate::app::StartError;
use tollgate::config::PrivateDestinations;
use tollgate::ledger::Outcome;

use super::{gate, proxied, request};
use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream, within};

#[tokio::test]
async fn an_address_that_may_not_be_reached_is_not_asked_of_the_proxy_either() {
    let proxy = RawUpstream::plain().await;
    let url = format!("http://{}", proxy.address);
    let plan = Plan::new().with(|settings| {
        settings.upstream_proxy = proxied(&url, &[]);
        settings.private_destinations = PrivateDestinations::Deny;
        settings.policy.hosts.tunnel.clear();
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
    for (host, told) in [
        ("10.0.0.1", "--private-destinations"),
        ("[::ffff:10.0.0.1]", "--private-destinations"),
        ("127.0.0.1", "[[host]]"),
        ("10.1", "--private-destinations"),
    ] {
        let mut client = gate.plain().await;
        client
            .send(format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n"))
            .await;
        let answer = client.answer().await;
        answer.assert_plain(403, "host-denied");
        assert!(answer.text().contains(told), "{}", answer.text());
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
