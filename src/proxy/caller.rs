//! Who called, for the record: what the request claims, the names that the operator gave, and the roles learned from STS.
//!
//! Everything here is a claim until the upstream has answered 2xx, which `meter` notes. Reading credentials is left to
//! `aws::sigv4`, the names to the configuration.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::aws::sigv4::{self, Credentials};
use crate::aws::sts::Session;
use crate::aws::user_agent;
use crate::config::Aliases;
use crate::ledger::{Identity, UsageRecord};
use crate::wire::http1::RequestHead;

/// Whose session credentials are whose, as STS said. Bounded: the oldest are forgotten.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    roles: HashMap<String, String>,
    oldest_first: VecDeque<String>,
}

/// Sessions remembered. They last twelve hours at most; this many in that time is a large company.
const MAX_SESSIONS: usize = 64 * 1024;

impl Sessions {
    /// Remembers what STS said.
    pub fn learn(&self, session: Session) {
        let Session { access_key_id, arn } = session;
        tracing::debug!(access_key_id, arn, "learned whose session this is");
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.roles.insert(access_key_id.clone(), arn).is_none() {
            known.oldest_first.push_back(access_key_id);
        }
        if known.oldest_first.len() > MAX_SESSIONS
            && let Some(oldest) = known.oldest_first.pop_front()
        {
            known.roles.remove(&oldest);
        }
    }

    /// The ARN that this key id stands for.
    #[must_use]
    pub fn role(&self, access_key_id: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.roles.get(access_key_id).cloned()
    }
}

/// Who `head` and its `credentials` claim to be.
#[must_use]
pub fn identity(head: &RequestHead, credentials: &Credentials, sessions: &Sessions) -> Identity {
    let user_agent = head.fields().first("user-agent").unwrap_or_default();
    let mut identity = Identity {
        sdk: user_agent::sdk(user_agent),
        app_id: user_agent::app_id(user_agent),
        ..Identity::default()
    };
    match credentials {
        Credentials::SigV4(signature) => {
            by_key_id(&mut identity, &signature.scope.access_key_id, sessions);
        }
        Credentials::Bearer { label, scope } => {
            identity.api_key = Some(label.clone());
            if let Some(scope) = scope {
                by_key_id(&mut identity, &scope.access_key_id, sessions);
            }
        }
        Credentials::Other | Credentials::None => {}
    }
    identity
}

/// The user that `Proxy-Authorization: Basic` names (RFC 7617 §2); the password is not looked at. What has no colon may be
/// a password alone, and is nobody's name.
#[must_use]
pub fn proxy_user(head: &RequestHead) -> Option<String> {
    let value = head.fields().first("proxy-authorization")?;
    let (scheme, encoded) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = memchr::memchr(b':', &decoded)?;
    let user = decoded.get(..colon)?;
    let user = std::str::from_utf8(user).ok()?;
    (!user.is_empty() && user.len() <= MAX_USER && !user.chars().any(char::is_control))
        .then(|| user.to_owned())
}

/// Longest name of a proxy user, in octets.
const MAX_USER: usize = 128;

fn by_key_id(identity: &mut Identity, access_key_id: &str, sessions: &Sessions) {
    if sigv4::may_be_secret_key(access_key_id) {
        return;
    }
    identity.account_id = sigv4::account_of(access_key_id);
    identity.session = Some(sigv4::is_session(access_key_id));
    identity.role = sessions.role(access_key_id);
    identity.access_key_id = Some(access_key_id.to_owned());
}

/// Puts the operator's names into `record`: the caller's by the most telling id that has one, and the model's.
pub fn name(record: &mut UsageRecord, aliases: &Aliases) {
    let name = |id: &Option<String>| aliases.name(id.as_deref()?).map(str::to_owned);
    let identity = &record.identity;
    let ids = [
        &identity.role,
        &identity.access_key_id,
        &identity.api_key,
        &identity.proxy_user,
        &identity.account_id,
    ];
    let known = ids.iter().find_map(|id| name(id));
    record.identity.name = known;
    record.model_name = name(&record.model);
}

/// Everything that somebody is called: the ids, and the names that the operator gave to any of them.
#[must_use]
pub fn names(identity: &Identity, aliases: &Aliases) -> Vec<String> {
    let ids = [
        &identity.access_key_id,
        &identity.role,
        &identity.api_key,
        &identity.proxy_user,
        &identity.account_id,
    ];
    let ids = ids.into_iter().flatten();
    let given = ids.clone().filter_map(|id| aliases.name(id));
    let ids = ids.map(String::as_str);
    ids.chain(given).map(str::to_owned).collect()
}

/// Notes which attempt of which call this is.
pub fn attempt(record: &mut UsageRecord, head: &RequestHead) {
    let fields = head.fields();
    record.invocation_id = fields
        .first("amz-sdk-invocation-id")
        .and_then(user_agent::invocation_id);
    record.attempt = fields
        .first("amz-sdk-request")
        .and_then(user_agent::attempt);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_sessions_are_forgotten() {
        let sessions = Sessions::default();
        for n in 0..=MAX_SESSIONS {
            sessions.learn(Session {
                access_key_id: format!("ASIA{n}"),
                arn: format!("arn:{n}"),
            });
        }
        assert_eq!(sessions.role("ASIA0"), None);
        assert_eq!(sessions.role("ASIA1").as_deref(), Some("arn:1"));
        assert_eq!(
            sessions.role(&format!("ASIA{MAX_SESSIONS}")),
            Some(format!("arn:{MAX_SESSIONS}"))
        );
    }

    #[test]
    fn a_proxy_user_is_what_stands_before_a_colon_and_nothing_else() {
        let user = |value: &str| {
            let text = format!("GET / HTTP/1.1\r\nProxy-Authorization: {value}\r\n\r\n");
            let mut bytes = bytes::BytesMut::from(text.as_str());
            let head = RequestHead::take(&mut bytes, &crate::wire::http1::HeadLimits::default());
            proxy_user(&head.unwrap().unwrap())
        };
        let basic = |pair: &[u8]| user(&format!("Basic {}", STANDARD.encode(pair)));
        assert_eq!(basic(b"alice:secret").as_deref(), Some("alice"));
        assert_eq!(basic(b"alice:").as_deref(), Some("alice"));
        // A password alone, nobody, what is no text, and what could drive a terminal.
        for pair in [&b"secret"[..], b":secret", b"al\xffice:x", b"a\x1b[2J:x"] {
            assert_eq!(basic(pair), None, "{pair:?}");
        }
        assert_eq!(basic(format!("{}:x", "a".repeat(129)).as_bytes()), None);
        assert_eq!(user("Bearer YWxpY2U6eA=="), None);
    }

    #[test]
    fn a_secret_key_in_the_place_of_its_id_is_nobody() {
        let identity = |key_id: &str| {
            let mut identity = Identity::default();
            by_key_id(&mut identity, key_id, &Sessions::default());
            identity.access_key_id
        };
        let id = "AKIAEXAMPLE000000001";
        assert_eq!(identity(id).as_deref(), Some(id));
        assert_eq!(identity(&"s3cr3tKey0".repeat(4)), None);
    }
}
