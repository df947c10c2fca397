//! Values that tell how a row changed: Debezium's envelopes, and rows that a null value deletes.
//!
//! *Out:* the row's columns as they are after the change, and [`DELETED`]. Of a row that is gone only its key means something; of a
//! record that changes no row, nothing does.

mod debezium;
mod upsert;

#[cfg(test)]
mod tests;

pub(super) use debezium::DebeziumDecoder;
pub(super) use upsert::UpsertDecoder;

use arrow::datatypes::{DataType, Field};

use crate::topic::row::{Care, Wanted};

/// The column after all others: whether the change took the row away; null when the record changes no row.
pub(crate) const DELETED: &str = "_deleted";

/// The field of [`DELETED`].
pub(crate) fn deleted_field() -> Field {
    Field::new(DELETED, DataType::Boolean, true)
}

/// The columns of rows among those that are wanted, and whether [`DELETED`] is given.
fn split<'a>(columns: &[Wanted<'a>]) -> (Vec<Wanted<'a>>, bool) {
    let is_deleted = |column: &Wanted<'_>| column.key == DELETED;
    let gives = |column: &Wanted<'_>| is_deleted(column) && column.care == Care::Kept;
    let rows = columns.iter().filter(|column| !is_deleted(column));
    (rows.cloned().collect(), columns.iter().any(gives))
}
