//! What calls consumed, row by row: what budgets are put together from when a gate starts.
//!
//! Only the columns that matter are read, by the index of times. A row that cannot be understood is left out and counted:
//! that a ledger is damaged somewhere is told elsewhere, and is no reason not to start.

use std::collections::BTreeMap;

use rusqlite::Row;

use super::error::QueryError;
use super::query::Reader;
use super::record::{Outcome, UsageRecord};
use crate::spend::Usd;
use crate::spend::budget::{Spent, Subject};

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows that were handed over.
    pub read: u64,
    /// Rows that could not be understood.
    pub left_out: u64,
}

/// Calls that were passed on: what was never a call, and what we refused, count for nothing.
const SQL: &str = "SELECT id, time_ms, access_key_id, account_id, api_key, proxy_user, name, role, model, model_name, \
     operation, region, route, tags, input_tokens, output_tokens, total_tokens, cost_picousd \
     FROM exchange WHERE time_ms >= ?1 AND operation IS NOT NULL AND outcome <> 'refused'";

impl Reader {
    /// Hands every call since `since_ms` to `each`, in no order: its id, its time in milliseconds since 1970, whose it was,
    /// what it consumed. Without `tags` they are not read.
    ///
    /// # Errors
    /// [`QueryError::Read`] when SQLite cannot go on; what was read until then has been handed over.
    pub fn spending(
        &self,
        since_ms: i64,
        tags: bool,
        each: &mut dyn FnMut(&str, i64, &Subject<'_>, &Spent),
    ) -> Result<Rows, QueryError> {
        let mut statement = self.connection.prepare(SQL)?;
        let mut rows = statement.query([since_ms])?;
        let mut counted = Rows::default();
        while let Some(row) = rows.next()? {
            match hand_over(row, tags, each) {
                Ok(()) => counted.read += 1,
                Err(error) => {
                    tracing::debug!(%error, "a row of the ledger cannot be understood");
                    counted.left_out += 1;
                }
            }
        }
        Ok(counted)
    }

    /// How SQLite finds them.
    #[cfg(test)]
    fn spending_plan(&self) -> rusqlite::Result<String> {
        let mut statement = self
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {SQL}"))?;
        let steps = statement.query_map([0], |row| row.get(3))?;
        Ok(steps.collect::<rusqlite::Result<Vec<String>>>()?.join("\n"))
    }
}

fn hand_over(
    row: &Row<'_>,
    tags: bool,
    each: &mut dyn FnMut(&str, i64, &Subject<'_>, &Spent),
) -> rusqlite::Result<()> {
    let text =
        |at: usize| -> rusqlite::Result<Option<&str>> { Ok(row.get_ref(at)?.as_str_or_null()?) };
    let tags: BTreeMap<String, String> = match text(13)? {
        Some(text) if tags && text != "{}" => serde_json::from_str(text).unwrap_or_default(),
        _ => BTreeMap::new(),
    };
    let subject = Subject {
        access_key_id: text(2)?,
        account_id: text(3)?,
        api_key: text(4)?,
        proxy_user: text(5)?,
        name: text(6)?,
        role: text(7)?,
        model: text(8)?,
        model_name: text(9)?,
        operation: text(10)?,
        region: text(11)?,
        route: text(12)?,
        tags: &tags,
    };
    let count = |at: usize| -> rusqlite::Result<Option<u64>> {
        let count: Option<i64> = row.get(at)?;
        // Counts are never negative; should a foreign hand have written one, it adds nothing.
        Ok(count.and_then(|count| u64::try_from(count).ok()))
    };
    let spent = Spent {
        input_tokens: count(14)?.unwrap_or_default(),
        output_tokens: count(15)?.unwrap_or_default(),
        total_tokens: count(16)?.unwrap_or_default(),
        cost: count(17)?.map(Usd::from_picos),
    };
    each(text(0)?.unwrap_or_default(), row.get(1)?, &subject, &spent);
    Ok(())
}

impl UsageRecord {
    /// Whether budgets are about it: a call that was passed on, or tried to be.
    #[must_use]
    pub fn is_spending(&self) -> bool {
        self.operation.is_some() && self.outcome != Outcome::Refused
    }

    /// Whose it was, as budgets see it.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        let identity = &self.identity;
        Subject {
            access_key_id: identity.access_key_id.as_deref(),
            account_id: identity.account_id.as_deref(),
            api_key: identity.api_key.as_deref(),
            proxy_user: identity.proxy_user.as_deref(),
            name: identity.name.as_deref(),
            role: identity.role.as_deref(),
            model: self.model.as_deref(),
            model_name: self.model_name.as_deref(),
            operation: self.operation.as_deref(),
            region: self.region.as_deref(),
            route: self.route.as_deref(),
            tags: &self.tags,
        }
    }

    /// What it consumed, as budgets see it.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let usage = &self.usage;
        Spent {
            input_tokens: usage.input_tokens.unwrap_or_default(),
            output_tokens: usage.output_tokens.unwrap_or_default(),
            total_tokens: usage.total_tokens.unwrap_or_default(),
            cost: self.cost.usd,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;
    use time::macros::datetime;

    use super::*;
    use crate::ledger::sample;
    use crate::ledger::writer::Ledger;
    use crate::spend::budget::{Budgets, Counts, Limit, Per, Rule, Window, Zone};

    async fn ledger(path: &Path, records: Vec<UsageRecord>) {
        let ledger = Ledger::open(path).unwrap();
        for record in records {
            ledger.commit(record, None).await;
        }
        ledger.close().await;
    }

    fn rule() -> Rule {
        Rule {
            name: "cap".to_owned(),
            matches: Vec::new(),
            per: vec![Per::Tag("team".to_owned())],
            limit: Limit {
                counts: Counts::TotalTokens,
                most: 100_000,
            },
            window: Some(Window::Day(Zone::utc())),
            warn_at: Vec::new(),
            mode: crate::spend::budget::Mode::Enforce,
            on_exceeded: crate::spend::budget::OnExceeded::Finish,
            unpriced: crate::spend::budget::Unpriced::Deny,
            assume_output_tokens: 1,
        }
    }

    fn full(time: &str) -> UsageRecord {
        UsageRecord {
            time: time.to_owned(),
            ..sample::full()
        }
    }

    #[tokio::test]
    async fn calls_that_were_passed_on_are_read_with_all_that_budgets_look_at() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let record = full("2026-11-22T03:04:05.678Z");
        let refused = UsageRecord {
            outcome: Outcome::Refused,
            ..full("2026-11-22T03:04:06Z")
        };
        assert!(record.is_spending() && !refused.is_spending() && !sample::bare().is_spending());
        let before = full("2026-11-21T23:59:59.999Z");
        ledger(&path, vec![record.clone(), refused, sample::bare(), before]).await;
        let since = datetime!(2026-11-22 0:00 UTC).unix_timestamp() * 1000;
        for tags in [true, false] {
            let mut seen = 0;
            let mut each = |id: &str, at_ms: i64, subject: &Subject<'_>, spent: &Spent| {
                assert_eq!((id, at_ms), (record.id.as_str(), since + 11_045_678));
                let expected = record.subject();
                assert_eq!(subject.tags.is_empty(), !tags);
                let untagged = |subject: &Subject<'_>| {
                    let tags = &BTreeMap::new();
                    format!("{:?}", Subject { tags, ..*subject })
                };
                assert_eq!(untagged(subject), untagged(&expected));
                assert_eq!(*spent, record.spent());
                seen += 1;
            };
            let reader = Reader::open(&path).unwrap();
            let rows = reader.spending(since, tags, &mut each).unwrap();
            assert_eq!((rows.read, rows.left_out, seen), (1, 0, 1));
        }
        let plan = Reader::open(&path).unwrap().spending_plan().unwrap();
        assert!(plan.contains("exchange_time"), "{plan}");
    }

    #[tokio::test]
    async fn a_row_that_nobody_understands_is_left_out_and_the_others_count() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ledger.db");
        let records = (1..=4).map(|second| full(&format!("2026-11-22T00:00:0{second}Z")));
        ledger(&path, records.collect()).await;
        let foreign = Connection::open(&path).unwrap();
        let changes = "UPDATE exchange SET total_tokens = 'many' WHERE seq = 1;
             UPDATE exchange SET model = x'ff00' WHERE seq = 2;
             UPDATE exchange SET tags = 'no JSON', total_tokens = -5 WHERE seq = 3;";
        foreign.execute_batch(changes).unwrap();
        let budgets = Budgets::new(vec![rule()]);
        let mut each = |id: &str, at_ms: i64, subject: &Subject<'_>, spent: &Spent| {
            budgets.replay_row(id, subject, spent, at_ms);
        };
        let rows = Reader::open(&path).unwrap().spending(0, true, &mut each);
        let rows = rows.unwrap();
        assert_eq!((rows.read, rows.left_out), (2, 2));
        let reports = budgets.report(datetime!(2026-11-22 12:00 UTC));
        assert_eq!(reports.len(), 1);
        assert_eq!(
            reports[0].key.as_ref().unwrap()["tag:team"].as_deref(),
            Some("search")
        );
        assert_eq!(reports[0].spent, "5612");
    }
}
