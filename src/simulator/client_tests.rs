//! The sample client against a gate of a few lines: each door opens the way its clients expect.
//!
//! The gate here only answers a CONNECT and joins two streams, or writes down the head it was sent. What the real gate
//! does with each door is left to its own tests.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::client::{ClientError, Door, SampleCall, samples, send};
use super::{Simulator, SimulatorOptions};

async fn simulator() -> Simulator {
    Simulator::start(SimulatorOptions::new("127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap()
}

fn call(door: Door) -> SampleCall {
    samples()
        .into_iter()
        .find(|call| call.door == door)
        .unwrap()
}

fn tls() -> (TlsAcceptor, CertificateDer<'static>) {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![issued.cert.der().clone()], key)
    .unwrap();
    (
        TlsAcceptor::from(Arc::new(config)),
        issued.cert.der().clone(),
    )
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Reads one head, answers it with `status`, and joins the stream with the upstream if that is a success.
async fn gate(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    upstream: SocketAddr,
    status: u16,
) -> String {
    let head = head(&mut stream).await;
    stream
        .write_all(format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes())
        .await
        .unwrap();
    if status == 200 {
        let mut upstream = TcpStream::connect(upstream).await.unwrap();
        // How a tunnel ends is not the matter here.
        drop(copy_bidirectional(&mut stream, &mut upstream).await);
    }
    head
}

#[tokio::test]
async fn tunnels_carry_tls_and_tls_in_tls() {
    let simulator = simulator().await;
    for door in [Door::ConnectPlain, Door::ConnectTls] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (acceptor, own) = tls();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap())
            .unwrap();
        roots.add(own).unwrap();
        let (at, upstream) = (listener.local_addr().unwrap(), simulator.addr());
        let gate = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if door == Door::ConnectPlain {
                return gate(stream, upstream, 200).await;
            }
            gate(acceptor.accept(stream).await.unwrap(), upstream, 200).await
        });
        let answer = send(at, Arc::new(roots), &call(door)).await.unwrap();
        assert_eq!(answer.status, 200, "{door:?}");
        let host = "bedrock-runtime.us-east-1.amazonaws.com:443";
        assert_eq!(
            gate.await.unwrap(),
            format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        );
    }
    assert_eq!(simulator.stats().accepted, 2);
}

#[tokio::test]
async fn a_refused_tunnel_is_told_with_its_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let gate = tokio::spawn(async move { gate(listener.accept().await.unwrap().0, at, 407).await });
    let outcome = send(
        at,
        Arc::new(RootCertStore::empty()),
        &call(Door::ConnectPlain),
    )
    .await;
    assert!(
        matches!(outcome, Err(ClientError::ConnectRefused(407))),
        "{outcome:?}"
    );
    gate.await.unwrap();
}

#[tokio::test]
async fn plain_doors_show_the_target_their_clients_send() {
    for (door, start) in [
        (
            Door::ForwardPlain,
            "POST https://bedrock-runtime.us-east-1.amazonaws.com/model/cohere.embed-english-v3/invoke HTTP/1.1\r\n",
        ),
        (
            Door::RoutePlain,
            "POST /service/standard/model/amazon.titan-text-express-v1/invoke?X-Amz-Algorithm=",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let gate = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = head(&mut stream).await;
            let answer =
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nuntil the end";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            head
        });
        let answer = send(at, Arc::new(RootCertStore::empty()), &call(door))
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.field("a"), answer.body.as_slice()),
            (200, Some("b"), b"until the end".as_slice())
        );
        let head = gate.await.unwrap();
        assert!(head.starts_with(start), "{head}");
        assert!(
            head.contains("\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_request_that_a_gate_passed_on_unrouted_is_refused() {
    let simulator = simulator().await;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap())
        .unwrap();
    let roots = Arc::new(roots);
    let answer = send(
        simulator.addr(),
        Arc::clone(&roots),
        &call(Door::ForwardTls),
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 400);
    let answer = send(simulator.addr(), roots, &call(Door::RouteTls))
        .await
        .unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(simulator.stats().refused, 2);
}

#[test]
fn there_is_a_call_for_every_door() {
    let doors = [
        Door::ConnectPlain,
        Door::ConnectTls,
        Door::ForwardTls,
        Door::ForwardPlain,
        Door::RoutePlain,
        Door::RouteTls,
        Door::TransparentTls,
    ];
    let calls = samples();
    assert!(
        doors
            .iter()
            .all(|door| calls.iter().filter(|call| call.door == *door).count() == 1)
    );
    assert_eq!(
        calls
            .iter()
            .filter(|call| call.operation.contains("Stream"))
            .count(),
        2
    );
}
