//! The walk of a request: sniff, read head, route, check out, relay, settle, record.
//!
//! - `accept`: the client port; `load`: how many connections there are; `overload`: those beyond.
//! - `connection`: one client connection; `layer`: what opens inside it.
//! - `access`: who a request is from, and what they may do; `authentication`: whether a password is right, `throttle`: how
//!   often it may be wrong; `challenge`: how they are asked.
//! - `route`: pure; where a request goes, and the `plan` of that.
//! - `admission`: whether budgets let it pass, after a `peek` at its body.
//! - `exchange`: one request and its response.
//! - `relay`: the two directions of it, `pieces` by piece; `drain`: what becomes of an answer whose client is gone.
//! - `cutting`: a stream that a budget ends.
//! - `meter`: what is learned on the way, and the record; `caller`: who it says it was; `capture`: what is kept of bodies.
//! - `diagnosis`: why AWS refused the credentials.
//! - `settle`: what nobody told, and what it cost; `redact`: what must not be kept; `recording`: how many are at it.
//! - `tunnel`: what is never opened; `traffic`: what can be seen of it all the same.
//! - `reply`, `explain`, `landing`: what we answer ourselves.
//! - `closing`: how a client's connection ends.

pub mod accept;
mod access;
mod admission;
mod asked;
pub mod authentication;
pub mod caller;
pub mod capture;
mod challenge;
mod closing;
pub mod connection;
mod cutting;
mod diagnosis;
pub mod drain;
pub mod exchange;
mod explain;
mod landing;
mod layer;
pub mod load;
pub mod meter;
mod overload;
mod peek;
mod pieces;
mod plan;
pub mod recording;
mod redact;
pub mod relay;
pub mod reply;
pub mod route;
pub mod settle;
mod throttle;
mod traffic;
pub mod tunnel;

#[cfg(test)]
mod route_tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use self::authentication::Authentication;
use self::caller::Sessions;
use self::capture::CaptureRoom;
use self::load::{Figures, Load};
use self::recording::Recordings;
use self::settle::Settled;
use crate::config::{Policy, Settings};
use crate::ledger::writer::Ledger;
use crate::metrics::Metrics;
use crate::net::pool::UpstreamPool;
use crate::net::tls_server::ServerConfigs;
use crate::spend::budget::Budgets;
use crate::telemetry;

/// What every connection uses; built once by `app`.
pub struct Services {
    /// The checked configuration, as it was at the start.
    pub settings: Settings,
    /// The part of it that may change: what `settings` says at the start, what the file says since.
    pub policy: Arc<ArcSwap<Policy>>,
    /// What may still be consumed, under the rules of the policy.
    pub budgets: Arc<Budgets>,
    /// TLS towards clients: on the port itself and inside tunnels.
    pub tls: ServerConfigs,
    /// Warm upstream connections.
    pub pool: UpstreamPool,
    /// Where records are kept.
    pub ledger: Ledger,
    /// Room for what is kept of bodies until the ledger has it.
    pub captures: Arc<CaptureRoom>,
    /// What is counted for whoever watches the gate.
    pub metrics: Arc<Metrics>,
    /// Whose session credentials are whose.
    pub sessions: Sessions,
    /// Which passwords of proxy users were right, and which wrong.
    pub authentication: Authentication,
    /// Answers that may be read on for clients that are gone.
    pub drains: Arc<Semaphore>,
    /// Records that are being made.
    pub recordings: Recordings,
    /// How many connections there are.
    pub load: Arc<Load>,
    /// How far the gate's stop has come.
    pub phase: watch::Receiver<Phase>,
}

/// How far the gate's stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not begun.
    Serving,
    /// No new requests; running ones may finish.
    Draining,
    /// Nothing may go on.
    Cut,
}

impl Services {
    /// Keeps a settled exchange: ledger first, then its line. Returns when it is committed. Ledger row, line and metrics
    /// are of the one record.
    pub async fn record(&self, settled: Option<Box<Settled>>) {
        let Some(mut settled) = settled else {
            return;
        };
        let _recording = self.recordings.begin();
        if let Some(session) = settled.session.take() {
            self.sessions.learn(session);
        }
        if let Some((date, at)) = settled.told {
            self.ledger.vouch(date, at);
        }
        let admission = settled.admission.take();
        settled.finish(&self.settings, &self.policy()).await;
        // Whoever sees the row sees what it has spent.
        admission::settle(&self.budgets, admission, &settled.record);
        // Written when it is dropped: after the commit, and also if the wait for it is given up.
        let _line = telemetry::exchange_line(&settled.record, self.settings.log_format);
        self.metrics.observe(&settled.record);
        let handed_over = Instant::now();
        let _share = settled.share;
        let commit = self.ledger.commit(settled.record, settled.payload);
        commit.await;
        self.metrics.committed(handed_over.elapsed());
    }

    /// From now on requests are admitted under `policy`; those that run go on under theirs.
    pub fn adopt(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// What a request that begins now is admitted under.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// What there is of everything that is bounded.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let count = |length| u64::try_from(length).unwrap_or(u64::MAX);
        Figures {
            idle_upstreams: count(self.pool.idle()),
            certificates: count(self.tls.kept()),
            mints: self.tls.mints(),
            ..self.load.figures()
        }
    }

    /// Whether the gate takes no new requests.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Resolves when the gate has taken no new requests for `grace`, or when nothing may go on.
    pub async fn draining_for(&self, grace: Duration) {
        self.draining().await;
        tokio::select! {
            () = tokio::time::sleep(grace) => {}
            () = self.cut() => {}
        }
    }

    /// Resolves when the gate takes no new requests.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Resolves when nothing may go on.
    pub async fn cut(&self) {
        self.reached(Phase::Cut).await;
    }

    async fn reached(&self, wanted: Phase) {
        let mut phase = self.phase.clone();
        if phase.wait_for(|phase| *phase >= wanted).await.is_err() {
            // Nobody is left who could ask for it.
            std::future::pending::<()>().await;
        }
    }
}
