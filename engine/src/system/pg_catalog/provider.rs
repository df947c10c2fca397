//! One of PostgreSQL's relations as a DataFusion table: filled when it is scanned, with the columns that are read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::Mutex;

use super::super::System;
use super::rows::{Fill, Only, Rows};
use crate::postgres::facts::SystemRelation;

#[derive(Debug)]
pub(in crate::system) struct Relation {
    relation: &'static SystemRelation,
    fill: Option<Fill>,
    schema: SchemaRef,
    system: System,
    /// What was filled already, by the columns and the rows that were read: a statement that scans the relation many times, as one with
    /// subqueries does, sees it as it was at the first look.
    filled: Mutex<HashMap<Read, RecordBatch>>,
}

/// What of a relation is read: columns, and rows.
type Read = (Option<Vec<usize>>, Option<Only>);

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

    /// The rows, with these columns in this order; where only some have to be given, at least those.
    fn rows(&self, projection: Option<&Vec<usize>>, only: Option<Only>) -> Result<RecordBatch> {
        let mut filled = self.filled.lock();
        let key = (projection.cloned(), only);
        if let Some(batch) = filled.get(&key) {
            return Ok(batch.clone());
        }
        let mut rows = Rows::new(self.relation, projection.map(Vec::as_slice), only);
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
        filled.insert(key, batch.clone());
        Ok(batch)
    }

    /// The rows that a filter `column = number` leaves, of a column of type `oid`.
    fn only(&self, filter: &Expr) -> Option<Only> {
        let Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) = filter
        else {
            return None;
        };
        match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(ScalarValue::UInt32(Some(oid)), _))
            | (Expr::Literal(ScalarValue::UInt32(Some(oid)), _), Expr::Column(column)) => {
                let mut columns = self.relation.columns.iter();
                let column = columns.find(|it| it.name == column.name)?;
                Some(Only {
                    column: column.name,
                    oid: *oid,
                })
            }
            _ => None,
        }
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

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let kinds = filters.iter().map(|filter| match self.only(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        });
        Ok(kinds.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let only = filters.iter().find_map(|filter| self.only(filter));
        let batch = self.rows(projection, only)?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        table.scan(state, None, filters, limit).await
    }
}
