//! sqllogictest's connection over any of the doors: what they have in common. Each door's file runs a statement and puts
//! what it answers into the words that the files hold.

use std::fmt;

use arrow_flight::sql::client::FlightSqlServiceClient;
use async_trait::async_trait;
use serde_json::Value;
use sqllogictest::{AsyncDB, DBOutput};
use tonic::transport::Channel;
use weir_tests::postgres::{PostgresClient, PostgresError};
use weir_tests::{Client, Problem, Server};

use super::kind::Kind;
use super::{flight, postgres, rest};

/// Past it, a double does not hold every integer.
const EXACT_MAX: u64 = 1 << 53;

/// A front door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Rest,
    Postgres,
    Flight,
}

impl Door {
    /// All of them. The files hold what the first one writes.
    pub(super) const ALL: [Self; 3] = [Self::Rest, Self::Postgres, Self::Flight];

    /// What a file names it by: `skipif postgres`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Postgres => "postgres",
            Self::Flight => "flight",
        }
    }
}

/// A session of one door.
pub(super) enum Connection {
    Rest(Client),
    Postgres(PostgresClient),
    /// Its session is that of the HTTP/2 connection below it.
    Flight(FlightSqlServiceClient<Channel>),
}

impl Connection {
    pub(super) async fn open(door: Door, server: &Server) -> Self {
        match door {
            Door::Rest => Self::Rest(server.client().open_session().await),
            Door::Postgres => Self::Postgres(PostgresClient::connect(&server.postgres()).await),
            Door::Flight => Self::Flight(crate::flight::client(server).await),
        }
    }
}

/// An error as `statement error` sees it, of whatever door: `SQLSTATE: message [line 1, column 8] hint: what to do`.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) sqlstate: String,
    pub(super) text: String,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            sqlstate: problem.sqlstate().to_owned(),
            text: problem.to_string(),
        }
    }
}

impl From<PostgresError> for Refusal {
    fn from(error: PostgresError) -> Self {
        Self {
            text: error.to_string(),
            sqlstate: error.sqlstate,
        }
    }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Refusal;
    type ColumnType = Kind;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Kind>, Refusal> {
        match self {
            Self::Rest(client) => Ok(rest::run(client, sql).await?),
            Self::Postgres(client) => Ok(postgres::run(client, sql).await?),
            Self::Flight(client) => flight::run(client, sql).await,
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "weir"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &Refusal) -> Option<String> {
        Some(error.sqlstate.clone())
    }
}

/// Whether a statement changes rows, by its first word.
pub(super) fn changes_rows(sql: &str) -> bool {
    let word = sql.split_whitespace().next().unwrap_or_default();
    ["insert", "update", "delete", "copy", "create"]
        .iter()
        .any(|changing| word.eq_ignore_ascii_case(changing))
}

/// A JSON value as a word of an `.slt` file.
pub(super) fn word(json: &str) -> String {
    match json {
        "null" => "NULL".to_owned(),
        "\"\"" => "(empty)".to_owned(),
        _ if json.starts_with('"') => {
            serde_json::from_str(json).expect("a JSON string can be read")
        }
        _ => json.to_owned(),
    }
}

/// An integer or a decimal in JSON: a string where a reader that makes a double of it would lose digits.
pub(super) fn number(text: String) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match digits.parse::<u64>() {
        Ok(value) if value <= EXACT_MAX => text,
        _ => Value::String(text).to_string(),
    }
}
