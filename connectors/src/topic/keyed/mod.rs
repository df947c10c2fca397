//! Tables: the newest row of each key, from a changelog in a topic.
//!
//! Each record writes the row of its key, or deletes it when it has no value. A table without a primary key gives each row
//! a hidden one: the offset of the record that first wrote it, as eight big-endian bytes. The rows are held in memory with
//! the versions before them, so that a reader at a fixed offset is not disturbed by writers; they are read from the log
//! when the table is first used.

mod bound;
mod follow;
mod scan;
mod state;
mod version;
mod write;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Weak};

use datafusion::catalog::TableProvider;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use parking_lot::{Mutex, RwLock};
use weir_base::{Clock, Kind, Offset, OffsetVector, PartitionId, SqlState};
use weir_topics::{BatchView, Batches, Head, Partition, Topic};

use super::hidden::POSITION_HEADER;
use super::record::RecordDecoder;
use super::schema::RowSchema;
use crate::{Error, Result};
pub use bound::BoundTable;
pub use follow::{FollowedTable, TableChanges, TableFollower};
pub use scan::TableScanExec;
use state::{Chunk, State};
use version::Version;
pub use write::{Change, Commit, Conflicts, OnConflict, Preview, TableWriter};

/// How much of the log is read at a time when a table is loaded.
const LOAD_BYTES: usize = 8 << 20;

/// A table. Clones are the same table; there must be one for each topic, for it alone knows what is being written.
#[derive(Debug, Clone)]
pub struct KeyedTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topic: Topic,
    partition: Partition,
    rows: Arc<RowSchema>,
    clock: Arc<dyn Clock>,
    memory: Arc<dyn MemoryPool>,
    state: RwLock<State>,
    /// Up to where each who follows the table has seen it.
    followers: Mutex<Vec<Weak<AtomicI64>>>,
    /// Held while the table is loaded, and by the one who writes.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl KeyedTable {
    /// The table whose changelog is `topic`. Its rows have this schema, whose key is the primary key; once they are read
    /// they count against `memory`. Nothing is read yet.
    ///
    /// # Errors
    /// When the topic has not exactly one partition, or others may write it.
    pub fn new(
        topic: Topic,
        rows: Arc<RowSchema>,
        clock: Arc<dyn Clock>,
        memory: Arc<dyn MemoryPool>,
    ) -> Result<Self> {
        let spec = topic.spec();
        if spec.partitions != 1 || !spec.owned {
            return Err(Error::new(
                Kind::Internal,
                format!(
                    "topic {:?} cannot hold a table: it is shared, or has several partitions",
                    topic.name().as_str()
                ),
            ));
        }
        let partition = topic.partition(PartitionId(0))?.clone();
        let state = empty_state(&topic, &partition, &rows, &memory);
        Ok(Self(Arc::new(Inner {
            topic,
            partition,
            rows,
            clock,
            memory,
            state: RwLock::new(state),
            followers: Mutex::default(),
            gate: Arc::new(tokio::sync::Mutex::new(())),
        })))
    }

    /// Whether both are one state in memory.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The topic that holds the changelog.
    pub fn topic(&self) -> &Topic {
        &self.0.topic
    }

    /// What the rows look like.
    pub fn schema(&self) -> &Arc<RowSchema> {
        &self.0.rows
    }

    /// What the rows take up in memory, in bytes; little before the table is first used.
    pub fn memory_bytes(&self) -> usize {
        self.0.state.read().memory_bytes()
    }

    /// The offset up to which what was written is durable: where a reader that starts now reads.
    pub fn stable_offset(&self) -> Offset {
        self.0.partition.stable_offset()
    }

    /// The rows at an offset: what all records before it left, and none from it on. An offset in the past shows the table as
    /// it was; one that lies far back may have to be read from the log.
    ///
    /// # Errors
    /// When `at` is not durable yet, or a record cannot be read.
    pub async fn snapshot(&self, at: Offset, with_hidden: bool) -> Result<Arc<dyn TableProvider>> {
        let bound = BoundTable::new(self.clone(), with_hidden, false);
        bound.bind(at).await?;
        Ok(bound.provider())
    }

    /// The table for plans that are run again and again, each time over the version that it is then bound to.
    pub fn reused(&self, with_hidden: bool) -> BoundTable {
        BoundTable::new(self.clone(), with_hidden, true)
    }

    async fn version(&self, at: Offset) -> Result<Version> {
        self.check_durable(at)?;
        let (chunks, is_current) = self.chunks_from(at, at).await?;
        Ok(Version::new(self.clone(), chunks, at, is_current))
    }

    /// All versions that a reader at `from` or at `to` is shown, which may not be before it.
    async fn chunks_between(&self, from: Offset, to: Offset) -> Result<Vec<Arc<Chunk>>> {
        self.check_durable(to)?;
        // Before the first row nothing was there, whatever has been forgotten since.
        let from = if from == Offset::ZERO { to } else { from };
        let (chunks, _) = self.chunks_from(from, to).await?;
        Ok(chunks)
    }

    /// The versions that readers from `from` to `to` are shown, and whether they are those that writers go on with.
    async fn chunks_from(&self, from: Offset, to: Offset) -> Result<(Vec<Arc<Chunk>>, bool)> {
        if self.0.state.read().given_up != self.0.partition.head().given_up {
            self.keep_up()?;
        }
        if self.0.state.read().end < to {
            let _gate = self.0.gate.lock().await;
            self.load(to).await?;
        }
        {
            let state = self.0.state.read();
            if from >= state.horizon {
                return Ok((state.chunks().to_vec(), true));
            }
        }
        let mut past = self.empty_state();
        self.replay(&mut past, to).await?;
        Ok((past.chunks().to_vec(), false))
    }

    fn check_durable(&self, at: Offset) -> Result<()> {
        if at <= self.0.partition.stable_offset() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Internal,
            format!(
                "table {:?} was asked for at an offset that is not durable",
                self.0.topic.name().as_str()
            ),
        ))
    }

    /// Up to where the sources of what is written here were read by who wrote last: none when nothing is there, or it does not
    /// say so.
    ///
    /// # Errors
    /// When the end of the log cannot be read.
    pub async fn written_from(&self) -> Result<Option<OffsetVector>> {
        let end = self.stable_offset();
        let last = Offset((end.0 - 1).max(0));
        let batches = self.read(last, end).await?;
        let mut found = None;
        for record in batches.batches.iter().flat_map(BatchView::records) {
            let record = record?;
            for header in record.headers() {
                let (name, value) = header?;
                if record.offset == last && name == POSITION_HEADER {
                    let position = value.and_then(|value| std::str::from_utf8(value).ok());
                    found = position.and_then(|position| position.parse().ok());
                }
            }
        }
        Ok(found)
    }

    /// Waits for the turn to write. Until the writer is dropped or commits, no one else writes, and what it reads of the
    /// table is what it will change.
    ///
    /// # Errors
    /// When the table cannot be loaded.
    pub async fn writer(&self) -> Result<TableWriter> {
        let gate = Arc::clone(&self.0.gate).lock_owned().await;
        let mut stable = self.0.partition.watch();
        loop {
            stable.mark_unchanged();
            let head = self.keep_up()?;
            self.load(head.stable).await?;
            if self.0.state.read().end == head.next {
                return Ok(TableWriter::new(self.clone(), gate, head));
            }
            // What another instance of the table still had on its way is waited for; it may also be given up.
            stable.changed().await.map_err(|_| {
                Error::new(
                    Kind::Unavailable,
                    format!("table {:?} is going away", self.0.topic.name().as_str()),
                )
                .with_sqlstate(SqlState::ADMIN_SHUTDOWN)
            })?;
        }
    }

    /// Looks where the log stands, and takes back what it gave up.
    fn keep_up(&self) -> Result<Head> {
        // The log is looked at, and written to, with the state held: so that both tell of the same moment.
        let mut state = self.0.state.write();
        let head = self.0.partition.head();
        if state.given_up != head.given_up {
            state.roll_back()?;
            state.given_up = head.given_up;
        }
        state.durable = head.stable;
        Ok(head)
    }

    fn empty_state(&self) -> State {
        let inner = &self.0;
        empty_state(&inner.topic, &inner.partition, &inner.rows, &inner.memory)
    }

    /// Takes in the records up to `to`. The gate must be held.
    async fn load(&self, to: Offset) -> Result<()> {
        let end = self.0.state.read().end;
        if end >= to {
            return Ok(());
        }
        if end > self.0.partition.start_offset() {
            return self.catch_up(to).await;
        }
        // Readers of the empty state are not kept waiting.
        let mut fresh = self.empty_state();
        self.replay(&mut fresh, to).await?;
        fresh.durable = to;
        if fresh.is_thick() {
            let chunks = fresh.thinned(to)?;
            fresh.replace_all(chunks, to);
            fresh.account();
        }
        *self.0.state.write() = fresh;
        Ok(())
    }

    /// Takes in what only another instance of the table can have written, or what was taken back and is there all the same:
    /// rare, and short.
    async fn catch_up(&self, to: Offset) -> Result<()> {
        loop {
            let from = self.0.state.read().end;
            if from >= to {
                return Ok(());
            }
            let batches = self.read(from, to).await?;
            if batches.next <= from {
                return Err(self.ends_early(from, to));
            }
            let mut state = self.0.state.write();
            // A reader may have found meanwhile that the log gave something up.
            if state.end == from {
                apply(&self.0, &mut state, &batches, from, to)?;
            }
        }
    }

    /// Takes the records from `state`'s end up to `to` into it.
    async fn replay(&self, state: &mut State, to: Offset) -> Result<()> {
        while state.end < to {
            let from = state.end;
            let batches = self.read(from, to).await?;
            if batches.next <= from {
                return Err(self.ends_early(from, to));
            }
            apply(&self.0, state, &batches, from, to)?;
        }
        Ok(())
    }

    fn ends_early(&self, end: Offset, to: Offset) -> Error {
        Error::new(
            Kind::Corrupt,
            format!(
                "topic {:?} ends at offset {end}, before {to}",
                self.0.topic.name().as_str()
            ),
        )
    }

    async fn read(&self, from: Offset, to: Offset) -> Result<Batches> {
        let partition = self.0.partition.clone();
        SpawnedTask::spawn_blocking(move || partition.read(from, to, LOAD_BYTES))
            .join()
            .await
            .map_err(|error| {
                Error::new(Kind::Internal, "loading a table was broken off").with_source(error)
            })?
            .map_err(Error::from)
    }
}

fn empty_state(
    topic: &Topic,
    partition: &Partition,
    rows: &RowSchema,
    memory: &Arc<dyn MemoryPool>,
) -> State {
    State::new(
        rows.schema_with_hidden(),
        rows.key().is_empty(),
        partition.start_offset(),
        partition.head().given_up,
        MemoryConsumer::new(format!("table {:?}", topic.name().as_str())).register(memory),
    )
}

/// Takes the records of `batches` within `[from, to)` into a state.
fn apply(inner: &Inner, state: &mut State, read: &Batches, from: Offset, to: Offset) -> Result<()> {
    let columns = inner.rows.schema_with_hidden().fields().len();
    let projection: Vec<usize> = (0..columns).collect();
    let name = inner.topic.name();
    let mut decoder = RecordDecoder::new(name, PartitionId(0), &inner.rows, &projection)?;
    let within = |offset: Offset| offset >= from && offset < to;
    for record in read.batches.iter().flat_map(BatchView::records) {
        let record = record?;
        if within(record.offset) && record.value.is_some() {
            decoder.push(&record)?;
        }
    }
    state.push(Chunk::new(decoder.finish()?)?);
    for record in read.batches.iter().flat_map(BatchView::records) {
        let record = record?;
        if !within(record.offset) {
            continue;
        }
        let Some(key) = record.key else {
            return Err(Error::new(
                Kind::Corrupt,
                format!(
                    "topic {:?}, offset {}: a table's record has no key",
                    name.as_str(),
                    record.offset
                ),
            ));
        };
        match record.value {
            Some(_) => state.put(key, record.offset.0),
            None => state.delete(key, record.offset.0),
        }
    }
    // Compaction leaves offsets without a record.
    state.end = read.next.min(to);
    state.fit()
}
