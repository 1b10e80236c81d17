//! What tollgate wrote down: read after every run, because a fast run that lost a record is worth nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use time::OffsetDateTime;
use tollgate::ledger::FILE_NAME;

use crate::Failure;
use crate::messages::Tokens;

/// The ledger of one gate.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    file: PathBuf,
    /// The last record that was there before the run.
    after: i64,
}

/// What a run must have left in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Requests that were answered.
    pub calls: u64,
    /// What each answer reported.
    pub each: Tokens,
    /// What every record names.
    pub model: &'static str,
}

impl Books {
    /// The ledger of this home, as it stands now.
    pub(crate) fn new(home: &Path) -> Self {
        let file = home.join(FILE_NAME);
        let after = last(&file).unwrap_or(0);
        Self { file, after }
    }

    /// Compares what came since with what must have come. `patience`: how long a record may come after its answer, which
    /// is no time at all unless the gate was told that it may.
    pub(crate) fn check(&self, expected: Expected, patience: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let found = self.read(expected.model)?;
            if found == expected {
                return Ok(());
            }
            if begun.elapsed() >= patience {
                return Err(format!("the ledger holds {found:?} instead of {expected:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every record that is not whole, of another model, or of another count shows as a difference.
    fn read(&self, model: &'static str) -> Result<Expected, Failure> {
        let sql = "SELECT count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), \
                   coalesce(sum(model = ?2 AND status = 200 AND outcome = 'complete'), 0) \
                   FROM exchange WHERE seq > ?1";
        let sums: [i64; 4] = open(&self.file)?.query_row(sql, (self.after, model), |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?;
        let [all, input, output, whole] = sums.map(i64::unsigned_abs);
        if all != whole {
            return Err(
                format!("of {all} records only {whole} tell a whole call of {model}").into(),
            );
        }
        let each = |sum: u64| sum.checked_div(all).unwrap_or(0);
        let each = Tokens {
            input: each(input),
            output: each(output),
        };
        if each.input * all != input || each.output * all != output {
            return Err(format!("{all} records tell {input} and {output} tokens in all").into());
        }
        Ok(Expected {
            calls: all,
            each,
            model,
        })
    }
}

fn last(file: &Path) -> Option<i64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM exchange";
    open(file).ok()?.query_row(sql, (), |row| row.get(0)).ok()
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// A home below `directory` whose ledger holds at least so many records; made if it is not there yet.
pub(crate) fn filled(directory: &Path, rows: u64) -> Result<PathBuf, Failure> {
    let home = directory.join(format!("ledger-of-{rows}"));
    let whole = home.join("filled");
    if whole.exists() {
        return Ok(home);
    }
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    std::fs::create_dir_all(&home)?;
    // The gate accepts a home that nobody else can read.
    #[cfg(unix)]
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(crate::records::fill(&home, rows, OffsetDateTime::now_utc()))?;
    std::fs::write(whole, "")?;
    Ok(home)
}
