//! The text a simulated model writes: always the same for the same prompt, and no longer than the request allows.
//!
//! It repeats the end of the prompt, so that a test can make a model say anything, look-alikes of usage objects included,
//! and it holds characters of more than one octet. One prompt has an answer of its own: the one of the published guide
//! that the demo follows.

use super::prompt::Prompt;
use super::tokens;

/// A generated text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) tokens: u64,
    /// The model came to its end; otherwise the limit did.
    pub(super) finished: bool,
}

const GUIDE_PROMPT: &str = "Human: explain black holes with 10 words\n\nAssistant:";
/// A real model's words for it. They are the whole answer to that prompt whatever the limit is, because that model's
/// tokens are longer than ours; the count still obeys the limit.
const GUIDE_TEXT: &str =
    "Black holes are regions of spacetime with such strong gravity that nothing can escape";

/// Characters of the prompt's end that are repeated.
const ECHO: usize = 120;

/// Writes the answer to a prompt of so many tokens.
pub(super) fn write(prompt: &Prompt, prompt_tokens: u64) -> Written {
    if prompt.last_text == GUIDE_PROMPT {
        let whole = tokens::of_text(GUIDE_TEXT.len());
        let tokens = prompt.max_tokens.map_or(whole, |limit| limit.min(whole));
        return Written {
            text: GUIDE_TEXT.to_owned(),
            tokens,
            finished: tokens == whole,
        };
    }
    let skipped = prompt.last_text.chars().count().saturating_sub(ECHO);
    let echo: String = prompt.last_text.chars().skip(skipped).collect();
    let mut text = format!(
        "You sent {prompt_tokens} tokens – voilà, the end of them again: “{echo}”. That is all the simulator has to say."
    );
    let whole = text.len();
    if let Some(limit) = prompt
        .max_tokens
        .and_then(|limit| usize::try_from(limit).ok())
    {
        text.truncate(text.floor_char_boundary(limit.saturating_mul(tokens::OCTETS_PER_TOKEN)));
    }
    Written {
        tokens: tokens::of_text(text.len()),
        finished: text.len() == whole,
        text,
    }
}

impl Written {
    /// The text in pieces as a stream brings it, each with the count of tokens so far.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut octets = 0;
        self.text.split_inclusive(' ').map(move |piece| {
            octets += piece.len();
            (piece, tokens::of_text(octets).min(self.tokens))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prompt(text: &str, max_tokens: Option<u64>) -> Prompt {
        Prompt::of_text(&json!({"text": text}), "text", max_tokens).unwrap()
    }

    #[test]
    fn a_limit_cuts_the_text_between_characters() {
        let whole = write(&prompt("hello", None), 2);
        assert!(whole.finished && whole.text.contains("“hello”"));
        for limit in 0..whole.tokens {
            let cut = write(&prompt("hello", Some(limit)), 2);
            assert!(
                !cut.finished && cut.tokens <= limit && whole.text.starts_with(&cut.text),
                "{limit}"
            );
        }
        assert_eq!(write(&prompt("hello", Some(whole.tokens)), 2), whole);
    }

    #[test]
    fn pieces_add_up_to_the_text() {
        let written = write(&prompt("hello world", None), 3);
        let text: String = written.pieces().map(|(piece, _)| piece).collect();
        assert_eq!(text, written.text);
        assert_eq!(written.pieces().last().unwrap().1, written.tokens);
    }
}
