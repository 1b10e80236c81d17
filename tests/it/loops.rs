//! Nothing that comes by the client port leads back to this gate: neither to its admin port nor to the client port, by
//! whatever door and under whatever spelling. It is checked on the address that would be dialled.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;

use tollgate::app::StartError;
use tollgate::config::settings::ConnectTo;
use tollgate::config::{HostPattern, Options, UpstreamProxy};

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream, admin};

/// What leads to 127.0.0.1, as clients, resolvers and kernels understand it.
const LOOPBACK: [&str; 16] = [
    "127.0.0.1",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:FFFF:7F00:0001]",
    "0.0.0.0",
    "0",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
];

/// The ways to ask for an address of one's own choice.
const ASKED: [(&str, bool); 6] = [
    ("CONNECT", false),
    ("CONNECT", true),
    ("http", false),
    ("http", true),
    ("https", false),
    ("https", true),
];

async fn ask(gate: &Gate, (way, in_tls): (&str, bool), authority: &str) -> RawClient {
    let mut client = if in_tls {
        gate.tls("localhost").await
    } else {
        gate.plain().await
    };
    let request = if way == "CONNECT" {
        format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
    } else {
        format!("GET {way}://{authority}/metrics HTTP/1.1\r\nHost: {authority}\r\n\r\n")
    };
    client.send(request).await;
    client
}

async fn assert_refused(gate: &Gate, host: &str, port: u16) {
    let authority = format!("{host}:{port}");
    for way in ASKED {
        let mut client = ask(gate, way, &authority).await;
        let method = if way.0 == "CONNECT" { "CONNECT" } else { "GET" };
        let answer = client.answer_to(method).await;
        answer.assert_plain(403, "host-denied");
        let told = answer.text();
        assert!(
            told.contains("this gate itself listens"),
            "{way:?} {authority}: {told}"
        );
    }
}

#[tokio::test]
async fn no_spelling_of_loopback_leads_to_a_port_of_this_gate() {
    let gate = Plan::new().with_admin().start().await;
    for port in [gate.admin().port(), gate.address.port()] {
        for host in LOOPBACK {
            assert_refused(&gate, host, port).await;
        }
    }
    let asked = "tollgate_connections_accepted_total";
    let through_the_front = (2 * LOOPBACK.len() * ASKED.len()) as f64;
    assert_eq!(admin::metric(gate.admin(), asked).await, through_the_front);
}

#[tokio::test]
async fn no_address_of_this_machine_leads_to_a_port_that_listens_on_all() {
    let gate = Plan::new()
        .with(|settings| {
            settings.admin.address = Some(([0, 0, 0, 0], 0).into());
            settings.listen = ([0, 0, 0, 0], 0).into();
        })
        .start()
        .await;
    let mut hosts = vec![
        "127.0.0.1".to_owned(),
        "127.8.8.8".to_owned(),
        "0.0.0.0".to_owned(),
    ];
    hosts.extend(own_address().map(|address| address.to_string()));
    for port in [gate.admin().port(), gate.address.port()] {
        for host in &hosts {
            assert_refused(&gate, host, port).await;
        }
    }
}

#[tokio::test]
async fn loopback_of_ipv6_leads_to_no_port_of_this_gate_either() {
    let plan = Plan::new().with(|settings| {
        settings.admin.address = Some("[::1]:0".parse().unwrap());
        settings.admin.is_explicit = true;
    });
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("this machine has no IPv6");
        return;
    }
    let gate = plan.start().await;
    for host in ["[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]"] {
        assert_refused(&gate, host, gate.admin().port()).await;
    }
}

#[tokio::test]
async fn what_the_operator_leads_elsewhere_is_not_led_here_by_any_door() {
    for to_host in [
        "127.0.0.1",
        "localhost",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "127.1",
    ] {
        let rule = |host: &str, to_port| ConnectTo {
            host: Some(host.to_owned()),
            port: None,
            to_host: to_host.to_owned(),
            to_port,
        };
        let gate = with_known_admin(|settings, port| {
            settings.connect_to = vec![rule(BEDROCK, port), rule("elsewhere.example", port)];
        })
        .await;
        for door in Door::ALL {
            let mut client = door.open(&gate, BEDROCK).await;
            let target = door.target(BEDROCK, "/model/m/invoke");
            let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n\r\n");
            client.send(format!("POST {target} {tail}")).await;
            client
                .answer()
                .await
                .assert_typed(403, "AccessDeniedException", "host-denied");
        }
        assert_refused(&gate, "elsewhere.example", 80).await;
        let records = gate.stop().await.records();
        assert_eq!(records.len(), Door::ALL.len() + ASKED.len(), "{to_host}");
    }
}

#[tokio::test]
async fn no_route_and_no_host_that_is_opened_leads_here() {
    let gate = with_known_admin(|settings, port| {
        settings.policy.routes[0].upstream = Some(("127.0.0.1".to_owned(), port));
        settings.policy.hosts.intercept = vec![HostPattern::parse("localhost").unwrap()];
    })
    .await;
    let mut client = gate.plain().await;
    client
        .send("GET /service/standard/metrics HTTP/1.1\r\nHost: gate.example\r\n\r\n")
        .await;
    client
        .answer()
        .await
        .assert_typed(403, "AccessDeniedException", "host-denied");
    for port in [gate.admin().port(), gate.address.port()] {
        let connect = format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n");
        let mut client = gate.behind(&connect, "localhost").await;
        client
            .send(format!(
                "GET /metrics HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
            ))
            .await;
        client
            .answer()
            .await
            .assert_typed(403, "AccessDeniedException", "host-denied");
    }
}

#[tokio::test]
async fn a_name_of_this_machine_is_not_led_here_by_a_proxy_either() {
    let name = Command::new("uname").arg("-n").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap().trim().to_owned();
    let Ok(resolved) = tokio::net::lookup_host((name.as_str(), 80)).await else {
        println!("this machine does not know its own name, {name}");
        return;
    };
    let resolved: Vec<_> = resolved.collect();
    let proxy = RawUpstream::plain().await;
    let options = Options {
        upstream_proxy: Some(format!("http://{}", proxy.address).into()),
        ..Options::default()
    };
    let proxied = UpstreamProxy::from_options(&options, |_| None).unwrap();
    let gate = Plan::new()
        .with(|settings| {
            settings.admin.address = Some(([0, 0, 0, 0], 0).into());
            settings.upstream_proxy = proxied;
        })
        .start()
        .await;
    let authority = format!("{name}:{}", gate.admin().port());
    let mut client = ask(&gate, ("CONNECT", false), &authority).await;
    let answer = client.answer_to("CONNECT").await;
    answer.assert_plain(403, "host-denied");
    let told = answer.text();
    assert!(
        told.contains("this gate itself listens"),
        "{resolved:?}: {told}"
    );
    assert_eq!(proxy.connections(), 0);
}

/// A gate whose admin port is known before it starts.
async fn with_known_admin(change: impl Fn(&mut tollgate::config::Settings, u16)) -> Gate {
    // Below those that the system gives to whoever asks for any.
    for port in 20_000..30_000 {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let plan = Plan::new().with(|settings| {
            settings.admin.address = Some(address);
            settings.admin.is_explicit = true;
            change(settings, port);
        });
        match plan.try_start().await {
            Ok(gate) => return gate,
            Err(StartError::Admin { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no port is free");
}

/// The address that this machine would use to speak to others, if it has one. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip())
}
