//! The longer explanations that refusals carry: what is wrong, and the setting that mends it.
//!
//! They reach a person as the message of an SDK's exception. Everything a peer sent that stands in them has passed the
//! grammar of a host name.

use std::path::Path;

use rustls::AlertDescription;

use crate::wire::http1::Authority;

/// An SDK whose endpoint URL was set to our address.
pub(super) fn endpoint_url(host: Option<Authority<'_>>) -> String {
    let host = host.map_or_else(|| "this address".to_owned(), |host| host.to_string());
    format!(
        "this request was signed for {host}, which is tollgate and not AWS, so AWS would refuse its signature. Do not \
         set endpoint_url; keep the AWS endpoint and set the proxy instead: HTTPS_PROXY=http://{host}, or in boto3 \
         Config(proxies={{'https': 'http://{host}'}})"
    )
}

/// A signature over another host than `upstream`, where the request would go.
pub(super) fn wrong_signed_host(host: Option<Authority<'_>>, upstream: &str) -> String {
    let sent = host.map_or_else(|| "no Host".to_owned(), |host| format!("Host: {host}"));
    let proxy = host.map_or_else(|| "127.0.0.1:5380".to_owned(), |host| host.to_string());
    format!(
        "the signature covers the host and the request says {sent}, but it would be sent to {upstream}, which would \
         refuse it. With an SDK, do not set endpoint_url; set HTTPS_PROXY=http://{proxy} (boto3: \
         Config(proxies={{'https': 'http://{proxy}'}})). With a request signed by hand, sign for {upstream} and send \
         the field Host: {upstream} along"
    )
}

/// A route that leads nowhere for this request.
pub(super) fn route_without_upstream(prefix: &str) -> String {
    format!(
        "the route {prefix} does not know where this request goes: its Host is not a Bedrock endpoint and the route has \
         no upstream. Send the field Host: bedrock-runtime.REGION.amazonaws.com that was signed, or set \
         AISERVICE_API_BASE or the route's `upstream`. An SDK should not have its endpoint_url set to tollgate: set \
         HTTPS_PROXY instead"
    )
}

/// A client that does not trust our certificate: what it reads to be told otherwise, the likeliest first. `alert` is how
/// it said so, if it did; `port` is whether it was the certificate of the port itself, not that of a host.
pub(super) fn distrust(alert: Option<AlertDescription>, port: bool, home: &Path) -> String {
    let home = home.display();
    // Seen with Node.js 20, OpenJDK 17, CPython 3.11 and curl 7.88. Go was not run: its crypto/tls answers every chain that
    // it cannot verify with bad_certificate (handshake_client.go, verifyServerCertificate).
    let likely = match alert {
        None => format!(
            "the client left without a word when it saw our certificate; Node.js does that when it does not trust it: \
             NODE_EXTRA_CA_CERTS={home}/ca.pem"
        ),
        Some(AlertDescription::CertificateUnknown) => format!(
            "the client does not trust our certificate, in the words of Java and of browsers: import {home}/ca.pem into \
             Java's trust store (-Djavax.net.ssl.trustStore) or the system's"
        ),
        Some(AlertDescription::BadCertificate) => format!(
            "the client does not trust our certificate, in the words of Go: SSL_CERT_FILE={home}/bundle.pem"
        ),
        Some(_) => format!(
            "the client does not trust our certificate: AWS_CA_BUNDLE={home}/bundle.pem is what the AWS CLI and boto3 read"
        ),
    };
    let outer = if port {
        " If it was sent here by an https:// proxy URL: for that, boto3 reads proxies_config={'proxy_ca_bundle': …} and curl \
         --proxy-cacert; an http:// URL of the same port needs neither."
    } else {
        ""
    };
    format!(
        "{likely}.{outer} Settings that replace the roots take {home}/bundle.pem: AWS_CA_BUNDLE (AWS CLI, boto3), \
         SSL_CERT_FILE (httpx, anthropic, openai, Go, Ruby, OpenSSL), REQUESTS_CA_BUNDLE (requests), CURL_CA_BUNDLE (curl). \
         Settings that add a root take {home}/ca.pem: NODE_EXTRA_CA_CERTS (Node.js), DENO_CERT (Deno), --cacert"
    )
}

/// For whoever comes without a proxy request.
pub(super) const WHAT_THIS_IS: &str = "this is tollgate, a proxy for AWS Bedrock Runtime; nothing is served at this path. Set \
HTTPS_PROXY to this address, or POST a signed request to /service/standard/model/MODEL-ID/invoke";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_distrust_names_what_is_read() {
        let rows = [
            (None, "Node.js does that"),
            (Some(AlertDescription::CertificateUnknown), "Java"),
            (Some(AlertDescription::BadCertificate), "of Go"),
            (Some(AlertDescription::UnknownCA), "boto3 read"),
        ];
        for (alert, wanted) in rows {
            for port in [false, true] {
                let told = distrust(alert, port, Path::new("/home/gate"));
                assert!(told.contains(wanted), "{told}");
                assert_eq!(told.contains("--proxy-cacert"), port, "{told}");
                for file in ["/home/gate/bundle.pem", "/home/gate/ca.pem"] {
                    assert!(told.contains(file), "{told}");
                }
            }
        }
    }
}
