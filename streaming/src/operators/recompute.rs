//! What any plan can be followed by: the rows of the keys that a change touches, before it and after it, and the difference of
//! what the plan makes of them.
//!
//! It asks of the plan only that rows of different keys have nothing to do with one another: a group of `GROUP BY`, a
//! partition of `OVER`, a key of an equi-join. Where nothing is known, there is one key, and the plan is run over everything.

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::HashSet;

use super::{Boxed, Description, Follows, Operator, StateSize, changes};
use crate::checkpoint::Saving;
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::planning::Kernel;
use crate::state::Arrangement;

/// A plan whose inputs are remembered by key.
pub(crate) struct Recompute {
    inputs: Vec<Boxed>,
    states: Vec<Arrangement>,
    kernel: Kernel,
    name: &'static str,
    detail: String,
    is_keyed: bool,
    has_run: bool,
}

impl Recompute {
    /// `states` has a place for each input. With `is_keyed` their keys are what decides; else they have one key.
    /// `has_run` says whether they have something from before.
    pub(crate) fn new(
        inputs: Vec<Boxed>,
        states: Vec<Arrangement>,
        kernel: Kernel,
        (name, detail): (&'static str, String),
        is_keyed: bool,
        has_run: bool,
    ) -> Self {
        Self {
            inputs,
            states,
            kernel,
            name,
            detail,
            is_keyed,
            has_run,
        }
    }
}

impl Operator for Recompute {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let changes = changes(&mut self.inputs, ranges).await?;
            let mut touched = HashSet::new();
            for (state, change) in self.states.iter().zip(&changes) {
                state.keys().touched(change, &mut touched)?;
            }
            // A plan may have rows where its inputs have none: count(*) of nothing is 0.
            let is_first = !std::mem::replace(&mut self.has_run, true);
            if touched.is_empty() && (self.is_keyed || !is_first) {
                return Ok(Delta::default());
            }
            let rows = |states: &mut [Arrangement]| {
                let rows = states.iter_mut().map(|state| state.rows_of(&touched));
                rows.collect::<Result<Vec<_>>>()
            };
            let before = rows(&mut self.states)?;
            for (state, change) in self.states.iter_mut().zip(&changes) {
                state.apply(change)?;
            }
            let after = rows(&mut self.states)?;
            let had_rows = before.iter().any(|rows| !rows.is_empty());
            let minus = match had_rows || !(is_first || self.is_keyed) {
                true => self.kernel.run(before).await?,
                false => Vec::new(),
            };
            let plus = self.kernel.run(after).await?;
            Delta { plus, minus }.consolidated(&self.schema())
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        false
    }

    fn schema(&self) -> SchemaRef {
        self.kernel.schema()
    }

    fn describe(&self) -> Description {
        Description {
            name: self.name,
            detail: self.detail.clone(),
            follows: match self.is_keyed {
                true => Follows::Keys,
                false => Follows::Everything,
            },
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        self.inputs.iter().map(AsRef::as_ref).collect()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        self.inputs.iter_mut().collect()
    }

    fn state(&self) -> StateSize {
        self.states
            .iter()
            .map(Arrangement::size)
            .fold(StateSize::default(), std::ops::Add::add)
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        self.states.iter_mut().for_each(|state| state.save(saving));
        Ok(())
    }

    fn release(&mut self) {
        self.states.iter_mut().for_each(Arrangement::release);
    }
}
