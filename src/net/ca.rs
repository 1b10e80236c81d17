//! The certificate authority: who it may sign for, and the signing.
//!
//! Either the one in the home directory (see `ca_home`) or one the operator brings. Leaves carry exactly the names
//! asked for, live for sixty days and never longer than any certificate above them. Names outside the authority's
//! constraints are refused here, since every client would refuse them later. Keeping leaves is left to
//! `certificate_store`. RFC 5280 §4.2, §6.1.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::KeyPair;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};

use super::ca_chain::ChainFacts;
use super::ca_error::FlawOr;
pub use super::ca_error::{CaError, Flaw, Remedy};
use super::certificates::{self, CertificateError, certificate_pem};
pub use super::issuance::IssuanceError;
use super::issuance::{IssuerKey, Validity};
pub use super::name_constraints::LeafName;
use super::name_constraints::{self, NameConstraints};
use super::vouches::Vouches;

/// Long enough to outlive most runs of a process, short enough for a stolen leaf.
const LEAF_LIFE: Duration = Duration::days(60);

/// How far into the past validity starts, for clients whose clocks are behind ours.
pub(crate) const CLOCK_SKEW: Duration = Duration::hours(1);

/// A certificate, its key, and what they may sign for.
pub struct CertificateAuthority {
    signer: IssuerKey,
    /// What follows a leaf on the wire: the issuing certificate and those above it, without a self-signed root.
    intermediates: Vec<CertificateDer<'static>>,
    root: CertificateDer<'static>,
    root_pem: String,
    /// Roots of ours that were in force before this one: clients are told to trust them for a while.
    previous: Vec<CertificateDer<'static>>,
    constraints: Vec<NameConstraints>,
    validity: Validity,
    /// The home directory, unless the operator brought the authority.
    home: Option<PathBuf>,
    provider: Arc<CryptoProvider>,
    /// Leaves made since the start.
    minted: AtomicU64,
}

/// A leaf with its chain and key, ready for TLS.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Chain and key.
    pub certified_key: Arc<CertifiedKey>,
    validity: Validity,
    /// When another one should be minted; never, when that could not live longer.
    renewal: Option<OffsetDateTime>,
}

impl Leaf {
    /// Whether another leaf should take this one's place: two thirds of its life are over, or the clock was set back.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        let Ok(now) = date(now) else { return true };
        now < self.validity.not_before
            || now > self.validity.not_after
            || self.renewal.is_some_and(|renewal| now >= renewal)
    }
}

impl CertificateAuthority {
    /// The operator's own issuing certificate, with those above it in the same file, and its key.
    ///
    /// # Errors
    ///
    /// When a file cannot be used, or what is in it cannot sign leaves that clients accept.
    pub fn from_files(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, CaError> {
        let chain = certificates::read_chain(certificate)?;
        let key_der = certificates::read_key(key)?;
        Self::new(chain, &key_der, key, None)
            .and_then(|authority| authority.check_time(date(now)?).map(|()| authority))
            .map_err(|error| {
                error.into_ca_error(|flaw| CaError::Given {
                    certificate: certificate.to_owned(),
                    flaw,
                })
            })
    }

    /// Builds the authority from its chain, issuing certificate first.
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
        key_path: &Path,
        home: Option<&Path>,
    ) -> Result<Self, FlawOr> {
        let key = KeyPair::try_from(key).map_err(|error| {
            let source = rustls::Error::General(error.to_string());
            CaError::from(CertificateError::UnusableKey {
                path: key_path.to_owned(),
                source,
            })
        })?;
        let facts = ChainFacts::read(&chain)?;
        if facts.public_key != rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err(Flaw::KeyMismatch {
                key: key_path.to_owned(),
            }
            .into());
        }
        let Some(root) = chain.last().cloned() else {
            return Err(Flaw::Chain { count: 0 }.into());
        };
        let sent = chain.len() - usize::from(facts.ends_self_signed);
        Ok(Self {
            signer: IssuerKey {
                key,
                subject: facts.subject,
                key_identifier: facts.key_identifier,
            },
            intermediates: chain.into_iter().take(sent).collect(),
            root_pem: certificate_pem(&root),
            root,
            previous: Vec::new(),
            constraints: facts.constraints,
            validity: facts.validity,
            home: home.map(Path::to_owned),
            provider: certificates::crypto_provider(),
            minted: AtomicU64::new(0),
        })
    }

    /// Whether the authority may sign for this host.
    #[must_use]
    pub fn permits(&self, host: &str) -> bool {
        LeafName::parse(host).is_some_and(|name| self.check_name(&name).is_ok())
    }

    /// Checks the hosts an operator wants opened (exact names or `*.suffix`) against the authority, so that start-up
    /// can refuse what no client would accept.
    ///
    /// # Errors
    ///
    /// [`CaError::NotPermitted`] for the first one outside the constraints.
    pub fn require(&self, patterns: &[String]) -> Result<(), CaError> {
        for pattern in patterns {
            let permitted = match pattern.strip_prefix("*.") {
                Some(_) => name_constraints::domain_of_pattern(pattern).is_some_and(|domain| {
                    self.constraints
                        .iter()
                        .all(|level| level.permits_domain(&domain))
                }),
                None => self.permits(pattern),
            };
            if !permitted {
                return Err(self.not_permitted(pattern));
            }
        }
        Ok(())
    }

    /// The last moment a leaf of this authority can be valid.
    #[must_use]
    pub fn expires(&self) -> OffsetDateTime {
        self.validity.not_after
    }

    /// The root that clients must trust, PEM.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// All that `ca.pem` holds: the root, then those that were in force before it.
    #[must_use]
    pub fn trusted_pem(&self) -> String {
        let previous = self.previous.iter().map(|root| certificate_pem(root));
        std::iter::once(self.root_pem.clone())
            .chain(previous)
            .collect()
    }

    /// The roots of [`CertificateAuthority::trusted_pem`], the one in force first.
    pub fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        std::iter::once(&self.root).chain(&self.previous)
    }

    pub(crate) fn with_previous(mut self, previous: Vec<CertificateDer<'static>>) -> Self {
        self.previous = previous;
        self
    }

    /// The authority's certificates, the issuing one first, what clients must trust last.
    #[must_use]
    pub fn chain(&self) -> Vec<&CertificateDer<'static>> {
        let root = Some(&self.root).filter(|root| self.intermediates.last() != Some(root));
        self.intermediates.iter().chain(root).collect()
    }

    /// What its certificates let it sign for.
    #[must_use]
    pub fn vouches(&self) -> Vouches {
        Vouches::of(&self.constraints)
    }

    /// The root this program made itself, which upstreams must never be trusted by; `None` for the operator's.
    #[must_use]
    pub fn own_root(&self) -> Option<&CertificateDer<'static>> {
        self.home.is_some().then_some(&self.root)
    }

    /// Makes a leaf for exactly these names, with a key of its own.
    ///
    /// # Errors
    ///
    /// When a name is not permitted, or the authority's time is over.
    pub fn mint(&self, names: &[LeafName], now: SystemTime) -> Result<Leaf, CaError> {
        for name in names {
            self.check_name(name)?;
        }
        self.mint_unchecked(names, date(now)?)
    }

    /// How many leaves it has made since the start.
    #[must_use]
    pub fn minted(&self) -> u64 {
        self.minted.load(Ordering::Relaxed)
    }

    /// Signs without asking the constraints.
    pub(crate) fn mint_unchecked(
        &self,
        names: &[LeafName],
        now: OffsetDateTime,
    ) -> Result<Leaf, CaError> {
        let Validity {
            not_before,
            not_after,
        } = self.validity;
        if now < not_before || now >= not_after {
            return Err(CaError::OutOfTime {
                not_before,
                not_after,
                now,
            });
        }
        let validity = Validity {
            not_before: (now - CLOCK_SKEW).max(not_before),
            not_after: now
                .checked_add(LEAF_LIFE)
                .ok_or(CaError::Clock)?
                .min(not_after),
        };
        let key = KeyPair::generate().map_err(IssuanceError::from)?;
        let leaf = self
            .signer
            .sign_leaf(names, validity, &key, &self.provider)?;
        let signing_key = self
            .provider
            .key_provider
            .load_private_key(key.into())
            .map_err(IssuanceError::from)?;
        self.minted.fetch_add(1, Ordering::Relaxed);
        let chain = std::iter::once(leaf)
            .chain(self.intermediates.iter().cloned())
            .collect();
        Ok(Leaf {
            certified_key: Arc::new(CertifiedKey::new(chain, signing_key)),
            validity,
            renewal: (validity.not_after < not_after)
                .then(|| now + (validity.not_after - now) * 2 / 3),
        })
    }

    pub(crate) fn check_time(&self, now: OffsetDateTime) -> Result<(), FlawOr> {
        let Validity {
            not_before,
            not_after,
        } = self.validity;
        if now < not_before {
            return Err(Flaw::NotYetValid {
                at: not_before,
                now,
            }
            .into());
        }
        if now >= not_after {
            return Err(Flaw::Expired { at: not_after }.into());
        }
        Ok(())
    }

    fn check_name(&self, name: &LeafName) -> Result<(), CaError> {
        if let LeafName::Address(address) = name
            && ![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ]
            .contains(address)
        {
            return Err(CaError::Address { address: *address });
        }
        if self.constraints.iter().all(|level| level.permits(name)) {
            return Ok(());
        }
        Err(self.not_permitted(&name.to_string()))
    }

    fn not_permitted(&self, name: &str) -> CaError {
        let permitted = self
            .constraints
            .iter()
            .find_map(NameConstraints::permitted_domains);
        CaError::NotPermitted {
            name: name.to_owned(),
            permitted: permitted.map_or_else(
                || "names its constraints do not exclude".to_owned(),
                |list| list.join(", "),
            ),
            remedy: self.home.clone().map_or(Remedy::AnotherCa, Remedy::Anew),
        }
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("home", &self.home)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// The clock's time as certificates carry it, in whole seconds.
pub(crate) fn date(now: SystemTime) -> Result<OffsetDateTime, CaError> {
    let since_epoch = now.duration_since(UNIX_EPOCH).map_err(|_| CaError::Clock)?;
    let seconds = i64::try_from(since_epoch.as_secs()).map_err(|_| CaError::Clock)?;
    // A year is left for the additions that follow.
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .filter(|date| date.year() > 1970 && date.year() < 9990)
        .ok_or(CaError::Clock)
}
