//! A request head as the simulator reads it: `httparse` and nothing of the proxy's own code.
//!
//! Values are kept as octets, because a signature covers octets. How long the body is stands here too (RFC 9112 §6.3);
//! reading it is left to the reader, judging it to the verifier.

use super::fault::Fault;
use super::reader::Framing;

/// A parsed request head.
pub(super) struct Received {
    pub(super) method: String,
    pub(super) target: String,
    /// Minor version of HTTP/1.
    pub(super) minor: u8,
    /// Names in lower case, values without surrounding whitespace, in the order they came.
    fields: Vec<(String, Vec<u8>)>,
}

const MAX_FIELDS: usize = 256;

impl Received {
    /// Parses a complete head.
    ///
    /// Stricter than AWS: leading empty lines and bare LFs are faults, because no relay may pass them on.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Fault> {
        if !head.first().is_some_and(u8::is_ascii_uppercase) {
            return Err(Fault::validation(
                "the request does not begin with a method",
            ));
        }
        let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut lines);
        let status = parsed.parse(head).map_err(|error| {
            Fault::validation(format!("the request head is malformed: {error}"))
        })?;
        let (httparse::Status::Complete(_), Some(method), Some(target), Some(minor)) =
            (status, parsed.method, parsed.path, parsed.version)
        else {
            return Err(Fault::validation("the request head is incomplete"));
        };
        let fields = parsed
            .headers
            .iter()
            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
            .collect();
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            minor,
            fields,
        })
    }

    /// Every value of `name` (lower case), in order.
    pub(super) fn all<'a, 'name>(
        &'a self,
        name: &'name str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'name> {
        self.fields
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The value of `name` when there is exactly one and it is text.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name);
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        std::str::from_utf8(value).ok()
    }

    /// Whether there is a field `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Every field name, in order, lower case.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// The target up to the question mark.
    pub(super) fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The target after the question mark.
    pub(super) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The host without its port.
    pub(super) fn host(&self) -> Result<&str, Fault> {
        let host = self
            .one("host")
            .ok_or_else(|| Fault::validation("a request needs exactly one Host"))?;
        Ok(host.rsplit_once(':').map_or(host, |(name, _)| name))
    }

    /// Whether the client waits for `100 Continue`.
    pub(super) fn expects_continue(&self) -> bool {
        self.minor > 0
            && self
                .one("expect")
                .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether the connection ends with this exchange.
    pub(super) fn wants_close(&self) -> bool {
        self.minor == 0
            || self.all("connection").any(|value| {
                value
                    .split(|&octet| octet == b',')
                    .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"close"))
            })
    }

    /// How the body is delimited. Whatever two readers could read differently is a fault.
    pub(super) fn framing(&self) -> Result<Framing, Fault> {
        let chunked = self.has("transfer-encoding");
        if chunked && self.has("content-length") {
            return Err(Fault::validation(
                "Transfer-Encoding and Content-Length exclude each other",
            ));
        }
        if chunked {
            return match self.one("transfer-encoding") {
                Some(coding) if coding.eq_ignore_ascii_case("chunked") && self.minor > 0 => {
                    Ok(Framing::Chunked)
                }
                _ => Err(Fault::validation(
                    "the only transfer coding is chunked, once, on HTTP/1.1",
                )),
            };
        }
        if !self.has("content-length") {
            return Ok(Framing::Empty);
        }
        self.one("content-length")
            .filter(|digits| {
                !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit())
            })
            .and_then(|digits| digits.parse().ok())
            .map(Framing::Length)
            .ok_or_else(|| Fault::validation("Content-Length is not one number"))
    }
}
