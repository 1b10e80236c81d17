//! A signature that was good when it was made is good where it is verified; and the verifier would notice if not.

use tollgate::simulator::{Simulator, Verdict};

use crate::support::gate::{Plan, dial, simulator};
use crate::support::signing::{Call, Signed};
use crate::support::{BEDROCK, Door, Gate, Message, RawClient, RawUpstream, assert_bytes};

/// Calls whose every oddity is under the signature.
fn calls() -> Vec<(&'static str, Call)> {
    let call = || Call::converse("hello");
    let arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123def456";
    vec![
        ("long-term key", call()),
        ("session", call().in_session()),
        ("pre-signed", call().in_session().presigned()),
        ("ARN", call().path(&format!("/model/{arn}/converse"))),
        (
            "raw colon",
            call().path("/model/us.amazon.nova-lite-v1:0/converse"),
        ),
        (
            "lower-case escape",
            call().path("/model/us.amazon.nova-lite-v1%3a0/converse"),
        ),
        (
            "query",
            call().path("/model/us.amazon.nova-lite-v1%3A0/converse?b=2&a=%2F&a=1&c="),
        ),
        (
            "accept",
            call()
                .field("Accept", "application/json")
                .field("Accept-Encoding", "gzip, deflate"),
        ),
        (
            "length",
            call()
                .field("X-Stainless-Lang", "python")
                .field("X-Stainless-Retry-Count", "0"),
        ),
        ("spaces", call().field("x-spaced", "a  b   c")),
        (
            "guardrail",
            call()
                .field("X-Amzn-Bedrock-GuardrailIdentifier", "gr123")
                .field("X-Amzn-Bedrock-Trace", "ENABLED"),
        ),
        (
            "invocation",
            call()
                .field("amz-sdk-invocation-id", "x")
                .field("amz-sdk-request", "attempt=1; max=3"),
        ),
    ]
}

#[tokio::test]
async fn every_signed_oddity_is_accepted_by_every_door() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    for door in Door::ALL {
        let mut client = door.open(&gate, BEDROCK).await;
        for (name, call) in calls() {
            let signed = call.sign();
            for bytes in [signed.through(door), signed.chunked_through(door, 7)] {
                client.send(bytes).await;
                let answer = client.answer().await;
                assert_eq!(answer.status(), 200, "{door:?}, {name}: {}", answer.text());
            }
        }
    }
    assert_eq!(simulator.stats().refused, 0);
    assert_eq!(
        simulator.stats().accepted,
        2 * (Door::ALL.len() * calls().len()) as u64
    );
}

#[tokio::test]
async fn unsigned_lines_for_the_proxy_never_reach_the_verifier() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    for door in Door::ALL {
        let mut signed = Call::converse("hello").sign();
        for (name, value) in [
            ("Proxy-Authorization", "Basic dGVhbS1hOnMzY3JldA=="),
            ("Proxy-Connection", "keep-alive"),
            ("Connection", "keep-alive"),
            ("Keep-Alive", "timeout=5"),
        ] {
            signed.fields.push((name.to_owned(), value.to_owned()));
        }
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(signed.through(door)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 200, "{door:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_from_the_verifier() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    for door in Door::ALL {
        let mut signed = Call::converse("hello").sign();
        signed
            .fields
            .push(("Expect".to_owned(), "100-continue".to_owned()));
        let bytes = signed.through(door);
        let (head, body) = bytes.split_at(bytes.len() - signed.body.len());
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(head).await;
        client.expect(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        client.send(body).await;
        assert_eq!(client.answer().await.status(), 200, "{door:?}");
    }
}

#[tokio::test]
async fn one_changed_byte_on_the_way_is_noticed() {
    let (signed, rows) = changes();
    let simulator = simulator().await;
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for (name, change, accepted) in rows {
        client.send(signed.through(Door::Connect)).await;
        pass_on(&mut upstream.accept().await, &simulator, change).await;
        let status = client.answer().await.status();
        assert_eq!(status == 200, accepted, "{name}: {status}");
        assert_eq!(
            matches!(
                simulator.log().pop().unwrap().verdict,
                Verdict::Accepted { .. }
            ),
            accepted,
            "{name}"
        );
    }
}

type Change = fn(&mut String);

/// What a bad relay might do to the request on its way, and whether it gets away with it.
fn changes() -> (Signed, Vec<(&'static str, Change, bool)>) {
    let signed = Call::converse("hello")
        .in_session()
        .field("Accept", "text/x")
        .path("/model/a%3Ab/converse?q=1")
        .sign();
    let rows: Vec<(&'static str, Change, bool)> = vec![
        ("nothing", |_| {}, true),
        (
            "an unsigned line more",
            |text| replace(text, "\r\n\r\n", "\r\nx-new: 1\r\n\r\n"),
            true,
        ),
        (
            "another order of lines",
            |text| {
                replace(
                    text,
                    "Content-Type: application/json\r\nAccept: text/x",
                    "Accept: text/x\r\nContent-Type: application/json",
                );
            },
            true,
        ),
        ("method", |text| replace(text, "POST", "PUT"), false),
        ("path", |text| replace(text, "/model/a", "/model/b"), false),
        (
            "case of an escape",
            |text| replace(text, "%3A", "%3a"),
            false,
        ),
        ("an escape decoded", |text| replace(text, "%3A", ":"), false),
        ("query", |text| replace(text, "q=1", "q=2"), false),
        ("query dropped", |text| replace(text, "?q=1", ""), false),
        (
            "a signed line's value",
            |text| replace(text, "text/x", "text/y"),
            false,
        ),
        (
            "a signed line dropped",
            |text| replace(text, "Accept: text/x\r\n", ""),
            false,
        ),
        (
            "a signed line twice",
            |text| replace(text, "Accept: text/x", "Accept: text/x\r\nAccept: text/x"),
            false,
        ),
        (
            "Host",
            |text| replace(text, "us-east-1.amazonaws", "us-east-2.amazonaws"),
            false,
        ),
        (
            "token",
            |text| replace(text, "TOLLGATE//demo", "TOLLGATE//dema"),
            false,
        ),
        ("body", |text| replace(text, "hello", "hellp"), false),
        (
            "signature",
            |text| replace(text, "Signature=", "Signature=0"),
            false,
        ),
    ];
    (signed, rows)
}

fn replace(text: &mut String, from: &str, to: &str) {
    assert!(text.contains(from), "{from} is not in {text}");
    *text = text.replacen(from, to, 1);
}

#[tokio::test]
async fn every_single_bit_of_path_and_body_is_under_the_signature() {
    let signed = Call::converse("hello").sign();
    let bytes = signed.at_upstream();
    let path = 5..5 + signed.target.len();
    let body = bytes.len() - signed.body.len()..bytes.len();
    let simulator = simulator().await;
    for at in path.chain(body) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let mut line = dial(&simulator).await;
        line.send(&changed).await;
        let status = line.answer().await.status();
        assert!(
            status == 403 || status == 400,
            "{status} with another bit at {at}"
        );
    }
    assert_eq!(simulator.stats().accepted, 0);
    let mut line = dial(&simulator).await;
    line.send(&bytes).await;
    assert_eq!(line.answer().await.status(), 200);
}

/// A relay between gate and verifier that changes what it is told to, and closes its connection with the gate.
async fn pass_on(served: &mut RawClient, simulator: &Simulator, change: Change) {
    let request: Message = served.request().await;
    let mut text = String::from_utf8(request.raw()).unwrap();
    change(&mut text);
    let mut line = dial(simulator).await;
    line.send(text).await;
    let answer = line.answer().await;
    let length = answer.wire.len();
    let status = answer.status();
    let head =
        format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    served.send([head.as_bytes(), &answer.wire].concat()).await;
}

#[tokio::test]
async fn a_signature_is_passed_on_even_where_it_is_wrong() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    let mut signed = Call::converse("hello").sign();
    signed.body = b"{\"messages\": []}".to_vec();
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    client.send(signed.through(Door::Connect)).await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 403);
    assert!(
        answer
            .field("x-amzn-errortype")
            .unwrap()
            .starts_with("InvalidSignatureException")
    );
    assert_eq!(answer.field("x-tollgate-error"), None);
    let seen = simulator.log().pop().unwrap();
    assert_bytes(
        &[seen.head.as_ref(), &seen.body_on_wire].concat(),
        &signed.at_upstream(),
        "at the upstream",
    );
    assert_eq!(
        gate.records()[0].error_type.as_deref(),
        Some("InvalidSignatureException")
    );
}
