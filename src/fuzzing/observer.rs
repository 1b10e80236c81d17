//! The observer over a whole exchange: what it tells does not depend on the cut, and is bounded whatever was sent.

use std::sync::{Arc, LazyLock};

use bytes::BytesMut;

use super::bodies::repaired;
use super::{parts, pieces};
use crate::aws::Operation;
use crate::usage::coding::{ContentDecoder, codings};
use crate::usage::estimate::tokens_of;
use crate::usage::sample::{MAX_SAMPLE, Sample};
use crate::usage::{ExchangeObserver, Observation, PatternTable, Patterns, TaughtCount};
use crate::wire::http1::{FieldLines, HeadLimits, RequestHead, ResponseHead};

const OPERATIONS: [Operation; 16] = [
    Operation::Converse,
    Operation::ConverseStream,
    Operation::InvokeModel,
    Operation::InvokeModelWithResponseStream,
    Operation::CountTokens,
    Operation::ApplyGuardrail,
    Operation::InvokeGuardrailChecks,
    Operation::StartAsyncInvoke,
    Operation::ChatCompletions,
    Operation::Responses,
    Operation::Messages,
    Operation::MessagesCountTokens,
    Operation::InvokeAgent,
    Operation::InvokeInlineAgent,
    Operation::RetrieveAndGenerateStream,
    Operation::Rerank,
];

/// Response heads that are read in different ways; a fuzzed one stands in for the last.
const HEADS: [&str; 8] = [
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
    "HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nx-amzn-ErrorType: ValidationException\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: br\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Amzn-Bedrock-Input-Token-Count: 7\r\n\r\n",
    "",
];

static PATTERNS: LazyLock<Arc<Patterns>> = LazyLock::new(|| {
    let taught = [
        (TaughtCount::Input, "taught.in"),
        (TaughtCount::Output, "taught.parts.*.out"),
        (TaughtCount::CacheRead, "taught.parts.0.cached"),
    ];
    let table = PatternTable {
        paths: taught
            .map(|(count, path)| (count, path.to_owned()))
            .to_vec(),
        ..PatternTable::default()
    };
    Arc::new(Patterns::new(&[table]).unwrap())
});

/// One exchange, as it is shown to an observer.
struct Exchange {
    operation: Option<Operation>,
    request: RequestHead,
    response: ResponseHead,
    complete: bool,
}

impl Exchange {
    fn observe<'b>(
        &'b self,
        asked: impl Iterator<Item = &'b [u8]>,
        answered: impl Iterator<Item = &'b [u8]>,
    ) -> Observation {
        let mut observer = ExchangeObserver::for_call(self.operation, &PATTERNS, "h", None, None);
        observer.request_head(&self.request);
        asked.for_each(|piece| observer.request_content(piece));
        observer.response_head(&self.response);
        let mut seen = false;
        for piece in answered {
            observer.response_content(piece);
            assert!(
                observer.first_token_seen() || !seen,
                "the first token is forgotten"
            );
            seen = observer.first_token_seen();
        }
        observer.finish(self.complete)
    }
}

/// Any exchange.
pub(super) fn observer(data: &[u8]) {
    let [head, asked, answered] = parts(data);
    observe(head, asked, answered);
}

/// An exchange whose answer is an event stream with lengths that fit and checksums that match.
pub(super) fn observer_repaired(data: &[u8]) {
    let [head, asked, answered] = parts(data);
    observe(head, asked, &repaired(answered, |_| {}));
}

/// `steer` holds three bytes that choose, and then head lines of the request, or the whole head of the response.
fn observe(steer: &[u8], asked: &[u8], answered: &[u8]) {
    let [cut, operation, kind, rest @ ..] = steer else {
        return;
    };
    let take_response = |bytes: &[u8]| {
        ResponseHead::take(&mut BytesMut::from(bytes), &HeadLimits::default())
            .ok()
            .flatten()
    };
    let written = HEADS[usize::from(*kind % 8)];
    let (fields, response) = match written {
        "" => (&[][..], take_response(&[rest, b"\r\n\r\n"].concat())),
        written => (rest, take_response(written.as_bytes())),
    };
    let Some(response) = response else {
        return;
    };
    let method = if kind & 64 != 0 { "GET" } else { "POST" };
    let request = [
        method.as_bytes(),
        b" / HTTP/1.1\r\nHost: h\r\n",
        fields,
        b"\r\n\r\n",
    ]
    .concat();
    let Ok(Some(request)) =
        RequestHead::take(&mut BytesMut::from(&request[..]), &HeadLimits::default())
    else {
        return;
    };
    let exchange = Exchange {
        operation: OPERATIONS.get(usize::from(*operation % 17)).copied(),
        request,
        response,
        complete: kind & 128 == 0,
    };
    let whole = exchange.observe(std::iter::once(asked), std::iter::once(answered));
    let in_pieces = exchange.observe(pieces(asked, *cut), pieces(answered, *cut));
    check_bounds(&whole);
    check_bounds(&in_pieces);
    // How much a decoder has given away when it meets the damage is its own affair.
    let fields = exchange.response.fields();
    if is_decodable(fields, std::iter::once(answered))
        && is_decodable(fields, pieces(answered, *cut))
    {
        assert_eq!(whole, in_pieces, "the cut decides what is counted");
    }
}

/// Whether these pieces of a body follow its content codings, within their bounds.
fn is_decodable<'b>(fields: &FieldLines, mut pieces: impl Iterator<Item = &'b [u8]>) -> bool {
    let mut decoder = ContentDecoder::new(&codings(fields).unwrap_or_default(), std::io::sink());
    pieces.try_for_each(|piece| decoder.push(piece)).is_ok() && decoder.finish().is_ok()
}

/// Nothing of an observation grows with what was sent.
fn check_bounds(seen: &Observation) {
    let short = [
        &seen.finish_reason,
        &seen.service_tier,
        &seen.performance_latency,
        &seen.asked_tier,
        &seen.asked_latency,
    ];
    for word in short.into_iter().flatten() {
        assert!((1..=256).contains(&word.chars().count()), "{word:?}");
    }
    for word in [&seen.model, &seen.response_model].into_iter().flatten() {
        assert!(word.chars().count() <= 2048);
    }
    // Sixteen of a header and sixteen of a body, each of a length.
    assert!(seen.tags.len() <= 32);
    assert!(
        seen.tags
            .iter()
            .all(|(key, value)| key.chars().count() <= 256 && value.chars().count() <= 256)
    );
    assert!(seen.units.len() <= 64 && seen.notes.len() <= 8);
    let usage = &seen.usage;
    let counts = [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
    ];
    for count in counts.into_iter().flatten() {
        assert!(count <= 1 << 60, "a count beyond reason");
    }
    if usage.source.is_none() {
        assert_eq!(counts, [None; 4]);
    }
    if let Some(untold) = &seen.untold {
        for sample in [&untold.input, &untold.output].into_iter().flatten() {
            assert!(sample.kept().len() <= MAX_SAMPLE);
        }
    }
}

/// Text that nobody counted: the tokenizer finds no more tokens than there are bytes, and gives up on nothing.
pub(super) fn estimate(data: &[u8]) {
    let mut sample = Sample::default();
    sample.push(data);
    let tokens = tokens_of(&sample);
    // An octet that is no text is counted as the three of its replacement.
    assert!(tokens <= 3 * sample.bytes(), "{tokens} tokens");
    assert_eq!(tokens == 0, data.is_empty());
}
