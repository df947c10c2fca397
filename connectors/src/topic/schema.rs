//! What a topic's rows look like: columns, where they are stored, and which are the key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::BinaryArray;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use sha2::{Digest, Sha256};
use weir_base::SqlState;

use super::format::{Format, KeyFormat, NewSchema, OnError, RecordFormat, deleted_field};
use super::ingest::Rows;
use super::keys::Keys;
use super::row;
use super::writer::internal;
use crate::{Error, Result};

/// A column of a stream or table.
#[derive(Debug, Clone)]
pub struct RowColumn {
    /// Name, type and nullability as queries see them.
    pub field: FieldRef,
    /// The name under which rows are stored: a rename changes the field's name and leaves this.
    pub source: String,
    /// What a new row gets that does not give the column; null without one. Stored with the row.
    pub default: Option<ScalarValue>,
    /// What a stored row shows that does not have the column, because it is older than the column; null without one.
    pub absent: Option<ScalarValue>,
}

impl RowColumn {
    /// A column that is stored under its own name and has no default.
    pub fn new(field: impl Into<FieldRef>) -> Self {
        let field = field.into();
        Self {
            source: field.name().clone(),
            field,
            default: None,
            absent: None,
        }
    }

    /// Gives what a new row gets that does not give the column.
    #[must_use]
    pub fn with_default(mut self, default: ScalarValue) -> Self {
        self.default = Some(default);
        self
    }

    /// Names the field of stored rows that holds the column.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }
}

/// The columns of a stream or table, and which of them are the key. Cheap to share: put it in an [`Arc`].
#[derive(Debug, Clone)]
pub struct RowSchema {
    columns: Vec<RowColumn>,
    key: Vec<usize>,
    schema: SchemaRef,
    /// What readers see: null also where it is not allowed, for rows that cannot be decoded.
    read_schema: SchemaRef,
    /// Every column is stored under its own name, so that a row's text can be stored as it came.
    verbatim: bool,
    format: RecordFormat,
    /// The places of the columns that are in the record's key and not in its value.
    in_key: Vec<usize>,
    decode_errors: DecodeErrors,
    /// Computed when it is first asked for.
    fingerprint: OnceLock<String>,
}

/// Counts the records that readers could not decode, each as often as it is read. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct DecodeErrors(Arc<AtomicU64>);

impl DecodeErrors {
    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, records: u64) {
        self.0.fetch_add(records, Ordering::Relaxed);
    }
}

/// The column of a stream without columns of its own: the record's value.
pub const RAW_COLUMN: &str = "_value";

impl RowSchema {
    /// Puts columns together. `key` lists places in `columns`: of a stream the column that rows are partitioned by, of a
    /// table its primary key, or nothing.
    ///
    /// # Errors
    /// When a column has a type that rows cannot hold, two have one name, a default is not of its column's type, or `key`
    /// names no column.
    pub fn new(columns: Vec<RowColumn>, key: Vec<usize>) -> Result<Self> {
        let mut columns = columns;
        for at in 0..columns.len() {
            let (before, rest) = columns.split_at_mut(at);
            let Some(column) = rest.first_mut() else {
                break;
            };
            check(column, before)?;
        }
        for (at, place) in key.iter().enumerate() {
            let Some(column) = columns.get(*place) else {
                return Err(Error::new(
                    weir_base::Kind::Internal,
                    format!("key column {place} does not exist"),
                ));
            };
            if key[..at].contains(place) || column.field.data_type().is_nested() {
                return Err(Error::invalid(format!(
                    "column {:?} cannot be a key",
                    column.field.name()
                ))
                .with_hint("a key has columns of simple types, each once")
                .with_sqlstate(SqlState::INVALID_TABLE_DEFINITION));
            }
        }
        let fields = columns.iter().map(|column| Arc::clone(&column.field));
        let schema: SchemaRef = Schema::new(fields.collect::<Vec<_>>()).into();
        Ok(Self {
            read_schema: Arc::clone(&schema),
            schema,
            verbatim: columns
                .iter()
                .all(|column| column.source == *column.field.name()),
            columns,
            key,
            format: RecordFormat::default(),
            in_key: Vec::new(),
            decode_errors: DecodeErrors::default(),
            fingerprint: OnceLock::new(),
        })
    }

    /// Counts records that cannot be decoded where others see it.
    #[must_use]
    pub fn counting_errors(self, decode_errors: DecodeErrors) -> Self {
        Self {
            decode_errors,
            ..self
        }
    }

    /// How many records of this schema could not be decoded.
    pub fn decode_errors(&self) -> &DecodeErrors {
        &self.decode_errors
    }

    /// The same columns in records of another form; without it, values are JSON and a wrong one is an error. With a key's format,
    /// the key's columns are in the record's key alone.
    ///
    /// # Errors
    /// When the columns do not go with the format: raw bytes and bare text are one column.
    pub fn with_format(mut self, mut format: RecordFormat) -> Result<Self> {
        if format.value.is_changelog() {
            self = self.of_changes()?;
        }
        if let Format::Debezium(known) = &mut format.value {
            let key = self.key.iter().filter_map(|at| self.columns.get(*at));
            *known = key.map(|column| column.source.clone()).collect();
        }
        let in_key = match format.key {
            Some(_) => self.key.clone(),
            None => Vec::new(),
        };
        let of_key = in_key.iter().filter_map(|at| self.columns.get(*at));
        let of_key: Vec<&RowColumn> = of_key.collect();
        let is_bytes = |column: &RowColumn| column.field.data_type().is_binary();
        let refusal = match (format.key, of_key.as_slice()) {
            (Some(KeyFormat::Text), [_, _, ..]) => {
                Some(("a key of text is one column", "use \"key.format\" = 'json'"))
            }
            (Some(KeyFormat::Raw), [column]) if is_bytes(column) => None,
            (Some(KeyFormat::Raw), _) => Some((
                "a key of raw bytes is one column of BYTEA",
                "use \"key.format\" = 'text' or 'json'",
            )),
            (Some(_), []) => Some((
                "a key's format needs columns",
                "name them: \"key.columns\" = 'a, b'",
            )),
            _ => None,
        };
        if let Some((message, hint)) = refusal {
            return Err(Error::invalid(message)
                .with_hint(hint)
                .with_sqlstate(SqlState::INVALID_TABLE_DEFINITION));
        }
        let fields = self
            .schema
            .fields()
            .iter()
            .map(|field| match format.on_error {
                OnError::Null => Arc::new(field.as_ref().clone().with_nullable(true)),
                _ => Arc::clone(field),
            });
        let read_schema = Schema::new(fields.collect::<Vec<_>>()).into();
        Ok(Self {
            read_schema,
            verbatim: self.verbatim && in_key.is_empty() && format.value == Format::Json,
            in_key,
            format,
            fingerprint: OnceLock::new(),
            ..self
        })
    }

    /// The columns of a changed row: those of the row, which are null when it is gone, and one that says whether it is.
    fn of_changes(self) -> Result<Self> {
        let deleted = RowColumn::new(deleted_field());
        let columns: Vec<RowColumn> = self.columns.into_iter().chain([deleted]).collect();
        let key = self.key;
        let mut changes = Self::new(columns, key)?.counting_errors(self.decode_errors);
        let fields = changes.schema.fields().iter();
        let fields = fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        // Of what is read: a row that is there has what its columns require.
        changes.schema = Schema::new(fields.collect::<Vec<_>>()).into();
        changes.read_schema = Arc::clone(&changes.schema);
        Ok(changes)
    }

    /// Rows that are the records' values as they are: one column, [`RAW_COLUMN`], of bytes.
    ///
    /// # Errors
    /// None that a caller could mend.
    pub fn raw() -> Result<Self> {
        let value = Field::new(RAW_COLUMN, DataType::Binary, true);
        let format = RecordFormat {
            value: Format::Raw,
            on_error: OnError::Null,
            key: None,
        };
        Self::new(vec![RowColumn::new(value)], vec![])?.with_format(format)
    }

    /// Whether the one column is the record's value itself.
    pub fn is_raw(&self) -> bool {
        self.format.value == Format::Raw
    }

    /// How records are encoded.
    pub fn format(&self) -> &RecordFormat {
        &self.format
    }

    /// What is to be registered so that rows can be written; none when no schema is needed, or one is there. `name` is the
    /// stream's.
    ///
    /// # Errors
    /// When a column has no place in the schema of values, or no form in any.
    pub fn schema_to_register(&self, name: &str) -> Result<Option<NewSchema>> {
        let Some((kind, of)) = self.format.value.schema() else {
            return Ok(None);
        };
        let columns = self.columns.iter().enumerate();
        let columns: Vec<(&str, &FieldRef)> = columns
            .filter(|(at, _)| !self.is_in_key(*at))
            .map(|(_, column)| (column.source.as_str(), &column.field))
            .collect();
        of.to_register(kind, name, &columns)
    }

    /// Whether each record is exactly one row, so that offsets count rows.
    pub fn is_row_per_record(&self) -> bool {
        self.format.value.is_row_per_value() && !self.format.on_error.drops_rows()
    }

    /// Whether the column at this place is in the record's key and not in its value.
    pub(crate) fn is_in_key(&self, at: usize) -> bool {
        self.in_key.contains(&at)
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[RowColumn] {
        &self.columns
    }

    /// The places of the key's columns.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// The `_key` of each of some rows.
    ///
    /// # Errors
    /// When a row has none.
    pub fn keys_of(&self, rows: &Rows) -> Result<BinaryArray> {
        let mut keys = Keys::new(self, rows.batch()).map_err(internal)?;
        let mut all = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            let key = keys.key(row).map_err(internal)?;
            let key = key.ok_or_else(|| {
                Error::new(weir_base::Kind::Internal, "a row of a table has no key")
            })?;
            all.push(key.to_vec());
        }
        Ok(BinaryArray::from_iter_values(all))
    }

    /// The Arrow schema of the columns as they are written, without hidden ones.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The Arrow schema of the columns as they are read: where a record that cannot be decoded is a row of nulls, each column may
    /// be null.
    pub fn read_schema(&self) -> &SchemaRef {
        &self.read_schema
    }

    /// The Arrow schema of the columns as they are read, with the hidden ones after them: [`hidden_fields`].
    pub fn schema_with_hidden(&self) -> SchemaRef {
        let fields = self.read_schema.fields().iter().cloned();
        Schema::new(fields.chain(hidden_fields()).collect::<Vec<_>>()).into()
    }

    /// A name for how records are read as rows: two schemas have the same one exactly when every record is the same row for
    /// both.
    pub(crate) fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let columns = self.columns.iter().map(|column| {
                let RowColumn {
                    field,
                    source,
                    absent,
                    default: _,
                } = column;
                format!("{field:?} {source:?} {absent:?}")
            });
            let columns = columns.collect::<Vec<_>>().join(", ");
            let text = format!("{:?} {:?} {columns}", self.format, self.in_key);
            let hash = Sha256::digest(text);
            let bytes = hash.iter().take(8);
            bytes.map(|byte| format!("{byte:02x}")).collect()
        })
    }

    pub(crate) fn is_verbatim(&self) -> bool {
        self.verbatim
    }
}

fn check(column: &mut RowColumn, before: &[RowColumn]) -> Result<()> {
    let name = column.field.name();
    if let Some(unsupported) = row::unsupported(column.field.data_type()) {
        return Err(
            Error::unsupported(format!("column {name:?}: rows cannot hold {unsupported}"))
                .with_hint("cast it to another type"),
        );
    }
    if before.iter().any(|other| other.field.name() == name) || Hidden::named(name).is_some() {
        return Err(
            Error::invalid(format!("column name {name:?} is used twice"))
                .with_sqlstate(SqlState::DUPLICATE_COLUMN),
        );
    }
    if before.iter().any(|other| other.source == column.source) {
        return Err(Error::new(
            weir_base::Kind::Internal,
            format!("two columns are stored as {:?}", column.source),
        ));
    }
    for value in [&mut column.default, &mut column.absent]
        .into_iter()
        .flatten()
    {
        *value = value.cast_to(column.field.data_type()).map_err(|error| {
            Error::invalid(format!("the default of column {name:?} is not of its type"))
                .with_sqlstate(SqlState::DATATYPE_MISMATCH)
                .with_source(error)
        })?;
    }
    Ok(())
}

/// A column that every topic has and `SELECT *` does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// The partition's number.
    Partition,
    /// The record's number within its partition.
    Offset,
    /// When the record was written, or what its producer said.
    Timestamp,
    /// The record's key.
    Key,
    /// The record's headers.
    Headers,
    /// Why the record cannot be decoded.
    Error,
}

impl Hidden {
    /// All of them, in the order of their columns.
    pub const ALL: [Self; 6] = [
        Self::Partition,
        Self::Offset,
        Self::Timestamp,
        Self::Key,
        Self::Headers,
        Self::Error,
    ];

    /// The column's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "_partition",
            Self::Offset => "_offset",
            Self::Timestamp => "_timestamp",
            Self::Key => "_key",
            Self::Headers => "_headers",
            Self::Error => "_error",
        }
    }

    /// The hidden column of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hidden| hidden.name() == name)
    }

    /// The column's name and type.
    pub fn field(self) -> Field {
        let (data_type, nullable) = match self {
            Self::Partition => (DataType::Int32, false),
            Self::Offset => (DataType::Int64, false),
            Self::Timestamp => (
                DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                false,
            ),
            Self::Key => (DataType::Binary, true),
            Self::Headers => (DataType::List(Arc::new(header_field())), false),
            Self::Error => (DataType::Utf8, true),
        };
        Field::new(self.name(), data_type, nullable)
    }
}

/// The item of `_headers`: a record's headers are a list, for one name may come more than once.
pub(crate) fn header_field() -> Field {
    let fields = vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Binary, true),
    ];
    Field::new("item", DataType::Struct(fields.into()), false)
}

/// The fields of the hidden columns: `_partition` INT, `_offset` BIGINT, `_timestamp` TIMESTAMPTZ in milliseconds, `_key`
/// BYTEA, `_headers` a list of `{key TEXT, value BYTEA}`, `_error` TEXT, which is null unless the record cannot be decoded.
pub fn hidden_fields() -> Vec<FieldRef> {
    Hidden::ALL
        .into_iter()
        .map(|hidden| Arc::new(hidden.field()))
        .collect()
}

#[cfg(test)]
mod tests {
    use weir_base::Classify;

    use super::*;

    fn int(name: &str) -> RowColumn {
        RowColumn::new(Field::new(name, DataType::Int32, true))
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (columns, key, sqlstate) in [
            (vec![int("a"), int("a")], vec![], SqlState::DUPLICATE_COLUMN),
            (vec![int("_offset")], vec![], SqlState::DUPLICATE_COLUMN),
            (
                vec![int("a")],
                vec![0, 0],
                SqlState::INVALID_TABLE_DEFINITION,
            ),
            (vec![int("a")], vec![1], SqlState::INTERNAL_ERROR),
            (
                vec![int("a").with_default(ScalarValue::from("x"))],
                vec![],
                SqlState::DATATYPE_MISMATCH,
            ),
            (
                vec![RowColumn::new(Field::new_dictionary(
                    "d",
                    DataType::Int32,
                    DataType::Utf8,
                    true,
                ))],
                vec![],
                SqlState::FEATURE_NOT_SUPPORTED,
            ),
        ] {
            let error = RowSchema::new(columns, key).unwrap_err();
            assert_eq!(error.sqlstate(), sqlstate, "{error}");
        }
    }

    #[test]
    fn defaults_take_their_columns_type() {
        let schema = RowSchema::new(
            vec![int("a").with_default(ScalarValue::Int64(Some(7)))],
            vec![0],
        )
        .unwrap();
        assert_eq!(
            schema.columns()[0].default,
            Some(ScalarValue::Int32(Some(7)))
        );
    }
}
