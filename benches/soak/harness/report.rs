//! What is told of a run: a verdict for each promise, the figures behind it, and where to look when one is broken. As
//! Markdown for people, as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::Value;

use super::audit::Audit;
use super::gate::{Place, Said};
use super::phases::LONG;
use super::rows::Row;
use super::trend::{fit, median};
use super::watch::Sample;
use super::{Failure, Plan};

/// A run, and what was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    version: String,
    revision: String,
    machine: String,
    seconds: u64,
    clients: u8,
    pause_ms: u64,
    seed: u64,
    directory: PathBuf,
    /// Just after the start.
    pub(crate) fresh: Sample,
    pub(crate) load: Phase,
    pub(crate) quiet: Sample,
    pub(crate) samples: Vec<Sample>,
    /// The gate that bore the load was still running after it.
    pub(crate) survived: bool,
    /// Exchanges around the kill.
    pub(crate) around_kill: usize,
    pub(crate) stalled_before_kill: bool,
    stalls: u64,
    grave: Vec<String>,
    pub(crate) drained: Drained,
    pub(crate) exchanges: usize,
    pub(crate) records: usize,
    /// Records before the last gate started, and the lines that it printed.
    pub(crate) records_before: usize,
    pub(crate) lines: u64,
    pub(crate) checkpoints: Vec<usize>,
    /// Records that an answer's holder did not find at the first look.
    pub(crate) late_records: usize,
    pub(crate) connections: u64,
    pub(crate) spoiled: u64,
    pub(crate) visits: BTreeMap<&'static str, u64>,
    pub(crate) tally: BTreeMap<String, u64>,
    whole: u64,
    lost: u64,
    doubled: u64,
    pub(crate) integrity: String,
    pub(crate) findings: Vec<String>,
    verdicts: Vec<Verdict>,
}

/// A stretch of the run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Phase {
    /// Seconds of the watch.
    pub(crate) from: f64,
    pub(crate) until: f64,
    pub(crate) exchanges: usize,
}

/// How the last gate ended.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Drained {
    /// Exchanges that ran when it was told to stop.
    pub(crate) running: usize,
    /// Streams that came to their ends.
    pub(crate) whole: usize,
    pub(crate) of: usize,
    pub(crate) idle_closed: usize,
    pub(crate) refuses_new: bool,
    pub(crate) exit: Option<i32>,
}

/// Whether one promise was kept.
#[derive(Clone, Debug, Serialize)]
struct Verdict {
    promise: &'static str,
    kept: bool,
    figures: String,
}

/// Memory is judged from here on, as a part of the load: caches have filled by then, and the allocator has what it keeps.
const STEADY_FROM: f64 = 0.5;
/// The most that the line through the steady part may rise, in bytes an exchange. The smallest thing that could be kept
/// of an exchange takes several times that; what is left below is the allocator's growing raggedness, which slows down.
const MOST_RISE: f64 = 16.0;
/// The most that is left after the load, as a part of what was usual.
const MOST_LEFT: f64 = 1.02;
/// Findings that are shown.
const SHOWN: usize = 20;

impl Report {
    pub(crate) fn new(plan: &Plan, place: &Place) -> Result<Self, Failure> {
        let version = place.say(&["--version"])?.trim().to_owned();
        Ok(Self {
            version,
            revision: revision(),
            machine: machine(),
            seconds: plan.load.as_secs(),
            clients: plan.clients,
            pause_ms: u64::try_from(plan.pause.as_millis()).unwrap_or(u64::MAX),
            seed: plan.seed,
            directory: plan.directory.clone(),
            ..Self::default()
        })
    }

    /// Takes over what a gate said.
    pub(crate) fn heard(&mut self, said: &Said) {
        self.stalls += said.stalls.load(Ordering::Relaxed);
        self.grave.extend(said.grave());
    }

    /// Takes over what the audit found.
    pub(crate) fn audited(&mut self, audit: Audit) {
        self.tally = audit.tally;
        (self.whole, self.lost, self.doubled) = (audit.whole, audit.lost, audit.doubled);
        self.findings.extend(audit.findings);
    }

    /// Holds what the program's own commands print against the rows.
    pub(crate) fn read_back(&mut self, place: &Place, rows: &[Row]) -> Result<(), Failure> {
        let logged = place.say(&["log", "--json"])?;
        let mut known: BTreeMap<&str, &Row> =
            rows.iter().map(|row| (row.id.as_str(), row)).collect();
        for line in logged.lines() {
            let record: Value = serde_json::from_str(line)?;
            let text = |name: &str| record.get(name).and_then(Value::as_str);
            let count = |pointer: &str| record.pointer(pointer).and_then(Value::as_u64);
            let Some(row) = known.remove(text("id").unwrap_or_default()) else {
                self.findings.push(format!(
                    "`tollgate log` knows a record that SQLite does not: {line}"
                ));
                continue;
            };
            let same = text("outcome") == Some(row.outcome.as_str())
                && text("invocation_id") == row.marker.as_deref()
                && count("/usage/input_tokens") == row.input
                && count("/usage/output_tokens") == row.output;
            if !same {
                self.findings.push(format!(
                    "`tollgate log` and SQLite disagree: {line}\n    {row:?}"
                ));
            }
        }
        if !known.is_empty() {
            let missing = known.len();
            self.findings
                .push(format!("`tollgate log` does not know {missing} records"));
        }
        let stats = place.say(&["stats", "--by", "outcome", "--json"])?;
        let mut told = [0; 3];
        for line in stats.lines() {
            let group: Value = serde_json::from_str(line)?;
            for (sum, name) in told
                .iter_mut()
                .zip(["calls", "input_tokens", "output_tokens"])
            {
                *sum += group.get(name).and_then(Value::as_u64).unwrap_or_default();
            }
        }
        let sum = |count: fn(&Row) -> Option<u64>| rows.iter().filter_map(count).sum::<u64>();
        let calls = u64::try_from(rows.len())?;
        let summed = [calls, sum(|row| row.input), sum(|row| row.output)];
        if told != summed {
            self.findings.push(format!(
                "`tollgate stats` says {told:?}, the rows {summed:?}"
            ));
        }
        self.judge();
        Ok(())
    }

    /// Whether every promise was kept.
    pub(crate) fn is_good(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.kept)
    }

    fn judge(&mut self) {
        let Self {
            whole,
            lost,
            doubled,
            exchanges,
            records,
            ..
        } = *self;
        let mut verdicts = vec![
            Verdict {
                promise: "no record is lost or doubled",
                kept: lost == 0 && doubled == 0 && records > 0,
                figures: format!(
                    "{exchanges} exchanges, {whole} whole answers, {records} records, {lost} lost, {doubled} doubled"
                ),
            },
            Verdict {
                promise: "books, ledger and upstream agree",
                kept: self.findings.is_empty() && self.integrity == "ok",
                figures: format!(
                    "{} findings; integrity check: {}",
                    self.findings.len(),
                    self.integrity
                ),
            },
            Verdict {
                promise: "no descriptor, connection or thread is left",
                kept: self.quiet.descriptors == self.fresh.descriptors
                    && self.quiet.sockets == self.fresh.sockets
                    && self.quiet.threads <= self.fresh.threads,
                figures: format!(
                    "before {}, at most {}, after {}",
                    held(&self.fresh),
                    self.samples
                        .iter()
                        .map(Sample::all_descriptors)
                        .max()
                        .unwrap_or_default(),
                    held(&self.quiet)
                ),
            },
            self.memory(),
            Verdict {
                promise: "the gate neither died nor had anything grave to say",
                kept: self.survived && self.grave.is_empty(),
                figures: format!(
                    "{} lines; ledger slow {} times",
                    self.grave.len(),
                    self.stalls
                ),
            },
        ];
        let drained = self.drained;
        verdicts.push(Verdict {
            promise: "SIGTERM lets what runs come to its end and ends with status 0",
            kept: drained.whole == drained.of && drained.exit == Some(0) && drained.refuses_new,
            figures: format!(
                "{} of {} streams whole, {} running at the signal, {} idle connections closed, exit {:?}",
                drained.whole, drained.of, drained.running, drained.idle_closed, drained.exit
            ),
        });
        self.verdicts = verdicts;
    }

    fn memory(&self) -> Verdict {
        let promise = "memory is flat";
        let Phase { from, until, .. } = self.load;
        let steady_from = from + STEADY_FROM * (until - from);
        let steady: Vec<&Sample> = self
            .samples
            .iter()
            .filter(|sample| sample.at >= steady_from && sample.at <= until)
            .collect();
        let kib = |kib: u64| u32::try_from(kib).map_or(f64::MAX, f64::from);
        let points: Vec<(f64, f64)> = steady
            .iter()
            .map(|sample| (sample.at / 60.0, kib(sample.anon_kib)))
            .collect();
        let usual = median(points.iter().map(|(_, anon)| *anon).collect()).unwrap_or_default();
        let after = kib(self.quiet.anon_kib);
        let line = fit(&points);
        let slope = line.map_or(0.0, |line| line.slope);
        let minutes = ((until - from) / 60.0).max(1.0 / 60.0);
        let exchanges = f64::from(u32::try_from(self.load.exchanges).unwrap_or(u32::MAX));
        let each = slope * 1024.0 * minutes / exchanges.max(1.0);
        let figures = format!(
            "anonymous memory: line through the last {:.0} s of load {slope:+.0} KiB a minute, {each:+.1} bytes an \
             exchange, median {:.1} MiB, at most {:.1} MiB, after the load {:.1} MiB",
            until - steady_from,
            usual / 1024.0,
            points.iter().map(|(_, anon)| *anon).fold(0.0, f64::max) / 1024.0,
            after / 1024.0,
        );
        if self.seconds < LONG.as_secs() {
            let figures = format!("not judged, the load was too short; {figures}");
            return Verdict {
                promise,
                kept: true,
                figures,
            };
        }
        Verdict {
            promise,
            kept: line.is_some() && each <= MOST_RISE && after <= usual * MOST_LEFT,
            figures,
        }
    }

    /// For people.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "# Soak of {} ({})\n\n{} s of load, {} clients with pauses of {} ms, seed {}; {}\n\n\
             | promise | kept | figures |\n|---|---|---|\n",
            self.version,
            self.revision,
            self.seconds,
            self.clients,
            self.pause_ms,
            self.seed,
            self.machine
        );
        for verdict in &self.verdicts {
            let kept = if verdict.kept { "yes" } else { "**NO**" };
            add(
                &mut text,
                format_args!("| {} | {kept} | {} |\n", verdict.promise, verdict.figures),
            );
        }
        self.figures(&mut text);
        if !self.is_good() {
            self.failures(&mut text);
        }
        text
    }

    fn figures(&self, text: &mut String) {
        let lasted = (self.load.until - self.load.from).max(1.0);
        let exchanges = f64::from(u32::try_from(self.load.exchanges).unwrap_or(u32::MAX));
        let in_load =
            |sample: &&Sample| sample.at >= self.load.from && sample.at <= self.load.until;
        let ticks = self
            .samples
            .iter()
            .filter(in_load)
            .map(|sample| sample.ticks);
        let (first, last) = (ticks.clone().min(), ticks.max());
        let ticks = last.unwrap_or_default() - first.unwrap_or_default();
        let processor = f64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) / lasted;
        let connected = self
            .samples
            .iter()
            .map(Sample::connected)
            .max()
            .unwrap_or_default();
        let ledger = self.samples.last().map_or(0, |sample| sample.ledger_bytes);
        let wal = self
            .samples
            .iter()
            .map(|sample| sample.wal_bytes)
            .max()
            .unwrap_or_default();
        add(
            text,
            format_args!(
                "\n{:.0} exchanges a second, {} around the kill; the gate used {processor:.0} % of one core, held at most \
                 {connected} connections; {} connections to the upstream, {} of them spoiled; ledger {} MiB, its log at \
                 most {} MiB; {} lines on the last gate's standard output; answers looked up while the load lasted: {:?}, {} of them \
                 late\n",
                exchanges / lasted,
                self.around_kill,
                self.connections,
                self.spoiled,
                ledger >> 20,
                wal >> 20,
                self.lines,
                self.checkpoints,
                self.late_records,
            ),
        );
        text.push_str("\n| what clients saw → what was recorded | count |\n|---|---|\n");
        for (what, count) in &self.tally {
            add(text, format_args!("| {what} | {count} |\n"));
        }
        text.push_str("\n| what clients did | count |\n|---|---|\n");
        for (what, count) in &self.visits {
            add(text, format_args!("| {what} | {count} |\n"));
        }
    }

    fn failures(&self, text: &mut String) {
        let directory = self.directory.display();
        add(
            text,
            format_args!(
                "\n## What failed\n\nThe gate's diagnostics are in `{directory}/gate.log`, its ledger in \
                 `{directory}/home/ledger.db`\n(`tollgate log --home {directory}/home`, `tollgate show ID --home \
                 {directory}/home`); a marker is an\n`invocation_id`. Every sample is in `{directory}/soak.json`.\n\n"
            ),
        );
        for finding in self.grave.iter().chain(&self.findings).take(SHOWN) {
            add(text, format_args!("- {finding}\n"));
        }
        let all = self.grave.len() + self.findings.len();
        if all > SHOWN {
            add(text, format_args!("- and {} more\n", all - SHOWN));
        }
    }

    /// For programs.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    text.write_fmt(more).ok();
}

fn held(sample: &Sample) -> String {
    format!(
        "{} descriptors, {} connections, {} threads",
        sample.all_descriptors(),
        sample.connected(),
        sample.threads
    )
}

/// The revision of the sources, if they are a checkout.
fn revision() -> String {
    let git = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    git.ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "no revision".to_owned(), |text| text.trim().to_owned())
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores, {model}, Linux {}", kernel.trim())
}
