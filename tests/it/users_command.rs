//! `tollgate user`, a gate that reads what it wrote, and a run beside such a gate.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::authentication::basic;
use crate::support::process::{Process, tollgate_alone};
use crate::support::run::Place;
use crate::support::{BEDROCK, RawUpstream};

/// What `tollgate user ARGUMENTS` says when `input` is its standard input.
fn user(home: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = tollgate_alone(home)
        .arg("user")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that is wrong in itself reads nothing.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn users_are_added_changed_listed_and_removed() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let file = home.join("users");
    let done = |arguments: &[&str], input: &str| {
        let output = user(&home, arguments, input);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text(&output.stdout)
    };
    assert!(done(&["add", "alice", "--stdin"], "c4n4ry\n").starts_with("added `alice`"));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(
        first.starts_with("alice:$argon2id$v=19$m=19456,t=2,p=1$"),
        "{first}"
    );
    assert!(!first.contains("c4n4ry"));
    let bob = format!("# bob\nbob:{}\n", bcrypt::hash("x", 4).unwrap());
    std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(bob.as_bytes())
        .unwrap();
    assert!(done(&["add", "alice", "--stdin"], "another").starts_with("changed `alice`"));
    let second = std::fs::read_to_string(&file).unwrap();
    assert!(second.ends_with(&bob) && !second.contains(first.trim()));
    assert_eq!(done(&["list"], ""), "alice\targon2id\nbob\tbcrypt\n");
    assert!(done(&["remove", "alice"], "").starts_with("removed `alice`"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), bob);
    for (arguments, input, says) in [
        (&["remove", "alice"][..], "", "no user `alice`"),
        (&["add", "a:b", "--stdin"], "x\n", "no colon"),
        (&["add", "run-0a1b2c", "--stdin"], "x\n", "`tollgate run`"),
        (&["add", "carol", "--stdin"], "\n", "is empty"),
        (&["add", "carol", "--stdin"], "a\tb\n", "control characters"),
    ] {
        let output = user(&home, arguments, input);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(says),
            "{}",
            text(&output.stderr)
        );
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for arguments in [&["list"][..], &["add", "carol", "--stdin"]] {
        let output = user(&home, arguments, "x\n");
        assert_eq!(output.status.code(), Some(2));
        assert!(
            text(&output.stderr).contains("chmod 600"),
            "{}",
            text(&output.stderr)
        );
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), bob);
}

#[tokio::test]
async fn a_gate_asks_for_what_was_added_and_a_run_keeps_away_from_it() {
    let upstream = RawUpstream::tls().await;
    let place = Place::before(&upstream);
    let home = place.home();
    let added = user(&home, &["add", "alice", "--stdin"], "wonderland\n");
    assert!(added.status.success(), "{added:?}");
    let users = home.join("users");
    let gate = Process::start_with(&home, &upstream, |command| {
        command.arg("--users").arg(&users);
    })
    .await;
    let connect =
        |fields: String| format!("CONNECT {BEDROCK}:443 HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let mut client = gate.plain().await;
    for (fields, status) in [(String::new(), 407), (basic("alice", "looking-glass"), 407)] {
        client.send(connect(fields)).await;
        assert_eq!(client.answer().await.status(), status);
    }
    client.send(connect(basic("alice", "wonderland"))).await;
    assert!(client.head().await.starts_with(b"HTTP/1.1 200 "));
    drop(client);
    let told = place.ended(&["--quiet", "--", "sh", "-c", "echo $HTTPS_PROXY"]);
    let told = text(&told.stdout);
    assert!(told.starts_with("http://127.0.0.1:"), "{told}");
    assert!(!told.contains(&gate.address.to_string()), "{told}");
    gate.terminate();
    let (status, said) = gate.ended().await;
    assert!(status.success() && !said.contains("wonderland"), "{said}");
}
