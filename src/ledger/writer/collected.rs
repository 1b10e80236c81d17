//! A ledger without a file: what is committed to it can be taken out again. For fuzzing.

use std::sync::{Arc, mpsc};

use super::{LIMITS, Ledger, Shared};
use crate::ledger::options::Durability;
use crate::ledger::record::UsageRecord;
use crate::ledger::worker::Command;

/// The other end of a ledger without a file.
#[derive(Debug)]
pub(crate) struct Collected(mpsc::Receiver<Command>);

impl Ledger {
    /// A ledger that keeps its records for [`Collected::take`], and has nobody wait for it.
    pub(crate) fn collecting() -> (Self, Collected) {
        let (commands, received) = mpsc::channel();
        let ledger = Self {
            commands,
            durability: Durability::Relaxed,
            shared: Arc::new(Shared::new(LIMITS, None)),
        };
        (ledger, Collected(received))
    }
}

impl Collected {
    /// The records committed since the last time.
    pub(crate) fn take(&self) -> Vec<UsageRecord> {
        let mut records = Vec::new();
        while let Ok(command) = self.0.try_recv() {
            if let Command::Commit(queued) = command {
                records.push((*queued.record).clone());
                queued.stored();
            }
        }
        records
    }
}
