//! Subqueries that read columns of the query around them, and that DataFusion does not make joins of.
//!
//! One that is used as a value becomes the aggregate `only_row` of its rows, of which DataFusion then makes a join where what
//! correlates it are equalities. What is left (other correlations, `EXISTS` and `IN` among the columns) is *applied*: run as a
//! function of the values that it reads.

mod applied;
mod domain;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, internal_err, not_impl_err};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::async_udf::AsyncScalarUDF;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::logical_plan::{Subquery, check_subquery_expr};
use datafusion::logical_expr::{
    AggregateUDF, Case, Expr, LogicalPlan, LogicalPlanBuilder, Signature, TypeSignature, Volatility,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;

use super::rewrite;
use crate::functions::OnlyRow;
use applied::{Applied, Kind};

/// Makes each subquery of a plan one that can be run.
pub(super) fn runnable(
    plan: LogicalPlan,
    state: &SessionState,
    runtime: &Arc<RuntimeEnv>,
) -> Result<LogicalPlan> {
    let mut is_needed = false;
    plan.apply(|node| {
        is_needed |= has_subquery(node)?;
        Ok(match is_needed {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    if !is_needed {
        return Ok(plan);
    }
    let mut runner = Runner {
        state,
        runtime,
        made: 0,
        arguments: HashMap::new(),
    };
    plan.transform_up_with_subqueries(|node| {
        if !has_subquery(&node)? {
            return Ok(Transformed::no(node));
        }
        runner.node(node)
    })
    .data()
}

/// Makes functions of subqueries, each of a name of its own.
struct Runner<'a> {
    state: &'a SessionState,
    runtime: &'a Arc<RuntimeEnv>,
    made: usize,
    /// How many arguments each function has before that which says for which rows it is needed.
    arguments: HashMap<String, usize>,
}

impl Runner<'_> {
    fn node(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut columns = DFSchema::empty();
        for input in node.inputs() {
            columns.merge(input.schema());
        }
        let place = node.clone();
        match &place {
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => {
                rewrite::node(node, &mut |expr, _| {
                    self.expression(expr, &place, &columns, &mut |call| call)
                })
            }
            _ if node.inputs().len() == 1 => self.below(&node, &columns).map(Transformed::yes),
            _ => {
                let before = self.made;
                let node = rewrite::node(node, &mut |expr, _| {
                    self.expression(expr, &place, &columns, &mut |call| call)
                })?;
                match self.made == before {
                    true => Ok(node),
                    false => not_impl_err!(
                        "a subquery that reads other relations is not supported in the condition of a join"
                    ),
                }
            }
        }
    }

    /// A node that cannot wait for a function: what its subqueries give is a column of its input.
    fn below(&mut self, node: &LogicalPlan, columns: &DFSchema) -> Result<LogicalPlan> {
        let [input] = node.inputs()[..] else {
            return internal_err!("a node without an input");
        };
        let mut computed: Vec<Expr> = input
            .schema()
            .iter()
            .map(|column| Expr::Column(column.into()))
            .collect();
        let mut as_column = |call: Expr| {
            let name = call.schema_name().to_string();
            computed.push(call);
            Expr::Column(Column::new_unqualified(name))
        };
        let names = NamePreserver::new(node);
        let mut exprs = Vec::new();
        for expr in node.expressions() {
            let name = names.save(&expr);
            let settled = self.expression(expr, node, columns, &mut as_column)?;
            exprs.push(name.restore(settled.data));
        }
        let input = LogicalPlanBuilder::from(input.clone())
            .project(computed)?
            .build()?;
        let outside = node.schema().iter();
        let outside: Vec<Expr> = outside.map(|column| Expr::Column(column.into())).collect();
        let node = node.with_new_exprs(exprs, vec![input])?;
        LogicalPlanBuilder::from(node).project(outside)?.build()
    }

    /// An expression, with `place_call` of each call in the place of a subquery.
    fn expression(
        &mut self,
        expr: Expr,
        place: &LogicalPlan,
        columns: &DFSchema,
        place_call: &mut impl FnMut(Expr) -> Expr,
    ) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| {
            if let Expr::Case(case) = expr {
                let case = guarded(case, &self.arguments)?;
                return Ok(Transformed::yes(Expr::Case(case)));
            }
            if !is_subquery(&expr) {
                return Ok(Transformed::no(expr));
            }
            let settled = settled(expr, place)?;
            if is_joined(&settled.data, place)? {
                return Ok(settled);
            }
            self.made += 1;
            let call = applied(settled.data, columns, self.made, self.state, self.runtime)?;
            if let Expr::ScalarFunction(call) = &call {
                let name = call.func.name().to_owned();
                self.arguments.insert(name, call.args.len());
            }
            Ok(Transformed::yes(place_call(call)))
        })
    }
}

/// Whether an expression of a node has a subquery.
fn has_subquery(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr.exists(|expr| Ok(is_subquery(expr)))?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)
    )
}

/// A correlated subquery used as a value, as an aggregate where it is none.
fn settled(expr: Expr, place: &LogicalPlan) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(subquery) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let is_known = check_subquery_expr(place, &subquery.subquery, &expr).is_ok();
    if subquery.outer_ref_columns.is_empty() || is_known {
        return Ok(Transformed::no(expr));
    }
    let inner = subquery.subquery.as_ref();
    let [(qualifier, field)] = inner.schema().iter().collect::<Vec<_>>()[..] else {
        return Ok(Transformed::no(expr));
    };
    let only = AggregateUDF::from(OnlyRow::default());
    let value = Expr::Column(Column::from((qualifier, field)));
    let one = only.call(vec![value]).alias(field.name());
    let plan = LogicalPlanBuilder::from(inner.clone())
        .aggregate(Vec::<Expr>::new(), vec![one])?
        .build()?;
    Ok(Transformed::yes(Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        ..subquery.clone()
    })))
}

/// Whether DataFusion runs a subquery by itself, where it stands.
fn is_joined(expr: &Expr, place: &LogicalPlan) -> Result<bool> {
    let (subquery, is_value) = match expr {
        Expr::ScalarSubquery(subquery) => (subquery, true),
        Expr::Exists(exists) => (&exists.subquery, false),
        Expr::InSubquery(within) => (&within.subquery, false),
        _ => return Ok(true),
    };
    if check_subquery_expr(place, &subquery.subquery, expr).is_err()
        || !is_correlated_by_filters(&subquery.subquery)?
    {
        return Ok(false);
    }
    if !is_value {
        return Ok(matches!(place, LogicalPlan::Filter(_)));
    }
    if subquery.outer_ref_columns.is_empty() {
        return Ok(true);
    }
    if !matches!(place, LogicalPlan::Filter(_) | LogicalPlan::Projection(_)) {
        return Ok(false);
    }
    let mut pull_up = PullUpCorrelatedExpr::new().with_need_handle_count_bug(true);
    let pulled = subquery.subquery.as_ref().clone().rewrite(&mut pull_up);
    Ok(pulled.is_ok() && pull_up.can_pull_up)
}

/// A `CASE` whose branches run their subqueries for the rows that come there, and for no others.
fn guarded(case: Case, arguments: &HashMap<String, usize>) -> Result<Case> {
    let has_call = |expr: &Expr| {
        expr.exists(|expr| {
            Ok(matches!(expr, Expr::ScalarFunction(call) if arguments.contains_key(call.func.name())))
        })
    };
    let mut conditions = Vec::with_capacity(case.when_then_expr.len());
    for (when, _) in &case.when_then_expr {
        // A condition is not run twice.
        if has_call(when)? {
            return Ok(case);
        }
        conditions.push(match &case.expr {
            Some(value) => value.as_ref().clone().eq(when.as_ref().clone()),
            None => when.as_ref().clone(),
        });
    }
    if let Some(value) = &case.expr
        && has_call(value)?
    {
        return Ok(case);
    }
    let mut passed: Option<Expr> = None;
    let mut branches = Vec::with_capacity(conditions.len());
    for ((when, then), condition) in case.when_then_expr.into_iter().zip(conditions) {
        let is_met = condition.clone().is_true();
        let guard = match passed.clone() {
            Some(passed) => passed.and(is_met),
            None => is_met,
        };
        branches.push((when, Box::new(with_guard(*then, &guard, arguments)?)));
        let is_not_met = condition.is_not_true();
        passed = Some(match passed {
            Some(passed) => passed.and(is_not_met),
            None => is_not_met,
        });
    }
    let otherwise = match (case.else_expr, passed) {
        (Some(otherwise), Some(passed)) => {
            Some(Box::new(with_guard(*otherwise, &passed, arguments)?))
        }
        (otherwise, _) => otherwise,
    };
    Ok(Case::new(case.expr, branches, otherwise))
}

/// An expression whose subqueries are run for the rows of which `guard` is true.
fn with_guard(expr: Expr, guard: &Expr, arguments: &HashMap<String, usize>) -> Result<Expr> {
    expr.transform_up(|expr| match expr {
        Expr::ScalarFunction(mut call) => {
            let Some(count) = arguments.get(call.func.name()) else {
                return Ok(Transformed::no(Expr::ScalarFunction(call)));
            };
            let guard = match call.args.len() > *count {
                true => call.args.pop().map(|inner| guard.clone().and(inner)),
                false => Some(guard.clone()),
            };
            call.args.extend(guard);
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
        expr => Ok(Transformed::no(expr)),
    })
    .data()
}

/// Whether columns of the query around it stand in conditions only: nothing else is pulled up.
fn is_correlated_by_filters(plan: &LogicalPlan) -> Result<bool> {
    let mut has_others = false;
    plan.apply(|node| {
        if !matches!(node, LogicalPlan::Filter(_)) {
            node.apply_expressions(|expr| {
                has_others |= expr.contains_outer();
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(!has_others)
}

/// The call of a function that runs the subquery.
fn applied(
    expr: Expr,
    columns: &DFSchema,
    number: usize,
    state: &SessionState,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Expr> {
    let (subquery, kind, needle) = match expr {
        Expr::ScalarSubquery(subquery) => (subquery, Kind::Value, None),
        Expr::Exists(exists) => (
            exists.subquery,
            Kind::Exists {
                negated: exists.negated,
            },
            None,
        ),
        Expr::InSubquery(within) => (
            within.subquery,
            Kind::Contains {
                negated: within.negated,
            },
            Some(*within.expr),
        ),
        expr => return Ok(expr),
    };
    let mut outer = Vec::new();
    for reference in &subquery.outer_ref_columns {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && !outer.contains(column)
        {
            outer.push(column.clone());
        }
    }
    let mut args = Vec::with_capacity(outer.len() + 1);
    for reference in &subquery.outer_ref_columns {
        if let Expr::OuterReferenceColumn(_, column) = reference
            && args.len() < outer.len()
            && outer.get(args.len()) == Some(column)
        {
            // A column of a query further out stays one, and is given when that is run.
            args.push(match columns.has_column(column) {
                true => Expr::Column(column.clone()),
                false => reference.clone(),
            });
        }
    }
    args.extend(needle);
    let field = match kind {
        Kind::Value => match subquery.subquery.schema().fields().first() {
            Some(field) => Arc::new(field.as_ref().clone().with_nullable(true)),
            None => return internal_err!("a subquery without columns"),
        },
        _ => Arc::new(Field::new("exists", DataType::Boolean, true)),
    };
    let function = Applied {
        name: format!("subquery_{number}"),
        plan: subquery.subquery.as_ref().clone(),
        outer,
        kind,
        field,
        state: state.clone(),
        runtime: Arc::clone(runtime),
        // As what it calls may give something else each time.
        signature: Signature::one_of(
            vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
            Volatility::Volatile,
        ),
    };
    let function = AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf();
    Ok(function.call(args))
}
