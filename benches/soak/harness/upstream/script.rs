//! From an answer and the acts that were asked for to what goes on the wire: octets, pauses, and an end.
//!
//! Pure, so that what the upstream claims to have done is what it did.

use std::io::Write;
use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::super::acts::{Acts, CRC, Coding, Delimited, Going, MARKER, Nonsense};
use super::super::reading::Head;

/// One step of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Rest(Duration),
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    Keep,
    /// The next request may come, but this comes before it: noise, or an unannounced end.
    Noise(Duration),
    HangUp(Duration, Going),
    /// It ends now.
    End(Going),
}

/// An answer as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pub(crate) after: After,
    /// Whoever reads all of it holds a whole answer.
    pub(crate) whole: bool,
}

/// Octets of one step, where nothing else is asked for: more than a TLS record.
const PIECE: usize = 24 * 1024;
/// Sizes of chunks.
const CHUNKS: [usize; 3] = [211, 4099, 17];
/// Chunks with an extension.
const EXTENDED: usize = 100;

/// What `acts` make of the answer with `head` and `content` to the request `marker` for `target`.
pub(crate) fn script(
    acts: &Acts,
    head: &Head,
    content: Vec<u8>,
    marker: &str,
    target: &str,
) -> Script {
    let mut steps = Vec::new();
    if acts.wait > 0 {
        steps.push(Step::Rest(Duration::from_millis(acts.wait)));
    }
    let broken = match (acts.gone, acts.nonsense) {
        (Some(going), _) => Some(going),
        (None, Some(nonsense)) => {
            steps.push(Step::Send(nonsensical(nonsense)));
            Some(Going::Close)
        }
        (None, None) => None,
    };
    if let Some(going) = broken {
        return Script {
            steps,
            after: After::End(going),
            whole: false,
        };
    }
    let content = coded(acts.coding, padded(acts.pad, content, head, target));
    let streams = head.field("transfer-encoding").is_some();
    let delimited = acts.delimited.unwrap_or(if streams {
        Delimited::Chunks
    } else {
        Delimited::Length
    });
    let closes = acts.close
        || matches!(delimited, Delimited::Close | Delimited::Http10)
        || head
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let mut wire = interim(acts.interim);
    let lines = Lines {
        delimited,
        coding: acts.coding,
        closes,
        marker,
    };
    lines.write(head, &content, &mut wire);
    match delimited {
        Delimited::Chunks => chunks(&content, &mut wire),
        _ => wire.extend_from_slice(&content),
    }
    if let Some((thousandths, going)) = acts.cut {
        let thousandths = usize::try_from(thousandths.min(999)).unwrap_or(0);
        wire.truncate(wire.len() * thousandths / 1000);
        pieces(acts, wire, &mut steps);
        return Script {
            steps,
            after: After::End(if going == Going::Close && delimited == Delimited::Close {
                // In order, it would be whole.
                Going::Cut
            } else {
                going
            }),
            whole: false,
        };
    }
    if acts.second && !closes {
        wire.extend_from_slice(
            b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Soak-Marker: nobody\r\n\r\nsmuggled",
        );
    }
    pieces(acts, wire, &mut steps);
    let after = match (closes, acts.noise_after, acts.hangs_up) {
        (true, ..) => After::End(Going::Close),
        (_, Some(pause), _) => After::Noise(Duration::from_millis(pause)),
        (_, _, Some((pause, going))) => After::HangUp(Duration::from_millis(pause), going),
        _ => After::Keep,
    };
    Script {
        steps,
        after,
        whole: true,
    }
}

/// So many interim responses, of the kinds there are.
fn interim(count: u64) -> Vec<u8> {
    let mut wire = Vec::new();
    for n in 0..count {
        let interim: &[u8] = match n % 3 {
            0 => b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            1 => b"HTTP/1.1 102 Processing\r\n\r\n",
            _ => b"HTTP/1.1 199 Whatever\r\nX: y\r\n\r\n",
        };
        wire.extend_from_slice(interim);
    }
    wire
}

/// Cuts the octets into steps.
fn pieces(acts: &Acts, wire: Vec<u8>, steps: &mut Vec<Step>) {
    let (size, pause) = acts.pace.unwrap_or((PIECE, 0));
    let middle = wire.len() / 2;
    let mut sent = 0;
    for piece in wire.chunks(size.max(1)) {
        if acts.stall > 0 && sent <= middle && middle < sent + piece.len() {
            steps.push(Step::Rest(Duration::from_millis(acts.stall)));
        }
        sent += piece.len();
        steps.push(Step::Send(piece.to_vec()));
        if pause > 0 {
            steps.push(Step::Rest(Duration::from_millis(pause)));
        }
    }
}

/// The head of an answer as it goes out.
struct Lines<'a> {
    delimited: Delimited,
    coding: Option<Coding>,
    closes: bool,
    marker: &'a str,
}

impl Lines<'_> {
    fn write(&self, head: &Head, content: &[u8], wire: &mut Vec<u8>) {
        let version = if self.delimited == Delimited::Http10 {
            "1.0"
        } else {
            "1.1"
        };
        let mut text = format!("HTTP/{version} {} Soaked\r\n", head.status);
        for (name, value) in &head.fields {
            let framing = ["content-length", "transfer-encoding", "connection"];
            if !framing.contains(&name.as_str()) {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("{MARKER}: {}\r\n", self.marker));
        text.push_str(&format!("{CRC}: {:08x}\r\n", crc32fast::hash(content)));
        if let Some(coding) = self.coding {
            let name = match coding {
                Coding::Gzip => "gzip",
                Coding::Deflate => "deflate",
                Coding::Brotli => "br",
                Coding::Zstd => "zstd",
            };
            text.push_str(&format!("content-encoding: {name}\r\n"));
        }
        match self.delimited {
            Delimited::Length | Delimited::Http10 => {
                text.push_str(&format!("Content-Length: {}\r\n", content.len()));
            }
            Delimited::Chunks => text.push_str("Transfer-Encoding: chunked\r\n"),
            Delimited::Close => {}
        }
        if self.closes {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        wire.extend_from_slice(text.as_bytes());
    }
}

fn chunks(content: &[u8], wire: &mut Vec<u8>) {
    let mut rest = content;
    let mut sizes = CHUNKS.iter().cycle();
    let mut extended = 0;
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| *size).min(rest.len());
        let (chunk, left) = rest.split_at(size);
        // A gate may take more of them for an attack.
        let extension = if extended < EXTENDED { ";soak=1" } else { "" };
        extended += 1;
        wire.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
        rest = left;
    }
    wire.extend_from_slice(b"0\r\nX-Soak-Trailer: 1\r\n\r\n");
}

/// The same answer with more in it: a member of a JSON document, or events of a Converse stream.
fn padded(pad: usize, content: Vec<u8>, head: &Head, target: &str) -> Vec<u8> {
    if pad == 0 {
        return content;
    }
    let mut larger = Vec::with_capacity(content.len() + pad + 64);
    // A pre-signed request has its signature behind the path.
    let path = target.split('?').next().unwrap_or(target);
    if path.ends_with("/converse-stream") && head.status == 200 {
        let text = "the same words again and again ".repeat(128);
        let delta = serde_json::json!({"contentBlockIndex": 0, "delta": {"text": text}});
        let event = delta_event(delta.to_string());
        while larger.len() < pad && !event.is_empty() {
            larger.extend_from_slice(&event);
        }
        larger.extend_from_slice(&content);
        return larger;
    }
    let Some(members) = content.strip_prefix(b"{") else {
        return content;
    };
    larger.extend_from_slice(b"{\"soakPadding\":\"");
    larger.resize(larger.len() + pad, b'x');
    larger.extend_from_slice(b"\",");
    larger.extend_from_slice(members);
    larger
}

fn delta_event(payload: String) -> Vec<u8> {
    let text = |value: &'static str| HeaderValue::String(value.into());
    let message = Message::new(payload)
        .add_header(Header::new(":event-type", text("contentBlockDelta")))
        .add_header(Header::new(":content-type", text("application/json")))
        .add_header(Header::new(":message-type", text("event")));
    let mut event = Vec::new();
    match write_message_to(&message, &mut event) {
        Ok(()) => event,
        Err(_) => Vec::new(),
    }
}

fn coded(coding: Option<Coding>, content: Vec<u8>) -> Vec<u8> {
    // Writing to memory does not fail; if it did, the CRC on the other side would tell.
    match coding {
        None => content,
        Some(Coding::Gzip) => {
            let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
            coder.write_all(&content).ok();
            coder.finish().unwrap_or_default()
        }
        Some(Coding::Deflate) => {
            let mut coder = ZlibEncoder::new(Vec::new(), Compression::fast());
            coder.write_all(&content).ok();
            coder.finish().unwrap_or_default()
        }
        Some(Coding::Brotli) => {
            let mut coder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
            coder.write_all(&content).ok();
            coder.into_inner()
        }
        Some(Coding::Zstd) => compress_to_vec(content.as_slice(), CompressionLevel::Fastest),
    }
}

fn nonsensical(nonsense: Nonsense) -> Vec<u8> {
    match nonsense {
        Nonsense::Noise => b"\x00\x01\x02 this is no HTTP \xff\r\n\r\n".to_vec(),
        Nonsense::Endless => [b"HTTP/1.1 200 ".as_slice(), &[b'x'; 70 * 1024]].concat(),
        Nonsense::TwoLengths => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc".to_vec()
        }
        Nonsense::LengthAndChunks => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec()
        }
        Nonsense::BareLf => b"HTTP/1.1 200 OK\r\nContent-Length: 0\nX: y\r\n\r\n".to_vec(),
        Nonsense::Switch => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: soak\r\n\r\n".to_vec(),
        Nonsense::Interims => b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100),
        Nonsense::ChunkSize => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n".to_vec()
        }
    }
}
