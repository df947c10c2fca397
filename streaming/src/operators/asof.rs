//! `ASOF JOIN`, followed by the rows that a change can touch.
//!
//! The rows of each key lie in the order of their times, the right ones such that the one that is near to a left row is the last that is
//! not behind it. A right row that comes or goes changes the partner of the left rows from its own time up to that of the next right
//! row; a left row looks its partner up. So a change costs what it touches, and not what a key has.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{filter_record_batch, not, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::PhysicalExpr;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Boxed, Description, Follows, Operator, StateSize};
use crate::asof::{Nearest, order_of_times, without_nulls};
use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::state::{Arrangement, BatchKeys, Keys, Multiset, RowBytes, RowCodec};

/// How many joined rows make a batch at most.
const BATCH_ROWS: usize = 8192;

/// Each row of the left side with the nearest of the right one.
pub(crate) struct AsOf {
    left: Side,
    right: Side,
    order: Order,
    keeps_left: bool,
    schema: SchemaRef,
    detail: String,
}

/// One side, and what is known of it.
pub(crate) struct Side {
    input: Boxed,
    time: Arc<dyn PhysicalExpr>,
    /// Rows with their times before them.
    rows: Arrangement,
}

impl Side {
    /// The rows of `input`, by `keys` and `time`, which is of a type that is as long in all rows.
    pub(crate) fn new(
        input: Boxed,
        keys: Keys,
        time: Arc<dyn PhysicalExpr>,
        nearest: Nearest,
        place: (Shelf, MemoryReservation),
    ) -> Result<Self> {
        let own = input.schema();
        let field = Field::new("", time.data_type(&own)?, true);
        let mut fields = vec![Arc::new(field)];
        fields.extend(own.fields().iter().cloned());
        let schema = Arc::new(Schema::new(fields));
        let codec = RowCodec::ordered(&schema, &[order_of_times(nearest)])?;
        Ok(Self {
            rows: Arrangement::of_rows(codec, keys, None, place)?,
            input,
            time,
        })
    }

    /// A change of it, encoded: of the rows that may have a partner. The others are given as they are.
    fn coded(&self, change: Delta) -> Result<Coded> {
        let mut coded = Coded::default();
        for (batches, comes) in [(change.plus, true), (change.minus, false)] {
            for batch in batches {
                let mut values = self.rows.keys().values(&batch)?;
                values.push(self.time_of(&batch)?);
                let can_match = without_nulls(&values, batch.num_rows());
                let batch = match can_match.true_count() == batch.num_rows() {
                    true => batch,
                    false => {
                        let alone = filter_record_batch(&batch, &not(&can_match)?)?;
                        match comes {
                            true => coded.alone.plus.push(alone),
                            false => coded.alone.minus.push(alone),
                        }
                        filter_record_batch(&batch, &can_match)?
                    }
                };
                let mut columns = vec![self.time_of(&batch)?];
                columns.extend(batch.columns().iter().cloned());
                coded.parts.push(Part {
                    keys: self.rows.keys().of(&batch)?,
                    rows: self.rows.codec().encode_columns(&columns)?,
                    count: batch.num_rows(),
                    comes,
                });
            }
        }
        Ok(coded)
    }

    fn time_of(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let times = self.time.evaluate(batch)?;
        Ok(times.into_array(batch.num_rows())?)
    }

    fn apply(&mut self, change: &Coded) -> Result<()> {
        for part in &change.parts {
            let Part {
                keys,
                rows,
                count,
                comes,
            } = part;
            self.rows.apply_encoded(*count, keys, rows, *comes)?;
        }
        Ok(())
    }

    /// Encoded rows as columns.
    fn columns<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let batches = self.rows.codec().decode(rows)?;
        let schema = self.rows.codec().schema();
        let rows = arrow::compute::concat_batches(schema, &batches)?;
        Ok(rows.columns().iter().skip(1).cloned().collect())
    }
}

/// A change of a side.
#[derive(Default)]
struct Coded {
    parts: Vec<Part>,
    /// Rows that have no partner, whatever comes.
    alone: Delta,
}

struct Part {
    keys: BatchKeys,
    rows: RowBytes,
    count: usize,
    comes: bool,
}

/// What changes of one key.
#[derive(Default)]
struct Touched<'a> {
    /// Left rows, and whether they come.
    left: Vec<(&'a [u8], bool)>,
    right: Vec<&'a [u8]>,
}

/// How times lie in the bytes of rows, and which are near.
#[derive(Debug, Clone, Copy)]
struct Order {
    /// How many bytes of a row are its time.
    time_bytes: usize,
    or_equal: bool,
}

/// Left rows from a time on and before another, which may be the end of all.
struct Span {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl Order {
    fn time(self, row: &[u8]) -> &[u8] {
        row.get(..self.time_bytes).unwrap_or(row)
    }

    /// Where the left rows begin that a right one may be near to; none where there can be none.
    fn first_left(self, right: &[u8]) -> Option<Vec<u8>> {
        let time = self.time(right);
        match self.or_equal {
            true => Some(time.to_vec()),
            false => after_all_of(time),
        }
    }

    /// The right row that is near to a left one.
    fn near<'a>(self, rights: Option<&'a Multiset>, left: &[u8]) -> Option<&'a [u8]> {
        let time = self.time(left);
        let rights = rights?;
        match self.or_equal {
            true => rights.last_before(after_all_of(time).as_deref()),
            false => rights.last_before(Some(time)),
        }
    }

    /// The left rows whose partner may change with some right rows, where these lie among others as they were. In order, and apart.
    ///
    /// A row that is new is near up to the next one. If that one goes in the same step, what lies behind it is its own span.
    fn spans(self, changed: &[&[u8]], rights: Option<&Multiset>) -> Vec<Span> {
        let spans = changed.iter().filter_map(|row| {
            let from = self.first_left(row)?;
            let next = rights.and_then(|rights| rights.first_after(row));
            let to = match next {
                None => None,
                // None of the left rows is behind the last time that there is.
                Some(next) => self.first_left(next),
            };
            Some(Span { from, to })
        });
        let mut spans: Vec<Span> = spans.collect();
        spans.sort_unstable_by(|a, b| a.from.cmp(&b.from));
        let mut apart: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match apart.last_mut() {
                Some(last) if last.to.as_ref().is_none_or(|to| *to >= span.from) => {
                    last.to = match (last.to.take(), span.to) {
                        (Some(a), Some(b)) => Some(a.max(b)),
                        _ => None,
                    };
                }
                _ => apart.push(span),
            }
        }
        apart
    }
}

/// The first byte string that comes after all that begin with some bytes; none when none does.
fn after_all_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.pop() {
        if let Some(next) = last.checked_add(1) {
            bytes.push(next);
            return Some(bytes);
        }
    }
    None
}

/// Whether a left row is in one of some spans, which are in order.
fn is_within(spans: &[Span], row: &[u8]) -> bool {
    let behind = spans.partition_point(|span| span.from.as_slice() <= row);
    let span = behind.checked_sub(1).and_then(|at| spans.get(at));
    span.is_some_and(|span| span.to.as_ref().is_none_or(|to| row < to.as_slice()))
}

/// Left rows with their partners, encoded.
type Pairs = Vec<(Box<[u8]>, Option<Box<[u8]>>)>;

impl AsOf {
    /// `schema` has the columns of both sides. None where the order of times cannot be told from the bytes of rows.
    pub(crate) fn time_bytes(
        side: &SchemaRef,
        time: &Arc<dyn PhysicalExpr>,
    ) -> Result<Option<usize>> {
        let width = time.data_type(side)?.primitive_width();
        // Arrow's row format puts one byte before a value, which says whether it is null.
        Ok(width.map(|width| width + 1))
    }

    pub(crate) fn new(
        [left, right]: [Side; 2],
        time_bytes: usize,
        nearest: Nearest,
        keeps_left: bool,
        schema: &SchemaRef,
        detail: String,
    ) -> Self {
        Self {
            left,
            right,
            order: Order {
                time_bytes,
                or_equal: nearest.or_equal(),
            },
            keeps_left,
            schema: Arc::clone(schema),
            detail,
        }
    }

    /// The pairs of the left rows in some spans, and of those that change, come or go, outside of them.
    fn pairs(
        &mut self,
        touched: &BTreeMap<&[u8], Touched<'_>>,
        spans: &BTreeMap<&[u8], Vec<Span>>,
        come: bool,
    ) -> Result<Pairs> {
        let mut pairs = Pairs::new();
        let order = self.order;
        let keeps_left = self.keeps_left;
        for (key, touched) in touched {
            let rights = self.right.rows.group(key)?;
            let spans = spans.get(key).map_or(&[][..], Vec::as_slice);
            let mut add = |row: &[u8], times: u64| {
                let near = order.near(rights, row);
                if near.is_some() || keeps_left {
                    let pair = (Box::from(row), near.map(Box::from));
                    pairs.extend((0..times).map(|_| pair.clone()));
                }
            };
            if !spans.is_empty()
                && let Some(lefts) = self.left.rows.group(key)?
            {
                for span in spans {
                    let rows = lefts.between(&span.from, span.to.as_deref());
                    rows.for_each(|(row, times)| add(row, times));
                }
            }
            let changed = touched.left.iter();
            let changed = changed.filter(|(row, comes)| *comes == come && !is_within(spans, row));
            changed.for_each(|(row, _)| add(row, 1));
        }
        Ok(pairs)
    }

    fn batches(&self, pairs: &Pairs) -> Result<Vec<RecordBatch>> {
        let batches = pairs.chunks(BATCH_ROWS).map(|pairs| {
            let mut columns = self
                .left
                .columns(pairs.iter().map(|(left, _)| left.as_ref()))?;
            let mut partners = pairs
                .iter()
                .filter_map(|(_, right)| right.as_deref())
                .peekable();
            if partners.peek().is_none() {
                return self.with_nulls(columns, pairs.len());
            }
            let partners = self.right.columns(partners)?;
            let mut next = 0..;
            let places = pairs.iter().map(|(_, right)| {
                right.as_ref()?;
                next.next()
            });
            let places = UInt32Array::from_iter(places);
            for column in partners {
                columns.push(take(&column, &places, None)?);
            }
            self.batch(columns, pairs.len())
        });
        batches.collect()
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    /// Left rows that never have a partner, as rows of the join.
    fn without_partner(&self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        if !self.keeps_left {
            return Ok(Vec::new());
        }
        let rows = rows.into_iter();
        let rows = rows.map(|batch| self.with_nulls(batch.columns().to_vec(), batch.num_rows()));
        rows.collect()
    }

    /// Rows of the left side, with nulls for the right one.
    fn with_nulls(&self, mut columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let right = self.schema.fields().iter().skip(columns.len());
        let nulls = right.map(|field| new_null_array(field.data_type(), rows));
        columns.extend(nulls);
        self.batch(columns, rows)
    }
}

/// What a step changes, by key.
fn touched<'a>(left: &'a Coded, right: &'a Coded) -> BTreeMap<&'a [u8], Touched<'a>> {
    let mut touched: BTreeMap<&[u8], Touched<'_>> = BTreeMap::new();
    for part in &left.parts {
        for row in 0..part.count {
            let of_key = touched.entry(part.keys.get(row)).or_default();
            of_key.left.push((part.rows.get(row), part.comes));
        }
    }
    for part in &right.parts {
        for row in 0..part.count {
            let of_key = touched.entry(part.keys.get(row)).or_default();
            of_key.right.push(part.rows.get(row));
        }
    }
    touched
}

impl Operator for AsOf {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let left = self.left.input.step(ranges).await?;
            let right = self.right.input.step(ranges).await?;
            let (mut left, right) = (self.left.coded(left)?, self.right.coded(right)?);
            let alone = std::mem::take(&mut left.alone);
            let touched = touched(&left, &right);
            let mut spans = BTreeMap::new();
            for (key, touched) in &touched {
                if !touched.right.is_empty() {
                    let rights = self.right.rows.group(key)?;
                    spans.insert(*key, self.order.spans(&touched.right, rights));
                }
            }
            let went = self.pairs(&touched, &spans, false)?;
            let mut minus = self.batches(&went)?;
            self.right.apply(&right)?;
            // Nobody looks for left rows where the right side does not change: that is all there from the first step on.
            if !self.right.input.is_fixed() {
                self.left.apply(&left)?;
            } else if !spans.is_empty() {
                // In that step the left rows are those that come.
                spans.clear();
            }
            let came = self.pairs(&touched, &spans, true)?;
            let mut plus = self.batches(&came)?;
            plus.extend(self.without_partner(alone.plus)?);
            minus.extend(self.without_partner(alone.minus)?);
            Delta { plus, minus }.consolidated(&self.schema)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        self.left.input.only_grows() && self.right.input.is_fixed()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn describe(&self) -> Description {
        Description {
            name: "AsOfJoin",
            detail: self.detail.clone(),
            follows: Follows::Changes,
        }
    }

    fn inputs(&self) -> Vec<&dyn Operator> {
        vec![self.left.input.as_ref(), self.right.input.as_ref()]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Boxed> {
        vec![&mut self.left.input, &mut self.right.input]
    }

    fn state(&self) -> StateSize {
        self.left.rows.size() + self.right.rows.size()
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        self.left.rows.save(saving);
        self.right.rows.save(saving);
        Ok(())
    }

    fn release(&mut self) {
        self.left.rows.release();
        self.right.rows.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_carries_over() {
        assert_eq!(after_all_of(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_all_of(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after_all_of(&[0xff, 0xff]), None);
        assert_eq!(after_all_of(&[]), None);
    }

    #[test]
    fn spans_that_touch_are_one() {
        let order = Order {
            time_bytes: 1,
            or_equal: true,
        };
        let mut rights = Multiset::default();
        for row in [[2, 0], [5, 0], [5, 1]] {
            rights.add(&row);
        }
        let spans = order.spans(&[&[5, 1], &[2, 0], &[3, 7]], Some(&rights));
        let spans: Vec<_> = spans
            .iter()
            .map(|span| (&span.from[..], span.to.as_deref()))
            .collect();
        assert_eq!(spans, [(&[2][..], None)]);
        let spans = order.spans(&[&[5, 0], &[1, 0]], Some(&rights));
        let spans: Vec<_> = spans
            .iter()
            .map(|span| (&span.from[..], span.to.as_deref()))
            .collect();
        assert_eq!(
            spans,
            [(&[1][..], Some(&[2][..])), (&[5][..], Some(&[5][..]))]
        );
    }
}
