//! Secrets that are planted, and the search for them in everything that comes out, in whatever spelling.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Every planted secret begins like this, so that one search finds all of them.
pub(crate) const CANARY: &str = "c4n4ry";

/// What makes a canary as long as a real secret.
const TAIL: &str = "Zq8LmT2vXw5RbN7KpHs4";

/// The secrets of one test. Each is another, so that what is found tells where it was planted.
#[derive(Default)]
pub(crate) struct Canaries {
    places: Vec<String>,
    needles: Vec<(String, Vec<u8>)>,
}

impl Canaries {
    /// A secret for `place`.
    pub(crate) fn plant(&mut self, place: &str) -> String {
        let number = self.places.len();
        self.places.push(place.to_owned());
        format!("{CANARY}{number:03}{TAIL}")
    }

    /// The same in base64.
    pub(crate) fn plant_pair(&mut self, place: &str) -> String {
        STANDARD.encode(format!("user:{}", self.plant(place)))
    }

    /// Has `secret`, which is somebody's real one, looked for as well.
    pub(crate) fn watch(&mut self, what: &str, secret: &[u8]) {
        assert!(secret.len() >= 16, "{what} is too short to be looked for");
        for spelling in spellings(secret) {
            self.needles.push((what.to_owned(), spelling));
        }
    }

    /// Has the private key in a PEM file looked for: its text, and the number that is the secret.
    pub(crate) fn watch_key(&mut self, pem: &str) {
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        self.watch(
            "the text of a private key",
            text.get(..48).unwrap().as_bytes(),
        );
        let der = STANDARD.decode(&text).unwrap();
        // An OCTET STRING of 32 octets: the private key of P-256 (RFC 5915).
        let at = memchr::memmem::find(&der, &[4, 32]).expect("a key of P-256") + 2;
        self.watch("a private key", &der[at..at + 32]);
    }

    /// Where the secrets were planted that are found in `bytes`.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        let plain = bytes.to_ascii_lowercase();
        for text in [&plain, &decoded(&plain)] {
            for at in memchr::memmem::find_iter(text, CANARY.as_bytes()) {
                let digits = text.get(at + CANARY.len()..at + CANARY.len() + 3);
                let number =
                    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                let place = number.and_then(|number: usize| self.places.get(number));
                found.push(
                    place
                        .cloned()
                        .unwrap_or_else(|| "an unknown place".to_owned()),
                );
            }
        }
        for spelling in spellings(CANARY.as_bytes()).into_iter().skip(1) {
            if let Some(at) = memchr::memmem::find(bytes, &spelling) {
                let around = bytes.get(at..bytes.len().min(at + 48)).unwrap();
                found.push(format!("another spelling: {}", around.escape_ascii()));
            }
        }
        for (what, needle) in &self.needles {
            if memchr::memmem::find(bytes, needle).is_some() {
                found.push(what.clone());
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Fails if there is a secret in `bytes`.
    #[track_caller]
    pub(crate) fn assert_absent(&self, what: &str, bytes: &[u8]) {
        let found = self.found_in(bytes);
        if found.is_empty() {
            return;
        }
        let lower = bytes.to_ascii_lowercase();
        let context =
            memchr::memmem::find(&lower, CANARY.as_bytes()).map_or_else(String::new, |at| {
                let from = at.saturating_sub(200);
                bytes[from..bytes.len().min(at + 60)]
                    .escape_ascii()
                    .to_string()
            });
        panic!("{what} holds {found:#?}\n{context}");
    }

    /// Fails if there is a secret in a file below `directory`; returns how many octets were looked at.
    #[track_caller]
    pub(crate) fn assert_absent_below(&self, directory: &Path, except: &[&str]) -> usize {
        let mut octets = 0;
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                self.assert_absent("a file's name", name.as_bytes());
                if except.contains(&name.as_str()) {
                    continue;
                }
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    octets += bytes.len();
                    self.assert_absent(&path.display().to_string(), &bytes);
                }
            }
        }
        octets
    }
}

/// A text as it is, in hexadecimal, and in base64 whatever stands before it.
fn spellings(text: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = text.iter().map(|octet| format!("{octet:02x}")).collect();
    let mut spellings = vec![text.to_vec(), hex.to_uppercase().into(), hex.into()];
    for before in 0..3 {
        let padded = [&[0; 2][..before], text].concat();
        // Only what depends on nothing but the text: from its first whole sextet to its last.
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for encoded in [STANDARD.encode(&padded), URL_SAFE.encode(&padded)] {
            spellings.push(encoded.as_bytes()[from..to].to_vec());
        }
    }
    spellings.sort();
    spellings.dedup();
    // The text itself comes first.
    spellings.sort_by_key(|spelling| spelling != text);
    spellings
}

/// With every layer of percent-escapes removed.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    for &octet in bytes {
        out.push(octet);
        while let [.., b'%', high, low] = out.as_slice()
            && let Ok(text) = std::str::from_utf8(&[*high, *low])
            && let Ok(value) = u8::from_str_radix(text, 16)
        {
            out.truncate(out.len() - 3);
            out.push(value.to_ascii_lowercase());
        }
    }
    out
}

#[test]
fn a_canary_is_found_in_every_spelling() {
    let mut canaries = Canaries::default();
    canaries.plant("nowhere");
    let secret = canaries.plant("here");
    let upper = secret.to_uppercase();
    let percent: String = secret
        .bytes()
        .map(|octet| format!("%{octet:02X}"))
        .collect();
    let twice = percent.replace('%', "%25");
    for text in [&secret, &upper, &percent, &twice] {
        let found = canaries.found_in(format!("x={text}&y").as_bytes());
        assert!(found.contains(&"here".to_owned()), "{text}: {found:?}");
    }
    let hex: String = secret.bytes().map(|octet| format!("{octet:02x}")).collect();
    let mut texts = vec![hex.clone(), hex.to_uppercase()];
    for before in ["", "a", "ab", "abc"] {
        texts.push(STANDARD.encode(format!("{before}{secret}")));
        texts.push(URL_SAFE.encode(format!("{before}{secret}z")));
    }
    for text in texts {
        assert_eq!(canaries.found_in(text.as_bytes()).len(), 1, "{text}");
    }
    assert_eq!(canaries.found_in(b"no bird here").len(), 0);
}
