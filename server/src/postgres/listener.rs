//! Accepting connections: how many, and how they end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Postgres;
use super::startup::{self, Start};
use super::wire::{Report, Severity};
use crate::connections::prepare;

/// How long the server waits after an accept that failed, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that are told that there are too many, at once.
const TURNED_AWAY_MAX: usize = 64;

/// Accepts connections until the door is closed, then waits for those that are open.
pub(crate) async fn serve(listener: TcpListener, door: Arc<Postgres>) {
    let places = Arc::new(Semaphore::new(door.settings.connections));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.close.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::info!(%error, "a PostgreSQL connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        prepare(&stream);
        let place = Arc::clone(&places).try_acquire_owned().ok();
        // A client that comes only to stop another's statement must get in where all places are taken.
        let errand = match &place {
            Some(_) => None,
            None => match Arc::clone(&turned_away).try_acquire_owned() {
                Ok(errand) => Some(errand),
                Err(_) => continue,
            },
        };
        let door = Arc::clone(&door);
        open.spawn(async move {
            let _held = (errand, &place);
            let close = door.close.clone();
            let served = async {
                let started = tokio::time::timeout(
                    door.settings.startup_timeout,
                    startup::start(&door, Box::new(stream), peer.ip(), place.is_some()),
                );
                match started.await {
                    Err(_) => {
                        tracing::info!(%peer, "a PostgreSQL connection took too long to start");
                    }
                    Ok(Ok(Start::Session(mut connection))) => {
                        if let Err(error) = connection.run().await {
                            tracing::debug!(%peer, %error, "a PostgreSQL connection ended");
                        }
                    }
                    Ok(Ok(Start::Done)) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(%peer, %error, "a PostgreSQL connection did not start");
                    }
                }
            };
            // What is at work when the door closes has had its time.
            tokio::select! {
                () = served => {}
                () = close.cancelled() => {}
            }
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// What a client is told that finds no place.
pub(super) fn full() -> Report {
    Report::error("53300", "sorry, too many clients already")
        .with_severity(Severity::Fatal)
        .with_hint("try again later, or let the operator raise postgres_door.connections")
}

/// What a client is told when the server stops.
pub(super) fn shutting_down() -> Report {
    Report::error(
        "57P01",
        "terminating connection: the server is shutting down",
    )
    .with_severity(Severity::Fatal)
}
