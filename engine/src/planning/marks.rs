//! Which of PostgreSQL's types an expression is of, where DataFusion forgets it: `CASE`, `coalesce`, `max`, `array_agg` give fields
//! without the marks of what they are made from.
//!
//! In: a plan over PostgreSQL's catalogs. Out: the same plan, its columns marked. Clients that read values in binary decode them by type,
//! and look up the types that they do not know.

use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::logical_expr::expr::{Alias, FieldMetadata};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::rewrite::{self, Scope};
use crate::postgres::{Type, mark, marked, numbered};

/// Marks the columns of each node.
pub(super) fn kept(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let node = rewrite::node(plan, &mut marked_expression)?;
        // What comes from below may be marked now where no expression has changed.
        Ok(match &node.data {
            LogicalPlan::Projection(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Window(_) => Transformed::yes(node.data.recompute_schema()?),
            _ => node,
        })
    })
    .data()
}

fn marked_expression(expr: Expr, scope: &Scope<'_>) -> Result<Transformed<Expr>> {
    let Some(pg_type) = found(&expr, scope) else {
        return Ok(Transformed::no(expr));
    };
    let is_known = scope
        .field_of(&expr)
        .is_none_or(|field| marked(&field).is_some() || !is_kept_as(&field, pg_type));
    if is_known {
        return Ok(Transformed::no(expr));
    }
    let field = mark(Field::new("", pg_type.arrow(), true), pg_type);
    let metadata = Some(FieldMetadata::from(field.metadata().clone()));
    Ok(Transformed::yes(match expr {
        Expr::Alias(alias) => Expr::Alias(Alias { metadata, ..alias }),
        expr => {
            let name = expr.schema_name().to_string();
            expr.alias_with_metadata(name, metadata)
        }
    }))
}

fn is_kept_as(field: &Field, pg_type: &Type) -> bool {
    match (field.data_type(), pg_type.arrow()) {
        (DataType::List(one), DataType::List(other)) => one.data_type() == other.data_type(),
        (one, other) => *one == other,
    }
}

/// The type that an expression has from what it is made of.
fn found(expr: &Expr, scope: &Scope<'_>) -> Option<&'static Type> {
    match expr {
        Expr::Alias(alias) => found(&alias.expr, scope),
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            common(branches.chain(case.else_expr.as_deref()), scope)
        }
        Expr::ScalarFunction(call) => match call.func.name() {
            "coalesce" | "greatest" | "least" => common(call.args.iter(), scope),
            "nullif" => found(call.args.first()?, scope),
            _ => of_field(expr, scope),
        },
        Expr::AggregateFunction(call) => {
            let value = call.params.args.first()?;
            match call.func.name() {
                "min" | "max" | "first_value" | "last_value" | "only_row" => found(value, scope),
                "array_agg" => numbered(found(value, scope)?.array),
                _ => None,
            }
        }
        _ => of_field(expr, scope),
    }
}

fn of_field(expr: &Expr, scope: &Scope<'_>) -> Option<&'static Type> {
    marked(scope.field_of(expr)?.as_ref())
}

/// The one type of all that are not null.
fn common<'a>(exprs: impl Iterator<Item = &'a Expr>, scope: &Scope<'_>) -> Option<&'static Type> {
    let is_null = |expr: &&Expr| matches!(expr, Expr::Literal(value, _) if value.is_null());
    let mut types = exprs
        .filter(|expr| !is_null(expr))
        .map(|expr| found(expr, scope));
    let first = types.next()??;
    types
        .all(|it| it.is_some_and(|it| it.oid == first.oid))
        .then_some(first)
}
