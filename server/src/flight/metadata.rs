//! Answers of Flight SQL's metadata commands. In: what the caller sees of the catalog. Out: one batch in the columns that the
//! protocol gives the command.
//!
//! Tools know tables and views: streams, tables and external tables are `TABLE`, views of both kinds `VIEW`, and what the
//! server says of itself `SYSTEM TABLE`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::{Command, CommandGetPrimaryKeys, CommandGetTables};
use tonic::Status;
use weir_base::Kind;
use weir_engine::{Error, Listing, Relation, RelationKind, Session};

use super::Flight;
use super::service::not_here;
use super::status::{defect, status};
use super::types::sent_schema;
use crate::encode::sql_type;

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";
const SYSTEM_TABLE: &str = "SYSTEM TABLE";

/// The kinds of relations that tools are told of.
const TABLE_TYPES: [&str; 3] = [SYSTEM_TABLE, TABLE, VIEW];

fn table_type(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::Stream | RelationKind::Table | RelationKind::ExternalTable => TABLE,
        RelationKind::View | RelationKind::MaterializedView => VIEW,
        RelationKind::System => SYSTEM_TABLE,
    }
}

/// The answer of a metadata command to the user of `session`.
///
/// # Errors
/// UNIMPLEMENTED for another command.
pub(super) fn answer(
    flight: &Flight,
    session: &Session,
    command: &Command,
) -> Result<RecordBatch, Status> {
    let listing = session.listing().map_err(|error| status(&error))?;
    batch(flight, &listing, command)
}

impl Flight {
    /// The columns of a metadata command's answer.
    ///
    /// # Errors
    /// UNIMPLEMENTED for another command.
    pub(super) fn metadata_schema(&self, command: &Command) -> Result<SchemaRef, Status> {
        let nothing = Listing {
            database: "",
            schemas: Vec::new(),
            relations: Vec::new(),
        };
        Ok(batch(self, &nothing, command)?.schema())
    }
}

fn batch(flight: &Flight, listing: &Listing, command: &Command) -> Result<RecordBatch, Status> {
    let built = match command {
        Command::CommandGetCatalogs(get) => {
            let mut builder = get.into_builder();
            builder.append(listing.database);
            builder.build()
        }
        Command::CommandGetDbSchemas(get) => {
            let mut builder = get.clone().into_builder();
            for schema in &listing.schemas {
                builder.append(listing.database, schema);
            }
            builder.build()
        }
        Command::CommandGetTables(get) => tables(listing, get.clone()),
        Command::CommandGetTableTypes(get) => {
            let mut builder = get.into_builder();
            for table_type in TABLE_TYPES {
                builder.append(table_type);
            }
            builder.build()
        }
        Command::CommandGetPrimaryKeys(get) => primary_keys(listing, get),
        // There are no foreign keys.
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(RecordBatch::new_empty(foreign_keys_schema())),
        Command::CommandGetSqlInfo(get) => get.clone().into_builder(&flight.sql_info).build(),
        Command::CommandGetXdbcTypeInfo(get) => (*get).into_builder(&flight.type_info).build(),
        other => return Err(not_here(other, "This call")),
    };
    built.map_err(|error| match error {
        FlightError::Arrow(error) => defect(&error),
        other => status(&Error::new(Kind::Internal, other.to_string())),
    })
}

fn tables(listing: &Listing, get: CommandGetTables) -> Result<RecordBatch, FlightError> {
    let with_columns = get.include_schema;
    let mut builder = get.into_builder();
    let nothing = Schema::empty();
    for relation in &listing.relations {
        let columns = with_columns.then(|| described_columns(listing.database, relation));
        builder.append(
            listing.database,
            &relation.schema,
            &relation.name,
            table_type(relation.kind),
            columns.as_ref().unwrap_or(&nothing),
        )?;
    }
    builder.build()
}

/// A relation's columns with what Flight SQL's clients read of each in its metadata.
fn described_columns(database: &str, relation: &Relation) -> Schema {
    let sent = sent_schema(&relation.columns, false);
    let fields: Vec<Field> = sent
        .fields()
        .iter()
        .map(|field| {
            let mut metadata = field.metadata().clone();
            let mut add = |key: &str, value: String| {
                metadata.insert(format!("ARROW:FLIGHT:SQL:{key}"), value);
            };
            add("CATALOG_NAME", database.to_owned());
            add("SCHEMA_NAME", relation.schema.clone());
            add("TABLE_NAME", relation.name.clone());
            add("TYPE_NAME", sql_type(field));
            if let Some((precision, scale)) = precision(field.data_type()) {
                add("PRECISION", precision.to_string());
                add("SCALE", scale.to_string());
            }
            add("IS_AUTO_INCREMENT", "0".to_owned());
            add(
                "IS_CASE_SENSITIVE",
                u8::from(is_text(field.data_type())).to_string(),
            );
            let is_written = matches!(relation.kind, RelationKind::Stream | RelationKind::Table);
            add("IS_READ_ONLY", u8::from(!is_written).to_string());
            add("IS_SEARCHABLE", "1".to_owned());
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    Schema::new(fields)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
}

/// Digits of a number's type, and those after the point.
fn precision(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (*precision, *scale)
        }
        _ => return None,
    })
}

fn primary_keys(
    listing: &Listing,
    get: &CommandGetPrimaryKeys,
) -> Result<RecordBatch, FlightError> {
    let is_asked = |relation: &&Relation| {
        relation.name == get.table
            && get
                .db_schema
                .as_ref()
                .is_none_or(|schema| *schema == relation.schema)
            && get
                .catalog
                .as_ref()
                .is_none_or(|catalog| catalog == listing.database)
    };
    let mut keys = Vec::new();
    for relation in listing.relations.iter().filter(is_asked) {
        for (column, number) in relation.primary_key.iter().zip(1..) {
            keys.push((relation, column, number));
        }
    }
    let text = |of: fn(&Relation) -> &str| -> ArrayRef {
        let values = keys.iter().map(|(relation, ..)| of(relation));
        Arc::new(StringArray::from_iter_values(values))
    };
    let catalogs = keys.iter().map(|_| listing.database);
    let names = keys
        .iter()
        .map(|(relation, ..)| format!("{}_pkey", relation.name));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(catalogs)),
        text(|relation| &relation.schema),
        text(|relation| &relation.name),
        Arc::new(StringArray::from_iter_values(
            keys.iter().map(|(_, column, _)| column.as_str()),
        )),
        Arc::new(Int32Array::from_iter_values(
            keys.iter().map(|(.., number)| *number),
        )),
        Arc::new(StringArray::from_iter_values(names)),
    ];
    let schema = Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("key_name", DataType::Utf8, true),
    ]);
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// The columns of imported, exported and cross-referenced keys.
fn foreign_keys_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let rule = |name: &str| Field::new(name, DataType::UInt8, false);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        rule("update_rule"),
        rule("delete_rule"),
    ]))
}
