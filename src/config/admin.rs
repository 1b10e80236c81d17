//! The admin port's options: where it listens, who may ask, and by which names.
//!
//! Beyond loopback it needs a decision of its own, apart from the client port's: to serve calls to whoever can reach the
//! one says nothing about who may read what they cost on the other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::load::ConfigError;
use super::options::Options;
use super::settings::{invalid, parse_listen};
use crate::wire::http1::Authority;

/// The admin port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPort {
    /// Where it listens; `None` when there is to be none.
    pub address: Option<SocketAddr>,
    /// Whether somebody asked for it: then the gate does not start without it.
    pub is_explicit: bool,
    /// Names that it may be asked by besides loopback names and addresses, in lower case.
    pub hosts: Vec<String>,
}

/// The default admin port.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5381);

impl AdminPort {
    pub(super) fn from_options(options: &Options) -> Result<Self, ConfigError> {
        let address = match options.admin.as_deref() {
            None => Some(DEFAULT_ADMIN),
            Some("off") => None,
            Some(text) => Some(parse_listen(text).ok_or_else(|| {
                invalid(
                    "admin",
                    format!(
                        "`{text}` is neither ADDR:PORT, as in 127.0.0.1:5381 or [::1]:5381, nor off"
                    ),
                )
            })?),
        };
        let allowed = options.admin_allow_anonymous.unwrap_or_default();
        if let Some(address) = address.filter(|address| !address.ip().is_loopback())
            && !allowed
        {
            return Err(invalid(
                "admin",
                format!(
                    "{address} can be reached from other machines, and who asks there is not asked who they are; have \
                     it on loopback, or say --admin-allow-anonymous to answer whoever can reach it"
                ),
            ));
        }
        let hosts = options.admin_host.iter();
        Ok(Self {
            address,
            is_explicit: options.admin.is_some(),
            hosts: hosts.map(|text| host(text)).collect::<Result<_, _>>()?,
        })
    }
}

fn host(text: &str) -> Result<String, ConfigError> {
    match Authority::parse(text) {
        Ok(Authority { host, port: None }) if !host.contains('*') => {
            Ok(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
        }
        _ => Err(invalid(
            "admin-host",
            format!(
                "`{text}` is not a name, as in tollgate or metrics.example.com, without a port"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(admin: Option<&str>, allowed: bool) -> Result<AdminPort, ConfigError> {
        AdminPort::from_options(&Options {
            admin: admin.map(str::to_owned),
            admin_allow_anonymous: allowed.then_some(true),
            // What the client port may is not what this one may.
            allow_anonymous: Some(true),
            ..Options::default()
        })
    }

    #[test]
    fn the_port_is_where_it_is_said_to_be() {
        let found = |admin| {
            let port = with(admin, false).unwrap();
            (
                port.address.map(|address| address.to_string()),
                port.is_explicit,
            )
        };
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(found(None), (at("127.0.0.1:5381"), false));
        assert_eq!(found(Some("off")), (None, true));
        assert_eq!(found(Some("localhost:9")), (at("127.0.0.1:9"), true));
        assert_eq!(found(Some("[::1]:9")), (at("[::1]:9"), true));
        for wrong in ["", "on", "5381", "127.0.0.1", "example.com:80"] {
            assert!(with(Some(wrong), true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn beyond_loopback_it_takes_a_decision_of_its_own() {
        for address in ["0.0.0.0:5381", "[::]:5381", "192.0.2.1:5381"] {
            let refused = with(Some(address), false).unwrap_err().to_string();
            assert!(refused.contains("--admin-allow-anonymous"), "{refused}");
            assert!(with(Some(address), true).is_ok(), "{address}");
        }
    }

    #[test]
    fn names_to_be_asked_by_are_names() {
        let named = |text: &str| {
            AdminPort::from_options(&Options {
                admin_host: vec![text.to_owned()],
                ..Options::default()
            })
        };
        assert_eq!(named("Tollgate.").unwrap().hosts, ["tollgate"]);
        for wrong in ["", "a:80", "http://a", "*.a", "a b", "a/b"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
