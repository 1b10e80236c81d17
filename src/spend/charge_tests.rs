//! The sum: tokens times rates, worked out by hand for every rule, and what holds for all prices.

use proptest::prelude::*;

use super::charge::{Gap, PricedCall, Unpriced};
use super::cost::CostStatus::{Derived, Exact, Partial};
use super::litellm::PriceFile;
use super::operator::{Overrides, PriceEntry};
use super::{Cost, PriceBook};
use crate::aws::Service;
use crate::usage::{TokenUsage, UsageSource};

/// The tier as told, the tier as asked for, the latency.
type Asked = [Option<&'static str>; 3];
/// Input, output, cache reads, cache writes, and those of them for an hour.
type Counts = [Option<u64>; 5];

fn tokens(counts: Counts) -> TokenUsage {
    let [input, output, read, write, hour] = counts;
    TokenUsage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: write,
        cache_write_1h_tokens: hour,
        // Within the output: never an addition.
        reasoning_tokens: output,
        total_tokens: None,
        source: Some(UsageSource::Body),
    }
}

fn call<'a>(model: &'a str, usage: &'a TokenUsage) -> PricedCall<'a> {
    PricedCall {
        model: Some(model),
        response_model: None,
        endpoint: Some(Service::Runtime),
        region: Some("us-east-1"),
        service_tier: None,
        asked_tier: None,
        performance_latency: None,
        usage,
    }
}

fn shown(cost: &Cost) -> String {
    match (&cost.usd, &cost.price_key) {
        (Some(usd), Some(key)) => format!("{usd} {key} {}", cost.status.as_str()),
        _ => {
            assert_eq!(*cost, Cost::unpriced());
            "unpriced".to_owned()
        }
    }
}

fn book(toml: &str) -> PriceBook {
    #[derive(serde::Deserialize)]
    struct File {
        price: Vec<PriceEntry>,
    }
    let file: File = toml::from_str(toml).unwrap();
    PriceBook::builtin().with_overrides(Overrides::new(&file.price).unwrap())
}

/// 3.3 in, 16.5 out, 0.33 read, 4.125 and 6.6 written, 1.65 and 8.25 batch; long context.
const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
/// 15 in, 75 out, 1.5 read, 18.75 written for five minutes; nothing for an hour.
const OPUS: &str = "us.anthropic.claude-opus-4-1-20250805-v1:0";
/// 0.8 in, 3.2 out, 0.2 read; nothing for writes; 0.4 and 1.6 flex and batch, 1.4 and 5.6 priority.
const NOVA: &str = "us.amazon.nova-pro-v1:0";

#[test]
fn kinds_are_added_up_each_at_its_rate() {
    let n = Some(0);
    #[rustfmt::skip]
    let rows: &[(&str, &str, Counts, &str)] = &[
        // 1000 × 3.3 + 100 × 16.5 = 3300 + 1650 millionths.
        ("input and output", SONNET, [Some(1000), Some(100), None, None, None], "0.00495 =K exact"),
        ("explicit zeros", SONNET, [Some(1000), Some(100), n, n, n], "0.00495 =K exact"),
        // + 10000 × 0.33 = 3300.
        ("cache read", SONNET, [Some(1000), Some(100), Some(10_000), None, None], "0.00825 =K exact"),
        // 4950 + (2000 − 500) × 4.125 + 500 × 6.6 = 4950 + 6187.5 + 3300.
        ("both lifetimes", SONNET, [Some(1000), Some(100), None, Some(2000), Some(500)], "0.0144375 =K exact"),
        // 4950 + 2000 × 4.125.
        ("none for an hour", SONNET, [Some(1000), Some(100), None, Some(2000), n], "0.0132 =K exact"),
        ("all for an hour", SONNET, [Some(1000), Some(100), None, Some(2000), Some(2000)], "0.01815 =K exact"),
        ("lifetime unknown", SONNET, [Some(1000), Some(100), None, Some(2000), None], "0.0132 =K derived"),
        ("lifetime unknown of nothing", SONNET, [Some(1000), Some(100), None, n, None], "0.00495 =K exact"),
        // More for an hour than in all: nothing is counted twice, nothing is lost.
        ("counts that contradict", SONNET, [Some(1000), Some(100), None, Some(400), Some(500)], "0.00825 =K exact"),
        ("only the hour is told", SONNET, [Some(1000), Some(100), None, None, Some(500)], "0.00825 =K exact"),
        // 15000 + 7500 + 1000 × 18.75: there is one lifetime only.
        ("one lifetime", OPUS, [Some(1000), Some(100), None, Some(1000), None], "0.04125 =K exact"),
        ("an hour without a rate", OPUS, [Some(1000), Some(100), None, Some(1000), Some(1000)], "0.0225 =K partial"),
        // Nova: 800 + 320 + 5000 × 0.2; writes have no rate.
        ("a write without a rate", NOVA, [Some(1000), Some(100), Some(5000), Some(7), None], "0.00212 =K partial"),
        ("no write, no rate missed", NOVA, [Some(1000), Some(100), Some(5000), n, None], "0.00212 =K exact"),
        ("output not told", SONNET, [Some(1000), None, None, None, None], "0.0033 =K partial"),
        ("input not told", SONNET, [None, Some(100), None, None, None], "0.00165 =K partial"),
        ("all zeros cost nothing", SONNET, [n, n, n, n, n], "0 =K exact"),
        ("nothing told", SONNET, [None; 5], "unpriced"),
        ("only what has no rate", NOVA, [None, None, None, Some(7), None], "unpriced"),
        ("an embedding tells no output", "amazon.titan-embed-text-v2:0", [Some(50), None, None, None, None],
            "0.000001 =K exact"),
        ("an image's tokens", "amazon.titan-embed-image-v1", [Some(50), None, None, None, None], "0.00004 =K partial"),
        ("an image without a text", "amazon.titan-embed-image-v1", [n, None, None, None, None], "unpriced"),
        // Speech counts as tokens and has another rate: 1000 × 0.33 + 100 × 2.75 is what all of it costs as text.
        ("speech", "amazon.nova-2-sonic-v1:0", [Some(1000), Some(100), None, None, None], "0.000605 =K partial"),
        ("no rate for the input", "us.twelvelabs.pegasus-1-2-v1:0", [None, Some(100), None, None, None], "0.00075 =K partial"),
        ("only that input", "us.twelvelabs.pegasus-1-2-v1:0", [Some(100), n, None, None, None], "unpriced"),
        ("by query", "amazon.rerank-v1:0", [Some(100), n, None, None, None], "unpriced"),
        ("by query, zeros", "amazon.rerank-v1:0", [n, n, None, None, None], "unpriced"),
    ];
    let book = PriceBook::builtin();
    for (name, model, counts, expected) in rows {
        let usage = tokens(*counts);
        let cost = book.cost(&call(model, &usage));
        assert_eq!(shown(&cost), expected.replace("=K", model), "{name}");
    }
}

#[test]
fn the_tier_that_the_response_tells_decides() {
    let plain = [Some(1000), Some(100), None, None, None];
    let cached = [Some(1000), Some(100), Some(5000), None, None];
    #[rustfmt::skip]
    let rows: &[(&str, &str, Counts, Asked, &str)] = &[
        ("default", NOVA, plain, [Some("default"), None, None], "0.00112 =K exact"),
        ("standard", NOVA, plain, [Some("standard"), Some("auto"), None], "0.00112 =K exact"),
        ("flex", NOVA, plain, [Some("flex"), None, None], "0.00056 =K#flex exact"),
        ("priority", NOVA, plain, [Some("priority"), Some("default"), None], "0.00196 =K#priority exact"),
        ("batch", SONNET, plain, [Some("batch"), None, None], "0.002475 =K#batch exact"),
        ("asked for, served otherwise", NOVA, plain, [Some("default"), Some("flex"), None], "0.00112 =K exact"),
        ("asked for, and silence", NOVA, plain, [None, Some("flex"), None], "0.00056 =K#flex derived"),
        ("asked for the default, and silence", NOVA, plain, [None, Some("default"), None], "0.00112 =K exact"),
        ("left open, and silence", NOVA, plain, [None, Some("auto"), None], "0.00112 =K derived"),
        ("cache reads have no flex rate", NOVA, cached, [Some("flex"), None, None], "0.00056 =K#flex partial"),
        ("no flex rates", SONNET, plain, [Some("flex"), None, None], "unpriced"),
        ("no batch rates", OPUS, plain, [Some("batch"), None, None], "unpriced"),
        ("reserved", NOVA, plain, [Some("reserved"), None, None], "unpriced"),
        ("never heard of", NOVA, plain, [Some("turbo"), None, None], "unpriced"),
        ("reserved asked for, and silence", NOVA, plain, [None, Some("reserved"), None], "unpriced"),
        ("standard latency", NOVA, plain, [None, None, Some("standard")], "0.00112 =K exact"),
        ("optimised latency", NOVA, plain, [None, None, Some("optimized")], "unpriced"),
        ("latency never heard of", NOVA, plain, [None, None, Some("best")], "unpriced"),
        ("both", NOVA, plain, [Some("flex"), None, Some("optimized")], "unpriced"),
    ];
    let book = PriceBook::builtin();
    for (name, model, counts, [told, asked, latency], expected) in rows {
        let usage = tokens(*counts);
        let cost = book.cost(&PricedCall {
            service_tier: *told,
            asked_tier: *asked,
            performance_latency: *latency,
            ..call(model, &usage)
        });
        assert_eq!(shown(&cost), expected.replace("=K", model), "{name}");
    }
}

#[test]
fn the_operator_can_give_every_band_its_rates() {
    let book = book(
        r#"
        [[price]]
        model = "acme.big"
        input = 1
        output = 2
        cache_read = 0.1
        cache_write_5m = 1.25
        flex_input = 0.5
        flex_output = 1
        flex_cache_read = 0.05
        optimized_input = 3
        optimized_output = 4
        long_context_above = 1000
        long_input = 10
        long_output = 20
        long_cache_read = 1
        multiplier = "0.9"
        [[price]]
        model = "acme.big"
        tier = "standard"
        region = "eu-west-1"
        input = 5
        output = 5
        "#,
    );
    #[rustfmt::skip]
    let rows: &[(Counts, [Option<&str>; 2], &str)] = &[
        // (500 × 1 + 100 × 2 + 400 × 0.1) × 0.9
        ([Some(500), Some(100), Some(400), None, None], [None, None], "0.000666 override:acme.big×0.9 exact"),
        // (500 × 0.5 + 100 × 1 + 400 × 0.05) × 0.9
        ([Some(500), Some(100), Some(400), None, None], [Some("flex"), None], "0.000333 override:acme.big#flex×0.9 exact"),
        ([Some(500), Some(100), None, None, None], [None, Some("optimized")], "0.00171 override:acme.big#optimized×0.9 exact"),
        // Exactly at the threshold is not above it: (600 + 200 + 40) × 0.9.
        ([Some(600), Some(100), Some(400), None, None], [None, None], "0.000756 override:acme.big×0.9 exact"),
        // One more, and all of it is dearer: (6010 + 2000 + 400) × 0.9.
        ([Some(601), Some(100), Some(400), None, None], [None, None], "0.007569 override:acme.big#long×0.9 exact"),
        // Writes count for the threshold, and have no rate beyond it.
        ([Some(601), Some(100), None, Some(400), None], [None, None], "0.007209 override:acme.big#long×0.9 partial"),
        ([Some(601), Some(100), Some(400), None, None], [Some("flex"), None], "unpriced"),
        ([Some(1), Some(100), None, None, None], [Some("priority"), None], "unpriced"),
    ];
    for (counts, [tier, latency], expected) in rows {
        let usage = tokens(*counts);
        let cost = book.cost(&PricedCall {
            service_tier: *tier,
            performance_latency: *latency,
            ..call("acme.big", &usage)
        });
        assert_eq!(shown(&cost), *expected, "{counts:?}");
    }
    let usage = tokens([Some(100), Some(100), None, None, None]);
    let cost = book.cost(&PricedCall {
        region: Some("eu-west-1"),
        ..call("acme.big", &usage)
    });
    assert_eq!(
        shown(&cost),
        "0.001 override:acme.big@eu-west-1#default exact"
    );
}

#[test]
fn long_context_without_a_rate_is_unpriced() {
    let book = PriceBook::builtin();
    let at = tokens([Some(100_000), Some(1), Some(60_000), Some(40_000), Some(0)]);
    assert_eq!(book.cost(&call(SONNET, &at)).status, Exact);
    let above = tokens([Some(100_000), Some(1), Some(60_000), Some(40_001), Some(0)]);
    assert_eq!(book.cost(&call(SONNET, &above)), Cost::unpriced());
    let batch = PricedCall {
        service_tier: Some("batch"),
        ..call(SONNET, &above)
    };
    assert_eq!(book.cost(&batch), Cost::unpriced());
    let why = book.charge(&call(SONNET, &above), &mut |_| {}).unwrap_err();
    assert!(
        matches!(why, Unpriced::LongContext { above: 200_000, .. }),
        "{why}"
    );
    // A price without such a band goes on as it is.
    assert_eq!(
        book.cost(&call(
            OPUS,
            &tokens([Some(500_000), Some(1), None, None, None])
        ))
        .status,
        Exact
    );

    let file = r#"{"us.anthropic.claude-sonnet-4-5-20250929-v1:0": {"litellm_provider": "bedrock_converse",
        "input_cost_per_token": 3.3e-06, "output_cost_per_token": 1.65e-05, "cache_read_input_token_cost": 3.3e-07,
        "cache_creation_input_token_cost": 4.125e-06,
        "input_cost_per_token_above_272k_tokens": 6.6e-06, "output_cost_per_token_above_272k_tokens": 2.475e-05,
        "cache_read_input_token_cost_above_272k_tokens": 6.6e-07,
        "cache_creation_input_token_cost_above_272k_tokens": 8.25e-06}}"#;
    let book = book.with_file(PriceFile::parse(file, "f", None).unwrap());
    // 250,000 × 3.3 + 1000 × 16.5
    let below = tokens([Some(250_000), Some(1000), None, None, None]);
    assert_eq!(
        shown(&book.cost(&call(SONNET, &below))),
        format!("0.8415 file:{SONNET} exact")
    );
    // 200,000 × 6.6 + 100,000 × 0.66 + 1000 × 24.75
    let above = tokens([Some(200_000), Some(1000), Some(100_000), None, None]);
    assert_eq!(
        shown(&book.cost(&call(SONNET, &above))),
        format!("1.41075 file:{SONNET}#long exact")
    );
}

#[test]
fn counts_that_are_not_whole_make_the_cost_partial() {
    let book = PriceBook::builtin();
    for source in [UsageSource::Partial, UsageSource::Estimated] {
        let usage = TokenUsage {
            source: Some(source),
            ..tokens([Some(1000), Some(100), None, None, None])
        };
        let charge = book.charge(&call(SONNET, &usage), &mut |_| {}).unwrap();
        assert_eq!(shown(&charge.cost), format!("0.00495 {SONNET} partial"));
        assert_eq!(charge.gaps, [Gap::Counts]);
    }
    for source in [UsageSource::Headers, UsageSource::Stream, UsageSource::Body] {
        let usage = TokenUsage {
            source: Some(source),
            ..tokens([Some(1000), Some(100), None, None, None])
        };
        assert_eq!(book.cost(&call(SONNET, &usage)).status, Exact);
    }
}

#[test]
fn a_multiplier_is_applied_once_and_rounded_once() {
    let book = book("[[price]]\nmodel = \"*\"\nmultiplier = \"0.333333\"");
    // 35000 × 0.333333 = 11666.655 picodollars.
    let usage = tokens([Some(1), Some(0), None, None, None]);
    assert_eq!(
        shown(&book.cost(&call("amazon.nova-micro-v1:0", &usage))),
        "0.000000011667 override:*=>amazon.nova-micro-v1:0×0.333333 exact"
    );
    // Three tokens are 34999.965, not three times what one is.
    let usage = tokens([Some(3), Some(0), None, None, None]);
    assert_eq!(
        book.cost(&call("amazon.nova-micro-v1:0", &usage))
            .usd
            .unwrap()
            .picos(),
        35_000
    );
}

#[test]
fn nothing_overflows() {
    let usage = tokens([Some(u64::MAX); 5]);
    let book = book(
        "[[price]]\nmodel = \"acme.big\"\ninput = 1000000\noutput = 1000000\ncache_read = 1000000\nmultiplier = 1000",
    );
    let cost = book.cost(&call("acme.big", &usage));
    assert_eq!(cost.status, Partial);
    assert_eq!(cost.usd.unwrap().to_string(), "9223372.036854775807");
    for row in book.rows() {
        let cost = book.cost(&PricedCall {
            endpoint: Some(row.endpoint),
            region: row.region.as_deref(),
            ..call(&row.id, &usage)
        });
        assert!(cost.usd.is_none() || cost.status == Partial, "{row}");
    }
}

#[test]
fn the_account_shows_each_line() {
    let usage = tokens([Some(1000), Some(100), None, Some(2000), None]);
    let book = PriceBook::builtin();
    let mut steps = Vec::new();
    let charge = book
        .charge(&call("ca.amazon.nova-pro-v1:0", &usage), &mut |step| {
            steps.push(step.to_string());
        })
        .unwrap();
    assert_eq!(charge.cost.status, Partial);
    assert_eq!(charge.found.doubts.len(), 1);
    assert_eq!(charge.gaps.len(), 1);
    let picos: Vec<_> = charge.lines.iter().map(|line| line.picos()).collect();
    assert_eq!(
        picos,
        [Some(800_000_000), Some(320_000_000), None, None, None]
    );
    assert_eq!(
        steps,
        [
            "[[price]] tables: none for ca.amazon.nova-pro-v1:0",
            "ca.amazon.nova-pro-v1:0 at bedrock-runtime, built in: no row",
            "ca.amazon.nova-pro-v1:0 at bedrock-mantle, built in: no row",
            "amazon.nova-pro-v1:0 at bedrock-runtime, built in: amazon.nova-pro-v1:0",
        ]
    );
    assert_eq!(
        book.cost(&call("us.amazon.nova-2-lite-v1:0", &usage))
            .status,
        Partial
    );
    assert_eq!(
        book.cost(&call(
            "anthropic.claude-opus-5",
            &tokens([Some(1), Some(1), None, None, None])
        ))
        .status,
        Derived
    );
}

proptest! {
    #[test]
    fn more_tokens_never_cost_less(
        at in 0_usize..520,
        counts in prop::array::uniform5(0_u64..60_000),
        more in prop::array::uniform5(0_u64..60_000),
        huge in prop::array::uniform5(any::<u64>()),
    ) {
        let book = PriceBook::builtin();
        let row = book.rows().nth(at).unwrap();
        // Below the long-context threshold, or both of them beyond.
        let usage = |counts: [u64; 5]| {
            let [input, output, read, write, hour] = counts.map(|count| count % 60_000);
            tokens([Some(input), Some(output), Some(read / 2), Some(write / 2 + hour / 2), Some(hour / 2)])
        };
        let mut sums = counts;
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum = (*sum + more).min(59_999);
        }
        let cost = |usage: &TokenUsage| book.cost(&PricedCall {
            endpoint: Some(row.endpoint),
            region: row.region.as_deref(),
            ..call(&row.id, usage)
        });
        let (less, more) = (cost(&usage(counts)), cost(&usage(sums)));
        if let (Some(less), Some(more)) = (less.usd, more.usd) {
            prop_assert!(less <= more);
        }
        let [a, b, c, d, e] = huge;
        let _: Cost = cost(&tokens([Some(a), Some(b), Some(c), Some(d), Some(e)]));
    }
}
