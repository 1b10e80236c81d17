//! Zstandard (RFC 8878) by push: cuts the input into the format's own units and gives the decoder one whole unit at a
//! time.
//!
//! The decoder behind it pulls, and it gives out bytes only once they have left its window or the frame has ended; so
//! what comes out of here comes late, and a cut frame is ended artificially to have the rest of it. Memory is bounded by
//! the window (8 MiB at most for a content coding, RFC 9659) and one block of 128 KiB.

use std::io::{self, Write};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Decodes frames into the next writer.
pub(crate) struct ZstdDecoder<W> {
    next: W,
    decoder: FrameDecoder,
    /// The unit under way.
    unit: Vec<u8>,
    expected: Expected,
}

/// What the next unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    FrameHeader,
    Block {
        checksum: bool,
    },
    /// So many bytes of a skippable frame.
    Skipped(usize),
}

/// What a unit's first bytes say of its length.
enum Length {
    /// So many bytes make it readable.
    Readable(usize),
    /// It is so long.
    Known(usize),
}

/// Why input is refused before the decoder sees it.
#[derive(Debug, thiserror::Error)]
#[error("a zstd block of {0} bytes is longer than {MAX_BLOCK}")]
struct BlockTooLong(usize);

const MAX_WINDOW: u64 = 8 * 1024 * 1024;
const MAX_BLOCK: usize = 128 * 1024;
const MAGIC: usize = 4;
const BLOCK_HEADER: usize = 3;
const CHECKSUM: usize = 4;
/// A last block without content, and bytes where a checksum may be wanted.
const LAST_BLOCK: [u8; BLOCK_HEADER + CHECKSUM] = [1, 0, 0, 0, 0, 0, 0];

impl<W: Write> ZstdDecoder<W> {
    /// A decoder at the start of a body.
    pub(crate) fn new(next: W) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self {
            next,
            decoder,
            unit: Vec::new(),
            expected: Expected::FrameHeader,
        }
    }

    /// Where the decoded bytes go.
    pub(crate) fn next(&self) -> &W {
        &self.next
    }

    /// Where the decoded bytes go.
    pub(crate) fn next_mut(&mut self) -> &mut W {
        &mut self.next
    }

    /// No more bytes follow: hands on what a cut frame still holds.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Expected::Block { .. } = self.expected {
            self.unit.clear();
            self.unit.extend_from_slice(&LAST_BLOCK);
            self.block()?;
        }
        Ok(())
    }

    fn length(&self) -> io::Result<Length> {
        Ok(match self.expected {
            Expected::FrameHeader => frame_header_length(&self.unit),
            Expected::Skipped(left) => Length::Known(left),
            Expected::Block { checksum } => {
                let Some((&[low, middle, high], _)) = self.unit.split_first_chunk() else {
                    return Ok(Length::Readable(BLOCK_HEADER));
                };
                let header = u32::from_le_bytes([low, middle, high, 0]);
                let size = usize::try_from(header >> 3).unwrap_or(usize::MAX);
                let size = if (header >> 1) & 3 == 1 { 1 } else { size };
                if size > MAX_BLOCK {
                    return Err(io::Error::other(BlockTooLong(size)));
                }
                let has_checksum = checksum && header & 1 == 1;
                Length::Known(BLOCK_HEADER + size + if has_checksum { CHECKSUM } else { 0 })
            }
        })
    }

    /// A whole unit has come.
    fn whole(&mut self) -> io::Result<()> {
        match self.expected {
            Expected::Block { .. } => return self.block(),
            Expected::FrameHeader => {
                self.expected = match skippable(&self.unit) {
                    Some(length) => Expected::Skipped(length),
                    None => {
                        self.decoder
                            .reset(self.unit.as_slice())
                            .map_err(io::Error::other)?;
                        let descriptor = self.unit.get(MAGIC).copied().unwrap_or_default();
                        Expected::Block {
                            checksum: descriptor & 0b100 != 0,
                        }
                    }
                };
            }
            Expected::Skipped(_) => self.expected = Expected::FrameHeader,
        }
        self.unit.clear();
        Ok(())
    }

    fn block(&mut self) -> io::Result<()> {
        self.decoder
            .decode_blocks(self.unit.as_slice(), BlockDecodingStrategy::UptoBlocks(1))
            .map_err(io::Error::other)?;
        self.unit.clear();
        self.decoder.collect_to_writer(&mut self.next)?;
        if self.decoder.is_finished() {
            self.expected = Expected::FrameHeader;
        }
        Ok(())
    }
}

impl<W: Write> Write for ZstdDecoder<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let mut rest = content;
        loop {
            let (length, known) = match self.length()? {
                Length::Readable(length) => (length, false),
                Length::Known(length) => (length, true),
            };
            let missing = length.saturating_sub(self.unit.len());
            if missing == 0 && known {
                self.whole()?;
                continue;
            }
            if rest.is_empty() {
                return Ok(content.len());
            }
            let (part, after) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            if let Expected::Skipped(left) = self.expected {
                self.expected = Expected::Skipped(left - part.len());
            } else {
                self.unit.extend_from_slice(part);
            }
            rest = after;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}

/// RFC 8878 §3.1.1.1 and §3.1.2.
fn frame_header_length(unit: &[u8]) -> Length {
    if unit.len() < MAGIC {
        return Length::Readable(MAGIC);
    }
    if is_skippable(unit) {
        return Length::Known(MAGIC + 4);
    }
    let Some(&descriptor) = unit.get(MAGIC) else {
        return Length::Readable(MAGIC + 1);
    };
    let single_segment = descriptor & 0b10_0000 != 0;
    let window = usize::from(!single_segment);
    let dictionary = match descriptor & 0b11 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let content_size = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    Length::Known(MAGIC + 1 + window + dictionary + content_size)
}

fn is_skippable(unit: &[u8]) -> bool {
    matches!(unit, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// The length of the skippable frame that a whole header announces.
fn skippable(header: &[u8]) -> Option<usize> {
    if !is_skippable(header) {
        return None;
    }
    let length = header.last_chunk().copied().map(u32::from_le_bytes)?;
    usize::try_from(length).ok()
}
