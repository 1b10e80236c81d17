//! The read side: records in order, one exchange by its id, and what is new. Which records is said in `filter`.
//!
//! A [`Reader`] has its own read-only connection and never disturbs the writer: rows come in pages, each in a read
//! transaction of its own, so that a slow consumer (a pager that somebody left open) does not keep the WAL from being
//! checkpointed. What to print is left to the commands.

use std::path::Path;
use std::vec::IntoIter;

use rusqlite::{Connection, OptionalExtension, ToSql};

use super::error::QueryError;
use super::filter::Wanted;
pub use super::filter::{Column, Condition, Query, StatusRange};
use super::record::{Payload, UsageRecord};
use super::row::{self, COLUMNS, PAYLOAD_BY_ID};
use super::schema;
use super::span::{self, Window};

/// The ledger, open for reading.
#[derive(Debug)]
pub struct Reader {
    pub(super) connection: Connection,
}

/// One exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its record.
    pub record: UsageRecord,
    /// What was captured of it, if anything was.
    pub payload: Option<Payload>,
}

/// Records in order, read page by page.
#[derive(Debug)]
pub struct Records<'a> {
    connection: &'a Connection,
    order: Order,
    sql: String,
    wanted: Wanted,
    /// The last record handed out.
    after: Key,
    /// Nothing that is committed after the listing began.
    ceiling: i64,
    /// The stretches of time that are still to be looked at, the one that is being read last.
    windows: Vec<Window>,
    /// The end of that one.
    to_ms: i64,
    page: IntoIter<UsageRecord>,
    ended: bool,
}

/// Where a record stands: by the time of its request, then by when it was committed.
#[derive(Clone, Copy, Debug)]
struct Key {
    time_ms: i64,
    seq: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Oldest request first.
    Time,
    /// First committed first.
    Committed,
}

/// Rows of one page: one read transaction, and what is held in memory.
const PAGE: u32 = 256;

/// How many ids an ambiguous one is answered with.
const CANDIDATES: usize = 5;

/// 'g' follows every hexadecimal digit: the first half is a range of the index of ids, the second reads all of it.
const MATCHING_IDS: &str = "SELECT id FROM exchange WHERE id >= ?1 AND id < ?1 || 'g'
     UNION
     SELECT id FROM exchange WHERE substr(id, -length(?1)) = ?1
     ORDER BY id LIMIT ?2";

const BEGINNING: Key = Key {
    time_ms: i64::MIN,
    seq: i64::MIN,
};

impl Reader {
    /// Opens the ledger at `path`, read-only.
    ///
    /// # Errors
    /// [`QueryError`] if there is no ledger, or none that this version can read.
    pub fn open(path: &Path) -> Result<Self, QueryError> {
        let connection = schema::open_for_reading(path)?;
        Ok(Self { connection })
    }

    /// The records that `query` asks for, oldest request first. Those committed after this call are not among them;
    /// [`Records::ceiling`] tells [`Reader::tail`] where to go on.
    ///
    /// # Errors
    /// [`QueryError::Read`].
    pub fn records(&self, query: &Query) -> Result<Records<'_>, QueryError> {
        let ceiling = self.last_seq()?;
        let mut records = Records::new(&self.connection, Order::Time, query, ceiling);
        let windows = span::windows(&self.connection, records.wanted.lookups())?;
        records.read_within(windows, query.since_ms);
        if let Some(newest) = query.newest {
            records.skip_to_newest(newest)?;
        }
        Ok(records)
    }

    /// The records that `query` asks for and that were committed after row `seq`, in the order of their commits.
    /// `query.newest` does not matter here.
    ///
    /// # Errors
    /// [`QueryError::Read`].
    pub fn tail(&self, query: &Query, seq: i64) -> Result<Records<'_>, QueryError> {
        let mut records = Records::new(&self.connection, Order::Committed, query, self.last_seq()?);
        records.after.seq = seq;
        Ok(records)
    }

    /// The version of its tables.
    ///
    /// # Errors
    /// [`QueryError::Read`].
    pub fn version(&self) -> Result<u32, QueryError> {
        Ok(schema::version(&self.connection)?)
    }

    /// The row committed last; 0 when there is none.
    ///
    /// # Errors
    /// [`QueryError::Read`].
    pub fn last_seq(&self) -> Result<i64, QueryError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM exchange")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// A number that changes whenever somebody has written to the ledger: cheaper to ask for than rows.
    ///
    /// # Errors
    /// [`QueryError::Read`].
    pub fn data_version(&self) -> Result<i64, QueryError> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// The exchange with this id; its beginning or its end is enough if no other id has it.
    ///
    /// # Errors
    /// [`QueryError::NotAnId`], [`QueryError::NotFound`], [`QueryError::Ambiguous`] or [`QueryError::Read`].
    pub fn find(&self, id: &str) -> Result<Found, QueryError> {
        let given = id.trim().to_ascii_lowercase();
        if given.is_empty() || !given.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return Err(QueryError::NotAnId { given: id.into() });
        }
        let not_found = || QueryError::NotFound { given: id.into() };
        // A whole id need not be compared with the ends of all others.
        if let Some(found) = self.exchange(&given)? {
            return Ok(found);
        }
        let mut ids = self.matching_ids(&given)?;
        match ids.as_slice() {
            [] => Err(not_found()),
            [only] => self.exchange(only)?.ok_or_else(not_found),
            _ => {
                let more = ids.len() > CANDIDATES;
                ids.truncate(CANDIDATES);
                Err(QueryError::Ambiguous {
                    given: id.into(),
                    matches: ids,
                    more,
                })
            }
        }
    }

    /// Ids that begin or end with `part`, one more than are shown.
    fn matching_ids(&self, part: &str) -> Result<Vec<String>, QueryError> {
        let mut statement = self.connection.prepare_cached(MATCHING_IDS)?;
        let limit = i64::try_from(CANDIDATES + 1).unwrap_or(i64::MAX);
        let ids = statement.query_map((part, limit), |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    /// How SQLite finds ids.
    #[cfg(test)]
    pub(super) fn find_plan(&self) -> rusqlite::Result<String> {
        let mut statement = self
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {MATCHING_IDS}"))?;
        let steps = statement.query_map(("0", 1), |row| row.get(3))?;
        Ok(steps.collect::<rusqlite::Result<Vec<String>>>()?.join("\n"))
    }

    fn exchange(&self, id: &str) -> Result<Option<Found>, QueryError> {
        let columns = COLUMNS.join(", ");
        let record = self
            .connection
            .query_row(
                &format!("SELECT {columns} FROM exchange WHERE id = ?1"),
                [id],
                |row| row::read_exchange(row, 0),
            )
            .optional()?;
        let Some(record) = record else {
            return Ok(None);
        };
        let payload = self.payload(id)?;
        Ok(Some(Found { record, payload }))
    }

    /// What was captured of the exchange with exactly this id, if anything was.
    ///
    /// # Errors
    /// [`QueryError::Read`].
    pub fn payload(&self, id: &str) -> Result<Option<Payload>, QueryError> {
        let mut statement = self.connection.prepare_cached(PAYLOAD_BY_ID)?;
        Ok(statement.query_row([id], row::read_payload).optional()?)
    }
}

impl<'a> Records<'a> {
    fn new(connection: &'a Connection, order: Order, query: &Query, ceiling: i64) -> Self {
        let mut records = Self {
            connection,
            order,
            sql: String::new(),
            wanted: Wanted::new(query),
            after: BEGINNING,
            ceiling,
            windows: Vec::new(),
            to_ms: i64::MAX,
            page: Vec::new().into_iter(),
            ended: false,
        };
        records.sql = records.page_sql();
        records.read_within(vec![Window::ALL], query.since_ms);
        records
    }

    /// Reads within `windows`, which are apart and in order, as far as they are not over by `since_ms`.
    fn read_within(&mut self, mut windows: Vec<Window>, since_ms: Option<i64>) {
        let since_ms = since_ms.unwrap_or(i64::MIN);
        windows.retain(|window| window.to_ms >= since_ms);
        if let Some(first) = windows.first_mut() {
            first.from_ms = first.from_ms.max(since_ms);
        }
        windows.reverse();
        self.windows = windows;
        self.begin_window();
    }

    fn begin_window(&mut self) {
        match self.windows.last() {
            // Just before the first row of that millisecond.
            Some(window) => {
                self.after = Key {
                    time_ms: window.from_ms,
                    seq: i64::MIN,
                };
                self.to_ms = window.to_ms;
            }
            None => self.ended = true,
        }
    }

    /// The last row that can be among these: what comes later is for [`Reader::tail`].
    #[must_use]
    pub fn ceiling(&self) -> i64 {
        self.ceiling
    }

    fn skip_to_newest(&mut self, newest: u32) -> Result<(), QueryError> {
        let sql = format!(
            "{} ORDER BY time_ms DESC, seq DESC LIMIT :newest",
            self.keys_sql()
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut wanted = newest;
        let mut looked_at = Vec::new();
        // The oldest of the newest, or of all when they are fewer: what is before it need not be looked at again.
        let mut oldest: Option<Key> = None;
        let mut newest_first = std::mem::take(&mut self.windows).into_iter();
        while let Some(window) = newest_first.next().filter(|_| wanted > 0) {
            looked_at.push(window);
            self.windows = vec![window];
            self.begin_window();
            let mut parameters = self.parameters();
            parameters.push((":newest", &wanted));
            let mut rows = statement.query(parameters.as_slice())?;
            let mut found = 0;
            while let Some(row) = rows.next()? {
                found += 1;
                oldest = Some(Key {
                    time_ms: row.get(0)?,
                    seq: row.get(1)?,
                });
            }
            drop(rows);
            wanted -= found;
        }
        drop(statement);
        let Some(oldest) = oldest else {
            self.ended = true;
            return Ok(());
        };
        looked_at.retain(|window| window.to_ms >= oldest.time_ms);
        self.windows = looked_at;
        self.begin_window();
        self.after = Key {
            seq: oldest.seq.saturating_sub(1),
            ..oldest
        };
        Ok(())
    }

    /// Selects `(time_ms, seq)` of the rows wanted that stand in the present window. The unary plus keeps it from
    /// walking the table by `seq` instead.
    fn keys_sql(&self) -> String {
        let position = match self.order {
            Order::Time => "(time_ms, seq) > (:time_ms, :seq)",
            Order::Committed => "time_ms >= :time_ms AND seq > :seq",
        };
        format!(
            "SELECT time_ms, seq FROM exchange \
             WHERE {} AND +seq <= :ceiling AND {position} AND time_ms <= :to_ms",
            self.wanted.all()
        )
    }

    fn keys_in_order(&self) -> String {
        let order = match self.order {
            Order::Time => "time_ms, seq",
            Order::Committed => "seq",
        };
        format!("{} ORDER BY {order} LIMIT {PAGE}", self.keys_sql())
    }

    fn page_sql(&self) -> String {
        let order = match self.order {
            Order::Time => "k.time_ms, k.seq",
            Order::Committed => "k.seq",
        };
        format!(
            "SELECT e.time_ms, e.seq, e.{} FROM ({}) AS k \
             CROSS JOIN exchange AS e ON e.seq = k.seq ORDER BY {order}",
            COLUMNS.join(", e."),
            self.keys_in_order(),
        )
    }

    /// How SQLite finds the rows of a page.
    #[cfg(test)]
    pub(super) fn plan(&self) -> rusqlite::Result<String> {
        let sql = format!("EXPLAIN QUERY PLAN {}", self.keys_in_order());
        let mut statement = self.connection.prepare(&sql)?;
        let steps = statement.query_map(self.parameters().as_slice(), |row| row.get(3))?;
        let steps: Vec<String> = steps.collect::<rusqlite::Result<_>>()?;
        Ok(steps.join("\n"))
    }

    fn parameters(&self) -> Vec<(&str, &dyn ToSql)> {
        let position: [(&str, &dyn ToSql); 4] = [
            (":ceiling", &self.ceiling),
            (":time_ms", &self.after.time_ms),
            (":seq", &self.after.seq),
            (":to_ms", &self.to_ms),
        ];
        position
            .into_iter()
            .chain(self.wanted.parameters())
            .collect()
    }

    fn next_page(&mut self) -> Result<(), QueryError> {
        let mut statement = self.connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(self.parameters().as_slice())?;
        let mut page = Vec::new();
        let mut last = None;
        while let Some(row) = rows.next()? {
            last = Some(Key {
                time_ms: row.get(0)?,
                seq: row.get(1)?,
            });
            page.push(row::read_exchange(row, 2)?);
        }
        drop(rows);
        drop(statement);
        match (last, self.order) {
            (None, _) => {
                self.windows.pop();
                self.begin_window();
            }
            (Some(last), Order::Time) => self.after = last,
            // By commits, the time bound stays what `since` said.
            (Some(last), Order::Committed) => self.after.seq = last.seq,
        }
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Records<'_> {
    type Item = Result<UsageRecord, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.page.next() {
                return Some(Ok(record));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.next_page() {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }
}
