//! What a transaction did to temporary objects, and how it is taken back.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BinaryArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::collect;
use weir_base::{Kind, Offset, TopicName};
use weir_catalog::Entry;
use weir_connectors::topic::{Change, OnConflict, TopicHold, encode_batch};

use super::{Objects, Temporary};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::from_row_error;
use crate::rows::row_schema;

/// Something that a transaction did.
pub(crate) enum Step {
    /// It made, changed or dropped objects: these were there before.
    Defined(Objects),
    /// It changed the rows of a table, which is held as it was before.
    Wrote(Arc<Entry>, TopicHold),
}

/// What a transaction did to the temporary objects of its session, in order.
pub(crate) struct Steps {
    of: Arc<Temporary>,
    steps: Vec<Step>,
}

impl Steps {
    pub(crate) fn new(of: Arc<Temporary>) -> Self {
        Self {
            of,
            steps: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Notes a step. Rows that were held since `savepoint` need not be held again.
    pub(crate) fn push(&mut self, step: Step, savepoint: usize) {
        let is_held = match &step {
            Step::Defined(_) => false,
            Step::Wrote(entry, _) => self
                .steps
                .iter()
                .skip(savepoint)
                .any(|earlier| matches!(earlier, Step::Wrote(held, _) if held.id == entry.id)),
        };
        if !is_held {
            self.steps.push(step);
        }
    }

    /// The steps from `at` on, which are no longer among these.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        Self {
            of: Arc::clone(&self.of),
            steps: self.steps.split_off(at.min(self.steps.len())),
        }
    }

    /// Lets go of what the steps have replaced for good, and of what was to be there for them alone.
    pub(crate) async fn keep(self, engine: &Shared) {
        self.of.commit();
        self.of.tidy(engine).await;
    }

    /// The topics whose rows the steps changed.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &TopicName> {
        self.steps.iter().filter_map(|step| match step {
            Step::Defined(_) => None,
            Step::Wrote(_, held) => Some(held.topic().name()),
        })
    }

    /// Takes the steps back. A table whose rows cannot be brought back goes: it would have others than it should.
    pub(crate) async fn undo(self, engine: &Shared) {
        let first = self.steps.iter().find_map(|step| match step {
            Step::Defined(before) => Some(before),
            Step::Wrote(..) => None,
        });
        if let Some(before) = first {
            self.of.go_back(before);
        }
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            if let Step::Wrote(entry, held) = step
                && seen.insert(entry.id)
                && self.of.has(entry.id)
            {
                let at = held.ends().first().copied().unwrap_or(Offset::ZERO);
                if let Err(error) = bring_back(engine, entry, at).await {
                    tracing::warn!(table = %entry.name, %error, "a temporary table was lost: its rows could not be taken back");
                    self.of.lose(entry.id);
                }
            }
        }
        self.of.tidy(engine).await;
    }
}

/// Gives a table the rows that it had at an offset.
async fn bring_back(engine: &Shared, entry: &Entry, at: Offset) -> Result<()> {
    let table = engine.keyed_table(entry)?;
    let writer = table.writer().await?;
    let before = rows_of(engine, table.snapshot(at, true).await?).await?;
    let now = rows_of(engine, writer.snapshot(true)).await?;
    let mut changes = vec![Change::Delete { keys: keys(&now)? }];
    if before.num_rows() > 0 {
        let kept = keys(&before)?;
        let columns: Vec<usize> = (0..entry.columns().len()).collect();
        let schema = row_schema(engine, entry)?;
        let rows = before.project(&columns)?;
        let rows = RecordBatch::try_new(entry.arrow_schema(), rows.columns().to_vec())?;
        let rows = encode_batch(&schema, &rows).map_err(from_row_error)?;
        changes.push(match entry.primary_key().is_empty() {
            true => Change::Put { keys: kept, rows },
            false => Change::Insert {
                rows,
                on_conflict: OnConflict::Error,
            },
        });
    }
    writer.commit(changes).await?.durable().await?;
    Ok(())
}

/// All rows of a table that is in memory.
async fn rows_of(engine: &Shared, table: Arc<dyn TableProvider>) -> Result<RecordBatch> {
    let state = &engine.base_state;
    let plan = table.scan(state, None, &[], None).await?;
    let batches = collect(plan, Arc::new(TaskContext::from(state))).await?;
    Ok(concat_batches(&table.schema(), &batches)?)
}

fn keys(rows: &RecordBatch) -> Result<BinaryArray> {
    let column = rows.column_by_name("_key");
    let column = column.ok_or_else(|| Error::new(Kind::Internal, "rows without their keys"))?;
    let column = cast(column.as_ref(), &DataType::Binary)?;
    let keys = column.as_ref().as_binary_opt::<i32>().cloned();
    keys.ok_or_else(|| Error::new(Kind::Internal, "keys that are no bytes"))
}
