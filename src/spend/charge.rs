//! What a call cost: its tokens, each kind times its rate.
//!
//! Input, cache reads, cache writes by lifetime and output are added up; reasoning is within the output, input is without
//! cache tokens. A kind that was used and has no rate makes the sum partial; it is never taken as free and never
//! charged at another kind's rate. Where nothing can be said there is no amount at all, never 0. Integers throughout:
//! the multiplier is applied to the sum, once, and rounded half up there.

use std::fmt;

use super::book::{Doubt, Found, PriceBook, Wanted};
use super::cost::{Cost, CostStatus, Usd};
use super::price::{Band, Kind, Rates};
use super::rate::Rate;
use super::tier::{ServedTier, Tier};
use crate::aws::Service;
use crate::usage::{TokenUsage, UsageSource};

/// What is known of a call that costs.
///
/// Only calls that are billed by the token belong here: the answer of a count-tokens operation costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct PricedCall<'a> {
    /// The model id or ARN as the client named it, decoded.
    pub model: Option<&'a str>,
    /// The model that the response names.
    pub response_model: Option<&'a str>,
    /// The service behind the host; `None` for a name that does not tell.
    pub endpoint: Option<Service>,
    /// The region of the call.
    pub region: Option<&'a str>,
    /// The service tier, as the response told.
    pub service_tier: Option<&'a str>,
    /// The service tier, as the request asked.
    pub asked_tier: Option<&'a str>,
    /// The latency configuration, as the response told, else as the request asked.
    pub performance_latency: Option<&'a str>,
    /// What was used.
    pub usage: &'a TokenUsage,
}

/// A cost and how it came about.
#[derive(Clone, Debug)]
pub struct Charge<'a> {
    /// The result.
    pub cost: Cost,
    /// The price.
    pub found: Found<'a>,
    /// The band of its rates.
    pub band: Band,
    /// Tokens and rate of each kind.
    pub lines: [Line; 5],
    /// Why it is partial.
    pub gaps: Vec<Gap>,
}

/// One kind of token of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which kind.
    pub kind: Kind,
    /// How many, where that is known.
    pub tokens: Option<u64>,
    /// At which rate, where that is known.
    pub rate: Option<Rate>,
}

/// Why a cost is not the whole truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// No rate for a kind of token that was used.
    #[error("there is no rate for {0}")]
    NoRate(Name),
    /// It was not told how many.
    #[error("the number of {0} tokens was not told")]
    NotTold(Name),
    /// What else the call may be billed by is not counted.
    #[error("calls are billed by other units than text tokens as well, whose rates are not known")]
    OtherUnits,
    /// The counts themselves are not whole.
    #[error("the token counts are partial or estimated")]
    Counts,
    /// More than can be recorded.
    #[error("the amount is larger than can be recorded")]
    TooLarge,
}

/// A kind's name in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(pub Kind);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// Why there is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpriced {
    /// No tokens were told.
    #[error("no token counts are known")]
    NoUsage,
    /// The call names no model.
    #[error("the call names no model")]
    NoModel,
    /// No price.
    #[error("no price is known for this model here")]
    NoPrice,
    /// The price has no rates for this tier or latency.
    #[error("{key} has no rates for {what}")]
    NoRates {
        /// The price.
        key: String,
        /// Tier or latency.
        what: String,
    },
    /// Beyond the threshold, without rates for that.
    #[error("{key} has another rate above {above} tokens of input, which is not known")]
    LongContext {
        /// The price.
        key: String,
        /// The threshold.
        above: u64,
    },
    /// Nothing that was used has a rate.
    #[error("{0} has no rate for anything that was used")]
    NothingRated(String),
}

impl PriceBook {
    /// What a call cost, and how far that can be trusted.
    #[must_use]
    pub fn cost(&self, call: &PricedCall<'_>) -> Cost {
        self.charge(call, &mut |_| {})
            .map_or_else(|_| Cost::unpriced(), |charge| charge.cost)
    }

    /// What a call cost, with the whole account; `trace` is told each step of the search for the price.
    ///
    /// # Errors
    /// [`Unpriced`]: why there is no amount.
    pub fn charge(
        &self,
        call: &PricedCall<'_>,
        trace: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Result<Charge<'_>, Unpriced> {
        let model = call.model.ok_or(Unpriced::NoModel)?;
        let served = ServedTier::new(call.service_tier, call.asked_tier);
        let wanted = Wanted {
            model,
            response_model: call.response_model,
            endpoint: call.endpoint,
            region: call.region,
            tier: served.tier.as_str(),
        };
        let mut found = self.find(&wanted, trace).ok_or(Unpriced::NoPrice)?;
        if is_unknown(call.usage) {
            return Err(Unpriced::NoUsage);
        }
        let band = band(&found, served.tier, call)?;
        if band != Band::Standard {
            found.key = format!("{}#{}", found.key, band.as_str());
        }
        if let Some(multiplier) = found.multiplier {
            found.key = format!("{}×{multiplier}", found.key);
        }
        let rates = found.price.bands.of(band);
        if served.is_assumed {
            found.doubts.push(Doubt::TierAsAsked);
        }
        if lifetime_matters(call.usage, rates) {
            found.doubts.push(Doubt::CacheLifetime);
        }
        settle(found, band, call.usage)
    }
}

/// Whether nothing was counted.
fn is_unknown(usage: &TokenUsage) -> bool {
    let counts = [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
    ];
    counts.iter().all(Option::is_none)
}

/// The band of the price that applies to the call.
fn band(found: &Found<'_>, tier: Tier<'_>, call: &PricedCall<'_>) -> Result<Band, Unpriced> {
    // A price for this tier alone has its rates where the standard ones would be.
    let tier = if found.is_for_the_tier {
        Tier::Standard
    } else {
        tier
    };
    let no_rates = || Unpriced::NoRates {
        key: found.key.clone(),
        what: match call.performance_latency {
            None | Some("standard" | "") => format!("tier {}", tier.as_str()),
            Some(latency) => format!("tier {} with latency {latency}", tier.as_str()),
        },
    };
    let band = tier.band(call.performance_latency).ok_or_else(no_rates)?;
    let above = found.price.long_context_above;
    let band = match above.filter(|above| context(call.usage) > *above) {
        Some(above) if band != Band::Standard || found.price.bands.of(Band::Long).is_empty() => {
            return Err(Unpriced::LongContext {
                key: found.key.clone(),
                above,
            });
        }
        Some(_) => Band::Long,
        None => band,
    };
    if found.price.bands.of(band).is_empty() {
        return Err(no_rates());
    }
    Ok(band)
}

/// All input tokens, cache included.
fn context(usage: &TokenUsage) -> u64 {
    let lines = lines(usage, &Rates::default());
    let input = lines.iter().filter(|line| line.kind != Kind::Output);
    input.fold(0, |sum, line| sum.saturating_add(line.tokens.unwrap_or(0)))
}

/// Tokens and rate of each kind. Writes for an hour are part of all writes; what is left was for five minutes.
fn lines(usage: &TokenUsage, rates: &Rates) -> [Line; 5] {
    let for_an_hour = usage.cache_write_1h_tokens;
    let for_five_minutes = usage
        .cache_write_tokens
        .map(|all| all.saturating_sub(for_an_hour.unwrap_or(0)));
    Kind::ALL.map(|kind| Line {
        kind,
        tokens: match kind {
            Kind::Input => usage.input_tokens,
            Kind::Output => usage.output_tokens,
            Kind::CacheRead => usage.cache_read_tokens,
            Kind::CacheWrite5m => for_five_minutes,
            Kind::CacheWrite1h => for_an_hour,
        },
        rate: rates.of(kind),
    })
}

/// Whether the lifetime of cache writes was not told and would change the amount.
fn lifetime_matters(usage: &TokenUsage, rates: &Rates) -> bool {
    let written = usage.cache_write_tokens.is_some_and(|tokens| tokens > 0);
    let differ = rates.cache_write_1h.is_some() && rates.cache_write_1h != rates.cache_write_5m;
    written && usage.cache_write_1h_tokens.is_none() && differ
}

impl Line {
    /// What it comes to, in picodollars, where that is known.
    #[must_use]
    pub fn picos(&self) -> Option<u128> {
        Some(u128::from(self.tokens?) * u128::from(self.rate?.picos()))
    }

    /// What is missing here.
    fn gap(&self) -> Option<Gap> {
        let is_cache = !matches!(self.kind, Kind::Input | Kind::Output);
        match (self.tokens, self.rate) {
            // Cache tokens that nobody speaks of are none; input and output there always is.
            (None | Some(0), _) if is_cache => None,
            (_, None) => Some(Gap::NoRate(Name(self.kind))),
            (None, Some(rate)) if rate.picos() > 0 => Some(Gap::NotTold(Name(self.kind))),
            _ => None,
        }
    }
}

fn settle<'a>(found: Found<'a>, band: Band, usage: &TokenUsage) -> Result<Charge<'a>, Unpriced> {
    let lines = lines(usage, found.price.bands.of(band));
    let mut gaps: Vec<Gap> = lines.iter().filter_map(Line::gap).collect();
    gaps.extend(found.price.bills_other_units.then_some(Gap::OtherUnits));
    let rated = |line: &Line| line.rate.is_some() && line.tokens.is_some_and(|tokens| tokens > 0);
    if !gaps.is_empty() && !lines.iter().any(rated) {
        return Err(Unpriced::NothingRated(found.key));
    }
    let sum = lines
        .iter()
        .filter_map(Line::picos)
        .fold(0, u128::saturating_add);
    let sum = found.multiplier.map_or(sum, |factor| factor.apply(sum));
    let usd = Usd::from_picos(u64::try_from(sum).unwrap_or(u64::MAX));
    if u128::from(usd.picos()) < sum {
        gaps.push(Gap::TooLarge);
    }
    if matches!(
        usage.source,
        Some(UsageSource::Partial | UsageSource::Estimated)
    ) {
        gaps.push(Gap::Counts);
    }
    let status = if !gaps.is_empty() {
        CostStatus::Partial
    } else if !found.doubts.is_empty() {
        CostStatus::Derived
    } else {
        CostStatus::Exact
    };
    Ok(Charge {
        cost: Cost {
            usd: Some(usd),
            price_key: Some(found.key.clone()),
            price_as_of: found.price.as_of.as_deref().map(str::to_owned),
            status,
        },
        found,
        band,
        lines,
        gaps,
    })
}
