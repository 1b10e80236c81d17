//! One table for each scenario: medians, the least and the most of all runs, and how often the pump's figure that is.

use crate::figures::{Samples, Summary};
use crate::scenarios::Scenario;

use super::number;

/// Figures in the order of their columns: name, heading, and whether the ratio to the pump is told.
const COLUMNS: &[(&str, &str, bool)] = &[
    ("cpu_us_per_request", "CPU µs/request", true),
    ("cpu_us_per_message", "CPU µs/message", true),
    ("cpu_us_per_mb", "CPU µs/MB", true),
    ("requests_per_s", "requests/s", true),
    ("messages_per_s", "messages/s", true),
    ("mb_per_s", "MB/s", true),
    ("p50_us", "p50 µs", false),
    ("p99_us", "p99 µs", false),
    ("first_byte_p50_us", "first byte p50 µs", false),
    ("first_byte_p99_us", "first byte p99 µs", false),
    ("message_p50_us", "message p50 µs", false),
    ("message_p99_us", "message p99 µs", false),
    ("kib_per_tunnel_opened", "KiB/tunnel opened", true),
    ("kib_per_tunnel_used", "KiB/tunnel used", true),
    ("accepted_ms", "accepts after ms", false),
    ("tls_ms", "first TLS after ms", false),
    ("cpu_share", "cores busy", false),
    ("resident_mib", "RSS MiB", false),
    ("peak_mib", "peak RSS MiB", false),
];

/// The floor that ratios are told to.
const FLOOR: &str = "pump";

/// The table of one scenario; nothing if nothing was measured.
pub(crate) fn of(scenario: &Scenario, samples: &Samples) -> String {
    let name = scenario.name.as_str();
    let contenders = samples.contenders(name);
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(figure, ..)| {
            contenders
                .iter()
                .any(|contender| samples.median(name, contender, figure).is_some())
        })
        .collect();
    if columns.is_empty() {
        return String::new();
    }
    let mut text = format!("\n### `{name}`: {}\n\n| |", scenario.title);
    for (_, heading, _) in &columns {
        text += &format!(" {heading} |");
    }
    text += "\n|---|";
    text += &"---:|".repeat(columns.len());
    text += "\n";
    for contender in &contenders {
        text += &format!("| {contender} |");
        for (figure, _, relative) in &columns {
            let floor = samples.median(name, FLOOR, figure).filter(|_| *relative);
            match samples.summary(name, contender, figure) {
                Some(summary) => text += &format!(" {} |", cell(summary, floor)),
                None => text += " |",
            }
        }
        text += "\n";
    }
    text
}

fn cell(summary: Summary, floor: Option<f64>) -> String {
    let mut text = number(summary.median);
    if summary.runs > 1 {
        text += &format!(" ({}–{})", number(summary.least), number(summary.most));
    }
    if let Some(floor) = floor.filter(|floor| *floor > 0.0) {
        text += &format!(" ×{:.2}", summary.median / floor);
    }
    text
}
