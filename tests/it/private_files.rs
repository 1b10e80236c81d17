//! What lies in a home is for its owner alone, whatever the umask; and a home into which somebody else can put something
//! is not used.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::process::{Process, tollgate_alone};
use crate::support::run::Place;
use crate::support::{BEDROCK, Door, RawUpstream};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A user who is not root and owns nothing.
const NOBODY: u32 = 65534;
/// Another one.
const STRANGER: u32 = 4711;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn everything_in_a_home_is_for_its_owner_whatever_the_umask() {
    for umask in ["000", "077"] {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("home");
        let upstream = RawUpstream::tls().await;
        let program = env!("CARGO_BIN_EXE_tollgate");
        let gate = Process::start_with(&home, &upstream, |command| {
            // The shell gives its umask on, and its place to the program.
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh", program]);
            shell.args(command.get_args()).current_dir(place.path());
            shell.env("TOLLGATE_HOME", &home);
            *command = shell;
        })
        .await;
        let mut client = Door::Connect.open(&gate, BEDROCK).await;
        client
            .send(format!("POST /model/m/converse HTTP/1.1\r\nHost: {BEDROCK}\r\nContent-Length: 2\r\n\r\n{{}}"))
            .await;
        let mut served = upstream.accept().await;
        served.request().await;
        served
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .await;
        assert_eq!(client.answer().await.status(), 200);
        assert_eq!(mode(&home), 0o700, "umask {umask}");
        let mut seen = Vec::new();
        for entry in fs::read_dir(&home).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(
                mode(&path) & 0o177,
                0,
                "umask {umask}: {name} has {:o}",
                mode(&path)
            );
            seen.push(name);
        }
        for name in [
            "ca.pem",
            "ca-key.pem",
            "gate.lock",
            "ledger.db",
            "ledger.db-wal",
            "ledger.db-shm",
        ] {
            assert!(seen.iter().any(|found| found == name), "{name} of {seen:?}");
        }
        let export = place.path().join("november.jsonl");
        let exported = tollgate_alone(&home)
            .args(["export", "--format", "jsonl", "--payloads", "-o"])
            .arg(&export)
            .status();
        assert!(exported.unwrap().success());
        assert_eq!(mode(&export) & 0o177, 0, "umask {umask}");
    }
}

/// `tollgate serve` in a home where it should not start: what it says.
fn refused(home: &Path, user: Option<u32>) -> String {
    let mut command = tollgate_alone(home);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

#[test]
fn a_home_that_every_user_can_write_to_is_not_used() {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("something"), "of somebody").unwrap();
    let user = is_root().then_some(NOBODY);
    if let Some(user) = user {
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        chown(&home, Some(user), Some(user)).unwrap();
    }
    fs::set_permissions(&home, fs::Permissions::from_mode(0o1777)).unwrap();
    let said = refused(&home, user);
    assert!(said.contains("every user can put files there"), "{said}");
    assert!(said.contains("chmod 700"), "{said}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_home_of_another_user_is_not_used() {
    if !is_root() {
        println!("skipped: only root can make a home of another user");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(STRANGER), Some(NOBODY)).unwrap();
    // Through its group, the user could even write there.
    fs::set_permissions(&home, fs::Permissions::from_mode(0o775)).unwrap();
    let said = refused(&home, Some(NOBODY));
    assert!(said.contains("another user (uid 4711)"), "{said}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "nothing was made");
}

#[test]
fn what_another_user_put_into_a_home_is_not_used() {
    if !is_root() {
        println!("skipped: only root can put something there in another user's name");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let precious = place.path().join("precious");
    fs::write(&precious, "content").unwrap();
    chown(&precious, Some(NOBODY), Some(NOBODY)).unwrap();
    for name in ["gate.lock", "ca.lock", "ledger.db", "ca.pem", "ca-key.pem"] {
        symlink(&precious, home.join(name)).unwrap();
        lchown(home.join(name), Some(STRANGER), Some(STRANGER)).unwrap();
        let said = refused(&home, Some(NOBODY));
        assert!(said.contains(name) && said.contains("uid 4711"), "{said}");
        fs::remove_file(home.join(name)).unwrap();
    }
    assert_eq!(fs::read(&precious).unwrap(), b"content");
    assert_eq!(fs::metadata(&precious).unwrap().uid(), NOBODY);
}

#[test]
fn a_link_in_the_place_of_a_file_that_is_written_to_is_not_followed() {
    for name in ["gate.lock", "ca.lock", "bundle.pem"] {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let precious = place.path().join("precious");
        fs::write(&precious, "content").unwrap();
        symlink(&precious, home.join(name)).unwrap();
        // It comes up or it does not; what the link leads to stays as it was.
        let mut gate = tollgate_alone(&home)
            .args(["run", "--quiet", "--", "true"])
            .env("TOLLGATE_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        gate.wait().unwrap();
        let claimed =
            tollgate::running::Claim::take(&home, "127.0.0.1:1".parse().unwrap(), None, false);
        assert_eq!(claimed.is_err(), name == "gate.lock", "{name}: {claimed:?}");
        assert_eq!(fs::read(&precious).unwrap(), b"content", "{name}");
    }
}

#[test]
fn a_gate_that_another_user_names_is_not_used() {
    if !is_root() {
        println!("skipped: only root can name a gate in another user's name");
        return;
    }
    let place = Place::new();
    let home = place.home();
    fs::create_dir(&home).unwrap();
    fs::set_permissions(place.parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let _claim = tollgate::running::Claim::take(&home, "127.0.0.1:9".parse().unwrap(), None, false)
        .unwrap()
        .unwrap();
    let lock = home.join("gate.lock");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o644)).unwrap();
    for (owner, used) in [(NOBODY, true), (STRANGER, false)] {
        chown(&lock, Some(owner), None).unwrap();
        let mut command = place.run(&["--quiet", "--", "sh", "-c", "echo $HTTPS_PROXY"]);
        let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.contains("127.0.0.1:9"), used, "{output:?}");
    }
}
