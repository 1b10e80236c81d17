//! Where in the ledger a caller or a model stands: for every 1,024 rows one entry of their times and of who and what is
//! in them.
//!
//! An index of every column that people filter by would cost each commit a page a column, scattered over the file, which
//! is more than the row itself. A span is written once for many rows, after those who waited were answered, and tells a
//! reader which stretches of time to look at. The rows behind the last span are looked at in any case, so it does not
//! matter when a span is written. Which rows are wanted is said in `filter`.

use std::collections::BTreeSet;

use rusqlite::{Connection, ToSql, TransactionBehavior};

/// Rows of one span: span `n` is of the rows with `seq / ROWS = n`. A part of the file's format (`schema`).
pub(super) const ROWS: i64 = 1024;

/// The columns whose values a span tells, in no order.
pub(super) const COLUMNS: [&str; 8] = [
    "model",
    "model_name",
    "name",
    "role",
    "access_key_id",
    "account_id",
    "api_key",
    "proxy_user",
];

/// A stretch of time, both ends included, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

impl Window {
    /// All of time.
    pub(super) const ALL: Self = Self {
        from_ms: i64::MIN,
        to_ms: i64::MAX,
    };
}

/// The span that is to be written next.
pub(super) fn next(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce((SELECT max(n) + 1 FROM span), (SELECT min(seq) / ?1 FROM exchange), 0)",
    )?;
    statement.query_row([ROWS], |row| row.get(0))
}

/// Writes span `n`, all of whose rows are there.
pub(super) fn write(connection: &mut Connection, n: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut values = BTreeSet::new();
    let mut window: Option<Window> = None;
    {
        let mut rows = transaction.prepare_cached(&format!(
            "SELECT time_ms, {} FROM exchange WHERE seq BETWEEN ?1 AND ?2",
            COLUMNS.join(", ")
        ))?;
        let mut rows = rows.query([n * ROWS, n * ROWS + ROWS - 1])?;
        while let Some(row) = rows.next()? {
            let time_ms: i64 = row.get(0)?;
            let seen = window.get_or_insert(Window {
                from_ms: time_ms,
                to_ms: time_ms,
            });
            seen.from_ms = seen.from_ms.min(time_ms);
            seen.to_ms = seen.to_ms.max(time_ms);
            for at in 1..=COLUMNS.len() {
                let value = row.get_ref(at)?.as_str_or_null().unwrap_or_default();
                if let Some(value) = value.filter(|value| !values.contains(*value)) {
                    values.insert(value.to_owned());
                }
            }
        }
    }
    // Rows may have been removed meanwhile, all of them even: the span says that it has been looked at.
    let window = window.unwrap_or(Window {
        from_ms: 0,
        to_ms: -1,
    });
    transaction
        .prepare_cached("INSERT INTO span (n, min_ms, max_ms) VALUES (?1, ?2, ?3)")?
        .execute([n, window.from_ms, window.to_ms])?;
    {
        let mut insert =
            transaction.prepare_cached("INSERT INTO span_value (n, value) VALUES (?1, ?2)")?;
        for value in &values {
            insert.execute((n, value))?;
        }
    }
    transaction.commit()
}

/// Removes the spans of rows that are all gone.
pub(super) fn remove_gone(connection: &Connection) -> rusqlite::Result<()> {
    for table in ["span", "span_value"] {
        connection
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE n < (SELECT min(seq) / ?1 FROM exchange)"
            ))?
            .execute([ROWS])?;
    }
    Ok(())
}

/// The stretches of time in which every one of `values` stands at least once, apart from each other and earliest first.
/// Nothing else is known to be there, nor is anything wanted outside.
pub(super) fn windows(connection: &Connection, values: &[String]) -> rusqlite::Result<Vec<Window>> {
    if values.is_empty() {
        return Ok(vec![Window::ALL]);
    }
    let written = next(connection)?;
    let mut sql = "SELECT n, min_ms, max_ms FROM span WHERE n < ?1 AND min_ms <= max_ms".to_owned();
    for at in 2..values.len() + 2 {
        sql.push_str(&format!(
            " AND n IN (SELECT n FROM span_value WHERE value = ?{at})"
        ));
    }
    sql.push_str(" ORDER BY n");
    let mut parameters: Vec<&dyn ToSql> = vec![&written];
    parameters.extend(values.iter().map(|value| value as &dyn ToSql));
    let mut statement = connection.prepare_cached(&sql)?;
    let spans = statement.query_map(parameters.as_slice(), |row| {
        let window = Window {
            from_ms: row.get(1)?,
            to_ms: row.get(2)?,
        };
        Ok((row.get::<_, i64>(0)?, window))
    })?;
    let mut spans: Vec<(i64, Window)> = spans.collect::<rusqlite::Result<_>>()?;
    spans.extend(behind_the_last(connection, written)?.map(|window| (written, window)));
    Ok(apart(spans))
}

/// When the rows are from that no span tells of yet.
fn behind_the_last(connection: &Connection, written: i64) -> rusqlite::Result<Option<Window>> {
    let mut statement = connection
        .prepare_cached("SELECT min(time_ms), max(time_ms) FROM exchange WHERE seq >= ?1")?;
    statement.query_row([written.saturating_mul(ROWS)], |row| {
        let ends: (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(match ends {
            (Some(from_ms), Some(to_ms)) => Some(Window { from_ms, to_ms }),
            _ => None,
        })
    })
}

/// Joins what overlaps, and neighbours, between which there is nothing to be left out.
fn apart(spans: Vec<(i64, Window)>) -> Vec<Window> {
    let mut joined: Vec<Window> = Vec::new();
    let mut last = None;
    for (n, window) in spans {
        match joined.last_mut() {
            Some(before) if last == Some(n - 1) => {
                before.from_ms = before.from_ms.min(window.from_ms);
                before.to_ms = before.to_ms.max(window.to_ms);
            }
            _ => joined.push(window),
        }
        last = Some(n);
    }
    joined.sort_by_key(|window| window.from_ms);
    let mut windows: Vec<Window> = Vec::with_capacity(joined.len());
    for window in joined {
        match windows.last_mut() {
            Some(before) if window.from_ms <= before.to_ms => {
                before.to_ms = before.to_ms.max(window.to_ms);
            }
            _ => windows.push(window),
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from_ms: i64, to_ms: i64) -> Window {
        Window { from_ms, to_ms }
    }

    #[test]
    fn windows_are_apart_and_in_order() {
        type Row<'a> = (&'a [(i64, Window)], &'a [Window]);
        let rows: &[Row<'_>] = &[
            (&[], &[]),
            (&[(0, window(1, 5))], &[window(1, 5)]),
            // Neighbours are joined, also across the time in between.
            (&[(0, window(1, 5)), (1, window(7, 9))], &[window(1, 9)]),
            (
                &[(0, window(1, 5)), (2, window(7, 9))],
                &[window(1, 5), window(7, 9)],
            ),
            // A long exchange begins before the span before has ended.
            (&[(0, window(1, 5)), (2, window(5, 9))], &[window(1, 9)]),
            (&[(0, window(1, 9)), (5, window(3, 4))], &[window(1, 9)]),
            // A clock that was set back.
            (
                &[(0, window(8, 9)), (3, window(1, 2))],
                &[window(1, 2), window(8, 9)],
            ),
        ];
        for (spans, expected) in rows {
            assert_eq!(&apart(spans.to_vec()), expected, "{spans:?}");
        }
    }
}
