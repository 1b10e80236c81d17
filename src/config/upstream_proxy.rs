//! `--upstream-proxy`: the proxy that a network wants everything to leave by, from a URL or from the environment.
//!
//! A URL may hold a user and a password (RFC 3986 §3.2.1). They become one `Proxy-Authorization` value (RFC 7617), which
//! no message and no `Debug` shows. What lies on this machine is never sent through a proxy. Dialling is left to
//! `net::upstream_proxy`.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::load::ConfigError;
use super::no_proxy::NoProxy;
use super::options::Options;
use super::settings::invalid;
use crate::aws::percent;
use crate::wire::http1::{Authority, Scheme};

/// A proxy between us and every upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// TLS to the proxy itself or not.
    pub scheme: Scheme,
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it is shown, if it wants to know who we are.
    pub authorization: Option<Authorization>,
    /// What is reached without it.
    pub no_proxy: NoProxy,
    /// Where it was named: the option, or a variable.
    pub named_by: &'static str,
    /// Who else can read its password where it was named, and what to do about it.
    pub exposed: Option<String>,
}

/// A value of `Proxy-Authorization`.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(String);

impl Authorization {
    /// The value itself, for the proxy and nobody else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(…)")
    }
}

/// The proxy without its credentials, as a person may read it.
impl fmt::Display for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let authority = Authority {
            host: &self.host,
            port: Some(self.port),
        };
        write!(f, "{scheme}://{authority}")
    }
}

const OPTION: &str = "upstream-proxy";

impl UpstreamProxy {
    /// What `options` say, with `environment` to look variables up in.
    ///
    /// # Errors
    /// A URL or an entry that cannot be used.
    pub fn from_options(
        options: &Options,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let mut no_proxy = NoProxy::default();
        for entry in &options.upstream_no_proxy {
            let listed = NoProxy::strict(entry);
            no_proxy.extend(listed.map_err(|why| invalid("upstream-no-proxy", why))?);
        }
        // As curl does: the lower-case name first, and an empty value is none.
        let variable = |name: &'static str| {
            let value = environment(name).filter(|value| !value.is_empty())?;
            Some((name, value))
        };
        let named = options.upstream_proxy.as_ref();
        let (named_by, url) = match named.map(ProxyOption::as_str) {
            None | Some("" | "none") => return Ok(None),
            Some("env") => {
                let Some((name, url)) = variable("https_proxy").or_else(|| variable("HTTPS_PROXY"))
                else {
                    return Ok(None);
                };
                if let Some((_, list)) = variable("no_proxy").or_else(|| variable("NO_PROXY")) {
                    no_proxy.extend(NoProxy::lenient(&list));
                }
                (name, url)
            }
            Some(url) => (OPTION, url.to_owned()),
        };
        let proxy = Self::parse(&url, no_proxy, named_by).map_err(|why| {
            let from = if named_by == OPTION {
                String::new()
            } else {
                format!("{named_by} is ")
            };
            invalid(OPTION, format!("{from}`{}` {why}", masked(&url)))
        })?;
        Ok(Some(proxy))
    }

    fn parse(url: &str, no_proxy: NoProxy, named_by: &'static str) -> Result<Self, String> {
        let (scheme, rest) = match url.split_once("://") {
            None => (Scheme::Http, url),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some(_) => {
                return Err(
                    "is of another kind than http:// and https://; say env, none, or the URL of an HTTP proxy"
                        .to_owned(),
                );
            }
        };
        let (authority, path) = rest
            .find(['/', '?', '#'])
            .map_or((rest, ""), |end| rest.split_at(end));
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, authority),
        };
        if !matches!(path, "" | "/") {
            return Err(format!(
                "has more than scheme, host and port; {}",
                if path.contains('@') {
                    "in a user or password, write / ? and # as %2F %3F and %23"
                } else {
                    "leave the path away"
                }
            ));
        }
        let authority = Authority::parse(authority)
            .map_err(|error| format!("is not http[s]://[USER:PASSWORD@]HOST[:PORT]: {error}"))?;
        Ok(Self {
            scheme,
            host: authority.host.to_ascii_lowercase(),
            port: authority.port_or_default(scheme),
            authorization: userinfo.map(authorization).transpose()?,
            no_proxy,
            named_by,
            exposed: None,
        })
    }

    /// Whether `host:port` is reached without the proxy.
    #[must_use]
    pub fn is_bypassed(&self, host: &str, port: u16) -> bool {
        is_this_machine(host) || self.no_proxy.matches(host, port)
    }
}

/// Basic credentials: RFC 7617 §2.
fn authorization(userinfo: &str) -> Result<Authorization, String> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut pair = percent::decode_octets(user);
    if pair.contains(&b':') {
        return Err("has a colon in its user, which Basic authentication cannot say".to_owned());
    }
    pair.push(b':');
    pair.extend(percent::decode_octets(password));
    Ok(Authorization(format!("Basic {}", STANDARD.encode(pair))))
}

/// `localhost` and what is below it (RFC 6761 §6.3), and loopback addresses.
fn is_this_machine(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    last.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// A URL, right or wrong, without what may be a password.
fn masked(url: &str) -> String {
    match url.rsplit_once('@') {
        None => url.to_owned(),
        Some((before, after)) => {
            // RFC 3986 §3.1. What is none may be the password of a URL that goes on in an unexpected way.
            let is_scheme =
                |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.');
            let scheme = before
                .split_once("://")
                .filter(|(scheme, _)| scheme.bytes().all(is_scheme))
                .map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}…@{after}")
        }
    }
}

/// `--upstream-proxy` as it was written; it may hold a password.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ProxyOption(String);

impl ProxyOption {
    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the proxy of this option was written so that others can read its password. `file`: the configuration file, if
/// that is where it stands.
pub(super) fn exposure(
    option: Option<&ProxyOption>,
    file: Option<&Path>,
    arguments: impl Iterator<Item = OsString>,
) -> Option<String> {
    let url = option
        .map(ProxyOption::as_str)
        .filter(|url| url.contains('@'))?;
    let is_it = |argument: OsString| {
        let text = argument.to_string_lossy();
        text == url
            || text
                .split_once('=')
                .is_some_and(|(name, value)| name == "--upstream-proxy" && value == url)
    };
    if arguments.into_iter().any(is_it) {
        return Some(
            "it stands on the command line, which every user of this machine can read; write the URL into \
             TOLLGATE_UPSTREAM_PROXY or the configuration file"
                .to_owned(),
        );
    }
    let file = file?;
    readable_by_others(file).map(|mode| {
        format!(
            "it stands in {0}, which others can read (mode {mode:04o}); `chmod 600 '{0}'` closes it",
            file.display()
        )
    })
}

#[cfg(unix)]
fn readable_by_others(file: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o7777;
    (mode & 0o044 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> Option<u32> {
    None
}

impl From<String> for ProxyOption {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for ProxyOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", masked(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(
        proxy: &str,
        list: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Option<UpstreamProxy>, ConfigError> {
        let options = Options {
            upstream_proxy: Some(proxy.to_owned().into()),
            upstream_no_proxy: list.iter().map(|&entry| entry.to_owned()).collect(),
            ..Options::default()
        };
        UpstreamProxy::from_options(&options, |name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn urls_are_taken_apart() {
        let rows = [
            ("http://proxy:3128", "http://proxy:3128", None),
            ("HTTP://Proxy", "http://proxy:80", None),
            ("https://proxy/", "https://proxy:443", None),
            ("proxy:8080", "http://proxy:8080", None),
            ("http://[::1]:3128", "http://[::1]:3128", None),
            ("http://u:p@proxy:1", "http://proxy:1", Some("u:p")),
            ("http://u@proxy:1", "http://proxy:1", Some("u:")),
            ("http://u:a:b@proxy:1", "http://proxy:1", Some("u:a:b")),
            ("u:p@proxy:1", "http://proxy:1", Some("u:p")),
            (
                "https://dom%5Cu:p%40s%2Fs%25@proxy",
                "https://proxy:443",
                Some("dom\\u:p@s/s%"),
            ),
        ];
        for (url, shown, pair) in rows {
            let proxy = configured(url, &[], &[]).unwrap().unwrap();
            assert_eq!(proxy.to_string(), shown, "{url}");
            let value = proxy.authorization.map(|value| value.reveal().to_owned());
            let wanted = pair.map(|pair| format!("Basic {}", STANDARD.encode(pair)));
            assert_eq!(value, wanted, "{url}");
        }
        let latin = configured("http://u:%FC@proxy", &[], &[]).unwrap().unwrap();
        let value = latin.authorization.unwrap();
        assert_eq!(value.reveal(), "Basic dTr8");
    }

    #[test]
    fn a_wrong_url_is_refused_and_its_password_not_repeated() {
        for url in [
            "socks5://u:c4n4ry@proxy:1080",
            "u:c4n4ry@proxy://else@where",
            "http://u:c4n4ry@",
            "http://u:c4n4ry@proxy:0",
            "http://u:c4n4ry@proxy:99999",
            "http://u:c4n4ry@pro xy",
            "http://u:c4n4ry@proxy/path",
            "http://u:c4n4ry/x@proxy",
            "http://u:c4n4ry#x@proxy",
            "http://a%3Ab:c4n4ry@proxy",
            "u:c4n4ry@pro xy",
            "ftp://proxy",
            "http://",
            "http://::1:80",
        ] {
            for error in [
                configured(url, &[], &[]).unwrap_err(),
                configured("env", &[], &[("HTTPS_PROXY", url)]).unwrap_err(),
            ] {
                let message = error.to_string();
                assert!(message.contains("upstream-proxy"), "{message}");
                assert!(!message.contains("c4n4ry"), "{message}");
            }
        }
        let debug = format!("{:?}", configured("http://u:c4n4ry@proxy", &[], &[]));
        assert!(!debug.contains("c4n4ry"), "{debug}");
        let help = <Options as clap::Args>::augment_args(clap::Command::new("tollgate"));
        let option = help
            .get_arguments()
            .find(|option| option.get_id() == "upstream_proxy");
        assert!(option.unwrap().is_hide_env_values_set());
        let options = ProxyOption("http://u:c4n4ry@proxy".to_owned());
        assert!(!format!("{options:?}").contains("c4n4ry"));
    }

    #[test]
    fn a_password_that_others_can_read_is_told_of() {
        let option = ProxyOption("http://u:c4n4ry@proxy".to_owned());
        let exposed = |file, arguments: &[&str]| {
            exposure(Some(&option), file, arguments.iter().map(OsString::from))
        };
        assert_eq!(exposed(None, &["tollgate", "serve"]), None);
        for arguments in [
            ["--upstream-proxy", "http://u:c4n4ry@proxy"],
            ["serve", "--upstream-proxy=http://u:c4n4ry@proxy"],
        ] {
            let why = exposed(None, &arguments).unwrap();
            assert!(
                why.contains("command line") && !why.contains("c4n4ry"),
                "{why}"
            );
        }
        let other = ["run", "--", "curl", "--upstream-proxy=http://u:other@proxy"];
        assert_eq!(exposed(None, &other), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(exposed(Some(file.path()), &[]), None);
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        file.as_file().set_permissions(open).unwrap();
        let why = exposed(Some(file.path()), &[]).unwrap();
        assert!(why.contains("0640") && why.contains("chmod 600"), "{why}");
        assert_eq!(exposure(None, None, std::iter::empty()), None);
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it() {
        let lower = ("https_proxy", "http://lower:1");
        let upper = ("HTTPS_PROXY", "http://upper:1");
        type Row<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
        let rows: &[Row<'_>] = &[
            (&[], None),
            (&[("http_proxy", "http://x:1"), ("ALL_PROXY", "x")], None),
            (&[upper], Some("http://upper:1")),
            (&[upper, lower], Some("http://lower:1")),
            (&[upper, ("https_proxy", "")], Some("http://upper:1")),
        ];
        for (environment, wanted) in rows {
            let found = configured("env", &[], environment).unwrap();
            let found = found.map(|proxy| proxy.to_string());
            assert_eq!(found.as_deref(), *wanted, "{environment:?}");
            assert_eq!(configured("none", &[], environment).unwrap(), None);
        }
        let proxy = configured(
            "env",
            &["listed"],
            &[upper, ("NO_PROXY", "a,nonsense/,b"), ("no_proxy", "c")],
        );
        let proxy = proxy.unwrap().unwrap();
        assert!(proxy.is_bypassed("c", 443) && proxy.is_bypassed("listed", 443));
        assert!(!proxy.is_bypassed("a", 443));
        let explicit = configured("http://p", &["x"], &[("NO_PROXY", "a")]);
        let explicit = explicit.unwrap().unwrap();
        assert!(explicit.is_bypassed("x", 443) && !explicit.is_bypassed("a", 443));
        assert!(configured("http://p", &["10.0.0.0/40"], &[]).is_err());
    }

    #[test]
    fn this_machine_needs_no_proxy() {
        let proxy = configured("http://p", &[], &[]).unwrap().unwrap();
        for host in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.1.2.3",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(proxy.is_bypassed(host, 1), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "notlocalhost", "10.0.0.1"] {
            assert!(!proxy.is_bypassed(host, 1), "{host}");
        }
    }
}
