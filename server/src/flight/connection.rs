//! Connections of Flight clients: HTTP/2, accepted within bounds, and whose each call is before its message is read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::http::{Request, Response};
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tower::Service as _;
use weir_base::{Kind, SqlState};
use weir_engine::Error;

use super::Flight;
use super::service::Service;
use super::sessions::Connection;
use super::status::status;
use crate::connections::prepare;
use crate::in_flight::Tracked;

/// How long the server waits after an accept that failed, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a call's headers.
const HEADER_BYTES: u32 = 16 << 10;
/// Bytes of a message that is a command: SQL, or a ticket.
const COMMAND_BYTES: usize = 16 << 20;
/// Bytes of a message of who is not known yet: a name and a password.
const HANDSHAKE_BYTES: usize = 64 << 10;
/// What a message with rows has besides them.
const ENVELOPE_BYTES: usize = 1 << 20;
/// The call that uploads rows.
const PUT: &str = "DoPut";
/// The call by which one becomes known.
const HANDSHAKE: &str = "Handshake";
/// Calls that go on with what has begun, and so are answered while the server drains.
const GOING_ON: [&str; 2] = ["DoGet", "DoAction"];

/// Accepts connections until the server closes them, then lets those that are open end.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, flight: Arc<Flight>) {
    let calls = Calls::new(&flight);
    let places = Arc::new(Semaphore::new(flight.settings.connections));
    let open = TaskTracker::new();
    let close = flight.around.close.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = close.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The peer left before it was accepted, or descriptors ran out; both pass.
                tracing::info!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // gRPC has no word for it before a call is made: clients see a closed connection and try again.
            flight.around.metrics.flight_refused();
            continue;
        };
        prepare(&stream);
        let counted = Counted::new(Arc::clone(&flight), place);
        let calls = calls.clone();
        let tls = tls.clone();
        let within = flight.settings.handshake_timeout;
        open.spawn(async move {
            match tls {
                None => run(calls, peer, stream, counted).await,
                Some(tls) => match tokio::time::timeout(within, tls.accept(stream)).await {
                    Ok(Ok(stream)) => run(calls, peer, stream, counted).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// A connection's place, counted while it is held.
struct Counted {
    flight: Arc<Flight>,
    _place: OwnedSemaphorePermit,
}

impl Counted {
    fn new(flight: Arc<Flight>, place: OwnedSemaphorePermit) -> Self {
        flight.around.metrics.flight_connected();
        Self {
            flight,
            _place: place,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.flight.around.metrics.flight_disconnected();
    }
}

fn builder(flight: &Flight) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(flight.settings.streams)
        // A window of one megabyte a stream; more would be held for each slow reader.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_frame_size(64 << 10)
        .max_send_buf_size(1 << 20);
    builder
}

async fn run(
    calls: Calls,
    peer: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    _counted: Counted,
) {
    let flight = Arc::clone(&calls.flight);
    let connection = Arc::new(Connection::new(peer.ip()));
    let of_calls = Arc::clone(&connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let (calls, connection) = (calls.clone(), Arc::clone(&of_calls));
        async move { Ok::<_, Infallible>(calls.answer(connection, request).await) }
    });
    let served = builder(&flight).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    // A client that never makes a call, or none that it is let in for, would have its place for ever.
    let first = tokio::time::sleep(flight.settings.handshake_timeout);
    tokio::pin!(first);
    let mut watching = true;
    let mut closing = false;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    // Clients that go away, and those that speak something else, are everyday.
                    tracing::debug!(%peer, %error, "a connection broke");
                }
                return;
            }
            () = &mut first, if watching => {
                watching = false;
                if !connection.is_known() {
                    return;
                }
            }
            () = flight.around.close.cancelled(), if !closing => {
                closing = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

/// What answers the calls of a connection: uploads may be large, everything else is small.
#[derive(Clone)]
struct Calls {
    flight: Arc<Flight>,
    handshakes: FlightServiceServer<Service>,
    commands: FlightServiceServer<Service>,
    uploads: FlightServiceServer<Service>,
}

impl Calls {
    fn new(flight: &Arc<Flight>) -> Self {
        let upload = usize::try_from(flight.settings.upload_bytes.0).unwrap_or(usize::MAX);
        let service = Arc::new(Service(Arc::clone(flight)));
        Self {
            handshakes: FlightServiceServer::from_arc(Arc::clone(&service))
                .max_decoding_message_size(HANDSHAKE_BYTES),
            commands: FlightServiceServer::from_arc(Arc::clone(&service))
                .max_decoding_message_size(COMMAND_BYTES),
            uploads: FlightServiceServer::from_arc(service)
                .max_decoding_message_size(upload.saturating_add(ENVELOPE_BYTES)),
            flight: Arc::clone(flight),
        }
    }

    async fn answer(
        self,
        connection: Arc<Connection>,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let started = Instant::now();
        let in_flight = self.flight.around.in_flight.enter();
        let call = request
            .uri()
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let answered = async {
            self.refuse_while_draining(&call)?;
            if call != HANDSHAKE {
                let caller = self.flight.caller(&connection, request.headers()).await?;
                request.extensions_mut().insert(caller);
            }
            request.extensions_mut().insert(Arc::clone(&connection));
            let mut service = match call.as_str() {
                HANDSHAKE => self.handshakes.clone(),
                PUT => self.uploads.clone(),
                _ => self.commands.clone(),
            };
            let called = service.call(request).await;
            called.map_err(|never: Infallible| -> Status { match never {} })
        };
        let response = match AssertUnwindSafe(answered).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => status.into_http(),
            Err(panic) => status(&Error::new(
                Kind::Internal,
                format!("panic: {}", panic_text(panic.as_ref())),
            ))
            .into_http(),
        };
        // A status that comes with the rows is in the trailers, which nobody reads here.
        let code = Status::from_header_map(response.headers())
            .map_or(tonic::Code::Ok, |status| status.code());
        tracing::debug!(
            call,
            ?code,
            ms = started.elapsed().as_secs_f64() * 1e3,
            "answered"
        );
        let metrics = &self.flight.around.metrics;
        metrics.flight_answered(&call, code);
        let counted = metrics.bytes_out();
        response.map(|body| {
            Body::new(Tracked {
                body,
                counted,
                _in_flight: in_flight,
            })
        })
    }

    fn refuse_while_draining(&self, call: &str) -> Result<(), Status> {
        if !self.flight.around.draining.is_cancelled() || GOING_ON.contains(&call) {
            return Ok(());
        }
        let error = Error::new(Kind::Unavailable, "the server is shutting down")
            .with_sqlstate(SqlState::ADMIN_SHUTDOWN)
            .with_retry_after(Duration::from_secs(1));
        Err(status(&error))
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
