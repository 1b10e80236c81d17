//! What comes out: a line per run while it runs, then tables, samples and a chart.

mod chart;
mod tables;
mod targets;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::figures::{Figures, Samples};
use crate::machine;
use crate::options::Outputs;
use crate::scenarios::Scenario;

/// Everything a report tells.
pub(crate) struct Report<'a> {
    /// What was run.
    pub scenarios: &'a [Scenario],
    /// What came out.
    pub samples: &'a Samples,
    /// Scenario and contender of runs that did not come to their end.
    pub failures: &'a [(String, String)],
    /// How long it all took.
    pub took: Duration,
    /// Processes that wanted to run on this machine, on average, when the benchmark began; it should be none.
    pub load_before: String,
    /// The command that makes it again.
    pub command: String,
}

/// The tables of a document stand between these lines.
const BEGIN: &str = "<!-- load benchmark: begin -->";
const END: &str = "<!-- load benchmark: end -->";

impl Report<'_> {
    /// Puts everything where it was asked for; tables go to standard output unless a file is named.
    pub(crate) fn write(&self, outputs: &Outputs) -> Result<(), Failure> {
        let markdown = self.markdown();
        if let Some(file) = &outputs.json {
            fs::write(file, serde_json::to_string_pretty(&self.json())? + "\n")?;
        }
        if let Some(file) = &outputs.svg {
            fs::write(file, chart::draw(self.samples))?;
        }
        if let Some(document) = &outputs.write {
            self.write_into(document, &markdown)?;
        }
        match &outputs.markdown {
            Some(file) => fs::write(file, markdown)?,
            None if outputs.write.is_none() => {
                io::stdout().lock().write_all(markdown.as_bytes())?;
            }
            None => {}
        }
        Ok(())
    }

    fn write_into(&self, document: &Path, markdown: &str) -> Result<(), Failure> {
        let chart = document.with_extension("svg");
        let name = chart.file_name().unwrap_or_default().display();
        let text = fs::read_to_string(document)?;
        let missing = || format!("{} has no line {BEGIN} and {END}", document.display());
        let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
        let (_, after) = rest.split_once(END).ok_or_else(missing)?;
        let written = format!(
            "{before}{BEGIN}\n\n![Processor time per request]({name})\n\n{markdown}\n{END}{after}"
        );
        fs::write(document, written)?;
        fs::write(chart, chart::draw(self.samples))?;
        Ok(())
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "- Machine: {}\n- Load average before the run: {}\n- Commit: {}\n- Command: `{}`, which took {} s\n",
            machine::describe(),
            self.load_before,
            machine::commit(),
            self.command,
            self.took.as_secs(),
        );
        for (scenario, contender) in self.failures {
            text += &format!("- **Not measured**: {contender} failed in `{scenario}`\n");
        }
        text += "\n";
        text += &targets::table(self.samples);
        for scenario in self.scenarios {
            text += &tables::of(scenario, self.samples);
        }
        text
    }

    fn json(&self) -> Value {
        let samples: Vec<Value> = self
            .samples
            .0
            .iter()
            .map(|sample| {
                json!({
                    "scenario": sample.scenario,
                    "contender": sample.contender,
                    "figures": sample.figures,
                })
            })
            .collect();
        json!({
            "machine": machine::describe(),
            "load_before": self.load_before,
            "commit": machine::commit(),
            "command": self.command,
            "seconds": self.took.as_secs(),
            "failures": self.failures,
            "samples": samples,
        })
    }
}

/// One run on one line.
pub(crate) fn line(figures: &Figures) -> String {
    let parts: Vec<String> = figures
        .iter()
        .map(|(name, value)| format!("{name} {}", number(*value)))
        .collect();
    parts.join("  ")
}

/// As many digits as can mean something.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
