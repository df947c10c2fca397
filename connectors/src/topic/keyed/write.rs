//! Changing a table: one statement is one batch of records, which the log takes whole or not at all.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, TimestampMillisecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use hashbrown::HashMap;
use weir_base::{Kind, Offset, OffsetVector, SqlState};
use weir_topics::{Appended, BatchBuilder, Head, RecordRef};

use super::KeyedTable;
use super::bound::BoundTable;
use super::state::{Chunk, State};
use super::version::Version;
use crate::topic::hidden::POSITION_HEADER;
use crate::topic::ingest::Rows;
use crate::topic::keys::{Keys, show_key};
use crate::topic::schema::{Hidden, header_field};
use crate::{Error, Result};

/// What to do with a row whose key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Refuse the statement (SQLSTATE 23505).
    Error,
    /// Keep the row that is there (`ON CONFLICT DO NOTHING`).
    Nothing,
    /// Take the new row (`WITH (upsert)`); of two new ones with the same key, the later.
    Replace,
}

/// A part of what one statement does.
#[derive(Debug)]
pub enum Change {
    /// Rows to be added.
    Insert {
        /// The rows.
        rows: Rows,
        /// What to do where the key is there.
        on_conflict: OnConflict,
    },
    /// Rows to be replaced. The primary key may change.
    Update {
        /// The `_key` of each row as it was.
        keys: BinaryArray,
        /// The rows as they shall be, in the same order.
        rows: Rows,
    },
    /// Rows under keys that the writer chose, in a table without a primary key; what was there under one is replaced.
    Put {
        /// The `_key` of each.
        keys: BinaryArray,
        /// The rows, in the same order.
        rows: Rows,
    },
    /// Rows to be removed.
    Delete {
        /// The `_key` of each.
        keys: BinaryArray,
    },
}

/// The right to change a table, held by one at a time.
#[derive(Debug)]
pub struct TableWriter {
    table: KeyedTable,
    gate: tokio::sync::OwnedMutexGuard<()>,
    /// Where the log stood when the turn came: what the statement finds out is true of that.
    head: Head,
    /// What the last record says that it is written from.
    position: Option<String>,
}

/// What [`TableWriter::conflicts`] finds out about new rows.
#[derive(Debug)]
pub struct Conflicts {
    /// The places of the rows whose keys are new, in order.
    pub fresh: UInt32Array,
    /// The places of the rows whose keys are there, in order.
    pub given: UInt32Array,
    /// For each of `given`, the row that is there, with the hidden columns after the table's own.
    pub existing: RecordBatch,
}

/// What changes come to before they are done.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The keys of rows that are changed, or gone.
    pub touched: BinaryArray,
    /// The rows that take their place, and those that are new.
    pub rows: RecordBatch,
    /// For each change, how many rows it affects.
    pub affected: Vec<u64>,
}

/// A statement that is on its way to the disk.
#[derive(Debug)]
pub struct Commit {
    /// For each change, how many rows it affected.
    pub affected: Vec<u64>,
    /// The offset after the statement's last record: a reader there sees it.
    pub end: Offset,
    awaited: Awaited,
}

/// What must be on disk before a statement is acknowledged.
#[derive(Debug)]
enum Awaited {
    /// Its own records, and with them all before.
    Records(Appended),
    /// It has none, but what it saw may not be on disk yet.
    Seen(KeyedTable, Head),
}

impl Commit {
    /// Waits until the statement is on disk.
    ///
    /// # Errors
    /// When the disk is full (SQLSTATE 53100): the statement has not happened, and may be tried again. When the log failed:
    /// whether it has happened a restart tells, and the log takes no more until then.
    pub async fn durable(self) -> Result<Offset> {
        match self.awaited {
            Awaited::Records(appended) => Ok(appended.durable().await?.1),
            Awaited::Seen(table, head) => {
                table.settled(head).await?;
                Ok(self.end)
            }
        }
    }
}

/// Which record a key gets.
enum Op {
    /// A row: of which change's rows, which one.
    Put {
        change: usize,
        row: usize,
    },
    Delete,
}

type Key = Box<[u8]>;

/// The records of a statement, in order; a later one of the same key takes the place of an earlier.
#[derive(Default)]
struct Ops {
    /// With its key; none where the row's own offset is to be its key.
    ops: Vec<Option<(Option<Key>, Op)>>,
    by_key: HashMap<Key, usize>,
}

impl Ops {
    fn set(&mut self, key: &[u8], op: Op) {
        let key: Key = key.into();
        if let Some(old) = self.by_key.insert(key.clone(), self.ops.len())
            && let Some(old) = self.ops.get_mut(old)
        {
            *old = None;
        }
        self.ops.push(Some((Some(key), op)));
    }

    fn add(&mut self, op: Op) {
        self.ops.push(Some((None, op)));
    }

    /// What the statement so far says about a key: whether it has a row.
    fn has(&self, key: &[u8]) -> Option<bool> {
        let op = self.ops.get(*self.by_key.get(key)?)?.as_ref()?;
        Some(matches!(op.1, Op::Put { .. }))
    }
}

impl KeyedTable {
    /// Waits until what was there at `head` is on disk.
    async fn settled(&self, head: Head) -> Result<()> {
        let settled = self.0.partition.settled(head).await;
        settled.map_err(|error| self.overtaken(error))
    }

    /// Says of a log that moved what that means to a statement.
    fn overtaken(&self, error: weir_topics::Error) -> Error {
        if !matches!(error, weir_topics::Error::Moved { .. }) {
            return error.into();
        }
        Error::new(
            Kind::Unavailable,
            format!(
                "table {:?} is not as the statement found it: another change came in between, or was lost on its way to the disk",
                self.0.topic.name().as_str()
            ),
        )
        .with_sqlstate(SqlState::SERIALIZATION_FAILURE)
        .with_hint("nothing was changed; try again")
    }
}

impl TableWriter {
    pub(super) fn new(
        table: KeyedTable,
        gate: tokio::sync::OwnedMutexGuard<()>,
        head: Head,
    ) -> Self {
        Self {
            table,
            gate,
            head,
            position: None,
        }
    }

    /// Notes with what is written what it was made from: [`KeyedTable::written_from`] finds it again.
    #[must_use]
    pub fn from_position(mut self, position: &OffsetVector) -> Self {
        self.position = Some(position.to_string());
        self
    }

    /// Whether a key has a row.
    pub fn has_key(&self, key: &[u8]) -> bool {
        self.table.0.state.read().find(key).is_some()
    }

    /// The table.
    pub fn table(&self) -> &KeyedTable {
        &self.table
    }

    /// The rows as this writer finds them, with what writers before it wrote, even where that is not durable yet: an
    /// acknowledgement of this statement covers it.
    pub fn snapshot(&self, with_hidden: bool) -> Arc<dyn TableProvider> {
        let state = self.table.0.state.read();
        let chunks = state.chunks().to_vec();
        let bound = BoundTable::new(self.table.clone(), with_hidden, false);
        bound.read(Version::new(self.table.clone(), chunks, state.end, true));
        bound.provider()
    }

    /// Which of some new rows have keys that are there, and the rows that are there: what `ON CONFLICT DO UPDATE` works on.
    ///
    /// # Errors
    /// When two of the rows have one key: such a statement cannot say which comes first (SQLSTATE 21000).
    pub fn conflicts(&self, rows: &Rows) -> Result<Conflicts> {
        let state = self.table.0.state.read();
        let mut keys = Keys::new(&self.table.0.rows, rows.batch()).map_err(unkeyable)?;
        let mut seen: HashMap<Box<[u8]>, ()> = HashMap::new();
        let (mut fresh, mut given, mut existing) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows.len() {
            let Some(key) = keys.key(row).map_err(unkeyable)? else {
                fresh.push(row as u32);
                continue;
            };
            if seen.insert(key.into(), ()).is_some() {
                return Err(twice(key));
            }
            match state.find(key).and_then(|offset| state.locate(offset)) {
                None => fresh.push(row as u32),
                Some((chunk, at)) => {
                    given.push(row as u32);
                    existing.push(chunk.batch().slice(at, 1));
                }
            }
        }
        let schema = self.table.0.rows.schema_with_hidden();
        let existing = concat_batches(&schema, &existing).map_err(unfit)?;
        Ok(Conflicts {
            fresh: fresh.into(),
            given: given.into(),
            existing,
        })
    }

    /// Where the log stands for this writer: the offset after the last record that it knows of.
    pub fn stands_at(&self) -> Offset {
        self.head.next
    }

    /// What some changes come to, if they were done now.
    ///
    /// # Errors
    /// As [`Self::commit`], but for what is wrong with the log.
    pub fn preview(&self, changes: &[Change]) -> Result<Preview> {
        let (ops, affected) = self.ops(changes)?;
        let empty = RecordBatch::new_empty(Arc::clone(self.table.0.rows.read_schema()));
        let rows_of = |change: &Change| match change {
            Change::Insert { rows, .. }
            | Change::Update { rows, .. }
            | Change::Put { rows, .. } => rows.batch().clone(),
            Change::Delete { .. } => empty.clone(),
        };
        let batches: Vec<RecordBatch> = changes.iter().map(rows_of).collect();
        let mut touched: Vec<&[u8]> = Vec::new();
        let mut places = Vec::new();
        for (key, op) in ops.ops.iter().flatten() {
            touched.extend(key.as_deref());
            if let Op::Put { change, row } = op {
                places.push((*change, *row));
            }
        }
        let rows = match places.is_empty() {
            true => empty.clone(),
            false => {
                let batches: Vec<&RecordBatch> = batches.iter().collect();
                interleave_record_batch(&batches, &places).map_err(unfit)?
            }
        };
        Ok(Preview {
            touched: BinaryArray::from_iter_values(touched),
            rows,
            affected,
        })
    }

    /// Does all of a statement's changes, in order, in one record batch, and lets the next writer in. Nothing has happened
    /// when it fails. What it did is seen by readers when it is [durable](Commit::durable).
    ///
    /// # Errors
    /// A key that is there already (SQLSTATE 23505, named), a row updated twice (21000), a statement too large for the log,
    /// earlier changes that it saw and that the log lost (40001), or a log that takes no more.
    pub async fn commit(self, changes: Vec<Change>) -> Result<Commit> {
        // A log that is behind keeps its writers waiting, not their rows in memory.
        self.table.0.partition.ready().await?;
        let (ops, affected) = match self.ops(&changes) {
            Ok(done) => done,
            Err(error) => {
                // A key that is said to be there must not be lost on its way to the disk.
                self.table.settled(self.head).await?;
                return Err(error);
            }
        };
        let Some(written) = self.append(&ops, &changes)? else {
            return Ok(Commit {
                affected,
                end: self.head.next,
                awaited: Awaited::Seen(self.table, self.head),
            });
        };
        if let Err(error) = self.tidy() {
            // The statement is done; only memory is not as well used as it could be.
            tracing::warn!(table = %self.table.0.topic.name(), %error, "versions of rows were not merged");
        }
        drop(self.gate);
        Ok(Commit {
            affected,
            end: Offset(written.base_offset.0 + i64::from(written.record_count)),
            awaited: Awaited::Records(written),
        })
    }

    /// The records that changes come to, and how many rows each affects.
    fn ops(&self, changes: &[Change]) -> Result<(Ops, Vec<u64>)> {
        let mut ops = Ops::default();
        let mut affected = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            affected.push(match change {
                Change::Insert { rows, on_conflict } => {
                    self.insert(&mut ops, at, rows, *on_conflict)?
                }
                Change::Update { keys, rows } => self.update(&mut ops, at, keys, rows)?,
                Change::Put { keys, rows } => self.put(&mut ops, at, keys, rows)?,
                Change::Delete { keys } => self.delete(&mut ops, keys),
            });
        }
        Ok((ops, affected))
    }

    fn has(&self, ops: &Ops, key: &[u8]) -> bool {
        ops.has(key)
            .unwrap_or_else(|| self.table.0.state.read().find(key).is_some())
    }

    fn insert(
        &self,
        ops: &mut Ops,
        change: usize,
        rows: &Rows,
        on_conflict: OnConflict,
    ) -> Result<u64> {
        let mut keys = Keys::new(&self.table.0.rows, rows.batch()).map_err(unkeyable)?;
        let mut count = 0;
        for row in 0..rows.len() {
            let put = Op::Put { change, row };
            match keys.key(row).map_err(unkeyable)? {
                None => ops.add(put),
                Some(key) => {
                    if self.has(ops, key) {
                        match on_conflict {
                            OnConflict::Error => {
                                return Err(self.duplicate(key).with_row(row as u64 + 1));
                            }
                            OnConflict::Nothing => continue,
                            OnConflict::Replace => {}
                        }
                    }
                    ops.set(key, put);
                }
            }
            count += 1;
        }
        Ok(count)
    }

    fn update(&self, ops: &mut Ops, change: usize, old: &BinaryArray, rows: &Rows) -> Result<u64> {
        if old.len() != rows.len() {
            return Err(Error::new(
                Kind::Internal,
                "an update has not as many keys as rows",
            ));
        }
        let mut keys = Keys::new(&self.table.0.rows, rows.batch()).map_err(unkeyable)?;
        // All old keys go before any new one comes, so that keys may be passed on from row to row.
        let mut seen: HashMap<&[u8], ()> = HashMap::new();
        for row in 0..rows.len() {
            let key = old.value(row);
            if seen.insert(key, ()).is_some() {
                return Err(twice(key));
            }
            if keys
                .key(row)
                .map_err(unkeyable)?
                .is_some_and(|new| new != key)
            {
                ops.set(key, Op::Delete);
            }
        }
        for row in 0..rows.len() {
            let put = Op::Put { change, row };
            match keys.key(row).map_err(unkeyable)? {
                Some(new) if new != old.value(row) => {
                    if self.has(ops, new) {
                        return Err(self.duplicate(new));
                    }
                    ops.set(new, put);
                }
                _ => ops.set(old.value(row), put),
            }
        }
        Ok(rows.len() as u64)
    }

    fn put(&self, ops: &mut Ops, change: usize, keys: &BinaryArray, rows: &Rows) -> Result<u64> {
        if keys.len() != rows.len() || !self.table.0.rows.key().is_empty() {
            return Err(Error::new(
                Kind::Internal,
                "rows are put under keys that are not theirs",
            ));
        }
        for row in 0..rows.len() {
            ops.set(keys.value(row), Op::Put { change, row });
        }
        Ok(rows.len() as u64)
    }

    fn delete(&self, ops: &mut Ops, keys: &BinaryArray) -> u64 {
        let mut count = 0;
        for key in keys.iter().flatten() {
            if self.has(ops, key) {
                ops.set(key, Op::Delete);
                count += 1;
            }
        }
        count
    }

    /// Hands the records to the log, and takes them into memory when it has them.
    fn append(&self, ops: &Ops, changes: &[Change]) -> Result<Option<Appended>> {
        let base = self.head.next;
        let timestamp_ms = self.table.0.clock.now_ms();
        let mut builder = BatchBuilder::new();
        let mut puts = Puts::default();
        let position = self.position.as_deref().map(str::as_bytes);
        let position = position.map(|position| [(POSITION_HEADER, Some(position))]);
        let mut left = ops.ops.iter().flatten().count();
        for (offset, (key, op)) in (base.0..).zip(ops.ops.iter().flatten()) {
            left -= 1;
            let headers = position.as_ref().filter(|_| left == 0);
            let own = offset.to_be_bytes();
            let key = key.as_deref().unwrap_or(&own);
            let value = match op {
                Op::Delete => None,
                Op::Put { change, row } => {
                    let Some(rows) = changes.get(*change).and_then(rows_of) else {
                        return Err(Error::new(Kind::Internal, "a change has lost its rows"));
                    };
                    puts.places.push((*change, *row));
                    puts.offsets.push(offset);
                    puts.keys.append_value(key);
                    rows.value(*row)
                }
            };
            builder.push(RecordRef {
                timestamp_ms,
                key: Some(key),
                value,
                headers: headers.map_or(&[], <[_; 1]>::as_slice),
            })?;
        }
        if builder.is_empty() {
            return Ok(None);
        }
        let chunk = puts.chunk(
            &self.table.0.rows.schema_with_hidden(),
            changes,
            timestamp_ms,
        )?;
        let batch = builder.build();
        // Held over both, so that nobody finds the one without the other.
        let mut state = self.table.0.state.write();
        state.reserve(&chunk)?;
        let appended = self.table.0.partition.append_at(batch, self.head);
        let appended = appended.map_err(|error| {
            state.account();
            self.table.overtaken(error)
        })?;
        state.push(chunk);
        for (offset, (key, op)) in (base.0..).zip(ops.ops.iter().flatten()) {
            let own = offset.to_be_bytes();
            let key = key.as_deref().unwrap_or(&own);
            match op {
                Op::Put { .. } => state.put(key, offset),
                Op::Delete => state.delete(key, offset),
            }
        }
        state.end = Offset(base.0 + i64::from(appended.record_count));
        state.account();
        Ok(Some(appended))
    }

    /// Merges small chunks and drops dead versions, beside readers: only writers change chunks, unless the log gave
    /// something up, which takes the chunks back that were merged here.
    fn tidy(&self) -> Result<()> {
        let lost = |state: &State| state.given_up != self.head.given_up;
        let merged = self.table.0.state.read().merged_tail()?;
        if let Some((count, chunk)) = merged {
            let mut state = self.table.0.state.write();
            if lost(&state) {
                return Ok(());
            }
            state.replace_tail(count, chunk);
            state.account();
        }
        if self.table.0.state.read().is_thick() {
            // What is rolled back to must be there, and what a follower has yet to see.
            let horizon = self.head.stable.min(self.table.followed_from());
            if horizon <= self.table.0.state.read().horizon {
                return Ok(());
            }
            let chunks = self.table.0.state.read().thinned(horizon)?;
            let mut state = self.table.0.state.write();
            if !lost(&state) {
                state.replace_all(chunks, horizon);
                state.account();
            }
        }
        Ok(())
    }

    fn duplicate(&self, key: &[u8]) -> Error {
        let rows = &self.table.0.rows;
        let names = rows.key().iter().filter_map(|at| rows.columns().get(*at));
        let names: Vec<&str> = names.map(|column| column.field.name().as_str()).collect();
        Error::new(
            Kind::Conflict,
            format!(
                "a row with key ({}) = {} exists already",
                names.join(", "),
                show_key(key)
            ),
        )
        .with_sqlstate(SqlState::UNIQUE_VIOLATION)
        .with_hint("use ON CONFLICT DO UPDATE, ON CONFLICT DO NOTHING or WITH (upsert)")
    }
}

/// The rows that a statement writes.
#[derive(Default)]
struct Puts {
    places: Vec<(usize, usize)>,
    offsets: Vec<i64>,
    keys: BinaryBuilder,
}

impl Puts {
    fn chunk(mut self, schema: &SchemaRef, changes: &[Change], timestamp_ms: i64) -> Result<Chunk> {
        let count = self.places.len();
        let rows = self.gather(changes)?;
        let mut columns: Vec<ArrayRef> = match &rows {
            Some(rows) => rows.columns().to_vec(),
            None => Vec::new(),
        };
        if rows.is_none() {
            let shown = schema.fields().len() - Hidden::ALL.len();
            let fields = schema.fields().iter().take(shown);
            columns.extend(fields.map(|field| new_null_array(field.data_type(), 0)));
        }
        let items = new_null_array(header_field().data_type(), 0);
        let no_headers = OffsetBuffer::from_lengths(std::iter::repeat_n(0, count));
        let headers =
            ListArray::try_new(Arc::new(header_field()), no_headers, items, None).map_err(unfit)?;
        columns.push(Arc::new(Int32Array::from_value(0, count)));
        columns.push(Arc::new(Int64Array::from(self.offsets)));
        columns.push(Arc::new(
            TimestampMillisecondArray::from_value(timestamp_ms, count).with_timezone("UTC"),
        ));
        columns.push(Arc::new(self.keys.finish()));
        columns.push(Arc::new(headers));
        columns.push(new_null_array(Hidden::Error.field().data_type(), count));
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .map_err(unfit)?;
        Chunk::new(batch)
    }

    /// The rows that are written, in order; none when there is none.
    fn gather(&self, changes: &[Change]) -> Result<Option<RecordBatch>> {
        let Some((first, _)) = self.places.first() else {
            return Ok(None);
        };
        if self.places.iter().all(|(change, _)| change == first) {
            let Some(rows) = changes.get(*first).and_then(rows_of) else {
                return Ok(None);
            };
            let whole = self.places.len() == rows.len();
            if whole
                && self
                    .places
                    .iter()
                    .enumerate()
                    .all(|(at, (_, row))| at == *row)
            {
                return Ok(Some(rows.batch().clone()));
            }
            let places: UInt32Array = self.places.iter().map(|(_, row)| *row as u32).collect();
            return take_record_batch(rows.batch(), &places)
                .map(Some)
                .map_err(unfit);
        }
        // Changes without rows get a place of their own, so that numbers stay as they are.
        let empty = changes
            .iter()
            .find_map(rows_of)
            .map(|rows| rows.batch().slice(0, 0));
        let batches: Vec<RecordBatch> = changes
            .iter()
            .filter_map(|change| {
                rows_of(change)
                    .map(|rows| rows.batch().clone())
                    .or_else(|| empty.clone())
            })
            .collect();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        interleave_record_batch(&batches, &self.places)
            .map(Some)
            .map_err(unfit)
    }
}

fn rows_of(change: &Change) -> Option<&Rows> {
    match change {
        Change::Insert { rows, .. } | Change::Update { rows, .. } | Change::Put { rows, .. } => {
            Some(rows)
        }
        Change::Delete { .. } => None,
    }
}

fn twice(key: &[u8]) -> Error {
    Error::new(
        Kind::Invalid,
        format!(
            "the statement gives the row with key {} twice",
            show_key(key)
        ),
    )
    .with_sqlstate(SqlState::CARDINALITY_VIOLATION)
    .with_hint("make sure that each row is given at most once")
}

fn unkeyable(error: arrow::error::ArrowError) -> Error {
    Error::new(Kind::Internal, "a row's key cannot be written").with_source(error)
}

fn unfit(error: arrow::error::ArrowError) -> Error {
    Error::new(Kind::Internal, "rows of a statement do not fit together").with_source(error)
}
