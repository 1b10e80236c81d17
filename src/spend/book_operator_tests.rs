//! The search for a price where the operator has a word: tables, `like`, multipliers, and a price file.

use super::book_tests::*;
use super::litellm::PriceFile;
use super::*;
use crate::aws::Service::{Mantle, Runtime};

const PROFILE: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
const TABLES: &str = r#"
        [[price]]
        model = "*nova*"
        input = 1
        output = 2
        as_of = "2026-12-01"
        [[price]]
        model = "us.amazon.nova-pro-v1:0"
        input = "3"
        output = "4.5"
        [[price]]
        model = "us.amazon.nova-pro-v1:0"
        region = "us-west-2"
        input = 5
        output = 5
        [[price]]
        model = "us.amazon.nova-pro-v1:0"
        tier = "reserved"
        input = 6
        output = 6
        [[price]]
        model = "*nova-lite*"
        input = 7
        output = 7
        [[price]]
        model = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
        like = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
        [[price]]
        model = "imported"
        like = "us.amazon.nova-pro-v1:0"
        multiplier = "0.5"
        [[price]]
        model = "circle"
        like = "a.circle"
        [[price]]
        model = "a.circle"
        like = "b.circle"
        [[price]]
        model = "us.meta.*"
        multiplier = 0.87
        "#;
/// A model, the region, and what comes out with those tables.
const BY_TABLES: &[(&str, &str, &str)] = &[
    (
        "eu.amazon.nova-pro-v1:0",
        "us-east-1",
        "0.3 override:*nova* exact",
    ),
    // The first glob of the file, not the longest.
    (
        "us.amazon.nova-lite-v1:0",
        "us-east-1",
        "0.3 override:*nova* exact",
    ),
    (
        "us.amazon.nova-pro-v1:0",
        "us-east-1",
        "0.75 override:us.amazon.nova-pro-v1:0 exact",
    ),
    (
        "us.amazon.nova-pro-v1:0",
        "us-west-2",
        "1 override:us.amazon.nova-pro-v1:0@us-west-2 exact",
    ),
    (
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
        "us-east-1",
        "0.75 override:us.amazon.nova-pro-v1:0 exact",
    ),
    (
        PROFILE,
        "us-east-1",
        "1.98 override:arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc=>us.anthropic.claude-sonnet-4-5-20250929-v1:0 exact",
    ),
    (
        "imported",
        "us-east-1",
        "0.375 override:imported=>override:us.amazon.nova-pro-v1:0×0.5 exact",
    ),
    ("circle", "us-east-1", "unpriced"),
    (
        "us.meta.llama3-3-70b-instruct-v1:0",
        "us-east-1",
        "0.12528 override:us.meta.*=>us.meta.llama3-3-70b-instruct-v1:0×0.87 exact",
    ),
    ("us.meta.nothing", "us-east-1", "unpriced"),
    // A table for a model says nothing of its profiles.
    (
        "us-gov.amazon.nova-micro-v1:0",
        "us-gov-east-1",
        "0.3 override:*nova* exact",
    ),
    (
        "meta.llama3-3-70b-instruct-v1:0",
        "us-east-1",
        "0.144 meta.llama3-3-70b-instruct-v1:0 exact",
    ),
];

#[test]
fn the_operators_tables_stand_before_everything() {
    let book = with_tables(TABLES);
    for (model, region, expected) in BY_TABLES {
        assert_eq!(
            priced(&book, model, Some(Runtime), region),
            *expected,
            "{model}"
        );
    }
    let usage = usage();
    let cost = book.cost(&PricedCall {
        service_tier: Some("reserved"),
        ..call("us.amazon.nova-pro-v1:0", "us-east-1", &usage)
    });
    assert_eq!(
        cost.price_key.as_deref(),
        Some("override:us.amazon.nova-pro-v1:0#reserved")
    );
    assert_eq!(cost.usd.unwrap().to_string(), "1.2");
    let cost = book.cost(&call("amazon.nova-lite-v1:0", "us-east-1", &usage));
    assert_eq!(cost.price_as_of.as_deref(), Some("2026-12-01"));
}

#[test]
fn like_obeys_the_partition_of_the_call() {
    let book = with_tables("[[price]]\nmodel = \"mine\"\nlike = \"amazon.nova-lite-v1:0\"");
    // The region may be told by the ARN alone.
    let profile = "arn:aws-us-gov:bedrock:us-gov-east-1:1:application-inference-profile/x";
    let by_arn = with_tables(&format!(
        "[[price]]\nmodel = \"{profile}\"\nlike = \"amazon.nova-lite-v1:0\""
    ));
    assert_eq!(priced(&by_arn, profile, Some(Runtime), ""), "unpriced");
    for (region, expected) in [
        (
            "us-gov-west-1",
            "0.036 override:mine=>amazon.nova-lite-v1:0@us-gov-west-1 exact",
        ),
        ("us-gov-east-1", "unpriced"),
        (
            "us-east-1",
            "0.03 override:mine=>amazon.nova-lite-v1:0 exact",
        ),
    ] {
        assert_eq!(priced(&book, "mine", Some(Runtime), region), expected);
    }
}

#[test]
fn the_file_stands_before_the_built_in_rows_of_the_same_step() {
    let file = r#"{
        "amazon.nova-lite-v1:0": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
        "bedrock/us-gov-west-1/amazon.nova-micro-v1:0": {"litellm_provider": "bedrock", "input_cost_per_token": 2e-06, "output_cost_per_token": 1e-06},
        "bedrock_mantle/amazon.nova-pro-v1:0": {"litellm_provider": "bedrock_mantle", "input_cost_per_token": 3e-06, "output_cost_per_token": 1e-06},
        "acme.new": {"litellm_provider": "bedrock", "input_cost_per_token": 4e-06, "output_cost_per_token": 1e-06}}"#;
    let book =
        PriceBook::builtin().with_file(PriceFile::parse(file, "f", Some("2026-12-02")).unwrap());
    for (model, endpoint, region, expected) in [
        (
            "amazon.nova-lite-v1:0",
            Runtime,
            "us-east-1",
            "0.2 file:amazon.nova-lite-v1:0 exact",
        ),
        // A built-in row for the id as named beats the file's for its model.
        (
            "us.amazon.nova-lite-v1:0",
            Runtime,
            "us-east-1",
            "0.03 us.amazon.nova-lite-v1:0 exact",
        ),
        (
            "ca.amazon.nova-lite-v1:0",
            Runtime,
            "ca-central-1",
            "0.2 file:amazon.nova-lite-v1:0 derived",
        ),
        // The file's commercial row is not for GovCloud, the built-in one is.
        (
            "amazon.nova-lite-v1:0",
            Runtime,
            "us-gov-west-1",
            "0.036 amazon.nova-lite-v1:0@us-gov-west-1 exact",
        ),
        (
            "amazon.nova-micro-v1:0",
            Runtime,
            "us-gov-west-1",
            "0.3 file:bedrock/us-gov-west-1/amazon.nova-micro-v1:0 exact",
        ),
        (
            "amazon.nova-micro-v1:0",
            Runtime,
            "us-east-1",
            "0.0175 amazon.nova-micro-v1:0 exact",
        ),
        // Its own endpoint's built-in row beats the file's for the other endpoint.
        (
            "amazon.nova-pro-v1:0",
            Runtime,
            "us-east-1",
            "0.4 amazon.nova-pro-v1:0 exact",
        ),
        (
            "amazon.nova-pro-v1:0",
            Mantle,
            "us-east-1",
            "0.4 file:bedrock_mantle/amazon.nova-pro-v1:0 exact",
        ),
        ("acme.new", Runtime, "us-east-1", "0.5 file:acme.new exact"),
        (
            "us.acme.new",
            Runtime,
            "us-east-1",
            "0.5 file:acme.new derived",
        ),
    ] {
        assert_eq!(
            priced(&book, model, Some(endpoint), region),
            expected,
            "{model} in {region}"
        );
    }
    // Each key once: the built-in row that can no longer apply is not listed.
    let listed = book
        .rows()
        .filter(|row| &*row.id == "amazon.nova-lite-v1:0" && row.region.is_none());
    assert_eq!(listed.count(), 1);
    assert_eq!(book.rows().count(), 522);
}
