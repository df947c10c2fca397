//! Table functions over files: `read_parquet('location', option => value, …)`.

use super::table::FileTable;
use crate::{Error, Result};

/// The table functions, each with the format that it reads. `read_files` reads what the files' names tell.
pub const FUNCTIONS: [(&str, Option<&str>); 6] = [
    ("read_parquet", Some("parquet")),
    ("read_csv", Some("csv")),
    ("read_json", Some("json")),
    ("read_avro", Some("avro")),
    ("read_arrow", Some("arrow")),
    ("read_files", None),
];

/// Whether `name` is a table function over files.
pub fn is_function(name: &str) -> bool {
    FUNCTIONS
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// The table that a call means: its positional arguments are the location, its named ones the options, both as text.
///
/// # Errors
/// Invalid when there is no such function, or not one location. Options are checked when the table is opened.
pub fn function_table(
    name: &str,
    positional: &[String],
    named: impl IntoIterator<Item = (String, String)>,
) -> Result<FileTable> {
    let (_, format) = FUNCTIONS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .ok_or_else(|| Error::invalid(format!("{name} is not a table function over files")))?;
    let [location] = positional else {
        return Err(Error::invalid(format!(
            "{name} takes one location, not {}",
            positional.len()
        ))
        .with_hint(format!("write {name}('folder/*.ext', option => 'value')")));
    };
    Ok(FileTable {
        location: location.clone(),
        format: format.map(str::to_owned),
        options: named
            .into_iter()
            .map(|(key, value)| (key.to_lowercase(), value))
            .collect(),
        ..FileTable::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_table() {
        let table = function_table(
            "READ_CSV",
            &["a.csv".into()],
            [("Header".into(), "false".into())],
        )
        .unwrap();
        assert_eq!(table.format.as_deref(), Some("csv"));
        assert_eq!(
            table.options.get("header").map(String::as_str),
            Some("false")
        );
        assert!(function_table("read_csv", &[], []).is_err());
        assert!(function_table("read_xml", &["a".into()], []).is_err());
    }
}
