//! The variables that clients read: where they lead, whom they trust, and where two of them contradict each other.
//!
//! Pure but for [`look`]: variables and what files hold in, findings out. What each client reads is in docs/clients.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::finding::{Finding, Level};
use crate::cli::env::proxy_url;
use crate::cli::environment::no_proxy::{entries, hides_bedrock};
use crate::net::certificates::certificates_in;

/// The gate and its files.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) listen: SocketAddr,
    pub(super) ca: PathBuf,
    pub(super) bundle: PathBuf,
}

/// What a file of roots holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It cannot be read.
    Missing,
    /// Our root alone.
    OursAlone,
    /// Our root and others.
    OursAndOthers,
    /// Others only.
    Others,
    /// There is no root of ours to look for.
    Unknown,
}

/// Reads a file of roots.
pub(super) fn look(file: &Path, root: Option<&CertificateDer<'_>>) -> Held {
    let Ok(pem) = std::fs::read(file) else {
        return Held::Missing;
    };
    let Some(root) = root else {
        return Held::Unknown;
    };
    let held = certificates_in(&pem);
    if !held.contains(root) {
        Held::Others
    } else if held.len() > 2 {
        Held::OursAndOthers
    } else {
        // After a rotation there are two of ours.
        Held::OursAlone
    }
}

type Variables = BTreeMap<String, String>;

fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    let value = variables.get(name)?.as_str();
    (!value.is_empty()).then_some(value)
}

/// The region that clients started here would call.
pub(super) fn region(variables: &Variables) -> String {
    let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let named = names.into_iter().find_map(|name| value(variables, name));
    let fits = |region: &&str| crate::aws::endpoint::is_region(region);
    named.filter(fits).unwrap_or("us-east-1").to_owned()
}

/// Every finding about the variables; one that all is well, if there is no other.
pub(super) fn check(
    variables: &Variables,
    ours: &Ours,
    holds: &dyn Fn(&Path) -> Held,
) -> Vec<Finding> {
    let proxied = leads_to_us(variables, ours);
    let mut findings = proxy(variables, ours);
    findings.extend(disagreements(variables));
    findings.extend(no_proxy(variables, proxied));
    findings.extend(trust(variables, ours, proxied, holds));
    findings.extend(endpoints(variables, ours));
    findings
}

const PROXIES: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];

/// Host, port and scheme of a proxy's URL; what is before an `@` is nobody's business.
fn proxy_parts(url: &str) -> (String, Option<(String, u16)>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let place = authority.rsplit_once(':').and_then(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_ascii_lowercase(), port.parse().ok()?))
    });
    (scheme.to_ascii_lowercase(), place)
}

fn is_us(url: &str, ours: &Ours) -> bool {
    let (_, Some((host, port))) = proxy_parts(url) else {
        return false;
    };
    let loopback = |host: &str| {
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback() || address == ours.listen.ip())
    };
    port == ours.listen.port() && loopback(&host)
}

fn leads_to_us(variables: &Variables, ours: &Ours) -> bool {
    let mut set = PROXIES.iter().filter_map(|name| value(variables, name));
    set.any(|url| is_us(url, ours))
}

/// A URL without what may be a password.
fn shown(url: &str) -> String {
    match proxy_parts(url) {
        (scheme, Some((host, port))) => format!("{scheme}://{host}:{port}"),
        (scheme, None) => format!("an address without a port ({scheme})"),
    }
}

fn proxy(variables: &Variables, ours: &Ours) -> Vec<Finding> {
    // A client that reads the lower-case name would not see the other.
    let mend = |name: &str| format!("export {name}={}", proxy_url(ours.listen, None));
    let set = PROXIES
        .iter()
        .find_map(|name| Some((name, value(variables, name)?)));
    let Some((name, url)) = set else {
        let text = "HTTPS_PROXY is not set here: programs started from here go past the gate";
        return vec![Finding::warn("proxy", text).mend(mend("HTTPS_PROXY"))];
    };
    if !is_us(url, ours) {
        let text = format!(
            "{name} leads to {}, not to the gate at {}",
            shown(url),
            ours.listen
        );
        return vec![Finding::warn("proxy", text).mend(mend(name))];
    }
    let (scheme, _) = proxy_parts(url);
    if scheme == "https" {
        let text = format!(
            "{name} is an https:// URL: TLS to the gate itself, which few clients speak. boto3 does: it verifies the \
             gate with proxies_config proxy_ca_bundle, or, with proxy_use_forwarding_for_https, with AWS_CA_BUNDLE alone"
        );
        return vec![Finding::warn("proxy", text).mend(mend(name))];
    }
    if scheme != "http" {
        let text =
            format!("{name} names the gate with the scheme {scheme}, which it does not speak");
        return vec![Finding::fail("proxy", text).mend(mend(name))];
    }
    vec![Finding::ok("proxy", format!("{name} leads to the gate"))]
}

/// Where both spellings are set and differ, every client has a preference of its own.
fn disagreements(variables: &Variables) -> Vec<Finding> {
    let names = [
        ("https_proxy", "HTTPS_PROXY"),
        ("no_proxy", "NO_PROXY"),
        ("all_proxy", "ALL_PROXY"),
    ];
    let differ = |(lower, upper): &(&str, &str)| {
        let (lower, upper) = (value(variables, lower), value(variables, upper));
        lower.is_some() && upper.is_some() && lower != upper
    };
    names
        .into_iter()
        .filter(differ)
        .map(|(lower, upper)| {
            let text = format!(
                "{lower} and {upper} are both set and differ: some clients read the one, some the other"
            );
            Finding::warn("proxy", text).mend(format!("unset {lower}"))
        })
        .collect()
}

fn no_proxy(variables: &Variables, proxied: bool) -> Vec<Finding> {
    let level = if proxied { Level::Fail } else { Level::Warn };
    let mut findings = Vec::new();
    for name in ["no_proxy", "NO_PROXY"] {
        let Some(list) = value(variables, name) else {
            continue;
        };
        let (hiding, kept): (Vec<&str>, Vec<&str>) =
            entries(list).partition(|entry| hides_bedrock(entry));
        if hiding.is_empty() {
            continue;
        }
        let text = format!(
            "{name} holds {}, which leads calls to Bedrock past the gate",
            hiding.join(" and ")
        );
        let mend = format!("export {name}='{}'", kept.join(","));
        findings.push(Finding::new("no_proxy", level, text).mend(mend));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("no_proxy", "hides no Bedrock host"));
    }
    findings
}

/// Variables that replace a client's roots, and who reads them.
const REPLACING: [(&str, &str); 4] = [
    ("AWS_CA_BUNDLE", "boto3 and the AWS CLI"),
    (
        "REQUESTS_CA_BUNDLE",
        "requests, and boto3 where AWS_CA_BUNDLE is not set",
    ),
    ("SSL_CERT_FILE", "OpenSSL, httpx and most others"),
    ("CURL_CA_BUNDLE", "curl and requests"),
];

fn trust(
    variables: &Variables,
    ours: &Ours,
    proxied: bool,
    holds: &dyn Fn(&Path) -> Held,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let set = |name: &str| value(variables, name).is_some();
    // What boto3 and the AWS CLI read; the others may belong to programs that do not use the gate.
    let decisive = if set("AWS_CA_BUNDLE") {
        "AWS_CA_BUNDLE"
    } else {
        "REQUESTS_CA_BUNDLE"
    };
    let files = REPLACING
        .iter()
        .map(|(name, readers)| (*name, *readers, &ours.bundle));
    let adding = ("NODE_EXTRA_CA_CERTS", "Node.js", &ours.ca);
    for (name, readers, good) in files.chain([adding]) {
        let Some(file) = value(variables, name) else {
            continue;
        };
        let mend = format!("export {name}='{}'", good.display());
        let replaces = name != "NODE_EXTRA_CA_CERTS";
        let wrong = if proxied && name == decisive {
            Level::Fail
        } else {
            Level::Warn
        };
        let finding = match holds(Path::new(file)) {
            Held::Missing if replaces => Finding::fail(
                "trust",
                format!("{name} is {file}, which cannot be read; {readers} will trust nobody"),
            ),
            Held::Missing => Finding::warn(
                "trust",
                format!(
                    "{name} is {file}, which cannot be read; {readers} will not trust the gate"
                ),
            ),
            Held::Others => Finding::new(
                "trust",
                wrong,
                format!("{name} is {file}, which does not hold the gate's root; read by {readers}"),
            ),
            Held::OursAlone if replaces => Finding::warn(
                "trust",
                format!(
                    "{name} is {file}, which holds the gate's root alone: {readers} will refuse every other host"
                ),
            ),
            Held::Unknown => Finding::warn(
                "trust",
                format!("{name} is {file}; there is no root of the gate to look for in it"),
            ),
            Held::OursAlone | Held::OursAndOthers => {
                findings.push(Finding::ok(
                    "trust",
                    format!("{name} holds the gate's root"),
                ));
                continue;
            }
        };
        findings.push(finding.mend(mend));
    }
    if let Some(directory) = value(variables, "SSL_CERT_DIR") {
        let text = format!(
            "SSL_CERT_DIR is {directory}: curl and Go look there besides or instead of the file that names our bundle"
        );
        findings.push(Finding::warn("trust", text).mend("unset SSL_CERT_DIR"));
    }
    if proxied && !set("AWS_CA_BUNDLE") && !set("REQUESTS_CA_BUNDLE") {
        let text = "AWS_CA_BUNDLE is not set: boto3 and the AWS CLI refuse the gate's certificates, unless the program \
                    says verify= or ~/.aws/config ca_bundle";
        let mend = format!("export AWS_CA_BUNDLE='{}'", ours.bundle.display());
        findings.push(Finding::warn("trust", text).mend(mend));
    }
    findings
}

/// Variables that send a client elsewhere, signed for elsewhere.
fn endpoints(variables: &Variables, ours: &Ours) -> Vec<Finding> {
    let ignored = value(variables, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    if ignored.is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        return Vec::new();
    }
    ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
        .into_iter()
        .filter_map(|name| Some((name, value(variables, name)?)))
        .map(|(name, url)| endpoint(name, url, ours).mend(format!("unset {name}")))
        .collect()
}

/// What it means that a client is told to call `url`.
pub(super) fn endpoint(name: &str, url: &str, ours: &Ours) -> Finding {
    if is_us(url, ours) {
        let text = format!(
            "{name} names the gate: requests would be signed for it and refused by AWS; the gate is a proxy, not an endpoint"
        );
        return Finding::fail("endpoint", text);
    }
    let text = format!("{name} sends calls to {} instead of AWS", shown(url));
    Finding::warn("endpoint", text)
}
