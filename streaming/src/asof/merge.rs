//! One pass over two sorted inputs.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::{SortOptions, interleave, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::PhysicalExpr;
use futures::StreamExt;

use super::{values, without_nulls};

/// How many batches of the right side wait to be given with rows of the left one.
const SOURCES_MAX: usize = 8;

/// Joins two sides that are sorted by key and time: goes through the left rows, and moves the right side along.
pub(super) struct Merge {
    left: Side,
    right: Side,
    or_equal: bool,
    keeps_left: bool,
    schema: SchemaRef,
    /// The last right row so far that has a time, and no null among its keys.
    nearest: Option<Place>,
    /// Orders right rows of one time.
    all: RowConverter,
}

/// One side: its rows in order.
pub(super) struct Side {
    rows: SendableRecordBatchStream,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    times: Vec<Arc<dyn PhysicalExpr>>,
    /// None where there are no keys.
    key_order: Option<RowConverter>,
    time_order: RowConverter,
    /// The batch that it is at, and the row.
    at: Option<(Arc<Chunk>, usize)>,
    ended: bool,
}

/// A batch with what its rows are compared by.
struct Chunk {
    batch: RecordBatch,
    keys: Option<Rows>,
    times: Rows,
    can_match: BooleanArray,
    /// Its rows by all their columns, once that is asked for.
    all: OnceLock<Rows>,
}

/// A row of a batch.
#[derive(Clone)]
struct Place {
    chunk: Arc<Chunk>,
    row: usize,
}

impl Place {
    fn key(&self) -> &[u8] {
        match &self.chunk.keys {
            None => &[],
            Some(keys) => keys.row(self.row).data(),
        }
    }

    fn time(&self) -> &[u8] {
        self.chunk.times.row(self.row).data()
    }

    fn can_match(&self) -> bool {
        self.chunk.can_match.value(self.row)
    }

    /// The row by all its columns.
    fn all(&self, order: &RowConverter) -> Result<&[u8]> {
        let all = match self.chunk.all.get() {
            Some(all) => all,
            None => {
                let rows = order.convert_columns(self.chunk.batch.columns())?;
                self.chunk.all.get_or_init(|| rows)
            }
        };
        Ok(all.row(self.row).data())
    }
}

impl Side {
    /// `rows` are in the order of `keys` and then of `times`, by its options.
    pub(super) fn new(
        rows: SendableRecordBatchStream,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        times: Vec<Arc<dyn PhysicalExpr>>,
        order_of_times: SortOptions,
    ) -> Result<Self> {
        let schema = rows.schema();
        let order = |exprs: &[Arc<dyn PhysicalExpr>], options: SortOptions| {
            let fields = exprs.iter().map(|expr| {
                let data_type = expr.data_type(&schema)?;
                Ok(SortField::new_with_options(data_type, options))
            });
            Ok::<_, datafusion::common::DataFusionError>(RowConverter::new(
                fields.collect::<Result<_>>()?,
            )?)
        };
        let key_order = match keys.is_empty() {
            true => None,
            false => Some(order(&keys, SortOptions::default())?),
        };
        Ok(Self {
            key_order,
            time_order: order(&times, order_of_times)?,
            rows,
            keys,
            times,
            at: None,
            ended: false,
        })
    }

    /// Where it is; none at its end.
    async fn place(&mut self) -> Result<Option<Place>> {
        loop {
            if let Some((chunk, row)) = &self.at
                && *row < chunk.batch.num_rows()
            {
                return Ok(Some(Place {
                    chunk: Arc::clone(chunk),
                    row: *row,
                }));
            }
            if self.ended {
                return Ok(None);
            }
            self.at = match self.rows.next().await {
                Some(batch) => Some((Arc::new(self.chunk(batch?)?), 0)),
                None => {
                    self.ended = true;
                    None
                }
            };
        }
    }

    /// Goes one row on.
    fn pass(&mut self) {
        if let Some((_, row)) = &mut self.at {
            *row += 1;
        }
    }

    fn chunk(&self, batch: RecordBatch) -> Result<Chunk> {
        let keys = values(&self.keys, &batch)?;
        let times = values(&self.times, &batch)?;
        let compared: Vec<_> = keys.iter().chain(&times).cloned().collect();
        Ok(Chunk {
            can_match: without_nulls(&compared, batch.num_rows()),
            keys: match &self.key_order {
                None => None,
                Some(order) => Some(order.convert_columns(&keys)?),
            },
            times: self.time_order.convert_columns(&times)?,
            batch,
            all: OnceLock::new(),
        })
    }
}

/// Left rows of one batch with their right ones, which are yet to be given.
#[derive(Default)]
struct Pairs {
    left: Vec<u32>,
    /// A place in `sources`, and a row there; none where there is no partner.
    right: Vec<Option<(usize, usize)>>,
    sources: Vec<Arc<Chunk>>,
}

impl Pairs {
    fn push(&mut self, left: usize, right: Option<&Place>) {
        self.left.push(u32::try_from(left).unwrap_or(u32::MAX));
        let right = right.map(|place| {
            // It is one of the last ones, if it is there.
            let mut known = self.sources.iter();
            let known = known.rposition(|chunk| Arc::ptr_eq(chunk, &place.chunk));
            let source = known.unwrap_or_else(|| {
                self.sources.push(Arc::clone(&place.chunk));
                self.sources.len() - 1
            });
            (source, place.row)
        });
        self.right.push(right);
    }
}

impl Merge {
    pub(super) fn new(
        [left, right]: [Side; 2],
        or_equal: bool,
        keeps_left: bool,
        schema: SchemaRef,
    ) -> Result<Self> {
        let fields = right.rows.schema();
        let fields = fields.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            all: RowConverter::new(fields.collect())?,
            left,
            right,
            or_equal,
            keeps_left,
            schema,
            nearest: None,
        })
    }

    /// The next rows; none when all are given.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(Place { chunk, row: first }) = self.left.place().await? {
            let mut pairs = Pairs::default();
            let mut left = Place { chunk, row: first };
            while left.row < left.chunk.batch.num_rows() && pairs.sources.len() < SOURCES_MAX {
                self.follow(&left).await?;
                let near = self.nearest.as_ref();
                let near = near.filter(|near| left.can_match() && near.key() == left.key());
                if near.is_some() || self.keeps_left {
                    pairs.push(left.row, near);
                }
                self.left.pass();
                left.row += 1;
            }
            if !pairs.left.is_empty() {
                return self.joined(&left.chunk, &pairs).map(Some);
            }
        }
        Ok(None)
    }

    /// Moves the right side up to the last row that may be near to a left one.
    async fn follow(&mut self, left: &Place) -> Result<()> {
        while let Some(right) = self.right.place().await? {
            let order = right.key().cmp(left.key());
            let is_behind = match order.then_with(|| right.time().cmp(left.time())) {
                Ordering::Less => false,
                Ordering::Equal => !self.or_equal,
                Ordering::Greater => true,
            };
            if is_behind {
                break;
            }
            self.right.pass();
            if right.can_match() && self.is_nearer(&right)? {
                self.nearest = Some(right);
            }
        }
        Ok(())
    }

    /// Whether a right row comes behind the nearest so far, also where both have one key and one time.
    fn is_nearer(&self, right: &Place) -> Result<bool> {
        let Some(nearest) = &self.nearest else {
            return Ok(true);
        };
        if nearest.time() != right.time() || nearest.key() != right.key() {
            return Ok(true);
        }
        Ok(nearest.all(&self.all)? < right.all(&self.all)?)
    }

    fn joined(&self, left: &Chunk, pairs: &Pairs) -> Result<RecordBatch> {
        let rows = pairs.left.len();
        let of_left = UInt32Array::from(pairs.left.clone());
        let of_left = take_record_batch(&left.batch, &of_left)?;
        let mut columns = of_left.columns().to_vec();
        // What has no partner is the one row of a column of nulls.
        let places: Vec<(usize, usize)> = pairs
            .right
            .iter()
            .map(|place| place.map_or((0, 0), |(source, row)| (source + 1, row)))
            .collect();
        let right = self.right.rows.schema();
        for (at, field) in right.fields().iter().enumerate() {
            let nulls = new_null_array(field.data_type(), 1);
            let sources = pairs.sources.iter();
            let sources = sources.map(|chunk| chunk.batch.column(at).as_ref());
            let sources: Vec<&dyn Array> = std::iter::once(nulls.as_ref()).chain(sources).collect();
            columns.push(interleave(&sources, &places)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}
