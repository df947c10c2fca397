//! Rewriting the expressions of a plan by a rule that looks at their types.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

/// The columns that the expressions of a plan's node may name; put together when they are first asked for.
pub(super) struct Scope<'a> {
    columns: &'a dyn Fn() -> DFSchema,
    known: OnceCell<DFSchema>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(columns: &'a dyn Fn() -> DFSchema) -> Self {
        Self {
            columns,
            known: OnceCell::new(),
        }
    }

    /// The field that an expression makes; none as below.
    pub(super) fn field_of(&self, expr: &Expr) -> Option<FieldRef> {
        let schema = self.known.get_or_init(|| (self.columns)());
        let (_, field) = expr.to_field(schema).ok()?;
        Some(field)
    }

    /// The type of an expression; none where DataFusion has yet to say what is wrong with it.
    pub(super) fn type_of(&self, expr: &Expr) -> Option<DataType> {
        let schema = self.known.get_or_init(|| (self.columns)());
        expr.get_type(schema).ok()
    }
}

/// Applies `rule` to every expression of a plan, from its leaves up. No column changes its name.
pub(super) fn expressions(
    plan: LogicalPlan,
    mut rule: impl FnMut(Expr, &Scope<'_>) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| node(plan, &mut rule))
        .data()
}

/// Applies `rule` to the expressions of one node.
pub(super) fn node(
    plan: LogicalPlan,
    rule: &mut impl FnMut(Expr, &Scope<'_>) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let inputs: Vec<DFSchemaRef> = plan
        .inputs()
        .into_iter()
        .map(|input| Arc::clone(input.schema()))
        .collect();
    let scan = match &plan {
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema()).ok()
        }
        _ => None,
    };
    let columns = || {
        let mut schema = DFSchema::empty();
        for input in inputs.iter().map(AsRef::as_ref).chain(&scan) {
            schema.merge(input);
        }
        schema
    };
    let scope = Scope::new(&columns);
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = rule(expr, &scope)?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })?;
    if rewritten.transformed {
        return rewritten.map_data(LogicalPlan::recompute_schema);
    }
    Ok(rewritten)
}
