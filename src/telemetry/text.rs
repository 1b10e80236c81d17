//! An exchange on one line for people.
//!
//! Every exchange has one, so it is put together in one text, piece by piece; the machinery of `fmt` is left for what is
//! seldom or needs it.

use std::fmt::{Display, Write as _};

use super::fields::write_value;
use crate::aws::mask::{MAX_PRINTABLE, printable};
use crate::ledger::UsageRecord;

/// What most lines fit into.
const USUAL_LINE: usize = 512;

/// The line of `record`.
pub(super) fn line(record: &UsageRecord) -> String {
    let (usage, identity) = (&record.usage, &record.identity);
    let who = identity
        .name
        .as_ref()
        .or(identity.access_key_id.as_ref())
        .or(identity.api_key.as_ref())
        .or(identity.proxy_user.as_ref());
    let mut line = Line(String::with_capacity(USUAL_LINE));
    line.plain("", &record.time);
    line.plain(" ", record.entry.as_str());
    line.count(" ", record.status.map(u64::from));
    line.plain(" ", record.outcome.as_str());
    line.told(" ", record.operation.as_ref());
    line.told(" ", record.model.as_ref());
    line.told(" ", record.host.as_ref());
    line.count(" in=", usage.input_tokens);
    line.count(" out=", usage.output_tokens);
    line.count(" cache_read=", usage.cache_read_tokens);
    line.count(" cache_write=", usage.cache_write_tokens);
    match record.cost.usd {
        Some(usd) => line.shown(" usd=", usd),
        None => line.plain(" usd=", UNKNOWN),
    }
    line.count(" bytes=", Some(record.request_bytes));
    line.count("/", Some(record.response_bytes));
    line.shown(" ms=", format_args!("{:.1}", record.duration_ms));
    line.told(" who=", who);
    line.plain(" id=", &record.id);
    if record.error_type.is_some() {
        line.told(" error=", record.error_type.as_ref());
    }
    line.0
}

/// What stands for what is not known.
const UNKNOWN: &str = "-";

/// A line under way: each piece with what stands before it.
struct Line(String);

impl Line {
    /// A word of ours.
    fn plain(&mut self, before: &str, word: &str) {
        self.0.push_str(before);
        self.0.push_str(word);
    }

    fn count(&mut self, before: &str, count: Option<u64>) {
        match count {
            Some(count) => self.plain(before, itoa::Buffer::new().format(count)),
            None => self.plain(before, UNKNOWN),
        }
    }

    fn shown(&mut self, before: &str, value: impl Display) {
        self.0.push_str(before);
        let written = write!(self.0, "{value}");
        debug_assert!(written.is_ok(), "writing to a String does not fail");
    }

    /// What a peer said: one word of the line, in quotes if it is not one.
    fn told(&mut self, before: &str, text: Option<&String>) {
        match text {
            None => self.plain(before, UNKNOWN),
            Some(text) if is_plain_word(text) => self.plain(before, text),
            Some(text) => {
                self.0.push_str(before);
                let written = write_value(&mut self.0, &printable(text.as_bytes()), false);
                debug_assert!(written.is_ok(), "writing to a String does not fail");
            }
        }
    }
}

/// Whether `text` stands on the line as it is, as nearly every one does: a word of ASCII that needs no quotes and is
/// not cut.
fn is_plain_word(text: &str) -> bool {
    let fits = |octet: u8| matches!(octet, b'!'..=b'~') && !matches!(octet, b'"' | b'=');
    // Without an early exit many octets are looked at in one go.
    (1..=MAX_PRINTABLE).contains(&text.len())
        && text.bytes().fold(true, |all, octet| all & fits(octet))
}
