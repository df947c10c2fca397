//! `SELECT`, bounded and live, and `SUBSCRIBE`.

use std::sync::Arc;

use arrow::compute::concat_batches;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use weir_base::SqlState;
use weir_sql::statement::{self, Emit, SubscribeSource};

use super::Execution;
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::execution::{Bounds, is_tiny, run_live, run_plan, run_tiny};
use crate::planning::{Planner, Reading};

impl Execution {
    pub(super) async fn query(&self, query: statement::Query) -> Result<Answer> {
        match query.emit {
            None => self.bounded(&query.query).await,
            Some(Emit::Changes) => self.live(&query.query, Start::History).await,
            Some(Emit::OnWindowClose) => Err(Error::unsupported(
                "EMIT ON WINDOW CLOSE needs continuous queries, which this version does not have yet",
            )),
        }
    }

    async fn bounded(&self, query: &ast::Query) -> Result<Answer> {
        if self.request.resume.is_some() {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                "only a live query can be resumed",
            )
            .with_hint("add EMIT CHANGES"));
        }
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
        if is_tiny(physical.as_ref()) {
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

    async fn live(&self, query: &ast::Query, start: Start) -> Result<Answer> {
        let admitted = self.engine.admission.live()?;
        let (query, limit) = without_limit(query)?;
        let planner = self.planner(self.snapshot(), Reading::Live);
        let plan = planner.query(&query, &self.request.parameters).await?;
        check_live(&plan)?;
        let physical = planner.physical(&plan).await?;
        let position = match (&self.request.resume, start) {
            (Some(position), _) => Some(position.clone()),
            (None, Start::History) => None,
            (None, Start::Now) => Some(planner.position()),
        };
        let live =
            weir_streaming::LiveQuery::new(physical, planner.task_context(), position).await?;
        let schema = live.schema();
        let one_schema = Arc::clone(&schema);
        let steps = live.into_stream().filter_map(move |step| {
            // One batch a step, as only the end of a step is a place to go on from.
            let chunk = match step {
                Err(error) => Some(Err(error.into())),
                Ok(step) if step.batches.is_empty() => None,
                Ok(step) => Some(match concat_batches(&one_schema, &step.batches) {
                    Ok(batch) => Ok((batch, Some(step.position))),
                    Err(error) => Err(error.into()),
                }),
            };
            std::future::ready(chunk)
        });
        let mut bounds = Bounds {
            rows_max: None,
            bytes_max: None,
            ..self.bounds(None)
        };
        bounds.ends_after = limit;
        Ok(run_live(
            &self.engine,
            &self.running,
            schema,
            steps,
            bounds,
            admitted,
        ))
    }

    pub(super) async fn subscribe(&self, subscribe: statement::Subscribe) -> Result<Answer> {
        if subscribe.as_of.is_some() || subscribe.up_to.is_some() {
            return Err(Error::unsupported(
                "SUBSCRIBE … AS OF and UP TO need continuous queries, which this version does not have yet",
            ));
        }
        let mut options = weir_base::Options::new(subscribe.options);
        let snapshot = options.take::<bool>("snapshot")?.unwrap_or(true);
        options.finish()?;
        let start = if snapshot { Start::History } else { Start::Now };
        match subscribe.source {
            SubscribeSource::Query(query) => self.live(&query, start).await,
            SubscribeSource::Object(name) => {
                let parsed = crate::text::parse_one(&format!("SELECT * FROM {name}"))?;
                match parsed.statement {
                    statement::Statement::Query(query) => self.live(&query.query, start).await,
                    _ => Err(Error::invalid(
                        SqlState::SYNTAX_ERROR,
                        format!("cannot subscribe to {name}"),
                    )),
                }
            }
        }
    }
}

/// Where a live query starts that resumes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    History,
    Now,
}

/// A query without its own `LIMIT`, which ends a live query after so many rows.
fn without_limit(query: &ast::Query) -> Result<(ast::Query, Option<u64>)> {
    let mut query = query.clone();
    let limit = match query.limit_clause.take() {
        None => None,
        Some(ast::LimitClause::LimitOffset {
            limit,
            offset: None,
            limit_by,
        }) if limit_by.is_empty() => limit,
        Some(_) => {
            return Err(Error::unsupported("a live query cannot have OFFSET")
                .with_hint("resume it from a token"));
        }
    };
    let limit = match limit {
        None => None,
        Some(ast::Expr::Value(value)) => match value.value {
            ast::Value::Number(number, _) => Some(number.parse::<u64>().map_err(|_| {
                Error::invalid(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("LIMIT {number} is not a number of rows"),
                )
            })?),
            _ => {
                return Err(Error::unsupported(
                    "the LIMIT of a live query must be a number",
                ));
            }
        },
        Some(_) => {
            return Err(Error::unsupported(
                "the LIMIT of a live query must be a number",
            ));
        }
    };
    if query.fetch.is_some() {
        return Err(Error::unsupported("a live query cannot have FETCH").with_hint("use LIMIT"));
    }
    Ok((query, limit))
}

/// Refuses what needs state between steps, by SQL's names before the optimizer turns it into something else, and what
/// would give another answer each time that the plan is executed.
fn check_live(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let stateful = match node {
            LogicalPlan::Aggregate(_) => "GROUP BY or an aggregate",
            LogicalPlan::Distinct(_) => "DISTINCT",
            LogicalPlan::Sort(_) => "ORDER BY",
            LogicalPlan::Window(_) => "an OVER window",
            LogicalPlan::RecursiveQuery(_) => "a recursive common table expression",
            LogicalPlan::Limit(_) => "LIMIT in a subquery",
            _ => "",
        };
        if !stateful.is_empty() {
            let error = Error::unsupported(format!("a live query cannot have {stateful} yet")).with_hint(
                "it needs continuous queries, which this version does not have; leave EMIT CHANGES out to query up to now",
            );
            return Err(error.into());
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                    let what = format!("a live query cannot have {}(), which gives another value each time", call.func.name());
                    Err(Error::unsupported(what).with_hint("its rows must be the same whenever it is resumed").into())
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(())
}
