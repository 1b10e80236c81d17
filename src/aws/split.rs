//! Taking short texts apart at an octet: scopes, host names, paths, lists of names.
//!
//! The searches of `str` for a character are made for long texts and take several times as long for one that ends after a
//! few octets, which is all that a request's head is made of.

/// From this length on, one that looks at many octets at a time is quicker, for all its preparations.
const LONG: usize = 48;

fn find(octets: &[u8], octet: u8) -> Option<usize> {
    if octets.len() < LONG {
        octets.iter().position(|other| *other == octet)
    } else {
        memchr::memchr(octet, octets)
    }
}

/// What stands before the first `octet`, which is an ASCII character, and behind it.
pub(crate) fn split_once(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = find(text.as_bytes(), octet)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What stands between one `octet`, which is an ASCII character, and the next.
pub(crate) fn split(text: &str, octet: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let Some((part, after)) = split_once(rest?, octet) else {
            return rest.take();
        };
        rest = Some(after);
        Some(part)
    })
}

/// The same of octets.
pub(crate) fn split_octets(octets: &[u8], octet: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(octets);
    std::iter::from_fn(move || {
        let all = rest?;
        let Some(at) = find(all, octet) else {
            return rest.take();
        };
        rest = all.get(at + 1..);
        all.get(..at)
    })
}

/// Whether every octet fits. Without an early exit many are looked at in one go.
pub(crate) fn all(text: &str, fits: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |all, octet| all & fits(octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_as_str_splits_them() {
        let long = "a".repeat(LONG) + ".b." + &"ü".repeat(LONG);
        for text in ["", ".", "a", "a.b", ".a..b.", "ü.ß", "a.b.c", &long] {
            assert_eq!(split_once(text, b'.'), text.split_once('.'), "{text}");
            let parts: Vec<&str> = text.split('.').collect();
            assert_eq!(split(text, b'.').collect::<Vec<_>>(), parts, "{text}");
            let octets: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
            assert_eq!(
                split_octets(text.as_bytes(), b'.').collect::<Vec<_>>(),
                octets,
                "{text}"
            );
        }
    }

    #[test]
    fn all_means_every_octet() {
        let is_digit = |octet: u8| octet.is_ascii_digit();
        assert!(all("", is_digit) && all("0123456789012345678901", is_digit));
        assert!(!all("x12", is_digit) && !all("01234567890123456789012x", is_digit));
    }
}
