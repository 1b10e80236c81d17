//! Numbers and literals of JSON text (RFC 8259 §3 and §6), and the containers that nobody wants.

use memchr::{memchr2, memchr3};

use super::{JsonScanner, JsonSink, MAX_STRING, Scalar, State, Step, Unexpected, Want};

/// A container that nobody wants: only its own kind of bracket is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skip {
    open: u8,
    close: u8,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Literal {
    True,
    False,
    Null,
}

impl Skip {
    /// Of a container whose opening bracket was just read.
    pub(super) fn new(open: u8, close: u8) -> Self {
        Self {
            open,
            close,
            depth: 1,
            in_string: false,
            escaped: false,
        }
    }
}

impl JsonScanner {
    pub(super) fn number<'i, S: JsonSink + ?Sized>(
        &mut self,
        input: &'i [u8],
        sink: &mut S,
    ) -> &'i [u8] {
        let end = input.iter().position(|octet| !is_number(*octet));
        let (run, rest) = input
            .split_at_checked(end.unwrap_or(input.len()))
            .unwrap_or((input, &[]));
        if end.is_some() {
            self.number_end(run, sink);
        } else {
            self.keep(run);
        }
        rest
    }

    pub(super) fn number_end<S: JsonSink + ?Sized>(&mut self, run: &[u8], sink: &mut S) {
        let cut = self.overlong || !self.scratch.is_empty();
        if cut || run.len() > MAX_STRING {
            self.keep(run);
        }
        if let Want::Take(place) | Want::Stream(place) = self.want
            && !self.overlong
        {
            let number = if cut { &self.scratch } else { run };
            sink.scalar(place, Scalar::Number(number));
        }
        self.after_value();
    }

    pub(super) fn literal<'i, S: JsonSink + ?Sized>(
        &mut self,
        literal: Literal,
        seen: usize,
        input: &'i [u8],
        sink: &mut S,
    ) -> Step<'i> {
        let (word, value) = match literal {
            Literal::True => ("true", Scalar::Bool(true)),
            Literal::False => ("false", Scalar::Bool(false)),
            Literal::Null => ("null", Scalar::Null),
        };
        let missing = word.as_bytes().get(seen..).unwrap_or_default();
        let matching = missing
            .iter()
            .zip(input)
            .take_while(|(wanted, octet)| wanted == octet)
            .count();
        let after = input.get(matching..).unwrap_or_default();
        if matching < missing.len() {
            return match after.first() {
                Some(&octet) if matching == 0 => Err(Unexpected(octet, word)),
                _ => {
                    self.state = State::Literal(literal, seen + matching);
                    Ok(after)
                }
            };
        }
        if let Want::Take(place) | Want::Stream(place) = self.want {
            sink.scalar(place, value);
        }
        self.after_value();
        Ok(after)
    }

    pub(super) fn skip<'i>(&mut self, mut skip: Skip, input: &'i [u8]) -> &'i [u8] {
        let mut rest = input;
        loop {
            if skip.escaped {
                let Some((_, after)) = rest.split_first() else {
                    break;
                };
                skip.escaped = false;
                rest = after;
            }
            let found = if skip.in_string {
                memchr2(b'"', b'\\', rest)
            } else {
                memchr3(b'"', skip.open, skip.close, rest)
            };
            let Some((&octet, after)) = found
                .and_then(|at| rest.get(at..))
                .and_then(<[u8]>::split_first)
            else {
                rest = &[];
                break;
            };
            rest = after;
            match octet {
                b'"' => skip.in_string = !skip.in_string,
                b'\\' => skip.escaped = true,
                _ if octet == skip.open => skip.depth = skip.depth.saturating_add(1),
                _ => skip.depth = skip.depth.saturating_sub(1),
            }
            if skip.depth == 0 {
                self.after_value();
                return rest;
            }
        }
        self.state = State::Skip(skip);
        rest
    }
}

fn is_number(octet: u8) -> bool {
    matches!(octet, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}
