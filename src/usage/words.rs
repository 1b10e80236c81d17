//! What an answer says about itself in words: why it ended, who gave it, at which tier; and what went wrong.
//!
//! Words are kept as they were written, up to a length. Which of several names is an error's type depends on whether the
//! document is known to be about an error, so that is settled when the document has ended.

use crate::usage::family::{Clue, Word};
use crate::wire::json::Scalar;

/// The words that were told.
#[derive(Debug, Default)]
pub(crate) struct Words {
    finish_reason: Option<String>,
    status: Option<String>,
    model: Option<String>,
    service_tier: Option<String>,
    performance_latency: Option<String>,
}

/// What the document under way says of an error.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    aws_type: Option<String>,
    aws_code: Option<String>,
    kind: Option<String>,
    code: Option<String>,
}

/// The longest word that is kept, in characters: a finish reason, an error type, a tier. A model's ARN is longer.
const MAX_WORD: usize = 256;
/// The longest model id that is kept.
const MAX_MODEL: usize = 2048;

impl Words {
    /// Keeps the last word told.
    pub(crate) fn keep(&mut self, word: Word, value: Scalar<'_>) {
        let most = if word == Word::Model {
            MAX_MODEL
        } else {
            MAX_WORD
        };
        let slot = match word {
            Word::FinishReason => &mut self.finish_reason,
            Word::Status => &mut self.status,
            Word::Model => &mut self.model,
            Word::ServiceTier => &mut self.service_tier,
            Word::PerformanceLatency => &mut self.performance_latency,
        };
        if let Some(text) = value.as_text().and_then(|text| cut_at(&text, most)) {
            *slot = Some(text);
        }
    }

    /// What was told.
    pub(crate) fn get(&self, word: Word) -> Option<&str> {
        let slot = match word {
            Word::FinishReason => &self.finish_reason,
            Word::Status => &self.status,
            Word::Model => &self.model,
            Word::ServiceTier => &self.service_tier,
            Word::PerformanceLatency => &self.performance_latency,
        };
        slot.as_deref()
    }

    /// A word of a length that is kept; `None` for an empty one.
    pub(crate) fn cut(text: &str) -> Option<String> {
        cut_at(text, MAX_WORD)
    }
}

impl Failure {
    /// Keeps what one member says.
    pub(crate) fn keep(&mut self, clue: Clue, value: Scalar<'_>) {
        let Some(text) = value.as_text() else {
            return;
        };
        let (slot, name) = match clue {
            Clue::AwsType => (&mut self.aws_type, error_name(&text)),
            Clue::AwsCode => (&mut self.aws_code, error_name(&text)),
            Clue::Type => (&mut self.kind, text.as_str()),
            Clue::Code => (&mut self.code, text.as_str()),
        };
        if let Some(name) = Words::cut(name) {
            *slot = Some(name);
        }
    }

    /// The error's type. `is_failure`: the document is known to be about an error, so AWS's own members are believed.
    pub(crate) fn name(self, is_failure: bool) -> Option<String> {
        let aws = self.aws_type.or(self.aws_code).filter(|_| is_failure);
        aws.or(self.kind).or(self.code)
    }
}

/// The name in an AWS error type: `com.amazon.service#Name:http://…` says `Name`.
pub(crate) fn error_name(written: &str) -> &str {
    let name = written.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

fn cut_at(text: &str, most: usize) -> Option<String> {
    let end = text.char_indices().nth(most).map(|(end, _)| end);
    let word = end.and_then(|end| text.get(..end)).unwrap_or(text);
    (!word.is_empty()).then(|| word.to_owned())
}
