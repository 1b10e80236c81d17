//! The certificates we show, kept while they last.
//!
//! For a host: the operator's own certificate if the configuration names one, else a minted leaf. For the listener: the
//! `--tls-cert` pair, else a leaf for the loopback names. Leaves are minted once however many clients ask at the same
//! time, kept in bounded number, and minted anew when two thirds of their life are over. Whoever can reach us can ask for
//! a new name again and again (any VPC endpoint has one), so minting is done by threads that serve nobody, a few at a time.
//! Deciding *which* hosts are opened is left to the callers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use tokio::sync::{OnceCell, Semaphore};

use super::ca::{CaError, CertificateAuthority, IssuanceError, Leaf, LeafName};
use crate::config::Limits;

/// Certificates by host.
#[derive(Debug)]
pub struct CertificateStore {
    authority: Arc<CertificateAuthority>,
    listener: Option<Arc<CertifiedKey>>,
    per_host: HashMap<LeafName, Arc<CertifiedKey>>,
    minted: Mutex<Minted>,
    /// Room for minting, first come, first served.
    room: Arc<Semaphore>,
    mints: Arc<AtomicU64>,
    max_leaves: usize,
}

/// Keyed by the names a leaf is for.
#[derive(Debug, Default)]
struct Minted {
    leaves: HashMap<Vec<LeafName>, Kept>,
    /// What is being minted, for as long as somebody waits for it.
    under_way: HashMap<Vec<LeafName>, Cell>,
    /// Counts requests, to know which leaf was asked for least recently.
    clock: u64,
}

type Cell = Arc<OnceCell<Arc<CertifiedKey>>>;

#[derive(Debug)]
struct Kept {
    leaf: Leaf,
    last_use: u64,
}

/// One who waits for a leaf.
struct Waiting<'a> {
    store: &'a CertificateStore,
    names: Vec<LeafName>,
    /// `None` once it waits no longer.
    cell: Option<Cell>,
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
        limits: &Limits,
    ) -> Result<Self, CaError> {
        let per_host = per_host
            .into_iter()
            .map(|(host, certified_key)| Ok((leaf_name(&host)?, Arc::new(certified_key))))
            .collect::<Result<_, CaError>>()?;
        Ok(Self {
            authority: Arc::new(authority),
            listener: listener.map(Arc::new),
            per_host,
            minted: Mutex::default(),
            room: Arc::new(Semaphore::new(limits.mints)),
            mints: Arc::default(),
            max_leaves: limits.certificates,
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
    pub async fn for_host(
        &self,
        host: &str,
        now: SystemTime,
    ) -> Result<Arc<CertifiedKey>, CaError> {
        let name = leaf_name(host)?;
        if let Some(certified_key) = self.per_host.get(&name) {
            return Ok(Arc::clone(certified_key));
        }
        self.minted(vec![name], now).await
    }

    /// The certificate of the listener itself: the operator's, else one for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    ///
    /// When the authority permits none of these names, or its time is over.
    pub async fn for_listener(&self, now: SystemTime) -> Result<Arc<CertifiedKey>, CaError> {
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
        self.minted(names, now).await
    }

    /// How many leaves are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.lock().leaves.len()
    }

    /// How many were minted since the start.
    #[must_use]
    pub fn mints(&self) -> u64 {
        self.mints.load(Ordering::Relaxed)
    }

    async fn minted(
        &self,
        names: Vec<LeafName>,
        now: SystemTime,
    ) -> Result<Arc<CertifiedKey>, CaError> {
        if let Some(certified_key) = self.lock().known(&names, now) {
            return Ok(certified_key);
        }
        // Nobody waits for what will be refused.
        self.authority.check(&names, now)?;
        let waiting = Waiting::begin(self, names);
        let Some(cell) = &waiting.cell else {
            return Err(interrupted());
        };
        // One of those who wait mints; if it goes away before its turn, the next one does.
        let mint = || self.mint(&waiting.names, now);
        cell.get_or_try_init(mint).await.map(Arc::clone)
    }

    async fn mint(
        &self,
        names: &[LeafName],
        now: SystemTime,
    ) -> Result<Arc<CertifiedKey>, CaError> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        // Somebody else may have been here since it was looked for.
        if let Some(certified_key) = self.lock().known(names, now) {
            return Ok(certified_key);
        }
        let (authority, mints) = (Arc::clone(&self.authority), Arc::clone(&self.mints));
        let wanted = names.to_vec();
        let minting = tokio::task::spawn_blocking(move || {
            let leaf = authority.mint(&wanted, now);
            mints.fetch_add(1, Ordering::Relaxed);
            drop(room);
            leaf
        });
        let leaf = minting.await.map_err(|_| interrupted())??;
        let certified_key = Arc::clone(&leaf.certified_key);
        self.lock().keep(names, leaf, self.max_leaves);
        Ok(certified_key)
    }

    /// Nothing in here leaves the maps half-changed, so a poisoned lock is as good as a clean one.
    fn lock(&self) -> MutexGuard<'_, Minted> {
        self.minted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate ends while somebody waits.
fn interrupted() -> CaError {
    IssuanceError::Interrupted.into()
}

impl<'a> Waiting<'a> {
    fn begin(store: &'a CertificateStore, names: Vec<LeafName>) -> Self {
        let cell = Arc::clone(store.lock().under_way.entry(names.clone()).or_default());
        Self {
            store,
            names,
            cell: Some(cell),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut minted = self.store.lock();
        // Ours goes under the lock, or two who leave together would each count the other.
        let cell = self.cell.take();
        let others = cell.map_or(0, |cell| Arc::strong_count(&cell).saturating_sub(2));
        if others == 0 {
            minted.under_way.remove(&self.names);
        }
    }
}

impl Minted {
    /// The leaf for `names`, if there is one that will do.
    fn known(&mut self, names: &[LeafName], now: SystemTime) -> Option<Arc<CertifiedKey>> {
        self.clock += 1;
        let kept = self.leaves.get_mut(names)?;
        if kept.leaf.is_due(now) {
            return None;
        }
        kept.last_use = self.clock;
        Some(Arc::clone(&kept.leaf.certified_key))
    }

    fn keep(&mut self, names: &[LeafName], leaf: Leaf, most: usize) {
        if self.leaves.len() >= most
            && !self.leaves.contains_key(names)
            && let Some(oldest) = self
                .leaves
                .iter()
                .min_by_key(|(_, kept)| kept.last_use)
                .map(|(names, _)| names.clone())
        {
            self.leaves.remove(&oldest);
        }
        let last_use = self.clock;
        self.leaves.insert(names.to_vec(), Kept { leaf, last_use });
    }
}

fn leaf_name(host: &str) -> Result<LeafName, CaError> {
    LeafName::parse(host).ok_or_else(|| CaError::Name {
        name: host.to_owned(),
    })
}

#[cfg(test)]
#[path = "certificate_store_tests.rs"]
mod tests;
