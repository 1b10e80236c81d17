//! Lays file, environment and flags over each other.
//!
//! clap has already put flags over variables; the file goes underneath. The file is checked on its own first, so that
//! a mistake in it is reported with its line.

use std::path::{Path, PathBuf};

use super::options::{HomeOption, Options};
use super::prices;
use super::settings::Settings;
use super::upstream_proxy::{self, UpstreamProxy};
use crate::aws::mask;
use crate::spend::PriceBook;
use crate::spend::litellm::PriceFileError;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that cannot be used.
    #[error("option `{option}`: {why}")]
    Invalid {
        /// Its name, as a flag without dashes.
        option: &'static str,
        /// What was found and what should stand there.
        why: String,
    },
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {path} is not valid:\n{why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Line, column and reason.
        why: String,
    },
    /// The price file cannot be read.
    #[error("the price file {path} cannot be read")]
    PricesUnreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The price file is not what it should be.
    #[error("the price file {path} cannot be used")]
    Prices {
        /// Which file.
        path: PathBuf,
        /// Which entry, and why.
        source: PriceFileError,
    },
    /// The options could not be laid over each other.
    #[error("the options do not fit together: {0}")]
    Merge(String),
    /// The platform tells no data directory.
    #[error("there is no data directory for this user; say --home DIR or set TOLLGATE_HOME")]
    NoHome,
}

/// The file used when none is named.
pub(crate) const DEFAULT_FILE: &str = "tollgate.toml";

/// Settings from flags and variables (`options`, `home`) over the configuration file.
///
/// # Errors
/// [`ConfigError`]: what was found, where, and what should stand there.
pub fn load(options: &Options, home: &HomeOption) -> Result<Settings, ConfigError> {
    let merged = merge(options, home)?;
    let mut upstream_proxy = UpstreamProxy::from_options(&merged, |name| std::env::var(name).ok())?;
    if let Some(proxy) = upstream_proxy
        .as_mut()
        .filter(|proxy| proxy.authorization.is_some())
    {
        let file = file_of(home).filter(|_| options.upstream_proxy.is_none());
        let option = merged.upstream_proxy.as_ref();
        proxy.exposed = upstream_proxy::exposure(option, file, std::env::args_os());
    }
    let home = match (&home.home, &merged.home) {
        (Some(home), _) | (None, Some(home)) => absolute(home),
        (None, None) => default_home()?,
    };
    let api_base = std::env::var("AISERVICE_API_BASE").ok();
    let mut settings = Settings::from_options(merged, home, api_base.as_deref())?;
    settings.upstream_proxy = upstream_proxy;
    Ok(settings)
}

/// The prices alone, for commands that need nothing else to be in order.
///
/// # Errors
/// [`ConfigError`] as for [`load`].
pub fn load_prices(options: &Options, home: &HomeOption) -> Result<PriceBook, ConfigError> {
    let merged = merge(options, home)?;
    prices::of(&merged)
}

/// The home directory for commands that only read it.
///
/// # Errors
/// [`ConfigError`] as for [`load`].
pub fn home_of(home: &HomeOption) -> Result<PathBuf, ConfigError> {
    match &home.home {
        Some(home) => Ok(absolute(home)),
        None => load(&Options::default(), home).map(|settings| settings.home),
    }
}

/// Paths into the home are printed to be pasted, wherever that will be.
fn absolute(home: &Path) -> PathBuf {
    std::path::absolute(home).unwrap_or_else(|_| home.to_owned())
}

fn default_home() -> Result<PathBuf, ConfigError> {
    dirs::data_dir()
        .map(|data| data.join("tollgate"))
        .ok_or(ConfigError::NoHome)
}

fn merge(options: &Options, home: &HomeOption) -> Result<Options, ConfigError> {
    let file = match file_of(home) {
        Some(path) => read(path)?,
        None => toml::Table::new(),
    };
    overlay(file, options)
}

/// The configuration file, if there is one.
fn file_of(home: &HomeOption) -> Option<&Path> {
    let default = Path::new(DEFAULT_FILE);
    let named = home.config.as_deref();
    named.or_else(|| default.exists().then_some(default))
}

fn read(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let not_valid = |error: toml::de::Error| ConfigError::File {
        path: path.to_owned(),
        why: without_passwords(&error.to_string()),
    };
    toml::from_str::<Options>(&text).map_err(not_valid)?;
    toml::from_str(&text).map_err(not_valid)
}

/// The parser shows the line it stumbled over, and one of them may hold a password.
fn without_passwords(message: &str) -> String {
    let lines: Vec<_> = message
        .lines()
        .map(|line| match line.split_once('=') {
            Some((before, _)) if before.contains("upstream_proxy") => format!("{before}= …"),
            _ => mask::word(line).into_owned(),
        })
        .collect();
    lines.join("\n")
}

fn overlay(mut file: toml::Table, options: &Options) -> Result<Options, ConfigError> {
    let over =
        toml::Table::try_from(options).map_err(|error| ConfigError::Merge(error.to_string()))?;
    file.extend(over);
    file.try_into()
        .map_err(|error: toml::de::Error| ConfigError::Merge(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_beat_the_file_and_the_rest_stays() {
        let file: toml::Table =
            toml::from_str("listen = \"127.0.0.1:1\"\npayload = \"none\"\nintercept = [\"a\"]")
                .unwrap();
        let flags = Options {
            listen: Some("127.0.0.1:2".into()),
            ..Options::default()
        };
        let merged = overlay(file, &flags).unwrap();
        assert_eq!(merged.listen.as_deref(), Some("127.0.0.1:2"));
        assert_eq!(merged.payload.as_deref(), Some("none"));
        assert_eq!(merged.intercept, ["a"]);
    }

    #[test]
    fn a_flag_can_take_back_what_the_file_allows() {
        let command = <Options as clap::Args>::augment_args(clap::Command::new("tollgate"));
        for (given, expected) in [
            ("--allow-anonymous=false", Some(false)),
            ("--allow-anonymous", Some(true)),
        ] {
            let matches = command.clone().get_matches_from(["tollgate", given]);
            let flags = <Options as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
            let file: toml::Table = toml::from_str("allow_anonymous = true").unwrap();
            assert_eq!(overlay(file, &flags).unwrap().allow_anonymous, expected);
        }
    }

    #[test]
    fn a_password_in_a_broken_file_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tollgate.toml");
        std::fs::write(&path, "upstream_proxy = \"http://u:c4n4ry@proxy\n").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(
            message.contains("line 1") && message.contains("upstream_proxy = …"),
            "{message}"
        );
        assert!(!message.contains("c4n4ry"), "{message}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tollgate.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\nlistem = 1\n").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(
            message.contains("line 2") && message.contains("listem"),
            "{message}"
        );
    }
}
