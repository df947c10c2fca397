//! Freeing rows that are of no use any more: now and then, so that it costs no more than to have taken them in.

use arrow::array::{BooleanArray, RecordBatch};

use super::{Arrangement, GROUP_OVERHEAD, ROW_OVERHEAD, prefix};
use crate::checkpoint::Saving;
use crate::error::{Error, Result};

/// Rows below which nothing is looked through.
const ROWS_MIN: u64 = if cfg!(test) { 4 } else { 1024 };
/// Rows that are looked at at once.
const BATCH_ROWS: usize = 8192;

/// Says of which rows nothing comes any more.
pub(crate) type IsOver<'a> = dyn Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync + 'a;

/// How many rows there must be before it is worth it to look through them: twice as many as were left the last time.
#[derive(Debug)]
pub(super) struct Due {
    in_memory: u64,
    in_store: u64,
}

impl Default for Due {
    fn default() -> Self {
        Self {
            in_memory: ROWS_MIN,
            in_store: ROWS_MIN,
        }
    }
}

/// A row with its key.
type Keyed = (Box<[u8]>, Box<[u8]>);

impl Arrangement {
    /// Frees the rows in memory that are over, if there have come to be many.
    ///
    /// # Errors
    /// When they cannot be looked at.
    pub(crate) fn free(&mut self, is_over: &IsOver<'_>) -> Result<()> {
        if self.rows < self.due.in_memory {
            return Ok(());
        }
        let mut over = Vec::new();
        let mut some = Vec::with_capacity(BATCH_ROWS);
        for (key, group) in &self.groups {
            for (row, _) in group.rows.iter() {
                some.push((key.as_slice(), row));
                if some.len() == BATCH_ROWS {
                    self.pick(&some, is_over, &mut over)?;
                    some.clear();
                }
            }
        }
        self.pick(&some, is_over, &mut over)?;
        drop(some);
        for (key, row) in over {
            self.free_row(&key, &row);
        }
        self.reservation.try_resize(self.bytes)?;
        self.due.in_memory = ROWS_MIN.max(self.rows * 2);
        Ok(())
    }

    /// Removes rows that are over from the store, of keys that are not in memory, if there have come to be many. To be called before
    /// [`Arrangement::save`], after which some keys whose rows are still to go from the store are no longer in memory.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn free_stored(&mut self, saving: &mut Saving, is_over: &IsOver<'_>) -> Result<()> {
        if !self.is_partial || self.rows < self.due.in_store {
            return Ok(());
        }
        let mut over: Vec<Keyed> = Vec::new();
        let mut some: Vec<Keyed> = Vec::new();
        let mut counts = Vec::new();
        let mut gone = 0;
        let cut_off = || Error::Internal("a row in the state is cut off");
        self.shelf.scan(&[], |place, count| {
            // Under no key is how many rows there are.
            let Some((length, rest)) = place.split_first_chunk() else {
                return Ok(());
            };
            let length = u32::from_be_bytes(*length) as usize;
            let (key, row) = rest.split_at_checked(length).ok_or_else(cut_off)?;
            if !self.groups.contains_key(key) {
                some.push((key.into(), row.into()));
                counts.push(u64::from_le_bytes(count.try_into().map_err(|_| cut_off())?));
            }
            if some.len() == BATCH_ROWS {
                gone += self.pick_counted(&mut some, &mut counts, is_over, &mut over)?;
            }
            Ok(())
        })?;
        gone += self.pick_counted(&mut some, &mut counts, is_over, &mut over)?;
        for (key, row) in over {
            saving.remove(&self.shelf, &[&prefix(&key), &row]);
        }
        self.rows -= gone;
        self.due.in_store = ROWS_MIN.max(self.rows * 2);
        Ok(())
    }

    /// Adds those of some rows that are over.
    fn pick(
        &self,
        some: &[(&[u8], &[u8])],
        is_over: &IsOver<'_>,
        over: &mut Vec<Keyed>,
    ) -> Result<()> {
        let rows = self.codec.decode(some.iter().map(|(_, row)| *row))?;
        let mut places = some.iter();
        for batch in rows {
            let these = is_over(&batch)?;
            for ((key, row), is_over) in places.by_ref().take(these.len()).zip(these.iter()) {
                if is_over == Some(true) {
                    over.push((Box::from(*key), Box::from(*row)));
                }
            }
        }
        Ok(())
    }

    /// As [`Arrangement::pick`], of rows that are there so many times; says how many that were.
    fn pick_counted(
        &self,
        some: &mut Vec<Keyed>,
        counts: &mut Vec<u64>,
        is_over: &IsOver<'_>,
        over: &mut Vec<Keyed>,
    ) -> Result<u64> {
        let rows = self
            .codec
            .decode(some.iter().map(|(_, row)| row.as_ref()))?;
        let mut gone = 0;
        let mut places = some.drain(..).zip(counts.drain(..));
        for batch in rows {
            let these = is_over(&batch)?;
            for (row, is_over) in places.by_ref().take(these.len()).zip(these.iter()) {
                if is_over == Some(true) {
                    gone += row.1;
                    over.push(row.0);
                }
            }
        }
        Ok(gone)
    }

    fn free_row(&mut self, key: &[u8], row: &[u8]) {
        let Some(group) = self.groups.get_mut(key) else {
            return;
        };
        self.rows -= group.rows.remove_all(row);
        self.bytes -= row.len() + ROW_OVERHEAD;
        if self.shelf.is_kept() {
            if !std::mem::replace(&mut group.changed, true) {
                self.changed.push(key.to_vec());
            }
        } else if group.rows.is_empty() {
            self.groups.remove(key);
            self.bytes -= key.len() + GROUP_OVERHEAD;
        }
    }
}
