//! What bodies are made of: event streams, server-sent events, JSON, content codings.

use std::collections::BTreeMap;
use std::io::Write;

use aws_smithy_eventstream::frame::read_message_from;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::Value;

use super::{pieces, steered};
use crate::usage::coding::{Coding, CodingError, ContentDecoder, MAX_DECODED};
use crate::wire::eventstream::{DecodeError, Decoder, HeaderValue, MAX_MESSAGE};
use crate::wire::frames::Frames;
use crate::wire::json::{JsonScanner, JsonSink, MAX_DEPTH, MAX_STRING, Place, Scalar, Want};
use crate::wire::sse::{SseDecoder, SseSink};

/// Two lengths and their checksum; with the checksum of the whole, a message without headers and payload.
const PRELUDE: usize = 12;
const OVERHEAD: usize = PRELUDE + 4;

/// The messages of a stream, headers as they lie there, and how it ended.
type Stream = (Vec<(Vec<String>, Vec<u8>)>, Result<bool, DecodeError>);

fn decode_events<'a>(input: impl Iterator<Item = &'a [u8]>) -> Stream {
    let mut decoder = Decoder::new();
    let mut messages = Vec::new();
    for piece in input {
        let pushed = decoder.push(piece, |message| {
            let headers = message
                .headers
                .map(|header| format!("{header:?}"))
                .collect();
            messages.push((headers, message.payload.to_vec()));
        });
        if let Err(error) = pushed {
            assert_eq!(
                decoder.push(b"", |_| panic!("a message after the fault")),
                Err(error)
            );
            return (messages, Err(error));
        }
    }
    (messages, Ok(decoder.is_between_messages()))
}

/// An event stream as it comes: the same messages whatever the cut, and none that the SDK's own decoder does not see.
pub(super) fn event_stream(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let whole = decode_events(std::iter::once(bytes));
    assert_eq!(whole, decode_events(pieces(bytes, steer)));
    let (mut at_once, mut frames) = (Frames::default(), Frames::default());
    at_once.passed(bytes);
    pieces(bytes, steer).for_each(|piece| frames.passed(piece));
    assert_eq!(at_once.is_between(), frames.is_between());
    if let Ok(is_between) = whole.1 {
        assert_eq!(frames.is_between(), is_between);
    }
    let mut rest = bytes;
    let mut decoder = Decoder::new();
    while let Some(length) = rest.first_chunk().map(|length| u32::from_be_bytes(*length)) {
        let frame = rest.split_at_checked(usize::try_from(length).unwrap());
        let Some((frame, after)) = frame.filter(|(frame, _)| frame.len() >= OVERHEAD) else {
            break;
        };
        let mut count = 0;
        let sdk = read_message_from(frame);
        let ours = decoder.push(frame, |message| {
            count += 1;
            let headers: Result<Vec<_>, _> = message.headers.collect();
            match (&headers, &sdk) {
                (Ok(headers), Ok(sdk)) => {
                    assert_eq!(sdk.payload().as_ref(), message.payload);
                    let names: Vec<_> = sdk
                        .headers()
                        .iter()
                        .map(|header| header.name().as_str().to_owned())
                        .collect();
                    assert_eq!(
                        names,
                        headers
                            .iter()
                            .map(|(name, _)| (*name).to_owned())
                            .collect::<Vec<_>>()
                    );
                    for ((_, ours), sdk) in headers.iter().zip(sdk.headers()) {
                        let same = match ours {
                            HeaderValue::String(text) => sdk
                                .value()
                                .as_string()
                                .is_ok_and(|sdk| sdk.as_str() == *text),
                            HeaderValue::Int32(number) => sdk.value().as_int32() == Ok(*number),
                            HeaderValue::Bool(truth) => sdk.value().as_bool() == Ok(*truth),
                            HeaderValue::Bytes(octets) => sdk
                                .value()
                                .as_byte_array()
                                .is_ok_and(|sdk| sdk.as_ref() == *octets),
                            _ => true,
                        };
                        assert!(same, "{ours:?} is not {sdk:?}");
                    }
                }
                // Each side has forms of headers that the other does not take; both have verified the frame.
                (Err(_), _) | (_, Err(_)) => {}
            }
        });
        if ours.is_err() {
            break;
        }
        assert_eq!(count, 1);
        rest = after;
    }
}

/// An event stream with lengths that fit and checksums that match, so that what is behind them is reached: nothing is
/// lost, and nothing refused.
pub(super) fn event_stream_repaired(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let mut payloads = Vec::new();
    let stream = repaired(bytes, |payload| payloads.push(payload.to_vec()));
    let whole = decode_events(std::iter::once(&stream[..]));
    assert_eq!(whole, decode_events(pieces(&stream, steer)));
    let (messages, end) = whole;
    let decoded: Vec<_> = messages.into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(decoded, payloads);
    assert_eq!(end, Ok(true));
}

/// `bytes` as an event stream, with every frame's lengths and checksums made right; shows each payload.
pub(super) fn repaired(bytes: &[u8], mut payload: impl FnMut(&[u8])) -> Vec<u8> {
    let mut stream = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while rest.len() >= OVERHEAD {
        let number = |at: usize| {
            usize::try_from(u32::from_be_bytes(*rest[at..].first_chunk().unwrap())).unwrap()
        };
        let total = number(0).clamp(OVERHEAD, rest.len().min(MAX_MESSAGE));
        let headers = number(4).min(total - OVERHEAD);
        let start = stream.len();
        stream.extend_from_slice(&u32::try_from(total).unwrap().to_be_bytes());
        stream.extend_from_slice(&u32::try_from(headers).unwrap().to_be_bytes());
        stream.extend_from_slice(&crc32fast::hash(&stream[start..]).to_be_bytes());
        stream.extend_from_slice(&rest[PRELUDE..total - 4]);
        payload(&rest[PRELUDE + headers..total - 4]);
        stream.extend_from_slice(&crc32fast::hash(&stream[start..]).to_be_bytes());
        rest = &rest[total..];
    }
    stream
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Events {
    data: Vec<u8>,
    events: Vec<(Vec<u8>, Vec<u8>)>,
}

impl SseSink for Events {
    fn data(&mut self, piece: &[u8]) {
        self.data.extend_from_slice(piece);
    }

    fn event(&mut self, name: &[u8]) {
        self.events
            .push((name.to_vec(), std::mem::take(&mut self.data)));
    }
}

/// Server-sent events: the same whatever the cut, and the same as a reader that splits the whole text into lines.
pub(super) fn server_sent_events(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let decode = |input: &mut dyn Iterator<Item = &[u8]>| {
        let (mut events, mut decoder) = (Events::default(), SseDecoder::new());
        input.for_each(|piece| decoder.push(piece, &mut events));
        (events, decoder.is_between_events())
    };
    let whole = decode(&mut std::iter::once(bytes));
    assert_eq!(whole, decode(&mut pieces(bytes, steer)));
    assert_eq!(whole.0.events, events_of(bytes));
}

/// WHATWG HTML §9.2.6, from the whole text.
fn events_of(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut events = Vec::new();
    let (mut name, mut lines): (Vec<u8>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        let line = &rest[..end];
        rest = &rest[end..];
        rest = rest.strip_prefix(b"\r\n").unwrap_or_else(|| &rest[1..]);
        if line.is_empty() {
            if !lines.is_empty() {
                let shown = if name.len() > crate::wire::sse::MAX_NAME {
                    Vec::new()
                } else {
                    name.clone()
                };
                events.push((shown, lines.join(&b'\n')));
            }
            name.clear();
            lines.clear();
            continue;
        }
        let (field, value) = line.split_at(memchr::memchr(b':', line).unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => name = value.to_vec(),
            b"data" => lines.push(value),
            _ => {}
        }
    }
    events
}

/// Keeps what it is told under full paths. Members whose names begin with `s` are not wanted, with `t` are streamed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recorder {
    paths: Vec<String>,
    told: Vec<(String, String)>,
}

impl Recorder {
    fn place(&mut self, parent: Place, step: &str) -> Place {
        let path = format!("{}/{step:?}", self.path(parent));
        let prefix = format!("{path}/");
        // Of members with the same name the last counts, as it does for the oracle.
        self.told
            .retain(|(told, _)| *told != path && !told.starts_with(&prefix));
        self.paths.push(path);
        Place(u16::try_from(self.paths.len()).unwrap())
    }

    fn path(&self, place: Place) -> String {
        match usize::from(place.0) {
            0 => String::new(),
            at => self.paths[at - 1].clone(),
        }
    }
}

impl JsonSink for Recorder {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        let key = String::from_utf8_lossy(key).into_owned();
        let place = self.place(object, &key);
        match key.as_bytes().first() {
            Some(b's') => Want::Skip,
            Some(b't') => Want::Stream(place),
            _ => Want::Take(place),
        }
    }

    fn element(&mut self, array: Place, index: u32) -> Want {
        Want::Take(self.place(array, &index.to_string()))
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>) {
        let told = match value {
            Scalar::Number(number) => String::from_utf8_lossy(number).into_owned(),
            Scalar::String(text) => format!("{:?}", String::from_utf8_lossy(text)),
            Scalar::Bool(truth) => truth.to_string(),
            Scalar::Null => "null".to_owned(),
        };
        assert!(value.as_count().is_none_or(|count| count <= 1 << 53));
        self.told.push((self.path(place), told));
    }

    fn text(&mut self, place: Place, piece: &[u8]) {
        assert!(!piece.is_empty());
        let path = self.path(place);
        let piece = String::from_utf8_lossy(piece);
        match self.told.last_mut() {
            Some((told, text)) if *told == path => text.push_str(&piece),
            _ => self.told.push((path, format!("streamed {piece}"))),
        }
    }

    fn end(&mut self, _place: Place) {}
}

/// JSON: the same whatever the cut; and where `serde_json` reads a document, every scalar that it reads.
pub(super) fn json(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    // A place for everything.
    if bytes.len() >= usize::from(u16::MAX) {
        return;
    }
    let scan = |input: &mut dyn Iterator<Item = &[u8]>| {
        let mut recorder = Recorder::default();
        let mut scanner = JsonScanner::new(Want::Take(Place(0)));
        let mut pushed = Ok(());
        for piece in input {
            pushed = pushed.and_then(|()| scanner.push(piece, &mut recorder));
        }
        let finished = pushed.and_then(|()| scanner.finish(&mut recorder));
        (recorder, finished)
    };
    let (whole, end) = scan(&mut std::iter::once(bytes));
    let is_text = std::str::from_utf8(bytes).is_ok();
    let (cut, cut_end) = scan(&mut pieces(bytes, steer));
    assert_eq!(end, cut_end);
    // Text that is not UTF-8 is shown with replacements, which depend on the cut.
    assert!(!is_text || steer.is_multiple_of(2) || whole == cut);
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    assert_eq!(end, Ok(()), "serde_json reads this");
    let mut wanted = Vec::new();
    flatten(&document, &mut String::new(), 0, &mut wanted);
    let told: BTreeMap<_, _> = whole.told.into_iter().collect();
    for (path, value) in wanted {
        let told = told.get(&path).map(String::as_str);
        assert!(
            told.is_some_and(|told| is_same(told, &value)),
            "{path}: {told:?} is not {value}"
        );
    }
}

/// Whether two scalars are the same; the oracle's numbers are off by a rounding.
fn is_same(told: &str, wanted: &str) -> bool {
    match (told.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(told), Ok(wanted)) => (told - wanted).abs() <= wanted.abs() * 1e-12,
        _ => told == wanted,
    }
}

/// The scalars of a document that the scanner has to tell.
fn flatten(value: &Value, path: &mut String, depth: usize, out: &mut Vec<(String, String)>) {
    let told = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.len() > MAX_STRING => return,
        Value::String(text) => format!("{text:?}"),
        Value::Array(elements) => {
            if depth < MAX_DEPTH {
                for (index, element) in elements.iter().enumerate() {
                    step(&index.to_string(), element, path, depth, out);
                }
            }
            return;
        }
        Value::Object(members) => {
            if depth < MAX_DEPTH {
                for (key, member) in members {
                    // Streamed ones come in pieces, and long names are not told.
                    if !key.starts_with(['s', 't']) && key.len() <= MAX_STRING {
                        step(key, member, path, depth, out);
                    }
                }
            }
            return;
        }
    };
    out.push((path.clone(), told));
}

fn step(
    key: &str,
    value: &Value,
    path: &mut String,
    depth: usize,
    out: &mut Vec<(String, String)>,
) {
    let length = path.len();
    path.push_str(&format!("/{key:?}"));
    flatten(value, path, depth + 1, out);
    path.truncate(length);
}

/// Counts what it is given, and knows it again by its checksum.
#[derive(Debug, Default)]
struct Sum {
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl Sum {
    fn told(&self) -> (u64, u32) {
        (self.bytes, self.crc.clone().finalize())
    }
}

impl Write for Sum {
    fn write(&mut self, content: &[u8]) -> std::io::Result<usize> {
        self.bytes += u64::try_from(content.len()).unwrap();
        self.crc.update(content);
        Ok(content.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn undo<'a>(
    codings: &[Coding],
    input: impl Iterator<Item = &'a [u8]>,
) -> (Sum, Result<(), CodingError>) {
    let mut decoder = ContentDecoder::new(codings, Sum::default());
    let mut input = input;
    let pushed = input.try_for_each(|piece| decoder.push(piece));
    let ended = pushed.and_then(|()| decoder.finish());
    (std::mem::take(decoder.sink_mut()), ended)
}

/// Content codings: bounded whatever is claimed, the same whatever the cut, and what was encoded comes back.
pub(super) fn content_coding(data: &[u8]) {
    const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let coding = CODINGS[usize::from(steer % 4)];
    let second = CODINGS[usize::from(steer / 4 % 4)];
    let stacked = steer & 16 != 0;
    let codings: &[Coding] = if stacked {
        &[coding, second]
    } else {
        &[coding]
    };
    if steer & 32 != 0 {
        let mut encoded = encode(coding, bytes, steer & 64 != 0);
        if stacked {
            encoded = encode(second, &encoded, false);
        }
        let mut wanted = Sum::default();
        wanted.write_all(bytes).unwrap();
        for cut in [steer, steer | 1] {
            let (decoded, end) = undo(codings, pieces(&encoded, cut));
            end.expect("what was encoded can be decoded");
            assert_eq!(decoded.told(), wanted.told());
        }
        return;
    }
    let (whole, end) = undo(codings, std::iter::once(bytes));
    // What the decoder may let through: 1 MiB, and a thousand bytes for each that came.
    let most = 1024 * 1024 + 1000 * u64::try_from(bytes.len()).unwrap();
    assert!(
        whole.bytes <= most.min(MAX_DECODED),
        "{} bytes of {}",
        whole.bytes,
        bytes.len()
    );
    let (cut, cut_end) = undo(codings, pieces(bytes, steer | 1));
    assert!(cut.bytes <= most.min(MAX_DECODED));
    if cut_end.is_ok() {
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(whole.told(), cut.told());
    }
}

fn encode(coding: Coding, bytes: &[u8], bare: bool) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Deflate if bare => {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Brotli => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
            encoder.write_all(bytes).unwrap();
            encoder.into_inner()
        }
        Coding::Zstd => compress_to_vec(bytes, CompressionLevel::Fastest),
    }
}
