//! The gate as its own process: the program that people start, which can be killed.

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::door::Port;
use super::{BEDROCK, RawUpstream, within};

/// A running `tollgate`. Killed with the test.
pub(crate) struct Process {
    port: Port,
    home: PathBuf,
    child: Child,
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
        let ca = home.with_extension("upstream.pem");
        std::fs::write(&ca, upstream.ca_pem.as_ref().unwrap()).unwrap();
        let mut child = tollgate(home)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "off",
                "--log-format",
                "json",
                "--payload-limit",
                "65536",
                "--connect-to",
            ])
            .arg(format!("{BEDROCK}:443:{}", upstream.address))
            .arg("--upstream-ca")
            .arg(ca)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, address) = tokio::sync::oneshot::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            let mut found = Some(found);
            let mut said = String::new();
            // Read to the end, so that the process never waits for us.
            for line in stderr.lines() {
                let line = line.unwrap();
                let address = line
                    .split_once("listens on ")
                    .map(|(_, rest)| rest.split([',', ' ']).next().unwrap());
                said.push_str(&line);
                if let (Some(address), true) = (address, found.is_some()) {
                    found
                        .take()
                        .unwrap()
                        .send(address.parse().unwrap())
                        .unwrap();
                }
            }
            assert!(found.is_none(), "the gate did not start: {said}");
        });
        let address = within("the gate's address", address).await.unwrap();
        Self {
            port: Port::new(address, home),
            home: home.to_owned(),
            child,
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
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let mut stdout = self.child.stdout.take().unwrap();
        let end = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
            (self.child.wait().unwrap(), text)
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
