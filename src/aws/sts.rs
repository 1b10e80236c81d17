//! Which role a set of session credentials belongs to, as AWS STS said when it issued them.
//!
//! Of an answer of AssumeRole, AssumeRoleWithSAML, AssumeRoleWithWebIdentity or GetFederationToken exactly two things
//! are taken: the access key id and the ARN that it stands for. The secret key and the session token beside them are
//! skipped, never copied. Answers are XML in the query protocol, JSON where the client asked for it.

use std::fmt;

use quick_xml::events::Event;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::endpoint::AWS_DOMAINS;

/// Session credentials and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `ASIA…`.
    pub access_key_id: String,
    /// `arn:aws:sts::123456789012:assumed-role/role/session`, or that of a federated user.
    pub arn: String,
}

/// Whether `host` is an endpoint of STS: `sts[-fips][.region].suffix`, or a VPC endpoint of it.
#[must_use]
pub fn is_endpoint(host: &str) -> bool {
    let lower = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let name = match lower.split_once('.') {
        Some((label, rest)) if label.starts_with("vpce-") => rest,
        _ => &lower,
    };
    let Some((label, rest)) = name.split_once('.') else {
        return false;
    };
    matches!(label, "sts" | "sts-fips") && is_aws(rest)
}

/// Whether `host` lies below one of AWS's own domains.
#[must_use]
pub fn is_aws(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    AWS_DOMAINS.iter().any(|domain| {
        host.len()
            .checked_sub(domain.len())
            .and_then(|start| Some((host.get(..start)?, host.get(start..)?)))
            .is_some_and(|(before, end)| {
                end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
            })
    })
}

/// Reads the body of an answer; `None` when it issues no session to anybody with an ARN.
#[must_use]
pub fn session(body: &[u8]) -> Option<Session> {
    let found = if body.trim_ascii_start().starts_with(b"{") {
        from_json(body)
    } else {
        from_xml(body)
    };
    let session = Session {
        access_key_id: found.access_key_id?,
        arn: found.arn?,
    };
    session.is_plausible().then_some(session)
}

#[derive(Debug, Default)]
struct Found {
    access_key_id: Option<String>,
    arn: Option<String>,
}

/// Longest ARN of a session; a role's path and names are shorter together.
const MAX_ARN: usize = 2048;

impl Session {
    fn is_plausible(&self) -> bool {
        let id = &self.access_key_id;
        (16..=128).contains(&id.len())
            && id.bytes().all(|octet| octet.is_ascii_alphanumeric())
            && self.arn.len() <= MAX_ARN
            && self.arn.starts_with("arn:")
            && self.arn.bytes().all(|octet| octet.is_ascii_graphic())
    }
}

/// Which elements, innermost last, hold the two.
fn from_xml(body: &[u8]) -> Found {
    let mut reader = quick_xml::Reader::from_reader(body);
    let mut path: Vec<String> = Vec::new();
    let mut found = Found::default();
    let mut text = None;
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) if path.len() < MAX_DEPTH => {
                path.push(element.local_name().as_ref().to_owned());
                text = None;
            }
            Ok(Event::Text(piece)) => text = Some(piece.to_string()),
            // Only now is it certain that the text was not cut.
            Ok(Event::End(_)) => {
                if let [.., parent, name] = path.as_slice()
                    && let Some(slot) = found.slot(parent, name)
                {
                    *slot = text.take();
                }
                path.pop();
            }
            Ok(Event::Eof | Event::Start(_)) | Err(_) => return found,
            Ok(_) => {}
        }
    }
}

/// Deeper than any answer of STS.
const MAX_DEPTH: usize = 16;

impl Found {
    fn slot(&mut self, parent: &str, name: &str) -> Option<&mut Option<String>> {
        match (parent, name) {
            ("Credentials", "AccessKeyId") => Some(&mut self.access_key_id),
            ("AssumedRoleUser" | "FederatedUser", "Arn") => Some(&mut self.arn),
            _ => None,
        }
    }
}

/// `{"AssumeRoleResponse":{"AssumeRoleResult":{"Credentials":{…},"AssumedRoleUser":{…}}}}`, whatever the outer names.
fn from_json(body: &[u8]) -> Found {
    let outer: Option<OnlyObject<OnlyObject<Issued>>> = serde_json::from_slice(body).ok();
    let issued = outer.and_then(|outer| outer.0).and_then(|inner| inner.0);
    let issued = issued.unwrap_or_default();
    Found {
        access_key_id: issued.credentials.and_then(|it| it.access_key_id),
        arn: issued.user.and_then(|it| it.arn),
    }
}

#[derive(Default, Deserialize)]
struct Issued {
    #[serde(rename = "Credentials")]
    credentials: Option<IssuedCredentials>,
    #[serde(rename = "AssumedRoleUser", alias = "FederatedUser")]
    user: Option<IssuedUser>,
}

#[derive(Deserialize)]
struct IssuedCredentials {
    #[serde(rename = "AccessKeyId")]
    access_key_id: Option<String>,
}

#[derive(Deserialize)]
struct IssuedUser {
    #[serde(rename = "Arn")]
    arn: Option<String>,
}

/// The first member of an object whose name ends in `Response` or `Result`.
struct OnlyObject<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OnlyObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = OnlyObject<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = None;
                while let Some(name) = map.next_key::<String>()? {
                    if name.ends_with("Response") || name.ends_with("Result") {
                        found = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(OnlyObject(found))
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sts::123456789012:assumed-role/search/alice";

    fn assumed(arn: &str) -> Session {
        Session {
            access_key_id: "ASIAEXAMPLE000000001".to_owned(),
            arn: arn.to_owned(),
        }
    }

    fn xml(action: &str, user: &str) -> String {
        format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
             <Credentials><AccessKeyId>ASIAEXAMPLE000000001</AccessKeyId>\
             <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken></Credentials>{user}\
             </{action}Result></{action}Response>"
        )
    }

    #[test]
    fn a_session_is_bound_to_its_arn() {
        let user = format!(
            "<AssumedRoleUser><AssumedRoleId>AROA:alice</AssumedRoleId><Arn>{ARN}</Arn></AssumedRoleUser>"
        );
        for action in [
            "AssumeRole",
            "AssumeRoleWithSAML",
            "AssumeRoleWithWebIdentity",
        ] {
            assert_eq!(
                session(xml(action, &user).as_bytes()),
                Some(assumed(ARN)),
                "{action}"
            );
        }
        let federated = "arn:aws:sts::123456789012:federated-user/bob";
        let user = format!("<FederatedUser><Arn>{federated}</Arn></FederatedUser>");
        assert_eq!(
            session(xml("GetFederationToken", &user).as_bytes()),
            Some(assumed(federated))
        );
        let json = format!(
            r#"{{"AssumeRoleResponse":{{"AssumeRoleResult":{{"AssumedRoleUser":{{"Arn":"{ARN}"}},"Credentials":
            {{"AccessKeyId":"ASIAEXAMPLE000000001","SecretAccessKey":"s","SessionToken":"t"}}}},"ResponseMetadata":{{}}}}}}"#
        );
        assert_eq!(session(json.as_bytes()), Some(assumed(ARN)));
    }

    #[test]
    fn what_is_not_such_an_answer_binds_nothing() {
        let whole = xml(
            "AssumeRole",
            &format!("<AssumedRoleUser><Arn>{ARN}</Arn></AssumedRoleUser>"),
        );
        for cut in 0..whole.len() {
            let prefix = whole.get(..cut).unwrap();
            let found = session(prefix.as_bytes());
            assert!(found.is_none() || found == Some(assumed(ARN)), "{prefix}");
        }
        for body in [
            xml("GetSessionToken", ""),
            xml(
                "AssumeRole",
                "<AssumedRoleUser><Arn>nonsense</Arn></AssumedRoleUser>",
            ),
            xml(
                "AssumeRole",
                "<Other><Arn>arn:aws:iam::1:role/x</Arn></Other>",
            ),
            "<a>".repeat(100_000),
            "[1]".to_owned(),
            "{}".to_owned(),
            r#"{"AResponse":{"BResult":{"Credentials":{"AccessKeyId":7}}}}"#.to_owned(),
            String::new(),
        ] {
            assert_eq!(session(body.as_bytes()), None, "{body:.80}");
        }
    }

    #[test]
    fn endpoints_of_sts_are_told_from_look_alikes() {
        for host in [
            "sts.amazonaws.com",
            "STS.us-east-1.amazonaws.com.",
            "sts-fips.us-gov-west-1.amazonaws.com",
            "sts.eu-west-1.api.aws",
            "vpce-0a1b-2c3d.sts.us-east-1.vpce.amazonaws.com",
            "sts.cn-north-1.amazonaws.com.cn",
        ] {
            assert!(is_endpoint(host), "{host}");
        }
        for host in [
            "sts.example.com",
            "sts.amazonaws.com.evil.example",
            "xsts.amazonaws.com",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "stsamazonaws.com",
            "sts",
            "",
        ] {
            assert!(!is_endpoint(host), "{host}");
        }
        assert!(is_aws("portal.sso.us-east-1.amazonaws.com") && !is_aws("notamazonaws.com"));
    }
}
