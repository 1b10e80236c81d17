//! Right and wrong passwords, what is remembered of them, and what credentials look like.

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// Users whose password is `pw-` and their name.
fn users(names: &[&str]) -> Arc<Users> {
    let line = |name: &&str| {
        format!(
            "{name}:{}\n",
            bcrypt::hash(format!("pw-{name}"), 4).unwrap()
        )
    };
    Arc::new(Users::parse(&names.iter().map(line).collect::<String>()).unwrap())
}

fn secret(password: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.as_bytes().to_vec())
}

fn hashed(authentication: &Authentication) -> usize {
    authentication.right().pairs.len()
}

#[tokio::test]
async fn a_pair_that_was_right_is_hashed_once_as_long_as_the_users_are_the_same() {
    let authentication = Authentication::new().unwrap();
    let first = users(&["alice", "bob"]);
    for _ in 0..3 {
        let right = authentication.verify(&first, HERE, "alice", secret("pw-alice"));
        assert_eq!(right.await.as_ref().ok(), first.hash("alice"));
        assert_eq!(hashed(&authentication), 1);
    }
    for (user, password) in [
        ("alice", "pw-bob"),
        ("bob", "pw-alice"),
        ("carol", "pw-carol"),
        ("alice", ""),
    ] {
        let wrong = authentication.verify(&first, HERE, user, secret(password));
        assert_eq!(wrong.await.err(), Some(Wrongly::Mistaken), "{user}");
    }
    let second = users(&["bob"]);
    let gone = authentication.verify(&second, HERE, "alice", secret("pw-alice"));
    assert_eq!(gone.await.err(), Some(Wrongly::Mistaken));
    let right = authentication.verify(&second, HERE, "bob", secret("pw-bob"));
    assert!(right.await.is_ok());
    assert_eq!(
        hashed(&authentication),
        1,
        "what was right for others is forgotten"
    );
    let nobody = Arc::new(Users::default());
    let wrong = authentication.verify(&nobody, HERE, "bob", secret("pw-bob"));
    assert_eq!(wrong.await.err(), Some(Wrongly::Mistaken));
}

#[tokio::test]
async fn whoever_is_wrong_too_often_is_not_heard_and_others_are() {
    let authentication = Authentication::new().unwrap();
    let users = users(&["alice", "bob"]);
    let verify = async |client, user: &str, password: &str| {
        authentication
            .verify(&users, client, user, secret(password))
            .await
    };
    assert!(verify(HERE, "alice", "pw-alice").await.is_ok());
    for _ in 0..PAIR_PATIENCE {
        assert_eq!(
            verify(THERE, "alice", "wrong").await.err(),
            Some(Wrongly::Mistaken)
        );
    }
    let shut = verify(THERE, "alice", "pw-alice").await.err();
    assert!(
        matches!(shut, Some(Wrongly::Shut(_))),
        "also when it is right: {shut:?}"
    );
    assert!(
        verify(HERE, "alice", "pw-alice").await.is_ok(),
        "another address"
    );
    assert!(
        verify(THERE, "bob", "pw-bob").await.is_ok(),
        "another user of that address"
    );
    for n in 0..PATIENCE {
        verify(THERE, &format!("nobody-{n}"), "wrong")
            .await
            .unwrap_err();
    }
    assert!(matches!(
        verify(THERE, "carol", "x").await,
        Err(Wrongly::Shut(_))
    ));
    assert!(
        verify(THERE, "bob", "pw-bob").await.is_ok(),
        "a pair that is known costs nothing"
    );
}

#[tokio::test]
async fn a_name_that_nobody_has_is_hashed_too() {
    let users = users(&["alice", "bob"]);
    for which in 0..4 {
        assert!(users.stand_in(which).is_some());
    }
    let authentication = Authentication::new().unwrap();
    let name = authentication.digest("nobody", b"");
    assert_eq!(name, authentication.digest("nobody", b""));
    assert_ne!(
        name,
        Authentication::new().unwrap().digest("nobody", b""),
        "the key is this process's"
    );
    assert_ne!(
        authentication.digest("ab", b"c"),
        authentication.digest("a", b"bc")
    );
}

#[test]
fn pairs_are_remembered_in_bounded_number() {
    let users = users(&["alice"]);
    let mut right = Right::default();
    for n in 0..=MAX_PAIRS {
        let mut pair = [0; 32];
        pair[..8].copy_from_slice(&(n as u64).to_le_bytes());
        right.learn(&users, pair);
    }
    assert_eq!(right.pairs.len(), MAX_PAIRS);
    assert!(!right.knows(&users, &[0; 32]));
}

proptest::proptest! {
    #[test]
    fn whatever_is_offered_is_read(value: Vec<u8>, pair: Vec<u8>) {
        for value in [value, [b"Basic ", STANDARD.encode(pair).as_bytes()].concat()] {
            if let Offered::Basic { user, password } = Offered::read(&value) {
                assert!(!user.is_empty() && user.len() <= MAX_USER && !user.contains(':'));
                assert!(password.len() <= 2 * MAX_PASSWORD);
            }
        }
    }
}

#[test]
fn credentials_are_basic_and_nothing_else() {
    let basic = |user: &str, password: &str| Offered::Basic {
        user: user.to_owned(),
        password: secret(password),
    };
    let encoded = |pair: &str| format!("Basic {}", STANDARD.encode(pair)).into_bytes();
    for (value, expected) in [
        (encoded("alice:wonderland"), basic("alice", "wonderland")),
        (encoded("alice:a:b"), basic("alice", "a:b")),
        (encoded("alice:"), basic("alice", "")),
        (encoded("jörg:schlüssel"), basic("jörg", "schlüssel")),
        (b"bAsIc   YTpi".to_vec(), basic("a", "b")),
    ] {
        assert!(
            Offered::read(&value) == expected,
            "{}",
            value.escape_ascii()
        );
    }
    for value in [
        encoded("alice"),
        encoded(":wonderland"),
        encoded("run-0a1b2c:x"),
        encoded("alice:a\0a"),
        encoded("al\nice:x"),
        encoded(&format!("{}:x", "a".repeat(MAX_USER + 1))),
        encoded(&format!("a:{}", "x".repeat(2 * MAX_PASSWORD))),
        b"Basic YTpi=".to_vec(),
        b"Basic ????".to_vec(),
        b"Basic".to_vec(),
        b"Basic ".to_vec(),
        b"".to_vec(),
        b"Bearer YTpi".to_vec(),
        b"Basic /zpi".to_vec(),
    ] {
        assert!(
            matches!(Offered::read(&value), Offered::Unreadable(_)),
            "{}",
            value.escape_ascii()
        );
    }
}
