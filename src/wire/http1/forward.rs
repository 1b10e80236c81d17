//! The head for the next hop: the received bytes minus a short list of edits, and nothing else.
//!
//! The whole list:
//!
//! 1. the request-target becomes origin-form (absolute-form, route prefix), path and query bytes unchanged: RFC 9112 §3.2.1;
//! 2. field-lines for one hop are dropped, those that `Connection` names included: RFC 9110 §7.6.1;
//! 3. field-lines meant for a proxy are dropped: RFC 9110 §11.7;
//! 4. a route's own Host, when nothing has signed it, becomes the upstream's: RFC 9110 §7.2.
//!
//! Nothing is added, merged, re-cased, re-ordered or re-encoded. A line that a signature names is not for dropping: the
//! request is refused instead.

use super::fields::{FieldLine, FieldLines};
use super::head::{MAX_FIELD_LINES, RequestHead, ResponseHead};

/// Lines for one hop only, in either direction.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "upgrade",
];
/// Lines for a proxy only.
const FOR_PROXY: &[&str] = &[
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-authentication-info",
];
/// Lines that carry the message itself; `Connection` may not name them away.
const END_TO_END: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "authorization",
];

/// The edits to a request head that depend on how it came.
#[derive(Clone, Copy, Default)]
pub struct RequestEdits<'a> {
    /// Edit 1: the origin-form to send instead of the received target.
    pub target: Option<&'a str>,
    /// Edit 4: the Host to send instead of the received one.
    pub host: Option<&'a str>,
}

/// A rule demands what a signature forbids, or what would change the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The line is hop-by-hop and signed.
    #[error("the signature covers `{0}`, which is for one hop only and cannot be passed on")]
    SignedHopByHop(String),
    /// `Connection` names a line of the message itself.
    #[error("Connection names `{0}`, which belongs to the message")]
    ConnectionNames(String),
    /// `Connection` names more than a head may have.
    #[error("Connection has more than {MAX_FIELD_LINES} options")]
    TooManyOptions,
}

/// The request head for the upstream. `signed` tells whether the request's signature names a field (lower case).
///
/// # Errors
/// [`EditError`] when a line would have to be dropped that may not be.
pub fn request_head(
    head: &RequestHead,
    edits: RequestEdits<'_>,
    signed: &dyn Fn(&str) -> bool,
    out: &mut Vec<u8>,
) -> Result<(), EditError> {
    let fields = head.fields();
    out.reserve(fields.bytes().len());
    match edits.target {
        None => out.extend_from_slice(fields.start_line()),
        Some(target) => {
            let line = fields.start_line();
            let version = line
                .get(line.len().saturating_sub(VERSION_CRLF)..)
                .unwrap_or_default();
            out.extend_from_slice(head.method().as_bytes());
            out.push(b' ');
            out.extend_from_slice(target.as_bytes());
            out.push(b' ');
            out.extend_from_slice(version);
        }
    }
    let named = named_by_connection(fields)?;
    for line in fields.iter() {
        if is_dropped(&line, &named) {
            let name = String::from_utf8_lossy(line.name).to_ascii_lowercase();
            if signed(&name) {
                return Err(EditError::SignedHopByHop(name));
            }
        } else if let (true, Some(host)) = (line.is("host"), edits.host) {
            out.extend_from_slice(line.name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(host.as_bytes());
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(line.raw);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The response head for the client.
///
/// # Errors
/// [`EditError`] when the upstream asks for a line of the message to be dropped, or for too much.
pub fn response_head(head: &ResponseHead, out: &mut Vec<u8>) -> Result<(), EditError> {
    let fields = head.fields();
    let named = named_by_connection(fields)?;
    out.reserve(fields.bytes().len());
    out.extend_from_slice(fields.start_line());
    for line in fields.iter().filter(|line| !is_dropped(line, &named)) {
        out.extend_from_slice(line.raw);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `HTTP/1.x` and CRLF at the end of a request-line.
const VERSION_CRLF: usize = 10;

fn is_dropped(line: &FieldLine<'_>, named: &[&[u8]]) -> bool {
    HOP_BY_HOP.iter().any(|name| line.is(name))
        || FOR_PROXY.iter().any(|name| line.is(name))
        || named
            .iter()
            .any(|name| name.len() == line.name.len() && line.name.eq_ignore_ascii_case(name))
}

fn named_by_connection(fields: &FieldLines) -> Result<Vec<&[u8]>, EditError> {
    let mut named = Vec::new();
    for value in fields.all("connection") {
        for option in value.split(|&octet| octet == b',').map(<[u8]>::trim_ascii) {
            if END_TO_END
                .iter()
                .any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
            {
                return Err(EditError::ConnectionNames(
                    String::from_utf8_lossy(option).to_ascii_lowercase(),
                ));
            }
            // The two common options name no field.
            if !option.is_empty() && !option.eq_ignore_ascii_case(b"close") {
                named.push(option);
            }
        }
    }
    // Every line is compared with every name.
    if named.len() > MAX_FIELD_LINES {
        return Err(EditError::TooManyOptions);
    }
    Ok(named)
}
