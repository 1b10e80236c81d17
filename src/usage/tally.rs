//! What one exchange told, gathered while its documents are scanned.
//!
//! What stands where in a document is told by the paths; a [`Tally`] is the sink a scanner shows the document to. The
//! counts and their ranks are the business of `counts`, the names of errors and the text that was seen are kept here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::usage::counts::{Counts, Source};
use crate::usage::family::{Count, Meaning, Moment};
use crate::usage::paths::{Paths, ROOT};
use crate::usage::sample::{Mark, Sample};
use crate::usage::words::{Failure, Words};
use crate::wire::json::{JsonScanner, JsonSink, Place, Scalar, Want};

/// What an exchange has told so far.
#[derive(Debug)]
pub(crate) struct Tally {
    paths: Arc<Paths>,
    counts: Counts,
    /// What was told before the document under way.
    counts_before: Counts,
    units: BTreeMap<&'static str, u64>,
    text: Sample,
    /// Where the text stood when the document under way began.
    text_before: Mark,
    generation_seen: bool,
    is_embedding: bool,
    has_media: bool,
    is_final: bool,
    words: Words,
    error_type: Option<String>,
    failure: Failure,
    /// What the document under way has to remember.
    pub(crate) scratch: Scratch,
}

/// A document's memory, empty at the start of each.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// A hook's sum under way.
    pub(crate) sum: Option<u64>,
    /// Cache writes under way, for five minutes and for an hour.
    pub(crate) writes: Option<(u64, u64)>,
    /// The tokens of the element under way.
    pub(crate) tokens: Option<u64>,
    /// Whether the element under way lives for an hour.
    pub(crate) is_1h: Option<bool>,
    /// What adds up over the places where it stands, until the document ends.
    sums: Vec<(Sum, u64)>,
    /// The picture under way has been counted.
    image_counted: bool,
    /// The document's text came before, in pieces, or is none.
    is_repetition: bool,
    /// No counts follow the document.
    is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    Unit(&'static str),
    Count(Count, Source),
}

/// Kinds of events after which no count follows.
const LAST_EVENTS: [&[u8]; 4] = [
    b"message_stop",
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
];

/// How the kinds of events end whose text was told by others, or whose delta is sound.
const REPETITIONS: [&[u8]; 2] = [b".done", b".audio.delta"];

impl Tally {
    /// A tally that reads documents by `paths`.
    pub(crate) fn new(paths: Arc<Paths>) -> Self {
        Self {
            paths,
            counts: Counts::default(),
            counts_before: Counts::default(),
            units: BTreeMap::new(),
            text: Sample::default(),
            text_before: Mark::default(),
            generation_seen: false,
            is_embedding: false,
            has_media: false,
            is_final: false,
            words: Words::default(),
            error_type: None,
            failure: Failure::default(),
            scratch: Scratch::default(),
        }
    }

    /// A scanner for the documents of a tally.
    pub(crate) fn scanner() -> JsonScanner {
        JsonScanner::new(Want::Take(ROOT))
    }

    /// Something generated came, outside of any document.
    pub(crate) fn generation_came(&mut self) {
        self.generation_seen = true;
    }

    /// A count that a response header told.
    pub(crate) fn told_by_header(&mut self, count: Count, tokens: u64) {
        self.counts.record(count, tokens, Source::Header);
        // It was told before every document: one that is not believed does not take it back.
        self.counts_before = self.counts;
    }

    /// A count that the shape itself told.
    pub(crate) fn told(&mut self, count: Count, tokens: u64) {
        self.counts.record(count, tokens, Source::Shape);
    }

    /// What was told of a count until now.
    pub(crate) fn so_far(&mut self, count: Count) -> Option<u64> {
        self.counts.so_far(count)
    }

    /// No further counts follow: a cut behind this point loses nothing.
    pub(crate) fn counts_are_final(&mut self) {
        self.is_final = true;
    }

    /// An error that something other than a document told.
    pub(crate) fn failed(&mut self, error_type: &str) {
        self.error_type = Words::cut(error_type);
    }

    /// The document ended. `stands`: what it told is believed; of a frame that did not come whole nothing is, for a count
    /// may mean something else together with one that follows. `is_failure`: it is known to be about an error.
    pub(crate) fn end_document(&mut self, stands: bool, is_failure: bool) {
        let Scratch {
            sums,
            is_repetition,
            is_last,
            ..
        } = std::mem::take(&mut self.scratch);
        if stands {
            self.is_final |= is_last;
        } else {
            self.counts = self.counts_before;
        }
        for (sum, value) in sums.into_iter().filter(|_| stands) {
            match sum {
                Sum::Unit(unit) => _ = self.units.insert(unit, value),
                Sum::Count(count, by) => self.counts.record(count, value, by),
            }
        }
        if is_repetition || !stands {
            self.text.rewind(self.text_before);
        }
        self.text_before = self.text.mark();
        self.counts_before = self.counts;
        if let Some(error_type) = std::mem::take(&mut self.failure).name(is_failure) {
            self.error_type = Some(error_type);
        }
    }

    /// The counts.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What is counted in other units than tokens.
    pub(crate) fn units(&self) -> &BTreeMap<&'static str, u64> {
        &self.units
    }

    /// The generated text.
    pub(crate) fn text(&self) -> &Sample {
        &self.text
    }

    /// Whether anything generated has come.
    pub(crate) fn generation_seen(&self) -> bool {
        self.generation_seen
    }

    /// Whether the answer is an embedding, which generates no tokens.
    pub(crate) fn is_embedding(&self) -> bool {
        self.is_embedding
    }

    /// Whether there is something in the answer that is not counted in tokens.
    pub(crate) fn has_media(&self) -> bool {
        self.has_media
    }

    /// Whether no count will follow.
    pub(crate) fn is_final(&self) -> bool {
        self.is_final
    }

    /// What the answer says about itself.
    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    /// The type of the error that was told.
    pub(crate) fn error_type(&self) -> Option<&str> {
        self.error_type.as_deref()
    }

    fn read(&mut self, meaning: Meaning, value: Scalar<'_>) {
        match meaning {
            Meaning::Count(count) => self.read_count(count, value, Source::Shape),
            Meaning::Alias(count) => self.read_count(count, value, Source::Alias),
            Meaning::Metric(count) => {
                self.scratch.is_last |= value.as_count().is_some();
                self.read_count(count, value, Source::Metric);
            }
            Meaning::Taught(count, table) => {
                self.add(Sum::Count(count, Source::Taught(table)), value);
            }
            Meaning::Unit(unit) => self.add(Sum::Unit(unit), value),
            Meaning::Query => {
                if matches!(value, Scalar::Number(_)) {
                    self.has_media = true;
                    self.units.insert("queries", 1);
                }
            }
            Meaning::Kind => {
                if let Scalar::String(kind) = value {
                    self.scratch.is_last |= LAST_EVENTS.contains(&kind);
                    self.scratch.is_repetition |= REPETITIONS.iter().any(|end| kind.ends_with(end));
                }
            }
            Meaning::Word(word) => self.words.keep(word, value),
            Meaning::Hook(hook) => hook(self, Moment::Scalar(value)),
            Meaning::Error(clue) => self.failure.keep(clue, value),
            Meaning::NoTokens => self.has_media |= value != Scalar::Null,
            Meaning::Text | Meaning::Speech | Meaning::Image | Meaning::Embedding => {}
        }
    }

    fn read_count(&mut self, count: Count, value: Scalar<'_>, by: Source) {
        if let Some(tokens) = value.as_count() {
            self.counts.record(count, tokens, by);
        }
    }

    fn add(&mut self, sum: Sum, value: Scalar<'_>) {
        let Some(count) = value.as_count() else {
            return;
        };
        let sums = &mut self.scratch.sums;
        match sums.iter_mut().find(|(known, _)| *known == sum) {
            Some((_, total)) => *total = total.saturating_add(count),
            None => sums.push((sum, count)),
        }
    }

    fn want(&mut self, place: Option<Place>) -> Want {
        let Some(place) = place else {
            return Want::Skip;
        };
        self.scratch.image_counted = false;
        let (mut streams, mut only_embedding) = (false, self.paths.is_leaf(place));
        for meaning in self.paths.meanings(place) {
            match meaning {
                Meaning::Embedding => self.is_embedding = true,
                Meaning::Text | Meaning::Speech | Meaning::Image | Meaning::NoTokens => {
                    streams = true;
                    only_embedding = false;
                }
                _ => only_embedding = false,
            }
        }
        if streams {
            Want::Stream(place)
        } else if only_embedding {
            Want::Skip
        } else {
            Want::Take(place)
        }
    }

    fn image_came(&mut self) {
        if !std::mem::replace(&mut self.scratch.image_counted, true) {
            let images = self.units.entry("images").or_insert(0);
            *images = images.saturating_add(1);
            self.has_media = true;
        }
    }

    /// The meaning of this number at a place.
    fn meaning(&self, place: Place, number: usize) -> Option<Meaning> {
        self.paths.meanings(place).get(number).copied()
    }
}

impl JsonSink for Tally {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        let place = self.paths.member(object, key);
        self.want(place)
    }

    fn element(&mut self, array: Place, index: u32) -> Want {
        let place = self.paths.element(array, index);
        self.want(place)
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>) {
        let mut number = 0;
        while let Some(meaning) = self.meaning(place, number) {
            self.read(meaning, value);
            number += 1;
        }
    }

    fn text(&mut self, place: Place, piece: &[u8]) {
        let mut number = 0;
        while let Some(meaning) = self.meaning(place, number) {
            match meaning {
                Meaning::Text => {
                    self.generation_seen = true;
                    self.text.push(piece);
                }
                Meaning::Speech => {
                    self.generation_seen = true;
                    self.has_media = true;
                }
                Meaning::NoTokens => self.has_media = true,
                Meaning::Image => self.image_came(),
                _ => {}
            }
            number += 1;
        }
    }

    fn end(&mut self, place: Place) {
        let mut number = 0;
        while let Some(meaning) = self.meaning(place, number) {
            if let Meaning::Hook(hook) = meaning {
                hook(self, Moment::End);
            }
            number += 1;
        }
    }
}
