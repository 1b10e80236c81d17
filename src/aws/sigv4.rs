//! Who signed a request and what the signature covers. Reads credentials; never makes or checks a signature.
//!
//! Looks at the `Authorization` field, then at a pre-signed query, then at `x-api-key`, and keeps only what may be
//! written down: the credential scope, the signed header names, a label of a bearer key. Signatures, session tokens and
//! keys are left where they were. Grammar: AWS Signature Version 4 and 4A, RFC 6750 for bearer keys.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::percent;
use super::split::{all, split, split_once};
use crate::wire::http1::RequestHead;

/// What a request shows of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A SigV4 or SigV4A signature.
    SigV4(Signature),
    /// A bearer key, in `Authorization` or `x-api-key`.
    Bearer {
        /// `key-` and twelve hexadecimal digits: the same for the same key, and not reversible.
        label: String,
        /// Whose key made it, where it is a short-term key: that is a pre-signed request, written as base64.
        scope: Option<CredentialScope>,
    },
    /// Credentials of another scheme, malformed ones, or more than one.
    Other,
    /// No credentials.
    None,
}

/// The readable part of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whose key signed, for which day, region and service.
    pub scope: CredentialScope,
    /// The names of the signed headers, in lower case, with `;` between them.
    pub signed_headers: String,
    /// Where the signature stands.
    pub placement: Placement,
    /// SigV4A (`AWS4-ECDSA-P256-SHA256`).
    pub asymmetric: bool,
}

/// Access key id and credential scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialScope {
    /// The access key id; 16 to 128 word characters.
    pub access_key_id: String,
    /// The day, `YYYYMMDD`.
    pub date: String,
    /// The region; SigV4A has none here.
    pub region: Option<String>,
    /// The service's signing name.
    pub service: String,
}

/// Where a signature stands in its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the `Authorization` field.
    Header,
    /// In the query of the request-target: a pre-signed request.
    Query,
}

impl Signature {
    /// Whether the header `name` is signed.
    #[must_use]
    pub fn signs(&self, name: &str) -> bool {
        split(&self.signed_headers, b';').any(|signed| signed.eq_ignore_ascii_case(name))
    }
}

/// Reads the credentials of a request.
#[must_use]
pub fn read(head: &RequestHead) -> Credentials {
    let fields = head.fields();
    if let Some(value) = fields.first(AUTHORIZATION) {
        // Which of two lines a server believes is its own affair; we believe neither.
        return match fields.all(AUTHORIZATION).nth(1) {
            Some(_) => Credentials::Other,
            None => from_authorization(value),
        };
    }
    if let Some(credentials) = from_query(head.target()) {
        return credentials;
    }
    match fields.first(API_KEY) {
        Some(_) if fields.all(API_KEY).nth(1).is_some() => Credentials::Other,
        Some(key) => from_key(key),
        None => Credentials::None,
    }
}

/// The account that a newer access key id encodes; `None` for older ids and for what is no access key id.
///
/// Sixteen base32 characters follow the four-letter prefix. Their first bit marks the newer form, the next forty are
/// the account number. AWS does not document this; the reading is public knowledge and agrees with what STS answers.
#[must_use]
pub fn account_of(access_key_id: &str) -> Option<String> {
    let encoded = ["AKIA", "ASIA"]
        .iter()
        .find_map(|prefix| access_key_id.strip_prefix(prefix))?;
    if encoded.len() != ENCODED_LENGTH {
        return None;
    }
    let bits = encoded.bytes().try_fold(0_u128, |bits, character| {
        Some(bits << 5 | u128::from(base32(character)?))
    })?;
    // 80 bits: marker, account, 39 bits of something else.
    let (marker, account) = (bits >> 79, bits >> 39 & ACCOUNT_MASK);
    (marker == 1 && account <= LAST_ACCOUNT).then(|| format!("{account:012}"))
}

/// Whether an access key id belongs to temporary credentials.
#[must_use]
pub fn is_session(access_key_id: &str) -> bool {
    access_key_id.starts_with("ASIA")
}

/// Whether `credential` is an access key id and its scope, and nothing in it may be a secret.
pub(super) fn is_scope(credential: &str) -> bool {
    [false, true]
        .into_iter()
        .filter_map(|asymmetric| ScopeParts::of(credential, asymmetric))
        .any(|scope| !may_be_secret_key(scope.access_key_id))
}

/// Whether what stands in the place of an access key id may be the secret key instead, which somebody took for it: ids
/// have no lower-case letters, and secret keys are forty characters long.
#[must_use]
pub fn may_be_secret_key(access_key_id: &str) -> bool {
    access_key_id.len() == SECRET_KEY_LENGTH
        && access_key_id
            .bytes()
            .any(|octet| octet.is_ascii_lowercase())
}

const SECRET_KEY_LENGTH: usize = 40;

const AUTHORIZATION: &str = "authorization";
const API_KEY: &str = "x-api-key";
const SYMMETRIC: &str = "AWS4-HMAC-SHA256";
const ASYMMETRIC: &str = "AWS4-ECDSA-P256-SHA256";
const SCOPE_END: &str = "aws4_request";

/// Longest `Credential` that is looked at: a 128-character key id and room for the rest.
const MAX_CREDENTIAL: usize = 320;
/// Twice as many as a head may have field-lines.
const MAX_SIGNED_HEADERS: usize = 256;
/// Longest region or service name in a scope.
const MAX_NAME: usize = 64;

const ENCODED_LENGTH: usize = 16;
const ACCOUNT_MASK: u128 = (1 << 40) - 1;
const LAST_ACCOUNT: u128 = 999_999_999_999;

/// Separates our labels from every other use of the same key.
const LABEL_CONTEXT: &[u8] = b"tollgate bearer key label v1";

fn from_authorization(value: &[u8]) -> Credentials {
    let value = value.trim_ascii();
    let end = value
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(value.len());
    let (scheme, parameters) = value.split_at(end);
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return from_key(parameters);
    }
    let signature = std::str::from_utf8(scheme)
        .ok()
        .and_then(is_asymmetric)
        .zip(std::str::from_utf8(parameters).ok())
        .and_then(|(asymmetric, parameters)| from_parameters(asymmetric, parameters));
    signature.map_or(Credentials::Other, Credentials::SigV4)
}

fn from_parameters(asymmetric: bool, parameters: &str) -> Option<Signature> {
    let mut found = Parameters::default();
    for parameter in split(parameters, b',') {
        let Some((name, value)) = split_once(parameter, b'=') else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        let place = if name.eq_ignore_ascii_case("Credential") {
            &mut found.credential
        } else if name.eq_ignore_ascii_case("SignedHeaders") {
            &mut found.signed_headers
        } else if name.eq_ignore_ascii_case("Signature") {
            &mut found.signature
        } else {
            continue;
        };
        if place.replace(Cow::Borrowed(value)).is_some() {
            return None;
        }
    }
    found.signature(asymmetric, Placement::Header)
}

/// `None` when the query holds no parameter of a pre-signed request.
fn from_query(target: &str) -> Option<Credentials> {
    let (_, query) = split_once(target, b'?')?;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let (mut found, mut algorithm) = (Parameters::default(), None);
    let (mut seen, mut repeated) = (false, false);
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.len() > LONGEST_ESCAPED_NAME {
            continue;
        }
        let place = match percent::decode(name).as_ref() {
            "X-Amz-Algorithm" => &mut algorithm,
            "X-Amz-Credential" => &mut found.credential,
            "X-Amz-SignedHeaders" => &mut found.signed_headers,
            "X-Amz-Signature" => &mut found.signature,
            _ => continue,
        };
        seen = true;
        repeated |= place.replace(percent::decode(value)).is_some();
    }
    if !seen {
        return None;
    }
    let signature = algorithm
        .filter(|_| !repeated)
        .and_then(|algorithm| is_asymmetric(&algorithm))
        .and_then(|asymmetric| found.signature(asymmetric, Placement::Query));
    Some(signature.map_or(Credentials::Other, Credentials::SigV4))
}

/// `X-Amz-SignedHeaders` with every character escaped.
const LONGEST_ESCAPED_NAME: usize = 3 * 19;

#[derive(Default)]
struct Parameters<'a> {
    credential: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
}

impl Parameters<'_> {
    fn signature(self, asymmetric: bool, placement: Placement) -> Option<Signature> {
        self.signature.filter(|value| !value.is_empty())?;
        let scope: CredentialScope = ScopeParts::of(&self.credential?, asymmetric)?.into();
        let names = self.signed_headers?;
        if memchr::memchr_iter(b';', names.as_bytes()).count() >= MAX_SIGNED_HEADERS
            || !split(&names, b';').all(is_header_name)
        {
            return None;
        }
        Some(Signature {
            scope,
            signed_headers: names.to_ascii_lowercase(),
            placement,
            asymmetric,
        })
    }
}

/// A [`CredentialScope`] where it was found.
struct ScopeParts<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: Option<&'a str>,
    service: &'a str,
}

impl<'a> ScopeParts<'a> {
    /// Every part goes into records, so each is held to its alphabet.
    fn of(credential: &'a str, asymmetric: bool) -> Option<Self> {
        if credential.len() > MAX_CREDENTIAL {
            return None;
        }
        let mut parts = split(credential, b'/');
        let (access_key_id, date) = (parts.next()?, parts.next()?);
        let region = if asymmetric {
            None
        } else {
            Some(parts.next()?)
        };
        let (service, end) = (parts.next()?, parts.next()?);
        let well_formed = parts.next().is_none()
            && end == SCOPE_END
            && (16..=128).contains(&access_key_id.len())
            && all(access_key_id, is_word)
            && date.len() == 8
            && all(date, |octet| octet.is_ascii_digit())
            && region.is_none_or(is_name)
            && is_name(service);
        well_formed.then_some(Self {
            access_key_id,
            date,
            region,
            service,
        })
    }
}

impl From<ScopeParts<'_>> for CredentialScope {
    fn from(parts: ScopeParts<'_>) -> Self {
        Self {
            access_key_id: parts.access_key_id.to_owned(),
            date: parts.date.to_owned(),
            region: parts.region.map(str::to_owned),
            service: parts.service.to_owned(),
        }
    }
}

fn is_asymmetric(algorithm: &str) -> Option<bool> {
    if algorithm.eq_ignore_ascii_case(SYMMETRIC) {
        Some(false)
    } else if algorithm.eq_ignore_ascii_case(ASYMMETRIC) {
        Some(true)
    } else {
        None
    }
}

#[inline]
fn is_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_'
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && all(text, |octet| is_word(octet) || octet == b'-')
}

/// A token (RFC 9110 §5.6.2), or one of the pseudo-headers that HTTP/2 clients sign.
fn is_header_name(name: &str) -> bool {
    let token = name.strip_prefix(':').unwrap_or(name);
    !token.is_empty()
        && token
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
}

fn from_key(key: &[u8]) -> Credentials {
    let key = key.trim_ascii();
    if key.is_empty() {
        return Credentials::Other;
    }
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(LABEL_CONTEXT) else {
        return Credentials::Other;
    };
    mac.update(key);
    let digits: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .take(6)
        .map(|octet| format!("{octet:02x}"))
        .collect();
    Credentials::Bearer {
        label: format!("key-{digits}"),
        scope: short_term_scope(key),
    }
}

/// `bedrock-api-key-` and, in base64, `bedrock.amazonaws.com/?…&X-Amz-Credential=…&X-Amz-Signature=…`. Only the scope is
/// taken; signature and session token stay where they are.
fn short_term_scope(key: &[u8]) -> Option<CredentialScope> {
    let encoded = key
        .strip_prefix(SHORT_TERM.as_bytes())
        .filter(|encoded| encoded.len() <= MAX_SHORT_TERM)?;
    let url = STANDARD.decode(encoded).ok()?;
    match from_query(std::str::from_utf8(&url).ok()?)? {
        Credentials::SigV4(signature) => Some(signature.scope),
        _ => None,
    }
}

const SHORT_TERM: &str = "bedrock-api-key-";
/// Longest text after it that is decoded: a session token is a kilobyte or two.
const MAX_SHORT_TERM: usize = 16 * 1024;

/// RFC 4648 §6.
fn base32(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'2'..=b'7' => Some(character - b'2' + 26),
        _ => None,
    }
}
