//! What a continuous query is made of. Each operator turns the changes of its inputs in a step into the change of its output, so
//! that the sum of all changes is always what the same SQL gives over the sum of all inputs.

mod aggregate;
mod asof;
mod average;
mod by_row;
mod constant;
mod event_time;
mod join;
mod linear;
mod measured;
mod mirror;
mod ranking;
mod recompute;
mod source;
mod top;
mod unique;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;

pub(crate) use aggregate::{Aggregate, Calls};
pub(crate) use asof::{AsOf, Side as AsOfSide};
pub use by_row::OnRowError;
pub(crate) use by_row::{in_row, is_of_a_row};
pub(crate) use constant::Constant;
pub(crate) use event_time::{
    ClosingWindows, OnTime, Sessions, TooLate, WatermarkSource, WhileOpen,
};
pub(crate) use join::InnerJoin;
pub(crate) use linear::Linear;
pub use measured::{OperatorStatus, Spent};
pub(crate) use measured::{measured, statuses};
pub(crate) use mirror::MirrorSource;
pub(crate) use ranking::Ranking;
pub(crate) use recompute::Recompute;
pub(crate) use source::{StreamSource, TableSource, scan_of};
pub(crate) use top::Top;
pub(crate) use unique::Unique;

use crate::checkpoint::Saving;
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;

/// One operator, with those below it.
pub(crate) trait Operator: Send {
    /// What its output changes by when its sources go through `ranges`. After an error the operator is of no use any more.
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>>;

    /// Whether its rows only come.
    fn only_grows(&self) -> bool;

    /// The schema of its rows.
    fn schema(&self) -> SchemaRef;

    /// What it is, for people.
    fn describe(&self) -> Description;

    /// As [`Operator::describe`], kept by those that are measured.
    fn description(&self) -> Arc<Description> {
        Arc::new(self.describe())
    }

    /// What it has done with all below it, if that is measured.
    fn spent(&self) -> Spent {
        Spent::default()
    }

    fn inputs(&self) -> Vec<&dyn Operator>;

    fn inputs_mut(&mut self) -> Vec<&mut Boxed>;

    /// Whether what it gives next depends on what came before.
    fn remembers(&self) -> bool {
        true
    }

    /// Whether all its rows come in the first step.
    fn is_fixed(&self) -> bool {
        false
    }

    /// What it remembers itself.
    fn state(&self) -> StateSize {
        StateSize::default()
    }

    /// Writes what changed in its own state since it was last saved. After an error no checkpoint of it can be made any more.
    fn save(&mut self, _saving: &mut Saving) -> Result<()> {
        Ok(())
    }

    /// Lets go of what is saved, to have more memory.
    fn release(&mut self) {}

    /// Says what becomes of a row that cannot be computed, where rows are treated one by one.
    fn on_row_error(&mut self, _on_error: &OnRowError) {}
}

/// What operators remember.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Rows, or groups.
    pub rows: u64,
    /// The bytes that those in memory take, about.
    pub bytes: usize,
    /// The bytes that no checkpoint has, about.
    pub unsaved: usize,
}

impl std::ops::Add for StateSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
            unsaved: self.unsaved + other.unsaved,
        }
    }
}

/// An operator as `EXPLAIN` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its kind.
    pub name: &'static str,
    /// What it does in particular.
    pub detail: String,
    /// How it follows changes.
    pub follows: Follows,
}

/// How an operator follows the changes of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Row by row, without memory.
    Rows,
    /// Incrementally: by what a change adds.
    Changes,
    /// By computing again what has one of the keys that a change touches.
    Keys,
    /// By computing all of it again.
    Everything,
}

impl Follows {
    /// In a word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "stateless",
            Self::Changes => "incremental",
            Self::Keys => "recomputed by key",
            Self::Everything => "recomputed whole",
        }
    }
}

pub(crate) type Boxed = Box<dyn Operator>;

/// The change of each input, one after the other.
pub(crate) async fn changes(inputs: &mut [Boxed], ranges: &Ranges) -> Result<Vec<Arc<Delta>>> {
    let mut changes = Vec::with_capacity(inputs.len());
    for input in inputs {
        changes.push(Arc::new(input.step(ranges).await?));
    }
    Ok(changes)
}
