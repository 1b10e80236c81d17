//! Pictures: Titan Image and Nova Canvas, Stability in both of its shapes, and OpenAI's.
//!
//! They are billed by the picture and have no tokens. Each that was answered counts; one that a filter withheld is null
//! or missing, and does not.

use super::{Family, Meaning, Word};

pub(super) static FAMILY: Family = Family {
    paths: &[
        ("images[]", Meaning::Image),
        ("finish_reasons[]", Meaning::Word(Word::FinishReason)),
        ("artifacts[].base64", Meaning::Image),
        (
            "artifacts[].finishReason",
            Meaning::Word(Word::FinishReason),
        ),
        ("data[].b64_json", Meaning::Image),
    ],
    usage_at: &[],
    usage: &[],
};
