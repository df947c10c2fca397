//! Prepared statements: described when they are made, bound by an upload of parameters, run as often as is asked for.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    DoPutPreparedStatementResult,
};
use arrow_flight::{FlightData, FlightDescriptor, FlightInfo, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;
use uuid::Uuid;
use weir_engine::{Description, Request, ScalarValue, Session};

use super::described::{dataset, parameters as parameter_types};
use super::put::Uploaded;
use super::sessions::{ClientSession, parse_handle};
use super::statements::Said;
use super::status::{defect, invalid, missing, status};
use super::{Flight, parameters, transactions};

/// A statement that waits to be run.
#[derive(Debug)]
pub(crate) struct Prepared {
    sql: String,
    /// The session of the engine that it runs in.
    engine: Session,
    described: Description,
    /// Whether that is the session of a transaction of the client's.
    in_transaction: bool,
    /// What was put last.
    bound: Mutex<Arc<Bound>>,
}

/// Rows of parameters.
#[derive(Debug, Default)]
struct Bound {
    rows: Vec<Vec<ScalarValue>>,
    /// Holds the memory that is counted for them.
    _uploaded: Option<Uploaded>,
}

impl Bound {
    fn new(uploaded: Uploaded) -> Result<Arc<Self>, Status> {
        Ok(Arc::new(Self {
            rows: parameters::rows(&uploaded.body)?,
            _uploaded: Some(uploaded),
        }))
    }
}

impl Prepared {
    /// Bytes of its text.
    pub(super) fn bytes(&self) -> usize {
        self.sql.len()
    }

    fn said(&self, headers: &MetadataMap, parameters: Vec<ScalarValue>) -> Result<Said, Status> {
        Ok(Said {
            parameters,
            ..Said::new(self.sql.clone(), headers)?
        })
    }
}

impl Flight {
    /// Prepares a statement.
    pub(super) async fn prepare(
        &self,
        caller: &ClientSession,
        create: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let transaction = create.transaction_id.as_deref();
        let engine = self.session_of(caller, transaction)?;
        let described = Self::describe(&engine, &create.query).await?;
        let dataset_schema = schema_bytes(&dataset(&described, caller.wants_views()))?;
        let parameter_schema = schema_bytes(&parameter_types(&described))?;
        let handle = caller.keep_prepared(Arc::new(Prepared {
            sql: create.query,
            engine,
            described,
            in_transaction: transaction.is_some_and(|id| !id.is_empty()),
            bound: Mutex::default(),
        }))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into(),
            dataset_schema,
            parameter_schema,
        })
    }

    /// Forgets a prepared statement.
    pub(super) fn close_prepared(
        &self,
        caller: &ClientSession,
        handle: &[u8],
    ) -> Result<(), Status> {
        let (session, id) = self.owner(caller, handle)?;
        if session.drop_prepared(id) {
            Ok(())
        } else {
            Err(unknown())
        }
    }

    /// Binds what is put to a prepared statement.
    pub(super) async fn bind<S>(
        &self,
        caller: &ClientSession,
        handle: &Bytes,
        first: FlightData,
        messages: S,
    ) -> Result<Vec<u8>, Status>
    where
        S: Stream<Item = Result<FlightData, Status>> + Unpin,
    {
        let (_, prepared) = self.prepared(caller, handle)?;
        let uploaded = self.gather(first, messages).await?;
        *prepared.bound.lock() = Bound::new(uploaded)?;
        let result = DoPutPreparedStatementResult {
            prepared_statement_handle: Some(handle.clone()),
        };
        Ok(result.encode_to_vec())
    }

    /// Runs a prepared query with the parameters that were bound last.
    pub(super) async fn begin_prepared(
        &self,
        caller: &ClientSession,
        handle: &[u8],
        headers: &MetadataMap,
        descriptor: FlightDescriptor,
    ) -> Result<FlightInfo, Status> {
        let (session, prepared) = self.prepared(caller, handle)?;
        let bound = Arc::clone(&prepared.bound.lock());
        let parameters = match bound.rows.as_slice() {
            [] => Vec::new(),
            [row] => row.clone(),
            rows => {
                return Err(invalid(format!(
                    "{} rows of parameters were bound, and a query takes one",
                    rows.len()
                )));
            }
        };
        let said = prepared.said(headers, parameters)?;
        self.begin(&session, prepared.engine.clone(), said, descriptor)
            .await
    }

    /// The columns of a prepared query's answer.
    pub(super) fn prepared_schema(
        &self,
        caller: &ClientSession,
        handle: &[u8],
    ) -> Result<SchemaRef, Status> {
        let (session, prepared) = self.prepared(caller, handle)?;
        Ok(dataset(&prepared.described, session.wants_views()))
    }

    /// Runs a prepared statement once for each row of parameters, and gives how many rows it changed.
    pub(super) async fn update_prepared<S>(
        &self,
        caller: &ClientSession,
        handle: &[u8],
        headers: &MetadataMap,
        first: FlightData,
        messages: S,
    ) -> Result<i64, Status>
    where
        S: Stream<Item = Result<FlightData, Status>> + Unpin,
    {
        let (_, prepared) = self.prepared(caller, handle)?;
        let bound = if first.data_header.is_empty() {
            Arc::clone(&prepared.bound.lock())
        } else {
            let uploaded = self.gather(first, messages).await?;
            Bound::new(uploaded)?
        };
        match bound.rows.as_slice() {
            [] => Self::update(&prepared.engine, prepared.said(headers, Vec::new())?).await,
            [row] => Self::update(&prepared.engine, prepared.said(headers, row.clone())?).await,
            rows => self.update_all(&prepared, headers, rows).await,
        }
    }

    /// Runs an update once for each row of parameters: inserts all or none, others one after the other, because none of them
    /// could see what those before it did in a transaction that is open.
    async fn update_all(
        &self,
        prepared: &Prepared,
        headers: &MetadataMap,
        rows: &[Vec<ScalarValue>],
    ) -> Result<i64, Status> {
        if prepared.in_transaction || prepared.described.tag != "INSERT" {
            return Self::update_each(&prepared.engine, prepared, headers, rows).await;
        }
        let own = prepared.engine.sibling();
        transactions::run(&own, Request::new("BEGIN"))
            .await
            .map_err(|error| status(&error))?;
        let changed = Self::update_each(&own, prepared, headers, rows).await?;
        transactions::commit(&own)
            .await
            .map_err(|error| status(&error))?;
        Ok(changed)
    }

    async fn update_each(
        engine: &Session,
        prepared: &Prepared,
        headers: &MetadataMap,
        rows: &[Vec<ScalarValue>],
    ) -> Result<i64, Status> {
        let mut changed: i64 = 0;
        for (row, number) in rows.iter().zip(1_usize..) {
            let done = Self::update(engine, prepared.said(headers, row.clone())?).await;
            let count = done.map_err(|status| {
                Status::with_details(
                    status.code(),
                    format!("row {number} of the parameters: {}", status.message()),
                    Bytes::copy_from_slice(status.details()),
                )
            })?;
            // A count that is not known leaves the sum unknown.
            changed = if count < 0 || changed < 0 {
                -1
            } else {
                changed.saturating_add(count)
            };
        }
        Ok(changed)
    }

    /// The session of a handle, if it is one of the caller's, and what the handle names in it.
    fn owner(
        &self,
        caller: &ClientSession,
        handle: &[u8],
    ) -> Result<(Arc<ClientSession>, Uuid), Status> {
        let (session, id) = parse_handle(handle).ok_or_else(unknown)?;
        let session = self.sessions.of_handle(session);
        let session = session.filter(|session| session.is_of_user_of(caller));
        Ok((session.ok_or_else(unknown)?, id))
    }

    fn prepared(
        &self,
        caller: &ClientSession,
        handle: &[u8],
    ) -> Result<(Arc<ClientSession>, Arc<Prepared>), Status> {
        let (session, id) = self.owner(caller, handle)?;
        let prepared = session.prepared(id).ok_or_else(unknown)?;
        Ok((session, prepared))
    }
}

fn unknown() -> Status {
    missing(
        "there is no such prepared statement",
        "it was closed, or its session has ended; prepare it again",
    )
}

/// A schema as Flight SQL's actions carry it: an IPC message.
fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|error| defect(&error))?;
    Ok(bytes)
}
