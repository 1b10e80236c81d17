//! The soak: a gate under mixed load and faults for as long as it is told, watched from outside, and afterwards asked
//! for everything it was given.
//!
//! - `client`, `upstream`: both sides of the gate; `acts`: what a client asks the upstream to do
//! - `book`: what was sent and what came back; `rows`, `audit`: the ledger, and whether the two agree
//! - `gate`, `watch`, `trend`: the process, what it holds, and whether that grows
//! - `phases`: the run; `report`: what is told of it

pub(crate) mod acts;
pub(crate) mod audit;
pub(crate) mod book;
pub(crate) mod client;
pub(crate) mod dice;
pub(crate) mod gate;
pub(crate) mod phases;
pub(crate) mod reading;
pub(crate) mod report;
pub(crate) mod rows;
pub(crate) mod trend;
pub(crate) mod upstream;
pub(crate) mod watch;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use phases::run;

type Failure = Box<dyn Error + Send + Sync>;

/// How to soak.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The gate's program.
    pub(crate) gate: PathBuf,
    /// Where the home, the gate's log and the report are put.
    pub(crate) directory: PathBuf,
    /// How long the load lasts, without what comes before and after it.
    pub(crate) load: Duration,
    /// How many clients there are at a time, 250 at most.
    pub(crate) clients: u8,
    /// How long a client pauses between visits, on average.
    pub(crate) pause: Duration,
    pub(crate) seed: u64,
    /// How long the load lasts before and after the gate is killed; no gate is killed if it is zero.
    pub(crate) around_kill: Duration,
}
