//! What a request says about itself: the model, where the operation names it in the body, and the caller's tags.
//!
//! Bodies of 25 MB pass here with nothing of interest in them but a name; all the rest is skipped unread.

use crate::aws::operation::Operation;
use crate::wire::json::{JsonScanner, JsonSink, Place, Scalar, Want};

/// Reads one request body.
#[derive(Debug)]
pub(crate) struct RequestReader {
    scanner: JsonScanner,
    found: Found,
}

/// What was found, and where to look.
#[derive(Debug, Default)]
struct Found {
    /// The members that lead to the model's name; `*` is any.
    model_path: &'static [&'static str],
    wants_tags: bool,
    model: Option<String>,
    tags: Vec<(String, String)>,
    /// The tag whose value follows.
    tag: Option<String>,
}

/// Most tags of a request, by the API's model.
const MAX_TAGS: usize = 16;
/// Most characters of a tag's key and of its value, by the API's model.
const MAX_TAG: usize = 256;

impl RequestReader {
    /// A reader for this operation's bodies; `None` when they say nothing about the request.
    pub(crate) fn new(operation: Operation) -> Option<Self> {
        let wants_tags = matches!(operation, Operation::Converse | Operation::ConverseStream);
        let model_path = model_path(operation);
        if model_path.is_empty() && !wants_tags {
            return None;
        }
        Some(Self {
            scanner: JsonScanner::new(Want::Take(BODY)),
            found: Found {
                model_path,
                wants_tags,
                ..Found::default()
            },
        })
    }

    /// Reads the next bytes.
    pub(crate) fn content(&mut self, content: &[u8]) {
        // A body that is not JSON is for the service to refuse; what was read of it stands.
        self.scanner.push(content, &mut self.found).ok();
    }

    /// The model and the tags.
    pub(crate) fn finish(self) -> (Option<String>, Vec<(String, String)>) {
        (self.found.model, self.found.tags)
    }
}

/// The tags in the value of `X-Amzn-Bedrock-Request-Metadata`: a JSON object of strings, as in Converse's
/// `requestMetadata`. What is not one yields none.
#[must_use]
pub fn tags_from_header(value: &[u8]) -> Vec<(String, String)> {
    let mut found = Found::default();
    let mut scanner = JsonScanner::new(Want::Take(TAGS));
    match scanner.push(value, &mut found) {
        Ok(()) if scanner.is_complete() => found.tags,
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

impl JsonSink for Found {
    fn member(&mut self, object: Place, key: &[u8]) -> Want {
        if object == TAGS {
            self.tag = tag(key);
            return Want::Take(TAG);
        }
        if object == BODY && self.wants_tags && key == b"requestMetadata" {
            self.tags.clear();
            return Want::Take(TAGS);
        }
        match self.model_path.get(usize::from(object.0)) {
            Some(&step) if step == "*" || step.as_bytes() == key => Want::Take(Place(object.0 + 1)),
            _ => Want::Skip,
        }
    }

    fn element(&mut self, _array: Place, _index: u32) -> Want {
        Want::Skip
    }

    fn scalar(&mut self, place: Place, value: Scalar<'_>) {
        let Scalar::String(text) = value else {
            return;
        };
        if place == TAG {
            if let (Some(key), Some(value)) = (self.tag.take(), tag(text)) {
                self.tags.retain(|(other, _)| *other != key);
                if self.tags.len() < MAX_TAGS {
                    self.tags.push((key, value));
                }
            }
        } else if usize::from(place.0) == self.model_path.len() && !text.is_empty() {
            self.model = value.as_text();
        }
    }

    fn text(&mut self, _place: Place, _piece: &[u8]) {}

    fn end(&mut self, _place: Place) {}
}

fn tag(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    (text.chars().count() <= MAX_TAG).then(|| text.to_owned())
}
