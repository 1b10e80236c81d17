//! What is sent on is what was received minus the named edits.

use bytes::BytesMut;

use super::forward::{EditError, RequestEdits, request_head, response_head};
use super::head::{HeadLimits, RequestHead, ResponseHead};

fn forward(text: &str, edits: RequestEdits<'_>, signed: &[&str]) -> Result<String, EditError> {
    let head = RequestHead::take(&mut BytesMut::from(text.as_bytes()), &HeadLimits::default())
        .unwrap()
        .unwrap();
    let mut out = Vec::new();
    request_head(&head, edits, &|name| signed.contains(&name), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn nothing_to_edit_means_nothing_changes() {
    let text = "POST //model/../a%3a0?b=%20&a HTTP/1.1\r\nhOsT:h\r\nX-Dup: 1\r\nx-dup:  2 \r\nEmpty:\r\nExpect: 100-continue\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        forward(text, RequestEdits::default(), &["host"]).unwrap(),
        text
    );
}

#[test]
fn lines_for_one_hop_and_for_proxies_are_dropped() {
    let text = "GET https://h/p HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: Basic x\r\nx-mine: 1\r\nKept: yes\r\n\r\n";
    let edits = RequestEdits {
        target: Some("/p"),
        host: None,
    };
    assert_eq!(
        forward(text, edits, &["host"]).unwrap(),
        "GET /p HTTP/1.1\r\nHost: h\r\nKept: yes\r\n\r\n"
    );
}

#[test]
fn no_line_for_one_hop_or_for_a_proxy_gets_through_in_either_direction() {
    for name in [
        "Connection",
        "Proxy-Connection",
        "Keep-Alive",
        "TE",
        "Upgrade",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
    ] {
        // Nobody names it in Connection.
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{name}: x\r\n\r\n");
        let kept = forward(&text, RequestEdits::default(), &[]).unwrap();
        assert_eq!(kept, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "{name}");
        let text = format!("HTTP/1.1 200 OK\r\nDate: x\r\n{name}: x\r\n\r\n");
        let head = ResponseHead::take(&mut BytesMut::from(&*text), &HeadLimits::default());
        let mut out = Vec::new();
        response_head(&head.unwrap().unwrap(), &mut out).unwrap();
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nDate: x\r\n\r\n", "{name}");
    }
}

#[test]
fn a_signed_line_is_never_dropped() {
    let rows = [
        ("Connection: close\r\n", "connection"),
        ("TE: trailers\r\n", "te"),
        ("Connection: x-amz-date\r\nX-Amz-Date: 1\r\n", "x-amz-date"),
        ("Proxy-Authorization: x\r\n", "proxy-authorization"),
    ];
    for (line, name) in rows {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n");
        let refused = forward(&text, RequestEdits::default(), &[name]);
        assert_eq!(
            refused,
            Err(EditError::SignedHopByHop(name.to_owned())),
            "{line:?}"
        );
    }
}

#[test]
fn connection_may_not_name_the_message_away() {
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Content-Type",
        "content-encoding",
        "authorization",
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, {name}\r\n\r\n");
        let want = Err(EditError::ConnectionNames(name.to_ascii_lowercase()));
        assert_eq!(forward(&text, RequestEdits::default(), &[]), want);
    }
}

#[test]
fn the_target_keeps_method_and_version_and_a_host_its_name() {
    let text = "PoSt /service/x/m HTTP/1.0\r\nhost: 127.0.0.1:5380\r\n\r\n";
    let edits = RequestEdits {
        target: Some("/m"),
        host: Some("aws"),
    };
    assert_eq!(
        forward(text, edits, &[]).unwrap(),
        "PoSt /m HTTP/1.0\r\nhost: aws\r\n\r\n"
    );
}

#[test]
fn responses_lose_hop_by_hop_lines_only() {
    let text = "HTTP/1.1 200  odd reason\r\nDate: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nset-cookie: a\r\nset-cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = ResponseHead::take(&mut BytesMut::from(text.as_bytes()), &HeadLimits::default())
        .unwrap()
        .unwrap();
    let mut out = Vec::new();
    response_head(&head, &mut out).unwrap();
    let want = "HTTP/1.1 200  odd reason\r\nDate: x\r\nset-cookie: a\r\nset-cookie: b\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), want);
}
