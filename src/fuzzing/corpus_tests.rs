//! Every body over its seeds and over mutations of them, the same ones each time.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::{Random, TARGETS, Target};

/// Mutations of each target's seeds.
const MUTATIONS: usize = 256;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The seeds of a target, in the order of their names.
fn seeds(target: Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target.name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    seeds.sort();
    assert!(
        seeds.len() >= 2,
        "{} has only {} seeds",
        target.name,
        seeds.len()
    );
    seeds
}

/// Runs a body and says which input it was that broke a promise.
fn run(target: Target, what: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.body)(input))).is_err() {
        panic!(
            "{} breaks on {what}: b\"{}\"",
            target.name,
            input.escape_ascii()
        );
    }
}

/// A seed with a few bytes changed, put in, taken out, or repeated, or with a part of another one.
fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\r\n\t :;,=%&/?#\"\\{}[]0129aAzZ~\x7f\x80\xff";
    let mut input = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        let length = random.below(input.len() - at + 1).min(1 + random.below(16));
        let telling = TELLING[random.below(TELLING.len())];
        match random.below(7) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = telling,
            2 => input.insert(at, telling),
            3 => drop(input.drain(at..at + length)),
            4 => {
                let piece = input[at..at + length].to_vec();
                input.splice(at..at, piece);
            }
            5 => {
                let from = random.below(other.len() + 1);
                let to = other.len().min(from + 1 + random.below(64));
                input.splice(at..at, other[from..to].iter().copied());
            }
            _ => input.truncate(at),
        }
    }
    input
}

fn check(target: Target) {
    let seeds = seeds(target);
    for (name, seed) in &seeds {
        run(target, name, seed);
    }
    let mut random = Random::new(crc32fast::hash(target.name.as_bytes()).into());
    for _ in 0..MUTATIONS {
        let (name, seed) = &seeds[random.below(seeds.len())];
        let (_, other) = &seeds[random.below(seeds.len())];
        let input = mutate(seed, other, &mut random);
        run(target, &format!("a mutation of {name}"), &input);
    }
    for end in 0..3 {
        run(target, "almost nothing", &[b'1', b'1', b'1'][..end]);
    }
}

/// A test for each target, so that one that fails is named and the others run.
macro_rules! over_the_corpus {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(super::find(stringify!($name)).unwrap());
            }
        )*

        #[test]
        fn every_target_is_a_test_above() {
            let tested = BTreeSet::from([$(stringify!($name)),*]);
            assert_eq!(tested, TARGETS.iter().map(|target| target.name).collect());
        }
    };
}

over_the_corpus! {
    request_head response_head chunked requests responses forward request_target route sniff
    event_stream event_stream_repaired server_sent_events json content_coding
    credentials percent operation model_id endpoint user_agent sts diagnosis
    masked_head masked_target masked_body
    observer observer_repaired estimate
    configuration upstream_proxy no_proxy price_file price_book certificates
    proxy_reply screen exchange
}

#[test]
fn every_target_has_a_binary_and_seeds_and_nothing_else_has() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(fuzz.join(folder)).unwrap();
        entries
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let mut wanted: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(names("corpus"), wanted);
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &wanted {
        let binary = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(binary.contains(&format!("run(\"{name}\", data)")), "{name}");
        assert!(
            manifest.contains(&format!(
                "name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\""
            )),
            "{name}"
        );
    }
    wanted.insert("any".to_owned());
    assert_eq!(names("fuzz_targets"), wanted);
}

#[test]
fn a_body_that_breaks_is_noticed_and_its_input_is_shown() {
    let broken = Target {
        name: "broken",
        body: |data| assert!(!data.contains(&7)),
    };
    let caught = catch_unwind(|| run(broken, "a seed", b"a\x07b")).unwrap_err();
    let said = caught.downcast_ref::<String>().unwrap();
    assert!(
        said.contains("broken breaks on a seed") && said.contains(r"a\x07b"),
        "{said}"
    );
}

#[test]
fn the_seeds_of_whole_exchanges_get_as_far_as_they_look() {
    use crate::ledger::Outcome::{ClientAborted, Complete, Failed, Refused, UpstreamAborted};
    // How many requests reach an upstream, and how the exchanges end.
    let rows: &[(&str, usize, &[crate::ledger::Outcome])] = &[
        ("two-in-a-row", 2, &[Complete, Complete]),
        ("byte-by-byte", 1, &[Complete]),
        ("chunked", 1, &[Complete]),
        ("narrow", 2, &[Complete, Complete]),
        ("inside-connect", 2, &[Complete, Complete]),
        ("forward-plain", 2, &[Complete, Complete]),
        ("own-route", 1, &[Complete]),
        ("presigned", 1, &[Complete]),
        ("chat", 1, &[Complete]),
        ("cut-chunk", 1, &[UpstreamAborted]),
        ("no-answer", 1, &[Failed]),
        ("ambiguous-answer", 1, &[Failed]),
        ("bytes-behind", 2, &[Complete, Complete]),
        // The answer is whole before the request is, and is passed on.
        ("gone", 0, &[Complete]),
        ("smuggling", 0, &[Refused]),
        ("denied", 0, &[Refused]),
        // Our own page is no exchange.
        ("page", 0, &[]),
    ];
    let mut others = Vec::new();
    for (name, requests, outcomes) in rows {
        let seed = std::fs::read(corpus().join("exchange").join(name)).unwrap();
        let played = super::exchange::Played::of(&seed).unwrap();
        let ended: Vec<_> = played.records.iter().map(|record| record.outcome).collect();
        let answered = played.came().1 > 0;
        if (played.came().0, &ended[..]) != (*requests, *outcomes)
            || answered == (*outcomes == [ClientAborted])
        {
            others.push(format!("{name}: {} {ended:?} {answered}", played.came().0));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}
