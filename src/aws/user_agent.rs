//! What a user agent says of the program that called: its SDK and the application id it was given.
//!
//! Both are claims. Products are `name/version` tokens (RFC 9110 §10.1.5); the AWS SDKs put theirs first and write the
//! application id as `app/…`. Which attempt of a call this was stands in `amz-sdk-request`, read here as well.

/// What announces an application id.
const APP: &[u8] = b"app/";
/// Longest name that is kept, in octets.
const MAX_NAME: usize = 128;

/// The SDK and its version: the first product, `Boto3/1.43.11`, or `OpenAI/Python 3.54.0` for those who put the
/// language between the two.
#[must_use]
pub fn sdk(user_agent: &[u8]) -> Option<String> {
    let mut words = words(user_agent);
    let product = words.next().filter(|word| is_plain(word))?;
    match words.next() {
        Some(version) if is_version(version) && is_plain(version) => {
            text(&[product, version].join(&b' '))
        }
        _ => text(product),
    }
}

/// The application id: `AWS_SDK_UA_APP_ID`, `sdk_ua_app_id`, or the client's own setting.
#[must_use]
pub fn app_id(user_agent: &[u8]) -> Option<String> {
    // Hardly anybody has one, and user agents are long.
    memchr::memmem::find(user_agent, APP)?;
    words(user_agent)
        .find_map(|word| word.strip_prefix(APP))
        .filter(|id| is_plain(id))
        .and_then(text)
}

/// The number in `attempt=2; max=5`; 1 is the first attempt.
#[must_use]
pub fn attempt(sdk_request: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(sdk_request).ok()?;
    let value = text
        .split(';')
        .find_map(|part| part.trim().strip_prefix("attempt="))?;
    value.parse().ok().filter(|attempt| *attempt > 0)
}

/// The invocation id: any short word.
#[must_use]
pub fn invocation_id(value: &[u8]) -> Option<String> {
    text(value).filter(|_| is_plain(value))
}

fn words(user_agent: &[u8]) -> impl Iterator<Item = &[u8]> {
    user_agent
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

fn is_plain(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_graphic)
}

/// `3.54.0`: a language's clients name it apart from the product.
fn is_version(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_digit) && !word.contains(&b'/')
}

fn text(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && name.len() <= MAX_NAME).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_product_is_the_sdk() {
        for (user_agent, expected) in [
            (
                "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.1.0 cfg/retry-mode#legacy Botocore/1.43.11",
                Some("Boto3/1.43.11"),
            ),
            (
                "aws-sdk-js/3.1162.0 ua/2.1 lang/js",
                Some("aws-sdk-js/3.1162.0"),
            ),
            ("aws-sdk-rust/1.7.0 ua/2.1", Some("aws-sdk-rust/1.7.0")),
            ("OpenAI/Python 3.54.0", Some("OpenAI/Python 3.54.0")),
            ("curl/7.88.1", Some("curl/7.88.1")),
            ("  spaced   2.0 x", Some("spaced 2.0")),
            ("", None),
            ("\u{e9}t\u{e9}/1", None),
        ] {
            assert_eq!(
                sdk(user_agent.as_bytes()).as_deref(),
                expected,
                "{user_agent}"
            );
        }
        assert_eq!(sdk(&[b'x'; MAX_NAME + 1]), None);
    }

    #[test]
    fn application_id_and_attempt_are_found() {
        assert_eq!(
            app_id(b"Boto3/1.43.11 ua/2.1 app/search-api").as_deref(),
            Some("search-api")
        );
        assert_eq!(app_id(b"app/"), None);
        assert_eq!(app_id(b"Boto3/1.43.11 myapp/1"), None);
        for (value, expected) in [
            ("attempt=1", Some(1)),
            ("ttl=20261122T020100Z; attempt=2; max=5", Some(2)),
            ("attempt=0", None),
            ("attempt=x", None),
            ("", None),
        ] {
            assert_eq!(attempt(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(invocation_id(b"4b0f1c9e").as_deref(), Some("4b0f1c9e"));
        assert_eq!(invocation_id(b"a b"), None);
    }
}
