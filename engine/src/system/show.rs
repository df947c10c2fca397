//! The rows of `SHOW …` and `DESCRIBE`.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, Scalar, StringViewArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use weir_base::SqlState;
use weir_catalog::{Body, Entry, Logical, ObjectKind, ObjectName, RESERVED_SCHEMAS, Snapshot};
use weir_sql::statement::Listing;
use weir_topics::Topic;

use super::System;
use super::facts::SettingFacts;
use super::information_schema::all_columns;
use super::jobs;
use super::rows::{Definition, Rows, Type, yes_or_no};
use super::sinks;
use super::tables::{self, FUNCTION_COLUMNS, QUERY_COLUMNS};
use crate::error::{Error, Result};
use crate::sql_types::sql_name;
use crate::topic_config;
use Type::{BigInt, Int, Text};

/// The rows of `SHOW <listing> [FROM schema] [LIKE 'pattern']`, in order of schema and name.
///
/// # Errors
/// When there is no such schema, or what is listed has no schema or no name to filter by.
pub(crate) fn show(
    listing: Listing,
    schema: Option<&str>,
    like: Option<&str>,
    system: &System,
) -> Result<RecordBatch> {
    let batch = definition(listing, schema).batch(system)?;
    let batch = match schema {
        Some(schema) => {
            if !RESERVED_SCHEMAS.contains(&schema) {
                let name = ObjectName::global(schema);
                let found = system.catalog.require(ObjectKind::Schema, &name);
                found.map_err(|error| Error::from_classified(&error))?;
            }
            keep(&batch, "schema", schema, arrow::compute::kernels::cmp::eq)?
        }
        None => batch,
    };
    match like {
        Some(pattern) => keep(&batch, "name", pattern, arrow::compute::like),
        None => Ok(batch),
    }
}

/// The rows of `DESCRIBE` and `SHOW COLUMNS` for an object of the catalog.
///
/// # Errors
/// When it has no columns by nature.
pub(crate) fn describe_entry(entry: &Entry, like: Option<&str>) -> Result<RecordBatch> {
    if !entry.kind().is_relation() {
        return Err(Error::invalid(
            SqlState::WRONG_OBJECT_TYPE,
            format!("{} has no columns", entry.describe()),
        ));
    }
    let mut rows = Rows::new(DESCRIBE_COLUMNS);
    for column in all_columns(entry) {
        let key = match &entry.body {
            Body::Table(table) if table.primary_key.contains(&column.name) => Some("PRIMARY KEY"),
            Body::Stream(stream) if stream.key.as_ref() == Some(&column.name) => Some("KEY"),
            Body::ExternalTable(table) if table.partitioned_by.contains(column) => {
                Some("PARTITION")
            }
            _ => None,
        };
        rows.push([
            ("column_name", (&column.name).into()),
            ("data_type", (&column.sql_type).into()),
            ("is_nullable", yes_or_no(column.nullable)),
            ("column_default", column.default.as_ref().into()),
            ("key", key.into()),
            ("comment", column.comment.as_ref().into()),
        ])?;
    }
    described(rows, like)
}

/// The rows of `DESCRIBE` and `SHOW COLUMNS` for anything else that has columns: a query, a system table.
///
/// # Errors
/// None that a schema can cause.
pub(crate) fn describe_schema(schema: &Schema, like: Option<&str>) -> Result<RecordBatch> {
    let mut rows = Rows::new(DESCRIBE_COLUMNS);
    for field in schema.fields() {
        let data_type = match Logical::of_field(field) {
            Some(logical) => logical.to_string(),
            None => sql_name(field.data_type()),
        };
        rows.push([
            ("column_name", field.name().into()),
            ("data_type", data_type.into()),
            ("is_nullable", yes_or_no(field.is_nullable())),
        ])?;
    }
    described(rows, like)
}

/// The row of `SHOW CREATE`, with the settings of the object's topic.
///
/// # Errors
/// None that an object of the catalog can cause.
pub(crate) fn show_create(
    entry: &Entry,
    topic: Option<&Topic>,
    catalog: &Snapshot,
) -> Result<RecordBatch> {
    let mut shown = entry.clone();
    if let (Body::Stream(stream), Some(topic)) = (&mut shown.body, topic) {
        stream
            .options
            .extend(topic_config::as_options(&topic.config()));
        stream.partitions = u32::try_from(topic.partitions().len()).unwrap_or(stream.partitions);
    }
    let mut rows = Rows::new(&[("name", Text), ("create_statement", Text)]);
    rows.push([
        ("name", entry.name.to_string().into()),
        (
            "create_statement",
            weir_catalog::create_statement(&shown, catalog).into(),
        ),
    ])?;
    Ok(rows.finish()?)
}

/// The rows of `SHOW ALL`.
///
/// # Errors
/// None that settings can cause.
pub(crate) fn show_all(settings: Vec<SettingFacts>) -> Result<RecordBatch> {
    let mut rows = Rows::new(&[("name", Text), ("setting", Text), ("description", Text)]);
    for setting in settings {
        rows.push([
            ("name", setting.name.into()),
            ("setting", setting.value.into()),
            ("description", setting.description.into()),
        ])?;
    }
    Ok(rows.finish()?)
}

/// The row of `SHOW name`: as in PostgreSQL, the column has the setting's name.
///
/// # Errors
/// None that a setting can cause.
pub(crate) fn show_variable(name: &str, value: &str) -> Result<RecordBatch> {
    let schema = Schema::new(vec![Field::new(name, DataType::Utf8View, false)]);
    let column = Arc::new(StringViewArray::from(vec![value]));
    Ok(RecordBatch::try_new(Arc::new(schema), vec![column])?)
}

const DESCRIBE_COLUMNS: &[(&str, Type)] = &[
    ("column_name", Text),
    ("data_type", Text),
    ("is_nullable", Text),
    ("column_default", Text),
    ("key", Text),
    ("comment", Text),
];

fn described(rows: Rows, like: Option<&str>) -> Result<RecordBatch> {
    let batch = rows.finish()?;
    match like {
        Some(pattern) => keep(&batch, "column_name", pattern, arrow::compute::like),
        None => Ok(batch),
    }
}

/// The rows whose text in `column` compares to `text`.
fn keep(
    batch: &RecordBatch,
    column: &str,
    text: &str,
    compare: fn(
        &dyn arrow::array::Datum,
        &dyn arrow::array::Datum,
    ) -> arrow::error::Result<arrow::array::BooleanArray>,
) -> Result<RecordBatch> {
    let Some(values) = batch.column_by_name(column) else {
        let clause = if column == "schema" {
            "FROM schema"
        } else {
            "LIKE"
        };
        return Err(
            Error::unsupported(format!("{clause} does not apply to what this lists"))
                .with_hint("query the table of the same name in schema weir with WHERE"),
        );
    };
    let text = Scalar::new(StringViewArray::from(vec![text]));
    let mask = compare(&values.as_string_view(), &text)?;
    Ok(filter_record_batch(batch, &mask)?)
}

fn definition(listing: Listing, schema: Option<&str>) -> Definition {
    match listing {
        Listing::Schemas => SCHEMAS,
        Listing::Streams => STREAMS,
        Listing::Tables if schema.is_some_and(|schema| RESERVED_SCHEMAS.contains(&schema)) => {
            SYSTEM_TABLES
        }
        Listing::Tables => TABLES,
        Listing::ExternalTables => EXTERNAL_TABLES,
        Listing::Views => VIEWS,
        Listing::MaterializedViews => MATERIALIZED_VIEWS,
        Listing::Sinks => SINKS,
        Listing::Connections => CONNECTIONS,
        Listing::Jobs => JOBS,
        Listing::Queries => QUERIES,
        Listing::Functions => FUNCTIONS,
    }
}

const SCHEMAS: Definition = Definition {
    name: "SCHEMAS",
    columns: &[("name", Text), ("comment", Text)],
    fill: |system, rows| {
        for entry in system.catalog.schemas() {
            rows.push([
                ("name", (&entry.name.name).into()),
                ("comment", entry.comment.as_ref().into()),
            ])?;
        }
        Ok(())
    },
};

const STREAMS: Definition = Definition {
    name: "STREAMS",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("partitions", Int),
        ("format", Text),
        ("records", BigInt),
        ("bytes", BigInt),
        ("comment", Text),
    ],
    fill: |system, rows| {
        for stream in tables::stream_facts(system) {
            rows.push([
                ("schema", stream.schema),
                ("name", stream.name),
                ("partitions", stream.partitions),
                ("format", stream.format),
                ("records", stream.records),
                ("bytes", stream.bytes),
                ("comment", stream.comment),
            ])?;
        }
        Ok(())
    },
};

/// All that can stand in `FROM`, as a newcomer looks for it here.
const TABLES: Definition = Definition {
    name: "TABLES",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("type", Text),
        ("comment", Text),
    ],
    fill: |system, rows| {
        for entry in system.catalog.relations() {
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("type", entry.kind().to_string().into()),
                ("comment", entry.comment.as_ref().into()),
            ])?;
        }
        Ok(())
    },
};

const SYSTEM_TABLES: Definition = Definition {
    name: "TABLES",
    columns: TABLES.columns,
    fill: |system, rows| {
        for relation in system.relations().filter(|it| it.is_system()) {
            rows.push([
                ("schema", relation.schema().into()),
                ("name", relation.name().into()),
                ("type", "system table".into()),
            ])?;
        }
        Ok(())
    },
};

const EXTERNAL_TABLES: Definition = Definition {
    name: "EXTERNAL TABLES",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("format", Text),
        ("location", Text),
        ("connection", Text),
        ("comment", Text),
    ],
    fill: |system, rows| {
        for entry in system.catalog.of_kind(ObjectKind::ExternalTable) {
            let Body::ExternalTable(table) = &entry.body else {
                continue;
            };
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("format", (&table.format).into()),
                ("location", (&table.location).into()),
                ("connection", table.connection.as_ref().into()),
                ("comment", entry.comment.as_ref().into()),
            ])?;
        }
        Ok(())
    },
};

const VIEWS: Definition = Definition {
    name: "VIEWS",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("definition", Text),
        ("comment", Text),
    ],
    fill: |system, rows| {
        for entry in system.catalog.of_kind(ObjectKind::View) {
            let Body::View(view) = &entry.body else {
                continue;
            };
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("definition", (&view.sql).into()),
                ("comment", entry.comment.as_ref().into()),
            ])?;
        }
        Ok(())
    },
};

const MATERIALIZED_VIEWS: Definition = Definition {
    name: "MATERIALIZED VIEWS",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("state", Text),
        ("definition", Text),
        ("comment", Text),
    ],
    fill: |system, rows| {
        for entry in system.catalog.of_kind(ObjectKind::MaterializedView) {
            let Body::MaterializedView(kept) = &entry.body else {
                continue;
            };
            let status = system.facts.job(entry.id);
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("state", status.map(|status| status.state.as_str()).into()),
                ("definition", (&kept.view.sql).into()),
                ("comment", entry.comment.as_ref().into()),
            ])?;
        }
        Ok(())
    },
};

const SINKS: Definition = Definition {
    name: "SINKS",
    columns: &[
        ("schema", Text),
        ("name", Text),
        ("connector", Text),
        ("target", Text),
        ("state", Text),
        ("comment", Text),
    ],
    fill: |system, rows| {
        for entry in system.catalog.sinks() {
            let Body::Sink(sink) = &entry.body else {
                continue;
            };
            let status = system.facts.job(entry.id);
            rows.push([
                ("schema", (&entry.name.schema).into()),
                ("name", (&entry.name.name).into()),
                ("connector", sinks::sink_connector(sink).into()),
                ("target", sinks::sink_target(system, sink).into()),
                ("state", status.map(|status| status.state.as_str()).into()),
                ("comment", entry.comment.as_ref().into()),
            ])?;
        }
        Ok(())
    },
};

const JOBS: Definition = Definition {
    name: "JOBS",
    columns: jobs::JOB_COLUMNS,
    fill: jobs::jobs,
};

const CONNECTIONS: Definition = Definition {
    name: "CONNECTIONS",
    columns: &[
        ("name", Text),
        ("type", Text),
        ("options", Text),
        ("comment", Text),
    ],
    fill: |system, rows| {
        for entry in system.catalog.connections() {
            let Body::Connection(connection) = &entry.body else {
                continue;
            };
            rows.push([
                ("name", (&entry.name.name).into()),
                ("type", (&connection.kind).into()),
                ("options", tables::connection_options(connection)),
                ("comment", entry.comment.as_ref().into()),
            ])?;
        }
        Ok(())
    },
};

const QUERIES: Definition = Definition {
    name: "QUERIES",
    columns: QUERY_COLUMNS,
    fill: tables::queries,
};

const FUNCTIONS: Definition = Definition {
    name: "FUNCTIONS",
    columns: FUNCTION_COLUMNS,
    fill: tables::functions,
};

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_shows, system};
    use super::*;

    #[test]
    fn settings_show_under_their_names() {
        let batch = show_variable("batch_size", "8192").unwrap();
        assert_shows(
            &batch,
            "
+------------+
| batch_size |
+------------+
| 8192       |
+------------+",
        );
        assert_eq!(show_all(system().facts.settings()).unwrap().num_rows(), 1);
    }
}
