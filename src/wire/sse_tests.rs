//! Server-sent events by the examples of the standard, in every cut.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Default, PartialEq, Eq)]
struct Events {
    data: Vec<u8>,
    events: Vec<(String, String)>,
}

impl SseSink for Events {
    fn data(&mut self, piece: &[u8]) {
        self.data.extend_from_slice(piece);
    }

    fn event(&mut self, name: &[u8]) {
        let data = std::mem::take(&mut self.data);
        self.events.push((
            String::from_utf8_lossy(name).into_owned(),
            String::from_utf8_lossy(&data).into_owned(),
        ));
    }
}

fn decode(pieces: &[&[u8]]) -> Events {
    let mut events = Events::default();
    let mut decoder = SseDecoder::new();
    for piece in pieces {
        decoder.push(piece, &mut events);
    }
    events
}

const ROWS: &[(&str, &[(&str, &str)])] = &[
    ("data: a\n\n", &[("", "a")]),
    ("data:a\n\n", &[("", "a")]),
    ("data:  a\n\n", &[("", " a")]),
    ("data: a\ndata: b\n\n", &[("", "a\nb")]),
    ("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]),
    (
        "data: a\rdata: b\r\rdata: c\r\r",
        &[("", "a\nb"), ("", "c")],
    ),
    ("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("", "b")]),
    ("data: a\nevent: x\n\n", &[("x", "a")]),
    ("event: x\nevent: y\ndata: a\n\n", &[("y", "a")]),
    ("event: x\n\ndata: a\n\n", &[("", "a")]),
    (
        ": comment\nid: 7\nretry: 1\n: data: no\ndata: a\n\n",
        &[("", "a")],
    ),
    ("data\n\n", &[("", "")]),
    ("data\ndata\n\n", &[("", "\n")]),
    ("data: a: b\n\n", &[("", "a: b")]),
    ("datax: a\nDATA: b\n data: c\nevent-name: d\n\n", &[]),
    ("\u{feff}data: a\n\n", &[("", "a")]),
    ("\u{feff}event: x\ndata: a\n\n", &[("x", "a")]),
    ("data: a\n\n\u{feff}data: b\n\n", &[("", "a")]),
    ("\n\n\ndata: a\n\n\n\n", &[("", "a")]),
    ("data: unfinished\n", &[]),
];

#[test]
fn every_row_of_the_standard_decodes_in_every_cut() {
    for (input, wanted) in ROWS {
        let wanted: Vec<(String, String)> = wanted
            .iter()
            .map(|(name, data)| ((*name).to_owned(), (*data).to_owned()))
            .collect();
        for at in 0..=input.len() {
            let (head, tail) = input.as_bytes().split_at(at);
            assert_eq!(
                decode(&[head, tail]).events,
                wanted,
                "{input:?} cut at {at}"
            );
        }
        let octets: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
        assert_eq!(decode(&octets).events, wanted, "{input:?} by octets");
    }
}

#[test]
fn a_name_beyond_the_limit_counts_as_none() {
    let name = "x".repeat(MAX_NAME);
    let input =
        format!("event: {name}\ndata: a\n\nevent: {name}y\ndata: b\n\nevent: z\ndata: c\n\n");
    let names: Vec<String> = decode(&[input.as_bytes()])
        .events
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [name, String::new(), "z".to_owned()]);
}

#[test]
fn it_knows_whether_an_event_is_under_way() {
    let mut events = Events::default();
    let mut decoder = SseDecoder::new();
    let overlong = format!("event: {}\n", "x".repeat(MAX_NAME + 1));
    for (input, between) in [
        ("", true),
        ("data: a\n", false),
        ("\n", true),
        ("event: x\r\n", false),
        ("\r\n", true),
        (overlong.as_str(), false),
        ("\n", true),
        ("da", false),
    ] {
        decoder.push(input.as_bytes(), &mut events);
        assert_eq!(decoder.is_between_events(), between, "after {input:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_octets_decode_the_same_in_any_cut(
        input in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(data|event|:|: |x|\u{feff}|\r|\n|\r\n|\n\n){0,40}".prop_map(String::into_bytes),
        ],
        size in 1_usize..9,
    ) {
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        prop_assert_eq!(decode(&[&input]), decode(&pieces));
    }
}
