//! Inner joins, cross joins among them: each side's change is joined with what is known of the other side.
//!
//! ΔA ⋈ B + (A + ΔA) ⋈ ΔB, after DBSP (Budiu et al., VLDB 2023).

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::HashSet;

use super::{Boxed, Description, Follows, Operator, StateSize, WhileOpen};
use crate::checkpoint::Saving;
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::planning::Kernel;
use crate::state::Arrangement;

/// A join that is linear in each of its sides.
pub(crate) struct InnerJoin {
    left: Boxed,
    right: Boxed,
    lefts: Arrangement,
    rights: Arrangement,
    kernel: Kernel,
    detail: String,
    /// Up to when rows of each side are needed, where they are not for ever.
    needed: [Option<WhileOpen>; 2],
}

impl InnerJoin {
    pub(crate) fn new(
        [left, right]: [Boxed; 2],
        [lefts, rights]: [Arrangement; 2],
        kernel: Kernel,
        detail: String,
    ) -> Self {
        Self {
            left,
            right,
            lefts,
            rights,
            kernel,
            detail,
            needed: [None, None],
        }
    }

    /// The same, whose rows of each side are freed when they are not needed any more.
    pub(crate) fn needing(self, needed: [Option<WhileOpen>; 2]) -> Self {
        Self { needed, ..self }
    }

    /// Frees what is not needed any more.
    fn free(&mut self) -> Result<()> {
        let [of_left, of_right] = &self.needed;
        for (rows, needed) in [(&mut self.lefts, of_left), (&mut self.rights, of_right)] {
            if let Some(is_over) = needed.as_ref().and_then(WhileOpen::is_over) {
                rows.free(&is_over)?;
            }
        }
        Ok(())
    }

    /// What the join changes by when the left side does.
    async fn with_left(&mut self, left: Delta) -> Result<Delta> {
        Ok(Delta {
            plus: self.of_left(left.plus).await?,
            minus: self.of_left(left.minus).await?,
        })
    }

    async fn with_right(&mut self, right: Delta) -> Result<Delta> {
        Ok(Delta {
            plus: self.of_right(right.plus).await?,
            minus: self.of_right(right.minus).await?,
        })
    }

    /// Joins some rows of the left side with those of the right side that have their keys.
    async fn of_left(&mut self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let others = matching(&self.lefts, &mut self.rights, &rows)?;
        self.join(rows, others).await
    }

    async fn of_right(&mut self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let others = matching(&self.rights, &mut self.lefts, &rows)?;
        self.join(others, rows).await
    }

    /// What is freed, for people.
    fn freed(&self) -> String {
        let [left, right] = &self.needed;
        let sides = [("left", left), ("right", right)].into_iter();
        let sides = sides.filter_map(|(side, needed)| Some((side, needed.as_ref()?)));
        let freed = sides.map(|(side, needed)| {
            format!("; rows of the {side} side are freed when the watermark has passed {needed}")
        });
        freed.collect()
    }

    async fn join(
        &mut self,
        left: Vec<RecordBatch>,
        right: Vec<RecordBatch>,
    ) -> Result<Vec<RecordBatch>> {
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        self.kernel.run([left, right]).await
    }
}

/// The rows of `other` that have the keys of some rows of `own`.
fn matching(
    own: &Arrangement,
    other: &mut Arrangement,
    rows: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let mut keys = HashSet::new();
    let rows = Delta::of_plus(rows.to_vec());
    own.keys().touched(&rows, &mut keys)?;
    other.rows_of(&keys)
}

impl Operator for InnerJoin {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let left = self.left.step(ranges).await?;
            let right = self.right.step(ranges).await?;
            // Nobody looks for the rows that come to what does not change: that is all there from the first step on.
            if self.right.is_fixed() {
                self.rights.apply(&right)?;
                return self.with_left(left).await;
            }
            if self.left.is_fixed() {
                self.lefts.apply(&left)?;
                return self.with_right(right).await;
            }
            let mut delta = self.with_left(left.clone()).await?;
            self.lefts.apply(&left)?;
            delta.and(self.with_right(right.clone()).await?);
            self.rights.apply(&right)?;
            self.free()?;
            Ok(delta)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        self.left.only_grows() && self.right.only_grows()
    }

    fn schema(&self) -> SchemaRef {
        self.kernel.schema()
    }

    fn describe(&self) -> Description {
        Description {
            name: "Join",
            detail: self.detail.clone() + &self.freed(),
            follows: Follows::Changes,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.left.as_ref(), self.right.as_ref()]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        vec![&mut self.left, &mut self.right]
    }

    fn state(&self) -> StateSize {
        self.lefts.size() + self.rights.size()
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        let [of_left, of_right] = &self.needed;
        for (rows, needed) in [(&mut self.lefts, of_left), (&mut self.rights, of_right)] {
            if let Some(is_over) = needed.as_ref().and_then(WhileOpen::is_over) {
                rows.free_stored(saving, &is_over)?;
            }
            rows.save(saving);
        }
        Ok(())
    }

    fn release(&mut self) {
        self.lefts.release();
        self.rights.release();
    }
}
