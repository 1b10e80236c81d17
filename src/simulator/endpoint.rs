//! Which host names the simulator answers for, and the service and region each of them stands for.
//!
//! Written apart from the proxy's own recognition on purpose: the two must agree, and only independent code can show it.
//! The partitions' suffixes are not checked; the simulator is reached by whatever name a test gives it.

/// The service behind a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// `bedrock-runtime` and `bedrock-agent-runtime`.
    Runtime,
    /// `bedrock-mantle`.
    Mantle,
    /// A name without a service in it: `localhost` or an alias.
    Unnamed,
}

/// A host name that the simulator answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) service: Service,
    /// The region in the name; `None` when the name tells none.
    pub(super) region: Option<String>,
}

impl Endpoint {
    /// Reads a host name without port. `aliases` are further names that are answered for.
    pub(super) fn parse(host: &str, aliases: &[String]) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        if host == "localhost"
            || aliases
                .iter()
                .any(|alias| alias.eq_ignore_ascii_case(&host))
        {
            return Some(Self {
                service: Service::Unnamed,
                region: None,
            });
        }
        let mut labels = host.split('.').peekable();
        if labels.peek()?.starts_with("vpce-") {
            labels.next();
        }
        let service = match labels.next()? {
            "bedrock-runtime" | "bedrock-runtime-fips" => Service::Runtime,
            "bedrock-agent-runtime" | "bedrock-agent-runtime-fips" => Service::Runtime,
            "bedrock-mantle" | "bedrock-mantle-fips" => Service::Mantle,
            _ => return None,
        };
        let region = labels.next().filter(|label| is_region(label))?.to_owned();
        labels.next()?;
        Some(Self {
            service,
            region: Some(region),
        })
    }

    /// Whether a credential scope's service is good here.
    pub(super) fn takes_service(&self, service: &str) -> bool {
        match self.service {
            Service::Runtime => service == "bedrock",
            Service::Mantle | Service::Unnamed => matches!(service, "bedrock" | "bedrock-mantle"),
        }
    }

    /// Whether a credential scope's region is good here.
    pub(super) fn takes_region(&self, region: &str) -> bool {
        match &self.region {
            Some(own) => own == region,
            None => is_region(region),
        }
    }
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`: words joined by hyphens, a number at the end.
fn is_region(label: &str) -> bool {
    let Some((words, number)) = label.rsplit_once('-') else {
        return false;
    };
    let words_fit = words.contains('-')
        && words
            .split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_lowercase()));
    words_fit && !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_service_and_region() {
        let rows = [
            (
                "bedrock-runtime.us-east-1.amazonaws.com",
                Service::Runtime,
                Some("us-east-1"),
            ),
            (
                "BEDROCK-RUNTIME-FIPS.us-gov-west-1.api.aws",
                Service::Runtime,
                Some("us-gov-west-1"),
            ),
            (
                "bedrock-mantle.eu-west-2.api.aws",
                Service::Mantle,
                Some("eu-west-2"),
            ),
            (
                "bedrock-agent-runtime.eu-west-2.amazonaws.com",
                Service::Runtime,
                Some("eu-west-2"),
            ),
            (
                "vpce-0a1b-9z.bedrock-runtime.eu-west-1.vpce.amazonaws.com",
                Service::Runtime,
                Some("eu-west-1"),
            ),
            ("localhost", Service::Unnamed, None),
            ("models.corp.example", Service::Unnamed, None),
        ];
        let aliases = ["models.corp.example".to_owned()];
        for (host, service, region) in rows {
            let endpoint = Endpoint::parse(host, &aliases).expect(host);
            assert_eq!(
                (endpoint.service, endpoint.region.as_deref()),
                (service, region),
                "{host}"
            );
        }
    }

    #[test]
    fn other_names_are_not_answered_for() {
        for host in [
            "sts.us-east-1.amazonaws.com",
            "bedrock-runtime",
            "bedrock-runtime.us-east-1",
            "bedrock.us-east-1.amazonaws.com",
            "",
            "vpce-1",
        ] {
            assert_eq!(Endpoint::parse(host, &[]), None, "{host}");
        }
    }
}
