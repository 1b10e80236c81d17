//! A browser at the client port is told what this is and given the certificate, and never a key; whoever does not ask
//! the gate for itself is answered as before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, End, Gate, Message, RawClient, RawUpstream};

async fn ask(mut client: RawClient, method: &str, target: &str, lines: &str) -> Message {
    client
        .send(format!("{method} {target} HTTP/1.1\r\n{lines}\r\n"))
        .await;
    let answer = client.answer_to(method).await;
    assert_eq!(client.end().await, End::Closed);
    answer
}

async fn get(gate: &Gate, target: &str, host: &str) -> Message {
    ask(
        gate.plain().await,
        "GET",
        target,
        &format!("Host: {host}\r\n"),
    )
    .await
}

#[tokio::test]
async fn the_page_tells_where_the_gate_is_as_the_browser_reached_it() {
    let gate = Plan::new().start().await;
    let port = gate.address.port();
    let rows = [
        (format!("127.0.0.1:{port}"), format!("127.0.0.1:{port}")),
        (format!("LocalHost:{port}"), format!("LocalHost:{port}")),
        ("[::1]:8080".to_owned(), "[::1]:8080".to_owned()),
        ("localhost".to_owned(), "localhost:80".to_owned()),
    ];
    for (host, shown) in rows {
        let page = get(&gate, "/", &host).await;
        assert_eq!(page.status(), 200);
        assert_eq!(
            page.field("content-type").as_deref(),
            Some("text/html; charset=utf-8")
        );
        let text = page.text();
        for wanted in [
            format!("HTTPS_PROXY=http://{shown}\n"),
            format!("http://{shown}/bundle.pem"),
            env!("CARGO_PKG_VERSION").to_owned(),
            "href=\"/ca.pem\"".to_owned(),
            "tollgate log".to_owned(),
        ] {
            assert!(text.contains(&wanted), "{wanted} in {text}");
        }
        for never in [
            "{{",
            "<script",
            " src=",
            "PRIVATE",
            gate.home().to_str().unwrap(),
        ] {
            assert!(!text.contains(never), "{never} in {text}");
        }
    }
    let secured = ask(
        gate.tls("localhost").await,
        "GET",
        "/",
        "Host: localhost\r\n",
    )
    .await;
    assert!(
        secured
            .text()
            .contains("HTTPS_PROXY=http://localhost:443\n"),
        "{}",
        secured.text()
    );
    let hinted = "Host: localhost\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nGET /";
    assert_eq!(
        ask(gate.plain().await, "GET", "/", hinted).await.status(),
        200
    );
    assert!(
        gate.stop().await.records().is_empty(),
        "a page is no exchange"
    );
}

#[tokio::test]
async fn nothing_but_the_page_itself_may_be_loaded() {
    let gate = Plan::new().start().await;
    let page = get(&gate, "/", "localhost").await;
    let text = page.text();
    let style = text
        .split_once("<style>")
        .unwrap()
        .1
        .split_once("</style>")
        .unwrap()
        .0;
    let hash = STANDARD.encode(Sha256::digest(style));
    let policy = page.field("content-security-policy").unwrap();
    let directives: Vec<&str> = policy.split("; ").collect();
    let style = format!("style-src 'sha256-{hash}'");
    for wanted in [
        "default-src 'none'",
        &style,
        "frame-ancestors 'none'",
        "form-action 'none'",
    ] {
        assert!(directives.contains(&wanted), "{wanted} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(
        page.field("x-content-type-options").as_deref(),
        Some("nosniff")
    );
    assert_eq!(page.field("cache-control").as_deref(), Some("no-store"));
    let head = ask(gate.plain().await, "HEAD", "/", "Host: localhost\r\n").await;
    assert_eq!(head.head, page.head);
    assert!(head.content.is_empty());
}

#[tokio::test]
async fn the_certificates_are_those_of_the_home_and_never_a_key() {
    let gate = Plan::new().start().await;
    let home = |name: &str| std::fs::read(gate.home().join(name)).unwrap();
    for name in ["ca.pem", "bundle.pem"] {
        let answer = get(&gate, &format!("/{name}"), "127.0.0.1").await;
        assert_eq!(
            answer.field("content-type").as_deref(),
            Some("application/x-pem-file")
        );
        assert!(answer.content == home(name), "{name}");
        let ours = CertificateDer::from_pem_slice(&home("ca.pem")).unwrap();
        let last = CertificateDer::pem_slice_iter(&answer.content)
            .last()
            .unwrap()
            .unwrap();
        assert_eq!(last, ours, "{name}");
    }
    // Even where somebody has put a key beside the certificate.
    let both = [home("ca.pem"), home("ca-key.pem")].concat();
    assert!(memchr::memmem::find(&both, b"PRIVATE KEY").is_some());
    std::fs::write(gate.home().join("ca.pem"), both).unwrap();
    let answer = get(&gate, "/ca.pem", "localhost").await;
    assert!(!answer.text().contains("PRIVATE"), "{}", answer.text());
    std::fs::remove_file(gate.home().join("ca.pem")).unwrap();
    get(&gate, "/ca.pem", "localhost")
        .await
        .assert_plain(404, "no-route");
    for path in [
        "/ca-key.pem",
        "/issuer.pem",
        "/ledger.db",
        "/../ca-key.pem",
        "/gate.lock",
        "//ca.pem",
        "/ca.pem?",
        "/favicon.ico",
    ] {
        get(&gate, path, "localhost")
            .await
            .assert_plain(404, "no-route");
    }
}

#[tokio::test]
async fn only_who_asks_the_gate_for_itself_gets_the_page() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            let pattern = tollgate::config::HostPattern::parse("opened.localhost").unwrap();
            settings.policy.hosts.intercept.push(pattern);
        })
        .start()
        .await;
    for target in ["/", "/ca.pem"] {
        // A name of somebody else's whose address became ours.
        for host in ["evil.example", "localhost.evil.example", "192.0.2.1"] {
            get(&gate, target, host).await.assert_plain(404, "no-route");
        }
        for method in ["POST", "OPTIONS", "PUT"] {
            let lines = "Host: localhost\r\nContent-Length: 0\r\n";
            let answer = ask(gate.plain().await, method, target, lines).await;
            answer.assert_plain(404, "no-route");
        }
        let twice = "Host: localhost\r\nHost: localhost\r\n";
        assert_eq!(
            ask(gate.plain().await, "GET", target, twice).await.status(),
            400
        );
        let nobody = gate.plain().await;
        assert_eq!(ask(nobody, "GET", target, "").await.status(), 400);
        // Credentials make no difference.
        let lines = "Host: localhost\r\nAuthorization: Bearer x\r\nCookie: a=b\r\n";
        let with = ask(gate.plain().await, "GET", target, lines).await;
        assert!(
            with.raw() == get(&gate, target, "localhost").await.raw(),
            "{target}"
        );
        for (door, host) in [
            (Door::Connect, BEDROCK),
            (Door::Forward, BEDROCK),
            (Door::Transparent, BEDROCK),
            (Door::TransparentPlain, BEDROCK),
            (Door::TransparentPlain, "opened.localhost"),
        ] {
            let mut client = door.open(&gate, host).await;
            let sent = door.target(host, target);
            client
                .send(format!("GET {sent} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            let mut served = if host == BEDROCK {
                upstream.accept().await
            } else {
                // Its certificate is for other names: an attempt is all we need to see.
                client.answer().await.assert_typed(
                    503,
                    "ServiceUnavailableException",
                    "upstream-tls",
                );
                continue;
            };
            let request = served.request().await;
            assert_eq!(
                request.start_line(),
                format!("GET {target} HTTP/1.1"),
                "{door:?}"
            );
            served
                .send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                .await;
            assert_eq!(client.answer_to("GET").await.status(), 204);
        }
    }
}

#[tokio::test]
async fn whoever_asks_for_the_page_ambiguously_is_refused_like_anybody() {
    let gate = Plan::new().start().await;
    let both = "Host: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    for target in ["/", "/ca.pem", "/nothing"] {
        let refused = ask(gate.plain().await, "GET", target, both).await;
        refused.assert_plain(400, "malformed-request");
    }
}
