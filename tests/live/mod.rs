//! Live queries: history, then each new row, without a seam; resume, slow readers, WebSocket.

mod changelog;
mod closing;
mod crashes;
mod envelopes;
mod mirrors;
mod resume;
mod slow_reader;
mod stream;
mod subscribe;
mod websocket;

use serde_json::Value;

/// The values of one column out of the rows of an event or message.
pub(crate) fn column(rows: &Value, name: &str) -> Vec<i64> {
    rows.as_array()
        .unwrap_or_else(|| panic!("no list of rows: {rows}"))
        .iter()
        .map(|row| {
            row[name]
                .as_i64()
                .unwrap_or_else(|| panic!("no number {name:?}: {row}"))
        })
        .collect()
}

/// `{"n":FROM}` to `{"n":TO - 1}` as NDJSON.
pub(crate) fn numbers(from: i64, to: i64) -> String {
    (from..to).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}
