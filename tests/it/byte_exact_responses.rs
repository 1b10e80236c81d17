//! A response reaches the client as the bytes the upstream sent, minus the lines meant for one hop.

use tollgate::ledger::Outcome;

use crate::support::{BEDROCK, Door, End, Gate, RawClient, RawUpstream, assert_bytes, shown};

/// Two doors, one with and one without TLS towards the client.
const DOORS: [Door; 2] = [Door::Connect, Door::Route];

fn request(door: Door, method: &str) -> String {
    format!(
        "{method} {} HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n",
        door.target(BEDROCK, "/model/m/converse")
    )
}

async fn ask(
    upstream: &RawUpstream,
    client: &mut RawClient,
    door: Door,
    method: &str,
) -> RawClient {
    client.send(request(door, method)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
}

/// Final responses that leave the connection usable, octet for octet.
const DELIMITED: &[(&str, &[u8])] = &[
    ("POST", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    ("POST", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
    ("POST", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
    ("POST", b"HTTP/1.1 418 I'm a  teapot, (really)!\r\nContent-Length: 1\r\n\r\nx"),
    ("POST", b"HTTP/1.1 599 \xe9t\xe9\r\nContent-Length: 1\r\n\r\nx"),
    ("POST", b"HTTP/1.1 200 OK\r\nsEt-cOOkie: a=b\r\nSet-Cookie: a=b\r\nSet-Cookie:c\r\nContent-Length: 0\r\n\r\n"),
    ("POST", b"HTTP/1.1 200 OK\r\nX-Odd:\t\x80\xff \r\nx-none:\r\nx-wide:   a  b   \r\nCONTENT-LENGTH:0\r\n\r\n"),
    ("POST", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\nVia: 1.1 x\r\nDate: now\r\n\r\nnope"),
    ("POST", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("POST", b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0005;a=\"b;c\"\r\nhello\r\nA ;z\r\n0123456789\r\n00\r\n\r\n"),
    (
        "POST",
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0;last\r\nX-Sum: 1\r\nx-sum:2\r\n\r\n",
    ),
    ("POST", b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"),
    ("POST", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"x\"\r\n\r\n"),
    ("POST", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234567\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("HEAD", b"HTTP/1.1 404 Not Found\r\n\r\n"),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"),
    ("POST", b"HTTP/1.1 400 Bad Request\r\nx-amzn-ErrorType: ValidationException:http://x/\r\nContent-Length: 2\r\n\r\n{}"),
];

#[tokio::test]
async fn every_delimited_response_passes_as_it_was_sent_and_the_next_one_is_not_misread() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        let mut client = door.open(&gate, BEDROCK).await;
        for (method, response) in DELIMITED {
            let mut served = ask(&upstream, &mut client, door, method).await;
            served.send(response).await;
            assert_bytes(&client.answer_to(method).await.raw(), response, method);
            let record = gate.records().pop().unwrap();
            assert_eq!(record.outcome, Outcome::Complete, "{}", shown(response));
            // A fresh connection for each row; the client's stays.
            served.close().await;
        }
    }
}

#[tokio::test]
async fn a_response_that_comes_byte_by_byte_is_the_same_response() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for (method, response) in DELIMITED {
        let mut served = ask(&upstream, &mut client, Door::Connect, method).await;
        served.send_pieces(response.chunks(1)).await;
        assert_bytes(&client.answer_to(method).await.raw(), response, method);
        served.close().await;
    }
}

#[tokio::test]
async fn a_response_delimited_by_its_end_passes_and_ends_the_same_way() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        for response in [
            &b"HTTP/1.1 200 OK\r\n\r\nuntil \0 the end\r\n"[..],
            b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nuntil the end",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 500 \r\nContent-Type: text/plain\r\n\r\n0\r\n\r\n",
        ] {
            let mut client = door.open(&gate, BEDROCK).await;
            let mut served = ask(&upstream, &mut client, door, "POST").await;
            served.send(response).await;
            client.expect(response).await;
            served.close().await;
            assert_eq!(client.end().await, End::Closed);
            assert_eq!(gate.records().pop().unwrap().outcome, Outcome::Complete);
        }
    }
}

#[tokio::test]
async fn interim_responses_pass_with_their_fields_as_they_come() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    for door in DOORS {
        let mut client = door.open(&gate, BEDROCK).await;
        let mut served = ask(&upstream, &mut client, door, "POST").await;
        for interim in [
            &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
            b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nlink:</b>\r\n\r\n",
            b"HTTP/1.1 199 \r\n\r\n",
        ] {
            served.send(interim).await;
            client.expect(interim).await;
        }
        assert!(
            gate.records()
                .iter()
                .all(|record| record.status == Some(200))
        );
        let last = b"HTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
        served.send(last).await;
        client.expect(last).await;
        assert_eq!(gate.records().pop().unwrap().status, Some(200));
        served.close().await;
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_spared_interim_responses() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = gate.plain().await;
    client
        .send(format!(
            "GET https://{BEDROCK}/x HTTP/1.0\r\nHost: {BEDROCK}\r\n\r\n"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    served
        .send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        .await;
    client
        .expect(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        .await;
    assert_eq!(client.end().await, End::Closed);
}

#[tokio::test]
async fn lines_for_our_hop_end_here_and_the_others_keep_their_places() {
    let rows: &[(&[u8], &[u8])] = &[
        (
            b"A: 1\r\nConnection: keep-alive\r\nB: 2\r\n",
            b"A: 1\r\nB: 2\r\n",
        ),
        (
            b"A: 1\r\nConnection: X-Hop\r\nx-hop: 1\r\nB: 2\r\n",
            b"A: 1\r\nB: 2\r\n",
        ),
        (
            b"Keep-Alive: timeout=5\r\nA: 1\r\nB: 2\r\n",
            b"A: 1\r\nB: 2\r\n",
        ),
        (
            b"A: 1\r\nB: 2\r\nProxy-Authenticate: Basic\r\n",
            b"A: 1\r\nB: 2\r\n",
        ),
        (
            b"A: 1\r\nUpgrade: h2c\r\nB: 2\r\nConnection: upgrade\r\n",
            b"A: 1\r\nB: 2\r\n",
        ),
        (
            b"A: 1\r\nWWW-Authenticate: Basic\r\n",
            b"A: 1\r\nWWW-Authenticate: Basic\r\n",
        ),
    ];
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for (sent, expected) in rows {
        let mut served = ask(&upstream, &mut client, Door::Connect, "POST").await;
        let around =
            |lines: &[u8]| [b"HTTP/1.1 200 OK\r\n", lines, b"Content-Length: 1\r\n\r\nx"].concat();
        served.send(around(sent)).await;
        client.expect(&around(expected)).await;
        served.close().await;
    }
}

#[tokio::test]
async fn an_upstream_that_closes_does_not_close_the_client() {
    let upstream = RawUpstream::tls().await;
    let gate = Gate::before(&upstream).await;
    let mut client = Door::Connect.open(&gate, BEDROCK).await;
    for _ in 0..3 {
        let mut served = ask(&upstream, &mut client, Door::Connect, "POST").await;
        served
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        client
            .expect(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        // The gate keeps no connection that was to be closed.
        served.end().await;
    }
    assert_eq!(upstream.connections(), 3);
}
