//! Signing in: SASL with PLAIN and SCRAM, as Kafka carries it.
//!
//! In: frames of a connection whose client nobody knows yet. Out: answers to them, and who the client is. Until then nothing but
//! the versions of requests is told. There is no signing in anew on an open connection: what a user may do is looked at with each
//! request, and a user who may no longer sign in is cut off.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};
use weir_engine::{Credentials, Engine, Error, Principal, ScramExchange, ScramHash};

use super::api::{self, Broken, Frame, Request};
use super::gather::Piece;
use super::{code, text};

/// The mechanisms that are offered.
const MECHANISMS: [Mechanism; 3] = [
    Mechanism::Scram(ScramHash::Sha256),
    Mechanism::Scram(ScramHash::Sha512),
    Mechanism::Plain,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram(ScramHash),
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(hash) => hash.mechanism(),
        }
    }
}

/// A client's way in.
pub(super) struct Sasl {
    engine: Engine,
    from: IpAddr,
    state: State,
    /// After a handshake of version 0, tokens come as frames without a head.
    is_bare: bool,
}

enum State {
    Begun,
    Chosen(Mechanism),
    Challenged(Box<ScramExchange>),
    Ended,
}

/// What follows from a frame.
pub(super) struct Step {
    /// What is sent; nothing where the connection is closed without a word.
    pub(super) answer: Option<Frame>,
    pub(super) then: Then,
}

/// How it goes on.
pub(super) enum Then {
    /// More has to come.
    Wait,
    /// The client is known.
    Welcome(Principal),
    /// The connection is closed.
    Close,
}

impl Sasl {
    pub(super) fn new(engine: Engine, from: IpAddr) -> Self {
        Self {
            engine,
            from,
            state: State::Begun,
            is_bare: false,
        }
    }

    /// Answers a frame.
    pub(super) async fn step(&mut self, frame: Bytes) -> Result<Step, Broken> {
        if self.is_bare {
            return Ok(match self.token(&frame).await {
                Ok((token, principal)) => Step {
                    answer: Some(bare(&token)),
                    then: principal.map_or(Then::Wait, Then::Welcome),
                },
                Err(_) => Step {
                    answer: None,
                    then: Then::Close,
                },
            });
        }
        let (head, body) = match api::read(frame)? {
            Request::Known(head, body) => (head, body),
            Request::ApiVersionsTooNew { correlation_id } => {
                return Ok(Step {
                    answer: Some(api::versions_too_new(correlation_id)?),
                    then: Then::Wait,
                });
            }
        };
        match head.api {
            ApiKey::ApiVersions => Ok(Step {
                answer: Some(api::answer(&head, &api::versions(head.version))?),
                then: Then::Wait,
            }),
            ApiKey::SaslHandshake => {
                let request: SaslHandshakeRequest = api::body(&head, body)?;
                let (response, then) = self.handshake(&request.mechanism, head.version);
                Ok(Step {
                    answer: Some(api::answer(&head, &response)?),
                    then,
                })
            }
            ApiKey::SaslAuthenticate => {
                let request: SaslAuthenticateRequest = api::body(&head, body)?;
                let response = SaslAuthenticateResponse::default();
                let (response, then) = match self.token(&request.auth_bytes).await {
                    Ok((token, principal)) => (
                        response.with_auth_bytes(token.into()),
                        principal.map_or(Then::Wait, Then::Welcome),
                    ),
                    Err(refused) => (
                        response
                            .with_error_code(refused.code)
                            .with_error_message(Some(text(&refused.message))),
                        Then::Close,
                    ),
                };
                Ok(Step {
                    answer: Some(api::answer(&head, &response)?),
                    then,
                })
            }
            _ => Err(Broken::SignedOut(head.api)),
        }
    }

    fn handshake(&mut self, wanted: &str, version: i16) -> (SaslHandshakeResponse, Then) {
        let names = MECHANISMS.iter().map(|mechanism| text(mechanism.name()));
        let response = SaslHandshakeResponse::default().with_mechanisms(names.collect());
        let mechanism = MECHANISMS
            .into_iter()
            .find(|mechanism| mechanism.name() == wanted);
        match mechanism {
            Some(mechanism) => {
                self.state = State::Chosen(mechanism);
                self.is_bare = version == 0;
                (response, Then::Wait)
            }
            None => (
                response.with_error_code(code::UNSUPPORTED_SASL_MECHANISM),
                Then::Close,
            ),
        }
    }

    /// What a token of the client is answered with, and who the client is once that is known.
    async fn token(&mut self, token: &[u8]) -> Result<(Vec<u8>, Option<Principal>), Refused> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Chosen(Mechanism::Plain) => {
                let credentials = plain(token)?;
                let principal = self.engine.sign_in(credentials, self.from).await?;
                Ok((Vec::new(), Some(principal)))
            }
            State::Chosen(Mechanism::Scram(hash)) => {
                let engine = self.engine.clone();
                let mut exchange = ScramExchange::new(engine, hash, self.from, None);
                let answer = exchange.first(token)?;
                self.state = State::Challenged(Box::new(exchange));
                Ok((answer, None))
            }
            State::Challenged(mut exchange) => {
                let (answer, principal) = exchange.last(token)?;
                Ok((answer, Some(principal)))
            }
            State::Begun | State::Ended => Err(Refused {
                code: code::ILLEGAL_SASL_STATE,
                message: "a handshake comes first".to_owned(),
            }),
        }
    }
}

struct Refused {
    code: i16,
    message: String,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self {
            code: code::SASL_AUTHENTICATION_FAILED,
            message: error.message().to_owned(),
        }
    }
}

/// `[as] NUL user NUL password` (RFC 4616).
fn plain(token: &[u8]) -> Result<Credentials, Refused> {
    let malformed = || Refused {
        code: code::SASL_AUTHENTICATION_FAILED,
        message: "a token of PLAIN is malformed".to_owned(),
    };
    let token = std::str::from_utf8(token).map_err(|_| malformed())?;
    let mut parts = token.split('\0');
    let (Some(acts_as), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed());
    };
    // Nobody acts as another.
    if user.is_empty() || !(acts_as.is_empty() || acts_as == user) {
        return Err(malformed());
    }
    Ok(Credentials::password(user, password))
}

/// A token as a frame of its own.
fn bare(token: &[u8]) -> Frame {
    let mut frame = BytesMut::with_capacity(token.len() + 4);
    // Tokens of the server have some hundred bytes.
    frame.put_u32(u32::try_from(token.len()).unwrap_or(0));
    frame.put_slice(token);
    Frame::from([Piece::Memory(frame.freeze().into())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_plain_are_taken_apart() {
        let read = |token: &[u8]| match plain(token) {
            Ok(Credentials::Password { user, password }) => {
                Some(format!("{user} {}", password.expose()))
            }
            _ => None,
        };
        assert_eq!(read(b"\0ada\0secret"), Some("ada secret".into()));
        assert_eq!(read(b"ada\0ada\0secret"), Some("ada secret".into()));
        for wrong in [
            b"".as_slice(),
            b"ada",
            b"\0ada",
            b"\0\0secret",
            b"bob\0ada\0secret",
            b"\0ada\0sec\0ret",
            b"\0ada\0\xff",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
