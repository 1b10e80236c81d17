//! A usage record as a row and back.
//!
//! [`COLUMNS`] is the one order in which values are bound and read; a test holds it against the table. Absent knowledge
//! is `NULL` both ways. Enumerations are stored under the names they have in JSON. The table itself is in `schema`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rusqlite::types::{FromSql, ToSqlOutput, Type, Value, ValueRef};
use rusqlite::{Row, Statement, ToSql};
use serde::de::IntoDeserializer;
use serde::de::value::Error as NameError;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::record::{Identity, Payload, UsageRecord};
use crate::spend::{Cost, Usd};
use crate::usage::{TokenUsage, UsageSource};

/// The columns of `exchange` after `seq`, in the order of binding and reading.
pub(super) const COLUMNS: [&str; 53] = [
    "id",
    "time",
    "time_ms",
    "entry",
    "client",
    "access_key_id",
    "account_id",
    "session",
    "api_key",
    "proxy_user",
    "host",
    "region",
    "operation",
    "model",
    "stream",
    "status",
    "error_type",
    "aws_request_id",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "total_tokens",
    "usage_source",
    "cost_usd",
    "price_key",
    "price_as_of",
    "cost_status",
    "finish_reason",
    "outcome",
    "request_bytes",
    "response_bytes",
    "duration_ms",
    "first_byte_ms",
    "first_token_ms",
    "tags",
    "verified",
    "name",
    "role",
    "sdk",
    "app_id",
    "route",
    "model_name",
    "response_model",
    "service_tier",
    "performance_latency",
    "units",
    "cost_picousd",
    "invocation_id",
    "attempt",
    "notes",
];

/// The columns of `payload`, likewise.
const PAYLOAD_COLUMNS: &str = "id, request_head, request_body, request_truncated, \
     response_head, response_body, response_truncated";

/// One payload by its id. [`read_payload`] reads it.
pub(super) const PAYLOAD_BY_ID: &str = "SELECT id, request_head, request_body, request_truncated, \
     response_head, response_body, response_truncated FROM payload WHERE id = ?1";

/// Inserts one exchange. An id that is there already changes nothing, which makes a retry after a commit of unknown
/// outcome safe.
pub(super) fn insert_exchange_sql() -> String {
    let values: Vec<String> = (1..=COLUMNS.len()).map(|n| format!("?{n}")).collect();
    format!(
        "INSERT INTO exchange ({}) VALUES ({}) ON CONFLICT (id) DO NOTHING",
        COLUMNS.join(", "),
        values.join(", ")
    )
}

/// Inserts one payload.
pub(super) fn insert_payload_sql() -> String {
    format!(
        "INSERT INTO payload ({PAYLOAD_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING"
    )
}

/// Binds `record` and inserts it; false if its id was there already. `scratch` is lent to write the tags into.
pub(super) fn insert_exchange(
    statement: &mut Statement<'_>,
    record: &UsageRecord,
    scratch: &mut Vec<u8>,
) -> rusqlite::Result<bool> {
    let mut row = Binder::new(statement);
    row.value(&record.id)?;
    row.value(&record.time)?;
    row.value(time_ms(&record.time))?;
    row.value(record.entry.as_str())?;
    row.value(&record.client)?;
    row.value(&record.identity.access_key_id)?;
    row.value(&record.identity.account_id)?;
    row.value(record.identity.session)?;
    row.value(&record.identity.api_key)?;
    row.value(&record.identity.proxy_user)?;
    row.value(&record.host)?;
    row.value(&record.region)?;
    row.value(&record.operation)?;
    row.value(&record.model)?;
    row.value(record.stream)?;
    row.value(record.status)?;
    row.value(&record.error_type)?;
    row.value(&record.aws_request_id)?;
    row.usage(&record.usage)?;
    row.value(record.cost.usd.map(|usd| usd.to_string()))?;
    row.value(&record.cost.price_key)?;
    row.value(&record.cost.price_as_of)?;
    row.value(record.cost.status.as_str())?;
    row.value(&record.finish_reason)?;
    row.value(record.outcome.as_str())?;
    row.count(Some(record.request_bytes))?;
    row.count(Some(record.response_bytes))?;
    row.value(record.duration_ms)?;
    row.value(record.first_byte_ms)?;
    row.value(record.first_token_ms)?;
    row.value(json(&record.tags, record.tags.is_empty(), "{}", scratch))?;
    row.value(record.identity.verified)?;
    row.value(&record.identity.name)?;
    row.value(&record.identity.role)?;
    row.value(&record.identity.sdk)?;
    row.value(&record.identity.app_id)?;
    row.value(&record.route)?;
    row.value(&record.model_name)?;
    row.value(&record.response_model)?;
    row.value(&record.service_tier)?;
    row.value(&record.performance_latency)?;
    row.value(json(&record.units, record.units.is_empty(), "{}", scratch))?;
    row.count(record.cost.usd.map(Usd::picos))?;
    row.value(&record.invocation_id)?;
    row.value(record.attempt)?;
    row.value(json(&record.notes, record.notes.is_empty(), "[]", scratch))?;
    Ok(row.statement.raw_execute()? == 1)
}

/// Binds the payload of exchange `id` and inserts it.
pub(super) fn insert_payload(
    statement: &mut Statement<'_>,
    id: &str,
    payload: &Payload,
) -> rusqlite::Result<()> {
    let mut row = Binder::new(statement);
    row.value(id)?;
    row.value(&payload.request_head)?;
    row.value(&payload.request_body)?;
    row.value(payload.request_truncated)?;
    row.value(&payload.response_head)?;
    row.value(&payload.response_body)?;
    row.value(payload.response_truncated)?;
    row.statement.raw_execute().map(|_| ())
}

/// Reads a record whose [`COLUMNS`] begin at column `first` of `row`.
pub(super) fn read_exchange(row: &Row<'_>, first: usize) -> rusqlite::Result<UsageRecord> {
    let mut row = Columns { row, next: first };
    let mut record = read_version_1(&mut row)?;
    record.identity.verified = row.value()?;
    record.identity.name = row.value()?;
    record.identity.role = row.value()?;
    record.identity.sdk = row.value()?;
    record.identity.app_id = row.value()?;
    record.route = row.value()?;
    record.model_name = row.value()?;
    record.response_model = row.value()?;
    record.service_tier = row.value()?;
    record.performance_latency = row.value()?;
    record.units = row.json()?;
    record.cost.usd = row.count()?.map(Usd::from_picos);
    record.invocation_id = row.value()?;
    record.attempt = row.value()?;
    record.notes = row.json()?;
    Ok(record)
}

/// The columns of the first version, which later ones only added to.
fn read_version_1(row: &mut Columns<'_, '_>) -> rusqlite::Result<UsageRecord> {
    let id = row.value()?;
    let time = row.value()?;
    let _time_ms: i64 = row.value()?;
    Ok(UsageRecord {
        id,
        time,
        entry: row.name()?,
        client: row.value()?,
        identity: Identity {
            access_key_id: row.value()?,
            account_id: row.value()?,
            session: row.value()?,
            api_key: row.value()?,
            proxy_user: row.value()?,
            ..Identity::default()
        },
        route: None,
        host: row.value()?,
        region: row.value()?,
        operation: row.value()?,
        model: row.value()?,
        model_name: None,
        response_model: None,
        service_tier: None,
        performance_latency: None,
        stream: row.value()?,
        status: row.value()?,
        error_type: row.value()?,
        aws_request_id: row.value()?,
        usage: TokenUsage {
            input_tokens: row.count()?,
            output_tokens: row.count()?,
            cache_read_tokens: row.count()?,
            cache_write_tokens: row.count()?,
            cache_write_1h_tokens: row.count()?,
            reasoning_tokens: row.count()?,
            total_tokens: row.count()?,
            source: row.optional_name()?,
        },
        units: BTreeMap::new(),
        cost: {
            let _text: Option<String> = row.value()?;
            Cost {
                usd: None,
                price_key: row.value()?,
                price_as_of: row.value()?,
                status: row.name()?,
            }
        },
        finish_reason: row.value()?,
        outcome: row.name()?,
        request_bytes: row.count()?.unwrap_or_default(),
        response_bytes: row.count()?.unwrap_or_default(),
        duration_ms: row.value()?,
        first_byte_ms: row.value()?,
        first_token_ms: row.value()?,
        tags: row.json()?,
        invocation_id: None,
        attempt: None,
        notes: Vec::new(),
    })
}

/// Reads a payload selected with [`PAYLOAD_BY_ID`].
pub(super) fn read_payload(row: &Row<'_>) -> rusqlite::Result<Payload> {
    Ok(Payload {
        request_head: row.get(1)?,
        request_body: row.get(2)?,
        request_truncated: row.get(3)?,
        response_head: row.get(4)?,
        response_body: row.get(5)?,
        response_truncated: row.get(6)?,
    })
}

/// Milliseconds since 1970 of an RFC 3339 time. A time of ours always parses; should one not, the row is filed under
/// the time it was written, because a row out of order is better than none.
pub(super) fn time_ms(time: &str) -> i64 {
    let time = OffsetDateTime::parse(time, &Rfc3339).unwrap_or_else(|_| OffsetDateTime::now_utc());
    unix_ms(time)
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(time: OffsetDateTime) -> i64 {
    // The year 9999, the last that parses, is far below the limit.
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// Binds values from left to right.
struct Binder<'a, 'connection> {
    statement: &'a mut Statement<'connection>,
    next: usize,
}

impl<'a, 'connection> Binder<'a, 'connection> {
    /// Every parameter is `NULL` until something else is bound.
    fn new(statement: &'a mut Statement<'connection>) -> Self {
        statement.clear_bindings();
        Self { statement, next: 1 }
    }

    fn value(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        let value = value.to_sql()?;
        // Half of the columns of most rows.
        let is_null = matches!(
            value,
            ToSqlOutput::Borrowed(ValueRef::Null) | ToSqlOutput::Owned(Value::Null)
        );
        if !is_null {
            self.statement.raw_bind_parameter(self.next, value)?;
        }
        self.next += 1;
        Ok(())
    }

    /// SQLite integers are signed; a count beyond 2^63 − 1 can only be a peer's nonsense and is kept as that bound.
    fn count(&mut self, count: Option<u64>) -> rusqlite::Result<()> {
        self.value(count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
    }

    fn usage(&mut self, usage: &TokenUsage) -> rusqlite::Result<()> {
        self.count(usage.input_tokens)?;
        self.count(usage.output_tokens)?;
        self.count(usage.cache_read_tokens)?;
        self.count(usage.cache_write_tokens)?;
        self.count(usage.cache_write_1h_tokens)?;
        self.count(usage.reasoning_tokens)?;
        self.count(usage.total_tokens)?;
        self.value(usage.source.map(source_name))
    }
}

/// Reads values from left to right.
struct Columns<'a, 'statement> {
    row: &'a Row<'statement>,
    next: usize,
}

impl Columns<'_, '_> {
    fn value<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let at = self.next;
        self.next += 1;
        self.row.get(at)
    }

    fn count(&mut self) -> rusqlite::Result<Option<u64>> {
        let at = self.next;
        let count: Option<i64> = self.value()?;
        count
            .map(|count| {
                u64::try_from(count)
                    .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, count))
            })
            .transpose()
    }

    fn optional_name<T: for<'de> Deserialize<'de>>(&mut self) -> rusqlite::Result<Option<T>> {
        let at = self.next;
        let name: Option<String> = self.value()?;
        name.map(|name| {
            let name: serde::de::value::StringDeserializer<NameError> = name.into_deserializer();
            T::deserialize(name).map_err(|error| unreadable(at, error))
        })
        .transpose()
    }

    fn name<T: for<'de> Deserialize<'de>>(&mut self) -> rusqlite::Result<T> {
        let at = self.next;
        self.optional_name()?
            .ok_or_else(|| unreadable(at, NullName))
    }

    fn json<T: for<'de> Deserialize<'de>>(&mut self) -> rusqlite::Result<T> {
        let at = self.next;
        let text: String = self.value()?;
        serde_json::from_str(&text).map_err(|error| unreadable(at, error))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a name is missing")]
struct NullName;

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A collection as JSON; almost always the empty one.
fn json<'a>(
    value: &impl Serialize,
    is_empty: bool,
    empty: &'static str,
    scratch: &'a mut Vec<u8>,
) -> Cow<'a, str> {
    if is_empty {
        return Cow::Borrowed(empty);
    }
    scratch.clear();
    // Strings and numbers have no way to fail; if they had, an empty cell is better than no row.
    if serde_json::to_writer(&mut *scratch, value).is_err() {
        return Cow::Borrowed(empty);
    }
    String::from_utf8_lossy(scratch)
}

/// The name of a source in JSON and in the ledger.
pub(crate) fn source_name(source: UsageSource) -> &'static str {
    match source {
        UsageSource::Body => "body",
        UsageSource::Headers => "headers",
        UsageSource::Stream => "stream",
        UsageSource::Partial => "partial",
        UsageSource::Estimated => "estimated",
    }
}
