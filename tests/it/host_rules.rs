//! Where clients may go: one table of hosts for every door, ports, and addresses in every spelling.

use tollgate::config::settings::ConnectTo;
use tollgate::config::{HostPattern, PrivateDestinations, Settings, TunnelPorts};
use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream};

fn patterns(list: &[&str]) -> Vec<HostPattern> {
    list.iter()
        .map(|text| HostPattern::parse(text).unwrap())
        .collect()
}

/// Rules and ports as somebody has them who has said nothing.
fn unruled(settings: &mut Settings) {
    settings.policy.hosts.tunnel.clear();
    settings.policy.hosts.ports = TunnelPorts::default();
}

async fn asked(gate: &Gate, request: String) -> RawClient {
    let mut client = gate.plain().await;
    client.send(request).await;
    client
}

fn connect(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\n\r\n")
}

fn get(url: &str, host: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test]
async fn an_allow_list_leaves_bedrock_and_what_it_lists() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .connect_to(ELSEWHERE, &upstream)
        .with(|settings| {
            unruled(settings);
            settings.policy.hosts.deny = patterns(&["*"]);
            settings.policy.hosts.tunnel = patterns(&["*.example.test"]);
        })
        .start()
        .await;
    for host in [
        "example.test",
        "evilexample.test",
        "a.example.test.evil",
        "127.0.0.1",
        "[::1]",
    ] {
        for request in [
            connect(&format!("{host}:443")),
            get(&format!("http://{host}/"), host),
            get(&format!("https://{host}/"), host),
        ] {
            let answer = asked(&gate, request).await.answer().await;
            answer.assert_plain(403, "host-denied");
            assert!(answer.text().contains("denied by this gate's rules"));
        }
    }
    let upper = ELSEWHERE.to_uppercase();
    for host in [ELSEWHERE, &upper, &format!("{ELSEWHERE}.")] {
        let mut client = asked(&gate, connect(&format!("{host}:443"))).await;
        let head = client.head().await;
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{host}");
    }
    for door in Door::ALL {
        let mut client = door.open(&gate, BEDROCK).await;
        let target = door.target(BEDROCK, "/model/m/invoke");
        client.send(get(&target, BEDROCK)).await;
        let mut served = upstream.accept_some_time().await;
        while served.try_request().await.is_err() {
            served = upstream.accept_some_time().await;
        }
        served
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        assert_eq!(client.answer().await.status(), 200, "{door:?}");
    }
}

#[tokio::test]
async fn a_bedrock_endpoint_that_is_to_be_tunnelled_is_not_opened_by_any_door() {
    let before = |upstream: &RawUpstream| {
        Plan::new().connect_to(BEDROCK, upstream).with(|settings| {
            unruled(settings);
            settings.policy.hosts.tunnel = patterns(&[BEDROCK]);
        })
    };
    let upstream = RawUpstream::plain().await;
    let gate = before(&upstream).start().await;
    let mut client = asked(&gate, connect(&format!("{BEDROCK}:443"))).await;
    let mut served = upstream.accept().await;
    let head = client.head().await;
    assert!(head.starts_with(b"HTTP/1.1 200 "));
    client.send("neither TLS nor HTTP").await;
    served.expect(b"neither TLS nor HTTP").await;
    drop((client, served));
    assert_eq!(gate.stop().await.record().entry, Entry::Tunnel);

    let upstream = RawUpstream::tls_for(BEDROCK).await;
    let gate = before(&upstream).start().await;
    // Relayed, and neither observed nor captured.
    let mut client = asked(
        &gate,
        get(&format!("https://{BEDROCK}/model/m/invoke"), BEDROCK),
    )
    .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.answer().await.status(), 200);
    // It is none of the gate's hosts: neither below a route nor at the port itself.
    for target in ["/service/standard/model/m/invoke", "/model/m/invoke"] {
        let answer = asked(&gate, get(target, BEDROCK)).await.answer().await;
        assert!(answer.status() >= 400, "{target}: {}", answer.text());
    }
    let records = gate.stop().await.records();
    let relayed = records
        .iter()
        .find(|record| record.outcome == Outcome::Complete && record.entry == Entry::Forward);
    assert_eq!(relayed.unwrap().operation, None);
}

#[tokio::test]
async fn the_last_upstream_of_a_route_is_asked_of_the_rules_too() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            unruled(settings);
            settings.policy.routes[0].upstream = Some((ELSEWHERE.to_owned(), 443));
            settings.policy.hosts.deny = patterns(&["*.example.test"]);
        })
        .start()
        .await;
    for door in [Door::Route, Door::RouteInTls] {
        let mut client = door.open(&gate, "localhost").await;
        client
            .send(get("/service/standard/model/m/invoke", "localhost"))
            .await;
        client
            .answer()
            .await
            .assert_typed(403, "AccessDeniedException", "host-denied");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn hosts_that_are_not_opened_are_reached_at_the_ports_that_are_permitted() {
    let upstream = RawUpstream::plain().await;
    for (ports, connects, gets) in [
        (TunnelPorts::default(), vec![443], vec![80, 443]),
        (TunnelPorts::Only(vec![22]), vec![22], vec![22, 80]),
        (
            TunnelPorts::Any,
            vec![22, 80, 443, 8443],
            vec![22, 80, 443, 8443],
        ),
    ] {
        let gate = Plan::new()
            .connect_to(ELSEWHERE, &upstream)
            .with(|settings| {
                unruled(settings);
                settings.policy.hosts.ports = ports;
            })
            .start()
            .await;
        for port in [22, 80, 443, 8443] {
            let authority = format!("{ELSEWHERE}:{port}");
            let mut client = asked(&gate, connect(&authority)).await;
            if connects.contains(&port) {
                let head = client.head().await;
                assert!(head.starts_with(b"HTTP/1.1 200 "), "CONNECT {authority}");
                upstream.accept().await;
            } else {
                let answer = client.answer().await;
                answer.assert_plain(403, "port-denied");
                let option = format!("--tunnel-port {port}");
                assert!(answer.text().contains(&option), "{}", answer.text());
            }
            let url = format!("http://{authority}/");
            let mut client = asked(&gate, get(&url, &authority)).await;
            if gets.contains(&port) {
                let mut served = upstream.accept().await;
                served.request().await;
                served
                    .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .await;
                assert_eq!(client.answer().await.status(), 200, "{url}");
            } else {
                client.answer().await.assert_plain(403, "port-denied");
            }
        }
        // What is opened is for AWS, at whatever port.
        let mut client = asked(&gate, connect(&format!("{BEDROCK}:8443"))).await;
        assert!(client.head().await.starts_with(b"HTTP/1.1 200 "));
    }
}

/// Ways to write this machine's address; `%` is the port.
const LOOPBACK: [&str; 23] = [
    "127.0.0.1:%",
    "127.0.0.1.:%",
    "127.1:%",
    "127.0.1:%",
    "2130706433:%",
    "0x7f000001:%",
    "0x7f.1:%",
    "0177.0.0.1:%",
    "017700000001:%",
    "127.9.9.9:%",
    "0.0.0.0:%",
    "0:%",
    "localhost:%",
    "LOCALHOST.:%",
    "[::1]:%",
    "[::]:%",
    "[0:0:0:0:0:0:0:1]:%",
    "[::ffff:127.0.0.1]:%",
    "[::ffff:7f00:1]:%",
    "[::127.0.0.1]:%",
    "[64:ff9b::127.0.0.1]:%",
    "[2002:7f00:1::1]:%",
    "[2001:0:1:2:3:4:80ff:fffe]:%",
];

/// Ways to write 169.254.169.254, and where else credentials are handed out.
const METADATA: [&str; 21] = [
    "169.254.169.254:%",
    "169.254.169.254.:%",
    "2852039166:%",
    "0xa9fea9fe:%",
    "0xa9.0xfe.0xa9.0xfe:%",
    "0251.0376.0251.0376:%",
    "169.254.43518:%",
    "169.16689662:%",
    "[::ffff:169.254.169.254]:%",
    "[::ffff:a9fe:a9fe]:%",
    "[::169.254.169.254]:%",
    "[::ffff:0:169.254.169.254]:%",
    "[64:ff9b::169.254.169.254]:%",
    "[64:ff9b:1::169.254.169.254]:%",
    "[2002:a9fe:a9fe::]:%",
    "[2001:0:1:2:3:4:5601:5601]:%",
    "[fe80::1]:%",
    "[fe80::5efe:169.254.169.254]:%",
    "[fd00:ec2::254]:%",
    "169.254.170.2:%",
    "100.100.100.200:%",
];

async fn assert_denied(gate: &Gate, authority: &str, part: &str) {
    for request in [
        connect(authority),
        get(&format!("http://{authority}/"), authority),
        get(&format!("https://{authority}/"), authority),
    ] {
        println!("{request}");
        let answer = asked(gate, request).await.answer().await;
        answer.assert_plain(403, "host-denied");
        assert!(answer.text().contains(part), "{}", answer.text());
    }
}

#[tokio::test]
async fn this_machine_is_reached_by_nobody_however_it_is_written() {
    let local = RawUpstream::plain().await;
    let port = local.address.port().to_string();
    for private in [PrivateDestinations::Allow, PrivateDestinations::Deny] {
        let gate = Plan::new()
            .with(|settings| {
                unruled(settings);
                settings.policy.hosts.ports = TunnelPorts::Any;
                settings.private_destinations = private;
            })
            .start()
            .await;
        for authority in LOOPBACK {
            assert_denied(&gate, &authority.replace('%', &port), "[[host]]").await;
        }
    }
    assert_eq!(local.connections(), 0);
}

#[tokio::test]
async fn a_rule_that_names_this_machine_lets_clients_reach_it() {
    let local = RawUpstream::plain().await;
    let port = local.address.port();
    let gate = Plan::new()
        .with(|settings| {
            unruled(settings);
            settings.policy.hosts.ports = TunnelPorts::Any;
            settings.policy.hosts.tunnel = patterns(&["127.0.0.1", "localhost"]);
            settings.private_destinations = PrivateDestinations::Deny;
        })
        .start()
        .await;
    for host in [
        "127.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "localhost",
        "Localhost.",
    ] {
        let mut client = asked(&gate, connect(&format!("{host}:{port}"))).await;
        assert!(client.head().await.starts_with(b"HTTP/1.1 200 "), "{host}");
        local.accept().await;
    }
    assert_denied(&gate, &format!("127.0.0.2:{port}"), "[[host]]").await;
    assert_denied(&gate, &format!("[::1]:{port}"), "[[host]]").await;
}

#[tokio::test]
async fn metadata_services_are_reached_by_no_spelling_and_by_no_rule() {
    let gate = Plan::new()
        .with(|settings| {
            unruled(settings);
            let hosts = &mut settings.policy.hosts;
            hosts.tunnel = patterns(&["169.254.169.254", "fd00:ec2::254", "named.example"]);
            hosts.intercept = patterns(&["opened.example"]);
            let led = |host: &str| ConnectTo {
                host: Some(host.to_owned()),
                port: None,
                to_host: "169.254.169.254".to_owned(),
                to_port: 80,
            };
            settings.connect_to = vec![led("named.example"), led("opened.example"), led(BEDROCK)];
            settings.policy.routes[0].upstream = Some(("169.254.169.254".to_owned(), 443));
            hosts.ports = TunnelPorts::Any;
        })
        .start()
        .await;
    for authority in METADATA {
        assert_denied(&gate, &authority.replace('%', "80"), "NO_PROXY").await;
    }
    assert_denied(&gate, "named.example:80", "NO_PROXY").await;
    for (target, host) in [
        ("/service/standard/latest/meta-data/", "localhost"),
        ("/service/standard/model/m/invoke", BEDROCK),
        (&format!("http://{BEDROCK}/latest/"), BEDROCK),
        ("http://opened.example/latest/", "opened.example"),
    ] {
        let answer = asked(&gate, get(target, host)).await.answer().await;
        answer.assert_typed(403, "AccessDeniedException", "host-denied");
        assert!(answer.text().contains("NO_PROXY"), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_address_that_a_rule_denies_is_denied_under_every_name() {
    let local = RawUpstream::plain().await;
    let port = local.address.port();
    let gate = Plan::new()
        .with(|settings| {
            settings.policy.hosts.deny = patterns(&["127.0.0.1", "::1"]);
        })
        .start()
        .await;
    for host in [
        "127.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "localhost",
    ] {
        assert_denied(
            &gate,
            &format!("{host}:{port}"),
            "denied by this gate's rules",
        )
        .await;
    }
    assert_eq!(local.connections(), 0);
}

#[tokio::test]
async fn hosts_in_other_scripts_and_with_zones_are_no_hosts() {
    let gate = Plan::new().with(unruled).start().await;
    for authority in [
        "１２７.0.0.1:443",
        "b\u{fc}cher.example:443",
        "[::1%25lo]:443",
        "[fe80::1%lo]:443",
    ] {
        let answer = asked(&gate, connect(authority)).await.answer().await;
        assert_eq!(answer.status(), 400, "{authority}");
    }
}

#[tokio::test]
async fn a_pattern_in_another_script_means_what_clients_send() {
    let gate = Plan::new()
        .with(|settings| {
            unruled(settings);
            settings.policy.hosts.deny = patterns(&["*.b\u{fc}cher.example"]);
        })
        .start()
        .await;
    assert_denied(
        &gate,
        "www.xn--bcher-kva.example:443",
        "denied by this gate's rules",
    )
    .await;
}

const KEY: &str = "AKIAEXAMPLE000000001";

fn signed_by(key: &str, target: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential={key}/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature={}\r\n\
         Content-Length: 2\r\n\r\n{{}}",
        "0".repeat(64)
    )
}

#[tokio::test]
async fn a_route_is_for_those_whom_it_names() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.policy.routes[0].allow = Some(vec![KEY.to_owned(), "search *".to_owned()]);
            let aliases = [("AKIAEXAMPLE000000002".to_owned(), "search team".to_owned())];
            settings.policy.aliases = tollgate::config::Aliases::new(aliases.into()).unwrap();
        })
        .start()
        .await;
    let target = "/service/standard/model/m/invoke";
    for request in [
        signed_by("AKIAEXAMPLE000000003", target),
        get(target, BEDROCK),
    ] {
        let answer = asked(&gate, request).await.answer().await;
        answer.assert_typed(403, "AccessDeniedException", "access-denied");
        assert!(
            answer.text().contains("/service/standard/"),
            "{}",
            answer.text()
        );
        let record = gate.records().pop().unwrap();
        assert_eq!(
            (record.entry, record.outcome, record.status),
            (Entry::Route, Outcome::Refused, Some(403))
        );
    }
    assert_eq!(upstream.connections(), 0);
    for key in [KEY, "AKIAEXAMPLE000000002"] {
        let mut client = asked(&gate, signed_by(key, target)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        assert_eq!(client.answer().await.status(), 200);
    }
}
