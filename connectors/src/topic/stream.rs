//! A topic as a table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use weir_base::Offset;
use weir_topics::Topic;

use super::bounds::Bounds;
use super::scan::TopicScanExec;
use super::schema::RowSchema;

/// The rows of a topic up to fixed offsets, as a table.
///
/// Filters on `_partition`, `_offset` and `_timestamp` decide what is read; `count(*)` without others reads nothing.
#[derive(Debug)]
pub struct StreamTable {
    topic: Topic,
    rows: Arc<RowSchema>,
    from: Vec<Offset>,
    to: Vec<Offset>,
    with_hidden: bool,
    schema: SchemaRef,
}

impl StreamTable {
    /// The rows of each partition before its offset in `ends`. `with_hidden` adds the hidden columns to the schema: so that
    /// `SELECT *` does not show them, they are there only for a query that names one.
    pub fn new(topic: Topic, rows: Arc<RowSchema>, ends: Vec<Offset>, with_hidden: bool) -> Self {
        let schema = if with_hidden {
            rows.schema_with_hidden()
        } else {
            Arc::clone(rows.read_schema())
        };
        Self {
            topic,
            rows,
            from: Vec::new(),
            to: ends,
            with_hidden,
            schema,
        }
    }

    /// Leaves out the rows of each partition before its offset in `starts`.
    #[must_use]
    pub fn starting_at(mut self, starts: Vec<Offset>) -> Self {
        self.from = starts;
        self
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    fn plan(
        &self,
        parts: usize,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> crate::Result<TopicScanExec> {
        let columns = self.schema.fields().len();
        let projection = projection
            .cloned()
            .unwrap_or_else(|| (0..columns).collect());
        let bounds = if self.with_hidden {
            Bounds::of(filters)
        } else {
            Bounds::default()
        };
        TopicScanExec::new(
            &self.topic,
            &self.rows,
            projection,
            bounds,
            limit,
            (&self.from, &self.to),
            parts,
        )
    }
}

#[async_trait]
impl TableProvider for StreamTable {
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
            .map(|filter| match self.with_hidden {
                true => Bounds::pushdown(filter),
                false => TableProviderFilterPushDown::Unsupported,
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
        let parts = state.config().target_partitions();
        let plan = self
            .plan(parts, projection, filters, limit)
            .map_err(DataFusionError::from)?;
        Ok(Arc::new(plan))
    }
}
