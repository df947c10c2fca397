//! Rows that come in from outside SQL: checked, appended, durable.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_plan::PhysicalExpr;
use weir_base::{Kind, SqlState};
use weir_catalog::{Body, Entry, ObjectKind, ObjectName, Privilege};
use weir_connectors::topic::{
    Change, CsvLayout, IdempotencyKey, OnConflict, RowError, RowSchema, Rows, TopicWriter,
    encode_arrow, encode_csv, encode_ndjson, encode_parquet,
};

use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::lanes::panicked;
use crate::planning::executable;
use crate::request::{Ingest, IngestFormat, Ingested, IngestedPartition};
use crate::rows::{expression, row_schema};
use crate::security::Rights;
use crate::variables::Variables;

/// What the rows of one stream are checked and written with, kept while its definition stays the same.
pub(crate) struct StreamWriter {
    pub(crate) entry: Arc<Entry>,
    pub(crate) writer: TopicWriter,
    pub(crate) checks: Checks,
    /// Whether every default is the same for all rows at all times.
    is_constant: bool,
}

impl StreamWriter {
    /// What rows look like.
    pub(crate) fn schema(&self) -> &RowSchema {
        self.writer.schema()
    }

    /// Looks at what the stream's constraints say of rows.
    ///
    /// # Errors
    /// 23514 for the first row that a constraint refuses.
    pub(crate) fn check(&self, rows: &RecordBatch) -> Result<()> {
        self.checks.check(rows, &self.entry)
    }
}

/// The batches of an Arrow stream that a client has sent. What would take more memory than it is long is refused before it is read.
///
/// # Errors
/// 22023 when it is no whole stream.
pub fn read_arrow(body: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    weir_connectors::topic::read_arrow(body).map_err(|reason| {
        Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("it is not a whole Arrow stream: {reason}"),
        )
    })
}

/// The most bytes of an idempotency key: an id of the client's, no document.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;

/// Appends rows to a stream.
pub(crate) async fn ingest(
    engine: Arc<Shared>,
    rights: &Rights,
    variables: &Variables,
    ingest: Ingest,
) -> Result<Ingested> {
    let name = stream_name(&ingest.stream, variables)?;
    let snapshot = engine.catalog.snapshot();
    let entry = rights.visible(&snapshot).relation(&name)?.clone();
    rights.require(Privilege::Insert, &entry, &snapshot)?;
    if let Some(entry) = snapshot.get(&name)
        && entry.kind() == ObjectKind::Table
    {
        return ingest_into_table(engine, Arc::clone(entry), ingest).await;
    }
    if let Some(entry) = snapshot.get(&name) {
        refuse_mirror(entry)?;
    }
    let writer = stream_writer(&engine, &name)?;
    let bytes = ingest.body.len() as u64;
    if ingest
        .idempotency_key
        .as_ref()
        .is_some_and(|key| !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()))
    {
        return Err(Error::invalid(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes"),
        ));
    }
    let (rows, writer, key) = tokio::task::spawn_blocking(move || -> Result<_> {
        let rows = encode(writer.writer.schema(), &ingest)?;
        writer.checks.check(rows.batch(), &writer.entry)?;
        let key = ingest
            .idempotency_key
            .map(|key| IdempotencyKey::new(key, &ingest.body));
        Ok((rows, writer, key))
    })
    .await
    .map_err(panicked)??;
    let written = append(&writer, &rows, key.as_ref()).await?;
    if !written.duplicate {
        engine.counters.rows_in.add(written.rows);
        engine.counters.bytes_in.add(bytes);
    }
    Ok(written)
}

fn encode(schema: &RowSchema, ingest: &Ingest) -> Result<Rows> {
    let rows = match ingest.format {
        IngestFormat::Ndjson => encode_ndjson(schema, &ingest.body),
        IngestFormat::Csv => encode_csv(schema, &ingest.body, CsvLayout::default()),
        IngestFormat::Arrow => encode_arrow(schema, &ingest.body),
        IngestFormat::Parquet => encode_parquet(schema, &ingest.body),
    };
    rows.map_err(from_row_error)
}

/// Inserts rows into a table; a key that is there already refuses all.
async fn ingest_into_table(
    engine: Arc<Shared>,
    entry: Arc<Entry>,
    ingest: Ingest,
) -> Result<Ingested> {
    if ingest.idempotency_key.is_some() {
        let refused = Error::unsupported(format!(
            "an idempotency key is for streams, and this is {}",
            entry.describe()
        ));
        return Err(refused.with_hint(match entry.primary_key() {
            [] => "leave it out; a table with a primary key refuses rows that come again",
            _ => "leave it out: rows that come again are refused by the table's primary key",
        }));
    }
    let table = engine.keyed_table(&entry)?;
    let schema = row_schema(&engine, &entry)?;
    let checks = Checks::of(&engine, &entry)?;
    let bytes = ingest.body.len() as u64;
    let rows = tokio::task::spawn_blocking(move || -> Result<_> {
        let rows = encode(&schema, &ingest)?;
        checks.check(rows.batch(), &entry)?;
        Ok(rows)
    });
    let rows = rows.await.map_err(panicked)??;
    let change = Change::Insert {
        rows,
        on_conflict: OnConflict::Error,
    };
    let commit = table.writer().await?.commit(vec![change]).await;
    let commit = commit.map_err(|error| match error.row() {
        Some(row) => Error::from(error)
            .in_context(&format!("row {row}"))
            .at_row(row, None)
            .with_hint(
                "ingest only adds rows to a table; INSERT … ON CONFLICT DO UPDATE replaces them",
            ),
        None => error.into(),
    })?;
    let count: u64 = commit.affected.iter().sum();
    let end = commit.durable().await?;
    engine.counters.rows_in.add(count);
    engine.counters.bytes_in.add(bytes);
    let base_offset = end
        .0
        .saturating_sub(i64::try_from(count).unwrap_or(i64::MAX));
    let partitions = vec![IngestedPartition {
        partition: 0,
        base_offset,
        end_offset: end.0,
    }];
    Ok(Ingested {
        rows: count,
        partitions: if count == 0 { vec![] } else { partitions },
        duplicate: false,
    })
}

/// Appends checked rows, durably.
pub(crate) async fn append(
    writer: &StreamWriter,
    rows: &Rows,
    key: Option<&IdempotencyKey>,
) -> Result<Ingested> {
    let written = writer.writer.append(rows, key).await?;
    Ok(Ingested {
        rows: written.rows,
        partitions: written
            .ranges
            .iter()
            .map(|range| IngestedPartition {
                partition: range.partition.0,
                base_offset: range.base.0,
                end_offset: range.end.0,
            })
            .collect(),
        duplicate: written.duplicate,
    })
}

/// The name that a door gave: `bids`, `schema.bids`, with quotes around a part that has dots itself.
fn stream_name(text: &str, variables: &Variables) -> Result<ObjectName> {
    match name_parts(text).as_deref() {
        Some([name]) => Ok(ObjectName::new(variables.schema(), name)),
        Some([schema, name]) => Ok(ObjectName::new(schema, name)),
        _ => Err(Error::new(
            Kind::NotFound,
            format!("{text:?} is not the name of a stream"),
        )
        .with_sqlstate(SqlState::UNDEFINED_TABLE)),
    }
}

/// The parts of a name between dots; `None` when a quote is not closed, or closed in the middle of a part.
fn name_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let part = match rest.strip_prefix('"') {
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                let (part, after) = rest.split_at(end);
                rest = after;
                part.to_owned()
            }
            Some(quoted) => {
                let (part, after) = unquoted(quoted)?;
                rest = after;
                part
            }
        };
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

/// What stands before the closing quote, and what comes after it. Two quotes are one that does not close.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return Some((part, after)),
        }
    }
}

/// Refuses rows for a stream that shows what its topic tells of somebody else's.
pub(crate) fn refuse_mirror(entry: &Entry) -> Result<()> {
    match &entry.body {
        Body::Stream(stream) if stream.is_changelog() => Err(Error::new(
            Kind::Invalid,
            format!(
                "{} shows somebody else's rows, and takes none",
                entry.describe()
            ),
        )
        .with_sqlstate(SqlState::WRONG_OBJECT_TYPE)
        .with_hint(format!(
            "changes come into topic \"{}\", in format '{}'",
            stream.topic, stream.format
        ))),
        _ => Ok(()),
    }
}

/// The writer of a stream, made when it is first written to after a change of its definition.
pub(crate) fn stream_writer(engine: &Arc<Shared>, name: &ObjectName) -> Result<Arc<StreamWriter>> {
    let snapshot = engine.catalog.snapshot();
    let entry = snapshot.relation(name)?;
    if entry.kind() != ObjectKind::Stream {
        return Err(Error::new(
            Kind::Invalid,
            format!("{} does not take rows", entry.describe()),
        )
        .with_sqlstate(SqlState::WRONG_OBJECT_TYPE)
        .with_hint("rows go into streams and tables"));
    }
    let topic = engine.topic_of(entry)?;
    let mut writers = engine.tables.writers.lock();
    if let Some(writer) = writers.get(&entry.id)
        && writer.entry.as_ref() == entry.as_ref()
        && writer.is_constant
    {
        return Ok(Arc::clone(writer));
    }
    let schema = Arc::new(row_schema(engine, entry)?);
    let is_constant = entry
        .columns()
        .iter()
        .filter_map(|column| column.default.as_deref())
        .all(|default| {
            expression(engine, default, &DFSchema::empty()).is_ok_and(|expr| is_constant(&expr))
        });
    let writer = Arc::new(StreamWriter {
        entry: Arc::clone(entry),
        checks: Checks::of(engine, entry)?,
        writer: TopicWriter::new(topic, schema, Arc::clone(&engine.clock)),
        is_constant,
    });
    writers.insert(entry.id, Arc::clone(&writer));
    Ok(writer)
}

/// Whether an expression gives the same for the same row at all times.
pub(crate) fn is_constant(expr: &datafusion::logical_expr::Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    use datafusion::logical_expr::{Expr, Volatility};
    let changes = expr.exists(|expr| {
        Ok(matches!(expr, Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable))
    });
    matches!(changes, Ok(false))
}

/// The conditions that each row of a stream or table must keep to.
pub(crate) struct Checks(Vec<Check>);

struct Check {
    name: String,
    sql: String,
    condition: Arc<dyn PhysicalExpr>,
}

impl Checks {
    /// Those of `entry`, made ready for batches in its schema.
    pub(crate) fn of(engine: &Shared, entry: &Entry) -> Result<Self> {
        if entry.checks().is_empty() {
            return Ok(Self(vec![]));
        }
        let schema: DFSchemaRef =
            Arc::new(DFSchema::try_from(entry.arrow_schema().as_ref().clone())?);
        let checks = entry.checks().iter().map(|check| {
            let expr = expression(engine, &check.sql, &schema)
                .map_err(|error| error.in_context(&format!("constraint \"{}\"", check.name)))?;
            Ok(Check {
                name: check.name.clone(),
                sql: check.sql.clone(),
                condition: executable(&engine.base_state, expr, &schema)?,
            })
        });
        Ok(Self(checks.collect::<Result<Vec<_>>>()?))
    }

    /// Refuses the first row for which a condition is false; null passes, as in SQL.
    pub(crate) fn check(&self, batch: &RecordBatch, entry: &Entry) -> Result<()> {
        for check in &self.0 {
            let value = check.condition.evaluate(batch)?;
            let values = match value {
                ColumnarValue::Array(array) => array,
                ColumnarValue::Scalar(value) => value.to_array_of_size(batch.num_rows())?,
            };
            let Some(values) = values.as_any().downcast_ref::<arrow::array::BooleanArray>() else {
                continue;
            };
            let broken = (0..values.len()).find(|row| values.is_valid(*row) && !values.value(*row));
            if let Some(row) = broken {
                return Err(Error::invalid(
                    SqlState::CHECK_VIOLATION,
                    format!(
                        "row {}: it violates constraint \"{}\" of {}",
                        row + 1,
                        check.name,
                        entry.describe()
                    ),
                )
                .with_hint(format!("it must keep to {}", check.sql))
                .at_row(row as u64 + 1, None));
            }
        }
        Ok(())
    }
}

pub(crate) fn from_row_error(error: RowError) -> Error {
    let wrong = Error::from_classified(&error);
    match error.row {
        Some(row) => wrong.at_row(row, error.column),
        None => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_parts_between_dots_and_within_quotes() {
        let parts = |text: &str| name_parts(text).map(|parts| parts.join("|"));
        for (text, expected) in [
            ("bids", Some("bids")),
            ("sales.bids", Some("sales|bids")),
            ("\"a.b\".\"c\"\"d\"", Some("a.b|c\"d")),
            ("x.\"\"", Some("x|")),
            ("\"open", None),
            ("\"a\"b", None),
        ] {
            assert_eq!(parts(text).as_deref(), expected, "{text}");
        }
    }
}
