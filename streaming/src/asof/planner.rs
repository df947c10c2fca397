//! From the nodes that DataFusion does not have to what runs them.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::exec::{AsOfExec, Sides};
use super::join::AsOfJoin;
use crate::guard::{GuardExec, is_guard};

/// DataFusion's planner, which also knows [`AsOfJoin`], and guards.
#[derive(Debug, Default)]
pub struct AsOfPlanner;

#[async_trait]
impl QueryPlanner for AsOfPlanner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        planner.create_physical_plan(logical_plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for AsOfPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if is_guard(node) {
            let [input] = physical_inputs else {
                return Ok(None);
            };
            return Ok(Some(Arc::new(GuardExec::new(Arc::clone(input)))));
        }
        let Some(join) = node.as_any().downcast_ref::<AsOfJoin>() else {
            return Ok(None);
        };
        let [left, right] = physical_inputs else {
            return Ok(None);
        };
        let sides = join.sides();
        let physical = |exprs: &[Expr], side: &LogicalPlan| {
            let exprs = exprs
                .iter()
                .map(|expr| planner.create_physical_expr(expr, side.schema(), session, context));
            exprs.collect::<Result<Vec<Arc<dyn PhysicalExpr>>>>()
        };
        let [left_keys, right_keys] = join.keys();
        let [left_time, right_time] = join.times().map(|time| vec![time.clone()]);
        let on = [
            physical(&left_keys, sides[0])?,
            physical(&right_keys, sides[1])?,
        ];
        let times = [
            physical(&left_time, sides[0])?,
            physical(&right_time, sides[1])?,
        ];
        let sides = Sides {
            inputs: [Arc::clone(left), Arc::clone(right)],
            on,
            times,
        };
        let schema = Arc::clone(UserDefinedLogicalNode::schema(join).inner());
        let exec = AsOfExec::new(sides, join.nearest(), join.keeps_left(), schema)?;
        Ok(Some(Arc::new(exec)))
    }
}
