//! Bedrock as the gate would reach it: the name resolves, a connection opens, TLS verifies, and our clock is right.
//!
//! The way there and the roots are those of `serve`. A bare request is sent that costs nothing and that nobody signs;
//! what matters of its answer is the `Date`, since a signature is refused when its time is five minutes off. Everything
//! is bounded: what cannot be reached is a finding. RFC 9110 §5.6.7, §6.6.1.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::chain;
use super::finding::Finding;
use crate::app;
use crate::config::Settings;
use crate::config::Vouched;
use crate::config::upstream_proxy::UpstreamProxy;
use crate::net::ca::CertificateAuthority;
use crate::net::certificates::crypto_provider;
use crate::net::dial::{DialError, Dialer, Origin, Reach};
use crate::net::trust::PlatformRoots;
use crate::net::vouches::CertificateFacts;
use crate::wire::http1::Scheme;

/// For each step: nobody waits long for a doctor.
const STEP: StdDuration = StdDuration::from_secs(4);
/// A head that is longer has no `Date` for us.
const MAX_HEAD: usize = 16 * 1024;
/// What AWS allows between a signature's time and its own.
const ALLOWED: Duration = Duration::minutes(5);
/// Half of which is reason enough to look at the clock.
const NOTABLE: Duration = Duration::minutes(1);

pub(super) async fn check(
    settings: &Settings,
    platform: &PlatformRoots,
    authority: Option<&CertificateAuthority>,
    host: &str,
) -> Vec<Finding> {
    let mut settings = settings.clone();
    settings.timeouts.connect = STEP;
    settings.timeouts.handshake = STEP;
    let dialer = match app::dialer(&settings, platform, authority) {
        Ok(dialer) => dialer,
        Err(error) => return vec![Finding::fail("upstream", chain(&error))],
    };
    let origin = Origin {
        scheme: Scheme::Https,
        host: host.to_owned(),
        port: 443,
    };
    let mut stream = match dialer
        .open(&origin, Reach::observed(Vouched::AsOneOf))
        .await
    {
        Ok(stream) => stream,
        Err(error) => {
            let proxy = settings.upstream_proxy.as_ref();
            return vec![unreached(&dialer, host, proxy, &error).await];
        }
    };
    let reached = Finding::ok(
        "upstream",
        format!("{host} is reached and its certificate verified"),
    );
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let before = OffsetDateTime::now_utc();
    let asking = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        head(&mut stream).await
    };
    let head = timeout(STEP, asking).await;
    let ours = before + (OffsetDateTime::now_utc() - before) / 2;
    let clock = match head {
        Ok(Ok(head)) => date(&head).map_or_else(
            || {
                Finding::warn(
                    "clock",
                    format!("the answer of {host} tells no time to compare with"),
                )
            },
            |theirs| skew(ours, theirs),
        ),
        Ok(Err(error)) => Finding::warn("clock", format!("no answer to compare with: {error}")),
        Err(_) => Finding::warn("clock", "no answer to compare with came in time"),
    };
    vec![reached, clock]
}

async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        match stream.read(&mut piece).await? {
            0 => break,
            read => head.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
    Ok(head)
}

/// The `Date` of a response head.
pub(super) fn date(head: &[u8]) -> Option<OffsetDateTime> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = std::str::from_utf8(head).ok()?;
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim())
    })?;
    let moment = PrimitiveDateTime::parse(value, format).ok()?;
    Some(moment.assume_utc())
}

/// What the difference of the two clocks means. `theirs` has whole seconds.
pub(super) fn skew(ours: OffsetDateTime, theirs: OffsetDateTime) -> Finding {
    let ahead = ours - theirs;
    let side = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let seconds = ahead.abs().whole_seconds();
    let text = format!("this clock is {seconds} s {side} AWS; signatures may be 300 s off");
    let mend = "set the clock: timedatectl set-ntp true (Linux), sntp -sS time.apple.com (macOS)";
    if ahead.abs() >= ALLOWED {
        Finding::fail("clock", text).mend(mend)
    } else if ahead.abs() >= NOTABLE {
        Finding::warn("clock", text).mend(mend)
    } else {
        Finding::ok("clock", text)
    }
}

async fn unreached(
    dialer: &Dialer,
    host: &str,
    proxy: Option<&UpstreamProxy>,
    error: &DialError,
) -> Finding {
    let found = Finding::fail("upstream", chain(error));
    if let (DialError::Proxy { .. }, Some(proxy)) = (error, proxy) {
        return found.mend(format!(
            "{proxy} was named by {}: is that right, and does it let {host} through? --upstream-proxy none goes without",
            proxy.named_by
        ));
    }
    if !is_about_certificate(error) {
        return found.mend(
            "is this machine online? If its network has a proxy for going out: --upstream-proxy URL",
        );
    }
    let Some(shown) = shown_certificate(dialer, host).await else {
        return found.mend("--upstream-ca FILE, if something on the way opens TLS");
    };
    let text = format!(
        "{}; the certificate was issued by {}",
        found.found, shown.issuer
    );
    let now = OffsetDateTime::now_utc();
    if now < shown.not_before || now > shown.not_after {
        let (from, to) = (shown.not_before.date(), shown.not_after.date());
        return Finding::fail(
            "upstream",
            format!("{text} and is valid from {from} to {to}"),
        )
        .mend("set the clock, if it is not today");
    }
    Finding::fail("upstream", text).mend(
        "if that is your company's TLS inspection, save its root as PEM and say --upstream-ca FILE",
    )
}

fn is_about_certificate(error: &DialError) -> bool {
    let DialError::Tls { source, .. } = error else {
        return false;
    };
    let inner = source.get_ref().and_then(|inner| {
        inner
            .downcast_ref::<rustls::Error>()
            .or_else(|| inner.source()?.downcast_ref())
    });
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// What the other side shows, for its name alone: the handshake is given up there and then.
async fn shown_certificate(dialer: &Dialer, host: &str) -> Option<CertificateFacts> {
    let socket = dialer
        .connect(host, 443, Reach::observed(Vouched::AsOneOf))
        .await
        .ok()?;
    let witness = Arc::new(Witness::default());
    let config = ClientConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, socket);
    // It never succeeds; what it showed before is what we are here for.
    if let Ok(Err(error)) = timeout(STEP, handshake).await {
        tracing::debug!(%error, "the certificate was looked at");
    }
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner);
    CertificateFacts::read(seen.as_ref()?)
}

/// Remembers the certificate it is shown and refuses it.
#[derive(Debug, Default)]
struct Witness {
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(end_entity.clone().into_owned());
        Err(rustls::Error::General("only looked at".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only looked at".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only looked at".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = crypto_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
