//! Changes as rows of a table: under its primary key, or each as a row of its own.
//!
//! A table's changelog has no room for a position, so where a step leads is noted before its rows are written. A start does that step
//! again, from where it began to where it led: the rows under their keys become what they are already.

use std::time::Instant;

use arrow::array::BinaryArray;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use weir_base::OffsetVector;
use weir_connectors::topic::{Change, KeyedTable, OnConflict, SourceProgress, encode_batch};

use super::RowCheck;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::runtime::{Sink, Written};
use crate::state::RowCodec;

/// Writes changes to a table.
#[derive(Debug)]
pub struct TableSink {
    table: KeyedTable,
    codec: RowCodec,
    progress: SourceProgress,
    check: Option<RowCheck>,
    /// Up to where everything is noted as written.
    noted: Option<OffsetVector>,
    /// Up to where everything is written.
    written: Option<OffsetVector>,
}

impl TableSink {
    /// A sink that has found out nothing yet.
    ///
    /// # Errors
    /// When the table's rows cannot be compared.
    pub fn new(
        table: KeyedTable,
        progress: SourceProgress,
        check: Option<RowCheck>,
    ) -> Result<Self> {
        Ok(Self {
            codec: RowCodec::new(table.schema().read_schema())?,
            table,
            progress,
            check,
            noted: None,
            written: None,
        })
    }

    async fn write(&mut self, delta: &Delta, position: &OffsetVector) -> Result<()> {
        if delta.is_empty() {
            self.progress.note(Some(position), None).await?;
            self.noted = Some(position.clone());
            self.written = Some(position.clone());
            return Ok(());
        }
        if let Some(check) = &self.check {
            check.all(&delta.plus)?;
        }
        let changes = match self.table.schema().key().is_empty() {
            true => self.rows(delta, position)?,
            false => self.rows_by_key(delta)?,
        };
        let from = self.written.as_ref();
        self.progress.note(from, Some(position)).await?;
        self.noted.clone_from(&self.written);
        let commit = self.table.writer().await?.commit(changes).await?;
        commit.durable().await?;
        self.written = Some(position.clone());
        Ok(())
    }

    /// Rows under the table's primary key: the later one takes the earlier one's place.
    fn rows_by_key(&self, delta: &Delta) -> Result<Vec<Change>> {
        let schema = self.table.schema();
        let mut changes = Vec::with_capacity(delta.minus.len() + delta.plus.len());
        for batch in &delta.minus {
            let rows = encode_batch(schema, batch).map_err(weir_connectors::Error::from)?;
            let keys = schema.keys_of(&rows)?;
            changes.push(Change::Delete { keys });
        }
        for batch in &delta.plus {
            changes.push(Change::Insert {
                rows: encode_batch(schema, batch).map_err(weir_connectors::Error::from)?,
                on_conflict: OnConflict::Replace,
            });
        }
        Ok(changes)
    }

    /// Rows that only come, under keys that are the same when the step is done again: a hash of the row and of where the step leads,
    /// and a number that tells apart those that are equal.
    fn rows(&self, delta: &Delta, position: &OffsetVector) -> Result<Vec<Change>> {
        if !delta.minus.is_empty() {
            return Err(Error::Internal("rows of an append-only query have gone"));
        }
        let step = Sha256::digest(position.to_string());
        let mut counts: HashMap<[u8; 16], u64> = HashMap::new();
        let mut changes = Vec::with_capacity(delta.plus.len());
        for batch in &delta.plus {
            let mut keys = Vec::with_capacity(batch.num_rows());
            self.codec.each(batch, |row| {
                let digest = Sha256::new()
                    .chain_update(step)
                    .chain_update(row)
                    .finalize();
                let hash: [u8; 16] = digest.first_chunk().copied().unwrap_or_default();
                let count = counts.entry(hash).or_insert(0);
                let mut key = hash.to_vec();
                key.extend(count.to_be_bytes());
                keys.push(key);
                *count += 1;
            })?;
            changes.push(Change::Put {
                keys: BinaryArray::from_iter_values(keys),
                rows: encode_batch(self.table.schema(), batch)
                    .map_err(weir_connectors::Error::from)?,
            });
        }
        Ok(changes)
    }
}

impl Sink for TableSink {
    fn settle(&mut self) -> BoxFuture<'_, Result<Written>> {
        async move {
            let noted = self.progress.noted()?;
            let (mut up_to, mut begun) = (noted.position, noted.next);
            // It was only not noted as done.
            if begun.is_some() && begun == self.written {
                up_to = begun.take();
            }
            self.noted.clone_from(&up_to);
            self.written.clone_from(&up_to);
            Ok(Written { up_to, begun })
        }
        .boxed()
    }

    fn take<'a>(
        &'a mut self,
        delta: &'a Delta,
        position: &'a OffsetVector,
    ) -> BoxFuture<'a, Result<()>> {
        self.write(delta, position).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        std::future::ready(Ok(())).boxed()
    }

    fn kept_from(&self) -> Option<&OffsetVector> {
        self.noted.as_ref()
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn due(&self) -> Option<Instant> {
        None
    }
}
