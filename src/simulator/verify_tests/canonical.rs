//! The two implementations of the canonical request, held against each other.
//!
//! Whatever `aws-sigv4` can express, both must sign alike; what it cannot express must be verified all the same. No head
//! may make either of them panic.

use proptest::prelude::*;

use super::super::canonical;
use super::super::credentials::{ACCESS_KEY_ID, secret_of};
use super::super::percent;
use super::super::presented::{Presented, Signature};
use super::super::received::Received;
use super::super::verify::recompute;
use super::{BODY, Draft, HOST, MODEL, judge, now};

/// The signature of a request, by the two implementations.
fn both(head: &[u8], body: &[u8]) -> (Option<String>, String) {
    let request = Received::parse(head).unwrap();
    let Presented::Signature(signature) = Presented::read(&request).unwrap() else {
        unreachable!("the test signs");
    };
    let secret = secret_of(&signature.access_key_id).unwrap();
    let hash = canonical::sha256_hex(body);
    let theirs = recompute(&request, &signature, secret, now(), &hash);
    (theirs, ours(&request, &signature, &hash))
}

fn ours(request: &Received, signature: &Signature, hash: &str) -> String {
    let secret = secret_of(&signature.access_key_id)
        .unwrap()
        .secret_access_key;
    let canonical_request = canonical::canonical_request(request, signature, hash);
    canonical::sign(
        secret,
        signature,
        &canonical::string_to_sign(signature, &canonical_request),
    )
}

#[test]
fn what_the_signer_cannot_express_is_verified_all_the_same() {
    let unsigned = "0".repeat(64);
    let scope = format!("{ACCESS_KEY_ID}/20261122/us-east-1/bedrock/aws4_request");
    let in_header = |signed: &str, fields: &str| {
        format!(
            "POST {MODEL} HTTP/1.1\r\nHost: {HOST}\r\nX-Amz-Date: 20261122T015526Z\r\n{fields}\
             Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={unsigned}\r\n\r\n"
        )
    };
    let in_query = format!(
        "POST {MODEL}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20261122T015526Z&X-Amz-Expires=60\
         &X-Amz-SignedHeaders=host%3Bx-amz-user-agent&X-Amz-Signature={unsigned} HTTP/1.1\r\nHost: {HOST}\r\n\
         x-amz-user-agent: me\r\n\r\n",
        percent::encode(scope.as_bytes(), b"")
    );
    let rows = [
        ("date not signed", in_header("host", "")),
        (
            "query not UTF-8",
            in_header("host;x-amz-date", "").replace(" HTTP/1.1", "?a=%AA HTTP/1.1"),
        ),
        (
            "value not UTF-8",
            in_header("host;x-amz-date;x-team", "X-Team: k\u{1}che\r\n"),
        ),
        ("user agent in the query form", in_query),
    ];
    for (name, head) in rows {
        // Stands for an octet that text cannot hold.
        let wire = |head: &str| -> Vec<u8> {
            head.bytes()
                .map(|octet| if octet == 1 { 0xfc } else { octet })
                .collect()
        };
        let (theirs, ours) = both(&wire(&head), BODY);
        assert_eq!(theirs, None, "{name}");
        let head = wire(&head.replace(&unsigned, &ours));
        assert_eq!(judge(&head, BODY), Ok(()), "{name}");
        assert!(judge(&head, b"").is_err(), "{name}");
    }
}

proptest! {
    /// Two implementations of the canonical request agree on whatever a client may send.
    #[test]
    fn both_implementations_agree(
        path in "(/[A-Za-z0-9:%~._!$&'()*,;=@-]{0,12}){0,6}/?",
        query in "([a-zA-Z]{1,4}(=[a-zA-Z0-9%+/:~-]{0,8})?(&|&&)?){0,5}",
        value in "[ -~]{0,30}",
        session: bool,
        presigned: bool,
    ) {
        let target = if query.is_empty() { format!("/{path}") } else { format!("/{path}?{query}") };
        let mut draft = Draft::new(&target).with(&[("x-value", &value), ("user-agent", "signed/1.0")]);
        draft.unsigned.clear();
        draft.session = session;
        draft.expires = presigned.then_some(60);
        let head = draft.head();
        let (theirs, ours) = both(&head, BODY);
        if String::from_utf8(percent::decode(&query)).is_ok() {
            prop_assert_eq!(theirs, Some(ours));
            prop_assert_eq!(judge(&head, BODY), Ok(()));
        } else {
            prop_assert_eq!(theirs, None);
        }
    }

    /// No head makes the judge panic.
    #[test]
    fn no_head_panics(head in "[ -~\r\n]{0,300}", tail in proptest::collection::vec(any::<u8>(), 0..60)) {
        let wild = [head.as_bytes(), &tail].concat();
        drop(judge(&wild, b""));
        let almost = [b"POST /a?X-Amz-Signature=1 HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 ".as_slice(), &wild, b"\r\n\r\n"].concat();
        drop(judge(&almost, b""));
    }
}
