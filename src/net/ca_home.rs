//! The certificate authority that lives in the home directory.
//!
//! Made at the first start: a root whose key is never written and is gone when the function returns, and an issuing
//! certificate below it whose key stays. Both carry the name constraints, since Java does not look at those of a root.
//! The files appear together or not at all, whatever crashes and whoever else starts at the same time; files that do
//! not fit together are refused, never repaired by guessing. Signing is left to `ca`. RFC 5280 §4.2.1.9, §4.2.1.10.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration as StdDuration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::X509Certificate;
use zeroize::Zeroizing;

use super::ca::{CLOCK_SKEW, CaError, CertificateAuthority, Flaw, IssuanceError, LeafName, date};
use super::ca_error::FlawOr;
use super::certificates::{self, certificate_pem};
use super::issuance::{distinguished_name, serial_number};
use super::name_constraints::domain_of_pattern;
use super::private_file::{self, FileError, write_if_different, write_private};

/// What clients must trust: the root, and after a rotation the one before it.
pub const CA_PEM: &str = "ca.pem";
/// The issuing certificate, then the root.
pub const ISSUER_PEM: &str = "issuer.pem";
/// The issuing certificate's key.
pub const CA_KEY_PEM: &str = "ca-key.pem";

/// Five years.
const LIFE: Duration = Duration::days(5 * 365 + 1);

/// How the common names of our own roots begin, in this home and in any other.
const COMMON_NAME: &str = "tollgate local CA";

/// Files are written here first …
const STAGED: &str = ".ca-staged";
/// … and are in force once the directory has this name, even if they were not moved yet.
const COMMITTED: &str = ".ca-committed";
const LOCK: &str = "ca.lock";

impl CertificateAuthority {
    /// Opens the authority in `home`, or makes one that may sign for `constraints` (domains with everything below
    /// them; `*.example.com` means `example.com`), for `localhost` and for the loopback addresses.
    ///
    /// An existing authority is opened with the constraints it has: ask [`CertificateAuthority::require`] whether they
    /// cover what is wanted.
    ///
    /// # Errors
    ///
    /// When the files cannot be read or written, do not fit together, are out of time, or the key is readable by
    /// others.
    pub fn open_or_create(
        home: &Path,
        constraints: &[String],
        now: SystemTime,
    ) -> Result<Self, CaError> {
        private_file::prepare_home(home)?;
        let now = date(now)?;
        // Released when the file is closed, and by the system when we crash.
        let _lock = lock(home)?;
        recover(home)?;
        let name_home = |flaw| CaError::Home {
            home: home.to_owned(),
            flaw,
        };
        if !already_there(home).map_err(|error| error.into_ca_error(name_home))? {
            create(home, constraints, &[], now)?;
        }
        open(home, now).map_err(|error| error.into_ca_error(name_home))
    }

    /// Reads the authority in `home` and changes nothing there; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As for [`CertificateAuthority::open_or_create`].
    pub fn inspect(home: &Path, now: SystemTime) -> Result<Option<Self>, CaError> {
        let now = date(now)?;
        let read = || {
            Ok(if already_there(home)? {
                Some(load(home, now)?)
            } else {
                None
            })
        };
        read().map_err(|error: FlawOr| {
            error.into_ca_error(|flaw| CaError::Home {
                home: home.to_owned(),
                flaw,
            })
        })
    }

    /// Makes a new authority in `home`, whatever is there, and forgets the key of the old one. With `keep_previous`,
    /// clients are still told to trust the old root as long as it lasts, so that a gate that runs on can finish.
    ///
    /// # Errors
    ///
    /// When the files cannot be written. The old authority is then still in force.
    pub fn rotate(
        home: &Path,
        constraints: &[String],
        keep_previous: bool,
        now: SystemTime,
    ) -> Result<Self, CaError> {
        private_file::prepare_home(home)?;
        let now = date(now)?;
        let _lock = lock(home)?;
        recover(home)?;
        let mut previous = published_roots(home);
        previous.retain(|root| keep_previous && is_previous(root, now));
        previous.truncate(1);
        create(home, constraints, &previous, now)?;
        open(home, now).map_err(|error| {
            error.into_ca_error(|flaw| CaError::Home {
                home: home.to_owned(),
                flaw,
            })
        })
    }

    /// Puts what clients must trust into `ca.pem`. For an authority the operator brought; one in the home directory
    /// has done so when it was opened.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn publish(&self, home: &Path) -> Result<(), FileError> {
        private_file::prepare_home(home)?;
        write_if_different(&home.join(CA_PEM), self.trusted_pem().as_bytes()).map(|_| ())
    }
}

/// Whether a certificate is the root of a home directory's authority, this one or another.
pub(crate) fn is_own_kind_of_root(der: &[u8]) -> bool {
    // A platform has many roots, and nearly none is ours.
    if memchr::memmem::find(der, COMMON_NAME.as_bytes()).is_none() {
        return false;
    }
    let Some(certificate) = certificates::parse(der) else {
        return false;
    };
    let mut names = certificate.subject().iter_common_name();
    names.any(|name| {
        name.as_str()
            .is_ok_and(|name| name.starts_with(COMMON_NAME))
    })
}

/// Whether clients may be told to trust this root, too: it is one of ours, and its time is not over.
fn is_previous(root: &CertificateDer<'_>, now: OffsetDateTime) -> bool {
    let lasts = |certificate: X509Certificate<'_>| {
        certificate.validity().not_after.timestamp() > now.unix_timestamp()
    };
    is_own_kind_of_root(root) && certificates::parse(root).is_some_and(lasts)
}

fn lock(home: &Path) -> Result<File, FileError> {
    let path = home.join(LOCK);
    let open_and_lock = || {
        private_file::own_file()
            .open(&path)
            .and_then(|file| file.lock().map(|()| file))
    };
    open_and_lock().map_err(|source| FileError::new("lock", &path, source))
}

/// Finishes, or forgets, what a crash interrupted.
fn recover(home: &Path) -> Result<(), FileError> {
    let staged = home.join(STAGED);
    if exists(&staged)? {
        fs::remove_dir_all(&staged).map_err(|source| FileError::new("remove", &staged, source))?;
    }
    let committed = home.join(COMMITTED);
    if exists(&committed)? {
        move_into_place(&committed, home)
            .map_err(|source| FileError::new("move files out of", &committed, source))?;
    }
    Ok(())
}

fn move_into_place(committed: &Path, home: &Path) -> std::io::Result<()> {
    for name in [CA_PEM, ISSUER_PEM, CA_KEY_PEM] {
        let from = committed.join(name);
        if from.try_exists()? {
            fs::rename(from, home.join(name))?;
        }
    }
    private_file::sync_dir(home)?;
    fs::remove_dir(committed)?;
    private_file::sync_dir(home)
}

/// Whether there is an authority to open. Half of one is neither yes nor no.
fn already_there(home: &Path) -> Result<bool, FlawOr> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in [ISSUER_PEM, CA_KEY_PEM] {
        if exists(&home.join(name)).map_err(CaError::from)? {
            found.push(name);
        } else {
            missing.push(name);
        }
    }
    // A root of ours without the rest: clients may trust it, so it is not ours to replace unasked. Any other content
    // was published for an operator's authority.
    if found.is_empty()
        && published_roots(home)
            .iter()
            .any(|root| is_own_kind_of_root(root))
    {
        found.push(CA_PEM);
    }
    match (found.is_empty(), missing.is_empty()) {
        (true, _) => Ok(false),
        (_, true) => Ok(true),
        _ => Err(Flaw::Incomplete {
            found: found.join(" and "),
            missing: missing.join(" and "),
        }
        .into()),
    }
}

fn exists(path: &Path) -> Result<bool, FileError> {
    path.try_exists()
        .map_err(|source| FileError::new("look for", path, source))
}

fn published_roots(home: &Path) -> Vec<CertificateDer<'static>> {
    certificates::read_chain(&home.join(CA_PEM)).unwrap_or_default()
}

fn open(home: &Path, now: OffsetDateTime) -> Result<CertificateAuthority, FlawOr> {
    let authority = load(home, now)?;
    authority.publish(home).map_err(CaError::from)?;
    Ok(authority)
}

fn load(home: &Path, now: OffsetDateTime) -> Result<CertificateAuthority, FlawOr> {
    let chain = certificates::read_chain(&home.join(ISSUER_PEM)).map_err(CaError::from)?;
    let key_path = home.join(CA_KEY_PEM);
    let key = certificates::read_key(&key_path).map_err(CaError::from)?;
    let [_issuer, root] = chain.as_slice() else {
        return Err(Flaw::Chain { count: chain.len() }.into());
    };
    let mut published = published_roots(home);
    if !published.contains(root) && published.iter().any(|other| is_own_kind_of_root(other)) {
        return Err(Flaw::OtherRoot.into());
    }
    let root = root.clone();
    let authority = CertificateAuthority::new(chain, &key, &key_path, Some(home))?;
    authority.check_time(now)?;
    verify_own_leaf(&authority, &root, now)?;
    published.retain(|other| *other != root && is_previous(other, now));
    published.truncate(1);
    Ok(authority.with_previous(published))
}

/// Asks a verifier that is not ours whether clients will accept what this authority signs.
fn verify_own_leaf(
    authority: &CertificateAuthority,
    root: &CertificateDer<'static>,
    now: OffsetDateTime,
) -> Result<(), FlawOr> {
    let leaf = authority.mint_unchecked(&[LeafName::Dns("localhost".to_owned())], now)?;
    let verify = || -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(
            roots.into(),
            certificates::crypto_provider(),
        )
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
        let [end_entity, intermediates @ ..] = leaf.certified_key.cert.as_slice() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let localhost = ServerName::try_from("localhost")
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(StdDuration::from_secs(seconds));
        verifier
            .verify_server_cert(end_entity, intermediates, &localhost, &[], now)
            .map(|_| ())
    };
    verify().map_err(|reason| Flaw::Refused { reason }.into())
}

fn create(
    home: &Path,
    constraints: &[String],
    previous: &[CertificateDer<'_>],
    now: OffsetDateTime,
) -> Result<(), CaError> {
    let made = make(&permitted_domains(constraints)?, now)?;
    let staged = home.join(STAGED);
    private_file::create_private_dir(&staged, false)
        .map_err(|source| FileError::new("create directory", &staged, source))?;
    let mut trusted = made.root.clone();
    trusted.extend(previous.iter().map(|root| certificate_pem(root)));
    write_private(&staged.join(CA_PEM), trusted.as_bytes())?;
    write_private(
        &staged.join(ISSUER_PEM),
        format!("{}{}", made.issuer, made.root).as_bytes(),
    )?;
    write_private(&staged.join(CA_KEY_PEM), made.issuer_key.as_bytes())?;

    let committed = home.join(COMMITTED);
    fs::rename(&staged, &committed)
        .and_then(|()| private_file::sync_dir(home))
        .and_then(|()| move_into_place(&committed, home))
        .map_err(|source| FileError::new("move files into", home, source))?;
    tracing::info!(ca = %home.join(CA_PEM).display(), "made a certificate authority");
    Ok(())
}

/// `localhost` and what was asked for, each once, addresses left out: constraints on addresses make BoringSSL refuse
/// the chain.
fn permitted_domains(constraints: &[String]) -> Result<Vec<String>, CaError> {
    let mut domains = vec!["localhost".to_owned()];
    for constraint in constraints {
        if matches!(LeafName::parse(constraint), Some(LeafName::Address(_))) {
            continue;
        }
        let domain = domain_of_pattern(constraint).ok_or_else(|| CaError::Name {
            name: constraint.clone(),
        })?;
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    Ok(domains)
}

/// PEM, all of it.
struct Made {
    root: String,
    issuer: String,
    issuer_key: Zeroizing<String>,
}

fn make(domains: &[String], now: OffsetDateTime) -> Result<Made, IssuanceError> {
    let provider = certificates::crypto_provider();
    // So that two homes on one machine have roots one can tell apart.
    let mut tag = [0; 4];
    provider.secure_random.fill(&mut tag)?;
    let common_name = format!("{COMMON_NAME} {}", certificates::hex(&tag));

    let mut params = CertificateParams::default();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + LIFE;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: domains
            .iter()
            .cloned()
            .map(GeneralSubtree::DnsName)
            .collect(),
        excluded_subtrees: Vec::new(),
    });

    let mut root_params = params.clone();
    root_params.distinguished_name = distinguished_name(&common_name);
    root_params.serial_number = Some(serial_number(&provider)?);
    root_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    let root_key = KeyPair::generate()?;
    let root = root_params.self_signed(&root_key)?;

    let mut issuer_params = params;
    issuer_params.distinguished_name = distinguished_name(&format!("{common_name} issuer"));
    issuer_params.serial_number = Some(serial_number(&provider)?);
    issuer_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    issuer_params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issuer_params.use_authority_key_identifier_extension = true;
    let issuer_key = KeyPair::generate()?;
    let issuer =
        issuer_params.signed_by(&issuer_key, &Issuer::from_params(&root_params, &root_key))?;

    // The root's key ends here: nobody, we included, can ever make a second issuer.
    drop(root_key);
    Ok(Made {
        root: certificate_pem(root.der()),
        issuer: certificate_pem(issuer.der()),
        issuer_key: issuer_key.serialize_pem().into(),
    })
}

/// The files to delete to start anew, for messages and for the command that rotates.
#[must_use]
pub fn authority_files(home: &Path) -> Vec<PathBuf> {
    [CA_PEM, ISSUER_PEM, CA_KEY_PEM, super::trust::BUNDLE_PEM]
        .iter()
        .map(|name| home.join(name))
        .collect()
}
