//! `tollgate run` as its own process: a place to call it from, and a run that goes on while a test looks at it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

use super::process::tollgate;
use super::{BEDROCK, RawUpstream, within};

/// A place with a home and a configuration that leads to `upstream`.
pub(crate) struct Place {
    pub(crate) parent: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            parent: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn before(upstream: &RawUpstream) -> Self {
        let place = Self::new();
        let ca = place.parent.path().join("upstream.pem");
        std::fs::write(&ca, upstream.ca_pem.as_ref().unwrap()).unwrap();
        let text = format!(
            "connect_to = [\"{BEDROCK}:443:{}\"]\nupstream_ca = ['{}']\n",
            upstream.address,
            ca.display()
        );
        std::fs::write(place.parent.path().join("tollgate.toml"), text).unwrap();
        place
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.parent.path().join("home")
    }

    /// `tollgate run ARGUMENTS`, as somebody calls it who has set nothing.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut command = tollgate(&self.home());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TOLLGATE_HOME", self.home())
            .arg("run")
            .args(arguments);
        command
    }

    pub(crate) fn ended(&self, arguments: &[&str]) -> Output {
        self.run(arguments).stdin(Stdio::null()).output().unwrap()
    }
}

/// A run that goes on until its standard input is closed.
pub(crate) struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The next line that the command writes.
    pub(crate) async fn line(mut self) -> (Self, String) {
        let reading = in_a_thread(move || {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            (self, line.trim_end().to_owned())
        });
        within("a line of the command", reading).await
    }

    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.child.id().to_string()]);
        assert!(kill.status().unwrap().success());
    }

    /// Closes its input; its exit status, and what it said on standard error.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        drop(self.stdin);
        let ending = in_a_thread(move || {
            let mut said = String::new();
            let mut stderr = self.child.stderr.take().unwrap();
            stderr.read_to_string(&mut said).unwrap();
            (self.child.wait().unwrap().code(), said)
        });
        within("the end of the run", ending).await
    }
}

/// Blocks in a thread that nobody waits for if it goes wrong.
async fn in_a_thread<T: Send + 'static>(blocks: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(blocks()).ok());
    result.await.unwrap()
}
