//! Upstreams behind a proxy that the network demands: CONNECT through it, and never through ourselves.
//!
//! Everything that leaves goes this way, plain HTTP included: CONNECT is the one request to a proxy that carries any
//! other unchanged. Credentials are shown to the proxy in that request and nowhere else. Which hosts need no proxy is
//! the configuration's business, TLS with the host behind it the dialer's. RFC 9110 §9.3.6, RFC 7617.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::address;
use super::dial::{DialError, Dialer};
use super::stream::{BoxDuplex, Prefixed};
use crate::config::UpstreamProxy;
use crate::wire::http1::{Authority, HeadError, HeadLimits, ResponseHead, Scheme};

/// What a proxy did instead of leading us on, as the rest of a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum ProxyFailure {
    /// There is no connection to it.
    #[error("cannot be reached: {0}")]
    Unreachable(DialError),
    /// It is not who it should be.
    #[error("cannot be verified: {0}; --upstream-ca adds a root to trust")]
    Tls(DialError),
    /// 407.
    #[error("wants credentials for {target} and answered 407: {advice}")]
    Credentials {
        /// Where we wanted to go.
        target: String,
        /// What to do, by what it asks for and what it was given.
        advice: String,
    },
    /// Any other status that is no success.
    #[error("answered {status} to CONNECT {target}")]
    Refused {
        /// Where we wanted to go.
        target: String,
        /// Its answer.
        status: Status,
    },
    /// No answer of HTTP.
    #[error("did not answer CONNECT {target} with HTTP: {why}")]
    Garbage {
        /// Where we wanted to go.
        target: String,
        /// What is wrong with the answer.
        why: HeadError,
    },
    /// The end of the connection instead of an answer.
    #[error("closed the connection instead of answering CONNECT {target}: {why}")]
    Closed {
        /// Where we wanted to go.
        target: String,
        /// How.
        why: io::Error,
    },
    /// No whole answer in time.
    #[error("did not answer CONNECT {target} within {} s", .limit.as_secs_f32())]
    Silent {
        /// Where we wanted to go.
        target: String,
        /// How long we waited.
        limit: Duration,
    },
}

impl ProxyFailure {
    pub(super) fn is_shortage(&self) -> bool {
        matches!(self, Self::Unreachable(error) if error.is_shortage())
    }
}

/// A status with the reason that everybody gives for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let known = StatusCode::from_u16(self.0).ok();
        match known.and_then(|status| status.canonical_reason()) {
            Some(reason) => write!(f, " {reason}"),
            None => Ok(()),
        }
    }
}

/// What a proxy may say before the tunnel stands. Error pages are not read.
const LIMITS: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    field_lines: 64,
};

/// More interim responses than any proxy has reason to send.
const MAX_INTERIM: usize = 8;

/// A stream to `host:port` through `proxy`.
pub(super) async fn connect(
    dialer: &Dialer,
    proxy: &UpstreamProxy,
    host: &str,
    port: u16,
) -> Result<BoxDuplex, DialError> {
    let target = Authority {
        host,
        port: Some(port),
    }
    .to_string();
    let opened = async {
        let mut stream = reach(dialer, proxy).await?;
        // As long as we would take to dial the host ourselves, which is what the proxy does now.
        let limit = 2 * dialer.connect_timeout;
        let asked = ask(&mut stream, proxy, &target);
        let early = timeout(limit, asked).await.unwrap_or_else(|_| {
            Err(ProxyFailure::Silent {
                target: target.clone(),
                limit,
            })
        })?;
        Ok(if early.is_empty() {
            stream
        } else {
            Box::new(Prefixed::new(early.freeze(), stream))
        })
    };
    opened.await.map_err(|why| DialError::Proxy {
        proxy: proxy.to_string(),
        why: Box::new(why),
    })
}

/// A connection to the proxy itself.
async fn reach(dialer: &Dialer, proxy: &UpstreamProxy) -> Result<BoxDuplex, ProxyFailure> {
    let socket = dialer.connect_to_any(&proxy.host, proxy.port).await;
    let socket: BoxDuplex = Box::new(socket.map_err(ProxyFailure::Unreachable)?);
    match proxy.scheme {
        Scheme::Http => Ok(socket),
        Scheme::Https => dialer
            .secure(&proxy.host, socket)
            .await
            .map_err(ProxyFailure::Tls),
    }
}

/// Asks for a tunnel. Returns what came behind the proxy's consent, which is the host's already.
pub(crate) async fn ask(
    stream: &mut BoxDuplex,
    proxy: &UpstreamProxy,
    target: &str,
) -> Result<BytesMut, ProxyFailure> {
    let closed = |why| ProxyFailure::Closed {
        target: target.to_owned(),
        why,
    };
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization.reveal());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(closed)?;
    stream.flush().await.map_err(closed)?;
    let mut buffer = BytesMut::new();
    for _ in 0..=MAX_INTERIM {
        let head = loop {
            let taken = ResponseHead::take(&mut buffer, &LIMITS);
            if let Some(head) = taken.map_err(|why| ProxyFailure::Garbage {
                target: target.to_owned(),
                why,
            })? {
                break head;
            }
            buffer.reserve(1024);
            if stream.read_buf(&mut buffer).await.map_err(closed)? == 0 {
                return Err(closed(io::ErrorKind::UnexpectedEof.into()));
            }
        };
        match head.status() {
            // RFC 9110 §9.3.6: any 2xx, and whatever it says of a length is ignored.
            200..=299 => return Ok(buffer),
            100 | 102..=199 => {}
            407 => {
                return Err(ProxyFailure::Credentials {
                    target: target.to_owned(),
                    advice: advice(&head, proxy.authorization.is_some()),
                });
            }
            status => {
                return Err(ProxyFailure::Refused {
                    target: target.to_owned(),
                    status: Status(status),
                });
            }
        }
    }
    Err(ProxyFailure::Garbage {
        target: target.to_owned(),
        why: HeadError::Grammar("too many interim responses"),
    })
}

/// What to do about a 407. Of what the proxy says only the names of known schemes are repeated: it has just been shown
/// credentials, and could say them again in any other place.
fn advice(head: &ResponseHead, given: bool) -> String {
    let mut schemes: Vec<&str> = head
        .fields()
        .all("proxy-authenticate")
        .filter_map(|value| value.split(|octet| matches!(octet, b' ' | b',')).next())
        .map(|scheme| {
            let known = SCHEMES
                .iter()
                .find(|known| scheme.eq_ignore_ascii_case(known.as_bytes()));
            known.copied().unwrap_or("a scheme of its own")
        })
        .collect();
    schemes.dedup();
    schemes.truncate(MAX_SCHEMES);
    let speaks_basic = schemes.is_empty() || schemes.contains(&BASIC);
    if !speaks_basic {
        format!(
            "it speaks {} and tollgate only Basic; a local relay that speaks it can be named in --upstream-proxy instead",
            schemes.join(" and ")
        )
    } else if given {
        "it does not accept the user and password in --upstream-proxy".to_owned()
    } else {
        "give --upstream-proxy a URL with user and password, http://USER:PASSWORD@HOST:PORT"
            .to_owned()
    }
}

/// Most schemes named.
const MAX_SCHEMES: usize = 4;

const BASIC: &str = "Basic";

/// The schemes that proxies ask for.
const SCHEMES: &[&str] = &[BASIC, "Digest", "Negotiate", "NTLM", "Kerberos", "Bearer"];

/// Whether dialling `proxy` would lead back to `listen`, which we listen on. A name that cannot be resolved now leads
/// nowhere yet.
pub async fn leads_back(proxy: &UpstreamProxy, listen: SocketAddr, limit: Duration) -> bool {
    if proxy.port != listen.port() {
        return false;
    }
    let resolved = tokio::net::lookup_host((proxy.host.as_str(), proxy.port));
    match timeout(limit, resolved).await {
        Ok(Ok(mut addresses)) => addresses.any(|address| address::arrives_at(address, listen)),
        _ => {
            tracing::warn!(%proxy, "the upstream proxy's name cannot be resolved");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_wants_to_know_us_is_explained() {
        let head = |fields: &str| {
            let text = format!("HTTP/1.1 407 Who\r\n{fields}\r\n");
            ResponseHead::take(&mut BytesMut::from(text.as_str()), &LIMITS)
                .unwrap()
                .unwrap()
        };
        let rows = [
            ("", false, "USER:PASSWORD@"),
            (
                "Proxy-Authenticate: Basic realm=\"x\"\r\n",
                false,
                "USER:PASSWORD@",
            ),
            (
                "Proxy-Authenticate: Basic realm=\"x\"\r\n",
                true,
                "does not accept",
            ),
            (
                "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: basic\r\n",
                true,
                "does not accept",
            ),
            (
                "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n",
                true,
                "speaks Negotiate and NTLM",
            ),
        ];
        for (fields, given, wanted) in rows {
            let told = advice(&head(fields), given);
            assert!(told.contains(wanted), "{fields}: {told}");
        }
        let long = format!("Proxy-Authenticate: {}\r\n", "x".repeat(9000));
        assert!(advice(&head(&long), false).len() < 200);
    }
}
