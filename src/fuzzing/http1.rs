//! Heads, framing, targets and routes of HTTP/1.1, each against the strict reader and against itself cut elsewhere.

use bytes::BytesMut;

use super::strict::{self, Read};
use super::{parts, pieces, steered};
use crate::aws::Credentials;
use crate::config::{HostPattern, HostRules, RouteRule};
use crate::net::dial::Origin;
use crate::proxy::route::{self, Route, Rules, Scope};
use crate::wire::http1::chunked::ChunkedDecoder;
use crate::wire::http1::forward::{
    EditError, RequestEdits, request_head as forward_request, response_head as forward_response,
};
use crate::wire::http1::{
    Authority, BodyDecoder, FieldLines, FramingError, HeadError, HeadLimits, MessageFraming,
    RequestHead, RequestTarget, ResponseHead, Scheme,
};
use crate::wire::sniff::sniff as tell;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 4096,
    field_lines: 32,
};

/// How a head is taken off a buffer.
type Take<H> = fn(&mut BytesMut, &HeadLimits) -> Result<Option<H>, HeadError>;

/// What was taken, and what is left of the bytes.
type Taken<H> = Result<(Option<H>, Vec<u8>), HeadError>;

fn take_whole<H>(bytes: &[u8], take: Take<H>) -> Taken<H> {
    let mut buffer = BytesMut::from(bytes);
    take(&mut buffer, &LIMITS).map(|head| (head, buffer.to_vec()))
}

fn take_in_pieces<H>(bytes: &[u8], steer: u8, take: Take<H>) -> Taken<H> {
    let mut buffer = BytesMut::new();
    let mut head = None;
    for piece in pieces(bytes, steer) {
        buffer.extend_from_slice(piece);
        if head.is_none() {
            head = take(&mut buffer, &LIMITS)?;
        }
    }
    Ok((head, buffer.to_vec()))
}

/// What both ways of taking must agree in.
fn agree<H>(whole: &Taken<H>, cut: &Taken<H>, fields: fn(&H) -> &FieldLines) {
    match (whole, cut) {
        (Ok((None, _)), Ok((None, _))) | (Err(_), Err(_)) => {}
        (Ok((Some(whole), left)), Ok((Some(cut), cut_left))) => {
            assert_eq!(fields(whole).bytes(), fields(cut).bytes());
            assert_eq!(left, cut_left);
        }
        _ => panic!("the cut decides whether this is a head"),
    }
}

fn check_fields(ours: &FieldLines, strict: &strict::Head<'_>) {
    assert_eq!(ours.bytes(), strict.bytes);
    let lines: Vec<_> = ours
        .iter()
        .map(|line| (line.raw.to_vec(), line.name.to_vec(), line.value.to_vec()))
        .collect();
    let wanted: Vec<_> = strict
        .lines
        .iter()
        .map(|line| {
            (
                [line.whole, b"\r\n"].concat(),
                line.name.to_vec(),
                line.value.to_vec(),
            )
        })
        .collect();
    assert_eq!(lines, wanted);
}

/// A request head: taken whole or in pieces it is the same, and the strict reader sees the same lines in it.
pub(super) fn request_head(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let whole = take_whole(bytes, RequestHead::take);
    agree(
        &whole,
        &take_in_pieces(bytes, steer, RequestHead::take),
        RequestHead::fields,
    );
    let Ok((Some(head), left)) = whole else {
        return;
    };
    let mut start = bytes;
    while let Some(rest) = start.strip_prefix(b"\r\n") {
        start = rest;
    }
    let (strict, after) = strict::head(start, strict::request_line)
        .expect("strictly well-formed")
        .expect("complete");
    assert_eq!(
        [head.method().as_bytes(), head.target().as_bytes()],
        [strict.start[0], strict.start[1]]
    );
    check_fields(head.fields(), &strict);
    assert_eq!(after, left);
    assert!(
        head.fields().bytes().len() <= LIMITS.bytes && strict.lines.len() <= LIMITS.field_lines
    );
}

/// A response head, likewise.
pub(super) fn response_head(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let whole = take_whole(bytes, ResponseHead::take);
    agree(
        &whole,
        &take_in_pieces(bytes, steer, ResponseHead::take),
        ResponseHead::fields,
    );
    let Ok((Some(head), left)) = whole else {
        return;
    };
    let (strict, after) = strict::head(bytes, strict::status_line)
        .expect("strictly well-formed")
        .expect("complete");
    assert_eq!(head.status().to_string().as_bytes(), strict.start[1]);
    check_fields(head.fields(), &strict);
    assert_eq!(after, left);
    let mut forwarded = Vec::new();
    if forward_response(&head, &mut forwarded).is_ok() {
        check_edits(&strict, &forwarded, &[]);
    }
}

/// What a decoder made of some bytes: the content, and how many bytes it took.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    content: Vec<u8>,
    taken: usize,
    ended: bool,
}

fn decode<'a>(
    mut decoder: BodyDecoder,
    input: impl Iterator<Item = &'a [u8]>,
) -> Result<Decoded, FramingError> {
    let mut decoded = Decoded {
        content: Vec::new(),
        taken: 0,
        ended: decoder.ended(),
    };
    let mut ranges = Vec::new();
    for piece in input {
        ranges.clear();
        let taken = decoder.push(piece, &mut ranges)?;
        for range in ranges.drain(..) {
            decoded.content.extend_from_slice(&piece[range]);
        }
        decoded.taken += taken;
        decoded.ended = decoder.ended();
        assert!(
            decoded.ended || taken == piece.len(),
            "a decoder that has not ended takes everything"
        );
        if decoded.ended {
            break;
        }
    }
    Ok(decoded)
}

/// A chunked body: the same content whatever the cut, and the same as the strict reader's.
pub(super) fn chunked(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let decoder = || BodyDecoder::Chunked(ChunkedDecoder::default());
    let whole = decode(decoder(), std::iter::once(bytes));
    let cut = decode(decoder(), pieces(bytes, steer));
    assert_eq!(whole, cut);
    ended_early(bytes);
    let Ok(Decoded {
        content,
        taken,
        ended: true,
    }) = whole
    else {
        return;
    };
    let mut strict = Vec::new();
    let after = strict::chunked(bytes, &mut strict)
        .expect("strictly well-formed")
        .expect("complete");
    assert_eq!((strict, bytes.len() - after.len()), (content, taken));
}

/// A chunked body that is ended with content of ours, wherever that is possible, is a whole one for the strict reader.
fn ended_early(bytes: &[u8]) {
    let mut decoder = ChunkedDecoder::default();
    let mut ranges = Vec::new();
    if decoder.push(bytes, &mut ranges) != Ok(bytes.len()) {
        return;
    }
    let ending = decoder.ending();
    let Some(least) = ending.least().filter(|least| *least <= 4096) else {
        return;
    };
    let ours = vec![b'x'; usize::try_from(least).unwrap() + 1];
    let mut wire = bytes.to_vec();
    wire.extend_from_slice(&ending.with(&ours));
    let mut strict = Vec::new();
    let after = strict::chunked(&wire, &mut strict);
    assert_eq!(after.map(|after| after.map(<[u8]>::len)), Ok(Some(0)));
    assert!(strict.ends_with(&ours));
}

/// Requests behind each other: where the gate sees one end, the strict reader does, too.
pub(super) fn requests(data: &[u8]) {
    let Some((steer, mut bytes)) = steered(data) else {
        return;
    };
    for _ in 0..16 {
        let Ok((Some(head), left)) = take_whole(bytes, RequestHead::take) else {
            return;
        };
        let Ok(framing) = MessageFraming::of_request(&head) else {
            return;
        };
        let Some((content, after)) = body(framing, &left, steer) else {
            return;
        };
        let Read::Whole(strict, rest) = strict::request(bytes) else {
            panic!("the strict reader finds no whole request here");
        };
        assert_eq!((content, after), (strict.content, rest.to_vec()));
        bytes = rest;
    }
}

/// Responses behind each other, to whatever was asked.
pub(super) fn responses(data: &[u8]) {
    let Some((steer, mut bytes)) = steered(data) else {
        return;
    };
    let method = ["GET", "HEAD", "POST", "OPTIONS"][usize::from(steer % 4)];
    for _ in 0..16 {
        let Ok((Some(head), left)) = take_whole(bytes, ResponseHead::take) else {
            return;
        };
        let Ok(framing) = MessageFraming::of_response(&head, method) else {
            return;
        };
        let Some((content, after)) = body(framing, &left, steer) else {
            return;
        };
        let Read::Whole(strict, rest) = strict::response(bytes, method) else {
            panic!("the strict reader finds no whole response here");
        };
        assert_eq!((content, after), (strict.content, rest.to_vec()));
        assert_eq!(strict.until_close, framing == MessageFraming::UntilClose);
        bytes = rest;
    }
}

/// The content of a whole body and what follows it.
fn body(framing: MessageFraming, bytes: &[u8], steer: u8) -> Option<(Vec<u8>, Vec<u8>)> {
    let whole = decode(framing.decoder(), std::iter::once(bytes));
    assert_eq!(whole, decode(framing.decoder(), pieces(bytes, steer)));
    let decoded = whole.ok()?;
    let complete = decoded.ended || framing == MessageFraming::UntilClose;
    complete.then(|| (decoded.content, bytes[decoded.taken..].to_vec()))
}

/// What a hop may keep to itself, besides what `Connection` names.
const DROPPABLE: [&str; 8] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "upgrade",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-authentication-info",
];

/// A forwarded head is the received one minus lines for one hop, in the same order and the same bytes.
fn check_edits(received: &strict::Head<'_>, forwarded: &[u8], replaced: &[&str]) {
    let (start, rest) = forwarded.split_at(memchr::memmem::find(forwarded, b"\r\n").unwrap());
    let connection = received.all("connection").join(&b',');
    let named: Vec<Vec<u8>> = connection
        .split(|&octet| octet == b',')
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    let may_drop = |line: &strict::Line<'_>| {
        let name = line.name.to_ascii_lowercase();
        DROPPABLE.iter().any(|known| known.as_bytes() == name) || named.contains(&name)
    };
    let mut kept = received.lines.iter().filter(|line| !may_drop(line));
    let mut left = rest.strip_prefix(b"\r\n").unwrap();
    loop {
        let end = memchr::memmem::find(left, b"\r\n").expect("lines end in CRLF");
        let (line, after) = (&left[..end], &left[end + 2..]);
        left = after;
        if line.is_empty() {
            break;
        }
        let wanted = kept.next().expect("no line is added");
        let is_replaced = replaced
            .iter()
            .any(|name| wanted.name.eq_ignore_ascii_case(name.as_bytes()));
        assert!(is_replaced || line == wanted.whole, "a line is changed");
        assert!(line.starts_with(wanted.name), "a line has another name");
    }
    assert!(left.is_empty() && kept.next().is_none(), "a line is lost");
    let received_start = received
        .bytes
        .split(|&octet| octet == b'\r')
        .next()
        .unwrap();
    if replaced.is_empty() {
        assert_eq!(start, received_start);
    }
    for length in ["content-length", "transfer-encoding"] {
        assert!(
            !named.iter().any(|name| name == length.as_bytes()),
            "the framing is named away"
        );
    }
}

/// Forwarding is subtraction: no line is added, changed or moved, none that is signed is lost, and the framing stays.
pub(super) fn forward(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let [signed, bytes] = parts(bytes);
    let signed: Vec<String> = signed
        .split(|&octet| octet == b';')
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .collect();
    let Ok((Some(head), _)) = take_whole(bytes, RequestHead::take) else {
        return;
    };
    let edits = RequestEdits {
        target: (steer & 1 != 0).then_some("/other"),
        host: (steer & 2 != 0).then_some("other.example"),
    };
    let mut out = Vec::new();
    let result = forward_request(
        &head,
        edits,
        &|name| signed.iter().any(|signed| signed == name),
        &mut out,
    );
    let (strict, _) = strict::head(head.fields().bytes(), strict::request_line)
        .unwrap()
        .unwrap();
    match result {
        Err(EditError::SignedHopByHop(name)) => {
            assert!(
                signed.contains(&name) && !strict.all(&name).is_empty(),
                "{name} is not signed"
            );
        }
        Err(EditError::ConnectionNames(name)) => {
            assert!(!strict.all("connection").is_empty(), "{name} is not named");
        }
        Err(EditError::TooManyOptions) => {
            assert!(!strict.all("connection").is_empty(), "nothing is named");
        }
        Ok(()) => {
            let replaced: &[&str] = match (edits.target, edits.host) {
                (None, None) => &[],
                (Some(_), None) => &["no line, but the target"],
                (_, Some(_)) => &["host"],
            };
            check_edits(&strict, &out, replaced);
            let (again, rest) = strict::head(&out, strict::request_line)
                .expect("still a head")
                .expect("still whole");
            assert!(rest.is_empty());
            let target = edits.target.unwrap_or_else(|| head.target());
            assert_eq!(
                again.start,
                [head.method().as_bytes(), target.as_bytes(), strict.start[2]]
            );
            let forwarded =
                RequestHead::take(&mut BytesMut::from(&out[..]), &HeadLimits::default())
                    .unwrap()
                    .unwrap();
            assert_eq!(
                MessageFraming::of_request(&forwarded),
                MessageFraming::of_request(&head)
            );
        }
    }
}

/// A request-target and the authority in it: nothing but its own octets comes out, and what is shown reads the same.
pub(super) fn request_target(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let method = ["GET", "CONNECT", "OPTIONS", "POST"][usize::from(steer % 4)];
    match RequestTarget::parse(method, text) {
        Ok(RequestTarget::Origin(path)) => assert_eq!(path, text),
        Ok(RequestTarget::Asterisk) => assert_eq!((method, text), ("OPTIONS", "*")),
        Ok(RequestTarget::Authority(authority)) => {
            assert_eq!(method, "CONNECT");
            check_authority(&authority);
        }
        Ok(RequestTarget::Absolute {
            authority, path, ..
        }) => {
            assert!(text.ends_with(path) && text.contains(authority.host));
            check_authority(&authority);
        }
        Err(_) => {}
    }
    if let Ok(authority) = Authority::parse(text) {
        check_authority(&authority);
    }
}

fn check_authority(authority: &Authority<'_>) {
    let shown = authority.to_string();
    let again = Authority::parse(&shown).expect("what is shown can be read");
    assert_eq!((again.host, again.port), (authority.host, authority.port));
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "@/?#\\%,;\"<>".contains(c);
    assert!(!authority.host.contains(forbidden) && !authority.host.is_empty());
    assert!(authority.is_same_place(&again, Scheme::Https));
}

/// A request goes to the host that it was signed for and that every part of it names, or nowhere.
pub(super) fn route(data: &[u8]) {
    const NAME: &str = "bedrock-runtime.us-east-1.amazonaws.com";
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let Ok((Some(head), _)) = take_whole(bytes, RequestHead::take) else {
        return;
    };
    let hosts = HostRules {
        intercept: vec![HostPattern::parse("*.open.example").unwrap()],
        deny: vec![HostPattern::parse("*.denied.example").unwrap()],
        ..HostRules::default()
    };
    let routes = [
        RouteRule {
            prefix: "/service/mine/".to_owned(),
            upstream: Some(("up.example".to_owned(), 8443)),
            ..RouteRule::default()
        },
        RouteRule {
            prefix: "/service/standard/".to_owned(),
            upstream: None,
            ..RouteRule::default()
        },
    ];
    let scope = match steer % 3 {
        0 => Scope::Port { server_name: None },
        1 => Scope::Port {
            server_name: Some(NAME.to_owned()),
        },
        _ => Scope::Tunnel(Origin {
            scheme: Scheme::Https,
            host: NAME.to_owned(),
            port: 443,
        }),
    };
    let rules = Rules {
        hosts: &hosts,
        routes: &routes,
    };
    match route::route(&head, &scope, rules) {
        Route::Exchange(plan) => check_plan(&head, &scope, &hosts, &plan),
        Route::Open { host, .. } => {
            assert!(
                head.method() == "CONNECT"
                    && hosts.is_intercepted(&host)
                    && !hosts.is_denied(&host)
            );
        }
        Route::Tunnel { host, .. } => {
            assert!(
                head.method() == "CONNECT"
                    && !hosts.is_intercepted(&host)
                    && !hosts.is_denied(&host)
            );
        }
        Route::RefusePlain(reply) | Route::RefuseTyped(reply, _) => {
            assert!((400..500).contains(&reply.status()));
            for answer in [reply.plain("GET", true), reply.typed("GET", "id", false)] {
                assert!(
                    matches!(strict::response(&answer, "GET"), Read::Whole(_, [])),
                    "our own answer"
                );
            }
        }
    }
}

fn check_plan(head: &RequestHead, scope: &Scope, hosts: &HostRules, plan: &route::Plan) {
    assert!(!hosts.is_denied(&plan.origin.host));
    assert_ne!(head.method(), "CONNECT");
    if let Scope::Tunnel(origin) = scope {
        assert_eq!(*origin, plan.origin);
    }
    if let Scope::Port {
        server_name: Some(name),
    } = scope
    {
        assert_eq!(*name, plan.origin.host);
    }
    let authority = Authority {
        host: &plan.origin.host,
        port: Some(plan.origin.port),
    };
    let value = head
        .fields()
        .first("host")
        .map(|value| std::str::from_utf8(value).unwrap());
    let named = value.map(|value| Authority::parse(value).unwrap());
    let signed =
        matches!(&plan.credentials, Credentials::SigV4(signature) if signature.signs("host"));
    let agrees = named.is_some_and(|named| named.is_same_place(&authority, plan.origin.scheme));
    assert!(agrees || !signed, "a signed Host is sent elsewhere");
    assert!(
        plan.host.is_none() || (!signed && plan.route.is_some()),
        "a Host is replaced"
    );
    assert!(
        agrees || plan.host.is_some() || named.is_none(),
        "Host names another place"
    );
    if let Some(target) = &plan.target {
        assert!(target.starts_with('/'));
        assert!(
            head.target().ends_with(target.trim_start_matches('/')),
            "the path is not the sent one"
        );
    }
    assert_eq!(Ok(plan.framing), MessageFraming::of_request(head));
}

/// What a connection speaks is told once: more bytes change no answer.
pub(super) fn sniff(data: &[u8]) {
    let mut told = None;
    for end in 0..=data.len().min(64) {
        let now = tell(&data[..end]);
        assert!(
            told.is_none() || now == told,
            "more bytes change what is spoken"
        );
        told = now;
    }
}
