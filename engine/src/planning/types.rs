//! SQL types as Weir stores them, where that differs from DataFusion's own mapping.
//!
//! `TIMESTAMP` has microseconds, as in PostgreSQL (whose range nanoseconds in 64 bits do not cover), and `FLOAT` is double
//! precision unless its precision says otherwise (PostgreSQL manual, 8.1.3). `UUID`, `JSON` and `JSONB` are text that
//! carries its logical type in the field's metadata.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    DataType as SqlType, ExactNumberInfo, IntervalFields, ObjectName, TimezoneInfo,
};
use weir_catalog::{EXTENSION_NAME_KEY, Logical};

/// The zone that columns of type timestamp with time zone are kept in.
pub(crate) const UTC: &str = "+00:00";

#[derive(Debug)]
pub(crate) struct SqlTypes {
    /// The zone of `TIMESTAMP WITH TIME ZONE`: the session's in a query, UTC for a column.
    pub(crate) time_zone: Arc<str>,
}

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let field = |data_type| Ok(Some(Arc::new(Field::new("", data_type, true))));
        match sql_type {
            SqlType::Uuid => Ok(Some(logical(Logical::Uuid))),
            SqlType::JSON | SqlType::JSONB => Ok(Some(logical(Logical::Json))),
            SqlType::Timestamp(precision, zone) => field(DataType::Timestamp(
                time_unit(*precision, sql_type)?,
                self.zone(zone),
            )),
            SqlType::Datetime(precision) => {
                field(DataType::Timestamp(time_unit(*precision, sql_type)?, None))
            }
            SqlType::Float(ExactNumberInfo::Precision(precision)) if *precision <= 24 => {
                field(DataType::Float32)
            }
            SqlType::Float(_) => field(DataType::Float64),
            SqlType::Character(_)
            | SqlType::CharacterVarying(_)
            | SqlType::CharVarying(_)
            | SqlType::Nvarchar(_)
            | SqlType::Clob(_) => field(DataType::Utf8View),
            SqlType::Blob(_) | SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Bytes(_) => {
                field(DataType::Binary)
            }
            SqlType::Dec(info) => field(decimal(*info)?),
            SqlType::UTinyInt => field(DataType::UInt8),
            SqlType::USmallInt => field(DataType::UInt16),
            SqlType::UBigInt => field(DataType::UInt64),
            SqlType::Interval {
                fields: Some(fields),
                precision: None,
            } if keeps_all(fields) => field(DataType::Interval(
                arrow::datatypes::IntervalUnit::MonthDayNano,
            )),
            SqlType::Map(key, value) => {
                let (key, value) = (self.inner(key)?, self.inner(value)?);
                let entries = Field::new_struct(
                    "entries",
                    vec![
                        Arc::new(Field::new("keys", key.data_type().clone(), false)),
                        Arc::new(value.as_ref().clone().with_name("values")),
                    ],
                    false,
                );
                field(DataType::Map(Arc::new(entries), false))
            }
            SqlType::Regclass => {
                Ok(crate::postgres::named("regclass").map(|it| Arc::new(it.field(""))))
            }
            SqlType::Custom(name, modifiers) if modifiers.is_empty() => {
                Ok(custom(name).map(Arc::new))
            }
            _ => Ok(None),
        }
    }
}

impl SqlTypes {
    fn zone(&self, zone: &TimezoneInfo) -> Option<Arc<str>> {
        matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone)
            .then(|| Arc::clone(&self.time_zone))
    }

    /// The field of a type inside another, which DataFusion does not ask for.
    fn inner(&self, sql_type: &SqlType) -> Result<FieldRef> {
        if let Some(field) = self.plan_type_field(sql_type)? {
            return Ok(field);
        }
        let data_type = match sql_type {
            SqlType::Boolean | SqlType::Bool => DataType::Boolean,
            SqlType::SmallInt(_) | SqlType::Int2(_) => DataType::Int16,
            SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => DataType::Int32,
            SqlType::BigInt(_) | SqlType::Int8(_) => DataType::Int64,
            SqlType::Real | SqlType::Float4 => DataType::Float32,
            SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 => DataType::Float64,
            SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::String(_) => {
                DataType::Utf8View
            }
            SqlType::Date => DataType::Date32,
            SqlType::Bytea => DataType::Binary,
            other => {
                return Err(DataFusionError::NotImplemented(format!(
                    "type {other} as a key or value of a MAP"
                )));
            }
        };
        Ok(Arc::new(Field::new("", data_type, true)))
    }
}

fn logical(logical: Logical) -> FieldRef {
    let metadata = [(
        EXTENSION_NAME_KEY.to_owned(),
        logical.extension_name().to_owned(),
    )];
    Arc::new(Field::new("", DataType::Utf8View, true).with_metadata(metadata.into()))
}

fn time_unit(precision: Option<u64>, sql_type: &SqlType) -> Result<TimeUnit> {
    match precision {
        Some(0) => Ok(TimeUnit::Second),
        Some(3) => Ok(TimeUnit::Millisecond),
        None | Some(6) => Ok(TimeUnit::Microsecond),
        Some(9) => Ok(TimeUnit::Nanosecond),
        Some(_) => Err(DataFusionError::Plan(format!(
            "type {sql_type}: the precision must be 0, 3, 6 or 9"
        ))),
    }
}

fn decimal(info: ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => (38, 10),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let (Ok(digits), Ok(after_point)) = (u8::try_from(precision), i8::try_from(scale)) else {
        return Err(DataFusionError::Plan(format!(
            "DECIMAL({precision}, {scale}) has too many digits: at most 76"
        )));
    };
    match digits {
        1..=38 if after_point >= 0 && after_point.unsigned_abs() <= digits => {
            Ok(DataType::Decimal128(digits, after_point))
        }
        39..=76 if after_point >= 0 && after_point.unsigned_abs() <= digits => {
            Ok(DataType::Decimal256(digits, after_point))
        }
        _ => Err(DataFusionError::Plan(format!(
            "DECIMAL({precision}, {scale}): the precision is 1 to 76, the scale 0 to it"
        ))),
    }
}

/// An interval's field list that leaves nothing out of what is stored.
fn keeps_all(fields: &IntervalFields) -> bool {
    matches!(fields, IntervalFields::DayToSecond)
}

/// PostgreSQL's names that the parser does not know as types.
fn custom(name: &ObjectName) -> Option<Field> {
    let name = name.to_string().to_lowercase();
    let data_type = match name.as_str() {
        "serial" => DataType::Int32,
        "bigserial" => DataType::Int64,
        "citext" => DataType::Utf8View,
        "timestamp_s" => DataType::Timestamp(TimeUnit::Second, None),
        "timestamp_ms" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "timestamp_ns" => DataType::Timestamp(TimeUnit::Nanosecond, None),
        // The type `"char"` is quoted, because `CHAR` is another.
        name => {
            let known = crate::postgres::named(name.trim_matches('"'));
            return known.filter(|it| it.kind == 'b').map(|it| it.field(""));
        }
    };
    Some(Field::new("", data_type, true))
}
