//! Why there is no connection to an upstream, in words for whoever reads the client's error.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::address;
use super::upstream_proxy::ProxyFailure;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name does not resolve.
    #[error("{host} cannot be resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name resolves to nothing.
    #[error("{host} resolves to no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// Policy forbids every address.
    #[error("{}", address::explain(host, *address))]
    Forbidden {
        /// The name.
        host: String,
        /// The first address refused.
        address: IpAddr,
    },
    /// A rule denies the address.
    #[error("{host} is {address}, which is denied by this gate's rules")]
    Denied {
        /// The name.
        host: String,
        /// The first address refused.
        address: IpAddr,
    },
    /// It leads back to this gate.
    #[error(
        "{host} leads to {address}, where this gate itself listens, and nothing that comes through it may go there; if DNS \
         or a hosts file leads the name here, --connect-to says where it really is"
    )]
    Ours {
        /// The name.
        host: String,
        /// The address of ours.
        address: SocketAddr,
    },
    /// Nothing accepts connections there.
    #[error("{address} does not accept the connection: {source}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// This process has no descriptor left for it.
    #[error(
        "tollgate has no file descriptor left for a connection to {host} ({source}): its limit is too low for its load, or \
         --max-connections too high"
    )]
    NoDescriptor {
        /// The name or address.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS with {host} failed: {source}{}", clock_hint(source))]
    Tls {
        /// The name verified.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The proxy in between did not lead there.
    #[error("the upstream proxy {proxy} {why}")]
    Proxy {
        /// Its URL, without credentials.
        proxy: String,
        /// What it did, as the rest of the sentence.
        why: Box<ProxyFailure>,
    },
}

impl DialError {
    /// Whether it is a rule that says no, rather than the network.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Forbidden { .. } | Self::Denied { .. } | Self::Ours { .. }
        )
    }

    /// Whether nothing was missing but a descriptor.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        match self {
            Self::NoDescriptor { .. } => true,
            Self::Proxy { why, .. } => why.is_shortage(),
            _ => false,
        }
    }
}

/// A certificate whose time seems not to have come, or to be over, may only be looked at with the wrong clock.
fn clock_hint(error: &io::Error) -> &'static str {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => "; or it is the clock of the machine that tollgate runs on that is wrong",
        _ => "",
    }
}

pub(super) fn no_address(host: &str) -> DialError {
    DialError::NoAddress {
        host: host.to_owned(),
    }
}

pub(super) fn no_descriptor(host: &str, source: io::Error) -> DialError {
    DialError::NoDescriptor {
        host: host.to_owned(),
        source,
    }
}
