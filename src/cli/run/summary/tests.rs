//! What people are shown of a run.

use super::*;
use crate::ledger::{Committed, FILE_NAME, Ledger, sample};
use crate::spend::{CostStatus, Usd};

fn call(model: &str, tokens: u64, picos: Option<u64>, duration_ms: f64) -> UsageRecord {
    let mut record = sample::full();
    record.model = Some(model.to_owned());
    record.model_name = None;
    record.error_type = None;
    record.usage.input_tokens = Some(tokens);
    record.usage.output_tokens = Some(tokens / 2);
    record.usage.cache_read_tokens = None;
    record.usage.cache_write_tokens = None;
    record.cost.usd = picos.map(Usd::from_picos);
    record.cost.status = match picos {
        Some(_) => CostStatus::Exact,
        None => CostStatus::Unpriced,
    };
    record.duration_ms = duration_ms;
    record
}

async fn summary(records: &[UsageRecord], query: &Query) -> Summary {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE_NAME);
    let ledger = Ledger::open(&path).unwrap();
    for record in records {
        assert_eq!(ledger.commit(record.clone(), None).await, Committed::Stored);
    }
    assert_eq!(ledger.close().await, 0);
    Summary::collect(&Reader::open(&path).unwrap(), query).unwrap()
}

fn shown(summary: &Summary, colour: bool) -> String {
    let mut out = Vec::new();
    summary.print("tollgate log", colour, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_run_is_summed_up_by_model() {
    let mut failed = call("nova", 0, None, 7.0);
    failed.status = Some(400);
    failed.usage.input_tokens = None;
    failed.usage.output_tokens = None;
    failed.usage.total_tokens = None;
    let mut routed = call("nova", 100, Some(1_000_000_000), 1500.0);
    routed.entry = Entry::Route;
    let mut tunnel = sample::full();
    tunnel.entry = Entry::Tunnel;
    tunnel.duration_ms = 1e6;
    let records = [
        call("nova", 10, Some(2_000_000_000), 20.0),
        routed,
        failed,
        call("cl\u{1b}aude", 1000, Some(500_000_000_000), 900.0),
        tunnel,
    ];
    let summary = summary(&records, &Query::default()).await;
    assert_eq!(
        shown(&summary, false),
        "tollgate: 4 calls, 1 failed, 1665 tokens, 0.503 USD, slowest 1.5 s (ConverseStream nova), 1 connection to \
         other hosts\n  \
         MODEL         CALLS  FAILED    IN  OUT  CACHE R  CACHE W    USD\n  \
         cl\\u{1b}aude      1       0  1000  500        -        -   0.50\n  \
         nova              3       1   110   55        -        -  0.003\n  \
         tollgate log\n"
    );
    assert!(shown(&summary, true).starts_with("\u{1b}[1mtollgate: 4 calls"));
}

#[tokio::test]
async fn what_is_not_known_is_not_zero() {
    let mut unknown = call("nova", 0, None, 20.0);
    unknown.usage.input_tokens = None;
    unknown.usage.output_tokens = None;
    let one = summary(&[unknown.clone()], &Query::default()).await;
    let text = shown(&one, false);
    assert!(
        text.starts_with("tollgate: 1 call, tokens unknown, 1 unpriced, slowest 20 ms"),
        "{text}"
    );
    let two = summary(
        &[unknown, call("nova", 2, Some(5_000_000_000), 1.0)],
        &Query::default(),
    )
    .await;
    assert!(shown(&two, false).contains(", ~0.005 USD, 1 unpriced"));
}

#[tokio::test]
async fn only_the_calls_of_the_run_are_summed_up() {
    let mut ours = call("nova", 2, None, 1.0);
    ours.identity.proxy_user = Some("run-0a1b2c".to_owned());
    let query = Query {
        identity: ours.identity.proxy_user.clone(),
        ..Query::default()
    };
    let records = [ours, call("other", 5, None, 99.0)];
    let summary = summary(&records, &query).await;
    assert_eq!(summary.total.calls, 1);
    assert_eq!(
        summary.models.keys().flatten().collect::<Vec<_>>(),
        ["nova"]
    );
}

#[tokio::test]
async fn nothing_recorded_is_explained() {
    let nothing = summary(&[], &Query::default()).await;
    let text = shown(&nothing, false);
    assert!(
        text.starts_with("tollgate: no Bedrock call was seen, and no other\n"),
        "{text}"
    );
    assert!(
        text.contains("--node-hook") && text.contains("endpoint_url"),
        "{text}"
    );
    let mut tunnel = sample::full();
    tunnel.entry = Entry::Tunnel;
    let tunnels = summary(
        &[tunnel.clone(), {
            tunnel.id.replace_range(..1, "f");
            tunnel
        }],
        &Query::default(),
    )
    .await;
    let text = shown(&tunnels, false);
    assert!(text.contains("; 2 connections to other hosts\n"), "{text}");
}
