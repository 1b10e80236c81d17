//! The gate as its own process: the program that people start, which can be killed.

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use super::door::Port;
use super::{BEDROCK, RawUpstream, until, within};

/// A running `tollgate`. Killed with the test.
pub(crate) struct Process {
    port: Port,
    home: PathBuf,
    child: Child,
    said: Arc<Mutex<String>>,
    /// To its standard error.
    listening: Option<JoinHandle<()>>,
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
        Self::start_with(home, upstream, |_| ()).await
    }

    /// The same after `change` had its say about the command.
    pub(crate) async fn start_with(
        home: &Path,
        upstream: &RawUpstream,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        Self::launch(home, upstream, change, false).await
    }

    /// The same, but once it listens nobody reads what it writes: its outputs are closed at our end.
    pub(crate) async fn start_unheard(home: &Path, upstream: &RawUpstream) -> Self {
        let mut process = Self::launch(home, upstream, |_| (), true).await;
        drop(process.child.stdout.take());
        process.listening.take().unwrap().join().unwrap();
        process.listening = Some(std::thread::spawn(|| ()));
        process
    }

    async fn launch(
        home: &Path,
        upstream: &RawUpstream,
        change: impl FnOnce(&mut Command),
        unheard: bool,
    ) -> Self {
        let ca = home.with_extension("upstream.pem");
        std::fs::write(&ca, upstream.ca_pem.as_ref().unwrap()).unwrap();
        let mut command = tollgate(home);
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
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
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let (found, address) = tokio::sync::oneshot::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let listening = std::thread::spawn(move || {
            let mut found = Some(found);
            // Read to the end, so that the process never waits for us.
            for line in stderr.lines() {
                let line = line.unwrap();
                let address = line
                    .split_once("listens on ")
                    .map(|(_, rest)| rest.split([',', ' ']).next().unwrap());
                heard.lock().unwrap().push_str(&format!("{line}\n"));
                if let (Some(address), true) = (address, found.is_some()) {
                    let address = address.parse().unwrap();
                    found.take().unwrap().send(address).unwrap();
                }
                if unheard && found.is_none() {
                    return;
                }
            }
        });
        let Ok(address) = within("the gate's address", address).await else {
            panic!("the gate did not start: {}", said.lock().unwrap());
        };
        Self {
            port: Port::new(address, home),
            home: home.to_owned(),
            child,
            said,
            listening: Some(listening),
        }
    }

    /// What it has written to standard error.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has written something with `words` in it to standard error.
    pub(crate) async fn says(&self, words: &str) {
        until(&format!("`{words}` on standard error"), || {
            self.said().contains(words)
        })
        .await;
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Asks it to stop, and waits until nobody new is let in.
    pub(crate) async fn stop_accepting(&self) {
        self.terminate();
        while tokio::net::TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends it at once, without a chance to do anything more.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end: its status, and what it wrote to standard output.
    pub(crate) async fn ended(self) -> (ExitStatus, String) {
        let (status, stdout, _) = self.ended_with_words().await;
        (status, stdout)
    }

    /// Waits for its end: its status, and what it wrote to standard output and to standard error.
    pub(crate) async fn ended_with_words(mut self) -> (ExitStatus, String, String) {
        let stdout = self.child.stdout.take();
        let end = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            if let Some(mut stdout) = stdout {
                std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
            }
            let status = self.child.wait().unwrap();
            self.listening.take().unwrap().join().unwrap();
            (status, text, self.said())
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
