//! Whom rules are for, what they keep apart, and what shadow, thresholds, prices and cuts do.

use std::collections::BTreeMap;

use super::sample::{NOON, admit, ask, budgets, line, only, price, rule, spent, subject};
use super::*;

#[test]
fn every_value_has_a_budget_of_its_own_and_what_is_unknown_shares_one() {
    let per_key = Rule {
        per: vec![Per::AccessKey],
        ..rule(Counts::Requests, 1)
    };
    let budgets = budgets([per_key]);
    assert_eq!(line(&budgets, NOON).key, None);
    for key in ["AKIA1", "AKIA2"] {
        admit(&budgets, key, ask(0, 0), NOON)
            .unwrap()
            .settle(&spent(1, 1));
        assert!(admit(&budgets, key, ask(0, 0), NOON).is_err());
    }
    let nobody = Subject {
        access_key_id: None,
        ..subject("")
    };
    drop(budgets.admit(&nobody, &ask(0, 0), &price, NOON).unwrap());
    let keys: Vec<_> = budgets
        .report(NOON)
        .into_iter()
        .map(|report| report.key.unwrap()["access_key"].clone())
        .collect();
    assert_eq!(
        keys,
        [None, Some("AKIA1".to_owned()), Some("AKIA2".to_owned())]
    );
}

#[test]
fn a_rule_is_for_those_whom_all_of_its_conditions_fit() {
    let tags: BTreeMap<String, String> = [("team".to_owned(), "a".to_owned())].into();
    let arn =
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0";
    for (part, globs, fits) in [
        (Per::AccessKey, &["AKIA*"][..], true),
        (Per::AccessKey, &["ASIA*"], false),
        (Per::AccessKey, &["x", "AKIA1"], true),
        (Per::ApiKey, &["*"], false),
        (Per::Alias, &["search *"], true),
        (Per::Model, &["us.anthropic.*"], true),
        // No rule for a model is escaped by calling it through a profile.
        (Per::Model, &["anthropic.claude-*"], true),
        (Per::Model, &["amazon.*"], false),
        (Per::Operation, &["Converse"], true),
        (Per::Operation, &["converse"], false),
        (Per::Route, &["*"], false),
        (Per::Tag("team".to_owned()), &["a"], true),
        (Per::Tag("team".to_owned()), &["b"], false),
        (Per::Tag("other".to_owned()), &["*"], false),
    ] {
        let what = format!("{part:?} {globs:?}");
        let budgets = budgets([Rule {
            matches: vec![only(part, globs)],
            ..rule(Counts::Requests, 0)
        }]);
        let subject = Subject {
            tags: &tags,
            ..subject("AKIA1")
        };
        assert_eq!(
            budgets.admit(&subject, &ask(0, 0), &price, NOON).is_err(),
            fits,
            "{what}"
        );
    }
    let budgets = budgets([Rule {
        matches: vec![only(Per::Model, &["anthropic.*"])],
        ..rule(Counts::Requests, 0)
    }]);
    for (model, model_name, fits) in [
        (Some(arn), None, true),
        (Some("arn:x"), Some("anthropic.y"), true),
        (None, None, false),
    ] {
        let subject = Subject {
            model,
            model_name,
            ..subject("AKIA1")
        };
        assert_eq!(
            budgets.admit(&subject, &ask(0, 0), &price, NOON).is_err(),
            fits,
            "{model:?}"
        );
    }
}

#[test]
fn the_body_is_worth_a_look_where_a_rule_depends_on_it() {
    let by_tag = || vec![only(Per::Tag("team".to_owned()), &["a"])];
    let by_model = || vec![only(Per::Model, &["anthropic.*"])];
    let nameless = Subject {
        model: None,
        ..subject("AKIA1")
    };
    for (rule, subject, wants) in [
        (rule(Counts::TotalTokens, 1), subject("AKIA1"), true),
        (rule(Counts::Usd, 1), subject("AKIA1"), true),
        (rule(Counts::InputTokens, 1), subject("AKIA1"), true),
        (rule(Counts::Requests, 1), subject("AKIA1"), false),
        (
            Rule {
                matches: by_tag(),
                ..rule(Counts::Requests, 1)
            },
            subject("AKIA1"),
            true,
        ),
        (
            Rule {
                per: vec![Per::Tag("team".to_owned())],
                ..rule(Counts::Requests, 1)
            },
            subject("AKIA1"),
            true,
        ),
        (
            Rule {
                matches: by_model(),
                ..rule(Counts::Requests, 1)
            },
            nameless,
            true,
        ),
        (
            Rule {
                matches: vec![only(Per::AccessKey, &["x"])],
                ..rule(Counts::Usd, 1)
            },
            subject("AKIA1"),
            false,
        ),
    ] {
        let what = format!("{rule:?}");
        assert_eq!(budgets([rule]).wants_body(&subject), wants, "{what}");
    }
    let none = Budgets::default();
    assert!(none.is_empty() && !none.wants_body(&subject("AKIA1")));
}

#[test]
fn shadow_only_notes_what_it_would_have_done() {
    let shadow = Rule {
        name: "trial".to_owned(),
        mode: Mode::Shadow,
        ..rule(Counts::TotalTokens, 10)
    };
    let budgets = budgets([shadow]);
    let admission = admit(&budgets, "AKIA1", ask(11, 0), NOON).unwrap();
    assert_eq!(admission.tags(), [(SHADOW_TAG, "trial".to_owned())]);
    admission.settle(&spent(20, 0));
    assert!(admit(&budgets, "AKIA1", ask(1, 0), NOON).is_ok());
    let report = line(&budgets, NOON);
    assert_eq!(
        (
            report.spent.as_str(),
            report.percent,
            report.refused,
            report.would_have_refused
        ),
        ("20", 200, 0, 2)
    );
}

#[test]
fn soft_thresholds_are_noted_and_told_when_they_are_passed() {
    let warning = Rule {
        warn_at: vec![50, 80],
        ..rule(Counts::TotalTokens, 100)
    };
    let budgets = budgets([warning]);
    let settle = |input: u64| {
        let admission = admit(&budgets, "AKIA1", ask(input, 0), NOON).unwrap();
        let tags = admission.tags();
        let crossed = admission.settle_record("id", &subject("AKIA1"), &spent(input, 0));
        let percents: Vec<_> = crossed.into_iter().map(|crossed| crossed.percent).collect();
        (tags, percents)
    };
    let noted = |text: &str| vec![(WARNING_TAG, text.to_owned())];
    assert_eq!(settle(49), (vec![], vec![]));
    assert_eq!(settle(1), (vec![], vec![50]));
    assert_eq!(settle(1), (noted("cap 50%"), vec![]));
    assert_eq!(settle(40), (noted("cap 50%"), vec![80]));
    assert_eq!(settle(1), (noted("cap 80%"), vec![]));
}

#[test]
fn calls_without_a_price_do_what_the_rule_says() {
    let rate = |picos| crate::spend::rate::Rate::from_picos(picos).unwrap();
    let assume = Unpriced::Assume {
        model: "m".to_owned(),
        input: rate(1),
        output: rate(5),
    };
    let none = |_: u64, _: u64| None;
    let used = Spent {
        cost: None,
        ..spent(10, 20)
    };
    for (unpriced, reserved, counted) in [
        (Unpriced::Allow, "0", "0"),
        (assume, "0.000000000260", "0.000000000110"),
    ] {
        let budgets = budgets([Rule {
            unpriced,
            ..rule(Counts::Usd, 1000)
        }]);
        let admission = budgets
            .admit(&subject("AKIA1"), &ask(10, 50), &none, NOON)
            .unwrap();
        assert_eq!(
            line(&budgets, NOON).reserved.trim_end_matches('0'),
            reserved.trim_end_matches('0')
        );
        admission.settle(&used);
        assert_eq!(
            line(&budgets, NOON).spent.trim_end_matches('0'),
            counted.trim_end_matches('0')
        );
    }
    let budgets = budgets([rule(Counts::Usd, 1000)]);
    let refusal = budgets
        .admit(&subject("AKIA1"), &ask(10, 50), &none, NOON)
        .unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.retry_after),
        (RefusalKind::Spent, None)
    );
    assert!(
        refusal
            .message
            .contains("no price is known for us.anthropic"),
        "{}",
        refusal.message
    );
    // What never costs needs no price, and passes where all is spent.
    let free = Subject {
        operation: Some("CountTokens"),
        ..subject("AKIA1")
    };
    assert!(budgets.admit(&free, &ask(10, 50), &none, NOON).is_ok());
    admit(&budgets, "AKIA1", ask(0, 100), NOON)
        .unwrap()
        .settle(&spent(0, 100));
    assert!(admit(&budgets, "AKIA1", ask(0, 0), NOON).is_err());
    assert!(budgets.admit(&free, &ask(10, 50), &none, NOON).is_ok());
}

#[test]
fn a_stream_is_cut_when_the_budget_is_spent_in_it() {
    let cutting = Rule {
        on_exceeded: OnExceeded::Cut,
        ..rule(Counts::TotalTokens, 100)
    };
    let budgets = budgets([
        cutting,
        Rule {
            name: "finishes".to_owned(),
            ..rule(Counts::TotalTokens, 100)
        },
    ]);
    let stream = admit(&budgets, "AKIA1", ask(10, 20), NOON).unwrap();
    assert_eq!(stream.exceeded(&spent(10, 20)), None);
    assert_eq!(stream.exceeded(&spent(10, 60)), None);
    assert_eq!(
        budgets.report(NOON)[0].reserved,
        "70",
        "what it has taken is held for it"
    );
    admit(&budgets, "AKIA2", ask(10, 0), NOON)
        .unwrap()
        .settle(&spent(10, 0));
    assert_eq!(stream.exceeded(&spent(10, 80)), None);
    let refusal = stream.exceeded(&spent(10, 81)).unwrap();
    assert_eq!(
        (refusal.rule.as_str(), refusal.kind),
        ("cap", RefusalKind::Spent)
    );
    assert!(
        refusal
            .message
            .contains("this call has taken 91 total tokens and is ended"),
        "{}",
        refusal.message
    );
    stream.settle(&spent(10, 81));
    let report = &budgets.report(NOON)[0];
    assert_eq!(
        (report.spent.as_str(), report.reserved.as_str()),
        ("101", "0")
    );
}

#[test]
fn an_answer_that_nobody_has_limited_is_kept_all_that_is_left_for() {
    // The assumption alone, 100 tokens, is more than there ever is.
    let small = budgets([rule(Counts::TotalTokens, 50)]);
    let unlimited = || Ask {
        input_tokens: 5,
        max_output_tokens: None,
    };
    let first = admit(&small, "a", unlimited(), NOON).unwrap();
    assert_eq!(line(&small, NOON).reserved, "50");
    assert!(admit(&small, "a", unlimited(), NOON).is_err());
    first.settle(&spent(5, 25));
    let second = admit(&small, "a", unlimited(), NOON).unwrap();
    assert_eq!(line(&small, NOON).reserved, "20");
    second.settle(&spent(5, 12));
    // Three are left: not enough for the input.
    let refused = admit(&small, "a", unlimited(), NOON).unwrap_err();
    assert!(refused.message.contains("47 of 50"), "{refused:?}");
    // Who names a limit is held to it.
    let large = budgets([rule(Counts::TotalTokens, 50)]);
    assert!(admit(&large, "a", ask(5, 100), NOON).is_err());
}
