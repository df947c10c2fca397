//! Sessions, which grow while rows follow one another, and are given when the watermark has passed their end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::memory_pool::MemoryReservation;
use futures::FutureExt;
use futures::future::BoxFuture;
use hashbrown::{HashMap, HashSet};

use super::held::Held;
use super::on_time::without_bounds;
use crate::checkpoint::{Saving, Shelf};
use crate::dataflow::Ranges;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::event_time::{Now, as_times, nanos_per_unit, native};
use crate::operators::{Boxed, Description, Follows, Operator, StateSize};
use crate::state::{Keys, RowCodec, prefix};

/// What a session takes besides its rows and its key, about.
const SESSION_OVERHEAD: usize = 192;

/// Rows that wait for the end of their sessions.
pub(crate) struct Sessions {
    input: Boxed,
    keys: Keys,
    /// The columns of the start and the end: of what a row alone would be in.
    bounds: [usize; 2],
    time_type: DataType,
    nanos_per_unit: i128,
    codec: RowCodec,
    /// The columns that are given: without keys.
    columns: Vec<usize>,
    schema: SchemaRef,
    now: Now,
    open: Open,
    shelf: Shelf,
    reservation: MemoryReservation,
    detail: String,
}

/// Sessions that may still grow.
#[derive(Debug, Default)]
struct Open {
    /// By key and start; those of one key do not touch one another.
    by_key: HashMap<Vec<u8>, BTreeMap<i64, Session>>,
    /// By end.
    ends: BTreeSet<(i64, Vec<u8>, i64)>,
    rows: u64,
    bytes: usize,
    /// Keys and starts of sessions that the store has otherwise or not at all, if there is a store.
    changed: Option<HashSet<(Vec<u8>, i64)>>,
    unsaved: usize,
}

#[derive(Debug)]
struct Session {
    end: i64,
    rows: Held,
}

impl Sessions {
    /// `bounds` are the places of the columns of start and end, `columns` of those that are given.
    pub(crate) fn new(
        input: Boxed,
        keys: Keys,
        bounds: [usize; 2],
        columns: Vec<usize>,
        now: Now,
        (shelf, reservation): (Shelf, MemoryReservation),
        detail: String,
    ) -> Result<Self> {
        let schema = input.schema();
        let field = |at: usize| schema.fields().get(at).map(|field| field.data_type());
        let [start, end] = bounds.map(field);
        let time_type = start.filter(|start| Some(*start) == end);
        let time_type = time_type.ok_or(Error::Internal("the bounds of sessions differ"))?;
        let open = Open::restored(&shelf)?;
        reservation.try_resize(open.bytes)?;
        Ok(Self {
            nanos_per_unit: nanos_per_unit(time_type)?,
            time_type: time_type.clone(),
            codec: RowCodec::new(&schema)?,
            schema: Arc::new(schema.project(&columns)?),
            input,
            keys,
            bounds,
            columns,
            now,
            open,
            shelf,
            reservation,
            detail,
        })
    }

    fn take_in(&mut self, batch: &RecordBatch) -> Result<()> {
        let [start, end] = self.bounds.map(|at| native(batch.column(at)));
        let (start, end) = (start?, end?);
        if start.null_count() + end.null_count() > 0 {
            return Err(without_bounds());
        }
        let keys = self.keys.of(batch)?;
        let mut bounds = start.values().iter().zip(end.values());
        let mut row = 0;
        self.codec.each(batch, |bytes| {
            if let Some((start, end)) = bounds.next() {
                self.open.add(keys.get(row), [*start, *end], bytes);
            }
            row += 1;
        })
    }

    /// The rows of sessions that are over, with the bounds of these.
    fn closed(&mut self) -> Result<Delta> {
        let (mut rows, mut starts, mut ends) = (Held::default(), Vec::new(), Vec::new());
        let now = self.now.get();
        while let Some((start, session)) = now.and_then(|now| {
            self.open
                .take_first(|end| i128::from(end) * self.nanos_per_unit < now)
        }) {
            session
                .rows
                .sorted()
                .into_iter()
                .for_each(|row| rows.push(row));
            starts.resize(rows.len(), start);
            ends.resize(rows.len(), session.end);
        }
        let mut closed = Delta::default();
        let (mut starts, mut ends) = (starts.as_slice(), ends.as_slice());
        for batch in self.codec.decode(rows.iter())? {
            let mut columns = batch.columns().to_vec();
            for (at, times) in self.bounds.into_iter().zip([&mut starts, &mut ends]) {
                let (these, rest) = times
                    .split_at_checked(batch.num_rows())
                    .ok_or(Error::Internal("a row of a session has no bounds"))?;
                *times = rest;
                if let Some(column) = columns.get_mut(at) {
                    *column = as_times(these.to_vec(), &self.time_type)?;
                }
            }
            let batch = RecordBatch::try_new(batch.schema(), columns)?;
            closed.plus.push(batch.project(&self.columns)?);
        }
        Ok(closed)
    }
}

impl Open {
    /// What the store has.
    fn restored(shelf: &Shelf) -> Result<Self> {
        let mut open = Self::default();
        shelf.scan(&[], |place, session| {
            let (key, start) = place
                .split_last_chunk()
                .ok_or(Error::Internal("a session in the state has no start"))?;
            let key = key.get(4..).unwrap_or_default().to_vec();
            let start = i64::from_be_bytes(*start);
            let (end, packed) = session
                .split_first_chunk()
                .ok_or(Error::Internal("a session in the state has no end"))?;
            let mut rows = Held::default();
            rows.unpack(packed)?;
            let end = i64::from_be_bytes(*end);
            open.rows += rows.len() as u64;
            open.bytes += key.len() + SESSION_OVERHEAD + rows.size();
            open.ends.insert((end, key.clone(), start));
            let sessions = open.by_key.entry(key).or_default();
            sessions.insert(start, Session { end, rows });
            Ok(())
        })?;
        open.changed = shelf.is_kept().then(HashSet::new);
        Ok(open)
    }

    /// Notes that a session is another than the store has.
    fn change(&mut self, key: &[u8], start: i64, bytes: usize) {
        if let Some(changed) = &mut self.changed {
            changed.insert((key.to_vec(), start));
            self.unsaved += bytes;
        }
    }

    /// Writes what changed since the last checkpoint.
    fn save(&mut self, saving: &mut Saving, shelf: &Shelf) {
        for (key, start) in self.changed.iter_mut().flat_map(HashSet::drain) {
            let session = self.by_key.get(&key);
            let session = session.and_then(|sessions| sessions.get(&start));
            let place: [&[u8]; 2] = [&prefix(&key), &start.to_be_bytes()];
            match session {
                None => saving.remove(shelf, &place),
                Some(session) => {
                    let mut saved = session.end.to_be_bytes().to_vec();
                    saved.extend(session.rows.pack(0));
                    saving.put(shelf, &place, &saved);
                }
            }
        }
        self.unsaved = 0;
    }

    /// Adds a row to the session that it belongs to: to one that it touches, to the one that it makes of several, or to a new one.
    fn add(&mut self, key: &[u8], [start, end]: [i64; 2], row: &[u8]) {
        let mut gone = Vec::new();
        let sessions = self.by_key.entry_ref(key).or_default();
        let mut first = start;
        let mut grown = Session {
            end,
            rows: Held::default(),
        };
        // Sessions of a key lie apart, so those that touch are the last ones that start before the row's end.
        while let Some((other, session)) = sessions.range(..=end).next_back() {
            if session.end < start {
                break;
            }
            let other = *other;
            let Some(mut session) = sessions.remove(&other) else {
                break;
            };
            self.bytes -= key.len() + SESSION_OVERHEAD + session.rows.size();
            self.ends.remove(&(session.end, key.to_vec(), other));
            first = first.min(other);
            gone.push(other);
            // The larger takes in the smaller.
            if session.rows.len() < grown.rows.len() {
                std::mem::swap(&mut session.rows, &mut grown.rows);
            }
            session.rows.append(&grown.rows);
            session.end = session.end.max(grown.end);
            grown = session;
        }
        grown.rows.push(row);
        self.rows += 1;
        self.bytes += key.len() + SESSION_OVERHEAD + grown.rows.size();
        self.ends.insert((grown.end, key.to_vec(), first));
        sessions.insert(first, grown);
        for other in gone {
            self.change(key, other, 0);
        }
        self.change(key, first, row.len());
    }

    /// Takes the session that ends first, if that is over, with its start.
    fn take_first(&mut self, is_over: impl Fn(i64) -> bool) -> Option<(i64, Session)> {
        if !is_over(self.ends.first()?.0) {
            return None;
        }
        let (_, key, start) = self.ends.pop_first()?;
        let sessions = self.by_key.get_mut(&key)?;
        let session = sessions.remove(&start)?;
        if sessions.is_empty() {
            self.by_key.remove(&key);
        }
        self.rows -= session.rows.len() as u64;
        self.bytes -= key.len() + SESSION_OVERHEAD + session.rows.size();
        self.change(&key, start, 0);
        Some((start, session))
    }
}

impl Operator for Sessions {
    fn step<'a>(&'a mut self, ranges: &'a Ranges) -> BoxFuture<'a, Result<Delta>> {
        async move {
            let change = self.input.step(ranges).await?;
            for batch in &change.plus {
                self.take_in(batch)?;
            }
            self.reservation.try_resize(self.open.bytes)?;
            let closed = self.closed()?;
            self.reservation.try_resize(self.open.bytes)?;
            Ok(closed)
        }
        .boxed()
    }

    fn only_grows(&self) -> bool {
        true
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
            rows: self.open.rows,
            bytes: self.open.bytes,
            unsaved: self.open.unsaved,
        }
    }

    fn save(&mut self, saving: &mut Saving) -> Result<()> {
        self.open.save(saving, &self.shelf);
        Ok(())
    }
}
