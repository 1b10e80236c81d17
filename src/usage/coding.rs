//! Undoes content codings (RFC 9110 §8.4.1) on the observer's own copy: gzip, deflate, br, zstd, two of them stacked.
//!
//! Decoders push: what a piece of input decodes to goes straight on to the sink, and nothing but the formats' own
//! windows is kept. How much may come out is bounded, both in all and for what went in; past that the decoder stops for
//! good. Of a damaged body, what stood before the damage is handed on as far as its decoder gives it away: of gzip and
//! deflate all or all but a window, of br what the pieces before told, of zstd what has left its window. The relay never
//! waits for this and the client is sent the bytes as they came.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use brotli::DecompressorWriter;
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use crate::usage::zstd::ZstdDecoder;
use crate::wire::http1::FieldLines;

/// A content coding that we undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950, and RFC 1951 without its wrapper, which some servers send under the same name.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, windows of at most 8 MiB (RFC 9659).
    Zstd,
}

/// Why a body cannot be decoded, or not further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodingError {
    /// A coding nobody here knows.
    #[error("the content coding is none of gzip, deflate, br and zstd")]
    Unknown,
    /// More codings than are undone.
    #[error("more than {MAX_CODINGS} content codings are stacked")]
    Stacked,
    /// The body is not what its coding says.
    #[error("the body does not follow its content coding")]
    Corrupt(#[source] io::Error),
    /// The body decodes to more than a body decodes to.
    #[error(
        "the body decodes to more than {decoded} bytes, past the limit for {wire} bytes received"
    )]
    TooLong {
        /// What was decoded before.
        decoded: u64,
        /// What came.
        wire: u64,
    },
}

/// Most codings that are undone.
pub(crate) const MAX_CODINGS: usize = 2;
/// Most bytes that one body decodes to.
pub(crate) const MAX_DECODED: u64 = 256 * 1024 * 1024;
/// What a body may decode to however short it is.
const FREE: u64 = 1024 * 1024;
/// Beyond that, most bytes out for one byte in: about what deflate can do at best.
const MAX_RATIO: u64 = 1000;

/// Decodes one body into its sink.
pub(crate) struct ContentDecoder<W: Write> {
    chain: Stage<W>,
    wire: Arc<AtomicU64>,
}

/// The codings still to be undone.
enum Stage<W: Write> {
    Sink(W),
    Coded(Box<Coded<Bounded<Self>>>),
}

enum Coded<W: Write> {
    Gzip(MultiGzDecoder<W>),
    Deflate(InflateDecoder<W>),
    Brotli(Box<DecompressorWriter<W>>),
    Zstd(Box<ZstdDecoder<W>>),
}

/// Deflate, whose wrapper may be missing.
struct InflateDecoder<W> {
    next: W,
    /// Chosen when the first byte has told whether there is a wrapper.
    inflate: Option<Decompress>,
    ended: bool,
}

/// Lets through what a body may decode to.
struct Bounded<W> {
    next: W,
    decoded: u64,
    wire: Arc<AtomicU64>,
}

/// The codings of a body, in the order they were applied.
///
/// # Errors
/// [`CodingError`] when one of them is unknown or there are too many.
pub(crate) fn codings(fields: &FieldLines) -> Result<Vec<Coding>, CodingError> {
    codings_of(fields.all("content-encoding"))
}

/// The codings that the values of `Content-Encoding` list.
///
/// # Errors
/// As for [`codings`].
pub(crate) fn codings_of<'a>(
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Coding>, CodingError> {
    let mut codings = Vec::new();
    for member in values.flat_map(|value| value.split(|&octet| octet == b',')) {
        match member.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => {}
            b"gzip" | b"x-gzip" => codings.push(Coding::Gzip),
            b"deflate" => codings.push(Coding::Deflate),
            b"br" => codings.push(Coding::Brotli),
            b"zstd" => codings.push(Coding::Zstd),
            _ => return Err(CodingError::Unknown),
        }
        if codings.len() > MAX_CODINGS {
            return Err(CodingError::Stacked);
        }
    }
    Ok(codings)
}

impl<W: Write> ContentDecoder<W> {
    /// A decoder that undoes `codings`, the last applied first.
    pub(crate) fn new(codings: &[Coding], sink: W) -> Self {
        let wire = Arc::new(AtomicU64::new(0));
        let chain = codings.iter().fold(Stage::Sink(sink), |next, &coding| {
            let bounded = Bounded {
                next,
                decoded: 0,
                wire: Arc::clone(&wire),
            };
            Stage::Coded(Box::new(Coded::new(coding, bounded)))
        });
        Self { chain, wire }
    }

    /// Decodes the next bytes.
    ///
    /// # Errors
    /// [`CodingError`] when they do not follow the coding or decode to too much; nothing good comes after that.
    pub(crate) fn push(&mut self, content: &[u8]) -> Result<(), CodingError> {
        if let Stage::Coded(_) = self.chain {
            let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
            self.wire.fetch_add(length, Ordering::Relaxed);
        }
        self.chain
            .write_all(content)
            .and_then(|()| self.chain.flush())
            .map_err(explain)
    }

    /// No more bytes follow: hands on what a decoder held back.
    ///
    /// # Errors
    /// [`CodingError`] as for [`push`](Self::push). A coding that was cut is no error.
    pub(crate) fn finish(&mut self) -> Result<(), CodingError> {
        self.chain.finish().map_err(explain)
    }

    /// The sink.
    pub(crate) fn sink(&self) -> &W {
        self.chain.sink()
    }

    /// The sink.
    pub(crate) fn sink_mut(&mut self) -> &mut W {
        self.chain.sink_mut()
    }

    /// Whether the sink may be shown bytes long after they came.
    pub(crate) fn holds_back(&self) -> bool {
        self.chain.holds_back()
    }
}

/// Finds our own error in what a decoder passed through.
fn explain(error: io::Error) -> CodingError {
    match error.downcast::<CodingError>() {
        Ok(error) => error,
        Err(error) => CodingError::Corrupt(error),
    }
}

impl<W: Write> Stage<W> {
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Sink(_) => Ok(()),
            Self::Coded(coded) => {
                if let Coded::Zstd(decoder) = &mut **coded {
                    decoder.finish()?;
                }
                coded.flush()?;
                coded.next_mut().next.finish()
            }
        }
    }

    fn sink(&self) -> &W {
        match self {
            Self::Sink(sink) => sink,
            Self::Coded(coded) => coded.next().next.sink(),
        }
    }

    fn sink_mut(&mut self) -> &mut W {
        match self {
            Self::Sink(sink) => sink,
            Self::Coded(coded) => coded.next_mut().next.sink_mut(),
        }
    }

    fn holds_back(&self) -> bool {
        match self {
            Self::Sink(_) => false,
            Self::Coded(coded) => {
                matches!(**coded, Coded::Zstd(_)) || coded.next().next.holds_back()
            }
        }
    }
}

impl<W: Write> Write for Stage<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match self {
            Self::Sink(sink) => sink.write(content),
            Self::Coded(coded) => coded.write(content),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Sink(sink) => sink.flush(),
            Self::Coded(coded) => coded.flush(),
        }
    }
}

impl<W: Write> Coded<W> {
    fn new(coding: Coding, next: W) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(MultiGzDecoder::new(next)),
            Coding::Deflate => Self::Deflate(InflateDecoder {
                next,
                inflate: None,
                ended: false,
            }),
            Coding::Brotli => Self::Brotli(Box::new(DecompressorWriter::new(next, BUFFER))),
            Coding::Zstd => Self::Zstd(Box::new(ZstdDecoder::new(next))),
        }
    }

    fn next(&self) -> &W {
        match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Deflate(decoder) => &decoder.next,
            Self::Brotli(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.next(),
        }
    }

    fn next_mut(&mut self) -> &mut W {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => &mut decoder.next,
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.next_mut(),
        }
    }
}

impl<W: Write> Write for Coded<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.write(content).inspect_err(|_| {
                // It still holds what came before the damage, and gives it away before it fails again.
                decoder.flush().ok();
            }),
            Self::Deflate(decoder) => decoder.write(content),
            Self::Brotli(decoder) => decoder.write(content),
            Self::Zstd(decoder) => decoder.write(content),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.flush(),
            Self::Deflate(decoder) => decoder.flush(),
            Self::Brotli(decoder) => decoder.flush(),
            Self::Zstd(decoder) => decoder.flush(),
        }
    }
}

impl<W: Write> Write for InflateDecoder<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let Some(&first) = content.first() else {
            return Ok(0);
        };
        let inflate = self
            .inflate
            .get_or_insert_with(|| Decompress::new(begins_zlib(first)));
        let mut rest = content;
        let mut decoded = [0; WINDOW];
        while !self.ended {
            let (taken, given) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(rest, &mut decoded, FlushDecompress::None);
            let taken = size(inflate.total_in() - taken);
            let given = size(inflate.total_out() - given);
            rest = rest.get(taken..).unwrap_or_default();
            self.next
                .write_all(decoded.get(..given).unwrap_or_default())?;
            self.ended = status? == Status::StreamEnd;
            // Where its window wraps, it has taken all there is and still has more to give.
            if given == 0 && (rest.is_empty() || taken == 0) {
                break;
            }
        }
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let wire = self.wire.load(Ordering::Relaxed);
        let limit = FREE
            .saturating_add(wire.saturating_mul(MAX_RATIO))
            .min(MAX_DECODED);
        let decoded = self.decoded;
        self.decoded = decoded.saturating_add(u64::try_from(content.len()).unwrap_or(u64::MAX));
        if self.decoded > limit {
            return Err(io::Error::other(CodingError::TooLong { decoded, wire }));
        }
        self.next.write_all(content)?;
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}

/// What a decoder hands on at once.
const BUFFER: usize = 16 * 1024;
/// Of deflate (RFC 1951 §2), which its decoder fills before it gives anything away.
const WINDOW: usize = 32 * 1024;

/// Whether deflate data begin with a zlib header: compression method 8 and a window of at most 32 KiB (RFC 1950 §2.2).
/// Bare deflate could begin so only with a stored block whose padding is not zero.
fn begins_zlib(first: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7
}

fn size(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
