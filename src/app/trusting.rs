//! Whom clients are asked to trust, and whom the gate trusts: the authority and its certificates, the roots of upstreams,
//! and a word in time about what ends.
//!
//! Certificates themselves are `net`'s.

use std::thread;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval_at};

use super::StartError;
use crate::aws::endpoint::AWS_DOMAINS;
use crate::config::{HostPattern, Settings};
use crate::net::ca::CertificateAuthority;
use crate::net::ca_home::CA_PEM;
use crate::net::certificate_store::CertificateStore;
use crate::net::certificates::{self, CertificateError};
use crate::net::dial::Dialer;
use crate::net::expiry::Watched;
use crate::net::private_file;
use crate::net::trust::{self, PlatformRoots, TrustError};

/// The authority, and `ca.pem` and `bundle.pem` in the home as clients need them.
///
/// # Errors
/// [`StartError`]: what was found and what to do.
pub fn prepare_trust(
    settings: &Settings,
    now: SystemTime,
) -> Result<(CertificateAuthority, PlatformRoots), StartError> {
    private_file::prepare_home(&settings.home)?;
    let (authority, platform) = thread::scope(|threads| {
        let load = || PlatformRoots::load(&settings.home);
        // Hundreds of files, beside which the authority is opened.
        let loading = thread::Builder::new().name("roots".to_owned());
        let loading = loading.spawn_scoped(threads, load).ok();
        let authority = authority(settings, now);
        let loaded = loading.and_then(|loading| loading.join().ok());
        (authority, loaded.unwrap_or_else(load))
    });
    let authority = authority?;
    authority.publish(&settings.home)?;
    trust::write_bundle(&settings.home, &authority.trusted_pem(), &platform)?;
    Ok((authority, platform))
}

/// What reaches upstreams, and verifies them as these settings say.
///
/// # Errors
/// [`TrustError`] when a root for upstreams cannot be used.
pub fn dialer(
    settings: &Settings,
    platform: &PlatformRoots,
    authority: Option<&CertificateAuthority>,
) -> Result<Dialer, TrustError> {
    let own_root = authority.and_then(CertificateAuthority::own_root);
    let tls = trust::upstream_client_config(platform, &settings.upstream_ca, own_root)?;
    Ok(Dialer::new(
        tls,
        &settings.connect_to,
        settings.private_destinations,
        settings.dial_intercepted,
        settings.timeouts.connect,
        settings.timeouts.handshake,
    )
    .through(settings.upstream_proxy.clone()))
}

/// The domains that an authority made for these settings may sign for.
#[must_use]
pub fn constraints(settings: &Settings) -> Vec<String> {
    let patterns = settings.policy.hosts.intercept.iter();
    let wanted = patterns.map(HostPattern::subtree);
    let aws = AWS_DOMAINS.iter().copied().chain(["localhost"]);
    aws.map(str::to_owned).chain(wanted).collect()
}

/// The hosts that an authority must be able to sign for, as `--intercept` says; a host with a certificate of its own
/// needs none of ours.
#[must_use]
pub fn required(settings: &Settings) -> Vec<String> {
    let own = |pattern: &HostPattern| {
        matches!(pattern, HostPattern::Exact(_))
            && settings
                .certificates
                .iter()
                .any(|own| pattern.matches(&own.host))
    };
    let patterns = settings.policy.hosts.intercept.iter();
    patterns
        .filter(|pattern| !own(pattern))
        .map(HostPattern::subtree)
        .collect()
}

/// The certificates whose end would stop clients: the authority's, the listener's, those of single hosts.
///
/// # Errors
/// [`CertificateError`] when one of the operator's files cannot be read.
pub fn watched(
    settings: &Settings,
    authority: &CertificateAuthority,
) -> Result<Vec<Watched>, CertificateError> {
    let (path, mend) = match &settings.authority_pair {
        Some((certificate, _)) => (certificate.clone(), RENEW),
        None => (settings.home.join(CA_PEM), "tollgate ca rotate"),
    };
    let mut watched = vec![Watched {
        what: "the certificate authority".to_owned(),
        path,
        not_after: authority.expires(),
        mend: mend.to_owned(),
    }];
    let listener = settings.listener_pair.iter();
    let listener = listener.map(|(path, _)| ("the listener's certificate".to_owned(), path));
    let hosts = settings.certificates.iter();
    let hosts = hosts.map(|own| (format!("the certificate of {}", own.host), &own.cert));
    for (what, path) in listener.chain(hosts) {
        watched.extend(Watched::file(what, path, RENEW.to_owned())?);
    }
    Ok(watched)
}

const RENEW: &str = "renew the file and start the gate again";

/// Says once a day which certificates end soon, and what to do.
pub(super) async fn watch_ends(watched: Vec<Watched>) {
    let mut tick = interval_at(tokio::time::Instant::now() + DAY, DAY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        warn_of_ends(&watched, OffsetDateTime::now_utc());
    }
}

pub(super) fn warn_of_ends(watched: &[Watched], now: OffsetDateTime) {
    for certificate in watched.iter().filter(|one| one.is_near(now)) {
        let Watched {
            what, path, mend, ..
        } = certificate;
        let (path, expires) = (path.display(), certificate.not_after.date());
        if certificate.is_past(now) {
            tracing::error!(certificate = what, %path, %expires, mend, "a certificate has expired");
        } else {
            let days_left = certificate.days_left(now);
            tracing::warn!(certificate = what, %path, %expires, days_left, mend, "a certificate expires soon");
        }
    }
}

fn authority(settings: &Settings, now: SystemTime) -> Result<CertificateAuthority, StartError> {
    let authority = match &settings.authority_pair {
        Some((certificate, key)) => CertificateAuthority::from_files(certificate, key, now)?,
        None => {
            let constraints = constraints(settings);
            CertificateAuthority::open_or_create(&settings.home, &constraints, now)?
        }
    };
    authority.require(&required(settings))?;
    Ok(authority)
}

pub(super) fn store(
    settings: &Settings,
    authority: CertificateAuthority,
) -> Result<CertificateStore, StartError> {
    let listener = match &settings.listener_pair {
        Some((certificate, key)) => Some(certificates::read_pair(certificate, key)?),
        None => None,
    };
    let mut per_host = std::collections::HashMap::new();
    for option in &settings.certificates {
        let pair = certificates::read_pair(&option.cert, &option.key)?;
        per_host.insert(option.host.to_ascii_lowercase(), pair);
    }
    Ok(CertificateStore::new(
        authority,
        listener,
        per_host,
        &settings.limits,
    )?)
}

/// How often the ends of certificates are looked at.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
