//! The canonical request and its signature, written out from the SigV4 specification.
//!
//! `aws-sigv4` is the judge wherever it can express a request. It hides the canonical string, which the refusal has to
//! show, and it cannot leave out `x-amz-date`, sign `x-amz-user-agent` in the query form, or take values and queries that
//! are not UTF-8; for those this module decides. The tests hold the two against each other.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::percent;
use super::presented::{ALGORITHM, Signature};
use super::received::Received;

/// The canonical request that `signature` should cover.
pub(super) fn canonical_request(
    request: &Received,
    signature: &Signature,
    payload_hash: &str,
) -> Vec<u8> {
    let mut canonical = Vec::new();
    for line in [
        request.method.as_str(),
        &canonical_path(request.path()),
        &canonical_query(request.query()),
    ] {
        canonical.extend_from_slice(line.as_bytes());
        canonical.push(b'\n');
    }
    for name in &signature.signed_headers {
        canonical.extend_from_slice(name.as_bytes());
        canonical.push(b':');
        let values: Vec<Vec<u8>> = request.all(name).map(fold_spaces).collect();
        canonical.extend_from_slice(&values.join(&b','));
        canonical.push(b'\n');
    }
    canonical.push(b'\n');
    canonical.extend_from_slice(signature.signed_headers.join(";").as_bytes());
    canonical.push(b'\n');
    canonical.extend_from_slice(payload_hash.as_bytes());
    canonical
}

/// The string to sign for a canonical request.
pub(super) fn string_to_sign(signature: &Signature, canonical_request: &[u8]) -> String {
    format!(
        "{ALGORITHM}\n{}\n{}/{}/{}/aws4_request\n{}",
        signature.time,
        signature.date,
        signature.region,
        signature.service,
        sha256_hex(canonical_request),
    )
}

/// The signature over a string to sign, in hexadecimal.
pub(super) fn sign(secret: &str, signature: &Signature, string_to_sign: &str) -> String {
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [
        &signature.date,
        &signature.region,
        &signature.service,
        "aws4_request",
    ] {
        key = keyed_hash(&key, part.as_bytes());
    }
    hex(&keyed_hash(&key, string_to_sign.as_bytes()))
}

/// SHA-256 in lower-case hexadecimal.
pub(super) fn sha256_hex(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

/// Removes dot segments and empty ones, then encodes once more what is already encoded.
fn canonical_path(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    let open = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) && !kept.is_empty();
    let normal = format!("/{}{}", kept.join("/"), if open { "/" } else { "" });
    percent::encode(normal.as_bytes(), b"/")
}

/// Every parameter but the signature itself, encoded anew and sorted.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = percent::pairs(query)
        .map(|(name, value)| {
            let encode = |part| percent::encode(&percent::decode(part), b"");
            (encode(name), encode(value))
        })
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Trims spaces and folds runs of them into one.
fn fold_spaces(value: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = value
        .split(|&octet| octet == b' ')
        .filter(|word| !word.is_empty())
        .collect();
    words.join(&b' ')
}

fn keyed_hash(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length (RFC 2104 §3); were it to refuse one, no signature would match the empty hash.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
