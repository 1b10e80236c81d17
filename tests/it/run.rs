//! `tollgate run`: the command neither sees nor feels us, and at its end we know what it used.
//!
//! The commands are lines of `sh`; calls are made by the test, with what the command says it was given.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::door::Port;
use crate::support::process::{Process, said};
use crate::support::run::{Place, Running};
use crate::support::{BEDROCK, Door, RawUpstream};

const MODEL: &str = "us.amazon.nova-lite-v1:0";

const ANSWER: &str = "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[]}},\"stopReason\":\"end_turn\",\
    \"usage\":{\"inputTokens\":11,\"outputTokens\":31,\"totalTokens\":42},\"metrics\":{\"latencyMs\":5}}";

/// Tells the proxy it was given, then waits for the end of its input.
const TELL: &str = "echo \"$HTTPS_PROXY\"; cat >/dev/null";

/// One call through the gate at `proxy`, as a client makes it that heeds the variables.
async fn call(proxy: &str, home: &Path, upstream: &RawUpstream) {
    let address = proxy.strip_prefix("http://").unwrap();
    let (field, address) = match address.split_once('@') {
        Some((user, address)) => {
            let user = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, user);
            (format!("Proxy-Authorization: Basic {user}\r\n"), address)
        }
        None => (String::new(), address),
    };
    let port = Port::new(address.parse::<SocketAddr>().unwrap(), home);
    let mut client = Door::open_as(&port, BEDROCK, &field).await;
    client
        .send(format!(
            "POST /model/{MODEL}/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
        .await;
    let mut served = upstream.accept().await;
    served.request().await;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    served.send(&answer).await;
    let received = client.answer().await;
    assert_eq!(received.content, ANSWER.as_bytes());
}

#[test]
fn the_exit_status_is_the_commands() {
    let place = Place::new();
    let not_executable = place.parent.path().join("text");
    std::fs::write(&not_executable, "words").unwrap();
    for (command, status) in [
        (vec!["true"], 0),
        (vec!["sh", "-c", "exit 3"], 3),
        (vec!["sh", "-c", "kill -s KILL $$"], 128 + 9),
        (vec!["sh", "-c", "kill -s TERM $$"], 128 + 15),
        (vec!["no-such-command-anywhere"], 127),
        (vec![not_executable.to_str().unwrap()], 126),
    ] {
        let output = place.ended(&[vec!["--"], command.clone()].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{command:?}: {said}");
        assert!(output.stdout.is_empty());
        assert_eq!(said.contains("cannot run"), matches!(status, 126 | 127));
    }
}

#[test]
fn input_and_output_are_the_commands() {
    let place = Place::new();
    let mut child = place
        .run(&[
            "--quiet",
            "--",
            "sh",
            "-c",
            "cat; printf 'e\\000\\377\\n' >&2",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, bytes);
    assert_eq!(output.stderr, b"e\0\xff\n");
}

#[test]
fn the_command_gets_what_it_needs_and_keeps_what_it_had() {
    let place = Place::new();
    let output = place
        .run(&["env"])
        .env("MINE", "kept")
        .env("HTTP_PROXY", "http://plain.example:1")
        .env("NO_PROXY", "corp.example,.amazonaws.com")
        .env("SSL_CERT_DIR", place.parent.path())
        .env("AWS_ENDPOINT_URL", "http://localhost:1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let seen: HashMap<&str, &str> = printed
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    assert_eq!(seen["MINE"], "kept");
    assert_eq!(seen["HTTP_PROXY"], "http://plain.example:1");
    assert!(seen["HTTPS_PROXY"].starts_with("http://127.0.0.1:"));
    assert_eq!(seen["https_proxy"], seen["HTTPS_PROXY"]);
    assert!(seen["NO_PROXY"].starts_with("corp.example,localhost,127.0.0.1,::1,169.254.169.254"));
    assert_eq!(
        seen["AWS_CA_BUNDLE"],
        place.home().join("bundle.pem").to_str().unwrap()
    );
    assert_eq!(
        seen["NODE_EXTRA_CA_CERTS"],
        place.home().join("ca.pem").to_str().unwrap()
    );
    assert!(!seen.contains_key("SSL_CERT_DIR") && !seen.contains_key("NODE_OPTIONS"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`.amazonaws.com`"), "{said}");
    assert!(
        said.contains("AWS_ENDPOINT_URL is http://localhost:1"),
        "{said}"
    );
    assert!(said.contains("no Bedrock call was seen"), "{said}");
}

#[test]
fn roots_of_the_users_own_are_not_lost() {
    let place = Place::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let corporate = rcgen::CertificateParams::new(["corp.example".to_owned()]).unwrap();
    let corporate = corporate.self_signed(&key).unwrap().pem();
    let file = place.parent.path().join("corporate.pem");
    std::fs::write(&file, &corporate).unwrap();
    let output = place
        .run(&[
            "--",
            "sh",
            "-c",
            "echo $AWS_CA_BUNDLE; cat \"$AWS_CA_BUNDLE\"",
        ])
        .env("AWS_CA_BUNDLE", &file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (bundle, certificates) = printed.split_once('\n').unwrap();
    let ours = std::fs::read_to_string(place.home().join("ca.pem")).unwrap();
    let body = |pem: &str| pem.split_whitespace().collect::<String>();
    assert!(body(certificates).contains(&body(&ours)));
    assert!(body(certificates).contains(&body(&corporate)));
    assert!(
        !Path::new(bundle).exists(),
        "the run's own files go with it"
    );
}

#[tokio::test]
async fn the_summary_is_what_the_command_used() {
    let upstream = RawUpstream::tls().await;
    let place = Place::before(&upstream);
    let (run, proxy) = Running::start(place.run(&["--", "sh", "-c", TELL]))
        .line()
        .await;
    for _ in 0..2 {
        call(&proxy, &place.home(), &upstream).await;
    }
    let (status, printed) = run.end().await;
    assert_eq!(status, Some(0));
    let mut lines = printed.lines();
    let whole = lines.next().unwrap();
    assert!(
        whole.starts_with("tollgate: 2 calls, 84 tokens, "),
        "{printed}"
    );
    assert!(
        whole.contains("slowest") && whole.contains(&format!("(Converse {MODEL})")),
        "{printed}"
    );
    assert!(!printed.contains('\u{1b}'), "{printed}");
    let row = lines.nth(1).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..5], [MODEL, "2", "0", "22", "62"], "{printed}");
    let log = lines.next().unwrap().trim();
    let (_, tag) = log.split_once(" --tag ").unwrap();
    let listed = said(&place.home(), &["log", "--json", "--tag", tag]);
    assert_eq!(listed.lines().count(), 2, "{printed}");
}

#[tokio::test]
async fn runs_beside_each_other_are_summed_up_apart() {
    let upstream = RawUpstream::tls().await;
    let place = Place::before(&upstream);
    let start = || Running::start(place.run(&["--", "sh", "-c", TELL])).line();
    let (one, proxy) = start().await;
    let (other, other_proxy) = start().await;
    assert_ne!(
        proxy, other_proxy,
        "the end of one would be the end of the other"
    );
    call(&proxy, &place.home(), &upstream).await;
    for _ in 0..2 {
        call(&other_proxy, &place.home(), &upstream).await;
    }
    for (run, calls) in [(one, "1 call,"), (other, "2 calls,")] {
        let (_, printed) = run.end().await;
        assert!(
            printed.starts_with(&format!("tollgate: {calls}")),
            "{printed}"
        );
    }
}

#[tokio::test]
async fn a_gate_that_runs_is_used_and_only_the_commands_calls_are_summed_up() {
    let upstream = RawUpstream::tls().await;
    let place = Place::new();
    let gate = Process::start(&place.home(), &upstream).await;
    let exported = said(&place.home(), &["env", "--shell", "json"]);
    let exported: serde_json::Value = serde_json::from_str(&exported).unwrap();
    let shared = format!("http://{}", gate.address);
    assert_eq!(exported["HTTPS_PROXY"], shared.as_str());
    let (run, proxy) = Running::start(place.run(&["--", "sh", "-c", TELL]))
        .line()
        .await;
    assert!(proxy.starts_with("http://run-"), "{proxy}");
    assert!(proxy.ends_with(&format!(":x@{}", gate.address)), "{proxy}");
    call(&shared, &place.home(), &upstream).await;
    call(&proxy, &place.home(), &upstream).await;
    let (status, printed) = run.end().await;
    assert_eq!(status, Some(0));
    assert!(
        printed.starts_with("tollgate: 1 call, 42 tokens"),
        "{printed}"
    );
    assert!(printed.contains(" --tag tollgate-run=run-"), "{printed}");
    assert_eq!(said(&place.home(), &["log", "--json"]).lines().count(), 2);
}

#[tokio::test]
async fn signals_reach_the_command_and_do_not_end_us_before_it() {
    for (signal, status) in [("TERM", 7), ("HUP", 8), ("USR1", 9), ("USR2", 10)] {
        let place = Place::new();
        let script = "trap 'exit 7' TERM; trap 'exit 8' HUP; trap 'exit 9' USR1; trap 'exit 10' USR2; \
                      trap '' INT QUIT; echo ready; \
                      i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); sleep 0.02; done";
        let (run, ready) = Running::start(place.run(&["--", "sh", "-c", script]))
            .line()
            .await;
        assert_eq!(ready, "ready");
        run.signal("INT");
        run.signal("QUIT");
        run.signal(signal);
        let (ended, said) = run.end().await;
        assert_eq!(ended, Some(status), "{signal}: {said}");
        assert!(said.contains("no Bedrock call was seen"), "{said}");
    }
}

#[test]
fn files_are_named_so_that_they_are_found_from_everywhere() {
    let place = Place::new();
    let mut run = place.run(&["--quiet", "--", "sh", "-c"]);
    run.arg("cd / && ls \"$AWS_CA_BUNDLE\" \"$NODE_EXTRA_CA_CERTS\"")
        .current_dir(place.parent.path())
        .env("TOLLGATE_HOME", "home");
    assert!(run.output().unwrap().status.success());
}

#[test]
fn without_a_summary_the_status_is_still_the_commands() {
    let place = Place::new();
    let script = "mv \"$1\" \"$1.away\" && mkdir \"$1\" && exit 7";
    let ledger = place.home().join("ledger.db");
    let ledger = ledger.to_str().unwrap();
    let output = place.ended(&["--", "sh", "-c", script, "sh", ledger]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("cannot be summed up"), "{said}");
}

#[tokio::test]
async fn a_gate_that_ends_before_the_command_is_missed() {
    let upstream = RawUpstream::tls().await;
    let place = Place::new();
    let gate = Process::start(&place.home(), &upstream).await;
    let (run, _) = Running::start(place.run(&["--", "sh", "-c", TELL]))
        .line()
        .await;
    let told = format!("the gate at {} ended", gate.address);
    drop(gate);
    let (status, said) = run.end().await;
    assert_eq!(status, Some(0));
    assert!(said.contains(&told), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_we_were_told_to_ignore_the_command_ignores_as_well() {
    let place = Place::new();
    let run = place.run(&["--quiet", "--", "grep", "SigIgn", "/proc/self/status"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]);
    shell.arg(run.get_program()).args(run.get_args());
    shell.env_clear().envs(
        run.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = shell.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mask = printed.trim().strip_prefix("SigIgn:").unwrap().trim();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    assert_eq!(mask & 0b11, 0b11, "{printed}");
    assert_eq!(mask & 0b100, 0, "QUIT is not ignored: {printed}");
}

#[test]
fn without_a_command_it_is_the_users_shell() {
    let place = Place::new();
    let mut child = place
        .run(&[])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"echo $NODE_USE_ENV_PROXY; exit 5\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(output.stdout, b"1\n");
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("a shell whose Bedrock calls are counted")
    );
}
