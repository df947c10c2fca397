//! What changed: rows that came, and rows that went.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;

use crate::error::Result;
use crate::state::RowCodec;

/// A change of a multiset of rows. A row that comes twice is there twice.
#[derive(Debug, Clone, Default)]
pub struct Delta {
    /// Rows that came.
    pub plus: Vec<RecordBatch>,
    /// Rows that went.
    pub minus: Vec<RecordBatch>,
}

impl Delta {
    /// Rows that came, and none that went.
    pub fn of_plus(plus: Vec<RecordBatch>) -> Self {
        Self {
            plus,
            minus: Vec::new(),
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.plus.is_empty() && self.minus.is_empty()
    }

    /// How many rows came and went.
    pub fn rows(&self) -> usize {
        let batches = self.plus.iter().chain(&self.minus);
        batches.map(RecordBatch::num_rows).sum()
    }

    /// This change and then another.
    pub(crate) fn and(&mut self, other: Self) {
        self.plus.extend(other.plus);
        self.minus.extend(other.minus);
    }

    /// The same change, without rows that come and go in it. Rows are in the order of their encoding, so that one change has
    /// one form.
    ///
    /// # Errors
    /// When a column has a type that rows cannot be compared by.
    pub(crate) fn consolidated(&self, schema: &SchemaRef) -> Result<Self> {
        if self.minus.is_empty() {
            return Ok(self.clone());
        }
        let codec = RowCodec::new(schema)?;
        let mut weights: HashMap<Vec<u8>, i64> = HashMap::new();
        for (batches, weight) in [(&self.plus, 1), (&self.minus, -1)] {
            for batch in batches {
                codec.each(batch, |row| {
                    *weights.entry_ref(row).or_insert(0) += weight;
                })?;
            }
        }
        let mut weights: Vec<_> = weights.into_iter().filter(|(_, w)| *w != 0).collect();
        weights.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let rows = |sign: Ordering| {
            let signed = weights.iter().filter(move |(_, w)| w.cmp(&0) == sign);
            signed
                .flat_map(|(row, w)| std::iter::repeat_n(row.as_slice(), w.unsigned_abs() as usize))
        };
        Ok(Self {
            plus: codec.decode(rows(Ordering::Greater))?,
            minus: codec.decode(rows(Ordering::Less))?,
        })
    }
}
