//! What the `CREATE` statements share: names of topics, columns of a query's answer, what to do with what exists.

use std::collections::BTreeSet;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, Schema};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;
use weir_base::{Kind, SqlState, TopicName};
use weir_catalog::{Column, DEFAULT_SCHEMA, IfExists, Logical, ObjectId, ObjectName};

use super::{ident_position, normalized};
use crate::error::{Error, Result};
use crate::planning::columns::shown_name;

pub(super) fn topic_exists(topic: &TopicName) -> Error {
    Error::new(Kind::Conflict, format!("topic \"{topic}\" already exists"))
        .with_hint("give the stream a topic of another name: WITH (topic = '…')")
}

pub(super) fn if_exists(or_replace: bool, if_not_exists: bool) -> Result<IfExists> {
    match (or_replace, if_not_exists) {
        (true, true) => Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            "OR REPLACE and IF NOT EXISTS contradict each other",
        )),
        (true, false) => Ok(IfExists::Replace),
        (false, true) => Ok(IfExists::Keep),
        (false, false) => Ok(IfExists::Refuse),
    }
}

/// The topic of a stream or table: its name, after its schema's unless that is `public`.
pub(super) fn topic_name(name: &ObjectName) -> Result<TopicName> {
    let text = if name.schema == DEFAULT_SCHEMA {
        name.name.clone()
    } else {
        format!("{}.{}", name.schema, name.name)
    };
    TopicName::new(text).map_err(|error| {
        Error::invalid(SqlState("42602"), error.to_string())
            .with_hint("name the topic apart from the stream: WITH (topic = '…')")
    })
}

/// Columns of a query's answer, under new names where given.
pub(super) fn query_columns(schema: &Schema, names: &[ast::Ident]) -> Result<Vec<Column>> {
    if !names.is_empty() && names.len() != schema.fields().len() {
        return Err(Error::invalid(
            SqlState::SYNTAX_ERROR,
            format!(
                "{} column names were given, but the query has {} columns",
                names.len(),
                schema.fields().len()
            ),
        )
        .with_position(names.first().and_then(ident_position)));
    }
    let mut columns: Vec<Column> = schema
        .fields()
        .iter()
        .map(|field| column_of_field(field))
        .collect();
    for (column, name) in columns.iter_mut().zip(names) {
        column.name = normalized(name);
        column.source.clone_from(&column.name);
    }
    let twice = columns
        .iter()
        .map(|column| shown_name(&column.name))
        .zip(&columns)
        .find(|(shown, column)| *shown != column.name);
    match twice {
        None => Ok(columns),
        Some((name, _)) => Err(Error::invalid(
            SqlState::DUPLICATE_COLUMN,
            format!("column name {name:?} is specified more than once"),
        )
        .with_hint("give one of them another name with AS")),
    }
}

/// The columns of a query as a table of its rows gets them: a decimal that is computed, or written as a literal, has room for
/// larger ones, as `1.5` would otherwise make a column that holds no `10`.
pub(super) fn roomy(plan: &LogicalPlan) -> Schema {
    let is_column = |at: usize| match plan {
        LogicalPlan::Projection(projection) => {
            let expr = projection.expr.get(at).cloned().map(Expr::unalias);
            matches!(expr, Some(Expr::Column(_)))
        }
        _ => false,
    };
    let schema = plan.schema().as_arrow();
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        let field = field.as_ref().clone();
        match field.data_type() {
            DataType::Decimal128(_, scale) if !is_column(at) => {
                let data_type = DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale);
                field.with_data_type(data_type)
            }
            _ => field,
        }
    });
    Schema::new_with_metadata(fields.collect::<Vec<Field>>(), schema.metadata().clone())
}

pub(super) fn column_of_field(field: &Field) -> Column {
    let logical = Logical::of_field(field);
    let data_type = match field.data_type() {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        // Columns are kept in UTC, whatever the zone of the session that made them.
        DataType::Timestamp(unit, Some(_)) => {
            DataType::Timestamp(*unit, Some(crate::planning::UTC.into()))
        }
        other => other.clone(),
    };
    let sql_type = logical.map_or_else(
        || crate::sql_types::sql_name(&data_type),
        |logical| logical.to_string(),
    );
    let mut column = Column::new(field.name(), data_type, sql_type);
    column.logical = logical;
    column
}

pub(super) fn depends_on_itself(
    snapshot: &weir_catalog::Snapshot,
    own: ObjectId,
    direct: &BTreeSet<ObjectId>,
) -> bool {
    snapshot
        .with_dependants(&[own])
        .iter()
        .any(|entry| direct.contains(&entry.id))
}
