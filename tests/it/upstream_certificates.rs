//! An upstream that does not prove who it is gets not one byte of a request: whatever is wrong with its certificate, or
//! instead of TLS, the client is told by a typed 503, and the message says what it was.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};
use tokio_rustls::TlsAcceptor;
use tollgate::ledger::Outcome;

use crate::support::gate::{Plan, provider};
use crate::support::traces::{Traces, nothing_more};
use crate::support::{BEDROCK, Door, Gate, Going, RawUpstream, until};

/// An authority that the gate trusts, and one that it does not.
struct Authority {
    key: KeyPair,
    params: CertificateParams,
    certificate: Certificate,
}

impl Authority {
    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            key,
            params,
            certificate,
        }
    }

    /// A server that shows a leaf for [`BEDROCK`], after `change` was made to it.
    fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(vec![BEDROCK.to_owned()]).unwrap();
        change(&mut leaf);
        let issuer = Issuer::from_params(&self.params, &self.key);
        acceptor(leaf.signed_by(&key, &issuer).unwrap(), &key)
    }
}

fn self_signed() -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec![BEDROCK.to_owned()]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "nobody");
    acceptor(leaf.self_signed(&key).unwrap(), &key)
}

fn acceptor(certificate: Certificate, key: &KeyPair) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn days_from_now(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(days)
}

/// A gate that trusts `authority` and finds `upstream` in the place of Bedrock.
async fn gate(authority: &Authority, upstream: &RawUpstream) -> Gate {
    let address = upstream.address;
    let mut trusted = RawUpstream::plain().await;
    trusted.ca_pem = Some(authority.certificate.pem());
    Plan::new()
        .before(&trusted)
        .with(|settings| settings.dial_intercepted = Some(address))
        .start()
        .await
}

/// What the client is told when the upstream cannot be verified.
async fn told(gate: &Gate, door: Door) -> String {
    let mut client = door.open(gate, BEDROCK).await;
    let target = door.target(BEDROCK, "/model/m/converse");
    client
        .send(format!(
            "POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let answer = client.answer().await;
    answer.assert_typed(503, "ServiceUnavailableException", "upstream-tls");
    let record = gate.records().pop().unwrap();
    assert_eq!(
        (record.status, record.outcome),
        (Some(503), Outcome::Failed)
    );
    client.close().await;
    answer.text()
}

/// Nothing stays behind of a call that found nobody to talk to.
async fn leaves_nothing(gate: &Gate, upstream: &RawUpstream, before: Traces) {
    nothing_more("a handshake that failed", before, || gate.traces(upstream)).await;
}

#[tokio::test]
async fn a_certificate_that_proves_nothing() {
    let trusted = Authority::named("trusted");
    let stranger = Authority::named("stranger");
    let rows = [
        (
            "for another name",
            trusted.server(|leaf| {
                *leaf = CertificateParams::new(vec![
                    "bedrock-runtime.eu-west-1.amazonaws.com".to_owned(),
                ])
                .unwrap();
            }),
            "not valid for name",
        ),
        (
            "for no name",
            trusted.server(|leaf| leaf.subject_alt_names.clear()),
            "not valid for name",
        ),
        (
            "expired",
            trusted.server(|leaf| {
                (leaf.not_before, leaf.not_after) = (days_from_now(-90), days_from_now(-1));
            }),
            "clock",
        ),
        (
            "not valid yet",
            trusted.server(|leaf| {
                (leaf.not_before, leaf.not_after) = (days_from_now(1), days_from_now(90));
            }),
            "clock",
        ),
        ("self-signed", self_signed(), "UnknownIssuer"),
        ("of a stranger", stranger.server(|_| ()), "UnknownIssuer"),
        (
            "for clients",
            trusted.server(|leaf| {
                leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "extended key usage",
        ),
        (
            "an authority's own",
            trusted.server(|leaf| {
                leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                leaf.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            }),
            "CaUsedAsEndEntity",
        ),
    ];
    for (what, tls, words) in rows {
        let upstream = RawUpstream::tls_by(tls).await;
        let gate = gate(&trusted, &upstream).await;
        let before = gate.rest(&upstream).await;
        for door in [Door::Connect, Door::Forward, Door::Route, Door::Transparent] {
            let told = told(&gate, door).await;
            assert!(told.contains(words), "{what}: {told}");
        }
        leaves_nothing(&gate, &upstream, before).await;
        assert_eq!(
            upstream.handed_over(),
            0,
            "{what}: a handshake was completed"
        );
    }
}

#[tokio::test]
async fn one_that_proves_it_is_talked_to() {
    let trusted = Authority::named("trusted");
    let upstream = RawUpstream::tls_by(trusted.server(|leaf| {
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (leaf.not_before, leaf.not_after) = (days_from_now(-1), days_from_now(1));
    }))
    .await;
    let gate = gate(&trusted, &upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(format!(
            "POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.answer().await.text(), "{}");
}

/// What an upstream says to a ClientHello that is no TLS, or none that we speak.
const INSTEAD: [(&str, &[u8]); 8] = [
    (
        "HTTP",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    ),
    ("noise", b"\xde\xad\xbe\xef\0\0\0\0\0\0\0\0\0\0\0\0"),
    ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("alert: handshake_failure", b"\x15\x03\x03\x00\x02\x02\x28"),
    ("alert: unrecognized_name", b"\x15\x03\x03\x00\x02\x02\x70"),
    ("alert: protocol_version", b"\x15\x03\x01\x00\x02\x02\x46"),
    ("alert: close_notify", b"\x15\x03\x03\x00\x02\x01\x00"),
    // A ServerHello of version 1.1 with TLS_RSA_WITH_AES_128_CBC_SHA, as one that knows nothing newer answers.
    (
        "TLS 1.1",
        b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02\
          01234567890123456789012345678901\x00\x00\x2f\x00",
    ),
];

#[tokio::test]
async fn something_instead_of_tls_or_tls_that_is_too_old() {
    let trusted = Authority::named("trusted");
    let upstream = RawUpstream::plain().await;
    let gate = gate(&trusted, &upstream).await;
    let before = gate.rest(&upstream).await;
    for (what, said) in INSTEAD {
        for going in Going::ALL {
            let upstream_side = async {
                let mut served = upstream.accept().await;
                // A ClientHello and nothing else: not one byte of a request.
                let record = served.exactly(5).await;
                assert_eq!(record[0], 0x16);
                let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
                served.exactly(length).await;
                served.send(said).await;
                let (rest, _) = served.rest().await;
                assert!(rest.len() <= 7, "more than an alert: {rest:?}");
                going.go(served).await;
            };
            let (told, ()) = tokio::join!(told(&gate, Door::Connect), upstream_side);
            assert!(told.contains("TLS with"), "{what}: {told}");
        }
    }
    leaves_nothing(&gate, &upstream, before).await;
}

#[tokio::test]
async fn an_upstream_that_goes_in_the_middle_of_its_handshake() {
    let trusted = Authority::named("trusted");
    let upstream = RawUpstream::plain().await;
    let gate = gate(&trusted, &upstream).await;
    let before = gate.rest(&upstream).await;
    for said in [
        &b""[..],
        b"\x16",
        b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03",
    ] {
        for going in Going::ALL {
            let upstream_side = async {
                let mut served = upstream.accept().await;
                served.exactly(5).await;
                served.send(said).await;
                going.go(served).await;
            };
            let (told, ()) = tokio::join!(told(&gate, Door::Connect), upstream_side);
            assert!(told.contains("TLS with"), "{told}");
        }
    }
    leaves_nothing(&gate, &upstream, before).await;
    until("every connection was a call's", || {
        upstream.connections() == 9
    })
    .await;
}
