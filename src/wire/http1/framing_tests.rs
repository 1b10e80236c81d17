//! The message-length table in both directions, and the chunked coding cut at every byte.

use std::ops::Range;

use bytes::BytesMut;
use proptest::prelude::*;

use super::framing::{BodyDecoder, FramingError, MessageFraming};
use super::head::{HeadLimits, RequestHead, ResponseHead};

fn of_request(version: &str, fields: &str) -> Result<MessageFraming, FramingError> {
    let text = format!("POST / HTTP/{version}\r\n{fields}\r\n");
    let head = RequestHead::take(&mut BytesMut::from(text.as_bytes()), &HeadLimits::default())
        .unwrap()
        .unwrap();
    MessageFraming::of_request(&head)
}

fn of_response(method: &str, status: u16, fields: &str) -> Result<MessageFraming, FramingError> {
    let text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
    let head = ResponseHead::take(&mut BytesMut::from(text.as_bytes()), &HeadLimits::default())
        .unwrap()
        .unwrap();
    MessageFraming::of_response(&head, method)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row a case")]
fn the_request_table() {
    use FramingError::{
        CodingInHttp10, ContentLength, Disguised, LengthAndCoding, RepeatedContentLength,
        TransferCoding,
    };
    use MessageFraming as F;
    let rows: &[(&str, &str, Result<F, FramingError>)] = &[
        ("1.1", "", Ok(F::Empty)),
        ("1.0", "", Ok(F::Empty)),
        ("1.1", "Content-Length: 0\r\n", Ok(F::ContentLength(0))),
        (
            "1.1",
            "content-length:9223372036854775807\r\n",
            Ok(F::ContentLength(i64::MAX.unsigned_abs())),
        ),
        (
            "1.1",
            "Content-Length: 9223372036854775808\r\n",
            Err(ContentLength),
        ),
        (
            "1.1",
            "Content-Length: 18446744073709551615\r\n",
            Err(ContentLength),
        ),
        (
            "1.1",
            "Content-Length: 18446744073709551616\r\n",
            Err(ContentLength),
        ),
        (
            "1.1",
            "Content-Length: 0000000000000000005\r\n",
            Ok(F::ContentLength(5)),
        ),
        (
            "1.1",
            "Content-Length: 00000000000000000005\r\n",
            Err(ContentLength),
        ),
        ("1.1", "content_length: 5\r\n", Err(Disguised)),
        (
            "1.1",
            "Content-Length: 5\r\nTRANSFER_ENCODING: x\r\n",
            Err(Disguised),
        ),
        ("1.1", "Content-Length: +5\r\n", Err(ContentLength)),
        ("1.1", "Content-Length: -1\r\n", Err(ContentLength)),
        ("1.1", "Content-Length: 5 5\r\n", Err(ContentLength)),
        ("1.1", "Content-Length: 5, 5\r\n", Err(ContentLength)),
        ("1.1", "Content-Length: 0x5\r\n", Err(ContentLength)),
        ("1.1", "Content-Length:\r\n", Err(ContentLength)),
        (
            "1.1",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            Err(RepeatedContentLength),
        ),
        (
            "1.1",
            "Content-Length: 5\r\ncontent-length: 6\r\n",
            Err(RepeatedContentLength),
        ),
        ("1.1", "Transfer-Encoding: chunked\r\n", Ok(F::Chunked)),
        ("1.1", "Transfer-Encoding: CHUNKED\r\n", Ok(F::Chunked)),
        ("1.0", "Transfer-Encoding: chunked\r\n", Err(CodingInHttp10)),
        (
            "1.1",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(LengthAndCoding),
        ),
        (
            "1.1",
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            Err(LengthAndCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: gzip, chunked\r\n",
            Err(TransferCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: chunked, chunked\r\n",
            Err(TransferCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(TransferCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            Err(TransferCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: identity\r\n",
            Err(TransferCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: xchunked\r\n",
            Err(TransferCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: chunked;q=1\r\n",
            Err(TransferCoding),
        ),
        (
            "1.1",
            "Transfer-Encoding: \"chunked\"\r\n",
            Err(TransferCoding),
        ),
        ("1.1", "Transfer-Encoding:\r\n", Err(TransferCoding)),
    ];
    for (version, fields, want) in rows {
        assert_eq!(
            &of_request(version, fields),
            want,
            "HTTP/{version} {fields:?}"
        );
    }
}

#[test]
fn the_response_table() {
    use MessageFraming as F;
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n";
    let rows: &[(&str, u16, &str, Result<F, FramingError>)] = &[
        ("GET", 200, "", Ok(F::UntilClose)),
        ("GET", 200, "Content-Length: 3\r\n", Ok(F::ContentLength(3))),
        ("GET", 200, "Transfer-Encoding: chunked\r\n", Ok(F::Chunked)),
        ("GET", 200, both, Err(FramingError::LengthAndCoding)),
        (
            "GET",
            200,
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            Err(FramingError::RepeatedContentLength),
        ),
        ("HEAD", 200, "Content-Length: 3\r\n", Ok(F::Empty)),
        ("HEAD", 200, "Transfer-Encoding: chunked\r\n", Ok(F::Empty)),
        ("GET", 204, "", Ok(F::Empty)),
        ("GET", 304, "Content-Length: 3\r\n", Ok(F::Empty)),
        ("GET", 204, "Content-Length: 3\r\n", Ok(F::Empty)),
        ("GET", 204, "Transfer-Encoding: chunked\r\n", Ok(F::Empty)),
        ("GET", 205, "Content-Length: 3\r\n", Ok(F::ContentLength(3))),
        ("GET", 304, both, Err(FramingError::LengthAndCoding)),
        ("HEAD", 200, both, Err(FramingError::LengthAndCoding)),
        (
            "head",
            200,
            "Content-Length: 3\r\n",
            Ok(F::ContentLength(3)),
        ),
        ("GET", 103, both, Err(FramingError::LengthAndCoding)),
        ("GET", 199, "Content-Length: 3\r\n", Ok(F::Empty)),
        ("GET", 200, "Content_Length: 3\r\n", Ok(F::UntilClose)),
        ("GET", 100, "", Ok(F::Empty)),
        ("GET", 500, "", Ok(F::UntilClose)),
    ];
    for (method, status, fields, want) in rows {
        assert_eq!(
            &of_response(method, *status, fields),
            want,
            "{method} {status} {fields:?}"
        );
    }
}

/// Feeds `input` in pieces that end at `cuts`; what was taken, the content, and whether the body ended.
fn decode(
    framing: MessageFraming,
    input: &[u8],
    cuts: &[usize],
) -> Result<(usize, Vec<u8>, bool), FramingError> {
    let mut decoder: BodyDecoder = framing.decoder();
    let (mut taken, mut content) = (0, Vec::new());
    let mut bounds: Vec<usize> = cuts
        .iter()
        .copied()
        .filter(|cut| *cut < input.len())
        .collect();
    bounds.push(input.len());
    bounds.sort_unstable();
    let mut start = 0;
    for end in bounds {
        let piece = &input[start..end];
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let took = decoder.push(piece, &mut ranges)?;
        ranges
            .into_iter()
            .for_each(|range| content.extend_from_slice(&piece[range]));
        taken += took;
        if took < piece.len() {
            break;
        }
        start = end;
    }
    Ok((taken, content, decoder.ended()))
}

const CHUNKED: &[u8] =
    b"5;ext=\"v\"\r\nhello\r\n0A \t;x\r\n0123456789\r\n000\r\nX-Trailer: t\r\n\r\n";

#[test]
fn chunked_is_the_same_however_it_is_cut() {
    let mut input = CHUNKED.to_vec();
    input.extend_from_slice(b"GET / HTTP/1.1");
    for cut in 0..input.len() {
        let got = decode(MessageFraming::Chunked, &input, &[cut]);
        assert_eq!(
            got,
            Ok((CHUNKED.len(), b"hello0123456789".to_vec(), true)),
            "cut at {cut}"
        );
    }
    let every: Vec<usize> = (0..input.len()).collect();
    assert_eq!(
        decode(MessageFraming::Chunked, &input, &every).unwrap().0,
        CHUNKED.len()
    );
    for end in 0..CHUNKED.len() {
        let (taken, _, ended) = decode(MessageFraming::Chunked, &CHUNKED[..end], &[]).unwrap();
        assert_eq!((taken, ended), (end, false), "ends at {end}");
    }
}

#[test]
fn chunked_refuses_what_is_ambiguous() {
    let rows: &[(&str, &[u8])] = &[
        ("empty size", b"\r\n"),
        ("sign", b"+5\r\nhello\r\n"),
        ("0x", b"0x5\r\nhello\r\n"),
        ("not hex", b"g\r\n"),
        ("space first", b" 5\r\nhello\r\n"),
        ("space last", b"5 \r\nhello\r\n"),
        ("bare LF after the size", b"5\nhello\r\n"),
        ("bare LF in an extension", b"5;a\nhello\r\n"),
        ("NUL in an extension", b"5;\0\r\nhello\r\n"),
        ("bare CR after the size", b"5\rhello\r\n"),
        ("17 digits", b"00000000000000005\r\nhello\r\n"),
        ("data longer than its size", b"5\r\nhelloo\r\n"),
        ("bare LF after data", b"5\r\nhello\n"),
        ("bare LF after the last chunk", b"0\n\n"),
        ("bare LF as the end", b"0\r\n\n"),
        ("trailer without colon", b"0\r\nx\r\n\r\n"),
        ("trailer with space before the colon", b"0\r\nx : y\r\n\r\n"),
        ("folded trailer", b"0\r\na: b\r\n c\r\n\r\n"),
        ("framing in the trailer", b"0\r\nContent-Length: 5\r\n\r\n"),
        (
            "coding in the trailer",
            b"0\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        ("NUL in the trailer", b"0\r\na: \0\r\n\r\n"),
    ];
    for (name, input) in rows {
        let every: Vec<usize> = (0..input.len()).collect();
        assert!(
            decode(MessageFraming::Chunked, input, &[]).is_err(),
            "{name}"
        );
        assert!(
            decode(MessageFraming::Chunked, input, &every).is_err(),
            "{name}, byte by byte"
        );
    }
    let long = [b"5;".to_vec(), vec![b'a'; 64 * 1024]].concat();
    assert_eq!(
        decode(MessageFraming::Chunked, &long, &[]),
        Err(FramingError::ChunkExtension)
    );
    let long = [b"0\r\na: ".to_vec(), vec![b'a'; 64 * 1024]].concat();
    assert_eq!(
        decode(MessageFraming::Chunked, &long, &[]),
        Err(FramingError::TrailerTooLong)
    );
}

#[test]
fn chunk_extensions_follow_their_grammar() {
    for good in [
        "",
        ";a",
        " ;a",
        "; a",
        " \t; \ta",
        ";a=b",
        ";a = b",
        ";a;b",
        ";a ;b",
        ";a=b;c",
        ";a=b ; c",
        ";a=\"\"",
        ";a=\"b\"",
        ";a=\"b\" ;c",
        ";a=\"b;c=d\"",
        ";a=\"\\\"\"",
        ";a=\"\\\\\"",
        ";a=\"\t \u{80}\"",
        ";!#$%&'*+-.^_`|~9zZ=!#$%&'*+-.^_`|~9zZ",
    ] {
        let input = format!("1{good}\r\nx\r\n0{good}\r\n\r\n");
        let every: Vec<usize> = (0..input.len()).collect();
        for cuts in [&[][..], &every] {
            let decoded = decode(MessageFraming::Chunked, input.as_bytes(), cuts);
            assert_eq!(decoded, Ok((input.len(), b"x".to_vec(), true)), "{good:?}");
        }
    }
    for bad in [
        " ",
        "\t",
        ";",
        "; ",
        ";;a",
        ";a;",
        ";a; ",
        ";a ",
        ";a=",
        ";a= ",
        ";=b",
        ";a=b ",
        ";a b",
        ";a=b c",
        ";a==b",
        ";a=b=c",
        ";a=\"",
        ";a=\"b",
        ";a=\"b\\",
        ";a=\"b\\\"",
        ";a=\"b\"c",
        ";a=\"b\" ",
        ";a\"b\"",
        ";\"a\"",
        ";a=b\"c",
        ";a(b",
        ";a=b/c",
        ";a=\u{e9}",
        ";\u{e9}",
        ";a=\"\0\"",
        ";a=\"\u{7f}\"",
        ";a=\"\\\u{1}\"",
        "\0;a",
        "a;",
        "a a",
    ] {
        let input = format!("1{bad}\r\nx\r\n0\r\n\r\n");
        let decoded = decode(MessageFraming::Chunked, input.as_bytes(), &[]);
        let refused = matches!(
            decoded,
            Err(FramingError::ChunkExtension | FramingError::ChunkSize)
        );
        assert!(refused, "{bad:?}: {decoded:?}");
    }
}

#[test]
fn what_acts_on_a_message_is_not_taken_from_its_trailers() {
    for name in [
        "Transfer-Encoding",
        "content-length",
        "CONTENT_LENGTH",
        "Trailer",
        "Connection",
        "Proxy-Connection",
        "Keep_Alive",
        "TE",
        "Upgrade",
        "Host",
        "Authorization",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
        "Cookie",
        "Set-Cookie",
        "Expect",
        "Range",
        "Max-Forwards",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
    ] {
        let input = format!("0\r\nX: y\r\n{name}: z\r\n\r\n");
        let decoded = decode(MessageFraming::Chunked, input.as_bytes(), &[]);
        assert_eq!(decoded, Err(FramingError::Trailer), "{name}");
    }
    let usual = b"0\r\nETag: x\r\nServer-Timing: a\r\nContent-MD5: y\r\nx-amz-checksum-crc32: z\r\nTEA: 1\r\nHost-X: 2\r\n\r\n";
    let decoded = decode(MessageFraming::Chunked, usual, &[]);
    assert_eq!(decoded, Ok((usual.len(), Vec::new(), true)));
}

#[test]
fn the_largest_chunk_size_does_not_overflow() {
    let (taken, content, ended) =
        decode(MessageFraming::Chunked, b"7FFFFFFFFFFFFFFF\r\nab", &[]).unwrap();
    assert_eq!((taken, content, ended), (20, b"ab".to_vec(), false));
    for size in ["8000000000000000", "FFFFFFFFFFFFFFFF", "10000000000000000"] {
        let input = format!("{size}\r\nab");
        assert_eq!(
            decode(MessageFraming::Chunked, input.as_bytes(), &[]),
            Err(FramingError::ChunkSize),
            "{size}"
        );
    }
}

#[test]
fn a_length_takes_exactly_its_bytes() {
    assert_eq!(
        decode(MessageFraming::ContentLength(3), b"abcdef", &[1]),
        Ok((3, b"abc".to_vec(), true))
    );
    assert_eq!(
        decode(MessageFraming::ContentLength(0), b"abc", &[]),
        Ok((0, vec![], true))
    );
    assert_eq!(
        decode(MessageFraming::Empty, b"abc", &[]),
        Ok((0, vec![], true))
    );
    assert_eq!(
        decode(MessageFraming::UntilClose, b"abc", &[]),
        Ok((3, b"abc".to_vec(), false))
    );
}

proptest! {
    #[test]
    fn random_cuts_and_bytes_agree(input in proptest::collection::vec(any::<u8>(), 0..200),
                                   cuts in proptest::collection::vec(0_usize..200, 0..8)) {
        for framing in [MessageFraming::Chunked, MessageFraming::ContentLength(50)] {
            prop_assert_eq!(decode(framing, &input, &[]), decode(framing, &input, &cuts));
        }
    }

    #[test]
    fn content_survives_any_chunking(content in proptest::collection::vec(any::<u8>(), 0..300),
                                     sizes in proptest::collection::vec(1_usize..40, 1..20),
                                     cuts in proptest::collection::vec(0_usize..600, 0..8)) {
        let mut wire = Vec::new();
        let mut rest = &content[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() { break; }
            let (chunk, after) = rest.split_at(rest.len().min(*size));
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
            rest = after;
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(decode(MessageFraming::Chunked, &wire, &cuts), Ok((wire.len(), content, true)));
    }
}

#[test]
fn extensions_are_bounded_by_what_they_extend() {
    let many = |count: usize, chunk: &str| {
        let mut decoder = MessageFraming::Chunked.decoder();
        let wire = chunk.repeat(count) + "0\r\n\r\n";
        decoder.push(wire.as_bytes(), &mut Vec::new()).map(|_| ())
    };
    // One on every chunk of a long stream.
    assert_eq!(many(10_000, "8;soak=1\r\n12345678\r\n"), Ok(()));
    // A million octets that say nothing about one each.
    let idle = format!("1;x={}\r\nx\r\n", "y".repeat(100));
    assert_eq!(many(10_000, &idle), Err(FramingError::ChunkExtension));
}
