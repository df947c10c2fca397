//! `COPY … TO 'location'`.

use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use weir_sql::statement::{self, CopySource};

use super::{Execution, normalized};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::{Reading, files};

impl Execution {
    pub(super) async fn copy_to(&self, copy: statement::Copy) -> Result<Answer> {
        let Some(target) = copy.target.clone() else {
            return Err(Error::unsupported("COPY … TO STDOUT is not supported yet")
                .with_hint("send the query itself: its answer is CSV with Accept: text/csv"));
        };
        let query = match &copy.source {
            CopySource::Query(query) => query.as_ref().clone(),
            CopySource::Table(name, columns) => select_all(name, columns)?,
        };
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        let plan = planner.query(&query, &self.request.parameters).await?;
        let plan = files::copy_plan(&planner, plan, &target, &copy)?;
        let rows = self.run_to_count(&planner, &plan).await?;
        self.wrote("COPY", rows)
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
