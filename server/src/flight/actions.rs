//! Actions: what clients ask for besides rows. Each has a name and a message; both are looked up here.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginTransactionRequest, ActionCancelQueryRequest,
    ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionEndSavepointRequest, ActionEndTransactionRequest,
    Any, Command, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    RenewFlightEndpointRequest,
};
use prost::Message;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use weir_base::Kind;
use weir_engine::Error;

use super::credentials::SESSION_COOKIE;
use super::protocol::{CloseSessionResult, CloseStatus, SetSessionOptionsRequest};
use super::sessions::{ClientSession, Connection};
use super::statements::command;
use super::status::{malformed, missing, status, unsupported};
use super::{Flight, session_options};

/// What an action answers.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The message that answers it, for those that have one.
    pub(super) body: Option<Vec<u8>>,
    /// A cookie for the client to send from now on.
    pub(super) cookie: Option<MetadataValue<Ascii>>,
}

impl Done {
    fn message(message: &impl Message) -> Self {
        Self {
            body: Some(message.encode_to_vec()),
            cookie: None,
        }
    }

    fn any(message: &impl ProstMessageExt) -> Self {
        Self::message(&message.as_any())
    }
}

/// Every action, and what it is for.
const ACTIONS: [(&str, &str); 12] = [
    ("BeginSavepoint", "Marks a place in a transaction."),
    ("BeginTransaction", "Begins a transaction."),
    ("CancelFlightInfo", "Cancels the query of a FlightInfo."),
    (
        "CancelQuery",
        "Cancels the query of a FlightInfo, as older clients ask for it.",
    ),
    ("ClosePreparedStatement", "Forgets a prepared statement."),
    ("CloseSession", "Ends the session."),
    ("CreatePreparedStatement", "Prepares a statement."),
    (
        "EndSavepoint",
        "Goes back to a place in a transaction, or forgets it.",
    ),
    ("EndTransaction", "Commits a transaction, or rolls it back."),
    ("GetSessionOptions", "Tells the session's options."),
    (
        "RenewFlightEndpoint",
        "Has an answer wait for its reader for longer.",
    ),
    ("SetSessionOptions", "Sets options of the session."),
];

/// The actions as clients are told of them.
pub(super) fn list() -> impl Iterator<Item = ActionType> + Send {
    ACTIONS.into_iter().map(|(name, description)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    })
}

impl Flight {
    /// Carries out an action.
    pub(super) async fn act(
        &self,
        caller: &Arc<ClientSession>,
        connection: Option<Arc<Connection>>,
        action: Action,
    ) -> Result<Done, Status> {
        let body = &action.body[..];
        match action.r#type.as_str() {
            "CreatePreparedStatement" => {
                let create: ActionCreatePreparedStatementRequest = unpack(body)?;
                Ok(Done::any(&self.prepare(caller, create).await?))
            }
            "ClosePreparedStatement" => {
                let close: ActionClosePreparedStatementRequest = unpack(body)?;
                self.close_prepared(caller, &close.prepared_statement_handle)?;
                Ok(Done::default())
            }
            "CreatePreparedSubstraitPlan" => {
                Err(unsupported("Substrait plans are not supported: send SQL"))
            }
            "BeginTransaction" => {
                let _: ActionBeginTransactionRequest = unpack(body)?;
                Ok(Done::any(&self.begin_transaction(caller).await?))
            }
            "EndTransaction" => {
                let end: ActionEndTransactionRequest = unpack(body)?;
                self.end_transaction(caller, &end).await?;
                Ok(Done::default())
            }
            "BeginSavepoint" => {
                let begin: ActionBeginSavepointRequest = unpack(body)?;
                Ok(Done::any(&self.begin_savepoint(caller, &begin).await?))
            }
            "EndSavepoint" => {
                let end: ActionEndSavepointRequest = unpack(body)?;
                self.end_savepoint(caller, &end).await?;
                Ok(Done::default())
            }
            "CancelQuery" => {
                let cancel: ActionCancelQueryRequest = unpack(body)?;
                let info: FlightInfo = decode(&cancel.info)?;
                let result = self.cancel(caller, &info) as i32;
                Ok(Done::any(&ActionCancelQueryResult { result }))
            }
            "CancelFlightInfo" => {
                let cancel: CancelFlightInfoRequest = decode(body)?;
                let info = cancel.info.unwrap_or_default();
                let status = self.cancel(caller, &info) as i32;
                Ok(Done::message(&CancelFlightInfoResult { status }))
            }
            "RenewFlightEndpoint" => self.renew(caller, &decode(body)?),
            "SetSessionOptions" => {
                let request: SetSessionOptionsRequest = decode(body)?;
                let result = session_options::set(caller, request).await?;
                Ok(Done {
                    // Who keeps cookies has the options on every connection.
                    cookie: Some(session_cookie(&caller.id.to_string(), "")?),
                    ..Done::message(&result)
                })
            }
            "GetSessionOptions" => Ok(Done::message(&session_options::get(caller).await?)),
            "CloseSession" => {
                self.sessions.close(caller.id);
                if let Some(connection) = connection {
                    connection.forget(caller.id);
                }
                let status = CloseStatus::Closed as i32;
                Ok(Done {
                    cookie: Some(session_cookie("", "; Max-Age=0")?),
                    ..Done::message(&CloseSessionResult { status })
                })
            }
            other => Err(unsupported(format!("there is no action {other:?}"))),
        }
    }

    /// Cancels the query of all endpoints of an info.
    fn cancel(&self, caller: &ClientSession, info: &FlightInfo) -> CancelStatus {
        let mut cancelled = CancelStatus::NotCancellable;
        for handle in info.endpoint.iter().filter_map(handle) {
            if self.tickets.cancel(caller, &handle) == CancelStatus::Cancelled {
                cancelled = CancelStatus::Cancelled;
            }
        }
        cancelled
    }

    fn renew(
        &self,
        caller: &ClientSession,
        request: &RenewFlightEndpointRequest,
    ) -> Result<Done, Status> {
        let endpoint = request.endpoint.clone().unwrap_or_default();
        match handle(&endpoint).filter(|handle| self.tickets.renew(caller, handle)) {
            Some(_) => Ok(Done::message(&endpoint)),
            None => Err(missing(
                "no answer waits for this endpoint",
                "it was read, cancelled, or waited too long; ask for the FlightInfo again",
            )),
        }
    }
}

/// What the ticket of an endpoint stands for, if it is one of a query.
fn handle(endpoint: &arrow_flight::FlightEndpoint) -> Option<bytes::Bytes> {
    let ticket = endpoint.ticket.as_ref()?;
    match command(&ticket.ticket, "ticket") {
        Ok(Command::TicketStatementQuery(ticket)) => Some(ticket.statement_handle),
        _ => None,
    }
}

fn session_cookie(id: &str, suffix: &str) -> Result<MetadataValue<Ascii>, Status> {
    MetadataValue::try_from(format!("{SESSION_COOKIE}={id}{suffix}"))
        .map_err(|error| status(&Error::new(Kind::Internal, error.to_string())))
}

fn decode<M: Message + Default>(body: &[u8]) -> Result<M, Status> {
    M::decode(body).map_err(|error| malformed("message of this action", error))
}

/// The message in an `Any`, as the actions of Flight SQL have theirs.
fn unpack<M: ProstMessageExt>(body: &[u8]) -> Result<M, Status> {
    let any: Any = decode(body)?;
    let url = any.type_url.clone();
    any.unpack()
        .map_err(|error| malformed("message of this action", error))?
        .ok_or_else(|| malformed("message of this action", format!("it is a {url:?}")))
}
