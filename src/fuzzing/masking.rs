//! Masks: a secret that was planted, whatever stands around it and however it is spelled, is nowhere in what is kept.

use std::ops::Range;

use bytes::BytesMut;

use super::{parts, steered, strict};
use crate::aws::mask;
use crate::wire::http1::{HeadLimits, RequestHead, ResponseHead};

const SECRET: &str = "c4n4ryThatMustNotSurvive";

/// Parameters that carry a secret, as clients write them.
const PARAMETERS: [&str; 6] = [
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "Signature",
    "x-amz-session-token",
    "access_token",
    "X-Api-Key",
];

/// Fields that carry a secret, and what may stand before it in them.
const FIELDS: [(&str, &str); 12] = [
    ("Authorization", "Bearer "),
    ("Authorization", ""),
    (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE000000001/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=",
    ),
    ("AUTHORIZATION", "aws4-ecdsa-p256-sha256 Signature="),
    ("Proxy-Authorization", "Basic "),
    ("X-Amz-Security-Token", ""),
    ("x-api-key", ""),
    ("Cookie", "a=b; "),
    ("X-Amz-S3session-Token", ""),
    ("x-amz-server-side-encryption-customer-key", ""),
    ("Referer", "https://user:"),
    ("Location", "https://h/?X-Amz-Signature="),
];

/// Heads: a planted secret is gone, every field-line is still there, and the head is still one.
pub(super) fn masked_head(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let [before, after, lines] = parts(bytes);
    if [before, after, lines]
        .iter()
        .any(|part| memchr::memmem::find(part, SECRET.as_bytes()).is_some())
    {
        return;
    }
    let (name, prefix) = FIELDS[usize::from(steer) % FIELDS.len()];
    let (before, mut after) = (text(before), text(after));
    if name == "Referer" {
        // Whatever else is in the userinfo, it ends here.
        after = [b"@h/", &after[..]].concat();
    } else if name == "Location" {
        after = [b"&", &after[..]].concat();
    }
    // What stands before a secret may not turn it into something public.
    let before = if prefix.ends_with("Signature=") {
        Vec::new()
    } else {
        before
    };
    let field = [
        name.as_bytes(),
        b": ",
        prefix.as_bytes(),
        &word(&before),
        SECRET.as_bytes(),
        &after,
        b"\r\n",
    ]
    .concat();
    let rest = [&field, lines, b"\r\n\r\n"].concat();
    let head = [
        b"POST /model/x/invoke?a=b HTTP/1.1\r\nHost: h\r\n",
        &rest[..],
    ]
    .concat();
    let limits = HeadLimits::default();
    if let Ok(Some(head)) = RequestHead::take(&mut BytesMut::from(&head[..]), &limits) {
        let (received, _) = strict::head(head.fields().bytes(), strict::request_line)
            .unwrap()
            .unwrap();
        check(&received, &mask::request_head(&head), strict::request_line);
    }
    let head = [b"HTTP/1.1 200 OK\r\nDate: x\r\n", &rest[..]].concat();
    if let Ok(Some(head)) = ResponseHead::take(&mut BytesMut::from(&head[..]), &limits) {
        let (received, _) = strict::head(head.fields().bytes(), strict::status_line)
            .unwrap()
            .unwrap();
        check(&received, &mask::response_head(&head), strict::status_line);
    }
}

fn check(received: &strict::Head<'_>, masked: &[u8], start: fn(&[u8]) -> Option<[&[u8]; 3]>) {
    assert!(
        memchr::memmem::find(masked, SECRET.as_bytes()).is_none(),
        "a secret survives"
    );
    let (shown, rest) = strict::head(masked, start)
        .expect("still a head")
        .expect("still whole");
    assert!(rest.is_empty());
    let names = |head: &strict::Head<'_>| {
        head.lines
            .iter()
            .map(|line| line.name.to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&shown), names(received));
}

/// Targets: a planted secret is gone, however deep its parameter is escaped and whatever is around it.
pub(super) fn masked_target(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let [before, after] = parts(bytes);
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return;
    };
    if before.contains(SECRET) || after.contains(SECRET) {
        return;
    }
    let name = PARAMETERS[usize::from(steer) % PARAMETERS.len()];
    let parameter = escaped(&format!("{name}={SECRET}"), steer / 32 % 4);
    let target = match steer % 3 {
        0 => format!("/{before}&{parameter}&{after}"),
        1 => format!("https://h/{before}?{parameter}&{after}"),
        _ => format!(
            "https://{}:{SECRET}@h/{after}",
            before.replace(['/', '?', '#', '"', '<', '>', ' ', '\t'], "")
        ),
    };
    let masked = mask::target(&target);
    assert!(!masked.contains(SECRET), "a secret survives in {masked:?}");
    let shown = mask::printable(bytes);
    assert!(shown.chars().count() <= 256 && !shown.contains(char::is_control));
}

/// Bodies: the words that lead to credentials are found where comparing each of them at each place finds them, and what a
/// name announces is gone, whatever stands before it.
pub(super) fn masked_body(data: &[u8]) {
    let words = mask::sought_words();
    // Octets that are no ASCII stand for words and parts of words, so that these soon meet.
    let mut body = Vec::new();
    for octet in data {
        let word = words[usize::from(*octet) % words.len()];
        match octet {
            ..0x80 => body.push(*octet),
            0x80..0xc0 => body.extend_from_slice(word),
            0xc0..0xe0 => body.extend(&word.to_ascii_uppercase()[word.len() / 2..]),
            0xe0.. => body.extend(&word[..word.len() / 2]),
        }
    }
    for body in [data, &body] {
        assert_eq!(mask::words_of(body), one_by_one(&words, body));
    }
    if memchr::memmem::find(&body, SECRET.as_bytes()).is_some() {
        return;
    }
    body.extend(format!("\n\"SessionToken\": \"{SECRET}\"").as_bytes());
    let masked = mask::body(&body).expect("there is a secret");
    assert!(memchr::memmem::find(&masked, SECRET.as_bytes()).is_none());
}

fn one_by_one(words: &[&[u8]], bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let stands_here = |word: &&&[u8]| {
            let here = bytes[at..].get(..word.len());
            here.is_some_and(|here| here.eq_ignore_ascii_case(word))
        };
        match words.iter().find(stands_here) {
            Some(word) => {
                found.push(at..at + word.len());
                at += word.len();
            }
            None => at += 1,
        }
    }
    found
}

/// `text` with everything but letters and digits escaped so many times.
fn escaped(text: &str, times: u8) -> String {
    (0..times).fold(text.to_owned(), |text, _| {
        let escape = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_string()
            } else {
                format!("%{:02X}", u32::from(c))
            }
        };
        text.chars().map(escape).collect()
    })
}

/// What may stand in a field value.
fn text(bytes: &[u8]) -> Vec<u8> {
    let fits = |octet: &u8| matches!(octet, b' '..=b'~' | 0x80..);
    bytes.iter().copied().filter(fits).collect()
}

/// Of that, what ends no part of a URL and begins none.
fn word(bytes: &[u8]) -> Vec<u8> {
    let fits = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~!$'()*+;:%".contains(octet);
    bytes.iter().copied().filter(fits).collect()
}
