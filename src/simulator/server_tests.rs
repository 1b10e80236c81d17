//! The simulator over real sockets: connections, framing, what was seen, and how it ends.
//!
//! The client here writes literal octets into TLS, so that it can send what no HTTP library would. Loopback only, and
//! every wait has an end.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Credential, Door, SampleCall, samples, send};
use super::{ACCESS_KEY_ID, BEARER_KEY, Simulator, SimulatorOptions, Verdict};

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";

async fn simulator() -> Simulator {
    let mut options = SimulatorOptions::new("127.0.0.1:0".parse().unwrap());
    options.slow = Duration::ZERO;
    Simulator::start(options).await.unwrap()
}

fn roots(simulator: &Simulator) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap())
        .unwrap();
    Arc::new(roots)
}

async fn dial(
    simulator: &Simulator,
    name: &'static str,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(simulator))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(simulator.addr()).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(name).unwrap(), tcp)
        .await
}

async fn connect(simulator: &Simulator) -> TlsStream<TcpStream> {
    dial(simulator, HOST, b"http/1.1").await.unwrap()
}

/// Everything until the connection ends, or until what has come ends in `end`.
async fn read_until(stream: &mut TlsStream<TcpStream>, end: &[u8]) -> Vec<u8> {
    let mut seen = Vec::new();
    while !seen.ends_with(end) || end.is_empty() {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_buf(&mut seen)).await;
        match read.expect("an answer in time") {
            Ok(0) => break,
            Ok(_) => {}
            // Dropped without close_notify.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => panic!("reading failed: {error}"),
        }
    }
    seen
}

/// Whether the connection ends, by a reset or otherwise, without a word.
async fn ends_unserved(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
    end.await.is_ok() && rest.is_empty()
}

fn bearer(path: &str, fields: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {BEARER_KEY}\r\n{fields}\r\n"
    )
}

const CONVERSE: &str = "/model/amazon.nova-lite-v1%3A0/converse";
const QUESTION: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

#[tokio::test]
async fn every_sample_is_accepted_when_sent_straight_to_the_simulator() {
    let simulator = simulator().await;
    let mut streams = 0;
    for mut call in samples() {
        call.door = Door::TransparentTls;
        let answer = send(simulator.addr(), roots(&simulator), &call)
            .await
            .unwrap();
        assert_eq!(
            answer.status,
            200,
            "{}: {}",
            call.model,
            String::from_utf8_lossy(&answer.body)
        );
        streams += usize::from(answer.field("transfer-encoding").is_some());
    }
    let stats = simulator.stats();
    assert_eq!(
        (stats.accepted, stats.refused, stats.connections, streams),
        (7, 0, 7, 2)
    );
}

#[tokio::test]
async fn the_prompt_of_the_guide_is_answered_word_for_word() {
    let simulator = simulator().await;
    let mut call = samples()
        .into_iter()
        .find(|call| call.door == Door::RoutePlain)
        .unwrap();
    call.door = Door::TransparentTls;
    let answer = send(simulator.addr(), roots(&simulator), &call)
        .await
        .unwrap();
    let expected = r#"{"inputTextTokenCount":14,"results":[{"tokenCount":15,"outputText":"Black holes are regions of spacetime with such strong gravity that nothing can escape","completionReason":"LENGTH"}]}"#;
    assert_eq!(String::from_utf8(answer.body.clone()).unwrap(), expected);
    assert_eq!(answer.field("x-amzn-bedrock-input-token-count"), Some("14"));
    assert_eq!(
        answer.field("x-amzn-bedrock-output-token-count"),
        Some("15")
    );
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another_and_shows_their_octets() {
    let simulator = simulator().await;
    let mut stream = connect(&simulator).await;
    let first = bearer(CONVERSE, &format!("Content-Length: {}\r\n", QUESTION.len()));
    let second = bearer(CONVERSE, "transfer-encoding:   chunked\r\n");
    let (left, right) = QUESTION.split_at(10);
    let chunked = format!("a;x\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\n\r\n", right.len());
    stream
        .write_all(format!("{first}{QUESTION}{second}{chunked}").as_bytes())
        .await
        .unwrap();
    let last = bearer(
        CONVERSE,
        &format!(
            "Connection: close\r\nContent-Length: {}\r\n",
            QUESTION.len()
        ),
    );
    stream
        .write_all(format!("{last}{QUESTION}").as_bytes())
        .await
        .unwrap();
    let answers = String::from_utf8(read_until(&mut stream, b"").await).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    assert_eq!(answers.matches("Connection: keep-alive\r\n").count(), 2);

    let log = simulator.log();
    assert_eq!(log.len(), 3);
    for (request, head) in log.iter().zip([&first, &second, &last]) {
        assert_eq!(request.head.as_ref(), head.as_bytes());
        assert_eq!(request.body.as_ref(), QUESTION.as_bytes());
        assert_eq!(
            (request.connection, request.server_name.as_str()),
            (1, HOST)
        );
        assert_eq!(
            request.verdict,
            Verdict::Accepted {
                caller: "bearer".to_owned()
            }
        );
    }
    assert_eq!(log[0].body_on_wire, log[0].body);
    assert_eq!(log[1].body_on_wire.as_ref(), chunked.as_bytes());
}

#[tokio::test]
async fn a_waiting_client_is_told_to_go_on_or_refused_at_once() {
    let simulator = simulator().await;
    let fields = format!(
        "Expect: 100-continue\r\nContent-Length: {}\r\n",
        QUESTION.len()
    );
    let mut stream = connect(&simulator).await;
    stream
        .write_all(bearer(CONVERSE, &fields).as_bytes())
        .await
        .unwrap();
    assert_eq!(
        read_until(&mut stream, b"\r\n\r\n").await,
        b"HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(QUESTION.as_bytes()).await.unwrap();
    assert!(
        read_until(&mut stream, b"}")
            .await
            .starts_with(b"HTTP/1.1 200 OK\r\n")
    );

    let mut stream = connect(&simulator).await;
    let head = bearer(CONVERSE, &fields).replace(BEARER_KEY, "another-key");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = String::from_utf8(read_until(&mut stream, b"").await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("Connection: close"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_the_connection_ends() {
    let simulator = simulator().await;
    let long = format!("X-Long: {}\r\n", "x".repeat(70_000));
    let rows = [
        ("bare LF", "POST / HTTP/1.1\nHost: a\n\n".to_owned(), "400"),
        (
            "two framings",
            bearer("/", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
            "400",
        ),
        (
            "two lengths",
            bearer("/", "Content-Length: 0\r\nContent-Length: 0\r\n"),
            "400",
        ),
        (
            "another coding",
            bearer("/", "Transfer-Encoding: gzip, chunked\r\n"),
            "400",
        ),
        (
            "a chunk without size",
            format!("{}zz\r\n", bearer("/", "Transfer-Encoding: chunked\r\n")),
            "400",
        ),
        (
            "HTTP/2 preface",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            "400",
        ),
        ("a long head", bearer("/", &long), "413"),
        (
            "a long body",
            bearer("/", "Content-Length: 26000001\r\n"),
            "413",
        ),
    ];
    for (name, request, status) in &rows {
        let mut stream = connect(&simulator).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_until(&mut stream, b"").await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{name}: {answer}"
        );
        assert!(
            answer.contains("x-amzn-ErrorType: ValidationException:"),
            "{name}: {answer}"
        );
    }
    assert_eq!(simulator.stats().refused, rows.len() as u64);
}

#[tokio::test]
async fn a_body_that_is_cut_is_seen_as_such() {
    let simulator = simulator().await;
    let mut stream = connect(&simulator).await;
    stream
        .write_all(format!("{}{{", bearer(CONVERSE, "Content-Length: 10\r\n")).as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_until(&mut stream, b"").await, b"");
    let log = simulator.log();
    assert!(
        matches!(&log[0].verdict, Verdict::Refused { message, .. } if message.contains("ended inside")),
        "{log:?}"
    );
}

#[tokio::test]
async fn streams_end_properly_or_break_as_asked() {
    let simulator = simulator().await;
    let rows = [
        ("simulate.stream-exception/converse-stream", true),
        ("simulate.slow/converse-stream", true),
        ("simulate.stream-cut/converse-stream", false),
        ("simulate.stream-cut/converse", false),
    ];
    for (path, whole) in rows {
        let mut stream = connect(&simulator).await;
        let length = format!(
            "Connection: close\r\nContent-Length: {}\r\n",
            QUESTION.len()
        );
        let head = bearer(&format!("/model/{path}"), &length);
        stream
            .write_all(format!("{head}{QUESTION}").as_bytes())
            .await
            .unwrap();
        let answer = read_until(&mut stream, b"").await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{path}");
        assert_eq!(answer.ends_with(b"\r\n0\r\n\r\n"), whole, "{path}");
        let end = answer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        if let Some(length) = head.split("Content-Length: ").nth(1) {
            let promised: usize = length.lines().next().unwrap().parse().unwrap();
            assert!(promised > answer.len() - end - 4, "{path}");
        }
    }
}

#[tokio::test]
async fn a_head_request_gets_no_body() {
    let simulator = simulator().await;
    let mut stream = connect(&simulator).await;
    let request = bearer("/", "").replace("POST", "HEAD")
        + &bearer("/", "Connection: close\r\n").replace("POST", "GET");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answers = String::from_utf8(read_until(&mut stream, b"").await).unwrap();
    let (first, second) = answers.split_once("\r\n\r\n").unwrap();
    assert!(
        first.starts_with("HTTP/1.1 404 Not Found") && first.contains("UnknownOperationException")
    );
    assert!(
        second.starts_with("HTTP/1.1 404 Not Found") && second.ends_with("\"}"),
        "{second}"
    );
}

#[tokio::test]
async fn names_and_protocols_are_held_apart() {
    let simulator = simulator().await;
    assert!(
        dial(&simulator, "sts.us-east-1.amazonaws.com", b"http/1.1")
            .await
            .is_err()
    );
    assert!(dial(&simulator, HOST, b"h2").await.is_err());
    let vpc = "vpce-0a1b-9z.bedrock-runtime.eu-west-1.vpce.amazonaws.com";
    assert!(dial(&simulator, vpc, b"http/1.1").await.is_ok());
    let mut stream = dial(&simulator, "localhost", b"http/1.1").await.unwrap();
    stream
        .write_all(bearer("/", "Connection: close\r\n").as_bytes())
        .await
        .unwrap();
    let answer = String::from_utf8(read_until(&mut stream, b"").await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 403 Forbidden")
            && answer.contains("InvalidSignatureException"),
        "{answer}"
    );
}

#[tokio::test]
async fn many_clients_at_once_are_all_served() {
    let simulator = simulator().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..40 {
        let call = SampleCall {
            door: Door::TransparentTls,
            operation: "ConverseStream",
            model: "",
            host: HOST,
            region: "us-east-1",
            path: "/model/amazon.nova-lite-v1%3A0/converse-stream",
            body: QUESTION.replace("hi", &format!("number {number}")),
            credential: Credential::AccessKey,
        };
        let (addr, roots) = (simulator.addr(), roots(&simulator));
        calls.spawn(async move { send(addr, roots, &call).await.map(|answer| answer.status) });
    }
    while let Some(outcome) = calls.join_next().await {
        assert_eq!(outcome.unwrap().unwrap(), 200);
    }
    let accepted = Verdict::Accepted {
        caller: ACCESS_KEY_ID.to_owned(),
    };
    assert_eq!(
        simulator
            .log()
            .iter()
            .filter(|request| request.verdict == accepted)
            .count(),
        40
    );
}

#[tokio::test]
async fn after_the_shutdown_nobody_listens_and_nobody_is_served() {
    let simulator = simulator().await;
    let addr = simulator.addr();
    let mut stream = connect(&simulator).await;
    simulator.shutdown().await;
    assert!(TcpStream::connect(addr).await.is_err());
    assert!(ends_unserved(&mut stream).await);
}

#[tokio::test]
async fn a_dropped_simulator_drops_its_connections() {
    let simulator = simulator().await;
    let mut stream = connect(&simulator).await;
    drop(simulator);
    assert!(ends_unserved(&mut stream).await);
}

#[tokio::test]
async fn who_opens_tls_elsewhere_is_served_and_judged_by_the_name_they_opened_it_for() {
    let simulator = simulator().await;
    for (name, status) in [
        (HOST, "200"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "403"),
    ] {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let served = tokio::spawn(simulator.serve(far, name));
        let head = bearer(
            CONVERSE,
            &format!(
                "Connection: close\r\nContent-Length: {}\r\n",
                QUESTION.len()
            ),
        );
        near.write_all(format!("{head}{QUESTION}").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        drop(near);
        served.await.unwrap();
    }
    assert_eq!(simulator.stats().connections, 2);
}
