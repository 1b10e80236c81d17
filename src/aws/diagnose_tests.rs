//! Requests as clients send them, each with one thing wrong. What is right must give no finding, whatever the client.

use bytes::BytesMut;
use time::OffsetDateTime;
use time::macros::datetime;

use super::diagnose::{Finding, Refusal, diagnose, http_date};
use crate::wire::http1::{HeadLimits, RequestHead};

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const MANTLE: &str = "bedrock-mantle.us-east-1.api.aws";
const SIGNED: OffsetDateTime = datetime!(2026-11-22 01:55:26 UTC);
const HEX: &str = "093b661796ced8de0a6457201e3780a2d9f30f28c6ad9052bdc8d915224f69d4";

/// boto3 in forwarding mode.
const BOTO3: &str = "\
POST https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse HTTP/1.1
Host: bedrock-runtime.us-east-1.amazonaws.com
Accept-Encoding: identity
Content-Type: application/json
User-Agent: Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.1.0 lang/python#3.11.7 Botocore/1.43.11
X-Amz-Date: 20261122T015526Z
Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=093b661796ced8de0a6457201e3780a2d9f30f28c6ad9052bdc8d915224f69d4
amz-sdk-invocation-id: 33de565e-af6b-4fc2-8d14-650c4ab561c2
amz-sdk-request: attempt=1
Content-Length: 61";

/// boto3 with session credentials.
const SESSION: &str = "\
POST /model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse HTTP/1.1
Host: bedrock-runtime.us-east-1.amazonaws.com
Accept-Encoding: identity
Content-Type: application/json
X-Amz-Date: 20261122T015526Z
X-Amz-Security-Token: FwoGZXIvYXdzFAKETOKEN//fake+token==
Authorization: AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=22919dc05c5c121b2304cb5848511caf9a5399ee542d6dd7b86fc3d5285d958c
amz-sdk-invocation-id: c38c9388-35e2-44e0-9d7b-5622541f23fa
Content-Length: 61";

/// The AWS SDK for JavaScript with an agent.
const JAVASCRIPT: &str = "\
POST /model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse HTTP/1.1
content-type: application/json
content-length: 56
x-amz-user-agent: aws-sdk-js/3.1162.0
host: bedrock-runtime.us-east-1.amazonaws.com
amz-sdk-invocation-id: a425dc52-08f3-4a4a-80bb-c4eae9e511eb
amz-sdk-request: attempt=1; max=1
x-amz-date: 20261122T015526Z
x-amz-content-sha256: c3335e07d6e89650bf94cb98664be69f8774dbc3198df221f113db0a59ea14f0
authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-user-agent, Signature=00
Connection: close";

/// The Python client of Anthropic, which signs nearly everything.
const ANTHROPIC: &str = "\
POST /model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke HTTP/1.1
host: bedrock-runtime.us-east-1.amazonaws.com
Connection: keep-alive
accept-encoding: gzip, deflate
x-stainless-retry-count: 0
accept: application/json
content-type: application/json
content-length: 93
X-Amz-Date: 20261122T015526Z
X-Amz-Security-Token: FAKETOKEN
Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=accept;accept-encoding;content-length;content-type;host;x-amz-date;x-amz-security-token;x-stainless-retry-count, Signature=00";

/// Signed by hand, in the query.
const PRESIGNED: &str = "\
POST /service/standard/model/amazon.nova-lite-v1%3A0/converse?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLE0TOLLGATE%2F20261122%2Fus-east-1%2Fbedrock%2Faws4_request&X-Amz-Date=20261122T015526Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Security-Token=FAKE%2F&X-Amz-Signature=00 HTTP/1.1
Host: bedrock-runtime.us-east-1.amazonaws.com
Content-Length: 2";

const BEARER: &str = "\
POST /model/m/converse HTTP/1.1
Host: bedrock-runtime.us-east-1.amazonaws.com
Authorization: Bearer bedrock-api-key-FAKEFAKEFAKE";

const ALL: [&str; 6] = [BOTO3, SESSION, JAVASCRIPT, ANTHROPIC, PRESIGNED, BEARER];

fn head(text: &str) -> RequestHead {
    let text = format!("{}\r\n\r\n", text.replace('\n', "\r\n"));
    RequestHead::take(&mut BytesMut::from(text.as_str()), &HeadLimits::default())
        .unwrap()
        .unwrap()
}

fn refusal(date: Option<OffsetDateTime>) -> Refusal<'static> {
    Refusal {
        status: 403,
        error_type: Some("InvalidSignatureException"),
        date,
    }
}

/// What is found when AWS saw it the moment it was signed.
fn found(text: &str, host: &str) -> Vec<Finding> {
    diagnose(&head(text), host, &refusal(Some(SIGNED)), SIGNED)
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::code).collect()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for text in ALL {
        assert_eq!(found(text, HOST), [], "{text}");
        // A name that the operator added tells nothing of itself.
        let elsewhere = text.replace(HOST, "models.corp");
        assert_eq!(found(&elsewhere, "models.corp"), [], "{text}");
        for seconds in [-300, 300] {
            let seen = SIGNED + time::Duration::seconds(seconds);
            let findings = diagnose(&head(text), HOST, &refusal(Some(seen)), SIGNED);
            assert_eq!(findings, [], "{seconds}: {text}");
        }
    }
    let mantle = BOTO3
        .replace(HOST, MANTLE)
        .replace("/bedrock/", "/bedrock-mantle/");
    assert_eq!(found(&mantle, MANTLE), []);
    let port = BOTO3.replace(&format!("Host: {HOST}"), &format!("Host: {HOST}:443"));
    assert_eq!(found(&port, HOST), []);
}

#[test]
fn only_refused_credentials_are_looked_at() {
    let skewed = head(&BOTO3.replace("X-Amz-Date: 2026", "X-Amz-Date: 2025"));
    let rows = [
        (403, Some("SignatureDoesNotMatch"), true),
        (403, Some("InvalidSignatureException"), true),
        (403, Some("IncompleteSignature"), true),
        (400, Some("IncompleteSignatureException"), true),
        (403, Some("ExpiredTokenException"), true),
        (403, Some("UnrecognizedClientException"), true),
        (403, Some("MissingAuthenticationTokenException"), true),
        (401, Some("RequestExpired"), true),
        (403, Some("AccessDeniedException"), false),
        (403, None, false),
        (200, Some("RequestExpired"), false),
        (429, Some("ThrottlingException"), false),
    ];
    for (status, error_type, looked_at) in rows {
        let refusal = Refusal {
            status,
            error_type,
            date: Some(SIGNED),
        };
        let findings = diagnose(&skewed, HOST, &refusal, SIGNED);
        assert_eq!(!findings.is_empty(), looked_at, "{status} {error_type:?}");
    }
}

const TOKEN: &str = "X-Amz-Security-Token: FwoGZXIvYXdzFAKETOKEN//fake+token==\n";

/// What is changed into what, and what is found.
const WRONG: &[(&str, &str, &str, &[&str])] = &[
    (
        BOTO3,
        "us-east-1/bedrock/",
        "eu-west-1/bedrock/",
        &["scope-region"],
    ),
    (
        PRESIGNED,
        "us-east-1%2Fbedrock",
        "eu-west-1%2Fbedrock",
        &["scope-region"],
    ),
    (
        BOTO3,
        "/bedrock/aws4",
        "/bedrock-runtime/aws4",
        &["scope-service"],
    ),
    (
        JAVASCRIPT,
        "/bedrock/aws4",
        "/bedrock-mantle/aws4",
        &["scope-service"],
    ),
    (
        BOTO3,
        "content-type;host;",
        "content-type;",
        &["host-not-signed"],
    ),
    (
        PRESIGNED,
        "SignedHeaders=host",
        "SignedHeaders=content-length",
        &["host-not-signed"],
    ),
    (
        BOTO3,
        "Host: bedrock",
        "Host: x.bedrock",
        &["signed-host-differs"],
    ),
    (
        BOTO3,
        "Host: bedrock-runtime.us-east-1",
        "Host: bedrock-runtime.us-west-2",
        &["signed-host-differs"],
    ),
    (SESSION, TOKEN, "", &["session-token-unsigned"]),
    (
        SESSION,
        ";x-amz-security-token",
        "",
        &["session-token-unsigned"],
    ),
    (
        PRESIGNED,
        "&X-Amz-Security-Token=FAKE%2F",
        "",
        &["session-token-unsigned"],
    ),
    (
        JAVASCRIPT,
        "x-amz-user-agent: aws-sdk-js/3.1162.0\n",
        "",
        &["signed-header-missing"],
    ),
    (
        ANTHROPIC,
        "accept-encoding: gzip, deflate\n",
        "",
        &["signed-header-missing"],
    ),
    (
        JAVASCRIPT,
        ";host;",
        ";:authority;",
        &["signed-header-missing"],
    ),
    (
        BOTO3,
        "X-Amz-Date: 20261122T01",
        "X-Amz-Date: 20261122T03",
        &["clock-skew"],
    ),
    (
        BOTO3,
        "X-Amz-Date: 20261122T01",
        "X-Amz-Date: 20261122T00",
        &["clock-skew"],
    ),
    (
        PRESIGNED,
        "X-Amz-Date=20261122T0155",
        "X-Amz-Date=20261122T0150",
        &[],
    ),
    (
        PRESIGNED,
        "X-Amz-Date=20261122T0155",
        "X-Amz-Date=20261122T0149",
        &["expired"],
    ),
    (
        PRESIGNED,
        "X-Amz-Date=20261122T0155",
        "X-Amz-Date=20261122T0201",
        &["clock-skew"],
    ),
    (
        BOTO3,
        "TOLLGATE/20261122",
        "TOLLGATE/20261123",
        &["date-scope"],
    ),
    (
        BOTO3,
        "X-Amz-Date: 20261122T015526Z",
        "Date: Sun, 22 Nov 2026 01:55:26 GMT",
        &["signed-header-missing"],
    ),
    (
        BOTO3,
        "X-Amz-Date: 20261122T015526Z",
        "X-Amz-Date: yesterday",
        &[],
    ),
];

#[test]
fn one_thing_wrong_is_one_finding() {
    for (text, old, new, wanted) in WRONG {
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, **text, "{old}");
        assert_eq!(codes(&found(&changed, HOST)), *wanted, "{old} → {new}");
    }
    let unsigned: Vec<&str> = BOTO3
        .lines()
        .filter(|line| !line.starts_with("Auth"))
        .collect();
    assert_eq!(codes(&found(&unsigned.join("\n"), HOST)), ["not-signed"]);
    let garbled = BOTO3.replace("Credential=", "Credentials=");
    assert_eq!(codes(&found(&garbled, HOST)), [""; 0]);
}

#[test]
fn a_short_term_key_is_of_one_region() {
    use base64::Engine as _;
    let url = format!(
        "bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=\
         ASIAEXAMPLE0TOLLGATE%2F20261122%2Feu-west-1%2Fbedrock%2Faws4_request&X-Amz-Date=20261122T000000Z\
         &X-Amz-Expires=43200&X-Amz-SignedHeaders=host&X-Amz-Signature={HEX}&Version=1"
    );
    let key = base64::engine::general_purpose::STANDARD.encode(url);
    let text = BEARER.replace("FAKEFAKEFAKE", &key);
    assert_eq!(codes(&found(&text, HOST)), ["scope-region"]);
    let host = "bedrock-runtime.eu-west-1.amazonaws.com";
    assert_eq!(found(&text.replace(HOST, host), host), []);
}

#[test]
fn the_clock_of_aws_decides_and_ours_stands_in_for_it() {
    let minute = time::Duration::minutes(1);
    let head = head(BOTO3);
    let skew = |aws: Option<i32>, ours: i32| {
        let aws = aws.map(|minutes| SIGNED + minute * minutes);
        diagnose(&head, HOST, &refusal(aws), SIGNED + minute * ours)
    };
    assert_eq!(skew(Some(0), 60), []);
    assert_eq!(skew(None, 0), []);
    let finding = |ahead, ahead_of_us| [Finding::ClockSkew { ahead, ahead_of_us }];
    assert_eq!(skew(Some(10), 0), finding(-600, 0));
    assert_eq!(skew(Some(-10), 1), finding(600, -60));
    assert_eq!(skew(None, 6), finding(-360, -360));
    let told = skew(Some(10), 0).remove(0).to_string();
    assert!(
        told.starts_with(
            "the signer's clock is 600 s behind AWS's and 0 s ahead of this machine's"
        ),
        "{told}"
    );
}

#[test]
fn no_sentence_repeats_a_secret() {
    for text in ALL {
        let wrong = text
            .replace("us-east-1", "eu-west-1")
            .replace("20261122T", "20251122T")
            .replace("content-length", "x-none");
        for finding in found(&wrong, HOST) {
            let told = finding.to_string();
            for secret in ["FAKE", "FwoG", HEX, "bedrock-api-key-F"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
}

#[test]
fn dates_of_responses_are_read_strictly() {
    assert_eq!(http_date("Sun, 22 Nov 2026 01:55:26 GMT"), Some(SIGNED));
    for wrong in [
        "",
        "now",
        "Sun, 22 Nov 2026 01:55:26",
        "Sunday, 22-Nov-26 01:55:26 GMT",
        "Sun, 32 Nov 2026 01:55:26 GMT",
        "Sun, 22 Nov 2026 01:55:26 +0200",
    ] {
        assert_eq!(http_date(wrong), None, "{wrong}");
    }
}
