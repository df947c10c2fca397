//! `FROM t, LATERAL (SELECT … unnest(t.a) …)`: rows made of each row of the relations before.
//!
//! In: a plan with such joins, whose right side reads columns of its left side. Out: the same plan, in which the right side
//! reads the left side's rows in place of the one empty row that it began with, so that nothing is correlated any more.
//! DataFusion decorrelates what reads tables; what makes its rows by `unnest` it does not.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchemaRef, Result, ScalarValue, TableReference};
use datafusion::logical_expr::{
    EmptyRelation, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection,
    Subquery, SubqueryAlias, Unnest,
};

use crate::functions;

/// The prefix of the names that the left side's columns have on their way.
const LEFT: &str = "\u{1}left";

/// A plan without joins of that kind.
pub(in crate::planning) fn unnested(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) => Ok(match joined(&join)? {
            Some(plan) => Transformed::yes(plan),
            None => Transformed::no(LogicalPlan::Join(join)),
        }),
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn joined(join: &Join) -> Result<Option<LogicalPlan>> {
    let keeps_left = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(None),
    };
    let is_true = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
    let filter = join.filter.as_ref().filter(|filter| !is_true(filter));
    if !join.on.is_empty() || (keeps_left && filter.is_some()) {
        return Ok(None);
    }
    let (subquery, alias) = match join.right.as_ref() {
        LogicalPlan::Subquery(subquery) => (subquery, None),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => match input.as_ref() {
            LogicalPlan::Subquery(subquery) => (subquery, Some(alias.clone())),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let left = Left::of(&join.left)?;
    let Some(rows) = left.threaded(subquery, keeps_left)? else {
        return Ok(None);
    };
    let rows = left.restored(rows, alias.as_ref())?;
    let rows = match filter {
        Some(filter) => LogicalPlanBuilder::from(rows)
            .filter(filter.clone())?
            .build()?,
        None => rows,
    };
    Ok(Some(rows))
}

/// The left side, its columns under names of their own.
struct Left {
    plan: LogicalPlan,
    schema: DFSchemaRef,
}

impl Left {
    fn of(plan: &Arc<LogicalPlan>) -> Result<Self> {
        let schema = Arc::clone(plan.schema());
        let columns = schema.iter().enumerate().map(|(at, (relation, field))| {
            Expr::Column((relation, field).into()).alias(format!("{LEFT}{at}"))
        });
        let renamed = LogicalPlanBuilder::from(plan.as_ref().clone())
            .project(columns.collect::<Vec<_>>())?
            .build()?;
        Ok(Self {
            plan: renamed,
            schema,
        })
    }

    fn threaded(&self, subquery: &Subquery, keeps_left: bool) -> Result<Option<LogicalPlan>> {
        // Only where rows are made by `unnest`: all else DataFusion plans.
        let makes_rows = subquery
            .subquery
            .exists(|plan| Ok(matches!(plan, LogicalPlan::Unnest(_))))?;
        match makes_rows {
            true => self.through(&subquery.subquery, keeps_left),
            false => Ok(None),
        }
    }

    /// `plan` over the left side's rows, with their columns beside its own; none where it cannot be.
    fn through(&self, plan: &LogicalPlan, keeps_left: bool) -> Result<Option<LogicalPlan>> {
        Ok(match plan {
            LogicalPlan::EmptyRelation(EmptyRelation {
                produce_one_row: true,
                ..
            }) => Some(self.plan.clone()),
            LogicalPlan::Projection(projection) => {
                let Some(input) = self.through(&projection.input, keeps_left)? else {
                    return Ok(None);
                };
                let exprs = projection.expr.iter().cloned();
                Some(self.project(exprs, input)?)
            }
            LogicalPlan::Filter(filter) if !keeps_left => {
                let Some(input) = self.through(&filter.input, keeps_left)? else {
                    return Ok(None);
                };
                let predicate = self.inner(filter.predicate.clone(), input.schema())?;
                Some(LogicalPlan::Filter(Filter::try_new(
                    predicate,
                    Arc::new(input),
                )?))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let Some(input) = self.through(&alias.input, keeps_left)? else {
                    return Ok(None);
                };
                Some(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                    Arc::new(input),
                    alias.alias.clone(),
                )?))
            }
            // A relation that reads the left side within the right.
            LogicalPlan::Subquery(subquery) => self.through(&subquery.subquery, keeps_left)?,
            LogicalPlan::Unnest(unnest) => self.unnest(unnest, keeps_left)?,
            _ => None,
        })
    }

    fn unnest(&self, unnest: &Unnest, keeps_left: bool) -> Result<Option<LogicalPlan>> {
        let input = match unnest.input.as_ref() {
            LogicalPlan::Projection(projection) if keeps_left => {
                let Some(input) = self.through(&projection.input, keeps_left)? else {
                    return Ok(None);
                };
                // A null list gives a row of null; an empty one none, so it is made null.
                let exprs = projection.expr.iter().map(|expr| {
                    let name = expr.schema_name().to_string();
                    let is_list = unnest.exec_columns.iter().any(|column| column.name == name);
                    match is_list {
                        true => Ok(
                            functions::call("null_if_empty", vec![expr.clone().unalias()])?
                                .alias(name),
                        ),
                        false => Ok(expr.clone()),
                    }
                });
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                Some(self.project(exprs, input)?)
            }
            other => self.through(other, keeps_left)?,
        };
        let Some(input) = input else { return Ok(None) };
        let options = unnest.options.clone().with_preserve_nulls(keeps_left);
        let plan = LogicalPlanBuilder::from(input)
            .unnest_columns_with_options(unnest.exec_columns.clone(), options)?
            .build()?;
        Ok(Some(plan))
    }

    /// The left side's columns, and these.
    fn project(
        &self,
        exprs: impl IntoIterator<Item = Expr>,
        input: LogicalPlan,
    ) -> Result<LogicalPlan> {
        let mut all = (0..self.schema.fields().len())
            .map(|at| self.column(at, input.schema()))
            .collect::<Result<Vec<_>>>()?;
        for expr in exprs {
            all.push(self.inner(expr, input.schema())?);
        }
        Ok(LogicalPlan::Projection(Projection::try_new(
            all,
            Arc::new(input),
        )?))
    }

    /// The left side's column at a place, as `schema` knows it.
    fn column(&self, at: usize, schema: &DFSchemaRef) -> Result<Expr> {
        let name = format!("{LEFT}{at}");
        let (relation, field) = schema.qualified_field_with_unqualified_name(&name)?;
        Ok(Expr::Column((relation, field).into()))
    }

    /// An expression that reads the left side as a row around it, reading it as columns of `schema`.
    fn inner(&self, expr: Expr, schema: &DFSchemaRef) -> Result<Expr> {
        expr.transform(|expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => {
                match self.schema.maybe_index_of_column(column) {
                    Some(at) => Ok(Transformed::yes(self.column(at, schema)?)),
                    None => Ok(Transformed::no(expr)),
                }
            }
            _ => Ok(Transformed::no(expr)),
        })
        .data()
    }

    /// The rows with the names that the join gives them.
    fn restored(&self, rows: LogicalPlan, alias: Option<&TableReference>) -> Result<LogicalPlan> {
        let schema = Arc::clone(rows.schema());
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (at, (relation, field)) in self.schema.iter().enumerate() {
            let column = self.column(at, &schema)?;
            columns.push(column.alias_qualified(relation.cloned(), field.name()));
        }
        for (relation, field) in schema.iter() {
            if field.name().starts_with(LEFT) {
                continue;
            }
            let column = Expr::Column(Column::new(relation.cloned(), field.name()));
            columns
                .push(column.alias_qualified(alias.cloned().or(relation.cloned()), field.name()));
        }
        LogicalPlanBuilder::from(rows).project(columns)?.build()
    }
}
