//! Builds the services, binds, and runs until told to stop.
//!
//! `start` returns when the port is bound and every file that clients need is in place; `Gate::run` accepts until its
//! stop future resolves, then lets what runs finish.

mod asking;
pub mod budgets;
pub mod reload;
mod trusting;
mod watching;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::reload::Reloading;
pub use self::trusting::{constraints, dialer, prepare_trust, required, watched};
use self::trusting::{store, warn_of_ends, watch_ends};
use crate::admin::Admin;
use crate::config::{Capacity, ClientAbort, Policy, Settings};
use crate::ledger::writer::Ledger;
use crate::ledger::{FILE_NAME, LedgerError};
use crate::metrics::Metrics;
use crate::net::ca_error::CaError;
use crate::net::certificates::CertificateError;
use crate::net::descriptors;
use crate::net::expiry::Watched;
use crate::net::pool::UpstreamPool;
use crate::net::private_file::FileError;
use crate::net::tls_server::ServerConfigs;
use crate::net::trust::TrustError;
use crate::net::upstream_proxy;
use crate::proxy::authentication::Authentication;
use crate::proxy::caller::Sessions;
use crate::proxy::capture::CaptureRoom;
use crate::proxy::load::{Figures, Load};
use crate::proxy::recording::Recordings;
use crate::proxy::{Phase, Services, accept};
use crate::running::Claim;

/// Why the gate does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or not ours to take.
    #[error(
        "cannot listen on {address}; is another gate running? --listen ADDR:PORT chooses another port"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The admin port that was asked for is taken, or not ours to take.
    #[error(
        "cannot have the admin port on {address}; --admin ADDR:PORT chooses another place, --admin off none"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The home directory cannot be used.
    #[error(transparent)]
    Home(#[from] FileError),
    /// No authority to mint with.
    #[error(transparent)]
    Authority(#[from] CaError),
    /// A certificate of the operator's cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A root for upstreams cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The upstream proxy is this gate.
    #[error(
        "option `upstream-proxy`: {proxy} ({named_by}) is this gate itself, which listens on {listen}; name the \
         network's own proxy, or say --upstream-proxy none"
    )]
    Loop {
        /// Its URL, without credentials.
        proxy: String,
        /// The option or variable that names it.
        named_by: &'static str,
        /// Where the gate listens.
        listen: SocketAddr,
    },
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl StartError {
    /// Whether what was asked for is wrong, rather than something that went wrong.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Authority(_) | Self::Certificate(_) | Self::Trust(_) | Self::Loop { .. }
        )
    }
}

/// A gate that is bound and ready.
pub struct Gate {
    /// Held while the gate runs; another gate may have the home already, and that of a run is not to be found.
    _claim: Option<Claim>,
    listener: TcpListener,
    admin: Option<Admin>,
    services: Arc<Services>,
    phase: watch::Sender<Phase>,
    /// Certificates whose end is warned of.
    watched: Vec<Watched>,
    /// How the configuration is read anew, if it is.
    reloading: Option<Reloading>,
}

/// How long what is cut may take to be recorded and to say so to its client.
const CUT: Duration = Duration::from_secs(5);
/// How long what is cut may take beyond that until it is estimated and committed.
const RECORDED: Duration = Duration::from_secs(60);
/// How often idle upstream connections are looked after.
const SWEEP: Duration = Duration::from_secs(5);

impl Gate {
    /// Makes or opens everything in the home, then binds.
    ///
    /// # Errors
    /// [`StartError`]: what was found and what to do.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (authority, platform) = prepare_trust(&settings, SystemTime::now())?;
        let watched = watched(&settings, &authority)?;
        warn_of_ends(&watched, OffsetDateTime::now_utc());
        let dialer = dialer(&settings, &platform, Some(&authority))?;
        let store = Arc::new(store(&settings, authority)?);
        let policy = Arc::new(ArcSwap::from_pointee(settings.policy.clone()));
        let current = Arc::clone(&policy);
        let tls = ServerConfigs::new(
            store,
            Arc::new(move |name: &str| current.load().hosts.is_intercepted(name)),
        )?;
        let tls = asking::prepare(&settings, tls)?;
        let ledger = Ledger::open_with(&settings.home.join(FILE_NAME), &settings.ledger)?;
        let budgets = budgets::restored(&settings).await;
        let listener =
            TcpListener::bind(settings.listen)
                .await
                .map_err(|source| StartError::Bind {
                    address: settings.listen,
                    source,
                })?;
        refuse_loop(&settings, &listener).await?;
        let admin = watching::bind(&settings.admin).await?;
        let listens = listener.local_addr().ok();
        let told = admin.as_ref().map(Admin::address);
        let current = Arc::clone(&policy);
        let dialer = dialer
            .apart_from(listens.into_iter().chain(told))
            .without(move |address| current.load().hosts.denies_address(address));
        let claim = match settings.run {
            Some(_) => None,
            None => claim(&settings, &listener, told),
        };
        let (phase, phases) = watch::channel(Phase::Serving);
        let capacity = capacity(&settings);
        let idle = settings.timeouts.pool_idle;
        let pool = UpstreamPool::new(dialer, idle, capacity.idle_upstreams);
        let drains = match settings.accounting.on_client_abort {
            ClientAbort::Close => 0,
            ClientAbort::Drain(limits) => limits.concurrent,
        };
        let captures = Arc::new(CaptureRoom::new(settings.limits.payload_memory));
        let services = Arc::new(Services {
            settings,
            policy,
            budgets,
            tls,
            pool,
            ledger,
            captures,
            metrics: Arc::new(Metrics::new()),
            sessions: Sessions::default(),
            authentication: Authentication::new()?,
            drains: Arc::new(Semaphore::new(
                usize::try_from(drains)
                    .unwrap_or(usize::MAX)
                    .min(Semaphore::MAX_PERMITS),
            )),
            recordings: Recordings::default(),
            load: Arc::new(Load::new(capacity)),
            phase: phases,
        });
        Ok(Self {
            _claim: claim,
            listener,
            admin,
            services,
            phase,
            watched,
            reloading: None,
        })
    }

    /// The same, reading its configuration anew whenever that changes.
    #[must_use]
    pub fn reloading(self, reloading: Reloading) -> Self {
        Self {
            reloading: Some(reloading),
            ..self
        }
    }

    /// The client port.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The admin port, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// What the gate was started with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.services.settings
    }

    /// What requests are admitted under from now on; storing another changes it, for requests that begin then.
    #[must_use]
    pub fn policy(&self) -> Arc<ArcSwap<Policy>> {
        Arc::clone(&self.services.policy)
    }

    /// Tells, whenever it is asked, what there is of everything that is bounded.
    pub fn figures(&self) -> impl Fn() -> Figures + Send + Sync + 'static {
        let services = Arc::clone(&self.services);
        move || services.figures()
    }

    /// Serves until `stop` resolves, then takes no new requests and lets the running ones finish, for `--stop-timeout` or
    /// until `at_once` resolves. What still runs then is cut and recorded as far as it came. Closes the ledger. The admin
    /// port answers until the end.
    pub async fn run(self, stop: impl Future<Output = ()>, at_once: impl Future<Output = ()>) {
        let Self {
            _claim,
            listener,
            admin,
            services,
            phase,
            watched,
            reloading,
        } = self;
        let sources = watching::sources(&services, &watched);
        let told = admin.map(|admin| tokio::spawn(admin.serve(sources)));
        let (running, mut finished) = mpsc::channel::<()>(1);
        let sweeper = tokio::spawn(sweep(Arc::clone(&services)));
        let watcher = tokio::spawn(watch_ends(watched));
        let reloader = reloading
            .map(|reloading| tokio::spawn(reload::watch(Arc::clone(&services), reloading)));
        tokio::select! {
            () = accept::run(&listener, &services, &running) => {}
            () = stop => {}
        }
        drop(listener);
        drop(running);
        phase.send_replace(Phase::Draining);
        let drained = tokio::select! {
            drained = timeout(services.settings.timeouts.stop, finished.recv()) => drained.is_ok(),
            () = at_once => false,
        };
        if !drained {
            tracing::warn!("exchanges are still running; they are cut");
            phase.send_replace(Phase::Cut);
            if timeout(CUT, finished.recv()).await.is_err() {
                tracing::warn!("connections were still open when the gate ended");
                // Many calls cut at once are many estimates: what is known of them is not thrown away.
                if timeout(RECORDED, services.recordings.over()).await.is_err() {
                    let records = services.recordings.running();
                    tracing::error!(records, "records that were not ready in time are lost");
                }
            }
        }
        sweeper.abort();
        watcher.abort();
        reloader.inspect(JoinHandle::abort);
        let left = services.ledger.clone().close().await;
        // A writer that hangs has not counted what it was left with.
        let lost = u64::try_from(left)
            .unwrap_or(u64::MAX)
            .max(services.ledger.losses());
        let payloads = services.ledger.payload_losses();
        if lost > 0 || payloads > 0 {
            tracing::error!(
                lost_records = lost,
                lost_payloads = payloads,
                "the gate has stopped; these records and payloads are lost"
            );
        }
        told.inspect(JoinHandle::abort);
    }
}

/// How many connections there may be, with a warning if the machine does not allow them.
fn capacity(settings: &Settings) -> Capacity {
    let capacity = settings
        .limits
        .capacity(settings.listen.ip(), descriptors::limit());
    tracing::info!(
        connections = capacity.connections,
        per_client = capacity.per_client,
        "most connections that are served at the same time"
    );
    if let Some(shortfall) = capacity.shortfall() {
        tracing::warn!("{shortfall}");
    }
    capacity
}

/// A gate that is its own upstream proxy would call itself until nothing is left.
async fn refuse_loop(settings: &Settings, listener: &TcpListener) -> Result<(), StartError> {
    let (Some(proxy), Ok(listen)) = (&settings.upstream_proxy, listener.local_addr()) else {
        return Ok(());
    };
    tracing::info!(%proxy, named_by = proxy.named_by, "upstreams are reached through a proxy");
    if let Some(why) = &proxy.exposed {
        tracing::warn!(%proxy, "others can read the upstream proxy's password: {why}");
    }
    if upstream_proxy::leads_back(proxy, listen, settings.timeouts.connect).await {
        return Err(StartError::Loop {
            proxy: proxy.to_string(),
            named_by: proxy.named_by,
            listen,
        });
    }
    Ok(())
}

/// Whether commands find this gate is a convenience: nothing that can go wrong with it stops the gate.
fn claim(settings: &Settings, listener: &TcpListener, admin: Option<SocketAddr>) -> Option<Claim> {
    let asks = settings.policy.users.is_some() || settings.client_ca.is_some();
    let claim = listener
        .local_addr()
        .and_then(|listen| Claim::take(&settings.home, listen, admin, asks));
    claim.unwrap_or_else(|error| {
        tracing::warn!(%error, "other commands will not find this gate");
        None
    })
}

async fn sweep(services: Arc<Services>) {
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = Instant::now();
        services.pool.sweep(now);
        services.load.tell_rest(now);
        services.budgets.keep_time(OffsetDateTime::now_utc());
    }
}
