//! Answers on their way to a client: as many rows at a time as it asks for.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tokio::sync::OwnedSemaphorePermit;
use weir_engine::{Answer, AnswerKind, RowStream, ScalarValue};

use super::connection::{Connection, Outcome, SEND_BYTES};
use super::prepared::Prepared;
use super::spooled::Spooled;
use super::value::{self, Column, Format, Zone};
use super::wire::Report;
use crate::encode::EncodeError;

/// A statement with its values.
pub(super) struct Portal {
    pub(super) statement: Arc<Prepared>,
    pub(super) values: Vec<ScalarValue>,
    /// Its place in the room for those that have a name.
    pub(super) _room: Option<OwnedSemaphorePermit>,
    /// The codes of the formats of its columns.
    pub(super) formats: Vec<i16>,
    pub(super) state: State,
    /// The transaction that it was made in.
    pub(super) transaction: u64,
}

/// How far a portal has come.
pub(super) enum State {
    /// It has not begun.
    Bound,
    /// It gives rows.
    Open(Box<Rows>),
    /// All is done.
    Done,
}

impl Portal {
    /// Whether it goes on when the transaction has come to this number.
    pub(super) fn outlives(&self, transaction: u64) -> bool {
        self.transaction == transaction
    }
}

/// Rows of an answer.
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) source: Source,
    /// The command tag, and whether the count of rows comes after it.
    pub(super) tag: String,
    pub(super) is_counted: bool,
    pub(super) is_live: bool,
    /// Whether a client that does not say how gets them in binary.
    pub(super) is_binary: bool,
    /// Rows given so far.
    pub(super) given: u64,
}

/// Where rows come from.
pub(super) enum Source {
    /// A query that runs, after what is left of its last batch.
    Stream {
        left: Option<RecordBatch>,
        rows: Box<RowStream>,
    },
    /// What is there.
    Ready(Vec<RecordBatch>),
    /// What a query has given and gives to the disk.
    Spooled { spooled: Spooled, at: u64, end: u64 },
}

/// What a statement gave.
pub(super) enum Given {
    /// It was carried out.
    Done(String),
    /// Rows, to be sent.
    Rows(Box<Rows>),
    /// All is sent already.
    Sent,
}

impl Rows {
    pub(super) fn new(schema: SchemaRef, source: Source, tag: &str) -> Self {
        Self {
            schema,
            source,
            is_counted: !matches!(tag, "SHOW" | "EXPLAIN" | "DESCRIBE"),
            tag: tag.to_owned(),
            is_live: false,
            is_binary: false,
            given: 0,
        }
    }

    /// The tag when all rows are given.
    pub(super) fn complete(&self) -> String {
        match (self.is_counted, self.tag.as_str()) {
            (false, tag) => tag.to_owned(),
            (true, "INSERT") => format!("INSERT 0 {}", self.given),
            (true, "SUBSCRIBE") => format!("SELECT {}", self.given),
            (true, tag) => format!("{tag} {}", self.given),
        }
    }
}

/// What an answer of the engine is to a client.
pub(super) fn given(answer: Answer, tag: &str) -> Given {
    let source = |rows| Source::Stream {
        left: None,
        rows: Box::new(rows),
    };
    match answer.kind {
        AnswerKind::Rows => {
            let rows = Rows::new(answer.schema, source(answer.rows), tag);
            Given::Rows(Box::new(rows))
        }
        AnswerKind::Live => {
            let mut rows = Rows::new(answer.schema, source(answer.rows), "SELECT");
            rows.is_live = true;
            Given::Rows(Box::new(rows))
        }
        AnswerKind::Command {
            tag,
            gives_rows: true,
            ..
        } => {
            let rows = Rows::new(answer.schema, source(answer.rows), &tag);
            Given::Rows(Box::new(rows))
        }
        AnswerKind::Command { tag, rows, .. } => Given::Done(command_tag(&tag, rows)),
    }
}

/// A command's tag as PostgreSQL has it.
fn command_tag(tag: &str, rows: Option<u64>) -> String {
    match (tag, rows) {
        ("INSERT", Some(rows)) => format!("INSERT 0 {rows}"),
        ("CREATE TABLE AS", Some(rows)) => format!("SELECT {rows}"),
        (tag, Some(rows)) => format!("{tag} {rows}"),
        (tag, None) => tag.to_owned(),
    }
}

impl Connection {
    /// Sends rows, at most so many, and says whether there are no more.
    pub(super) async fn send_rows(
        &mut self,
        rows: &mut Rows,
        formats: &[Format],
        rows_max: Option<u64>,
    ) -> Outcome<bool> {
        let zone = self.zone();
        let mut wanted = rows_max.unwrap_or(u64::MAX);
        loop {
            if wanted == 0 {
                return self.has_ended(rows).await;
            }
            let Some(batch) = self.take_batch(rows, wanted).await? else {
                return Ok(true);
            };
            self.send_batch(&batch, formats, &zone).await?;
            wanted -= batch.num_rows() as u64;
            rows.given += batch.num_rows() as u64;
            if rows.is_live {
                self.wire.flush().await?;
            }
        }
    }

    /// Whether nothing is left; of an answer that runs, its next batch is waited for.
    async fn has_ended(&mut self, rows: &mut Rows) -> Outcome<bool> {
        match &mut rows.source {
            Source::Stream { left: Some(_), .. } => Ok(false),
            // A live query has no end to be waited for.
            Source::Stream { .. } if rows.is_live => Ok(false),
            Source::Stream { left, rows } => {
                *left = self.next_batch(rows, false).await?;
                Ok(left.is_none())
            }
            Source::Ready(batches) => Ok(batches.is_empty()),
            Source::Spooled { spooled, at, end } => {
                if at >= end {
                    return Ok(true);
                }
                let spooled = spooled.clone();
                let known = self.guarded(spooled.reaches(*at + 1)).await?;
                Ok(known <= *at)
            }
        }
    }

    /// The next rows, at most so many; none at the end.
    async fn take_batch(&mut self, rows: &mut Rows, wanted: u64) -> Outcome<Option<RecordBatch>> {
        let is_live = rows.is_live;
        match &mut rows.source {
            Source::Stream { left, rows } => {
                let batch = match left.take() {
                    Some(batch) => batch,
                    None => match self.next_batch(rows, is_live).await? {
                        Some(batch) => batch,
                        None => return Ok(None),
                    },
                };
                let (given, rest) = cut(batch, wanted);
                *left = rest;
                Ok(Some(given))
            }
            Source::Ready(batches) => {
                if batches.is_empty() {
                    return Ok(None);
                }
                let (given, rest) = cut(batches.remove(0), wanted);
                if let Some(rest) = rest {
                    batches.insert(0, rest);
                }
                Ok(Some(given))
            }
            Source::Spooled { spooled, at, end } => {
                let to = end.saturating_sub(*at).min(wanted).saturating_add(*at);
                if to <= *at {
                    return Ok(None);
                }
                let spooled = spooled.clone();
                let reading = async { spooled.read(*at, to).await };
                let batch = self.guarded(reading).await?;
                if let Some(batch) = &batch {
                    *at += batch.num_rows() as u64;
                }
                Ok(batch)
            }
        }
    }

    /// Sends the rows of a batch, each in a message.
    async fn send_batch(
        &mut self,
        batch: &RecordBatch,
        formats: &[Format],
        zone: &Zone,
    ) -> Outcome<()> {
        let columns = value::columns(batch, formats, zone)?;
        let mut from = 0;
        while from < batch.num_rows() {
            from = encode_rows(&columns, batch.num_rows(), from, &mut self.wire.out)?;
            if self.wire.out.len() >= SEND_BYTES {
                if self.stop.is_cancelled() {
                    return Err(super::connection::canceled().into());
                }
                self.wire.flush().await?;
            }
        }
        Ok(())
    }
}

/// Encodes rows from `from` on until there are enough to be sent, and says which is next.
fn encode_rows(
    columns: &[Column],
    count: usize,
    from: usize,
    out: &mut super::wire::Out,
) -> Result<usize, EncodeError> {
    for row in from..count {
        out.message(b'D', |body| value::row(columns, row, body))?;
        if out.len() >= SEND_BYTES {
            return Ok(row + 1);
        }
    }
    Ok(count)
}

/// The first rows of a batch, and the others.
fn cut(batch: RecordBatch, wanted: u64) -> (RecordBatch, Option<RecordBatch>) {
    let rows = batch.num_rows();
    match usize::try_from(wanted) {
        Ok(wanted) if wanted < rows => {
            let rest = batch.slice(wanted, rows - wanted);
            (batch.slice(0, wanted), Some(rest))
        }
        _ => (batch, None),
    }
}

/// The formats of an answer's columns.
pub(super) fn formats(codes: &[i16], columns: usize) -> Result<Vec<Format>, Report> {
    value::formats(codes, columns).map_err(|wrong| Report::error("08P01", wrong))
}
