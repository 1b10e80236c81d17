//! What must never reach an upstream through a careful proxy.
//!
//! AWS itself would not care about most of these fields; the simulator refuses them so that a test that sends one to the
//! gate fails loudly when the gate passes it on. A field that SigV4 signed is exempt: removing it would break the call.
//! RFC 9110 §7.6.1 and §11.7, RFC 9112 §3.2.

use super::fault::Fault;
use super::received::Received;

/// Fields that belong to the client's hop, or tell where a request has been.
const FORBIDDEN: [&str; 9] = [
    "forwarded",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Refuses a request that shows the trace of a bad relay.
pub(super) fn check(request: &Received, signed_headers: &[String]) -> Result<(), Fault> {
    if !request.target.starts_with('/') {
        return Err(Fault::validation(
            "the request-target is not in origin-form: a relay passed on what was meant for it",
        ));
    }
    if request.target.contains('#') {
        return Err(Fault::validation("the request-target holds a fragment"));
    }
    let found = request.names().find(|name| {
        FORBIDDEN.contains(name) && !signed_headers.iter().any(|signed| signed == name)
    });
    match found {
        Some(name) => Err(Fault::validation(format!(
            "the field {name} must not reach an upstream: a relay passed it on or added it"
        ))),
        None => Ok(()),
    }
}
