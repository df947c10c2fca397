//! Rows that are written by column name, and become one record batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, StringViewArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, internal_datafusion_err, internal_err};

use super::System;

/// The zone of timestamps, as SQL's `TIMESTAMP WITH TIME ZONE` has it here.
const UTC: &str = "+00:00";

/// A system table.
pub(crate) struct Definition {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Type)],
    pub(super) fill: fn(&System, &mut Rows) -> Result<()>,
}

/// The type of a column. All are nullable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    BigInt,
    Bool,
    Time,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    Int(i32),
    BigInt(i64),
    Bool(bool),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

/// Rows of known columns.
pub(super) struct Rows {
    columns: &'static [(&'static str, Type)],
    values: Vec<Vec<Value>>,
    count: usize,
}

impl Definition {
    pub(crate) fn schema(&self) -> SchemaRef {
        schema(self.columns)
    }

    /// All rows, as of now.
    pub(super) fn batch(&self, system: &System) -> Result<RecordBatch> {
        let mut rows = Rows::new(self.columns);
        (self.fill)(system, &mut rows)?;
        rows.finish()
    }
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Rows {
    pub(super) fn new(columns: &'static [(&'static str, Type)]) -> Self {
        Self {
            columns,
            values: vec![Vec::new(); columns.len()],
            count: 0,
        }
    }

    /// Adds a row; columns that are not given are null.
    pub(super) fn push<const N: usize>(&mut self, row: [(&str, Value); N]) -> Result<()> {
        for (name, value) in row {
            let at = self.columns.iter().position(|(column, _)| *column == name);
            let values = at.and_then(|at| self.values.get_mut(at));
            let values =
                values.ok_or_else(|| internal_datafusion_err!("no system column {name}"))?;
            if values.len() != self.count {
                return internal_err!("system column {name} is given twice");
            }
            values.push(value);
        }
        self.count += 1;
        for values in &mut self.values {
            values.resize(self.count, Value::Null);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<RecordBatch> {
        let arrays = self
            .columns
            .iter()
            .zip(self.values)
            .map(|((name, data_type), values)| array(name, *data_type, values))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        Ok(RecordBatch::try_new_with_options(
            schema(self.columns),
            arrays,
            &options,
        )?)
    }
}

fn schema(columns: &[(&str, Type)]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.arrow(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn array(name: &str, data_type: Type, values: Vec<Value>) -> Result<ArrayRef> {
    fn collect<T, A>(name: &str, values: Vec<Value>, of: fn(Value) -> Option<T>) -> Result<A>
    where
        A: FromIterator<Option<T>>,
    {
        values
            .into_iter()
            .map(|value| match value {
                Value::Null => Ok(None),
                value => match of(value) {
                    Some(value) => Ok(Some(value)),
                    None => internal_err!("system column {name} has a value of another type"),
                },
            })
            .collect()
    }
    Ok(match data_type {
        Type::Text => Arc::new(collect::<_, StringViewArray>(
            name,
            values,
            |value| match value {
                Value::Text(value) => Some(value),
                _ => None,
            },
        )?),
        Type::Int => Arc::new(collect::<_, Int32Array>(
            name,
            values,
            |value| match value {
                Value::Int(value) => Some(value),
                _ => None,
            },
        )?),
        Type::BigInt => Arc::new(collect::<_, Int64Array>(
            name,
            values,
            |value| match value {
                Value::BigInt(value) => Some(value),
                _ => None,
            },
        )?),
        Type::Bool => Arc::new(collect::<_, BooleanArray>(
            name,
            values,
            |value| match value {
                Value::Bool(value) => Some(value),
                _ => None,
            },
        )?),
        Type::Time => Arc::new(
            collect::<_, TimestampMillisecondArray>(name, values, |value| match value {
                Value::Time(value) => Some(value),
                _ => None,
            })?
            .with_timezone(UTC),
        ),
    })
}

impl Type {
    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8View,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Bool => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
        }
    }
}

/// `YES` or `NO`, as the SQL standard writes truth in its information schema.
pub(super) fn yes_or_no(yes: bool) -> Value {
    Value::from(if yes { "YES" } else { "NO" })
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::BigInt(number)
    }
}

/// Counters beyond what `BIGINT` holds show its largest value.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::BigInt(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A count of things in memory, as an `INTEGER`.
pub(super) fn int(count: usize) -> Value {
    Value::Int(i32::try_from(count).unwrap_or(i32::MAX))
}
