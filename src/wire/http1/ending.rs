//! How a body that is under way can be ended with content of our own, so that its framing stays right. RFC 9112 §7.1.
//!
//! Only where the sender leaves the length open: a chunked body takes more content wherever a chunk may end or still has
//! room, one that lasts until the connection's end takes it anywhere. What Content-Length has announced must come.

/// What may be written behind what was passed on of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Content, and after it the connection's end.
    Bare,
    /// A chunk of its own behind these octets.
    Chunk(&'static str),
    /// Content of at least so many octets: the chunk under way has announced them.
    InChunk(u64),
    /// Nothing yet: the body is in the middle of its own framing.
    Later,
    /// Nothing any more: the body ends by itself, or where it has to.
    Never,
}

impl Ending {
    /// How many octets of content there must be at least; `None` where there can be none.
    #[must_use]
    pub fn least(self) -> Option<u64> {
        match self {
            Self::Bare | Self::Chunk(_) => Some(0),
            Self::InChunk(left) => Some(left),
            Self::Later | Self::Never => None,
        }
    }

    /// The octets that end the body with `content`, which is as long as it has to be.
    #[must_use]
    pub fn with(self, content: &[u8]) -> Vec<u8> {
        let mut wire = Vec::with_capacity(content.len() + 32);
        let rest = match self {
            Self::Bare => {
                wire.extend_from_slice(content);
                return wire;
            }
            Self::Later | Self::Never => return wire,
            Self::Chunk(before) => {
                wire.extend_from_slice(before.as_bytes());
                content
            }
            Self::InChunk(left) => {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                let (within, rest) = content.split_at_checked(left).unwrap_or((content, &[]));
                wire.extend_from_slice(within);
                wire.extend_from_slice(b"\r\n");
                rest
            }
        };
        if !rest.is_empty() {
            wire.extend_from_slice(format!("{:x}\r\n", rest.len()).as_bytes());
            wire.extend_from_slice(rest);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::http1::MessageFraming;

    const SENT: &[u8] = b"5\r\nhello\r\n10;x=\"y\"\r\n0123456789abcdef\r\n0\r\nt: u\r\n\r\n";

    #[test]
    fn a_chunked_body_can_be_ended_wherever_its_own_framing_allows() {
        let content = b"and that is all of it!";
        let mut ended = 0;
        for cut in 0..=SENT.len() {
            let mut decoder = MessageFraming::Chunked.decoder();
            let mut ranges = Vec::new();
            assert_eq!(decoder.push(&SENT[..cut], &mut ranges), Ok(cut));
            let passed: Vec<u8> = ranges
                .iter()
                .flat_map(|range| SENT[range.clone()].to_vec())
                .collect();
            let ending = decoder.ending();
            let Some(least) = ending.least() else {
                continue;
            };
            assert!(least <= content.len() as u64);
            let mut wire = SENT[..cut].to_vec();
            wire.extend_from_slice(&ending.with(content));
            let mut decoder = MessageFraming::Chunked.decoder();
            let mut ranges = Vec::new();
            assert_eq!(decoder.push(&wire, &mut ranges), Ok(wire.len()), "{cut}");
            assert!(decoder.ended());
            let read: Vec<u8> = ranges
                .iter()
                .flat_map(|range| wire[range.clone()].to_vec())
                .collect();
            assert_eq!(read, [&passed[..], content].concat(), "{cut}");
            ended += 1;
        }
        // Everywhere but inside the lines of chunks and the trailer section.
        assert_eq!(ended, 1 + 8 + 19);
    }

    #[test]
    fn a_body_of_announced_length_cannot_be_ended_and_one_without_can() {
        let decoder = MessageFraming::ContentLength(5).decoder();
        assert_eq!(decoder.ending().least(), None);
        let decoder = MessageFraming::UntilClose.decoder();
        assert_eq!(decoder.ending().with(b"end"), b"end");
    }
}
