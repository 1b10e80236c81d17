//! Tables of what the checks find in given facts.

use std::path::{Path, PathBuf};

use time::macros::datetime;

use super::aws_config::{self, Setting};
use super::environment::{self, Held, Ours};
use super::finding::{Finding, Level};
use super::*;

fn ours() -> Ours {
    Ours {
        listen: "127.0.0.1:5380".parse().unwrap(),
        ca: PathBuf::from("/home/ca.pem"),
        bundle: PathBuf::from("/home/bundle.pem"),
    }
}

/// By its name, so that rows can say what a file holds.
fn holds(file: &Path) -> Held {
    match file.file_name().unwrap().to_str().unwrap() {
        "bundle.pem" => Held::OursAndOthers,
        "ca.pem" => Held::OursAlone,
        "corp.pem" => Held::Others,
        _ => Held::Missing,
    }
}

fn examine(variables: &[(&str, &str)]) -> Vec<Finding> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    environment::check(&variables, &ours(), &holds)
}

const PROXY: (&str, &str) = ("HTTPS_PROXY", "http://127.0.0.1:5380");
const BUNDLE: (&str, &str) = ("AWS_CA_BUNDLE", "/home/bundle.pem");

/// A level, words of what was found, words of what mends it.
type Row<'a> = (&'a [(&'a str, &'a str)], Level, &'a str, &'a str);

#[test]
fn an_environment_as_it_should_be_has_nothing_to_mend() {
    let found = examine(&[
        PROXY,
        BUNDLE,
        ("NO_PROXY", "localhost,127.0.0.1,169.254.169.254"),
    ]);
    assert!(
        found
            .iter()
            .all(|finding| finding.level == Level::Ok && finding.mend.is_none()),
        "{found:#?}"
    );
}

const MEND_PROXY: &str = "export HTTPS_PROXY=http://127.0.0.1:5380";

const CONFLICTS: &[Row<'_>] = &[
    (&[], Level::Warn, "HTTPS_PROXY is not set", MEND_PROXY),
    (
        &[("HTTPS_PROXY", "http://user:secret@proxy.corp.example:3128")],
        Level::Warn,
        "leads to http://proxy.corp.example:3128, not to",
        MEND_PROXY,
    ),
    (
        &[("https_proxy", "https://localhost:5380")],
        Level::Warn,
        "proxy_ca_bundle",
        "export https_proxy=http://127.0.0.1:5380",
    ),
    (
        &[("HTTPS_PROXY", "socks5://localhost:5380")],
        Level::Fail,
        "the scheme socks5",
        MEND_PROXY,
    ),
    (
        &[PROXY, ("https_proxy", "http://[::1]:5380")],
        Level::Warn,
        "https_proxy and HTTPS_PROXY are both set and differ",
        "unset https_proxy",
    ),
    (
        &[PROXY, BUNDLE, ("NO_PROXY", "localhost,.amazonaws.com")],
        Level::Fail,
        "NO_PROXY holds .amazonaws.com",
        "export NO_PROXY='localhost'",
    ),
    (
        &[("no_proxy", "*")],
        Level::Warn,
        "no_proxy holds *",
        "export no_proxy=''",
    ),
    (
        &[PROXY, ("AWS_CA_BUNDLE", "/gone.pem")],
        Level::Fail,
        "cannot be read; boto3",
        "export AWS_CA_BUNDLE='/home/bundle.pem'",
    ),
    (
        &[PROXY, ("REQUESTS_CA_BUNDLE", "/corp.pem")],
        Level::Fail,
        "does not hold the gate's root",
        "export REQUESTS_CA_BUNDLE='/home/bundle.pem'",
    ),
    (
        &[("SSL_CERT_FILE", "/corp.pem")],
        Level::Warn,
        "does not hold the gate's root",
        "export SSL_CERT_FILE='/home/bundle.pem'",
    ),
    (
        &[PROXY, ("REQUESTS_CA_BUNDLE", "/home/ca.pem")],
        Level::Warn,
        "will refuse every other host",
        "export REQUESTS_CA_BUNDLE='/home/bundle.pem'",
    ),
    (
        &[PROXY, ("NODE_EXTRA_CA_CERTS", "/gone.pem")],
        Level::Warn,
        "Node.js will not trust the gate",
        "export NODE_EXTRA_CA_CERTS='/home/ca.pem'",
    ),
    (
        &[PROXY, BUNDLE, ("REQUESTS_CA_BUNDLE", "/corp.pem")],
        Level::Warn,
        "does not hold the gate's root",
        "export REQUESTS_CA_BUNDLE='/home/bundle.pem'",
    ),
    (
        &[PROXY, ("NODE_EXTRA_CA_CERTS", "/corp.pem")],
        Level::Warn,
        "read by Node.js",
        "export NODE_EXTRA_CA_CERTS='/home/ca.pem'",
    ),
    (
        &[("SSL_CERT_DIR", "/etc/ssl/certs")],
        Level::Warn,
        "SSL_CERT_DIR is /etc/ssl/certs",
        "unset SSL_CERT_DIR",
    ),
    (
        &[PROXY],
        Level::Warn,
        "AWS_CA_BUNDLE is not set",
        "export AWS_CA_BUNDLE='/home/bundle.pem'",
    ),
    (
        &[("AWS_ENDPOINT_URL", "http://localhost:5380/service/standard")],
        Level::Fail,
        "AWS_ENDPOINT_URL names the gate",
        "unset AWS_ENDPOINT_URL",
    ),
    (
        &[("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://localhost:4566")],
        Level::Warn,
        "sends calls to http://localhost:4566",
        "unset AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    ),
];

#[test]
fn each_conflict_is_found_and_mended() {
    for (variables, level, found, mend) in CONFLICTS {
        let findings = examine(variables);
        assert!(
            findings.iter().any(|finding| finding.level == *level
                && finding.found.contains(found)
                && finding.mend.as_deref() == Some(*mend)),
            "{variables:?}: {findings:#?}"
        );
        assert!(!format!("{findings:?}").contains("secret"));
    }
    let quiet = examine(&[
        PROXY,
        BUNDLE,
        ("AWS_ENDPOINT_URL", "http://localhost:5380"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
    ]);
    assert!(
        quiet.iter().all(|finding| finding.level == Level::Ok),
        "{quiet:#?}"
    );
}

#[test]
fn the_region_is_the_one_that_clients_would_call() {
    let region = |variables: &[(&str, &str)]| {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        environment::region(&variables.collect())
    };
    assert_eq!(region(&[]), "us-east-1");
    assert_eq!(region(&[("AWS_DEFAULT_REGION", "eu-west-3")]), "eu-west-3");
    assert_eq!(
        region(&[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_DEFAULT_REGION", "eu-west-3")
        ]),
        "eu-west-1"
    );
    assert_eq!(region(&[("AWS_REGION", "evil.example/")]), "us-east-1");
}

#[test]
fn of_the_aws_config_the_profile_in_force_counts() {
    let text = "# comment\n[default]\nregion = eu-west-1\nca_bundle=/corp.pem\ns3 =\n  ca_bundle = /nested\n\
                [profile other]\nendpoint_url = http://localhost:5380\n";
    let setting = |key: &str, value: &str| Setting {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(
        aws_config::settings(text, "default"),
        [
            setting("region", "eu-west-1"),
            setting("ca_bundle", "/corp.pem"),
            setting("s3", "")
        ]
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, text).unwrap();
    let check = |profile: &str| {
        let variables = [
            ("AWS_CONFIG_FILE", file.to_str().unwrap()),
            ("AWS_PROFILE", profile),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        aws_config::check(&variables.into(), None, &ours(), &holds)
    };
    assert_eq!(check("")[0].level, Level::Warn);
    assert!(check("")[0].found.contains("/corp.pem"));
    assert_eq!(check("other")[0].level, Level::Fail);
    assert_eq!(check("third"), []);
}

#[test]
fn the_clock_may_be_five_minutes_off() {
    let theirs =
        upstream::date(b"HTTP/1.1 404 Not Found\r\ndate: Sun, 22 Nov 2026 08:00:00 GMT\r\n\r\n");
    let theirs = theirs.unwrap();
    assert_eq!(theirs, datetime!(2026-11-22 8:00 UTC));
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n",
    ] {
        assert_eq!(upstream::date(head.as_bytes()), None, "{head}");
    }
    let rows = [
        (
            datetime!(2026-11-22 8:00:02 UTC),
            Level::Ok,
            "2 s ahead of AWS",
        ),
        (
            datetime!(2026-11-22 7:59:01 UTC),
            Level::Ok,
            "59 s behind AWS",
        ),
        (
            datetime!(2026-11-22 8:01:00 UTC),
            Level::Warn,
            "60 s ahead of",
        ),
        (
            datetime!(2026-11-22 8:05:00 UTC),
            Level::Fail,
            "300 s ahead of",
        ),
        (
            datetime!(2026-11-22 7:00:00 UTC),
            Level::Fail,
            "3600 s behind",
        ),
    ];
    for (ours, level, words) in rows {
        let finding = upstream::skew(ours, theirs);
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.found.contains(words), "{finding:?}");
        assert_eq!(finding.mend.is_some(), level != Level::Ok);
    }
}

#[test]
fn who_listens_is_read_as_the_kernel_writes_it() {
    let word = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
    let row = |address: &str, port: u16, state: &str, inode: u64| {
        format!(
            "   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1\n"
        )
    };
    let table = "  sl  local_address rem_address   st\n".to_owned()
        + &row(&word([127, 0, 0, 1]), 5380, "01", 1)
        + &row(&word([127, 0, 0, 2]), 5380, "0A", 2)
        + &row(&word([127, 0, 0, 1]), 5381, "0A", 3)
        + &row(&word([127, 0, 0, 1]), 5380, "0A", 4)
        + &row("nonsense", 5380, "0A", 5)
        + &row(&word([0; 4]), 5390, "0A", 6);
    let of = |address: &str| port::listening_inode(&table, address.parse().unwrap());
    assert_eq!(of("127.0.0.1:5380"), Some(4));
    assert_eq!(of("127.0.0.1:5382"), None);
    assert_eq!(of("127.0.0.1:5390"), Some(6));
    assert_eq!(port::listening_inode("", "[::1]:1".parse().unwrap()), None);
}

#[test]
fn a_disk_is_looked_at_before_it_is_full() {
    let mib = 1024 * 1024;
    assert_eq!(ledger::space(10 * mib).level, Level::Fail);
    assert_eq!(ledger::space(500 * mib).level, Level::Warn);
    assert_eq!(ledger::space(5000 * mib).level, Level::Ok);
}

#[test]
fn what_is_printed_is_harmless_and_plain_without_a_terminal() {
    let finding = Finding::fail("trust", "\u{1b}[2J").mend("do\nthis");
    let mut out = Vec::new();
    print(&finding, false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "FAIL  trust          \\u{1b}[2J\n                     → do\\nthis\n"
    );
    let mut out = Vec::new();
    print(&finding, true, &mut out).unwrap();
    assert!(
        String::from_utf8(out)
            .unwrap()
            .starts_with("\u{1b}[31mFAIL \u{1b}[0m trust")
    );
}
