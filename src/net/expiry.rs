//! Certificates whose end must not surprise anybody: which ones there are, when they end, and what to do then.
//!
//! Reading the clock and writing log lines is left to the callers: `app` once a day, `tollgate doctor` when asked.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::certificates::{self, CertificateError};

/// From here on an end is near.
pub const NEAR: Duration = Duration::days(30);

/// A certificate and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What it is for.
    pub what: String,
    /// Its file.
    pub path: PathBuf,
    /// Its last moment; of a chain, that of the certificate that ends first.
    pub not_after: OffsetDateTime,
    /// What to do about it.
    pub mend: String,
}

impl Watched {
    /// Watches the certificates of a file.
    ///
    /// # Errors
    /// [`CertificateError`] when the file holds none.
    pub fn file(what: String, path: &Path, mend: String) -> Result<Option<Self>, CertificateError> {
        let chain = certificates::read_chain(path)?;
        let ends = chain.iter().filter_map(|der| end_of(der)).min();
        Ok(ends.map(|not_after| Self {
            what,
            path: path.to_owned(),
            not_after,
            mend,
        }))
    }

    /// Whole days until the end; below zero after it.
    #[must_use]
    pub fn days_left(&self, now: OffsetDateTime) -> i64 {
        let seconds = (self.not_after - now).whole_seconds();
        seconds.div_euclid(Duration::DAY.whole_seconds())
    }

    /// Whether the end is near, or past.
    #[must_use]
    pub fn is_near(&self, now: OffsetDateTime) -> bool {
        self.not_after - now < NEAR
    }

    /// Whether the end is past.
    #[must_use]
    pub fn is_past(&self, now: OffsetDateTime) -> bool {
        now >= self.not_after
    }
}

fn end_of(der: &CertificateDer<'_>) -> Option<OffsetDateTime> {
    let certificate = certificates::parse(der)?;
    OffsetDateTime::from_unix_timestamp(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_end_is_near_from_thirty_days_on() {
        let watched = Watched {
            what: "a certificate".into(),
            path: "x.pem".into(),
            not_after: datetime!(2026-12-31 12:00 UTC),
            mend: String::new(),
        };
        let rows = [
            (datetime!(2026-12-01 11:59 UTC), 30, false, false),
            (datetime!(2026-12-01 12:01 UTC), 29, true, false),
            (datetime!(2026-12-31 11:59 UTC), 0, true, false),
            (datetime!(2026-12-31 12:00 UTC), 0, true, true),
            (datetime!(2027-01-01 11:00 UTC), -1, true, true),
        ];
        for (now, days, near, past) in rows {
            assert_eq!(watched.days_left(now), days, "{now}");
            assert_eq!(watched.is_near(now), near, "{now}");
            assert_eq!(watched.is_past(now), past, "{now}");
        }
    }

    #[test]
    fn of_a_file_the_first_end_counts() {
        let home = tempfile::tempdir().unwrap();
        let authority = super::super::test_certificates::authority(home.path());
        let path = home.path().join("issuer.pem");
        let watched = Watched::file("it".into(), &path, String::new()).unwrap();
        assert_eq!(watched.unwrap().not_after, authority.expires());
        assert!(Watched::file("it".into(), &home.path().join("none"), String::new()).is_err());
    }
}
