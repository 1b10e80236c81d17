//! `tollgate show ID`: one exchange: heads, bodies or decoded events, usage, cost, timing.
//!
//! Heads come from the ledger with their secrets masked already. Bodies are stored as they passed; how they are made
//! readable is in `body`. `--json` prints the record with the payload as it is stored.

pub(crate) mod body;
#[cfg(test)]
mod body_tests;
pub(super) mod coding;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::terminal::{Line, Lines, ReportError, to_stdout, write_json};
use crate::ledger::{FILE_NAME, Found, Payload, Reader, UsageRecord};

/// What `tollgate show` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// The exchange: its id, or enough of the id's beginning or end
    #[arg(value_name = "ID")]
    pub id: String,
    /// One JSON object: the usage record and its payload
    #[arg(long)]
    pub json: bool,
}

/// Prints one exchange of the ledger in `home` to standard output.
///
/// # Errors
/// [`ReportError`] if there is no ledger or no such exchange, or the output cannot be written.
pub fn run(args: &ShowArgs, home: &Path) -> Result<(), ReportError> {
    to_stdout(|out| print(args, home, out))
}

/// Prints one exchange of the ledger in `home` to `out`.
///
/// # Errors
/// [`ReportError`], as [`run`].
pub fn print(args: &ShowArgs, home: &Path, out: &mut impl Write) -> Result<(), ReportError> {
    let found = Reader::open(&home.join(FILE_NAME))?.find(&args.id)?;
    if args.json {
        write_json(out, &FoundJson::new(&found))?;
        return Ok(());
    }
    write_summary(out, &found.record)?;
    match &found.payload {
        Some(payload) => write_payload(out, payload)?,
        None => writeln!(out, "\nno payload was kept of this exchange")?,
    }
    Ok(())
}

fn write_summary(out: &mut impl Write, record: &UsageRecord) -> io::Result<()> {
    let mut field = |name: &str, value: String| -> io::Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        writeln!(out, "{name:<10}{}", Line(&value))
    };
    field("id", record.id.clone())?;
    field("time", record.time.clone())?;
    field(
        "entry",
        words([
            ("", &Some(record.entry.as_str().to_owned())),
            ("from ", &Some(record.client.clone())),
            ("by ", &record.route),
        ]),
    )?;
    field("caller", caller(record))?;
    field("client", client(record))?;
    field(
        "upstream",
        words([("", &record.host), ("in ", &record.region)]),
    )?;
    field("call", call(record))?;
    field("attempt", attempt(record))?;
    field("result", result(record))?;
    field(
        "served",
        words([
            ("by ", &record.response_model),
            ("in tier ", &record.service_tier),
            ("with latency ", &record.performance_latency),
        ]),
    )?;
    field("usage", usage(record))?;
    field("units", pairs(&record.units))?;
    field("cost", cost(record))?;
    field("timing", timing(record))?;
    field(
        "bytes",
        format!(
            "{} sent, {} received",
            record.request_bytes, record.response_bytes
        ),
    )?;
    field("tags", pairs(&record.tags))?;
    field("notes", record.notes.join(", "))
}

fn pairs(map: &BTreeMap<String, impl Display>) -> String {
    let pairs = map.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(", ")
}

fn client(record: &UsageRecord) -> String {
    let parts = [
        ("", &record.identity.sdk),
        ("app ", &record.identity.app_id),
    ];
    let known = parts
        .into_iter()
        .filter_map(|(word, value)| value.as_ref().map(|value| format!("{word}{value}")));
    known.collect::<Vec<_>>().join(", ")
}

fn call(record: &UsageRecord) -> String {
    let call = words([("", &record.operation), ("of ", &record.model)]);
    match &record.model_name {
        Some(name) => format!("{call} ({name})"),
        None => call,
    }
}

fn attempt(record: &UsageRecord) -> String {
    let attempt = record.attempt.map(|attempt| attempt.to_string());
    words([("", &attempt), ("of invocation ", &record.invocation_id)])
}

/// Those that are known, each after its word.
fn words<const N: usize>(known: [(&str, &Option<String>); N]) -> String {
    let known: Vec<String> = known
        .into_iter()
        .filter_map(|(word, value)| value.as_ref().map(|value| format!("{word}{value}")))
        .collect();
    known.join(" ")
}

fn caller(record: &UsageRecord) -> String {
    let identity = &record.identity;
    let session = match identity.session {
        Some(true) => " (temporary)",
        Some(false) | None => "",
    };
    let parts = [
        ("", &identity.name, ""),
        ("role ", &identity.role, ""),
        ("proxy user ", &identity.proxy_user, ""),
        ("API key ", &identity.api_key, ""),
        ("access key ", &identity.access_key_id, session),
        ("account ", &identity.account_id, ""),
    ];
    let known: Vec<String> = parts
        .into_iter()
        .filter_map(|(word, value, after)| {
            value.as_ref().map(|value| format!("{word}{value}{after}"))
        })
        .collect();
    if known.is_empty() {
        return String::new();
    }
    let proof = if identity.verified {
        "accepted by the upstream"
    } else {
        "as claimed"
    };
    format!("{} ({proof})", known.join(", "))
}

fn result(record: &UsageRecord) -> String {
    let mut parts = vec![match record.status {
        Some(status) => format!("{status} {}", record.outcome.as_str()),
        None => record.outcome.as_str().to_owned(),
    }];
    if record.stream {
        parts.push("stream".to_owned());
    }
    if let Some(error) = &record.error_type {
        parts.push(error.clone());
    }
    if let Some(reason) = &record.finish_reason {
        parts.push(format!("finished by {reason}"));
    }
    if let Some(id) = &record.aws_request_id {
        parts.push(format!("AWS request {id}"));
    }
    parts.join(", ")
}

fn usage(record: &UsageRecord) -> String {
    let usage = &record.usage;
    let counts = [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache read", usage.cache_read_tokens),
        ("cache write", usage.cache_write_tokens),
        ("cache write 1h", usage.cache_write_1h_tokens),
        ("reasoning", usage.reasoning_tokens),
        ("total", usage.total_tokens),
    ];
    let known: Vec<String> = counts
        .into_iter()
        .filter_map(|(name, count)| count.map(|count| format!("{count} {name}")))
        .collect();
    if known.is_empty() {
        return "unknown".to_owned();
    }
    let source = usage.source.map_or("unknown", crate::ledger::source_name);
    format!("{} (source: {source})", known.join(", "))
}

fn cost(record: &UsageRecord) -> String {
    let cost = &record.cost;
    let amount = cost
        .usd
        .as_ref()
        .map_or_else(|| "unknown".to_owned(), |usd| format!("{usd} USD"));
    let price = words([("price ", &cost.price_key), ("as of ", &cost.price_as_of)]);
    let gap = if price.is_empty() { "" } else { ", " };
    format!("{amount} ({}{gap}{price})", cost.status.as_str())
}

fn timing(record: &UsageRecord) -> String {
    let mut parts = Vec::new();
    if let Some(ms) = record.first_byte_ms {
        parts.push(format!("first byte after {ms:.1} ms"));
    }
    if let Some(ms) = record.first_token_ms {
        parts.push(format!("first token after {ms:.1} ms"));
    }
    parts.push(format!("end after {:.1} ms", record.duration_ms));
    parts.join(", ")
}

fn write_payload(out: &mut impl Write, payload: &Payload) -> io::Result<()> {
    for (side, head, content, truncated) in [
        (
            "request",
            &payload.request_head,
            &payload.request_body,
            payload.request_truncated,
        ),
        (
            "response",
            &payload.response_head,
            &payload.response_body,
            payload.response_truncated,
        ),
    ] {
        writeln!(out, "\n--- {side} ---")?;
        if head.is_empty() {
            writeln!(out, "no {side} head was kept")?;
        } else {
            write!(out, "{}", Lines(&String::from_utf8_lossy(head)))?;
        }
        body::write(out, head, content, truncated)?;
    }
    Ok(())
}

/// The record with its payload beside the other fields.
#[derive(Serialize)]
pub(super) struct FoundJson<'a> {
    #[serde(flatten)]
    record: &'a UsageRecord,
    payload: Option<PayloadJson<'a>>,
}

/// A payload as it is stored. A body that is not UTF-8 is in the field with `base64` in its name.
#[derive(Serialize)]
struct PayloadJson<'a> {
    request_head: String,
    request_body: Option<&'a str>,
    request_body_base64: Option<String>,
    request_truncated: bool,
    response_head: String,
    response_body: Option<&'a str>,
    response_body_base64: Option<String>,
    response_truncated: bool,
}

impl<'a> FoundJson<'a> {
    pub(super) fn new(found: &'a Found) -> Self {
        let payload = found.payload.as_ref().map(|payload| {
            let (request_body, request_body_base64) = text_or_base64(&payload.request_body);
            let (response_body, response_body_base64) = text_or_base64(&payload.response_body);
            PayloadJson {
                request_head: String::from_utf8_lossy(&payload.request_head).into_owned(),
                request_body,
                request_body_base64,
                request_truncated: payload.request_truncated,
                response_head: String::from_utf8_lossy(&payload.response_head).into_owned(),
                response_body,
                response_body_base64,
                response_truncated: payload.response_truncated,
            }
        });
        Self {
            record: &found.record,
            payload,
        }
    }
}

fn text_or_base64(body: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(body) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(body))),
    }
}

#[cfg(test)]
mod tests;
