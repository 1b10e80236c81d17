//! Where words stand in a body, whatever their case.
//!
//! Every body that is kept is looked through and hardly one holds a word, so what counts is how fast the rest is passed
//! over. That is done by Teddy, the vectorised searcher of `aho-corasick`. It knows no case and would be busy with parts
//! of words that any text holds; so it is shown a copy in one case, a piece at a time, and looks for a rare part of each
//! word. Only around such a part are words compared with the body. What a word means, and which part of it is rare, is
//! `body`'s business. See docs/decisions/0014.

use std::cmp::Reverse;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, Match, MatchKind, Span, packed};

/// Words with what each of them means. They are found as a regular expression of alternatives finds them: the one that
/// begins first, and none that begins in one that was found.
pub(super) struct Words<T> {
    words: Vec<(&'static [u8], T)>,
    /// For each part, the words that are looked for by it, and where in them it lies; the one that begins first is the
    /// first.
    by_part: Vec<Vec<(usize, usize)>>,
    parts: Parts,
    longest_part: usize,
}

/// A body that is no longer is copied at once.
pub(super) const SHORT: usize = 256;
/// The octets of any other that are copied at a time: they stay in the fastest cache.
pub(super) const LONG: usize = 4096;
/// The octets that a processor changes at a time, or twice at half the time.
const BLOCK: usize = 32;

impl<T> Words<T> {
    /// A word is looked for by the first of `rare` that is in it, else by the whole of it. For [`Words::find`] to be right,
    /// no part may begin with another, and of two words that overlap the part of the first must not lie behind that of the
    /// second. `None` when there is no word, or one that is too long.
    pub(super) fn new(words: Vec<(&'static [u8], T)>, rare: &[&[u8]]) -> Option<Self> {
        Self::with(words, rare, Parts::new)
    }

    /// The same as on a machine that has no vectors.
    #[cfg(test)]
    pub(super) fn without_vectors(words: Vec<(&'static [u8], T)>, rare: &[&[u8]]) -> Option<Self> {
        Self::with(words, rare, Parts::table)
    }

    fn with(
        words: Vec<(&'static [u8], T)>,
        rare: &[&[u8]],
        finder: impl FnOnce(&[Vec<u8>]) -> Option<Parts>,
    ) -> Option<Self> {
        let mut parts: Vec<Vec<u8>> = rare.iter().map(|part| folded(part)).collect();
        let mut by_part = vec![Vec::new(); parts.len()];
        for (index, (word, _)) in words.iter().enumerate() {
            let word = folded(word);
            let place = |part: &Vec<u8>| memchr::memmem::find(&word, part);
            let mut known = parts.iter().zip(&mut by_part);
            match known.find_map(|(part, of_it)| Some((place(part)?, of_it))) {
                Some((offset, of_it)) => of_it.push((index, offset)),
                None => {
                    parts.push(word);
                    by_part.push(vec![(index, 0)]);
                }
            }
        }
        for of_it in &mut by_part {
            of_it.sort_by_key(|(_, offset)| Reverse(*offset));
        }
        let longest_part = parts.iter().map(Vec::len).max();
        Some(Self {
            words,
            by_part,
            longest_part: longest_part.filter(|length| (1..SHORT).contains(length))?,
            parts: finder(&parts)?,
        })
    }

    /// Shows `found` each word that stands in `bytes`, and where.
    pub(super) fn find(&self, bytes: &[u8], found: impl FnMut(&T, Range<usize>)) {
        // Most bodies are short, and even to clear the place for a copy takes a while.
        if bytes.len() <= SHORT {
            self.find_by(&mut [[0; BLOCK]; SHORT / BLOCK], bytes, found);
        } else {
            self.find_by(&mut [[0; BLOCK]; LONG / BLOCK], bytes, found);
        }
    }

    /// Copies as much at a time as there is place for in `copy`.
    fn find_by(
        &self,
        copy: &mut [[u8; BLOCK]],
        bytes: &[u8],
        mut found: impl FnMut(&T, Range<usize>),
    ) {
        let at_once = copy.as_flattened().len();
        let (mut start, mut free) = (0, 0);
        loop {
            let rest = bytes.get(start..).unwrap_or_default();
            let piece = rest.get(..at_once).unwrap_or(rest);
            let folded = fold_into(copy, piece);
            let mut from = 0;
            while let Some(part) = self.parts.find(folded, from) {
                from = part.start() + 1;
                let of_it = self.by_part.get(part.pattern().as_usize());
                let at = start + part.start();
                if let Some((what, range)) = self.around(bytes, at, of_it, free) {
                    free = range.end;
                    found(what, range);
                }
            }
            if piece.len() == rest.len() {
                return;
            }
            // A part that this piece cut lies whole in the next one.
            start += at_once - (self.longest_part - 1);
        }
    }

    /// The word among `those` whose part lies at `at`, unless it begins before `free`.
    fn around(
        &self,
        bytes: &[u8],
        at: usize,
        those: Option<&Vec<(usize, usize)>>,
        free: usize,
    ) -> Option<(&T, Range<usize>)> {
        those?.iter().find_map(|(index, offset)| {
            let (word, what) = self.words.get(*index)?;
            let start = at.checked_sub(*offset).filter(|start| *start >= free)?;
            let range = start..start + word.len();
            let is_it = bytes.get(range.clone())?.eq_ignore_ascii_case(word);
            is_it.then_some((what, range))
        })
    }
}

/// One octet for both cases of a letter. Some other octets become the same as well, which does no harm.
pub(super) fn fold(octet: u8) -> u8 {
    octet | 0x20
}

/// Writes a copy of `piece` in one case, filled up to a whole block.
fn fold_into<'a>(copy: &'a mut [[u8; BLOCK]], piece: &[u8]) -> &'a [u8] {
    let (blocks, rest) = piece.as_chunks();
    let mut last = [0; BLOCK];
    if let Some(last) = last.get_mut(..rest.len()) {
        last.copy_from_slice(rest);
    }
    let mut used = blocks.len();
    for (copy, block) in copy.iter_mut().zip(blocks) {
        *copy = fold_all(*block);
    }
    if let Some(copy) = copy.get_mut(used)
        && !rest.is_empty()
    {
        *copy = fold_all(last);
        used += 1;
    }
    copy.get(..used).unwrap_or_default().as_flattened()
}

fn fold_all(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block.iter_mut().for_each(|octet| *octet = fold(*octet));
    block
}

fn folded(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().map(fold).collect()
}

/// What finds the parts of words.
enum Parts {
    Vectors(packed::Searcher),
    /// Where there are no vectors, or none that Teddy knows.
    Table(AhoCorasick),
}

impl Parts {
    fn new(parts: &[Vec<u8>]) -> Option<Self> {
        match packed::Searcher::new(parts) {
            Some(searcher) => Some(Self::Vectors(searcher)),
            None => Self::table(parts),
        }
    }

    fn table(parts: &[Vec<u8>]) -> Option<Self> {
        let table = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::LeftmostFirst)
            .build(parts);
        Some(Self::Table(table.ok()?))
    }

    /// The first part in `folded` that begins at `from` or behind it.
    fn find(&self, folded: &[u8], from: usize) -> Option<Match> {
        match self {
            Self::Vectors(searcher) => {
                let span = Span {
                    start: from,
                    end: folded.len(),
                };
                searcher.find_in(folded, span)
            }
            Self::Table(table) => {
                let input = Input::new(folded).range(from..);
                table.try_find(input).ok().flatten()
            }
        }
    }
}
