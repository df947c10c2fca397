//! What a statement answers and takes, without running it.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use tonic::Status;
use weir_engine::{Description, Session};

use super::Flight;
use super::status::status;
use super::types::sent_schema;

/// The columns of a described statement's answer as they are sent; a command has none.
pub(super) fn dataset(described: &Description, views: bool) -> SchemaRef {
    sent_schema(&described.columns, views)
}

/// A described statement's parameters: `$1` first, in the types that drivers make values of.
pub(super) fn parameters(described: &Description) -> SchemaRef {
    let fields: Vec<Field> = described
        .parameters
        .iter()
        .zip(1..)
        .map(|(data_type, number)| Field::new(format!("${number}"), data_type.clone(), true))
        .collect();
    sent_schema(&Arc::new(Schema::new(fields)), false)
}

impl Flight {
    /// Describes a statement.
    ///
    /// # Errors
    /// As its execution would have before its first row.
    pub(super) async fn describe(session: &Session, sql: &str) -> Result<Description, Status> {
        session
            .describe(sql, &[])
            .await
            .map_err(|error| status(&error))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn parameters_are_numbered_and_of_types_that_drivers_have() {
        let described = Description {
            parameters: vec![DataType::Int64, DataType::Utf8View],
            ..Description::of_command("INSERT")
        };
        let schema = parameters(&described);
        let shown: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        assert_eq!(shown, ["$1 Int64", "$2 Utf8"]);
        assert!(dataset(&described, false).fields().is_empty());
    }
}
