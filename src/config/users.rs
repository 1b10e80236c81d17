//! The users file: who may pass the gate by name and password, one `name:hash` a line.
//!
//! Blank lines and lines that begin with `#` are left alone. What is wrong is said with its line, and never with what
//! stands behind the colon. The file is as private as a key. What hashes may look like is in `password`.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, io};

use super::ConfigError;
use super::password::PasswordHash;
use super::settings::invalid;
use crate::aws::inert::is_harmful;
use crate::net::private_file;

/// Who may pass, and what their passwords are kept as.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, PasswordHash>);

/// Longest name of a proxy user, in octets.
pub const MAX_USER: usize = 128;
/// More users than that are no file for people.
const MAX_USERS: usize = 10_000;

impl Users {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, others can read it, or a line is not what it should be.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = text_of(path)?;
        Self::parse(&text).map_err(|why| invalid("users", format!("{}, {why}", path.display())))
    }

    /// Reads what stands in a file.
    ///
    /// # Errors
    /// The first line that is not what it should be, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut users: BTreeMap<String, (usize, PasswordHash)> = BTreeMap::new();
        for (number, line) in entries(text) {
            let at = |why: String| format!("line {number}: {why}");
            let (name, hash) = line
                .split_once(':')
                .ok_or_else(|| at("`name:hash` is expected".to_owned()))?;
            check_name(name).map_err(at)?;
            let hash = PasswordHash::parse(hash.trim_end())
                .map_err(|why| at(format!("`{name}`: {why}")))?;
            if let Some((first, _)) = users.insert(name.to_owned(), (number, hash)) {
                return Err(at(format!("`{name}` stands in line {first} already")));
            }
            if users.len() > MAX_USERS {
                return Err(at(format!("more than {MAX_USERS} users")));
            }
        }
        let without_line = |(name, (_, hash))| (name, hash);
        Ok(Self(users.into_iter().map(without_line).collect()))
    }

    /// What the password of `name` is kept as.
    #[must_use]
    pub fn hash(&self, name: &str) -> Option<&PasswordHash> {
        self.0.get(name)
    }

    /// A hash that costs what that of some user costs, for a name that is nobody's. The same `which` gives the same.
    #[must_use]
    pub fn stand_in(&self, which: u64) -> Option<&PasswordHash> {
        let count = u64::try_from(self.0.len()).ok()?;
        let index = usize::try_from(which.checked_rem(count)?).ok()?;
        self.0.values().nth(index)
    }

    /// Everybody, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PasswordHash)> {
        self.0.iter().map(|(name, hash)| (name.as_str(), hash))
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names are no secret, but there may be thousands.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.0.len())
    }
}

/// What stands in the file at `path`, if nobody else can read it.
///
/// # Errors
/// When it cannot be read, is not UTF-8, or others can read it.
pub fn text_of(path: &Path) -> Result<String, ConfigError> {
    let octets = private_file::read_secret(path).map_err(|refusal| match refusal {
        Ok(mode) => invalid(
            "users",
            format!(
                "the users file {0} can be read by others (mode {mode:04o}, wanted 0600); close it with `chmod 600 '{0}'`",
                path.display()
            ),
        ),
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => invalid(
            "users",
            format!("there is no file {0}; `tollgate user add NAME --users '{0}'` makes it", path.display()),
        ),
        Err(error) => invalid("users", format!("{error}: {}", error.source)),
    })?;
    String::from_utf8(octets.to_vec())
        .map_err(|_| invalid("users", format!("{} is not UTF-8", path.display())))
}

/// `text` with `hash` as that of `name`: in its place, or at the end. Tells whether there was one.
#[must_use]
pub fn with_user(text: &str, name: &str, hash: &PasswordHash) -> (String, bool) {
    let line = format!("{name}:{}", hash.as_str());
    let mut found = false;
    let mut lines: Vec<&str> = Vec::new();
    for old in text.lines() {
        if is_of(old, name) {
            found = true;
            lines.push(&line);
        } else {
            lines.push(old);
        }
    }
    if !found {
        lines.push(&line);
    }
    (lines.join("\n") + "\n", found)
}

/// `text` without `name`; `None` when nobody is called so.
#[must_use]
pub fn without_user(text: &str, name: &str) -> Option<String> {
    let kept: Vec<_> = text.lines().filter(|line| !is_of(line, name)).collect();
    if kept.len() == text.lines().count() {
        return None;
    }
    let mut text = kept.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    Some(text)
}

fn is_of(line: &str, name: &str) -> bool {
    !line.starts_with('#') && line.split_once(':').is_some_and(|(found, _)| found == name)
}

/// The lines that are about somebody, each with its number.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

/// Whether `name` can be that of a proxy user, wherever it comes from. A colon ends it in a file, but not in a certificate.
///
/// # Errors
/// What a name may be.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_USER {
        return Err(format!("a user's name has from 1 to {MAX_USER} octets"));
    }
    if name.trim() != name || name.starts_with('#') || name.chars().any(is_harmful) {
        return Err(
            "a user's name has no control characters, no `#` in front and no space at an end"
                .to_owned(),
        );
    }
    if is_run(name) {
        return Err(format!("`{name}` is what `tollgate run` calls a run"));
    }
    Ok(())
}

/// Whether a proxy user is the name of a run: `run-` and six hexadecimal digits.
#[must_use]
pub fn is_run(user: &str) -> bool {
    user.strip_prefix("run-").is_some_and(|digits| {
        digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_file_of_people_with_comments_is_read() {
        let text =
            format!("# people\n\nalice:{HASH}\n  \r\njörg@example.com:{HASH}\r\n#bob:{HASH}\n");
        let users = Users::parse(&text).unwrap();
        let names: Vec<_> = users.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["alice", "jörg@example.com"]);
        assert!(users.hash("bob").is_none() && users.hash("Alice").is_none());
        assert_eq!(format!("{users:?}"), "Users(2)");
        assert!(users.stand_in(7).is_some() && Users::default().stand_in(7).is_none());
        assert!(Users::parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_secret() {
        let long = "x".repeat(MAX_USER + 1);
        for (text, says) in [
            ("alice".to_owned(), "line 1: `name:hash`"),
            ("\n# x\nalice:c4n4ry".to_owned(), "line 3: `alice`"),
            (format!(":{HASH}"), "line 1: a user's name has from 1"),
            (format!("{long}:{HASH}"), "line 1: a user's name has from 1"),
            (format!(" alice:{HASH}"), "no space at an end"),
            (format!("a\u{7f}b:{HASH}"), "no control characters"),
            (format!("a\u{202e}b:{HASH}"), "no control characters"),
            (format!("run-0a1B2c:{HASH}"), "`tollgate run`"),
            (
                format!("alice:{HASH}\nbob:{HASH}\nalice:{HASH}"),
                "line 3: `alice` stands in line 1 already",
            ),
        ] {
            let why = Users::parse(&text).unwrap_err();
            assert!(
                why.contains(says) && !why.contains("c4n4ry"),
                "{text}: {why}"
            );
        }
    }

    #[test]
    fn an_edit_touches_the_one_line_it_is_about() {
        let hash = PasswordHash::parse(HASH).unwrap();
        let text = "# ours\nalice:old\n#alice:older\nbob:his\n";
        let (changed, found) = with_user(text, "alice", &hash);
        assert!(found);
        assert_eq!(
            changed,
            format!("# ours\nalice:{HASH}\n#alice:older\nbob:his\n")
        );
        let (added, found) = with_user("# ours", "carol", &hash);
        assert!(!found);
        assert_eq!(added, format!("# ours\ncarol:{HASH}\n"));
        assert_eq!(with_user("", "carol", &hash).0, format!("carol:{HASH}\n"));
        assert_eq!(
            without_user(text, "bob").as_deref(),
            Some("# ours\nalice:old\n#alice:older\n")
        );
        assert_eq!(without_user(text, "carol"), None);
        assert_eq!(without_user("bob:his\n", "bob").as_deref(), Some(""));
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(text: String, tail in "[$a-z0-9=,+/.:\\n]{0,80}") {
            let _read = Users::parse(&text).is_ok();
            for prefix in ["a:$argon2id$", "a:$argon2id$v=19$m=", "a:$2y$04$", "a:$2b$"] {
                let _read = Users::parse(&format!("{prefix}{tail}{text}")).is_ok();
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("alice:{HASH}\n")).unwrap();
        assert!(Users::read(file.path()).is_ok());
        for mode in [0o640, 0o604, 0o660] {
            let open = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file.path(), open).unwrap();
            let why = Users::read(file.path()).unwrap_err().to_string();
            assert!(
                why.contains("chmod 600") && why.contains(&format!("{mode:04o}")),
                "{why}"
            );
        }
        let missing = Users::read(Path::new("/nowhere/users"))
            .unwrap_err()
            .to_string();
        assert!(missing.contains("/nowhere/users"), "{missing}");
    }
}
