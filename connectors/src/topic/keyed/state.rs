//! The versions of a table's rows, in memory: what a replay of its changelog gives.
//!
//! A version is a row with the offset of the record that wrote it. It is shown to a reader at offset *t* when it was
//! written before *t* and the record that replaced or deleted it was not. Versions lie in chunks in order of offset; the
//! offset is a version's address, so that chunks are merged and thinned out without touching the index.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StructArray,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion::execution::memory_pool::MemoryReservation;
use hashbrown::{DefaultHashBuilder, HashTable};
use weir_base::{Kind, Offset, SqlState};

use crate::{Error, Result};

/// A version that nothing has replaced.
pub(super) const CURRENT: i64 = i64::MAX;
/// Chunks are merged up to this many rows: two batches of a query, so that what comes in batches is copied once at most.
const CHUNK_ROWS_MAX: usize = 16 * 1024;
/// Fewer dead versions than this are not worth a pass.
const DEAD_ROWS_MIN: usize = 4096;

/// Versions that were written one after the other.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The columns of the schema with hidden columns.
    batch: RecordBatch,
    offsets: Int64Array,
    keys: BinaryArray,
    /// For each version, the offset of the record that replaced or deleted it.
    superseded: Vec<AtomicI64>,
    /// No version was replaced at or after it, so that whole chunks are known to be as they were.
    touched: AtomicI64,
}

impl Chunk {
    /// A chunk of current versions. `batch` has the columns of the table and then the hidden ones.
    pub(super) fn new(batch: RecordBatch) -> Result<Self> {
        let rows = batch.num_rows();
        Self::with_superseded(
            batch,
            std::iter::repeat_with(|| AtomicI64::new(CURRENT))
                .take(rows)
                .collect(),
        )
    }

    fn with_superseded(batch: RecordBatch, superseded: Vec<AtomicI64>) -> Result<Self> {
        let column = |name: &str| batch.column_by_name(name).map(Array::to_data);
        let (Some(offsets), Some(keys)) = (column("_offset"), column("_key")) else {
            return Err(internal("a chunk of table rows has no offsets or keys"));
        };
        let last = load(&superseded).filter(|by| *by != CURRENT).max();
        Ok(Self {
            offsets: Int64Array::from(offsets),
            keys: BinaryArray::from(keys),
            touched: AtomicI64::new(last.map_or(i64::MIN, |last| last + 1)),
            superseded,
            batch,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.superseded.len()
    }

    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub(super) fn first_offset(&self) -> i64 {
        self.offsets.values().first().copied().unwrap_or(CURRENT)
    }

    fn last_offset(&self) -> i64 {
        self.offsets.values().last().copied().unwrap_or(i64::MIN)
    }

    /// Whether readers from `at` on are shown all versions, or the same of them.
    pub(super) fn is_still_from(&self, at: Offset) -> bool {
        self.last_offset() < at.0 && self.touched.load(Ordering::Acquire) <= at.0
    }

    /// Whether nothing was replaced or deleted at or after `at`.
    pub(super) fn is_untouched_from(&self, at: Offset) -> bool {
        self.touched.load(Ordering::Acquire) <= at.0
    }

    /// Which versions a reader at `at` is shown; none when it is all of them.
    pub(super) fn visible(&self, at: Offset) -> Option<BooleanArray> {
        let untouched = self.touched.load(Ordering::Acquire) == i64::MIN;
        if untouched && self.last_offset() < at.0 {
            return None;
        }
        let shown = |row: usize| self.is_visible(row, at);
        if (0..self.rows()).all(shown) {
            return None;
        }
        Some((0..self.rows()).map(|row| Some(shown(row))).collect())
    }

    /// Whether a reader at `at` is shown a version.
    pub(super) fn is_visible(&self, row: usize, at: Offset) -> bool {
        let superseded = self
            .superseded
            .get(row)
            .map_or(CURRENT, |at| at.load(Ordering::Acquire));
        self.offsets.value(row) < at.0 && superseded >= at.0
    }

    /// The version at `row` was replaced or deleted by the record at `by`.
    fn supersede(&self, row: usize, by: i64) {
        if let Some(superseded) = self.superseded.get(row) {
            superseded.store(by, Ordering::Release);
            self.touched.fetch_max(by + 1, Ordering::AcqRel);
        }
    }

    fn is_current(&self, row: usize) -> bool {
        let superseded = self.superseded.get(row);
        superseded.is_some_and(|by| by.load(Ordering::Acquire) == CURRENT)
    }

    fn row_of(&self, offset: i64) -> Option<usize> {
        self.offsets.values().binary_search(&offset).ok()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.batch.get_array_memory_size() + self.superseded.len() * size_of::<AtomicI64>()
    }
}

/// All versions, and where the current version of each key is.
#[derive(Debug)]
pub(super) struct State {
    schema: SchemaRef,
    chunks: Vec<Arc<Chunk>>,
    /// The offsets of current versions, by key; not of those whose key is their own offset, which says where they are.
    index: HashTable<i64>,
    /// Whether rows may have their own offset as their key: there is no primary key.
    is_keyless: bool,
    /// How many versions are current.
    current: usize,
    hasher: DefaultHashBuilder,
    /// Every record before it is in.
    pub(super) end: Offset,
    /// What is before it is on disk for good: where [`Self::roll_back`] goes to. Not before `horizon`.
    pub(super) durable: Offset,
    /// How often the log had given up records when `durable` was seen.
    pub(super) given_up: u64,
    /// Versions that were replaced before it may be gone: no reader before it can be served.
    pub(super) horizon: Offset,
    rows: usize,
    chunk_bytes: usize,
    /// What it takes of the memory that queries and tables share.
    reservation: MemoryReservation,
}

impl State {
    /// An empty table, without a primary key if `is_keyless`. `schema` is that of chunks; the log has given up records `given_up` times.
    pub(super) fn new(
        schema: SchemaRef,
        is_keyless: bool,
        start: Offset,
        given_up: u64,
        reservation: MemoryReservation,
    ) -> Self {
        Self {
            reservation,
            schema,
            chunks: Vec::new(),
            index: HashTable::new(),
            is_keyless,
            current: 0,
            hasher: DefaultHashBuilder::default(),
            end: start,
            durable: start,
            given_up,
            horizon: start,
            rows: 0,
            chunk_bytes: 0,
        }
    }

    pub(super) fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A byte of control beside each of the index's places.
        self.chunk_bytes + self.index.capacity() * (size_of::<i64>() + 1)
    }

    /// Takes memory for a chunk that is about to be pushed.
    ///
    /// # Errors
    /// When there is not as much (SQLSTATE 53200).
    pub(super) fn reserve(&mut self, chunk: &Chunk) -> Result<()> {
        let grown = self.reservation.try_grow(chunk.size_bytes());
        grown.map_err(|_full| self.too_large())
    }

    /// Takes as much memory as there is in use, once rows were read.
    ///
    /// # Errors
    /// When there is not as much (SQLSTATE 53200).
    pub(super) fn fit(&mut self) -> Result<()> {
        let resized = self.reservation.try_resize(self.memory_bytes());
        resized.map_err(|_full| self.too_large())
    }

    /// Notes how much memory is in use, whatever the limit.
    pub(super) fn account(&mut self) {
        self.reservation.resize(self.memory_bytes());
    }

    /// What it has taken of the shared memory.
    #[cfg(test)]
    pub(super) fn reserved_bytes(&self) -> usize {
        self.reservation.size()
    }

    fn too_large(&self) -> Error {
        Error::new(
            Kind::LimitExceeded,
            format!(
                "{} does not fit into memory: it has {} rows in {} MB, and no more is free",
                self.reservation.consumer().name(),
                self.current,
                self.memory_bytes() >> 20
            ),
        )
        .with_sqlstate(SqlState::OUT_OF_MEMORY)
        .with_hint("the rows of tables are held in memory, streams are not; let the operator raise limits.memory")
    }

    /// The offset of a key's current version.
    pub(super) fn find(&self, key: &[u8]) -> Option<i64> {
        let hash = self.hasher.hash_one(key);
        let found = self
            .index
            .find(hash, |offset| key_at(&self.chunks, *offset) == Some(key));
        found.copied().or_else(|| self.own(key))
    }

    /// The offset that a key is, if the version there has it and is current.
    fn own(&self, key: &[u8]) -> Option<i64> {
        if !self.is_keyless {
            return None;
        }
        let offset = i64::from_be_bytes(key.try_into().ok()?);
        let (chunk, row) = self.locate(offset)?;
        (chunk.is_current(row) && chunk.keys.value(row) == key).then_some(offset)
    }

    /// The chunk and row of a version.
    pub(super) fn locate(&self, offset: i64) -> Option<(&Arc<Chunk>, usize)> {
        let chunk = chunk_at(&self.chunks, offset)?;
        Some((chunk, chunk.row_of(offset)?))
    }

    /// Adds versions, which come after all others, and not yet their keys: [`Self::put`] and [`Self::delete`] do, in order.
    pub(super) fn push(&mut self, chunk: Chunk) {
        if chunk.rows() > 0 {
            self.rows += chunk.rows();
            self.chunk_bytes += chunk.size_bytes();
            self.chunks.push(Arc::new(chunk));
        }
    }

    /// The version at `offset` is now the key's current one.
    pub(super) fn put(&mut self, key: &[u8], offset: i64) {
        if self.is_keyless && *key == offset.to_be_bytes() {
            self.current += 1;
            return;
        }
        let own = self.own(key);
        let hash = self.hasher.hash_one(key);
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let rehash = |offset: &i64| hasher.hash_one(key_at(chunks, *offset).unwrap_or_default());
        let same = |offset: &i64| key_at(chunks, *offset) == Some(key);
        let replaced = match self.index.entry(hash, same, rehash) {
            hashbrown::hash_table::Entry::Occupied(mut entry) => {
                Some(std::mem::replace(entry.get_mut(), offset))
            }
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(offset);
                own
            }
        };
        match replaced {
            Some(old) => supersede(chunks, old, offset),
            None => self.current += 1,
        }
    }

    /// The record at `offset` deleted the key.
    pub(super) fn delete(&mut self, key: &[u8], offset: i64) {
        let hash = self.hasher.hash_one(key);
        let chunks = &self.chunks;
        let entry = self
            .index
            .find_entry(hash, |offset| key_at(chunks, *offset) == Some(key));
        let removed = entry.ok().map(|entry| entry.remove().0);
        if let Some(old) = removed.or_else(|| self.own(key)) {
            supersede(&self.chunks, old, offset);
            self.current -= 1;
        }
    }

    /// Takes back what the records from `durable` on did: the log may have lost them.
    pub(super) fn roll_back(&mut self) -> Result<()> {
        let to = self.durable.0;
        if self.end.0 <= to {
            return Ok(());
        }
        // First out of the index, which needs the chunks that keys lie in.
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        let mut returned = Vec::new();
        for chunk in chunks {
            for (row, superseded) in chunk.superseded.iter().enumerate() {
                let offset = chunk.offsets.value(row);
                let by = superseded.load(Ordering::Acquire);
                if offset >= to {
                    self.current -= usize::from(by == CURRENT);
                    let hash = hasher.hash_one(chunk.keys.value(row));
                    if let Ok(entry) = self.index.find_entry(hash, |at| *at == offset) {
                        entry.remove();
                    }
                } else if by >= to && by != CURRENT {
                    // Readers before `to` are shown it either way.
                    superseded.store(CURRENT, Ordering::Release);
                    returned.push((chunk.keys.value(row).to_vec(), offset));
                }
            }
        }
        for (key, offset) in returned {
            self.put(&key, offset);
        }
        let kept = self
            .chunks
            .partition_point(|chunk| chunk.last_offset() < to);
        let mixed = self.chunks.get(kept).map(|chunk| cut(chunk, to));
        let mixed = mixed.transpose()?.unwrap_or_else(|| self.empty_chunk());
        self.replace_tail(self.chunks.len() - kept, mixed);
        self.end = self.durable;
        self.account();
        Ok(())
    }

    /// What the last chunks become when they are merged, so that chunks at least double in size from the end to the front:
    /// how many of them, and the merged one.
    pub(super) fn merged_tail(&self) -> Result<Option<(usize, Chunk)>> {
        let mut rows = 0;
        let mut count = 0;
        for chunk in self.chunks.iter().rev() {
            if count > 0 && (chunk.rows() > rows * 2 || rows + chunk.rows() > CHUNK_ROWS_MAX) {
                break;
            }
            rows += chunk.rows();
            count += 1;
        }
        if count < 2 {
            return Ok(None);
        }
        let tail = self
            .chunks
            .get(self.chunks.len() - count..)
            .unwrap_or_default();
        Ok(Some((count, merge(&self.schema, tail)?)))
    }

    /// Puts a chunk in the place of the last `count`.
    pub(super) fn replace_tail(&mut self, count: usize, chunk: Chunk) {
        for old in self.chunks.drain(self.chunks.len().saturating_sub(count)..) {
            self.rows -= old.rows();
            self.chunk_bytes -= old.size_bytes();
        }
        self.push(chunk);
    }

    /// Whether enough versions are dead for [`Self::thinned`] to be worth its time.
    pub(super) fn is_thick(&self) -> bool {
        let dead = self.rows - self.current.min(self.rows);
        dead >= DEAD_ROWS_MIN && dead > self.current
    }

    /// The chunks without the versions that no reader at `horizon` or later is shown.
    pub(super) fn thinned(&self, horizon: Offset) -> Result<Vec<Chunk>> {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut gathered: Vec<Arc<Chunk>> = Vec::new();
        let mut rows = 0;
        for chunk in &self.chunks {
            let kept = thin(chunk, horizon)?;
            if rows + kept.rows() > CHUNK_ROWS_MAX {
                chunks.push(merge(&self.schema, &gathered)?);
                gathered.clear();
                rows = 0;
            }
            rows += kept.rows();
            gathered.push(kept);
        }
        chunks.push(merge(&self.schema, &gathered)?);
        Ok(chunks)
    }

    /// Puts thinned chunks in the place of all.
    pub(super) fn replace_all(&mut self, chunks: Vec<Chunk>, horizon: Offset) {
        self.replace_tail(self.chunks.len(), self.empty_chunk());
        for chunk in chunks {
            self.push(chunk);
        }
        self.horizon = self.horizon.max(horizon);
    }

    fn empty_chunk(&self) -> Chunk {
        Chunk {
            batch: RecordBatch::new_empty(Arc::clone(&self.schema)),
            offsets: Int64Array::from(Vec::<i64>::new()),
            keys: BinaryArray::from(Vec::<&[u8]>::new()),
            superseded: Vec::new(),
            touched: AtomicI64::new(i64::MIN),
        }
    }
}

fn chunk_at(chunks: &[Arc<Chunk>], offset: i64) -> Option<&Arc<Chunk>> {
    let after = chunks.partition_point(|chunk| chunk.first_offset() <= offset);
    let chunk = chunks.get(after.checked_sub(1)?)?;
    (offset <= chunk.last_offset()).then_some(chunk)
}

fn key_at(chunks: &[Arc<Chunk>], offset: i64) -> Option<&[u8]> {
    let chunk = chunk_at(chunks, offset)?;
    let row = chunk.row_of(offset)?;
    Some(chunk.keys.value(row))
}

fn supersede(chunks: &[Arc<Chunk>], old: i64, by: i64) {
    let chunk = chunk_at(chunks, old);
    if let Some((chunk, row)) = chunk.and_then(|chunk| Some((chunk, chunk.row_of(old)?))) {
        chunk.supersede(row, by);
    }
}

/// The versions of a chunk that were written before `to`.
fn cut(chunk: &Chunk, to: i64) -> Result<Chunk> {
    let rows = chunk
        .offsets
        .values()
        .partition_point(|offset| *offset < to);
    let superseded = load(&chunk.superseded).take(rows).map(AtomicI64::new);
    Chunk::with_superseded(chunk.batch.slice(0, rows), superseded.collect())
}

fn load(superseded: &[AtomicI64]) -> impl Iterator<Item = i64> {
    superseded.iter().map(|at| at.load(Ordering::Acquire))
}

fn merge(schema: &SchemaRef, chunks: &[Arc<Chunk>]) -> Result<Chunk> {
    let batches = chunks.iter().map(|chunk| &chunk.batch);
    let batch = concat_batches(schema, batches)
        .and_then(|batch| tight(&batch))
        .map_err(|error| internal("chunks of table rows do not fit together").with_source(error))?;
    let superseded = chunks.iter().flat_map(|chunk| load(&chunk.superseded));
    Chunk::with_superseded(batch, superseded.map(AtomicI64::new).collect())
}

/// A chunk without the versions that were replaced before `horizon`.
fn thin(chunk: &Arc<Chunk>, horizon: Offset) -> Result<Arc<Chunk>> {
    let keep: Vec<bool> = load(&chunk.superseded).map(|by| by >= horizon.0).collect();
    if keep.iter().all(|keep| *keep) {
        return Ok(Arc::clone(chunk));
    }
    let superseded = load(&chunk.superseded)
        .filter(|by| *by >= horizon.0)
        .map(AtomicI64::new)
        .collect();
    let batch = filter_record_batch(&chunk.batch, &BooleanArray::from(keep)).map_err(|error| {
        internal("a chunk of table rows cannot be thinned out").with_source(error)
    })?;
    Ok(Arc::new(Chunk::with_superseded(batch, superseded)?))
}

/// A batch whose views hold on to no text that none of them shows.
fn tight(batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(tight_column)
        .collect::<std::result::Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn tight_column(column: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    Ok(match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        DataType::Struct(fields) => {
            let array = column.as_struct();
            let columns = array
                .columns()
                .iter()
                .map(tight_column)
                .collect::<std::result::Result<_, _>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                array.nulls().cloned(),
                array.len(),
            )?)
        }
        DataType::List(item) => {
            let array = column.as_list::<i32>();
            let values = tight_column(array.values())?;
            let (ends, nulls) = (array.offsets().clone(), array.nulls().cloned());
            Arc::new(ListArray::try_new(Arc::clone(item), ends, values, nulls)?)
        }
        _ => ArrayRef::clone(column),
    })
}

fn internal(message: &str) -> Error {
    Error::new(Kind::Internal, message)
}
