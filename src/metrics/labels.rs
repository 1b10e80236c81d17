//! What metrics are told apart by: labels, each with a bounded number of values.
//!
//! Models come from clients, who can make up as many as they like. A pair of operation and model has a label of its own
//! once the upstream has answered it with success, and only the first [`MAX_PAIRS`] have; all others are `other` together.
//! Nobody whom AWS does not serve can take a place, and nobody can make the text grow without end. Callers are no labels.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::EncodeLabelSet;

use super::call::Call;
use crate::aws::Operation;
use crate::aws::mask::printable;
use crate::ledger::{Outcome, UsageRecord};

/// Most pairs of operation and model that have a label of their own.
pub(super) const MAX_PAIRS: usize = 128;

/// What stands for whatever has no label of its own.
pub(super) const OTHER: &str = "other";

/// The well-known value of the conventions.
const PROVIDER: &str = "aws.bedrock";

/// By which door.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EntryLabels {
    pub(super) entry: &'static str,
}

/// How an exchange went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ExchangeLabels {
    entry: &'static str,
    operation: &'static str,
    outcome: &'static str,
    status: &'static str,
}

/// Which call, in the words of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    gen_ai_request_model: Arc<str>,
}

/// Which tokens of which call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TokenLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    gen_ai_request_model: Arc<str>,
    gen_ai_token_type: &'static str,
}

/// Which call, and what went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DurationLabels {
    error_type: &'static str,
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    gen_ai_request_model: Arc<str>,
}

impl ExchangeLabels {
    pub(super) fn of(record: &UsageRecord, operation: Option<Operation>) -> Self {
        Self {
            entry: record.entry.as_str(),
            operation: operation.map_or("", Operation::name),
            outcome: record.outcome.as_str(),
            status: match record.status.map(|status| status / 100) {
                None => "",
                Some(1) => "1xx",
                Some(2) => "2xx",
                Some(3) => "3xx",
                Some(4) => "4xx",
                Some(5) => "5xx",
                Some(_) => OTHER,
            },
        }
    }
}

impl CallLabels {
    pub(super) fn new(operation: &'static str, model: Arc<str>) -> Self {
        Self {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: PROVIDER,
            gen_ai_request_model: model,
        }
    }
}

impl TokenLabels {
    pub(super) fn of(call: &CallLabels, kind: &'static str) -> Self {
        Self {
            gen_ai_operation_name: call.gen_ai_operation_name,
            gen_ai_provider_name: call.gen_ai_provider_name,
            gen_ai_request_model: Arc::clone(&call.gen_ai_request_model),
            gen_ai_token_type: kind,
        }
    }
}

impl DurationLabels {
    pub(super) fn of(call: &CallLabels, error_type: &'static str) -> Self {
        Self {
            error_type,
            gen_ai_operation_name: call.gen_ai_operation_name,
            gen_ai_provider_name: call.gen_ai_provider_name,
            gen_ai_request_model: Arc::clone(&call.gen_ai_request_model),
        }
    }
}

/// Errors that have a name here: those of the service models, and those of signatures. The upstream could name others.
const ERRORS: [&str; 19] = [
    "AccessDeniedException",
    "BadGatewayException",
    "ConflictException",
    "DependencyFailedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InternalServerException",
    "InvalidSignatureException",
    "ModelErrorException",
    "ModelNotReadyException",
    "ModelStreamErrorException",
    "ModelTimeoutException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "UnrecognizedClientException",
    "UnknownOperationException",
    "ValidationException",
];

/// The value that the conventions have for an error without a name of its own.
const OTHER_ERROR: &str = "_OTHER";

/// Empty where all went well. In streams AWS writes the first letter small.
pub(super) fn error_type(record: &UsageRecord) -> &'static str {
    if let Some(name) = &record.error_type {
        let known = ERRORS
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        return known.unwrap_or(OTHER_ERROR);
    }
    match record.outcome {
        Outcome::Complete if record.status.is_some_and(|status| status >= 400) => OTHER_ERROR,
        Outcome::Complete => "",
        cut => cut.as_str(),
    }
}

/// The well-known value of the conventions, or else the name that AWS has for the operation.
fn gen_ai_operation(operation: Option<Operation>) -> &'static str {
    match operation {
        Some(
            Operation::Converse
            | Operation::ConverseStream
            | Operation::ChatCompletions
            | Operation::Responses
            | Operation::Messages,
        ) => "chat",
        Some(Operation::InvokeAgent | Operation::InvokeInlineAgent) => "invoke_agent",
        Some(Operation::Retrieve) => "retrieval",
        Some(operation) => operation.name(),
        None => OTHER,
    }
}

/// Which models have labels of their own.
#[derive(Debug)]
pub(super) struct Models {
    pairs: RwLock<Pairs>,
    none: Arc<str>,
    other: Arc<str>,
}

#[derive(Debug, Default)]
struct Pairs {
    taken: usize,
    /// By operation, then by the model as records name it.
    calls: HashMap<&'static str, HashMap<Box<str>, Arc<Call>>>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            pairs: RwLock::default(),
            none: Arc::from(""),
            other: Arc::from(OTHER),
        }
    }
}

impl Models {
    /// The call behind `record`. Its model is named as `stats --by model` names it.
    pub(super) fn call(&self, record: &UsageRecord, operation: Option<Operation>) -> Arc<Call> {
        let operation = gen_ai_operation(operation);
        let model = record.model_name.as_ref().or(record.model.as_ref());
        let is_served = matches!(record.status, Some(200..300));
        let Some(model) = model else {
            return Call::of(operation, Arc::clone(&self.none));
        };
        self.known(operation, model)
            .or_else(|| is_served.then(|| self.learn(operation, model)).flatten())
            .unwrap_or_else(|| Call::of(operation, Arc::clone(&self.other)))
    }

    fn known(&self, operation: &'static str, model: &str) -> Option<Arc<Call>> {
        let pairs = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        pairs.calls.get(operation)?.get(model).cloned()
    }

    fn learn(&self, operation: &'static str, model: &str) -> Option<Arc<Call>> {
        let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        if pairs.taken >= MAX_PAIRS {
            return None;
        }
        let call = Call::of(operation, Arc::from(printable(model.as_bytes())));
        let of_operation = pairs.calls.entry(operation).or_default();
        // Somebody else may have been faster.
        let before = of_operation.insert(Box::from(model), Arc::clone(&call));
        pairs.taken += usize::from(before.is_none());
        Some(call)
    }
}
