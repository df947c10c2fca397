//! Single values of PostgreSQL's types, and arrays of them: what system tables are filled with, and what their functions take and give.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Decimal128Builder, Float32Builder, Float64Builder,
    GenericListBuilder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder,
    ListBuilder, StringViewBuilder, TimestampMicrosecondBuilder, UInt32Builder, new_null_array,
};
use arrow::datatypes::{
    DataType, Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, UInt32Type,
};
use datafusion::common::{Result, internal_err};

use super::types::Storage;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Of `int2`, `int4` and `int8`.
    Int(i64),
    /// Of `float4` and `float8`.
    Float(f64),
    /// Of `oid` and what is numbered by it.
    Oid(u32),
    Text(Cow<'static, str>),
    /// Microseconds since the Unix epoch.
    Time(i64),
    Interval(IntervalMonthDayNano),
    /// Of arrays of integers.
    Ints(Vec<i64>),
    Oids(Vec<u32>),
    /// Of arrays of text; an element may be null.
    Texts(Vec<Option<Cow<'static, str>>>),
}

impl Value {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, of whatever type.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Oid(number) => Some(i64::from(*number)),
            _ => None,
        }
    }

    /// The number of a thing, of whatever type.
    pub(crate) fn oid(&self) -> Option<u32> {
        match self {
            Self::Oid(number) => Some(*number),
            Self::Int(number) => u32::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The truth, if it is one.
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Texts as an array of them.
    pub(crate) fn texts<T: Into<Cow<'static, str>>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(texts.into_iter().map(|text| Some(text.into())).collect())
    }
}

/// The array of `values`, all of one type.
///
/// # Errors
/// When a value is of another type, which is a defect.
pub(crate) fn array(storage: Storage, values: &[Value]) -> Result<ArrayRef> {
    /// Appends each value by the builder that fits.
    macro_rules! build {
        ($builder:expr, $($pattern:pat => $value:expr),+) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    $($pattern => builder.append_value($value),)+
                    other => return internal_err!("{other:?} is no value of {storage:?}"),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    macro_rules! build_list {
        ($items:expr, $pattern:pat => $values:expr) => {{
            let mut builder: GenericListBuilder<i32, _> = ListBuilder::new($items);
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    $pattern => {
                        builder.values().extend($values);
                        builder.append(true);
                    }
                    other => return internal_err!("{other:?} is no value of {storage:?}"),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    let length = values.len();
    Ok(match storage {
        Storage::Bool => build!(BooleanBuilder::new(), Value::Bool(value) => *value),
        Storage::Int2 => build!(
            Int16Builder::new(),
            Value::Int(value) => i16::try_from(*value).unwrap_or(i16::MAX)
        ),
        Storage::Int4 => build!(
            Int32Builder::new(),
            Value::Int(value) => i32::try_from(*value).unwrap_or(i32::MAX)
        ),
        Storage::Int8 => build!(
            Int64Builder::new(),
            Value::Int(value) => *value,
            Value::Oid(value) => i64::from(*value)
        ),
        #[allow(clippy::cast_possible_truncation)]
        Storage::Float4 => build!(
            Float32Builder::new(),
            Value::Float(value) => *value as f32
        ),
        Storage::Float8 => build!(Float64Builder::new(), Value::Float(value) => *value),
        Storage::Numeric => build!(
            Decimal128Builder::new().with_data_type(DataType::Decimal128(38, 10)),
            Value::Int(value) => i128::from(*value) * 10_000_000_000
        ),
        Storage::Oid => build!(
            UInt32Builder::new(),
            Value::Oid(value) => *value,
            Value::Int(value) => u32::try_from(*value).unwrap_or(u32::MAX)
        ),
        Storage::Text => build!(StringViewBuilder::new(), Value::Text(value) => value),
        Storage::TimestampTz => build!(
            TimestampMicrosecondBuilder::new().with_timezone(crate::planning::UTC),
            Value::Time(value) => *value
        ),
        Storage::Timestamp => build!(
            TimestampMicrosecondBuilder::new(),
            Value::Time(value) => *value
        ),
        Storage::Interval => build!(
            IntervalMonthDayNanoBuilder::new(),
            Value::Interval(value) => *value
        ),
        #[allow(clippy::cast_possible_truncation)]
        Storage::Int2List => build_list!(
            Int16Builder::new(),
            Value::Ints(values) => values.iter().map(|value| Some(*value as i16))
        ),
        #[allow(clippy::cast_possible_truncation)]
        Storage::Int4List => build_list!(
            Int32Builder::new(),
            Value::Ints(values) => values.iter().map(|value| Some(*value as i32))
        ),
        Storage::Int8List => build_list!(
            Int64Builder::new(),
            Value::Ints(values) => values.iter().map(|value| Some(*value))
        ),
        Storage::OidList => build_list!(
            UInt32Builder::new(),
            Value::Oids(values) => values.iter().map(|value| Some(*value))
        ),
        Storage::TextList => build_list!(
            StringViewBuilder::new(),
            Value::Texts(values) => values.iter().map(Option::as_deref)
        ),
        // No system table has values of these.
        Storage::Bytes
        | Storage::Date
        | Storage::Time
        | Storage::Float4List
        | Storage::Float8List
        | Storage::BoolList => {
            if let Some(other) = values.iter().find(|value| **value != Value::Null) {
                return internal_err!("{other:?} is no value of {storage:?}");
            }
            new_null_array(&storage.arrow(), length)
        }
    })
}

/// The value in a row of an array of one of the types that functions take.
pub(crate) fn value_at(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let ints = |list: ArrayRef| -> Result<Vec<i64>> {
        let list = arrow::compute::cast(&list, &DataType::Int64)?;
        let values = list.as_primitive::<Int64Type>().iter();
        Ok(values.map(Option::unwrap_or_default).collect())
    };
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int16 => Value::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => Value::Oid(array.as_primitive::<UInt32Type>().value(row)),
        DataType::Utf8View => Value::Text(Cow::Owned(array.as_string_view().value(row).to_owned())),
        DataType::List(item) => {
            let list = array.as_list::<i32>().value(row);
            match item.data_type() {
                DataType::Int16 | DataType::Int32 | DataType::Int64 => Value::Ints(ints(list)?),
                DataType::UInt32 => {
                    let values = list.as_primitive::<UInt32Type>().iter();
                    Value::Oids(values.map(Option::unwrap_or_default).collect())
                }
                _ => {
                    let list = arrow::compute::cast(&list, &DataType::Utf8View)?;
                    let texts = list.as_string_view().iter();
                    Value::Texts(
                        texts
                            .map(|text| text.map(|text| Cow::Owned(text.to_owned())))
                            .collect(),
                    )
                }
            }
        }
        other => return internal_err!("a function was given {other}"),
    })
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(Cow::Owned(text.clone()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

/// A letter, of type `"char"`.
impl From<char> for Value {
    fn from(letter: char) -> Self {
        Self::Text(Cow::Owned(letter.to_string()))
    }
}

impl From<i16> for Value {
    fn from(number: i16) -> Self {
        Self::Int(number.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// Counters beyond what `BIGINT` holds show its largest value.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Oid(number)
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
