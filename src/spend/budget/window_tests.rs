//! Windows begin and end where the zone's calendar says, and every instant lies in exactly one.

use proptest::prelude::*;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::window::{Rolling, Span, Window, Zone, instant, unix_ms};

fn ms(text: &str) -> i64 {
    unix_ms(OffsetDateTime::parse(text, &Rfc3339).unwrap())
}

fn shown(at_ms: i64) -> String {
    instant(at_ms).unwrap().format(&Rfc3339).unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

fn rolling(text: &str) -> Window {
    Window::Rolling(Rolling::parse(text).unwrap())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case")]
fn days_and_months_follow_the_clocks_of_their_zone() {
    let berlin = || zone("Europe/Berlin");
    for (window, at, from, to, hours) in [
        (
            Window::Minute,
            "2026-11-27T12:15:59.999Z",
            "2026-11-27T12:15:00Z",
            "2026-11-27T12:16:00Z",
            0,
        ),
        (
            Window::Hour(Zone::utc()),
            "2026-11-27T12:15:00Z",
            "2026-11-27T12:00:00Z",
            "2026-11-27T13:00:00Z",
            1,
        ),
        // Half an hour beside UTC's.
        (
            Window::Hour(zone("Asia/Kolkata")),
            "2026-11-27T12:15:00Z",
            "2026-11-27T11:30:00Z",
            "2026-11-27T12:30:00Z",
            1,
        ),
        (
            Window::Day(Zone::utc()),
            "2026-11-27T00:00:00Z",
            "2026-11-27T00:00:00Z",
            "2026-11-28T00:00:00Z",
            24,
        ),
        (
            Window::Day(berlin()),
            "2026-11-27T23:30:00Z",
            "2026-11-27T23:00:00Z",
            "2026-11-28T23:00:00Z",
            24,
        ),
        // Clocks go forward, and back.
        (
            Window::Day(berlin()),
            "2026-03-29T10:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
            23,
        ),
        (
            Window::Day(berlin()),
            "2026-10-25T00:30:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
            25,
        ),
        // There is no midnight on that day.
        (
            Window::Day(zone("America/Sao_Paulo")),
            "2018-11-04T12:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
            23,
        ),
        // There is no such day: the one before lasts until the one after.
        (
            Window::Day(zone("Pacific/Apia")),
            "2011-12-30T09:00:00Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
            24,
        ),
        (
            Window::Month(Zone::utc()),
            "2028-02-29T23:59:59Z",
            "2028-02-01T00:00:00Z",
            "2028-03-01T00:00:00Z",
            29 * 24,
        ),
        (
            Window::Month(berlin()),
            "2026-03-31T22:30:00Z",
            "2026-03-31T22:00:00Z",
            "2026-04-30T22:00:00Z",
            30 * 24,
        ),
        (
            Window::Month(berlin()),
            "2026-10-01T00:00:00Z",
            "2026-09-30T22:00:00Z",
            "2026-10-31T23:00:00Z",
            31 * 24 + 1,
        ),
        (
            Window::Month(zone("America/New_York")),
            "2026-12-31T23:00:00Z",
            "2026-12-01T05:00:00Z",
            "2027-01-01T05:00:00Z",
            31 * 24,
        ),
    ] {
        let Span { from_ms, to_ms } = window.slot(ms(at));
        assert_eq!(
            (shown(from_ms).as_str(), shown(to_ms).as_str()),
            (from, to),
            "{window:?} {at}"
        );
        assert_eq!((to_ms - from_ms) / 3_600_000, hours, "{window:?} {at}");
    }
}

#[test]
fn a_rolling_window_reaches_back_to_the_beginning_of_a_slot() {
    let window = rolling("60m");
    // Slots of a minute.
    assert_eq!(
        shown(window.begins(ms("2026-11-27T12:15:30Z"))),
        "2026-11-27T11:15:00Z"
    );
    assert_eq!(window.ends(ms("2026-11-27T12:15:30Z")), None);
    let slot = window.slot(ms("2026-11-27T12:15:30Z"));
    // The last of what is in a slot is an hour old then.
    assert_eq!(shown(window.expires(slot.to_ms)), "2026-11-27T13:16:00Z");
    for (text, is_long) in [
        ("1m", false),
        ("90m", false),
        ("23h", false),
        ("24h", true),
        ("1d", true),
        ("52w", true),
        ("366d", true),
    ] {
        assert_eq!(rolling(text).is_long(), is_long, "{text}");
    }
    for text in [
        "",
        "m",
        "0m",
        "-1h",
        "+1h",
        "1s",
        "1.5h",
        "1y",
        "367d",
        "99999999w",
        "1é",
        "day",
    ] {
        assert!(Rolling::parse(text).is_none(), "{text}");
    }
}

#[test]
fn zones_are_known_without_the_machines_data_and_named_as_they_are() {
    assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
    assert_eq!(zone("UTC"), Zone::utc());
    assert_eq!(zone("Europe/Berlin"), zone("europe/berlin"));
    assert_ne!(zone("Europe/Berlin"), zone("Europe/Paris"));
    for name in ["", "Berlin", "Europe/Atlantis", "../etc/passwd", "CET+1"] {
        assert!(Zone::named(name).is_none(), "{name}");
    }
    let day = Window::Day(zone("Europe/Berlin"));
    assert_eq!(
        day.say(ms("2026-07-01T22:00:00Z")),
        "2026-07-02T00:00:00+02:00 (Europe/Berlin)"
    );
    assert_eq!(
        Window::Minute.say(ms("2026-07-01T22:00:00Z")),
        "2026-07-01T22:00:00Z (UTC)"
    );
}

proptest! {
    /// Whatever the zone does with its clocks, spans follow each other without a gap, and an instant lies in its own.
    #[test]
    fn every_instant_lies_in_one_window(
        at_ms in 0_i64..4_102_444_800_000,
        name in prop::sample::select(&[
            "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Pacific/Apia", "America/Havana",
            "Asia/Kolkata", "Africa/Casablanca", "America/Scoresbysund", "Asia/Tehran", "America/Toronto",
        ]),
        which in 0..3,
    ) {
        let window = match which {
            0 => Window::Day(zone(name)),
            1 => Window::Month(zone(name)),
            _ => Window::Minute,
        };
        let span = window.slot(at_ms);
        prop_assert!(span.from_ms <= at_ms && at_ms < span.to_ms, "{span:?}");
        prop_assert_eq!(window.slot(span.from_ms), span);
        prop_assert_eq!(window.slot(span.to_ms - 1), span);
        prop_assert_eq!(window.slot(span.to_ms).from_ms, span.to_ms);
        prop_assert!(span.to_ms - span.from_ms <= window.longest_ms());
    }
}
