//! A statement over `POST /v1/sql`, in one session. The files hold what this door writes.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use sqllogictest::DBOutput;
use weir_tests::client::media;
use weir_tests::{Client, Problem};

use super::connection::{changes_rows, word};
use super::kind::Kind;

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

/// As often as the plan of a query has to be asked for to be a plan that is kept.
const TIMES_UNTIL_KEPT: usize = 4;

/// Runs a statement; a query again and again, and it is what its kept plan answers that the files hold.
///
/// # Errors
/// The problem that the server told of.
pub(super) async fn run(client: &Client, sql: &str) -> Result<DBOutput<Kind>, Problem> {
    let mut answer = run_once(client, sql).await?;
    if is_query(sql) {
        for _ in 1..TIMES_UNTIL_KEPT {
            answer = run_once(client, sql).await?;
        }
    }
    Ok(answer)
}

fn is_query(sql: &str) -> bool {
    let word = sql.split_whitespace().next().unwrap_or_default();
    word.eq_ignore_ascii_case("select") || word.eq_ignore_ascii_case("with")
}

async fn run_once(client: &Client, sql: &str) -> Result<DBOutput<Kind>, Problem> {
    let response = client.send(client.query(sql, media::JSON)).await;
    if !response.status().is_success() {
        return Err(Problem::of(response).await);
    }
    let body = response.text().await.expect("an answer arrives whole");
    let answer: Answer =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let Some(first) = answer.columns.first() else {
        return Ok(DBOutput::StatementComplete(answer.row_count));
    };
    if first.name == "count" && answer.columns.len() == 1 && answers_count(sql) {
        let count = answer.rows.first().map(|row| word(row["count"].get()));
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
                    .map(|column| word(row[&column.name].get()))
                    .collect()
            })
            .collect(),
    })
}

/// Whether a statement answers how many rows it changed, and nothing of its own.
fn answers_count(sql: &str) -> bool {
    changes_rows(sql) && !sql.to_ascii_uppercase().contains("RETURNING")
}
