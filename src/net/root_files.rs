//! Roots as they lie in files and directories, each decoded once.
//!
//! A platform has its roots in one file and again, one by one, in a directory. What stands in a directory is compared with
//! the file's text first, which is a fraction of the work of decoding it. A file that is nothing but certificates is decoded
//! here, where that costs a fifth. Any other is rustls-native-certs', and so is what counts as an error. RFC 7468.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use rustls::pki_types::CertificateDer;
use rustls_native_certs::{CertificateResult, load_certs_from_paths};

use super::private_file;

/// The certificates of `file`, and those that `directories` add to them; some may be there twice.
pub(crate) fn load(file: Option<&Path>, directories: &[PathBuf]) -> CertificateResult {
    let text = file.and_then(|file| private_file::read(file).ok());
    let text = text.unwrap_or_default();
    let mut all = CertificateResult::default();
    match certificates(&text) {
        Some(certificates) => all.certs = certificates,
        None => all = load_certs_from_paths(file, None),
    }
    let mut seen = Seen {
        sections: sections(&text).collect(),
        files: HashSet::new(),
    };
    if let Some(metadata) = file.and_then(|file| fs::metadata(file).ok()) {
        seen.is_new(&metadata);
    }
    for directory in directories {
        match seen.what_is_new_in(directory) {
            Ok(paths) => {
                for path in paths {
                    add(&mut all, load_certs_from_paths(Some(&path), None));
                }
            }
            // Whoever names the errors meets the same one.
            Err(_) => add(&mut all, load_certs_from_paths(None, Some(directory))),
        }
    }
    all
}

fn add(all: &mut CertificateResult, more: CertificateResult) {
    all.certs.extend(more.certs);
    all.errors.extend(more.errors);
}

/// What need not be decoded again.
struct Seen<'text> {
    sections: BTreeSet<&'text [u8]>,
    /// Device and inode: directories are full of links.
    files: HashSet<(u64, u64)>,
}

impl Seen<'_> {
    /// The files of a directory that hold, or may hold, what was not seen before.
    fn what_is_new_in(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut new = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let is_known = match fs::metadata(&path) {
                Ok(metadata) => {
                    !metadata.is_file() || !self.is_new(&metadata) || self.is_known(&path)
                }
                // A link that leads nowhere.
                Err(error) => error.kind() == ErrorKind::NotFound,
            };
            if !is_known {
                new.push(path);
            }
        }
        Ok(new)
    }

    /// Whether this file is looked at for the first time; always, where files cannot be told apart.
    fn is_new(&mut self, metadata: &Metadata) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            self.files.insert((metadata.dev(), metadata.ino()))
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            true
        }
    }

    /// Whether the file is one certificate, as it stands elsewhere.
    fn is_known(&self, path: &Path) -> bool {
        private_file::read(path).is_ok_and(|text| self.sections.contains(text.trim_ascii()))
    }
}

/// The certificates of a text that has no sections but theirs, each sound; `None` if it has none, or others.
fn certificates(text: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut base64 = Vec::new();
    let decoded = sections(text).map(|section| {
        let lines = section.strip_prefix(b"-----BEGIN CERTIFICATE-----")?;
        let lines = lines.strip_suffix(END)?;
        base64.clear();
        let mut from = 0;
        for to in memchr::memchr_iter(b'\n', lines).chain([lines.len()]) {
            base64.extend_from_slice(lines.get(from..to)?.trim_ascii());
            from = to + 1;
        }
        let der = STANDARD.decode(&base64).ok()?;
        Some(CertificateDer::from(der))
    });
    let certificates: Vec<_> = decoded.collect::<Option<_>>()?;
    (!certificates.is_empty()).then_some(certificates)
}

const END: &[u8] = b"-----END CERTIFICATE-----";

/// A text cut behind every certificate. What is between two is in neither, unless it is a section of another kind.
fn sections(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (begin, end) = (Finder::new(b"-----BEGIN "), Finder::new(END));
    let mut rest = text;
    std::iter::from_fn(move || {
        let begin = begin.find(rest)?;
        let (_, from) = rest.split_at_checked(begin)?;
        let end = end.find(from).map_or(from.len(), |end| end + END.len());
        let (section, after) = from.split_at_checked(end)?;
        rest = after;
        Some(section)
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::net::certificates::{certificate_pem, fingerprint};

    fn root(name: &str) -> Vec<u8> {
        let parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    /// The prints of what is found, in their order, and what is complained of.
    fn found(file: Option<&Path>, directories: &[PathBuf]) -> (Vec<String>, Vec<String>) {
        let found = load(file, directories);
        let mut prints: Vec<_> = found.certs.iter().map(|der| fingerprint(der)).collect();
        prints.sort();
        prints.dedup();
        let errors = found.errors.iter().map(ToString::to_string).collect();
        (prints, errors)
    }

    fn prints(roots: &[&Vec<u8>]) -> Vec<String> {
        let mut prints: Vec<_> = roots.iter().map(|der| fingerprint(der)).collect();
        prints.sort();
        prints
    }

    #[test]
    fn roots_of_the_file_and_of_the_directory_are_found() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("certs");
        fs::create_dir(&directory).unwrap();
        let [one, two, three] = ["one", "two", "three"].map(root);
        let file = home.path().join("all.crt");
        let text = format!("# one\n{}{}", certificate_pem(&one), certificate_pem(&two));
        fs::write(&file, &text).unwrap();
        for (name, text) in [
            ("one.pem", format!("{}\n", certificate_pem(&one))),
            ("one_and_two.pem", text),
            ("three.pem", certificate_pem(&three)),
            ("README", "no certificate".to_owned()),
        ] {
            fs::write(directory.join(name), text).unwrap();
        }
        #[cfg(unix)]
        for (target, name) in [
            (directory.join("three.pem"), "3.0"),
            (file.clone(), "all.crt"),
            (home.path().join("none"), "dangling"),
            (home.path().to_owned(), "up"),
        ] {
            std::os::unix::fs::symlink(target, directory.join(name)).unwrap();
        }
        let directories = [directory];
        let all = (prints(&[&one, &two, &three]), Vec::new());
        assert_eq!(found(Some(&file), &directories), all);
        let of_directory = found(None, &directories).0;
        for print in &all.0 {
            assert!(of_directory.contains(print), "{of_directory:?}");
        }
    }

    #[test]
    fn this_machines_roots_are_those_that_rustls_native_certs_finds() {
        let directory = PathBuf::from("/etc/ssl/certs");
        let file = directory.join("ca-certificates.crt");
        let file = file.exists().then_some(file);
        let expected = load_certs_from_paths(file.as_deref(), Some(&directory));
        let mut found = load(file.as_deref(), &[directory]);
        found.certs.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        found.certs.dedup();
        assert_eq!(found.certs, expected.certs);
        assert_eq!(found.errors.len(), expected.errors.len());
    }

    #[test]
    fn a_root_that_stands_beside_a_known_one_is_found() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("certs");
        fs::create_dir(&directory).unwrap();
        let [one, two] = ["one", "two"].map(root);
        let file = home.path().join("all.crt");
        fs::write(&file, certificate_pem(&one)).unwrap();
        let both = certificate_pem(&one) + &certificate_pem(&two);
        fs::write(directory.join("both.pem"), both).unwrap();
        let (found, errors) = found(Some(&file), &[directory]);
        assert!(found.contains(&fingerprint(&two)) && errors.is_empty());
    }

    #[test]
    fn what_is_broken_is_named_wherever_it_stands() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("certs");
        fs::create_dir(&directory).unwrap();
        let one = root("one");
        let pem = certificate_pem(&one);
        let file = home.path().join("all.crt");
        fs::write(&file, &pem).unwrap();
        let mut cut = pem.clone();
        writeln!(cut, "-----BEGIN CERTIFICATE-----\nTUlJ").unwrap();
        fs::write(directory.join("cut.pem"), cut).unwrap();
        fs::write(
            directory.join("not_base64.pem"),
            pem.replacen("MII", "!!!", 1),
        )
        .unwrap();
        let missing = home.path().join("missing");
        let (roots, errors) = found(Some(&file), &[directory, missing]);
        assert!(roots.contains(&fingerprint(&one)));
        assert_eq!(errors.len(), 3, "{errors:?}");
        let (none, errors) = found(Some(&home.path().join("missing")), &[]);
        assert!(none.is_empty() && errors.len() == 1, "{errors:?}");
    }
}
