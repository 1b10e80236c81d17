//! Shapes that the operator taught: `[[usage_pattern]]`, tables of paths to counts, by host, route and model.
//!
//! A table's paths are read beside the built-in ones and rank above them; of two tables that name the same count the
//! earlier ranks higher. They work wherever a model's documents come from: bodies, server-sent events, event streams and
//! the chunks in them. Host globs compare without case.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use wildmatch::WildMatch;

use crate::usage::counts::Taught;
use crate::usage::family::{Count, FAMILIES, Meaning};
use crate::usage::path::{self, PathError, Step};
use crate::usage::paths::{MODEL_PATHS, Paths, TaughtPath};

/// One table as it was written.
#[derive(Clone, Debug, Default)]
pub struct PatternTable {
    /// Glob of the upstream host; `None` is any.
    pub host: Option<String>,
    /// Glob of the route's prefix; `None` is any, and no route at all.
    pub route: Option<String>,
    /// Glob of the model as the client names it; `None` is any.
    pub model: Option<String>,
    /// Where the counts stand.
    pub paths: Vec<(TaughtCount, String)>,
    /// Whether the input count includes cache tokens; `None` leaves it to the shape of the document, and means no where
    /// that is unknown.
    pub input_includes_cache: Option<bool>,
}

/// The counts that a table may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaughtCount {
    /// `input_tokens`.
    Input,
    /// `output_tokens`.
    Output,
    /// `cache_read_tokens`.
    CacheRead,
    /// `cache_write_tokens`.
    CacheWrite,
    /// `cache_write_1h_tokens`.
    CacheWrite1h,
    /// `reasoning_tokens`.
    Reasoning,
}

/// Why tables cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A path that is none.
    #[error("table {table}, {count}: `{path}` is no path")]
    Path {
        /// Which table, counted from 1.
        table: usize,
        /// The count's name.
        count: &'static str,
        /// What was written.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A table that teaches nothing.
    #[error(
        "table {table} names no count; give at least one path, as in input_tokens = \"usage.in\""
    )]
    Empty {
        /// Which table, counted from 1.
        table: usize,
    },
    /// More than can be numbered.
    #[error("the tables lead to more places than a document can be followed to; write fewer `*`")]
    TooMany,
}

/// The tables, checked.
#[derive(Debug, Default)]
pub struct Patterns {
    tables: Vec<Table>,
    /// The trees of the tables that have applied together.
    built: Mutex<BTreeMap<Vec<usize>, Arc<Paths>>>,
}

#[derive(Debug)]
struct Table {
    host: Option<WildMatch>,
    route: Option<WildMatch>,
    model: Option<WildMatch>,
    paths: Vec<TaughtPath>,
}

/// The tables that may apply to an exchange whose model is not known yet.
#[derive(Debug, Default)]
pub(crate) struct Applicable {
    patterns: Option<Arc<Patterns>>,
    tables: Vec<usize>,
    model: Option<String>,
}

/// What gecholog's patterns put in front of a path.
const GECHOLOG_PREFIX: &str = "inbound_payload.";

/// Most trees that are kept; which there are is for callers to say who name models.
const MAX_BUILT: usize = 64;

impl Patterns {
    /// Checks the tables.
    ///
    /// # Errors
    /// [`PatternError`]: which table and which path.
    pub fn new(written: &[PatternTable]) -> Result<Self, PatternError> {
        let tables = written
            .iter()
            .enumerate()
            .map(|(at, table)| Table::new(at, table))
            .collect::<Result<Vec<_>, _>>()?;
        if tables.is_empty() {
            return Ok(Self::default());
        }
        let all = Paths::of(FAMILIES, tables.iter().flat_map(|table| &table.paths));
        all.ok_or(PatternError::TooMany)?;
        Ok(Self {
            tables,
            built: Mutex::default(),
        })
    }

    /// The tables for an exchange.
    pub(crate) fn for_exchange(
        self: &Arc<Self>,
        host: &str,
        route: Option<&str>,
        model: Option<&str>,
    ) -> Applicable {
        let tables: Vec<usize> = (0..)
            .zip(&self.tables)
            .filter(|(_, table)| fits(table.host.as_ref(), Some(host)))
            .filter(|(_, table)| fits(table.route.as_ref(), route))
            .map(|(at, _)| at)
            .collect();
        Applicable {
            patterns: (!tables.is_empty()).then(|| Arc::clone(self)),
            tables,
            model: model.map(str::to_owned),
        }
    }

    fn paths(&self, tables: Vec<usize>) -> Arc<Paths> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(paths) = built.get(&tables) {
            return Arc::clone(paths);
        }
        let taught = tables
            .iter()
            .filter_map(|at| self.tables.get(*at))
            .flat_map(|table| &table.paths);
        // All tables together could be numbered, so some of them can.
        let paths = Paths::of(FAMILIES, taught).map_or_else(|| Arc::clone(&MODEL_PATHS), Arc::new);
        if built.len() >= MAX_BUILT {
            built.clear();
        }
        built.insert(tables, Arc::clone(&paths));
        paths
    }
}

impl Applicable {
    /// The tree for a model's answer; `model` is what the request's body names, where its path named none.
    pub(crate) fn paths(&self, model: Option<&str>) -> Arc<Paths> {
        let model = self.model.as_deref().or(model);
        let Some(patterns) = &self.patterns else {
            return Arc::clone(&MODEL_PATHS);
        };
        let fits_model = |at: &usize| {
            let table = patterns.tables.get(*at);
            table.is_some_and(|table| fits(table.model.as_ref(), model))
        };
        let tables: Vec<usize> = self.tables.iter().copied().filter(fits_model).collect();
        if tables.is_empty() {
            return Arc::clone(&MODEL_PATHS);
        }
        patterns.paths(tables)
    }

    /// The model that the request's path names.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

impl Table {
    fn new(at: usize, written: &PatternTable) -> Result<Self, PatternError> {
        let rank = u16::try_from(at)
            .ok()
            .and_then(|at| u16::MAX.checked_sub(at));
        let taught = Taught {
            rank: rank.ok_or(PatternError::TooMany)?,
            includes_cache: written.input_includes_cache,
        };
        let table = at + 1;
        if written.paths.is_empty() {
            return Err(PatternError::Empty { table });
        }
        let paths = written.paths.iter().map(|(count, path)| {
            let wrong = |source| PatternError::Path {
                table,
                count: count.name(),
                path: path.clone(),
                source,
            };
            let plain = path.strip_prefix(GECHOLOG_PREFIX).unwrap_or(path);
            let steps = path::parse(plain).map_err(wrong)?;
            if steps.contains(&Step::Deep) {
                return Err(wrong(PathError::Deep));
            }
            let meaning = Meaning::Taught(count.count(), taught);
            Ok(TaughtPath { steps, meaning })
        });
        Ok(Self {
            host: written.host.as_deref().map(WildMatch::new_case_insensitive),
            route: written.route.as_deref().map(WildMatch::new),
            model: written.model.as_deref().map(WildMatch::new),
            paths: paths.collect::<Result<_, _>>()?,
        })
    }
}

impl TaughtCount {
    /// The name it has in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input_tokens",
            Self::Output => "output_tokens",
            Self::CacheRead => "cache_read_tokens",
            Self::CacheWrite => "cache_write_tokens",
            Self::CacheWrite1h => "cache_write_1h_tokens",
            Self::Reasoning => "reasoning_tokens",
        }
    }

    fn count(self) -> Count {
        match self {
            Self::Input => Count::Input,
            Self::Output => Count::Output,
            Self::CacheRead => Count::CacheRead,
            Self::CacheWrite => Count::CacheWrite,
            Self::CacheWrite1h => Count::CacheWrite1h,
            Self::Reasoning => Count::Reasoning,
        }
    }
}

fn fits(glob: Option<&WildMatch>, name: Option<&str>) -> bool {
    glob.is_none_or(|glob| name.is_some_and(|name| glob.matches(name)))
}
