//! What a request may consume at most, told from its head and body before it is sent on.
//!
//! A budget reserves this and is settled from the true counts later, so it is rather too much than too little: every
//! three bytes of a body are taken for a token, which tokenizers hardly reach. What is no text counts by what it is: a picture by
//! what models take a large one for, other data by its size. What was asked for as the longest answer stands in the
//! body under a name of each family's own. Nothing is kept but those numbers and what `request` keeps.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::aws::operation::Operation;
use crate::usage::answer::Answer;
use crate::usage::coding::{ContentDecoder, codings};
use crate::usage::prompt::{Holds, holds};
use crate::usage::request::{Asked, RequestReader};
use crate::wire::http1::RequestHead;
use crate::wire::json::{JsonScanner, JsonSink, Place, Scalar, Want};

/// Reads one request body ahead.
pub(crate) struct OutlookReader {
    operation: Operation,
    asked: Asked,
    body: Option<ContentDecoder<Reader>>,
    /// A content coding nobody here can undo, or one that the body does not follow.
    is_opaque: bool,
    is_coded: bool,
    /// Bytes of content as they came.
    came: u64,
}

/// What a request may consume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// Tokens of input, rather too many.
    pub(crate) input_tokens: u64,
    /// The most tokens that may be answered; `None` where the request sets no limit.
    pub(crate) max_output_tokens: Option<u64>,
    /// The model, for operations that name it in the body.
    pub(crate) model: Option<String>,
    /// `requestMetadata`: the header's and the body's, the body's word last.
    pub(crate) tags: Vec<(String, String)>,
    /// The service tier that is asked for.
    pub(crate) tier: Option<String>,
    /// The latency that is asked for.
    pub(crate) latency: Option<String>,
}

/// Bytes of text that are taken for one token.
const TEXT: u64 = 3;
/// Bytes of other data, decoded, that are taken for one token: of a document with pictures in it, of sound, of video.
const DATA: u64 = 16;
/// Tokens of one picture: what the models of Bedrock take a large one for.
const IMAGE: u64 = 1600;
/// Beyond this many bytes, what was not looked at is hardly text: no model reads as much of it.
pub(crate) const MAX_TEXT: u64 = 1024 * 1024;
/// How much longer a body is than its coding, if nobody can tell.
const EXPANSION: u64 = 4;
/// Tokens of input where nothing at all is known.
const UNKNOWN: u64 = 4096;

impl OutlookReader {
    /// A reader for the body of this request.
    pub(crate) fn new(operation: Operation, head: &RequestHead) -> Self {
        let codings = codings(head.fields()).ok();
        Self {
            operation,
            asked: Asked::of_head(head),
            is_opaque: codings.is_none(),
            is_coded: codings.as_ref().is_none_or(|codings| !codings.is_empty()),
            body: codings.map(|codings| ContentDecoder::new(&codings, Reader::new(operation))),
            came: 0,
        }
    }

    /// Shows a piece of the body, transfer coding removed.
    pub(crate) fn content(&mut self, content: &[u8]) {
        self.came = self.came.saturating_add(length(content));
        if let Some(body) = &mut self.body
            && !self.is_opaque
        {
            self.is_opaque = body.push(content).is_err();
        }
    }

    /// What the request may consume. `length` is that of the whole body, if it was told; not all of it need have been
    /// shown.
    pub(crate) fn finish(mut self, whole: Option<u64>) -> Outlook {
        let unseen = whole.unwrap_or(self.came).saturating_sub(self.came);
        let mut outlook = Outlook::default();
        if let Some(body) = &mut self.body {
            self.is_opaque |= body.finish().is_err();
            let reader = std::mem::replace(body.sink_mut(), Reader::new(self.operation));
            if !self.is_opaque {
                let unseen = if self.is_coded {
                    unseen.saturating_mul(EXPANSION)
                } else {
                    unseen
                };
                outlook.max_output_tokens = reader.found.max_output_tokens();
                outlook.input_tokens = reader.found.input_tokens(unseen);
            }
            if let Some(request) = reader.request {
                self.asked.add_body(request.finish());
            }
        }
        if self.is_opaque {
            let bytes = self.came.saturating_add(unseen).saturating_mul(EXPANSION);
            outlook.input_tokens = unseen_tokens(0, bytes);
        } else if self.came == 0 && whole.is_none() {
            outlook.input_tokens = UNKNOWN;
        }
        if Answer::of(Some(self.operation)) == Answer::Service {
            // Whatever it costs, no tokens will be told.
            outlook.input_tokens = 0;
            outlook.max_output_tokens = Some(0);
        }
        Outlook {
            model: self.asked.model,
            tags: self.asked.tags,
            tier: self.asked.tier,
            latency: self.asked.latency,
            ..outlook
        }
    }
}

/// Whether this model answers without generating tokens, as far as its name tells.
pub(crate) fn generates_nothing(model: &str) -> bool {
    ["embed", "rerank", "-image-", "canvas", "stability."]
        .iter()
        .any(|part| model.contains(part))
}

/// Tokens of `bytes` that were not looked at behind so many that were.
fn unseen_tokens(seen: u64, bytes: u64) -> u64 {
    let text = bytes.min(MAX_TEXT.saturating_sub(seen));
    text.div_ceil(TEXT)
        .saturating_add((bytes - text).div_ceil(DATA))
}

/// The end of the content codings' chain.
struct Reader {
    scanner: JsonScanner,
    found: Found,
    request: Option<RequestReader>,
}

impl Reader {
    fn new(operation: Operation) -> Self {
        Self {
            scanner: JsonScanner::new(Want::Take(BODY)),
            found: Found::default(),
            request: RequestReader::new(operation),
        }
    }
}

impl io::Write for Reader {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.found.bytes = self.found.bytes.saturating_add(length(content));
        // What is not JSON is for the service to refuse; it counts as text.
        if self.scanner.push(content, &mut self.found).is_err() {
            self.found.string = None;
        }
        if let Some(request) = &mut self.request {
            request.content(content);
        }
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was found in a body.
#[derive(Default)]
struct Found {
    bytes: u64,
    /// Bytes of strings that are data, and the tokens they are taken for.
    data_bytes: u64,
    data_tokens: u64,
    /// The string under way, where one may be data.
    string: Option<Encoded>,
    limit: Option<u64>,
    /// How many answers are asked for.
    answers: Option<u64>,
}

/// The body itself.
const BODY: Place = Place(0);
/// The model's settings in it.
const SETTINGS: Place = Place(1);
/// The longest answer.
const LIMIT: Place = Place(2);
/// How many answers.
const ANSWERS: Place = Place(3);
/// Text, and everything that is not one of the others.
const WORDS: Place = Place(4);
/// Where data may stand.
const MEDIA: Place = Place(5);

impl Found {
    fn input_tokens(mut self, unseen: u64) -> u64 {
        let mut beyond = unseen_tokens(self.bytes, unseen);
        if let Some(string) = &mut self.string
            && unseen > 0
            && string.is_data()
        {
            // It was cut inside of this.
            string.length = string.length.saturating_add(unseen);
            self.bytes = self.bytes.saturating_add(unseen);
            beyond = 0;
        }
        self.end_string();
        let text = self.bytes.saturating_sub(self.data_bytes);
        let text = text.div_ceil(TEXT);
        text.saturating_add(self.data_tokens).saturating_add(beyond)
    }

    fn max_output_tokens(&self) -> Option<u64> {
        let answers = self.answers.unwrap_or(1).max(1);
        self.limit.map(|limit| limit.saturating_mul(answers))
    }

    /// The next value begins.
    fn begin(&mut self, place: Place) -> Want {
        self.end_string();
        if place == MEDIA {
            self.string = Some(Encoded::default());
        }
        Want::Stream(place)
    }

    fn end_string(&mut self) {
        let Some(string) = self.string.take() else {
            return;
        };
        if string.is_data() {
            self.data_bytes = self.data_bytes.saturating_add(string.length);
            self.data_tokens = self.data_tokens.saturating_add(string.tokens());
        }
    }
}

impl JsonSink for Found {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        match object {
            BODY | SETTINGS if is_limit(key) => Want::Take(LIMIT),
            BODY | SETTINGS if is_answers(key) => Want::Take(ANSWERS),
            BODY if are_settings(key) => Want::Take(SETTINGS),
            MEDIA => self.begin(MEDIA),
            _ => match holds(key) {
                Holds::Text | Holds::Schema => self.begin(WORDS),
                Holds::Source | Holds::Else => self.begin(MEDIA),
            },
        }
    }

    fn element(&mut self, array: Place, _index: u32) -> Want {
        match array {
            WORDS | MEDIA => self.begin(array),
            _ => self.begin(WORDS),
        }
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>) {
        let number = match place {
            LIMIT => &mut self.limit,
            ANSWERS => &mut self.answers,
            _ => return,
        };
        *number = (*number).max(value.as_count());
    }

    fn text(&mut self, _place: Place, piece: &[u8]) {
        if let Some(string) = &mut self.string {
            string.push(piece);
        }
    }

    fn end(&mut self, _place: Place) {
        self.end_string();
    }
}

/// The names of the longest answer: of Converse, Nova and Jurassic; of Anthropic, Cohere, Mistral, Jamba and OpenAI; of Llama; of
/// Titan; and of their other versions.
fn is_limit(key: &[u8]) -> bool {
    matches!(
        key,
        b"maxTokens"
            | b"max_tokens"
            | b"max_gen_len"
            | b"maxTokenCount"
            | b"max_completion_tokens"
            | b"max_output_tokens"
            | b"max_new_tokens"
            | b"max_tokens_to_sample"
    )
}

/// How many answers are generated at once: OpenAI, Cohere, Jurassic.
fn is_answers(key: &[u8]) -> bool {
    matches!(key, b"n" | b"num_generations" | b"numResults")
}

fn are_settings(key: &[u8]) -> bool {
    matches!(
        key,
        b"inferenceConfig"
            | b"inference_config"
            | b"textGenerationConfig"
            | b"additionalModelRequestFields"
            | b"parameters"
    )
}

/// A string that may be base64, alone or in a URL of its own.
#[derive(Default)]
struct Encoded {
    length: u64,
    /// The first octets.
    begin: Vec<u8>,
    /// Something came behind them that base64 does not have.
    differs: bool,
}

/// From this length on a string without a gap is data.
const ENCODED: u64 = 512;
/// First octets that are kept: the front of a URL and enough to know the format by.
const BEGIN: usize = 160;

impl Encoded {
    fn push(&mut self, piece: &[u8]) {
        self.length = self.length.saturating_add(length(piece));
        let room = BEGIN.saturating_sub(self.begin.len()).min(piece.len());
        let (begin, rest) = piece.split_at_checked(room).unwrap_or((piece, &[]));
        self.begin.extend_from_slice(begin);
        self.differs = self.differs || !rest.iter().copied().all(is_base64);
    }

    fn is_data(&self) -> bool {
        self.length >= ENCODED && !self.differs && self.encoded().iter().copied().all(is_base64)
    }

    /// What is kept of the data, without the front of a URL (RFC 2397).
    fn encoded(&self) -> &[u8] {
        let begin = self.begin.as_slice();
        if !begin.starts_with(b"data:") {
            return begin;
        }
        let comma = memchr::memchr(b',', begin).map_or(0, |comma| comma + 1);
        begin.get(comma..).unwrap_or_default()
    }

    fn tokens(&self) -> u64 {
        let decoded = self.length / 4 * 3;
        let encoded = self.encoded();
        let whole = encoded.len() / 4 * 4;
        let begin = STANDARD_NO_PAD.decode(encoded.get(..whole).unwrap_or_default());
        let begin = begin.unwrap_or_default();
        if is_image(&begin) {
            IMAGE
        } else if is_text(&begin) {
            decoded.div_ceil(TEXT)
        } else {
            decoded.div_ceil(DATA)
        }
    }
}

/// PNG, JPEG, GIF, and WebP in its RIFF.
fn is_image(begin: &[u8]) -> bool {
    [&b"\x89PNG"[..], b"\xff\xd8\xff", b"GIF8"]
        .iter()
        .any(|magic| begin.starts_with(magic))
        || (begin.starts_with(b"RIFF") && begin.get(8..12) == Some(b"WEBP"))
}

fn is_text(begin: &[u8]) -> bool {
    let is_control = |octet: &u8| matches!(octet, 0..=8 | 14..=31);
    let is_utf8 = match std::str::from_utf8(begin) {
        Ok(_) => true,
        // Cut inside a character.
        Err(error) => error.error_len().is_none(),
    };
    !begin.is_empty() && !begin.starts_with(b"%PDF") && is_utf8 && !begin.iter().any(is_control)
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=' | b'-' | b'_')
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "outlook_tests.rs"]
mod tests;
