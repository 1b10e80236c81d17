//! Whom we trust, and the bundle we hand out.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, ServerConnection};

use super::ca::CertificateAuthority;
use super::ca_home::CA_PEM;
use super::certificate_store::CertificateStore;
use super::certificates::{certificate_pem, read_chain};
use super::test_certificates::*;
use super::tls_server::ServerConfigs;
use super::trust::{
    BUNDLE_PEM, PLATFORM_FILES, PlatformRoots, Source, TrustError, bundle, upstream_client_config,
    write_bundle,
};
use crate::config::Limits;

/// A root as a platform might have it.
fn foreign_root(name: &str) -> CertificateDer<'static> {
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap()
        .der()
        .clone()
}

#[test]
fn the_bundle_is_the_same_after_every_restart_even_when_we_are_told_to_trust_it() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let platform = vec![
        foreign_root("one"),
        foreign_root("two"),
        foreign_root("three"),
    ];
    let bundle = home.path().join(BUNDLE_PEM);
    let roots = PlatformRoots::from_certificates(platform.clone());
    write_bundle(home.path(), authority.root_pem(), &roots).unwrap();
    let first = fs::read_to_string(&bundle).unwrap();
    assert_eq!(read_chain(&bundle).unwrap().len(), 4);
    assert!(first.ends_with(authority.root_pem()));
    let written = fs::metadata(&bundle).unwrap().modified().unwrap();

    // SSL_CERT_FILE points at the bundle, or at a copy of it, and the platform's roots come on top, in another order.
    for _restart in 0..3 {
        let mut loaded = read_chain(&bundle).unwrap();
        loaded.extend(platform.iter().rev().cloned());
        let roots = PlatformRoots::from_certificates(loaded);
        assert_eq!(roots.len(), 3);
        write_bundle(home.path(), authority.root_pem(), &roots).unwrap();
        assert_eq!(fs::read_to_string(&bundle).unwrap(), first);
    }
    assert_eq!(
        fs::metadata(&bundle).unwrap().modified().unwrap(),
        written,
        "not even written again"
    );

    // A root that came or went is followed.
    let roots = PlatformRoots::from_certificates(vec![foreign_root("four")]);
    write_bundle(home.path(), authority.root_pem(), &roots).unwrap();
    assert_eq!(read_chain(&bundle).unwrap().len(), 2);
}

#[test]
fn an_operators_root_that_the_platform_has_appears_once() {
    let home = tempfile::tempdir().unwrap();
    let corporate = foreign_root("corporate");
    let roots = PlatformRoots::from_certificates(vec![foreign_root("one"), corporate.clone()]);
    assert_eq!(roots.len(), 2);
    write_bundle(home.path(), &certificate_pem(&corporate), &roots).unwrap();
    assert_eq!(read_chain(&home.path().join(BUNDLE_PEM)).unwrap().len(), 2);
}

#[test]
fn a_bundle_of_ours_in_the_environment_is_not_the_platform() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    let choose = |file: Option<&Path>, directories: Option<&str>| {
        Source::choose(
            &home,
            file.map(|file| file.as_os_str().to_owned()),
            directories.map(Into::into),
        )
    };
    let elsewhere = directory.path().join("elsewhere.pem");
    assert_eq!(choose(None, None), Source::Native);
    assert_eq!(choose(None, Some("/roots")), Source::Native);
    assert_eq!(choose(Some(&elsewhere), None), Source::Native);
    for ours in ["bundle.pem", "ca.pem"].map(|name| home.join(name)) {
        // Whether it is there, or was deleted to make a new authority.
        assert_eq!(choose(Some(&ours), None), Source::KnownFiles);
        fs::write(&ours, "").unwrap();
        assert_eq!(choose(Some(&ours), None), Source::KnownFiles);
        assert_eq!(choose(Some(&ours), Some("")), Source::KnownFiles);
        assert_eq!(
            choose(Some(&ours), Some("/roots")),
            Source::Directories(vec!["/roots".into()])
        );
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(home.join(BUNDLE_PEM), &elsewhere).unwrap();
        assert_eq!(choose(Some(&elsewhere), None), Source::KnownFiles);
    }
}

#[test]
fn directories_of_the_environment_are_read_instead() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("root.pem"),
        certificate_pem(&foreign_root("one")),
    )
    .unwrap();
    let source = Source::Directories(vec![
        directory.path().to_owned(),
        directory.path().join("missing"),
    ]);
    let result = source.load();
    assert_eq!((result.certs.len(), result.errors.len()), (1, 1));
}

#[test]
fn files_without_roots_are_named() {
    let home = tempfile::tempdir().unwrap();
    let authority = authority(home.path());
    let own_root = authority.own_root();
    let none = PlatformRoots::default();
    let given = |name: &str| {
        let error = upstream_client_config(&none, &[home.path().join(name)], own_root).unwrap_err();
        assert!(chain_of(&error).contains(name), "{}", chain_of(&error));
        error
    };
    assert!(matches!(given("missing.pem"), TrustError::UpstreamCa(_)));
    fs::write(home.path().join("empty.pem"), "nothing\n").unwrap();
    assert!(matches!(given("empty.pem"), TrustError::UpstreamCa(_)));
    assert!(matches!(given("ca.pem"), TrustError::OwnRoot { .. }));
    upstream_client_config(&none, &[], own_root).unwrap();

    // Beside another root, ours is passed over.
    let both = certificate_pem(&foreign_root("one")) + authority.root_pem();
    fs::write(home.path().join("both.pem"), both).unwrap();
    upstream_client_config(&none, &[home.path().join("both.pem")], own_root).unwrap();
}

/// An upstream with the given authority's certificate, as the given client sees it.
fn reaches(
    client: &Arc<rustls::ClientConfig>,
    upstream: &ServerConfigs,
) -> Result<(), rustls::Error> {
    let server = done(upstream.tunnel(BEDROCK, SystemTime::now())).unwrap();
    let mut client =
        ClientConnection::new(Arc::clone(client), ServerName::try_from(BEDROCK).unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _flight in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            // What the server thinks of it shows on the client's side.
            _ = server.process_new_packets();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    Ok(())
}

fn upstream(authority: CertificateAuthority) -> ServerConfigs {
    let none = std::collections::HashMap::new();
    let store = CertificateStore::new(authority, None, none, &Limits::default()).unwrap();
    ServerConfigs::new(Arc::new(store), Arc::new(|_| true)).unwrap()
}

#[test]
fn upstreams_are_verified_and_we_are_no_upstream_of_our_own() {
    let home = tempfile::tempdir().unwrap();
    let ours = authority(home.path());
    let own_root = ours.own_root().unwrap().clone();
    // Another gate further up: its root is trusted when the operator says so.
    let other_home = tempfile::tempdir().unwrap();
    let theirs = authority(other_home.path());
    let their_root = theirs.own_root().unwrap().clone();
    let (ours, theirs) = (upstream(ours), upstream(theirs));

    // An installed root of any gate does not count as the platform's.
    let platform =
        PlatformRoots::from_certificates(vec![own_root.clone(), their_root, foreign_root("one")]);
    let client = upstream_client_config(&platform, &[], Some(&own_root)).unwrap();
    assert!(reaches(&client, &ours).is_err());
    assert!(reaches(&client, &theirs).is_err());

    let extra = [other_home.path().join("ca.pem")];
    let client = upstream_client_config(&platform, &extra, Some(&own_root)).unwrap();
    reaches(&client, &theirs).unwrap();
    assert!(reaches(&client, &ours).is_err());
}

#[test]
fn known_places_hold_roots_that_verify() {
    let exists = PLATFORM_FILES.iter().any(|file| Path::new(file).exists());
    let roots = PlatformRoots::from_certificates(Source::KnownFiles.load().certs);
    if exists {
        assert!(roots.len() > 10, "{}", roots.len());
        upstream_client_config(&roots, &[], None).unwrap();
    }
}

#[test]
fn after_a_rotation_neither_of_our_roots_vouches_for_upstreams() {
    let home = tempfile::tempdir().unwrap();
    authority(home.path());
    let now = SystemTime::now();
    let rotated = CertificateAuthority::rotate(home.path(), &aws_domains(), true, now).unwrap();
    let ca_pem = home.path().join(CA_PEM);
    assert_eq!(read_chain(&ca_pem).unwrap().len(), 2);
    let none = PlatformRoots::default();
    let error = upstream_client_config(&none, &[ca_pem], rotated.own_root()).unwrap_err();
    assert!(matches!(error, TrustError::OwnRoot { .. }), "{error:?}");
    let bundle = bundle(
        &rotated.trusted_pem(),
        &PlatformRoots::from_certificates(rotated.trusted().cloned().collect()),
    );
    assert_eq!(bundle, rotated.trusted_pem());
}
