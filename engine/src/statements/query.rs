//! `SELECT` up to now. Live queries are in [`super::live`].

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;
use weir_sql::statement;

use super::Execution;
use super::live::Start;
use crate::answer::Answer;
use crate::error::Result;
use crate::execution::{Bounds, is_small, is_tiny, run_plan, run_tiny};
use crate::planning::{Planner, Reading};

impl Execution {
    pub(super) async fn query(&self, query: statement::Query) -> Result<Answer> {
        match query.emit {
            None => self.bounded(&query.query).await,
            Some(emit) => {
                let envelope = self.request.envelope;
                let start = Start::History;
                self.live(&query.query, emit, start, envelope).await
            }
        }
    }

    async fn bounded(&self, query: &ast::Query) -> Result<Answer> {
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        let plan = planner.query(query, &self.request.parameters).await?;
        self.run_bounded(&planner, &plan).await
    }

    /// Runs a bounded logical plan in the lane that suits it.
    pub(super) async fn run_bounded(
        &self,
        planner: &Planner,
        plan: &LogicalPlan,
    ) -> Result<Answer> {
        let physical = planner.physical(plan).await?;
        let context = planner.task_context();
        let bounds = self.bounds(Some(self.deadline));
        // Of what a text names, all that is not in the catalog is made for it.
        let reads_itself = || planner.named_objects().is_empty();
        if is_tiny(physical.as_ref()) || (is_small(physical.as_ref()) && reads_itself()) {
            return run_tiny(&self.engine, &self.running, physical, context, bounds).await;
        }
        let admitted = self.engine.admission.bounded(&self.running).await?;
        Ok(run_plan(
            &self.engine,
            &self.running,
            physical,
            context,
            bounds,
            admitted,
        ))
    }

    pub(super) fn bounds(
        &self,
        deadline: Option<(tokio::time::Instant, std::time::Duration)>,
    ) -> Bounds {
        let limits = &self.engine.settings.limits;
        let cut_after = match (self.request.row_limit, self.variables.row_limit()) {
            (Some(request), Some(session)) => Some(request.min(session)),
            (request, session) => request.or(session),
        };
        Bounds {
            deadline,
            cut_after,
            ends_after: None,
            rows_max: limits.result_rows,
            bytes_max: limits.result_bytes.map(|size| size.0),
        }
    }
}
