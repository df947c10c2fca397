//! Rows of topics: how they are stored and read, and the tables over them.
//!
//! A stream's or table's row is one record of a topic: its value is a JSON object or what else [`Format`] says ([`RowSchema`]
//! says which field is which column), its key the text of the key's columns. Rows come in through the `encode_…` functions, which check them,
//! and [`TopicWriter`]; they are read through [`StreamTable`]. [`KeyedTable`] is a table over a changelog. This module knows nothing of SQL text or sessions.

mod bounds;
mod convert;
mod envelope;
mod format;
mod hidden;
mod history;
mod hold;
mod ingest;
mod keyed;
mod keys;
mod mirror;
mod parquet_file;
mod partition;
mod placing;
mod record;
pub mod row;
mod row_error;
mod scan;
mod schema;
mod stream;
mod transactional;
mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use envelope::{ChangeEncoder, Envelope};
pub use format::{
    CsvForm, Format, KeyFormat, NewSchema, OnError, RecordFormat, Schemas, WriterSchema,
};
pub use history::{Conversion, History, HistoryFile, HistoryPlace, HistoryView};
pub use hold::TopicHold;
pub use ingest::{
    CsvLayout, Rows, encode_arrow, encode_batch, encode_csv, encode_ndjson, encode_parquet,
    read_arrow,
};
pub use keyed::{
    BoundTable, Change, Commit, Conflicts, FollowedTable, KeyedTable, OnConflict, Preview,
    TableChanges, TableFollower, TableScanExec, TableWriter,
};
pub use mirror::{MirroredTable, Newest, Renewed};
pub use partition::partition_for_key;
pub use record::{CheckedRecords, RecordChecker, check_records};
pub use row_error::RowError;
pub use scan::{DecodedRows, TopicScanExec, as_topic_scan};
pub use schema::{DecodeErrors, Hidden, RAW_COLUMN, RowColumn, RowSchema, hidden_fields};
pub use stream::StreamTable;
pub use transactional::{Noted, SourceProgress, TransactionalWriter};
pub use writer::{IdempotencyKey, TopicWriter, Written, WrittenRange};
