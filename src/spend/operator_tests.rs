//! The `[[price]]` tables: what is understood, and what is refused with which words.

use super::operator::{Means, Overrides, PriceEntry};
use super::price::{Band, Kind, RateName};

#[derive(Debug, serde::Deserialize)]
struct File {
    price: Vec<PriceEntry>,
}

fn check(toml: &str) -> Result<Overrides, String> {
    let file: File = toml::from_str(toml).map_err(|error| error.to_string())?;
    Overrides::new(&file.price).map_err(|error| error.to_string())
}

#[test]
fn numbers_are_taken_as_they_are_written() {
    let table = "[[price]]\nmodel = \"m\"\ninput = 3\noutput = 16.5\ncache_read = \"0.33\"\ncache_write_5m = 0.1\n\
                 cache_write_1h = 0\nbatch_input = 1e-2\nbatch_output = \"1.5e1\"";
    let overrides = check(table).unwrap();
    let entry = overrides.iter().next().unwrap();
    let Means::Rates(price) = &entry.means else {
        panic!("{entry:?}");
    };
    for (band, kind, picos) in [
        (Band::Standard, Kind::Input, 3_000_000),
        (Band::Standard, Kind::Output, 16_500_000),
        (Band::Standard, Kind::CacheRead, 330_000),
        (Band::Standard, Kind::CacheWrite5m, 100_000),
        (Band::Standard, Kind::CacheWrite1h, 0),
        (Band::Batch, Kind::Input, 10_000),
        (Band::Batch, Kind::Output, 15_000_000),
    ] {
        assert_eq!(price.bands.of(band).of(kind).unwrap().picos(), picos);
    }
}

#[test]
fn every_rate_has_one_name() {
    let names: Vec<String> = RateName::all().map(|name| name.to_string()).collect();
    assert_eq!(names.len(), 30);
    for name in &names {
        assert_eq!(RateName::parse(name).unwrap().to_string(), *name);
    }
    for name in [
        "cache_write_5m",
        "flex_output",
        "optimized_input",
        "long_cache_read",
        "batch_cache_write_1h",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    assert_eq!(RateName::parse("standard_input"), None);
}

/// What stands in a table (`{rates}` for a pair of good ones), and a part of the message.
const REFUSED: &[(&str, &str)] = &[
    ("model = \"\"\ninput = 1\noutput = 1", "`model` is empty"),
    (
        "model = \"m\"\nlike = \"a.b\"\nas_of = \"2026-01-01\"",
        "`as_of` is the date of rates",
    ),
    ("model = \"m\"", "says nothing"),
    ("model = \"m\"\nregion = \"us-east-1\"", "says nothing"),
    (
        "model = \"m\"\ninput = 1",
        "`input` stands without `output`",
    ),
    (
        "model = \"m\"\noutput = 1",
        "`output` stands without `input`",
    ),
    (
        "model = \"m\"\ncache_read = 1",
        "`cache_read` stands without `input`",
    ),
    (
        "model = \"m\"\n{rates}\nflex_output = 1",
        "`flex_output` stands without `flex_input`",
    ),
    (
        "model = \"m\"\nflex_input = 1\nflex_output = 1",
        "`flex_input` stands without `input`",
    ),
    (
        "model = \"m\"\n{rates}\nlong_input = 1\nlong_output = 1",
        "`long_context_above`",
    ),
    (
        "model = \"m\"\n{rates}\nlong_context_above = 1",
        "`long_context_above`",
    ),
    (
        "model = \"m\"
long_context_above = 1",
        "`long_context_above`",
    ),
    (
        "model = \"m\"\n{rates}\nlike = \"a.b\"",
        "both `like` and rates",
    ),
    (
        "model = \"m\"\nlike = \"sonnet\"",
        "`sonnet`, which is no model id",
    ),
    (
        "model = \"m\"\n{rates}\nregion = \"Ireland\"",
        "`Ireland`, which is no region",
    ),
    (
        "model = \"m\"\n{rates}\nas_of = \"2026-13-01\"",
        "which is no date",
    ),
    (
        "model = \"m\"\n{rates}\ntier = \"flex\"\nflex_input = 1",
        "`flex_input` in a table for one `tier`",
    ),
    (
        "model = \"m\"\ninput = -1\noutput = 1",
        "`input`: `-1` is not a decimal number",
    ),
    (
        "model = \"m\"\ninput = nan\noutput = 1",
        "`input`: `NaN` is not",
    ),
    (
        "model = \"m\"\ninput = 3e-6\noutput = 1",
        "per million tokens",
    ),
    ("model = \"m\"\nmultiplier = \"13%\"", "`multiplier`: `13%`"),
    ("model = \"m\"\nmultiplier = 0", "makes everything free"),
    (
        "model = \"m\"\n{rates}\nlatency_input = 1",
        "unknown key `latency_input`",
    ),
    (
        "model = \"*\"\n{rates}",
        "[[price]] 1 is for the same model",
    ),
];

#[test]
fn a_table_that_cannot_be_used_says_which_and_why() {
    for (table, part) in REFUSED {
        let table = table.replace("{rates}", "input = 1\noutput = 1");
        let message = check(&format!(
            "[[price]]\nmodel = \"*\"\nmultiplier = 0.9\n[[price]]\n{table}"
        ))
        .unwrap_err();
        assert!(message.contains(part), "{part}: {message}");
        if !message.contains("unknown key") {
            assert!(message.starts_with("[[price]] 2 (model = \""), "{message}");
        }
    }
}

#[test]
fn tables_for_other_regions_or_tiers_are_no_contradiction() {
    let twice =
        "[[price]]\nmodel = \"m\"\nmultiplier = 2\n[[price]]\nmodel = \"m\"\nmultiplier = 3\n";
    assert!(check(twice).is_err());
    assert!(check(&format!("{twice}region = \"us-east-1\"")).is_ok());
    assert!(check(&format!("{twice}tier = \"flex\"")).is_ok());
    // Two names for the same tier are the same tier.
    let names = "[[price]]\nmodel = \"m\"\ntier = \"default\"\nmultiplier = 2\n\
                 [[price]]\nmodel = \"m\"\ntier = \"standard\"\nmultiplier = 3\n";
    assert!(check(names).is_err());
}
