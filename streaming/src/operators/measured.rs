//! What each operator takes of a step, and what it gives. One look at the clock before and after, whatever the step has of rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Boxed, Description, OnRowError, Operator, StateSize};
use crate::checkpoint::Saving;
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;

/// What an operator has done since it began or went on from a checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Steps that it has taken.
    pub steps: u64,
    /// Rows that it gave: those that came, and those that went.
    pub rows: u64,
    /// What its steps have taken, in nanoseconds.
    pub total_ns: u64,
    /// What a step takes, on the mean of the last ones, each counting a sixteenth, in nanoseconds.
    pub step_ns: u64,
}

/// An operator of a continuous query, and how it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorStatus {
    /// What it is.
    pub description: Arc<Description>,
    /// The number of the operator that takes its rows, counted from 0 in the order in which they are told; none takes those of the first.
    pub into: Option<usize>,
    /// What it has done itself, without those whose rows it takes.
    pub spent: Spent,
    /// What it remembers itself.
    pub state: StateSize,
}

/// An operator that is measured.
pub(crate) struct Measured<O> {
    operator: O,
    description: Arc<Description>,
    /// With those below, which run within it.
    spent: Spent,
}

/// The operator, measured.
pub(crate) fn measured(operator: impl Operator + 'static) -> Boxed {
    Box::new(Measured {
        description: Arc::new(operator.describe()),
        operator,
        spent: Spent::default(),
    })
}

/// All operators, each before those whose rows it takes.
pub(crate) fn statuses(root: &dyn Operator) -> Vec<OperatorStatus> {
    let mut found = Vec::new();
    add(root, None, &mut found);
    found
}

fn add(operator: &dyn Operator, into: Option<usize>, found: &mut Vec<OperatorStatus>) {
    let number = found.len();
    let inputs = operator.inputs();
    let below = inputs.iter().map(|input| input.spent());
    let spent = below.fold(operator.spent(), Spent::without);
    found.push(OperatorStatus {
        description: operator.description(),
        into,
        spent,
        state: operator.state(),
    });
    for input in inputs {
        add(input, Some(number), found);
    }
}

impl Spent {
    fn count(&mut self, took: Duration, rows: usize) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.step_ns = match self.steps {
            0 => took_ns,
            _ => (self.step_ns.saturating_mul(15).saturating_add(took_ns)) / 16,
        };
        self.steps += 1;
        self.rows += rows as u64;
        self.total_ns = self.total_ns.saturating_add(took_ns);
    }

    /// What is left of the time without that of an input. A mean of differences is the difference of means.
    fn without(self, input: Self) -> Self {
        Self {
            total_ns: self.total_ns.saturating_sub(input.total_ns),
            step_ns: self.step_ns.saturating_sub(input.step_ns),
            ..self
        }
    }
}

impl<O: Operator> Operator for Measured<O> {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let began = Instant::now();
            let delta = self.operator.step(ranges).await?;
            self.spent.count(began.elapsed(), delta.rows());
            Ok(delta)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        self.operator.only_grows()
    }

    fn schema(&self) -> SchemaRef {
        self.operator.schema()
    }

    fn describe(&self) -> Description {
        self.operator.describe()
    }

    fn description(&self) -> Arc<Description> {
        Arc::clone(&self.description)
    }

    fn spent(&self) -> Spent {
        self.spent
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        self.operator.inputs()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        self.operator.inputs_mut()
    }

    fn remembers(&self) -> bool {
        self.operator.remembers()
    }

    fn is_fixed(&self) -> bool {
        self.operator.is_fixed()
    }

    fn state(&self) -> StateSize {
        self.operator.state()
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        self.operator.save(saving)
    }

    fn release(&mut self) {
        self.operator.release();
    }

    fn on_row_error(&mut self, on_error: &OnRowError) {
        self.operator.on_row_error(on_error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(steps: &[u64]) -> Spent {
        let mut spent = Spent::default();
        for ns in steps {
            spent.count(Duration::from_nanos(*ns), 3);
        }
        spent
    }

    #[test]
    fn an_operators_own_time_is_without_that_of_its_inputs() {
        let (above, below) = (spent(&[1_600, 3_200]), spent(&[1_000, 2_600]));
        let own = above.without(below);
        assert_eq!((own.steps, own.rows, own.total_ns), (2, 6, 1_200));
        assert_eq!(own.step_ns, 600);
    }
}
