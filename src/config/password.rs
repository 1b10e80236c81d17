//! What a password is kept as: Argon2id in PHC strings (RFC 9106), or bcrypt as `htpasswd -B` writes it.
//!
//! Reading a hash checks everything about it, and bounds what a verification may cost, so that nothing can go wrong when
//! somebody knocks. When and how often that is, is left to `proxy::authentication`.

use std::fmt;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// A password as it may be written down.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Argon2id,
    Bcrypt,
}

/// Most memory of one verification, in KiB, most passes over it, and most lanes. What `argon2` and its kin write by default
/// stays far below.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 32;
const MAX_LANES: u32 = 16;
/// Memory times passes of one verification: about four seconds of a core.
const MAX_WORK: u64 = 4 * 1024 * 1024;
/// A tag that can be guessed keeps nobody out.
const MIN_TAG_OCTETS: usize = 16;
/// bcrypt doubles with each; 15 are about two seconds.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=15;
/// `$2y$`, two digits of cost, `$`, 22 characters of salt and 31 of hash.
const BCRYPT_LENGTH: usize = 60;

/// Longest password that is looked at, in octets.
pub const MAX_PASSWORD: usize = 1024;

impl PasswordHash {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let kind = if text.starts_with("$argon2id$") {
            check_argon2id(text)?;
            Kind::Argon2id
        } else if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            check_bcrypt(text)?;
            Kind::Bcrypt
        } else {
            let known = "Argon2id (`tollgate user add`) and bcrypt (`htpasswd -B`) are";
            return Err(format!(
                "{} is no way to keep a password here; {known}",
                kind_of(text)
            ));
        };
        Ok(Self {
            kind,
            text: text.to_owned(),
        })
    }

    /// Argon2id of `password` with a random salt, 19 MiB and two passes (RFC 9106 §4, OWASP).
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn of(password: &[u8]) -> Result<Self, String> {
        Self::with(password, Params::DEFAULT)
    }

    fn with(password: &[u8], params: Params) -> Result<Self, String> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: Phc = argon2
            .hash_password(password)
            .map_err(|error| format!("the password cannot be hashed: {error}"))?;
        Ok(Self {
            kind: Kind::Argon2id,
            text: hash.to_string(),
        })
    }

    /// Whether `password` is the one. Takes a core for tens of milliseconds, or what the hash asks for.
    #[must_use]
    pub fn verifies(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Argon2id => Phc::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
        }
    }

    /// What it is called in lists.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.kind {
            Kind::Argon2id => "argon2id",
            Kind::Bcrypt => "bcrypt",
        }
    }

    /// What stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(***)", self.algorithm())
    }
}

/// What to call a hash that is not known; a password in clear is not repeated.
fn kind_of(text: &str) -> String {
    let known = [
        "$argon2i$",
        "$argon2d$",
        "$apr1$",
        "$1$",
        "$5$",
        "$6$",
        "$2x$",
        "$y$",
        "{SHA}",
    ];
    let prefix = known.iter().find(|prefix| text.starts_with(**prefix));
    prefix.map_or_else(
        || "what stands behind the colon".to_owned(),
        |prefix| format!("`{prefix}…`"),
    )
}

fn check_argon2id(text: &str) -> Result<(), String> {
    let broken = |why: &dyn fmt::Display| format!("the Argon2id hash is broken: {why}");
    let hash = Phc::new(text).map_err(|error| broken(&error))?;
    let params = Params::try_from(&hash).map_err(|error| broken(&error))?;
    let tag = hash.hash.as_ref().map_or(0, |tag| tag.as_ref().len());
    if tag < MIN_TAG_OCTETS || hash.salt.is_none() {
        return Err(broken(&"it lacks its salt or a tag of 16 octets or more"));
    }
    if hash.version.is_some_and(|version| version != 19) {
        return Err(broken(&"it is not of version 19"));
    }
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    if memory > MAX_MEMORY_KIB
        || passes > MAX_PASSES
        || lanes > MAX_LANES
        || u64::from(memory) * u64::from(passes) > MAX_WORK
    {
        return Err(format!(
            "the Argon2id hash asks for m={memory}, t={passes}, p={lanes}; at most m={MAX_MEMORY_KIB} (KiB), \
             t={MAX_PASSES}, p={MAX_LANES} and m × t = {MAX_WORK} are spent on a stranger"
        ));
    }
    Ok(())
}

fn check_bcrypt(text: &str) -> Result<(), String> {
    let cost = text.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
    let is_base64 = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/');
    let rest = text.get(7..).unwrap_or_default();
    let Some(cost) = cost.filter(|_| {
        text.len() == BCRYPT_LENGTH && text.get(6..7) == Some("$") && rest.bytes().all(is_base64)
    }) else {
        return Err(
            "the bcrypt hash is broken: `$2y$`, a cost, `$` and 53 characters are expected"
                .to_owned(),
        );
    };
    if !BCRYPT_COSTS.contains(&cost) {
        return Err(format!(
            "the bcrypt hash has cost {cost}; from {} to {} are taken",
            BCRYPT_COSTS.start(),
            BCRYPT_COSTS.end()
        ));
    }
    // The parser of the crate is private, but it stands before the hashing: characters whose spare bits are set fail here.
    let parts: Result<bcrypt::HashParts, _> = text.parse();
    parts
        .map(|_| ())
        .map_err(|error| format!("the bcrypt hash is broken: {error}"))
}

#[cfg(test)]
#[path = "password_tests.rs"]
mod tests;
