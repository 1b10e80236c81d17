//! What `NO_PROXY` holds: which of its entries would hide Bedrock from the gate, and which are always needed.
//!
//! There is no standard. Entries are separated by commas, for some readers by spaces; a name covers what is below it, with
//! or without a leading dot; some readers compare ends of names without looking for a dot, others know `*`. An entry is
//! taken to hide Bedrock when any of them would read it so for the name of some endpoint (`aws::endpoint`).

use wildmatch::WildMatch;

use crate::aws::endpoint::{AWS_DOMAINS, Endpoint, is_region};

/// Never through a proxy: what listens on this machine, and where containers and instances get their credentials, which
/// answer nobody but their own machine.
pub const ALWAYS: [&str; 8] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "fd00:ec2::254",
    "fd00:ec2::23",
];

/// The exceptions that remain, and those that cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// The new value.
    pub kept: String,
    /// Entries that would hide Bedrock, each once.
    pub hiding: Vec<String>,
}

/// Sorts the entries of what the user has, in both spellings of the variable, and adds [`ALWAYS`].
#[must_use]
pub fn exceptions(values: [String; 2]) -> Exceptions {
    let mut kept: Vec<&str> = Vec::new();
    let mut hiding: Vec<String> = Vec::new();
    for entry in values.iter().flat_map(|value| entries(value)) {
        if !hides_bedrock(entry) {
            if !kept.contains(&entry) {
                kept.push(entry);
            }
        } else if !hiding.iter().any(|known| known == entry) {
            hiding.push(entry.to_owned());
        }
    }
    for entry in ALWAYS {
        if !kept.contains(&entry) {
            kept.push(entry);
        }
    }
    Exceptions {
        kept: kept.join(","),
        hiding,
    }
}

/// The entries of a value.
pub fn entries(value: &str) -> impl Iterator<Item = &str> {
    value
        .split([',', ' ', '\t', '\n'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// Whether some client would not use a proxy for some Bedrock endpoint because of `entry`.
#[must_use]
pub fn hides_bedrock(entry: &str) -> bool {
    let entry = entry.to_ascii_lowercase();
    let entry = entry
        .split_once("://")
        .map_or(entry.as_str(), |(_, rest)| rest);
    let (name, port) = match entry.rsplit_once(':') {
        // More colons than one are an IPv6 address.
        Some((name, port)) if !name.contains(':') => (name, Some(port)),
        _ => (entry, None),
    };
    if port.is_some_and(|port| port != "443" && port != "*") {
        return false;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let tail = name.trim_start_matches(['*', '.']);
    if tail.is_empty() {
        // `*` alone means every host; a dot alone means nothing.
        return name.contains('*');
    }
    if Endpoint::parse(tail).is_some() {
        return true;
    }
    let pattern = name.contains('*').then(|| WildMatch::new(name));
    endpoints(name).any(|endpoint| {
        endpoint.ends_with(tail)
            || pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches(&endpoint))
    })
}

/// One endpoint of every kind and partition, in a region that `entry` names and in one that it need not name.
fn endpoints(entry: &str) -> impl Iterator<Item = String> {
    const SERVICES: [&str; 6] = [
        "bedrock-runtime",
        "bedrock-runtime-fips",
        "bedrock-mantle",
        "bedrock-mantle-fips",
        "bedrock-agent-runtime",
        "bedrock-agent-runtime-fips",
    ];
    let mut regions = vec!["us-east-1".to_owned()];
    regions.extend(
        entry
            .split('.')
            .filter(|label| is_region(label))
            .map(str::to_owned),
    );
    let domains = AWS_DOMAINS
        .iter()
        .flat_map(|domain| ["", "vpce."].map(|kind| format!("{kind}{domain}")));
    domains.flat_map(move |domain| {
        let regions = regions.clone();
        SERVICES.into_iter().flat_map(move |service| {
            let domain = domain.clone();
            let names = regions.clone().into_iter();
            names.map(move |region| format!("{service}.{region}.{domain}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_hides_bedrock_is_known() {
        for entry in [
            "*",
            "com",
            ".com",
            "aws",
            "amazonaws.com",
            "AmazonAWS.com",
            ".amazonaws.com",
            "*.amazonaws.com",
            "*amazonaws.com",
            "amazonaws.com.",
            "amazonaws.com:443",
            ".amazonaws.com:*",
            "https://amazonaws.com",
            "aws.com",
            "us-east-1.amazonaws.com",
            ".eu-west-3.amazonaws.com",
            "*.ap-southeast-7.amazonaws.com",
            "bedrock-runtime.us-west-2.amazonaws.com",
            "bedrock-runtime.us-west-2.amazonaws.com:443",
            ".bedrock-runtime.us-west-2.amazonaws.com",
            "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
            "bedrock-runtime.*.amazonaws.com",
            "bedrock*",
            "bedrock-*.eu-central-1.amazonaws.com",
            "bedrock-agent-runtime.eu-west-1.amazonaws.com",
            "api.aws",
            ".api.aws",
            "us-east-2.api.aws",
            "bedrock-mantle.us-east-2.api.aws",
            "amazonaws.com.cn",
            "cn",
            "vpce.amazonaws.com",
            "us-east-1.vpce.amazonaws.com",
            "vpce-0abc-1def.bedrock-runtime.us-east-1.vpce.amazonaws.com",
            "bedrock-runtime.us-east-1.vpce.amazonaws.com",
        ] {
            assert!(hides_bedrock(entry), "{entry}");
        }
    }

    #[test]
    fn what_does_not_hide_bedrock_stays() {
        for entry in [
            "localhost",
            "127.0.0.1",
            "127.0.0.0/8",
            "10.0.0.0/8",
            "::1",
            "[::1]:8080",
            "fd00::/8",
            "<local>",
            ".",
            "",
            "example.com",
            ".corp.example",
            "*.internal",
            "amazonaws.com.evil.example",
            "s3.amazonaws.com",
            ".s3.us-east-1.amazonaws.com",
            "sts.us-east-1.amazonaws.com",
            "bedrock.us-east-1.amazonaws.com",
            "s3.*.amazonaws.com",
            "amazonaws.com:8443",
            "my-bedrock-runtime.us-east-1.amazonaws.com.corp",
            "aws.example",
            "169.254.169.254",
        ] {
            assert!(!hides_bedrock(entry), "{entry}");
        }
    }

    #[test]
    fn entries_are_kept_once_and_in_order() {
        let found = exceptions([
            "a.example, amazonaws.com,localhost,,b.example c.example".to_owned(),
            "b.example,amazonaws.com,*".to_owned(),
        ]);
        assert_eq!(found.hiding, ["amazonaws.com", "*"]);
        assert_eq!(
            found.kept,
            "a.example,localhost,b.example,c.example,127.0.0.1,::1,169.254.169.254,169.254.170.2,169.254.170.23,\
             fd00:ec2::254,fd00:ec2::23"
        );
        assert_eq!(
            exceptions([String::new(), String::new()]).kept,
            ALWAYS.join(",")
        );
        let again = exceptions([found.kept.clone(), found.kept.clone()]);
        assert_eq!((again.kept, again.hiding.len()), (found.kept, 0));
    }
}
