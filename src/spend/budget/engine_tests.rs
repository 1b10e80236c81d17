//! What is admitted, what is refused with which words, and what stands there afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use time::ext::NumericalDuration;
use time::macros::datetime;

use super::sample::{NOON, admit, ask, budgets, line, only, price, rule, spent, subject};
use super::*;

fn standing(budgets: &Budgets) -> (String, String) {
    let report = line(budgets, NOON);
    (report.spent, report.reserved)
}

fn are(spent: &str, reserved: &str) -> (String, String) {
    (spent.to_owned(), reserved.to_owned())
}

#[test]
fn a_call_reserves_what_it_may_take_and_is_settled_with_what_it_took() {
    let budgets = budgets([rule(Counts::TotalTokens, 1000)]);
    let first = admit(&budgets, "AKIA1", ask(100, 300), NOON).unwrap();
    assert_eq!(standing(&budgets), are("0", "400"));
    let second = admit(&budgets, "AKIA2", ask(100, 500), NOON).unwrap();
    assert_eq!(standing(&budgets), are("0", "1000"));
    let refusal = admit(&budgets, "AKIA3", ask(1, 0), NOON).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Spent);
    first.settle(&spent(90, 10));
    drop(second);
    assert_eq!(standing(&budgets), are("100", "0"));
    admit(&budgets, "AKIA3", ask(900, 0), NOON)
        .unwrap()
        .settle(&spent(900, 0));
    assert_eq!(standing(&budgets), are("1000", "0"));
    // The next day is another one.
    let tomorrow = NOON + 1.days();
    admit(&budgets, "AKIA3", ask(900, 0), tomorrow)
        .unwrap()
        .settle(&spent(1, 0));
    assert_eq!(line(&budgets, tomorrow).spent, "1");
    assert_eq!(
        standing(&budgets),
        are("1000", "0"),
        "yesterday is still known for those who come late"
    );
}

#[test]
fn a_hundred_first_calls_at_once_cannot_overspend_a_budget_of_one() {
    for counts in [
        Counts::TotalTokens,
        Counts::Requests,
        Counts::Concurrent,
        Counts::Usd,
    ] {
        let budgets = budgets([rule(counts, 1)]);
        let price = |_: u64, _: u64| Some(Usd::from_picos(1));
        let admitted: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..100)
                .map(|_| {
                    scope.spawn(|| {
                        budgets
                            .admit(&subject("AKIA1"), &ask(1, 0), &price, NOON)
                            .ok()
                    })
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(admitted.len(), 1, "{counts:?}");
        assert_eq!(line(&budgets, NOON).refused, 99, "{counts:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case")]
fn a_refusal_names_the_rule_what_is_spent_the_limit_and_when_it_resets() {
    let zone = || Zone::named("Europe/Berlin").unwrap();
    let daily = Rule {
        name: "team-a daily".to_owned(),
        window: Some(Window::Day(zone())),
        per: vec![Per::AccessKey, Per::Tag("team".to_owned())],
        ..rule(Counts::TotalTokens, 1000)
    };
    let monthly = Rule {
        window: Some(Window::Month(zone())),
        ..rule(Counts::Usd, 2_500_000_000_000)
    };
    let minute = Rule {
        window: Some(Window::Minute),
        ..rule(Counts::Requests, 1)
    };
    let hopeless = Rule {
        window: Some(Window::Minute),
        ..rule(Counts::OutputTokens, 50)
    };
    let rolling = Rule {
        window: Some(Window::Rolling(Rolling::parse("60m").unwrap())),
        ..rule(Counts::Requests, 1)
    };
    let rows = [
        (
            daily,
            spent(900, 90),
            RefusalKind::Spent,
            None,
            "budget `team-a daily` for access_key AKIA1, tag:team (unknown): 990 of 1000 total tokens per day are spent and \
             0 reserved by running calls; this call may take 150 total tokens; it resets at 2026-11-28T00:00:00+01:00 \
             (Europe/Berlin)",
        ),
        (
            monthly,
            Spent {
                cost: Some(Usd::from_picos(2_499_999_999_999)),
                ..spent(1, 1)
            },
            RefusalKind::Spent,
            None,
            "budget `cap`: 2.499999999999 of 2.5 US dollars per month are spent and 0 reserved by running calls; this call \
             may take 0.0000000006 US dollars; it resets at 2026-12-01T00:00:00+01:00 (Europe/Berlin)",
        ),
        (
            minute,
            spent(1, 1),
            RefusalKind::Rate,
            Some(60),
            "budget `cap`: 1 of 1 requests per minute are spent and 0 reserved by running calls; it resets at \
             2026-11-27T12:16:00Z (UTC)",
        ),
        (
            hopeless,
            spent(1, 0),
            RefusalKind::Spent,
            None,
            "budget `cap`: 0 of 50 output tokens per minute are spent and 0 reserved by running calls; this call may take 100 \
             output tokens, more than there ever is: ask for fewer tokens (max_tokens); it resets at 2026-11-27T12:16:00Z \
             (UTC)",
        ),
        (
            rolling,
            spent(1, 1),
            RefusalKind::Rate,
            Some(61 * 60),
            "budget `cap`: 1 of 1 requests per 60m are spent and 0 reserved by running calls; enough of it is free again at \
             2026-11-27T13:16:00Z (UTC)",
        ),
    ];
    for (rule, before, kind, retry_after, message) in rows {
        let budgets = budgets([rule]);
        admit(&budgets, "AKIA1", ask(0, 0), NOON)
            .unwrap()
            .settle(&before);
        let price = |_: u64, _: u64| Some(Usd::from_picos(600));
        let refusal = budgets
            .admit(&subject("AKIA1"), &ask(50, 100), &price, NOON)
            .unwrap_err();
        assert_eq!(refusal.message, message);
        assert_eq!(refusal.kind, kind, "{message}");
        assert_eq!(
            refusal.retry_after,
            retry_after.map(Duration::from_secs),
            "{message}"
        );
    }
}

#[test]
fn concurrent_calls_are_counted_while_they_run_and_no_longer() {
    let budgets = budgets([rule(Counts::Concurrent, 2)]);
    let first = admit(&budgets, "AKIA1", ask(0, 0), NOON).unwrap();
    let second = admit(&budgets, "AKIA1", ask(0, 0), NOON).unwrap();
    let refusal = admit(&budgets, "AKIA1", ask(0, 0), NOON).unwrap_err();
    assert_eq!(
        refusal.message,
        "budget `cap`: 2 of 2 concurrent requests run already"
    );
    assert_eq!(
        (refusal.kind, refusal.retry_after),
        (RefusalKind::Rate, Some(Duration::from_secs(1)))
    );
    assert_eq!(refusal.resets_at, None);
    drop(first);
    second.settle(&spent(1, 1));
    assert_eq!(standing(&budgets), are("0", "0"));
}

#[test]
fn a_request_counts_unless_it_was_refused_after_all() {
    let budgets = budgets([rule(Counts::Requests, 10)]);
    admit(&budgets, "AKIA1", ask(0, 0), NOON)
        .unwrap()
        .settle(&spent(1, 1));
    drop(admit(&budgets, "AKIA1", ask(0, 0), NOON).unwrap());
    assert_eq!(standing(&budgets), are("2", "0"));
    admit(&budgets, "AKIA1", ask(0, 0), NOON)
        .unwrap()
        .withdraw();
    assert_eq!(standing(&budgets), are("2", "0"));
}

#[test]
fn of_two_refusals_the_one_that_waiting_does_not_help_is_told() {
    let minute = Rule {
        name: "minute".to_owned(),
        window: Some(Window::Minute),
        ..rule(Counts::Requests, 0)
    };
    let daily = Rule {
        name: "daily".to_owned(),
        ..rule(Counts::TotalTokens, 1)
    };
    let refusal = admit(
        &budgets([minute.clone(), daily.clone()]),
        "AKIA1",
        ask(9, 0),
        NOON,
    )
    .unwrap_err();
    assert_eq!(
        (refusal.rule.as_str(), refusal.kind),
        ("daily", RefusalKind::Spent)
    );
    let budgets = budgets([
        minute,
        Rule {
            limit: Limit {
                counts: Counts::TotalTokens,
                most: 9,
            },
            ..daily
        },
    ]);
    assert_eq!(
        admit(&budgets, "AKIA1", ask(9, 0), NOON).unwrap_err().rule,
        "minute"
    );
    assert_eq!(
        budgets.report(NOON)[1].reserved,
        "0",
        "what is refused reserves nothing"
    );
}

#[test]
fn it_counts_where_its_record_belongs_whatever_was_known_before() {
    let by_tag = Rule {
        matches: vec![only(Per::Tag("team".to_owned()), &["a"])],
        per: vec![Per::Model],
        ..rule(Counts::TotalTokens, 100)
    };
    let budgets = budgets([
        by_tag,
        Rule {
            name: "per model".to_owned(),
            per: vec![Per::Model],
            ..rule(Counts::TotalTokens, 100)
        },
    ]);
    let early = Subject {
        model: None,
        ..subject("AKIA1")
    };
    let admission = budgets.admit(&early, &ask(10, 0), &price, NOON).unwrap();
    let tags: BTreeMap<String, String> = [("team".to_owned(), "a".to_owned())].into();
    let late = Subject {
        model: Some("m"),
        tags: &tags,
        ..subject("AKIA1")
    };
    admission.settle_record("id", &late, &spent(7, 0));
    for report in budgets.report(NOON) {
        assert_eq!(
            report.key.unwrap()["model"].as_deref(),
            Some("m"),
            "{}",
            report.rule
        );
        assert_eq!(
            (report.spent.as_str(), report.reserved.as_str()),
            ("7", "0"),
            "{}",
            report.rule
        );
    }
}

#[test]
fn rules_that_measure_the_same_keep_what_they_know_and_others_wait_for_the_ledger() {
    let same = |glob| Rule {
        matches: vec![only(Per::AccessKey, &[glob])],
        window: Some(Window::Day(Zone::named("Europe/Berlin").unwrap())),
        ..rule(Counts::Requests, 1)
    };
    assert!(same("AKIA*").measures_as(&same("AKIA*")));
    assert!(!same("AKIA*").measures_as(&same("ASIA*")));
    let budgets = budgets([rule(Counts::TotalTokens, 100)]);
    budgets.replayed();
    assert_eq!(budgets.needs_since(NOON), None);
    let running = admit(&budgets, "AKIA1", ask(50, 0), NOON).unwrap();
    assert!(!budgets.replace(vec![Rule {
        mode: Mode::Shadow,
        ..rule(Counts::TotalTokens, 200)
    }]));
    assert_eq!(
        (standing(&budgets), line(&budgets, NOON).limit),
        (are("0", "50"), "200".to_owned())
    );
    let monthly = || Rule {
        window: Some(Window::Month(Zone::utc())),
        ..rule(Counts::TotalTokens, 200)
    };
    assert!(budgets.replace(vec![monthly()]));
    assert_eq!(
        budgets.needs_since(NOON),
        Some(datetime!(2026-11-01 0:00 UTC))
    );
    assert_eq!(standing(&budgets), are("0", "0"));
    // A call that ends while the ledger is read is not counted by its row as well.
    running.settle_record("running", &subject("AKIA1"), &spent(40, 0));
    for (id, tokens) in [("before", 5), ("running", 40)] {
        budgets.replay_row(
            id,
            &subject("AKIA1"),
            &spent(tokens, 0),
            window::unix_ms(NOON),
        );
    }
    budgets.replayed();
    budgets.replay(&subject("AKIA1"), &spent(1000, 0), NOON);
    assert_eq!(standing(&budgets), are("45", "0"));
    budgets.count("unadmitted", &subject("AKIA1"), &spent(3, 0), NOON);
    assert_eq!(standing(&budgets), are("48", "0"));
    budgets.replace(Vec::new());
    assert!(budgets.is_empty() && budgets.report(NOON).is_empty());
    assert!(admit(&budgets, "AKIA1", ask(1_000_000, 0), NOON).is_ok());
}

#[test]
fn who_comes_late_is_counted_when_they_arrived() {
    let minute = Rule {
        window: Some(Window::Minute),
        ..rule(Counts::Requests, 1)
    };
    let budgets = budgets([minute]);
    let late = NOON - 1.seconds();
    admit(&budgets, "AKIA1", ask(0, 0), NOON)
        .unwrap()
        .settle(&spent(0, 0));
    admit(&budgets, "AKIA1", ask(0, 0), late)
        .unwrap()
        .settle(&spent(0, 0));
    assert!(admit(&budgets, "AKIA1", ask(0, 0), late).is_err());
    assert_eq!(line(&budgets, NOON).spent, "1");
    // So late that nothing is known of it any more: all of them share what is left of that.
    let hours_late = NOON - 5.hours();
    admit(&budgets, "AKIA1", ask(0, 0), hours_late)
        .unwrap()
        .settle(&spent(0, 0));
    assert!(admit(&budgets, "AKIA1", ask(0, 0), hours_late - 1.hours()).is_err());
}

#[test]
fn a_clock_that_is_set_right_is_believed() {
    let minute = Rule {
        window: Some(Window::Minute),
        ..rule(Counts::Requests, 1)
    };
    let budgets = budgets([minute]);
    drop(admit(&budgets, "AKIA1", ask(0, 0), NOON + 365.days()).unwrap());
    budgets.keep_time(NOON);
    for minutes in 0..10 {
        drop(admit(&budgets, "AKIA1", ask(0, 0), NOON + minutes.minutes()).unwrap());
    }
}

#[test]
fn keys_whose_window_is_over_are_forgotten_and_those_beyond_the_most_share_one() {
    let per_key = || Rule {
        window: Some(Window::Minute),
        per: vec![Per::AccessKey],
        ..rule(Counts::Requests, 2)
    };
    let budgets = budgets([per_key()]);
    let most = state::MAX_KEYS;
    for number in 0..most {
        drop(admit(&budgets, &format!("AKIA{number}"), ask(0, 0), NOON).unwrap());
    }
    for number in 0..2 {
        drop(admit(&budgets, &format!("ASIA{number}"), ask(0, 0), NOON).unwrap());
    }
    assert!(admit(&budgets, "ASIA9", ask(0, 0), NOON).is_err());
    assert!(admit(&budgets, "AKIA1", ask(0, 0), NOON).is_ok());
    assert_eq!(budgets.totals(NOON)[0].keys, most + 1);
    let later = NOON + 1.hours();
    budgets.keep_time(later);
    assert!(admit(&budgets, "ASIA9", ask(0, 0), later).is_ok());
    assert_eq!(budgets.totals(later)[0].keys, 1);
    assert!(!format!("{budgets:?}").contains("AKIA1\""), "they are gone");
}

#[test]
fn a_forecast_goes_on_as_it_went_until_now() {
    let budgets = budgets([rule(Counts::TotalTokens, 1000)]);
    let six = datetime!(2026-11-27 6:00 UTC);
    assert_eq!(
        line(&budgets, datetime!(2026-11-27 0:00 UTC)).forecast,
        None
    );
    admit(&budgets, "AKIA1", ask(100, 0), six)
        .unwrap()
        .settle(&spent(100, 0));
    let report = line(&budgets, six);
    assert_eq!(
        (report.forecast.as_deref(), report.percent),
        (Some("400"), 10)
    );
    assert_eq!(report.window_start.as_deref(), Some("2026-11-27T00:00:00Z"));
    assert_eq!(report.resets_at.as_deref(), Some("2026-11-28T00:00:00Z"));
}
