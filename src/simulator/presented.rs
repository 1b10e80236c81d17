//! The credentials a request presents, taken apart: SigV4 in the Authorization header, SigV4 in the query, or a bearer key.
//!
//! Only form is looked at here; whether the credentials are good is the verifier's business. The messages follow the
//! ones AWS gives, so that a client's handling of them is exercised too.

use std::fmt;

use percent::decode;

use super::fault::Fault;
use super::percent;
use super::received::Received;

/// What a request presents.
pub(super) enum Presented {
    /// A SigV4 signature.
    Signature(Signature),
    /// `Authorization: Bearer`.
    Bearer(String),
}

/// A SigV4 signature and what it claims to cover.
pub(super) struct Signature {
    pub(super) access_key_id: String,
    /// `YYYYMMDD` of the credential scope.
    pub(super) date: String,
    pub(super) region: String,
    pub(super) service: String,
    /// `X-Amz-Date`, from wherever the signature is.
    pub(super) time: String,
    /// Sorted, lower case, `host` among them.
    pub(super) signed_headers: Vec<String>,
    pub(super) signature: String,
    pub(super) session_token: Option<String>,
    pub(super) place: Place,
}

/// Where a signature stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the Authorization header.
    Header,
    /// In the query of a pre-signed request, good for this many seconds.
    Query {
        /// `X-Amz-Expires`.
        expires: u64,
    },
}

/// Whoever tries the simulator with real credentials will not find them in a message.
impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(signature) => f
                .debug_struct("Signature")
                .field("access_key_id", &signature.access_key_id)
                .field("place", &signature.place)
                .finish_non_exhaustive(),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
        }
    }
}

/// The one algorithm.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The query parameters that carry a signature. The token is not among them: it is an ordinary signed parameter.
pub(super) const SIGNING_PARAMETERS: [&str; 6] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// Longest life of a pre-signed request: seven days, in seconds.
const LONGEST_EXPIRY: u64 = 604_800;

impl Presented {
    /// Reads what `request` presents.
    pub(super) fn read(request: &Received) -> Result<Self, Fault> {
        let query = parameter(request, "X-Amz-Signature")?.is_some()
            || parameter(request, "X-Amz-Algorithm")?.is_some();
        match (request.has("authorization"), query) {
            (false, false) => Err(Fault::front_end(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )),
            (true, true) => Err(incomplete(
                "Only one of an Authorization header and a query signature may be given.",
            )),
            (false, true) => in_query(request).map(Self::Signature),
            (true, false) => in_header(request),
        }
    }

    /// The header names a signature covers; none for a bearer key.
    pub(super) fn signed_headers(&self) -> &[String] {
        match self {
            Self::Signature(signature) => &signature.signed_headers,
            Self::Bearer(_) => &[],
        }
    }
}

fn in_header(request: &Received) -> Result<Presented, Fault> {
    let value = request
        .one("authorization")
        .ok_or_else(|| incomplete("The Authorization header must be given once, as text."))?;
    if let Some(key) = value.strip_prefix("Bearer ") {
        return Ok(Presented::Bearer(key.to_owned()));
    }
    let parameters = value
        .strip_prefix(ALGORITHM)
        .filter(|rest| rest.starts_with(' '))
        .ok_or_else(|| incomplete("Unsupported algorithm in the Authorization header."))?;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for parameter in parameters.split(',') {
        let (name, value) = parameter.trim().split_once('=').ok_or_else(|| {
            incomplete("The Authorization header holds a part that is not key=value.")
        })?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => {
                return Err(incomplete(
                    "The Authorization header holds an unknown parameter.",
                ));
            }
        };
        if slot.replace(value).is_some() {
            return Err(incomplete("The Authorization header repeats a parameter."));
        }
    }
    let missing = |name: &str| {
        incomplete(&format!(
            "Authorization header requires '{name}' parameter."
        ))
    };
    let credential = credential.ok_or_else(|| missing("Credential"))?;
    let signed_headers = signed_headers.ok_or_else(|| missing("SignedHeaders"))?;
    let signature = signature.ok_or_else(|| missing("Signature"))?;
    let time = request.one("x-amz-date").ok_or_else(|| {
        incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
    })?;
    let session_token = request.one("x-amz-security-token").map(str::to_owned);
    build(
        credential,
        signed_headers,
        signature,
        time,
        session_token,
        Place::Header,
    )
    .map(Presented::Signature)
}

fn in_query(request: &Received) -> Result<Signature, Fault> {
    let required = |name: &'static str| {
        parameter(request, name)?.ok_or_else(|| {
            incomplete(&format!(
                "AWS query-string parameters must include '{name}'."
            ))
        })
    };
    if required("X-Amz-Algorithm")? != ALGORITHM {
        return Err(incomplete("Unsupported algorithm in X-Amz-Algorithm."));
    }
    let expires = required("X-Amz-Expires")?
        .parse()
        .ok()
        .filter(|&seconds| (1..=LONGEST_EXPIRY).contains(&seconds))
        .ok_or_else(|| incomplete("X-Amz-Expires must be between 1 and 604800 seconds."))?;
    build(
        &required("X-Amz-Credential")?,
        &required("X-Amz-SignedHeaders")?,
        &required("X-Amz-Signature")?,
        &required("X-Amz-Date")?,
        parameter(request, "X-Amz-Security-Token")?,
        Place::Query { expires },
    )
}

fn build(
    credential: &str,
    signed_headers: &str,
    signature: &str,
    time: &str,
    session_token: Option<String>,
    place: Place,
) -> Result<Signature, Fault> {
    let mut parts = credential.split('/');
    let (Some(key), Some(date), Some(region), Some(service), Some("aws4_request"), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(incomplete(
            "Credential must have 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
        ));
    };
    let signed_headers: Vec<String> = signed_headers.split(';').map(str::to_owned).collect();
    if signed_headers.iter().any(|name| name == ":authority") {
        return Err(incomplete(
            "':authority' was signed, but the request did not come over HTTP/2.",
        ));
    }
    if !signed_headers.iter().any(|name| name == "host") {
        return Err(incomplete(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ));
    }
    let orderly = signed_headers.is_sorted_by(|left, right| left < right)
        && signed_headers
            .iter()
            .all(|name| !name.bytes().any(|octet| octet.is_ascii_uppercase()));
    if !orderly {
        return Err(incomplete(
            "SignedHeaders must be sorted, in lower case, each name once.",
        ));
    }
    if signature.len() != 64 || !signature.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return Err(incomplete("Signature must be 64 hexadecimal digits."));
    }
    Ok(Signature {
        access_key_id: key.to_owned(),
        date: date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        time: time.to_owned(),
        signed_headers,
        signature: signature.to_owned(),
        session_token,
        place,
    })
}

/// The decoded value of a query parameter; a repeated one is a fault.
fn parameter(request: &Received, name: &str) -> Result<Option<String>, Fault> {
    let mut found = None;
    for (own, value) in percent::pairs(request.query()) {
        if decode(own) == name.as_bytes() {
            let value = String::from_utf8(decode(value)).map_err(|_| {
                incomplete("A query-string parameter of the signature is not text.")
            })?;
            if found.replace(value).is_some() {
                return Err(incomplete(
                    "A query-string parameter of the signature is repeated.",
                ));
            }
        }
    }
    Ok(found)
}

fn incomplete(message: &str) -> Fault {
    Fault::front_end("IncompleteSignature", message)
}
