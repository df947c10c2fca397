//! `pg_catalog` and `information_schema` beside those of a real PostgreSQL with the same schema: the columns of every relation, and
//! the statements that tools are known to send (`catalog/*.sql`).
//!
//! Each statement must run on both. Its columns must have the same names, and types of the same kind; its rows are compared
//! where `-- rows: same` stands before it. What Weir does not take yet stands there with `-- refused: reason`, and must be
//! refused still. `{oid public.users}` is the number of that relation, on either server. `WEIR_CATALOG=piece` chooses files.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use weir_tests::client::Rows;
use weir_tests::reference::Reference;
use weir_tests::{Client, Server, binary};

/// What stands before each answer that psql gives; no catalog has it in a row.
const ANSWER: char = '\u{1d}';

/// A statement of a file.
struct Statement {
    sql: String,
    same_rows: bool,
    refused: bool,
}

/// What one server answered.
#[derive(Debug)]
struct Answer {
    names: Vec<String>,
    types: Vec<String>,
    rows: Vec<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_find_what_they_ask_for() {
    let wanted = std::env::var("WEIR_CATALOG").unwrap_or_default();
    let folder = binary::workspace().join("tests/postgres");
    let schema = statements(&folder.join("schema.sql"));
    let reference = Reference::start();
    let server = Server::start();
    let client = server.client().open_session().await;
    for statement in &schema {
        let said = reference.script(&format!("{};", statement.sql));
        assert_eq!(said, "", "{}", statement.sql);
        let done = client.sql(&statement.sql).await;
        assert!(done.is_ok(), "{}: {done:?}", statement.sql);
    }
    let mut files: Vec<_> = std::fs::read_dir(folder.join("catalog"))
        .expect("the folder can be listed")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no file matches {wanted:?}");
    let mut failures = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        for failure in check(file, &reference, &client).await {
            failures.push(format!("{name}: {failure}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} statements do not hold:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_relation_has_postgresqls_columns() {
    let reference = Reference::start();
    let server = Server::start();
    let client = server.client();
    let relations = reference
        .ask(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') ORDER BY 1",
        )
        .expect("PostgreSQL lists its catalog");
    let relations: Vec<&str> = relations.lines().collect();
    assert!(relations.len() > 200, "{}", relations.len());
    let script: String = relations
        .iter()
        .map(|name| format!("\\echo {ANSWER}{name}\nSELECT * FROM {name} \\gdesc\n"))
        .collect();
    let said = reference.script(&script);
    let mut failures = Vec::new();
    for part in said.split(ANSWER).filter(|part| !part.trim().is_empty()) {
        let (name, described) = part.split_once('\n').expect("a name and its columns");
        let (names, types) = described_columns(described);
        // Types of statistics, of which Weir has no values, are texts.
        if types.iter().any(|it| it.contains("pg_statistic")) {
            continue;
        }
        match client.sql(&format!("SELECT * FROM {name} LIMIT 0")).await {
            Ok(rows) => {
                let ours: Vec<String> = rows.types.iter().map(|it| plain(it)).collect();
                let theirs: Vec<String> = types.iter().map(|it| plain(it)).collect();
                if rows.columns != names || ours != theirs {
                    failures.push(format!(
                        "{name}:\n{:?}\n{names:?}\n{ours:?}\n{theirs:?}",
                        rows.columns
                    ));
                }
            }
            Err(problem) => failures.push(format!("{name}: {problem:?}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The statements of a file, and what the comments before each say.
fn statements(path: &Path) -> Vec<Statement> {
    let text = std::fs::read_to_string(path).expect("the file can be read");
    let mut statements = Vec::new();
    let mut sql = String::new();
    let mut comments = String::new();
    for line in text.lines() {
        if sql.is_empty() && (line.starts_with("-- ") || line.is_empty()) {
            comments.push_str(line);
            comments.push('\n');
            continue;
        }
        sql.push_str(line);
        if let Some(whole) = sql.strip_suffix(';') {
            statements.push(Statement {
                sql: whole.to_owned(),
                same_rows: comments.contains("-- rows: same"),
                refused: comments.contains("-- refused: "),
            });
            sql.clear();
            comments.clear();
        } else {
            sql.push('\n');
        }
    }
    assert!(sql.is_empty(), "{sql}: the last statement has no end");
    statements
}

async fn check(file: &Path, reference: &Reference, client: &Client) -> Vec<String> {
    let statements = statements(file);
    let mut script = String::new();
    let mut ours = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        let theirs = with_oids(&statement.sql, |name| {
            reference
                .ask(&format!("SELECT '{name}'::regclass::oid"))
                .expect("the relation is there")
        });
        script.push_str(&format!(
            "\\echo {ANSWER}{number}\n{theirs} \\gdesc\n\\echo @rows\n{theirs};\n"
        ));
        let mut numbers = BTreeMap::new();
        for name in relations_named(&statement.sql) {
            let sql = format!("SELECT '{name}'::regclass::oid AS oid");
            let found = client.rows(&sql).await;
            numbers.insert(name, text_of(&found.rows[0][0]));
        }
        let sql = with_oids(&statement.sql, |name| numbers[name].clone());
        ours.push(client.sql(&sql).await);
    }
    let said = reference.script(&script);
    let mut failures = Vec::new();
    for ((part, statement), ours) in said.split(ANSWER).skip(1).zip(&statements).zip(ours) {
        let theirs = answer_of(part);
        let failure = match (theirs, ours) {
            (Err(error), _) => Some(format!("PostgreSQL refuses it: {error}")),
            (Ok(_), Err(_)) if statement.refused => None,
            (Ok(_), Err(problem)) => Some(format!("{problem:?}")),
            (Ok(_), Ok(_)) if statement.refused => Some("is not refused any more".to_owned()),
            (Ok(theirs), Ok(ours)) => differs(&theirs, &ours, statement.same_rows),
        };
        if let Some(failure) = failure {
            failures.push(format!("{failure}\n  in {}", statement.sql));
        }
    }
    failures
}

/// The names between `{oid` and `}`.
fn relations_named(sql: &str) -> Vec<&str> {
    let parts = sql.split("{oid ").skip(1);
    parts
        .filter_map(|part| Some(part.split_once('}')?.0))
        .collect()
}

fn with_oids(sql: &str, number: impl Fn(&str) -> String) -> String {
    let mut sql = sql.to_owned();
    while let Some(at) = sql.find("{oid ") {
        let end = sql[at..].find('}').expect("a placeholder has an end") + at;
        let oid = number(&sql[at + 5..end]);
        sql.replace_range(at..=end, &oid);
    }
    sql
}

/// The columns that `\gdesc` told.
fn described_columns(said: &str) -> (Vec<String>, Vec<String>) {
    let rows = said.trim_end_matches('\n').split('\u{1e}').skip(1);
    rows.filter_map(|row| {
        let (name, data_type) = row.split_once('\u{1f}')?;
        Some((name.to_owned(), data_type.to_owned()))
    })
    .unzip()
}

fn answer_of(part: &str) -> Result<Answer, String> {
    let (_, part) = part.split_once('\n').expect("a number stands first");
    if let Some(error) = part.lines().find(|line| line.contains("ERROR:")) {
        return Err(error.to_owned());
    }
    let (described, rows) = part.split_once("@rows\n").expect("rows follow");
    let (names, types) = described_columns(described);
    let rows = rows.trim_end_matches('\n').split('\u{1e}').skip(1);
    Ok(Answer {
        names,
        types,
        rows: rows
            .map(|row| row.split('\u{1f}').map(str::to_owned).collect())
            .collect(),
    })
}

/// In what our answer is another than PostgreSQL's.
fn differs(theirs: &Answer, ours: &Rows, same_rows: bool) -> Option<String> {
    // A JSON document has each name once.
    let is_named = |(ours, theirs): (&String, &String)| {
        ours == theirs || ours.starts_with(&format!("{theirs}_"))
    };
    let has_names = ours.columns.len() == theirs.names.len()
        && ours.columns.iter().zip(&theirs.names).all(is_named);
    if !has_names {
        return Some(format!(
            "columns {:?}, not {:?}",
            ours.columns, theirs.names
        ));
    }
    for (at, (our_type, their_type)) in ours.types.iter().zip(&theirs.types).enumerate() {
        let (our_kind, their_kind) = (kind(our_type), kind(their_type));
        if our_kind != their_kind && our_type != "NULL" {
            let name = &theirs.names[at];
            return Some(format!("column {name} is {our_type}, not {their_type}"));
        }
    }
    if !same_rows {
        return None;
    }
    let rows: Vec<Vec<String>> = ours
        .rows
        .iter()
        .map(|row| row.iter().map(text_of).collect())
        .collect();
    (rows != theirs.rows).then(|| format!("rows\n{rows:?}\nnot\n{:?}", theirs.rows))
}

/// A value as psql writes it.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(true) => "t".to_owned(),
        Value::Bool(false) => "f".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text_of).collect();
            format!("{{{}}}", items.join(","))
        }
        other => other.to_string(),
    }
}

/// A type's name in the words of `format_type`, without length or precision.
fn plain(name: &str) -> String {
    let name = name.to_lowercase();
    let (base, suffix) = match name.strip_suffix("[]") {
        Some(base) => (base, "[]"),
        None => (name.as_str(), ""),
    };
    // `timestamp(2) with time zone` has its digits in the middle.
    let bare = match (base.find('('), base.find(')')) {
        (Some(open), Some(close)) => format!("{}{}", &base[..open], &base[close + 1..]),
        _ => base.to_owned(),
    };
    let bare = match bare.as_str() {
        "timestamp" => "timestamp without time zone",
        "time" => "time without time zone",
        "decimal" => "numeric",
        bare => bare,
    };
    format!("{bare}{suffix}")
}

/// What sort of values a type has, where a literal or a function need not be of the same one.
fn kind(name: &str) -> String {
    let plain = plain(name);
    if plain.ends_with("[]") || plain == "anyarray" || plain.ends_with("vector") {
        return "array".to_owned();
    }
    let kind = match plain.as_str() {
        "smallint" | "integer" | "bigint" | "oid" | "xid" | "integer unsigned"
        | "bigint unsigned" => "integer",
        "real" | "double precision" | "numeric" => "number",
        "text" | "name" | "character varying" | "\"char\"" | "character" | "pg_node_tree"
        | "unknown" | "inet" | "pg_lsn" | "aclitem" => "text",
        // That a text is a document is lost in a CASE.
        "json" | "jsonb" => "text",
        name if name.starts_with("struct") => "record",
        name if name.starts_with("reg") => "text",
        other => other,
    };
    kind.to_owned()
}
