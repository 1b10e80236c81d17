//! One connection: read a request, judge it, answer it, and again.
//!
//! A request is put on the list of what was seen before its answer begins, so whoever holds an answer finds the request
//! there. Judging is left to the verifier, answering to the answers. RFC 9112 §9, RFC 9110 §10.1.1 for `Expect`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answers::{self, PromptCache};
use super::certificates::Certificates;
use super::fault::Fault;
use super::reader::{Body, Framing, ReadError, Reader};
use super::received::Received;
use super::reply::{Chunker, Reply, ReplyBody};
use super::seen::{Seen, SeenRequest, Verdict};
use super::verify::Claim;

/// What all connections share.
pub(super) struct Shared {
    pub(super) certificates: Arc<Certificates>,
    pub(super) seen: Seen,
    pub(super) prompt_cache: PromptCache,
    pub(super) clock: fn() -> SystemTime,
    pub(super) pace: Duration,
    pub(super) slow: Duration,
    pub(super) idle_timeout: Duration,
}

/// Longest request head.
const HEAD_LIMIT: usize = 64 * 1024;
/// Longest request body; the service takes 25,000,000 octets.
const BODY_LIMIT: usize = 26_000_000;

/// One connection and what is known about it.
pub(super) struct Connection<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) reader: Reader<S>,
    pub(super) number: u64,
    pub(super) server_name: String,
}

/// What becomes of the connection after an exchange.
enum After {
    /// The next request may come.
    GoOn,
    /// It ends in an orderly way.
    Close,
    /// It ends in the middle of an answer, without a word of TLS.
    Drop,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Serves requests until either side has had enough.
    pub(super) async fn serve(mut self) -> Result<(), ReadError> {
        loop {
            match self.exchange().await? {
                After::GoOn => {}
                After::Close => {
                    self.reader.close().await;
                    return Ok(());
                }
                After::Drop => return Ok(()),
            }
        }
    }

    /// One request and its answer.
    async fn exchange(&mut self) -> Result<After, ReadError> {
        let head = match self.reader.head(HEAD_LIMIT).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(After::Close),
            Err(error) => return self.refuse_unread(&Bytes::new(), error).await,
        };
        let request = match Received::parse(&head) {
            Ok(request) => request,
            Err(fault) => return self.refuse(&head, &fault).await,
        };
        let framing = match request.framing() {
            Ok(framing) => framing,
            Err(fault) => return self.refuse(&head, &fault).await,
        };
        let claim = self.check(&request);
        if request.expects_continue() && framing != Framing::Empty {
            if let Err(fault) = &claim {
                return self.refuse(&head, fault).await;
            }
            self.reader.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = match self.reader.body(framing, BODY_LIMIT).await {
            Ok(body) => body,
            Err(error) => return self.refuse_unread(&head, error).await,
        };
        let verdict = claim.and_then(|claim| claim.settle(&request, &body.content).map(|()| claim));
        let noted = match &verdict {
            Ok(claim) => Verdict::Accepted {
                caller: claim.caller().to_owned(),
            },
            Err(fault) => refused(fault),
        };
        self.note(&head, &body, noted);
        let reply = match verdict {
            Ok(_) => answers::answer(
                &request,
                &body.content,
                &self.shared.prompt_cache,
                (self.shared.clock)(),
            ),
            Err(fault) => Reply::fault(&fault),
        };
        self.answer(reply, &request).await
    }

    fn check(&self, request: &Received) -> Result<Claim, Fault> {
        let aliases = self.shared.certificates.aliases();
        Claim::check(request, &self.server_name, aliases, (self.shared.clock)())
    }

    async fn answer(&mut self, reply: Reply, request: &Received) -> Result<After, ReadError> {
        let pause = if reply.slow {
            self.shared.slow
        } else {
            self.shared.pace
        };
        if reply.slow {
            rest(pause).await;
        }
        let close = request.wants_close();
        let head = reply.head((self.shared.clock)(), close);
        match reply.body {
            _ if request.method == "HEAD" => self.reader.write(&head).await?,
            ReplyBody::Whole(body) => self.reader.write(&[head, body].concat()).await?,
            ReplyBody::Short(body) => {
                self.reader.write(&[head, body].concat()).await?;
                return Ok(After::Drop);
            }
            ReplyBody::Stream { events, cut } => {
                self.reader.write(&head).await?;
                let mut chunker = Chunker::default();
                for event in events {
                    rest(pause).await;
                    self.reader.write(&chunker.push(&event)).await?;
                }
                if cut {
                    return Ok(After::Drop);
                }
                self.reader.write(&chunker.finish()).await?;
            }
        }
        Ok(if close { After::Close } else { After::GoOn })
    }

    /// Answers a request that could not be read, as far as there is anybody to answer.
    async fn refuse_unread(&mut self, head: &Bytes, error: ReadError) -> Result<After, ReadError> {
        let fault = match &error {
            ReadError::TooLong(limit) => Fault::service(
                413,
                "ValidationException",
                format!("the message is longer than {limit} bytes"),
            ),
            ReadError::Malformed(what) => Fault::validation(format!("malformed message: {what}")),
            ReadError::Silent(_) if head.is_empty() => return Ok(After::Close),
            ReadError::Cut | ReadError::Silent(_) | ReadError::Io(_) => {
                self.note(
                    head,
                    &Body::default(),
                    refused(&Fault::validation(error.to_string())),
                );
                return Err(error);
            }
        };
        self.refuse(head, &fault).await
    }

    /// Answers with a fault instead of reading on; the connection ends with it.
    async fn refuse(&mut self, head: &Bytes, fault: &Fault) -> Result<After, ReadError> {
        self.note(head, &Body::default(), refused(fault));
        let reply = Reply::fault(fault);
        let head = reply.head((self.shared.clock)(), true);
        if let ReplyBody::Whole(body) = reply.body {
            self.reader.write(&[head, body].concat()).await?;
        }
        Ok(After::Close)
    }

    fn note(&self, head: &Bytes, body: &Body, verdict: Verdict) {
        self.shared.seen.request(SeenRequest {
            connection: self.number,
            server_name: self.server_name.clone(),
            // A copy, so that what is kept does not hold on to the reader's whole buffer.
            head: Bytes::copy_from_slice(head),
            body: body.content.clone(),
            body_on_wire: body.on_wire.clone(),
            verdict,
        });
    }
}

fn refused(fault: &Fault) -> Verdict {
    Verdict::Refused {
        name: fault.name.to_owned(),
        message: fault.message.clone(),
    }
}

async fn rest(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}
