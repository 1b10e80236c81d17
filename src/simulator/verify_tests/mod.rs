//! The verifier against `aws-sigv4` in the role of each SDK.
//!
//! Here stand the request that a test signs and the call to the judge; the tests are in the files beside.

mod canonical;
mod refusals;
mod sdks;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;

use super::credentials::{
    ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_ACCESS_KEY_ID, SESSION_SECRET_ACCESS_KEY,
    SESSION_TOKEN,
};
use super::fault::Fault;
use super::percent;
use super::received::Received;
use super::verify::Claim;

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const MODEL: &str = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse";
const BODY: &[u8] = br#"{"messages": [{"role": "user", "content": [{"text": "hi"}]}]}"#;

/// 2026-11-22T01:55:26Z.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_312_526)
}

/// A request to be signed.
#[derive(Clone)]
struct Draft {
    method: &'static str,
    host: &'static str,
    target: String,
    /// Sent and signed.
    signed: Vec<(&'static str, String)>,
    /// Sent only.
    unsigned: Vec<(&'static str, String)>,
    body: Vec<u8>,
    session: bool,
    expires: Option<u64>,
    region: &'static str,
    service: &'static str,
}

impl Draft {
    fn new(target: &str) -> Self {
        Self {
            method: "POST",
            host: HOST,
            target: target.to_owned(),
            signed: vec![("content-type", "application/json".to_owned())],
            unsigned: vec![("User-Agent", "Boto3/1.43.11 m/b,D,g,Z".to_owned())],
            body: BODY.to_vec(),
            session: false,
            expires: None,
            region: "us-east-1",
            service: "bedrock",
        }
    }

    fn with(mut self, signed: &[(&'static str, &str)]) -> Self {
        self.signed.extend(
            signed
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        self
    }

    fn session(mut self) -> Self {
        self.session = true;
        self
    }

    fn presigned(mut self, seconds: u64) -> Self {
        self.expires = Some(seconds);
        self
    }

    /// The head with its signature, by `aws-sigv4`.
    fn head(&self) -> Vec<u8> {
        let credentials = if self.session {
            Credentials::from_keys(
                SESSION_ACCESS_KEY_ID,
                SESSION_SECRET_ACCESS_KEY,
                Some(SESSION_TOKEN.to_owned()),
            )
        } else {
            Credentials::from_keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None)
        };
        let identity: Identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        if let Some(seconds) = self.expires {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(seconds));
        }
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(now())
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let unsigned_payload = self
            .signed
            .iter()
            .any(|(_, value)| value == "UNSIGNED-PAYLOAD");
        let body = if unsigned_payload {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Bytes(&self.body)
        };
        let host = [("host", self.host)];
        let fields = self
            .signed
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let uri = format!("https://{}{}", self.host, self.target);
        let request =
            SignableRequest::new(self.method, uri, host.into_iter().chain(fields), body).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let (headers, parameters) = instructions.into_parts();

        let mut target = self.target.clone();
        for (name, value) in parameters {
            let mark = if target.contains('?') { '&' } else { '?' };
            target.push_str(&format!(
                "{mark}{name}={}",
                percent::encode(value.as_bytes(), b"")
            ));
        }
        let mut head = format!(
            "{} {target} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.host
        );
        for (name, value) in self.signed.iter().chain(&self.unsigned) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        for header in headers {
            head.push_str(&format!("{}: {}\r\n", header.name(), header.value()));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn judge_at(head: &[u8], body: &[u8], server_name: &str, now: SystemTime) -> Result<(), Fault> {
    let request = Received::parse(head)?;
    let aliases = ["models.corp.example".to_owned()];
    Claim::check(&request, server_name, &aliases, now)?.settle(&request, body)
}

fn judge(head: &[u8], body: &[u8]) -> Result<(), Fault> {
    judge_at(head, body, HOST, now())
}
