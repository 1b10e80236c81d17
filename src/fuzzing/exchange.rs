//! A whole connection: raw bytes of a client and raw answers of upstreams through the proxy itself, over pipes.
//!
//! Whatever both sides do, what reaches an upstream is one whole message after the other and each of them one that the
//! client sent, what reaches the client is an answer that came whole or one that shows that it did not, every exchange is
//! recorded once, and when both peers are gone the connection is over. Judged by the strict reader.

use std::cell::OnceCell;
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{Semaphore, watch};

use super::pipe::{block_on, pipe};
use super::strict::{self, Message, Read};
use super::{parts, pieces, steered};
use crate::app;
use crate::config::{HostPattern, Options, PrivateDestinations, Settings, UpstreamProxy, Vouched};
use crate::ledger::writer::{Collected, Ledger};
use crate::ledger::{Outcome, UsageRecord};
use crate::net::ca::CertificateAuthority;
use crate::net::certificate_store::CertificateStore;
use crate::net::dial::{Origin, Reach};
use crate::net::pool::{UpstreamConnection, UpstreamPool};
use crate::net::stream::BoxDuplex;
use crate::net::tls_server::ServerConfigs;
use crate::net::trust::PlatformRoots;
use crate::proxy::authentication::Authentication;
use crate::proxy::caller::Sessions;
use crate::proxy::capture::CaptureRoom;
use crate::proxy::recording::Recordings;
use crate::proxy::{Phase, Services, connection};
use crate::spend::budget::Budgets;
use crate::wire::http1::Scheme;

/// The upstreams that answer. Whatever else is asked for cannot be dialled.
const UPSTREAMS: [(Scheme, &str, u16, Reach); 5] = [
    (
        Scheme::Https,
        BEDROCK,
        443,
        Reach::observed(Vouched::AsOneOf),
    ),
    // Inside a CONNECT without TLS.
    (
        Scheme::Http,
        BEDROCK,
        443,
        Reach::observed(Vouched::AsOneOf),
    ),
    (Scheme::Http, BEDROCK, 80, Reach::observed(Vouched::AsOneOf)),
    (
        Scheme::Https,
        "up.example",
        8443,
        Reach::observed(Vouched::Itself),
    ),
    (
        Scheme::Http,
        "plain.example",
        80,
        Reach::unobserved(Vouched::No),
    ),
];

const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";

/// Warm connections to each of them.
const WARM: usize = 2;

/// An address to which the kernel opens no connection and sends no packet.
const NOWHERE: &str = "255.255.255.255:9";

/// What is built once.
struct World {
    services: Arc<Services>,
    records: Collected,
    phase: watch::Sender<Phase>,
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let nowhere: SocketAddr = NOWHERE.parse().unwrap();
        let file = r#"
            intercept = ["*.open.example"]
            deny = ["*.denied.example"]
            upstream_proxy = "http://255.255.255.255:9"
            [[route]]
            prefix = "/service/mine/"
            upstream = "https://up.example:8443"
            [[budget]]
            name = "looks into bodies and lets all pass"
            route = "/service/mine/"
            total_tokens = 1000000000000000
            window = "24h"
        "#;
        let options: Options = toml::from_str(file).unwrap();
        let upstream_proxy = UpstreamProxy::from_options(&options, |_| None).unwrap();
        let mut settings =
            Settings::from_options(options, PathBuf::from(home.path()), None).unwrap();
        settings.upstream_proxy = upstream_proxy;
        settings.dial_intercepted = Some(nowhere);
        settings.private_destinations = PrivateDestinations::Deny;
        assert!(
            settings
                .policy
                .hosts
                .deny
                .iter()
                .any(|deny| matches!(deny, HostPattern::Below(_)))
        );
        let now = SystemTime::now();
        let authority =
            CertificateAuthority::open_or_create(home.path(), &app::constraints(&settings), now)
                .unwrap();
        let roots = PlatformRoots::load(home.path());
        let dialer = app::dialer(&settings, &roots, Some(&authority)).unwrap();
        let store = Arc::new(
            CertificateStore::new(
                authority,
                None,
                std::collections::HashMap::new(),
                &settings.limits,
            )
            .unwrap(),
        );
        let hosts = settings.policy.hosts.clone();
        let intercepts = Arc::new(move |name: &str| hosts.is_intercepted(name));
        let capacity = settings.limits.capacity(settings.listen.ip(), None);
        let (ledger, records) = Ledger::collecting();
        let captures = Arc::new(CaptureRoom::new(settings.limits.payload_memory));
        let (phase, phases) = watch::channel(Phase::Serving);
        let services = Services {
            policy: Arc::new(arc_swap::ArcSwap::from_pointee(settings.policy.clone())),
            budgets: Arc::new(Budgets::new(settings.policy.budgets.clone())),
            tls: ServerConfigs::new(store, intercepts).unwrap(),
            pool: UpstreamPool::new(dialer, Duration::from_secs(60), 64),
            settings,
            ledger,
            captures,
            sessions: Sessions::default(),
            authentication: Authentication::new().unwrap(),
            drains: Arc::new(Semaphore::new(0)),
            recordings: Recordings::default(),
            metrics: Arc::default(),
            load: Arc::new(crate::proxy::load::Load::new(capacity)),
            phase: phases,
        };
        Self {
            services: Arc::new(services),
            records,
            phase,
        }
    }
}

/// How both sides behave besides what they say.
#[derive(Clone, Copy)]
struct Manners {
    /// Cuts of everything that is written.
    cut: u8,
    /// When an upstream answers.
    answers: Answers,
    /// The upstream closes once it has answered.
    closes: bool,
    /// What the client does when nothing moves any more.
    leaves: Leaves,
    /// The gate is told to stop when nothing moves any more, and perhaps to wait for nothing.
    drains: bool,
    /// What each direction of a pipe holds.
    room: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    AtOnce,
    AfterHead,
    AfterBody,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    AfterTheUpstream,
    ByHalves,
    AtOnce,
}

impl Manners {
    fn read(steer: u8, cut: u8) -> Self {
        Self {
            cut,
            answers: [Answers::AfterBody, Answers::AfterHead, Answers::AtOnce]
                [usize::from(steer % 3)],
            closes: steer & 8 != 0,
            leaves: [Leaves::ByHalves, Leaves::AfterTheUpstream, Leaves::AtOnce]
                [usize::from(steer / 16 % 3)],
            drains: steer & 64 != 0,
            room: if steer & 128 != 0 { 64 } else { 64 * 1024 },
        }
    }
}

/// One end of a pipe: writes what it is to write, keeps what it reads.
struct End {
    stream: Option<DuplexStream>,
    pending: VecDeque<Vec<u8>>,
    received: Vec<u8>,
    /// The gate ended its side.
    ended: bool,
}

impl End {
    fn new(stream: DuplexStream) -> Self {
        Self {
            stream: Some(stream),
            pending: VecDeque::new(),
            received: Vec::new(),
            ended: false,
        }
    }

    fn say(&mut self, bytes: &[u8], cut: u8) {
        self.pending.extend(pieces(bytes, cut).map(<[u8]>::to_vec));
    }

    /// Moves bytes as far as they go; whether any moved.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let mut moved = false;
        let mut space = [0; 4096];
        while !self.ended {
            let mut buffer = ReadBuf::new(&mut space);
            let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(cx, &mut buffer) else {
                break;
            };
            moved = true;
            self.received.extend_from_slice(buffer.filled());
            self.ended = read.is_err() || buffer.filled().is_empty();
        }
        if let Some(piece) = self.pending.front_mut() {
            match Pin::new(&mut *stream).poll_write(cx, piece) {
                Poll::Ready(Ok(written)) => {
                    moved = true;
                    piece.drain(..written);
                    if piece.is_empty() {
                        self.pending.pop_front();
                    }
                }
                Poll::Ready(Err(_)) => {
                    moved = true;
                    self.pending.clear();
                }
                Poll::Pending => {}
            }
        }
        moved
    }

    /// Says that nothing more will be written.
    fn half_close(&mut self, cx: &mut Context<'_>) {
        if let Some(stream) = &mut self.stream {
            let _ended = Pin::new(stream).poll_shutdown(cx);
        }
    }

    fn leave(&mut self) {
        self.stream = None;
        self.pending.clear();
    }
}

/// An upstream's connection.
struct Upstream {
    end: End,
    /// Where the request begins that came last.
    next: usize,
    state: State,
    /// When the first byte of each request came, among those of all connections.
    began: Vec<usize>,
}

/// What an upstream has to do with the request that came last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has not begun.
    Idle,
    /// It is owed an answer.
    Owed,
    /// It was answered, and may not have come whole yet.
    Answered,
}

/// What all upstreams say, one answer for each request, and in which order requests came.
struct Script<'a> {
    answers: VecDeque<&'a [u8]>,
    requests: usize,
}

impl Upstream {
    fn new(stream: DuplexStream) -> Self {
        Self {
            end: End::new(stream),
            next: 0,
            state: State::Idle,
            began: Vec::new(),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, manners: Manners, script: &mut Script<'_>) -> bool {
        let moved = self.end.turn(cx);
        let received = &self.end.received[self.next..];
        if received.is_empty() {
            return moved;
        }
        if self.state == State::Idle {
            self.state = State::Owed;
            self.began.push(script.requests);
            script.requests += 1;
        }
        let read = strict::request(received);
        let is_due = match (&read, manners.answers) {
            (Read::Whole(..), _) | (_, Answers::AtOnce) => true,
            (Read::Cut(head), Answers::AfterHead) => head.is_some(),
            _ => false,
        };
        if is_due && self.state == State::Owed {
            self.state = State::Answered;
            match script.answers.pop_front() {
                Some(answer) => self.end.say(answer, manners.cut),
                None => self.end.leave(),
            }
            return true;
        }
        if let (Read::Whole(_, rest), State::Answered, true) =
            (read, self.state, self.end.pending.is_empty())
        {
            self.next = self.end.received.len() - rest.len();
            self.state = State::Idle;
            if manners.closes {
                self.end.leave();
            }
            return true;
        }
        moved
    }
}

/// What was seen of a connection when it was over.
struct Seen {
    client: End,
    upstreams: Vec<Upstream>,
    reset: Arc<AtomicBool>,
}

/// Longest time that a connection may live on when both its peers are gone. What takes time then is an estimate.
const HANGS: Duration = Duration::from_secs(20);

/// A client's bytes and up to five answers.
pub(super) fn exchange(data: &[u8]) {
    if let Some(played) = Played::of(data) {
        judge(&played);
    }
}

/// What was said on a connection, and what came of it.
pub(super) struct Played<'a> {
    client: &'a [u8],
    answers: Vec<&'a [u8]>,
    seen: Seen,
    pub(super) records: Vec<UsageRecord>,
}

impl<'a> Played<'a> {
    pub(super) fn of(data: &'a [u8]) -> Option<Self> {
        let (steer, rest) = steered(data)?;
        let (cut, rest) = steered(rest)?;
        let [client, answers @ ..]: [&[u8]; 6] = parts(rest);
        let manners = Manners::read(steer, cut);
        let answers: Vec<&[u8]> = answers
            .into_iter()
            .filter(|answer| !answer.is_empty())
            .collect();
        let mut script = Script {
            answers: answers.iter().copied().collect(),
            requests: 0,
        };
        WORLD.with(|world| {
            let world = world.get_or_init(World::new);
            let seen = block_on(run(world, manners, client, &mut script));
            world
                .services
                .pool
                .sweep(Instant::now() + Duration::from_secs(3600));
            world.phase.send_replace(Phase::Serving);
            Some(Self {
                client,
                answers,
                seen,
                records: world.records.take(),
            })
        })
    }

    /// How many requests came to an upstream, and how many bytes to the client.
    #[cfg(test)]
    pub(super) fn came(&self) -> (usize, usize) {
        let requests = self
            .seen
            .upstreams
            .iter()
            .map(|upstream| requests(&upstream.end.received).0.len());
        (requests.sum(), self.seen.client.received.len())
    }
}

async fn run(world: &World, manners: Manners, client: &[u8], script: &mut Script<'_>) -> Seen {
    let services = &world.services;
    let mut upstreams = Vec::new();
    for (scheme, host, port, reach) in UPSTREAMS {
        for _ in 0..WARM {
            let (near, far, _) = pipe(manners.room);
            let (reader, writer) = tokio::io::split(near);
            let origin = Origin {
                scheme,
                host: host.to_owned(),
                port,
            };
            services.pool.check_in(
                origin,
                reach,
                UpstreamConnection {
                    reader,
                    writer,
                    buffer: BytesMut::new(),
                },
            );
            upstreams.push(Upstream::new(far));
        }
    }
    let (near, far, reset) = pipe(manners.room);
    let mut seen = Seen {
        client: End::new(far),
        upstreams,
        reset,
    };
    seen.client.say(client, manners.cut);
    drive(world, manners, near, &mut seen, script).await;
    seen
}

/// Lets everybody have their turn until the connection is over. Whenever nothing moves any more, the next one leaves.
async fn drive(
    world: &World,
    manners: Manners,
    near: BoxDuplex,
    seen: &mut Seen,
    script: &mut Script<'_>,
) {
    let peer = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let serve = connection::serve_stream(Arc::clone(&world.services), near, peer, None);
    let mut serve = pin!(serve);
    let mut hangs = pin!(tokio::time::sleep(HANGS));
    let (mut quiet, mut departures) = (0, 0);
    std::future::poll_fn(|cx| {
        let mut over = false;
        loop {
            over = over || serve.as_mut().poll(cx).is_ready();
            let mut moved = seen.client.turn(cx);
            for upstream in &mut seen.upstreams {
                moved |= upstream.turn(cx, manners, script);
            }
            if !moved {
                break;
            }
            quiet = 0;
        }
        if over {
            return Poll::Ready(());
        }
        assert!(
            hangs.as_mut().poll(cx).is_pending(),
            "the connection outlives its peers"
        );
        if world.services.recordings.running() > 0 {
            // Something is estimated on another thread, which wakes us.
            return Poll::Pending;
        }
        // Tasks beside this one have their turn before anybody leaves.
        quiet += 1;
        if quiet > 2 {
            match (departures, manners.leaves) {
                (0, _) if manners.drains => {
                    world.phase.send_replace(Phase::Draining);
                }
                (1, Leaves::ByHalves) if manners.drains => {
                    world.phase.send_replace(Phase::Cut);
                }
                (0 | 1, Leaves::ByHalves) => seen.client.half_close(cx),
                (0 | 1, Leaves::AtOnce) | (3, _) => seen.client.leave(),
                (2, _) => seen
                    .upstreams
                    .iter_mut()
                    .for_each(|upstream| upstream.end.leave()),
                (4, _) => return Poll::Pending,
                _ => {}
            }
            departures += 1;
            quiet = 0;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Holds what was seen against what was sent.
fn judge(played: &Played<'_>) {
    let Played {
        client,
        answers,
        seen,
        records,
    } = played;
    let (asked, rest) = requests(client);
    let speaks_http = !(rest.starts_with(&[0x16]) || rest.starts_with(b"PRI"));
    judge_upstreams(&asked, rest, seen);
    let got = received(&asked, &seen.client.received, speaks_http);
    let ids: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids.len(), records.len(), "an exchange is recorded twice");
    let complete = records
        .iter()
        .filter(|record| record.outcome == Outcome::Complete)
        .count();
    // No more than one exchange can end without an answer, or with a part of one: the connection ends with it.
    let (least, most) = (
        got.answers - got.unrecorded.min(got.answers),
        got.answers + 1,
    );
    assert!(
        (least..=most).contains(&records.len()),
        "{} records for {} answers",
        records.len(),
        got.answers
    );
    if answers
        .iter()
        .any(|answer| memchr::memmem::find(answer, b"x-tollgate").is_some())
    {
        return;
    }
    assert!(
        complete >= got.passed_on.len() || seen.reset.load(Ordering::Relaxed),
        "an answer is not counted"
    );
    let mut sent = answers.iter();
    for (method, passed_on) in &got.passed_on {
        let came = sent.any(|answer| match last_of(answer, method) {
            Some(Read::Whole(message, _)) => {
                message.head.start[1..] == passed_on.head.start[1..]
                    && message.body == passed_on.body
            }
            _ => false,
        });
        let is_cut = passed_on.until_close
            && (seen.reset.load(Ordering::Relaxed) || seen.client.stream.is_none());
        assert!(
            came || is_cut,
            "the client takes an answer for whole that never came"
        );
    }
}

/// The messages at the front of what a client sent, and the rest.
fn requests(bytes: &[u8]) -> (Vec<Message<'_>>, &[u8]) {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Read::Whole(message, after) = strict::request(rest) {
        found.push(message);
        rest = after;
    }
    (found, rest)
}

/// The final response in one answer.
fn last_of<'a>(answer: &'a [u8], method: &str) -> Option<Read<'a>> {
    let mut rest = answer;
    loop {
        match strict::response(rest, method) {
            Read::Whole(message, after) if message.head.start[1].starts_with(b"1") => rest = after,
            read => return Some(read),
        }
    }
}

/// Every request at an upstream is one that the client sent, in the order it sent them, and whole unless it broke off.
fn judge_upstreams(asked: &[Message<'_>], rest: &[u8], seen: &Seen) {
    let mut came: Vec<(usize, Message<'_>)> = Vec::new();
    for upstream in &seen.upstreams {
        let (whole, left) = requests(&upstream.end.received);
        match strict::request(left) {
            Read::Cut(_) => {}
            Read::Whole(..) => unreachable!("they were taken"),
            Read::Malformed(why) => panic!(
                "an upstream is sent {why}: {:?}",
                left.escape_ascii().to_string()
            ),
        }
        let began = upstream
            .began
            .iter()
            .copied()
            .chain(std::iter::repeat(usize::MAX));
        came.extend(began.zip(whole));
    }
    came.sort_by_key(|(began, _)| *began);
    let mut sent = asked.iter();
    for (_, message) in &came {
        assert!(
            sent.any(|sent| is_forwarded(sent, message)),
            "an upstream is sent what no client sent: {rest:?}"
        );
    }
}

/// Whether `came` is `sent` as a gate may pass it on.
fn is_forwarded(sent: &Message<'_>, came: &Message<'_>) -> bool {
    let [method, target, version] = sent.head.start;
    let [came_method, came_target, came_version] = came.head.start;
    let mut lines = sent.head.lines.iter();
    let kept = came.head.lines.iter().all(|line| {
        lines.any(|sent| {
            sent.whole == line.whole
                || (line.name.eq_ignore_ascii_case(b"host") && sent.name == line.name)
        })
    });
    let is_suffix = target.ends_with(came_target)
        || target.ends_with(came_target.strip_prefix(b"/").unwrap_or_default());
    let one_hop = [
        "connection",
        "proxy-authorization",
        "proxy-connection",
        "keep-alive",
        "te",
        "upgrade",
    ];
    let is_clean = one_hop.iter().all(|name| came.head.all(name).is_empty());
    method == came_method
        && version == came_version
        && is_suffix
        && kept
        && is_clean
        && sent.body == came.body
}

/// What a client made of what it was sent.
struct Got<'a> {
    /// Final responses that were whole.
    answers: usize,
    /// Of them, those that are of no exchange: consents to CONNECT and the gate's own page.
    unrecorded: usize,
    /// Of them, those that came from an upstream, each with the method that it answers.
    passed_on: Vec<(&'a str, Message<'a>)>,
}

fn received<'a>(asked: &'a [Message<'_>], bytes: &'a [u8], speaks_http: bool) -> Got<'a> {
    let mut got = Got {
        answers: 0,
        unrecorded: 0,
        passed_on: Vec::new(),
    };
    let mut rest = bytes;
    let mut asked = asked.iter();
    while !rest.is_empty() {
        let next = asked.next();
        if next.is_none() && !speaks_http {
            break;
        }
        // What is no request is refused as if it had been one.
        let method = next.map_or("GET", |asked| {
            std::str::from_utf8(asked.head.start[0]).unwrap()
        });
        let answer = loop {
            match strict::response(rest, method) {
                Read::Whole(answer, after) => {
                    rest = after;
                    if !answer.head.start[1].starts_with(b"1") {
                        break answer;
                    }
                }
                Read::Cut(_) => return got,
                Read::Malformed(why) => panic!(
                    "the client is sent {why}: {:?}",
                    rest.escape_ascii().to_string()
                ),
            }
        };
        got.answers += 1;
        let is_ours = !answer.head.all("x-tollgate-error").is_empty();
        let target = next.map_or(&b""[..], |asked| asked.head.start[1]);
        let is_page = matches!(method, "GET" | "HEAD")
            && matches!(target, b"/" | b"/ca.pem" | b"/bundle.pem");
        if !is_ours && (method == "CONNECT" || is_page) {
            got.unrecorded += 1;
        } else if !is_ours {
            got.passed_on.push((method, answer));
        } else if next.is_none() {
            assert_eq!(
                answer.head.all("connection"),
                [b"close"],
                "the connection goes on behind what is no request"
            );
        }
    }
    got
}
