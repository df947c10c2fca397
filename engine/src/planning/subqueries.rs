//! Subqueries that read columns of the query around them, and that DataFusion does not make joins of.
//!
//! One that is used as a value becomes the aggregate `only_row` of its rows, of which DataFusion then makes a join where what
//! correlates it are equalities. What is left (other correlations, `EXISTS` and `IN` among the columns) is *applied*: run once for
//! each set of values that it reads, as a function of them.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, FieldRef};
use async_trait::async_trait;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, exec_err, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::logical_plan::{Subquery, check_subquery_expr};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;
use datafusion::physical_plan::collect;

use super::rewrite;
use crate::functions::OnlyRow;

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
    let mut numbers = 0;
    plan.transform_up_with_subqueries(|node| {
        if !has_subquery(&node)? {
            return Ok(Transformed::no(node));
        }
        let inputs = node.inputs().into_iter().map(|input| input.schema());
        let mut columns = DFSchema::empty();
        for input in inputs {
            columns.merge(input);
        }
        let place = node.clone();
        rewrite::node(node, &mut |expr, _| {
            expr.transform_up(|expr| {
                if !is_subquery(&expr) {
                    return Ok(Transformed::no(expr));
                }
                let settled = settled(expr, &place)?;
                if is_joined(&settled.data, &place)? {
                    return Ok(settled);
                }
                numbers += 1;
                applied(settled.data, &columns, numbers, state, runtime).map(Transformed::yes)
            })
        })
    })
    .data()
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
    if check_subquery_expr(place, &subquery.subquery, expr).is_err() {
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
        // The plan differs from run to run only by values, so it may be optimized as any other.
        state: state.clone(),
        runtime: Arc::clone(runtime),
        signature: Signature::user_defined(Volatility::Volatile),
    };
    let function = AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf();
    Ok(function.call(args))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// The value of the one row.
    Value,
    /// Whether there is a row.
    Exists { negated: bool },
    /// Whether the last argument is among the rows.
    Contains { negated: bool },
}

/// A subquery as a function of what it reads of the query around it.
struct Applied {
    name: String,
    plan: LogicalPlan,
    outer: Vec<Column>,
    kind: Kind,
    field: FieldRef,
    state: SessionState,
    runtime: Arc<RuntimeEnv>,
    signature: Signature,
}

impl fmt::Debug for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Applied {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind && self.plan == other.plan
    }
}

impl Eq for Applied {}

impl Hash for Applied {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.kind.hash(state);
    }
}

impl ScalarUDFImpl for Applied {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a subquery can only be run asynchronously")
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Applied {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(args.number_rows))
            .collect::<Result<Vec<_>>>()?;
        let mut known: HashMap<Vec<ScalarValue>, ScalarValue> = HashMap::new();
        let mut results = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let values = arrays
                .iter()
                .map(|array| ScalarValue::try_from_array(array, row))
                .collect::<Result<Vec<_>>>()?;
            let result = match known.get(&values) {
                Some(result) => result.clone(),
                None => {
                    let result = self.run(&values).await?;
                    known.insert(values, result.clone());
                    result
                }
            };
            results.push(result);
        }
        let array = match results.is_empty() {
            true => arrow::array::new_empty_array(self.field.data_type()),
            false => ScalarValue::iter_to_array(results)?,
        };
        Ok(ColumnarValue::Array(array))
    }
}

impl Applied {
    /// Runs the subquery with these values of the columns around it.
    async fn run(&self, values: &[ScalarValue]) -> Result<ScalarValue> {
        let outer: HashMap<&Column, &ScalarValue> = self.outer.iter().zip(values).collect();
        let plan = with_values(self.plan.clone(), &outer)?;
        let plan = self.state.create_physical_plan(&plan).await?;
        let context = TaskContext::from(&self.state).with_runtime(Arc::clone(&self.runtime));
        let batches = collect(plan, Arc::new(context)).await?;
        let rows: usize = batches
            .iter()
            .map(arrow::array::RecordBatch::num_rows)
            .sum();
        match self.kind {
            Kind::Exists { negated } => Ok(ScalarValue::from((rows > 0) != negated)),
            Kind::Value if rows > 1 => {
                exec_err!("more than one row returned by a subquery used as an expression")
            }
            Kind::Value => {
                let columns = batches.iter().filter(|batch| batch.num_rows() > 0);
                let mut columns = columns.filter_map(|batch| batch.columns().first());
                match columns.next() {
                    Some(column) => {
                        ScalarValue::try_from_array(column, 0)?.cast_to(self.field.data_type())
                    }
                    None => ScalarValue::try_from(self.field.data_type()),
                }
            }
            Kind::Contains { negated } => {
                let Some(needle) = values.last() else {
                    return internal_err!("IN without a value");
                };
                let columns = batches.iter().filter_map(|batch| batch.columns().first());
                let mut has_null = false;
                for column in columns {
                    for row in 0..column.len() {
                        let value = ScalarValue::try_from_array(column, row)?;
                        has_null |= value.is_null();
                        let value = value.cast_to(&needle.data_type())?;
                        if !needle.is_null() && value == *needle {
                            return Ok(ScalarValue::from(!negated));
                        }
                    }
                }
                // Of nothing nothing is a member; else a null may be one.
                Ok(match rows > 0 && (has_null || needle.is_null()) {
                    true => ScalarValue::Boolean(None),
                    false => ScalarValue::from(negated),
                })
            }
        }
    }
}

/// The plan with values in the place of columns of the query around it.
fn with_values(plan: LogicalPlan, outer: &HashMap<&Column, &ScalarValue>) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |expr, _| {
        expr.transform_up(|expr| match expr {
            Expr::OuterReferenceColumn(field, column) => match outer.get(&column) {
                Some(value) => Ok(Transformed::yes(Expr::Literal((*value).clone(), None))),
                None => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
            },
            // What a subquery within reads from further out is given now.
            Expr::ScalarSubquery(subquery) => Ok(Transformed::yes(Expr::ScalarSubquery(
                without_outer(subquery, outer),
            ))),
            Expr::Exists(mut exists) => {
                exists.subquery = without_outer(exists.subquery, outer);
                Ok(Transformed::yes(Expr::Exists(exists)))
            }
            Expr::InSubquery(mut within) => {
                within.subquery = without_outer(within.subquery, outer);
                Ok(Transformed::yes(Expr::InSubquery(within)))
            }
            expr => Ok(Transformed::no(expr)),
        })
    })
}

fn without_outer(mut subquery: Subquery, outer: &HashMap<&Column, &ScalarValue>) -> Subquery {
    subquery
        .outer_ref_columns
        .retain(|reference| match reference {
            Expr::OuterReferenceColumn(_, column) => !outer.contains_key(column),
            _ => true,
        });
    subquery
}
