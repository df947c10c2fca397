//! The part of a walk that has to do with `ASOF JOIN`.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::PhysicalExpr;

use super::Walk;
use crate::asof::{AsOfJoin, Nearest};
use crate::error::Result;
use crate::operators::{AsOf, AsOfSide, Boxed, measured};

impl Walk<'_> {
    /// Each row with the nearest in time.
    pub(super) async fn asof_join(&mut self, plan: &LogicalPlan, join: &AsOfJoin) -> Result<Boxed> {
        let [left, right] = join.sides();
        let [left_keys, right_keys] = join.keys();
        let [left_time, right_time] = join.times();
        let left_time = self.physical(left_time, left.schema())?;
        let right_time = self.physical(right_time, right.schema())?;
        let Some(time_bytes) = AsOf::time_bytes(left.schema().inner(), &left_time)? else {
            let keys = [left_keys, right_keys];
            let keys = (!keys[0].is_empty()).then_some(keys.as_slice());
            return self.recompute(plan, "AsOfJoin", keys).await;
        };
        let nearest = join.nearest();
        let sides = [
            self.asof_side(left, &left_keys, left_time, nearest).await?,
            self.asof_side(right, &right_keys, right_time, nearest)
                .await?,
        ];
        let detail = plan.display().to_string();
        let schema = Arc::clone(plan.schema().inner());
        let join = AsOf::new(
            sides,
            time_bytes,
            nearest,
            join.keeps_left(),
            &schema,
            detail,
        );
        Ok(measured(join))
    }

    async fn asof_side(
        &mut self,
        side: &LogicalPlan,
        keys: &[Expr],
        time: Arc<dyn PhysicalExpr>,
        nearest: Nearest,
    ) -> Result<AsOfSide> {
        let keys = self.keys(side.schema(), keys)?;
        let place = (self.shelf(), self.reservation());
        let input = self.operator(side).await?;
        AsOfSide::new(input, keys, time, nearest, place)
    }
}
