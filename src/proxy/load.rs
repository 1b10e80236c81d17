//! How many connections are served, and whether one more may be; with the figures of everything here that is bounded.
//!
//! A connection is counted once when it is accepted and once when it has ended; requests cost nothing here. What becomes
//! of one too many is left to `overload`, what the limits are to `config::limits`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Capacity;
use crate::telemetry::Seldom;

/// The connections of a gate.
pub struct Load {
    capacity: Capacity,
    open: Mutex<Open>,
    /// Room for answers to connections that are not served.
    answers: Arc<Semaphore>,
    /// Room for the handshakes that such answers need.
    handshakes: Arc<Semaphore>,
    accepted: AtomicU64,
    refused: AtomicU64,
    refused_clients: AtomicU64,
    unanswered: AtomicU64,
    failures: AtomicU64,
    refusals_to_tell: Seldom,
    failures_to_tell: Seldom,
}

#[derive(Default)]
struct Open {
    all: u32,
    by_client: HashMap<IpAddr, u32>,
}

/// A connection that is being served, for as long as this is not dropped.
pub struct Admitted {
    load: Arc<Load>,
    client: IpAddr,
}

/// Why a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// There are as many as there may be.
    All(u32),
    /// There are as many as there may be of one client.
    Client(u32),
}

/// What is going on in a gate, and what has been since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Client connections that are open and served.
    pub connections: u64,
    /// Most of them that there may be.
    pub max_connections: u64,
    /// Connections that were let in since the start.
    pub accepted: u64,
    /// Connections that were not served since the start, because there were too many in all.
    pub refused: u64,
    /// The same, because there were too many of one client.
    pub refused_clients: u64,
    /// Those of both that were closed without an answer, because there were too many even to be answered.
    pub unanswered: u64,
    /// How often accepting failed, most often for want of a descriptor.
    pub accept_failures: u64,
    /// Idle upstream connections.
    pub idle_upstreams: u64,
    /// Minted certificates that are kept.
    pub certificates: u64,
    /// Certificates that were minted since the start.
    pub mints: u64,
}

/// Most connections that are being told at the same time that they are not served; further ones are closed without a
/// word. They are part of the descriptors that `config::limits` reserves.
const ANSWERS: usize = 64;
/// Most TLS handshakes at the same time for that; a handshake costs a hundred times as much as a refusal.
const HANDSHAKES: usize = 4;

impl Load {
    /// Nothing yet.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            open: Mutex::default(),
            answers: Arc::new(Semaphore::new(ANSWERS)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_clients: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refusals_to_tell: Seldom::default(),
            failures_to_tell: Seldom::default(),
        }
    }

    /// What there may be.
    #[must_use]
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// One more connection, from `client`.
    ///
    /// # Errors
    /// [`Excess`] when that is one too many.
    pub fn admit(self: &Arc<Self>, client: IpAddr) -> Result<Admitted, Excess> {
        let client = counted_as(client);
        let mut open = self.lock();
        if open.all >= self.capacity.connections {
            return Err(Excess::All(self.capacity.connections));
        }
        let of_client = open.by_client.entry(client).or_default();
        if *of_client >= self.capacity.per_client {
            return Err(Excess::Client(self.capacity.per_client));
        }
        *of_client += 1;
        open.all += 1;
        drop(open);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(Admitted {
            load: Arc::clone(self),
            client,
        })
    }

    /// A connection is not served. Room to say so, if there is any.
    #[must_use]
    pub(super) fn refuse(&self, excess: Excess) -> Option<OwnedSemaphorePermit> {
        let counter = match excess {
            Excess::All(_) => &self.refused,
            Excess::Client(_) => &self.refused_clients,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = self.refusals_to_tell.note(Instant::now()) {
            self.tell_refusals(count);
        }
        let room = Arc::clone(&self.answers).try_acquire_owned().ok();
        if room.is_none() {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        room
    }

    /// Room for a handshake with a client that is not served.
    #[must_use]
    pub(super) fn handshake(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handshakes).try_acquire_owned().ok()
    }

    /// A connection could not be accepted and waits, most often for a descriptor.
    pub(super) fn note_failure(&self, error: &std::io::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(count) = self.failures_to_tell.note(Instant::now()) {
            tracing::warn!(
                %error,
                count,
                open = self.lock().all,
                "connections wait to be accepted; if descriptors are short, raise their limit or lower --max-connections"
            );
        }
    }

    /// Tells what was not told at once, when it is time.
    pub fn tell_rest(&self, now: Instant) {
        if let Some(count) = self.refusals_to_tell.rest(now) {
            self.tell_refusals(count);
        }
        if let Some(count) = self.failures_to_tell.rest(now) {
            tracing::warn!(count, "connections waited to be accepted");
        }
    }

    fn tell_refusals(&self, count: u64) {
        let Capacity {
            connections,
            per_client,
            ..
        } = self.capacity;
        tracing::warn!(
            count,
            open = self.lock().all,
            max_connections = connections,
            max_connections_per_client = per_client,
            "connections were refused with 503: there are as many as there may be"
        );
    }

    /// What is known here.
    #[must_use]
    pub(super) fn figures(&self) -> Figures {
        let told = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            connections: self.lock().all.into(),
            max_connections: self.capacity.connections.into(),
            accepted: told(&self.accepted),
            refused: told(&self.refused),
            refused_clients: told(&self.refused_clients),
            unanswered: told(&self.unanswered),
            accept_failures: told(&self.failures),
            ..Figures::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.load.lock();
        open.all = open.all.saturating_sub(1);
        if let Some(of_client) = open.by_client.get_mut(&self.client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// The client that an address stands for: whoever has one address of IPv6 has all of its /64 (RFC 4291 §2.5.4).
pub(super) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn load(connections: u32, per_client: u32) -> Arc<Load> {
        let limits = Limits {
            connections: Some(connections),
            connections_per_client: Some(per_client),
            ..Limits::default()
        };
        let any = "0.0.0.0".parse().unwrap();
        Arc::new(Load::new(limits.capacity(any, None)))
    }

    #[test]
    fn what_has_ended_makes_room_for_what_comes() {
        let load = load(3, 2);
        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap());
        let first = load.admit(a).ok().unwrap();
        let second = load.admit(a).ok().unwrap();
        assert_eq!(load.admit(a).err(), Some(Excess::Client(2)));
        let third = load.admit(b).ok().unwrap();
        assert_eq!(load.admit(c).err(), Some(Excess::All(3)));
        assert_eq!(load.figures().connections, 3);
        drop(first);
        let fourth = load.admit(a).ok().unwrap();
        drop((second, third, fourth));
        assert_eq!(load.figures().connections, 0);
        assert_eq!(load.figures().accepted, 4);
        assert!(load.lock().by_client.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_of_ipv6_and_a_mapped_address_are_one_client() {
        let rows = [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::1", "::1", true),
        ];
        for (one, other, same) in rows {
            let [one, other] = [one, other].map(|text| counted_as(text.parse().unwrap()));
            assert_eq!(one == other, same, "{one} and {other}");
        }
    }

    #[test]
    fn refusals_are_counted_by_their_reason_and_answered_in_bounded_number() {
        let load = load(1, 1);
        let rooms: Vec<_> = (0..ANSWERS)
            .map(|_| load.refuse(Excess::All(1)).unwrap())
            .collect();
        assert!(load.refuse(Excess::Client(1)).is_none());
        let figures = load.figures();
        assert_eq!(
            (figures.refused, figures.refused_clients, figures.unanswered),
            (64, 1, 1)
        );
        drop(rooms);
        assert!(load.refuse(Excess::All(1)).is_some());
    }
}
