//! A price file of the operator's: LiteLLM's public `model_prices_and_context_window.json`, as it is.
//!
//! One JSON object, an entry for each model; those whose `litellm_provider` is Bedrock's are read, the rest is counted.
//! A key is an id with or without a path before it (`bedrock/us-gov-west-1/ID`, `bedrock_mantle/ID`,
//! `bedrock/converse/ID`). Costs are US dollars a token and are read from the text of the number, not from a float.
//! What the file says of other units than tokens, or says twice, makes a row doubtful; a zero makes it unknown.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::price::{Band, Bands, Kind, Price, Row};
use super::rate::{Rate, scale};
use crate::aws::Service;
use crate::aws::endpoint::is_region;
use crate::aws::model_id::{ModelId, ModelKind};

/// The rows of the file, and what was not taken from it.
#[derive(Clone, Debug, Default)]
pub struct PriceFile {
    rows: Vec<Row>,
    /// Entries of other providers.
    pub others: usize,
    /// Entries for Bedrock whose key names no model: commitments, image sizes, ids without provider.
    pub not_ids: usize,
    /// Entries for Bedrock without a rate for tokens.
    pub not_tokens: usize,
    /// Where two entries for the same id contradict each other.
    pub contradictions: Vec<Contradiction>,
}

/// Two entries of the file that differ in a rate. The first one is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The key of the entry that is taken.
    pub taken: String,
    /// The key of the other one.
    pub other: String,
    /// The first rate in which they differ, and both its values.
    pub rate: String,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceFileError {
    /// Not JSON, or not one object of objects.
    #[error("it is not a JSON object with an object for each model, as LiteLLM's price file is")]
    Json(#[source] serde_json::Error),
    /// An entry that is none.
    #[error("entry \"{0}\" is no object")]
    NotAnObject(String),
    /// A cost that is none.
    #[error(
        "entry \"{entry}\": `{member}` is {found}, which is no cost of a token in US dollars such as 3e-06"
    )]
    Cost {
        /// The key of the entry.
        entry: String,
        /// Which of its members.
        member: String,
        /// What stands there.
        found: String,
    },
    /// Nothing for us in it.
    #[error("none of its {0} entries is a token price of Bedrock's; is it LiteLLM's price file?")]
    NoBedrock(usize),
}

/// The members that are rates, and their kind. A suffix tells the band; the longer names come first.
const MEMBERS: [(&str, Kind); 5] = [
    (
        "cache_creation_input_token_cost_above_1hr",
        Kind::CacheWrite1h,
    ),
    ("cache_creation_input_token_cost", Kind::CacheWrite5m),
    ("cache_read_input_token_cost", Kind::CacheRead),
    ("input_cost_per_token", Kind::Input),
    ("output_cost_per_token", Kind::Output),
];

/// What a note quotes of an entry is cut to so many members.
const MAX_QUOTED: usize = 4;

impl PriceFile {
    /// Reads the file. `name` and `as_of` are what its rows name as source and date.
    ///
    /// # Errors
    /// [`PriceFileError`]: no such file, or an entry of Bedrock's with a cost that is none.
    pub fn parse(text: &str, name: &str, as_of: Option<&str>) -> Result<Self, PriceFileError> {
        let entries: Members<'_> = serde_json::from_str(text).map_err(PriceFileError::Json)?;
        let mut file = Self::default();
        let mut read = Vec::new();
        for (key, value) in &entries.0 {
            let entry = Entry::read(key, value)?;
            let Some(endpoint) = entry.endpoint else {
                file.others += 1;
                continue;
            };
            let views = entry.mantle_views.iter().map(|key| Key::mantle_view(key));
            let keys: Vec<Key<'_>> = Key::parse(key, endpoint)
                .into_iter()
                .chain(views.flatten())
                .collect();
            if keys.is_empty() {
                file.not_ids += 1;
            } else if entry.bands.is_empty() {
                file.not_tokens += 1;
                continue;
            }
            for key in keys {
                read.push((key.rank, entry.row(&key, name, as_of)));
            }
        }
        // A key that says no more than the id is the entry for the id.
        read.sort_by_key(|(rank, _)| *rank);
        for (rank, row) in read {
            file.take(row, rank);
        }
        if file.rows.is_empty() {
            return Err(PriceFileError::NoBedrock(entries.0.len()));
        }
        Ok(file)
    }

    /// The rows, each for another endpoint, id and region.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn take(&mut self, row: Row, rank: Rank) {
        let same = |old: &&mut Row| {
            old.endpoint == row.endpoint && old.id == row.id && old.region == row.region
        };
        let Some(old) = self.rows.iter_mut().find(same) else {
            self.rows.push(row);
            return;
        };
        // The file's own rule: an entry for the mantle endpoint stands before what is derived from the runtime's.
        if rank == Rank::View {
            return;
        }
        let (ours, theirs) = (&mut old.price, &row.price);
        if let Some(rate) = ours.bands.clash(&theirs.bands) {
            let text = |bands: &Bands| {
                bands
                    .rate(rate)
                    .map_or_else(String::new, |rate| rate.to_string())
            };
            let key = |row: &Option<Box<str>>| row.as_deref().unwrap_or_default().to_owned();
            self.contradictions.push(Contradiction {
                taken: key(&old.file_key),
                other: key(&row.file_key),
                rate: format!("{rate}: {} and {}", text(&ours.bands), text(&theirs.bands)),
            });
            doubt(
                ours,
                format!("contradicted by the file's entry {}", key(&row.file_key)),
            );
        } else {
            ours.bands.absorb(&theirs.bands);
            ours.bills_other_units |= theirs.bills_other_units;
            ours.long_context_above = ours.long_context_above.or(theirs.long_context_above);
        }
    }
}

fn doubt(price: &mut Price, why: String) {
    let note = match &price.note {
        Some(note) => format!("{note}; {why}"),
        None => why,
    };
    price.note = Some(note.into());
}

/// How directly a key names an id; the lower, the more it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Plain,
    Prefixed,
    Route,
    View,
}

/// A key, taken apart.
struct Key<'a> {
    text: String,
    endpoint: Service,
    region: Option<&'a str>,
    id: &'a str,
    rank: Rank,
}

impl<'a> Key<'a> {
    fn parse(text: &'a str, endpoint: Service) -> Option<Self> {
        let mut segments: Vec<&str> = text.split('/').collect();
        let id = segments.pop()?;
        let mut key = Self {
            text: text.to_owned(),
            endpoint,
            region: None,
            id,
            rank: Rank::Plain,
        };
        for segment in segments {
            let rank = match segment {
                "bedrock" | "bedrock_converse" | "bedrock_mantle" => Rank::Prefixed,
                "converse" | "invoke" => Rank::Route,
                region if is_region(region) && key.region.is_none() => {
                    key.region = Some(region);
                    Rank::Prefixed
                }
                _ => return None,
            };
            key.rank = key.rank.max(rank);
        }
        let parsed = ModelId::parse(id);
        let is_id = !matches!(parsed.kind(), ModelKind::Arn { .. }) && !id.contains('@');
        (is_id && parsed.foundation_model().is_some()).then_some(key)
    }

    fn mantle_view(text: &'a str) -> Option<Self> {
        let key = Self::parse(text, Service::Mantle)?;
        Some(Self {
            text: format!("bedrock_mantle/{text}"),
            rank: Rank::View,
            ..key
        })
    }
}

/// What an entry says of prices.
#[derive(Default)]
struct Entry {
    endpoint: Option<Service>,
    mode: Option<String>,
    source: Option<String>,
    bands: Bands,
    long_context_above: Option<u64>,
    bills_other_units: bool,
    mantle_views: Vec<String>,
    notes: Vec<String>,
}

impl Entry {
    fn read(key: &str, value: &RawValue) -> Result<Self, PriceFileError> {
        let members: Members<'_> = serde_json::from_str(value.get())
            .map_err(|_| PriceFileError::NotAnObject(key.to_owned()))?;
        let mut entry = Self::default();
        let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
        for (name, value) in &members.0 {
            match name.as_str() {
                "litellm_provider" => {
                    entry.endpoint = match text(value).as_deref() {
                        Some("bedrock" | "bedrock_converse") => Some(Service::Runtime),
                        Some("bedrock_mantle") => Some(Service::Mantle),
                        _ => None,
                    }
                }
                "mode" => entry.mode = text(value),
                "source" => entry.source = text(value),
                "bedrock_mantle" => {
                    if let Ok(views) = serde_json::from_str::<Members<'_>>(value.get()) {
                        entry.mantle_views = views.0.into_iter().map(|(id, _)| id).collect();
                    }
                }
                _ => {}
            }
        }
        if entry.endpoint.is_some() {
            entry.read_rates(key, &members)?;
        }
        Ok(entry)
    }

    fn read_rates(&mut self, key: &str, members: &Members<'_>) -> Result<(), PriceFileError> {
        let mut long = Vec::new();
        let mut rounded = Vec::new();
        let mut other_units = Vec::new();
        for (name, value) in &members.0 {
            let value = value.get().trim();
            let Some((member, above)) = member(name) else {
                let is_cost =
                    name.starts_with("input_cost_per_") || name.starts_with("output_cost_per_");
                // Long-context costs of other tiers say nothing of the tiers themselves.
                if is_cost && !name.contains("_per_token_") && !is_zero_or_null(value) {
                    other_units.push(name.as_str());
                }
                continue;
            };
            if value == "null" {
                continue;
            }
            let cost =
                scale(value, 12).and_then(|cost| Some((cost, Rate::from_picos(cost.units)?)));
            let Some((cost, rate)) = cost else {
                return Err(PriceFileError::Cost {
                    entry: key.to_owned(),
                    member: name.clone(),
                    found: value.chars().take(40).collect(),
                });
            };
            if !cost.is_exact {
                rounded.push(name.as_str());
            }
            long.extend(above);
            *self.bands.of_mut(member.0).of_mut(member.1) = Some(rate);
        }
        self.forget_zeros();
        long.sort_unstable();
        long.dedup();
        self.long_context_above = long.first().copied();
        if long.len() > 1 {
            *self.bands.of_mut(Band::Long) = super::price::Rates::default();
        }
        self.bills_other_units = !other_units.is_empty();
        let mut note = |why: &str, names: &[&str]| {
            if !names.is_empty() {
                let names: Vec<&str> = names.iter().copied().take(MAX_QUOTED).collect();
                self.notes.push(format!("{why}: {}", names.join(", ")));
            }
        };
        note("rounded to whole picodollars", &rounded);
        note(
            "billed by other units as well, which are not counted",
            &other_units,
        );
        Ok(())
    }

    /// A zero stands for what is not known, except for the output of an embedding, which there is none of.
    fn forget_zeros(&mut self) {
        let embeds = self.mode.as_deref() == Some("embedding");
        for band in Band::ALL {
            let rates = self.bands.of_mut(band);
            for kind in Kind::ALL {
                let rate = rates.of_mut(kind);
                if rate.is_some_and(|rate| rate.picos() == 0) && !(embeds && kind == Kind::Output) {
                    *rate = None;
                }
            }
            // Nothing is billed by the token, then.
            if rates.input.is_none() && rates.output.is_some_and(|rate| rate.picos() == 0) {
                rates.output = None;
            }
        }
    }

    fn row(&self, key: &Key<'_>, name: &str, as_of: Option<&str>) -> Row {
        let source = match &self.source {
            Some(source) => format!("{name}; {source}"),
            None => name.to_owned(),
        };
        let notes = self.notes.join("; ");
        Row {
            endpoint: key.endpoint,
            id: key.id.into(),
            region: key.region.map(Into::into),
            file_key: Some(key.text.as_str().into()),
            price: Price {
                bands: self.bands.clone(),
                long_context_above: self.long_context_above,
                bills_other_units: self.bills_other_units,
                mode: self.mode.as_deref().map(Into::into),
                source: source.into(),
                as_of: as_of.map(Into::into),
                note: (!notes.is_empty()).then(|| notes.into()),
            },
        }
    }
}

/// Band and kind of a member, and the threshold that its name tells.
fn member(name: &str) -> Option<((Band, Kind), Option<u64>)> {
    let (suffix, kind) = MEMBERS
        .iter()
        .find_map(|(member, kind)| Some((name.strip_prefix(member)?, *kind)))?;
    let band = match suffix {
        "" => Band::Standard,
        "_batches" => Band::Batch,
        "_flex" => Band::Flex,
        "_priority" => Band::Priority,
        _ => {
            let thousands = suffix.strip_prefix("_above_")?.strip_suffix("k_tokens")?;
            let above = thousands.parse::<u32>().ok()?;
            return Some(((Band::Long, kind), Some(u64::from(above) * 1000)));
        }
    };
    Some(((band, kind), None))
}

fn is_zero_or_null(value: &str) -> bool {
    value == "null" || scale(value, 12).is_some_and(|cost| cost.units == 0 && cost.is_exact)
}

/// The members of an object in the order of the text, the same name twice included, each value as it is written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
