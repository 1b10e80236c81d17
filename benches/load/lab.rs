//! The place where one benchmark happens: its directory, its certificates, how long things take, who runs where.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;
use crate::contenders::{Contender, Running, Stand};
use crate::identities::Identities;
use crate::machine::{self, Cores};
use crate::upstream::{Behaviour, Upstream};

/// Everything that runs of all scenarios share.
pub(crate) struct Lab {
    directory: TempDir,
    /// Certificates.
    pub identities: Identities,
    /// How long one run is measured.
    pub measured: Duration,
    /// How long its traffic runs before.
    pub warm_up: Duration,
    /// Stamps count from here.
    pub epoch: Instant,
    /// What stands in front of a contender's command line.
    pub wrap: Vec<String>,
    cache: PathBuf,
    runs: AtomicUsize,
}

/// Who runs on which cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// All on any.
    Free,
    /// All on the same one.
    One,
    /// The contender on one, load generator and upstream on the others.
    Apart,
}

impl Placement {
    /// The contender's cores.
    pub(crate) fn contender(self) -> Cores {
        match self {
            Self::Free => Cores::any(),
            Self::One | Self::Apart => Cores::one(0),
        }
    }

    /// The cores of load generator and upstream.
    pub(crate) fn load(self) -> Cores {
        match self {
            Self::Free => Cores::any(),
            Self::One => Cores::one(0),
            Self::Apart if machine::available() > 1 => Cores((1..machine::available()).collect()),
            Self::Apart => Cores::any(),
        }
    }
}

impl Lab {
    /// Makes one below the target directory, so that ledgers lie on a disk and not in memory.
    pub(crate) fn new(
        measured: Duration,
        warm_up: Duration,
        wrap: Vec<String>,
    ) -> Result<Self, Failure> {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(&target)?;
        let directory = tempfile::Builder::new()
            .prefix("load-")
            .tempdir_in(&target)?;
        Ok(Self {
            identities: Identities::make(directory.path())?,
            directory,
            measured,
            warm_up,
            epoch: Instant::now(),
            wrap,
            cache: target,
            runs: AtomicUsize::new(0),
        })
    }

    /// Everything that is gone afterwards lies below it.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where a ledger of so many rows lies. Those that take long to fill are kept.
    pub(crate) fn ledgers(&self, rows: u64) -> &Path {
        if rows < 1_000_000 {
            self.directory.path()
        } else {
            &self.cache
        }
    }

    /// An upstream that behaves so.
    pub(crate) fn upstream(
        &self,
        behaviour: Behaviour,
        placement: Placement,
    ) -> Result<Upstream, Failure> {
        Upstream::start(&self.identities, behaviour, &placement.load(), self.epoch)
    }

    /// A directory for one run.
    pub(crate) fn directory(&self, contender: &Contender) -> PathBuf {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        self.directory
            .path()
            .join(format!("{run}-{}", contender.name))
    }

    /// Starts a contender in a directory and, for tollgate, a home of its own.
    pub(crate) fn start(
        &self,
        contender: &Contender,
        upstream: &Upstream,
        cores: &Cores,
        home: Option<PathBuf>,
    ) -> Result<(Running, Cleanup), Failure> {
        let directory = self.directory(contender);
        let stand = Stand {
            identities: &self.identities,
            directory: directory.clone(),
            upstream: upstream.port,
            cores,
            wrap: &self.wrap,
            home,
        };
        let running = contender.start(&stand)?;
        Ok((running, Cleanup(directory)))
    }
}

/// Removes a run's directory: captured bodies of a large run take gigabytes.
pub(crate) struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        // The directory of the whole benchmark goes later.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
