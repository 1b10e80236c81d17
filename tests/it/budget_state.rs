//! What is spent of a budget is the ledger's sum: after a restart, after `SIGKILL` at any instant, with a gate that can be
//! asked and without one.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tollgate::ledger::{FILE_NAME, Query, Reader};

use crate::support::process::{Process, said, tollgate};
use crate::support::{BEDROCK, Door, RawClient, RawUpstream, admin, within};

const BUDGETS: &str = r#"
    [[budget]]
    name = "tokens"
    per = ["access_key"]
    total_tokens = 1000000
    window = "366d"
    warn_at = [50]

    [[budget]]
    name = "calls"
    requests = 100000
    window = "30d"

    [[budget]]
    name = "at once"
    concurrent = 1000
"#;

/// Where a configuration lies beside the home; commands are started there.
fn home(config: &str) -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("tollgate.toml"), config).unwrap();
    let home = parent.path().join("home");
    (parent, home)
}

async fn start(home: &Path, upstream: &RawUpstream) -> Process {
    Process::start_with(home, upstream, |command| {
        command
            .env("TOLLGATE_ADMIN", "127.0.0.1:0")
            .env_remove("TOLLGATE_CONFIG");
    })
    .await
}

fn post(key: usize) -> String {
    format!(
        "POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=AKIAEXAMPLE{key:09}/20261127/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    )
}

/// The connection is not used again: the next call is accepted like the first.
fn answer(tokens: u64) -> String {
    let body = format!(
        r#"{{"usage":{{"inputTokens":{tokens},"outputTokens":2,"totalTokens":{}}}}}"#,
        tokens + 2
    );
    format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One call of `key` that takes two tokens more than these.
async fn call(process: &Process, upstream: &RawUpstream, key: usize, tokens: u64) {
    let (mut client, mut served) = begin(process, upstream, key).await;
    served.send(answer(tokens)).await;
    assert_eq!(client.answer().await.status(), 200);
}

async fn begin(process: &Process, upstream: &RawUpstream, key: usize) -> (RawClient, RawClient) {
    let mut client = Door::Connect.open(process, BEDROCK).await;
    client.send(post(key)).await;
    let mut served = upstream.accept().await;
    served.request().await;
    (client, served)
}

/// What `tollgate budgets` prints about a home.
fn budgets(home: &Path) -> Vec<Value> {
    let lines = said(home, &["budgets", "--json"]);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Who has spent how much of a budget, and where that comes from.
fn spent(told: &[Value], rule: &str) -> Vec<(Option<String>, u64)> {
    let lines = told.iter().filter(|line| line["rule"] == rule);
    let mut spent: Vec<_> = lines
        .map(|line| {
            let key = line["key"]["access_key"].as_str().map(str::to_owned);
            (key, line["spent"].as_str().unwrap().parse().unwrap())
        })
        .filter(|(_, spent)| *spent > 0)
        .collect();
    spent.sort();
    spent
}

/// Tokens by access key, and calls, as the ledger has them.
fn ledger(home: &Path) -> (Vec<(Option<String>, u64)>, u64) {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    let mut tokens = std::collections::BTreeMap::new();
    let mut calls = 0;
    for record in reader.records(&Query::default()).unwrap() {
        let record = record.unwrap();
        assert!(record.is_spending(), "{record:?}");
        calls += 1;
        let total = record.usage.total_tokens.unwrap_or_default();
        *tokens.entry(record.identity.access_key_id).or_insert(0) += total;
    }
    tokens.retain(|_, tokens| *tokens > 0);
    (tokens.into_iter().collect(), calls)
}

/// That what is told of `home` is what stands in its ledger.
fn assert_ledgers_sum(home: &Path, source: &str) {
    let told = budgets(home);
    assert!(
        told.iter().all(|line| line["source"] == source),
        "{told:#?}"
    );
    let (tokens, calls) = ledger(home);
    assert_eq!(spent(&told, "tokens"), tokens, "{source}");
    assert_eq!(spent(&told, "calls"), [(None, calls)], "{source}");
}

#[tokio::test]
async fn what_is_spent_is_the_ledgers_sum_before_and_after_a_restart() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home(BUDGETS);
    let process = start(&home, &upstream).await;
    for (key, tokens) in [(1, 11), (2, 5), (1, 30)] {
        call(&process, &upstream, key, tokens).await;
    }
    process.terminate();
    let (status, _) = process.ended().await;
    assert!(status.success());
    assert_ledgers_sum(&home, "ledger");
    let process = start(&home, &upstream).await;
    assert_ledgers_sum(&home, "gate");
    let told = process.say(&["budgets"]);
    let row: Vec<_> = told
        .lines()
        .find(|line| line.contains("AKIAEXAMPLE000000001"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        row[..6],
        [
            "tokens",
            "AKIAEXAMPLE000000001",
            "total_tokens",
            "45",
            "0",
            "1000000"
        ],
        "{told}"
    );
    assert!(!told.contains("no gate runs"), "{told}");
}

#[tokio::test]
async fn killed_at_any_instant_nothing_is_spent_twice_or_forgotten() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home(BUDGETS);
    for round in 0..3 {
        let mut process = start(&home, &upstream).await;
        for key in 1..=3 {
            call(&process, &upstream, key, 10 + round).await;
        }
        // Killed with one call that waits, one whose answer is on its way, and several that are being answered.
        let waiting = begin(&process, &upstream, 1).await;
        let (half, mut half_served) = begin(&process, &upstream, 2).await;
        let begun = half_served.try_send(&answer(1000).as_bytes()[..100]).await;
        begun.ok();
        let mut ending = JoinSet::new();
        for key in 4..10 {
            let (client, mut served) = begin(&process, &upstream, key).await;
            ending.spawn(async move {
                // The gate may be gone already.
                served.try_send(answer(7)).await.ok();
                (client, served)
            });
        }
        process.kill();
        within("the ends", ending.join_all()).await;
        drop((waiting, half, half_served));
        assert_ledgers_sum(&home, "ledger");
        let mut process = start(&home, &upstream).await;
        assert_ledgers_sum(&home, "gate");
        process.kill();
    }
}

#[tokio::test]
async fn a_row_that_nobody_understands_does_not_keep_a_gate_from_starting() {
    let upstream = RawUpstream::tls().await;
    let (_parent, home) = home(BUDGETS);
    let process = start(&home, &upstream).await;
    for tokens in [1, 10, 100] {
        call(&process, &upstream, 1, tokens).await;
    }
    process.terminate();
    process.ended().await;
    let foreign = Connection::open(home.join(FILE_NAME)).unwrap();
    foreign
        .execute_batch("UPDATE exchange SET access_key_id = x'ff00' WHERE total_tokens = 12; UPDATE exchange SET tags = '{' WHERE total_tokens = 3")
        .unwrap();
    drop(foreign);
    let process = start(&home, &upstream).await;
    let said = process
        .says("could not be understood count for no budget")
        .await;
    assert!(said.contains("budgets are as the ledger says"), "{said}");
    let told = budgets(&home);
    assert_eq!(
        spent(&told, "tokens"),
        [(Some("AKIAEXAMPLE000000001".to_owned()), 105)]
    );
}

#[tokio::test]
async fn without_a_gate_that_can_be_asked_the_output_says_so() {
    let (_parent, home) = home(BUDGETS);
    let told = said(&home, &["budgets"]);
    assert!(told.contains("no gate runs on this home"), "{told}");
    assert!(
        told.contains("tokens") && told.contains("nobody yet"),
        "{told}"
    );
    let upstream = RawUpstream::tls().await;
    let process = Process::start(&home, &upstream).await;
    call(&process, &upstream, 1, 11).await;
    let told = process.say(&["budgets"]);
    assert!(
        told.contains("has no admin port") && told.contains(" 13 "),
        "{told}"
    );
    assert_ledgers_sum(&home, "ledger");
}

#[tokio::test]
async fn without_budgets_there_is_nothing_to_tell_and_a_wrong_one_is_told_at_once() {
    let (parent, home) = home("");
    assert!(said(&home, &["budgets"]).contains("a [[budget]] table of tollgate.toml makes one"));
    assert_eq!(said(&home, &["budgets", "--json"]), "");
    let wrong =
        "[[budget]]\nname = \"x\"\nrequests = 1\nwindow = \"day\"\nzone = \"Mars/Olympus\"\n";
    std::fs::write(parent.path().join("tollgate.toml"), wrong).unwrap();
    let output = tollgate(&home).args(["budgets"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("table 1 (`x`), zone: `Mars/Olympus` is no zone"),
        "{stderr}"
    );
}

#[tokio::test]
async fn the_admin_port_tells_budgets_to_those_who_may_ask() {
    let gate = crate::support::gate::Plan::new().with_admin().start().await;
    let answer = admin::get(gate.admin(), "/budgets").await;
    assert_eq!(
        (answer.status(), answer.field("content-type").as_deref()),
        (200, Some("application/json"))
    );
    let told: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(told["budgets"], Value::Array(Vec::new()));
    let request = "GET /budgets HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(admin::ask(gate.admin(), request).await.status(), 421);
}
