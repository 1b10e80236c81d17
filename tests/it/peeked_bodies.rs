//! A body that was looked at before it was sent on arrives as it was sent, however it came; and a client that does not
//! send it is not waited for for ever.

use std::time::Duration;

use tollgate::ledger::Outcome;

use crate::support::budgets::{ANSWER, Call, KEY, authorization, configured, plan};
use crate::support::frames::chunk;
use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, Gate, Going, RawClient, RawUpstream, assert_bytes, until};

/// It looks into every body.
const RULES: &str = "[[budget]]\nname = \"tokens\"\ntotal_tokens = 1000000000\nwindow = \"24h\"\n\
                     [[budget]]\nname = \"team\"\ntag = { team = \"nobody\" }\nrequests = 0\nwindow = \"24h\"\n";

const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"héllo"}]}],"inferenceConfig":{"maxTokens":10}}"#;

fn answer() -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    )
}

fn head(framing: &str) -> String {
    format!(
        "POST /model/us.amazon.nova-lite-v1%3A0/converse HTTP/1.1\r\nHost: {BEDROCK}\r\n{}{framing}\r\n\r\n",
        authorization(KEY)
    )
}

/// The request in both framings, with what it must look like to the upstream.
fn requests() -> [Vec<u8>; 3] {
    let mut coarse = head("Transfer-Encoding: chunked").into_bytes();
    coarse.extend_from_slice(&chunk(BODY.as_bytes()));
    coarse.extend_from_slice(b"0\r\n\r\n");
    let mut fine = head("Transfer-Encoding: chunked").into_bytes();
    for piece in BODY.as_bytes().chunks(7) {
        fine.extend_from_slice(format!("0{:X};a=\"b\"\r\n", piece.len()).as_bytes());
        fine.extend_from_slice(piece);
        fine.extend_from_slice(b"\r\n");
    }
    fine.extend_from_slice(b"000\r\nx-checksum: 1\r\n\r\n");
    let plain = head(&format!("Content-Length: {}", BODY.len())) + BODY;
    [plain.into_bytes(), coarse, fine]
}

async fn gates(upstream: &RawUpstream) -> [Gate; 2] {
    [
        Plan::new().before(upstream).start().await,
        plan(RULES, upstream).start().await,
    ]
}

#[tokio::test]
async fn bodies_cut_at_every_place_arrive_byte_for_byte_with_budgets_and_without() {
    let upstream = RawUpstream::tls().await;
    for gate in gates(&upstream).await {
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let mut served: Option<RawClient> = None;
        for request in requests() {
            for cut in 1..request.len() {
                client.send_pieces([&request[..cut], &request[cut..]]).await;
                let served = match &mut served {
                    Some(served) => served,
                    none => none.insert(upstream.accept().await),
                };
                assert_bytes(&served.request().await.raw(), &request, "at the upstream");
                served.send(answer()).await;
                client.answer().await;
            }
            client.send_pieces(request.chunks(1)).await;
            let served = served.as_mut().unwrap();
            assert_bytes(&served.request().await.raw(), &request, "octet by octet");
            served.send(answer()).await;
            client.answer().await;
            // Two at once: what follows a body is another request.
            client.send([&request[..], &request].concat()).await;
            for _ in 0..2 {
                assert_bytes(&served.request().await.raw(), &request, "of two");
                served.send(answer()).await;
                client.answer().await;
            }
        }
        for record in gate.records() {
            assert_eq!(record.outcome, Outcome::Complete);
            assert_eq!(record.usage.total_tokens, Some(9));
        }
    }
}

#[tokio::test]
async fn a_body_longer_than_anybody_looks_at_passes_as_a_whole() {
    let picture = "A".repeat(3 * 1024 * 1024);
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"image":{{"source":{{"bytes":"{picture}"}}}}}}]}}]}}"#
    );
    let upstream = RawUpstream::tls().await;
    for gate in gates(&upstream).await {
        for (framing, wire) in [
            (
                format!("Content-Length: {}", body.len()),
                body.clone().into_bytes(),
            ),
            (
                "Transfer-Encoding: chunked".to_owned(),
                [&chunk(body.as_bytes())[..], b"0\r\n\r\n"].concat(),
            ),
        ] {
            let request = [head(&framing).as_bytes(), &wire].concat();
            let mut client = Door::Connect.open(&gate, BEDROCK).await;
            let passed = async {
                let mut served = upstream.accept().await;
                let received = served.request().await;
                served.send(answer()).await;
                (received, served)
            };
            let sent = async {
                client.send(&request).await;
                client.answer().await
            };
            let ((received, _served), answered) = tokio::join!(passed, sent);
            assert!(received.raw() == request, "the body is another one");
            assert_eq!(answered.status(), 200);
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_for_a_100_is_not_waited_for() {
    let upstream = RawUpstream::tls().await;
    let gate = plan(RULES, &upstream).start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let head = head(&format!(
        "Expect: 100-continue\r\nContent-Length: {}",
        BODY.len()
    ));
    client.send(&head).await;
    let mut served = upstream.accept().await;
    served.expect(head.as_bytes()).await;
    served.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.expect(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    client.send(BODY).await;
    served.expect(BODY.as_bytes()).await;
    served.send(answer()).await;
    assert_eq!(client.answer().await.text(), ANSWER);
    let record = gate.stop().await.record();
    assert_eq!(record.usage.total_tokens, Some(9));
}

#[tokio::test]
async fn who_waits_for_a_100_is_refused_without_having_sent_the_body() {
    let rules = "[[budget]]\nname = \"small\"\ntotal_tokens = 100\nwindow = \"24h\"\n";
    let upstream = RawUpstream::tls().await;
    let gate = plan(rules, &upstream).start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(head("Expect: 100-continue\r\nContent-Length: 100000"))
        .await;
    let refused = client.answer().await;
    refused.assert_typed(403, "AccessDeniedException", "budget-spent");
    assert_eq!(refused.field("connection").as_deref(), Some("close"));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_before_its_body_is_there_has_cost_nothing() {
    // A reset could be there before the request: nobody would have seen one.
    for going in [Going::Closing, Going::Cutting] {
        for request in requests() {
            let upstream = RawUpstream::tls().await;
            let gate = plan(RULES, &upstream).start().await;
            let mut client = Door::Connect.open(&gate, BEDROCK).await;
            client.send(&request[..request.len() - 1]).await;
            going.go(client).await;
            until("the record", || gate.records().len() == 1).await;
            let record = gate.stop().await.record();
            assert_eq!(record.outcome, Outcome::ClientAborted, "{going:?}");
            assert_eq!(record.status, None);
            assert_eq!(upstream.connections(), 0);
        }
    }
}

#[tokio::test]
async fn a_client_that_never_sends_its_body_is_given_up() {
    let upstream = RawUpstream::tls().await;
    let gate = plan(RULES, &upstream)
        .with(|settings| settings.timeouts.body = Duration::from_millis(50))
        .start()
        .await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(head("Content-Length: 100")).await;
    client.end().await;
    let record = gate.stop().await.record();
    assert_eq!(record.outcome, Outcome::ClientAborted);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_follow_its_framing_is_refused_before_anybody_sees_it() {
    let upstream = RawUpstream::tls().await;
    let gate = plan(RULES, &upstream).start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client
        .send(head("Transfer-Encoding: chunked") + "2\r\n{}\n0\r\n\r\n")
        .await;
    let refused = client.answer().await;
    refused.assert_typed(400, "ValidationException", "malformed-request");
    client.end().await;
    let record = gate.stop().await.record();
    assert_eq!(record.outcome, Outcome::Refused);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn nobody_looks_where_no_rule_depends_on_a_body() {
    let rules = "[[budget]]\nname = \"calls\"\nrequests = 9\nwindow = \"24h\"\n";
    assert!(configured(rules).policy.budgets.len() == 1);
    let upstream = RawUpstream::tls().await;
    let gate = plan(rules, &upstream).start().await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let call = Call::default().through(Door::Connect);
    let (begin, rest) = call.split_at(call.len() - 5);
    client.send(begin).await;
    let mut served = upstream.accept().await;
    served.expect(begin).await;
    client.send(rest).await;
    served.expect(rest).await;
    served.send(answer()).await;
    assert_eq!(client.answer().await.status(), 200);
}
