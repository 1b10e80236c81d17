//! NSS databases: where Firefox, and Chromium on Linux, keep the user's roots. `certutil` changes them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::super::export::alias;
use super::super::stores::{Machine, Step, StoreError, run};
use crate::net::certificates::certificates_in;

/// Below the user's home: Chromium's, and the folders of Firefox's profiles.
const SHARED: &str = ".pki/nssdb";
const PROFILES: [&str; 3] = [
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
];

/// What every database of today's format has.
const DATABASE: &str = "cert9.db";

pub(crate) fn install(
    machine: &Machine,
    ca_pem: &Path,
    root: &CertificateDer<'_>,
) -> Result<Vec<Step>, StoreError> {
    let certutil = certutil(machine)?;
    let databases = databases(machine)?;
    let missing = databases
        .iter()
        .filter(|database| !holds(machine, &certutil, database, root));
    Ok(missing
        .map(|database| {
            let mut command = run(&certutil, &["-A", "-t", "C,,", "-n"]);
            command.extend([alias(root).into(), "-i".into(), ca_pem.into()]);
            Step::Run(with_database(command, database))
        })
        .collect())
}

pub(crate) fn uninstall(
    machine: &Machine,
    roots: &[CertificateDer<'_>],
) -> Result<Vec<Step>, StoreError> {
    let certutil = certutil(machine)?;
    let mut steps = Vec::new();
    for database in databases(machine)? {
        for root in roots {
            if holds(machine, &certutil, &database, root) {
                let mut command = run(&certutil, &["-D", "-n"]);
                command.push(alias(root).into());
                steps.push(Step::Run(with_database(command, &database)));
            }
        }
    }
    Ok(steps)
}

fn holds(machine: &Machine, certutil: &Path, database: &Path, root: &CertificateDer<'_>) -> bool {
    let mut command = run(certutil, &["-L", "-a", "-n"]);
    command.push(alias(root).into());
    let said = machine.said(&with_database(command, database));
    said.is_some_and(|pem| certificates_in(pem.as_bytes()).contains(root))
}

fn with_database(mut command: Vec<OsString>, database: &Path) -> Vec<OsString> {
    let mut place = OsString::from("sql:");
    place.push(database);
    command.extend(["-d".into(), place]);
    command
}

fn certutil(machine: &Machine) -> Result<PathBuf, StoreError> {
    machine.tool("certutil").ok_or(StoreError::NoTool {
        tool: "certutil",
        package: "install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora) or nss (Homebrew), or import ca.pem by \
                  hand in the browser's settings",
    })
}

fn databases(machine: &Machine) -> Result<Vec<PathBuf>, StoreError> {
    let home = machine.user_home.clone().unwrap_or_default();
    let profiles = PROFILES
        .iter()
        .flat_map(|place| fs::read_dir(home.join(place)).into_iter().flatten())
        .flatten()
        .map(|entry| entry.path());
    let mut found: Vec<PathBuf> = std::iter::once(home.join(SHARED))
        .chain(profiles)
        .filter(|directory| directory.join(DATABASE).is_file())
        .collect();
    found.sort();
    if found.is_empty() {
        let places = std::iter::once(SHARED).chain(PROFILES);
        let places: Vec<String> = places
            .map(|place| home.join(place).display().to_string())
            .collect();
        return Err(StoreError::NoStore {
            store: "NSS database",
            looked_for: places.join(", "),
        });
    }
    Ok(found)
}
