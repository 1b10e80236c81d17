//! Why there is no certificate authority, or why it does not sign.
//!
//! Start-up prints these to a person who has to act, so each one says which files are at fault and what would help.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::certificates::CertificateError;
use super::issuance::IssuanceError;
use super::private_file::FileError;

/// The certificate authority cannot be had, or cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the home directory will not do what was asked.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate or key file is not what it should be.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The files in the home directory do not make an authority.
    #[error("the certificate authority in {} cannot be used: {flaw}; {}", home.display(), StartAnew(home))]
    Home {
        /// The home directory.
        home: PathBuf,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The operator's certificate cannot sign leaves.
    #[error("the certificate authority {} cannot be used: {flaw}", certificate.display())]
    Given {
        /// The `--ca-cert` file.
        certificate: PathBuf,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The name is outside the constraints.
    #[error("the certificate authority does not permit {name}, only {permitted}; {remedy}")]
    NotPermitted {
        /// What was asked for.
        name: String,
        /// The permitted domains, listed.
        permitted: String,
        /// The way out.
        remedy: Remedy,
    },
    /// No certificate is made for an address other than loopback.
    #[error("no certificate is made for the address {address}, only for 127.0.0.1 and ::1")]
    Address {
        /// What was asked for.
        address: IpAddr,
    },
    /// Neither a host name nor an address.
    #[error("{name:?} is not a host name")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// A leaf now would be outside the life of the authority.
    #[error("the certificate authority is valid from {not_before} to {not_after}, not now ({now})")]
    OutOfTime {
        /// First moment.
        not_before: OffsetDateTime,
        /// Last moment.
        not_after: OffsetDateTime,
        /// The moment asked for.
        now: OffsetDateTime,
    },
    /// The system's clock shows a time no certificate can carry.
    #[error("the system clock shows a time that cannot be right")]
    Clock,
    /// Making the certificate failed.
    #[error("cannot issue a certificate")]
    Issuance(#[from] IssuanceError),
}

/// What is wrong with an authority's files.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// Some files are there and some are not.
    #[error("{found} is there without {missing} (restore it if there is a copy)")]
    Incomplete {
        /// File names present, listed.
        found: String,
        /// File names absent, listed.
        missing: String,
    },
    /// `issuer.pem` does not hold the issuing certificate and its root.
    #[error(
        "issuer.pem holds {count} certificates instead of the issuing certificate and its root"
    )]
    Chain {
        /// How many it holds.
        count: usize,
    },
    /// `ca.pem` is the root of another authority.
    #[error("ca.pem is not the root of issuer.pem")]
    OtherRoot,
    /// The key signs for another certificate.
    #[error("the key in {} does not belong to the certificate", key.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
    },
    /// Not a certificate that may sign others.
    #[error(
        "certificate {number} is not a CA certificate (basicConstraints CA and keyUsage keyCertSign are needed)"
    )]
    NotACa {
        /// Counted from 1.
        number: usize,
    },
    /// The certificates do not follow one another.
    #[error(
        "certificate {number} was not issued by the one after it; the issuing certificate comes first, then its issuers"
    )]
    Order {
        /// Counted from 1.
        number: usize,
    },
    /// Over.
    #[error("it expired on {}", at.date())]
    Expired {
        /// When.
        at: OffsetDateTime,
    },
    /// Not begun.
    #[error("it is valid only from {at}, and the clock says {now}")]
    NotYetValid {
        /// When it begins.
        at: OffsetDateTime,
        /// The clock.
        now: OffsetDateTime,
    },
    /// Constraints we cannot read, or cannot satisfy.
    #[error("certificate {number} has name constraints that cannot be satisfied")]
    Constraints {
        /// Counted from 1.
        number: usize,
    },
    /// A verifier refuses what it signs.
    #[error("verifiers do not accept what it signs ({reason})")]
    Refused {
        /// Why.
        reason: rustls::Error,
    },
}

/// What to do when an authority does not permit a name.
#[derive(Debug)]
pub enum Remedy {
    /// The home directory's authority must be made anew: the key of its root is gone by design.
    Anew(PathBuf),
    /// The operator brings another one.
    AnotherCa,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anew(home) => StartAnew(home).fmt(f),
            Self::AnotherCa => f.write_str("give a --ca-cert and --ca-key that permit it"),
        }
    }
}

struct StartAnew<'a>(&'a Path);

impl fmt::Display for StartAnew<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "to make a new one, run `tollgate ca rotate` with the same configuration, or delete ca.pem, issuer.pem, \
             ca-key.pem and bundle.pem in {} and start again; let clients trust the new ca.pem; or use another authority with --ca-cert and --ca-key",
            self.0.display()
        )
    }
}

/// A flaw that still has to be told whose it is, or an error that says it all.
pub(crate) enum FlawOr {
    Flaw(Flaw),
    Error(CaError),
}

impl FlawOr {
    pub(crate) fn into_ca_error(self, name_it: impl FnOnce(Flaw) -> CaError) -> CaError {
        match self {
            Self::Flaw(flaw) => name_it(flaw),
            Self::Error(error) => error,
        }
    }
}

impl From<Flaw> for FlawOr {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<CaError> for FlawOr {
    fn from(error: CaError) -> Self {
        Self::Error(error)
    }
}
