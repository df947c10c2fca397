//! A multiset of byte strings, of which is known what a checkpoint has.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::checkpoint::{Saving, Shelf};
use crate::error::{Error, Result};

/// Byte strings in order, and how often each is there.
#[derive(Debug, Default)]
pub(crate) struct Multiset {
    counts: BTreeMap<Box<[u8]>, Count>,
    /// How many different ones there are.
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    /// 0 for one that is gone and still has to be removed from the store.
    is: u64,
    in_store: bool,
    changed: bool,
}

impl Multiset {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds one; says whether it is the first of its kind.
    pub(crate) fn add(&mut self, item: &[u8]) -> bool {
        if let Some(count) = self.counts.get_mut(item) {
            count.is += 1;
            count.changed = true;
            let is_first = count.is == 1;
            self.len += usize::from(is_first);
            return is_first;
        }
        let count = Count {
            is: 1,
            in_store: false,
            changed: true,
        };
        self.counts.insert(item.into(), count);
        self.len += 1;
        true
    }

    /// Removes one; says whether it was the last of its kind.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn remove(&mut self, item: &[u8]) -> Result<bool> {
        let unknown = Error::Internal("a row goes that never came");
        let count = self.counts.get_mut(item).filter(|count| count.is > 0);
        let count = count.ok_or(unknown)?;
        count.is -= 1;
        count.changed = true;
        if count.is > 0 {
            return Ok(false);
        }
        self.len -= 1;
        if !count.in_store {
            self.counts.remove(item);
        }
        Ok(true)
    }

    /// Removes all of one kind; says how many there were.
    pub(crate) fn remove_all(&mut self, item: &[u8]) -> u64 {
        let Some(count) = self.counts.get_mut(item).filter(|count| count.is > 0) else {
            return 0;
        };
        let removed = std::mem::take(&mut count.is);
        count.changed = true;
        self.len -= 1;
        if !count.in_store {
            self.counts.remove(item);
        }
        removed
    }

    /// The smallest.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.iter().next().map(|(item, _)| item)
    }

    /// The largest.
    pub(crate) fn last(&self) -> Option<&[u8]> {
        self.iter().next_back().map(|(item, _)| item)
    }

    /// The largest that comes before a bound, or of all.
    pub(crate) fn last_before(&self, bound: Option<&[u8]>) -> Option<&[u8]> {
        let bound = bound.map_or(Bound::Unbounded, Bound::Excluded);
        let counts = self.counts.range::<[u8], _>((Bound::Unbounded, bound));
        let mut counts = counts.filter(|(_, count)| count.is > 0);
        counts.next_back().map(|(item, _)| item.as_ref())
    }

    /// The smallest that comes after another one.
    pub(crate) fn first_after(&self, item: &[u8]) -> Option<&[u8]> {
        let after = (Bound::Excluded(item), Bound::Unbounded);
        let mut counts = self.counts.range::<[u8], _>(after);
        let next = counts.find(|(_, count)| count.is > 0);
        next.map(|(item, _)| item.as_ref())
    }

    /// Those from one on, and before another if there is one, in order, and how often each is there.
    pub(crate) fn between<'a>(
        &'a self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl Iterator<Item = (&'a [u8], u64)> + use<'a> {
        let is_empty = to.is_some_and(|to| to <= from);
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        let counts = (!is_empty)
            .then(|| self.counts.range::<[u8], _>((Bound::Included(from), to)))
            .into_iter()
            .flatten();
        let counts = counts.filter(|(_, count)| count.is > 0);
        counts.map(|(item, count)| (item.as_ref(), count.is))
    }

    /// Removes the largest, all of its kind: gives its length, and how often it was there.
    pub(crate) fn remove_last(&mut self) -> Option<(usize, u64)> {
        let mut counts = self.counts.iter_mut().rev();
        let (item, count) = counts.find(|(_, count)| count.is > 0)?;
        let removed = (item.len(), std::mem::take(&mut count.is));
        count.changed = true;
        self.len -= 1;
        if !count.in_store {
            let item = item.clone();
            self.counts.remove(&item);
        }
        Some(removed)
    }

    /// All, in order, and how often each is there.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], u64)> {
        let counts = self.counts.iter().filter(|(_, count)| count.is > 0);
        counts.map(|(item, count)| (item.as_ref(), count.is))
    }

    /// Writes what changed, under `prefix`.
    pub(crate) fn save(&mut self, saving: &mut Saving, shelf: &Shelf, prefix: &[u8]) {
        self.counts.retain(|item, count| {
            if std::mem::take(&mut count.changed) {
                match count.is {
                    0 => saving.remove(shelf, &[prefix, item]),
                    is => saving.put(shelf, &[prefix, item], &is.to_le_bytes()),
                }
                count.in_store = true;
            }
            count.is > 0
        });
    }

    /// Takes in what was saved of one.
    ///
    /// # Errors
    /// When that is no count.
    pub(crate) fn load(&mut self, item: &[u8], saved: &[u8]) -> Result<()> {
        let is = saved.try_into().map(u64::from_le_bytes);
        let count = Count {
            is: is.map_err(|_| Error::Internal("a count in the state has not eight bytes"))?,
            in_store: true,
            changed: false,
        };
        self.counts.insert(item.into(), count);
        self.len += 1;
        Ok(())
    }
}
