//! Functions and operators of JSON.
//!
//! A value is text that says in its field that it is JSON. What is written as `jsonb` is in PostgreSQL's canonical form; what
//! is written as `json`, and the JSON of a stream, is as it came. Looking into either gives the part as it stands there.

mod build;
mod change;
pub(crate) mod document;
mod expand;
mod get;
pub(crate) mod write;

use super::define::Definition;
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::Field;
pub(crate) use build::canonical;

/// All scalar functions of JSON.
pub(super) fn functions() -> impl Iterator<Item = &'static Definition> {
    const ALL: [&[Definition]; 4] = [
        &get::FUNCTIONS,
        &build::FUNCTIONS,
        &change::FUNCTIONS,
        &expand::FUNCTIONS,
    ];
    ALL.into_iter().flatten()
}

/// The field of a value of which only the type is known.
fn plain_field(values: &ArrayRef) -> Field {
    Field::new("value", values.data_type().clone(), true)
}
