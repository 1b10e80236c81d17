//! Credentials as they turn up in bodies, and what looks like one and is none.

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

use super::body::{MARKS, Read, body, secrets_of};

/// As long as a secret access key.
const SECRET: &str = "cAnArY/K7MDENG+bPxRfiCYEXAMPLEKEY0123456";

fn masked(text: &str) -> String {
    body(text.as_bytes()).map_or_else(|| text.to_owned(), |out| String::from_utf8(out).unwrap())
}

/// Bodies with `@` for the secret, and what is left of them.
#[rustfmt::skip]
const ROWS: &[(&str, &str)] = &[
    // JSON, and JSON in JSON, and in that.
    (r#"{"SecretAccessKey":"@","a":1}"#, r#"{"SecretAccessKey":"***","a":1}"#),
    (r#"{"secretAccessKey" : "@"}"#, r#"{"secretAccessKey" : "***"}"#),
    (r#"{"text":"{\"SessionToken\":\"@\"}"}"#, r#"{"text":"{\"SessionToken\":\"***\"}"}"#),
    (r#"{"a":"{\\\"sessionToken\\\": \\\"@\\\"}"}"#, r#"{"a":"{\\\"sessionToken\\\": \\\"***\\\"}"}"#),
    ("{'SessionToken': '@'}", "{'SessionToken': '***'}"),
    (r#"{"access_token":["@"]}"#, r#"{"access_token":["***"]}"#),
    // XML, forms, shells, configuration files.
    ("<SecretAccessKey>@</SecretAccessKey>", "<SecretAccessKey>***</SecretAccessKey>"),
    ("a=b&X-Amz-Security-Token=@&c=d", "a=b&X-Amz-Security-Token=***&c=d"),
    ("x=%22SessionToken%22%3A%20%22@%22", "x=%22SessionToken%22%3A%20%22***"),
    ("export AWS_SECRET_ACCESS_KEY=@\nexport A=b", "export AWS_SECRET_ACCESS_KEY=***\nexport A=b"),
    ("aws_session_token = @", "aws_session_token = ***"),
    ("AWS_BEARER_TOKEN_BEDROCK='@'", "AWS_BEARER_TOKEN_BEDROCK='***'"),
    (":client_secret => \"@\"", ":client_secret => \"***\""),
    ("https://h/?X-Amz-Signature=@&a", "https://h/?X-Amz-Signature=***&a"),
    // Headers, as AWS repeats them, as curl takes them, as programs write them.
    (r"'POST\n/\nx-amz-security-token:@\n\nhost'", r"'POST\n/\nx-amz-security-token:***\n\nhost'"),
    ("Authorization: Bearer @\r\n", "Authorization: Bearer ***\r\n"),
    ("-H 'authorization: @'", "-H 'authorization: ***'"),
    (r#"{"Authorization": "Basic @"}"#, r#"{"Authorization": "Basic ***"}"#),
    ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=@", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=***"),
    ("400;chunk-signature=@\r\n", "400;chunk-signature=***\r\n"),
    ("X-API-KEY: @", "X-API-KEY: ***"),
    // Keys that are known by their form.
    ("it is bedrock-api-key-@!", "it is ***!"),
    (r#"{"k":"ABSK@"}"#, r#"{"k":"***"}"#),
    ("token IQoJb3JpZ2luX2Vj@ ", "token *** "),
    ("FwoGZXIvYXdzE@", "***"),
    // Escapes that JSON allows in a value.
    (r#"{"SessionToken":"a\/b\u003d@\u002b"}"#, r#"{"SessionToken":"***"}"#),
    // Private keys.
    ("-----BEGIN PRIVATE KEY-----\n@\n@\n-----END PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\n"),
    (r#"{"k":"-----BEGIN RSA PRIVATE KEY-----\n@\n-----END RSA PRIVATE KEY-----"}"#, r#"{"k":"-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"}"#),
    ("-----BEGIN EC PRIVATE KEY-----\n@", "-----BEGIN EC PRIVATE KEY-----***"),
];

#[test]
fn credentials_are_masked_in_every_notation() {
    for (sent, kept) in ROWS {
        let sent = sent.replace('@', SECRET);
        assert_eq!(masked(&sent), *kept, "{sent}");
        let again = masked(kept);
        assert_eq!(again, *kept, "masking what is masked");
    }
}

#[test]
fn the_password_of_a_url_is_masked_with_its_user() {
    for (sent, kept) in [
        ("see https://me:pw1@h/x.", "see https://***@h/x."),
        (
            r#"{"u":"postgres:\/\/me:pw@h"}"#,
            r#"{"u":"postgres:\/\/***@h"}"#,
        ),
        ("'redis://:pw@h:6379/0'", "'redis://***@h:6379/0'"),
    ] {
        assert_eq!(masked(sent), kept);
    }
}

#[test]
fn what_is_no_credential_stays() {
    for text in [
        "",
        r#"{"messages":[{"role":"user","content":[{"text":"what is a SessionToken, and a Secret_Access_Key?"}]}]}"#,
        r#"{"sessionToken":null,"SecretAccessKey":"","access_token":"string","client_secret":true}"#,
        // What a model signs its thoughts with is needed to go on with the conversation.
        r#"{"reasoningContent":{"reasoningText":{"text":"hm","signature":"EqQBCgIYAhIMlongbase64signature0123456789=="}}}"#,
        r#"{"sessionId":"01234567-89ab-cdef-0123-456789abcdef","nextToken":"0123456789abcdef0123456789abcdef"}"#,
        r#"{"usage":{"inputTokens":12345678901234567890}}"#,
        "https://h/a:b@c, https://me@h/, https://{user}:{password}@h/, https://me:@h",
        "the authorization code of this session, as it was signed",
        "-----BEGIN CERTIFICATE-----\nMIIB0123456789abcdef\n-----END CERTIFICATE-----",
        "the words PRIVATE KEY-----0123456789abcdef alone",
        // Base64 of something else, in which a key seems to begin.
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUABSK0123456789abcdef0123456789abcdef0123456789abcdef",
        "absk0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
        "ABSK is a word, bedrock-api-key- a prefix",
    ] {
        assert_eq!(body(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_value_that_was_cut_is_masked_to_its_end() {
    assert_eq!(
        masked(&format!(r#"{{"SessionToken":"{SECRET}"#)),
        r#"{"SessionToken":"***"#
    );
}

/// One that was read again for each name in it would take minutes here.
#[test]
fn a_value_that_is_full_of_names_is_read_once() {
    for (piece, kept) in [
        ("sessiontoken=", "sessiontoken=***"),
        ("=ABSK", "=***"),
        ("=ABSKsessiontoken=", "=***"),
        (
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----***",
        ),
    ] {
        assert_eq!(masked(&piece.repeat(20_000)), kept);
    }
}

#[test]
fn frames_of_an_event_stream_stay_frames() {
    let message = |secret: &str| {
        Message::new(format!(r#"{{"SessionToken":"{secret}"}}"#).into_bytes()).add_header(
            Header::new(
                ":chunk-signature",
                HeaderValue::ByteArray(secret.as_bytes().to_vec().into()),
            ),
        )
    };
    let mut stream = Vec::new();
    for _ in 0..2 {
        write_message_to(&message(SECRET), &mut stream).unwrap();
    }
    let whole = stream.len();
    let cut = whole - 7;
    for length in [whole, cut] {
        let kept = body(&stream[..length]).unwrap();
        assert_eq!(kept.len(), length);
        assert!(memchr::memmem::find(&kept, SECRET.as_bytes()).is_none());
        let mut rest = kept.as_slice();
        let stars = "*".repeat(SECRET.len());
        for _ in 0..length * 2 / whole {
            assert_eq!(read_message_from(&mut rest).unwrap(), message(&stars));
        }
    }
}

proptest! {
    #[test]
    fn no_body_panics(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(b"SessionToken".to_vec()),
                Just(b"authorization: bearer ".to_vec()),
                Just(b":chunk-signature\x06".to_vec()),
                Just(b"-----BEGIN PRIVATE KEY-----".to_vec()),
                Just(b"%22%3A".to_vec()),
                Just(b"\\u00".to_vec()),
                Just(b"0123456789abcdef0123".to_vec()),
                prop::collection::vec(any::<u8>(), 0..20),
            ],
            0..20,
        ),
    ) {
        let bytes = pieces.concat();
        if let Some(kept) = body(&bytes) {
            // A mask may be longer than what it hides.
            prop_assert!(kept.len() <= bytes.len() + 3 * pieces.len());
        }
    }

    #[test]
    fn what_was_read_before_changes_no_secret(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "sessiontoken=", "session_token: ", "Authorization: Bearer ", "signature=", "=ABSK", "/FwoGZXIvYXdz",
                "bedrock-api-key-", "-----BEGIN PRIVATE KEY-----", "-----END", "%3D", "\\/", "\\u002b", "\\u0020", "\\", " ",
                "0123456789abcdef0123456789abcdef0123456789", "=", ".", "\"",
            ]),
            0..40,
        ),
    ) {
        let bytes = pieces.concat().into_bytes();
        let mut anew = Vec::new();
        MARKS.as_ref().unwrap().find(&bytes, |mark, found| {
            anew.extend(mark.secret(&bytes, found, &mut Read::default()));
        });
        prop_assert_eq!(secrets_of(&bytes), anew);
    }

    #[test]
    fn no_secret_survives_its_name(
        name in prop::sample::select(vec![
            "SecretAccessKey", "aws_secret_access_key", "SessionToken", "X-Amz-Security-Token", "x-api-key",
            "Authorization", "AWS_BEARER_TOKEN_BEDROCK", "access_token",
        ]),
        upper in any::<bool>(),
        between in prop::sample::select(vec!["=", ":", ": ", "\":\"", "\\\": \\\"", "' : '", ">", "%3D", "=>\""]),
        before in "[ -~]{0,20}",
        secret in "[A-Za-z0-9+/]{24,60}={0,2}",
    ) {
        let name = if upper { name.to_uppercase() } else { name.to_owned() };
        let kept = masked(&format!("{before}\n{name}{between}{secret}\"\n"));
        prop_assert!(!kept.contains(&secret), "{kept}");
    }
}

#[test]
fn every_name_of_a_secret_is_known_in_bodies() {
    let names = "secretaccesskey secret_access_key secret-access-key sessiontoken session_token session-token \
        securitytoken security_token security-token x-amz-signature x-api-key bearer_token_bedrock samlassertion \
        webidentitytoken access_token accesstoken refresh_token refreshtoken client_secret clientsecret";
    for name in names.split_ascii_whitespace() {
        for name in [name.to_owned(), name.to_ascii_uppercase()] {
            let sent = format!(r#"{{"{name}": "c4n4ry00c4n4ry00"}}"#);
            let masked = body(sent.as_bytes()).map(|masked| String::from_utf8(masked).unwrap());
            let expected = format!(r#"{{"{name}": "***"}}"#);
            assert_eq!(masked.as_deref(), Some(expected.as_str()), "{name}");
        }
    }
}
