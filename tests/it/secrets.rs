//! What would let somebody else act as the caller is nowhere to be found afterwards: not in the ledger's files, not in
//! what is shown of them, not in the log.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tollgate::cli::show::{self, ShowArgs};
use tollgate::ledger::{FILE_NAME, Reader};

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, Gate, Log, RawUpstream};

/// Every secret holds this, so that one search finds all of them.
const CANARY: &str = "c4n4ry";

const SCOPE: &str = "AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request";

/// Lines that hold a secret.
fn lines() -> Vec<String> {
    vec![
        format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=c4n4ry01"
        ),
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=host,Signature=c4n4ry02"
        ),
        format!(
            "AUTHORIZATION:AWS4-HMAC-SHA256 Signature=c4n4ry03, Credential={SCOPE}, SignedHeaders=host"
        ),
        format!(
            "Authorization: AWS4-ECDSA-P256-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=c4n4ry04"
        ),
        "Authorization: Bearer c4n4ry05".to_owned(),
        "Authorization: bearer   ABSKc4n4ry06==".to_owned(),
        "Authorization: Basic c4n4ry07".to_owned(),
        "Authorization: c4n4ry08".to_owned(),
        "Authorization: Unheard c4n4ry09".to_owned(),
        "Authorization: Bearer a\r\nAuthorization: Bearer c4n4ry10".to_owned(),
        "X-Amz-Security-Token: c4n4ry11".to_owned(),
        "x-amz-security-token:c4n4ry12//+==".to_owned(),
        "x-api-key: c4n4ry13".to_owned(),
        "Cookie: session=c4n4ry14".to_owned(),
        "Proxy-Authorization: Basic c4n4ry15".to_owned(),
        "Proxy-Authorization: c4n4ry16".to_owned(),
    ]
}

/// Queries that hold a secret.
const QUERIES: &[&str] = &[
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE0TOLLGATE%2F20261122%2Fus-east-1%2Fbedrock%2F\
     aws4_request&X-Amz-Date=20261122T000000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Security-Token=c4n4ry20\
     &X-Amz-Signature=c4n4ry21",
    "x-amz-signature=c4n4ry22",
    "X-Amz-Sign%61ture=c4n4ry23",
    "a=b&X-Amz-Security-Token=c4n4ry24%2F%2B&c=d",
    "X-Amz-Signature=&X-Amz-Signature=c4n4ry25",
    "AWSAccessKeyId=x&Signature=c4n4ry26",
];

/// What the requests of this file leave behind, with the response's own secret.
async fn exchange(gate: &Gate, upstream: &RawUpstream, door: Door, query: &str, line: &str) {
    let mut client = door.open(gate, BEDROCK).await;
    let target = door.target(BEDROCK, &format!("/model/m/invoke?{query}"));
    let tail = format!(
        "HTTP/1.1\r\nHost: {BEDROCK}\r\n{line}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    client.send(format!("POST {target} {tail}")).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nSet-Cookie: id=c4n4ry30\r\nset-cookie2: c4n4ry31\r\n\
             x-amz-security-token: c4n4ry32\r\nContent-Length: 2\r\n\r\n{}",
        )
        .await;
    assert_eq!(client.answer().await.status(), 200, "{line}, {query}");
}

/// The same requests where they are refused, fail, or pass without being opened.
async fn misfortunes(gate: &Gate, line: &str, query: &str) {
    let requests = [
        format!("POST /nowhere?{query} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n"),
        format!("POST /model/m/converse?{query} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n"),
        format!("POST /service/standard/x?{query} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n"),
        format!(
            "POST https://me:c4n4ry40@{BEDROCK}/x?{query} HTTP/1.1\r\nHost: {BEDROCK}\r\n{line}\r\n\r\n"
        ),
        format!(
            "POST https://{BEDROCK}/x?{query} HTTP/1.1\r\nHost: other.example\r\n{line}\r\n\r\n"
        ),
        format!(
            "POST https://{BEDROCK}/x?{query} HTTP/1.1\r\nHost: {BEDROCK}\r\n{line}\r\nBad Line: c4n4ry41\r\n\r\n"
        ),
        format!(
            "POST https://{BEDROCK}/x?{query} HTTP/1.1\r\nHost: {BEDROCK}\r\n{line}\r\nTransfer-Encoding: x\r\n\r\n"
        ),
        format!(
            "POST https://{ELSEWHERE}/x?{query} HTTP/1.1\r\nHost: {ELSEWHERE}\r\n{line}\r\n\r\n"
        ),
        format!("CONNECT {ELSEWHERE}:443 HTTP/1.1\r\n{line}\r\n\r\n"),
        format!("CONNECT me:c4n4ry42@{BEDROCK}:443 HTTP/1.1\r\n{line}\r\n\r\n"),
        format!("CONNECT {BEDROCK} HTTP/1.1\r\n{line}\r\n\r\n"),
    ];
    for request in requests {
        let mut client = gate.plain().await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert!(answer.status() >= 400, "{request}");
        assert!(!answer.text().contains(CANARY), "{}", answer.text());
    }
}

#[tokio::test]
async fn no_secret_is_in_the_ledger_or_in_what_is_shown_of_it_or_in_the_log() {
    let log = Log::default();
    let guard = log.listen();
    let upstream = RawUpstream::tls().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings
                .connect_to
                .push(tollgate::config::settings::ConnectTo {
                    host: Some(ELSEWHERE.to_owned()),
                    port: None,
                    to_host: closed.ip().to_string(),
                    to_port: closed.port(),
                });
        })
        .start()
        .await;
    for line in lines() {
        exchange(&gate, &upstream, Door::Connect, "a=b", &line).await;
        misfortunes(&gate, &line, "a=b").await;
    }
    for query in QUERIES {
        for door in [Door::Connect, Door::Forward, Door::Route] {
            exchange(&gate, &upstream, door, query, "X-Plain: y").await;
        }
        misfortunes(&gate, "X-Plain: y", query).await;
    }
    let count = lines().len() * 12 + QUERIES.len() * 14;
    let records = gate.records();
    assert_eq!(records.len(), count);
    assert_clean(&gate, "while it is open");
    let home = gate.home().to_owned();
    for record in &records {
        for json in [false, true] {
            let args = ShowArgs {
                id: record.id.clone(),
                json,
            };
            let mut shown = Vec::new();
            show::print(&args, &home, &mut shown).unwrap();
            let shown = String::from_utf8_lossy(&shown);
            assert!(!shown.contains(CANARY), "{shown}");
        }
        let line = serde_json::to_string(record).unwrap();
        assert!(!line.contains(CANARY), "{line}");
    }
    let left = gate.stop().await;
    let home = left.home();
    let closed = std::fs::read(home.path().join(FILE_NAME)).unwrap();
    assert!(
        memchr::memmem::find(&closed, CANARY.as_bytes()).is_none(),
        "in the closed ledger"
    );
    assert!(
        memchr::memmem::find(&closed, b"AKIAEXAMPLE0TOLLGATE").is_some(),
        "the heads are there"
    );
    drop(guard);
    let log = log.text();
    assert!(log.contains("refused"), "the log was listened to: {log}");
    let line = log.lines().find(|line| line.contains(CANARY));
    assert_eq!(line, None);
}

/// Looks through every file of the ledger, octet by octet.
fn assert_clean(gate: &Gate, when: &str) {
    let mut octets = 0;
    for entry in std::fs::read_dir(gate.home()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(FILE_NAME)
        {
            let bytes = std::fs::read(&path).unwrap();
            octets += bytes.len();
            let found = memchr::memmem::find(&bytes, CANARY.as_bytes());
            assert_eq!(found, None, "{when}, in {}", path.display());
        }
    }
    assert!(octets > 100_000, "only {octets} octets of ledger");
}

#[tokio::test]
async fn a_coded_body_with_a_credential_is_left_out_and_its_record_says_so() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new().before(&upstream).start().await;
    for (text, withheld) in [
        (r#"{"text":"hello"}"#, false),
        (r#"{"SessionToken":"c4n4ry50c4n4ry51"}"#, true),
    ] {
        let mut coder = GzEncoder::new(Vec::new(), Compression::default());
        coder.write_all(text.as_bytes()).unwrap();
        let body = coder.finish().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let request = format!(
            "POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        client.send(request).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send([head.as_bytes(), &body].concat()).await;
        assert_eq!(client.answer().await.content, body, "{text}");
        let record = gate.records().pop().unwrap();
        let noted = record.notes.iter().any(|note| note == "body-withheld");
        assert_eq!(noted, withheld, "{text}: {:?}", record.notes);
        let reader = Reader::open(&gate.home().join(FILE_NAME)).unwrap();
        let kept = reader.payload(&record.id).unwrap().unwrap();
        let expected = if withheld { Vec::new() } else { body };
        assert_eq!(kept.response_body, expected, "{text}");
        assert_eq!(kept.response_truncated, withheld, "{text}");
    }
    gate.stop().await;
}
