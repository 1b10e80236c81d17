//! A client that insists on HTTP/2 is told at once, in its own language, that this is HTTP/1.1.

use rustls::{AlertDescription, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tollgate::wire::sniff::HTTP2_PREFACE;

use crate::support::gate::Plan;
use crate::support::{BEDROCK, Door, End, Gate, RawClient};

/// Length 0, type 4 (SETTINGS), no flags, stream 0.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const FRAME_HEADER: usize = 9;

/// Fails unless what comes is SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED and advice, then the end.
async fn assert_turned_away(mut client: RawClient) {
    client.expect(SETTINGS).await;
    let header = client.exactly(FRAME_HEADER).await;
    assert_eq!(
        (header[3], &header[4..]),
        (7, &[0; 5][..]),
        "not GOAWAY on stream 0"
    );
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let payload = client.exactly(length.try_into().unwrap()).await;
    assert_eq!(payload[..8], [0, 0, 0, 0, 0, 0, 0, 0xd]);
    let advice = String::from_utf8(payload[8..].to_vec()).unwrap();
    assert!(advice.contains("NodeHttpHandler"), "{advice}");
    assert_eq!(client.end().await, End::Closed);
}

async fn layers(gate: &Gate) -> [RawClient; 4] {
    [
        gate.plain().await,
        gate.tls("localhost").await,
        Door::Connect.open(gate, BEDROCK).await,
        Door::ConnectInTls.open(gate, BEDROCK).await,
    ]
}

#[tokio::test]
async fn the_preface_is_answered_on_every_layer() {
    let gate = Plan::new().start().await;
    for mut client in layers(&gate).await {
        // The preface never comes alone: the client's own SETTINGS follow.
        client.send([HTTP2_PREFACE, SETTINGS].concat()).await;
        assert_turned_away(client).await;
    }
}

#[tokio::test]
async fn a_preface_in_pieces_is_still_a_preface() {
    let gate = Plan::new().start().await;
    for mut client in layers(&gate).await {
        client.send_pieces(HTTP2_PREFACE.chunks(1)).await;
        assert_turned_away(client).await;
    }
    for cut in [1, 3, 16, 18, 23] {
        let mut client = gate.plain().await;
        let (start, rest) = HTTP2_PREFACE.split_at(cut);
        client.send_pieces([start, rest]).await;
        assert_turned_away(client).await;
    }
}

#[tokio::test]
async fn what_only_begins_like_a_preface_is_refused_as_http() {
    let gate = Plan::new().start().await;
    for request in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r!",
        "PRI * HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI * HTTP/2.0\r\nHost: x\r\n\r\n",
    ] {
        let mut client = gate.plain().await;
        client.send(request).await;
        client
            .answer()
            .await
            .assert_typed(400, "ValidationException", "malformed-request");
        assert_eq!(client.end().await, End::Closed);
    }
}

#[tokio::test]
async fn alpn_without_http_1_1_gets_the_alert_that_says_so() {
    let gate = Plan::new().start().await;
    let h2_only = || gate.client_config(&[b"h2"]);
    for name in ["localhost", BEDROCK] {
        assert_no_application_protocol(gate.handshake(h2_only(), name).await.map(|_| ()));
    }
    let mut client = gate.plain().await;
    client
        .send(format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n"))
        .await;
    client.head().await;
    let (stream, _socket) = client.into_parts();
    assert_no_application_protocol(open(h2_only(), stream).await.map(|_| ()));
}

#[tokio::test]
async fn alpn_with_http_1_1_anywhere_or_none_at_all_is_welcome() {
    let gate = Plan::new().start().await;
    let http_1_1 = &b"http/1.1"[..];
    let rows = [
        (vec![b"h2", http_1_1], Some(http_1_1)),
        (vec![http_1_1], Some(http_1_1)),
        (vec![], None),
    ];
    for (offered, chosen) in rows {
        for name in ["localhost", BEDROCK] {
            let stream = gate
                .handshake(gate.client_config(&offered), name)
                .await
                .unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        }
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    config: ClientConfig,
    stream: S,
) -> std::io::Result<()> {
    let name = rustls::pki_types::ServerName::try_from(BEDROCK).unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect(name, stream).await.map(|_| ())
}

#[track_caller]
fn assert_no_application_protocol(outcome: std::io::Result<()>) {
    let error = outcome.unwrap_err();
    let alert = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let expected = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(alert, Some(&expected), "{error}");
}
