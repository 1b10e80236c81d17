//! `--since`: a point in time as people give it.
//!
//! RFC 3339, a date in UTC, or an age. What time it is now is an argument.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use super::error::QueryError;
use super::row;

/// A point in time as people give it: a date, a time, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Milliseconds since 1970.
    At(i64),
    /// So long before now.
    Ago(Duration),
}

impl Since {
    /// Reads RFC 3339, a date (its midnight in UTC), or an age: a number and `s`, `m`, `h`, `d` or `w`.
    ///
    /// # Errors
    /// [`QueryError::Since`].
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
            return Ok(Self::At(row::unix_ms(time)));
        }
        if let Ok(date) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
            return Ok(Self::At(row::unix_ms(date.midnight().assume_utc())));
        }
        parse_age(text)
            .map(Self::Ago)
            .ok_or_else(|| QueryError::Since {
                given: text.to_owned(),
            })
    }

    /// Milliseconds since 1970, when it is `now`.
    #[must_use]
    pub fn resolve(self, now: OffsetDateTime) -> i64 {
        match self {
            Self::At(ms) => ms,
            // An age from before the calendar begins is the beginning.
            Self::Ago(age) => now.checked_sub(age).map_or(i64::MIN, row::unix_ms),
        }
    }
}

/// An age: a number and `s`, `m`, `h`, `d` or `w`.
pub(crate) fn parse_age(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    Some(Duration::seconds(i64::from(count) * seconds))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn since_is_understood() {
        let now = datetime!(2026-11-22 12:00 UTC);
        let ms = |time: OffsetDateTime| time.unix_timestamp() * 1000;
        for (text, expected) in [
            (
                "2026-11-22T03:04:05Z",
                ms(datetime!(2026-11-22 3:04:05 UTC)),
            ),
            (
                "2026-11-22T03:04:05.5+01:00",
                ms(datetime!(2026-11-22 2:04:05 UTC)) + 500,
            ),
            ("2026-11-22", ms(datetime!(2026-11-22 0:00 UTC))),
            ("90s", ms(datetime!(2026-11-22 11:58:30 UTC))),
            ("10m", ms(datetime!(2026-11-22 11:50 UTC))),
            (" 2h ", ms(datetime!(2026-11-22 10:00 UTC))),
            ("3d", ms(datetime!(2026-11-19 12:00 UTC))),
            ("1w", ms(datetime!(2026-11-15 12:00 UTC))),
            ("4294967295w", i64::MIN),
        ] {
            assert_eq!(Since::parse(text).unwrap().resolve(now), expected, "{text}");
        }
        for text in [
            "",
            "h",
            "-1h",
            "1y",
            "10",
            "yesterday",
            "2026-13-01",
            "1é",
            "99999999999d",
        ] {
            let error = Since::parse(text).unwrap_err();
            assert!(matches!(error, QueryError::Since { .. }), "{text}");
        }
    }
}
