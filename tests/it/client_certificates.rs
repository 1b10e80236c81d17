//! A gate that asks TLS clients of its port for a certificate: the name in it passes every door, and nothing else does.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tollgate::ledger::Entry;

use crate::authentication::{basic, users};
use crate::support::gate::{Plan, provider};
use crate::support::peer::with_handle;
use crate::support::{BEDROCK, Gate, Peer, RawClient, RawUpstream, within};

/// Somebody who signs certificates of clients.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// TLS of a client that shows a certificate for `name`.
    fn config(&self, name: Option<&str>, roots: &Arc<RootCertStore>) -> ClientConfig {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        match name {
            Some(name) => params.distinguished_name.push(DnType::CommonName, name),
            None => params
                .subject_alt_names
                .push(SanType::IpAddress([127, 0, 0, 1].into())),
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(roots))
            .with_client_auth_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

async fn gate(upstream: &RawUpstream, authority: &Authority, with_users: bool) -> Gate {
    let plan = Plan::new().before(upstream);
    let path = plan.settings.home.join("clients.pem");
    std::fs::write(&path, &authority.pem).unwrap();
    plan.with(|settings| {
        settings.client_ca = Some(path);
        if with_users {
            settings.policy.users = users(&[("bob", "builder")]);
        }
    })
    .start()
    .await
}

/// TLS with the port under `name`.
async fn open(gate: &Gate, config: ClientConfig, name: &str) -> RawClient {
    let (stream, socket) = with_handle(TcpStream::connect(gate.address).await.unwrap());
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = within("a handshake", connector.connect(name, stream)).await;
    Peer::new(Box::new(stream.unwrap()), socket)
}

/// Fails unless TLS is refused, which a client of TLS 1.3 learns with its first answer.
async fn assert_shut(gate: &Gate, config: ClientConfig, name: &str) {
    let said = async {
        let mut stream = gate.handshake(config, name).await?;
        stream.write_all(connect("").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map(|_| answer)
    };
    let said = within("a refusal", said).await;
    assert!(said.is_err(), "somebody answered: {said:?}");
}

fn post(target: &str, fields: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n{fields}Content-Length: 2\r\n\r\n{{}}")
}

fn connect(fields: &str) -> String {
    format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost: {BEDROCK}\r\n{fields}\r\n")
}

async fn pass(client: &mut RawClient, upstream: &RawUpstream, request: String) {
    client.send(request).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn the_name_in_a_certificate_passes_every_door() {
    let upstream = RawUpstream::tls().await;
    let authority = Authority::new();
    for with_users in [false, true] {
        let gate = gate(&upstream, &authority, with_users).await;
        let alice = || authority.config(Some("alice"), &gate.roots);
        let mut forward = open(&gate, alice(), "localhost").await;
        let target = format!("https://{BEDROCK}/model/m/invoke");
        pass(&mut forward, &upstream, post(&target, "")).await;
        let route = post("/service/standard/model/m/invoke", "");
        pass(&mut forward, &upstream, route).await;
        let mut transparent = open(&gate, alice(), BEDROCK).await;
        pass(&mut transparent, &upstream, post("/model/m/invoke", "")).await;
        let mut outer = open(&gate, alice(), "localhost").await;
        outer.send(connect("")).await;
        assert!(outer.head().await.starts_with(b"HTTP/1.1 200 "));
        let mut inner = gate.secure(outer, BEDROCK).await;
        pass(&mut inner, &upstream, post("/model/m/invoke", "")).await;
        drop((forward, transparent, inner));
        let records = gate.stop().await.records();
        let entries: Vec<_> = records.iter().map(|record| record.entry).collect();
        let all = [
            Entry::Forward,
            Entry::Route,
            Entry::Transparent,
            Entry::Connect,
        ];
        assert_eq!(entries, all);
        for record in records {
            assert_eq!(record.identity.proxy_user.as_deref(), Some("alice"));
        }
    }
}

#[tokio::test]
async fn without_users_nobody_gets_in_but_by_a_certificate_of_the_right_authority() {
    let upstream = RawUpstream::tls().await;
    let authority = Authority::new();
    let gate = gate(&upstream, &authority, false).await;
    assert_shut(&gate, gate.client_config(&[]), "localhost").await;
    assert_shut(&gate, gate.client_config(&[]), BEDROCK).await;
    let stranger = Authority::new().config(Some("alice"), &gate.roots);
    assert_shut(&gate, stranger, "localhost").await;
    let mut plain = gate.plain().await;
    plain.send(connect(&basic("bob", "builder"))).await;
    let answer = plain.answer().await;
    answer.assert_plain(403, "access-denied");
    assert!(
        answer.text().contains("client certificate"),
        "{}",
        answer.text()
    );
    let nameless = authority.config(None, &gate.roots);
    let mut nameless = open(&gate, nameless, "localhost").await;
    nameless.send(connect("")).await;
    nameless.answer().await.assert_plain(403, "access-denied");
    assert_eq!(upstream.connections(), 0);
    drop((plain, nameless));
    gate.stop().await;
}

#[tokio::test]
async fn with_users_either_suffices() {
    let upstream = RawUpstream::tls().await;
    let authority = Authority::new();
    let gate = gate(&upstream, &authority, true).await;
    for mut client in [gate.plain().await, gate.tls("localhost").await] {
        client.send(connect("")).await;
        assert_eq!(client.answer().await.status(), 407);
        client.send(connect(&basic("bob", "builder"))).await;
        assert!(client.head().await.starts_with(b"HTTP/1.1 200 "));
    }
    let stranger = Authority::new().config(Some("alice"), &gate.roots);
    assert_shut(&gate, stranger, "localhost").await;
    gate.stop().await;
}
