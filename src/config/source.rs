//! The text of `tollgate.toml`: what is wrong with it, at which line and column, and what was probably meant.
//!
//! What the file's reader says is put into words that name the key, with the nearest known one where a key is unknown.
//! Values that are refused later are found again by the option's name, the number of its table and the words that the
//! message quotes.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::load::ConfigError;
use super::options::Options;
use crate::aws::inert::Line;
use crate::aws::mask;

/// The file, as it was read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

/// A place in a file, counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl Source {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`].
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        // Written by editors of other systems; it is no part of the text.
        let text = match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        };
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// Its keys, all of which are known and of the right kind.
    ///
    /// # Errors
    /// [`ConfigError::File`] with the place.
    pub(super) fn table(&self) -> Result<toml::Table, ConfigError> {
        let not_valid = |error: toml::de::Error| self.not_valid(&error);
        toml::from_str::<Options>(&self.text).map_err(not_valid)?;
        toml::from_str(&self.text).map_err(not_valid)
    }

    fn not_valid(&self, error: &toml::de::Error) -> ConfigError {
        let span = error
            .span()
            .map(|span| self.narrowed(span, error.message()));
        ConfigError::File {
            path: self.path.clone(),
            place: span.as_ref().map(|span| self.place(span.start)),
            // A key may hold anything.
            why: without_passwords(&Line(&explained(error.message())).to_string()),
            excerpt: span.map(|span| self.excerpt(&span)).unwrap_or_default(),
        }
    }

    /// Of a table that was read as a whole, the key that `message` is about.
    fn narrowed(&self, span: Range<usize>, message: &str) -> Range<usize> {
        let words = quoted(message);
        let narrower = DeTable::parse(&self.text).ok().and_then(|table| {
            let values = table.get_ref().values();
            let mut tables = values.flat_map(|value| match value.get_ref() {
                DeValue::Array(items) => items.iter().collect(),
                _ => vec![value],
            });
            let whole = tables.find(|table| table.span().start == span.start)?;
            key_of(whole, words.get(..1)?)
        });
        narrower.unwrap_or(span)
    }

    /// `error` with the place of the value that it is about, if that stands in this file.
    pub(super) fn placed(&self, error: ConfigError) -> ConfigError {
        let ConfigError::Invalid { option, why } = error else {
            return error;
        };
        match self.locate(option, &why) {
            Some(span) => ConfigError::Value {
                option,
                why,
                path: self.path.clone(),
                place: self.place(span.start),
                excerpt: self.excerpt(&span),
            },
            None => ConfigError::Invalid { option, why },
        }
    }

    /// Where the value stands that `why` says something about.
    fn locate(&self, option: &str, why: &str) -> Option<Range<usize>> {
        let table = DeTable::parse(&self.text).ok()?;
        let key = option.replace('-', "_");
        let (name, value) = table
            .get_ref()
            .iter()
            .find(|(name, _)| *name.get_ref() == key)?;
        let numbered = number_of(why, &key).and_then(|number| {
            let index = number.checked_sub(1)?;
            value.get_ref().as_array()?.get(index)
        });
        let mut words = quoted(why);
        // `table 2 (name), key: …`
        let head = why
            .strip_prefix("table ")
            .and_then(|rest| rest.split_once(": "));
        words.extend(head.and_then(|(head, _)| Some(head.rsplit_once(", ")?.1)));
        let item = numbered.unwrap_or(value);
        value_of(item, &words)
            .or_else(|| key_of(item, &words))
            .or_else(|| numbered.map(Spanned::span))
            .or_else(|| {
                let is_table = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
                Some(if is_table { name.span() } else { value.span() })
            })
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Place {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }

    /// The place, its line, and a mark below what is meant.
    fn excerpt(&self, span: &Range<usize>) -> String {
        let place = self.place(span.start);
        let line = self.text.lines().nth(place.line - 1).unwrap_or_default();
        let shown: String = line.chars().take(MAX_SHOWN).collect();
        let shown = without_passwords(&Line(&shown.replace('\t', " ")).to_string());
        let room = shown.chars().count().saturating_sub(place.column - 1);
        let length = self.text.get(span.clone()).unwrap_or_default();
        let length = length.lines().next().unwrap_or_default().chars().count();
        let marks = "^".repeat(length.min(room).max(1));
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let path = self.path.display();
        let (line, column) = (place.line, place.column);
        let indent = " ".repeat(place.column.saturating_sub(1).min(MAX_SHOWN));
        format!(
            "{margin}--> {path}:{line}:{column}\n{margin} |\n{number} | {shown}\n{margin} | {indent}{marks}"
        )
    }
}

/// What a gate would say of a file that holds `text`, if it cannot be used.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn mistake(text: &str) -> Option<String> {
    let source = Source {
        path: PathBuf::from("/etc/tollgate.toml"),
        text: text.to_owned(),
    };
    let checked = source.table().and_then(|table| {
        let merge = |error: toml::de::Error| ConfigError::Merge(error.to_string());
        let options: Options = table.try_into().map_err(merge)?;
        let settings = super::Settings::from_options(options, PathBuf::from("/home"), None);
        settings.map_err(|error| source.placed(error))
    });
    checked.err().map(|error| error.to_string())
}

/// Most characters of a line that are shown.
const MAX_SHOWN: usize = 120;

/// The words in backticks.
fn quoted(why: &str) -> Vec<&str> {
    why.split('`').skip(1).step_by(2).collect()
}

/// Which of several tables `[[key]] 2: …` or `table 2, …` is about.
fn number_of(why: &str, key: &str) -> Option<usize> {
    let rest = why
        .strip_prefix("table ")
        .or_else(|| Some(why.split_once(&format!("[[{key}]] "))?.1))?;
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    rest.get(..digits.unwrap_or(rest.len()))?.parse().ok()
}

/// The first value within `item` that is one of `words`.
fn value_of(item: &Spanned<DeValue<'_>>, words: &[&str]) -> Option<Range<usize>> {
    let is_one = |text: &str| words.contains(&text);
    let found = match item.get_ref() {
        DeValue::String(text) => is_one(text),
        DeValue::Integer(number) => is_one(number.as_str()),
        DeValue::Float(number) => is_one(number.as_str()),
        DeValue::Boolean(value) => is_one(if *value { "true" } else { "false" }),
        DeValue::Datetime(_) => false,
        DeValue::Array(items) => return items.iter().find_map(|item| value_of(item, words)),
        DeValue::Table(table) => return table.values().find_map(|item| value_of(item, words)),
    };
    found.then(|| item.span())
}

/// The first key within `item` that is one of `words`.
fn key_of(item: &Spanned<DeValue<'_>>, words: &[&str]) -> Option<Range<usize>> {
    let table = item.get_ref().as_table()?;
    let found = table.keys().find(|key| words.contains(&&**key.get_ref()));
    found.map(Spanned::span)
}

/// What the file's reader says, for somebody who did not write it.
fn explained(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown("key", rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown("value", rest);
    }
    if let Some(rest) = message.strip_prefix("unknown key ") {
        let found = quoted(rest).first().copied().unwrap_or_default();
        return match nearest(found, &PRICE_KEYS) {
            Some(meant) => format!("unknown key `{found}`; did you mean `{meant}`?"),
            None => message.to_owned(),
        };
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("the key {rest} is missing here");
    }
    for kind in ["invalid type: ", "invalid value: "] {
        let parts = message.strip_prefix(kind);
        if let Some((found, wanted)) = parts.and_then(|rest| rest.split_once(", expected ")) {
            return format!("found {found}, where {wanted} should stand");
        }
    }
    message.to_owned()
}

/// `rest`: the unknown word in backticks, then those that are known.
fn unknown(what: &str, rest: &str) -> String {
    let mut words = quoted(rest).into_iter();
    let found = words.next().unwrap_or_default();
    let known: Vec<_> = words.collect();
    if let Some(meant) = nearest(found, &known) {
        return format!("unknown {what} `{found}`; did you mean `{meant}`?");
    }
    let of_the_file = top_level();
    if what == "key" && of_the_file.iter().any(|name| name == found) && !known.contains(&found) {
        return format!(
            "`{found}` is a key of the file and not of this table: it has to stand above the first [table]"
        );
    }
    if known.len() > MAX_LISTED {
        return format!("unknown {what} `{found}`; docs/configuration.md lists all of them");
    }
    let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("unknown {what} `{found}`; known here: {}", known.join(", "))
}

/// The keys of `[[price]]`, whose reader knows a pattern of names instead of a list.
const PRICE_KEYS: [&str; 12] = [
    "model",
    "like",
    "region",
    "tier",
    "as_of",
    "multiplier",
    "long_context_above",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
];

/// Most keys that are listed where none is near.
const MAX_LISTED: usize = 24;

/// The keys that may stand above the first table.
fn top_level() -> Vec<String> {
    match toml::from_str::<Options>("\"\" = 0") {
        Ok(_) => Vec::new(),
        Err(error) => {
            let names = quoted(error.message()).into_iter().skip(1);
            names.map(str::to_owned).collect()
        }
    }
}

/// The one of `known` that `found` may be a slip of.
fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let found = plain(found);
    let distance = |name: &str| strsim::damerau_levenshtein(&found, &plain(name));
    let best = known.iter().min_by_key(|name| distance(name))?;
    let is_near = distance(best) <= (best.chars().count() / 3).max(1);
    let begins = || {
        let mut longer = known
            .iter()
            .filter(|name| found.len() > 2 && name.starts_with(&found));
        longer.next().filter(|_| longer.next().is_none())
    };
    if is_near {
        Some(best)
    } else {
        begins().copied()
    }
}

/// The line that is shown, and what is found in it, may hold a password.
fn without_passwords(message: &str) -> String {
    let lines: Vec<_> = message
        .lines()
        .map(|line| match line.split_once('=') {
            Some((before, _)) if before.contains("upstream_proxy") => format!("{before}= …"),
            _ => mask::word(line).into_owned(),
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
