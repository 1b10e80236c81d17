//! The system's own store: a directory that a tool of the distribution reads, or the keychain of a Mac.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::super::export::alias;
use super::super::stores::{Machine, Step, StoreError, run};
use crate::net::ca_home::is_own_kind_of_root;
use crate::net::certificates::{certificate_pem, certificates_in, fingerprint};

pub(crate) fn install(
    machine: &Machine,
    ca_pem: &Path,
    root: &CertificateDer<'_>,
) -> Result<Vec<Step>, StoreError> {
    let anchors = match System::find(machine)? {
        System::Anchors(anchors) => anchors,
        System::Keychain(keychain) => {
            if keychain.holds(machine, root) {
                return Ok(Vec::new());
            }
            let add = ["add-trusted-cert", "-d", "-r", "trustRoot", "-k"];
            let mut command = run(&keychain.security, &add);
            command.extend([keychain.file.into_os_string(), ca_pem.into()]);
            return Ok(vec![Step::Run(command)]);
        }
    };
    if !anchors.files_of(std::slice::from_ref(root)).is_empty() {
        return Ok(Vec::new());
    }
    let to = anchors.directory.join(format!("{}.crt", alias(root)));
    Ok(vec![
        Step::Write {
            from: ca_pem.to_owned(),
            to,
            pem: certificate_pem(root),
        },
        Step::Run(run(&anchors.tool, anchors.after_adding)),
    ])
}

pub(crate) fn uninstall(
    machine: &Machine,
    roots: &[CertificateDer<'_>],
) -> Result<Vec<Step>, StoreError> {
    match System::find(machine)? {
        System::Anchors(anchors) => {
            let mut files = anchors.files_of(roots);
            files.retain(|file| roots.iter().any(|root| is_ours(root, file)));
            let update = Step::Run(run(&anchors.tool, anchors.after_removing));
            let update = (!files.is_empty()).then_some(update);
            Ok(files.into_iter().map(Step::Remove).chain(update).collect())
        }
        System::Keychain(keychain) => {
            let mut held = roots.to_vec();
            held.retain(|root| is_own_kind_of_root(root) && keychain.holds(machine, root));
            let delete = |root: &CertificateDer<'_>| {
                let mut command = run(&keychain.security, &["delete-certificate", "-t", "-Z"]);
                command.extend([digits(root).into(), keychain.file.clone().into()]);
                Step::Run(command)
            };
            Ok(held.iter().map(delete).collect())
        }
    }
}

/// Below the root directory: where the administrator's roots go, the tool that takes them from there, and its
/// arguments after adding and after removing. Debian's keeps a removed one unless it starts afresh.
type Place = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);
const ANCHORS: [Place; 4] = [
    (
        "usr/local/share/ca-certificates",
        "update-ca-certificates",
        &[],
        &["--fresh"],
    ),
    (
        "etc/pki/ca-trust/source/anchors",
        "update-ca-trust",
        &["extract"],
        &["extract"],
    ),
    (
        "etc/ca-certificates/trust-source/anchors",
        "update-ca-trust",
        &["extract"],
        &["extract"],
    ),
    (
        "etc/pki/trust/anchors",
        "update-ca-certificates",
        &[],
        &["--fresh"],
    ),
];

enum System {
    Anchors(Anchors),
    Keychain(Keychain),
}

struct Keychain {
    security: PathBuf,
    file: PathBuf,
}

struct Anchors {
    directory: PathBuf,
    tool: PathBuf,
    after_adding: &'static [&'static str],
    after_removing: &'static [&'static str],
}

impl Anchors {
    /// The files that hold nothing but these certificates.
    fn files_of(&self, roots: &[CertificateDer<'_>]) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .filter(|path| {
                let held = certificates_in(&fs::read(path).unwrap_or_default());
                !held.is_empty() && held.iter().all(|one| roots.contains(one))
            })
            .collect();
        files.sort();
        files
    }
}

impl System {
    fn find(machine: &Machine) -> Result<Self, StoreError> {
        if machine.macos {
            let security = machine.tool("security").ok_or(StoreError::NoTool {
                tool: "security",
                package: "it comes with macOS",
            })?;
            let file = machine.root.join("Library/Keychains/System.keychain");
            return Ok(Self::Keychain(Keychain { security, file }));
        }
        let mut places = ANCHORS.into_iter();
        let there = |(place, ..): &Place| machine.root.join(place).is_dir();
        let Some((place, tool, after_adding, after_removing)) = places.find(there) else {
            let places = ANCHORS.map(|(place, ..)| format!("/{place}"));
            return Err(StoreError::NoStore {
                store: "system store",
                looked_for: places.join(", "),
            });
        };
        let tool = machine.tool(tool).ok_or(StoreError::NoTool {
            tool,
            package: "install the package ca-certificates",
        })?;
        Ok(Self::Anchors(Anchors {
            directory: machine.root.join(place),
            tool,
            after_adding,
            after_removing,
        }))
    }
}

impl Keychain {
    fn holds(&self, machine: &Machine, root: &CertificateDer<'_>) -> bool {
        let mut list = run(&self.security, &["find-certificate", "-a", "-Z"]);
        list.push(self.file.clone().into());
        let said = machine.said(&list);
        said.is_some_and(|text| text.contains(&digits(root)))
    }
}

/// An operator's own root may have been put there by somebody else: then it is not ours to take out.
fn is_ours(root: &CertificateDer<'_>, file: &Path) -> bool {
    let stem = file.file_stem();
    is_own_kind_of_root(root) || stem.is_some_and(|stem| stem == alias(root).as_str())
}

fn digits(der: &[u8]) -> String {
    fingerprint(der).replace(':', "")
}
