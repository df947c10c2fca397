//! Rows of a copy, gathered into batches of the target's columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use weir_engine::ScalarValue;

use crate::postgres::value::{Format, PgType, from_text, parameter};
use crate::postgres::wire::Report;

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Gathers rows.
pub(super) struct Builder {
    schema: SchemaRef,
    target: String,
    columns: Vec<Column>,
    rows: usize,
    /// The line of each row of the batch that is being made.
    lines: Vec<u64>,
    batches: Vec<RecordBatch>,
    bytes: u64,
    bytes_max: u64,
    /// The session's time zone, in which moments are read that say none.
    zone: Arc<str>,
}

/// The values of one column.
enum Column {
    /// Texts that Arrow reads, all of a batch at once.
    Cast(StringBuilder),
    /// Values that are read one by one.
    Values(Vec<ScalarValue>),
}

impl Column {
    fn new(data_type: &DataType, pg_type: PgType) -> Self {
        let is_cast = matches!(
            pg_type,
            PgType::Bool
                | PgType::Int2
                | PgType::Int4
                | PgType::Int8
                | PgType::Float4
                | PgType::Float8
                | PgType::Numeric
                | PgType::Text
                | PgType::Json
                | PgType::Date
                | PgType::Time
                | PgType::Timestamp
                | PgType::Timestamptz
        ) && !data_type.is_nested();
        match is_cast {
            true => Self::Cast(StringBuilder::new()),
            false => Self::Values(Vec::new()),
        }
    }
}

impl Builder {
    pub(super) fn new(schema: SchemaRef, target: String, bytes_max: u64, zone: Arc<str>) -> Self {
        let fields = schema.fields().iter();
        let columns = fields.map(|field| Column::new(field.data_type(), PgType::of_field(field)));
        Self {
            columns: columns.collect(),
            schema,
            target,
            rows: 0,
            lines: Vec::new(),
            batches: Vec::new(),
            bytes: 0,
            bytes_max,
            zone,
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// An error at a line, and in a column where it is known.
    pub(super) fn wrong(
        &self,
        sqlstate: &'static str,
        message: impl Into<String>,
        line: u64,
        column: Option<usize>,
        shown: Option<&str>,
    ) -> Report {
        let mut report = Report::error(sqlstate, message);
        let mut context = format!("COPY {}, line {line}", self.target);
        if let Some(column) = column.and_then(|column| self.schema.fields().get(column)) {
            context.push_str(&format!(", column {}", column.name()));
            report.column = Some(column.name().clone());
            if let Some(shown) = shown {
                let shown: String = shown.chars().take(100).collect();
                context.push_str(&format!(": {shown:?}"));
            }
        }
        report.context = Some(context);
        report
    }

    /// A row of texts.
    pub(super) fn texts(&mut self, line: u64, values: &[Option<String>]) -> Result<(), Report> {
        self.check_width(line, values.len())?;
        for (at, value) in values.iter().enumerate() {
            self.count(line, value.as_ref().map_or(0, String::len))?;
            let pg_type = self.pg_type(at);
            let value = match self.columns.get_mut(at) {
                Some(Column::Cast(texts)) => {
                    texts.append_option(value.as_deref());
                    continue;
                }
                Some(Column::Values(_)) => match value {
                    None => ScalarValue::Null,
                    Some(text) => from_text(pg_type, text).map_err(|error| {
                        let message = error.to_string();
                        self.wrong(error.sqlstate(), message, line, Some(at), Some(text))
                    })?,
                },
                None => continue,
            };
            self.put(at, value, line)?;
        }
        self.end_row(line)
    }

    /// A row of values in binary.
    pub(super) fn binaries(&mut self, line: u64, values: &[Option<&[u8]>]) -> Result<(), Report> {
        self.check_width(line, values.len())?;
        for (at, value) in values.iter().enumerate() {
            self.count(line, value.map_or(0, <[u8]>::len))?;
            let pg_type = self.pg_type(at);
            let read = parameter(Some(pg_type), Format::Binary, *value).map_err(|error| {
                let message = error.to_string();
                self.wrong(error.sqlstate(), message, line, Some(at), None)
            })?;
            if let Some(column @ Column::Cast(_)) = self.columns.get_mut(at) {
                *column = Column::Values(Vec::new());
            }
            self.put(at, read, line)?;
        }
        self.end_row(line)
    }

    fn pg_type(&self, at: usize) -> PgType {
        let field = self.schema.fields().get(at);
        field.map_or(PgType::Text, |field| PgType::of_field(field))
    }

    /// Puts a value that was read into its column, as a value of the column's type.
    fn put(&mut self, at: usize, value: ScalarValue, line: u64) -> Result<(), Report> {
        let Some(field) = self.schema.fields().get(at) else {
            return Ok(());
        };
        let wanted = field.data_type();
        let value = match value.data_type() == *wanted {
            true => value,
            false => value.cast_to(wanted).map_err(|_| {
                let message = format!(
                    "value out of range for type {}",
                    PgType::of_field(field).name()
                );
                self.wrong("22003", message, line, Some(at), None)
            })?,
        };
        if let Some(Column::Values(values)) = self.columns.get_mut(at) {
            values.push(value);
        }
        Ok(())
    }

    fn check_width(&self, line: u64, found: usize) -> Result<(), Report> {
        let wanted = self.columns.len();
        if found > wanted {
            return Err(self.wrong(
                "22P04",
                "extra data after last expected column",
                line,
                None,
                None,
            ));
        }
        if found < wanted {
            let missing = self.schema.fields().get(found);
            let name = missing.map_or("", |field| field.name().as_str());
            let message = format!("missing data for column {name:?}");
            return Err(self.wrong("22P04", message, line, None, None));
        }
        Ok(())
    }

    fn count(&mut self, line: u64, bytes: usize) -> Result<(), Report> {
        // What Arrow adds to each value is about as much as a short one.
        self.bytes += bytes as u64 + 8;
        if self.bytes <= self.bytes_max {
            return Ok(());
        }
        let message = format!("the copy has more than {} bytes", self.bytes_max);
        Err(self.wrong("53400", message, line, None, None).with_hint(
            "copy the rows in parts, or let the operator raise postgres_door.copy_bytes",
        ))
    }

    fn end_row(&mut self, line: u64) -> Result<(), Report> {
        self.rows += 1;
        self.lines.push(line);
        match self.rows >= BATCH_ROWS {
            true => self.end_batch(),
            false => Ok(()),
        }
    }

    fn end_batch(&mut self) -> Result<(), Report> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut arrays = Vec::with_capacity(self.columns.len());
        for at in 0..self.columns.len() {
            arrays.push(self.array(at)?);
        }
        let fields = self
            .schema
            .fields()
            .iter()
            .zip(&arrays)
            .map(|(field, array)| {
                // Whether nulls may come is the statement's to say, by their row.
                let field = field.as_ref().clone().with_nullable(true);
                field.with_data_type(array.data_type().clone())
            });
        let schema = arrow::datatypes::Schema::new(fields.collect::<Vec<_>>());
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(schema.into(), arrays, &options)
            .map_err(|error| Report::from(crate::encode::EncodeError::from(error)))?;
        self.batches.push(batch);
        self.rows = 0;
        self.lines.clear();
        Ok(())
    }

    /// The values of a column as an array of its type.
    fn array(&mut self, at: usize) -> Result<ArrayRef, Report> {
        let rows = self.rows;
        let (Some(column), Some(field)) = (self.columns.get_mut(at), self.schema.fields().get(at))
        else {
            return Ok(new_null_array(&DataType::Null, rows));
        };
        let wanted = field.data_type().clone();
        match column {
            Column::Values(values) => {
                let values = std::mem::take(values);
                let typed = values.iter().find(|value| !value.is_null());
                let data_type = typed.map_or(wanted, ScalarValue::data_type);
                let values = values.into_iter().map(|value| match value.is_null() {
                    true => ScalarValue::try_from(&data_type).unwrap_or(ScalarValue::Null),
                    false => value,
                });
                ScalarValue::iter_to_array(values).map_err(|error| {
                    let line = self.lines.first().copied().unwrap_or_default();
                    self.wrong("22000", error.to_string(), line, Some(at), None)
                })
            }
            Column::Cast(texts) => {
                let texts = texts.finish();
                let trimmed: ArrayRef = match PgType::of(&wanted) {
                    PgType::Text | PgType::Json => Arc::new(texts.clone()),
                    // Space around a value counts for text only.
                    _ => Arc::new(
                        texts
                            .iter()
                            .map(|text| text.map(str::trim))
                            .collect::<StringArray>(),
                    ),
                };
                let options = CastOptions {
                    safe: true,
                    ..CastOptions::default()
                };
                let as_read = match &wanted {
                    DataType::Timestamp(unit, Some(_)) => {
                        DataType::Timestamp(*unit, Some(Arc::clone(&self.zone)))
                    }
                    other => other.clone(),
                };
                let array = cast_with_options(&trimmed, &as_read, &options)
                    .and_then(|array| cast_with_options(&array, &wanted, &options))
                    .map_err(|error| Report::from(crate::encode::EncodeError::from(error)))?;
                let wrong = (0..rows).find(|row| array.is_null(*row) && texts.is_valid(*row));
                match wrong {
                    None => Ok(array),
                    Some(row) => {
                        let line = self.lines.get(row).copied().unwrap_or_default();
                        let shown = texts.value(row);
                        let name = self.pg_type(at).name();
                        let message = format!("invalid input syntax for type {name}: {shown:?}");
                        Err(self.wrong("22P02", message, line, Some(at), Some(shown)))
                    }
                }
            }
        }
    }

    /// All rows.
    pub(super) fn finish(mut self) -> Result<Vec<RecordBatch>, Report> {
        self.end_batch()?;
        Ok(self.batches)
    }
}
