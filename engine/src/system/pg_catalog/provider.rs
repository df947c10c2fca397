//! One of PostgreSQL's relations as a DataFusion table: filled when it is scanned, with the columns that are read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;

use super::super::System;
use super::rows::{Fill, Rows};
use crate::postgres::facts::SystemRelation;

#[derive(Debug)]
pub(in crate::system) struct Relation {
    relation: &'static SystemRelation,
    fill: Option<Fill>,
    schema: SchemaRef,
    system: System,
    /// What was filled already, by the columns that were read: a statement that scans the relation many times, as one with
    /// subqueries does, sees it as it was at the first look.
    filled: Mutex<HashMap<Option<Vec<usize>>, RecordBatch>>,
}

impl Relation {
    pub(in crate::system) fn provider(
        relation: &'static SystemRelation,
        fill: Option<Fill>,
        system: System,
    ) -> Arc<dyn TableProvider> {
        let columns = relation.columns.iter();
        let fields = columns.map(|column| column.pg_type.field(column.name));
        Arc::new(Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            relation,
            fill,
            system,
            filled: Mutex::default(),
        })
    }

    /// The rows, with these columns in this order.
    fn rows(&self, projection: Option<&Vec<usize>>) -> Result<RecordBatch> {
        let mut filled = self.filled.lock();
        if let Some(batch) = filled.get(&projection.cloned()) {
            return Ok(batch.clone());
        }
        let mut rows = Rows::new(self.relation, projection.map(Vec::as_slice));
        if let Some(fill) = self.fill {
            fill(&self.system, &mut rows)?;
        }
        let mut batch = rows.finish(self.relation)?;
        // The batch has the columns in the relation's order; a projection may want another.
        if let Some(projection) = projection {
            let mut sorted = projection.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let places = projection.iter();
            let places = places.filter_map(|at| sorted.binary_search(at).ok());
            batch = batch.project(&places.collect::<Vec<_>>())?;
        }
        filled.insert(projection.cloned(), batch.clone());
        Ok(batch)
    }
}

#[async_trait]
impl TableProvider for Relation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match self.relation.kind {
            'r' => TableType::Base,
            _ => TableType::View,
        }
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = self.rows(projection)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        table.scan(state, None, filters, limit).await
    }
}
