//! The home, the certificate authority and the files that clients are given to trust it. Nothing is repaired here.

use std::path::Path;
use std::time::SystemTime;

use time::OffsetDateTime;

use super::finding::{Finding, Level};
use super::{chain, day};
use crate::app;
use crate::config::Settings;
use crate::net::ca::{CaError, CertificateAuthority};
use crate::net::ca_home::{CA_KEY_PEM, CA_PEM};
use crate::net::certificates::certificates_in;
use crate::net::trust::{self, BUNDLE_PEM, PlatformRoots};

/// The authority, if there is one that can be used, and what was found.
pub(super) fn check(
    settings: &Settings,
    now: SystemTime,
) -> (Option<CertificateAuthority>, Vec<Finding>) {
    let home = &settings.home;
    if !home.exists() {
        let text = format!("{} does not exist yet: the gate makes it", home.display());
        let mut findings = vec![Finding::ok("home", text)];
        let (authority, found) = authority(settings, now);
        findings.extend(found);
        return (authority, findings);
    }
    let mut findings = vec![permissions(home)];
    let (authority, found) = authority(settings, now);
    findings.extend(found);
    if let Some(authority) = &authority {
        findings.extend(ends(settings, authority));
        findings.extend(published(settings, authority));
    }
    (authority, findings)
}

/// Who may look into the home and the files in it.
fn permissions(home: &Path) -> Finding {
    let open = [
        home.to_owned(),
        home.join(CA_KEY_PEM),
        home.join(crate::ledger::FILE_NAME),
    ]
    .into_iter()
    .filter_map(|path| Some((mode(&path).filter(|mode| mode & 0o077 != 0)?, path)))
    .next();
    match open {
        None => Finding::ok("home", format!("{} is for its owner alone", home.display())),
        Some((mode, path)) => {
            let level = if path.ends_with(CA_KEY_PEM) {
                Level::Fail
            } else {
                Level::Warn
            };
            let path = path.display();
            let wanted = if level == Level::Warn && mode & 0o111 != 0 {
                "700"
            } else {
                "600"
            };
            let text = format!("others can look into {path} (mode {mode:04o})");
            Finding::new("home", level, text).mend(format!("chmod {wanted} '{path}'"))
        }
    }
}

#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Option<u32> {
    None
}

fn authority(settings: &Settings, now: SystemTime) -> (Option<CertificateAuthority>, Vec<Finding>) {
    let opened = match &settings.authority_pair {
        Some((certificate, key)) => {
            CertificateAuthority::from_files(certificate, key, now).map(Some)
        }
        None => CertificateAuthority::inspect(&settings.home, now),
    };
    let authority = match opened {
        Ok(Some(authority)) => authority,
        Ok(None) => {
            let text = "there is none yet: the gate makes it at its first start";
            return (None, vec![Finding::ok("authority", text)]);
        }
        Err(error) => return (None, vec![unusable(&error)]),
    };
    let found = match authority.require(&app::required(settings)) {
        Ok(()) => Finding::ok("authority", authority.vouches().to_string()),
        Err(error) if settings.authority_pair.is_some() => {
            Finding::fail("authority", error.to_string())
        }
        Err(error) => Finding::fail("authority", error.to_string()).mend("tollgate ca rotate"),
    };
    (Some(authority), vec![found])
}

fn unusable(error: &CaError) -> Finding {
    let finding = Finding::fail("authority", chain(error));
    match error {
        CaError::Home { .. } => finding.mend("tollgate ca rotate"),
        // These say themselves what to do.
        _ => finding,
    }
}

/// Certificates that end soon, and when the authority does otherwise.
fn ends(settings: &Settings, authority: &CertificateAuthority) -> Vec<Finding> {
    let now = OffsetDateTime::now_utc();
    let watched = match app::watched(settings, authority) {
        Ok(watched) => watched,
        Err(error) => return vec![Finding::fail("certificates", chain(&error))],
    };
    let mut findings = Vec::new();
    for one in &watched {
        let (what, path, end) = (&one.what, one.path.display(), day(one.not_after));
        if one.is_past(now) {
            let text = format!("{what} in {path} expired on {end}");
            findings.push(Finding::fail("certificates", text).mend(one.mend.clone()));
        } else if one.is_near(now) {
            let days = one.days_left(now);
            let text = format!("{what} in {path} expires on {end}, in {days} days");
            findings.push(Finding::warn("certificates", text).mend(one.mend.clone()));
        } else {
            findings.push(Finding::ok(
                "certificates",
                format!("{what} is valid until {end}"),
            ));
        }
    }
    findings
}

/// Whether the files that clients are given are there and of today.
fn published(settings: &Settings, authority: &CertificateAuthority) -> Vec<Finding> {
    let start = "start the gate again: it writes both files";
    let root = authority.trusted().next();
    let holds = |name: &str| {
        let pem = std::fs::read(settings.home.join(name)).ok()?;
        let held = certificates_in(&pem);
        Some(root.is_some_and(|root| held.contains(root)))
    };
    let mut findings = Vec::new();
    for name in [CA_PEM, BUNDLE_PEM] {
        let path = settings.home.join(name);
        let path = path.display();
        findings.push(match holds(name) {
            None => Finding::fail("files", format!("{path} is not there")).mend(start),
            Some(false) => {
                Finding::fail("files", format!("{path} does not hold the root in force"))
                    .mend(start)
            }
            Some(true) if name == BUNDLE_PEM => bundle(settings, authority).mend_if_warned(start),
            Some(true) => Finding::ok("files", format!("{path} holds the root in force")),
        });
    }
    findings
}

fn bundle(settings: &Settings, authority: &CertificateAuthority) -> Finding {
    let path = settings.home.join(BUNDLE_PEM);
    let platform = PlatformRoots::load(&settings.home);
    let today = trust::bundle(&authority.trusted_pem(), &platform);
    if std::fs::read(&path).is_ok_and(|found| found == today.as_bytes()) {
        let text = format!(
            "{} holds it and the platform's {} roots",
            path.display(),
            platform.len()
        );
        Finding::ok("files", text)
    } else {
        let text = format!(
            "{} was written with other roots of the platform than are found now",
            path.display()
        );
        Finding::warn("files", text)
    }
}

impl Finding {
    fn mend_if_warned(self, line: &str) -> Self {
        match self.level {
            Level::Ok => self,
            Level::Warn | Level::Fail => self.mend(line),
        }
    }
}
