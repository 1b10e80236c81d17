//! A stored body made readable: content coding removed, JSON indented, event streams one line an event.
//!
//! Nothing here changes a value: JSON is indented token by token, so that numbers and repeated members stay as they
//! were sent. Whatever cannot be read as what it claims to be is shown as text, or as octets if it is none. Codings are
//! undone in `coding`.

use std::borrow::Cow;
use std::io::{self, Write};

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::coding::{self, Decoded};
use crate::cli::terminal::{Line, Lines, is_harmful, write_json_text};

/// How many octets of a binary body are shown.
const OCTETS: usize = 64;

/// Octets on a line.
const OCTETS_A_LINE: usize = 16;

/// Writes the body that came after `head`. `truncated`: more of it passed than was kept.
pub(crate) fn write(
    out: &mut impl Write,
    head: &[u8],
    body: &[u8],
    truncated: bool,
) -> io::Result<()> {
    let codings = field(head, "content-encoding");
    let Decoded { content, note } = coding::decode(&codings, body);
    if let Some(note) = note {
        writeln!(out, "({})", Line(&note))?;
    }
    let media_type = field(head, "content-type");
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    write_content(out, media_type, &content)?;
    if truncated {
        writeln!(
            out,
            "(only the beginning of this body was kept: {} bytes)",
            body.len()
        )?;
    }
    Ok(())
}

fn write_content(out: &mut impl Write, media_type: &str, content: &[u8]) -> io::Result<()> {
    if content.is_empty() {
        return Ok(());
    }
    if media_type.eq_ignore_ascii_case("application/vnd.amazon.eventstream") {
        return write_events(out, content);
    }
    let Some(text) = as_text(content) else {
        return write_octets(out, content);
    };
    if is_json(text) {
        write_indented(out, text)?;
        return writeln!(out);
    }
    write!(out, "{}", Lines(text))?;
    if text.ends_with('\n') {
        return Ok(());
    }
    writeln!(out)
}

/// The values of a field, joined; empty without one. A stored head may be cut or masked: no parser that refuses.
fn field(head: &[u8], name: &str) -> String {
    let head = String::from_utf8_lossy(head);
    let values: Vec<&str> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect();
    values.join(",")
}

/// UTF-8, or UTF-8 that was cut inside its last character.
fn as_text(content: &[u8]) -> Option<&str> {
    match std::str::from_utf8(content) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => content
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok()),
        Err(_) => None,
    }
}

/// Objects and arrays; a lone number or word is text.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Indents valid JSON.
fn write_indented(out: &mut impl Write, json: &str) -> io::Result<()> {
    let mut depth = 0_usize;
    let mut rest = json.trim();
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let (string, after) = rest.split_at(string_end(rest));
            write_json_text(out, string)?;
            rest = after.trim_start();
            continue;
        }
        let after = rest.strip_prefix(c).unwrap_or_default();
        let next = after.trim_start();
        match c {
            '{' | '[' if next.starts_with(['}', ']']) => {
                write!(out, "{c}{}", if c == '{' { '}' } else { ']' })?;
                rest = next.get(1..).unwrap_or_default().trim_start();
                continue;
            }
            '{' | '[' => {
                depth += 1;
                write!(out, "{c}")?;
                new_line(out, depth)?;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(out, depth)?;
                write!(out, "{c}")?;
            }
            ',' => {
                write!(out, ",")?;
                new_line(out, depth)?;
            }
            ':' => write!(out, ": ")?,
            _ => write!(out, "{c}")?,
        }
        rest = next;
    }
    Ok(())
}

fn new_line(out: &mut impl Write, depth: usize) -> io::Result<()> {
    write!(out, "\n{:width$}", "", width = 2 * depth)
}

/// Where the string that `text` begins with ends, just past its closing quotation mark.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, octet) in text.bytes().enumerate().skip(1) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// One line for each event: its type, then what it says.
fn write_events(out: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let mut decoder = MessageFrameDecoder::new();
    let mut rest = content;
    let mut whole = 0_usize;
    let why = loop {
        match decoder.decode_frame(&mut rest) {
            Ok(DecodedFrame::Complete(message)) => {
                write_event(out, &message)?;
                whole = content.len() - rest.len();
            }
            Ok(DecodedFrame::Incomplete) => {
                let left = content.get(whole..).unwrap_or_default();
                if left.is_empty() {
                    return Ok(());
                }
                if may_begin_a_frame(left) {
                    let left = left.len();
                    return writeln!(out, "({left} bytes of an event that was not kept whole)");
                }
                break "prelude checksum mismatch".to_owned();
            }
            Err(error) => break error.to_string(),
        }
    };
    writeln!(
        out,
        "(no event stream from byte {whole} on: {})",
        Line(&why)
    )?;
    write_content(out, "", content.get(whole..).unwrap_or_default())
}

/// Whether the prelude, if it is there, is what it says: the decoder waits for as many bytes as any prelude promises.
fn may_begin_a_frame(frame: &[u8]) -> bool {
    match (frame.get(..8), frame.get(8..12)) {
        (Some(lengths), Some(checksum)) => {
            checksum == crc32fast::hash(lengths).to_be_bytes().as_slice()
        }
        _ => true,
    }
}

fn write_event(out: &mut impl Write, message: &Message) -> io::Result<()> {
    let header = |name: &str| {
        message
            .headers()
            .iter()
            .find(|header| header.name().as_str() == name)
            .and_then(|header| header.value().as_string().ok())
            .map_or("", |value| value.as_str())
    };
    let kind = match header(":message-type") {
        "exception" => format!("exception {}", header(":exception-type")),
        "error" => format!(
            "error {} {}",
            header(":error-code"),
            header(":error-message")
        ),
        _ => header(":event-type").to_owned(),
    };
    let payload = inner(message.payload());
    match as_text(&payload) {
        Some("") => writeln!(out, "{}", Line(&kind)),
        Some(text) if is_json(text) => {
            write!(out, "{}  ", Line(&kind))?;
            write_compact(out, text)?;
            writeln!(out)
        }
        Some(text) => writeln!(out, "{}  {}", Line(&kind), Line(text)),
        None => {
            writeln!(out, "{}", Line(&kind))?;
            write_octets(out, &payload)
        }
    }
}

/// What an event carries: the decoded `bytes` of a `chunk`, else the payload itself.
fn inner(payload: &[u8]) -> Cow<'_, [u8]> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: Cow<'a, str>,
    }
    serde_json::from_slice::<Chunk<'_>>(payload)
        .ok()
        .and_then(|chunk| STANDARD.decode(chunk.bytes.as_bytes()).ok())
        .map_or(Cow::Borrowed(payload), Cow::Owned)
}

/// Valid JSON on one line.
fn write_compact(out: &mut impl Write, json: &str) -> io::Result<()> {
    let mut rest = json.trim();
    while !rest.is_empty() {
        let end = if rest.starts_with('"') {
            string_end(rest)
        } else {
            rest.find(['"', '\n', '\r']).unwrap_or(rest.len())
        };
        let (part, after) = rest.split_at(end);
        write_json_text(out, part)?;
        // Line ends outside of strings are whitespace.
        rest = after.trim_start_matches(['\n', '\r']);
    }
    Ok(())
}

/// The beginning of what is no text, as octets and as the characters among them.
fn write_octets(out: &mut impl Write, content: &[u8]) -> io::Result<()> {
    let shown = content.get(..OCTETS).unwrap_or(content);
    let which = if shown.len() < content.len() {
        format!(", of which the first {OCTETS} are")
    } else {
        String::new()
    };
    writeln!(out, "({} bytes that are no text{which})", content.len())?;
    for (line, octets) in shown.chunks(OCTETS_A_LINE).enumerate() {
        write!(out, "{:08x} ", line * OCTETS_A_LINE)?;
        for octet in octets {
            write!(out, " {octet:02x}")?;
        }
        let gap = 3 * (OCTETS_A_LINE - octets.len()) + 2;
        write!(out, "{:gap$}", "")?;
        for &octet in octets {
            let c = char::from(octet);
            write!(
                out,
                "{}",
                if octet.is_ascii() && !is_harmful(c) {
                    c
                } else {
                    '.'
                }
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}
