//! Requests over a connection, to their end or not, with everything noted in the book.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::super::acts::{CRC, Going, MARKER};
use super::super::book::{Book, Heard, Sent, Told, Whole};
use super::super::reading::{Body, End, Head, Pace, Reading};
use super::call::Request;
use super::line::Line;
use super::tokens;

/// How a client writes and reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) write: Pace,
    pub(crate) read: Pace,
    /// Says that nothing more will come once everything is sent.
    pub(crate) half_close: bool,
}

impl Manner {
    pub(crate) const BRISK: Self = Self {
        write: Pace::FULL,
        read: Pace::FULL,
        half_close: false,
    };
}

/// How long a client waits for `100 Continue` before it sends all the same.
const CONTINUE: Duration = Duration::from_secs(2);

/// Sends `requests` one after the other without waiting, reads the answers, and notes what came of each. Whether the
/// connection may carry another request.
pub(crate) async fn converse(
    book: &Book,
    generation: u32,
    line: &mut Line,
    requests: &[Request],
    manner: Manner,
) -> bool {
    for request in requests {
        book.begin(request.marker, request.asked.clone());
    }
    let sent: Vec<Progress> = requests.iter().map(|_| Progress::default()).collect();
    let go_on = Notify::new();
    line.reading.pace = manner.read;
    if !manner.read.pause.is_zero() {
        line.narrow();
    }
    let (reading, writer) = (&mut line.reading, &mut line.writer);
    let sending = async {
        for (request, sent) in requests.iter().zip(&sent) {
            // Whatever is wrong, the answer will tell.
            if send(writer, request, manner.write, &go_on, sent)
                .await
                .is_err()
            {
                return;
            }
        }
        if manner.half_close {
            // Where that fails, no answer will come, which is noticed.
            writer.shutdown().await.ok();
        }
    };
    let answering = async {
        let mut open = true;
        for (request, sent) in requests.iter().zip(&sent) {
            let heard = if open {
                hear(book, reading, request, &go_on).await
            } else {
                (Heard::Nothing(None), false)
            };
            open = heard.1;
            let told = Told {
                sent: sent.get(),
                heard: heard.0,
                left: false,
            };
            book.end(request.marker, told, generation);
        }
        open
    };
    let mut sending = std::pin::pin!(sending);
    let mut answering = std::pin::pin!(answering);
    let mut all_sent = false;
    loop {
        tokio::select! {
            biased;
            open = &mut answering => return open && all_sent,
            () = &mut sending, if !all_sent => all_sent = true,
        }
    }
}

/// How far a request has been sent, seen from whoever reads its answer.
#[derive(Debug, Default)]
struct Progress(AtomicU8);

impl Progress {
    fn set(&self, sent: Sent) {
        let level = match sent {
            Sent::Little => 0,
            Sent::Head => 1,
            Sent::All => 2,
        };
        self.0.store(level, Ordering::Relaxed);
    }

    fn get(&self) -> Sent {
        match self.0.load(Ordering::Relaxed) {
            0 => Sent::Little,
            1 => Sent::Head,
            _ => Sent::All,
        }
    }
}

async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    request: &Request,
    pace: Pace,
    go_on: &Notify,
    sent: &Progress,
) -> std::io::Result<()> {
    let small = request.body.len() <= pace.piece.min(4096);
    if small && !request.expects {
        writer
            .write_all(&[request.head.as_ref(), &request.body].concat())
            .await?;
        writer.flush().await?;
        sent.set(Sent::All);
        return Ok(());
    }
    writer.write_all(&request.head).await?;
    writer.flush().await?;
    sent.set(Sent::Head);
    if request.expects {
        // RFC 9110 §10.1.1: a client need not wait for ever.
        timeout(CONTINUE, go_on.notified()).await.ok();
    }
    for piece in request.body.chunks(pace.piece.max(1)) {
        writer.write_all(piece).await?;
        writer.flush().await?;
        pace.rest().await;
    }
    sent.set(Sent::All);
    Ok(())
}

/// Reads one final answer; whether another may follow on this connection.
async fn hear(
    book: &Book,
    reading: &mut Reading<impl AsyncRead + Unpin>,
    request: &Request,
    go_on: &Notify,
) -> (Heard, bool) {
    let head = loop {
        match reading.response_head().await {
            Ok(Some(head)) if head.status < 200 => {
                if head.status == 100 {
                    go_on.notify_one();
                }
            }
            Ok(Some(head)) => break head,
            Ok(None) => return (Heard::Nothing(Some(End::Closed)), false),
            Err(end) => {
                malformed(book, request, &end);
                return (Heard::Nothing(Some(end)), false);
            }
        }
    };
    let status = head.status;
    let mut body = Body::default();
    let read = match head.response_framing() {
        Ok(framing) => reading.body(framing, &mut body).await,
        Err(end) => Err(end),
    };
    if let Err(end) = read {
        malformed(book, request, &end);
        return (Heard::Begun { status }, false);
    }
    let until_close =
        head.field("content-length").is_none() && head.field("transfer-encoding").is_none();
    let closes = until_close
        || head
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    (Heard::Whole(whole(book, request, &head, &body)), !closes)
}

fn malformed(book: &Book, request: &Request, end: &End) {
    if let End::Bad(why) = end {
        book.find(format!(
            "{}: the client got a malformed answer: {why}",
            request.marker
        ));
    }
}

/// A whole answer, after a look at whether it is the answer to this request and unharmed.
fn whole(book: &Book, request: &Request, head: &Head, body: &Body) -> Whole {
    let marker = request.marker;
    let code = head.field("x-tollgate-error").map(str::to_owned);
    if code.is_none() {
        let expected = marker.to_string();
        if head.field(MARKER) != Some(expected.as_str()) {
            let whose = head.field(MARKER).unwrap_or("nobody");
            book.find(format!("{marker} got the answer to {whose}"));
        }
        let crc = format!("{:08x}", crc32fast::hash(&body.content));
        if head.field(CRC) != Some(crc.as_str()) {
            book.find(format!(
                "{marker}: the content of the answer is not what was sent"
            ));
        }
    }
    let tokens = tokens::told(head, &body.content).unwrap_or_else(|why| {
        book.find(format!("{marker}: the answer cannot be read: {why}"));
        super::super::book::Tokens::None
    });
    Whole {
        status: head.status,
        code,
        request_id: head.field("x-amzn-requestid").map(str::to_owned),
        tokens,
        body_bytes: body.wire_bytes,
    }
}

/// When a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    InHead,
    AfterHead,
    InBody,
    /// So long after it has asked.
    Waiting(Duration),
    /// After so many octets of the answer's body.
    InAnswer(usize),
}

/// Begins `request` and goes before it has an answer.
pub(crate) async fn desert(
    book: &Book,
    generation: u32,
    mut line: Line,
    request: &Request,
    moment: Moment,
    going: Going,
) {
    book.begin(request.marker, request.asked.clone());
    let (sent, heard) = until(&mut line, request, moment).await;
    line.go(going).await;
    let told = Told {
        sent,
        heard,
        left: true,
    };
    book.end(request.marker, told, generation);
}

async fn until(line: &mut Line, request: &Request, moment: Moment) -> (Sent, Heard) {
    let nothing = Heard::Nothing(None);
    let half = |octets: &[u8]| octets.len() / 2;
    let (head, body) = (request.head.as_ref(), request.body.as_ref());
    let (octets, sent) = match moment {
        Moment::InHead => (
            head.get(..half(head)).unwrap_or_default().to_vec(),
            Sent::Little,
        ),
        Moment::AfterHead => (head.to_vec(), Sent::Head),
        Moment::InBody => {
            let body = body.get(..half(body)).unwrap_or_default();
            ([head, body].concat(), Sent::Head)
        }
        Moment::Waiting(_) | Moment::InAnswer(_) => ([head, body].concat(), Sent::All),
    };
    if line.send(&octets).await.is_err() {
        return (Sent::Little.max(sent.min(Sent::Head)), nothing);
    }
    match moment {
        Moment::Waiting(pause) => sleep(pause).await,
        Moment::InAnswer(octets) => {
            let Ok(Some(head)) = line.reading.response_head().await else {
                return (sent, nothing);
            };
            let left = octets.saturating_sub(line.reading.buffer.len());
            let mut some = (&mut line.reading.stream).take(u64::try_from(left).unwrap_or(0));
            // As much as comes; it is not looked at.
            some.read_to_end(&mut Vec::new()).await.ok();
            return (
                sent,
                Heard::Begun {
                    status: head.status,
                },
            );
        }
        _ => {}
    }
    (sent, nothing)
}
