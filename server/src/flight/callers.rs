//! Whose a call is: the handshake, tokens, passwords, and the session that a call belongs to.

use std::sync::Arc;

use arrow_flight::{HandshakeRequest, HandshakeResponse};
use axum::http::HeaderMap;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};
use weir_base::Kind;
use weir_engine::{Credentials, Error, Principal};

use super::Flight;
use super::credentials::{SESSION_COOKIE, cookie, in_headers, in_payload};
use super::sessions::{ClientSession, Connection};
use super::status::{missing, status, unauthenticated};

impl Flight {
    /// The session of a call with these headers.
    ///
    /// # Errors
    /// UNAUTHENTICATED when nobody is known by what was sent; NOT_FOUND for a session that is not open.
    pub(super) async fn caller(
        &self,
        connection: &Connection,
        headers: &HeaderMap,
    ) -> Result<Arc<ClientSession>, Status> {
        let credentials = in_headers(headers)?;
        let by_token = match &credentials {
            Some(Credentials::Token(token)) => {
                self.sessions.of_token(token.expose()).transpose()?
            }
            _ => None,
        };
        let principal = match &by_token {
            Some(session) => session.engine.principal().clone(),
            None => self.sign_in(credentials, connection).await?,
        };
        connection.let_in();
        let session = match (cookie(headers, SESSION_COOKIE), by_token) {
            (Some(id), _) => {
                let session = self.sessions.of_id(id)?;
                if !session.engine.principal().is_same(&principal) {
                    return Err(missing("the session is not open", "connect again"));
                }
                session
            }
            (None, Some(session)) => session,
            (None, None) => {
                return connection.own_session(&principal, || {
                    self.sessions
                        .open(self.engine.session_of(principal.clone()))
                });
            }
        };
        connection.keep(&session);
        Ok(session)
    }

    /// Who shows these credentials. Where nobody has to sign in, everybody is the operator.
    async fn sign_in(
        &self,
        credentials: Option<Credentials>,
        connection: &Connection,
    ) -> Result<Principal, Status> {
        if !self.engine.requires_sign_in() {
            return Ok(self.engine.session().principal().clone());
        }
        let credentials = credentials.ok_or_else(|| {
            unauthenticated(
                "this server is for users who sign in",
                "give user and password, or a token as authorization: Bearer",
            )
        })?;
        self.engine
            .sign_in(credentials, connection.peer)
            .await
            .map_err(|error| status(&error))
    }

    /// A handshake: a session and its token, for credentials in the headers or in the first message.
    pub(super) async fn shake_hands<S>(
        &self,
        connection: &Connection,
        headers: &HeaderMap,
        mut messages: S,
    ) -> Result<Response<BoxStream<'static, Result<HandshakeResponse, Status>>>, Status>
    where
        S: Stream<Item = Result<HandshakeRequest, Status>> + Unpin,
    {
        let credentials = match in_headers(headers)? {
            Some(credentials) => Some(credentials),
            None => self.payload(&mut messages).await?,
        };
        let principal = self.sign_in(credentials, connection).await?;
        connection.let_in();
        let session = self.sessions.open(self.engine.session_of(principal))?;
        connection.keep(&session);
        let token = self.sessions.give_token(&session);
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: token.clone().into(),
        };
        let answers = futures::stream::once(std::future::ready(Ok(answer)));
        let mut response = Response::new(answers.boxed());
        let bearer = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|error| status(&Error::new(Kind::Internal, error.to_string())))?;
        response.metadata_mut().insert("authorization", bearer);
        Ok(response)
    }

    /// The credentials in the first message of a handshake, if there is one with any.
    async fn payload<S>(&self, messages: &mut S) -> Result<Option<Credentials>, Status>
    where
        S: Stream<Item = Result<HandshakeRequest, Status>> + Unpin,
    {
        let wait = self.settings.handshake_timeout;
        let first = tokio::time::timeout(wait, messages.next()).await;
        match first {
            Err(_) => Err(unauthenticated(
                format!("the handshake had no message for {} ms", wait.as_millis()),
                "send user and password",
            )),
            Ok(None) => Ok(None),
            Ok(Some(message)) => match message?.payload {
                payload if payload.is_empty() => Ok(None),
                payload => in_payload(&payload).map(Some),
            },
        }
    }
}
