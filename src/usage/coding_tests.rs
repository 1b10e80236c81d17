//! The decoders of content codings: bounds, damage, and what is handed on when.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::usage::coding::{Coding, CodingError, ContentDecoder, MAX_DECODED, codings};
use crate::usage::test_support::head;

/// Counts what it is given and keeps the front of it.
#[derive(Default)]
struct Counter {
    front: Vec<u8>,
    total: u64,
}

impl Write for Counter {
    fn write(&mut self, content: &[u8]) -> std::io::Result<usize> {
        let room = 4096_usize.saturating_sub(self.front.len());
        self.front.extend(content.iter().take(room));
        self.total += content.len() as u64;
        Ok(content.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

/// Decodes in pieces of `size`; what came out and how it ended.
fn decode(codings: &[Coding], encoded: &[u8], size: usize) -> (Counter, Result<(), CodingError>) {
    let mut decoder = ContentDecoder::new(codings, Counter::default());
    let pushed = encoded
        .chunks(size)
        .try_for_each(|piece| decoder.push(piece));
    let ended = pushed.and_then(|()| decoder.finish());
    (std::mem::take(decoder.sink_mut()), ended)
}

#[test]
fn the_codings_of_a_head_are_read_in_order() {
    for (values, wanted) in [
        (&[][..], Some(vec![])),
        (&["identity"], Some(vec![])),
        (&["GZIP"], Some(vec![Coding::Gzip])),
        (&["x-gzip"], Some(vec![Coding::Gzip])),
        (
            &["deflate , br"],
            Some(vec![Coding::Deflate, Coding::Brotli]),
        ),
        (&["zstd", "gzip"], Some(vec![Coding::Zstd, Coding::Gzip])),
        (
            &["gzip, identity, , br"],
            Some(vec![Coding::Gzip, Coding::Brotli]),
        ),
        (&["gzip, gzip, gzip"], None),
        (&["compress"], None),
    ] {
        let fields: Vec<(&str, &str)> = values
            .iter()
            .map(|value| ("content-encoding", *value))
            .collect();
        let found = codings(head(200, &fields).fields()).ok();
        assert_eq!(found, wanted, "{values:?}");
    }
}

#[test]
fn each_piece_is_handed_on_as_it_comes() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    let mut ungzip = ContentDecoder::new(&[Coding::Gzip], Counter::default());
    let mut unbrotli = ContentDecoder::new(&[Coding::Brotli], Counter::default());
    for round in 1..=5 {
        gzip.write_all(b"data: x\n\n").expect("memory");
        gzip.flush().expect("memory");
        brotli.write_all(b"data: x\n\n").expect("memory");
        brotli.flush().expect("memory");
        ungzip.push(&std::mem::take(gzip.get_mut())).expect("gzip");
        let encoded = brotli.get_ref().clone();
        unbrotli = ContentDecoder::new(&[Coding::Brotli], Counter::default());
        unbrotli.push(&encoded).expect("brotli");
        assert_eq!(ungzip.sink().total, 9 * round);
        assert_eq!(unbrotli.sink().total, 9 * round);
    }
    assert!(!ungzip.holds_back() && !unbrotli.holds_back());
}

#[test]
fn several_gzip_members_are_one_body() {
    let body = [gzip(b"one "), gzip(b"two "), gzip(b""), gzip(b"three")].concat();
    for size in [1, 7, usize::MAX] {
        let (seen, ended) = decode(&[Coding::Gzip], &body, size);
        assert!(ended.is_ok());
        assert_eq!(seen.front, b"one two three");
    }
}

#[test]
fn what_stood_before_the_damage_is_handed_on_in_whichever_cut() {
    let told = br#"{"usage":{"inputTokens":3}}"#;
    let mut bare = DeflateEncoder::new(Vec::new(), Compression::none());
    let mut wrapped = ZlibEncoder::new(Vec::new(), Compression::none());
    let mut zipped = GzEncoder::new(Vec::new(), Compression::none());
    let encoders: [(Coding, &mut dyn Write); 3] = [
        (Coding::Deflate, &mut bare),
        (Coding::Deflate, &mut wrapped),
        (Coding::Gzip, &mut zipped),
    ];
    for (_, encoder) in encoders {
        encoder.write_all(told).expect("memory");
        encoder.flush().expect("memory");
    }
    for (coding, encoded) in [
        (Coding::Deflate, bare.get_ref()),
        (Coding::Deflate, wrapped.get_ref()),
        (Coding::Gzip, zipped.get_ref()),
    ] {
        // A block of the type that there is not (RFC 1951 §3.2.3).
        let damaged = [encoded.as_slice(), &[0xff; 20]].concat();
        for size in 1..=damaged.len() {
            let (seen, ended) = decode(&[coding], &damaged, size);
            assert!(ended.is_err(), "{coding:?} in pieces of {size}");
            assert_eq!(seen.front, told, "{coding:?} in pieces of {size}");
        }
    }
}

#[test]
fn zstd_frames_skippable_frames_and_a_cut_frame_are_read() {
    let one = compress_to_vec(&b"one "[..], CompressionLevel::Fastest);
    let two = compress_to_vec(&b"two"[..], CompressionLevel::Uncompressed);
    let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let empty = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let body = [&one[..], &skipped, &empty, &two].concat();
    for size in [1, 2, 5, usize::MAX] {
        let (seen, ended) = decode(&[Coding::Zstd], &body, size);
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(seen.front, b"one two");
    }
    // Two blocks, of which the second is cut.
    let text = vec![b'x'; 200_000];
    let long = compress_to_vec(text.as_slice(), CompressionLevel::Uncompressed);
    let (seen, ended) = decode(&[Coding::Zstd], &long[..150_000], 1000);
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(seen.total, 128 * 1024);
}

#[test]
fn a_gzip_bomb_is_let_go_at_the_limit() {
    let zeros = vec![0; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..300 {
        encoder.write_all(&zeros).expect("memory");
    }
    let bomb = encoder.finish().expect("memory");
    for size in [500, usize::MAX] {
        let (seen, ended) = decode(&[Coding::Gzip], &bomb, size);
        assert!(
            matches!(ended, Err(CodingError::TooLong { .. })),
            "{ended:?}"
        );
        assert!(seen.total <= MAX_DECODED);
    }
}

#[test]
fn a_short_bomb_of_bombs_is_let_go_early() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).expect("memory");
    }
    let inner = encoder.finish().expect("memory");
    let bomb = gzip(&inner);
    assert!(bomb.len() < 2000, "{}", bomb.len());
    let (seen, ended) = decode(&[Coding::Deflate, Coding::Gzip], &bomb, usize::MAX);
    assert!(
        matches!(ended, Err(CodingError::TooLong { .. })),
        "{ended:?}"
    );
    assert!(seen.total <= (1 << 20) + 1000 * bomb.len() as u64);

    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 9, 22);
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).expect("memory");
    }
    let bomb = encoder.into_inner();
    let (seen, ended) = decode(&[Coding::Brotli], &bomb, usize::MAX);
    assert!(
        matches!(ended, Err(CodingError::TooLong { .. })),
        "{ended:?}"
    );
    assert!(seen.total <= (1 << 20) + 1000 * bomb.len() as u64);
}

#[test]
fn a_zstd_window_beyond_the_coding_s_limit_is_refused() {
    // Window descriptors of 8 MiB and of 16 MiB (RFC 8878 §3.1.1.1.2), then an empty last block.
    for (descriptor, good) in [(13 << 3, true), (14 << 3, false)] {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0];
        let (_, ended) = decode(&[Coding::Zstd], &frame, usize::MAX);
        assert_eq!(ended.is_ok(), good);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damage_never_panics(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            "[a-c]{0,3000}".prop_map(String::into_bytes),
        ],
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..4),
        coding in 0_usize..4,
        size in 1_usize..500,
    ) {
        let (coding, mut encoded) = match coding {
            0 => (Coding::Gzip, gzip(&body)),
            1 => (Coding::Zstd, compress_to_vec(body.as_slice(), CompressionLevel::Fastest)),
            2 => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
                encoder.write_all(&body).expect("memory");
                (Coding::Brotli, encoder.into_inner())
            }
            _ => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&body).expect("memory");
                (Coding::Deflate, encoder.finish().expect("memory"))
            }
        };
        let untouched = flips.is_empty();
        for (at, bit) in flips {
            let at = at.index(encoded.len());
            encoded[at] ^= 1 << bit;
        }
        let (seen, ended) = decode(&[coding], &encoded, size);
        if untouched {
            prop_assert!(ended.is_ok());
            prop_assert_eq!(seen.total, body.len() as u64);
        }
    }
}

#[test]
fn nothing_is_left_in_the_window_wherever_a_piece_ends() {
    // A little more than the window of deflate, from so few octets that one piece decodes to most of it.
    let text = "the same words again and again ".repeat(1_100);
    let expected = text.len();
    for coding in [Coding::Deflate, Coding::Gzip] {
        let body = match coding {
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
        };
        for cut in 0..=body.len() {
            for second in [cut, cut + 40].map(|at| at.min(body.len())) {
                let mut decoder = ContentDecoder::new(&[coding], Vec::new());
                for piece in [&body[..cut], &body[cut..second], &body[second..]] {
                    decoder.push(piece).unwrap();
                }
                decoder.finish().unwrap();
                assert_eq!(
                    decoder.sink().len(),
                    expected,
                    "{cut} {second} of {}",
                    body.len()
                );
            }
        }
    }
}
