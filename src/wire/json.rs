//! A push scanner of JSON text (RFC 8259): bytes in, in any cut; wanted values out; no tree in between.
//!
//! The sink is offered every member and element before its value is read, and answers what it wants of it. What nobody
//! wants is skipped without being looked into, long strings at the speed of `memchr`. Places are numbers that the sink
//! hands out itself, so that a path costs one look-up per key and nothing is kept of the keys passed.
//! Only what the scanner has to understand is checked: a skipped value need not be well-formed inside, and text is not
//! required to be UTF-8. What follows the first document is ignored.

mod plain;
mod string;

use plain::{Literal, Skip};
use string::Text;

/// Where a value stands, in the sink's own numbering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(pub u16);

/// What a sink wants of a value it was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing; the value is not looked into.
    Skip,
    /// A scalar whole (strings of at most [`MAX_STRING`] bytes; longer ones are not reported), a container's contents.
    Take(Place),
    /// Like `Take`, but a string comes in pieces, however long it is.
    Stream(Place),
}

/// A number, string, boolean or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// A number as written.
    Number(&'a [u8]),
    /// A string, escapes resolved.
    String(&'a [u8]),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// Who is told.
pub trait JsonSink {
    /// A member of the object at `object` follows.
    fn member(&mut self, object: Place, key: &[u8]) -> Want;
    /// An element of the array at `array` follows.
    fn element(&mut self, array: Place, index: u32) -> Want;
    /// A scalar that was taken.
    fn scalar(&mut self, place: Place, value: Scalar<'_>);
    /// A piece of a string that is streamed, escapes resolved; never empty.
    fn text(&mut self, place: Place, piece: &[u8]);
    /// The container at `place` ended.
    fn end(&mut self, place: Place);
}

/// Why bytes are not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// An octet that cannot stand there.
    #[error("octet 0x{octet:02x} at byte {at} where JSON wants {wanted}")]
    Unexpected {
        /// The octet.
        octet: u8,
        /// Its offset in the document.
        at: u64,
        /// What could have stood there.
        wanted: &'static str,
    },
    /// The input ended inside the document.
    #[error("the JSON text ends after {at} bytes, before its document does")]
    Truncated {
        /// How many bytes came.
        at: u64,
    },
}

/// The longest key, number or whole string that is reported, in bytes: an AWS model ARN fits.
pub const MAX_STRING: usize = 2048;

/// Few documents go deeper.
const USUAL_DEPTH: usize = 8;

/// Containers nested deeper are skipped.
pub const MAX_DEPTH: usize = 32;

/// The scanner of one document at a time.
#[derive(Debug)]
pub struct JsonScanner {
    root: Want,
    state: State,
    /// The open containers, outermost first.
    open: Vec<Container>,
    /// What the sink wants of the value at hand.
    want: Want,
    /// A key, string or number that was cut or escaped.
    scratch: Vec<u8>,
    /// It is longer than [`MAX_STRING`].
    overlong: bool,
    /// Bytes of earlier pushes.
    passed: u64,
    /// Why the scanner failed, if it did. Apart from the state, which is copied with every token.
    error: Option<JsonError>,
}

#[derive(Clone, Copy, Debug)]
struct Container {
    place: Place,
    /// The next index of an array; `None` for objects.
    index: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Value,
    Element,
    ElementOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    String(Text),
    Number,
    Literal(Literal, usize),
    Skip(Skip),
    Complete,
    Failed,
}

/// An octet that cannot stand where the rest of the input begins.
struct Unexpected(u8, &'static str);

type Step<'i> = Result<&'i [u8], Unexpected>;

impl JsonScanner {
    /// A scanner whose sink wants `root` of the document itself.
    #[must_use]
    pub fn new(root: Want) -> Self {
        Self {
            root,
            state: State::Value,
            open: Vec::with_capacity(USUAL_DEPTH),
            want: root,
            scratch: Vec::new(),
            overlong: false,
            passed: 0,
            error: None,
        }
    }

    /// Forgets what was scanned: the next byte begins a document.
    pub fn reset(&mut self) {
        self.state = State::Value;
        self.open.clear();
        self.want = self.root;
        self.scratch.clear();
        self.overlong = false;
        self.passed = 0;
        self.error = None;
    }

    /// Scans the next bytes.
    ///
    /// # Errors
    /// [`JsonError`] when the bytes are not JSON; the scanner stays failed until [`reset`](Self::reset).
    pub fn push<S: JsonSink + ?Sized>(
        &mut self,
        input: &[u8],
        sink: &mut S,
    ) -> Result<(), JsonError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut rest = input;
        while !rest.is_empty() {
            let step = match self.state {
                State::Complete | State::Failed => break,
                State::String(text) => self.string(text, rest, sink),
                State::Number => Ok(self.number(rest, sink)),
                State::Literal(literal, seen) => self.literal(literal, seen, rest, sink),
                State::Skip(skip) => Ok(self.skip(skip, rest)),
                _ => {
                    // Trimmed out here, so that `rest` begins with the octet that is judged.
                    rest = without_space(rest);
                    self.structure(rest, sink)
                }
            };
            match step {
                Ok(after) => rest = after,
                Err(Unexpected(octet, wanted)) => {
                    let at = self.passed + length(input) - length(rest);
                    let error = JsonError::Unexpected { octet, at, wanted };
                    self.state = State::Failed;
                    self.error = Some(error);
                    return Err(error);
                }
            }
        }
        self.passed += length(input);
        Ok(())
    }

    /// Says that no more bytes follow; a document that is a bare number ends only here.
    ///
    /// # Errors
    /// [`JsonError`] when the document is not complete or was not JSON.
    pub fn finish<S: JsonSink + ?Sized>(&mut self, sink: &mut S) -> Result<(), JsonError> {
        if matches!(self.state, State::Number) && self.open.is_empty() {
            self.number_end(&[], sink);
        }
        match (self.state, self.error) {
            (State::Complete, _) => Ok(()),
            (_, Some(error)) => Err(error),
            _ => Err(JsonError::Truncated { at: self.passed }),
        }
    }

    /// Whether a whole document has been scanned.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// Everything between values.
    fn structure<'i, S: JsonSink + ?Sized>(&mut self, input: &'i [u8], sink: &mut S) -> Step<'i> {
        let Some((&octet, after)) = input.split_first() else {
            return Ok(input);
        };
        match (self.state, octet) {
            (State::ElementOrEnd, b']') | (State::KeyOrEnd, b'}') => self.close(sink),
            (State::Value, _) => return self.value(octet, input, after, sink),
            (State::Element | State::ElementOrEnd, _) => {
                self.offer_element(sink);
                return self.value(octet, input, after, sink);
            }
            (State::Key | State::KeyOrEnd, b'"') => return self.string_begin(true, after, sink),
            (State::Key | State::KeyOrEnd, _) => return Err(Unexpected(octet, "a member's name")),
            (State::Colon, b':') => self.state = State::Value,
            (State::Colon, _) => return Err(Unexpected(octet, "a colon")),
            _ => match (octet, self.open.last().and_then(|top| top.index)) {
                (b',', Some(_)) => self.state = State::Element,
                (b',', None) => self.state = State::Key,
                (b']', Some(_)) | (b'}', None) => self.close(sink),
                _ => return Err(Unexpected(octet, "a comma or the end of the container")),
            },
        }
        Ok(after)
    }

    fn offer_element<S: JsonSink + ?Sized>(&mut self, sink: &mut S) {
        self.want = Want::Skip;
        if let Some(Container { place, index }) = self.open.last_mut()
            && let Some(index) = index
        {
            self.want = sink.element(*place, *index);
            *index = index.saturating_add(1);
        }
    }

    /// A value that begins with `octet`, the first of `input`.
    fn value<'i, S: JsonSink + ?Sized>(
        &mut self,
        octet: u8,
        input: &'i [u8],
        after: &'i [u8],
        sink: &mut S,
    ) -> Step<'i> {
        match octet {
            b'"' => return self.string_begin(false, after, sink),
            b'{' => return Ok(self.container(octet, b'}', None, after)),
            b'[' => return Ok(self.container(octet, b']', Some(0), after)),
            b't' => self.state = State::Literal(Literal::True, 1),
            b'f' => self.state = State::Literal(Literal::False, 1),
            b'n' => self.state = State::Literal(Literal::Null, 1),
            b'-' | b'0'..=b'9' => {
                self.begin_scratch();
                self.state = State::Number;
                return Ok(self.number(input, sink));
            }
            _ => return Err(Unexpected(octet, "a value")),
        }
        Ok(after)
    }

    fn container<'i>(
        &mut self,
        open: u8,
        close: u8,
        index: Option<u32>,
        after: &'i [u8],
    ) -> &'i [u8] {
        match self.want {
            Want::Take(place) | Want::Stream(place) if self.open.len() < MAX_DEPTH => {
                self.open.push(Container { place, index });
                self.state = if index.is_some() {
                    State::ElementOrEnd
                } else {
                    State::KeyOrEnd
                };
                after
            }
            _ => self.skip(Skip::new(open, close), after),
        }
    }

    fn close<S: JsonSink + ?Sized>(&mut self, sink: &mut S) {
        if let Some(container) = self.open.pop() {
            sink.end(container.place);
        }
        self.after_value();
    }

    fn after_value(&mut self) {
        self.state = if self.open.is_empty() {
            State::Complete
        } else {
            State::CommaOrEnd
        };
    }

    fn begin_scratch(&mut self) {
        self.scratch.clear();
        self.overlong = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.scratch.len() + bytes.len() > MAX_STRING {
            self.overlong = true;
        } else {
            self.scratch.extend_from_slice(bytes);
        }
    }
}

impl Scalar<'_> {
    /// A count: a number without sign and fraction (`7`, but also `7.0`) that fits.
    #[must_use]
    pub fn as_count(&self) -> Option<u64> {
        let Self::Number(written) = self else {
            return None;
        };
        let written = std::str::from_utf8(written).ok()?;
        if written.bytes().all(|octet| octet.is_ascii_digit()) {
            return written.parse().ok().filter(|count| *count <= MAX_COUNT);
        }
        let value: f64 = written.parse().ok()?;
        let exact = value >= 0.0 && value.fract() == 0.0 && value <= MAX_EXACT;
        exact.then(|| format!("{value:.0}").parse().ok()).flatten()
    }

    /// The string, with octets that are not UTF-8 replaced.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::String(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// Above it a double no longer holds every integer: 2⁵³. Nothing that is counted here comes near it.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
const MAX_COUNT: u64 = 1 << 53;

fn without_space(input: &[u8]) -> &[u8] {
    if input.first().is_some_and(|octet| *octet > b' ') {
        return input;
    }
    let start = input
        .iter()
        .position(|octet| !matches!(octet, b' ' | b'\t' | b'\n' | b'\r'));
    start
        .and_then(|start| input.get(start..))
        .unwrap_or_default()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
