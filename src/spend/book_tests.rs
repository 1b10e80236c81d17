//! Which price applies: the order of the search, over the built-in book, the operator's tables and a file.

use super::charge::PricedCall;
use super::cost::CostStatus::{self, Derived};
use super::operator::{Overrides, PriceEntry};
use super::*;
use crate::aws::Service::{self, AgentRuntime, Mantle, Runtime};
use crate::usage::{TokenUsage, UsageSource};

pub(super) const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

/// A hundred thousand tokens in and as many out: the cost is a tenth of the sum of both rates.
pub(super) fn usage() -> TokenUsage {
    TokenUsage {
        input_tokens: Some(100_000),
        output_tokens: Some(100_000),
        source: Some(UsageSource::Body),
        ..TokenUsage::default()
    }
}

pub(super) fn call<'a>(model: &'a str, region: &'a str, usage: &'a TokenUsage) -> PricedCall<'a> {
    PricedCall {
        model: Some(model),
        response_model: None,
        endpoint: Some(Runtime),
        region: Some(region).filter(|region| !region.is_empty()),
        service_tier: None,
        asked_tier: None,
        performance_latency: None,
        usage,
    }
}

/// `USD KEY STATUS` for a hundred thousand tokens in and out.
pub(super) fn priced(
    book: &PriceBook,
    model: &str,
    endpoint: Option<Service>,
    region: &str,
) -> String {
    let usage = usage();
    let cost = book.cost(&PricedCall {
        endpoint,
        ..call(model, region, &usage)
    });
    match (cost.usd, cost.price_key) {
        (Some(usd), Some(key)) => format!("{usd} {key} {}", cost.status.as_str()),
        (None, None) if cost.price_as_of.is_none() => cost.status.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn with_tables(toml: &str) -> PriceBook {
    PriceBook::builtin().with_overrides(tables(toml))
}

pub(super) fn tables(toml: &str) -> Overrides {
    #[derive(serde::Deserialize)]
    struct File {
        price: Vec<PriceEntry>,
    }
    Overrides::new(&toml::from_str::<File>(toml).unwrap().price).unwrap()
}

/// A name, a model, the region, and what comes out at the runtime endpoint.
const SEARCH: &[(&str, &str, &str, &str)] = &[
    (
        "a profile has its own row",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us-east-1",
        "1.98 us.anthropic.claude-sonnet-4-5-20250929-v1:0 exact",
    ),
    (
        "the global one another",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us-east-1",
        "1.8 global.anthropic.claude-sonnet-4-5-20250929-v1:0 exact",
    ),
    (
        "the model itself is suspect",
        SONNET,
        "us-east-1",
        "1.8 anthropic.claude-sonnet-4-5-20250929-v1:0 derived",
    ),
    (
        "a system profile's ARN names its id",
        SONNET_ARN,
        "us-east-1",
        "1.98 us.anthropic.claude-sonnet-4-5-20250929-v1:0 exact",
    ),
    (
        "so does a foundation model's",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "us-east-1",
        "0.03 amazon.nova-lite-v1:0 exact",
    ),
    (
        "the region's row wins",
        "meta.llama3-8b-instruct-v1:0",
        "eu-west-2",
        "0.117 meta.llama3-8b-instruct-v1:0@eu-west-2 exact",
    ),
    (
        "no row for the region, and regions differ",
        "meta.llama3-8b-instruct-v1:0",
        "eu-north-1",
        "0.09 meta.llama3-8b-instruct-v1:0 derived",
    ),
    (
        "no region, and regions differ",
        "meta.llama3-8b-instruct-v1:0",
        "",
        "0.09 meta.llama3-8b-instruct-v1:0 derived",
    ),
    (
        "regions that do not differ are no doubt",
        "zai.glm-5",
        "eu-west-1",
        "0.42 zai.glm-5 exact",
    ),
    (
        "only GovCloud differs",
        "amazon.nova-lite-v1:0",
        "eu-west-1",
        "0.03 amazon.nova-lite-v1:0 exact",
    ),
    (
        "a profile without row takes its model's",
        "eu.amazon.nova-premier-v1:0",
        "eu-west-1",
        "1.5 amazon.nova-premier-v1:0 derived",
    ),
    (
        "its model's row in the region first",
        "us.deepseek.v3.2",
        "us-east-1",
        "0.247 us.deepseek.v3.2 exact",
    ),
    (
        "as there is one",
        "apac.deepseek.v3.2",
        "ap-south-1",
        "0.296 deepseek.v3.2@ap-south-1 derived",
    ),
    (
        "global without row",
        "global.amazon.nova-pro-v1:0",
        "us-east-1",
        "0.4 amazon.nova-pro-v1:0 derived",
    ),
    (
        "a geography nobody has heard of",
        "zz.amazon.nova-pro-v1:0",
        "us-east-1",
        "0.4 amazon.nova-pro-v1:0 derived",
    ),
    (
        "another version is another model",
        "anthropic.claude-sonnet-4-5-20250929-v2:0",
        "us-east-1",
        "unpriced",
    ),
    (
        "a model nobody has heard of",
        "acme.big-v1:0",
        "us-east-1",
        "unpriced",
    ),
    (
        "a context suffix is another model",
        "anthropic.claude-3-5-sonnet-20240620-v1:0:200k",
        "us-east-1",
        "unpriced",
    ),
    (
        "an id without provider",
        "claude-sonnet-4-5-20250929",
        "us-east-1",
        "unpriced",
    ),
    ("nothing", "", "us-east-1", "unpriced"),
    (
        "an id from the left-out rows",
        "anthropic.claude-haiku-4-5@20251001",
        "us-east-1",
        "unpriced",
    ),
    (
        "billed by query",
        "cohere.rerank-v3-5:0",
        "us-east-1",
        "unpriced",
    ),
    (
        "billed by second",
        "us.twelvelabs.marengo-embed-2-7-v1:0",
        "us-east-1",
        "unpriced",
    ),
    (
        "billed by second, but for its output",
        "us.twelvelabs.pegasus-1-2-v1:0",
        "us-east-1",
        "0.75 us.twelvelabs.pegasus-1-2-v1:0 partial",
    ),
    (
        "an embedding's output costs nothing",
        "amazon.titan-embed-text-v2:0",
        "us-east-1",
        "0.002 amazon.titan-embed-text-v2:0 exact",
    ),
];
const SONNET_ARN: &str = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0";

#[test]
fn the_search_goes_from_the_id_as_named_to_its_model() {
    let book = PriceBook::builtin();
    for (name, model, region, expected) in SEARCH {
        assert_eq!(
            priced(&book, model, Some(Runtime), region),
            *expected,
            "{name}"
        );
    }
}

#[test]
fn govcloud_never_takes_a_commercial_price() {
    let book = PriceBook::builtin();
    let arn = "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    for (model, region, expected) in [
        (
            SONNET,
            "us-gov-west-1",
            "2.16 anthropic.claude-sonnet-4-5-20250929-v1:0@us-gov-west-1 exact",
        ),
        (
            "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us-gov-west-1",
            "2.16 us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0 exact",
        ),
        // The profile has no row, its model has one in this region.
        (
            "us-gov.amazon.nova-lite-v1:0",
            "us-gov-west-1",
            "0.036 amazon.nova-lite-v1:0@us-gov-west-1 derived",
        ),
        ("us-gov.amazon.nova-lite-v1:0", "us-gov-east-1", "unpriced"),
        ("us-gov.amazon.nova-lite-v1:0", "", "unpriced"),
        ("amazon.nova-lite-v1:0", "us-gov-east-1", "unpriced"),
        ("us.amazon.nova-lite-v1:0", "us-gov-east-1", "unpriced"),
        (
            "global.anthropic.claude-opus-4-5-20251101-v1:0",
            "us-gov-west-1",
            "unpriced",
        ),
        (arn, "", "0.036 amazon.nova-lite-v1:0@us-gov-west-1 derived"),
        (
            "xai.grok-4.3",
            "us-gov-west-1",
            "0.45 bedrock-mantle/xai.grok-4.3@us-gov-west-1 derived",
        ),
        ("amazon.nova-lite-v1:0", "cn-north-1", "unpriced"),
        ("amazon.nova-lite-v1:0", "eusc-de-east-1", "unpriced"),
        ("amazon.nova-lite-v1:0", "us-iso-east-1", "unpriced"),
    ] {
        assert_eq!(
            priced(&book, model, Some(Runtime), region),
            expected,
            "{model} in {region}"
        );
    }
    let usage = usage();
    for id in book.rows().map(|row| row.id.clone()).collect::<Vec<_>>() {
        for region in ["us-gov-west-1", "us-gov-east-1"] {
            let key = book.cost(&call(&id, region, &usage)).price_key;
            let is_gov = key.as_deref().is_none_or(|key| key.contains("us-gov"));
            assert!(is_gov, "{id} in {region}: {key:?}");
        }
        if !id.starts_with("us-gov.") {
            let key = book.cost(&call(&id, "us-east-1", &usage)).price_key;
            assert!(key.is_none_or(|key| !key.contains("us-gov")), "{id}");
        }
    }
}

#[test]
fn an_endpoint_has_its_own_rows_first() {
    let book = PriceBook::builtin();
    for (model, endpoint, region, expected) in [
        (
            "anthropic.claude-opus-5-5",
            Some(Runtime),
            "us-east-1",
            "2.4 anthropic.claude-opus-5-5 derived",
        ),
        (
            "anthropic.claude-opus-5-5",
            Some(Mantle),
            "us-east-1",
            "2.64 bedrock-mantle/anthropic.claude-opus-5-5 exact",
        ),
        (
            "anthropic.claude-opus-5-5",
            Some(Mantle),
            "us-gov-west-1",
            "2.88 bedrock-mantle/anthropic.claude-opus-5-5@us-gov-west-1 exact",
        ),
        (
            "xai.grok-4.3",
            Some(Runtime),
            "us-east-1",
            "0.375 bedrock-mantle/xai.grok-4.3 derived",
        ),
        (
            "amazon.nova-lite-v1:0",
            Some(Mantle),
            "us-east-1",
            "0.03 amazon.nova-lite-v1:0 derived",
        ),
        // The id as named at the other endpoint stands before anything is taken off it.
        (
            "us.xai.grok-4.6",
            Some(Mantle),
            "us-east-1",
            "0.88 us.xai.grok-4.6 derived",
        ),
        (
            "eu.xai.grok-4.3",
            Some(Mantle),
            "eu-west-1",
            "0.375 bedrock-mantle/xai.grok-4.3 derived",
        ),
        (
            "us.amazon.nova-lite-v1:0",
            Some(AgentRuntime),
            "us-east-1",
            "0.03 us.amazon.nova-lite-v1:0 derived",
        ),
        (
            "us.amazon.nova-lite-v1:0",
            None,
            "us-east-1",
            "0.03 us.amazon.nova-lite-v1:0 derived",
        ),
    ] {
        assert_eq!(
            priced(&book, model, endpoint, region),
            expected,
            "{model} at {endpoint:?}"
        );
    }
}

#[test]
fn what_an_id_does_not_tell_is_unpriced() {
    let book = PriceBook::builtin();
    let usage = usage();
    for kind in [
        "application-inference-profile/abc123def456",
        "provisioned-model/abc",
        "custom-model/amazon.nova-lite-v1:0/abc",
        "custom-model-deployment/abc",
        "imported-model/abc",
        "prompt/ABC:1",
    ] {
        let arn = format!("arn:aws:bedrock:us-east-1:123456789012:{kind}");
        assert_eq!(
            priced(&book, &arn, Some(Runtime), "us-east-1"),
            "unpriced",
            "{arn}"
        );
        let cost = book.cost(&PricedCall {
            response_model: Some("us.amazon.nova-lite-v1:0"),
            ..call(&arn, "us-east-1", &usage)
        });
        assert_eq!(cost.status, CostStatus::Unpriced, "{arn}");
    }
    let cost = book.cost(&PricedCall {
        model: None,
        ..call("", "us-east-1", &usage)
    });
    assert_eq!(cost, Cost::unpriced());
}

#[test]
fn a_prompt_router_costs_what_the_model_costs_that_it_chose() {
    let book = PriceBook::builtin();
    let router = "arn:aws:bedrock:us-east-1:123456789012:default-prompt-router/anthropic.claude:1";
    let usage = usage();
    for (chosen, key) in [
        (
            Some(
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
            ),
            Some("us.amazon.nova-lite-v1:0"),
        ),
        (
            Some("us.amazon.nova-lite-v1:0"),
            Some("us.amazon.nova-lite-v1:0"),
        ),
        (Some("claude-3-5-sonnet-20240620"), None),
        (Some(router), None),
        (None, None),
    ] {
        let cost = book.cost(&PricedCall {
            response_model: chosen,
            ..call(router, "us-east-1", &usage)
        });
        assert_eq!(cost.price_key.as_deref(), key, "{chosen:?}");
        assert_eq!(
            cost.status,
            if key.is_some() {
                Derived
            } else {
                CostStatus::Unpriced
            }
        );
    }
    // What the client named decides, not what the response calls it.
    let cost = book.cost(&PricedCall {
        response_model: Some("us.amazon.nova-pro-v1:0"),
        ..call("us.amazon.nova-lite-v1:0", "us-east-1", &usage)
    });
    assert_eq!(cost.price_key.as_deref(), Some("us.amazon.nova-lite-v1:0"));
}
