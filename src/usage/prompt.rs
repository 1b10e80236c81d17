//! Which strings of a request hold text for the model, so that an input nobody told can be estimated.
//!
//! Every string does but those below members that are known to hold something else: settings, names of roles and media
//! types, pictures, sound. A long string without a space in plain base64 is taken for data whatever its name is. In the
//! schema of a tool everything counts, its names too, for the model is shown all of it.

use crate::usage::sample::{Mark, Sample};

/// The text of one request.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    sample: Sample,
    /// Where the sample stood when the string under way began.
    begun: Mark,
    /// Nothing of the string has come yet.
    is_fresh: bool,
    /// What is known of the string under way.
    look: Look,
}

/// How the string under way looks so far.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// This many characters, all of which base64 has.
    Encoded(usize),
    Text,
    Data,
}

/// What a member of the request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Text, or containers of it.
    Text,
    /// Where something comes from: text only under the names of [`is_text_of_source`].
    Source,
    /// A tool's schema.
    Schema,
    /// Nothing that the model reads as text.
    Else,
}

/// From this length on, characters without a gap are data.
const ENCODED: usize = 512;

impl Prompt {
    /// A string may follow.
    pub(crate) fn begin(&mut self) {
        self.is_fresh = true;
        self.look = Look::default();
    }

    /// A piece of it.
    pub(crate) fn text(&mut self, piece: &[u8]) {
        if std::mem::take(&mut self.is_fresh) {
            self.begun = self.sample.mark();
            if self.sample.bytes() > 0 {
                self.sample.push(b"\n");
            }
        }
        if let Look::Encoded(length) = self.look {
            let run = piece.iter().take_while(|octet| is_base64(**octet)).count();
            self.look = match length.saturating_add(run) {
                length if length >= ENCODED => {
                    self.sample.rewind(self.begun);
                    Look::Data
                }
                _ if run < piece.len() => Look::Text,
                length => Look::Encoded(length),
            };
        }
        if !matches!(self.look, Look::Data) {
            self.sample.push(piece);
        }
    }

    /// How much of it there is, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.sample.bytes()
    }

    /// The text; `None` where there was none.
    pub(crate) fn finish(self) -> Option<Sample> {
        (self.sample.bytes() > 0).then_some(self.sample)
    }
}

impl Default for Look {
    fn default() -> Self {
        Self::Encoded(0)
    }
}

fn is_base64(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// Whether this member of a source is text.
pub(crate) fn is_text_of_source(name: &[u8]) -> bool {
    matches!(name, b"text" | b"content")
}

/// What the member of this name holds, wherever it stands.
pub(crate) fn holds(name: &[u8]) -> Holds {
    match name {
        b"inputSchema" | b"input_schema" | b"parameters" => Holds::Schema,
        b"source" => Holds::Source,
        // Media and where it lies.
        b"bytes" | b"data" | b"file_data" | b"base64String" | b"url" | b"uri" | b"s3Location" => {
            Holds::Else
        }
        b"image" | b"images" | b"image_url" | b"image_base64" | b"mask" | b"maskImage"
        | b"inputImage" | b"init_image" | b"video" | b"video_url" | b"inputVideo" | b"audio"
        | b"audio_url" | b"input_audio" | b"inputAudio" | b"mediaSource" => Holds::Else,
        b"type" | b"format" | b"detail" | b"media_type" | b"mediaType" | b"mime_type" => {
            Holds::Else
        }
        // Who and which.
        b"role"
        | b"id"
        | b"toolUseId"
        | b"tool_use_id"
        | b"tool_call_id"
        | b"call_id"
        | b"file_id"
        | b"model"
        | b"modelId"
        | b"user"
        | b"user_id"
        | b"metadata"
        | b"requestMetadata"
        | b"previous_response_id"
        | b"prompt_cache_key"
        | b"safety_identifier" => Holds::Else,
        // What only proves or hides.
        b"signature" | b"redactedContent" | b"redacted_content" | b"encrypted_content" => {
            Holds::Else
        }
        // Settings.
        b"anthropic_version"
        | b"anthropic_beta"
        | b"cachePoint"
        | b"cache_control"
        | b"service_tier"
        | b"serviceTier"
        | b"performanceConfig"
        | b"guardrailConfig"
        | b"inferenceConfig"
        | b"inference_config"
        | b"textGenerationConfig"
        | b"imageGenerationConfig"
        | b"additionalModelRequestFields"
        | b"additionalModelResponseFieldPaths"
        | b"stop"
        | b"stop_sequences"
        | b"stopSequences"
        | b"stream_options"
        | b"reasoning"
        | b"reasoning_effort"
        | b"thinking_config"
        | b"tool_choice"
        | b"toolChoice"
        | b"include"
        | b"status"
        | b"input_type"
        | b"truncate"
        | b"embedding_types"
        | b"return_likelihoods"
        | b"taskType" => Holds::Else,
        _ => Holds::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(strings: &[&str], size: usize) -> String {
        let mut prompt = Prompt::default();
        for string in strings {
            prompt.begin();
            for piece in string.as_bytes().chunks(size) {
                prompt.text(piece);
            }
        }
        let sample = prompt.finish().unwrap_or_default();
        assert_eq!(sample.bytes(), sample.kept().len() as u64);
        String::from_utf8(sample.kept().to_vec()).unwrap()
    }

    #[test]
    fn data_is_told_from_text_in_any_cut() {
        let data = "iVBORw0KGgoAAAANSUhEUg+/".repeat(40);
        let word = "a".repeat(511);
        let late = format!("A word, {data}");
        for size in [1, 7, 511, 512, 513, usize::MAX] {
            assert_eq!(sampled(&["one", &data, "two"], size), "one\ntwo");
            assert_eq!(sampled(&[&word], size), word);
            assert_eq!(sampled(&[&late], size), late);
            assert_eq!(sampled(&["", "x"], size), "x");
        }
    }

    #[test]
    fn a_message_holds_text_and_a_setting_does_not() {
        for name in ["text", "content", "prompt", "inputText", "system", "name"] {
            assert_eq!(holds(name.as_bytes()), Holds::Text, "{name}");
        }
        for name in ["role", "bytes", "data", "url", "type", "modelId"] {
            assert_eq!(holds(name.as_bytes()), Holds::Else, "{name}");
        }
    }
}
