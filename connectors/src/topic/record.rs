//! Records decoded into the columns that are asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use weir_base::{Kind, PartitionId, SqlState, TopicName};
use weir_topics::Record;

use super::format::{Decode, Format, OnError};
use super::hidden::HiddenColumns;
use super::row::{Care, Wanted, Wrong};
use super::row_error::RowError;
use super::schema::{Hidden, RowSchema};
use crate::{Error, Result};

/// The longest text of `_error`, in characters: what is wrong is quoted from the record, which may be long.
const ERROR_CHARS_MAX: usize = 500;

/// Decodes the records of one partition into batches of some columns.
pub(crate) struct RecordDecoder {
    topic: TopicName,
    partition: PartitionId,
    schema: SchemaRef,
    /// Where each output column comes from.
    columns: Vec<Source>,
    on_error: OnError,
    rows: Rows,
    hidden: HiddenColumns,
    /// How many rows there are since the last batch.
    count: usize,
    /// How many records were pushed since the last batch, and what they hold in bytes.
    records: usize,
    bytes: usize,
    /// How many records could not be decoded since they were last taken.
    errors: u64,
}

#[derive(Clone, Copy)]
enum Source {
    /// A place among the columns of the value.
    Value(usize),
    /// A place among the columns of the key.
    Key(usize),
    Hidden(Hidden),
}

impl RecordDecoder {
    /// A decoder for the columns at `projection` of the schema with hidden columns: [`RowSchema::schema_with_hidden`].
    ///
    /// # Errors
    /// When a column is not there, or has a type that rows cannot hold.
    pub(crate) fn new(
        topic: &TopicName,
        partition: PartitionId,
        schema: &RowSchema,
        projection: &[usize],
    ) -> Result<Self> {
        let mut kept = vec![false; schema.columns().len()];
        let mut hidden = HiddenColumns::default();
        let mut columns = Vec::with_capacity(projection.len());
        for at in projection {
            if let Some(kept) = kept.get_mut(*at) {
                *kept = true;
                continue;
            }
            hidden.want(hidden_at(schema, *at)?);
        }
        let rows = Rows::new(schema, &kept, hidden.wants_error(), false)?;
        for at in projection {
            // Kept columns stand in the order of the schema, whatever the order in which they are asked for.
            let place = |of_key: bool| {
                let before = (0..*at).filter(|at| schema.is_in_key(*at) == of_key);
                before.filter(|at| kept.get(*at) == Some(&true)).count()
            };
            columns.push(match schema.columns().get(*at) {
                Some(_) if schema.is_in_key(*at) => Source::Key(place(true)),
                Some(_) => Source::Value(place(false)),
                None => Source::Hidden(hidden_at(schema, *at)?),
            });
        }
        Ok(Self {
            topic: topic.clone(),
            partition,
            schema: Arc::new(projected(schema, projection)?),
            columns,
            on_error: schema.format().on_error,
            rows,
            hidden,
            count: 0,
            records: 0,
            bytes: 0,
            errors: 0,
        })
    }

    /// How many rows there are since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.count
    }

    /// How many records were pushed since the last batch: also those that are no rows.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// How many bytes of keys and values these have.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many records could not be decoded since this was last asked.
    pub(crate) fn take_errors(&mut self) -> u64 {
        std::mem::take(&mut self.errors)
    }

    /// Appends the rows of a record.
    ///
    /// # Errors
    /// When it cannot be decoded and the stream's policy is to fail; the error names the record.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>) -> Result<()> {
        let rows = match self.rows.push(record) {
            Ok(rows) => rows,
            Err(wrong) => self.wrong(record, &wrong)?,
        };
        for _ in 0..rows {
            self.hidden
                .push(record, None)
                .map_err(|error| self.unreadable(record, &error.to_string()))?;
        }
        self.count += rows;
        self.records += 1;
        self.bytes += record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
        Ok(())
    }

    /// Does with a record that cannot be decoded what the stream says, and gives how many rows are still to be noted.
    #[cold]
    fn wrong(&mut self, record: &Record<'_>, wrong: &Wrong) -> Result<usize> {
        self.errors += 1;
        let reason = reason(wrong);
        match self.on_error {
            OnError::Fail => return Err(self.unreadable(record, &reason)),
            OnError::Skip | OnError::DeadLetter => {}
            OnError::Null => {
                self.rows.null();
                self.hidden
                    .push(record, Some(&reason))
                    .map_err(|error| self.unreadable(record, &error.to_string()))?;
                self.count += 1;
            }
        }
        Ok(0)
    }

    /// The rows so far as a batch; the decoder starts anew.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let failed = |error| internal("decoded columns do not fit together").with_source(error);
        let count = std::mem::take(&mut self.count);
        self.records = 0;
        self.bytes = 0;
        let (key, value) = self.rows.finish().map_err(failed)?;
        let missing = || internal("a decoded column is missing");
        let columns = self
            .columns
            .iter()
            .map(|source| match source {
                Source::Value(at) => value.get(*at).cloned().ok_or_else(missing),
                Source::Key(at) => key.get(*at).cloned().ok_or_else(missing),
                Source::Hidden(hidden) => self
                    .hidden
                    .column(*hidden, self.partition, count)
                    .map_err(failed),
            })
            .collect::<Result<Vec<_>>>()?;
        self.hidden.clear();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(failed)
    }

    fn unreadable(&self, record: &Record<'_>, reason: &str) -> Error {
        Error::new(
            Kind::Corrupt,
            format!(
                "topic {:?}, partition {}, offset {}: the record cannot be read as a row: {reason}",
                self.topic.as_str(),
                self.partition,
                record.offset
            ),
        )
        .with_sqlstate(SqlState::INVALID_TEXT_REPRESENTATION)
    }
}

/// Tells which records of a stream cannot be decoded, and gives no columns.
pub struct RecordChecker(Rows);

impl std::fmt::Debug for RecordChecker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordChecker")
    }
}

impl RecordChecker {
    /// A checker of all columns.
    ///
    /// # Errors
    /// When a column has a type that rows cannot hold.
    pub fn new(schema: &RowSchema) -> Result<Self> {
        let kept = vec![false; schema.columns().len()];
        Ok(Self(Rows::new(schema, &kept, true, false)?))
    }

    /// Why a record cannot be decoded; nothing when it can.
    pub fn check(&mut self, record: &Record<'_>) -> Option<String> {
        let wrong = self.0.push(record).err();
        // Nothing is kept, so that it cannot fail; it must be emptied, as what was looked at is counted.
        let emptied = self.0.finish();
        match (wrong, emptied) {
            (Some(wrong), _) => Some(reason(&wrong)),
            (None, Err(error)) => Some(error.to_string()),
            (None, Ok(_)) => None,
        }
    }
}

/// The rows of records that somebody else encoded.
#[derive(Debug, Clone)]
pub struct CheckedRecords {
    /// The rows in the schema's columns.
    pub batch: RecordBatch,
    /// After each record, how many rows there are.
    ends: Vec<usize>,
}

impl CheckedRecords {
    /// Which record a row comes from; both are counted from 0.
    pub fn record_of(&self, row: usize) -> usize {
        self.ends.partition_point(|end| *end <= row)
    }
}

/// Checks records that somebody else encoded: each has rows that give every column which must not be null, and no others.
/// A default fills nothing in, as the records are stored as they are.
///
/// # Errors
/// The first record that has not, by its number.
pub fn check_records<'a>(
    schema: &RowSchema,
    records: impl IntoIterator<Item = Record<'a>>,
) -> Result<CheckedRecords, RowError> {
    let internal = |error: Error| RowError {
        sqlstate: SqlState::INTERNAL_ERROR,
        ..RowError::body(error.to_string())
    };
    let kept = vec![true; schema.columns().len()];
    let mut rows = Rows::new(schema, &kept, true, true).map_err(internal)?;
    let mut ends = Vec::new();
    let mut count = 0;
    for (at, record) in records.into_iter().enumerate() {
        count += rows
            .push(&record)
            .map_err(|wrong| RowError::new(at, wrong))?;
        ends.push(count);
    }
    let (key, value) = rows.finish()?;
    let (mut key, mut value) = (key.into_iter(), value.into_iter());
    let columns = (0..schema.columns().len()).filter_map(|at| match schema.is_in_key(at) {
        true => key.next(),
        false => value.next(),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let schema = Arc::clone(schema.schema());
    let batch = RecordBatch::try_new_with_options(schema, columns.collect(), &options)?;
    Ok(CheckedRecords { batch, ends })
}

/// Key and value of records as rows.
struct Rows {
    value: Option<Part>,
    key: Option<Part>,
    /// A null value is a row of null: it is the value of raw bytes, or says that a row is gone.
    takes_null: bool,
}

impl Rows {
    /// `kept` says of each column whether it is given; `checks` asks for what is wrong also where no column is given.
    /// `strict` refuses fields of values that are no columns.
    fn new(schema: &RowSchema, kept: &[bool], checks: bool, strict: bool) -> Result<Self> {
        let format = schema.format();
        // What others tell of their rows has more than the columns that are asked for.
        let strict = strict && !format.value.is_changelog();
        let any = kept.contains(&true);
        // Unless a wrong record is an error, a row must be the same whichever columns are asked for.
        let checks = match format.on_error {
            OnError::Fail => false,
            OnError::Null => checks || any,
            OnError::Skip | OnError::DeadLetter => true,
        } && format.value != Format::Raw;
        let wanted = |of_key: bool| -> Vec<Wanted<'_>> {
            let columns = schema.columns().iter().zip(kept).enumerate();
            columns
                .filter(|(at, _)| schema.is_in_key(*at) == of_key)
                .map(|(_, (column, kept))| Wanted {
                    field: &column.field,
                    key: &column.source,
                    fill: column.absent.clone(),
                    care: match (kept, checks) {
                        (true, _) => Care::Kept,
                        (false, true) => Care::Checked,
                        (false, false) => Care::Ignored,
                    },
                })
                .collect()
        };
        let cares = |columns: &[Wanted<'_>]| columns.iter().any(|c| c.care != Care::Ignored);
        let unreadable = |error| internal("columns cannot be read").with_source(error);
        let columns = wanted(false);
        let value = match cares(&columns) || !format.value.is_row_per_value() {
            true => {
                let decoder = format.value.decoder(&columns, strict);
                Some(Part::new(decoder.map_err(unreadable)?, &columns))
            }
            false => None,
        };
        let columns = wanted(true);
        let key = match format.key {
            Some(key) if cares(&columns) => {
                let decoder = key.decoder(&columns);
                Some(Part::new(decoder.map_err(unreadable)?, &columns))
            }
            _ => None,
        };
        Ok(Self {
            value,
            key,
            takes_null: format.value == Format::Raw || format.value.is_changelog(),
        })
    }

    /// Appends the rows of a record and gives how many they are; after an error none was appended.
    #[inline]
    fn push(&mut self, record: &Record<'_>) -> Result<usize, Wrong> {
        let rows = match &mut self.value {
            None => 1,
            Some(part) => match record.value {
                Some(value) => part.push(value)?,
                None if self.takes_null => {
                    part.decoder.null();
                    1
                }
                None => return Err(Wrong::text("it has no value")),
            },
        };
        if let Some(key) = &mut self.key {
            // The same bytes are decoded each time, so that only the first can go wrong.
            for _ in 0..rows {
                if let Err(wrong) = key.push_key(record.key) {
                    if let Some(value) = &mut self.value {
                        value.drop_last(rows);
                    }
                    return Err(Wrong {
                        message: format!("its key: {}", wrong.message),
                        ..wrong
                    });
                }
            }
        }
        Ok(rows)
    }

    /// Appends a row of nulls.
    fn null(&mut self) {
        for part in [&mut self.key, &mut self.value].into_iter().flatten() {
            part.decoder.null();
        }
    }

    /// The columns of the key and of the value.
    fn finish(&mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), ArrowError> {
        let columns = |part: &mut Option<Part>| match part {
            Some(part) => part.finish(),
            None => Ok(vec![]),
        };
        Ok((columns(&mut self.key)?, columns(&mut self.value)?))
    }
}

/// The columns of a key or value, and which of their rows mean nothing.
struct Part {
    decoder: Box<dyn Decode>,
    dropped: Vec<usize>,
    /// Whether a column must not be null.
    is_required: bool,
}

impl Part {
    fn new(decoder: Box<dyn Decode>, columns: &[Wanted<'_>]) -> Self {
        let is_required =
            |column: &Wanted<'_>| column.care != Care::Ignored && !column.field.is_nullable();
        Self {
            decoder,
            dropped: Vec::new(),
            is_required: columns.iter().any(is_required),
        }
    }

    /// Appends the rows of a value and gives how many they are.
    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Result<usize, Wrong> {
        let before = self.decoder.rows();
        let decoded = self.decoder.decode(bytes);
        let rows = self.decoder.rows() - before;
        match decoded {
            Ok(()) => Ok(rows),
            Err(wrong) => {
                self.drop_last(rows);
                Err(wrong)
            }
        }
    }

    /// Appends a row of a key; one without a key has nulls there.
    fn push_key(&mut self, key: Option<&[u8]>) -> Result<(), Wrong> {
        match key {
            Some(key) => self.push(key).map(|_| ()),
            None if self.is_required => Err(Wrong::text("there is none")),
            None => {
                self.decoder.null();
                Ok(())
            }
        }
    }

    #[cold]
    fn drop_last(&mut self, rows: usize) {
        let end = self.decoder.rows();
        self.dropped.extend(end - rows..end);
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = self.decoder.rows();
        let columns = self.decoder.finish()?;
        if self.dropped.is_empty() {
            return Ok(columns);
        }
        let mut mask = vec![true; rows];
        for row in self.dropped.drain(..) {
            if let Some(keeps) = mask.get_mut(row) {
                *keeps = false;
            }
        }
        let mask = BooleanArray::from(mask);
        columns.iter().map(|column| filter(column, &mask)).collect()
    }
}

/// What is wrong with a record, for a person.
fn reason(wrong: &Wrong) -> String {
    let text = match &wrong.path {
        Some(path) => format!("column {path:?}: {}", wrong.message),
        None => wrong.message.clone(),
    };
    match text.char_indices().nth(ERROR_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn hidden_at(schema: &RowSchema, at: usize) -> Result<Hidden> {
    let hidden = at.checked_sub(schema.columns().len());
    let hidden = hidden.and_then(|at| Hidden::ALL.get(at).copied());
    hidden.ok_or_else(|| internal(format!("there is no column {at}")))
}

fn internal(message: impl Into<String>) -> Error {
    Error::new(Kind::Internal, message)
}

/// The schema of some columns of the schema with hidden columns.
pub(crate) fn projected(schema: &RowSchema, projection: &[usize]) -> Result<Schema> {
    schema
        .schema_with_hidden()
        .project(projection)
        .map_err(|error| internal("columns cannot be read").with_source(error))
}
