//! Plans that are run again and again, each time on what they are given.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchemaRef;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;

use super::input::{Slot, input, input_exec};
use crate::error::Result;

/// A plan with open inputs.
#[derive(Debug)]
pub(crate) struct Kernel {
    plan: Arc<dyn ExecutionPlan>,
    slots: Vec<Arc<Slot>>,
    context: Arc<TaskContext>,
    ran: bool,
}

/// The open inputs of a plan that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Inputs(Vec<Arc<Slot>>);

impl Inputs {
    /// A leaf with a schema, which is the next input.
    pub(crate) fn add(&mut self, schema: &DFSchemaRef) -> LogicalPlan {
        let (leaf, slot) = input(schema);
        self.0.push(slot);
        leaf
    }
}

impl Kernel {
    /// Plans `plan`, whose leaves are `inputs`.
    pub(crate) async fn new(
        plan: &LogicalPlan,
        inputs: Inputs,
        state: &SessionState,
        context: &Arc<TaskContext>,
    ) -> Result<Self> {
        let planner = state.query_planner();
        Ok(Self {
            plan: planner.create_physical_plan(plan, state).await?,
            slots: inputs.0,
            context: Arc::clone(context),
            ran: false,
        })
    }

    /// What `plan` makes of rows of `schema`, run like this kernel.
    pub(crate) fn over(
        &self,
        schema: &SchemaRef,
        plan: impl FnOnce(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>,
    ) -> Result<Self> {
        let (leaf, slot) = input_exec(schema);
        Ok(Self {
            plan: plan(leaf)?,
            slots: vec![slot],
            context: Arc::clone(&self.context),
            ran: false,
        })
    }

    /// The same kernel with another plan over its inputs.
    pub(crate) fn with_plan(self, plan: Arc<dyn ExecutionPlan>) -> Self {
        Self { plan, ..self }
    }

    pub(crate) fn plan(&self) -> &Arc<dyn ExecutionPlan> {
        &self.plan
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// Runs the plan on one multiset of rows for each input.
    ///
    /// # Errors
    /// When an expression fails on a row, or memory does not suffice.
    pub(crate) async fn run(
        &mut self,
        inputs: impl IntoIterator<Item = Vec<RecordBatch>>,
    ) -> Result<Vec<RecordBatch>> {
        for (slot, batches) in self.slots.iter().zip(inputs) {
            slot.set(batches);
        }
        if std::mem::replace(&mut self.ran, true) {
            self.plan = reset_plan_states(Arc::clone(&self.plan))?;
        }
        let collected = self.collect().await;
        self.slots.iter().for_each(|slot| slot.set(Vec::new()));
        collected
    }

    async fn collect(&self) -> Result<Vec<RecordBatch>> {
        let mut rows = execute_stream(Arc::clone(&self.plan), Arc::clone(&self.context))?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(batches)
    }
}
