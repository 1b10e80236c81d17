//! Refusals: their names and messages are those of AWS, and they give no secret away.
//!
//! Each head differs in one thing from one that is accepted, so that no refusal can have another cause than the one
//! its message names.

use std::time::Duration;

use super::super::credentials::{
    ACCESS_KEY_ID, BEARER_KEY, SESSION_SECRET_ACCESS_KEY, SESSION_TOKEN,
};
use super::{BODY, Draft, HOST, MODEL, judge, judge_at, now};

/// A head that boto3 might have signed.
fn plain() -> String {
    String::from_utf8(Draft::new(MODEL).head()).unwrap()
}

/// The same with something put in the place of something else.
fn swap(from: &str, to: &str) -> String {
    let plain = plain();
    assert!(plain.contains(from), "{from:?} is not in the head");
    plain.replace(from, to)
}

/// The same with one more field.
fn add(field: &str) -> String {
    swap("Host:", &format!("{field}\r\nHost:"))
}

fn with_authorization(value: &str) -> String {
    let plain = plain();
    let own = plain
        .lines()
        .find(|line| line.starts_with("authorization:"))
        .unwrap();
    plain.replace(own, value)
}

/// Each head is refused with this error, and the message says why.
fn all_refused(error: &str, rows: &[(&str, String)]) {
    for (why, head) in rows {
        let fault = judge(head.as_bytes(), BODY).expect_err(why);
        assert_eq!(fault.name, error, "{why}: {}", fault.message);
        assert!(fault.message.contains(why), "{why}: {}", fault.message);
    }
}

#[test]
fn credentials_that_are_not_known_are_refused() {
    let session = String::from_utf8(Draft::new(MODEL).session().head()).unwrap();
    let token_line = format!("x-amz-security-token: {SESSION_TOKEN}\r\n");
    let invalid = "The security token included in the request is invalid.";
    all_refused(
        "UnrecognizedClientException",
        &[
            (invalid, swap(ACCESS_KEY_ID, "AKIAEXAMPLE0UNKNOWN0")),
            (invalid, session.replace(&token_line, "")),
            (invalid, session.replace("demo+session", "demo session")),
            (invalid, add("X-Amz-Security-Token: t")),
        ],
    );
    let missing = "Missing Authentication Token";
    all_refused(
        "MissingAuthenticationTokenException",
        &[(missing, with_authorization("X-A: b"))],
    );
    let other = with_authorization("Authorization: Bearer bedrock-api-key-other");
    all_refused("AccessDeniedException", &[("API Key", other)]);
    let own = with_authorization(&format!("Authorization: Bearer {BEARER_KEY}"));
    assert_eq!(judge(own.as_bytes(), BODY), Ok(()));
}

#[test]
fn a_scope_that_does_not_fit_is_refused() {
    all_refused(
        "InvalidSignatureException",
        &[
            ("valid region", swap("/us-east-1/", "/eu-west-1/")),
            (
                "correct service",
                swap("/us-east-1/bedrock/", "/us-east-1/s3/"),
            ),
            ("Date in Credential scope", swap("/20261122/", "/20261121/")),
            (
                "was opened for",
                swap("Host: bedrock-runtime", "Host: bedrock-mantle"),
            ),
            (
                "'content-type' is named",
                swap("content-type: application/json\r\n", ""),
            ),
        ],
    );
}

#[test]
fn a_payload_is_unsigned_only_when_the_signature_says_so() {
    let unsigned = add("X-Amz-Content-Sha256: UNSIGNED-PAYLOAD");
    let another = add(&format!("X-Amz-Content-Sha256: {}", "0".repeat(64)));
    let why = "does not match what was computed";
    all_refused(
        "InvalidSignatureException",
        &[(why, unsigned), (why, another)],
    );
}

#[test]
fn a_signature_without_form_is_refused() {
    all_refused(
        "IncompleteSignature",
        &[
            (
                "must be a 'SignedHeader'",
                swap("content-type;host;", "content-type;"),
            ),
            (
                ":authority",
                swap("SignedHeaders=", "SignedHeaders=:authority;"),
            ),
            ("sorted", swap("content-type;host", "host;content-type")),
            ("unknown parameter", swap(", Signature=", ", Signature-=")),
            (
                "'Signature'",
                swap(", Signature=", ", SignedHeaders=").replacen(
                    "SignedHeaders=content-type;host;x-amz-date, ",
                    "",
                    1,
                ),
            ),
            ("repeats", swap(", Signature=", ", Credential=")),
            ("5 slash-delimited", swap("/aws4_request", "")),
            ("X-Amz-Date", swap("x-amz-date: ", "x-amz-dat: ")),
            ("ISO-8601", swap("x-amz-date: 2026", "x-amz-date: 2O26")),
            (
                "algorithm",
                swap("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            ),
            (
                "Only one",
                swap("/converse ", "/converse?X-Amz-Signature=1 "),
            ),
        ],
    );
}

#[test]
fn the_trace_of_a_bad_relay_is_refused() {
    all_refused(
        "ValidationException",
        &[
            (
                "proxy-authorization",
                add("Proxy-Authorization: Basic eA=="),
            ),
            ("via", add("Via: 1.1 gate")),
            ("x-forwarded-for", add("X-Forwarded-For: 10.0.0.1")),
            ("proxy-connection", add("Proxy-Connection: keep-alive")),
            ("keep-alive", add("Keep-Alive: timeout=5")),
            (
                "origin-form",
                swap("POST /", &format!("POST https://{HOST}/")),
            ),
            ("fragment", swap("/converse ", "/converse#x ")),
            ("exactly one Host", add("Host: x")),
            ("method", format!("\r\n{}", plain())),
        ],
    );
}

#[test]
fn signatures_live_as_long_as_they_should() {
    let header = Draft::new(MODEL).head();
    let presigned = Draft::new(MODEL).presigned(60).head();
    let at = |head: &[u8], seconds: i64| {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 {
            now() - distance
        } else {
            now() + distance
        };
        judge_at(head, BODY, HOST, time).map_err(|fault| fault.message)
    };
    assert_eq!(at(&header, 300), Ok(()));
    assert_eq!(at(&header, -300), Ok(()));
    assert_eq!(
        at(&header, 301).unwrap_err(),
        "Signature expired: 20261122T015526Z is now earlier than 20261122T015527Z (20261122T020027Z - 5 min.)"
    );
    assert_eq!(
        at(&header, -301).unwrap_err(),
        "Signature not yet current: 20261122T015526Z is still later than 20261122T015525Z (20261122T015025Z + 5 min.)"
    );
    assert_eq!(at(&presigned, 60), Ok(()));
    assert!(
        at(&presigned, 61)
            .unwrap_err()
            .starts_with("Signature expired")
    );
    assert!(
        at(&presigned, -301)
            .unwrap_err()
            .starts_with("Signature not yet current")
    );
}

#[test]
fn a_mismatch_shows_the_canonical_string_and_no_secret() {
    let head = String::from_utf8(Draft::new(MODEL).session().head()).unwrap();
    let fault = judge(head.as_bytes(), b"another body").unwrap_err();
    assert_eq!(
        (fault.status, fault.name),
        (403, "InvalidSignatureException")
    );
    assert!(fault.message.contains("POST\n/model/us.anthropic.claude-sonnet-4-5-20250929-v1%253A0/converse\n\ncontent-type:application/json\n"));
    assert!(fault.message.contains("x-amz-security-token:***\n"));
    assert!(
        !fault.message.contains(SESSION_TOKEN)
            && !fault.message.contains(SESSION_SECRET_ACCESS_KEY)
    );
    let presigned = String::from_utf8(Draft::new(MODEL).session().presigned(60).head()).unwrap();
    let fault = judge(presigned.as_bytes(), b"another body").unwrap_err();
    assert!(
        fault.message.contains("X-Amz-Security-Token=***"),
        "{}",
        fault.message
    );
}

#[test]
fn a_captured_head_reads_as_it_was_signed() {
    let head = "POST /model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse HTTP/1.1\r\n\
        Host: bedrock-runtime.us-east-1.amazonaws.com\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\n\
        User-Agent: Boto3/1.43.11 md/Botocore#1.43.11\r\nX-Amz-Date: 20261122T015526Z\r\n\
        Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, \
        Signature=093b661796ced8de0a6457201e3780a2d9f30f28c6ad9052bdc8d915224f69d4\r\n\
        amz-sdk-invocation-id: 33de565e-af6b-4fc2-8d14-650c4ab561c2\r\namz-sdk-request: attempt=1\r\n\
        Content-Length: 61\r\n\r\n";
    // Signed with another secret under our key id: everything fits but the signature.
    let fault = judge(head.as_bytes(), BODY).unwrap_err();
    assert!(
        fault
            .message
            .contains("does not match the signature you provided"),
        "{}",
        fault.message
    );
}
