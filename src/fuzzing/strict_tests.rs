//! The judge is judged: messages of whose form and length RFC 9112 leaves no doubt.

use super::strict::{Read, request, response};

#[test]
fn whole_messages_end_where_they_end() {
    let rows: &[(&[u8], &[u8], &[u8])] = &[
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\nNEXT", b"", b"NEXT"),
        (b"\r\n\r\nGET / HTTP/1.0\r\n\r\n", b"", b""),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcNEXT", b"abc", b"NEXT"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n2 ;x=y\r\nab\r\n0a\r\n0123456789\r\n0\r\nT: x\r\n\r\nNEXT", b"ab0123456789", b"NEXT"),
    ];
    for (bytes, content, left) in rows {
        let Read::Whole(message, rest) = request(bytes) else {
            panic!("{}", bytes.escape_ascii());
        };
        assert_eq!((&message.content[..], rest), (*content, *left));
        assert!(!message.until_close);
    }
}

#[test]
fn responses_without_a_body_have_none() {
    for (head, method, content) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", ""),
        ("HTTP/1.1 204 \r\n\r\n", "GET", ""),
        ("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", "GET", ""),
        ("HTTP/1.1 100 Continue\r\n\r\n", "POST", ""),
        ("HTTP/1.1 200 Connected\r\n\r\n", "CONNECT", ""),
        ("HTTP/1.1 200\r\n\r\n", "GET", "abc"),
    ] {
        let bytes = format!("{head}abc");
        let Read::Whole(message, rest) = response(bytes.as_bytes(), method) else {
            panic!("{head}");
        };
        assert_eq!(message.content, content.as_bytes(), "{head}");
        assert_eq!(message.until_close, !content.is_empty());
        assert_eq!(rest, &bytes.as_bytes()[head.len() + content.len()..]);
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_malformed() {
    let heads = [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET /\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\na",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\nA",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nABC",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nA\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nA\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    ];
    for head in heads {
        assert!(
            matches!(request(head.as_bytes()), Read::Malformed(_)),
            "{head:?}"
        );
    }
}

#[test]
fn what_is_cut_is_neither_whole_nor_malformed() {
    let bytes =
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for end in 0..bytes.len() {
        assert!(matches!(request(&bytes[..end]), Read::Cut(_)), "{end}");
    }
    assert!(matches!(request(bytes), Read::Whole(_, [])));
}
