//! The places where a machine keeps the roots it trusts, and what it takes to put one in or to take it out.
//!
//! Every place has tools of its own; nothing here writes into a store behind their backs. A plan is made first, from
//! what is found, and shown; only then are its steps taken. Paths and the search path come from a [`Machine`], so that
//! tests have one of their own. A certificate is recognised by its content, never by its name alone.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustls::pki_types::CertificateDer;

use super::export::write_public;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `/`.
    pub root: PathBuf,
    /// The user's home directory.
    pub user_home: Option<PathBuf>,
    /// Where programs are looked for.
    pub path: OsString,
    /// `JAVA_HOME`.
    pub java_home: Option<PathBuf>,
    /// Whether this is a Mac.
    pub macos: bool,
}

/// Why a store cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No store where we know to look.
    #[error("no {store} was found: looked for {looked_for}")]
    NoStore {
        /// Which one.
        store: &'static str,
        /// Places, listed.
        looked_for: String,
    },
    /// The tool is not installed.
    #[error("{tool} is needed and was not found; {package}")]
    NoTool {
        /// Its name.
        tool: &'static str,
        /// Where it comes from.
        package: &'static str,
    },
    /// A file or a directory would not do what was asked.
    #[error("cannot change {}; to do it by hand: {by_hand}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The remaining steps as a shell would take them.
        by_hand: String,
        /// What the system said.
        source: io::Error,
    },
    /// A tool did not do what was asked.
    #[error("`{command}` failed ({said}); to do it by hand: {by_hand}")]
    Tool {
        /// As a shell would run it.
        command: String,
        /// Its last words.
        said: String,
        /// The remaining steps as a shell would take them.
        by_hand: String,
    },
}

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// What OpenSSL, curl and most programs of the system read.
    System,
    /// What Firefox and Chromium read.
    Nss,
    /// What the JVM reads.
    Java,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file of one certificate, readable for all.
    Write {
        /// The certificate's own file, for those who do it by hand.
        from: PathBuf,
        /// Where it goes.
        to: PathBuf,
        /// PEM.
        pem: String,
    },
    /// A file goes.
    Remove(PathBuf),
    /// A tool does it.
    Run(Vec<OsString>),
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            user_home: dirs::home_dir(),
            path: env::var_os("PATH").unwrap_or_default(),
            java_home: env::var_os("JAVA_HOME")
                .filter(|home| !home.is_empty())
                .map(PathBuf::from),
            macos: cfg!(target_os = "macos"),
        }
    }

    /// Where the system's tools are, even if the user's search path leaves them out.
    pub(super) fn tool(&self, name: &str) -> Option<PathBuf> {
        let system = ["usr/sbin", "sbin"].map(|directory| self.root.join(directory));
        env::split_paths(&self.path)
            .chain(system)
            .map(|directory| directory.join(name))
            .find(|file| is_program(file))
    }

    fn output(&self, command: &[OsString]) -> io::Result<Output> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Command::new(program)
            .args(arguments)
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .output()
    }

    /// Takes the steps, one after the other.
    ///
    /// # Errors
    /// [`StoreError`], which says what is left to do by hand. The steps before were taken.
    pub fn take(&self, steps: &[Step]) -> Result<(), StoreError> {
        for (at, step) in steps.iter().enumerate() {
            let by_hand = || by_hand(steps.get(at..).unwrap_or_default());
            let failed = |path: &Path, source| StoreError::File {
                path: path.to_owned(),
                by_hand: by_hand(),
                source,
            };
            match step {
                Step::Write { to, pem, .. } => {
                    write_public(to, pem.as_bytes()).map_err(|source| failed(to, source))?;
                }
                Step::Remove(path) => {
                    fs::remove_file(path).map_err(|source| failed(path, source))?;
                }
                Step::Run(command) => {
                    let tool = |said| StoreError::Tool {
                        command: step.to_string(),
                        said,
                        by_hand: by_hand(),
                    };
                    let output = self
                        .output(command)
                        .map_err(|error| tool(error.to_string()))?;
                    if !output.status.success() {
                        return Err(tool(last_words(&output)));
                    }
                }
            }
        }
        Ok(())
    }

    /// What it takes to have the first of `roots`, which is the one in the file `ca_pem`, trusted in `store`. Nothing,
    /// where it is already.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such store, or no tool for it.
    pub fn install(
        &self,
        store: Store,
        ca_pem: &Path,
        root: &CertificateDer<'_>,
    ) -> Result<Vec<Step>, StoreError> {
        match store {
            Store::System => super::install::system::install(self, ca_pem, root),
            Store::Nss => super::install::nss::install(self, ca_pem, root),
            Store::Java => super::install::java::install(self, ca_pem, root),
        }
    }

    /// What it takes to have none of `roots` in `store`.
    ///
    /// # Errors
    /// [`StoreError`] when there is no such store, or no tool for it.
    pub fn uninstall(
        &self,
        store: Store,
        roots: &[CertificateDer<'_>],
    ) -> Result<Vec<Step>, StoreError> {
        match store {
            Store::System => super::install::system::uninstall(self, roots),
            Store::Nss => super::install::nss::uninstall(self, roots),
            Store::Java => super::install::java::uninstall(self, roots),
        }
    }

    /// What a command prints, if it succeeds.
    pub(super) fn said(&self, command: &[OsString]) -> Option<String> {
        let output = self.output(command).ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }
}

/// A command of a tool and fixed arguments.
pub(super) fn run(tool: &Path, arguments: &[&str]) -> Vec<OsString> {
    let arguments = arguments.iter().map(OsString::from);
    std::iter::once(tool.into()).chain(arguments).collect()
}

fn is_program(file: &Path) -> bool {
    let Ok(metadata) = fs::metadata(file) else {
        return false;
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
    }
    #[cfg(not(unix))]
    metadata.is_file()
}

/// The steps as a shell would take them.
fn by_hand(steps: &[Step]) -> String {
    let steps: Vec<String> = steps.iter().map(|step| format!("sudo {step}")).collect();
    steps.join(" && ")
}

fn last_words(output: &Output) -> String {
    let text = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let text = String::from_utf8_lossy(text);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { from, to, .. } => write!(
                f,
                "install -m 0644 {} {}",
                quoted(from.as_os_str()),
                quoted(to.as_os_str())
            ),
            Self::Remove(path) => write!(f, "rm {}", quoted(path.as_os_str())),
            Self::Run(command) => {
                let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
                f.write_str(&words.join(" "))
            }
        }
    }
}

/// A word as a shell reads it.
pub(super) fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
