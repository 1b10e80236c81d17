//! Disks that are full, may not be written or hold garbage: a gate that runs goes on and its records wait; one that is to
//! start says what was found and what to do, and changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tollgate::ledger::{FILE_NAME, Outcome, Query, Reader};

use crate::support::process::{Process, tollgate};
use crate::support::{BEDROCK, Door, RawClient, RawUpstream};

/// Calls one after the other, each of which has to be answered.
struct Calls {
    client: RawClient,
    served: RawClient,
    made: usize,
}

impl Calls {
    async fn begin(process: &Process, upstream: &RawUpstream) -> Self {
        let mut client = Door::Connect.open(process, BEDROCK).await;
        client.send(call(0)).await;
        let mut served = upstream.accept().await;
        answer(&mut served).await;
        assert_eq!(client.answer().await.text(), "{}");
        Self {
            client,
            served,
            made: 1,
        }
    }

    async fn make(&mut self) {
        self.client.send(call(self.made)).await;
        answer(&mut self.served).await;
        assert_eq!(self.client.answer().await.text(), "{}");
        self.made += 1;
    }

    /// Makes calls until the gate has said `words`.
    async fn until_said(&mut self, process: &Process, words: &str) {
        while !process.said().contains(words) {
            assert!(
                self.made < 2000,
                "{words:?} is never said: {}",
                process.said()
            );
            self.make().await;
        }
    }
}

fn call(number: usize) -> String {
    let padding = "x".repeat(2000);
    format!(
        "POST /model/m{number}/invoke HTTP/1.1\r\nHost: {BEDROCK}\r\nX-Padding: {padding}\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    )
}

async fn answer(served: &mut RawClient) {
    served.request().await;
    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        .await;
}

/// How many calls the ledger has a complete record of.
fn complete(home: &Path) -> usize {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    let records = reader.records(&Query::default()).unwrap();
    records
        .map(Result::unwrap)
        .filter(|record| record.outcome == Outcome::Complete)
        .count()
}

const FAILS: &str = "the ledger cannot be written; records wait in memory and traffic goes on";
const RECOVERS: &str = "the ledger can be written again; the records that waited are in it";
const LOSES: &str = "these records are lost";

/// A disk of a few megabytes, where this user may mount one.
struct Disk {
    mounted_on: TempDir,
}

impl Disk {
    fn mount() -> Option<Self> {
        let mounted_on = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tollgate-test"])
            .arg(mounted_on.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { mounted_on }),
            other => {
                println!("skipped: no disk can be mounted here: {other:?}");
                None
            }
        }
    }

    fn home(&self) -> PathBuf {
        self.mounted_on.path().join("home")
    }

    /// Leaves no room on it.
    fn fill(&self) -> PathBuf {
        let path = self.mounted_on.path().join("filler");
        let error = fs::write(&path, vec![0; 8 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        path
    }

    fn remount_read_only(&self) {
        let remounted = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(self.mounted_on.path())
            .output()
            .unwrap();
        assert!(remounted.status.success(), "{remounted:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("--lazy")
            .arg(self.mounted_on.path())
            .output()
            .ok();
    }
}

#[tokio::test]
async fn a_disk_that_is_full_holds_records_up_and_no_calls_and_loses_nothing() {
    let Some(disk) = Disk::mount() else { return };
    let upstream = RawUpstream::tls().await;
    let process = Process::start(&disk.home(), &upstream).await;
    let mut calls = Calls::begin(&process, &upstream).await;
    let filler = disk.fill();
    calls.until_said(&process, FAILS).await;
    let before = complete(&disk.home());
    for _ in 0..20 {
        calls.make().await;
    }
    assert_eq!(complete(&disk.home()), before, "the disk is not full");
    fs::remove_file(filler).unwrap();
    process.says(RECOVERS).await;
    calls.make().await;
    process.terminate();
    let (status, _, said) = process.ended_saying().await;
    assert!(
        status.success() && !said.contains(LOSES),
        "{status}: {said}"
    );
    assert_eq!(complete(&disk.home()), calls.made);
}

#[tokio::test]
async fn a_gate_does_not_start_where_there_is_no_room_or_nothing_may_be_written_and_says_so() {
    let Some(disk) = Disk::mount() else { return };
    let upstream = RawUpstream::tls().await;
    let process = Process::start(&disk.home(), &upstream).await;
    let mut calls = Calls::begin(&process, &upstream).await;
    for _ in 0..5 {
        calls.make().await;
    }
    process.terminate();
    process.ended().await;
    let ledger = fs::read(disk.home().join(FILE_NAME)).unwrap();

    let filler = disk.fill();
    let said = refuses_to_start(&mut serve(&disk.home()));
    assert!(said.contains("room"), "{said}");
    fs::remove_file(filler).unwrap();
    assert_eq!(fs::read(disk.home().join(FILE_NAME)).unwrap(), ledger);
    assert_eq!(complete(&disk.home()), 6);

    disk.remount_read_only();
    let said = refuses_to_start(&mut serve(&disk.home()));
    assert!(said.to_lowercase().contains("read-only"), "{said}");
}

/// `tollgate serve` on `home`, on a port of its own.
fn serve(home: &Path) -> Command {
    let mut command = tollgate(home);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command
}

/// What it says, instead of starting.
fn refuses_to_start(command: &mut Command) -> String {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it started against all expectation");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    // Which status depends on which file is met first.
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[cfg(target_os = "linux")]
mod limited {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    use super::*;

    /// Lets no file of the process grow beyond `bytes`.
    fn limit(process: &Process, bytes: Option<u64>) {
        let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, limit).unwrap();
    }

    fn home() -> (TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let home = parent.path().join("home");
        (parent, home)
    }

    #[tokio::test]
    async fn files_that_may_not_grow_hold_records_up_and_do_not_end_the_gate() {
        let upstream = RawUpstream::tls().await;
        let (_parent, home) = home();
        let process = Process::start(&home, &upstream).await;
        let mut calls = Calls::begin(&process, &upstream).await;
        // The kernel sends SIGXFSZ with the error, which ends a process that does not expect it.
        limit(&process, Some(1));
        calls.until_said(&process, FAILS).await;
        for _ in 0..20 {
            calls.make().await;
        }
        limit(&process, None);
        process.says(RECOVERS).await;
        calls.make().await;
        process.terminate();
        let (status, _, said) = process.ended_saying().await;
        assert!(
            status.success() && !said.contains(LOSES),
            "{status}: {said}"
        );
        assert_eq!(complete(&home), calls.made);
    }

    #[tokio::test]
    async fn what_cannot_be_written_until_the_end_is_counted_as_lost_and_said() {
        let upstream = RawUpstream::tls().await;
        let (_parent, home) = home();
        let process = Process::start(&home, &upstream).await;
        let mut calls = Calls::begin(&process, &upstream).await;
        limit(&process, Some(1));
        calls.until_said(&process, FAILS).await;
        for _ in 0..5 {
            calls.make().await;
        }
        let lost = calls.made - complete(&home);
        assert!(lost >= 5, "{lost}");
        process.terminate();
        let (status, _, said) = process.ended_saying().await;
        assert!(status.success(), "{status}: {said}");
        assert!(said.contains(&format!("lost_records={lost} ")), "{said}");
        assert_eq!(complete(&home), calls.made - lost);
    }
}

/// Somebody who may not write whatever they like. The superuser becomes nobody.
fn as_an_ordinary_user(command: &mut Command, parent: &Path) {
    if rustix::process::geteuid().is_root() {
        const NOBODY: u32 = 65_534;
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [
            parent.to_owned(),
            parent.join("home"),
            parent.join("home").join(FILE_NAME),
        ] {
            if path.exists() {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        command.uid(NOBODY).gid(NOBODY);
    }
}

#[test]
fn a_ledger_that_this_user_may_not_write_is_said_to_be_that() {
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    fs::create_dir(&home).unwrap();
    let ledger = home.join(FILE_NAME);
    fs::write(&ledger, b"").unwrap();
    let mut command = serve(&home);
    as_an_ordinary_user(&mut command, parent.path());
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o400)).unwrap();
    if let Err(error) = command.arg("--help").output() {
        println!("skipped: {error}: nobody may run the program where it is");
        return;
    }
    let mut command = serve(&home);
    as_an_ordinary_user(&mut command, parent.path());
    let said = refuses_to_start(&mut command);
    assert!(said.contains("this user may write the file"), "{said}");
    assert!(said.contains("ledger.db"), "{said}");
}

#[tokio::test]
async fn a_ledger_that_is_damaged_is_refused_with_what_to_do_and_left_as_it_is() {
    let upstream = RawUpstream::tls().await;
    let parent = tempfile::tempdir().unwrap();
    let home = parent.path().join("home");
    let process = Process::start(&home, &upstream).await;
    let mut calls = Calls::begin(&process, &upstream).await;
    for _ in 0..20 {
        calls.make().await;
    }
    process.terminate();
    process.ended().await;
    let ledger = home.join(FILE_NAME);
    let sound = fs::read(&ledger).unwrap();
    let mut damaged = sound.clone();
    let middle = sound.len() / 4096 / 2 * 4096;
    damaged[middle..middle + 4096].fill(0xa5);
    fs::write(&ledger, &damaged).unwrap();

    let said = refuses_to_start(&mut serve(&home));
    assert!(said.contains("is damaged"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(fs::read(&ledger).unwrap(), damaged);
    let doctor = tollgate(&home)
        .args(["doctor", "--offline"])
        .output()
        .unwrap();
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(
        !doctor.status.success() && found.contains("is damaged"),
        "{found}"
    );

    // What it says to do is a line for a shell.
    let after = said
        .split_once("move this one away with what is beside it: ")
        .unwrap()
        .1;
    let line = after.split_once(". To save").unwrap().0;
    let done = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(
        home.join("ledger.db.old").join(FILE_NAME).exists(),
        "{done:?}"
    );
    let process = Process::start(&home, &upstream).await;
    let mut calls = Calls::begin(&process, &upstream).await;
    calls.make().await;
    process.terminate();
    process.ended().await;
    assert_eq!(complete(&home), 2);
}
