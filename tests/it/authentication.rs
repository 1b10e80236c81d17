//! A gate that asks for user and password: every door, on the proxy hop alone, and the password in nothing that is kept.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tollgate::config::Users;
use tollgate::ledger::{Entry, Outcome};

use crate::support::canary::Canaries;
use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, End, Gate, Log, Message, RawClient, RawUpstream};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
const CHALLENGE: &str = "Basic realm=\"tollgate\", charset=\"UTF-8\"";

/// Users, each with a password.
pub(crate) fn users(pairs: &[(&str, &str)]) -> Option<Arc<Users>> {
    let line = |(name, password): &(&str, &str)| {
        format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap())
    };
    let text: String = pairs.iter().map(line).collect();
    Some(Arc::new(Users::parse(&text).unwrap()))
}

/// The field-line by which `user` says who they are.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let pair = STANDARD.encode(format!("{user}:{password}"));
    format!("Proxy-Authorization: Basic {pair}\r\n")
}

async fn gate(upstream: &RawUpstream) -> Gate {
    Plan::new()
        .before(upstream)
        .with(|settings| {
            settings.policy.users = users(&[("alice", "wonderland"), ("bob", "builder")]);
        })
        .start()
        .await
}

fn post(target: &str, fields: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n{fields}Content-Length: 2\r\n\r\n{{}}")
}

fn connect(host: &str, fields: &str) -> String {
    format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n{fields}\r\n")
}

#[track_caller]
fn assert_asked(answer: &Message) {
    assert_eq!(answer.status(), 407);
    assert_eq!(
        answer.field("proxy-authenticate").as_deref(),
        Some(CHALLENGE)
    );
    assert_eq!(answer.field("connection"), None, "the connection goes on");
    assert_eq!(
        answer.field("x-tollgate-error").as_deref(),
        Some("proxy-authentication")
    );
}

/// Answers the request that comes, which must tell nothing of the proxy's business.
async fn serve(upstream: &RawUpstream) {
    let mut served = upstream.accept().await;
    let request = served.request().await;
    assert_eq!(request.field("proxy-authorization"), None);
    served
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        .await;
}

#[tokio::test]
async fn every_door_asks_and_goes_on_by_the_same_connection() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let alice = basic("alice", "wonderland");
    let path = "/model/m/invoke";
    let mut doors = 0;
    for door in Door::ALL {
        let in_tls = matches!(
            door,
            Door::ConnectInTls | Door::ForwardInTls | Door::RouteInTls
        );
        let mut client = if in_tls {
            gate.tls("localhost").await
        } else {
            gate.plain().await
        };
        match door {
            Door::Connect | Door::ConnectInTls => {
                client.send(connect(BEDROCK, "")).await;
                assert_asked(&client.answer().await);
                client.send(connect(BEDROCK, &alice)).await;
                let answer = client.head().await;
                assert!(answer.starts_with(b"HTTP/1.1 200 "));
                client = gate.secure(client, BEDROCK).await;
                client.send(post(path, "")).await;
            }
            Door::Transparent | Door::TransparentPlain => continue,
            _ => {
                let target = door.target(BEDROCK, path);
                client.send(post(&target, "")).await;
                assert_asked(&client.answer().await);
                client.send(post(&target, &alice)).await;
            }
        }
        serve(&upstream).await;
        assert_eq!(client.answer().await.status(), 200, "{door:?}");
        drop(client);
        doors += 1;
    }
    let records = gate.stop().await.records();
    assert_eq!(records.len(), 2 * doors);
    for pair in records.chunks(2) {
        let [asked, served] = pair else {
            unreachable!()
        };
        assert_eq!((asked.status, asked.outcome), (Some(407), Outcome::Refused));
        assert_eq!(asked.identity.proxy_user, None);
        assert_eq!(asked.entry, served.entry);
        assert_eq!(served.identity.proxy_user.as_deref(), Some("alice"));
        assert_eq!(served.outcome, Outcome::Complete);
    }
}

#[tokio::test]
async fn who_takes_the_gate_for_aws_is_told_how_to_say_who_they_are() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    for door in [Door::Transparent, Door::TransparentPlain] {
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(post("/model/m/invoke", "")).await;
        let answer = client.answer().await;
        answer.assert_typed(403, "AccessDeniedException", "access-denied");
        assert!(answer.text().contains("HTTPS_PROXY"), "{}", answer.text());
        assert_eq!(answer.field("proxy-authenticate"), None);
        assert_eq!(client.end().await, End::Closed);
    }
    assert_eq!(upstream.connections(), 0);
    for record in gate.stop().await.records() {
        assert_eq!(
            (record.status, record.entry),
            (Some(403), Entry::Transparent)
        );
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_nothing_that_others_are_not() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let mut answers = Vec::new();
    for fields in [
        basic("alice", "builder"),
        basic("nobody", "builder"),
        basic("Alice", "wonderland"),
        basic("alice", ""),
    ] {
        let mut client = gate.plain().await;
        client.send(connect(BEDROCK, &fields)).await;
        let answer = client.answer().await;
        assert_asked(&answer);
        answers.push(answer.raw());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answers differ");
    for fields in [
        "Proxy-Authorization: Bearer abc\r\n".to_owned(),
        "Proxy-Authorization: Basic\r\n".to_owned(),
        "Proxy-Authorization: Basic YWxpY2U=\r\n".to_owned(),
        format!("{0}{0}", basic("alice", "wonderland")),
        basic("run-0a1b2c", "x"),
        // What belongs to AWS says nothing to a proxy.
        basic("alice", "wonderland").replace("Proxy-", ""),
    ] {
        let mut client = gate.plain().await;
        client.send(connect(BEDROCK, &fields)).await;
        assert_asked(&client.answer().await);
    }
    assert_eq!(upstream.connections(), 0);
    for record in gate.stop().await.records() {
        assert_eq!(record.identity.proxy_user, None);
        assert_eq!(record.status, Some(407));
    }
}

#[tokio::test]
async fn the_connection_goes_on_where_the_rest_of_the_request_can_be_dropped() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let alice = basic("alice", "wonderland");
    let target = format!("https://{BEDROCK}/model/m/invoke");
    let head = format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n");
    let long = "x".repeat(60_000);
    for body in [
        "Content-Length: 0\r\n\r\n".to_owned(),
        format!("Content-Length: 60000\r\n\r\n{long}"),
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut client = gate.plain().await;
        client
            .send(format!("{head}{body}{}", post(&target, &alice)))
            .await;
        assert_asked(&client.answer().await);
        serve(&upstream).await;
        assert_eq!(client.answer().await.status(), 200);
    }
    for request in [
        format!("{head}Content-Length: 70000\r\n\r\n"),
        format!("{head}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
        format!("{head}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"),
        format!("CONNECT {BEDROCK}:443 HTTP/1.0\r\n\r\n"),
        // A client that does not wait for the tunnel.
        format!("{}\x16\x03\x01", connect(BEDROCK, "")),
    ] {
        let mut client = gate.plain().await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 407);
        assert_eq!(
            answer.field("connection").as_deref(),
            Some("close"),
            "{request}"
        );
        assert_eq!(client.end().await, End::Closed);
    }
    gate.stop().await;
}

#[tokio::test]
async fn the_connect_counts_for_everything_inside_and_nobody_is_asked_there() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let mut client = Door::open_as(&gate, BEDROCK, &basic("alice", "wonderland")).await;
    for fields in ["", &basic("bob", "builder"), &basic("nobody", "wrong")] {
        client.send(post("/model/m/invoke", fields)).await;
        serve(&upstream).await;
        assert_eq!(client.answer().await.status(), 200);
    }
    drop(client);
    let records = gate.stop().await.records();
    assert_eq!(records.len(), 3);
    for record in records {
        assert_eq!(record.identity.proxy_user.as_deref(), Some("alice"));
    }
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_file_is_out_of_open_connections_too() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let mut alice = Door::open_as(&gate, BEDROCK, &basic("alice", "wonderland")).await;
    let mut bob = Door::open_as(&gate, BEDROCK, &basic("bob", "builder")).await;
    let mut policy = gate.policy.load().as_ref().clone();
    let kept = policy.users.as_ref().unwrap().hash("bob").unwrap().as_str();
    policy.users = Some(Arc::new(Users::parse(&format!("bob:{kept}\n")).unwrap()));
    gate.policy.store(Arc::new(policy));
    alice.send(post("/model/m/invoke", "")).await;
    let answer = alice.answer().await;
    answer.assert_typed(403, "AccessDeniedException", "access-denied");
    assert_eq!(alice.end().await, End::Closed);
    bob.send(post("/model/m/invoke", "")).await;
    serve(&upstream).await;
    assert_eq!(bob.answer().await.status(), 200);
    let mut again = gate.plain().await;
    again
        .send(connect(BEDROCK, &basic("alice", "wonderland")))
        .await;
    assert_asked(&again.answer().await);
    drop((alice, bob, again));
    gate.stop().await;
}

#[tokio::test]
async fn whoever_is_wrong_too_often_is_answered_without_being_heard() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let mut client = gate.plain().await;
    for _ in 0..10 {
        client
            .send(connect(BEDROCK, &basic("alice", "guess")))
            .await;
        let answer = client.answer().await;
        assert_asked(&answer);
        assert!(!answer.text().contains("too many"));
    }
    client
        .send(connect(BEDROCK, &basic("alice", "wonderland")))
        .await;
    let answer = client.answer().await;
    assert_asked(&answer);
    assert!(answer.text().contains("too many"), "{}", answer.text());
    // Others at the same address are.
    client
        .send(connect(BEDROCK, &basic("bob", "builder")))
        .await;
    assert!(client.head().await.starts_with(b"HTTP/1.1 200 "));
    drop(client);
    gate.stop().await;
}

#[tokio::test]
async fn a_password_is_in_no_log_record_answer_or_upstream() {
    let log = Log::default();
    let _listening = log.listen();
    let mut canaries = Canaries::default();
    let right = canaries.plant("a right password");
    let wrong = canaries.plant("a wrong password");
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| settings.policy.users = users(&[("alice", &right)]))
        .start()
        .await;
    let target = format!("https://{BEDROCK}/model/m/invoke");
    let mut said = Vec::new();
    let mut client = gate.plain().await;
    for fields in [
        basic("alice", &wrong),
        basic("nobody", &wrong),
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(&wrong)),
        format!("Proxy-Authorization: Bearer {wrong}\r\n"),
    ] {
        client.send(post(&target, &fields)).await;
        let answer = client.answer().await;
        assert_asked(&answer);
        said.extend(answer.raw());
    }
    client.send(post(&target, &basic("alice", &right))).await;
    let mut served = upstream.accept().await;
    said.extend(served.request().await.raw());
    served.send(OK).await;
    said.extend(client.answer().await.raw());
    drop((client, served));
    assert!(
        log.text()
            .contains("a client gave a wrong user or password")
    );
    assert!(log.text().contains("alice"));
    let home = gate.stop().await.home();
    let mut places = vec![
        ("what was said", said),
        ("the log", log.text().into_bytes()),
    ];
    for file in std::fs::read_dir(home.path()).unwrap() {
        places.push(("the home", std::fs::read(file.unwrap().path()).unwrap()));
    }
    for (place, bytes) in places {
        assert!(
            canaries.found_in(&bytes).is_empty(),
            "{place}: {:?}",
            canaries.found_in(&bytes)
        );
    }
}

#[tokio::test]
async fn credentials_that_a_client_signed_reach_nobody() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let signed = format!(
        "{}Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE000000001/20261122/us-east-1/bedrock/aws4_request, \
         SignedHeaders=host;proxy-authorization, Signature={}\r\n",
        basic("alice", "wonderland"),
        "0".repeat(64)
    );
    let mut client = gate.plain().await;
    let target = format!("https://{BEDROCK}/model/m/invoke");
    client.send(post(&target, &signed)).await;
    client
        .answer()
        .await
        .assert_typed(400, "ValidationException", "misdirected");
    assert_eq!(upstream.connections(), 0);
    drop(client);
    gate.stop().await;
}

#[tokio::test]
async fn a_tunnel_is_recorded_under_the_user_that_opened_it() {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new()
        .connect_to(ELSEWHERE, &upstream)
        .with(|settings| settings.policy.users = users(&[("alice", "wonderland")]))
        .start()
        .await;
    let mut client: RawClient = gate.plain().await;
    client.send(connect(ELSEWHERE, "")).await;
    assert_asked(&client.answer().await);
    assert_eq!(upstream.connections(), 0);
    client
        .send(connect(ELSEWHERE, &basic("alice", "wonderland")))
        .await;
    let served = upstream.accept().await;
    assert!(client.head().await.starts_with(b"HTTP/1.1 200 "));
    drop((client, served));
    let records = gate.stop().await.records();
    let users: Vec<_> = records
        .iter()
        .map(|record| (record.entry, record.identity.proxy_user.as_deref()))
        .collect();
    assert_eq!(
        users,
        [(Entry::Tunnel, None), (Entry::Tunnel, Some("alice"))]
    );
}

#[tokio::test]
async fn what_says_nothing_secret_is_there_for_everybody() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    for (target, status) in [("/", 200), ("/ca.pem", 200), ("/nothing", 404)] {
        let mut client = gate.plain().await;
        client
            .send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status(), status, "{target}");
    }
    let mut denied = gate.policy.load().as_ref().clone();
    denied.hosts.deny = vec![tollgate::config::HostPattern::parse(ELSEWHERE).unwrap()];
    gate.policy.store(Arc::new(denied));
    for (fields, status) in [(String::new(), 407), (basic("bob", "builder"), 403)] {
        let mut client = gate.plain().await;
        client.send(connect(ELSEWHERE, &fields)).await;
        assert_eq!(
            client.answer().await.status(),
            status,
            "rules are for those who are known"
        );
    }
    gate.stop().await;
}
