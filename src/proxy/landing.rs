//! What a person sees who opens the client port in a browser: what this is, its certificate, and the lines to paste.
//!
//! Served to GET and HEAD in origin-form whose Host is this machine, as a loopback name or as the address that the
//! connection came in by; a name that somebody else's DNS leads here gets none of it. The page is static but for the
//! version and that Host, says nothing secret, and looks at no credentials. It is no exchange, so nothing is recorded.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::route::{Scope, host_field};
use crate::config::HostRules;
use crate::net::ca_home::CA_PEM;
use crate::net::certificates::{self, CertificateError};
use crate::net::trust::BUNDLE_PEM;
use crate::wire::http1::{Authority, MessageFraming, RequestHead, Scheme};

const PAGE: &str = include_str!("landing.html");

/// How the request got here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    /// The address that the connection came in by.
    pub(super) address: Option<IpAddr>,
    /// By TLS or not.
    pub(super) scheme: Scheme,
}

/// The answer to a request that asks the gate for itself; `None` when it asks for anything else.
pub(super) async fn answer(
    head: &RequestHead,
    scope: &Scope,
    reached: Reached,
    home: &Path,
    hosts: &HostRules,
) -> Option<Vec<u8>> {
    let is_head = match head.method() {
        "GET" => false,
        "HEAD" => true,
        _ => return None,
    };
    if !matches!(scope, Scope::Port { server_name: None }) {
        return None;
    }
    let file = match head.target() {
        "/" => None,
        "/ca.pem" => Some(CA_PEM),
        "/bundle.pem" => Some(BUNDLE_PEM),
        _ => return None,
    };
    // What two readers could read differently is refused like anywhere else.
    MessageFraming::of_request(head).ok()?;
    let host = host_field(head).ok().flatten()?;
    if !is_this_gate(host.host, reached.address) || hosts.is_intercepted(host.host) {
        return None;
    }
    let (fields, body) = match file {
        None => (html_fields(), page(host, reached.scheme)),
        Some(name) => {
            let path = home.join(name);
            let read = tokio::task::spawn_blocking(move || certificates_of(&path)).await;
            let pem = match read {
                Ok(Ok(pem)) => pem,
                Ok(Err(error)) => {
                    tracing::warn!(%error, name, "a certificate cannot be shown in a browser");
                    return None;
                }
                Err(_) => return None,
            };
            let fields = format!(
                "content-type: application/x-pem-file\r\ncontent-disposition: attachment; filename=\"tollgate-{name}\"\r\n"
            );
            (fields, pem)
        }
    };
    tracing::debug!(target = head.target(), "a browser was shown what this is");
    Some(render(&fields, &body, is_head))
}

fn is_this_gate(host: &str, reached: Option<IpAddr>) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: IpAddr| {
            let address = address.to_canonical();
            address.is_loopback()
                || reached.is_some_and(|reached| reached.to_canonical() == address)
        })
}

/// The certificates in a file of the home, written anew, so that nothing else in it could ever be sent.
fn certificates_of(path: &Path) -> Result<String, CertificateError> {
    let chain = certificates::read_chain(path)?;
    Ok(chain
        .iter()
        .map(|certificate| certificates::certificate_pem(certificate))
        .collect())
}

fn page(host: Authority<'_>, scheme: Scheme) -> String {
    let authority = Authority {
        port: Some(host.port_or_default(scheme)),
        ..host
    };
    let gate = escaped(&authority.to_string());
    // The one port speaks both, and what needs no trust yet can be fetched without it.
    let origin = format!("http://{gate}");
    PAGE.replace("{{VERSION}}", env!("CARGO_PKG_VERSION"))
        .replace("{{ORIGIN}}", &origin)
        .replace("{{GATE}}", &gate)
}

/// The grammar of a host has none of these; the page does not rely on it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn html_fields() -> String {
    // The one style sheet is named by its hash; nothing else is loaded, run, framed or submitted.
    static STYLE: LazyLock<String> = LazyLock::new(|| {
        let style = PAGE
            .split_once("<style>")
            .and_then(|(_, rest)| rest.split_once("</style>"))
            .map_or("", |(style, _)| style);
        STANDARD.encode(Sha256::digest(style))
    });
    format!(
        "content-type: text/html; charset=utf-8\r\ncontent-security-policy: default-src 'none'; style-src 'sha256-{}'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
        *STYLE
    )
}

fn render(fields: &str, body: &str, is_head: bool) -> Vec<u8> {
    let mut out = String::with_capacity(512 + body.len());
    let written = write!(
        out,
        "HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\nx-content-type-options: nosniff\r\nreferrer-policy: \
         no-referrer\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        body.len()
    );
    debug_assert!(written.is_ok(), "writing to a String does not fail");
    if !is_head {
        out.push_str(body);
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_is_this_machine_by_any_name_that_nobody_else_can_give_it() {
        let reached = Some("192.0.2.7".parse().unwrap());
        for host in [
            "localhost",
            "LOCALHOST.",
            "gate.localhost",
            "127.0.0.1",
            "127.1.1.1",
            "::1",
            "192.0.2.7",
        ] {
            assert!(is_this_gate(host, reached), "{host}");
        }
        for host in [
            "localhost.evil.example",
            "evil.example",
            "192.0.2.8",
            "2600::1",
            "127.1",
            "",
        ] {
            assert!(!is_this_gate(host, reached), "{host}");
        }
        assert!(!is_this_gate("192.0.2.7", None));
    }

    #[test]
    fn what_stands_in_the_page_is_escaped() {
        assert_eq!(
            escaped("<a href=\"x\">&'"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"
        );
        let host = Authority {
            host: "<script>",
            port: None,
        };
        let page = page(host, Scheme::Https);
        assert!(!page.contains("<script"), "{page}");
        assert!(
            page.contains("HTTPS_PROXY=http://&lt;script&gt;:443"),
            "{page}"
        );
        assert!(!page.contains("{{"), "{page}");
    }
}
