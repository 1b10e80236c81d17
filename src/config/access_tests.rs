//! Who may do what, row by row.

use super::*;

const RULES: &str = r#"
    [[access]]
    name = "alice's own"
    user = "alice"
    access_key = ["AKIAALICE*"]
    account = "123456789012"
    model = ["anthropic.claude-*", "us.anthropic.claude-*"]
    region = ["us-*"]
    operation = ["Converse", "ConverseStream"]

    [[access]]
    name = "alice counts"
    user = ["alice", "bob"]
    operation = "CountTokens"

    [[access]]
    user = "team-*"
    host = ["*.amazonaws.com", "PyPI.org."]
"#;

#[derive(Deserialize)]
struct File {
    access: Vec<AccessOption>,
}

fn rules(text: &str) -> Result<AccessRules, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    AccessRules::new(&file.access).map_err(|error| error.to_string())
}

fn of_alice() -> Attempt<'static> {
    Attempt {
        user: Some("alice"),
        access_key: Some("AKIAALICE00000000001"),
        account: Some("123456789012"),
        model: Some("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        region: Some("us-east-1"),
        operation: Some("Converse"),
        host: Some("bedrock-runtime.us-east-1.amazonaws.com"),
        opaque: false,
    }
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[test]
fn whoever_is_named_may_do_what_one_rule_allows_and_nothing_else() {
    let rules = rules(RULES).unwrap();
    let alice = of_alice();
    let allowed = |attempt: Attempt<'_>| rules.check(&attempt).map_err(|refused| refused.what);
    for (what, attempt, expected) in [
        ("all as it should be", alice, Ok(())),
        (
            "another key",
            Attempt {
                access_key: Some("AKIABOB"),
                ..alice
            },
            Err("operation"),
        ),
        (
            "no key",
            Attempt {
                access_key: None,
                ..alice
            },
            Err("operation"),
        ),
        (
            "another account",
            Attempt {
                account: Some("999999999999"),
                ..alice
            },
            Err("operation"),
        ),
        (
            "another model",
            Attempt {
                model: Some("amazon.nova-lite-v1:0"),
                ..alice
            },
            Err("operation"),
        ),
        (
            "a model that only contains it",
            Attempt {
                model: Some("x.anthropic.claude-3"),
                ..alice
            },
            Err("operation"),
        ),
        (
            "an unknown model",
            Attempt {
                model: None,
                ..alice
            },
            Err("operation"),
        ),
        (
            "another region",
            Attempt {
                region: Some("eu-west-1"),
                ..alice
            },
            Err("operation"),
        ),
        (
            "another operation",
            Attempt {
                operation: Some("InvokeModel"),
                ..alice
            },
            Err("operation"),
        ),
        (
            "no operation",
            Attempt {
                operation: None,
                ..alice
            },
            Err("operation"),
        ),
        (
            "what the second rule allows",
            Attempt {
                operation: Some("CountTokens"),
                model: None,
                ..alice
            },
            Ok(()),
        ),
        (
            "bob, who may count only",
            Attempt {
                user: Some("bob"),
                ..alice
            },
            Err("operation"),
        ),
        (
            "bob, counting",
            Attempt {
                user: Some("bob"),
                operation: Some("CountTokens"),
                ..alice
            },
            Ok(()),
        ),
        (
            "carol, whom no rule names",
            Attempt {
                user: Some("carol"),
                model: None,
                ..alice
            },
            Ok(()),
        ),
        (
            "nobody, whom no rule names",
            Attempt {
                user: None,
                ..alice
            },
            Ok(()),
        ),
        (
            "Alice is not alice",
            Attempt {
                user: Some("Alice"),
                ..alice
            },
            Ok(()),
        ),
        (
            "a team at its host",
            Attempt {
                user: Some("team-a"),
                ..alice
            },
            Ok(()),
        ),
        (
            "a team elsewhere",
            Attempt {
                user: Some("team-a"),
                host: Some("evil.example"),
                ..alice
            },
            Err("host"),
        ),
        (
            "a suffix trick",
            Attempt {
                user: Some("team-a"),
                host: Some("x.amazonaws.com.evil.example"),
                ..alice
            },
            Err("host"),
        ),
    ] {
        assert_eq!(allowed(attempt), expected, "{what}");
    }
}

#[test]
fn a_tunnel_is_judged_by_its_host_alone() {
    let rules = rules(RULES).unwrap();
    let tunnel = |user, host| Attempt {
        user: Some(user),
        host: Some(host),
        opaque: true,
        ..Attempt::default()
    };
    assert_eq!(rules.check(&tunnel("team-a", "pypi.org")), Ok(()));
    assert!(rules.check(&tunnel("team-a", "files.pypi.org")).is_err());
    assert_eq!(
        rules.check(&tunnel("alice", "pypi.org")),
        Ok(()),
        "her rules name no host"
    );
}

#[test]
fn a_star_is_everybody_with_or_without_a_name() {
    let rules =
        rules("[[access]]\nuser = \"*\"\nregion = \"eu-*\"\n[[access]]\nuser = \"root\"").unwrap();
    for user in [None, Some("alice")] {
        let attempt = Attempt { user, ..of_alice() };
        assert_eq!(rules.check(&attempt).unwrap_err().what, "region");
        let there = Attempt {
            region: Some("eu-west-1"),
            ..attempt
        };
        assert_eq!(rules.check(&there), Ok(()));
    }
    let root = Attempt {
        user: Some("root"),
        ..of_alice()
    };
    assert_eq!(
        rules.check(&root),
        Ok(()),
        "a rule of their own allows more"
    );
}

#[test]
fn a_refusal_names_the_rules_and_what_they_do_not_allow() {
    let rules = rules(RULES).unwrap();
    let elsewhere = Attempt {
        user: Some("team-a"),
        host: Some("evil.example"),
        ..of_alice()
    };
    let refused = rules.check(&elsewhere).unwrap_err();
    assert_eq!(
        refused.message(elsewhere.user),
        "the access rule `access 3` of this gate does not allow the host evil.example to `team-a`"
    );
    let untold = Attempt {
        operation: None,
        ..of_alice()
    };
    let refused = rules.check(&untold).unwrap_err();
    assert_eq!(
        refused.message(untold.user),
        "the access rules `alice's own`, `alice counts` of this gate do not allow a request that does not tell its \
         operation to `alice`"
    );
}

#[test]
fn a_rule_that_cannot_mean_anything_is_an_error() {
    for (text, says) in [
        ("[[access]]\nmodel = \"*\"", "`user` needs a glob"),
        ("[[access]]\nuser = []", "`user` needs a glob"),
        ("[[access]]\nuser = \"\"", "`user` needs a glob"),
        (
            "[[access]]\nuser = \"a\"\nmodel = []",
            "`model` needs a glob",
        ),
        ("[[access]]\nuser = \"a\"\nmodels = \"x\"", "models"),
        ("[[access]]\nuser = \"a\"\nname = \" \"", "its name"),
        (
            "[[access]]\nuser = \"a\"\nname = \"x\"\n[[access]]\nuser = \"b\"\nname = \"x\"",
            "`x` stands twice",
        ),
    ] {
        let why = rules(text).unwrap_err();
        assert!(why.contains(says), "{text}: {why}");
    }
}
