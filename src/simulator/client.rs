//! A small client that sends signed calls through every door of the gate, for `tollgate demo` and the tests.
//!
//! It signs with `aws-sigv4` for the AWS host, as the SDKs do, and then speaks to the gate the way each kind of client
//! does: a CONNECT, an absolute-form target, a route below `/service/standard/`, or TLS under the AWS name. It reads
//! answers with the simulator's own reader and shares no code with the proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::reader::{Framing, ReadError, Reader};
pub use samples::samples;
pub use signing::{Credential, SigningError};

mod samples;
mod signing;

/// A way into the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// CONNECT over plain TCP, TLS for the AWS host inside.
    ConnectPlain,
    /// CONNECT inside TLS with the gate, TLS for the AWS host inside that.
    ConnectTls,
    /// Absolute-form inside TLS with the gate.
    ForwardTls,
    /// Absolute-form over plain TCP.
    ForwardPlain,
    /// Below `/service/standard/`, over plain TCP.
    RoutePlain,
    /// Below `/service/standard/`, inside TLS with the gate.
    RouteTls,
    /// TLS with the gate under the name of the AWS host.
    TransparentTls,
}

/// A call to be sent.
#[derive(Clone, Debug)]
pub struct SampleCall {
    /// The way in.
    pub door: Door,
    /// The operation, for display.
    pub operation: &'static str,
    /// The model, for display; empty where an operation has none.
    pub model: &'static str,
    /// The AWS host that the call is signed for.
    pub host: &'static str,
    /// The region in that host's name.
    pub region: &'static str,
    /// The path, encoded once, as it goes on the wire.
    pub path: &'static str,
    /// The body.
    pub body: String,
    /// How the call shows who it is from.
    pub credential: Credential,
}

/// An answer that came to its proper end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleAnswer {
    /// The status.
    pub status: u16,
    /// The fields, names in lower case, in the order they came.
    pub fields: Vec<(String, String)>,
    /// The body, transfer coding removed.
    pub body: Vec<u8>,
}

impl SampleAnswer {
    /// The first value of a field, asked for in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection to the gate, or no TLS with it.
    #[error("no connection to {to}")]
    Connect {
        /// The address or the name.
        to: String,
        /// Why not.
        source: std::io::Error,
    },
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The call could not be signed.
    #[error("the call cannot be signed")]
    Signing(#[from] SigningError),
    /// The gate refused the CONNECT.
    #[error("the gate answered the CONNECT with status {0}")]
    ConnectRefused(u16),
    /// The answer could not be read.
    #[error("the answer cannot be read")]
    Read(#[from] ReadError),
    /// The answer is not HTTP.
    #[error("the answer is not HTTP: {0}")]
    Malformed(&'static str),
    /// The whole call took too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// The name the gate has a certificate for when it is addressed itself.
const GATE_NAME: &str = "localhost";
/// The route that is there by default.
const ROUTE: &str = "/service/standard";
/// How long a call may take in all.
const DEADLINE: Duration = Duration::from_secs(60);
const HEAD_LIMIT: usize = 64 * 1024;
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// Sends `call` through its door, trusting `gate_roots` for the gate and for the names it stands in for.
///
/// # Errors
/// [`ClientError`] when no whole answer came; an answer with an error status is an answer.
pub async fn send(
    gate: SocketAddr,
    gate_roots: Arc<RootCertStore>,
    call: &SampleCall,
) -> Result<SampleAnswer, ClientError> {
    match tokio::time::timeout(DEADLINE, Box::pin(exchange(gate, gate_roots, call))).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(ClientError::TimedOut(DEADLINE)),
    }
}

/// Plain or TLS, and TLS in either.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
type BoxedStream = Box<dyn Stream>;

async fn exchange(
    gate: SocketAddr,
    gate_roots: Arc<RootCertStore>,
    call: &SampleCall,
) -> Result<SampleAnswer, ClientError> {
    let tls = connector(gate_roots)?;
    let stream = open(gate, &tls, call).await?;
    let mut reader = Reader::new(stream, DEADLINE);
    reader.write(&request(call)?).await?;
    let answer = answer(&mut reader).await?;
    reader.close().await;
    Ok(answer)
}

/// Opens the stream that the request goes on.
async fn open(
    gate: SocketAddr,
    tls: &TlsConnector,
    call: &SampleCall,
) -> Result<BoxedStream, ClientError> {
    let tcp = TcpStream::connect(gate)
        .await
        .map_err(|source| ClientError::Connect {
            to: gate.to_string(),
            source,
        })?;
    let tcp: BoxedStream = Box::new(tcp);
    match call.door {
        Door::ForwardPlain | Door::RoutePlain => Ok(tcp),
        Door::ForwardTls | Door::RouteTls => secure(tls, GATE_NAME, tcp).await,
        Door::TransparentTls => secure(tls, call.host, tcp).await,
        Door::ConnectPlain => {
            let tunnel = connect(tcp, call.host).await?;
            secure(tls, call.host, tunnel).await
        }
        Door::ConnectTls => {
            let outer = secure(tls, GATE_NAME, tcp).await?;
            let tunnel = connect(outer, call.host).await?;
            secure(tls, call.host, tunnel).await
        }
    }
}

/// Asks for a tunnel to port 443 of `host`.
async fn connect(stream: BoxedStream, host: &str) -> Result<BoxedStream, ClientError> {
    let mut reader = Reader::new(stream, DEADLINE);
    let head = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
    reader.write(head.as_bytes()).await?;
    let head = reader.head(HEAD_LIMIT).await?.ok_or(ReadError::Cut)?;
    match parse(&head)? {
        (200..=299, _) => Ok(reader.into_stream()?),
        (status, _) => Err(ClientError::ConnectRefused(status)),
    }
}

async fn secure(
    tls: &TlsConnector,
    name: &str,
    stream: BoxedStream,
) -> Result<BoxedStream, ClientError> {
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| rustls::Error::General(format!("{name:?} is not a server name")))?;
    let stream = tls.connect(server_name, stream).await;
    Ok(Box::new(stream.map_err(|source| ClientError::Connect {
        to: name.to_owned(),
        source,
    })?))
}

fn connector(roots: Arc<RootCertStore>) -> Result<TlsConnector, ClientError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The request as this door wants it. Only the start-line differs: `Host` is the AWS host everywhere.
fn request(call: &SampleCall) -> Result<Vec<u8>, ClientError> {
    let signed = signing::sign(call, SystemTime::now())?;
    let target = match call.door {
        Door::ForwardTls | Door::ForwardPlain => format!("https://{}{}", call.host, signed.target),
        Door::RoutePlain | Door::RouteTls => format!("{ROUTE}{}", signed.target),
        Door::ConnectPlain | Door::ConnectTls | Door::TransparentTls => signed.target,
    };
    let mut head = format!("POST {target} HTTP/1.1\r\nHost: {}\r\n", call.host);
    for (name, value) in signed.fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", call.body.len()));
    Ok([head.as_bytes(), call.body.as_bytes()].concat())
}

async fn answer(reader: &mut Reader<BoxedStream>) -> Result<SampleAnswer, ClientError> {
    let (status, fields) = loop {
        let head = reader.head(HEAD_LIMIT).await?.ok_or(ReadError::Cut)?;
        match parse(&head)? {
            // An interim answer goes before the one that counts (RFC 9110 §15.2).
            (100..=199, _) => {}
            parsed => break parsed,
        }
    };
    let mut answer = SampleAnswer {
        status,
        fields,
        body: Vec::new(),
    };
    let framing = match (
        answer.field("transfer-encoding"),
        answer.field("content-length"),
    ) {
        (Some(_), _) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(
            length
                .parse()
                .map_err(|_| ClientError::Malformed("Content-Length is not a number"))?,
        ),
        (None, None) => Framing::UntilClose,
    };
    answer.body = reader.body(framing, BODY_LIMIT).await?.content.to_vec();
    Ok(answer)
}

/// Status and fields of an answer's head.
fn parse(head: &[u8]) -> Result<(u16, Vec<(String, String)>), ClientError> {
    let mut lines = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Response::new(&mut lines);
    let complete = parsed.parse(head).is_ok_and(|status| status.is_complete());
    let Some(status) = parsed.code.filter(|_| complete) else {
        return Err(ClientError::Malformed(
            "the head of the answer is malformed",
        ));
    };
    let text = |field: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_ascii_lowercase(), value)
    };
    Ok((status, parsed.headers.iter().map(text).collect()))
}
