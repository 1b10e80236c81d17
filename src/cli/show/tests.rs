//! What is shown of an exchange: all that is known, nothing that is not.

use super::*;
use crate::ledger::{Committed, Ledger, sample};

async fn shown(record: &UsageRecord, payload: Option<Payload>, json: bool) -> String {
    let home = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&home.path().join(FILE_NAME)).unwrap();
    let stored = ledger.commit(record.clone(), payload).await;
    assert_eq!(stored, Committed::Stored);
    let args = ShowArgs {
        id: record.id.clone(),
        json,
    };
    let mut out = Vec::new();
    print(&args, home.path(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn shows_everything_known_and_nothing_else() {
    let record = sample::full();
    let text = shown(&record, Some(sample::payload()), false).await;
    for expected in [
        record.id.as_str(),
        "connect from 127.0.0.1:50001 by /service/standard/",
        "search team, role arn:aws:sts::123456789012:assumed-role/search/alice, proxy user alice, API key key-7f3a, \
         access key ASIAEXAMPLE000000001 (temporary), account 123456789012 (accepted by the upstream)",
        "client    Boto3/1.43.11, app search",
        "ConverseStream of us.amazon.nova-lite-v1:0 (nova)",
        "attempt   2 of invocation 4b0f1c9e-2f6a-4d7e-9c55-0d1f3a2b4c5d",
        "served    by nova-lite in tier priority with latency standard",
        "units     images=2",
        "notes     price-suspect",
        "200 complete, stream, throttlingException, finished by end_turn",
        "11 input, 5 output, 4096 cache read, 1500 cache write, 1200 cache write 1h, 2 reasoning, 5612 total (source: stream)",
        "0.000123456789 USD (exact, price amazon.nova-lite-v1:0 as of 2026-11-01)",
        "first byte after 12.5 ms, first token after 20.1 ms, end after 512.2 ms",
        "120 sent, 400 received",
        "quote=\"\\u{1b}[31m, team=search",
        "--- request ---\nPOST /model/m/converse HTTP/1.1\nContent-Type: application/json\n\n{\n  \"messages\": [],\n",
        "\"n\": 0.1000000000000000055",
        "--- response ---\nHTTP/1.1 200 OK\n",
        "only the beginning of this body was kept",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let text = shown(&sample::bare(), None, false).await;
    for expected in [
        "usage     unknown\n",
        "cost      unknown (unpriced)\n",
        "result    failed\n",
        "no payload was kept",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    for absent in [
        "caller", "client", "tags", "units", "notes", "attempt", "served",
    ] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}

#[tokio::test]
async fn json_is_the_record_and_the_payload_as_stored() {
    let record = sample::full();
    let mut payload = sample::payload();
    payload.response_body = vec![0xff, 0xfe];
    let text = shown(&record, Some(payload), true).await;
    assert_eq!(text.lines().count(), 1);
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let payload = value.as_object_mut().unwrap().remove("payload").unwrap();
    assert_eq!(value, serde_json::to_value(&record).unwrap());
    assert_eq!(payload["response_body_base64"], "//4=");
    assert!(payload["response_body"].is_null());
    assert_eq!(payload["response_truncated"], true);
    assert!(payload["request_body_base64"].is_null());
    assert!(
        payload["request_body"]
            .as_str()
            .unwrap()
            .contains("0.1000000000000000055")
    );
    let text = shown(&sample::bare(), None, true).await;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(value["payload"].is_null());
}

#[test]
fn missing_ledger_says_what_makes_one() {
    let home = tempfile::tempdir().unwrap();
    let args = ShowArgs {
        id: "aa".to_owned(),
        json: false,
    };
    let error = run(&args, home.path()).unwrap_err();
    assert!(error.to_string().contains("tollgate serve"), "{error}");
}
