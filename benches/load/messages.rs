//! What goes over the wire: requests with the heads of a real SDK, and answers as Bedrock Runtime writes them.
//!
//! Everything is rendered once. Signatures are of the right length and not valid, as the upstream of the benchmark does
//! not look at them. Shapes: Converse, ConverseStream (application/vnd.amazon.eventstream) and InvokeModel.

use std::sync::Arc;

/// The name that clients ask for.
pub(crate) const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const MODEL_IN_PATH: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
const IMAGE_MODEL: &str = "amazon.nova-canvas-v1:0";
const IMAGE_MODEL_IN_PATH: &str = "amazon.nova-canvas-v1%3A0";

/// What one answer says it consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Without cache tokens.
    pub input: u64,
    /// Reasoning included.
    pub output: u64,
}

/// What Converse and ConverseStream answers of the benchmark report.
pub(crate) const TOKENS: Tokens = Tokens {
    input: 219,
    output: 347,
};

/// The operation that is called, and how large its request is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// Head and body together have this many bytes.
    Converse(usize),
    /// The same for a stream.
    ConverseStream(usize),
    /// An InvokeModel call whose body has this many bytes.
    Invoke(usize),
}

impl Request {
    /// The model that the ledger will name.
    pub(crate) const fn model(self) -> &'static str {
        match self {
            Self::Converse(_) | Self::ConverseStream(_) => MODEL,
            Self::Invoke(_) => IMAGE_MODEL,
        }
    }

    /// The bytes, as boto3 would send them for the `caller`th key.
    pub(crate) fn render(self, caller: usize) -> Vec<u8> {
        match self {
            Self::Converse(bytes) => within(bytes, |body| {
                head(MODEL_IN_PATH, "converse", caller, &conversation(body))
            }),
            Self::ConverseStream(bytes) => within(bytes, |body| {
                head(
                    MODEL_IN_PATH,
                    "converse-stream",
                    caller,
                    &conversation(body),
                )
            }),
            Self::Invoke(bytes) => {
                let body = framed(
                    br#"{"taskType":"IMAGE_VARIATION","imageVariationParams":{"images":[""#,
                    br#""],"text":"the same in winter"}}"#,
                    bytes,
                );
                head(IMAGE_MODEL_IN_PATH, "invoke", caller, &body)
            }
        }
    }
}

/// Grows the body until the whole message has `bytes` bytes.
fn within(bytes: usize, render: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let smallest = render(0).len();
    let mut room = bytes.saturating_sub(smallest);
    // The digits of the length are part of the message.
    while room > 0 && render(room).len() > bytes {
        room -= 1;
    }
    render(room)
}

fn head(model: &str, operation: &str, caller: usize, body: &[u8]) -> Vec<u8> {
    let mut message = format!(
        "POST /model/{model}/{operation} HTTP/1.1\r\n\
         Host: {HOST}\r\n\
         Accept-Encoding: identity\r\n\
         Content-Type: application/json\r\n\
         User-Agent: Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/python#3.11.7 \
         md/pyimpl#CPython m/b,D,g,Z cfg/retry-mode#legacy Botocore/1.43.11\r\n\
         X-Amz-Date: 20261122T015526Z\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEBENCH{caller:04}/20261122/us-east-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=093b661796ced8de0a6457201e3780a2d9f30f28c6ad9052bdc8d915224f69d4\r\n\
         amz-sdk-invocation-id: 33de565e-af6b-4fc2-8d14-650c4ab561c2\r\n\
         amz-sdk-request: attempt=1\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    message.extend_from_slice(body);
    message
}

fn conversation(text: usize) -> Vec<u8> {
    let mut body = br#"{"messages": [{"role": "user", "content": [{"text": ""#.to_vec();
    body.extend(prose(text));
    body.extend_from_slice(br#""}]}], "inferenceConfig": {"maxTokens": 512}}"#);
    body
}

/// Text of `bytes` bytes that needs no escapes in JSON.
fn prose(bytes: usize) -> impl Iterator<Item = u8> {
    b"The quick brown fox jumps over the lazy dog, and nobody asks why. "
        .iter()
        .copied()
        .cycle()
        .take(bytes)
}

/// `bytes` bytes: what stands in front, letters, what stands behind.
fn framed(front: &[u8], behind: &[u8], bytes: usize) -> Vec<u8> {
    let mut body = front.to_vec();
    body.resize(bytes.saturating_sub(behind.len()), b'A');
    body.extend_from_slice(behind);
    body
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Head and body.
    pub bytes: Arc<[u8]>,
    /// How many of them are body.
    pub body: usize,
    /// What it reports.
    pub tokens: Tokens,
}

impl Answer {
    /// A Converse answer with a body of `bytes` bytes.
    pub(crate) fn converse(bytes: usize) -> Self {
        let Tokens { input, output } = TOKENS;
        let front = br#"{"metrics":{"latencyMs":431},"output":{"message":{"content":[{"text":""#;
        let behind = format!(
            r#""}}],"role":"assistant"}}}},"stopReason":"end_turn","usage":{{"inputTokens":{input},"outputTokens":{output},"serverToolUsage":{{}},"totalTokens":{}}}}}"#,
            input + output
        );
        let text = bytes.saturating_sub(front.len() + behind.len());
        let mut body = front.to_vec();
        body.extend(prose(text));
        body.extend_from_slice(behind.as_bytes());
        Self::json(&body, TOKENS)
    }

    /// An InvokeModel answer of an image model with a body of `bytes` bytes; it reports no tokens.
    pub(crate) fn image(bytes: usize) -> Self {
        let body = framed(br#"{"images":[""#, br#""],"error":null}"#, bytes);
        Self::json(&body, Tokens::default())
    }

    fn json(body: &[u8], tokens: Tokens) -> Self {
        let mut bytes = format!(
            "HTTP/1.1 200 OK\r\n\
             Date: Sun, 22 Nov 2026 02:00:00 GMT\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {}\r\n\
             Connection: keep-alive\r\n\
             x-amzn-RequestId: 7f1c2a34-5b6d-4e8f-9a0b-1c2d3e4f5a6b\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        Self {
            bytes: bytes.into(),
            body: body.len(),
            tokens,
        }
    }
}

/// A ConverseStream answer, in the pieces that are written one by one.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// The head of the response.
    pub head: Vec<u8>,
    /// `messageStart`, as an HTTP chunk.
    pub first: Vec<u8>,
    /// One `contentBlockDelta`, as an HTTP chunk; it has room for a stamp.
    pub delta: Vec<u8>,
    /// How often it is sent.
    pub deltas: usize,
    /// `contentBlockStop`, `messageStop`, `metadata`, as HTTP chunks, and the last chunk.
    pub last: Vec<u8>,
}

/// Stands in front of the stamp in a delta's padding.
pub(crate) const STAMP_MARK: &[u8] = br#""p":"@"#;
/// Decimal digits of a stamp.
pub(crate) const STAMP_DIGITS: usize = 20;

impl Script {
    /// A stream of so many deltas.
    pub(crate) fn new(deltas: usize) -> Self {
        let Tokens { input, output } = TOKENS;
        let stop = r#"{"contentBlockIndex":0,"p":"abcdefghijkl"}"#;
        let end = r#"{"p":"abcdefghijklmnopqr","stopReason":"end_turn"}"#;
        let metadata = format!(
            r#"{{"metrics":{{"latencyMs":1431}},"p":"abcdefgh","usage":{{"inputTokens":{input},"outputTokens":{output},"serverToolUsage":{{}},"totalTokens":{}}}}}"#,
            input + output
        );
        let mut last = event("contentBlockStop", stop);
        last.extend(event("messageStop", end));
        last.extend(event("metadata", &metadata));
        last.extend_from_slice(b"0\r\n\r\n");
        let delta = format!(
            r#"{{"contentBlockIndex":0,"delta":{{"text":" and nobody asks"}},"p":"@{:0>width$}"}}"#,
            "",
            width = STAMP_DIGITS
        );
        Self {
            head: b"HTTP/1.1 200 OK\r\n\
                Date: Sun, 22 Nov 2026 02:00:00 GMT\r\n\
                Content-Type: application/vnd.amazon.eventstream\r\n\
                Transfer-Encoding: chunked\r\n\
                Connection: keep-alive\r\n\
                x-amzn-RequestId: 7f1c2a34-5b6d-4e8f-9a0b-1c2d3e4f5a6b\r\n\r\n"
                .to_vec(),
            first: event("messageStart", r#"{"p":"abcdefg","role":"assistant"}"#),
            delta: event("contentBlockDelta", &delta),
            deltas,
            last,
        }
    }

    /// How many messages one stream has.
    pub(crate) const fn messages(&self) -> usize {
        self.deltas + 4
    }
}

/// Writes `nanoseconds` into a delta and makes its checksum right again.
pub(crate) fn stamp(delta: &mut [u8], nanoseconds: u64) {
    let Some(at) = memchr::memmem::find(delta, STAMP_MARK) else {
        return;
    };
    let digits = at + STAMP_MARK.len();
    if let Some(room) = delta.get_mut(digits..digits + STAMP_DIGITS) {
        let mut rest = nanoseconds;
        for digit in room.iter_mut().rev() {
            *digit = b'0' | u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }
    // The chunk's size line stands before the message and a line end behind it.
    let begin = memchr::memchr(b'\n', delta).map_or(0, |end| end + 1);
    let end = delta.len() - 2;
    if let Some((content, checksum)) = delta
        .get_mut(begin..end)
        .and_then(<[u8]>::split_last_chunk_mut)
    {
        *checksum = crc32fast::hash(content).to_be_bytes();
    }
}

/// One event stream message in a chunk of its own.
fn event(kind: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ] {
        headers.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let total = 16 + headers.len() + payload.len();
    let mut message = Vec::with_capacity(total);
    for length in [total, headers.len()] {
        message.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(payload.as_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    let mut chunk = format!("{total:x}\r\n").into_bytes();
    chunk.extend_from_slice(&message);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
