//! What the calls of a run came to: for a person, on standard error, when the command has ended.
//!
//! A line with the whole and a table by model; the numbers are those of `tollgate stats` with the same filter, tunnels
//! aside. When nothing was recorded, why that may be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use super::super::money::compact;
use super::super::table::{Align, Table, text, unknown};
use super::super::terminal::ReportError;
use crate::ledger::stats::Totals;
use crate::ledger::{Dimension, Entry, Key, Query, QueryError, Reader, UsageRecord};

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    /// By model, as it is named to people.
    models: BTreeMap<Option<String>, Sum>,
    total: Sum,
    /// Connections to other hosts, which were not opened.
    tunnels: u64,
    slowest: Option<Slowest>,
}

/// Sums of some calls; what nobody told stays unknown.
#[derive(Clone, Debug, Default)]
struct Sum {
    calls: u64,
    failed: u64,
    /// Input, output, cache reads, cache writes.
    tokens: [Option<u128>; 4],
    picousd: Option<u128>,
    unpriced: u64,
    estimated: u64,
}

#[derive(Clone, Debug)]
struct Slowest {
    duration_ms: f64,
    what: String,
}

impl Summary {
    /// Adds up what `query` finds.
    pub(super) fn collect(reader: &Reader, query: &Query) -> Result<Self, QueryError> {
        let mut summary = Self::default();
        let by = [Dimension::Entry, Dimension::Model];
        for group in reader.sums(query, &by, &mut || ())?.groups {
            let mut keys = group.keys.into_iter();
            if is_tunnel(keys.next()) {
                summary.tunnels += group.totals.calls;
                continue;
            }
            let model = match keys.next() {
                Some(Key::Text(model)) => Some(model),
                _ => None,
            };
            summary.models.entry(model).or_default().add(&group.totals);
            summary.total.add(&group.totals);
        }
        for record in reader.records(query)? {
            summary.see(&record?);
        }
        Ok(summary)
    }

    fn see(&mut self, record: &UsageRecord) {
        let slower = |slowest: &Slowest| record.duration_ms > slowest.duration_ms;
        if record.entry == Entry::Tunnel || !self.slowest.as_ref().is_none_or(slower) {
            return;
        }
        let model = record.model_name.as_ref().or(record.model.as_ref());
        let words = [record.operation.as_ref(), model].into_iter().flatten();
        let words: Vec<String> = words.map(|word| text(Some(word))).collect();
        self.slowest = Some(Slowest {
            duration_ms: record.duration_ms,
            what: words.join(" "),
        });
    }

    /// Prints it, and `more`, the command that lists the calls; with colour for a person who wants any.
    pub(super) fn print_to_stderr(&self, more: &str) -> Result<(), ReportError> {
        let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let mut page = Vec::new();
        self.print(more, colour, &mut page)?;
        // Whoever closed our standard error does not want to read it.
        if io::stderr().lock().write_all(&page).is_err() {
            tracing::debug!("nobody reads the summary");
        }
        Ok(())
    }

    fn print(&self, more: &str, colour: bool, out: &mut impl Write) -> io::Result<()> {
        let (bold, plain) = if colour {
            ("\u{1b}[1m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        writeln!(out, "{bold}tollgate: {}{plain}", self.headline())?;
        if self.total.calls == 0 {
            return out.write_all(WHY_NOTHING.as_bytes());
        }
        let names = ["CALLS", "FAILED", "IN", "OUT", "CACHE R", "CACHE W", "USD"];
        let numbers = names.map(|name| (name, Align::Right));
        let mut table = Table::new([("  MODEL", Align::Left)].into_iter().chain(numbers));
        let mut models: Vec<_> = self.models.iter().collect();
        models.sort_by(|(_, a), (_, b)| b.picousd.cmp(&a.picousd).then(b.calls.cmp(&a.calls)));
        let rows: Vec<Vec<String>> = models
            .into_iter()
            .map(|(model, sum)| sum.row(&text(model.as_deref())))
            .collect();
        table.print_block(&rows, out)?;
        writeln!(out, "  {more}")
    }

    fn headline(&self) -> String {
        let total = &self.total;
        if total.calls == 0 {
            return match self.tunnels {
                0 => "no Bedrock call was seen, and no other".to_owned(),
                count => format!(
                    "no Bedrock call was seen; {} to other hosts",
                    connections(count)
                ),
            };
        }
        let mut line = counted(total.calls, "call", "calls");
        let mut add = |part: &str| {
            line.push_str(", ");
            line.push_str(part);
        };
        if total.failed > 0 {
            add(&format!("{} failed", total.failed));
        }
        let known = total.tokens.iter().flatten();
        add(&match total.tokens {
            [None, None, None, None] => "tokens unknown".to_owned(),
            _ => format!("{} tokens", known.sum::<u128>()),
        });
        if total.picousd.is_some() {
            add(&format!("{} USD", total.money()));
        }
        if total.unpriced > 0 {
            add(&format!("{} unpriced", total.unpriced));
        }
        if let Some(slowest) = &self.slowest {
            let mut part = format!("slowest {}", duration(slowest.duration_ms));
            if !slowest.what.is_empty() {
                let written = write!(part, " ({})", slowest.what);
                debug_assert!(written.is_ok(), "a String takes everything");
            }
            add(&part);
        }
        if self.tunnels > 0 {
            add(&format!("{} to other hosts", connections(self.tunnels)));
        }
        line
    }
}

/// What keeps calls away from the gate, most frequent first.
const WHY_NOTHING: &str = "  If there were calls, they went past the gate. Perhaps
  - the program sets endpoint_url, proxies or NO_PROXY itself, or reads no proxy variables at all
  - it uses the AWS SDK for JavaScript v3, whose default handler ignores proxies: try `tollgate run --node-hook`
  - it asked a process that had been started before, with the variables of that time
";

impl Sum {
    fn add(&mut self, totals: &Totals) {
        self.calls += totals.calls;
        self.failed += totals.failed;
        self.unpriced += totals.unpriced;
        self.estimated += totals.estimated;
        let counts = [
            totals.input_tokens,
            totals.output_tokens,
            totals.cache_read_tokens,
            totals.cache_write_tokens,
        ];
        for (sum, count) in self.tokens.iter_mut().zip(counts) {
            *sum = together(*sum, count);
        }
        self.picousd = together(self.picousd, totals.cost_picousd);
    }

    fn row(&self, model: &str) -> Vec<String> {
        let count = |count: Option<u128>| count.map_or_else(unknown, |count| count.to_string());
        let [input, output, read, write] = self.tokens.map(count);
        vec![
            format!("  {model}"),
            self.calls.to_string(),
            self.failed.to_string(),
            input,
            output,
            read,
            write,
            self.money(),
        ]
    }

    /// With `~` when some of it was estimated or is known in part.
    fn money(&self) -> String {
        let about = if self.estimated > 0 || self.unpriced > 0 {
            "~"
        } else {
            ""
        };
        self.picousd
            .map_or_else(unknown, |picos| format!("{about}{}", compact(picos)))
    }
}

fn together(a: Option<u128>, b: Option<u128>) -> Option<u128> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (one, None) | (None, one) => one,
    }
}

fn is_tunnel(entry: Option<Key>) -> bool {
    matches!(entry, Some(Key::Text(entry)) if entry == Entry::Tunnel.as_str())
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn connections(count: u64) -> String {
    counted(count, "connection", "connections")
}

fn duration(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

#[cfg(test)]
mod tests;
