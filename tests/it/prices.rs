//! What a call cost is in its record before its last byte is out: by the book, by the operator's word, or not at all.

use std::sync::Arc;

use tollgate::config::{Options, Settings};
use tollgate::ledger::UsageRecord;
use tollgate::spend::CostStatus;

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, RawUpstream};

const CONVERSE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn",
    "usage":{"inputTokens":7,"outputTokens":2,"totalTokens":9}TIER}"#;

/// The record of a call of `path`, answered with `fields` and `body`, before a gate with this configuration.
async fn record(config: &str, path: &str, fields: &str, body: &str) -> UsageRecord {
    let upstream = RawUpstream::tls().await;
    let options: Options = toml::from_str(config).unwrap();
    let configured = Settings::from_options(options, "/nowhere".into(), None).unwrap();
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.policy.prices = Arc::clone(&configured.policy.prices);
            settings.policy.usage_patterns = Arc::clone(&configured.policy.usage_patterns);
        })
        .start()
        .await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(format!(
            "POST {path} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send(format!(
            "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    client.answer().await;
    let record = gate.records().pop().unwrap();
    gate.stop().await;
    record
}

#[tokio::test]
async fn the_book_the_operator_and_nobody() {
    let profile =
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc";
    let like = "[[price]]\nmodel = \"arn:aws:bedrock:*:application-inference-profile/abc\"\nlike = \"us.amazon.nova-lite-v1:0\"";
    let rates = "[[price]]\nmodel = \"us.amazon.nova-lite-v1:0\"\ninput = \"1\"\noutput = \"2.5\"";
    let flex = r#","serviceTier":{"type":"flex"}"#;
    let rows = [
        // 7 × 0.06 $ and 2 × 0.24 $ a million.
        (
            "",
            "us.amazon.nova-lite-v1%3A0",
            "",
            Some("0.0000009"),
            CostStatus::Exact,
        ),
        (
            "",
            "eu.amazon.nova-lite-v1%3A0",
            "",
            Some("0.00000117"),
            CostStatus::Exact,
        ),
        (
            rates,
            "us.amazon.nova-lite-v1%3A0",
            "",
            Some("0.000012"),
            CostStatus::Exact,
        ),
        (like, profile, "", Some("0.0000009"), CostStatus::Exact),
        ("", profile, "", None, CostStatus::Unpriced),
        ("", "acme.unheard-of-v1%3A0", "", None, CostStatus::Unpriced),
        (
            "",
            "us.amazon.nova-lite-v1%3A0",
            flex,
            None,
            CostStatus::Unpriced,
        ),
        (
            "",
            "openai.gpt-oss-20b-1%3A0",
            flex,
            Some("0.000000545"),
            CostStatus::Exact,
        ),
    ];
    for (config, model, tier, usd, status) in rows {
        let body = CONVERSE.replace("TIER", tier);
        let record = record(config, &format!("/model/{model}/converse"), "", &body).await;
        let what = format!("{config} {model} {tier}: {:?}", record.cost);
        assert_eq!(
            record.cost.usd.map(|usd| usd.to_string()).as_deref(),
            usd,
            "{what}"
        );
        assert_eq!(record.cost.status, status, "{what}");
        assert_eq!(record.cost.price_key.is_some(), usd.is_some(), "{what}");
        assert_eq!(
            record.cost.price_as_of.is_some(),
            usd.is_some() && config != rates,
            "{what}"
        );
    }
}

#[tokio::test]
async fn counting_tokens_costs_nothing_and_is_no_usage() {
    let path = "/model/us.amazon.nova-lite-v1%3A0/count-tokens";
    let record = record("", path, "", r#"{"inputTokens":18}"#).await;
    assert_eq!(record.usage, tollgate::usage::TokenUsage::default());
    assert_eq!(record.units.get("counted_tokens"), Some(&18));
    assert_eq!(
        (record.cost.usd, record.cost.status),
        (None, CostStatus::Unpriced)
    );
}

#[tokio::test]
async fn a_shape_nobody_knew_is_taught_by_a_table() {
    let config = "[[usage_pattern]]\nmodel = \"acme.*\"\ninput_tokens = \"inbound_payload.meter.read\"\n\
                  output_tokens = \"meter.written.0\"\n\
                  [[price]]\nmodel = \"acme.*\"\ninput = 1\noutput = 2";
    let body = r#"{"text":"hello","meter":{"read":11,"written":[5,6]}}"#;
    let record = record(config, "/model/acme.big-v1/invoke", "", body).await;
    assert_eq!(record.usage.input_tokens, Some(11));
    assert_eq!(record.usage.output_tokens, Some(5));
    assert_eq!(record.cost.usd.unwrap().to_string(), "0.000021");
}
