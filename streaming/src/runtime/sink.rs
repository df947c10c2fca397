//! The rows of a view, in a keyed table.
//!
//! A row's name is what it is: a hash of it, and a number that tells apart those that are equal. So whoever computes the view
//! again finds the rows that are there already, and writes only what is different. Where rows go, they lie under their names. Where
//! rows only come, nobody looks for one, and each lies under its own offset, which costs nothing to find out and nothing to remember.

use arrow::array::{Array, BinaryArray, RecordBatch};
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use weir_base::{Offset, OffsetVector};
use weir_connectors::topic::{Change, KeyedTable, OnConflict, Rows, TableWriter, encode_batch};

use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::state::RowCodec;

/// 128 bits of SHA-256 (FIPS 180-4): that two rows of a view share them is not to be expected.
type RowHash = [u8; 16];

/// What is gathered is written when it takes more memory, in bytes.
const GATHERED_BYTES: usize = 64 << 20;
/// What a row that is gathered takes besides its bytes, about.
const ROW_OVERHEAD: usize = 48;

/// Writes the changes of a view into its table.
#[derive(Debug)]
pub struct ViewSink {
    table: KeyedTable,
    codec: RowCodec,
    only_grows: bool,
    /// Rows that were gathered, by their bytes, and how often each has come, or gone.
    gathered: HashMap<Vec<u8>, i64>,
    gathered_bytes: usize,
    /// Whether it is not known what the table has: then all rows of the view are gathered, and compared with it.
    is_unknown: bool,
}

impl ViewSink {
    /// A sink for a table that has what the view had at the beginning of the first change, and whose rows never go if it `only_grows`.
    ///
    /// # Errors
    /// When the table's rows cannot be compared.
    pub fn new(table: KeyedTable, only_grows: bool) -> Result<Self> {
        Ok(Self {
            codec: RowCodec::new(table.schema().read_schema())?,
            only_grows,
            table,
            gathered: HashMap::new(),
            gathered_bytes: 0,
            is_unknown: false,
        })
    }

    /// A sink for a table that may have anything. It gathers all that is computed, until [`ViewSink::show`].
    ///
    /// # Errors
    /// When the table's rows cannot be compared.
    pub fn of_unknown(table: KeyedTable, only_grows: bool) -> Result<Self> {
        Ok(Self {
            is_unknown: true,
            ..Self::new(table, only_grows)?
        })
    }

    /// The table.
    pub fn table(&self) -> &KeyedTable {
        &self.table
    }

    /// Whether it is not known what the table has.
    pub(super) fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// Takes in the change that leads to a position, and may leave it in memory. Answers where the table ends then.
    ///
    /// # Errors
    /// When the log takes no more.
    pub(super) async fn gather(
        &mut self,
        delta: &Delta,
        position: &OffsetVector,
    ) -> Result<Offset> {
        // Where rows only come, nothing is saved by waiting.
        if delta.minus.is_empty() && self.gathered.is_empty() && !self.is_unknown {
            return self.take(delta, position).await;
        }
        for (batches, weight) in [(&delta.plus, 1), (&delta.minus, -1)] {
            for batch in batches {
                let rows = self.codec.encode(batch)?;
                (0..batch.num_rows()).for_each(|row| self.add(rows.get(row), weight));
            }
        }
        if self.gathered_bytes > GATHERED_BYTES && !self.is_unknown {
            return self.show(position).await;
        }
        Ok(self.table.stable_offset())
    }

    fn add(&mut self, row: &[u8], weight: i64) {
        let bytes = row.len() + ROW_OVERHEAD;
        let count = self.gathered.entry_ref(row).or_insert_with(|| {
            self.gathered_bytes += bytes;
            0
        });
        *count += weight;
        if *count == 0 {
            self.gathered.remove(row);
            self.gathered_bytes -= bytes;
        }
    }

    /// Puts what was gathered into the table, as what the view is at a position. Answers where the table ends then.
    ///
    /// # Errors
    /// When the table cannot be read, or the log takes no more.
    pub(super) async fn show(&mut self, position: &OffsetVector) -> Result<Offset> {
        if self.is_unknown {
            return self.reconcile(position).await;
        }
        self.gathered_bytes = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let mut rows: Vec<(Vec<u8>, i64)> = gathered.into_iter().collect();
        rows.sort_unstable();
        let of_sign = |sign: i64| {
            let signed = rows.iter().filter(move |(_, count)| count.signum() == sign);
            let repeated = signed.flat_map(|(row, count)| {
                let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
                std::iter::repeat_n(row.as_slice(), count)
            });
            self.codec.decode(repeated)
        };
        let delta = Delta {
            plus: of_sign(1)?,
            minus: of_sign(-1)?,
        };
        self.take(&delta, position).await
    }

    /// Writes the change that leads to a position. Answers where the table ends then.
    ///
    /// # Errors
    /// When the log takes no more.
    pub(super) async fn take(&mut self, delta: &Delta, position: &OffsetVector) -> Result<Offset> {
        if delta.is_empty() {
            return Ok(self.table.stable_offset());
        }
        let writer = self.table.writer().await?.from_position(position);
        if self.only_grows {
            if !delta.minus.is_empty() {
                return Err(Error::Internal("a row of a view went that only grows"));
            }
            let rows = delta.plus.iter().map(|batch| insert(&self.table, batch));
            return commit(writer, rows.collect::<Result<_>>()?).await;
        }
        let mut counts: HashMap<RowHash, u64> = HashMap::new();
        let mut keys = Vec::new();
        for batch in &delta.minus {
            self.codec.each(batch, |row| {
                let hash = hash(row);
                let count = counts.entry(hash).or_insert_with(|| count(&writer, hash));
                *count = count.saturating_sub(1);
                keys.push(key(hash, *count));
            })?;
        }
        let mut changes = vec![Change::Delete {
            keys: BinaryArray::from_iter_values(keys),
        }];
        for batch in &delta.plus {
            let mut keys = Vec::with_capacity(batch.num_rows());
            self.codec.each(batch, |row| {
                let hash = hash(row);
                let count = counts.entry(hash).or_insert_with(|| count(&writer, hash));
                keys.push(key(hash, *count));
                *count += 1;
            })?;
            changes.push(put(&self.table, keys, batch)?);
        }
        commit(writer, changes).await
    }

    /// Makes the table have what was computed up to a position, in one commit; from then on changes go there. Answers where the table ends.
    ///
    /// # Errors
    /// When the table cannot be read, or the log takes no more.
    async fn reconcile(&mut self, position: &OffsetVector) -> Result<Offset> {
        self.is_unknown = false;
        self.gathered_bytes = 0;
        let computed = std::mem::take(&mut self.gathered);
        let mut missing: HashMap<Vec<u8>, &[u8]> = HashMap::new();
        for (row, count) in &computed {
            let hash = hash(row);
            for number in 0..count.unsigned_abs() {
                missing.insert(key(hash, number), row);
            }
        }
        let follower = self.table.follow();
        let there = follower.changes(self.table.stable_offset()).await?;
        let mut superfluous = Vec::new();
        let mut seen: HashMap<RowHash, u64> = HashMap::new();
        let columns: Vec<usize> = (0..self.codec.schema().fields().len()).collect();
        for batch in &there.added {
            let keys = batch.column_by_name("_key").map(Array::to_data);
            let Some(keys) = keys.map(BinaryArray::from) else {
                return Err(Error::Internal("rows of a view have no keys"));
            };
            let rows = match self.only_grows {
                true => Some(self.codec.encode(&batch.project(&columns)?)?),
                false => None,
            };
            for (row, key_there) in keys.iter().flatten().enumerate() {
                let is_missing = match &rows {
                    // Under whatever keys they lie, as many as there are.
                    Some(rows) => {
                        let hash = hash(rows.get(row));
                        let number = seen.entry(hash).or_default();
                        *number += 1;
                        missing.remove(&key(hash, *number - 1)).is_some()
                    }
                    None => missing.remove(key_there).is_some(),
                };
                if !is_missing {
                    superfluous.push(key_there.to_vec());
                }
            }
        }
        let mut changes = vec![Change::Delete {
            keys: BinaryArray::from_iter_values(superfluous),
        }];
        let mut missing: Vec<(Vec<u8>, &[u8])> = missing.into_iter().collect();
        missing.sort_unstable();
        let rows = self.codec.decode(missing.iter().map(|(_, row)| *row))?;
        let mut keys = missing.iter().map(|(key, _)| key.clone());
        for batch in &rows {
            let keys = keys.by_ref().take(batch.num_rows()).collect();
            changes.push(match self.only_grows {
                true => insert(&self.table, batch)?,
                false => put(&self.table, keys, batch)?,
            });
        }
        let writer = self.table.writer().await?.from_position(position);
        commit(writer, changes).await
    }
}

fn insert(table: &KeyedTable, batch: &RecordBatch) -> Result<Change> {
    Ok(Change::Insert {
        rows: rows(table, batch)?,
        on_conflict: OnConflict::Error,
    })
}

fn put(table: &KeyedTable, keys: Vec<Vec<u8>>, batch: &RecordBatch) -> Result<Change> {
    Ok(Change::Put {
        keys: BinaryArray::from_iter_values(keys),
        rows: rows(table, batch)?,
    })
}

fn rows(table: &KeyedTable, batch: &RecordBatch) -> Result<Rows> {
    let schema = table.schema();
    // The same columns, under the view's names.
    let batch = batch.clone().with_schema(schema.read_schema().clone())?;
    Ok(encode_batch(schema, &batch).map_err(weir_connectors::Error::from)?)
}

async fn commit(writer: TableWriter, changes: Vec<Change>) -> Result<Offset> {
    Ok(writer.commit(changes).await?.durable().await?)
}

/// How many rows with a hash the table has. They are numbered from 0 without gaps, so their end is found by doubling and halving.
fn count(writer: &TableWriter, hash: RowHash) -> u64 {
    let has = |number: u64| writer.has_key(&key(hash, number));
    let mut beyond = 1;
    if !has(0) {
        return 0;
    }
    while has(beyond) {
        beyond *= 2;
    }
    let mut last = beyond / 2;
    while last + 1 < beyond {
        let middle = last.midpoint(beyond);
        match has(middle) {
            true => last = middle,
            false => beyond = middle,
        }
    }
    last + 1
}

fn hash(row: &[u8]) -> RowHash {
    let digest = Sha256::digest(row);
    digest.first_chunk().copied().unwrap_or_default()
}

/// The key of the `number`-th of the rows with a hash.
fn key(hash: RowHash, number: u64) -> Vec<u8> {
    let mut key = hash.to_vec();
    key.extend(number.to_be_bytes());
    key
}
