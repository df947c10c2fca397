//! sqllogictest's connection over `POST /v1/sql`, in one session.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqllogictest::{AsyncDB, ColumnType, DBOutput};
use weir_tests::client::media;
use weir_tests::{Client, Problem};

/// The answer's document, with values as they were sent: `1.50` stays `1.50`.
#[derive(Deserialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Vec<HashMap<String, Box<RawValue>>>,
    row_count: u64,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    sql_type: String,
}

/// A session of the REST door.
pub(crate) struct Rest(Client);

impl Rest {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }
}

/// The kind of a column: its letter in `query BITRD…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Real,
    Decimal,
    Text,
    /// Bytes.
    Bytes,
    /// Dates, times, timestamps, intervals.
    Time,
    /// Arrays, structs, maps, JSON.
    Nested,
    /// Whatever it is; also the type of NULL.
    Any,
}

impl ColumnType for Kind {
    fn from_char(letter: char) -> Option<Self> {
        Some(match letter {
            'B' => Self::Boolean,
            'I' => Self::Integer,
            'R' => Self::Real,
            'D' => Self::Decimal,
            'T' => Self::Text,
            'X' => Self::Bytes,
            'P' => Self::Time,
            'N' => Self::Nested,
            '?' => Self::Any,
            _ => return None,
        })
    }

    fn to_char(&self) -> char {
        match self {
            Self::Boolean => 'B',
            Self::Integer => 'I',
            Self::Real => 'R',
            Self::Decimal => 'D',
            Self::Text => 'T',
            Self::Bytes => 'X',
            Self::Time => 'P',
            Self::Nested => 'N',
            Self::Any => '?',
        }
    }
}

impl Kind {
    /// Of a type's SQL name.
    fn of(name: &str) -> Self {
        let name = name.to_uppercase();
        let is = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        if name.ends_with("[]") || is(&["STRUCT", "MAP", "ARRAY", "LIST", "JSON", "ROW"]) {
            Self::Nested
        } else if is(&["BOOL"]) {
            Self::Boolean
        } else if is(&["DATE", "TIME", "INTERVAL"]) {
            Self::Time
        } else if is(&["BIGINT", "INT", "SMALLINT", "TINYINT", "UINT", "OID", "XID"])
            || name.contains("UNSIGNED")
        {
            Self::Integer
        } else if is(&["DOUBLE", "REAL", "FLOAT"]) {
            Self::Real
        } else if is(&["DECIMAL", "NUMERIC"]) {
            Self::Decimal
        } else if is(&[
            "TEXT", "VARCHAR", "CHAR", "STRING", "UUID", "NAME", "REG", "\"CHAR",
        ]) {
            Self::Text
        } else if is(&["BYTEA", "BLOB", "BINARY", "VARBINARY"]) {
            Self::Bytes
        } else {
            Self::Any
        }
    }
}

#[async_trait]
impl AsyncDB for Rest {
    type Error = Problem;
    type ColumnType = Kind;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Kind>, Problem> {
        let response = self.0.send(self.0.query(sql, media::JSON)).await;
        if !response.status().is_success() {
            return Err(Problem::of(response).await);
        }
        let body = response.text().await.expect("an answer arrives whole");
        let answer: Answer =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        let Some(first) = answer.columns.first() else {
            return Ok(DBOutput::StatementComplete(answer.row_count));
        };
        if first.name == "count" && answer.columns.len() == 1 && changes_rows(sql) {
            let count = answer.rows.first().map(|row| text(&row["count"]));
            let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
            return Ok(DBOutput::StatementComplete(count));
        }
        Ok(DBOutput::Rows {
            types: answer
                .columns
                .iter()
                .map(|column| Kind::of(&column.sql_type))
                .collect(),
            rows: answer
                .rows
                .iter()
                .map(|row| {
                    answer
                        .columns
                        .iter()
                        .map(|column| text(&row[&column.name]))
                        .collect()
                })
                .collect(),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "weir"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &Problem) -> Option<String> {
        Some(error.sqlstate().to_owned())
    }
}

/// Whether a statement answers the number of rows that it changed, by its first word.
fn changes_rows(sql: &str) -> bool {
    let word = sql.split_whitespace().next().unwrap_or_default();
    ["insert", "update", "delete", "copy", "create"]
        .iter()
        .any(|changing| word.eq_ignore_ascii_case(changing))
}

/// A JSON value as a word of an `.slt` file.
fn text(value: &RawValue) -> String {
    let raw = value.get();
    match raw {
        "null" => "NULL".to_owned(),
        "\"\"" => "(empty)".to_owned(),
        _ if raw.starts_with('"') => serde_json::from_str(raw).expect("a JSON string can be read"),
        _ => raw.to_owned(),
    }
}
