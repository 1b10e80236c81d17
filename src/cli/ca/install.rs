//! `tollgate ca install` and `uninstall`: shows what will be done and what the certificate can vouch for, asks, does it.
//!
//! What a store is, is in `stores`; how each is asked and changed in `system`, `nss` and `java`.

pub(super) mod java;
pub(super) mod nss;
pub(super) mod system;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use rustls::pki_types::CertificateDer;

use super::Source;
use super::stores::{Machine, Step, Store, StoreError};
use crate::cli::Failure;
use crate::cli::terminal::Line;
use crate::net::ca::CertificateAuthority;
use crate::net::ca_home::CA_PEM;
use crate::net::certificates::{self, certificates_in};
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
    let home = args.source.settings()?.home;
    let ca_pem = home.join(CA_PEM);
    let opened = match direction {
        Direction::Install => Some(args.source.open()?.authority),
        Direction::Uninstall => None,
    };
    let wish = match &opened {
        Some(authority) => Wish::Install(authority),
        None => Wish::Uninstall(certificates_in(&std::fs::read(&ca_pem).unwrap_or_default())),
    };
    let request = Request {
        stores: args.stores(),
        wish,
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
enum Wish<'a> {
    /// The root of this authority in.
    Install(&'a CertificateAuthority),
    /// These out, whatever became of their authority.
    Uninstall(Vec<CertificateDer<'static>>),
}

/// What is wanted, and where.
struct Request<'a> {
    stores: Vec<Store>,
    wish: Wish<'a>,
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
            let state = match self.wish {
                Wish::Install(_) => "it is trusted there already",
                Wish::Uninstall(_) => "nothing that tollgate put there is there",
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
        let mut steps = Vec::new();
        for &store in &self.stores {
            steps.extend(match &self.wish {
                Wish::Install(authority) => match authority.trusted().next() {
                    Some(root) => machine.install(store, self.ca_pem, root)?,
                    None => Vec::new(),
                },
                Wish::Uninstall(roots) => machine.uninstall(store, roots)?,
            });
        }
        Ok(steps)
    }

    fn describe(&self, steps: &[Step], out: &mut impl Write) -> io::Result<()> {
        let names: Vec<&str> = self.stores.iter().map(|store| store.name()).collect();
        let names = names.join(" and ");
        match &self.wish {
            Wish::Install(authority) => {
                writeln!(out, "From now on {names} will trust this root:")?;
                let root = authority.trusted().next();
                if let Some(root) = root.and_then(CertificateFacts::read) {
                    writeln!(out, "  {}", Line(&root.subject))?;
                    writeln!(out, "  SHA-256 {}", root.fingerprint)?;
                    writeln!(out, "  valid until {}", root.not_after.date())?;
                }
                let vouches = authority.vouches();
                writeln!(out, "  It {}.", Line(&vouches.to_string()))?;
                if !vouches.limits_addresses {
                    let text = "Its constraints leave addresses open; tollgate signs for 127.0.0.1 and ::1 only.";
                    writeln!(out, "  {text}")?;
                }
            }
            Wish::Uninstall(roots) => {
                writeln!(out, "{names} will not trust these any longer:")?;
                for root in roots {
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
