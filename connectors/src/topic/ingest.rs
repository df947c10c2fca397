//! Rows as they come in, checked and in the form in which they are stored.
//!
//! All rows of a request are taken or none: the first bad one is named by number, column and reason.

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use weir_base::SqlState;
use weir_base::nearest::nearest;

use super::convert::converted;
use super::format::{CsvForm, Given, Splitter, read_stream};
use super::parquet_file::read_file;
use super::row::{Care, RowReader, Wanted, has_logical};
use super::row_error::RowError;
use super::schema::{RowColumn, RowSchema};

/// Rows that passed, in the form in which they are stored. [`TopicWriter`](super::TopicWriter) appends them.
#[derive(Debug, Clone)]
pub struct Rows {
    batch: RecordBatch,
    values: Values,
}

/// The stored text of each row.
#[derive(Debug, Clone)]
struct Values {
    /// The request's body, and rows that were written anew.
    texts: [Bytes; 2],
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// Which of the texts; past them for null.
    text: usize,
    start: usize,
    end: usize,
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.values.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.spans.is_empty()
    }

    /// The rows as columns of the schema, defaults filled in: what `CHECK` constraints look at.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The size of what is stored, without keys and framing, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.values
            .spans
            .iter()
            .map(|span| span.end - span.start)
            .sum()
    }

    /// What is stored for a row. Only a raw value can be null.
    pub(crate) fn value(&self, row: usize) -> Option<&[u8]> {
        let span = self.values.spans.get(row)?;
        let text = self.values.texts.get(span.text)?;
        text.get(span.start..span.end)
    }
}

/// Takes rows from newline-delimited JSON, an object a line; empty lines are passed over. A line is stored as it came,
/// unless a default must be filled in or a column was renamed.
///
/// # Errors
/// The first row that is no JSON object, names a column that is not there or twice, has a value that is not of its column's
/// type, or lacks one that is required.
pub fn encode_ndjson(schema: &RowSchema, body: &Bytes) -> Result<Rows, RowError> {
    let text = utf8(body)?;
    let mut reader = ingest_reader(schema)?;
    let mut spans = Vec::new();
    let mut start = text.len() - text.trim_start_matches('\u{feff}').len();
    while start < text.len() {
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).map_or(text.len(), |at| start + at);
        let line = text.get(start..end).unwrap_or_default();
        let trimmed = line.trim_ascii();
        if !trimmed.is_empty() {
            let lead = line.len() - line.trim_ascii_start().len();
            reader
                .object(trimmed)
                .map_err(|wrong| RowError::new(spans.len(), wrong))?;
            spans.push(Span {
                text: 0,
                start: start + lead,
                end: start + lead + trimmed.len(),
            });
        }
        start = end + 1;
    }
    let filled = reader.take_filled();
    let batch = reader.finish()?;
    if schema.is_raw() {
        return written(schema, batch);
    }
    let mut values = Values {
        texts: [body.clone(), Bytes::new()],
        spans,
    };
    if schema.is_verbatim() {
        rewrite(schema, &batch, filled.into_iter(), &mut values)?;
    } else {
        rewrite(schema, &batch, 0..batch.num_rows(), &mut values)?;
    }
    Ok(Rows { batch, values })
}

/// How a CSV body is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvLayout {
    /// The first line names the columns; without it, fields are the schema's columns in order.
    pub header: bool,
    /// What stands between fields.
    pub delimiter: u8,
}

impl Default for CsvLayout {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: b',',
        }
    }
}

/// Takes rows from CSV (RFC 4180). An unquoted empty field is null, as in PostgreSQL's `COPY`; lists, structs and maps are
/// JSON text.
///
/// # Errors
/// As [`encode_ndjson`]; also when a row has more or fewer fields than there are columns.
pub fn encode_csv(schema: &RowSchema, body: &Bytes, layout: CsvLayout) -> Result<Rows, RowError> {
    let text = utf8(body)?;
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = ingest_reader(schema)?;
    let form = CsvForm {
        delimiter: layout.delimiter,
        ..CsvForm::default()
    };
    let mut splitter = Splitter::new(text, &form);
    let columns = if layout.header {
        csv_header(&reader, schema, &mut splitter)?
    } else {
        (0..schema.columns().len()).collect()
    };
    let mut row = 0;
    while let Some(fields) = splitter.next_row() {
        let fields = fields.map_err(|message| RowError::body(message).at(row))?;
        if fields.len() != columns.len() {
            let message = format!(
                "it has {} fields where {} are expected",
                fields.len(),
                columns.len()
            );
            return Err(RowError::body(message).at(row));
        }
        let texts: Vec<Option<&str>> = fields.iter().map(|field| field.as_deref()).collect();
        reader
            .texts(&columns, &texts)
            .map_err(|wrong| RowError::new(row, wrong))?;
        row += 1;
    }
    written(schema, reader.finish()?)
}

/// Which columns a CSV header names.
fn csv_header(
    reader: &RowReader,
    schema: &RowSchema,
    splitter: &mut Splitter<'_>,
) -> Result<Vec<usize>, RowError> {
    let names = match splitter.next_row() {
        Some(names) => names.map_err(RowError::body)?,
        None => {
            return Err(RowError::body(
                "the body is empty: the first line of CSV names the columns",
            ));
        }
    };
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let name = name.unwrap_or_default();
        let at = reader.find(name.trim()).map_err(|wrong| RowError {
            row: None,
            ..RowError::new(0, wrong)
        })?;
        if columns.contains(&at) {
            let field = &schema.columns()[at].field;
            return Err(RowError::column(
                field,
                "the header names it twice",
                SqlState::DUPLICATE_COLUMN,
            ));
        }
        columns.push(at);
    }
    Ok(columns)
}

/// The most rows of an Arrow body, however small it is.
const COMPRESSED_ROWS_MAX: i64 = 4 << 20;

/// What an Arrow IPC file, also known as Feather, begins with.
const ARROW_FILE_MAGIC: &[u8] = b"ARROW1";

/// The batches of an Arrow IPC stream that anybody may have written: what would take more memory than it is long is refused before it
/// is read.
///
/// # Errors
/// What is wrong with it.
pub fn read_arrow(body: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>), String> {
    // A few bytes can say that there are any number of nulls. A row takes a bit at least, unless it is compressed.
    let rows_max = i64::try_from(body.len().saturating_mul(8)).unwrap_or(i64::MAX);
    read_stream(body, rows_max.saturating_add(COMPRESSED_ROWS_MAX))
}

/// Takes rows from an Arrow IPC stream. Columns are found by name; one that is left out gets its default.
///
/// # Errors
/// When the stream does not decode, names a column that is not there, or holds values that are not of its column's type.
pub fn encode_arrow(schema: &RowSchema, body: &Bytes) -> Result<Rows, RowError> {
    if body.starts_with(ARROW_FILE_MAGIC) {
        return Err(RowError::body(
            "the body is an Arrow file, not an Arrow stream",
        ));
    }
    let (given, given_batches) = read_arrow(body).map_err(|reason| {
        RowError::body(format!("the body is not a whole Arrow stream: {reason}"))
    })?;
    encode_batches(schema, &given, given_batches)
}

/// Takes rows from a Parquet file. Columns are found by name; one that is left out gets its default.
///
/// # Errors
/// As [`encode_arrow`]; also when the rows come to more than a request may bring.
pub fn encode_parquet(schema: &RowSchema, body: &Bytes) -> Result<Rows, RowError> {
    let (given, given_batches) = read_file(body).map_err(|reason| {
        RowError::body(format!(
            "the body is no Parquet file that can be taken: {reason}"
        ))
    })?;
    encode_batches(schema, &given, given_batches)
}

fn encode_batches(
    schema: &RowSchema,
    given: &SchemaRef,
    given_batches: Vec<RecordBatch>,
) -> Result<Rows, RowError> {
    for (at, field) in given.fields().iter().enumerate() {
        let known = || {
            schema
                .columns()
                .iter()
                .map(|column| column.field.name().as_str())
        };
        if !known().any(|name| name == field.name()) {
            let error =
                RowError::column(field, "there is no such column", SqlState::UNDEFINED_COLUMN);
            let hint =
                nearest(field.name(), known()).map(|nearest| format!("did you mean {nearest:?}?"));
            return Err(RowError { hint, ..error });
        }
        if given.fields()[..at]
            .iter()
            .any(|other| other.name() == field.name())
        {
            return Err(RowError::column(
                field,
                "it is given twice",
                SqlState::DUPLICATE_COLUMN,
            ));
        }
    }
    let mut batches = Vec::new();
    let mut rows = 0;
    for batch in given_batches {
        let batch = aligned(schema, &batch, rows)?;
        rows += batch.num_rows();
        batches.push(batch);
    }
    let batch = concat_batches(schema.schema(), &batches)?;
    written(schema, batch)
}

/// Takes rows from a batch that has the schema's columns in order; their types may differ where no value is lost.
///
/// # Errors
/// The first row that has a null where it is not allowed, or a value that is not of its column's type.
pub fn encode_batch(schema: &RowSchema, batch: &RecordBatch) -> Result<Rows, RowError> {
    if batch.num_columns() != schema.columns().len() {
        return Err(RowError {
            sqlstate: SqlState::INTERNAL_ERROR,
            ..RowError::body(format!(
                "a batch of {} columns came for {} columns",
                batch.num_columns(),
                schema.columns().len()
            ))
        });
    }
    let columns = schema
        .columns()
        .iter()
        .zip(batch.columns())
        .map(|(column, given)| converted(&column.field, given, 0))
        .collect::<Result<Vec<_>, _>>()?;
    let batch = checked(schema, columns, batch.num_rows(), 0)?;
    written(schema, batch)
}

fn utf8(body: &Bytes) -> Result<&str, RowError> {
    std::str::from_utf8(body).map_err(|error| {
        let before = body.get(..error.valid_up_to()).unwrap_or_default();
        let row = before
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .count();
        let row = row.saturating_sub(usize::from(
            before.last().is_some_and(|last| *last != b'\n'),
        ));
        RowError::body("it is not valid UTF-8").at(row)
    })
}

fn ingest_reader(schema: &RowSchema) -> Result<RowReader, RowError> {
    let columns = schema.columns().iter().map(|column| Wanted {
        field: &column.field,
        key: column.field.name(),
        // A column that reads as something else when it is absent is always written out.
        care: Care::Kept,
        fill: match (&column.default, &column.absent) {
            (Some(default), _) => Some(default.clone()),
            (None, Some(_)) => ScalarValue::try_from(column.field.data_type()).ok(),
            (None, None) => None,
        },
    });
    Ok(RowReader::new(columns, true)?)
}

/// The columns of `batch` in the schema's order and types; `before` rows came earlier.
fn aligned(
    schema: &RowSchema,
    batch: &RecordBatch,
    before: usize,
) -> Result<RecordBatch, RowError> {
    let columns = schema
        .columns()
        .iter()
        .map(|column| match batch.column_by_name(column.field.name()) {
            Some(given) => converted(&column.field, given, before),
            None => {
                let value = match &column.default {
                    Some(default) => default.clone(),
                    None => ScalarValue::try_from(column.field.data_type()).map_err(internal)?,
                };
                value.to_array_of_size(batch.num_rows()).map_err(internal)
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    checked(schema, columns, batch.num_rows(), before)
}

fn internal(error: datafusion::error::DataFusionError) -> RowError {
    RowError {
        sqlstate: SqlState::INTERNAL_ERROR,
        ..RowError::body(error.to_string())
    }
}

/// Puts columns together, and looks for nulls where none may be.
fn checked(
    schema: &RowSchema,
    columns: Vec<ArrayRef>,
    rows: usize,
    before: usize,
) -> Result<RecordBatch, RowError> {
    let first = schema
        .columns()
        .iter()
        .zip(&columns)
        .filter(|(column, array)| !column.field.is_nullable() && array.logical_null_count() > 0)
        .filter_map(|(column, array)| {
            let nulls = array.logical_nulls()?;
            let row = (0..rows).find(|row| nulls.is_null(*row))?;
            Some((row, &column.field))
        })
        .min_by_key(|(row, _)| *row);
    if let Some((row, field)) = first {
        let message = "null is not allowed: it is declared NOT NULL";
        return Err(
            RowError::column(field, message, SqlState::NOT_NULL_VIOLATION).at(before + row),
        );
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        SchemaRef::clone(schema.schema()),
        columns,
        &options,
    )?)
}

/// Rows of a checked batch, written out.
fn written(schema: &RowSchema, batch: RecordBatch) -> Result<Rows, RowError> {
    let rows = batch.num_rows();
    let empty = Span {
        text: 1,
        start: 0,
        end: 0,
    };
    let mut values = Values {
        texts: [Bytes::new(), Bytes::new()],
        spans: vec![empty; rows],
    };
    rewrite(schema, &batch, 0..rows, &mut values)?;
    let mut rows = Rows { batch, values };
    if schema
        .columns()
        .iter()
        .any(|column| has_logical(column.field.data_type()))
    {
        // UUIDs and JSON within lists and structs: what is read back is the form in which they are kept.
        rows.batch = reread(schema, &rows)?;
    }
    Ok(rows)
}

/// The columns that are in the values of records, with their places.
fn in_value(schema: &RowSchema) -> impl Iterator<Item = (usize, &RowColumn)> {
    let columns = schema.columns().iter().enumerate();
    columns.filter(|(at, _)| !schema.is_in_key(*at))
}

/// Writes some rows of `batch` anew.
fn rewrite(
    schema: &RowSchema,
    batch: &RecordBatch,
    which: impl Iterator<Item = usize>,
    values: &mut Values,
) -> Result<(), RowError> {
    let given: Vec<Given<'_>> = in_value(schema)
        .map(|(at, column)| Given {
            key: &column.source,
            field: &column.field,
            array: batch.column(at).as_ref(),
        })
        .collect();
    let mut encoder = schema.format().value.encoder(&given)?;
    let mut out = Vec::new();
    for row in which {
        let start = out.len();
        let is_there = encoder.encode(row, &mut out).map_err(|(at, message)| {
            let sqlstate = SqlState::INVALID_TEXT_REPRESENTATION;
            match given.get(at) {
                Some(given) => RowError::column(given.field, message, sqlstate).at(row),
                None => RowError::body(message).at(row),
            }
        })?;
        if let Some(span) = values.spans.get_mut(row) {
            *span = Span {
                text: if is_there { 1 } else { usize::MAX },
                start,
                end: out.len(),
            };
        }
    }
    values.texts[1] = out.into();
    Ok(())
}

/// The rows as they are read back. A schema may give them fields that are no columns.
fn reread(schema: &RowSchema, rows: &Rows) -> Result<RecordBatch, RowError> {
    let columns: Vec<Wanted<'_>> = in_value(schema)
        .map(|(_, column)| Wanted::kept(&column.field, &column.source))
        .collect();
    let mut decoder = schema.format().value.decoder(&columns, false)?;
    for row in 0..rows.len() {
        match rows.value(row) {
            Some(value) => decoder
                .decode(value)
                .map_err(|wrong| RowError::new(row, wrong))?,
            None => decoder.null(),
        }
    }
    let mut columns = rows.batch.columns().to_vec();
    for ((at, _), column) in in_value(schema).zip(decoder.finish()?) {
        if let Some(slot) = columns.get_mut(at) {
            *slot = column;
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(
        SchemaRef::clone(schema.schema()),
        columns,
        &options,
    )?)
}
