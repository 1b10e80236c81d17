//! Hashes as tools write them, and what is refused before anybody knocks.

use super::*;

/// Verifies in no time, for tests.
const CHEAP: &str = "$argon2id$v=19$m=8,t=1,p=1$";

fn cheap(password: &str) -> PasswordHash {
    let params = Params::new(8, 1, 1, None).unwrap();
    PasswordHash::with(password.as_bytes(), params).unwrap()
}

#[test]
fn what_is_hashed_is_verified_and_nothing_else() {
    let hash = cheap("open sesame");
    assert!(hash.as_str().starts_with(CHEAP), "{}", hash.as_str());
    assert_eq!(PasswordHash::parse(hash.as_str()).as_ref(), Ok(&hash));
    assert!(hash.verifies(b"open sesame"));
    for wrong in ["", "open sesam", "open sesame ", "Open sesame"] {
        assert!(!hash.verifies(wrong.as_bytes()), "{wrong}");
    }
    assert_ne!(hash, cheap("open sesame"), "the salt is not random");
}

#[test]
fn hashes_of_other_tools_are_read() {
    for (text, password, algorithm) in [
        // The reference implementation's own test.
        (
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "password",
            "argon2id",
        ),
        // libxcrypt's.
        (
            "$2y$04$CCCCCCCCCCCCCCCCCCCCC.K7Qr0se1MxuggH4aP4YgB.U2Em1pGSK",
            "U*U",
            "bcrypt",
        ),
    ] {
        let hash = PasswordHash::parse(text).unwrap();
        assert_eq!(hash.algorithm(), algorithm);
        assert!(hash.verifies(password.as_bytes()) && !hash.verifies(b"another"));
    }
    let made = bcrypt::hash("wonderland", 4).unwrap();
    for version in ["$2a$", "$2b$", "$2y$"] {
        let text = made.replacen("$2b$", version, 1);
        let hash = PasswordHash::parse(&text).unwrap();
        assert!(hash.verifies(b"wonderland") && !hash.verifies(b"looking-glass"));
    }
}

#[test]
fn a_hash_that_is_broken_unknown_or_absurd_is_refused_without_being_repeated() {
    let tag = "$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let argon2 = |params: &str| format!("$argon2id$v=19${params}{tag}");
    assert!(PasswordHash::parse(&argon2("m=65536,t=3,p=4")).is_ok());
    let bcrypt = bcrypt::hash("x", 4).unwrap();
    for (text, says) in [
        (argon2("m=1048576,t=3,p=4"), "m=1048576"),
        (argon2("m=8,t=4000000000,p=1"), "t=4000000000"),
        (argon2("m=4096,t=3,p=255"), "p=255"),
        (argon2("m=262144,t=32,p=1"), "m × t"),
        (argon2("m=0,t=0,p=0"), "broken"),
        (argon2("m=8,t=1"), ""),
        (
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ".to_owned(),
            "broken",
        ),
        (
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA".to_owned(),
            "broken",
        ),
        ("$argon2id$".to_owned(), "broken"),
        (
            argon2("m=65536,t=3,p=4").replace("2id", "2i"),
            "`$argon2i$…`",
        ),
        ("$apr1$c4n4ry".to_owned(), "`$apr1$…`"),
        ("{SHA}c4n4ry".to_owned(), "`{SHA}…`"),
        ("c4n4ry".to_owned(), "behind the colon"),
        (String::new(), "behind the colon"),
        (bcrypt.replace("$04$", "$31$"), "cost 31"),
        (bcrypt.replace("$04$", "$03$"), "cost 3"),
        (bcrypt.replace("$04$", "$+4$"), ""),
        (format!("{bcrypt}A"), "broken"),
        ("$2y$04$é".to_owned(), "broken"),
        (format!("$2y$04${}", "é".repeat(26)), "broken"),
    ] {
        match PasswordHash::parse(&text) {
            Err(why) => assert!(
                why.contains(says) && !why.contains("c4n4ry"),
                "{text}: {why}"
            ),
            Ok(_) => assert!(says.is_empty(), "{text} is taken"),
        }
    }
}

#[test]
fn a_hash_is_not_shown() {
    let hash = cheap("x");
    assert_eq!(format!("{hash:?}"), "argon2id(***)");
}
