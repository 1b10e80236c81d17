//! `tollgate check [FILE]`: whether a configuration would start a gate, without starting one.
//!
//! Reads what `serve` reads (file, variables, and every certificate, key, root and price file they name) and touches
//! nothing else: no port, no ledger, no home. What is wrong is said as `serve` would say it, with exit status 2.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Failure;
use super::terminal::Line;
use crate::app::budgets::longer_than_kept;
use crate::app::{self, StartError};
use crate::config::{self, HomeOption, Options, Settings};
use crate::net::ca::CertificateAuthority;
use crate::net::certificates::read_pair;
use crate::net::client_certificate;
use crate::net::descriptors;
use crate::net::trust::PlatformRoots;

/// What `tollgate check` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration file [default: the one that serve would read]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Checks, and says so on standard output.
///
/// # Errors
/// What is wrong, where, and what should stand there.
pub fn run(args: &CheckArgs, home: &HomeOption) -> Result<(), Failure> {
    print(
        args,
        home,
        &Options::from_environment()?,
        &mut std::io::stdout().lock(),
    )
}

fn print(
    args: &CheckArgs,
    home: &HomeOption,
    options: &Options,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let home = HomeOption {
        config: args.file.clone().or_else(|| home.config.clone()),
        home: home.home.clone(),
    };
    let settings = config::load(options, &home)?;
    look_at_files(&settings)?;
    let file = home.config.as_deref().or_else(|| {
        let default = Path::new(config::load::DEFAULT_FILE);
        default.exists().then_some(default)
    });
    match file {
        Some(file) => writeln!(out, "{} is valid", Line(&file.to_string_lossy()))?,
        None => writeln!(
            out,
            "there is no configuration file; defaults and variables are valid"
        )?,
    }
    let capacity = settings
        .limits
        .capacity(settings.listen.ip(), descriptors::limit());
    if let Some(shortfall) = capacity.shortfall() {
        writeln!(out, "note: {shortfall}")?;
    }
    for rule in longer_than_kept(&settings, &settings.policy.budgets) {
        writeln!(
            out,
            "note: the window of budget `{}` is longer than --retain keeps records: a restart forgets what was spent before",
            Line(&rule.name)
        )?;
    }
    Ok(())
}

fn look_at_files(settings: &Settings) -> Result<(), StartError> {
    let of_hosts = settings
        .certificates
        .iter()
        .map(|own| (&own.cert, &own.key));
    let of_port = settings
        .listener_pair
        .iter()
        .map(|(certificate, key)| (certificate, key));
    for (certificate, key) in of_port.chain(of_hosts) {
        read_pair(certificate, key)?;
    }
    if let Some((certificate, key)) = &settings.authority_pair {
        CertificateAuthority::from_files(certificate, key, SystemTime::now())?;
    }
    if let Some(path) = &settings.client_ca {
        client_certificate::verifier(path, true)?;
    }
    app::dialer(settings, &PlatformRoots::load(&settings.home), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::is_configuration;

    fn checked(text: &str) -> Result<String, Failure> {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("tollgate.toml");
        std::fs::write(&file, text).unwrap();
        let args = CheckArgs { file: Some(file) };
        let home = HomeOption {
            home: Some(place.path().join("home")),
            config: None,
        };
        let mut out = Vec::new();
        let done = print(&args, &home, &Options::default(), &mut out);
        assert!(!place.path().join("home").exists(), "nothing is made");
        done.map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_file_that_would_start_a_gate_is_valid() {
        let said =
            checked("listen = \"127.0.0.1:0\"\n[[price]]\nmodel = \"*\"\nmultiplier = 0.9\n");
        assert!(said.unwrap().ends_with("tollgate.toml is valid\n"));
    }

    #[test]
    fn a_maximum_that_no_machine_has_descriptors_for_is_noted() {
        let said = checked("max_connections = 1000000").unwrap();
        let possible = descriptors::limit().is_none_or(|limit| limit > 2_000_000);
        assert_eq!(
            said.contains("note: 1000000 connections"),
            !possible,
            "{said}"
        );
    }

    #[test]
    fn a_budget_that_a_restart_forgets_is_noted() {
        let budget = "[[budget]]\nname = \"a\"\nrequests = 1\nwindow = \"month\"\n";
        for (retain, noted) in [("7d", true), ("90d", false)] {
            let said = checked(&format!("retain = \"{retain}\"\n{budget}")).unwrap();
            assert_eq!(
                said.contains("note: the window of budget `a`"),
                noted,
                "{said}"
            );
        }
    }

    #[test]
    fn what_would_not_is_said_with_its_place() {
        for (text, parts) in [
            ("listen = \"x\"", ["listen", "`x`"]),
            (
                "\nlistem = 1",
                ["tollgate.toml:2:1", "did you mean `listen`?"],
            ),
            (
                "[[host]]\npattern = \"x y\"\naction = \"deny\"",
                ["tollgate.toml:2:11", "[[host]] 1: `x y`"],
            ),
            ("idle_timeout = \"0s\"", ["`idle-timeout`", "such as 5m"]),
            (
                "max_connections = 5\nmax_connections_per_client = 6",
                ["`max-connections-per-client`", "5 or less"],
            ),
            (
                "tls_cert = \"/none/c.pem\"\ntls_key = \"/none/k.pem\"",
                ["/none/c.pem", "read"],
            ),
            (
                "[[certificate]]\nhost = \"h\"\ncert = \"/none/c.pem\"\nkey = \"/none/k.pem\"",
                ["/none/c.pem", "read"],
            ),
            ("upstream_ca = [\"/none/r.pem\"]", ["/none/r.pem", ""]),
            (
                "ca_cert = \"/none/a.pem\"\nca_key = \"/none/k.pem\"",
                ["/none/", ""],
            ),
            ("prices_file = \"/none/p.json\"", ["/none/p.json", ""]),
        ] {
            let error = checked(text).unwrap_err();
            let mut said = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                said.push_str(&cause.to_string());
                source = cause.source();
            }
            for part in parts {
                assert!(said.contains(part), "{text}: {said}");
            }
            assert!(is_configuration(error.as_ref()), "{text}: {said}");
        }
    }
}
