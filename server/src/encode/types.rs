//! What columns are called: their names where a format needs them unique, and their SQL types.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema};
use weir_engine::postgres::marked;

/// The columns' names, made different from one another by a number, as in `id`, `id_2`: a JSON object or a Parquet file
/// cannot hold a name twice.
pub(crate) fn unique_names(schema: &Schema) -> Vec<String> {
    let given: HashSet<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut used = HashSet::new();
    schema
        .fields()
        .iter()
        .map(|field| {
            let mut name = field.name().clone();
            let mut number = 2;
            while used.contains(&name) || (number > 2 && given.contains(name.as_str())) {
                name = format!("{}_{number}", field.name());
                number += 1;
            }
            used.insert(name.clone());
            name
        })
        .collect()
}

/// The field with plain types for view types, at any depth.
pub(super) fn without_views(field: &Field) -> Field {
    field.clone().with_data_type(plain(field.data_type()))
}

/// The type with plain types for view types, at any depth.
pub(super) fn plain(data_type: &DataType) -> DataType {
    let item = |field: &Arc<Field>| Arc::new(without_views(field));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) => DataType::List(item(field)),
        DataType::LargeList(field) => DataType::LargeList(item(field)),
        DataType::ListView(field) => DataType::List(item(field)),
        DataType::LargeListView(field) => DataType::LargeList(item(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(item(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect()),
        DataType::Map(entries, sorted) => DataType::Map(item(entries), *sorted),
        DataType::Dictionary(keys, values) => {
            DataType::Dictionary(keys.clone(), Box::new(plain(values)))
        }
        other => other.clone(),
    }
}

/// Whether the texts of a column are JSON documents.
pub(super) fn is_json(field: &Field) -> bool {
    extension(field) == Some("arrow.json")
}

fn extension(field: &Field) -> Option<&str> {
    field
        .metadata()
        .get("ARROW:extension:name")
        .map(String::as_str)
}

/// A column's type as SQL writes it.
pub(crate) fn sql_type(field: &Field) -> String {
    match extension(field) {
        Some("arrow.json") => return "JSON".to_owned(),
        Some("weir.uuid" | "arrow.uuid") => return "UUID".to_owned(),
        // A type of PostgreSQL that Arrow's says less of: `oid`, `name`, `regclass`.
        _ => {
            if let Some(pg_type) = marked(field) {
                return pg_type.sql_name.to_uppercase();
            }
        }
    }
    sql_type_of(field.data_type())
}

fn sql_type_of(data_type: &DataType) -> String {
    let fixed = match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE PRECISION",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(
            IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano,
        ) => "INTERVAL",
        DataType::Duration(_) => "INTERVAL",
        _ => "",
    };
    if !fixed.is_empty() {
        return fixed.to_owned();
    }
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", sql_type(item)),
        DataType::Struct(fields) => {
            let parts: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), sql_type(field)))
                .collect();
            format!("STRUCT({})", parts.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP({}, {})", sql_type(&fields[0]), sql_type(&fields[1]))
            }
            other => format!("MAP({other})"),
        },
        DataType::Dictionary(_, values) => sql_type_of(values),
        DataType::RunEndEncoded(_, values) => sql_type(values),
        other => other.to_string().to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_unique_without_taking_anothers() {
        let schema = |names: &[&str]| {
            Schema::new(
                names
                    .iter()
                    .map(|name| Field::new(*name, DataType::Null, true))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            unique_names(&schema(&["id", "id", "x"])),
            ["id", "id_2", "x"]
        );
        assert_eq!(
            unique_names(&schema(&["id", "id", "id_2"])),
            ["id", "id_3", "id_2"]
        );
        assert_eq!(
            unique_names(&schema(&["id", "id_2", "id", "id"])),
            ["id", "id_2", "id_3", "id_4"]
        );
    }
}
