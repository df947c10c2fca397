//! Running a planned query: in its lane, within its limits, into the stream that the door reads.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, collect, execute_stream};
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_base::{Kind, ResumeToken, SqlState};
use weir_connectors::topic::TableScanExec;

use crate::admission::Admitted;
use crate::answer::{Answer, AnswerKind, Chunk, RowStream};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::kept::Parameter;
use crate::lanes::{AbortOnDrop, Lane, defect};
use crate::planning::columns;
use crate::queries::{Running, StopReason};

/// Chunks between a query and its reader. A reader that is slower than its query stops it after so many. More were measured:
/// they hold memory, and give no row sooner.
const CHUNKS_AHEAD: usize = 1;
/// Batches between the lane that computes them and the one that hands them on.
const BATCHES_AHEAD: usize = 1;

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

/// The answer of a bounded plan, run in the heavy lane. `held` is its place among the admitted, and what else it needs until it ends.
pub(crate) fn run_plan(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    bounds: Bounds,
    held: impl Send + 'static,
) -> Answer {
    let schema = plan.schema();
    running.runs(Some(Arc::clone(&plan)));
    let batches = move || match execute_stream(plan, context) {
        Ok(batches) => batches.map(|batch| Ok((batch?, None))).boxed(),
        Err(error) => futures::stream::iter([Err(error.into())]).boxed(),
    };
    let batches = produce(engine, batches, held);
    answer(engine, running, schema, AnswerKind::Rows, bounds, batches)
}

/// The answer of a plan that [is tiny](is_tiny), run here and now.
pub(crate) async fn run_tiny(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    bounds: Bounds,
) -> Result<Answer> {
    let schema = plan.schema();
    running.runs(Some(Arc::clone(&plan)));
    let mut given = Vec::new();
    for batch in collect(plan, context).await? {
        let (batch, is_last) = within(running, batch, bounds)?;
        given.extend((batch.num_rows() > 0).then_some(batch));
        if is_last {
            break;
        }
    }
    Ok(ready(engine, running, AnswerKind::Rows, schema, given))
}

/// The answer of a live query, whose batches come with their positions.
pub(crate) fn run_live(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    schema: SchemaRef,
    batches: impl Stream<Item = Result<Positioned>> + Send + 'static,
    bounds: Bounds,
    admitted: Admitted,
) -> Answer {
    running.set_live();
    running.runs(None);
    let batches = produce(engine, || batches.boxed(), admitted);
    answer(engine, running, schema, AnswerKind::Live, bounds, batches)
}

/// The answer of a statement whose rows are already there.
pub(crate) fn run_ready(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    kind: AnswerKind,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> Answer {
    for batch in &batches {
        running.gave_out(batch.num_rows(), batch.get_array_memory_size());
    }
    ready(engine, running, kind, schema, batches)
}

fn ready(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    kind: AnswerKind,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> Answer {
    let (sender, receiver) = mpsc::channel(batches.len().max(1));
    for batch in batches {
        // The channel has room for all of them.
        let _ = sender.try_send(Ok(Chunk {
            batch,
            position: None,
        }));
    }
    engine.ended(running, Ok(()));
    let shown = columns::shown(&schema);
    Answer {
        query_id: running.id,
        schema: shown.clone().unwrap_or(schema),
        kind,
        rows: RowStream::new(receiver, Arc::clone(running)).showing(shown),
    }
}

/// A batch, and of a live query where it stands after it.
type Positioned = (RecordBatch, Option<ResumeToken>);
type Batches = futures::stream::BoxStream<'static, Result<Positioned>>;

/// Runs what gives batches in the heavy lane, and gives them here. The work ends when the stream is dropped; what is held for it, as its
/// place among the admitted, is let go of when it has really ended.
fn produce(
    engine: &Shared,
    batches: impl FnOnce() -> Batches + Send + 'static,
    held: impl Send + 'static,
) -> Batches {
    let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
    let work = async move {
        let moving = async {
            let mut batches = batches();
            // Room first: a batch that is computed and has no place would be one more in memory.
            while let Ok(place) = sender.reserve().await {
                let batch = batches.next().await;
                let is_last = !matches!(batch, Some(Ok(_)));
                place.send(batch);
                if is_last {
                    return;
                }
            }
        };
        if let Err(panic) = AssertUnwindSafe(moving).catch_unwind().await {
            // A reader that has left needs no error.
            let _ = sender.send(Some(Err(defect(panic.as_ref())))).await;
        }
        drop(held);
    };
    let work = engine.lanes.spawn(Lane::Heavy, work).map(AbortOnDrop);
    futures::stream::poll_fn(move |context| {
        // Until the stream is dropped.
        let _ = &work;
        // Work that was dropped in the middle says nothing; its rows are not all.
        let cut_off = || Some(Err(StopReason::Shutdown.error()));
        receiver
            .poll_recv(context)
            .map(|batch| batch.unwrap_or_else(cut_off))
    })
    .boxed()
}

/// Moves batches to the reader. It is done in the interactive lane, where a deadline and a stop are heard of even while all
/// threads of the heavy one are long at work on a batch.
fn answer(
    engine: &Arc<Shared>,
    running: &Arc<Running>,
    schema: SchemaRef,
    kind: AnswerKind,
    bounds: Bounds,
    batches: Batches,
) -> Answer {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let shown = columns::shown(&schema);
    let stream = RowStream::new(receiver, Arc::clone(running)).showing(shown.clone());
    let task = {
        let (engine, running) = (Arc::clone(engine), Arc::clone(running));
        async move {
            let pumped = pump(&running, batches, &sender, bounds);
            let outcome = match AssertUnwindSafe(pumped).catch_unwind().await {
                Ok(outcome) => outcome,
                Err(panic) => Err(defect(panic.as_ref())),
            };
            // What still works on it hears of the end, whatever the reason.
            running.stop.cancel();
            finish(&engine, &running, outcome, &sender).await;
        }
    };
    engine.lanes.spawn(Lane::Interactive, task);
    Answer {
        query_id: running.id,
        schema: shown.unwrap_or(schema),
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
        loop {
            let Ok(place) = sender.reserve().await else {
                return Err(running.stop_reason().error());
            };
            let (batch, position) = loop {
                match batches.next().await.transpose()? {
                    None => return Ok(()),
                    Some((batch, None)) if batch.num_rows() == 0 => {}
                    Some(next) => break next,
                }
            };
            let rows = batch.num_rows();
            let (batch, is_last) = within(running, batch, bounds)?;
            // Who went on after a step that was cut would miss its other rows.
            let position = position.filter(|_| batch.num_rows() == rows);
            if !is_last || batch.num_rows() > 0 {
                place.send(Ok(Chunk { batch, position }));
            }
            if is_last {
                return Ok(());
            }
        }
    };
    tokio::select! {
        biased;
        () = running.stop.cancelled() => Err(running.stop_reason().error()),
        error = deadline => Err(error),
        done = moving => done,
    }
}

/// What of a batch is given out, and whether nothing is after it. It is counted.
fn within(
    running: &Running,
    mut batch: RecordBatch,
    bounds: Bounds,
) -> Result<(RecordBatch, bool)> {
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
    running.gave_out(batch.num_rows(), batch.get_array_memory_size());
    check_size(running, bounds)?;
    Ok((batch, is_last))
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

/// Rows that a plan may take from memory to be [small](is_small), and the bytes of what they are among.
pub(crate) const SMALL_ROWS_MAX: usize = 10_000;
const SMALL_BYTES_MAX: usize = 16 << 20;

/// Whether a plan does no more than to choose and sort a few rows that are in memory. Such a one takes less time than planning did, so it
/// runs beside planning, where it waits for no other query: what the server says of itself is read so even while others have every
/// thread for long work, and a row is found by its key.
pub(crate) fn is_small(plan: &dyn ExecutionPlan) -> bool {
    let is_plain = match plan.name() {
        "ProjectionExec" => plan.downcast_ref::<ProjectionExec>().is_some_and(|plan| {
            let mut exprs = plan.expr().iter();
            exprs.all(|projected| is_plain(&projected.expr))
        }),
        "FilterExec" => plan
            .downcast_ref::<FilterExec>()
            .is_some_and(|plan| is_plain(plan.predicate())),
        "SortExec" => plan.downcast_ref::<SortExec>().is_some_and(|plan| {
            let mut keys = plan.expr().iter();
            keys.all(|key| is_plain(&key.expr))
        }),
        "DataSourceExec" => {
            let source = plan.downcast_ref::<DataSourceExec>();
            let source =
                source.and_then(|source| source.data_source().downcast_ref::<MemorySourceConfig>());
            return source.is_some_and(|source| {
                let rows = source.partitions().iter().flatten();
                rows.map(RecordBatch::num_rows).sum::<usize>() <= SMALL_ROWS_MAX
            });
        }
        "TableScanExec" => {
            let scan = plan.downcast_ref::<TableScanExec>();
            return scan.is_some_and(|scan| {
                let (rows, bytes) = scan.size_max();
                rows <= SMALL_ROWS_MAX && bytes <= SMALL_BYTES_MAX
            });
        }
        "CooperativeExec" | "GlobalLimitExec" | "LocalLimitExec" => true,
        _ => false,
    };
    is_plain && plan.children().iter().all(|child| is_small(child.as_ref()))
}

fn is_parameter(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let call = expr.downcast_ref::<ScalarFunctionExpr>();
    call.is_some_and(|call| call.fun().inner().downcast_ref::<Parameter>().is_some())
}

/// Whether an expression takes about as long, and as much room, as its columns do.
fn is_plain(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let is_known = expr.is::<Column>()
        || expr.is::<Literal>()
        || expr.is::<BinaryExpr>()
        || expr.is::<NotExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<LikeExpr>()
        || expr.is::<CastExpr>()
        || is_parameter(expr);
    is_known && expr.children().into_iter().all(is_plain)
}
