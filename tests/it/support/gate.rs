//! A gate on a port of its own with a home of its own.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tollgate::app::StartError;
use tollgate::config::settings::ConnectTo;
use tollgate::config::{HostPattern, Options, Policy, Settings, TunnelPorts};
use tollgate::ledger::{FILE_NAME, Found, Query, Reader, UsageRecord};
use tollgate::proxy::load::Figures;
use tollgate::simulator::{Simulator, SimulatorOptions};

use super::door::Port;
use super::peer::{Peer, with_handle};
use super::traces::{Traces, connections, nothing_more};
use super::upstream::RawUpstream;
use super::{BEDROCK, until_so, within};

/// What the rules of a [`Plan`] let clients reach.
const LOOPBACK: [&str; 4] = ["127.0.0.1", "::1", "localhost", "0.0.0.0"];

/// A running gate. Ends with the test.
pub(crate) struct Gate {
    pub(crate) port: Port,
    /// Its admin port, if it has one.
    pub(crate) admin: Option<SocketAddr>,
    /// What requests are admitted under.
    pub(crate) policy: Arc<ArcSwap<Policy>>,
    home: TempDir,
    figures: Box<dyn Fn() -> Figures + Send + Sync>,
    stop: oneshot::Sender<()>,
    at_once: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    /// How many there were before it.
    tasks: usize,
}

impl Deref for Gate {
    type Target = Port;

    fn deref(&self) -> &Port {
        &self.port
    }
}

/// A gate that was told to stop and has not ended yet.
pub(crate) struct Stopping {
    home: TempDir,
    serving: JoinHandle<()>,
    address: SocketAddr,
    tasks: usize,
}

/// What a gate left behind.
pub(crate) struct Left {
    home: TempDir,
}

/// A home, and the settings of a gate that nothing has been said about.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    home: TempDir,
}

impl Plan {
    /// Port 0, an empty home, defaults otherwise.
    pub(crate) fn new() -> Self {
        Self::in_home(tempfile::tempdir().unwrap())
    }

    /// The same where the environment names an API base.
    pub(crate) fn with_api_base(base: &str) -> Self {
        Self::of(tempfile::tempdir().unwrap(), Some(base))
    }

    /// The same in a home that was used before.
    pub(crate) fn in_home(home: TempDir) -> Self {
        Self::of(home, None)
    }

    fn of(home: TempDir, api_base: Option<&str>) -> Self {
        let at = home.path().to_owned();
        let mut settings = Settings::from_options(Options::default(), at, api_base).unwrap();
        settings.listen.set_port(0);
        // Upstreams of tests are on loopback, at ports of their own.
        let hosts = &mut settings.policy.hosts;
        hosts.ports = TunnelPorts::Any;
        hosts.tunnel = LOOPBACK
            .map(|host| HostPattern::parse(host).unwrap())
            .into();
        // A machine has one default admin port, and many tests run at the same time.
        settings.admin.address = None;
        Self { settings, home }
    }

    /// With an admin port of its own.
    pub(crate) fn with_admin(self) -> Self {
        self.with(|settings| settings.admin.address = Some(([127, 0, 0, 1], 0).into()))
    }

    /// Changes the settings.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Leads every observed exchange to `upstream`, and trusts it.
    pub(crate) fn before(self, upstream: &RawUpstream) -> Self {
        let ca = upstream
            .ca_pem
            .as_ref()
            .map(|pem| self.file("upstream-ca.pem", pem));
        self.with(|settings| {
            settings.dial_intercepted = Some(upstream.address);
            settings.upstream_ca.extend(ca);
        })
    }

    /// Leads every observed exchange to `simulator`, and trusts it.
    pub(crate) fn before_simulator(self, simulator: &Simulator) -> Self {
        let ca = self.file("simulator-ca.pem", simulator.ca_pem());
        self.with(|settings| {
            settings.dial_intercepted = Some(simulator.addr());
            settings.upstream_ca.push(ca);
        })
    }

    /// Dials `address` for `host`, and trusts `upstream`.
    pub(crate) fn connect_to(self, host: &str, upstream: &RawUpstream) -> Self {
        let ca = upstream
            .ca_pem
            .as_ref()
            .map(|pem| self.file("connect-to-ca.pem", pem));
        self.with(|settings| {
            settings.connect_to.push(ConnectTo {
                host: Some(host.to_owned()),
                port: None,
                to_host: upstream.address.ip().to_string(),
                to_port: upstream.address.port(),
            });
            settings.upstream_ca.extend(ca);
        })
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts the gate.
    pub(crate) async fn start(self) -> Gate {
        let home = self.home.path().to_owned();
        self.start_in(&home).await
    }

    /// Starts the gate in the home that the settings name.
    pub(crate) async fn start_in(self, at: &Path) -> Gate {
        self.try_start_in(at).await.unwrap()
    }

    /// Starts the gate, if it can be.
    pub(crate) async fn try_start(self) -> Result<Gate, StartError> {
        let home = self.home.path().to_owned();
        self.try_start_in(&home).await
    }

    async fn try_start_in(self, at: &Path) -> Result<Gate, StartError> {
        let Self { settings, home } = self;
        let tasks = alive_tasks();
        let gate = tollgate::app::Gate::start(settings).await?;
        let address = gate.address().unwrap();
        let admin = gate.admin_address();
        let port = Port::new(address, at);
        let policy = gate.policy();
        let figures = Box::new(gate.figures());
        let (stop, stopped) = oneshot::channel();
        let (at_once, cut) = oneshot::channel();
        let stop_future = async {
            stopped.await.ok();
        };
        let at_once_future = async {
            if cut.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let serving = tokio::spawn(gate.run(stop_future, at_once_future));
        Ok(Gate {
            port,
            admin,
            policy,
            home,
            figures,
            stop,
            at_once,
            serving,
            tasks,
        })
    }
}

/// How many tasks there are besides the one that asks.
fn alive_tasks() -> usize {
    let own = usize::from(tokio::task::try_id().is_some());
    Handle::current().metrics().num_alive_tasks() - own
}

impl Gate {
    /// A gate before `upstream`.
    pub(crate) async fn before(upstream: &RawUpstream) -> Self {
        Plan::new().before(upstream).start().await
    }

    /// The home directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// What there is now of everything that is bounded.
    pub(crate) fn figures(&self) -> Figures {
        (self.figures)()
    }

    /// The records that are committed now, oldest first.
    pub(crate) fn records(&self) -> Vec<UsageRecord> {
        records(self.home())
    }

    /// Stops without waiting for the running exchanges.
    pub(crate) async fn stop_at_once(self) -> Left {
        self.at_once.send(()).ok();
        self.stop.send(()).ok();
        Self::ended(self.serving, self.port.address, self.tasks).await;
        Left { home: self.home }
    }

    /// Stops taking requests, lets the running exchanges end, closes the ledger.
    pub(crate) async fn stop(self) -> Left {
        self.begin_to_stop().end().await
    }

    /// Tells it to stop, without waiting for the end.
    pub(crate) fn begin_to_stop(self) -> Stopping {
        self.stop.send(()).ok();
        Stopping {
            home: self.home,
            serving: self.serving,
            address: self.port.address,
            tasks: self.tasks,
        }
    }

    /// The admin port of a gate that has one.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("a gate with an admin port")
    }

    /// A gate that has ended has left no task and no connection, whatever was done to it.
    async fn ended(serving: JoinHandle<()>, address: SocketAddr, tasks: usize) {
        within("the gate's end", serving).await.unwrap();
        let held = || connections(address, address).0;
        until_so(
            "the gate leaves nothing behind",
            || held() == 0 && alive_tasks() <= tasks,
            || {
                format!(
                    "{} connections, {} tasks, before it {tasks}",
                    held(),
                    alive_tasks()
                )
            },
        )
        .await;
    }

    /// What it holds while it is left alone, and what else runs here. Everything that it runs by itself is running then.
    pub(crate) async fn rest(&self, upstream: &RawUpstream) -> Traces {
        let mut probe = self.plain().await;
        probe.half_close().await;
        probe.end().await;
        drop(probe);
        let rest = Traces {
            clients: 0,
            ..self.traces(upstream)
        };
        nothing_more("a probe", rest, || self.traces(upstream)).await;
        self.traces(upstream)
    }

    /// What it holds with clients and with `upstream`, and what else runs here.
    pub(crate) fn traces(&self, upstream: &RawUpstream) -> Traces {
        Traces::here(self.address, upstream.address)
    }
}

impl Stopping {
    /// Waits for the end.
    pub(crate) async fn end(self) -> Left {
        Gate::ended(self.serving, self.address, self.tasks).await;
        Left { home: self.home }
    }
}

impl Left {
    /// Every record.
    pub(crate) fn records(&self) -> Vec<UsageRecord> {
        records(self.home.path())
    }

    /// The one record there is.
    pub(crate) fn record(&self) -> UsageRecord {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{records:#?}");
        records.remove(0)
    }

    /// The one exchange there is, with its payload.
    pub(crate) fn exchange(&self) -> Found {
        self.find(&self.record().id)
    }

    /// The exchange with this id.
    pub(crate) fn find(&self, id: &str) -> Found {
        Reader::open(&self.home.path().join(FILE_NAME))
            .unwrap()
            .find(id)
            .unwrap()
    }

    /// The home, for another gate or a closer look.
    pub(crate) fn home(self) -> TempDir {
        self.home
    }
}

fn records(home: &Path) -> Vec<UsageRecord> {
    let reader = Reader::open(&home.join(FILE_NAME)).unwrap();
    reader
        .records(&Query::default())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// A simulator without pauses.
pub(crate) async fn simulator() -> Simulator {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Simulator::start(SimulatorOptions::new(loopback))
        .await
        .unwrap()
}

/// A connection to `simulator` without a gate in between, TLS open for [`BEDROCK`].
pub(crate) async fn dial(simulator: &Simulator) -> Peer {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(simulator.ca_pem().as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (stream, socket) = with_handle(TcpStream::connect(simulator.addr()).await.unwrap());
    let name = ServerName::try_from(BEDROCK).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
    Peer::new(
        Box::new(within("TLS with the simulator", stream).await.unwrap()),
        socket,
    )
}

/// The cryptography of both peers.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
