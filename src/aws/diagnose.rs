//! Why AWS did not take a request's credentials, as far as its head tells.
//!
//! Looks for contradictions between what was signed, what was sent, where it went, and the clocks. Finding none means
//! nothing: a wrong secret key cannot be seen from here. Makes no signature and keeps no secret. The rules are those of
//! AWS Signature Version 4; the codes are published, and stay.

use std::fmt;

use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::endpoint::Endpoint;
use super::percent;
use super::sigv4::{self, CredentialScope, Credentials, Placement, Signature};
use crate::wire::http1::{Authority, RequestHead, Scheme};

/// What AWS said to a request, and when.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The status of the answer.
    pub status: u16,
    /// Its error type, without a namespace.
    pub error_type: Option<&'a str>,
    /// Its `Date`: what AWS's clock showed.
    pub date: Option<OffsetDateTime>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There are no credentials at all.
    NotSigned,
    /// It was signed too long before or after AWS saw it.
    ClockSkew {
        /// Seconds by which the signer's clock is ahead of AWS's; of ours, if AWS did not tell the time.
        ahead: i64,
        /// Seconds by which the signer's clock is ahead of ours.
        ahead_of_us: i64,
    },
    /// A pre-signed request came after its time.
    Expired {
        /// Seconds since then.
        ago: i64,
    },
    /// The day in the scope is not the day of the request.
    DateScope {
        /// The day in the credential scope.
        scope: String,
        /// The day of the request's own date.
        date: String,
    },
    /// The scope names another region than the host.
    ScopeRegion {
        /// The region in the credential scope.
        scope: String,
        /// The region of the host.
        host: String,
    },
    /// The scope names another service than the host's.
    ScopeService {
        /// The service in the credential scope.
        scope: String,
        /// The signing name of the host's service.
        host: &'static str,
    },
    /// Host is not among the signed headers.
    HostNotSigned,
    /// The Host that was signed is not the host that it was sent to.
    SignedHostDiffers {
        /// The value that was signed.
        signed: String,
        /// Where it was sent.
        sent_to: String,
    },
    /// Session credentials without their token, or with one that the signature does not cover.
    SessionTokenUnsigned {
        /// Whether the token is there.
        present: bool,
    },
    /// Headers that the signature names and the request does not have.
    SignedHeaderMissing {
        /// Their names.
        names: Vec<String>,
    },
}

/// AWS takes a signature for this long before and after its date.
const TOLERANCE: i64 = 5 * 60;

/// Most missing headers named.
const MAX_NAMED: usize = 8;

/// The types by which AWS refuses credentials, rather than what they ask for.
const ABOUT_CREDENTIALS: [&str; 14] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
    "UnrecognizedClientException",
];

impl Refusal<'_> {
    /// Whether this is about the credentials.
    #[must_use]
    pub fn is_about_credentials(&self) -> bool {
        (400..=403).contains(&self.status)
            && self
                .error_type
                .is_some_and(|error_type| ABOUT_CREDENTIALS.contains(&error_type))
    }
}

/// What is wrong with the request `head` that was sent to `host` and refused. `now` is our own clock.
#[must_use]
pub fn diagnose(
    head: &RequestHead,
    host: &str,
    refusal: &Refusal<'_>,
    now: OffsetDateTime,
) -> Vec<Finding> {
    if !refusal.is_about_credentials() {
        return Vec::new();
    }
    let endpoint = Endpoint::parse(host);
    let mut findings = Vec::new();
    match sigv4::read(head) {
        Credentials::SigV4(signature) => {
            let request = Request {
                head,
                host,
                signature: &signature,
            };
            findings.extend(request.times(refusal.date, now));
            findings.extend(endpoint.as_ref().and_then(|endpoint| {
                let scope = &signature.scope.service;
                let host = endpoint.service.signing_name();
                (scope != host).then(|| Finding::ScopeService {
                    scope: scope.clone(),
                    host,
                })
            }));
            findings.extend(wrong_region(&signature.scope, endpoint.as_ref()));
            findings.extend(request.host());
            findings.extend(request.session_token());
            findings.extend(request.missing_headers());
        }
        Credentials::Bearer { scope, .. } => {
            let scope = scope.as_ref();
            findings.extend(scope.and_then(|scope| wrong_region(scope, endpoint.as_ref())));
        }
        Credentials::None => findings.push(Finding::NotSigned),
        Credentials::Other => {}
    }
    findings
}

struct Request<'a> {
    head: &'a RequestHead,
    host: &'a str,
    signature: &'a Signature,
}

impl Request<'_> {
    /// What was said in the field `name`, or in the query of a pre-signed request.
    fn said(&self, name: &str) -> Option<String> {
        match self.signature.placement {
            Placement::Header => self.head.fields().text_of(name).map(str::to_owned),
            Placement::Query => {
                let (_, query) = self.head.target().split_once('?')?;
                let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
                let (_, value) = parameters
                    .find(|(found, _)| percent::decode(found).eq_ignore_ascii_case(name))?;
                Some(percent::decode(value).into_owned())
            }
        }
    }

    fn times(&self, aws: Option<OffsetDateTime>, now: OffsetDateTime) -> Vec<Finding> {
        let date = self.said("x-amz-date").and_then(|date| basic_date(&date));
        let Some(signed) = date.or_else(|| self.said("date").and_then(|date| http_date(&date)))
        else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        let seen = aws.unwrap_or(now);
        let lifetime = match self.signature.placement {
            Placement::Header => None,
            Placement::Query => self
                .said("x-amz-expires")
                .and_then(|text| text.parse().ok()),
        };
        let ahead = (signed - seen).whole_seconds();
        let tolerated = match lifetime {
            None => (-TOLERANCE..=TOLERANCE).contains(&ahead),
            // A pre-signed request may be old, but not from the future.
            Some(_) => ahead <= TOLERANCE,
        };
        if !tolerated {
            findings.push(Finding::ClockSkew {
                ahead,
                ahead_of_us: (signed - now).whole_seconds(),
            });
        }
        let expiry = lifetime
            .and_then(|seconds: u32| signed.checked_add(Duration::seconds(i64::from(seconds))));
        if let Some(ago) = expiry.map(|expiry| (seen - expiry).whole_seconds())
            && ago > 0
        {
            findings.push(Finding::Expired { ago });
        }
        let scope = &self.signature.scope.date;
        let day = format_description!("[year][month][day]");
        if let Ok(date) = signed.format(day)
            && date != *scope
        {
            findings.push(Finding::DateScope {
                scope: scope.clone(),
                date,
            });
        }
        findings
    }

    fn host(&self) -> Option<Finding> {
        if !self.signature.signs("host") {
            // HTTP/2 clients sign this instead; it is then a header that is not there.
            return (!self.signature.signs(":authority")).then_some(Finding::HostNotSigned);
        }
        let signed = self.head.fields().text_of("host")?;
        let found = Authority::parse(signed).ok()?;
        let port = found.port;
        let sent_to = Authority {
            host: self.host,
            port,
        };
        (!found.is_same_place(&sent_to, Scheme::Https)).then(|| Finding::SignedHostDiffers {
            signed: signed.to_owned(),
            sent_to: self.host.to_owned(),
        })
    }

    fn session_token(&self) -> Option<Finding> {
        if !sigv4::is_session(&self.signature.scope.access_key_id) {
            return None;
        }
        let present = self.said(TOKEN).is_some();
        // In a query every parameter is signed.
        let signed = self.signature.placement == Placement::Query || self.signature.signs(TOKEN);
        (!present || !signed).then_some(Finding::SessionTokenUnsigned { present })
    }

    fn missing_headers(&self) -> Option<Finding> {
        let fields = self.head.fields();
        let names: Vec<String> = self
            .signature
            .signed_headers
            .split(';')
            // An absent token is a finding of its own.
            .filter(|name| fields.first(name).is_none() && *name != TOKEN)
            .take(MAX_NAMED)
            .map(str::to_owned)
            .collect();
        (!names.is_empty()).then_some(Finding::SignedHeaderMissing { names })
    }
}

const TOKEN: &str = "x-amz-security-token";

fn wrong_region(scope: &CredentialScope, endpoint: Option<&Endpoint>) -> Option<Finding> {
    let (scope, host) = (scope.region.as_ref()?, &endpoint?.region);
    (scope != host).then(|| Finding::ScopeRegion {
        scope: scope.clone(),
        host: host.clone(),
    })
}

/// `20261122T015526Z`
fn basic_date(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let date = PrimitiveDateTime::parse(text.trim(), format).ok()?;
    Some(date.assume_utc())
}

/// IMF-fixdate (RFC 9110 §5.6.7): `Sun, 22 Nov 2026 01:55:26 GMT`
#[must_use]
pub fn http_date(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = PrimitiveDateTime::parse(text.trim(), format).ok()?;
    Some(date.assume_utc())
}

impl Finding {
    /// The code that records carry.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotSigned => "not-signed",
            Self::ClockSkew { .. } => "clock-skew",
            Self::Expired { .. } => "expired",
            Self::DateScope { .. } => "date-scope",
            Self::ScopeRegion { .. } => "scope-region",
            Self::ScopeService { .. } => "scope-service",
            Self::HostNotSigned => "host-not-signed",
            Self::SignedHostDiffers { .. } => "signed-host-differs",
            Self::SessionTokenUnsigned { .. } => "session-token-unsigned",
            Self::SignedHeaderMissing { .. } => "signed-header-missing",
        }
    }
}

/// What is wrong and what to do, for a person.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSigned => f.write_str(
                "the request carries no signature and no API key: give the client credentials, or look for what takes \
                 the Authorization field away before it gets here",
            ),
            Self::ClockSkew { ahead, ahead_of_us } => {
                let by = |ahead: i64| match ahead {
                    0.. => format!("{ahead} s ahead of"),
                    _ => format!("{} s behind", ahead.unsigned_abs()),
                };
                write!(
                    f,
                    "the signer's clock is {} AWS's and {} this machine's, and AWS tolerates {TOLERANCE} s: set the \
                     clock, and sign again instead of keeping signed requests",
                    by(*ahead),
                    by(*ahead_of_us)
                )
            }
            Self::Expired { ago } => write!(
                f,
                "the pre-signed request expired {ago} s ago: sign it again, or with a longer X-Amz-Expires"
            ),
            Self::DateScope { scope, date } => write!(
                f,
                "the credential scope is of {scope} and the request of {date}: derive both from the same moment, in UTC"
            ),
            Self::ScopeRegion { scope, host } => write!(
                f,
                "it was signed for the region {scope} and sent to {host}: set AWS_REGION or the client's region to {host}"
            ),
            Self::ScopeService { scope, host } => write!(
                f,
                "it was signed for the service {scope} and this host wants {host}: set the signer's service name"
            ),
            Self::HostNotSigned => {
                f.write_str("the signature does not cover Host, which AWS demands: sign it")
            }
            Self::SignedHostDiffers { signed, sent_to } => write!(
                f,
                "it was signed for the host {signed} and sent to {sent_to}: sign for {sent_to}"
            ),
            Self::SessionTokenUnsigned { present: false } => f.write_str(
                "the access key belongs to a session and its token is missing: give the client AWS_SESSION_TOKEN as well",
            ),
            Self::SessionTokenUnsigned { present: true } => f.write_str(
                "the session token is not covered by the signature: set x-amz-security-token before signing",
            ),
            Self::SignedHeaderMissing { names } => write!(
                f,
                "the signature covers headers that are not there ({}): something between signer and tollgate took them \
                 away, or they were never sent",
                names.join(", ")
            ),
        }
    }
}
