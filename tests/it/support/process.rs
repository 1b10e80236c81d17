//! The gate as its own process: the program that people start, which can be killed.

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::sync::watch;

use super::door::Port;
use super::{BEDROCK, RawUpstream, within};

/// A running `tollgate`. Killed with the test.
pub(crate) struct Process {
    port: Option<Port>,
    home: PathBuf,
    child: Child,
    said: watch::Receiver<String>,
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
    pub(crate) fn of(self, command: Command) -> Command {
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
    /// Starts it in `home` with `upstream` in the place of Bedrock, and waits until it says where it listens.
    pub(crate) async fn start(home: &Path, upstream: &RawUpstream) -> Self {
        Self::start_with(home, upstream, &[], None).await
    }

    /// The same with more `arguments`, within limits.
    pub(crate) async fn start_with(
        home: &Path,
        upstream: &RawUpstream,
        arguments: &[&str],
        descriptors: Option<Descriptors>,
    ) -> Self {
        let ca = home.with_extension("upstream.pem");
        std::fs::write(&ca, upstream.ca_pem.as_ref().unwrap()).unwrap();
        let mut command = tollgate(home);
        command
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
            .args(arguments);
        if let Some(descriptors) = descriptors {
            command = descriptors.of(command);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (says, said) = watch::channel(String::new());
        // Read to the end, so that the process never waits for us.
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let line = line.unwrap();
                says.send_modify(|said| {
                    said.push_str(&line);
                    said.push('\n');
                });
            }
        });
        let mut process = Self {
            port: None,
            home: home.to_owned(),
            child,
            said,
        };
        let greeting = process.says("listens on ").await;
        let (_, address) = greeting.split_once("listens on ").unwrap();
        let address = address.split([',', ' ', '\n']).next().unwrap();
        process.port = Some(Port::new(address.parse().unwrap(), home));
        process
    }

    /// Waits until it has written `text` to standard error; all that it has written there.
    pub(crate) async fn says(&self, text: &str) -> String {
        let mut said = self.said.clone();
        let found = within(text, said.wait_for(|said| said.contains(text))).await;
        match found {
            Ok(said) => said.clone(),
            Err(_) => panic!("it ended without {text:?}: {}", self.said.borrow().as_str()),
        }
    }

    /// All that it has written to standard error so far.
    pub(crate) fn said(&self) -> String {
        self.said.borrow().clone()
    }

    /// What proc(5) tells about it.
    #[cfg(target_os = "linux")]
    pub(crate) fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// How many descriptors it has below this number; those that it inherited may lie above its limit.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self, below: u32) -> u32 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
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
        let status = self.proc("status");
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
