//! Defaults, wrong values, and what overrides what.

use std::path::PathBuf;

use super::accounting::{ClientAbort, DrainLimits};
use super::load::ConfigError;
use super::options::Options;
use super::settings::*;
use crate::ledger::Durability;

fn settings(file: &str) -> Result<Settings, ConfigError> {
    Settings::from_options(toml::from_str(file).unwrap(), PathBuf::from("/home"), None)
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let settings = settings("").unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:5380");
    assert_eq!(settings.capture_limit(), 1024 * 1024);
    assert_eq!(
        settings.policy.routes,
        [RouteRule {
            prefix: DEFAULT_ROUTE.to_owned(),
            upstream: None,
            ..RouteRule::default()
        }]
    );
    assert_eq!(settings.private_destinations, PrivateDestinations::Allow);
}

#[test]
fn the_ledger_is_kept_as_the_file_says() {
    let settings = settings("retain = \"90d,20GB\"\ndurability = \"relaxed\"").unwrap();
    assert_eq!(settings.ledger.durability, Durability::Relaxed);
    assert_eq!(settings.ledger.retention, "20GB,90d".parse().unwrap());
}

#[test]
fn whoever_asks_clients_who_they_are_may_listen_beyond_loopback() {
    let beyond = "listen = \"0.0.0.0:5380\"";
    let by_certificate = settings(&format!("{beyond}\nclient_ca = \"clients.pem\"")).unwrap();
    assert_eq!(by_certificate.client_ca, Some("clients.pem".into()));
    let file = tempfile::NamedTempFile::new().unwrap();
    let by_password = format!("{beyond}\nusers = '{}'", file.path().display());
    let by_password = settings(&by_password).unwrap();
    assert!(
        by_password
            .policy
            .users
            .is_some_and(|users| users.is_empty())
    );
    assert!(settings("[[access]]\nuser = \"*\"\nmodel = \"a\"").is_ok());
}

#[test]
fn every_wrong_option_is_named() {
    let rows = [
        ("listen = \"5380\"", "listen"),
        ("listen = \"0.0.0.0:5380\"", "--allow-anonymous"),
        ("listen = \"0.0.0.0:5380\"", "--users"),
        ("users = \"/nowhere/users\"", "/nowhere/users"),
        ("[[access]]\nuser = \"alice\"", "`users` or `client_ca`"),
        ("client_ca = \"x.pem\"\n[[access]]\nuser = []", "`user`"),
        ("tls_cert = \"c.pem\"", "tls-cert"),
        ("ca_key = \"k.pem\"", "ca-key"),
        ("intercept = [\"https://x\"]", "intercept"),
        ("deny = [\"\"]", "deny"),
        ("payload = \"some\"", "full, preview, none"),
        ("payload_limit = 16777217", "16777216"),
        ("log_format = \"xml\"", "text, json"),
        ("durability = \"none\"", "strict, relaxed"),
        ("retain = \"90\"", "retain"),
        ("retain = \"1d,2d\"", "one age"),
        ("private_destinations = \"no\"", "auto, allow, deny"),
        ("connect_to = [\"a:1:b\"]", "connect-to"),
        ("connect_to = [\"a:0:b:1\"]", "connect-to"),
        ("connect_to = [\"a:1::1\"]", "connect-to"),
        ("on_client_abort = \"wait\"", "close, drain"),
        ("drain_seconds = 0", "--on-client-abort close"),
        ("drain_bytes = 0", "drain-bytes"),
        ("drain_concurrent = 0", "drain-concurrent"),
        ("on_ledger_failure = \"stop\"", "serve, refuse"),
        ("learn_sessions = true", "sts.amazonaws.com"),
        (
            "learn_sessions = true\nintercept = [\"*.example.com\"]",
            "--intercept",
        ),
        ("[aliases]\nx = \"\"", "aliases"),
        ("[[route]]\nprefix = \"service\"", "service"),
        (
            "[[route]]\nprefix = \"/a/\"\nupstream = \"https://h/path\"",
            "no path",
        ),
        (
            "[[route]]\nprefix = \"/a/\"\nupstream = \"http://h\"",
            "https://HOST",
        ),
        (
            "[[route]]\nprefix = \"/a/\"\n[[route]]\nprefix = \"/a/\"",
            "twice",
        ),
    ];
    for (file, want) in rows {
        let message = settings(file).unwrap_err().to_string();
        assert!(message.contains(want), "{file}: {message}");
    }
}

#[test]
fn the_environment_gives_routes_their_upstream() {
    let base = Some("https://bedrock-runtime.eu-west-1.amazonaws.com/");
    let settings = Settings::from_options(Options::default(), PathBuf::new(), base).unwrap();
    let upstream = settings.policy.routes[0].upstream.clone();
    assert_eq!(
        upstream,
        Some(("bedrock-runtime.eu-west-1.amazonaws.com".to_owned(), 443))
    );
}

#[test]
fn connect_to_matches_as_curl_does() {
    let rules = settings("connect_to = [\"A:443:127.0.0.1:1\", \":80:[::1]:2\", \"b::c:3\"]")
        .unwrap()
        .connect_to;
    let rows = [
        (("a", 443), ("127.0.0.1", 1)),
        (("a", 80), ("::1", 2)),
        (("b", 9), ("c", 3)),
        (("d", 443), ("d", 443)),
    ];
    for ((host, port), want) in rows {
        assert_eq!(dial_target(&rules, host, port), want, "{host}:{port}");
    }
}

#[test]
fn sessions_can_be_learned_where_sts_is_opened() {
    for pattern in [
        "sts.us-east-1.amazonaws.com",
        "*.amazonaws.com",
        "*.us-east-1.amazonaws.com",
    ] {
        let file = format!("learn_sessions = true\nintercept = [\"{pattern}\"]");
        assert!(
            settings(&file).unwrap().accounting.learn_sessions,
            "{pattern}"
        );
    }
}

#[test]
fn draining_has_limits() {
    assert_eq!(
        settings("").unwrap().accounting.on_client_abort,
        ClientAbort::Close
    );
    let file = "on_client_abort = \"drain\"\ndrain_seconds = 5\ndrain_concurrent = 2";
    assert_eq!(
        settings(file).unwrap().accounting.on_client_abort,
        ClientAbort::Drain(DrainLimits {
            time: std::time::Duration::from_secs(5),
            bytes: 16 * 1024 * 1024,
            concurrent: 2,
        })
    );
}

#[test]
fn a_port_that_connect_to_names_with_its_host_may_be_reached() {
    let file = "connect_to = [\"git.test:22:127.0.0.1:2222\", \":8443:127.0.0.1:1\", \"any.test::127.0.0.1:1\"]";
    let hosts = settings(file).unwrap().policy.hosts;
    for (host, port, permitted) in [
        ("git.test", 22, true),
        ("GIT.test", 22, true),
        ("git.test", 443, true),
        ("git.test", 2222, false),
        ("other.test", 22, false),
        ("other.test", 8443, false),
        ("any.test", 22, false),
    ] {
        assert_eq!(hosts.permits_port(host, port), permitted, "{host}:{port}");
    }
}
