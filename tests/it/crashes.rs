//! A crash writes nothing down of what passes through: the process dumps no core, and a command that it runs is left as
//! it would be without us.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::process::tollgate;
use crate::support::run::Place;

/// A shell that may dump core, in `place`.
fn shell(place: &Path, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("ulimit -c unlimited && {script}")])
        .current_dir(place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    shell
}

/// Whether there is a core dump in `place`.
fn dumped(place: &Path) -> bool {
    let mut entries = std::fs::read_dir(place).unwrap();
    entries.any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("core")
    })
}

/// Whether processes of this machine leave dumps where they are, so that it means something when there is none.
fn would_dump() -> bool {
    let place = tempfile::tempdir().unwrap();
    let status = shell(place.path(), "kill -ABRT $$").status().unwrap();
    assert!(!status.success());
    let dumps = dumped(place.path());
    if !dumps {
        println!("skipped: this machine writes no core dumps into the directory of a process");
    }
    dumps
}

/// Runs `tollgate` with `arguments` until there is something in `home`, and has it abort.
fn aborted(place: &Path, home: &Path, arguments: &str) {
    let program = env!("CARGO_BIN_EXE_tollgate");
    let mut child = shell(place, &format!("exec '{program}' {arguments}"))
        .env("TOLLGATE_HOME", home)
        .env("TOLLGATE_LISTEN", "127.0.0.1:0")
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // The ledger is opened when everything else stands.
    while !home.join("ledger.db-wal").exists() {
        assert!(std::time::Instant::now() < deadline, "it did not start");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let kill = Command::new("kill")
        .args(["-s", "ABRT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let status = child.wait().unwrap();
    assert!(!status.success());
}

#[test]
fn a_gate_that_crashes_leaves_no_memory_behind() {
    if !would_dump() {
        return;
    }
    for arguments in ["serve", "demo", "run -- sleep 20"] {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("home");
        let option = if arguments == "demo" {
            format!("demo --home '{}'", home.display())
        } else {
            arguments.to_owned()
        };
        aborted(place.path(), &home, &option);
        assert!(!dumped(place.path()), "{arguments}");
    }
}

#[test]
fn a_command_may_dump_core_as_it_could_without_us() {
    let place = Place::new();
    let limits = "ulimit -S -c; ulimit -H -c";
    let alone = Command::new("sh").args(["-c", limits]).output().unwrap();
    let run = place.ended(&["--quiet", "--", "sh", "-c", limits]);
    assert_eq!(run.stdout, alone.stdout, "{run:?}");
    if !would_dump() {
        return;
    }
    let dumps = "ulimit -c unlimited; kill -ABRT $$";
    let mut command = tollgate(&place.home());
    command.args(["run", "--quiet", "--", "sh", "-c", dumps]);
    command.current_dir(place.parent.path());
    command.stdin(Stdio::null()).output().unwrap();
    assert!(dumped(place.parent.path()));
}
