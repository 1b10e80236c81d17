//! What each SDK signs is accepted; with one octet changed it is refused.
//!
//! Every octet of the target, of every field value and of the body is changed in turn. Only a change to what is not
//! signed may pass, and it must.

use super::super::canonical::sha256_hex;
use super::{BODY, Draft, MODEL, judge, judge_at, now};

/// The header sets the SDKs sign, and the targets they send.
fn drafts() -> Vec<(&'static str, Draft)> {
    let mut drafts = of_botocore();
    drafts.extend(of_other_sdks());
    drafts.extend(out_of_the_ordinary());
    drafts
}

fn of_botocore() -> Vec<(&'static str, Draft)> {
    let arn =
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123";
    let mut bare = Draft::new(MODEL);
    bare.signed.clear();
    let mut list = Draft::new(
        "/async-invoke?maxResults=5&submitTimeAfter=2026-01-01T00%3A00%3A00Z&flag&b=+%2B",
    );
    list.method = "GET";
    list.signed.clear();
    list.body.clear();
    let every_option = [
        ("accept", "application/json"),
        ("x-amzn-bedrock-trace", "ENABLED"),
    ];
    let with_query = Draft::new(&format!("{MODEL}?b=2&a=%2F1"));
    vec![
        ("boto3", Draft::new(MODEL)),
        ("boto3 without content type", bare),
        ("boto3 with a session", Draft::new(MODEL).session()),
        (
            "boto3, an ARN",
            Draft::new(&format!("/model/{arn}/converse")),
        ),
        ("boto3, every option", Draft::new(MODEL).with(&every_option)),
        ("boto3, a query", list),
        ("pre-signed", Draft::new(MODEL).presigned(300)),
        (
            "pre-signed with a session and a query",
            with_query.session().presigned(60),
        ),
    ]
}

fn of_other_sdks() -> Vec<(&'static str, Draft)> {
    let hash = sha256_hex(BODY);
    let length = BODY.len().to_string();
    let go = [
        ("amz-sdk-invocation-id", "a425dc52-08f3-4a4a"),
        ("amz-sdk-request", "attempt=1; max=3"),
        ("content-length", &length),
    ];
    let js = [
        ("x-amz-content-sha256", hash.as_str()),
        ("x-amz-user-agent", "aws-sdk-js/3.1162.0"),
    ];
    let rust = [
        ("content-length", length.as_str()),
        ("x-amz-user-agent", "aws-sdk-rust/1.7.0"),
    ];
    let anthropic = [
        ("accept-encoding", "gzip, deflate"),
        ("connection", "keep-alive"),
        ("x-stainless-lang", "python"),
    ];
    let raw_colon = Draft::new(&MODEL.replace("%3A", ":"));
    let mut mantle = Draft::new("/anthropic/v1/messages");
    mantle.service = "bedrock-mantle";
    mantle.host = "bedrock-mantle.us-east-1.api.aws";
    vec![
        ("JS", Draft::new(MODEL).with(&go).with(&js)),
        ("Rust", Draft::new(MODEL).session().with(&rust)),
        ("Go and Java", Draft::new(MODEL).with(&go)),
        ("anthropic", raw_colon.session().with(&anthropic)),
        ("anthropic on mantle", mantle),
    ]
}

fn out_of_the_ordinary() -> Vec<(&'static str, Draft)> {
    let left_out = [
        (
            "x-amzn-trace-id",
            "Root=1-67891233-abcdef012345678912345678",
        ),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
    ];
    let unsigned_payload = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    let two_lines = [("x-note", "a   b"), ("x-note", "c")];
    let dots = Draft::new("//model/./a/../amazon.titan-text-express-v1//invoke/");
    vec![
        (
            "signs what others leave out",
            Draft::new(MODEL).with(&left_out),
        ),
        (
            "two lines of a field, spaces inside",
            Draft::new(MODEL).with(&two_lines),
        ),
        (
            "unsigned payload, signed as such",
            Draft::new(MODEL).with(&unsigned_payload),
        ),
        ("dot segments and empty ones", dots),
    ]
}

#[test]
fn every_sdk_is_accepted() {
    for (name, draft) in drafts() {
        assert_eq!(
            judge_at(&draft.head(), &draft.body, draft.host, now()),
            Ok(()),
            "{name}"
        );
    }
}

#[test]
fn one_changed_octet_of_the_target_is_refused() {
    for (name, draft) in drafts() {
        let head = draft.head();
        let start = draft.method.len() + 1;
        let end = head
            .windows(9)
            .position(|window| window == b" HTTP/1.1")
            .unwrap();
        for at in start..end {
            let mut changed = head.clone();
            changed[at] = if head[at] == b'x' { b'y' } else { b'x' };
            let fault = judge_at(&changed, &draft.body, draft.host, now());
            // In `/./a/../` a few octets are thrown away by normalisation: `/.xa/../` and `/./x/../` read the same.
            let thrown_away = draft.target.contains("/../") && (9..=10).contains(&(at - start));
            assert_eq!(
                fault.is_err(),
                !thrown_away,
                "{name}: octet {at} of the head"
            );
        }
    }
}

#[test]
fn one_changed_octet_of_a_signed_value_is_refused() {
    for (name, draft) in drafts() {
        let head = String::from_utf8(draft.head()).unwrap();
        let mut at = head.find("\r\n").unwrap() + 2;
        for line in head.split_inclusive("\r\n").skip(1) {
            let (field, value) = line.trim_end().split_once(": ").unwrap_or(("", ""));
            let field = field.to_ascii_lowercase();
            let signed = [
                "host",
                "x-amz-date",
                "x-amz-security-token",
                "authorization",
            ]
            .contains(&field.as_str())
                || draft.signed.iter().any(|(own, _)| *own == field);
            for octet in 0..value.len() {
                let place = at + field.len() + 2 + octet;
                let mut changed = head.clone().into_bytes();
                changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
                let outcome = judge_at(&changed, &draft.body, draft.host, now());
                assert_eq!(outcome.is_err(), signed, "{name}: octet {octet} of {field}");
            }
            at += line.len();
        }
    }
}

#[test]
fn one_changed_octet_of_the_body_is_refused() {
    for (name, draft) in drafts() {
        let unsigned = draft
            .signed
            .iter()
            .any(|(_, value)| value == "UNSIGNED-PAYLOAD");
        let head = draft.head();
        for at in 0..draft.body.len() {
            let mut body = draft.body.clone();
            body[at] ^= 1;
            assert_eq!(
                judge_at(&head, &body, draft.host, now()).is_err(),
                !unsigned,
                "{name}: octet {at}"
            );
        }
        let longer = [draft.body.as_slice(), b" "].concat();
        assert_eq!(
            judge_at(&head, &longer, draft.host, now()).is_err(),
            !unsigned,
            "{name}: one more octet"
        );
    }
}

#[test]
fn what_is_not_signed_may_change() {
    let head = String::from_utf8(Draft::new(MODEL).head()).unwrap();
    let (start, fields) = head.trim_end().split_once("\r\n").unwrap();
    let mut fields: Vec<String> = fields
        .split("\r\n")
        .filter(|line| !line.starts_with("User-Agent"))
        .map(str::to_owned)
        .collect();
    fields.reverse();
    let fields: Vec<String> = fields
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            format!("{}:   {value}  ", name.to_ascii_uppercase())
        })
        .collect();
    let head = format!("{start}\r\n{}\r\nX-New: 1\r\n\r\n", fields.join("\r\n"));
    assert_eq!(judge(head.as_bytes(), BODY), Ok(()));
}
