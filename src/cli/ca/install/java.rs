//! Java's own store, `cacerts`, which `keytool` changes. Programs started with `-Djavax.net.ssl.trustStore` read another.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::super::export::alias;
use super::super::stores::{Machine, Step, StoreError, run};
use crate::net::certificates::certificates_in;

/// Below the home of a Java: since 9, and before.
const STORES: [&str; 2] = ["lib/security/cacerts", "jre/lib/security/cacerts"];

/// What every Java is delivered with.
const PASSWORD: &str = "changeit";

struct Java {
    keytool: PathBuf,
    cacerts: PathBuf,
}

pub(crate) fn install(
    machine: &Machine,
    ca_pem: &Path,
    root: &CertificateDer<'_>,
) -> Result<Vec<Step>, StoreError> {
    let java = Java::find(machine)?;
    if java.holds(machine, root) {
        return Ok(Vec::new());
    }
    let mut command = run(&java.keytool, &["-importcert", "-noprompt", "-file"]);
    command.push(ca_pem.into());
    Ok(vec![Step::Run(java.about(command, root))])
}

pub(crate) fn uninstall(
    machine: &Machine,
    roots: &[CertificateDer<'_>],
) -> Result<Vec<Step>, StoreError> {
    let java = Java::find(machine)?;
    let held = roots.iter().filter(|root| java.holds(machine, root));
    Ok(held
        .map(|root| Step::Run(java.about(run(&java.keytool, &["-delete"]), root)))
        .collect())
}

impl Java {
    fn find(machine: &Machine) -> Result<Self, StoreError> {
        let of_path = || {
            let java = machine.tool("java")?.canonicalize().ok()?;
            Some(java.parent()?.parent()?.to_owned())
        };
        let home = machine.java_home.clone().or_else(of_path);
        let home = home.ok_or(StoreError::NoTool {
            tool: "java",
            package: "set JAVA_HOME",
        })?;
        let places = STORES.map(|place| home.join(place));
        let Some(cacerts) = places.iter().find(|file| file.is_file()) else {
            let places = places.map(|place| place.display().to_string());
            return Err(StoreError::NoStore {
                store: "Java store",
                looked_for: places.join(", "),
            });
        };
        let own = home.join("bin/keytool");
        let keytool = if own.is_file() {
            own
        } else {
            machine.tool("keytool").ok_or(StoreError::NoTool {
                tool: "keytool",
                package: "it comes with a Java runtime; set JAVA_HOME to one",
            })?
        };
        Ok(Self {
            keytool,
            cacerts: cacerts.clone(),
        })
    }

    fn holds(&self, machine: &Machine, root: &CertificateDer<'_>) -> bool {
        let command = self.about(run(&self.keytool, &["-list", "-rfc"]), root);
        let said = machine.said(&command);
        said.is_some_and(|text| certificates_in(text.as_bytes()).contains(root))
    }

    fn about(&self, mut command: Vec<OsString>, root: &CertificateDer<'_>) -> Vec<OsString> {
        command.extend([
            "-alias".into(),
            alias(root).into(),
            "-keystore".into(),
            self.cacerts.clone().into(),
            "-storepass".into(),
            PASSWORD.into(),
        ]);
        command
    }
}
