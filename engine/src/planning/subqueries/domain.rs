//! A subquery for many rows of the query around it at once: joined with what it reads of them, so that it is planned and run once
//! and not for each row.
//!
//! In: the subquery's plan, in which columns of the query around it stand. Out: a plan whose rows begin with the number of the row
//! that they are for. The values of these columns come as a relation, the *domain*, which is crossed with the innermost part that
//! reads them; a condition that compares them makes a join of it. (T. Neumann, A. Kemper: Unnesting Arbitrary Queries, 2015.)

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias,
    TableSource, when,
};

use super::is_subquery;

/// Values of columns of the query around a subquery.
pub(super) struct Domain<'a> {
    /// The relation's name, which nothing else in the plan has.
    pub(super) name: &'a str,
    /// Its rows: a number, then the values.
    pub(super) source: Arc<dyn TableSource>,
    /// What the values are of, in the order of the relation's columns.
    pub(super) outer: &'a [Column],
}

/// A part of the subquery that has the domain in it.
struct Crossed {
    plan: LogicalPlan,
    /// Where the domain's columns are found in it.
    columns: Vec<Column>,
}

impl Domain<'_> {
    /// The subquery over all rows of the domain: the number of the row, then its own columns. None where it has a part of which
    /// that cannot be said, as a limit that holds for each row.
    pub(super) fn over_all(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let Some(crossed) = self.crossed(plan)? else {
            return Ok(None);
        };
        let number = crossed.columns.into_iter().take(1).map(Expr::Column);
        let own = plan.schema().iter().map(|field| Expr::Column(field.into()));
        let columns: Vec<Expr> = number.chain(own).collect();
        let plan = LogicalPlanBuilder::from(crossed.plan).project(columns)?;
        plan.build().map(Some)
    }

    /// The name of the relation's column of a number: the first numbers the rows.
    pub(super) fn column(name: &str, at: usize) -> String {
        format!("{name}_{at}")
    }

    fn scan(&self) -> Result<Crossed> {
        let plan = LogicalPlanBuilder::scan(self.name, Arc::clone(&self.source), None)?.build()?;
        let columns = plan.schema().iter().map(Column::from).collect();
        Ok(Crossed { plan, columns })
    }

    fn crossed(&self, plan: &LogicalPlan) -> Result<Option<Crossed>> {
        if !self.is_read_in(plan)? {
            let Crossed {
                plan: domain,
                columns,
            } = self.scan()?;
            let plan = LogicalPlanBuilder::from(domain).cross_join(plan.clone())?;
            return Ok(Some(Crossed {
                plan: plan.build()?,
                columns,
            }));
        }
        match plan {
            LogicalPlan::Filter(filter) => {
                let Some(crossed) = self.crossed(&filter.input)? else {
                    return Ok(None);
                };
                let Some(predicate) = self.settled(&filter.predicate, &crossed.columns)? else {
                    return Ok(None);
                };
                let plan = LogicalPlanBuilder::from(crossed.plan).filter(predicate)?;
                Ok(Some(Crossed {
                    plan: plan.build()?,
                    columns: crossed.columns,
                }))
            }
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::SubqueryAlias(alias) => self.alias(alias),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Some(crossed) = self.crossed(input)? else {
                    return Ok(None);
                };
                let plan = LogicalPlanBuilder::from(crossed.plan).distinct()?;
                Ok(Some(Crossed {
                    plan: plan.build()?,
                    columns: crossed.columns,
                }))
            }
            // A lateral query alone, which reads nothing else.
            LogicalPlan::Subquery(lateral) => {
                let is_known = |reference: &Expr| matches!(reference, Expr::OuterReferenceColumn(_, column) if self.outer.contains(column));
                match lateral.outer_ref_columns.iter().all(is_known) {
                    true => self.crossed(&lateral.subquery),
                    false => Ok(None),
                }
            }
            LogicalPlan::Unnest(unnest) => {
                let Some(crossed) = self.crossed(&unnest.input)? else {
                    return Ok(None);
                };
                let plan = LogicalPlanBuilder::from(crossed.plan).unnest_columns_with_options(
                    unnest.exec_columns.clone(),
                    unnest.options.clone(),
                )?;
                Ok(Some(Crossed {
                    plan: plan.build()?,
                    columns: crossed.columns,
                }))
            }
            _ => Ok(None),
        }
    }

    fn projection(&self, projection: &Projection) -> Result<Option<Crossed>> {
        let Some(crossed) = self.crossed(&projection.input)? else {
            return Ok(None);
        };
        let Some(own) = self.all_settled(&projection.expr, &crossed.columns)? else {
            return Ok(None);
        };
        let domain = crossed.columns.iter().cloned().map(Expr::Column);
        let columns: Vec<Expr> = domain.chain(own).collect();
        let plan = LogicalPlanBuilder::from(crossed.plan).project(columns)?;
        Ok(Some(Crossed {
            plan: plan.build()?,
            columns: crossed.columns,
        }))
    }

    fn alias(&self, alias: &SubqueryAlias) -> Result<Option<Crossed>> {
        let Some(crossed) = self.crossed(&alias.input)? else {
            return Ok(None);
        };
        let columns = crossed.columns.into_iter();
        let columns = columns.map(|column| Column::new(Some(alias.alias.clone()), column.name));
        let plan = LogicalPlanBuilder::from(crossed.plan).alias(alias.alias.clone())?;
        Ok(Some(Crossed {
            plan: plan.build()?,
            columns: columns.collect(),
        }))
    }

    /// The domain goes to the side that reads it, which must be one whose every row is in the result at most as itself.
    fn join(&self, join: &Join) -> Result<Option<Crossed>> {
        let (on_left, on_right) = (self.is_read_in(&join.left)?, self.is_read_in(&join.right)?);
        let may_be_left = matches!(
            join.join_type,
            JoinType::Inner
                | JoinType::Left
                | JoinType::LeftSemi
                | JoinType::LeftAnti
                | JoinType::LeftMark
        );
        let may_be_right = matches!(join.join_type, JoinType::Inner | JoinType::Right);
        let (left, right, columns) = match (on_left, on_right) {
            (_, false) if may_be_left => {
                let Some(crossed) = self.crossed(&join.left)? else {
                    return Ok(None);
                };
                let right = Arc::clone(&join.right);
                (Arc::new(crossed.plan), right, crossed.columns)
            }
            (false, _) if may_be_right => {
                let Some(crossed) = self.crossed(&join.right)? else {
                    return Ok(None);
                };
                let left = Arc::clone(&join.left);
                (left, Arc::new(crossed.plan), crossed.columns)
            }
            _ => return Ok(None),
        };
        let mut on = Vec::with_capacity(join.on.len());
        for (one, other) in &join.on {
            let (Some(one), Some(other)) =
                (self.settled(one, &columns)?, self.settled(other, &columns)?)
            else {
                return Ok(None);
            };
            on.push((one, other));
        }
        let filter = match &join.filter {
            None => None,
            Some(filter) => match self.settled(filter, &columns)? {
                None => return Ok(None),
                filter => filter,
            },
        };
        let joined = Join::try_new(
            left,
            right,
            on,
            filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        Ok(Some(Crossed {
            plan: LogicalPlan::Join(joined),
            columns,
        }))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Option<Crossed>> {
        let is_grouping_set = |expr: &Expr| matches!(expr, Expr::GroupingSet(_));
        if aggregate.group_expr.iter().any(is_grouping_set) {
            return Ok(None);
        }
        let Some(crossed) = self.crossed(&aggregate.input)? else {
            return Ok(None);
        };
        let groups = self.all_settled(&aggregate.group_expr, &crossed.columns)?;
        let values = self.all_settled(&aggregate.aggr_expr, &crossed.columns)?;
        let (Some(groups), Some(values)) = (groups, values) else {
            return Ok(None);
        };
        let domain = crossed.columns.iter().cloned().map(Expr::Column);
        let groups: Vec<Expr> = domain.chain(groups).collect();
        let grouped = LogicalPlanBuilder::from(crossed.plan).aggregate(groups, values)?;
        let grouped = Crossed {
            plan: grouped.build()?,
            columns: crossed.columns,
        };
        if aggregate.group_expr.is_empty() {
            return self.of_nothing(aggregate, grouped);
        }
        Ok(Some(grouped))
    }

    /// An aggregate without groups has a row also where there is nothing.
    fn of_nothing(&self, aggregate: &Aggregate, grouped: Crossed) -> Result<Option<Crossed>> {
        let found = format!("{}_found", self.name);
        let aliased = LogicalPlanBuilder::from(grouped.plan)
            .alias(found.clone())?
            .build()?;
        let all = self.scan()?;
        let place = |column: &Column| Column::new(Some(found.clone()), column.name.clone());
        let (Some(number), Some(number_found)) =
            (all.columns.first(), grouped.columns.first().map(place))
        else {
            return Ok(None);
        };
        let mut columns: Vec<Expr> = all.columns.iter().cloned().map(Expr::Column).collect();
        for (expr, (qualifier, field)) in aggregate.aggr_expr.iter().zip(aggregate.schema.iter()) {
            let Expr::AggregateFunction(function) = expr.clone().unalias() else {
                return Ok(None);
            };
            let value = Expr::Column(Column::new(Some(found.clone()), field.name().clone()));
            let default = function.func.default_value(field.data_type())?;
            let value = match default.is_null() {
                true => value,
                false => when(
                    Expr::Column(number_found.clone()).is_null(),
                    Expr::Literal(default, None),
                )
                .otherwise(value)?,
            };
            columns.push(value.alias_qualified(qualifier.cloned(), field.name()));
        }
        let joined = LogicalPlanBuilder::from(all.plan).join_detailed(
            aliased,
            JoinType::Left,
            (vec![number.clone()], vec![number_found.clone()]),
            None,
            NullEquality::NullEqualsNothing,
        )?;
        Ok(Some(Crossed {
            plan: joined.project(columns)?.build()?,
            columns: all.columns,
        }))
    }

    /// Expressions in which the domain's columns stand for those of the query around; their names stay.
    fn all_settled(&self, exprs: &[Expr], columns: &[Column]) -> Result<Option<Vec<Expr>>> {
        let names = NamePreserver::new_for_projection();
        let settled = exprs.iter().map(|expr| {
            let name = names.save(expr);
            let settled = self.settled(expr, columns)?;
            Ok(settled.map(|expr| name.restore(expr)))
        });
        settled.collect()
    }

    fn settled(&self, expr: &Expr, columns: &[Column]) -> Result<Option<Expr>> {
        let values: HashMap<&Column, &Column> =
            self.outer.iter().zip(columns.iter().skip(1)).collect();
        let mut is_settled = true;
        let expr = expr.clone().transform_up(|expr| match &expr {
            Expr::OuterReferenceColumn(_, column) => match values.get(column) {
                Some(value) => Ok(Transformed::yes(Expr::Column((*value).clone()))),
                None => Ok(Transformed::no(expr)),
            },
            expr_with if is_subquery(expr_with) => {
                is_settled &= !self.is_read_by(expr_with)?;
                Ok(Transformed::no(expr))
            }
            _ => Ok(Transformed::no(expr)),
        });
        let expr = expr.data()?;
        Ok(is_settled.then_some(expr))
    }

    /// Whether a plan, or a subquery in it, reads columns of the domain.
    fn is_read_in(&self, plan: &LogicalPlan) -> Result<bool> {
        let mut is_read = false;
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Expr::OuterReferenceColumn(_, column) = expr {
                        is_read |= self.outer.contains(column);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })?;
            Ok(match is_read {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })?;
        Ok(is_read)
    }

    /// Whether a subquery does.
    fn is_read_by(&self, expr: &Expr) -> Result<bool> {
        let subquery = match expr {
            Expr::ScalarSubquery(subquery) => subquery,
            Expr::Exists(exists) => &exists.subquery,
            Expr::InSubquery(within) => &within.subquery,
            _ => return Ok(false),
        };
        self.is_read_in(&subquery.subquery)
    }
}
