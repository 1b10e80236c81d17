//! Budgets at the start of a gate and after its rules were changed: what the ledger says is spent.
//!
//! The ledger is read beside everything else, on a thread that may wait for the disk. Nothing that goes wrong with that
//! stops the gate; it is said, for a budget that knows less than was spent lets more pass.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::config::Settings;
use crate::ledger::spending::Rows;
use crate::ledger::{FILE_NAME, QueryError, Reader};
use crate::proxy::Services;
use crate::spend::budget::{Budgets, Report, Rule, Spent, Subject};
use crate::telemetry::panics;

/// What the admin port says of budgets, and `tollgate budgets` reads.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    /// A line for each rule and key.
    pub budgets: Vec<Report>,
}

impl Told {
    /// As it is `now`.
    #[must_use]
    pub fn now(budgets: &Budgets, now: OffsetDateTime) -> Self {
        Self {
            budgets: budgets.report(now),
        }
    }
}

/// The budgets of `settings`, with all that was spent before this gate started.
pub(super) async fn restored(settings: &Settings) -> Arc<Budgets> {
    let budgets = Arc::new(Budgets::new(settings.policy.budgets.clone()));
    warn_of_retention(settings, &settings.policy.budgets);
    read(&budgets, settings).await;
    budgets
}

/// Puts `rules` in the place of those that hold. Rules that did not change keep what they know; for the others the ledger
/// is read, while calls go on.
pub async fn replace(services: &Services, rules: &[Rule]) {
    let _turn = REPLACING.lock().await;
    warn_of_retention(&services.settings, rules);
    if services.budgets.replace(rules.to_vec()) {
        // What was settled before is on its way to the ledger.
        services.ledger.flush().await;
        read(&services.budgets, &services.settings).await;
    }
}

/// Rules are replaced one set after the other: rows that are read for one must not count for the next.
static REPLACING: Mutex<()> = Mutex::const_new(());

async fn read(budgets: &Arc<Budgets>, settings: &Settings) {
    let path = settings.home.join(FILE_NAME);
    let to = Arc::clone(budgets);
    let began = Instant::now();
    let reading =
        tokio::task::spawn_blocking(move || replay(&to, &path, OffsetDateTime::now_utc()));
    match reading.await {
        Ok(Ok(rows)) if rows != Rows::default() => {
            let took = began.elapsed();
            said(rows, took);
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(
            %error,
            "the ledger could not be read to its end: budgets know less than was spent"
        ),
        Err(error) => {
            let why = panics::ended(&error);
            tracing::error!(why, "budgets know nothing of what was spent before");
        }
    }
    budgets.replayed();
}

fn said(rows: Rows, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(rows = rows.read, took_ms, "budgets are as the ledger says");
    if rows.left_out > 0 {
        tracing::warn!(
            rows = rows.left_out,
            "rows of the ledger that could not be understood count for no budget"
        );
    }
}

/// Reads what matters to `budgets` from the ledger at `path`, when it is `now`.
///
/// # Errors
/// [`QueryError`] when the ledger cannot be read to its end; what was read counts.
pub fn replay(budgets: &Budgets, path: &Path, now: OffsetDateTime) -> Result<Rows, QueryError> {
    let Some(since) = budgets.needs_since(now) else {
        return Ok(Rows::default());
    };
    let since_ms = i64::try_from(since.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MIN);
    let tags = budgets.uses_tags();
    let mut each = |id: &str, at_ms: i64, subject: &Subject<'_>, spent: &Spent| {
        budgets.replay_row(id, subject, spent, at_ms);
    };
    Reader::open(path)?.spending(since_ms, tags, &mut each)
}

/// What is removed from the ledger before its window is over is spent again after a restart.
fn warn_of_retention(settings: &Settings, rules: &[Rule]) {
    for rule in longer_than_kept(settings, rules) {
        tracing::warn!(
            rule = rule.name,
            "this budget's window is longer than --retain keeps records: a restart forgets what was spent before"
        );
    }
}

/// Those of `rules` whose windows are longer than records are kept.
pub fn longer_than_kept<'a>(
    settings: &Settings,
    rules: &'a [Rule],
) -> impl Iterator<Item = &'a Rule> {
    let kept = settings.ledger.retention.age;
    rules.iter().filter(move |rule| {
        let longest = rule.window.as_ref().map(|window| window.longest_ms());
        longest
            .zip(kept)
            .is_some_and(|(longest_ms, kept)| i128::from(longest_ms) > kept.whole_milliseconds())
    })
}
