//! What a request says about itself: the model, where the operation names it in the body, the tier and latency asked for,
//! the caller's tags, and the text for the model.
//!
//! Bodies of 25 MB pass here with nothing of interest in them but a few names: what holds no text is skipped unread, and
//! of text no more is kept than an estimate needs (`prompt` says which is which).

use crate::aws::operation::Operation;
use crate::usage::prompt::{Holds, Prompt, holds, is_text_of_source};
use crate::usage::sample::Sample;
use crate::wire::http1::RequestHead;
use crate::wire::json::{JsonScanner, JsonSink, Place, Scalar, Want};

/// Reads one request body.
#[derive(Debug)]
pub(crate) struct RequestReader {
    scanner: JsonScanner,
    found: Found,
}

/// What a request said.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The model, for operations that name it in the body.
    pub(crate) model: Option<String>,
    /// `requestMetadata`.
    pub(crate) tags: Vec<(String, String)>,
    /// The service tier.
    pub(crate) tier: Option<String>,
    /// The latency configuration.
    pub(crate) latency: Option<String>,
    /// The text for the model.
    pub(crate) prompt: Option<Sample>,
}

/// What was found, and where to look.
#[derive(Debug, Default)]
struct Found {
    /// The members that lead to the model's name; `*` is any.
    model_path: &'static [&'static str],
    wants_tags: bool,
    wants_prompt: bool,
    asked: Asked,
    prompt: Prompt,
    /// The tag whose value follows.
    tag: Option<String>,
}

impl Asked {
    /// What the head says.
    pub(crate) fn of_head(head: &RequestHead) -> Self {
        let fields = head.fields();
        let word = |name| fields.text_of(name).and_then(asked_word);
        Self {
            tier: word("x-amzn-bedrock-service-tier"),
            latency: word("x-amzn-bedrock-performanceconfig-latency"),
            tags: fields
                .first("x-amzn-bedrock-request-metadata")
                .map(tags_from_header)
                .unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Adds what the body says.
    pub(crate) fn add_body(&mut self, body: Self) {
        // Bedrock's own header says more than a member that only the model's vendor knows.
        self.tier = self.tier.take().or(body.tier);
        self.latency = self.latency.take().or(body.latency);
        self.tags.extend(body.tags);
        self.model = body.model;
        self.prompt = body.prompt;
    }
}

/// A tier or a latency of a sensible length; `None` for an empty one.
pub(crate) fn asked_word(value: &str) -> Option<String> {
    let word = value.trim();
    (!word.is_empty() && word.len() <= MAX_WORD).then(|| word.to_owned())
}

/// Most tags of a request, by the API's model.
const MAX_TAGS: usize = 16;
/// Most characters of a tag's key and of its value, by the API's model.
const MAX_TAG: usize = 256;

impl RequestReader {
    /// A reader for this operation's bodies; `None` when they say nothing about the request.
    pub(crate) fn new(operation: Operation) -> Option<Self> {
        let wants_tags = matches!(operation, Operation::Converse | Operation::ConverseStream);
        let wants_prompt = operation_generates(operation);
        let model_path = model_path(operation);
        if model_path.is_empty() && !wants_tags && !wants_prompt {
            return None;
        }
        Some(Self {
            scanner: JsonScanner::new(Want::Take(BODY)),
            found: Found {
                model_path,
                wants_tags,
                wants_prompt,
                ..Found::default()
            },
        })
    }

    /// Reads the next bytes.
    pub(crate) fn content(&mut self, content: &[u8]) {
        // A body that is not JSON is for the service to refuse; what was read of it stands.
        self.scanner.push(content, &mut self.found).ok();
    }

    /// The model, as far as it was read.
    pub(crate) fn model(&self) -> Option<&str> {
        self.found.asked.model.as_deref()
    }

    /// How much text for the model was read.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.found.prompt.bytes()
    }

    /// What the body said.
    pub(crate) fn finish(self) -> Asked {
        Asked {
            prompt: self.found.prompt.finish(),
            ..self.found.asked
        }
    }
}

/// Whether the operation has a model read text and answer it, as far as its bodies can be read.
pub(crate) fn operation_generates(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Converse
            | Operation::ConverseStream
            | Operation::InvokeModel
            | Operation::InvokeModelWithResponseStream
            | Operation::ChatCompletions
            | Operation::Responses
            | Operation::Messages
    )
}

/// The tags in the value of `X-Amzn-Bedrock-Request-Metadata`: a JSON object of strings, as in Converse's
/// `requestMetadata`. What is not one yields none.
#[must_use]
pub fn tags_from_header(value: &[u8]) -> Vec<(String, String)> {
    let mut found = Found::default();
    let mut scanner = JsonScanner::new(Want::Take(TAGS));
    match scanner.push(value, &mut found) {
        Ok(()) if scanner.is_complete() => found.asked.tags,
        _ => Vec::new(),
    }
}

/// Where the body of an operation names its model.
fn model_path(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::ChatCompletions
        | Operation::Responses
        | Operation::Messages
        | Operation::MessagesCountTokens => &["model"],
        Operation::StartAsyncInvoke => &["modelId"],
        Operation::InvokeInlineAgent => &["foundationModel"],
        Operation::OptimizePrompt => &["targetModelId"],
        Operation::RetrieveAndGenerate | Operation::RetrieveAndGenerateStream => {
            &["retrieveAndGenerateConfiguration", "*", "modelArn"]
        }
        Operation::Rerank => &[
            "rerankingConfiguration",
            "bedrockRerankingConfiguration",
            "modelConfiguration",
            "modelArn",
        ],
        _ => &[],
    }
}

/// The body; a place below it is the number of members of the model's path that led there.
const BODY: Place = Place(0);
/// `requestMetadata`.
const TAGS: Place = Place(u16::MAX);
/// A value in it.
const TAG: Place = Place(u16::MAX - 1);
/// `serviceTier`, whose `type` is the tier.
const TIERS: Place = Place(u16::MAX - 2);
/// The tier.
const TIER: Place = Place(u16::MAX - 3);
/// `performanceConfig`, whose `latency` is the latency.
const LATENCIES: Place = Place(u16::MAX - 4);
/// The latency.
const LATENCY: Place = Place(u16::MAX - 5);
/// Text, or a container of it.
const TEXT: Place = Place(u16::MAX - 6);
/// Where text or something else comes from.
const SOURCE: Place = Place(u16::MAX - 7);
/// A tool's schema, or what is in it.
const SCHEMA: Place = Place(u16::MAX - 8);

/// The longest tier or latency that is kept, in bytes.
const MAX_WORD: usize = 64;

impl Found {
    /// What the members of the body itself hold, apart from text.
    fn setting(&mut self, key: &[u8]) -> Option<Want> {
        match key {
            b"requestMetadata" if self.wants_tags => {
                self.asked.tags.clear();
                Some(Want::Take(TAGS))
            }
            b"serviceTier" if self.wants_prompt => Some(Want::Take(TIERS)),
            b"service_tier" if self.wants_prompt => Some(Want::Take(TIER)),
            b"performanceConfig" if self.wants_prompt => Some(Want::Take(LATENCIES)),
            _ => None,
        }
    }

    /// A member of the body or of a container of text.
    fn text_member(&mut self, key: &[u8]) -> Want {
        if !self.wants_prompt {
            return Want::Skip;
        }
        match holds(key) {
            Holds::Text => self.begin(TEXT),
            Holds::Source => Want::Take(SOURCE),
            Holds::Schema => self.begin(SCHEMA),
            Holds::Else => Want::Skip,
        }
    }

    fn begin(&mut self, place: Place) -> Want {
        self.prompt.begin();
        Want::Stream(place)
    }
}

impl JsonSink for Found {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        match object {
            TAGS => {
                self.tag = tag(key);
                return Want::Take(TAG);
            }
            TIERS if key == b"type" => return Want::Take(TIER),
            LATENCIES if key == b"latency" => return Want::Take(LATENCY),
            SOURCE if is_text_of_source(key) => return self.begin(TEXT),
            SCHEMA => {
                self.prompt.begin();
                self.prompt.text(key);
                return self.begin(SCHEMA);
            }
            TEXT => return self.text_member(key),
            BODY => {
                if let Some(want) = self.setting(key) {
                    return want;
                }
            }
            _ => {}
        }
        match self.model_path.get(usize::from(object.0)) {
            Some(&step) if step == "*" || step.as_bytes() == key => Want::Take(Place(object.0 + 1)),
            _ if object == BODY => self.text_member(key),
            _ => Want::Skip,
        }
    }

    fn element(&mut self, array: Place, _index: u32) -> Want {
        match array {
            TEXT | SCHEMA => self.begin(array),
            _ => Want::Skip,
        }
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>) {
        let Scalar::String(text) = value else {
            return;
        };
        let word = || value.as_text().as_deref().and_then(asked_word);
        match place {
            TAG => {
                if let (Some(key), Some(value)) = (self.tag.take(), tag(text)) {
                    let tags = &mut self.asked.tags;
                    tags.retain(|(other, _)| *other != key);
                    if tags.len() < MAX_TAGS {
                        tags.push((key, value));
                    }
                }
            }
            TIER => self.asked.tier = word(),
            LATENCY => self.asked.latency = word(),
            BODY => {}
            _ if usize::from(place.0) == self.model_path.len() && !text.is_empty() => {
                self.asked.model = value.as_text();
            }
            _ => {}
        }
    }

    fn text(&mut self, _place: Place, piece: &[u8]) {
        self.prompt.text(piece);
    }

    fn end(&mut self, _place: Place) {}
}

fn tag(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    (text.chars().count() <= MAX_TAG).then(|| text.to_owned())
}
