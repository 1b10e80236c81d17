//! Which records are wanted, and how that is said in SQL.
//!
//! A [`Query`] is what the commands ask for; [`Wanted`] is its conditions with the values bound to them, shared by the
//! listings (`query`) and the sums (`stats`). Values never become part of the SQL text. A new filter is one more
//! [`Condition`], or one more [`Column`] to match.

use rusqlite::ToSql;
use rusqlite::types::Value;

use super::error::QueryError;
use super::record::Outcome;
use crate::aws::Operation;
use crate::spend::{CostStatus, Usd};

/// Which records. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Those whose request came at this time or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Those whose request came before this time, likewise.
    pub until_ms: Option<i64>,
    /// Those of this model: as the client named it or as the operator did, `*` standing for anything.
    pub model: Option<String>,
    /// Those whose name, role, access key id, account id, API key label or proxy user is this; `*` stands for anything.
    pub identity: Option<String>,
    /// Those that meet all of these.
    pub conditions: Vec<Condition>,
    /// Only the newest so many of them. Sums take no notice of it.
    pub newest: Option<u32>,
}

/// What a record may have to meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A column is this text, whatever its case; `*` stands for anything. What is unknown matches nothing.
    Matches(Column, String),
    /// The status is in one of the ranges, and in none of the negated ones.
    Status(Vec<StatusRange>),
    /// It ended like this.
    Outcome(Outcome),
    /// There is a tag of this name, with this value if one is given.
    Tag {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// It cost so much at least.
    MinCost(Usd),
    /// No price is known.
    Unpriced,
}

/// The columns that [`Condition::Matches`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `account_id`
    Account,
    /// `region`
    Region,
    /// `operation`
    Operation,
    /// `host`
    Host,
    /// `route`
    Route,
    /// `error_type`
    ErrorType,
}

/// Statuses: `200`, `4xx`, and with `!` before it all others, those of exchanges without a status among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
    negated: bool,
}

/// The conditions of a query, ready to stand behind WHERE.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// All of these have to hold: each with ` AND ` before it.
    rest: String,
    /// Texts each of which a record has in one of the columns that spans tell of.
    lookups: Vec<String>,
    values: Vec<(String, Value)>,
}

const IDENTITY_COLUMNS: [&str; 6] = [
    "name",
    "role",
    "access_key_id",
    "account_id",
    "api_key",
    "proxy_user",
];

const MODEL_COLUMNS: [&str; 2] = ["model", "model_name"];

impl StatusRange {
    /// Reads `200`, `4xx`, `!200` or `!2xx`.
    ///
    /// # Errors
    /// [`QueryError::Status`].
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let wrong = || QueryError::Status { given: text.into() };
        let (negated, status) = match text.strip_prefix('!') {
            Some(status) => (true, status),
            None => (false, text),
        };
        let class = status
            .strip_suffix("xx")
            .or_else(|| status.strip_suffix("XX"));
        let (first, last) = match class {
            Some(class) => {
                let class: u16 = class.parse().map_err(|_| wrong())?;
                if class > 9 {
                    return Err(wrong());
                }
                (class * 100, class * 100 + 99)
            }
            None => {
                let status = status.parse().map_err(|_| wrong())?;
                (status, status)
            }
        };
        if !(100..=999).contains(&first) {
            return Err(wrong());
        }
        Ok(Self {
            first,
            last,
            negated,
        })
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Account => "account_id",
            Self::Region => "region",
            Self::Operation => "operation",
            Self::Host => "host",
            Self::Route => "route",
            Self::ErrorType => "error_type",
        }
    }
}

impl Wanted {
    pub(super) fn new(query: &Query) -> Self {
        let mut wanted = Self {
            rest: String::new(),
            lookups: Vec::new(),
            values: Vec::new(),
        };
        if let Some(until) = query.until_ms {
            let until = wanted.bind(Value::Integer(until));
            wanted.and(&format!("time_ms < {until}"));
        }
        if let Some(identity) = &query.identity {
            wanted.any_of(&IDENTITY_COLUMNS, identity);
        }
        if let Some(model) = &query.model {
            wanted.any_of(&MODEL_COLUMNS, model);
        }
        for condition in &query.conditions {
            wanted.condition(condition);
        }
        wanted
    }

    /// The conditions, beginning with one that always holds.
    pub(super) fn all(&self) -> String {
        format!("1{}", self.rest)
    }

    /// What tells in which spans to look (`span`).
    pub(super) fn lookups(&self) -> &[String] {
        &self.lookups
    }

    /// What is bound, by name.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &dyn ToSql)> {
        let values = self.values.iter();
        values.map(|(name, value)| (name.as_str(), value as &dyn ToSql))
    }

    pub(super) fn bind(&mut self, value: Value) -> String {
        let name = format!(":w{}", self.values.len());
        self.values.push((name.clone(), value));
        name
    }

    pub(super) fn and(&mut self, condition: &str) {
        self.rest.push_str(" AND ");
        self.rest.push_str(condition);
    }

    /// One of `columns`, of which spans tell, is `text`.
    fn any_of(&mut self, columns: &[&str], text: &str) {
        let (comparison, text) = if text.contains('*') {
            ("GLOB", as_pattern(text))
        } else {
            self.lookups.push(text.to_owned());
            ("=", text.to_owned())
        };
        let value = self.bind(Value::Text(text));
        let conditions = columns
            .iter()
            .map(|column| format!("{column} {comparison} {value}"));
        let conditions: Vec<String> = conditions.collect();
        self.and(&format!("({})", conditions.join(" OR ")));
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Matches(column, text) => self.matches(*column, text),
            Condition::Status(ranges) => self.status(ranges),
            Condition::Outcome(outcome) => {
                let outcome = self.bind(Value::Text(outcome.as_str().to_owned()));
                self.and(&format!("outcome = {outcome}"));
            }
            Condition::Tag { name, value } => {
                let name = self.bind(Value::Text(name.clone()));
                let value = value.as_ref().map(|value| {
                    let value = self.bind(Value::Text(value.clone()));
                    format!(" AND value = {value}")
                });
                self.and(&format!(
                    "tags <> '{{}}' AND EXISTS (SELECT 1 FROM json_each(tags) WHERE key = {name}{})",
                    value.unwrap_or_default()
                ));
            }
            Condition::MinCost(usd) => {
                let picos = i64::try_from(usd.picos()).unwrap_or(i64::MAX);
                let picos = self.bind(Value::Integer(picos));
                self.and(&format!("cost_picousd >= {picos}"));
            }
            Condition::Unpriced => self.and(&unpriced_sql()),
        }
    }

    fn matches(&mut self, column: Column, text: &str) {
        let name = column.name();
        if !text.contains('*') {
            let value = self.bind(Value::Text(text.to_owned()));
            self.and(&format!("{name} = {value} COLLATE NOCASE"));
            // Digits have no case.
            if column == Column::Account {
                self.lookups.push(text.to_owned());
            }
            return;
        }
        let value = self.bind(Value::Text(as_pattern(&text.to_ascii_lowercase())));
        self.and(&format!("lower({name}) GLOB {value}"));
    }

    fn status(&mut self, ranges: &[StatusRange]) {
        let mut any = Vec::new();
        for range in ranges {
            let between = format!("BETWEEN {} AND {}", range.first, range.last);
            if range.negated {
                self.and(&format!("(status IS NULL OR status NOT {between})"));
            } else {
                any.push(format!("status {between}"));
            }
        }
        if !any.is_empty() {
            self.and(&format!("({})", any.join(" OR ")));
        }
    }
}

/// A GLOB pattern in which only `*` is special.
fn as_pattern(text: &str) -> String {
    text.replace('[', "[[]").replace('?', "[?]")
}

/// What may have cost something that nobody knows: no price, and neither an error nor an operation that is free. A
/// tunnel has no operation.
pub(super) fn unpriced_sql() -> String {
    let free = Operation::FREE.map(|operation| format!("'{}'", operation.name()));
    format!(
        "(cost_status = '{}' AND (status IS NULL OR status BETWEEN 200 AND 299) \
         AND (total_tokens IS NOT NULL OR operation NOT IN ({})))",
        CostStatus::Unpriced.as_str(),
        free.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_understood() {
        for (text, expected) in [
            ("200", (200, 200, false)),
            ("4xx", (400, 499, false)),
            ("!2xx", (200, 299, true)),
            ("!404", (404, 404, true)),
            ("5XX", (500, 599, false)),
        ] {
            let range = StatusRange::parse(text).unwrap();
            assert_eq!((range.first, range.last, range.negated), expected, "{text}");
        }
        for text in [
            "", "!", "x", "xx", "0xx", "20", "1000", "10xx", "-1", "2x", "!!2xx",
        ] {
            assert!(StatusRange::parse(text).is_err(), "{text}");
        }
    }
}
