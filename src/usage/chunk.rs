//! Unwraps the chunks of InvokeModelWithResponseStream: each holds a document of the model's own, as base64 in JSON.
//!
//! Wrapper, base64 and document are taken apart in one pass, some kilobytes at a time, so that a chunk of a megabyte
//! costs no more memory than one of a word. What the document means is the tally's business.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::usage::tally::Tally;
use crate::wire::json::{JsonScanner, JsonSink, Place, Scalar, Want};

/// Reads one chunk after the other.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    document: JsonScanner,
    base64: Base64,
}

impl ChunkReader {
    /// A reader that has no chunk under way.
    pub(crate) fn new() -> Self {
        Self {
            document: Tally::scanner(),
            base64: Base64::new(),
        }
    }

    /// Reads the payload of a chunk, by the help of a scanner for its wrapper, into the tally. Returns whether the
    /// document in it is whole.
    pub(crate) fn read(
        &mut self,
        payload: &[u8],
        wrapper: &mut JsonScanner,
        tally: &mut Tally,
    ) -> bool {
        wrapper.reset();
        self.document.reset();
        self.base64.reset();
        let mut unwrapped = Chunk {
            chunk: &mut *self,
            tally: &mut *tally,
        };
        // A payload that is not JSON tells nothing, and the next chunk stands for itself.
        wrapper.push(payload, &mut unwrapped).ok();
        let Self { document, base64 } = self;
        base64.finish(|bytes| {
            document.push(bytes, tally).ok();
        });
        document.is_complete()
    }
}

/// The wrapper `{"bytes":"<base64>"}` of a chunk: what its one member holds is a document of its own.
struct Chunk<'a> {
    chunk: &'a mut ChunkReader,
    tally: &'a mut Tally,
}

const WRAPPER: Place = Place(0);
const BYTES: Place = Place(1);

impl JsonSink for Chunk<'_> {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        if object == WRAPPER && key == b"bytes" {
            Want::Stream(BYTES)
        } else {
            Want::Skip
        }
    }

    fn element(&mut self, _array: Place, _index: u32) -> Want {
        Want::Skip
    }

    fn scalar(&mut self, _place: Place, _value: Scalar<'_>) {}

    fn text(&mut self, _place: Place, piece: &[u8]) {
        let Self { chunk, tally } = self;
        let ChunkReader { document, base64 } = &mut **chunk;
        base64.push(piece, |bytes| {
            // What is not JSON tells nothing; the scanner remembers that it failed.
            document.push(bytes, *tally).ok();
        });
    }

    fn end(&mut self, _place: Place) {}
}

/// Base64 in pieces.
#[derive(Debug)]
struct Base64 {
    /// Characters of a group that was cut.
    cut: [u8; GROUP],
    length: usize,
    /// What a run decodes to.
    decoded: Box<[u8]>,
}

const GROUP: usize = 4;
/// Characters decoded at once.
const RUN: usize = 4096;
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Base64 {
    fn new() -> Self {
        Self {
            cut: [0; GROUP],
            length: 0,
            decoded: vec![0; RUN / GROUP * 3].into(),
        }
    }

    fn reset(&mut self) {
        self.length = 0;
    }

    fn push(&mut self, piece: &[u8], mut sink: impl FnMut(&[u8])) {
        let mut rest = piece;
        while self.length > 0 {
            let Some((&character, after)) = rest.split_first() else {
                return;
            };
            self.keep(character);
            rest = after;
            if self.length == GROUP {
                let group = self.cut;
                self.decode(&group, &mut sink);
                self.length = 0;
            }
        }
        let whole = rest.len() - rest.len() % GROUP;
        let (groups, cut) = rest.split_at_checked(whole).unwrap_or((rest, &[]));
        for run in groups.chunks(RUN) {
            self.decode(run, &mut sink);
        }
        for &character in cut {
            self.keep(character);
        }
    }

    /// Decodes a last group whose padding was left out.
    fn finish(&mut self, mut sink: impl FnMut(&[u8])) {
        let group = self.cut;
        self.decode(group.get(..self.length).unwrap_or_default(), &mut sink);
        self.length = 0;
    }

    fn keep(&mut self, character: u8) {
        if let Some(slot) = self.cut.get_mut(self.length) {
            *slot = character;
            self.length += 1;
        }
    }

    /// Decodes groups; what is not base64 yields nothing.
    fn decode(&mut self, groups: &[u8], sink: &mut impl FnMut(&[u8])) {
        if let Ok(length) = ENGINE.decode_slice(groups, &mut self.decoded) {
            sink(self.decoded.get(..length).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::usage::UsageSource;
    use crate::usage::paths::MODEL_PATHS;

    /// The input count that these payloads tell, one chunk after the other.
    fn input_of(payloads: &[String]) -> Option<u64> {
        let mut tally = Tally::new(Arc::clone(&MODEL_PATHS));
        let mut reader = ChunkReader::new();
        let mut wrapper = Tally::scanner();
        for payload in payloads {
            reader.read(payload.as_bytes(), &mut wrapper, &mut tally);
        }
        tally
            .counts()
            .settle(false, UsageSource::Stream)
            .input_tokens
    }

    fn wrap(base64: &str) -> String {
        format!(r#"{{"p":"abc","bytes":"{base64}"}}"#)
    }

    #[test]
    fn base64_is_decoded_wherever_escapes_cut_it() {
        // "???" is Pz8/: the slash moves through every place of a group.
        for filler in 0..12 {
            let text = format!("{}{}", "~".repeat(filler), "?".repeat(30));
            let document = format!(r#"{{"generation":"{text}","prompt_token_count":7}}"#);
            let base64 = STANDARD.encode(&document);
            assert!(base64.contains('/'));
            for written in [base64.clone(), base64.replace('/', r"\/")] {
                assert_eq!(input_of(&[wrap(&written)]), Some(7), "{written}");
            }
            let unpadded = base64.trim_end_matches('=').replace('/', r"\u002f");
            assert_eq!(input_of(&[wrap(&unpadded)]), Some(7), "{unpadded}");
        }
    }

    #[test]
    fn a_long_chunk_is_decoded_in_runs() {
        let document = format!(
            r#"{{"generation":"{}","prompt_token_count":7}}"#,
            "x".repeat(1_000_000)
        );
        assert_eq!(input_of(&[wrap(&STANDARD.encode(document))]), Some(7));
    }

    #[test]
    fn a_damaged_chunk_does_not_hurt_the_next() {
        let good = wrap(&STANDARD.encode(r#"{"prompt_token_count":7}"#));
        for damaged in [
            "",
            "x",
            "{",
            r#"{"bytes":"eyJ"#,
            r#"{"bytes":"eyJ\/"}"#,
            r#"{"bytes":"****"}"#,
            r#"{"bytes":5}"#,
        ] {
            assert_eq!(input_of(&[damaged.to_owned()]), None, "{damaged}");
            assert_eq!(
                input_of(&[damaged.to_owned(), good.clone()]),
                Some(7),
                "{damaged}"
            );
        }
    }
}
