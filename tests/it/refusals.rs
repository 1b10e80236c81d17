//! What cannot reach the host it was signed for is refused with an answer that says so, and reaches nobody.

use tollgate::config::settings::PrivateDestinations;
use tollgate::config::{HostPattern, RouteRule};
use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::signing::Call;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, End, Gate, RawClient, RawUpstream, assert_bytes};

const OTHER: &str = "bedrock-runtime.eu-west-1.amazonaws.com";

/// Who would read the refusal.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// An SDK: typed JSON.
    Sdk,
    /// The proxy code of an HTTP library: a status and text.
    Hop,
}

/// Sends a request and fails unless it is refused as told, the connection is closed, and no upstream saw it.
async fn refuse(
    (gate, upstream): (&Gate, &RawUpstream),
    mut client: RawClient,
    request: &[u8],
    (reader, status, error_type, code): (Reader, u16, &str, &str),
) -> String {
    let before = gate.records().len();
    client.send(request).await;
    let answer = client.answer().await;
    match reader {
        Reader::Sdk => answer.assert_typed(status, error_type, code),
        Reader::Hop => answer.assert_plain(status, code),
    }
    assert_eq!(client.end().await, End::Closed);
    assert_eq!(
        upstream.connections(),
        0,
        "an upstream saw what was refused"
    );
    let records = gate.records();
    assert_eq!(records.len(), before + 1);
    let record = &records[before];
    assert_eq!(
        (record.status, record.outcome),
        (Some(status), Outcome::Refused)
    );
    assert_eq!(record.error_type.as_deref(), Some(error_type));
    answer.text()
}

fn post(target: &str, host: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}").into_bytes()
}

#[tokio::test]
async fn an_endpoint_url_that_names_the_gate_is_told_what_to_set_instead() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let authority = format!("localhost:{}", gate.address.port());
    let request = post("/model/us.amazon.nova-lite-v1%3A0/converse", &authority);
    let expected = (Reader::Sdk, 400, "ValidationException", "wrong-signed-host");
    for client in [gate.plain().await, gate.tls("localhost").await] {
        let text = refuse((&gate, &upstream), client, &request, expected).await;
        assert!(
            text.contains("endpoint_url")
                && text.contains(&format!("HTTPS_PROXY=http://{authority}")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_request_whose_places_disagree_is_refused() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let misdirected = |reader| (reader, 400, "ValidationException", "misdirected");
    let (sdk, hop) = (misdirected(Reader::Sdk), misdirected(Reader::Hop));
    let both = (&gate, &upstream);

    let inside = || Door::Connect.open(&gate, BEDROCK);
    refuse(both, inside().await, &post("/model/m/invoke", OTHER), sdk).await;
    refuse(
        both,
        inside().await,
        &post("/model/m/invoke", &format!("{BEDROCK}:8443")),
        sdk,
    )
    .await;
    refuse(
        both,
        inside().await,
        &post(&format!("https://{OTHER}/model/m/invoke"), OTHER),
        sdk,
    )
    .await;
    refuse(
        both,
        inside().await,
        &post(&format!("http://{BEDROCK}/model/m/invoke"), BEDROCK),
        sdk,
    )
    .await;
    refuse(
        both,
        Door::ConnectInTls.open(&gate, BEDROCK).await,
        &post("/model/m/invoke", OTHER),
        sdk,
    )
    .await;

    let by_name = || gate.tls(BEDROCK);
    refuse(both, by_name().await, &post("/model/m/invoke", OTHER), sdk).await;
    refuse(
        both,
        by_name().await,
        &post("/model/m/invoke", "localhost"),
        sdk,
    )
    .await;

    let target = format!("https://{BEDROCK}/model/m/invoke");
    refuse(both, gate.plain().await, &post(&target, OTHER), sdk).await;
    refuse(
        both,
        gate.plain().await,
        &post(&target, &format!("{BEDROCK}:80")),
        sdk,
    )
    .await;
    refuse(
        both,
        gate.plain().await,
        &post(&format!("https://{ELSEWHERE}/"), BEDROCK),
        hop,
    )
    .await;
    refuse(
        both,
        gate.plain().await,
        &post("/service/standard/model/m/invoke", "localhost"),
        sdk,
    )
    .await;
}

#[tokio::test]
async fn a_signature_for_the_gates_own_name_is_not_sent_where_it_would_fail() {
    let upstream = RawUpstream::tls().await;
    let own = |settings: &mut tollgate::config::Settings| {
        settings.policy.routes = vec![RouteRule {
            prefix: "/service/standard/".to_owned(),
            upstream: Some((BEDROCK.to_owned(), 443)),
            ..RouteRule::default()
        }];
    };
    let gate = Plan::new().before(&upstream).with(own).start().await;
    let signed = String::from_utf8(Call::converse("hello").sign().through(Door::Route)).unwrap();
    let request = signed.replace(&format!("Host: {BEDROCK}"), "Host: localhost:5380");
    let expected = (Reader::Sdk, 400, "ValidationException", "wrong-signed-host");
    let text = refuse(
        (&gate, &upstream),
        gate.plain().await,
        request.as_bytes(),
        expected,
    )
    .await;
    assert!(text.contains(BEDROCK), "{text}");
}

#[tokio::test]
async fn a_target_inside_a_tunnel_may_repeat_its_host() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(post(
            &format!("https://{BEDROCK}/model/m/invoke"),
            &format!("{}.", BEDROCK.to_uppercase()),
        ))
        .await;
    let mut served = upstream.accept().await;
    let expected = post("/model/m/invoke", &format!("{}.", BEDROCK.to_uppercase()));
    assert_bytes(&served.request().await.raw(), &expected, "at the upstream");
}

#[tokio::test]
async fn what_a_connect_lacks_is_said_on_the_hop() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let rows = [
        ("no port", format!("CONNECT {BEDROCK} HTTP/1.1\r\n\r\n")),
        (
            "a body",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"),
        ),
        (
            "a coding",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        (
            "two lengths",
            format!(
                "CONNECT {BEDROCK}:443 HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"
            ),
        ),
    ];
    for (name, request) in rows {
        println!("{name}");
        let expected = (Reader::Hop, 400, "ValidationException", "malformed-request");
        refuse(
            (&gate, &upstream),
            gate.plain().await,
            request.as_bytes(),
            expected,
        )
        .await;
        assert_eq!(gate.records().pop().unwrap().entry, Entry::Connect);
    }
}

#[tokio::test]
async fn a_path_where_nothing_is_gets_a_signpost() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: gate.example\r\n\r\n",
        "GET /favicon.ico HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /service/standard HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        "POST /service/other/model/m/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    ] {
        println!("{request}");
        let expected = (Reader::Hop, 404, "ResourceNotFoundException", "no-route");
        let text = refuse(
            (&gate, &upstream),
            gate.plain().await,
            request.as_bytes(),
            expected,
        )
        .await;
        assert!(text.contains("HTTPS_PROXY"), "{text}");
    }
}

#[tokio::test]
async fn a_denied_host_is_refused_by_every_door() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.policy.hosts.deny = vec![
                HostPattern::parse("*.example.test").unwrap(),
                HostPattern::parse(BEDROCK).unwrap(),
            ];
        })
        .start()
        .await;
    let both = (&gate, &upstream);
    let denied = |reader| (reader, 403, "AccessDeniedException", "host-denied");
    for host in [BEDROCK, ELSEWHERE] {
        let connect = format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n");
        refuse(
            both,
            gate.plain().await,
            connect.as_bytes(),
            denied(Reader::Hop),
        )
        .await;
    }
    let elsewhere = post(&format!("http://{ELSEWHERE}/"), ELSEWHERE);
    refuse(both, gate.plain().await, &elsewhere, denied(Reader::Hop)).await;
    for door in [
        Door::Forward,
        Door::ForwardInTls,
        Door::Route,
        Door::RouteInTls,
        Door::Transparent,
    ] {
        let client = door.open(&gate, BEDROCK).await;
        let request = post(&door.target(BEDROCK, "/model/m/invoke"), BEDROCK);
        refuse(both, client, &request, denied(Reader::Sdk)).await;
    }
}

#[tokio::test]
async fn metadata_services_are_nobodys_destination() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let both = (&gate, &upstream);
    let denied = (Reader::Hop, 403, "AccessDeniedException", "host-denied");
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
    ] {
        println!("{host}");
        let connect = format!("CONNECT {host}:80 HTTP/1.1\r\n\r\n");
        refuse(both, gate.plain().await, connect.as_bytes(), denied).await;
        let get = format!("GET http://{host}/latest/meta-data/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refuse(both, gate.plain().await, get.as_bytes(), denied).await;
    }
}

#[tokio::test]
async fn private_addresses_are_refused_where_the_operator_says_so() {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.private_destinations = PrivateDestinations::Deny;
            settings.policy.hosts.tunnel.clear();
        })
        .start()
        .await;
    let denied = (Reader::Hop, 403, "AccessDeniedException", "host-denied");
    let port = upstream.address.port();
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "0.0.0.0"] {
        println!("{host}");
        let connect = format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n");
        refuse(
            (&gate, &upstream),
            gate.plain().await,
            connect.as_bytes(),
            denied,
        )
        .await;
        let get = format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        refuse(
            (&gate, &upstream),
            gate.plain().await,
            get.as_bytes(),
            denied,
        )
        .await;
    }
}

#[tokio::test]
async fn tls_for_one_aws_host_carries_no_request_for_another() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let misdirected = (Reader::Sdk, 400, "ValidationException", "misdirected");
    let request = post(&format!("https://{OTHER}/model/m/invoke"), OTHER);
    refuse(
        (&gate, &upstream),
        gate.tls(BEDROCK).await,
        &request,
        misdirected,
    )
    .await;
}
