//! Reading one output partition of a scan: run after run, the log one piece ahead.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, RecordOutput};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, StreamExt};
use weir_base::{Offset, PartitionId};
use weir_topics::{BatchView, Batches};

use super::Scan;
use super::decoded::{DecodedRows, Filling, Found, Piece, TrackKey};
use super::runs::{Run, Span};
use crate::topic::bounds::Interval;
use crate::topic::history::FilePart;
use crate::topic::record::RecordDecoder;
use crate::{Error, Result};

/// How much is read at a time; one piece is decoded while the next is read.
const READ_BYTES: usize = 1 << 20;
/// A batch of rows is given out when it holds so much, however few rows that are.
const BATCH_BYTES: usize = 32 << 20;

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) baseline: BaselineMetrics,
    pub(super) bytes: Count,
    pub(super) errors: Count,
    /// Rows that did not have to be decoded.
    pub(super) kept: Count,
}

/// One output partition, being read.
pub(super) struct Reader {
    scan: Arc<Scan>,
    batch_rows: usize,
    /// How many rows may still be given.
    left: usize,
    /// What is not yet being read.
    runs: VecDeque<Run>,
    /// A file of history that is being read.
    file: Option<SendableRecordBatchStream>,
    context: Arc<TaskContext>,
    decoder: Option<(PartitionId, RecordDecoder)>,
    /// Under which rows of a partition are kept.
    track: Option<(PartitionId, Option<TrackKey>)>,
    reading: Option<Ahead>,
    ready: VecDeque<RecordBatch>,
    metrics: Metrics,
}

/// The next piece of a span.
struct Ahead {
    span: Span,
    source: Source,
}

/// Where it comes from.
enum Source {
    /// It is decoded already.
    Kept(Arc<Piece>),
    /// It is on its way from the disk, up to an offset at which something kept may follow.
    Disk {
        to: Offset,
        read: SpawnedTask<weir_topics::Result<Batches>>,
    },
}

impl Reader {
    pub(super) fn new(
        scan: Arc<Scan>,
        runs: &[Run],
        context: Arc<TaskContext>,
        metrics: Metrics,
    ) -> Self {
        Self {
            batch_rows: context.session_config().batch_size().max(1),
            left: scan.fetch.unwrap_or(usize::MAX),
            runs: runs.iter().cloned().collect(),
            file: None,
            decoder: None,
            track: None,
            reading: None,
            ready: VecDeque::new(),
            scan,
            context,
            metrics,
        }
    }

    /// The next rows, until there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch.record_output(&self.metrics.baseline)));
            }
            if self.left == 0 {
                self.metrics.baseline.done();
                return Ok(None);
            }
            if let Some(file) = &mut self.file {
                match file.next().await {
                    Some(batch) => self.take(batch.map_err(crate::files::internal)?),
                    None => self.file = None,
                }
                continue;
            }
            let Some(Ahead { span, source }) = self.reading.take().or_else(|| self.start()) else {
                match self.runs.pop_front() {
                    Some(Run::File(part)) => self.file = Some(self.open(part)?),
                    Some(Run::Log(span)) => self.count(span)?,
                    None => {
                        self.metrics.baseline.done();
                        return Ok(None);
                    }
                }
                continue;
            };
            match source {
                Source::Kept(piece) => {
                    self.go_on_at(span, piece.end());
                    let time = self.scan.bounds.timestamp;
                    for rows in piece.rows(span.from, span.to, time)? {
                        self.metrics.kept.add(rows.num_rows());
                        self.take(rows);
                    }
                }
                Source::Disk { to, read } => {
                    let Batches { batches, next } = read.join().await.map_err(stopped)??;
                    let next = next.min(to);
                    self.go_on_at(span, next);
                    self.reading = self.start();
                    let timer = self.metrics.baseline.elapsed_compute().clone();
                    let _timer = timer.timer();
                    self.decode(Span { to: next, ..span }, &batches)?;
                }
            }
        }
    }

    /// Leaves what comes behind a piece of `span` for later.
    fn go_on_at(&mut self, span: Span, next: Offset) {
        let rest = Span { from: next, ..span };
        // A read that does not get on has come to the end of what is stable.
        if rest.from > span.from && rest.from < rest.to {
            self.runs.push_front(Run::Log(rest));
        }
    }

    /// Under what the rows of a partition are kept, if they may be.
    fn track(&mut self, partition: PartitionId) -> Option<(&DecodedRows, &TrackKey)> {
        if !matches!(&self.track, Some((known, _)) if *known == partition) {
            self.track = Some((partition, TrackKey::of(&self.scan, partition)));
        }
        let (_, key) = self.track.as_ref()?;
        Some((self.scan.decoded.as_deref()?, key.as_ref()?))
    }

    /// Begins to read the next piece, if it comes from the log and records must be looked at.
    fn start(&mut self) -> Option<Ahead> {
        let span = match self.runs.front()? {
            Run::Log(span) => *span,
            Run::File(_) => return None,
        };
        if self.scan.counts_only() && self.scan.rows_of(span).is_some() {
            return None;
        }
        self.runs.pop_front();
        let mut to = span.to;
        if let Some((decoded, key)) = self.track(span.partition) {
            match decoded.find(key, span.from, span.to) {
                Found::Piece(piece) => {
                    let source = Source::Kept(piece);
                    return Some(Ahead { span, source });
                }
                Found::NothingTo(offset) => to = offset,
            }
        }
        let topic = self.scan.topic.clone();
        let read = SpawnedTask::spawn_blocking(move || {
            let partition = topic.partition(span.partition)?;
            let Batches { batches, next } = partition.read(span.from, to, READ_BYTES)?;
            let batches = batches.into_iter().map(BatchView::decompressed);
            Ok(Batches {
                batches: batches.collect::<weir_topics::Result<_>>()?,
                next,
            })
        });
        let source = Source::Disk { to, read };
        Some(Ahead { span, source })
    }

    /// Begins to read a part of a Parquet file.
    fn open(&self, part: FilePart) -> Result<SendableRecordBatchStream> {
        let scan = &self.scan;
        let history = scan.history.as_ref().ok_or_else(|| {
            Error::new(
                weir_base::Kind::Internal,
                "a file of no history is to be read",
            )
        })?;
        let runtime = self.context.runtime_env();
        let environment = (
            runtime.as_ref(),
            self.context.session_config().options().as_ref(),
        );
        let plans = history
            .plans(
                environment,
                &scan.rows,
                vec![part],
                &scan.projection,
                None,
                1,
            )
            .map_err(crate::files::internal)?;
        let mut streams = Vec::new();
        for plan in plans {
            for partition in 0..plan.output_partitioning().partition_count() {
                let rows = plan.execute(partition, Arc::clone(&self.context));
                streams.push(rows.map_err(crate::files::internal)?);
            }
        }
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&scan.schema),
            stream::iter(streams).flatten(),
        )))
    }

    /// Passes rows on, as many as may still be given.
    fn take(&mut self, batch: RecordBatch) {
        let rows = batch.num_rows().min(self.left);
        self.left -= rows;
        if rows > 0 {
            self.ready.push_back(batch.slice(0, rows));
        }
    }

    fn decode(&mut self, span: Span, batches: &[BatchView]) -> Result<()> {
        let mut decoder = match self.decoder.take() {
            Some((partition, decoder)) if partition == span.partition => decoder,
            _ => RecordDecoder::new(
                self.scan.topic.name(),
                span.partition,
                &self.scan.rows,
                &self.scan.projection,
            )?,
        };
        let time = self.scan.bounds.timestamp;
        let stored = batches.iter().map(BatchView::size_bytes).sum();
        self.metrics.bytes.add(stored);
        let takes_all = time == Interval::ALL && self.scan.fetch.is_none();
        let is_kept = takes_all && self.track(span.partition).is_some();
        let mut filling = is_kept.then(|| Filling::of(stored)).flatten();
        'all: for batch in batches {
            for record in batch.records() {
                let record = record?;
                if record.offset >= span.to || self.left == 0 {
                    break 'all;
                }
                if record.offset < span.from || !time.contains(record.timestamp_ms) {
                    continue;
                }
                if let Err(error) = decoder.push(&record) {
                    self.count_errors(&mut decoder);
                    return Err(error);
                }
                if let Some(filling) = &mut filling {
                    filling.record(record.offset, record.timestamp_ms, decoder.rows());
                }
                let is_full = decoder.rows().max(decoder.records()) >= self.batch_rows;
                if is_full || decoder.bytes() >= BATCH_BYTES || decoder.rows() >= self.left {
                    self.give(&mut decoder, &mut filling)?;
                }
            }
        }
        self.give(&mut decoder, &mut filling)?;
        if let Some(filling) = filling
            && let Some((decoded, key)) = self.track(span.partition)
        {
            decoded.keep(key, span.from..span.to, filling);
        }
        self.decoder = Some((span.partition, decoder));
        Ok(())
    }

    /// Puts what is decoded among what is ready, up to the rows that may still be given.
    fn give(&mut self, decoder: &mut RecordDecoder, filling: &mut Option<Filling>) -> Result<()> {
        if self.count_errors(decoder) {
            // Errors are counted, and said, each time that they are come upon.
            *filling = None;
        }
        if decoder.records() > 0 {
            let rows = decoder.finish()?;
            if let Some(filling) = filling {
                filling.batch(&rows);
            }
            self.take(rows);
        }
        Ok(())
    }

    /// Counts the records that could not be decoded; says whether there was one.
    fn count_errors(&self, decoder: &mut RecordDecoder) -> bool {
        let errors = decoder.take_errors();
        if errors > 0 {
            let count = usize::try_from(errors).unwrap_or(usize::MAX);
            self.metrics.errors.add(count);
            self.scan.rows.decode_errors().add(errors);
        }
        errors > 0
    }

    /// Rows without columns: as many as there are records.
    fn count(&mut self, span: Span) -> Result<()> {
        let rows = self.scan.rows_of(span).unwrap_or_default();
        let mut rows = usize::try_from(rows).unwrap_or(usize::MAX).min(self.left);
        self.left -= rows;
        while rows > 0 {
            let some = rows.min(self.batch_rows);
            rows -= some;
            let options = RecordBatchOptions::new().with_row_count(Some(some));
            let batch = RecordBatch::try_new_with_options(
                Arc::clone(&self.scan.schema),
                Vec::new(),
                &options,
            )
            .map_err(|error| {
                Error::new(weir_base::Kind::Internal, "rows cannot be counted").with_source(error)
            })?;
            self.ready.push_back(batch);
        }
        Ok(())
    }
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(weir_base::Kind::Internal, "reading a topic was broken off").with_source(error)
}
