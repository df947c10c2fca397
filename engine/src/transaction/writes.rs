//! Rows that a transaction keeps until `COMMIT`.

use std::sync::Arc;

use arrow::array::BinaryArray;
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use weir_base::{Kind, Offset, SqlState};
use weir_catalog::Entry;
use weir_connectors::topic::{Change, TableWriter, encode_batch};

use super::{Transaction, Written};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::ingest::{append, from_row_error, stream_writer};
use crate::lanes::panicked;

/// What is kept for one stream or table.
pub(super) struct Writes {
    entry: Arc<Entry>,
    kept: Kept,
    /// What queries see of it, after so many changes.
    seen: Vec<(usize, Written)>,
}

enum Kept {
    /// Rows that were checked.
    Stream(Vec<RecordBatch>),
    Table {
        changes: Vec<Change>,
        /// Where the table stood when changes were computed from its rows; nothing where they were not.
        based_on: Option<Offset>,
    },
}

impl Writes {
    /// How many changes are kept.
    pub(super) fn len(&self) -> usize {
        match &self.kept {
            Kept::Stream(rows) => rows.len(),
            Kept::Table { changes, .. } => changes.len(),
        }
    }

    /// Takes back what came after so many changes, and gives what queries see then.
    pub(super) fn truncate(&mut self, length: usize) -> Option<Written> {
        match &mut self.kept {
            Kept::Stream(rows) => rows.truncate(length),
            Kept::Table { changes, .. } => changes.truncate(length),
        }
        self.seen.retain(|(after, _)| *after <= length);
        self.seen.last().map(|(_, written)| written.clone())
    }

    /// Writes all of it, durably or not at all.
    pub(super) async fn commit(self, engine: &Arc<Shared>) -> Result<()> {
        match self.kept {
            Kept::Stream(rows) => {
                let writer = stream_writer(engine, &self.entry.name)?;
                if writer.entry.id != self.entry.id {
                    return Err(overtaken(&self.entry));
                }
                let rows = tokio::task::spawn_blocking({
                    let writer = Arc::clone(&writer);
                    move || -> Result<_> {
                        let rows = concat_batches(&writer.entry.arrow_schema(), &rows)?;
                        encode_batch(writer.schema(), &rows).map_err(from_row_error)
                    }
                });
                let rows = rows.await.map_err(panicked)??;
                append(&writer, &rows, None).await?;
            }
            Kept::Table { changes, based_on } => {
                let snapshot = engine.catalog.snapshot();
                let now = snapshot.by_id(self.entry.id);
                if now.map(Arc::as_ref) != Some(self.entry.as_ref()) {
                    return Err(overtaken(&self.entry));
                }
                let writer = engine.keyed_table(&self.entry)?.writer().await?;
                if based_on.is_some_and(|based_on| writer.stands_at() != based_on) {
                    return Err(overtaken(&self.entry));
                }
                writer.commit(changes).await?.durable().await?;
            }
        }
        Ok(())
    }
}

fn overtaken(entry: &Entry) -> Error {
    Error::new(
        Kind::Conflict,
        format!(
            "could not serialize access due to concurrent update of {}",
            entry.describe()
        ),
    )
    .with_sqlstate(SqlState::SERIALIZATION_FAILURE)
    .with_hint("nothing was changed; try the transaction again")
}

impl Transaction {
    fn keep<T>(
        &self,
        entry: &Arc<Entry>,
        empty: impl FnOnce() -> Kept,
        keep: impl FnOnce(&mut Kept) -> Result<(T, Written)>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        if state.defining.is_some() {
            return Err(Error::unsupported(
                "to write rows to something that was there before is not supported in a transaction that defines something",
            )
            .with_hint("commit the definitions first"));
        }
        if let Some(writes) = &state.writes
            && writes.len() > 0
            && writes.entry.id != entry.id
        {
            return Err(Error::unsupported(format!(
                "a transaction writes to one stream or table: this one has written to {}, and cannot write to {}",
                writes.entry.describe(),
                entry.describe()
            ))
            .with_hint("commit in between"));
        }
        let writes = match &mut state.writes {
            Some(writes) if writes.entry.id == entry.id => writes,
            other => other.insert(Writes {
                entry: Arc::clone(entry),
                kept: empty(),
                seen: Vec::new(),
            }),
        };
        let (given, written) = keep(&mut writes.kept)?;
        let length = writes.len();
        writes.seen.push((length, written.clone()));
        self.moment.lock().written = Some(written);
        Ok(given)
    }

    /// Keeps rows for a stream.
    pub(crate) fn keep_rows(&self, entry: &Arc<Entry>, rows: RecordBatch) -> Result<u64> {
        let count = rows.num_rows() as u64;
        self.keep(
            entry,
            || Kept::Stream(Vec::new()),
            |kept| match kept {
                Kept::Stream(kept) => {
                    kept.push(rows);
                    let written = Written {
                        id: entry.id,
                        touched: BinaryArray::from_iter_values(std::iter::empty::<&[u8]>()),
                        rows: kept.clone(),
                    };
                    Ok((count, written))
                }
                Kept::Table { .. } => {
                    Err(Error::new(Kind::Internal, "rows of a stream for a table"))
                }
            },
        )
    }

    /// Keeps changes of a table, and says how many rows they will affect. `reads` tells whether they were computed from its
    /// rows, and so hold only while it stands where `writer` found it.
    pub(crate) fn keep_changes(
        &self,
        entry: &Arc<Entry>,
        writer: &TableWriter,
        new: Vec<Change>,
        reads: bool,
    ) -> Result<u64> {
        if reads {
            self.check_moment(entry, writer)?;
        }
        let empty = || Kept::Table {
            changes: Vec::new(),
            based_on: None,
        };
        self.keep(entry, empty, |kept| {
            let Kept::Table { changes, based_on } = kept else {
                return Err(Error::new(
                    Kind::Internal,
                    "changes of a table for a stream",
                ));
            };
            if reads && !changes.is_empty() {
                return Err(unread(entry));
            }
            let before = changes.len();
            changes.extend(new);
            let preview = match writer.preview(changes) {
                Ok(preview) => preview,
                Err(error) => {
                    changes.truncate(before);
                    return Err(error.into());
                }
            };
            if reads {
                *based_on = Some(writer.stands_at());
            }
            let affected = preview.affected.iter().skip(before).sum();
            let written = Written {
                id: entry.id,
                touched: preview.touched,
                rows: vec![preview.rows],
            };
            Ok((affected, written))
        })
    }

    /// Refuses to change rows that others changed after the moment that the transaction sees.
    fn check_moment(&self, entry: &Entry, writer: &TableWriter) -> Result<()> {
        let moment = self.moment.lock();
        let Some((name, _)) = entry.topic() else {
            return Ok(());
        };
        let seen = moment
            .held
            .get(name)
            .and_then(|hold| hold.ends().first().copied());
        match seen {
            Some(seen) if seen != writer.stands_at() => Err(overtaken(entry)),
            _ => Ok(()),
        }
    }
}

fn unread(entry: &Entry) -> Error {
    Error::unsupported(format!(
        "to change rows of {} after this transaction has written to it is not supported",
        entry.describe()
    ))
    .with_hint("commit first")
}
