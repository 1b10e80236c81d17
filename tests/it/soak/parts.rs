//! The parts of the soak that its verdict rests on, apart from the audit.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::harness::acts::{Acts, CRC, Coding, Delimited, Going, MARKER, Nonsense};
use super::harness::dice::Dice;
use super::harness::reading::{Body, End, Head, Reading};
use super::harness::trend::{fit, median};
use super::harness::upstream::script::{After, Script, Step, script};
use super::harness::watch::{look, ticks};

#[test]
fn acts_survive_the_field_they_travel_in() {
    let acts = Acts {
        wait: 3,
        cut: Some((500, Going::Reset)),
        nonsense: Some(Nonsense::Noise),
        ..Acts::default()
    };
    let text = serde_json::to_string(&acts).unwrap();
    assert_eq!(text, r#"{"wait":3,"cut":[500,"Reset"],"nonsense":"Noise"}"#);
    assert_eq!(serde_json::from_str::<Acts>(&text).unwrap(), acts);
    assert!(acts.breaks() && !Acts::default().breaks());
}

#[test]
fn the_same_seed_rolls_the_same_and_another_does_not() {
    let rolls = |seed| {
        let mut dice = Dice::new(seed);
        (0..8).map(|_| dice.roll()).collect::<Vec<_>>()
    };
    assert_eq!(rolls(1), rolls(1));
    assert_ne!(rolls(1), rolls(2));
    let dice = Dice::new(1);
    assert_ne!(dice.apart(1).roll(), dice.apart(2).roll());
}

#[test]
fn weights_are_kept_and_bounds_are_included() {
    let mut dice = Dice::new(7);
    let mut seen = [0; 3];
    for _ in 0..4000 {
        seen[dice.weighted(&[(1, 0), (3, 1)], 2)] += 1;
    }
    assert_eq!(seen[2], 0);
    assert!(seen[0] > 800 && seen[1] > 2700, "{seen:?}");
    let mut ends = [false; 2];
    for _ in 0..200 {
        match dice.between(3, 5) {
            3 => ends[0] = true,
            5 => ends[1] = true,
            other => assert_eq!(other, 4),
        }
    }
    assert_eq!(ends, [true; 2]);
}

async fn read(wire: &[u8]) -> (Head, Result<(), End>, Body) {
    let mut reading = Reading::new(wire);
    let head = reading.response_head().await.unwrap().unwrap();
    let framing = head.response_framing().unwrap();
    let mut body = Body::default();
    let end = reading.body(framing, &mut body).await;
    (head, end, body)
}

#[tokio::test]
async fn every_framing_is_read_to_its_end_and_its_octets_counted() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\nT: 1\r\n\r\nmore";
    let (_, end, body) = read(chunked).await;
    assert_eq!((end, body.content.as_slice()), (Ok(()), &b"abc"[..]));
    assert_eq!(body.wire_bytes, 7 + 5 + 3 + 6 + 2);
    let (_, end, body) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc").await;
    assert_eq!((end, body.content.as_slice()), (Ok(()), &b"ab"[..]));
    let (_, end, body) = read(b"HTTP/1.1 200 OK\r\n\r\nabc").await;
    assert_eq!((end, body.wire_bytes), (Ok(()), 3));
}

#[tokio::test]
async fn what_is_cut_is_not_taken_for_whole() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        assert_eq!(read(wire).await.1, Err(End::Closed));
    }
    let wrong = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n";
    assert!(matches!(read(wrong).await.1, Err(End::Bad(_))));
}

#[test]
fn a_leak_has_a_slope_and_noise_has_none() {
    let leak: Vec<_> = (0..600)
        .map(|s| (f64::from(s), 1000.0 + 2.0 * f64::from(s)))
        .collect();
    let line = fit(&leak).unwrap();
    assert!((line.slope - 2.0).abs() < 1e-9 && (line.start - 1000.0).abs() < 1e-6);
    let noise: Vec<_> = (0..600)
        .map(|s| (f64::from(s), f64::from(s * 7919 % 101)))
        .collect();
    assert!(fit(&noise).unwrap().slope.abs() < 0.01);
    assert_eq!(fit(&[(1.0, 1.0)]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
}

#[test]
fn a_look_at_oneself_sees_what_one_opens() {
    let home = tempfile::tempdir().unwrap();
    let pid = std::process::id();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap())
        .collect();
    fs::write(home.path().join("ledger.db"), [0; 100]).unwrap();
    let file = fs::File::open(home.path().join("ledger.db")).unwrap();
    let seen = look(pid, home.path(), 0.0).unwrap();
    // Other tests of this process open sockets as well.
    assert!(seen.descriptors["socket"] >= 21, "{seen:?}");
    assert!(
        seen.sockets["established"] >= 20 && seen.sockets["listen"] >= 1,
        "{seen:?}"
    );
    assert!(seen.connected() >= 20);
    assert_eq!(seen.descriptors["file ledger.db"], 1);
    assert_eq!(seen.ledger_bytes, 100);
    assert!(seen.rss_kib > 1000 && seen.anon_kib < seen.rss_kib && seen.threads > 0);
    drop((held, file));
}

#[test]
fn a_name_with_anything_in_it_does_not_confuse_the_times() {
    let stat = "7 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 123 45 0 0 20 0 1 0 1";
    assert_eq!(ticks(stat), 168);
}

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n";

async fn played(acts: &Acts) -> (Script, Head, Result<(), End>, Body) {
    let head = Reading::new(HEAD).response_head().await.unwrap().unwrap();
    let script = script(acts, &head, b"{\"a\":1}".to_vec(), "m", "/model/x/converse");
    let wire: Vec<u8> = script
        .steps
        .iter()
        .flat_map(|step| match step {
            Step::Send(octets) => octets.clone(),
            Step::Rest(_) => Vec::new(),
        })
        .collect();
    let mut reading = Reading::new(wire.as_slice());
    let mut head = reading.response_head().await.unwrap().unwrap();
    while head.status < 200 {
        head = reading.response_head().await.unwrap().unwrap();
    }
    let mut body = Body::default();
    let framing = head.response_framing().unwrap();
    let end = reading.body(framing, &mut body).await;
    (script, head, end, body)
}

#[tokio::test]
async fn whatever_the_framing_a_whole_answer_reads_as_one() {
    for delimited in [
        Delimited::Length,
        Delimited::Chunks,
        Delimited::Close,
        Delimited::Http10,
    ] {
        for coding in [
            None,
            Some(Coding::Gzip),
            Some(Coding::Deflate),
            Some(Coding::Brotli),
            Some(Coding::Zstd),
        ] {
            let acts = Acts {
                delimited: Some(delimited),
                coding,
                interim: 3,
                pad: 50_000,
                ..Acts::default()
            };
            let (script, head, end, body) = played(&acts).await;
            assert!(script.whole && end.is_ok(), "{acts:?}");
            let crc = format!("{:08x}", crc32fast::hash(&body.content));
            assert_eq!(head.field(CRC), Some(crc.as_str()));
            assert_eq!(head.field(MARKER), Some("m"));
        }
    }
}

#[tokio::test]
async fn a_script_that_cuts_is_never_whole() {
    for delimited in [Delimited::Length, Delimited::Chunks, Delimited::Close] {
        for thousandths in [700, 999] {
            let acts = Acts {
                delimited: Some(delimited),
                cut: Some((thousandths, Going::Close)),
                pad: 5000,
                ..Acts::default()
            };
            let (script, _, end, _) = played(&acts).await;
            assert!(!script.whole);
            if delimited == Delimited::Close {
                assert_eq!(script.after, After::End(Going::Cut));
            } else {
                assert_eq!(end, Err(End::Closed));
            }
        }
    }
}

#[tokio::test]
async fn pauses_fall_between_pieces() {
    let acts = Acts {
        pace: Some((64, 1)),
        pad: 1000,
        stall: 5,
        wait: 2,
        ..Acts::default()
    };
    let (script, ..) = played(&acts).await;
    let rests = |millis| {
        let rest = Step::Rest(Duration::from_millis(millis));
        script.steps.iter().filter(|step| **step == rest).count()
    };
    assert_eq!((rests(2), rests(5)), (1, 1));
    assert!(rests(1) > 2);
}
