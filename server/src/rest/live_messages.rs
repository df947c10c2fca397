//! The messages of `/v1/live`, each a JSON text message.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::live_queries::Name;
use super::query::QueryDocument;
use crate::encode::Column;

/// Bytes that a query's name has at the most: it comes back with every message.
const NAME_BYTES_MAX: usize = 64;

/// What a client sends about one of its queries, which may have a name: `"id"`.
#[derive(Debug)]
pub(super) struct FromClient {
    pub(super) name: Name,
    pub(super) wish: Wish,
}

/// What it wants.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Wish {
    /// Start the query.
    Query(Box<QueryDocument>),
    /// Stop it.
    Cancel(Nothing),
}

/// No fields: one that is there all the same is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Why a message is not understood, and the query that it named, where that can be told.
#[derive(Debug)]
pub(super) struct NotUnderstood {
    pub(super) name: Name,
    pub(super) reason: String,
}

impl FromClient {
    /// Reads a message.
    pub(super) fn parse(text: &str) -> Result<Self, NotUnderstood> {
        let not_understood = |name: &Name, reason: String| NotUnderstood {
            name: name.clone(),
            reason,
        };
        let mut name = None;
        let mut message: serde_json::Map<String, Value> =
            serde_json::from_str(text).map_err(|error| not_understood(&name, error.to_string()))?;
        name = match message.remove("id") {
            None => None,
            Some(Value::String(id)) if (1..=NAME_BYTES_MAX).contains(&id.len()) => Some(id),
            Some(_) => {
                let reason = format!("\"id\" must be text of 1 to {NAME_BYTES_MAX} bytes");
                return Err(not_understood(&name, reason));
            }
        };
        match serde_json::from_value(Value::Object(message)) {
            Ok(wish) => Ok(Self { name, wish }),
            Err(error) => Err(not_understood(&name, error.to_string())),
        }
    }
}

/// What the server sends about a query.
#[derive(Debug, Serialize)]
pub(super) struct ToClient<'a> {
    /// The query's name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(flatten)]
    pub(super) news: News<'a>,
}

/// What it says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum News<'a> {
    /// The query runs; its columns.
    Schema {
        query_id: String,
        columns: Vec<Column>,
        live: bool,
    },
    /// Rows; `resume` is the token to go on after them.
    Rows {
        rows: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<String>,
    },
    /// The query has ended.
    End {
        row_count: u64,
        truncated: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        command: Option<String>,
        /// Why, when it was not by itself: `cancelled` or `shutdown`.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    /// The query failed, or a message was wrong.
    Error { error: &'a RawValue },
}

impl ToClient<'_> {
    pub(super) fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_tagged_by_type_and_may_have_a_name() {
        let parse = |text: &str| FromClient::parse(text).map_err(|error| error.reason);
        let query = r#"{"type": "query", "query": "SELECT 1", "resume": "bids:1", "id": "a"}"#;
        let query = parse(query).unwrap();
        assert_eq!(query.name.as_deref(), Some("a"));
        assert!(matches!(query.wish, Wish::Query(_)));
        let cancel = parse(r#"{"type": "cancel"}"#).unwrap();
        assert_eq!(cancel.name, None);
        assert!(matches!(cancel.wish, Wish::Cancel(Nothing {})));
        for wrong in [
            r#"{"type": "query", "sql": "SELECT 1"}"#,
            r#"{"type": "query", "query": "SELECT 1", "id": 7}"#,
            r#"{"type": "query", "query": "SELECT 1", "id": ""}"#,
            r#"{"type": "cancel", "query": "SELECT 1"}"#,
            r#"["query"]"#,
            "",
        ] {
            parse(wrong).unwrap_err();
        }
        let rows = RawValue::from_string("[{\"n\":1}]".to_owned()).unwrap();
        let message = |id| ToClient {
            id,
            news: News::Rows {
                rows: &rows,
                resume: Some("bids:7".to_owned()),
            },
        };
        assert_eq!(
            message(None).to_json().unwrap(),
            r#"{"type":"rows","rows":[{"n":1}],"resume":"bids:7"}"#
        );
        assert_eq!(
            message(Some("a")).to_json().unwrap(),
            r#"{"id":"a","type":"rows","rows":[{"n":1}],"resume":"bids:7"}"#
        );
    }
}
