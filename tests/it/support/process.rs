//! The gate as its own process: the program that people start, which can be killed.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;

use super::door::Port;
use super::{BEDROCK, RawUpstream, within};

/// A running `tollgate`. Killed with the test.
pub(crate) struct Process {
    port: Option<Port>,
    home: PathBuf,
    child: Child,
    stdout: Heard,
    stderr: Heard,
}

/// What the process has written to one of its outputs so far.
struct Heard {
    text: watch::Receiver<String>,
    listening: JoinHandle<()>,
}

impl Deref for Process {
    type Target = Port;

    fn deref(&self) -> &Port {
        self.port.as_ref().unwrap()
    }
}

/// What the soft and the hard limit of a process's descriptors are to be.
#[derive(Clone, Copy)]
pub(crate) struct Descriptors {
    pub(crate) soft: u32,
    pub(crate) hard: u32,
}

impl Descriptors {
    /// `command`, run within these limits.
    pub(crate) fn of(self, command: &Command) -> Command {
        let Self { soft, hard } = self;
        let mut limited = Command::new("sh");
        limited
            .args([
                "-c",
                "ulimit -Sn $1 && ulimit -Hn $2 && shift 2 && exec \"$@\"",
                "sh",
            ])
            .args([soft.to_string(), hard.to_string()])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited.current_dir(command.get_current_dir().unwrap());
        limited
    }
}

impl Process {
    /// Starts it in `home` with `upstream` in the place of Bedrock, and waits until it says where it listens. Its lines are
    /// JSON, and it has no admin port.
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

    /// The same with more `arguments`, within limits.
    pub(crate) async fn start_within(
        home: &Path,
        upstream: &RawUpstream,
        arguments: &[&str],
        descriptors: Option<Descriptors>,
    ) -> Self {
        let change = |command: &mut Command| {
            command.args(arguments);
            if let Some(descriptors) = descriptors {
                *command = descriptors.of(command);
            }
        };
        Self::launch(home, upstream, change, false).await
    }

    /// The same, but once it listens nobody reads what it writes: its outputs are closed at our end.
    pub(crate) async fn start_unheard(home: &Path, upstream: &RawUpstream) -> Self {
        Self::launch(home, upstream, |_| (), true).await
    }

    async fn launch(
        home: &Path,
        upstream: &RawUpstream,
        change: impl FnOnce(&mut Command),
        unheard: bool,
    ) -> Self {
        let ca = home.with_extension("upstream.pem");
        std::fs::write(&ca, upstream.ca_pem.as_ref().unwrap()).unwrap();
        let config = home.with_extension("toml");
        let rules = "[[host]]\npattern = \"127.0.0.1\"\naction = \"tunnel\"\n";
        std::fs::write(&config, rules).unwrap();
        let mut command = tollgate(home);
        // Variables, so that an argument may say otherwise.
        command
            .env("TOLLGATE_CONFIG", config)
            .env("TOLLGATE_TUNNEL_PORT", "*")
            .env("TOLLGATE_LOG_FORMAT", "json")
            .env("TOLLGATE_ADMIN", "off")
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
        change(&mut command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Self {
            port: None,
            home: home.to_owned(),
            stdout: Heard::listen(child.stdout.take().unwrap(), unheard),
            stderr: Heard::listen(child.stderr.take().unwrap(), unheard),
            child,
        };
        let address = process.greeting().await;
        process.port = Some(Port::new(address, home));
        process
    }

    /// Where it says that it listens: on standard error where its lines are JSON, else on standard output.
    async fn greeting(&self) -> SocketAddr {
        let (mut stdout, mut stderr) = (self.stdout.text.clone(), self.stderr.text.clone());
        let greeting = async {
            loop {
                for said in [stdout.borrow_and_update(), stderr.borrow_and_update()] {
                    let greeting = said.split_once("listens on ");
                    let address =
                        greeting.and_then(|(_, rest)| rest.split([',', ' ', '\n']).next());
                    if let Some(address) = address {
                        return address.parse().unwrap();
                    }
                }
                // Both end only with the process.
                tokio::select! {
                    Ok(()) = stdout.changed() => {}
                    Ok(()) = stderr.changed() => {}
                    else => panic!("the gate did not start: {}", self.said()),
                }
            }
        };
        within("the gate's address", greeting).await
    }

    /// Waits until it has written `text` to standard error; all that it has written there.
    pub(crate) async fn says(&self, text: &str) -> String {
        let mut said = self.stderr.text.clone();
        let found = within(text, said.wait_for(|said| said.contains(text))).await;
        match found {
            Ok(said) => said.clone(),
            Err(_) => panic!("it ended without {text:?}: {}", self.said()),
        }
    }

    /// All that it has written to standard error so far.
    pub(crate) fn said(&self) -> String {
        self.stderr.text.borrow().clone()
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What proc(5) tells about it.
    #[cfg(target_os = "linux")]
    pub(crate) fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap()
    }

    /// How many descriptors it has below this number; those that it inherited may lie above its limit.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self, below: u32) -> u32 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let number = |name: std::ffi::OsString| name.to_str().unwrap().parse::<u32>().unwrap();
        let numbers = open.map(|entry| number(entry.unwrap().file_name()));
        numbers.map(|number| u32::from(number < below)).sum()
    }

    /// How long it has had a processor, in hundredths of a second.
    #[cfg(target_os = "linux")]
    pub(crate) fn ticks(&self) -> u64 {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let mut fields = fields.split(' ').skip(11);
        let mut next = || fields.next().unwrap().parse::<u64>().unwrap();
        next() + next()
    }

    /// The most memory it ever held, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = self.proc("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
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

    /// Waits for its end: its status, and what it wrote to standard output.
    pub(crate) async fn ended(self) -> (ExitStatus, String) {
        let (status, stdout, _) = self.ended_saying().await;
        (status, stdout)
    }

    /// The same, and what it wrote to standard error.
    pub(crate) async fn ended_saying(mut self) -> (ExitStatus, String, String) {
        let end = tokio::task::spawn_blocking(move || {
            let status = self.child.wait().unwrap();
            for heard in [&self.stdout, &self.stderr] {
                while !heard.listening.is_finished() {
                    std::thread::yield_now();
                }
            }
            let stdout = self.stdout.text.borrow().clone();
            (status, stdout, self.said())
        });
        within("the end of the process", end).await.unwrap()
    }

    /// What a command of the same program prints about the same home.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        said(&self.home, arguments)
    }
}

impl Heard {
    /// Reads `from` to its end, so that the process never waits for us; if it is to be `unheard`, only until it has said
    /// where it listens.
    fn listen(from: impl Read + Send + 'static, unheard: bool) -> Self {
        let (says, text) = watch::channel(String::new());
        let listening = std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let heard = String::from_utf8_lossy(&line).into_owned();
                let is_greeting = heard.contains("listens on ");
                says.send_modify(|said| said.push_str(&heard));
                line.clear();
                if unheard && is_greeting {
                    return;
                }
            }
        });
        Self { text, listening }
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
