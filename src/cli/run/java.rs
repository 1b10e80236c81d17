//! What leads Java through the gate: system properties in `JAVA_TOOL_OPTIONS`, and a trust store in Java's own format.
//!
//! Java heeds none of the variables that others do, and reads roots neither from the system nor from PEM files. The store
//! is a JKS file of certificates alone, as `java.security.KeyStore` has always read it; without a password nothing in it
//! is verified, so it lies among the run's own files, which only their owner can write.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::net::private_file::{self, FileError};

/// The variable that every Java virtual machine reads.
pub(super) const OPTIONS: &str = "JAVA_TOOL_OPTIONS";

const FILE_NAME: &str = "roots.jks";

/// Begins a JKS file.
const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// An entry that is a certificate to be trusted.
const TRUSTED_CERTIFICATE: u32 = 2;

/// Writes the store with the roots of `bundle`; gives [`OPTIONS`] with ours before what the user has there, which wins.
pub(super) fn install(
    directory: &Path,
    bundle: &Path,
    gate: SocketAddr,
    exceptions: &str,
    user: Option<OsString>,
) -> Result<OsString, FileError> {
    let pem = private_file::read(bundle)?;
    let roots: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .filter_map(Result::ok)
        .collect();
    let path = directory.join(FILE_NAME);
    private_file::write_if_different(&path, &store(&roots))?;
    let mut options = OsString::from(format!(
        "-Dhttps.proxyHost={} -Dhttps.proxyPort={} -Dhttp.nonProxyHosts={} \
         -Djavax.net.ssl.trustStoreType=JKS ",
        gate.ip(),
        gate.port(),
        non_proxy_hosts(exceptions),
    ));
    options.push(word("-Djavax.net.ssl.trustStore=", path.as_os_str()));
    if let Some(user) = user.filter(|user| !user.is_empty()) {
        options.push(" ");
        options.push(user);
    }
    Ok(options)
}

/// One word: the machine splits at white space outside of quotes.
fn word(name: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(name);
    let text = value.to_string_lossy();
    let quote = match (text.contains(char::is_whitespace), text.contains('\'')) {
        (false, _) => "",
        (true, false) => "'",
        (true, true) => "\"",
    };
    word.push(quote);
    word.push(value);
    word.push(quote);
    word
}

/// The entries of `NO_PROXY` in Java's words: separated by `|`, a name covers nothing below it unless it says so.
fn non_proxy_hosts(exceptions: &str) -> String {
    let mut hosts = Vec::new();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:*".contains(c);
    for entry in exceptions
        .split(',')
        .filter(|entry| entry.chars().all(plain))
    {
        match entry.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => hosts.push(format!("[{address}]")),
            Ok(IpAddr::V4(address)) => hosts.push(address.to_string()),
            // A port cannot be said.
            Err(_) if entry.contains(':') || entry.is_empty() => {}
            Err(_) if entry.starts_with('*') => hosts.push(entry.to_owned()),
            Err(_) if entry.starts_with('.') => hosts.push(format!("*{entry}")),
            Err(_) => hosts.extend([entry.to_owned(), format!("*.{entry}")]),
        }
    }
    hosts.join("|")
}

/// A JKS file. Its end, a digest over the content and a password, is read only by who has a password.
fn store(roots: &[CertificateDer<'_>]) -> Vec<u8> {
    let roots = || {
        let lengths = roots.iter().map(|root| (root, u32::try_from(root.len())));
        lengths.filter_map(|(root, length)| Some((root, length.ok()?)))
    };
    let mut store = Vec::new();
    let number = |store: &mut Vec<u8>, value: u32| store.extend(value.to_be_bytes());
    number(&mut store, MAGIC);
    number(&mut store, VERSION);
    number(
        &mut store,
        u32::try_from(roots().count()).unwrap_or(u32::MAX),
    );
    for (at, (root, length)) in roots().enumerate() {
        number(&mut store, TRUSTED_CERTIFICATE);
        text(&mut store, &format!("root-{at}"));
        // When it was put there, which nobody asks.
        store.extend(0_u64.to_be_bytes());
        text(&mut store, "X.509");
        number(&mut store, length);
        store.extend_from_slice(root);
    }
    store
}

/// As `java.io.DataOutput` writes a short ASCII text.
fn text(store: &mut Vec<u8>, text: &str) {
    store.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    store.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_said_in_javas_words() {
        assert_eq!(
            non_proxy_hosts(
                "localhost,127.0.0.1,::1,corp.example,.corp,*.lan,10.0.0.0/8,a.example:8080,,x y"
            ),
            "localhost|*.localhost|127.0.0.1|[::1]|corp.example|*.corp.example|*.corp|*.lan"
        );
    }

    #[test]
    fn the_store_has_the_form_that_java_reads() {
        let root = CertificateDer::from(vec![1, 2, 3]);
        let expected = b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01\
            \0\0\0\x02\0\x06root-0\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x03\x01\x02\x03";
        assert_eq!(store(&[root]), expected);
    }

    #[test]
    fn the_users_options_come_last() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("my place");
        std::fs::create_dir(&directory).unwrap();
        let bundle = directory.join("bundle.pem");
        std::fs::write(&bundle, "").unwrap();
        let gate = "127.0.0.1:5380".parse().unwrap();
        let options = install(&directory, &bundle, gate, "a", Some("-Xmx1g".into())).unwrap();
        let options = options.to_str().unwrap();
        assert!(options.starts_with(
            "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=5380 -Dhttp.nonProxyHosts=a|*.a "
        ));
        let store = directory.join(FILE_NAME);
        assert!(
            options.ends_with(&format!("trustStore='{}' -Xmx1g", store.display())),
            "{options}"
        );
        assert_eq!(std::fs::read(store).unwrap()[..4], MAGIC.to_be_bytes());
    }
}
