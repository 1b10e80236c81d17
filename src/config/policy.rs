//! What may change while the gate runs: who may send requests, where they may go, and how they are named and priced.
//!
//! Everything else in [`Settings`](super::Settings) is as it was at the start. A request holds the policy it was admitted
//! under, so that a change of the file never reaches into a running one; what its record is called and costs is told at its
//! end, by the policy of that time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::access::AccessRules;
use super::aliases::Aliases;
use super::hosts::HostRules;
use super::settings::RouteRule;
use super::users::Users;
use crate::spend::PriceBook;
use crate::spend::budget::Rule;
use crate::usage::Patterns;

/// The part of the settings that is read anew with the file.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which hosts are opened or refused.
    pub hosts: HostRules,
    /// Routes, longest prefix first.
    pub routes: Vec<RouteRule>,
    /// Who may pass by name and password; `None` when nobody is asked for either.
    pub users: Option<Arc<Users>>,
    /// What users may do.
    pub access: Arc<AccessRules>,
    /// Names that people use.
    pub aliases: Aliases,
    /// What calls cost.
    pub prices: Arc<PriceBook>,
    /// How much may be consumed.
    pub budgets: Vec<Rule>,
    /// Shapes of usage that the operator taught.
    pub usage_patterns: Arc<Patterns>,
}

impl Policy {
    /// The route with this prefix.
    #[must_use]
    pub fn route(&self, prefix: &str) -> Option<&RouteRule> {
        self.routes.iter().find(|rule| rule.prefix == prefix)
    }
}

/// The keys of the file that become policy. All others are read at the start only.
const RELOADED: [&str; 12] = [
    "access",
    "aliases",
    "budget",
    "deny",
    "host",
    "intercept",
    "price",
    "prices_file",
    "route",
    "tunnel_port",
    "usage_pattern",
    "users",
];

/// The keys in which two configurations differ: those that are reloaded, and those that are not.
#[must_use]
pub fn changed(before: &toml::Table, now: &toml::Table) -> (Vec<String>, Vec<String>) {
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| before.get(*key) != now.get(*key));
    differing
        .cloned()
        .partition(|key| RELOADED.contains(&key.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_new_start_is_told_from_what_does_not() {
        let table = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        let before = table("listen = \"a\"\ndeny = [\"x\"]\nadmin = \"off\"\n[aliases]\na = \"b\"");
        let now = table(
            "listen = \"b\"\ndeny = [\"x\"]\n[aliases]\na = \"c\"\n[[host]]\npattern = \"a\"",
        );
        let (reloaded, not) = changed(&before, &now);
        assert_eq!(reloaded, ["aliases", "host"]);
        assert_eq!(not, ["admin", "listen"]);
    }

    #[test]
    fn every_key_that_is_reloaded_is_an_option() {
        let error = toml::from_str::<crate::config::Options>("\"\" = 0").unwrap_err();
        for key in RELOADED {
            assert!(error.message().contains(&format!("`{key}`")), "{key}");
        }
    }
}
