//! Sums over records: calls, tokens, money and durations, by whatever they are asked for by.
//!
//! One pass over the rows in one read transaction, added up here rather than in SQL: what a peer claims may overflow
//! SQLite's integers, and money is summed exactly in 128 bits. What is unknown stays unknown: a sum of nothing known is
//! `None`, not zero. Groups are bounded in number, each in size. How sums are printed is left to the commands.

use std::collections::HashMap;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Row, ToSql};

use super::dimension::{Dimension, Key};
use super::durations::Durations;
use super::error::QueryError;
use super::filter::{Query, Wanted, unpriced_sql};
use super::query::Reader;
use super::span::{self, Window};

/// The sums of each group, in the order they are to be read in, and of all together.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// By cost, then tokens, largest first; but by time, earliest first, where time is one of the dimensions.
    pub groups: Vec<Group>,
    /// Of all.
    pub total: Totals,
}

/// Those who have the same keys.
#[derive(Clone, Debug)]
pub struct Group {
    /// One for each dimension.
    pub keys: Vec<Key>,
    /// Their sums.
    pub totals: Totals,
}

/// What several records come to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How many there are.
    pub calls: u64,
    /// Those with a status of 400 or above, or that did not end as `complete`.
    pub failed: u64,
    /// Input tokens, where any are known.
    pub input_tokens: Option<u128>,
    /// Output tokens.
    pub output_tokens: Option<u128>,
    /// Tokens read from the prompt cache.
    pub cache_read_tokens: Option<u128>,
    /// Tokens written to it.
    pub cache_write_tokens: Option<u128>,
    /// Picodollars, of those whose cost is known.
    pub cost_picousd: Option<u128>,
    /// Those that may have cost something, for which no price is known.
    pub unpriced: u64,
    /// Those whose tokens were estimated or told in part, or priced in part.
    pub estimated: u64,
    /// How long they took.
    pub durations: Durations,
}

/// Most groups that are kept.
const GROUPS: usize = 1 << 20;

/// What is added up, in the order of [`Totals::add`]; `time_ms` first, and after these whether it is unpriced.
const MEASURES: &str = "time_ms, status, outcome, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, \
     cost_picousd, cost_status, usage_source, duration_ms, ";

/// How many columns that is.
const MEASURES_LEN: usize = 12;

impl Reader {
    /// Adds up the records that `query` asks for, by `by`; `each` is called for each of them.
    ///
    /// # Errors
    /// [`QueryError::Read`] or [`QueryError::TooManyGroups`].
    pub fn sums(
        &self,
        query: &Query,
        by: &[Dimension],
        each: &mut impl FnMut(),
    ) -> Result<Sums, QueryError> {
        self.sums_within(query, by, GROUPS, each)
    }

    pub(super) fn sums_within(
        &self,
        query: &Query,
        by: &[Dimension],
        limit: usize,
        each: &mut impl FnMut(),
    ) -> Result<Sums, QueryError> {
        let (sql, wanted) = sums_sql(query, by);
        // One state of the ledger for all of it: its spans and its rows.
        let transaction = self.connection.unchecked_transaction()?;
        let mut statement = transaction.prepare(&sql)?;
        let mut groups: HashMap<Vec<u8>, Group> = HashMap::new();
        let mut total = Totals::default();
        let mut name = Vec::new();
        for Window { from_ms, to_ms } in span::windows(&transaction, wanted.lookups())? {
            let mut parameters: Vec<(&str, &dyn ToSql)> = wanted.parameters().collect();
            if !wanted.lookups().is_empty() {
                parameters.extend([
                    (":from_ms", &from_ms as &dyn ToSql),
                    (":to_ms", &to_ms as &dyn ToSql),
                ]);
            }
            let mut rows = statement.query(parameters.as_slice())?;
            while let Some(row) = rows.next()? {
                name.clear();
                for (at, dimension) in (MEASURES_LEN..).zip(by) {
                    dimension.write_name(row, at, &mut name)?;
                }
                total.add(row)?;
                if let Some(group) = groups.get_mut(name.as_slice()) {
                    group.totals.add(row)?;
                } else {
                    if groups.len() == limit {
                        return Err(QueryError::TooManyGroups { limit });
                    }
                    let mut group = Group::new(row, by)?;
                    group.totals.add(row)?;
                    groups.insert(name.clone(), group);
                }
                each();
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by(|a, b| a.compare(b, by));
        Ok(Sums { groups, total })
    }

    /// How SQLite finds the rows that are added up.
    #[cfg(test)]
    pub(super) fn sums_plan(&self, query: &Query, by: &[Dimension]) -> rusqlite::Result<String> {
        let (sql, wanted) = sums_sql(query, by);
        let parameters: Vec<(&str, &dyn ToSql)> = wanted.parameters().collect();
        let mut statement = self
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let steps = statement.query_map(parameters.as_slice(), |row| row.get(3))?;
        Ok(steps.collect::<rusqlite::Result<Vec<String>>>()?.join("\n"))
    }
}

fn sums_sql(query: &Query, by: &[Dimension]) -> (String, Wanted) {
    let mut wanted = Wanted::new(query);
    if let Some(since) = query.since_ms {
        let since = wanted.bind(Value::Integer(since));
        wanted.and(&format!("time_ms >= {since}"));
    }
    let mut sql = format!("SELECT {MEASURES}{}", unpriced_sql());
    for dimension in by {
        sql.push_str(", ");
        sql.push_str(&dimension.sql(&mut wanted));
    }
    sql.push_str(" FROM exchange WHERE ");
    sql.push_str(&wanted.all());
    if !wanted.lookups().is_empty() {
        sql.push_str(" AND time_ms BETWEEN :from_ms AND :to_ms");
    }
    (sql, wanted)
}

impl Group {
    fn new(row: &Row<'_>, by: &[Dimension]) -> rusqlite::Result<Self> {
        let keys = (MEASURES_LEN..).zip(by);
        let keys = keys.map(|(at, dimension)| dimension.key(row, at));
        Ok(Self {
            keys: keys.collect::<rusqlite::Result<_>>()?,
            totals: Totals::default(),
        })
    }

    fn compare(&self, other: &Self, by: &[Dimension]) -> std::cmp::Ordering {
        let time = |group: &Self| {
            let keys = group.keys.iter().zip(by);
            let keys = keys.filter(|(_, dimension)| dimension.is_time());
            keys.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let (a, b) = (&self.totals, &other.totals);
        time(self)
            .cmp(&time(other))
            .then_with(|| b.cost_picousd.cmp(&a.cost_picousd))
            .then_with(|| b.tokens().cmp(&a.tokens()))
            .then_with(|| b.calls.cmp(&a.calls))
            .then_with(|| self.keys.cmp(&other.keys))
    }
}

impl Totals {
    fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        self.calls += 1;
        let status: Option<i64> = row.get(1)?;
        let is = |at: usize, names: &[&str]| -> rusqlite::Result<bool> {
            let value = row.get_ref(at)?;
            Ok(
                matches!(value, ValueRef::Text(text) if names.iter().any(|name| name.as_bytes() == text)),
            )
        };
        if status.is_some_and(|status| status >= 400) || !is(2, &["complete"])? {
            self.failed += 1;
        }
        for (sum, at) in [
            (&mut self.input_tokens, 3),
            (&mut self.output_tokens, 4),
            (&mut self.cache_read_tokens, 5),
            (&mut self.cache_write_tokens, 6),
            (&mut self.cost_picousd, 7),
        ] {
            let value: Option<i64> = row.get(at)?;
            // Counts are never negative; should a foreign hand have written one, it adds nothing.
            if let Some(value) = value.and_then(|value| u128::try_from(value).ok()) {
                *sum = Some(sum.unwrap_or_default().saturating_add(value));
            }
        }
        if row.get::<_, Option<bool>>(11)? == Some(true) {
            self.unpriced += 1;
        }
        if is(8, &["partial"])? || is(9, &["partial", "estimated"])? {
            self.estimated += 1;
        }
        self.durations.add(row.get(10)?);
        Ok(())
    }

    /// All tokens that are known.
    fn tokens(&self) -> u128 {
        let counts = [
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
        ];
        counts.into_iter().flatten().sum()
    }
}
