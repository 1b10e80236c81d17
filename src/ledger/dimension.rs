//! What records are summed by: the name people give it, the SQL that tells it, and its values.
//!
//! A new dimension is one line in [`NAMES`] and one arm in [`Dimension::sql`]. Times are cut to days and hours of UTC.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use time::OffsetDateTime;
use time::macros::format_description;

use super::error::QueryError;
use super::filter::Wanted;

/// What records are summed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The name that the operator gave the model, else its id.
    Model,
    /// The most telling of the names a caller has.
    Identity,
    /// The AWS account.
    Account,
    /// The role of the session.
    Role,
    /// The region.
    Region,
    /// The operation.
    Operation,
    /// The route's prefix.
    Route,
    /// The upstream host.
    Host,
    /// The status.
    Status,
    /// How it ended.
    Outcome,
    /// The error type.
    Error,
    /// The service tier.
    Tier,
    /// By which door the client came.
    Entry,
    /// The SDK.
    Sdk,
    /// The application id.
    App,
    /// The day of the request, UTC.
    Day,
    /// The hour of the request, UTC.
    Hour,
    /// The value of this tag.
    Tag(String),
}

/// One value of a dimension. Unknown comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Not known.
    Unknown,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// The names of the dimensions, but for `tag:KEY`.
const NAMES: [(&str, Dimension); 17] = [
    ("model", Dimension::Model),
    ("identity", Dimension::Identity),
    ("account", Dimension::Account),
    ("role", Dimension::Role),
    ("region", Dimension::Region),
    ("operation", Dimension::Operation),
    ("route", Dimension::Route),
    ("host", Dimension::Host),
    ("status", Dimension::Status),
    ("outcome", Dimension::Outcome),
    ("error", Dimension::Error),
    ("tier", Dimension::Tier),
    ("entry", Dimension::Entry),
    ("sdk", Dimension::Sdk),
    ("app", Dimension::App),
    ("day", Dimension::Day),
    ("hour", Dimension::Hour),
];

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Dimension {
    /// The name it is asked for by.
    #[must_use]
    pub fn name(&self) -> String {
        if let Self::Tag(key) = self {
            return format!("tag:{key}");
        }
        let named = NAMES.iter().find(|(_, one)| one == self);
        named.map_or_else(String::new, |(name, _)| (*name).to_owned())
    }

    /// Whether its values are times.
    #[must_use]
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Day | Self::Hour)
    }

    /// The expression that tells it; what has to be bound is bound in `wanted`.
    pub(super) fn sql(&self, wanted: &mut Wanted) -> String {
        let column = match self {
            Self::Model => "coalesce(model_name, model)",
            Self::Identity => "coalesce(name, proxy_user, api_key, access_key_id, account_id)",
            Self::Account => "account_id",
            Self::Role => "role",
            Self::Region => "region",
            Self::Operation => "operation",
            Self::Route => "route",
            Self::Host => "host",
            Self::Status => "status",
            Self::Outcome => "outcome",
            Self::Error => "error_type",
            Self::Tier => "service_tier",
            Self::Entry => "entry",
            Self::Sdk => "sdk",
            Self::App => "app_id",
            Self::Day | Self::Hour => "time_ms",
            Self::Tag(key) => {
                let key = wanted.bind(Value::Text(key.clone()));
                return format!(
                    "CASE WHEN tags <> '{{}}' THEN (SELECT value FROM json_each(tags) WHERE key = {key}) END"
                );
            }
        };
        column.to_owned()
    }

    /// Its value in column `at` of `row`.
    pub(super) fn key(&self, row: &Row<'_>, at: usize) -> rusqlite::Result<Key> {
        Ok(match row.get_ref(at)? {
            ValueRef::Integer(number) => match self.period() {
                Some(period) => Key::Text(moment(number.div_euclid(period) * period, period)),
                None => Key::Number(number),
            },
            ValueRef::Text(text) => Key::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Key::Unknown,
        })
    }

    /// Appends what no other value of column `at` appends, whatever follows.
    pub(super) fn write_name(
        &self,
        row: &Row<'_>,
        at: usize,
        name: &mut Vec<u8>,
    ) -> rusqlite::Result<()> {
        match row.get_ref(at)? {
            ValueRef::Integer(number) => {
                let number = self
                    .period()
                    .map_or(number, |period| number.div_euclid(period));
                name.push(b'i');
                name.extend_from_slice(&number.to_be_bytes());
            }
            ValueRef::Text(text) => {
                name.push(b't');
                name.extend_from_slice(&text.len().to_be_bytes());
                name.extend_from_slice(text);
            }
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => name.push(b'n'),
        }
        Ok(())
    }

    fn period(&self) -> Option<i64> {
        match self {
            Self::Day => Some(DAY_MS),
            Self::Hour => Some(HOUR_MS),
            _ => None,
        }
    }
}

/// The day or the hour that begins at `ms`.
fn moment(ms: i64, period: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok();
    let text = time.and_then(|time| {
        if period == DAY_MS {
            time.format(format_description!("[year]-[month]-[day]"))
        } else {
            time.format(format_description!("[year]-[month]-[day]T[hour]:00Z"))
        }
        .ok()
    });
    // Beyond the calendar there is still the number.
    text.unwrap_or_else(|| ms.to_string())
}

impl FromStr for Dimension {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        if let Some(key) = text.strip_prefix("tag:").filter(|key| !key.is_empty()) {
            return Ok(Self::Tag(key.to_owned()));
        }
        let named = NAMES.iter().find(|(name, _)| *name == text);
        named
            .map(|(_, dimension)| dimension.clone())
            .ok_or_else(|| QueryError::Dimension {
                given: text.to_owned(),
                known: NAMES.map(|(name, _)| name).join(", "),
            })
    }
}
