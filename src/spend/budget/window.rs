//! In which time something may be spent: windows of the calendar in a zone, and rolling ones.
//!
//! Time here is milliseconds since 1970, as the ledger files its rows. A span is a pure function of an instant, so that a
//! replay finds every row in the window it was admitted in. Days and months begin where the zone's calendar says, changes of
//! its clocks included, so that a day may have 23 or 25 hours; zones come from data that is compiled in. A rolling window is
//! made of sixty slots; a slot leaves it as a whole, when all that is in it is old enough, so that never more is spent in
//! any window of that length.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use time::OffsetDateTime;

/// In which time.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// From one full minute to the next.
    Minute,
    /// From one full hour of the zone's clocks to the next.
    Hour(Zone),
    /// A day of the zone's calendar.
    Day(Zone),
    /// A month of it.
    Month(Zone),
    /// So long until now.
    Rolling(Rolling),
}

/// A zone and its name.
#[derive(Clone, PartialEq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A length of time that ends now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rolling {
    text: String,
    ms: i64,
}

/// From the first millisecond to just before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

const MINUTE: i64 = 60_000;
/// An hour.
pub(super) const HOUR: i64 = 60 * MINUTE;
/// A day of a clock that nobody changes.
const DAY: i64 = 24 * HOUR;
/// Slots of a rolling window.
const SLOTS: i64 = 60;
/// The longest rolling window.
const LONGEST: i64 = 366 * DAY;
/// How late calls may be and be counted where they arrived: bodies may take their time.
const LATE: i64 = 15 * MINUTE;

impl Window {
    /// The span that `at_ms` is counted in: the window itself, or the slot of a rolling one.
    pub(super) fn slot(&self, at_ms: i64) -> Span {
        let steady = |length: i64| {
            let from_ms = at_ms.div_euclid(length) * length;
            Span {
                from_ms,
                to_ms: from_ms + length,
            }
        };
        let days = |zone: &Zone, first: fn(Date) -> Date, next: fn(Date) -> Date| {
            let begins = |date: Date| zone.midnight(date);
            let found = zone.date(at_ms).and_then(|date| {
                let (from, to) = (first(date), next(first(date)));
                let (from_ms, to_ms) = (begins(from)?, begins(to)?);
                // Clocks that go back across midnight show a day again that is over.
                if at_ms < to_ms {
                    return Some(Span { from_ms, to_ms });
                }
                let after = begins(next(to))?;
                Some(Span {
                    from_ms: to_ms,
                    to_ms: after,
                })
            });
            // Beyond the calendar's ends.
            found.unwrap_or_else(|| steady(DAY))
        };
        match self {
            Self::Minute => steady(MINUTE),
            Self::Hour(zone) => {
                let ahead = zone.ahead(at_ms);
                let from_ms = (at_ms + ahead).div_euclid(HOUR) * HOUR - ahead;
                Span {
                    from_ms,
                    to_ms: from_ms + HOUR,
                }
            }
            Self::Day(zone) => days(zone, |date| date, |date| date.tomorrow().unwrap_or(date)),
            Self::Month(zone) => days(zone, Date::first_of_month, |first| {
                let last = first.last_of_month();
                last.tomorrow().unwrap_or(last)
            }),
            Self::Rolling(rolling) => steady(rolling.slot_ms()),
        }
    }

    /// Where the window that ends with `at_ms` begins.
    pub(super) fn begins(&self, at_ms: i64) -> i64 {
        match self {
            Self::Rolling(rolling) => self.slot(at_ms - rolling.ms).from_ms,
            _ => self.slot(at_ms).from_ms,
        }
    }

    /// When the window that `at_ms` lies in is over; `None` for a rolling one.
    pub(super) fn ends(&self, at_ms: i64) -> Option<i64> {
        match self {
            Self::Rolling(_) => None,
            _ => Some(self.slot(at_ms).to_ms),
        }
    }

    /// How long what is counted is kept beyond the present window, for calls that are admitted long after they arrived.
    pub(super) fn grace_ms(&self) -> i64 {
        match self {
            Self::Minute => LATE,
            Self::Hour(_) => HOUR,
            Self::Day(_) => DAY,
            Self::Month(_) => 31 * DAY,
            Self::Rolling(rolling) => rolling.ms,
        }
    }

    /// When what is counted in the slot that ends with `to_ms` counts no more.
    pub(super) fn expires(&self, to_ms: i64) -> i64 {
        match self {
            Self::Rolling(rolling) => to_ms + rolling.ms,
            _ => to_ms,
        }
    }

    /// Whether waiting for it is not what a client does: a day or longer.
    #[must_use]
    pub fn is_long(&self) -> bool {
        match self {
            Self::Minute | Self::Hour(_) => false,
            Self::Day(_) | Self::Month(_) => true,
            Self::Rolling(rolling) => rolling.ms >= DAY,
        }
    }

    /// About how long it is at most, in milliseconds.
    #[must_use]
    pub fn longest_ms(&self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour(_) => HOUR,
            Self::Day(_) => DAY + 2 * HOUR,
            Self::Month(_) => 31 * DAY + 2 * HOUR,
            Self::Rolling(rolling) => rolling.ms + rolling.slot_ms(),
        }
    }

    /// The name it has in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Minute => "minute",
            Self::Hour(_) => "hour",
            Self::Day(_) => "day",
            Self::Month(_) => "month",
            Self::Rolling(rolling) => &rolling.text,
        }
    }

    /// The zone, where one matters.
    #[must_use]
    pub fn zone(&self) -> Option<&Zone> {
        match self {
            Self::Minute | Self::Rolling(_) => None,
            Self::Hour(zone) | Self::Day(zone) | Self::Month(zone) => Some(zone),
        }
    }

    /// An instant as people of its zone read it: RFC 3339, and the zone's name.
    pub(super) fn say(&self, at_ms: i64) -> String {
        let utc = Zone::utc();
        let zone = self.zone().unwrap_or(&utc);
        format!("{} ({})", zone.rfc3339(at_ms), zone.name)
    }
}

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            rules: TimeZone::UTC,
        }
    }

    /// The zone that IANA's database calls so, or an old name of one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::utc());
        }
        let rules = TimeZoneDatabase::bundled().get(name).ok()?;
        let name = rules.iana_name()?.to_owned();
        Some(Self { name, rules })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far its clocks are ahead of UTC, in milliseconds.
    fn ahead(&self, at_ms: i64) -> i64 {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        i64::from(self.rules.to_offset(at).seconds()) * 1000
    }

    fn date(&self, at_ms: i64) -> Option<Date> {
        let at = Timestamp::from_millisecond(at_ms).ok()?;
        Some(self.rules.to_datetime(at).date())
    }

    /// The first instant of a date: the earlier midnight of two, the end of the gap where there is none.
    fn midnight(&self, date: Date) -> Option<i64> {
        let midnight = date.at(0, 0, 0, 0);
        let ambiguous = self.rules.to_ambiguous_timestamp(midnight);
        Some(ambiguous.compatible().ok()?.as_millisecond())
    }

    /// RFC 3339, as its clocks show it.
    pub(super) fn rfc3339(&self, at_ms: i64) -> String {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
        if self.name == "UTC" {
            return at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
        let zoned = at.to_zoned(self.rules.clone());
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Rolling {
    /// Reads a whole number and `m`, `h`, `d` or `w`: from a minute to 366 days.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unit = text.chars().next_back()?;
        let digits = text.strip_suffix(unit)?;
        let count: u32 = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())??;
        let unit = match unit {
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            'w' => 7 * DAY,
            _ => return None,
        };
        let ms = i64::from(count).checked_mul(unit)?;
        (MINUTE..=LONGEST).contains(&ms).then(|| Self {
            text: text.to_owned(),
            ms,
        })
    }

    /// A whole number: every length is a number of minutes.
    fn slot_ms(&self) -> i64 {
        self.ms / SLOTS
    }
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// The instant, if the calendar has it.
pub(super) fn instant(at_ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).ok()
}
