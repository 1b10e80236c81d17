//! Strings of JSON text (RFC 8259 §7): keys, whole values, and values in pieces, with their escapes resolved.

use memchr::memchr2;

use super::{JsonScanner, JsonSink, MAX_STRING, Scalar, State, Step, Unexpected, Want};

/// A string under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub(super) is_key: bool,
    pub(super) escape: Escape,
    /// A high surrogate that waits for its low one.
    pub(super) high: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Escape {
    None,
    Begun,
    /// Hex digits seen and their value.
    Unicode(u8, u16),
}

impl JsonScanner {
    /// A string whose opening quote was just read.
    pub(super) fn string_begin<'i, S: JsonSink + ?Sized>(
        &mut self,
        is_key: bool,
        after: &'i [u8],
        sink: &mut S,
    ) -> Step<'i> {
        self.begin_scratch();
        let text = Text {
            is_key,
            escape: Escape::None,
            high: None,
        };
        self.string(text, after, sink)
    }

    pub(super) fn string<'i, S: JsonSink + ?Sized>(
        &mut self,
        mut text: Text,
        input: &'i [u8],
        sink: &mut S,
    ) -> Step<'i> {
        let rest = match text.escape {
            Escape::None => {
                let at = memchr2(b'"', b'\\', input).unwrap_or(input.len());
                let (run, tail) = input.split_at_checked(at).unwrap_or((input, &[]));
                match tail.split_first() {
                    Some((b'"', after)) => {
                        self.string_end(text, run, sink);
                        return Ok(after);
                    }
                    Some((_, after)) => {
                        self.string_part(&mut text, run, sink);
                        text.escape = Escape::Begun;
                        after
                    }
                    None => {
                        self.string_part(&mut text, run, sink);
                        tail
                    }
                }
            }
            Escape::Begun | Escape::Unicode(..) => {
                let Some((&octet, after)) = input.split_first() else {
                    return Ok(input);
                };
                self.escaped(&mut text, octet, sink)?;
                after
            }
        };
        self.state = State::String(text);
        Ok(rest)
    }

    /// One octet of an escape sequence (RFC 8259 §7).
    fn escaped<S: JsonSink + ?Sized>(
        &mut self,
        text: &mut Text,
        octet: u8,
        sink: &mut S,
    ) -> Result<(), Unexpected> {
        if let Escape::Unicode(digits, value) = text.escape {
            let Some(digit) = hex(octet) else {
                return Err(Unexpected(octet, "a hex digit of an escaped character"));
            };
            let value = (value << 4) | digit;
            if digits < 3 {
                text.escape = Escape::Unicode(digits + 1, value);
            } else {
                text.escape = Escape::None;
                self.code_unit(text, value, sink);
            }
            return Ok(());
        }
        let plain = match octet {
            b'"' | b'\\' | b'/' => octet,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                text.escape = Escape::Unicode(0, 0);
                return Ok(());
            }
            _ => return Err(Unexpected(octet, "an escaped character")),
        };
        text.escape = Escape::None;
        self.string_part(text, &[plain], sink);
        Ok(())
    }

    /// A UTF-16 code unit; a surrogate without its partner becomes U+FFFD.
    fn code_unit<S: JsonSink + ?Sized>(&mut self, text: &mut Text, unit: u16, sink: &mut S) {
        let character = match (text.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => char::decode_utf16([high, unit])
                .next()
                .and_then(Result::ok)
                .unwrap_or(char::REPLACEMENT_CHARACTER),
            (high, _) => {
                if high.is_some() {
                    self.string_bytes(text, REPLACEMENT, sink);
                }
                if matches!(unit, 0xd800..=0xdbff) {
                    text.high = Some(unit);
                    return;
                }
                char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
        };
        let mut buffer = [0; 4];
        let encoded = character.encode_utf8(&mut buffer);
        self.string_bytes(text, encoded.as_bytes(), sink);
    }

    fn string_part<S: JsonSink + ?Sized>(&mut self, text: &mut Text, bytes: &[u8], sink: &mut S) {
        if bytes.is_empty() {
            return;
        }
        if text.high.take().is_some() {
            self.string_bytes(text, REPLACEMENT, sink);
        }
        self.string_bytes(text, bytes, sink);
    }

    fn string_bytes<S: JsonSink + ?Sized>(&mut self, text: &Text, bytes: &[u8], sink: &mut S) {
        match self.want {
            _ if text.is_key => self.keep(bytes),
            Want::Skip => {}
            Want::Take(_) => self.keep(bytes),
            Want::Stream(place) => sink.text(place, bytes),
        }
    }

    /// The closing quote, with what stood before it and was not looked at yet.
    fn string_end<S: JsonSink + ?Sized>(&mut self, mut text: Text, run: &[u8], sink: &mut S) {
        let whole = self.scratch.is_empty() && !self.overlong && text.high.is_none();
        let streamed = !text.is_key && !matches!(self.want, Want::Take(_));
        if streamed || !whole || run.len() > MAX_STRING {
            self.string_part(&mut text, run, sink);
            if text.high.is_some() {
                self.string_bytes(&text, REPLACEMENT, sink);
            }
        }
        let value = if whole && run.len() <= MAX_STRING {
            run
        } else {
            &self.scratch
        };
        if text.is_key {
            self.want = match self.open.last() {
                Some(object) if !self.overlong => sink.member(object.place, value),
                _ => Want::Skip,
            };
            self.state = State::Colon;
            return;
        }
        if let Want::Take(place) = self.want
            && !self.overlong
        {
            sink.scalar(place, Scalar::String(value));
        }
        self.after_value();
    }
}

/// U+FFFD.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn hex(octet: u8) -> Option<u16> {
    char::from(octet)
        .to_digit(16)
        .and_then(|digit| u16::try_from(digit).ok())
}
