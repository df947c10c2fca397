//! A topic as a table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use weir_topics::Topic;

use super::bounds::Bounds;
use super::history::HistoryView;
use super::hold::TopicHold;
use super::scan::{DecodedRows, TopicScanExec};
use super::schema::RowSchema;

/// The rows of a topic up to fixed offsets, as a table.
///
/// What [history](super::History) has in Parquet is read there, the rest from the log. Filters on `_partition`, `_offset` and
/// `_timestamp` decide what is read; `count(*)` without others reads nothing.
#[derive(Debug)]
pub struct StreamTable {
    hold: TopicHold,
    history: Option<HistoryView>,
    rows: Arc<RowSchema>,
    is_live: bool,
    with_hidden: bool,
    schema: SchemaRef,
    decoded: Option<Arc<DecodedRows>>,
}

impl StreamTable {
    /// The rows of a topic within what `hold` holds. `with_hidden` adds the hidden columns to the schema: so that `SELECT *` does
    /// not show them, they are there only for a query that names one.
    pub fn new(hold: TopicHold, rows: Arc<RowSchema>, with_hidden: bool) -> Self {
        let schema = if with_hidden {
            rows.schema_with_hidden()
        } else {
            Arc::clone(rows.read_schema())
        };
        Self {
            hold,
            history: None,
            rows,
            is_live: false,
            with_hidden,
            schema,
            decoded: None,
        }
    }

    /// Reads what is in `history` there. It is to be looked at after the topic is held.
    #[must_use]
    pub fn with_history(mut self, history: HistoryView) -> Self {
        self.history = (!history.is_empty()).then_some(history);
        self
    }

    /// Keeps the rows of the log's tail where other queries find them. A query that goes on reads each row once, and keeps none.
    #[must_use]
    pub fn keeping(mut self, decoded: Arc<DecodedRows>) -> Self {
        self.decoded = Some(decoded);
        self
    }

    /// Plans one node that can be run again over the next range, for a query that goes on.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.is_live = true;
        self
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        self.hold.topic()
    }

    fn plan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> crate::Result<Arc<dyn ExecutionPlan>> {
        let columns = self.schema.fields().len();
        let projection = projection
            .cloned()
            .unwrap_or_else(|| (0..columns).collect());
        let bounds = if self.with_hidden {
            Bounds::of(filters)
        } else {
            Bounds::default()
        };
        let parts = session.config().target_partitions();
        let (hold, rows) = (&self.hold, &self.rows);
        let history = match &self.history {
            Some(history) if !self.is_live => history,
            history => {
                let history = history.as_ref();
                let scan =
                    TopicScanExec::new(hold, history, rows, projection, bounds, limit, parts)?;
                let decoded = self.decoded.clone().filter(|_| !self.is_live);
                return Ok(Arc::new(scan.keeping(decoded)));
            }
        };
        let (log, files) = TopicScanExec::beside_history(
            hold,
            history,
            rows,
            projection.clone(),
            bounds,
            limit,
            parts,
        )?;
        let log: Arc<dyn ExecutionPlan> = Arc::new(log.keeping(self.decoded.clone()));
        if files.is_empty() {
            return Ok(log);
        }
        let environment = (session.runtime_env().as_ref(), session.config_options());
        let mut plans = history
            .plans(environment, rows, files, &projection, limit, parts)
            .map_err(crate::files::internal)?;
        // The log's part stays even when it has no rows: it holds what the others read.
        plans.push(log);
        UnionExec::try_new(plans).map_err(crate::files::internal)
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
                true => match Bounds::pushdown(filter) {
                    // A file is passed over by them, and no row of one that is read.
                    TableProviderFilterPushDown::Exact if self.history.is_some() => {
                        TableProviderFilterPushDown::Inexact
                    }
                    pushdown => pushdown,
                },
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
        self.plan(state, projection, filters, limit)
            .map_err(DataFusionError::from)
    }
}
