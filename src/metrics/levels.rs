//! What other rooms know, as it is at the time of a scrape.
//!
//! Those rooms count for their own sake or for nobody's, and know nothing of metrics; `app` reads them all when somebody
//! asks.

use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::{Row, budgets, register, rows};
use crate::spend::budget::Total;

/// Numbers that are read when they are asked for. All counts are since the start of the gate.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// The gate was told to stop.
    pub is_draining: bool,
    /// Connections of clients that are open, and as many as may be.
    pub connections: (u64, u64),
    /// Connections that were served.
    pub connections_accepted: u64,
    /// Connections that were not, for the limit of all and for that of one client.
    pub connections_refused: (u64, u64),
    /// Times that accepting failed.
    pub accept_failures: u64,
    /// Certificates made for clients.
    pub certificates_minted: u64,
    /// Those of them that are kept.
    pub certificates_kept: u64,
    /// The first end of a certificate that clients need, in seconds since 1970.
    pub certificates_end: Option<i64>,
    /// Upstream connections kept warm.
    pub upstream_idle: usize,
    /// Upstream connections opened.
    pub upstream_dialled: u64,
    /// Times that a warm one was found.
    pub upstream_reused: u64,
    /// Upstream connections that could not be opened.
    pub upstream_failures: u64,
    /// The ledger cannot be written.
    pub ledger_is_failing: bool,
    /// Places of its queue that are taken, and all of them.
    pub ledger_places: (usize, usize),
    /// Transactions committed.
    pub ledger_transactions: u64,
    /// Records lost.
    pub lost_records: u64,
    /// Payloads lost.
    pub lost_payloads: u64,
    /// Lines of exchanges lost.
    pub lost_exchange_lines: u64,
    /// Lines of diagnostics lost.
    pub lost_diagnostic_lines: u64,
    /// What is spent of each budget.
    pub budgets: Vec<Total>,
}

impl Levels {
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let to = &mut registry;
        let (open, limit) = self.connections;
        gauge(to, rows::CONNECTIONS_OPEN, whole(open));
        gauge(to, rows::CONNECTIONS_LIMIT, whole(limit));
        counter(to, rows::CONNECTIONS, self.connections_accepted);
        let (all, client) = self.connections_refused;
        let refused = by("limit", [("all", all), ("client", client)]);
        register(to, rows::CONNECTIONS_REFUSED, refused);
        counter(to, rows::ACCEPT_FAILURES, self.accept_failures);
        counter(to, rows::MINTED, self.certificates_minted);
        gauge(to, rows::CERTIFICATES_KEPT, whole(self.certificates_kept));
        if let Some(end) = self.certificates_end {
            gauge(to, rows::CERTIFICATES_END, end);
        }
        gauge(to, rows::UPSTREAM_IDLE, whole(self.upstream_idle));
        counter(to, rows::UPSTREAM_DIALLED, self.upstream_dialled);
        counter(to, rows::UPSTREAM_REUSED, self.upstream_reused);
        counter(to, rows::UPSTREAM_FAILURES, self.upstream_failures);
        gauge(to, rows::LEDGER_FAILING, i64::from(self.ledger_is_failing));
        let (taken, all) = self.ledger_places;
        gauge(to, rows::LEDGER_QUEUE, whole(taken));
        gauge(to, rows::LEDGER_QUEUE_LIMIT, whole(all));
        counter(to, rows::TRANSACTIONS, self.ledger_transactions);
        counter(to, rows::LOST_RECORDS, self.lost_records);
        counter(to, rows::LOST_PAYLOADS, self.lost_payloads);
        budgets::register_to(to, &self.budgets);
        let lost = [
            ("exchanges", self.lost_exchange_lines),
            ("diagnostics", self.lost_diagnostic_lines),
        ];
        register(to, rows::LOST_LINES, by("output", lost));
        gauge(to, rows::DRAINING, i64::from(self.is_draining));
        register(to, rows::BUILD, build());
        #[cfg(target_os = "linux")]
        super::process::register_to(to);
        registry
    }
}

/// A counter for each value of one label.
fn by(
    label: &'static str,
    counts: [(&'static str, u64); 2],
) -> Family<[(&'static str, &'static str); 1], Counter> {
    let counters = Family::default();
    for (value, count) in counts {
        let counter: Counter = counters.get_or_create_owned(&[(label, value)]);
        counter.inc_by(count);
    }
    counters
}

fn build() -> Family<[(&'static str, &'static str); 1], Gauge> {
    let build = Family::default();
    let one: Gauge = build.get_or_create_owned(&[("version", env!("CARGO_PKG_VERSION"))]);
    one.set(1);
    build
}

fn counter(to: &mut Registry, row: Row, value: u64) {
    register(to, row, ConstCounter::new(value));
}

pub(super) fn gauge(to: &mut Registry, row: Row, value: i64) {
    register(to, row, ConstGauge::new(value));
}

fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
