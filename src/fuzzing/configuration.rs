//! What an operator writes: the configuration file, the upstream proxy's URL, lists of hosts that need none.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{parts, steered};
use crate::config::no_proxy::NoProxy;
use crate::config::{Options, Settings, UpstreamProxy};
use crate::ledger::Retention;
use crate::spend::rate::{Multiplier, Rate};
use crate::usage::tags_from_header;

/// The configuration file: settings or an explanation, and what was accepted is read the same when it is written again.
pub(super) fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    short_texts(text);
    let options: Options = match toml::from_str(text) {
        // Files that it names are somebody's.
        Ok(options) => Options {
            prices_file: None,
            ..options
        },
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let again: Options =
        toml::from_str(&toml::to_string(&options).expect("options can be written"))
            .expect("and read");
    match Settings::from_options(options, PathBuf::from("/home"), None) {
        Ok(settings) => {
            let routes: Vec<_> = settings
                .policy
                .routes
                .iter()
                .map(|route| route.prefix.len())
                .collect();
            assert!(routes.is_sorted_by(|a, b| a >= b), "longest prefix first");
            assert!(settings.capture_limit() <= crate::config::settings::MAX_PAYLOAD_LIMIT);
            let same = Settings::from_options(again, PathBuf::from("/home"), None)
                .expect("what was written again is in order");
            assert_eq!(settings.policy.routes, same.policy.routes);
            assert_eq!(settings.policy.budgets, same.policy.budgets);
            assert_eq!(settings.connect_to, same.connect_to);
            assert_eq!(settings.payload_limit, same.payload_limit);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(Settings::from_options(again, PathBuf::from("/home"), None).is_err());
        }
    }
}

/// Single values, as options and filters take them.
fn short_texts(text: &str) {
    if let Ok(rate) = Rate::parse_per_million(text) {
        assert_eq!(Rate::from_picos(rate.picos()), Some(rate));
    }
    if let Ok(multiplier) = Multiplier::parse(text) {
        assert_eq!(multiplier.apply(0), 0);
    }
    if let Ok(retention) = text.parse::<Retention>() {
        assert_eq!(text.parse::<Retention>().ok(), Some(retention));
    }
    for (key, value) in tags_from_header(text.as_bytes()) {
        assert!(key.chars().count() <= 256 && value.chars().count() <= 256);
    }
}

/// The upstream proxy's URL: whether it is right or wrong, nothing that is shown holds the password.
pub(super) fn upstream_proxy(data: &[u8]) {
    const PASSWORD: &str = "c4n4ryThatMustNotSurvive";
    let Some((steer, bytes)) = steered(data) else {
        return;
    };
    let [before, after, list] = parts(bytes);
    let [before, after, list] = [before, after, list].map(String::from_utf8_lossy);
    if [&before, &after, &list]
        .iter()
        .any(|part| part.contains(PASSWORD))
    {
        return;
    }
    let scheme = ["http://", "https://", "", "socks5://"][usize::from(steer % 4)];
    let url = format!("{scheme}{before}:{PASSWORD}@{after}");
    let options = Options {
        upstream_proxy: Some(
            if steer & 4 != 0 {
                "env".to_owned()
            } else {
                url.clone()
            }
            .into(),
        ),
        upstream_no_proxy: if steer & 8 != 0 {
            vec![list.to_string()]
        } else {
            Vec::new()
        },
        ..Options::default()
    };
    let variable = |name: &str| match name {
        "HTTPS_PROXY" => Some(url.clone()),
        "NO_PROXY" => Some(list.to_string()),
        _ => None,
    };
    let shown = match UpstreamProxy::from_options(&options, variable) {
        Ok(Some(proxy)) => {
            assert!(proxy.port != 0 && !proxy.host.is_empty());
            let authorization = proxy
                .authorization
                .as_ref()
                .expect("there were credentials")
                .reveal();
            let line_breaks = |c: char| c.is_control();
            assert!(authorization.starts_with("Basic ") && !authorization.contains(line_breaks));
            assert!(proxy.is_bypassed("localhost", 1) && proxy.is_bypassed("127.0.0.1", 443));
            format!("{proxy} {proxy:?}")
        }
        Ok(None) => String::new(),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(PASSWORD), "{shown}");
    assert!(!format!("{options:?}").contains(PASSWORD));
}

/// `NO_PROXY`: what is strictly an entry is leniently the same, and whoever is listed by name or address is matched.
pub(super) fn no_proxy(data: &[u8]) {
    let [list, host] = parts(data);
    let (Ok(list), Ok(host)) = (std::str::from_utf8(list), std::str::from_utf8(host)) else {
        return;
    };
    let lenient = NoProxy::lenient(list);
    if let Ok(strict) = NoProxy::strict(list) {
        assert_eq!(strict, lenient);
    }
    let matched = lenient.matches(host, 443);
    assert_eq!(matched, lenient.matches(&host.to_ascii_uppercase(), 443));
    let mut longer = lenient.clone();
    longer.extend(NoProxy::lenient("a.example"));
    assert!(longer.matches("a.example", 443) && (!matched || longer.matches(host, 443)));
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    let is_address = host.parse::<IpAddr>().is_ok();
    if is_address
        || (!host.is_empty()
            && host
                .split('.')
                .all(|label| !label.is_empty() && label.bytes().all(plain)))
    {
        let own = NoProxy::strict(host).expect("a name or an address is an entry");
        assert!(own.matches(host, 443), "{host}");
        assert!(is_address || own.matches(&format!("x.{host}"), 443));
        assert!(!own.matches(&format!("x{host}"), 443));
    }
}
