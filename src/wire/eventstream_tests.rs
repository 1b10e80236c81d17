//! The decoder against the AWS SDK's encoder as oracle, in every cut, and against damage.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue as SdkValue, Message as SdkMessage};
use aws_smithy_types::{Blob, DateTime};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

fn encode(messages: &[SdkMessage]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        write_message_to(message, &mut bytes).expect("a message within the limits");
    }
    bytes
}

/// A message as the decoder showed it.
#[derive(Debug, PartialEq)]
struct Shown {
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
}

impl Shown {
    fn of(message: Message<'_>) -> Self {
        let headers = message
            .headers
            .map(|header| match header {
                Ok((name, value)) => (name.to_owned(), format!("{value:?}")),
                Err(error) => (String::new(), error.to_string()),
            })
            .collect();
        Self {
            headers,
            payload: message.payload.to_vec(),
        }
    }

    fn of_sdk(message: &SdkMessage) -> Self {
        let headers = message.headers().iter().map(|header| {
            let value = match header.value() {
                SdkValue::Bool(value) => HeaderValue::Bool(*value),
                SdkValue::Byte(value) => HeaderValue::Byte(*value),
                SdkValue::Int16(value) => HeaderValue::Int16(*value),
                SdkValue::Int32(value) => HeaderValue::Int32(*value),
                SdkValue::Int64(value) => HeaderValue::Int64(*value),
                SdkValue::ByteArray(value) => HeaderValue::Bytes(value),
                SdkValue::String(value) => HeaderValue::String(value.as_str()),
                SdkValue::Timestamp(value) => {
                    HeaderValue::Timestamp(value.to_millis().expect("milliseconds"))
                }
                SdkValue::Uuid(value) => HeaderValue::Uuid(value.to_be_bytes()),
                other => panic!("a type that the decoder does not know: {other:?}"),
            };
            (header.name().as_str().to_owned(), format!("{value:?}"))
        });
        Self {
            headers: headers.collect(),
            payload: message.payload().to_vec(),
        }
    }
}

fn decode(pieces: &[&[u8]]) -> (Vec<Shown>, Result<(), DecodeError>, bool) {
    let mut decoder = Decoder::new();
    let mut shown = Vec::new();
    let result = pieces
        .iter()
        .try_for_each(|piece| decoder.push(piece, |message| shown.push(Shown::of(message))));
    (shown, result, decoder.is_between_messages())
}

fn all_types() -> SdkMessage {
    let header = |name: &'static str, value| Header::new(name, value);
    SdkMessage::new(&b"{\"a\":1}"[..])
        .add_header(header("true", SdkValue::Bool(true)))
        .add_header(header("false", SdkValue::Bool(false)))
        .add_header(header("byte", SdkValue::Byte(-5)))
        .add_header(header("int16", SdkValue::Int16(-500)))
        .add_header(header("int32", SdkValue::Int32(-70_000)))
        .add_header(header("int64", SdkValue::Int64(-5_000_000_000)))
        .add_header(header(
            "bytes",
            SdkValue::ByteArray(Vec::from("raw").into()),
        ))
        .add_header(header(":event-type", SdkValue::String("chunk".into())))
        .add_header(header(
            "time",
            SdkValue::Timestamp(DateTime::from_millis(1_700_000_000_123)),
        ))
        .add_header(header(
            "uuid",
            SdkValue::Uuid(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        ))
}

#[test]
fn every_header_type_reads_as_the_sdk_wrote_it() {
    let message = all_types();
    let bytes = encode(std::slice::from_ref(&message));
    let (shown, result, between) = decode(&[&bytes]);
    assert_eq!(result, Ok(()));
    assert_eq!(shown, [Shown::of_sdk(&message)]);
    assert!(between);
    Decoder::new()
        .push(&bytes, |message| {
            assert_eq!(message.string(":event-type"), Some("chunk"));
            assert_eq!(message.string("bytes"), None);
            assert_eq!(message.string("absent"), None);
        })
        .expect("a good message");
}

#[test]
fn every_cut_in_two_and_octet_by_octet_shows_the_same() {
    let messages = [all_types(), SdkMessage::new(&b""[..]), all_types()];
    let bytes = encode(&messages);
    let wanted: Vec<Shown> = messages.iter().map(Shown::of_sdk).collect();
    for at in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(decode(&[head, tail]).0, wanted, "cut at {at}");
    }
    let octets: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&octets), (wanted, Ok(()), true));
}

#[test]
fn a_whole_message_is_borrowed_from_the_input() {
    let bytes = encode(&[all_types()]);
    let mut decoder = Decoder::new();
    decoder
        .push(&bytes, |message| {
            assert!(bytes.as_ptr_range().contains(&message.payload.as_ptr()));
        })
        .expect("a good message");
    assert_eq!(decoder.cut.capacity(), 0);
}

#[test]
fn no_flipped_bit_is_accepted() {
    let bytes = encode(&[all_types()]);
    for at in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        let (shown, result, _) = decode(&[&damaged]);
        assert_eq!(shown, [], "bit {at}");
        assert!(result.is_err(), "bit {at}");
    }
}

#[test]
fn a_failed_decoder_stays_failed() {
    let good = encode(&[all_types()]);
    let mut bad = good.clone();
    bad[20] ^= 1;
    let mut decoder = Decoder::new();
    let error = decoder.push(&bad, |_| panic!("shown although damaged"));
    assert!(matches!(error, Err(DecodeError::MessageCrc { .. })));
    assert_eq!(
        decoder.push(&good, |_| panic!("shown after a failure")),
        error
    );
    assert!(!decoder.is_between_messages());
}

/// A message whose prelude says this, with a good CRC.
fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_kept() {
    let longest = u32::try_from(MAX_MESSAGE).expect("a u32");
    for (total, headers, fits) in [
        (15, 0, false),
        (16, 0, true),
        (16, 1, false),
        (100, 84, true),
        (100, 85, false),
        (longest, 0, true),
        (longest + 1, 0, false),
        (u32::MAX, u32::MAX, false),
    ] {
        let (_, result, _) = decode(&[&prelude(total, headers)]);
        assert_eq!(result.is_ok(), fits, "{total} {headers}: {result:?}");
    }
    let mut damaged = prelude(16, 0);
    damaged[0] = 1;
    assert!(matches!(
        decode(&[&damaged]).1,
        Err(DecodeError::PreludeCrc { .. })
    ));
}

#[test]
fn malformed_headers_end_the_walk_with_an_error() {
    for headers in [
        &b"\x00"[..],
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\x02",
        b"\x01a\x07\x00\x05abc",
        b"\x01a\x07\x00\x01\xff",
        b"\x05ab",
        b"\x01\xff\x00",
    ] {
        let walked: Vec<_> = Headers(headers).collect();
        assert_eq!(
            walked,
            [Err(DecodeError::Header {
                left: headers.len()
            })]
        );
    }
    let walked: Vec<_> = Headers(b"\x01a\x00\x01b").collect();
    assert_eq!(
        walked,
        [
            Ok(("a", HeaderValue::Bool(true))),
            Err(DecodeError::Header { left: 2 })
        ]
    );
}

#[test]
fn a_large_buffer_is_given_back() {
    let bytes = encode(&[
        SdkMessage::new(vec![7; 1 << 20]),
        SdkMessage::new(&b"x"[..]),
    ]);
    let mut decoder = Decoder::new();
    let mut lengths = Vec::new();
    for piece in bytes.chunks(10_000) {
        decoder
            .push(piece, |message| lengths.push(message.payload.len()))
            .expect("good messages");
    }
    assert_eq!(lengths, [1 << 20, 1]);
    assert!(decoder.cut.capacity() <= KEEP_BUFFER);
}

#[test]
fn the_recorded_messages_read_as_described() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/bedrock/eventstream-messages.json"
    );
    let text = std::fs::read_to_string(file).expect("the fixture");
    let messages: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let of = |name: &str| {
        let encoded = messages[name]["base64"].as_str().expect("base64");
        let bytes = STANDARD.decode(encoded).expect("base64");
        let (mut shown, result, between) = decode(&[&bytes]);
        assert_eq!((result, between, shown.len()), (Ok(()), true, 1), "{name}");
        shown.remove(0)
    };
    let string = |value: &str| format!("{:?}", HeaderValue::String(value));
    let has = |shown: &Shown, name: &str, value: &str| {
        shown.headers.contains(&(name.to_owned(), string(value)))
    };
    assert!(has(
        &of("converse-messageStart"),
        ":event-type",
        "messageStart"
    ));
    assert!(has(&of("converse-metadata"), ":event-type", "metadata"));
    assert!(has(&of("invoke-chunk"), ":event-type", "chunk"));
    let exception = of("exception-throttling");
    assert!(has(&exception, ":message-type", "exception"));
    assert!(has(&exception, ":exception-type", "throttlingException"));
    assert!(has(&of("error-internal"), ":message-type", "error"));
    assert_eq!(of("empty-message").headers, []);
    assert_eq!(of("all-header-types").headers.len(), 10);
}

fn message() -> impl Strategy<Value = SdkMessage> {
    let value = prop_oneof![
        any::<bool>().prop_map(SdkValue::Bool),
        any::<i8>().prop_map(SdkValue::Byte),
        any::<i16>().prop_map(SdkValue::Int16),
        any::<i32>().prop_map(SdkValue::Int32),
        any::<i64>().prop_map(SdkValue::Int64),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|bytes| SdkValue::ByteArray(Blob::new(bytes).into_inner().into())),
        any::<String>().prop_map(|text| SdkValue::String(text.into())),
        any::<u128>().prop_map(SdkValue::Uuid),
    ];
    let headers = prop::collection::vec(("[!-~]{1,20}", value), 0..5);
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    (headers, payload).prop_map(|(headers, payload)| {
        headers
            .into_iter()
            .fold(SdkMessage::new(payload), |message, (name, value)| {
                message.add_header(Header::new(name, value))
            })
    })
}

proptest! {
    #[test]
    fn the_sdks_messages_come_back_in_any_cut(
        messages in prop::collection::vec(message(), 0..5),
        size in 1_usize..200,
    ) {
        let bytes = encode(&messages);
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        let wanted: Vec<Shown> = messages.iter().map(Shown::of_sdk).collect();
        prop_assert_eq!(decode(&pieces), (wanted, Ok(()), true));
    }

    #[test]
    fn arbitrary_octets_behave_the_same_in_any_cut(
        mut input in prop::collection::vec(any::<u8>(), 0..300),
        repair in any::<bool>(),
        headers in 0_u32..40,
        size in 1_usize..50,
    ) {
        if repair && input.len() >= OVERHEAD {
            // Good CRCs over arbitrary content: the lengths and headers have to hold by themselves.
            let total = u32::try_from(input.len()).expect("a short input");
            input[..PRELUDE].copy_from_slice(&prelude(total, headers));
            let at = input.len() - TRAILER;
            let crc = crc32fast::hash(&input[..at]);
            input[at..].copy_from_slice(&crc.to_be_bytes());
        }
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        let (whole, cut) = (decode(&[&input]), decode(&pieces));
        prop_assert_eq!(&whole, &cut);
        prop_assert!(repair || whole.0.is_empty());
    }
}
