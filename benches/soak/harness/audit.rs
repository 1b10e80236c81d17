//! The gate's ledger against the soak's books: what is missing, what is there twice, what is wrong.
//!
//! Pure, and tested by spoiling good books, so that an empty list of findings means something. The rules:
//!
//! - a client that holds a whole answer has exactly one record, and it says the same: status, usage, request id, octets;
//! - whatever else reached the upstream, or was answered in part, has exactly one record with an outcome that fits;
//! - what neither side ever knew of has at most one;
//! - a gate that was killed owes nothing but the first of these;
//! - nothing reaches the upstream twice or changed, and nothing is recorded that nobody did.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::book::{Exchange, Heard, Pages, Sent, Tokens, Told, Unmarked, Whole};
use super::rows::Row;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    /// What is wrong.
    pub(crate) findings: Vec<String>,
    /// How often each thing happened, as clients saw it and as it was recorded.
    pub(crate) tally: BTreeMap<String, u64>,
    /// Whole answers of Bedrock that clients hold.
    pub(crate) whole: u64,
    /// Those of them, and of all other exchanges that must be recorded, that are not.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    stalled: bool,
}

/// Error codes of the gate for an upstream that fails.
const UPSTREAM_FAILS: [&str; 3] = ["upstream-unreachable", "upstream-tls", "upstream-protocol"];

/// Holds `rows` against `pages`. `stalled`: the ledger of a gate that was killed had been too slow, and the gate had
/// said so; then a kill may cost records.
pub(crate) fn audit(pages: &Pages, rows: &[Row], stalled: bool) -> Audit {
    let mut audit = Audit {
        stalled,
        ..Audit::default()
    };
    let mut ids = HashSet::new();
    let mut marked: HashMap<&str, Vec<&Row>> = HashMap::new();
    let mut unmarked: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in rows {
        if !ids.insert(row.id.as_str()) {
            audit.find(format!("the id {} is recorded twice", row.id));
        }
        match &row.marker {
            Some(marker) => marked.entry(marker).or_default().push(row),
            None => unmarked.entry(&row.client).or_default().push(row),
        }
    }
    for (marker, exchange) in &pages.exchanges {
        let recorded = marked
            .remove(marker.to_string().as_str())
            .unwrap_or_default();
        audit.exchange(*marker, exchange, &recorded);
    }
    for (marker, rows) in marked {
        audit.find(format!(
            "{} records of {marker}, which nobody sent",
            rows.len()
        ));
    }
    audit.unmarked(&pages.unmarked, unmarked);
    audit
}

/// The whole answers of `pages` that `rows` do not know yet, for a look while the gate serves.
pub(crate) fn missing(held: &[Uuid], rows: &[Row]) -> usize {
    let known: HashSet<&str> = rows
        .iter()
        .filter_map(|row| row.marker.as_deref())
        .collect();
    held.iter()
        .filter(|marker| !known.contains(marker.to_string().as_str()))
        .count()
}

/// The markers of everything that was answered whole by now.
pub(crate) fn held(pages: &Pages) -> Vec<Uuid> {
    let whole = |exchange: &Exchange| {
        let told = exchange.told.as_ref();
        told.is_some_and(|told| matches!(told.heard, Heard::Whole(_)))
    };
    let held = pages
        .exchanges
        .iter()
        .filter(|(_, exchange)| whole(exchange));
    held.map(|(marker, _)| *marker).collect()
}

impl Audit {
    fn find(&mut self, what: String) {
        self.findings.push(what);
    }

    fn count(&mut self, what: &str, outcome: &str) {
        *self.tally.entry(format!("{what} → {outcome}")).or_default() += 1;
    }

    fn exchange(&mut self, marker: Uuid, exchange: &Exchange, recorded: &[&Row]) {
        self.upstream(marker, exchange);
        let Some(told) = &exchange.told else {
            if !exchange.overtaken {
                self.find(format!("{marker}: its client never came to an end"));
            }
            return;
        };
        self.unanswered(marker, exchange, told);
        let what = match (&told.heard, told.left) {
            (Heard::Whole(whole), _) if whole.code.is_none() => "whole answer",
            (Heard::Whole(_), _) => "answer of the gate's own",
            (_, true) => "client gone first",
            (Heard::Begun { .. }, false) => "answer that broke off",
            (Heard::Nothing(_), false) => "no answer",
        };
        self.whole += u64::from(what == "whole answer");
        let row = match recorded {
            [] => return self.unrecorded(marker, exchange, told, what),
            [row] => *row,
            [row, ..] => {
                self.doubled += 1;
                self.find(format!("{marker} is recorded {} times", recorded.len()));
                *row
            }
        };
        self.count(what, &row.outcome);
        let wrong = wrong(exchange, told, row);
        if !wrong.0.is_empty() {
            let wrong = wrong.0.join("; ");
            self.find(format!(
                "{marker}: {wrong}\n    book: {exchange:?}\n    record: {row:?}"
            ));
        }
    }

    /// There is no record: nobody may have known of it, or the gate was killed and it was no whole answer.
    fn unrecorded(&mut self, marker: Uuid, exchange: &Exchange, told: &Told, what: &str) {
        let owed = match told.heard {
            Heard::Whole(_) => !(exchange.overtaken && self.stalled),
            Heard::Begun { .. } => !exchange.overtaken,
            Heard::Nothing(_) => exchange.upstream.heads > 0 && !exchange.overtaken,
        };
        if owed {
            self.lost += 1;
            self.find(format!("{marker}: no record of {what}: {exchange:?}"));
        } else if exchange.overtaken {
            self.count(what, "no record, gate killed");
        } else {
            self.count(what, "no record, none owed");
        }
    }

    /// What the upstream saw is what was sent, and at most once.
    fn upstream(&mut self, marker: Uuid, exchange: &Exchange) {
        let seen = exchange.upstream;
        if seen.heads > 1 {
            self.find(format!(
                "{marker} reached the upstream {} times",
                seen.heads
            ));
        }
        if seen.crc.is_some_and(|crc| crc != exchange.asked.crc) {
            self.find(format!("{marker} reached the upstream changed"));
        }
    }

    /// A client that stays is answered, and to the end.
    fn unanswered(&mut self, marker: Uuid, exchange: &Exchange, told: &Told) {
        if told.left || exchange.overtaken {
            return;
        }
        let asked = &exchange.asked;
        match &told.heard {
            Heard::Nothing(end) if !asked.follows => {
                self.find(format!(
                    "{marker} was not answered, but {end:?}: {exchange:?}"
                ));
            }
            Heard::Begun { .. } if !asked.troubled => {
                self.find(format!(
                    "{marker}: an answer broke off that was to be whole: {exchange:?}"
                ));
            }
            _ => {}
        }
    }

    fn unmarked(&mut self, expected: &[Unmarked], mut rows: HashMap<&str, Vec<&Row>>) {
        // The certain ones first: they have the better claim.
        let mut ordered: Vec<&Unmarked> = expected.iter().collect();
        ordered.sort_by_key(|one| !one.certain || one.overtaken);
        for one in ordered {
            let client = one.client.to_string();
            let found = rows.get_mut(client.as_str()).and_then(|rows| {
                let at = rows.iter().position(|row| fits(one, row))?;
                Some(rows.swap_remove(at))
            });
            match found {
                Some(row) => self.count(one.what, &row.outcome),
                None if one.certain && !one.overtaken => {
                    self.lost += 1;
                    self.find(format!("no record of a {}: {one:?}", one.what));
                }
                None => self.count(one.what, "no record, none owed"),
            }
        }
        for row in rows.into_values().flatten() {
            self.find(format!("a record of something that nobody did: {row:?}"));
        }
    }
}

fn fits(one: &Unmarked, row: &Row) -> bool {
    let bytes = (row.request_bytes, row.response_bytes);
    one.outcomes.contains(&row.outcome.as_str())
        && one.status.is_none_or(|status| row.status == Some(status))
        && one.bytes.is_none_or(|expected| expected == bytes)
}

/// What is wrong with the one record of an exchange.
fn wrong(exchange: &Exchange, told: &Told, row: &Row) -> Wrong {
    let asked = &exchange.asked;
    let mut wrong = Wrong::default();
    wrong.compare("client", &row.client, &asked.client.to_string());
    wrong.compare("entry", &row.entry.as_str(), &asked.entry);
    match &told.heard {
        Heard::Whole(whole) => match &whole.code {
            None => answered(&mut wrong, exchange, whole, row),
            Some(code) => refused(&mut wrong, exchange, whole, code, row),
        },
        Heard::Begun { status } => {
            wrong.compare("status", &row.status, &Some(*status));
            let outcomes = if told.left || exchange.overtaken {
                left(exchange)
            } else {
                vec!["upstream_aborted"]
            };
            wrong.one_of("outcome", &row.outcome, &outcomes);
        }
        Heard::Nothing(_) => {
            if told.sent == Sent::Little && told.left && !exchange.overtaken {
                wrong.say("a record of less than a head".to_owned());
            }
            wrong.one_of("outcome", &row.outcome, &left(exchange));
        }
    }
    if row.outcome != "complete"
        && let Some(model) = &row.model
    {
        wrong.compare("model", model, &asked.model);
    }
    wrong
}

/// What the record of a request may say whose client did not wait, or whose gate was killed.
fn left(exchange: &Exchange) -> Vec<&'static str> {
    let mut outcomes = vec!["client_aborted"];
    if exchange.upstream.answered {
        outcomes.push("complete");
    }
    if exchange.asked.troubled || exchange.overtaken {
        outcomes.extend(["upstream_aborted", "failed"]);
    }
    if exchange.asked.refusal.is_some() {
        outcomes.push("refused");
    }
    outcomes
}

/// A whole answer of the upstream's.
fn answered(wrong: &mut Wrong, exchange: &Exchange, whole: &Whole, row: &Row) {
    let asked = &exchange.asked;
    if exchange.upstream.heads == 0 {
        wrong.say("an answer to something that the upstream never saw".to_owned());
    }
    wrong.compare("outcome", &row.outcome.as_str(), &"complete");
    wrong.compare("status", &row.status, &Some(whole.status));
    wrong.compare("the answer's status", &whole.status, &asked.status);
    wrong.compare("request id", &row.request_id, &whole.request_id);
    wrong.compare(
        "operation",
        &row.operation.as_deref(),
        &Some(asked.operation),
    );
    wrong.compare("response bytes", &row.response_bytes, &whole.body_bytes);
    if exchange.upstream.crc.is_some() {
        wrong.compare("request bytes", &row.request_bytes, &asked.body_bytes);
        wrong.compare("model", &row.model.as_deref(), &Some(asked.model.as_str()));
    }
    let reported = row
        .source
        .as_deref()
        .is_some_and(|source| ["body", "headers", "stream"].contains(&source));
    match whole.tokens {
        Tokens::Told {
            input,
            output,
            cache_read,
            cache_write,
        } => {
            wrong.compare("input tokens", &row.input, &input);
            wrong.compare("output tokens", &row.output, &output);
            wrong.compare("cache reads", &row.cache_read, &cache_read);
            wrong.compare("cache writes", &row.cache_write, &cache_write);
            if !reported {
                wrong.say(format!("usage is said to be {:?}", row.source));
            }
        }
        Tokens::Untold if reported => wrong.say("usage that nobody told".to_owned()),
        Tokens::None if row.input.is_some() || row.output.is_some() => {
            wrong.say("usage of a call that used nothing".to_owned());
        }
        Tokens::Untold | Tokens::None => {}
    }
}

/// An answer of the gate's own.
fn refused(wrong: &mut Wrong, exchange: &Exchange, whole: &Whole, code: &str, row: &Row) {
    let asked = &exchange.asked;
    wrong.compare("status", &row.status, &Some(whole.status));
    if row.error_type.is_none() {
        wrong.say("no error type".to_owned());
    }
    if let Some(refusal) = asked.refusal {
        wrong.compare("code", &code, &refusal);
        wrong.compare("outcome", &row.outcome.as_str(), &"refused");
        return;
    }
    wrong.one_of("code", code, &UPSTREAM_FAILS);
    wrong.compare("outcome", &row.outcome.as_str(), &"failed");
    if !asked.troubled {
        wrong.say(format!("{code} for a call whose upstream was well"));
    }
}

/// What is wrong with one record.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn say(&mut self, what: String) {
        self.0.push(what);
    }

    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: &T, expected: &T) {
        if found != expected {
            self.say(format!("{what} is {found:?} and not {expected:?}"));
        }
    }

    fn one_of(&mut self, what: &str, found: &str, allowed: &[&str]) {
        if !allowed.contains(&found) {
            self.say(format!("{what} is {found} and none of {allowed:?}"));
        }
    }
}
