//! One client connection: what it speaks is asked again after every layer that opens, and the same loop serves all
//! entry forms. RFC 9112 §9, RFC 9110 §9.3.6.
//!
//! A connection is one task. It ends when the client does, when a message cannot be delimited, when nothing comes for
//! too long, or when the gate drains and no exchange is running.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::access::{self, ProxyUser};
use super::asked::Asked;
use super::closing::{after_answer, answer_and_linger_on, linger, send, shut_down};
use super::exchange::{self, Afterwards};
use super::landing::{self, Reached};
use super::layer::{HEAD_ROOM, HTTP2_ONLY, Layer};
use super::meter::{Arrival, reply_into};
use super::relay::ClientReader;
use super::reply::{Kind, Reply};
use super::route::{Route, Rules, Scope, route};
use super::settle::Settled;
use super::{Services, caller, challenge, tunnel};
use crate::aws::{mask, sigv4};
use crate::config::Policy;
use crate::ledger::{Entry, Identity, Payload};
use crate::net::dial::Origin;
use crate::net::stream::{BoxDuplex, Duplex};
use crate::wire::http1::{HeadError, RequestHead, Scheme};
use crate::wire::http2;
use crate::wire::sniff::Opening;

/// What follows the requests of a layer.
enum Next {
    Done,
    /// A CONNECT that we open has been granted.
    Open {
        stream: BoxDuplex,
        buffer: BytesMut,
        host: String,
        port: u16,
        user: ProxyUser,
    },
    Tunnel {
        stream: BoxDuplex,
        buffer: BytesMut,
        arrival: Arrival,
        host: String,
        port: u16,
        user: ProxyUser,
    },
}

/// What one request leads to.
enum Step {
    After(Afterwards),
    Open {
        host: String,
        port: u16,
        user: ProxyUser,
    },
    Tunnel {
        arrival: Arrival,
        host: String,
        port: u16,
        user: ProxyUser,
    },
}

/// Serves the connection from `client` to its end.
pub async fn serve(services: Arc<Services>, socket: TcpStream, client: SocketAddr) {
    crate::net::dial::tune(&socket);
    let reached = socket.local_addr().ok().map(|address| address.ip());
    serve_stream(services, Box::new(socket), client, reached).await;
}

/// [`serve`] for a connection that need not be a socket. `reached`: the address of ours that the client came in by.
pub(crate) async fn serve_stream(
    services: Arc<Services>,
    stream: BoxDuplex,
    client: SocketAddr,
    reached: Option<IpAddr>,
) {
    let connection = Connection {
        services: &services,
        client,
        reached,
    };
    let mut layer = Layer::of_port(stream);
    loop {
        let opening = match layer.sniff(&services).await {
            Some(Opening::Tls) if !layer.secured => {
                let opening = Box::pin(layer.open_tls(&services, client));
                let Some(opened) = opening.await else {
                    return;
                };
                layer = opened;
                layer.sniff(&services).await
            }
            other => other,
        };
        match opening {
            None => return shut_down(&mut layer.stream).await,
            Some(Opening::Http2Preface) => return connection.refuse_http2(layer).await,
            // A TLS record where HTTP should be: the head parser says so.
            Some(Opening::Http1 | Opening::Tls) => {}
        }
        layer = match connection.serve_requests(layer).await {
            Next::Done => return,
            Next::Open {
                stream,
                buffer,
                host,
                port,
                user,
            } => {
                let scope = Scope::Tunnel(Origin {
                    scheme: Scheme::Http,
                    host,
                    port,
                });
                Layer {
                    stream,
                    buffer,
                    scope,
                    secured: false,
                    user,
                }
            }
            Next::Tunnel {
                stream,
                buffer,
                arrival,
                host,
                port,
                user,
            } => {
                let buffer = buffer.freeze();
                let who = Identity {
                    proxy_user: user.name,
                    ..Identity::default()
                };
                let run = tunnel::run(&services, arrival, who, stream, buffer, (&host, port));
                return Box::pin(run).await;
            }
        };
    }
}

/// How long a head that has begun may take to be complete once the gate stops.
const LAST_HEADS: Duration = Duration::from_secs(2);

struct Connection<'a> {
    services: &'a Services,
    client: SocketAddr,
    /// The address of ours that the client came in by.
    reached: Option<IpAddr>,
}

impl Connection<'_> {
    async fn refuse_http2(&self, mut layer: Layer) {
        tracing::warn!(client = %self.client, "{HTTP2_ONLY}");
        answer_and_linger_on(&mut layer.stream, &http2::http_1_1_required(HTTP2_ONLY)).await;
    }

    async fn serve_requests(&self, layer: Layer) -> Next {
        let Layer {
            stream,
            buffer,
            scope,
            secured,
            user,
        } = layer;
        let (reader, mut writer) = tokio::io::split(stream);
        let mut client = ClientReader {
            reader,
            buffer,
            secured,
            room: self.services.settings.limits.head.bytes,
        };
        let step = loop {
            let step = self.serve_request(&scope, &user, &mut client, &mut writer);
            match step.await {
                // What was sent behind it is a new request.
                Step::After(Afterwards::Keep) if self.services.is_draining() => {
                    break Step::After(Afterwards::Close);
                }
                Step::After(Afterwards::Keep) => {}
                step => break step,
            }
        };
        match step {
            Step::After(Afterwards::Keep | Afterwards::Drop) => Next::Done,
            Step::After(Afterwards::Reset) => {
                client.reader.unsplit(writer).reset();
                Next::Done
            }
            Step::After(Afterwards::Close) => {
                shut_down(&mut writer).await;
                Next::Done
            }
            Step::After(Afterwards::Linger) => {
                tokio::select! {
                    () = linger(&mut client.reader, &mut writer) => {}
                    () = self.services.cut() => {}
                }
                Next::Done
            }
            Step::Open { host, port, user } => Next::Open {
                stream: client.reader.unsplit(writer),
                buffer: client.buffer,
                host,
                port,
                user,
            },
            Step::Tunnel {
                arrival,
                host,
                port,
                user,
            } => {
                let stream = client.reader.unsplit(writer);
                Next::Tunnel {
                    stream,
                    buffer: client.buffer,
                    arrival,
                    host,
                    port,
                    user,
                }
            }
        }
    }

    /// Waits for the next request and serves it. What that takes is only there while it is served: most of a connection's
    /// life is waiting.
    async fn serve_request(
        &self,
        scope: &Scope,
        known: &ProxyUser,
        client: &mut ClientReader,
        writer: &mut WriteHalf<BoxDuplex>,
    ) -> Step {
        match self.read_head(client).await {
            Ok(Some(head)) => Box::pin(self.serve_head(head, (scope, known), client, writer)).await,
            Ok(None) => Step::After(Afterwards::Close),
            Err(error) => Step::After(Box::pin(self.refuse_head(scope, &error, writer)).await),
        }
    }

    async fn serve_head(
        &self,
        head: RequestHead,
        (scope, known): (&Scope, &ProxyUser),
        client: &mut ClientReader,
        writer: &mut WriteHalf<BoxDuplex>,
    ) -> Step {
        let arrival = Arrival::now(self.client);
        let scheme = if client.secured {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let reached = Reached {
            address: self.reached,
            scheme,
        };
        let policy = self.services.policy();
        let home = &self.services.settings.home;
        let page = landing::answer(&head, scope, reached, home, &policy.hosts);
        if let Some(page) = page.await {
            return Step::After(after_answer(send(writer, &page).await));
        }
        let rules = Rules {
            hosts: &policy.hosts,
            routes: &policy.routes,
        };
        let route = route(&head, scope, rules);
        let request = (&head, scope, &route);
        let user = access::identify(self.services, &policy, self.client.ip(), request, known);
        let user = match user.await {
            Ok(user) => user,
            Err(reply) => {
                let sides = (client, writer);
                let refusal = self.turn_away(arrival, request, reply, &policy, sides);
                return Step::After(refusal.await);
            }
        };
        let (reply, entry) = match route {
            Route::Exchange(mut plan) => {
                plan.proven = user.proven().is_some();
                plan.proxy_user = user.name;
                let sides = (client, writer);
                let run = exchange::run(self.services, arrival, &head, plan, &policy, sides);
                return Step::After(Box::pin(run).await);
            }
            Route::Open { host, .. } if !self.services.tls.covers(&host) => {
                let why = format!(
                    "no certificate can be shown for {host}: the issuing CA does not permit the name"
                );
                (Reply::new(Kind::NoCertificate, why), None)
            }
            Route::Open { host, port } => {
                return match send(writer, tunnel::ESTABLISHED).await {
                    Ok(()) => Step::Open { host, port, user },
                    Err(_) => Step::After(Afterwards::Drop),
                };
            }
            Route::Tunnel { host, port } => {
                match access::check_tunnel(&policy, &host, user.proven()) {
                    Ok(()) => {
                        return Step::Tunnel {
                            arrival,
                            host,
                            port,
                            user,
                        };
                    }
                    Err(reply) => (reply, None),
                }
            }
            Route::RefusePlain(reply) => (reply, None),
            Route::RefuseTyped(reply, entry) => (reply, Some(entry)),
        };
        let about = (&head, scope, user.name, &*policy);
        self.refuse(arrival, about, (reply, entry), writer).await
    }

    /// Answers a request that goes nowhere: typed where the client expects AWS, by the door that it came by.
    async fn refuse(
        &self,
        arrival: Arrival,
        (head, scope, user, policy): (&RequestHead, &Scope, Option<String>, &Policy),
        (reply, entry): (Reply, Option<Entry>),
        writer: &mut WriteHalf<BoxDuplex>,
    ) -> Step {
        let bytes = match entry {
            Some(_) => reply.typed(head.method(), &arrival.id.to_string(), true),
            None => reply.plain(head.method(), true),
        };
        let mut asked = Asked::of(head, scope, &policy.hosts);
        asked.user = user;
        let entry = entry.unwrap_or_else(|| scope.entry());
        self.note_refusal(arrival, head, asked, entry, &reply, &bytes)
            .await;
        Step::After(after_answer(send(writer, &bytes).await))
    }

    /// Answers a request from somebody who is nobody here.
    async fn turn_away(
        &self,
        arrival: Arrival,
        (head, scope, route): (&RequestHead, &Scope, &Route),
        reply: Reply,
        policy: &Policy,
        (client, writer): (&mut ClientReader, &mut WriteHalf<BoxDuplex>),
    ) -> Afterwards {
        let (typed, entry) = challenge::reader(route, scope);
        let keeps = challenge::keeps(&reply, head, client.buffer.len());
        let bytes = if typed {
            reply.typed(head.method(), &arrival.id.to_string(), !keeps)
        } else {
            reply.plain(head.method(), !keeps)
        };
        let asked = Asked::of(head, scope, &policy.hosts);
        self.note_refusal(arrival, head, asked, entry, &reply, &bytes)
            .await;
        let sent = send(writer, &bytes).await;
        if !keeps || sent.is_err() {
            return after_answer(sent);
        }
        tokio::select! {
            whole = challenge::drop_body(head, client) => {
                if whole { Afterwards::Keep } else { Afterwards::Linger }
            }
            () = self.services.cut() => Afterwards::Drop,
        }
    }

    /// The next request head; `None` at the client's end, after too long a silence, or when the gate drains.
    async fn read_head(&self, client: &mut ClientReader) -> Result<Option<RequestHead>, HeadError> {
        let limits = &self.services.settings.limits.head;
        let timeouts = &self.services.settings.timeouts;
        if client.buffer.is_empty() {
            // Memory goes back while a connection idles.
            client.buffer = BytesMut::new();
            client.buffer.reserve(HEAD_ROOM);
            let first = timeout(timeouts.idle, client.reader.read_buf(&mut client.buffer));
            let arrived = tokio::select! {
                biased;
                first = first => matches!(first, Ok(Ok(1..))),
                () = self.services.draining() => false,
            };
            if !arrived {
                return Ok(None);
            }
        }
        // Most heads come in one piece.
        if let Some(head) = RequestHead::take(&mut client.buffer, limits)? {
            return Ok(Some(head));
        }
        let whole = async {
            loop {
                client.buffer.reserve(HEAD_ROOM);
                match client.reader.read_buf(&mut client.buffer).await {
                    Ok(1..) => {}
                    _ => return Ok(None),
                }
                if let Some(head) = RequestHead::take(&mut client.buffer, limits)? {
                    return Ok(Some(head));
                }
            }
        };
        tokio::select! {
            biased;
            head = timeout(timeouts.head, whole) => head.unwrap_or(Ok(None)),
            () = self.services.draining_for(LAST_HEADS) => Ok(None),
        }
    }

    async fn refuse_head(
        &self,
        scope: &Scope,
        error: &HeadError,
        writer: &mut WriteHalf<BoxDuplex>,
    ) -> Afterwards {
        let arrival = Arrival::now(self.client);
        let kind = if error.status() == 431 {
            Kind::HeadTooLarge
        } else {
            Kind::Malformed
        };
        let reply = Reply::new(kind, error.to_string());
        let mut record = arrival.record(scope.entry());
        record.status = Some(reply.status());
        record.error_type = Some(reply.error_type().to_owned());
        record.outcome = reply.outcome();
        tracing::warn!(client = %self.client, code = reply.code(), "refused: {}", reply.message);
        self.services
            .record(Some(Settled::only(record, None)))
            .await;
        after_answer(send(writer, &reply.typed("", &arrival.id.to_string(), true)).await)
    }

    async fn note_refusal(
        &self,
        arrival: Arrival,
        head: &RequestHead,
        asked: Asked,
        entry: Entry,
        reply: &Reply,
        sent: &[u8],
    ) {
        let connect = if asked.intercepted {
            Entry::Connect
        } else {
            Entry::Tunnel
        };
        let mut record = arrival.record(if head.method() == "CONNECT" {
            connect
        } else {
            entry
        });
        if asked.intercepted || entry != Entry::Forward {
            record.identity = caller::identity(head, &sigv4::read(head), &self.services.sessions);
            caller::attempt(&mut record, head);
        }
        record.identity.proxy_user = asked.user;
        record.host = asked.host;
        record.region = asked.region;
        record.operation = asked
            .call
            .as_ref()
            .map(|call| call.operation.name().to_owned());
        record.model = asked.call.and_then(|call| call.model);
        record.status = Some(reply.status());
        record.error_type = Some(reply.error_type().to_owned());
        record.outcome = reply.outcome();
        record.duration_ms = arrival.elapsed_ms();
        let target = mask::printable(mask::target(head.target()).as_bytes());
        if reply.kind == Kind::ProxyAuthentication {
            // Most clients ask without credentials first; who is wrong about them has a line of its own.
            tracing::debug!(client = %self.client, target, code = reply.code(), "asked who it is: {}", reply.message);
        } else {
            tracing::warn!(client = %self.client, target, code = reply.code(), "refused: {}", reply.message);
        }
        let mut payload = Payload {
            request_head: mask::request_head(head),
            ..Payload::default()
        };
        reply_into(&mut payload, sent);
        let settled = Settled::only(record, Some(payload));
        self.services.record(Some(settled)).await;
    }
}
