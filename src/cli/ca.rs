//! `tollgate ca`: the certificate authority that clients must trust, for the people who have to make them trust it.
//!
//! This file holds the arguments and finds the authority: the one in the home, made now if there is none, or the
//! operator's. Each command is a file below. What an authority is, and how its files come to be, is left to `net`.

mod check;
mod export;
mod install;
mod probe;
mod rotate;
mod show;
pub mod stores;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, Subcommand};

use super::Failure;
use super::terminal::to_stdout;
use crate::app;
use crate::config::{self, HomeOption, Options, Settings};
use crate::net::ca::CertificateAuthority;
use crate::net::ca_home::CA_PEM;
use crate::net::certificates::certificates_in;
use crate::net::trust::BUNDLE_PEM;

pub use check::CheckError;
pub use export::ExportError;
pub use install::InstallError;
pub use rotate::RotateError;

/// What `tollgate ca` understands.
#[derive(Args, Debug)]
pub struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Subcommand, Debug)]
enum CaCommand {
    /// Print the path of the certificate that clients must trust
    Path(Source),
    /// Print what the certificate is, how long it lasts and what it can vouch for
    Show(show::ShowArgs),
    /// Write what clients must trust as PEM, DER, a Java truststore, or together with the platform's roots
    Export(export::ExportArgs),
    /// Let the system, browsers or Java trust the certificate; asks first
    Install(install::InstallArgs),
    /// Take the certificate out again, and nothing else; asks first
    Uninstall(install::InstallArgs),
    /// Make a new certificate authority in the home and destroy the key of the old one
    Rotate(rotate::RotateArgs),
    /// Try whether a runtime trusts the gate: python, node, java, curl or openssl; nothing leaves this machine
    Check(check::CheckArgs),
}

/// Which authority is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Source {
    /// Where the home is.
    #[command(flatten)]
    pub home: HomeOption,
    /// The operator's own CA, as for serve
    #[arg(long, env = "TOLLGATE_CA_CERT", value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// The key of --ca-cert, as for serve
    #[arg(long, env = "TOLLGATE_CA_KEY", value_name = "FILE")]
    pub ca_key: Option<PathBuf>,
    /// Hosts that a new authority may vouch for besides those of AWS, as for serve; repeatable
    #[arg(
        long,
        env = "TOLLGATE_INTERCEPT",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    pub intercept: Vec<String>,
}

impl Source {
    fn settings(&self) -> Result<Settings, Failure> {
        let options = Options {
            ca_cert: self.ca_cert.clone(),
            ca_key: self.ca_key.clone(),
            intercept: self.intercept.clone(),
            ..Options::default()
        };
        Ok(config::load(&options, &self.home)?)
    }

    /// Opens the authority. Files that are in place are left alone: the roots of the platform may look different from
    /// where this command runs than they do for the gate, and as root nothing in a user's home may come to belong to
    /// root.
    fn open(&self) -> Result<Opened, Failure> {
        let settings = self.settings()?;
        let now = SystemTime::now();
        let authority = match &settings.authority_pair {
            Some((certificate, key)) => {
                Some(CertificateAuthority::from_files(certificate, key, now)?)
            }
            None => CertificateAuthority::inspect(&settings.home, now)?,
        };
        let authority = match authority {
            Some(authority) if in_place(&settings.home, &authority) => authority,
            _ => app::prepare_trust(&settings, now)?.0,
        };
        Ok(Opened {
            settings,
            authority,
        })
    }
}

/// An authority whose files are in place.
struct Opened {
    settings: Settings,
    authority: CertificateAuthority,
}

/// Whether clients that read the home's files trust this authority.
fn in_place(home: &Path, authority: &CertificateAuthority) -> bool {
    [CA_PEM, BUNDLE_PEM].iter().all(|name| {
        let held = certificates_in(&fs::read(home.join(name)).unwrap_or_default());
        authority.trusted().all(|root| held.contains(root))
    })
}

/// Runs the command.
///
/// # Errors
/// A configuration or an authority that cannot be used, and what the command itself meets.
pub fn run(args: &CaArgs) -> Result<(), Failure> {
    match &args.command {
        CaCommand::Path(source) => path(source),
        CaCommand::Show(args) => show::run(args),
        CaCommand::Export(args) => export::run(args),
        CaCommand::Install(args) => install::run(args, install::Direction::Install),
        CaCommand::Uninstall(args) => install::run(args, install::Direction::Uninstall),
        CaCommand::Rotate(args) => rotate::run(args),
        CaCommand::Check(args) => check::run(args),
    }
}

/// Whether what was asked for is wrong, rather than something that went wrong.
#[must_use]
pub fn is_wrong_usage(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let check = error.downcast_ref::<CheckError>();
    let install = error.downcast_ref::<InstallError>();
    error.is::<ExportError>()
        || check.is_some_and(CheckError::is_wrong_usage)
        || install.is_some_and(InstallError::is_wrong_usage)
}

fn path(source: &Source) -> Result<(), Failure> {
    let opened = source.open()?;
    Ok(to_stdout(|out| {
        Ok(writeln!(
            out,
            "{}",
            opened.settings.home.join(CA_PEM).display()
        )?)
    })?)
}
