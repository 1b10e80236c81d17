//! `tollgate prices`: what models cost, as tollgate sees it.
//!
//! `list` prints the prices that can apply, `check` reports those that are not like the others, `explain` shows how the
//! price of one model is found and what a call would cost. All three read the same configuration as `serve`; which
//! price applies is decided in `spend`.

mod explain;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};
use wildmatch::WildMatch;

use super::Failure;
use super::terminal::{Line, ReportError, to_stdout, write_json};
use crate::config::{self, HomeOption, Options};
use crate::spend::PriceBook;
use crate::spend::operator::{Means, Override};
use crate::spend::price::{Band, Kind, Price, RateName, Row};
use crate::spend::ratios;

/// What `tollgate prices` understands; without a command it lists.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PricesArgs {
    #[command(subcommand)]
    command: Option<PricesCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Subcommand, Debug)]
enum PricesCommand {
    /// Print the prices that can apply, in US dollars per million tokens
    List(ListArgs),
    /// Report prices that break the usual ratios; fails only if the operator's own prices contradict themselves
    Check(SourceArgs),
    /// Show step by step how the price of a model is found, and what a call would cost
    Explain(explain::ExplainArgs),
}

/// Arguments of `list`.
#[derive(Args, Debug)]
struct ListArgs {
    /// Only keys that contain this; `*` stands for anything
    filter: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceArgs,
}

/// Where the operator's prices come from.
#[derive(Args, Clone, Debug)]
struct SourceArgs {
    #[command(flatten)]
    home: HomeOption,
    /// Price file laid over the built-in prices, as for serve
    #[arg(long, env = "TOLLGATE_PRICES_FILE", value_name = "FILE")]
    prices_file: Option<PathBuf>,
}

/// Prices that cannot all be true.
#[derive(Debug, thiserror::Error)]
#[error("your own prices contradict themselves in {0} places, see above")]
struct Contradictory(usize);

/// Runs the command.
///
/// # Errors
/// A configuration that cannot be used, an output that cannot be written; for `check`, contradictory prices.
pub fn run(args: &PricesArgs) -> Result<(), Failure> {
    match args.command.as_ref() {
        None => list(&args.list),
        Some(PricesCommand::List(args)) => list(args),
        Some(PricesCommand::Check(source)) => {
            let book = source.book()?;
            let mut contradictions = 0;
            to_stdout(|out| {
                contradictions = print_check(&book, out)?;
                Ok(())
            })?;
            match contradictions {
                0 => Ok(()),
                found => Err(Contradictory(found).into()),
            }
        }
        Some(PricesCommand::Explain(args)) => {
            let book = args.source.book()?;
            Ok(to_stdout(|out| explain::print(&book, args, out))?)
        }
    }
}

impl SourceArgs {
    fn book(&self) -> Result<PriceBook, Failure> {
        let options = Options {
            prices_file: self.prices_file.clone(),
            ..Options::default()
        };
        Ok(config::load_prices(&options, &self.home)?)
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let book = args.source.book()?;
    Ok(to_stdout(|out| {
        print_list(&book, args.filter.as_deref(), args.json, out)
    })?)
}

/// One price as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    like: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multiplier: Option<String>,
    /// By name, in US dollars per million tokens.
    rates: Map<String, Value>,
    long_context_above: Option<u64>,
    source: &'a str,
    as_of: Option<&'a str>,
    note: Option<&'a str>,
    #[serde(skip)]
    price: Option<&'a Price>,
}

impl<'a> Listed<'a> {
    fn row(row: &'a Row) -> Self {
        Self::priced(row.to_string(), &row.price)
    }

    fn priced(key: String, price: &'a Price) -> Self {
        let known = |name: RateName| {
            let rate = price.bands.rate(name)?;
            Some((name.to_string(), Value::String(rate.to_string())))
        };
        Self {
            key,
            like: None,
            multiplier: None,
            rates: RateName::all().filter_map(known).collect(),
            long_context_above: price.long_context_above,
            source: &price.source,
            as_of: price.as_of.as_deref(),
            note: price.note.as_deref(),
            price: Some(price),
        }
    }

    fn table(entry: &'a Override) -> Self {
        let mut listed = match &entry.means {
            Means::Rates(price) => Self::priced(entry.to_string(), price),
            Means::Like(_) | Means::AsNamed => Self {
                key: entry.to_string(),
                like: None,
                multiplier: None,
                rates: Map::new(),
                long_context_above: None,
                source: "tollgate.toml",
                as_of: None,
                note: None,
                price: None,
            },
        };
        if let Means::Like(id) = &entry.means {
            listed.like = Some(id);
        }
        listed.multiplier = entry.multiplier.map(|factor| factor.to_string());
        listed
    }

    fn cells(&self) -> [String; 11] {
        let rate = |band, kind| {
            let rate = self.price.and_then(|price| price.bands.of(band).of(kind));
            rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string())
        };
        let pair = |band| match self.price.filter(|price| !price.bands.of(band).is_empty()) {
            None => "-".to_owned(),
            Some(_) => format!("{}/{}", rate(band, Kind::Input), rate(band, Kind::Output)),
        };
        let long = match (self.long_context_above, pair(Band::Long)) {
            (None, _) => "-".to_owned(),
            (Some(above), rates) if rates == "-" => format!(">{above}: ?"),
            (Some(above), rates) => format!(">{above}: {rates}"),
        };
        let mut remarks = Vec::new();
        remarks.extend(self.like.map(|id| format!("like {id}")));
        remarks.extend(self.multiplier.as_ref().map(|factor| format!("×{factor}")));
        remarks.extend(self.note.map(str::to_owned));
        let [input, output, read, write, hour] = Kind::ALL.map(|kind| rate(Band::Standard, kind));
        let [batch, flex, priority] = [Band::Batch, Band::Flex, Band::Priority].map(pair);
        let remarks = remarks.join("; ");
        [
            self.key.clone(),
            input,
            output,
            read,
            write,
            hour,
            batch,
            flex,
            priority,
            long,
            remarks,
        ]
    }
}

const COLUMNS: [&str; 11] = [
    "KEY", "INPUT", "OUTPUT", "READ", "WRITE 5M", "WRITE 1H", "BATCH", "FLEX", "PRIORITY", "LONG",
    "REMARKS",
];

/// Prints the prices that can apply.
fn print_list(
    book: &PriceBook,
    filter: Option<&str>,
    json: bool,
    out: &mut impl Write,
) -> Result<(), ReportError> {
    let glob = filter.filter(|text| text.contains('*')).map(WildMatch::new);
    let wanted = |key: &str| match (&glob, filter) {
        (Some(glob), _) => glob.matches(key),
        (None, text) => text.is_none_or(|text| key.contains(text)),
    };
    let tables = book.overrides().iter().map(Listed::table);
    let rows = book.rows().map(Listed::row);
    let listed = tables.chain(rows).filter(|listed| wanted(&listed.key));
    if json {
        for listed in listed {
            write_json(out, &listed)?;
        }
        return Ok(());
    }
    let rows: Vec<_> = listed.map(|listed| listed.cells()).collect();
    Ok(print_table(&COLUMNS.map(str::to_owned), &rows, out)?)
}

/// Prints the report, and how many contradictions are in the operator's own prices.
fn print_check(book: &PriceBook, out: &mut impl Write) -> Result<usize, ReportError> {
    let oddities = ratios::oddities(book);
    let rows: Vec<_> = oddities
        .into_iter()
        .map(|odd| [odd.key, odd.what, odd.expected, odd.found])
        .collect();
    let header = ["KEY", "WHAT", "USUALLY", "IS"].map(str::to_owned);
    print_table(&header, &rows, out)?;
    writeln!(
        out,
        "\n{} of {} prices have something unusual, {} remarks in all. Unusual is not wrong: compare with your bill.",
        rows.chunk_by(|[a, ..], [b, ..]| a == b).count(),
        book.rows().count(),
        rows.len()
    )?;
    if let Some(file) = book.file() {
        writeln!(
            out,
            "The price file gives {} prices; passed over: {} entries of other providers, {} that name no model, \
             {} without a price for tokens.",
            file.rows().len(),
            file.others,
            file.not_ids,
            file.not_tokens
        )?;
    }
    let contradictions = ratios::contradictions(book);
    for found in &contradictions {
        writeln!(out, "{}", Line(found))?;
    }
    Ok(contradictions.len())
}

/// Prints columns as wide as what is in them; the last one as long as it is.
fn print_table<const N: usize>(
    header: &[String; N],
    rows: &[[String; N]],
    out: &mut impl Write,
) -> std::io::Result<()> {
    let lines: Vec<[String; N]> = std::iter::once(header)
        .chain(rows)
        .map(|row| row.each_ref().map(|cell| Line(cell).to_string()))
        .collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
