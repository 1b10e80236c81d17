//! Where a request goes that does not simply name an AWS host: below a route, to a host nobody opens, to one that the
//! operator has added.

use tollgate::ledger::{Entry, Outcome};

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, End, RawUpstream, assert_bytes};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[tokio::test]
async fn the_longest_route_prefix_wins_and_only_the_prefix_is_removed() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            let rule = |prefix: &str, host: &str| tollgate::config::RouteRule {
                prefix: prefix.to_owned(),
                upstream: Some((host.to_owned(), 443)),
                ..tollgate::config::RouteRule::default()
            };
            settings.policy.routes = vec![
                rule("/service/standard/deep/", ELSEWHERE),
                rule(
                    "/service/standard/",
                    "bedrock-runtime.eu-west-1.amazonaws.com",
                ),
            ];
        })
        .start()
        .await;
    let rows = [
        (
            "/service/standard/deep/model/x%3A0/invoke",
            "/model/x%3A0/invoke",
            ELSEWHERE,
        ),
        (
            "/service/standard/deeper/x",
            "/deeper/x",
            "bedrock-runtime.eu-west-1.amazonaws.com",
        ),
        (
            "/service/standard//service/standard/",
            "//service/standard/",
            "bedrock-runtime.eu-west-1.amazonaws.com",
        ),
        (
            "/service/standard/",
            "/",
            "bedrock-runtime.eu-west-1.amazonaws.com",
        ),
    ];
    for (sent, expected, host) in rows {
        for client in [&mut gate.plain().await, &mut gate.tls("localhost").await] {
            // An HTTP library writes its own idea of Host, which nobody has signed.
            client.send(format!("POST {sent} HTTP/1.1\r\nhOst:localhost:5380\r\nX: y\r\nContent-Length: 0\r\n\r\n")).await;
            let mut served = upstream.accept().await;
            let request = served.request().await;
            let wanted = format!(
                "POST {expected} HTTP/1.1\r\nhOst: {host}\r\nX: y\r\nContent-Length: 0\r\n\r\n"
            );
            assert_bytes(&request.raw(), wanted.as_bytes(), sent);
            served
                .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
                .await;
            assert_eq!(client.answer().await.status(), 200);
            assert_eq!(gate.records().pop().unwrap().host.as_deref(), Some(host));
        }
    }
}

#[tokio::test]
async fn a_routed_request_goes_to_the_bedrock_host_it_names_before_the_routes_own() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| settings.policy.routes[0].upstream = Some((ELSEWHERE.to_owned(), 443)))
        .start()
        .await;
    let mut client = gate.plain().await;
    let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n\r\n");
    client
        .send(format!("POST /service/standard/model/m/invoke {tail}"))
        .await;
    let mut served = upstream.accept().await;
    assert_bytes(
        &served.request().await.raw(),
        format!("POST /model/m/invoke {tail}").as_bytes(),
        "at the upstream",
    );
    served.send(OK).await;
    client.answer().await;
    let record = gate.records().pop().unwrap();
    assert_eq!(
        (record.entry, record.host.as_deref()),
        (Entry::Route, Some(BEDROCK))
    );
    assert_eq!(record.model.as_deref(), Some("m"));
}

#[tokio::test]
async fn a_route_leads_to_the_api_base_of_the_environment() {
    let upstream = RawUpstream::tls().await;
    let base = format!("https://{ELSEWHERE}/");
    let gate = Plan::with_api_base(&base).before(&upstream).start().await;
    let mut client = gate.plain().await;
    let tail = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    client
        .send(format!(
            "POST /service/standard/model/m/invoke HTTP/1.1\r\nHost: localhost:5380\r\n{tail}"
        ))
        .await;
    let mut served = upstream.accept().await;
    let expected = format!("POST /model/m/invoke HTTP/1.1\r\nHost: {ELSEWHERE}\r\n{tail}");
    assert_bytes(
        &served.request().await.raw(),
        expected.as_bytes(),
        "at the upstream",
    );
    served.send(OK).await;
    assert_bytes(&client.answer().await.raw(), OK, "at the client");
    let record = gate.records().pop().unwrap();
    assert_eq!(
        (record.entry, record.host.as_deref()),
        (Entry::Route, Some(ELSEWHERE))
    );
    assert_eq!(record.operation.as_deref(), Some("InvokeModel"));
}

#[tokio::test]
async fn absolute_form_to_a_host_that_is_not_opened_is_passed_on_and_not_captured() {
    for scheme in ["http", "https"] {
        let upstream = if scheme == "http" {
            RawUpstream::plain().await
        } else {
            RawUpstream::tls().await
        };
        let gate = Plan::new().connect_to(ELSEWHERE, &upstream).start().await;
        let mut client = gate.plain().await;
        let fields = format!(
            "Host: {ELSEWHERE}\r\nAuthorization: Bearer not-for-us\r\nContent-Length: 6\r\n\r\nsecret"
        );
        client
            .send(format!(
                "POST {scheme}://{ELSEWHERE}/a%2fb?c HTTP/1.1\r\n{fields}"
            ))
            .await;
        let mut served = upstream.accept().await;
        let expected = format!("POST /a%2fb?c HTTP/1.1\r\n{fields}");
        assert_bytes(&served.request().await.raw(), expected.as_bytes(), scheme);
        served.send(OK).await;
        assert_bytes(&client.answer().await.raw(), OK, scheme);

        client.half_close().await;
        let left = gate.stop().await;
        let found = left.exchange();
        assert_eq!(found.payload, None);
        assert_eq!(found.record.entry, Entry::Forward);
        assert_eq!(found.record.host.as_deref(), Some(ELSEWHERE));
        assert_eq!((found.record.operation, found.record.model), (None, None));
        assert_eq!(
            (found.record.request_bytes, found.record.response_bytes),
            (6, 2)
        );
        assert_eq!(
            (found.record.status, found.record.outcome),
            (Some(200), Outcome::Complete)
        );
    }
}

#[tokio::test]
async fn absolute_form_without_a_path_becomes_a_slash() {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new().connect_to(ELSEWHERE, &upstream).start().await;
    let rows = [
        ("", "/"),
        ("/", "/"),
        ("?q=1", "/?q=1"),
        ("//", "//"),
        ("/?", "/?"),
    ];
    let mut client = gate.plain().await;
    client
        .send(format!(
            "GET http://{ELSEWHERE} HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(OK).await;
    client.answer().await;
    for (path, expected) in rows {
        client
            .send(format!(
                "GET http://{ELSEWHERE}{path} HTTP/1.1\r\nHost: {ELSEWHERE}\r\n\r\n"
            ))
            .await;
        assert_eq!(
            served.request().await.start_line(),
            format!("GET {expected} HTTP/1.1")
        );
        served.send(OK).await;
        client.answer().await;
    }
}

#[tokio::test]
async fn a_host_that_the_operator_adds_is_opened_like_those_of_aws() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.policy.hosts.intercept =
                vec![tollgate::config::HostPattern::parse("*.example.test").unwrap()];
        })
        .start()
        .await;
    for door in [
        Door::Connect,
        Door::ConnectInTls,
        Door::Forward,
        Door::Transparent,
        Door::TransparentPlain,
    ] {
        let mut client = door.open(&gate, ELSEWHERE).await;
        let target = door.target(ELSEWHERE, "/model/m/invoke");
        let tail = format!(
            "HTTP/1.1\r\nHost: {ELSEWHERE}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        client.send(format!("POST {target} {tail}")).await;
        let mut served = upstream.accept().await;
        assert_eq!(
            served.request().await.start_line(),
            "POST /model/m/invoke HTTP/1.1"
        );
        served
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        assert_eq!(client.answer().await.status(), 200);
        assert_eq!(client.end().await, End::Closed);
        let record = gate.records().pop().unwrap();
        assert_eq!(
            (record.entry, record.host.as_deref()),
            (door.entry(), Some(ELSEWHERE))
        );
    }
}
