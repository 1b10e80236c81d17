//! What goes wrong with credentials and certificates is explained where it happens: in the record's notes and in the
//! log, while the answer passes as it is.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tollgate::ledger::Outcome;

use crate::support::gate::{Plan, provider};
use crate::support::signing::Call;
use crate::support::{BEDROCK, Door, Gate, Log, RawUpstream, assert_bytes, within};

/// What an upstream says that does not take credentials, at that time by its clock.
fn refused(error_type: &str, date: &str) -> String {
    let body = r#"{"message":"The request signature we calculated does not match."}"#;
    format!(
        "HTTP/1.1 403 Forbidden\r\nDate: {date}\r\nContent-Type: application/json\r\nx-amzn-ErrorType: {error_type}:http://x/\r\n\
         x-amzn-RequestId: r\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const LONG_AGO: &str = "Sun, 22 Nov 2020 01:55:26 GMT";

#[tokio::test]
async fn a_refusal_of_credentials_passes_unchanged_and_is_explained() {
    let log = Log::default();
    let listening = log.listen();
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let signed = Call::converse("hello").sign();
    let elsewhere = "bedrock-runtime.eu-west-1.amazonaws.com";
    let rows: [(&str, &str, &[&str]); 4] = [
        (BEDROCK, "InvalidSignatureException", &["clock-skew"]),
        (
            elsewhere,
            "SignatureDoesNotMatch",
            &["clock-skew", "scope-region"],
        ),
        (BEDROCK, "AccessDeniedException", &[]),
        (BEDROCK, "ValidationException", &[]),
    ];
    for (host, error_type, notes) in rows {
        let mut client = Door::Connect.open(&gate, host).await;
        let fields: String = signed
            .fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {host}\r\n{fields}",
            signed.target
        );
        client
            .send(format!(
                "{head}Content-Length: {}\r\n\r\n",
                signed.body.len()
            ))
            .await;
        client.send(&signed.body).await;
        let mut served = upstream.accept().await;
        served.request().await;
        let answer = refused(error_type, LONG_AGO);
        served.send(&answer).await;
        assert_bytes(&client.answer().await.raw(), answer.as_bytes(), error_type);
        let record = gate.records().pop().unwrap();
        assert_eq!(record.notes, notes, "{error_type}");
        assert_eq!(
            (record.status, record.outcome),
            (Some(403), Outcome::Complete)
        );
        assert_eq!(record.error_type.as_deref(), Some(error_type));
        // The gate keeps connections; the next row's host may be the same.
        drop((served, client));
    }
    drop(listening);
    let log = log.text();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("AWS refused the credentials"))
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("WARN") && line.contains("set the clock")),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("signed for the region us-east-1 and sent to eu-west-1"),
        "{lines:?}"
    );
}

/// A client of AWS that trusts nobody here.
fn distrustful() -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_told_what_to_set() {
    let log = Log::default();
    let listening = log.listen();
    let gate = Plan::new().start().await;
    let home = gate.home().display().to_string();
    // An alert.
    assert!(gate.handshake(distrustful(), "localhost").await.is_err());
    // Not a word after our certificate; and not even a hello, which tells nothing.
    for hello in [true, false] {
        let mut socket = TcpStream::connect(gate.address).await.unwrap();
        let connect = format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n");
        socket.write_all(connect.as_bytes()).await.unwrap();
        let mut answer = [0; 39];
        socket.read_exact(&mut answer).await.unwrap();
        let name = ServerName::try_from(BEDROCK).unwrap();
        let mut client = rustls::ClientConnection::new(distrustful().into(), name).unwrap();
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        if !hello {
            flight.truncate(9);
        }
        socket.write_all(&flight).await.unwrap();
        if hello {
            // The beginning of its answer; the rest is on its way.
            assert!(socket.read(&mut [0; 16]).await.unwrap() > 0);
        }
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        within("the gate's end", socket.read_to_end(&mut rest))
            .await
            .ok();
    }
    assert!(gate.stop().await.records().is_empty());
    drop(listening);
    let log = log.text();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 2, "{log}");
    assert!(
        warnings[0].contains("does not trust") && warnings[0].contains("--proxy-cacert"),
        "{log}"
    );
    assert!(
        warnings[1].contains("without a word") && warnings[1].contains(BEDROCK),
        "{log}"
    );
    for warning in warnings {
        for wanted in ["AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", &home] {
            assert!(warning.contains(wanted), "{wanted}: {warning}");
        }
    }
    assert!(
        log.contains("a TLS handshake with a client failed"),
        "{log}"
    );
}
