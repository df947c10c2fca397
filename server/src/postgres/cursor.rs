//! Cursors: `DECLARE`, `FETCH`, `MOVE`, `CLOSE`.
//!
//! The rows of a query go to a file while they are read, so that a cursor goes in both directions, outlives its transaction
//! where it is `WITH HOLD`, and holds up nobody. A cursor for a live query gives what has come.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::{FutureExt, StreamExt};
use weir_engine::sql::Parsed;
use weir_engine::sql::statement::{self, FetchDirection, fold};
use weir_engine::{RowStream, ScalarValue, TransactionStatus};

use super::connection::{Connection, Fault, Outcome};
use super::failure;
use super::portal::{Given, Rows, Source};
use super::spooled::Spooled;
use super::value::Format;
use super::wire::Report;

/// Bytes of rows that one `FETCH` holds in memory: what goes backward, and what has come of a live query.
const HELD_BYTES_MAX: usize = 64 << 20;

/// A cursor.
pub(super) struct Cursor {
    pub(super) schema: SchemaRef,
    pub(super) format: Format,
    rows: CursorRows,
    /// The row that it stands on, from 1; 0 is before the first.
    at: u64,
    may_scroll: bool,
    holds: bool,
    /// The transaction that it was made in; none when it holds and that one is committed.
    transaction: Option<u64>,
}

enum CursorRows {
    Bounded(Spooled),
    Live(Box<RowStream>),
}

impl Cursor {
    /// Whether it goes on when the transaction has come to this number.
    pub(super) fn outlives(&self, transaction: u64) -> bool {
        self.transaction.is_none_or(|own| own == transaction)
    }
}

/// Which rows a step goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// Rows `[from, to)`, counted from 0, in this order or backward.
    from: u64,
    to: u64,
    is_backward: bool,
    /// Where the cursor stands after it.
    at: u64,
}

/// Where a step leads from `at`, of `rows` rows (PostgreSQL manual, FETCH).
fn step(direction: FetchDirection, at: u64, rows: u64) -> Step {
    let forward = |count: u64| {
        let from = at.min(rows);
        let to = from.saturating_add(count).min(rows);
        // A step that finds too few ends after the last row.
        let is_short = to - from < count;
        Step {
            from,
            to,
            is_backward: false,
            at: if is_short { rows + 1 } else { to },
        }
    };
    let backward = |count: u64| {
        let to = at.min(rows + 1).saturating_sub(1);
        let from = to.saturating_sub(count);
        let is_short = to - from < count;
        Step {
            from,
            to,
            is_backward: true,
            at: if is_short { 0 } else { from + 1 },
        }
    };
    let one = |row: i128| match u64::try_from(row) {
        Ok(row) if (1..=rows).contains(&row) => Step {
            from: row - 1,
            to: row,
            is_backward: false,
            at: row,
        },
        Ok(row) if row > rows => Step {
            from: rows,
            to: rows,
            is_backward: false,
            at: rows + 1,
        },
        _ => Step {
            from: 0,
            to: 0,
            is_backward: false,
            at: 0,
        },
    };
    match direction {
        FetchDirection::All => forward(u64::MAX),
        FetchDirection::BackwardAll => backward(u64::MAX),
        // The row that it stands on, again.
        FetchDirection::Relative(0) | FetchDirection::Step(0) => Step {
            at,
            ..one(i128::from(at))
        },
        FetchDirection::Relative(count) if count > 0 => forward(count.unsigned_abs()),
        FetchDirection::Relative(count) => backward(count.unsigned_abs()),
        FetchDirection::Step(count) => one(i128::from(at.min(rows + 1)) + i128::from(count)),
        FetchDirection::Absolute(row) if row < 0 => one(i128::from(rows) + 1 + i128::from(row)),
        FetchDirection::Absolute(row) => one(i128::from(row)),
    }
}

/// How many rows must be known before a step can be taken.
fn needed(direction: FetchDirection, at: u64) -> u64 {
    let row = match direction {
        FetchDirection::All => return u64::MAX,
        FetchDirection::Relative(count) | FetchDirection::Step(count) => {
            i128::from(at) + i128::from(count)
        }
        FetchDirection::Absolute(row) if row < 0 => return u64::MAX,
        FetchDirection::Absolute(row) => i128::from(row),
        FetchDirection::BackwardAll => i128::from(at),
    };
    u64::try_from(row.max(i128::from(at))).unwrap_or(u64::MAX)
}

/// Whether a step only goes on, as one without `SCROLL` may.
fn goes_on(direction: FetchDirection, at: u64) -> bool {
    match direction {
        FetchDirection::All => true,
        FetchDirection::Relative(count) => count >= 0,
        FetchDirection::Step(count) => count > 0,
        FetchDirection::Absolute(row) => u64::try_from(row).is_ok_and(|row| row >= at),
        FetchDirection::BackwardAll => false,
    }
}

impl Connection {
    /// Carries out a statement about a cursor.
    pub(super) async fn cursor(
        &mut self,
        cursor: &statement::Cursor,
        text: &str,
        values: Vec<ScalarValue>,
        hints: Vec<Option<DataType>>,
    ) -> Outcome<Given> {
        match cursor {
            statement::Cursor::Declare {
                name,
                binary,
                scroll,
                hold,
                statement,
            } => {
                let name = fold(name);
                let in_block = self.session.transaction_status() != TransactionStatus::Idle;
                if !hold && !in_block {
                    let message = "DECLARE CURSOR can only be used in transaction blocks";
                    return Err(Report::error("25P01", message)
                        .with_hint("begin a transaction, or declare it WITH HOLD")
                        .into());
                }
                if self.cursors.contains_key(&name) || self.portals.contains_key(&name) {
                    let message = format!("cursor {name:?} already exists");
                    return Err(Report::error("42P03", message).into());
                }
                self.check_room()?;
                let mut opened = self.open_cursor(statement, text, values, hints).await?;
                opened.may_scroll = *scroll != Some(false) && opened.may_scroll;
                opened.holds = *hold;
                if *binary {
                    opened.format = Format::Binary;
                }
                if *scroll == Some(true) && !opened.may_scroll {
                    let message =
                        "a cursor for a live query cannot SCROLL: it does not keep its rows";
                    return Err(Report::error("0A000", message).into());
                }
                opened.transaction = in_block.then(|| self.session.transaction_number());
                self.cursors.insert(name, opened);
                Ok(Given::Done("DECLARE CURSOR".to_owned()))
            }
            statement::Cursor::Fetch { name, direction } => {
                self.fetch(&fold(name), *direction).await
            }
            statement::Cursor::Move { name, direction } => {
                let rows = self.fetch_rows(&fold(name), *direction, true).await?;
                Ok(Given::Done(format!("MOVE {}", rows.1)))
            }
            statement::Cursor::Close(None) => {
                self.cursors.clear();
                Ok(Given::Done("CLOSE CURSOR ALL".to_owned()))
            }
            statement::Cursor::Close(Some(name)) => {
                let name = fold(name);
                if self.cursors.remove(&name).is_none() && self.portals.remove(&name).is_none() {
                    return Err(no_cursor(&name).into());
                }
                Ok(Given::Done("CLOSE CURSOR".to_owned()))
            }
        }
    }

    async fn open_cursor(
        &mut self,
        query: &Parsed,
        text: &str,
        values: Vec<ScalarValue>,
        hints: Vec<Option<DataType>>,
    ) -> Outcome<Cursor> {
        let Given::Rows(rows) = self.ask(query, text, values, hints).await? else {
            return Err(Report::error("0A000", "a cursor is for a query").into());
        };
        let Rows {
            schema,
            source,
            is_live,
            ..
        } = *rows;
        let Source::Stream { left, rows } = source else {
            return Err(Report::error("XX000", "a query gave no stream").into());
        };
        let rows = match is_live {
            true => CursorRows::Live(rows),
            false => {
                let folder = self.door.engine.scratch_dir();
                let most = self.door.settings.cursor_bytes.0;
                let spooled = Spooled::start(folder, most, left, *rows);
                CursorRows::Bounded(spooled.map_err(Report::from)?)
            }
        };
        Ok(Cursor {
            schema,
            format: Format::Text,
            may_scroll: !is_live,
            rows,
            at: 0,
            holds: false,
            transaction: None,
        })
    }

    async fn fetch(&mut self, name: &str, direction: FetchDirection) -> Outcome<Given> {
        let (source, _) = self.fetch_rows(name, direction, false).await?;
        let Some(cursor) = self.cursors.get(name) else {
            return Err(no_cursor(name).into());
        };
        let mut rows = Rows::new(Arc::clone(&cursor.schema), source, "FETCH");
        rows.is_binary = cursor.format == Format::Binary;
        Ok(Given::Rows(Box::new(rows)))
    }

    /// Takes a cursor a step further, and gives the rows of it and how many these are.
    async fn fetch_rows(
        &mut self,
        name: &str,
        direction: FetchDirection,
        only_moves: bool,
    ) -> Outcome<(Source, u64)> {
        let Some(mut cursor) = self.cursors.remove(name) else {
            if self.portals.contains_key(name) {
                let message =
                    format!("FETCH and MOVE of the bound portal {name:?} are not supported");
                let report = Report::error("0A000", message);
                return Err(report.with_hint("DECLARE a cursor for it").into());
            }
            return Err(no_cursor(name).into());
        };
        let taken = self.take(&mut cursor, direction, only_moves).await;
        self.cursors.insert(name.to_owned(), cursor);
        taken
    }

    async fn take(
        &mut self,
        cursor: &mut Cursor,
        direction: FetchDirection,
        only_moves: bool,
    ) -> Outcome<(Source, u64)> {
        if !cursor.may_scroll && !goes_on(direction, cursor.at) {
            return Err(Report::error("55000", "cursor can only scan forward")
                .with_hint("declare it with SCROLL")
                .into());
        }
        let spooled = match &mut cursor.rows {
            CursorRows::Live(rows) => {
                let wanted = match direction {
                    FetchDirection::All => u64::MAX,
                    FetchDirection::Relative(count) => count.unsigned_abs(),
                    _ => {
                        let message = "a cursor for a live query goes forward: FETCH n, or FETCH ALL for what has come";
                        return Err(Report::error("0A000", message).into());
                    }
                };
                let batches = self.what_has_come(rows, wanted).await?;
                let count = batches.iter().map(|batch| batch.num_rows() as u64).sum();
                cursor.at += count;
                return Ok((Source::Ready(batches), count));
            }
            CursorRows::Bounded(spooled) => spooled.clone(),
        };
        let known = self
            .guarded(spooled.clone().reaches(needed(direction, cursor.at)))
            .await?;
        let step = step(direction, cursor.at, known);
        cursor.at = step.at;
        let count = step.to - step.from;
        if only_moves {
            return Ok((Source::Ready(vec![]), count));
        }
        if !step.is_backward {
            let source = Source::Spooled {
                spooled,
                at: step.from,
                end: step.to,
            };
            return Ok((source, count));
        }
        let mut batches = Vec::new();
        let mut held = 0;
        let mut at = step.from;
        while at < step.to {
            let reading = spooled.clone().read(at, step.to);
            let Some(batch) = self.guarded(reading).await? else {
                break;
            };
            at += batch.num_rows() as u64;
            held += batch.get_array_memory_size();
            if held > HELD_BYTES_MAX {
                let message =
                    format!("the rows of one FETCH backward may have {HELD_BYTES_MAX} bytes");
                return Err(Report::error("54000", message)
                    .with_hint("fetch fewer at a time")
                    .into());
            }
            batches.push(reversed(&batch)?);
        }
        batches.reverse();
        Ok((Source::Ready(batches), count))
    }

    /// Of a live query, what has come, at most so many rows. Where nothing has, it waits for the first, as long as a statement
    /// may take.
    async fn what_has_come(
        &mut self,
        rows: &mut RowStream,
        wanted: u64,
    ) -> Outcome<Vec<RecordBatch>> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut left = wanted;
        let patience = self.session.statement_timeout();
        let is_all = wanted == u64::MAX;
        let mut held = 0;
        while left > 0 {
            let next = match rows.next().now_or_never() {
                Some(next) => next,
                None if !batches.is_empty() || is_all => break,
                None => {
                    let waiting = async {
                        Ok::<_, Fault>(tokio::time::timeout(patience, rows.next()).await.ok())
                    };
                    match self.guarded(waiting).await? {
                        Some(next) => next,
                        None => break,
                    }
                }
            };
            let batch = match next {
                None => break,
                Some(Ok(chunk)) => chunk.batch,
                Some(Err(error)) => return Err(failure::plain(&error).into()),
            };
            left = left.saturating_sub(batch.num_rows() as u64);
            held += batch.get_array_memory_size();
            batches.push(batch);
            // The rest has not come yet, as far as this FETCH goes.
            if held > HELD_BYTES_MAX {
                break;
            }
        }
        Ok(batches)
    }

    /// Before a transaction ends well: cursors that outlive it get all their rows, which are as of now.
    pub(super) async fn keep_held(&mut self) -> Outcome<()> {
        if self.session.transaction_status() != TransactionStatus::Open {
            return Ok(());
        }
        let held = self.cursors.values().filter(|cursor| cursor.holds);
        let held = held.filter_map(|cursor| match &cursor.rows {
            CursorRows::Bounded(spooled) => Some(spooled.clone()),
            CursorRows::Live(_) => None,
        });
        for spooled in held.collect::<Vec<_>>() {
            self.guarded(spooled.all()).await?;
        }
        Ok(())
    }

    /// After a transaction was committed: what holds is of no transaction any more.
    pub(super) fn hold(&mut self) {
        for cursor in self.cursors.values_mut().filter(|cursor| cursor.holds) {
            cursor.transaction = None;
        }
    }
}

fn reversed(batch: &RecordBatch) -> Outcome<RecordBatch> {
    let rows = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
    let order = arrow::array::UInt32Array::from_iter_values((0..rows).rev());
    arrow::compute::take_record_batch(batch, &order)
        .map_err(|error| crate::encode::EncodeError::from(error).into())
}

fn no_cursor(name: &str) -> Report {
    Report::error("34000", format!("cursor {name:?} does not exist"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the manual has it, a row at a time.
    fn walked(direction: FetchDirection, at: u64, rows: u64) -> (Vec<u64>, u64) {
        let mut given = Vec::new();
        let mut at = at;
        let (count, is_forward) = match direction {
            FetchDirection::Relative(count) if count > 0 => (count.unsigned_abs(), true),
            FetchDirection::Relative(count) => (count.unsigned_abs(), false),
            FetchDirection::All => (rows + 2, true),
            _ => (rows + 2, false),
        };
        for _ in 0..count {
            if is_forward {
                if at > rows {
                    break;
                }
                at += 1;
            } else {
                if at == 0 {
                    break;
                }
                at -= 1;
            }
            if (1..=rows).contains(&at) {
                given.push(at);
            }
        }
        (given, at)
    }

    proptest! {
        #[test]
        fn steps_are_those_of_one_row_at_a_time(
            rows in 0_u64..8,
            at in 0_u64..9,
            count in -9_i64..9,
            all in 0_u8..4,
        ) {
            let at = at.min(rows + 1);
            let direction = match all {
                0 => FetchDirection::All,
                1 => FetchDirection::BackwardAll,
                _ if count == 0 => FetchDirection::Relative(1),
                _ => FetchDirection::Relative(count),
            };
            let step = step(direction, at, rows);
            let mut given: Vec<u64> = (step.from + 1..=step.to).collect();
            if step.is_backward {
                given.reverse();
            }
            prop_assert_eq!((given, step.at), walked(direction, at, rows));
        }
    }

    #[test]
    fn absolute_and_relative_rows() {
        let row = |direction, at| {
            let step = step(direction, at, 5);
            ((step.from + 1..=step.to).collect::<Vec<_>>(), step.at)
        };
        assert_eq!(row(FetchDirection::Absolute(3), 0), (vec![3], 3));
        assert_eq!(row(FetchDirection::Absolute(-1), 0), (vec![5], 5));
        assert_eq!(row(FetchDirection::Absolute(9), 0), (vec![], 6));
        assert_eq!(row(FetchDirection::Absolute(0), 3), (vec![], 0));
        assert_eq!(row(FetchDirection::Step(-2), 5), (vec![3], 3));
        assert_eq!(row(FetchDirection::Relative(0), 4), (vec![4], 4));
    }
}
