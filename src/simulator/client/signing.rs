//! Signs a sample call the way SDKs do, with `aws-sigv4`.
//!
//! The result is what goes on the wire besides `Host` and `Content-Length`; the door decides how the target is written.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;

use super::SampleCall;
use crate::simulator::credentials::{
    ACCESS_KEY_ID, BEARER_KEY, SECRET_ACCESS_KEY, SESSION_ACCESS_KEY_ID, SESSION_SECRET_ACCESS_KEY,
    SESSION_TOKEN,
};
use crate::simulator::percent;

/// How a call shows who it is from. The keys are the simulator's published ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Signed in the Authorization header with the long-term key.
    AccessKey,
    /// Signed in the Authorization header with the session key and its token.
    Session,
    /// Signed in the query with the session key, good for five minutes.
    Presigned,
    /// The bearer key; nothing is signed.
    Bearer,
}

/// Why a call could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The signer does not take the request.
    #[error("the signer does not take the request")]
    Sign(#[from] aws_sigv4::http_request::SigningError),
    /// The signer lacks a parameter.
    #[error("the signer lacks a parameter")]
    Parameters(#[from] v4::signing_params::BuildError),
}

/// A signed call.
pub(super) struct Signed {
    /// Path and query.
    pub(super) target: String,
    /// Fields besides `Host` and `Content-Length`.
    pub(super) fields: Vec<(String, String)>,
}

const CONTENT_TYPE: (&str, &str) = ("content-type", "application/json");
const PRESIGNED_LIFE: Duration = Duration::from_secs(300);

/// Signs `call` at `time`.
pub(super) fn sign(call: &SampleCall, time: SystemTime) -> Result<Signed, SigningError> {
    let mut fields = vec![(CONTENT_TYPE.0.to_owned(), CONTENT_TYPE.1.to_owned())];
    let mut settings = SigningSettings::default();
    let credentials = match call.credential {
        Credential::Bearer => {
            fields.push(("authorization".to_owned(), format!("Bearer {BEARER_KEY}")));
            let target = call.path.to_owned();
            return Ok(Signed { target, fields });
        }
        Credential::AccessKey => Credentials::from_keys(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None),
        Credential::Session | Credential::Presigned => Credentials::from_keys(
            SESSION_ACCESS_KEY_ID,
            SESSION_SECRET_ACCESS_KEY,
            Some(SESSION_TOKEN.to_owned()),
        ),
    };
    if call.credential == Credential::Presigned {
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(PRESIGNED_LIFE);
    }
    let identity: Identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(call.region)
        .name("bedrock")
        .time(time)
        .settings(settings)
        .build()?
        .into();
    let signable = SignableRequest::new(
        "POST",
        format!("https://{}{}", call.host, call.path),
        [CONTENT_TYPE].into_iter(),
        SignableBody::Bytes(call.body.as_bytes()),
    )?;
    let (instructions, _signature) = aws_sigv4::http_request::sign(signable, &params)?.into_parts();
    let (signed_fields, parameters) = instructions.into_parts();
    for field in signed_fields {
        fields.push((field.name().to_owned(), field.value().to_owned()));
    }
    let query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", percent::encode(value.as_bytes(), b"")))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(Signed {
        target: format!("{}{mark}{}", call.path, query.join("&")),
        fields,
    })
}
