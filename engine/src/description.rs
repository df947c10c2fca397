//! What a statement wants and gives, before it runs.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

/// What a statement wants and gives, as it would on the catalog of now. See [`Session::describe`](crate::Session::describe).
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The types of `$1`, `$2`, …: what the caller said, else what their places ask for, else text.
    pub parameters: Vec<DataType>,
    /// The columns of the answer; none for a command.
    pub columns: SchemaRef,
    /// PostgreSQL's command tag without a count.
    pub tag: &'static str,
    /// Whether it changes nothing that another session could see.
    pub reads_only: bool,
    /// Whether its rows have no end.
    pub is_live: bool,
}

impl Description {
    /// A command that takes no parameters.
    pub fn of_command(tag: &'static str) -> Self {
        Self {
            parameters: Vec::new(),
            columns: Arc::new(Schema::empty()),
            tag,
            reads_only: true,
            is_live: false,
        }
    }
}
