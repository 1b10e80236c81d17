//! Access rules: what a user of the gate may do with it. Pure: who and what goes in, yes or no comes out.
//!
//! A rule binds users to access keys, accounts, models, regions, operations and hosts. Whoever is named by a rule may do
//! what one of the rules that name them allows, and nothing else; whoever is named by none is not held by any. What a rule
//! asks for and a request does not tell is not allowed by it.

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::ConfigError;
use super::settings::invalid;
use crate::aws::inert::is_harmful;

/// One `[[access]]` of the file: lists of globs. An absent one stands for anything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessOption {
    /// What messages call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Proxy users; `*` is everybody, those without a name included.
    pub user: Globs,
    /// Access key ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<Globs>,
    /// AWS accounts, as far as an access key id tells its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Globs>,
    /// Models, as clients name them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Globs>,
    /// AWS regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Globs>,
    /// Operations, as `InvokeModel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Globs>,
    /// Upstream hosts, tunnels included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Globs>,
}

/// One glob or a list of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Globs {
    /// One.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl Default for Globs {
    fn default() -> Self {
        Self::Any(Vec::new())
    }
}

/// The rules, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct AccessRules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    users: Vec<WildMatch>,
    /// Stands for everybody, whether they have a name or not.
    everybody: bool,
    conditions: Vec<(What, Vec<WildMatch>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    AccessKey,
    Account,
    Model,
    Region,
    Operation,
    Host,
}

/// What somebody wants to do. `None`: it is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempt<'a> {
    /// The proxy user.
    pub user: Option<&'a str>,
    /// The access key id of the signature.
    pub access_key: Option<&'a str>,
    /// The account of that key.
    pub account: Option<&'a str>,
    /// The model, as the client names it.
    pub model: Option<&'a str>,
    /// The region that will answer.
    pub region: Option<&'a str>,
    /// The operation.
    pub operation: Option<&'a str>,
    /// The upstream host.
    pub host: Option<&'a str>,
    /// Nothing but the host can be seen of it: a tunnel.
    pub opaque: bool,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The rules that name the user.
    pub rules: Vec<String>,
    /// What the last of them does not allow.
    pub what: &'static str,
    /// What was asked for, if it was known.
    pub found: Option<String>,
}

/// Most rules that a message names.
const MAX_NAMED: usize = 3;

impl AccessRules {
    /// Checks the tables of the file. `asks`: clients have to say who they are.
    ///
    /// # Errors
    /// As for [`AccessRules::new`], and rules that name users where nobody is asked.
    pub fn of_gate(options: &[AccessOption], asks: bool) -> Result<Self, ConfigError> {
        let rules = Self::new(options)?;
        if !asks && rules.0.iter().any(|rule| !rule.everybody) {
            let why = "rules that name users mean nothing while nobody is asked who they are; add `users` or `client_ca`";
            return Err(invalid("access", why.to_owned()));
        }
        Ok(rules)
    }

    /// Whether nobody is bound to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the tables of the file.
    ///
    /// # Errors
    /// The first rule that binds nobody, or has an empty list or glob.
    pub fn new(options: &[AccessOption]) -> Result<Self, ConfigError> {
        let rules = options
            .iter()
            .enumerate()
            .map(|(index, option)| Rule::new(option, index + 1));
        let rules: Vec<_> = rules
            .collect::<Result<_, _>>()
            .map_err(|why| invalid("access", why))?;
        if let Some(twice) = rules.iter().enumerate().find_map(|(index, rule)| {
            let earlier = rules.get(..index).unwrap_or_default();
            earlier
                .iter()
                .any(|other| other.name == rule.name)
                .then_some(&rule.name)
        }) {
            return Err(invalid(
                "access",
                format!("the name `{twice}` stands twice"),
            ));
        }
        Ok(Self(rules))
    }

    /// Whether `attempt` may go on.
    ///
    /// # Errors
    /// [`Refused`] when rules name the user and none of them allows it.
    pub fn check(&self, attempt: &Attempt<'_>) -> Result<(), Refused> {
        let mut refused: Option<Refused> = None;
        for rule in self.0.iter().filter(|rule| rule.names(attempt.user)) {
            let Some(what) = rule.lacks(attempt) else {
                return Ok(());
            };
            let refused = refused.get_or_insert_with(|| Refused {
                rules: Vec::new(),
                what: what.word(),
                found: None,
            });
            refused.rules.push(rule.name.clone());
            refused.what = what.word();
            refused.found = what.of(attempt).map(str::to_owned);
        }
        refused.map_or(Ok(()), Err)
    }
}

impl Rule {
    fn new(option: &AccessOption, number: usize) -> Result<Self, String> {
        let name = match &option.name {
            None => format!("access {number}"),
            Some(name) if name.trim().is_empty() || name.chars().any(is_harmful) => {
                return Err(format!("rule {number}: its name is empty or no plain text"));
            }
            Some(name) => name.clone(),
        };
        let globs = |key: &str, globs: &Globs| {
            let list = match globs {
                Globs::One(glob) => std::slice::from_ref(glob),
                Globs::Any(list) => list,
            };
            if list.is_empty() || list.iter().any(String::is_empty) {
                return Err(format!(
                    "rule `{name}`: `{key}` needs a glob, as in {key} = \"*\""
                ));
            }
            Ok(list.to_vec())
        };
        let users = globs("user", &option.user)?;
        let mut conditions = Vec::new();
        for (what, given) in [
            (What::AccessKey, &option.access_key),
            (What::Account, &option.account),
            (What::Model, &option.model),
            (What::Region, &option.region),
            (What::Operation, &option.operation),
            (What::Host, &option.host),
        ] {
            if let Some(given) = given {
                let list = globs(what.key(), given)?;
                let lower = list.iter().map(|glob| match what {
                    What::Host => WildMatch::new(&glob.trim_end_matches('.').to_ascii_lowercase()),
                    _ => WildMatch::new(glob),
                });
                conditions.push((what, lower.collect()));
            }
        }
        Ok(Self {
            everybody: users.iter().any(|user| user == "*"),
            users: users.iter().map(|user| WildMatch::new(user)).collect(),
            conditions,
            name,
        })
    }

    fn names(&self, user: Option<&str>) -> bool {
        self.everybody || user.is_some_and(|user| self.users.iter().any(|glob| glob.matches(user)))
    }

    /// The first condition that `attempt` does not fulfil.
    fn lacks(&self, attempt: &Attempt<'_>) -> Option<What> {
        let seen = |what: What| what == What::Host || !attempt.opaque;
        self.conditions
            .iter()
            .filter(|(what, _)| seen(*what))
            .find(|(what, globs)| {
                let value = what.of(attempt);
                !value.is_some_and(|value| globs.iter().any(|glob| glob.matches(value)))
            })
            .map(|(what, _)| *what)
    }
}

impl What {
    fn key(self) -> &'static str {
        match self {
            Self::AccessKey => "access_key",
            Self::Account => "account",
            Self::Model => "model",
            Self::Region => "region",
            Self::Operation => "operation",
            Self::Host => "host",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::AccessKey => "access key",
            other => other.key(),
        }
    }

    fn of<'a>(self, attempt: &Attempt<'a>) -> Option<&'a str> {
        match self {
            Self::AccessKey => attempt.access_key,
            Self::Account => attempt.account,
            Self::Model => attempt.model,
            Self::Region => attempt.region,
            Self::Operation => attempt.operation,
            Self::Host => attempt.host,
        }
    }
}

impl Refused {
    /// For the person who reads the client's error.
    #[must_use]
    pub fn message(&self, user: Option<&str>) -> String {
        let who = user.map_or_else(
            || "clients without a name".to_owned(),
            |user| format!("`{user}`"),
        );
        let mut rules: Vec<String> = self.rules.iter().map(|rule| format!("`{rule}`")).collect();
        let more = rules.len().saturating_sub(MAX_NAMED);
        rules.truncate(MAX_NAMED);
        let mut named = rules.join(", ");
        if more > 0 {
            named.push_str(&format!(" and {more} more"));
        }
        let plural = if self.rules.len() > 1 {
            "rules"
        } else {
            "rule"
        };
        let does = if self.rules.len() > 1 { "do" } else { "does" };
        match &self.found {
            Some(found) => format!(
                "the access {plural} {named} of this gate {does} not allow the {} {found} to {who}",
                self.what
            ),
            None => format!(
                "the access {plural} {named} of this gate {does} not allow a request that does not tell its {} to {who}",
                self.what
            ),
        }
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
