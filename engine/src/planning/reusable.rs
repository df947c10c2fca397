//! Plans that can be run again: with other parameters, over later versions of their tables.
//!
//! In: a query. Out: a [`KeptPlan`], or none where the answer depends on more than rows and parameters (the time, the session, what
//! is in files or in the log), or the plan has nodes of which it is not known that they can be run again.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as PlanResult, ScalarValue, internal_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::{
    AggregateFunction, Placeholder, ScalarFunction, WindowFunction,
};
use datafusion::logical_expr::{
    Expr, LogicalPlan, ScalarUDF, TableScan, Volatility, WindowFunctionDefinition,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast;
use weir_connectors::files::FileStores;
use weir_connectors::topic::{BoundTable, TableScanExec};

use super::parameters::{number, replaced, typed};
use super::{ParameterTypes, Planner, repeated_config};
use crate::error::Result;
use crate::functions;
use crate::kept::{KeptPlan, Parameter, Reads, Values};

/// What came of making a plan that can be run again.
pub(crate) enum Made {
    Plan(Box<KeptPlan>),
    /// The query has none.
    Nothing,
    /// It has one, but not for these values.
    NotForThese,
    /// It has none with parameters in the places of these literals, by the parameters' numbers, counted from 0.
    LiteralsStay(Vec<usize>),
}

impl Planner {
    /// Plans for more runs than one, on the catalog and the rights of now.
    #[must_use]
    pub(crate) fn reused(mut self) -> Self {
        self.is_reused = true;
        self
    }

    /// Plans a query such that it can be run again and again, if that can be. `parameters` are those of its first run, and
    /// may be the values of literals in whose places they were put.
    ///
    /// # Errors
    /// What is wrong with the query. Who asks plans it in the usual way then, which says it better.
    pub(crate) async fn reusable(
        &self,
        query: &ast::Query,
        parameters: &[ScalarValue],
        are_literals: bool,
    ) -> Result<Made> {
        let plan = self.unbound(query).await?;
        if !depends_on_rows_alone(&plan)? {
            return Ok(Made::Nothing);
        }
        let mut types = ParameterTypes::of(&plan)?;
        if are_literals {
            let misfits = types.misfits(parameters);
            if !misfits.is_empty() {
                return Ok(Made::LiteralsStay(misfits));
            }
            types = types.of_literals();
        }
        let Ok(settled) = types.settled(parameters) else {
            return Ok(Made::NotForThese);
        };
        let plan = typed(plan, &settled)?;
        // Without what functions see of this statement.
        let mut config = FileStores::configure(self.variables.config(&self.engine.settings.limits));
        repeated_config(&mut config);
        let mut state = self.engine.base_state.clone();
        *state.config_mut() = config.clone();
        state.mark_start_execution();
        let plan = state.optimize(&plan)?;
        let values = Arc::new(Values::default());
        let fields = Arc::clone(plan.schema());
        let plan = open_parameters(plan, &values)?;
        if !fields.matches_arrow_schema(plan.schema().as_arrow()) {
            return Ok(Made::Nothing);
        }
        let plan = state.query_planner().create_physical_plan(&plan, &state);
        let plan = plan.await?;
        if !can_be_repeated(plan.as_ref()) {
            return Ok(Made::Nothing);
        }
        let read_for = self.running.as_ref().and_then(|running| running.read_for());
        let reads = Reads {
            objects: read_for.map(|(_, objects)| objects).unwrap_or_default(),
            views: self.opened.lock().views.iter().copied().collect(),
        };
        let made_with = settled.iter().map(ScalarValue::data_type).collect();
        let kept = KeptPlan::new(plan, config, values, (types, made_with), reads)?;
        Ok(Made::Plan(Box::new(kept)))
    }
}

/// Whether what a plan computes depends on nothing but rows and parameters: each of its functions gives the same for the same, and none
/// looks into the server.
fn depends_on_rows_alone(plan: &LogicalPlan) -> PlanResult<bool> {
    let mut does = true;
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            does &= match scan.source.get_logical_plan() {
                Some(view) => depends_on_rows_alone(&view)?,
                None => is_bound_anew(scan)?,
            };
        }
        does &= !matches!(node, LogicalPlan::Extension(_));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                does &= is_fixed(expr);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(match does {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
        })
    })?;
    Ok(does)
}

/// Whether a relation reads the version that it is bound to for each run. Of another one the planner may make a part of the plan what it
/// is now, as the number of its rows.
fn is_bound_anew(scan: &TableScan) -> PlanResult<bool> {
    let provider = source_as_provider(&scan.source)?;
    Ok(BoundTable::of(provider.as_ref()).is_some_and(BoundTable::is_reused))
}

/// Whether an expression itself, what it is of left aside, gives the same for the same.
fn is_fixed(expr: &Expr) -> bool {
    let is_immutable = |volatility| volatility == Volatility::Immutable;
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, .. }) => {
            is_immutable(func.signature().volatility) && !functions::postgres::looks_around(func)
        }
        Expr::AggregateFunction(AggregateFunction { func, .. }) => {
            is_immutable(func.signature().volatility)
        }
        Expr::WindowFunction(call) => {
            let WindowFunction { fun, .. } = call.as_ref();
            is_immutable(match fun {
                WindowFunctionDefinition::AggregateUDF(fun) => fun.signature().volatility,
                WindowFunctionDefinition::WindowUDF(fun) => fun.signature().volatility,
            })
        }
        Expr::ScalarSubquery(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_)
        | Expr::ScalarVariable(..)
        | Expr::HigherOrderFunction(_) => false,
        _ => true,
    }
}

/// Has `$1`, `$2`, … of a plan that is optimized take their values when it runs.
fn open_parameters(plan: LogicalPlan, values: &Arc<Values>) -> PlanResult<LogicalPlan> {
    replaced(plan, |Placeholder { id, field }| {
        let at = number(&id).and_then(|number| number.checked_sub(1));
        let (Some(at), Some(field)) = (at, field) else {
            return internal_err!("parameter {id} has no number or no type");
        };
        let parameter = Parameter::new(at, field.data_type().clone(), values);
        let call = ScalarFunction::new_udf(Arc::new(ScalarUDF::from(parameter)), vec![]);
        Ok(Expr::ScalarFunction(call))
    })
}

/// Whether each node of a plan can be run again once its state is reset, and each reads a version that it is bound to.
fn can_be_repeated(plan: &dyn ExecutionPlan) -> bool {
    if let Some(scan) = plan.downcast_ref::<TableScanExec>() {
        return scan.table().is_reused();
    }
    let is_known = matches!(
        plan.name(),
        "TableScanExec"
            | "PlaceholderRowExec"
            | "EmptyExec"
            | "ProjectionExec"
            | "FilterExec"
            | "CooperativeExec"
            | "CoalesceBatchesExec"
            | "CoalescePartitionsExec"
            | "GlobalLimitExec"
            | "LocalLimitExec"
            | "AggregateExec"
            | "SortExec"
            | "SortPreservingMergeExec"
            | "UnionExec"
            | "HashJoinExec"
            | "CrossJoinExec"
            | "WindowAggExec"
            | "BoundedWindowAggExec"
    );
    is_known
        && plan
            .children()
            .into_iter()
            .all(|child| can_be_repeated(child.as_ref()))
}
