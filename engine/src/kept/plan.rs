//! A plan that is run again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use parking_lot::Mutex;
use weir_base::Offset;
use weir_catalog::ObjectId;
use weir_catalog::accounts::PolicyId;
use weir_connectors::topic::{BoundTable, KeyedTable, TableScanExec};

use super::Values;
use crate::error::Result;
use crate::planning::ParameterTypes;
use crate::transaction::Moment;

/// Rows that a plan which is kept may read. Of more it is planned anew each time, for several threads: that takes little of the time then.
const ROWS_MAX: usize = 100_000;

/// A plan whose parameters and whose tables' versions are set before each run. One run at a time.
#[derive(Debug)]
pub(crate) struct KeptPlan {
    plan: Arc<dyn ExecutionPlan>,
    config: SessionConfig,
    values: Arc<Values>,
    types: ParameterTypes,
    /// The types of the values that it was made with.
    made_with: Vec<DataType>,
    tables: Vec<BoundTable>,
    reads: Reads,
}

/// What a text reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reads {
    /// Objects that it names, with the policies that hide something of them.
    pub(crate) objects: BTreeMap<ObjectId, Vec<PolicyId>>,
    /// Views that are kept, also those that it reads through others.
    pub(crate) views: Vec<ObjectId>,
}

impl KeptPlan {
    pub(crate) fn new(
        plan: Arc<dyn ExecutionPlan>,
        config: SessionConfig,
        values: Arc<Values>,
        (types, made_with): (ParameterTypes, Vec<DataType>),
        reads: Reads,
    ) -> Result<Self> {
        let mut tables = Vec::new();
        plan.apply(|node| {
            if let Some(scan) = node.downcast_ref::<TableScanExec>() {
                tables.push(scan.table().clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self {
            plan,
            config,
            values,
            types,
            made_with,
            tables,
            reads,
        })
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The values of a run's parameters; none where it cannot be run with them.
    pub(crate) fn settled(&self, parameters: &[ScalarValue]) -> Option<Vec<ScalarValue>> {
        let values = self.types.settled(parameters).ok()?;
        let types = values.iter().map(ScalarValue::data_type);
        types.eq(self.made_with.iter().cloned()).then_some(values)
    }

    /// The tables that it reads.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &KeyedTable> {
        self.tables.iter().map(BoundTable::table)
    }

    /// Binds it to a moment and to values, for one run; none when it now reads more than what plans are kept for.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub(crate) async fn bound(
        &self,
        moment: &Mutex<Moment>,
        values: Vec<ScalarValue>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        self.values.set(values);
        for table in &self.tables {
            let hold = moment.lock().hold(table.table().topic().clone());
            let end = hold.ends().first().copied().unwrap_or(Offset::ZERO);
            table.bind(end).await?;
        }
        if rows_max(self.plan.as_ref()) > ROWS_MAX {
            return Ok(None);
        }
        // Some nodes remember what they have computed, and all count.
        Ok(Some(reset_plan_states(Arc::clone(&self.plan))?))
    }

    /// Lets go of what the last run read.
    pub(crate) fn release(&self) {
        for table in &self.tables {
            table.release();
        }
        self.values.set(Vec::new());
    }

    /// What a run is executed with.
    pub(crate) fn context(
        &self,
        runtime: &RuntimeEnv,
        memory: Arc<dyn MemoryPool>,
    ) -> Arc<TaskContext> {
        let runtime = RuntimeEnv {
            memory_pool: memory,
            ..runtime.clone()
        };
        let context = TaskContext::default()
            .with_session_config(self.config.clone())
            .with_runtime(Arc::new(runtime));
        Arc::new(context)
    }
}

fn rows_max(plan: &dyn ExecutionPlan) -> usize {
    let own = plan
        .downcast_ref::<TableScanExec>()
        .map_or(0, |scan| scan.size_max().0);
    let children = plan.children().into_iter();
    children.fold(own, |sum, child| {
        sum.saturating_add(rows_max(child.as_ref()))
    })
}
