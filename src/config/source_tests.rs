//! Where a mistake is found, and what is said about it.

use super::*;

/// What a gate would say of `text`.
fn refused(text: &str) -> String {
    mistake(text).unwrap_or_else(|| panic!("{text} is in order"))
}

/// A file, the place of the mistake, and what is said about it.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str)] = &[
    // Unknown keys.
    ("\nlistem = 1", "2:1", "did you mean `listen`?"),
    ("max-connections = 5", "1:1", "did you mean `max_connections`?"),
    ("Listen = \"x\"", "1:1", "did you mean `listen`?"),
    ("tunnel_ports = [1]", "1:1", "did you mean `tunnel_port`?"),
    ("payload_lim = 1", "1:1", "did you mean `payload_limit`?"),
    ("zzz = 1", "1:1", "unknown key `zzz`; docs/configuration.md"),
    ("[[rout]]\nprefix = \"/a/\"", "1:3", "did you mean `route`?"),
    ("[[route]]\nprefix = \"/a/\"\n  upstraem = 1", "3:3", "did you mean `upstream`?"),
    ("[[host]]\npattern = \"a\"\naktion = \"deny\"", "3:1", "did you mean `action`?"),
    ("[[price]]\nmodel = \"a\"\ninptu = 1", "3:1", "did you mean `input`?"),
    ("[[host]]\npattern = \"a\"\ncolour = 1", "3:1", "known here: `pattern`, `action`"),
    ("[[host]]\npattern = \"a\"\naction = \"deny\"\nlisten = \"x\"", "4:1", "above the first [table]"),
    // Missing ones.
    ("a = 1\n", "1:1", "unknown key `a`"),
    ("[[host]]\npattern = \"a\"", "1:1", "the key `action` is missing"),
    // Wrong kinds.
    ("listen = 5380", "1:10", "found integer `5380`, where a string should stand"),
    ("intercept = \"a\"", "1:13", "found string \"a\", where a sequence should stand"),
    ("\n\ntunnel_port = [\"443\", 70000]", "3:15", "a port or \"*\""),
    ("max_connections = -1", "1:19", "integer `-1`"),
    ("allow_anonymous = \"yes\"", "1:19", "found string \"yes\", where a boolean should stand"),
    ("[[host]]\npattern = \"a\"\naction = \"open\"", "3:10", "unknown value `open`; known here: `deny`, `intercept`, `tunnel`"),
    ("[[host]]\npattern = \"a\"\naction = \"tunel\"", "3:10", "did you mean `tunnel`?"),
    // What is no TOML.
    ("listen = \"a", "1:", "string"),
    ("listen = \"a\"\nlisten = \"b\"", "2:1", "duplicate key"),
    // What cannot be used.
    ("payload = \"full\"\nlisten = \"5380\"", "2:10", "option `listen`: `5380` is not ADDR:PORT"),
    ("listen = \"0.0.0.0:1\"", "1:10", "--allow-anonymous"),
    ("intercept = [\n  \"a.example\",\n  \"https://x\",\n]", "3:3", "option `intercept`: `https://x`"),
    ("payload_limit = 16777217", "1:17", "16777216"),
    ("idle_timeout = \"0s\"", "1:16", "such as 5m"),
    ("tls_cert = \"c.pem\"", "1:12", "option `tls-cert`"),
    ("tunnel_port = [443, \"https\"]", "1:21", "1 to 65535"),
    ("[[host]]\npattern = \"a\"\naction = \"deny\"\n[[host]]\npattern = \"a:1\"\naction = \"deny\"", "5:11", "[[host]] 2: `a:1` is neither"),
    ("[[host]]\npattern = \"*\"\naction = \"intercept\"", "2:11", "vouches for named domains"),
    ("[[route]]\nprefix = \"/a/\"\n[[route]]\nprefix = \"/a/\"", "4:10", "[[route]] 2: the prefix `/a/` stands twice"),
    ("[[route]]\nprefix = \"/a/\"\nallow = []", "3:1", "nobody may use the route"),
    ("[[route]]\nprefix = \"/a/\"\nupstream = \"http://h\"", "3:12", "https://HOST"),
    ("[aliases]\nx = \"\"", "2:5", "neither an id nor its name"),
    ("[[price]]\nmodel = \"a\"\ninput = 1\noutput = 1\n\n[[price]]\nmodel = \"b\"", "6:1", "[[price]] 2"),
];

#[test]
fn every_mistake_is_pointed_at_and_explained() {
    for (text, place, part) in MISTAKES {
        let said = refused(text);
        assert!(
            said.contains(&format!("--> /etc/tollgate.toml:{place}")),
            "{text}: {said}"
        );
        assert!(said.contains(part), "{text}: {said}");
    }
}

#[test]
fn the_line_is_shown_with_a_mark_below_what_is_meant() {
    let wanted = "line 2, column 1: unknown key `listem`; did you mean `listen`?\n \
                  --> /etc/tollgate.toml:2:1\n  |\n2 | listem = 1\n  | ^^^^^^";
    let said = refused("# ü\nlistem = 1\n");
    assert!(said.ends_with(wanted), "{said}");
    let long = format!("intercept = [\"{}\", \"x y\"]", "a".repeat(500));
    assert!(refused(&long).len() < 600);
}

#[test]
fn nothing_in_a_file_drives_a_terminal() {
    for text in [
        "\"a\\u001b[2Jb\" = 1",
        "listen = 1 # \u{1b}[2J",
        "payload = \"a\\u001b[2J\\nb\"",
    ] {
        let said = refused(text);
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
}

#[test]
fn a_password_is_repeated_by_no_mistake() {
    for text in [
        "upstream_proxy = \"http://u:c4n4ry@proxy\n",
        "upstream_proxy = [\"http://u:c4n4ry@proxy\"]\n",
        "upstream_prxy = \"http://u:c4n4ry@proxy\"\n",
        "listen = \"http://u:c4n4ry@proxy\"\n",
        "listen = 1 \"http://u:c4n4ry@proxy\"\n",
        "intercept = [\"http://u:c4n4ry@proxy\"]\n",
        "[[route]]\nprefix = \"/a/\"\nupstream = \"https://u:c4n4ry@proxy\"\n",
    ] {
        let said = refused(text);
        assert!(said.contains("--> "), "{said}");
        assert!(!said.contains("c4n4ry"), "{said}");
    }
}
