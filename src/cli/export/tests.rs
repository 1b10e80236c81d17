//! The three formats: what is in them, and that they are what they say.

use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::ledger::{Committed, Ledger, Payload, Query, UsageRecord, sample};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    export: ExportArgs,
}

fn parse(args: &[&str]) -> ExportArgs {
    let args = std::iter::once("export").chain(args.iter().copied());
    Command::try_parse_from(args).unwrap().export
}

async fn home_with(exchanges: &[(UsageRecord, Option<Payload>)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&home.path().join(FILE_NAME)).unwrap();
    for (record, payload) in exchanges {
        let stored = ledger.commit(record.clone(), payload.clone()).await;
        assert_eq!(stored, Committed::Stored);
    }
    assert_eq!(ledger.close().await, 0);
    home
}

fn printed(args: &[&str], home: &Path) -> String {
    let mut out = Vec::new();
    let mut count = 0;
    print(
        &parse(args),
        home,
        OffsetDateTime::now_utc(),
        &mut out,
        &mut || count += 1,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A JSON call, a gzip answer to a binary request, and a tunnel of which nothing was kept.
fn exchanges() -> Vec<(UsageRecord, Option<Payload>)> {
    let binary = Payload {
        request_head: b"POST /model/m/invoke?a=b&c HTTP/1.1\r\nContent-Type: image/png\r\n\r\n"
            .to_vec(),
        request_body: vec![0xff, 0xfe],
        response_head:
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\n\r\n"
                .to_vec(),
        response_body: gzip("grün".as_bytes()),
        ..Payload::default()
    };
    vec![
        (sample::full(), Some(sample::payload())),
        (sample::full(), Some(binary)),
        (sample::bare(), None),
    ]
}

#[tokio::test]
async fn json_lines_are_the_records() {
    let exchanges = exchanges();
    let home = home_with(&exchanges).await;
    let lines = printed(&["--format", "jsonl"], home.path());
    let read: Vec<UsageRecord> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), 3);
    for (record, _) in &exchanges {
        assert!(read.contains(record));
    }
    let lines = printed(
        &["--format", "jsonl", "--payloads", "--model", "nova"],
        home.path(),
    );
    assert_eq!(lines.lines().count(), 2);
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(
            value["payload"]["response_head"]
                .as_str()
                .unwrap()
                .starts_with("HTTP/1.1")
        );
    }
}

#[tokio::test]
async fn csv_is_flat_and_no_text_in_it_is_a_formula() {
    let mut nasty = sample::full();
    nasty.model = Some("=cmd|' /C calc'!A0".to_owned());
    nasty.model_name = Some("a,\"b\"\n".to_owned());
    nasty.identity.app_id = Some("@x".to_owned());
    nasty.duration_ms = 0.5;
    let home = home_with(&[(nasty.clone(), None), (sample::bare(), None)]).await;
    let csv = printed(&["--format", "csv"], home.path());
    assert_eq!(csv.matches("\r\n").count(), 3, "{csv}");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let of = |row: usize, name: &str| {
        let at = headers.iter().position(|header| header == name).unwrap();
        rows[row][at].to_owned()
    };
    for (name, expected) in [
        ("id", nasty.id.as_str()),
        ("model", "'=cmd|' /C calc'!A0"),
        ("model_name", "a,\"b\"\\n"),
        ("app_id", "'@x"),
        ("cost_usd", "0.000123456789"),
        ("cost_status", "exact"),
        ("cache_write_1h_tokens", "1200"),
        ("usage_source", "stream"),
        ("units", "{\"images\":2}"),
        ("notes", "[\"price-suspect\"]"),
        ("duration_ms", "0.5"),
        ("session", "true"),
        ("attempt", "2"),
    ] {
        assert_eq!(of(1, name), expected, "{name}");
    }
    assert_eq!(of(0, "cost_usd"), "");
    assert_eq!(of(0, "model"), "");
    // Under the names of the table: all of it, but for what is there only to find and to sum.
    let table = rusqlite::Connection::open(home.path().join(FILE_NAME)).unwrap();
    let table = table.prepare("SELECT * FROM exchange").unwrap();
    let mut columns: Vec<&str> = table.column_names().collect();
    columns.retain(|name| !["seq", "time_ms", "cost_picousd"].contains(name));
    columns.sort_unstable();
    let mut names: Vec<&str> = headers.iter().collect();
    names.sort_unstable();
    assert_eq!(names, columns);
}

/// What HAR 1.2 says must be there, and of which type.
fn assert_is_har(har: &Value) {
    let log = &har["log"];
    assert_eq!(log["version"], "1.2");
    assert!(log["creator"]["name"].is_string() && log["creator"]["version"].is_string());
    for entry in log["entries"].as_array().unwrap() {
        let texts = [
            "/startedDateTime",
            "/request/method",
            "/request/url",
            "/request/httpVersion",
            "/response/statusText",
            "/response/httpVersion",
            "/response/redirectURL",
            "/response/content/mimeType",
        ];
        let numbers = [
            "/time",
            "/request/headersSize",
            "/request/bodySize",
            "/response/status",
            "/response/headersSize",
            "/response/bodySize",
            "/response/content/size",
            "/timings/send",
            "/timings/wait",
            "/timings/receive",
        ];
        let lists = [
            "/request/cookies",
            "/request/headers",
            "/request/queryString",
            "/response/cookies",
            "/response/headers",
        ];
        for path in texts {
            assert!(
                entry.pointer(path).is_some_and(Value::is_string),
                "{path} {entry}"
            );
        }
        for path in numbers {
            assert!(
                entry.pointer(path).is_some_and(Value::is_number),
                "{path} {entry}"
            );
        }
        for path in lists {
            for pair in entry.pointer(path).and_then(Value::as_array).unwrap() {
                assert!(
                    pair["name"].is_string() && pair["value"].is_string(),
                    "{path} {entry}"
                );
            }
        }
        assert!(entry["cache"].is_object());
        let url = entry["request"]["url"].as_str().unwrap();
        assert!(url.starts_with("https://"), "{url}");
        let timings = &entry["timings"];
        let parts: f64 = ["send", "wait", "receive"]
            .map(|part| timings[part].as_f64().unwrap())
            .iter()
            .sum();
        assert!((parts - entry["time"].as_f64().unwrap()).abs() < 1e-6);
        if let Some(post) = entry["request"].get("postData") {
            assert!(post["mimeType"].is_string() && post["text"].is_string());
        }
        assert!(entry["_tollgate"]["id"].is_string() && entry["_tollgate"]["cost"].is_object());
    }
}

#[tokio::test]
async fn har_is_a_har_and_says_what_was_kept() {
    let home = home_with(&exchanges()).await;
    let har: Value =
        serde_json::from_str(&printed(&["--format", "har", "--payloads"], home.path())).unwrap();
    assert_is_har(&har);
    let entries = har["log"]["entries"].as_array().unwrap();
    let entry = |method: &str, part: &str| {
        let found = entries.iter().find(|entry| {
            entry["request"]["method"] == method
                && entry["request"]["url"].as_str().unwrap().contains(part)
        });
        found.unwrap().clone()
    };
    let call = entry("POST", "/model/m/converse");
    assert_eq!(
        call["request"]["url"],
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse"
    );
    assert_eq!(call["request"]["postData"]["mimeType"], "application/json");
    assert_eq!(call["response"]["content"]["text"], "{\"output\":\"hi\"}");
    assert_eq!(
        call["response"]["content"]["comment"],
        "only the beginning of this body was kept"
    );
    assert_eq!(call["timings"]["wait"], 12.5);
    let binary = entry("POST", "/invoke");
    assert_eq!(binary["request"]["postData"]["text"], "//4=");
    assert_eq!(binary["request"]["postData"]["encoding"], "base64");
    assert_eq!(binary["request"]["queryString"][0]["value"], "b");
    assert_eq!(binary["response"]["content"]["text"], "grün");
    assert!(binary["response"]["content"].get("encoding").is_none());
    let tunnel = entry("CONNECT", "unknown.invalid");
    assert_eq!(tunnel["response"]["status"], 0);

    let har: Value = serde_json::from_str(&printed(&["--format", "har"], home.path())).unwrap();
    assert_is_har(&har);
    let text = har.to_string();
    assert!(
        !text.contains("postData") && !text.contains("grün"),
        "{text}"
    );
    assert!(text.contains("/model/m/converse"));
}

#[tokio::test]
async fn har_of_nothing_is_valid() {
    let home = home_with(&[]).await;
    let har: Value = serde_json::from_str(&printed(&["--format", "har"], home.path())).unwrap();
    assert_is_har(&har);
    assert_eq!(har["log"]["entries"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_file_is_written_whole() {
    let home = home_with(&exchanges()).await;
    let path = home.path().join("out.jsonl");
    let text = path.to_str().unwrap();
    run(&parse(&["--format", "jsonl", "-o", text]), home.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    let error = run(
        &parse(&["--format", "csv", "--payloads", "-o", text]),
        home.path(),
    )
    .unwrap_err();
    assert!(error.is_wrong_usage(), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn an_export_does_not_take_the_ledgers_place() {
    let home = home_with(&exchanges()).await;
    let link = home.path().join("link.jsonl");
    std::os::unix::fs::symlink(home.path().join(FILE_NAME), &link).unwrap();
    for path in [home.path().join(FILE_NAME), link] {
        let args = parse(&["--format", "jsonl", "-o", path.to_str().unwrap()]);
        let error = run(&args, home.path()).unwrap_err();
        assert!(error.is_wrong_usage(), "{error}");
    }
    let reader = Reader::open(&home.path().join(FILE_NAME)).unwrap();
    assert_eq!(reader.records(&Query::default()).unwrap().count(), 3);
}
