//! What is spent of each budget, as it is at the time of a scrape.
//!
//! The labels are names out of the configuration. Keys are none: there may be as many as there are callers.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{register, rows};
use crate::spend::budget::{Counts, Total};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    counts: &'static str,
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    mode: &'static str,
    rule: String,
}

type Gauges = Family<BudgetLabels, Gauge<f64, AtomicU64>>;

pub(super) fn register_to(to: &mut Registry, budgets: &[Total]) {
    let [spent, reserved, limit, used, keys] = [(); 5].map(|()| Gauges::default());
    let refused = Family::<RefusedLabels, Counter>::default();
    for budget in budgets {
        let labels = BudgetLabels {
            counts: budget.counts.name(),
            rule: budget.rule.clone(),
        };
        let amount = |amount: u128| approximate(amount, budget.counts);
        spent.get_or_create(&labels).set(amount(budget.spent));
        reserved.get_or_create(&labels).set(amount(budget.reserved));
        limit.get_or_create(&labels).set(amount(budget.limit));
        // Of nothing, anything is all.
        let ratio = match budget.limit {
            0 => 1.0,
            limit => amount(budget.fullest) / amount(limit),
        };
        used.get_or_create(&labels).set(ratio);
        let count = u128::try_from(budget.keys).unwrap_or(u128::MAX);
        keys.get_or_create(&labels)
            .set(approximate(count, Counts::Requests));
        for (mode, count) in [
            ("enforce", budget.refused),
            ("shadow", budget.would_have_refused),
        ] {
            let rule = budget.rule.clone();
            let labels = RefusedLabels { mode, rule };
            refused.get_or_create(&labels).inc_by(count);
        }
    }
    for (row, gauges) in [
        (rows::BUDGET_SPENT, spent),
        (rows::BUDGET_RESERVED, reserved),
        (rows::BUDGET_LIMIT, limit),
        (rows::BUDGET_USED, used),
        (rows::BUDGET_KEYS, keys),
    ] {
        register(to, row, gauges);
    }
    register(to, rows::BUDGET_REFUSED, refused);
}

/// Prometheus knows no other numbers.
#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 the nearest is near enough"
)]
fn approximate(amount: u128, counts: Counts) -> f64 {
    match counts {
        Counts::Usd => amount as f64 / 1e12,
        _ => amount as f64,
    }
}
