//! The names that people use for key ids, accounts, roles and model ARNs.
//!
//! An alias is an exact id or a pattern in which `*` stands for anything; exact ids win, then patterns in the order of
//! their text. Which of a caller's ids is asked for first is the proxy's business.

use std::collections::BTreeMap;

use wildmatch::WildMatchPattern;

/// A pattern in which only `*` is special: ARNs may hold `?` as little as anything else, but names need not.
type Pattern = WildMatchPattern<'*', '\0'>;

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    exact: BTreeMap<String, String>,
    patterns: Vec<(Pattern, String)>,
}

impl Aliases {
    /// The table of `[aliases]`.
    ///
    /// # Errors
    /// Which entry is empty.
    pub fn new(entries: BTreeMap<String, String>) -> Result<Self, String> {
        let mut aliases = Self::default();
        for (id, name) in entries {
            if id.trim().is_empty() || name.trim().is_empty() {
                return Err(format!(
                    "`{id}` = `{name}`: neither an id nor its name can be empty"
                ));
            }
            if id.contains('*') {
                aliases.patterns.push((Pattern::new(&id), name));
            } else {
                aliases.exact.insert(id, name);
            }
        }
        Ok(aliases)
    }

    /// The name of `id`, if it has one.
    #[must_use]
    pub fn name(&self, id: &str) -> Option<&str> {
        let pattern = || {
            self.patterns
                .iter()
                .find(|(pattern, _)| pattern.matches(id))
        };
        let exact = self.exact.get(id);
        exact
            .or_else(|| pattern().map(|(_, name)| name))
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_ids_win_over_patterns() {
        let entries = [
            ("AKIAEXAMPLE000000001", "nightly job"),
            ("arn:aws:sts::*:assumed-role/search/*", "search team"),
            ("arn:aws:sts::1:assumed-role/search/bob", "Bob"),
        ];
        let entries = entries.map(|(id, name)| (id.to_owned(), name.to_owned()));
        let aliases = Aliases::new(entries.into()).unwrap();
        for (id, name) in [
            ("AKIAEXAMPLE000000001", Some("nightly job")),
            (
                "arn:aws:sts::1:assumed-role/search/alice",
                Some("search team"),
            ),
            ("arn:aws:sts::1:assumed-role/search/bob", Some("Bob")),
            ("arn:aws:sts::1:assumed-role/other/alice", None),
            ("", None),
        ] {
            assert_eq!(aliases.name(id), name, "{id}");
        }
        for (id, name) in [("", "x"), ("x", " ")] {
            let entries = [(id.to_owned(), name.to_owned())];
            assert!(Aliases::new(entries.into()).is_err());
        }
    }
}
