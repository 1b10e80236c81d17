//! A stream that is cut, by either side and after any event, leaves a record that is right or says what it is.

use tollgate::ledger::{Outcome, UsageRecord};
use tollgate::spend::CostStatus;
use tollgate::usage::UsageSource;

use crate::support::frames::{chunk, converse_stream, invoke_stream};
use crate::support::{BEDROCK, Door, Gate, Going, RawClient, RawUpstream};

const OPENING: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                       Transfer-Encoding: chunked\r\n\r\n";

/// A stream, its path, what it tells in the end, and after how many events that is told.
struct Stream {
    path: &'static str,
    events: Vec<Vec<u8>>,
    input_after: usize,
    all_after: usize,
}

fn streams() -> [Stream; 2] {
    let (converse, invoke) = (converse_stream(), invoke_stream());
    [
        Stream {
            path: "/model/us.amazon.nova-lite-v1%3A0/converse-stream",
            input_after: converse.len(),
            all_after: converse.len(),
            events: converse,
        },
        Stream {
            path: "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream",
            input_after: 1,
            all_after: 3,
            events: invoke,
        },
    ]
}

async fn ask(gate: &Gate, upstream: &RawUpstream, path: &str) -> (RawClient, RawClient) {
    let body = r#"{"messages":[{"role":"user","content":[{"text":"Say hello to all of us."}]}]}"#;
    let mut client = Door::Connect.open(gate, BEDROCK).await;
    client
        .send(format!(
            "POST {path} HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    (client, served)
}

/// `sent` events arrived: nothing else may have been taken for a fact.
fn assert_honest(record: &UsageRecord, stream: &Stream, sent: usize, what: &str) {
    let usage = &record.usage;
    if sent >= stream.input_after {
        assert_eq!(usage.input_tokens, Some(7), "{what}");
    }
    if sent >= stream.all_after {
        assert_eq!(usage.output_tokens, Some(2), "{what}");
        let told = [Some(UsageSource::Stream), Some(UsageSource::Partial)];
        assert!(told.contains(&usage.source), "{what}: {usage:?}");
        return;
    }
    let marked = [Some(UsageSource::Partial), Some(UsageSource::Estimated)];
    assert!(marked.contains(&usage.source), "{what}: {usage:?}");
    assert_eq!(record.cost.status, CostStatus::Partial, "{what}");
    assert!(record.cost.usd.is_some(), "{what}");
}

#[tokio::test]
async fn cut_by_its_client_after_any_event() {
    for stream in streams() {
        for sent in 0..=stream.events.len() {
            let upstream = RawUpstream::tls().await;
            let gate = Gate::before(&upstream).await;
            let (mut client, mut served) = ask(&gate, &upstream, stream.path).await;
            served.send(OPENING).await;
            client.expect(OPENING.as_bytes()).await;
            for event in &stream.events[..sent] {
                served.send(chunk(event)).await;
                client.expect(&chunk(event)).await;
            }
            Going::Resetting.go(client).await;
            served.end().await;
            let record = gate.stop().await.record();
            let what = format!("{} after {sent}", stream.path);
            assert_eq!(record.outcome, Outcome::ClientAborted, "{what}");
            assert_honest(&record, &stream, sent, &what);
        }
    }
}

#[tokio::test]
async fn cut_by_its_upstream_after_any_event_or_within_one() {
    for stream in streams() {
        for sent in 0..stream.events.len() {
            for within in [0, 1, 11, 13, 40] {
                let upstream = RawUpstream::tls().await;
                let gate = Gate::before(&upstream).await;
                let (mut client, mut served) = ask(&gate, &upstream, stream.path).await;
                served.send(OPENING).await;
                for event in &stream.events[..sent] {
                    served.send(chunk(event)).await;
                }
                let next = &stream.events[sent];
                if within > 0 {
                    let part = &next[..within.min(next.len() - 1)];
                    served.send(chunk(part)).await;
                }
                served.close().await;
                client.rest().await;
                let record = gate.stop().await.record();
                let what = format!("{} after {sent} and {within}", stream.path);
                assert_eq!(record.outcome, Outcome::UpstreamAborted, "{what}");
                assert_honest(&record, &stream, sent, &what);
            }
        }
    }
}
