//! The configuration is read anew: when somebody asks for it (SIGHUP), and when a file of it has changed.
//!
//! It is loaded and checked as at the start, flags and variables on top, and only what is in order replaces the policy, in
//! one step. What runs goes on under the policy that it began with. A file that cannot be used changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::required;
use crate::config::{self, ConfigError, HomeOption, Loaded, Options, Policy, Stamped, policy};
use crate::proxy::Services;

/// What is needed to load the configuration again.
pub struct Reloading {
    /// Flags and variables.
    pub options: Options,
    /// Where the file is.
    pub home: HomeOption,
    /// What the gate was started with.
    pub loaded: Loaded,
    /// Notified whenever somebody asks for it.
    pub asked: Arc<Notify>,
    /// Told `true` as it begins and `false` when it is over.
    pub told: Box<dyn Fn(bool) + Send + Sync>,
}

/// How often the files are looked at. What has changed is read when it has not changed any further since the last look, so
/// that nobody's half-written file is.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until it is dropped.
pub(super) async fn watch(services: Arc<Services>, reloading: Reloading) {
    let Reloading {
        options,
        mut home,
        loaded,
        asked,
        told,
    } = reloading;
    // The file that was there is the one that is meant, even while an editor has it out of its place.
    if home.config.is_none() {
        home.config = config::load::file_of(&home).map(std::path::Path::to_owned);
    }
    let mut watched = Watched {
        options,
        home,
        at_start: table(&loaded.options),
        now: table(&loaded.options),
        files: loaded.files,
    };
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = watched.files.clone();
    loop {
        let by_signal = tokio::select! {
            () = asked.notified() => true,
            _ = tick.tick() => {
                let now = look_again(&watched.files);
                let is_stable = now == seen;
                seen = now;
                if !is_stable || seen == watched.files {
                    continue;
                }
                false
            }
        };
        told(true);
        reload(&services, &mut watched, by_signal).await;
        told(false);
        seen.clone_from(&watched.files);
    }
}

fn look_again(files: &[Stamped]) -> Vec<Stamped> {
    files.iter().map(|file| Stamped::now(&file.path)).collect()
}

/// What was loaded last, and from where.
struct Watched {
    options: Options,
    home: HomeOption,
    at_start: toml::Table,
    now: toml::Table,
    files: Vec<Stamped>,
}

async fn reload(services: &Arc<Services>, watched: &mut Watched, by_signal: bool) {
    let because = if by_signal {
        "SIGHUP"
    } else {
        "a file changed"
    };
    let before = look_again(&watched.files);
    let (options, home) = (watched.options.clone(), watched.home.clone());
    let adopting = Arc::clone(services);
    // Prices and hashes are read by the megabyte: not on a thread that serves.
    let loaded = tokio::task::spawn_blocking(move || {
        let loaded = config::load_all(&options, &home)?;
        may_be_opened(&adopting, &loaded)?;
        Ok::<_, ConfigError>(loaded)
    });
    match loaded.await {
        Ok(Ok(loaded)) => {
            let files = changed_files(&watched.files, &loaded.files);
            watched.files = loaded.files;
            let options = table(&loaded.options);
            let (changed, _) = policy::changed(&watched.now, &options);
            let (_, at_start_only) = policy::changed(&watched.at_start, &options);
            watched.now = options;
            adopt(services, loaded.settings.policy);
            services.metrics.reloaded(true);
            let changed = (!changed.is_empty()).then(|| changed.join(", "));
            tracing::info!(because, changed, files, "the configuration was reloaded");
            if !at_start_only.is_empty() {
                let options = at_start_only.join(", ");
                tracing::warn!(
                    options,
                    "these are read at the start only: they are as they were until the gate is started again"
                );
            }
        }
        Ok(Err(error)) => {
            watched.files = before;
            services.metrics.reloaded(false);
            report(&error, watched, because);
        }
        Err(error) => {
            watched.files = before;
            services.metrics.reloaded(false);
            tracing::error!(%error, because, "the configuration could not be reloaded: nothing has changed");
        }
    }
}

/// Everything that a new policy goes through. What lives longer than a request and was made of the old one is told here.
fn adopt(services: &Services, policy: Policy) {
    services.adopt(policy);
}

fn report(error: &ConfigError, watched: &Watched, because: &str) {
    let file = watched.home.config.as_deref();
    let file = file.map(|file| file.display().to_string());
    let (line, column) = error
        .place()
        .map(|place| (place.line, place.column))
        .unzip();
    let why = error.reason();
    tracing::error!(
        because,
        file,
        line,
        column,
        why,
        "the configuration cannot be used: nothing has changed"
    );
}

/// Whether the authority, which is as it was at the start, can vouch for every host that is to be opened.
fn may_be_opened(services: &Services, loaded: &Loaded) -> Result<(), ConfigError> {
    let hosts = required(&loaded.settings);
    match hosts.iter().find(|host| !services.tls.covers(host)) {
        None => Ok(()),
        Some(host) => Err(ConfigError::Invalid {
            option: "intercept",
            why: format!(
                "the certificate authority that this gate runs with cannot vouch for `{host}`: `tollgate ca rotate` makes \
                 one that can, and the gate has to be started again"
            ),
        }),
    }
}

fn table(options: &Options) -> toml::Table {
    toml::Table::try_from(options).unwrap_or_default()
}

/// The names of the files that are not what they were.
fn changed_files(before: &[Stamped], now: &[Stamped]) -> Option<String> {
    let changed = now.iter().filter(|file| !before.contains(file));
    let names: Vec<_> = changed
        .map(|file| file.path.display().to_string())
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}
