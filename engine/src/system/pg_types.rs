//! Arrow types in the words of PostgreSQL's `information_schema.columns`.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use weir_catalog::Logical;

/// What `information_schema.columns` says of a type (PostgreSQL manual, 35.17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PgType {
    /// `data_type`: the SQL name.
    pub(super) data_type: &'static str,
    /// `udt_name`: PostgreSQL's own name.
    pub(super) udt_name: &'static str,
    /// `numeric_precision`, in units of the radix.
    pub(super) numeric_precision: Option<i32>,
    /// `numeric_precision_radix`.
    pub(super) numeric_precision_radix: Option<i32>,
    /// `numeric_scale`.
    pub(super) numeric_scale: Option<i32>,
    /// `datetime_precision`: digits of a second.
    pub(super) datetime_precision: Option<i32>,
}

/// PostgreSQL's type that is nearest to an Arrow type. Unsigned integers go up one size; structs and maps, which PostgreSQL
/// has no name for, are `USER-DEFINED`.
pub(super) fn pg_type(data_type: &DataType, logical: Option<Logical>) -> PgType {
    match logical {
        Some(Logical::Uuid) => return plain("uuid", "uuid"),
        Some(Logical::Json) => return plain("json", "json"),
        None => {}
    }
    match data_type {
        DataType::Boolean => plain("boolean", "bool"),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => integer("smallint", "int2", 16),
        DataType::UInt16 | DataType::Int32 => integer("integer", "int4", 32),
        DataType::UInt32 | DataType::Int64 => integer("bigint", "int8", 64),
        DataType::UInt64 => decimal(20, 0),
        DataType::Float16 | DataType::Float32 => float("real", "float4", 24),
        DataType::Float64 => float("double precision", "float8", 53),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            decimal(i32::from(*precision), i32::from(*scale))
        }
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            plain("text", "text")
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => plain("bytea", "bytea"),
        DataType::Date32 | DataType::Date64 => PgType {
            datetime_precision: Some(0),
            ..plain("date", "date")
        },
        DataType::Time32(unit) | DataType::Time64(unit) => {
            timed("time without time zone", "time", *unit)
        }
        DataType::Timestamp(unit, None) => timed("timestamp without time zone", "timestamp", *unit),
        DataType::Timestamp(unit, Some(_)) => {
            timed("timestamp with time zone", "timestamptz", *unit)
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            timed("interval", "interval", TimeUnit::Second)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            timed("interval", "interval", TimeUnit::Millisecond)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            timed("interval", "interval", TimeUnit::Nanosecond)
        }
        DataType::Duration(unit) => timed("interval", "interval", *unit),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => plain(
            "ARRAY",
            array_name(pg_type(item.data_type(), Logical::of_field(item)).udt_name),
        ),
        DataType::Struct(_) => plain("USER-DEFINED", "struct"),
        DataType::Map(..) => plain("USER-DEFINED", "map"),
        DataType::Union(..) => plain("USER-DEFINED", "union"),
        DataType::Dictionary(_, value) => pg_type(value, None),
        DataType::RunEndEncoded(_, values) => {
            pg_type(values.data_type(), Logical::of_field(values))
        }
    }
}

fn plain(data_type: &'static str, udt_name: &'static str) -> PgType {
    PgType {
        data_type,
        udt_name,
        ..PgType::default()
    }
}

fn integer(data_type: &'static str, udt_name: &'static str, bits: i32) -> PgType {
    PgType {
        numeric_precision: Some(bits),
        numeric_precision_radix: Some(2),
        numeric_scale: Some(0),
        ..plain(data_type, udt_name)
    }
}

fn float(data_type: &'static str, udt_name: &'static str, bits: i32) -> PgType {
    PgType {
        numeric_precision: Some(bits),
        numeric_precision_radix: Some(2),
        ..plain(data_type, udt_name)
    }
}

fn decimal(precision: i32, scale: i32) -> PgType {
    PgType {
        numeric_precision: Some(precision),
        numeric_precision_radix: Some(10),
        numeric_scale: Some(scale),
        ..plain("numeric", "numeric")
    }
}

fn timed(data_type: &'static str, udt_name: &'static str, unit: TimeUnit) -> PgType {
    let digits = match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    PgType {
        datetime_precision: Some(digits),
        ..plain(data_type, udt_name)
    }
}

/// PostgreSQL's name of the type of arrays of these: an underscore before it.
fn array_name(item: &'static str) -> &'static str {
    match item {
        "bool" => "_bool",
        "int2" => "_int2",
        "int4" => "_int4",
        "int8" => "_int8",
        "numeric" => "_numeric",
        "float4" => "_float4",
        "float8" => "_float8",
        "text" => "_text",
        "bytea" => "_bytea",
        "date" => "_date",
        "time" => "_time",
        "timestamp" => "_timestamp",
        "timestamptz" => "_timestamptz",
        "interval" => "_interval",
        "uuid" => "_uuid",
        "json" => "_json",
        // Arrays of arrays are of the same type there.
        array if array.starts_with('_') => array,
        _ => "_record",
    }
}
