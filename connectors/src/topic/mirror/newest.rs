//! [`Newest`]: of each key, the newest row.
//!
//! The records of a partition follow one another: a key's later record there takes the place of its earlier ones. A key should lie in
//! one partition, as Kafka's partitioners have it. Where it lies in several, because the topic has got more partitions, the newest rows of
//! its partitions are compared by time, and then by partition. So what the rows are is said by the records alone, in whatever
//! order and in whatever portions partitions are read.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMillisecondType};
use arrow::row::{RowConverter, SortField};
use bytes::{Buf, BufMut};
use datafusion::execution::memory_pool::MemoryReservation;
use hashbrown::{HashMap, HashSet};

use crate::topic::format::DELETED;
use crate::topic::schema::Hidden;
use crate::{Error, Result};

/// Rows that are decoded into one batch at most.
const BATCH_ROWS: usize = 8192;
/// What an entry takes besides its bytes, about.
const ENTRY_BYTES: usize = 96;

/// The newest row of each key among the changes that it was given.
#[derive(Debug)]
pub struct Newest {
    schema: SchemaRef,
    /// The places of the key's columns among those of rows.
    key: Vec<usize>,
    keys: RowConverter,
    rows: RowConverter,
    newest: HashMap<Vec<u8>, Vec<Version>>,
    bytes: usize,
    reservation: MemoryReservation,
    /// The keys that were changed since the last time, with the rows that they showed then.
    touched: HashMap<Vec<u8>, Option<Vec<u8>>>,
    touched_bytes: usize,
    /// The keys that were changed since they were last saved, where somebody saves them.
    unsaved: Option<HashSet<Vec<u8>>>,
    unsaved_bytes: usize,
}

/// The newest record of a key in one partition.
#[derive(Debug)]
struct Version {
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    /// None where it deleted the row.
    row: Option<Vec<u8>>,
}

/// How the newest rows have changed.
#[derive(Debug, Default)]
pub struct Renewed {
    /// Rows that are there and were not.
    pub added: Vec<RecordBatch>,
    /// Rows that were there and are not.
    pub removed: Vec<RecordBatch>,
}

impl Newest {
    /// No rows yet. `schema` is that of rows; `key` names the places of its columns that are the key. State is taken from `reservation`.
    ///
    /// # Errors
    /// When a column is of a type that rows cannot be told apart by.
    pub fn new(schema: SchemaRef, key: Vec<usize>, reservation: MemoryReservation) -> Result<Self> {
        let converter = |schema: &SchemaRef| {
            let fields = schema.fields().iter();
            RowConverter::new(
                fields
                    .map(|field| SortField::new(field.data_type().clone()))
                    .collect(),
            )
        };
        let of_key = SchemaRef::new(schema.project(&key).map_err(broken)?);
        Ok(Self {
            keys: converter(&of_key).map_err(broken)?,
            rows: converter(&schema).map_err(broken)?,
            schema,
            key,
            newest: HashMap::new(),
            bytes: 0,
            reservation,
            touched: HashMap::new(),
            touched_bytes: 0,
            unsaved: None,
            unsaved_bytes: 0,
        })
    }

    /// The schema of rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows are remembered, and about how many bytes they take.
    pub fn size(&self) -> (u64, usize) {
        (self.newest.len() as u64, self.bytes)
    }

    /// Takes in changes. A batch has the columns of rows, by name, and those by which a
    /// [`MirroredTable`](super::MirroredTable) tells which is newest. Before [`Newest::renewed`], batches may come in any order.
    ///
    /// # Errors
    /// When a column is missing, or memory does not suffice.
    pub fn push(&mut self, changes: &RecordBatch) -> Result<()> {
        let column = |name: &str| {
            let column = changes.column_by_name(name);
            column.ok_or_else(|| internal(format!("changes without column {name}")))
        };
        let partitions = column(Hidden::Partition.name())?.as_primitive_opt::<Int32Type>();
        let offsets = column(Hidden::Offset.name())?.as_primitive_opt::<Int64Type>();
        let timestamps = column(Hidden::Timestamp.name())?;
        let timestamps = timestamps.as_primitive_opt::<TimestampMillisecondType>();
        let deleted = column(DELETED)?.as_boolean_opt();
        let (Some(partitions), Some(offsets), Some(timestamps), Some(deleted)) =
            (partitions, offsets, timestamps, deleted)
        else {
            return Err(internal("changes have columns of other types"));
        };
        let fields = self.schema.fields().iter();
        let columns: Vec<ArrayRef> = fields
            .map(|field| column(field.name()).cloned())
            .collect::<Result<_>>()?;
        let of_key: Vec<ArrayRef> = self
            .key
            .iter()
            .filter_map(|at| columns.get(*at).cloned())
            .collect();
        let keys = self.keys.convert_columns(&of_key).map_err(broken)?;
        let rows = self.rows.convert_columns(&columns).map_err(broken)?;
        for row in (0..changes.num_rows()).filter(|row| deleted.is_valid(*row)) {
            let bytes = rows.row(row);
            let version = Version {
                partition: partitions.value(row),
                offset: offsets.value(row),
                timestamp_ms: timestamps.value(row),
                row: (!deleted.value(row)).then(|| bytes.as_ref().to_vec()),
            };
            self.take(keys.row(row).as_ref(), version);
        }
        self.account()
    }

    fn take(&mut self, key: &[u8], version: Version) {
        let versions = self.newest.entry_ref(key).or_insert_with(|| {
            self.bytes += key.len() + ENTRY_BYTES;
            Vec::with_capacity(1)
        });
        if !self.touched.contains_key(key) {
            let before = shown(versions).cloned();
            let bytes = key.len() + before.as_ref().map_or(0, Vec::len) + ENTRY_BYTES;
            self.touched_bytes += bytes;
            self.touched.insert(key.to_vec(), before);
        }
        let len = |version: &Version| version.row.as_ref().map_or(0, Vec::len);
        match versions
            .iter_mut()
            .find(|known| known.partition == version.partition)
        {
            Some(known) if known.offset >= version.offset => {}
            Some(known) => {
                self.bytes = (self.bytes + len(&version)).saturating_sub(len(known));
                *known = version;
            }
            None => {
                self.bytes += len(&version);
                versions.push(version);
            }
        }
    }

    /// What has changed since the last time. What was given by then is older than all that comes.
    ///
    /// # Errors
    /// When rows cannot be decoded.
    pub fn renewed(&mut self) -> Result<Renewed> {
        let touched = std::mem::take(&mut self.touched);
        self.touched_bytes = 0;
        let mut added = Vec::new();
        let mut removed = Vec::new();
        for (key, before) in touched {
            let Some(versions) = self.newest.get_mut(&key) else {
                continue;
            };
            let now = shown(versions);
            if now != before.as_ref() {
                added.extend(now.cloned());
                removed.extend(before);
            }
            if let Some(unsaved) = &mut self.unsaved
                && !unsaved.contains(&key)
            {
                self.unsaved_bytes += key.len() + ENTRY_BYTES;
                unsaved.insert(key.clone());
            }
            // What is gone need not be remembered: nothing older comes.
            versions.retain(|version| version.row.is_some());
            if versions.is_empty() {
                self.bytes = self.bytes.saturating_sub(key.len() + ENTRY_BYTES);
                self.newest.remove(&key);
            }
        }
        self.account()?;
        Ok(Renewed {
            added: self.decode(&added)?,
            removed: self.decode(&removed)?,
        })
    }

    /// Notes which keys change, for somebody who [saves](Self::save) them.
    #[must_use]
    pub fn noting_what_is_unsaved(self) -> Self {
        Self {
            unsaved: Some(HashSet::new()),
            ..self
        }
    }

    /// How many bytes are remembered that were not saved, about.
    pub fn unsaved_bytes(&self) -> usize {
        self.unsaved_bytes
    }

    /// Gives each key that changed since the last time to `save`, with what is remembered of it; with nothing when that is gone.
    pub fn save(&mut self, mut save: impl FnMut(&[u8], Option<&[u8]>)) {
        let Some(unsaved) = &mut self.unsaved else {
            return;
        };
        let mut bytes = Vec::new();
        for key in unsaved.drain() {
            match self.newest.get(&key) {
                None => save(&key, None),
                Some(versions) => {
                    bytes.clear();
                    versions
                        .iter()
                        .for_each(|version| version.write(&mut bytes));
                    save(&key, Some(&bytes));
                }
            }
        }
        self.unsaved_bytes = 0;
    }

    /// Takes in what was saved of a key, before there are any changes.
    ///
    /// # Errors
    /// When it is not what was saved, or memory does not suffice.
    pub fn restore(&mut self, key: &[u8], saved: &[u8]) -> Result<()> {
        let mut saved = saved;
        let mut versions = Vec::with_capacity(1);
        while !saved.is_empty() {
            let version = Version::read(&mut saved);
            versions.push(version.ok_or_else(|| internal("a saved row is cut off"))?);
        }
        let rows = versions.iter().filter_map(|version| version.row.as_ref());
        self.bytes += key.len() + ENTRY_BYTES + rows.map(Vec::len).sum::<usize>();
        self.newest.insert(key.to_vec(), versions);
        self.account()
    }

    /// Rows in batches.
    fn decode(&self, rows: &[Vec<u8>]) -> Result<Vec<RecordBatch>> {
        let parser = self.rows.parser();
        let batches = rows.chunks(BATCH_ROWS).map(|rows| {
            let parsed = rows.iter().map(|row| parser.parse(row));
            let columns = self.rows.convert_rows(parsed)?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options)
        });
        batches.collect::<Result<Vec<_>, _>>().map_err(broken)
    }

    fn account(&mut self) -> Result<()> {
        let bytes = self.bytes + self.touched_bytes + self.unsaved_bytes;
        self.reservation.try_resize(bytes).map_err(|error| {
            let name = self.reservation.consumer().name();
            Error::new(
                weir_base::Kind::LimitExceeded,
                format!("{name} does not fit into memory"),
            )
            .with_sqlstate(weir_base::SqlState::OUT_OF_MEMORY)
            .with_hint("let the operator raise limits.query_memory")
            .with_source(error)
        })
    }
}

impl Version {
    /// Little-endian: partition (4), offset (8), time (8), the row's length (8), the row. Only rows that are there are written.
    fn write(&self, out: &mut Vec<u8>) {
        let Some(row) = &self.row else {
            return;
        };
        out.put_i32_le(self.partition);
        out.put_i64_le(self.offset);
        out.put_i64_le(self.timestamp_ms);
        out.put_u64_le(row.len() as u64);
        out.put_slice(row);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let partition = bytes.try_get_i32_le().ok()?;
        let offset = bytes.try_get_i64_le().ok()?;
        let timestamp_ms = bytes.try_get_i64_le().ok()?;
        let len = bytes.try_get_u64_le().ok()?;
        let (row, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
        *bytes = rest;
        Some(Self {
            partition,
            offset,
            timestamp_ms,
            row: Some(row.to_vec()),
        })
    }
}

/// The row that a key shows.
fn shown(versions: &[Version]) -> Option<&Vec<u8>> {
    let rows = versions.iter().filter_map(|version| {
        let row = version.row.as_ref()?;
        Some((version.timestamp_ms, version.partition, row))
    });
    rows.max_by_key(|(timestamp_ms, partition, _)| (*timestamp_ms, *partition))
        .map(|(_, _, row)| row)
}

fn broken(error: arrow::error::ArrowError) -> Error {
    internal("changed rows do not fit together").with_source(error)
}

fn internal(message: impl Into<String>) -> Error {
    Error::new(weir_base::Kind::Internal, message)
}
