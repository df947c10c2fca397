//! From a sink's entry in the catalog to what feeds it.

use std::sync::Arc;

use arrow::compute::can_cast_types;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use weir_base::{Kind, Options, SqlState};
use weir_catalog::{AccountId, Body, Entry, Sink};
use weir_streaming::{Feed, Holds, Job, unique_key};

use super::target;
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::planning::Planner;
use crate::{rate, views};

/// What feeds a sink, at the beginning.
pub(crate) async fn feed(engine: &Arc<Shared>, entry: &Entry, holds: Holds) -> Result<Feed> {
    let Body::Sink(sink) = &entry.body else {
        return Err(Error::new(Kind::Internal, "only sinks are fed"));
    };
    let memory = engine.settings.limits.view_memory.0;
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    let planner = views::planner(engine, &sink.query.sql, sink.on_window_close, memory)
        .expanding_kept(sink.expands_kept)
        .telling_keys();
    let plan = plan(&planner, entry, entry.owner, sink).await?;
    let store = Some(engine.checkpoints.uncopied(entry.id.0, 0).await?);
    let (plan, dataflow) = planner.followed(plan, store).await?;
    let dataflow = match target::unique_key(engine, sink)? {
        Some(key) if !dataflow.only_grows() && !is_known(&plan, &key) => {
            dataflow.with_unique_key(key)?
        }
        _ => dataflow,
    };
    let output = target::open(engine, &planner, entry, sink, &dataflow)?;
    let job = Job::new(entry.id.0, dataflow, output, views::upkeep(engine, memory));
    let job = job.with_rate(rate::take(&mut Options::new(sink.options.clone()))?);
    Ok(Feed::new(job, holds))
}

/// Whether a query's own plan says that these columns tell its rows apart.
fn is_known(plan: &LogicalPlan, key: &[usize]) -> bool {
    unique_key(plan).is_some_and(|known| known.iter().all(|column| key.contains(column)))
}

/// The plan of a sink's query, whose rows have the columns of where they go, with the rights of the sink's owner.
pub(crate) async fn plan(
    planner: &Planner,
    entry: &Entry,
    owner: Option<AccountId>,
    sink: &Sink,
) -> Result<LogicalPlan> {
    match target::written_into(sink) {
        None => planner.view_as_declared(entry, &sink.query).await,
        Some(id) => {
            let target = planner.snapshot.require_id(id)?;
            let plan = planner.view(owner, &sink.query).await?;
            as_rows_of(planner, plan, target, &sink.target_columns)
        }
    }
}

/// A query's rows with the columns of the stream or table that they go into: by their places, as `INSERT` puts them there.
fn as_rows_of(
    planner: &Planner,
    plan: LogicalPlan,
    target: &Entry,
    given: &[String],
) -> Result<LogicalPlan> {
    let columns = target.columns();
    let given: Vec<&str> = match given {
        [] => columns.iter().map(|column| column.name.as_str()).collect(),
        given => given.iter().map(String::as_str).collect(),
    };
    let schema = Arc::clone(plan.schema());
    if schema.fields().len() != given.len() {
        return Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            format!(
                "the query gives {} columns, but {} of {} are written",
                schema.fields().len(),
                given.len(),
                target.describe()
            ),
        ));
    }
    for name in &given {
        planner.snapshot.require_column(target, name)?;
    }
    let fields: Vec<_> = schema.iter().collect();
    let exprs = columns.iter().map(|column| {
        let at = given.iter().position(|name| *name == column.name);
        let expr = match at.and_then(|at| fields.get(at)) {
            Some((relation, field)) => {
                if !can_cast_types(field.data_type(), &column.data_type) {
                    return Err(Error::invalid(
                        SqlState::DATATYPE_MISMATCH,
                        format!(
                            "column {:?} of {} is {}, and cannot be written from {}",
                            column.name,
                            target.describe(),
                            column.sql_type,
                            field.data_type()
                        ),
                    ));
                }
                Expr::Column((*relation, *field).into())
            }
            None => match &column.default {
                Some(sql) => planner.expression(sql, &DFSchema::empty())?,
                None => lit(ScalarValue::Null),
            },
        };
        Ok(cast(expr, column.data_type.clone()).alias(&column.name))
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}
