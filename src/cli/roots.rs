//! The roots that a user trusted before: certificates of their own bundles that ours does not hold.
//!
//! A variable that replaces the roots must not lose those of a company's network. What is missing from our file is found
//! here by comparing certificates; whether a joined file is written, or the user is told, is for the commands.

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls_native_certs::load_certs_from_paths;

use super::environment::{Gets, files};
use crate::net::certificates::certificate_pem;

/// Certificates that the user's variables name and our file does not hold.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    /// They, as PEM.
    pub pem: String,
    /// Who named them: variable and file.
    pub from: Vec<(&'static str, PathBuf)>,
    /// What cannot be read: variable, file and why.
    pub unreadable: Vec<(&'static str, PathBuf, String)>,
}

/// Compares `ours` with what variables of this kind name.
pub fn missing(ours: &Path, gets: Gets, user: impl Fn(&str) -> Option<OsString>) -> Missing {
    let mut named: Vec<(&'static str, PathBuf)> = files(gets, &user)
        .into_iter()
        .map(|(name, file)| (name, PathBuf::from(file)))
        .collect();
    if gets == Gets::Bundle {
        let directories = user("SSL_CERT_DIR").unwrap_or_default();
        let directories =
            env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty());
        named.extend(directories.map(|path| ("SSL_CERT_DIR", path)));
    }
    if named.is_empty() {
        return Missing::default();
    }
    let mut known: HashSet<CertificateDer<'static>> = load_certs_from_paths(Some(ours), None)
        .certs
        .into_iter()
        .collect();
    let mut missing = Missing::default();
    for (name, path) in named {
        let found = if path.is_dir() {
            load_certs_from_paths(None, Some(&path))
        } else {
            load_certs_from_paths(Some(&path), None)
        };
        if let Some(error) = found.errors.first() {
            missing
                .unreadable
                .push((name, path.clone(), error.to_string()));
        }
        let before = missing.pem.len();
        for certificate in found.certs {
            let pem = certificate_pem(&certificate);
            if known.insert(certificate) {
                missing.pem.push_str(&pem);
            }
        }
        if missing.pem.len() > before {
            missing.from.push((name, path));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        certificate_pem(parameters.self_signed(&key).unwrap().der())
    }

    #[test]
    fn what_the_user_trusted_and_we_do_not_hold_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let [ours, theirs, other] = ["ours", "theirs", "other"].map(|name| dir.path().join(name));
        let [a, b, c] = ["a.example", "b.example", "c.example"].map(certificate);
        std::fs::write(&ours, format!("{a}{b}")).unwrap();
        std::fs::write(&theirs, format!("# corporate\n{b}{c}")).unwrap();
        std::fs::write(&other, &c).unwrap();
        let user = |name: &str| match name {
            "AWS_CA_BUNDLE" => Some(theirs.clone().into_os_string()),
            "CURL_CA_BUNDLE" => Some(other.clone().into_os_string()),
            "SSL_CERT_FILE" => Some(ours.clone().into_os_string()),
            "PIP_CERT" => Some(dir.path().join("gone").into_os_string()),
            _ => None,
        };
        let found = missing(&ours, Gets::Bundle, user);
        assert_eq!(found.pem, c);
        assert_eq!(found.from, [("AWS_CA_BUNDLE", theirs.clone())]);
        assert_eq!(found.unreadable.len(), 1, "{:?}", found.unreadable);
        assert_eq!(found.unreadable[0].0, "PIP_CERT");
        let nothing = missing(&ours, Gets::Root, user);
        assert!(nothing.pem.is_empty() && nothing.unreadable.is_empty());
    }
}
