//! Bulk ingest: rows into a stream or table, which may be made for them. All of them or none, and durable when it answers.
//!
//! Rows for what is there go the way of every ingest. A table that is made for its rows, or anew, is made in one transaction
//! with them.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::FlightData;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use futures::Stream;
use tonic::Status;
use weir_base::{Kind, SqlState};
use weir_engine::{
    Copied, Error, Ingest, IngestFormat, Request, Session, quote_ident, read_arrow, sql_name,
};

use super::Flight;
use super::put::Uploaded;
use super::sessions::ClientSession;
use super::status::{invalid, status, unsupported};
use super::transactions::{commit, run};

/// What is to be done about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Make it when it is not there; else that is an error.
    creates: bool,
    existing: Existing,
}

/// What is to be done when the target is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    Fail,
    Append,
    Replace,
}

/// Where rows go.
struct Target {
    schema: String,
    table: String,
}

impl Target {
    /// The name in SQL.
    fn sql(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.table))
    }
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
        let transaction = command.transaction_id.as_deref();
        let in_transaction = transaction.is_some_and(|id| !id.is_empty());
        let session = self.session_of(caller, transaction)?;
        let uploaded = self.gather(first, messages).await?;
        let done = async {
            let target = target(&session, command)?;
            let is_there = exists(&session, &target)?;
            if is_there && plan.existing == Existing::Fail {
                return Err(already_there(&target));
            }
            let appends = is_there && plan.existing == Existing::Append;
            // What is not there and not to be made is told of by who would write.
            if appends || !(is_there || plan.creates) {
                return match in_transaction {
                    true => copy(&session, &target, &uploaded).await,
                    false => append(&session, &target, &uploaded).await,
                };
            }
            if in_transaction {
                return make(&session, &target, &uploaded, is_there).await;
            }
            // Dropped before its end, the session takes its transaction back.
            let own = session.sibling();
            run(&own, Request::new("BEGIN")).await?;
            let rows = make(&own, &target, &uploaded, is_there).await?;
            commit(&own).await?;
            Ok(rows)
        };
        let rows = done.await.map_err(|error: Error| status(&error))?;
        Ok(i64::try_from(rows).unwrap_or(i64::MAX))
    }
}

/// Decides what the options ask for.
fn plan(command: &CommandStatementIngest) -> Result<Plan, Status> {
    if command.temporary {
        return Err(unsupported("temporary tables are not supported"));
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
    let existing = match existing {
        TableExistsOption::Append => Existing::Append,
        TableExistsOption::Fail => Existing::Fail,
        TableExistsOption::Replace => Existing::Replace,
        TableExistsOption::Unspecified => return Err(unspecified()),
    };
    if !creates && existing == Existing::Fail {
        return Err(invalid(
            "the options refuse the table both when it is there and when it is not",
        ));
    }
    Ok(Plan { creates, existing })
}

fn unspecified() -> Status {
    invalid("the ingest must say what to do when the table is there and when it is not")
}

fn target(session: &Session, command: CommandStatementIngest) -> Result<Target, Error> {
    let schema = match command.schema.filter(|schema| !schema.is_empty()) {
        Some(schema) => schema,
        None => session.setting("search_path")?,
    };
    Ok(Target {
        schema,
        table: command.table,
    })
}

fn exists(session: &Session, target: &Target) -> Result<bool, Error> {
    let listing = session.listing()?;
    let mut relations = listing.relations.iter();
    Ok(relations.any(|relation| relation.schema == target.schema && relation.name == target.table))
}

fn already_there(target: &Target) -> Error {
    Error::new(Kind::Conflict, format!("{} is there already", target.sql()))
        .with_sqlstate(SqlState::DUPLICATE_TABLE)
        .with_hint("append to it, or choose another name")
}

/// Adds rows to what is there.
async fn append(session: &Session, target: &Target, uploaded: &Uploaded) -> Result<u64, Error> {
    let ingest = Ingest {
        stream: target.sql(),
        format: IngestFormat::Arrow,
        body: uploaded.body.clone(),
        idempotency_key: None,
    };
    Ok(session.ingest(ingest).await?.rows)
}

/// Makes the table, in the place of the one that is there, and fills it: in a transaction that is open.
async fn make(
    session: &Session,
    target: &Target,
    uploaded: &Uploaded,
    replaces: bool,
) -> Result<u64, Error> {
    let (schema, _) = read_arrow(&uploaded.body)?;
    let sql = create_table(&target.sql(), &schema)?;
    if replaces {
        let drop = format!("DROP TABLE {}", target.sql());
        run(session, Request::new(drop)).await?;
    }
    run(session, Request::new(sql)).await?;
    copy(session, target, uploaded).await
}

/// Adds rows by a statement, which belongs to the transaction of its session.
async fn copy(session: &Session, target: &Target, uploaded: &Uploaded) -> Result<u64, Error> {
    let (schema, batches) = read_arrow(&uploaded.body)?;
    let rows: usize = batches
        .iter()
        .map(arrow::record_batch::RecordBatch::num_rows)
        .sum();
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| quote_ident(field.name()))
        .collect();
    let request = Request {
        copied: Some(Copied { schema, batches }),
        ..Request::new(format!(
            "COPY {} ({}) FROM STDIN",
            target.sql(),
            columns.join(", ")
        ))
    };
    run(session, request).await?;
    Ok(rows as u64)
}

/// The statement that makes a table for rows of this schema.
fn create_table(target: &str, schema: &Schema) -> Result<String, Error> {
    if schema.fields().is_empty() {
        return Err(Error::invalid(
            SqlState::INVALID_TABLE_DEFINITION,
            "a table needs a column, and the rows have none",
        ));
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
        let (creates, existing) = (true, super::Existing::Append);
        assert_eq!(
            code(command(Missing::Create, Existing::Append)),
            Ok(Plan { creates, existing })
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
            CommandStatementIngest {
                temporary: true,
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
            "CREATE TABLE \"s\".\"t\" (id BIGINT NOT NULL, \"a \"\"b\"\"\" TEXT)"
        );
        assert!(create_table("t", &Schema::empty()).is_err());
    }
}
