//! A relation that is planned by itself: nothing from outside gets in between its operators.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use weir_streaming::GuardExec;

/// A plan as a relation that takes no filters: those of its reader stay above it.
#[derive(Debug)]
pub(super) struct Guarded {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Guarded {
    pub(super) fn new(plan: LogicalPlan) -> Self {
        Self {
            schema: Arc::new(plan.schema().as_arrow().clone()),
            plan,
        }
    }
}

#[async_trait]
impl TableProvider for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = LogicalPlanBuilder::from(self.plan.clone());
        if let Some(columns) = projection {
            plan = plan.select(columns.iter().copied())?;
        }
        if limit.is_some() {
            plan = plan.limit(0, limit)?;
        }
        let inner = state.create_physical_plan(&plan.build()?).await?;
        Ok(Arc::new(GuardExec::new(inner)))
    }
}
