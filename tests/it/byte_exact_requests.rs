//! A request reaches the upstream as the bytes that were sent, minus a short list of lines meant for one hop.

use crate::support::gate::Plan;
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, Gate, RawClient, RawUpstream, assert_bytes, shown};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Client and upstream of one exchange after another, on connections that are kept.
struct Line {
    client: RawClient,
    served: Option<RawClient>,
}

impl Line {
    async fn pass(&mut self, upstream: &RawUpstream, sent: &[u8], expected: &[u8]) {
        let method = sent.split(|&octet| octet == b' ').next().unwrap();
        let method = String::from_utf8(method.to_vec()).unwrap();
        self.client.send(sent).await;
        let served = match &mut self.served {
            Some(served) => served,
            none => none.insert(upstream.accept().await),
        };
        served.expect(expected).await;
        let answer: &[u8] = if method == "HEAD" {
            b"HTTP/1.1 200 OK\r\n\r\n"
        } else {
            OK
        };
        served.send(answer).await;
        assert_bytes(
            &self.client.answer_to(&method).await.raw(),
            answer,
            &shown(sent),
        );
    }
}

/// Every door of TLS and of none, with an upstream behind it.
async fn lines(gate: &Gate) -> Vec<(Door, Line)> {
    let mut lines = Vec::new();
    for door in [
        Door::Connect,
        Door::ConnectInTls,
        Door::Forward,
        Door::Route,
        Door::Transparent,
    ] {
        lines.push((
            door,
            Line {
                client: door.open(gate, BEDROCK).await,
                served: None,
            },
        ));
    }
    lines
}

const PATHS: &[&str] = &[
    "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
    "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/converse",
    "/model/arn%3Aaws%3abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/invoke",
    "/model/arn:aws:bedrock:us-east-1:123456789012:inference-profile/x/invoke",
    "/model/%253A/invoke",
    "/model/%7e~%7E/invoke",
    "/model/a+b%20c/invoke",
    "//",
    "//model//m//invoke",
    "/model/../model/./m/invoke",
    "/model/..%2F..%2Fx/invoke",
    "/service/standard/model/m/invoke",
    "/%",
    "/%zz%",
    "/?",
    "/??x",
    "/?a=b&a=b&&=&b",
    "/?X-Amz-Signature=0a&X-Amz-Credential=A%2fB",
    "/;p=1,2;q/(x)'!$*@[]",
    "/*",
    "/http://other.example/",
    "/a\"<>\\^`{|}b",
    "/model/\u{e9}\u{4e2d}/invoke",
];

/// Lines that are for the upstream.
const KEPT: &[&[u8]] = &[
    b"x-plain: value\r\n",
    b"X-UPPER: VALUE\r\n",
    b"x-MiXeD: vAlUe\r\n",
    b"x-none:\r\n",
    b"x-blank: \r\n",
    b"x-tab:\tvalue\t\r\n",
    b"x-tight:value\r\n",
    b"x-wide:  \t  value  \t \r\n",
    b"x-inner: a  b\tc\r\n",
    b"x-colon: a:b: c\r\n",
    b"x-quoted: \"a, b\\\" c\"\r\n",
    b"x-comma: a,,b ,\r\n",
    b"x-octets: \x80\xfe\xff\xc3\xa9\r\n",
    b"!#$%&'*+-.^_`|~09aZ: odd name\r\n",
    b"Accept-Encoding: identity\r\n",
    b"accept-encoding: gzip, br;q=0\r\n",
    b"Cookie: a=b\r\nCookie: c=d\r\n",
    b"X-Twice: 1\r\nx-other: 2\r\nX-Twice: 1\r\n",
    b"Trailer: x-checksum\r\n",
    b"Via: 1.1 somebody\r\n",
    b"X-Forwarded-For: 10.0.0.1\r\n",
    b"Forwarded: for=10.0.0.1\r\n",
    b"Max-Forwards: 0\r\n",
    b"Date: whenever\r\n",
    b"Expect: 100-continue\r\n",
    b"Range: bytes=0-\r\n",
    b"If-None-Match: *\r\n",
    b"Pragma: no-cache\r\nCache-Control: no-store\r\n",
    b"Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE0TOLLGATE/20261122/us-east-1/bedrock/aws4_request, \
      SignedHeaders=host;x-amz-date, Signature=00\r\n",
    b"amz-sdk-request: attempt=1; max=3\r\n",
    b"X-Amz-Security-Token: a//b+c==\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Encoding: identity\r\n",
];

/// Lines that end here, with those they name.
const DROPPED: &[&[u8]] = &[
    b"Connection: keep-alive\r\n",
    b"connection:\r\n",
    b"Connection: x-one , X-TWO,, keep-alive\r\nx-One: 1\r\nX-Two: 2\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Proxy-Connection: keep-alive\r\n",
    b"Proxy-Authorization: Basic dGVhbS1hOnMzY3JldA==\r\n",
    b"pROXY-aUTHORIZATION:\tBasic x\r\n",
    b"TE: trailers\r\n",
    b"Upgrade: h2c\r\n",
];

#[tokio::test]
async fn every_legal_path_passes_as_it_was_sent() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for (door, mut line) in lines(&gate).await {
        for path in PATHS {
            let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 0\r\n\r\n");
            let sent = format!("POST {} {tail}", door.target(BEDROCK, path));
            let expected = format!("POST {path} {tail}");
            line.pass(&upstream, sent.as_bytes(), expected.as_bytes())
                .await;
        }
    }
}

#[tokio::test]
async fn every_line_for_the_upstream_passes_in_its_place_and_every_line_for_us_ends_here() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for (door, mut line) in lines(&gate).await {
        let target = door.target(BEDROCK, "/model/m/invoke");
        let (start, start_expected) = (
            format!("POST {target} HTTP/1.1\r\n"),
            b"POST /model/m/invoke HTTP/1.1\r\n",
        );
        let host: &[u8] = &format!("hOSt: {BEDROCK}\r\n").into_bytes();
        let length: &[u8] = b"content-LENGTH: 0\r\n";
        for kept in KEPT {
            let sent = [start.as_bytes(), host, kept, length, b"\r\n"].concat();
            let expected = [start_expected, host, kept, length, b"\r\n"].concat();
            line.pass(&upstream, &sent, &expected).await;
        }
        for dropped in DROPPED {
            let kept: &[u8] = b"x-kept: 1\r\n";
            let sent = [start.as_bytes(), dropped, host, length, kept, b"\r\n"].concat();
            let expected = [start_expected, host, length, kept, b"\r\n"].concat();
            line.pass(&upstream, &sent, &expected).await;
            let sent = [start.as_bytes(), length, kept, host, dropped, b"\r\n"].concat();
            let expected = [start_expected, length, kept, host, b"\r\n"].concat();
            line.pass(&upstream, &sent, &expected).await;
        }
        let all: Vec<u8> = KEPT.concat();
        let sent = [start.as_bytes(), &all, length, host, b"\r\n"].concat();
        let expected = [start_expected, all.as_slice(), length, host, b"\r\n"].concat();
        line.pass(&upstream, &sent, &expected).await;
    }
}

#[tokio::test]
async fn every_method_passes_as_it_was_sent() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for (door, mut line) in lines(&gate).await {
        for method in [
            "GET",
            "HEAD",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "post",
            "M-SEARCH",
            "!#$%&'*+-.^_`|~",
        ] {
            let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n");
            let sent = format!("{method} {} {tail}", door.target(BEDROCK, "/x"));
            line.pass(
                &upstream,
                sent.as_bytes(),
                format!("{method} /x {tail}").as_bytes(),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn every_body_passes_in_its_own_framing() {
    let all_octets: Vec<u8> = (0..=255).collect();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("Content-Length: 0", Vec::new()),
        ("Content-Length: 256", all_octets.clone()),
        ("Content-Length: 007", b"\r\n0\r\n\r\n".to_vec()),
        (
            "Content-Length: 31",
            b"POST /evil HTTP/1.1\r\nHost: x\r\n\r\n"[..31].to_vec(),
        ),
        ("Content-Length:\t5 ", b"hello".to_vec()),
        ("Transfer-Encoding: chunked", b"0\r\n\r\n".to_vec()),
        (
            "Transfer-Encoding: chunked",
            b"5\r\nhello\r\n0\r\n\r\n".to_vec(),
        ),
        (
            "transfer-encoding:  ChUnKeD ",
            b"00000A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n".to_vec(),
        ),
        (
            "Transfer-Encoding: chunked",
            [b"100;x=y\r\n", all_octets.as_slice(), b"\r\n0;last\r\n\r\n"].concat(),
        ),
        (
            "Transfer-Encoding: chunked",
            b"1;a;b=c;d=\"e;\\\"\xff\"\r\nx\r\n1 ;\ta\r\ny\r\n0\r\n\r\n".to_vec(),
        ),
        (
            "Trailer: X-Sum, x-two\r\nTransfer-Encoding: chunked",
            b"3\r\nabc\r\n0;z\r\nX-Sum: 1\r\nx-two:\t\r\nX-Sum:2 \r\n\r\n".to_vec(),
        ),
    ];
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for (door, mut line) in lines(&gate).await {
        for (framing, body) in &bodies {
            let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\n{framing}\r\n\r\n");
            let sent = [
                format!("POST {} {tail}", door.target(BEDROCK, "/x")).as_bytes(),
                body,
            ]
            .concat();
            let expected = [format!("POST /x {tail}").as_bytes(), body].concat();
            line.pass(&upstream, &sent, &expected).await;
            let record = gate.records().pop().unwrap();
            assert_eq!(record.request_bytes, body.len() as u64, "{framing}");
        }
    }
}

#[tokio::test]
async fn a_chunked_body_passes_chunk_by_chunk_however_it_is_cut() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let head = format!("POST /x HTTP/1.1\r\nHost: {BEDROCK}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body = b"5;x=\"y\"\r\nhello\r\n0a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
    let whole = [head.as_bytes(), body].concat();
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    let mut served: Option<RawClient> = None;
    for size in [1, 2, 3, 7, 16] {
        client.send(&head).await;
        let upstream_side = match &mut served {
            Some(served) => served,
            none => none.insert(upstream.accept().await),
        };
        // What has been sent is passed on before more comes: nothing waits for a chunk's end.
        upstream_side.expect(head.as_bytes()).await;
        for piece in body.chunks(size) {
            client.send(piece).await;
            upstream_side.expect(piece).await;
        }
        upstream_side.send(OK).await;
        client.answer().await;
    }
    let mut client = Door::ConnectInTls.open_slowly(&gate, BEDROCK).await;
    client.send(&whole).await;
    let mut served = served.unwrap();
    served.expect(&whole).await;
}

#[tokio::test]
async fn a_head_at_the_limits_passes_whole() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for (door, mut line) in lines(&gate).await {
        let target = door.target(BEDROCK, "/x");
        let many: String = (0..120)
            .map(|number| format!("x-{number}: {number}\r\n"))
            .collect();
        let long = format!("x-long: {}\r\n", "y".repeat(60_000));
        for lines in [many, long] {
            let tail = format!("HTTP/1.1\r\nHost: {BEDROCK}\r\n{lines}\r\n");
            let sent = format!("GET {target} {tail}");
            line.pass(
                &upstream,
                sent.as_bytes(),
                format!("GET /x {tail}").as_bytes(),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_request_of_http_1_0_stays_one_and_its_connection_ends_with_it() {
    let upstream = RawUpstream::plain().await;
    let gate = Plan::new()
        .before(&upstream)
        .connect_to(ELSEWHERE, &upstream)
        .start()
        .await;
    let rows = [
        (
            format!("GET http://{ELSEWHERE}/a HTTP/1.0\r\n\r\n"),
            "GET /a HTTP/1.0\r\n\r\n".to_owned(),
        ),
        (
            format!(
                "GET http://{ELSEWHERE}/a HTTP/1.0\r\nHost: {ELSEWHERE}\r\nConnection: keep-alive\r\n\r\n"
            ),
            format!("GET /a HTTP/1.0\r\nHost: {ELSEWHERE}\r\n\r\n"),
        ),
        (
            format!("POST http://{ELSEWHERE}/a HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"),
            "POST /a HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        ),
    ];
    for (sent, expected) in rows {
        let mut client = gate.plain().await;
        client.send(&sent).await;
        let mut served = upstream.accept().await;
        served.expect(expected.as_bytes()).await;
        served.send("HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
        served.close().await;
        client.expect(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
        client.end().await;
    }
}
