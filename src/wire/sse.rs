//! A push decoder of server-sent events (WHATWG HTML §9.2.6): lines in any cut and with any line end become events.
//!
//! The data of an event is handed on piece by piece as it arrives, so that neither a long line nor a long event is ever
//! held here; only the event's name is, up to a limit. `id` and `retry` matter to a client that reconnects, not here.
//! What the data means is left to the sink.

use memchr::memchr2;

/// Who is told.
pub trait SseSink {
    /// A piece of the data of the event under way. Lines of data are joined by a line feed, as the standard says.
    fn data(&mut self, piece: &[u8]);
    /// The event whose data went before has ended; `name` is empty when it has none.
    fn event(&mut self, name: &[u8]);
}

/// The longest event name that is kept, in bytes; a longer one counts as none.
pub const MAX_NAME: usize = 256;

/// The decoder of one stream.
#[derive(Debug, Default)]
pub struct SseDecoder {
    state: State,
    /// The line before ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// A byte order mark may still stand in front.
    begun: bool,
    /// What came of a field's name so far.
    field: FieldName,
    name: Vec<u8>,
    name_overlong: bool,
    /// The event under way has had a line of data.
    has_data: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    LineStart,
    FieldName,
    /// Past the colon: one space may follow.
    ValueStart(Field),
    Value(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Other,
}

/// The first octets of a field's name: enough to tell the two that matter.
#[derive(Clone, Copy, Debug, Default)]
struct FieldName {
    octets: [u8; 8],
    length: usize,
}

impl SseDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes the next bytes.
    pub fn push<S: SseSink + ?Sized>(&mut self, input: &[u8], sink: &mut S) {
        let mut rest = input;
        while let Some((&octet, after)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) && octet == b'\n' {
                rest = after;
                continue;
            }
            rest = match self.state {
                State::LineStart => self.line_start(octet, rest, after, sink),
                State::FieldName => self.field_name(rest, sink),
                State::ValueStart(field) => {
                    self.state = State::Value(field);
                    if octet == b' ' { after } else { rest }
                }
                State::Value(field) => self.value(field, rest, sink),
            };
        }
    }

    /// Whether no event is under way.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        let is_named = !self.name.is_empty() || self.name_overlong;
        matches!(self.state, State::LineStart) && !self.has_data && !is_named
    }

    fn line_start<'i, S: SseSink + ?Sized>(
        &mut self,
        octet: u8,
        rest: &'i [u8],
        after: &'i [u8],
        sink: &mut S,
    ) -> &'i [u8] {
        match octet {
            b'\n' | b'\r' => {
                self.after_cr = octet == b'\r';
                self.dispatch(sink);
                after
            }
            _ => {
                self.field = FieldName::default();
                self.state = State::FieldName;
                rest
            }
        }
    }

    fn field_name<'i, S: SseSink + ?Sized>(&mut self, input: &'i [u8], sink: &mut S) -> &'i [u8] {
        let end = input
            .iter()
            .position(|octet| matches!(octet, b':' | b'\n' | b'\r'));
        let (part, tail) = input
            .split_at_checked(end.unwrap_or(input.len()))
            .unwrap_or((input, &[]));
        for &octet in part {
            self.field.push(octet);
        }
        let Some((&octet, after)) = tail.split_first() else {
            return tail;
        };
        let field = self.field.read(!self.begun);
        self.begun = true;
        self.value_begin(field, sink);
        if octet == b':' {
            self.state = State::ValueStart(field);
            after
        } else {
            // A line without a colon is a field with an empty value.
            self.state = State::Value(field);
            tail
        }
    }

    fn value_begin<S: SseSink + ?Sized>(&mut self, field: Field, sink: &mut S) {
        match field {
            Field::Data => {
                if std::mem::replace(&mut self.has_data, true) {
                    sink.data(b"\n");
                }
            }
            Field::Event => {
                self.name.clear();
                self.name_overlong = false;
            }
            Field::Other => {}
        }
    }

    fn value<'i, S: SseSink + ?Sized>(
        &mut self,
        field: Field,
        input: &'i [u8],
        sink: &mut S,
    ) -> &'i [u8] {
        let at = memchr2(b'\n', b'\r', input).unwrap_or(input.len());
        let (part, tail) = input.split_at_checked(at).unwrap_or((input, &[]));
        match field {
            Field::Data if !part.is_empty() => sink.data(part),
            Field::Event if self.name.len() + part.len() <= MAX_NAME => {
                self.name.extend_from_slice(part);
            }
            Field::Event => self.name_overlong = true,
            Field::Data | Field::Other => {}
        }
        let Some((&octet, after)) = tail.split_first() else {
            return tail;
        };
        self.after_cr = octet == b'\r';
        self.state = State::LineStart;
        after
    }

    /// An empty line: without data there is no event, and its name is forgotten.
    fn dispatch<S: SseSink + ?Sized>(&mut self, sink: &mut S) {
        self.begun = true;
        if std::mem::take(&mut self.has_data) {
            let name = if self.name_overlong {
                &[]
            } else {
                self.name.as_slice()
            };
            sink.event(name);
        }
        self.name.clear();
        self.name_overlong = false;
    }
}

impl FieldName {
    fn push(&mut self, octet: u8) {
        if let Some(slot) = self.octets.get_mut(self.length) {
            *slot = octet;
        }
        self.length = self.length.saturating_add(1);
    }

    fn read(&self, first_line: bool) -> Field {
        let name = self.octets.get(..self.length).unwrap_or_default();
        let name = match name.strip_prefix("\u{feff}".as_bytes()) {
            Some(rest) if first_line => rest,
            _ => name,
        };
        match name {
            b"data" => Field::Data,
            b"event" => Field::Event,
            _ => Field::Other,
        }
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
