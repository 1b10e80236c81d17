//! Which request gets which answer: a pure function, but for what the sources say.
//!
//! `/healthz` says that the process runs and its runtime turns: an orchestrator that gets no answer should start another,
//! and nothing else is a reason for that. `/readyz` says whether new calls should be sent here. Nothing here may be read by
//! a web page: no answer permits it, and a name that is not ours gets none. RFC 9110 §9.3.1, §9.3.2, §15.5.

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::{Readiness, Sources, host};
use crate::metrics;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const METRICS: HeaderValue = HeaderValue::from_static(metrics::CONTENT_TYPE);

const NOT_FOUND: &str = "there is nothing here; this is the admin port of tollgate, which has /healthz, /readyz and /metrics, \
                         and /budgets for `tollgate budgets`";
const NOT_ALLOWED: &str = "only GET and HEAD are answered here";
const NOT_OURS: &str = "the Host of this request is no name of this admin port; ask for it by localhost, by an address, or by \
                        a name that --admin-host gives it";
const NOT_ORIGIN: &str = "this is no proxy: ask for /healthz, /readyz or /metrics";

/// The answer to `request`. `hosts`: names that it may be asked by besides loopback names and addresses.
pub(super) fn answer<B>(
    request: &Request<B>,
    sources: &Sources,
    hosts: &[String],
) -> Response<String> {
    if request.uri().authority().is_some() {
        return plain(StatusCode::BAD_REQUEST, NOT_ORIGIN);
    }
    match host::judge(request.version(), request.headers(), hosts) {
        host::Judgement::Ours => {}
        host::Judgement::Malformed => {
            return plain(StatusCode::BAD_REQUEST, "exactly one Host is needed");
        }
        host::Judgement::NotOurs => return plain(StatusCode::MISDIRECTED_REQUEST, NOT_OURS),
    }
    let path = request.uri().path();
    if !matches!(path, "/healthz" | "/readyz" | "/metrics" | "/budgets") {
        return plain(StatusCode::NOT_FOUND, NOT_FOUND);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(header::ALLOW, allowed);
        return refused;
    }
    match path {
        "/metrics" => with(StatusCode::OK, METRICS, (sources.metrics)()),
        "/budgets" => with(StatusCode::OK, JSON, (sources.budgets)()),
        "/readyz" => readiness((sources.readiness)()),
        _ => plain(StatusCode::OK, "ok"),
    }
}

fn readiness(readiness: Readiness) -> Response<String> {
    match readiness {
        Readiness::Ready => plain(StatusCode::OK, "ready"),
        Readiness::Draining => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining: running calls finish, new ones are not taken",
        ),
        Readiness::LedgerFailing => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the ledger cannot be written, and calls are refused meanwhile",
        ),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<String> {
    with(status, TEXT, format!("{text}\n"))
}

fn with(status: StatusCode, kind: HeaderValue, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, kind);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: http::request::Builder, readiness: Readiness) -> Response<String> {
        let sources = Sources {
            readiness: Box::new(move || readiness),
            metrics: Box::new(|| "a 1\n".to_owned()),
            budgets: Box::new(|| "{}\n".to_owned()),
        };
        answer(&request.body(()).unwrap(), &sources, &[])
    }

    fn get(path: &str) -> http::request::Builder {
        Request::builder().uri(path).header("host", "localhost")
    }

    #[test]
    fn health_is_not_readiness() {
        let rows = [
            (Readiness::Ready, 200),
            (Readiness::Draining, 503),
            (Readiness::LedgerFailing, 503),
        ];
        for (readiness, status) in rows {
            assert_eq!(
                ask(get("/readyz"), readiness).status(),
                status,
                "{readiness:?}"
            );
            assert_eq!(
                ask(get("/healthz"), readiness).status(),
                200,
                "{readiness:?}"
            );
        }
    }

    #[test]
    fn only_what_is_there_is_answered_and_only_to_those_who_read() {
        let rows = [
            (get("/metrics"), 200),
            (get("/metrics?x=1"), 200),
            (get("/metrics").method("HEAD"), 200),
            (get("/budgets"), 200),
            (get("/budgets").method("POST"), 405),
            (get("/budgets").header("host", "evil.example"), 400),
            (get("/metrics").method("POST"), 405),
            (get("/metrics").method("OPTIONS"), 405),
            (get("/metrics/"), 404),
            (get("/"), 404),
            (get("/").method("POST"), 404),
            (get("//metrics"), 404),
            (get("/%6detrics"), 404),
            (get("*").method("OPTIONS"), 404),
            (get("http://localhost/metrics"), 400),
            (get("localhost:5381").method("CONNECT"), 400),
        ];
        for (request, status) in rows {
            let what = format!("{request:?}");
            let answer = ask(request, Readiness::Ready);
            assert_eq!(answer.status(), status, "{what}");
            assert!(answer.body().ends_with('\n'), "{what}");
            let fields = answer.headers();
            assert_eq!(fields["x-content-type-options"], "nosniff", "{what}");
            assert_eq!(fields["cache-control"], "no-store", "{what}");
            let cors = |name: &HeaderName| name.as_str().starts_with("access-control");
            assert!(!fields.keys().any(cors), "{what}");
            assert_eq!(fields.contains_key("allow"), status == 405, "{what}");
        }
    }
}
