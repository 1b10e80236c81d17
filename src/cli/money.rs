//! Dollars for people and for books: sums of picodollars, exactly or to four digits.
//!
//! Sums are 128 bits wide, because a ledger may hold more money than one amount can; no float comes near them.

use std::fmt;

/// A sum of picodollars, written exactly and without zeros at the end: `1234.000000000001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dollars(pub u128);

const PICOS: u128 = 1_000_000_000_000;
const PLACES: usize = 12;

/// How many digits a person is shown of an amount, at least.
const DIGITS: u32 = 4;

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, picos) = (self.0 / PICOS, self.0 % PICOS);
        if picos == 0 {
            return write!(f, "{dollars}");
        }
        let places = format!("{picos:0PLACES$}");
        write!(f, "{dollars}.{}", places.trim_end_matches('0'))
    }
}

/// An amount of picodollars, rounded for people: four digits that count, and cents in any case.
#[must_use]
pub fn compact(picos: u128) -> String {
    let digits = picos.checked_ilog10().map_or(1, |log| log + 1);
    // No finer than it is, no coarser than a cent.
    let step = 10_u128.pow(digits.saturating_sub(DIGITS).min(10));
    let rounded = picos.saturating_add(step / 2) / step * step;
    let text = Dollars(rounded).to_string();
    let (dollars, places) = text.split_once('.').unwrap_or((&text, ""));
    if picos == 0 {
        return "0".to_owned();
    }
    format!("{dollars}.{places:0<2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_beyond_what_one_amount_can_be() {
        for (picos, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (2 * u128::from(u64::MAX), "36893488.14741910323"),
            (PICOS * 7, "7"),
        ] {
            assert_eq!(Dollars(picos).to_string(), text);
        }
    }

    #[test]
    fn people_get_four_digits_and_cents() {
        for (picos, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (123_456_789, "0.0001235"),
            (PICOS, "1.00"),
            (1_234_567_890_123, "1.235"),
            (12_345_678_901_234, "12.35"),
            (99_999_600_000_000, "100.00"),
            (1_234_567_890_123_456, "1234.57"),
            (PICOS / 2, "0.50"),
        ] {
            assert_eq!(compact(picos), text, "{picos}");
        }
    }
}
