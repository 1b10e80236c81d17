//! The certificates we show, kept while they last.
//!
//! For a host: the operator's own certificate if the configuration names one, else a minted leaf. For the listener: the
//! `--tls-cert` pair, else a leaf for the loopback names. Leaves are minted once however many clients ask at the same
//! time, kept in bounded number, and minted anew when two thirds of their life are over. Deciding *which* hosts are
//! opened is left to the callers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::sign::CertifiedKey;

use super::ca::{CaError, CertificateAuthority, Leaf, LeafName};

/// More Bedrock endpoints than exist. What is beyond is minted again when it is asked for again.
const MAX_LEAVES: usize = 512;

/// Certificates by host.
#[derive(Debug)]
pub struct CertificateStore {
    authority: CertificateAuthority,
    listener: Option<Arc<CertifiedKey>>,
    per_host: HashMap<LeafName, Arc<CertifiedKey>>,
    minted: Mutex<Minted>,
}

/// Keyed by the names a leaf is for.
#[derive(Debug, Default)]
struct Minted {
    leaves: HashMap<Vec<LeafName>, Kept>,
    /// Counts requests, to know which leaf was asked for least recently.
    clock: u64,
}

#[derive(Debug)]
struct Kept {
    leaf: Leaf,
    last_use: u64,
}

impl CertificateStore {
    /// Takes the listener's own certificate and those for single hosts, both optional.
    ///
    /// # Errors
    ///
    /// [`CaError::Name`] when a key of `per_host` is not a host.
    pub fn new(
        authority: CertificateAuthority,
        listener: Option<CertifiedKey>,
        per_host: HashMap<String, CertifiedKey>,
    ) -> Result<Self, CaError> {
        let per_host = per_host
            .into_iter()
            .map(|(host, certified_key)| Ok((leaf_name(&host)?, Arc::new(certified_key))))
            .collect::<Result<_, CaError>>()?;
        Ok(Self {
            authority,
            listener: listener.map(Arc::new),
            per_host,
            minted: Mutex::default(),
        })
    }

    /// The authority behind the minted ones.
    #[must_use]
    pub fn authority(&self) -> &CertificateAuthority {
        &self.authority
    }

    /// Whether there is, or can be, a certificate for this host.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        LeafName::parse(host).is_some_and(|name| self.per_host.contains_key(&name))
            || self.authority.permits(host)
    }

    /// The certificate for a host the caller has decided to open.
    ///
    /// # Errors
    ///
    /// When `host` is not a host, or the authority may not sign for it.
    pub fn for_host(&self, host: &str, now: SystemTime) -> Result<Arc<CertifiedKey>, CaError> {
        let name = leaf_name(host)?;
        if let Some(certified_key) = self.per_host.get(&name) {
            return Ok(Arc::clone(certified_key));
        }
        self.minted(vec![name], now)
    }

    /// The certificate of the listener itself: the operator's, else one for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    ///
    /// When the authority permits none of these names, or its time is over.
    pub fn for_listener(&self, now: SystemTime) -> Result<Arc<CertifiedKey>, CaError> {
        if let Some(certified_key) = &self.listener {
            return Ok(Arc::clone(certified_key));
        }
        let mut names = Vec::new();
        for host in ["localhost", "127.0.0.1", "::1"] {
            if self.authority.permits(host) {
                names.push(leaf_name(host)?);
            }
        }
        if names.is_empty() {
            names.push(leaf_name("localhost")?);
        }
        self.minted(names, now)
    }

    fn minted(&self, names: Vec<LeafName>, now: SystemTime) -> Result<Arc<CertifiedKey>, CaError> {
        // Held while minting, a tenth of a millisecond, so that simultaneous first requests get one leaf. Nothing
        // in here leaves the map half-changed, so a poisoned lock is as good as a clean one.
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        minted.clock += 1;
        let clock = minted.clock;
        if let Some(kept) = minted.leaves.get_mut(&names)
            && !kept.leaf.is_due(now)
        {
            kept.last_use = clock;
            return Ok(Arc::clone(&kept.leaf.certified_key));
        }
        let leaf = self.authority.mint(&names, now)?;
        let certified_key = Arc::clone(&leaf.certified_key);
        minted.keep(
            names,
            Kept {
                leaf,
                last_use: clock,
            },
        );
        Ok(certified_key)
    }
}

impl Minted {
    fn keep(&mut self, names: Vec<LeafName>, kept: Kept) {
        if self.leaves.len() >= MAX_LEAVES
            && !self.leaves.contains_key(&names)
            && let Some(oldest) = self
                .leaves
                .iter()
                .min_by_key(|(_, kept)| kept.last_use)
                .map(|(names, _)| names.clone())
        {
            self.leaves.remove(&oldest);
        }
        self.leaves.insert(names, kept);
    }
}

fn leaf_name(host: &str) -> Result<LeafName, CaError> {
    LeafName::parse(host).ok_or_else(|| CaError::Name {
        name: host.to_owned(),
    })
}

#[cfg(test)]
impl CertificateStore {
    pub(crate) fn kept(&self) -> usize {
        self.minted.lock().unwrap().leaves.len()
    }
}
