//! Who called: a claim until the upstream has answered 2xx, by the names people use, and by the roles that STS names.

use std::fs;

use tollgate::config::Aliases;
use tollgate::ledger::Outcome;

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream};

pub(crate) const STS: &str = "sts.us-east-1.amazonaws.com";
pub(crate) const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/search/alice";
pub(crate) const SESSION: &str = "ASIAEXAMPLE000000001";

const CALL_HEAD: &str = "User-Agent: Boto3/1.43.11 ua/2.1 os/linux app/search-api\r\n\
    amz-sdk-invocation-id: 4b0f1c9e-2f6a-4d7e-9c55-0d1f3a2b4c5d\r\n\
    amz-sdk-request: ttl=20261122T020100Z; attempt=2; max=5\r\n\
    Content-Length: 2\r\n\r\n{}";

fn authorization(key_id: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={key_id}/20261122/us-east-1/bedrock/aws4_request, \
         SignedHeaders=host, Signature={}\r\n",
        "0".repeat(64)
    )
}

async fn call(client: &mut RawClient, upstream: &RawUpstream, key_id: &str, answer: &str) {
    client
        .send(format!(
            "POST /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/invoke \
             HTTP/1.1\r\nHost: {BEDROCK}\r\n{}{CALL_HEAD}",
            authorization(key_id)
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served.send(answer).await;
    client.answer().await;
}

#[tokio::test]
async fn a_claim_is_proved_by_the_upstream_and_named_by_the_operator() {
    let aliases = [
        ("AKIAEXAMPLE000000001", "nightly job"),
        (
            "arn:aws:bedrock:*:application-inference-profile/abc",
            "chat, production",
        ),
    ];
    let aliases = aliases.map(|(id, name)| (id.to_owned(), name.to_owned()));
    for (answer, verified) in [
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            true,
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            false,
        ),
        ("garbage\r\n\r\n", false),
    ] {
        let upstream = RawUpstream::tls().await;
        let plan = Plan::new().before(&upstream);
        let gate = plan
            .with(|settings| {
                settings.policy.aliases = Aliases::new(aliases.clone().into()).unwrap();
            })
            .start()
            .await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        call(&mut client, &upstream, "AKIAEXAMPLE000000001", answer).await;
        let record = gate.stop().await.record();
        let identity = &record.identity;
        assert_eq!(identity.verified, verified, "{answer}");
        assert_eq!(identity.name.as_deref(), Some("nightly job"));
        assert_eq!(identity.sdk.as_deref(), Some("Boto3/1.43.11"));
        assert_eq!(identity.app_id.as_deref(), Some("search-api"));
        assert_eq!(record.model_name.as_deref(), Some("chat, production"));
        assert_eq!(record.attempt, Some(2));
        assert_eq!(
            record.invocation_id.as_deref(),
            Some("4b0f1c9e-2f6a-4d7e-9c55-0d1f3a2b4c5d")
        );
    }
}

pub(crate) async fn assume_role(gate: &Gate, upstream: &RawUpstream) {
    let mut client = Door::Connect.open(gate, STS).await;
    let form = "Action=AssumeRoleWithWebIdentity&WebIdentityToken=form-secret&RoleArn=x";
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: {STS}\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    let answer = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>\
         <AssumedRoleUser><Arn>{ROLE}</Arn></AssumedRoleUser><Credentials><AccessKeyId>{SESSION}</AccessKeyId>\
         <SecretAccessKey>secret-of-the-session</SecretAccessKey><SessionToken>token-of-the-session</SessionToken>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    served
        .send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        ))
        .await;
    let given = client.answer().await;
    assert_eq!(given.text(), answer);
}

#[tokio::test]
async fn a_session_is_known_by_the_role_that_sts_returned_and_nothing_else_of_that_answer_is_kept()
{
    for learn in [true, false] {
        let upstream = RawUpstream::tls_for(STS).await;
        let plan = Plan::new().before(&upstream);
        let gate = plan
            .with(|settings| {
                settings.policy.hosts.intercept =
                    vec![tollgate::config::HostPattern::parse(STS).unwrap()];
                settings.accounting.learn_sessions = learn;
            })
            .start()
            .await;
        assume_role(&gate, &upstream).await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        call(&mut client, &upstream, SESSION, answer).await;
        let left = gate.stop().await;
        let records = left.records();
        let roles: Vec<_> = records
            .iter()
            .map(|record| record.identity.role.as_deref())
            .collect();
        assert_eq!(roles, [None, learn.then_some(ROLE)]);
        assert!(
            records
                .iter()
                .all(|record| record.outcome == Outcome::Complete)
        );
        let home = left.home();
        for file in fs::read_dir(home.path()).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            for secret in [
                "secret-of-the-session",
                "token-of-the-session",
                "form-secret",
            ] {
                assert!(
                    memchr::memmem::find(&bytes, secret.as_bytes()).is_none(),
                    "{secret}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_proxy_user_is_known_by_name_also_inside_its_tunnel() {
    // alice:wonderland
    let basic = "Proxy-Authorization: Basic YWxpY2U6d29uZGVybGFuZA==\r\n";
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = gate.plain().await;
    client
        .send(format!(
            "POST https://{BEDROCK}/model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\n{basic}Content-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    let request = served.request().await;
    assert_eq!(request.field("proxy-authorization"), None);
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    client.answer().await;
    drop(client);
    let mut client = Door::open_as(&gate, BEDROCK, basic).await;
    client
        .send(format!(
            "POST /model/m/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    served.request().await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
    client.answer().await;
    let left = gate.stop().await;
    for record in left.records() {
        assert_eq!(record.identity.proxy_user.as_deref(), Some("alice"));
    }
    let found = left.find(&left.records()[0].id);
    let head = String::from_utf8(found.payload.unwrap().request_head).unwrap();
    assert!(!head.contains("YWxpY2U6"), "{head}");
}
