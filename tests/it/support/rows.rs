//! The tables of literal messages in `tests/fixtures/http1/`, whose README tells how a row is written.

use std::path::Path;

use super::{BEDROCK, Door};

/// One message and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Why it is there.
    pub(crate) why: String,
    doors: Vec<String>,
    /// What a response answers.
    pub(crate) method: String,
    incoming: String,
    /// The upstream closes its connection behind it.
    pub(crate) closes: bool,
    outcomes: Vec<Written>,
}

/// An outcome as it is written, before its door is known.
#[derive(Clone, Debug)]
struct Written {
    word: String,
    octets: Option<String>,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// One message goes on as these octets.
    Passes(Vec<u8>),
    /// The upstream connection carries nothing after it.
    Once,
    /// The client's connection carries nothing after it.
    Closed,
    /// An answer of the gate, after which the client's connection ends.
    Refused(u16, String),
    /// The body of a request turns out to be none.
    Broken,
    /// An answer of the gate instead of the upstream's.
    Answered(u16, String),
    /// A response stops before its end.
    Cut,
}

/// Every request, in the order of the file.
pub(crate) fn requests() -> Vec<Row> {
    read("requests.txt")
}

/// Every response.
pub(crate) fn responses() -> Vec<Row> {
    read("responses.txt")
}

impl Row {
    /// Whether the row is for `door`.
    pub(crate) fn is_for(&self, door: Door) -> bool {
        self.doors.is_empty() || self.doors.iter().any(|name| name == door.entry().as_str())
    }

    /// The octets that come in by `door`.
    pub(crate) fn incoming(&self, door: Door) -> Vec<u8> {
        octets(&self.incoming, &|path| door.target(BEDROCK, path))
    }

    /// What becomes of them, in order.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        // A door that leads on without a change of the target is how the upstream sees every request.
        let as_seen = |text: &str| octets(text, &str::to_owned);
        let outcome = |Written { word, octets }: &Written| {
            let words: Vec<&str> = word.split(' ').collect();
            let answer = |status: &str, code: &str| (status.parse().unwrap(), code.to_owned());
            match words.as_slice() {
                ["passes"] => Outcome::Passes(as_seen(octets.as_deref().unwrap_or(&self.incoming))),
                ["once"] => Outcome::Once,
                ["closed"] => Outcome::Closed,
                ["broken"] => Outcome::Broken,
                ["cut"] => Outcome::Cut,
                ["refused", status, code] => {
                    let (status, code) = answer(status, code);
                    Outcome::Refused(status, code)
                }
                ["answered", status, code] => {
                    let (status, code) = answer(status, code);
                    Outcome::Answered(status, code)
                }
                other => panic!("{}: no outcome is called {other:?}", self.why),
            }
        };
        self.outcomes.iter().map(outcome).collect()
    }
}

fn read(name: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/http1")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines() {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "" | "#" => continue,
            "==" => {
                rows.push(Row {
                    why: rest.to_owned(),
                    doors: Vec::new(),
                    method: "POST".to_owned(),
                    incoming: String::new(),
                    closes: false,
                    outcomes: Vec::new(),
                });
                continue;
            }
            _ => {}
        }
        let row = rows.last_mut().expect("a row begins with ==");
        match mark {
            "@" => row.doors = rest.split(' ').map(str::to_owned).collect(),
            "?" => rest.clone_into(&mut row.method),
            ">" => row.incoming.push_str(rest),
            "~" => {
                assert_eq!(rest, "closes", "{}", row.why);
                row.closes = true;
            }
            "<" => {
                let outcome = row.outcomes.last_mut().expect("< stands below an outcome");
                outcome.octets.get_or_insert_default().push_str(rest);
            }
            _ => row.outcomes.push(Written {
                word: line.to_owned(),
                octets: None,
            }),
        }
    }
    for row in &rows {
        assert!(!row.outcomes().is_empty(), "{}: nothing follows", row.why);
    }
    rows
}

/// The octets that `text` stands for; `target` leads to a path.
fn octets(text: &str, target: &dyn Fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(octet) = rest.bytes().next() {
        let taken = match octet {
            b'{' => {
                let end = closing(rest);
                out.extend(placeholder(rest.get(1..end).unwrap(), target));
                end + 1
            }
            b'\\' => {
                let (octet, taken) = escaped(rest.split_at(1).1);
                out.push(octet);
                1 + taken
            }
            _ => {
                out.push(octet);
                1
            }
        };
        rest = rest.split_at(taken).1;
    }
    out
}

/// Where the brace that opens `text` is closed.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a brace is not closed: {text}");
}

fn placeholder(name: &str, target: &dyn Fn(&str) -> String) -> Vec<u8> {
    match name {
        "host" => return BEDROCK.into(),
        "target" => return target("/model/m/invoke").into(),
        "head" => return octets("POST {target} HTTP/1.1\\r\\nHost: {host}\\r\\n", target),
        _ => {}
    }
    if let Some(path) = name.strip_prefix("target ") {
        return octets(&target(path), &str::to_owned);
    }
    let (what, times) = name.rsplit_once('*').expect("a placeholder");
    octets(what, target).repeat(times.parse().unwrap())
}

/// The octet behind a backslash, and how many characters tell it.
fn escaped(text: &str) -> (u8, usize) {
    match text.as_bytes().first() {
        Some(b'r') => (b'\r', 1),
        Some(b'n') => (b'\n', 1),
        Some(b't') => (b'\t', 1),
        Some(b'0') => (0, 1),
        Some(b'\\') => (b'\\', 1),
        Some(b'x') => (u8::from_str_radix(text.get(1..3).unwrap(), 16).unwrap(), 3),
        other => panic!("no such escape: {other:?}"),
    }
}
