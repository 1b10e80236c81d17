//! Whatever way a client comes in, its signed call reaches the model as it was signed and is counted.

use tollgate::ledger::{Entry, Outcome};
use tollgate::simulator::client::{SampleCall, samples, send};
use tollgate::simulator::{SeenRequest, Simulator, Verdict};

use crate::support::gate::{Plan, simulator};
use crate::support::signing::{Call, Signed};
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream, assert_bytes};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Sends a signed call and fails unless the simulator took it, octet for octet.
async fn call(client: &mut RawClient, signed: &Signed, door: Door, simulator: &Simulator) {
    client.send(signed.through(door)).await;
    assert_accepted(client, signed, simulator).await;
}

async fn assert_accepted(client: &mut RawClient, signed: &Signed, simulator: &Simulator) {
    let answer = client.answer().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen: SeenRequest = simulator.log().pop().unwrap();
    assert!(
        matches!(seen.verdict, Verdict::Accepted { .. }),
        "{:?}",
        seen.verdict
    );
    assert_eq!(seen.server_name, BEDROCK);
    assert_bytes(
        &[seen.head.as_ref(), &seen.body_on_wire].concat(),
        &signed.at_upstream(),
        "at the upstream",
    );
}

#[tokio::test]
async fn a_signed_call_by_every_door_reaches_the_model_as_signed_and_is_counted() {
    for door in Door::ALL {
        let simulator = simulator().await;
        let gate = Plan::new().before_simulator(&simulator).start().await;
        let mut client = door.open(&gate, BEDROCK).await;
        let signed = Call::converse("What does a toll gate do?")
            .in_session()
            .sign();
        call(&mut client, &signed, door, &simulator).await;

        let record = gate.records().pop().unwrap();
        assert_eq!(record.entry, door.entry(), "{door:?}");
        assert_eq!(record.host.as_deref(), Some(BEDROCK));
        assert_eq!(record.region.as_deref(), Some("us-east-1"));
        assert_eq!(record.operation.as_deref(), Some("Converse"));
        assert_eq!(record.model.as_deref(), Some("us.amazon.nova-lite-v1:0"));
        assert_eq!(
            record.identity.access_key_id.as_deref(),
            Some("ASIAEXAMPLE0TOLLGATE")
        );
        assert_eq!(record.identity.session, Some(true));
        assert_eq!(
            (record.status, record.outcome),
            (Some(200), Outcome::Complete)
        );
        assert!(
            record.usage.input_tokens > Some(0) && record.usage.output_tokens > Some(0),
            "{record:#?}"
        );
        assert_eq!(record.request_bytes, signed.body.len() as u64);
        assert_eq!(
            (simulator.stats().accepted, simulator.stats().refused),
            (1, 0)
        );
    }
}

#[tokio::test]
async fn every_call_of_the_demo_is_accepted_and_counted() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    let calls: Vec<SampleCall> = samples();
    for call in &calls {
        let answer = send(gate.address, gate.roots.clone(), call).await.unwrap();
        assert_eq!(answer.status, 200, "{call:?}");
        let record = gate.records().pop().unwrap();
        assert_eq!(record.operation.as_deref(), Some(call.operation));
        assert_eq!(record.model.as_deref(), Some(call.model));
        assert!(record.usage.input_tokens > Some(0), "{record:#?}");
    }
    assert_eq!(gate.records().len(), calls.len());
    assert_eq!(
        (simulator.stats().accepted, simulator.stats().refused),
        (calls.len() as u64, 0)
    );
}

#[tokio::test]
async fn a_presigned_call_below_the_route_reaches_the_model_as_signed() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    for door in [Door::Route, Door::RouteInTls, Door::Connect, Door::Forward] {
        let mut client = door.open(&gate, BEDROCK).await;
        let signed = Call::converse("hello").in_session().presigned().sign();
        call(&mut client, &signed, door, &simulator).await;
        let record = gate.records().pop().unwrap();
        assert_eq!(
            record.identity.access_key_id.as_deref(),
            Some("ASIAEXAMPLE0TOLLGATE")
        );
    }
}

#[tokio::test]
async fn a_call_that_arrives_byte_by_byte_is_the_same_call() {
    for door in Door::ALL {
        let simulator = simulator().await;
        let gate = Plan::new().before_simulator(&simulator).start().await;
        let mut client = door.open_slowly(&gate, BEDROCK).await;
        let signed = Call::converse("slowly").sign();
        call(&mut client, &signed, door, &simulator).await;
    }
}

#[tokio::test]
async fn every_form_of_connect_that_clients_send_is_granted() {
    let simulator = simulator().await;
    let gate = Plan::new().before_simulator(&simulator).start().await;
    let rows = [
        (
            "boto3 on Python 3.11",
            format!("CONNECT {BEDROCK}:443 HTTP/1.0\r\n\r\n"),
        ),
        (
            "boto3 on Python 3.12",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost: {BEDROCK}:443\r\n\r\n"),
        ),
        (
            "Host without port",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n"),
        ),
        (
            "no Host in HTTP/1.1",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n"),
        ),
        (
            "empty Host",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost:\r\n\r\n"),
        ),
        (
            "another Host",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost: 127.0.0.1:5380\r\n\r\n"),
        ),
        (
            "upper case",
            format!("CONNECT {}:443 HTTP/1.1\r\n\r\n", BEDROCK.to_uppercase()),
        ),
        (
            "trailing dot",
            format!("CONNECT {BEDROCK}.:443 HTTP/1.1\r\n\r\n"),
        ),
        (
            "empty lines first",
            format!("\r\n\r\nCONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n"),
        ),
        (
            "length zero",
            format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            "proxy credentials",
            format!(
                "CONNECT {BEDROCK}:443 HTTP/1.0\r\nProxy-Authorization: Basic dGVhbS1hOnMzY3JldA==\r\n\r\n"
            ),
        ),
    ];
    let signed = Call::converse("hello").sign();
    for (name, connect) in rows {
        println!("{name}");
        let mut client = gate.behind(&connect, BEDROCK).await;
        call(&mut client, &signed, Door::Connect, &simulator).await;
        let mut client = gate.eagerly_behind(&connect, BEDROCK).await;
        call(&mut client, &signed, Door::Connect, &simulator).await;
    }
}

#[tokio::test]
async fn http_in_the_clear_inside_a_tunnel_stays_in_the_clear() {
    let upstream = RawUpstream::plain().await;
    let gate = Gate::before(&upstream).await;
    let mut client = gate.plain().await;
    client
        .send(format!("CONNECT {BEDROCK}:80 HTTP/1.1\r\n\r\n"))
        .await;
    client.head().await;
    let request = format!("GET /ping HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n");
    client.send(&request).await;
    let mut served = upstream.accept().await;
    assert_bytes(
        &served.request().await.raw(),
        request.as_bytes(),
        "at the upstream",
    );
    served.send(OK).await;
    assert_bytes(&client.answer().await.raw(), OK, "at the client");
    assert_eq!(gate.records()[0].entry, Entry::Connect);
}

#[tokio::test]
async fn a_host_may_name_its_default_port_and_any_case() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut served: Option<RawClient> = None;
    for door in Door::ALL {
        for host in [
            format!("{BEDROCK}:443"),
            BEDROCK.to_uppercase(),
            format!("{BEDROCK}."),
        ] {
            let mut client = door.open(&gate, BEDROCK).await;
            let tail = format!("HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
            client
                .send(format!(
                    "POST {} {tail}",
                    door.target(BEDROCK, "/model/m/invoke")
                ))
                .await;
            let served = match &mut served {
                Some(served) => served,
                none => none.insert(upstream.accept().await),
            };
            let expected = format!("POST /model/m/invoke {tail}");
            assert_bytes(
                &served.request().await.raw(),
                expected.as_bytes(),
                "at the upstream",
            );
            served.send(OK).await;
            client.answer().await;
            assert_eq!(gate.records().pop().unwrap().host.as_deref(), Some(BEDROCK));
        }
    }
    assert_eq!(upstream.connections(), 1);
}
