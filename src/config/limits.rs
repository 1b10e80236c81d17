//! How much and how long: every limit of the gate in one place, with its default and the range that makes sense.
//!
//! A value out of its range, or one that contradicts another, never starts the gate. How many connections the machine has
//! descriptors for is worked out here as well, from a number that `app` asks the system for. Where each limit is kept is the
//! business of the room it stands in; why it is what it is by default is written in docs/configuration.md.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::load::ConfigError;
use super::options::Options;
use super::settings::invalid;
use crate::ledger::parse_age;
use crate::wire::http1::{HeadLimits, MAX_FIELD_LINES};

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What a head may measure, the client's and the upstream's. As many bytes of following requests are taken in while an
    /// exchange runs.
    pub head: HeadLimits,
    /// Most client connections at the same time, if somebody says so; else what the descriptors suffice for.
    pub connections: Option<u32>,
    /// Most of them from one address, if somebody says so.
    pub connections_per_client: Option<u32>,
    /// Most minted certificates kept.
    pub certificates: usize,
    /// Most certificates minted at the same time.
    pub mints: usize,
    /// Most bytes of bodies for the ledger that are in memory for all exchanges together, short bodies aside.
    pub payload_memory: usize,
}

/// How long we wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A TLS handshake with a client or an upstream.
    pub handshake: Duration,
    /// A whole request head, from its first byte; also the first byte of a new connection.
    pub head: Duration,
    /// The next request on a kept connection, or the first one after a TLS handshake.
    pub idle: Duration,
    /// A TCP connection to an upstream, per address.
    pub connect: Duration,
    /// The next byte of a request body, or a reader on either side that takes nothing.
    pub body: Duration,
    /// The upstream's response head, once it has the whole request.
    pub response: Duration,
    /// The next byte of a response body.
    pub stream: Duration,
    /// Any byte of a tunnel, in either direction.
    pub tunnel: Duration,
    /// An unused upstream connection in the pool.
    pub pool_idle: Duration,
    /// The exchanges that still run when the gate is told to stop.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            connections: None,
            connections_per_client: None,
            certificates: 512,
            mints: half_of_the_cores(),
            payload_memory: 24 * 1024 * 1024,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(15),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(5 * 60),
            connect: Duration::from_secs(10),
            body: Duration::from_secs(2 * 60),
            response: HOUR,
            stream: HOUR,
            tunnel: HOUR,
            pool_idle: Duration::from_secs(30),
            stop: Duration::from_secs(30),
        }
    }
}

/// Bedrock lets a model think for an hour, and what thinks unseen is silent in a stream as well.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What anything may take, at least and at most.
const SPAN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
/// A request that is signed with a session token takes up to 4 KiB of head. What a dripping head costs to look through
/// grows with the square of its length.
const HEAD_BYTES: RangeInclusive<u64> = 4096..=262_144;
/// The AWS SDKs send about twenty.
const FIELD_LINES: RangeInclusive<u64> = 32..=MAX_FIELD_LINES as u64;
const CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;
/// The listener's own, and one for a host. The one to give up is looked for among all.
const CERTIFICATES: RangeInclusive<u64> = 2..=4096;
const MINTS: RangeInclusive<u64> = 1..=64;
/// The bodies of one call under the defaults, and what no machine of today has.
const PAYLOAD_MEMORY: RangeInclusive<u64> = 2 * 1024 * 1024..=1024 * 1024 * 1024 * 1024;

impl Limits {
    /// Checks `options`.
    ///
    /// # Errors
    /// The first limit that cannot be used, and what it should look like.
    pub(super) fn from_options(options: &Options) -> Result<Self, ConfigError> {
        let default = Self::default();
        let connections = options
            .max_connections
            .map(|given| number("max-connections", given, CONNECTIONS, "256"))
            .transpose()?;
        let connections_per_client = options
            .max_connections_per_client
            .map(|given| number("max-connections-per-client", given, CONNECTIONS, "64"))
            .transpose()?;
        if let (Some(all), Some(each)) = (connections, connections_per_client)
            && each > all
        {
            return Err(invalid(
                "max-connections-per-client",
                format!(
                    "one client cannot have {each} connections where max-connections allows {all} in all; give {all} or \
                     less, or raise max-connections"
                ),
            ));
        }
        let size = |option, given: Option<u64>, range, default: usize| match given {
            Some(given) => number(option, given, range, &default.to_string()),
            None => Ok(default),
        };
        Ok(Self {
            head: HeadLimits {
                bytes: size(
                    "max-head-bytes",
                    options.max_head_bytes,
                    HEAD_BYTES,
                    default.head.bytes,
                )?,
                field_lines: size(
                    "max-field-lines",
                    options.max_field_lines,
                    FIELD_LINES,
                    default.head.field_lines,
                )?,
            },
            connections,
            connections_per_client,
            certificates: size(
                "max-certificates",
                options.max_certificates,
                CERTIFICATES,
                default.certificates,
            )?,
            mints: size("max-mints", options.max_mints, MINTS, default.mints)?,
            payload_memory: size(
                "max-payload-memory",
                options.max_payload_memory,
                PAYLOAD_MEMORY,
                default.payload_memory,
            )?,
        })
    }

    /// How many connections there may be for a gate that listens on `listen` and can have `descriptors`; `None` where the
    /// system sets no limit.
    #[must_use]
    pub fn capacity(&self, listen: IpAddr, descriptors: Option<u64>) -> Capacity {
        let connections = self
            .connections
            .unwrap_or_else(|| connections_for(descriptors));
        // On loopback every client has the same address.
        let share = if listen.is_loopback() {
            connections
        } else {
            connections.div_ceil(2)
        };
        Capacity {
            connections,
            per_client: self
                .connections_per_client
                .unwrap_or(share)
                .min(connections),
            idle_upstreams: idle_upstreams(connections),
            descriptors,
        }
    }
}

impl Timeouts {
    /// Checks `options`.
    ///
    /// # Errors
    /// The first one that cannot be used, and what it should look like.
    pub(super) fn from_options(options: &Options) -> Result<Self, ConfigError> {
        let default = Self::default();
        let span = |option, given: &Option<String>, default| match given {
            Some(given) => span(option, given, default),
            None => Ok(default),
        };
        Ok(Self {
            handshake: span("tls-timeout", &options.tls_timeout, default.handshake)?,
            head: span("head-timeout", &options.head_timeout, default.head)?,
            idle: span("idle-timeout", &options.idle_timeout, default.idle)?,
            connect: span("connect-timeout", &options.connect_timeout, default.connect)?,
            body: span("body-timeout", &options.body_timeout, default.body)?,
            response: span(
                "response-timeout",
                &options.response_timeout,
                default.response,
            )?,
            stream: span("stream-timeout", &options.stream_timeout, default.stream)?,
            tunnel: span("tunnel-timeout", &options.tunnel_timeout, default.tunnel)?,
            pool_idle: span("pool-timeout", &options.pool_timeout, default.pool_idle)?,
            stop: span("stop-timeout", &options.stop_timeout, default.stop)?,
        })
    }
}

/// How many connections there may be at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Client connections.
    pub connections: u32,
    /// Those of one client address.
    pub per_client: u32,
    /// Idle upstream connections.
    pub idle_upstreams: usize,
    /// What the process can have, if there is a limit.
    descriptors: Option<u64>,
}

impl Capacity {
    /// What to tell the operator when the descriptors do not suffice for so many connections.
    #[must_use]
    pub fn shortfall(&self) -> Option<Shortfall> {
        let available = self.descriptors?;
        let needed = descriptors_for(self.connections);
        (needed > available).then_some(Shortfall {
            connections: self.connections,
            needed,
            available,
        })
    }
}

/// More connections are allowed than there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    connections: u32,
    needed: u64,
    available: u64,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            needed,
            available,
        } = self;
        write!(
            f,
            "{connections} connections can take {needed} descriptors, and this process may have {available}: some would \
             wait; raise its limit (`ulimit -n {needed}`, LimitNOFILE={needed})"
        )?;
        let enough = connections_for(Some(*available));
        if descriptors_for(enough) <= *available {
            write!(f, " or give --max-connections {enough}")?;
        }
        Ok(())
    }
}

/// Descriptors for everything that is no client's: the ledger, its journal and its readers, the log, the resolver, the
/// admin port, and connections that are being refused.
const RESERVED: u64 = 128;
/// Most connections by default, however many descriptors there are: memory is finite, too.
const MOST_CONNECTIONS: u32 = 4096;
/// What a gate is good for must not be less, whatever the system says.
const FEWEST_CONNECTIONS: u32 = 8;
/// Most idle upstream connections, for all hosts together.
const MOST_IDLE_UPSTREAMS: u32 = 256;

fn idle_upstreams(connections: u32) -> usize {
    let idle = (connections / 4).clamp(1, MOST_IDLE_UPSTREAMS);
    usize::try_from(idle).unwrap_or(usize::MAX)
}

/// What so many connections can take: each may have one to its upstream, and unused ones wait beside them.
fn descriptors_for(connections: u32) -> u64 {
    let idle = u64::try_from(idle_upstreams(connections)).unwrap_or(u64::MAX);
    2 * u64::from(connections) + idle + RESERVED
}

fn connections_for(descriptors: Option<u64>) -> u32 {
    let Some(descriptors) = descriptors else {
        return MOST_CONNECTIONS;
    };
    (FEWEST_CONNECTIONS..=MOST_CONNECTIONS)
        .rev()
        .find(|connections| descriptors_for(*connections) <= descriptors)
        .unwrap_or(FEWEST_CONNECTIONS)
}

/// Half of the cores, so that the other half goes on serving while certificates are made.
fn half_of_the_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.div_ceil(2).min(16)
}

fn number<T: TryFrom<u64>>(
    option: &'static str,
    given: u64,
    range: RangeInclusive<u64>,
    example: &str,
) -> Result<T, ConfigError> {
    Some(given)
        .filter(|given| range.contains(given))
        .and_then(|given| T::try_from(given).ok())
        .ok_or_else(|| {
            let (from, to) = range.into_inner();
            invalid(
                option,
                format!("{given} makes no sense here; give a number from {from} to {to}, such as {example}"),
            )
        })
}

fn span(option: &'static str, given: &str, example: Duration) -> Result<Duration, ConfigError> {
    parse_age(given.trim())
        .and_then(|age| Duration::try_from(age).ok())
        .filter(|span| SPAN.contains(span))
        .ok_or_else(|| {
            invalid(
                option,
                format!(
                    "`{given}` is no time that makes sense here; give a number and s, m, h or d, from 1s to 1d, such as {}",
                    written(example)
                ),
            )
        })
}

/// As people write it: `90s` is 90 seconds, `2m` two minutes.
fn written(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
