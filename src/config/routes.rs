//! Path prefixes: where each leads, and who may use it.

use serde::{Deserialize, Serialize};
use wildmatch::WildMatchPattern;

use super::load::ConfigError;
use super::settings::invalid;
use crate::wire::http1::{RequestTarget, Scheme};

/// The route that exists without configuration.
pub const DEFAULT_ROUTE: &str = "/service/standard/";

/// One `[[route]]` of the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteOption {
    /// Path prefix, from `/` to `/`.
    pub prefix: String,
    /// `https://host[:port]` for requests whose Host is not a Bedrock endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Globs of who may use it: access key ids, account ids, labels of API keys, proxy users, roles, aliases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
}

/// One path prefix and where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRule {
    /// From `/` to `/`.
    pub prefix: String,
    /// Host and port for requests whose Host is not a Bedrock endpoint.
    pub upstream: Option<(String, u16)>,
    /// Globs of who may use it; `None` is everybody.
    pub allow: Option<Vec<String>>,
}

/// A pattern in which only `*` is special, as in `[aliases]`.
type Glob = WildMatchPattern<'*', '\0'>;

impl RouteRule {
    /// Whether somebody may use it who is known by `names`: one of them has to match.
    #[must_use]
    pub fn allows<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        let Some(allow) = &self.allow else {
            return true;
        };
        let globs: Vec<Glob> = allow.iter().map(|text| Glob::new(text)).collect();
        names.any(|name| globs.iter().any(|glob| glob.matches(name)))
    }
}

/// The rules of `[[route]]` and the default one, longest prefix first. `base`: the upstream of those that name none.
///
/// # Errors
/// Which table cannot be used, and why.
pub(super) fn routes(
    options: &[RouteOption],
    base: Option<(String, u16)>,
) -> Result<Vec<RouteRule>, ConfigError> {
    let mut rules = Vec::with_capacity(options.len() + 1);
    for (index, option) in options.iter().enumerate() {
        let rule = rule(option, base.as_ref()).map_err(|why| wrong(index, &why))?;
        if rules
            .iter()
            .any(|other: &RouteRule| other.prefix == rule.prefix)
        {
            return Err(wrong(
                index,
                &format!("the prefix `{}` stands twice", rule.prefix),
            ));
        }
        rules.push(rule);
    }
    if !rules.iter().any(|rule| rule.prefix == DEFAULT_ROUTE) {
        rules.push(RouteRule {
            prefix: DEFAULT_ROUTE.to_owned(),
            upstream: base,
            allow: None,
        });
    }
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
    Ok(rules)
}

fn rule(option: &RouteOption, base: Option<&(String, u16)>) -> Result<RouteRule, String> {
    let RouteOption {
        prefix,
        upstream,
        allow,
    } = option;
    let fits = prefix.starts_with('/') && prefix.ends_with('/') && prefix.len() > 1;
    if !fits || prefix.contains(['?', '#', '%']) || prefix.contains("//") {
        return Err(format!(
            "the prefix `{prefix}` does not run from / to / as /service/team-a/ does"
        ));
    }
    if allow.as_ref().is_some_and(Vec::is_empty) {
        return Err("`allow` is empty, so that nobody may use the route; leave it out for everybody, or name somebody".to_owned());
    }
    if allow.iter().flatten().any(|glob| glob.trim().is_empty()) {
        return Err("`allow` holds an empty text, which is nobody's name".to_owned());
    }
    let upstream = match upstream {
        Some(text) => Some(parse_upstream(text)?),
        None => base.cloned(),
    };
    Ok(RouteRule {
        prefix: prefix.clone(),
        upstream,
        allow: allow.clone(),
    })
}

fn wrong(index: usize, why: &str) -> ConfigError {
    invalid("route", format!("[[route]] {}: {why}", index + 1))
}

pub(super) fn parse_upstream(text: &str) -> Result<(String, u16), String> {
    let wanted = "is not https://HOST[:PORT] (no path: a signed path cannot be changed)";
    let Ok(RequestTarget::Absolute {
        scheme: Scheme::Https,
        authority,
        path: "" | "/",
    }) = RequestTarget::parse("POST", text)
    else {
        return Err(format!("`{text}` {wanted}"));
    };
    Ok((
        authority.host.to_ascii_lowercase(),
        authority.port_or_default(Scheme::Https),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_name_that_matches_may_use_a_route() {
        let rule = |allow: &[&str]| RouteRule {
            allow: Some(allow.iter().map(|&text| text.to_owned()).collect()),
            ..RouteRule::default()
        };
        let rows: &[(&[&str], &[&str], bool)] = &[
            (&["AKIA1"], &["AKIA1", "123456789012"], true),
            (&["123456789012"], &["AKIA1", "123456789012"], true),
            (&["search *", "AKIA9"], &["AKIA1", "search team"], true),
            (&["AKIA*"], &["ASIA1"], false),
            (&["AKIA"], &["AKIA1"], false),
            (&["akia1"], &["AKIA1"], false),
            (&["*"], &["anybody"], true),
            (&["*"], &[], false),
            (&["a?c"], &["abc"], false),
        ];
        for (allow, names, want) in rows {
            let names = names.iter().copied();
            assert_eq!(rule(allow).allows(names), *want, "{allow:?}");
        }
        assert!(RouteRule::default().allows(std::iter::empty()));
    }
}
