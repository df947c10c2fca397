//! `pg_get_keywords()`.

use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::MemTable;

use crate::postgres::values::{Value, array};
use crate::postgres::{facts, named};

/// PostgreSQL's words, by which clients tell which names must be quoted.
pub(crate) fn keywords() -> Result<Arc<dyn TableProvider>> {
    let words = facts::keywords();
    let of = |value: fn(&facts::Keyword) -> Value| words.iter().map(value).collect::<Vec<_>>();
    let columns = [
        ("word", "text", of(|it| it.word.into())),
        ("catcode", "char", of(|it| it.category.into())),
        ("barelabel", "bool", of(|it| it.is_bare_label.into())),
        ("catdesc", "text", of(|it| category(it.category).into())),
        (
            "baredesc",
            "text",
            of(|it| match it.is_bare_label {
                true => "can be bare label".into(),
                false => "requires AS".into(),
            }),
        ),
    ];
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (name, type_name, values) in columns {
        let Some(pg_type) = named(type_name) else {
            return internal_err!("no type {type_name:?}");
        };
        fields.push(pg_type.field(name));
        arrays.push(array(pg_type.stored_as(), &values)?);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    Ok(Arc::new(table))
}

fn category(letter: &str) -> &'static str {
    match letter {
        "U" => "unreserved",
        "C" => "unreserved (cannot be function or type name)",
        "T" => "reserved (can be function or type name)",
        _ => "reserved",
    }
}
