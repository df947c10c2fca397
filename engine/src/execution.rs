//! Running a planned query: in its lane, within its limits, into the stream that the door reads.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_base::{Kind, OffsetVector, SqlState};

use crate::admission::Admitted;
use crate::answer::{Answer, AnswerKind, Chunk, RowStream};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::{Lane, panicked};
use crate::queries::Running;

/// Chunks between a query and its reader. A reader that is slower than its query stops it after so many.
const CHUNKS_AHEAD: usize = 4;

/// The bounds on one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// When the query must be done; a live query has no such time.
    pub(crate) deadline: Option<(Instant, Duration)>,
    /// Rows after which the answer is cut and says so.
    pub(crate) cut_after: Option<u64>,
    /// Rows after which a live query is done: its `LIMIT`.
    pub(crate) ends_after: Option<u64>,
    /// Rows that are an error to pass.
    pub(crate) rows_max: Option<u64>,
    /// Bytes that are an error to pass.
    pub(crate) bytes_max: Option<u64>,
}

/// The answer of a bounded plan, run in `lane`.
pub(crate) fn run_plan(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    lane: Lane,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    bounds: Bounds,
    admitted: Option<Admitted>,
) -> Answer {
    let schema = plan.schema();
    running.runs(Some(Arc::clone(&plan)));
    let chunks = async move {
        let batches = execute_stream(plan, context).map_err(Error::from);
        let batches = match batches {
            // In a task of its own, so that a plan that is long at one batch keeps nobody from stopping it.
            Ok(batches) => spawn_buffered(batches, 2)
                .map(|batch| Ok((batch?, None)))
                .boxed(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        };
        (batches, admitted)
    };
    answer(
        engine,
        running,
        lane,
        schema,
        AnswerKind::Rows,
        bounds,
        chunks,
    )
}

/// The answer of a live query, whose batches come with their positions.
pub(crate) fn run_live(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<(RecordBatch, Option<OffsetVector>)>> + Send + 'static,
    bounds: Bounds,
    admitted: Admitted,
) -> Answer {
    running.set_live();
    running.runs(None);
    let chunks = async move { (batches.boxed(), Some(admitted)) };
    answer(
        engine,
        running,
        Lane::Heavy,
        schema,
        AnswerKind::Live,
        bounds,
        chunks,
    )
}

/// The answer of a statement whose rows are already there.
pub(crate) fn run_ready(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    kind: AnswerKind,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> Answer {
    let (sender, receiver) = mpsc::channel(batches.len().max(1));
    for batch in batches {
        running.gave_out(batch.num_rows(), batch.get_array_memory_size());
        // The channel has room for all of them.
        let _ = sender.try_send(Ok(Chunk {
            batch,
            position: None,
        }));
    }
    engine.ended(running, Ok(()));
    Answer {
        query_id: running.id,
        schema,
        kind,
        rows: RowStream::new(receiver, Arc::clone(running)),
    }
}

type Batches = futures::stream::BoxStream<'static, Result<(RecordBatch, Option<OffsetVector>)>>;

fn answer(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    lane: Lane,
    schema: SchemaRef,
    kind: AnswerKind,
    bounds: Bounds,
    chunks: impl Future<Output = (Batches, Option<Admitted>)> + Send + 'static,
) -> Answer {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let stream = RowStream::new(receiver, Arc::clone(running));
    let task = {
        let (engine, running, sender) = (Arc::clone(engine), Arc::clone(running), sender.clone());
        async move {
            let (batches, admitted) = chunks.await;
            let outcome = pump(&running, batches, &sender, bounds).await;
            if outcome.is_err() {
                // What still works on it hears of the end, whatever the reason.
                running.stop.cancel();
            }
            drop(admitted);
            finish(&engine, &running, outcome, &sender).await;
        }
    };
    let spawned = engine.lanes.spawn(lane, task);
    // A second, tiny task sees a panic of the first, which otherwise would look like the end of the rows.
    let (engine_, running_) = (Arc::clone(engine), Arc::clone(running));
    engine.lanes.spawn(Lane::Interactive, async move {
        if let Some(Err(failed)) = match spawned {
            Some(task) => Some(task.await),
            None => None,
        } {
            finish(&engine_, &running_, Err(panicked(failed)), &sender).await;
        }
    });
    Answer {
        query_id: running.id,
        schema,
        kind,
        rows: stream,
    }
}

async fn finish(
    engine: &Shared,
    running: &Arc<Running>,
    outcome: Result<()>,
    sender: &mpsc::Sender<Result<Chunk>>,
) {
    match outcome {
        Ok(()) => {
            engine.ended(running, Ok(()));
        }
        Err(error) => {
            let error = error.with_query_id(running.id);
            engine.ended(running, Err(&error));
            // A reader that has left needs no error.
            let _ = sender.send(Err(error)).await;
        }
    }
}

/// Moves batches to the reader until the end, an error, a stop, the deadline or a bound.
async fn pump(
    running: &Running,
    mut batches: Batches,
    sender: &mpsc::Sender<Result<Chunk>>,
    bounds: Bounds,
) -> Result<()> {
    let deadline = async {
        match bounds.deadline {
            Some((at, timeout)) => {
                tokio::time::sleep_until(at).await;
                timed_out(timeout)
            }
            None => std::future::pending().await,
        }
    };
    let moving = async {
        while let Some(next) = batches.next().await {
            let (mut batch, position) = next?;
            if batch.num_rows() == 0 && position.is_none() {
                continue;
            }
            let mut is_last = false;
            for (bound, is_cut) in [(bounds.cut_after, true), (bounds.ends_after, false)] {
                let Some(bound) = bound else { continue };
                let left = bound.saturating_sub(running.rows());
                let rows = batch.num_rows() as u64;
                if rows > left {
                    batch = batch.slice(0, usize::try_from(left).unwrap_or(usize::MAX));
                }
                if rows > left && is_cut {
                    running.set_truncated();
                }
                is_last |= rows > left || (rows == left && !is_cut);
            }
            if is_last && batch.num_rows() == 0 {
                break;
            }
            running.gave_out(batch.num_rows(), batch.get_array_memory_size());
            check_size(running, bounds)?;
            if sender.send(Ok(Chunk { batch, position })).await.is_err() {
                return Err(running.stop_reason().error());
            }
            if is_last {
                break;
            }
        }
        Ok(())
    };
    tokio::select! {
        biased;
        () = running.stop.cancelled() => Err(running.stop_reason().error()),
        error = deadline => Err(error),
        done = moving => done,
    }
}

fn check_size(running: &Running, bounds: Bounds) -> Result<()> {
    if let Some(most) = bounds.rows_max
        && running.rows() > most
    {
        return Err(Error::new(
            Kind::LimitExceeded,
            format!("the answer has more than {most} rows"),
        )
        .with_hint("add LIMIT, aggregate, or let the operator raise limits.result_rows"));
    }
    if let Some(most) = bounds.bytes_max
        && running.bytes() > most
    {
        return Err(Error::new(
            Kind::LimitExceeded,
            format!("the answer has more than {most} bytes"),
        )
        .with_hint(
            "add LIMIT, select fewer columns, or let the operator raise limits.result_bytes",
        ));
    }
    Ok(())
}

pub(crate) fn timed_out(timeout: Duration) -> Error {
    Error::new(
        Kind::LimitExceeded,
        format!("the query took longer than {} ms", timeout.as_millis()),
    )
    .with_sqlstate(SqlState::QUERY_CANCELED)
    .with_hint("filter earlier, or raise statement_timeout (timeout_ms of the request)")
}

/// Whether a plan is so small that it may run beside planning: it reads no table and makes no rows from nothing.
pub(crate) fn is_tiny(plan: &dyn ExecutionPlan) -> bool {
    let children = plan.children();
    if children.is_empty() {
        return matches!(plan.name(), "PlaceholderRowExec" | "EmptyExec");
    }
    matches!(
        plan.name(),
        "ProjectionExec"
            | "FilterExec"
            | "CoalesceBatchesExec"
            | "GlobalLimitExec"
            | "LocalLimitExec"
            | "CooperativeExec"
    ) && children.iter().all(|child| is_tiny(child.as_ref()))
}
