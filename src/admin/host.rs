//! By which names the admin port may be asked.
//!
//! A web page can have its own name lead to this machine (DNS rebinding) and then read our answers as its own. It cannot
//! do so by an address, nor by a name that nobody else's DNS can give: those are ours, and with them what `--admin-host`
//! names. RFC 9110 §7.2, RFC 6761 §6.3.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap};
use hyper::http::Version;

use crate::wire::http1::Authority;

/// What a request's Host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It means us, or nobody, as old health checks do and browsers never.
    Ours,
    /// It means somebody else.
    NotOurs,
    /// There is not the one that there has to be. RFC 9112 §3.2.
    Malformed,
}

/// Judges the Host among `fields`.
pub(super) fn judge(version: Version, fields: &HeaderMap, names: &[String]) -> Judgement {
    let mut hosts = fields.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, None) if version < Version::HTTP_11 => return Judgement::Ours,
        _ => return Judgement::Malformed,
    };
    let host = host
        .to_str()
        .ok()
        .and_then(|text| Authority::parse(text).ok());
    match host {
        None => Judgement::Malformed,
        Some(host) if is_ours(host.host, names) => Judgement::Ours,
        Some(_) => Judgement::NotOurs,
    }
}

fn is_ours(host: &str, names: &[String]) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || names.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(hosts: &[&str], version: Version) -> Judgement {
        let mut fields = HeaderMap::new();
        for host in hosts {
            fields.append(HOST, host.parse().unwrap());
        }
        judge(version, &fields, &["metrics.example".to_owned()])
    }

    #[test]
    fn a_name_that_somebody_else_can_give_is_not_ours() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "localhost:5381",
            "gate.localhost:1",
            "127.0.0.1:5381",
            "[::1]:5381",
            "192.0.2.7",
            "metrics.example",
            "Metrics.Example.:5381",
        ] {
            assert_eq!(judged(&[host], Version::HTTP_11), Judgement::Ours, "{host}");
        }
        for host in [
            "localhost.evil.example",
            "evil.example:5381",
            "localhost.nip.io",
            "127.0.0.1.evil.example",
            "metrics.example.evil.example",
            "127.1",
            "2130706433",
        ] {
            assert_eq!(
                judged(&[host], Version::HTTP_11),
                Judgement::NotOurs,
                "{host}"
            );
        }
    }

    #[test]
    fn there_is_one_host_or_in_old_versions_none() {
        for hosts in [
            &[][..],
            &["localhost", "localhost"],
            &[""],
            &["a b"],
            &["localhost:x"],
        ] {
            assert_eq!(
                judged(hosts, Version::HTTP_11),
                Judgement::Malformed,
                "{hosts:?}"
            );
        }
        assert_eq!(judged(&[], Version::HTTP_10), Judgement::Ours);
        assert_eq!(
            judged(&["evil.example"], Version::HTTP_10),
            Judgement::NotOurs
        );
    }
}
