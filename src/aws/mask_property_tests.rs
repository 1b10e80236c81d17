//! Canaries in generated heads: in every place, in every spelling of a name, none survives and nothing else changes.

use proptest::prelude::*;

use super::mask::{printable, target};
use super::mask_tests::{CANARY, request, response};

/// Every way a secret is written into a request: a field-line, or a target.
fn places() -> impl Strategy<Value = (String, String)> {
    let fields = prop::sample::select(vec![
        "authorization: Bearer @",
        "authorization: @",
        "authorization: @ @",
        "authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=@",
        "authorization: AWS4-HMAC-SHA256 Signature=@,Credential=a/b",
        "authorization: AWS4-HMAC-SHA256 Credential=a/b Signature=@",
        "proxy-authorization: Basic @",
        "x-amz-security-token: @",
        "x-amz-other-token: x @ y",
        "x-api-key: @",
        "api-key: @",
        "cookie: a=b; c=@",
        "set-cookie: a=@; path=/",
        "x-amz-server-side-encryption-customer-key: @",
        "referer: https://h/p?x-amz-signature=@&b=c",
        "location: /p?a=b&x-amz-security-token=@",
        "location: https://u:@@h/p",
        "x-note: ok",
    ]);
    let targets = prop::sample::select(vec![
        "/p?x-amz-signature=@&a=b",
        "/p?a=b&x-amz-security-token=@",
        "https://h/p?x-amz-signature=@",
        "https://u:@@h/p",
        "https://@@h/p?x-amz-signature=@",
        "u:@@h:443",
        "h:443?x-amz-signature=@",
        "/p?next=https://u:@@h/?x-amz-signature=@",
        "/plain",
    ]);
    (targets, fields).prop_map(|(target, field)| (target.to_owned(), field.to_owned()))
}

/// Changes case and escapes letters of names, so that every spelling of a secret parameter comes up.
fn respell(text: &str, choices: &[u8], escape: bool) -> String {
    let mut out = String::new();
    for (character, choice) in text.chars().zip(choices.iter().cycle()) {
        match choice % 4 {
            1 => out.push(character.to_ascii_uppercase()),
            2 if escape && (character.is_ascii_lowercase() || character == '-') => {
                out.push_str(&format!("%{:02x}", u32::from(character)));
            }
            3 if escape && (character.is_ascii_lowercase() || character == '-') => {
                out.push_str(&format!("%25{:02X}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out
}

/// Lines with a secret and without, among them such as hold no sign of it but its form.
fn line() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "x-note: ok",
        "x-dots: a.b:c",
        "x-equals: a=b",
        "x-colon: v1%3A0",
        "x-long-term: ABSKcAnArY0123456789cAnArY0123456789cAnArY01",
        "x-short-term: bedrock-api-key-cAnArY0123456789cAnArY0123456789",
        "x-amz-security-token: cAnArY0123456789",
        "x-document: {\"clientSecret\": \"cAnArY0123456789\"}",
        "authorization: cAnArY0123456789",
        "host: u:cAnArY0123456789@h",
        "referer: https://h/p?x-amz-signature=cAnArY0123456789&b=c",
    ])
}

proptest! {
    #[test]
    fn a_line_is_masked_in_a_head_as_it_is_alone(lines in prop::collection::vec(line(), 1..8)) {
        let head = |lines: &[&str]| format!("POST /m HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
        let alone = |line: &str| {
            let masked = request(&head(&[line]));
            masked.lines().nth(1).unwrap_or_default().to_owned()
        };
        let masked: Vec<String> = lines.iter().map(|line| alone(line)).collect();
        let masked: Vec<&str> = masked.iter().map(String::as_str).collect();
        let together = request(&head(&lines));
        prop_assert!(!together.contains(CANARY), "{}", together);
        prop_assert_eq!(together, head(&masked));
    }

    #[test]
    fn no_canary_survives(
        (target, first) in places(),
        (_, second) in places(),
        secret in "[A-Za-z0-9+/=._~-]{0,8}",
        choices in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        // `@@` is userinfo and its end. It holds no slash, so only the canary goes there.
        let fill = |text: &str| text.replace('@', &format!("{secret}{CANARY}{secret}"));
        let plant = |text: &str| match text.split_once("@@") {
            Some((before, after)) => format!("{}{CANARY}@{}", fill(before), fill(after)),
            None => fill(text),
        };
        let spell = |text: &str| match text.split_once('?') {
            Some((path, query)) => format!("{path}?{}", respell(query, &choices, true)),
            None => text.to_owned(),
        };
        let field = |text: &str| match text.split_once(": ") {
            Some((name, value)) => format!("{}: {}", respell(name, &choices, false), spell(value)),
            None => text.to_owned(),
        };
        let target = plant(&spell(&target));
        let lines = format!("{}\r\n{}\r\n", plant(&field(&first)), plant(&field(&second)));
        let masked = request(&format!("POST {target} HTTP/1.1\r\n{lines}\r\n"));
        prop_assert!(!masked.contains(CANARY), "{}", masked);
        let masked = response(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        prop_assert!(!masked.contains(CANARY), "{}", masked);
        prop_assert!(!super::mask::target(&target).contains(CANARY));
    }

    #[test]
    fn nothing_but_secrets_changes(value in "[ -~]{0,60}") {
        prop_assume!(!value.contains(['%', '@', '=']) && !value.contains("ABSK") && !value.trim_start().starts_with('{'));
        let head = format!("GET /p HTTP/1.1\r\nX-Note:{value}\r\n\r\n");
        prop_assert_eq!(request(&head), head);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), text in any::<String>(), escapes in "[%2540=&@:/a]{0,60}") {
        let shown = printable(&bytes);
        prop_assert!(shown.chars().count() <= 256);
        prop_assert!(!shown.chars().any(char::is_control));
        let _masked = target(&text);
        let masked = target(&escapes);
        // Masking what is masked changes nothing.
        prop_assert_eq!(target(&masked), masked);
    }
}
