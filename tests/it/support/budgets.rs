//! Budgets, an upstream that answers everybody the same, and calls that are worth something.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tollgate::config::{Options, Settings};

use super::gate::Plan;
use super::{BEDROCK, Door, Gate, Message, RawUpstream};

/// A gate with the tables of `config` before an upstream that answers every request.
pub(crate) struct Answered {
    pub(crate) gate: Gate,
    served: Arc<AtomicUsize>,
    answering: JoinHandle<()>,
}

/// What a Converse of seven and two tokens is answered.
pub(crate) const ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn","usage":{"inputTokens":7,"outputTokens":2,"totalTokens":9}}"#;

/// A model whose price is known: 7 × 0.06 $ and 2 × 0.24 $ a million.
pub(crate) const NOVA: &str = "us.amazon.nova-lite-v1:0";

pub(crate) const KEY: &str = "AKIAEXAMPLE000000001";
pub(crate) const OTHER_KEY: &str = "AKIAEXAMPLE000000002";

/// What `config` says, for a gate of the test's own.
pub(crate) fn configured(config: &str) -> Settings {
    let options: Options = toml::from_str(config).unwrap();
    Settings::from_options(options, "/nowhere".into(), None).unwrap()
}

impl Answered {
    pub(crate) async fn new(config: &str) -> Self {
        Self::answering(config, ANSWER).await
    }

    /// With another answer.
    pub(crate) async fn answering(config: &str, answer: &'static str) -> Self {
        let upstream = RawUpstream::tls().await;
        let gate = plan(config, &upstream).start().await;
        let served = Arc::default();
        let answering = tokio::spawn(answer_all(upstream, Arc::clone(&served), answer));
        Self {
            gate,
            served,
            answering,
        }
    }

    /// How many requests the upstream has answered.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// What a call through `door`, on a connection of its own, is answered.
    pub(crate) async fn call(&self, door: Door, call: &Call) -> Message {
        let mut client = door.open(&self.gate, BEDROCK).await;
        client.send(call.through(door)).await;
        client.answer().await
    }
}

impl Answered {
    /// Stops the gate and gives its home.
    pub(crate) async fn stop(self) -> TempDir {
        self.answering.abort();
        self.gate.stop().await.home()
    }
}

/// A gate before `upstream` with the policy that `config` says.
pub(crate) fn plan(config: &str, upstream: &RawUpstream) -> Plan {
    in_home(tempfile::tempdir().unwrap(), config, upstream)
}

/// The same in a home that was used before.
pub(crate) fn in_home(home: TempDir, config: &str, upstream: &RawUpstream) -> Plan {
    let configured = configured(config);
    Plan::in_home(home).before(upstream).with(|settings| {
        let hosts = settings.policy.hosts.clone();
        settings.policy = configured.policy;
        settings.policy.hosts = hosts;
    })
}

async fn answer_all(upstream: RawUpstream, count: Arc<AtomicUsize>, answer: &'static str) {
    loop {
        let mut served = upstream.accept_patiently().await;
        let count = Arc::clone(&count);
        tokio::spawn(async move {
            while served.try_request().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
                    answer.len()
                );
                if served.try_send(answer).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// A call that asks for 10 tokens at most and about 30 of input.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) model: String,
    pub(crate) action: &'static str,
    pub(crate) fields: String,
    pub(crate) body: String,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            model: NOVA.to_owned(),
            action: "converse",
            fields: authorization(KEY),
            body: r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":10}}"#
                .to_owned(),
        }
    }
}

impl Call {
    /// By another access key.
    pub(crate) fn by(key_id: &str) -> Self {
        Self {
            fields: authorization(key_id),
            ..Self::default()
        }
    }

    /// Of another model.
    pub(crate) fn of(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            ..Self::default()
        }
    }

    /// With another body.
    pub(crate) fn saying(body: &str) -> Self {
        Self {
            body: body.to_owned(),
            ..Self::default()
        }
    }

    /// With more field-lines.
    pub(crate) fn field(mut self, line: &str) -> Self {
        self.fields.push_str(line);
        self.fields.push_str("\r\n");
        self
    }

    /// By another operation on the model.
    pub(crate) fn action(mut self, action: &'static str) -> Self {
        self.action = action;
        self
    }

    /// Its octets for this door.
    pub(crate) fn through(&self, door: Door) -> Vec<u8> {
        let path = format!("/model/{}/{}", self.model.replace(':', "%3A"), self.action);
        let target = door.target(BEDROCK, &path);
        let Self { fields, body, .. } = self;
        let length = body.len();
        format!("POST {target} HTTP/1.1\r\nHost: {BEDROCK}\r\n{fields}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    }
}

/// A signature by this key, which nobody verifies.
pub(crate) fn authorization(key_id: &str) -> String {
    format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={key_id}/20261122/us-east-1/bedrock/aws4_request, \
         SignedHeaders=host, Signature={}\r\n",
        "0".repeat(64)
    )
}
