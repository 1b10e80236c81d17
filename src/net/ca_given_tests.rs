//! The operator's own authority and pairs, as the `openssl` command makes them. Without that command these tests have
//! nothing to read and return.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::ca::{CaError, CertificateAuthority, Flaw};
use super::certificates::{CertificateError, parse, read_pair};
use super::test_certificates::*;

const EXTENSIONS: &[&str] = &[
    "-addext",
    "basicConstraints=critical,CA:TRUE",
    "-addext",
    "keyUsage=critical,keyCertSign,cRLSign",
];

/// A self-signed CA in `ca.pem` and `ca.key`.
fn make_ca(
    directory: &Path,
    key: &[&str],
    subject: &str,
    extensions: &[&str],
) -> (PathBuf, PathBuf) {
    std::fs::write(
        directory.join("req.cnf"),
        "[req]\ndistinguished_name=dn\n[dn]\n",
    )
    .unwrap();
    let mut arguments = vec![
        "req", "-x509", "-config", "req.cnf", "-nodes", "-days", "30", "-subj", subject,
    ];
    arguments.extend(["-keyout", "ca.key", "-out", "ca.pem", "-newkey"]);
    arguments.extend(key);
    arguments.extend(extensions);
    openssl(directory, &arguments);
    (directory.join("ca.pem"), directory.join("ca.key"))
}

const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
const P521: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
const RSA: &[&str] = &["rsa:2048"];

fn from_files(certificate: &Path, key: &Path) -> Result<CertificateAuthority, CaError> {
    CertificateAuthority::from_files(certificate, key, SystemTime::now())
}

#[test]
fn keys_of_every_usual_kind_sign() {
    if !openssl_exists() {
        return;
    }
    for kind in [P256, P384, P521, RSA, &["ed25519"]] {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make_ca(
            directory.path(),
            kind,
            "/O=Example/CN=Example CA",
            EXTENSIONS,
        );
        let authority = from_files(&certificate, &key).unwrap();
        assert!(authority.permits("anything.example") && authority.permits(BEDROCK));
        assert_eq!(authority.own_root(), None);
        let now = SystemTime::now();
        let leaf = authority.mint(&names(&["anything.example"]), now).unwrap();
        assert_eq!(
            leaf.certified_key.cert.len(),
            1,
            "a self-signed issuer is not sent"
        );
        verify(
            authority.root_pem(),
            &leaf.certified_key.cert,
            "anything.example",
            now,
        )
        .unwrap();
        let life = parse(&leaf.certified_key.cert[0])
            .unwrap()
            .validity()
            .not_after;
        assert_eq!(life.timestamp(), authority.expires().unix_timestamp());
    }
}

#[test]
fn keys_in_traditional_pem_sign() {
    if !openssl_exists() {
        return;
    }
    for (kind, label) in [
        (P256, "BEGIN EC PRIVATE KEY"),
        (RSA, "BEGIN RSA PRIVATE KEY"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, _) = make_ca(directory.path(), kind, "/CN=Example CA", EXTENSIONS);
        let key = directory.path().join("traditional.key");
        openssl(
            directory.path(),
            &[
                "pkey",
                "-in",
                "ca.key",
                "-traditional",
                "-out",
                "traditional.key",
            ],
        );
        assert!(std::fs::read_to_string(&key).unwrap().contains(label));
        let authority = from_files(&certificate, &key).unwrap();
        let now = SystemTime::now();
        let leaf = authority.mint(&names(&[BEDROCK]), now).unwrap();
        verify(authority.root_pem(), &leaf.certified_key.cert, BEDROCK, now).unwrap();
    }
}

/// Active Directory names its issuers so, and rcgen would keep only one of the two.
#[test]
fn an_issuer_whose_name_repeats_an_attribute_is_named_byte_for_byte() {
    if !openssl_exists() {
        return;
    }
    for subject in [
        "/DC=com/DC=example/CN=Example Issuing CA",
        "/O=Example/CN=One+OU=Two",
        "/C=DE/ST=\u{d6}st/CN=CA",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make_ca(
            directory.path(),
            P256,
            subject,
            &[EXTENSIONS, &["-utf8"]].concat(),
        );
        let authority = from_files(&certificate, &key).unwrap();
        let now = SystemTime::now();
        let leaf = authority.mint(&names(&[BEDROCK]), now).unwrap();
        verify(authority.root_pem(), &leaf.certified_key.cert, BEDROCK, now).unwrap();
        let pem = super::certificates::certificate_pem(&leaf.certified_key.cert[0]);
        std::fs::write(directory.path().join("leaf.pem"), pem).unwrap();
        openssl(
            directory.path(),
            &["verify", "-x509_strict", "-CAfile", "ca.pem", "leaf.pem"],
        );
    }
}

#[test]
fn constraints_of_the_given_authority_are_kept() {
    if !openssl_exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let constraints = "nameConstraints=critical,permitted;DNS:amazonaws.com,excluded;DNS:s3.amazonaws.com,\
                       permitted;IP:10.0.0.0/255.0.0.0";
    let (certificate, key) = make_ca(
        directory.path(),
        P256,
        "/CN=Example CA",
        &[EXTENSIONS, &["-addext", constraints]].concat(),
    );
    let authority = from_files(&certificate, &key).unwrap();
    assert!(authority.permits(BEDROCK));
    for host in ["a.s3.amazonaws.com", "localhost", "127.0.0.1", "10.0.0.1"] {
        assert!(!authority.permits(host), "{host}");
    }
    let error = authority
        .require(&["*.bedrock.example.com".to_owned()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("only amazonaws.com;") && error.contains("--ca-key that permit it"),
        "{error}"
    );
    assert!(
        authority.require(&["*.amazonaws.com".to_owned()]).is_err(),
        "a part of it is excluded"
    );
    authority
        .require(&["*.us-east-1.amazonaws.com".to_owned(), BEDROCK.to_owned()])
        .unwrap();
}

#[test]
fn an_issuing_ca_is_sent_with_what_is_above_it() {
    if !openssl_exists() {
        return;
    }
    // The home directory's authority is such a chain.
    let home = tempfile::tempdir().unwrap();
    let root = authority(home.path()).root_pem().to_owned();
    let [issuer, key] = ["issuer.pem", "ca-key.pem"].map(|name| home.path().join(name));
    let given = from_files(&issuer, &key).unwrap();
    assert_eq!(given.root_pem(), root);
    let now = SystemTime::now();
    let leaf = given.mint(&names(&[BEDROCK]), now).unwrap();
    assert_eq!(leaf.certified_key.cert.len(), 2);
    verify(&root, &leaf.certified_key.cert, BEDROCK, now).unwrap();

    // The issuing certificate alone will do, if clients know the root.
    let text = std::fs::read_to_string(&issuer).unwrap();
    let alone = home.path().join("alone.pem");
    let end = "-----END CERTIFICATE-----\n";
    std::fs::write(&alone, text.split_inclusive(end).next().unwrap()).unwrap();
    let leaf = from_files(&alone, &key)
        .unwrap()
        .mint(&names(&[BEDROCK]), now)
        .unwrap();
    assert_eq!(leaf.certified_key.cert.len(), 2);
    verify(&root, &leaf.certified_key.cert, BEDROCK, now).unwrap();

    // The wrong way round.
    let reversed: Vec<&str> = text.split_inclusive(end).collect();
    std::fs::write(&alone, [reversed[1], reversed[0]].concat()).unwrap();
    let error = from_files(&alone, &key).unwrap_err();
    assert!(
        matches!(
            error,
            CaError::Given {
                flaw: Flaw::Order { number: 1 },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_cannot_sign_is_refused_with_the_reason() {
    if !openssl_exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = make_ca(directory.path(), P256, "/CN=Example CA", EXTENSIONS);
    let later = SystemTime::now() + 40 * DAY;
    let error = CertificateAuthority::from_files(&certificate, &key, later).unwrap_err();
    assert!(
        matches!(
            error,
            CaError::Given {
                flaw: Flaw::Expired { .. },
                ..
            }
        ),
        "{error}"
    );

    let other = tempfile::tempdir().unwrap();
    let (_, other_key) = make_ca(other.path(), P256, "/CN=Example CA", EXTENSIONS);
    let error = from_files(&certificate, &other_key).unwrap_err();
    assert!(
        matches!(
            error,
            CaError::Given {
                flaw: Flaw::KeyMismatch { .. },
                ..
            }
        ),
        "{error}"
    );

    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let (certificate, key) = make_ca(directory.path(), P256, "/CN=Example leaf", &leaf);
    let error = from_files(&certificate, &key).unwrap_err();
    assert!(
        matches!(
            error,
            CaError::Given {
                flaw: Flaw::NotACa { number: 1 },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn constraints_on_subjects_are_refused_since_no_leaf_of_ours_fits_them() {
    if !openssl_exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = make_ca(directory.path(), P256, "/CN=Example CA", EXTENSIONS);
    let tree = "nameConstraints=critical,permitted;dirName:there\n[there]\nO=Example\n";
    std::fs::write(
        directory.path().join("ext.cnf"),
        format!("[ca]\nbasicConstraints=critical,CA:TRUE\n{tree}"),
    )
    .unwrap();
    openssl(
        directory.path(),
        &[
            "req", "-new", "-config", "req.cnf", "-key", "ca.key", "-subj", "/CN=CA", "-out", "csr",
        ],
    );
    openssl(
        directory.path(),
        &[
            "x509",
            "-req",
            "-in",
            "csr",
            "-key",
            "ca.key",
            "-extfile",
            "ext.cnf",
            "-extensions",
            "ca",
            "-out",
            "ca.pem",
        ],
    );
    let error = from_files(&certificate, &key).unwrap_err();
    assert!(
        matches!(
            error,
            CaError::Given {
                flaw: Flaw::Constraints { number: 1 },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn files_that_are_not_a_pair_are_refused_by_name() {
    if !openssl_exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = make_ca(directory.path(), RSA, "/CN=localhost", &[]);
    read_pair(&certificate, &key).unwrap();
    let other = tempfile::tempdir().unwrap();
    let (_, other_key) = make_ca(other.path(), RSA, "/CN=localhost", &[]);
    let error = read_pair(&certificate, &other_key).unwrap_err();
    assert!(
        matches!(error, CertificateError::KeyMismatch { .. }),
        "{error}"
    );

    let missing = directory.path().join("missing.pem");
    let error = chain_of(&read_pair(&missing, &key).unwrap_err());
    assert!(
        error.contains("missing.pem") && error.contains("No such file"),
        "{error}"
    );
    let error = read_pair(&key, &key).unwrap_err();
    assert!(
        matches!(error, CertificateError::NoCertificate { .. }),
        "{error}"
    );
    #[cfg(unix)]
    set_mode(&certificate, 0o600);
    let error = read_pair(&certificate, &certificate).unwrap_err();
    assert!(matches!(error, CertificateError::NoKey { .. }), "{error}");

    let junk = directory.path().join("junk.pem");
    std::fs::write(
        &junk,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(matches!(
        read_pair(&junk, &key),
        Err(CertificateError::NotX509 { number: 1, .. })
    ));
    std::fs::write(
        &junk,
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(matches!(
        read_pair(&junk, &key),
        Err(CertificateError::Pem { .. })
    ));

    for traditional in [&["-traditional"][..], &[]] {
        let mut arguments = vec![
            "pkey",
            "-in",
            "ca.key",
            "-aes256",
            "-passout",
            "pass:x",
            "-out",
            "locked.key",
        ];
        arguments.extend(traditional);
        openssl(directory.path(), &arguments);
        let error = read_pair(&certificate, &directory.path().join("locked.key")).unwrap_err();
        assert!(
            matches!(error, CertificateError::EncryptedKey { .. }),
            "{error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused_with_the_way_to_close_it() {
    if !openssl_exists() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = make_ca(directory.path(), P256, "/CN=Example CA", EXTENSIONS);
    for exposed in [0o640, 0o604, 0o644, 0o660] {
        set_mode(&key, exposed);
        let expected = format!(
            "(mode {exposed:04o}, wanted 0600); close it with `chmod 600 '{}'`",
            key.display()
        );
        for error in [
            read_pair(&certificate, &key).unwrap_err().to_string(),
            from_files(&certificate, &key).unwrap_err().to_string(),
        ] {
            assert!(error.contains(&expected), "{error}");
        }
    }
    set_mode(&key, 0o400);
    read_pair(&certificate, &key).unwrap();
    from_files(&certificate, &key).unwrap();
}

/// Copied, because a checkout does not keep the mode of the key.
#[test]
fn the_throw_away_pair_of_the_repository_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&certificate, include_str!("../../certs/cert.pem")).unwrap();
    crate::net::private_file::write_private(&key, include_bytes!("../../certs/key.pem")).unwrap();
    read_pair(&certificate, &key).unwrap();
}
