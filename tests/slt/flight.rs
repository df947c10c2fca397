//! A statement over Flight SQL. Record batches are put into the JSON that the REST door would write.
//!
//! What changes rows goes as a JDBC driver sends it: prepared, and then by what the server says that it answers. All else
//! goes as ADBC sends it: a `FlightInfo`, whose ticket is for the rows.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use arrow_flight::FlightInfo;
use arrow_flight::error::FlightError;
use arrow_flight::sql::Any;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use futures::TryStreamExt;
use prost::Message;
use sqllogictest::DBOutput;
use tonic::Status;
use tonic::transport::Channel;

use super::connection::{Refusal, changes_rows, word};
use super::json::{is_json, json};
use super::kind::Kind;

/// Runs a statement.
///
/// # Errors
/// The status that the server told of.
pub(super) async fn run(
    client: &mut FlightSqlServiceClient<Channel>,
    sql: &str,
) -> Result<DBOutput<Kind>, Refusal> {
    if !changes_rows(sql) {
        let info = client.execute(sql.to_owned(), None).await?;
        return answer(client, &info).await;
    }
    let mut prepared = client.prepare(sql.to_owned(), None).await?;
    let output = run_prepared(client, &mut prepared).await;
    prepared.close().await?;
    output
}

async fn run_prepared(
    client: &mut FlightSqlServiceClient<Channel>,
    prepared: &mut PreparedStatement<Channel>,
) -> Result<DBOutput<Kind>, Refusal> {
    if prepared.dataset_schema()?.fields().is_empty() {
        return Ok(complete(prepared.execute_update().await?));
    }
    let info = prepared.execute().await?;
    answer(client, &info).await
}

fn complete(count: i64) -> DBOutput<Kind> {
    // Not known, or not a matter of rows.
    DBOutput::StatementComplete(u64::try_from(count).unwrap_or(0))
}

/// What a `FlightInfo` is of: a command is done, and has no endpoint.
async fn answer(
    client: &mut FlightSqlServiceClient<Channel>,
    info: &FlightInfo,
) -> Result<DBOutput<Kind>, Refusal> {
    let promised = info.clone().try_decode_schema();
    let promised = promised.expect("the schema of an answer can be read");
    let [endpoint] = &info.endpoint[..] else {
        assert!(
            info.endpoint.is_empty() && promised.fields().is_empty(),
            "all rows of an answer are at one place: {info:?}"
        );
        return Ok(complete(info.total_records));
    };
    let ticket = endpoint.ticket.clone().expect("an endpoint has a ticket");
    let batches: Vec<RecordBatch> = client.do_get(ticket).await?.try_collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        assert_eq!(batch.schema().fields(), promised.fields());
        rows.extend((0..batch.num_rows()).map(|row| words(batch, row)));
    }
    Ok(DBOutput::Rows {
        types: promised.fields().iter().map(|field| kind(field)).collect(),
        rows,
    })
}

fn words(batch: &RecordBatch, row: usize) -> Vec<String> {
    let schema = batch.schema();
    let cells = batch.columns().iter().zip(schema.fields());
    cells
        .map(|(column, field)| word(&json(column, field, row)))
        .collect()
}

fn kind(field: &Field) -> Kind {
    match field.data_type() {
        _ if is_json(field) => Kind::Nested,
        DataType::Boolean => Kind::Boolean,
        data_type if data_type.is_integer() => Kind::Integer,
        data_type if data_type.is_floating() => Kind::Real,
        data_type if data_type.is_decimal() => Kind::Decimal,
        data_type if data_type.is_temporal() => Kind::Time,
        data_type if data_type.is_nested() => Kind::Nested,
        data_type if data_type.is_string() => Kind::Text,
        data_type if data_type.is_binary() => Kind::Bytes,
        _ => Kind::Any,
    }
}

/// `google.rpc.Status`, of which the details are wanted.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.rpc.ErrorInfo`, of which the metadata is wanted.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

impl From<FlightError> for Refusal {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::from(*status),
            other => panic!("the server sent what is not Flight: {other}"),
        }
    }
}

impl From<Status> for Refusal {
    /// A status tells of a failure twice, in its text for people and in its details for programs: both must say the same.
    fn from(status: Status) -> Self {
        let details = RpcStatus::decode(status.details()).expect("details are a google.rpc.Status");
        let info = details.details.first().map(|any| any.value.as_ref());
        let info = ErrorInfo::decode(info.unwrap_or_default()).expect("a detail is an ErrorInfo");
        let said = |key: &str| info.metadata.get(key).map(String::as_str);
        let sqlstate = said("sqlstate").unwrap_or("-").to_owned();
        let place = said("line").zip(said("column"));
        let place = place.map(|(line, column)| format!("line {line}, column {column}"));
        let hint = said("hint");
        let mut told = format!(" (SQLSTATE {sqlstate}");
        told.extend(place.iter().map(|place| format!(", {place}")));
        told.push(')');
        told.extend(hint.map(|hint| format!("; hint: {hint}")));
        let message = status.message().strip_suffix(&told).unwrap_or_else(|| {
            panic!(
                "{:?} does not end as its details do: {told:?}",
                status.message()
            )
        });
        let mut text = format!("{sqlstate}: {message}");
        text.extend(place.iter().map(|place| format!(" [{place}]")));
        text.extend(hint.map(|hint| format!(" hint: {hint}")));
        Self { sqlstate, text }
    }
}
