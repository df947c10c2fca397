//! A multiset of rows, by key.

mod freeing;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::PhysicalExpr;
use hashbrown::{HashMap, HashSet};

use self::freeing::Due;
use super::codec::RowBytes;
use super::{Multiset, RowCodec};
use crate::checkpoint::{Saving, Shelf};
use crate::delta::Delta;
use crate::error::Result;
use crate::operators::StateSize;

/// What a row takes besides its bytes, about: its place in a tree, its length, how often it is there.
const ROW_OVERHEAD: usize = 56;
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
        let columns = self.values(batch)?;
        Ok(BatchKeys::Each(converter.convert_columns(&columns)?))
    }

    /// The values that the keys of a batch's rows are made of.
    pub(crate) fn values(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let columns = self.expressions.iter().map(|key| {
            let value = key.evaluate(batch)?;
            Ok(value.into_array(batch.num_rows())?)
        });
        columns.collect()
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

/// Rows that are looked up by key. What it takes in memory counts against a reservation; what a checkpoint has may be let go,
/// and is read again when a key is touched.
#[derive(Debug)]
pub(crate) struct Arrangement {
    keys: Keys,
    codec: RowCodec,
    /// How many different rows are kept of a key, the first by their bytes. With it, rows only come.
    most: Option<usize>,
    shelf: Shelf,
    groups: HashMap<Vec<u8>, Group>,
    /// Keys of which something is not saved.
    changed: Vec<Vec<u8>>,
    /// Whether the store has groups that are not in memory.
    is_partial: bool,
    rows: u64,
    bytes: usize,
    unsaved: usize,
    due: Due,
    reservation: MemoryReservation,
}

/// The rows of a key.
#[derive(Debug, Default)]
struct Group {
    rows: Multiset,
    changed: bool,
    /// Touched since groups were let go the last time.
    used: bool,
}

impl Arrangement {
    pub(crate) fn new(
        schema: &SchemaRef,
        keys: Keys,
        shelf: Shelf,
        reservation: MemoryReservation,
    ) -> Result<Self> {
        Self::of_rows(RowCodec::new(schema)?, keys, None, (shelf, reservation))
    }

    /// Rows that a codec encodes. With `most` no row goes, and the first so many different ones of a key are kept.
    pub(crate) fn of_rows(
        codec: RowCodec,
        keys: Keys,
        most: Option<usize>,
        (shelf, reservation): (Shelf, MemoryReservation),
    ) -> Result<Self> {
        let rows = shelf.get(&[])?;
        let rows = rows.and_then(|rows| rows.as_ref().try_into().ok());
        Ok(Self {
            keys,
            codec,
            most,
            is_partial: shelf.is_restored(),
            rows: rows.map_or(0, u64::from_le_bytes),
            shelf,
            groups: HashMap::new(),
            changed: Vec::new(),
            bytes: 0,
            unsaved: 0,
            due: Due::default(),
            reservation,
        })
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn codec(&self) -> &RowCodec {
        &self.codec
    }

    /// How large it is.
    pub(crate) fn size(&self) -> StateSize {
        StateSize {
            rows: self.rows,
            bytes: self.bytes,
            unsaved: self.unsaved,
        }
    }

    /// Takes in a change.
    ///
    /// # Errors
    /// When it does not fit into memory, or a row goes that never came.
    pub(crate) fn apply(&mut self, delta: &Delta) -> Result<()> {
        self.apply_as(delta, |batch| Ok(batch.columns().to_vec()))
    }

    /// As [`Arrangement::apply`], of rows of which other columns are kept than they have.
    pub(crate) fn apply_as(
        &mut self,
        delta: &Delta,
        columns: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>>,
    ) -> Result<()> {
        for (batches, comes) in [(&delta.plus, true), (&delta.minus, false)] {
            for batch in batches {
                let keys = self.keys.of(batch)?;
                let rows = self.codec.encode_columns(&columns(batch)?)?;
                self.take_in(batch.num_rows(), &keys, &rows, comes)?;
            }
        }
        Ok(self.reservation.try_resize(self.bytes)?)
    }

    /// Takes in so many rows that are encoded: they come or go.
    ///
    /// # Errors
    /// As [`Arrangement::apply`].
    pub(crate) fn apply_encoded(
        &mut self,
        count: usize,
        keys: &BatchKeys,
        rows: &RowBytes,
        comes: bool,
    ) -> Result<()> {
        self.take_in(count, keys, rows, comes)?;
        Ok(self.reservation.try_resize(self.bytes)?)
    }

    fn take_in(
        &mut self,
        count: usize,
        keys: &BatchKeys,
        rows: &RowBytes,
        comes: bool,
    ) -> Result<()> {
        for row in 0..count {
            let (key, row) = (keys.get(row), rows.get(row));
            self.load(key)?;
            if comes && self.is_beyond(key, row) {
                continue;
            }
            let group = self.groups.entry_ref(key).or_insert_with(|| {
                self.bytes += key.len() + GROUP_OVERHEAD;
                Group::default()
            });
            let bytes = row.len() + ROW_OVERHEAD;
            if comes {
                self.rows += 1;
                self.bytes += if group.rows.add(row) { bytes } else { 0 };
                if self.most.is_some_and(|most| group.rows.len() > most)
                    && let Some((length, count)) = group.rows.remove_last()
                {
                    self.rows -= count;
                    self.bytes -= length + ROW_OVERHEAD;
                }
            } else {
                let is_last = group.rows.remove(row)?;
                self.rows -= 1;
                self.bytes -= if is_last { bytes } else { 0 };
            }
            if self.shelf.is_kept() {
                group.used = true;
                self.unsaved += key.len() + bytes;
                if !std::mem::replace(&mut group.changed, true) {
                    self.changed.push(key.to_vec());
                }
            } else if group.rows.is_empty() {
                self.forget(key);
            }
        }
        Ok(())
    }

    /// Whether a row is behind all that are kept of its key, which are as many as there may be.
    fn is_beyond(&self, key: &[u8], row: &[u8]) -> bool {
        let Some(most) = self.most else {
            return false;
        };
        let group = self.groups.get(key).map(|group| &group.rows);
        let last = group
            .filter(|rows| rows.len() >= most)
            .and_then(Multiset::last);
        last.is_some_and(|last| last < row)
    }

    fn forget(&mut self, key: &[u8]) {
        self.groups.remove(key);
        self.bytes -= key.len() + GROUP_OVERHEAD;
    }

    /// Reads the group of a key from the store, if it is there and not in memory.
    fn load(&mut self, key: &[u8]) -> Result<()> {
        if !self.is_partial || self.groups.contains_key(key) {
            return Ok(());
        }
        let mut rows = Multiset::default();
        let mut bytes = 0;
        self.shelf.scan(&[&prefix(key)], |row, count| {
            bytes += row.len() + ROW_OVERHEAD;
            rows.load(row, count)
        })?;
        self.bytes += bytes + key.len() + GROUP_OVERHEAD;
        // Also when there is nothing: who looks for it again need not go to the store.
        let group = Group {
            rows,
            ..Group::default()
        };
        self.groups.insert(key.to_vec(), group);
        Ok(())
    }

    /// The rows of some keys, in the order of key and row.
    ///
    /// # Errors
    /// When what was let go cannot be read, or does not fit into memory.
    pub(crate) fn rows_of(&mut self, keys: &HashSet<Vec<u8>>) -> Result<Vec<RecordBatch>> {
        let mut sorted: Vec<&Vec<u8>> = keys.iter().collect();
        sorted.sort_unstable();
        for key in &sorted {
            self.load(key)?;
            if let Some(group) = self.groups.get_mut(key.as_slice()) {
                group.used = true;
            }
        }
        self.reservation.try_resize(self.bytes)?;
        let groups = sorted
            .into_iter()
            .filter_map(|key| self.groups.get(key.as_slice()));
        let rows = groups.flat_map(|group| group.rows.iter());
        self.codec.decode(rows.flat_map(|(row, count)| {
            std::iter::repeat_n(row, usize::try_from(count).unwrap_or(usize::MAX))
        }))
    }

    /// The rows of a key, encoded; none when there are none.
    ///
    /// # Errors
    /// As [`Arrangement::rows_of`].
    pub(crate) fn group(&mut self, key: &[u8]) -> Result<Option<&Multiset>> {
        self.load(key)?;
        self.reservation.try_resize(self.bytes)?;
        Ok(self.groups.get_mut(key).map(|group| {
            group.used = true;
            &group.rows
        }))
    }

    /// The first rows of some keys, encoded, each as often as it is there.
    ///
    /// # Errors
    /// As [`Arrangement::rows_of`].
    pub(crate) fn first_of(&mut self, keys: &[&[u8]], count: usize) -> Result<Vec<Vec<Box<[u8]>>>> {
        let mut firsts = Vec::with_capacity(keys.len());
        for key in keys {
            self.load(key)?;
            let Some(group) = self.groups.get_mut(*key) else {
                firsts.push(Vec::new());
                continue;
            };
            group.used = true;
            let rows = group.rows.iter().flat_map(|(row, count)| {
                std::iter::repeat_n(row, usize::try_from(count).unwrap_or(usize::MAX))
            });
            firsts.push(rows.take(count).map(Box::from).collect());
        }
        self.reservation.try_resize(self.bytes)?;
        Ok(firsts)
    }

    /// Writes what changed since the last checkpoint.
    pub(crate) fn save(&mut self, saving: &mut Saving) {
        for key in std::mem::take(&mut self.changed) {
            let Some(group) = self.groups.get_mut(&key) else {
                continue;
            };
            group.changed = false;
            group.rows.save(saving, &self.shelf, &prefix(&key));
            if group.rows.is_empty() {
                self.forget(&key);
            }
        }
        saving.put(&self.shelf, &[], &self.rows.to_le_bytes());
        self.unsaved = 0;
    }

    /// Lets go of what is saved: of what was not touched since the last time, and if that is little, of all.
    pub(crate) fn release(&mut self) {
        if !self.shelf.is_kept() {
            return;
        }
        self.is_partial = true;
        super::release(self.bytes, |all| self.let_go(all));
        self.reservation.resize(self.bytes);
    }

    /// Lets go of groups that are saved: of all, or of those that were not used since the last time. Answers the bytes that are left.
    fn let_go(&mut self, all: bool) -> usize {
        let bytes = &mut self.bytes;
        self.groups.retain(|key, group| {
            let was_used = std::mem::take(&mut group.used);
            let goes = !group.changed && (all || !was_used);
            if goes {
                let rows = group.rows.iter();
                let rows = rows.map(|(row, _)| row.len() + ROW_OVERHEAD);
                *bytes -= rows.sum::<usize>() + key.len() + GROUP_OVERHEAD;
            }
            !goes
        });
        self.groups.shrink_to_fit();
        self.bytes
    }
}

/// What the keys of a group's rows begin with in the store.
pub(crate) fn prefix(key: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(4 + key.len());
    prefix.extend((key.len() as u32).to_be_bytes());
    prefix.extend_from_slice(key);
    prefix
}
