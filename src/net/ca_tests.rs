//! Leaves of the home directory's authority, held against three judges: x509-parser, webpki and, where there is one,
//! the `openssl` command.

use std::time::SystemTime;

use rustls::{CertificateError, Error as TlsError};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;

use super::ca::{CaError, CertificateAuthority, date};
use super::certificates::{certificate_pem, parse};
use super::test_certificates::*;

fn identifiers(certificate: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (mut subject, mut authority) = (None, None);
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => {
                subject = Some(identifier.0.to_vec());
            }
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                authority = identifier
                    .key_identifier
                    .as_ref()
                    .map(|identifier| identifier.0.to_vec());
            }
            _ => {}
        }
    }
    (subject, authority)
}

#[test]
fn a_leaf_carries_what_strict_clients_want_and_nothing_more() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let now = SystemTime::now();
    let leaf = authority.mint(&names(&[BEDROCK]), now).unwrap();
    let [leaf, issuer] = leaf.certified_key.cert.as_slice() else {
        panic!("leaf and issuer, no root")
    };
    let (leaf, issuer) = (parse(leaf).unwrap(), parse(issuer).unwrap());

    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(matches!(
        names.value.general_names.as_slice(),
        [GeneralName::DNSName(BEDROCK)]
    ));
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.flags, 1, "digitalSignature alone");
    let extended = leaf.extended_key_usage().unwrap().unwrap();
    assert!(extended.value.server_auth && !extended.value.client_auth && !extended.value.any);
    let basic = leaf.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && !basic.value.ca);

    let (leaf_subject, leaf_authority) = identifiers(&leaf);
    assert!(leaf_subject.is_some());
    assert!(leaf_authority.is_some());
    assert_eq!(leaf_authority, identifiers(&issuer).0);
    assert_eq!(leaf.issuer().as_raw(), issuer.subject().as_raw());
    assert_eq!(
        leaf.subject().to_string(),
        "O=tollgate, CN=tollgate leaf certificate"
    );
    assert_eq!(leaf.raw_serial().len(), 16);

    let now = date(now).unwrap().unix_timestamp();
    let day = i64::try_from(DAY.as_secs()).unwrap();
    let life = leaf.validity().not_after.timestamp() - now;
    assert!((30 * day..=90 * day).contains(&life), "{life}");
    // The issuer itself began an hour ago.
    assert!(leaf.validity().not_before >= issuer.validity().not_before);
    assert!(leaf.validity().not_before.timestamp() <= now - 3500);
}

#[test]
fn serials_and_keys_differ_from_leaf_to_leaf() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let mint = || {
        authority
            .mint(&names(&[BEDROCK]), SystemTime::now())
            .unwrap()
            .certified_key
            .cert[0]
            .clone()
    };
    let (one, two) = (mint(), mint());
    let (one, two) = (parse(&one).unwrap(), parse(&two).unwrap());
    assert_ne!(one.raw_serial(), two.raw_serial());
    assert_ne!(one.public_key().raw, two.public_key().raw);
}

#[test]
fn root_and_issuer_are_both_constrained_to_names_and_not_to_addresses() {
    let home = tempfile::tempdir().unwrap();
    let extra = [
        aws_domains(),
        vec!["*.Bedrock.example.com".to_owned(), "127.0.0.1".to_owned()],
    ]
    .concat();
    let now = SystemTime::now();
    let authority = CertificateAuthority::open_or_create(home.path(), &extra, now).unwrap();
    let chain = super::certificates::read_chain(&home.path().join("issuer.pem")).unwrap();
    assert_eq!(chain.len(), 2);
    let five_years = now + 5 * 365 * DAY;
    assert!(SystemTime::from(authority.expires()) > five_years);
    assert!(SystemTime::from(authority.expires()) < five_years + 3 * DAY);

    for (certificate, path_length) in chain.iter().zip([0, 1]) {
        let certificate = parse(certificate).unwrap();
        let constraints = certificate.name_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        assert_eq!(constraints.value.excluded_subtrees, None);
        let permitted: Vec<_> = constraints
            .value
            .permitted_subtrees
            .iter()
            .flatten()
            .map(|tree| &tree.base)
            .collect();
        assert!(
            permitted
                .iter()
                .all(|base| matches!(base, GeneralName::DNSName(_))),
            "{permitted:?}"
        );
        assert_eq!(permitted.len(), aws_domains().len() + 2);
        assert!(permitted.contains(&&GeneralName::DNSName("localhost")));
        assert!(permitted.contains(&&GeneralName::DNSName("bedrock.example.com")));

        let basic = certificate.basic_constraints().unwrap().unwrap();
        assert!(basic.critical && basic.value.ca);
        assert_eq!(basic.value.path_len_constraint, Some(path_length));
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
        assert!(identifiers(&certificate).0.is_some());
    }
}

#[test]
fn clients_that_trust_the_root_accept_the_chain() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let now = SystemTime::now();
    let hosts = [
        BEDROCK,
        "localhost",
        "127.0.0.1",
        "::1",
        "bedrock-runtime.us-iso-east-1.c2s.ic.gov",
    ];
    for host in hosts {
        let leaf = authority.mint(&names(&[host]), now).unwrap();
        verify(authority.root_pem(), &leaf.certified_key.cert, host, now).unwrap();
        let other = verify(
            authority.root_pem(),
            &leaf.certified_key.cert,
            "sts.amazonaws.com",
            now,
        );
        assert!(
            matches!(
                other,
                Err(TlsError::InvalidCertificate(
                    CertificateError::NotValidForNameContext { .. }
                ))
            ),
            "{host}: {other:?}"
        );
    }
}

#[test]
fn a_name_outside_the_constraints_is_refused_by_us_and_by_clients() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let now = SystemTime::now();
    for host in [
        "example.com",
        "amazonaws.com.evil.example",
        "evilamazonaws.com",
    ] {
        assert!(!authority.permits(host));
        let error = authority.mint(&names(&[host]), now).unwrap_err();
        assert!(matches!(error, CaError::NotPermitted { .. }));
        let text = error.to_string();
        for part in [
            host,
            "amazonaws.com, ",
            "localhost",
            "delete ca.pem",
            "--ca-cert",
        ] {
            assert!(text.contains(part), "{part} in: {text}");
        }

        let forced = authority
            .mint_unchecked(&names(&[host]), date(now).unwrap())
            .unwrap();
        let refused =
            verify(authority.root_pem(), &forced.certified_key.cert, host, now).unwrap_err();
        assert!(
            format!("{refused:?}").contains("NameConstraintViolation"),
            "{refused:?}"
        );
    }
    assert!(
        authority.permits(BEDROCK) && authority.permits("LOCALHOST.") && authority.permits("[::1]")
    );
}

#[test]
fn addresses_other_than_loopback_get_no_leaf() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    for host in ["10.0.0.1", "127.0.0.2", "::2"] {
        assert!(!authority.permits(host));
        let error = authority
            .mint(&names(&[host]), SystemTime::now())
            .unwrap_err();
        assert!(matches!(error, CaError::Address { .. }), "{error}");
    }
}

#[test]
fn a_leaf_never_outlives_its_issuer() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let end = SystemTime::from(authority.expires());
    let late = end - 10 * DAY;
    let leaf = authority.mint(&names(&[BEDROCK]), late).unwrap();
    let parsed = parse(&leaf.certified_key.cert[0]).unwrap();
    assert_eq!(
        parsed.validity().not_after.timestamp(),
        authority.expires().unix_timestamp()
    );
    assert!(!leaf.is_due(end - DAY), "another one could not live longer");
    assert!(leaf.is_due(end + DAY));
    verify(
        authority.root_pem(),
        &leaf.certified_key.cert,
        BEDROCK,
        late,
    )
    .unwrap();

    for outside in [end, end + DAY, SystemTime::now() - 2 * DAY] {
        let error = authority.mint(&names(&[BEDROCK]), outside).unwrap_err();
        assert!(matches!(error, CaError::OutOfTime { .. }), "{error}");
    }
    assert!(matches!(
        authority.mint(&names(&[BEDROCK]), SystemTime::UNIX_EPOCH),
        Err(CaError::Clock)
    ));
}

#[test]
fn openssl_accepts_the_chain_in_strict_mode() {
    if !openssl_exists() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let now = SystemTime::now();
    for (host, kind) in [
        (BEDROCK, "-verify_hostname"),
        ("localhost", "-verify_hostname"),
        ("127.0.0.1", "-verify_ip"),
    ] {
        let leaf = authority.mint(&names(&[host]), now).unwrap();
        std::fs::write(
            home.path().join("leaf.pem"),
            certificate_pem(&leaf.certified_key.cert[0]),
        )
        .unwrap();
        let said = openssl(
            home.path(),
            &[
                "verify",
                "-x509_strict",
                "-purpose",
                "sslserver",
                "-CAfile",
                "ca.pem",
                "-untrusted",
                "issuer.pem",
                kind,
                host,
                "leaf.pem",
            ],
        );
        assert_eq!(said.trim(), "leaf.pem: OK");
    }
    let forced = authority
        .mint_unchecked(&names(&["example.com"]), date(now).unwrap())
        .unwrap();
    std::fs::write(
        home.path().join("forced.pem"),
        certificate_pem(&forced.certified_key.cert[0]),
    )
    .unwrap();
    let output = std::process::Command::new("openssl")
        .current_dir(home.path())
        .args([
            "verify",
            "-CAfile",
            "ca.pem",
            "-untrusted",
            "issuer.pem",
            "forced.pem",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("permitted subtree violation"));
}
