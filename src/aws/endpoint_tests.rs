//! Which names are endpoints of the Bedrock data plane, and which only look like it.
//! One row per name; the strangers matter more than the acquaintances.

use proptest::prelude::*;

use super::endpoint::Service::{self, AgentRuntime, Mantle, Runtime};
use super::endpoint::{AWS_DOMAINS, Endpoint};

type Row = (&'static str, Service, &'static str, bool, bool);

/// Name; service, region, FIPS, VPC endpoint.
#[rustfmt::skip]
const ENDPOINTS: &[Row] = &[
    ("bedrock-runtime.us-east-1.amazonaws.com", Runtime, "us-east-1", false, false),
    ("bedrock-runtime.us-east-1.api.aws", Runtime, "us-east-1", false, false),
    ("bedrock-runtime-fips.us-east-2.amazonaws.com", Runtime, "us-east-2", true, false),
    ("bedrock-runtime-fips.ca-central-1.api.aws", Runtime, "ca-central-1", true, false),
    ("bedrock-runtime.ap-southeast-3.amazonaws.com", Runtime, "ap-southeast-3", false, false),
    ("bedrock-runtime.us-gov-west-1.amazonaws.com", Runtime, "us-gov-west-1", false, false),
    ("bedrock-runtime-fips.us-gov-east-1.api.aws", Runtime, "us-gov-east-1", true, false),
    ("bedrock-runtime.cn-north-1.amazonaws.com.cn", Runtime, "cn-north-1", false, false),
    ("bedrock-runtime.cn-northwest-1.api.amazonwebservices.com.cn", Runtime, "cn-northwest-1", false, false),
    ("bedrock-runtime.eusc-de-east-1.amazonaws.eu", Runtime, "eusc-de-east-1", false, false),
    ("bedrock-runtime.eusc-de-east-1.api.amazonwebservices.eu", Runtime, "eusc-de-east-1", false, false),
    ("bedrock-runtime.us-iso-east-1.c2s.ic.gov", Runtime, "us-iso-east-1", false, false),
    ("bedrock-runtime.us-iso-east-1.api.aws.ic.gov", Runtime, "us-iso-east-1", false, false),
    ("bedrock-runtime.us-isob-east-1.sc2s.sgov.gov", Runtime, "us-isob-east-1", false, false),
    ("bedrock-runtime.us-isob-east-1.api.aws.scloud", Runtime, "us-isob-east-1", false, false),
    ("bedrock-runtime.eu-isoe-west-1.cloud.adc-e.uk", Runtime, "eu-isoe-west-1", false, false),
    ("bedrock-runtime.eu-isoe-west-1.api.cloud-aws.adc-e.uk", Runtime, "eu-isoe-west-1", false, false),
    ("bedrock-runtime.us-isof-south-1.csp.hci.ic.gov", Runtime, "us-isof-south-1", false, false),
    ("bedrock-runtime.us-isof-south-1.api.aws.hci.ic.gov", Runtime, "us-isof-south-1", false, false),
    ("bedrock-mantle.eu-west-1.api.aws", Mantle, "eu-west-1", false, false),
    ("bedrock-agent-runtime.sa-east-1.amazonaws.com", AgentRuntime, "sa-east-1", false, false),
    ("bedrock-agent-runtime-fips.us-west-2.amazonaws.com", AgentRuntime, "us-west-2", true, false),
    ("vpce-0a1b2c3d4e5f-abcdefgh.bedrock-runtime.us-east-1.vpce.amazonaws.com", Runtime, "us-east-1", false, true),
    ("vpce-0a1b2c3d-abcd-us-east-1a.bedrock-mantle.us-east-1.vpce.amazonaws.com", Mantle, "us-east-1", false, true),
    ("vpce-0a1b-cd.bedrock-runtime-fips.us-east-1.vpce.amazonaws.com", Runtime, "us-east-1", true, true),
    // As they may be written.
    ("Bedrock-Runtime.US-East-1.AmazonAWS.com", Runtime, "us-east-1", false, false),
    ("bedrock-runtime.us-east-1.amazonaws.com.", Runtime, "us-east-1", false, false),
    ("bedrock-runtime.us-east-1.amazonaws.com:443", Runtime, "us-east-1", false, false),
    ("bedrock-runtime.us-east-1.amazonaws.com.:8443", Runtime, "us-east-1", false, false),
    ("bedrock-runtime.xx-somewhere-12.amazonaws.com", Runtime, "xx-somewhere-12", false, false),
];

fn endpoint(service: Service, region: &str, fips: bool, vpc_endpoint: bool) -> Endpoint {
    Endpoint {
        service,
        region: region.to_owned(),
        fips,
        vpc_endpoint,
    }
}

#[test]
fn names_of_every_partition_are_recognised() {
    for &(name, service, region, fips, vpc) in ENDPOINTS {
        assert_eq!(
            Endpoint::parse(name),
            Some(endpoint(service, region, fips, vpc)),
            "{name}"
        );
    }
}

#[test]
fn strangers_are_not() {
    let rows = [
        "",
        ".",
        "..",
        ":",
        ":443",
        "localhost",
        "127.0.0.1:443",
        "[::1]:443",
        "amazonaws.com",
        // Something before or behind.
        "bedrock-runtime.us-east-1.amazonaws.com.evil.example",
        "bedrock-runtime.us-east-1.amazonaws.com.evil.example:443",
        "bedrock-runtime.us-east-1.amazonaws.comx",
        "bedrock-runtime.us-east-1.amazonaws.com.cn.evil",
        "bedrock-runtime.us-east-1.xamazonaws.com",
        "bedrock-runtime.us-east-1.evil-amazonaws.com",
        "bedrock-runtime.us-east-1.evil.amazonaws.com",
        "evil.bedrock-runtime.us-east-1.amazonaws.com",
        "xbedrock-runtime.us-east-1.amazonaws.com",
        "bedrock-runtime-x.us-east-1.amazonaws.com",
        "bedrock-runtime-fips-fips.us-east-1.amazonaws.com",
        ".bedrock-runtime.us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1.amazonaws.com..",
        "bedrock-runtime..us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1..amazonaws.com",
        "user@bedrock-runtime.us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1.amazonaws.com/",
        "bedrock-runtime.us-east-1.amazonaws.com#",
        " bedrock-runtime.us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1.amazonaws.com ",
        "bedrock-runtime.us-east-1.amazonaws.com\n",
        "bedrock-runtime.us-east-1.amazonaws.com\0",
        // Ports that are none.
        "bedrock-runtime.us-east-1.amazonaws.com:",
        "bedrock-runtime.us-east-1.amazonaws.com:https",
        "bedrock-runtime.us-east-1.amazonaws.com:+443",
        "bedrock-runtime.us-east-1.amazonaws.com:65536",
        "bedrock-runtime.us-east-1.amazonaws.com:443:443",
        "bedrock-runtime.us-east-1.amazonaws.com:443.",
        // Other services of the family.
        "bedrock.us-east-1.amazonaws.com",
        "bedrock-agent.us-east-1.amazonaws.com",
        "bedrock-agentcore.us-east-1.amazonaws.com",
        "bedrock-data-automation-runtime.us-east-1.amazonaws.com",
        "sts.us-east-1.amazonaws.com",
        // Regions that are none.
        "bedrock-runtime.amazonaws.com",
        "bedrock-runtime.us.amazonaws.com",
        "bedrock-runtime.us-1.amazonaws.com",
        "bedrock-runtime.us-east.amazonaws.com",
        "bedrock-runtime.us-east-.amazonaws.com",
        "bedrock-runtime.us--1.amazonaws.com",
        "bedrock-runtime.us-ea5t-1.amazonaws.com",
        "bedrock-runtime.u-east-1.amazonaws.com",
        "bedrock-runtime.usaaa-east-1.amazonaws.com",
        "bedrock-runtime.-east-1.amazonaws.com",
        // VPC endpoint ids that are none.
        "vpce-.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "vpce-a_b.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "vpc-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "vpce-a.vpce-b.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "bedrock-runtime.us-east-1.vpce.vpce.amazonaws.com",
        // Letters that look like ours, or become ours when lowered.
        "bedrock-runtime.us-east-1.аmazonaws.com",
        "bedroc\u{212a}-runtime.us-east-1.amazonaws.com",
        "bedrock-runtime。us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-١.amazonaws.com",
    ];
    for name in rows {
        assert_eq!(Endpoint::parse(name), None, "{name:?}");
    }
}

#[test]
fn overlong_names_are_refused() {
    let region = format!("us-{}-1", "a".repeat(100));
    let rows = [
        "a".repeat(1 << 20),
        "vpce-".repeat(1 << 16),
        "bedrock-runtime.".repeat(1 << 14),
        format!("bedrock-runtime.{region}.amazonaws.com"),
        format!(
            "vpce-{}.bedrock-runtime.us-east-1.amazonaws.com",
            "a".repeat(64)
        ),
    ];
    for name in rows {
        assert_eq!(Endpoint::parse(&name), None);
    }
}

#[test]
fn signing_names_differ_on_mantle_only() {
    assert_eq!(Runtime.signing_name(), "bedrock");
    assert_eq!(AgentRuntime.signing_name(), "bedrock");
    assert_eq!(Mantle.signing_name(), "bedrock-mantle");
}

#[test]
fn no_domain_implies_another() {
    for domain in AWS_DOMAINS {
        assert_eq!(*domain, domain.to_ascii_lowercase());
        assert!(!domain.starts_with('.') && domain.contains('.'));
        for other in AWS_DOMAINS {
            assert!(!domain.ends_with(&format!(".{other}")), "{domain} {other}");
        }
    }
    let mut sorted = AWS_DOMAINS.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), AWS_DOMAINS.len());
}

proptest! {
    #[test]
    fn whatever_is_recognised_lies_below_an_aws_domain(
        name in "(vpce-[0-9a-z-]{0,4}[.])?bedrock-(runtime|mantle|agent-runtime|agent)(-fips)?[.]\
                 [a-z]{1,5}-[a-z]{0,3}-?[0-9]{0,2}[.](vpce[.])?(amazonaws|api)[.](com|aws|eu)([.:][a-z0-9]{0,4})?"
    ) {
        if let Some(endpoint) = Endpoint::parse(&name) {
            let host = name.split(':').next().unwrap().trim_end_matches('.');
            prop_assert!(AWS_DOMAINS.iter().any(|domain| host.ends_with(&format!(".{domain}"))), "{}", name);
            let region = format!(".{}.", endpoint.region);
            prop_assert!(host.contains(&region), "{}", name);
        }
    }

    #[test]
    fn no_host_panics(name in any::<String>()) {
        prop_assert_eq!(Endpoint::parse(&name), None);
    }
}
