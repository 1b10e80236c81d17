//! How texts are counted: bounded, close to what the tokenizer says of the whole, and whatever the text is.

use crate::usage::Sample;
use crate::usage::estimate::tokens_of;
use crate::usage::sample::MAX_SAMPLE;

fn sample(pieces: &[&str]) -> Sample {
    let mut sample = Sample::default();
    for piece in pieces {
        sample.push(piece.as_bytes());
    }
    sample
}

/// Prose, code and data of this repository.
const TEXTS: [(&str, &str); 3] = [
    ("prose", include_str!("../../README.md")),
    ("code", include_str!("tally.rs")),
    (
        "data",
        include_str!("../../tests/fixtures/bedrock/expected.json"),
    ),
];

#[test]
fn text_is_counted_as_the_tokenizer_counts_it() {
    assert_eq!(tokens_of(&sample(&[])), 0);
    assert_eq!(tokens_of(&sample(&["Paris"])), 1);
    assert_eq!(tokens_of(&sample(&["Name the capital", " of France."])), 6);
    let character = "é".as_bytes();
    let mut split = Sample::default();
    split.push(&character[..1]);
    split.push(&character[1..]);
    assert_eq!(tokens_of(&split), tokens_of(&sample(&["é"])));
}

#[test]
fn a_long_text_is_extrapolated_and_little_of_it_is_kept() {
    let line = "The quick brown fox jumps over the lazy dog. ";
    let per_line = tokens_of(&sample(&[line])) - 1;
    let mut long = Sample::default();
    for _ in 0..100_000 {
        long.push(line.as_bytes());
    }
    assert_eq!(long.kept().len(), MAX_SAMPLE);
    assert_eq!(long.bytes(), 4_500_000);
    let tokens = tokens_of(&long);
    let exact = 100_000 * per_line;
    assert!(
        tokens.abs_diff(exact) * 100 < exact,
        "{tokens} is not about {exact}"
    );
    assert_eq!(
        format!("{long:?}"),
        "Sample { kept: 65536, bytes: 4500000 }"
    );
}

#[test]
fn no_text_upsets_the_tokenizer() {
    for unit in [
        "a",
        "A",
        "aB",
        " ",
        "\n",
        " \n",
        "\t",
        "\r\n",
        "1",
        "'",
        "'s",
        "é",
        "\u{301}",
        "漢",
        "🎉",
        "\0",
        "\u{feff}",
        "\u{a0}",
        "<|endoftext|>",
        "/",
        "-",
        "=",
        "_x",
        "Aa1 ",
        "\u{200d}",
        "ﬃ",
    ] {
        let text = unit.repeat(MAX_SAMPLE / unit.len());
        assert!(tokens_of(&sample(&[&text])) > 0, "{unit:?}");
    }
    let mut bytes = Sample::default();
    bytes.push(&(0..=255).cycle().take(MAX_SAMPLE).collect::<Vec<u8>>());
    assert!(tokens_of(&bytes) > 0);
}

#[test]
fn cutting_a_text_into_pieces_changes_its_count_by_less_than_a_thousandth() {
    let tokenizer = tiktoken_rs::o200k_base_singleton();
    for (name, text) in TEXTS {
        let text: String = text.chars().cycle().take(MAX_SAMPLE / 4).collect();
        let whole = tokenizer.encode_ordinary(&text).len() as u64;
        let pieces = tokens_of(&sample(&[&text]));
        assert!(
            whole.abs_diff(pieces) * 1000 < whole,
            "{name}: {pieces} of {whole}"
        );
    }
}

#[test]
fn the_fixtures_are_estimated_close_to_what_they_report() {
    // Their text is short and their counts include what a model's template adds.
    for (text, reported) in [
        ("Paris is the capital of France.", 8),
        ("Paris is the capital.", 5),
        ("Paris.", 4),
        ("\nParis.", 6),
        ("Paris", 3),
    ] {
        let tokens = tokens_of(&sample(&[text]));
        assert!(
            tokens <= reported && tokens + 4 > reported,
            "{text:?}: {tokens} of {reported}"
        );
    }
}
