//! The settings of what is counted, whose it is and how it is recorded.
//!
//! Checked like all others, so that a wrong one never starts the server; kept apart from `settings`, because nothing here
//! decides where a request goes.

use std::time::Duration;

use super::hosts::{HostPattern, HostRules};
use super::load::ConfigError;
use super::options::Options;
use super::settings::{invalid, one_of};
use crate::aws::sts;

/// How exchanges are counted, named and recorded.
#[derive(Clone, Debug)]
pub struct Accounting {
    /// What a client's hang-up does to a running call.
    pub on_client_abort: ClientAbort,
    /// What happens to calls while the ledger cannot be written.
    pub on_ledger_failure: LedgerFailure,
    /// Whether session key ids are bound to the roles that STS names.
    pub learn_sessions: bool,
}

/// `--on-client-abort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAbort {
    /// The upstream sees a hang-up, as it would without us.
    Close,
    /// The answer is read on, within limits.
    Drain(DrainLimits),
}

/// How much draining is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainLimits {
    /// Longest time.
    pub time: Duration,
    /// Most bytes of body.
    pub bytes: u64,
    /// Most at once.
    pub concurrent: u32,
}

/// `--on-ledger-failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerFailure {
    /// Calls go on; their records wait in memory.
    Serve,
    /// New calls are refused.
    Refuse,
}

impl Accounting {
    /// Checks `options`; `hosts` are opened.
    ///
    /// # Errors
    /// The first option that cannot be used, and what it should look like.
    pub fn from_options(options: &Options, hosts: &HostRules) -> Result<Self, ConfigError> {
        let learn_sessions = options.learn_sessions.unwrap_or_default();
        if learn_sessions && !hosts.intercept.iter().any(may_be_sts) {
            return Err(invalid(
                "learn-sessions",
                "no STS host is opened, so nothing could be learned; add for example \
                 --intercept sts.amazonaws.com --intercept sts.us-east-1.amazonaws.com"
                    .to_owned(),
            ));
        }
        Ok(Self {
            on_client_abort: client_abort(options)?,
            on_ledger_failure: one_of(
                "on-ledger-failure",
                options.on_ledger_failure.as_deref(),
                &[
                    ("serve", LedgerFailure::Serve),
                    ("refuse", LedgerFailure::Refuse),
                ],
            )?,
            learn_sessions,
        })
    }
}

fn client_abort(options: &Options) -> Result<ClientAbort, ConfigError> {
    let limits = DrainLimits {
        time: Duration::from_secs(options.drain_seconds.unwrap_or(120)),
        bytes: options.drain_bytes.unwrap_or(16 * 1024 * 1024),
        concurrent: options.drain_concurrent.unwrap_or(64),
    };
    let counts = [
        ("drain-seconds", limits.time.as_secs()),
        ("drain-bytes", limits.bytes),
        ("drain-concurrent", limits.concurrent.into()),
    ];
    if let Some((option, _)) = counts.iter().find(|(_, count)| *count == 0) {
        let why = "0 would drain nothing; give more, or say --on-client-abort close";
        return Err(invalid(option, why.to_owned()));
    }
    one_of(
        "on-client-abort",
        options.on_client_abort.as_deref(),
        &[
            ("close", ClientAbort::Close),
            ("drain", ClientAbort::Drain(limits)),
        ],
    )
}

/// Whether a host that `pattern` opens can be one of STS.
fn may_be_sts(pattern: &HostPattern) -> bool {
    match pattern {
        HostPattern::Exact(name) => sts::is_endpoint(name),
        HostPattern::Below(suffix) => sts::is_endpoint(&format!("sts{suffix}")),
        HostPattern::Address(_) | HostPattern::Any => false,
    }
}
