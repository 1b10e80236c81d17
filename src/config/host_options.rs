//! `--intercept`, `--deny`, `[[host]]` and `--tunnel-port` become one table of host rules.

use super::hosts::{HostAction, HostPattern, HostRules, TunnelPorts};
use super::load::ConfigError;
use super::options::Options;
use super::settings::invalid;

/// The table.
///
/// # Errors
/// Which entry cannot be used, and what it should look like.
pub(super) fn host_rules(options: &Options) -> Result<HostRules, ConfigError> {
    let patterns = |name: &'static str, list: &[String]| {
        let parse = |text: &String| HostPattern::parse(text).map_err(|why| invalid(name, why));
        list.iter().map(parse).collect::<Result<Vec<_>, _>>()
    };
    let mut rules = HostRules {
        intercept: patterns("intercept", &options.intercept)?,
        deny: patterns("deny", &options.deny)?,
        tunnel: Vec::new(),
        ports: TunnelPorts::parse(&options.tunnel_port)
            .map_err(|why| invalid("tunnel-port", why))?,
        named: Vec::new(),
    };
    if rules.intercept.contains(&HostPattern::Any) {
        return Err(invalid("intercept", everything()));
    }
    for (index, option) in options.host.iter().enumerate() {
        let wrong = |why: String| invalid("host", format!("[[host]] {}: {why}", index + 1));
        let pattern = HostPattern::parse(&option.pattern).map_err(wrong)?;
        let list = match option.action {
            HostAction::Intercept if pattern == HostPattern::Any => {
                return Err(wrong(everything()));
            }
            HostAction::Intercept => &mut rules.intercept,
            HostAction::Deny => &mut rules.deny,
            HostAction::Tunnel => &mut rules.tunnel,
        };
        list.push(pattern);
    }
    Ok(rules)
}

fn everything() -> String {
    "`*` cannot be opened, for the authority vouches for named domains only; name the hosts, or `*.` and a suffix".to_owned()
}
