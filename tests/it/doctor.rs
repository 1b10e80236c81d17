//! `tollgate doctor`: it finds what would keep calls from working, names what mends it, and changes nothing.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::support::gate::Plan;
use crate::support::process::{said, tollgate_alone};
use crate::support::{BEDROCK, RawUpstream, within};

fn home() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    (parent, home)
}

/// What the doctor says about `home`, each finding by its check.
fn findings(output: &Output) -> Vec<(String, String, String)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let finding = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let words = format!("{} → {}", text("found"), text("mend"));
        (text("check"), text("level"), words)
    };
    text.lines().map(finding).collect()
}

fn of<'a>(findings: &'a [(String, String, String)], check: &str) -> (&'a str, &'a str) {
    let found = findings.iter().find(|(name, ..)| name == check);
    let (_, level, words) = found.unwrap_or_else(|| panic!("no {check} in {findings:#?}"));
    (level, words)
}

fn offline(home: &Path, arguments: &[&str]) -> Output {
    let mut command = tollgate_alone(home);
    command.args(["doctor", "--json", "--offline"]);
    command.args(arguments).output().unwrap()
}

/// Asks with `upstream` in the place of Bedrock.
async fn asked(home: &Path, upstream: &RawUpstream, trusted: bool) -> Output {
    let mut command = tollgate_alone(home);
    let ca = home.with_extension("upstream.pem");
    std::fs::write(&ca, upstream.ca_pem.as_ref().unwrap()).unwrap();
    command.args([
        "doctor",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--connect-to",
    ]);
    command.arg(format!("{BEDROCK}:443:{}", upstream.address));
    if trusted {
        command.arg("--upstream-ca").arg(ca);
    }
    let output = within("the doctor's end", spawn_blocking(move || command.output()));
    output.await.unwrap().unwrap()
}

#[test]
fn nothing_that_fails_is_status_0_and_nothing_is_made() {
    let (_parent, home) = home();
    let output = offline(&home, &["--listen", "127.0.0.1:0"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!home.exists());
    said(&home, &["ca", "path"]);
    let before = std::fs::read(home.join("ca.pem")).unwrap();
    let output = offline(&home, &["--listen", "127.0.0.1:0"]);
    assert!(output.status.success(), "{output:?}");
    let findings = findings(&output);
    assert_eq!(of(&findings, "home").0, "ok");
    assert!(
        of(&findings, "authority")
            .1
            .starts_with("can only vouch for")
    );
    assert_eq!(std::fs::read(home.join("ca.pem")).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn what_would_stop_the_gate_or_its_clients_fails() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, home) = home();
    said(&home, &["ca", "path"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    std::fs::remove_file(home.join("bundle.pem")).unwrap();
    std::fs::write(home.join("ledger.db"), "this is no ledger").unwrap();
    let output = offline(
        &home,
        &["--listen", &listen, "--intercept", "models.example"],
    );
    assert_eq!(output.status.code(), Some(1));
    let found = findings(&output);
    let rows = [
        ("port", "is taken by"),
        ("authority", "does not permit models.example"),
        ("ledger", "move it away"),
    ];
    for (check, words) in rows {
        let (level, text) = of(&found, check);
        assert_eq!(level, "fail", "{check}: {text}");
        assert!(text.contains(words), "{check}: {text}");
    }
    let gone = found
        .iter()
        .find(|(check, level, _)| check == "files" && level == "fail");
    assert!(
        gone.unwrap().2.contains("bundle.pem is not there"),
        "{found:#?}"
    );

    let key = home.join("ca-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = offline(&home, &[]);
    let found = findings(&output);
    assert!(of(&found, "home").1.contains("chmod 600"), "{found:#?}");
    assert_eq!(of(&found, "authority").0, "fail");

    let config = parent.path().join("bad.toml");
    std::fs::write(&config, "listem = 1").unwrap();
    let output = offline(&home, &["--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(of(&findings(&output), "configuration").1.contains("listem"));
}

#[tokio::test]
async fn a_gate_that_runs_is_known() {
    let gate = Plan::new().start().await;
    let home = gate.home().to_owned();
    let listen = gate.address.to_string();
    let output = spawn_blocking(move || offline(&home, &["--listen", &listen]));
    let output = output.await.unwrap();
    let found = findings(&output);
    let (level, words) = of(&found, "port");
    assert_eq!(level, "ok", "{words}");
    assert!(
        words.contains(&format!("process {}", std::process::id())),
        "{words}"
    );
    gate.stop().await;
}

#[tokio::test]
async fn the_clock_is_held_against_the_upstreams() {
    let (_parent, home) = home();
    let upstream = RawUpstream::tls().await;
    let answer = async {
        let mut served = upstream.accept().await;
        let request = served.request().await;
        assert_eq!(request.start_line(), "HEAD / HTTP/1.1");
        served
            .send("HTTP/1.1 404 Not Found\r\nDate: Mon, 06 Jan 2020 08:00:00 GMT\r\nContent-Length: 0\r\n\r\n")
            .await;
        served
    };
    let (_served, output) = tokio::join!(answer, asked(&home, &upstream, true));
    let found = findings(&output);
    assert_eq!(of(&found, "upstream").0, "ok", "{found:#?}");
    let (level, words) = of(&found, "clock");
    assert_eq!(level, "fail", "{words}");
    assert!(words.contains("ahead of AWS"), "{words}");
}

#[tokio::test]
async fn who_opens_tls_on_the_way_is_named() {
    let (_parent, home) = home();
    let upstream = RawUpstream::tls().await;
    let output = asked(&home, &upstream, false).await;
    assert_eq!(output.status.code(), Some(1));
    let found = findings(&output);
    let (level, words) = of(&found, "upstream");
    assert_eq!(level, "fail", "{words}");
    assert!(
        words.contains("issued by CN=rcgen self signed cert"),
        "{words}"
    );
    assert!(words.contains("--upstream-ca FILE"), "{words}");
}
