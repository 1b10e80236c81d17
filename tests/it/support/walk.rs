//! The gate's own reading of messages without its sockets: heads, routes, edits and body decoders as the walk uses them,
//! fed with pieces of any size.

use bytes::BytesMut;
use tollgate::aws::sigv4::Credentials;
use tollgate::config::HostRules;
use tollgate::net::dial::Origin;
use tollgate::proxy::route::{Route, Rules, Scope, route};
use tollgate::wire::http1::forward::{self, RequestEdits};
use tollgate::wire::http1::{
    BodyDecoder, HeadLimits, MessageFraming, RequestHead, ResponseHead, Scheme,
};

use super::{BEDROCK, shown};

/// What came of a piece of input.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// One message went on as these octets.
    Passed(Vec<u8>),
    /// A head was refused with this status; nothing is read after it.
    Refused(u16),
    /// A body was found to be none after its head and these octets had gone on; nothing is read after it.
    Broken(Vec<u8>),
    /// The input ended inside a message, of which these octets had gone on.
    Unfinished(Vec<u8>),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, octets) = match self {
            Self::Refused(status) => return write!(f, "refused with {status}"),
            Self::Passed(octets) => ("passed", octets),
            Self::Broken(octets) => ("broken after", octets),
            Self::Unfinished(octets) => ("unfinished after", octets),
        };
        write!(f, "{what} {}", shown(&octets[..octets.len().min(300)]))
    }
}

/// The inside of a tunnel for TLS to [`BEDROCK`].
pub(crate) fn tunnel() -> Scope {
    Scope::Tunnel(Origin {
        scheme: Scheme::Https,
        host: BEDROCK.to_owned(),
        port: 443,
    })
}

/// Walks the requests that come in `pieces` within `scope`.
pub(crate) fn requests<'a>(scope: &Scope, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Step> {
    let head = |buffer: &mut BytesMut| {
        let head = RequestHead::take(buffer, &HeadLimits::default());
        match head.map_err(|error| error.status())? {
            None => Ok(None),
            Some(head) => request_begins(scope, &head).map(Some),
        }
    };
    walk(pieces, head)
}

/// Walks the responses to requests with `method` that come in `pieces`.
pub(crate) fn responses<'a>(method: &str, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Step> {
    let head = |buffer: &mut BytesMut| {
        let head = ResponseHead::take(buffer, &HeadLimits::default()).map_err(|_| 503_u16)?;
        let Some(head) = head else {
            return Ok(None);
        };
        let framing = MessageFraming::of_response(&head, method).map_err(|_| 503_u16)?;
        let mut out = Vec::new();
        forward::response_head(&head, &mut out).map_err(|_| 503_u16)?;
        Ok(Some((out, framing.decoder())))
    };
    walk(pieces, head)
}

fn request_begins(scope: &Scope, head: &RequestHead) -> Result<(Vec<u8>, BodyDecoder), u16> {
    let rules = Rules {
        hosts: &HostRules::default(),
        routes: &[],
    };
    let plan = match route(head, scope, rules) {
        Route::Exchange(plan) => plan,
        Route::RefusePlain(reply) | Route::RefuseTyped(reply, _) => return Err(reply.status()),
        Route::Open { .. } | Route::Tunnel { .. } => panic!("CONNECT is walked over sockets"),
    };
    let edits = RequestEdits {
        target: plan.target.as_deref(),
        host: plan.host.as_deref(),
    };
    let signed = |name: &str| matches!(&plan.credentials, Credentials::SigV4(signature) if signature.signs(name));
    let mut out = Vec::new();
    forward::request_head(head, edits, &signed, &mut out).map_err(|_| 400_u16)?;
    Ok((out, plan.framing.decoder()))
}

fn walk<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    begin: impl Fn(&mut BytesMut) -> Result<Option<(Vec<u8>, BodyDecoder)>, u16>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut buffer = BytesMut::new();
    let mut body: Option<(Vec<u8>, BodyDecoder)> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let Some((out, decoder)) = &mut body else {
                match begin(&mut buffer) {
                    Err(status) => {
                        steps.push(Step::Refused(status));
                        return steps;
                    }
                    Ok(None) => break,
                    Ok(begun) => body = begun,
                }
                continue;
            };
            match decoder.push(&buffer, &mut Vec::new()) {
                Err(_) => {
                    steps.push(Step::Broken(std::mem::take(out)));
                    return steps;
                }
                Ok(taken) => out.extend_from_slice(&buffer.split_to(taken)),
            }
            if !decoder.ended() {
                break;
            }
            steps.push(Step::Passed(std::mem::take(out)));
            body = None;
        }
    }
    match body {
        Some((out, _)) => steps.push(Step::Unfinished(out)),
        None if !buffer.is_empty() => steps.push(Step::Unfinished(Vec::new())),
        None => {}
    }
    steps
}
