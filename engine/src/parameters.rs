//! Values of `$1`, `$2`, … as a door receives them in JSON.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;
use serde_json::Value;
use weir_base::SqlState;

use crate::error::{Error, Result};

/// A parameter's value from JSON: null, a boolean, a number, a string, an array of one of these, or
/// `{"type": "date", "value": "2024-01-01"}` where the type must be said.
///
/// # Errors
/// 22023 when the value has no SQL counterpart, 22P02 when it does not parse as the type it names.
pub fn parameter_from_json(value: &Value) -> Result<ScalarValue> {
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(value) => Ok(ScalarValue::Boolean(Some(*value))),
        Value::Number(number) => Ok(from_number(number)),
        Value::String(text) => Ok(ScalarValue::Utf8View(Some(text.clone()))),
        Value::Array(values) => from_array(values),
        Value::Object(fields) => {
            let (Some(Value::String(name)), Some(value), 2) =
                (fields.get("type"), fields.get("value"), fields.len())
            else {
                return Err(invalid(
                    "a parameter that is an object must be {\"type\": …, \"value\": …}",
                ));
            };
            let data_type = type_of_name(name).ok_or_else(|| {
                invalid(format!("parameter type {name:?} is not known")).with_hint(
                    "known types: boolean, smallint, integer, bigint, real, double, numeric, text, date, time, timestamp, \
                     timestamptz, bytea, uuid, json",
                )
            })?;
            cast(parameter_from_json(value)?, &data_type, name)
        }
    }
}

fn from_number(number: &serde_json::Number) -> ScalarValue {
    if let Some(value) = number.as_i64() {
        ScalarValue::Int64(Some(value))
    } else if let Some(value) = number.as_u64() {
        ScalarValue::UInt64(Some(value))
    } else {
        ScalarValue::Float64(number.as_f64())
    }
}

fn from_array(values: &[Value]) -> Result<ScalarValue> {
    let values = values
        .iter()
        .map(parameter_from_json)
        .collect::<Result<Vec<_>>>()?;
    let data_type = values
        .iter()
        .map(ScalarValue::data_type)
        .find(|data_type| *data_type != DataType::Null)
        .unwrap_or(DataType::Utf8View);
    let values = values
        .into_iter()
        .map(|value| match value {
            ScalarValue::Null => {
                ScalarValue::try_from(&data_type).map_err(|error| invalid(error.to_string()))
            }
            value if value.data_type() == data_type => Ok(value),
            _ => Err(invalid(
                "the elements of an array parameter must have one type",
            )),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(
        &values, &data_type,
    )))
}

fn type_of_name(name: &str) -> Option<DataType> {
    use arrow::datatypes::TimeUnit::Nanosecond;
    Some(match name.to_lowercase().as_str() {
        "boolean" | "bool" => DataType::Boolean,
        "smallint" | "int2" => DataType::Int16,
        "integer" | "int" | "int4" => DataType::Int32,
        "bigint" | "int8" => DataType::Int64,
        "real" | "float4" => DataType::Float32,
        "double" | "double precision" | "float8" => DataType::Float64,
        "numeric" | "decimal" => DataType::Decimal128(38, 10),
        "text" | "varchar" | "uuid" | "json" => DataType::Utf8View,
        "date" => DataType::Date32,
        "time" => DataType::Time64(Nanosecond),
        "timestamp" => DataType::Timestamp(Nanosecond, None),
        "timestamptz" => DataType::Timestamp(Nanosecond, Some(Arc::from("+00:00"))),
        "bytea" => DataType::Binary,
        other => return decimal_of_name(other),
    })
}

/// `numeric(p, s)` or `decimal(p, s)`.
fn decimal_of_name(name: &str) -> Option<DataType> {
    let inner = name
        .strip_prefix("numeric")
        .or_else(|| name.strip_prefix("decimal"))?;
    let inner = inner.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: i8 = scale.trim().parse().ok()?;
    let is_valid = (1..=38).contains(&precision)
        && (0..=38).contains(&scale)
        && scale.unsigned_abs() <= precision;
    is_valid.then_some(DataType::Decimal128(precision, scale))
}

fn cast(value: ScalarValue, data_type: &DataType, name: &str) -> Result<ScalarValue> {
    let shown = value.to_string();
    value.cast_to(data_type).map_err(|_| {
        Error::invalid(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("parameter {shown:?} is not a valid {name}"),
        )
    })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_values_become_sql_values() {
        let shown = |value: Value| parameter_from_json(&value).map(|value| format!("{value:?}"));
        assert_eq!(
            shown(json!(9_007_199_254_740_993_i64)).unwrap(),
            "Int64(9007199254740993)"
        );
        assert_eq!(
            shown(json!(u64::MAX)).unwrap(),
            format!("UInt64({})", u64::MAX)
        );
        assert_eq!(shown(json!(null)).unwrap(), "NULL");
        assert_eq!(
            shown(json!({"type": "date", "value": "2024-02-29"})).unwrap(),
            "Date32(\"2024-02-29\")"
        );
        assert!(shown(json!([1, null, 3])).is_ok());
    }

    #[test]
    fn what_has_no_sql_counterpart_is_refused() {
        for bad in [
            json!({"a": 1}),
            json!([1, "x"]),
            json!({"type": "date", "value": "31.12.2024"}),
            json!({"type": "colour", "value": "red"}),
        ] {
            assert!(parameter_from_json(&bad).is_err(), "{bad} was accepted");
        }
    }
}
