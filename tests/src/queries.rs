//! SQL in files of the source tree: benchmarks' queries, which tests and `weir-bench` share.

use std::path::Path;

use crate::binary;

/// A query with the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// As `q7`.
    pub name: String,
    /// Its text, with comments.
    pub sql: String,
}

/// The files `q*.sql` of a folder, which is named from the root of the source tree, in the order of their numbers.
///
/// # Panics
/// When it cannot be read.
pub fn queries_of(folder: &str) -> Vec<Query> {
    let folder = binary::workspace().join(folder);
    let files = std::fs::read_dir(&folder).expect("the queries are there");
    let mut queries: Vec<(u32, Query)> = files
        .filter_map(|entry| {
            let path = entry.expect("a folder can be listed").path();
            let name = path.file_stem()?.to_str()?;
            let number = name.strip_prefix('q')?.parse().ok()?;
            let query = Query {
                name: name.to_owned(),
                sql: text(&path),
            };
            (path.extension()? == "sql").then_some((number, query))
        })
        .collect();
    queries.sort_by_key(|(number, _)| *number);
    queries.into_iter().map(|(_, query)| query).collect()
}

/// The statements of a file, which end with `;` at the end of a line.
///
/// # Panics
/// When it cannot be read.
pub fn statements_of(file: &str) -> Vec<String> {
    let text = text(&binary::workspace().join(file));
    let statements = text.split(";\n").map(str::trim);
    statements
        .filter(|sql| !sql.is_empty())
        .map(str::to_owned)
        .collect()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
