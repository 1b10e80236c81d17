//! hudsucker as a contender of the load benchmark: it intercepts, changes nothing, logs nothing.
//!
//! `hudsucker-peer LISTEN UPSTREAM CA_WITH_KEY`. Every connection goes to UPSTREAM, whatever its name, and is verified
//! with the authority that also issues the certificates shown to clients.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use hudsucker::Proxy;
use hudsucker::certificate_authority::RcgenAuthority;
use hudsucker::hyper::Uri;
use hudsucker::hyper_util::client::legacy::connect::HttpConnector;
use hudsucker::rcgen::{Issuer, KeyPair};
use hudsucker::rustls::crypto::aws_lc_rs;
use hudsucker::rustls::pki_types::CertificateDer;
use hudsucker::rustls::pki_types::pem::PemObject;
use hudsucker::rustls::{ClientConfig, RootCertStore};
use hyper_rustls::HttpsConnectorBuilder;
use tower_service::Service;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let usage = "hudsucker-peer LISTEN UPSTREAM CA_WITH_KEY";
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or(usage);
    let listen: SocketAddr = next()?.parse()?;
    let upstream: SocketAddr = next()?.parse()?;
    let pem = std::fs::read_to_string(next()?)?;

    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(pem.as_bytes())?;
    roots.add(authority.clone())?;
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http1()
        .wrap_connector(Redirect {
            http,
            to: format!("http://{upstream}").parse()?,
        });

    let issuer = Issuer::from_ca_cert_der(&authority, KeyPair::from_pem(&pem)?)?;
    Proxy::builder()
        .with_addr(listen)
        .with_ca(RcgenAuthority::new(issuer, 1000, aws_lc_rs::default_provider()))
        .with_http_connector(connector)
        .build()?
        .start()
        .await?;
    Ok(())
}

/// Leads every connection to one place.
#[derive(Clone)]
struct Redirect {
    http: HttpConnector,
    to: Uri,
}

impl Service<Uri> for Redirect {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = <HttpConnector as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.http.call(self.to.clone())
    }
}
