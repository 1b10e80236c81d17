//! An answer, before it is written: status, fields, and a body that is whole or comes event by event.
//!
//! Deciding on the answer is left to the answers; here stands how it looks on the wire. RFC 9112 §4 and §7.1.

use std::time::SystemTime;

use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::fault::Fault;

/// An answer to be written.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Fields besides the ones every answer has.
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: ReplyBody,
    /// Pause like a model that takes its time.
    pub(super) slow: bool,
}

/// The body of an answer.
#[derive(Debug)]
pub(super) enum ReplyBody {
    /// All of it, with Content-Length.
    Whole(Vec<u8>),
    /// Content-Length promises more than is sent, then the connection drops.
    Short(Vec<u8>),
    /// Chunked, one event at a time.
    Stream {
        /// The events, encoded.
        events: Vec<Vec<u8>>,
        /// Drop the connection instead of sending the last chunk.
        cut: bool,
    },
}

impl Reply {
    /// A 200 with a JSON body.
    pub(super) fn json(body: &Value) -> Self {
        Self {
            status: 200,
            fields: vec![("Content-Type", "application/json".to_owned())],
            body: ReplyBody::Whole(body.to_string().into_bytes()),
            slow: false,
        }
    }

    /// A 200 with a stream of events.
    pub(super) fn stream(content_type: &str, events: Vec<Vec<u8>>) -> Self {
        Self {
            status: 200,
            fields: vec![("Content-Type", content_type.to_owned())],
            body: ReplyBody::Stream { events, cut: false },
            slow: false,
        }
    }

    /// An error with the body AWS gives.
    pub(super) fn fault(fault: &Fault) -> Self {
        Self::fault_with_body(fault, &fault.body())
    }

    /// An error with a body of another vendor's shape.
    pub(super) fn fault_with_body(fault: &Fault, body: &Value) -> Self {
        let mut reply = Self::json(body).with("x-amzn-ErrorType", fault.error_type());
        reply.status = fault.status;
        reply
    }

    /// The same answer with one more field.
    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// The head as it goes out.
    pub(super) fn head(&self, now: SystemTime, close: bool) -> Vec<u8> {
        let imf = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        let date = OffsetDateTime::from(now).format(&imf).unwrap_or_default();
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nDate: {date}\r\n",
            self.status,
            reason(self.status)
        );
        let mut line = |name: &str, value: &str| {
            head.push_str(&format!("{name}: {value}\r\n"));
        };
        let mut fields = self.fields.iter();
        // Content-Type, then the framing, then the rest: the order seen from AWS.
        for (name, value) in fields.by_ref().take(1) {
            line(name, value);
        }
        match &self.body {
            ReplyBody::Whole(body) => line("Content-Length", &body.len().to_string()),
            ReplyBody::Short(body) => line("Content-Length", &(body.len() + 100).to_string()),
            ReplyBody::Stream { .. } => line("Transfer-Encoding", "chunked"),
        }
        line("Connection", if close { "close" } else { "keep-alive" });
        line("x-amzn-RequestId", &uuid::Uuid::now_v7().to_string());
        for (name, value) in fields {
            line(name, value);
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Payload Too Large",
        424 => "Failed Dependency",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "",
    }
}

/// Cuts a stream into HTTP chunks of odd sizes that do not line up with its messages.
///
/// A few octets of each message wait for the next one, so that a reader who takes a chunk for a message fails at once.
#[derive(Default)]
pub(super) struct Chunker {
    waiting: Vec<u8>,
    turn: usize,
}

impl Chunker {
    const SIZES: [usize; 3] = [97, 211, 13];
    const HELD_BACK: usize = 5;

    /// The chunks that can go out after `message`.
    pub(super) fn push(&mut self, message: &[u8]) -> Vec<u8> {
        self.waiting.extend_from_slice(message);
        let mut out = Vec::with_capacity(message.len() + 64);
        loop {
            let size = Self::SIZES
                .get(self.turn)
                .copied()
                .unwrap_or(Self::HELD_BACK);
            let ready = self.waiting.len().saturating_sub(Self::HELD_BACK).min(size);
            if ready == 0 {
                return out;
            }
            self.turn = (self.turn + 1) % Self::SIZES.len();
            self.chunk(ready, &mut out);
        }
    }

    /// What is left, and the last chunk.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.waiting.is_empty() {
            self.chunk(self.waiting.len(), &mut out);
        }
        out.extend_from_slice(b"0\r\n\r\n");
        out
    }

    fn chunk(&mut self, size: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        out.extend(self.waiting.drain(..size));
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_do_not_line_up_with_messages() {
        let mut chunker = Chunker::default();
        assert_eq!(chunker.push(b"0123456789"), b"5\r\n01234\r\n");
        assert_eq!(chunker.push(b"ab"), b"2\r\n56\r\n");
        assert_eq!(chunker.finish(), b"5\r\n789ab\r\n0\r\n\r\n");
    }

    #[test]
    fn a_head_is_written_like_the_recorded_ones() {
        let reply = Reply::json(&Value::Null).with("x-amzn-ErrorType", "X");
        let head = String::from_utf8(reply.head(SystemTime::UNIX_EPOCH, false)).unwrap();
        let lines: Vec<&str> = head.split("\r\n").collect();
        assert_eq!(lines[0], "HTTP/1.1 200 OK");
        assert_eq!(lines[1], "Date: Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(lines[2], "Content-Type: application/json");
        assert_eq!(lines[3], "Content-Length: 4");
        assert_eq!(lines[4], "Connection: keep-alive");
        assert!(lines[5].starts_with("x-amzn-RequestId: ") && lines[5].len() == 54);
        assert_eq!(lines[6..], ["x-amzn-ErrorType: X", "", ""]);
    }
}
