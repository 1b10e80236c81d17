//! The house as it is described is the house as it is built: every file says what it is for, the pure rooms touch
//! nothing of the world, and imports go downwards only.

use std::path::{Path, PathBuf};

/// Rooms that may know bytes and nothing else.
const PURE: [&str; 4] = ["wire", "aws", "usage", "spend"];

/// What would tie a pure room to the world.
const WORLD: [&str; 9] = [
    "tokio",
    "std::fs",
    "std::env",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "SocketAddr",
    "SystemTime::now",
    "Instant::now",
];

/// Each room and what it may import of ours, besides itself.
const DOWNWARDS: [(&str, &[&str]); 9] = [
    ("wire", &[]),
    ("aws", &["wire"]),
    ("usage", &["aws", "wire"]),
    ("spend", &["usage", "aws", "wire"]),
    ("ledger", &["spend", "usage", "aws", "wire"]),
    ("metrics", &["ledger", "spend", "usage", "aws"]),
    ("net", &["config", "aws", "wire"]),
    (
        "proxy",
        &[
            "net",
            "config",
            "metrics",
            "telemetry",
            "ledger",
            "spend",
            "usage",
            "aws",
            "wire",
        ],
    ),
    // It tells what it is handed, and reaches for nothing itself.
    ("admin", &["config", "metrics", "wire"]),
];

/// The simulator judges the gate and must not share its eyes. Only its sample client may know the gate, and it does not.
const NOT_FOR_THE_SIMULATOR: [&str; 10] = [
    "wire", "aws", "usage", "spend", "ledger", "net", "proxy", "config", "cli", "app",
];

/// What a field is called that holds a secret, or may.
const SECRET_NAMES: [&str; 12] = [
    "authorization",
    "cookie",
    "credentials",
    "passphrase",
    "password",
    "private_key",
    "secret",
    "session_token",
    "signature",
    "target",
    "token",
    "url",
];

/// Fields that are called so and hold none: a host with its port, a URL without its user, the password of a truststore,
/// which is published.
const NO_SECRETS: [(&str, &str); 3] = [
    ("ProxyFailure", "target"),
    ("Note", "url"),
    ("ExportArgs", "password"),
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The room: the folder below `src`, or the file itself.
    fn room(&self) -> String {
        let first = self.path.components().next().unwrap();
        first
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned()
    }

    fn is_test(&self) -> bool {
        let is_test = |part: &str| part == "tests.rs" || part.contains("_tests");
        self.path
            .components()
            .any(|part| is_test(part.as_os_str().to_str().unwrap()))
    }

    /// The code before the file's own tests, without comments, each line with its number.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self
            .text
            .find("#[cfg(test)]\nmod tests {")
            .unwrap_or(self.text.len());
        let lines = self.text.get(..tests).unwrap().lines().enumerate();
        lines
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The rooms that a line imports from.
    fn imports(line: &str) -> Vec<&str> {
        let after = line.split("crate::").skip(1);
        after
            .map(|rest| {
                rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap()
            })
            .collect()
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for source in sources() {
        let opening = source.text.lines().next().unwrap_or_default();
        assert!(
            opening.starts_with("//! ") && opening.len() > 20,
            "{}: {opening:?}",
            source.path.display()
        );
    }
}

#[test]
fn the_pure_rooms_touch_nothing_of_the_world() {
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| PURE.contains(&source.room().as_str()) && !source.is_test())
    {
        for (at, line) in source.code() {
            found.extend(
                WORLD
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{at} names {word}", source.path.display())),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn imports_go_downwards_only() {
    let rooms: Vec<String> = sources().iter().map(Source::room).collect();
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let room = source.room();
        let Some((_, allowed)) = DOWNWARDS.iter().find(|(name, _)| *name == room) else {
            continue;
        };
        for (at, line) in source.code() {
            for import in Source::imports(line) {
                let ours = rooms.iter().any(|room| room == import);
                if ours && import != room && !allowed.contains(&import) {
                    found.push(format!("{}:{at} imports {import}", source.path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_simulator_reads_with_eyes_of_its_own() {
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.room() == "simulator")
    {
        for (at, line) in source.code() {
            let imports = Source::imports(line).into_iter();
            let imports = imports.filter(|import| NOT_FOR_THE_SIMULATOR.contains(import));
            found.extend(
                imports.map(|import| format!("{}:{at} imports {import}", source.path.display())),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Files of the rooms that read peers which read nothing themselves.
const NO_READERS: [&str; 2] = ["mod", "http2"];

#[test]
fn every_reader_of_a_peer_is_fuzzed() {
    let all = sources();
    let bodies: String = all
        .iter()
        .filter(|source| source.room() == "fuzzing" && !source.is_test())
        .map(|source| source.text.to_lowercase())
        .collect();
    let names = |name: &str| bodies.contains(&name.replace('_', "")) || bodies.contains(name);
    let mut found = Vec::new();
    for source in &all {
        let name = source.path.file_stem().unwrap().to_str().unwrap();
        let reads = ["wire", "aws"].contains(&source.room().as_str()) && !source.is_test();
        if reads && !NO_READERS.contains(&name) && !names(name) {
            found.push(format!("{} has no fuzz target", source.path.display()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(!names("a_reader_that_is_not_there"));
}

#[test]
fn nothing_leans_on_the_fuzzers() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.room() != "fuzzing") {
        for (at, line) in source.code() {
            if Source::imports(line).contains(&"fuzzing") {
                found.push(format!("{}:{at}", source.path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    let library = sources()
        .into_iter()
        .find(|source| source.path == Path::new("lib.rs"));
    let gated = "#[cfg(any(test, feature = \"fuzzing\"))]\n#[doc(hidden)]\npub mod fuzzing;";
    assert!(
        library.unwrap().text.contains(gated),
        "the fuzzers are in every build"
    );
}

#[test]
fn no_type_that_holds_a_secret_has_its_debug_derived() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (of, name, what) in derived_fields(source.code().map(|(_, line)| line)) {
            let is_text = ["String", "str", "u8", "Bytes"]
                .iter()
                .any(|kind| what.contains(kind));
            let known = NO_SECRETS.contains(&(of.as_str(), name.as_str()));
            if is_text && SECRET_NAMES.contains(&name.as_str()) && !known {
                found.push(format!("{}: {of}.{name}: {what}", source.path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Type, field and the field's type, of every type whose Debug is derived.
fn derived_fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String, String)> {
    let mut fields = Vec::new();
    let (mut derives, mut inside) = (false, None);
    for line in lines {
        if line.starts_with("#[derive(") {
            derives = line.contains("Debug");
        } else if line == "}" {
            inside = None;
        } else if let Some(of) = &inside {
            let line = line.trim().trim_end_matches(',');
            if let Some((name, what)) = line.split_once(": ") {
                let name = name.rsplit(' ').next().unwrap_or_default();
                fields.push((String::clone(of), name.to_owned(), what.to_owned()));
            }
        } else if let Some(at) = line.find("struct ").or_else(|| line.find("enum "))
            && !line.starts_with(' ')
        {
            let name = line
                .get(at..)
                .and_then(|rest| rest.split(' ').nth(1))
                .unwrap_or_default();
            let end = name
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(name.len());
            let name = name.get(..end).unwrap_or_default();
            inside = (derives && line.ends_with('{')).then(|| name.to_owned());
            derives = false;
        }
    }
    fields
}

#[test]
fn the_rules_above_can_fail() {
    let derived = "#[derive(Clone, Debug)]\npub(super) struct Call<'a> {\n    pub(super) token: Option<&'a str>,\n}";
    let expected = ["Call", "token", "Option<&'a str>"]
        .map(str::to_owned)
        .into();
    assert_eq!(derived_fields(derived.lines()), [expected]);
    let all: Vec<_> = sources()
        .iter()
        .flat_map(|source| derived_fields(source.code().map(|(_, line)| line)))
        .collect();
    assert!(all.len() > 200, "only {} fields", all.len());
    for (of, name) in NO_SECRETS {
        assert!(
            all.iter().any(|field| field.0 == of && field.1 == name),
            "{of}.{name} is gone"
        );
    }
    let rooms: Vec<String> = sources().iter().map(Source::room).collect();
    for (room, below) in DOWNWARDS {
        assert!(rooms.iter().any(|known| known == room), "{room} is gone");
        assert!(
            below
                .iter()
                .all(|below| rooms.iter().any(|known| known == below)),
            "{below:?}"
        );
    }
    assert_eq!(Source::imports("use crate::{net};").len(), 1);
    assert_eq!(
        Source::imports("use crate::net::pool; // crate::aws"),
        ["net", "aws"]
    );
    let grouped = sources()
        .into_iter()
        .find(|source| source.text.contains("use crate::{"));
    assert!(
        grouped.is_none(),
        "grouped imports of rooms hide from the rules: {}",
        grouped.unwrap().path.display()
    );
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source {
                    path: path.strip_prefix(&root).unwrap().to_owned(),
                    text,
                });
            }
        }
    }
    assert!(found.len() > 50, "only {} files", found.len());
    found
}
