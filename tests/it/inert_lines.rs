//! One record is one line, in both formats, whatever a peer puts into the words that stand in it; and nothing that a
//! command prints can drive a terminal, begin a formula or break its format.
//!
//! The gate is the program that people start. Peers send what they can of octets that end lines, start escape sequences,
//! turn the direction of text, look like fields, or are no text at all, in every place that somebody else's word reaches.

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tollgate::cli::terminal::is_harmful;

use crate::support::process::{Process, tollgate_alone};
use crate::support::signing::encode;
use crate::support::{BEDROCK, Door, RawUpstream};

/// What a peer says in the places that end up in records and lines.
#[derive(Clone, Debug)]
struct Words {
    model: String,
    tag: String,
    value: String,
    user: String,
    agent: Vec<u8>,
    field: Vec<u8>,
    target: String,
    request_id: Vec<u8>,
    error_type: Vec<u8>,
    reason: Vec<u8>,
    stop: String,
    status: u16,
}

/// Pieces that have fooled readers of logs, and anything else.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n2026-01-01T00:00:00Z  INFO forged".to_owned()),
        Just("\n{\"id\":\"forged\"}".to_owned()),
        Just("\u{1b}[2J\u{1b}]0;title\u{7}".to_owned()),
        Just("\u{9b}31m\u{85}\u{90}".to_owned()),
        Just("\u{2028}forged\u{2029}".to_owned()),
        Just("\u{202e}\u{2066}\u{200f}\u{61c}\u{feff}".to_owned()),
        Just("\u{0}\u{7f}\u{8}".to_owned()),
        Just(" in=0 out=0 who=\"admin\" id=forged".to_owned()),
        Just("\"\\\" ',;".to_owned()),
        Just("=cmd|' /C calc'!A0".to_owned()),
        Just("+1-1@SUM(A1)\t".to_owned()),
        "\\PC{0,12}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

/// The same as a field value may hold it: no control octets but tabs, and octets that are no UTF-8.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let octets = prop::collection::vec(
        any::<u8>().prop_filter("a control octet", |&octet| {
            octet == b'\t' || (octet >= 0x20 && octet != 0x7f)
        }),
        0..12,
    );
    (text(), octets).prop_map(|(text, octets)| {
        let mut value: Vec<u8> = text
            .bytes()
            .filter(|&octet| octet >= 0x20 && octet != 0x7f)
            .collect();
        value.extend(octets);
        value.truncate(200);
        value
    })
}

fn words() -> impl Strategy<Value = Words> {
    let texts = (text(), text(), text(), text(), text(), text());
    let values = (value(), value(), value(), value(), value());
    let statuses = prop::sample::select(vec![200_u16, 400, 403, 503]);
    (texts, values, statuses).prop_map(
        |(
            (model, tag, value, user, target, stop),
            (agent, field, request_id, error_type, reason),
            status,
        )| Words {
            model,
            tag,
            value,
            user,
            agent,
            field,
            target,
            request_id,
            error_type,
            reason,
            stop,
            status,
        },
    )
}

impl Words {
    fn request(&self, door: Door, host: &str) -> Vec<u8> {
        // A slash would make another path of it.
        let model = encode(&self.model.replace('/', "|"));
        let target: String = self
            .target
            .chars()
            .filter(|c| !c.is_ascii() && !c.is_control())
            .collect();
        let target = door.target(BEDROCK, &format!("/model/{model}/converse?{target}"));
        let user = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{}:x", self.user),
        );
        let body = serde_json::json!({
            "messages": [{"role": "user", "content": [{"text": self.value}]}],
            "requestMetadata": {self.tag.as_str(): self.value},
        });
        let body = body.to_string();
        let length = body.len();
        [
            format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n").as_bytes(),
            b"User-Agent: ",
            &self.agent,
            b"\r\nX-Odd: ",
            &self.field,
            b"\r\namz-sdk-invocation-id: ",
            &self.field,
            format!(
                "\r\nProxy-Authorization: Basic {user}\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        ]
        .concat()
    }

    fn answer(&self) -> Vec<u8> {
        let body = serde_json::json!({
            "stopReason": self.stop,
            "__type": self.stop,
            "message": self.value,
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        });
        let body = body.to_string();
        let status = self.status;
        [
            format!("HTTP/1.1 {status} ").as_bytes(),
            &self.reason,
            b"\r\nConnection: close\r\nx-amzn-requestid: ",
            &self.request_id,
            b"\r\nx-amzn-errortype: ",
            &self.error_type,
            b"\r\nX-Odd: ",
            &self.field,
            format!(
                "\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        ]
        .concat()
    }
}

/// A host of Bedrock that the upstream has no certificate for.
const NOT_CERTIFIED: &str = "bedrock-runtime.ap-south-1.amazonaws.com";

/// Enough for every piece to stand in every place.
const CASES: usize = 60;

/// The exchanges of a gate that writes `format`, and both of its outputs.
async fn lines_of(home: &Path, format: &str) -> (usize, String, String) {
    // Its certificate's names, which stand in the error when it is asked for another, drive a terminal.
    let upstream = RawUpstream::tls_for("\u{1b}[2J\r\n2026-01-01T00:00:00Z forged\u{7f}").await;
    let gate = Process::start_with(home, &upstream, |command| {
        command
            .args(["--log-format", format])
            .args([
                "--connect-to",
                &format!("{NOT_CERTIFIED}:443:{}", upstream.address),
            ])
            .env("TOLLGATE_LOG", "trace");
    })
    .await;
    let mut runner = TestRunner::deterministic();
    let doors = [Door::Connect, Door::Forward, Door::Route, Door::Transparent];
    let mut client = Door::Forward.open(&gate, NOT_CERTIFIED).await;
    client
        .send(format!(
            "GET https://{NOT_CERTIFIED}/ HTTP/1.1\r\nHost: {NOT_CERTIFIED}\r\n\r\n"
        ))
        .await;
    let refused = client.answer().await;
    refused.assert_typed(503, "ServiceUnavailableException", "upstream-tls");
    assert!(refused.text().contains("forged"), "{}", refused.text());
    assert_inert("what the client is told", &refused.text());
    let mut exchanges = 1;
    for case in 0..CASES {
        let words = words().new_tree(&mut runner).unwrap().current();
        let door = doors[case % doors.len()];
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(words.request(door, BEDROCK)).await;
        let mut served = upstream.accept().await;
        served.request().await;
        served.send(words.answer()).await;
        assert_eq!(client.answer().await.status(), words.status, "{words:?}");
        // The same where we refuse.
        let mut client = door.open(&gate, BEDROCK).await;
        client.send(words.request(door, "other.example")).await;
        assert!(client.answer().await.status() >= 400, "{words:?}");
        // And where there is no head to speak of.
        let mut client = gate.plain().await;
        client
            .send(
                [
                    b"GET / HTTP/1.1\r\nX ",
                    &words.agent[..],
                    b"\n\x1b[2J\r\n\r\n",
                ]
                .concat(),
            )
            .await;
        assert_eq!(client.answer().await.status(), 400, "{words:?}");
        exchanges += 3;
    }
    gate.terminate();
    let (status, stdout, stderr) = gate.ended_saying().await;
    assert!(status.success(), "{stderr}");
    (exchanges, stdout, stderr)
}

#[track_caller]
fn assert_inert(what: &str, text: &str) {
    for line in text.lines() {
        let harm = line.chars().find(|&c| is_harmful(c) && c != '\t');
        assert_eq!(harm, None, "{what}: {line:?}");
    }
}

/// Every line of the diagnostics begins with a time and a level of ours.
#[track_caller]
fn assert_diagnostics(stderr: &str) {
    assert_inert("standard error", stderr);
    for line in stderr.lines().filter(|line| !line.is_empty()) {
        let time = line.get(..20).unwrap_or_default();
        assert!(time.starts_with("20") && time.contains('T'), "{line}");
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        assert!(
            ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&level),
            "{line}"
        );
    }
}

/// `line` in words, as its writer means them: what is in quotes is one.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        words.last_mut().unwrap().push(c);
    }
    assert!(!quoted, "a quote stays open: {line}");
    words
}

#[tokio::test]
async fn a_line_of_text_is_one_record_with_as_many_words_as_it_has_fields() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let (exchanges, stdout, stderr) = lines_of(&home, "text").await;
    assert_inert("standard output", &stdout);
    // The greeting is several lines; it ends with an empty one.
    let greeting = stdout.rfind("\n\n").map_or(0, |end| end + 2);
    let lines: Vec<&str> = stdout
        .get(greeting..)
        .unwrap()
        .lines()
        .skip_while(|line| !line.starts_with("20"))
        .collect();
    assert_eq!(lines.len(), exchanges, "{stdout}");
    let names = [
        "in",
        "out",
        "cache_read",
        "cache_write",
        "usd",
        "bytes",
        "ms",
        "who",
        "id",
    ];
    for line in lines {
        let words = split(line);
        let fields: Vec<&str> = words[7..]
            .iter()
            .map(|word| {
                word.split_once('=')
                    .unwrap_or_else(|| panic!("{word} in {line}"))
                    .0
            })
            .collect();
        assert_eq!(fields[..names.len()], names, "{line}");
        assert!(
            fields.len() == names.len() || fields[names.len()..] == ["error"],
            "{line}"
        );
    }
    assert_diagnostics(&stderr);
}

#[tokio::test]
async fn a_line_of_json_is_one_record_and_every_command_prints_what_it_should() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let (exchanges, stdout, stderr) = lines_of(&home, "json").await;
    assert_inert("standard output", &stdout);
    assert_eq!(stdout.lines().count(), exchanges);
    let ids: Vec<String> = stdout
        .lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
    // The greeting stands here, and `Operation:` begins its last line.
    let (_, after) = stderr.split_once("Operation:").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    assert_diagnostics(after);
    let say = |arguments: &[&str]| {
        let output = tollgate_alone(&home).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_inert(&arguments.join(" "), &text);
        text
    };
    assert_eq!(say(&["log", "-n", "all"]).lines().count(), exchanges + 1);
    assert_eq!(
        say(&["log", "-n", "all", "--json"]).lines().count(),
        exchanges
    );
    assert_eq!(
        say(&["export", "--format", "jsonl", "--payloads"])
            .lines()
            .count(),
        exchanges
    );
    let har: serde_json::Value =
        serde_json::from_str(&say(&["export", "--format", "har", "--payloads"])).unwrap();
    assert_eq!(har["log"]["entries"].as_array().unwrap().len(), exchanges);
    for by in ["model,identity,error", "app,sdk,outcome"] {
        say(&["stats", "--by", by]);
        assert_no_formula(&say(&["stats", "--by", by, "--csv"]));
    }
    let rows = assert_no_formula(&say(&["export", "--format", "csv"]));
    assert_eq!(rows, exchanges);
    for id in ids {
        say(&["show", &id]);
        say(&["show", "--json", &id]);
    }
}

/// Reads CSV as RFC 4180 has it; returns the number of rows below its header.
#[track_caller]
fn assert_no_formula(text: &str) -> usize {
    let mut rows = 0;
    for row in csv::Reader::from_reader(text.as_bytes()).records() {
        rows += 1;
        for cell in row.unwrap().iter() {
            // A number may be negative; nothing else begins like this.
            let begins = cell.starts_with([
                '=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
            ]);
            assert!(
                !begins || cell == "-" || cell.parse::<f64>().is_ok(),
                "{cell:?}"
            );
        }
    }
    rows
}
