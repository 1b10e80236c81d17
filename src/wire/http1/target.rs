//! The four forms of the request-target, and authorities. RFC 9112 §3.2.
//!
//! Nothing is decoded or normalised: path and query stay the bytes that were sent. Which form is fit for which place is
//! the router's business.

use std::fmt;

/// A request-target, borrowed from the request-line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RequestTarget<'a> {
    /// `/path?query`
    Origin(&'a str),
    /// `scheme://authority/path?query`; `path` may be empty.
    Absolute {
        /// `http` or `https`.
        scheme: Scheme,
        /// Host and port.
        authority: Authority<'a>,
        /// What follows the authority, as sent.
        path: &'a str,
    },
    /// `host:port`, for CONNECT.
    Authority(Authority<'a>),
    /// `*`, for OPTIONS.
    Asterisk,
}

/// A query may be that of a pre-signed URL, and is not shown.
impl fmt::Debug for RequestTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(path) => f.debug_tuple("Origin").field(&without_query(path)).finish(),
            Self::Absolute {
                scheme,
                authority,
                path,
            } => f
                .debug_struct("Absolute")
                .field("scheme", scheme)
                .field("authority", authority)
                .field("path", &without_query(path))
                .finish(),
            Self::Authority(authority) => f.debug_tuple("Authority").field(authority).finish(),
            Self::Asterisk => f.write_str("Asterisk"),
        }
    }
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

/// The schemes we relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

/// Host and optional port. An IPv6 address stands without its brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as sent.
    pub host: &'a str,
    /// The port, if one was given.
    pub port: Option<u16>,
}

/// Why a request-target or a Host value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// None of the four forms.
    #[error("the request-target is none of the forms of RFC 9112 section 3.2")]
    Form,
    /// A scheme other than http and https.
    #[error("the request-target's scheme is neither http nor https")]
    Scheme,
    /// `user:password@` before the host (RFC 9110 §4.2.4).
    #[error("the authority holds userinfo; send proxy credentials in Proxy-Authorization")]
    UserInfo,
    /// An empty host, or one with octets that no host name has.
    #[error("the host is empty or malformed")]
    Host,
    /// A port that is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Scheme {
    /// 80 or 443.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl<'a> RequestTarget<'a> {
    /// Tells the form of `target` as it stands in a request with `method`.
    ///
    /// # Errors
    /// [`TargetError`] when it is none of the four, or its authority cannot be used.
    pub fn parse(method: &str, target: &'a str) -> Result<Self, TargetError> {
        if method == "CONNECT" {
            return Authority::parse(target).map(Self::Authority);
        }
        if target.starts_with('/') {
            return Ok(Self::Origin(target));
        }
        if target == "*" {
            return if method == "OPTIONS" {
                Ok(Self::Asterisk)
            } else {
                Err(TargetError::Form)
            };
        }
        let (scheme, rest) = target.split_once("://").ok_or(TargetError::Form)?;
        let scheme = if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else {
            return Err(TargetError::Scheme);
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        Ok(Self::Absolute {
            scheme,
            authority: Authority::parse(authority)?,
            path,
        })
    }
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port` or `[v6]:port`.
    ///
    /// # Errors
    /// [`TargetError`] naming the part at fault.
    pub fn parse(text: &'a str) -> Result<Self, TargetError> {
        if text.contains('@') {
            return Err(TargetError::UserInfo);
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or(TargetError::Host)?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| TargetError::Host)?;
            let port = if after.is_empty() {
                None
            } else {
                Some(after.strip_prefix(':').ok_or(TargetError::Port)?)
            };
            (host, port)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (check_name(host)?, Some(port)),
                None => (check_name(text)?, None),
            }
        };
        let port = match port {
            // RFC 3986 §3.2.3 lets the digits be absent.
            None | Some("") => None,
            Some(digits)
                if digits.len() <= 5 && digits.bytes().all(|octet| octet.is_ascii_digit()) =>
            {
                Some(
                    digits
                        .parse()
                        .ok()
                        .filter(|&port| port != 0)
                        .ok_or(TargetError::Port)?,
                )
            }
            Some(_) => return Err(TargetError::Port),
        };
        Ok(Self { host, port })
    }

    /// The port, or the one `scheme` stands for.
    #[must_use]
    pub fn port_or_default(&self, scheme: Scheme) -> u16 {
        match self.port {
            Some(port) => port,
            None => scheme.default_port(),
        }
    }

    /// Whether both name the same place when `scheme` fills in absent ports. Host names compare without case and
    /// without one trailing dot.
    #[must_use]
    pub fn is_same_place(&self, other: &Authority<'_>, scheme: Scheme) -> bool {
        bare(self.host).eq_ignore_ascii_case(bare(other.host))
            && self.port_or_default(scheme) == other.port_or_default(scheme)
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        match self.port {
            Some(port) => write!(f, "{open}{}{close}:{port}", self.host),
            None => write!(f, "{open}{}{close}", self.host),
        }
    }
}

fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

fn check_name(host: &str) -> Result<&str, TargetError> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let is_name = host.bytes().fold(true, |all, octet| all & fits(octet));
    if host.is_empty() || host.len() > 255 || host.starts_with('.') || !is_name {
        return Err(TargetError::Host);
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(host: &str, port: Option<u16>) -> Authority<'_> {
        Authority { host, port }
    }

    #[test]
    fn every_form_is_told() {
        use RequestTarget::{Absolute, Asterisk, Origin};
        let rows: &[(&str, &str, Result<RequestTarget<'_>, TargetError>)] = &[
            ("GET", "/a%2Fb?c#d", Ok(Origin("/a%2Fb?c#d"))),
            ("GET", "//x", Ok(Origin("//x"))),
            ("OPTIONS", "*", Ok(Asterisk)),
            ("GET", "*", Err(TargetError::Form)),
            ("GET", "x", Err(TargetError::Form)),
            (
                "POST",
                "https://h/m%3A0",
                Ok(Absolute {
                    scheme: Scheme::Https,
                    authority: authority("h", None),
                    path: "/m%3A0",
                }),
            ),
            (
                "POST",
                "HTTP://h:80?q",
                Ok(Absolute {
                    scheme: Scheme::Http,
                    authority: authority("h", Some(80)),
                    path: "?q",
                }),
            ),
            (
                "GET",
                "https://[::1]:5/",
                Ok(Absolute {
                    scheme: Scheme::Https,
                    authority: authority("::1", Some(5)),
                    path: "/",
                }),
            ),
            ("GET", "ftp://h/", Err(TargetError::Scheme)),
            ("GET", "https://u:p@h/", Err(TargetError::UserInfo)),
            ("GET", "https:///x", Err(TargetError::Host)),
            (
                "CONNECT",
                "h:443",
                Ok(RequestTarget::Authority(authority("h", Some(443)))),
            ),
            ("CONNECT", "/x", Err(TargetError::Host)),
            ("CONNECT", "h:0", Err(TargetError::Port)),
            ("CONNECT", "h:65536", Err(TargetError::Port)),
            ("CONNECT", "h:+1", Err(TargetError::Port)),
            ("CONNECT", "::1:443", Err(TargetError::Host)),
            ("CONNECT", "[::1]x", Err(TargetError::Port)),
        ];
        for (method, target, want) in rows {
            assert_eq!(
                &RequestTarget::parse(method, target),
                want,
                "{method} {target}"
            );
        }
    }

    #[test]
    fn default_ports_case_and_a_trailing_dot_do_not_make_another_place() {
        let a = Authority::parse("Host.Example.").unwrap();
        assert!(a.is_same_place(
            &Authority::parse("host.example:443").unwrap(),
            Scheme::Https
        ));
        assert!(!a.is_same_place(&Authority::parse("host.example:443").unwrap(), Scheme::Http));
        assert!(!a.is_same_place(
            &Authority::parse("host.example.evil").unwrap(),
            Scheme::Https
        ));
    }
}
