//! `SHOW CREATE`: an object as the statement that would make it again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::ident::{quote_ident, quote_literal};
use crate::secret::REDACTED;
use crate::{
    Body, Column, Connection, DEFAULT_SCHEMA, Entry, ExternalTable, ObjectKind, Sink, Snapshot,
    Stream, Table, View,
};

/// The statement that would create the object, and a `COMMENT ON` for each comment. Secrets stand as `'***'`.
pub fn create_statement(entry: &Entry, snapshot: &Snapshot) -> String {
    let name = entry.name.sql();
    let mut sql = match &entry.body {
        Body::Schema => format!("CREATE SCHEMA {name}"),
        Body::Stream(stream) => create_stream(&name, stream),
        Body::Table(table) => create_table(&name, table),
        Body::ExternalTable(table) => create_external_table(&name, table),
        Body::View(view) => create_view("VIEW", &name, view, &BTreeMap::new()),
        Body::MaterializedView(kept) => {
            let emit = match kept.on_window_close {
                true => "\nEMIT ON WINDOW CLOSE",
                false => "",
            };
            create_view("MATERIALIZED VIEW", &name, &kept.view, &kept.options) + emit
        }
        Body::Sink(sink) => create_sink(&name, sink, snapshot),
        Body::Connection(connection) => create_connection(&name, connection),
    };
    let kind = entry.kind().sql();
    if let Some(comment) = &entry.comment {
        _ = write!(
            sql,
            ";\nCOMMENT ON {kind} {name} IS {}",
            quote_literal(comment)
        );
    }
    for column in entry.columns() {
        if let Some(comment) = &column.comment {
            let column = quote_ident(&column.name);
            let comment = quote_literal(comment);
            _ = write!(sql, ";\nCOMMENT ON COLUMN {name}.{column} IS {comment}");
        }
    }
    sql
}

fn create_stream(name: &str, stream: &Stream) -> String {
    let mut elements: Vec<String> = stream.columns.iter().map(column_definition).collect();
    if stream.is_changelog() {
        elements.push(format!("PRIMARY KEY ({})", names(&stream.key_columns)));
    }
    elements.extend(stream.checks.iter().map(check_definition));
    if let Some(watermark) = &stream.watermark {
        elements.push(format!(
            "WATERMARK FOR {} AS {}",
            quote_ident(&watermark.column),
            watermark.sql
        ));
    }
    let mut options = stream.options.clone();
    options.insert("partitions".to_owned(), stream.partitions.to_string());
    options.insert("format".to_owned(), stream.format.clone());
    if let Some(key) = &stream.key {
        options.insert("key".to_owned(), key.clone());
    }
    if !stream.key_columns.is_empty() && !stream.is_changelog() {
        options.insert("key.columns".to_owned(), stream.key_columns.join(", "));
    }
    if stream.named_topic {
        options.insert("topic".to_owned(), stream.topic.to_string());
    }
    let columns = match stream.is_raw() {
        true => String::new(),
        false => format!(" {}", list(&elements)),
    };
    format!(
        "CREATE {} {name}{columns}{}",
        ObjectKind::Stream.sql(),
        with(&options)
    )
}

fn create_table(name: &str, table: &Table) -> String {
    let mut elements: Vec<String> = table.columns.iter().map(column_definition).collect();
    if !table.primary_key.is_empty() {
        elements.push(format!("PRIMARY KEY ({})", names(&table.primary_key)));
    }
    elements.extend(table.checks.iter().map(check_definition));
    format!(
        "CREATE TABLE {name} {}{}",
        list(&elements),
        with(&table.options)
    )
}

fn create_external_table(name: &str, table: &ExternalTable) -> String {
    let mut sql = format!("CREATE EXTERNAL TABLE {name}");
    if let Some(columns) = &table.columns {
        let columns: Vec<String> = columns.iter().map(column_definition).collect();
        _ = write!(sql, " {}", list(&columns));
    }
    _ = write!(
        sql,
        "\nSTORED AS {}\nLOCATION {}",
        table.format.to_uppercase(),
        quote_literal(&table.location)
    );
    if !table.partitioned_by.is_empty() {
        let columns: Vec<String> = table.partitioned_by.iter().map(column_definition).collect();
        _ = write!(sql, "\nPARTITIONED BY ({})", columns.join(", "));
    }
    let mut options = table.options.clone();
    if let Some(connection) = &table.connection {
        options.insert("connection".to_owned(), connection.clone());
    }
    sql + &with(&options)
}

fn create_view(kind: &str, name: &str, view: &View, options: &BTreeMap<String, String>) -> String {
    let columns = if view.named_columns {
        let columns: Vec<&str> = view
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        format!(" ({})", names(&columns))
    } else {
        String::new()
    };
    let options = with(options);
    let statement = format!(
        "CREATE {kind} {name}{columns}{options} AS\n{}",
        view.sql.trim()
    );
    meant_in(view, statement)
}

/// A statement with the query of a view, in the schema that the query's names were meant in.
fn meant_in(view: &View, statement: String) -> String {
    if view.default_schema == DEFAULT_SCHEMA {
        return statement;
    }
    format!(
        "SET search_path = {};\n{statement}",
        quote_ident(&view.default_schema)
    )
}

fn create_sink(name: &str, sink: &Sink, snapshot: &Snapshot) -> String {
    let options = with(&sink.options);
    let name_of = |id| snapshot.by_id(id).map(|entry| entry.name.sql());
    // Only a target that the statement named is given: one that options name was made for them.
    let target = sink
        .target
        .filter(|_| !sink.options.contains_key("connector"));
    let query = sink.query.sql.trim();
    let is_insert = query
        .get(..6)
        .is_some_and(|word| word.eq_ignore_ascii_case("insert"));
    if is_insert {
        return meant_in(&sink.query, query.to_owned());
    }
    let into = target.and_then(name_of);
    let into = into
        .map(|target| format!(" INTO {target}"))
        .unwrap_or_default();
    if let Some(from) = sink.from.and_then(name_of) {
        return format!("CREATE SINK {name}{into} FROM {from}{options}");
    }
    let emit = match sink.on_window_close {
        true => "\nEMIT ON WINDOW CLOSE",
        false => "",
    };
    let statement = format!(
        "CREATE SINK {name}{into}{options} AS\n{}{emit}",
        sink.query.sql.trim()
    );
    meant_in(&sink.query, statement)
}

fn create_connection(name: &str, connection: &Connection) -> String {
    let mut options = connection.options.clone();
    for key in connection.secrets.keys() {
        options.insert(key.clone(), REDACTED.to_owned());
    }
    options.insert("type".to_owned(), connection.kind.clone());
    format!("CREATE CONNECTION {name}{}", with(&options))
}

fn column_definition(column: &Column) -> String {
    let mut sql = format!("{} {}", quote_ident(&column.name), column.sql_type);
    if !column.nullable {
        sql.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        _ = write!(sql, " DEFAULT {default}");
    }
    sql
}

fn check_definition(check: &crate::Check) -> String {
    format!(
        "CONSTRAINT {} CHECK ({})",
        quote_ident(&check.name),
        check.sql
    )
}

fn names(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| quote_ident(name.as_ref()))
        .collect();
    quoted.join(", ")
}

/// Elements in parentheses, one a line.
fn list(elements: &[String]) -> String {
    if elements.is_empty() {
        "()".to_owned()
    } else {
        format!("(\n  {}\n)", elements.join(",\n  "))
    }
}

fn with(options: &BTreeMap<String, String>) -> String {
    if options.is_empty() {
        return String::new();
    }
    let options: Vec<String> = options
        .iter()
        .map(|(key, value)| {
            let is_number = !value.is_empty()
                && value.len() < 16
                && value.bytes().all(|byte| byte.is_ascii_digit())
                && (value == "0" || !value.starts_with('0'));
            let value = if is_number {
                value.clone()
            } else {
                quote_literal(value)
            };
            format!("{} = {value}", quote_ident(key))
        })
        .collect();
    format!("\nWITH ({})", options.join(", "))
}
