//! What an exchange cost, and how far that number can be trusted.
//!
//! Money is an integer of picodollars (1e-12 USD), which holds every published price of a single token exactly. How a
//! price is found and a cost worked out is left to the price book.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of US dollars, in picodollars. Never negative; sums saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u64);

/// Picodollars in a dollar.
const PICOS: u64 = 1_000_000_000_000;
/// Decimal places of a picodollar.
const PLACES: usize = 12;
/// The largest amount: what a signed 64-bit column holds, some nine million dollars.
const MAX: u64 = i64::MAX as u64;

/// A text that is no amount of dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an amount in US dollars such as 0.0015, with at most twelve decimal places")]
pub struct NotUsd;

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many picodollars, at most what a signed 64-bit integer holds.
    #[must_use]
    pub fn from_picos(picos: u64) -> Self {
        Self(picos.min(MAX))
    }

    /// In picodollars.
    #[must_use]
    pub fn picos(self) -> u64 {
        self.0
    }

    /// The sum, at most the largest amount.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self::from_picos(self.0.saturating_add(other.0))
    }
}

/// Dollars in decimal, without zeros at the end: `0.000123456789`, `3`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, mut picos) = (self.0 / PICOS, self.0 % PICOS);
        if picos == 0 {
            return write!(f, "{dollars}");
        }
        let mut places = PLACES;
        while picos.is_multiple_of(10) {
            picos /= 10;
            places -= 1;
        }
        write!(f, "{dollars}.{picos:0places$}")
    }
}

impl FromStr for Usd {
    type Err = NotUsd;

    fn from_str(text: &str) -> Result<Self, NotUsd> {
        let (dollars, places) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(dollars) || !digits(places) || places.len() > PLACES {
            return Err(NotUsd);
        }
        let dollars: u64 = dollars.parse().map_err(|_| NotUsd)?;
        let picos: u64 = format!("{places:0<PLACES$}").parse().map_err(|_| NotUsd)?;
        dollars
            .checked_mul(PICOS)
            .and_then(|whole| whole.checked_add(picos))
            .filter(|picos| *picos <= MAX)
            .map(Self)
            .ok_or(NotUsd)
    }
}

impl Serialize for Usd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What it cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// US dollars as a decimal string.
    pub usd: Option<Usd>,
    /// Which price was used.
    pub price_key: Option<String>,
    /// The date of that price.
    pub price_as_of: Option<String>,
    /// How far the number can be trusted.
    pub status: CostStatus,
}

/// How far a cost can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CostStatus {
    /// Reported tokens at an exact price.
    Exact,
    /// Reported tokens at a price found by rule, or one that its source doubts.
    Derived,
    /// Some of the tokens are missing or estimated, or some have no rate: the amount is not the whole truth.
    Partial,
    /// No price is known.
    Unpriced,
}

impl Cost {
    /// No price is known.
    #[must_use]
    pub fn unpriced() -> Self {
        Self {
            usd: None,
            price_key: None,
            price_as_of: None,
            status: CostStatus::Unpriced,
        }
    }
}

impl CostStatus {
    /// The name it has in JSON and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Derived => "derived",
            Self::Partial => "partial",
            Self::Unpriced => "unpriced",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_and_read_exactly() {
        for (picos, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (123_456_789, "0.000123456789"),
            (1_500_000_000_000, "1.5"),
            (3_000_000_000_000, "3"),
            (MAX, "9223372.036854775807"),
        ] {
            assert_eq!(Usd::from_picos(picos).to_string(), text);
            assert_eq!(text.parse(), Ok(Usd::from_picos(picos)));
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "0.0000000000001",
            "9223372.036854775808",
            "1 ",
        ] {
            assert_eq!(text.parse::<Usd>(), Err(NotUsd), "{text}");
        }
    }
}
