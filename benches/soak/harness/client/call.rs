//! What is asked of Bedrock: operations, models, bodies, and how a request is signed and written for each door.
//!
//! Signing is left to `aws-sigv4`. The marker and the acts are signed along, so that they arrive as they were sent.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use serde_json::{Value, json};
use tollgate::simulator::{
    ACCESS_KEY_ID, BEARER_KEY, SECRET_ACCESS_KEY, SESSION_ACCESS_KEY_ID, SESSION_SECRET_ACCESS_KEY,
    SESSION_TOKEN,
};
use uuid::Uuid;

use super::super::acts::{ACTS, Acts};
use super::super::book::Asked;
use super::super::dice::Dice;
use super::super::upstream::crc;
use super::Failure;
use super::line::Door;

/// An operation of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// As the record names it.
    pub(crate) operation: &'static str,
    pub(crate) model: &'static str,
    /// The last segment of the path; a whole path where the model stands in the body.
    path: &'static str,
    shape: Shape,
    /// The status of the answer.
    pub(crate) status: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Converse,
    Messages,
    Titan,
    Llama,
    Mistral,
    Cohere,
    /// The body names the model.
    Chat,
    MessagesStream,
}

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-lite-v1:0";

const fn kind(
    operation: &'static str,
    model: &'static str,
    path: &'static str,
    shape: Shape,
) -> Kind {
    Kind {
        operation,
        model,
        path,
        shape,
        status: 200,
    }
}

impl Kind {
    pub(crate) const CONVERSE: Self = kind("Converse", NOVA, "converse", Shape::Converse);
    pub(crate) const CONVERSE_STREAM: Self =
        kind("ConverseStream", CLAUDE, "converse-stream", Shape::Converse);
    pub(crate) const INVOKE: Self = kind("InvokeModel", CLAUDE, "invoke", Shape::Messages);

    /// The ones that end well.
    pub(crate) const GOOD: [Self; 11] = [
        Self::CONVERSE_STREAM,
        Self::INVOKE,
        kind(
            "InvokeModelWithResponseStream",
            CLAUDE,
            STREAM,
            Shape::Messages,
        ),
        kind(
            "InvokeModel",
            "amazon.titan-text-express-v1",
            "invoke",
            Shape::Titan,
        ),
        kind("InvokeModelWithResponseStream", LLAMA, STREAM, Shape::Llama),
        kind("InvokeModel", MISTRAL, "invoke", Shape::Mistral),
        kind(
            "InvokeModelWithResponseStream",
            MISTRAL,
            STREAM,
            Shape::Mistral,
        ),
        kind(
            "InvokeModel",
            "cohere.embed-english-v3",
            "invoke",
            Shape::Cohere,
        ),
        kind(
            "InvokeModelWithResponseStream",
            NOVA,
            STREAM,
            Shape::Converse,
        ),
        kind(
            "ChatCompletions",
            "openai.gpt-oss-20b-1:0",
            CHAT,
            Shape::Chat,
        ),
        kind("Messages", CLAUDE, MESSAGES, Shape::MessagesStream),
    ];

    /// The ones that AWS answers with an error.
    pub(crate) const BAD: [Self; 4] = [
        failing("simulate.throttling", 429),
        failing("simulate.validation", 400),
        failing("simulate.model-error", 424),
        failing("simulate.internal", 500),
    ];

    /// A stream that ends in an exception.
    pub(crate) const EXCEPTION: Self = kind(
        "ConverseStream",
        "simulate.stream-exception",
        "converse-stream",
        Shape::Converse,
    );

    /// Path and query.
    fn target(&self) -> String {
        if self.path.starts_with('/') {
            return self.path.to_owned();
        }
        format!("/model/{}/{}", self.model.replace(':', "%3A"), self.path)
    }

    fn body(&self, text: &str, dice: &mut Dice) -> Value {
        let limit = dice.between(8, 200);
        match self.shape {
            Shape::Converse => {
                let mut body = json!({
                    "messages": [{"role": "user", "content": [{"text": text}]}],
                    "inferenceConfig": {"maxTokens": limit},
                    "requestMetadata": {"team": format!("team-{}", dice.between(1, 9))},
                });
                if dice.percent(30)
                    && let Some(members) = body.as_object_mut()
                {
                    let system = format!("You are soaked, {}. ", dice.between(1, 200)).repeat(30);
                    let system = json!([{"text": system}, {"cachePoint": {"type": "default"}}]);
                    members.insert("system".to_owned(), system);
                }
                body
            }
            Shape::Messages => json!({
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": limit,
                "messages": [{"role": "user", "content": text}],
            }),
            Shape::MessagesStream => json!({
                "model": self.model,
                "max_tokens": limit,
                "stream": true,
                "messages": [{"role": "user", "content": text}],
            }),
            Shape::Titan => {
                json!({"inputText": text, "textGenerationConfig": {"maxTokenCount": limit}})
            }
            Shape::Llama => json!({"prompt": text, "max_gen_len": limit}),
            Shape::Mistral => json!({"prompt": text, "max_tokens": limit}),
            Shape::Cohere => json!({"texts": [text], "input_type": "search_document"}),
            Shape::Chat => json!({
                "model": self.model,
                "stream": true,
                "stream_options": {"include_usage": dice.percent(70)},
                "messages": [{"role": "user", "content": text}],
            }),
        }
    }
}

const STREAM: &str = "invoke-with-response-stream";
const LLAMA: &str = "us.meta.llama3-3-70b-instruct-v1:0";
const MISTRAL: &str = "mistral.mistral-7b-instruct-v0:2";
const CHAT: &str = "/openai/v1/chat/completions";
const MESSAGES: &str = "/anthropic/v1/messages";

const fn failing(model: &'static str, status: u16) -> Kind {
    Kind {
        status,
        ..kind("Converse", model, "converse", Shape::Converse)
    }
}

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    Length,
    /// In chunks of so many octets.
    Chunks(usize),
}

/// How a request says who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Key,
    Session,
    Presigned,
    Bearer,
}

/// A call to be made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) host: String,
    /// The prompt.
    pub(crate) text: String,
    pub(crate) acts: Acts,
    pub(crate) upload: Upload,
    pub(crate) credential: Credential,
    pub(crate) version: &'static str,
    /// The client waits for `100 Continue`.
    pub(crate) expects: bool,
    /// The connection is to end after it.
    pub(crate) closes: bool,
}

/// A request as it goes out.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) marker: Uuid,
    pub(crate) head: Bytes,
    /// As it is on the wire.
    pub(crate) body: Bytes,
    pub(crate) expects: bool,
    pub(crate) asked: Asked,
}

impl Call {
    /// A call of `kind` to `host`, small and without any acts.
    pub(crate) fn new(kind: Kind, host: &str, dice: &mut Dice) -> Self {
        let words = dice.size(1, 60);
        Self {
            kind,
            host: host.to_owned(),
            text: format!("What does a toll gate do, {}? ", dice.roll()).repeat(words),
            acts: Acts::default(),
            upload: Upload::Length,
            credential: dice.weighted(
                &[
                    (50, Credential::Key),
                    (30, Credential::Session),
                    (10, Credential::Presigned),
                    (10, Credential::Bearer),
                ],
                Credential::Key,
            ),
            version: "HTTP/1.1",
            expects: false,
            closes: false,
        }
    }

    pub(crate) fn acts(mut self, acts: Acts) -> Self {
        self.acts = acts;
        self
    }

    /// Signs and writes it for `door`.
    pub(crate) fn request(
        &self,
        door: Door,
        client: std::net::SocketAddr,
        dice: &mut Dice,
    ) -> Result<Request, Failure> {
        let marker = Uuid::now_v7();
        let content = self.kind.body(&self.text, dice).to_string().into_bytes();
        let mut fields = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("amz-sdk-invocation-id".to_owned(), marker.to_string()),
            ("amz-sdk-request".to_owned(), "attempt=1; max=1".to_owned()),
        ];
        if self.acts != Acts::default() {
            fields.push((ACTS.to_owned(), serde_json::to_string(&self.acts)?));
        }
        let target = self.sign(&content, &mut fields)?;
        let mut head = format!(
            "POST {} {}\r\nHost: {}\r\n",
            door.target(&self.host, &target),
            self.version,
            self.host
        );
        for (name, value) in &fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.expects {
            head.push_str("Expect: 100-continue\r\n");
        }
        if self.closes {
            head.push_str("Connection: close\r\n");
        }
        let crc = crc(&target, &content);
        let body = match self.upload {
            Upload::Length => {
                head.push_str(&format!("Content-Length: {}\r\n\r\n", content.len()));
                content
            }
            Upload::Chunks(size) => {
                head.push_str("Transfer-Encoding: chunked\r\n\r\n");
                chunked(&content, size)
            }
        };
        Ok(Request {
            marker,
            expects: self.expects,
            asked: Asked {
                client,
                entry: door.entry(),
                operation: self.kind.operation,
                model: self.kind.model.to_owned(),
                crc,
                body_bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
                status: if self.acts.early {
                    413
                } else {
                    self.kind.status
                },
                troubled: self.acts.breaks(),
                follows: false,
                refusal: None,
            },
            head: head.into_bytes().into(),
            body: body.into(),
        })
    }

    /// Adds what proves the sender; path and query as they are sent.
    fn sign(&self, content: &[u8], fields: &mut Vec<(String, String)>) -> Result<String, Failure> {
        let path = self.kind.target();
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        let credentials = match self.credential {
            Credential::Bearer => {
                fields.push(("authorization".to_owned(), format!("Bearer {BEARER_KEY}")));
                return Ok(path);
            }
            Credential::Key => Credentials::from_keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None),
            Credential::Session | Credential::Presigned => Credentials::from_keys(
                SESSION_ACCESS_KEY_ID,
                SESSION_SECRET_ACCESS_KEY,
                Some(SESSION_TOKEN.to_owned()),
            ),
        };
        if self.credential == Credential::Presigned {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(300));
        }
        let identity: Identity = credentials.into();
        let region = self
            .host
            .split('.')
            .find(|label| label.matches('-').count() == 2);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.unwrap_or("us-east-1"))
            .name("bedrock")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let given = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let signable = SignableRequest::new(
            "POST",
            format!("https://{}{path}", self.host),
            given,
            SignableBody::Bytes(content),
        )?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let (signed, parameters) = instructions.into_parts();
        for field in signed {
            fields.push((field.name().to_owned(), field.value().to_owned()));
        }
        let query: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", percent_encoded(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        Ok(format!("{path}{mark}{}", query.join("&")))
    }
}

fn chunked(content: &[u8], size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(content.len() + content.len() / size.max(1) * 16 + 64);
    for chunk in content.chunks(size.max(1)) {
        body.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

/// Everything but the unreserved characters.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            encoded.push_str(&format!("%{octet:02X}"));
        }
    }
    encoded
}
