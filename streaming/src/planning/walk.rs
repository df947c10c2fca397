//! The walk over a logical plan.

use std::any::Any;
use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, JoinType};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Aggregate, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, Sort, TableScan, Window,
};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_plan::PhysicalExpr;
use futures::FutureExt;
use futures::future::BoxFuture;
use weir_base::{Offset, OffsetVector};
use weir_connectors::topic::{FollowedTable, MirroredTable, Newest, StreamTable};

use super::needed::Needed;
use super::ranking::Ranked;
use super::{Inputs, Kernel};
use crate::asof::as_asof_join;
use crate::checkpoint::{JobStore, Shelf};
use crate::error::{Error, Result};
use crate::event_time::{
    EventTime, WatermarkedStream, as_window_close, closing_below, is_by_window,
};
use crate::guard::behind_guard;
use crate::operators::{
    Aggregate as Groups, Boxed, Calls, Constant, InnerJoin, Linear, MirrorSource, Ranking,
    Recompute, StreamSource, TableSource, Top, measured, scan_of,
};
use crate::sources::{How, Read};
use crate::state::{Arrangement, Keys};

/// Operators, and what they read.
pub(crate) struct Planned {
    pub(crate) root: Boxed,
    pub(crate) reads: Vec<Read>,
    pub(crate) event_time: EventTime,
}

/// Where operators find the state that they go on from.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Where they keep it; none where they do not.
    pub(crate) store: Option<JobStore>,
    /// What the state in it is true of; none when there is none.
    pub(crate) position: Option<OffsetVector>,
}

/// A walk that is going on.
pub(crate) struct Walk<'a> {
    state: &'a SessionState,
    context: &'a Arc<TaskContext>,
    restored: Restored,
    /// How many places for state were given out. The order is that of the walk, which is the same for the same plan.
    shelves: u16,
    pub(super) reads: Vec<Read>,
    pub(super) event_time: EventTime,
    /// Joins that the walk has yet to come to, whose rows are not needed for ever.
    pub(super) needed: Vec<Needed>,
}

impl<'a> Walk<'a> {
    /// Plans `plan`.
    ///
    /// # Errors
    /// When a part of it cannot be planned, or reads no topic where one is needed.
    pub(crate) async fn over(
        plan: &LogicalPlan,
        state: &'a SessionState,
        context: &'a Arc<TaskContext>,
        restored: Restored,
    ) -> Result<Planned> {
        let mut walk = Self {
            state,
            context,
            restored,
            shelves: 0,
            reads: Vec::new(),
            event_time: EventTime::default(),
            needed: Vec::new(),
        };
        let plan = unlimited_scans(plan.clone())?;
        let root = walk.operator(&plan).await?;
        Ok(Planned {
            root,
            reads: walk.reads,
            event_time: walk.event_time,
        })
    }

    pub(super) fn operator<'b>(
        &'b mut self,
        plan: &'b LogicalPlan,
    ) -> BoxFuture<'b, Result<Boxed>> {
        async move {
            if has_subqueries(plan)? {
                return self.whole(plan).await;
            }
            if let LogicalPlan::Aggregate(aggregate) = plan
                && let Some(closing) = self.closing_aggregate(plan, aggregate).await?
            {
                return Ok(closing);
            }
            match plan {
                LogicalPlan::TableScan(scan) => self.scan(plan, scan).await,
                plan if is_by_window(plan) => self.linear(plan).await,
                // An operator of its own: what is above it sees what it gives, and nothing else.
                plan if let Some(input) = behind_guard(plan) => self.operator(input).await,
                LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Unnest(_)
                | LogicalPlan::Union(_)
                | LogicalPlan::Repartition(_) => self.linear(plan).await,
                // Rows of a view are in no order.
                LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.operator(&sort.input).await,
                LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                    let kernel = self.kernel(plan, Inputs::default()).await?;
                    let detail = plan.display().to_string();
                    Ok(measured(Constant::new(kernel, detail, self.is_restored())))
                }
                LogicalPlan::Join(join) => self.join(plan, join).await,
                LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate).await,
                LogicalPlan::Window(window) => self.window(plan, window).await,
                LogicalPlan::Distinct(_) => {
                    let keys = plan.schema().columns().into_iter().map(Expr::Column);
                    let keys = [keys.collect()];
                    self.recompute(plan, "Distinct", Some(&keys)).await
                }
                LogicalPlan::Limit(limit) => match limit.input.as_ref() {
                    // What is left depends on the order, which is lost between operators.
                    LogicalPlan::Sort(sort) => self.ordered_limit(plan, sort).await,
                    _ => self.recompute(plan, "Limit", None).await,
                },
                LogicalPlan::Sort(sort) => {
                    let below = self.first_rows(sort).await?;
                    self.recompute_over(plan, vec![below], "Top", None).await
                }
                _ => match (as_window_close(plan), as_asof_join(plan)) {
                    (Some(windows), _) => self.window_close(windows).await,
                    (None, Some(join)) => self.asof_join(plan, join).await,
                    (None, None) => self.whole(plan).await,
                },
            }
        }
        .boxed()
    }

    pub(super) async fn kernel(&self, plan: &LogicalPlan, inputs: Inputs) -> Result<Kernel> {
        Kernel::new(plan, inputs, self.state, self.context).await
    }

    async fn scan(&mut self, plan: &LogicalPlan, scan: &TableScan) -> Result<Boxed> {
        let provider = source_as_provider(&scan.source)?;
        let provider = provider.as_ref() as &dyn Any;
        if let Some(stream) = provider.downcast_ref::<StreamTable>() {
            return self.stream(plan, stream, How::Stream).await;
        }
        if let Some(table) = provider.downcast_ref::<MirroredTable>() {
            return self.mirror(scan, table).await;
        }
        if let Some(stream) = provider.downcast_ref::<WatermarkedStream>() {
            return self.watermarked(scan, stream).await;
        }
        if let Some(table) = provider.downcast_ref::<FollowedTable>() {
            return self.table(scan, table).await;
        }
        let kernel = self.kernel(plan, Inputs::default()).await?;
        let detail = scan.table_name.to_string();
        Ok(measured(Constant::new(kernel, detail, self.is_restored())))
    }

    /// The records of a stream, as a plan that scans it gives them.
    async fn stream(
        &mut self,
        plan: &LogicalPlan,
        stream: &StreamTable,
        how: How,
    ) -> Result<Boxed> {
        let kernel = self.kernel(plan, Inputs::default()).await?;
        let node = scan_of(kernel.plan().as_ref());
        let node = node.ok_or(Error::Internal("a stream's plan has no scan"))?;
        let topic = stream.topic().clone();
        let first = node.first_offsets();
        Read::add(&mut self.reads, &topic, first, how);
        Ok(measured(StreamSource::new(topic, kernel)))
    }

    /// The rows of a table that somebody else owns: the newest of its topic's, with the columns that the scan asks for.
    async fn mirror(&mut self, scan: &TableScan, table: &MirroredTable) -> Result<Boxed> {
        let all = || (0..scan.source.schema().fields().len()).collect();
        let columns: Vec<usize> = scan.projection.clone().unwrap_or_else(all);
        let source = provider_as_source(Arc::clone(table.changes()) as _);
        let changes = LogicalPlanBuilder::scan(
            scan.table_name.clone(),
            source,
            Some(table.changes_of(&columns)),
        )?;
        let changes = changes.build()?;
        let changes = self.stream(&changes, table.changes(), How::Mirror).await?;
        let (schema, key) = table.rows_of(&columns)?;
        let reservation = self.reservation();
        let newest = Newest::new(Arc::clone(&schema), key, reservation)?;
        let mut inputs = Inputs::default();
        let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &schema)?;
        let rows = LogicalPlanBuilder::from(inputs.add(&Arc::new(schema)));
        let columns = scan.projected_schema.columns().into_iter();
        let rows = rows.project(columns.map(Expr::Column))?.build()?;
        let kernel = self.kernel(&rows, inputs).await?;
        let detail = table.topic().name().to_string();
        let shelf = self.shelf();
        let mirror = MirrorSource::new(changes, newest, kernel, shelf, detail)?;
        Ok(measured(mirror))
    }

    /// A table's rows, filtered and projected as the scan asks for it.
    async fn table(&mut self, scan: &TableScan, table: &FollowedTable) -> Result<Boxed> {
        let topic = table.table().topic().clone();
        Read::add(&mut self.reads, &topic, vec![Offset::ZERO], How::Table);
        let schema =
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        let mut inputs = Inputs::default();
        let mut rows = LogicalPlanBuilder::from(inputs.add(&Arc::new(schema)));
        for filter in &scan.filters {
            rows = rows.filter(filter.clone())?;
        }
        let columns = scan.projected_schema.columns().into_iter();
        let rows = rows.project(columns.map(Expr::Column))?.build()?;
        let kernel = self.kernel(&rows, inputs).await?;
        let columns = scan.source.schema().fields().len();
        let position = self.restored.position.as_ref();
        let at = position.and_then(|at| at.topic(topic.name())?.first().copied());
        let follower = table.table().follow_from(at.unwrap_or(Offset::ZERO));
        let source = TableSource::new(follower, kernel, columns, table.only_grows());
        Ok(measured(source))
    }

    /// All of a plan from the top on that treats rows one by one, or by windows that come as a whole.
    async fn linear(&mut self, plan: &LogicalPlan) -> Result<Boxed> {
        let mut inputs = Inputs::default();
        let mut below = Vec::new();
        let mut names = Vec::new();
        let top = linear_part(plan, (true, None), &mut inputs, &mut below, &mut names)?;
        let kernel = self.kernel(&top, inputs).await?;
        let mut operators = Vec::with_capacity(below.len());
        for Below { plan, above } in &below {
            let ranked = match (plan, above) {
                (LogicalPlan::Window(window), Some(filter)) => Ranked::of(window, filter),
                _ => None,
            };
            operators.push(match ranked {
                Some(ranked) => self.ranking(plan, &ranked).await?,
                None => self.operator(plan).await?,
            });
        }
        let names = names.join(", ");
        Ok(measured(match keeps_rows_apart(&top)? {
            true => Linear::new(operators, kernel, names),
            false => Linear::by_window(operators, kernel, names),
        }))
    }

    /// `ROW_NUMBER()` of which a filter lets pass the first ones.
    async fn ranking(&mut self, plan: &LogicalPlan, ranked: &Ranked<'_>) -> Result<Boxed> {
        let input = self.operator(ranked.input).await?;
        let schema = ranked.input.schema();
        let keys = self.keys(schema, ranked.partition_by)?;
        let order = ranked.order_by.iter().map(|sort| {
            let order = self.physical(&sort.expr, schema)?;
            let options = SortOptions::new(!sort.asc, sort.nulls_first);
            Ok((order, options))
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let place = (self.shelf(), self.reservation());
        let detail = plan.display().to_string();
        let schema = plan.schema().inner();
        let ranking = Ranking::new(input, keys, order, ranked.first, schema, detail, place)?;
        Ok(measured(ranking))
    }

    async fn operators(&mut self, plans: &[LogicalPlan]) -> Result<Vec<Boxed>> {
        let mut operators = Vec::with_capacity(plans.len());
        for plan in plans {
            operators.push(self.operator(plan).await?);
        }
        Ok(operators)
    }

    pub(super) fn keys(&self, schema: &DFSchemaRef, keys: &[Expr]) -> Result<Keys> {
        let keys = keys.iter().map(|key| self.physical(key, schema));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        Keys::new(keys, schema.inner())
    }

    pub(super) fn physical(
        &self,
        expr: &Expr,
        schema: &DFSchemaRef,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let planning = PhysicalPlanningContext::default();
        let properties = self.state.execution_props();
        Ok(create_physical_expr(expr, schema, properties, &planning)?)
    }

    pub(super) fn reservation(&self) -> MemoryReservation {
        let consumer = MemoryConsumer::new("state of a continuous query");
        consumer.register(self.context.memory_pool())
    }

    fn is_restored(&self) -> bool {
        self.restored.position.is_some()
    }

    /// The place of the next operator's state.
    pub(super) fn shelf(&mut self) -> Shelf {
        let number = self.shelves;
        self.shelves += 1;
        Shelf::new(self.restored.store.clone(), number, self.is_restored())
    }

    fn arrangement(&mut self, schema: &DFSchemaRef, keys: &[Expr]) -> Result<Arrangement> {
        let keys = self.keys(schema, keys)?;
        let shelf = self.shelf();
        Arrangement::new(schema.inner(), keys, shelf, self.reservation())
    }

    async fn join(&mut self, plan: &LogicalPlan, join: &Join) -> Result<Boxed> {
        let (left, right): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
        if join.join_type != JoinType::Inner {
            // NOT IN asks of all rows of the other side whether one is null.
            let keys = [left, right];
            let keys = (!join.null_aware && !join.on.is_empty()).then_some(&keys);
            return self
                .recompute(plan, "Join", keys.map(<[Vec<Expr>; 2]>::as_slice))
                .await;
        }
        let needed = self.needed_of(join)?;
        let mut inputs = Inputs::default();
        let leaves = plan.inputs().into_iter();
        let leaves = leaves.map(|input| inputs.add(input.schema())).collect();
        let top = plan.with_new_exprs(plan.expressions(), leaves)?;
        let kernel = self.kernel(&top, inputs).await?;
        let states = [
            self.arrangement(join.left.schema(), &left)?,
            self.arrangement(join.right.schema(), &right)?,
        ];
        let sides = [
            self.operator(&join.left).await?,
            self.operator(&join.right).await?,
        ];
        let detail = plan.display().to_string();
        let join = InnerJoin::new(sides, states, kernel, detail);
        Ok(measured(join.needing(needed)))
    }

    async fn aggregate(&mut self, plan: &LogicalPlan, aggregate: &Aggregate) -> Result<Boxed> {
        let is_plain = !matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
        let input = self.operator(&aggregate.input).await?;
        let schema = aggregate.input.schema();
        let calls = Calls::of(&aggregate.aggr_expr, schema, input.only_grows(), self.state)?;
        if let Some(calls) = calls.filter(|_| is_plain) {
            let keys = self.keys(schema, &aggregate.group_expr)?;
            let detail = plan.display().to_string();
            let schema = plan.schema().inner();
            let place = (self.shelf(), self.reservation());
            let groups = Groups::new(input, keys, calls, schema, detail, place)?;
            return Ok(measured(groups));
        }
        let keys = [aggregate.group_expr.clone()];
        let keys = (is_plain && !aggregate.group_expr.is_empty()).then_some(keys.as_slice());
        self.recompute_over(plan, vec![input], "Aggregate", keys)
            .await
    }

    async fn window(&mut self, plan: &LogicalPlan, window: &Window) -> Result<Boxed> {
        // What all of its functions are partitioned by.
        let partitions = window.window_expr.iter().map(partition_by);
        let mut partitions = partitions
            .collect::<Option<Vec<_>>>()
            .unwrap_or_default()
            .into_iter();
        let mut keys = partitions.next().unwrap_or_default();
        for partition in partitions {
            keys.retain(|key| partition.contains(key));
        }
        let keys = [keys];
        let keys = (!keys[0].is_empty()).then_some(keys.as_slice());
        self.recompute(plan, "Window", keys).await
    }

    /// A node that is run again over the rows of its inputs: those of some keys, or all.
    pub(super) async fn recompute(
        &mut self,
        plan: &LogicalPlan,
        name: &'static str,
        keys: Option<&[Vec<Expr>]>,
    ) -> Result<Boxed> {
        let below: Vec<LogicalPlan> = plan.inputs().into_iter().cloned().collect();
        let below = self.operators(&below).await?;
        self.recompute_over(plan, below, name, keys).await
    }

    /// As [`Walk::recompute`], with operators for its inputs.
    async fn recompute_over(
        &mut self,
        plan: &LogicalPlan,
        below: Vec<Boxed>,
        name: &'static str,
        keys: Option<&[Vec<Expr>]>,
    ) -> Result<Boxed> {
        let mut inputs = Inputs::default();
        let schemas: Vec<&DFSchemaRef> =
            plan.inputs().into_iter().map(LogicalPlan::schema).collect();
        let leaves = schemas.iter().map(|schema| inputs.add(schema));
        let top = plan.with_new_exprs(plan.expressions(), leaves.collect())?;
        let detail = (name, plan.display().to_string());
        self.recomputed(&top, inputs, (below, schemas), detail, keys)
            .await
    }

    async fn recomputed(
        &mut self,
        top: &LogicalPlan,
        inputs: Inputs,
        (below, schemas): (Vec<Boxed>, Vec<&DFSchemaRef>),
        detail: (&'static str, String),
        keys: Option<&[Vec<Expr>]>,
    ) -> Result<Boxed> {
        let kernel = self.kernel(top, inputs).await?;
        let states = schemas.into_iter().enumerate().map(|(at, schema)| {
            let keys = keys.and_then(|keys| keys.get(at));
            self.arrangement(schema, keys.map_or(&[], Vec::as_slice))
        });
        let states = states.collect::<Result<Vec<_>>>()?;
        let is_keyed = keys.is_some();
        let has_run = self.is_restored();
        let recompute = Recompute::new(below, states, kernel, detail, is_keyed, has_run);
        Ok(measured(recompute))
    }

    /// `LIMIT` over `ORDER BY`, as one.
    async fn ordered_limit(&mut self, plan: &LogicalPlan, sort: &Sort) -> Result<Boxed> {
        let below = self.first_rows(sort).await?;
        let mut inputs = Inputs::default();
        let top = replaced(plan, 2, &mut |input| inputs.add(input.schema()))?;
        let detail = ("Limit", plan.display().to_string());
        let below = (vec![below], vec![sort.input.schema()]);
        self.recomputed(&top, inputs, below, detail, None).await
    }

    /// The rows of which some are among the first of an order, however many more come: all, unless they only come.
    async fn first_rows(&mut self, sort: &Sort) -> Result<Boxed> {
        let input = self.operator(&sort.input).await?;
        if sort.fetch.is_none() || !input.only_grows() {
            return Ok(input);
        }
        let mut inputs = Inputs::default();
        let sort = LogicalPlan::Sort(Sort {
            input: Arc::new(inputs.add(sort.input.schema())),
            ..sort.clone()
        });
        let kernel = self.kernel(&sort, inputs).await?;
        let detail = sort.display().to_string();
        Ok(measured(Top::new(input, kernel, self.shelf(), detail)?))
    }

    /// A plan that is run again over all that its scans read.
    async fn whole(&mut self, plan: &LogicalPlan) -> Result<Boxed> {
        let mut inputs = Inputs::default();
        let mut below = Vec::new();
        let top = plan.clone().transform_up_with_subqueries(|node| {
            Ok(match node {
                LogicalPlan::TableScan(scan) if !is_work_table(&scan) => {
                    let node = LogicalPlan::TableScan(scan);
                    let leaf = inputs.add(node.schema());
                    below.push(node);
                    Transformed::yes(leaf)
                }
                node => Transformed::no(node),
            })
        })?;
        let operators = self.operators(&below).await?;
        let schemas = below.iter().map(LogicalPlan::schema).collect();
        let detail = ("Query", plan.display().to_string());
        self.recomputed(&top.data, inputs, (operators, schemas), detail, None)
            .await
    }
}

/// The plan with the inputs of its `depth`-th node from the top put into the place of others.
fn replaced(
    plan: &LogicalPlan,
    depth: usize,
    leaf: &mut dyn FnMut(&LogicalPlan) -> LogicalPlan,
) -> Result<LogicalPlan> {
    let inputs = plan.inputs().into_iter().map(|input| match depth {
        1 => Ok(leaf(input)),
        _ => replaced(input, depth - 1, leaf),
    });
    let inputs = inputs.collect::<Result<_>>()?;
    Ok(plan.with_new_exprs(plan.expressions(), inputs)?)
}

/// A plan below a linear part.
struct Below {
    plan: LogicalPlan,
    /// The filter above it, if its rows go there as they are.
    above: Option<Expr>,
}

/// The part of a plan, from the top on, that treats rows one by one, or by windows that come as a whole, over inputs for what is below
/// it.
fn linear_part(
    plan: &LogicalPlan,
    (is_top, above): (bool, Option<&Expr>),
    inputs: &mut Inputs,
    below: &mut Vec<Below>,
    names: &mut Vec<String>,
) -> Result<LogicalPlan> {
    let is_linear = matches!(
        plan,
        LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Repartition(_)
    );
    // What groups rows of windows may keep less than the rows.
    let is_linear = is_linear || is_by_window(plan) && (is_top || !groups_windows(plan));
    if !is_linear || has_subqueries(plan)? {
        below.push(Below {
            plan: plan.clone(),
            above: above.cloned(),
        });
        return Ok(inputs.add(plan.schema()));
    }
    names.push(plan.display().to_string());
    let filter = match plan {
        LogicalPlan::Filter(filter) => Some(&filter.predicate),
        LogicalPlan::Projection(projection) => above.filter(|filter| passes(projection, filter)),
        _ => None,
    };
    let children = plan.inputs().into_iter();
    let children = children.map(|input| linear_part(input, (false, filter), inputs, below, names));
    let children = children.collect::<Result<_>>()?;
    Ok(plan.with_new_exprs(plan.expressions(), children)?)
}

/// Whether a linear part treats rows one by one, and not by windows.
fn keeps_rows_apart(plan: &LogicalPlan) -> Result<bool> {
    let takes_several = plan.exists(|node| {
        Ok(matches!(
            node,
            LogicalPlan::Aggregate(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Join(_)
        ))
    })?;
    Ok(!takes_several)
}

fn groups_windows(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(aggregate) if closing_below(aggregate).is_some())
}

/// Whether a projection passes on all columns that a filter above it asks for.
fn passes(projection: &Projection, filter: &Expr) -> bool {
    let columns = filter.column_refs();
    let passed = |column: &Column| {
        let mut expressions = projection.expr.iter();
        expressions.any(|expr| matches!(expr, Expr::Column(passed) if passed == column))
    };
    columns.into_iter().all(passed)
}

/// Whether a scan is that of a recursive query over its own last rows.
fn is_work_table(scan: &TableScan) -> bool {
    let provider = source_as_provider(&scan.source);
    provider.is_ok_and(|provider| (provider.as_ref() as &dyn Any).is::<CteWorkTable>())
}

/// Whether an expression of the node itself has a query in it.
fn has_subqueries(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_subqueries(|_| {
        found = true;
        Ok(TreeNodeRecursion::Stop)
    })?;
    Ok(found)
}

/// What a window function is partitioned by.
fn partition_by(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::WindowFunction(function) => Some(function.params.partition_by.clone()),
        Expr::Alias(alias) => partition_by(&alias.expr),
        _ => None,
    }
}

/// The plan without hints to its scans that a few rows would do: the limits themselves stay.
fn unlimited_scans(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::TableScan(scan) if scan.fetch.is_some() => {
                Transformed::yes(LogicalPlan::TableScan(TableScan {
                    fetch: None,
                    ..scan
                }))
            }
            node => Transformed::no(node),
        })
    })?;
    Ok(plan.data)
}
