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
use crate::flight::{self, Around, Flight};
use crate::kafka::{self, Kafka};
use crate::postgres::{self, Postgres};
use crate::rest::Rest;
use crate::tls::Tls;

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
    /// Where the PostgreSQL protocol listens, when it is open.
    pub postgres: Option<SocketAddr>,
    /// Where the Kafka protocol listens, when it is open.
    pub kafka: Option<SocketAddr>,
    /// Where Flight SQL listens, when it is open.
    pub flight: Option<SocketAddr>,
    tls: Option<Arc<Tls>>,
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
    /// When a door is not built, its address is taken or not known, other machines could reach it who should not, or the certificate
    /// cannot be used.
    pub async fn start(config: &Config, engine: Engine) -> Result<Running> {
        let mut settings = config.rest.clone();
        // The names that are in the certificate are the server's own.
        settings.allow_hosts.extend_from_slice(&config.tls.names);
        let rest = Rest::new(engine.clone(), settings);
        let close = CancellationToken::new();
        let tls = Tls::open(&config.tls, &config.data_dir, &listened_names(config))?;
        let http_tls = tls
            .as_ref()
            .map(|tls| tls.acceptor(&[b"h2", b"http/1.1"]))
            .transpose()?;
        // All doors are found before any opens.
        let http = open("http", &config.http, config).await?;
        let postgres = open("postgres", &config.postgres, config).await?;
        let kafka = open("kafka", &config.kafka, config).await?;
        let flight = open("flight", &config.flight, config).await?;
        let postgres_tls = tls.as_ref().map(|tls| tls.acceptor(&[b"postgresql"]));
        let postgres_tls = postgres_tls.transpose()?;
        let mut accepting = Vec::new();
        let flight_tls = tls.as_ref().map(|tls| tls.acceptor(&[b"h2"])).transpose()?;
        let around = Around {
            metrics: Arc::clone(&rest.metrics),
            in_flight: rest.in_flight.clone(),
            draining: rest.draining.clone(),
            close: close.clone(),
        };
        let flight_door = Flight::new(engine.clone(), config.flight_door.clone(), around)?;
        let flight = flight.map(|(listener, at)| {
            let door = Arc::clone(&flight_door);
            accepting.push(tokio::spawn(flight::serve(listener, flight_tls, door)));
            at
        });
        let (http, kafka) = (
            http.map(|(listener, at)| {
                accepting.push(tokio::spawn(connections::serve(
                    listener,
                    http_tls,
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
                        engine.clone(),
                        config.kafka_door.clone(),
                        host,
                        port,
                        close.clone(),
                    );
                    let tls = tls.as_ref().map(|tls| tls.acceptor(&[])).transpose()?;
                    accepting.push(tokio::spawn(kafka::serve(listener, tls, door)));
                    Some(at)
                }
            },
        );
        let postgres = postgres.map(|(listener, at)| {
            let door = Postgres::new(
                engine.clone(),
                config.postgres_door.clone(),
                postgres_tls,
                rest.in_flight.clone(),
                rest.draining.clone(),
                close.clone(),
            );
            accepting.push(tokio::spawn(postgres::serve(listener, door)));
            at
        });
        let sweeping = tokio::spawn(sweep(Arc::clone(&rest), flight_door, tls.clone()));
        Ok(Running {
            http,
            postgres,
            kafka,
            flight,
            tls,
            rest,
            engine,
            close,
            accepting,
            sweeping,
        })
    }
}

impl Running {
    /// Where browsers and clients of REST find it.
    pub fn url(&self) -> Option<String> {
        let scheme = match self.tls {
            Some(_) => "https",
            None => "http",
        };
        self.http.map(|address| format!("{scheme}://{address}"))
    }

    /// The certificate of the doors, where they speak TLS.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

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

async fn sweep(rest: Arc<Rest>, flight: Arc<Flight>, tls: Option<Arc<Tls>>) {
    let mut interval = tokio::time::interval(SWEEP);
    loop {
        interval.tick().await;
        rest.expire();
        flight.expire();
        if let Some(tls) = &tls {
            tls.reload_if_changed();
        }
    }
}

/// A door's listener and where it listens, unless the door is to stay closed.
async fn open(
    door: &'static str,
    at: &Listen,
    config: &Config,
) -> Result<Option<(TcpListener, SocketAddr)>> {
    let Listen::At(address) = at else {
        return Ok(None);
    };
    let listener = listen(door, address, Exposure::of(config)).await?;
    let at = listener.local_addr().map_err(|source| Error::Bind {
        door,
        address: address.clone(),
        source,
    })?;
    Ok(Some((listener, at)))
}

/// The hosts that doors listen on, for a certificate.
fn listened_names(config: &Config) -> Vec<String> {
    let doors = [
        &config.http,
        &config.postgres,
        &config.flight,
        &config.kafka,
    ];
    doors
        .into_iter()
        .filter_map(|listen| match listen {
            Listen::At(address) => address.rsplit_once(':'),
            Listen::Off => None,
        })
        .map(|(host, _)| host.trim_matches(['[', ']']).to_owned())
        .filter(|host| {
            let address = host.parse::<std::net::IpAddr>();
            address.map_or(true, |address| !address.is_unspecified())
        })
        .collect()
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

/// What protects doors that other machines can reach.
#[derive(Debug, Clone, Copy)]
struct Exposure {
    auth: bool,
    tls: bool,
    /// The operator wants it without.
    is_wanted: bool,
}

impl Exposure {
    fn of(config: &Config) -> Self {
        Self {
            auth: config.auth,
            tls: config.tls.enabled,
            is_wanted: config.dangerously_open_to_the_network,
        }
    }

    fn is_protected(self) -> bool {
        self.auth && self.tls
    }
}

/// Listens on `address`, unless other machines could reach it and people need not sign in, or could be overheard.
async fn listen(door: &'static str, address: &str, exposure: Exposure) -> Result<TcpListener> {
    let failed = |source| Error::Bind {
        door,
        address: address.to_owned(),
        source,
    };
    let addresses: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    let is_public = addresses
        .iter()
        .any(|address| !address.ip().to_canonical().is_loopback());
    if is_public && !exposure.is_protected() {
        if !exposure.is_wanted {
            return Err(Error::PublicBind {
                door,
                address: address.to_owned(),
                auth: exposure.auth,
                tls: exposure.tls,
            });
        }
        tracing::warn!(
            door,
            address,
            auth = exposure.auth,
            tls = exposure.tls,
            "the door is open to other machines without full protection, as dangerously_open_to_the_network asks for"
        );
    }
    TcpListener::bind(&addresses[..]).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn exposure(auth: bool, tls: bool, is_wanted: bool) -> Exposure {
        Exposure {
            auth,
            tls,
            is_wanted,
        }
    }

    #[tokio::test]
    async fn other_machines_reach_what_is_protected_alone() {
        for public in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            for weak in [
                exposure(false, false, false),
                exposure(true, false, false),
                exposure(false, true, false),
            ] {
                let refused = listen("http", public, weak).await;
                assert!(
                    matches!(refused, Err(Error::PublicBind { .. })),
                    "{public}: {refused:?}"
                );
            }
        }
        for open in [exposure(true, true, false), exposure(false, false, true)] {
            assert!(listen("http", "0.0.0.0:0", open).await.is_ok());
        }
        for own in ["127.0.0.1:0", "localhost:0"] {
            let open = listen("http", own, exposure(false, false, false)).await;
            assert!(open.is_ok(), "{own}");
        }
    }
}
