//! Which counts nobody told, and whether there is something to estimate them from.
//!
//! Called for answers with a good status to operations that have a model generate. The rule in one sentence: a count that
//! was not reported is estimated if the answer was one that is counted in tokens and the text for it was seen.

use crate::usage::estimate::Untold;
use crate::usage::sample::Sample;
use crate::usage::tally::Tally;

/// What is left to be estimated of an answer; `prompt` is the text of its request.
pub(crate) fn untold(tally: &Tally, is_stream: bool, prompt: Option<Sample>) -> Option<Untold> {
    // What is billed by the picture, the query or the second has no tokens to be told.
    if tally.has_media() {
        return None;
    }
    let has_text = tally.text().bytes() > 0;
    let counts = tally.counts();
    // The service itself broke off: nobody says whether that is charged, so what was told is all there is to say.
    if tally.error_type().is_some() {
        return None;
    }
    // Only a model streams. A document may be anything, until it shows a shape that is counted in tokens.
    if !is_stream && !has_text && !counts.has_any() && !tally.is_embedding() {
        return None;
    }
    let input = prompt.filter(|_| !counts.has_input());
    let output = if counts.has_output() {
        None
    } else if tally.is_embedding() {
        // A text of no length has no tokens; where the input is told, the counts say so themselves.
        (!counts.has_input()).then(Sample::default)
    } else {
        has_text.then(|| tally.text().clone())
    };
    (input.is_some() || output.is_some()).then_some(Untold { input, output })
}
