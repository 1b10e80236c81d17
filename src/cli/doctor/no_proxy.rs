//! `NO_PROXY`: which of its entries would lead a client past the proxy.
//!
//! There is no standard, so an entry counts if any client we know reads it so: `*` alone is every host; a name, with or
//! without a dot or `*.` before it, is that name and all below it; a port narrows it.

/// The entries that hide `host:443`.
pub(super) fn hiding<'a>(list: &'a str, host: &str) -> Vec<&'a str> {
    entries(list).filter(|entry| hides(entry, host)).collect()
}

/// The list without the entries that hide any of `hosts`.
pub(super) fn without(list: &str, hosts: &[String]) -> String {
    let kept: Vec<&str> = entries(list)
        .filter(|entry| !hosts.iter().any(|host| hides(entry, host)))
        .collect();
    kept.join(",")
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty())
}

fn hides(entry: &str, host: &str) -> bool {
    if entry == "*" {
        return true;
    }
    let name = match entry.rsplit_once(':') {
        Some((name, "443")) => name,
        Some((_, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => return false,
        _ => entry,
    };
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.trim_start_matches('.').trim_end_matches('.');
    let name = name.to_ascii_lowercase();
    if name.is_empty() {
        return false;
    }
    host.strip_suffix(name.as_str())
        .is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
}
