//! The forms in which a live query tells of rows that change. In: a step's change. Out: one batch.
//!
//! A step is one moment: all that it tells of is true together. Where columns are known that tell rows apart, the row that goes and
//! the row that comes under the same key are one update.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringViewArray, StructArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, interleave, interleave_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use weir_base::SqlState;
use weir_streaming::Delta;

use crate::error::{Error, Result};

/// The column that says what a change is.
const OPERATION: &str = "_op";
/// What a column's metadata says when it is one of those that tell rows apart.
pub const KEY_COLUMN: &str = "weir.key";

/// The form of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// `_op`, and the row: `insert`, `delete`; `update_before` and then `update_after` where the key is known.
    Changelog,
    /// `_op`, the key's columns, and the others of the newest row: `upsert`; or `delete`, and nulls.
    Upsert,
    /// Debezium's `before`, `after`, `op` (`c`, `u`, `d`) and `ts_ms`.
    Debezium,
}

impl Envelope {
    const ALL: [Self; 3] = [Self::Changelog, Self::Upsert, Self::Debezium];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changelog => "changelog",
            Self::Upsert => "upsert",
            Self::Debezium => "debezium",
        }
    }
}

impl FromStr for Envelope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|form| form.name() == text);
        named.ok_or_else(|| format!("{text:?} is not one of 'changelog', 'upsert', 'debezium'"))
    }
}

/// Puts the changes of one query into a form.
pub(crate) struct Changelog {
    envelope: Envelope,
    /// The query's own columns.
    rows: SchemaRef,
    key: Option<Key>,
    schema: SchemaRef,
}

/// Columns that tell rows apart.
struct Key {
    columns: Vec<usize>,
    converter: Option<RowConverter>,
}

/// A change of one row, as places in what went and what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Delete(usize),
    Update(usize, usize),
    Insert(usize),
}

impl Changelog {
    /// Changes of `rows`, which `key` tells apart. `only_grows` says that rows neither change nor go.
    ///
    /// # Errors
    /// When the form needs a key and there is none.
    pub(crate) fn new(
        envelope: Envelope,
        rows: &SchemaRef,
        key: Option<Vec<usize>>,
        only_grows: bool,
    ) -> Result<Self> {
        let needs_key = match envelope {
            Envelope::Changelog => false,
            Envelope::Upsert => true,
            Envelope::Debezium => !only_grows,
        };
        if needs_key && key.is_none() {
            return Err(Error::invalid(
                SqlState::INVALID_PARAMETER_VALUE,
                format!(
                    "envelope '{}' needs to know which rows are the same, and this query shows no key",
                    envelope.name()
                ),
            )
            .with_hint(
                "select the primary keys of tables, or the columns that rows are grouped by; or ask for envelope 'changelog'",
            ));
        }
        let key = key.map(|columns| Key::new(columns, rows)).transpose()?;
        let schema = schema(envelope, rows, key.as_ref());
        Ok(Self {
            envelope,
            rows: Arc::clone(rows),
            key,
            schema,
        })
    }

    /// What its batches look like.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A change that happened at `at_ms`; nothing where nothing has changed.
    pub(crate) fn encode(&self, delta: &Delta, at_ms: i64) -> Result<Option<RecordBatch>> {
        let gone = concat_batches(&self.rows, &delta.minus)?;
        let come = concat_batches(&self.rows, &delta.plus)?;
        let changes = match &self.key {
            None => unpaired(gone.num_rows(), come.num_rows()),
            Some(key) => paired(&key.of(&gone)?, &key.of(&come)?),
        };
        if changes.is_empty() {
            return Ok(None);
        }
        let batch = match self.envelope {
            Envelope::Changelog => self.changelog(&gone, &come, &changes),
            Envelope::Upsert => self.upserts(&gone, &come, &changes),
            Envelope::Debezium => self.debezium(&gone, &come, &changes, at_ms),
        };
        Ok(Some(batch?))
    }

    fn changelog(
        &self,
        gone: &RecordBatch,
        come: &RecordBatch,
        changes: &[Change],
    ) -> Result<RecordBatch> {
        let mut operations = Vec::with_capacity(changes.len());
        let mut places = Vec::with_capacity(changes.len());
        let mut add = |operation, place| {
            operations.push(operation);
            places.push(place);
        };
        for change in changes {
            match *change {
                Change::Delete(old) => add("delete", (0, old)),
                Change::Insert(new) => add("insert", (1, new)),
                Change::Update(old, new) => {
                    add("update_before", (0, old));
                    add("update_after", (1, new));
                }
            }
        }
        let rows = interleave_record_batch(&[gone, come], &places)?;
        let columns = rows.columns().iter().cloned();
        self.with_operations(operations, columns)
    }

    fn upserts(
        &self,
        gone: &RecordBatch,
        come: &RecordBatch,
        changes: &[Change],
    ) -> Result<RecordBatch> {
        let keys = self.key.as_ref().map(|key| key.columns.as_slice());
        let keys = keys.unwrap_or_default();
        let operations = changes.iter().map(|change| match change {
            Change::Delete(_) => "delete",
            Change::Update(..) | Change::Insert(_) => "upsert",
        });
        let places = |of_gone: &dyn Fn(usize) -> usize| -> Vec<(usize, usize)> {
            let places = changes.iter().map(|change| match *change {
                Change::Delete(old) => (0, of_gone(old)),
                Change::Update(_, new) | Change::Insert(new) => (1, new),
            });
            places.collect()
        };
        let whole = places(&|row| row);
        let blanked = places(&|_| 0);
        let columns = key_first(keys, self.rows.fields().len()).map(|at| {
            let (old, new) = (gone.column(at), come.column(at));
            match keys.contains(&at) {
                true => interleave(&[old.as_ref(), new.as_ref()], &whole),
                // Of a row that is gone, nothing is left but its key.
                false => {
                    let blank = new_null_array(new.data_type(), 1);
                    interleave(&[blank.as_ref(), new.as_ref()], &blanked)
                }
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        self.with_operations(operations.collect(), columns)
    }

    fn debezium(
        &self,
        gone: &RecordBatch,
        come: &RecordBatch,
        changes: &[Change],
        at_ms: i64,
    ) -> Result<RecordBatch> {
        let before: Vec<Option<usize>> = changes.iter().map(|change| change.old()).collect();
        let after: Vec<Option<usize>> = changes.iter().map(|change| change.new_row()).collect();
        let operations = changes.iter().map(|change| match change {
            Change::Insert(_) => "c",
            Change::Update(..) => "u",
            Change::Delete(_) => "d",
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(structs(gone, &before)?),
            Arc::new(structs(come, &after)?),
            Arc::new(StringViewArray::from_iter_values(operations)),
            Arc::new(Int64Array::from_value(at_ms, changes.len())),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn with_operations(
        &self,
        operations: Vec<&str>,
        columns: impl IntoIterator<Item = ArrayRef>,
    ) -> Result<RecordBatch> {
        let operations: ArrayRef = Arc::new(StringViewArray::from_iter_values(operations));
        let columns = std::iter::once(operations).chain(columns);
        Ok(RecordBatch::try_new(
            Arc::clone(&self.schema),
            columns.collect(),
        )?)
    }
}

impl Change {
    fn old(self) -> Option<usize> {
        match self {
            Self::Delete(old) | Self::Update(old, _) => Some(old),
            Self::Insert(_) => None,
        }
    }

    fn new_row(self) -> Option<usize> {
        match self {
            Self::Insert(new) | Self::Update(_, new) => Some(new),
            Self::Delete(_) => None,
        }
    }
}

impl Key {
    fn new(columns: Vec<usize>, rows: &SchemaRef) -> Result<Self> {
        let fields = rows.project(&columns)?;
        let fields = fields.fields().iter();
        let fields: Vec<SortField> = fields
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        let converter = match fields.is_empty() {
            true => None,
            false => Some(RowConverter::new(fields)?),
        };
        Ok(Self { columns, converter })
    }

    /// The key of each row, as bytes that are the same for the same key.
    fn of(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        let Some(converter) = &self.converter else {
            return Ok(vec![Vec::new(); rows.num_rows()]);
        };
        let columns = rows.project(&self.columns)?;
        let keys = converter.convert_columns(columns.columns())?;
        Ok(keys.iter().map(|key| key.as_ref().to_vec()).collect())
    }
}

fn unpaired(gone: usize, come: usize) -> Vec<Change> {
    let gone = (0..gone).map(Change::Delete);
    gone.chain((0..come).map(Change::Insert)).collect()
}

/// What happened to each key: first those that are no more, then those that have another row, then those that are new.
fn paired(gone: &[Vec<u8>], come: &[Vec<u8>]) -> Vec<Change> {
    let mut old: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(gone.len());
    for (at, key) in gone.iter().enumerate().rev() {
        old.entry(key).or_default().push(at);
    }
    let mut updates = Vec::new();
    let mut inserts = Vec::new();
    for (new, key) in come.iter().enumerate() {
        match old.get_mut(key.as_slice()).and_then(Vec::pop) {
            Some(old) => updates.push(Change::Update(old, new)),
            None => inserts.push(Change::Insert(new)),
        }
    }
    let mut deleted: Vec<usize> = old.into_values().flatten().collect();
    deleted.sort_unstable();
    let mut changes: Vec<Change> = deleted.into_iter().map(Change::Delete).collect();
    changes.append(&mut updates);
    changes.append(&mut inserts);
    changes
}

/// All columns, those of the key first.
fn key_first(keys: &[usize], columns: usize) -> impl Iterator<Item = usize> {
    let others = (0..columns).filter(move |at| !keys.contains(at));
    keys.iter().copied().chain(others)
}

fn schema(envelope: Envelope, rows: &SchemaRef, key: Option<&Key>) -> SchemaRef {
    let keys = key.map(|key| key.columns.as_slice()).unwrap_or_default();
    let operation = || Arc::new(Field::new(OPERATION, DataType::Utf8View, false));
    let marked = |at: usize, field: &FieldRef| -> FieldRef {
        match keys.contains(&at) {
            true => {
                let mut metadata = field.metadata().clone();
                metadata.insert(KEY_COLUMN.to_owned(), "true".to_owned());
                Arc::new(field.as_ref().clone().with_metadata(metadata))
            }
            false => Arc::clone(field),
        }
    };
    let fields = rows.fields();
    let fields: Vec<FieldRef> = match envelope {
        Envelope::Changelog => {
            let fields = fields.iter().enumerate();
            std::iter::once(operation())
                .chain(fields.map(|(at, field)| marked(at, field)))
                .collect()
        }
        Envelope::Upsert => {
            let columns = key_first(keys, fields.len()).filter_map(|at| {
                let field = fields.get(at)?;
                Some(match keys.contains(&at) {
                    true => marked(at, field),
                    false => Arc::new(field.as_ref().clone().with_nullable(true)),
                })
            });
            std::iter::once(operation()).chain(columns).collect()
        }
        Envelope::Debezium => {
            let row: Fields = fields.clone();
            vec![
                Arc::new(Field::new("before", DataType::Struct(row.clone()), true)),
                Arc::new(Field::new("after", DataType::Struct(row), true)),
                Arc::new(Field::new("op", DataType::Utf8View, false)),
                Arc::new(Field::new("ts_ms", DataType::Int64, false)),
            ]
        }
    };
    Arc::new(Schema::new(fields))
}

/// Rows as structs, null where there is none.
fn structs(rows: &RecordBatch, places: &[Option<usize>]) -> Result<StructArray> {
    let sources: Vec<(usize, usize)> = places
        .iter()
        .map(|place| place.map_or((0, 0), |row| (1, row)))
        .collect();
    let columns = rows.columns().iter().map(|column| {
        let blank = new_null_array(column.data_type(), 1);
        interleave(&[blank.as_ref(), column.as_ref()], &sources)
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let nulls: NullBuffer = places.iter().map(Option::is_some).collect();
    let fields = rows.schema().fields().clone();
    Ok(StructArray::try_new_with_length(
        fields,
        columns,
        Some(nulls),
        places.len(),
    )?)
}
