//! Which pattern means which host, and which of several rules decides.

use super::*;

fn patterns(list: &[&str]) -> Vec<HostPattern> {
    let parse = |text: &&str| HostPattern::parse(text).unwrap();
    list.iter().map(parse).collect()
}

fn rules(deny: &[&str], intercept: &[&str], tunnel: &[&str]) -> HostRules {
    HostRules {
        deny: patterns(deny),
        intercept: patterns(intercept),
        tunnel: patterns(tunnel),
        ports: TunnelPorts::default(),
        named: Vec::new(),
    }
}

const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";

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
        "a.example.com..",
        "",
    ] {
        assert!(!below.matches(other), "{other}");
    }
    let exact = HostPattern::parse("Example.com.").unwrap();
    assert!(exact.matches("example.com") && !exact.matches("a.example.com"));
    for bad in [
        "",
        "*.",
        "**",
        "*a",
        "a..",
        "a..b",
        "https://x",
        "x:443",
        "a*b",
        "*.*.x",
        ".x",
        "*.*",
        "a b",
        "[x]",
        "1.2.3.4:5",
    ] {
        assert!(HostPattern::parse(bad).is_err(), "{bad}");
    }
}

/// What is denied, opened and tunnelled, a host, and what becomes of it.
type Row = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    HostAction,
);

const NONE: &[&str] = &[];

#[rustfmt::skip]
const RULES: &[Row] = &[
    (NONE, NONE, NONE, "example.com", HostAction::Tunnel),
    (NONE, NONE, NONE, BEDROCK, HostAction::Intercept),
    // An exact name beats a suffix, whatever either says.
    (&["*.example.com"], NONE, &["a.example.com"], "a.example.com", HostAction::Tunnel),
    (&["*.example.com"], NONE, &["a.example.com"], "b.example.com", HostAction::Deny),
    (&["a.example.com"], &["*.example.com"], NONE, "a.example.com", HostAction::Deny),
    (&["*.example.com"], &["a.example.com"], NONE, "A.Example.COM.", HostAction::Intercept),
    // A longer suffix beats a shorter one.
    (&["*.example.com"], NONE, &["*.ok.example.com"], "a.ok.example.com", HostAction::Tunnel),
    (&["*.example.com"], NONE, &["*.ok.example.com"], "ok.example.com", HostAction::Deny),
    (&["*.bad.ok.example.com"], &["*.example.com"], &["*.ok.example.com"], "x.bad.ok.example.com", HostAction::Deny),
    // An allow-list: `*` is less than anything, and than the endpoints that the gate is for.
    (&["*"], NONE, &["pypi.org", "*.github.com"], "pypi.org", HostAction::Tunnel),
    (&["*"], NONE, &["pypi.org", "*.github.com"], "api.github.com", HostAction::Tunnel),
    (&["*"], NONE, &["pypi.org", "*.github.com"], "github.com", HostAction::Deny),
    (&["*"], NONE, &["pypi.org", "*.github.com"], "evilpypi.org", HostAction::Deny),
    (&["*"], NONE, &["pypi.org", "*.github.com"], "pypi.org.evil", HostAction::Deny),
    (&["*"], NONE, NONE, BEDROCK, HostAction::Intercept),
    (NONE, NONE, &["*"], BEDROCK, HostAction::Intercept),
    // A suffix that holds a Bedrock endpoint is about it, too.
    (&["*.amazonaws.com"], NONE, NONE, BEDROCK, HostAction::Deny),
    (NONE, NONE, &["*.amazonaws.com"], BEDROCK, HostAction::Tunnel),
    (NONE, NONE, &[BEDROCK], BEDROCK, HostAction::Tunnel),
    (&["*.amazonaws.com"], &[BEDROCK], NONE, BEDROCK, HostAction::Intercept),
    // Equals.
    (&["x.com"], &["x.com"], &["x.com"], "x.com", HostAction::Deny),
    (NONE, &["x.com"], &["x.com"], "x.com", HostAction::Intercept),
    (&["*"], NONE, &["*"], "x.com", HostAction::Deny),
    // Addresses, however they are written.
    (&["10.0.0.1"], NONE, NONE, "0xa.1", HostAction::Deny),
    (&["167772161"], NONE, NONE, "::ffff:10.0.0.1", HostAction::Deny),
    (&["[::ffff:10.0.0.1]"], NONE, NONE, "10.0.0.1.", HostAction::Deny),
    (&["10.0.0.1"], NONE, NONE, "64:ff9b::a00:1", HostAction::Deny),
    (&["*"], NONE, &["2600::1"], "2600:0:0::1", HostAction::Tunnel),
    (&["10.0.0.1"], NONE, NONE, "10.0.0.1.example", HostAction::Tunnel),
    (&["*.0.0.1"], NONE, NONE, "example.com", HostAction::Tunnel),
];

#[test]
fn the_most_specific_rule_decides_and_of_equals_the_stricter() {
    for (deny, intercept, tunnel, host, want) in RULES {
        let rules = rules(deny, intercept, tunnel);
        assert_eq!(rules.action(host), *want, "{host} with {rules:?}");
    }
}

#[test]
fn names_of_other_scripts_become_what_clients_send() {
    for (pattern, host) in [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("*.bücher.example", "a.xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("xn--bcher-kva.example", "XN--BCHER-KVA.example"),
    ] {
        let read = HostPattern::parse(pattern).unwrap();
        assert!(read.matches(host), "{pattern}: {read:?}");
    }
    for bad in ["a\u{202e}b.example", "bü cher.example", "ü:1"] {
        assert!(HostPattern::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_host_is_vouched_for_by_whoever_names_it() {
    let rules = rules(
        &["evil.example", "10.0.0.5"],
        &["*.opened.example", "api.opened.example"],
        &["127.0.0.1", "localhost", "evil.example", "*.corp.example"],
    );
    for (host, want) in [
        ("localhost", Vouched::Itself),
        ("LOCALHOST.", Vouched::Itself),
        ("127.1", Vouched::Itself),
        ("::ffff:127.0.0.1", Vouched::Itself),
        ("api.opened.example", Vouched::Itself),
        ("a.opened.example", Vouched::AsOneOf),
        (BEDROCK, Vouched::AsOneOf),
        ("a.corp.example", Vouched::No),
        ("evil.example", Vouched::No),
        ("127.0.0.2", Vouched::No),
        ("::1", Vouched::No),
    ] {
        assert_eq!(rules.vouch(host), want, "{host}");
    }
    for (address, want) in [
        ("10.0.0.5", true),
        ("::ffff:10.0.0.5", true),
        ("10.0.0.6", false),
    ] {
        assert_eq!(
            rules.denies_address(address.parse().unwrap()),
            want,
            "{address}"
        );
    }
}

#[test]
fn tunnel_ports_are_443_unless_somebody_says_so() {
    let parse = |list: &[&str]| {
        let list: Vec<_> = list.iter().map(|&text| text.to_owned()).collect();
        TunnelPorts::parse(&list)
    };
    assert_eq!(parse(&[]).unwrap(), TunnelPorts::Only(vec![443]));
    assert_eq!(
        parse(&["8443", "443"]).unwrap(),
        TunnelPorts::Only(vec![8443, 443])
    );
    assert_eq!(parse(&["22", "*"]).unwrap(), TunnelPorts::Any);
    for bad in ["0", "65536", "https", "", "-1"] {
        assert!(parse(&[bad]).is_err(), "{bad}");
    }
    assert!(!TunnelPorts::default().permit(80) && TunnelPorts::Any.permit(25));
}
