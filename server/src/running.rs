//! The server as a whole: its start, its doors, its stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_engine::Engine;

use crate::config::{Config, KafkaSettings, Listen};
use crate::connections;
use crate::error::{Error, Result};
use crate::kafka::{self, Kafka};
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
    /// Where the Kafka protocol listens, when it is open.
    pub kafka: Option<SocketAddr>,
    rest: Arc<Rest>,
    engine: Engine,
    close: CancellationToken,
    accepting: Vec<JoinHandle<()>>,
    sweeping: JoinHandle<()>,
}

impl Server {
    /// Opens the doors of `config` to `engine`. They answer when this returns.
    ///
    /// # Errors
    /// When a door is not built, its address is taken or not known, or other machines could reach it.
    pub async fn start(config: &Config, engine: Engine) -> Result<Running> {
        for (door, listen) in [("postgres", &config.postgres), ("flight", &config.flight)] {
            if *listen != Listen::Off {
                return Err(Error::NotBuilt { door });
            }
        }
        let rest = Rest::new(engine.clone(), config.rest.clone());
        let close = CancellationToken::new();
        // All doors are found before any opens.
        let http = open("http", &config.http).await?;
        let kafka = open("kafka", &config.kafka).await?;
        let mut accepting = Vec::new();
        let (http, kafka) = (
            http.map(|(listener, at)| {
                accepting.push(tokio::spawn(connections::serve(
                    listener,
                    Arc::clone(&rest),
                    config.rest.clone(),
                    close.clone(),
                )));
                at
            }),
            match kafka {
                None => None,
                Some((listener, at)) => {
                    let (host, port) = advertised(&config.kafka_door, at)?;
                    let door = Kafka::new(
                        engine.session(),
                        config.kafka_door.clone(),
                        host,
                        port,
                        close.clone(),
                    );
                    accepting.push(tokio::spawn(kafka::serve(listener, door)));
                    Some(at)
                }
            },
        );
        let sweeping = tokio::spawn(sweep(Arc::clone(&rest)));
        Ok(Running {
            http,
            kafka,
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
        let accepting = std::mem::take(&mut self.accepting);
        let connections = async {
            for accepting in accepting {
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
        for accepting in &self.accepting {
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

/// A door's listener and where it listens, unless the door is to stay closed.
async fn open(door: &'static str, at: &Listen) -> Result<Option<(TcpListener, SocketAddr)>> {
    let Listen::At(address) = at else {
        return Ok(None);
    };
    let listener = listen(door, address).await?;
    let at = listener.local_addr().map_err(|source| Error::Bind {
        door,
        address: address.clone(),
        source,
    })?;
    Ok(Some((listener, at)))
}

/// Where Kafka clients are told to connect.
fn advertised(settings: &KafkaSettings, at: SocketAddr) -> Result<(String, u16)> {
    if settings.advertised.is_empty() {
        return Ok((at.ip().to_string(), at.port()));
    }
    let wrong = || Error::Config {
        origin: "kafka_door.advertised".to_owned(),
        reason: format!("{:?} is no host:port", settings.advertised),
        hint: None,
    };
    let (host, port) = settings.advertised.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
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
