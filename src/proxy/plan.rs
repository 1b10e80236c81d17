//! How one request is passed on: what routing has found out, and everybody behind it goes by.

use std::fmt;

use crate::aws::operation::Call;
use crate::aws::sigv4::Credentials;
use crate::aws::{Service, mask};
use crate::config::Vouched;
use crate::ledger::Entry;
use crate::net::dial::Origin;
use crate::wire::http1::MessageFraming;

/// How one request is passed on.
pub struct Plan {
    /// By which door it came.
    pub entry: Entry,
    /// The prefix of the route it came by.
    pub route: Option<String>,
    /// Where it goes.
    pub origin: Origin,
    /// The origin-form to send, when the received target is another.
    pub target: Option<String>,
    /// The Host to send, when the received one was never meant for the upstream and nothing signed it.
    pub host: Option<String>,
    /// How its body is delimited.
    pub framing: MessageFraming,
    /// Who sent it, as it claims.
    pub credentials: Credentials,
    /// The proxy user, as the request or the CONNECT around it tells; nobody yet when it is routed.
    pub proxy_user: Option<String>,
    /// Whether the proxy user has proven to be that.
    pub proven: bool,
    /// What it asks AWS for.
    pub call: Option<Call>,
    /// The service that the host tells.
    pub endpoint: Option<Service>,
    /// The region that the host tells.
    pub region: Option<String>,
    /// Who has chosen the host.
    pub vouched: Vouched,
    /// Whether it is opened, observed and captured, or only passed on.
    pub observed: bool,
}

/// The target may be a pre-signed URL.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("entry", &self.entry)
            .field("origin", &self.origin)
            .field("target", &self.target.as_deref().map(mask::target))
            .field("credentials", &self.credentials)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
