//! `COPY t FROM STDIN`: rows that a client sends, all or none.

mod builder;
mod lines;
mod tuples;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_engine::sql::Parsed;
use weir_engine::sql::statement::CopyFrom;
use weir_engine::{Copied, Request};

use super::connection::{Connection, Outcome};
use super::copy::{CopyFormat, options};
use super::failure;
use super::portal::{Given, given};
use super::wire::{Closed, Frontend, Report, read};
use builder::Builder;
use lines::Lines;
use tuples::Tuples;

/// Reads the bytes of a copy, cut wherever messages end.
enum Reader {
    Lines(Lines),
    Tuples(Tuples),
}

impl Reader {
    fn new(format: CopyFormat) -> Self {
        match format {
            CopyFormat::Text(layout) => Self::Lines(Lines::new(layout, false)),
            CopyFormat::Csv(layout) => Self::Lines(Lines::new(layout, true)),
            CopyFormat::Binary => Self::Tuples(Tuples::default()),
        }
    }

    fn push(&mut self, bytes: &[u8], rows: &mut Builder) -> Result<(), Report> {
        match self {
            Self::Lines(lines) => lines.push(bytes, rows),
            Self::Tuples(tuples) => tuples.push(bytes, rows),
        }
    }

    fn finish(self, rows: &mut Builder) -> Result<(), Report> {
        match self {
            Self::Lines(lines) => lines.finish(rows),
            Self::Tuples(tuples) => tuples.finish(),
        }
    }
}

impl Connection {
    /// Takes the rows of a copy, and has the session write them.
    pub(super) async fn copy_in(
        &mut self,
        copy: &CopyFrom,
        parsed: &Parsed,
        text: &str,
    ) -> Outcome<Given> {
        let format = options(copy.format.as_deref(), &copy.options, false)?;
        let session = self.session.clone();
        let columns = async {
            let columns = Box::pin(session.copy_columns(&parsed.sql)).await;
            columns.map_err(|error| failure::report(&error, text, parsed.position))
        };
        let columns: SchemaRef = self.guarded(columns).await?;
        let most = self.door.settings.copy_bytes.0;
        let target = copy.table.to_string();
        let zone = self.session.setting("timezone").map_err(Report::from)?;
        let zone: Arc<str> = Arc::from(zone.as_str());
        let mut rows = Builder::new(Arc::clone(&columns), target, most, zone);
        let is_binary = format == CopyFormat::Binary;
        self.wire
            .out
            .copy_response(b'G', columns.fields().len(), is_binary);
        self.wire.flush().await?;
        self.receive(format, &mut rows).await?;
        let copied = Copied {
            schema: columns,
            batches: rows.finish()?,
        };
        let request = Request {
            copied: Some(copied),
            ..Request::new(parsed.sql.clone())
        };
        let session = self.session.clone();
        let asked = async {
            let answer = Box::pin(session.execute(request)).await;
            answer.map_err(|error| failure::report(&error, text, parsed.position))
        };
        let answer = self.guarded(asked).await?;
        Ok(given(answer, "COPY"))
    }

    /// Reads messages up to the end of the copy. After an error the rest of them is passed over.
    async fn receive(&mut self, format: CopyFormat, rows: &mut Builder) -> Outcome<()> {
        let mut reader = Reader::new(format);
        loop {
            let (stop, draining) = (self.stop.clone(), self.door.draining.clone());
            let frame = tokio::select! {
                frame = self.wire.next() => frame?,
                () = draining.cancelled() => return Err(super::listener::shutting_down().with_severity(super::wire::Severity::Error).into()),
                () = stop.cancelled() => return Err(super::connection::canceled().into()),
                () = tokio::time::sleep(self.session.idle_in_transaction_timeout()) => {
                    return Err(Report::error("25P03", "COPY from stdin failed: no data came for too long").into());
                }
            };
            let Some(frame) = frame else {
                return Err(Closed::Left.into());
            };
            match read(frame.tag, frame.body)? {
                Frontend::CopyData(bytes) => {
                    // Pieces of a bounded size: a client sends what it likes.
                    reader.push(&bytes, rows)?;
                }
                Frontend::CopyDone => break,
                Frontend::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(Report::error("57014", message).into());
                }
                Frontend::Flush | Frontend::Sync => {}
                other => {
                    let message = format!("unexpected message {other:?} during COPY from stdin");
                    let message = message.chars().take(100).collect::<String>();
                    return Err(Report::error("08P01", message).into());
                }
            }
        }
        Ok(reader.finish(rows)?)
    }
}
