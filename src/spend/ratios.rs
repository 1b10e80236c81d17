//! What looks odd in a price book: rates that break the ratios that rates usually keep.
//!
//! Bedrock's prices follow a few rules of thumb: cache reads at a tenth of input, batch at half, and so on. A row that
//! breaks one need not be wrong, and most that do are not; but a mistyped rate breaks several. This is a report for
//! people. Nothing here changes a price.

use std::fmt::Display;

use super::book::PriceBook;
use super::operator::{Means, Served};
use super::price::{Band, Kind, Price, RateName, Row};
use super::rate::Rate;
use super::tier::Tier;
use crate::aws::ModelId;

/// A row that is not like the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// The row.
    pub key: String,
    /// What is looked at: `cache_read / input`, …
    pub what: String,
    /// What it is.
    pub found: String,
    /// What it usually is.
    pub expected: String,
}

/// Which rate is compared to which, in the same row, and the usual ratio in thousandths.
const WITHIN: [(RateName, RateName, u64); 9] = [
    (of(Band::Standard, Kind::CacheRead), INPUT, 100),
    (of(Band::Standard, Kind::CacheWrite5m), INPUT, 1250),
    (of(Band::Standard, Kind::CacheWrite1h), INPUT, 2000),
    (of(Band::Batch, Kind::Input), INPUT, 500),
    (of(Band::Batch, Kind::Output), OUTPUT, 500),
    (of(Band::Flex, Kind::Input), INPUT, 500),
    (of(Band::Flex, Kind::Output), OUTPUT, 500),
    (of(Band::Priority, Kind::Input), INPUT, 1750),
    (of(Band::Priority, Kind::Output), OUTPUT, 1750),
];
const INPUT: RateName = of(Band::Standard, Kind::Input);
const OUTPUT: RateName = of(Band::Standard, Kind::Output);

const fn of(band: Band, kind: Kind) -> RateName {
    RateName { band, kind }
}

/// An inference profile of a geography to the global one.
const GEOGRAPHY: u64 = 1100;
/// GovCloud to the commercial partition.
const GOVERNMENT: u64 = 1200;
/// How far a ratio may be off, in parts: one fiftieth, which is what rounding to cents does to small rates.
const TOLERANCE: u128 = 50;

/// Every oddity of the prices that can apply, one price after the other.
#[must_use]
pub fn oddities(book: &PriceBook) -> Vec<Oddity> {
    let mut found = Vec::new();
    for entry in book.overrides().iter() {
        if let Means::Rates(price) = &entry.means {
            within(entry, price, &mut found);
        }
    }
    for row in book.rows() {
        within(row, &row.price, &mut found);
        between(book, row, &mut found);
        if let Some(note) = &row.price.note {
            found.push(Oddity {
                key: row.to_string(),
                what: "note".to_owned(),
                found: note.to_string(),
                expected: "no doubt".to_owned(),
            });
        }
    }
    found
}

/// Where the operator's own prices contradict themselves, or lead nowhere; a sentence each.
#[must_use]
pub fn contradictions(book: &PriceBook) -> Vec<String> {
    let file = book.file().map_or(&[][..], |file| &file.contradictions);
    let twice = file.iter().map(|found| {
        format!(
            "the price file's entries {} and {} are for the same id and differ in {}; the first is taken",
            found.taken, found.other, found.rate
        )
    });
    let nowhere = book
        .overrides()
        .iter()
        .filter_map(|entry| match &entry.means {
            Means::Like(id) if !is_known(book, id) => Some(format!(
                "{entry} is like {id}, for which there is no price anywhere"
            )),
            _ => None,
        });
    twice.chain(nowhere).collect()
}

/// Whether some call named so could have a price.
fn is_known(book: &PriceBook, id: &str) -> bool {
    let anywhere = Served {
        region: None,
        tier: Tier::Standard.as_str(),
    };
    let base = ModelId::parse(id).foundation_model();
    book.rows()
        .any(|row| *row.id == *id || Some(&*row.id) == base)
        || book.overrides().find(id, None, anywhere, false).is_some()
}

fn within(key: &impl Display, price: &Price, found: &mut Vec<Oddity>) {
    for (numerator, denominator, usual) in WITHIN {
        let (Some(a), Some(b)) = (price.bands.rate(numerator), price.bands.rate(denominator))
        else {
            continue;
        };
        compare(key, a, b, usual, found, || {
            format!("{numerator} / {denominator}")
        });
    }
    if let (Some(input), Some(output)) = (price.bands.rate(INPUT), price.bands.rate(OUTPUT))
        && output < input
        && price.mode.as_deref() != Some("embedding")
    {
        found.push(Oddity {
            key: key.to_string(),
            what: "output".to_owned(),
            found: output.to_string(),
            expected: format!("at least {input}, as input"),
        });
    }
}

/// A profile of a geography against the global one, GovCloud against the commercial row.
fn between(book: &PriceBook, row: &Row, found: &mut Vec<Oddity>) {
    let id = ModelId::parse(&row.id);
    let Some(base) = id.foundation_model() else {
        return;
    };
    let is_gov = |region: &str| region.starts_with("us-gov-");
    let (other, usual) = match id.geography() {
        Some("us-gov") => (base.to_owned(), GOVERNMENT),
        Some("global") => return,
        Some(_) => (format!("global.{base}"), GEOGRAPHY),
        None if row.region.as_deref().is_some_and(is_gov) => (base.to_owned(), GOVERNMENT),
        None => return,
    };
    let Some(other) = book.row(&other, row.endpoint, None) else {
        return;
    };
    for which in [INPUT, OUTPUT] {
        if let (Some(a), Some(b)) = (rate(row, which), rate(other, which)) {
            compare(row, a, b, usual, found, || {
                format!("{which} / {which} of {other}")
            });
        }
    }
}

fn compare(
    key: &impl Display,
    a: Rate,
    b: Rate,
    usual: u64,
    found: &mut Vec<Oddity>,
    what: impl FnOnce() -> String,
) {
    let (is, should) = (
        u128::from(a.picos()) * 1000,
        u128::from(b.picos()) * u128::from(usual),
    );
    if b.picos() == 0 || is.abs_diff(should) * TOLERANCE <= should {
        return;
    }
    found.push(Oddity {
        key: key.to_string(),
        what: what(),
        found: thousandths((is + u128::from(b.picos()) / 2) / u128::from(b.picos())),
        expected: thousandths(u128::from(usual)),
    });
}

fn thousandths(ratio: u128) -> String {
    let text = format!("{}.{:03}", ratio / 1000, ratio % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rate(row: &Row, name: RateName) -> Option<Rate> {
    row.price.bands.rate(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spend::litellm::PriceFile;
    use crate::spend::operator::{Overrides, PriceEntry};

    #[test]
    fn each_ratio_is_told_with_what_is_and_what_should_be() {
        let file = r#"{"acme.big": {"litellm_provider": "bedrock", "mode": "chat",
            "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-07, "cache_read_input_token_cost": 2.5e-07,
            "cache_creation_input_token_cost": 1.25e-06, "cache_creation_input_token_cost_above_1hr": 2e-06,
            "input_cost_per_token_batches": 5.05e-07, "output_cost_per_token_batches": 2.5e-07,
            "input_cost_per_token_flex": 6e-07, "output_cost_per_token_flex": 2.5e-07},
          "global.acme.big": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
          "eu.acme.big": {"litellm_provider": "bedrock", "input_cost_per_token": 1.1e-06, "output_cost_per_token": 1.3e-06},
          "bedrock/us-gov-west-1/acme.big": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}}"#;
        let mine: PriceEntry =
            toml::from_str("model = \"acme\"\ninput = 1\noutput = 2\ncache_read = 1").unwrap();
        let book = PriceBook::builtin()
            .with_overrides(Overrides::new(&[mine]).unwrap())
            .with_file(PriceFile::parse(file, "f", None).unwrap());
        let found: Vec<_> = oddities(&book)
            .into_iter()
            .filter(|oddity| oddity.key.contains("acme"))
            .map(|oddity| {
                format!(
                    "{} {} {} {}",
                    oddity.key, oddity.what, oddity.found, oddity.expected
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "override:acme cache_read / input 1 0.1",
                "file:acme.big cache_read / input 0.25 0.1",
                "file:acme.big flex_input / input 0.6 0.5",
                "file:acme.big output 0.5 at least 1, as input",
                "file:bedrock/us-gov-west-1/acme.big input / input of file:acme.big 1 1.2",
                "file:bedrock/us-gov-west-1/acme.big output / output of file:acme.big 2 1.2",
                "file:eu.acme.big output / output of file:global.acme.big 1.3 1.1",
            ]
        );
    }

    #[test]
    fn suspect_rows_of_the_built_in_book_are_told() {
        let found = oddities(&PriceBook::builtin());
        let of = |key: &str| found.iter().filter(|oddity| oddity.key == key).count();
        assert!(of("anthropic.claude-haiku-5-5") >= 1);
        assert_eq!(of("us.anthropic.claude-sonnet-4-5-20250929-v1:0"), 0);
        assert!(found.iter().any(|oddity| oddity.key
            == "meta.llama3-8b-instruct-v1:0@us-gov-east-1"
            && oddity.found == "4.417"));
    }
}
