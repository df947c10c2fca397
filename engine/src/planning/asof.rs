//! `ASOF JOIN`, and `JOIN … FOR SYSTEM_TIME AS OF`, which is one by the time of a stream.
//!
//! DataFusion's planner knows neither. But whoever plans relations may plan a join in brackets, so each `ASOF JOIN` is put into brackets
//! with what stands on its left, and planned here into an [`AsOfJoin`]. The version of a row that was in force at a time is the last
//! one of its key that is not after it: that can be told, again and again, of the rows of a stream, which stay; of a table only its
//! newest rows are known to stay, so there it is refused.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    self, Join, JoinConstraint, JoinOperator, TableFactor, TableVersion, TableWithJoins, VisitMut,
    VisitorMut,
};
use weir_catalog::{Body, Snapshot};
use weir_streaming::AsOfJoin;

use super::relations::object;
use super::{Planner, Text};
use crate::error::{Error, Result};
use crate::statements::{normalized, position_of};

/// Whether a relation is read as of a time, and nothing else is asked of it: what [`settle`] takes in hand.
pub(crate) fn is_versioned(factor: &TableFactor) -> bool {
    matches!(
        factor,
        TableFactor::Table {
            version: Some(TableVersion::ForSystemTimeAsOf(_)),
            args: None,
            with_hints,
            index_hints,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            alias,
            ..
        } if with_hints.is_empty()
            && index_hints.is_empty()
            && partitions.is_empty()
            && alias.as_ref().is_none_or(|alias| alias.columns.is_empty() && alias.at.is_none())
    )
}

impl Planner {
    /// Puts every join by time into brackets, and writes joins with a version of a row as such.
    ///
    /// # Errors
    /// When a version is asked for that cannot be told.
    pub(super) fn settle_joins_by_time(
        &self,
        statement: &mut ast::Statement,
        text: Text<'_>,
        schema: &str,
    ) -> Result<()> {
        let mut settler = Settler {
            ctes: super::names::mentioned(statement).ctes,
            snapshot: self.snapshot_for(text),
            schema,
            error: None,
        };
        let _ = VisitMut::visit(statement, &mut settler);
        match settler.error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The column that says from when on a row of a stream is in force.
fn time_of_versions(
    name: &ast::ObjectName,
    snapshot: &Snapshot,
    schema: &str,
    ctes: &HashSet<String>,
) -> Result<ast::Ident> {
    let is_cte = matches!(name.0.as_slice(), [part] if part
        .as_ident()
        .is_some_and(|ident| ctes.contains(&normalized(ident))));
    let refused = |why: &str| {
        Error::unsupported(format!(
            "FOR SYSTEM_TIME AS OF of {name} is not supported: {why}"
        ))
        .with_hint("join with a stream that has each version of a row, and a watermark for the time from which it is in force")
    };
    if is_cte {
        return Err(refused("it is no stream"));
    }
    match &snapshot.relation(&object(name, schema)?)?.body {
        Body::Stream(stream) if stream.is_changelog() => Err(refused(
            "of the rows that it tells of only the newest of each key is known to stay",
        )),
        Body::Stream(stream) => match &stream.watermark {
            Some(watermark) => Ok(ast::Ident::with_quote('"', &watermark.column)),
            None => Err(refused(
                "it has no watermark, which would say what the time of its rows is",
            )),
        },
        Body::Table(_) => Err(refused(
            "of a table only the newest row of each key is known to stay",
        )),
        _ => Err(refused("it is no stream")),
    }
}

struct Settler<'a> {
    ctes: HashSet<String>,
    snapshot: &'a Snapshot,
    schema: &'a str,
    error: Option<Error>,
}

impl VisitorMut for Settler<'_> {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        // Chains of UNION lean to the left and can be long.
        let mut pending = vec![query.body.as_mut()];
        while let Some(body) = pending.pop() {
            match body {
                ast::SetExpr::Select(select) => {
                    for from in &mut select.from {
                        self.settle(from)?;
                    }
                }
                ast::SetExpr::SetOperation { left, right, .. } => {
                    pending.extend([left.as_mut(), right.as_mut()]);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => self.settle(table_with_joins),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Settler<'_> {
    fn settle(&mut self, from: &mut TableWithJoins) -> ControlFlow<()> {
        match self.settled(from) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn settled(&self, from: &mut TableWithJoins) -> Result<()> {
        refuse_version(&from.relation)?;
        for join in &mut from.joins {
            self.settle_version(join)?;
            refuse_version(&join.relation)?;
        }
        let is_by_time = |join: &Join| matches!(join.join_operator, JoinOperator::AsOf { .. });
        while let Some(first) = from.joins.iter().position(is_by_time) {
            let after = from.joins.split_off(first + 1);
            let inner = TableWithJoins {
                relation: from.relation.clone(),
                joins: std::mem::replace(&mut from.joins, after),
            };
            from.relation = TableFactor::NestedJoin {
                table_with_joins: Box::new(inner),
                alias: None,
            };
        }
        Ok(())
    }

    /// Writes a join with the version of a row as a join by time.
    fn settle_version(&self, join: &mut Join) -> Result<()> {
        if !is_versioned(&join.relation) {
            return Ok(());
        }
        let TableFactor::Table {
            name,
            alias,
            version,
            ..
        } = &mut join.relation
        else {
            return Ok(());
        };
        let position = position_of(name);
        let kind = |keeps_left: bool, constraint: &JoinConstraint| (keeps_left, constraint.clone());
        let (keeps_left, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                kind(false, constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                kind(true, constraint)
            }
            _ => {
                return Err(Error::unsupported(
                    "FOR SYSTEM_TIME AS OF is not supported in this kind of join",
                )
                .with_hint("write JOIN or LEFT JOIN")
                .with_position(position));
            }
        };
        let time = time_of_versions(name, self.snapshot, self.schema, &self.ctes)
            .map_err(|error| error.with_position(position))?;
        let own = match alias {
            Some(alias) => vec![alias.name.clone()],
            None => name
                .0
                .iter()
                .filter_map(|part| part.as_ident().cloned())
                .collect(),
        };
        let Some(TableVersion::ForSystemTimeAsOf(at)) = version.take() else {
            return Ok(());
        };
        join.join_operator = JoinOperator::AsOf {
            match_condition: ast::Expr::BinaryOp {
                left: Box::new(ast::Expr::Nested(Box::new(at))),
                op: ast::BinaryOperator::GtEq,
                right: Box::new(ast::Expr::CompoundIdentifier(
                    own.into_iter().chain([time]).collect(),
                )),
            },
            constraint,
        };
        join.global = keeps_left;
        Ok(())
    }
}

fn refuse_version(relation: &TableFactor) -> Result<()> {
    match relation {
        TableFactor::Table {
            name,
            version: Some(TableVersion::ForSystemTimeAsOf(_)),
            ..
        } => Err(
            Error::unsupported("FOR SYSTEM_TIME AS OF is not supported here")
                .with_hint("it stands behind the right side of a join: FROM s JOIN r FOR SYSTEM_TIME AS OF s.at AS v ON s.k = v.k")
                .with_position(position_of(name)),
        ),
        _ => Ok(()),
    }
}

/// Plans joins by time, which stand in brackets.
#[derive(Debug)]
pub(super) struct JoinsByTime;

impl RelationPlanner for JoinsByTime {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> datafusion::common::Result<RelationPlanning> {
        let TableFactor::NestedJoin {
            table_with_joins,
            alias,
        } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let is_by_time = table_with_joins
            .joins
            .last()
            .is_some_and(|join| matches!(join.join_operator, JoinOperator::AsOf { .. }));
        if !is_by_time {
            return Ok(RelationPlanning::Original(Box::new(
                TableFactor::NestedJoin {
                    table_with_joins,
                    alias,
                },
            )));
        }
        let plan = planned(*table_with_joins, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation {
            plan,
            alias,
        })))
    }
}

/// The plan of relations of which the last is joined by time.
fn planned(
    mut joined: TableWithJoins,
    context: &mut dyn RelationPlannerContext,
) -> datafusion::common::Result<LogicalPlan> {
    let Some(join) = joined.joins.pop() else {
        return context.plan(joined.relation);
    };
    let keeps_left = weir_sql::asof::keeps_left(&join);
    let JoinOperator::AsOf {
        match_condition,
        constraint,
    } = join.join_operator
    else {
        return Err(own(Error::unsupported("this join is not one by time")));
    };
    let left = match joined.joins.is_empty() {
        true => joined.relation,
        false => TableFactor::NestedJoin {
            table_with_joins: Box::new(joined),
            alias: None,
        },
    };
    let left = context.plan(left)?;
    let right = context.plan(join.relation)?;
    let both = left.schema().join(right.schema())?;
    let nearest = context.sql_to_expr(match_condition, &both)?;
    let (on, dropped) = match constraint {
        JoinConstraint::On(on) => (Some(context.sql_to_expr(on, &both)?), Vec::new()),
        JoinConstraint::Using(names) => using(&names, left.schema(), right.schema(), context)?,
        JoinConstraint::None => (None, Vec::new()),
        JoinConstraint::Natural => {
            return Err(own(Error::unsupported(
                "NATURAL ASOF JOIN is not supported",
            )
            .with_hint("write ON l.k = r.k")));
        }
    };
    let plan = AsOfJoin::by_conditions(left, right, &nearest, on.as_ref(), keeps_left);
    let plan = plan.map_err(|error| own(Error::from(error)))?;
    if dropped.is_empty() {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter();
    let columns = columns.filter(|column| !dropped.contains(column));
    let columns: Vec<Expr> = columns.map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// What `USING` asks for, and the columns of the right side that it leaves out.
fn using(
    names: &[ast::ObjectName],
    left: &DFSchema,
    right: &DFSchema,
    context: &dyn RelationPlannerContext,
) -> datafusion::common::Result<(Option<Expr>, Vec<Column>)> {
    let mut on: Option<Expr> = None;
    let mut dropped = Vec::new();
    for name in names {
        let ident = match name.0.as_slice() {
            [part] => part.as_ident(),
            _ => None,
        };
        let Some(ident) = ident else {
            return Err(own(Error::unsupported(format!(
                "USING ({name}) is not supported: it takes names of columns"
            ))));
        };
        let column = context.normalize_ident(ident.clone());
        let of = |side: &DFSchema| {
            let found = side.qualified_field_with_unqualified_name(&column)?;
            Ok::<_, DataFusionError>(Column::from(found))
        };
        let (a, b) = (of(left)?, of(right)?);
        let equal = Expr::Column(a).eq(Expr::Column(b.clone()));
        on = Some(match on {
            None => equal,
            Some(on) => on.and(equal),
        });
        dropped.push(b);
    }
    Ok((on, dropped))
}

fn own(error: Error) -> DataFusionError {
    DataFusionError::from(error)
}
