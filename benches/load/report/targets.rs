//! What must be reached, as data, and whether it was.

use crate::figures::Samples;

use super::number;

/// One figure that must be reached.
struct Target {
    what: &'static str,
    scenario: &'static str,
    contender: &'static str,
    figure: &'static str,
    limit: Limit,
}

enum Limit {
    /// Not more than this.
    Most(f64),
    /// Not more than so many times another contender's.
    TimesMost(f64, &'static str),
    /// Not less than so many times another contender's.
    TimesLeast(f64, &'static str),
    /// Not more than another contender's and this together.
    AddedMost(f64, &'static str),
    /// Not more than so many times the same contender's in another scenario.
    GrownMost(f64, &'static str),
    /// Not less than so many times the same contender's in another scenario.
    GrownLeast(f64, &'static str),
}

/// How much a cost may grow and still be called flat: what alternating runs differ by on a shared machine.
const FLAT: f64 = 1.25;

const fn target(
    what: &'static str,
    scenario: &'static str,
    contender: &'static str,
    figure: &'static str,
    limit: Limit,
) -> Target {
    Target {
        what,
        scenario,
        contender,
        figure,
        limit,
    }
}

const CPU: &str = "cpu_us_per_request";
const RATE: &str = "requests_per_s";
const NONE: &str = "tollgate-none";
const PLAIN: &str = "tollgate-none-transparent";
const OURS: &str = "tollgate";
const KEPT: &str = "CPU µs per request, keep-alive, `--payload none`";
const FULL: &str = "CPU µs per request, keep-alive, defaults";

const TARGETS: &[Target] = &[
    target(KEPT, "keepalive", NONE, CPU, Limit::TimesMost(1.5, "pump")),
    target(
        KEPT,
        "keepalive",
        PLAIN,
        CPU,
        Limit::TimesMost(1.0, "haproxy"),
    ),
    target(
        KEPT,
        "keepalive",
        PLAIN,
        CPU,
        Limit::TimesMost(1.0, "nginx"),
    ),
    target(FULL, "keepalive", OURS, CPU, Limit::TimesMost(2.0, "pump")),
    target(
        FULL,
        "keepalive",
        OURS,
        CPU,
        Limit::TimesMost(1.0, "hudsucker"),
    ),
    target(
        "requests/s, keep-alive, defaults",
        "keepalive",
        OURS,
        RATE,
        Limit::TimesLeast(1.2, "hudsucker"),
    ),
    target(
        "added latency p50 µs, 1 connection",
        "latency",
        OURS,
        "p50_us",
        Limit::AddedMost(40.0, "direct"),
    ),
    target(
        "added latency p99 µs, 1 connection",
        "latency",
        OURS,
        "p99_us",
        Limit::AddedMost(300.0, "direct"),
    ),
    target(
        "CPU µs per new tunnel and request",
        "tunnel",
        OURS,
        CPU,
        Limit::Most(350.0),
    ),
    target(
        "new tunnels/s",
        "tunnel",
        OURS,
        RATE,
        Limit::TimesLeast(1.0, "hudsucker"),
    ),
    target(
        "new tunnels/s",
        "tunnel",
        OURS,
        RATE,
        Limit::TimesLeast(1.0, "mitmproxy"),
    ),
    target(
        "new tunnels/s, transparent",
        "tunnel",
        "tollgate-transparent",
        RATE,
        Limit::TimesLeast(1.0, "haproxy"),
    ),
    target(
        "new tunnels/s, transparent",
        "tunnel",
        "tollgate-transparent",
        RATE,
        Limit::TimesLeast(1.0, "nginx"),
    ),
    target(
        "stream: added time to first byte, p50 µs",
        "stream",
        OURS,
        "first_byte_p50_us",
        Limit::AddedMost(300.0, "direct"),
    ),
    target(
        "stream: CPU µs per message",
        "stream",
        OURS,
        "cpu_us_per_message",
        Limit::TimesMost(1.2, "pump"),
    ),
    target(
        "stream: CPU µs per message, back to back",
        "stream-burst",
        OURS,
        "cpu_us_per_message",
        Limit::TimesMost(1.2, "pump"),
    ),
    target(
        "stream: added p99 µs per message",
        "stream",
        OURS,
        "message_p99_us",
        Limit::AddedMost(2000.0, "direct"),
    ),
    target(
        "16 MiB answers, MB/s",
        "body-down",
        OURS,
        "mb_per_s",
        Limit::TimesLeast(0.85, "pump"),
    ),
    target(
        "16 MiB answers, CPU µs per MB",
        "body-down",
        OURS,
        "cpu_us_per_mb",
        Limit::TimesMost(1.3, "pump"),
    ),
    target(
        "16 MiB requests, MB/s",
        "body-up",
        OURS,
        "mb_per_s",
        Limit::TimesLeast(0.85, "pump"),
    ),
    target(
        "16 MiB requests, CPU µs per MB",
        "body-up",
        OURS,
        "cpu_us_per_mb",
        Limit::TimesMost(1.3, "pump"),
    ),
    target(
        "peak RSS MiB, 32 × 16 MiB at once, defaults",
        "peak",
        OURS,
        "peak_mib",
        Limit::Most(64.0),
    ),
    target(
        "peak RSS MiB, 32 × 16 MiB at once, `--payload none`",
        "peak",
        NONE,
        "peak_mib",
        Limit::Most(24.0),
    ),
    target(
        "KiB per idle tunnel, 1,000",
        "idle-1000",
        OURS,
        "kib_per_tunnel_used",
        Limit::Most(20.0),
    ),
    target(
        "KiB per idle tunnel, 10,000",
        "idle-10000",
        OURS,
        "kib_per_tunnel_used",
        Limit::Most(20.0),
    ),
    target(
        "start to first accepted connection, ms",
        "start",
        OURS,
        "accepted_ms",
        Limit::Most(10.0),
    ),
    target(
        "RSS MiB at start",
        "start",
        OURS,
        "resident_mib",
        Limit::Most(12.0),
    ),
    target(
        "requests/s on all cores against one",
        "keepalive",
        OURS,
        RATE,
        Limit::GrownLeast(1.0, "one-core"),
    ),
    target(
        "CPU µs per request at 1 connection",
        "scale-1",
        OURS,
        CPU,
        Limit::GrownMost(FLAT, "keepalive"),
    ),
    target(
        "CPU µs per request at 8 connections",
        "scale-8",
        OURS,
        CPU,
        Limit::GrownMost(FLAT, "keepalive"),
    ),
    target(
        "CPU µs per request at 128 connections",
        "scale-128",
        OURS,
        CPU,
        Limit::GrownMost(FLAT, "keepalive"),
    ),
    target(
        "CPU µs per request at 1,000 connections",
        "scale-1000",
        OURS,
        CPU,
        Limit::GrownMost(FLAT, "keepalive"),
    ),
    target(
        "CPU µs per request, 100,000 rows in the ledger",
        "ledger-100000",
        OURS,
        CPU,
        Limit::GrownMost(FLAT, "keepalive"),
    ),
    target(
        "CPU µs per request, 10,000,000 rows in the ledger",
        "ledger-10000000",
        OURS,
        CPU,
        Limit::GrownMost(FLAT, "keepalive"),
    ),
];

/// All targets of which something was measured.
pub(crate) fn table(samples: &Samples) -> String {
    let rows: Vec<String> = TARGETS
        .iter()
        .filter_map(|target| row(target, samples))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = "| figure | of | must reach | measured | |\n|---|---|---|---|---|\n".to_owned();
    text += &rows.concat();
    text
}

fn row(target: &Target, samples: &Samples) -> Option<String> {
    let Target {
        what,
        scenario,
        contender,
        figure,
        limit,
    } = target;
    let value = samples.median(scenario, contender, figure)?;
    let of = |scenario: &str, contender: &str| samples.median(scenario, contender, figure);
    let times = |other: f64| format!("{} = {:.2} ×", number(value), value / other);
    let (must, measured, reached) = match limit {
        Limit::Most(most) => (
            format!("≤ {}", number(*most)),
            number(value),
            value <= *most,
        ),
        Limit::TimesMost(most, other) => {
            let floor = of(scenario, other)?;
            let must = format!("≤ {most:.2} × {other} ({})", number(floor));
            (must, times(floor), value <= most * floor)
        }
        Limit::TimesLeast(least, other) => {
            let floor = of(scenario, other)?;
            let must = format!("≥ {least:.2} × {other} ({})", number(floor));
            (must, times(floor), value >= least * floor)
        }
        Limit::AddedMost(most, other) => {
            let floor = of(scenario, other)?;
            let must = format!("≤ {} over {other} ({})", number(*most), number(floor));
            let added = value - floor;
            let measured = format!("{} = {} more", number(value), number(added));
            (must, measured, added <= *most)
        }
        Limit::GrownMost(most, other) => {
            let floor = of(other, contender)?;
            let must = format!("≤ {most:.2} × `{other}` ({})", number(floor));
            (must, times(floor), value <= most * floor)
        }
        Limit::GrownLeast(least, other) => {
            let floor = of(other, contender)?;
            let must = format!("≥ {least:.2} × `{other}` ({})", number(floor));
            (must, times(floor), value >= least * floor)
        }
    };
    let verdict = if reached {
        "reached"
    } else {
        "**not reached**"
    };
    Some(format!(
        "| {what} | {contender} | {must} | {measured} | {verdict} |\n"
    ))
}
