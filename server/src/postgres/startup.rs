//! From the first byte to `ReadyForQuery`: TLS, the database's name, who it is, and the settings that it brings.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use weir_engine::{ScramExchange, ScramHash, Session};

use super::cancel::Connections;
use super::connection::Connection;
use super::settings::{Reported, of_options};
use super::wire::{Closed, Malformed, Report, Severity, Startup, Wire, read_startup};
use super::{Postgres, listener};

/// The one database.
const DATABASE: &str = "weir";
/// `AuthenticationOk`, and the questions of SASL.
const OK: i32 = 0;
const SASL: i32 = 10;
const SASL_CONTINUE: i32 = 11;
const SASL_FINAL: i32 = 12;
/// Questions for encryption that a connection may ask before it begins.
const QUESTIONS_MAX: usize = 3;

/// A stream of either kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection's stream, encrypted or not.
pub(super) type Stream = Wire<Box<dyn Io>>;

/// How a start ended.
pub(super) enum Start {
    /// With a session.
    Session(Box<Connection>),
    /// There was nothing more to do, or it was told why not.
    Done,
}

/// Starts a connection. One that has no place is told so, unless it comes to stop another's statement.
pub(super) async fn start(
    door: &Arc<Postgres>,
    stream: Box<dyn Io>,
    from: IpAddr,
    has_place: bool,
) -> Result<Start, Closed> {
    let mut wire = new_wire(door, stream);
    let mut is_encrypted = false;
    let mut questions = 0;
    let (minor, mut parameters) = loop {
        let Some(body) = wire.startup().await? else {
            return Ok(Start::Done);
        };
        questions += 1;
        match read_startup(body) {
            _ if questions > QUESTIONS_MAX => return Ok(Start::Done),
            Ok(Startup::Tls) => match &door.tls {
                Some(acceptor) if !is_encrypted => {
                    wire.out.byte(b'S');
                    wire.flush().await?;
                    let Some(stream) = wire.into_stream() else {
                        return Ok(Start::Done);
                    };
                    wire = new_wire(door, Box::new(acceptor.accept(stream).await?));
                    is_encrypted = true;
                }
                _ => {
                    wire.out.byte(b'N');
                    wire.flush().await?;
                }
            },
            Ok(Startup::Gss) => {
                wire.out.byte(b'N');
                wire.flush().await?;
            }
            Ok(Startup::Cancel { process, secret }) => {
                door.connections.cancel(process, &secret);
                return Ok(Start::Done);
            }
            Ok(Startup::Begin { minor, parameters }) => break (minor, parameters),
            Err(error) => return refuse(wire, error).await,
        }
    };
    if !has_place {
        return refuse(wire, listener::full()).await;
    }
    if door.draining.is_cancelled() {
        return refuse(wire, listener::shutting_down()).await;
    }
    // Also from this machine: what forwards others' connections is on it.
    if door.tls.is_some() && !is_encrypted {
        let report = Report::error("28000", "this server speaks TLS only")
            .with_hint("connect with sslmode=require");
        return refuse(wire, report).await;
    }
    let unknown: Vec<&str> = parameters
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("_pq_."))
        .collect();
    if minor > 0 || !unknown.is_empty() {
        wire.out.negotiate(0, &unknown);
    }
    parameters.retain(|name, _| !name.starts_with("_pq_."));
    let Some(user) = parameters.remove("user").filter(|user| !user.is_empty()) else {
        let report = Report::error(
            "28000",
            "no PostgreSQL user name specified in startup packet",
        );
        return refuse(wire, report).await;
    };
    let database = parameters.remove("database");
    let session = match sign_in(door, &mut wire, &user, from).await? {
        Ok(session) => session,
        Err(report) => return refuse(wire, report).await,
    };
    let most = usize::try_from(door.settings.message_bytes.0).unwrap_or(usize::MAX);
    wire.admit_large(most.min(i32::MAX as usize));
    // After signing in: nobody else is told which databases there are.
    if let Some(database) = database.filter(|database| database != DATABASE) {
        // A client that names none asks for one of the user's name, which libpq fills in.
        if database != user {
            let report = Report::error("3D000", format!("database {database:?} does not exist"))
                .with_hint("this server has one database: weir");
            return refuse(wire, report).await;
        }
    }
    let is_superuser = session.rights().is_ok_and(|rights| rights.is_admin());
    let shown = session.principal().user().to_owned();
    if let Err(report) = bring_settings(&session, parameters) {
        return refuse(wire, report).await;
    }
    let place = Connections::enter(door);
    wire.out.authentication(OK, &[]);
    let mut reported = Reported::default();
    reported.tell(&session, &mut wire.out);
    Reported::tell_fixed(
        &mut wire.out,
        "is_superuser",
        if is_superuser { "on" } else { "off" },
    );
    Reported::tell_fixed(&mut wire.out, "session_authorization", &shown);
    wire.out.backend_key(place.process, &place.secret);
    let connection = Connection::new(Arc::clone(door), wire, session, place, reported);
    Ok(Start::Session(Box::new(connection)))
}

fn new_wire(door: &Postgres, stream: Box<dyn Io>) -> Stream {
    Wire::new(stream, Arc::clone(&door.large), door.settings.stall)
}

/// Says why not, and ends.
async fn refuse(mut wire: Stream, report: impl Into<Report>) -> Result<Start, Closed> {
    let report = report.into().with_severity(Severity::Fatal);
    wire.out.report(&report);
    wire.flush().await?;
    wire.shutdown().await;
    Ok(Start::Done)
}

/// Finds out who it is: by SCRAM-SHA-256, or, where nobody has to sign in, by nothing.
async fn sign_in(
    door: &Postgres,
    wire: &mut Stream,
    user: &str,
    from: IpAddr,
) -> Result<Result<Session, Report>, Closed> {
    if !door.engine.requires_sign_in() {
        // Every login is the operator, whatever it calls itself.
        return Ok(Ok(door.engine.session()));
    }
    let hash = ScramHash::Sha256;
    // A list of mechanisms, each ended by a zero, and the list, too.
    let offered = format!("{}\0\0", hash.mechanism());
    wire.out.authentication(SASL, offered.as_bytes());
    wire.flush().await?;
    let mut exchange = ScramExchange::new(door.engine.clone(), hash, from, Some(user.to_owned()));
    let Some(first) = password_message(wire).await? else {
        return Err(Closed::Left);
    };
    let first = match sasl_initial(&first, hash.mechanism()) {
        Ok(first) => first,
        Err(report) => return Ok(Err(report)),
    };
    let answer = match exchange.first(first) {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error.into())),
    };
    wire.out.authentication(SASL_CONTINUE, &answer);
    wire.flush().await?;
    let Some(last) = password_message(wire).await? else {
        return Err(Closed::Left);
    };
    let (answer, principal) = match exchange.last(&last) {
        Ok(signed_in) => signed_in,
        Err(error) => return Ok(Err(error.into())),
    };
    wire.out.authentication(SASL_FINAL, &answer);
    Ok(Ok(door.engine.session_of(principal)))
}

async fn password_message(wire: &mut Stream) -> Result<Option<bytes::Bytes>, Closed> {
    let Some(frame) = wire.next().await? else {
        return Ok(None);
    };
    match frame.tag {
        b'p' => Ok(Some(frame.body)),
        _ => Err(Closed::Left),
    }
}

/// The client's first message of SASL: the mechanism's name, and after its length what goes to the mechanism.
fn sasl_initial<'a>(body: &'a [u8], mechanism: &str) -> Result<&'a [u8], Report> {
    let wrong = || Report::from(Malformed::Length('p'));
    let end = body.iter().position(|byte| *byte == 0).ok_or_else(wrong)?;
    let (name, rest) = body.split_at(end);
    if name != mechanism.as_bytes() {
        let name = String::from_utf8_lossy(name).into_owned();
        let message = format!("client selected the SASL mechanism {name:?}, which was not offered");
        return Err(Report::error("08P01", message));
    }
    let (_, rest) = rest.split_first().ok_or_else(wrong)?;
    let (length, data) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) if length == data.len() => Ok(data),
        _ => Err(wrong()),
    }
}

/// Sets what the client brings, also in `options`; `RESET` leads back to it.
fn bring_settings(
    session: &Session,
    parameters: std::collections::BTreeMap<String, String>,
) -> Result<(), Report> {
    let mut settings = Vec::new();
    for (name, value) in parameters {
        match name.as_str() {
            "options" => {
                let given = of_options(&value).map_err(|wrong| {
                    Report::error("22023", format!("option {wrong:?} is not known"))
                        .with_hint("write options as -c name=value")
                })?;
                settings.extend(given);
            }
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => {
                return Err(Report::error(
                    "0A000",
                    "replication connections are not supported",
                ));
            }
            _ => settings.push((name, value)),
        }
    }
    session.bring_settings(settings).map_err(Report::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_sasl_message_is_read_and_never_trusted() {
        let message = b"SCRAM-SHA-256\0\0\0\0\x04n,,n";
        assert_eq!(sasl_initial(message, "SCRAM-SHA-256").unwrap(), b"n,,n");
        for wrong in [
            &b"PLAIN\0\0\0\0\x04n,,n"[..],
            b"SCRAM-SHA-256",
            b"SCRAM-SHA-256\0\0\0",
            b"SCRAM-SHA-256\0\0\0\0\x05n,,n",
            b"SCRAM-SHA-256\0\xff\xff\xff\xff",
        ] {
            assert!(sasl_initial(wrong, "SCRAM-SHA-256").is_err());
        }
    }
}
