//! `tollgate ca show`: what the certificate is, how long it lasts and what it can vouch for.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Opened, Source};
use crate::cli::Failure;
use crate::cli::terminal::{Line, ReportError, to_stdout, write_json};
use crate::net::ca::CertificateAuthority;
use crate::net::ca_home::{CA_KEY_PEM, CA_PEM, ISSUER_PEM};
use crate::net::expiry::Watched;
use crate::net::trust::BUNDLE_PEM;
use crate::net::vouches::CertificateFacts;

/// Arguments of `show`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ShowArgs {
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &ShowArgs) -> Result<(), Failure> {
    let Opened {
        settings,
        authority,
    } = args.source.open()?;
    let given = settings.authority_pair.as_ref();
    let shown = Shown::new(
        &authority,
        &settings.home,
        given.map(|(certificate, key)| (certificate.as_path(), key.as_path())),
        OffsetDateTime::now_utc(),
    );
    Ok(to_stdout(|out| {
        if args.json {
            Ok(write_json(out, &shown)?)
        } else {
            shown.print(out)
        }
    })?)
}

/// An authority as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    /// What clients must trust.
    root: Certificate,
    /// What signs leaves, if that is another certificate.
    issuer: Option<Certificate>,
    /// Whole days until the first of its certificates ends.
    days_left: i64,
    vouches: String,
    permitted_domains: Option<Vec<String>>,
    excluded_domains: Vec<String>,
    limits_addresses: bool,
    /// Roots before this one that `ca.pem` still holds.
    previous: Vec<Certificate>,
    /// Whether the operator brought it.
    given: bool,
    files: Files,
}

#[derive(Debug, Serialize)]
struct Certificate {
    subject: String,
    fingerprint_sha256: String,
    not_before: String,
    not_after: String,
    key: String,
}

#[derive(Debug, Serialize)]
struct Files {
    ca: PathBuf,
    bundle: PathBuf,
    issuer: PathBuf,
    key: PathBuf,
}

impl From<CertificateFacts> for Certificate {
    fn from(facts: CertificateFacts) -> Self {
        // A moment that a certificate can carry has four digits of year.
        let text = |moment: OffsetDateTime| moment.format(&Rfc3339).unwrap_or_default();
        Self {
            subject: facts.subject,
            fingerprint_sha256: facts.fingerprint,
            not_before: text(facts.not_before),
            not_after: text(facts.not_after),
            key: facts.key,
        }
    }
}

impl Shown {
    fn new(
        authority: &CertificateAuthority,
        home: &Path,
        given: Option<(&Path, &Path)>,
        now: OffsetDateTime,
    ) -> Self {
        let read = |der| CertificateFacts::read(der).map(Certificate::from);
        let chain = authority.chain();
        let mut trusted = authority.trusted().filter_map(read);
        let unknown = || Certificate {
            subject: String::new(),
            fingerprint_sha256: String::new(),
            not_before: String::new(),
            not_after: String::new(),
            key: String::new(),
        };
        let vouches = authority.vouches();
        let ends = Watched {
            what: String::new(),
            path: home.join(CA_PEM),
            not_after: authority.expires(),
            mend: String::new(),
        };
        let (issuer, key) = given.map_or_else(
            || (home.join(ISSUER_PEM), home.join(CA_KEY_PEM)),
            |(certificate, key)| (certificate.to_owned(), key.to_owned()),
        );
        Self {
            root: trusted.next().unwrap_or_else(unknown),
            issuer: chain
                .first()
                .filter(|_| chain.len() > 1)
                .and_then(|der| read(der)),
            days_left: ends.days_left(now),
            vouches: vouches.to_string(),
            permitted_domains: vouches.domains,
            excluded_domains: vouches.excluded,
            limits_addresses: vouches.limits_addresses,
            previous: trusted.collect(),
            given: given.is_some(),
            files: Files {
                ca: home.join(CA_PEM),
                bundle: home.join(BUNDLE_PEM),
                issuer,
                key,
            },
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<(), ReportError> {
        let mut field = |name: &str, value: &str| writeln!(out, "{name:<13}{}", Line(value));
        field("subject", &self.root.subject)?;
        field("fingerprint", &self.root.fingerprint_sha256)?;
        let day = |moment: &str| moment.split('T').next().unwrap_or_default().to_owned();
        field(
            "valid",
            &format!(
                "{} to {}, {} days left",
                day(&self.root.not_before),
                day(&self.root.not_after),
                self.days_left
            ),
        )?;
        field("vouches", &self.vouches)?;
        if !self.limits_addresses {
            field(
                "",
                "its constraints leave addresses open; tollgate signs for 127.0.0.1 and ::1 only",
            )?;
        }
        field("key", &self.root.key)?;
        if let Some(issuer) = &self.issuer {
            field("issuer", &format!("{}, {}", issuer.subject, issuer.key))?;
        }
        if !self.given {
            field(
                "",
                "the root's own key was destroyed when it was made: there can be no other issuer",
            )?;
        }
        for root in &self.previous {
            let text = format!(
                "{}, {}, trusted until {} or the next rotation",
                root.subject,
                root.fingerprint_sha256,
                day(&root.not_after)
            );
            field("previous", &text)?;
        }
        field("ca.pem", &self.files.ca.display().to_string())?;
        field("bundle.pem", &self.files.bundle.display().to_string())?;
        field("issuer file", &self.files.issuer.display().to_string())?;
        field("key file", &self.files.key.display().to_string())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn an_authority_is_shown_with_its_limits_and_never_with_its_key() {
        let home = tempfile::tempdir().unwrap();
        let domains = ["amazonaws.com".to_owned()];
        let now = SystemTime::now();
        let old = CertificateAuthority::open_or_create(home.path(), &domains, now).unwrap();
        let authority = CertificateAuthority::rotate(home.path(), &domains, true, now).unwrap();
        let shown = Shown::new(&authority, home.path(), None, OffsetDateTime::now_utc());
        let mut text = Vec::new();
        shown.print(&mut text).unwrap();
        write_json(&mut text, &shown).unwrap();
        let text = String::from_utf8(text).unwrap();
        let wanted = [
            "vouches      can only vouch for host names in localhost, amazonaws.com\n",
            "1825 days left\n",
            "issuer       O=tollgate, CN=tollgate local CA ",
            "ECDSA, 256 bits",
            "previous     O=tollgate",
            "ca-key.pem",
            "\"given\":false",
        ];
        for wanted in wanted {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        let before = CertificateFacts::read(old.trusted().next().unwrap()).unwrap();
        assert_eq!(shown.previous[0].fingerprint_sha256, before.fingerprint);
        assert!(!text.contains("PRIVATE"));
    }
}
