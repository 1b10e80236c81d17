//! No secret that passes by can be found afterwards, whatever door it came by and however its exchange ended: not in the
//! files of the home, not in the log at any level, not in what any command prints, not in our own answers.
//!
//! The gate is the program that people start, with everything logged. Each place where a secret can stand gets a secret of
//! its own, and all that came out is searched for all of them, in every spelling.

mod bundles;
mod commands;

use std::path::Path;

use bundles::{Bundle, bundles, indiscreet_answer, indiscreet_error, refusal_of_aws};
use tollgate::cli::show::{self, ShowArgs};
use tollgate::ledger::{FILE_NAME, Query, Reader, UsageRecord};

use crate::support::canary::Canaries;
use crate::support::peer::{Going, Peer};
use crate::support::process::{Process, tollgate_alone};
use crate::support::upstream::ELSEWHERE;
use crate::support::{BEDROCK, Door, RawUpstream, assert_bytes};

/// How an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Answered,
    RefusedByAws,
    IndiscreetError,
    UpstreamCloses,
    UpstreamIsNoHttp,
    UpstreamCuts,
    ClientGoes,
    AmbiguousLength,
    OtherHost,
    UserInHost,
    BareLineFeed,
    ControlOctet,
    NoHead,
    TooLong,
}

impl Ending {
    const ALL: [Self; 14] = [
        Self::Answered,
        Self::RefusedByAws,
        Self::IndiscreetError,
        Self::UpstreamCloses,
        Self::UpstreamIsNoHttp,
        Self::UpstreamCuts,
        Self::ClientGoes,
        Self::AmbiguousLength,
        Self::OtherHost,
        Self::UserInHost,
        Self::BareLineFeed,
        Self::ControlOctet,
        Self::NoHead,
        Self::TooLong,
    ];

    /// Whether the request gets as far as an upstream.
    fn is_forwarded(self) -> bool {
        matches!(
            self,
            Self::Answered
                | Self::RefusedByAws
                | Self::IndiscreetError
                | Self::UpstreamCloses
                | Self::UpstreamIsNoHttp
                | Self::UpstreamCuts
                | Self::ClientGoes
        )
    }
}

/// The request of `bundle` for `door`, spoilt as `ending` wants it.
fn request(bundle: &Bundle, door: Door, ending: Ending, canaries: &mut Canaries) -> Vec<u8> {
    let Bundle {
        target,
        lines,
        body,
    } = bundle;
    let target = door.target(BEDROCK, target);
    let mut secret = |what: &str| canaries.plant(&format!("{what}, {door:?}"));
    let host = match ending {
        Ending::OtherHost => "other.example".to_owned(),
        Ending::UserInHost => format!("user:{}@{BEDROCK}", secret("userinfo in Host")),
        _ => BEDROCK.to_owned(),
    };
    let odd = match ending {
        Ending::AmbiguousLength => "Transfer-Encoding: chunked\r\n".to_owned(),
        Ending::BareLineFeed => format!("X: a\nAuthorization: {}\r\n", secret("after a bare LF")),
        Ending::ControlOctet => format!("Cookie: {}\u{0}\r\n", secret("before a NUL")),
        Ending::NoHead => format!(
            "Authorization Bearer {}\r\n",
            secret("a line without colon")
        ),
        Ending::TooLong => format!(
            "Cookie: {}{}\r\n",
            secret("a long line"),
            "x".repeat(70_000)
        ),
        _ => String::new(),
    };
    let length = if ending == Ending::ClientGoes {
        body.len() + 1
    } else {
        body.len()
    };
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\n{lines}{odd}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// One exchange by `door`; returns the answer, if the gate itself gave it.
async fn exchange(
    gate: &Process,
    upstream: &RawUpstream,
    door: Door,
    bundle: &Bundle,
    ending: Ending,
    canaries: &mut Canaries,
) -> Option<Vec<u8>> {
    let mut client = door.open(gate, BEDROCK).await;
    let request = request(bundle, door, ending, canaries);
    // A refused client may be hung up on while it still sends.
    client.try_send(&request).await.ok();
    if !ending.is_forwarded() {
        let answer = client.answer().await;
        assert!(answer.status() >= 400, "{door:?} {ending:?}");
        return Some(answer.raw());
    }
    let mut served = upstream.accept().await;
    if ending == Ending::ClientGoes {
        served.head().await;
        Going::Resetting.go(client).await;
        served.rest().await;
        return None;
    }
    let seen = served.request().await;
    assert_bytes(
        &seen.content,
        &bundle.body,
        "the body is passed on as it came",
    );
    match ending {
        Ending::Answered => answered(served, client, indiscreet_answer(canaries)).await,
        Ending::RefusedByAws => answered(served, client, refusal_of_aws(canaries)).await,
        Ending::IndiscreetError => answered(served, client, indiscreet_error(canaries)).await,
        Ending::UpstreamCloses => {
            Going::Resetting.go(served).await;
            Some(client.answer().await.raw())
        }
        Ending::UpstreamIsNoHttp => {
            let secret = canaries.plant("an answer that is not HTTP");
            let nonsense = format!("HTTP/9 {secret}\r\nSet-Cookie: {secret}\r\n\r\n");
            served.send(nonsense).await;
            Some(client.answer().await.raw())
        }
        _ => {
            let whole = indiscreet_answer(canaries);
            served.send(&whole[..whole.len() - 1]).await;
            Going::Resetting.go(served).await;
            client.rest().await;
            None
        }
    }
}

/// The upstream answers and closes, and the client gets what it said.
async fn answered(mut served: Peer, mut client: Peer, answer: Vec<u8>) -> Option<Vec<u8>> {
    let line = memchr::memmem::find(&answer, b"\r\n").unwrap() + 2;
    let (status, rest) = answer.split_at(line);
    let closing = b"Connection: close\r\n";
    served.send([status, closing, rest].concat()).await;
    client.expect(&answer).await;
    None
}

/// Requests that lead to no exchange with Bedrock.
async fn elsewhere(gate: &Process, canaries: &mut Canaries) -> Vec<Vec<u8>> {
    let mut secret = |what: &str| canaries.plant(what);
    let requests = [
        format!(
            "CONNECT {ELSEWHERE}:443 HTTP/1.1\r\nProxy-Authorization: Bearer {}\r\n\r\n",
            secret("of a tunnel")
        ),
        format!(
            "CONNECT user:{}@{BEDROCK}:443 HTTP/1.1\r\n\r\n",
            secret("userinfo of CONNECT")
        ),
        format!(
            "CONNECT {BEDROCK} HTTP/1.1\r\nCookie: {}\r\n\r\n",
            secret("CONNECT without port")
        ),
        format!(
            "GET http://{ELSEWHERE}/?token={0} HTTP/1.1\r\nHost: {ELSEWHERE}\r\nX-Api-Key: {0}\r\n\r\n",
            secret("plain HTTP")
        ),
        format!(
            "POST https://user:{}@{BEDROCK}/x HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n",
            secret("userinfo of a target")
        ),
        format!(
            "POST https:/user:{}@{BEDROCK}/x HTTP/1.1\r\nHost: {BEDROCK}\r\n\r\n",
            secret("userinfo of a broken target")
        ),
        format!(
            "POST /nowhere/{0}?key={0} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            secret("nothing there").replace("c4n4ry", "bedrock-api-key-c4n4ry")
        ),
        format!(
            "POST /model/m/converse?X-Amz-Signature={} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            secret("an endpoint URL")
        ),
        format!(
            "{} / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            secret("a method").replace("c4n4ry", "bedrock-api-key-c4n4ry")
        ),
        format!("bedrock-api-key-{}\r\n\r\n", secret("no request at all")),
        format!(
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}",
            secret("an HTTP/2 preface")
        ),
        format!(
            "\u{16}\u{3}\u{1}\u{0}\u{40}{}",
            secret("nonsense instead of a ClientHello").repeat(3)
        ),
    ];
    let mut answers = Vec::new();
    for request in requests {
        let mut client = gate.plain().await;
        client.send(&request).await;
        answers.push(client.rest().await.0);
    }
    answers
}

/// Everything that the commands print about `home`.
fn printed(home: &Path, records: &[UsageRecord]) -> Vec<(String, Vec<u8>)> {
    let lists: Vec<Vec<&str>> = vec![
        vec!["log", "-n", "all"],
        vec!["log", "-n", "all", "--json"],
        vec!["stats", "--by", "model,identity,error,app,sdk,host"],
        vec!["stats", "--by", "tag:x-api-key,tag:link,tag:note", "--json"],
        vec!["stats", "--by", "model,identity,error", "--csv"],
        vec!["export", "--format", "jsonl", "--payloads"],
        vec!["export", "--format", "csv"],
        vec!["export", "--format", "har", "--payloads"],
        vec!["doctor", "--offline"],
        vec!["doctor", "--offline", "--json"],
        vec!["check"],
        vec!["env"],
        vec!["ca", "show"],
        vec!["ca", "show", "--json"],
        vec!["ca", "export", "--format", "pem"],
        vec!["ca", "export", "--format", "p12"],
        vec!["--help"],
        vec!["serve", "--help"],
        vec!["completions", "bash"],
    ];
    let shown = records.iter().flat_map(|record| {
        [false, true].map(|json| {
            let args = ShowArgs {
                id: record.id.clone(),
                json,
            };
            let mut out = Vec::new();
            show::print(&args, home, &mut out).unwrap();
            (format!("show {args:?}"), out)
        })
    });
    let said = lists.into_iter().map(|list| {
        let output = tollgate_alone(home)
            .args(&list)
            .env("TOLLGATE_LOG", "trace")
            .output()
            .unwrap();
        (list.join(" "), [output.stdout, output.stderr].concat())
    });
    said.chain(shown).collect()
}

fn records(home: &Path) -> Vec<UsageRecord> {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    reader
        .records(&Query::default())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

async fn nothing_is_found(format: &str) {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let upstream = RawUpstream::tls().await;
    let mut canaries = Canaries::default();
    let gate = Process::start_with(&home, &upstream, |command| {
        command
            .args(["--log-format", format])
            .args(["--connect-to", &format!("{ELSEWHERE}::127.0.0.1:1")])
            .env("TOLLGATE_LOG", "trace")
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "1");
    })
    .await;
    canaries.watch_key(&std::fs::read_to_string(home.join("ca-key.pem")).unwrap());
    let bundles = bundles(&mut canaries);
    let mut own_answers = Vec::new();
    for (at, door) in Door::ALL.into_iter().enumerate() {
        for (nth, ending) in Ending::ALL.into_iter().enumerate() {
            // Each door sees each bundle answered, and each ending one bundle after the other.
            let which = match ending {
                Ending::Answered => &bundles[..],
                _ => &bundles[(at + nth) % bundles.len()..][..1],
            };
            for bundle in which {
                let answer = exchange(&gate, &upstream, door, bundle, ending, &mut canaries).await;
                own_answers.extend(answer);
            }
        }
    }
    own_answers.extend(elsewhere(&gate, &mut canaries).await);
    for answer in &own_answers {
        canaries.assert_absent("an answer of the gate's own", answer);
    }
    // While the WAL and its index are there.
    let octets = canaries.assert_absent_below(&home, &["ca-key.pem"]);
    assert!(octets > 100_000, "only {octets} octets in the home");
    gate.terminate();
    let (status, stdout, stderr) = gate.ended_saying().await;
    assert!(status.success(), "{stderr}");
    canaries.assert_absent("standard output", stdout.as_bytes());
    canaries.assert_absent("standard error", stderr.as_bytes());
    assert!(stderr.contains("refused"), "the log was on: {stderr}");
    canaries.assert_absent_below(&home, &["ca-key.pem"]);
    let records = records(&home);
    let expected = Door::ALL.len() * (bundles.len() + Ending::ALL.len() - 1);
    assert!(records.len() >= expected, "{} of {expected}", records.len());
    for (command, output) in printed(&home, &records) {
        assert!(!output.is_empty(), "{command}");
        canaries.assert_absent(&format!("`tollgate {command}`"), &output);
    }
}

#[tokio::test]
async fn no_secret_of_an_exchange_is_found_anywhere_when_lines_are_text() {
    Box::pin(nothing_is_found("text")).await;
}

#[tokio::test]
async fn no_secret_of_an_exchange_is_found_anywhere_when_lines_are_json() {
    Box::pin(nothing_is_found("json")).await;
}
