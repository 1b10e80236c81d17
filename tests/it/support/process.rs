//! The gate as its own process: the program that people start, which can be killed.

use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::door::Port;
use super::{BEDROCK, RawUpstream, within};

/// A running `tollgate`. Killed with the test.
pub(crate) struct Process {
    port: Port,
    home: PathBuf,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Deref for Process {
    type Target = Port;

    fn deref(&self) -> &Port {
        &self.port
    }
}

impl Process {
    /// Starts it in `home` with `upstream` in the place of Bedrock, and waits until it says where it listens.
    pub(crate) async fn start(home: &Path, upstream: &RawUpstream) -> Self {
        Self::start_with(home, upstream, |command| {
            command.args(["--log-format", "json"]);
        })
        .await
    }

    /// The same with what `more` adds to the command.
    pub(crate) async fn start_with(
        home: &Path,
        upstream: &RawUpstream,
        more: impl FnOnce(&mut Command),
    ) -> Self {
        let ca = home.with_extension("upstream.pem");
        std::fs::write(&ca, upstream.ca_pem.as_ref().unwrap()).unwrap();
        let mut command = tollgate(home);
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--payload-limit",
                "65536",
                "--connect-to",
            ])
            .arg(format!("{BEDROCK}:443:{}", upstream.address))
            .arg("--upstream-ca")
            .arg(ca);
        more(&mut command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, addresses) = channel();
        let stdout = collect(child.stdout.take().unwrap(), found.clone());
        let stderr = collect(child.stderr.take().unwrap(), found);
        let waiting = tokio::task::spawn_blocking(move || addresses.recv());
        let address = within("the gate's address", waiting).await.unwrap();
        Self {
            port: Port::new(address.expect("the gate started"), home),
            home: home.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    /// Ends it at once, without a chance to do anything more.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end: its status, and what it wrote to standard output.
    pub(crate) async fn ended(self) -> (ExitStatus, String) {
        let (status, stdout, _) = self.ended_saying().await;
        (status, stdout)
    }

    /// The same, and what it wrote to standard error.
    pub(crate) async fn ended_saying(mut self) -> (ExitStatus, String, String) {
        let end = tokio::task::spawn_blocking(move || {
            let stdout = self.stdout.recv().unwrap();
            let stderr = self.stderr.recv().unwrap();
            (self.child.wait().unwrap(), stdout, stderr)
        });
        within("the end of the process", end).await.unwrap()
    }

    /// The most memory it ever held, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// What a command of the same program prints about the same home.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        said(&self.home, arguments)
    }
}

/// Reads to the end, so that the process never waits for us; gives everything then, and before that the address that is
/// named in it.
fn collect(
    from: impl Read + Send + 'static,
    found: Sender<std::net::SocketAddr>,
) -> Receiver<String> {
    let (all, collected) = channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut said = String::new();
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let address = text
                .split_once("listens on ")
                .and_then(|(_, rest)| rest.split([',', ' ']).next()?.parse().ok());
            if let Some(address) = address {
                // Whoever waits has it already, or has given up.
                found.send(address).ok();
            }
            said.push_str(&text);
            line.clear();
        }
        all.send(said).ok();
    });
    collected
}

/// What a command prints about `home`.
pub(crate) fn said(home: &Path, arguments: &[&str]) -> String {
    let output = tollgate(home).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// A command of the program about `home`, in an environment that says nothing about proxies and trust.
pub(crate) fn tollgate_alone(home: &Path) -> Command {
    let mut command = tollgate(home);
    let about = ["PROXY", "CERT", "CA_BUNDLE", "CAINFO", "AWS_", "SSL_"];
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if about.iter().any(|word| upper.contains(word)) {
            command.env_remove(name);
        }
    }
    let nowhere = home.with_extension("none");
    command.env("AWS_CONFIG_FILE", nowhere);
    command
}

pub(crate) fn tollgate(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .env("TOLLGATE_HOME", home)
        .current_dir(home.parent().unwrap())
        .env_remove("AISERVICE_API_BASE");
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
