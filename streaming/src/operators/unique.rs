//! What makes sure that a key tells rows apart.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::{HashMap, HashSet};

use super::{Boxed, Description, Follows, Operator, StateSize};
use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::state::RowCodec;

/// Passes changes on, and refuses a second row of a key. Within a step a key's rows may come before others go.
pub(crate) struct Unique {
    input: Boxed,
    /// The key's columns, by their places.
    key: Vec<usize>,
    codec: RowCodec,
    counts: HashMap<Vec<u8>, i64>,
    /// Bytes of the keys that are counted.
    bytes: usize,
    shelf: Shelf,
    /// The keys whose counts no checkpoint has, where there are checkpoints.
    unsaved: HashSet<Vec<u8>>,
}

impl Unique {
    pub(crate) fn new(input: Boxed, key: Vec<usize>, shelf: Shelf) -> Result<Self> {
        let schema = SchemaRef::new(input.schema().project(&key)?);
        let (mut counts, mut bytes) = (HashMap::new(), 0);
        if shelf.is_restored() {
            shelf.scan(&[], |key, count| {
                let count = count.first_chunk().copied().map(i64::from_be_bytes);
                let count = count.ok_or(Error::Internal("a count of a checkpoint is cut off"))?;
                bytes += key.len();
                counts.insert(key.to_vec(), count);
                Ok(())
            })?;
        }
        Ok(Self {
            codec: RowCodec::new(&schema)?,
            input,
            key,
            counts,
            bytes,
            shelf,
            unsaved: HashSet::new(),
        })
    }

    fn count(&mut self, batches: &[RecordBatch], by: i64) -> Result<()> {
        let (counts, bytes) = (&mut self.counts, &mut self.bytes);
        let mut unsaved = self.shelf.is_kept().then_some(&mut self.unsaved);
        for batch in batches {
            self.codec.each(&batch.project(&self.key)?, |key| {
                if let Some(unsaved) = &mut unsaved
                    && !unsaved.contains(key)
                {
                    unsaved.insert(key.to_vec());
                }
                let count = match counts.get_mut(key) {
                    Some(count) => count,
                    None => {
                        *bytes += key.len();
                        counts.entry_ref(key).or_insert(0)
                    }
                };
                *count += by;
                if *count == 0 {
                    *bytes -= key.len();
                    counts.remove(key);
                }
            })?;
        }
        Ok(())
    }

    /// The first of the rows that came whose key has another row.
    fn check(&self, come: &[RecordBatch]) -> Result<()> {
        for batch in come {
            let keys = batch.project(&self.key)?;
            let (mut row, mut twice) = (0, None);
            self.codec.each(&keys, |key| {
                if self.counts.get(key).is_some_and(|count| *count > 1) {
                    twice = twice.or(Some(row));
                }
                row += 1;
            })?;
            if let Some(row) = twice {
                let schema = keys.schema();
                let named = schema.fields().iter().zip(keys.columns());
                let named = named.map(|(field, column)| {
                    let value = array_value_to_string(column, row)?;
                    Ok(format!("{} = {value}", field.name()))
                });
                let key = named.collect::<Result<Vec<_>>>()?.join(", ");
                return Err(Error::KeyNotUnique { key });
            }
        }
        Ok(())
    }
}

impl Operator for Unique {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let delta = self.input.step(ranges).await?;
            self.count(&delta.minus, -1)?;
            self.count(&delta.plus, 1)?;
            self.check(&delta.plus)?;
            Ok(delta)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        self.input.only_grows()
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn describe(&self) -> Description {
        let schema = self.input.schema();
        let key = self.key.iter().filter_map(|at| schema.fields().get(*at));
        let key: Vec<&str> = key.map(|field| field.name().as_str()).collect();
        Description {
            name: "Unique",
            detail: key.join(", "),
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
            rows: self.counts.len() as u64,
            bytes: self.bytes,
            unsaved: self.unsaved.iter().map(Vec::len).sum(),
        }
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        for key in self.unsaved.drain() {
            match self.counts.get(&key) {
                Some(count) => saving.put(&self.shelf, &[&key], &count.to_be_bytes()),
                None => saving.remove(&self.shelf, &[&key]),
            }
        }
        Ok(())
    }
}
