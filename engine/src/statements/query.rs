//! `SELECT` up to now. Live queries are in [`super::live`].

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast;
use weir_sql::statement;

use super::Execution;
use super::live::Start;
use crate::answer::Answer;
use crate::error::Result;
use crate::execution::{Bounds, is_small, is_tiny, run_plan, run_tiny};
use crate::kept::{Asked, Lent, Place};
use crate::planning::{Made, Planner, Reading};

impl Execution {
    pub(super) async fn query(
        &self,
        query: statement::Query,
        place: Option<Place>,
    ) -> Result<Answer> {
        match query.emit {
            None => self.bounded(&query.query, place).await,
            Some(emit) => {
                let envelope = self.request.envelope;
                let start = Start::History;
                self.live(&query.query, emit, start, envelope).await
            }
        }
    }

    async fn bounded(&self, query: &ast::Query, place: Option<Place>) -> Result<Answer> {
        if let Some(asked) = &self.asked {
            self.engine.kept_plans.learn(asked, query);
            if let Some(place) = place
                && let Some(plan) = Box::pin(self.keep_plan(query, asked, place)).await
                && let Some(answer) = self.run_kept(plan, asked).await?
            {
                return Ok(answer);
            }
        }
        let planner = self.planner(self.snapshot(), Reading::Bounded);
        let plan = planner.query(query, &self.request.parameters).await?;
        self.run_bounded(&planner, &plan).await
    }

    /// Makes a plan that is kept, if the query has one.
    async fn keep_plan(&self, query: &ast::Query, asked: &Asked, place: Place) -> Option<Lent> {
        let made_on = place.made_on();
        let snapshot = self.snapshot();
        if !Arc::ptr_eq(&snapshot, &made_on.catalog)
            || !Arc::ptr_eq(self.rights.accounts(), &made_on.accounts)
        {
            return None;
        }
        let planner = self.planner(snapshot, Reading::Bounded).reused();
        let opened = asked.opened(query);
        let (query, are_literals) = (opened.as_ref().unwrap_or(query), opened.is_some());
        let plan = planner.reusable(query, asked.values(&self.request), are_literals);
        match plan.await {
            Ok(Made::Plan(plan)) => return Some(place.lend(*plan)),
            Ok(Made::Nothing) => place.is_unfit(),
            Ok(Made::NotForThese) => {}
            Ok(Made::LiteralsStay(parameters)) => {
                self.engine.kept_plans.close(asked, &parameters);
            }
            // What is wrong with it is told by who plans it in the usual way.
            Err(_) => place.is_unfit(),
        }
        None
    }

    /// Runs a query whose plan is kept; one that has become too large for it is planned anew.
    pub(crate) async fn run_again(&self, plan: Lent) -> Result<Answer> {
        if let Some(transaction) = &self.transaction {
            self.fix_moment(transaction).await;
        }
        let answer = match &self.asked {
            Some(asked) => self.run_kept(plan, asked).await?,
            None => None,
        };
        match answer {
            Some(answer) => Ok(answer),
            None => Box::pin(self.run(crate::text::parse_one(&self.request.sql)?, None)).await,
        }
    }

    async fn run_kept(&self, lent: Lent, asked: &Asked) -> Result<Option<Answer>> {
        let Some(kept) = lent.plan() else {
            return Ok(None);
        };
        let Some(values) = kept.settled(asked.values(&self.request)) else {
            return Ok(None);
        };
        // A definition that changes is committed before its table's rows are let go of.
        if !kept.tables().all(|table| self.engine.tables.is_open(table)) {
            lent.discard();
            return Ok(None);
        }
        let moment = match &self.transaction {
            Some(transaction) => Arc::clone(&transaction.moment),
            None => Arc::default(),
        };
        let reads = kept.reads();
        let shown = self.engine.show(&reads.views, &self.variables, &moment);
        if shown.await.is_err() {
            // Why, is told as the reader may know it by who plans it in the usual way.
            return Ok(None);
        }
        for (object, policies) in &reads.objects {
            let principal = self.rights.principal();
            self.running.reads(principal, *object, policies.clone());
        }
        if !Arc::ptr_eq(self.rights.accounts(), &self.engine.catalog.accounts()) {
            self.engine.end_if_revoked(&self.running);
        }
        let Some(plan) = kept.bound(&moment, values).await? else {
            lent.outgrown();
            return Ok(None);
        };
        let pool = Arc::clone(&self.running.pool);
        let context = kept.context(&self.engine.runtime, pool);
        self.run_physical(plan, context, lent).await.map(Some)
    }

    /// Runs a bounded logical plan in the lane that suits it.
    pub(super) async fn run_bounded(
        &self,
        planner: &Planner,
        plan: &LogicalPlan,
    ) -> Result<Answer> {
        let physical = planner.physical(plan).await?;
        let context = planner.task_context();
        self.run_physical(physical, context, ()).await
    }

    /// Runs a plan in the lane that suits it. `held` is let go of when it has ended.
    async fn run_physical(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        held: impl Send + 'static,
    ) -> Result<Answer> {
        let (engine, running) = (&self.engine, &self.running);
        let bounds = self.bounds(Some(self.deadline));
        if is_tiny(plan.as_ref()) || is_small(plan.as_ref()) {
            return run_tiny(engine, running, plan, context, bounds).await;
        }
        let admitted = engine.admission.bounded(running).await?;
        let held = (admitted, held);
        Ok(run_plan(engine, running, plan, context, bounds, held))
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
