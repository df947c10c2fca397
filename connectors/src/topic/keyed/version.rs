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

/// What an index says of a key.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The one row that has it.
    Row(RecordBatch),
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

    /// Whether the table's index tells which row has this primary key, of one column, without a look at other rows.
    pub(super) fn knows_key(&self, value: &ScalarValue) -> bool {
        if value.is_null() {
            return true;
        }
        let Some(key) = self.key_bytes(value).filter(|_| self.indexed) else {
            return false;
        };
        let found = self.table.0.state.read().find(&key);
        match found {
            Some(offset) => offset < self.at.0,
            None => self.is_untouched(),
        }
    }

    /// Whether nobody has written the rows of this version since.
    fn is_untouched(&self) -> bool {
        self.chunks().all(|chunk| chunk.is_untouched_from(self.at))
    }

    /// The row whose primary key, of one column, is `value`.
    pub(super) fn row_of_key(&self, value: &ScalarValue, columns: &[usize]) -> Lookup {
        if value.is_null() {
            return Lookup::Nothing;
        }
        let Some(key) = self.key_bytes(value).filter(|_| self.indexed) else {
            return Lookup::Unknown;
        };
        let state = self.table.0.state.read();
        match state.find(&key) {
            // Which row there was before it was written, the index does not know.
            Some(offset) if offset >= self.at.0 => Lookup::Unknown,
            Some(offset) => {
                let row = state.locate(offset);
                let row = row.map(|(chunk, row)| (chunk.batch().project(columns), row));
                match row {
                    Some((Ok(batch), row)) => Lookup::Row(batch.slice(row, 1)),
                    _ => Lookup::Unknown,
                }
            }
            // What has been deleted since then had it, maybe.
            None if self.is_untouched() => Lookup::Nothing,
            None => Lookup::Unknown,
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
