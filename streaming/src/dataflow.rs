//! A continuous query as a whole: operators over sources, and steps.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use weir_base::OffsetVector;
use weir_topics::Topic;

use crate::delta::Delta;
use crate::error::Result;
use crate::operators::{Boxed, Description, Operator, Unique};
use crate::planning::{Planned, Walk};
use crate::runtime::Positions;
pub(crate) use crate::sources::Ranges;
use crate::sources::{Read, STEP_ROWS, Sources};

/// Operators that follow a query's sources, step by step.
///
/// After each step, the sum of all changes that were given is what the query gives over its sources up to
/// [`Dataflow::position`].
pub struct Dataflow {
    root: Boxed,
    sources: Sources,
    reads: Vec<Read>,
    schema: SchemaRef,
    step_rows: i64,
    begun: bool,
}

impl std::fmt::Debug for Dataflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataflow")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Dataflow {
    /// Plans a query, which DataFusion has analysed and optimised for one partition. Its streams are planned live, and its tables are
    /// [followed](weir_connectors::topic::FollowedTable).
    ///
    /// # Errors
    /// When a part of it cannot be planned, or nothing in it can change.
    pub async fn new(
        plan: &LogicalPlan,
        state: &SessionState,
        context: &Arc<TaskContext>,
    ) -> Result<Self> {
        let Planned { root, reads } = Walk::over(plan, state, context).await?;
        Ok(Self {
            schema: Arc::clone(plan.schema().inner()),
            root,
            sources: Sources::new(reads.clone(), None)?,
            reads,
            step_rows: STEP_ROWS,
            begun: false,
        })
    }

    /// The schema of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What it reads.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.sources.topics()
    }

    /// Where it stands.
    pub fn position(&self) -> OffsetVector {
        self.sources.position()
    }

    /// How many rows of its sources it has yet to read.
    pub fn rows_behind(&self) -> u64 {
        self.sources.rows_behind()
    }

    /// Lets a step take no more than so many rows.
    #[must_use]
    pub fn with_step_rows(mut self, rows: u32) -> Self {
        self.step_rows = i64::from(rows.max(1));
        self
    }

    /// Refuses rows that have the same values in some columns, which are named by their places. The dataflow must not have begun.
    ///
    /// # Errors
    /// When there are no such columns, or their values cannot be compared.
    pub fn with_unique_key(self, key: Vec<usize>) -> Result<Self> {
        Ok(Self {
            root: Box::new(Unique::new(self.root, key)?),
            ..self
        })
    }

    /// Whether its rows only come.
    pub fn only_grows(&self) -> bool {
        self.root.only_grows()
    }

    /// Where it would stand if it had read all that is there.
    pub fn stable_position(&self) -> OffsetVector {
        self.sources.stable_position()
    }

    /// Goes to a position where it was before: what changes on the way is not given again.
    ///
    /// # Errors
    /// When the position does not belong to the query, and as [`Dataflow::step`].
    pub async fn resume(&mut self, position: &OffsetVector) -> Result<()> {
        // Checks that it belongs to what is read.
        let there = Sources::new(self.reads.clone(), Some(position))?;
        if !self.begun && remembers_nothing(self.root.as_ref()) {
            self.sources = there;
            self.begun = true;
            return Ok(());
        }
        while !self.is_at(position) {
            self.step_towards(position).await?;
        }
        Ok(())
    }

    /// Waits for rows, and takes a step through what is there, up to a bound. Before the first step there is nothing to wait for:
    /// some queries have rows where their sources have none.
    ///
    /// # Errors
    /// When a row cannot be read or computed, memory does not suffice, or a source was dropped. The query cannot go on then.
    pub async fn step(&mut self) -> Result<Delta> {
        let ends = match self.begun {
            true => self.sources.next_ends(self.step_rows).await?,
            false => self.sources.ends(self.step_rows),
        };
        self.step_to_ends(ends).await
    }

    /// Takes a step to a position, if it is not there.
    ///
    /// # Errors
    /// As [`Dataflow::step`].
    pub async fn step_to(&mut self, position: &OffsetVector) -> Result<Delta> {
        let ends = self.sources.ends_at(position);
        self.step_to_ends(ends).await
    }

    /// Takes a bounded step that does not pass a position.
    ///
    /// # Errors
    /// As [`Dataflow::step`].
    pub(crate) async fn step_towards(&mut self, position: &OffsetVector) -> Result<Delta> {
        let ends = self.sources.ends_towards(position, self.step_rows);
        self.step_to_ends(ends).await
    }

    /// Whether a step to a position would go nowhere.
    pub(crate) fn is_at(&self, position: &OffsetVector) -> bool {
        let ends = self.sources.ends_at(position);
        self.begun && self.sources.is_at(&ends)
    }

    /// Waits for rows.
    ///
    /// # Errors
    /// When a source was dropped, or has got more partitions.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        self.sources.ready().await
    }

    /// The end of all that is there, but of some topics no more than what is shown.
    ///
    /// # Errors
    /// When a source has got more partitions.
    pub(crate) fn position_within(&self, shown: Option<&Positions>) -> Result<OffsetVector> {
        self.sources.check_grown()?;
        Ok(self.sources.position_within(shown))
    }

    /// What it reads, from where on.
    pub(crate) fn reads(&self) -> &[Read] {
        &self.reads
    }

    async fn step_to_ends(&mut self, ends: Vec<Vec<weir_base::Offset>>) -> Result<Delta> {
        let ranges = self.sources.ranges(&ends);
        self.begun = true;
        let delta = self.root.step(&ranges).await?;
        self.sources.go_to(ends);
        delta.consolidated(&self.root.schema())
    }

    /// What its operators remember: rows, and the bytes that they take.
    pub fn state_size(&self) -> (u64, usize) {
        state_size(self.root.as_ref())
    }

    /// Its operators, one a line, inputs below and further in.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        explain(self.root.as_ref(), 0, &mut text);
        text.truncate(text.trim_end().len());
        text
    }
}

/// Whether what comes next says all, whatever came before.
fn remembers_nothing(operator: &dyn Operator) -> bool {
    let reads_or_maps = matches!(operator.describe().name, "Stream" | "Linear");
    let mut inputs = operator.inputs().into_iter();
    reads_or_maps && inputs.all(remembers_nothing)
}

fn state_size(operator: &dyn Operator) -> (u64, usize) {
    let own = operator.describe().state;
    let inputs = operator.inputs().into_iter().map(state_size);
    inputs.fold(own, |sum, size| (sum.0 + size.0, sum.1 + size.1))
}

fn explain(operator: &dyn Operator, depth: usize, text: &mut String) {
    let Description {
        name,
        detail,
        follows,
        state: (rows, bytes),
    } = operator.describe();
    let indent = "  ".repeat(depth);
    let _ = write!(text, "{indent}{name}: {detail} [{}", follows.as_str());
    if rows > 0 || bytes > 0 {
        let _ = write!(text, ", {rows} rows in {bytes} bytes");
    }
    text.push_str("]\n");
    for input in operator.inputs() {
        explain(input, depth + 1, text);
    }
}
