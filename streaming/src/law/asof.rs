//! Joins by time in the law's queries: `(l GLOBAL ASOF JOIN r MATCH_CONDITION (…) ON …)`, where `GLOBAL` keeps left rows.

use datafusion::common::DataFusionError;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::sql::sqlparser::ast::{JoinConstraint, JoinOperator, TableFactor};

use super::Choice;
use crate::AsOfJoin;

impl Choice {
    /// Something with the columns `id`, `v` and `name`, of a join by time.
    pub(super) fn by_time(&mut self, depth: u32) -> String {
        let (left, right) = (self.relation(depth), self.relation(depth));
        let kind = self.of(&["ASOF JOIN", "GLOBAL ASOF JOIN"]);
        let nearest = self.of(&[
            "l.id >= r.id",
            "l.id > r.id",
            "l.v <= r.id",
            "l.id < r.v",
            "r.v + 1 < l.id",
            // No order of bytes that are as many in all rows.
            "l.name >= r.name",
        ]);
        let on = self.of(&[
            "",
            "ON l.v = r.v",
            "ON r.name = l.name",
            "ON l.v % 3 = r.id % 3 AND l.name = r.name",
        ]);
        format!(
            "(SELECT l.id AS id, r.v AS v, coalesce(r.name, l.name) AS name FROM ((SELECT id, v, name FROM {left} AS x) AS l {kind} (SELECT id, v, name FROM {right} AS y) AS r MATCH_CONDITION ({nearest}) {on}))"
        )
    }
}

/// Plans such joins.
#[derive(Debug)]
pub(super) struct ByTime;

impl RelationPlanner for ByTime {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> datafusion::common::Result<RelationPlanning> {
        let original = relation.clone();
        let TableFactor::NestedJoin {
            mut table_with_joins,
            alias,
        } = relation
        else {
            return Ok(RelationPlanning::Original(Box::new(original)));
        };
        let Some(join) = table_with_joins.joins.pop() else {
            return Ok(RelationPlanning::Original(Box::new(original)));
        };
        let JoinOperator::AsOf {
            match_condition,
            constraint,
        } = join.join_operator
        else {
            return Ok(RelationPlanning::Original(Box::new(original)));
        };
        let left = context.plan(table_with_joins.relation)?;
        let right = context.plan(join.relation)?;
        let both = left.schema().join(right.schema())?;
        let nearest = context.sql_to_expr(match_condition, &both)?;
        let on = match constraint {
            JoinConstraint::On(on) => Some(context.sql_to_expr(on, &both)?),
            _ => None,
        };
        let plan = AsOfJoin::by_conditions(left, right, &nearest, on.as_ref(), join.global);
        let plan = plan.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation {
            plan,
            alias,
        })))
    }
}
