//! `tollgate env`: the variables that lead programs to the gate, for a shell to read: `eval "$(tollgate env)"`.
//!
//! The same table as `tollgate run` uses (`environment`), for the gate that serves the home now, or for the address that
//! is configured when none does. What is changed of the user's own variables is said on standard error.

use std::net::SocketAddr;
use std::path::Path;

use super::environment::{Gets, Plan, Values, plan};
use super::quoting::Shell;
use super::terminal::to_stdout;
use super::{Failure, roots, say_to};
use crate::config::{self, HomeOption, Options};
use crate::net::ca_home::CA_PEM;
use crate::net::trust::BUNDLE_PEM;
use crate::running;

/// What `tollgate env` understands.
#[derive(Clone, Debug, clap::Args)]
pub struct EnvArgs {
    /// For whom [default: what $SHELL names, else sh]
    #[arg(long, value_name = "SHELL", value_enum)]
    pub shell: Option<Shell>,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
enum EnvError {
    #[error(
        "no gate serves {home}, and the configured port is chosen at its start; start one with `tollgate serve`"
    )]
    NoAddress { home: String },
    #[error("the value of {0} is not UTF-8; choose another --home")]
    NotText(&'static str),
}

/// Prints the settings.
///
/// # Errors
/// A configuration that cannot be used, or an address that nobody knows.
pub fn run(args: &EnvArgs, home: &HomeOption) -> Result<(), Failure> {
    let settings = config::load(&Options::from_environment()?, home)?;
    let running = running::find(&settings.home)?;
    let address = match running {
        Some(running) => running.listen,
        None if settings.listen.port() == 0 => {
            let home = settings.home.display().to_string();
            return Err(EnvError::NoAddress { home }.into());
        }
        None => settings.listen,
    };
    let user = |name: &str| std::env::var_os(name);
    let bundle = settings.home.join(BUNDLE_PEM);
    let root = settings.home.join(CA_PEM);
    let plan = plan(
        Values {
            proxy: &proxy_url(address, None),
            bundle: &bundle,
            root: &root,
            goes_on: settings.upstream_proxy.is_some(),
        },
        user,
    );
    let script = script(&plan, args.shell)?;
    let mut stderr = std::io::stderr().lock();
    if running.is_none() {
        say_to(
            &mut stderr,
            &format!("tollgate: no gate runs yet at {address}; start one with `tollgate serve`"),
        );
    }
    let asks = settings.policy.users.is_some() || settings.client_ca.is_some();
    if asks || running.is_some_and(|running| running.asks) {
        let note = "tollgate: the gate asks clients who they are: put USER:PASSWORD@ before the address, or use https:// and \
                    a client certificate";
        say_to(&mut stderr, note);
    }
    for note in &plan.notes {
        say_to(&mut stderr, &format!("tollgate: {note}"));
    }
    let files = [(Gets::Bundle, &bundle), (Gets::Root, &root)];
    // The first gate makes them.
    for (gets, ours) in files.into_iter().filter(|(_, ours)| ours.exists()) {
        for (name, path) in roots::missing(ours, gets, user).from {
            say_to(&mut stderr, &lost_roots(name, &path, ours));
        }
    }
    drop(stderr);
    to_stdout(|out| Ok(std::io::Write::write_all(out, script.as_bytes())?))?;
    Ok(())
}

/// The URL of a gate that listens at `address`, for clients on this machine; with the name they call themselves.
pub(super) fn proxy_url(mut address: SocketAddr, user: Option<&str>) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    match user {
        Some(user) => format!("http://{user}:x@{address}"),
        None => format!("http://{address}"),
    }
}

fn script(plan: &Plan, shell: Option<Shell>) -> Result<String, EnvError> {
    let guess = || Shell::guess(std::env::var("SHELL").ok().as_deref());
    let mut settings = Vec::with_capacity(plan.settings.len());
    for setting in &plan.settings {
        let value = match &setting.value {
            Some(value) => Some(value.to_str().ok_or(EnvError::NotText(setting.name))?),
            None => None,
        };
        settings.push((setting.name, value));
    }
    Ok(shell.unwrap_or_else(guess).script(&settings))
}

fn lost_roots(name: &str, path: &Path, ours: &Path) -> String {
    format!(
        "tollgate: {name} named {}, which holds certificates that {} does not; `tollgate run` joins them",
        path.display(),
        ours.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_one_that_clients_of_this_machine_can_reach() {
        for (listen, user, url) in [
            ("127.0.0.1:5380", None, "http://127.0.0.1:5380"),
            ("0.0.0.0:81", None, "http://127.0.0.1:81"),
            ("[::]:81", None, "http://[::1]:81"),
            (
                "10.1.2.3:81",
                Some("run-0a1b2c"),
                "http://run-0a1b2c:x@10.1.2.3:81",
            ),
        ] {
            assert_eq!(proxy_url(listen.parse().unwrap(), user), url);
        }
    }
}
