//! Every metric in one table, and the numbers behind those that records feed.
//!
//! [`Metrics::observe`] is shown each usage record once, where ledger row and log line are made of it, so that the three
//! cannot disagree. Numbers that another room keeps anyway (the pool, the ledger) are handed in at the time of a scrape, as
//! [`Levels`]. Names follow the semantic conventions of OpenTelemetry for generative AI where there are such, in the
//! spelling of Prometheus; the others begin with `tollgate_`. Label values are bounded in number: models by `labels`,
//! everything else by tables of ours. How the text is asked for is left to `admin`.

mod budgets;
mod call;
mod labels;
mod levels;
mod money;
#[cfg(target_os = "linux")]
mod process;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use time::OffsetDateTime;

use self::call::Call;
use self::labels::{
    CallLabels, DurationLabels, EntryLabels, ExchangeLabels, Models, TokenLabels, error_type,
};
pub use self::levels::Levels;
use self::money::{Dollars, Picodollars};
use crate::aws::Operation;
use crate::ledger::{Outcome, UsageRecord};

/// The media type of what [`Metrics::render`] makes.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// One metric, as it is published.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, without a full stop.
    pub help: &'static str,
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Gauge,
        labels: &[],
        help,
    }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Row {
    Row {
        name,
        kind: Kind::Histogram,
        labels,
        help,
    }
}

/// What a call is told apart by: OpenTelemetry's names.
const CALL: &[&str] = &[
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
];

/// What a budget is told apart by: its name, and what it counts. Keys are no labels.
const BUDGET: &[&str] = &["counts", "rule"];

#[rustfmt::skip]
mod rows {
    use super::{BUDGET, CALL, Kind, Row, counter, gauge, histogram};

    pub(super) const EXCHANGES: Row = counter("tollgate_exchanges_total", &["entry", "operation", "outcome", "status"],
        "Exchanges, as many as there are records, by door, operation of AWS, how they ended, and class of the status");
    pub(super) const REQUEST_BYTES: Row = counter("tollgate_request_body_bytes_total", &["entry"],
        "Bytes of request bodies, and of tunnels towards the upstream");
    pub(super) const RESPONSE_BYTES: Row = counter("tollgate_response_body_bytes_total", &["entry"],
        "Bytes of response bodies, and of tunnels towards the client");
    pub(super) const TOKENS: Row = histogram("gen_ai_client_token_usage",
        &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
        "Tokens of a call, by kind; input is without cache tokens, so that the four kinds add up to the total");
    pub(super) const COST: Row = counter("tollgate_cost_usd_total", CALL,
        "What calls cost, in US dollars, as far as it is known");
    pub(super) const UNPRICED: Row = counter("tollgate_unpriced_total", CALL,
        "Calls that may have cost something, for which no price is known");
    pub(super) const ESTIMATED: Row = counter("tollgate_estimated_total", CALL,
        "Calls whose tokens were estimated or told in part, or whose cost is not the whole truth");
    pub(super) const DURATION: Row = histogram("gen_ai_client_operation_duration_seconds",
        &["error_type", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"],
        "From the arrival of a call's head to its end; error_type is empty where all went well");
    pub(super) const FIRST_TOKEN: Row = histogram("gen_ai_client_operation_time_to_first_chunk_seconds", CALL,
        "From the arrival of a call's head to the first generated token of its stream");
    pub(super) const CONNECTIONS_OPEN: Row = gauge("tollgate_connections_open",
        "Connections of clients that are open");
    pub(super) const CONNECTIONS_LIMIT: Row = gauge("tollgate_connections_limit",
        "Connections of clients that may be open");
    pub(super) const CONNECTIONS: Row = counter("tollgate_connections_accepted_total", &[],
        "Connections of clients that were accepted");
    pub(super) const CONNECTIONS_REFUSED: Row = counter("tollgate_connections_refused_total", &["limit"],
        "Connections that were not served, because there were as many as there may be in all, or of one client");
    pub(super) const ACCEPT_FAILURES: Row = counter("tollgate_accept_failures_total", &[],
        "Connections that could not be accepted, most often for want of a file descriptor");
    pub(super) const TLS_FAILURES: Row = counter("tollgate_tls_handshake_failures_total", &[],
        "TLS handshakes that clients did not finish; most often they do not trust the certificate");
    pub(super) const MINTED: Row = counter("tollgate_certificates_minted_total", &[],
        "Certificates made for clients");
    pub(super) const CERTIFICATES_KEPT: Row = gauge("tollgate_certificates_kept",
        "Certificates made for clients that are kept for the next one");
    pub(super) const CERTIFICATES_END: Row = gauge("tollgate_certificates_not_after_timestamp_seconds",
        "When the first of the certificates that clients need ends, in seconds since 1970");
    pub(super) const UPSTREAM_IDLE: Row = gauge("tollgate_upstream_connections_idle",
        "Upstream connections that are kept warm");
    pub(super) const UPSTREAM_DIALLED: Row = counter("tollgate_upstream_connections_dialled_total", &[],
        "Upstream connections that were opened, tunnels among them");
    pub(super) const UPSTREAM_REUSED: Row = counter("tollgate_upstream_connections_reused_total", &[],
        "Requests that found a warm upstream connection");
    pub(super) const UPSTREAM_FAILURES: Row = counter("tollgate_upstream_dial_failures_total", &[],
        "Upstream connections that could not be opened, or must not be");
    pub(super) const COMMIT: Row = histogram("tollgate_ledger_commit_seconds", &[],
        "How long an exchange waited for the commit of its record");
    pub(super) const LEDGER_FAILING: Row = gauge("tollgate_ledger_failing",
        "1 while the ledger cannot be written");
    pub(super) const LEDGER_QUEUE: Row = gauge("tollgate_ledger_queue_places",
        "Places of the ledger's queue that are taken: one for each record that waits, and one for every 4 KiB of text in it");
    pub(super) const LEDGER_QUEUE_LIMIT: Row = gauge("tollgate_ledger_queue_places_limit",
        "Places of the ledger's queue");
    pub(super) const TRANSACTIONS: Row = counter("tollgate_ledger_transactions_total", &[],
        "Transactions that the ledger committed");
    pub(super) const LOST_RECORDS: Row = counter("tollgate_ledger_lost_records_total", &[],
        "Records that were lost: no room for them while the ledger could not be written, or refused by it");
    pub(super) const LOST_PAYLOADS: Row = counter("tollgate_ledger_lost_payloads_total", &[],
        "Payloads that were lost, those of lost records among them");
    pub(super) const BUDGET_SPENT: Row = Row { name: "tollgate_budget_spent", kind: Kind::Gauge, labels: BUDGET,
        help: "What settled calls have spent in the present window of a budget, all of its keys together; money in US dollars" };
    pub(super) const BUDGET_RESERVED: Row = Row { name: "tollgate_budget_reserved", kind: Kind::Gauge, labels: BUDGET,
        help: "What running calls have reserved of it" };
    pub(super) const BUDGET_LIMIT: Row = Row { name: "tollgate_budget_limit", kind: Kind::Gauge, labels: BUDGET,
        help: "How much of it there is for each of its keys" };
    pub(super) const BUDGET_USED: Row = Row { name: "tollgate_budget_used_ratio", kind: Kind::Gauge, labels: BUDGET,
        help: "What the key that has taken most has spent and reserved, as a part of the limit: 1 is all of it" };
    pub(super) const BUDGET_KEYS: Row = Row { name: "tollgate_budget_keys", kind: Kind::Gauge, labels: BUDGET,
        help: "Keys of a budget for which something is spent or reserved" };
    pub(super) const BUDGET_REFUSED: Row = counter("tollgate_budget_refused_total", &["mode", "rule"],
        "Calls that a budget refused or ended, or in mode shadow would have refused");
    pub(super) const LOST_LINES: Row = counter("tollgate_log_lines_lost_total", &["output"],
        "Log lines that nobody read in time: of exchanges, and of diagnostics");
    pub(super) const DRAINING: Row = gauge("tollgate_draining",
        "1 once the gate was told to stop and takes no new requests");
    pub(super) const RELOADS: Row = counter("tollgate_config_reloads_total", &["outcome"],
        "Times that the configuration was read anew: success, or failure, which changes nothing");
    pub(super) const RELOADED: Row = gauge("tollgate_config_last_reload_success_timestamp_seconds",
        "When the configuration that is in force was read, in seconds since 1970");
    pub(super) const BUILD: Row = Row { name: "tollgate_build_info", kind: Kind::Gauge, labels: &["version"],
        help: "1, with the version that runs" };
    pub(super) const CPU: Row = counter("process_cpu_seconds_total", &[],
        "Processor time of this process, its own and the system's for it");
    pub(super) const OPEN_FDS: Row = gauge("process_open_fds", "File descriptors that are open");
    pub(super) const MAX_FDS: Row = gauge("process_max_fds", "File descriptors that may be open");
    pub(super) const RESIDENT: Row = gauge("process_resident_memory_bytes", "Memory that is resident");
    pub(super) const VIRTUAL: Row = gauge("process_virtual_memory_bytes", "Memory that is mapped");
    pub(super) const THREADS: Row = gauge("process_threads", "Threads");
    pub(super) const STARTED: Row = gauge("process_start_time_seconds", "When the gate started, in seconds since 1970");
}

/// Every metric there is, in the order in which they are documented. Most of those of the process are Linux's.
pub const TABLE: [Row; 47] = [
    rows::EXCHANGES,
    rows::REQUEST_BYTES,
    rows::RESPONSE_BYTES,
    rows::TOKENS,
    rows::COST,
    rows::UNPRICED,
    rows::ESTIMATED,
    rows::DURATION,
    rows::FIRST_TOKEN,
    rows::CONNECTIONS_OPEN,
    rows::CONNECTIONS_LIMIT,
    rows::CONNECTIONS,
    rows::CONNECTIONS_REFUSED,
    rows::ACCEPT_FAILURES,
    rows::TLS_FAILURES,
    rows::MINTED,
    rows::CERTIFICATES_KEPT,
    rows::CERTIFICATES_END,
    rows::UPSTREAM_IDLE,
    rows::UPSTREAM_DIALLED,
    rows::UPSTREAM_REUSED,
    rows::UPSTREAM_FAILURES,
    rows::COMMIT,
    rows::LEDGER_FAILING,
    rows::LEDGER_QUEUE,
    rows::LEDGER_QUEUE_LIMIT,
    rows::TRANSACTIONS,
    rows::LOST_RECORDS,
    rows::LOST_PAYLOADS,
    rows::BUDGET_SPENT,
    rows::BUDGET_RESERVED,
    rows::BUDGET_LIMIT,
    rows::BUDGET_USED,
    rows::BUDGET_KEYS,
    rows::BUDGET_REFUSED,
    rows::LOST_LINES,
    rows::DRAINING,
    rows::RELOADS,
    rows::RELOADED,
    rows::BUILD,
    rows::CPU,
    rows::OPEN_FDS,
    rows::MAX_FDS,
    rows::RESIDENT,
    rows::VIRTUAL,
    rows::THREADS,
    rows::STARTED,
];

/// Boundaries that the conventions advise for tokens.
const TOKEN_BUCKETS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Boundaries that the conventions advise for durations, in seconds, and some for answers that take up to an hour.
const DURATION_BUCKETS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    655.36, 2621.44,
];
/// Boundaries for a commit, in seconds: from what an idle disk takes to what nobody waits longer than.
const COMMIT_BUCKETS: [f64; 10] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0,
];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The numbers. One for a gate.
pub struct Metrics {
    registry: Registry,
    models: Models,
    exchanges: Family<ExchangeLabels, Counter>,
    request_bytes: Family<EntryLabels, Counter>,
    response_bytes: Family<EntryLabels, Counter>,
    tokens: Histograms<TokenLabels>,
    cost: Family<CallLabels, Counter<Dollars, Picodollars>>,
    unpriced: Family<CallLabels, Counter>,
    estimated: Family<CallLabels, Counter>,
    durations: Histograms<DurationLabels>,
    first_tokens: Histograms<CallLabels>,
    commits: Histogram,
    tls_failures: Counter,
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    reloaded: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            models: Models::default(),
            exchanges: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            tokens: Family::new_with_constructor(|| Histogram::new(TOKEN_BUCKETS)),
            cost: Family::default(),
            unpriced: Family::default(),
            estimated: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            first_tokens: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS)),
            commits: Histogram::new(COMMIT_BUCKETS),
            tls_failures: Counter::default(),
            reloads: Family::default(),
            reloaded: Gauge::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let to = &mut self.registry;
        register(to, rows::EXCHANGES, self.exchanges.clone());
        register(to, rows::REQUEST_BYTES, self.request_bytes.clone());
        register(to, rows::RESPONSE_BYTES, self.response_bytes.clone());
        register(to, rows::TOKENS, self.tokens.clone());
        register(to, rows::COST, self.cost.clone());
        register(to, rows::UNPRICED, self.unpriced.clone());
        register(to, rows::ESTIMATED, self.estimated.clone());
        register(to, rows::DURATION, self.durations.clone());
        register(to, rows::FIRST_TOKEN, self.first_tokens.clone());
        register(to, rows::COMMIT, self.commits.clone());
        register(to, rows::TLS_FAILURES, self.tls_failures.clone());
        for outcome in ["success", "failure"] {
            self.reloads
                .get_or_create(&[("outcome", outcome)])
                .inc_by(0);
        }
        register(to, rows::RELOADS, self.reloads.clone());
        register(to, rows::RELOADED, self.reloaded.clone());
        let started = OffsetDateTime::now_utc().unix_timestamp();
        self.reloaded.set(started);
        register(to, rows::STARTED, ConstGauge::new(started));
        self
    }

    /// Adds a record. Nothing is allocated for what was seen before.
    pub fn observe(&self, record: &UsageRecord) {
        let operation = record.operation.as_deref().and_then(Operation::from_name);
        self.exchanges
            .get_or_create(&ExchangeLabels::of(record, operation))
            .inc();
        let entry = EntryLabels {
            entry: record.entry.as_str(),
        };
        self.request_bytes
            .get_or_create(&entry)
            .inc_by(record.request_bytes);
        self.response_bytes
            .get_or_create(&entry)
            .inc_by(record.response_bytes);
        // What was never a call, and what we kept from being one, has nothing to do with a model.
        let is_counted = record.usage.source.is_some() || record.cost.usd.is_some();
        if is_counted || (operation.is_some() && record.outcome != Outcome::Refused) {
            self.observe_call(record, &self.models.call(record, operation));
        }
    }

    fn observe_call(&self, record: &UsageRecord, call: &Call) {
        let (usage, labels) = (&record.usage, &call.labels);
        for (kind, tokens, number) in [
            ("input", usage.input_tokens, &call.input),
            ("output", usage.output_tokens, &call.output),
            ("cache_read", usage.cache_read_tokens, &call.cache_read),
            ("cache_write", usage.cache_write_tokens, &call.cache_write),
        ] {
            if let Some(tokens) = tokens {
                let labels = || TokenLabels::of(labels, kind);
                number
                    .get_or_init(|| self.tokens.get_or_create_owned(&labels()))
                    .observe(approximate(tokens));
            }
        }
        if let Some(usd) = record.cost.usd {
            let cost = || self.cost.get_or_create_owned(labels);
            call.cost.get_or_init(cost).inc_by(Dollars(usd));
        }
        if record.is_unpriced() {
            self.unpriced.get_or_create(labels).inc();
        }
        if record.is_estimated() {
            self.estimated.get_or_create(labels).inc();
        }
        let seconds = record.duration_ms / 1e3;
        let error_type = error_type(record);
        let durations = || {
            let labels = DurationLabels::of(labels, error_type);
            self.durations.get_or_create_owned(&labels)
        };
        if error_type.is_empty() {
            call.durations.get_or_init(durations).observe(seconds);
        } else {
            durations().observe(seconds);
        }
        if let Some(first_token_ms) = record.first_token_ms {
            call.first_tokens
                .get_or_init(|| self.first_tokens.get_or_create_owned(labels))
                .observe(first_token_ms / 1e3);
        }
    }

    /// An exchange has waited so long for the commit of its record.
    pub fn committed(&self, waited: Duration) {
        self.commits.observe(waited.as_secs_f64());
    }

    /// A client did not finish its TLS handshake.
    pub fn tls_failed(&self) {
        self.tls_failures.inc();
    }

    /// The configuration was read anew, and is in force if it could be used.
    pub fn reloaded(&self, is_in_force: bool) {
        let outcome = if is_in_force { "success" } else { "failure" };
        self.reloads.get_or_create(&[("outcome", outcome)]).inc();
        if is_in_force {
            let now = OffsetDateTime::now_utc().unix_timestamp();
            self.reloaded.set(now);
        }
    }

    /// Everything as text, in the format of Prometheus, version 0.0.4. `levels`: what other rooms know.
    #[must_use]
    pub fn render(&self, levels: &Levels) -> String {
        let mut text = String::with_capacity(16 * 1024);
        for registry in [&self.registry, &levels.registry()] {
            let written = prometheus_text::encode(&mut text, registry);
            debug_assert!(written.is_ok(), "writing to a String does not fail");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Puts a metric under the name, and with the help, of its row.
fn register(registry: &mut Registry, row: Row, metric: impl Metric) {
    // The registry writes the end of a counter's name itself.
    let name = row.name.strip_suffix("_total").unwrap_or(row.name);
    registry.register(name, row.help, metric);
}

/// Prometheus knows no other numbers. Exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 the nearest is near enough"
)]
fn approximate(count: u64) -> f64 {
    count as f64
}
