//! `ROW_NUMBER() OVER (PARTITION BY k ORDER BY o)` where only small numbers are asked for: the first rows of each key.
//!
//! The rows of a key lie in their order. A change moves rows, of which those that are asked for are given with their new numbers.
//! Where rows only come, what is not among the first now will never be, and is let go. Rows that the order leaves equal are in the
//! order of all their columns, so that the answer does not depend on when they came.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::PhysicalExpr;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::HashSet;

use super::{Boxed, Description, Follows, Operator, StateSize};
use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::Result;
use crate::state::{Arrangement, Keys, RowCodec};

/// The first rows of each key, and their numbers.
pub(crate) struct Ranking {
    input: Boxed,
    order: Vec<Arc<dyn PhysicalExpr>>,
    /// Rows with what they are ordered by before them.
    rows: Arrangement,
    /// How many of each key are asked for.
    first: usize,
    schema: SchemaRef,
    detail: String,
}

/// Rows, encoded, with their numbers.
#[derive(Default)]
struct Numbered {
    rows: Vec<Box<[u8]>>,
    numbers: Vec<u64>,
}

impl Ranking {
    /// `schema` has the columns of the input, and then the number.
    pub(crate) fn new(
        input: Boxed,
        keys: Keys,
        order: Vec<(Arc<dyn PhysicalExpr>, SortOptions)>,
        first: usize,
        schema: &SchemaRef,
        detail: String,
        place: (Shelf, MemoryReservation),
    ) -> Result<Self> {
        let own = input.schema();
        let (order, options): (Vec<_>, Vec<_>) = order.into_iter().unzip();
        let ordered_by = order.iter().map(|expr: &Arc<dyn PhysicalExpr>| {
            let field = Field::new("", expr.data_type(&own)?, true);
            Ok(Arc::new(field))
        });
        let mut fields = ordered_by.collect::<Result<Vec<_>>>()?;
        fields.extend(own.fields().iter().cloned());
        let codec = RowCodec::ordered(&Arc::new(Schema::new(fields)), &options)?;
        let most = input.only_grows().then_some(first);
        Ok(Self {
            input,
            order,
            rows: Arrangement::of_rows(codec, keys, most, place)?,
            first,
            schema: Arc::clone(schema),
            detail,
        })
    }

    fn batches(&self, numbered: &Numbered) -> Result<Vec<RecordBatch>> {
        let rows = numbered.rows.iter().map(AsRef::as_ref);
        let mut numbers = numbered.numbers.iter().copied();
        let batches = self.rows.codec().decode(rows)?.into_iter();
        let batches = batches.map(|batch| {
            let count = batch.num_rows();
            let mut columns = batch.columns().to_vec();
            columns.drain(..self.order.len());
            columns.push(Arc::new(UInt64Array::from_iter_values(
                numbers.by_ref().take(count),
            )));
            Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
        });
        batches.collect()
    }
}

impl Numbered {
    /// Adds the rows of `these` that `those` has not with the same number.
    fn add_difference(&mut self, these: &[Box<[u8]>], those: &[Box<[u8]>]) {
        for (at, row) in these.iter().enumerate() {
            if those.get(at) != Some(row) {
                self.rows.push(row.clone());
                self.numbers.push(at as u64 + 1);
            }
        }
    }
}

impl Operator for Ranking {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let change = self.input.step(ranges).await?;
            let mut touched = HashSet::new();
            self.rows.keys().touched(&change, &mut touched)?;
            let mut touched: Vec<&[u8]> = touched.iter().map(Vec::as_slice).collect();
            touched.sort_unstable();
            let before = self.rows.first_of(&touched, self.first)?;
            let order = &self.order;
            self.rows.apply_as(&change, |batch| {
                let ordered_by = order.iter().map(|expr| {
                    let value = expr.evaluate(batch)?;
                    Ok(value.into_array(batch.num_rows())?)
                });
                let mut columns = ordered_by.collect::<Result<Vec<ArrayRef>>>()?;
                columns.extend(batch.columns().iter().cloned());
                Ok(columns)
            })?;
            let after = self.rows.first_of(&touched, self.first)?;
            let (mut came, mut went) = (Numbered::default(), Numbered::default());
            for (before, after) in before.iter().zip(&after) {
                went.add_difference(before, after);
                came.add_difference(after, before);
            }
            Ok(Delta {
                plus: self.batches(&came)?,
                minus: self.batches(&went)?,
            })
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        false
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn describe(&self) -> Description {
        Description {
            name: "Ranking",
            detail: format!("first {} of {}", self.first, self.detail),
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
        self.rows.size()
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        self.rows.save(saving);
        Ok(())
    }

    fn release(&mut self) {
        self.rows.release();
    }
}
