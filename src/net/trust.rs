//! Whom we trust upstream, and what we give clients to trust.
//!
//! Upstreams are verified against the platform's roots and what `--upstream-ca` adds; there is no way to turn that off.
//! Our own root is never among them, or a loop back to ourselves would look like AWS. `bundle.pem` is the platform's
//! roots and our own, for variables that replace a client's roots. These variables may be set for us as well: a bundle
//! of ours is then not mistaken for the platform. RFC 5280 §6.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::CertificateResult;

use super::ca_home::{CA_PEM, is_own_kind_of_root};
use super::certificates::{self, CertificateError, certificate_pem};
use super::private_file::{FileError, write_if_different};
use super::root_files;

/// The platform's roots and `ca.pem`.
pub const BUNDLE_PEM: &str = "bundle.pem";

/// Where systems keep their roots in one file, for when the environment points at our own bundle instead.
pub(crate) const PLATFORM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// What an administrator adds may be here and not in the file.
const PLATFORM_DIRECTORY: &str = "/etc/ssl/certs";

/// Sessions to resume: every endpoint of every region in use, with room.
const RESUMABLE_SERVERS: usize = 1024;

/// Why upstreams cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A `--upstream-ca` file is not a file of certificates.
    #[error("cannot use --upstream-ca")]
    UpstreamCa(#[from] CertificateError),
    /// A certificate in it is not one that can be trusted.
    #[error("certificate {number} in {} cannot serve as a root", path.display())]
    NotARoot {
        /// The `--upstream-ca` file.
        path: PathBuf,
        /// Counted from 1.
        number: usize,
        /// Why.
        source: rustls::Error,
    },
    /// It holds our own root and nothing else.
    #[error("{} holds only tollgate's own root, which upstreams must not be trusted by", path.display())]
    OwnRoot {
        /// The `--upstream-ca` file.
        path: PathBuf,
    },
    /// The TLS library refuses the configuration.
    #[error("cannot configure TLS for upstreams")]
    Config(#[from] rustls::Error),
}

/// The roots of the platform: each once, in a fixed order, none of them made by tollgate.
#[derive(Clone, Debug, Default)]
pub struct PlatformRoots {
    certificates: Vec<CertificateDer<'static>>,
}

impl PlatformRoots {
    /// Loads them, as `SSL_CERT_FILE` and `SSL_CERT_DIR` say unless the file is one of those in `home`. What cannot be
    /// loaded is logged and left out.
    #[must_use]
    pub fn load(home: &Path) -> Self {
        let source = Source::choose(
            home,
            env::var_os("SSL_CERT_FILE"),
            env::var_os("SSL_CERT_DIR"),
        );
        let result = source.load();
        for error in &result.errors {
            tracing::warn!(%error, "some of the platform's roots cannot be loaded");
        }
        Self::from_certificates(result.certs)
    }

    pub(crate) fn from_certificates(mut certificates: Vec<CertificateDer<'static>>) -> Self {
        certificates.retain(|certificate| !is_own_kind_of_root(certificate));
        certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        certificates.dedup();
        Self { certificates }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}

/// Where to look for the platform's roots.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// As rustls-native-certs does: the environment, else the platform.
    Native,
    /// The environment's directories; its file is one of ours.
    Directories(Vec<PathBuf>),
    /// Known places; the environment names a file of ours and nothing else.
    KnownFiles,
}

impl Source {
    pub(crate) fn choose(
        home: &Path,
        file: Option<OsString>,
        directories: Option<OsString>,
    ) -> Self {
        let Some(file) = file else {
            return Self::Native;
        };
        let ours = [home.join(BUNDLE_PEM), home.join(CA_PEM)];
        if !ours.iter().any(|our| same_file(our, Path::new(&file))) {
            return Self::Native;
        }
        let directories = split(directories);
        if directories.is_empty() {
            Self::KnownFiles
        } else {
            Self::Directories(directories)
        }
    }

    pub(crate) fn load(&self) -> CertificateResult {
        let result = match self {
            Self::Native => return native(),
            Self::Directories(directories) => root_files::load(None, directories),
            Self::KnownFiles => {
                let file = PLATFORM_FILES
                    .map(Path::new)
                    .into_iter()
                    .find(|file| file.exists());
                let directory =
                    Some(Path::new(PLATFORM_DIRECTORY)).filter(|directory| directory.is_dir());
                let directories: Vec<_> = directory.into_iter().map(Path::to_owned).collect();
                root_files::load(file, &directories)
            }
        };
        // Better the roots of the day the bundle was written than none.
        if result.certs.is_empty() {
            native()
        } else {
            result
        }
    }
}

/// As rustls-native-certs does, whose places these are.
fn native() -> CertificateResult {
    let file = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let directories = split(env::var_os("SSL_CERT_DIR"));
    if file.is_some() || !directories.is_empty() {
        return root_files::load(file.as_deref(), &directories);
    }
    #[cfg(all(unix, not(target_os = "macos")))]
    {
        let places = openssl_probe::probe();
        root_files::load(places.cert_file.as_deref(), &places.cert_dir)
    }
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    rustls_native_certs::load_native_certs()
}

/// The directories that a variable lists.
fn split(directories: Option<OsString>) -> Vec<PathBuf> {
    directories
        .iter()
        .flat_map(env::split_paths)
        .filter(|path| !path.as_os_str().is_empty())
        .collect()
}

/// Whether two paths are one file; a file that does not exist yet is known by its path.
fn same_file(ours: &Path, other: &Path) -> bool {
    match (ours.canonicalize(), other.canonicalize()) {
        (Ok(ours), Ok(other)) => ours == other,
        _ => std::path::absolute(ours).ok() == std::path::absolute(other).ok(),
    }
}

/// TLS towards upstreams: the platform's roots, those in the `extra_roots` files, never `own_root`; `http/1.1`; sessions
/// are resumed, early data is not sent.
///
/// # Errors
///
/// When an extra file does not hold at least one certificate that can be trusted.
pub fn upstream_client_config(
    platform: &PlatformRoots,
    extra_roots: &[PathBuf],
    own_root: Option<&CertificateDer<'_>>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    let certificates = platform.certificates.iter();
    let borrowed = certificates.map(|certificate| CertificateDer::from_slice(certificate));
    let (_, ignored) = roots.add_parsable_certificates(borrowed);
    if ignored > 0 {
        tracing::debug!(ignored, "some of the platform's roots cannot be used");
    }
    for path in extra_roots {
        add_extra_roots(&mut roots, path, own_root)?;
    }
    if roots.is_empty() {
        tracing::warn!(
            "the platform has no root certificates, so no upstream can be verified: install the package \
             ca-certificates, or give --upstream-ca"
        );
    }
    let mut config = ClientConfig::builder_with_provider(certificates::crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(RESUMABLE_SERVERS);
    // A call that costs money must not be replayable.
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

fn add_extra_roots(
    roots: &mut RootCertStore,
    path: &Path,
    own_root: Option<&CertificateDer<'_>>,
) -> Result<(), TrustError> {
    let certificates = certificates::read_chain(path)?;
    // Our own `ca.pem`, which after a rotation holds the root before as well.
    let is_ours = own_root.is_some_and(|own| certificates.contains(own));
    let mut others = 0;
    for (number, certificate) in (1..).zip(certificates) {
        if is_ours && is_own_kind_of_root(&certificate) {
            continue;
        }
        let not_a_root = |source| TrustError::NotARoot {
            path: path.to_owned(),
            number,
            source,
        };
        roots.add(certificate).map_err(not_a_root)?;
        others += 1;
    }
    if others == 0 {
        Err(TrustError::OwnRoot {
            path: path.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// Writes `bundle.pem` unless it already has this content: the platform's roots, then `ca_pem`.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_bundle(home: &Path, ca_pem: &str, platform: &PlatformRoots) -> Result<(), FileError> {
    let bundle = bundle(ca_pem, platform);
    write_if_different(&home.join(BUNDLE_PEM), bundle.as_bytes()).map(|_| ())
}

/// What `bundle.pem` holds: the platform's roots, then `ca_pem`.
#[must_use]
pub fn bundle(ca_pem: &str, platform: &PlatformRoots) -> String {
    let own = certificates::certificates_in(ca_pem.as_bytes());
    let mut bundle = String::with_capacity(platform.len() * 2048 + ca_pem.len());
    // An operator's root may be among the platform's.
    let others = platform.certificates.iter();
    for certificate in others.filter(|certificate| !own.contains(certificate)) {
        bundle.push_str(&certificate_pem(certificate));
    }
    bundle.push_str(ca_pem);
    bundle
}
