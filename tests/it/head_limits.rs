//! Heads are as long as they may be, by the operator's word, and not a byte longer; in both directions.

use tollgate::wire::http1::HeadLimits;

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, End, Gate, RawUpstream};

const BYTES: usize = 8192;
const LINES: usize = 200;

async fn gate(upstream: &RawUpstream) -> Gate {
    let plan = Plan::new().before(upstream);
    let plan = plan.with(|settings| {
        settings.limits.head = HeadLimits {
            bytes: BYTES,
            field_lines: LINES,
        };
    });
    plan.start().await
}

/// `head` with one field-line more, so that it is `length` long.
fn stretched(head: &str, length: usize) -> String {
    let filler = "x".repeat(length - head.len() - "X: \r\n\r\n".len());
    format!("{head}X: {filler}\r\n\r\n")
}

/// `head` with field-lines more, so that it has `lines` of them.
fn multiplied(head: &str, lines: usize) -> String {
    let there = head.matches("\r\n").count() - 1;
    format!("{head}{}\r\n", "X: y\r\n".repeat(lines - there))
}

#[tokio::test]
async fn a_request_head_may_measure_what_the_operator_says() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let head = format!("POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n");
    for request in [stretched(&head, BYTES), multiplied(&head, LINES)] {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(&request).await;
        let mut served = upstream.accept().await;
        served.expect(request.as_bytes()).await;
    }
    for request in [stretched(&head, BYTES + 1), multiplied(&head, LINES + 1)] {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(&request).await;
        let answer = client.answer().await;
        answer.assert_typed(431, "ValidationException", "head-too-large");
        assert_eq!(client.end().await, End::Closed);
    }
    // Without an end in sight: it is refused when the limit is reached, not when the client is done.
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(format!("{head}X: {}", "x".repeat(BYTES))).await;
    let answer = client.answer().await;
    answer.assert_typed(431, "ValidationException", "head-too-large");
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_response_head_may_measure_the_same() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(&upstream).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    let request =
        format!("POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n\r\n");
    for (response, fits) in [
        (stretched(head, BYTES), true),
        (multiplied(head, LINES), true),
        (stretched(head, BYTES + 1), false),
        (multiplied(head, LINES + 1), false),
    ] {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client.send(&request).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(&response).await;
        if fits {
            client.expect(response.as_bytes()).await;
        } else {
            let answer = client.answer().await;
            answer.assert_typed(503, "ServiceUnavailableException", "upstream-protocol");
        }
        served.close().await;
    }
}
