//! What tollgate answers itself, in one table: status, AWS error name, code, and whether the client may go on.
//!
//! Inside an exchange for AWS the answer is one that every SDK turns into its own typed error; on the proxy hop it is
//! plain text. A refusal that a retry cannot help never looks retryable.

use std::io::Write;
use std::time::Duration;

use http::StatusCode;

use crate::aws::inert::Line;
use crate::aws::mask;
use crate::ledger::Outcome;

/// An answer of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which row of the table.
    pub kind: Kind,
    /// For the person who reads the client's error.
    pub message: String,
    /// After how long another try may go better, where the kind of answer allows one.
    pub retry_after: Option<Duration>,
}

/// The rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bytes are not HTTP as we pass it on.
    Malformed,
    /// A head beyond its limits.
    HeadTooLarge,
    /// The request cannot be relayed as it is: its Host, target or signature do not fit where it would go.
    Misdirected,
    /// The signature covers another host than the one the request would be sent to.
    WrongSignedHost,
    /// No route, no upstream, nothing here.
    NotFound,
    /// The host or its address is refused.
    Denied,
    /// The port of a host that is not opened is refused.
    PortDenied,
    /// Who asks has not said who they are, or could not prove it.
    ProxyAuthentication,
    /// Who asks may not do this here.
    AccessDenied,
    /// What may be consumed in a day, a month or as long is consumed.
    BudgetSpent,
    /// What may be consumed in a short time, or at the same time, is.
    RateLimited,
    /// No connection to the upstream, or none that lasted until an answer.
    UpstreamUnreachable,
    /// The upstream's TLS does not verify.
    UpstreamTls,
    /// The upstream answered with something that is not HTTP.
    UpstreamProtocol,
    /// The upstream went silent.
    UpstreamSilent,
    /// No certificate can be shown for a host that is to be opened.
    NoCertificate,
    /// The gate is stopping.
    Stopping,
    /// Nothing can be recorded, and the operator wants nothing served that is not.
    LedgerFailing,
    /// As many connections as there may be.
    Overloaded,
    /// No descriptor is free for the upstream.
    NoDescriptor,
}

/// How one row is answered.
struct Row {
    status: StatusCode,
    error_type: &'static str,
    code: &'static str,
    outcome: Outcome,
}

impl Kind {
    fn row(self) -> Row {
        let row = |status, error_type, code, outcome| Row {
            status,
            error_type,
            code,
            outcome,
        };
        match self {
            Self::Malformed => row(
                StatusCode::BAD_REQUEST,
                "ValidationException",
                "malformed-request",
                Outcome::Refused,
            ),
            Self::HeadTooLarge => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "ValidationException",
                "head-too-large",
                Outcome::Refused,
            ),
            Self::Misdirected => row(
                StatusCode::BAD_REQUEST,
                "ValidationException",
                "misdirected",
                Outcome::Refused,
            ),
            Self::WrongSignedHost => row(
                StatusCode::BAD_REQUEST,
                "ValidationException",
                "wrong-signed-host",
                Outcome::Refused,
            ),
            Self::NotFound => row(
                StatusCode::NOT_FOUND,
                "ResourceNotFoundException",
                "no-route",
                Outcome::Refused,
            ),
            Self::Denied => denied("host-denied"),
            Self::BudgetSpent => denied("budget-spent"),
            Self::RateLimited => row(
                StatusCode::TOO_MANY_REQUESTS,
                "ThrottlingException",
                "rate-limited",
                Outcome::Refused,
            ),
            Self::PortDenied => denied("port-denied"),
            Self::ProxyAuthentication => row(
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                "AccessDeniedException",
                "proxy-authentication",
                Outcome::Refused,
            ),
            Self::AccessDenied => denied("access-denied"),
            Self::UpstreamUnreachable => unavailable("upstream-unreachable"),
            Self::UpstreamTls => unavailable("upstream-tls"),
            Self::UpstreamProtocol => unavailable("upstream-protocol"),
            Self::NoCertificate => unavailable("no-certificate"),
            Self::Stopping => unavailable("stopping"),
            Self::LedgerFailing => Row {
                outcome: Outcome::Refused,
                ..unavailable("ledger-failing")
            },
            Self::Overloaded => Row {
                outcome: Outcome::Refused,
                ..unavailable("overloaded")
            },
            Self::NoDescriptor => unavailable("no-descriptor"),
            Self::UpstreamSilent => row(
                StatusCode::REQUEST_TIMEOUT,
                "ModelTimeoutException",
                "upstream-silent",
                Outcome::Failed,
            ),
        }
    }

    /// After how long another try may go better, where time alone helps.
    fn retry_after(self) -> Option<Duration> {
        matches!(
            self,
            Self::Overloaded | Self::NoDescriptor | Self::RateLimited
        )
        .then_some(SOON)
    }
}

/// Where nobody knows better.
const SOON: Duration = Duration::from_secs(1);

fn denied(code: &'static str) -> Row {
    Row {
        status: StatusCode::FORBIDDEN,
        error_type: "AccessDeniedException",
        code,
        outcome: Outcome::Refused,
    }
}

/// RFC 7617 §2.1: names and passwords are UTF-8.
const CHALLENGE: &str = "proxy-authenticate: Basic realm=\"tollgate\", charset=\"UTF-8\"\r\n";

fn unavailable(code: &'static str) -> Row {
    Row {
        status: StatusCode::SERVICE_UNAVAILABLE,
        error_type: "ServiceUnavailableException",
        code,
        outcome: Outcome::Failed,
    }
}

impl Reply {
    /// A reply of `kind`. A message may repeat what a peer sent, the names in its certificate for one: it goes to a
    /// terminal sooner or later, so it is one line, and drives nothing.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            message: Line(&mask::word(&message)).to_string(),
            retry_after: kind.retry_after(),
        }
    }

    /// The same, to be tried again after `pause`. Only what a retry can help has such a pause.
    #[must_use]
    pub fn after(self, pause: Option<Duration>) -> Self {
        Self {
            retry_after: self.retry_after.map(|soon| pause.unwrap_or(soon)),
            ..self
        }
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind.row().status.as_u16()
    }

    /// The AWS error name.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        self.kind.row().error_type
    }

    /// Our own code, as in `x-tollgate-error`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.row().code
    }

    /// How the exchange ended, seen from the record.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.kind.row().outcome
    }

    /// The answer to a request with `method` inside an exchange for AWS: typed JSON.
    #[must_use]
    pub fn typed(&self, method: &str, request_id: &str, close: bool) -> Vec<u8> {
        let body = serde_json::json!({ "message": self.message }).to_string();
        let error_type = self.error_type();
        let mut aws =
            format!("x-amzn-RequestId: {request_id}\r\nx-amzn-ErrorType: {error_type}\r\n");
        if let Some(pause) = self.retry_after {
            // The SDKs' own field: milliseconds.
            let line = format!("x-amz-retry-after: {}\r\n", ceil(pause, 1_000_000));
            aws.push_str(&line);
        }
        self.render(method, &aws, "application/json", &body, close)
    }

    /// The answer to a request with `method` on the proxy hop: plain text.
    #[must_use]
    pub fn plain(&self, method: &str, close: bool) -> Vec<u8> {
        let body = format!("{}\n", self.message);
        self.render(method, "", "text/plain; charset=utf-8", &body, close)
    }

    fn render(
        &self,
        method: &str,
        fields: &str,
        content_type: &str,
        body: &str,
        close: bool,
    ) -> Vec<u8> {
        let row = self.kind.row();
        let reason = row.status.canonical_reason().unwrap_or_default();
        let connection = if close { "connection: close\r\n" } else { "" };
        // RFC 9110 §10.2.3: whole seconds; one too early would only be refused again.
        let retry = self.retry_after.map_or_else(String::new, |pause| {
            format!("retry-after: {}\r\n", ceil(pause, 1_000_000_000))
        });
        let challenge = match self.kind {
            Kind::ProxyAuthentication => CHALLENGE,
            _ => "",
        };
        // RFC 9110 §9.3.2: an answer to HEAD has the length of a body and no body.
        let sent = if method == "HEAD" { "" } else { body };
        let mut out = Vec::with_capacity(256 + body.len());
        let written = write!(
            out,
            "HTTP/1.1 {} {reason}\r\n{fields}content-type: {content_type}\r\nx-tollgate-error: {}\r\n\
             content-length: {}\r\n{challenge}{retry}{connection}\r\n{sent}",
            row.status.as_u16(),
            row.code,
            body.len(),
        );
        debug_assert!(written.is_ok(), "writing to a Vec does not fail");
        out
    }
}

/// How many times `unit` nanoseconds, rounded up.
fn ceil(pause: Duration, unit: u128) -> u128 {
    pause.as_nanos().div_ceil(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_replies_carry_what_every_sdk_reads() {
        let reply = Reply::new(Kind::Malformed, "a \"quoted\" message");
        let text = String::from_utf8(reply.typed("POST", "id-1", true)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        for line in [
            "x-amzn-RequestId: id-1",
            "x-amzn-ErrorType: ValidationException",
            "content-type: application/json",
            "x-tollgate-error: malformed-request",
            "connection: close",
        ] {
            assert!(head.lines().any(|found| found == line), "{line} in {head}");
        }
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(body).unwrap()["message"],
            "a \"quoted\" message"
        );
    }

    #[test]
    fn a_message_is_one_line_that_drives_nothing_and_gives_nothing_away() {
        let said = "names \u{1b}[2J\r\nx: y\u{202e} and https://me:pw@h/?X-Amz-Signature=1";
        let reply = Reply::new(Kind::UpstreamTls, said);
        assert_eq!(
            reply.message,
            "names \\u{1b}[2J\\r\\nx: y\\u{202e} and https://***@h/?X-Amz-Signature=***"
        );
    }

    #[test]
    fn only_a_407_asks_for_proxy_credentials() {
        let asked = |kind| {
            let text = String::from_utf8(Reply::new(kind, "x").plain("CONNECT", false)).unwrap();
            text.contains("\r\nproxy-authenticate: Basic realm=\"tollgate\", charset=\"UTF-8\"\r\n")
        };
        assert!(asked(Kind::ProxyAuthentication));
        assert!(!asked(Kind::AccessDenied) && !asked(Kind::Denied));
    }

    #[test]
    fn nothing_that_a_retry_cannot_help_looks_retryable() {
        for kind in [
            Kind::Malformed,
            Kind::HeadTooLarge,
            Kind::Misdirected,
            Kind::WrongSignedHost,
            Kind::Denied,
            Kind::ProxyAuthentication,
            Kind::AccessDenied,
            Kind::BudgetSpent,
        ] {
            assert_eq!(Reply::new(kind, "").after(Some(SOON)).retry_after, None);
            let status = Reply::new(kind, "").status();
            assert!((400..500).contains(&status) && status != 429, "{kind:?}");
        }
    }

    #[test]
    fn a_throttle_says_when_to_come_back_in_both_units_and_never_too_early() {
        for (pause, millis, seconds) in [
            (Duration::from_micros(1), 1, 1),
            (Duration::from_millis(1500), 1500, 2),
            (Duration::from_secs(60), 60_000, 60),
        ] {
            let reply = Reply::new(Kind::RateLimited, "").after(Some(pause));
            let text = String::from_utf8(reply.typed("POST", "id-1", false)).unwrap();
            assert!(text.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
            for line in [
                "x-amzn-ErrorType: ThrottlingException".to_owned(),
                "x-tollgate-error: rate-limited".to_owned(),
                format!("x-amz-retry-after: {millis}"),
                format!("retry-after: {seconds}"),
            ] {
                assert!(text.lines().any(|found| found == line), "{line} in {text}");
            }
        }
    }
}
