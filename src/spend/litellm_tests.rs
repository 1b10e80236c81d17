//! LiteLLM's price file: keys and members as they occur, and what is refused.

use super::litellm::{PriceFile, PriceFileError};
use super::price::{Band, Kind, Row};
use crate::aws::Service::{self, Mantle, Runtime};

const FILE: &str = include_str!("../../tests/fixtures/prices/litellm.json");

fn file() -> PriceFile {
    PriceFile::parse(FILE, "prices.json", Some("2026-12-01")).unwrap()
}

fn row<'a>(file: &'a PriceFile, id: &str, endpoint: Service, region: Option<&str>) -> &'a Row {
    let same =
        |row: &&Row| &*row.id == id && row.endpoint == endpoint && row.region.as_deref() == region;
    file.rows().iter().find(same).unwrap()
}

fn picos(row: &Row, band: Band, kind: Kind) -> Option<u64> {
    row.price.bands.of(band).of(kind).map(|rate| rate.picos())
}

#[test]
fn keys_name_id_endpoint_and_region() {
    let file = file();
    let mut keys: Vec<_> = file
        .rows()
        .iter()
        .map(|row| {
            let region = row.region.as_deref().unwrap_or("-");
            format!("{row} = {:?} {} {region}", row.endpoint, row.id)
        })
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "file:acme.chat-v1:0 = Runtime acme.chat-v1:0 -",
            "file:acme.embed-image-v1 = Runtime acme.embed-image-v1 -",
            "file:acme.embed-v1:0 = Runtime acme.embed-v1:0 -",
            "file:acme.odd-v1:0 = Runtime acme.odd-v1:0 -",
            "file:acme.twice = Runtime acme.twice -",
            "file:acme.two-bands = Runtime acme.two-bands -",
            "file:bedrock/converse/acme.routed-v1:0 = Runtime acme.routed-v1:0 -",
            "file:bedrock/us-gov-west-1/acme.chat-v1:0 = Runtime acme.chat-v1:0 us-gov-west-1",
            "file:bedrock_mantle/acme.chat = Mantle acme.chat -",
            "file:bedrock_mantle/acme.host = Mantle acme.host -",
            "file:bedrock_mantle/us-gov-west-1/acme.host = Mantle acme.host us-gov-west-1",
            "file:global.acme.host = Runtime global.acme.host -",
            "file:us.acme.chat-v1:0 = Runtime us.acme.chat-v1:0 -",
        ]
    );
    assert_eq!((file.others, file.not_ids, file.not_tokens), (2, 5, 4));
}

#[test]
fn members_are_rates_of_their_bands() {
    let file = file();
    let chat = row(&file, "acme.chat-v1:0", Runtime, None);
    for (band, kind, expected) in [
        (Band::Standard, Kind::Input, 1_000_000),
        (Band::Standard, Kind::Output, 5_000_000),
        (Band::Standard, Kind::CacheRead, 100_000),
        (Band::Standard, Kind::CacheWrite5m, 1_250_000),
        (Band::Standard, Kind::CacheWrite1h, 2_000_000),
        (Band::Batch, Kind::Input, 500_000),
        (Band::Flex, Kind::Input, 500_000),
        (Band::Priority, Kind::Output, 8_750_000),
        (Band::Long, Kind::Input, 2_000_000),
        (Band::Long, Kind::CacheWrite1h, 4_000_000),
        // Told by the second entry for the same id alone.
        (Band::Flex, Kind::CacheRead, 50_000),
    ] {
        assert_eq!(picos(chat, band, kind), Some(expected), "{band:?} {kind:?}");
    }
    assert_eq!(picos(chat, Band::Long, Kind::CacheRead), None);
    assert_eq!(chat.price.long_context_above, Some(200_000));
    assert_eq!(
        &*chat.price.source,
        "prices.json; https://example.com/pricing"
    );
    assert_eq!(chat.price.as_of.as_deref(), Some("2026-12-01"));
}

#[test]
fn what_is_odd_is_noted_and_what_is_not_known_stays_unknown() {
    let file = file();
    let note = |id: &str| {
        row(&file, id, Runtime, None)
            .price
            .note
            .as_deref()
            .map(str::to_owned)
    };
    let odd = row(&file, "acme.odd-v1:0", Runtime, None);
    assert_eq!(picos(odd, Band::Standard, Kind::Input), Some(2_500_000));
    assert_eq!(picos(odd, Band::Standard, Kind::Output), Some(10_000_000));
    assert_eq!(
        note("acme.odd-v1:0").unwrap(),
        "rounded to whole picodollars: input_cost_per_token"
    );
    assert_eq!(
        note("acme.embed-image-v1").unwrap(),
        "billed by other units as well, which are not counted: input_cost_per_image"
    );
    assert!(
        row(&file, "acme.embed-image-v1", Runtime, None)
            .price
            .bills_other_units
    );
    let embed = row(&file, "acme.embed-v1:0", Runtime, None);
    assert!(!embed.price.bills_other_units);
    assert_eq!(picos(embed, Band::Standard, Kind::Output), Some(0));
    assert_eq!(embed.price.note, None);
    // Two thresholds: beyond the lower one nothing is certain.
    let two = row(&file, "acme.two-bands", Runtime, None);
    assert_eq!(two.price.long_context_above, Some(128_000));
    assert!(two.price.bands.of(Band::Long).is_empty());
}

#[test]
fn entries_for_one_id_are_merged_and_contradictions_told() {
    let file = file();
    let twice = row(&file, "acme.twice", Runtime, None);
    assert_eq!(picos(twice, Band::Standard, Kind::CacheRead), Some(100_000));
    assert_eq!(twice.price.note, None);
    let told: Vec<_> = file
        .contradictions
        .iter()
        .map(|found| format!("{} {} {}", found.taken, found.other, found.rate))
        .collect();
    assert_eq!(
        told,
        ["acme.chat-v1:0 bedrock/invoke/acme.chat-v1:0 input: 1 and 3"]
    );
    let chat = row(&file, "acme.chat-v1:0", Runtime, None);
    assert_eq!(
        chat.price.note.as_deref(),
        Some("contradicted by the file's entry bedrock/invoke/acme.chat-v1:0")
    );
    // A view of a runtime entry costs what that costs, and gives way to an entry of its own.
    assert_eq!(
        picos(
            row(&file, "acme.host", Mantle, None),
            Band::Standard,
            Kind::Input
        ),
        Some(4_000_000)
    );
    assert_eq!(
        picos(
            row(&file, "acme.chat", Mantle, None),
            Band::Standard,
            Kind::Input
        ),
        Some(2_200_000)
    );
}

#[test]
fn a_cost_that_is_none_names_entry_and_member() {
    for cost in ["\"1e-06\"", "-1e-06", "true", "{}", "[1]", "1e999", "5.0"] {
        let text = format!(
            r#"{{"acme.ok": {{"litellm_provider": "bedrock", "input_cost_per_token": 1e-06}},
                 "acme.bad": {{"litellm_provider": "bedrock", "output_cost_per_token_flex": {cost}}}}}"#
        );
        let message = PriceFile::parse(&text, "f", None).unwrap_err().to_string();
        for part in ["acme.bad", "output_cost_per_token_flex", cost] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[test]
fn another_file_is_refused() {
    let parse = |text: &str| PriceFile::parse(text, "f", None).unwrap_err();
    for text in [
        "",
        "[]",
        "model,input\n",
        "{\"a\": }",
        "{\"a\": {}} x",
        "{\"a\": {}",
    ] {
        assert!(matches!(parse(text), PriceFileError::Json(_)), "{text}");
    }
    assert!(matches!(
        parse("{\"acme.big\": 1}"),
        PriceFileError::NotAnObject(_)
    ));
    assert!(matches!(parse("{}"), PriceFileError::NoBedrock(0)));
    assert!(matches!(
        parse(r#"{"gpt-9": {"litellm_provider": "openai", "input_cost_per_token": 1}}"#),
        PriceFileError::NoBedrock(1)
    ));
}
