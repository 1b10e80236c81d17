//! Messages made at random: valid ones together with what must become of them, and the same with something wrong.
//!
//! A valid message is put together from parts whose fate is known, so what goes on is told by construction and not by
//! reading. Nothing here knows the gate.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::BEDROCK;

/// A valid message.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// As it comes in.
    pub(crate) wire: Vec<u8>,
    /// As it goes on.
    pub(crate) forwarded: Vec<u8>,
    /// Its body without the transfer coding.
    pub(crate) content: Vec<u8>,
    /// The method of a request.
    pub(crate) method: String,
}

/// A body with the field-lines that tell its length.
#[derive(Clone, Debug)]
struct Body {
    lines: Vec<u8>,
    wire: Vec<u8>,
    content: Vec<u8>,
}

/// A field-line, and whether it goes on.
#[derive(Clone, Debug)]
struct Line {
    octets: Vec<u8>,
    passes: bool,
}

/// A request for [`BEDROCK`] in origin-form.
pub(crate) fn request() -> impl Strategy<Value = Made> {
    let host = (recased("host"), white(), select(HOSTS), white()).prop_map(
        |(name, before, host, after)| {
            let host = host.replace("{host}", BEDROCK);
            line(name.as_bytes(), before, host.into_bytes(), after, true)
        },
    );
    let parts = (
        method(),
        target(),
        host,
        lines(),
        body(true),
        any::<usize>(),
    );
    parts.prop_map(|(method, target, host, mut lines, body, place)| {
        lines.insert(place % (lines.len() + 1), host);
        let start = [method.as_bytes(), b" ", &target, b" HTTP/1.1\r\n"].concat();
        message(&start, &lines, &body, method)
    })
}

/// A final response to a POST, with a length.
pub(crate) fn response() -> impl Strategy<Value = Made> {
    let status = prop_oneof![select(vec![200_u16, 400, 404, 429, 500, 503]), 200_u16..600]
        .prop_filter("without a body", |status| !matches!(status, 204 | 304));
    let reason = prop_oneof![
        Just(Vec::new()),
        vec(value_octet(), 0..20).prop_map(|reason| [b" ".to_vec(), reason].concat())
    ];
    let parts = (status, reason, lines(), body(false));
    parts.prop_map(|(status, reason, lines, body)| {
        let start = [
            format!("HTTP/1.1 {status}").into_bytes(),
            reason,
            b"\r\n".to_vec(),
        ];
        message(&start.concat(), &lines, &body, "POST".to_owned())
    })
}

/// Places to cut a message of any length at: shares of it.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<f64>> {
    vec(0.0..1.0_f64, 0..6)
}

/// The pieces of `octets` between `cuts`.
pub(crate) fn pieces<'a>(octets: &'a [u8], cuts: &[f64]) -> Vec<&'a [u8]> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a short message"
    )]
    let mut places: Vec<usize> = cuts
        .iter()
        .map(|cut| (octets.len() as f64 * cut) as usize)
        .chain([octets.len()])
        .collect();
    places.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::new();
    for place in places {
        pieces.push(&octets[from..place]);
        from = place;
    }
    pieces
}

/// Something done to a message, at a share of its length.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Replace(f64, u8),
    /// A line stands there twice.
    Repeat(f64),
    /// A line is put before another.
    Move(f64, f64),
}

/// One to three of them.
pub(crate) fn harm() -> impl Strategy<Value = Vec<Harm>> {
    let place = || 0.0..1.0_f64;
    let octets = prop_oneof![
        3 => select(ODD_OCTETS).prop_map(|octet| vec![octet]),
        2 => select(ODD_TEXTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|octet| vec![octet]),
    ];
    let one = prop_oneof![
        3 => (place(), octets).prop_map(|(at, octets)| Harm::Insert(at, octets)),
        2 => (place(), 1_usize..4).prop_map(|(at, count)| Harm::Remove(at, count)),
        2 => (place(), select(ODD_OCTETS)).prop_map(|(at, octet)| Harm::Replace(at, octet)),
        1 => place().prop_map(Harm::Repeat),
        1 => (place(), place()).prop_map(|(from, to)| Harm::Move(from, to)),
    ];
    vec(one, 1..4)
}

/// `octets` after all `harm`.
pub(crate) fn harmed(octets: &[u8], harm: &[Harm]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    for harm in harm {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a short message"
        )]
        let place = |octets: &[u8], share: f64| (octets.len() as f64 * share) as usize;
        match harm {
            Harm::Insert(at, new) => {
                let at = place(&octets, *at);
                octets.splice(at..at, new.iter().copied());
            }
            Harm::Remove(at, count) => {
                let at = place(&octets, *at);
                octets.drain(at..(at + count).min(octets.len()));
            }
            Harm::Replace(at, octet) => {
                let at = place(&octets, *at);
                if let Some(old) = octets.get_mut(at) {
                    *old = *octet;
                }
            }
            Harm::Repeat(at) => {
                let line = line_around(&octets, place(&octets, *at));
                let text = octets[line.clone()].to_vec();
                octets.splice(line.start..line.start, text);
            }
            Harm::Move(from, to) => {
                let line = line_around(&octets, place(&octets, *from));
                let text: Vec<u8> = octets.drain(line).collect();
                let to = line_around(&octets, place(&octets, *to)).start;
                octets.splice(to..to, text);
            }
        }
    }
    octets
}

fn line_around(octets: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = octets[..at].iter().rposition(|&octet| octet == b'\n');
    let end = octets[at..].iter().position(|&octet| octet == b'\n');
    start.map_or(0, |start| start + 1)..end.map_or(octets.len(), |end| at + end + 1)
}

const HOSTS: &[&str] = &["{host}", "{host}:443", "{host}.", "{host}:", "{host}:00443"];

/// What readers disagree on.
const ODD_OCTETS: &[u8] = b"\r\n\0\t\x0b\x0c\x7f\x80\xff :;,\"\\=_+-0159afxX/@#?()";
const ODD_TEXTS: &[&str] = &[
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\r\n ",
    "0\r\n\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Content_Length: 5\r\n",
    "Host: other.example\r\n",
    "Connection: content-length\r\n",
    "Connection: close\r\n",
    "HTTP/1.1",
    "chunked, ",
    "0x",
    "8000000000000000",
];

/// Lines for one hop: they end at the gate.
const FOR_ONE_HOP: &[&str] = &[
    "Connection: keep-alive\r\n",
    "connection:\r\n",
    "Keep-Alive: timeout=5\r\n",
    "TE: trailers\r\n",
    "Upgrade: h2c\r\n",
    "Proxy-Connection: keep-alive\r\n",
    "proxy-authorization:Basic dTpw\r\n",
    "Proxy-Authenticate: Basic\r\n",
];

fn message(start: &[u8], lines: &[Line], body: &Body, method: String) -> Made {
    let all: Vec<u8> = lines.iter().flat_map(|line| line.octets.clone()).collect();
    let passing = lines.iter().filter(|line| line.passes);
    let kept: Vec<u8> = passing.flat_map(|line| line.octets.clone()).collect();
    let around = |lines: &[u8]| [start, lines, &body.lines, b"\r\n", &body.wire].concat();
    Made {
        wire: around(&all),
        forwarded: around(&kept),
        content: body.content.clone(),
        method,
    }
}

fn line(name: &[u8], before: String, value: Vec<u8>, after: String, passes: bool) -> Line {
    let (before, after) = (before.into_bytes(), after.into_bytes());
    let octets = [name, b":", &before, &value, &after, b"\r\n"].concat();
    Line { octets, passes }
}

/// Methods of which the upstream reads a body.
fn method() -> impl Strategy<Value = String> {
    select(vec!["POST", "PUT", "PATCH"]).prop_map(str::to_owned)
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        "/model/m/invoke",
        "/model/a%3A0/converse",
        "//",
        "/%00?",
        "/a/../b;c",
    ]);
    prop_oneof![
        known.prop_map(|target| target.as_bytes().to_vec()),
        "/[!-~]{0,60}".prop_map(String::into_bytes),
        "/[!-~\u{80}-\u{10ffff}]{0,20}".prop_map(String::into_bytes),
    ]
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let for_one_hop = select(FOR_ONE_HOP).prop_map(|text| Line {
        octets: text.as_bytes().to_vec(),
        passes: false,
    });
    let named = Just(Line {
        octets: b"Connection: x-named, X-NAMED-TOO\r\nX-Named: 1\r\nx-named-too:\r\n".to_vec(),
        passes: false,
    });
    vec(
        prop_oneof![8 => field(), 2 => for_one_hop, 1 => named],
        0..8,
    )
}

/// A line that goes on.
fn field() -> impl Strategy<Value = Line> {
    let name = prop_oneof![
        select(vec![
            "Accept",
            "content-TYPE",
            "x-a",
            "X-A",
            "Cookie",
            "Expect",
            "Via",
            "X-Transfer-Encoding",
            "Trailer"
        ])
        .prop_map(str::to_owned),
        "x[!#$%&'*+.^_`|~0-9A-Za-z-]{0,20}".prop_filter("named by Connection", |name| {
            !name.to_ascii_lowercase().starts_with("x-named")
        }),
    ];
    let value = vec(value_octet(), 0..30).prop_map(|value| value.trim_ascii().to_vec());
    (name, white(), value, white())
        .prop_map(|(name, before, value, after)| line(name.as_bytes(), before, value, after, true))
}

fn value_octet() -> impl Strategy<Value = u8> {
    prop_oneof![10 => b' '..=b'~', 1 => Just(b'\t'), 1 => 0x80_u8..]
}

fn white() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(" ".to_owned()), 1 => "[ \t]{0,3}"]
}

/// `name` with letters of either case.
fn recased(name: &'static str) -> impl Strategy<Value = String> {
    vec(any::<bool>(), name.len()).prop_map(move |upper| {
        let letters = name.chars().zip(upper);
        letters
            .map(|(letter, upper)| {
                if upper {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                }
            })
            .collect()
    })
}

/// A body. Only a request needs none of the lines that tell its length.
fn body(may_be_none: bool) -> impl Strategy<Value = Body> {
    let none = Just(Body {
        lines: Vec::new(),
        wire: Vec::new(),
        content: Vec::new(),
    });
    let weight = u32::from(may_be_none);
    prop_oneof![1 => with_length(), 1 => chunked(), weight => none]
}

fn with_length() -> impl Strategy<Value = Body> {
    let parts = (
        recased("content-length"),
        white(),
        1_usize..19,
        white(),
        octets(0..80),
    );
    parts.prop_map(|(name, before, width, after, content)| {
        let length = format!("{:0width$}", content.len()).into_bytes();
        let Line { octets, .. } = line(name.as_bytes(), before, length, after, true);
        Body {
            lines: octets,
            wire: content.clone(),
            content,
        }
    })
}

fn chunked() -> impl Strategy<Value = Body> {
    let size = (1_usize..17, any::<bool>());
    let chunk = (octets(1..40), size.clone(), extensions());
    let trailers = vec(
        "[Xx]-[A-Za-z_]{0,8}:[ \t]{0,2}[!-~\u{80}-\u{ff}]{0,9}[ \t]?\r\n",
        0..3,
    );
    let parts = (
        recased("transfer-encoding"),
        white(),
        recased("chunked"),
        white(),
        vec(chunk, 0..5),
        (size, extensions(), trailers),
    );
    parts.prop_map(
        |(name, before, coding, after, chunks, (last, last_extensions, trailers))| {
            let Line { octets, .. } =
                line(name.as_bytes(), before, coding.into_bytes(), after, true);
            let mut body = Body {
                lines: octets,
                wire: Vec::new(),
                content: Vec::new(),
            };
            for (data, size, extensions) in chunks {
                let size = hexadecimal(data.len(), size);
                let line = format!("{size}{extensions}\r\n");
                body.wire.extend([line.as_bytes(), &data, b"\r\n"].concat());
                body.content.extend(data);
            }
            let size = hexadecimal(0, last);
            let line = format!("{size}{last_extensions}\r\n{}\r\n", trailers.concat());
            body.wire.extend(line.as_bytes());
            body
        },
    )
}

fn hexadecimal(size: usize, (width, upper): (usize, bool)) -> String {
    if upper {
        format!("{size:0width$X}")
    } else {
        format!("{size:0width$x}")
    }
}

fn extensions() -> impl Strategy<Value = String> {
    let one = "[ \t]{0,2};[ \t]{0,2}[a-z!#$_-]{1,5}([ \t]?=[ \t]?([A-Za-z0-9]{1,5}|\"([ !a-z;=]|\\\\[\"\\\\x])*\"))?";
    prop_oneof![3 => Just(String::new()), 1 => vec(one, 1..3).prop_map(|all| all.concat())]
}

/// Content, often such as looks like messages.
fn octets(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let likely = select(b"\r\n0 :;HTTP/1.GET".to_vec());
    vec(prop_oneof![any::<u8>(), likely], length)
}
