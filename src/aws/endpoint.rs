//! Host names of the Bedrock data plane: which service, which region, which kind of endpoint.
//!
//! The rule is `[vpce-id.]bedrock-service[-fips].region.[vpce.]suffix`, anchored at both ends: a name that merely
//! contains an AWS name is a stranger's. It follows the endpoint rules and the partition table of the AWS SDKs, so it
//! knows every region's name without a list of regions; whether Bedrock exists there is for DNS to say.
//! Ports and names that operators add are left to the caller.

use std::borrow::Cow;

use super::split::{all, split_once};

/// A Bedrock data plane endpoint, as its host name tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The service behind the name.
    pub service: Service,
    /// The region, in lower case.
    pub region: String,
    /// A FIPS endpoint.
    pub fips: bool,
    /// The name of an interface VPC endpoint (private DNS leaves the ordinary names in place).
    pub vpc_endpoint: bool,
}

/// The data plane services whose exchanges are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// `bedrock-runtime`: model invocation.
    Runtime,
    /// `bedrock-mantle`: the OpenAI- and Anthropic-compatible paths.
    Mantle,
    /// `bedrock-agent-runtime`: agents, flows, knowledge bases.
    AgentRuntime,
}

/// The DNS suffixes below which AWS names lie, standard and dual-stack, of every partition.
///
/// None lies below another, so that the list can serve as the name constraints of an issuing CA.
pub const AWS_DOMAINS: &[&str] = &[
    // aws, aws-us-gov
    "amazonaws.com",
    "api.aws",
    // aws-cn
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    // aws-eusc
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    // aws-iso
    "c2s.ic.gov",
    "api.aws.ic.gov",
    // aws-iso-b
    "sc2s.sgov.gov",
    "api.aws.scloud",
    // aws-iso-e
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    // aws-iso-f
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
];

impl Endpoint {
    /// Recognises a host name; case does not matter, and one trailing dot and one `:port` are allowed.
    #[must_use]
    pub fn parse(host: &str) -> Option<Self> {
        let name = lower(host)?;
        let parts = Parts::of(&name)?;
        Some(Self {
            service: parts.service,
            region: parts.region.to_owned(),
            fips: parts.fips,
            vpc_endpoint: parts.vpc_endpoint,
        })
    }

    /// Whether [`parse`](Self::parse) recognises a host name: what is asked of every host, several times.
    #[must_use]
    pub fn is_one(host: &str) -> bool {
        lower(host).is_some_and(|name| Parts::of(&name).is_some())
    }
}

/// What a name in lower case tells.
struct Parts<'a> {
    service: Service,
    region: &'a str,
    fips: bool,
    vpc_endpoint: bool,
}

impl<'a> Parts<'a> {
    fn of(lower: &'a str) -> Option<Self> {
        let name = without_port(lower)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let (private, name) = match split_once(name, b'.')? {
            (label, rest) if is_vpc_endpoint_id(label) => (true, rest),
            _ => (false, name),
        };
        let (label, rest) = split_once(name, b'.')?;
        let (service, fips) = Service::from_label(label)?;
        let (region, rest) = split_once(rest, b'.')?;
        let suffix = rest.strip_prefix("vpce.").unwrap_or(rest);
        if !is_region(region) || !AWS_DOMAINS.contains(&suffix) {
            return None;
        }
        Some(Self {
            service,
            region,
            fips,
            vpc_endpoint: private || suffix.len() < rest.len(),
        })
    }
}

impl Service {
    /// The service name that a credential scope must hold.
    #[must_use]
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Runtime | Self::AgentRuntime => "bedrock",
            Self::Mantle => "bedrock-mantle",
        }
    }

    fn from_label(label: &str) -> Option<(Self, bool)> {
        let (plain, fips) = match label.strip_suffix("-fips") {
            Some(plain) => (plain, true),
            None => (label, false),
        };
        let service = match plain {
            "bedrock-runtime" => Self::Runtime,
            "bedrock-mantle" => Self::Mantle,
            "bedrock-agent-runtime" => Self::AgentRuntime,
            _ => return None,
        };
        Some((service, fips))
    }
}

/// Longest DNS name (RFC 1035 §2.3.4), with its trailing dot.
const MAX_NAME: usize = 254;
/// `:65535`.
const MAX_PORT: usize = 6;
/// Longest DNS label.
const MAX_LABEL: usize = 63;

/// `host` in lower case, which it is in nearly every time, if it can be a name.
fn lower(host: &str) -> Option<Cow<'_, str>> {
    if host.len() > MAX_NAME + MAX_PORT || !host.is_ascii() {
        return None;
    }
    let is_lower = all(host, |octet| !octet.is_ascii_uppercase());
    Some(if is_lower {
        Cow::Borrowed(host)
    } else {
        Cow::Owned(host.to_ascii_lowercase())
    })
}

fn without_port(host: &str) -> Option<&str> {
    let Some((name, port)) = split_once(host, b':') else {
        return Some(host);
    };
    // `u16::from_str` takes a sign; a port has none.
    let digits = port.bytes().all(|octet| octet.is_ascii_digit());
    (digits && port.parse::<u16>().is_ok()).then_some(name)
}

fn is_vpc_endpoint_id(label: &str) -> bool {
    label.len() <= MAX_LABEL
        && label.strip_prefix("vpce-").is_some_and(|id| {
            !id.is_empty()
                && id.bytes().all(|octet| {
                    octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-'
                })
        })
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`: two to four letters, words, a number.
pub(crate) fn is_region(label: &str) -> bool {
    let mut parts = label.as_bytes().split(|&octet| octet == b'-');
    let is_word = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_lowercase);
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let (area, number) = (parts.next(), parts.next_back());
    label.len() <= MAX_LABEL
        && area.is_some_and(|area| (2..=4).contains(&area.len()) && is_word(area))
        && number.is_some_and(is_number)
        && parts.clone().next().is_some()
        && parts.all(is_word)
}
