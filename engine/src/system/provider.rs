//! A system table as a DataFusion table: made when it is scanned.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::System;
use super::rows::Definition;

#[derive(Debug)]
pub(super) struct SystemTable {
    definition: &'static Definition,
    schema: SchemaRef,
    system: System,
}

impl SystemTable {
    pub(super) fn provider(
        definition: &'static Definition,
        system: System,
    ) -> Arc<dyn TableProvider> {
        Arc::new(Self {
            schema: definition.schema(),
            definition,
            system,
        })
    }
}

#[async_trait]
impl TableProvider for SystemTable {
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
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = self.definition.batch(&self.system)?;
        let rows = MemTable::try_new(Arc::clone(&self.schema), vec![vec![batch]])?;
        rows.scan(state, projection, filters, limit).await
    }
}
