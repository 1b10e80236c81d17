//! What users may do: a typed refusal that names the rule, inside the exchange, and nobody else is held by it.

use std::sync::Arc;

use tollgate::config::AccessRules;
use tollgate::config::access::AccessOption;
use tollgate::ledger::Outcome;

use crate::authentication::{basic, users};
use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream};

fn rules(text: &str) -> Arc<AccessRules> {
    #[derive(serde::Deserialize)]
    struct File {
        access: Vec<AccessOption>,
    }
    let file: File = toml::from_str(text).unwrap();
    Arc::new(AccessRules::new(&file.access).unwrap())
}

const RULES: &str = r#"
    [[access]]
    name = "alice's models"
    user = "alice"
    access_key = "AKIAALICE*"
    model = "anthropic.*"
    region = "us-*"
    host = "bedrock-runtime.*"
"#;

async fn gate(plan: Plan) -> Gate {
    plan.with(|settings| {
        settings.policy.users = users(&[("alice", "wonderland"), ("bob", "builder")]);
        settings.policy.access = rules(RULES);
    })
    .start()
    .await
}

fn call(model: &str, key_id: &str) -> String {
    format!(
        "POST /model/{model}/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential={key_id}/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature={}\r\n\
         Content-Length: 2\r\n\r\n{{}}",
        "0".repeat(64)
    )
}

async fn pass(client: &mut RawClient, upstream: &RawUpstream, request: String) {
    client.send(request).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_rule_refuses_what_it_does_not_allow_and_the_connection_goes_on() {
    let upstream = RawUpstream::tls().await;
    let gate = gate(Plan::new().before(&upstream)).await;
    let hers = "AKIAALICE00000000001";
    let mut client = Door::open_as(&gate, BEDROCK, &basic("alice", "wonderland")).await;
    pass(&mut client, &upstream, call("anthropic.claude-3", hers)).await;
    for (request, says) in [
        (
            call("amazon.nova-lite-v1%3A0", hers),
            "the model amazon.nova-lite-v1:0",
        ),
        (
            call("anthropic.claude-3", "AKIABOB0000000000001"),
            "the access key AKIABOB0000000000001",
        ),
        (
            format!("GET /v1/models HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n"),
            "does not tell its access key",
        ),
    ] {
        let before = upstream.connections();
        client.send(&request).await;
        let answer = client.answer().await;
        answer.assert_typed(403, "AccessDeniedException", "access-denied");
        let text = answer.text();
        assert!(
            text.contains(says) && text.contains("alice's models"),
            "{text}"
        );
        assert_eq!(
            upstream.connections(),
            before,
            "an upstream saw what was refused"
        );
        if request.starts_with("POST") {
            // The body was not read: what follows could be taken for a request.
            client = Door::open_as(&gate, BEDROCK, &basic("alice", "wonderland")).await;
        }
    }
    let mut bob = Door::open_as(&gate, BEDROCK, &basic("bob", "builder")).await;
    pass(&mut bob, &upstream, call("amazon.nova-lite-v1%3A0", hers)).await;
    drop((client, bob));
    let records = gate.stop().await.records();
    let refused: Vec<_> = records
        .iter()
        .filter(|record| record.outcome == Outcome::Refused)
        .collect();
    assert_eq!(refused.len(), 3);
    for record in refused {
        assert_eq!(record.status, Some(403));
        assert_eq!(record.error_type.as_deref(), Some("AccessDeniedException"));
        assert_eq!(record.identity.proxy_user.as_deref(), Some("alice"));
    }
}

#[tokio::test]
async fn a_tunnel_obeys_the_host_of_a_rule() {
    let upstream = RawUpstream::plain().await;
    let gate = gate(Plan::new().connect_to(ELSEWHERE, &upstream)).await;
    let connect = |fields: String| {
        format!(
            "CONNECT {ELSEWHERE}:443 HTTP/1.1\r\n\
        Host: {ELSEWHERE}\r\n{fields}\r\n"
        )
    };
    let mut alice = gate.plain().await;
    alice.send(connect(basic("alice", "wonderland"))).await;
    let answer = alice.answer().await;
    answer.assert_plain(403, "access-denied");
    assert!(answer.text().contains(ELSEWHERE), "{}", answer.text());
    assert_eq!(upstream.connections(), 0);
    let mut bob = gate.plain().await;
    bob.send(connect(basic("bob", "builder"))).await;
    let served = upstream.accept().await;
    assert!(bob.head().await.starts_with(b"HTTP/1.1 200 "));
    drop((alice, bob, served));
    gate.stop().await;
}

#[tokio::test]
async fn a_claim_is_nobody_to_the_rules_and_a_star_is_everybody() {
    let upstream = RawUpstream::tls().await;
    let gate = Plan::new()
        .before(&upstream)
        .with(|settings| {
            settings.policy.access = rules(
                "[[access]]\nuser = \"*\"\nmodel = \"anthropic.*\"\n[[access]]\nuser = \"root\"\n",
            );
        })
        .start()
        .await;
    for fields in [String::new(), basic("root", "x")] {
        let mut client = Door::open_as(&gate, BEDROCK, &fields).await;
        client
            .send(call("amazon.nova-lite-v1%3A0", "AKIAROOT000000000001"))
            .await;
        let answer = client.answer().await;
        answer.assert_typed(403, "AccessDeniedException", "access-denied");
        assert!(answer.text().contains("access 1"), "{}", answer.text());
    }
    let mut client = Door::open_as(&gate, BEDROCK, "").await;
    pass(
        &mut client,
        &upstream,
        call("anthropic.claude-3", "AKIAROOT000000000001"),
    )
    .await;
    drop(client);
    gate.stop().await;
}
