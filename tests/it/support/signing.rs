//! Signs requests with `aws-sigv4`, an implementation that is not the gate's, and writes them for any door.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use tollgate::simulator::{
    ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_ACCESS_KEY_ID, SESSION_SECRET_ACCESS_KEY,
    SESSION_TOKEN,
};

use super::{BEDROCK, Door};

/// A call of the simulator's model, signed for [`BEDROCK`].
pub(crate) struct Call {
    pub(crate) path: String,
    /// Signed, in this order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) credentials: Credentials,
    pub(crate) presigned: bool,
}

/// A signed call, not yet written down for a door.
#[derive(Clone)]
pub(crate) struct Signed {
    /// Path and query.
    pub(crate) target: String,
    /// Every field besides Host and those that frame the body.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// A Converse call to a small model, with a long-term key.
    pub(crate) fn converse(text: &str) -> Self {
        let body = serde_json::json!({"messages": [{"role": "user", "content": [{"text": text}]}]});
        Self {
            path: "/model/us.amazon.nova-lite-v1%3A0/converse".to_owned(),
            fields: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            credentials: Credentials::from_keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None),
            presigned: false,
        }
    }

    /// The same with a session's key and token.
    pub(crate) fn in_session(mut self) -> Self {
        let token = Some(SESSION_TOKEN.to_owned());
        self.credentials =
            Credentials::from_keys(SESSION_ACCESS_KEY_ID, SESSION_SECRET_ACCESS_KEY, token);
        self
    }

    /// The same on another path.
    pub(crate) fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The same with one more signed field.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with its signature in the query.
    pub(crate) fn presigned(mut self) -> Self {
        self.presigned = true;
        self
    }

    /// Signs it for now.
    pub(crate) fn sign(&self) -> Signed {
        let identity: Identity = self.credentials.clone().into();
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        if self.presigned {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(300));
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("bedrock")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Bytes(&self.body);
        let signable = SignableRequest::new(
            "POST",
            format!("https://{BEDROCK}{}", self.path),
            fields,
            body,
        )
        .unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let (signed_fields, parameters) = instructions.into_parts();
        let mut fields = self.fields.clone();
        fields.extend(
            signed_fields
                .iter()
                .map(|field| (field.name().to_owned(), field.value().to_owned())),
        );
        let query: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let mark = match (query.is_empty(), self.path.contains('?')) {
            (true, _) => "",
            (false, false) => "?",
            (false, true) => "&",
        };
        Signed {
            target: format!("{}{mark}{}", self.path, query.join("&")),
            fields,
            body: self.body.clone(),
        }
    }
}

impl Signed {
    /// The octets that `door` wants, body delimited by Content-Length.
    pub(crate) fn through(&self, door: Door) -> Vec<u8> {
        let head = self.head(
            &door.target(BEDROCK, &self.target),
            &format!("Content-Length: {}", self.body.len()),
        );
        [head.as_bytes(), &self.body].concat()
    }

    /// The octets that an upstream must see, whatever the door.
    pub(crate) fn at_upstream(&self) -> Vec<u8> {
        self.through(Door::Connect)
    }

    /// The same with the body in chunks of `size`.
    pub(crate) fn chunked_through(&self, door: Door, size: usize) -> Vec<u8> {
        let mut bytes = self
            .head(
                &door.target(BEDROCK, &self.target),
                "Transfer-Encoding: chunked",
            )
            .into_bytes();
        for chunk in self.body.chunks(size) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }

    fn head(&self, target: &str, framing: &str) -> String {
        let mut head = format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n");
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("{framing}\r\n\r\n"));
        head
    }
}

/// Percent-encodes all but the unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let unreserved = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
    text.bytes()
        .map(|octet| {
            if unreserved(octet) {
                char::from(octet).to_string()
            } else {
                format!("%{octet:02X}")
            }
        })
        .collect()
}
