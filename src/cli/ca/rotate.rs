//! `tollgate ca rotate`: a new authority in the home.
//!
//! A gate that runs keeps the old authority in memory until it is started again, so by default nothing is rotated under
//! one. Clients read `ca.pem` and `bundle.pem` at their own start: with the old and the new root in them, those that are
//! started afterwards trust both gates, and those that run on trust the old one.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use super::Source;
use super::export::alias;
use crate::app;
use crate::cli::Failure;
use crate::cli::terminal::{Line, ReportError, to_stdout};
use crate::net::ca::CertificateAuthority;
use crate::net::ca_home::CA_PEM;
use crate::net::certificates::certificates_in;
use crate::net::trust::{self, PlatformRoots};
use crate::net::vouches::CertificateFacts;
use crate::running;

/// Arguments of `rotate`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct RotateArgs {
    /// Even while a gate runs on this home; it keeps showing the old certificates until it is started again
    #[arg(long)]
    force: bool,
    /// Do not let clients trust the old root any longer: for when its key may be in other hands
    #[arg(long)]
    forget_previous: bool,
    #[command(flatten)]
    source: Source,
}

/// Why nothing was rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A gate serves this home.
    #[error(
        "a gate runs on this home (process {pid}, {listen}) and would keep the old certificates; stop it first, or say \
         --force and start it again soon"
    )]
    Running {
        /// Its process.
        pid: u32,
        /// Its port.
        listen: SocketAddr,
    },
    /// The authority in use is not ours.
    #[error("--ca-cert names an authority of your own; tollgate rotates only the one in its home")]
    Given,
    /// The lock of the running gate cannot be read.
    #[error("cannot tell whether a gate runs on this home")]
    Unknown(#[source] std::io::Error),
}

pub(super) fn run(args: &RotateArgs) -> Result<(), Failure> {
    let settings = args.source.settings()?;
    if settings.authority_pair.is_some() {
        return Err(RotateError::Given.into());
    }
    let running = running::find(&settings.home).map_err(RotateError::Unknown)?;
    if let (Some(gate), false) = (running, args.force) {
        return Err(RotateError::Running {
            pid: gate.pid,
            listen: gate.listen,
        }
        .into());
    }
    let ca_pem = settings.home.join(CA_PEM);
    let old = std::fs::read(&ca_pem).unwrap_or_default();
    let old = certificates_in(&old).into_iter().next();
    let authority = CertificateAuthority::rotate(
        &settings.home,
        &app::constraints(&settings),
        !args.forget_previous,
        SystemTime::now(),
    )?;
    let platform = PlatformRoots::load(&settings.home);
    trust::write_bundle(&settings.home, &authority.trusted_pem(), &platform)?;
    let report = Report {
        authority: &authority,
        old: old.as_ref(),
        ca_pem: &ca_pem,
        running: running.is_some(),
    };
    Ok(to_stdout(|out| report.print(out))?)
}

/// What is said after a rotation.
struct Report<'a> {
    authority: &'a CertificateAuthority,
    /// The root that was in force before.
    old: Option<&'a CertificateDer<'static>>,
    ca_pem: &'a Path,
    running: bool,
}

impl Report<'_> {
    fn print(&self, out: &mut impl Write) -> Result<(), ReportError> {
        if let Some(root) = self
            .authority
            .trusted()
            .next()
            .and_then(CertificateFacts::read)
        {
            writeln!(out, "new root   {}", Line(&root.subject))?;
            writeln!(out, "           SHA-256 {}", root.fingerprint)?;
            writeln!(out, "           valid until {}", root.not_after.date())?;
            let vouches = self.authority.vouches().to_string();
            writeln!(out, "           {}", Line(&vouches))?;
        }
        let kept = self
            .old
            .is_some_and(|old| self.authority.trusted().any(|root| root == old));
        if let Some(old) = self.old.and_then(CertificateFacts::read) {
            writeln!(out, "old root   {}", Line(&old.subject))?;
            writeln!(out, "           SHA-256 {}", old.fingerprint)?;
            let until = old.not_after.date();
            if kept {
                writeln!(
                    out,
                    "           its key is destroyed; ca.pem and bundle.pem hold it until {until} or the next rotation"
                )?;
            } else {
                writeln!(
                    out,
                    "           ca.pem and bundle.pem do not hold it any longer"
                )?;
            }
        }
        self.print_steps(kept, out)
    }

    fn print_steps(&self, kept: bool, out: &mut impl Write) -> Result<(), ReportError> {
        writeln!(out, "\nWhat to do now:")?;
        if self.running {
            let text = "start the gate again: it shows the old certificates until then";
            writeln!(out, "- {text}")?;
        }
        let ca_pem = self.ca_pem.display().to_string();
        writeln!(
            out,
            "- start clients again that read {} or the bundle.pem beside it: they read them once",
            Line(&ca_pem)
        )?;
        writeln!(
            out,
            "- replace copies of ca.pem: a client with only the old root refuses the new certificates"
        )?;
        let Some(old) = self.old else { return Ok(()) };
        if kept {
            writeln!(
                out,
                "- where the old root was installed: `tollgate ca uninstall` takes it out, `tollgate ca install` puts the \
                 new one in"
            )?;
        } else {
            writeln!(
                out,
                "- where the old root was installed, take it out by hand: it is called {}",
                alias(old)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::certificates::fingerprint;

    #[test]
    fn what_is_printed_names_both_roots_and_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let domains = ["amazonaws.com".to_owned()];
        CertificateAuthority::open_or_create(home.path(), &domains, now).unwrap();
        for (keep, running) in [(true, true), (false, false)] {
            let old = certificates_in(&std::fs::read(home.path().join(CA_PEM)).unwrap());
            let authority = CertificateAuthority::rotate(home.path(), &domains, keep, now).unwrap();
            let report = Report {
                authority: &authority,
                old: old.first(),
                ca_pem: Path::new("/home/ca.pem"),
                running,
            };
            let mut text = Vec::new();
            report.print(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            let by_hand = format!("it is called {}", alias(&old[0]));
            assert!(text.contains(&fingerprint(&old[0])), "{text}");
            assert_eq!(text.contains(&by_hand), !keep, "{text}");
            assert_eq!(authority.trusted().any(|root| *root == old[0]), keep);
            assert_eq!(text.contains("start the gate again"), running, "{text}");
            assert!(text.contains("/home/ca.pem"), "{text}");
        }
    }
}
