//! What the admin port tells of this gate: put together from the services when somebody asks.

use std::sync::Arc;

use time::OffsetDateTime;

use super::StartError;
use super::budgets::Told;
use crate::admin::{Admin, Readiness, Sources};
use crate::config::{AdminPort, LedgerFailure};
use crate::metrics::Levels;
use crate::net::expiry::Watched;
use crate::proxy::{Phase, Services};
use crate::telemetry;

/// Binds the admin port, if there is to be one. Where nobody asked for it, somebody else's having it is no reason not to
/// serve: the first gate of a machine has the default port, and further ones go without.
pub(super) async fn bind(port: &AdminPort) -> Result<Option<Admin>, StartError> {
    let Some(address) = port.address else {
        return Ok(None);
    };
    match Admin::bind(address, port).await {
        Ok(admin) => Ok(Some(admin)),
        Err(source) if port.is_explicit => Err(StartError::Admin { address, source }),
        Err(error) => {
            tracing::warn!(
                %error,
                %address,
                "no admin port: there are no health checks and no metrics; --admin ADDR:PORT chooses another place"
            );
            Ok(None)
        }
    }
}

/// What it answers from.
pub(super) fn sources(services: &Arc<Services>, watched: &[Watched]) -> Sources {
    let ends = watched.iter().map(|one| one.not_after.unix_timestamp());
    let certificates_end = ends.min();
    let ready = Arc::clone(services);
    let measured = Arc::clone(services);
    let counted = Arc::clone(&services.budgets);
    Sources {
        readiness: Box::new(move || readiness(&ready)),
        metrics: Box::new(move || {
            measured
                .metrics
                .render(&levels(&measured, certificates_end))
        }),
        budgets: Box::new(move || {
            let told = Told::now(&counted, OffsetDateTime::now_utc());
            let text = serde_json::to_string(&told);
            let text = text.inspect_err(|error| tracing::error!(%error, "budgets cannot be told"));
            format!("{}\n", text.unwrap_or_default())
        }),
    }
}

fn readiness(services: &Services) -> Readiness {
    let refuses = services.settings.accounting.on_ledger_failure == LedgerFailure::Refuse;
    if is_draining(services) {
        Readiness::Draining
    } else if refuses && services.ledger.is_failing() {
        Readiness::LedgerFailing
    } else {
        Readiness::Ready
    }
}

fn is_draining(services: &Services) -> bool {
    *services.phase.borrow() != Phase::Serving
}

fn levels(services: &Services, certificates_end: Option<i64>) -> Levels {
    let Services { pool, ledger, .. } = services;
    let figures = services.figures();
    let (upstream_dialled, upstream_failures) = pool.dialer().counts();
    let lost = telemetry::lost_lines();
    Levels {
        is_draining: is_draining(services),
        connections: (figures.connections, figures.max_connections),
        connections_accepted: figures.accepted,
        connections_refused: (figures.refused, figures.refused_clients),
        accept_failures: figures.accept_failures,
        certificates_minted: figures.mints,
        certificates_kept: figures.certificates,
        certificates_end,
        upstream_idle: pool.idle(),
        upstream_dialled,
        upstream_reused: pool.reused(),
        upstream_failures,
        ledger_is_failing: ledger.is_failing(),
        ledger_places: ledger.places(),
        ledger_transactions: ledger.transactions(),
        lost_records: ledger.losses(),
        lost_payloads: ledger.payload_losses(),
        lost_exchange_lines: lost.exchanges,
        lost_diagnostic_lines: lost.diagnostics,
        budgets: services.budgets.totals(OffsetDateTime::now_utc()),
    }
}
