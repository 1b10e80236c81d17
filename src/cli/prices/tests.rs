//! What the commands print.

use clap::Parser;

use super::*;
use crate::spend::litellm::PriceFile;
use crate::spend::operator::{Overrides, PriceEntry};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: PricesArgs,
}

fn parsed(words: &[&str]) -> PricesArgs {
    let words = std::iter::once(&"prices").chain(words);
    Cli::try_parse_from(words).unwrap().args
}

fn listed(book: &PriceBook, filter: Option<&str>, json: bool) -> String {
    let mut out = Vec::new();
    print_list(book, filter, json, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn explained(book: &PriceBook, words: &[&str]) -> String {
    let words: Vec<_> = std::iter::once("explain")
        .chain(words.iter().copied())
        .collect();
    let Some(PricesCommand::Explain(args)) = parsed(&words).command else {
        panic!("{words:?}");
    };
    let mut out = Vec::new();
    explain::print(book, &args, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn with_tables(toml: &str) -> PriceBook {
    #[derive(serde::Deserialize)]
    struct File {
        price: Vec<PriceEntry>,
    }
    let file: File = toml::from_str(toml).unwrap();
    PriceBook::builtin().with_overrides(Overrides::new(&file.price).unwrap())
}

#[test]
fn listing_needs_no_command() {
    let plain = parsed(&["--json", "sonnet", "--config", "f.toml"]);
    assert!(plain.command.is_none() && plain.list.json);
    assert_eq!(plain.list.filter.as_deref(), Some("sonnet"));
    assert!(plain.list.source.home.config.is_some());
    assert!(matches!(
        parsed(&["list", "sonnet"]).command,
        Some(PricesCommand::List(ListArgs {
            filter: Some(_),
            ..
        }))
    ));
    assert!(matches!(
        parsed(&["check"]).command,
        Some(PricesCommand::Check(_))
    ));
}

#[test]
fn the_list_is_aligned_and_filtered() {
    let book = with_tables(
        "[[price]]\nmodel = \"mine\\u001b[31m\"\nlike = \"us.amazon.nova-pro-v1:0\"\nmultiplier = 0.87\n",
    );
    let text = listed(&book, Some("claude-sonnet-4-5"), false);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("KEY "), "{text}");
    let us = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    let line = lines.iter().find(|line| line.starts_with(us)).unwrap();
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(
        cells,
        [
            us,
            "3.3",
            "16.5",
            "0.33",
            "4.125",
            "6.6",
            "1.65/8.25",
            "-",
            "-",
            ">200000:",
            "?"
        ]
    );
    assert_eq!(line.find("3.3"), lines[0].find("INPUT"));
    assert_eq!(
        listed(&book, Some("us.anthropic.*sonnet-4-5*"), false)
            .lines()
            .count(),
        2
    );
    let mine = listed(&book, Some("override"), false);
    assert!(mine.contains("override:mine\\u{1b}[31m"), "{mine}");
    assert!(
        mine.contains("like us.amazon.nova-pro-v1:0; ×0.87"),
        "{mine}"
    );
    assert_eq!(listed(&book, None, false).lines().count(), 522);
    for line in listed(&book, None, true).lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        assert!(
            value["key"].is_string() && value["rates"].is_object(),
            "{line}"
        );
    }
}

#[test]
fn explaining_shows_steps_price_and_sum() {
    let book = PriceBook::builtin();
    let us = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    let text = explained(&book, &[us, "--region", "us-east-1"]);
    // 10,000 × 3.3 + 1,000 × 16.5 + 5,000 × 0.33 + 2,000 × 4.125 + 1,000 × 6.6 millionths.
    for part in [
        &format!("{us} at bedrock-runtime, us-east-1, tier default"),
        "[[price]] tables: none for",
        &format!("Price   {us}\n"),
        "As of   2026-11-22",
        "Status  exact",
        "above 200000 tokens of input, other rates apply, which are not known",
        "= 0.033\n",
        "together 0.066\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = explained(&book, &["anthropic.claude-opus-5", "--mantle"]);
    assert!(
        text.contains("suspect: listed at the global rate"),
        "{text}"
    );
    assert!(text.contains("the other endpoint's"), "{text}");
    let text = explained(&book, &["us.amazon.nova-pro-v1:0", "--tier", "flex"]);
    assert!(
        text.contains("#flex\n") && text.contains("together 0.0056\n"),
        "{text}"
    );
    let text = explained(&book, &["us.amazon.nova-pro-v1:0", "--tier", "reserved"]);
    assert!(
        text.contains("Unpriced: us.amazon.nova-pro-v1:0 has no rates for tier reserved"),
        "{text}"
    );
    let text = explained(&book, &["acme\u{1b}.big", "--region", "us-gov-west-1"]);
    assert!(
        text.contains("Unpriced: no price is known") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[test]
fn checking_counts_contradictions() {
    let check = |book: &PriceBook| {
        let mut out = Vec::new();
        let found = print_check(book, &mut out).unwrap();
        (found, String::from_utf8(out).unwrap())
    };
    let (found, text) = check(&PriceBook::builtin());
    assert_eq!(found, 0);
    assert!(
        text.contains("of 520 prices have something unusual"),
        "{text}"
    );

    let fixture = include_str!("../../../tests/fixtures/prices/litellm.json");
    let file = PriceFile::parse(fixture, "prices.json", None).unwrap();
    let book = with_tables(
        "[[price]]\nmodel = \"mine\"\nlike = \"acme.typo\"\n[[price]]\nmodel = \"other\"\nlike = \"us.amazon.nova-pro-v1:0\"\n",
    );
    let (found, text) = check(&book.with_file(file));
    assert_eq!(found, 2, "{text}");
    assert!(
        text.contains("acme.chat-v1:0 and bedrock/invoke/acme.chat-v1:0"),
        "{text}"
    );
    assert!(text.contains("override:mine is like acme.typo"), "{text}");
    assert!(text.contains("The price file gives 13 prices"), "{text}");
}
