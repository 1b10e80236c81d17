//! Tables of a file become rules, and what is wrong with one is said so that it can be put right.

use crate::config::Options;
use crate::config::budgets::rules;
use crate::spend::PriceBook;
use crate::spend::budget::{Counts, Mode, OnExceeded, Per, Rule, Unpriced};

fn checked(file: &str) -> Result<Vec<Rule>, String> {
    let options: Options = toml::from_str(file).map_err(|error| error.to_string())?;
    rules(&options.budget, &PriceBook::builtin()).map_err(|error| error.to_string())
}

#[test]
#[expect(clippy::too_many_lines, reason = "every key once")]
fn every_key_is_understood() {
    let file = r#"
        [[budget]]
        name = "team-a daily"
        access_key = ["AKIA*", "ASIA*"]
        account = "123456789012"
        tag = { team = "a", stage = ["test", "dev"] }
        model = "anthropic.*"
        per = ["access_key", "tag:team"]
        total_tokens = 1000
        window = "day"
        zone = "Europe/Berlin"
        warn_at = [80, 50, 80]
        mode = "shadow"
        on_exceeded = "cut"
        assume_output_tokens = 17

        [[budget]]
        name = "money"
        usd = "12.50"
        window = "30d"
        unpriced = "assume = anthropic.claude-sonnet-4-5-20250929-v1:0"

        [[budget]]
        name = "whole dollars"
        usd = 3
        window = "month"
        unpriced = "allow"

        [[budget]]
        name = "at once"
        alias = "search *"
        concurrent = 4
    "#;
    let rules = checked(file).unwrap();
    let [daily, money, whole, concurrent] = rules.as_slice() else {
        panic!("{rules:?}");
    };
    let parts: Vec<_> = daily
        .matches
        .iter()
        .map(|one| format!("{:?} {:?}", one.part, one.globs))
        .collect();
    assert_eq!(
        parts,
        [
            "AccessKey [AKIA*, ASIA*]",
            "Account [123456789012]",
            "Model [anthropic.*]",
            "Tag(\"stage\") [test, dev]",
            "Tag(\"team\") [a]"
        ]
    );
    assert_eq!(daily.per, [Per::AccessKey, Per::Tag("team".to_owned())]);
    assert_eq!(
        (daily.limit.counts, daily.limit.most),
        (Counts::TotalTokens, 1000)
    );
    let window = daily.window.as_ref().unwrap();
    assert_eq!(
        (window.name(), window.zone().unwrap().name()),
        ("day", "Europe/Berlin")
    );
    assert_eq!(daily.warn_at, [50, 80]);
    assert_eq!(
        (daily.mode, daily.on_exceeded),
        (Mode::Shadow, OnExceeded::Cut)
    );
    assert_eq!(
        (daily.assume_output_tokens, &daily.unpriced),
        (17, &Unpriced::Deny)
    );
    assert_eq!(
        (money.limit.counts, money.limit.most),
        (Counts::Usd, 12_500_000_000_000)
    );
    assert_eq!(
        (money.mode, money.on_exceeded, money.assume_output_tokens),
        (Mode::Enforce, OnExceeded::Finish, 4096)
    );
    let Unpriced::Assume { input, output, .. } = &money.unpriced else {
        panic!("{:?}", money.unpriced);
    };
    assert!(input.picos() > 0 && input < output);
    assert_eq!(
        (whole.limit.most, &whole.unpriced),
        (3_000_000_000_000, &Unpriced::Allow)
    );
    assert_eq!(
        (concurrent.limit.counts, &concurrent.window),
        (Counts::Concurrent, &None)
    );
    assert_eq!(concurrent.matches[0].part, Per::Alias);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case")]
fn what_is_wrong_is_said_with_its_table_and_key_and_what_should_stand_there() {
    let table = |keys: &str| format!("[[budget]]\nname = \"a\"\n{keys}\n");
    let day = |keys: &str| table(&format!("window = \"day\"\n{keys}"));
    for (file, wanted) in [
        (
            "[[budget]]\nrequests = 1\nwindow = \"day\"".to_owned(),
            "table 1, name: `` does not do",
        ),
        (
            "[[budget]]\nname = \"a, b\"\nrequests = 1\nwindow = \"day\"".to_owned(),
            "without commas",
        ),
        (
            format!("{}{}", day("requests = 1"), day("requests = 1")),
            "table 2 (`a`), name: another table has this name",
        ),
        (
            day(""),
            "table 1 (`a`), limit: there is none; give exactly one of total_tokens, input_tokens",
        ),
        (
            day("requests = 1\nusd = \"1\""),
            "limit: `requests` and `usd` are both given",
        ),
        (
            table("requests = 1"),
            "window: `requests` needs one: minute, hour, day, month",
        ),
        (
            day("concurrent = 1"),
            "window: `concurrent` counts the calls that run now and has no window",
        ),
        (
            table("concurrent = 1\nzone = \"UTC\""),
            "zone: only hours, days and months",
        ),
        (
            table("requests = 1\nwindow = \"fortnight\""),
            "window: `fortnight` is none; give minute, hour, day, month",
        ),
        (table("requests = 1\nwindow = \"30s\""), "from 1m to 366d"),
        (
            table("requests = 1\nwindow = \"90m\"\nzone = \"UTC\""),
            "zone: only hours, days and months",
        ),
        (
            day("requests = 1\nzone = \"Berlin\""),
            "zone: `Berlin` is no zone of the IANA database, such as Europe/Berlin",
        ),
        (
            day("usd = \"1,50\""),
            "usd: `1,50` is not an amount in US dollars",
        ),
        (
            day("usd = 1.5"),
            "an amount of US dollars is expected, in quotes",
        ),
        (day("requests = -1"), "line 4"),
        (
            day("requests = 1\nper = [\"key\"]"),
            "per: `key` is nothing that budgets are kept apart by; give access_key, account",
        ),
        (
            day("requests = 1\nper = [\"user\", \"user\"]"),
            "per: `user` is given twice",
        ),
        (
            day("requests = 1\nmodel = []"),
            "model: an empty pattern matches nothing",
        ),
        (
            day("requests = 1\ntag = { team = \"\" }"),
            "tag: an empty pattern matches nothing",
        ),
        (
            day("requests = 1\nmodel = 3"),
            "a text or a list of texts is expected",
        ),
        (
            day("requests = 1\nwarn_at = [0]"),
            "warn_at: 0 is no percentage from 1 to 100",
        ),
        (
            day("requests = 1\nmode = \"log\""),
            "mode: `log` is neither enforce nor shadow",
        ),
        (
            day("requests = 1\non_exceeded = \"stop\""),
            "on_exceeded: `stop` is neither finish nor cut",
        ),
        (
            day("requests = 1\non_exceeded = \"cut\""),
            "on_exceeded: a stream can be cut for tokens and money only",
        ),
        (
            day("requests = 1\nunpriced = \"allow\""),
            "unpriced: prices do not matter to `requests`",
        ),
        (
            day("usd = \"1\"\nunpriced = \"maybe\""),
            "unpriced: `maybe` is none of: allow, deny, assume = MODEL",
        ),
        (
            day("usd = \"1\"\nunpriced = \"assume = acme.none\""),
            "unpriced: there is no price of input and output for `acme.none`",
        ),
        (day("request = 1"), "unknown field `request`"),
    ] {
        let message = checked(&file).unwrap_err();
        assert!(message.contains(wanted), "{file}: {message}");
    }
}

#[test]
fn without_a_table_there_is_no_rule() {
    assert_eq!(checked("").unwrap(), []);
}

#[test]
fn the_examples_of_the_page_are_valid() {
    let page = include_str!("../../docs/budgets.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert_eq!(checked(example).unwrap().len(), 6);
}
