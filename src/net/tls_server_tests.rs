//! Certificates as clients meet them: real handshakes, in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError,
    HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, SignatureScheme,
};

use super::ca::CaError;
use super::certificate_store::CertificateStore;
use super::certificates::{crypto_provider, read_pair};
use super::test_certificates::*;
use super::tls_server::ServerConfigs;
use crate::config::Limits;

/// Runs a handshake to its end. The second result is the server's view.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> (
    Result<ClientConnection, TlsError>,
    Result<ServerConnection, TlsError>,
) {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let (mut client_error, mut server_error) = (None, None);
    for _flight in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server_error = server.process_new_packets().err().or(server_error);
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client_error = client.process_new_packets().err().or(client_error);
        }
    }
    (
        client_error.map_or(Ok(client), Err),
        server_error.map_or(Ok(server), Err),
    )
}

fn shown(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> CertificateDer<'static> {
    let client = handshake(client, server, name).0.unwrap();
    assert!(!client.is_handshaking());
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

struct Gate {
    _home: tempfile::TempDir,
    root_pem: String,
    store: Arc<CertificateStore>,
    configs: ServerConfigs,
}

fn gate_with(listener: Option<CertifiedKey>, per_host: HashMap<String, CertifiedKey>) -> Gate {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let root_pem = authority.root_pem().to_owned();
    let store =
        Arc::new(CertificateStore::new(authority, listener, per_host, &Limits::default()).unwrap());
    let configs = ServerConfigs::new(
        Arc::clone(&store),
        Arc::new(|host| host.starts_with("bedrock-runtime.")),
    )
    .unwrap();
    Gate {
        _home: home,
        root_pem,
        store,
        configs,
    }
}

fn gate() -> Gate {
    gate_with(None, HashMap::new())
}

impl Gate {
    fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        Arc::new(client_config(&self.root_pem, alpn))
    }

    /// What a client on the port is shown that asks for `name`.
    fn port(&self, name: &str) -> Arc<ServerConfig> {
        let server_name = name.parse::<std::net::IpAddr>().is_err().then_some(name);
        done(self.configs.port(server_name, SystemTime::now())).unwrap()
    }

    fn tunnel(&self, host: &str) -> Result<Arc<ServerConfig>, CaError> {
        done(self.configs.tunnel(host, SystemTime::now()))
    }

    fn for_host(&self, host: &str, now: SystemTime) -> Result<Arc<CertifiedKey>, CaError> {
        done(self.store.for_host(host, now))
    }
}

#[test]
fn a_client_that_trusts_the_root_gets_through_every_door() {
    let gate = gate();
    let client = gate.client(&["http/1.1"]);
    for name in ["localhost", "127.0.0.1", "::1", BEDROCK] {
        let (client, server) = handshake(&client, &gate.port(name), name);
        assert_eq!(
            client.unwrap().alpn_protocol(),
            Some(&b"http/1.1"[..]),
            "{name}"
        );
        server.unwrap();
    }
    let tunnel = gate.tunnel(BEDROCK).unwrap();
    handshake(&client, &tunnel, BEDROCK).0.unwrap();
    assert_eq!(
        gate.store.kept(),
        2,
        "one leaf for the listener, one for the host"
    );
}

#[test]
fn the_listener_shows_its_own_certificate_for_names_it_does_not_open() {
    let gate = gate();
    let (client, _) = handshake(
        &gate.client(&[]),
        &gate.port("sts.amazonaws.com"),
        "sts.amazonaws.com",
    );
    let error = client.unwrap_err();
    assert!(
        format!("{error:?}").contains("NotValidForName"),
        "{error:?}"
    );
    assert_eq!(gate.store.kept(), 1, "nothing was minted for it");
}

#[test]
fn a_tunnel_shows_the_certificate_of_its_target_whatever_the_sni() {
    let gate = gate();
    let tunnel = gate.tunnel(BEDROCK).unwrap();
    let (client, server) = handshake(&gate.client(&[]), &tunnel, "localhost");
    assert!(format!("{:?}", client.unwrap_err()).contains(BEDROCK));
    assert!(server.is_err());
    let error = gate.tunnel("example.com").unwrap_err();
    assert!(matches!(error, CaError::NotPermitted { .. }), "{error}");
    assert!(matches!(gate.tunnel("a b"), Err(CaError::Name { .. })));
}

#[test]
fn alpn_is_http11_or_nothing() {
    let gate = gate();
    let outer = gate.port("localhost");
    let (client, _) = handshake(&gate.client(&["h2", "http/1.1"]), &outer, "localhost");
    assert_eq!(client.unwrap().alpn_protocol(), Some(&b"http/1.1"[..]));
    let (client, _) = handshake(&gate.client(&[]), &outer, "localhost");
    assert_eq!(client.unwrap().alpn_protocol(), None);
    let tunnel = gate.tunnel(BEDROCK).unwrap();
    for (server, name) in [(&outer, "localhost"), (&tunnel, BEDROCK)] {
        let (client, server) = handshake(&gate.client(&["h2"]), server, name);
        assert_eq!(
            client.unwrap_err(),
            TlsError::AlertReceived(AlertDescription::NoApplicationProtocol)
        );
        assert_eq!(server.unwrap_err(), TlsError::NoApplicationProtocol);
    }
}

#[test]
fn both_versions_are_spoken_and_resumed() {
    let gate = gate();
    for (version, spoken) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(&gate.root_pem))
            .with_no_client_auth();
        let client = Arc::new(client);
        for expected in [
            HandshakeKind::Full,
            HandshakeKind::Resumed,
            HandshakeKind::Resumed,
        ] {
            // A configuration of its own for each connection, as in production.
            let tunnel = gate.tunnel(BEDROCK).unwrap();
            let (client, server) = handshake(&client, &tunnel, BEDROCK);
            assert_eq!(
                client.unwrap().handshake_kind(),
                Some(expected),
                "{version:?}"
            );
            assert_eq!(server.unwrap().protocol_version(), Some(spoken));
        }
    }
}

#[test]
fn leaves_are_renewed_after_two_thirds_of_their_life() {
    let gate = gate();
    let now = SystemTime::now();
    type Ask = fn(&CertificateStore, SystemTime) -> Arc<CertifiedKey>;
    let asks: [Ask; 2] = [
        |store, now| done(store.for_host(BEDROCK, now)).unwrap(),
        |store, now| done(store.for_listener(now)).unwrap(),
    ];
    for ask in asks {
        let first = ask(&gate.store, now);
        assert!(Arc::ptr_eq(&first, &ask(&gate.store, now + 39 * DAY)));
        let second = ask(&gate.store, now + 41 * DAY);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &ask(&gate.store, now + 42 * DAY)));
        assert_eq!(second.cert.len(), 2);
    }
    verify(
        &gate.root_pem,
        &gate.for_host(BEDROCK, now + 41 * DAY).unwrap().cert,
        BEDROCK,
        now + 100 * DAY,
    )
    .unwrap();
    // The clock is set back: what was minted is not valid yet.
    let later = gate.for_host(BEDROCK, now + 90 * DAY).unwrap();
    assert!(!Arc::ptr_eq(&later, &gate.for_host(BEDROCK, now).unwrap()));
    assert_eq!(gate.store.kept(), 2);
}

#[test]
fn a_client_that_can_be_shown_nothing_gets_an_alert() {
    let gate = gate();
    let (client, server) = handshake(&gate.client(&[]), &gate.configs.nothing(), BEDROCK);
    assert!(matches!(
        client.unwrap_err(),
        TlsError::AlertReceived(AlertDescription::AccessDenied)
    ));
    assert!(server.is_err());
}

#[test]
fn an_operators_certificate_for_a_host_comes_first() {
    let own =
        rcgen::generate_simple_self_signed(vec!["bedrock-runtime.example.com".to_owned()]).unwrap();
    let certified = CertifiedKey::from_der(
        vec![own.cert.der().clone()],
        own.signing_key.into(),
        &crypto_provider(),
    )
    .unwrap();
    let gate = gate_with(
        None,
        HashMap::from([("Bedrock-Runtime.example.com".to_owned(), certified)]),
    );
    assert!(
        gate.store.covers("bedrock-runtime.EXAMPLE.com") && !gate.store.covers("other.example.com")
    );
    let client = pinning(own.cert.der());
    let tunnel = gate.tunnel("bedrock-runtime.example.com").unwrap();
    assert_eq!(
        &shown(&client, &tunnel, "bedrock-runtime.example.com"),
        own.cert.der()
    );
    assert_eq!(
        &shown(
            &client,
            &gate.port("bedrock-runtime.example.com"),
            "bedrock-runtime.example.com"
        ),
        own.cert.der()
    );
}

/// Trusts one certificate and checks that the server holds its key.
#[derive(Debug)]
struct Pinned(CertificateDer<'static>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if *end_entity == self.0 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(TlsError::General("another certificate".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = crypto_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = crypto_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn pinning(certificate: &CertificateDer<'_>) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(certificate.clone().into_owned())))
        .with_no_client_auth();
    Arc::new(config)
}

/// RSA, PKCS#8, self-signed, CA:TRUE, no subjectAltName: what the line in `certs/README.md` makes.
#[test]
fn the_pair_of_the_guides_openssl_line_serves_the_listener() {
    if !openssl_exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let line = "req -x509 -newkey rsa:2048 -keyout key.pem -out cert.pem -days 365 -nodes -subj /CN=localhost";
    openssl(directory.path(), &line.split(' ').collect::<Vec<_>>());
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    let pair = read_pair(&certificate, &key).unwrap();
    let client = pinning(&pair.cert[0]);
    let gate = gate_with(Some(pair), HashMap::new());
    shown(&client, &gate.port("localhost"), "localhost");
    shown(&client, &gate.port("127.0.0.1"), "127.0.0.1");
    // Intercepted hosts keep their minted leaves.
    handshake(&gate.client(&[]), &gate.port(BEDROCK), BEDROCK)
        .0
        .unwrap();
    assert_eq!(gate.store.kept(), 1);

    // An X.509 v1 certificate, as `openssl x509 -req` makes without extensions, serves as well.
    openssl(
        directory.path(),
        &[
            "req",
            "-new",
            "-key",
            "key.pem",
            "-subj",
            "/CN=localhost",
            "-out",
            "csr",
        ],
    );
    openssl(
        directory.path(),
        &[
            "x509", "-req", "-in", "csr", "-signkey", "key.pem", "-out", "v1.pem",
        ],
    );
    read_pair(&directory.path().join("v1.pem"), &key).unwrap();
}
