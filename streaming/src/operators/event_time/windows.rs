//! Windows on a grid of times, whose rows wait until the watermark has reached their end, and are freed then.
//!
//! What waits are rows, or what an aggregation has made of them: that is put together now and then, so that no more is kept than a
//! row a group.

use std::collections::BTreeMap;

use arrow::array::{Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::held::Held;
use super::on_time::without_bounds;
use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::event_time::{Now, nanos_per_unit, native};
use crate::operators::{Boxed, Description, Follows, Operator, StateSize};
use crate::planning::Kernel;
use crate::state::RowCodec;

/// Rows of a window that are not put together yet, however few there were after the last time.
const ROWS_BETWEEN_REDUCTIONS: usize = 1024;
/// What a window takes besides its rows, about.
const WINDOW_OVERHEAD: usize = 96;

/// Rows that wait for the end of their windows.
pub(crate) struct ClosingWindows {
    input: Boxed,
    /// The column of the windows' ends.
    end: usize,
    nanos_per_unit: i128,
    codec: RowCodec,
    /// Makes fewer rows of a window's rows, which stand for the same.
    reduce: Option<Kernel>,
    now: Now,
    windows: BTreeMap<i64, Window>,
    rows: u64,
    bytes: usize,
    /// What of windows that are gone is in the store: by end, how many pieces.
    gone: Vec<(i64, u32)>,
    unsaved: usize,
    shelf: Shelf,
    reservation: MemoryReservation,
    detail: String,
}

#[derive(Debug, Default)]
struct Window {
    rows: Held,
    /// How many rows the last reduction left.
    reduced: usize,
    /// How many rows the store has, in how many pieces.
    saved: (usize, u32),
}

impl ClosingWindows {
    /// `end` is the place of the column of the windows' ends. `reduce` is run on a window's rows when they have become many.
    pub(crate) fn new(
        input: Boxed,
        end: usize,
        reduce: Option<Kernel>,
        now: Now,
        (shelf, reservation): (Shelf, MemoryReservation),
        detail: String,
    ) -> Result<Self> {
        let schema = input.schema();
        let data_type = schema.fields().get(end).map(|field| field.data_type());
        let data_type = data_type.ok_or(Error::Internal("a window has no end"))?;
        let mut this = Self {
            nanos_per_unit: nanos_per_unit(data_type)?,
            codec: RowCodec::new(&schema)?,
            input,
            end,
            reduce,
            now,
            windows: BTreeMap::new(),
            rows: 0,
            bytes: 0,
            gone: Vec::new(),
            unsaved: 0,
            shelf,
            reservation,
            detail,
        };
        this.restore()?;
        Ok(this)
    }

    fn restore(&mut self) -> Result<()> {
        let windows = &mut self.windows;
        self.shelf.scan(&[], |key, packed| {
            let (end, _) = key
                .split_first_chunk()
                .ok_or(Error::Internal("a window in the state has no end"))?;
            let window: &mut Window = windows.entry(i64::from_be_bytes(*end)).or_default();
            window.rows.unpack(packed)?;
            window.saved = (window.rows.len(), window.saved.1 + 1);
            Ok(())
        })?;
        for window in self.windows.values() {
            self.rows += window.rows.len() as u64;
            self.bytes += window.rows.size() + WINDOW_OVERHEAD;
        }
        Ok(self.reservation.try_resize(self.bytes)?)
    }

    /// Puts the rows of a change into their windows.
    fn take_in(&mut self, change: &Delta) -> Result<Vec<i64>> {
        let mut full = Vec::new();
        for batch in &change.plus {
            let ends = native(batch.column(self.end))?;
            if ends.null_count() > 0 {
                return Err(without_bounds());
            }
            let mut by_end: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
            for (row, end) in (0u32..).zip(ends.values()) {
                by_end.entry(*end).or_default().push(row);
            }
            for (end, rows) in by_end {
                let rows = take_record_batch(batch, &UInt32Array::from(rows))?;
                let window = self.windows.entry(end).or_insert_with(|| {
                    self.bytes += WINDOW_OVERHEAD;
                    Window::default()
                });
                let size = window.rows.size();
                self.codec.each(&rows, |row| window.rows.push(row))?;
                self.bytes += window.rows.size() - size;
                self.unsaved += window.rows.size() - size;
                self.rows += rows.num_rows() as u64;
                let most = ROWS_BETWEEN_REDUCTIONS.max(window.reduced * 2);
                if window.rows.len() > most && full.last() != Some(&end) {
                    full.push(end);
                }
            }
        }
        Ok(full)
    }

    /// Puts together what a window has.
    async fn put_together(&mut self, end: i64) -> Result<()> {
        let (Some(window), Some(reduce)) = (self.windows.get_mut(&end), &mut self.reduce) else {
            return Ok(());
        };
        let rows = self.codec.decode(window.rows.iter())?;
        let mut reduced = Held::default();
        for batch in reduce.run([rows]).await? {
            self.codec.each(&batch, |row| reduced.push(row))?;
        }
        self.rows = self.rows + reduced.len() as u64 - window.rows.len() as u64;
        self.bytes = self.bytes + reduced.size() - window.rows.size();
        window.reduced = reduced.len();
        window.rows = reduced;
        if window.saved.1 > 0 {
            self.gone.push((end, window.saved.1));
            window.saved = (0, 0);
        }
        Ok(())
    }

    /// The rows of the windows that have closed.
    fn closed(&mut self) -> Result<Delta> {
        let mut closed = Delta::default();
        let Some(now) = self.now.get() else {
            return Ok(closed);
        };
        while let Some(window) = self.windows.first_entry() {
            if i128::from(*window.key()) * self.nanos_per_unit > now {
                break;
            }
            let end = *window.key();
            let Window { rows, saved, .. } = window.remove();
            if saved.1 > 0 {
                self.gone.push((end, saved.1));
            }
            self.bytes -= rows.size() + WINDOW_OVERHEAD;
            self.rows -= rows.len() as u64;
            closed.plus.extend(self.codec.decode(rows.sorted())?);
        }
        Ok(closed)
    }
}

impl Operator for ClosingWindows {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let change = self.input.step(ranges).await?;
            for end in self.take_in(&change)? {
                self.put_together(end).await?;
            }
            self.reservation.try_resize(self.bytes)?;
            let closed = self.closed()?;
            self.reservation.try_resize(self.bytes)?;
            Ok(closed)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        true
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn describe(&self) -> Description {
        Description {
            name: "WindowClose",
            detail: self.detail.clone(),
            follows: Follows::Changes,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.input.as_ref()]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        vec![&mut self.input]
    }

    fn state(&self) -> StateSize {
        StateSize {
            rows: self.rows,
            bytes: self.bytes,
            unsaved: self.unsaved,
        }
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        for (end, pieces) in self.gone.drain(..) {
            for piece in 0..pieces {
                saving.remove(&self.shelf, &[&end.to_be_bytes(), &piece.to_be_bytes()]);
            }
        }
        for (end, window) in &mut self.windows {
            let (rows, pieces) = window.saved;
            if rows < window.rows.len() {
                let place: [&[u8]; 2] = [&end.to_be_bytes(), &pieces.to_be_bytes()];
                saving.put(&self.shelf, &place, &window.rows.pack(rows));
                window.saved = (window.rows.len(), pieces + 1);
            }
        }
        self.unsaved = 0;
        Ok(())
    }
}
