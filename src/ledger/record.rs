//! The usage record: one per exchange, the single source of ledger row, log line and metrics.
//!
//! Field names and meanings are the published contract; absent knowledge is `null`. Pure data: who fills it is
//! `proxy::meter`, who keeps it is the writer beside this file.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::aws::Operation;
use crate::spend::{Cost, CostStatus};
use crate::usage::{TokenUsage, UsageSource};

/// One exchange, as it is printed by `tollgate log --json` and `--log-format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// UUIDv7: sortable by time.
    pub id: String,
    /// RFC 3339, UTC: when the request head had arrived.
    pub time: String,
    /// By which door the client came.
    pub entry: Entry,
    /// Client address and port.
    pub client: String,
    /// Who called, as the request itself claims.
    pub identity: Identity,
    /// The prefix of the route, for `entry` `route`.
    pub route: Option<String>,
    /// Upstream host.
    pub host: Option<String>,
    /// From the credential scope or the host.
    pub region: Option<String>,
    /// `InvokeModel`, `ConverseStream`, …
    pub operation: Option<String>,
    /// Model id or ARN as the client named it, percent-decoded.
    pub model: Option<String>,
    /// The name that the operator gave the model id or ARN.
    pub model_name: Option<String>,
    /// The model that the response names.
    pub response_model: Option<String>,
    /// The service tier that the response names: `default`, `priority`, `flex`, `reserved`, …
    pub service_tier: Option<String>,
    /// The latency configuration that the response names: `standard` or `optimized`.
    pub performance_latency: Option<String>,
    /// The response was a stream.
    pub stream: bool,
    /// The status the client was sent.
    pub status: Option<u16>,
    /// `x-amzn-errortype`, or the exception in the stream.
    pub error_type: Option<String>,
    /// `x-amzn-requestid`.
    pub aws_request_id: Option<String>,
    /// Tokens.
    pub usage: TokenUsage,
    /// What is counted in other units than tokens: images, guardrail text units, …
    pub units: BTreeMap<String, u64>,
    /// Money.
    pub cost: Cost,
    /// Stop reason as the model gave it.
    pub finish_reason: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Request body bytes on the wire.
    pub request_bytes: u64,
    /// Response body bytes on the wire.
    pub response_bytes: u64,
    /// Milliseconds from the request head's arrival to the end.
    pub duration_ms: f64,
    /// Milliseconds to the first byte of the response.
    pub first_byte_ms: Option<f64>,
    /// Milliseconds to the first generated token of a stream.
    pub first_token_ms: Option<f64>,
    /// `requestMetadata` and what policy attached.
    pub tags: BTreeMap<String, String>,
    /// `amz-sdk-invocation-id`: the same for all attempts of one call.
    pub invocation_id: Option<String>,
    /// Which attempt of that call this was, as `amz-sdk-request` says; 1 is the first.
    pub attempt: Option<u32>,
    /// What an auditor should know about this row, one short code each.
    pub notes: Vec<String>,
}

/// By which door the client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// CONNECT that we opened.
    Connect,
    /// Absolute-form.
    Forward,
    /// Origin-form below a route prefix.
    Route,
    /// SNI or Host of an intercepted host.
    Transparent,
    /// CONNECT that we did not open.
    Tunnel,
}

/// Who called, as the request claims. Each part is `None` when unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The access key id of the credential scope.
    pub access_key_id: Option<String>,
    /// The account, where the key id tells it.
    pub account_id: Option<String>,
    /// True for temporary credentials (ASIA…).
    pub session: Option<bool>,
    /// A stable label for a bearer key, never the key.
    pub api_key: Option<String>,
    /// The user who authenticated to the proxy.
    pub proxy_user: Option<String>,
    /// The upstream answered 2xx, so it took the credentials for good. Until then all of this is a claim.
    pub verified: bool,
    /// The name that the operator gave this caller.
    pub name: Option<String>,
    /// The role that STS returned these session credentials for, where that answer was seen.
    pub role: Option<String>,
    /// The SDK and its version, as the user agent says.
    pub sdk: Option<String>,
    /// The application id that the caller gave their SDK.
    pub app_id: Option<String>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole response was passed on, whatever its status.
    Complete,
    /// The response was cut by the upstream.
    UpstreamAborted,
    /// The client went away.
    ClientAborted,
    /// We answered by policy.
    Refused,
    /// No response could be had.
    Failed,
}

/// What was captured of an exchange; secrets are masked before they get here.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// Request head as received, masked.
    pub request_head: Vec<u8>,
    /// Request body, transfer coding removed, up to the limit.
    pub request_body: Vec<u8>,
    /// Whether more of the request body passed than was kept.
    pub request_truncated: bool,
    /// Final response head as received, masked.
    pub response_head: Vec<u8>,
    /// Response body, transfer coding removed, content coding as received, up to the limit.
    pub response_body: Vec<u8>,
    /// Whether more of the response body passed than was kept.
    pub response_truncated: bool,
}

impl UsageRecord {
    /// A record in which nothing is known but this; it has failed until somebody says otherwise.
    #[must_use]
    pub fn new(id: String, time: String, entry: Entry, client: String) -> Self {
        Self {
            id,
            time,
            entry,
            client,
            identity: Identity::default(),
            route: None,
            host: None,
            region: None,
            operation: None,
            model: None,
            model_name: None,
            response_model: None,
            service_tier: None,
            performance_latency: None,
            stream: false,
            status: None,
            error_type: None,
            aws_request_id: None,
            usage: TokenUsage::default(),
            units: BTreeMap::new(),
            cost: Cost::unpriced(),
            finish_reason: None,
            outcome: Outcome::Failed,
            request_bytes: 0,
            response_bytes: 0,
            duration_ms: 0.0,
            first_byte_ms: None,
            first_token_ms: None,
            tags: BTreeMap::new(),
            invocation_id: None,
            attempt: None,
            notes: Vec::new(),
        }
    }

    /// Whether it may have cost something for which no price is known: what `--unpriced` finds.
    #[must_use]
    pub fn is_unpriced(&self) -> bool {
        let may_cost = || {
            let operation = self.operation.as_deref();
            operation.is_some_and(|name| Operation::FREE.iter().all(|free| free.name() != name))
        };
        self.cost.status == CostStatus::Unpriced
            && matches!(self.status, None | Some(200..300))
            && (self.usage.total_tokens.is_some() || may_cost())
    }

    /// Whether tokens were estimated or told in part, or priced in part: what `stats` counts as `estimated`.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        let source = self.usage.source;
        self.cost.status == CostStatus::Partial
            || matches!(source, Some(UsageSource::Partial | UsageSource::Estimated))
    }

    /// About how much memory the record's texts take: what a bounded queue counts.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let optional = [
            &self.identity.access_key_id,
            &self.identity.account_id,
            &self.identity.api_key,
            &self.identity.proxy_user,
            &self.identity.name,
            &self.identity.role,
            &self.identity.sdk,
            &self.identity.app_id,
            &self.route,
            &self.host,
            &self.region,
            &self.operation,
            &self.model,
            &self.model_name,
            &self.response_model,
            &self.service_tier,
            &self.performance_latency,
            &self.error_type,
            &self.aws_request_id,
            &self.cost.price_key,
            &self.cost.price_as_of,
            &self.finish_reason,
            &self.invocation_id,
        ];
        let optional: usize = optional.into_iter().flatten().map(String::len).sum();
        let tags: usize = self
            .tags
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let units: usize = self.units.keys().map(String::len).sum();
        let notes: usize = self.notes.iter().map(String::len).sum();
        self.id.len() + self.time.len() + self.client.len() + optional + tags + units + notes
    }
}

/// Prompts and answers are for whoever asks for them, and not for a message that happens to hold one.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Payload {
    /// How many bytes were captured.
    #[must_use]
    pub fn len(&self) -> usize {
        self.request_head.len()
            + self.request_body.len()
            + self.response_head.len()
            + self.response_body.len()
    }

    /// Whether nothing was captured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entry {
    /// The name it has in JSON and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Forward => "forward",
            Self::Route => "route",
            Self::Transparent => "transparent",
            Self::Tunnel => "tunnel",
        }
    }
}

impl Outcome {
    /// Every one there is.
    pub const ALL: [Self; 5] = [
        Self::Complete,
        Self::UpstreamAborted,
        Self::ClientAborted,
        Self::Refused,
        Self::Failed,
    ];

    /// The name it has in JSON and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::UpstreamAborted => "upstream_aborted",
            Self::ClientAborted => "client_aborted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
