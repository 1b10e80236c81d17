//! The longer explanations that refusals carry: what is wrong, and the setting that mends it.
//!
//! They reach a person as the message of an SDK's exception. Everything a peer sent that stands in them has passed the
//! grammar of a host name.

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

/// For whoever comes without a proxy request.
pub(super) const WHAT_THIS_IS: &str = "this is tollgate, a proxy for AWS Bedrock Runtime; nothing is served at this path. Set \
HTTPS_PROXY to this address, or POST a signed request to /service/standard/model/MODEL-ID/invoke";
