//! How the ledger is kept: for how long, how large, and how soon a record is on its way to the disk.
//!
//! Plain data and its spelling. What is done about it is left to `sweep` and `worker`.

use std::str::FromStr;

use time::Duration;

use super::since::parse_age;

/// What a ledger is opened with. The default keeps everything, and commits a record before its response ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerOptions {
    /// When a record is committed.
    pub durability: Durability,
    /// What is removed.
    pub retention: Retention,
}

/// When a record is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before the last byte of its response leaves.
    #[default]
    Strict,
    /// Soon: nobody waits, and a process that is killed may lose what came within the last tenth of a second.
    Relaxed,
}

/// How long and how much is kept; `None` is for ever and everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// What is older goes, exchange and payload.
    pub age: Option<Duration>,
    /// When more of the file is in use, the oldest payloads go, and when there are none, the oldest exchanges.
    pub bytes: Option<u64>,
}

/// Why `--retain` was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// Neither an age nor a size.
    #[error(
        "`{given}` is neither an age such as 12h, 90d or 52w nor a size such as 500MB, 20GB or 1TiB"
    )]
    Unknown {
        /// What was given.
        given: String,
    },
    /// Two ages or two sizes.
    #[error("`{given}` is given beside another of its kind; give one age, one size, or both")]
    Twice {
        /// What was given second.
        given: String,
    },
    /// So small that nothing would be kept.
    #[error("`{given}` keeps next to nothing: give an age above 0 and a size of 1MB or more")]
    TooSmall {
        /// What was given.
        given: String,
    },
}

/// The smallest size: an empty ledger takes a tenth of it.
const SMALLEST: u64 = 1_000_000;

const UNITS: [(&str, u64); 8] = [
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
    ("TIB", 1 << 40),
];

impl Retention {
    /// Whether anything is ever removed.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// An age, a size, or both with a comma between: `90d,20GB`.
impl FromStr for Retention {
    type Err = RetentionError;

    fn from_str(text: &str) -> Result<Self, RetentionError> {
        let mut retention = Self::default();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        for &part in &parts {
            let given = || part.to_owned();
            if part.is_empty() && parts.len() == 2 && parts.iter().any(|part| !part.is_empty()) {
                continue;
            }
            let (twice, small) = if let Some(age) = parse_age(part) {
                (retention.age.replace(age).is_some(), age.is_zero())
            } else if let Some(bytes) = parse_size(part) {
                (retention.bytes.replace(bytes).is_some(), bytes < SMALLEST)
            } else {
                return Err(RetentionError::Unknown { given: given() });
            };
            if twice {
                return Err(RetentionError::Twice { given: given() });
            }
            if small {
                return Err(RetentionError::TooSmall { given: given() });
            }
        }
        Ok(retention)
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.to_ascii_uppercase();
    let (count, unit) = UNITS.iter().find_map(|(unit, bytes)| {
        let count = text.strip_suffix(unit)?.trim_end();
        Some((count, *bytes))
    })?;
    count.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_understood() {
        for (text, days, bytes) in [
            ("90d,20GB", Some(90), Some(20_000_000_000)),
            ("20gb, 90d", Some(90), Some(20_000_000_000)),
            ("52w", Some(364), None),
            ("1MiB", None, Some(1 << 20)),
            (",3TB", None, Some(3_000_000_000_000)),
            ("1d,", Some(1), None),
        ] {
            let retention: Retention = text.parse().unwrap();
            assert_eq!(retention.age, days.map(Duration::days), "{text}");
            assert_eq!(retention.bytes, bytes, "{text}");
        }
        for text in [
            "",
            ",",
            ",,1d",
            "1",
            "20G",
            "d",
            "1d,1w",
            "1GB,2GB",
            "0d",
            "10KB",
            "-1d",
            "99999999TiB",
            "1.5GB",
            "1d,1GB,",
        ] {
            assert!(text.parse::<Retention>().is_err(), "{text}");
        }
    }
}
