//! Everything that a client or an upstream can do to a call by going away, as one list: where in the call, and how.
//!
//! Each fault is played from its beginning to its end and leaves no end of a connection in the test's hands. What the gate
//! makes of it is for the tests to say.

use std::path::Path;

use rusqlite::Connection;
use tollgate::ledger::FILE_NAME;

use super::door::Port;
use super::frames::{chunk, converse_stream};
use super::{BEDROCK, Door, Going, Peer, RawClient, RawUpstream};

/// Where a fault is played.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) port: &'a Port,
    pub(crate) home: &'a Path,
    /// In the place of Bedrock.
    pub(crate) upstream: &'a RawUpstream,
    /// What blind tunnels lead to; not TLS.
    pub(crate) elsewhere: &'a RawUpstream,
}

/// How far a call has come when its client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAt {
    Connected,
    Sniffed,
    Handshake,
    Handshaken,
    ConnectHead,
    Tunnelled,
    InnerHandshake,
    InnerHandshaken,
    Head,
    Body,
    ChunkedBody,
    Asked,
    AnswerHead,
    AnswerBody,
    Stream,
    Commit,
    Refusal,
    TunnelDialled,
    TunnelUsed,
    TunnelHalfClosed,
}

impl ClientAt {
    pub(crate) const ALL: [Self; 20] = [
        Self::Connected,
        Self::Sniffed,
        Self::Handshake,
        Self::Handshaken,
        Self::ConnectHead,
        Self::Tunnelled,
        Self::InnerHandshake,
        Self::InnerHandshaken,
        Self::Head,
        Self::Body,
        Self::ChunkedBody,
        Self::Asked,
        Self::AnswerHead,
        Self::AnswerBody,
        Self::Stream,
        Self::Commit,
        Self::Refusal,
        Self::TunnelDialled,
        Self::TunnelUsed,
        Self::TunnelHalfClosed,
    ];

    /// Comes so far, and goes.
    #[expect(
        clippy::cognitive_complexity,
        reason = "one arm a fault, each of a line or two"
    )]
    pub(crate) async fn play(self, scene: Scene<'_>, going: Going) {
        let Scene { port, upstream, .. } = scene;
        match self {
            Self::Connected => going.go(port.plain().await).await,
            Self::Sniffed => going.go(said(port.plain().await, "P").await).await,
            Self::Handshake => {
                let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
                going.go(said(port.plain().await, hello).await).await;
            }
            Self::Handshaken => going.go(port.tls("localhost").await).await,
            Self::ConnectHead => {
                let half = format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHo");
                going
                    .go(said(port.tls("localhost").await, half).await)
                    .await;
            }
            Self::Tunnelled => going.go(tunnelled(port).await).await,
            Self::InnerHandshake => {
                let half = b"\x16\x03\x01\x02\x00\x01\x00";
                going.go(said(tunnelled(port).await, half).await).await;
            }
            Self::InnerHandshaken => going.go(Door::Connect.open(port, BEDROCK).await).await,
            Self::Head => {
                let client = Door::Connect.open(port, BEDROCK).await;
                let half = "POST /model/m/converse HTTP/1.1\r\nHos";
                going.go(said(client, half).await).await;
            }
            Self::Body => in_body(scene, going, "Content-Length: 10", "12345").await,
            Self::ChunkedBody => {
                in_body(scene, going, "Transfer-Encoding: chunked", "5\r\nhel").await;
            }
            Self::Asked => {
                let (client, mut served) = ask(port, upstream).await;
                going.go(client).await;
                served.end().await;
            }
            Self::AnswerHead => {
                let (client, mut served) = ask(port, upstream).await;
                served.send("HTTP/1.1 200 OK\r\nContent-Le").await;
                going.go(client).await;
                served.end().await;
            }
            Self::AnswerBody => {
                let begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345";
                in_answer(scene, going, begun.as_bytes()).await;
            }
            Self::Stream => in_answer(scene, going, &begun_stream()).await,
            Self::Commit => in_commit(scene, going).await,
            Self::Refusal => {
                let mut client = said(port.plain().await, "NONSENSE\r\n\r\n").await;
                client.answer().await;
                going.go(client).await;
            }
            Self::TunnelDialled => {
                let (client, mut served) = tunnel(scene).await;
                going.go(client).await;
                served.rest().await;
            }
            Self::TunnelUsed => {
                let (mut client, mut served) = tunnel(scene).await;
                client.send("a question").await;
                served.expect(b"a question").await;
                going.go(client).await;
                served.rest().await;
            }
            Self::TunnelHalfClosed => {
                let (mut client, mut served) = tunnel(scene).await;
                client.half_close().await;
                served.end().await;
                going.go(client).await;
            }
        }
    }
}

/// How far an answer has come when its upstream goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamAt {
    Asked,
    Half,
    Interim,
    Head,
    Body,
    Chunk,
    LastChunk,
    UntilClose,
    Frame,
    Upload,
    Tunnel,
}

impl UpstreamAt {
    pub(crate) const ALL: [Self; 11] = [
        Self::Asked,
        Self::Half,
        Self::Interim,
        Self::Head,
        Self::Body,
        Self::Chunk,
        Self::LastChunk,
        Self::UntilClose,
        Self::Frame,
        Self::Upload,
        Self::Tunnel,
    ];

    /// What of an answer was sent by then.
    fn sent(self) -> Vec<u8> {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel";
        match self {
            Self::Asked | Self::Upload | Self::Tunnel => Vec::new(),
            Self::Half => b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(),
            Self::Interim => b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
            Self::Head => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_vec(),
            Self::Body => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789".to_vec(),
            Self::Chunk => chunked.into(),
            Self::LastChunk => format!("{chunked}lo\r\n0\r\n").into(),
            Self::UntilClose => b"HTTP/1.1 200 OK\r\n\r\nhalf of".to_vec(),
            Self::Frame => {
                let event = &converse_stream()[1];
                [begun_stream(), chunk(&event[..event.len() / 2])].concat()
            }
        }
    }

    /// Comes so far, and goes. What the client sees is its whole answer, or none that looks whole.
    pub(crate) async fn play(self, scene: Scene<'_>, going: Going) {
        match self {
            Self::Tunnel => {
                let (mut client, mut served) = tunnel(scene).await;
                served.send("an answer").await;
                client.expect(b"an answer").await;
                going.go(served).await;
                client.rest().await;
            }
            Self::Upload => {
                let mut client = Door::Connect.open(scene.port, BEDROCK).await;
                client.send(head("Content-Length: 1000000")).await;
                let mut served = scene.upstream.accept().await;
                served.head().await;
                going.go(served).await;
                // It may notice in the middle of this, or hear the answer first.
                client.try_send(vec![b'x'; 1_000_000]).await.ok();
                client.rest().await;
            }
            _ => {
                let (mut client, mut served) = ask(scene.port, scene.upstream).await;
                served.send(self.sent()).await;
                going.go(served).await;
                if matches!(self, Self::Asked | Self::Half | Self::Interim) {
                    if self == Self::Interim {
                        client.expect(&self.sent()).await;
                    }
                    client.answer().await.assert_typed(
                        503,
                        "ServiceUnavailableException",
                        "upstream-unreachable",
                    );
                    client.close().await;
                } else {
                    client.rest().await;
                }
            }
        }
    }
}

fn head(framing: &str) -> String {
    format!("POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\n{framing}\r\n\r\n")
}

fn begun_stream() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    [head.as_bytes(), &chunk(&converse_stream()[0])].concat()
}

async fn said(mut client: RawClient, words: impl AsRef<[u8]>) -> RawClient {
    client.send(words).await;
    client
}

/// A client whose CONNECT to Bedrock was granted.
async fn tunnelled(port: &Port) -> RawClient {
    let mut client = port.plain().await;
    client
        .send(format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\n\r\n"))
        .await;
    client.head().await;
    client
}

/// A blind tunnel, and its other end.
async fn tunnel(scene: Scene<'_>) -> (RawClient, Peer) {
    let mut client = scene.port.plain().await;
    let to = scene.elsewhere.address;
    client.send(format!("CONNECT {to} HTTP/1.1\r\n\r\n")).await;
    let served = scene.elsewhere.accept().await;
    client.head().await;
    (client, served)
}

/// A call that was made, and where it arrived.
pub(crate) async fn ask(port: &Port, upstream: &RawUpstream) -> (RawClient, Peer) {
    let mut client = Door::Connect.open(port, BEDROCK).await;
    client
        .send(format!("{}{{}}", head("Content-Length: 2")))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    (client, served)
}

async fn in_body(scene: Scene<'_>, going: Going, framing: &str, half: &str) {
    let mut client = Door::Connect.open(scene.port, BEDROCK).await;
    client.send(format!("{}{half}", head(framing))).await;
    let mut served = scene.upstream.accept().await;
    served.head().await;
    served.expect(half.as_bytes()).await;
    going.go(client).await;
    served.end().await;
}

async fn in_answer(scene: Scene<'_>, going: Going, begun: &[u8]) {
    let (mut client, mut served) = ask(scene.port, scene.upstream).await;
    served.send(begun).await;
    client.expect(begun).await;
    going.go(client).await;
    served.end().await;
}

/// The last piece of the answer waits for the ledger, which somebody else has locked.
async fn in_commit(scene: Scene<'_>, going: Going) {
    let ledger = Connection::open(scene.home.join(FILE_NAME)).unwrap();
    let (mut client, mut served) = ask(scene.port, scene.upstream).await;
    let begun = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345";
    served.send(begun).await;
    client
        .expect(begun.replace("Connection: close\r\n", "").as_bytes())
        .await;
    ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
    served.send("67890").await;
    going.go(client).await;
    // The gate has read the last piece by the time it lets go of a connection that is not to be kept.
    served.end().await;
    ledger.execute_batch("ROLLBACK").unwrap();
}
