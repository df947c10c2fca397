//! A table at an offset, for DataFusion.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;
use weir_base::Offset;

use super::KeyedTable;
use super::state::Chunk;
use crate::topic::row::ColumnWriter;

/// The rows of a table at an offset. Writers go on beside it.
#[derive(Debug)]
pub(super) struct Snapshot {
    table: KeyedTable,
    chunks: Vec<Arc<Chunk>>,
    at: Offset,
    schema: SchemaRef,
    /// Whether the table's index knows the versions of these chunks.
    indexed: bool,
}

impl Snapshot {
    pub(super) fn new(
        table: &KeyedTable,
        chunks: Vec<Arc<Chunk>>,
        at: Offset,
        with_hidden: bool,
        indexed: bool,
    ) -> Self {
        let schema = if with_hidden {
            table.0.rows.schema_with_hidden()
        } else {
            Arc::clone(table.0.rows.schema())
        };
        Self {
            table: table.clone(),
            chunks,
            at,
            schema,
            indexed,
        }
    }

    /// The rows, with these columns.
    fn batches(&self, columns: &[usize]) -> datafusion::common::Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for chunk in self
            .chunks
            .iter()
            .filter(|chunk| chunk.first_offset() < self.at.0)
        {
            let batch = chunk.batch().project(columns)?;
            let batch = match chunk.visible(self.at) {
                None => batch,
                Some(shown) => filter_record_batch(&batch, &shown)?,
            };
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(batches)
    }

    /// The one row that can pass, when a filter gives the primary key; none when that is not known.
    fn one_row(&self, filters: &[Expr], columns: &[usize]) -> Option<Vec<RecordBatch>> {
        if !self.indexed {
            return None;
        }
        let value = filters.iter().find_map(|filter| self.key_value(filter))?;
        let key = self.key_bytes(&value)?;
        let state = self.table.0.state.read();
        let offset = state.find(&key)?;
        if offset >= self.at.0 {
            // It was written later; which row there was before, the index does not know.
            return None;
        }
        let (chunk, row) = state.locate(offset)?;
        Some(vec![chunk.batch().project(columns).ok()?.slice(row, 1)])
    }

    /// The value that a filter `key = value` gives the only key column.
    fn key_value(&self, filter: &Expr) -> Option<ScalarValue> {
        let [key] = self.table.0.rows.key() else {
            return None;
        };
        let column = &self.table.0.rows.columns().get(*key)?.field;
        let Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) = filter
        else {
            return None;
        };
        let (name, value) = match (&**left, &**right) {
            (Expr::Column(name), Expr::Literal(value, _))
            | (Expr::Literal(value, _), Expr::Column(name)) => (name, value),
            _ => return None,
        };
        // A float equals others that are written otherwise.
        let same = name.name == *column.name() && value.data_type() == *column.data_type();
        (same && !column.data_type().is_floating() && !value.is_null()).then(|| value.clone())
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

#[async_trait]
impl TableProvider for Snapshot {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.key_value(filter) {
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&columns)?);
        let batches = match self.one_row(filters, &columns) {
            Some(one) => one,
            None => self.batches(&columns)?,
        };
        let parts = state
            .config()
            .target_partitions()
            .max(1)
            .min(batches.len().max(1));
        let mut partitions = vec![Vec::new(); parts];
        for (at, batch) in batches.into_iter().enumerate() {
            if let Some(partition) = partitions.get_mut(at % parts) {
                partition.push(batch);
            }
        }
        let source = MemorySourceConfig::try_new(&partitions, schema, None)?.with_limit(limit);
        Ok(datafusion::datasource::source::DataSourceExec::from_data_source(source))
    }
}
