//! A table in a plan, and which of its versions a run of the plan reads.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use parking_lot::RwLock;
use weir_base::Offset;

use super::KeyedTable;
use super::scan::TableScanExec;
use super::version::Version;
use crate::Result;

/// A table that plans read, and the version that their next run reads. Clones are the same.
///
/// A plan is most often run once, over the version that was there when it was made. One that is kept is bound to another before each
/// run.
#[derive(Debug, Clone)]
pub struct BoundTable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: KeyedTable,
    schema: SchemaRef,
    version: RwLock<Option<Arc<Version>>>,
    is_reused: bool,
}

impl BoundTable {
    /// A table that is bound to no version yet.
    pub(super) fn new(table: KeyedTable, with_hidden: bool, is_reused: bool) -> Self {
        let schema = match with_hidden {
            true => table.0.rows.schema_with_hidden(),
            false => Arc::clone(table.0.rows.schema()),
        };
        Self(Arc::new(Inner {
            table,
            schema,
            version: RwLock::new(None),
            is_reused,
        }))
    }

    /// The table.
    pub fn table(&self) -> &KeyedTable {
        &self.0.table
    }

    /// Has the next run read the rows at an offset: what all records before it left, and none from it on. One that lies far back may
    /// have to be read from the log.
    ///
    /// # Errors
    /// When `at` is not durable yet, or a record cannot be read.
    pub async fn bind(&self, at: Offset) -> Result<()> {
        let version = self.0.table.version(at).await?;
        self.read(version);
        Ok(())
    }

    /// Lets go of the version that was read last.
    pub fn release(&self) {
        *self.0.version.write() = None;
    }

    /// The table that a [provider](Self::provider) stands for.
    pub fn of(provider: &dyn TableProvider) -> Option<&Self> {
        let provider = provider.downcast_ref::<Provider>();
        provider.map(|provider| &provider.0)
    }

    /// At most how many rows the next run reads; zero where it is bound to no version.
    pub fn rows_max(&self) -> usize {
        self.version().map_or(0, |version| version.rows_max())
    }

    /// The table for DataFusion.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        Arc::new(Provider(self.clone()))
    }

    pub(super) fn read(&self, version: Version) {
        *self.0.version.write() = Some(Arc::new(version));
    }

    pub(super) fn version(&self) -> Option<Arc<Version>> {
        self.0.version.read().clone()
    }

    /// Whether it is bound to other versions once a plan was made over it: then nothing of a version may go into the plan.
    pub fn is_reused(&self) -> bool {
        self.0.is_reused
    }

    /// The value that a filter `key = value` gives the only column of the key: an expression without columns, of its type.
    fn key_value<'a>(&self, filter: &'a Expr) -> Option<&'a Expr> {
        let rows = &self.0.table.0.rows;
        let [key] = rows.key() else {
            return None;
        };
        let column = &rows.columns().get(*key)?.field;
        let Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) = filter
        else {
            return None;
        };
        let (name, value) = match (&**left, &**right) {
            (Expr::Column(name), value) | (value, Expr::Column(name)) => (name, value),
            _ => return None,
        };
        let is_constant = !value.any_column_refs() && !has_subquery(value);
        let same = name.name == *column.name()
            && is_constant
            && value
                .get_type(&DFSchema::empty())
                .is_ok_and(|data_type| data_type == *column.data_type());
        // A float equals others that are written otherwise.
        (same && !column.data_type().is_floating()).then_some(value)
    }
}

fn has_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let found = expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    });
    found.unwrap_or(true)
}

/// What a key is compared with, as a run computes it; none where that fails, which the filter will say.
pub(super) fn computed(value: &Arc<dyn PhysicalExpr>) -> Option<ScalarValue> {
    use arrow::array::{RecordBatch, RecordBatchOptions};
    use arrow::datatypes::Schema;
    use datafusion::logical_expr::ColumnarValue;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let nothing = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
    match value.evaluate(&nothing.ok()?).ok()? {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0).ok(),
    }
}

#[derive(Debug)]
struct Provider(BoundTable);

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.0.schema)
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
            .map(|filter| match self.0.key_value(filter) {
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
        let schema = &self.0.0.schema;
        let columns = match projection {
            Some(columns) => columns.clone(),
            None => (0..schema.fields().len()).collect(),
        };
        let key = filters.iter().find_map(|filter| self.0.key_value(filter));
        let key = key.map(|key| state.create_physical_expr(key.clone(), &DFSchema::empty()));
        let key = key.transpose()?;
        let chunks = self
            .0
            .version()
            .map_or(0, |version| version.chunks().count());
        let partitions = match key {
            Some(_) => 1,
            None => chunks.min(state.config().target_partitions()).max(1),
        };
        let schema = Arc::new(schema.project(&columns)?);
        Ok(Arc::new(TableScanExec::new(
            self.0.clone(),
            (columns, schema),
            key,
            limit,
            partitions,
        )))
    }
}
