//! Where requests go: one row a case, through the public function.

use bytes::BytesMut;

use super::reply::Kind;
use super::route::{Route, Rules, Scope, route};
use crate::config::{HostPattern, HostRules, RouteRule, TunnelPorts};
use crate::ledger::Entry;
use crate::net::dial::Origin;
use crate::wire::http1::{HeadLimits, RequestHead, Scheme};

const AWS: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\r\n";

fn decide(scope: &Scope, text: &str) -> Route {
    let head = RequestHead::take(&mut BytesMut::from(text.as_bytes()), &HeadLimits::default());
    let hosts = HostRules {
        intercept: vec![HostPattern::parse("*.corp.example").unwrap()],
        deny: vec![HostPattern::parse("*.evil.example").unwrap()],
        ports: TunnelPorts::Any,
        ..HostRules::default()
    };
    let rule = |prefix: &str, upstream: Option<&str>| RouteRule {
        prefix: prefix.to_owned(),
        upstream: upstream.map(|host| (host.to_owned(), 443)),
        ..RouteRule::default()
    };
    let routes = [
        rule("/service/standard/team/", Some(AWS)),
        rule("/service/standard/", None),
    ];
    route(
        &head.unwrap().unwrap(),
        scope,
        Rules {
            hosts: &hosts,
            routes: &routes,
        },
    )
}

fn port() -> Scope {
    Scope::Port { server_name: None }
}

fn tunnel() -> Scope {
    Scope::Tunnel(Origin {
        scheme: Scheme::Https,
        host: AWS.to_owned(),
        port: 443,
    })
}

/// Entry, host, port and the target sent, of a request that is passed on.
fn passed(scope: &Scope, text: &str) -> (Entry, String, u16, Option<String>, Option<String>) {
    match decide(scope, text) {
        Route::Exchange(plan) => (
            plan.entry,
            plan.origin.host,
            plan.origin.port,
            plan.target,
            plan.host,
        ),
        other => panic!("{text:?} gives {other:?}"),
    }
}

fn refused(scope: &Scope, text: &str) -> (Kind, bool) {
    match decide(scope, text) {
        Route::RefusePlain(reply) => (reply.kind, false),
        Route::RefuseTyped(reply, _) => (reply.kind, true),
        other => panic!("{text:?} gives {other:?}"),
    }
}

#[test]
fn connect_is_opened_for_intercepted_hosts_only() {
    let rows = [
        (format!("CONNECT {AWS}:443 HTTP/1.0\r\n\r\n"), true),
        (
            format!(
                "CONNECT {}.:8443 HTTP/1.1\r\nHost: x\r\n\r\n",
                AWS.to_uppercase()
            ),
            true,
        ),
        (
            "CONNECT a.corp.example:443 HTTP/1.1\r\nHost: a.corp.example\r\n\r\n".to_owned(),
            true,
        ),
        (
            "CONNECT corp.example:443 HTTP/1.1\r\nHost: corp.example\r\n\r\n".to_owned(),
            false,
        ),
        (
            format!("CONNECT {AWS}.evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
            false,
        ),
        (
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n".to_owned(),
            false,
        ),
    ];
    for (text, opened) in rows {
        match decide(&port(), &text) {
            Route::Open { .. } => assert!(opened, "{text}"),
            Route::Tunnel { .. } => assert!(!opened, "{text}"),
            other => panic!("{text} gives {other:?}"),
        }
    }
}

#[test]
fn connects_that_cannot_be_granted() {
    let rows = [
        (
            port(),
            "CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n",
            (Kind::Malformed, false),
        ),
        (
            port(),
            "CONNECT h:443 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
            (Kind::Malformed, false),
        ),
        (
            port(),
            "CONNECT x.evil.example:443 HTTP/1.1\r\nHost: h\r\n\r\n",
            (Kind::Denied, false),
        ),
        (
            port(),
            "CONNECT /x HTTP/1.1\r\nHost: h\r\n\r\n",
            (Kind::Malformed, true),
        ),
        (
            tunnel(),
            "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
            (Kind::Malformed, true),
        ),
    ];
    for (scope, text, want) in rows {
        assert_eq!(refused(&scope, text), want, "{text}");
    }
}

#[test]
fn absolute_form_goes_where_the_target_says() {
    let text = format!(
        "POST https://{AWS}/model/a%3A0/invoke?x=1 HTTP/1.1\r\nHost: {AWS}\r\n{SIGNED}\r\n"
    );
    let target = Some("/model/a%3A0/invoke?x=1".to_owned());
    assert_eq!(
        passed(&port(), &text),
        (Entry::Forward, AWS.to_owned(), 443, target, None)
    );
    let (entry, host, port_number, target, _) =
        passed(&port(), "GET http://h:81 HTTP/1.1\r\nHost: h:81\r\n\r\n");
    assert_eq!(
        (entry, host.as_str(), port_number, target.as_deref()),
        (Entry::Forward, "h", 81, Some("/"))
    );
    for (method, target) in [("OPTIONS", "*"), ("GET", "/"), ("options", "/")] {
        let text = format!("{method} http://h HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            passed(&port(), &text).3.as_deref(),
            Some(target),
            "{method}"
        );
    }
    let mismatch = format!("POST https://{AWS}/x HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(refused(&port(), &mismatch), (Kind::Misdirected, true));
    assert_eq!(
        refused(&port(), "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
        (Kind::Misdirected, false)
    );
    assert_eq!(
        refused(&port(), "GET https://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Kind::Malformed, true)
    );
}

#[test]
fn the_longest_route_prefix_is_taken_off_and_nothing_else() {
    let text = format!(
        "POST /service/standard/model/a%3A0/invoke HTTP/1.1\r\nHost: {AWS}\r\n{SIGNED}\r\n"
    );
    let (entry, host, _, target, changed) = passed(&port(), &text);
    assert_eq!((entry, host.as_str(), changed), (Entry::Route, AWS, None));
    assert_eq!(target.as_deref(), Some("/model/a%3A0/invoke"));
    let text = format!("POST /service/standard/team//x HTTP/1.1\r\nHost: {AWS}\r\n\r\n");
    assert_eq!(passed(&port(), &text).3.as_deref(), Some("//x"));
}

#[test]
fn a_route_without_aws_host_needs_an_upstream_and_an_unsigned_host() {
    let unsigned = "POST /service/standard/team/m HTTP/1.1\r\nHost: localhost:5380\r\nAuthorization: Bearer k\r\n\r\n";
    let (_, host, _, _, changed) = passed(&port(), unsigned);
    assert_eq!((host.as_str(), changed.as_deref()), (AWS, Some(AWS)));
    let signed =
        format!("POST /service/standard/team/m HTTP/1.1\r\nHost: localhost:5380\r\n{SIGNED}\r\n");
    assert_eq!(refused(&port(), &signed), (Kind::WrongSignedHost, true));
    let nowhere = "POST /service/standard/m HTTP/1.1\r\nHost: localhost:5380\r\n\r\n";
    assert_eq!(refused(&port(), nowhere), (Kind::Misdirected, true));
}

#[test]
fn what_is_ambiguous_is_malformed_even_where_nothing_is() {
    let both = "Host: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    for target in ["/", "/x"] {
        let text = format!("GET {target} HTTP/1.1\r\n{both}");
        assert_eq!(
            refused(&port(), &text),
            (Kind::Malformed, false),
            "{target}"
        );
    }
    let text = format!("OPTIONS * HTTP/1.1\r\n{both}");
    assert_eq!(refused(&port(), &text), (Kind::Malformed, false));
}

#[test]
fn an_endpoint_url_that_points_here_is_explained() {
    let text = format!("POST /model/a/converse HTTP/1.1\r\nHost: localhost:5380\r\n{SIGNED}\r\n");
    match decide(&port(), &text) {
        Route::RefuseTyped(reply, _) => {
            assert_eq!(reply.kind, Kind::WrongSignedHost);
            assert!(
                reply.message.contains("HTTPS_PROXY=http://localhost:5380"),
                "{}",
                reply.message
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        refused(&port(), "GET / HTTP/1.1\r\nHost: localhost:5380\r\n\r\n"),
        (Kind::NotFound, false)
    );
}

#[test]
fn transparent_means_that_sni_and_host_agree() {
    let text = format!("POST /model/a/converse HTTP/1.1\r\nHost: {AWS}\r\n\r\n");
    assert_eq!(
        passed(&port(), &text),
        (Entry::Transparent, AWS.to_owned(), 443, None, None)
    );
    let named = |name: &str| Scope::Port {
        server_name: Some(name.to_owned()),
    };
    assert_eq!(passed(&named(AWS), &text).0, Entry::Transparent);
    assert_eq!(
        refused(&named("bedrock-runtime.eu-west-1.amazonaws.com"), &text),
        (Kind::Misdirected, true)
    );
    // The target is held against the name that TLS asked for as well, and not only against Host.
    let absolute = format!("POST https://{AWS}/x HTTP/1.1\r\nHost: {AWS}\r\n\r\n");
    let (entry, host, ..) = passed(&named(AWS), &absolute);
    assert_eq!((entry, host.as_str()), (Entry::Transparent, AWS));
    assert_eq!(
        refused(&named("bedrock-runtime.eu-west-1.amazonaws.com"), &absolute),
        (Kind::Misdirected, true)
    );
}

#[test]
fn inside_a_tunnel_only_its_own_host_is_served() {
    let own = format!("POST /model/a/converse HTTP/1.1\r\nHost: {AWS}:443\r\n\r\n");
    assert_eq!(
        passed(&tunnel(), &own),
        (Entry::Connect, AWS.to_owned(), 443, None, None)
    );
    let absolute = format!("POST https://{AWS}/x HTTP/1.1\r\nHost: {AWS}\r\n\r\n");
    assert_eq!(passed(&tunnel(), &absolute).3.as_deref(), Some("/x"));
    for other in [
        "GET / HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET https://other/ HTTP/1.1\r\nHost: other\r\n\r\n",
    ] {
        assert_eq!(
            refused(&tunnel(), other),
            (Kind::Misdirected, true),
            "{other}"
        );
    }
}

#[test]
fn host_field_lines_are_exactly_one() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: {AWS}\r\nhost: {AWS}\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: x@{AWS}\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
    ] {
        assert_eq!(refused(&tunnel(), &text), (Kind::Malformed, true), "{text}");
    }
}

#[test]
fn a_signature_over_the_host_needs_the_host() {
    let text = format!("POST /model/a/converse HTTP/1.0\r\n{SIGNED}\r\n");
    assert_eq!(refused(&tunnel(), &text), (Kind::WrongSignedHost, true));
    assert_eq!(
        passed(&tunnel(), "POST /x HTTP/1.0\r\n\r\n").0,
        Entry::Connect
    );
}

#[test]
fn denied_hosts_are_denied_on_every_door() {
    let rows = [
        (
            port(),
            "GET http://a.evil.example/ HTTP/1.1\r\nHost: a.evil.example\r\n\r\n",
            (Kind::Denied, false),
        ),
        (
            port(),
            "CONNECT A.EVIL.example.:443 HTTP/1.0\r\n\r\n",
            (Kind::Denied, false),
        ),
    ];
    for (scope, text, want) in rows {
        assert_eq!(refused(&scope, text), want, "{text}");
    }
}
