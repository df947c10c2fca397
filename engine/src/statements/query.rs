//! `SELECT`, bounded and live, and `SUBSCRIBE`.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use weir_base::SqlState;
use weir_connectors::topic::{FollowedTable, StreamTable};
use weir_sql::statement::{self, Emit, SubscribeSource};
use weir_streaming::{Dataflow, Delta};

use super::Execution;
use super::materialized_view::check_repeatable;
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
                "EMIT ON WINDOW CLOSE is not supported yet",
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
        check_repeatable(&plan, "a live query")?;
        if keeps_state(&plan)? {
            return self.follow(&planner, &plan, start, limit, admitted).await;
        }
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
        let bounds = self.live_bounds(limit);
        Ok(run_live(
            &self.engine,
            &self.running,
            schema,
            steps,
            bounds,
            admitted,
        ))
    }

    /// The bounds of a live query, which ends after so many rows, if at all.
    fn live_bounds(&self, limit: Option<u64>) -> Bounds {
        Bounds {
            rows_max: None,
            bytes_max: None,
            ends_after: limit,
            ..self.bounds(None)
        }
    }

    /// Runs a live query that must remember rows: its answer is a changelog.
    async fn follow(
        &self,
        planner: &Planner,
        plan: &LogicalPlan,
        start: Start,
        limit: Option<u64>,
        admitted: crate::admission::Admitted,
    ) -> Result<Answer> {
        let plan = planner.state.optimize(plan)?;
        let context = planner.task_context();
        let mut dataflow = Dataflow::new(&plan, &planner.state, &context, None).await?;
        if dataflow.topics().next().is_none() {
            return Err(weir_streaming::Error::ReadsNoStream.into());
        }
        let position = match (&self.request.resume, start) {
            (Some(position), _) => Some(position.clone()),
            (None, Start::History) => None,
            (None, Start::Now) => Some(dataflow.stable_position()),
        };
        // What was before is computed again and not given again.
        if let Some(position) = position {
            dataflow.resume(&position).await?;
        }
        let schema = changelog_schema(dataflow.schema());
        let one_schema = Arc::clone(&schema);
        let steps = futures::stream::unfold(Some(dataflow), move |dataflow| {
            let schema = Arc::clone(&one_schema);
            async move {
                let mut dataflow = dataflow?;
                loop {
                    let step = dataflow.step().await;
                    let batch = step
                        .map_err(Error::from)
                        .and_then(|delta| changelog(&schema, &delta));
                    match batch {
                        Err(error) => return Some((Err(error), None)),
                        Ok(None) => {}
                        Ok(Some(batch)) => {
                            let position = dataflow.position();
                            return Some((Ok((batch, Some(position))), Some(dataflow)));
                        }
                    }
                }
            }
        });
        let bounds = self.live_bounds(limit);
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
                "SUBSCRIBE … AS OF and UP TO are not supported yet",
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

/// Whether a query must remember rows between steps: because of what it does with them, or because they may go again.
pub(super) fn keeps_state(plan: &LogicalPlan) -> Result<bool> {
    let mut keeps = false;
    plan.apply_with_subqueries(|node| {
        keeps |= match node {
            LogicalPlan::Aggregate(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::RecursiveQuery(_)
            | LogicalPlan::Limit(_) => true,
            LogicalPlan::TableScan(scan) => source_as_provider(&scan.source)
                .is_ok_and(|provider| (provider.as_ref() as &dyn Any).is::<FollowedTable>()),
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(keeps || joins_streams(plan)?)
}

/// Whether a join has streams on both sides.
fn joins_streams(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let sides: Vec<&LogicalPlan> = match node {
            LogicalPlan::Join(join) => vec![join.left.as_ref(), join.right.as_ref()],
            LogicalPlan::Filter(_) | LogicalPlan::Projection(_) => {
                let mut sides = node.inputs();
                node.apply_expressions(|expr| {
                    expr.apply(|expr| {
                        found |= match expr {
                            Expr::Exists(exists) => reads_stream(&exists.subquery.subquery),
                            Expr::InSubquery(within) => reads_stream(&within.subquery.subquery),
                            Expr::ScalarSubquery(query) => reads_stream(&query.subquery),
                            _ => false,
                        };
                        Ok(TreeNodeRecursion::Continue)
                    })
                })?;
                sides.clear();
                sides
            }
            _ => Vec::new(),
        };
        found |= !sides.is_empty() && sides.into_iter().all(reads_stream);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn reads_stream(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= source_as_provider(&scan.source)
                .is_ok_and(|provider| (provider.as_ref() as &dyn Any).is::<StreamTable>());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.is_ok() && found
}

/// The column that says what a change is.
const OPERATION: &str = "_op";

/// The rows of a changelog: what happened, and then the query's own columns.
fn changelog_schema(schema: &SchemaRef) -> SchemaRef {
    let operation = Arc::new(Field::new(OPERATION, DataType::Utf8View, false));
    let fields = std::iter::once(operation).chain(schema.fields().iter().cloned());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A change as rows: first those that went, then those that came.
fn changelog(schema: &SchemaRef, delta: &Delta) -> Result<Option<RecordBatch>> {
    if delta.is_empty() {
        return Ok(None);
    }
    let mut batches = Vec::with_capacity(delta.plus.len() + delta.minus.len());
    for (rows, operation) in [(&delta.minus, "delete"), (&delta.plus, "insert")] {
        for batch in rows {
            let operation =
                StringViewArray::from_iter_values(std::iter::repeat_n(operation, batch.num_rows()));
            let operation: ArrayRef = Arc::new(operation);
            let columns = std::iter::once(operation).chain(batch.columns().iter().cloned());
            batches.push(RecordBatch::try_new(Arc::clone(schema), columns.collect())?);
        }
    }
    Ok(Some(concat_batches(schema, &batches)?))
}
