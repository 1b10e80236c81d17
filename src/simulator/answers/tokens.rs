//! How the simulator counts: a prompt is one token for its beginning and one for every four whole octets, a generated
//! text one token for every four octets begun.
//!
//! The numbers follow from the request, so a test can compute what the gate must have recorded. The prompt cache is kept
//! here too: the prefix up to a checkpoint is written when it is first seen and read ever after. Unlike the real one it
//! never forgets by time, and no prefix is too short for it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::prompt::{Lifetime, Prompt};

/// Octets to a token.
pub(super) const OCTETS_PER_TOKEN: usize = 4;

/// Tokens of a prompt of so many octets.
pub(super) fn of_prompt(octets: usize) -> u64 {
    1 + whole(octets)
}

/// Tokens of a generated text of so many octets.
pub(super) fn of_text(octets: usize) -> u64 {
    whole(octets + OCTETS_PER_TOKEN - 1)
}

fn whole(octets: usize) -> u64 {
    u64::try_from(octets / OCTETS_PER_TOKEN).unwrap_or(u64::MAX)
}

/// Input tokens, split as Bedrock's own shapes split them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InputTokens {
    /// Neither read from the cache nor written to it.
    pub(super) plain: u64,
    /// Read from the cache.
    pub(super) read: u64,
    /// Written for five minutes.
    pub(super) written_5m: u64,
    /// Written for one hour.
    pub(super) written_1h: u64,
}

impl InputTokens {
    /// Input without any cache.
    pub(super) fn plain(tokens: u64) -> Self {
        Self {
            plain: tokens,
            ..Self::default()
        }
    }

    /// Written for whatever time.
    pub(super) fn written(&self) -> u64 {
        self.written_5m + self.written_1h
    }

    /// All of it.
    pub(super) fn total(&self) -> u64 {
        self.plain + self.read + self.written()
    }
}

/// The prefixes seen so far.
#[derive(Default)]
pub(in crate::simulator) struct PromptCache {
    seen: Mutex<HashSet<[u8; 32]>>,
}

/// Most prefixes that are remembered; the cache starts afresh beyond that.
const MOST_PREFIXES: usize = 10_000;

impl PromptCache {
    /// Counts a prompt for `model`, reading and writing the cache at the prompt's checkpoints.
    pub(super) fn account(&self, model: &str, prompt: &Prompt) -> InputTokens {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_PREFIXES {
            seen.clear();
        }
        let (mut prefix, mut octets) = (Sha256::new_with_prefix(model), 0);
        let mut checkpoints: Vec<([u8; 32], u64, Lifetime)> = Vec::new();
        for piece in &prompt.pieces {
            octets += piece.text.len();
            prefix.update(piece.text.len().to_be_bytes());
            prefix.update(&piece.text);
            if let Some(lifetime) = piece.checkpoint {
                checkpoints.push((prefix.clone().finalize().into(), whole(octets), lifetime));
            }
        }
        // The longest known prefix is read; what lies between it and the last checkpoint is written.
        let known = checkpoints
            .iter()
            .rposition(|(hash, ..)| seen.contains(hash));
        let mut tokens = InputTokens::default();
        let mut covered = 0;
        for (index, (hash, until_here, lifetime)) in checkpoints.into_iter().enumerate() {
            let count = match (known, lifetime) {
                (Some(known), _) if index <= known => &mut tokens.read,
                (_, Lifetime::OneHour) => &mut tokens.written_1h,
                (_, Lifetime::FiveMinutes) => &mut tokens.written_5m,
            };
            *count += until_here - covered;
            covered = until_here;
            seen.insert(hash);
        }
        tokens.plain = of_prompt(octets) - covered;
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::super::prompt::Piece;
    use super::*;

    fn prompt(pieces: &[(&str, Option<Lifetime>)]) -> Prompt {
        let piece = |&(text, checkpoint): &(&str, Option<Lifetime>)| Piece {
            text: text.to_owned(),
            checkpoint,
        };
        Prompt {
            pieces: pieces.iter().map(piece).collect(),
            last_text: String::new(),
            max_tokens: None,
        }
    }

    #[test]
    fn a_prefix_is_written_once_and_read_ever_after() {
        let cache = PromptCache::default();
        let long = "x".repeat(400);
        let both = prompt(&[
            (&long, Some(Lifetime::OneHour)),
            (&long, Some(Lifetime::FiveMinutes)),
            ("what?", None),
        ]);
        let first = cache.account("m", &both);
        assert_eq!(
            (first.plain, first.read, first.written_1h, first.written_5m),
            (2, 0, 100, 100)
        );
        let again = cache.account("m", &both);
        assert_eq!((again.plain, again.read, again.written()), (2, 200, 0));
        assert_eq!(first.total(), again.total());
        assert_eq!(first.total(), of_prompt(805));
        assert_eq!(cache.account("other", &both), first);
        let longest_only = prompt(&[(&long, None), (&long, Some(Lifetime::OneHour))]);
        assert_eq!(cache.account("m", &longest_only).read, 200);
        let longer = prompt(&[
            (&long, Some(Lifetime::OneHour)),
            ("tail", Some(Lifetime::FiveMinutes)),
        ]);
        let third = cache.account("m", &longer);
        assert_eq!((third.plain, third.read, third.written_5m), (1, 100, 1));
    }
}
