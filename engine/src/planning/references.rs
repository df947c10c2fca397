//! Casts to and from `regclass` and its kin, and subscripts of vectors, which DataFusion would treat as numbers and arrays.
//!
//! A reference is kept as the number that it refers by, so that it compares and joins as `oid`s do. From text it is made by looking
//! the name up, and it is written as text by name: in a cast, and where a query gives it out.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::{Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, lit};

use super::rewrite::{self, Scope};
use crate::functions;
use crate::functions::postgres::{reference_of_text, text_of_reference};
use crate::postgres::{Type, marked};

/// Resolves what a plan says of references.
pub(super) fn resolved(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    if !has_some(&plan)? {
        return Ok(plan);
    }
    let plan = rewrite::expressions(plan, |expr, scope| expression(expr, scope, state))?;
    super::marks::kept(plan)
}

/// Writes the references among a query's columns as text, by name.
pub(super) fn written(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let reference = |field: &Field| marked(field).filter(|it| it.is_reference());
    if !schema.fields().iter().any(|it| reference(it).is_some()) {
        return Ok(plan);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column((qualifier, field).into());
        match reference(field) {
            Some(pg_type) => {
                let text = call(&text_of_reference(pg_type), column, state)?;
                let metadata = field.metadata().clone().into();
                Ok(text.alias_with_metadata(field.name(), Some(metadata)))
            }
            None => Ok(column),
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Whether anything in a plan is of such a type: most plans are not looked at twice.
fn has_some(plan: &LogicalPlan) -> Result<bool> {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.schema().fields().iter().any(|it| marked(it).is_some());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= match expr {
                    Expr::Cast(cast) => marked(&cast.field).is_some(),
                    Expr::ScalarFunction(call) => gives_reference(call.func.name()),
                    _ => false,
                };
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn expression(expr: Expr, scope: &Scope<'_>, state: &SessionState) -> Result<Transformed<Expr>> {
    use datafusion::common::tree_node::TreeNode;
    expr.transform_up(|expr| match expr {
        Expr::Cast(cast) => cast_of(cast, scope, state),
        Expr::ScalarFunction(call) if call.func.name() == "array_element" => {
            Ok(subscript(call, scope))
        }
        expr => Ok(Transformed::no(expr)),
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    )
}

fn cast_of(cast: Cast, scope: &Scope<'_>, state: &SessionState) -> Result<Transformed<Expr>> {
    let to_reference = marked(&cast.field).filter(|it| it.is_reference());
    // A parameter of no known type is a text.
    if let (Some(to), Expr::Placeholder(Placeholder { field: None, .. })) =
        (to_reference, cast.expr.as_ref())
    {
        let text = Expr::Cast(Cast::new(cast.expr, DataType::Utf8View));
        return Ok(Transformed::yes(of_text(text, to, state)?));
    }
    let Some(from) = scope.field_of(&cast.expr) else {
        return Ok(Transformed::no(Expr::Cast(cast)));
    };
    let from_reference = marked(&from).filter(|it| it.is_reference());
    Ok(match (to_reference, from_reference) {
        (Some(to), None) if is_text(from.data_type()) => {
            Transformed::yes(of_text(*cast.expr, to, state)?)
        }
        (None, Some(from)) if is_text(cast.field.data_type()) => {
            let text = call(&text_of_reference(from), *cast.expr, state)?;
            let text = Expr::Cast(Cast::new_from_field(Box::new(text), cast.field));
            Transformed::yes(text)
        }
        // A vector is written without braces.
        (None, None) if is_vector(&from) && is_text(cast.field.data_type()) => {
            let args = vec![*cast.expr, lit(" ")];
            let text = functions::call("array_to_string", args)?;
            let text = Expr::Cast(Cast::new_from_field(Box::new(text), cast.field));
            Transformed::yes(text)
        }
        _ => Transformed::no(Expr::Cast(cast)),
    })
}

fn of_text(text: Expr, to: &Type, state: &SessionState) -> Result<Expr> {
    call(&reference_of_text(to), text, state)
}

fn is_vector(field: &Field) -> bool {
    marked(field).is_some_and(|it| matches!(it.name, "int2vector" | "oidvector"))
}

/// Whether a function gives what is written by name: `to_regclass` and its kin.
fn gives_reference(function: &str) -> bool {
    function.starts_with("to_reg") || function.starts_with("reg") || function == "pg_typeof"
}

/// `indkey[0]` is the first: DataFusion counts from 1.
fn subscript(mut call: ScalarFunction, scope: &Scope<'_>) -> Transformed<Expr> {
    let array = call.args.first().and_then(|array| scope.field_of(array));
    let is_vector = array.is_some_and(|field| is_vector(&field));
    if let [_, index] = call.args.as_mut_slice()
        && is_vector
    {
        *index = index.clone() + lit(1_i64);
        // The vector is no vector any more, or it would be counted again.
        return Transformed::yes(Expr::ScalarFunction(call));
    }
    Transformed::no(Expr::ScalarFunction(call))
}

fn call(name: &str, argument: Expr, state: &SessionState) -> Result<Expr> {
    let function: Option<&Arc<ScalarUDF>> = state.scalar_functions().get(name);
    match function {
        Some(function) => Ok(function.call(vec![argument])),
        None => plan_err!("type {name:?} cannot be read or written"),
    }
}
