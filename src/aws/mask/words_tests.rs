//! Words are found where a table of all of them, stepped through octet by octet, finds them: whatever the body, wherever
//! it is cut, with vectors and without.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::syntax;

use super::body::{RARE, sought_words};
use super::words::{LONG, SHORT, Words, fold};

static WORDS: LazyLock<Vec<&'static [u8]>> = LazyLock::new(sought_words);

/// What is tested, in both forms.
static QUICK: LazyLock<[Words<()>; 2]> = LazyLock::new(|| {
    let words = || WORDS.iter().map(|word| (*word, ())).collect();
    [
        Words::new(words(), RARE).unwrap(),
        Words::without_vectors(words(), RARE).unwrap(),
    ]
});

static PLAIN: LazyLock<dense::DFA<Vec<u32>>> = LazyLock::new(|| {
    let literal = |word: &&[u8]| word.iter().map(|octet| format!("\\x{octet:02x}")).collect();
    let patterns: Vec<String> = WORDS.iter().map(literal).collect();
    let octets = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(true);
    let builder = dense::Builder::new().syntax(octets).build_many(&patterns);
    builder.unwrap()
});

fn plainly(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    let input = regex_automata::Input::new(bytes);
    while let Some(end) = PLAIN
        .try_search_fwd(&input.clone().range(at..))
        .expect("no octet makes it give up")
    {
        at = end.offset();
        found.push(at - WORDS[end.pattern().as_usize()].len()..at);
    }
    found
}

fn quickly(words: &Words<()>, bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    words.find(bytes, |(), range| found.push(range));
    found
}

fn check(bytes: &[u8]) {
    let expected = plainly(bytes);
    for words in &*QUICK {
        let found = quickly(words, bytes);
        assert_eq!(found, expected, "{}", bytes.escape_ascii());
    }
}

/// Where in each word the part lies that it is looked for by.
fn place(word: &[u8]) -> usize {
    let lies = |part: &&[u8]| {
        word.windows(part.len())
            .position(|window| window.eq_ignore_ascii_case(part))
    };
    RARE.iter().find_map(lies).unwrap()
}

#[test]
fn no_part_and_no_word_begins_with_another() {
    let folded = |octets: &[u8]| octets.iter().copied().map(fold).collect::<Vec<_>>();
    for list in [RARE, &WORDS] {
        for (index, one) in list.iter().enumerate() {
            for other in &list[index + 1..] {
                let (one, other) = (folded(one), folded(other));
                assert!(!one.starts_with(&other) && !other.starts_with(&one));
            }
        }
    }
}

/// So that of two that overlap the first is come upon first.
#[test]
fn of_two_words_that_overlap_the_first_has_its_part_first() {
    for one in &*WORDS {
        for other in &*WORDS {
            for from in 1..one.len() {
                let both = other.len().min(one.len() - from);
                if one[from..from + both].eq_ignore_ascii_case(&other[..both]) {
                    assert!(place(one) <= from + place(other));
                    check(&[&one[..from], other].concat());
                    check(&[&one[..from + both], &other[both..]].concat());
                }
            }
        }
    }
}

#[test]
fn every_word_is_found_wherever_it_lies() {
    for word in &*WORDS {
        // Around the end of a piece, too.
        let ends = [40, SHORT + 5, LONG + 5];
        for before in ends.into_iter().flat_map(|end| end - 40..end) {
            let body = [&b"-".repeat(before), *word, b"="].concat();
            let expected = before..before + word.len();
            let found = QUICK.each_ref().map(|words| quickly(words, &body));
            assert_eq!(
                found,
                [const { Vec::new() }; 2].map(|_: Vec<()>| vec![expected.clone()])
            );
        }
    }
}

#[test]
fn every_pair_of_words_is_found_in_any_case() {
    for one in &*WORDS {
        for other in &*WORDS {
            check(&[*one, &other.to_ascii_uppercase()].concat());
            for shared in 1..other.len() {
                check(&[&one.to_ascii_uppercase(), &other[shared..], *other].concat());
            }
        }
    }
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else {
            all.push(path);
        }
    }
}

#[test]
fn fixtures_hold_the_same_words_wherever_they_are_cut() {
    let mut all = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    files(&folder, &mut all);
    assert!(all.len() > 50);
    for path in all {
        let body = std::fs::read(path).unwrap();
        check(&body);
        for cut in (0..body.len()).step_by(body.len() / 40 + 1) {
            check(&body[cut..]);
            check(&body[..cut]);
        }
    }
}

/// Words, what is left of them when they are cut, what stands between them, and anything else.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let word = || prop::sample::select(WORDS.clone());
    let cased = |word: &[u8], upper: &[bool]| -> Vec<u8> {
        let upper = upper.iter().cycle();
        let octets = word.iter().zip(upper).map(|(octet, upper)| match upper {
            true => octet.to_ascii_uppercase(),
            false => octet.to_ascii_lowercase(),
        });
        octets.collect()
    };
    let upper = || prop::collection::vec(any::<bool>(), 1..12);
    let between = [
        "=",
        "\": \"",
        "-",
        "_",
        ":",
        "/",
        "@",
        "token",
        "0123456789abcdef0123",
        "secret",
        "\\",
    ];
    prop_oneof![
        4 => (word(), upper()).prop_map(move |(word, upper)| cased(word, &upper)),
        2 => (word(), upper(), any::<prop::sample::Index>()).prop_map(move |(word, upper, at)| {
            let mut start = cased(word, &upper);
            start.truncate(at.index(word.len()));
            start
        }),
        2 => (word(), upper(), any::<prop::sample::Index>())
            .prop_map(move |(word, upper, at)| cased(&word[at.index(word.len())..], &upper)),
        2 => prop::sample::select(between.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0..60usize, prop::sample::select(vec![0, SHORT - 40, LONG - 40]))
            .prop_map(|(length, least)| vec![b'.'; length + least]),
    ]
}

proptest! {
    #[test]
    fn mixtures_hold_the_same_words(pieces in prop::collection::vec(pieces(), 0..30)) {
        check(&pieces.concat());
    }

    #[test]
    fn any_octets_hold_the_same_words(bytes in prop::collection::vec(any::<u8>(), 0..LONG + 400)) {
        check(&bytes);
    }

    /// So few different ones that words come about by themselves.
    #[test]
    fn few_octets_hold_the_same_words(
        bytes in prop::collection::vec(prop::sample::select(b":/\\:/aAbBsSkK-".to_vec()), 0..LONG + 400),
    ) {
        check(&bytes);
    }
}
