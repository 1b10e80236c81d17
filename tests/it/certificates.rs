//! The certificates clients are shown, and the files they are made from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::support::gate::{Plan, provider, simulator};
use crate::support::signing::Call;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, Gate};

/// Verifies nothing: it is there to see what is shown.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn curious() -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth()
}

/// The leaf that the port shows under `sni`.
async fn leaf_of_port(gate: &Gate, sni: &str) -> CertificateDer<'static> {
    let stream = gate.handshake(curious(), sni).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

/// The leaf inside a tunnel to `host`, asked for as `sni`.
async fn leaf_in_tunnel(gate: &Gate, host: &str, sni: &str) -> CertificateDer<'static> {
    let mut client = gate.plain().await;
    client
        .send(format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n"))
        .await;
    assert!(client.head().await.starts_with(b"HTTP/1.1 200 "));
    let (stream, _socket) = client.into_parts();
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(curious()))
        .connect(name, stream)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(leaf).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(octets) => format!("{octets:?}"),
        other => panic!("{other:?}"),
    };
    names.value.general_names.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_at_the_same_time_are_shown_the_same_leaf() {
    let gate = Arc::new(Plan::new().start().await);
    let tunnels = (0..16).map(|_| {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { leaf_in_tunnel(&gate, BEDROCK, BEDROCK).await })
    });
    let mut leaves = Vec::new();
    for tunnel in tunnels.collect::<Vec<_>>() {
        leaves.push(tunnel.await.unwrap());
    }
    leaves.push(leaf_of_port(&gate, BEDROCK).await);
    assert!(leaves.iter().all(|leaf| *leaf == leaves[0]));
    assert_eq!(names(&leaves[0]), [BEDROCK]);
}

#[tokio::test]
async fn a_tunnel_shows_the_host_that_connect_named_whatever_the_sni() {
    let gate = Plan::new().start().await;
    for sni in [
        BEDROCK,
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "localhost",
        "127.0.0.1",
    ] {
        assert_eq!(names(&leaf_in_tunnel(&gate, BEDROCK, sni).await), [BEDROCK]);
    }
}

#[tokio::test]
async fn the_port_mints_for_hosts_that_are_opened_and_shows_its_own_for_all_others() {
    let gate = Plan::new().start().await;
    let own = leaf_of_port(&gate, "localhost").await;
    assert_eq!(
        names(&own),
        [
            "localhost",
            "[127, 0, 0, 1]",
            &format!("{:?}", std::net::Ipv6Addr::LOCALHOST.octets())
        ]
    );
    for stranger in [
        ELSEWHERE,
        "s3.us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1.amazonaws.com.evil.example",
    ] {
        assert_eq!(leaf_of_port(&gate, stranger).await, own, "{stranger}");
    }
    for opened in [BEDROCK, "bedrock-runtime-fips.us-gov-west-1.amazonaws.com"] {
        assert_eq!(names(&leaf_of_port(&gate, opened).await), [opened]);
    }
}

#[tokio::test]
async fn an_operators_pair_made_with_openssl_is_shown_on_the_port_and_minted_leaves_inside() {
    let folder = tempfile::tempdir().unwrap();
    let certs = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    fs::copy(certs.join("cert.pem"), &cert).unwrap();
    fs::copy(certs.join("key.pem"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let simulator = simulator().await;
    let gate = Plan::new()
        .before_simulator(&simulator)
        .with(|settings| settings.listener_pair = Some((cert.clone(), key)))
        .start()
        .await;
    let own = CertificateDer::from_pem_file(&cert).unwrap();
    for sni in ["localhost", ELSEWHERE] {
        assert_eq!(leaf_of_port(&gate, sni).await, own);
    }
    assert_eq!(
        names(&leaf_in_tunnel(&gate, BEDROCK, BEDROCK).await),
        [BEDROCK]
    );
    let signed = Call::converse("hello").sign();
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(signed.through(Door::Connect)).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_restart_keeps_the_authority_that_clients_trust() {
    let simulator = simulator().await;
    let first = Plan::new().before_simulator(&simulator).start().await;
    let published = fs::read(first.home().join("ca.pem")).unwrap();
    let bundle = fs::read(first.home().join("bundle.pem")).unwrap();
    let trusted = Arc::clone(&first.roots);
    let home = first.stop().await.home();
    let mut second = Plan::in_home(home)
        .before_simulator(&simulator)
        .start()
        .await;
    assert_eq!(fs::read(second.home().join("ca.pem")).unwrap(), published);
    assert_eq!(fs::read(second.home().join("bundle.pem")).unwrap(), bundle);
    // What a client was given before the restart is all it has.
    second.port.roots = trusted;
    for door in Door::ALL {
        let mut client = door.open(&second, BEDROCK).await;
        client
            .send(Call::converse("hello").sign().through(door))
            .await;
        assert_eq!(client.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn two_homes_have_two_authorities() {
    let (one, other) = (Plan::new().start().await, Plan::new().start().await);
    let trusting_the_other = other.client_config(&[]);
    assert!(
        one.handshake(trusting_the_other, "localhost")
            .await
            .is_err()
    );
    assert!(
        one.handshake(one.client_config(&[]), "localhost")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_home_and_every_file_in_it_are_their_owners_alone() {
    let parent: TempDir = tempfile::tempdir().unwrap();
    let home = parent.path().join("not").join("there");
    let simulator = simulator().await;
    let plan = Plan::new().before_simulator(&simulator);
    let gate = plan
        .with(|settings| settings.home.clone_from(&home))
        .start_in(&home)
        .await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(Call::converse("hello").sign().through(Door::Connect))
        .await;
    client.answer().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    let mut found = Vec::new();
    for entry in fs::read_dir(&home).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    for name in [
        "ca.pem",
        "bundle.pem",
        "ca-key.pem",
        "ledger.db",
        "ledger.db-wal",
        "ledger.db-shm",
    ] {
        assert!(
            found.iter().any(|file| file == name),
            "{name} is not among {found:?}"
        );
    }
}
