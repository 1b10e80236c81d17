//! The audit of the soak finds whatever is wrong: good books are spoiled, one thing at a time.

use std::net::SocketAddr;
use std::time::Instant;

use uuid::Uuid;

use super::harness::audit::{Audit, audit, held, missing};
use super::harness::book::{
    Asked, Exchange, Heard, Pages, Seen, Sent, Tokens, Told, Unmarked, Whole,
};
use super::harness::reading::End;
use super::harness::rows::Row;

const CLIENT: &str = "127.0.1.1:4000";

fn client() -> SocketAddr {
    CLIENT.parse().unwrap()
}

/// A call that was answered whole.
fn answered() -> Exchange {
    Exchange {
        asked: Asked {
            client: client(),
            entry: "connect",
            operation: "Converse",
            model: "m".to_owned(),
            crc: 7,
            body_bytes: 10,
            status: 200,
            troubled: false,
            follows: false,
            refusal: None,
        },
        told: Some(Told {
            sent: Sent::All,
            heard: Heard::Whole(Whole {
                status: 200,
                code: None,
                request_id: Some("r".to_owned()),
                tokens: Tokens::Told {
                    input: Some(1),
                    output: Some(2),
                    cache_read: Some(3),
                    cache_write: None,
                },
                body_bytes: 20,
            }),
            left: false,
        }),
        upstream: Seen {
            heads: 1,
            crc: Some(7),
            answered: true,
        },
        overtaken: false,
        ended: None,
    }
}

/// Its record.
fn row(marker: Uuid) -> Row {
    Row {
        id: "1".to_owned(),
        marker: Some(marker.to_string()),
        client: CLIENT.to_owned(),
        entry: "connect".to_owned(),
        operation: Some("Converse".to_owned()),
        model: Some("m".to_owned()),
        status: Some(200),
        outcome: "complete".to_owned(),
        request_id: Some("r".to_owned()),
        input: Some(1),
        output: Some(2),
        cache_read: Some(3),
        source: Some("body".to_owned()),
        request_bytes: 10,
        response_bytes: 20,
        ..Row::default()
    }
}

/// What the audit finds in one exchange with these records.
fn found(exchange: Exchange, rows: &[Row]) -> Audit {
    let mut pages = Pages::default();
    pages.exchanges.insert(Uuid::nil(), exchange);
    audit(&pages, rows, false)
}

/// What it finds in an exchange that was heard and left like this.
fn left(heard: Heard, left: bool, seen: Seen, outcome: &str) -> Audit {
    let mut exchange = answered();
    exchange.upstream = seen;
    exchange.told = Some(Told {
        sent: Sent::All,
        heard,
        left,
    });
    let row = Row {
        outcome: outcome.to_owned(),
        ..row(Uuid::nil())
    };
    found(exchange, &[row])
}

#[test]
fn good_books_have_no_findings() {
    let audit = found(answered(), &[row(Uuid::nil())]);
    assert_eq!(audit.findings, Vec::<String>::new());
    assert_eq!((audit.whole, audit.lost, audit.doubled), (1, 0, 0));
    assert_eq!(audit.tally["whole answer → complete"], 1);
}

#[test]
fn a_record_that_is_missing_or_there_twice_is_found() {
    let lost = found(answered(), &[]);
    assert_eq!((lost.lost, lost.findings.len()), (1, 1));
    let doubled = Row {
        id: "2".to_owned(),
        ..row(Uuid::nil())
    };
    let twice = found(answered(), &[row(Uuid::nil()), doubled]);
    assert_eq!((twice.doubled, twice.findings.len()), (1, 1));
    let stranger = found(answered(), &[row(Uuid::nil()), row(Uuid::max())]);
    // Of the stranger nothing is known, and the id is the same.
    assert_eq!(stranger.findings.len(), 2);
}

#[test]
fn a_record_that_says_anything_else_is_found() {
    let spoil: [fn(&mut Row); 13] = [
        |row| row.client = "127.0.1.1:4001".to_owned(),
        |row| row.entry = "route".to_owned(),
        |row| row.operation = None,
        |row| row.model = None,
        |row| row.status = Some(500),
        |row| row.outcome = "client_aborted".to_owned(),
        |row| row.request_id = None,
        |row| row.input = Some(2),
        |row| row.output = None,
        |row| row.cache_write = Some(0),
        |row| row.source = Some("estimated".to_owned()),
        |row| row.request_bytes = 9,
        |row| row.response_bytes = 21,
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut row = row(Uuid::nil());
        spoil(&mut row);
        let findings = found(answered(), &[row]).findings;
        assert_eq!(findings.len(), 1, "{n}: {findings:?}");
    }
}

#[test]
fn what_the_upstream_saw_is_held_against_what_was_sent() {
    let spoil: [fn(&mut Exchange); 4] = [
        |exchange| exchange.upstream.heads = 2,
        |exchange| exchange.upstream.heads = 0,
        |exchange| exchange.upstream.crc = Some(8),
        |exchange| exchange.asked.status = 429,
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut exchange = answered();
        spoil(&mut exchange);
        let findings = found(exchange, &[row(Uuid::nil())]).findings;
        assert_eq!(findings.len(), 1, "{n}: {findings:?}");
    }
}

#[test]
fn usage_that_nobody_told_is_no_report() {
    for tokens in [Tokens::Untold, Tokens::None] {
        let mut exchange = answered();
        if let Some(Told {
            heard: Heard::Whole(whole),
            ..
        }) = &mut exchange.told
        {
            whole.tokens = tokens;
        }
        assert_eq!(found(exchange, &[row(Uuid::nil())]).findings.len(), 1);
    }
}

#[test]
fn a_client_that_stays_is_answered_unless_its_upstream_breaks_off() {
    let saw = Seen {
        heads: 1,
        crc: Some(7),
        answered: false,
    };
    let silent = left(
        Heard::Nothing(Some(End::Closed)),
        false,
        saw,
        "client_aborted",
    );
    assert_eq!(silent.findings.len(), 1);
    let begun = Heard::Begun { status: 200 };
    assert_eq!(
        left(begun.clone(), false, saw, "upstream_aborted")
            .findings
            .len(),
        1
    );
    let mut exchange = answered();
    exchange.asked.troubled = true;
    exchange.told = Some(Told {
        sent: Sent::All,
        heard: begun,
        left: false,
    });
    let aborted = Row {
        outcome: "upstream_aborted".to_owned(),
        ..row(Uuid::nil())
    };
    let audit = found(exchange, &[aborted]);
    assert_eq!(audit.findings, Vec::<String>::new());
}

#[test]
fn a_client_that_goes_is_recorded_as_gone_or_as_served() {
    let saw = |answered| Seen {
        heads: 1,
        crc: Some(7),
        answered,
    };
    let nothing = || Heard::Nothing(None);
    assert!(
        left(nothing(), true, saw(false), "client_aborted")
            .findings
            .is_empty()
    );
    assert!(
        left(nothing(), true, saw(true), "complete")
            .findings
            .is_empty()
    );
    assert_eq!(
        left(nothing(), true, saw(false), "complete").findings.len(),
        1
    );
    assert_eq!(left(nothing(), true, saw(true), "failed").findings.len(), 1);
    assert_eq!(
        left(nothing(), true, saw(true), "upstream_aborted")
            .findings
            .len(),
        1
    );
    // The upstream knows of it, so somebody owes a record.
    let mut exchange = answered();
    exchange.told = Some(Told {
        sent: Sent::All,
        heard: nothing(),
        left: true,
    });
    assert_eq!(found(exchange, &[]).lost, 1);
}

#[test]
fn less_than_a_head_leaves_no_record() {
    let mut exchange = answered();
    exchange.upstream = Seen::default();
    exchange.told = Some(Told {
        sent: Sent::Little,
        heard: Heard::Nothing(None),
        left: true,
    });
    let gone = Row {
        outcome: "client_aborted".to_owned(),
        ..row(Uuid::nil())
    };
    assert_eq!(found(exchange, &[gone]).findings.len(), 1);
}

#[test]
fn an_answer_of_the_gate_has_its_outcome_and_a_reason() {
    let refused = |code: &str, outcome: &str, refusal, troubled| {
        let mut exchange = answered();
        exchange.asked.refusal = refusal;
        exchange.asked.troubled = troubled;
        exchange.told = Some(Told {
            sent: Sent::All,
            heard: Heard::Whole(Whole {
                status: 400,
                code: Some(code.to_owned()),
                request_id: None,
                tokens: Tokens::None,
                body_bytes: 1,
            }),
            left: false,
        });
        let row = Row {
            status: Some(400),
            outcome: outcome.to_owned(),
            error_type: Some("E".to_owned()),
            ..row(Uuid::nil())
        };
        found(exchange, &[row]).findings.len()
    };
    assert_eq!(
        refused("misdirected", "refused", Some("misdirected"), false),
        0
    );
    assert_eq!(
        refused("misdirected", "failed", Some("misdirected"), false),
        1
    );
    assert_eq!(
        refused("host-denied", "refused", Some("misdirected"), false),
        1
    );
    assert_eq!(refused("upstream-tls", "failed", None, true), 0);
    assert_eq!(refused("upstream-tls", "failed", None, false), 1);
    assert_eq!(refused("stopping", "failed", None, true), 1);
}

#[test]
fn a_kill_excuses_everything_but_a_whole_answer() {
    let overtaken = |heard| {
        let mut exchange = answered();
        exchange.overtaken = true;
        exchange.told = Some(Told {
            sent: Sent::All,
            heard,
            left: false,
        });
        exchange
    };
    let nothing = overtaken(Heard::Nothing(Some(End::Reset)));
    assert!(found(nothing, &[]).findings.is_empty());
    assert!(
        found(overtaken(Heard::Begun { status: 200 }), &[])
            .findings
            .is_empty()
    );
    let mut whole = answered();
    whole.overtaken = true;
    assert_eq!(found(whole, &[]).lost, 1);
    let mut whole = answered();
    whole.overtaken = true;
    let mut pages = Pages::default();
    pages.exchanges.insert(Uuid::nil(), whole);
    assert_eq!(audit(&pages, &[], true).lost, 0, "the ledger had said so");
}

#[test]
fn what_has_no_marker_is_known_by_its_client() {
    let expected = Unmarked {
        client: client(),
        what: "malformed request",
        certain: true,
        status: Some(400),
        outcomes: &["refused"],
        bytes: None,
        overtaken: false,
        ended: Instant::now(),
    };
    let refused = Row {
        marker: None,
        status: Some(400),
        outcome: "refused".to_owned(),
        ..row(Uuid::nil())
    };
    let found = |unmarked: &[Unmarked], rows: &[Row]| {
        let pages = Pages {
            unmarked: unmarked.to_vec(),
            ..Pages::default()
        };
        audit(&pages, rows, false).findings.len()
    };
    let once = std::slice::from_ref(&expected);
    assert_eq!(found(once, std::slice::from_ref(&refused)), 0);
    assert_eq!(found(once, &[]), 1);
    assert_eq!(found(&[], std::slice::from_ref(&refused)), 1);
    let other = Row {
        status: Some(431),
        ..refused.clone()
    };
    // Neither is the one what the other is.
    assert_eq!(found(once, &[other]), 2);
    let twice = Row {
        id: "2".to_owned(),
        ..refused.clone()
    };
    assert_eq!(found(once, &[refused, twice]), 1);
}

#[test]
fn whoever_holds_an_answer_is_looked_up() {
    let mut pages = Pages::default();
    pages.exchanges.insert(Uuid::nil(), answered());
    let mut unheard = answered();
    unheard.told = None;
    pages.exchanges.insert(Uuid::max(), unheard);
    let held = held(&pages);
    assert_eq!(held, [Uuid::nil()]);
    assert_eq!(missing(&held, &[]), 1);
    assert_eq!(missing(&held, &[row(Uuid::nil())]), 0);
}
