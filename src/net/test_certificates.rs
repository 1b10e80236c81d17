//! What the tests of certificates share: an authority in a temporary home, verifiers, the `openssl` command.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};

use super::ca::{CertificateAuthority, LeafName};
use super::certificates::crypto_provider;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";

/// The DNS suffixes of all partitions.
pub(crate) fn aws_domains() -> Vec<String> {
    [
        "amazonaws.com",
        "amazonaws.com.cn",
        "amazonaws.eu",
        "api.aws",
        "api.amazonwebservices.com.cn",
        "api.amazonwebservices.eu",
        "c2s.ic.gov",
        "api.aws.ic.gov",
        "sc2s.sgov.gov",
        "api.aws.scloud",
        "cloud.adc-e.uk",
        "api.cloud-aws.adc-e.uk",
        "csp.hci.ic.gov",
        "api.aws.hci.ic.gov",
    ]
    .map(str::to_owned)
    .to_vec()
}

pub(crate) fn authority(home: &Path) -> CertificateAuthority {
    CertificateAuthority::open_or_create(home, &aws_domains(), SystemTime::now()).unwrap()
}

pub(crate) fn names(hosts: &[&str]) -> Vec<LeafName> {
    hosts
        .iter()
        .map(|host| LeafName::parse(host).unwrap())
        .collect()
}

pub(crate) fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// What a client that trusts `root_pem` makes of a chain.
pub(crate) fn verify(
    root_pem: &str,
    chain: &[CertificateDer<'_>],
    host: &str,
    now: SystemTime,
) -> Result<(), rustls::Error> {
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots(root_pem).into(), crypto_provider())
            .build()
            .unwrap();
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let name = ServerName::try_from(host.to_owned()).unwrap();
    verifier
        .verify_server_cert(&chain[0], &chain[1..], &name, &[], now)
        .map(|_| ())
}

pub(crate) fn client_config(root_pem: &str, alpn: &[&str]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(Arc::new(roots(root_pem)))
        .with_no_client_auth();
    config.alpn_protocols = alpn
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    config
}

/// Whether there is an OpenSSL of version 3 or later to ask. (macOS has a LibreSSL of the same name.)
pub(crate) fn openssl_exists() -> bool {
    let Ok(output) = Command::new("openssl").arg("version").output() else {
        return false;
    };
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let major = version
        .strip_prefix("OpenSSL ")
        .and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= 3)
}

/// Runs `openssl` in `directory`; its failure is the test's failure.
pub(crate) fn openssl(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// An error with everything below it, as `main` prints it.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(unix)]
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[cfg(unix)]
pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What `event` comes to, on a runtime of its own.
pub(crate) fn done<T>(event: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(event)
}
