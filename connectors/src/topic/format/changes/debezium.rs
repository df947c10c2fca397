//! Debezium's change events in JSON: `{"before", "after", "op", …}`, bare or as the `payload` beside a `schema`.
//!
//! `c` (created), `u` (updated) and `r` (read, of a snapshot) have the row in `after`; `d` (deleted) has it in `before`, of which only
//! the key is looked at, for a source may give no more. A null value is the tombstone that follows a deletion for the sake of
//! compaction; it and `m` (a message) change no row. `t` empties a table, and is refused: its rows would stay.
//!
//! <https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events>

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{Decode, utf8};
use super::split;
use crate::topic::row::{Care, RowReader, Wanted, Wrong};

/// Decodes envelopes.
pub(crate) struct DebeziumDecoder {
    after: RowReader,
    /// The same columns, of which only the key must be there.
    before: RowReader,
    /// What each record did, and where its row is.
    changes: Vec<Change>,
    types: Vec<DataType>,
    gives_deleted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// To the row of this number in `after`.
    Upsert(usize),
    /// To that in `before`.
    Delete(usize),
    /// To none.
    Nothing,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    before: Option<&'a RawValue>,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
    /// The envelope itself, where a schema stands beside it.
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl DebeziumDecoder {
    /// A decoder of these columns; `key` names those that a deletion must have.
    pub(crate) fn new(columns: &[Wanted<'_>], key: &[String]) -> Result<Self, ArrowError> {
        let (rows, gives_deleted) = split(columns);
        let loose: Vec<FieldRef> = rows
            .iter()
            .map(|column| match key.iter().any(|key| key == column.key) {
                true => Arc::clone(column.field),
                false => Arc::new(column.field.as_ref().clone().with_nullable(true)),
            })
            .collect();
        let before = rows.iter().zip(&loose).map(|(column, field)| Wanted {
            field,
            ..column.clone()
        });
        let kept = rows.iter().filter(|column| column.care == Care::Kept);
        let types = kept.map(|column| column.field.data_type().clone());
        Ok(Self {
            types: types.collect(),
            // A source may have columns that nobody asks for.
            before: RowReader::new(before, false)?,
            after: RowReader::new(rows, false)?,
            changes: Vec::new(),
            gives_deleted,
        })
    }

    fn change(&mut self, text: &str) -> Result<(), Wrong> {
        let outer: Envelope<'_> = parse(text)?;
        let envelope = match (&outer.op, outer.payload) {
            (None, Some(payload)) => parse(payload.get())?,
            _ => outer,
        };
        let Some(op) = envelope.op else {
            return Err(Wrong::text("it is no Debezium event: it has no \"op\""));
        };
        let op = op.as_ref();
        match op {
            "c" | "u" | "r" => {
                let row = envelope.after.ok_or_else(|| without_row(op, "after"))?;
                let at = self.after.rows();
                let read = self.after.object(row.get());
                if self.after.rows() > at {
                    self.changes.push(Change::Upsert(at));
                }
                read.map_err(|wrong| within("after", wrong))
            }
            "d" => {
                let row = envelope.before.ok_or_else(|| without_row(op, "before"))?;
                let at = self.before.rows();
                let read = self.before.object(row.get());
                if self.before.rows() > at {
                    self.changes.push(Change::Delete(at));
                }
                read.map_err(|wrong| within("before", wrong))
            }
            "m" => {
                self.null();
                Ok(())
            }
            "t" => Err(Wrong::text(
                "\"op\" \"t\" says that the source's table was emptied, without its rows' keys",
            )),
            other => Err(Wrong::text(format!(
                "\"op\" {other:?} is none of Debezium's c, u, r, d"
            ))),
        }
    }
}

fn parse<'a>(text: &'a str) -> Result<Envelope<'a>, Wrong> {
    serde_json::from_str(text)
        .map_err(|error| Wrong::text(format!("it is no Debezium event: {error}")))
}

fn without_row(op: &str, image: &str) -> Wrong {
    Wrong::text(format!(
        "an event with \"op\" {op:?} has its row in {image:?}, which is not there"
    ))
}

fn within(image: &str, wrong: Wrong) -> Wrong {
    Wrong {
        message: format!("{} (in {image:?})", wrong.message),
        ..wrong
    }
}

impl Decode for DebeziumDecoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.change(utf8(bytes)?)
    }

    fn null(&mut self) {
        self.changes.push(Change::Nothing);
    }

    fn rows(&self) -> usize {
        self.changes.len()
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let changes = std::mem::take(&mut self.changes);
        let places: Vec<(usize, usize)> = changes
            .iter()
            .map(|change| match *change {
                Change::Upsert(row) => (0, row),
                Change::Delete(row) => (1, row),
                Change::Nothing => (2, 0),
            })
            .collect();
        let (after, before) = (self.after.columns()?, self.before.columns()?);
        let images = after.iter().zip(&before).zip(&self.types);
        let columns = images.map(|((after, before), data_type)| {
            let nothing = new_null_array(data_type, 1);
            interleave(
                &[after.as_ref(), before.as_ref(), nothing.as_ref()],
                &places,
            )
        });
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        if self.gives_deleted {
            let deleted = changes.iter().map(|change| match change {
                Change::Upsert(_) => Some(false),
                Change::Delete(_) => Some(true),
                Change::Nothing => None,
            });
            columns.push(Arc::new(deleted.collect::<BooleanArray>()));
        }
        Ok(columns)
    }
}
