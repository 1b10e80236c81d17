//! Messages that two readers could read differently: heads that must not be forwarded, and bodies whose head already was.

/// What a row is answered with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Malformed,
    Misdirected,
    TooLarge,
}

pub(super) use Verdict::{Malformed, Misdirected, TooLarge};

/// Requests; `{target}` and `{host}` are filled in for the door. What stands behind the head is there to be smuggled.
pub(super) const REQUESTS: &[(Verdict, &str)] = &[
    // Length: two ways to tell it, or none that is certain.
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: +5\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: -5\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0x5\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5 5\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5;\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1e1\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: \"5\"\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: \u{ff15}\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length:\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
    ),
    // Coding: anything but one `chunked`.
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\u{a0}\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.0\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    // Lines: where one ends and what its name is.
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length\t: 5\r\n\r\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: {host}\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\nHost: {host}\nContent-Length: 5\n\nhello",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: y\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: y\n\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: y\r\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX\0Y: z\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: a\x7fb\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX: a\x1bb\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nno colon\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\n: no name\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX(y): z\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nX\u{e9}: z\r\n\r\n",
    ),
    // The request-line.
    (Malformed, " POST {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST  {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST\t{target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    (
        Malformed,
        "POST {target} /more HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    (Malformed, "POST {target}  HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST {target}\tHTTP/1.1\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST {target} HTTP/1.1 \r\nHost: {host}\r\n\r\n"),
    (
        Malformed,
        "POST {target}\0 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    (Malformed, "POST {target}\r\n\r\n"),
    (Malformed, "POST {target} HTTP/1.2\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST {target} HTTP/2.0\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST {target} HTTP/1\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST {target} http/1.1\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST {target} HTTP/1.10\r\nHost: {host}\r\n\r\n"),
    (Malformed, "P(ST {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    (
        Malformed,
        "HTTP/1.1 200 OK\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n",
    ),
    // Who it is for.
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nHost: other.example\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}, other.example\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host} other.example\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: user@{host}\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}/x\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}:x\r\n\r\n",
    ),
    (
        Malformed,
        "POST {target} HTTP/1.1\r\nHost: {host}:443:443\r\n\r\n",
    ),
    (Malformed, "POST {target} HTTP/1.1\r\nHost:\r\n\r\n"),
    (
        Malformed,
        "POST https://user:pass@{host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    (
        Malformed,
        "POST https://{host}:99999/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    (
        Malformed,
        "POST https:///x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    (
        Malformed,
        "POST ftp://{host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    (
        Malformed,
        "POST {host}:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ),
    (Malformed, "POST * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    (Malformed, "POST x/y HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    // What a line for one hop would take away.
    (
        Misdirected,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: host\r\n\r\n",
    ),
    (
        Misdirected,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close, Content-Length\r\nContent-Length: 5\r\n\r\nhello",
    ),
    (
        Misdirected,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Misdirected,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Authorization\r\n\r\n",
    ),
    (
        Misdirected,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: x\r\nAuthorization: AWS4-HMAC-SHA256 Credential=\
         AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=connection;host, Signature=0\r\n\r\n",
    ),
    (
        Misdirected,
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nConnection: x-amz-date\r\nX-Amz-Date: 20261122T000000Z\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=0\r\n\r\n",
    ),
];

/// What is wrong comes only in the body, when the head is with the upstream already.
pub(super) const BODIES: &[&str] = &[
    "x\r\n",
    "\r\n",
    "-1\r\n",
    "+1\r\nx\r\n",
    "0x1\r\nx\r\n",
    "1\nx\r\n",
    "1\rx",
    " 1\r\nx\r\n",
    "1 x\r\n",
    "1\r\nxy\r\n",
    "1\r\nx\n",
    "1\r\nx\r\r\n",
    "1;\0\r\nx\r\n",
    "1;a\nb\r\nx\r\n",
    "fffffffffffffffff\r\n",
    "00000000000000001\r\nx\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\nHost: other.example\r\n\r\n",
    "0\r\nAuthorization: x\r\n\r\n",
    "0\r\nno colon\r\n\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\nX: y\n\r\n",
    "0\r\n\n",
];
