//! Reading streams with their watermarks, all of a query's before any operator runs: so that in one step all operators see
//! one watermark.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::TableScan;
use parking_lot::Mutex;
use weir_topics::Topic;

use super::marking::{Marking, Progress, Reading};
use super::stream::WatermarkedStream;
use crate::checkpoint::Shelf;
use crate::dataflow::Ranges;
use crate::error::{Error, Result};
use crate::operators::{OnRowError, scan_of};
use crate::planning::Kernel;

/// The watermark of a query, as all its operators see it in a step: nanoseconds since 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct Now(Arc<Mutex<Option<i128>>>);

impl Now {
    pub(crate) fn get(&self) -> Option<i128> {
        *self.0.lock()
    }
}

/// The event time of a query.
#[derive(Debug, Default)]
pub(crate) struct EventTime {
    sources: Vec<EventSource>,
    now: Now,
    late: Arc<AtomicU64>,
}

impl EventTime {
    pub(crate) fn add(&mut self, source: EventSource) {
        self.sources.push(source);
        self.settle();
    }

    /// Says what becomes of rows whose watermark cannot be computed.
    pub(crate) fn on_row_error(&mut self, on_error: &OnRowError) {
        let sources = self.sources.iter_mut();
        sources.for_each(|source| source.marking.on_row_error(on_error));
    }

    /// Whether anything depends on it.
    pub(crate) fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }

    /// Where its operators see the watermark.
    pub(crate) fn now(&self) -> Now {
        self.now.clone()
    }

    /// The count of late rows, each as often as it is in a window.
    pub(crate) fn late(&self) -> &Arc<AtomicU64> {
        &self.late
    }

    /// That count, if there are windows that a row can be late for.
    pub(crate) fn late_rows(&self) -> Option<u64> {
        self.has_sources()
            .then(|| self.late.load(Ordering::Relaxed))
    }

    /// Reads what a step goes through, and moves the watermark.
    pub(crate) async fn advance(&mut self, ranges: &Ranges) -> Result<()> {
        for source in &mut self.sources {
            source.read(ranges).await?;
        }
        self.settle();
        Ok(())
    }

    fn settle(&self) {
        // Less than every other is none at all.
        let least = |source: &EventSource| {
            let own = source.own.lock();
            own.iter().map(Progress::watermark).min().flatten()
        };
        *self.now.0.lock() = self.sources.iter().map(least).min().flatten();
    }
}

/// A stream that is read with its watermarks.
#[derive(Debug)]
pub(crate) struct EventSource {
    topic: Topic,
    kernel: Kernel,
    marking: Marking,
    /// How far each partition has come.
    own: Own,
    rows: Rows,
}

/// How far each partition of a stream has come.
pub(crate) type Own = Arc<Mutex<Vec<Progress>>>;

/// The rows of a stream in a step.
pub(crate) type Rows = Arc<Mutex<Vec<RecordBatch>>>;

impl EventSource {
    /// `kernel` scans `stream` for what `reading` says. `shelf` has the watermarks of before.
    pub(crate) fn new(
        stream: &WatermarkedStream,
        kernel: Kernel,
        reading: Reading,
        shelf: &Shelf,
    ) -> Result<Self> {
        let marking = Marking::new(stream, &kernel.schema(), reading)?;
        let topic = stream.stream().topic().clone();
        let mut own = vec![Progress::default(); topic.partitions().len()];
        for (partition, own) in (0u32..).zip(&mut own) {
            let saved = shelf.get(&[&partition.to_be_bytes()])?;
            let saved = saved.and_then(|saved| saved.as_ref().try_into().ok());
            *own = Progress::at(saved.map(i128::from_le_bytes));
        }
        Ok(Self {
            own: Arc::new(Mutex::new(own)),
            rows: Rows::default(),
            topic,
            kernel,
            marking,
        })
    }

    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.marking.schema()
    }

    /// How far each partition has come.
    pub(crate) fn own(&self) -> &Own {
        &self.own
    }

    /// Where its rows are after each step.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    async fn read(&mut self, ranges: &Ranges) -> Result<()> {
        let Some((from, to)) = ranges.new_of(self.topic.id()) else {
            return Ok(());
        };
        let scan = scan_of(self.kernel.plan().as_ref());
        let scan = scan.ok_or(Error::Internal("a stream's plan has lost its scan"))?;
        scan.set_range(from, to)?;
        let mut rows = Vec::new();
        for batch in self.kernel.run([]).await? {
            rows.push(self.marking.mark(&batch, &mut self.own.lock())?);
        }
        *self.rows.lock() = rows;
        Ok(())
    }
}

/// The stream with a watermark that a scan reads, if it is one.
pub(crate) fn watermarked(scan: &TableScan) -> Option<WatermarkedStream> {
    let provider = source_as_provider(&scan.source).ok()?;
    let provider = provider.as_ref() as &dyn Any;
    provider.downcast_ref::<WatermarkedStream>().cloned()
}
