//! The one list of options: `--help`, the `TOLLGATE_…` variables and the keys of `tollgate.toml` all come from here.
//!
//! Values are kept as they were written; `settings` checks them. A flag beats its variable, which beats the file.

use std::path::PathBuf;

use clap::{Args, Parser};
use serde::{Deserialize, Serialize};

use super::access::AccessOption;
use super::budgets::BudgetOption;
use super::hosts::HostOption;
pub use super::routes::RouteOption;
use super::upstream_proxy::ProxyOption;
use crate::spend::operator::PriceEntry;

/// What every command needs to find its files.
#[derive(Args, Clone, Debug, Default)]
pub struct HomeOption {
    /// Directory of the CA and the ledger [default: the platform's data directory + /tollgate]
    #[arg(long, env = "TOLLGATE_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Configuration file [default: ./tollgate.toml if there is one]
    #[arg(long, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The options of the gate.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Client port [default: 127.0.0.1:5380]
    #[arg(long, env = "TOLLGATE_LISTEN", value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,

    /// Admin port: health, readiness and metrics [default: 127.0.0.1:5381]
    #[arg(long, env = "TOLLGATE_ADMIN", value_name = "ADDR|off")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,

    /// Answer whoever can reach the admin port; needed to have it beyond loopback
    #[arg(
        long,
        env = "TOLLGATE_ADMIN_ALLOW_ANONYMOUS",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_allow_anonymous: Option<bool>,

    /// A name by which the admin port may be asked, besides localhost and addresses; repeatable
    #[arg(
        long,
        env = "TOLLGATE_ADMIN_HOST",
        value_name = "HOST",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub admin_host: Vec<String>,

    /// Directory of the CA and the ledger; only in the file, the flag is common to all commands
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<PathBuf>,

    /// The listener's own certificate chain (PEM) instead of a minted one; needs --tls-key
    #[arg(long, env = "TOLLGATE_TLS_CERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,

    /// The key of --tls-cert (PEM, mode 0600)
    #[arg(long, env = "TOLLGATE_TLS_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,

    /// Issue leaves with this CA (PEM, issuer first) instead of the one in the home; needs --ca-key
    #[arg(long, env = "TOLLGATE_CA_CERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<PathBuf>,

    /// The key of --ca-cert (PEM, mode 0600)
    #[arg(long, env = "TOLLGATE_CA_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_key: Option<PathBuf>,

    /// Open this host as well: a name, an address or *.suffix; repeatable
    #[arg(
        long,
        env = "TOLLGATE_INTERCEPT",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intercept: Vec<String>,

    /// Refuse this host: a name, an address, *.suffix or * for all others; repeatable
    #[arg(
        long,
        env = "TOLLGATE_DENY",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,

    /// A port at which hosts that are not opened may be reached, or * for any; repeatable [default: 443]
    #[arg(
        long,
        env = "TOLLGATE_TUNNEL_PORT",
        value_name = "PORT|*",
        value_delimiter = ','
    )]
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::hosts::ports"
    )]
    pub tunnel_port: Vec<String>,

    /// `[[host]]` tables: pattern and action
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<HostOption>,

    /// Tunnels to private addresses: auto, allow or deny; auto allows them only while listening on loopback alone
    /// [default: auto]
    #[arg(
        long,
        env = "TOLLGATE_PRIVATE_DESTINATIONS",
        value_name = "auto|allow|deny"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_destinations: Option<String>,

    /// PEM roots trusted for upstreams, in addition to the platform's; repeatable
    #[arg(
        long,
        env = "TOLLGATE_UPSTREAM_CA",
        value_name = "FILE",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upstream_ca: Vec<PathBuf>,

    /// Dial ADDR:PORT for HOST:PORT; names and verification stay HOST's; an empty HOST or PORT matches any; repeatable
    #[arg(
        long,
        env = "TOLLGATE_CONNECT_TO",
        value_name = "HOST:PORT:ADDR:PORT",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_to: Vec<String>,

    /// Reach upstreams through this HTTP or HTTPS proxy, whose URL may hold user and password; env takes it from
    /// HTTPS_PROXY and NO_PROXY [default: none]
    #[arg(
        long,
        env = "TOLLGATE_UPSTREAM_PROXY",
        hide_env_values = true,
        value_name = "URL|env|none"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_proxy: Option<ProxyOption>,

    /// Reach this host without --upstream-proxy: a name and all below it, an address, a network, any with :PORT, or *;
    /// repeatable
    #[arg(
        long,
        env = "TOLLGATE_UPSTREAM_NO_PROXY",
        value_name = "HOST",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upstream_no_proxy: Vec<String>,

    /// How much of each body the ledger keeps: full (up to --payload-limit), preview (1 KiB) or none [default: full]
    #[arg(long, env = "TOLLGATE_PAYLOAD", value_name = "full|preview|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,

    /// Most bytes of one body that the ledger keeps, 16777216 at most [default: 1048576]
    #[arg(long, env = "TOLLGATE_PAYLOAD_LIMIT", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_limit: Option<u64>,

    /// Most bytes of bodies for the ledger in memory, for all running exchanges together; short bodies are always kept
    /// [default: 25165824]
    #[arg(long, env = "TOLLGATE_MAX_PAYLOAD_MEMORY", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_payload_memory: Option<u64>,

    /// Remove what is older than AGE, and the oldest while the ledger is larger than SIZE, as in 90d,20GB; either may be
    /// missing [default: keep everything]
    #[arg(long, env = "TOLLGATE_RETAIN", value_name = "AGE,SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<String>,

    /// When a record is committed: strict, before the last byte of its response leaves, or relaxed, within a tenth of a
    /// second [default: strict]
    #[arg(long, env = "TOLLGATE_DURABILITY", value_name = "strict|relaxed")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,

    /// One line per exchange on standard output, as text or json; diagnostics go to standard error [default: text]
    #[arg(long, env = "TOLLGATE_LOG_FORMAT", value_name = "text|json")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,

    /// Ask clients for a name and password of this file, one `name:hash` a line; `tollgate user add` writes it
    #[arg(long, env = "TOLLGATE_USERS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,

    /// Ask TLS clients of the port for a certificate that one of these roots (PEM) has signed
    #[arg(long, env = "TOLLGATE_CLIENT_CA", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,

    /// Serve whoever can reach the port; needed to listen beyond loopback without --users and --client-ca
    #[arg(
        long,
        env = "TOLLGATE_ALLOW_ANONYMOUS",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_anonymous: Option<bool>,

    /// What a client's hang-up does to a running call: close ends it upstream, too; drain reads its answer on for the
    /// true count [default: close]
    #[arg(long, env = "TOLLGATE_ON_CLIENT_ABORT", value_name = "close|drain")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_client_abort: Option<String>,

    /// Longest time that an answer is drained, in seconds [default: 120]
    #[arg(long, env = "TOLLGATE_DRAIN_SECONDS", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<u64>,

    /// Most bytes of an answer that are drained [default: 16777216]
    #[arg(long, env = "TOLLGATE_DRAIN_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_bytes: Option<u64>,

    /// Most answers drained at the same time [default: 64]
    #[arg(long, env = "TOLLGATE_DRAIN_CONCURRENT", value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_concurrent: Option<u32>,

    /// What happens to calls while the ledger cannot be written: serve keeps their records in memory, refuse answers 503
    /// [default: serve]
    #[arg(long, env = "TOLLGATE_ON_LEDGER_FAILURE", value_name = "serve|refuse")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_ledger_failure: Option<String>,

    /// Bind session key ids to the role that STS names when it issues them; needs STS hosts in --intercept
    #[arg(
        long,
        env = "TOLLGATE_LEARN_SESSIONS",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learn_sessions: Option<bool>,

    /// Most client connections at the same time; one more is answered 503 [default: what the descriptors suffice for, 4096 at
    /// most]
    #[arg(long, env = "TOLLGATE_MAX_CONNECTIONS", value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u64>,

    /// Most of them from one address, or one /64 of IPv6 [default: all on loopback, else half of --max-connections]
    #[arg(
        long,
        env = "TOLLGATE_MAX_CONNECTIONS_PER_CLIENT",
        value_name = "COUNT"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_client: Option<u64>,

    /// Longest head of a request or a response; a longer request is answered 431 [default: 65536]
    #[arg(long, env = "TOLLGATE_MAX_HEAD_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_head_bytes: Option<u64>,

    /// Most field-lines of a head; a request with more is answered 431 [default: 128]
    #[arg(long, env = "TOLLGATE_MAX_FIELD_LINES", value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_field_lines: Option<u64>,

    /// Most minted certificates kept; the one not asked for longest gives way [default: 512]
    #[arg(long, env = "TOLLGATE_MAX_CERTIFICATES", value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_certificates: Option<u64>,

    /// Most certificates minted at the same time [default: half of the cores]
    #[arg(long, env = "TOLLGATE_MAX_MINTS", value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_mints: Option<u64>,

    /// Longest time for a whole request head, or for the first byte of a connection [default: 30s]
    #[arg(long, env = "TOLLGATE_HEAD_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_timeout: Option<String>,

    /// Longest time between two requests of a connection [default: 5m]
    #[arg(long, env = "TOLLGATE_IDLE_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<String>,

    /// Longest time for a TLS handshake, on either side [default: 15s]
    #[arg(long, env = "TOLLGATE_TLS_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_timeout: Option<String>,

    /// Longest time for a TCP connection to one address of an upstream [default: 10s]
    #[arg(long, env = "TOLLGATE_CONNECT_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<String>,

    /// Longest wait for the next bytes of a request body, and for a reader that takes nothing [default: 2m]
    #[arg(long, env = "TOLLGATE_BODY_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_timeout: Option<String>,

    /// Longest time from the end of a request to the upstream's response head; then it is 408 [default: 1h]
    #[arg(long, env = "TOLLGATE_RESPONSE_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_timeout: Option<String>,

    /// Longest silence of an upstream inside a response [default: 1h]
    #[arg(long, env = "TOLLGATE_STREAM_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_timeout: Option<String>,

    /// Longest silence of both sides of a tunnel [default: 1h]
    #[arg(long, env = "TOLLGATE_TUNNEL_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_timeout: Option<String>,

    /// Longest time that an unused upstream connection is kept [default: 30s]
    #[arg(long, env = "TOLLGATE_POOL_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_timeout: Option<String>,

    /// Longest time that running exchanges may take once the gate is told to stop [default: 30s]
    #[arg(long, env = "TOLLGATE_STOP_TIMEOUT", value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<String>,

    /// `[aliases]`: names for key ids, accounts, key labels, roles and model ARNs; `*` stands for anything
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub aliases: std::collections::BTreeMap<String, String>,

    /// Price file laid over the built-in prices: LiteLLM's model_prices_and_context_window.json, as it is
    #[arg(long, env = "TOLLGATE_PRICES_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices_file: Option<PathBuf>,

    /// `[[price]]` tables: what a model costs
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub price: Vec<PriceEntry>,

    /// `[[budget]]` tables: how much may be consumed
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<BudgetOption>,

    /// `[[route]]` tables: prefix, upstream and who may use it
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteOption>,

    /// `[[access]]` tables: what users of the gate may do
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access: Vec<AccessOption>,

    /// `[[certificate]]` tables: host, cert and key
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<CertificateOption>,

    /// `[[usage_pattern]]` tables: where a shape that is not known here tells its counts
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usage_pattern: Vec<UsagePatternOption>,
}

impl Options {
    /// Whether clients have to say who they are.
    #[must_use]
    pub fn asks_clients(&self) -> bool {
        self.users.is_some() || self.client_ca.is_some()
    }

    /// What the variables say, for commands that have no flags of the gate.
    ///
    /// # Errors
    /// A variable whose value is of the wrong kind.
    pub fn from_environment() -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Variables {
            #[command(flatten)]
            options: Options,
        }
        Variables::try_parse_from(["tollgate"]).map(|variables| variables.options)
    }
}

/// One `[[certificate]]` of the file: shown for `host` instead of a minted one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateOption {
    /// Exact host name.
    pub host: String,
    /// Chain, PEM.
    pub cert: PathBuf,
    /// Key, PEM, mode 0600.
    pub key: PathBuf,
}

/// One `[[usage_pattern]]` of the file: globs that say for whom, and paths from the top of a document.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsagePatternOption {
    /// Glob of the upstream host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Glob of the route's prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Glob of the model as the client names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the input count stands.
    #[serde(alias = "prompt_tokens", skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<String>,
    /// Where the output count stands.
    #[serde(alias = "completion_tokens", skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<String>,
    /// Where the cache reads stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<String>,
    /// Where the cache writes stand, all lifetimes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<String>,
    /// Where the cache writes for an hour stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_tokens: Option<String>,
    /// Where the part of the output spent on reasoning stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<String>,
    /// Whether the input count includes cache tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_includes_cache: Option<bool>,
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
