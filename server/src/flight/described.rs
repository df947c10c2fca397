//! What a statement answers and takes, without running it.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use tonic::Status;
use weir_engine::Session;

use super::Flight;
use super::status::unsupported;
use super::types::sent_schema;

/// A statement that was planned and not run.
#[derive(Debug, Clone)]
pub(super) struct Described {
    /// The columns of its answer; `None` for a command.
    pub(super) columns: Option<SchemaRef>,
    /// Its parameters, `$1` first.
    pub(super) parameters: SchemaRef,
}

impl Described {
    /// The columns of its answer as they are sent; a command has none.
    pub(super) fn sent(&self, views: bool) -> SchemaRef {
        match &self.columns {
            Some(columns) => sent_schema(columns, views),
            None => Arc::new(Schema::empty()),
        }
    }
}

impl Flight {
    /// Describes a statement.
    ///
    /// # Errors
    /// As its execution would have before its first row.
    pub(super) async fn describe(session: &Session, sql: &str) -> Result<Described, Status> {
        let _ = (session, sql);
        Err(unsupported("statements cannot be described yet"))
    }
}
