//! Metrics, ledger and log are of the same records: after a run of everything that can happen they say the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tollgate::simulator::client;

use crate::support::frames::{chunk, converse_stream};
use crate::support::gate::{Plan, simulator};
use crate::support::process::said;
use crate::support::signing::Call;
use crate::support::{BEDROCK, Door, Gate, RawUpstream, admin, within};

const OPENING: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                       Transfer-Encoding: chunked\r\n\r\n";

/// What `tollgate stats` says, by these keys.
fn stats(home: &Path, by: &str) -> Vec<Value> {
    let text = said(home, &["stats", "--json", "--by", by]);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The lines of `name`, added up by the value of `label`.
fn by_label(metrics: &[(String, f64)], name: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (line, value) in metrics {
        if line.starts_with(&format!("{name}{{")) {
            *sums.entry(admin::label(line, label)).or_insert(0.0) += value;
        }
    }
    sums
}

/// Fails unless the metrics of `gate` are what its ledger says.
async fn assert_the_same(gate: &Gate) {
    let metrics = admin::metrics(gate.admin()).await;
    assert_exchanges(gate.home(), &metrics);
    assert_models(gate.home(), &metrics);
    assert_records(gate.home(), &metrics);
}

/// How they ended, by door, operation and status.
fn assert_exchanges(home: &Path, metrics: &[(String, f64)]) {
    let mut exchanges: BTreeMap<String, f64> = BTreeMap::new();
    for (line, value) in metrics
        .iter()
        .filter(|(line, _)| line.starts_with("tollgate_exchanges_total{"))
    {
        let key =
            ["entry", "operation", "outcome", "status"].map(|label| admin::label(line, label));
        exchanges.insert(key.join(" "), *value);
    }
    let mut calls: BTreeMap<String, f64> = BTreeMap::new();
    for group in stats(home, "entry,operation,outcome,status") {
        let text = |key: &str| group[key].as_str().unwrap_or_default().to_owned();
        let status = group["status"].as_u64();
        let class = status.map_or_else(String::new, |status| format!("{}xx", status / 100));
        let key = [text("entry"), text("operation"), text("outcome"), class].join(" ");
        *calls.entry(key).or_default() += group["calls"].as_f64().unwrap();
    }
    assert_eq!(exchanges, calls);
}

/// Tokens and money, by model.
fn assert_models(home: &Path, metrics: &[(String, f64)]) {
    let models = stats(home, "model");
    for kind in ["input", "output", "cache_read", "cache_write"] {
        let of_kind: Vec<_> = metrics
            .iter()
            .filter(|(line, _)| line.contains(&format!("gen_ai_token_type=\"{kind}\"")))
            .cloned()
            .collect();
        let tokens = by_label(
            &of_kind,
            "gen_ai_client_token_usage_sum",
            "gen_ai_request_model",
        );
        assert_eq!(tokens, told(&models, &format!("{kind}_tokens")), "{kind}");
    }
    for (name, key) in [
        ("tollgate_cost_usd_total", "cost_usd"),
        ("tollgate_unpriced_total", "unpriced"),
        ("tollgate_estimated_total", "estimated"),
    ] {
        let mut expected = told(&models, key);
        // A counter that never moved has no line.
        expected.retain(|_, sum| key == "cost_usd" || *sum > 0.0);
        let found = by_label(metrics, name, "gen_ai_request_model");
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{key}"
        );
        for (model, sum) in found {
            let difference = (sum - expected[&model]).abs();
            assert!(
                difference < 1e-12,
                "{key} {model}: {sum} and {}",
                expected[&model]
            );
        }
    }
}

/// What `stats` does not sum up, by the records of the log.
fn assert_records(home: &Path, metrics: &[(String, f64)]) {
    let log = said(home, &["log", "--json", "-n", "all"]);
    let records: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let calls = records
        .iter()
        .filter(|record| !record["operation"].is_null() && record["outcome"] != "refused");
    let timed = by_label(
        metrics,
        "gen_ai_client_operation_duration_seconds_count",
        "gen_ai_provider_name",
    );
    assert_eq!(timed["aws.bedrock"], calls.count() as f64);
    let streamed = records
        .iter()
        .filter(|record| !record["first_token_ms"].is_null());
    let first = by_label(
        metrics,
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
        "gen_ai_provider_name",
    );
    assert_eq!(first["aws.bedrock"], streamed.count() as f64);
    for (name, key) in [
        ("tollgate_request_body_bytes_total", "request_bytes"),
        ("tollgate_response_body_bytes_total", "response_bytes"),
    ] {
        let sum: f64 = by_label(metrics, name, "entry").values().sum();
        let expected: u64 = records
            .iter()
            .map(|record| record[key].as_u64().unwrap())
            .sum();
        assert_eq!(sum, expected as f64, "{key}");
    }
    let value = |line: &str| metrics.iter().find(|(found, _)| found == line).unwrap().1;
    assert_eq!(
        value("tollgate_ledger_commit_seconds_count"),
        records.len() as f64
    );
    assert_eq!(value("tollgate_ledger_lost_records_total"), 0.0);
}

/// What groups of `stats` say under `key`, where they know it.
fn told(groups: &[Value], key: &str) -> BTreeMap<String, f64> {
    let known = groups.iter().filter(|group| !group[key].is_null());
    known
        .map(|group| {
            let number = match &group[key] {
                Value::String(text) => text.parse().unwrap(),
                number => number.as_f64().unwrap(),
            };
            (
                group["model"].as_str().unwrap_or_default().to_owned(),
                number,
            )
        })
        .collect()
}

#[tokio::test]
async fn after_a_run_through_every_door_metrics_are_what_stats_says() {
    let simulator = simulator().await;
    let gate = Plan::new()
        .before_simulator(&simulator)
        .with_admin()
        .start()
        .await;
    for call in client::samples() {
        let answer = client::send(gate.address, Arc::clone(&gate.roots), &call).await;
        assert_eq!(answer.unwrap().status, 200, "{}", call.operation);
    }
    // Nobody signed this.
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}");
    client
        .send(format!(
            "POST /model/us.amazon.nova-lite-v1%3A0/converse {tail}"
        ))
        .await;
    assert_eq!(client.answer().await.status(), 403);
    assert_the_same(&gate).await;
    let metrics = admin::metrics(gate.admin()).await;
    let value = |line: &str| metrics.iter().find(|(found, _)| found == line).unwrap().1;
    let dialled = value("tollgate_upstream_connections_dialled_total");
    let reused = value("tollgate_upstream_connections_reused_total");
    assert_eq!(dialled + reused, 8.0);
    assert_eq!(value("tollgate_upstream_connections_idle"), dialled);
    assert_eq!(value("tollgate_upstream_dial_failures_total"), 0.0);
    assert_eq!(value("tollgate_connections_accepted_total"), 8.0);
    assert!(value("tollgate_certificates_minted_total") >= 2.0);
    assert!(value("tollgate_certificates_not_after_timestamp_seconds") > 1.7e9);
}

#[tokio::test]
async fn after_everything_that_can_go_wrong_metrics_are_what_stats_says() {
    let upstream = RawUpstream::tls().await;
    let plain = RawUpstream::plain().await;
    let gate = Plan::new()
        .before(&upstream)
        .with_admin()
        .with(|settings| {
            let patterns = [("acme.*", "acme, in words")];
            let aliases = patterns.map(|(id, name)| (id.to_owned(), name.to_owned()));
            settings.policy.aliases = tollgate::config::Aliases::new(aliases.into()).unwrap();
        })
        .start()
        .await;

    answered(&gate, &upstream).await;
    cut(&gate, &upstream).await;
    no_calls(&gate, &plain).await;
    let recorded = async {
        while gate.records().len() < 9 {
            tokio::task::yield_now().await;
        }
    };
    within("nine records", recorded).await;
    assert_the_same(&gate).await;
    let metrics = admin::metrics(gate.admin()).await;
    assert!(
        metrics
            .iter()
            .any(|(line, _)| line.contains("gen_ai_request_model=\"acme, in words\""))
    );
    let throttled = by_label(
        &metrics,
        "gen_ai_client_operation_duration_seconds_count",
        "error_type",
    );
    assert_eq!(throttled["ThrottlingException"], 1.0);
}

/// A whole answer, a model without a price, and a call that AWS refuses.
async fn answered(gate: &Gate, upstream: &RawUpstream) {
    let usage =
        r#"{"usage":{"inputTokens":7,"outputTokens":2,"totalTokens":9,"cacheReadInputTokens":5}}"#;
    for (model, status, body) in [
        ("us.amazon.nova-lite-v1%3A0", "200 OK", usage),
        ("acme.model-v1", "200 OK", usage),
        (
            "us.amazon.nova-lite-v1%3A0",
            "429 Too Many Requests",
            r#"{"message":"x"}"#,
        ),
    ] {
        let signed = Call::converse("hello")
            .path(&format!("/model/{model}/converse"))
            .sign();
        let mut client = Door::Forward.open(gate, BEDROCK).await;
        client.send(signed.through(Door::Forward)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        let fields = "Content-Type: application/json\r\nx-amzn-ErrorType: ThrottlingException\r\nConnection: close";
        let length = body.len();
        served
            .send(format!(
                "HTTP/1.1 {status}\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        client.answer().await;
    }
}

/// A stream that the upstream cuts, and one whose client leaves.
async fn cut(gate: &Gate, upstream: &RawUpstream) {
    for cut_by_the_client in [false, true] {
        let path = "/model/us.amazon.nova-lite-v1%3A0/converse-stream";
        let signed = Call::converse("hello").path(path).sign();
        let mut client = Door::Connect.open(gate, BEDROCK).await;
        client.send(signed.through(Door::Connect)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        let begun = [
            OPENING.as_bytes(),
            &chunk(&converse_stream()[0]),
            &chunk(&converse_stream()[1]),
        ]
        .concat();
        served.send(&begun).await;
        client.expect(&begun).await;
        if cut_by_the_client {
            client.reset();
            served.end().await;
        } else {
            served.close().await;
            client.rest().await;
        }
    }
}

/// A refusal, nonsense, a tunnel, and an upstream that is not there.
async fn no_calls(gate: &Gate, plain: &RawUpstream) {
    for head in [
        "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        "NONSENSE\r\n\r\n",
    ] {
        let mut client = gate.plain().await;
        client.send(head).await;
        client.answer().await;
    }
    let mut tunnel = gate.plain().await;
    tunnel
        .send(format!("CONNECT {} HTTP/1.1\r\n\r\n", plain.address))
        .await;
    tunnel.head().await;
    let mut end = plain.accept().await;
    tunnel.send("out").await;
    end.expect(b"out").await;
    end.send("back").await;
    tunnel.expect(b"back").await;
    end.close().await;
    tunnel.close().await;
    let mut client = gate.plain().await;
    client
        .send("CONNECT nowhere.invalid:443 HTTP/1.1\r\n\r\n")
        .await;
    assert_eq!(client.answer_to("CONNECT").await.status(), 503);
}
