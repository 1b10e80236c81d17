//! `tollgate log`: the records, newest last, for people in aligned columns or for scripts as JSON lines.
//!
//! People get the last 50 unless they say otherwise, scripts get everything. `--follow` goes on with what is committed
//! from then on. Which records there are is the ledger's business (`ledger::query`).

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::filter::Filter;
use super::money::compact;
use super::progress::Progress;
use super::table::{Align, Table, text, unknown};
use super::terminal::{Line, ReportError, to_stdout, write_json};
use crate::ledger::{FILE_NAME, Outcome, Query, QueryError, Reader, UsageRecord};
use crate::spend::CostStatus;

/// What `tollgate log` understands.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogArgs {
    /// Go on with what is recorded from now on, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// One JSON object a line, exactly the usage record
    #[arg(long)]
    pub json: bool,
    /// Which records.
    #[command(flatten)]
    pub filter: Filter,
    /// Only the newest N records, or `all` [default: 50, with --json all]
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<Limit>,
}

/// How many records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Every one.
    All,
    /// The newest so many.
    Newest(u32),
}

/// Why `--limit` was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give a number or `all`")]
pub struct LimitError;

/// How many records a person is shown who did not say how many.
const SCREENFUL: u32 = 50;

/// How often `--follow` asks whether there is something new.
const POLL: Duration = Duration::from_millis(200);

/// Prints the records of the ledger in `home` to standard output.
///
/// # Errors
/// [`ReportError`] if there is no ledger, it cannot be read, or the output cannot be written.
pub fn run(args: &LogArgs, home: &Path) -> Result<(), ReportError> {
    to_stdout(|out| {
        print(args, home, OffsetDateTime::now_utc(), out, &mut || {
            std::thread::sleep(POLL);
            ControlFlow::Continue(())
        })
    })
}

/// Prints the records of the ledger in `home` to `out`, as of `now`. With `--follow`, `wait` is called before every look
/// for something new and says when to stop.
///
/// # Errors
/// [`ReportError`], as [`run`].
pub fn print(
    args: &LogArgs,
    home: &Path,
    now: OffsetDateTime,
    out: &mut impl Write,
    wait: &mut impl FnMut() -> ControlFlow<()>,
) -> Result<(), ReportError> {
    let reader = Reader::open(&home.join(FILE_NAME))?;
    let query = args.query(now);
    let mut printer = Printer::new(args.json);
    // Where no index helps, the first row may be long in coming.
    let looking = Progress::new("looking for records");
    let records = reader.records(&query)?;
    let mut seen = records.ceiling();
    let mut records = records.peekable();
    records.peek();
    drop(looking);
    let mut progress = Progress::beside_output("printing");
    printer.print(records.inspect(|_| progress.step()), out)?;
    drop(progress);
    if !args.follow {
        return Ok(());
    }
    out.flush()?;
    let mut version = None;
    while wait().is_continue() {
        // Asked for before the rows: what is committed in between shows itself at the next look.
        let now = Some(reader.data_version()?);
        if now == version {
            continue;
        }
        version = now;
        let records = reader.tail(&query, seen)?;
        seen = records.ceiling();
        printer.print(records, out)?;
        out.flush()?;
    }
    Ok(())
}

impl LogArgs {
    fn query(&self, now: OffsetDateTime) -> Query {
        let newest = match self.limit {
            Some(Limit::Newest(newest)) => Some(newest),
            Some(Limit::All) => None,
            None => (!self.json).then_some(SCREENFUL),
        };
        Query {
            newest,
            ..self.filter.query(now)
        }
    }
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::Newest).map_err(|_| LimitError)
    }
}

/// Prints records one after the other, JSON or a table whose columns grow with what they hold.
struct Printer {
    json: bool,
    table: Table,
}

/// The table's columns.
const COLUMNS: [(&str, Align); 13] = [
    ("TIME", Align::Left),
    ("ENTRY", Align::Left),
    ("STATUS", Align::Left),
    ("OPERATION", Align::Left),
    ("MODEL", Align::Left),
    ("IN", Align::Right),
    ("OUT", Align::Right),
    ("CACHE R", Align::Right),
    ("CACHE W", Align::Right),
    ("USD", Align::Right),
    ("MS", Align::Right),
    ("IDENTITY", Align::Left),
    ("ID", Align::Left),
];

/// How many rows are aligned with each other before they are written.
const BLOCK: usize = 50;

impl Printer {
    fn new(json: bool) -> Self {
        Self {
            json,
            table: Table::new(COLUMNS),
        }
    }

    fn print(
        &mut self,
        records: impl Iterator<Item = Result<UsageRecord, QueryError>>,
        out: &mut impl Write,
    ) -> Result<(), ReportError> {
        if self.json {
            for record in records {
                write_json(out, &record?)?;
            }
            return Ok(());
        }
        let mut records = records.peekable();
        while records.peek().is_some() {
            let rows: Vec<_> = records
                .by_ref()
                .take(BLOCK)
                .map(|record| record.map(|record| cells(&record)))
                .collect::<Result<_, QueryError>>()?;
            self.table.print_block(&rows, out)?;
        }
        Ok(())
    }
}

fn cells(record: &UsageRecord) -> [String; COLUMNS.len()] {
    let usage = &record.usage;
    let tokens = |count: Option<u64>| count.map_or_else(unknown, |count| count.to_string());
    let model = record.model_name.as_deref().or(record.model.as_deref());
    [
        seconds(&record.time),
        record.entry.as_str().to_owned(),
        status(record),
        text(record.operation.as_deref()),
        text(model),
        tokens(usage.input_tokens),
        tokens(usage.output_tokens),
        tokens(usage.cache_read_tokens),
        tokens(usage.cache_write_tokens),
        cost(record),
        format!("{:.0}", record.duration_ms),
        text(caller(record)),
        short_id(&record.id),
    ]
}

/// Dollars, with a tilde when they are not the whole truth.
fn cost(record: &UsageRecord) -> String {
    let Some(usd) = record.cost.usd else {
        return unknown();
    };
    let mark = match record.cost.status {
        CostStatus::Partial => "~",
        CostStatus::Exact | CostStatus::Derived | CostStatus::Unpriced => "",
    };
    format!("{mark}{}", compact(u128::from(usd.picos())))
}

/// The status, and what else there is to say when the call did not go well.
fn status(record: &UsageRecord) -> String {
    let mut words = vec![
        record
            .status
            .map_or_else(unknown, |status| status.to_string()),
    ];
    if record.outcome != Outcome::Complete {
        words.push(record.outcome.as_str().to_owned());
    }
    if let Some(error) = &record.error_type {
        words.push(Line(error).to_string());
    }
    words.join(" ")
}

/// The most telling of the names a caller has.
pub(super) fn caller(record: &UsageRecord) -> Option<&str> {
    let identity = &record.identity;
    identity
        .name
        .as_deref()
        .or(identity.proxy_user.as_deref())
        .or(identity.api_key.as_deref())
        .or(identity.access_key_id.as_deref())
        .or(identity.account_id.as_deref())
}

/// The end of an id, where UUIDv7 is random: `tollgate show` takes it.
fn short_id(id: &str) -> String {
    let skipped = id.chars().count().saturating_sub(SHORT_ID);
    let end: String = id.chars().skip(skipped).collect();
    Line(&end).to_string()
}

/// Two ids in 100,000 share the last eight hexadecimal digits; `show` then asks for more.
const SHORT_ID: usize = 8;

/// UTC, to the second.
fn seconds(time: &str) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::parse(time, &Rfc3339)
        .ok()
        .and_then(|time| time.to_offset(time::UtcOffset::UTC).format(format).ok())
        .unwrap_or_else(|| Line(time).to_string())
}

#[cfg(test)]
mod tests;
