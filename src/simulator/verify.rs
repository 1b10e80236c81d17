//! The verifier: decides whether a request carries a good signature over exactly the octets that arrived.
//!
//! In two steps, because a client that waits for `100 Continue` must hear about everything that does not need the body
//! first. The signature itself is computed again by `aws-sigv4` from the received target, the received values of the
//! headers named in SignedHeaders, and the received body. AWS General Reference, "Signature Version 4".

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest,
    SignatureLocation, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::canonical;
use super::credentials::{BEARER_KEY, Secret, secret_of};
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::percent;
use super::presented::{Place, Presented, SIGNING_PARAMETERS, Signature};
use super::received::Received;
use super::relay;

/// How far a signature's time may be from ours.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// A request that is good as far as its head can tell.
pub(super) enum Claim {
    /// Signed; whether rightly is for [`Claim::settle`] to find out.
    Signed {
        /// What was presented.
        signature: Box<Signature>,
        /// The secret behind its key id.
        secret: Secret,
        /// Its time.
        time: SystemTime,
    },
    /// The bearer key was right; nothing is signed.
    Bearer,
}

impl Claim {
    /// Checks everything that does not need the body.
    pub(super) fn check(
        request: &Received,
        server_name: &str,
        aliases: &[String],
        now: SystemTime,
    ) -> Result<Self, Fault> {
        let presented = Presented::read(request);
        relay::check(
            request,
            presented.as_ref().map_or(&[], Presented::signed_headers),
        )?;
        let host = request.host()?;
        if !host.eq_ignore_ascii_case(server_name) {
            return Err(Fault::invalid_signature(format!(
                "Host is '{host}', but the connection was opened for '{server_name}'."
            )));
        }
        let endpoint = Endpoint::parse(host, aliases).ok_or_else(|| {
            Fault::invalid_signature(format!("Nothing is served under '{host}'."))
        })?;
        match presented? {
            Presented::Bearer(key) if key == BEARER_KEY => Ok(Self::Bearer),
            Presented::Bearer(_) => Err(Fault::front_end(
                "AccessDeniedException",
                "Authentication failed: Please make sure your API Key is valid.",
            )),
            Presented::Signature(signature) => Self::signed(request, signature, &endpoint, now),
        }
    }

    fn signed(
        request: &Received,
        signature: Signature,
        endpoint: &Endpoint,
        now: SystemTime,
    ) -> Result<Self, Fault> {
        let unknown = || {
            Fault::front_end(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        };
        let secret = secret_of(&signature.access_key_id).ok_or_else(unknown)?;
        if secret.session_token != signature.session_token.as_deref() {
            return Err(unknown());
        }
        if !endpoint.takes_region(&signature.region) {
            return Err(Fault::invalid_signature(
                "Credential should be scoped to a valid region.",
            ));
        }
        if !endpoint.takes_service(&signature.service) {
            return Err(Fault::invalid_signature(
                "Credential should be scoped to correct service: 'bedrock'.",
            ));
        }
        let time = timely(&signature, now)?;
        if let Some(name) = signature
            .signed_headers
            .iter()
            .find(|name| !request.has(name))
        {
            return Err(Fault::invalid_signature(format!(
                "The header '{name}' is named in SignedHeaders but is not in the request."
            )));
        }
        Ok(Self::Signed {
            signature: Box::new(signature),
            secret,
            time,
        })
    }

    /// Checks the signature over the whole request.
    pub(super) fn settle(&self, request: &Received, body: &[u8]) -> Result<(), Fault> {
        let Self::Signed {
            signature,
            secret,
            time,
        } = self
        else {
            return Ok(());
        };
        let payload_hash = payload_hash(request, signature, body)?;
        let canonical_request = canonical::canonical_request(request, signature, &payload_hash);
        let string_to_sign = canonical::string_to_sign(signature, &canonical_request);
        let expected =
            recompute(request, signature, *secret, *time, &payload_hash).unwrap_or_else(|| {
                canonical::sign(secret.secret_access_key, signature, &string_to_sign)
            });
        if expected == signature.signature {
            return Ok(());
        }
        Err(mismatch(
            &canonical_request,
            &string_to_sign,
            signature.session_token.as_deref(),
        ))
    }

    /// What to call the caller in the log of requests.
    pub(super) fn caller(&self) -> &str {
        match self {
            Self::Signed { signature, .. } => &signature.access_key_id,
            Self::Bearer => "bearer",
        }
    }
}

/// Computes the signature with `aws-sigv4`; `None` where the crate cannot express the request.
pub(super) fn recompute(
    request: &Received,
    signature: &Signature,
    secret: Secret,
    time: SystemTime,
    payload_hash: &str,
) -> Option<String> {
    // The crate puts U+FFFD for what is not UTF-8, and would take one octet for another.
    String::from_utf8(percent::decode(request.query())).ok()?;
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Enabled;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    // The credentials below come without a token: it is given as what it is on the wire, a header or a parameter.
    settings.session_token_mode = SessionTokenMode::Include;
    // A client may sign what the crate's own signer would leave out.
    settings.excluded_headers = None;
    let target = match signature.place {
        Place::Header => {
            settings.signature_location = SignatureLocation::Headers;
            signed(signature, "x-amz-date").then(|| request.target.clone())?
        }
        Place::Query { expires } => {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(expires));
            if signed(signature, "x-amz-user-agent") || signed(signature, "x-amz-checksum-mode") {
                return None;
            }
            unsigned_target(request)
        }
    };
    let mut headers = Vec::new();
    for name in &signature.signed_headers {
        for value in request.all(name) {
            headers.push((name.as_str(), std::str::from_utf8(value).ok()?));
        }
    }
    let identity: Identity = Credentials::from_keys(
        signature.access_key_id.as_str(),
        secret.secret_access_key,
        None,
    )
    .into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&signature.region)
        .name(&signature.service)
        .time(time)
        .settings(settings)
        .build()
        .ok()?
        .into();
    let body = SignableBody::Precomputed(payload_hash.to_owned());
    // The authority is only there to make a URI: the crate takes the host from the header.
    let signable = SignableRequest::new(
        &request.method,
        format!("https://host{target}"),
        headers.into_iter(),
        body,
    )
    .ok()?;
    Some(sign(signable, &params).ok()?.into_parts().1)
}

fn signed(signature: &Signature, name: &str) -> bool {
    signature.signed_headers.iter().any(|own| own == name)
}

/// The target as it was before a pre-signer added its parameters.
fn unsigned_target(request: &Received) -> String {
    let kept: Vec<&str> = request
        .query()
        .split('&')
        .filter(|pair| {
            let name = percent::decode(pair.split('=').next().unwrap_or_default());
            !SIGNING_PARAMETERS.iter().any(|own| own.as_bytes() == name)
        })
        .collect();
    format!("{}?{}", request.path(), kept.join("&"))
}

/// The payload hash that the canonical request must end in.
fn payload_hash(request: &Received, signature: &Signature, body: &[u8]) -> Result<String, Fault> {
    const NAME: &str = "x-amz-content-sha256";
    let computed = canonical::sha256_hex(body);
    match request.one(NAME) {
        None if request.has(NAME) => Err(Fault::invalid_signature(format!(
            "'{NAME}' is given more than once."
        ))),
        None => Ok(computed),
        Some("UNSIGNED-PAYLOAD") if signed(signature, NAME) => Ok("UNSIGNED-PAYLOAD".to_owned()),
        Some(given) if given == computed => Ok(computed),
        Some(_) => Err(Fault::invalid_signature(format!(
            "The provided '{NAME}' header does not match what was computed."
        ))),
    }
}

/// The signature's time, if it is near enough to now.
fn timely(signature: &Signature, now: SystemTime) -> Result<SystemTime, Fault> {
    let basic = format_description!("[year][month][day]T[hour][minute][second]Z");
    let time = PrimitiveDateTime::parse(&signature.time, &basic)
        .map_err(|_| {
            Fault::front_end(
                "IncompleteSignature",
                "Date must be in ISO-8601 'basic format': YYYYMMDD'T'HHMMSS'Z'.",
            )
        })?
        .assume_utc();
    if !signature.time.starts_with(&signature.date) || signature.date.len() != 8 {
        return Err(Fault::invalid_signature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.",
        ));
    }
    let written = |time: SystemTime| {
        OffsetDateTime::from(time)
            .format(&basic)
            .unwrap_or_default()
    };
    let signed_at = SystemTime::from(time);
    let (life, why) = match signature.place {
        Place::Header => (SKEW, " - 5 min."),
        Place::Query { expires } => (Duration::from_secs(expires), " - X-Amz-Expires"),
    };
    if now.duration_since(signed_at).is_ok_and(|age| age > life) {
        return Err(Fault::invalid_signature(format!(
            "Signature expired: {} is now earlier than {} ({}{why})",
            signature.time,
            written(now - life),
            written(now),
        )));
    }
    if signed_at
        .duration_since(now)
        .is_ok_and(|ahead| ahead > SKEW)
    {
        return Err(Fault::invalid_signature(format!(
            "Signature not yet current: {} is still later than {} ({} + 5 min.)",
            signature.time,
            written(now + SKEW),
            written(now),
        )));
    }
    Ok(signed_at)
}

/// The refusal AWS gives, without the session token that the canonical string holds.
fn mismatch(canonical_request: &[u8], string_to_sign: &str, session_token: Option<&str>) -> Fault {
    let mut canonical = String::from_utf8_lossy(canonical_request).into_owned();
    if let Some(token) = session_token.filter(|token| !token.is_empty()) {
        canonical = canonical.replace(token, "***");
        canonical = canonical.replace(&percent::encode(token.as_bytes(), b""), "***");
    }
    Fault::invalid_signature(format!(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
         and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request \
         should have been\n'{canonical}'\n\nThe String-to-Sign should have been\n'{string_to_sign}'\n"
    ))
}
