//! What bytes mean to AWS: credentials, paths, model ids, host names, user agents, answers of STS, refusals.

use bytes::BytesMut;
use time::OffsetDateTime;

use super::{parts, steered};
use crate::aws::diagnose::{self, Refusal};
use crate::aws::model_id::ModelKind;
use crate::aws::operation::recognise;
use crate::aws::sigv4::{self, CredentialScope};
use crate::aws::{
    Credentials, Endpoint, ModelId, Service, percent as escapes, sts as issued, user_agent as agent,
};
use crate::wire::http1::{Authority, HeadLimits, RequestHead};

const SERVICES: [Service; 3] = [Service::Runtime, Service::Mantle, Service::AgentRuntime];

/// A request with this target and these values of fields; `None` when that is no request.
fn request(target: &[u8], fields: &[(&str, &[u8])]) -> Option<RequestHead> {
    let mut text = [b"POST ", target, b" HTTP/1.1\r\nHost: h\r\n"].concat();
    for (name, value) in fields {
        text.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    let mut buffer = BytesMut::from(&text[..]);
    let head = RequestHead::take(&mut buffer, &HeadLimits::default())
        .ok()
        .flatten()?;
    buffer.is_empty().then_some(head)
}

fn check_scope(scope: &CredentialScope) {
    let CredentialScope {
        access_key_id,
        date,
        region,
        service,
    } = scope;
    assert!((16..=128).contains(&access_key_id.len()) && date.len() == 8);
    let words = [
        Some(access_key_id),
        Some(date),
        region.as_ref(),
        Some(service),
    ];
    for word in words.into_iter().flatten() {
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
        assert!(
            word.bytes().all(plain) && !word.is_empty(),
            "{word:?} would go into a record"
        );
    }
    assert!(sigv4::account_of(access_key_id).is_none_or(|account| account.len() == 12));
}

/// `Authorization`, a pre-signed query and `x-api-key`: what goes into records is of a harmless alphabet, and no secret.
pub(super) fn credentials(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let [target, value] = parts(bytes);
    let target = [b"/?", target].concat();
    let name = if steer.is_multiple_of(2) {
        "Authorization"
    } else {
        "X-Api-Key"
    };
    let fields: &[(&str, &[u8])] = match steer / 2 % 3 {
        0 => &[(name, value)],
        1 => &[],
        _ => &[(name, value), ("Authorization", b"Basic x")],
    };
    let Some(head) = request(&target, fields) else {
        return;
    };
    match sigv4::read(&head) {
        Credentials::SigV4(signature) => {
            check_scope(&signature.scope);
            let mut names = signature.signed_headers.split(';');
            assert!(names.clone().count() <= 256);
            assert!(names.clone().all(|name| signature.signs(name)));
            let is_printable = |name: &str| name.bytes().all(|octet| octet.is_ascii_graphic());
            assert!(names.all(|name| !name.is_empty() && is_printable(name)));
        }
        Credentials::Bearer { label, scope } => {
            let digits = label.strip_prefix("key-").expect("a label");
            assert!(digits.len() == 12 && digits.bytes().all(|octet| octet.is_ascii_hexdigit()));
            assert!(!fields.is_empty(), "a key from nowhere");
            scope.iter().for_each(check_scope);
        }
        Credentials::Other => {}
        Credentials::None => {
            let present = |name: &str| head.fields().first(name).is_some();
            assert!(!present("authorization") && !present("x-api-key"));
        }
    }
}

/// Percent-decoding: once, of any bytes, and back from what was escaped.
pub(super) fn percent(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let octets = escapes::decode_octets(text);
        assert!(octets.len() <= text.len());
        assert!(text.contains('%') || octets == text.as_bytes());
    }
    for case in ["0123456789abcdef", "0123456789ABCDEF"] {
        let digit = |value: u8| char::from(case.as_bytes()[usize::from(value)]);
        let escaped: String = data
            .iter()
            .flat_map(|octet| ['%', digit(octet >> 4), digit(octet & 15)])
            .collect();
        assert_eq!(escapes::decode_octets(&escaped), data);
    }
}

/// A path becomes an operation and a model; the query changes neither.
pub(super) fn operation(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let Ok(path) = std::str::from_utf8(bytes) else {
        return;
    };
    let service = SERVICES[usize::from(steer % 3)];
    let method = ["POST", "GET", "PUT"][usize::from(steer / 3 % 3)];
    let call = recognise(service, method, path);
    if !path.contains('?') {
        assert_eq!(
            call,
            recognise(service, method, &format!("{path}?/model/x/invoke"))
        );
    }
    if let Some(call) = call {
        assert!(path.starts_with('/') && !call.operation.name().is_empty());
        let model = call.model.unwrap_or_default();
        assert!(model.len() <= path.len());
        assert!(
            model.is_empty()
                || ModelId::parse(&model)
                    .base()
                    .is_none_or(|base| model.contains(&base))
        );
    }
}

/// A model id or an ARN taken apart: each part is a piece of it.
pub(super) fn model_id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let id = ModelId::parse(text);
    for part in [
        id.geography(),
        id.foundation_model(),
        id.provider(),
        id.base().as_deref(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(
            !part.is_empty() && text.contains(part),
            "{part:?} is not in {text:?}"
        );
    }
    if let (Some(model), Some(base)) = (id.foundation_model(), id.base()) {
        assert!(text.ends_with(model) && model.starts_with(&base));
        assert_eq!(id.provider().map(str::len), model.find('.'));
    }
    match id.kind() {
        ModelKind::FoundationModel => assert_eq!(id.geography(), None),
        ModelKind::InferenceProfile { geography } => assert_eq!(id.geography(), Some(geography)),
        ModelKind::Arn {
            account, region, ..
        } => {
            assert!(text.starts_with("arn:"));
            assert!(
                [account, region]
                    .into_iter()
                    .flatten()
                    .all(|part| text.contains(part))
            );
        }
        ModelKind::Bare => assert_eq!(id.foundation_model(), None),
    }
}

/// A host name is an endpoint by its whole, never by a part of it.
pub(super) fn endpoint(data: &[u8]) {
    let Ok(host) = std::str::from_utf8(data) else {
        return;
    };
    let found = Endpoint::parse(host);
    assert_eq!(found, Endpoint::parse(&host.to_ascii_uppercase()));
    if let Some(endpoint) = &found {
        assert!(
            endpoint
                .region
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
        );
        let name = host.split(':').next().unwrap();
        assert!(issued::is_aws(name), "{host}");
        assert!(!issued::is_endpoint(name));
        for stranger in [
            format!("{name}.evil.example"),
            format!("{name}x"),
            format!("evil.example/{name}"),
            format!("x@{name}"),
        ] {
            assert_eq!(Endpoint::parse(&stranger), None, "{stranger}");
        }
    }
    if issued::is_endpoint(host) {
        assert!(issued::is_aws(host) && found.is_none());
    }
}

/// A user agent and its neighbours: short, printable words or nothing.
pub(super) fn user_agent(data: &[u8]) {
    for word in [
        agent::sdk(data),
        agent::app_id(data),
        agent::invocation_id(data),
    ]
    .into_iter()
    .flatten()
    {
        assert!((1..=128).contains(&word.len()));
        assert!(
            word.bytes()
                .all(|octet| octet.is_ascii_graphic() || octet == b' '),
            "{word:?}"
        );
    }
    assert!(agent::attempt(data).is_none_or(|attempt| attempt > 0));
}

/// An answer of STS: two names of a harmless alphabet come out of it, and nothing else ever.
pub(super) fn sts(data: &[u8]) {
    let Some(session) = issued::session(data) else {
        return;
    };
    let id = &session.access_key_id;
    assert!(
        (16..=128).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric())
    );
    assert!(session.arn.starts_with("arn:") && session.arn.len() <= 2048);
    assert!(session.arn.bytes().all(|octet| octet.is_ascii_graphic()));
}

/// A refusal explained: a code for each finding, in words that hold no line end.
pub(super) fn diagnosis(data: &[u8]) {
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let [target, authorization, date, host] = parts(bytes);
    let target = [b"/?", target].concat();
    let fields: &[(&str, &[u8])] = &[("Authorization", authorization), ("X-Amz-Date", date)];
    let fields = match steer % 4 {
        0 => fields,
        1 => &fields[1..],
        2 => &fields[..1],
        _ => &[],
    };
    let Some(head) = request(&target, fields) else {
        return;
    };
    let (host, date) = (String::from_utf8_lossy(host), String::from_utf8_lossy(date));
    // A request whose host is none goes nowhere.
    if Authority::parse(&host).is_err() {
        return;
    }
    let refusal = Refusal {
        status: 403,
        error_type: Some("InvalidSignatureException"),
        date: diagnose::http_date(&date).filter(|_| steer & 4 != 0),
    };
    let now = OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    for finding in diagnose::diagnose(&head, &host, &refusal, now) {
        assert!(!finding.code().is_empty());
        let said = finding.to_string();
        assert!(!said.is_empty() && !said.contains(['\r', '\n']), "{said:?}");
    }
}
