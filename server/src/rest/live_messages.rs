//! The messages of `/v1/live`, each a JSON text message.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::query::QueryDocument;
use crate::encode::Column;

/// What a client sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromClient {
    /// Start a query; one runs at a time.
    Query(QueryDocument),
    /// Stop the query that runs.
    Cancel {},
}

/// What the server sends.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToClient<'a> {
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
    fn messages_are_tagged_by_type() {
        let query: FromClient =
            serde_json::from_str(r#"{"type": "query", "query": "SELECT 1", "resume": "bids:1"}"#)
                .unwrap();
        assert!(matches!(query, FromClient::Query(_)));
        assert!(matches!(
            serde_json::from_str(r#"{"type": "cancel"}"#).unwrap(),
            FromClient::Cancel {}
        ));
        assert!(
            serde_json::from_str::<FromClient>(r#"{"type": "query", "sql": "SELECT 1"}"#).is_err()
        );
        let rows = RawValue::from_string("[{\"n\":1}]".to_owned()).unwrap();
        let message = ToClient::Rows {
            rows: &rows,
            resume: Some("bids:7".to_owned()),
        };
        assert_eq!(
            message.to_json().unwrap(),
            r#"{"type":"rows","rows":[{"n":1}],"resume":"bids:7"}"#
        );
    }
}
