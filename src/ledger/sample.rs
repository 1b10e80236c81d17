//! Records for the tests of this room and of the commands that print them.

use uuid::Uuid;

use super::record::{Entry, Identity, Outcome, Payload, UsageRecord};
use crate::spend::{Cost, CostStatus, Usd};
use crate::usage::{TokenUsage, UsageSource};

/// A record with every field set.
pub(crate) fn full() -> UsageRecord {
    UsageRecord {
        id: Uuid::now_v7().to_string(),
        time: "2026-11-22T03:04:05.678Z".to_owned(),
        entry: Entry::Connect,
        client: "127.0.0.1:50001".to_owned(),
        identity: Identity {
            access_key_id: Some("ASIAEXAMPLE000000001".to_owned()),
            account_id: Some("123456789012".to_owned()),
            session: Some(true),
            api_key: Some("key-7f3a".to_owned()),
            proxy_user: Some("alice".to_owned()),
            verified: true,
            name: Some("search team".to_owned()),
            role: Some("arn:aws:sts::123456789012:assumed-role/search/alice".to_owned()),
            sdk: Some("Boto3/1.43.11".to_owned()),
            app_id: Some("search".to_owned()),
        },
        route: Some("/service/standard/".to_owned()),
        host: Some("bedrock-runtime.us-east-1.amazonaws.com".to_owned()),
        region: Some("us-east-1".to_owned()),
        operation: Some("ConverseStream".to_owned()),
        model: Some("us.amazon.nova-lite-v1:0".to_owned()),
        model_name: Some("nova".to_owned()),
        response_model: Some("nova-lite".to_owned()),
        service_tier: Some("priority".to_owned()),
        performance_latency: Some("standard".to_owned()),
        stream: true,
        status: Some(200),
        error_type: Some("throttlingException".to_owned()),
        aws_request_id: Some("7f1c2a34-5b6d-4e8f-9a0b-1c2d3e4f5a6b".to_owned()),
        usage: TokenUsage {
            input_tokens: Some(11),
            output_tokens: Some(5),
            cache_read_tokens: Some(4096),
            cache_write_tokens: Some(1500),
            cache_write_1h_tokens: Some(1200),
            reasoning_tokens: Some(2),
            total_tokens: Some(5612),
            source: Some(UsageSource::Stream),
        },
        units: [("images".to_owned(), 2)].into(),
        cost: Cost {
            usd: Some(Usd::from_picos(123_456_789)),
            price_key: Some("amazon.nova-lite-v1:0".to_owned()),
            price_as_of: Some("2026-11-01".to_owned()),
            status: CostStatus::Exact,
        },
        finish_reason: Some("end_turn".to_owned()),
        outcome: Outcome::Complete,
        request_bytes: 120,
        response_bytes: 400,
        duration_ms: 512.25,
        first_byte_ms: Some(12.5),
        first_token_ms: Some(20.125),
        tags: [("team", "search"), ("quote", "\"\u{1b}[31m")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        invocation_id: Some("4b0f1c9e-2f6a-4d7e-9c55-0d1f3a2b4c5d".to_owned()),
        attempt: Some(2),
        notes: vec!["price-suspect".to_owned()],
    }
}

/// A record that knows nothing it need not know.
pub(crate) fn bare() -> UsageRecord {
    let (id, time) = (
        Uuid::now_v7().to_string(),
        "2026-11-22T03:04:05Z".to_owned(),
    );
    UsageRecord::new(id, time, Entry::Tunnel, "[::1]:1".to_owned())
}

/// A bare record at a time of its own.
pub(crate) fn at(time: &str) -> UsageRecord {
    UsageRecord {
        time: time.to_owned(),
        ..bare()
    }
}

/// A payload of a JSON request and an answer.
pub(crate) fn payload() -> Payload {
    Payload {
        request_head: b"POST /model/m/converse HTTP/1.1\r\nContent-Type: application/json\r\n\r\n"
            .to_vec(),
        request_body: br#"{"messages":[],"n":0.1000000000000000055}"#.to_vec(),
        request_truncated: false,
        response_head: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec(),
        response_body: br#"{"output":"hi"}"#.to_vec(),
        response_truncated: true,
    }
}
