//! Which hosts are opened, which are refused, which pass by unopened.
//!
//! Names compare without case and without one trailing dot; a pattern is an exact name or `*.suffix`, which stands for
//! every name below the suffix and not for the suffix itself.

use crate::aws::endpoint::Endpoint;

/// An exact host name or `*.suffix`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name.
    Exact(String),
    /// Any name that ends in this, which starts with a dot.
    Below(String),
}

/// What the operator said about hosts.
#[derive(Clone, Debug, Default)]
pub struct HostRules {
    /// Opened in addition to every Bedrock endpoint.
    pub intercept: Vec<HostPattern>,
    /// Refused, before anything else is asked.
    pub deny: Vec<HostPattern>,
}

impl HostPattern {
    /// Reads an exact name or `*.suffix`.
    ///
    /// # Errors
    /// Says what a pattern may be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(fits) {
            return Err(format!(
                "`{text}` is neither a host name nor `*.` and a suffix (no scheme, no port)"
            ));
        }
        Ok(match lower.strip_prefix('*') {
            Some(suffix) => Self::Below(suffix.to_owned()),
            None => Self::Exact(lower),
        })
    }

    /// Whether `host` is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|&start| start > 0)
                .and_then(|start| host.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        }
    }

    /// The DNS subtree that a certificate for this pattern needs to be permitted in.
    #[must_use]
    pub fn subtree(&self) -> &str {
        match self {
            Self::Exact(name) => name,
            Self::Below(suffix) => suffix.trim_start_matches('.'),
        }
    }
}

impl HostRules {
    /// Whether connections to `host` are opened.
    #[must_use]
    pub fn is_intercepted(&self, host: &str) -> bool {
        Endpoint::parse(host).is_some()
            || self.intercept.iter().any(|pattern| pattern.matches(host))
    }

    /// Whether `host` is refused.
    #[must_use]
    pub fn is_denied(&self, host: &str) -> bool {
        self.deny.iter().any(|pattern| pattern.matches(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_pattern_means_names_below_it_only() {
        let below = HostPattern::parse("*.Example.COM").unwrap();
        assert!(below.matches("a.example.com"));
        assert!(below.matches("a.b.EXAMPLE.com."));
        for other in [
            "example.com",
            "badexample.com",
            ".example.com",
            "a.example.com.evil",
            "",
        ] {
            assert!(!below.matches(other), "{other}");
        }
        let exact = HostPattern::parse("Example.com.").unwrap();
        assert!(exact.matches("example.com") && !exact.matches("a.example.com"));
        for bad in ["", "*", "*.", "https://x", "x:443", "a*b", "*.*.x", ".x"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
