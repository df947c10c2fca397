//! The server as a whole: its start, its doors, its stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_engine::Engine;

use crate::config::{Config, Listen};
use crate::connections;
use crate::error::{Error, Result};
use crate::rest::Rest;

/// How often idle sessions and expired statements are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// How long connections may take to close once their requests have ended.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A server that runs. Dropping it closes its doors at once; [`Running::stop`] lets requests end first.
#[derive(Debug)]
pub struct Running {
    /// Where REST listens, when it is open.
    pub http: Option<SocketAddr>,
    rest: Arc<Rest>,
    engine: Engine,
    close: CancellationToken,
    accepting: Option<JoinHandle<()>>,
    sweeping: JoinHandle<()>,
}

impl Server {
    /// Opens the doors of `config` to `engine`. They answer when this returns.
    ///
    /// # Errors
    /// When a door is not built, its address is taken or not known, or other machines could reach it.
    pub async fn start(config: &Config, engine: Engine) -> Result<Running> {
        for (door, listen) in [
            ("postgres", &config.postgres),
            ("flight", &config.flight),
            ("kafka", &config.kafka),
        ] {
            if *listen != Listen::Off {
                return Err(Error::NotBuilt { door });
            }
        }
        let rest = Rest::new(engine.clone(), config.rest.clone());
        let close = CancellationToken::new();
        let (http, accepting) = match &config.http {
            Listen::Off => (None, None),
            Listen::At(address) => {
                let listener = listen("http", address).await?;
                let http = listener.local_addr().map_err(|source| Error::Bind {
                    door: "http",
                    address: address.clone(),
                    source,
                })?;
                let serve = connections::serve(
                    listener,
                    Arc::clone(&rest),
                    config.rest.clone(),
                    close.clone(),
                );
                (Some(http), Some(tokio::spawn(serve)))
            }
        };
        let sweeping = tokio::spawn(sweep(Arc::clone(&rest)));
        Ok(Running {
            http,
            rest,
            engine,
            close,
            accepting,
            sweeping,
        })
    }
}

impl Running {
    /// Stops: `/readyz` answers 503 and new requests are refused, live queries end, running requests may go on for
    /// `grace`, then connections are closed and the engine brings everything to disk.
    pub async fn stop(mut self, grace: Duration) {
        self.rest.draining.cancel();
        if tokio::time::timeout(grace, self.rest.in_flight.idle())
            .await
            .is_err()
        {
            tracing::info!(
                requests = self.rest.in_flight.now(),
                "the grace period is over; requests are cut off"
            );
        }
        self.close.cancel();
        let accepting = self.accepting.take();
        let connections = async {
            if let Some(accepting) = accepting {
                let abort = accepting.abort_handle();
                if tokio::time::timeout(CLOSE_WAIT, accepting).await.is_err() {
                    abort.abort();
                }
            }
        };
        // Queries that are cut off end with an error, and with them their connections.
        tokio::join!(connections, self.engine.close());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sweeping.abort();
        self.close.cancel();
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn sweep(rest: Arc<Rest>) {
    let mut interval = tokio::time::interval(SWEEP);
    loop {
        interval.tick().await;
        rest.expire();
    }
}

/// Listens on `address`, unless other machines could reach it: there are no credentials yet.
async fn listen(door: &'static str, address: &str) -> Result<TcpListener> {
    let failed = |source| Error::Bind {
        door,
        address: address.to_owned(),
        source,
    };
    let addresses: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    if addresses
        .iter()
        .any(|address| !address.ip().to_canonical().is_loopback())
    {
        return Err(Error::PublicBind {
            door,
            address: address.to_owned(),
        });
    }
    TcpListener::bind(&addresses[..]).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        for public in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let refused = listen("http", public).await;
            assert!(
                matches!(refused, Err(Error::PublicBind { .. })),
                "{public}: {refused:?}"
            );
        }
        for own in ["127.0.0.1:0", "localhost:0"] {
            assert!(listen("http", own).await.is_ok(), "{own}");
        }
    }
}
