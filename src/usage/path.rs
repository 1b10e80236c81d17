//! A path from the top of a JSON document, as the families and the operator's `[[usage_pattern]]` tables write it.
//!
//! Steps are separated by dots: a member's name; `[]`, on its own or behind a name, or `#` for every element of an array;
//! a number for one element (or the member of that name); `*` for any member. A backslash takes the meaning from the
//! character that follows. Ours alone have `**`: whatever lies below, however deep.

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The member of this name.
    Member(String),
    /// Any member.
    AnyMember,
    /// Every element.
    Element,
    /// This element, or the member whose name is the number.
    Index(u32),
    /// Everything below.
    Deep,
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing between two dots, or nothing at all.
    #[error("step {0} is empty; a path is names separated by dots, as in usage.input_tokens")]
    EmptyStep(usize),
    /// More steps than a document is followed down.
    #[error("there are {0} steps; documents are followed {MAX_STEPS} steps down")]
    TooLong(usize),
    /// A backslash at the end.
    #[error("the backslash at the end escapes nothing")]
    Dangling,
    /// `**`.
    #[error("`**` cannot be told as one count; write a `*` for each member passed")]
    Deep,
}

/// Most steps of a path: the scanner goes no deeper.
pub(crate) const MAX_STEPS: usize = crate::wire::json::MAX_DEPTH;

/// The steps of a path of ours or of the operator's.
///
/// # Errors
/// [`PathError`]: what is wrong with the text.
pub(crate) fn parse(text: &str) -> Result<Vec<Step>, PathError> {
    let mut steps = Vec::new();
    let mut raw = RawStep::default();
    let mut number = 1;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => raw.push(characters.next().ok_or(PathError::Dangling)?, true),
            '.' => {
                std::mem::take(&mut raw).finish(number, &mut steps)?;
                number += 1;
            }
            _ => raw.push(character, false),
        }
    }
    raw.finish(number, &mut steps)?;
    if steps.len() > MAX_STEPS {
        return Err(PathError::TooLong(steps.len()));
    }
    Ok(steps)
}

/// The characters of a step and which of them are to be taken as they are.
#[derive(Default)]
struct RawStep {
    text: String,
    /// Where the part begins that follows the last escaped character.
    plain_from: usize,
}

impl RawStep {
    fn push(&mut self, character: char, escaped: bool) {
        self.text.push(character);
        if escaped {
            self.plain_from = self.text.len();
        }
    }

    fn finish(self, number: usize, steps: &mut Vec<Step>) -> Result<(), PathError> {
        if self.text.is_empty() {
            return Err(PathError::EmptyStep(number));
        }
        let plain = self.text.get(self.plain_from..).unwrap_or_default();
        let elements = plain.len() - plain.trim_end_matches("[]").len();
        let name = self
            .text
            .get(..self.text.len() - elements)
            .unwrap_or_default();
        let is_escaped = self.plain_from > 0;
        let index = name
            .bytes()
            .all(|octet| octet.is_ascii_digit())
            .then(|| name.parse().ok())
            .flatten();
        match (name, index) {
            ("", _) => {}
            ("*", _) if !is_escaped => steps.push(Step::AnyMember),
            ("**", _) if !is_escaped => steps.push(Step::Deep),
            ("#", _) if !is_escaped => steps.push(Step::Element),
            (_, Some(index)) if !is_escaped => steps.push(Step::Index(index)),
            _ => steps.push(Step::Member(name.to_owned())),
        }
        steps.extend((0..elements / "[]".len()).map(|_| Step::Element));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    #[test]
    fn a_path_is_read_step_by_step() {
        for (text, wanted) in [
            ("a", vec![member("a")]),
            (
                "usage.input_tokens",
                vec![member("usage"), member("input_tokens")],
            ),
            (
                "results.0.n",
                vec![member("results"), Step::Index(0), member("n")],
            ),
            ("a[].b", vec![member("a"), Step::Element, member("b")]),
            ("a.[].b", vec![member("a"), Step::Element, member("b")]),
            ("a.#.b", vec![member("a"), Step::Element, member("b")]),
            ("a[][]", vec![member("a"), Step::Element, Step::Element]),
            ("*.b", vec![Step::AnyMember, member("b")]),
            ("*[]", vec![Step::AnyMember, Step::Element]),
            ("a.**", vec![member("a"), Step::Deep]),
            (r"a\.b.c", vec![member("a.b"), member("c")]),
            (r"\*", vec![member("*")]),
            (r"\7", vec![member("7")]),
            (r"a\[]", vec![member("a[]")]),
            (r"\\", vec![member(r"\")]),
            ("99999999999", vec![member("99999999999")]),
            ("été", vec![member("été")]),
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert_eq!(parse(""), Err(PathError::EmptyStep(1)));
        assert_eq!(parse("a..b"), Err(PathError::EmptyStep(2)));
        assert_eq!(parse("a.b."), Err(PathError::EmptyStep(3)));
        assert_eq!(parse(r"a\"), Err(PathError::Dangling));
        assert_eq!(parse(&"a.".repeat(40)), Err(PathError::EmptyStep(41)));
        assert_eq!(parse(&vec!["a"; 40].join(".")), Err(PathError::TooLong(40)));
    }
}
