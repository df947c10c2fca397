//! A multiset of rows, by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::PhysicalExpr;
use hashbrown::{HashMap, HashSet};

use super::RowCodec;
use crate::delta::Delta;
use crate::error::{Error, Result};

/// What a row takes besides its bytes, about: its place in a tree, its length, how often it is there.
const ROW_OVERHEAD: usize = 48;
/// What a group takes besides its rows, about.
const GROUP_OVERHEAD: usize = 96;

/// Computes the keys of rows, as bytes. Without expressions, all rows have the same key.
#[derive(Debug)]
pub(crate) struct Keys {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    converter: Option<RowConverter>,
}

/// The keys of a batch's rows.
pub(crate) enum BatchKeys {
    All,
    Each(Rows),
}

impl Keys {
    pub(crate) fn new(expressions: Vec<Arc<dyn PhysicalExpr>>, schema: &SchemaRef) -> Result<Self> {
        let fields = expressions
            .iter()
            .map(|key| Ok(SortField::new(key.data_type(schema)?)));
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let converter = match fields.is_empty() {
            true => None,
            false => Some(RowConverter::new(fields)?),
        };
        Ok(Self {
            expressions,
            converter,
        })
    }

    pub(crate) fn of(&self, batch: &RecordBatch) -> Result<BatchKeys> {
        let Some(converter) = &self.converter else {
            return Ok(BatchKeys::All);
        };
        let columns = self.expressions.iter().map(|key| {
            let value = key.evaluate(batch)?;
            Ok(value.into_array(batch.num_rows())?)
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        Ok(BatchKeys::Each(converter.convert_columns(&columns)?))
    }

    /// Adds the keys of all rows of a change.
    pub(crate) fn touched(&self, delta: &Delta, keys: &mut HashSet<Vec<u8>>) -> Result<()> {
        for batch in delta.plus.iter().chain(&delta.minus) {
            match self.of(batch)? {
                BatchKeys::All => {
                    keys.insert(Vec::new());
                }
                BatchKeys::Each(rows) => rows.iter().for_each(|key| {
                    if !keys.contains(key.as_ref()) {
                        keys.insert(key.as_ref().to_vec());
                    }
                }),
            }
        }
        Ok(())
    }
}

impl BatchKeys {
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::All => &[],
            // The rows live as long as the keys.
            Self::Each(rows) => rows.row(row).data(),
        }
    }
}

/// The rows of a key: their bytes, and how often each is there.
type Group = BTreeMap<Box<[u8]>, u64>;

/// Rows that are looked up by key. What it takes counts against a reservation.
#[derive(Debug)]
pub(crate) struct Arrangement {
    keys: Keys,
    codec: RowCodec,
    groups: HashMap<Vec<u8>, Group>,
    rows: u64,
    bytes: usize,
    reservation: MemoryReservation,
}

impl Arrangement {
    pub(crate) fn new(
        schema: &SchemaRef,
        keys: Keys,
        reservation: MemoryReservation,
    ) -> Result<Self> {
        Ok(Self {
            keys,
            codec: RowCodec::new(schema)?,
            groups: HashMap::new(),
            rows: 0,
            bytes: 0,
            reservation,
        })
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many rows there are, and the bytes that they take.
    pub(crate) fn size(&self) -> (u64, usize) {
        (self.rows, self.bytes)
    }

    /// Takes in a change.
    ///
    /// # Errors
    /// When it does not fit into memory, or a row goes that never came.
    pub(crate) fn apply(&mut self, delta: &Delta) -> Result<()> {
        for batch in &delta.plus {
            self.each(batch, Self::add)?;
        }
        for batch in &delta.minus {
            self.each(batch, Self::remove)?;
        }
        self.reservation.try_resize(self.bytes)?;
        Ok(())
    }

    fn each(
        &mut self,
        batch: &RecordBatch,
        take: impl Fn(&mut Self, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let keys = self.keys.of(batch)?;
        let mut all = Vec::with_capacity(batch.num_rows());
        let mut bytes = Vec::new();
        self.codec.each(batch, |row| {
            bytes.extend_from_slice(row);
            all.push(bytes.len());
        })?;
        let mut start = 0;
        for (row, end) in all.into_iter().enumerate() {
            take(
                self,
                keys.get(row),
                bytes.get(start..end).unwrap_or_default(),
            )?;
            start = end;
        }
        Ok(())
    }

    fn add(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        let group = self.groups.entry_ref(key).or_insert_with(|| {
            self.bytes += key.len() + GROUP_OVERHEAD;
            Group::new()
        });
        match group.get_mut(row) {
            Some(count) => *count += 1,
            None => {
                self.bytes += row.len() + ROW_OVERHEAD;
                group.insert(row.into(), 1);
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn remove(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        let unknown = || Error::Internal("a row goes that never came");
        let group = self.groups.get_mut(key).ok_or_else(unknown)?;
        let count = group.get_mut(row).ok_or_else(unknown)?;
        *count -= 1;
        self.rows -= 1;
        if *count == 0 {
            group.remove(row);
            self.bytes -= row.len() + ROW_OVERHEAD;
            if group.is_empty() {
                self.groups.remove(key);
                self.bytes -= key.len() + GROUP_OVERHEAD;
            }
        }
        Ok(())
    }

    /// The rows of some keys, in the order of key and row.
    pub(crate) fn rows_of(&self, keys: &HashSet<Vec<u8>>) -> Result<Vec<RecordBatch>> {
        let mut sorted: Vec<&Vec<u8>> = keys.iter().collect();
        sorted.sort_unstable();
        let groups = sorted
            .into_iter()
            .filter_map(|key| self.groups.get(key.as_slice()));
        let rows = groups.flatten();
        self.codec.decode(rows.flat_map(|(row, count)| {
            std::iter::repeat_n(row.as_ref(), usize::try_from(*count).unwrap_or(usize::MAX))
        }))
    }
}
