//! The usage record as one flat row of CSV, under the names of the ledger's columns.
//!
//! Texts are made safe for spreadsheets, numbers are written as they are, and what is not known is an empty cell. Money
//! is exact and decimal. Tags, units and notes are JSON in one cell.

use serde::Serialize;

use crate::cli::spreadsheet::cell;
use crate::ledger::{UsageRecord, source_name};

/// The header.
pub(super) const COLUMNS: [&str; 51] = [
    "id",
    "time",
    "entry",
    "client",
    "access_key_id",
    "account_id",
    "session",
    "api_key",
    "proxy_user",
    "verified",
    "name",
    "role",
    "sdk",
    "app_id",
    "route",
    "host",
    "region",
    "operation",
    "model",
    "model_name",
    "response_model",
    "service_tier",
    "performance_latency",
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
    "units",
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
    "invocation_id",
    "attempt",
    "notes",
];

/// The cells of one record, in the order of [`COLUMNS`].
pub(super) fn cells(record: &UsageRecord) -> [String; COLUMNS.len()] {
    let UsageRecord {
        identity,
        usage,
        cost,
        ..
    } = record;
    [
        cell(&record.id),
        cell(&record.time),
        cell(record.entry.as_str()),
        cell(&record.client),
        text(&identity.access_key_id),
        text(&identity.account_id),
        number(identity.session.as_ref()),
        text(&identity.api_key),
        text(&identity.proxy_user),
        identity.verified.to_string(),
        text(&identity.name),
        text(&identity.role),
        text(&identity.sdk),
        text(&identity.app_id),
        text(&record.route),
        text(&record.host),
        text(&record.region),
        text(&record.operation),
        text(&record.model),
        text(&record.model_name),
        text(&record.response_model),
        text(&record.service_tier),
        text(&record.performance_latency),
        record.stream.to_string(),
        number(record.status.as_ref()),
        text(&record.error_type),
        text(&record.aws_request_id),
        number(usage.input_tokens.as_ref()),
        number(usage.output_tokens.as_ref()),
        number(usage.cache_read_tokens.as_ref()),
        number(usage.cache_write_tokens.as_ref()),
        number(usage.cache_write_1h_tokens.as_ref()),
        number(usage.reasoning_tokens.as_ref()),
        number(usage.total_tokens.as_ref()),
        usage
            .source
            .map_or_else(String::new, |source| source_name(source).to_owned()),
        json(&record.units),
        number(cost.usd.as_ref()),
        text(&cost.price_key),
        text(&cost.price_as_of),
        cost.status.as_str().to_owned(),
        text(&record.finish_reason),
        record.outcome.as_str().to_owned(),
        record.request_bytes.to_string(),
        record.response_bytes.to_string(),
        record.duration_ms.to_string(),
        number(record.first_byte_ms.as_ref()),
        number(record.first_token_ms.as_ref()),
        json(&record.tags),
        text(&record.invocation_id),
        number(record.attempt.as_ref()),
        json(&record.notes),
    ]
}

fn text(text: &Option<String>) -> String {
    text.as_deref().map_or_else(String::new, cell)
}

fn number(number: Option<&impl ToString>) -> String {
    number.map_or_else(String::new, ToString::to_string)
}

/// It begins with a bracket, so it is no formula; strings and numbers have no way to fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).map_or_else(|_| String::new(), |json| cell(&json))
}
