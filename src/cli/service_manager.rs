//! What a service manager is told: that the gate is ready, that it stops, and, where it asks for that, that it is alive.
//!
//! Nothing is said where nobody listens: without NOTIFY_SOCKET all of this does nothing. sd_notify(3).

use std::net::SocketAddr;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The service manager, while the gate serves. It hears signs of life until this is dropped.
#[derive(Debug)]
pub(super) struct ServiceManager {
    alive: Option<JoinHandle<()>>,
}

impl ServiceManager {
    /// The gate serves at `address`.
    pub(super) fn ready(address: SocketAddr) -> Self {
        let status = format!("serving at {address}");
        tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        // Twice in the time after which it would start another one, as sd_watchdog_enabled(3) advises. That the runtime
        // turns is what it hears: what would be mended by a new start, and nothing else.
        let wanted = sd_notify::watchdog_enabled();
        let alive = wanted.map(|within| tokio::spawn(sign_of_life(within / 2)));
        Self { alive }
    }

    /// The gate takes no new requests. Signs of life go on: what runs may take its time.
    pub(super) fn stopping(&self) {
        let status = NotifyState::Status("draining: running calls finish, new ones are not taken");
        tell(&[NotifyState::Stopping, status]);
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        if let Some(alive) = &self.alive {
            alive.abort();
        }
    }
}

/// The configuration begins to be read anew, or has been.
pub(super) fn reloading(begins: bool) {
    if !begins {
        return tell(&[NotifyState::Ready]);
    }
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

async fn sign_of_life(every: Duration) {
    // An interval of nothing is none.
    let mut tick = interval(every.max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager cannot be told how the gate is");
    }
}
