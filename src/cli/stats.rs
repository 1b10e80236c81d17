//! `tollgate stats`: calls, tokens and cost, by model, caller, day and more.
//!
//! A table with a total for people, CSV for spreadsheets, and one JSON object a group and line for scripts. The numbers
//! are those of summing `tollgate log --json` with the same filters. Adding up is left to the ledger.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::filter::Filter;
use super::money::{Dollars, compact};
use super::progress::Progress;
use super::spreadsheet;
use super::table::{Align, Table, text, unknown};
use super::terminal::{ReportError, to_stdout, write_json};
use crate::ledger::stats::{Sums, Totals};
use crate::ledger::{Dimension, FILE_NAME, Key, Reader};

/// What `tollgate stats` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct StatsArgs {
    /// What to sum by, separated by commas: model, identity, account, role, region, operation, route, host, status,
    /// outcome, error, tier, entry, sdk, app, day, hour (UTC), tag:KEY
    #[arg(
        long,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "model"
    )]
    pub by: Vec<Dimension>,
    /// Comma-separated values with a header (RFC 4180)
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// One JSON object for each group, one a line
    #[arg(long)]
    pub json: bool,
    /// Which records.
    #[command(flatten)]
    pub filter: Filter,
}

/// What is told of a group: its name in JSON and CSV, and in the table's header.
const COLUMNS: [(&str, &str); 11] = [
    ("calls", "CALLS"),
    ("failed", "FAILED"),
    ("input_tokens", "IN"),
    ("output_tokens", "OUT"),
    ("cache_read_tokens", "CACHE R"),
    ("cache_write_tokens", "CACHE W"),
    ("cost_usd", "USD"),
    ("unpriced", "UNPRICED"),
    ("estimated", "ESTIMATED"),
    ("p50_ms", "P50 MS"),
    ("p95_ms", "P95 MS"),
];

/// One number of a group.
enum Number {
    Count(u128),
    Money(u128),
    Milliseconds(f64),
    Unknown,
}

/// Prints sums over the ledger in `home` to standard output.
///
/// # Errors
/// [`ReportError`] if there is no ledger, it cannot be read, or the output cannot be written.
pub fn run(args: &StatsArgs, home: &Path) -> Result<(), ReportError> {
    to_stdout(|out| print(args, home, OffsetDateTime::now_utc(), out))
}

/// Prints sums over the ledger in `home` to `out`, as of `now`.
///
/// # Errors
/// [`ReportError`], as [`run`].
pub fn print(
    args: &StatsArgs,
    home: &Path,
    now: OffsetDateTime,
    out: &mut impl Write,
) -> Result<(), ReportError> {
    let reader = Reader::open(&home.join(FILE_NAME))?;
    let mut progress = Progress::new("adding up");
    let sums = reader.sums(&args.filter.query(now), &args.by, &mut || progress.step())?;
    drop(progress);
    if args.json {
        print_json(&args.by, &sums, out)
    } else if args.csv {
        print_csv(&args.by, &sums, out)
    } else {
        print_table(&args.by, &sums, out)
    }
}

fn print_json(by: &[Dimension], sums: &Sums, out: &mut impl Write) -> Result<(), ReportError> {
    for group in &sums.groups {
        let mut object = Map::new();
        for (dimension, key) in by.iter().zip(&group.keys) {
            object.insert(
                dimension.name(),
                match key {
                    Key::Unknown => Value::Null,
                    Key::Number(number) => Value::from(*number),
                    Key::Text(text) => Value::from(text.as_str()),
                },
            );
        }
        for ((name, _), number) in COLUMNS.into_iter().zip(numbers(&group.totals)) {
            object.insert(name.to_owned(), number.json());
        }
        write_json(out, &object)?;
    }
    Ok(())
}

fn print_csv(by: &[Dimension], sums: &Sums, out: &mut impl Write) -> Result<(), ReportError> {
    let mut csv = spreadsheet::writer(out);
    let names = by
        .iter()
        .map(|dimension| spreadsheet::cell(&dimension.name()));
    let columns = COLUMNS.iter().map(|(name, _)| (*name).to_owned());
    spreadsheet::write(&mut csv, names.chain(columns))?;
    for group in &sums.groups {
        let keys = group.keys.iter().map(|key| match key {
            Key::Unknown => String::new(),
            Key::Number(number) => number.to_string(),
            Key::Text(text) => spreadsheet::cell(text),
        });
        let numbers = numbers(&group.totals)
            .into_iter()
            .map(|number| number.exact());
        spreadsheet::write(&mut csv, keys.chain(numbers))?;
    }
    Ok(csv.flush()?)
}

fn print_table(by: &[Dimension], sums: &Sums, out: &mut impl Write) -> Result<(), ReportError> {
    let names = by.iter().map(|dimension| {
        let name = dimension.name().to_uppercase();
        let align = match dimension {
            Dimension::Status => Align::Right,
            _ => Align::Left,
        };
        (text(Some(&name)), align)
    });
    let columns = COLUMNS.map(|(_, header)| (header.to_owned(), Align::Right));
    let mut table = Table::new(names.chain(columns).collect::<Vec<_>>());
    let mut rows: Vec<Vec<String>> = Vec::new();
    for group in &sums.groups {
        let keys = group.keys.iter().map(|key| match key {
            Key::Unknown => unknown(),
            Key::Number(number) => number.to_string(),
            Key::Text(key) => text(Some(key)),
        });
        rows.push(keys.chain(cells(&group.totals)).collect());
    }
    let keys = by.iter().enumerate();
    let keys = keys.map(|(at, _)| if at == 0 { "total" } else { "" }.to_owned());
    rows.push(keys.chain(cells(&sums.total)).collect());
    Ok(table.print_block(&rows, out)?)
}

fn cells(totals: &Totals) -> impl Iterator<Item = String> {
    numbers(totals).into_iter().map(|number| number.cell())
}

fn numbers(totals: &Totals) -> [Number; COLUMNS.len()] {
    let tokens = |count: Option<u128>| count.map_or(Number::Unknown, Number::Count);
    let percentile = |percent| {
        let found = totals.durations.percentile(percent);
        found.map_or(Number::Unknown, Number::Milliseconds)
    };
    [
        Number::Count(totals.calls.into()),
        Number::Count(totals.failed.into()),
        tokens(totals.input_tokens),
        tokens(totals.output_tokens),
        tokens(totals.cache_read_tokens),
        tokens(totals.cache_write_tokens),
        totals.cost_picousd.map_or(Number::Unknown, Number::Money),
        Number::Count(totals.unpriced.into()),
        Number::Count(totals.estimated.into()),
        percentile(50),
        percentile(95),
    ]
}

impl Number {
    fn json(&self) -> Value {
        match self {
            Self::Count(count) => match u64::try_from(*count) {
                Ok(count) => Value::from(count),
                // Beyond what JSON readers take for an integer.
                Err(_) => Value::from(count.to_string()),
            },
            Self::Money(picos) => Value::from(Dollars(*picos).to_string()),
            Self::Milliseconds(ms) => Value::from(round(*ms)),
            Self::Unknown => Value::Null,
        }
    }

    fn exact(&self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Money(picos) => Dollars(*picos).to_string(),
            Self::Milliseconds(ms) => round(*ms).to_string(),
            Self::Unknown => String::new(),
        }
    }

    fn cell(&self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            Self::Money(picos) => compact(*picos),
            Self::Milliseconds(ms) => format!("{ms:.0}"),
            Self::Unknown => unknown(),
        }
    }
}

/// To a tenth: the rest would claim more than is known.
fn round(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
