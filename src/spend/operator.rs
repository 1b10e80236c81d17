//! The operator's own prices: the `[[price]]` tables of `tollgate.toml`.
//!
//! A table says for an id, an ARN or a glob one of three things: rates, `like` (cost what that id costs), or neither
//! (cost what it costs anyway), each with a multiplier or without. Which one applies is decided here; what it leads to,
//! in `book`. Numbers are read as decimal text: a TOML float is taken by its shortest writing.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use time::Date;
use time::macros::format_description;
use wildmatch::WildMatch;

use super::price::{Band, Kind, Price, RateName};
use super::rate::{Multiplier, NumberError, Rate};
use super::tier::Tier;
use crate::aws::endpoint::is_region;
use crate::aws::model_id::ModelId;

/// One `[[price]]` table, as it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PriceEntry {
    /// Id, ARN or glob.
    pub model: String,
    /// The id that it costs the same as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// Only calls in this region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Only calls at this service tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The date of the rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Factor on the whole cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<NumberText>,
    /// Beyond so many tokens of input the `long_…` rates apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_context_above: Option<u64>,
    /// `input`, `flex_output`, …: US dollars per million tokens.
    #[serde(flatten)]
    pub rates: BTreeMap<RateName, NumberText>,
}

/// A number of the file, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NumberText(pub String);

/// A `[[price]]` table that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[[price]] {place} (model = \"{model}\"): {problem}")]
pub struct EntryError {
    /// Which table, from 1.
    pub place: usize,
    /// What it is about.
    pub model: String,
    /// What is wrong with it.
    pub problem: EntryProblem,
}

/// What is wrong with a `[[price]]` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// A key that is no number.
    #[error("`{key}`: {source}")]
    Number {
        /// Which key.
        key: String,
        /// Why not.
        source: NumberError,
    },
    /// No model.
    #[error("`model` is empty; give an id, an ARN or a glob such as *claude*")]
    NoModel,
    /// Neither rates nor anything else.
    #[error("it says nothing; give rates (`input`, `output`, …), `like` or `multiplier`")]
    Nothing,
    /// Both rates and `like`.
    #[error("it has both `like` and rates; give one of them")]
    LikeAndRates,
    /// `like` names nothing that has a price.
    #[error(
        "`like` is `{0}`, which is no model id such as us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    )]
    Like(String),
    /// One rate of a pair.
    #[error("`{given}` stands without `{missing}`; give both, and 0 for what is not billed")]
    Unpaired {
        /// What is there.
        given: RateName,
        /// What is not.
        missing: RateName,
    },
    /// Long-context rates without their threshold, or the other way round.
    #[error("`long_context_above` and the `long_…` rates go together; give both")]
    LongContext,
    /// A rate for another band in a table for one tier.
    #[error("`{0}` in a table for one `tier`; there, `input` and the like are that tier's rates")]
    BandOfTier(RateName),
    /// No region.
    #[error("`region` is `{0}`, which is no region such as eu-west-1")]
    Region(String),
    /// No date.
    #[error("`as_of` is `{0}`, which is no date such as 2026-01-31")]
    AsOf(String),
    /// A date without rates.
    #[error("`as_of` is the date of rates, and there are none here")]
    AsOfNothing,
    /// The same model, region and tier as before.
    #[error("[[price]] {0} is for the same model, region and tier; keep one of them")]
    Twice(usize),
}

/// The operator's prices, checked.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<Override>);

/// One `[[price]]` table, checked.
#[derive(Clone, Debug)]
pub struct Override {
    /// The id, ARN or glob.
    pub model: Box<str>,
    glob: Option<WildMatch>,
    /// Only calls in this region.
    pub region: Option<Box<str>>,
    /// Only calls at this tier.
    pub tier: Option<Box<str>>,
    /// What it says.
    pub means: Means,
    /// Factor on the whole cost.
    pub multiplier: Option<Multiplier>,
}

/// What a `[[price]]` table says.
#[derive(Clone, Debug)]
pub enum Means {
    /// These rates.
    Rates(Box<Price>),
    /// What this id costs.
    Like(Box<str>),
    /// What it costs anyway.
    AsNamed,
}

impl Overrides {
    /// Checks the tables.
    ///
    /// # Errors
    /// [`EntryError`]: the first table that cannot be used, and why.
    pub fn new(entries: &[PriceEntry]) -> Result<Self, EntryError> {
        let mut checked: Vec<Override> = Vec::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            let wrong = |problem| EntryError {
                place: place + 1,
                model: entry.model.clone(),
                problem,
            };
            let new = Override::new(entry).map_err(wrong)?;
            if let Some(earlier) = checked.iter().position(|old| old.is_for_the_same(&new)) {
                return Err(wrong(EntryProblem::Twice(earlier + 1)));
            }
            checked.push(new);
        }
        Ok(Self(checked))
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Override> {
        self.0.iter()
    }

    /// The table that applies to a model named so: an exact one before a glob, among exact ones the one that says more
    /// about region and tier, among globs the first of the file. `id` is the id that an ARN names.
    pub(crate) fn find(
        &self,
        model: &str,
        id: Option<&str>,
        served: Served<'_>,
        likes: bool,
    ) -> Option<&Override> {
        let fits = |entry: &&Override| {
            entry.serves(served) && (likes || !matches!(entry.means, Means::Like(_)))
        };
        let exact = |name: &str| {
            self.iter()
                .filter(|entry| entry.glob.is_none() && *entry.model == *name)
                .filter(fits)
                .max_by_key(|entry| (entry.region.is_some(), entry.tier.is_some()))
        };
        let glob = |entry: &&Override| {
            let glob = entry.glob.as_ref();
            glob.is_some_and(|glob| glob.matches(model) || id.is_some_and(|id| glob.matches(id)))
        };
        exact(model)
            .or_else(|| exact(id?))
            .or_else(|| self.iter().filter(glob).find(fits))
    }
}

/// Where and how a call was served, as far as a `[[price]]` table asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served<'a> {
    pub(crate) region: Option<&'a str>,
    pub(crate) tier: &'a str,
}

impl Override {
    fn new(entry: &PriceEntry) -> Result<Self, EntryProblem> {
        if entry.model.is_empty() {
            return Err(EntryProblem::NoModel);
        }
        if let Some(region) = entry.region.as_ref().filter(|region| !is_region(region)) {
            return Err(EntryProblem::Region(region.clone()));
        }
        let multiplier = match &entry.multiplier {
            None => None,
            Some(text) => Some(
                Multiplier::parse(&text.0)
                    .map_err(|source| number("multiplier".to_owned(), source))?,
            ),
        };
        let means = match &entry.like {
            Some(_) if !entry.rates.is_empty() || entry.long_context_above.is_some() => {
                return Err(EntryProblem::LikeAndRates);
            }
            Some(like) if ModelId::parse(like).foundation_model().is_none() => {
                return Err(EntryProblem::Like(like.clone()));
            }
            Some(like) => Means::Like(like.as_str().into()),
            None if entry.rates.is_empty() && entry.long_context_above.is_none() => Means::AsNamed,
            None => Means::Rates(Box::new(price(entry)?)),
        };
        if !matches!(means, Means::Rates(_)) && entry.as_of.is_some() {
            return Err(EntryProblem::AsOfNothing);
        }
        if matches!(means, Means::AsNamed) && multiplier.is_none() {
            return Err(EntryProblem::Nothing);
        }
        Ok(Self {
            model: entry.model.as_str().into(),
            glob: entry
                .model
                .contains(['*', '?'])
                .then(|| WildMatch::new(&entry.model)),
            region: entry.region.as_deref().map(Into::into),
            tier: (entry.tier.as_deref()).map(|tier| Tier::parse(tier).as_str().into()),
            means,
            multiplier,
        })
    }

    fn is_for_the_same(&self, other: &Self) -> bool {
        self.model == other.model && self.region == other.region && self.tier == other.tier
    }

    fn serves(&self, served: Served<'_>) -> bool {
        self.region
            .as_deref()
            .is_none_or(|region| Some(region) == served.region)
            && self.tier.as_deref().is_none_or(|tier| tier == served.tier)
    }
}

/// The key of the table: `override:MODEL[@region][ tier]`.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "override:{}", self.model)?;
        if let Some(region) = &self.region {
            write!(f, "@{region}")?;
        }
        match &self.tier {
            Some(tier) => write!(f, "#{tier}"),
            None => Ok(()),
        }
    }
}

fn number(key: String, source: NumberError) -> EntryProblem {
    EntryProblem::Number { key, source }
}

fn price(entry: &PriceEntry) -> Result<Price, EntryProblem> {
    let mut price = Price {
        long_context_above: entry.long_context_above,
        source: "tollgate.toml".into(),
        as_of: entry.as_of.as_deref().map(Into::into),
        ..Price::default()
    };
    for (&name, text) in &entry.rates {
        if entry.tier.is_some() && name.band != Band::Standard {
            return Err(EntryProblem::BandOfTier(name));
        }
        let rate = Rate::parse_per_million(&text.0);
        let rate = rate.map_err(|source| number(name.to_string(), source))?;
        *price.bands.of_mut(name.band).of_mut(name.kind) = Some(rate);
    }
    if price.bands.of(Band::Long).is_empty() != price.long_context_above.is_none() {
        return Err(EntryProblem::LongContext);
    }
    for band in Band::ALL {
        let rates = price.bands.of(band);
        // Without rates for the standard tier the table would make its models unpriced.
        if rates.is_empty() && band != Band::Standard {
            continue;
        }
        for (kind, other) in [(Kind::Input, Kind::Output), (Kind::Output, Kind::Input)] {
            if rates.of(kind).is_none() {
                let mut names = entry.rates.keys();
                let given = names.clone().find(|name| name.band == band);
                let given = given.or_else(|| names.next());
                return Err(EntryProblem::Unpaired {
                    given: given.copied().unwrap_or(RateName { band, kind: other }),
                    missing: RateName { band, kind },
                });
            }
        }
    }
    let date = |text: &str| Date::parse(text, format_description!("[year]-[month]-[day]")).is_ok();
    match &entry.as_of {
        Some(text) if !date(text) => Err(EntryProblem::AsOf(text.clone())),
        _ => Ok(price),
    }
}

impl Serialize for RateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!(
                "unknown key `{text}`; a rate is called input, output, cache_read, cache_write_5m or cache_write_1h, \
                 with batch_, flex_, priority_, optimized_ or long_ before it where it is not the standard one"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for NumberText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = NumberText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a number in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<NumberText, E> {
        Ok(NumberText(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<NumberText, E> {
        Ok(NumberText(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<NumberText, E> {
        Ok(NumberText(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<NumberText, E> {
        // The shortest text that reads as this double, without an exponent: what was written, in all but odd cases.
        Ok(NumberText(number.to_string()))
    }
}
