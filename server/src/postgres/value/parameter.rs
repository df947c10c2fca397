//! Values of parameters, and of rows that are copied in, as clients send them.

use arrow::array::types::IntervalMonthDayNanoType;
use arrow::datatypes::{DataType, TimeUnit};
use weir_engine::ScalarValue;

use super::moment::{EPOCH_MICROS, days_sent};
use super::number::decimal_of_binary;
use super::pg_type::Item;
use super::text_input;
use super::{Format, PgType};

/// Why a value is none of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParameterError {
    /// A text that does not read as one.
    #[error("invalid input syntax for type {data_type}: {shown:?}")]
    Text {
        /// The type.
        data_type: String,
        /// The text, cut.
        shown: String,
    },
    /// Bytes of the wrong form or length.
    #[error("incorrect binary data format for type {0}")]
    Binary(String),
    /// Text in another encoding.
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    Encoding,
    /// A number that is larger than its type.
    #[error("value {shown:?} is out of range for type {data_type}")]
    Range {
        /// The type.
        data_type: String,
        /// The text, cut.
        shown: String,
    },
}

impl ParameterError {
    /// The SQLSTATE that PostgreSQL has for it.
    pub(crate) fn sqlstate(&self) -> &'static str {
        match self {
            Self::Text { .. } => "22P02",
            Self::Binary(_) => "22P03",
            Self::Encoding => "22021",
            Self::Range { .. } => "22003",
        }
    }
}

/// The value of a parameter. `data_type` is what it is sent as; none where the client left it open and its place says nothing,
/// which is text that the query reads as it needs.
///
/// # Errors
/// When it is no value of that type.
pub(crate) fn parameter(
    data_type: Option<PgType>,
    format: Format,
    bytes: Option<&[u8]>,
) -> Result<ScalarValue, ParameterError> {
    match (bytes, format) {
        (None, _) => null(data_type),
        (Some(bytes), Format::Binary) => from_binary(data_type.unwrap_or(PgType::Text), bytes),
        (Some(bytes), Format::Text) => {
            let text = std::str::from_utf8(bytes).map_err(|_| ParameterError::Encoding)?;
            from_text(data_type.unwrap_or(PgType::Text), text)
        }
    }
}

fn null(data_type: Option<PgType>) -> Result<ScalarValue, ParameterError> {
    let planned = data_type.and_then(PgType::planned);
    Ok(planned
        .and_then(|planned| ScalarValue::try_from(&planned).ok())
        .unwrap_or(ScalarValue::Null))
}

/// A value from its text.
///
/// # Errors
/// When it is no value of that type.
pub(crate) fn from_text(data_type: PgType, text: &str) -> Result<ScalarValue, ParameterError> {
    let wrong = || ParameterError::Text {
        data_type: data_type.name(),
        shown: text.chars().take(200).collect(),
    };
    macro_rules! integer {
        ($variant:ident) => {
            match text.trim().parse() {
                Ok(value) => ScalarValue::$variant(Some(value)),
                Err(error) => {
                    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                    return Err(match error.kind() {
                        PosOverflow | NegOverflow => ParameterError::Range {
                            data_type: data_type.name(),
                            shown: text.chars().take(200).collect(),
                        },
                        _ => wrong(),
                    });
                }
            }
        };
    }
    Ok(match data_type {
        PgType::Bool => ScalarValue::Boolean(Some(text_input::boolean(text).ok_or_else(wrong)?)),
        PgType::Int2 => integer!(Int16),
        PgType::Int4 => integer!(Int32),
        PgType::Int8 | PgType::Oid => integer!(Int64),
        PgType::Float4 => {
            let value = text_input::float(text).ok_or_else(wrong)?;
            ScalarValue::Float32(Some(value as f32))
        }
        PgType::Float8 => ScalarValue::Float64(Some(text_input::float(text).ok_or_else(wrong)?)),
        PgType::Numeric => text_input::decimal(text).ok_or_else(wrong)?,
        PgType::Bytea => ScalarValue::Binary(Some(text_input::bytea(text).ok_or_else(wrong)?)),
        PgType::Uuid => {
            let id = uuid::Uuid::parse_str(text.trim()).map_err(|_| wrong())?;
            ScalarValue::Utf8View(Some(id.to_string()))
        }
        PgType::Date | PgType::Time | PgType::Timestamp | PgType::Timestamptz => {
            let planned = data_type.planned().ok_or_else(wrong)?;
            let value = ScalarValue::Utf8View(Some(text.trim().to_owned()));
            value.cast_to(&planned).map_err(|_| wrong())?
        }
        PgType::Interval => {
            let (months, days, nanos) = text_input::interval(text).ok_or_else(wrong)?;
            let value = IntervalMonthDayNanoType::make_value(months, days, nanos);
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
        PgType::Array(item) => {
            let items = text_input::array(text).ok_or_else(wrong)?;
            let items = items.into_iter().map(|text| match text {
                Some(text) => from_text(item.of(), &text),
                None => null(Some(item.of())),
            });
            list(item, items.collect::<Result<_, _>>()?)
        }
        PgType::Text
        | PgType::Varchar
        | PgType::Name
        | PgType::Char
        | PgType::Json
        | PgType::Jsonb
        | PgType::Int2Vector
        | PgType::OidVector => ScalarValue::Utf8View(Some(text.to_owned())),
    })
}

/// An array of values, which all have the type of the first that is not null.
fn list(item: Item, values: Vec<ScalarValue>) -> ScalarValue {
    let first = values.iter().find(|value| !value.is_null());
    let data_type = match (item.of().planned(), first) {
        (Some(planned), _) => planned,
        (None, Some(first)) => first.data_type(),
        (None, None) => DataType::Utf8View,
    };
    let values: Vec<ScalarValue> = values
        .into_iter()
        .map(|value| match value.data_type() == data_type {
            true => value,
            false => value.cast_to(&data_type).unwrap_or(value),
        })
        .collect();
    ScalarValue::List(ScalarValue::new_list_nullable(&values, &data_type))
}

fn from_binary(data_type: PgType, bytes: &[u8]) -> Result<ScalarValue, ParameterError> {
    let wrong = || ParameterError::Binary(data_type.name());
    fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map_err(|_| ParameterError::Encoding)?;
        Ok(ScalarValue::Utf8View(Some(text.to_owned())))
    };
    let integer = || fixed(bytes).map(i64::from_be_bytes).ok_or_else(wrong);
    Ok(match data_type {
        PgType::Bool => match bytes {
            [0] => ScalarValue::Boolean(Some(false)),
            [1] => ScalarValue::Boolean(Some(true)),
            _ => return Err(wrong()),
        },
        PgType::Int2 => {
            ScalarValue::Int16(Some(i16::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)))
        }
        PgType::Int4 => {
            ScalarValue::Int32(Some(i32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)))
        }
        PgType::Int8 => ScalarValue::Int64(Some(integer()?)),
        PgType::Oid => {
            let oid = u32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?);
            ScalarValue::Int64(Some(i64::from(oid)))
        }
        PgType::Float4 => {
            ScalarValue::Float32(Some(f32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)))
        }
        PgType::Float8 => {
            ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)))
        }
        PgType::Numeric => {
            let shown = decimal_of_binary(bytes).ok_or_else(wrong)?;
            text_input::decimal(&shown).ok_or_else(wrong)?
        }
        PgType::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        PgType::Date => {
            let days = i32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?);
            ScalarValue::Date32(Some(days_sent(days).ok_or_else(wrong)?))
        }
        PgType::Time => {
            let nanos = integer()?.checked_mul(1000).ok_or_else(wrong)?;
            ScalarValue::Time64Nanosecond(Some(nanos))
        }
        PgType::Timestamp | PgType::Timestamptz => {
            let nanos = integer()?
                .checked_add(EPOCH_MICROS)
                .and_then(|micros| micros.checked_mul(1000));
            let zone = match data_type.planned() {
                Some(DataType::Timestamp(TimeUnit::Nanosecond, zone)) => zone,
                _ => None,
            };
            ScalarValue::TimestampNanosecond(Some(nanos.ok_or_else(wrong)?), zone)
        }
        PgType::Interval => {
            let (micros, rest) = bytes.split_at_checked(8).ok_or_else(wrong)?;
            let (days, months) = rest.split_at_checked(4).ok_or_else(wrong)?;
            let micros = i64::from_be_bytes(fixed(micros).ok_or_else(wrong)?);
            let days = i32::from_be_bytes(fixed(days).ok_or_else(wrong)?);
            let months = i32::from_be_bytes(fixed(months).ok_or_else(wrong)?);
            let nanos = micros.checked_mul(1000).ok_or_else(wrong)?;
            let value = IntervalMonthDayNanoType::make_value(months, days, nanos);
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
        PgType::Uuid => {
            let id = uuid::Uuid::from_slice(bytes).map_err(|_| wrong())?;
            ScalarValue::Utf8View(Some(id.to_string()))
        }
        PgType::Jsonb => match bytes.split_first() {
            Some((1, rest)) => text(rest)?,
            _ => return Err(wrong()),
        },
        PgType::Array(item) => array(item, bytes).ok_or_else(wrong)??,
        // Nobody has a value of these to send but as the text that it came as.
        PgType::Int2Vector | PgType::OidVector => return Err(wrong()),
        PgType::Text | PgType::Varchar | PgType::Name | PgType::Char | PgType::Json => text(bytes)?,
    })
}

/// An array as it is sent; none when it is not of that form. Of more than one dimension none is read.
fn array(item: Item, mut bytes: &[u8]) -> Option<Result<ScalarValue, ParameterError>> {
    fn int(bytes: &mut &[u8]) -> Option<i32> {
        let (int, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        Some(i32::from_be_bytes(*int))
    }
    let dimensions = int(&mut bytes)?;
    let _has_nulls = int(&mut bytes)?;
    let element = u32::from_be_bytes(int(&mut bytes)?.to_be_bytes());
    let element = PgType::of_oid(element).unwrap_or(item.of());
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = usize::try_from(int(&mut bytes)?).ok()?;
            let _lower_bound = int(&mut bytes)?;
            count
        }
        _ => return None,
    };
    // Each has a length.
    if count.checked_mul(4)? > bytes.len() {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let value = match usize::try_from(int(&mut bytes)?) {
            Err(_) => null(Some(element)),
            Ok(length) => {
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                from_binary(element, value)
            }
        };
        match value {
            Ok(value) => values.push(value),
            Err(error) => return Some(Err(error)),
        }
    }
    bytes.is_empty().then(|| Ok(list(item, values)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_become_values() {
        let shown = |data_type, text| from_text(data_type, text).map(|value| format!("{value:?}"));
        assert_eq!(shown(PgType::Int4, " 42 ").unwrap(), "Int32(42)");
        assert_eq!(shown(PgType::Bool, "yes").unwrap(), "Boolean(true)");
        assert_eq!(
            shown(PgType::Numeric, "-1.50").unwrap(),
            "Decimal128(-1.50,3,2)"
        );
        assert!(shown(PgType::Int2.array(), "{1,NULL,3}").is_ok());
        assert_eq!(
            from_text(PgType::Int4, "x").unwrap_err().to_string(),
            "invalid input syntax for type integer: \"x\""
        );
        assert_eq!(
            from_text(PgType::Int2, "70000").unwrap_err().sqlstate(),
            "22003"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(oid in 0_u32..4000, bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(data_type) = PgType::of_oid(oid) {
                let _ = parameter(Some(data_type), Format::Binary, Some(&bytes));
                let _ = parameter(Some(data_type), Format::Text, Some(&bytes));
            }
        }
    }
}
