//! `tollgate doctor`: looks at everything that usually goes wrong, and says for each what was found and what mends it.
//!
//! It takes the options of `serve`, so that it judges the gate that would start, and changes nothing. Each check is a
//! small function in a file below: facts in, findings out. Finding nothing that fails is exit status 0.

mod aws_config;
mod environment;
mod finding;
mod ledger;
mod port;
#[cfg(test)]
mod tests;
mod trust;
mod upstream;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::SystemTime;

use clap::Args;
use time::OffsetDateTime;

use self::finding::{Finding, Level};
use super::terminal::{Line, to_stdout, write_json};
use super::{Failure, serve};
use crate::config::{self, HomeOption, Options, Settings};
use crate::net::ca::CertificateAuthority;
use crate::net::ca_home::CA_PEM;
use crate::net::trust::{BUNDLE_PEM, PlatformRoots};
use crate::running;

/// What `tollgate doctor` understands, besides the options of `serve`.
#[derive(Args)]
pub struct DoctorArgs {
    /// One JSON object for each finding
    #[arg(long)]
    json: bool,
    /// Ask nobody beyond this machine
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    home: HomeOption,
    #[command(flatten)]
    options: Options,
}

/// Something is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0} of these would keep calls from working; the lines with an arrow mend them")]
struct Ill(usize);

/// Runs the command.
///
/// # Errors
/// An output that cannot be written; findings that fail.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let findings = examine(args)?;
    to_stdout(|out| {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        for finding in &findings {
            if args.json {
                write_json(out, finding)?;
            } else {
                print(finding, colour, out)?;
            }
        }
        Ok(())
    })?;
    let failed = |finding: &&Finding| finding.level == Level::Fail;
    match findings.iter().filter(failed).count() {
        0 => Ok(()),
        failed => Err(Ill(failed).into()),
    }
}

fn examine(args: &DoctorArgs) -> Result<Vec<Finding>, Failure> {
    let file = match &args.home.config {
        Some(path) => path.display().to_string(),
        None if Path::new(config::load::DEFAULT_FILE).exists() => {
            format!("./{}", config::load::DEFAULT_FILE)
        }
        None => "no file, which is fine".to_owned(),
    };
    let settings = match config::load(&args.options, &args.home) {
        Ok(settings) => settings,
        Err(error) => {
            let why = chain(&error);
            return Ok(vec![
                Finding::fail("configuration", why).mend("correct it; nothing else was looked at"),
            ]);
        }
    };
    let mut findings = vec![Finding::ok("configuration", file)];
    let running = running::find(&settings.home).unwrap_or_default();
    findings.push(port::check(&settings, running));
    let now = SystemTime::now();
    let (authority, found) = trust::check(&settings, now);
    findings.extend(found);
    findings.extend(ledger::check(&settings.home));
    findings.extend(surroundings(&settings, running, authority.as_ref()));
    if args.offline {
        findings.push(Finding::ok("upstream", "not asked: --offline"));
    } else {
        let region = environment::region(&variables());
        let host = format!("bedrock-runtime.{region}.amazonaws.com");
        let platform = PlatformRoots::load(&settings.home);
        let asked = upstream::check(&settings, &platform, authority.as_ref(), &host);
        findings.extend(serve::to_the_end(async { Ok(asked.await) })?);
    }
    Ok(findings)
}

/// The environment that programs started here would see.
fn surroundings(
    settings: &Settings,
    running: Option<running::Running>,
    authority: Option<&CertificateAuthority>,
) -> Vec<Finding> {
    let variables = variables();
    let listen = running.map_or(settings.listen, |gate| gate.listen);
    let root = authority.and_then(|authority| authority.trusted().next());
    let ours = environment::Ours {
        listen,
        ca: settings.home.join(CA_PEM),
        bundle: settings.home.join(BUNDLE_PEM),
    };
    let holds = |file: &Path| environment::look(file, root);
    let mut findings = environment::check(&variables, &ours, &holds);
    findings.extend(aws_config::check(
        &variables,
        dirs::home_dir().as_deref(),
        &ours,
        &holds,
    ));
    findings
}

/// Variables whose text cannot be read are nothing that any client reads.
fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn print(finding: &Finding, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let (word, code) = match finding.level {
        Level::Ok => ("ok", "32"),
        Level::Warn => ("warn", "33"),
        Level::Fail => ("FAIL", "31"),
    };
    let (on, off) = if colour {
        (format!("\u{1b}[{code}m"), "\u{1b}[0m")
    } else {
        (String::new(), "")
    };
    let mut lines = finding.found.lines();
    let (check, first) = (finding.check, Line(lines.next().unwrap_or_default()));
    writeln!(out, "{on}{word:<5}{off} {check:<14} {first}")?;
    for line in lines {
        writeln!(out, "      {:<14} {}", "", Line(line))?;
    }
    if let Some(mend) = &finding.mend {
        writeln!(out, "      {:<14} → {}", "", Line(mend))?;
    }
    Ok(())
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// `moment` for people: the day.
fn day(moment: OffsetDateTime) -> String {
    moment.date().to_string()
}
