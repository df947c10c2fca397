//! From a catalog entry's columns to the row schema that streams and tables are stored with.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use weir_base::{Options, SqlState};
use weir_catalog::{Body, Column, Entry, Stream};
use weir_connectors::topic::{RecordFormat, RowColumn, RowSchema};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::planning::executable;

/// The row schema of a stream or table, defaults computed as of now.
pub(crate) fn row_schema(engine: &Shared, entry: &Entry) -> Result<RowSchema> {
    if is_raw(entry) {
        return Ok(RowSchema::raw()?);
    }
    let columns = entry
        .columns()
        .iter()
        .map(|column| {
            let mut row = RowColumn::new(column.field()).with_source(&column.source);
            row.default = column
                .default
                .as_deref()
                .map(|sql| constant(engine, sql, column))
                .transpose()?;
            row.absent = column
                .absent
                .as_deref()
                .map(|sql| constant(engine, sql, column))
                .transpose()?;
            Ok(row)
        })
        .collect::<Result<Vec<_>>>()?;
    let key = match &entry.body {
        Body::Stream(stream) if !stream.key_columns.is_empty() => &stream.key_columns,
        Body::Stream(stream) => stream.key.as_slice(),
        Body::Table(table) => table.primary_key.as_slice(),
        // The rows of a view are under keys of their own.
        _ => &[],
    };
    let place = |name: &String| {
        entry
            .columns()
            .iter()
            .position(|column| column.name == *name)
    };
    let key = key.iter().filter_map(place).collect();
    let schema = RowSchema::new(columns, key)?;
    match &entry.body {
        Body::Stream(stream) => Ok(schema
            .with_format(record_format(engine, stream)?)?
            .counting_errors(engine.tables.decode_errors(stream.topic_id))),
        _ => Ok(schema),
    }
}

/// How the records of a stream are encoded.
pub(crate) fn record_format(engine: &Shared, stream: &Stream) -> Result<RecordFormat> {
    let options = stream.options.iter();
    let options = options.filter(|(key, _)| RecordFormat::OPTIONS.contains(&key.as_str()));
    let format = std::iter::once(("format".to_owned(), stream.format.clone()));
    let given = format.chain(options.map(|(key, value)| (key.clone(), value.clone())));
    let has_key_columns = !stream.key_columns.is_empty();
    Ok(RecordFormat::take(
        &mut Options::new(given),
        has_key_columns,
        &engine.schemas(),
        stream.topic.as_str(),
    )?)
}

/// Whether a stream's columns are found by their places.
pub(crate) fn is_positional(entry: &Entry) -> bool {
    matches!(&entry.body, Body::Stream(stream) if stream.format == "csv")
}

/// Whether a stream shows its records' values as they are.
pub(crate) fn is_raw(entry: &Entry) -> bool {
    matches!(&entry.body, Body::Stream(stream) if stream.is_raw())
}

/// The value of an expression without columns, as the column's type.
fn constant(engine: &Shared, sql: &str, column: &Column) -> Result<ScalarValue> {
    let value = evaluate(engine, sql, &column.data_type);
    value.map_err(|error| error.in_context(&format!("the default of column {:?}", column.name)))
}

/// Computes the text of an expression without columns as a value of `data_type`.
///
/// # Errors
/// When it does not parse, names a column, or its value is not of that type.
pub(crate) fn evaluate(engine: &Shared, sql: &str, data_type: &DataType) -> Result<ScalarValue> {
    let expr = expression(engine, sql, &DFSchema::empty())?;
    let expr = datafusion::logical_expr::cast(expr, data_type.clone());
    let physical = executable(&engine.base_state, expr, &DFSchema::empty())?;
    let one_row = arrow::record_batch::RecordBatch::try_new_with_options(
        std::sync::Arc::new(arrow::datatypes::Schema::empty()),
        vec![],
        &arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(1)),
    )?;
    match physical.evaluate(&one_row)? {
        datafusion::logical_expr::ColumnarValue::Scalar(value) => Ok(value),
        datafusion::logical_expr::ColumnarValue::Array(array) => {
            Ok(ScalarValue::try_from_array(&array, 0)?)
        }
    }
}

/// The text of an expression over the columns of `schema`, planned.
pub(crate) fn expression(engine: &Shared, sql: &str, schema: &DFSchema) -> Result<Expr> {
    let expr = weir_sql::parse_expr(sql).map_err(|error| Error::from_classified(&error))?;
    crate::planning::plan_expression(&engine.base_state, expr, schema)
}

/// Whether each row needs a value of its own, so that one value does not do for a whole request.
pub(crate) fn is_volatile(expr: &Expr) -> bool {
    expr.is_volatile()
}

/// Refuses an expression that has columns or subqueries where only a value may stand.
pub(crate) fn refuse_columns(expr: &Expr, what: &str) -> Result<()> {
    if expr.any_column_refs() {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("{what} cannot refer to columns"),
        ));
    }
    Ok(())
}
