//! A counter of money, which is summed exactly and shown in dollars.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{CounterValueEncoder, EncodeCounterValue};
use prometheus_client::metrics::counter::Atomic;

use super::approximate;
use crate::spend::Usd;

/// Money, as it is counted: exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dollars(pub(super) Usd);

impl EncodeCounterValue for Dollars {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        (approximate(self.0.picos()) / 1e12).encode(encoder)
    }
}

/// A sum of money. Saturates, as all sums of [`Usd`] do.
#[derive(Debug, Default)]
pub(super) struct Picodollars(AtomicU64);

impl Atomic<Dollars> for Picodollars {
    fn inc(&self) -> Dollars {
        self.inc_by(Dollars(Usd::from_picos(1)))
    }

    fn inc_by(&self, amount: Dollars) -> Dollars {
        let add = |sum| {
            let sum = Usd::from_picos(sum).saturating_add(amount.0);
            Some(sum.picos())
        };
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .unwrap_or_else(|sum| sum);
        Dollars(Usd::from_picos(before))
    }

    fn get(&self) -> Dollars {
        Dollars(Usd::from_picos(self.0.load(Ordering::Relaxed)))
    }
}
