//! The checked result of all configuration: typed, complete, and handed down as plain data.
//!
//! Every check that can be made without touching the network is made here, so that a wrong option never starts the
//! server. Messages name the option, what was found, and what it should look like.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::access::AccessRules;
use super::accounting::Accounting;
use super::admin::AdminPort;
use super::aliases::Aliases;
use super::budgets;
use super::host_options::host_rules;
use super::limits::{Limits, Timeouts};
use super::load::ConfigError;
use super::options::{CertificateOption, Options};
use super::policy::Policy;
use super::prices;
pub use super::routes::{DEFAULT_ROUTE, RouteRule};
use super::routes::{parse_upstream, routes};
use super::upstream_proxy::UpstreamProxy;
use super::usage_pattern::usage_patterns;
use super::users::Users;
use crate::aws::inert::Line;
use crate::aws::mask;
use crate::ledger::{Durability, LedgerOptions, Retention, RetentionError};

/// Everything the gate needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Client port.
    pub listen: SocketAddr,
    /// Whether `listen` was chosen by somebody rather than by default.
    pub listen_is_explicit: bool,
    /// Admin port.
    pub admin: AdminPort,
    /// The run that this gate is for: its name is a tag of every record, and other commands do not find the gate.
    pub run: Option<String>,
    /// CA and ledger.
    pub home: PathBuf,
    /// Listener certificate and key.
    pub listener_pair: Option<(PathBuf, PathBuf)>,
    /// Roots of the certificates by which clients of the listener may say who they are.
    pub client_ca: Option<PathBuf>,
    /// The operator's issuing CA and key.
    pub authority_pair: Option<(PathBuf, PathBuf)>,
    /// Certificates for single hosts.
    pub certificates: Vec<CertificateOption>,
    /// Whether tunnels may reach private addresses.
    pub private_destinations: PrivateDestinations,
    /// Additional upstream roots.
    pub upstream_ca: Vec<PathBuf>,
    /// Where to dial instead.
    pub connect_to: Vec<ConnectTo>,
    /// The proxy that upstreams are reached through; set by `load`, for it may come from the environment.
    pub upstream_proxy: Option<UpstreamProxy>,
    /// Where every observed exchange is dialled, whatever its host: the demo's simulator.
    pub dial_intercepted: Option<SocketAddr>,
    /// How much of a body is kept.
    pub payload: PayloadMode,
    /// Most bytes of one body kept.
    pub payload_limit: usize,
    /// How the ledger is kept.
    pub ledger: LedgerOptions,
    /// How exchanges are logged.
    pub log_format: LogFormat,
    /// How exchanges are counted, named and recorded.
    pub accounting: Accounting,
    /// What may change while the gate runs.
    pub policy: Policy,
    /// How much there may be of what.
    pub limits: Limits,
    /// How long we wait for what.
    pub timeouts: Timeouts,
}

/// `--private-destinations`, with `auto` already decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateDestinations {
    /// Tunnels may reach them.
    Allow,
    /// They are refused.
    Deny,
}

/// `--payload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadMode {
    /// Up to the limit.
    Full,
    /// The first [`PREVIEW_BYTES`].
    Preview,
    /// Nothing, heads aside.
    None,
}

/// How much `--payload preview` keeps.
pub const PREVIEW_BYTES: usize = 1024;

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// The usage record.
    Json,
}

/// One `--connect-to`; `None` matches any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// The host a request names.
    pub host: Option<String>,
    /// The port a request names.
    pub port: Option<u16>,
    /// The host or address dialled.
    pub to_host: String,
    /// The port dialled.
    pub to_port: u16,
}

/// Most that `--payload-limit` can be: both bodies of an exchange, and its heads, fit into the ledger's queue.
pub const MAX_PAYLOAD_LIMIT: usize = 16 * 1024 * 1024;

/// The default client port.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5380);

impl Settings {
    /// Checks `options`. `api_base` is the environment's `AISERVICE_API_BASE`.
    ///
    /// # Errors
    /// The first option that cannot be used, and what it should look like.
    pub fn from_options(
        options: Options,
        home: PathBuf,
        api_base: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let listen_is_explicit = options.listen.is_some();
        let listen = listen(&options)?;
        let asks = options.asks_clients();
        let mut hosts = host_rules(&options)?;
        let base = api_base.filter(|base| !base.is_empty());
        let base =
            base.map(|base| parse_upstream(base).map_err(|why| invalid("AISERVICE_API_BASE", why)));
        let connect_to: Vec<ConnectTo> = options
            .connect_to
            .iter()
            .map(|text| parse_connect_to(text))
            .collect::<Result<_, _>>()?;
        let named = |rule: &ConnectTo| Some((rule.host.clone()?, rule.port?));
        hosts.named = connect_to.iter().filter_map(named).collect();
        let accounting = Accounting::from_options(&options, &hosts)?;
        let prices = prices::of(&options)?;
        let limits = Limits::from_options(&options)?;
        let timeouts = Timeouts::from_options(&options)?;
        let admin = AdminPort::from_options(&options)?;
        Ok(Self {
            listen,
            listen_is_explicit,
            admin,
            run: None,
            home,
            listener_pair: pair("tls-cert", options.tls_cert, "tls-key", options.tls_key)?,
            client_ca: options.client_ca,
            authority_pair: pair("ca-cert", options.ca_cert, "ca-key", options.ca_key)?,
            certificates: options.certificate,
            private_destinations: private_destinations(
                options.private_destinations.as_deref(),
                listen,
            )?,
            upstream_ca: options.upstream_ca,
            connect_to,
            upstream_proxy: None,
            dial_intercepted: None,
            payload: one_of(
                "payload",
                options.payload.as_deref(),
                &[
                    ("full", PayloadMode::Full),
                    ("preview", PayloadMode::Preview),
                    ("none", PayloadMode::None),
                ],
            )?,
            payload_limit: payload_limit(options.payload_limit)?,
            ledger: ledger(options.retain.as_deref(), options.durability.as_deref())?,
            log_format: one_of(
                "log-format",
                options.log_format.as_deref(),
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )?,
            accounting,
            policy: Policy {
                hosts,
                routes: routes(&options.route, base.transpose()?)?,
                users: options
                    .users
                    .map(|path| Users::read(&path).map(Arc::new))
                    .transpose()?,
                access: Arc::new(AccessRules::of_gate(&options.access, asks)?),
                aliases: Aliases::new(options.aliases).map_err(|why| invalid("aliases", why))?,
                budgets: budgets::rules(&options.budget, &prices)?,
                prices: Arc::new(prices),
                usage_patterns: usage_patterns(&options.usage_pattern)?,
            },
            limits,
            timeouts,
        })
    }

    /// How many bytes of one body are kept.
    #[must_use]
    pub fn capture_limit(&self) -> usize {
        match self.payload {
            PayloadMode::Full => self.payload_limit,
            PayloadMode::Preview => PREVIEW_BYTES.min(self.payload_limit),
            PayloadMode::None => 0,
        }
    }
}

/// Repeats what was found, without what may be a password in it, and without what would drive a terminal.
pub(super) fn invalid(option: &'static str, why: String) -> ConfigError {
    let why = Line(&mask::word(&why)).to_string();
    ConfigError::Invalid { option, why }
}

/// The client port, which whoever can reach it may use only if they are asked who they are, or the operator says so.
fn listen(options: &Options) -> Result<SocketAddr, ConfigError> {
    let listen = match &options.listen {
        None => DEFAULT_LISTEN,
        Some(text) => parse_listen(text).ok_or_else(|| {
            invalid(
                "listen",
                format!("`{text}` is not ADDR:PORT, as in 127.0.0.1:5380 or [::1]:5380"),
            )
        })?,
    };
    let anonymous = options.allow_anonymous.unwrap_or_default();
    if !listen.ip().is_loopback() && !options.asks_clients() && !anonymous {
        return Err(invalid(
            "listen",
            format!(
                "{listen} can be reached from other machines; listen on loopback, ask clients who they are (--users, \
                 --client-ca), or say --allow-anonymous to serve whoever can reach it"
            ),
        ));
    }
    Ok(listen)
}

pub(super) fn parse_listen(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let port = text.strip_prefix("localhost:")?.parse().ok()?;
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    })
}

fn pair(
    cert_name: &'static str,
    cert: Option<PathBuf>,
    key_name: &'static str,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(invalid(
            cert_name,
            format!("is given without --{key_name}; give both"),
        )),
        (None, Some(_)) => Err(invalid(
            key_name,
            format!("is given without --{cert_name}; give both"),
        )),
    }
}

pub(super) fn one_of<T: Copy>(
    option: &'static str,
    value: Option<&str>,
    choices: &[(&'static str, T)],
) -> Result<T, ConfigError> {
    let named = match value {
        None => choices.first(),
        Some(value) => choices.iter().find(|(name, _)| *name == value),
    };
    named.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        invalid(
            option,
            format!(
                "`{}` is none of: {}",
                value.unwrap_or_default(),
                names.join(", ")
            ),
        )
    })
}

fn payload_limit(bytes: Option<u64>) -> Result<usize, ConfigError> {
    let bytes = bytes.unwrap_or(1024 * 1024);
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= MAX_PAYLOAD_LIMIT)
        .ok_or_else(|| {
            invalid(
                "payload-limit",
                format!(
                    "{bytes} bytes is more than the ledger takes of a body: give {MAX_PAYLOAD_LIMIT} or less (what is \
                     counted does not depend on it)"
                ),
            )
        })
}

fn ledger(retain: Option<&str>, durability: Option<&str>) -> Result<LedgerOptions, ConfigError> {
    let retention = match retain {
        None => Retention::default(),
        Some(text) => text
            .parse()
            .map_err(|error: RetentionError| invalid("retain", error.to_string()))?,
    };
    let durability = one_of(
        "durability",
        durability,
        &[
            ("strict", Durability::Strict),
            ("relaxed", Durability::Relaxed),
        ],
    )?;
    Ok(LedgerOptions {
        durability,
        retention,
    })
}

fn private_destinations(
    value: Option<&str>,
    listen: SocketAddr,
) -> Result<PrivateDestinations, ConfigError> {
    let automatic = if listen.ip().is_loopback() {
        PrivateDestinations::Allow
    } else {
        PrivateDestinations::Deny
    };
    one_of(
        "private-destinations",
        value,
        &[
            ("auto", automatic),
            ("allow", PrivateDestinations::Allow),
            ("deny", PrivateDestinations::Deny),
        ],
    )
}

fn parse_connect_to(text: &str) -> Result<ConnectTo, ConfigError> {
    let wrong = || {
        invalid(
            "connect-to",
            format!("`{text}` is not HOST:PORT:ADDR:PORT (IPv6 addresses in brackets)"),
        )
    };
    let (host, rest) = split_host(text).ok_or_else(wrong)?;
    let (port, rest) = rest.split_once(':').ok_or_else(wrong)?;
    let (to_host, to_port) = split_host(rest).ok_or_else(wrong)?;
    let number = |digits: &str| digits.parse::<u16>().ok().filter(|&port| port != 0);
    let port = if port.is_empty() {
        None
    } else {
        Some(number(port).ok_or_else(wrong)?)
    };
    if to_host.is_empty() {
        return Err(wrong());
    }
    Ok(ConnectTo {
        host: (!host.is_empty()).then(|| host.to_ascii_lowercase()),
        port,
        to_host: to_host.to_owned(),
        to_port: number(to_port).ok_or_else(wrong)?,
    })
}

/// Splits at the colon after a host, which may be a bracketed IPv6 address.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            Some((host, rest.strip_prefix(':')?))
        }
        None => text.split_once(':'),
    }
}

/// What a request to `host:port` is dialled as.
#[must_use]
pub fn dial_target<'a>(connect_to: &'a [ConnectTo], host: &'a str, port: u16) -> (&'a str, u16) {
    connect_to
        .iter()
        .find(|rule| {
            rule.host
                .as_deref()
                .is_none_or(|name| host.eq_ignore_ascii_case(name))
                && rule.port.is_none_or(|wanted| wanted == port)
        })
        .map_or((host, port), |rule| (rule.to_host.as_str(), rule.to_port))
}
