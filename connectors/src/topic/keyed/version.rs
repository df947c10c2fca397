//! The rows of a table at an offset. Writers go on beside it.

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use datafusion::common::ScalarValue;
use weir_base::Offset;

use super::KeyedTable;
use super::state::Chunk;
use crate::topic::row::ColumnWriter;

/// The rows of a table at an offset.
#[derive(Debug)]
pub(super) struct Version {
    table: KeyedTable,
    chunks: Vec<Arc<Chunk>>,
    at: Offset,
    /// Whether the table's index knows these rows.
    indexed: bool,
    rows: OnceLock<usize>,
}

/// What an index says of a key: the offset of the one row that has it, or the row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup<T> {
    Found(T),
    /// No row has it.
    Nothing,
    /// Not what was at this offset: the rows have to be looked through.
    Unknown,
}

impl Version {
    pub(super) fn new(
        table: KeyedTable,
        chunks: Vec<Arc<Chunk>>,
        at: Offset,
        indexed: bool,
    ) -> Self {
        Self {
            table,
            chunks,
            at,
            indexed,
            rows: OnceLock::new(),
        }
    }

    /// The chunks that have rows at this offset, in their order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        let shown = |chunk: &&Arc<Chunk>| chunk.first_offset() < self.at.0;
        self.chunks.iter().filter(shown)
    }

    /// How many rows there are. They are counted when this is first asked, as far as writers have touched them.
    pub(super) fn rows(&self) -> usize {
        *self.rows.get_or_init(|| {
            let shown = |chunk: &Arc<Chunk>| {
                let visible = chunk.visible(self.at);
                visible.map_or(chunk.rows(), |visible| visible.true_count())
            };
            self.chunks().map(shown).sum()
        })
    }

    /// At most how many rows there are, without counting them.
    pub(super) fn rows_max(&self) -> usize {
        self.chunks().map(|chunk| chunk.rows()).sum()
    }

    /// At most how many bytes they take.
    pub(super) fn bytes_max(&self) -> usize {
        self.chunks().map(|chunk| chunk.size_bytes()).sum()
    }

    /// The rows of a chunk, with these columns.
    pub(super) fn rows_of(
        &self,
        chunk: &Chunk,
        columns: &[usize],
    ) -> datafusion::common::Result<RecordBatch> {
        let batch = chunk.batch().project(columns)?;
        Ok(match chunk.visible(self.at) {
            None => batch,
            Some(shown) => filter_record_batch(&batch, &shown)?,
        })
    }

    /// The offset of the row whose primary key, of one column, is `value`.
    pub(super) fn offset_of_key(&self, value: &ScalarValue) -> Lookup<i64> {
        if value.is_null() {
            return Lookup::Nothing;
        }
        let Some(key) = self.key_bytes(value).filter(|_| self.indexed) else {
            return Lookup::Unknown;
        };
        let found = self.table.0.state.read().find(&key);
        match found {
            Some(offset) if offset < self.at.0 => Lookup::Found(offset),
            // Which row there was before it was written, the index does not know.
            Some(_) => Lookup::Unknown,
            None if self.chunks().all(|chunk| chunk.is_untouched_from(self.at)) => Lookup::Nothing,
            // What has been deleted since then had it, maybe.
            None => Lookup::Unknown,
        }
    }

    /// The row whose primary key, of one column, is `value`.
    pub(super) fn row_of_key(&self, value: &ScalarValue, columns: &[usize]) -> Lookup<RecordBatch> {
        let offset = match self.offset_of_key(value) {
            Lookup::Found(offset) => offset,
            Lookup::Nothing => return Lookup::Nothing,
            Lookup::Unknown => return Lookup::Unknown,
        };
        let state = self.table.0.state.read();
        let row = state.locate(offset);
        let row = row.map(|(chunk, row)| (chunk.batch().project(columns), row));
        match row {
            Some((Ok(batch), row)) => Lookup::Found(batch.slice(row, 1)),
            _ => Lookup::Unknown,
        }
    }

    fn key_bytes(&self, value: &ScalarValue) -> Option<Vec<u8>> {
        let key = *self.table.0.rows.key().first()?;
        let field = &self.table.0.rows.columns().get(key)?.field;
        let array = value.to_array().ok()?;
        let mut bytes = Vec::new();
        let writer = ColumnWriter::new(field, array.as_ref()).ok()?;
        writer.write_bare(0, &mut bytes, &mut String::new()).ok()?;
        Some(bytes)
    }
}
