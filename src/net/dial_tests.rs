//! Who may have which address dialled.

use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use socket2::{Domain, Socket, Type};

use super::*;
use crate::net::trust::{self, PlatformRoots};

fn dialer(private: PrivateDestinations) -> Dialer {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let second = Duration::from_secs(1);
    let denied: IpAddr = "8.8.4.4".parse().unwrap();
    Dialer::new(Arc::new(tls), &[], private, None, second, second)
        .without(move |address| address == denied)
}

#[test]
fn an_address_is_judged_by_what_it_is_and_who_chose_the_host() {
    let rows = [
        // address, client, one of those opened, named itself, --connect-to
        ("8.8.8.8", true, true, true, true),
        ("8.8.4.4", false, false, false, false),
        ("169.254.169.254", false, false, false, false),
        ("fe80::1", false, false, false, false),
        ("fd00:ec2::254", false, false, false, false),
        ("::ffff:169.254.169.254", false, false, false, false),
        ("127.0.0.1", false, false, true, true),
        ("::1", false, false, true, true),
        ("0.0.0.0", false, false, true, true),
        // As VPC endpoints have them.
        ("10.0.0.1", false, true, true, true),
        ("fc00::1", false, true, true, true),
        ("100.64.0.1", false, true, true, true),
    ];
    for private in [PrivateDestinations::Deny, PrivateDestinations::Allow] {
        let dialer = dialer(private);
        for (address, client, one_of, itself, redirected) in rows {
            let address: IpAddr = address.parse().unwrap();
            let allowed = private == PrivateDestinations::Allow;
            let client = client || (allowed && address::class(address) == Class::Private);
            for (vouched, redirect, want) in [
                (Vouched::No, false, client),
                (Vouched::AsOneOf, false, one_of),
                (Vouched::Itself, false, itself),
                (Vouched::No, true, redirected),
            ] {
                for reach in [Reach::observed(vouched), Reach::unobserved(vouched)] {
                    let judged = dialer.judge("host", address, reach, redirect);
                    assert_eq!(judged.is_ok(), want, "{address} {reach:?} {redirect}");
                }
            }
        }
    }
}

/// An address where nobody answers, as long as the sockets are held.
fn black_hole() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![listener];
    // Nobody accepts, so the queue is full after one or two.
    loop {
        assert!(held.len() < 100, "the queue never fills");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let limit = Duration::from_millis(200);
        if socket.connect_timeout(&address.into(), limit).is_err() {
            return (address, held);
        }
        held.push(socket);
    }
}

#[tokio::test]
async fn many_dead_addresses_cost_hardly_more_than_one() {
    let tls = trust::upstream_client_config(&PlatformRoots::default(), &[], None).unwrap();
    let limit = Duration::from_millis(100);
    let dialer = Dialer::new(tls, &[], PrivateDestinations::Allow, None, limit, limit);
    let (address, _held) = black_hole();
    let begun = Instant::now();
    let dialled = dialer.first_of("dead.example", vec![address; 200]).await;
    assert!(matches!(dialled, Err(DialError::Connect { .. })));
    // Twice the limit and one more; all of them would take twenty seconds.
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}
