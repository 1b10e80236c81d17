//! Where a request goes: a pure function from head and scope to a [`Route`].
//!
//! Every way for a client to arrive is one arm here. The rule behind all of them: a request is sent to the host that
//! its sender signed for, or not at all.

use super::explain::{WHAT_THIS_IS, endpoint_url, route_without_upstream, wrong_signed_host};
pub use super::plan::Plan;
use super::reply::{Kind, Reply};
use crate::aws::operation::recognise;
use crate::aws::sigv4::{self, Credentials};
use crate::aws::{Endpoint, Service};
use crate::config::{HostAction, HostRules, RouteRule};
use crate::ledger::Entry;
use crate::net::dial::Origin;
use crate::wire::http1::{Authority, MessageFraming, RequestHead, RequestTarget, Scheme, Version};

/// In what a request arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On the client port itself.
    Port {
        /// The intercepted host that the client's TLS asked for, if it did.
        server_name: Option<String>,
    },
    /// In a CONNECT tunnel that we opened.
    Tunnel(Origin),
}

/// Where it goes.
#[derive(Debug)]
pub enum Route {
    /// To an upstream, as one exchange.
    Exchange(Box<Plan>),
    /// CONNECT to a host that we open.
    Open {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// CONNECT to a host that we do not open.
    Tunnel {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// Nowhere; on the proxy hop.
    RefusePlain(Reply),
    /// Nowhere; the client expects AWS.
    RefuseTyped(Reply, Entry),
}

/// What routing knows besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Intercepted and denied hosts.
    pub hosts: &'a HostRules,
    /// Route prefixes, longest first.
    pub routes: &'a [RouteRule],
}

/// Decides.
#[must_use]
pub fn route(head: &RequestHead, scope: &Scope, rules: Rules<'_>) -> Route {
    let place = Place::of(head, scope, rules);
    place
        .and_then(|place| place.plan(head, rules))
        .unwrap_or_else(|route| *route)
}

/// A door and the upstream behind it, before the request has been looked at closely.
struct Place<'a> {
    entry: Entry,
    route: Option<String>,
    origin: Origin,
    target: Option<String>,
    host_field: Option<Authority<'a>>,
    /// A route's configured upstream stands in for a Host that is not one.
    host_may_change: bool,
}

type Refused = Box<Route>;

fn plain(kind: Kind, message: impl Into<String>) -> Refused {
    Box::new(Route::RefusePlain(Reply::new(kind, message)))
}

fn typed(entry: Entry, kind: Kind, message: impl Into<String>) -> Refused {
    Box::new(Route::RefuseTyped(Reply::new(kind, message), entry))
}

fn misdirected(entry: Entry, what: &str, otherwise: &str) -> Refused {
    typed(
        entry,
        Kind::Misdirected,
        format!("{what} names another host than {otherwise}"),
    )
}

impl<'a> Place<'a> {
    fn of(head: &'a RequestHead, scope: &Scope, rules: Rules<'_>) -> Result<Self, Refused> {
        let entry = scope.entry();
        let host_field = host_field(head).map_err(|why| typed(entry, Kind::Malformed, why))?;
        let target = RequestTarget::parse(head.method(), head.target())
            .map_err(|error| typed(entry, Kind::Malformed, error.to_string()))?;
        match (scope, target) {
            (Scope::Port { server_name: None }, RequestTarget::Authority(authority)) => {
                Err(connect(head, authority, rules))
            }
            (_, RequestTarget::Authority(_)) => {
                let why = "CONNECT on a connection that already leads to its host";
                Err(typed(entry, Kind::Malformed, why))
            }
            (
                Scope::Port { server_name: None },
                RequestTarget::Absolute {
                    scheme,
                    authority,
                    path,
                },
            ) => Self::absolute(head, (scheme, authority, path), host_field, rules),
            (
                Scope::Port {
                    server_name: Some(name),
                },
                RequestTarget::Absolute {
                    scheme,
                    authority,
                    path,
                },
            ) => {
                let place = Self::absolute(head, (scheme, authority, path), host_field, rules)?;
                let same = is_same_name(authority.host, name);
                let mismatch = || misdirected(entry, "the request-target", "TLS asked for");
                same.then_some(Self { entry, ..place }).ok_or_else(mismatch)
            }
            (
                Scope::Tunnel(origin),
                RequestTarget::Absolute {
                    scheme,
                    authority,
                    path,
                },
            ) => {
                let place = Self::absolute(head, (scheme, authority, path), host_field, rules)?;
                let same = place.origin == *origin;
                let mismatch = || misdirected(entry, "the request-target", "CONNECT named");
                same.then_some(Self { entry, ..place }).ok_or_else(mismatch)
            }
            (Scope::Tunnel(origin), _) => {
                let same =
                    |host: Authority<'_>| host.is_same_place(&authority_of(origin), origin.scheme);
                if host_field.is_some_and(|host| !same(host)) {
                    return Err(typed(
                        entry,
                        Kind::Misdirected,
                        format!("Host is not the host of the tunnel, {}", origin.host),
                    ));
                }
                Ok(Self {
                    entry,
                    route: None,
                    origin: origin.clone(),
                    target: None,
                    host_field,
                    host_may_change: false,
                })
            }
            (Scope::Port { server_name }, RequestTarget::Origin(path)) => {
                Self::origin_form(head, path, server_name.as_deref(), host_field, rules)
            }
            (Scope::Port { .. }, RequestTarget::Asterisk) => Err(signpost(head)),
        }
    }

    fn absolute(
        head: &RequestHead,
        (scheme, authority, path): (Scheme, Authority<'a>, &str),
        host_field: Option<Authority<'a>>,
        rules: Rules<'_>,
    ) -> Result<Self, Refused> {
        if host_field.is_some_and(|host| !host.is_same_place(&authority, scheme)) {
            let why = "Host and request-target name different hosts";
            return Err(if rules.hosts.is_intercepted(authority.host) {
                typed(Entry::Forward, Kind::Misdirected, why)
            } else {
                plain(Kind::Misdirected, why)
            });
        }
        let target = match path {
            // RFC 9112 §3.2.4: what asks about a whole server asks it so.
            "" if head.method() == "OPTIONS" => "*".to_owned(),
            _ if path.starts_with('/') => path.to_owned(),
            _ => format!("/{path}"),
        };
        let origin = origin(scheme, authority);
        Ok(Self {
            entry: Entry::Forward,
            route: None,
            origin,
            target: Some(target),
            host_field,
            host_may_change: false,
        })
    }

    fn origin_form(
        head: &RequestHead,
        path: &str,
        server_name: Option<&str>,
        host_field: Option<Authority<'a>>,
        rules: Rules<'_>,
    ) -> Result<Self, Refused> {
        let intercepted = host_field.filter(|host| rules.hosts.is_intercepted(host.host));
        if let Some(server_name) = server_name {
            // The client's TLS asked for an AWS host: this is that host, whatever the path looks like.
            return match intercepted {
                Some(host) if is_same_name(host.host, server_name) => Ok(Self::transparent(host)),
                _ => Err(typed(
                    Entry::Transparent,
                    Kind::Misdirected,
                    format!("Host is not {server_name}, the name that TLS asked for"),
                )),
            };
        }
        let rule = rules
            .routes
            .iter()
            .find(|rule| path.starts_with(&rule.prefix));
        let Some(rule) = rule else {
            return intercepted
                .map(Self::transparent)
                .ok_or_else(|| nothing_here(head, path, host_field));
        };
        let target = path
            .get(rule.prefix.len() - 1..)
            .unwrap_or_default()
            .to_owned();
        let (origin, host_may_change) = match (intercepted, &rule.upstream) {
            (Some(host), _) => (origin(Scheme::Https, host), false),
            (None, Some((host, port))) => (
                Origin {
                    scheme: Scheme::Https,
                    host: host.clone(),
                    port: *port,
                },
                true,
            ),
            (None, None) => {
                return Err(typed(
                    Entry::Route,
                    Kind::Misdirected,
                    route_without_upstream(&rule.prefix),
                ));
            }
        };
        Ok(Self {
            entry: Entry::Route,
            route: Some(rule.prefix.clone()),
            origin,
            target: Some(target),
            host_field,
            host_may_change,
        })
    }

    fn transparent(host: Authority<'a>) -> Self {
        Self {
            entry: Entry::Transparent,
            route: None,
            origin: origin(Scheme::Https, host),
            target: None,
            host_field: Some(host),
            host_may_change: false,
        }
    }

    fn plan(self, head: &RequestHead, rules: Rules<'_>) -> Result<Route, Refused> {
        let Origin { scheme, host, port } = &self.origin;
        let verdict = rules.hosts.judge(host);
        let observed = verdict.is_intercepted || self.entry != Entry::Forward;
        let refuse = |kind, why: String| {
            if observed {
                typed(self.entry, kind, why)
            } else {
                plain(kind, why)
            }
        };
        if verdict.action == HostAction::Deny {
            return Err(refuse(Kind::Denied, denied(host)));
        }
        // What is relayed in the clear has a port of its own.
        let usual = *port == scheme.default_port();
        if !observed && !usual && !rules.hosts.permits_port(host, *port) {
            return Err(refuse(Kind::PortDenied, port_denied(host, *port)));
        }
        let framing = MessageFraming::of_request(head)
            .map_err(|error| refuse(Kind::Malformed, error.to_string()))?;
        let credentials = sigv4::read(head);
        let mut host = None;
        let upstream = authority_of(&self.origin);
        if !self
            .host_field
            .is_some_and(|host| host.is_same_place(&upstream, self.origin.scheme))
        {
            let signed =
                matches!(&credentials, Credentials::SigV4(signature) if signature.signs("host"));
            if signed {
                return Err(refuse(
                    Kind::WrongSignedHost,
                    wrong_signed_host(self.host_field, &host_value(&self.origin)),
                ));
            }
            if self.host_may_change {
                host = Some(host_value(&self.origin));
            }
        }
        let endpoint = Endpoint::parse(&self.origin.host);
        let service = endpoint
            .as_ref()
            .map_or(Service::Runtime, |endpoint| endpoint.service);
        let target = self.target.as_deref().unwrap_or_else(|| head.target());
        let call = if observed {
            recognise(service, head.method(), target)
        } else {
            None
        };
        Ok(Route::Exchange(Box::new(Plan {
            entry: self.entry,
            route: self.route,
            origin: self.origin,
            target: self.target,
            host,
            framing,
            proxy_user: None,
            proven: false,
            credentials,
            call,
            endpoint: endpoint.as_ref().map(|endpoint| endpoint.service),
            region: endpoint.map(|endpoint| endpoint.region),
            vouched: verdict.vouched,
            observed,
        })))
    }
}

impl Scope {
    /// The door, as far as it is known before the request has been read.
    #[must_use]
    pub fn entry(&self) -> Entry {
        match self {
            Self::Port {
                server_name: Some(_),
            } => Entry::Transparent,
            Self::Port { server_name: None } => Entry::Forward,
            Self::Tunnel(_) => Entry::Connect,
        }
    }
}

/// RFC 9112 §3.2: exactly one Host in HTTP/1.1, with a value that is a host.
pub(super) fn host_field(head: &RequestHead) -> Result<Option<Authority<'_>>, String> {
    let mut values = head.fields().all("host");
    let first = values.next();
    if values.next().is_some() {
        return Err("more than one Host field-line".to_owned());
    }
    let Some(value) = first else {
        let needed = head.version() == Version::Http11 && head.method() != "CONNECT";
        return if needed {
            Err("no Host field-line".to_owned())
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(value).map_err(|_| "Host is not a host".to_owned())?;
    if text.is_empty() && head.method() == "CONNECT" {
        return Ok(None);
    }
    Authority::parse(text)
        .map(Some)
        .map_err(|error| format!("Host cannot be used: {error}"))
}

/// CONNECT: Host is ignored (clients send it with, without, and with the wrong port; RFC 9110 §7.2 has us ignore it).
fn connect(head: &RequestHead, authority: Authority<'_>, rules: Rules<'_>) -> Refused {
    let Some(port) = authority.port else {
        return plain(
            Kind::Malformed,
            "CONNECT needs a port, as in CONNECT host:443",
        );
    };
    if !MessageFraming::of_request(head).is_ok_and(MessageFraming::is_bodiless) {
        return plain(Kind::Malformed, "CONNECT has no body");
    }
    let host = normal(authority.host);
    match rules.hosts.action(&host) {
        HostAction::Deny => plain(Kind::Denied, denied(&host)),
        HostAction::Intercept => Box::new(Route::Open { host, port }),
        HostAction::Tunnel if rules.hosts.permits_port(&host, port) => {
            Box::new(Route::Tunnel { host, port })
        }
        HostAction::Tunnel => plain(Kind::PortDenied, port_denied(&host, port)),
    }
}

fn denied(host: &str) -> String {
    format!("{host} is denied by this gate's rules")
}

fn port_denied(host: &str, port: u16) -> String {
    format!(
        "{host} is not opened here, and may not be reached at port {port}: --tunnel-port {port} (tunnel_port in \
         tollgate.toml) would permit it"
    )
}

/// Origin-form for us, below no route: most often an SDK whose endpoint URL was set to our address.
fn nothing_here(head: &RequestHead, path: &str, host: Option<Authority<'_>>) -> Refused {
    if recognise(Service::Runtime, "POST", path).is_none() {
        return signpost(head);
    }
    typed(Entry::Route, Kind::WrongSignedHost, endpoint_url(host))
}

/// What asks the gate itself for something it has not.
fn signpost(head: &RequestHead) -> Refused {
    match MessageFraming::of_request(head) {
        Ok(_) => plain(Kind::NotFound, WHAT_THIS_IS),
        Err(error) => plain(Kind::Malformed, error.to_string()),
    }
}

fn is_same_name(a: &str, b: &str) -> bool {
    normal(a) == normal(b)
}

/// Lower case, without one trailing dot.
pub(super) fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn origin(scheme: Scheme, authority: Authority<'_>) -> Origin {
    Origin {
        scheme,
        host: normal(authority.host),
        port: authority.port_or_default(scheme),
    }
}

fn authority_of(origin: &Origin) -> Authority<'_> {
    Authority {
        host: &origin.host,
        port: Some(origin.port),
    }
}

fn host_value(origin: &Origin) -> String {
    let port = (origin.port != origin.scheme.default_port()).then_some(origin.port);
    Authority {
        host: &origin.host,
        port,
    }
    .to_string()
}
