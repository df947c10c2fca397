//! The rows of a view, in a keyed table.
//!
//! A row's key is what it is: a hash of it, and a number that tells apart those that are equal. So whoever computes the view
//! again finds the rows that are there already, and writes only what is different.

use arrow::array::{BinaryArray, RecordBatch};
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use weir_base::Offset;
use weir_connectors::topic::{Change, KeyedTable, encode_batch};

use crate::delta::Delta;
use crate::error::Result;
use crate::state::RowCodec;

/// 128 bits of SHA-256 (FIPS 180-4): that two rows of a view share them is not to be expected.
type RowHash = [u8; 16];

/// Writes the changes of a view into its table.
#[derive(Debug)]
pub struct ViewSink {
    table: KeyedTable,
    codec: RowCodec,
    rows: Rows,
}

/// What the view has.
#[derive(Debug)]
enum Rows {
    /// Everything that was computed so far, by its bytes, while the table may have something else.
    Computed(HashMap<Vec<u8>, u64>),
    /// How often each row is there; the table has the same.
    Written(HashMap<RowHash, u64>),
}

impl ViewSink {
    /// A sink that first gathers what is computed, until [`ViewSink::reconcile`].
    ///
    /// # Errors
    /// When the table's rows cannot be compared.
    pub fn new(table: KeyedTable) -> Result<Self> {
        Ok(Self {
            codec: RowCodec::new(table.schema().read_schema())?,
            table,
            rows: Rows::Computed(HashMap::new()),
        })
    }

    /// The table.
    pub fn table(&self) -> &KeyedTable {
        &self.table
    }

    /// Takes in a change: into the table, if that is as the view was before. Answers where the table ends then.
    ///
    /// # Errors
    /// When the log takes no more.
    pub async fn take(&mut self, delta: &Delta) -> Result<Offset> {
        match &mut self.rows {
            Rows::Computed(rows) => {
                for (batches, comes) in [(&delta.plus, true), (&delta.minus, false)] {
                    for batch in batches {
                        self.codec.each(batch, |row| gather(rows, row, comes))?;
                    }
                }
                Ok(self.table.stable_offset())
            }
            Rows::Written(counts) => {
                if delta.is_empty() {
                    return Ok(self.table.stable_offset());
                }
                let mut keys = Vec::new();
                for batch in &delta.minus {
                    self.codec.each(batch, |row| {
                        let hash = hash(row);
                        let count = counts.entry(hash).or_insert(0);
                        *count = count.saturating_sub(1);
                        keys.push(key(hash, *count));
                        if *count == 0 {
                            counts.remove(&hash);
                        }
                    })?;
                }
                let mut changes = vec![Change::Delete {
                    keys: BinaryArray::from_iter_values(keys),
                }];
                for batch in &delta.plus {
                    let mut keys = Vec::with_capacity(batch.num_rows());
                    self.codec.each(batch, |row| {
                        let hash = hash(row);
                        let count = counts.entry(hash).or_insert(0);
                        keys.push(key(hash, *count));
                        *count += 1;
                    })?;
                    changes.push(put(&self.table, keys, batch)?);
                }
                commit(&self.table, changes).await
            }
        }
    }

    /// Makes the table have what was computed, in one commit; from then on changes go there. Answers where the table ends.
    ///
    /// # Errors
    /// When the table cannot be read, or the log takes no more.
    pub async fn reconcile(&mut self) -> Result<Offset> {
        let Rows::Computed(computed) = &mut self.rows else {
            return Ok(self.table.stable_offset());
        };
        let computed = std::mem::take(computed);
        let mut missing: HashMap<Vec<u8>, &[u8]> = HashMap::new();
        let mut counts = HashMap::with_capacity(computed.len());
        for (row, count) in &computed {
            let hash = hash(row);
            counts.insert(hash, *count);
            for number in 0..*count {
                missing.insert(key(hash, number), row);
            }
        }
        let follower = self.table.follow();
        let there = follower.changes(self.table.stable_offset()).await?;
        let mut superfluous = Vec::new();
        for batch in &there.added {
            let keys = batch
                .column_by_name("_key")
                .map(|keys| BinaryArray::from(keys.to_data()));
            for key in keys.iter().flat_map(|keys| keys.iter().flatten()) {
                if missing.remove(key).is_none() {
                    superfluous.push(key.to_vec());
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
            changes.push(put(&self.table, keys, batch)?);
        }
        let end = commit(&self.table, changes).await?;
        self.rows = Rows::Written(counts);
        Ok(end)
    }
}

fn put(table: &KeyedTable, keys: Vec<Vec<u8>>, batch: &RecordBatch) -> Result<Change> {
    let schema = table.schema();
    // The same columns, under the view's names.
    let batch = batch.clone().with_schema(schema.read_schema().clone())?;
    Ok(Change::Put {
        keys: BinaryArray::from_iter_values(keys),
        rows: encode_batch(schema, &batch).map_err(weir_connectors::Error::from)?,
    })
}

async fn commit(table: &KeyedTable, changes: Vec<Change>) -> Result<Offset> {
    let commit = table.writer().await?.commit(changes).await?;
    Ok(commit.durable().await?)
}

fn gather(rows: &mut HashMap<Vec<u8>, u64>, row: &[u8], comes: bool) {
    if comes {
        *rows.entry_ref(row).or_insert(0) += 1;
    } else if let Some(count) = rows.get_mut(row) {
        *count -= 1;
        if *count == 0 {
            rows.remove(row);
        }
    }
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
