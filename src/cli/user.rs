//! `tollgate user`: the users file, a line at a time.
//!
//! A password is typed twice without being shown, or comes from standard input; it is never an argument, which others
//! could read. The file is written anew beside its name, mode 0600, and everything in it that is not about the user stays
//! as it is. What it may hold is in `config::users`.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::Failure;
use super::terminal::{Line, to_stdout};
use crate::config::load::users_file;
use crate::config::password::{MAX_PASSWORD, PasswordHash};
use crate::config::users::{check_name, text_of, with_user, without_user};
use crate::config::{HomeOption, Options, Users};
use crate::net::private_file;

/// What `tollgate user` understands.
#[derive(Args)]
pub struct UserArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add a user, or change the password of one
    Add {
        /// The user's name
        name: String,
        /// Take the password from the first line of standard input instead of the terminal
        #[arg(long)]
        stdin: bool,
        #[command(flatten)]
        file: FileArgs,
    },
    /// Print the users and how their passwords are kept
    List {
        #[command(flatten)]
        file: FileArgs,
    },
    /// Remove a user
    Remove {
        /// The user's name
        name: String,
        #[command(flatten)]
        file: FileArgs,
    },
}

#[derive(Args)]
struct FileArgs {
    /// The users file [default: the configured one, else `users` in the home]
    #[arg(long, env = "TOLLGATE_USERS", value_name = "FILE")]
    users: Option<PathBuf>,
    #[command(flatten)]
    home: HomeOption,
}

/// Why a user is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No name for a user.
    #[error("{0}")]
    Name(String),
    /// No password.
    #[error("the password {0}")]
    Password(&'static str),
    /// Nobody to remove.
    #[error("there is no user `{name}` in {file}")]
    Nobody {
        /// Who was to be removed.
        name: String,
        /// From where.
        file: String,
    },
}

/// Adds, lists or removes.
///
/// # Errors
/// A name or password that cannot be used, or a file that cannot be read or written.
pub fn run(args: &UserArgs) -> Result<(), Failure> {
    match &args.action {
        Action::Add { name, stdin, file } => {
            check_name(name).map_err(UserError::Name)?;
            if name.contains(':') {
                let why = "a user's name has no colon: that ends it in the file and on the wire";
                return Err(UserError::Name(why.to_owned()).into());
            }
            let path = file.path()?;
            let text = existing(&path)?;
            let password = if *stdin {
                from_line(io::stdin().lock())?
            } else {
                typed()?
            };
            let hash = PasswordHash::of(check(&password)?)?;
            let (text, changed) = with_user(&text, name, &hash);
            write(&path, &text)?;
            let did = if changed { "changed" } else { "added" };
            say(&format!("{did} `{name}` in {}", path.display()))
        }
        Action::List { file } => list(&file.path()?),
        Action::Remove { name, file } => {
            let path = file.path()?;
            let text = without_user(&existing(&path)?, name).ok_or_else(|| UserError::Nobody {
                name: Line(name).to_string(),
                file: path.display().to_string(),
            })?;
            write(&path, &text)?;
            say(&format!("removed `{name}` from {}", path.display()))
        }
    }
}

impl FileArgs {
    fn path(&self) -> Result<PathBuf, Failure> {
        match &self.users {
            Some(path) => Ok(path.clone()),
            None => Ok(users_file(&Options::from_environment()?, &self.home)?),
        }
    }
}

/// What stands in the file; nothing when there is none. A file that no gate would read is not edited.
fn existing(path: &Path) -> Result<String, Failure> {
    if !path.exists() {
        return Ok(String::new());
    }
    Users::read(path)?;
    Ok(text_of(path)?)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // A bare name lies in the directory that we are in.
    let path = std::path::absolute(path)?;
    if let Some(home) = path.parent().filter(|parent| !parent.exists()) {
        private_file::create_private_dir(home, true)
            .map_err(|source| private_file::FileError::new("create directory", home, source))?;
    }
    Ok(private_file::write_private(&path, text.as_bytes())?)
}

fn list(path: &Path) -> Result<(), Failure> {
    let users = Users::read(path)?;
    Ok(to_stdout(|out| {
        for (name, hash) in users.iter() {
            writeln!(out, "{}\t{}", Line(name), hash.algorithm())?;
        }
        Ok(())
    })?)
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(to_stdout(|out| Ok(writeln!(out, "{}", Line(line))?))?)
}

/// Asked for twice, not shown.
fn typed() -> Result<Zeroizing<String>, Failure> {
    let ask = |prompt: &str| -> Result<_, Failure> {
        let password = rpassword::prompt_password(prompt).map_err(|error| {
            format!("no password can be asked for ({error}); --stdin takes it from standard input")
        })?;
        Ok(Zeroizing::new(password))
    };
    let password = ask("Password: ")?;
    if ask("Once more: ")? != password {
        return Err(UserError::Password("was not the same the second time").into());
    }
    Ok(password)
}

fn from_line(input: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    // Never grown, which would leave copies behind.
    let most = MAX_PASSWORD + 2;
    let mut line = Zeroizing::new(String::with_capacity(most + 1));
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    input.take(limit).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

fn check(password: &str) -> Result<&[u8], UserError> {
    if password.is_empty() {
        return Err(UserError::Password("is empty"));
    }
    if password.len() > MAX_PASSWORD {
        return Err(UserError::Password("is longer than 1024 octets"));
    }
    if password.chars().any(char::is_control) {
        return Err(UserError::Password(
            "has control characters, which no client can send",
        ));
    }
    Ok(password.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_and_can_be_sent() {
        for (input, expected) in [
            ("open sesame\nmore", "open sesame"),
            ("open sesame\r\n", "open sesame"),
            ("öffne dich", "öffne dich"),
            ("", ""),
        ] {
            assert_eq!(from_line(input.as_bytes()).unwrap().as_str(), expected);
        }
        let [longest, long] = [0, 1].map(|more| "x".repeat(MAX_PASSWORD + more));
        for (password, works) in [
            ("open sesame", true),
            ("a:b", true),
            ("", false),
            ("a\tb", false),
            ("a\u{85}b", false),
            (long.as_str(), false),
            (longest.as_str(), true),
        ] {
            assert_eq!(check(password).is_ok(), works, "{password}");
        }
        let cut = from_line(format!("{}\n", "x".repeat(9999)).as_bytes()).unwrap();
        assert!(check(&cut).is_err(), "what is cut is refused");
    }

    #[test]
    fn a_file_is_made_for_its_owner_alone_and_edited_in_place() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("home").join("users");
        let hash = PasswordHash::parse("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let (text, _) = with_user(&existing(&path).unwrap(), "alice", &hash);
        write(&path, &text).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(existing(&path).unwrap(), text);
        std::fs::write(&path, "alice:broken\n").unwrap();
        assert!(
            existing(&path).is_err(),
            "what no gate would read is left alone"
        );
    }
}
