//! Flags, environment and `tollgate.toml` become settings.
//!
//! `options` is the one list of options; `load` lays the three sources over each other (flags beat variables beat
//! file); `settings` (with `accounting`, `admin` and `limits`) is the checked result that everybody else is handed,
//! `policy` the part of it that may change while the gate runs.

pub mod access;
pub mod accounting;
pub mod admin;
pub mod aliases;
pub mod budgets;
mod host_options;
pub mod hosts;
pub mod limits;
pub mod load;
pub mod no_proxy;
pub mod options;
pub mod password;
pub mod policy;
mod prices;
pub mod routes;
pub mod settings;
mod source;
pub mod stamp;
pub mod upstream_proxy;
mod usage_pattern;
pub mod users;

#[cfg(test)]
mod settings_tests;

pub use access::{AccessRules, Attempt};
pub use accounting::{Accounting, ClientAbort, DrainLimits, LedgerFailure};
pub use admin::AdminPort;
pub use aliases::Aliases;
pub use hosts::{HostAction, HostPattern, HostRules, TunnelPorts, Vouched};
pub use limits::{Capacity, Limits, Timeouts};
pub use load::{ConfigError, Loaded, load, load_all, load_prices};
pub use options::{HomeOption, Options};
pub use policy::Policy;
pub use settings::{LogFormat, PayloadMode, PrivateDestinations, RouteRule, Settings};
pub use source::Place;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use source::mistake;
pub use stamp::Stamped;
pub use upstream_proxy::UpstreamProxy;
pub use users::Users;
