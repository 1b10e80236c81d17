//! Heads: what is taken, what is refused, and that neither depends on how the bytes arrive.

use bytes::BytesMut;
use proptest::prelude::*;

use super::head::{HeadError, HeadLimits, RequestHead, ResponseHead, Version};

fn request(bytes: &[u8]) -> Result<Option<RequestHead>, HeadError> {
    RequestHead::take(&mut BytesMut::from(bytes), &HeadLimits::default())
}

#[test]
fn a_head_keeps_every_byte_and_finds_every_line() {
    let bytes = b"POST /model/a%3A0/invoke?x=%2f HTTP/1.1\r\nHOST:h\r\nX-Empty:\r\nx-dup: a \r\nX-Dup:\tb\r\nx-obs: \xff\r\n\r\nbody";
    let mut buffer = BytesMut::from(&bytes[..]);
    let head = RequestHead::take(&mut buffer, &HeadLimits::default())
        .unwrap()
        .unwrap();
    assert_eq!(buffer, &b"body"[..]);
    assert_eq!(head.fields().bytes(), &bytes[..bytes.len() - 4]);
    assert_eq!(
        (head.method(), head.target()),
        ("POST", "/model/a%3A0/invoke?x=%2f")
    );
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.fields().first("host"), Some(&b"h"[..]));
    assert_eq!(head.fields().first("x-empty"), Some(&b""[..]));
    assert_eq!(
        head.fields().all("x-dup").collect::<Vec<_>>(),
        [&b"a"[..], b"b"]
    );
    let rejoined: Vec<u8> = head
        .fields()
        .iter()
        .flat_map(|line| line.raw.to_vec())
        .collect();
    assert_eq!(
        [head.fields().start_line(), &rejoined, b"\r\n"].concat(),
        &bytes[..bytes.len() - 4]
    );
}

#[test]
fn requests_that_two_readers_could_read_differently_are_refused() {
    let rows: &[(&str, &[u8])] = &[
        (
            "bare LF after the request-line",
            b"GET / HTTP/1.1\nHost: h\r\n\r\n",
        ),
        (
            "bare LF after a field-line",
            b"GET / HTTP/1.1\r\nHost: h\n\r\n",
        ),
        (
            "bare LF as the empty line",
            b"GET / HTTP/1.1\r\nHost: h\r\n\n",
        ),
        (
            "bare CR in a value",
            b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
        ),
        ("NUL in a value", b"GET / HTTP/1.1\r\nHost: h\0\r\n\r\n"),
        ("DEL in a value", b"GET / HTTP/1.1\r\nHost: h\x7f\r\n\r\n"),
        ("obs-fold", b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n"),
        (
            "whitespace before the first field",
            b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        ),
        (
            "space before the colon",
            b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        ),
        (
            "tab before the colon",
            b"GET / HTTP/1.1\r\nHost\t: h\r\n\r\n",
        ),
        ("no colon", b"GET / HTTP/1.1\r\nHost\r\n\r\n"),
        ("empty field name", b"GET / HTTP/1.1\r\n: h\r\n\r\n"),
        (
            "non-token field name",
            b"GET / HTTP/1.1\r\nHo(st: h\r\n\r\n",
        ),
        ("two spaces in the request-line", b"GET  / HTTP/1.1\r\n\r\n"),
        ("tab in the request-line", b"GET\t/ HTTP/1.1\r\n\r\n"),
        ("space in the target", b"GET /a b HTTP/1.1\r\n\r\n"),
        ("HTTP/0.9", b"GET /\r\n\r\n"),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\n\r\n"),
        ("HTTP/2.0", b"GET / HTTP/2.0\r\n\r\n"),
        ("lower-case version", b"GET / http/1.1\r\n\r\n"),
        ("trailing space", b"GET / HTTP/1.1 \r\n\r\n"),
        ("leading space", b" GET / HTTP/1.1\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00"),
    ];
    for (name, bytes) in rows {
        assert!(request(bytes).is_err(), "{name}: {:?}", request(bytes));
    }
}

#[test]
fn every_control_octet_is_named_with_its_place_wherever_it_stands() {
    let controls = (0..b' ').chain([0x7f]);
    for octet in controls.filter(|octet| !b"\t\n".contains(octet)) {
        for (before, after) in [
            ("GET /", " HTTP/1.1\r\n"),
            ("GET / HTTP/1.1\r\na", ": x\r\n"),
            ("GET / HTTP/1.1\r\na: ", "x\r\n"),
            ("GET / HTTP/1.1\r\na: x", "y\r\n"),
        ] {
            let at = before.len();
            let text = [before.as_bytes(), &[octet], after.as_bytes(), b"\r\n"].concat();
            let expected = if octet == b'\r' {
                HeadError::BareCr { at }
            } else {
                HeadError::Control { octet, at }
            };
            assert_eq!(request(&text).unwrap_err(), expected, "{text:?}");
        }
    }
}

#[test]
fn a_folded_line_and_a_blank_before_a_colon_are_called_what_they_are() {
    for (line, expected) in [
        (" folded", HeadError::ObsFold { at: 22 }),
        ("\tfolded", HeadError::ObsFold { at: 22 }),
        ("b : c", HeadError::SpaceBeforeColon { at: 22 }),
        ("b\t: c", HeadError::SpaceBeforeColon { at: 22 }),
    ] {
        let text = format!("GET / HTTP/1.1\r\na: x\r\n{line}\r\n\r\n");
        assert_eq!(request(text.as_bytes()).unwrap_err(), expected, "{line:?}");
    }
}

#[test]
fn a_start_line_is_judged_before_anything_follows_it() {
    for line in [
        "GET /",
        "GET / HTTP/0.9",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET",
    ] {
        let taken = request(format!("{line}\r\n").as_bytes());
        assert!(taken.is_err(), "{line:?}: {taken:?}");
    }
    let response =
        |line: &str| ResponseHead::take(&mut BytesMut::from(line), &HeadLimits::default());
    for line in [
        "SSH-2.0-x\r\n",
        "HTTP/2 200\r\n",
        "HTTP/1.1 2\r\n",
        "<html>\r\n",
    ] {
        assert!(response(line).is_err(), "{line:?}");
    }
    assert!(response("HTTP/1.1 200\r\n").unwrap().is_none());
    assert!(request(b"GET / HTTP/1.1\r\n").unwrap().is_none());
}

#[test]
fn leading_empty_lines_are_dropped() {
    let head = request(b"\r\n\r\nGET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
    assert_eq!(head.fields().bytes(), &b"GET / HTTP/1.0\r\n\r\n"[..]);
    assert!(request(b"\r").unwrap().is_none());
}

#[test]
fn limits_are_spoken_before_the_head_is_complete() {
    let limits = HeadLimits {
        bytes: 64,
        field_lines: 2,
    };
    let take = |bytes: &[u8]| RequestHead::take(&mut BytesMut::from(bytes), &limits);
    assert_eq!(
        take(&[b'A'; 64]).unwrap_err(),
        HeadError::TooLong { limit: 64 }
    );
    let three = b"GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n";
    assert_eq!(
        take(three).unwrap_err(),
        HeadError::TooManyFields { limit: 2 }
    );
    assert_eq!(take(three).unwrap_err().status(), 431);
    // Length before content, so that it does not matter how much has come.
    let long = [
        b"GET / HTTP/1.1\r\na: ".to_vec(),
        vec![b'b'; 64],
        b"\0\n".to_vec(),
    ]
    .concat();
    for end in 64..=long.len() {
        assert_eq!(
            take(&long[..end]).unwrap_err(),
            HeadError::TooLong { limit: 64 },
            "{end} octets"
        );
    }
    let mut many = b"GET / HTTP/1.1\r\n".to_vec();
    (0..200).for_each(|i| many.extend_from_slice(format!("f{i}: x\r\n").as_bytes()));
    many.extend_from_slice(b"\r\n");
    assert!(matches!(
        request(&many),
        Err(HeadError::TooManyFields { .. })
    ));
}

#[test]
fn responses_are_held_to_the_same_rules() {
    let take =
        |bytes: &[u8]| ResponseHead::take(&mut BytesMut::from(bytes), &HeadLimits::default());
    let head = take(b"HTTP/1.1 200 \r\nA: b\r\n\r\n").unwrap().unwrap();
    assert_eq!(
        (head.status(), head.fields().start_line()),
        (200, &b"HTTP/1.1 200 \r\n"[..])
    );
    assert_eq!(
        take(b"HTTP/1.0 404\r\n\r\n").unwrap().unwrap().status(),
        404
    );
    for bad in [
        &b"HTTP/1.1 099 x\r\n\r\n"[..],
        b"HTTP/1.1 600 x\r\n\r\n",
        b"HTTP/1.1 20 x\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"nonsense\r\n\r\n",
    ] {
        assert!(take(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn debug_shows_no_values() {
    let head = request(b"GET /secret HTTP/1.1\r\nAuthorization: secret\r\n\r\n")
        .unwrap()
        .unwrap();
    assert!(!format!("{head:?}").contains("secret"));
}

#[test]
fn every_cut_of_the_input_gives_the_same_head() {
    let bytes = b"POST https://h/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    for cut in 0..bytes.len() {
        let mut buffer = BytesMut::from(&bytes[..cut]);
        let first = RequestHead::take(&mut buffer, &HeadLimits::default()).unwrap();
        assert_eq!(first.is_some(), cut >= bytes.len() - 3, "cut at {cut}");
        if first.is_none() {
            buffer.extend_from_slice(&bytes[cut..]);
            let head = RequestHead::take(&mut buffer, &HeadLimits::default())
                .unwrap()
                .unwrap();
            assert_eq!(
                head.fields().bytes(),
                &bytes[..bytes.len() - 3],
                "cut at {cut}"
            );
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let limits = HeadLimits { bytes: 256, field_lines: 8 };
        if let Ok(Some(head)) = RequestHead::take(&mut BytesMut::from(&bytes[..]), &limits) {
            prop_assert!(!head.method().is_empty() && !head.target().is_empty());
        }
        if let Ok(Some(head)) = ResponseHead::take(&mut BytesMut::from(&bytes[..]), &limits) {
            prop_assert!((100..600).contains(&head.status()));
        }
    }

    #[test]
    fn what_is_taken_is_what_was_sent(name in "[a-zA-Z-]{1,12}", value in "[ -~]{0,40}", path in "/[!-~]{0,40}") {
        let text = format!("POST {path} HTTP/1.1\r\n{name}:{value}\r\n\r\n");
        let head = request(text.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(head.fields().bytes(), text.as_bytes());
        prop_assert_eq!(head.target(), path);
        prop_assert_eq!(head.fields().first(&name).unwrap(), value.trim().as_bytes());
    }
}
