//! Log lines: diagnostics on standard error, and one line per exchange on standard output.
//!
//! A record is one line, and what a peer sent can neither end it nor pose as a field of it. The exchange line is a `tracing` event of its own target whose one field is the finished line, so that the text and
//! the JSON form are made in one place from one record. Both outputs are written by threads of their own (`outlet`): a
//! reader that stalls costs lines, counted, and never an exchange.

mod fields;
mod outlet;
pub mod panics;
mod seldom;
mod text;

use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt as diagnostics};

use crate::aws::inert::is_harmful;
use crate::config::{ConfigError, LogFormat};
use crate::ledger::UsageRecord;
use fields::Fields;
use outlet::Outlet;
pub use seldom::Seldom;

/// The target of exchange lines.
pub const EXCHANGE: &str = "tollgate::exchange";

/// The variable that filters diagnostics.
const FILTER: &str = "TOLLGATE_LOG";

/// Sets up the process's log. `TOLLGATE_LOG` filters diagnostics, in `tracing`'s directive syntax.
///
/// # Errors
/// When that variable holds something else.
pub fn install() -> Result<Flush, ConfigError> {
    install_as(
        "info",
        Some(Outlet::start("exchange-lines", std::io::stdout())),
    )
}

/// Sets up the log of a process whose standard output belongs to somebody else: no exchange lines, and of diagnostics
/// only warnings unless `TOLLGATE_LOG` says more.
///
/// # Errors
/// As for [`install`].
pub fn install_beside_a_command() -> Result<Flush, ConfigError> {
    install_as("warn", None)
}

fn install_as(level: &str, exchanges: Option<Outlet>) -> Result<Flush, ConfigError> {
    let filter = match std::env::var(FILTER) {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).map_err(|error| ConfigError::Invalid {
                option: FILTER,
                why: format!("`{text}` is no filter: {error}"),
            })?
        }
        _ => EnvFilter::new(level),
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let flush = Flush {
        diagnostics: Outlet::start("diagnostics", std::io::stderr()),
        exchanges,
    };
    let to_stderr = to_stderr(flush.diagnostics.clone(), filter, colour);
    let to_stdout = flush.exchanges.clone().map(|exchanges| {
        ExchangeLines(exchanges).with_filter(filter_fn(|metadata| metadata.target() == EXCHANGE))
    });
    if tracing_subscriber::registry()
        .with(to_stderr)
        .with(to_stdout)
        .try_init()
        .is_err()
    {
        tracing::debug!("the log had been set up before");
    }
    // The outputs are the process's, and so is their count.
    OUTLETS.get_or_init(|| (flush.exchanges.clone(), flush.diagnostics.clone()));
    Ok(flush)
}

static OUTLETS: OnceLock<(Option<Outlet>, Outlet)> = OnceLock::new();

/// Lines that nobody read in time, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostLines {
    /// Of exchanges, on standard output.
    pub exchanges: u64,
    /// Of diagnostics, on standard error.
    pub diagnostics: u64,
}

/// How many lines of this process were lost so far.
#[must_use]
pub fn lost_lines() -> LostLines {
    OUTLETS
        .get()
        .map(|(exchanges, diagnostics)| LostLines {
            exchanges: exchanges.as_ref().map_or(0, Outlet::lost),
            diagnostics: diagnostics.lost(),
        })
        .unwrap_or_default()
}

/// What takes diagnostics that `filter` lets pass to `outlet`.
fn to_stderr<S>(outlet: Outlet, filter: EnvFilter, colour: bool) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    diagnostics::layer()
        .with_writer(move || outlet.writer())
        .with_ansi(colour)
        .with_target(false)
        .fmt_fields(Fields)
        .with_filter(filter)
        .with_filter(filter_fn(|metadata| metadata.target() != EXCHANGE))
}

/// Writes what still waits when it is dropped, if the readers of the outputs let it.
pub struct Flush {
    diagnostics: Outlet,
    exchanges: Option<Outlet>,
}

impl Drop for Flush {
    fn drop(&mut self) {
        let lost = self.exchanges.as_ref().map_or(0, |exchanges| {
            exchanges.flush();
            exchanges.lost()
        });
        if lost > 0 {
            tracing::warn!(
                lost,
                "standard output was not read, or not fast enough: lines were dropped, records were not"
            );
        }
        self.diagnostics.flush();
    }
}

/// The line of an exchange that has ended; written when this is dropped.
pub struct ExchangeLine(Option<String>);

/// Makes the line of `record`.
#[must_use]
pub fn exchange_line(record: &UsageRecord, format: LogFormat) -> ExchangeLine {
    if !tracing::enabled!(target: EXCHANGE, tracing::Level::INFO) {
        return ExchangeLine(None);
    }
    ExchangeLine(match format {
        LogFormat::Text => Some(text::line(record)),
        LogFormat::Json => match json(record) {
            Ok(line) => Some(line),
            Err(error) => {
                tracing::error!(%error, "a record could not be written as JSON");
                None
            }
        },
    })
}

/// The record as JSON in which nothing drives a terminal: what JSON itself lets through is escaped, too. It stands in
/// strings only, and lies below U+10000.
fn json(record: &UsageRecord) -> serde_json::Result<String> {
    let line = serde_json::to_string(record)?;
    if !line.contains(is_harmful) {
        return Ok(line);
    }
    let mut harmless = String::with_capacity(line.len() + 16);
    for character in line.chars() {
        if is_harmful(character) {
            harmless.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            harmless.push(character);
        }
    }
    Ok(harmless)
}

impl Drop for ExchangeLine {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            tracing::info!(target: EXCHANGE, line = line.as_str());
        }
    }
}

/// Takes exchange lines to standard output.
struct ExchangeLines(Outlet);

impl<S: Subscriber> Layer<S> for ExchangeLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        line.0.push('\n');
        self.0.send(line.0.into_bytes());
    }
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "line" {
            self.0.reserve(value.len() + 1);
            self.0.push_str(value);
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::sample;

    /// `line` in words, as its writer means them: what is in quotes is one.
    fn split(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let (mut quoted, mut escaped) = (false, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ' ' if !quoted => {
                    words.push(String::new());
                    continue;
                }
                _ => {}
            }
            words.last_mut().unwrap().push(c);
        }
        assert!(!quoted, "{line}");
        words
    }

    proptest! {
        #[test]
        fn no_word_of_a_peer_ends_a_line_or_adds_a_field(
            model in ".*", host in ".*", operation in any::<String>(), who in any::<String>(), error in any::<String>(),
            odd in "[ =\"\\\\\n\r\u{1b}\u{9b}\u{2028}\u{202e}a]{0,12}",
        ) {
            let mut record = sample::full();
            record.model = Some(model + &odd);
            record.host = Some(odd.clone() + &host);
            record.operation = Some(operation);
            record.identity.name = Some(who);
            record.error_type = Some(error + &odd);
            let line = text::line(&record);
            prop_assert!(!line.chars().any(is_harmful), "{:?}", line);
            let words = split(&line);
            let names: Vec<&str> = words[7..].iter().filter_map(|word| word.split('=').next()).collect();
            let expected = ["in", "out", "cache_read", "cache_write", "usd", "bytes", "ms", "who", "id", "error"];
            prop_assert_eq!(names, expected, "{:?}", line);
            let line = json(&record).unwrap();
            prop_assert!(!line.chars().any(is_harmful), "{:?}", line);
            prop_assert_eq!(serde_json::from_str::<UsageRecord>(&line).unwrap(), record);
        }

        #[test]
        fn no_value_of_a_diagnostic_ends_its_line_or_poses_as_a_field(value in any::<String>(), text in any::<String>()) {
            let said = diagnosed(|| {
                tracing::warn!(text, shown = %value, debugged = ?value, "said {value}");
            });
            let line = said.strip_suffix('\n').unwrap_or_default();
            prop_assert!(!line.is_empty() && !line.chars().any(is_harmful), "{:?}", said);
            let (_, fields) = line.rsplit_once(" text=\"").unwrap();
            let words = split(&format!("text=\"{fields}"));
            let names: Vec<&str> = words.iter().filter_map(|word| word.split('=').next()).collect();
            prop_assert_eq!(names, ["text", "shown", "debugged"], "{:?}", said);
        }
    }

    /// What is written to standard error of what `events` say.
    fn diagnosed(events: impl FnOnce()) -> String {
        let (gave, given) = std::sync::mpsc::channel();
        let outlet = Outlet::start("test", Handed(gave));
        let subscriber = tracing_subscriber::registry().with(to_stderr(
            outlet.clone(),
            EnvFilter::new("trace"),
            false,
        ));
        tracing::subscriber::with_default(subscriber, events);
        outlet.flush();
        let bytes: Vec<u8> = given.try_iter().flatten().collect();
        String::from_utf8(bytes).unwrap()
    }

    struct Handed(std::sync::mpsc::Sender<Vec<u8>>);

    impl std::io::Write for Handed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_credential_that_somebody_logs_is_masked() {
        let url = "https://h/?X-Amz-Signature=c4n4ry";
        let said = diagnosed(|| {
            tracing::warn!(url, shown = %url, "went to {url} with bedrock-api-key-c4n4ry0123456789");
        });
        assert!(
            said.contains("X-Amz-Signature=***") && !said.contains("c4n4ry"),
            "{said}"
        );
    }

    #[test]
    fn json_lines_are_harmless_and_still_the_same_record() {
        let mut record = sample::full();
        record.model = Some("a\u{9b}31m\u{7f}\u{202e}b\u{1b}\n\u{10ffff}ü".to_owned());
        let line = json(&record).unwrap();
        assert!(!line.chars().any(is_harmful), "{line}");
        assert_eq!(serde_json::from_str::<UsageRecord>(&line).unwrap(), record);
    }

    #[test]
    fn a_word_of_a_peer_is_cut_to_what_a_line_has_room_for() {
        let mut record = sample::full();
        record.model = Some("m".repeat(100_000));
        record.host = Some("h".repeat(100_000));
        let line = text::line(&record);
        assert!(line.len() < 2_000, "{}", line.len());
    }
}
