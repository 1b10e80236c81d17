//! Settings of variables as each shell reads them, whatever is in the values: spaces, quotes, `$`, line ends.
//!
//! Words are quoted so that nothing in them means anything (POSIX.1 shell §2.2.2, fish and PowerShell single quotes). Each
//! line ends with `;` where the shell allows it, so that `eval $(…)` without quotes works, too.

use std::fmt::Write as _;

use clap::ValueEnum;

/// Who reads the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// sh, bash, zsh, dash, ksh
    Sh,
    /// fish
    Fish,
    /// PowerShell
    Pwsh,
    /// A .env file
    Dotenv,
    /// One JSON object; null for what must not be set
    Json,
}

impl Shell {
    /// The one that `$SHELL` names; sh when it is none that differs.
    #[must_use]
    pub fn guess(shell: Option<&str>) -> Self {
        let name = shell.and_then(|path| path.rsplit('/').next());
        match name {
            Some("fish") => Self::Fish,
            Some("pwsh" | "powershell") => Self::Pwsh,
            _ => Self::Sh,
        }
    }

    /// Sets each variable to its value, and removes those without one.
    #[must_use]
    pub fn script(self, settings: &[(&str, Option<&str>)]) -> String {
        if self == Self::Json {
            let object: serde_json::Map<String, serde_json::Value> = settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect();
            return format!("{:#}\n", serde_json::Value::Object(object));
        }
        settings
            .iter()
            .fold(String::new(), |mut script, (name, value)| {
                script.push_str(&self.line(name, *value));
                script.push('\n');
                script
            })
    }

    fn line(self, name: &str, value: Option<&str>) -> String {
        match (self, value) {
            (Self::Sh, Some(value)) => format!("export {name}={};", sh(value)),
            (Self::Sh, None) => format!("unset {name};"),
            (Self::Fish, Some(value)) => format!("set -gx {name} {};", fish(value)),
            (Self::Fish, None) => format!("set -e {name};"),
            (Self::Pwsh, Some(value)) => format!("$env:{name} = {};", pwsh(value)),
            (Self::Pwsh, None) => format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue;"),
            (Self::Dotenv | Self::Json, Some(value)) => format!("{name}={}", dotenv(value)),
            (Self::Dotenv | Self::Json, None) => format!("# {name} must not be set"),
        }
    }
}

/// A word of a POSIX shell.
#[must_use]
pub fn sh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn fish(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// PowerShell takes typographic quotes for quotes.
fn pwsh(text: &str) -> String {
    let mut word = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            word.push(c);
        }
        word.push(c);
    }
    word.push('\'');
    word
}

/// Bare where that is unambiguous: some readers take quotes for part of the value.
fn dotenv(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=".contains(c);
    if text.chars().all(bare) {
        return text.to_owned();
    }
    if !text.contains(['\'', '\n', '\r']) {
        return format!("'{text}'");
    }
    let mut word = String::from("\"");
    for c in text.chars() {
        let written = match c {
            '"' | '\\' | '$' | '`' => write!(word, "\\{c}"),
            '\n' => write!(word, "\\n"),
            '\r' => write!(word, "\\r"),
            c => write!(word, "{c}"),
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const NASTY: [&str; 7] = [
        "/home/me/tollgate/ca.pem",
        "/home/my self/it's \"here\"/$HOME/`id`/$(id)",
        "back\\slash\\\\'\\''",
        "line\nend\ttab",
        "; rm * & | > # ! ~ {a,b} [c] ?",
        "ü \u{2019}typographic\u{2018}",
        "",
    ];

    /// What `shell` has in the variables after it has read the script.
    fn read_back(shell: &str, form: Shell, eval: &str) {
        if Command::new(shell)
            .arg("-c")
            .arg("exit 0")
            .status()
            .is_err()
        {
            return;
        }
        let names: Vec<String> = (0..NASTY.len()).map(|at| format!("TOLL_{at}")).collect();
        let mut settings: Vec<_> = names
            .iter()
            .map(String::as_str)
            .zip(NASTY.map(Some))
            .collect();
        settings.push(("TOLL_GONE", None));
        let output = Command::new(shell)
            .arg("-c")
            .arg(eval)
            .env("SCRIPT", form.script(&settings))
            .env("TOLL_GONE", "here")
            .output()
            .unwrap();
        assert!(output.status.success(), "{shell}: {output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        for (name, value) in names.iter().zip(NASTY) {
            assert!(
                printed
                    .split('\0')
                    .any(|line| line == format!("{name}={value}")),
                "{shell} {name}: {printed:?}"
            );
        }
        assert!(!printed.contains("TOLL_GONE="), "{shell}");
    }

    #[test]
    fn shells_read_back_what_was_written() {
        for shell in ["sh", "bash", "dash", "zsh"] {
            read_back(shell, Shell::Sh, "eval \"$SCRIPT\"; env -0");
        }
        read_back("fish", Shell::Fish, "printf %s $SCRIPT | source; env -0");
        read_back("pwsh", Shell::Pwsh, "Invoke-Expression $env:SCRIPT; env -0");
    }

    #[test]
    fn fish_and_powershell_words_are_closed() {
        assert_eq!(fish(r"it's \ $x"), r"'it\'s \\ $x'");
        assert_eq!(pwsh("it's \u{2019} $x"), "'it''s \u{2019}\u{2019} $x'");
        assert_eq!(
            Shell::Fish.script(&[("A", Some("b")), ("C", None)]),
            "set -gx A 'b';\nset -e C;\n"
        );
        assert_eq!(
            Shell::Pwsh.script(&[("A", Some("b")), ("C", None)]),
            "$env:A = 'b';\nRemove-Item Env:C -ErrorAction SilentlyContinue;\n"
        );
    }

    #[test]
    fn dotenv_is_bare_where_it_can_be() {
        for (value, word) in [
            ("http://127.0.0.1:5380", "http://127.0.0.1:5380"),
            ("a b$c", "'a b$c'"),
            ("it's $x \"y\"\n", "\"it's \\$x \\\"y\\\"\\n\""),
            ("", ""),
        ] {
            assert_eq!(dotenv(value), word);
        }
        assert_eq!(
            Shell::Dotenv.script(&[("C", None)]),
            "# C must not be set\n"
        );
    }

    #[test]
    fn json_is_json() {
        let script = Shell::Json.script(&[("A", Some("it's \"b\"\n")), ("C", None)]);
        let object: serde_json::Value = serde_json::from_str(&script).unwrap();
        assert_eq!(object, serde_json::json!({"A": "it's \"b\"\n", "C": null}));
    }

    #[test]
    fn the_shell_is_guessed_from_its_path() {
        for (shell, expected) in [
            (None, Shell::Sh),
            (Some("/bin/zsh"), Shell::Sh),
            (Some("/usr/local/bin/fish"), Shell::Fish),
            (Some("/opt/microsoft/powershell/7/pwsh"), Shell::Pwsh),
            (Some("fish"), Shell::Fish),
        ] {
            assert_eq!(Shell::guess(shell), expected);
        }
    }
}
