//! The files of the home directory's authority: appearing at once, surviving crashes and company, refused when they do
//! not fit together.

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::time::SystemTime;

use super::ca::{CaError, CertificateAuthority, Flaw};
use super::ca_home::{CA_KEY_PEM, CA_PEM, ISSUER_PEM, authority_files};
use super::certificates::{CertificateError, parse, read_chain};
use super::test_certificates::*;

const FILES: [&str; 3] = [CA_PEM, ISSUER_PEM, CA_KEY_PEM];

fn open(home: &Path) -> Result<CertificateAuthority, CaError> {
    CertificateAuthority::open_or_create(home, &aws_domains(), SystemTime::now())
}

fn flaw(error: CaError) -> Flaw {
    match error {
        CaError::Home { flaw, .. } => flaw,
        other => panic!("{other:?}"),
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_first_start_makes_it_and_the_second_opens_it() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("not/yet/there");
    let first = open(&home).unwrap().root_pem().to_owned();
    assert_eq!(
        names_in(&home),
        ["ca-key.pem", "ca.lock", "ca.pem", "issuer.pem"]
    );
    assert_eq!(fs::read_to_string(home.join(CA_PEM)).unwrap(), first);
    assert_eq!(open(&home).unwrap().root_pem(), first);

    let elsewhere = tempfile::tempdir().unwrap();
    let other = open(elsewhere.path()).unwrap();
    let subject = |pem: &str| parse(&roots_of(pem)).unwrap().subject().to_string();
    assert_ne!(
        subject(&first),
        subject(other.root_pem()),
        "two homes can be told apart"
    );
    assert!(subject(&first).starts_with("O=tollgate, CN=tollgate local CA "));
}

fn roots_of(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn the_key_of_the_root_is_nowhere() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).unwrap();
    let keys: usize = names_in(home.path())
        .iter()
        .map(|name| {
            fs::read_to_string(home.path().join(name))
                .unwrap()
                .matches("PRIVATE KEY-----\n")
                .count()
        })
        .sum();
    assert_eq!(keys, 2, "one key, its first line and its last");
    // That the one key is the issuer's is what opening checks.
    let chain = read_chain(&home.path().join(ISSUER_PEM)).unwrap();
    assert_ne!(
        parse(&chain[0]).unwrap().public_key().raw,
        parse(&chain[1]).unwrap().public_key().raw
    );
}

#[cfg(unix)]
#[test]
fn files_and_directory_are_for_their_owner() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("new/home");
    open(&home).unwrap();
    assert_eq!(mode(&home), 0o700);
    for name in names_in(&home) {
        assert_eq!(mode(&home.join(&name)), 0o600, "{name}");
    }

    // An empty directory was given to us; one with something in it is somebody's.
    let empty = directory.path().join("empty");
    fs::create_dir(&empty).unwrap();
    set_mode(&empty, 0o755);
    open(&empty).unwrap();
    assert_eq!(mode(&empty), 0o700);
    let used = directory.path().join("used");
    fs::create_dir(&used).unwrap();
    fs::write(used.join("something"), "").unwrap();
    set_mode(&used, 0o755);
    open(&used).unwrap();
    assert_eq!(mode(&used), 0o755);
}

#[cfg(unix)]
#[test]
fn an_exposed_key_stops_the_start() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).unwrap();
    let key = home.path().join(CA_KEY_PEM);
    set_mode(&key, 0o644);
    let error = open(home.path()).unwrap_err();
    assert!(matches!(
        &error,
        CaError::Certificate(CertificateError::ExposedKey { mode: 0o644, .. })
    ));
    assert!(
        error
            .to_string()
            .contains(&format!("chmod 600 '{}'", key.display())),
        "{error}"
    );
    set_mode(&key, 0o600);
    open(home.path()).unwrap();
}

#[test]
fn starts_at_the_same_time_make_one_authority() {
    let home = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(8);
    let roots: Vec<String> = std::thread::scope(|scope| {
        let start = || {
            barrier.wait();
            open(home.path()).unwrap().root_pem().to_owned()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]));
}

/// Every state a crash can leave behind, rebuilt from a finished home.
#[test]
fn a_crash_at_any_step_leaves_a_home_that_starts() {
    // Before the commit: any part of the files staged. All of it is forgotten.
    for staged in 0..=FILES.len() {
        let home = tempfile::tempdir().unwrap();
        let made = tempfile::tempdir().unwrap();
        let old_root = open(made.path()).unwrap().root_pem().to_owned();
        let directory = home.path().join(".ca-staged");
        fs::create_dir(&directory).unwrap();
        for name in FILES.iter().take(staged) {
            fs::copy(made.path().join(name), directory.join(name)).unwrap();
        }
        let root = open(home.path()).unwrap().root_pem().to_owned();
        assert_ne!(root, old_root);
        assert_eq!(
            names_in(home.path()),
            ["ca-key.pem", "ca.lock", "ca.pem", "issuer.pem"]
        );
        assert_eq!(open(home.path()).unwrap().root_pem(), root);
    }
    // After the commit: any part of the files moved. The rest follows.
    for moved in 0..=FILES.len() {
        let home = tempfile::tempdir().unwrap();
        let root = open(home.path()).unwrap().root_pem().to_owned();
        let directory = home.path().join(".ca-committed");
        fs::create_dir(&directory).unwrap();
        for name in FILES.iter().skip(moved) {
            fs::rename(home.path().join(name), directory.join(name)).unwrap();
        }
        assert_eq!(open(home.path()).unwrap().root_pem(), root);
        assert_eq!(
            names_in(home.path()),
            ["ca-key.pem", "ca.lock", "ca.pem", "issuer.pem"]
        );
    }
}

#[test]
fn half_an_authority_is_refused_and_never_replaced() {
    for gone in [ISSUER_PEM, CA_KEY_PEM] {
        let home = tempfile::tempdir().unwrap();
        open(home.path()).unwrap();
        fs::remove_file(home.path().join(gone)).unwrap();
        let error = open(home.path()).unwrap_err();
        let text = error.to_string();
        for part in [
            gone,
            "delete ca.pem, issuer.pem, ca-key.pem and bundle.pem",
            &home.path().display().to_string(),
        ] {
            assert!(text.contains(part), "{part} in: {text}");
        }
        assert!(matches!(flaw(error), Flaw::Incomplete { .. }));
    }
    let home = tempfile::tempdir().unwrap();
    open(home.path()).unwrap();
    fs::remove_file(home.path().join(ISSUER_PEM)).unwrap();
    fs::remove_file(home.path().join(CA_KEY_PEM)).unwrap();
    assert!(matches!(
        flaw(open(home.path()).unwrap_err()),
        Flaw::Incomplete { .. }
    ));

    // The way out that the message gives.
    for file in authority_files(home.path()) {
        _ = fs::remove_file(file);
    }
    open(home.path()).unwrap();
}

#[test]
fn the_published_root_is_written_again_when_it_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let root = open(home.path()).unwrap().root_pem().to_owned();
    fs::remove_file(home.path().join(CA_PEM)).unwrap();
    assert_eq!(open(home.path()).unwrap().root_pem(), root);
    assert_eq!(fs::read_to_string(home.path().join(CA_PEM)).unwrap(), root);
}

#[test]
fn files_of_two_authorities_are_refused() {
    let other = tempfile::tempdir().unwrap();
    open(other.path()).unwrap();
    let mix = |name: &str| {
        let home = tempfile::tempdir().unwrap();
        open(home.path()).unwrap();
        fs::copy(other.path().join(name), home.path().join(name)).unwrap();
        flaw(open(home.path()).unwrap_err())
    };
    assert!(matches!(mix(CA_PEM), Flaw::OtherRoot));
    assert!(matches!(
        mix(ISSUER_PEM),
        Flaw::OtherRoot | Flaw::KeyMismatch { .. }
    ));
    assert!(matches!(mix(CA_KEY_PEM), Flaw::KeyMismatch { .. }));
}

#[test]
fn a_chain_that_is_none_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let root = open(home.path()).unwrap().root_pem().to_owned();
    let issuer_pem = home.path().join(ISSUER_PEM);
    let whole = fs::read_to_string(&issuer_pem).unwrap();
    let issuer = whole.strip_suffix(&root).unwrap();

    fs::write(&issuer_pem, issuer).unwrap();
    assert!(matches!(
        flaw(open(home.path()).unwrap_err()),
        Flaw::Chain { count: 1 }
    ));

    // A root of the same name and with another key: only the signature tells.
    let chain = read_chain(&home.path().join(ISSUER_PEM)).unwrap();
    let mut forged = chain[0].to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    fs::write(
        &issuer_pem,
        super::certificates::certificate_pem(&forged) + &root,
    )
    .unwrap();
    assert!(matches!(
        flaw(open(home.path()).unwrap_err()),
        Flaw::Refused { .. }
    ));

    fs::write(&issuer_pem, whole).unwrap();
    open(home.path()).unwrap();
}

#[test]
fn an_authority_out_of_time_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let expires = SystemTime::from(open(home.path()).unwrap().expires());
    let at = |now| flaw(CertificateAuthority::open_or_create(home.path(), &[], now).unwrap_err());
    assert!(matches!(at(expires), Flaw::Expired { .. }));
    assert!(matches!(
        at(SystemTime::now() - DAY),
        Flaw::NotYetValid { .. }
    ));
    CertificateAuthority::open_or_create(home.path(), &[], expires - DAY).unwrap();
}

#[test]
fn more_names_than_it_was_made_for_are_named_with_the_way_out() {
    let home = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let wanted = vec!["*.bedrock.example.com".to_owned(), BEDROCK.to_owned()];
    let narrow = open(home.path()).unwrap();
    let error = narrow.require(&wanted).unwrap_err();
    assert!(matches!(error, CaError::NotPermitted { .. }));
    let text = error.to_string();
    for part in [
        "*.bedrock.example.com",
        "localhost, amazonaws.com",
        "delete ca.pem",
        "--ca-cert",
    ] {
        assert!(text.contains(part), "{part} in: {text}");
    }
    let wide = [aws_domains(), wanted.clone()].concat();
    // A longer list of partitions in a later version must not stop the start.
    CertificateAuthority::open_or_create(home.path(), &wide, now).unwrap();

    for file in authority_files(home.path()) {
        _ = fs::remove_file(file);
    }
    CertificateAuthority::open_or_create(home.path(), &wide, now)
        .unwrap()
        .require(&wanted)
        .unwrap();
}

#[test]
fn a_constraint_that_is_no_domain_is_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    for bad in ["*", "", "a b", "exa*mple.com"] {
        let error =
            CertificateAuthority::open_or_create(home.path(), &[bad.to_owned()], SystemTime::now())
                .unwrap_err();
        assert!(matches!(error, CaError::Name { .. }), "{bad:?}: {error}");
    }
    assert_eq!(names_in(home.path()), ["ca.lock"]);
}

#[test]
fn an_operators_root_can_be_published_and_taken_back() {
    let given_home = tempfile::tempdir().unwrap();
    open(given_home.path()).unwrap();
    // Named otherwise than ours.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = given_home.path().join("corporate.pem");
    let key_file = given_home.path().join("corporate.key");
    fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
    super::private_file::write_private(&key_file, key.serialize_pem().as_bytes()).unwrap();
    let given =
        CertificateAuthority::from_files(&certificate, &key_file, SystemTime::now()).unwrap();

    let home = tempfile::tempdir().unwrap();
    let own = open(home.path()).unwrap().root_pem().to_owned();
    given.publish(home.path()).unwrap();
    assert_eq!(
        fs::read_to_string(home.path().join(CA_PEM)).unwrap(),
        given.root_pem()
    );
    assert_eq!(open(home.path()).unwrap().root_pem(), own);
    assert_eq!(fs::read_to_string(home.path().join(CA_PEM)).unwrap(), own);

    let fresh = tempfile::tempdir().unwrap();
    given.publish(fresh.path()).unwrap();
    open(fresh.path()).unwrap();
}

#[test]
fn a_rotation_keeps_the_root_before_it_and_none_before_that() {
    let home = tempfile::tempdir().unwrap();
    let domains = aws_domains();
    let rotate = |keep, now| CertificateAuthority::rotate(home.path(), &domains, keep, now);
    let now = SystemTime::now();
    let first = open(home.path()).unwrap();
    let key = fs::read(home.path().join(CA_KEY_PEM)).unwrap();
    let second = rotate(true, now).unwrap();
    assert_eq!(
        second.trusted_pem(),
        second.root_pem().to_owned() + first.root_pem()
    );
    assert_ne!(fs::read(home.path().join(CA_KEY_PEM)).unwrap(), key);
    let leaf = first.mint(&names(&["localhost"]), now).unwrap();
    let ca_pem = fs::read_to_string(home.path().join(CA_PEM)).unwrap();
    assert_eq!(ca_pem, second.trusted_pem());
    verify(&ca_pem, &leaf.certified_key.cert, "localhost", now).unwrap();

    // Opening it again, or looking at it, changes nothing.
    assert_eq!(open(home.path()).unwrap().trusted_pem(), ca_pem);
    let seen = CertificateAuthority::inspect(home.path(), now).unwrap();
    assert_eq!(seen.unwrap().trusted_pem(), ca_pem);

    let third = rotate(true, now).unwrap();
    assert_eq!(
        third.trusted_pem(),
        third.root_pem().to_owned() + second.root_pem()
    );
    let fourth = rotate(false, now).unwrap();
    assert_eq!(fourth.trusted_pem(), fourth.root_pem());

    // After its end a root is no use to anybody.
    let after = SystemTime::from(fourth.expires()) + std::time::Duration::from_secs(1);
    let fifth = rotate(true, after).unwrap();
    assert_eq!(fifth.trusted_pem(), fifth.root_pem());
    assert!(
        names_in(home.path())
            .iter()
            .all(|name| !name.starts_with(".ca-"))
    );
}

#[test]
fn a_rotation_mends_what_cannot_be_opened_and_looking_never_does() {
    let home = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let look = || CertificateAuthority::inspect(home.path(), now);
    assert!(look().unwrap().is_none());
    assert!(names_in(home.path()).is_empty());
    let old = open(home.path()).unwrap().root_pem().to_owned();
    fs::remove_file(home.path().join(ISSUER_PEM)).unwrap();
    assert!(matches!(flaw(look().unwrap_err()), Flaw::Incomplete { .. }));
    open(home.path()).unwrap_err();
    let new = CertificateAuthority::rotate(home.path(), &aws_domains(), true, now).unwrap();
    assert_eq!(new.trusted_pem(), new.root_pem().to_owned() + &old);
    open(home.path()).unwrap();
}
