//! `tollgate ca install` and `uninstall`: shows what will be done and what the certificate can vouch for, asks, does it.
//!
//! The stores are in `stores`, the two that have names for their certificates in `nss` and `java`.

pub(super) mod java;
pub(super) mod nss;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use rustls::pki_types::CertificateDer;

use super::stores::{Machine, Step, Store, StoreError};
use super::{Opened, Source};
use crate::cli::Failure;
use crate::cli::terminal::Line;
use crate::net::ca::CertificateAuthority;
use crate::net::ca_home::CA_PEM;
use crate::net::certificates;
use crate::net::vouches::CertificateFacts;

/// Arguments of `install` and `uninstall`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct InstallArgs {
    /// The system's store: what curl, OpenSSL and most programs read; the default
    #[arg(long)]
    system: bool,
    /// The NSS databases of the user: Firefox and Chromium
    #[arg(long)]
    nss: bool,
    /// The store of the Java that JAVA_HOME or the search path leads to
    #[arg(long)]
    java: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    source: Source,
}

/// In or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Install,
    Uninstall,
}

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Nobody is there to be asked.
    #[error(
        "this changes whom the machine trusts, and nobody is here to be asked; --yes says that it is wanted"
    )]
    NobodyToAsk,
    /// The answer was no.
    #[error("nothing was changed")]
    Declined,
    /// A store would not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The question could not be put.
    #[error("cannot ask")]
    Terminal(#[from] io::Error),
}

impl InstallError {
    /// Whether what was asked for is wrong, rather than something that went wrong.
    #[must_use]
    pub fn is_wrong_usage(&self) -> bool {
        matches!(self, Self::NobodyToAsk)
    }
}

pub(super) fn run(args: &InstallArgs, direction: Direction) -> Result<(), Failure> {
    let Opened {
        settings,
        authority,
    } = args.source.open()?;
    let ca_pem = settings.home.join(CA_PEM);
    let request = Request {
        stores: args.stores(),
        direction,
        authority: &authority,
        ca_pem: &ca_pem,
        yes: args.yes,
    };
    let asked = Asked {
        terminal: io::stdin().is_terminal(),
        input: &mut io::stdin().lock(),
    };
    request.fulfil(&Machine::this(), asked, &mut io::stdout().lock())?;
    Ok(())
}

impl InstallArgs {
    fn stores(&self) -> Vec<Store> {
        let named = [
            (self.system, Store::System),
            (self.nss, Store::Nss),
            (self.java, Store::Java),
        ];
        let stores: Vec<Store> = named
            .into_iter()
            .filter_map(|(wanted, store)| wanted.then_some(store))
            .collect();
        if stores.is_empty() {
            vec![Store::System]
        } else {
            stores
        }
    }
}

/// Who is asked.
struct Asked<'a, R> {
    terminal: bool,
    input: &'a mut R,
}

/// What is wanted.
struct Request<'a> {
    stores: Vec<Store>,
    direction: Direction,
    authority: &'a CertificateAuthority,
    ca_pem: &'a Path,
    yes: bool,
}

impl Request<'_> {
    fn fulfil(
        &self,
        machine: &Machine,
        asked: Asked<'_, impl BufRead>,
        out: &mut impl Write,
    ) -> Result<(), InstallError> {
        let steps = self.steps(machine)?;
        if steps.is_empty() {
            let state = match self.direction {
                Direction::Install => "it is trusted there already",
                Direction::Uninstall => "it is not there",
            };
            writeln!(out, "nothing to do: {state}")?;
            return Ok(());
        }
        self.describe(&steps, out)?;
        if !self.yes {
            if !asked.terminal {
                return Err(InstallError::NobodyToAsk);
            }
            write!(out, "Go on? [y/N] ")?;
            out.flush()?;
            let mut answer = String::new();
            asked.input.read_line(&mut answer)?;
            if !matches!(answer.trim(), "y" | "Y" | "yes") {
                return Err(InstallError::Declined);
            }
        }
        machine.take(&steps)?;
        writeln!(out, "done")?;
        Ok(())
    }

    fn steps(&self, machine: &Machine) -> Result<Vec<Step>, StoreError> {
        let roots: Vec<CertificateDer<'static>> = self.authority.trusted().cloned().collect();
        let mut steps = Vec::new();
        for &store in &self.stores {
            steps.extend(match (self.direction, roots.first()) {
                (Direction::Install, Some(root)) => machine.install(store, self.ca_pem, root)?,
                (Direction::Install, None) => Vec::new(),
                (Direction::Uninstall, _) => machine.uninstall(store, &roots)?,
            });
        }
        Ok(steps)
    }

    fn describe(&self, steps: &[Step], out: &mut impl Write) -> io::Result<()> {
        let names: Vec<&str> = self.stores.iter().map(|store| store.name()).collect();
        let names = names.join(" and ");
        match self.direction {
            Direction::Install => {
                writeln!(out, "From now on {names} will trust this root:")?;
                let root = self.authority.trusted().next();
                if let Some(root) = root.and_then(CertificateFacts::read) {
                    writeln!(out, "  {}", Line(&root.subject))?;
                    writeln!(out, "  SHA-256 {}", root.fingerprint)?;
                    writeln!(out, "  valid until {}", root.not_after.date())?;
                }
                let vouches = self.authority.vouches();
                writeln!(out, "  It {}.", Line(&vouches.to_string()))?;
                if !vouches.limits_addresses {
                    let text = "Its constraints leave addresses open; tollgate signs for 127.0.0.1 and ::1 only.";
                    writeln!(out, "  {text}")?;
                }
            }
            Direction::Uninstall => {
                writeln!(out, "{names} will not trust these any longer:")?;
                for root in self.authority.trusted() {
                    writeln!(out, "  SHA-256 {}", certificates::fingerprint(root))?;
                }
            }
        }
        writeln!(out, "This will be done:")?;
        for step in steps {
            writeln!(out, "  {}", Line(&step.to_string()))?;
        }
        Ok(())
    }
}

impl Store {
    fn name(self) -> &'static str {
        match self {
            Self::System => "the system",
            Self::Nss => "your browsers",
            Self::Java => "Java",
        }
    }
}
