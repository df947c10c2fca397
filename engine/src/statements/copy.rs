//! `COPY`: to a location, to the client, and from it.

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use weir_base::SqlState;
use weir_catalog::ObjectKind;
use weir_sql::statement::{self, CopySource};

use super::{Execution, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::{Reading, files};

impl Execution {
    pub(super) async fn copy_to(&self, copy: statement::Copy) -> Result<Answer> {
        if copy.target.is_none() && !self.request.copies_out {
            return Err(
                Error::unsupported("COPY … TO STDOUT is for the PostgreSQL protocol")
                    .with_hint("send the query itself: its answer is CSV with Accept: text/csv"),
            );
        }
        let query = match &copy.source {
            CopySource::Query(query) => query.as_ref().clone(),
            CopySource::Table(name, columns) => select_all(name, columns)?,
        };
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        let plan = planner.query(&query, &self.request.parameters).await?;
        let Some(target) = copy.target.clone() else {
            // Its rows; in which format they go is the door's to say.
            return self.run_bounded(&planner, &plan).await;
        };
        let plan = files::copy_plan(&planner, plan, &target, &copy)?;
        let rows = self.run_to_count(&planner, &plan).await?;
        self.wrote("COPY", rows)
    }

    /// `COPY t FROM STDIN`: the rows that the door has read.
    pub(super) async fn copy_from(&self, copy: statement::CopyFrom) -> Result<Answer> {
        let Some(copied) = &self.request.copied else {
            return Err(Error::unsupported("COPY … FROM is not supported here").with_hint(
                "COPY t FROM STDIN over the PostgreSQL protocol, INSERT INTO t SELECT * FROM read_csv('…'), or POST /v1/topics/{name}/records",
            ));
        };
        // The statement has no row: it is made here, from what the copy names.
        let columns = columns_in_brackets(&copy.columns);
        let names = copied.schema.fields().iter();
        let names = names.map(|field| weir_catalog::quote_ident(field.name()));
        let names = names.collect::<Vec<_>>().join(", ");
        let source = weir_catalog::quote_ident(COPIED);
        let sql = format!(
            "INSERT INTO {}{columns} SELECT {names} FROM {source}",
            copy.table
        );
        let parsed = crate::text::parse_one(&sql).map_err(Error::without_position)?;
        let statement::Statement::Insert(insert) = parsed.statement else {
            return Err(Error::new(
                weir_base::Kind::Internal,
                "a copy that is no INSERT",
            ));
        };
        let batches = &copied.batches;
        let schema = batches.first().map_or_else(
            || std::sync::Arc::clone(&copied.schema),
            arrow::record_batch::RecordBatch::schema,
        );
        // Batches differ where one has nothing but nulls in a column: each is brought to the first.
        let batches = batches.iter().map(|batch| as_schema(batch, &schema));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let rows = MemTable::try_new(schema, vec![batches])?;
        self.insert_from(insert, Some(std::sync::Arc::new(rows)), "COPY")
            .await
    }

    /// The columns that `COPY t FROM STDIN` takes, in their order.
    pub(crate) fn copy_columns(&self, copy: &statement::CopyFrom) -> Result<SchemaRef> {
        let name = self.name(&copy.table)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .relation(&name)
            .map_err(|error| Error::from(error).with_position(position_of(&copy.table)))?;
        crate::ingest::refuse_mirror(entry)?;
        if !matches!(entry.kind(), ObjectKind::Stream | ObjectKind::Table) {
            return Err(Error::invalid(
                SqlState::WRONG_OBJECT_TYPE,
                format!("cannot copy to {}", entry.describe()),
            )
            .with_position(position_of(&copy.table)));
        }
        if copy.columns.is_empty() {
            return Ok(entry.arrow_schema());
        }
        let mut fields: Vec<Field> = Vec::with_capacity(copy.columns.len());
        for column in &copy.columns {
            let wanted = normalized(column);
            let found = entry.column(&wanted).ok_or_else(|| {
                Error::invalid(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column {wanted:?} not found in {}", entry.describe()),
                )
                .with_position(super::ident_position(column))
            })?;
            if fields.iter().any(|field| *field.name() == wanted) {
                return Err(Error::invalid(
                    SqlState::DUPLICATE_COLUMN,
                    format!("column {wanted:?} is named twice"),
                )
                .with_position(super::ident_position(column)));
            }
            fields.push(found.field());
        }
        Ok(std::sync::Arc::new(Schema::new(fields)))
    }

    /// Runs a plan that writes, within the limits, and gives the count that it answers.
    pub(super) async fn run_to_count(
        &self,
        planner: &crate::planning::Planner,
        plan: &datafusion::logical_expr::LogicalPlan,
    ) -> Result<u64> {
        let physical = planner.physical(plan).await?;
        let context = planner.task_context();
        let _admitted = self.engine.admission.bounded(&self.running).await?;
        self.running.runs(Some(std::sync::Arc::clone(&physical)));
        let work = async move {
            let mut batches = datafusion::physical_plan::execute_stream(physical, context)?;
            let mut rows = 0;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let counts = batch.columns().first().and_then(|column| {
                    column
                        .as_any()
                        .downcast_ref::<arrow::array::UInt64Array>()
                        .map(|counts| counts.values().iter().sum::<u64>())
                });
                rows += counts.unwrap_or(0);
            }
            Ok(rows)
        };
        self.engine.lanes.run(crate::lanes::Lane::Heavy, work).await
    }
}

/// The name under which a copy finds its rows. No catalog has it.
pub(super) const COPIED: &str = "\u{1}copied";

fn columns_in_brackets(columns: &[ast::Ident]) -> String {
    match columns {
        [] => String::new(),
        columns => {
            let names = columns
                .iter()
                .map(|column| weir_catalog::quote_ident(&normalized(column)));
            format!(" ({})", names.collect::<Vec<_>>().join(", "))
        }
    }
}

fn as_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let columns =
        columns.map(|(column, field)| Ok(arrow::compute::cast(column, field.data_type())?));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(
        std::sync::Arc::clone(schema),
        columns,
    )?)
}

/// `SELECT columns FROM name`.
fn select_all(name: &ast::ObjectName, columns: &[ast::Ident]) -> Result<ast::Query> {
    let columns = match columns {
        [] => "*".to_owned(),
        columns => columns
            .iter()
            .map(|column| weir_catalog::quote_ident(&normalized(column)))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let parsed = crate::text::parse_one(&format!("SELECT {columns} FROM {name}"))?;
    match parsed.statement {
        statement::Statement::Query(query) => Ok(*query.query),
        _ => Err(Error::unsupported(format!("COPY {name}"))),
    }
}
