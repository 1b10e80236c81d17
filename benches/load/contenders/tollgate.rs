//! tollgate as a contender: its defaults, a home of its own, and a ledger that is looked at afterwards.

use std::path::Path;

use super::{LOG, Running, Stand, command, listening};
use crate::Failure;
use crate::ledger::Books;
use crate::messages::HOST;
use crate::process::{Process, free_port};

/// Starts a gate. The first start in a home makes its authority.
pub(crate) fn start(
    stand: &Stand<'_>,
    program: &Path,
    options: &[String],
) -> Result<Running, Failure> {
    let home = stand
        .home
        .clone()
        .unwrap_or_else(|| stand.directory.join("home"));
    let port = free_port()?;
    let mut command = command(stand, program);
    // What the environment says to a gate of the user is not for this one.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOLLGATE_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(&stand.directory)
        .arg("serve")
        .arg("--home")
        .arg(&home)
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--upstream-ca")
        .arg(&stand.identities.ca)
        .arg("--connect-to")
        .arg(format!("{HOST}:443:127.0.0.1:{}", stand.upstream))
        // More than the scenario with the most connections, which the default is below.
        .args(["--max-connections", "16384"])
        .args(options);
    let process = Process::start(&mut command, stand.cores, &stand.directory.join(LOG))?;
    let mut running = listening(process, port, &home.join("ca.pem"));
    running.books = Some(Books::new(&home));
    Ok(running)
}
