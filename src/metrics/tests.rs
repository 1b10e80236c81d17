//! What is shown is what is documented, sums are those of the records, and nothing that a peer says can make them many.

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{MAX_PAIRS, OTHER};
use super::*;
use crate::ledger::{Entry, sample};
use crate::spend::budget::{Counts, Total};
use crate::spend::{CostStatus, Usd};
use crate::usage::UsageSource;

fn shown(metrics: &Metrics) -> String {
    let levels = Levels {
        certificates_end: Some(1),
        budgets: vec![budget()],
        ..Levels::default()
    };
    metrics.render(&levels)
}

fn budget() -> Total {
    Total {
        rule: "team \"a\"".to_owned(),
        counts: Counts::Usd,
        spent: 1_500_000_000_000,
        reserved: 500_000_000_000,
        limit: 4_000_000_000_000,
        fullest: 2_000_000_000_000,
        keys: 1,
        refused: 3,
        would_have_refused: 0,
    }
}

/// A call that `model` answered with this status.
fn call(model: &str, status: u16) -> UsageRecord {
    UsageRecord {
        model: Some(model.to_owned()),
        model_name: None,
        status: Some(status),
        error_type: None,
        ..sample::full()
    }
}

/// The values of `label` on lines of `name`.
fn values(text: &str, name: &str, label: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| {
            let (_, rest) = line.split_once(&format!("{label}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        })
        .collect()
}

fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    let found = found.unwrap_or_else(|| panic!("no {line} in {text}"));
    found.trim().parse().unwrap()
}

#[test]
fn everything_that_is_shown_stands_in_the_table_and_the_other_way_round() {
    let metrics = Metrics::new();
    let unpriced = UsageRecord {
        cost: crate::spend::Cost::unpriced(),
        ..sample::full()
    };
    let mut estimated = sample::full();
    estimated.usage.source = Some(UsageSource::Estimated);
    for record in [sample::full(), unpriced, estimated] {
        metrics.observe(&record);
    }
    let text = shown(&metrics);
    let mut found: BTreeMap<&str, (String, BTreeSet<&str>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            found.insert(name, (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .into_iter()
                .filter_map(|end| name.strip_suffix(end))
                .find(|name| found.contains_key(name))
                .unwrap_or(name);
            let (_, labels) = found.get_mut(family).unwrap();
            if let Some((_, rest)) = line.split_once('{') {
                let (pairs, _) = rest.rsplit_once('}').unwrap();
                let names = pairs
                    .split("\",")
                    .map(|pair| pair.split('=').next().unwrap());
                labels.extend(names.filter(|name| *name != "le"));
            }
        }
    }
    for row in TABLE {
        let on_linux_only = row.name.starts_with("process_");
        match found.remove(row.name) {
            None => assert!(on_linux_only && !cfg!(target_os = "linux"), "{}", row.name),
            Some((kind, labels)) => {
                assert_eq!(
                    kind,
                    format!("{:?}", row.kind).to_lowercase(),
                    "{}",
                    row.name
                );
                assert_eq!(labels, row.labels.iter().copied().collect(), "{}", row.name);
            }
        }
    }
    assert!(found.is_empty(), "not in the table: {found:?}");
}

#[test]
fn the_page_of_metrics_is_what_the_table_says() {
    let mut table = "| metric | kind | labels | |\n|---|---|---|---|\n".to_owned();
    for row in TABLE {
        let labels: Vec<_> = row
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let kind = format!("{:?}", row.kind).to_lowercase();
        let (name, labels, help) = (row.name, labels.join(", "), row.help);
        table.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    let page = include_str!("../../docs/metrics.md");
    assert!(
        page.contains(&table),
        "docs/metrics.md is stale; the table is now\n\n{table}"
    );
}

#[test]
fn rules_and_pages_name_metrics_that_there_are() {
    let texts = [
        include_str!("../../contrib/prometheus/tollgate.rules.yml"),
        include_str!("../../docs/operations.md"),
    ];
    for text in texts {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut names = words.filter(|word| {
            let begins = ["tollgate_", "gen_ai_client", "process_"];
            begins.iter().any(|begin| word.starts_with(begin))
        });
        assert!(names.clone().count() > 0);
        let unknown = names.find(|name| {
            let family = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|end| name.strip_suffix(end));
            !TABLE
                .iter()
                .any(|row| row.name == *name || Some(row.name) == family)
        });
        assert_eq!(unknown, None);
    }
    let alerts = texts[0]
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(
            texts[1].contains(alert),
            "operations.md says nothing of {alert}"
        );
    }
}

#[test]
fn whatever_clients_name_the_number_of_labels_is_bounded() {
    let metrics = Metrics::new();
    // Nobody served these: they take no place.
    for number in 0..1000 {
        metrics.observe(&call(&format!("made-up-{number}"), 403));
    }
    let text = shown(&metrics);
    let models = values(
        &text,
        "gen_ai_client_operation_duration_seconds",
        "gen_ai_request_model",
    );
    assert_eq!(models, [OTHER.to_owned()].into());
    for number in 0..1000 {
        metrics.observe(&call(&format!("served-{number}"), 200));
    }
    for number in 0..1000 {
        let error = UsageRecord {
            error_type: Some(format!("Error{number}")),
            operation: Some(format!("Operation{number}")),
            ..call("served-0", 400)
        };
        metrics.observe(&error);
    }
    let text = shown(&metrics);
    for (name, label, most) in [
        (
            "gen_ai_client_operation_duration_seconds",
            "gen_ai_request_model",
            MAX_PAIRS + 1,
        ),
        (
            "gen_ai_client_token_usage",
            "gen_ai_request_model",
            MAX_PAIRS + 1,
        ),
        (
            "tollgate_cost_usd_total",
            "gen_ai_request_model",
            MAX_PAIRS + 1,
        ),
        ("gen_ai_client_operation_duration_seconds", "error_type", 2),
        (
            "gen_ai_client_operation_duration_seconds",
            "gen_ai_operation_name",
            2,
        ),
        ("tollgate_exchanges_total", "operation", 2),
    ] {
        let found = values(&text, name, label);
        assert!(found.len() <= most, "{name} {label}: {}", found.len());
    }
    // And what has no label of its own is counted all the same.
    let exchanges: f64 = text
        .lines()
        .filter(|line| line.starts_with("tollgate_exchanges_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(exchanges, 3000.0);
}

#[test]
fn a_model_that_was_served_keeps_its_label_when_it_fails() {
    let metrics = Metrics::new();
    metrics.observe(&call("m", 200));
    let throttled = UsageRecord {
        error_type: Some("throttlingException".to_owned()),
        ..call("m", 429)
    };
    metrics.observe(&throttled);
    let text = shown(&metrics);
    let line = "gen_ai_client_operation_duration_seconds_count{error_type=\"ThrottlingException\",\
                gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"m\"}";
    assert_eq!(value(&text, line), 1.0);
}

#[test]
fn nobody_is_named_and_nothing_that_a_peer_says_stands_in_the_text_as_it_is() {
    let metrics = Metrics::new();
    let mut record = sample::full();
    record.model_name = None;
    record.model = Some("a\"b\\c\nd\u{1b}[31m\u{202e}".to_owned());
    record.error_type = Some("made up\n".to_owned());
    metrics.observe(&record);
    let text = shown(&metrics);
    let identity = &record.identity;
    let texts = [
        &identity.access_key_id,
        &identity.account_id,
        &identity.api_key,
        &identity.proxy_user,
        &identity.name,
        &identity.role,
        &record.error_type,
        &record.host,
    ];
    for told in texts.into_iter().flatten() {
        assert!(!text.contains(told.as_str()), "{told} in {text}");
    }
    assert!(
        text.contains("gen_ai_request_model=\"a\\\"b\\\\c\\\\u{a}d\\\\u{1b}[31m\\\\u{202e}\""),
        "{text}"
    );
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
}

#[test]
fn money_is_summed_exactly_and_never_turns_over() {
    let metrics = Metrics::new();
    let mut record = call("m", 200);
    record.cost.usd = Some(Usd::from_picos(100_000_000_003));
    for _ in 0..3 {
        metrics.observe(&record);
    }
    let line = "tollgate_cost_usd_total{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",\
                gen_ai_request_model=\"m\"}";
    assert_eq!(value(&shown(&metrics), line), 0.300000000009);
    record.cost.usd = Some(Usd::from_picos(u64::MAX));
    for _ in 0..3 {
        metrics.observe(&record);
    }
    assert_eq!(value(&shown(&metrics), line), 9_223_372.036_854_776);
}

#[test]
fn what_was_never_a_call_has_no_model() {
    let metrics = Metrics::new();
    let (id, time) = ("id".to_owned(), "2026-11-22T03:04:05.678Z".to_owned());
    let mut tunnel = UsageRecord::new(id, time, Entry::Tunnel, "127.0.0.1:1".to_owned());
    tunnel.outcome = Outcome::Complete;
    tunnel.status = Some(200);
    tunnel.request_bytes = 7;
    metrics.observe(&tunnel);
    let refused = UsageRecord {
        outcome: Outcome::Refused,
        usage: crate::usage::TokenUsage::default(),
        cost: crate::spend::Cost::unpriced(),
        ..call("m", 403)
    };
    metrics.observe(&refused);
    let text = shown(&metrics);
    assert!(!text.contains("gen_ai_request_model"), "{text}");
    assert_eq!(
        value(&text, "tollgate_request_body_bytes_total{entry=\"tunnel\"}"),
        7.0
    );
    let line = "tollgate_exchanges_total{entry=\"tunnel\",operation=\"\",outcome=\"complete\",status=\"2xx\"}";
    assert_eq!(value(&text, line), 1.0);
}

#[test]
fn what_has_no_price_and_what_is_not_the_whole_truth_is_counted() {
    let metrics = Metrics::new();
    let mut unpriced = call("m", 200);
    unpriced.cost.status = CostStatus::Unpriced;
    let mut free = unpriced.clone();
    free.operation = Some("CountTokens".to_owned());
    free.usage.total_tokens = None;
    let mut partial = call("m", 200);
    partial.cost.status = CostStatus::Partial;
    for record in [&unpriced, &free, &partial] {
        metrics.observe(record);
    }
    let text = shown(&metrics);
    let labels = "{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"m\"}";
    assert_eq!(
        value(&text, &format!("tollgate_unpriced_total{labels}")),
        1.0
    );
    assert_eq!(
        value(&text, &format!("tollgate_estimated_total{labels}")),
        1.0
    );
    assert!(!text.contains("tollgate_unpriced_total{gen_ai_operation_name=\"CountTokens\""));
}

#[test]
fn connections_are_told_as_they_are_when_somebody_asks() {
    let levels = Levels {
        connections: (3, 10),
        connections_accepted: 7,
        connections_refused: (2, 1),
        ..Levels::default()
    };
    let text = Metrics::new().render(&levels);
    for (name, expected) in [
        ("tollgate_connections_open", 3.0),
        ("tollgate_connections_limit", 10.0),
        ("tollgate_connections_accepted_total", 7.0),
        ("tollgate_connections_refused_total{limit=\"all\"}", 2.0),
        ("tollgate_connections_refused_total{limit=\"client\"}", 1.0),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
}

#[test]
fn what_is_spent_of_a_budget_is_told_in_dollars_and_as_a_part_of_it() {
    let text = shown(&Metrics::new());
    let labels = "{counts=\"usd\",rule=\"team \\\"a\\\"\"}";
    for (name, expected) in [
        ("tollgate_budget_spent", 1.5),
        ("tollgate_budget_reserved", 0.5),
        ("tollgate_budget_limit", 4.0),
        ("tollgate_budget_used_ratio", 0.5),
        ("tollgate_budget_keys", 1.0),
    ] {
        assert_eq!(value(&text, &format!("{name}{labels}")), expected, "{name}");
    }
    let refused = "tollgate_budget_refused_total{mode=\"enforce\",rule=\"team \\\"a\\\"\"}";
    assert_eq!(value(&text, refused), 3.0);
}
