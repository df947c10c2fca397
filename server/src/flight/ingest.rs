//! Bulk ingest: rows into a stream or table, which may be made for them. All of them or none, and durable when it answers.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use arrow_flight::FlightData;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use futures::Stream;
use tonic::Status;
use weir_base::{Classify, SqlState};
use weir_engine::{Error, Ingest, IngestFormat, Request, Session, quote_ident, sql_name};

use super::Flight;
use super::put::Uploaded;
use super::sessions::ClientSession;
use super::status::{invalid, status, unsupported};

/// What is to be done about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Make it when it is not there; else that is an error.
    creates: bool,
    /// Add to it when it is there; else that is an error.
    appends: bool,
}

impl Flight {
    /// Ingests what is put, and gives how many rows came in.
    pub(super) async fn ingest<S>(
        &self,
        caller: &Arc<ClientSession>,
        command: CommandStatementIngest,
        first: FlightData,
        messages: S,
    ) -> Result<i64, Status>
    where
        S: Stream<Item = Result<FlightData, Status>> + Unpin,
    {
        let plan = plan(&command)?;
        let session = Self::session_of(caller, None)?;
        let target = target(&command);
        let uploaded = self.gather(first, messages).await?;
        let is_new = plan.creates && create(&session, &target, &uploaded, plan).await?;
        let ingested = session
            .ingest(Ingest {
                stream: target.clone(),
                format: IngestFormat::Arrow,
                body: uploaded.body.clone(),
                idempotency_key: None,
            })
            .await;
        match ingested {
            Ok(ingested) => Ok(i64::try_from(ingested.rows).unwrap_or(i64::MAX)),
            Err(error) => {
                if is_new {
                    undo(&session, &target).await;
                }
                Err(status(&error))
            }
        }
    }
}

/// Decides what the options ask for.
fn plan(command: &CommandStatementIngest) -> Result<Plan, Status> {
    if command.temporary {
        return Err(unsupported("temporary tables are not supported"));
    }
    if command
        .transaction_id
        .as_ref()
        .is_some_and(|id| !id.is_empty())
    {
        return Err(unsupported(
            "bulk ingest is a commit of its own, and cannot be part of a transaction",
        ));
    }
    if let Some(catalog) = command.catalog.as_deref()
        && !["", "weir"].contains(&catalog)
    {
        return Err(invalid(format!(
            "database {catalog:?} not found: this server has one, \"weir\""
        )));
    }
    if let Some(option) = command.options.keys().min() {
        return Err(unsupported(format!(
            "the ingest option {option:?} is not known"
        )));
    }
    let options = command.table_definition_options.as_ref();
    let (Some(missing), Some(existing)) = (
        options.and_then(|options| TableNotExistOption::try_from(options.if_not_exist).ok()),
        options.and_then(|options| TableExistsOption::try_from(options.if_exists).ok()),
    ) else {
        return Err(unspecified());
    };
    let creates = match missing {
        TableNotExistOption::Create => true,
        TableNotExistOption::Fail => false,
        TableNotExistOption::Unspecified => return Err(unspecified()),
    };
    let appends = match existing {
        TableExistsOption::Append => true,
        TableExistsOption::Fail => false,
        TableExistsOption::Replace => {
            return Err(unsupported(
                "replacing a table's rows by an ingest is not supported: it could not be done at once",
            ));
        }
        TableExistsOption::Unspecified => return Err(unspecified()),
    };
    if !creates && !appends {
        return Err(invalid(
            "the options refuse the table both when it is there and when it is not",
        ));
    }
    Ok(Plan { creates, appends })
}

fn unspecified() -> Status {
    invalid("the ingest must say what to do when the table is there and when it is not")
}

/// The target's name in SQL.
fn target(command: &CommandStatementIngest) -> String {
    let name = quote_ident(&command.table);
    match command.schema.as_deref() {
        None | Some("") => name,
        Some(schema) => format!("{}.{name}", quote_ident(schema)),
    }
}

/// Makes the table of an upload. Returns whether it did: `false` when it is there and rows are to be added.
async fn create(
    session: &Session,
    target: &str,
    uploaded: &Uploaded,
    plan: Plan,
) -> Result<bool, Status> {
    let sql = definition(target, uploaded)?;
    match run(session, sql).await {
        Ok(()) => Ok(true),
        Err(error) if error.sqlstate() == SqlState::DUPLICATE_TABLE && plan.appends => Ok(false),
        Err(error) => Err(status(&error)),
    }
}

async fn run(session: &Session, sql: String) -> Result<(), Error> {
    use futures::StreamExt;
    let mut answer = session.execute(Request::new(sql)).await?;
    while let Some(chunk) = answer.rows.next().await {
        chunk?;
    }
    Ok(())
}

/// Takes away a table that was made for rows which then were refused.
async fn undo(session: &Session, target: &str) {
    if let Err(error) = run(session, format!("DROP TABLE {target}")).await {
        tracing::warn!(table = target, %error, "a table that an ingest made and could not fill stays");
    }
}

/// The statement that makes the table of an upload.
fn definition(target: &str, uploaded: &Uploaded) -> Result<String, Status> {
    let reader = StreamReader::try_new(&uploaded.body[..], None)
        .map_err(|error| invalid(format!("the rows are not an Arrow stream: {error}")))?;
    create_table(target, &reader.schema())
}

fn create_table(target: &str, schema: &Schema) -> Result<String, Status> {
    if schema.fields().is_empty() {
        return Err(invalid("a table needs a column, and the rows have none"));
    }
    let mut sql = format!("CREATE TABLE {target} (");
    for (at, field) in schema.fields().iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let required = if field.is_nullable() { "" } else { " NOT NULL" };
        // Writing to a String does not fail.
        let _ = write!(
            sql,
            "{comma}{} {}{required}",
            quote_ident(field.name()),
            column_type(field)
        );
    }
    sql.push(')');
    Ok(sql)
}

/// A column's type in SQL.
fn column_type(field: &Field) -> String {
    let extension = field.metadata().get("ARROW:extension:name");
    match extension.map(String::as_str) {
        Some("arrow.json") => "JSON".to_owned(),
        Some("weir.uuid") => "UUID".to_owned(),
        _ => match field.data_type() {
            DataType::Null => "TEXT".to_owned(),
            other => sql_name(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::TableDefinitionOptions;

    use super::*;

    fn command(
        missing: TableNotExistOption,
        existing: TableExistsOption,
    ) -> CommandStatementIngest {
        CommandStatementIngest {
            table_definition_options: Some(TableDefinitionOptions {
                if_not_exist: missing as i32,
                if_exists: existing as i32,
            }),
            table: "t".to_owned(),
            ..CommandStatementIngest::default()
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        use TableExistsOption as Existing;
        use TableNotExistOption as Missing;
        let code = |command: CommandStatementIngest| plan(&command).map_err(|status| status.code());
        let (creates, appends) = (true, true);
        assert_eq!(
            code(command(Missing::Create, Existing::Append)),
            Ok(Plan { creates, appends })
        );
        assert_eq!(
            code(command(Missing::Fail, Existing::Fail)),
            Err(tonic::Code::InvalidArgument)
        );
        assert_eq!(
            code(CommandStatementIngest::default()),
            Err(tonic::Code::InvalidArgument)
        );
        let append = command(Missing::Fail, Existing::Append);
        for refused in [
            command(Missing::Create, Existing::Replace),
            CommandStatementIngest {
                temporary: true,
                ..append.clone()
            },
            CommandStatementIngest {
                transaction_id: Some("t".into()),
                ..append.clone()
            },
            CommandStatementIngest {
                options: [("x".to_owned(), "y".to_owned())].into(),
                ..append.clone()
            },
        ] {
            assert_eq!(code(refused), Err(tonic::Code::Unimplemented));
        }
    }

    #[test]
    fn a_table_is_made_from_a_schema() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("a \"b\"", DataType::Utf8, true),
        ]);
        assert_eq!(
            create_table("\"s\".\"t\"", &schema).unwrap(),
            "CREATE TABLE \"s\".\"t\" (\"id\" BIGINT NOT NULL, \"a \"\"b\"\"\" TEXT)"
        );
        assert!(create_table("t", &Schema::empty()).is_err());
    }
}
