//! One connection from the gate: reads requests as they are on the wire, has the simulator judge and answer them, and
//! plays the answer as the request's acts want it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

use super::super::acts::{ACTS, Acts, CRC, Going, MARKER};
use super::super::reading::{Body, End, Framing, Head, Reading};
use super::script::{After, Script, Step, script};
use super::tls::Flaw;
use super::{Shared, reset};

type Tls = TlsStream<TcpStream>;

/// How long a gate may take for a handshake, or to take what it is given.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long an upstream that has answered early goes on reading.
const LISTEN_ON: Duration = Duration::from_millis(200);
/// Octets between us and the simulator.
const PIPE: usize = 256 * 1024;

/// One connection.
struct Connection {
    shared: Arc<Shared>,
    requests: Reading<ReadHalf<Tls>>,
    writer: WriteHalf<Tls>,
    answers: Reading<ReadHalf<DuplexStream>>,
    judge: WriteHalf<DuplexStream>,
}

/// Serves it to its end.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, flaw: Flaw) {
    // Nagle's algorithm would only slow things down.
    stream.set_nodelay(true).ok();
    let acceptor = shared.authority.acceptor(flaw);
    let Ok(Ok(tls)) = timeout(PATIENCE, acceptor.accept(stream)).await else {
        return;
    };
    let name = tls.get_ref().1.server_name().unwrap_or_default().to_owned();
    let (near, far) = duplex(PIPE);
    tokio::spawn(shared.simulator.serve(far, &name));
    let (reader, writer) = split(tls);
    let (answers, judge) = split(near);
    let mut connection = Connection {
        shared,
        requests: Reading::new(reader),
        writer,
        answers: Reading::new(answers),
        judge,
    };
    let going = connection.run().await;
    connection.go(going).await;
}

impl Connection {
    /// Serves requests; how the connection is to end.
    async fn run(&mut self) -> Going {
        let mut after = After::Keep;
        loop {
            let head = match self.next(after).await {
                Ok(Some(head)) => head,
                Ok(None) => return Going::Close,
                Err(going) => return going,
            };
            match self.exchange(&head).await {
                Some(After::End(going)) => return going,
                Some(next) => after = next,
                None => return Going::Cut,
            }
        }
    }

    /// The next head, unless the last answer's acts, or the end of the load, come first.
    async fn next(&mut self, after: After) -> Result<Option<Head>, Going> {
        let mut hang_up = self.shared.hang_up.subscribe();
        let head = self.requests.request_head();
        let interrupted = async {
            match after {
                After::Noise(pause) | After::HangUp(pause, _) => sleep(pause).await,
                After::Keep | After::End(_) => {
                    if hang_up.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            head = head => return head.map_err(|_| Going::Cut),
            () = interrupted => {}
        }
        match after {
            After::HangUp(_, going) => Err(going),
            After::Noise(_) => {
                let noise = [Step::Send(b"noise that nobody asked for\r\n".to_vec())];
                self.play(&noise).await;
                Err(Going::Close)
            }
            After::Keep | After::End(_) => Err(Going::Close),
        }
    }

    /// One request and its answer; `None` when the gate is gone.
    async fn exchange(&mut self, head: &Head) -> Option<After> {
        let marker = head.field("amz-sdk-invocation-id").unwrap_or_default();
        let known = Uuid::try_parse(marker).ok();
        match known {
            Some(known) => self.shared.book.seen_head(known),
            None => {
                let target = &head.target;
                self.shared.book.find(format!(
                    "the upstream got a request without marker: {target}"
                ));
            }
        }
        let acts: Acts = head
            .field(ACTS)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        if let Some(going) = acts.gone_at_head {
            return Some(After::End(going));
        }
        if acts.early {
            return self.answer_early(marker, known).await;
        }
        self.judge.write_all(&head.raw).await.ok()?;
        if head.field("expect").is_some() {
            let interim = self.answers.response_head().await.ok()??;
            if interim.status != 100 {
                return self.perform(&acts, interim, head, known).await;
            }
            self.play(&[Step::Send(interim.raw.to_vec())]).await?;
        }
        let framing = head.request_framing().ok()?;
        let mut body = Body::default();
        if let Err(end) = self.requests.body(framing, &mut body).await {
            // The gate has to break off when its client does; it must not send what is no message.
            if let End::Bad(why) = end {
                self.shared
                    .book
                    .find(format!("the upstream got a malformed body: {why}"));
            }
            return None;
        }
        let crc = crc(&head.target, &body.content);
        if let Some(known) = known {
            self.shared.book.seen_all(known, crc);
        }
        self.hand_on(framing, &body.content).await?;
        let answer = self.answers.response_head().await.ok()??;
        self.perform(&acts, answer, head, known).await
    }

    /// Gives the simulator the body.
    async fn hand_on(&mut self, framing: Framing, content: &[u8]) -> Option<()> {
        let chunked = framing == Framing::Chunked;
        if chunked && !content.is_empty() {
            let size = format!("{:x}\r\n", content.len());
            self.judge.write_all(size.as_bytes()).await.ok()?;
        }
        self.judge.write_all(content).await.ok()?;
        if chunked {
            let end: &[u8] = if content.is_empty() {
                b"0\r\n\r\n"
            } else {
                b"\r\n0\r\n\r\n"
            };
            self.judge.write_all(end).await.ok()?;
        }
        Some(())
    }

    /// Reads the rest of the simulator's answer and plays what the acts make of it.
    async fn perform(
        &mut self,
        acts: &Acts,
        answer: Head,
        request: &Head,
        known: Option<Uuid>,
    ) -> Option<After> {
        let mut body = Body::default();
        let framing = answer.response_framing().ok()?;
        self.answers.body(framing, &mut body).await.ok()?;
        let marker = request.field("amz-sdk-invocation-id").unwrap_or_default();
        let Script {
            mut steps,
            after,
            whole,
        } = script(acts, &answer, body.content, marker, &request.target);
        let last = steps.iter().rposition(|step| matches!(step, Step::Send(_)));
        let rest = steps.split_off(last.unwrap_or_default());
        self.play(&steps).await?;
        if let (true, Some(known)) = (whole, known) {
            self.shared.book.answered(known);
        }
        self.play(&rest).await?;
        Some(after)
    }

    /// Answers before the body, as a service does that will not read it, and reads on for a moment.
    async fn answer_early(&mut self, marker: &str, known: Option<Uuid>) -> Option<After> {
        let content = br#"{"message":"too long for me"}"#;
        let head = format!(
            "HTTP/1.1 413 Payload Too Large\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             x-amzn-ErrorType: ValidationException\r\n{MARKER}: {marker}\r\n{CRC}: {:08x}\r\n\
             Connection: close\r\n\r\n",
            content.len(),
            crc32fast::hash(content),
        );
        if let Some(known) = known {
            self.shared.book.answered(known);
        }
        self.play(&[Step::Send([head.as_bytes(), content].concat())])
            .await?;
        // Closing with unread octets would reset the connection and could take the answer along.
        timeout(LISTEN_ON, self.requests.drain()).await.ok();
        Some(After::End(Going::Close))
    }

    /// Plays the steps; `None` when the gate takes no more.
    async fn play(&mut self, steps: &[Step]) -> Option<()> {
        for step in steps {
            match step {
                Step::Rest(pause) => sleep(*pause).await,
                Step::Send(octets) => {
                    let sent = send(&mut self.writer, octets);
                    timeout(PATIENCE, sent).await.ok()?.ok()?;
                }
            }
        }
        Some(())
    }

    async fn go(mut self, going: Going) {
        match going {
            // The gate may be gone already.
            Going::Close => {
                timeout(PATIENCE, self.writer.shutdown()).await.ok();
            }
            Going::Cut => {}
            Going::Reset => reset(self.requests.stream.unsplit(self.writer).get_ref().0),
        }
    }
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> std::io::Result<()> {
    writer.write_all(octets).await?;
    writer.flush().await
}

/// What identifies a request's target and content.
pub(crate) fn crc(target: &str, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(target.as_bytes());
    hasher.update(b"\n");
    hasher.update(content);
    hasher.finalize()
}
