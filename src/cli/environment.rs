//! The variables that lead a program to the gate: one table, for `tollgate run` and `tollgate env` alike.
//!
//! What each variable gets and who reads it stands in [`VARIABLES`]; [`plan`] lays it over what the user has set already
//! and says what of theirs it had to change. Pure: the user's variables are a function, files are left to the commands.
//! What hides a host from a proxy is in `no_proxy`.

pub mod no_proxy;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use super::terminal::Line;
use crate::aws::endpoint::Endpoint;
use crate::wire::http1::{RequestTarget, Scheme};

/// What a variable gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gets {
    /// The gate's proxy URL.
    Proxy,
    /// The user's exceptions without those that hide Bedrock, and our own.
    Exceptions,
    /// `bundle.pem`: it replaces the roots that its readers trust.
    Bundle,
    /// `ca.pem`: it adds to the roots that its readers trust.
    Root,
    /// This text.
    Literal(&'static str),
    /// It is removed.
    Nothing,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it gets.
    pub gets: Gets,
    /// Who reads it.
    pub read_by: &'static str,
}

const fn variable(name: &'static str, gets: Gets, read_by: &'static str) -> Variable {
    Variable {
        name,
        gets,
        read_by,
    }
}

/// Every variable that is set or removed.
///
/// `HTTP_PROXY` and `ALL_PROXY` are not among them: Bedrock speaks HTTPS only, so plain HTTP through the gate would count
/// nothing and could only fail in new ways; and whoever knows `ALL_PROXY` prefers `HTTPS_PROXY` for HTTPS.
pub const VARIABLES: &[Variable] = &[
    variable("HTTPS_PROXY", Gets::Proxy, "nearly everything"),
    variable(
        "https_proxy",
        Gets::Proxy,
        "whoever prefers lower case, curl and Python among them",
    ),
    variable("NO_PROXY", Gets::Exceptions, "nearly everything"),
    variable("no_proxy", Gets::Exceptions, "whoever prefers lower case"),
    variable(
        "AWS_CA_BUNDLE",
        Gets::Bundle,
        "AWS CLI, botocore and so boto3 and aiobotocore, AWS SDKs for Go and Ruby",
    ),
    variable(
        "REQUESTS_CA_BUNDLE",
        Gets::Bundle,
        "requests; botocore where AWS_CA_BUNDLE is not read",
    ),
    variable(
        "SSL_CERT_FILE",
        Gets::Bundle,
        "OpenSSL and so Python's ssl, httpx, Ruby; Go, .NET, rustls-native-certs, uv",
    ),
    variable(
        "NIX_SSL_CERT_FILE",
        Gets::Bundle,
        "OpenSSL and curl of Nix, before SSL_CERT_FILE",
    ),
    variable("CURL_CA_BUNDLE", Gets::Bundle, "curl, requests"),
    variable(
        "GIT_SSL_CAINFO",
        Gets::Bundle,
        "git, should --intercept open what it talks to",
    ),
    variable("CARGO_HTTP_CAINFO", Gets::Bundle, "cargo, likewise"),
    variable("PIP_CERT", Gets::Bundle, "pip, likewise"),
    variable("NODE_EXTRA_CA_CERTS", Gets::Root, "Node.js, Bun, Electron"),
    variable("DENO_CERT", Gets::Root, "Deno"),
    variable(
        "NODE_USE_ENV_PROXY",
        Gets::Literal("1"),
        "Node.js 22.21, 24 and later: fetch and node:https heed HTTPS_PROXY",
    ),
    variable(
        "AIOHTTP_TRUST_ENV",
        Gets::Literal("True"),
        "litellm: its aiohttp transport heeds HTTPS_PROXY",
    ),
    variable(
        "SSL_CERT_DIR",
        Gets::Nothing,
        "OpenSSL and curl, which would trust it beside or before the file",
    ),
];

/// Variables that send calls past the proxy when they name anything but AWS.
pub const ENDPOINTS: &[&str] = &[
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME",
    "AWS_BEDROCK_RUNTIME_ENDPOINT",
    "ANTHROPIC_BEDROCK_BASE_URL",
];

/// What the variables of a gate are filled with.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The proxy URL.
    pub proxy: &'a str,
    /// For variables that replace the roots.
    pub bundle: &'a Path,
    /// For variables that add a root.
    pub root: &'a Path,
    /// Whether the gate has a proxy of its own to go on to, so that nothing is lost where it replaces one.
    pub goes_on: bool,
}

/// A variable and what it is set to; `None` removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Option<OsString>,
}

/// What the user should know about what they had set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An entry of `NO_PROXY` was left out.
    Hidden {
        /// The entry.
        entry: String,
    },
    /// Another proxy was set and is replaced.
    OtherProxy {
        /// The variable.
        name: &'static str,
        /// Where it leads, without user and password.
        address: String,
    },
    /// An endpoint that is not AWS's is set: calls to it are not counted.
    Endpoint {
        /// The variable.
        name: &'static str,
        /// What it holds, without user and password.
        url: String,
    },
}

/// The variables to set, in the order of the table, and what is to be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each variable of the table.
    pub settings: Vec<Setting>,
    /// What of the user's was changed, or stands in the way.
    pub notes: Vec<Note>,
}

/// Lays the table over the variables that `user` has set.
#[must_use]
pub fn plan(values: Values<'_>, user: impl Fn(&str) -> Option<OsString>) -> Plan {
    let set = |name: &str| user(name).filter(|value| !value.is_empty());
    let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
    let exceptions =
        no_proxy::exceptions(["no_proxy", "NO_PROXY"].map(|name| text(name).unwrap_or_default()));
    let settings = VARIABLES.iter().map(|variable| Setting {
        name: variable.name,
        value: match variable.gets {
            Gets::Proxy => Some(values.proxy.into()),
            Gets::Exceptions => Some(exceptions.kept.clone().into()),
            Gets::Bundle => Some(values.bundle.into()),
            Gets::Root => Some(values.root.into()),
            Gets::Literal(literal) => Some(literal.into()),
            Gets::Nothing => None,
        },
    });
    let hidden = exceptions
        .hiding
        .into_iter()
        .map(|entry| Note::Hidden { entry });
    let ours = address_of(values.proxy);
    let proxies = VARIABLES
        .iter()
        .filter(|variable| variable.gets == Gets::Proxy)
        .filter_map(|variable| {
            let address = address_of(&text(variable.name)?);
            (address != ours && !values.goes_on).then_some(Note::OtherProxy {
                name: variable.name,
                address,
            })
        });
    let endpoints = ENDPOINTS.iter().filter_map(|name| {
        let url = text(name)?;
        (!is_aws(&url)).then(|| Note::Endpoint {
            name,
            url: without_user(&url),
        })
    });
    Plan {
        settings: settings.collect(),
        notes: hidden.chain(proxies.take(1)).chain(endpoints).collect(),
    }
}

/// The files that the user gave variables of this kind, each once, with the first variable that names it.
pub fn files(gets: Gets, user: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    let mut found: Vec<(&'static str, OsString)> = Vec::new();
    for variable in VARIABLES.iter().filter(|variable| variable.gets == gets) {
        let Some(file) = user(variable.name).filter(|file| !file.is_empty()) else {
            continue;
        };
        if !found.iter().any(|(_, known)| *known == file) {
            found.push((variable.name, file));
        }
    }
    found
}

/// `HOST:PORT` of a proxy URL, whose scheme may be missing.
fn address_of(url: &str) -> String {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let address = address.split(['/', '?', '#']).next().unwrap_or_default();
    address
        .rsplit_once('@')
        .map_or(address, |(_, address)| address)
        .to_owned()
}

fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://{}", address_of(url)),
        None => address_of(url),
    }
}

/// Whether an endpoint URL is one that the gate sees through the proxy.
fn is_aws(url: &str) -> bool {
    match RequestTarget::parse("GET", url) {
        Ok(RequestTarget::Absolute {
            scheme: Scheme::Https,
            authority,
            ..
        }) => Endpoint::parse(authority.host).is_some(),
        _ => false,
    }
}

impl Plan {
    /// What `name` is set to.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let setting = self.settings.iter().find(|setting| setting.name == name)?;
        setting.value.as_deref()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden { entry } => write!(
                f,
                "NO_PROXY had `{}`, which hides Bedrock from the gate: left out",
                Line(entry)
            ),
            Self::OtherProxy { name, address } => write!(
                f,
                "{name} led to {}; it leads to tollgate now. If calls leave this network only by that one, tollgate \
                 needs --upstream-proxy (TOLLGATE_UPSTREAM_PROXY)",
                Line(address)
            ),
            Self::Endpoint { name, url } => write!(
                f,
                "{name} is {}, which is not AWS: calls that heed it are not counted; unset it",
                Line(url)
            ),
        }
    }
}

#[cfg(test)]
mod tests;
