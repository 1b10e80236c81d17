//! Where the messages of an event stream end as it is passed on, and a message of our own to end the stream with.
//!
//! Counts bytes and believes the lengths in front of each message; what is in the messages is read by `eventstream`. The
//! message made here is an exception, which every reader of such streams knows as an end.

use super::eventstream::{PRELUDE, message_length};

/// Follows one stream, byte for byte.
#[derive(Debug, Default)]
pub struct Frames {
    prelude: Vec<u8>,
    /// Bytes left of the message whose prelude has come.
    left: usize,
    /// It is no event stream.
    failed: bool,
}

impl Frames {
    /// Follows `content`, all of which has passed.
    pub fn passed(&mut self, content: &[u8]) {
        let mut rest = content;
        while !rest.is_empty() && !self.failed {
            let (part, after) = rest
                .split_at_checked(self.step().min(rest.len()))
                .unwrap_or((rest, &[]));
            self.take(part);
            rest = after;
        }
    }

    /// Whether no message is under way.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.prelude.is_empty() && !self.failed
    }

    /// How many bytes may certainly pass before a message ends: at least one.
    #[must_use]
    pub fn step(&self) -> usize {
        if self.left > 0 {
            self.left
        } else {
            PRELUDE.saturating_sub(self.prelude.len()).max(1)
        }
    }

    /// Bytes of one step.
    fn take(&mut self, part: &[u8]) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(part.len());
            return;
        }
        self.prelude.extend_from_slice(part);
        if self.prelude.len() < PRELUDE {
            return;
        }
        match message_length(&self.prelude) {
            Ok(Some(length)) => self.left = length.saturating_sub(PRELUDE),
            _ => self.failed = true,
        }
        self.prelude.clear();
    }
}

/// An exception message of this type, in JSON, of at least so many bytes.
#[must_use]
pub fn exception(exception_type: &str, message: &str, least: usize) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":exception-type", exception_type),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ] {
        header(&mut headers, name, value);
    }
    let mut payload = serde_json::json!({ "message": message })
        .to_string()
        .into_bytes();
    let length = PRELUDE + headers.len() + payload.len() + CRC;
    // Space behind a JSON text means nothing.
    payload.resize(payload.len() + least.saturating_sub(length), b' ');
    let total = PRELUDE + headers.len() + payload.len() + CRC;
    let mut frame = Vec::with_capacity(total);
    frame.extend_from_slice(&number(total));
    frame.extend_from_slice(&number(headers.len()));
    seal(&mut frame);
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(&payload);
    seal(&mut frame);
    frame
}

/// A checksum's length.
const CRC: usize = 4;

fn header(headers: &mut Vec<u8>, name: &str, value: &str) {
    // Both are ours and short; what were longer than its length field tells would be cut, not lie.
    let name = name.get(..255).unwrap_or(name).as_bytes();
    headers.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    headers.extend_from_slice(name);
    // Type 7: a string behind its length in two octets.
    headers.push(7);
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    headers.extend_from_slice(&length.to_be_bytes());
    headers.extend_from_slice(value.as_bytes().get(..length.into()).unwrap_or_default());
}

/// Closes what stands in `frame` with its checksum.
fn seal(frame: &mut Vec<u8>) {
    let crc = crc32fast::hash(frame);
    frame.extend_from_slice(&crc.to_be_bytes());
}

fn number(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::eventstream::Decoder;

    #[test]
    fn an_exception_is_a_message_that_a_reader_of_the_stream_believes() {
        for least in [0, 150, 151, 4096] {
            let frame = exception("throttlingException", "a \"budget\" is spent", least);
            assert!(frame.len() >= least);
            // The SDKs' own decoder, besides ours.
            let mut bytes = &frame[..];
            let message = aws_smithy_eventstream::frame::read_message_from(&mut bytes).unwrap();
            assert!(bytes.is_empty());
            let names: Vec<_> = message
                .headers()
                .iter()
                .map(|header| {
                    let value = header.value().as_string().unwrap().as_str().to_owned();
                    (header.name().as_str().to_owned(), value)
                })
                .collect();
            assert!(names.contains(&(":message-type".into(), "exception".into())));
            assert!(names.contains(&(":exception-type".into(), "throttlingException".into())));
            assert!(names.contains(&(":content-type".into(), "application/json".into())));
            let said: serde_json::Value = serde_json::from_slice(message.payload()).unwrap();
            assert_eq!(said["message"], "a \"budget\" is spent");
            let mut decoder = Decoder::new();
            let mut seen = 0;
            decoder.push(&frame, |_| seen += 1).unwrap();
            assert!(seen == 1 && decoder.is_between_messages());
        }
    }

    #[test]
    fn ends_of_messages_are_found_in_any_cut() {
        let lengths = [150, 3000, 160];
        let stream: Vec<u8> = lengths
            .iter()
            .flat_map(|least| exception("x", "y", *least))
            .collect();
        let mut ends = Vec::new();
        let mut frames = Frames::default();
        for (at, octet) in stream.iter().enumerate() {
            frames.passed(&[*octet]);
            if frames.is_between() {
                ends.push(at + 1);
            }
        }
        assert_eq!(ends, [150, 3150, 3310]);
        for size in [7, 11, 12, 13, 151, 5000] {
            let mut frames = Frames::default();
            let mut at = 0;
            for piece in stream.chunks(size) {
                frames.passed(piece);
                at += piece.len();
                assert_eq!(frames.is_between(), ends.contains(&at), "{size} {at}");
            }
        }
    }

    #[test]
    fn a_step_never_leads_past_an_end() {
        let stream: Vec<u8> = [150, 20_000, 150]
            .iter()
            .flat_map(|least| exception("x", "y", *least))
            .collect();
        let mut frames = Frames::default();
        let mut ends = Vec::new();
        let mut at = 0;
        while at < stream.len() {
            let step = frames.step().min(stream.len() - at);
            frames.passed(&stream[at..at + step]);
            at += step;
            if frames.is_between() {
                ends.push(at);
            }
        }
        assert_eq!(ends, [150, 20_150, 20_300]);
    }

    #[test]
    fn what_is_no_event_stream_has_no_ends() {
        let mut frames = Frames::default();
        frames.passed(b"data: {\"a\": 1}\n\ndata: [DONE]\n\n");
        assert!(!frames.is_between());
    }
}
