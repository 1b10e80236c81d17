//! Text that passed by, remembered as far as an estimate of its tokens needs it.
//!
//! The first kibibytes are kept and all of it is counted, so that the memory is bounded and a longer text can be
//! extrapolated. What it holds is somebody's prompt or answer: it prints only its size.

use std::fmt;

/// Some text and how much there was of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sample {
    kept: Vec<u8>,
    bytes: u64,
}

/// A point that a sample can be taken back to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    kept: usize,
    bytes: u64,
}

/// Most bytes that are kept.
pub const MAX_SAMPLE: usize = 64 * 1024;

impl Sample {
    /// The text that is kept.
    #[must_use]
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// How many bytes of text there were.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a piece of text.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let room = MAX_SAMPLE.saturating_sub(self.kept.len()).min(piece.len());
        self.kept
            .extend_from_slice(piece.get(..room).unwrap_or_default());
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
    }

    /// Where the sample stands.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            kept: self.kept.len(),
            bytes: self.bytes,
        }
    }

    /// Forgets what came after `mark`.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.kept.truncate(mark.kept);
        self.bytes = mark.bytes;
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample")
            .field("kept", &self.kept.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_prints_its_size_and_nothing_of_what_was_said() {
        let mut sample = Sample::default();
        sample.push(b"my prompt");
        let shown = format!("{sample:?} {sample:#?}");
        assert!(
            shown.contains("kept: 9") && !shown.contains("prompt"),
            "{shown}"
        );
    }
}
