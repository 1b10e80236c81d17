//! `tollgate ca export`: what clients must trust, in the form they read. The key is in none of them.
//!
//! A file appears under its name only when it is whole, and everybody may read it: there is nothing secret in it.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry};

use super::{Opened, Source};
use crate::cli::Failure;
use crate::cli::terminal::{ReportError, to_stdout};
use crate::net::ca::CertificateAuthority;
use crate::net::certificates::fingerprint;
use crate::net::trust::{self, PlatformRoots};

/// Arguments of `export`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct ExportArgs {
    /// PEM, DER, a PKCS#12 truststore as Java reads it, or PEM together with the platform's roots
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Format,
    /// Write to this file, mode 0644 [default: standard output, as `-` says, too]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Password of the truststore; what is in it is no secret
    #[arg(long, value_name = "TEXT", default_value = "changeit", value_parser = ascii)]
    password: String,
    #[command(flatten)]
    source: Source,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What ca.pem holds, for settings that add a root
    Pem,
    /// The root alone, binary
    Der,
    /// Truststore for Java and others, binary
    P12,
    /// The platform's roots and ours, for settings that replace the roots
    Bundle,
}

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Binary data would go to a terminal.
    #[error("this format is binary and no use on a terminal; say where to write it with -o FILE")]
    BinaryToTerminal,
    /// The truststore cannot be made.
    #[error("cannot make the truststore: {0}; another --password may help")]
    Truststore(String),
}

pub(super) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let output = args
        .output
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    let binary = matches!(args.format, Format::Der | Format::P12);
    if binary && output.is_none() && io::stdout().is_terminal() {
        return Err(ExportError::BinaryToTerminal.into());
    }
    let Opened {
        settings,
        authority,
    } = args.source.open()?;
    let platform = match args.format {
        Format::Bundle => PlatformRoots::load(&settings.home),
        Format::Pem | Format::Der | Format::P12 => PlatformRoots::default(),
    };
    let contents = contents(args.format, &authority, &platform, &args.password)?;
    match output {
        None => Ok(to_stdout(|out| Ok(out.write_all(&contents)?))?),
        Some(path) => Ok(
            write_public(path, &contents).map_err(|source| ReportError::File {
                path: path.to_owned(),
                source,
            })?,
        ),
    }
}

fn contents(
    format: Format,
    authority: &CertificateAuthority,
    platform: &PlatformRoots,
    password: &str,
) -> Result<Vec<u8>, ExportError> {
    Ok(match format {
        Format::Pem => authority.trusted_pem().into_bytes(),
        Format::Der => {
            let root = authority.trusted().next();
            root.map(|root| root.to_vec()).unwrap_or_default()
        }
        Format::P12 => truststore(authority, password)?,
        Format::Bundle => trust::bundle(&authority.trusted_pem(), platform).into_bytes(),
    })
}

pub(super) fn truststore(
    authority: &CertificateAuthority,
    password: &str,
) -> Result<Vec<u8>, ExportError> {
    let failed = |error: p12_keystore::error::Error| ExportError::Truststore(error.to_string());
    let mut store = KeyStore::new();
    for root in authority.trusted() {
        let certificate = Certificate::from_der(root).map_err(failed)?;
        let entry = KeyStoreEntry::Certificate(certificate);
        store.add_entry(&alias(root), entry);
    }
    store.writer(password).write().map_err(failed)
}

/// Java opens no store whose password has anything else in it.
fn ascii(password: &str) -> Result<String, &'static str> {
    let fits = password.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    fits.then(|| password.to_owned())
        .ok_or("Java reads only passwords of printable ASCII")
}

/// How a root of ours is called where things have names: `tollgate-` and the beginning of its fingerprint.
pub(super) fn alias(root: &[u8]) -> String {
    let digits = fingerprint(root).replace(':', "").to_ascii_lowercase();
    let begin = digits.get(..16).unwrap_or(&digits);
    format!("tollgate-{begin}")
}

/// Writes `contents` under `path` at once, mode 0644. What is there already and is no regular file is written to as it
/// is.
pub(super) fn write_public(path: &Path, contents: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return fs::OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(contents);
    }
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = place
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".tollgate-")
        .tempfile_in(directory)?;
    file.write_all(contents)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    file.persist(&place)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use p12_keystore::Pkcs12ImportPolicy;

    use super::*;

    #[test]
    fn every_format_holds_the_roots_and_no_key() {
        let home = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let domains = ["amazonaws.com".to_owned()];
        CertificateAuthority::open_or_create(home.path(), &domains, now).unwrap();
        let authority = CertificateAuthority::rotate(home.path(), &domains, true, now).unwrap();
        let platform = PlatformRoots::default();
        let export = |format| contents(format, &authority, &platform, "changeit").unwrap();

        let pem = String::from_utf8(export(Format::Pem)).unwrap();
        assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(pem.as_bytes(), export(Format::Bundle));
        assert!(!pem.contains("PRIVATE"));
        assert_eq!(
            export(Format::Der),
            authority.trusted().next().unwrap().as_ref()
        );

        let p12 = export(Format::P12);
        let read = KeyStore::from_pkcs12(&p12, "changeit", Pkcs12ImportPolicy::Strict).unwrap();
        let names: Vec<&String> = read.entries().map(|(name, _)| name).collect();
        let mut wanted: Vec<String> = authority.trusted().map(|root| alias(root)).collect();
        wanted.sort();
        assert_eq!(names, wanted.iter().collect::<Vec<_>>());
        assert!(read.private_key_chain().is_none());
        assert!(KeyStore::from_pkcs12(&p12, "other", Pkcs12ImportPolicy::Strict).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn an_exported_file_is_for_everybody_and_whole() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.der");
        write_public(&path, b"one").unwrap();
        write_public(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        write_public(Path::new("/dev/null"), b"gone").unwrap();
    }

    #[test]
    fn a_password_is_one_that_java_reads() {
        assert_eq!(ascii("pa\"s s~").as_deref(), Ok("pa\"s s~"));
        for wrong in ["p\u{e4}", "a\tb", "\u{7f}"] {
            assert!(ascii(wrong).is_err(), "{wrong:?}");
        }
    }
}
