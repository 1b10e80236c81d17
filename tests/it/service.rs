//! The gate as a service: what its manager is told, and the signals that end it or do not.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::process::tollgate;
use crate::support::{admin, within};

/// `tollgate serve` with everything of it in our hands.
struct Service {
    child: Child,
    listen: SocketAddr,
    admin: SocketAddr,
    _place: TempDir,
}

impl Service {
    /// Starts it, and waits until it says where it is.
    async fn start(
        prepare: impl FnOnce(&mut Command, &Path),
    ) -> (Self, BufReader<std::process::ChildStdout>) {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("home");
        let mut command = tollgate(&home);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        prepare(&mut command, place.path());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, greeting) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            while !text.contains("/metrics") && stdout.read_line(&mut text).unwrap() > 0 {}
            said.send((text, stdout)).ok();
        });
        let (text, stdout) = within("the greeting", greeting).await.unwrap();
        let after = |what: &str| {
            let (_, rest) = text
                .split_once(what)
                .unwrap_or_else(|| panic!("no {what} in {text}"));
            rest.split([',', '/', ' ']).next().unwrap().parse().unwrap()
        };
        let service = Self {
            listen: after("listens on "),
            admin: after("Operation:    http://"),
            child,
            _place: place,
        };
        (service, stdout)
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.args(["-s", name, &self.child.id().to_string()]);
        assert!(kill.status().unwrap().success());
    }

    async fn ended(mut self) -> ExitStatus {
        // In a thread that nobody waits for if it goes wrong.
        let (ended, status) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || ended.send(self.child.wait().unwrap()).ok());
        within("the end of the service", status).await.unwrap()
    }

    /// A refusal: a record, a line of it, and a warning.
    async fn refuse(&self) {
        let mut peer = admin::open(self.listen).await;
        peer.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        assert_eq!(peer.answer_to("GET").await.status(), 404);
    }

    async fn exchanges(&self) -> f64 {
        let metrics = admin::metrics(self.admin).await;
        let exchanges = metrics
            .iter()
            .filter(|(line, _)| line.starts_with("tollgate_exchanges_total{"));
        exchanges.map(|(_, value)| value).sum()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a service manager hears.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self(socket)
    }

    /// The next message that is no sign of life, and how many of those came before it.
    fn next(&self) -> (String, usize) {
        let mut alive = 0;
        loop {
            let message = self.message();
            if message != "WATCHDOG=1\n" {
                return (message, alive);
            }
            alive += 1;
        }
    }

    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hears_that_the_gate_is_ready_alive_and_stopping() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("notify");
    let manager = Manager::at(&socket);
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leads_to = format!("waits.test:443:{}", upstream.local_addr().unwrap());
    let (service, _stdout) = Service::start(|command, _| {
        command
            .args(["--connect-to", &leads_to])
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "100000")
            .stderr(Stdio::null());
    })
    .await;
    let (ready, _) = manager.next();
    assert_eq!(
        ready,
        format!("READY=1\nSTATUS=serving at {}\n", service.listen)
    );
    // What was ready can be reached.
    service.refuse().await;
    for _ in 0..3 {
        assert_eq!(manager.message(), "WATCHDOG=1\n");
    }
    // Whoever waits for an answer is waited for, and meanwhile the gate is still alive.
    let mut waiting = admin::open(service.listen).await;
    waiting
        .send("CONNECT waits.test:443 HTTP/1.1\r\nHost: waits.test:443\r\n\r\n")
        .await;
    let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
    waiting.expect(established).await;
    waiting.send("question").await;
    let (mut asked, _) = within("the tunnel", upstream.accept()).await.unwrap();
    let mut question = [0; 8];
    asked.read_exact(&mut question).await.unwrap();
    service.signal("TERM");
    let (stopping, _) = manager.next();
    assert!(
        stopping.starts_with("STOPPING=1\nSTATUS=draining"),
        "{stopping}"
    );
    for _ in 0..3 {
        assert_eq!(manager.message(), "WATCHDOG=1\n");
    }
    assert_eq!(admin::get(service.admin, "/readyz").await.status(), 503);
    asked.write_all(b"answer").await.unwrap();
    waiting.expect(b"answer").await;
    drop((waiting, asked));
    assert!(service.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_anything_where_nobody_listens() {
    let (service, _stdout) = Service::start(|command, place| {
        command
            .env("NOTIFY_SOCKET", place.join("nobody"))
            .env("WATCHDOG_USEC", "100000")
            .stderr(Stdio::null());
    })
    .await;
    service.refuse().await;
    service.signal("TERM");
    assert!(service.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_and_a_reader_that_is_gone_do_no_harm() {
    let (mut service, stdout) = Service::start(|command, _| {
        command.stderr(Stdio::piped());
    })
    .await;
    drop((stdout, service.child.stderr.take()));
    for round in 1..=3 {
        service.signal("HUP");
        service.signal("PIPE");
        service.refuse().await;
        assert_eq!(service.exchanges().await, f64::from(round));
    }
    // Three lines of exchanges went nowhere, and that is known; the first may have gone to the closed pipe itself.
    let lost = "tollgate_log_lines_lost_total{output=\"exchanges\"}";
    let known = async {
        while admin::metric(service.admin, lost).await == 0.0 {
            service.refuse().await;
        }
    };
    within("lines that are known to be lost", known).await;
    service.signal("TERM");
    assert!(service.ended().await.success());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_of_its_terminal_ends_the_gate_in_order_and_any_other_does_not() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    // What another process inherits would not be gone.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = std::fs::File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let (service, mut stdout) = Service::start(|command, _| {
        command.stdin(Stdio::from(terminal)).stderr(Stdio::null());
    })
    .await;
    service.signal("HUP");
    service.refuse().await;
    drop(master);
    service.signal("HUP");
    assert!(service.ended().await.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(
        rest.lines().count(),
        2,
        "the greeting's last line, and the one exchange: {rest}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_to_stop_ends_it_at_once() {
    let (service, _stdout) = Service::start(|command, _| {
        command.stderr(Stdio::null());
    })
    .await;
    let mut waiting = admin::open(service.listen).await;
    waiting.send("GET /noth").await;
    service.refuse().await;
    service.signal("TERM");
    while TcpStream::connect(service.listen).await.is_ok() {
        tokio::task::yield_now().await;
    }
    service.signal("TERM");
    assert!(service.ended().await.success());
}
