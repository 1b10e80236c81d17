//! What the operator taught: that it is read wherever documents come from, ranks above the built-in shapes, hides nothing
//! of them, and applies to whom it names.

use std::sync::Arc;

use crate::aws::operation::Operation;
use crate::usage::test_support::{EVENTS, JSON, SSE, chunks, event, head, server_sent};
use crate::usage::{
    ExchangeObserver, Observation, PatternError, PatternTable, Patterns, TaughtCount, UsageSource,
};

const HOST: &str = "bedrock-runtime.eu-west-1.amazonaws.com";

fn table(paths: &[(TaughtCount, &str)]) -> PatternTable {
    PatternTable {
        paths: paths
            .iter()
            .map(|(count, path)| (*count, (*path).to_owned()))
            .collect(),
        ..PatternTable::default()
    }
}

fn patterns(tables: &[PatternTable]) -> Arc<Patterns> {
    Arc::new(Patterns::new(tables).unwrap())
}

fn observe(patterns: &Arc<Patterns>, kind: &str, body: &[u8]) -> Observation {
    let operation = Some(Operation::InvokeModel);
    let mut observer = ExchangeObserver::for_call(
        operation,
        patterns,
        HOST,
        Some("/service/standard/"),
        Some("acme.m-v1"),
    );
    observer.response_head(&head(200, &[("Content-Type", kind)]));
    for piece in body.chunks(5) {
        observer.response_content(piece);
    }
    observer.finish(true)
}

fn counts(seen: &Observation) -> [Option<u64>; 3] {
    [
        seen.usage.input_tokens,
        seen.usage.output_tokens,
        seen.usage.total_tokens,
    ]
}

#[test]
fn a_taught_shape_is_read_wherever_it_comes() {
    let taught = patterns(&[table(&[
        (TaughtCount::Input, "inbound_payload.stats.in"),
        (TaughtCount::Output, "parts.#.tokens"),
    ])]);
    let document = r#"{"stats":{"in":7},"parts":[{"tokens":2},{"other":9},{"tokens":3}]}"#;
    let begun = r#"{"stats":{"in":7},"parts":[{"tokens":1}]}"#;
    for (kind, body, source) in [
        (JSON, document.as_bytes().to_vec(), UsageSource::Body),
        (
            SSE,
            server_sent(&[("", begun), ("", document)]),
            UsageSource::Stream,
        ),
        (EVENTS, chunks(&[begun, document]), UsageSource::Stream),
        (
            EVENTS,
            [event("x", begun), event("x", document)].concat(),
            UsageSource::Stream,
        ),
    ] {
        let seen = observe(&taught, kind, &body);
        assert_eq!(counts(&seen), [Some(7), Some(5), Some(12)], "{kind}");
        assert_eq!(seen.usage.source, Some(source));
        let untaught = observe(&Arc::default(), kind, &body);
        assert_eq!(counts(&untaught), [None; 3]);
    }
}

#[test]
fn a_taught_count_ranks_above_the_shape_and_hides_nothing_of_it() {
    let document = r#"{"inputTextTokenCount":7,"results":[{"tokenCount":6,"completionReason":"FINISH","real":60},{"tokenCount":4,"real":40}],"usage":{"x":{"in":70}}}"#;
    for (paths, wanted) in [
        (
            vec![(TaughtCount::Output, "results.0.tokenCount")],
            [Some(7), Some(6), Some(13)],
        ),
        (
            vec![(TaughtCount::Output, "results.1.real")],
            [Some(7), Some(40), Some(47)],
        ),
        (
            vec![(TaughtCount::Output, "results.[].real")],
            [Some(7), Some(100), Some(107)],
        ),
        (
            vec![(TaughtCount::Output, "*[].real")],
            [Some(7), Some(100), Some(107)],
        ),
        (
            vec![(TaughtCount::Output, "*.*.real")],
            [Some(7), Some(10), Some(17)],
        ),
        (
            vec![(TaughtCount::Input, "usage.*.in")],
            [Some(70), Some(10), Some(80)],
        ),
        (
            vec![(TaughtCount::Input, "nowhere")],
            [Some(7), Some(10), Some(17)],
        ),
    ] {
        let seen = observe(&patterns(&[table(&paths)]), JSON, document.as_bytes());
        assert_eq!(counts(&seen), wanted, "{paths:?}");
        assert_eq!(seen.finish_reason.as_deref(), Some("FINISH"));
    }
}

#[test]
fn an_escaped_dot_and_a_numbered_member_are_names() {
    let taught = patterns(&[table(&[
        (TaughtCount::Input, r"a\.b.0"),
        (TaughtCount::Output, r"\*"),
    ])]);
    let seen = observe(&taught, JSON, br#"{"a.b":{"0":3},"*":4,"x":5}"#);
    assert_eq!(counts(&seen), [Some(3), Some(4), Some(7)]);
}

#[test]
fn of_two_tables_the_earlier_ranks_higher() {
    let taught = patterns(&[
        table(&[(TaughtCount::Input, "first")]),
        table(&[(TaughtCount::Input, "second"), (TaughtCount::Output, "out")]),
    ]);
    for (document, input) in [
        (r#"{"first":1,"second":2,"out":3}"#, 1),
        (r#"{"second":2,"first":1,"out":3}"#, 1),
        (r#"{"second":2,"out":3}"#, 2),
    ] {
        let seen = observe(&taught, JSON, document.as_bytes());
        assert_eq!(counts(&seen), [Some(input), Some(3), Some(input + 3)]);
    }
}

#[test]
fn cache_tokens_are_taken_off_where_the_table_or_the_shape_says_so() {
    let known = r#"{"usage":{"prompt_tokens":72,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":64}}}"#;
    let unknown = r#"{"n":{"in":72,"out":20,"hit":60,"new":4}}"#;
    let of_known = [(TaughtCount::Input, "usage.prompt_tokens")];
    let of_unknown = [
        (TaughtCount::Input, "n.in"),
        (TaughtCount::Output, "n.out"),
        (TaughtCount::CacheRead, "n.hit"),
        (TaughtCount::CacheWrite, "n.new"),
    ];
    for (document, paths, says, input) in [
        (known, of_known.as_slice(), None, 8),
        (known, &of_known, Some(true), 8),
        (known, &of_known, Some(false), 72),
        (unknown, &of_unknown, None, 72),
        (unknown, &of_unknown, Some(false), 72),
        (unknown, &of_unknown, Some(true), 8),
    ] {
        let table = PatternTable {
            input_includes_cache: says,
            ..table(paths)
        };
        let seen = observe(&patterns(&[table]), JSON, document.as_bytes());
        assert_eq!(seen.usage.input_tokens, Some(input), "{document} {says:?}");
        assert_eq!(seen.usage.total_tokens, Some(input + 84));
    }
}

#[test]
fn a_table_applies_to_the_hosts_routes_and_models_it_names() {
    let paths = [(TaughtCount::Input, "in"), (TaughtCount::Output, "out")];
    let named = |host: Option<&str>, route: Option<&str>, model: Option<&str>| PatternTable {
        host: host.map(str::to_owned),
        route: route.map(str::to_owned),
        model: model.map(str::to_owned),
        ..table(&paths)
    };
    for (table, applies) in [
        (named(None, None, None), true),
        (
            named(Some("Bedrock-Runtime.*.AmazonAWS.com"), None, None),
            true,
        ),
        (named(Some("*.example.com"), None, None), false),
        (named(None, Some("/service/*"), None), true),
        (named(None, Some("/team/*"), None), false),
        (named(None, None, Some("acme.*")), true),
        (named(None, None, Some("other.*")), false),
        (named(Some("bedrock*"), Some("*"), Some("acme.?-v1")), true),
        (named(Some("bedrock*"), Some("*"), Some("Acme.*")), false),
    ] {
        let seen = observe(
            &patterns(std::slice::from_ref(&table)),
            JSON,
            br#"{"in":1,"out":2}"#,
        );
        assert_eq!(seen.usage.input_tokens.is_some(), applies, "{table:?}");
    }
    let route = patterns(&[named(None, Some("*"), None)]);
    let mut unrouted = ExchangeObserver::for_call(None, &route, HOST, None, None);
    unrouted.response_head(&head(200, &[("Content-Type", JSON)]));
    unrouted.response_content(br#"{"in":1,"out":2}"#);
    assert_eq!(unrouted.finish(true).usage.input_tokens, None);
}

#[test]
fn a_model_that_the_body_names_is_found() {
    let acme = PatternTable {
        model: Some("acme.*".to_owned()),
        ..table(&[(TaughtCount::Input, "in")])
    };
    let acme = patterns(&[acme]);
    for (model, wanted) in [("acme.m-v1", Some(1)), ("other.m-v1", None)] {
        let operation = Some(Operation::ChatCompletions);
        let mut observer = ExchangeObserver::for_call(operation, &acme, HOST, None, None);
        observer.request_content(format!(r#"{{"model":"{model}"}}"#).as_bytes());
        observer.response_head(&head(200, &[("Content-Type", JSON)]));
        observer.response_content(br#"{"in":1}"#);
        assert_eq!(observer.finish(true).usage.input_tokens, wanted);
    }
}

#[test]
fn more_combinations_of_tables_than_are_kept_go_on_working() {
    let tables: Vec<PatternTable> = (0..10)
        .map(|bit| PatternTable {
            model: Some(format!("{}1*", "?".repeat(bit))),
            ..table(&[(TaughtCount::Input, "in")])
        })
        .collect();
    let taught = patterns(&tables);
    for number in 1..200_u32 {
        let model = format!("{number:010b}");
        let mut observer = ExchangeObserver::for_call(None, &taught, HOST, None, Some(&model));
        observer.response_head(&head(200, &[("Content-Type", JSON)]));
        observer.response_content(br#"{"in":1}"#);
        assert_eq!(observer.finish(true).usage.input_tokens, Some(1), "{model}");
    }
}

#[test]
fn a_wrong_table_is_named() {
    let good = table(&[(TaughtCount::Input, "a")]);
    let error = Patterns::new(&[good, table(&[(TaughtCount::CacheWrite1h, "a..b")])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table 2, cache_write_1h_tokens: `a..b` is no path"
    );
    assert_eq!(
        Patterns::new(&[table(&[])]).unwrap_err(),
        PatternError::Empty { table: 1 }
    );
}
