//! What a statement answers and takes, found out by planning it: no row is asked for, and nothing may be written.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use tonic::Status;
use weir_base::{Classify, SqlState};
use weir_engine::{AnswerKind, Request, Session};

use super::Flight;
use super::status::status;
use super::types::sent_schema;

/// The SQLSTATE of a parameter that has no value.
const UNDEFINED_PARAMETER: SqlState = SqlState("42P02");

/// A statement that was planned and not run.
#[derive(Debug, Clone)]
pub(super) struct Described {
    /// The columns of its answer; a command has none.
    pub(super) columns: SchemaRef,
    /// Whether the columns are known: they are not while parameters are missing.
    pub(super) is_known: bool,
}

impl Described {
    /// The columns of its answer as they are sent.
    pub(super) fn sent(&self, views: bool) -> SchemaRef {
        sent_schema(&self.columns, views)
    }

    fn command() -> Self {
        Self {
            columns: Arc::new(Schema::empty()),
            is_known: true,
        }
    }
}

impl Flight {
    /// Describes a statement.
    ///
    /// # Errors
    /// As its execution would have before its first row.
    pub(super) async fn describe(session: &Session, sql: &str) -> Result<Described, Status> {
        let request = Request {
            read_only: true,
            row_limit: Some(0),
            ..Request::new(sql)
        };
        match session.execute(request).await {
            Ok(answer) => Ok(match answer.kind {
                AnswerKind::Command { .. } => Described::command(),
                AnswerKind::Rows | AnswerKind::Live => Described {
                    columns: answer.schema,
                    is_known: true,
                },
            }),
            Err(error) if error.sqlstate() == SqlState::READ_ONLY_SQL_TRANSACTION => {
                Ok(Described::command())
            }
            Err(error) if error.sqlstate() == UNDEFINED_PARAMETER => Ok(Described {
                is_known: false,
                ..Described::command()
            }),
            Err(error) => Err(status(&error)),
        }
    }
}
