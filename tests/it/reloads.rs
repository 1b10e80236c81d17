//! The configuration is read anew: by SIGHUP, and when its file changes; what runs is left alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::process::{Process, said};
use crate::support::{RawUpstream, admin, until};

/// A process with a configuration file of its own.
struct Served {
    process: Process,
    upstream: RawUpstream,
    config: PathBuf,
    place: TempDir,
}

/// What all of them say: their tunnels lead to an upstream of a test.
const BASE: &str = "[[host]]\npattern = \"127.0.0.1\"\naction = \"tunnel\"\n";

const RELOADED: &str = "the configuration was reloaded";
const REFUSED: &str = "the configuration cannot be used";

impl Served {
    async fn start(arguments: &[&str], prepare: impl FnOnce(&Path) -> PathBuf) -> Self {
        let place = tempfile::tempdir().unwrap();
        let upstream = RawUpstream::tls().await;
        let config = prepare(place.path());
        let home = place.path().join("home");
        let process = Process::start_with(&home, &upstream, |command| {
            command.env("TOLLGATE_CONFIG", &config).args(arguments);
        })
        .await;
        Self {
            process,
            upstream,
            config,
            place,
        }
    }

    async fn with_file(arguments: &[&str]) -> Self {
        Self::start(arguments, |place| {
            let config = place.join("tollgate.toml");
            fs::write(&config, BASE).unwrap();
            config
        })
        .await
    }

    /// What CONNECT to `authority` is answered.
    async fn connect(&self, authority: &str) -> u16 {
        let mut client = self.process.plain().await;
        client
            .send(format!("CONNECT {authority} HTTP/1.1\r\n\r\n"))
            .await;
        let head = String::from_utf8(client.head().await).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn tunnel(&self) -> u16 {
        self.connect(&self.upstream.address.to_string()).await
    }

    /// Waits until it has said so `times` in all.
    async fn says(&self, what: &str, times: usize) {
        until(what, || self.process.said().matches(what).count() >= times).await;
    }

    fn line(&self, what: &str) -> String {
        let said = self.process.said();
        let line = said.lines().rfind(|line| line.contains(what));
        line.unwrap().to_owned()
    }
}

const DENYING: &str = "deny = [\"127.0.0.1\"]\n";

#[tokio::test]
async fn sighup_reads_the_file_anew_and_what_runs_goes_on() {
    let served = Served::with_file(&[]).await;
    let mut running = served.process.plain().await;
    let plain = RawUpstream::plain().await;
    let authority = plain.address;
    running
        .send(format!("CONNECT {authority} HTTP/1.1\r\n\r\n"))
        .await;
    running.head().await;
    let mut end = plain.accept().await;
    fs::write(&served.config, DENYING).unwrap();
    served.process.signal(Signal::HUP);
    served.says("because=\"SIGHUP\"", 1).await;
    let said = served.process.said();
    assert!(said.contains("deny, host"), "{said}");
    assert_eq!(served.tunnel().await, 403);
    running.send("still there").await;
    end.expect(b"still there").await;
    let times = said.matches(RELOADED).count();
    fs::write(&served.config, BASE).unwrap();
    served.says(RELOADED, times + 1).await;
    assert_eq!(served.tunnel().await, 200);
}

#[tokio::test]
async fn a_file_that_changes_is_read_anew_however_it_is_changed() {
    let served = Served::with_file(&[]).await;
    // In place.
    fs::write(&served.config, DENYING).unwrap();
    served.says(RELOADED, 1).await;
    assert_eq!(served.tunnel().await, 403);
    // A new one under its name, as editors do it.
    let new = served.place.path().join("new");
    fs::write(&new, BASE).unwrap();
    fs::rename(&new, &served.config).unwrap();
    served.says(RELOADED, 2).await;
    assert_eq!(served.tunnel().await, 200);
    // Gone for as long as nobody has put it back.
    fs::remove_file(&served.config).unwrap();
    served.says(REFUSED, 1).await;
    assert_eq!(served.tunnel().await, 200);
    fs::write(&served.config, DENYING).unwrap();
    served.says(RELOADED, 3).await;
    assert_eq!(served.tunnel().await, 403);
}

#[tokio::test]
async fn a_link_that_is_turned_round_is_a_change() {
    // As Kubernetes mounts a ConfigMap: a link to a file below a link to a directory.
    let served = Served::start(&[], |place| {
        for (name, text) in [("1", BASE), ("2", DENYING)] {
            fs::create_dir(place.join(name)).unwrap();
            fs::write(place.join(name).join("tollgate.toml"), text).unwrap();
        }
        symlink("1", place.join("data")).unwrap();
        symlink("data/tollgate.toml", place.join("tollgate.toml")).unwrap();
        place.join("tollgate.toml")
    })
    .await;
    assert_eq!(served.tunnel().await, 200);
    let place = served.place.path();
    symlink("2", place.join("turned")).unwrap();
    fs::rename(place.join("turned"), place.join("data")).unwrap();
    served.says(RELOADED, 1).await;
    assert_eq!(served.tunnel().await, 403);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_is_pointed_at() {
    let served = Served::with_file(&["--admin", "127.0.0.1:0"]).await;
    let said = served.process.says("/metrics").await;
    let (before, _) = said.split_once("/metrics").unwrap();
    let (_, port) = before.rsplit_once("http://").unwrap();
    let port = port.parse().unwrap();
    let mistakes = [
        (
            "deny = [\"127.0.0.1\"]\nlistem = 1\n",
            (2, 1),
            "did you mean `listen`?",
        ),
        (
            "deny = [\"127.0.0.1\"]\nintercept = [\"x y\"]\n",
            (2, 14),
            "`x y`",
        ),
        ("deny = [\"127.0.0.1\"\n", (1, 0), "array"),
        ("upstream_proxy = \"http://u:c4n4ry@p\n", (1, 0), "string"),
    ];
    for (number, (text, (line, column), why)) in mistakes.into_iter().enumerate() {
        fs::write(&served.config, text).unwrap();
        served.says(REFUSED, number + 1).await;
        let said = served.line(REFUSED);
        assert!(
            said.contains("ERROR") && said.contains("tollgate.toml"),
            "{said}"
        );
        assert!(
            said.contains(&format!("line={line}")) || column == 0,
            "{said}"
        );
        assert!(
            said.contains(&format!("column={column}")) || column == 0,
            "{said}"
        );
        assert!(said.contains(why), "{said}");
        assert_eq!(served.tunnel().await, 200, "{text}");
    }
    assert!(!served.process.said().contains("c4n4ry"));
    fs::write(&served.config, DENYING).unwrap();
    served.says(RELOADED, 1).await;
    assert_eq!(served.tunnel().await, 403);
    let reloads = |outcome: &str| format!("tollgate_config_reloads_total{{outcome=\"{outcome}\"}}");
    assert_eq!(admin::metric(port, &reloads("failure")).await, 4.0);
    assert_eq!(admin::metric(port, &reloads("success")).await, 1.0);
    let name = "tollgate_config_last_reload_success_timestamp_seconds";
    assert!(admin::metric(port, name).await > 1e9);
}

#[test]
fn the_example_is_in_order() {
    let place = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tollgate.toml");
    let told = said(
        &place.path().join("home"),
        &["check", example.to_str().unwrap()],
    );
    assert!(told.contains("tollgate.toml is valid"), "{told}");
}

#[tokio::test]
async fn what_takes_a_new_start_is_named_and_flags_stay_on_top() {
    let served = Served::with_file(&["--deny", "flag.example"]).await;
    let text =
        format!("payload = \"none\"\nidle_timeout = \"9s\"\ndeny = [\"file.example\"]\n{BASE}");
    fs::write(&served.config, text).unwrap();
    served.process.signal(Signal::HUP);
    served.says("until the gate is started again", 1).await;
    let line = served.line("until the gate is started again");
    assert!(
        line.contains("idle_timeout, payload") && !line.contains("deny"),
        "{line}"
    );
    assert_eq!(served.connect("flag.example:443").await, 403);
    assert_eq!(served.connect("file.example:443").await, 503);
    // What the authority cannot vouch for is not opened.
    fs::write(
        &served.config,
        format!("intercept = [\"new.example\"]\n{BASE}"),
    )
    .unwrap();
    served.says(REFUSED, 1).await;
    let line = served.line(REFUSED);
    assert!(
        line.contains("new.example") && line.contains("ca rotate"),
        "{line}"
    );
}
