//! The table as it is laid over what users have set.

use std::collections::HashMap;
use std::path::Path;

use super::*;

fn planned(user: &[(&str, &str)]) -> Plan {
    let user: HashMap<&str, &str> = user.iter().copied().collect();
    let values = Values {
        proxy: "http://127.0.0.1:5380",
        bundle: Path::new("/home/me/tollgate/bundle.pem"),
        root: Path::new("/home/me/tollgate/ca.pem"),
        goes_on: false,
    };
    plan(values, |name| user.get(name).map(OsString::from))
}

#[test]
fn each_variable_gets_what_its_readers_need() {
    let plan = planned(&[]);
    assert!(plan.notes.is_empty());
    let is = |name: &str, value: &str| {
        assert_eq!(plan.value(name).unwrap(), value, "{name}");
    };
    for name in ["HTTPS_PROXY", "https_proxy"] {
        is(name, "http://127.0.0.1:5380");
    }
    for name in ["NO_PROXY", "no_proxy"] {
        is(name, &no_proxy::ALWAYS.join(","));
    }
    for name in [
        "AWS_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "CARGO_HTTP_CAINFO",
        "PIP_CERT",
    ] {
        is(name, "/home/me/tollgate/bundle.pem");
    }
    for name in ["NODE_EXTRA_CA_CERTS", "DENO_CERT"] {
        is(name, "/home/me/tollgate/ca.pem");
    }
    is("NODE_USE_ENV_PROXY", "1");
    let removed = plan
        .settings
        .iter()
        .filter(|setting| setting.value.is_none());
    let removed: Vec<_> = removed.map(|setting| setting.name).collect();
    assert_eq!(removed, ["SSL_CERT_DIR"]);
    for left_alone in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        assert!(
            plan.settings
                .iter()
                .all(|setting| setting.name != left_alone)
        );
    }
}

#[test]
fn every_variable_stands_once_and_says_who_reads_it() {
    for (at, variable) in VARIABLES.iter().enumerate() {
        assert!(!variable.read_by.is_empty(), "{}", variable.name);
        let others = VARIABLES.iter().skip(at + 1);
        assert!(others.clone().all(|other| other.name != variable.name));
    }
}

#[test]
fn what_hides_bedrock_is_left_out_and_said() {
    let plan = planned(&[
        ("NO_PROXY", "corp.example,.amazonaws.com"),
        ("no_proxy", "api.aws"),
    ]);
    let entries: Vec<_> = plan.notes.iter().map(ToString::to_string).collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(
        entries
            .iter()
            .any(|entry| entry.contains("`.amazonaws.com`"))
    );
    assert!(entries.iter().any(|entry| entry.contains("`api.aws`")));
    let kept = plan.value("NO_PROXY").unwrap().to_str().unwrap();
    assert!(kept.starts_with("corp.example,localhost,"), "{kept}");
    assert_eq!(plan.value("no_proxy"), plan.value("NO_PROXY"));
}

#[test]
fn another_proxy_is_named_without_its_password() {
    let plan = planned(&[
        ("HTTPS_PROXY", "http://me:s3cret@proxy.corp:3128/"),
        ("https_proxy", "proxy.corp:3128"),
    ]);
    let [Note::OtherProxy { address, .. }] = plan.notes.as_slice() else {
        panic!("{:?}", plan.notes);
    };
    assert_eq!(address, "proxy.corp:3128");
    let told = plan.notes[0].to_string();
    assert!(
        !told.contains("s3cret") && told.contains("--upstream-proxy"),
        "{told}"
    );
    let ours = planned(&[("HTTPS_PROXY", "http://run-abcdef:x@127.0.0.1:5380")]);
    assert!(ours.notes.is_empty(), "{:?}", ours.notes);
}

#[test]
fn a_proxy_that_the_gate_goes_on_to_is_not_missed() {
    let values = Values {
        proxy: "http://127.0.0.1:5380",
        bundle: Path::new("b"),
        root: Path::new("c"),
        goes_on: true,
    };
    let plan = plan(values, |name| {
        (name == "HTTPS_PROXY").then(|| "proxy.corp:3128".into())
    });
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
}

#[test]
fn endpoints_that_are_not_aws_are_warned_of() {
    for (url, warned) in [
        ("http://localhost:4566", true),
        ("https://user:s3cret@gateway.corp/bedrock", true),
        ("http://bedrock-runtime.us-east-1.amazonaws.com", true),
        ("nonsense", true),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", false),
        (
            "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com/",
            false,
        ),
        ("", false),
    ] {
        let plan = planned(&[("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)]);
        assert_eq!(plan.notes.len(), usize::from(warned), "{url}");
        for note in &plan.notes {
            assert!(!note.to_string().contains("s3cret"), "{note}");
        }
    }
}

#[test]
fn the_users_own_files_are_found_once() {
    let user: HashMap<&str, &str> = [
        ("AWS_CA_BUNDLE", "/corp.pem"),
        ("SSL_CERT_FILE", "/corp.pem"),
        ("CURL_CA_BUNDLE", ""),
        ("PIP_CERT", "/pip.pem"),
        ("NODE_EXTRA_CA_CERTS", "/node.pem"),
    ]
    .into();
    let of = |gets| files(gets, |name| user.get(name).map(OsString::from));
    assert_eq!(
        of(Gets::Bundle),
        [
            ("AWS_CA_BUNDLE", "/corp.pem".into()),
            ("PIP_CERT", "/pip.pem".into())
        ]
    );
    assert_eq!(
        of(Gets::Root),
        [("NODE_EXTRA_CA_CERTS", "/node.pem".into())]
    );
}
