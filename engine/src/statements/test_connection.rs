//! `TEST CONNECTION`: whether a connection leads anywhere, before or after it is made.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray, TimestampMillisecondArray};
use arrow::record_batch::RecordBatch;
use weir_base::SqlState;
use weir_connectors::files::{self, ConnectionSpec, Seen};
use weir_sql::statement::{TestConnection, TestedConnection};

use super::{Execution, normalized, position_of};
use crate::answer::Answer;
use crate::error::{Error, Result};
use crate::planning::files::connection;

/// What errors call a connection that has no name yet.
const UNNAMED: &str = "of this test";

impl Execution {
    /// The first files that a connection leads to, or why it leads to none. Only who may make connections has the server knock at doors.
    pub(super) async fn test_connection(&self, test: TestConnection) -> Result<Answer> {
        let tested = match test.connection {
            TestedConnection::Named(name) => {
                let [part] = name.0.as_slice() else {
                    return Err(Error::invalid(
                        SqlState::SYNTAX_ERROR,
                        "the name of a connection has no schema",
                    )
                    .with_position(position_of(&name)));
                };
                let name = part.as_ident().map(normalized).unwrap_or_default();
                connection(&self.snapshot(), &name)?
            }
            TestedConnection::New(options) => {
                let mut valid = files::validate_connection(UNNAMED, options)?;
                valid.options.append(&mut valid.secrets);
                ConnectionSpec {
                    name: UNNAMED.to_owned(),
                    kind: valid.kind,
                    options: valid.options,
                }
            }
        };
        let stores = &self.engine.stores;
        let seen = stores.probe(&tested, test.at.as_deref()).await?;
        Ok(self.rows(batch(&seen)?))
    }
}

fn batch(seen: &[Seen]) -> Result<RecordBatch> {
    let locations = seen.iter().map(|seen| &seen.location);
    let bytes = seen
        .iter()
        .map(|seen| i64::try_from(seen.bytes).unwrap_or(i64::MAX));
    let times = seen.iter().map(|seen| seen.modified_ms);
    Ok(RecordBatch::try_from_iter([
        (
            "location",
            Arc::new(StringArray::from_iter_values(locations)) as _,
        ),
        ("bytes", Arc::new(Int64Array::from_iter_values(bytes)) as _),
        (
            "modified_at",
            Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("+00:00"))
                as _,
        ),
    ])?)
}
