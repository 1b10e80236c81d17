//! The scanner against `serde_json` as oracle, in every cut, and against what peers could send instead of JSON.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Keeps everything it is told, under full paths. Members whose names begin with `skip` are not wanted, those that begin
/// with `text` are streamed.
#[derive(Debug, Default)]
struct Recorder {
    paths: Vec<String>,
    told: Vec<(String, String)>,
    pieces: Vec<(String, Vec<u8>)>,
}

impl Recorder {
    fn place(&mut self, parent: Place, step: &str) -> Place {
        let path = format!("{}/{step}", self.path(parent));
        self.paths.push(path);
        Place(u16::try_from(self.paths.len()).unwrap_or(u16::MAX))
    }

    fn path(&self, place: Place) -> String {
        usize::from(place.0)
            .checked_sub(1)
            .and_then(|at| self.paths.get(at))
            .cloned()
            .unwrap_or_default()
    }

    fn text_of(&self, path: &str) -> Option<String> {
        let bytes: Vec<u8> = self
            .pieces
            .iter()
            .filter(|(at, _)| at == path)
            .flat_map(|(_, piece)| piece.clone())
            .collect();
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl JsonSink for Recorder {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        let key = String::from_utf8_lossy(key).into_owned();
        if key.starts_with("skip") {
            return Want::Skip;
        }
        let place = self.place(object, &key);
        if key.starts_with("text") {
            Want::Stream(place)
        } else {
            Want::Take(place)
        }
    }

    fn element(&mut self, array: Place, index: u32) -> Want {
        Want::Take(self.place(array, &index.to_string()))
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>) {
        let value = match value {
            Scalar::Number(number) => String::from_utf8_lossy(number).into_owned(),
            Scalar::String(text) => format!("{:?}", String::from_utf8_lossy(text)),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Null => "null".to_owned(),
        };
        self.told.push((self.path(place), value));
    }

    fn text(&mut self, place: Place, piece: &[u8]) {
        assert!(!piece.is_empty());
        self.pieces.push((self.path(place), piece.to_vec()));
    }

    fn end(&mut self, place: Place) {
        self.told.push((self.path(place), "end".to_owned()));
    }
}

fn scan(pieces: &[&[u8]]) -> (Recorder, Result<(), JsonError>) {
    let mut recorder = Recorder::default();
    let mut scanner = JsonScanner::new(Want::Take(Place(0)));
    let pushed = pieces
        .iter()
        .try_for_each(|piece| scanner.push(piece, &mut recorder));
    let finished = pushed.and_then(|()| scanner.finish(&mut recorder));
    (recorder, finished)
}

fn told(input: &str) -> Vec<(String, String)> {
    let (recorder, finished) = scan(&[input.as_bytes()]);
    assert_eq!(finished, Ok(()), "{input}");
    recorder.told
}

fn flat(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn scalars_come_with_their_paths() {
    let found = told(r#" {"a": 1, "b": [true, {"c": null}], "d": "x", "e": -1.5e3} "#);
    let wanted = [
        ("/a", "1"),
        ("/b/0", "true"),
        ("/b/1/c", "null"),
        ("/b/1", "end"),
        ("/b", "end"),
        ("/d", "\"x\""),
        ("/e", "-1.5e3"),
        ("", "end"),
    ];
    assert_eq!(found, flat(&wanted));
}

#[test]
fn a_duplicate_key_is_told_twice_and_the_last_is_last() {
    let found = told(r#"{"a":1,"a":2}"#);
    assert_eq!(found, flat(&[("/a", "1"), ("/a", "2"), ("", "end")]));
}

#[test]
fn escapes_are_resolved_in_keys_and_strings() {
    let found = told(r#"{"\u0061\/":"\"\\\b\f\n\r\t\u00e9\ud83d\ude00"}"#);
    let wanted = format!("{:?}", "\"\\\u{8}\u{c}\n\r\té😀");
    assert_eq!(found, flat(&[("/a/", &wanted), ("", "end")]));
}

#[test]
fn a_surrogate_without_partner_becomes_a_replacement_character() {
    for (written, read) in [
        (r"\ud83d", "\u{fffd}"),
        (r"\ud83dx", "\u{fffd}x"),
        (r"\ud83d\n", "\u{fffd}\n"),
        (r"\ud83d\u0041", "\u{fffd}A"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        (r"\ude00", "\u{fffd}"),
    ] {
        let found = told(&format!(r#"["{written}"]"#));
        assert_eq!(
            found,
            flat(&[("/0", &format!("{read:?}")), ("", "end")]),
            "{written}"
        );
    }
}

#[test]
fn strings_are_whole_up_to_the_limit_and_unreported_beyond() {
    let longest = "x".repeat(MAX_STRING);
    let found = told(&format!(r#"["{longest}","{longest}x","\n{longest}",1]"#));
    let wanted = [("/0", format!("{longest:?}")), ("/3", "1".to_owned())];
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|(at, it)| (*at, it.as_str())).collect();
    assert_eq!(found, flat(&[&wanted[..], &[("", "end")]].concat()));
}

#[test]
fn a_streamed_string_has_no_limit() {
    let long = "0123456789é".repeat(100_000);
    let (recorder, finished) = scan(&[format!(r#"{{"text":"{long}\n","a":1}}"#).as_bytes()]);
    assert_eq!(finished, Ok(()));
    assert_eq!(recorder.text_of("/text"), Some(format!("{long}\n")));
    assert_eq!(recorder.told, flat(&[("/a", "1"), ("", "end")]));
}

#[test]
fn memory_stays_bounded_over_thirty_megabytes() {
    let mut recorder = Recorder::default();
    let mut scanner = JsonScanner::new(Want::Take(Place(0)));
    let piece = vec![b'1'; 64 * 1024];
    for (opening, closing) in [("\"", "\""), ("", "")] {
        scanner.reset();
        let document = [
            format!(r#"{{"skip":{opening}"#),
            format!(r#"{closing},"a":{opening}"#),
            format!(r#"{closing},"b":{opening}7{closing}}}"#),
        ];
        for (turn, part) in document.iter().enumerate() {
            scanner
                .push(part.as_bytes(), &mut recorder)
                .expect("good JSON");
            let pieces = if turn < 2 { 15 * 16 } else { 0 };
            for _ in 0..pieces {
                scanner.push(&piece, &mut recorder).expect("good JSON");
            }
        }
        assert!(scanner.is_complete());
        assert!(scanner.scratch.capacity() <= 2 * MAX_STRING);
    }
    let values: Vec<&str> = recorder
        .told
        .iter()
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(values, ["\"7\"", "end", "7", "end"]);
}

#[test]
fn a_place_to_stream_still_shows_other_values() {
    let (recorder, _) = scan(&[br#"{"text":{"a":1},"text2":2,"text3":""}"#]);
    let wanted = [
        ("/text/a", "1"),
        ("/text", "end"),
        ("/text2", "2"),
        ("", "end"),
    ];
    assert_eq!(recorder.told, flat(&wanted));
}

#[test]
fn what_nobody_wants_is_skipped_with_all_its_brackets_and_quotes() {
    let found = told(
        r#"{"skip1":{"a":"}\"}","b":[{}]},"skip2":[[1,"]\\"],{}],"skip3":"\ud83d\"","skip4":1.5,"skip5":null,"a":7}"#,
    );
    assert_eq!(found, flat(&[("/a", "7"), ("", "end")]));
}

#[test]
fn containers_beyond_the_depth_are_skipped() {
    let deep = format!("{}7{}", "[".repeat(1000), "]".repeat(1000));
    let found = told(&format!("[{deep},8]"));
    assert!(found.contains(&("/1".to_owned(), "8".to_owned())));
    assert!(!found.iter().any(|(_, value)| value == "7"));
}

#[test]
fn scanning_stops_after_the_first_document() {
    let found = told(r#"{"a":1}{"a":2}]"#);
    assert_eq!(found, flat(&[("/a", "1"), ("", "end")]));
}

#[test]
fn a_bare_number_ends_with_the_input() {
    assert_eq!(told("42"), flat(&[("", "42")]));
}

#[test]
fn counts_are_numbers_without_sign_and_fraction() {
    for (written, count) in [
        ("0", Some(0)),
        ("9007199254740992", Some(1 << 53)),
        ("9007199254740993", None),
        ("18446744073709551616", None),
        ("12.0", Some(12)),
        ("1e3", Some(1000)),
        ("1e300", None),
        ("12.5", None),
        ("-1", None),
        ("1-2", None),
        ("-", None),
    ] {
        assert_eq!(
            Scalar::Number(written.as_bytes()).as_count(),
            count,
            "{written}"
        );
    }
    assert_eq!(Scalar::String(b"1").as_count(), None);
}

#[test]
fn malformed_text_is_refused_where_it_goes_wrong() {
    for (input, at) in [
        ("x", 0),
        ("{1", 1),
        (r#"{"a" 1"#, 5),
        (r#"{"a":}"#, 5),
        (r#"{"a":1 2"#, 7),
        ("  x", 2),
        (r#"{"a":1]"#, 6),
        (r#"{"a":1,}"#, 7),
        ("[1,]", 3),
        ("[1}", 2),
        ("[trug]", 4),
        (r#"["\x"]"#, 3),
        (r#"["\u12g4"]"#, 6),
    ] {
        let (_, finished) = scan(&[input.as_bytes()]);
        assert!(
            matches!(finished, Err(JsonError::Unexpected { at: found, .. }) if found == at),
            "{input}: {finished:?}"
        );
    }
}

#[test]
fn truncated_text_is_said_to_be_so() {
    let whole = r#"{"a":[1,"b\u0041",true],"skip":[{"x":"y"}]}"#;
    for end in 0..whole.len() {
        let (_, finished) = scan(&[&whole.as_bytes()[..end]]);
        let at = u64::try_from(end).expect("a short text");
        assert_eq!(finished, Err(JsonError::Truncated { at }));
    }
}

#[test]
fn a_failed_scanner_stays_failed_until_it_is_reset() {
    let mut recorder = Recorder::default();
    let mut scanner = JsonScanner::new(Want::Take(Place(0)));
    let error = scanner.push(b"}", &mut recorder);
    assert!(error.is_err());
    assert_eq!(scanner.push(b"{}", &mut recorder), error);
    scanner.reset();
    assert_eq!(scanner.push(b"{}", &mut recorder), Ok(()));
    assert!(scanner.is_complete());
}

#[test]
fn every_cut_in_two_tells_the_same() {
    let input = r#"{"a":-12.5e+3,"\ud83d\ude00k":["é\ud83d\ude00\ud83dz",false,null],"skip":{"q":"]\\\"}"},"text":"lo\u00e9ng"}"#;
    let (whole, finished) = scan(&[input.as_bytes()]);
    assert_eq!(finished, Ok(()));
    for at in 0..=input.len() {
        let (head, tail) = input.as_bytes().split_at(at);
        let (cut, finished) = scan(&[head, tail]);
        assert_eq!(finished, Ok(()));
        assert_eq!(cut.told, whole.told, "cut at {at}");
        assert_eq!(cut.text_of("/text"), whole.text_of("/text"));
    }
}

/// What the recorder should hear of a value, by the oracle's tree.
fn expect(path: &str, value: &Value, told: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if !key.starts_with("skip") {
                    expect(&format!("{path}/{key}"), value, told);
                }
            }
            told.push((path.to_owned(), "end".to_owned()));
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                expect(&format!("{path}/{index}"), value, told);
            }
            told.push((path.to_owned(), "end".to_owned()));
        }
        Value::String(text) => told.push((path.to_owned(), format!("{text:?}"))),
        other => told.push((path.to_owned(), other.to_string())),
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\"\\\\{}\\[\\]:,]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("(skip)?[a-z\"\\\\]{0,3}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Cuts `input` at places derived from `seeds`.
fn cut<'a>(input: &'a [u8], seeds: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = seeds
        .iter()
        .map(|seed| seed.index(input.len() + 1))
        .collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for place in places {
        pieces.push(&input[start..place]);
        start = place;
    }
    pieces.push(&input[start..]);
    pieces
}

proptest! {
    #[test]
    fn agrees_with_the_oracle_in_any_cut(
        value in json(),
        pretty in any::<bool>(),
        seeds in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let written = if pretty { format!("{value:#}") } else { value.to_string() };
        let (recorder, finished) = scan(&cut(written.as_bytes(), &seeds));
        let mut wanted = Vec::new();
        expect("", &value, &mut wanted);
        prop_assert_eq!(finished, Ok(()));
        prop_assert_eq!(recorder.told, wanted);
    }

    #[test]
    fn arbitrary_octets_tell_the_same_in_any_cut_and_never_panic(
        input in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[{}\\[\\]\":,\\\\u0-9a-ftrue ]{0,60}".prop_map(String::into_bytes),
        ],
        seeds in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let (whole, ended) = scan(&[&input]);
        let (pieces, also_ended) = scan(&cut(&input, &seeds));
        prop_assert_eq!(ended, also_ended);
        prop_assert_eq!(whole.told, pieces.told);
        if ended.is_err() {
            prop_assert!(serde_json::from_slice::<Value>(&input).is_err());
        }
    }
}
