//! Plans that may be executed again and again: in goes a planned query, out comes one whose static tables are in memory and
//! whose joins keep their hash tables, or the name of what needs state.
//!
//! What is refused here, and nothing else, is what makes a live query one that remembers rows.

use std::any::Any;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source_as_provider;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode,
};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use futures::future::BoxFuture;
use weir_connectors::topic::{FollowedTable, MirroredTable, as_topic_scan};

use crate::error::{Error, Result};
use crate::event_time::WatermarkedStream;
use crate::guard::GuardExec;

type Plan = Arc<dyn ExecutionPlan>;

/// Operators without state, which give all rows of their input at its end.
const STATELESS: [&str; 8] = [
    "FilterExec",
    "ProjectionExec",
    "UnionExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "UnnestExec",
    GuardExec::NAME,
];

/// The memory of a static table's rows, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Static {
    _reservation: MemoryReservation,
}

/// The plan of a query that a [`LiveQuery`](crate::LiveQuery) can run, for it needs to remember nothing between steps; none of
/// one that must be a [`Dataflow`](crate::Dataflow), because of what it does with its rows, or because they may change or go.
///
/// # Errors
/// When the query cannot be planned.
pub async fn stateless_plan(plan: &LogicalPlan, state: &SessionState) -> Result<Option<Plan>> {
    if reads_tables(plan)? {
        return Ok(None);
    }
    let plan = state.create_physical_plan(plan).await?;
    match checked(Arc::clone(&plan)) {
        Ok(_) => Ok(Some(plan)),
        Err(Error::NeedsState(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a query reads rows that may change or go.
fn reads_tables(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            let provider = provider.as_ref() as &dyn Any;
            found |= provider.is::<FollowedTable>()
                || provider.is::<MirroredTable>()
                || provider.is::<WatermarkedStream>();
        }
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// Checks a plan, and reads its static tables.
pub(crate) async fn prepare(plan: Plan, context: &Arc<TaskContext>) -> Result<(Plan, Vec<Static>)> {
    // Everything is checked before anything is read.
    let plan = checked(plan)?;
    let mut statics = Vec::new();
    let plan = with_statics(plan, context, &mut statics).await?;
    Ok((plan, statics))
}

/// The plan with operators that have not run yet, so that what they counted goes. The hash tables of joins are kept, with
/// what the joins counted, unless these are to be renewed too.
pub(crate) fn renewed(plan: &Plan, joins: bool) -> Result<Plan> {
    if as_topic_scan(plan.as_ref()).is_some() || !is_live(plan.as_ref()) {
        return Ok(Arc::clone(plan));
    }
    let children = plan
        .children()
        .into_iter()
        .map(|child| renewed(child, joins));
    let children = children.collect::<Result<Vec<_>>>()?;
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    let plan = Arc::clone(plan).replace_children(children, options)?;
    // Only a hash join keeps its table over a change of inputs; the others keep no more than the static rows.
    Ok(match plan.is::<HashJoinExec>() && !joins {
        true => plan,
        false => plan.reset_state()?,
    })
}

/// The plan with the static side of each join on the left, where the join keeps its rows.
fn checked(plan: Plan) -> Result<Plan> {
    if as_topic_scan(plan.as_ref()).is_some_and(|scan| scan.fetch().is_none()) {
        return Ok(plan);
    }
    if plan.fetch().is_some() {
        return Err(needs_state("GlobalLimitExec"));
    }
    if is_join(plan.as_ref()) {
        return checked_join(plan);
    }
    if !STATELESS.contains(&plan.name()) {
        return Err(needs_state(plan.name()));
    }
    let mut children = Vec::new();
    for child in plan.children() {
        if !is_live(child.as_ref()) {
            return Err(Error::NeedsState(
                "a UNION with a part that reads no stream",
            ));
        }
        children.push(checked(Arc::clone(child))?);
    }
    with_children(plan, children)
}

fn checked_join(plan: Plan) -> Result<Plan> {
    let children: Vec<Plan> = plan.children().into_iter().cloned().collect();
    let [left, right] = &children[..] else {
        return Err(needs_state(plan.name()));
    };
    match (is_live(left.as_ref()), is_live(right.as_ref())) {
        (true, true) => {
            return Err(Error::NeedsState("a join of two streams"));
        }
        // The swap may put a projection above the join.
        (true, false) => return checked(swapped(&plan)?),
        _ => {}
    }
    let join_type = plan
        .downcast_ref::<HashJoinExec>()
        .map(|join| *join.join_type())
        .or_else(|| {
            plan.downcast_ref::<NestedLoopJoinExec>()
                .map(|join| *join.join_type())
        });
    match join_type {
        None
        | Some(
            JoinType::Inner
            | JoinType::Right
            | JoinType::RightSemi
            | JoinType::RightAnti
            | JoinType::RightMark,
        ) => {}
        Some(_) => {
            return Err(Error::NeedsState(
                "an outer join that keeps rows of the table without a partner in the stream",
            ));
        }
    }
    let plan = with_children(
        Arc::clone(&plan),
        vec![Arc::clone(left), checked(Arc::clone(right))?],
    )?;
    match plan.downcast_ref::<HashJoinExec>() {
        // Only a collected side is kept from one execution to the next.
        Some(hash) => Ok(hash
            .builder()
            .reset_state()
            .with_partition_mode(PartitionMode::CollectLeft)
            .build_exec()?),
        None => Ok(plan),
    }
}

fn swapped(plan: &Plan) -> Result<Plan> {
    if let Some(hash) = plan.downcast_ref::<HashJoinExec>() {
        if hash.null_aware {
            return Err(Error::NeedsState("NOT IN with a subquery"));
        }
        // Without the dynamic filter that the planner may have made for the sides as they were.
        let hash = hash.builder().reset_state().build()?;
        return Ok(hash.swap_inputs(PartitionMode::CollectLeft)?);
    }
    if let Some(nested) = plan.downcast_ref::<NestedLoopJoinExec>() {
        return Ok(nested.swap_inputs()?);
    }
    if let Some(cross) = plan.downcast_ref::<CrossJoinExec>() {
        return Ok(cross.swap_inputs()?);
    }
    Err(needs_state(plan.name()))
}

/// Puts the rows of static sides in the place of the plans that give them.
fn with_statics<'a>(
    plan: Plan,
    context: &'a Arc<TaskContext>,
    statics: &'a mut Vec<Static>,
) -> BoxFuture<'a, Result<Plan>> {
    Box::pin(async move {
        if as_topic_scan(plan.as_ref()).is_some() {
            return Ok(plan);
        }
        let mut children = Vec::new();
        for child in plan.children() {
            let child = Arc::clone(child);
            children.push(match is_live(child.as_ref()) {
                true => with_statics(child, context, statics).await?,
                false => read_static(child, context, statics).await?,
            });
        }
        with_children(plan, children)
    })
}

/// Reads a plan that does not change, and gives its rows as a table in memory.
async fn read_static(
    plan: Plan,
    context: &Arc<TaskContext>,
    statics: &mut Vec<Static>,
) -> Result<Plan> {
    let reservation =
        MemoryConsumer::new("static side of a live join").register(context.memory_pool());
    let schema = plan.schema();
    let mut rows = execute_stream(plan, Arc::clone(context))?;
    let mut batches: Vec<RecordBatch> = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        reservation.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    statics.push(Static {
        _reservation: reservation,
    });
    Ok(MemorySourceConfig::try_new_exec(&[batches], schema, None)?)
}

fn with_children(plan: Plan, children: Vec<Plan>) -> Result<Plan> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(plan.replace_children(children, options)?)
}

fn is_join(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>()
}

/// Whether a plan reads a stream.
fn is_live(plan: &dyn ExecutionPlan) -> bool {
    as_topic_scan(plan).is_some() || plan.children().iter().any(|child| is_live(child.as_ref()))
}

fn needs_state(operator: &str) -> Error {
    Error::NeedsState(match operator {
        "AggregateExec" | "PlaceholderRowExec" => "GROUP BY, DISTINCT or an aggregate",
        "SortExec" | "SortPreservingMergeExec" | "PartialSortExec" => "ORDER BY",
        "GlobalLimitExec" | "LocalLimitExec" | "TopicScanExec" => "LIMIT within the query",
        "WindowAggExec" | "BoundedWindowAggExec" => "OVER windows",
        "RecursiveQueryExec" => "recursive common table expressions",
        "SortMergeJoinExec" | "SymmetricHashJoinExec" | "PiecewiseMergeJoinExec" => {
            "this kind of join"
        }
        "InterleaveExec" => "this kind of union",
        _ => "this operator",
    })
}
