//! Rows that only come as files of a folder: gathered until there are enough of them, or the first has waited long enough, and then
//! committed with the position that they lead to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use futures::FutureExt;
use futures::future::BoxFuture;
use weir_base::{Kind, OffsetVector};
use weir_connectors::files::FolderWriter;

use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::runtime::{Sink, Written};

/// When gathered rows become files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollover {
    /// So many rows.
    pub rows: u64,
    /// So many bytes in memory.
    pub bytes: u64,
    /// So long after the first.
    pub interval: Duration,
}

/// Writes rows to a folder.
pub struct FileSink {
    writer: FolderWriter,
    rollover: Rollover,
    schema: SchemaRef,
    state: SessionState,
    context: Arc<TaskContext>,
    reservation: MemoryReservation,
    gathered: Gathered,
    /// Up to where files hold everything.
    committed: Option<OffsetVector>,
}

/// Rows that are no files yet.
#[derive(Debug, Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    rows: u64,
    /// Where they lead.
    position: Option<OffsetVector>,
    due: Option<Instant>,
}

impl std::fmt::Debug for FileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSink")
            .field("writer", &self.writer)
            .field("gathered", &self.gathered.rows)
            .finish_non_exhaustive()
    }
}

impl FileSink {
    /// A sink of rows in `schema` that has found out nothing yet. Rows that it gathers count against the memory of `context`.
    pub fn new(
        writer: FolderWriter,
        rollover: Rollover,
        schema: SchemaRef,
        state: SessionState,
        context: Arc<TaskContext>,
    ) -> Self {
        let reservation = MemoryConsumer::new("rows of a sink").register(context.memory_pool());
        Self {
            writer,
            rollover,
            schema,
            state,
            context,
            reservation,
            gathered: Gathered::default(),
            committed: None,
        }
    }

    fn gather(&mut self, delta: &Delta, position: &OffsetVector) -> Result<()> {
        if !delta.minus.is_empty() {
            let message = "rows have gone that files hold already";
            let error = weir_connectors::Error::new(Kind::Invalid, message);
            let error = error.with_hint("a sink to files needs a query whose rows only come");
            return Err(error.into());
        }
        let named = delta.plus.iter().map(|batch| {
            let columns = batch.columns().to_vec();
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        });
        let named = named.collect::<Result<Vec<_>, _>>()?;
        let gathered = &mut self.gathered;
        let now = Instant::now();
        let mut is_full = false;
        for batch in named {
            // With no memory left, what there is becomes files at once.
            is_full |= self
                .reservation
                .try_grow(batch.get_array_memory_size())
                .is_err();
            gathered.rows += batch.num_rows() as u64;
            gathered.batches.push(batch);
        }
        is_full |= gathered.rows >= self.rollover.rows
            || self.reservation.size() as u64 >= self.rollover.bytes;
        gathered.position = Some(position.clone());
        gathered.due = match (is_full, gathered.due) {
            (true, _) => Some(now),
            (false, Some(due)) => Some(due),
            (false, None) => now.checked_add(self.rollover.interval),
        };
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let Some(position) = self.gathered.position.clone() else {
            return Ok(());
        };
        let text = position.to_string();
        let committed =
            self.writer
                .commit(&self.state, &self.context, &self.gathered.batches, &text);
        committed.await?;
        self.written(position);
        Ok(())
    }

    /// What was gathered is in files.
    fn written(&mut self, position: OffsetVector) {
        self.gathered = Gathered::default();
        self.reservation.free();
        self.committed = Some(position);
    }

    async fn recover(&mut self) -> Result<Written> {
        let position = self.writer.recover().await?;
        let position = position.map(|text| text.parse::<OffsetVector>());
        let position = position.transpose().map_err(|error| {
            Error::from(weir_connectors::Error::new(
                Kind::Corrupt,
                error.to_string(),
            ))
        })?;
        if self.gathered.position.is_some() {
            if position == self.gathered.position {
                if let Some(position) = &position {
                    self.written(position.clone());
                }
            } else if position == self.committed {
                // It is still to be written.
                return Ok(Written {
                    up_to: self.gathered.position.clone(),
                    begun: None,
                });
            } else {
                self.gathered = Gathered::default();
                self.reservation.free();
            }
        }
        self.committed.clone_from(&position);
        Ok(Written {
            up_to: position,
            begun: None,
        })
    }
}

impl Sink for FileSink {
    fn settle(&mut self) -> BoxFuture<'_, Result<Written>> {
        self.recover().boxed()
    }

    fn take<'a>(
        &'a mut self,
        delta: &'a Delta,
        position: &'a OffsetVector,
    ) -> BoxFuture<'a, Result<()>> {
        std::future::ready(self.gather(delta, position)).boxed()
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<()>> {
        self.commit().boxed()
    }

    fn kept_from(&self) -> Option<&OffsetVector> {
        self.committed.as_ref()
    }

    fn is_whole(&self) -> bool {
        self.gathered.position.is_none()
    }

    fn due(&self) -> Option<Instant> {
        self.gathered.due
    }
}
