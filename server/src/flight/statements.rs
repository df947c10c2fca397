//! Statements: what a `FlightInfo` is of, how its rows are fetched, and statements that change something.

use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use futures::StreamExt;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};
use weir_base::ResumeToken;
use weir_engine::{Answer, AnswerKind, Envelope, Request, RowStream, ScalarValue};

use super::Flight;
use super::rows::{Ends, messages};
use super::service::DataStream;
use super::sessions::ClientSession;
use super::status::{defect, invalid, malformed, status, unsupported};
use super::tickets::Waiting;
use super::types::sent_schema;

/// The header by which a live query goes on: the position of the last rows that the client has.
const RESUME_HEADER: &str = "weir-resume";
/// The header that asks for a form of changes: `changelog`, `upsert`, `debezium`.
const ENVELOPE_HEADER: &str = "weir-envelope";
/// Said of a number of rows that is not known.
const UNKNOWN: i64 = -1;

/// A statement and all that was said of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    pub(super) sql: String,
    pub(super) parameters: Vec<ScalarValue>,
    pub(super) resume: Option<ResumeToken>,
    pub(super) envelope: Option<Envelope>,
}

impl Said {
    /// A statement with what headers say of it.
    ///
    /// # Errors
    /// When a header is not understood.
    pub(super) fn new(sql: String, headers: &MetadataMap) -> Result<Self, Status> {
        let text = |name: &str| {
            headers
                .get(name)
                .map(|value| {
                    value
                        .to_str()
                        .map_err(|_| invalid(format!("header {name} is not text")))
                })
                .transpose()
        };
        let resume = text(RESUME_HEADER)?
            .map(|token| {
                token
                    .parse::<ResumeToken>()
                    .map_err(|error| invalid(error.to_string()))
            })
            .transpose()?;
        let envelope = match text(ENVELOPE_HEADER)? {
            None => None,
            Some("changelog") => Some(Envelope::Changelog),
            Some("upsert") => Some(Envelope::Upsert),
            Some("debezium") => Some(Envelope::Debezium),
            Some(other) => {
                return Err(invalid(format!(
                    "header {ENVELOPE_HEADER} is {other:?}, and not changelog, upsert or debezium"
                )));
            }
        };
        Ok(Self {
            sql,
            parameters: Vec::new(),
            resume,
            envelope,
        })
    }

    fn request(self) -> Request {
        Request {
            parameters: self.parameters,
            resume: self.resume,
            envelope: self.envelope,
            ..Request::new(self.sql)
        }
    }
}

impl Flight {
    /// Begins a statement. Rows wait under a ticket, those of `RETURNING` too; any other command is done when this returns.
    pub(super) async fn begin(
        &self,
        session: &Arc<ClientSession>,
        engine: weir_engine::Session,
        said: Said,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let answer = engine
            .execute(said.request())
            .await
            .map_err(|error| status(&error))?;
        let Answer {
            query_id,
            schema,
            kind,
            mut rows,
        } = answer;
        let info = FlightInfo::new()
            .with_descriptor(descriptor)
            .with_ordered(true)
            .with_app_metadata(query_id.to_string());
        let live = match kind {
            AnswerKind::Command {
                rows: changed,
                gives_rows: false,
                ..
            } => {
                drain(&mut rows).await?;
                let count = changed.map_or(UNKNOWN, |rows| i64::try_from(rows).unwrap_or(i64::MAX));
                return with_schema(info, &Schema::empty())
                    .map(|info| info.with_total_records(count));
            }
            AnswerKind::Live => true,
            AnswerKind::Rows | AnswerKind::Command { .. } => false,
        };
        let sent = sent_schema(&schema, session.wants_views());
        let info = with_schema(info, &sent)?;
        let ticket = self.tickets.keep(Waiting {
            rows,
            live,
            sent,
            session: Arc::clone(session),
            in_flight: self.around.in_flight.enter(),
        })?;
        let ticket = TicketStatementQuery {
            statement_handle: ticket.into_bytes().to_vec().into(),
        };
        Ok(info.with_endpoint(endpoint(ticket.as_any().encode_to_vec())))
    }

    /// The rows of a ticket.
    pub(super) fn fetch(
        &self,
        caller: &ClientSession,
        handle: &[u8],
    ) -> Result<Response<DataStream>, Status> {
        let (waiting, reading) = self.tickets.take(caller, handle)?;
        let ends = Ends {
            cancelled: reading.cancelled.clone(),
            draining: waiting.live.then(|| self.around.draining.clone()),
        };
        let held = (reading, waiting.session, waiting.in_flight);
        Ok(Response::new(messages(
            waiting.rows,
            waiting.sent,
            self.message_bytes(),
            ends,
            held,
        )))
    }

    /// Runs a statement for what it does, and gives the number of rows that it changed.
    pub(super) async fn update(engine: &weir_engine::Session, said: Said) -> Result<i64, Status> {
        let mut answer = engine
            .execute(said.request())
            .await
            .map_err(|error| status(&error))?;
        match answer.kind {
            AnswerKind::Live => Err(unsupported(
                "a live query has no end, and so is no update: send it as a query",
            )),
            AnswerKind::Rows => {
                drain(&mut answer.rows).await?;
                Ok(UNKNOWN)
            }
            AnswerKind::Command { rows, .. } => {
                drain(&mut answer.rows).await?;
                Ok(rows.map_or(0, |rows| i64::try_from(rows).unwrap_or(i64::MAX)))
            }
        }
    }
}

/// Takes all rows: a statement has only been carried out, and has only failed, when they have ended.
async fn drain(rows: &mut RowStream) -> Result<(), Status> {
    while let Some(chunk) = rows.next().await {
        chunk.map_err(|error| status(&error))?;
    }
    Ok(())
}

/// The info with the schema of its rows.
pub(super) fn with_schema(info: FlightInfo, schema: &Schema) -> Result<FlightInfo, Status> {
    info.try_with_schema(schema).map_err(|error| defect(&error))
}

/// The one place where rows are fetched: here. Nothing is said of locations, so that clients keep their connection.
pub(super) fn endpoint(ticket: Vec<u8>) -> FlightEndpoint {
    FlightEndpoint::new().with_ticket(Ticket::new(ticket))
}

/// The command in a descriptor or ticket.
pub(super) fn command(bytes: &[u8], what: &str) -> Result<arrow_flight::sql::Command, Status> {
    let any = arrow_flight::sql::Any::decode(bytes).map_err(|error| malformed(what, error))?;
    arrow_flight::sql::Command::try_from(any).map_err(|error| malformed(what, error))
}
