//! Builds the services, binds, and runs until told to stop.
//!
//! `start` returns when the port is bound and every file that clients need is in place; `Gate::run` accepts until its
//! stop future resolves, then lets what runs finish.

mod asking;
pub mod budgets;
pub mod reload;
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
use tokio::time::{MissedTickBehavior, interval, interval_at, timeout};

use self::reload::Reloading;
use crate::admin::Admin;
use crate::aws::endpoint::AWS_DOMAINS;
use crate::config::{Capacity, ClientAbort, HostPattern, Policy, Settings};
use crate::ledger::writer::Ledger;
use crate::ledger::{FILE_NAME, LedgerError};
use crate::metrics::Metrics;
use crate::net::ca::CertificateAuthority;
use crate::net::ca_error::CaError;
use crate::net::ca_home::CA_PEM;
use crate::net::certificate_store::CertificateStore;
use crate::net::certificates::{self, CertificateError};
use crate::net::descriptors;
use crate::net::dial::Dialer;
use crate::net::expiry::Watched;
use crate::net::pool::UpstreamPool;
use crate::net::private_file::{self, FileError};
use crate::net::tls_server::ServerConfigs;
use crate::net::trust::{self, PlatformRoots, TrustError};
use crate::net::upstream_proxy;
use crate::proxy::authentication::Authentication;
use crate::proxy::caller::Sessions;
use crate::proxy::load::{Figures, Load};
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
/// How often the ends of certificates are looked at.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
        let services = Arc::new(Services {
            settings,
            policy,
            budgets,
            tls,
            pool,
            ledger,
            metrics: Arc::new(Metrics::new()),
            sessions: Sessions::default(),
            authentication: Authentication::new()?,
            drains: Arc::new(Semaphore::new(
                usize::try_from(drains)
                    .unwrap_or(usize::MAX)
                    .min(Semaphore::MAX_PERMITS),
            )),
            recording: watch::Sender::new(0),
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
                if timeout(RECORDED, services.recorded()).await.is_err() {
                    let records = *services.recording.borrow();
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

/// The authority, and `ca.pem` and `bundle.pem` in the home as clients need them.
///
/// # Errors
/// [`StartError`]: what was found and what to do.
pub fn prepare_trust(
    settings: &Settings,
    now: SystemTime,
) -> Result<(CertificateAuthority, PlatformRoots), StartError> {
    private_file::prepare_home(&settings.home)?;
    let authority = authority(settings, now)?;
    let platform = PlatformRoots::load(&settings.home);
    authority.publish(&settings.home)?;
    trust::write_bundle(&settings.home, &authority.trusted_pem(), &platform)?;
    Ok((authority, platform))
}

/// What reaches upstreams, and verifies them as these settings say.
///
/// # Errors
/// [`TrustError`] when a root for upstreams cannot be used.
pub fn dialer(
    settings: &Settings,
    platform: &PlatformRoots,
    authority: Option<&CertificateAuthority>,
) -> Result<Dialer, TrustError> {
    let own_root = authority.and_then(CertificateAuthority::own_root);
    let tls = trust::upstream_client_config(platform, &settings.upstream_ca, own_root)?;
    Ok(Dialer::new(
        tls,
        &settings.connect_to,
        settings.private_destinations,
        settings.dial_intercepted,
        settings.timeouts.connect,
        settings.timeouts.handshake,
    )
    .through(settings.upstream_proxy.clone()))
}

/// The domains that an authority made for these settings may sign for.
#[must_use]
pub fn constraints(settings: &Settings) -> Vec<String> {
    let patterns = settings.policy.hosts.intercept.iter();
    let wanted = patterns.map(HostPattern::subtree);
    let aws = AWS_DOMAINS.iter().copied().chain(["localhost"]);
    aws.map(str::to_owned).chain(wanted).collect()
}

/// The hosts that an authority must be able to sign for, as `--intercept` says; a host with a certificate of its own
/// needs none of ours.
#[must_use]
pub fn required(settings: &Settings) -> Vec<String> {
    let own = |pattern: &HostPattern| {
        matches!(pattern, HostPattern::Exact(_))
            && settings
                .certificates
                .iter()
                .any(|own| pattern.matches(&own.host))
    };
    let patterns = settings.policy.hosts.intercept.iter();
    patterns
        .filter(|pattern| !own(pattern))
        .map(HostPattern::subtree)
        .collect()
}

/// The certificates whose end would stop clients: the authority's, the listener's, those of single hosts.
///
/// # Errors
/// [`CertificateError`] when one of the operator's files cannot be read.
pub fn watched(
    settings: &Settings,
    authority: &CertificateAuthority,
) -> Result<Vec<Watched>, CertificateError> {
    let (path, mend) = match &settings.authority_pair {
        Some((certificate, _)) => (certificate.clone(), RENEW),
        None => (settings.home.join(CA_PEM), "tollgate ca rotate"),
    };
    let mut watched = vec![Watched {
        what: "the certificate authority".to_owned(),
        path,
        not_after: authority.expires(),
        mend: mend.to_owned(),
    }];
    let listener = settings.listener_pair.iter();
    let listener = listener.map(|(path, _)| ("the listener's certificate".to_owned(), path));
    let hosts = settings.certificates.iter();
    let hosts = hosts.map(|own| (format!("the certificate of {}", own.host), &own.cert));
    for (what, path) in listener.chain(hosts) {
        watched.extend(Watched::file(what, path, RENEW.to_owned())?);
    }
    Ok(watched)
}

const RENEW: &str = "renew the file and start the gate again";

/// Says once a day which certificates end soon, and what to do.
async fn watch_ends(watched: Vec<Watched>) {
    let mut tick = interval_at(tokio::time::Instant::now() + DAY, DAY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        warn_of_ends(&watched, OffsetDateTime::now_utc());
    }
}

fn warn_of_ends(watched: &[Watched], now: OffsetDateTime) {
    for certificate in watched.iter().filter(|one| one.is_near(now)) {
        let Watched {
            what, path, mend, ..
        } = certificate;
        let (path, expires) = (path.display(), certificate.not_after.date());
        if certificate.is_past(now) {
            tracing::error!(certificate = what, %path, %expires, mend, "a certificate has expired");
        } else {
            let days_left = certificate.days_left(now);
            tracing::warn!(certificate = what, %path, %expires, days_left, mend, "a certificate expires soon");
        }
    }
}

fn authority(settings: &Settings, now: SystemTime) -> Result<CertificateAuthority, StartError> {
    let authority = match &settings.authority_pair {
        Some((certificate, key)) => CertificateAuthority::from_files(certificate, key, now)?,
        None => {
            let constraints = constraints(settings);
            CertificateAuthority::open_or_create(&settings.home, &constraints, now)?
        }
    };
    authority.require(&required(settings))?;
    Ok(authority)
}

fn store(
    settings: &Settings,
    authority: CertificateAuthority,
) -> Result<CertificateStore, StartError> {
    let listener = match &settings.listener_pair {
        Some((certificate, key)) => Some(certificates::read_pair(certificate, key)?),
        None => None,
    };
    let mut per_host = std::collections::HashMap::new();
    for option in &settings.certificates {
        let pair = certificates::read_pair(&option.cert, &option.key)?;
        per_host.insert(option.host.to_ascii_lowercase(), pair);
    }
    Ok(CertificateStore::new(
        authority,
        listener,
        per_host,
        &settings.limits,
    )?)
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
