//! Each count with the best source that told it, and the rules by which they become one usage.
//!
//! Counts merge and never add: for each of them the last word of the best source stands. What the operator taught is
//! better than the shape's own members, these better than a second name for the same, these better than Bedrock's
//! metrics, and these better than response headers. A lower bound is believed while nothing else is told.

use crate::usage::family::Count;
use crate::usage::tokens::{TokenUsage, UsageSource};

/// The counts told so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    input: Told,
    output: Told,
    /// What the output is at least, told while it was being generated.
    output_floor: Option<u64>,
    cache_read: Told,
    cache_write: Told,
    cache_write_5m: Told,
    cache_write_1h: Told,
    reasoning: Told,
    total: Told,
    /// The shape's input count includes its cache tokens.
    includes_cache: bool,
}

/// A count and how good its source is.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    tokens: Option<u64>,
    by: Source,
}

/// Who told a count, the worst first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A response header.
    #[default]
    Header,
    /// The metrics that Bedrock adds to a stream.
    Metric,
    /// A second name for one of the shape's own members.
    Alias,
    /// The shape itself.
    Shape,
    /// A path that the operator taught.
    Taught(Taught),
}

/// One of the operator's tables. Its rank comes first, for that is what decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Taught {
    /// The earlier in the file, the higher.
    pub(crate) rank: u16,
    /// What the table says of its input count; `None` leaves it to the shape that the document has.
    pub(crate) includes_cache: Option<bool>,
}

impl Counts {
    /// Takes note of a count.
    pub(crate) fn record(&mut self, count: Count, tokens: u64, by: Source) {
        self.includes_cache |= matches!(
            count,
            Count::InputWithCache | Count::CacheReadWithin | Count::CacheWriteWithin
        );
        if count == Count::OutputFloor {
            self.output_floor = Some(tokens);
            return;
        }
        let told = self.of(count);
        if told.tokens.is_none() || told.by <= by {
            *told = Told {
                tokens: Some(tokens),
                by,
            };
        }
    }

    /// What was told of a count until now.
    pub(crate) fn so_far(&mut self, count: Count) -> Option<u64> {
        self.of(count).tokens
    }

    /// Whether an input count was told.
    pub(crate) fn has_input(&self) -> bool {
        self.input.tokens.is_some()
    }

    /// Whether an output count was told that is more than a lower bound.
    pub(crate) fn has_output(&self) -> bool {
        self.output.tokens.is_some()
    }

    /// Whether all that is known of the output is what it is at least.
    pub(crate) fn has_floor_only(&self) -> bool {
        self.output.tokens.is_none() && self.output_floor.is_some()
    }

    /// Whether any count was told, be it a lower bound.
    pub(crate) fn has_any(&self) -> bool {
        self.best_source().is_some()
    }

    /// The counts by the record's rules. `is_embedding`: no output is generated; `body` is the source of what headers
    /// did not tell.
    pub(crate) fn settle(&self, is_embedding: bool, body: UsageSource) -> TokenUsage {
        let cached = self.cached_within();
        let input_tokens = self
            .input
            .tokens
            .map(|input| input.saturating_sub(cached.unwrap_or(0)));
        let mut output_tokens = self.output.tokens.or(self.output_floor);
        if is_embedding && input_tokens.is_some() {
            output_tokens = output_tokens.or(Some(0));
        }
        let mut usage = TokenUsage {
            input_tokens,
            output_tokens,
            cache_read_tokens: self.cache_read.tokens,
            cache_write_tokens: self.cache_write(),
            cache_write_1h_tokens: self.cache_write_1h.tokens,
            reasoning_tokens: self.reasoning.tokens,
            total_tokens: None,
            source: self.best_source().map(|best| match best {
                Source::Header => UsageSource::Headers,
                _ => body,
            }),
        };
        usage.total_tokens = usage.total();
        usage
    }

    /// More cache tokens are told than the input that includes them.
    pub(crate) fn cache_exceeds_input(&self) -> bool {
        matches!(
            (self.input.tokens, self.cached_within()),
            (Some(input), Some(cached)) if input < cached
        )
    }

    /// The input count looks as if it included cache tokens, though its shape leaves them out, and the total adds them
    /// again. Every total of a call with much uncached input looks so: it says something where it must not be.
    pub(crate) fn cache_may_count_twice(&self) -> bool {
        let (Some(input), Some(output), Some(total)) =
            (self.input.tokens, self.output.tokens, self.total.tokens)
        else {
            return false;
        };
        let read = self.cache_read.tokens.unwrap_or(0);
        let cached = read.saturating_add(self.cache_write().unwrap_or(0));
        let sum = input.saturating_add(cached).saturating_add(output);
        cached > 0 && input >= cached && total == sum
    }

    /// The cache tokens to be taken off the input count; `None` where it is without them.
    fn cached_within(&self) -> Option<u64> {
        let within = match self.input.by {
            Source::Taught(table) => table.includes_cache.unwrap_or(self.includes_cache),
            Source::Shape => self.includes_cache,
            _ => false,
        };
        let read = self.cache_read.tokens.unwrap_or(0);
        within.then(|| read.saturating_add(self.cache_write().unwrap_or(0)))
    }

    /// All writes: as they were told, else the sum of the lifetimes that were.
    fn cache_write(&self) -> Option<u64> {
        let lifetimes = [self.cache_write_5m.tokens, self.cache_write_1h.tokens];
        let sum = || lifetimes.into_iter().flatten().reduce(u64::saturating_add);
        self.cache_write.tokens.or_else(sum)
    }

    fn best_source(&self) -> Option<Source> {
        let floor = Told {
            tokens: self.output_floor,
            by: Source::Shape,
        };
        [
            self.input,
            self.output,
            floor,
            self.cache_read,
            self.cache_write,
            self.cache_write_5m,
            self.cache_write_1h,
            self.reasoning,
        ]
        .into_iter()
        .filter(|told| told.tokens.is_some())
        .map(|told| told.by)
        .max()
    }

    fn of(&mut self, count: Count) -> &mut Told {
        match count {
            Count::Input | Count::InputWithCache => &mut self.input,
            Count::Output | Count::OutputFloor => &mut self.output,
            Count::CacheRead | Count::CacheReadWithin => &mut self.cache_read,
            Count::CacheWrite | Count::CacheWriteWithin => &mut self.cache_write,
            Count::CacheWrite5m => &mut self.cache_write_5m,
            Count::CacheWrite1h => &mut self.cache_write_1h,
            Count::Reasoning => &mut self.reasoning,
            Count::Total => &mut self.total,
        }
    }
}
