//! What clients do that is no proper call: malformed requests, connections without one, browsers, tunnels, hosts that
//! are refused.

use std::time::Instant;

use tokio::io::AsyncWriteExt;

use super::super::acts::Going;
use super::super::book::Unmarked;
use super::super::reading::{Body, End, Framing};
use super::super::upstream::echo;
use super::call::{Call, Kind, Upload};
use super::exchange::{Manner, converse};
use super::line::Door;
use super::{Client, Opened, hosts};

/// Heads that are refused, and how.
const MALFORMED: [(&str, u16); 12] = [
    ("NONSENSE\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET / HTTP/2.7\r\nHost: localhost\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n", 400),
    ("GET /nothing/here HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    (
        "CONNECT bedrock-runtime.us-east-1.amazonaws.com HTTP/1.1\r\n\r\n",
        400,
    ),
    (
        "POST /model/m/invoke HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n\
         Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (
        "POST /model/m/invoke HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n\
         Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
        400,
    ),
    (
        "POST /model/m/invoke HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n\
         Transfer-Encoding: gzip, chunked\r\n\r\n",
        400,
    ),
];

const REFUSED: &[&str] = &["refused"];
const FAILED: &[&str] = &["failed"];
const COMPLETE: &[&str] = &["complete"];
/// What a tunnel that one side breaks off can look like from its middle.
const BROKEN_OFF: &[&str] = &["complete", "client_aborted", "upstream_aborted"];

impl Client {
    /// Reads one answer of the gate's own to something without a marker, and notes what was to be recorded.
    async fn answered(
        &mut self,
        mut opened: Opened,
        what: &'static str,
        status: u16,
        outcomes: &'static [&'static str],
    ) {
        let heard = match opened.line.reading.response_head().await {
            Ok(Some(head)) => {
                let mut body = Body::default();
                let framing = head.response_framing().unwrap_or(Framing::UntilClose);
                let read = opened.line.reading.body(framing, &mut body).await;
                read.is_ok().then_some(head.status)
            }
            Ok(None) | Err(_) => None,
        };
        if heard != Some(status) && !self.book.is_overtaken(opened.generation) {
            self.book
                .find(format!("{what}: {heard:?} instead of {status}"));
        }
        self.note(&opened, what, heard.is_some(), Some(status), outcomes);
        let going = self.going();
        opened.line.go(going).await;
    }

    fn note(
        &self,
        opened: &Opened,
        what: &'static str,
        certain: bool,
        status: Option<u16>,
        outcomes: &'static [&'static str],
    ) {
        let unmarked = Unmarked {
            client: opened.line.local,
            what,
            certain,
            status,
            outcomes,
            bytes: None,
            overtaken: false,
            ended: Instant::now(),
        };
        self.book.unmarked(unmarked, opened.generation);
    }

    pub(super) async fn malformed(&mut self) {
        let many = "X: y\r\n".repeat(300);
        let long = "y".repeat(70_000);
        let odd = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
        let huge = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n");
        let [first, others @ ..] = &MALFORMED;
        let (head, status) = match self.dice.between(0, 9) {
            0 => (odd.as_str(), 431),
            1 => (huge.as_str(), 431),
            _ => *self.dice.pick(first, others),
        };
        let opened = if self.dice.percent(30) {
            self.open(Door::ForwardInTls, hosts::STEADY).await
        } else {
            self.plain().await
        };
        let Some(mut opened) = opened else {
            return;
        };
        // It may answer before it has taken everything.
        opened.line.send(head.as_bytes()).await.ok();
        self.answered(opened, "malformed request", status, REFUSED)
            .await;
    }

    /// A body that is not what its head says.
    pub(super) async fn bad_body(&mut self) {
        let door = self.door();
        let Some(mut opened) = self.open(door, hosts::STEADY).await else {
            return;
        };
        let mut call = Call::new(Kind::CONVERSE, hosts::STEADY, &mut self.dice);
        call.upload = Upload::Chunks(1000);
        let Some(mut request) = self.request(&call, door, &opened) else {
            return;
        };
        request.body = b"5\r\nabcde\r\nno size\r\n".as_slice().into();
        request.asked.refusal = Some("malformed-request");
        request.asked.status = 400;
        request.asked.troubled = true;
        let requests = [request];
        converse(
            &self.book,
            opened.generation,
            &mut opened.line,
            &requests,
            Manner::BRISK,
        )
        .await;
        let going = self.going();
        opened.line.go(going).await;
    }

    /// A call for another host than the tunnel's.
    pub(super) async fn misdirected(&mut self) {
        let Some(mut opened) = self.open(Door::Connect, hosts::STEADY).await else {
            return;
        };
        let call = Call::new(Kind::CONVERSE, hosts::MOODY, &mut self.dice);
        let Some(mut request) = self.request(&call, Door::Connect, &opened) else {
            return;
        };
        request.asked.refusal = Some("misdirected");
        request.asked.status = 400;
        let requests = [request];
        converse(
            &self.book,
            opened.generation,
            &mut opened.line,
            &requests,
            Manner::BRISK,
        )
        .await;
        let going = self.going();
        opened.line.go(going).await;
    }

    /// Connections on which nothing is asked.
    pub(super) async fn blank(&mut self) {
        match self.dice.between(0, 3) {
            0 => {
                let Some(opened) = self.plain().await else {
                    return;
                };
                let going = self.going();
                opened.line.go(going).await;
            }
            1 => {
                let Some(mut opened) = self.plain().await else {
                    return;
                };
                // The beginning of a ClientHello.
                opened.line.send(&[0x16, 3, 1, 2, 0, 1, 0, 1]).await.ok();
                let going = self.going();
                opened.line.go(going).await;
            }
            2 => {
                let Some(opened) = self.plain().await else {
                    return;
                };
                if let Ok(line) = opened.line.connect(hosts::STEADY, 443).await {
                    let going = self.going();
                    line.go(going).await;
                }
            }
            _ => {
                let door = self.door();
                let Some(opened) = self.open(door, hosts::STEADY).await else {
                    return;
                };
                let going = self.going();
                opened.line.go(going).await;
            }
        }
    }

    /// What a browser sees. It leaves no record.
    pub(super) async fn landing(&mut self) {
        let Some(mut opened) = self.plain().await else {
            return;
        };
        let path = *self.dice.pick(&"/", &["/ca.pem"]);
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.port.address);
        opened.line.send(head.as_bytes()).await.ok();
        let status = match opened.line.reading.response_head().await {
            Ok(head) => head.map(|head| head.status),
            Err(_) => None,
        };
        if status != Some(200) && !self.book.is_overtaken(opened.generation) {
            self.book.find(format!("a browser was answered {status:?}"));
        }
        opened.line.reading.drain().await;
        let going = self.going();
        opened.line.go(going).await;
    }

    /// A client that speaks only HTTP/2. It leaves no record.
    pub(super) async fn http2(&mut self) {
        let Some(mut opened) = self.plain().await else {
            return;
        };
        opened
            .line
            .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .ok();
        opened.line.reading.drain().await;
        opened.line.go(Going::Close).await;
    }

    /// A client that does not trust our certificate. It leaves no record.
    pub(super) async fn distrust(&mut self) {
        let Some(opened) = self.plain().await else {
            return;
        };
        let generation = opened.generation;
        let line = if self.dice.percent(50) {
            match opened.line.connect(hosts::STEADY, 443).await {
                Ok(line) => line,
                Err(error) => {
                    self.missed(generation, "a tunnel", &error.to_string())
                        .await;
                    return;
                }
            }
        } else {
            opened.line
        };
        if self.port.distrust(line, hosts::STEADY).await.is_ok() {
            self.book
                .find("a client took a certificate that it does not trust".to_owned());
        }
    }

    pub(super) async fn tunnel(&mut self) {
        let Some(opened) = self.plain().await else {
            return;
        };
        let generation = opened.generation;
        let local = opened.line.local;
        let line = match opened.line.connect(hosts::ECHO, 7).await {
            Ok(line) => line,
            Err(error) => {
                self.missed(generation, "a tunnel", &error.to_string())
                    .await;
                let unmarked = tunnel_of(local, false, BROKEN_OFF, None);
                self.book.unmarked(unmarked, generation);
                return;
            }
        };
        let mut opened = Opened { line, generation };
        let kind = self.dice.weighted(
            &[(6, echo::ECHO), (2, echo::RESET), (2, echo::CLOSE)],
            echo::ECHO,
        );
        let size = self.dice.size(echo::ENOUGH, 200_000);
        let said = vec![kind; size];
        if self.dice.percent(20) {
            // It goes in the middle.
            opened.line.send(&said).await.ok();
            let going = self.going();
            opened.line.go(going).await;
            self.book
                .unmarked(tunnel_of(local, true, BROKEN_OFF, None), generation);
            return;
        }
        let whole = echoed(&mut opened, &said).await;
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let unmarked = match (kind, whole) {
            (echo::ECHO, true) => tunnel_of(local, true, COMPLETE, Some((size, size))),
            (echo::ECHO, false) => {
                if !self.book.is_overtaken(generation) {
                    self.book.find(format!(
                        "a tunnel from {local} did not say back what it heard"
                    ));
                }
                tunnel_of(local, true, BROKEN_OFF, None)
            }
            _ => tunnel_of(local, true, BROKEN_OFF, None),
        };
        self.book.unmarked(unmarked, generation);
        opened.line.go(Going::Close).await;
    }

    /// Hosts that the gate does not reach, by rule or in fact.
    pub(super) async fn refused(&mut self) {
        let Some(mut opened) = self.plain().await else {
            return;
        };
        let connect = |host: &str| format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let denied = hosts::DENIED;
        let (head, status, outcomes) = match self.dice.between(0, 3) {
            0 => (connect(&format!("{denied}:443")), 403, REFUSED),
            1 => (connect("169.254.169.254:80"), 403, REFUSED),
            2 => (connect(&format!("{}:9", hosts::CLOSED)), 503, FAILED),
            _ => (
                format!("GET http://{denied}/ HTTP/1.1\r\nHost: {denied}\r\n\r\n"),
                403,
                REFUSED,
            ),
        };
        opened.line.send(head.as_bytes()).await.ok();
        self.answered(opened, "refused host", status, outcomes)
            .await;
    }
}

fn tunnel_of(
    client: std::net::SocketAddr,
    certain: bool,
    outcomes: &'static [&'static str],
    bytes: Option<(u64, u64)>,
) -> Unmarked {
    Unmarked {
        client,
        what: "blind tunnel",
        certain,
        status: None,
        outcomes,
        bytes,
        overtaken: false,
        ended: Instant::now(),
    }
}

/// Says `said` and half-closes while it listens; whether exactly that came back, and an end in order.
async fn echoed(opened: &mut Opened, said: &[u8]) -> bool {
    let mut body = Body::default();
    let (reading, writer) = (&mut opened.line.reading, &mut opened.line.writer);
    let say = async {
        writer.write_all(said).await?;
        writer.flush().await?;
        writer.shutdown().await
    };
    let listen = reading.body(Framing::UntilClose, &mut body);
    let (spoken, heard): (std::io::Result<()>, Result<(), End>) = tokio::join!(say, listen);
    spoken.is_ok() && heard.is_ok() && body.content == said
}
