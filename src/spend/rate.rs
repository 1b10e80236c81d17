//! What one token costs, and decimal numbers as people and files write them, read without a float in between.
//!
//! A rate is a whole number of picodollars a token, which is US dollars per million tokens times a million: every
//! published price fits. A number that does not is told apart, so that its reader can refuse it or say that it was
//! rounded.

use std::fmt;

/// What one token costs, in picodollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

/// A factor on a whole cost, such as 0.87 for a discount of 13 %: in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplier(u64);

/// Why a text is no rate or factor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a number.
    #[error("`{0}` is not a decimal number such as 3.3")]
    NotDecimal(String),
    /// Finer than what can be held.
    #[error("`{text}` has more than {places} decimal places")]
    TooFine {
        /// The number.
        text: String,
        /// How many it may have.
        places: u8,
    },
    /// More than anything costs.
    #[error("`{text}` is more than {most}, the most that is believed")]
    TooLarge {
        /// The number.
        text: String,
        /// The most.
        most: &'static str,
    },
    /// So little that the unit must have been mistaken.
    #[error("`{0}` is too little for a million tokens: rates are US dollars per million tokens")]
    TooSmall(String),
    /// A factor of nothing.
    #[error(
        "a multiplier of 0 makes everything free; say `input = 0` and `output = 0` if that is meant"
    )]
    Zero,
}

/// A decimal number, scaled to whole units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// The whole units, rounded half up.
    pub(crate) units: u64,
    /// Nothing was rounded away.
    pub(crate) is_exact: bool,
}

/// A dollar a token: more is a mistake in the unit.
const MAX_RATE: u64 = 1_000_000_000_000;
/// 0.0001 US dollars per million tokens, a hundredth of the cheapest that is sold: less is a mistake in the unit.
const MIN_RATE: u64 = 100;
/// Millionths in 1.
const MILLION: u64 = 1_000_000;
/// A thousandfold.
const MAX_MULTIPLIER: u64 = 1000 * MILLION;

impl Rate {
    /// So many picodollars a token, if that is a price that may be.
    #[must_use]
    pub fn from_picos(picos: u64) -> Option<Self> {
        (picos <= MAX_RATE).then_some(Self(picos))
    }

    /// In picodollars a token.
    #[must_use]
    pub fn picos(self) -> u64 {
        self.0
    }

    /// Reads US dollars per million tokens, as the operator writes them.
    ///
    /// # Errors
    /// [`NumberError`]: no number, one with more than six decimal places, or one that shows a mistaken unit.
    pub fn parse_per_million(text: &str) -> Result<Self, NumberError> {
        let scaled = scale(text, 6).ok_or_else(|| NumberError::NotDecimal(text.to_owned()))?;
        match scaled.units {
            units if units > MAX_RATE => Err(NumberError::TooLarge {
                text: text.to_owned(),
                most: "1000000 US dollars per million tokens",
            }),
            0 if scaled.is_exact => Ok(Self(0)),
            units if units < MIN_RATE => Err(NumberError::TooSmall(text.to_owned())),
            _ if !scaled.is_exact => Err(NumberError::TooFine {
                text: text.to_owned(),
                places: 6,
            }),
            units => Ok(Self(units)),
        }
    }
}

/// US dollars per million tokens: `3.3`, `0.00875`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, self.0)
    }
}

impl Multiplier {
    /// Reads a factor such as `0.87`.
    ///
    /// # Errors
    /// [`NumberError`]: no number, one with more than six decimal places, 0, or more than 1000.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let scaled = scale(text, 6).ok_or_else(|| NumberError::NotDecimal(text.to_owned()))?;
        match scaled.units {
            units if units > MAX_MULTIPLIER => Err(NumberError::TooLarge {
                text: text.to_owned(),
                most: "1000",
            }),
            _ if !scaled.is_exact => Err(NumberError::TooFine {
                text: text.to_owned(),
                places: 6,
            }),
            0 => Err(NumberError::Zero),
            units => Ok(Self(units)),
        }
    }

    /// `amount` times the factor, rounded half up; at most the largest number.
    #[must_use]
    pub fn apply(self, amount: u128) -> u128 {
        let scale = u128::from(MILLION);
        amount
            .saturating_mul(u128::from(self.0))
            .saturating_add(scale / 2)
            / scale
    }
}

/// `0.87`.
impl fmt::Display for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, self.0)
    }
}

fn write_millionths(f: &mut fmt::Formatter<'_>, millionths: u64) -> fmt::Result {
    let (whole, rest) = (millionths / MILLION, millionths % MILLION);
    if rest == 0 {
        return f.pad(&whole.to_string());
    }
    f.pad(format!("{whole}.{rest:06}").trim_end_matches('0'))
}

/// Reads `digits[.digits][e[+-]digits]` in units of 10^-`places`. `None` if it is no such number, or too large.
pub(crate) fn scale(text: &str, places: i32) -> Option<Scaled> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
        Some(_) => return None,
        None => (mantissa, ""),
    };
    // Longer than what any writer of doubles writes.
    if !is_digits(whole) || whole.len() + fraction.len() > 30 {
        return None;
    }
    let mut units: u128 = format!("{whole}{fraction}").parse().ok()?;
    let mut shift = exponent + places - i32::try_from(fraction.len()).ok()?;
    let (mut is_exact, mut half) = (true, false);
    while shift > 0 && units > 0 {
        units = units.checked_mul(10)?;
        shift -= 1;
    }
    while shift < 0 && (units > 0 || half) {
        let digit = units % 10;
        is_exact &= digit == 0;
        half = digit >= 5;
        units /= 10;
        shift += 1;
    }
    Some(Scaled {
        units: u64::try_from(units + u128::from(half)).ok()?,
        is_exact,
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

fn parse_exponent(text: &str) -> Option<i32> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (if text.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, text),
    };
    let known = is_digits(digits) && digits.len() <= 3;
    known.then(|| digits.parse::<i32>().ok())?.map(|n| sign * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (text, places, units, is_exact) in [
            ("3e-06", 12, 3_000_000, true),
            ("1.25e-06", 12, 1_250_000, true),
            ("0.0000033", 12, 3_300_000, true),
            ("8.75E-09", 12, 8_750, true),
            ("0.0", 12, 0, true),
            ("0e-300", 12, 0, true),
            ("2.4999999999999998e-06", 12, 2_500_000, false),
            ("4.4e-13", 12, 0, false),
            ("5e-13", 12, 1, false),
            ("5e-14", 12, 0, false),
            ("9e-14", 12, 0, false),
            ("1e+1", 6, 10_000_000, true),
            ("16.5", 6, 16_500_000, true),
            ("007", 0, 7, true),
        ] {
            assert_eq!(
                scale(text, places),
                Some(Scaled { units, is_exact }),
                "{text}"
            );
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e",
            "1e+",
            "e6",
            "1e1e1",
            "1,5",
            " 1",
            "NaN",
            "inf",
            "0x1",
            "1e9999",
            "1e400",
            "99999999999999999999999999999999",
        ] {
            assert_eq!(scale(text, 12), None, "{text}");
        }
    }

    #[test]
    fn rates_are_per_million_tokens_and_a_mistaken_unit_is_refused() {
        let picos = |text| Rate::parse_per_million(text).map(Rate::picos);
        assert_eq!(picos("3.3"), Ok(3_300_000));
        assert_eq!(picos("0"), Ok(0));
        assert_eq!(picos("0.00875"), Ok(8_750));
        assert!(matches!(picos("0.000003"), Err(NumberError::TooSmall(_))));
        assert!(matches!(
            picos("3.3000001"),
            Err(NumberError::TooFine { .. })
        ));
        assert!(matches!(
            picos("1000001"),
            Err(NumberError::TooLarge { .. })
        ));
        assert!(matches!(picos("-1"), Err(NumberError::NotDecimal(_))));
        assert_eq!(Rate(3_300_000).to_string(), "3.3");
        assert_eq!(Rate(20_000_000).to_string(), "20");
    }

    #[test]
    fn a_multiplier_rounds_half_up_once() {
        let factor = Multiplier::parse("0.87").unwrap();
        assert_eq!(factor.to_string(), "0.87");
        assert_eq!(factor.apply(100), 87);
        assert_eq!(factor.apply(50), 44, "43.5 is rounded up");
        assert_eq!(Multiplier::parse("0.5").unwrap().apply(1), 1);
        assert_eq!(Multiplier::parse("0.4").unwrap().apply(1), 0);
        assert_eq!(
            Multiplier::parse("1000").unwrap().apply(u128::MAX),
            u128::MAX / 1_000_000
        );
        assert_eq!(Multiplier::parse("0"), Err(NumberError::Zero));
        assert!(Multiplier::parse("1000.1").is_err() && Multiplier::parse("x").is_err());
    }
}
