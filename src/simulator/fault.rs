//! Errors as Bedrock words them: a status, a type name with its namespace, and a JSON body with `message`.
//!
//! The signature front end and the service behind it use different namespaces in `x-amzn-ErrorType`; both are kept
//! apart here. Which fault applies when is left to the verifier and to the answers.

use serde_json::{Map, Value};

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: u16,
    pub(super) name: &'static str,
    pub(super) message: String,
    namespace: &'static str,
    /// Further members of the body, in order.
    members: Vec<(&'static str, Value)>,
}

const FRONT_END: &str = "http://internal.amazon.com/coral/com.amazon.coral.service/";
const SERVICE: &str = "http://internal.amazon.com/coral/com.amazon.bedrock/";

impl Fault {
    /// A refusal by the signature front end, always 403.
    pub(super) fn front_end(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 403,
            name,
            message: message.into(),
            namespace: FRONT_END,
            members: Vec::new(),
        }
    }

    /// An error of the service itself.
    pub(super) fn service(status: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            name,
            message: message.into(),
            namespace: SERVICE,
            members: Vec::new(),
        }
    }

    /// 400 `ValidationException`.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::service(400, "ValidationException", message)
    }

    /// 403 `InvalidSignatureException`.
    pub(super) fn invalid_signature(message: impl Into<String>) -> Self {
        Self::front_end("InvalidSignatureException", message)
    }

    /// The same fault with one more member in its body.
    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.members.push((name, value));
        self
    }

    /// The value of `x-amzn-ErrorType`.
    pub(super) fn error_type(&self) -> String {
        format!("{}:{}", self.name, self.namespace)
    }

    /// The body AWS sends with it.
    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("message".to_owned(), Value::from(self.message.as_str()));
        for (name, value) in &self.members {
            body.insert((*name).to_owned(), value.clone());
        }
        Value::Object(body)
    }
}
