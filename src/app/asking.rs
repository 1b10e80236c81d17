//! What a gate that asks clients who they are needs at its start: the roots of their certificates, and a word about what
//! may not be meant.

use super::StartError;
use crate::config::Settings;
use crate::net::client_certificate;
use crate::net::tls_server::ServerConfigs;

/// `tls`, which asks clients of the port for a certificate where the settings say so; and what is to be known of that.
pub(super) fn prepare(
    settings: &Settings,
    tls: ServerConfigs,
) -> Result<ServerConfigs, StartError> {
    let users = settings.policy.users.as_ref();
    if users.is_some_and(|users| users.is_empty()) {
        tracing::warn!("the users file names nobody, so nobody passes by a password");
    }
    if users.is_some() && !settings.listen.ip().is_loopback() {
        tracing::warn!(
            "passwords of proxy users pass in clear where clients use http://: give them an https:// proxy URL, or keep \
             the network private"
        );
    }
    match settings
        .client_ca
        .as_ref()
        .filter(|_| settings.run.is_none())
    {
        None => Ok(tls),
        Some(path) => Ok(tls.asking(client_certificate::verifier(path, users.is_none())?)?),
    }
}
