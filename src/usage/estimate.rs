//! Counts with a tokenizer what nobody told: the text of a cut stream, or of a model that reports no tokens.
//!
//! Slow, for the tokenizer is large and is read when it is first used: the caller chooses where to run this, and needs to
//! only when there is something untold. What a model reported is never replaced; which counts are untold the observer
//! decides. `o200k_base` is one tokenizer for all models: how far it is off stands in `docs/metering.md`.

use crate::usage::sample::Sample;
use crate::usage::tokens::{TokenUsage, UsageSource};

/// The counts that nobody told, and the text to estimate them from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// What was sent to the model.
    pub input: Option<Sample>,
    /// What the model had answered.
    pub output: Option<Sample>,
}

/// Most bytes that are encoded at once. What the tokenizer does with a text grows faster than the text where no word
/// ends, and it gives up by a panic on what would take it too long.
const MAX_PIECE: usize = 4096;

/// How far before its end a piece is cut rather than inside a word.
const MAX_WORD: usize = 256;

/// Reads the tokenizer's vocabulary, which takes up to a second, so that the first estimate need not.
pub fn prepare() {
    tiktoken_rs::o200k_base_singleton();
}

/// Fills in what is untold. A count that a model told as a lower bound stays one.
pub fn estimate(usage: &mut TokenUsage, untold: &Untold) {
    if let Some(sample) = &untold.input
        && usage.input_tokens.is_none()
    {
        let cached = usage.cache_read_tokens.unwrap_or(0);
        let cached = cached.saturating_add(usage.cache_write_tokens.unwrap_or(0));
        usage.input_tokens = Some(tokens_of(sample).saturating_sub(cached));
        usage.source = Some(UsageSource::Estimated);
    }
    if let Some(sample) = &untold.output {
        let least = usage.output_tokens.unwrap_or(0);
        usage.output_tokens = Some(tokens_of(sample).max(least));
        usage.source = Some(UsageSource::Estimated);
    }
    usage.total_tokens = usage.total();
}

/// About how many tokens a text has.
#[must_use]
pub fn tokens_of(sample: &Sample) -> u64 {
    let kept = u64::try_from(sample.kept().len()).unwrap_or(u64::MAX);
    if kept == 0 {
        return 0;
    }
    let text = String::from_utf8_lossy(sample.kept());
    let tokenizer = tiktoken_rs::o200k_base_singleton();
    let tokens: usize = pieces(&text)
        .map(|piece| tokenizer.encode_ordinary(piece).len())
        .sum();
    let tokens = u128::try_from(tokens).unwrap_or(u128::MAX);
    let whole = tokens.saturating_mul(u128::from(sample.bytes())) / u128::from(kept);
    u64::try_from(whole).unwrap_or(u64::MAX)
}

/// Cuts a text before a space if there is one near the end of a piece.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at_checked(cut(rest)).unwrap_or((rest, ""));
        rest = after;
        Some(piece)
    })
}

fn cut(text: &str) -> usize {
    if text.len() <= MAX_PIECE {
        return text.len();
    }
    let most = text.floor_char_boundary(MAX_PIECE);
    let from = text.floor_char_boundary(MAX_PIECE - MAX_WORD);
    let end = text.get(from..most).unwrap_or_default();
    end.rfind(' ').map_or(most, |space| from + space)
}
