//! Flight's calls: what each asks for, and who answers it. Methods are thin, because each becomes a boxed future.

use std::sync::Arc;

use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::Command;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaAsIpc, SchemaResult, Ticket,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::described::dataset;
use super::rows::{Ends, messages};
use super::sessions::{ClientSession, Connection};
use super::statements::{Said, command, endpoint, with_schema};
use super::status::{defect, invalid, unauthenticated, unsupported};
use super::{Flight, metadata, put};

/// Rows on their way.
pub(super) type DataStream = BoxStream<'static, Result<FlightData, Status>>;

/// The door as gRPC calls it.
pub(super) struct Service(pub(super) Arc<Flight>);

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = DataStream;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = DataStream;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let (headers, extensions, messages) = request.into_parts();
        let connection = extensions.get::<Arc<Connection>>().cloned();
        let connection = connection.ok_or_else(unknown)?;
        let headers = headers.into_headers();
        self.0.shake_hands(&connection, &headers, messages).await
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(unsupported(
            "ListFlights is not supported: Flight SQL's GetTables lists what can be queried",
        ))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let (caller, headers, descriptor) = parts(request)?;
        let info = self.0.info(&caller, &headers, descriptor).await?;
        Ok(Response::new(info))
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        // Rows are fetched while the query runs, so there is never anything to wait for.
        let (caller, headers, descriptor) = parts(request)?;
        let info = self.0.info(&caller, &headers, descriptor).await?;
        Ok(Response::new(PollInfo::new().with_info(info)))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let (caller, _, descriptor) = parts(request)?;
        let schema = self.0.schema(&caller, &descriptor).await?;
        let options = IpcWriteOptions::default();
        let result = SchemaResult::try_from(SchemaAsIpc::new(&schema, &options))
            .map_err(|error| defect(&error))?;
        Ok(Response::new(result))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let (caller, _, ticket) = parts(request)?;
        self.0.get(&caller, &ticket)
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let (caller, headers, messages) = parts(request)?;
        let result = self.0.put(&caller, &headers, messages).await?;
        let result = PutResult {
            app_metadata: result.into(),
        };
        Ok(Response::new(one(result)))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let connection = request.extensions().get().cloned();
        let (caller, _, action) = parts(request)?;
        let done = self.0.act(&caller, connection, action).await?;
        let body: Self::DoActionStream = match done.body {
            Some(body) => one(arrow_flight::Result { body: body.into() }),
            None => futures::stream::empty().boxed(),
        };
        let mut response = Response::new(body);
        if let Some(cookie) = done.cookie {
            response.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(response)
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = super::actions::list().map(Ok);
        Ok(Response::new(futures::stream::iter(actions).boxed()))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(unsupported(
            "DoExchange is not supported: rows come in by DoPut and go out by DoGet",
        ))
    }
}

fn one<T: Send + 'static>(item: T) -> BoxStream<'static, Result<T, Status>> {
    futures::stream::once(std::future::ready(Ok(item))).boxed()
}

/// Whose call it is, what its headers say, and its message.
fn parts<T>(request: Request<T>) -> Result<(Arc<ClientSession>, MetadataMap, T), Status> {
    let (headers, extensions, message) = request.into_parts();
    let caller = extensions
        .get::<Arc<ClientSession>>()
        .cloned()
        .ok_or_else(unknown)?;
    Ok((caller, headers, message))
}

/// A call that came by no connection of ours.
fn unknown() -> Status {
    unauthenticated("nobody is known by this call", "send a Handshake first")
}

impl Flight {
    async fn info(
        &self,
        caller: &Arc<ClientSession>,
        headers: &MetadataMap,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        match described_command(&descriptor)? {
            Command::CommandStatementQuery(query) => {
                let engine = self.session_of(caller, query.transaction_id.as_deref())?;
                let said = Said::new(query.query, headers)?;
                self.begin(caller, engine, said, descriptor).await
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                self.begin_prepared(caller, &handle, headers, descriptor)
                    .await
            }
            Command::CommandStatementSubstraitPlan(_) => Err(no_substrait()),
            other => {
                let schema = self.metadata_schema(&other)?;
                let info = FlightInfo::new()
                    .with_descriptor(descriptor)
                    .with_ordered(true)
                    .with_endpoint(endpoint(other.into_any().encode_to_vec()));
                with_schema(info, &schema)
            }
        }
    }

    async fn schema(
        &self,
        caller: &Arc<ClientSession>,
        descriptor: &FlightDescriptor,
    ) -> Result<arrow::datatypes::SchemaRef, Status> {
        match described_command(descriptor)? {
            Command::CommandStatementQuery(query) => {
                let engine = self.session_of(caller, query.transaction_id.as_deref())?;
                let described = Self::describe(&engine, &query.query).await?;
                Ok(dataset(&described, caller.wants_views()))
            }
            Command::CommandPreparedStatementQuery(query) => {
                self.prepared_schema(caller, &query.prepared_statement_handle)
            }
            Command::CommandStatementSubstraitPlan(_) => Err(no_substrait()),
            other => self.metadata_schema(&other),
        }
    }

    fn get(
        &self,
        caller: &Arc<ClientSession>,
        ticket: &Ticket,
    ) -> Result<Response<DataStream>, Status> {
        match command(&ticket.ticket, "ticket")? {
            Command::TicketStatementQuery(ticket) => self.fetch(caller, &ticket.statement_handle),
            other => {
                let batch = metadata::answer(self, &caller.engine, &other)?;
                let schema = batch.schema();
                let chunk = weir_engine::Chunk {
                    batch,
                    position: None,
                };
                let rows = futures::stream::iter([Ok(chunk)]);
                let ends = Ends {
                    cancelled: tokio_util::sync::CancellationToken::new(),
                    draining: None,
                };
                Ok(Response::new(messages(
                    rows,
                    schema,
                    self.message_bytes(),
                    ends,
                    (),
                )))
            }
        }
    }

    /// Takes what a client puts, and gives the message that answers it.
    async fn put(
        &self,
        caller: &Arc<ClientSession>,
        headers: &MetadataMap,
        messages: Streaming<FlightData>,
    ) -> Result<Vec<u8>, Status> {
        let (first, messages) = put::first(messages, self.settings.upload_timeout).await?;
        let descriptor = first
            .flight_descriptor
            .as_ref()
            .ok_or_else(|| invalid("the first message of a DoPut must have a descriptor"))?;
        match described_command(descriptor)? {
            Command::CommandStatementUpdate(update) => {
                let engine = self.session_of(caller, update.transaction_id.as_deref())?;
                let said = Said::new(update.query, headers)?;
                Self::update(&engine, said).await.map(put::changed)
            }
            Command::CommandPreparedStatementQuery(query) => {
                let handle = query.prepared_statement_handle;
                self.bind(caller, &handle, first, messages).await
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let handle = update.prepared_statement_handle;
                self.update_prepared(caller, &handle, headers, first, messages)
                    .await
                    .map(put::changed)
            }
            Command::CommandStatementIngest(ingest) => self
                .ingest(caller, ingest, first, messages)
                .await
                .map(put::changed),
            Command::CommandStatementSubstraitPlan(_) => Err(no_substrait()),
            other => Err(not_here(&other, "DoPut")),
        }
    }
}

/// The command that a descriptor is.
fn described_command(descriptor: &FlightDescriptor) -> Result<Command, Status> {
    if descriptor.cmd.is_empty() {
        return Err(unsupported(
            "a descriptor must be a command of Flight SQL; paths name nothing here",
        ));
    }
    command(&descriptor.cmd, "Flight SQL command")
}

/// A command that is no answer to this call.
pub(super) fn not_here(command: &Command, call: &str) -> Status {
    let url = command.type_url();
    let name = url.rsplit(['.', '/']).next().unwrap_or(url);
    unsupported(format!("{call} does not take {name:?}"))
}

fn no_substrait() -> Status {
    unsupported("Substrait plans are not supported: send SQL")
}
