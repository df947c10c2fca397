//! What a transaction sees of something that it has written to itself: the rows of its moment, but for those that it has
//! changed, and its own.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::{Column, JoinType};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use weir_catalog::Entry;

use crate::error::Result;
use crate::transaction::Written;

/// The name of the key among hidden columns.
const KEY: &str = "_key";

/// A table as the transaction sees it; `rows` are those of its moment, with hidden columns.
pub(super) fn over_table(
    rows: Arc<dyn TableProvider>,
    entry: &Entry,
    written: Written,
) -> Result<Arc<dyn TableProvider>> {
    let schema = entry.arrow_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| Expr::Column(Column::new(Some("rows"), field.name())).alias(field.name()));
    let columns: Vec<Expr> = columns.collect();
    let rows = LogicalPlanBuilder::scan("rows", provider_as_source(rows), None)?;
    let touched = Schema::new(vec![Field::new(KEY, DataType::Binary, false)]);
    let keys: ArrayRef = Arc::new(written.touched);
    let keys = RecordBatch::try_new(Arc::new(touched), vec![keys])?;
    let keys = MemTable::try_new(keys.schema(), vec![vec![keys]])?;
    let keys = LogicalPlanBuilder::scan("touched", provider_as_source(Arc::new(keys)), None)?;
    let on = |relation: &str| vec![Column::new(Some(relation), KEY)];
    let unchanged = rows
        .join(
            keys.build()?,
            JoinType::LeftAnti,
            (on("rows"), on("touched")),
            None,
        )?
        .project(columns)?;
    seen(unchanged, own(&schema, written.rows)?)
}

/// A stream as the transaction sees it.
pub(super) fn over_stream(
    rows: Arc<dyn TableProvider>,
    written: Written,
) -> Result<Arc<dyn TableProvider>> {
    let schema = rows.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| Expr::Column(Column::new(Some("rows"), field.name())).alias(field.name()));
    let columns: Vec<Expr> = columns.collect();
    let rows = LogicalPlanBuilder::scan("rows", provider_as_source(rows), None)?;
    seen(rows.project(columns)?, own(&schema, written.rows)?)
}

/// The transaction's own rows.
fn own(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<LogicalPlan> {
    let as_declared = |batch: RecordBatch| -> Result<RecordBatch> {
        let columns = batch.columns().iter().zip(schema.fields());
        let columns =
            columns.map(|(column, field)| Ok(arrow::compute::cast(column, field.data_type())?));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    };
    let batches = batches.into_iter().map(as_declared);
    let rows = MemTable::try_new(Arc::clone(schema), vec![batches.collect::<Result<_>>()?])?;
    let columns = schema
        .fields()
        .iter()
        .map(|field| Expr::Column(Column::new(Some("own"), field.name())).alias(field.name()));
    let columns: Vec<Expr> = columns.collect();
    let rows = LogicalPlanBuilder::scan("own", provider_as_source(Arc::new(rows)), None)?;
    Ok(rows.project(columns)?.build()?)
}

fn seen(rows: LogicalPlanBuilder, own: LogicalPlan) -> Result<Arc<dyn TableProvider>> {
    let plan = rows.union(own)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}
