//! Lays file, environment and flags over each other.
//!
//! clap has already put flags over variables; the file goes underneath. The file is checked on its own first, so that
//! a mistake in it is reported with its line.

use std::path::{Path, PathBuf};

use super::options::{HomeOption, Options};
use super::prices;
use super::settings::Settings;
use super::source::{Place, Source};
use super::stamp::Stamped;
use super::upstream_proxy::{self, UpstreamProxy};
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
    #[error("the configuration file {path} is not valid:\n{}{why}\n{excerpt}", at(*place))]
    File {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        place: Option<Place>,
        /// What was found and what should stand there.
        why: String,
        /// The line, with a mark.
        excerpt: String,
    },
    /// A value of the file that cannot be used.
    #[error("option `{option}`: {why}\n{excerpt}")]
    Value {
        /// Its name, as a flag without dashes.
        option: &'static str,
        /// What was found and what should stand there.
        why: String,
        /// Which file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// The line, with a mark.
        excerpt: String,
    },
    /// A flag or a variable that cannot be used.
    #[error("option `{option}`: {why} (given by {by})")]
    Given {
        /// Its name, as a flag without dashes.
        option: &'static str,
        /// What was found and what should stand there.
        why: String,
        /// The flag or the variable.
        by: String,
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

impl ConfigError {
    /// Where in the configuration file the mistake is, if it is there.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::File { place, .. } => *place,
            Self::Value { place, .. } => Some(*place),
            _ => None,
        }
    }

    /// What is wrong, in one line, with the causes and without the place.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::File { why, .. } => why.clone(),
            Self::Value { option, why, .. } => format!("option `{option}`: {why}"),
            other => {
                let mut said = other.to_string();
                let mut source = std::error::Error::source(other);
                while let Some(cause) = source {
                    said = format!("{said}: {cause}");
                    source = cause.source();
                }
                said
            }
        }
    }
}

fn at(place: Option<Place>) -> String {
    place.map_or_else(String::new, |place| format!("{place}: "))
}

/// The file used when none is named.
pub(crate) const DEFAULT_FILE: &str = "tollgate.toml";

/// What was loaded, and what it was loaded from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked result.
    pub settings: Settings,
    /// Flags and variables over the file.
    pub options: Options,
    /// The files that [`Policy`](super::Policy) was made of, as they were just before they were read. The configuration
    /// file is the first, if there is one.
    pub files: Vec<Stamped>,
}

/// Settings from flags and variables (`options`, `home`) over the configuration file.
///
/// # Errors
/// [`ConfigError`]: what was found, where, and what should stand there.
pub fn load(options: &Options, home: &HomeOption) -> Result<Settings, ConfigError> {
    load_all(options, home).map(|loaded| loaded.settings)
}

/// The same with what is needed to load it again.
///
/// # Errors
/// [`ConfigError`] as for [`load`].
pub fn load_all(options: &Options, home: &HomeOption) -> Result<Loaded, ConfigError> {
    let mut files: Vec<_> = file_of(home).map(Stamped::now).into_iter().collect();
    let Merged { merged, source } = merge(options, home)?;
    let named = [&merged.prices_file, &merged.users];
    files.extend(named.into_iter().flatten().map(|path| Stamped::now(path)));
    let settings = settings(options, home, &merged)
        .map_err(|error| placed(error, source.as_ref(), options))?;
    Ok(Loaded {
        settings,
        options: merged,
        files,
    })
}

fn settings(
    options: &Options,
    home: &HomeOption,
    merged: &Options,
) -> Result<Settings, ConfigError> {
    let mut upstream_proxy = UpstreamProxy::from_options(merged, |name| std::env::var(name).ok())?;
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
    let mut settings = Settings::from_options(merged.clone(), home, api_base.as_deref())?;
    settings.upstream_proxy = upstream_proxy;
    Ok(settings)
}

/// `error` with where the value came from: a flag, a variable, or a place in the file.
fn placed(error: ConfigError, source: Option<&Source>, options: &Options) -> ConfigError {
    let ConfigError::Invalid { option, why } = error else {
        return error;
    };
    let key = option.replace('-', "_");
    let given = toml::Table::try_from(options).is_ok_and(|given| given.contains_key(&key));
    if given {
        let flag = format!("--{option}");
        let is_flag = |argument: std::ffi::OsString| {
            let argument = argument.to_string_lossy();
            argument == flag || argument.starts_with(&format!("{flag}="))
        };
        let by = if std::env::args_os().any(is_flag) {
            format!("the flag {flag}")
        } else {
            format!("the variable TOLLGATE_{}", key.to_ascii_uppercase())
        };
        return ConfigError::Given { option, why, by };
    }
    let error = ConfigError::Invalid { option, why };
    match source {
        Some(source) => source.placed(error),
        None => error,
    }
}

/// The prices alone, for commands that need nothing else to be in order.
///
/// # Errors
/// [`ConfigError`] as for [`load`].
pub fn load_prices(options: &Options, home: &HomeOption) -> Result<PriceBook, ConfigError> {
    let Merged { merged, source } = merge(options, home)?;
    prices::of(&merged).map_err(|error| placed(error, source.as_ref(), options))
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

/// The users file that is configured, else the one in the home, for commands that write it.
///
/// # Errors
/// [`ConfigError`] as for [`load`].
pub fn users_file(options: &Options, home: &HomeOption) -> Result<PathBuf, ConfigError> {
    let Merged { merged, .. } = merge(options, home)?;
    if let Some(users) = merged.users {
        return Ok(users);
    }
    let home = match home.home.as_ref().or(merged.home.as_ref()) {
        Some(home) => absolute(home),
        None => default_home()?,
    };
    Ok(home.join(USERS_FILE))
}

/// The users file in a home.
const USERS_FILE: &str = "users";

/// Paths into the home are printed to be pasted, wherever that will be.
fn absolute(home: &Path) -> PathBuf {
    std::path::absolute(home).unwrap_or_else(|_| home.to_owned())
}

fn default_home() -> Result<PathBuf, ConfigError> {
    dirs::data_dir()
        .map(|data| data.join("tollgate"))
        .ok_or(ConfigError::NoHome)
}

struct Merged {
    merged: Options,
    source: Option<Source>,
}

fn merge(options: &Options, home: &HomeOption) -> Result<Merged, ConfigError> {
    let source = file_of(home).map(Source::read).transpose()?;
    let file = match &source {
        Some(source) => source.table()?,
        None => toml::Table::new(),
    };
    let merged = overlay(file, options)?;
    Ok(Merged { merged, source })
}

/// The configuration file, if there is one.
pub(crate) fn file_of(home: &HomeOption) -> Option<&Path> {
    let default = Path::new(DEFAULT_FILE);
    let named = home.config.as_deref();
    named.or_else(|| default.exists().then_some(default))
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
    fn a_wrong_value_is_said_to_come_from_where_it_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tollgate.toml");
        std::fs::write(&path, "payload = \"none\"\nlisten = \"x\"\n").unwrap();
        let home = HomeOption {
            home: Some(dir.path().join("home")),
            config: Some(path.clone()),
        };
        let error = load(&Options::default(), &home).unwrap_err();
        let place = error.place().unwrap();
        assert_eq!((place.line, place.column), (2, 10), "{error}");
        let flags = Options {
            listen: Some("y".into()),
            ..Options::default()
        };
        let error = load(&flags, &home).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("`y`") && said.contains("(given by the variable TOLLGATE_LISTEN)"),
            "{said}"
        );
        assert_eq!(error.place(), None);
    }

    #[test]
    fn what_the_policy_is_made_of_is_known_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tollgate.toml");
        std::fs::write(&path, "prices_file = \"/none/p.json\"\n").unwrap();
        let home = HomeOption {
            home: Some(dir.path().join("home")),
            config: Some(path.clone()),
        };
        assert!(load_all(&Options::default(), &home).is_err());
        std::fs::write(&path, "").unwrap();
        let loaded = load_all(&Options::default(), &home).unwrap();
        assert!(!loaded.files[0].has_changed());
        // As an editor does it, and as a ConfigMap is replaced.
        std::fs::write(dir.path().join("new"), "").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert!(loaded.files[0].has_changed());
        let again = Stamped::now(&path);
        std::fs::remove_file(&path).unwrap();
        assert!(again.has_changed() && !Stamped::now(&path).has_changed());
    }
}
