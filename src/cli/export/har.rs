//! One exchange as an entry of an HTTP archive (HAR 1.2).
//!
//! Method, URL and header fields come from the heads as they were kept: masked, and perhaps not at all. A HAR has no way
//! to say "unknown", so an empty text, status 0 and size −1 stand for it, as the format's own writers do. The record
//! itself goes along under `_tollgate`, with everything a HAR has no name for.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::super::show::coding;
use crate::ledger::{self, Payload, UsageRecord};

/// `log.entries[]`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    started_date_time: &'a str,
    time: f64,
    request: Request<'a>,
    response: Response<'a>,
    cache: Empty,
    timings: Timings,
    #[serde(rename = "_tollgate")]
    tollgate: &'a UsageRecord,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: String,
    url: String,
    http_version: String,
    cookies: [Empty; 0],
    headers: Vec<Pair>,
    query_string: Vec<Pair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData<'a>>,
    headers_size: i64,
    body_size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    status: u16,
    status_text: String,
    http_version: String,
    cookies: [Empty; 0],
    headers: Vec<Pair>,
    content: Content<'a>,
    #[serde(rename = "redirectURL")]
    redirect_url: String,
    headers_size: i64,
    body_size: u64,
}

#[derive(Serialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'a> {
    mime_type: String,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    size: u64,
    mime_type: String,
    #[serde(flatten)]
    body: Option<Body<'a>>,
}

/// Text as it is; what is no text in base64.
#[derive(Serialize)]
struct Body<'a> {
    text: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// Milliseconds. When the request's last byte had left is not recorded: waiting begins with the request.
#[derive(Serialize)]
struct Timings {
    send: f64,
    wait: f64,
    receive: f64,
}

/// A stored head in its parts; it may be cut or masked, so nothing is refused.
struct Head {
    start: [String; 3],
    fields: Vec<Pair>,
}

impl<'a> Entry<'a> {
    /// The entry of `record`; `bodies`: those in `payload` were asked for.
    pub(super) fn new(record: &'a UsageRecord, payload: &'a Payload, bodies: bool) -> Self {
        let wait = record.first_byte_ms.unwrap_or(record.duration_ms);
        Self {
            started_date_time: &record.time,
            time: record.duration_ms,
            request: Request::new(record, payload, bodies),
            response: Response::new(record, payload, bodies),
            cache: Empty {},
            timings: Timings {
                send: 0.0,
                wait,
                receive: (record.duration_ms - wait).max(0.0),
            },
            tollgate: record,
        }
    }
}

impl<'a> Request<'a> {
    fn new(record: &UsageRecord, payload: &'a Payload, bodies: bool) -> Self {
        let head = Head::parse(&payload.request_head);
        let body =
            bodies.then(|| Body::new(&head, &payload.request_body, payload.request_truncated));
        let post_data = body.flatten().map(|body| PostData {
            mime_type: head.field("content-type"),
            body,
        });
        let url = url(record, &head);
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let query_string = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                Pair {
                    name: name.to_owned(),
                    value: value.to_owned(),
                }
            });
        let query_string = query_string.collect();
        let [mut method, _, http_version] = head.start;
        if method.is_empty() && record.entry == ledger::Entry::Tunnel {
            "CONNECT".clone_into(&mut method);
        }
        Self {
            method,
            url,
            http_version,
            cookies: [],
            headers: head.fields,
            query_string,
            post_data,
            headers_size: -1,
            body_size: record.request_bytes,
        }
    }
}

impl<'a> Response<'a> {
    fn new(record: &UsageRecord, payload: &'a Payload, bodies: bool) -> Self {
        let head = Head::parse(&payload.response_head);
        let body =
            bodies.then(|| Body::new(&head, &payload.response_body, payload.response_truncated));
        let content = Content {
            size: record.response_bytes,
            mime_type: head.field("content-type"),
            body: body.flatten(),
        };
        let redirect_url = head.field("location");
        let [http_version, _, status_text] = head.start;
        Self {
            status: record.status.unwrap_or_default(),
            status_text,
            http_version,
            cookies: [],
            headers: head.fields,
            content,
            redirect_url,
            headers_size: -1,
            body_size: record.response_bytes,
        }
    }
}

impl<'a> Body<'a> {
    fn new(head: &Head, body: &'a [u8], truncated: bool) -> Option<Self> {
        if body.is_empty() {
            return None;
        }
        let decoded = coding::decode(&head.field("content-encoding"), body);
        let cut = truncated.then(|| "only the beginning of this body was kept".to_owned());
        let notes: Vec<String> = decoded.note.into_iter().chain(cut).collect();
        let comment = (!notes.is_empty()).then(|| notes.join("; "));
        let text = match decoded.content {
            Cow::Borrowed(content) => std::str::from_utf8(content)
                .map(Cow::Borrowed)
                .map_err(|_| STANDARD.encode(content)),
            Cow::Owned(content) => String::from_utf8(content)
                .map(Cow::Owned)
                .map_err(|error| STANDARD.encode(error.as_bytes())),
        };
        let (text, encoding) = match text {
            Ok(text) => (text, None),
            Err(base64) => (Cow::Owned(base64), Some("base64")),
        };
        Some(Self {
            text,
            encoding,
            comment,
        })
    }
}

impl Head {
    fn parse(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let mut start = lines.next().unwrap_or_default().splitn(3, ' ');
        let mut part = || start.next().unwrap_or_default().to_owned();
        Self {
            start: [part(), part(), part()],
            fields: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| Pair {
                    name: name.to_owned(),
                    value: value.trim().to_owned(),
                })
                .collect(),
        }
    }

    /// The values of a field, joined; empty without one.
    fn field(&self, name: &str) -> String {
        let fields = self.fields.iter();
        let fields = fields.filter(|field| field.name.eq_ignore_ascii_case(name));
        let values: Vec<&str> = fields.map(|field| field.value.as_str()).collect();
        values.join(",")
    }
}

/// The URL as the client meant it: absolute already, or the target at the host it went to.
fn url(record: &UsageRecord, head: &Head) -> String {
    let [_, target, _] = &head.start;
    if target.contains("://") && !target.starts_with('/') {
        return target.clone();
    }
    let host = match &record.host {
        Some(host) => host.clone(),
        None => head.field("host"),
    };
    let host = if host.is_empty() {
        "unknown.invalid"
    } else {
        &host
    };
    let path = if target.starts_with('/') { target } else { "/" };
    format!("https://{host}{path}")
}
