//! The read side: filters, order, pages, ids, and what is new.

use std::path::PathBuf;

use tempfile::TempDir;
use time::macros::datetime;

use super::dimension::Dimension;
use super::error::QueryError;
use super::query::{Column, Condition, Query, Reader, StatusRange};
use super::record::{Outcome, UsageRecord};
use super::sample;
use super::since::Since;
use super::span;
use super::writer::{Committed, Ledger};

async fn ledger_of(records: &[UsageRecord]) -> (TempDir, PathBuf, Ledger) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = Ledger::open(&path).unwrap();
    for record in records {
        let stored = ledger.commit(record.clone(), None).await;
        assert_eq!(stored, Committed::Stored);
    }
    (directory, path, ledger)
}

fn ids(reader: &Reader, query: &Query) -> Vec<String> {
    let records = reader.records(query).unwrap();
    records.map(|record| record.unwrap().id).collect()
}

fn ids_of<'a>(records: impl IntoIterator<Item = &'a UsageRecord>) -> Vec<String> {
    records
        .into_iter()
        .map(|record| record.id.clone())
        .collect()
}

#[tokio::test]
async fn oldest_request_comes_first_whenever_it_was_committed() {
    let late = sample::at("2026-11-22T03:00:02Z");
    let early = sample::at("2026-11-22T03:00:01.5Z");
    let zone = sample::at("2026-11-22T04:00:00+02:00");
    let (_directory, path, _ledger) = ledger_of(&[late.clone(), early.clone(), zone.clone()]).await;
    let reader = Reader::open(&path).unwrap();
    assert_eq!(
        ids(&reader, &Query::default()),
        ids_of([&zone, &early, &late])
    );
    let newest = |newest| Query {
        newest: Some(newest),
        ..Query::default()
    };
    assert_eq!(ids(&reader, &newest(2)), ids_of([&early, &late]));
    assert_eq!(ids(&reader, &newest(9)), ids_of([&zone, &early, &late]));
    assert_eq!(ids(&reader, &newest(0)), Vec::<String>::new());
}

/// A name, a query, and which of the records it finds.
fn filters() -> Vec<(&'static str, Query, &'static [usize])> {
    let since = Since::parse("2026-11-21")
        .unwrap()
        .resolve(datetime!(2026-12-01 0:00 UTC));
    let all = Query::default;
    let model = |model: &str| Query {
        model: Some(model.to_owned()),
        ..all()
    };
    let identity = |name: &str| Query {
        identity: Some(name.to_owned()),
        ..all()
    };
    vec![
        (
            "since",
            Query {
                since_ms: Some(since),
                ..all()
            },
            &[1, 2, 3],
        ),
        (
            "since, newest",
            Query {
                since_ms: Some(since),
                newest: Some(2),
                ..all()
            },
            &[2, 3],
        ),
        ("model", model("nova-pro"), &[1]),
        ("model in part is no match", model("nova"), &[]),
        ("glob", model("*nova-*"), &[0, 1, 2]),
        ("glob takes brackets literally", model("nova-[p*"), &[2]),
        ("question mark is no wildcard", model("nova-pr?*"), &[]),
        (
            "identity in any column, each row once",
            identity("AKIA1"),
            &[0, 1, 2, 3],
        ),
        (
            "identity and newest",
            Query {
                newest: Some(1),
                ..identity("AKIA1")
            },
            &[3],
        ),
        ("nobody", identity("AKIA2"), &[]),
        (
            "all together",
            Query {
                since_ms: Some(since),
                model: Some("nova*".to_owned()),
                identity: Some("AKIA1".to_owned()),
                newest: Some(1),
                ..all()
            },
            &[2],
        ),
    ]
}

#[tokio::test]
async fn filters_by_time_model_and_identity() {
    let mut records = vec![
        sample::at("2026-11-20T00:00:00Z"),
        sample::at("2026-11-21T00:00:00Z"),
        sample::at("2026-11-21T00:00:00Z"),
        sample::at("2026-11-22T00:00:00Z"),
    ];
    for (record, model) in records
        .iter_mut()
        .zip(["us.nova-lite", "nova-pro", "nova-[pro]"])
    {
        record.model = Some(model.to_owned());
    }
    records[0].identity.access_key_id = Some("AKIA1".to_owned());
    records[1].identity.account_id = Some("AKIA1".to_owned());
    records[2].identity.api_key = Some("AKIA1".to_owned());
    records[3].identity.proxy_user = Some("AKIA1".to_owned());
    records[3].identity.access_key_id = Some("AKIA1".to_owned());
    let (_directory, path, _ledger) = ledger_of(&records).await;
    let reader = Reader::open(&path).unwrap();
    for (name, query, expected) in filters() {
        let expected = ids_of(expected.iter().map(|&at| &records[at]));
        assert_eq!(ids(&reader, &query), expected, "{name}");
        let tail = reader.tail(&query, 0).unwrap();
        if query.newest.is_none() {
            assert_eq!(
                tail.map(|r| r.unwrap().id).collect::<Vec<_>>(),
                expected,
                "tail: {name}"
            );
        }
    }
}

#[tokio::test]
async fn pages_join_without_gap_or_repetition() {
    // Many rows of one millisecond, so that pages end between equals.
    let records: Vec<_> = (0..700)
        .map(|n| sample::at(&format!("2026-11-22T03:00:0{}Z", n / 300)))
        .collect();
    let (_directory, path, ledger) = ledger_of(&records).await;
    let reader = Reader::open(&path).unwrap();
    let mut listing = reader.records(&Query::default()).unwrap();
    let first = listing.next().unwrap().unwrap();
    // Committed while somebody reads: of a time that the listing has yet to come to, and still not in it.
    let meanwhile = sample::at("2026-11-22T03:00:01Z");
    ledger.commit(meanwhile.clone(), None).await;
    let ceiling = listing.ceiling();
    let mut found = vec![first.id];
    found.extend(listing.map(|record| record.unwrap().id));
    assert_eq!(found, ids_of(&records));
    let tail: Vec<_> = reader
        .tail(&Query::default(), ceiling)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(tail, [meanwhile]);
}

#[tokio::test]
async fn data_version_tells_that_something_was_written() {
    let (_directory, path, ledger) = ledger_of(&[]).await;
    let reader = Reader::open(&path).unwrap();
    let before = reader.data_version().unwrap();
    assert_eq!(reader.data_version().unwrap(), before);
    ledger.commit(sample::bare(), None).await;
    assert_ne!(reader.data_version().unwrap(), before);
}

#[tokio::test]
async fn an_id_is_found_by_its_beginning_or_its_end() {
    let mut records = [sample::bare(), sample::bare(), sample::bare()];
    let names = [
        "01930000-0000-7000-8000-0000000000aa",
        "01930000-0000-7000-8000-0000000000ab",
        "01940000-0000-7000-8000-00000000aaaa",
    ];
    for (record, id) in records.iter_mut().zip(names) {
        record.id = id.to_owned();
    }
    let (_directory, path, _ledger) = ledger_of(&records).await;
    let reader = Reader::open(&path).unwrap();
    for (given, at) in [(names[0], 0), ("0ab", 1), ("0194", 2), (" AAAA ", 2)] {
        assert_eq!(reader.find(given).unwrap().record, records[at], "{given}");
    }
    let error = reader.find("0193").unwrap_err();
    assert!(
        error.to_string().contains(names[0]) && error.to_string().contains(names[1]),
        "{error}"
    );
    assert!(matches!(
        reader.find("aa"),
        Err(QueryError::Ambiguous { more: false, .. })
    ));
    assert!(matches!(
        reader.find("ff"),
        Err(QueryError::NotFound { .. })
    ));
    for nonsense in ["", "  ", "x", "%", "a'b", "é"] {
        let error = reader.find(nonsense).unwrap_err();
        assert!(
            matches!(error, QueryError::NotAnId { .. }),
            "{nonsense}: {error}"
        );
    }
}

/// Queries of every kind.
fn queries() -> Vec<Query> {
    let all = Query::default;
    let by_account = Condition::Matches(Column::Account, "1".to_owned());
    vec![
        all(),
        Query {
            since_ms: Some(1),
            until_ms: Some(2),
            ..all()
        },
        Query {
            model: Some("m".to_owned()),
            ..all()
        },
        Query {
            identity: Some("i".to_owned()),
            model: Some("m".to_owned()),
            conditions: vec![Condition::Unpriced],
            ..all()
        },
        Query {
            conditions: vec![by_account],
            ..all()
        },
        Query {
            conditions: vec![
                Condition::Outcome(Outcome::Failed),
                Condition::Status(vec![StatusRange::parse("5xx").unwrap()]),
            ],
            ..all()
        },
    ]
}

#[tokio::test]
async fn listings_walk_the_index_of_times_and_sort_no_table() {
    let (_directory, path, _ledger) = ledger_of(&[]).await;
    let reader = Reader::open(&path).unwrap();
    for query in queries() {
        let plan = reader.records(&query).unwrap().plan().unwrap();
        assert!(
            plan.contains("exchange_time (time_ms>? AND time_ms<?)"),
            "{query:?}: {plan}"
        );
        assert!(
            !plan.contains("TEMP B-TREE") && !plan.contains("SCAN exchange\n"),
            "{query:?}: {plan}"
        );
    }
}

#[tokio::test]
async fn sums_of_a_while_read_no_more_than_that_while() {
    let (_directory, path, _ledger) = ledger_of(&[]).await;
    let reader = Reader::open(&path).unwrap();
    let by = [Dimension::Day, Dimension::Tag("team".to_owned())];
    let since = Query {
        since_ms: Some(1),
        ..Query::default()
    };
    let plan = reader.sums_plan(&since, &by).unwrap();
    assert!(plan.contains("exchange_time (time_ms>?)"), "{plan}");
    let plan = reader.sums_plan(&Query::default(), &by).unwrap();
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    for query in queries() {
        let plan = reader.sums_plan(&query, &by).unwrap();
        assert!(!plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
    }
}

#[tokio::test]
async fn an_id_is_looked_for_in_its_index_alone() {
    let (_directory, path, _ledger) = ledger_of(&[]).await;
    let reader = Reader::open(&path).unwrap();
    let plan = reader.find_plan().unwrap();
    assert!(!plan.contains("payload"), "{plan}");
    for step in plan.lines().filter(|step| step.contains("exchange")) {
        assert!(
            step.contains("COVERING INDEX sqlite_autoindex_exchange_1"),
            "{plan}"
        );
    }
}

#[tokio::test]
async fn groups_are_bounded() {
    let mut records = vec![sample::bare(), sample::bare(), sample::bare()];
    for (record, model) in records.iter_mut().zip(["a", "b", "a"]) {
        record.model = Some(model.to_owned());
    }
    let (_directory, path, _ledger) = ledger_of(&records).await;
    let reader = Reader::open(&path).unwrap();
    let sums = |limit| {
        let by = [Dimension::Model];
        reader.sums_within(&Query::default(), &by, limit, &mut || ())
    };
    assert_eq!(sums(2).unwrap().groups.len(), 2);
    let error = sums(1).unwrap_err();
    assert!(
        matches!(error, QueryError::TooManyGroups { limit: 1 }),
        "{error}"
    );
}

/// What a record of this number is like: its time in seconds, its model and its caller.
fn numbered(n: i64) -> UsageRecord {
    // Every 7th took a while longer, so it is committed after later ones.
    let second = if n % 7 == 0 { n - 5 } else { n }.max(0);
    let time = datetime!(2026-11-22 0:00 UTC) + time::Duration::seconds(second);
    let format = time::format_description::well_known::Rfc3339;
    let mut record = sample::at(&time.format(&format).unwrap());
    record.model = Some(if n % 2 == 0 { "even" } else { "odd" }.to_owned());
    record.identity.access_key_id = Some(
        match n {
            0..=9 | 2_600..=2_609 => "AKIARARE",
            _ => "AKIAOFTEN",
        }
        .to_owned(),
    );
    record.identity.account_id = (n == 4_000).then(|| "000000000001".to_owned());
    record
}

#[tokio::test]
async fn what_spans_tell_finds_the_same_rows_as_looking_at_all_of_them() {
    let records: Vec<_> = (0..4_200).map(numbered).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let ledger = Ledger::open(&path).unwrap();
    for some in records.chunks(64) {
        let commits = some
            .iter()
            .map(|record| ledger.commit(record.clone(), None));
        for commit in commits {
            assert_eq!(commit.await, Committed::Stored);
        }
    }
    ledger.flush().await;
    let reader = Reader::open(&path).unwrap();
    let mut in_order: Vec<&UsageRecord> = records.iter().collect();
    in_order.sort_by(|a, b| a.time.cmp(&b.time));
    let is = |text: &Option<String>, wanted: &str| text.as_deref() == Some(wanted);
    let who = |record: &UsageRecord, wanted: &str| {
        is(&record.identity.access_key_id, wanted) || is(&record.identity.account_id, wanted)
    };
    let since = Since::parse("2026-11-22T00:43:25Z").unwrap();
    let since_ms = since.resolve(datetime!(2026-12-01 0:00 UTC));
    for identity in ["AKIARARE", "AKIAOFTEN", "000000000001", "nobody"] {
        for model in [None, Some("odd"), Some("neither")] {
            for since in [None, Some(since_ms)] {
                let query = Query {
                    identity: Some(identity.to_owned()),
                    model: model.map(str::to_owned),
                    since_ms: since,
                    ..Query::default()
                };
                let expected = in_order.iter().filter(|record| {
                    who(record, identity)
                        && model.is_none_or(|model| is(&record.model, model))
                        && (since.is_none() || record.time.as_str() >= "2026-11-22T00:43:25Z")
                });
                let expected = ids_of(expected.copied());
                assert_eq!(ids(&reader, &query), expected, "{query:?}");
                let calls = reader.sums(&query, &[Dimension::Model], &mut || ());
                let calls = calls.unwrap().total.calls;
                assert_eq!(usize::try_from(calls).unwrap(), expected.len(), "{query:?}");
                for newest in [1, 12, 500] {
                    let query = Query {
                        newest: Some(newest),
                        ..query.clone()
                    };
                    let first = expected.len().saturating_sub(newest as usize);
                    assert_eq!(ids(&reader, &query), expected[first..], "{query:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_rare_caller_is_looked_for_where_it_is() {
    let (_directory, path, _ledger) = {
        let records: Vec<_> = (0..4_200).map(numbered).collect();
        ledger_of(&records).await
    };
    _ledger.flush().await;
    let reader = Reader::open(&path).unwrap();
    let seconds = |who: &str| {
        let windows = span::windows(&reader.connection, &[who.to_owned()]).unwrap();
        let lengths = windows.iter().map(|window| window.to_ms - window.from_ms);
        (windows.len(), lengths.sum::<i64>() / 1000)
    };
    // Rows 1 to 1023, 1024 to 2047, … are a span each; behind the last full one nothing is known.
    let (windows, long) = seconds("AKIARARE");
    assert!(windows == 3 && long < 2_300, "{windows}, {long} s");
    assert_eq!(seconds("AKIAOFTEN").0, 1);
    let (windows, long) = seconds("nobody");
    assert!(windows == 1 && long < 150, "{windows}, {long} s");
}
