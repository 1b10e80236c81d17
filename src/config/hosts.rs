//! Which hosts are opened, which are refused, which pass by unopened, and at which ports.
//!
//! One table for every door. A pattern is an exact name, an address, `*.suffix` (every name below the suffix and not the
//! suffix itself) or `*`. The most specific pattern that matches decides: exact before suffix, longer suffix before
//! shorter, `*` last; of equals, deny before intercept before tunnel. A Bedrock endpoint that nothing else speaks of is
//! opened: it ranks above `*` and below every suffix. Names compare without case and without one trailing dot, addresses
//! by what they mean, however they are spelled.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::aws::endpoint::Endpoint;
use crate::wire::address;

/// Hosts that a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name, lower case.
    Exact(String),
    /// This address; an IPv6 address that stands for an IPv4 one is kept as that.
    Address(IpAddr),
    /// Any name that ends in this, which starts with a dot and is lower case.
    Below(String),
    /// Everything.
    Any,
}

/// What becomes of a connection to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostAction {
    /// Refused.
    Deny,
    /// Opened, observed and recorded.
    Intercept,
    /// Passed by unopened.
    Tunnel,
}

/// Who has chosen a host, and so what it may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vouched {
    /// The operator names it, and knows where it leads: this machine and private addresses included.
    Itself,
    /// It is a Bedrock endpoint or matches what is opened: private addresses, for there are VPC endpoints.
    AsOneOf,
    /// A client chose it.
    No,
}

/// One `[[host]]` of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostOption {
    /// Exact name, address, `*.suffix` or `*`.
    pub pattern: String,
    /// What becomes of connections there.
    pub action: HostAction,
}

/// What the operator said about hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules {
    /// Opened in addition to every Bedrock endpoint.
    pub intercept: Vec<HostPattern>,
    /// Refused.
    pub deny: Vec<HostPattern>,
    /// Not opened, Bedrock endpoints included.
    pub tunnel: Vec<HostPattern>,
    /// Which ports of hosts that are not opened may be reached.
    pub ports: TunnelPorts,
    /// Hosts and ports that `--connect-to` names together: the operator has said where they lead.
    pub named: Vec<(String, u16)>,
}

/// `--tunnel-port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelPorts {
    /// Any.
    Any,
    /// These.
    Only(Vec<u16>),
}

/// How narrowly a pattern speaks of a host; more is narrower.
type Rank = usize;

const ANY: Rank = 0;
const ENDPOINT: Rank = 1;
/// A suffix has at least a dot and a letter, so that it ranks above an endpoint.
const EXACT: Rank = Rank::MAX;

impl HostPattern {
    /// Reads an exact name, an address in any spelling, `*.suffix` or `*`. A name in letters of other scripts becomes the
    /// one that clients send (UTS 46).
    ///
    /// # Errors
    /// Says what a pattern may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is neither a host name, an address, `*.` and a suffix, nor `*` (no scheme, no port)"
            )
        };
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(found) = address::parse(text) {
            return Ok(Self::Address(address::meant(found)));
        }
        let (is_suffix, name) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = if name.is_ascii() {
            name.to_ascii_lowercase()
        } else {
            let ascii = idna::domain_to_ascii(name).map_err(|_| wrong())?;
            ascii.strip_suffix('.').map(str::to_owned).unwrap_or(ascii)
        };
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
        let has_empty_label = name.split('.').any(str::is_empty);
        if has_empty_label || !name.bytes().all(fits) {
            return Err(wrong());
        }
        Ok(match (is_suffix, address::parse(&name)) {
            (true, _) => Self::Below(format!(".{name}")),
            // Digits of other scripts are digits, too.
            (false, Some(found)) => Self::Address(address::meant(found)),
            (false, None) => Self::Exact(name),
        })
    }

    /// Whether `host` is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        self.rank(host).is_some()
    }

    /// How narrowly this speaks of `host`, if it does.
    fn rank(&self, host: &str) -> Option<Rank> {
        let name = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Any => Some(ANY),
            Self::Exact(exact) => name.eq_ignore_ascii_case(exact).then_some(EXACT),
            Self::Address(wanted) => address::parse(host)
                .is_some_and(|found| address::meant(found) == *wanted)
                .then_some(EXACT),
            Self::Below(suffix) => name
                .len()
                .checked_sub(suffix.len())
                .filter(|&start| start > 0)
                .and_then(|start| name.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
                .then_some(suffix.len()),
        }
    }

    /// The DNS subtree that a certificate for this pattern needs to be permitted in; empty for everything.
    #[must_use]
    pub fn subtree(&self) -> String {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Address(address) => address.to_string(),
            Self::Below(suffix) => suffix.trim_start_matches('.').to_owned(),
            Self::Any => String::new(),
        }
    }
}

/// The narrowest of `patterns` that speaks of `host`.
fn best(patterns: &[HostPattern], host: &str) -> Option<Rank> {
    patterns
        .iter()
        .filter_map(|pattern| pattern.rank(host))
        .max()
}

/// What the rules say of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of connections to it.
    pub action: HostAction,
    /// Whether connections to it are opened, if they are not refused; and whether its clients are told of a refusal as
    /// AWS would tell them.
    pub is_intercepted: bool,
    /// Who has chosen it, to somebody who judges where it leads.
    pub vouched: Vouched,
}

impl HostRules {
    /// All that is to be said of `host`. Every door asks this, and nothing else.
    #[must_use]
    pub fn judge(&self, host: &str) -> Verdict {
        let is_endpoint = Endpoint::is_one(host);
        let endpoint = is_endpoint.then_some(ENDPOINT);
        let intercept = best(&self.intercept, host).max(endpoint);
        let tunnel = best(&self.tunnel, host);
        let deny = best(&self.deny, host);
        let is_intercepted = intercept.is_some() && intercept >= tunnel;
        let action = if deny.is_some() && deny >= intercept && deny >= tunnel {
            HostAction::Deny
        } else if is_intercepted {
            HostAction::Intercept
        } else {
            HostAction::Tunnel
        };
        let mut opened = self.intercept.iter().chain(&self.tunnel);
        let vouched = if action == HostAction::Deny {
            Vouched::No
        } else if opened.any(|pattern| pattern.rank(host) == Some(EXACT)) {
            Vouched::Itself
        } else if action == HostAction::Intercept || is_endpoint {
            Vouched::AsOneOf
        } else {
            Vouched::No
        };
        Verdict {
            action,
            is_intercepted,
            vouched,
        }
    }

    /// What becomes of connections to `host`.
    #[must_use]
    pub fn action(&self, host: &str) -> HostAction {
        self.judge(host).action
    }

    /// Whether connections to `host` are opened, if they are not refused.
    #[must_use]
    pub fn is_intercepted(&self, host: &str) -> bool {
        self.judge(host).is_intercepted
    }

    /// Whether `host` is refused.
    #[must_use]
    pub fn is_denied(&self, host: &str) -> bool {
        self.action(host) == HostAction::Deny
    }

    /// Who has chosen `host`, to somebody who judges where it leads.
    #[must_use]
    pub fn vouch(&self, host: &str) -> Vouched {
        self.judge(host).vouched
    }

    /// Whether a host that is not opened may be reached at `port`.
    #[must_use]
    pub fn permits_port(&self, host: &str, port: u16) -> bool {
        let is_named = |(name, at): &(String, u16)| *at == port && host.eq_ignore_ascii_case(name);
        self.ports.permit(port) || self.named.iter().any(is_named)
    }

    /// Whether a rule denies this very address, under whatever name it is reached.
    #[must_use]
    pub fn denies_address(&self, found: IpAddr) -> bool {
        let pattern = HostPattern::Address(address::meant(found));
        self.deny.contains(&pattern)
    }
}

/// A list in which a port may be a number or a text, for `*` is a port as well.
///
/// # Errors
/// What the file's reader says of anything else.
pub(super) fn ports<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a port or \"*\"")]
    enum Port {
        Number(u16),
        Text(String),
    }
    let list = Vec::<Port>::deserialize(reader)?;
    let text = |port| match port {
        Port::Number(port) => port.to_string(),
        Port::Text(text) => text,
    };
    Ok(list.into_iter().map(text).collect())
}

impl TunnelPorts {
    /// Reads a list of ports and `*`; an empty one is 443.
    ///
    /// # Errors
    /// Says what may stand there.
    pub fn parse(list: &[String]) -> Result<Self, String> {
        if list.iter().any(|text| text.trim() == "*") {
            return Ok(Self::Any);
        }
        let port = |text: &String| match text.trim().parse::<u16>() {
            Ok(port) if port != 0 => Ok(port),
            _ => Err(format!(
                "`{text}` is neither a port (1 to 65535) nor `*` for any"
            )),
        };
        let ports = list.iter().map(port).collect::<Result<Vec<_>, _>>()?;
        Ok(if ports.is_empty() {
            Self::default()
        } else {
            Self::Only(ports)
        })
    }

    /// Whether `port` may be reached.
    #[must_use]
    pub fn permit(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ports) => ports.contains(&port),
        }
    }
}

impl Default for TunnelPorts {
    fn default() -> Self {
        Self::Only(vec![443])
    }
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
