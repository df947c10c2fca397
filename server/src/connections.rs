//! TCP connections: how many, how long they may be silent, and how they end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::config::HttpSettings;
use crate::rest::{self, Rest};

/// What a connection beyond the limit is told.
const FULL: &str = "{\"type\":\"urn:weir:problem:unavailable\",\"title\":\"It is not available now\",\"status\":503,\
    \"detail\":\"too many connections are open\",\"sqlstate\":\"53300\"}";
/// How long the server waits after an accept that failed, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that are told so at once.
const TURNED_AWAY_MAX: usize = 64;

/// The address of who sent a request, in its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Accepts connections until `close` is cancelled, then lets those that are open end.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    rest: Arc<Rest>,
    settings: HttpSettings,
    close: CancellationToken,
) {
    let router = rest::router(Arc::clone(&rest));
    let places = Arc::new(Semaphore::new(settings.connections));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let open = TaskTracker::new();
    let builder = Arc::new(builder(&settings));
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
            rest.metrics.refused();
            // A client of TLS would take plain words for a broken server, and a handshake costs more than a refusal may.
            if tls.is_none()
                && let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned()
            {
                open.spawn(turn_away(stream, permit));
            }
            continue;
        };
        prepare(&stream);
        let connection = Connection {
            router: router.clone(),
            builder: Arc::clone(&builder),
            first_request_within: settings.header_timeout,
            close: close.clone(),
            counted: Counted::new(Arc::clone(&rest), place),
            peer,
        };
        match tls.clone() {
            None => drop(open.spawn(connection.run(stream))),
            Some(tls) => drop(open.spawn(async move {
                let within = connection.first_request_within;
                match tokio::time::timeout(within, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection.run(stream).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                }
            })),
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

fn builder(settings: &HttpSettings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(250)
        // A window of one megabyte a stream; more would be held for each slow reader.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_send_buf_size(1 << 20);
    builder
}

/// Sets what a socket needs: answers leave at once, and a peer that vanished without a word is noticed.
pub(crate) fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's algorithm");
    }
    set_keepalive(stream);
}

fn set_keepalive(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        #[cfg(target_os = "linux")]
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 30),
        #[cfg(target_os = "linux")]
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 10),
        #[cfg(target_os = "linux")]
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
    ];
    for (level, name, value) in options {
        let value: libc::c_int = value;
        // SAFETY: the descriptor is open as long as `stream` is borrowed, and the pointer is to an int of the length given.
        let set = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                level,
                name,
                std::ptr::from_ref(&value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if set != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), "a connection has no keep-alive");
        }
    }
}

/// A connection's place, counted while it is held.
struct Counted {
    rest: Arc<Rest>,
    _place: OwnedSemaphorePermit,
}

impl Counted {
    fn new(rest: Arc<Rest>, place: OwnedSemaphorePermit) -> Self {
        rest.metrics.connected();
        Self {
            rest,
            _place: place,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.rest.metrics.disconnected();
    }
}

struct Connection {
    router: axum::Router,
    builder: Arc<Builder<TokioExecutor>>,
    first_request_within: Duration,
    close: CancellationToken,
    counted: Counted,
    peer: SocketAddr,
}

impl Connection {
    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            router,
            builder,
            first_request_within,
            close,
            counted: _counted,
            peer,
        } = self;
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            seen.store(true, Ordering::Relaxed);
            router.clone().call(request.map(Body::new))
        });
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // hyper's own timeout begins when it knows the protocol; a client that sends nothing would be waited for for ever.
        let first = tokio::time::sleep(first_request_within);
        tokio::pin!(first);
        let mut watching = true;
        let mut closing = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        // Clients that go away are everyday.
                        tracing::debug!(%error, "a connection broke");
                    }
                    return;
                }
                () = &mut first, if watching => {
                    watching = false;
                    if !begun.load(Ordering::Relaxed) {
                        return;
                    }
                }
                () = close.cancelled(), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

async fn turn_away(mut stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{FULL}",
        FULL.len()
    );
    let told = tokio::time::timeout(Duration::from_secs(1), async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    });
    // A client that does not listen is not worth more.
    let _ = told.await;
}
