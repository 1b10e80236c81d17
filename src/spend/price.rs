//! One price: rates by kind of token, in bands by how the call was served, with where they come from.
//!
//! A rate that is not known is `None`; a rate of 0 is a rate. How a price is found is left to `book`, what a call costs
//! at it to `charge`.

use std::fmt;

use super::rate::Rate;
use crate::aws::Service;

/// A kind of token that has a rate of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Input without cache tokens.
    Input,
    /// Output, reasoning included.
    Output,
    /// Read from the prompt cache.
    CacheRead,
    /// Written to the prompt cache for five minutes.
    CacheWrite5m,
    /// Written to the prompt cache for an hour.
    CacheWrite1h,
}

/// A set of rates that applies to one way of serving a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// On demand, at the standard tier.
    Standard,
    /// A batch.
    Batch,
    /// The flex tier.
    Flex,
    /// The priority tier.
    Priority,
    /// Latency-optimised.
    Optimized,
    /// The standard tier, with more input than the price's long-context threshold.
    Long,
}

/// A rate for each kind of token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input without cache tokens.
    pub input: Option<Rate>,
    /// Output.
    pub output: Option<Rate>,
    /// Cache reads.
    pub cache_read: Option<Rate>,
    /// Cache writes for five minutes.
    pub cache_write_5m: Option<Rate>,
    /// Cache writes for an hour.
    pub cache_write_1h: Option<Rate>,
}

/// Rates for each way of serving a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bands {
    standard: Rates,
    batch: Rates,
    flex: Rates,
    priority: Rates,
    optimized: Rates,
    long: Rates,
}

/// What a model costs, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// The rates.
    pub bands: Bands,
    /// Beyond so many tokens of input, cache included, the long band applies, whether or not it has rates.
    pub long_context_above: Option<u64>,
    /// Calls may be billed by other units as well: images, seconds, speech. Their prices are not held.
    pub bills_other_units: bool,
    /// What the model does, where the source says it: `chat`, `embedding`, …
    pub mode: Option<Box<str>>,
    /// Who says so.
    pub source: Box<str>,
    /// When it was so.
    pub as_of: Option<Box<str>>,
    /// Why it should be doubted.
    pub note: Option<Box<str>>,
}

/// A price for an id at an endpoint, in one region or wherever there is none of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Runtime or mantle.
    pub endpoint: Service,
    /// The model id, with its geography.
    pub id: Box<str>,
    /// The one region it is for.
    pub region: Option<Box<str>>,
    /// The name it has in the operator's file, where it comes from there.
    pub file_key: Option<Box<str>>,
    /// The price.
    pub price: Price,
}

/// A band's rates name their kind: `input`, `flex_output`, `long_cache_read`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RateName {
    /// The band.
    pub band: Band,
    /// The kind.
    pub kind: Kind,
}

impl Kind {
    /// Every kind, in the order of printing.
    pub const ALL: [Self; 5] = [
        Self::Input,
        Self::Output,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
    ];

    /// The name it has in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
        }
    }
}

impl Band {
    /// Every band, in the order of printing.
    pub const ALL: [Self; 6] = [
        Self::Standard,
        Self::Batch,
        Self::Flex,
        Self::Priority,
        Self::Optimized,
        Self::Long,
    ];

    /// The name it has in the configuration and behind `#` in a price key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Optimized => "optimized",
            Self::Long => "long",
        }
    }
}

impl Rates {
    /// The rate of a kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Option<Rate> {
        match kind {
            Kind::Input => self.input,
            Kind::Output => self.output,
            Kind::CacheRead => self.cache_read,
            Kind::CacheWrite5m => self.cache_write_5m,
            Kind::CacheWrite1h => self.cache_write_1h,
        }
    }

    /// Where the rate of a kind is kept.
    pub fn of_mut(&mut self, kind: Kind) -> &mut Option<Rate> {
        match kind {
            Kind::Input => &mut self.input,
            Kind::Output => &mut self.output,
            Kind::CacheRead => &mut self.cache_read,
            Kind::CacheWrite5m => &mut self.cache_write_5m,
            Kind::CacheWrite1h => &mut self.cache_write_1h,
        }
    }

    /// Whether no rate is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Bands {
    /// The rates of a band.
    #[must_use]
    pub fn of(&self, band: Band) -> &Rates {
        match band {
            Band::Standard => &self.standard,
            Band::Batch => &self.batch,
            Band::Flex => &self.flex,
            Band::Priority => &self.priority,
            Band::Optimized => &self.optimized,
            Band::Long => &self.long,
        }
    }

    /// Where the rates of a band are kept.
    pub fn of_mut(&mut self, band: Band) -> &mut Rates {
        match band {
            Band::Standard => &mut self.standard,
            Band::Batch => &mut self.batch,
            Band::Flex => &mut self.flex,
            Band::Priority => &mut self.priority,
            Band::Optimized => &mut self.optimized,
            Band::Long => &mut self.long,
        }
    }

    /// Whether no rate is known in any band.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first rate that both know and that differs.
    pub(crate) fn clash(&self, other: &Self) -> Option<RateName> {
        RateName::all().find(|name| {
            let (ours, theirs) = (self.rate(*name), other.rate(*name));
            ours.is_some() && theirs.is_some() && ours != theirs
        })
    }

    /// Takes from `other` what is not known here.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for name in RateName::all() {
            let ours = self.of_mut(name.band).of_mut(name.kind);
            *ours = ours.or(other.rate(name));
        }
    }

    /// The rate of that name.
    #[must_use]
    pub fn rate(&self, name: RateName) -> Option<Rate> {
        self.of(name.band).of(name.kind)
    }
}

impl RateName {
    /// Every rate that there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |band| Kind::ALL.into_iter().map(move |kind| Self { band, kind });
        Band::ALL.into_iter().flat_map(of)
    }

    /// Reads a name as it stands in the configuration.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|name| name.to_string() == text)
    }
}

impl fmt::Display for RateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.band {
            Band::Standard => f.write_str(self.kind.as_str()),
            band => write!(f, "{}_{}", band.as_str(), self.kind.as_str()),
        }
    }
}

/// The key of the row: `ID`, `ID@region`, `bedrock-mantle/ID`, `file:KEY`.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.file_key {
            return write!(f, "file:{key}");
        }
        if self.endpoint == Service::Mantle {
            f.write_str("bedrock-mantle/")?;
        }
        f.write_str(&self.id)?;
        match &self.region {
            Some(region) => write!(f, "@{region}"),
            None => Ok(()),
        }
    }
}
