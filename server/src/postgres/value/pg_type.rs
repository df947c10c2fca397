//! PostgreSQL's types by their OIDs (`pg_type.dat`), and those of Arrow's types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// A type that values are sent in. Unsigned integers go up one size, and what PostgreSQL has no type for is JSON, as
/// `information_schema` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PgType {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    Name,
    Char,
    Bytea,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    /// Arrays of `int2` and of `oid` in the catalog, which are written without braces.
    Int2Vector,
    OidVector,
    /// Arrays of these, of however many dimensions.
    Array(Item),
}

/// A type that an array can be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Item(u8);

/// Type, OID, OID of arrays of it, bytes (−1 varies), name.
const TYPES: &[(PgType, u32, u32, i16, &str)] = &[
    (PgType::Bool, 16, 1000, 1, "boolean"),
    (PgType::Int2, 21, 1005, 2, "smallint"),
    (PgType::Int4, 23, 1007, 4, "integer"),
    (PgType::Int8, 20, 1016, 8, "bigint"),
    (PgType::Oid, 26, 1028, 4, "oid"),
    (PgType::Float4, 700, 1021, 4, "real"),
    (PgType::Float8, 701, 1022, 8, "double precision"),
    (PgType::Numeric, 1700, 1231, -1, "numeric"),
    (PgType::Text, 25, 1009, -1, "text"),
    (PgType::Varchar, 1043, 1015, -1, "character varying"),
    (PgType::Name, 19, 1003, 64, "name"),
    (PgType::Char, 18, 1002, 1, "\"char\""),
    (PgType::Bytea, 17, 1001, -1, "bytea"),
    (PgType::Date, 1082, 1182, 4, "date"),
    (PgType::Time, 1083, 1183, 8, "time without time zone"),
    (
        PgType::Timestamp,
        1114,
        1115,
        8,
        "timestamp without time zone",
    ),
    (
        PgType::Timestamptz,
        1184,
        1185,
        8,
        "timestamp with time zone",
    ),
    (PgType::Interval, 1186, 1187, 16, "interval"),
    (PgType::Uuid, 2950, 2951, 16, "uuid"),
    (PgType::Json, 114, 199, -1, "json"),
    (PgType::Jsonb, 3802, 3807, -1, "jsonb"),
    (PgType::Int2Vector, 22, 1006, -1, "int2vector"),
    (PgType::OidVector, 30, 1013, -1, "oidvector"),
];

/// Where a field says what its values are beyond their Arrow type, and how the types of PostgreSQL's catalog begin there.
const EXTENSION: &str = "ARROW:extension:name";
const CATALOG: &str = "weir.pg.";

/// `unknown`, and `bpchar`, which is text here.
const UNKNOWN: u32 = 705;
const BPCHAR: u32 = 1042;
const BPCHAR_ARRAY: u32 = 1014;

impl PgType {
    fn row(self) -> Option<&'static (PgType, u32, u32, i16, &'static str)> {
        TYPES.iter().find(|row| row.0 == self)
    }

    /// Its OID.
    pub(crate) fn oid(self) -> u32 {
        match self {
            Self::Array(item) => TYPES.get(usize::from(item.0)).map_or(UNKNOWN, |row| row.2),
            other => other.row().map_or(UNKNOWN, |row| row.1),
        }
    }

    /// Bytes of a value; −1 where it varies.
    pub(crate) fn length(self) -> i16 {
        match self {
            Self::Array(_) => -1,
            other => other.row().map_or(-1, |row| row.3),
        }
    }

    /// Its name in SQL.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Array(item) => format!("{}[]", item.of().name()),
            other => other.row().map_or("unknown", |row| row.4).to_owned(),
        }
    }

    /// The type of arrays of this; those of arrays are of the same.
    pub(crate) fn array(self) -> Self {
        match self {
            Self::Array(_) => self,
            other => {
                let at = TYPES.iter().position(|row| row.0 == other);
                Self::Array(Item(
                    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX),
                ))
            }
        }
    }

    /// The type of an OID that is known here. `unknown` is none: it leaves the type open.
    pub(crate) fn of_oid(oid: u32) -> Option<Self> {
        match oid {
            BPCHAR => Some(Self::Text),
            BPCHAR_ARRAY => Some(Self::Text.array()),
            _ => TYPES.iter().find_map(|row| match oid {
                oid if oid == row.1 => Some(row.0),
                oid if oid == row.2 => Some(row.0.array()),
                _ => None,
            }),
        }
    }

    /// Whether an OID says nothing of a parameter's type.
    pub(crate) fn is_open(oid: u32) -> bool {
        matches!(oid, 0 | UNKNOWN)
    }

    /// The type that a column is sent in.
    pub(crate) fn of_field(field: &Field) -> Self {
        let extension = field.metadata().get(EXTENSION);
        match extension.map(String::as_str) {
            Some("weir.uuid" | "arrow.uuid") => return Self::Uuid,
            Some("arrow.json") => return Self::Json,
            Some(named) => {
                let named = named.strip_prefix(CATALOG);
                if let Some(named) = named.and_then(Self::of_catalog) {
                    return named;
                }
            }
            None => {}
        }
        Self::of(field.data_type())
    }

    /// A field of values of this type, if that is one of the catalog's, which the field does not tell by itself.
    pub(super) fn marked(self, field: Field) -> Field {
        let name = match self {
            Self::Oid => "oid",
            Self::Name => "name",
            Self::Char => "char",
            Self::Varchar => "varchar",
            _ => return field,
        };
        let mut metadata = field.metadata().clone();
        metadata.insert(EXTENSION.to_owned(), format!("{CATALOG}{name}"));
        field.with_metadata(metadata)
    }

    /// Types that only PostgreSQL's own catalog has.
    fn of_catalog(name: &str) -> Option<Self> {
        if let Some(item) = name.strip_prefix('_') {
            return Self::of_catalog(item).map(Self::array);
        }
        match name {
            "oid" => Some(Self::Oid),
            "name" => Some(Self::Name),
            "char" => Some(Self::Char),
            "varchar" => Some(Self::Varchar),
            "jsonb" => Some(Self::Jsonb),
            "int2vector" => Some(Self::Int2Vector),
            "oidvector" => Some(Self::OidVector),
            _ => None,
        }
    }

    /// The type that values of an Arrow type are sent in.
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => Self::Int2,
            DataType::UInt16 | DataType::Int32 => Self::Int4,
            DataType::UInt32 | DataType::Int64 => Self::Int8,
            DataType::UInt64
            | DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => Self::Numeric,
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::Timestamptz,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Self::of_field(item).array(),
            DataType::Dictionary(_, values) => Self::of(values),
            DataType::RunEndEncoded(_, values) => Self::of_field(values),
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => Self::Json,
            _ => Self::Text,
        }
    }

    /// The Arrow type that a parameter of this type is planned as; none where its place or its value decides.
    pub(crate) fn planned(self) -> Option<DataType> {
        Some(match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Bytea => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Nanosecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::Timestamptz => {
                DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("+00:00")))
            }
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Array(item) => {
                let item = match item.of() {
                    Self::Numeric => return None,
                    text => text.planned().unwrap_or(DataType::Utf8View),
                };
                DataType::List(Arc::new(Field::new_list_field(item, true)))
            }
            // A decimal's digits are known with its value; text is read as what its place asks for.
            Self::Numeric
            | Self::Text
            | Self::Varchar
            | Self::Name
            | Self::Char
            | Self::Uuid
            | Self::Json
            | Self::Jsonb
            | Self::Int2Vector
            | Self::OidVector => return None,
        })
    }
}

impl Item {
    /// The type itself.
    pub(crate) fn of(self) -> PgType {
        TYPES
            .get(usize::from(self.0))
            .map_or(PgType::Text, |row| row.0)
    }
}

/// What narrows a type: of decimals, their digits.
pub(crate) fn modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *scale >= 0 =>
        {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_found_by_its_oid() {
        for (data_type, oid, array, ..) in TYPES {
            assert_eq!(PgType::of_oid(*oid), Some(*data_type));
            assert_eq!(data_type.oid(), *oid);
            assert_eq!(PgType::of_oid(*array), Some(data_type.array()));
            assert_eq!(data_type.array().oid(), *array);
        }
        assert_eq!(PgType::of_oid(UNKNOWN), None);
        assert_eq!(PgType::Int4.array().name(), "integer[]");
    }
}
