//! What a request that is refused was about, for its record.

use super::route::{Scope, host_field, normal};
use crate::aws::operation::{Call, recognise};
use crate::aws::{Endpoint, Service};
use crate::config::HostRules;
use crate::wire::http1::{RequestHead, RequestTarget};

/// What a refused request was about, as far as it can be told, for its record.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The host it would have gone to.
    pub(super) host: Option<String>,
    /// That host is one we open.
    pub(super) intercepted: bool,
    /// The region that the host tells.
    pub(super) region: Option<String>,
    /// What it asks AWS for.
    pub(super) call: Option<Call>,
    /// The proxy user that asks, if there is one.
    pub(super) user: Option<String>,
}

impl Asked {
    /// Reads `head` once more, leniently.
    #[must_use]
    pub(super) fn of(head: &RequestHead, scope: &Scope, hosts: &HostRules) -> Self {
        let target = RequestTarget::parse(head.method(), head.target());
        let host = match (scope, target) {
            (Scope::Tunnel(origin), _) => Some(origin.host.clone()),
            (
                _,
                Ok(RequestTarget::Authority(authority) | RequestTarget::Absolute { authority, .. }),
            ) => Some(normal(authority.host)),
            _ => host_field(head)
                .ok()
                .flatten()
                .map(|host| normal(host.host)),
        };
        let path = match target {
            Ok(RequestTarget::Origin(path) | RequestTarget::Absolute { path, .. }) => path,
            _ => "",
        };
        let endpoint = host.as_deref().and_then(Endpoint::parse);
        let service = endpoint
            .as_ref()
            .map_or(Service::Runtime, |endpoint| endpoint.service);
        Self {
            intercepted: host
                .as_deref()
                .is_some_and(|host| hosts.is_intercepted(host)),
            call: recognise(service, head.method(), path),
            region: endpoint.map(|endpoint| endpoint.region),
            host,
            user: None,
        }
    }
}
